/* Every allocation fails once, and from some on all do: each call says so, nothing is lost, nothing half-visible, nothing
 * leaks. */
#include "common/unit.h"

#include "common/unit_bus.h"
#include "common/unit_snapshot.h"

#define WITH(...) ((aether_subscribe_options){__VA_ARGS__})

/* -------------------------------------------------------------------------------------------------------------- creating */

static bool create(uint64_t skip, bool all)
{
    aether_bus_options options = unit_bus_options();
    unit_memory_fail_next(skip, all);
    aether_bus *bus = aether_bus_create(&options);
    bool failed = unit_memory_has_failed();
    cr_assert((bus == NULL) == failed);
    if (failed)
        expect_status(AETHER_NO_MEMORY, aether_error_status());
    aether_bus_destroy(bus);
    return failed;
}

TEST(bus_memory, BUS1_a_bus_or_none)
{
    expect_fine(unit_memory_each_failure(create));
}

static bool open_handles(uint64_t skip, bool all)
{
    aether_bus *bus = unit_bus();
    unit_memory_fail_next(skip, all);
    aether_bus *space = aether_bus_namespace(bus, "space");
    aether_status status = aether_error_status();
    aether_bus *domain = NULL;
    aether_topic *topic = NULL;
    if (space != NULL) {
        domain = aether_bus_domain(bus, "domain", &(aether_bus_options){.segment_bytes = UNIT_SEGMENT});
        status = aether_error_status();
    }
    if (domain != NULL) {
        topic = aether_topic_open(domain, "a");
        status = aether_error_status();
    }
    bool failed = unit_memory_has_failed();
    if (topic == NULL)
        expect_status(AETHER_NO_MEMORY, status);
    cr_assert(failed || topic != NULL);
    aether_bus *again = aether_bus_domain(bus, "domain", &(aether_bus_options){.segment_bytes = UNIT_SEGMENT});
    cr_assert(again != NULL, "%s", aether_error()); /* what failed is not in the way */
    expect_ok(unit_publish(again, "a=1"));
    aether_topic_close(topic);
    aether_bus_destroy(again);
    aether_bus_destroy(domain);
    aether_bus_destroy(space);
    aether_bus_destroy(bus);
    return failed;
}

TEST(bus_memory, BUS12_handles_or_none)
{
    expect_fine(unit_memory_each_failure(open_handles));
}

/* ----------------------------------------------------------------------------------------------------------- subscribing */

static bool subscribe(uint64_t skip, bool all)
{
    static const char *const types[] = {"A", "B"};
    aether_subscribe_options options = {.label = "x", .conflate = 4, .filter = {types, 2, "*", NULL, NULL}};
    aether_bus *bus = unit_bus();
    aether_subscription *other = unit_subscribe(bus, ">", AETHER_BEGIN_NOW);
    unit_memory_fail_next(skip, all);
    aether_subscription *sub = aether_subscribe(bus, "a.*", &options);
    bool failed = unit_memory_has_failed();
    if (sub == NULL) {
        cr_assert(failed);
        expect_status(AETHER_NO_MEMORY, aether_error_status());
        expect_number(1, unit_bus_stats(bus).subscriptions);
        expect_number(1, unit_bus_stats(bus).feeds);
        sub = unit_subscribe_with(bus, "a.*", options);
    }
    expect_ok(aether_publish(bus, "a.b", AETHER_EVENT(.type = "A", .actor = "x", .data = AETHER_TEXT("1"))));
    expect_events("a.b=1", AETHER_EMPTY, sub);
    expect_events("a.b=1", AETHER_EMPTY, other);
    aether_subscription_close(sub);
    aether_subscription_close(other);
    aether_bus_destroy(bus);
    return failed;
}

TEST(bus_memory, BUS2_a_subscription_or_none)
{
    expect_fine(unit_memory_each_failure(subscribe));
}

/* ------------------------------------------------------------------------------------------------------------ publishing */

/* Large enough for blocks that feeds share, and for segments of their own. */
static aether_status publish_large(aether_bus *bus)
{
    static char data[3000];
    aether_event batch[] = {{.subject = "a.b", .type = "T", .data = {data, sizeof data}},
                            {.subject = "c", .type = "T", .data = {data, 10}},
                            {.subject = "a.d", .type = "T", .data = {data, sizeof data}}};
    return aether_publish_batch(bus, batch, 3);
}

