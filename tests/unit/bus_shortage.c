/* Reading where allocations fail, each once and then all: snapshots are whole or failed, lags and conflation lose nothing.
 */
#include "common/unit.h"

#include "common/unit_bus.h"
#include "common/unit_snapshot.h"

#define WITH(...) ((aether_subscribe_options){__VA_ARGS__})

/* ------------------------------------------------------------------------------------------------------------- snapshots */

/* Whole, or failed: never an end behind a part. */
static bool is_whole_or_failed(aether_subscription *sub, const char *words)
{
    aether_status status = AETHER_NO_MEMORY;
    aether_event event;
    char came[256] = "", word[64];
    while ((status = aether_next(sub, &event, AETHER_NO_WAIT)) == AETHER_OK) {
        unit_word(&event, word, sizeof word);
        unit_add_word(came, sizeof came, word);
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
    unit_memory_fail_next(skip / 2, all);
    aether_subscription *sub = aether_subscribe(bus, "s.*", &WITH(.begin = AETHER_BEGIN_SNAPSHOT));
    bool failed = unit_memory_has_failed();
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

TEST(bus_shortage, BUS5_a_snapshot_is_whole_or_failed)
{
    expect_fine(unit_memory_each_failure(watch));
}

static void show_newest(struct unit_maker *maker, aether_snapshot *snapshot)
{
    (void)snapshot;
    maker->index = aether_bus_newest(maker->user).index;
}

/* A lag, and what follows from it, while allocations fail: at the latest when they do no more all is well. */
static bool lag_in(uint64_t skip, bool all, bool wide)
{
    enum { MANY = 200 };
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=state", .begin = show_newest, .user = bus};
    unit_handle(bus, "s", &maker);
    if (wide)
        unit_retain(bus, ">");
    expect_ok(unit_publish(bus, "s=1"));
    aether_subscription *sub = unit_subscribe_with(bus, "s",
                                                   WITH(.begin = wide ? AETHER_BEGIN_OLDEST : AETHER_BEGIN_SNAPSHOT,
                                                        .on_lag = AETHER_LAG_SNAPSHOT, .limit_bytes = UNIT_LIMIT));
    expect_events(wide ? "s=1" : "+s=state end@1", AETHER_EMPTY, sub);
    expect_ok(unit_publish_many(bus, "s", MANY, 100, NULL));
    unit_memory_fail_next(skip, all);
    aether_event event = {0};
    aether_status status = AETHER_OK;
    while (status == AETHER_OK && event.kind != AETHER_EVENT_SNAPSHOT_END)
        status = aether_next(sub, &event, AETHER_NO_WAIT);
    bool failed = unit_memory_has_failed();
    cr_assert(status == AETHER_OK || (failed && (status == AETHER_NO_MEMORY || status == AETHER_FAILED)), "%s",
              aether_status_text(status));
    if (status == AETHER_NO_MEMORY)
        expect_number(1, unit_bus_stats(bus).feeds); /* none that was made in vain */
    while (status != AETHER_FAILED && event.kind != AETHER_EVENT_SNAPSHOT_END)
        expect_ok(status = aether_next(sub, &event, AETHER_NO_WAIT));
    if (status == AETHER_OK)
        expect_number(MANY + 1, event.index);
    expect_fine(unit_adds_up(sub));
    expect_ok(unit_publish(bus, "s=after"));
    expect_events(status == AETHER_OK ? "s=after" : "", status == AETHER_OK ? AETHER_EMPTY : AETHER_FAILED, sub);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
    return failed;
}

static bool lag(uint64_t skip, bool all)
{
    return lag_in(skip, all, false);
}

static bool lag_in_wider_feed(uint64_t skip, bool all)
{
    return lag_in(skip, all, true);
}

TEST(bus_shortage, BUS3_a_lag_survives_failures)
{
    expect_fine(unit_memory_each_failure(lag));
}

TEST(bus_shortage, BUS7_so_does_one_that_leads_to_a_feed_of_its_own)
{
    expect_fine(unit_memory_each_failure(lag_in_wider_feed));
}

/* ------------------------------------------------------------------------------------------------------------ conflation */

static bool conflate(uint64_t skip, bool all)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe_with(bus, "*", WITH(.conflate = 10));
    expect_ok(unit_publish(bus, "a=1 b=1 c=1 a=2 d=1"));
    unit_memory_fail_next(skip, all);
    aether_event event;
    aether_status status;
    char newest[5] = "";
    bool failed = false;
    while ((status = aether_next(sub, &event, AETHER_NO_WAIT)) != AETHER_EMPTY) {
        if (status == AETHER_NO_MEMORY) {
            failed |= unit_memory_has_failed(); /* the next call may succeed */
            cr_assert(failed);
            continue;
        }
        expect_ok(status);
        newest[event.subject[0] - 'a'] = event.data.data[0];
    }
    failed |= unit_memory_has_failed();
    cr_assert_str_eq(newest, "2111");
    expect_fine(unit_adds_up(sub));
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
    return failed;
}

TEST(bus_shortage, BUS3_conflation_loses_nothing)
{
    expect_fine(unit_memory_each_failure(conflate));
}
