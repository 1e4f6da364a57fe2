/* Ends of subscriptions: one reason, the first; drained or at once; by label; cancel, which is none. And runs. */
#include "common/unit.h"

#include "common/unit_bus.h"
#include "common/unit_snapshot.h"

static aether_subscription *labelled(aether_bus *bus, const char *pattern, const char *label, bool drain)
{
    return unit_subscribe_with(bus, pattern, (aether_subscribe_options){.label = label, .drain = drain});
}

/* --------------------------------------------------------------------------------------------------------------- reasons */

TEST(bus_close, BUS8_unsubscribing_comes_before_what_is_pending)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_NOW);
    expect_ok(unit_publish(bus, "a=1 a=2"));
    expect_ok(aether_unsubscribe(sub));
    expect_events("", AETHER_UNSUBSCRIBED, sub);
    expect_events("", AETHER_UNSUBSCRIBED, sub);
    expect_account(sub, .published = 2, .discarded = 2);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_close, BUS8_unsubscribing_twice_is_unsubscribing)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_NOW),
                        *other = unit_subscribe(bus, "a", AETHER_BEGIN_NOW);
    expect_ok(aether_unsubscribe(sub));
    expect_ok(aether_unsubscribe(sub));
    expect_status(AETHER_INVALID, aether_unsubscribe(NULL));
    expect_number(1, unit_bus_stats(bus).subscriptions);
    expect_ok(unit_publish(bus, "a=1"));
    expect_events("a=1", AETHER_EMPTY, other); /* the feed is still there for it */
    expect_events("", AETHER_UNSUBSCRIBED, sub);
    aether_subscription_close(sub);
    aether_subscription_close(other);
    expect_number(0, unit_bus_stats(bus).feeds);
    aether_bus_destroy(bus);
}

TEST(bus_close, BUS8_the_reasons_for_closing_by_label_are_told)
{
    static const aether_status reasons[] = {AETHER_UNSUBSCRIBED, AETHER_ACCESS_CHANGED, AETHER_RESET, AETHER_TOO_SLOW,
                                            AETHER_FAILED};
    aether_bus *bus = unit_bus();
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        aether_subscription *sub = labelled(bus, "a", "token", false);
        expect_ok(aether_bus_close_label(bus, "token", reasons[i]));
        expect_events("", reasons[i], sub);
        expect_events("", reasons[i], sub);
        aether_subscription_close(sub);
    }
    expect_number(5, unit_bus_stats(bus).closed);
    aether_bus_destroy(bus);
}

TEST(bus_close, BUS8_other_reasons_are_invalid)
{
    static const aether_status others[] = {AETHER_OK,        AETHER_EMPTY,  AETHER_CLOSED, AETHER_ENDED,
                                           AETHER_SHUT_DOWN, AETHER_LAGGED, 1000,          -1};
    aether_bus *bus = unit_bus();
    aether_subscription *sub = labelled(bus, "a", "token", false);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        expect_status(AETHER_INVALID, aether_bus_close_label(bus, "token", others[i]));
    expect_status(AETHER_INVALID, aether_bus_close_label(bus, NULL, AETHER_RESET));
    expect_status(AETHER_INVALID, aether_bus_close_label(NULL, "token", AETHER_RESET));
    expect_events("", AETHER_EMPTY, sub);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_close, BUS8_the_first_reason_stays)
{
    aether_bus *bus = unit_bus();
    aether_subscription *one = labelled(bus, "a", "x", false), *two = labelled(bus, "a", "y", false);
    aether_subscription *three = labelled(bus, "a", "x", false);
    expect_ok(aether_unsubscribe(three));
    expect_ok(aether_bus_close_label(bus, "x", AETHER_ACCESS_CHANGED));
    expect_ok(aether_bus_close_label(bus, "x", AETHER_TOO_SLOW));
    expect_ok(aether_bus_refresh(bus, "a"));
    expect_ok(aether_unsubscribe(one));
    expect_ok(aether_unsubscribe(two));
    expect_ok(aether_bus_shutdown(bus));
    expect_events("", AETHER_ACCESS_CHANGED, one);
    expect_events("", AETHER_RESET, two);
    expect_events("", AETHER_UNSUBSCRIBED, three);
    aether_subscription_close(one);
    aether_subscription_close(two);
    aether_subscription_close(three);
    aether_bus_destroy(bus);
}

