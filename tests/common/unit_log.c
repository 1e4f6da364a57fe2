#include "common/unit_log.h"

#include <string.h>

#include "aether/subject.h"

static void make_subject(char *subject, size_t tokens, size_t code)
{
    for (size_t i = 0; i < tokens; i++, code /= 3) {
        subject[2 * i] = (char)('a' + code % 3);
        subject[2 * i + 1] = i + 1 < tokens ? '.' : '\0';
    }
}

void unit_log_init(struct unit_log *log, uint64_t epoch, uint64_t seed)
{
    memset(log, 0, sizeof *log);
    log->epoch = epoch;
    log->seed = seed;
    size_t made = 0;
    for (size_t tokens = 1, codes = 3; tokens <= 3; tokens++, codes *= 3)
        for (size_t code = 0; code < codes; code++)
            make_subject(log->subjects[made++], tokens, code);
}

uint64_t unit_draw(struct unit_log *log, uint64_t below)
{
    log->seed ^= log->seed << 13;
    log->seed ^= log->seed >> 7;
    log->seed ^= log->seed << 17;
    return (log->seed >> 11) % below;
}

void unit_draw_pattern(struct unit_log *log, char *pattern)
{
    size_t tokens = unit_draw(log, 3) + 1, at = 0;
    char token = 'a';
    for (size_t i = 0; i < tokens && token != '>'; i++) {
        token = "aabbc*>"[unit_draw(log, 7)];
        if (i > 0)
            pattern[at++] = '.';
        pattern[at++] = token;
    }
    pattern[at] = '\0';
}

uint64_t unit_log_add(struct unit_log *log, size_t subject)
{
    uint64_t value = ++log->value;
    log->entries[log->count].index = log->newest + 1;
    log->entries[log->count].value = value;
    log->entries[log->count++].subject = subject;
    log->state[subject] = value;
    return value;
}

void unit_log_reset(struct unit_log *log, uint64_t newest)
{
    log->epoch++;
    log->newest = newest;
    log->count = log->refreshes = 0;
    memset(log->state, 0, sizeof log->state);
    for (size_t i = 0; i < UNIT_KEPT; i++)
        log->kept[i].floor = newest;
}

bool unit_log_matches(const struct unit_log *log, size_t entry, const char *pattern)
{
    return aether_pattern_matches(pattern, log->subjects[log->entries[entry].subject]);
}

size_t unit_log_above(const struct unit_log *log, uint64_t index)
{
    size_t at = 0;
    while (at < log->count && log->entries[at].index <= index)
        at++;
    return at;
}

bool unit_log_was_refreshed(const struct unit_log *log, const char *pattern, uint64_t after)
{
    for (size_t i = 0; i < log->refreshes; i++)
        if (log->refreshed[i].index >= after && aether_pattern_overlaps(log->refreshed[i].pattern, pattern))
            return true;
    return false;
}

bool unit_log_is_kept(const struct unit_log *log, const char *pattern, uint64_t after)
{
    for (size_t i = 0; i < UNIT_KEPT; i++)
        if (log->kept[i].pattern[0] != '\0' && log->kept[i].floor <= after &&
            aether_pattern_covers(log->kept[i].pattern, pattern))
            return true;
    return after == log->newest;
}
