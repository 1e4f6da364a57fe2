#include "common/unit_bus.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/unit_memory.h"
#include "common/unit_reader.h"

enum { WORD = 128 };

static void need(bool there, const char *what)
{
    if (there)
        return;
    fprintf(stderr, "%s: %s\n", what, aether_error());
    abort();
}

aether_bus_options unit_bus_options(void)
{
    return (aether_bus_options){
        .allocator = &unit_allocator, .epoch = UNIT_EPOCH, .segment_bytes = UNIT_SEGMENT, .linger_ns = -1};
}

aether_bus *unit_bus_with(aether_bus_options options)
{
    aether_bus *bus = aether_bus_create(&options);
    need(bus != NULL, "bus");
    return bus;
}

aether_bus *unit_bus(void)
{
    return unit_bus_with(unit_bus_options());
}

aether_subscription *unit_subscribe_with(aether_bus *bus, const char *pattern, aether_subscribe_options options)
{
    aether_subscription *subscription = aether_subscribe(bus, pattern, &options);
    need(subscription != NULL, "subscribe");
    return subscription;
}

aether_subscription *unit_subscribe(aether_bus *bus, const char *pattern, aether_begin begin)
{
    return unit_subscribe_with(bus, pattern, (aether_subscribe_options){.begin = begin});
}

aether_subscription *unit_watch(aether_bus *bus, const char *pattern)
{
    return unit_subscribe(bus, pattern, AETHER_BEGIN_SNAPSHOT);
}

aether_subscription *unit_begin_at(aether_bus *bus, const char *pattern, aether_begin begin, uint64_t epoch, uint64_t index)
{
    return aether_subscribe(bus, pattern, &(aether_subscribe_options){.begin = begin, .position = {epoch, index}});
}

void unit_retain(aether_bus *bus, const char *pattern)
{
    need(aether_bus_retain(bus, pattern, &(aether_retention){.events = 1000000}) == AETHER_OK, "retain");
}

aether_bus_stats unit_bus_stats(aether_bus *bus)
{
    aether_bus_stats stats;
    need(aether_bus_get_stats(bus, &stats) == AETHER_OK, "bus stats");
    return stats;
}

aether_subscription_stats unit_account(aether_subscription *subscription)
{
    aether_subscription_stats stats;
    need(aether_subscription_get_stats(subscription, &stats) == AETHER_OK, "subscription stats");
    return stats;
}

struct wanted_pattern {
    const char *pattern;
    aether_pattern_stats stats;
};

static bool look_at_pattern(const aether_pattern_stats *stats, void *user)
{
    struct wanted_pattern *wanted = user;
    size_t size = strlen(wanted->pattern);
    if (stats->pattern.size != size || memcmp(stats->pattern.data, wanted->pattern, size) != 0)
        return true;
    wanted->stats = *stats;
    return false;
}

aether_pattern_stats unit_pattern(aether_bus *bus, const char *pattern)
{
    struct wanted_pattern wanted = {.pattern = pattern};
    need(aether_bus_each_pattern(bus, look_at_pattern, &wanted) == AETHER_OK, "each pattern");
    return wanted.stats;
}

/* --------------------------------------------------------------------------------------------------------------- words */

/* "-subject@index=data", all but the subject may be missing. */
static aether_event parse_word(char *word, bool own)
{
    aether_event event = {.flags = *word == '-' ? AETHER_EVENT_DELETED : 0};
    event.subject = *word == '-' ? word + 1 : word;
    char *data = strchr(word, '=');
    if (data != NULL) {
        *data++ = '\0';
        event.data = AETHER_TEXT(data);
    }
    char *index = strchr(word, '@');
    if (index != NULL) {
        *index++ = '\0';
        *(own ? &event.subject_index : &event.index) = strtoull(index, NULL, 10);
    }
    return event;
}

