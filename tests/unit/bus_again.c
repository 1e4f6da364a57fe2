/* Snapshots that begin anew: on lag, on a resume that cannot be; and those in which each subject counts for itself. */
#include "common/unit.h"

#include <stdlib.h>

#include "common/unit_bus.h"
#include "common/unit_snapshot.h"

enum { MANY = 300, SIZE = 100 };

static aether_subscription *limited(aether_bus *bus, const char *pattern, aether_begin begin, aether_on_limit on_limit,
                                    aether_on_lag on_lag)
{
    return unit_subscribe_with(
        bus, pattern,
        (aether_subscribe_options){.begin = begin, .on_limit = on_limit, .on_lag = on_lag, .limit_bytes = UNIT_LIMIT});
}

/* ------------------------------------------------------------------------------------------------------------------- lag */

/* The handler shows everything that was published. */
static void show_newest(struct unit_maker *maker, aether_snapshot *snapshot)
{
    (void)snapshot;
    maker->index = aether_bus_newest(maker->user).index;
}

static void handle(aether_bus *bus, struct unit_maker *maker, bool on_pool)
{
    *maker = (struct unit_maker){.begin = show_newest, .user = bus, .words = "s=state"};
    aether_snapshot_handler handler = unit_handler(maker);
    handler.on_pool = on_pool;
    expect_ok(aether_bus_handle_snapshots(bus, "s", &handler));
}

/* Reads live events up to a mark "follows"; the index of the last one. */
static uint64_t read_to_follows(aether_subscription *sub, uint64_t last)
{
    aether_event event;
    expect_ok(aether_next(sub, &event, AETHER_NO_WAIT));
    for (; event.kind == AETHER_EVENT_LIVE; last++) {
        expect_number(last + 1, event.index);
        expect_ok(aether_next(sub, &event, AETHER_NO_WAIT));
    }
    expect_number(AETHER_EVENT_SNAPSHOT_FOLLOWS, event.kind);
    return last;
}

static void expect_new_snapshot_on_lag(aether_begin begin, aether_on_lag on_lag)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker;
    handle(bus, &maker, false);
    aether_subscription *sub = limited(bus, "s", begin, AETHER_LAP, on_lag);
    aether_status status;
    uint64_t snapshots = begin == AETHER_BEGIN_SNAPSHOT;
    expect_number(2 * snapshots, unit_drain(sub, &status));
    expect_ok(unit_publish_many(bus, "s", MANY, SIZE, NULL));
    uint64_t last = read_to_follows(sub, 0); /* what it held, and never AETHER_LAGGED */
    expect_position(0, 0, aether_subscription_position(sub));
    expect_events("+s=state end@300", AETHER_EMPTY, sub);
    expect_account(sub, .published = MANY, .delivered = last, .lagged = MANY - last, .snapshot_events = snapshots + 1,
                   .snapshots = snapshots + 1, .lags = 1);
    expect_position(UNIT_EPOCH, MANY, aether_subscription_position(sub));
    expect_ok(unit_publish(bus, "s=after"));
    expect_events("s=after", AETHER_EMPTY, sub);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_again, BUS3_who_began_with_a_snapshot_gets_a_new_one_on_lag)
{
    expect_new_snapshot_on_lag(AETHER_BEGIN_SNAPSHOT, AETHER_LAG_DEFAULT);
}

TEST(bus_again, BUS3_who_asks_for_it_gets_a_snapshot_on_lag)
{
    expect_new_snapshot_on_lag(AETHER_BEGIN_NOW, AETHER_LAG_SNAPSHOT);
}

