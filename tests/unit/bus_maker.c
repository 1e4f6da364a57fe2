/* Snapshots while they are being made: herds, what is read of them already, what handlers may do, handlers that hang. */
#include "common/unit.h"

#include "common/unit_bus.h"
#include "common/unit_snapshot.h"

static void handle(aether_bus *bus, const char *pattern, struct unit_maker *maker, int64_t cache_ns, bool on_pool)
{
    aether_snapshot_handler handler = unit_handler(maker);
    handler.cache_ns = cache_ns;
    handler.on_pool = on_pool;
    expect_ok(aether_bus_handle_snapshots(bus, pattern, &handler));
}

/* ------------------------------------------------------------------------------------------------------------ being made */

TEST(bus_maker, BUS5_the_first_batch_is_read_while_the_last_is_being_made)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=1 | s=2"};
    unit_hold(&maker);
    handle(bus, "s", &maker, 0, true);
    aether_subscription *sub = unit_watch(bus, "s"); /* does not wait for it */
    expect_arrivals("+s=1 +s=2", sub);
    expect_events("", AETHER_EMPTY, sub);
    expect_number(1, maker.inside);
    expect_ok(unit_publish(bus, "s=3"));
    expect_events("", AETHER_EMPTY, sub);
    struct unit_follower follower;
    cr_assert(unit_follower_put_to_sleep(&follower, sub));
    unit_let_go(&maker);
    expect_ok(unit_follower_join(&follower));
    cr_assert_str_eq(follower.word, "end@0");
    expect_arrivals("s=3", sub); /* who makes it may be about to lead on to what follows */
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_maker, BUS5_the_pool_runs_handlers_beside_each_other)
{
    aether_bus *bus = unit_bus();
    struct unit_maker first = {.words = "a=1"}, second = {.words = "b=2"};
    handle(bus, "a", &first, 0, true);
    handle(bus, "b", &second, 0, true);
    for (int round = 0; round < 3; round++) {
        unit_hold(&first);
        aether_subscription *one = unit_watch(bus, "a");
        cr_assert(unit_until(unit_is_held(&first)));
        aether_subscription *other = unit_watch(bus, "b");
        expect_arrivals("+b=2 end@0", other);
        unit_let_go(&first);
        expect_arrivals("+a=1 end@0", one);
        aether_subscription_close(one);
        aether_subscription_close(other);
    }
    aether_bus_destroy(bus);
}

static const char *watch_and_read(void *user)
{
    aether_subscription *sub = aether_subscribe(user, "s", &(aether_subscribe_options){.begin = AETHER_BEGIN_SNAPSHOT});
    claim(sub != NULL);
    const char *wrong = unit_arrivals(sub, "+s=1 +s=2 end@0");
    aether_subscription_close(sub);
    return wrong;
}

TEST(bus_maker, BUS5_a_herd_is_served_by_one_run)
{
    enum { HERD = 16 };
    for (int on_pool = 0; on_pool < 2; on_pool++) {
        aether_bus *bus = unit_bus();
        struct unit_maker maker = {.words = "s=1 s=2"};
        unit_hold(&maker);
        handle(bus, "s", &maker, -1, on_pool); /* without a cache as well */
        struct unit_thread first, herd[HERD];
        cr_assert(unit_thread_start(&first, 0, watch_and_read, bus));
        cr_assert(unit_until(unit_is_held(&maker)));
        for (size_t i = 0; i < HERD; i++)
            cr_assert(unit_thread_start(&herd[i], 0, watch_and_read, bus));
        cr_assert(unit_until(unit_bus_stats(bus).snapshots_shared == HERD));
        unit_let_go(&maker);
        expect_fine(unit_thread_join(&first));
        for (size_t i = 0; i < HERD; i++)
            expect_fine(unit_thread_join(&herd[i]));
        expect_number(1, unit_runs(&maker));
        expect_number(1, unit_bus_stats(bus).snapshots_made);
        expect_number(2, unit_bus_stats(bus).snapshot_events);
        aether_bus_destroy(bus);
    }
}

