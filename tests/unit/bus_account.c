/* What became of each event, exactly and at every pause. */
#include "common/unit.h"

#include "common/unit_bus.h"
#include "common/unit_snapshot.h"

#define WITH(...) ((aether_subscribe_options){__VA_ARGS__})

enum { MANY = 300, SIZE = 100 };

static const char *const paid[] = {"Paid"};

static void publish_typed(aether_bus *bus, const char *subject, const char *type)
{
    expect_ok(aether_publish(bus, subject, AETHER_EVENT(.type = type, .data = AETHER_TEXT(type))));
}

TEST(bus_account, BUS11_pending_becomes_delivered_or_filtered_event_by_event)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe_with(bus, "a", WITH(.filter = {.types = paid, .type_count = 1}));
    expect_account(sub, 0);
    for (int i = 0; i < 6; i++)
        publish_typed(bus, "a", i % 2 == 0 ? "Made" : "Paid");
    expect_ok(unit_publish(bus, "b=1")); /* not its own */
    expect_account(sub, .published = 6, .pending = 6);
    expect_arrivals("a=Paid", sub); /* the one before it has been looked at */
    expect_account(sub, .published = 6, .delivered = 1, .filtered = 1, .pending = 4);
    expect_events("a=Paid a=Paid", AETHER_EMPTY, sub);
    expect_account(sub, .published = 6, .delivered = 3, .filtered = 3);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_account, BUS11_inside_a_batch_the_rest_is_pending)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe(bus, "*", AETHER_BEGIN_NOW);
    expect_ok(unit_publish_batch(bus, "a=1 b=2 c=3 d.e=4"));
    for (uint64_t i = 0; i <= 3; i++) {
        expect_account(sub, .published = 3, .delivered = i, .pending = 3 - i);
        aether_event event;
        expect_status(i < 3 ? AETHER_OK : AETHER_EMPTY, aether_next(sub, &event, AETHER_NO_WAIT));
    }
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_account, BUS11_a_lag_is_counted_when_it_is_told)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe_with(bus, "a", WITH(.limit_bytes = UNIT_LIMIT));
    expect_ok(unit_publish_many(bus, "a", MANY, SIZE, NULL));
    expect_account(sub, .published = MANY, .pending = MANY);
    aether_status status = AETHER_OK;
    aether_event event;
    uint64_t read = 0, lags = 0;
    while (status != AETHER_EMPTY) {
        status = aether_next(sub, &event, AETHER_NO_WAIT);
        read += status == AETHER_OK;
        lags += status == AETHER_LAGGED;
        expect_fine(unit_adds_up(sub)); /* at every single pause */
        expect_number(lags, unit_account(sub).lags);
        expect_number(read, unit_account(sub).delivered);
    }
    expect_number(1, lags);
    expect_account(sub, .published = MANY, .delivered = read, .lagged = MANY - read, .lags = 1);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

static void show_newest(struct unit_maker *maker, aether_snapshot *snapshot)
{
    (void)snapshot;
    aether_bus *bus = maker->user;
    cr_assert(unit_publish(bus, "a=in1") == AETHER_OK); /* below the watermark */
    maker->index = aether_bus_newest(bus).index;
    cr_assert(unit_publish(bus, "a=in2") == AETHER_OK);
}