TEST(bus_again, BUS3_who_began_with_a_snapshot_may_choose_to_go_on)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker;
    handle(bus, &maker, false);
    aether_subscription *sub = limited(bus, "s", AETHER_BEGIN_SNAPSHOT, AETHER_LAP, AETHER_LAG_GO_ON);
    expect_events("+s=state end@0", AETHER_EMPTY, sub);
    expect_ok(unit_publish_many(bus, "s", MANY, SIZE, NULL));
    aether_status status;
    uint64_t read = unit_drain(sub, &status);
    expect_status(AETHER_LAGGED, status);
    read += unit_drain(sub, &status);
    expect_status(AETHER_EMPTY, status);
    expect_account(sub, .published = MANY, .delivered = read, .lagged = MANY - read, .snapshot_events = 1, .snapshots = 1,
                   .lags = 1);
    expect_number(1, unit_runs(&maker));
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_again, BUS3_a_lag_without_a_handler_fails)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker;
    handle(bus, &maker, false);
    aether_subscription *sub = limited(bus, "s", AETHER_BEGIN_SNAPSHOT, AETHER_LAP, AETHER_LAG_DEFAULT);
    expect_events("+s=state end@0", AETHER_EMPTY, sub);
    expect_ok(aether_bus_unhandle_snapshots(bus, "s", true));
    expect_ok(unit_publish_many(bus, "s", MANY, SIZE, NULL));
    aether_status status;
    unit_drain(sub, &status);
    expect_status(AETHER_FAILED, status);
    expect_status(AETHER_FAILED, unit_try(sub));
    expect_fine(unit_adds_up(sub));
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_again, BUS8_who_is_over_and_lags_gets_its_reason_and_no_silent_gap)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker;
    handle(bus, &maker, false);
    aether_subscription *keeper = unit_subscribe(bus, "s", AETHER_BEGIN_NOW);
    aether_subscription *sub = unit_subscribe_with(
        bus, "s",
        (aether_subscribe_options){.begin = AETHER_BEGIN_SNAPSHOT, .limit_bytes = UNIT_LIMIT, .drain = true, .label = "x"});
    expect_events("+s=state end@0", AETHER_EMPTY, sub);
    expect_ok(unit_publish_many(bus, "s", MANY, SIZE, NULL));
    expect_ok(aether_bus_close_label(bus, "x", AETHER_ACCESS_CHANGED)); /* there will be no new snapshot for it */
    aether_event event;
    aether_status status;
    for (uint64_t i = 1; (status = aether_next(sub, &event, AETHER_NO_WAIT)) == AETHER_OK; i++)
        expect_number(i, event.index);
    expect_status(AETHER_ACCESS_CHANGED, status);
    expect_fine(unit_adds_up(sub));
    expect_number(1, unit_runs(&maker));
    aether_subscription_close(sub);
    aether_subscription_close(keeper);
    aether_bus_destroy(bus);
}

TEST(bus_again, BUS5_the_snapshot_after_a_lag_may_be_made_by_the_pool)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker;
    handle(bus, &maker, true);
    aether_subscription *sub = limited(bus, "s", AETHER_BEGIN_SNAPSHOT, AETHER_LAP, AETHER_LAG_DEFAULT);
    expect_arrivals("+s=state end@0", sub);
    expect_ok(unit_publish_many(bus, "s", MANY, SIZE, NULL));
    unit_hold(&maker);
    uint64_t last = read_to_follows(sub, 0);
    expect_arrivals("+s=state", sub);
    expect_events("", AETHER_EMPTY, sub);
    expect_ok(unit_publish(bus, "s=meanwhile"));
    unit_let_go(&maker);
    aether_event event; /* the handler took its index before or after that one */
    expect_ok(aether_next(sub, &event, AETHER_SECONDS(20)));
    cr_assert(event.kind == AETHER_EVENT_SNAPSHOT_END && event.index == MANY);
    expect_arrivals("s=meanwhile", sub); /* who makes it may be about to lead on to what follows */
    expect_events("", AETHER_EMPTY, sub);
    expect_account(sub, .published = MANY + 1, .delivered = last + 1, .lagged = MANY - last, .snapshot_events = 2,
                   .snapshots = 2, .lags = 1);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

/* A watcher that reads its snapshot, whatever its limit says, holds nobody up. */
static void expect_no_hold_up(aether_on_limit on_limit)
{
    aether_bus_options options = unit_bus_options();
    options.publish_wait_ns = -1;
    aether_bus *bus = unit_bus_with(options);
    struct unit_maker maker;
    handle(bus, &maker, true);
    unit_hold(&maker);
    aether_subscription *sub = limited(bus, "s", AETHER_BEGIN_SNAPSHOT, on_limit, AETHER_LAG_DEFAULT);
    expect_arrivals("+s=state", sub);
    expect_ok(unit_publish_many(bus, "s", 20 * MANY, SIZE, NULL)); /* many times its limit */
    unit_let_go(&maker);
    aether_event event;
    aether_status status;
    do { /* now or after another snapshot it comes to the newest */
        status = aether_next(sub, &event, AETHER_SECONDS(20));
        expect_ok(status);
    } while (event.index < 20 * MANY);
    expect_number(0, unit_drain(sub, &status));
    expect_fine(unit_adds_up(sub));
    size_t done;
    status = unit_publish_until(bus, "s", SIZE, &done); /* from here on its limit counts */
    cr_assert(on_limit == AETHER_REFUSE ? status == AETHER_FULL : status == AETHER_TIMEOUT || status == AETHER_WOULD_BLOCK,
              "%s", aether_status_text(status));
    expect_number(done, unit_drain(sub, &status));
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_again, BUS5_a_watcher_in_its_snapshot_never_makes_publishing_fail)
{
    expect_no_hold_up(AETHER_REFUSE);
}

TEST(bus_again, BUS5_a_watcher_in_its_snapshot_never_makes_a_publisher_wait)
{
    expect_no_hold_up(AETHER_WAIT);
}