static bool publish(uint64_t skip, bool all)
{
    aether_bus *bus = unit_bus();
    static const char *const patterns[] = {"a.b", "a.*", ">", "c"};
    static const uint64_t events[] = {1, 2, 3, 1};
    aether_subscription *subs[4];
    for (size_t i = 0; i < 4; i++)
        subs[i] = unit_subscribe(bus, patterns[i], AETHER_BEGIN_NOW);
    unit_memory_fail_next(skip, all);
    aether_status status = publish_large(bus);
    bool failed = unit_memory_has_failed();
    cr_assert(status == AETHER_OK || (failed && status == AETHER_NO_MEMORY), "%s", aether_status_text(status));
    aether_status empty;
    if (status != AETHER_OK) {
        expect_number(0, aether_bus_newest(bus).index);
        for (size_t i = 0; i < 4; i++)
            expect_number(0, unit_drain(subs[i], &empty));
        expect_ok(publish_large(bus));
    }
    expect_number(1, aether_bus_newest(bus).index);
    for (size_t i = 0; i < 4; i++) {
        expect_number(events[i], unit_drain(subs[i], &empty));
        expect_fine(unit_adds_up(subs[i]));
        aether_subscription_close(subs[i]);
    }
    aether_bus_destroy(bus);
    return failed;
}

TEST(bus_memory, BUS1_an_event_stands_in_all_feeds_or_in_none)
{
    expect_fine(unit_memory_each_failure(publish));
}

/* Subjects that are forgotten while a batch of them is published. */
static bool publish_forgotten(uint64_t skip, bool all)
{
    aether_bus_options options = unit_bus_options();
    options.topics = 1;
    aether_bus *bus = unit_bus_with(options);
    aether_subscription *sub = unit_subscribe(bus, "s.*", AETHER_BEGIN_NOW),
                        *other = unit_subscribe(bus, ">", AETHER_BEGIN_NOW);
    unit_memory_fail_next(skip, all);
    aether_status status = unit_publish_batch(bus, "s.1=1 s.2=2 t=3 s.3=4 s.1=5");
    bool failed = unit_memory_has_failed();
    if (status != AETHER_OK) {
        cr_assert(failed && status == AETHER_NO_MEMORY);
        expect_events("", AETHER_EMPTY, sub);
        expect_events("", AETHER_EMPTY, other);
        expect_ok(unit_publish_batch(bus, "s.1=1 s.2=2 t=3 s.3=4 s.1=5"));
    }
    expect_events("s.1=1 s.2=2 s.3=4 s.1=5", AETHER_EMPTY, sub);
    expect_events("s.1=1 s.2=2 t=3 s.3=4 s.1=5", AETHER_EMPTY, other);
    aether_subscription_close(sub);
    aether_subscription_close(other);
    aether_bus_destroy(bus);
    return failed;
}

TEST(bus_memory, BUS1_a_batch_of_many_subjects_stands_or_does_not)
{
    expect_fine(unit_memory_each_failure(publish_forgotten));
}

/* A batch of an earlier version, whose events are made complete first. */
static bool publish_earlier(uint64_t skip, bool all)
{
    enum { EARLIER = offsetof(aether_event, data), COUNT = 200 };
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe(bus, "*", AETHER_BEGIN_NOW);
    static unsigned char batch[COUNT * EARLIER];
    for (size_t i = 0; i < COUNT; i++)
        memcpy(batch + i * EARLIER, AETHER_EVENT(.subject = "a", .type = "T"), EARLIER);
    unit_memory_fail_next(skip, all);
    aether_status status = aether_publish_batch_sized(bus, (const aether_event *)(const void *)batch, COUNT, EARLIER);
    bool failed = unit_memory_has_failed();
    cr_assert(status == AETHER_OK || (failed && status == AETHER_NO_MEMORY));
    aether_status empty;
    expect_number(status == AETHER_OK ? COUNT : 0, unit_drain(sub, &empty));
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
    return failed;
}

TEST(bus_memory, D2_a_batch_of_an_earlier_version_stands_or_does_not)
{
    expect_fine(unit_memory_each_failure(publish_earlier));
}

static bool count_pattern(const aether_pattern_stats *stats, void *user)
{
    (void)stats;
    ++*(int *)user;
    return true;
}

static bool look_at_figures(uint64_t skip, bool all)
{
    aether_bus *bus = unit_bus();
    unit_retain(bus, "a");
    unit_retain(bus, "b");
    unit_memory_fail_next(skip, all);
    int patterns = 0;
    aether_status status = aether_bus_each_pattern(bus, count_pattern, &patterns);
    bool failed = unit_memory_has_failed();
    expect_status(failed ? AETHER_NO_MEMORY : AETHER_OK, status);
    expect_number(failed ? 0 : 2, patterns);
    aether_bus_destroy(bus);
    return failed;
}

TEST(bus_memory, BUS13_figures_of_all_patterns_or_none)
{
    expect_fine(unit_memory_each_failure(look_at_figures));
}