TEST(bus_account, BUS11_all_phases_of_a_watcher_add_up)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.begin = show_newest, .user = bus, .words = "a=s1 a=s2 | a=s3"};
    unit_handle(bus, "a", &maker);
    aether_subscription *sub =
        unit_subscribe_with(bus, "a", WITH(.begin = AETHER_BEGIN_SNAPSHOT, .limit_bytes = UNIT_LIMIT));
    expect_account(sub, .published = 2, .pending = 2);
    expect_arrivals("+a=s1", sub);
    expect_account(sub, .published = 2, .pending = 2, .snapshot_events = 1);
    expect_arrivals("+a=s2 +a=s3 end@1 a=in2", sub);
    expect_account(sub, .published = 2, .delivered = 1, .below_watermark = 1, .snapshot_events = 3, .snapshots = 1);
    expect_ok(unit_publish_many(bus, "a", MANY, SIZE, NULL));
    aether_event event;
    uint64_t live = 1;
    for (;;) { /* up to the end of the new snapshot */
        expect_ok(aether_next(sub, &event, AETHER_NO_WAIT));
        expect_fine(unit_adds_up(sub));
        live += event.kind == AETHER_EVENT_LIVE;
        if (event.kind == AETHER_EVENT_SNAPSHOT_END)
            break;
    }
    expect_account(sub, .published = MANY + 4, .delivered = live, .below_watermark = 1, .lagged = MANY + 2 - 1 - live,
                   .pending = 2, .snapshot_events = 6, .snapshots = 2, .lags = 1);
    expect_arrivals("a=in2", sub);
    expect_account(sub, .published = MANY + 4, .delivered = live + 1, .below_watermark = 2, .lagged = MANY + 1 - live,
                   .snapshot_events = 6, .snapshots = 2, .lags = 1);
    expect_ok(unit_publish(bus, "a=x a=y"));
    expect_ok(aether_unsubscribe(sub));
    expect_ok(unit_publish(bus, "a=nobodys"));
    expect_account(sub, .published = MANY + 6, .delivered = live + 1, .below_watermark = 2, .lagged = MANY + 1 - live,
                   .discarded = 2, .snapshot_events = 6, .snapshots = 2, .lags = 1);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_account, BUS11_who_is_closed_within_a_snapshot_has_discarded_what_followed)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "a=s1 a=s2"};
    unit_handle(bus, "a", &maker);
    aether_subscription *sub = unit_watch(bus, "a");
    expect_ok(unit_publish(bus, "a=1 a=2"));
    expect_arrivals("+a=s1", sub);
    expect_ok(aether_unsubscribe(sub));
    expect_account(sub, .published = 2, .discarded = 2, .snapshot_events = 1);
    expect_events("", AETHER_UNSUBSCRIBED, sub);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_account, BUS11_a_lag_over_the_end_is_of_what_came_before_it)
{
    aether_bus *bus = unit_bus();
    aether_subscription *keeper = unit_subscribe(bus, "a", AETHER_BEGIN_NOW);
    aether_subscription *sub = unit_subscribe_with(bus, "a", WITH(.limit_bytes = UNIT_LIMIT, .drain = true, .label = "x"));
    expect_ok(unit_publish_many(bus, "a", 20, SIZE, NULL));
    expect_ok(aether_bus_close_label(bus, "x", AETHER_ACCESS_CHANGED));
    expect_ok(unit_publish_many(bus, "a", MANY, SIZE, NULL)); /* nobody's, as far as it goes */
    aether_status status;
    uint64_t read = unit_drain(sub, &status);
    if (status == AETHER_LAGGED)
        read += unit_drain(sub, &status);
    expect_status(AETHER_ACCESS_CHANGED, status);
    expect_number(20, unit_account(sub).published);
    expect_number(read, unit_account(sub).delivered);
    expect_fine(unit_adds_up(sub));
    aether_subscription_close(sub);
    aether_subscription_close(keeper);
    aether_bus_destroy(bus);
}

TEST(bus_account, BUS11_conflated_events_are_counted_and_those_that_wait_are_pending)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe_with(bus, "*", WITH(.conflate = 10));
    expect_ok(unit_publish(bus, "a=1 b=2 a=3 c=4 a=5"));
    expect_account(sub, .published = 5, .pending = 5);
    expect_arrivals("b=2", sub); /* all have been looked at */
    expect_account(sub, .published = 5, .delivered = 1, .conflated = 2, .pending = 2);
    expect_ok(unit_publish(bus, "c=6"));
    expect_account(sub, .published = 6, .delivered = 1, .conflated = 2, .pending = 3);
    aether_event event;
    expect_ok(aether_next(sub, &event, AETHER_NO_WAIT));
    expect_account(sub, .published = 6, .delivered = 2, .conflated = 3, .pending = 1);
    expect_ok(aether_unsubscribe(sub));
    expect_account(sub, .published = 6, .delivered = 2, .conflated = 3, .discarded = 1);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_account, BUS11_a_wider_feed_counts_what_came_by)
{
    aether_bus *bus = unit_bus();
    unit_retain(bus, ">");
    expect_ok(unit_publish(bus, "a=1 b=2 b=3 a=4"));
    aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_OLDEST);
    expect_account(sub, .published = 4, .pending = 4);
    expect_events("a=1 a=4", AETHER_EMPTY, sub);
    expect_account(sub, .published = 4, .delivered = 2, .filtered = 2);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

