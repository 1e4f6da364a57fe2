/* Histories: reset, refresh, retention, feeds that linger, and calls after the end. */
#include "common/unit.h"

#include "common/unit_bus.h"
#include "common/unit_snapshot.h"

static void expect_no_begin(aether_status wanted, aether_bus *bus, const char *pattern, uint64_t epoch, uint64_t index)
{
    aether_subscription *sub = unit_begin_at(bus, pattern, AETHER_BEGIN_AFTER, epoch, index);
    cr_assert(sub == NULL, "%s at %" PRIu64 " was subscribed to", pattern, index);
    expect_status(wanted, aether_error_status());
}

static void expect_rest(const char *words, aether_bus *bus, const char *pattern, uint64_t epoch, uint64_t index)
{
    aether_subscription *sub = unit_begin_at(bus, pattern, AETHER_BEGIN_AFTER, epoch, index);
    cr_assert(sub != NULL, "%s", aether_error());
    expect_events(words, AETHER_EMPTY, sub);
    aether_subscription_close(sub);
}

/* ----------------------------------------------------------------------------------------------------------------- reset */

TEST(bus_history, BUS7_a_reset_ends_everything_and_begins_anew)
{
    aether_bus *bus = unit_bus();
    aether_topic *topic = aether_topic_open(bus, "a");
    unit_retain(bus, "a");
    aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_NOW), *all = unit_subscribe(bus, ">", AETHER_BEGIN_NOW);
    expect_ok(unit_publish(bus, "a=1 a=2"));
    expect_ok(aether_bus_reset(bus, &(aether_position){UNIT_EPOCH + 1, 10}));
    expect_events("", AETHER_RESET, sub);
    expect_events("", AETHER_RESET, all);
    expect_position(UNIT_EPOCH + 1, 10, aether_bus_newest(bus));
    aether_subscription *next = unit_subscribe(bus, ">", AETHER_BEGIN_NOW);
    expect_ok(unit_publish(bus, "a b"));
    expect_ok(aether_topic_publish(topic, AETHER_EVENT(.type = "T")));
    expect_events("a@11 b@12 a@13", AETHER_EMPTY, next);
    expect_events("", AETHER_RESET, sub);                   /* that stays */
    expect_rest("a@11 a@13", bus, "a", UNIT_EPOCH + 1, 10); /* it is retained again, and nothing of before is in it */
    expect_number(1, unit_bus_stats(bus).resets);
    aether_subscription_close(sub);
    aether_subscription_close(all);
    aether_subscription_close(next);
    aether_topic_close(topic);
    aether_bus_destroy(bus);
}

TEST(bus_history, BUS7_a_reset_takes_any_epoch_but_the_current_one)
{
    aether_bus *bus = unit_bus();
    expect_ok(unit_publish(bus, "a=1"));
    expect_status(AETHER_INVALID, aether_bus_reset(bus, &(aether_position){UNIT_EPOCH, 5}));
    expect_status(AETHER_INVALID, aether_bus_reset(NULL, NULL));
    expect_position(UNIT_EPOCH, 1, aether_bus_newest(bus));
    expect_ok(aether_bus_reset(bus, NULL));
    aether_position now = aether_bus_newest(bus);
    cr_assert(now.epoch != 0 && now.epoch != UNIT_EPOCH && now.index == 0);
    expect_ok(aether_bus_reset(bus, &(aether_position){0, 7}));
    cr_assert(aether_bus_newest(bus).epoch != 0 && aether_bus_newest(bus).epoch != now.epoch);
    expect_number(7, aether_bus_newest(bus).index);
    expect_ok(aether_bus_reset(bus, &(aether_position){UNIT_EPOCH, 5})); /* also one that was before */
    expect_position(UNIT_EPOCH, 5, aether_bus_newest(bus));
    aether_bus_destroy(bus);
}

