/* RFC 3339 times. Days are counted as in Hinnant's "chrono-compatible low-level date algorithms" (2013). */
#include <stdio.h>
#include <string.h>

#include "store/json/json.h"

enum { SECONDS_PER_DAY = 86400 };

static const int64_t SECOND = 1000000000;

static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

void aether_json_write_time(int64_t timestamp, char text[36])
{
    int64_t seconds = timestamp / SECOND, part = timestamp % SECOND;
    if (part < 0) {
        part += SECOND;
        seconds--;
    }
    int64_t days = seconds / SECONDS_PER_DAY, of_day = seconds % SECONDS_PER_DAY;
    if (of_day < 0) {
        of_day += SECONDS_PER_DAY;
        days--;
    }
    int64_t shifted = days + 719468, era = (shifted >= 0 ? shifted : shifted - 146096) / 146097,
            of_era = shifted - era * 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100),
            month_from_march = (5 * of_year + 2) / 153;
    int64_t month = month_from_march + (month_from_march < 10 ? 3 : -9), year = year_of_era + era * 400 + (month <= 2);
    int used = snprintf(text, 36, "%04d-%02d-%02dT%02d:%02d:%02d", (int)year, (int)month,
                        (int)(of_year - (153 * month_from_march + 2) / 5 + 1), (int)(of_day / 3600), (int)(of_day / 60 % 60),
                        (int)(of_day % 60));
    if (part != 0) {
        used += snprintf(text + used, 36 - (size_t)used, ".%09d", (int)part);
        while (text[used - 1] == '0')
            used--;
    }
    memcpy(text + used, "Z", 2);
}

/* `count` digits at *at. */
static bool take_number(const char **at, const char *end, int count, int64_t *number)
{
    *number = 0;
    for (int i = 0; i < count; i++, (*at)++) {
        if (*at >= end || **at < '0' || **at > '9')
            return false;
        *number = *number * 10 + (**at - '0');
    }
    return true;
}

static bool take(const char **at, const char *end, const char *any)
{
    if (*at >= end || strchr(any, **at) == NULL)
        return false;
    (*at)++;
    return true;
}

static bool take_fraction(const char **at, const char *end, int64_t *part)
{
    *part = 0;
    int digits = 0;
    int64_t scale = SECOND;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++, digits++) {
        scale /= 10; /* beyond nanoseconds it becomes 0 */
        *part += (**at - '0') * scale;
    }
    return digits != 0;
}

static int64_t days_in(int64_t year, int64_t month)
{
    return month == 12 ? 31 : days_of(year, month + 1, 1) - days_of(year, month, 1);
}

bool aether_json_read_time(const char *text, size_t size, int64_t *timestamp)
{
    if (text == NULL)
        return false;
    const char *at = text, *end = text + size;
    int64_t year, month, day, hour, minute, second, part = 0, offset = 0;
    if (!take_number(&at, end, 4, &year) || !take(&at, end, "-") || !take_number(&at, end, 2, &month) ||
        !take(&at, end, "-") || !take_number(&at, end, 2, &day) || !take(&at, end, "Tt ") ||
        !take_number(&at, end, 2, &hour) || !take(&at, end, ":") || !take_number(&at, end, 2, &minute) ||
        !take(&at, end, ":") || !take_number(&at, end, 2, &second))
        return false;
    if (at < end && *at == '.' && (at++, !take_fraction(&at, end, &part)))
        return false;
    if (!take(&at, end, "Zz")) {
        int64_t hours, minutes, sign = at < end && *at == '-' ? -1 : 1;
        if (!take(&at, end, "+-") || !take_number(&at, end, 2, &hours) || !take(&at, end, ":") ||
            !take_number(&at, end, 2, &minutes) || hours > 23 || minutes > 59)
            return false;
        offset = sign * (hours * 3600 + minutes * 60);
    }
    if (at != end || month < 1 || month > 12 || day < 1 || day > days_in(year, month) || hour > 23 || minute > 59 ||
        second > 60)
        return false;
    int64_t seconds = days_of(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second - offset;
    if (seconds == -INT64_C(62135596800) && part == 0) { /* the year 1: what Go programs write for "none" */
        *timestamp = 0;
        return true;
    }
    if (seconds > INT64_MAX / SECOND - 1 || seconds < INT64_MIN / SECOND + 1)
        return false;
    *timestamp = seconds * SECOND + part;
    return true;
}
