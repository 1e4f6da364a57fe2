/* Figures: of the bus, of each pattern, as text for Prometheus; and the bus that does nothing but count. */
#include "common/unit.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/unit_bus.h"
#include "common/unit_snapshot.h"

/* --------------------------------------------------------------------------------------------------------------- figures */

TEST(bus_metrics, BUS13_the_bus_counts_what_happens)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=1 s=2"};
    unit_handle(bus, "s", &maker);
    aether_topic *topic = aether_topic_open(bus, "a.b");
    aether_subscription *one = unit_subscribe(bus, "a.b", AETHER_BEGIN_NOW),
                        *all = unit_subscribe(bus, ">", AETHER_BEGIN_NOW);
    aether_subscription *watcher = unit_watch(bus, "s");
    expect_ok(unit_publish(bus, "a.b=1 c=2"));
    expect_ok(unit_publish_batch(bus, "a.b=3 s=4"));
    expect_ok(aether_topic_publish(topic, AETHER_EVENT(.type = "T")));
    expect_status(AETHER_INVALID, unit_publish(bus, "a@9"));
    aether_bus_stats stats = unit_bus_stats(bus);
    expect_position(UNIT_EPOCH, 4, stats.newest);
    expect_number(5, stats.published);
    expect_number(4, stats.batches);
    expect_number(0, stats.unmatched);
    expect_number(9, stats.appended); /* all five to ">", three to "a.b", one to "s" */
    expect_number(1, stats.refused);
    expect_number(3, stats.feeds);
    expect_number(3, stats.subscriptions);
    expect_number(3, stats.opened);
    expect_number(0, stats.closed);
    expect_number(1, stats.snapshots_made);
    expect_number(2, stats.snapshot_events);
    expect_number(0, stats.snapshots_failed + stats.resets + stats.domains + stats.waits + stats.lagged);
    expect_within(3, 4, stats.topics);
    cr_assert(stats.feed_bytes > 0);
    expect_ok(aether_bus_reset(bus, NULL));
    stats = unit_bus_stats(bus);
    expect_number(3, stats.closed);
    expect_number(1, stats.resets);
    expect_number(0, stats.subscriptions);
    expect_number(5, stats.published); /* since the beginning */
    aether_subscription *subs[] = {one, all, watcher};
    for (size_t i = 0; i < 3; i++)
        aether_subscription_close(subs[i]);
    expect_number(3, unit_bus_stats(bus).closed);
    aether_topic_close(topic);
    aether_bus_destroy(bus);
}

TEST(bus_metrics, BUS13_each_pattern_has_figures_of_its_own)
{
    aether_bus *bus = unit_bus();
    unit_retain(bus, "kept.*");
    aether_subscription *quick = unit_subscribe_with(bus, "a.*", (aether_subscribe_options){.label = "quick"});
    aether_subscription *slow = unit_subscribe_with(bus, "a.*", (aether_subscribe_options){.label = "slow"});
    expect_ok(unit_publish(bus, "a.1=1 kept.2=2 a.3=3"));
    expect_ok(unit_publish_batch(bus, "a.4=4 a.5=5"));
    aether_status status;
    expect_number(4, unit_drain(quick, &status));
    aether_pattern_stats stats = unit_pattern(bus, "a.*");
    expect_number(4, stats.events);
    expect_number(3, stats.items);
    expect_number(2, stats.subscriptions);
    cr_assert(!stats.retained && stats.bytes > 0 && stats.in_use_bytes >= UNIT_SEGMENT);
    cr_assert_str_eq(stats.slowest_label, "slow");
    cr_assert(stats.slowest_items > 0 && stats.slowest_bytes > 0);
    stats = unit_pattern(bus, "kept.*");
    expect_number(1, stats.events);
    expect_number(0, stats.subscriptions);
    expect_number(1, stats.retained_events);
    cr_assert(stats.retained);
    cr_assert_str_eq(stats.slowest_label, "");
    expect_number(0, unit_pattern(bus, "nobody").events);
    aether_subscription_close(quick);
    aether_subscription_close(slow);
    aether_bus_destroy(bus);
}

static bool count_to_two(const aether_pattern_stats *stats, void *user)
{
    cr_assert(stats->pattern.size == 1);
    return ++*(int *)user < 2;
}