TEST(bus_history, BUS4_given_indexes_may_begin_anew_and_old_epochs_are_stale)
{
    aether_bus *bus = unit_bus();
    expect_ok(unit_publish(bus, "a@500"));
    expect_ok(aether_bus_reset(bus, &(aether_position){UNIT_EPOCH + 1, 300}));
    aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_NOW);
    expect_status(AETHER_STALE_EPOCH, aether_publish(bus, "a", AETHER_EVENT(.index = 501, .epoch = UNIT_EPOCH)));
    expect_status(AETHER_INDEX_ORDER, unit_publish(bus, "a@300"));
    expect_ok(aether_publish(bus, "a", AETHER_EVENT(.index = 301, .epoch = UNIT_EPOCH + 1)));
    expect_events("a@301", AETHER_EMPTY, sub);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_history, BUS7_nothing_of_the_old_history_follows_a_new_snapshot)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=old", .index = 500};
    aether_snapshot_handler handler = unit_handler(&maker);
    handler.cache_ns = AETHER_SECONDS(60);
    expect_ok(aether_bus_handle_snapshots(bus, "s", &handler));
    aether_subscription *old = unit_watch(bus, "s"); /* stays open over the reset */
    expect_ok(unit_publish(bus, "s@500"));
    expect_ok(aether_bus_reset(bus, &(aether_position){UNIT_EPOCH + 1, 300})); /* restored: indexes go backwards */
    maker.words = "s=restored", maker.index = 300;
    aether_subscription *sub = unit_watch(bus, "s");
    expect_ok(unit_publish(bus, "s@301"));
    expect_events("+s=restored end@300 s@301", AETHER_EMPTY, sub);
    expect_number(2, unit_runs(&maker)); /* the cached one was of the old history */
    expect_events("", AETHER_RESET, old);
    aether_subscription_close(old);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_history, BUS7_no_position_goes_on_in_another_history)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=restored", .index = 500};
    unit_handle(bus, "s", &maker);
    unit_retain(bus, "s");
    aether_subscription *old = unit_subscribe(bus, "s", AETHER_BEGIN_NOW);
    expect_ok(unit_publish(bus, "s@500"));
    expect_events("s@500", AETHER_EMPTY, old);
    aether_position position = aether_subscription_position(old);
    expect_position(UNIT_EPOCH, 500, position);
    expect_ok(aether_bus_reset(bus, &(aether_position){0, 300}));
    expect_ok(unit_publish(bus, "s@500")); /* the same index, another event */
    expect_no_begin(AETHER_OTHER_EPOCH, bus, "s", position.epoch, position.index);
    aether_subscription *sub = unit_begin_at(bus, "s", AETHER_BEGIN_RESUME, position.epoch, position.index);
    cr_assert(sub != NULL);
    expect_ok(unit_publish(bus, "s@501"));
    expect_events("follows +s=restored end@500 s@501", AETHER_EMPTY, sub);
    expect_events("", AETHER_RESET, old);
    expect_position(UNIT_EPOCH, 500, aether_subscription_position(old));
    aether_subscription_close(old);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_history, BUS7_a_snapshot_that_is_being_made_over_a_reset_ends_with_it)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=old"};
    aether_snapshot_handler handler = unit_handler(&maker);
    handler.on_pool = true;
    expect_ok(aether_bus_handle_snapshots(bus, "s", &handler));
    unit_hold(&maker);
    aether_subscription *sub = unit_watch(bus, "s");
    expect_arrivals("+s=old", sub);
    expect_ok(aether_bus_reset(bus, NULL));
    expect_events("", AETHER_RESET, sub);
    unit_let_go(&maker);
    cr_assert(unit_until(__atomic_load_n(&maker.inside, __ATOMIC_SEQ_CST) == 0));
    maker.words = "s=new";
    aether_subscription *next = unit_watch(bus, "s");
    expect_arrivals("+s=new end@0", next);
    expect_number(2, unit_runs(&maker));
    aether_subscription_close(sub);
    aether_subscription_close(next);
    aether_bus_destroy(bus);
}

/* The program restores its state under the lock that its handler takes. */
struct restore {
    struct unit_state state;
    struct unit_maker maker; /* a handler that waits for the state's lock */
    struct unit_thread thread;
    aether_subscription *sub;
};

