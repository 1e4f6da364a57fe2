/* Every allocation fails once, and from some on all do: each call says so, nothing is lost, nothing half-visible, nothing
 * leaks. */
#include "common/unit.h"

#include "common/unit_bus.h"
#include "common/unit_snapshot.h"

#define WITH(...) ((aether_subscribe_options){__VA_ARGS__})

/* The allocation after `skip` others fails, or all from there on; until the loop has come to an end of the failures. */
static void fail_next(uint64_t skip, bool all)
{
    unit_memory_forget_fails();
    unit_memory_fail(skip, all ? UINT64_MAX : 1);
}

static bool has_failed(void)
{
    unit_memory_fail(0, 0);
    return unit_memory().fails != 0;
}

/* `body(skip, all)` until it answers that no allocation has failed. */
static void for_each_failure(bool (*body)(uint64_t skip, bool all))
{
    for (int all = 0; all < 2; all++) {
        uint64_t skip = 0;
        while (body(skip, all)) {
            cr_assert(unit_memory_is_balanced(), "allocation %" PRIu64 " failed, and something leaks", skip);
            cr_assert(++skip < 500);
        }
        cr_assert(skip > 0); /* something has failed */
    }
}

/* -------------------------------------------------------------------------------------------------------------- creating */

static bool create(uint64_t skip, bool all)
{
    aether_bus_options options = unit_bus_options();
    fail_next(skip, all);
    aether_bus *bus = aether_bus_create(&options);
    bool failed = has_failed();
    cr_assert((bus == NULL) == failed);
    if (failed)
        expect_status(AETHER_NO_MEMORY, aether_error_status());
    aether_bus_destroy(bus);
    return failed;
}

TEST(bus_memory, BUS1_a_bus_or_none)
{
    for_each_failure(create);
}

static bool open_handles(uint64_t skip, bool all)
{
    aether_bus *bus = unit_bus();
    fail_next(skip, all);
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
    bool failed = has_failed();
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
    for_each_failure(open_handles);
}

/* ----------------------------------------------------------------------------------------------------------- subscribing */

static bool subscribe(uint64_t skip, bool all)
{
    static const char *const types[] = {"A", "B"};
    aether_subscribe_options options = {.label = "x", .conflate = 4, .filter = {types, 2, "*", NULL, NULL}};
    aether_bus *bus = unit_bus();
    aether_subscription *other = unit_subscribe(bus, ">", AETHER_BEGIN_NOW);
    fail_next(skip, all);
    aether_subscription *sub = aether_subscribe(bus, "a.*", &options);
    bool failed = has_failed();
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
    for_each_failure(subscribe);
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
    fail_next(skip, all);
    aether_status status = publish_large(bus);
    bool failed = has_failed();
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
    for_each_failure(publish);
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

/* ------------------------------------------------------------------------------------------------------------- snapshots */

/* Whole, or failed: never an end behind a part. */
static bool is_whole_or_failed(aether_subscription *sub, const char *words)
{
    aether_status status = AETHER_NO_MEMORY;
    aether_event event;
    char came[256] = "", word[64];
    while ((status = aether_next(sub, &event, AETHER_NO_WAIT)) == AETHER_OK) {
        unit_word(&event, word, sizeof word);
        strcat(strcat(came, *came != '\0' ? " " : ""), word);
    }
    if (status == AETHER_FAILED) {
        cr_assert(strstr(came, "end") == NULL, "%s", came);
        return false;
    }
    expect_status(AETHER_EMPTY, status);
    cr_assert_str_eq(came, words);
    return true;
}

static bool watch(uint64_t skip, bool all)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s.1=1 s.2=2 | s.3=3"};
    aether_snapshot_handler handler = unit_handler(&maker);
    handler.by_subject = skip % 2 == 0;
    expect_ok(aether_bus_handle_snapshots(bus, "s.*", &handler));
    fail_next(skip / 2, all);
    aether_subscription *sub = aether_subscribe(bus, "s.*", &WITH(.begin = AETHER_BEGIN_SNAPSHOT));
    bool failed = has_failed();
    if (sub == NULL) {
        expect_status(AETHER_NO_MEMORY, aether_error_status());
    } else if (!is_whole_or_failed(sub, "+s.1=1 +s.2=2 +s.3=3 end@0")) {
        cr_assert(failed);
    }
    aether_subscription_close(sub);
    expect_number(0, unit_bus_stats(bus).subscriptions);
    expect_number(0, unit_bus_stats(bus).feeds);
    aether_subscription *next = unit_watch(bus, "s.*");
    cr_assert(is_whole_or_failed(next, "+s.1=1 +s.2=2 +s.3=3 end@0"));
    aether_subscription_close(next);
    aether_bus_destroy(bus);
    return failed;
}