TEST(bus_metrics, BUS13_the_walk_over_patterns_ends_when_it_is_told_to)
{
    aether_bus *bus = unit_bus();
    int calls = 0;
    expect_ok(aether_bus_each_pattern(bus, count_to_two, &calls));
    expect_number(0, calls);
    static const char *const patterns[] = {"a", "b", "c", "*"};
    for (size_t i = 0; i < 4; i++)
        unit_retain(bus, patterns[i]);
    expect_ok(aether_bus_each_pattern(bus, count_to_two, &calls));
    expect_number(2, calls);
    expect_status(AETHER_INVALID, aether_bus_each_pattern(bus, NULL, NULL));
    expect_status(AETHER_INVALID, aether_bus_each_pattern(NULL, count_to_two, &calls));
    expect_status(AETHER_INVALID, aether_bus_get_stats(bus, NULL));
    expect_status(AETHER_INVALID, aether_bus_get_stats(NULL, &(aether_bus_stats){0}));
    aether_bus_destroy(bus);
}

/* ------------------------------------------------------------------------------------------------------------ exposition */

struct text {
    char bytes[65536];
    size_t size;
    size_t pieces, most; /* ends after so many; 0: never */
};

static bool collect(const char *piece, size_t size, void *user)
{
    struct text *text = user;
    cr_assert(text->size + size < sizeof text->bytes);
    memcpy(text->bytes + text->size, piece, size);
    text->bytes[text->size += size] = '\0';
    return ++text->pieces != text->most;
}

static const char *parse_name(const char *at)
{
    const char *start = at;
    while (isalnum((unsigned char)*at) || *at == '_' || *at == ':')
        at++;
    return at > start && !isdigit((unsigned char)*start) ? at : NULL;
}

/* name="value" with \\, \" and \n escaped. */
static const char *parse_labels(const char *at)
{
    do {
        at = parse_name(at + 1);
        if (at == NULL || *at++ != '=' || *at++ != '"')
            return NULL;
        for (; *at != '"'; at++) {
            if (*at == '\0' || *at == '\n')
                return NULL;
            if (*at == '\\' && strchr("\\\"n", *++at) == NULL)
                return NULL;
        }
        at++;
    } while (*at == ',');
    return *at == '}' ? at + 1 : NULL;
}

struct family {
    char name[128];
    size_t types, samples;
};

/* One line of exposition format 0.0.4; NULL where it is not. */
static const char *parse_line(const char *at, struct family *family)
{
    if (*at == '#') {
        char kind[8], name[128], rest[256];
        if (sscanf(at, "# %7s %127s %255[^\n]", kind, name, rest) != 3 || parse_name(name) != name + strlen(name))
            return NULL;
        if (strcmp(family->name, name) != 0)
            *family = (struct family){.types = 0};
        snprintf(family->name, sizeof family->name, "%s", name);
        if (strcmp(kind, "TYPE") == 0) {
            if (family->types++ != 0 || family->samples != 0 || (strcmp(rest, "counter") != 0 && strcmp(rest, "gauge") != 0))
                return NULL;
        } else if (strcmp(kind, "HELP") != 0) {
            return NULL;
        }
        return strchr(at, '\n') + 1;
    }
    const char *end = parse_name(at);
    size_t size = end != NULL ? (size_t)(end - at) : 0;
    if (size == 0 || size != strlen(family->name) || memcmp(at, family->name, size) != 0 || family->types != 1)
        return NULL; /* each family stands together, under its type */
    if (*end == '{')
        end = parse_labels(end);
    if (end == NULL || *end++ != ' ')
        return NULL;
    char *behind;
    (void)strtod(end, &behind);
    family->samples++;
    return behind > end && *behind == '\n' ? behind + 1 : NULL;
}

static void expect_exposition(const char *text)
{
    struct family family = {.types = 0};
    for (const char *at = text, *next; *at != '\0'; at = next) {
        next = strchr(at, '\n') != NULL ? parse_line(at, &family) : NULL;
        cr_assert(next != NULL, "no line of the format: %.200s", at);
    }
}

/* The value of the only sample that begins so. */
static uint64_t sample(const struct text *text, const char *begin)
{
    char line[256];
    snprintf(line, sizeof line, "\n%s", begin);
    const char *at = strstr(text->bytes, line);
    cr_assert(at != NULL, "there is no %s", begin);
    cr_assert(strstr(at + 1, line) == NULL, "there are several %s", begin);
    return strtoull(at + strlen(line), NULL, 10);
}

