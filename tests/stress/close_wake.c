/*
 * Closing from another thread against waking and deadlines: each reader opens a cursor and makes one call on it, which
 * an item, a deadline, or the closer ends, whoever is first. The closer waits until the call has begun, or is over, and
 * closes; when close returns, the reader does not touch the cursor any more, though its memory is written over at once. Two
 * readers that nobody closes sleep at the same gates: they miss a wake-up that a closed reader swallowed.
 */
#include <sched.h>

#include "common/stress_feed.h"
#include "common/stress_futex.h"
#include "common/stress_memory.h"
#include "common/stress_watch.h"

#include "buffer/cursor.h"

enum { STEADFAST = 2, VISITORS = 3, CLOSERS = 2, ITEMS_PER_ROUND = 800 };
enum { CLOSING = 1 /* a closer has taken it: cursors are aligned */ };

struct visitor {
    struct stress_watch watch;
    struct round *round;
    struct stress_random random;
    uint64_t cursor;   /* atomic; the address of the cursor that may be closed, or CLOSING; 0: none, or closed */
    uint64_t returned; /* atomic; the call on it is over */
    uint64_t visits;   /* atomic; closed ones */
};

struct reader {
    struct stress_watch watch;
    struct round *round;
    aether_cursor *cursor;
    uint64_t number;
};

struct round {
    struct stress_feed feed;
    struct reader readers[STEADFAST];
    struct visitor visitors[VISITORS];
    uint64_t leaving; /* atomic: visitors begin no more calls */
    uint64_t over;    /* atomic: all visitors have left */
};

static uint64_t closed_inside, closed_after, timeouts, delivered; /* atomic */
static uint64_t items, rounds;

/* ------------------------------------------------------------------------------------------------------------ readers */

static void *read_all(void *argument)
{
    struct reader *reader = argument;
    const struct stress_feed *feed = &reader->round->feed;
    for (;;) {
        aether_item item;
        stress_watch_enter(&reader->watch, &feed->published, reader->number);
        aether_status status = aether_cursor_next(reader->cursor, &item, AETHER_FOREVER);
        stress_watch_leave(&reader->watch);
        if (status != AETHER_OK)
            break;
        stress_feed_check(feed, reader->number++, &item);
    }
    STRESS_EXPECT(reader->number == stress_get(&feed->begun));
    stress_add(&delivered, reader->number);
    return NULL;
}

/* The anchor holds the item's segment, so that the item stays readable after the close. */
static void check_visit(struct visitor *visitor, aether_status status, const aether_item *item, aether_cursor *anchor,
                        int64_t late)
{
    const struct stress_feed *feed = &visitor->round->feed;
    if (status == AETHER_OK && anchor != NULL) {
        aether_item same;
        STRESS_EXPECT(aether_cursor_next(anchor, &same, AETHER_NO_WAIT) == AETHER_OK);
        STRESS_EXPECT(same.data == item->data && same.index == item->index);
        stress_feed_check(feed, item->index - 1, item);
    } else if (status == AETHER_TIMEOUT) {
        STRESS_EXPECT(late >= 0);
        stress_add(&timeouts, 1);
    } else if (status == AETHER_CLOSED) {
        STRESS_EXPECT((stress_get(&visitor->cursor) & ~(uint64_t)CLOSING) == 0);
        stress_add(&closed_inside, 1);
    } else {
        STRESS_EXPECT(status == AETHER_OK);
    }
}

static void visit(struct visitor *visitor)
{
    const struct stress_feed *feed = &visitor->round->feed;
    aether_cursor *cursor = aether_cursor_open(feed->buffer, AETHER_FROM_NEXT);
    aether_cursor *anchor = stress_one_in(&visitor->random, 2) ? aether_cursor_dup(cursor) : NULL;
    aether_item item = {0};
    int64_t timeout = AETHER_FOREVER;
    if (stress_one_in(&visitor->random, 2))
        timeout = 1 + stress_below(&visitor->random, 100000);
    uint64_t number = cursor->head.number;
    stress_set(&visitor->returned, 0);
    stress_hand_over(&visitor->cursor, (uintptr_t)cursor);
    int64_t begun = stress_now();
    stress_watch_enter(&visitor->watch, &feed->published, number);
    aether_status status = aether_cursor_next(cursor, &item, timeout);
    stress_watch_leave(&visitor->watch);
    int64_t late = stress_now() - begun - timeout;
    stress_hand_over(&visitor->returned, 1);
    check_visit(visitor, status, &item, anchor, late);
    while (stress_take_over(&visitor->cursor) != 0)
        sched_yield();
    if (status != AETHER_CLOSED)
        stress_add(&closed_after, 1);
    aether_cursor_close(anchor);
    stress_add(&visitor->visits, 1);
}