/* ---------------------------------------------------------------------------------------------------- while others work */

enum { EVENTS = 3000 };

static const char *publish_numbers(void *user)
{
    for (uint64_t i = 0; i < EVENTS; i++) {
        char subject[8] = "s.0";
        subject[2] = (char)('0' + i % 10);
        claim(aether_publish(user, subject, AETHER_EVENT(.type = i % 3 == 0 ? "Paid" : "Made")) == AETHER_OK);
    }
    return NULL;
}

/* Pauses anywhere beside a publisher: each account is exact. */
static void expect_exact(aether_begin begin, aether_subscribe_options options)
{
    aether_bus *bus = unit_bus();
    struct unit_state state;
    unit_state_init(&state, bus);
    aether_snapshot_handler handler = {.make = unit_state_make, .user = &state};
    expect_ok(aether_bus_handle_snapshots(bus, ">", &handler));
    options.begin = begin;
    aether_subscription *sub = unit_subscribe_with(bus, "s.*", options);
    struct unit_thread thread;
    cr_assert(unit_thread_start(&thread, 0, publish_numbers, bus));
    aether_event event;
    aether_subscription_stats stats = {0};
    for (int i = 0; stats.published < EVENTS || stats.pending != 0; i++) {
        aether_status status = aether_next(sub, &event, AETHER_NO_WAIT);
        cr_assert(status == AETHER_OK || status == AETHER_EMPTY || status == AETHER_LAGGED);
        if (i % 5 != 0 && status != AETHER_EMPTY)
            continue;
        expect_fine(unit_adds_up(sub));
        stats = unit_account(sub);
    }
    expect_fine(unit_thread_join(&thread));
    expect_number(EVENTS, unit_account(sub).published);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_account, BUS11_accounts_are_exact_beside_a_publisher)
{
    aether_filter filter = {.types = paid, .type_count = 1};
    expect_exact(AETHER_BEGIN_NOW, WITH(.filter = filter));
    expect_exact(AETHER_BEGIN_NOW, WITH(.limit_bytes = UNIT_LIMIT));
    expect_exact(AETHER_BEGIN_NOW, WITH(.conflate = 4, .filter = filter));
    expect_exact(AETHER_BEGIN_NOW, WITH(.conflate = 100, .limit_bytes = UNIT_LIMIT));
    expect_exact(AETHER_BEGIN_SNAPSHOT, WITH(.limit_bytes = UNIT_LIMIT));
    expect_exact(AETHER_BEGIN_SNAPSHOT, WITH(.limit_bytes = UNIT_LIMIT, .conflate = 4));
}

TEST(bus_account, BUS11_in_sum_nothing_is_lost)
{
    aether_bus *bus = unit_bus();
    static const char *const patterns[] = {"s.*", "s.1", ">", "s.>"};
    aether_subscription *subs[4];
    for (size_t i = 0; i < 4; i++)
        subs[i] = unit_subscribe_with(bus, patterns[i], WITH(.limit_bytes = i % 2 == 0 ? UNIT_LIMIT : AETHER_UNLIMITED));
    struct unit_thread threads[2];
    for (size_t i = 0; i < 2; i++)
        cr_assert(unit_thread_start(&threads[i], 0, publish_numbers, bus));
    for (size_t i = 0; i < 2; i++)
        expect_fine(unit_thread_join(&threads[i]));
    uint64_t seen = 0, missed = 0;
    for (size_t i = 0; i < 4; i++) {
        aether_status status;
        do
            unit_drain(subs[i], &status);
        while (status == AETHER_LAGGED);
        aether_subscription_stats stats = unit_account(subs[i]);
        seen += stats.delivered + stats.lagged;
        missed += stats.lagged;
        aether_subscription_close(subs[i]);
    }
    aether_bus_stats stats = unit_bus_stats(bus);
    expect_number(2 * EVENTS, stats.published);
    expect_number(seen, stats.appended); /* each pattern has one subscription */
    expect_number(2 * (3 * EVENTS + EVENTS / 10), seen);
    expect_number(missed, stats.lagged);
    aether_bus_destroy(bus);
}