TEST(bus_close, BUS8_a_label_closes_all_that_bear_it_and_no_other)
{
    aether_bus *bus = unit_bus();
    aether_subscription *same[] = {labelled(bus, "a", "x", false), labelled(bus, "a", "x", false),
                                   labelled(bus, "b.>", "x", false)};
    aether_subscription *others[] = {labelled(bus, "a", "xy", false), labelled(bus, "a", NULL, false),
                                     labelled(bus, "a", NULL, false)};
    expect_ok(aether_bus_close_label(bus, "x", AETHER_ACCESS_CHANGED));
    expect_ok(aether_bus_close_label(bus, "nobody", AETHER_ACCESS_CHANGED));
    expect_ok(unit_publish(bus, "a=1 b.c=2"));
    for (size_t i = 0; i < 3; i++) {
        expect_events("", AETHER_ACCESS_CHANGED, same[i]);
        expect_events("a=1", AETHER_EMPTY, others[i]);
    }
    expect_number(3, unit_bus_stats(bus).subscriptions);
    expect_number(3, unit_bus_stats(bus).closed);
    for (size_t i = 0; i < 3; i++) {
        aether_subscription_close(same[i]);
        aether_subscription_close(others[i]);
    }
    aether_bus_destroy(bus);
}

TEST(bus_close, BUS8_who_is_to_drain_gets_what_came_before_the_end_and_nothing_after)
{
    aether_bus *bus = unit_bus();
    aether_subscription *drains = labelled(bus, "a", "x", true), *does_not = labelled(bus, "a", "x", false);
    expect_ok(unit_publish(bus, "a=1 a=2"));
    expect_events("a=1 a=2", AETHER_EMPTY, drains);
    expect_ok(unit_publish(bus, "a=3 a=4"));
    expect_ok(aether_bus_close_label(bus, "x", AETHER_ACCESS_CHANGED));
    expect_ok(unit_publish(bus, "a=5"));
    expect_fine(unit_adds_up(drains));
    expect_events("a=3 a=4", AETHER_ACCESS_CHANGED, drains);
    expect_events("", AETHER_ACCESS_CHANGED, drains);
    expect_events("", AETHER_ACCESS_CHANGED, does_not);
    expect_account(drains, .published = 4, .delivered = 4);
    expect_account(does_not, .published = 4, .discarded = 4);
    aether_subscription_close(drains);
    aether_subscription_close(does_not);
    aether_bus_destroy(bus);
}

TEST(bus_close, BUS8_shutdown_reset_and_refresh_can_be_drained_too)
{
    for (int way = 0; way < 3; way++) {
        aether_bus *bus = unit_bus();
        aether_subscription *drains = labelled(bus, "a", NULL, true), *does_not = labelled(bus, "a", NULL, false);
        expect_ok(unit_publish(bus, "a=1"));
        if (way == 0)
            expect_ok(aether_bus_shutdown(bus));
        else if (way == 1)
            expect_ok(aether_bus_reset(bus, NULL));
        else
            expect_ok(aether_bus_refresh(bus, ">"));
        aether_status reason = way == 0 ? AETHER_SHUT_DOWN : AETHER_RESET;
        expect_events("a=1", reason, drains);
        expect_events("", reason, drains);
        expect_events("", reason, does_not);
        expect_account(drains, .published = 1, .delivered = 1);
        expect_account(does_not, .published = 1, .discarded = 1);
        aether_subscription_close(drains);
        aether_subscription_close(does_not);
        aether_bus_destroy(bus);
    }
}

/* --------------------------------------------------------------------------------------------------- waking who waits */

static void expect_woken(aether_status wanted, aether_status (*end)(aether_bus *bus, aether_subscription *sub))
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = labelled(bus, "a", "x", false), *other = labelled(bus, "a", "y", false);
    struct unit_follower follower, witness;
    cr_assert(unit_follower_put_to_sleep(&follower, sub));
    cr_assert(unit_follower_put_to_sleep(&witness, other));
    expect_ok(end(bus, sub));
    expect_status(wanted, unit_follower_join(&follower));
    if (wanted == AETHER_UNSUBSCRIBED || wanted == AETHER_ACCESS_CHANGED) { /* of one subscription only */
        expect_ok(unit_publish(bus, "a=1"));
        expect_ok(unit_follower_join(&witness));
        cr_assert_str_eq(witness.word, "a=1");
    } else {
        expect_status(wanted, unit_follower_join(&witness));
    }
    aether_subscription_close(sub);
    aether_subscription_close(other);
    aether_bus_destroy(bus);
}