static void *visit_often(void *argument)
{
    struct visitor *visitor = argument;
    while (stress_get(&visitor->round->leaving) == 0)
        visit(visitor);
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------- closing */

static void close_for(struct visitor *visitor, struct stress_random *random)
{
    uint64_t address = stress_take_over(&visitor->cursor);
    if (address <= CLOSING || !stress_swap_over(&visitor->cursor, address, CLOSING))
        return;
    aether_cursor *cursor = (aether_cursor *)(uintptr_t)address;
    while (__atomic_load_n(&cursor->head.inside, __ATOMIC_RELAXED) == 0 && stress_take_over(&visitor->returned) == 0)
        sched_yield();
    if (stress_one_in(random, 2))
        stress_linger(random, stress_one_in(random, 2) ? 100 : 5000);
    stress_watch_tell(&visitor->watch, stress_watch_call(&visitor->watch));
    aether_cursor_close(cursor);
    stress_hand_over(&visitor->cursor, 0);
}

static void *close_some(void *argument)
{
    static uint64_t streams;
    struct round *round = argument;
    struct stress_random random = stress_random_stream(500 + stress_add(&streams, 1));
    while (stress_get(&round->over) == 0) {
        close_for(&round->visitors[stress_below(&random, VISITORS)], &random);
        if (stress_one_in(&random, 16))
            stress_nap(stress_below(&random, 100000));
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------- writing */

/* Appends nothing until each visitor has been closed twice: an item would wake one whose wake-up got lost. */
static void keep_silent(const struct round *round)
{
    for (uint32_t i = 0; i < VISITORS; i++) {
        const struct visitor *visitor = &round->visitors[i];
        for (uint64_t enough = stress_get(&visitor->visits) + 2; stress_get(&visitor->visits) < enough;)
            stress_nap(20000);
    }
}

static void write_round(struct round *round, struct stress_random *random)
{
    while (round->feed.begun < ITEMS_PER_ROUND && !stress_over()) {
        for (uint32_t i = 0; i < STEADFAST; i++)
            while (!stress_watch_waits_at(&round->readers[i].watch, round->feed.begun))
                sched_yield();
        if (stress_one_in(random, 16))
            keep_silent(round);
        stress_linger(random, stress_one_in(random, 2) ? 50 : 5000);
        stress_feed_put(&round->feed, random);
    }
}

static void play(struct stress_memory *memory, struct stress_random *random)
{
    static uint64_t streams;
    struct round round = {.over = 0};
    pthread_t readers[STEADFAST], visitors[VISITORS], closers[CLOSERS];
    aether_buffer_options options = stress_small_segments(&memory->allocator, stress_one_in(random, 2) ? 1 : -1);
    options.spins = options.yields = -1;
    stress_feed_create(&round.feed, &options, ++rounds, stress_one_in(random, 2));
    for (uint32_t i = 0; i < STEADFAST; i++) {
        round.readers[i] = (struct reader){.round = &round};
        round.readers[i].cursor = aether_cursor_open(round.feed.buffer, AETHER_FROM_OLDEST);
        stress_watch_add(&round.readers[i].watch, "steadfast reader", i);
        stress_spawn(&readers[i], read_all, &round.readers[i]);
    }
    for (uint32_t i = 0; i < VISITORS; i++) {
        round.visitors[i] = (struct visitor){.round = &round, .random = stress_random_stream(++streams)};
        stress_watch_add(&round.visitors[i].watch, "visitor", i);
        stress_spawn(&visitors[i], visit_often, &round.visitors[i]);
    }
    for (uint32_t i = 0; i < CLOSERS; i++)
        stress_spawn(&closers[i], close_some, &round);
    write_round(&round, random);
    stress_set(&round.leaving, 1);
    stress_join(visitors, VISITORS);
    stress_set(&round.over, 1);
    stress_join(closers, CLOSERS);
    stress_feed_end(&round.feed, AETHER_FAILED);
    stress_join(readers, STEADFAST);
    for (uint32_t i = 0; i < STEADFAST; i++) {
        stress_watch_remove(&round.readers[i].watch);
        aether_cursor_close(round.readers[i].cursor);
    }
    for (uint32_t i = 0; i < VISITORS; i++)
        stress_watch_remove(&round.visitors[i].watch);
    items += round.feed.begun;
    aether_buffer_destroy(round.feed.buffer);
}

int main(int argc, char **argv)
{
    stress_begin(argc, argv, "close_wake");
    struct stress_memory memory;
    stress_memory_begin(&memory);
    struct stress_random random = stress_random_stream(0);
    unsigned ways = stress_way_count();
    stress_clock_start();
    for (unsigned i = 0; !stress_over(); i++)
        if (stress_way_use(&stress_ways[i % STRESS_WAYS]))
            play(&memory, &random);
    stress_memory_expect_none(&memory);
    STRESS_EXPECT(closed_inside > 0 && closed_after > 0 && timeouts > 0);
    return stress_end(
        "%u ways, %llu rounds, %llu items, %llu closed inside a call, %llu after it, %llu timeouts, %llu sleeps", ways,
        (unsigned long long)rounds, (unsigned long long)items, (unsigned long long)closed_inside,
        (unsigned long long)closed_after, (unsigned long long)timeouts, (unsigned long long)stress_futex_waits());
}