static void lock_state(struct unit_maker *maker, aether_snapshot *snapshot)
{
    (void)snapshot;
    struct restore *restore = maker->user;
    __atomic_store_n(&maker->waits, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_lock(&restore->state.lock);
    pthread_mutex_unlock(&restore->state.lock);
}

static const char *watch_aside(void *user)
{
    struct restore *restore = user;
    restore->sub = aether_subscribe(restore->state.bus, "k", &(aether_subscribe_options){.begin = AETHER_BEGIN_SNAPSHOT});
    return restore->sub != NULL ? NULL : "not subscribed";
}

static void expect_no_lock_inversion(bool refresh)
{
    struct restore restore = {.maker = {.begin = lock_state, .words = "k=1"}};
    restore.maker.user = &restore;
    unit_state_init(&restore.state, unit_bus());
    aether_bus *bus = restore.state.bus;
    unit_handle(bus, "k", &restore.maker);
    pthread_mutex_lock(&restore.state.lock);
    cr_assert(unit_thread_start(&restore.thread, 0, watch_aside, &restore));
    cr_assert(unit_until(unit_is_held(&restore.maker))); /* its handler waits for our lock */
    expect_ok(refresh ? aether_bus_refresh(bus, ">") : aether_bus_reset(bus, NULL));
    expect_ok(unit_publish(bus, "k=2")); /* nor is publishing held up */
    pthread_mutex_unlock(&restore.state.lock);
    expect_fine(unit_thread_join(&restore.thread));
    expect_events("", AETHER_RESET, restore.sub);
    aether_subscription_close(restore.sub);
    aether_bus_destroy(bus);
}

TEST(bus_history, BUS7_a_reset_does_not_wait_for_a_handler_that_waits_for_the_resetting_thread)
{
    expect_no_lock_inversion(false);
}

TEST(bus_history, BUS7_a_refresh_does_not_wait_for_a_handler_either)
{
    expect_no_lock_inversion(true);
}

static void reset_inside(struct unit_maker *maker, aether_snapshot *snapshot)
{
    cr_assert(aether_bus_reset(maker->user, NULL) == AETHER_OK);
    maker->appended = aether_snapshot_append(snapshot, AETHER_EVENT(.subject = "s"), 1);
}

TEST(bus_history, BUS7_a_handler_may_reset_the_bus)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.begin = reset_inside, .user = bus};
    unit_handle(bus, "s", &maker);
    aether_subscription *sub = unit_watch(bus, "s");
    expect_status(AETHER_CANCELLED, maker.appended);
    expect_events("", AETHER_RESET, sub);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

/* --------------------------------------------------------------------------------------------------------------- refresh */

TEST(bus_history, BUS7_a_refresh_ends_what_overlaps_and_leaves_the_rest)
{
    static const struct {
        const char *pattern;
        bool ends;
    } cases[] = {{"a.b", true},  {"a.*", true}, {"a.>", true},  {">", true},  {"*.b", true},
                 {"a.c", false}, {"a", false},  {"b.>", false}, {"*", false}, {"a.b.c", false}};
    enum { CASES = sizeof cases / sizeof *cases };
    aether_bus *bus = unit_bus();
    aether_subscription *subs[CASES];
    for (size_t i = 0; i < CASES; i++)
        subs[i] = unit_subscribe(bus, cases[i].pattern, AETHER_BEGIN_NOW);
    expect_ok(unit_publish(bus, "x.y"));
    expect_ok(aether_bus_refresh(bus, "a.b"));
    expect_position(UNIT_EPOCH, 1, aether_bus_newest(bus)); /* the epoch stays */
    for (size_t i = 0; i < CASES; i++) {
        aether_status status;
        unit_drain(subs[i], &status);
        expect_status(cases[i].ends ? AETHER_RESET : AETHER_EMPTY, status);
        aether_subscription_close(subs[i]);
    }
    expect_status(AETHER_INVALID, aether_bus_refresh(bus, "a..b"));
    expect_status(AETHER_INVALID, aether_bus_refresh(bus, NULL));
    expect_status(AETHER_INVALID, aether_bus_refresh(NULL, "a"));
    aether_bus_destroy(bus);
}

TEST(bus_history, BUS7_positions_from_before_a_refresh_are_gone_under_its_pattern)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "a.b=state", .index = 3};
    unit_handle(bus, "a.*", &maker);
    unit_retain(bus, ">");
    expect_ok(unit_publish(bus, "a.b=1 a.c=2 b=3"));
    expect_ok(aether_bus_refresh(bus, "a.b"));
    expect_no_begin(AETHER_GONE, bus, "a.b", UNIT_EPOCH, 1);
    expect_no_begin(AETHER_GONE, bus, "a.*", UNIT_EPOCH, 2);
    expect_no_begin(AETHER_GONE, bus, ">", UNIT_EPOCH, 3); /* even at the newest: what changed was not published */
    aether_subscription *sub = unit_begin_at(bus, "a.*", AETHER_BEGIN_RESUME, UNIT_EPOCH, 3);
    cr_assert(sub != NULL, "%s", aether_error());
    expect_events("follows +a.b=state end@3", AETHER_EMPTY, sub);
    expect_ok(unit_publish(bus, "a.b=4 b=5"));
    expect_events("a.b=4", AETHER_EMPTY, sub);
    expect_rest("b=5", bus, ">", UNIT_EPOCH, 4); /* from there on it is as ever */
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_history, BUS7_a_refresh_leaves_the_past_of_other_patterns)
{
    aether_bus *bus = unit_bus();
    unit_retain(bus, ">");
    expect_ok(unit_publish(bus, "a.b=1 a.c=2 b=3"));
    expect_ok(aether_bus_refresh(bus, "a.b"));
    expect_rest("a.c=2", bus, "a.c", UNIT_EPOCH, 1);
    expect_rest("", bus, "b", UNIT_EPOCH, 3);
    aether_bus_destroy(bus);
}

