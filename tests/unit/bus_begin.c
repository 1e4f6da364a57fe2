/* Where a subscription begins: now, at the oldest, after or at a position, and what it is told where that cannot be. */
#include "common/unit.h"

#include "common/unit_bus.h"

/* What a subscription that begins there reads. */
static void expect_begins(const char *words, aether_bus *bus, const char *pattern, aether_begin how, uint64_t index)
{
    aether_subscription *sub = unit_begin_at(bus, pattern, how, UNIT_EPOCH, index);
    cr_assert(sub != NULL, "%s at %" PRIu64 ": %s", pattern, index, aether_error());
    expect_events(words, AETHER_EMPTY, sub);
    expect_fine(unit_adds_up(sub));
    aether_position position = aether_subscription_position(sub); /* where there is nothing more */
    cr_assert(position.epoch == UNIT_EPOCH && position.index >= (how == AETHER_BEGIN_AFTER ? index : 0));
    aether_subscription *rest = unit_begin_at(bus, pattern, AETHER_BEGIN_AFTER, position.epoch, position.index);
    cr_assert(rest != NULL, "%s", aether_error());
    expect_events("", AETHER_EMPTY, rest);
    aether_subscription_close(rest);
    aether_subscription_close(sub);
}

static void expect_no_begin(aether_status wanted, aether_bus *bus, const char *pattern, aether_begin how, uint64_t epoch,
                            uint64_t index)
{
    aether_subscription *sub = unit_begin_at(bus, pattern, how, epoch, index);
    cr_assert(sub == NULL, "%s at %" PRIu64 " was subscribed to", pattern, index);
    expect_status(wanted, aether_error_status());
}

static aether_bus *retaining(const char *pattern)
{
    aether_bus *bus = unit_bus();
    unit_retain(bus, pattern);
    return bus;
}

TEST(bus_begin, BUS3_now_is_what_comes_after_the_call)
{
    aether_bus *bus = retaining("a");
    expect_ok(unit_publish(bus, "a=1 a=2"));
    aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_NOW);
    expect_events("", AETHER_EMPTY, sub);
    expect_ok(unit_publish(bus, "a=3"));
    expect_events("a=3", AETHER_EMPTY, sub);
    expect_account(sub, .published = 1, .delivered = 1);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_begin, BUS7_all_places_in_what_is_retained)
{
    aether_bus *bus = retaining("a");
    expect_ok(unit_publish(bus, "a@10 a@20 b@25 a@30"));
    expect_begins("a@10 a@20 a@30", bus, "a", AETHER_BEGIN_OLDEST, 0);
    expect_begins("a@10 a@20 a@30", bus, "a", AETHER_BEGIN_AFTER, 0);
    expect_begins("a@10 a@20 a@30", bus, "a", AETHER_BEGIN_AFTER, 9);
    expect_begins("a@20 a@30", bus, "a", AETHER_BEGIN_AFTER, 10);
    expect_begins("a@20 a@30", bus, "a", AETHER_BEGIN_AFTER, 15); /* in a hole */
    expect_begins("a@30", bus, "a", AETHER_BEGIN_AFTER, 20);
    expect_begins("a@30", bus, "a", AETHER_BEGIN_AFTER, 25); /* another subject's */
    expect_begins("", bus, "a", AETHER_BEGIN_AFTER, 30);
    expect_begins("a@10 a@20 a@30", bus, "a", AETHER_BEGIN_AT, 10);
    expect_begins("a@20 a@30", bus, "a", AETHER_BEGIN_AT, 11);
    expect_begins("a@20 a@30", bus, "a", AETHER_BEGIN_AT, 20);
    expect_begins("a@30", bus, "a", AETHER_BEGIN_AT, 30);
    aether_bus_destroy(bus);
}

