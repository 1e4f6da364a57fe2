/* Limits of subscriptions: wait, refuse, lap, close; and who is woken by what. */
#include "common/unit.h"

#include <stdio.h>

#include "common/unit_bus.h"

enum { SIZE = 100 };

static aether_subscription *limited(aether_bus *bus, const char *pattern, aether_on_limit on_limit)
{
    return unit_subscribe_with(bus, pattern,
                               (aether_subscribe_options){.on_limit = on_limit, .limit_bytes = UNIT_LIMIT, .label = "slow"});
}

static void read_one(aether_subscription *sub)
{
    aether_event event;
    expect_ok(aether_next(sub, &event, AETHER_NO_WAIT));
}

/* ------------------------------------------------------------------------------------------------------------------ wait */

/* A patient bus whose only subscription, "a" with AETHER_WAIT, has no room left for an event of SIZE bytes. */
struct crowd {
    aether_bus *bus;
    aether_subscription *sub;
    size_t there;
    struct unit_publisher publisher; /* sleeps, with `word` */
    char word[SIZE + 3];             /* one more of SIZE bytes */
};

static void crowd_in(struct crowd *crowd)
{
    crowd->there = unit_count_room(SIZE);
    crowd->bus = unit_bus();
    crowd->sub = limited(crowd->bus, "a", AETHER_WAIT);
    expect_ok(unit_fill_up(crowd->bus, SIZE)); /* by another thread than this, which reads */
    memcpy(crowd->word, "a=", 3);
    memset(crowd->word + 2, 'n', SIZE);
    crowd->word[SIZE + 2] = '\0';
    cr_assert(unit_publisher_put_to_sleep(&crowd->publisher, crowd->bus, crowd->word));
    expect_number(crowd->there, aether_bus_newest(crowd->bus).index); /* it stands nowhere yet */
    expect_number(1, unit_bus_stats(crowd->bus).waits);
}

static void crowd_out(struct crowd *crowd)
{
    aether_subscription_close(crowd->sub);
    aether_bus_destroy(crowd->bus);
}

TEST(bus_limit, BUS3_a_publisher_waits_until_there_is_room)
{
    struct crowd crowd;
    crowd_in(&crowd);
    for (size_t i = 0; i < crowd.there; i++)
        read_one(crowd.sub);
    aether_event event;
    expect_ok(aether_next(crowd.sub, &event, AETHER_SECONDS(20)));
    cr_assert(event.index == crowd.there + 1 && event.data.data[0] == 'n');
    expect_ok(unit_publisher_join(&crowd.publisher));
    expect_account(crowd.sub, .published = crowd.there + 1, .delivered = crowd.there + 1);
    expect_number(0, unit_bus_stats(crowd.bus).refused);
    crowd_out(&crowd);
}

TEST(bus_limit, BUS3_others_publish_while_one_waits)
{
    struct crowd crowd;
    crowd_in(&crowd);
    aether_subscription *other = unit_subscribe(crowd.bus, "b", AETHER_BEGIN_NOW);
    expect_ok(unit_publish(crowd.bus, "b=1 c=2"));
    expect_events("b=1", AETHER_EMPTY, other);
    aether_status status;
    cr_assert(unit_drain(crowd.sub, &status) >= crowd.there);
    expect_ok(unit_publisher_join(&crowd.publisher));
    aether_subscription_close(other);
    crowd_out(&crowd);
}

TEST(bus_limit, BUS3_closing_the_slow_one_lets_the_publisher_go)
{
    struct crowd crowd;
    crowd_in(&crowd);
    aether_subscription_close(crowd.sub);
    expect_ok(unit_publisher_join(&crowd.publisher));
    expect_number(crowd.there + 1, aether_bus_newest(crowd.bus).index);
    aether_bus_destroy(crowd.bus);
}

TEST(bus_limit, BUS3_unsubscribing_the_slow_one_lets_the_publisher_go)
{
    struct crowd crowd;
    crowd_in(&crowd);
    expect_ok(aether_unsubscribe(crowd.sub));
    expect_ok(unit_publisher_join(&crowd.publisher));
    expect_events("", AETHER_UNSUBSCRIBED, crowd.sub);
    expect_fine(unit_adds_up(crowd.sub));
    crowd_out(&crowd);
}