TEST(bus_maker, BUS5_a_failure_reaches_the_whole_herd)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=1", .status = AETHER_NO_MEMORY};
    unit_hold(&maker);
    handle(bus, "s", &maker, AETHER_SECONDS(60), true);
    aether_subscription *subs[5];
    for (size_t i = 0; i < 5; i++)
        subs[i] = unit_watch(bus, "s");
    unit_let_go(&maker);
    for (size_t i = 0; i < 5; i++) {
        aether_event event;
        aether_status status;
        while ((status = aether_next(subs[i], &event, AETHER_SECONDS(20))) == AETHER_OK)
            expect_number(AETHER_EVENT_SNAPSHOT, event.kind);
        expect_status(AETHER_FAILED, status);
        aether_subscription_close(subs[i]);
    }
    expect_number(1, unit_runs(&maker));
    aether_bus_destroy(bus);
}

TEST(bus_maker, BUS5_publishing_and_subscribing_go_on_while_a_handler_runs)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=1"}, quick = {.words = "q=2"};
    unit_hold(&maker);
    handle(bus, "s", &maker, 0, true);
    handle(bus, "q", &quick, 0, false);
    aether_subscription *sub = unit_watch(bus, "s");
    cr_assert(unit_until(unit_is_held(&maker)));
    aether_subscription *other = unit_subscribe(bus, "s", AETHER_BEGIN_NOW);
    expect_ok(unit_publish(bus, "s=3 s=4"));
    expect_events("s=3 s=4", AETHER_EMPTY, other);
    aether_subscription *third = unit_watch(bus, "q"); /* another snapshot */
    expect_events("+q=2 end@0", AETHER_EMPTY, third);
    aether_subscription_close(other);
    aether_subscription_close(third);
    expect_number(1, maker.inside);
    unit_let_go(&maker);
    expect_arrivals("+s=1 end@0 s=3 s=4", sub);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_maker, BUS5_who_needs_a_later_one_does_not_join_the_one_that_is_being_made)
{
    enum { MANY = 100, SIZE = 100 };
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=1"};
    unit_hold(&maker);
    handle(bus, "s", &maker, AETHER_SECONDS(60), true);
    aether_subscription *slow =
        unit_subscribe_with(bus, "s", (aether_subscribe_options){.on_lag = AETHER_LAG_SNAPSHOT, .limit_bytes = UNIT_LIMIT});
    aether_subscription *first = unit_watch(bus, "s");
    expect_arrivals("+s=1", first);
    expect_ok(unit_publish_many(bus, "s", MANY, SIZE, NULL));
    aether_event event;
    do /* what it held */
        expect_ok(aether_next(slow, &event, AETHER_NO_WAIT));
    while (event.kind == AETHER_EVENT_LIVE);
    expect_number(AETHER_EVENT_SNAPSHOT_FOLLOWS, event.kind);
    expect_arrivals("+s=1", slow); /* that of another call: the first one may not show what was missed */
    expect_number(2, unit_runs(&maker));
    maker.index = MANY;
    unit_let_go(&maker);
    expect_arrivals("end@100", slow);
    expect_arrivals("end@100", first);
    cr_assert(unit_until(unit_bus_stats(bus).snapshots_made == 2));
    aether_subscription_close(slow);
    aether_subscription_close(first);
    aether_bus_destroy(bus);
}

TEST(bus_maker, BUS5_a_handler_whose_watchers_have_left_ends_alone)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=1"};
    unit_hold(&maker);
    handle(bus, "s", &maker, AETHER_SECONDS(60), true);
    aether_subscription *sub = unit_watch(bus, "s");
    expect_arrivals("+s=1", sub);
    aether_subscription_close(sub);
    expect_number(0, unit_bus_stats(bus).feeds);
    aether_subscription *next = unit_watch(bus, "s"); /* the feed is another one, and so is the snapshot */
    expect_ok(unit_publish(bus, "s=2"));
    unit_let_go(&maker);
    expect_arrivals("+s=1 end@0 s=2", next);
    expect_number(2, unit_runs(&maker));
    aether_subscription_close(next);
    aether_bus_destroy(bus);
}