TEST(bus_begin, BUS7_what_follows_comes_after_the_past_without_a_seam)
{
    aether_bus *bus = retaining("a.*");
    expect_ok(unit_publish(bus, "a.1=1 a.2=2 a.1=3"));
    aether_subscription *oldest = unit_begin_at(bus, "a.*", AETHER_BEGIN_OLDEST, 0, 0);
    aether_subscription *after = unit_begin_at(bus, "a.*", AETHER_BEGIN_AFTER, 0, 2); /* epoch 0: the current one */
    expect_ok(unit_publish(bus, "a.2=4 b=5 a.1=6"));
    expect_events("a.1=1 a.2=2 a.1=3 a.2=4 a.1=6", AETHER_EMPTY, oldest);
    expect_events("a.1=3 a.2=4 a.1=6", AETHER_EMPTY, after);
    expect_account(oldest, .published = 5, .delivered = 5);
    expect_account(after, .published = 3, .delivered = 3);
    aether_subscription_close(oldest);
    aether_subscription_close(after);
    aether_bus_destroy(bus);
}

TEST(bus_begin, BUS7_the_past_is_served_by_a_wider_feed)
{
    aether_bus *bus = retaining(">");
    expect_ok(unit_publish(bus, "a=1 b=2 a=3 c=4"));
    expect_begins("a=1 a=3", bus, "a", AETHER_BEGIN_OLDEST, 0);
    expect_begins("a=3", bus, "a", AETHER_BEGIN_AFTER, 1);
    expect_begins("b=2 a=3 c=4", bus, "*", AETHER_BEGIN_AT, 2);
    aether_subscription *sub = unit_begin_at(bus, "a", AETHER_BEGIN_OLDEST, 0, 0);
    expect_ok(unit_publish(bus, "b=5 a=6"));
    expect_events("a=1 a=3 a=6", AETHER_EMPTY, sub);
    aether_subscription_stats stats = unit_account(sub);
    expect_number(3, stats.delivered);
    expect_fine(unit_adds_up(sub));
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_begin, BUS7_a_narrow_feed_that_begins_late_does_not_hide_a_wide_one)
{
    aether_bus *bus = retaining(">");
    expect_ok(unit_publish(bus, "a=1 b=2"));
    aether_subscription *live = unit_subscribe(bus, "a", AETHER_BEGIN_NOW); /* a feed of its own, from here on */
    expect_ok(unit_publish(bus, "a=3 b=4"));
    expect_begins("a=1 a=3", bus, "a", AETHER_BEGIN_AFTER, 0);
    expect_begins("a=3", bus, "a", AETHER_BEGIN_AFTER, 2);
    expect_events("a=3", AETHER_EMPTY, live);
    aether_subscription_close(live);
    aether_bus_destroy(bus);
}

TEST(bus_begin, BUS7_positions_that_cannot_be_are_told_apart)
{
    aether_bus *bus = unit_bus();
    expect_ok(unit_publish(bus, "a=1 a=2"));
    unit_retain(bus, "a");
    expect_ok(unit_publish(bus, "a=3 a=4"));
    expect_no_begin(AETHER_GONE, bus, "a", AETHER_BEGIN_AFTER, UNIT_EPOCH, 0);
    expect_no_begin(AETHER_GONE, bus, "a", AETHER_BEGIN_AFTER, UNIT_EPOCH, 1);
    expect_no_begin(AETHER_GONE, bus, "a", AETHER_BEGIN_AT, UNIT_EPOCH, 2);
    expect_no_begin(AETHER_AHEAD, bus, "a", AETHER_BEGIN_AFTER, UNIT_EPOCH, 5);
    expect_no_begin(AETHER_AHEAD, bus, "a", AETHER_BEGIN_AFTER, 0, UINT64_MAX);
    expect_no_begin(AETHER_AHEAD, bus, "a", AETHER_BEGIN_AT, UNIT_EPOCH, 100);
    expect_no_begin(AETHER_OTHER_EPOCH, bus, "a", AETHER_BEGIN_AFTER, UNIT_EPOCH + 1, 3);
    expect_no_begin(AETHER_OTHER_EPOCH, bus, "a", AETHER_BEGIN_AT, UNIT_EPOCH + 1, 3);
    expect_begins("a=3 a=4", bus, "a", AETHER_BEGIN_AFTER, 2);
    expect_begins("a=3 a=4", bus, "a", AETHER_BEGIN_AT, 3);
    expect_begins("a=3 a=4", bus, "a", AETHER_BEGIN_OLDEST, 0);
    expect_no_begin(AETHER_INVALID, bus, "a", AETHER_BEGIN_AT, UNIT_EPOCH, 0); /* "nothing yet" is no event's */
    expect_number(0, unit_bus_stats(bus).subscriptions);
    aether_bus_destroy(bus);
}