/* ---------------------------------------------------------------------------------------------------------------- resume */

TEST(bus_again, BUS7_resume_goes_on_where_it_can_without_any_mark)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker;
    handle(bus, &maker, false);
    unit_retain(bus, "s");
    expect_ok(unit_publish(bus, "s=1 t=2 s=3 s=4"));
    static const char *const rest[] = {"s=1 s=3 s=4 s=5", "s=3 s=4 s=5", "s=3 s=4 s=5", "s=4 s=5", "s=5"};
    aether_subscription *subs[5];
    for (uint64_t at = 0; at < 5; at++)
        subs[at] = unit_begin_at(bus, "s", AETHER_BEGIN_RESUME, UNIT_EPOCH, at);
    expect_ok(unit_publish(bus, "s=5"));
    for (size_t at = 0; at < 5; at++) {
        expect_events(rest[at], AETHER_EMPTY, subs[at]);
        aether_subscription_close(subs[at]);
    }
    expect_number(0, unit_runs(&maker));
    expect_number(5, unit_bus_stats(bus).resumed);
    aether_bus_destroy(bus);
}

TEST(bus_again, BUS7_resume_at_the_newest_index_needs_nothing_that_is_kept)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker;
    handle(bus, &maker, false);
    expect_ok(unit_publish(bus, "s=1 s=2"));
    aether_subscription *sub = unit_begin_at(bus, "s", AETHER_BEGIN_RESUME, UNIT_EPOCH, 2);
    expect_ok(unit_publish(bus, "s=3"));
    expect_events("s=3", AETHER_EMPTY, sub);
    expect_number(0, unit_runs(&maker));
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_again, BUS7_resume_elsewhere_begins_with_a_snapshot)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker;
    handle(bus, &maker, false);
    expect_ok(unit_publish(bus, "s=1 s=2"));
    aether_subscription *gone = unit_begin_at(bus, "s", AETHER_BEGIN_RESUME, UNIT_EPOCH, 1),
                        *ahead = unit_begin_at(bus, "s", AETHER_BEGIN_RESUME, UNIT_EPOCH, 9);
    aether_subscription *other = unit_begin_at(bus, "s", AETHER_BEGIN_RESUME, UNIT_EPOCH + 1, 2),
                        *nowhere = unit_begin_at(bus, "s", AETHER_BEGIN_RESUME, 0, 0);
    expect_ok(unit_publish(bus, "s=3"));
    expect_events("follows +s=state end@2 s=3", AETHER_EMPTY, gone);
    expect_events("follows +s=state end@2 s=3", AETHER_EMPTY, ahead);
    expect_events("follows +s=state end@2 s=3", AETHER_EMPTY, other); /* the same index, another history */
    expect_events("+s=state end@2 s=3", AETHER_EMPTY, nowhere);
    expect_number(0, unit_bus_stats(bus).resumed);
    aether_subscription *subs[] = {gone, ahead, other, nowhere};
    for (size_t i = 0; i < 4; i++) {
        expect_fine(unit_adds_up(subs[i]));
        aether_subscription_close(subs[i]);
    }
    aether_bus_destroy(bus);
}

TEST(bus_again, BUS7_who_resumed_gets_a_snapshot_on_lag)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker;
    handle(bus, &maker, false);
    expect_ok(unit_publish(bus, "s=1"));
    aether_subscription *sub = unit_subscribe_with(
        bus, "s",
        (aether_subscribe_options){.begin = AETHER_BEGIN_RESUME, .position = {UNIT_EPOCH, 1}, .limit_bytes = UNIT_LIMIT});
    expect_events("", AETHER_EMPTY, sub);
    expect_ok(unit_publish_many(bus, "s", MANY, SIZE, NULL));
    read_to_follows(sub, 1);
    expect_events("+s=state end@301", AETHER_EMPTY, sub);
    expect_fine(unit_adds_up(sub));
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_again, BUS7_a_lag_in_a_wider_feed_leads_to_a_feed_of_its_own)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker;
    handle(bus, &maker, false);
    unit_retain(bus, ">");
    expect_ok(unit_publish(bus, "s=1 t=2 s=3"));
    aether_subscription *sub = unit_subscribe_with(bus, "s",
                                                   (aether_subscribe_options){.begin = AETHER_BEGIN_AFTER,
                                                                              .position = {UNIT_EPOCH, 1},
                                                                              .on_lag = AETHER_LAG_SNAPSHOT,
                                                                              .limit_bytes = UNIT_LIMIT});
    expect_events("s=3", AETHER_EMPTY, sub);
    expect_ok(unit_publish_many(bus, "t", MANY, SIZE, NULL)); /* it is not even for it */
    expect_ok(unit_publish(bus, "s=state2"));
    expect_events("follows +s=state end@304", AETHER_EMPTY, sub);
    expect_fine(unit_adds_up(sub));
    expect_ok(unit_publish(bus, "t=x s=after"));
    expect_events("s=after", AETHER_EMPTY, sub);
    expect_fine(unit_adds_up(sub));
    expect_number(2, unit_account(sub).delivered);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