void unit_parse_words(struct unit_words *words, const char **text, bool own)
{
    size_t size = strcspn(*text, "|");
    need(size < sizeof words->text, "too many words");
    memcpy(words->text, *text, size);
    words->text[size] = '\0';
    *text += size + ((*text)[size] == '|');
    words->count = 0;
    char *rest = NULL;
    for (char *word = strtok_r(words->text, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        need(words->count < UNIT_WORDS, "too many words");
        words->events[words->count++] = parse_word(word, own);
    }
}

void unit_word(const aether_event *event, char *word, size_t size)
{
    static const char *const marks[] = {[AETHER_EVENT_SNAPSHOT_FOLLOWS] = "follows",
                                        [AETHER_EVENT_SNAPSHOT_END] = "end",
                                        [AETHER_EVENT_PROGRESS] = "passed"};
    const char *snapshot = event->kind == AETHER_EVENT_SNAPSHOT ? "+" : "";
    const char *gone = (event->flags & AETHER_EVENT_DELETED) != 0 ? "-" : "";
    if (event->kind == AETHER_EVENT_SNAPSHOT_FOLLOWS)
        snprintf(word, size, "%s", marks[event->kind]);
    else if (event->kind != AETHER_EVENT_LIVE && event->kind != AETHER_EVENT_SNAPSHOT)
        snprintf(word, size, "%s@%" PRIu64, marks[event->kind], event->index);
    else if (event->data.size != 0)
        snprintf(word, size, "%s%s%.*s=%.*s", snapshot, gone, (int)event->subject_size, event->subject,
                 event->data.size < 32 ? (int)event->data.size : 32, event->data.data);
    else
        snprintf(word, size, "%s%s%.*s@%" PRIu64, snapshot, gone, (int)event->subject_size, event->subject, event->index);
}

uint64_t unit_number(const aether_event *event)
{
    uint64_t number = 0;
    for (size_t i = 0; i < event->data.size && event->data.data[i] >= '0' && event->data.data[i] <= '9'; i++)
        number = number * 10 + (uint64_t)(event->data.data[i] - '0');
    return number;
}

/* ---------------------------------------------------------------------------------------------------------- publishing */

aether_status unit_publish(aether_bus *bus, const char *words)
{
    struct unit_words *parsed = malloc(sizeof *parsed);
    need(parsed != NULL, "words");
    unit_parse_words(parsed, &words, false);
    aether_status status = AETHER_OK;
    for (size_t i = 0; i < parsed->count && status == AETHER_OK; i++)
        status = aether_publish(bus, parsed->events[i].subject, &parsed->events[i]);
    free(parsed);
    return status;
}

aether_status unit_publish_batch(aether_bus *bus, const char *words)
{
    struct unit_words *parsed = malloc(sizeof *parsed);
    need(parsed != NULL, "words");
    unit_parse_words(parsed, &words, false);
    aether_status status = aether_publish_batch(bus, parsed->events, parsed->count);
    free(parsed);
    return status;
}

aether_status unit_publish_many(aether_bus *bus, const char *subject, size_t count, size_t size, size_t *done)
{
    char *data = malloc(size + 1);
    need(data != NULL, "data");
    memset(data, 'x', size + 1);
    aether_event event = {.data = {data, size}};
    aether_status status = AETHER_OK;
    size_t i = 0;
    while (i < count && (status = aether_publish(bus, subject, &event)) == AETHER_OK)
        i++;
    free(data);
    if (done != NULL)
        *done = i;
    return status;
}

aether_status unit_publish_until(aether_bus *bus, const char *subject, size_t size, size_t *done)
{
    enum { MOST = 100000 };
    return unit_publish_many(bus, subject, MOST, size, done);
}

static const char *publish_words(void *user)
{
    struct unit_publisher *publisher = user;
    unit_futex_trace = &publisher->trace;
    publisher->status = unit_publish(publisher->bus, publisher->words);
    return NULL;
}

bool unit_publisher_start(struct unit_publisher *publisher, aether_bus *bus, const char *words)
{
    *publisher = (struct unit_publisher){.bus = bus, .words = words};
    return unit_thread_start(&publisher->thread, 0, publish_words, publisher);
}

bool unit_publisher_put_to_sleep(struct unit_publisher *publisher, aether_bus *bus, const char *words)
{
    return unit_publisher_start(publisher, bus, words) && unit_thread_sleeps(&publisher->thread, &publisher->trace);
}

aether_status unit_publisher_join(struct unit_publisher *publisher)
{
    return unit_thread_join(&publisher->thread) == NULL ? publisher->status : UNIT_STUCK;
}

aether_status unit_publish_aside(aether_bus *bus, const char *words)
{
    struct unit_publisher publisher;
    return unit_publisher_start(&publisher, bus, words) ? unit_publisher_join(&publisher) : UNIT_STUCK;
}

size_t unit_count_room(size_t size)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub =
        unit_subscribe_with(bus, "a", (aether_subscribe_options){.on_limit = AETHER_REFUSE, .limit_bytes = UNIT_LIMIT});
    size_t done;
    need(unit_publish_until(bus, "a", size, &done) == AETHER_FULL, "full");
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
    return done;
}

struct fill {
    aether_bus *bus;
    size_t size;
    aether_status status;
};

static const char *fill_up(void *user)
{
    struct fill *fill = user;
    fill->status = unit_publish_many(fill->bus, "a", unit_count_room(fill->size), fill->size, NULL);
    return NULL;
}

aether_status unit_fill_up(aether_bus *bus, size_t size)
{
    struct unit_thread thread;
    struct fill fill = {bus, size, UNIT_STUCK};
    return unit_thread_start(&thread, 0, fill_up, &fill) && unit_thread_join(&thread) == NULL ? fill.status : UNIT_STUCK;
}

/* ------------------------------------------------------------------------------------------------------------- reading */

static _Thread_local char wrong[8192];

/* Adds a word to those that came. */
static void add_word(char *came, size_t size, const aether_event *event)
{
    char word[WORD];
    size_t length = strlen(came);
    unit_word(event, word, sizeof word);
    snprintf(came + length, size - length, "%s%s", length > 0 ? " " : "", word);
}