static aether_status end_by_unsubscribe(aether_bus *bus, aether_subscription *sub)
{
    (void)bus;
    return aether_unsubscribe(sub);
}

static aether_status end_by_label(aether_bus *bus, aether_subscription *sub)
{
    (void)sub;
    return aether_bus_close_label(bus, "x", AETHER_ACCESS_CHANGED);
}

static aether_status end_by_shutdown(aether_bus *bus, aether_subscription *sub)
{
    (void)sub;
    return aether_bus_shutdown(bus);
}

static aether_status end_by_reset(aether_bus *bus, aether_subscription *sub)
{
    (void)sub;
    return aether_bus_reset(bus, NULL);
}

static aether_status end_by_refresh(aether_bus *bus, aether_subscription *sub)
{
    (void)sub;
    return aether_bus_refresh(bus, "*");
}

TEST_ALL_WAYS(bus_close, BUS8_unsubscribing_wakes_exactly_that_reader)
{
    expect_woken(AETHER_UNSUBSCRIBED, end_by_unsubscribe);
}

TEST(bus_close, BUS8_closing_by_label_wakes_those_of_the_label)
{
    expect_woken(AETHER_ACCESS_CHANGED, end_by_label);
}

TEST_ALL_WAYS(bus_close, BUS8_shutdown_wakes_all)
{
    expect_woken(AETHER_SHUT_DOWN, end_by_shutdown);
}

TEST(bus_close, BUS7_reset_wakes_all)
{
    expect_woken(AETHER_RESET, end_by_reset);
}

TEST(bus_close, BUS7_refresh_wakes_all_under_the_pattern)
{
    expect_woken(AETHER_RESET, end_by_refresh);
}

TEST(bus_close, BUS8_destroying_the_bus_ends_what_is_open_and_leaves_it_to_its_owner)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = labelled(bus, "a", NULL, false), *drains = labelled(bus, "a", NULL, true);
    expect_ok(unit_publish(bus, "a=1"));
    aether_bus_destroy(bus);
    expect_events("", AETHER_SHUT_DOWN, sub);
    expect_events("a=1", AETHER_SHUT_DOWN, drains);
    expect_ok(aether_unsubscribe(sub));
    expect_events("", AETHER_SHUT_DOWN, sub);
    expect_fine(unit_adds_up(sub));
    aether_subscription_close(sub);
    aether_subscription_close(drains);
}

/* ---------------------------------------------------------------------------------------------------------------- cancel */

TEST(bus_close, BUS9_a_cancelled_reader_goes_on_after_resume)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_NOW);
    expect_ok(unit_publish(bus, "a=1 a=2"));
    aether_subscription_cancel(sub);
    expect_events("", AETHER_CANCELLED, sub);
    expect_events("", AETHER_CANCELLED, sub);
    expect_ok(aether_subscription_resume(sub));
    expect_events("a=1 a=2", AETHER_EMPTY, sub);
    expect_ok(aether_subscription_resume(sub)); /* it was not cancelled */
    expect_status(AETHER_INVALID, aether_subscription_resume(NULL));
    aether_subscription_cancel(NULL);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_close, BUS9_who_drains_can_be_cancelled_and_goes_on)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = labelled(bus, "a", "x", true);
    expect_ok(unit_publish(bus, "a=1 a=2"));
    aether_subscription_cancel(sub);
    expect_ok(aether_bus_close_label(bus, "x", AETHER_ACCESS_CHANGED));
    expect_events("", AETHER_CANCELLED, sub);
    expect_ok(aether_subscription_resume(sub));
    expect_arrivals("a=1", sub);
    aether_subscription_cancel(sub);
    expect_events("", AETHER_CANCELLED, sub);
    expect_ok(aether_subscription_resume(sub));
    expect_events("a=2", AETHER_ACCESS_CHANGED, sub);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST_ALL_WAYS(bus_close, BUS9_cancel_wakes_who_waits)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_NOW);
    struct unit_follower follower;
    cr_assert(unit_follower_put_to_sleep(&follower, sub));
    aether_subscription_cancel(sub);
    expect_status(AETHER_CANCELLED, unit_follower_join(&follower));
    expect_ok(aether_subscription_resume(sub));
    cr_assert(unit_follower_put_to_sleep(&follower, sub));
    expect_ok(unit_publish(bus, "a=1"));
    expect_ok(unit_follower_join(&follower));
    cr_assert_str_eq(follower.word, "a=1");
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