TEST(bus_begin, BUS7_without_a_feed_only_the_newest_is_there)
{
    aether_bus *bus = unit_bus();
    expect_begins("", bus, "a", AETHER_BEGIN_AFTER, 0);
    expect_begins("", bus, "a", AETHER_BEGIN_OLDEST, 0);
    expect_ok(unit_publish(bus, "a=1 b=2"));
    expect_no_begin(AETHER_GONE, bus, "a", AETHER_BEGIN_AFTER, UNIT_EPOCH, 1);
    expect_begins("", bus, "a", AETHER_BEGIN_AFTER, 2);
    expect_begins("", bus, "a", AETHER_BEGIN_OLDEST, 0);
    expect_number(0, unit_bus_stats(bus).feeds);
    aether_bus_destroy(bus);
}

TEST(bus_begin, BUS7_what_retention_let_go_is_gone)
{
    aether_bus *bus = unit_bus();
    expect_ok(aether_bus_retain(bus, "a", &(aether_retention){.events = 10}));
    size_t done;
    expect_ok(unit_publish_many(bus, "a", 500, 100, &done));
    expect_no_begin(AETHER_GONE, bus, "a", AETHER_BEGIN_AFTER, UNIT_EPOCH, 1);
    expect_no_begin(AETHER_GONE, bus, "a", AETHER_BEGIN_AFTER, UNIT_EPOCH, 400);
    aether_subscription *last = unit_begin_at(bus, "a", AETHER_BEGIN_AFTER, UNIT_EPOCH, 490);
    cr_assert(last != NULL, "%s", aether_error());
    aether_subscription *oldest = unit_begin_at(bus, "a", AETHER_BEGIN_OLDEST, 0, 0);
    aether_event event;
    expect_ok(aether_next(last, &event, AETHER_NO_WAIT));
    expect_number(491, event.index);
    expect_ok(aether_next(oldest, &event, AETHER_NO_WAIT));
    expect_within(460, 491, event.index); /* whole segments */
    aether_status status;
    expect_number(9, unit_drain(last, &status));
    expect_number(500 - event.index, unit_drain(oldest, &status));
    aether_subscription_close(last);
    aether_subscription_close(oldest);
    aether_bus_destroy(bus);
}

TEST(bus_begin, BUS7_a_position_is_where_to_go_on)
{
    aether_bus *bus = retaining("a.>");
    expect_ok(unit_publish(bus, "a.1=1 b=2 a.2=3 b=4 a.3=5"));
    for (int steps = 0; steps <= 3; steps++) {
        aether_subscription *sub = unit_subscribe(bus, "a.>", AETHER_BEGIN_OLDEST);
        aether_event event;
        for (int i = 0; i < steps; i++)
            expect_ok(aether_next(sub, &event, AETHER_NO_WAIT));
        aether_position position = aether_subscription_position(sub);
        aether_subscription_close(sub);
        sub = unit_begin_at(bus, "a.>", AETHER_BEGIN_AFTER, position.epoch, position.index);
        cr_assert(sub != NULL, "%s", aether_error());
        static const char *const rest[] = {"a.1=1 a.2=3 a.3=5", "a.2=3 a.3=5", "a.3=5", ""};
        expect_events(rest[steps], AETHER_EMPTY, sub);
        aether_subscription_close(sub);
    }
    aether_bus_destroy(bus);
}