TEST(bus_memory, BUS5_a_snapshot_is_whole_or_failed)
{
    for_each_failure(watch);
}

static void show_newest(struct unit_maker *maker, aether_snapshot *snapshot)
{
    (void)snapshot;
    maker->index = aether_bus_newest(maker->user).index;
}

/* A lag, and what follows from it, while allocations fail: at the latest when they do no more all is well. */
static bool lag(uint64_t skip, bool all)
{
    enum { MANY = 200 };
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=state", .begin = show_newest, .user = bus};
    unit_handle(bus, "s", &maker);
    aether_subscription *sub =
        unit_subscribe_with(bus, "s", WITH(.begin = AETHER_BEGIN_SNAPSHOT, .limit_bytes = UNIT_LIMIT));
    expect_events("+s=state end@0", AETHER_EMPTY, sub);
    expect_ok(unit_publish_many(bus, "s", MANY, 100, NULL));
    fail_next(skip, all);
    aether_event event = {0};
    aether_status status = AETHER_OK;
    while (status == AETHER_OK && event.kind != AETHER_EVENT_SNAPSHOT_END)
        status = aether_next(sub, &event, AETHER_NO_WAIT);
    bool failed = has_failed();
    cr_assert(status == AETHER_OK || (failed && (status == AETHER_NO_MEMORY || status == AETHER_FAILED)), "%s",
              aether_status_text(status));
    while (status != AETHER_FAILED && event.kind != AETHER_EVENT_SNAPSHOT_END)
        expect_ok(status = aether_next(sub, &event, AETHER_NO_WAIT));
    if (status == AETHER_OK)
        expect_number(MANY, event.index);
    expect_fine(unit_adds_up(sub));
    expect_ok(unit_publish(bus, "s=after"));
    expect_events(status == AETHER_OK ? "s=after" : "", status == AETHER_OK ? AETHER_EMPTY : AETHER_FAILED, sub);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
    return failed;
}

TEST(bus_memory, BUS3_a_lag_survives_failures)
{
    for_each_failure(lag);
}

/* ------------------------------------------------------------------------------------------------------------ conflation */

static bool conflate(uint64_t skip, bool all)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe_with(bus, "*", WITH(.conflate = 10));
    expect_ok(unit_publish(bus, "a=1 b=1 c=1 a=2 d=1"));
    fail_next(skip, all);
    aether_event event;
    aether_status status;
    char newest[5] = "";
    bool failed = false;
    while ((status = aether_next(sub, &event, AETHER_NO_WAIT)) != AETHER_EMPTY) {
        if (status == AETHER_NO_MEMORY) {
            failed |= has_failed(); /* the next call may succeed */
            cr_assert(failed);
            continue;
        }
        expect_ok(status);
        newest[event.subject[0] - 'a'] = event.data.data[0];
    }
    failed |= has_failed();
    cr_assert_str_eq(newest, "2111");
    expect_fine(unit_adds_up(sub));
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
    return failed;
}

TEST(bus_memory, BUS3_conflation_loses_nothing)
{
    for_each_failure(conflate);
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
    fail_next(skip, all);
    aether_status retained = aether_bus_retain(bus, "b.*", &(aether_retention){.events = 5});
    aether_status handled = aether_bus_handle_snapshots(bus, "h.>", &handler);
    aether_status refreshed = aether_bus_refresh(bus, "a");
    aether_status reset = aether_bus_reset(bus, &(aether_position){5, 0});
    bool failed = has_failed();
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
    for_each_failure(change_history);
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