/* Over many segments: what is answered with AETHER_OK is there, and nothing else. */
TEST(bus_memory, BUS1_publishing_goes_on_beside_failures)
{
    aether_bus *bus = unit_bus();
    aether_subscription *one = unit_subscribe(bus, "a", AETHER_BEGIN_NOW), *all = unit_subscribe(bus, ">", AETHER_BEGIN_NOW);
    uint64_t published = 0, failures = 0;
    for (uint64_t i = 0; i < 500; i++) {
        unit_memory_fail(i % 3, 1);
        aether_status status = unit_publish_many(bus, "a", 1, i * 7 % 1500, NULL);
        unit_memory_fail(0, 0);
        cr_assert(status == AETHER_OK || status == AETHER_NO_MEMORY);
        published += status == AETHER_OK;
        failures += status != AETHER_OK;
        expect_number(published, aether_bus_newest(bus).index);
    }
    cr_assert(published > 100 && failures > 10);
    aether_status status;
    expect_number(published, unit_drain(one, &status));
    expect_number(published, unit_drain(all, &status));
    expect_number(failures, unit_bus_stats(bus).refused);
    aether_subscription_close(one);
    aether_subscription_close(all);
    aether_bus_destroy(bus);
}

/* ------------------------------------------------------------------------------------------------------------- histories */

static bool change_history(uint64_t skip, bool all)
{
    aether_bus *bus = unit_bus();
    unit_retain(bus, "a");
    expect_ok(unit_publish(bus, "a=1"));
    aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_NOW);
    struct unit_maker maker = {0};
    aether_snapshot_handler handler = unit_handler(&maker);
    unit_memory_fail_next(skip, all);
    aether_status retained = aether_bus_retain(bus, "b.*", &(aether_retention){.events = 5});
    aether_status handled = aether_bus_handle_snapshots(bus, "h.>", &handler);
    aether_status refreshed = aether_bus_refresh(bus, "a");
    aether_status reset = aether_bus_reset(bus, &(aether_position){5, 0});
    bool failed = unit_memory_has_failed();
    aether_status answers[] = {retained, handled, refreshed, reset};
    bool all_well = true;
    for (size_t i = 0; i < 4; i++) {
        cr_assert(answers[i] == AETHER_OK || answers[i] == AETHER_NO_MEMORY);
        all_well &= answers[i] == AETHER_OK;
    }
    cr_assert(failed || all_well);
    expect_status(refreshed == AETHER_OK || reset == AETHER_OK ? AETHER_RESET : AETHER_EMPTY, unit_try(sub));
    expect_number(reset == AETHER_OK ? 5 : UNIT_EPOCH, aether_bus_newest(bus).epoch);
    expect_status(retained == AETHER_OK ? AETHER_OK : AETHER_INVALID, aether_bus_release(bus, "b.*"));
    expect_status(handled == AETHER_OK ? AETHER_OK : AETHER_NO_HANDLER, aether_bus_unhandle_snapshots(bus, "h.>", true));
    aether_subscription *next = aether_subscribe(bus, "a", &WITH(.begin = AETHER_BEGIN_OLDEST));
    expect_ok(unit_publish(bus, "a=2"));
    expect_events(refreshed == AETHER_OK || reset == AETHER_OK ? "a=2" : "a=1 a=2", AETHER_EMPTY, next);
    aether_subscription_close(sub);
    aether_subscription_close(next);
    aether_bus_destroy(bus);
    return failed;
}

TEST(bus_memory, BUS7_a_history_changes_wholly_or_not)
{
    expect_fine(unit_memory_each_failure(change_history));
}

/* ---------------------------------------------------------------------------------------------------------- what cannot
 * fail */

TEST(bus_memory, BUS8_ending_needs_no_memory)
{
    aether_bus *bus = unit_bus();
    aether_topic *topic = aether_topic_open(bus, "a");
    aether_subscription *subs[4];
    for (size_t i = 0; i < 4; i++)
        subs[i] = unit_subscribe_with(bus, i % 2 == 0 ? "a" : "b.*", WITH(.label = "x"));
    expect_ok(unit_publish(bus, "a=1 b.c=2"));
    unit_memory_fail(0, UINT64_MAX);
    expect_ok(aether_unsubscribe(subs[0]));
    expect_ok(aether_bus_close_label(bus, "x", AETHER_ACCESS_CHANGED));
    expect_events("", AETHER_UNSUBSCRIBED, subs[0]);
    expect_events("", AETHER_ACCESS_CHANGED, subs[1]);
    expect_fine(unit_adds_up(subs[1]));
    for (size_t i = 0; i < 3; i++)
        aether_subscription_close(subs[i]);
    aether_topic_close(topic);
    expect_ok(aether_bus_shutdown(bus));
    aether_bus_destroy(bus);
    aether_subscription_close(subs[3]);
    unit_memory_fail(0, 0);
}
