/* Snapshots that are kept: for their time, within their bytes, followed by all that came since. */
#include "common/unit.h"

#include "common/unit_bus.h"
#include "common/unit_clock.h"
#include "common/unit_snapshot.h"

static void handle(aether_bus *bus, const char *pattern, struct unit_maker *maker, int64_t cache_ns)
{
    aether_snapshot_handler handler = unit_handler(maker);
    handler.cache_ns = cache_ns;
    expect_ok(aether_bus_handle_snapshots(bus, pattern, &handler));
}

/* A clock that a test moves, from now on. */
static void stop_the_clock(void)
{
    unit_clock_install(unit_now());
}

TEST(bus_cache, BUS6_a_cached_snapshot_is_followed_by_all_that_came_since)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=1 s=2"};
    handle(bus, "s", &maker, AETHER_SECONDS(60));
    aether_subscription *first = unit_watch(bus, "s");
    expect_ok(unit_publish(bus, "s=3 t=4"));
    maker.status = AETHER_FAILED; /* it is not asked again */
    aether_subscription *second = unit_watch(bus, "s");
    expect_ok(unit_publish(bus, "s=5"));
    static const char *const none[] = {"x"};
    aether_subscription *filtered = unit_subscribe_with(
        bus, "s", (aether_subscribe_options){.begin = AETHER_BEGIN_SNAPSHOT, .filter = {.types = none, .type_count = 1}});
    expect_events("+s=1 +s=2 end@0 s=3 s=5", AETHER_EMPTY, first);
    expect_events("+s=1 +s=2 end@0 s=3 s=5", AETHER_EMPTY, second);
    expect_events("end@0", AETHER_EMPTY, filtered);
    expect_account(second, .published = 2, .delivered = 2, .snapshot_events = 2, .snapshots = 1);
    expect_account(filtered, .published = 2, .filtered = 2, .snapshots = 1);
    expect_number(1, unit_runs(&maker));
    expect_number(2, unit_bus_stats(bus).snapshots_shared);
    aether_subscription_close(first);
    aether_subscription_close(second);
    aether_subscription_close(filtered);
    aether_bus_destroy(bus);
}

TEST(bus_cache, BUS6_without_a_cache_each_one_is_made_anew)
{
    static const int64_t ways[] = {0, -1};
    for (size_t way = 0; way < 2; way++) {
        aether_bus *bus = unit_bus();
        struct unit_maker maker = {.words = "s=1"};
        handle(bus, "s", &maker, ways[way]);
        aether_subscription *first = unit_watch(bus, "s"), *second = unit_watch(bus, "s");
        expect_number(2, unit_runs(&maker));
        expect_events("+s=1 end@0", AETHER_EMPTY, first);
        expect_events("+s=1 end@0", AETHER_EMPTY, second);
        aether_subscription_close(first);
        aether_subscription_close(second);
        aether_bus_destroy(bus);
    }
}

static void expect_runs(uint32_t runs, aether_bus *bus, struct unit_maker *maker)
{
    aether_subscription_close(unit_watch(bus, "s"));
    expect_number(runs, unit_runs(maker));
}

TEST(bus_cache, BUS6_a_cached_snapshot_serves_for_its_time)
{
    aether_bus *bus = unit_bus();
    stop_the_clock();
    struct unit_maker maker = {.words = "s=1"};
    handle(bus, "s", &maker, AETHER_SECONDS(10));
    aether_subscription *keeper = unit_subscribe(bus, "s", AETHER_BEGIN_NOW);
    expect_runs(1, bus, &maker);
    unit_clock_advance(AETHER_SECONDS(9));
    expect_runs(1, bus, &maker);
    unit_clock_advance(AETHER_SECONDS(2));
    expect_runs(2, bus, &maker);
    unit_clock_advance(AETHER_SECONDS(9));
    expect_runs(2, bus, &maker);
    aether_subscription_close(keeper);
    aether_bus_destroy(bus);
}

TEST(bus_cache, BUS6_an_older_snapshots_time_does_not_end_a_newer_one)
{
    aether_bus *bus = unit_bus();
    stop_the_clock();
    struct unit_maker maker = {.words = "s=1"};
    handle(bus, "s", &maker, AETHER_SECONDS(10));
    expect_runs(1, bus, &maker);
    unit_clock_advance(AETHER_SECONDS(6));
    expect_ok(aether_bus_refresh(bus, "s")); /* the first one goes, before its time */
    aether_subscription *keeper = unit_subscribe(bus, "s", AETHER_BEGIN_NOW);
    expect_runs(2, bus, &maker);
    unit_clock_advance(AETHER_SECONDS(6)); /* the first one's time is over */
    for (int i = 0; i < 20; i++) {
        expect_runs(2, bus, &maker);
        unit_pause(unit_give_up_at()); /* for the thread that keeps house */
    }
    unit_clock_advance(AETHER_SECONDS(5));
    expect_runs(3, bus, &maker);
    aether_subscription_close(keeper);
    aether_bus_destroy(bus);
}