TEST(bus_history, BUS7_a_refresh_drops_cached_snapshots_under_its_pattern)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = NULL};
    aether_snapshot_handler handler = unit_handler(&maker);
    handler.cache_ns = AETHER_SECONDS(60);
    expect_ok(aether_bus_handle_snapshots(bus, ">", &handler));
    unit_retain(bus, "a.b"); /* keep the feeds, and so the caches */
    unit_retain(bus, "c");
    aether_subscription_close(unit_watch(bus, "a.b"));
    aether_subscription_close(unit_watch(bus, "c"));
    expect_number(2, unit_runs(&maker));
    expect_ok(aether_bus_refresh(bus, "a.>"));
    aether_subscription_close(unit_watch(bus, "c"));
    expect_number(2, unit_runs(&maker));
    aether_subscription_close(unit_watch(bus, "a.b"));
    expect_number(3, unit_runs(&maker));
    aether_bus_destroy(bus);
}

/* ----------------------------------------------------------------------------------------------- retention, lingering */

TEST(bus_history, BUS7_what_is_retained_is_kept_until_it_is_released)
{
    aether_bus *bus = unit_bus();
    expect_status(AETHER_INVALID, aether_bus_release(bus, "a"));
    expect_status(AETHER_INVALID, aether_bus_release(bus, "a..b"));
    expect_status(AETHER_INVALID, aether_bus_retain(bus, "a..b", &(aether_retention){.events = 1}));
    expect_status(AETHER_INVALID, aether_bus_retain(NULL, "a", &(aether_retention){.events = 1}));
    expect_status(AETHER_INVALID, aether_bus_retain(bus, "a", &(aether_retention){.ns = -1}));
    unit_retain(bus, "a");
    unit_retain(bus, "a"); /* again */
    cr_assert(unit_pattern(bus, "a").retained);
    expect_ok(unit_publish(bus, "a=1 a=2"));
    expect_rest("a=1 a=2", bus, "a", UNIT_EPOCH, 0);
    expect_number(2, unit_pattern(bus, "a").retained_events);
    expect_ok(aether_bus_release(bus, "a"));
    expect_status(AETHER_INVALID, aether_bus_release(bus, "a"));
    expect_number(0, unit_bus_stats(bus).feeds);
    expect_no_begin(AETHER_GONE, bus, "a", UNIT_EPOCH, 1);
    aether_bus_destroy(bus);
}

TEST(bus_history, BUS7_released_feeds_stay_for_those_who_follow)
{
    aether_bus *bus = unit_bus();
    unit_retain(bus, "a");
    expect_ok(unit_publish(bus, "a=1 a=2"));
    aether_subscription *sub = unit_begin_at(bus, "a", AETHER_BEGIN_OLDEST, 0, 0);
    expect_ok(aether_bus_release(bus, "a"));
    expect_ok(unit_publish(bus, "a=3"));
    expect_events("a=1 a=2 a=3", AETHER_EMPTY, sub);
    aether_subscription_close(sub);
    expect_number(0, unit_bus_stats(bus).feeds);
    aether_bus_destroy(bus);
}

TEST(bus_history, BUS7_the_figures_of_a_retention_can_be_changed)
{
    aether_bus *bus = unit_bus();
    unit_retain(bus, "a");
    expect_ok(unit_publish_many(bus, "a", 200, 100, NULL));
    expect_ok(aether_bus_retain(bus, "a", &(aether_retention){.events = 5}));
    expect_ok(unit_publish_many(bus, "a", 300, 100, NULL)); /* what is too much goes little by little */
    expect_within(5, 40, unit_pattern(bus, "a").retained_events);
    expect_no_begin(AETHER_GONE, bus, "a", UNIT_EPOCH, 400);
    expect_ok(aether_bus_retain(bus, "a", &(aether_retention){.bytes = UINT64_MAX}));
    expect_ok(unit_publish_many(bus, "a", 300, 100, NULL));
    expect_within(305, 340, unit_pattern(bus, "a").retained_events);
    aether_bus_destroy(bus);
}