/* ------------------------------------------------------------------------------------------------------------ by subject */

/* "k@6=x": with the subject's own index 6. */
static void publish_own(aether_bus *bus, const char *words)
{
    struct unit_words *parsed = malloc(sizeof *parsed);
    unit_parse_words(parsed, &words, true);
    for (size_t i = 0; i < parsed->count; i++)
        expect_ok(aether_publish(bus, parsed->events[i].subject, &parsed->events[i]));
    free(parsed);
}

static void publish_own_inside(struct unit_maker *maker, aether_snapshot *snapshot)
{
    (void)snapshot;
    publish_own(maker->user, "k.a@5=seen k.b@4=new k.c@1=unknown");
}

static void expect_by_subject(aether_bus *bus)
{
    struct unit_maker maker = {
        .begin = publish_own_inside, .user = bus, .words = "k.a@5=A k.b@2=B | -k.d@7 k.a@4=A4 k.b@3=B3"};
    aether_snapshot_handler handler = unit_handler(&maker);
    handler.by_subject = true;
    expect_ok(aether_bus_handle_snapshots(bus, "k.*", &handler));
    publish_own(bus, "k.a@4=before");
    aether_subscription *sub = unit_watch(bus, "k.*");
    aether_event event;
    static const char *const state[] = {"k.a", "k.b", "k.d", "k.a", "k.b"};
    static const uint64_t indexes[] = {5, 2, 7, 4, 3}; /* the highest of a subject counts */
    for (size_t i = 0; i < 5; i++) {
        expect_ok(aether_next(sub, &event, AETHER_NO_WAIT));
        cr_assert(event.kind == AETHER_EVENT_SNAPSHOT && event.subject_size == 3 && memcmp(event.subject, state[i], 3) == 0);
        expect_number(indexes[i], event.subject_index);
        expect_number(i == 2 ? AETHER_EVENT_DELETED : 0, event.flags);
    }
    expect_ok(aether_next(sub, &event, AETHER_NO_WAIT));
    expect_number(AETHER_EVENT_SNAPSHOT_END, event.kind);
    publish_own(bus, "k.d@6=late k.d@7=too k.a@3=old k.b@3=old k.d@8=back k.a@6=a6 k.e@1=e");
    expect_events("k.b=new k.c=unknown k.d=back k.a=a6 k.e=e", AETHER_EMPTY, sub);
    expect_account(sub, .published = 10, .delivered = 5, .below_watermark = 5, .snapshot_events = 5, .snapshots = 1);
    expect_position(0, 0, aether_subscription_position(sub)); /* it begins anew only */
    aether_subscription_close(sub);
}

TEST(bus_again, BUS5_each_subject_counts_for_itself)
{
    aether_bus *bus = unit_bus();
    expect_by_subject(bus);
    aether_bus_destroy(bus);
}

TEST(bus_again, BUS5_each_subject_counts_for_itself_in_a_namespace)
{
    aether_bus *bus = unit_bus(), *space = aether_bus_namespace(bus, "tenant");
    cr_assert(space != NULL, "%s", aether_error());
    expect_by_subject(space);
    aether_bus_destroy(space);
    aether_bus_destroy(bus);
}

TEST(bus_again, BUS5_who_counts_by_subject_resumes_with_a_snapshot)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "k.a@5=A"};
    aether_snapshot_handler handler = unit_handler(&maker);
    handler.by_subject = true;
    expect_ok(aether_bus_handle_snapshots(bus, "k.*", &handler));
    unit_retain(bus, "k.*");
    publish_own(bus, "k.a@4=4 k.a@5=5");
    aether_subscription *sub = unit_begin_at(bus, "k.*", AETHER_BEGIN_RESUME, UNIT_EPOCH, 2);
    publish_own(bus, "k.a@6=6");
    aether_event event;
    static const aether_event_kind kinds[] = {AETHER_EVENT_SNAPSHOT_FOLLOWS, AETHER_EVENT_SNAPSHOT,
                                              AETHER_EVENT_SNAPSHOT_END};
    for (size_t i = 0; i < 3; i++) {
        expect_ok(aether_next(sub, &event, AETHER_NO_WAIT));
        expect_number(kinds[i], event.kind);
    }
    expect_events("k.a=6", AETHER_EMPTY, sub);
    expect_number(1, unit_runs(&maker));
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}