TEST(bus_cache, BUS6_an_expired_snapshot_gives_its_memory_back_by_itself)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=1"};
    aether_subscription *keeper = unit_subscribe(bus, "s", AETHER_BEGIN_NOW);
    uint64_t blocks = unit_memory().blocks;
    handle(bus, "s", &maker, AETHER_MILLISECONDS(3));
    uint64_t with_handler = unit_memory().blocks;
    aether_subscription_close(unit_watch(bus, "s"));
    cr_assert(unit_until((aether_memory_drain(), unit_memory().blocks <= with_handler + 2))); /* and its thread's */
    cr_assert(blocks < with_handler);
    aether_subscription_close(keeper);
    aether_bus_destroy(bus);
}

TEST(bus_cache, BUS6_a_cached_snapshot_goes_when_too_much_follows_it)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=1"};
    aether_snapshot_handler handler = unit_handler(&maker);
    handler.cache_ns = AETHER_SECONDS(60);
    handler.cache_bytes = 2 * UNIT_LIMIT;
    expect_ok(aether_bus_handle_snapshots(bus, "s", &handler));
    aether_subscription *keeper = unit_subscribe(bus, "s", AETHER_BEGIN_NOW);
    expect_runs(1, bus, &maker);
    expect_ok(unit_publish_many(bus, "s", 5, 100, NULL));
    aether_subscription *sub = unit_watch(bus, "s");
    aether_status status;
    expect_number(7, unit_drain(sub, &status)); /* the snapshot, its end, and all that followed */
    expect_number(1, unit_runs(&maker));
    maker.index = 5;
    expect_ok(unit_publish_many(bus, "s", 200, 100, NULL));
    maker.index = 205;
    expect_runs(2, bus, &maker);
    aether_subscription_close(sub);
    aether_subscription_close(keeper);
    aether_bus_destroy(bus);
}

TEST(bus_cache, BUS6_the_least_that_a_cache_follows_is_four_segments)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=1"};
    aether_snapshot_handler handler = unit_handler(&maker);
    handler.cache_ns = AETHER_SECONDS(60);
    handler.cache_bytes = 1;
    expect_ok(aether_bus_handle_snapshots(bus, "s", &handler));
    aether_subscription *keeper = unit_subscribe(bus, "s", AETHER_BEGIN_NOW);
    expect_runs(1, bus, &maker);
    expect_ok(unit_publish_many(bus, "s", 5, 100, NULL));
    expect_runs(1, bus, &maker);
    aether_subscription_close(keeper);
    aether_bus_destroy(bus);
}

TEST(bus_cache, BUS6_a_cached_snapshot_has_no_mark_of_who_came_too_late)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=1", .index = 3};
    handle(bus, "s", &maker, AETHER_SECONDS(60));
    expect_ok(unit_publish(bus, "s=1 s=2 s=3"));
    aether_subscription *late =
        unit_begin_at(bus, "s", AETHER_BEGIN_RESUME, UNIT_EPOCH, 1); /* long gone: a new one is made for it */
    aether_subscription *fresh = unit_watch(bus, "s"),
                        *late_too = unit_begin_at(bus, "s", AETHER_BEGIN_RESUME, UNIT_EPOCH, 2);
    expect_ok(unit_publish(bus, "s=4"));
    expect_events("follows +s=1 end@3 s=4", AETHER_EMPTY, late);
    expect_events("+s=1 end@3 s=4", AETHER_EMPTY, fresh);
    expect_events("follows +s=1 end@3 s=4", AETHER_EMPTY, late_too);
    expect_number(1, unit_runs(&maker));
    aether_subscription_close(late);
    aether_subscription_close(fresh);
    aether_subscription_close(late_too);
    aether_bus_destroy(bus);
}

TEST(bus_cache, BUS6_feed_and_cache_go_with_the_last_subscription)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=1"};
    handle(bus, "s", &maker, AETHER_SECONDS(60));
    aether_subscription *one = unit_watch(bus, "s"), *two = unit_watch(bus, "s");
    aether_subscription_close(one);
    expect_number(1, unit_bus_stats(bus).feeds);
    aether_subscription_close(two);
    expect_number(0, unit_bus_stats(bus).feeds);
    expect_ok(unit_publish(bus, "s=2"));
    maker.index = 1;
    aether_subscription *sub = unit_watch(bus, "s"); /* the old one is not followed by 2 */
    expect_events("+s=1 end@1", AETHER_EMPTY, sub);
    expect_number(2, unit_runs(&maker));
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}