TEST(bus_history, BUS7_a_feed_lingers_for_its_time_so_that_its_reader_may_resume)
{
    aether_bus_options options = unit_bus_options();
    options.linger_ns = AETHER_SECONDS(1000);
    aether_bus *bus = unit_bus_with(options);
    aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_NOW);
    expect_ok(unit_publish(bus, "a=1"));
    expect_events("a=1", AETHER_EMPTY, sub);
    aether_position position = aether_subscription_position(sub);
    aether_subscription_close(sub);
    expect_number(1, unit_bus_stats(bus).feeds);
    expect_ok(unit_publish(bus, "a=2 b=3"));
    expect_rest("a=2", bus, "a", position.epoch, position.index);
    aether_bus_destroy(bus);
}

TEST(bus_history, BUS7_a_feed_has_lingered_when_its_time_is_over)
{
    aether_bus_options options = unit_bus_options();
    options.linger_ns = AETHER_MILLISECONDS(2);
    aether_bus *bus = unit_bus_with(options);
    static const char *const patterns[] = {"a", "a.*", "c", "d"};
    for (size_t i = 0; i < 4; i++)
        aether_subscription_close(unit_subscribe(bus, patterns[i], AETHER_BEGIN_NOW));
    aether_subscription *other = unit_subscribe(bus, "b", AETHER_BEGIN_NOW);
    cr_assert(unit_until(unit_bus_stats(bus).feeds == 1)); /* without anybody's call */
    expect_ok(unit_publish(bus, "a=1 b=2"));
    expect_events("b=2", AETHER_EMPTY, other);
    aether_subscription_close(other);
    aether_bus_destroy(bus);
}

/* ---------------------------------------------------------------------------------------------------------- after the end
 */

TEST(bus_history, BUS8_every_call_after_shutdown_says_so_at_once)
{
    aether_bus *bus = unit_bus(), *space = aether_bus_namespace(bus, "n");
    struct unit_maker maker = {0};
    aether_snapshot_handler handler = unit_handler(&maker);
    expect_ok(aether_bus_handle_snapshots(bus, "s", &handler));
    unit_retain(bus, "a");
    expect_ok(unit_publish(bus, "a=1"));
    expect_ok(aether_bus_shutdown(bus));
    expect_ok(aether_bus_shutdown(bus)); /* any number of times */
    aether_bus *handles[] = {bus, space};
    for (size_t i = 0; i < 2; i++) {
        aether_bus *handle = handles[i];
        expect_status(AETHER_SHUT_DOWN, unit_publish(handle, "a=2"));
        expect_status(AETHER_SHUT_DOWN, unit_publish_batch(handle, "a=2 b=3"));
        cr_assert(aether_topic_open(handle, "a") == NULL);
        expect_status(AETHER_SHUT_DOWN, aether_error_status());
        for (aether_begin how = AETHER_BEGIN_NOW; how <= AETHER_BEGIN_RESUME; how++) {
            cr_assert(unit_begin_at(handle, "s", how, UNIT_EPOCH, 1) == NULL);
            expect_status(AETHER_SHUT_DOWN, aether_error_status());
        }
        expect_status(AETHER_SHUT_DOWN, aether_bus_retain(handle, "b", &(aether_retention){.events = 1}));
        expect_status(AETHER_SHUT_DOWN, aether_bus_refresh(handle, "a"));
        expect_status(AETHER_SHUT_DOWN, aether_bus_reset(handle, NULL));
        expect_status(AETHER_SHUT_DOWN, aether_bus_handle_snapshots(handle, "t", &handler));
    }
    expect_number(0, unit_runs(&maker));
    expect_number(0, unit_bus_stats(bus).subscriptions);
    aether_bus_destroy(space);
    aether_bus_destroy(bus);
}

static const char *shut_down(void *user)
{
    return aether_bus_shutdown(user) == AETHER_OK ? NULL : "not shut down";
}

TEST(bus_history, BUS8_shutdown_does_not_wait_for_a_handler_and_destroy_does)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=1"};
    aether_snapshot_handler handler = unit_handler(&maker);
    handler.on_pool = true;
    expect_ok(aether_bus_handle_snapshots(bus, "s", &handler));
    unit_hold(&maker);
    aether_subscription *sub = unit_watch(bus, "s");
    cr_assert(unit_until(unit_is_held(&maker)));
    struct unit_thread thread;
    cr_assert(unit_thread_start(&thread, 0, shut_down, bus));
    expect_fine(unit_thread_join(&thread));
    expect_number(1, maker.inside);
    expect_events("", AETHER_SHUT_DOWN, sub);
    unit_let_go(&maker);
    aether_bus_destroy(bus);
    expect_number(0, maker.inside);
    expect_events("", AETHER_SHUT_DOWN, sub);
    aether_subscription_close(sub);
}