TEST(bus_limit, BUS8_closing_by_label_lets_the_publisher_go)
{
    struct crowd crowd;
    crowd_in(&crowd);
    expect_ok(aether_bus_close_label(crowd.bus, "slow", AETHER_TOO_SLOW));
    expect_ok(unit_publisher_join(&crowd.publisher));
    expect_events("", AETHER_TOO_SLOW, crowd.sub);
    crowd_out(&crowd);
}

TEST(bus_limit, BUS8_shutdown_lets_the_publisher_go)
{
    struct crowd crowd;
    crowd_in(&crowd);
    expect_ok(aether_bus_shutdown(crowd.bus));
    expect_status(AETHER_SHUT_DOWN, unit_publisher_join(&crowd.publisher));
    expect_events("", AETHER_SHUT_DOWN, crowd.sub);
    crowd_out(&crowd);
}

TEST(bus_limit, BUS7_reset_lets_the_publisher_go)
{
    struct crowd crowd;
    crowd_in(&crowd);
    expect_ok(aether_bus_reset(crowd.bus, NULL));
    aether_status status = unit_publisher_join(&crowd.publisher); /* its event gave no epoch: it is of the new history */
    expect_ok(status);
    expect_number(1, aether_bus_newest(crowd.bus).index);
    expect_events("", AETHER_RESET, crowd.sub);
    crowd_out(&crowd);
}

static const char *publish_with_epoch(void *user)
{
    struct crowd *crowd = user;
    unit_futex_trace = &crowd->publisher.trace;
    aether_event event = {.epoch = UNIT_EPOCH, .data = AETHER_TEXT(crowd->word)};
    crowd->publisher.status = aether_publish(crowd->bus, "a", &event);
    return NULL;
}

TEST(bus_limit, BUS4_who_waited_over_a_reset_with_the_old_epoch_is_stale)
{
    struct crowd crowd;
    crowd_in(&crowd);
    struct crowd other = crowd; /* a second one, behind the first */
    other.publisher.trace = (struct unit_futex_trace){0, 0};
    cr_assert(unit_thread_start(&other.publisher.thread, 0, publish_with_epoch, &other));
    cr_assert(unit_thread_sleeps(&other.publisher.thread, &other.publisher.trace));
    expect_ok(aether_bus_reset(crowd.bus, NULL));
    expect_ok(unit_publisher_join(&crowd.publisher));
    expect_status(AETHER_STALE_EPOCH, unit_publisher_join(&other.publisher));
    expect_number(1, aether_bus_newest(crowd.bus).index);
    crowd_out(&crowd);
}

TEST(bus_limit, BUS3_a_wait_that_is_over_leaves_nothing)
{
    aether_bus_options options = unit_bus_options();
    options.publish_wait_ns = AETHER_MILLISECONDS(2);
    aether_bus *bus = unit_bus_with(options);
    aether_subscription *sub = limited(bus, "a", AETHER_WAIT), *all = unit_subscribe(bus, ">", AETHER_BEGIN_NOW);
    struct unit_publisher publisher;
    char word[SIZE + 3] = "a=";
    memset(word + 2, 'x', SIZE);
    size_t done = 0;
    aether_status status = AETHER_OK;
    while (done < 1000 && status == AETHER_OK) {
        cr_assert(unit_publisher_start(&publisher, bus, word));
        status = unit_publisher_join(&publisher);
        done += status == AETHER_OK;
    }
    expect_status(AETHER_TIMEOUT, status);
    expect_number(done, aether_bus_newest(bus).index);
    expect_number(done, unit_drain(all, &status));
    expect_number(done, unit_drain(sub, &status));
    expect_ok(unit_publish_aside(bus, "a=1"));
    expect_events("a=1", AETHER_EMPTY, sub);
    expect_events("a=1", AETHER_EMPTY, all);
    expect_number(done + 1, aether_bus_newest(bus).index);
    aether_subscription_close(sub);
    aether_subscription_close(all);
    aether_bus_destroy(bus);
}