static void use_the_bus(struct unit_maker *maker, aether_snapshot *snapshot)
{
    (void)snapshot;
    aether_bus *bus = maker->user;
    aether_event event;
    cr_assert(unit_publish(bus, "s=inside other=inside") == AETHER_OK);
    aether_subscription *sub = aether_subscribe(bus, "other", NULL);
    cr_assert(sub != NULL && aether_next(sub, &event, AETHER_NO_WAIT) == AETHER_EMPTY);
    cr_assert(aether_next(sub, &event, AETHER_FOREVER) == AETHER_WOULD_BLOCK);
    cr_assert(unit_publish(bus, "other=again") == AETHER_OK && aether_next(sub, &event, AETHER_FOREVER) == AETHER_OK);
    aether_subscription_close(sub);
    cr_assert(aether_bus_newest(bus).index == 3);
    cr_assert(aether_bus_unhandle_snapshots(bus, "nobody", true) == AETHER_NO_HANDLER);
}

TEST(bus_maker, BUS5_a_handler_publishes_and_subscribes_and_never_waits)
{
    for (int on_pool = 0; on_pool < 2; on_pool++) {
        aether_bus *bus = unit_bus();
        struct unit_maker maker = {.begin = use_the_bus, .user = bus, .words = "s=state", .index = 1};
        handle(bus, "s", &maker, 0, on_pool);
        aether_subscription *sub = unit_watch(bus, "s");
        expect_arrivals("+s=state end@1", sub);
        expect_ok(unit_publish(bus, "s=after"));
        expect_arrivals("s=after", sub);
        expect_account(sub, .published = 2, .delivered = 1, .below_watermark = 1, .snapshot_events = 1, .snapshots = 1);
        aether_subscription_close(sub);
        aether_bus_destroy(bus);
    }
}

static void watch_something_else(struct unit_maker *maker, aether_snapshot *snapshot)
{
    (void)snapshot;
    aether_subscription *sub =
        aether_subscribe(maker->user, "inner", &(aether_subscribe_options){.begin = AETHER_BEGIN_SNAPSHOT});
    cr_assert(sub != NULL && unit_events(sub, "+inner=1 end@0", AETHER_EMPTY) == NULL);
    aether_subscription_close(sub);
}