/* ------------------------------------------------------------------------------------------------------------------ runs */

static void expect_run(aether_subscription *sub, size_t capacity, aether_status wanted, const char *words)
{
    aether_event events[16];
    size_t count = 99;
    char came[512] = "", word[64];
    expect_status(wanted, aether_next_run(sub, events, capacity, &count, AETHER_NO_WAIT));
    cr_assert(count <= capacity && (wanted == AETHER_OK) == (count > 0));
    for (size_t i = 0; i < count; i++) {
        unit_word(&events[i], word, sizeof word);
        unit_add_word(came, sizeof came, word);
    }
    cr_assert_str_eq(came, words);
}

TEST(bus_close, BUS9_a_run_hands_out_what_is_ready)
{
    aether_bus *bus = unit_bus();
    static const char *const types[] = {""};
    aether_subscription *sub = unit_subscribe(bus, ">", AETHER_BEGIN_NOW);
    aether_subscription *nothing =
        unit_subscribe_with(bus, ">", (aether_subscribe_options){.filter = {.types = types, .type_count = 1, .actor = "x"}});
    expect_run(sub, 16, AETHER_EMPTY, "");
    expect_ok(unit_publish_batch(bus, "a=1 b=2 c=3"));
    expect_ok(unit_publish(bus, "a=4 b=5"));
    expect_run(sub, 2, AETHER_OK, "a=1 b=2"); /* a batch may be handed out in parts */
    expect_run(sub, 16, AETHER_OK, "c=3 a=4 b=5");
    expect_run(sub, 16, AETHER_EMPTY, "");
    expect_run(nothing, 16, AETHER_EMPTY, "");
    expect_account(sub, .published = 5, .delivered = 5);
    expect_account(nothing, .published = 5, .filtered = 5);
    expect_ok(aether_unsubscribe(sub));
    expect_run(sub, 16, AETHER_UNSUBSCRIBED, "");
    aether_event event;
    size_t count;
    expect_status(AETHER_INVALID, aether_next_run(nothing, &event, 0, &count, AETHER_NO_WAIT));
    expect_status(AETHER_INVALID, aether_next_run(nothing, NULL, 1, &count, AETHER_NO_WAIT));
    expect_status(AETHER_INVALID, aether_next_run(nothing, &event, 1, NULL, AETHER_NO_WAIT));
    aether_subscription_close(sub);
    aether_subscription_close(nothing);
    aether_bus_destroy(bus);
}

TEST(bus_close, BUS9_a_mark_ends_a_run)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "a=1 b=2 | c=3"};
    unit_handle(bus, ">", &maker);
    aether_subscription *sub = unit_watch(bus, ">");
    expect_ok(unit_publish(bus, "a=4 b=5"));
    static const char *const wanted[] = {"+a=1", "+b=2", "+c=3", "end@0", "a=4", "b=5"};
    aether_event events[16];
    for (size_t seen = 0, count; seen < 6; seen += count) {
        expect_ok(aether_next_run(sub, events, 16, &count, AETHER_NO_WAIT));
        cr_assert(count >= 1 && seen + count <= 6);
        char words[16][64];
        for (size_t i = 0; i < count; i++) /* all are valid now */
            unit_word(&events[i], words[i], sizeof *words);
        for (size_t i = 0; i < count; i++) {
            cr_assert_str_eq(words[i], wanted[seen + i]);
            cr_assert(events[i].kind != AETHER_EVENT_SNAPSHOT_END || i == count - 1);
        }
    }
    expect_run(sub, 16, AETHER_EMPTY, "");
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}