TEST(bus_metrics, BUS13_every_line_for_prometheus_is_one)
{
    aether_bus *bus = unit_bus();
    static const char *const odd[] = {"a.b", ">", "quote\"d", "back\\slash", "\xc3\xa4.*"};
    for (size_t i = 0; i < 5; i++)
        unit_retain(bus, odd[i]);
    aether_subscription *sub = unit_subscribe_with(bus, "a.b", (aether_subscribe_options){.label = "we\\ird \"label\"\n"});
    expect_ok(unit_publish(bus, "a.b=1 a.b=2 quote\"d=3"));
    static struct text text;
    expect_ok(aether_bus_write_prometheus(bus, 100, collect, &text));
    expect_exposition(text.bytes);
    expect_number(3, sample(&text, "aether_bus_published_total "));
    cr_assert(sample(&text, "aether_pattern_slowest_bytes{pattern=\"a.b\",label=\"we\\\\ird \\\"label\\\"\\n\"} ") > 0);
    for (size_t i = 0; i < 5; i++) {
        static const char *const escaped[] = {"a.b", ">", "quote\\\"d", "back\\\\slash", "\xc3\xa4.*"};
        static const uint64_t events[] = {2, 3, 1, 0, 0};
        char begin[128];
        snprintf(begin, sizeof begin, "aether_pattern_events_total{pattern=\"%s\"} ", escaped[i]);
        expect_number(events[i], sample(&text, begin));
    }
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

static size_t count(const char *text, const char *what)
{
    size_t found = 0;
    for (; (text = strstr(text, what)) != NULL; text++)
        found++;
    return found;
}

TEST(bus_metrics, BUS13_rows_of_patterns_are_bounded_to_the_busiest)
{
    enum { PATTERNS = 40, ROWS = 7 };
    aether_bus *bus = unit_bus();
    char subject[16];
    for (unsigned i = 0; i < PATTERNS; i++) {
        snprintf(subject, sizeof subject, "s.%u", i);
        unit_retain(bus, subject);
        expect_ok(unit_publish_many(bus, subject, i, 10, NULL));
    }
    static struct text text, none;
    expect_ok(aether_bus_write_prometheus(bus, ROWS, collect, &text));
    expect_exposition(text.bytes);
    expect_number(ROWS, count(text.bytes, "\naether_pattern_events_total{"));
    for (unsigned i = PATTERNS - ROWS; i < PATTERNS; i++) {
        snprintf(subject, sizeof subject, "\"s.%u\"", i);
        cr_assert(strstr(text.bytes, subject) != NULL, "%s is not among the busiest", subject);
    }
    expect_ok(aether_bus_write_prometheus(bus, 0, collect, &none));
    expect_exposition(none.bytes);
    expect_number(0, count(none.bytes, "pattern=\""));
    aether_bus_destroy(bus);
}

TEST(bus_metrics, BUS13_writing_ends_when_it_is_told_to)
{
    aether_bus *bus = unit_bus();
    static struct text whole, part;
    expect_ok(aether_bus_write_prometheus(bus, 5, collect, &whole));
    part.most = 1;
    expect_ok(aether_bus_write_prometheus(bus, 5, collect, &part));
    expect_number(1, part.pieces);
    cr_assert(part.size <= whole.size);
    expect_status(AETHER_INVALID, aether_bus_write_prometheus(bus, 5, NULL, NULL));
    expect_status(AETHER_INVALID, aether_bus_write_prometheus(NULL, 5, collect, &whole));
    aether_bus_destroy(bus);
}

/* -------------------------------------------------------------------------------------------------------------- disabled */

TEST(bus_metrics, BUS13_a_disabled_bus_accepts_counts_and_does_nothing)
{
    aether_bus_options options = unit_bus_options();
    options.disabled = true;
    aether_bus *bus = unit_bus_with(options);
    aether_topic *topic = aether_topic_open(bus, "a");
    cr_assert(topic != NULL);
    for (aether_begin how = AETHER_BEGIN_NOW; how <= AETHER_BEGIN_RESUME; how++) {
        cr_assert(aether_subscribe(bus, "a", &(aether_subscribe_options){.begin = how, .position = {0, 1}}) == NULL);
        expect_status(AETHER_DISABLED, aether_error_status());
    }
    expect_ok(unit_publish(bus, "a=1 b=2"));
    expect_ok(unit_publish_batch(bus, "a=3 b=4"));
    expect_ok(aether_topic_publish(topic, AETHER_EVENT(.type = "T")));
    uint64_t bytes = unit_memory().bytes;
    expect_ok(unit_publish_many(bus, "a", 1000, 100, NULL));
    expect_number(bytes, unit_memory().bytes);
    expect_number(1005, unit_bus_stats(bus).published);
    expect_number(0, unit_bus_stats(bus).appended);
    expect_number(0, unit_bus_stats(bus).feeds);
    aether_topic_close(topic);
    expect_ok(aether_bus_shutdown(bus));
    expect_status(AETHER_SHUT_DOWN, unit_publish(bus, "a=1"));
    aether_bus_destroy(bus);
}