TEST(bus_limit, BUS9_a_publisher_does_not_wait_for_what_it_reads_itself)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = limited(bus, "a", AETHER_WAIT);
    expect_ok(unit_publish(bus, "a=0"));
    read_one(sub);
    expect_ok(unit_publish(bus, "a=1"));
    size_t done;
    expect_status(AETHER_WOULD_BLOCK, unit_publish_until(bus, "a", SIZE, &done));
    expect_number(done + 2, aether_bus_newest(bus).index);
    aether_status status;
    expect_number(done + 1, unit_drain(sub, &status));
    expect_ok(unit_publish(bus, "a=2"));
    expect_events("a=2", AETHER_EMPTY, sub);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_limit, BUS4_later_indexes_queue_behind_one_that_waits)
{
    aether_bus *bus = unit_bus();
    aether_subscription *slow = limited(bus, "a", AETHER_WAIT), *all = unit_subscribe(bus, ">", AETHER_BEGIN_NOW);
    static char word[64], filler[SIZE];
    struct unit_publisher first, second;
    uint64_t index = 0;
    aether_subscription_stats stats = {0};
    while (stats.pending < 3) { /* something is there, and all has room */
        expect_ok(aether_publish(bus, "a", AETHER_EVENT(.index = ++index, .data = {filler, sizeof filler})));
        stats = unit_account(slow);
    }
    do { /* until one does not return */
        snprintf(word, sizeof word, "a@%" PRIu64 "=0123456789-0123456789-0123456789", ++index);
        cr_assert(unit_publisher_start(&first, bus, word));
        unit_until(first.thread.tid != 0 && (__atomic_load_n(&first.trace.passes, __ATOMIC_SEQ_CST) % 2 == 1 ||
                                             aether_bus_newest(bus).index == index));
        if (aether_bus_newest(bus).index == index)
            expect_ok(unit_publisher_join(&first));
    } while (aether_bus_newest(bus).index == index);
    char later[32];
    snprintf(later, sizeof later, "b@%" PRIu64, index + 5);
    cr_assert(unit_publisher_put_to_sleep(&second, bus, later)); /* it has room, and waits for its turn */
    expect_number(index - 1, aether_bus_newest(bus).index);
    aether_status status;
    while (aether_bus_newest(bus).index < index + 5)
        unit_drain(slow, &status);
    expect_ok(unit_publisher_join(&first));
    expect_ok(unit_publisher_join(&second));
    aether_event event;
    for (uint64_t i = 1; i <= index; i++) {
        expect_ok(aether_next(all, &event, AETHER_NO_WAIT));
        expect_number(i, event.index);
    }
    expect_ok(aether_next(all, &event, AETHER_NO_WAIT));
    expect_number(index + 5, event.index);
    aether_subscription_close(slow);
    aether_subscription_close(all);
    aether_bus_destroy(bus);
}

/* ---------------------------------------------------------------------------------------------------------------- refuse */

TEST(bus_limit, BUS3_who_refuses_makes_publishing_fail_until_it_has_read)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = limited(bus, "a", AETHER_REFUSE);
    for (int round = 0; round < 5; round++) {
        uint64_t before = aether_bus_newest(bus).index;
        size_t done;
        expect_status(AETHER_FULL, unit_publish_until(bus, "a", SIZE, &done));
        expect_status(AETHER_FULL, unit_publish_until(bus, "a", SIZE, &done));
        expect_number(0, done);
        aether_status status;
        expect_number(aether_bus_newest(bus).index - before, unit_drain(sub, &status));
        expect_status(AETHER_EMPTY, status);
    }
    expect_number(10, unit_bus_stats(bus).refused);
    expect_account(sub, .published = aether_bus_newest(bus).index, .delivered = aether_bus_newest(bus).index);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_limit, BUS3_who_is_closed_refuses_no_more)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = limited(bus, "a", AETHER_REFUSE), *other = limited(bus, ">", AETHER_REFUSE);
    size_t done;
    expect_status(AETHER_FULL, unit_publish_until(bus, "a", SIZE, &done));
    expect_ok(aether_unsubscribe(sub));
    aether_status status;
    expect_number(done, unit_drain(other, &status));
    expect_ok(unit_publish_many(bus, "a", 5, SIZE, &done));
    expect_number(5, unit_drain(other, &status));
    expect_events("", AETHER_UNSUBSCRIBED, sub);
    aether_subscription_close(sub);
    aether_subscription_close(other);
    aether_bus_destroy(bus);
}