TEST(bus_begin, BUS7_a_position_between_events_of_a_batch_repeats_none_that_a_run_has_not)
{
    aether_bus *bus = retaining("a");
    expect_ok(unit_publish_batch(bus, "a=1 a=2 a=3"));
    expect_ok(unit_publish(bus, "a=4"));
    aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_OLDEST);
    aether_event event;
    expect_ok(aether_next(sub, &event, AETHER_NO_WAIT));
    expect_number(0, aether_subscription_position(sub).index); /* 2 and 3 have not been delivered */
    expect_ok(aether_next(sub, &event, AETHER_NO_WAIT));
    expect_ok(aether_next(sub, &event, AETHER_NO_WAIT));
    expect_number(1, aether_subscription_position(sub).index);
    expect_events("a=4", AETHER_EMPTY, sub);
    expect_number(2, aether_subscription_position(sub).index);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_begin, BUS7_filtered_events_move_the_position_as_well)
{
    aether_bus *bus = retaining(">");
    static const char *const types[] = {"Nothing"};
    aether_subscription *sub =
        unit_subscribe_with(bus, ">", (aether_subscribe_options){.filter = {.types = types, .type_count = 1}});
    expect_position(UNIT_EPOCH, 0, aether_subscription_position(sub));
    expect_ok(unit_publish(bus, "a=1 b=2 c=3"));
    expect_events("", AETHER_EMPTY, sub);
    expect_position(UNIT_EPOCH, 3, aether_subscription_position(sub));
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

/* ----------------------------------------------------------------------------------------------- beside who publishes */

enum { RACE = 4000 };

static const char *publish_numbers(void *user)
{
    aether_event event = {.type = "N"};
    for (int i = 0; i < RACE; i++)
        claim(aether_publish(user, "a", &event) == AETHER_OK);
    return NULL;
}

/* What a subscription gets is all from some index on, and what was published after the call returned is among it. */
static void expect_no_gap(aether_bus *bus, aether_begin how)
{
    aether_position before = aether_bus_newest(bus);
    aether_subscription *sub = unit_begin_at(bus, "a", how, before.epoch, before.index);
    if (sub == NULL) { /* nothing of before was kept */
        expect_status(AETHER_GONE, aether_error_status());
        return;
    }
    uint64_t after = aether_bus_newest(bus).index;
    aether_event event;
    uint64_t last = how == AETHER_BEGIN_AFTER ? before.index : 0;
    while (last < after && aether_next(sub, &event, AETHER_NO_WAIT) == AETHER_OK) {
        if (last == 0)
            cr_assert(event.index > before.index && event.index <= after + 1);
        else
            expect_number(last + 1, event.index);
        last = event.index;
    }
    if (how == AETHER_BEGIN_AFTER)
        cr_assert(last >= after);
    aether_subscription_close(sub);
}

TEST(bus_begin, BUS1_nothing_is_missed_by_who_subscribes_beside_a_publisher)
{
    aether_bus *bus = unit_bus();
    struct unit_thread thread;
    cr_assert(unit_thread_start(&thread, 0, publish_numbers, bus));
    while (aether_bus_newest(bus).index < RACE) {
        expect_no_gap(bus, AETHER_BEGIN_NOW);
        expect_no_gap(bus, AETHER_BEGIN_AFTER);
    }
    expect_fine(unit_thread_join(&thread));
    aether_bus_destroy(bus);
}

enum { FUZZ_READERS = 40, FUZZ_EVENTS = 500 };

static const char *read_all(void *user)
{
    aether_event event;
    for (uint64_t i = 1; i <= FUZZ_EVENTS; i++) {
        claim(aether_next(user, &event, AETHER_SECONDS(20)) == AETHER_OK);
        claim(event.index == i);
    }
    return NULL;
}

TEST(bus_begin, BUS1_many_waiting_readers_see_every_event_once_and_in_order)
{
    aether_bus *bus = unit_bus();
    aether_subscription *subs[FUZZ_READERS];
    struct unit_thread threads[FUZZ_READERS];
    for (size_t i = 0; i < FUZZ_READERS; i++) {
        subs[i] = unit_subscribe(bus, i % 2 == 0 ? "a" : ">", AETHER_BEGIN_NOW);
        cr_assert(unit_thread_start(&threads[i], 0, read_all, subs[i]));
    }
    aether_event event = {.type = "N"};
    for (int i = 0; i < FUZZ_EVENTS; i++) {
        expect_ok(aether_publish(bus, "a", &event));
        if (i % 7 == 0)
            unit_pause(unit_give_up_at());
    }
    for (size_t i = 0; i < FUZZ_READERS; i++) {
        expect_fine(unit_thread_join(&threads[i]));
        aether_subscription_close(subs[i]);
    }
    aether_bus_destroy(bus);
}