static const char *compare(const char *wanted, const char *came, aether_status wanted_status, aether_status status)
{
    if (status == wanted_status && strcmp(wanted, came) == 0)
        return NULL;
    snprintf(wrong, sizeof wrong, "came \"%.3500s\", then \"%s\" (%s); wanted \"%.3500s\", then \"%s\"", came,
             aether_status_text(status), aether_error(), wanted, aether_status_text(wanted_status));
    return wrong;
}

const char *unit_events(aether_subscription *subscription, const char *words, aether_status status)
{
    static _Thread_local char came[4096];
    came[0] = '\0';
    aether_event event;
    aether_status ended;
    while ((ended = aether_next(subscription, &event, AETHER_NO_WAIT)) == AETHER_OK)
        add_word(came, sizeof came, &event);
    return compare(words, came, status, ended);
}

static size_t count_words(const char *words)
{
    size_t count = *words != '\0';
    for (; *words != '\0'; words++)
        count += *words == ' ';
    return count;
}

const char *unit_arrivals(aether_subscription *subscription, const char *words)
{
    static _Thread_local char came[4096];
    came[0] = '\0';
    aether_event event;
    aether_status status = AETHER_OK;
    int64_t give_up_at = unit_give_up_at();
    for (size_t left = count_words(words); left > 0 && status == AETHER_OK; left--) {
        int64_t wait = give_up_at - unit_now();
        status = aether_next(subscription, &event, wait > 0 ? wait : AETHER_NO_WAIT);
        if (status == AETHER_OK)
            add_word(came, sizeof came, &event);
    }
    return compare(words, came, AETHER_OK, status);
}

uint64_t unit_drain(aether_subscription *subscription, aether_status *status)
{
    aether_event event;
    uint64_t count = 0;
    while ((*status = aether_next(subscription, &event, AETHER_NO_WAIT)) == AETHER_OK)
        count++;
    return count;
}

aether_status unit_try(aether_subscription *subscription)
{
    aether_event event;
    return aether_next(subscription, &event, AETHER_NO_WAIT);
}

static const char *follow(void *user)
{
    struct unit_follower *follower = user;
    aether_event event;
    unit_futex_trace = &follower->trace;
    follower->status = aether_next(follower->subscription, &event, follower->timeout_ns);
    if (follower->status == AETHER_OK)
        unit_word(&event, follower->word, sizeof follower->word);
    return NULL;
}

bool unit_follower_start(struct unit_follower *follower, aether_subscription *subscription)
{
    *follower = (struct unit_follower){.subscription = subscription, .timeout_ns = AETHER_FOREVER};
    return unit_thread_start(&follower->thread, 0, follow, follower);
}

bool unit_follower_put_to_sleep(struct unit_follower *follower, aether_subscription *subscription)
{
    return unit_follower_start(follower, subscription) && unit_thread_sleeps(&follower->thread, &follower->trace);
}

aether_status unit_follower_join(struct unit_follower *follower)
{
    return unit_thread_join(&follower->thread) == NULL ? follower->status : UNIT_STUCK;
}

/* ---------------------------------------------------------------------------------------------------------- accounting */

static uint64_t sum(const aether_subscription_stats *stats)
{
    return stats->delivered + stats->filtered + stats->below_watermark + stats->conflated + stats->lagged +
           stats->discarded + stats->pending;
}

static void say_account(char *text, size_t size, const aether_subscription_stats *stats)
{
    snprintf(text, size,
             "published %" PRIu64 ": delivered %" PRIu64 ", filtered %" PRIu64 ", below_watermark %" PRIu64
             ", conflated %" PRIu64 ", lagged %" PRIu64 ", discarded %" PRIu64 ", pending %" PRIu64
             "; snapshot_events %" PRIu64 ", snapshots %" PRIu64 ", lags %" PRIu64,
             stats->published, stats->delivered, stats->filtered, stats->below_watermark, stats->conflated, stats->lagged,
             stats->discarded, stats->pending, stats->snapshot_events, stats->snapshots, stats->lags);
}

const char *unit_adds_up(aether_subscription *subscription)
{
    aether_subscription_stats stats = unit_account(subscription);
    if (stats.published == sum(&stats))
        return NULL;
    say_account(wrong, sizeof wrong, &stats);
    return wrong;
}

const char *unit_accounts(aether_subscription *subscription, aether_subscription_stats wanted)
{
    char wanted_text[512], came_text[512];
    aether_subscription_stats came = unit_account(subscription);
    say_account(wanted_text, sizeof wanted_text, &wanted);
    say_account(came_text, sizeof came_text, &came);
    if (strcmp(wanted_text, came_text) == 0 && came.published == sum(&came))
        return NULL;
    snprintf(wrong, sizeof wrong, "%s instead of %s", came_text, wanted_text);
    return wrong;
}

void unit_add_word(char *words, size_t size, const char *word)
{
    size_t used = strlen(words);
    int more = snprintf(words + used, size - used, "%s%s", used != 0 ? " " : "", word);
    if (more < 0 || (size_t)more >= size - used)
        abort();
}