/* ------------------------------------------------------------------------------------------------------------ lap, close */

enum { MANY = 500 };

/* Reads all there is, with exactly one gap; the number of events missed. */
static uint64_t read_with_a_gap(aether_subscription *sub)
{
    aether_event event;
    aether_status status;
    uint64_t last = 0, lags = 0, missed = 0;
    while ((status = aether_next(sub, &event, AETHER_NO_WAIT)) == AETHER_OK || status == AETHER_LAGGED) {
        if (status == AETHER_LAGGED) {
            lags++;
            missed = unit_account(sub).lagged;
            continue;
        }
        expect_number(last + 1 + (lags == 1 ? missed : 0), event.index);
        lags += lags == 1; /* the gap was here */
        last = event.index;
    }
    expect_status(AETHER_EMPTY, status);
    expect_number(2, lags);
    expect_number(MANY, last);
    return missed;
}

TEST(bus_limit, BUS3_who_is_lapped_is_told_once_and_exactly)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = limited(bus, "a", AETHER_LAP), *other = unit_subscribe(bus, "a", AETHER_BEGIN_NOW);
    size_t done;
    expect_ok(unit_publish_many(bus, "a", MANY, SIZE, &done));
    uint64_t missed = read_with_a_gap(sub);
    cr_assert(missed > 0);
    expect_account(sub, .published = MANY, .delivered = MANY - missed, .lagged = missed, .lags = 1);
    expect_ok(unit_publish(bus, "a=1"));
    expect_events("a=1", AETHER_EMPTY, sub); /* it goes on */
    aether_status status;
    expect_number(MANY + 1, unit_drain(other, &status)); /* nobody else misses anything */
    aether_subscription_close(sub);
    expect_number(missed, unit_bus_stats(bus).lagged);
    aether_subscription_close(other);
    aether_bus_destroy(bus);
}

TEST(bus_limit, BUS3_a_lapped_reader_holds_no_more_than_its_limit)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = limited(bus, "a", AETHER_LAP);
    expect_ok(unit_publish_many(bus, "a", 100, SIZE, NULL));
    uint64_t bytes = unit_memory().bytes;
    expect_ok(unit_publish_many(bus, "a", 20000, SIZE, NULL));
    aether_memory_drain();
    expect_within(0, bytes + UNIT_LIMIT, unit_memory().bytes);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_limit, BUS3_who_closes_on_lag_is_too_slow)
{
    aether_bus *bus = unit_bus();
    aether_subscription *at_limit = limited(bus, "a", AETHER_CLOSE);
    aether_subscription *on_lag =
        unit_subscribe_with(bus, "a", (aether_subscribe_options){.limit_bytes = UNIT_LIMIT, .on_lag = AETHER_LAG_CLOSE});
    aether_subscription *quick = limited(bus, "a", AETHER_CLOSE);
    aether_status status;
    for (int i = 0; i < MANY; i++) {
        expect_ok(unit_publish_many(bus, "a", 1, SIZE, NULL));
        expect_number(1, unit_drain(quick, &status));
    }
    aether_subscription *subs[] = {at_limit, on_lag};
    for (size_t i = 0; i < 2; i++) {
        unit_drain(subs[i], &status);
        expect_status(AETHER_TOO_SLOW, status);
        expect_status(AETHER_TOO_SLOW, unit_try(subs[i]));
        cr_assert(aether_status_is_final(AETHER_TOO_SLOW));
        expect_fine(unit_adds_up(subs[i]));
        aether_subscription_close(subs[i]);
    }
    expect_status(AETHER_EMPTY, status = unit_try(quick));
    expect_number(2, unit_bus_stats(bus).closed);
    aether_subscription_close(quick);
    aether_bus_destroy(bus);
}