TEST(bus_maker, BUS5_a_handler_may_read_another_ones_snapshot)
{
    aether_bus *bus = unit_bus();
    struct unit_maker inner = {.words = "inner=1"};
    struct unit_maker outer = {.begin = watch_something_else, .user = bus, .words = "outer=2"};
    handle(bus, "inner", &inner, 0, false);
    handle(bus, "outer", &outer, 0, false);
    aether_subscription *sub = unit_watch(bus, "outer");
    expect_events("+outer=2 end@0", AETHER_EMPTY, sub);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

static void take_myself_away(struct unit_maker *maker, aether_snapshot *snapshot)
{
    (void)snapshot;
    maker->appended = aether_bus_unhandle_snapshots(maker->user, "s", maker->index == 0);
}

TEST(bus_maker, BUS9_a_handler_that_takes_itself_away_does_not_wait_for_itself)
{
    aether_bus *bus = unit_bus();
    expect_ok(unit_publish(bus, "s@1"));
    for (uint64_t index = 0; index < 2; index++) { /* with 0 it would wait */
        struct unit_maker maker = {.begin = take_myself_away, .user = bus, .words = "s=1", .index = index};
        handle(bus, "s", &maker, 0, false);
        aether_subscription *sub = unit_watch(bus, "s");
        expect_status(index == 0 ? AETHER_WOULD_BLOCK : AETHER_OK, maker.appended);
        expect_events(index == 0 ? "+s=1 end@0" : "+s=1 end@1", AETHER_EMPTY, sub);
        expect_status(AETHER_NO_HANDLER, aether_bus_unhandle_snapshots(bus, "s", false)); /* it is away all the same */
        aether_subscription_close(sub);
    }
    aether_bus_destroy(bus);
}

static const char *take_handler_away(void *user)
{
    return aether_bus_unhandle_snapshots(user, "s", true) == AETHER_OK ? NULL : "not taken away";
}

TEST(bus_maker, BUS5_taking_a_handler_away_waits_until_it_is_not_running)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=1"};
    unit_hold(&maker);
    handle(bus, "s", &maker, 0, true);
    aether_subscription *sub = unit_watch(bus, "s");
    cr_assert(unit_until(unit_is_held(&maker)));
    struct unit_thread thread;
    cr_assert(unit_thread_start(&thread, 0, take_handler_away, bus));
    aether_subscribe_options options = {.begin = AETHER_BEGIN_SNAPSHOT};
    aether_subscription *next;
    cr_assert(unit_until((next = aether_subscribe(bus, "s", &options)) == NULL ||
                         (aether_subscription_close(next), false))); /* no call of it begins any more */
    expect_status(AETHER_NO_HANDLER, aether_error_status());
    cr_assert(unit_until(unit_thread_state(thread.tid) == 'S'));
    unit_let_go(&maker);
    expect_fine(unit_thread_join(&thread));
    expect_number(0, maker.inside);
    expect_arrivals("+s=1 end@0", sub); /* it was made to its end */
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

/* -------------------------------------------------------------------------------------------------------------- deadline */

static void wait_first(struct unit_maker *maker, aether_snapshot *snapshot)
{
    (void)snapshot;
    __atomic_add_fetch(&maker->waits, 1, __ATOMIC_SEQ_CST);
    unit_until(__atomic_load_n(&maker->held, __ATOMIC_SEQ_CST) == 0);
}

TEST(bus_maker, BUS5_a_deadline_frees_the_watchers_of_a_handler_that_does_not_return)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.begin = wait_first, .words = "s=1"};
    unit_hold(&maker);
    aether_snapshot_handler handler = unit_handler(&maker);
    handler.on_pool = true;
    handler.deadline_ns = AETHER_MILLISECONDS(500); /* by which it has begun, on a slow machine, too */
    expect_ok(aether_bus_handle_snapshots(bus, "s", &handler));
    aether_subscription *other = unit_subscribe(bus, "s", AETHER_BEGIN_NOW); /* does not read it */
    aether_subscription *sub = unit_watch(bus, "s");
    aether_event event;
    expect_status(AETHER_FAILED, aether_next(sub, &event, AETHER_SECONDS(20)));
    expect_events("", AETHER_EMPTY, other);
    aether_subscription_close(other);
    expect_status(AETHER_FAILED, unit_try(sub));
    cr_assert(unit_until(unit_is_held(&maker)));
    expect_number(1, unit_bus_stats(bus).snapshots_failed);
    unit_let_go(&maker);
    cr_assert(unit_until(__atomic_load_n(&maker.inside, __ATOMIC_SEQ_CST) == 0));
    expect_status(AETHER_CANCELLED, maker.appended); /* nobody needed it any more */
    maker.begin = NULL;
    expect_ok(aether_bus_unhandle_snapshots(bus, "s", true));
    handle(bus, "s", &maker, 0, true);
    aether_subscription *next = unit_watch(bus, "s");
    expect_arrivals("+s=1 end@0", next);
    aether_subscription_close(sub);
    aether_subscription_close(next);
    aether_bus_destroy(bus);
}

TEST(bus_maker, BUS5_handlers_that_hang_do_not_take_the_pool_away)
{
    enum { STUCK = 12 };
    aether_bus *bus = unit_bus();
    struct unit_maker stuck = {.begin = wait_first}, quick = {.words = "q=1"};
    unit_hold(&stuck);
    aether_snapshot_handler handler = unit_handler(&stuck);
    handler.on_pool = true;
    handler.deadline_ns = AETHER_MILLISECONDS(3);
    expect_ok(aether_bus_handle_snapshots(bus, "s.*", &handler));
    handle(bus, "q", &quick, 0, true);
    aether_subscription *subs[STUCK];
    for (size_t i = 0; i < STUCK; i++) {
        char pattern[] = "s.a";
        pattern[2] = (char)('a' + i);
        subs[i] = unit_watch(bus, pattern);
    }
    aether_subscription *sub = unit_watch(bus, "q");
    expect_arrivals("+q=1 end@0", sub);
    aether_event event;
    for (size_t i = 0; i < STUCK; i++) {
        expect_status(AETHER_FAILED, aether_next(subs[i], &event, AETHER_SECONDS(20)));
        aether_subscription_close(subs[i]);
    }
    aether_subscription_close(sub);
    unit_let_go(&stuck);
    aether_bus_destroy(bus);
}
