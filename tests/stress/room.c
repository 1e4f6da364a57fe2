/*
 * The writer's wait for room against all that may end it: readers that read, open, close, are closed by others or cancelled
 * and closed, a duplicate that lags; aether_buffer_cancel(), and deadlines. Many items are as large as the limit allows, so
 * that the writer waits for the very last thing that a reader tells. Whoever the writer waits for and has read all sleeps
 * for ever, as the writer would: in the first two flavours nobody cancels and there is no deadline, because these hide a
 * lost wake-up of the writer, which the watchdog reports within a second.
 */
#include <sched.h>

#include "common/stress_feed.h"
#include "common/stress_follow.h"
#include "common/stress_futex.h"
#include "common/stress_memory.h"

enum { READERS_MOST = 4, ROUND_NS = 40 * 1000 * 1000, ITEMS_MOST = 1 << 16, LATE_NS = 200 * 1000 * 1000 };
enum flavour { STEADY, CHURN, CANCELLED, DEADLINE, ALL, FLAVOURS };

/* The low bits of reader.slot, beside a cursor's address. */
enum { FREE = 0, TAKEN = 1, MAY_CLOSE = 2, BITS = 3 };
/* Whether the writer may wait for a reader: not, unless it has read all and sleeps, at any time. */
enum { NOT_AWAITED = 0, READS = 1, PAUSES = 2 };

struct reader {
    struct stress_watch watch;
    struct round *round;
    struct stress_random random;
    uint64_t slot;     /* atomic; a cursor that others may cancel, or close */
    uint64_t returned; /* atomic; the call on a cursor that others close is over */
    uint64_t awaited;  /* atomic */
    unsigned char apart[STRESS_APART];
};

struct round {
    struct stress_stream stream;
    struct stress_watch writer;
    struct reader readers[READERS_MOST];
    uint32_t count;       /* const */
    enum flavour flavour; /* const */
    bool refuses;         /* const; one reader does */
    uint64_t deadline;    /* atomic; of the writer's call, 0: none */
    uint64_t cancels;     /* atomic; of the writer, begun */
    uint64_t over;        /* atomic */
};

static uint64_t sessions, closed_waiting, closed_inside, cancelled_readers; /* atomic */
static uint64_t items, rounds, waits, fulls, timeouts, cancelled;
static struct stress_memory memory;

/* ------------------------------------------------------------------------------------------------------------- readers */

static uint64_t choose_limit(const struct round *round, struct stress_random *random)
{
    uint64_t least = (uint64_t)round->stream.segment * AETHER_LIMIT_SEGMENTS;
    return stress_one_in(random, 2) ? least : stress_follow_limit(&round->stream, random);
}

/* Until the writer has returned from the call that it is inside. */
static void await_writer(const struct round *round)
{
    uint64_t call = stress_watch_call(&round->writer);
    while (call != 0 && stress_watch_call(&round->writer) == call && stress_get(&round->over) == 0)
        stress_nap(20000);
}

static void pause_a_while(struct reader *reader)
{
    uint64_t awaited = stress_get(&reader->awaited);
    if (awaited != NOT_AWAITED)
        stress_set(&reader->awaited, PAUSES);
    if (reader->round->flavour == CANCELLED && stress_one_in(&reader->random, 2))
        await_writer(reader->round); /* a reader that reads on would hide a cancellation that is lost */
    stress_nap(stress_below(&reader->random, stress_one_in(&reader->random, 8) ? 3000000 : 100000));
    stress_set(&reader->awaited, awaited);
}

/* Reads until the end, or for a while; others may cancel it. False: the stream has ended. */
static bool read_on(struct reader *reader, struct stress_follower *follower, uint32_t calls, bool may_cancel)
{
    uint64_t slot = (uintptr_t)follower->cursor;
    for (; calls != 0; calls--) {
        if (may_cancel)
            stress_hand_over(&reader->slot, slot);
        aether_status status = stress_follow_next(follower, AETHER_FOREVER, &reader->watch, &reader->random);
        if (may_cancel && !stress_swap_over(&reader->slot, slot, FREE)) {
            while (stress_take_over(&reader->slot) != FREE)
                sched_yield();
            STRESS_EXPECT(aether_cursor_resume(follower->cursor) == AETHER_OK);
            stress_add(&cancelled_readers, 1);
            if (stress_one_in(&reader->random, 2))
                return true; /* to be closed as it is */
        }
        if (aether_status_is_final(status))
            return false;
        if (stress_one_in(&reader->random, 64))
            pause_a_while(reader);
    }
    return true;
}

static void close_own(struct reader *reader, struct stress_follower *follower)
{
    if (stress_stream_bytes(follower->stream, stress_get(&follower->stream->begun)) >
        stress_stream_bytes(follower->stream, follower->place) + follower->limit)
        stress_add(&closed_waiting, 1);
    stress_follow_close(follower);
    stress_set(&reader->awaited, NOT_AWAITED);
}

/* One call on a cursor that another thread closes. */
static void be_closed(struct reader *reader, struct stress_follower *follower)
{
    aether_item item;
    stress_set(&reader->awaited, PAUSES);
    stress_hand_over(&reader->returned, 0);
    stress_hand_over(&reader->slot, (uintptr_t)follower->cursor | MAY_CLOSE);
    stress_watch_enter(&reader->watch, &follower->stream->level, follower->place);
    aether_status status = aether_cursor_next(follower->cursor, &item, AETHER_FOREVER);
    stress_watch_leave(&reader->watch);
    stress_hand_over(&reader->returned, 1);
    STRESS_EXPECT(status == AETHER_OK || status == AETHER_LAGGED || aether_status_is_final(status));
    while (stress_take_over(&reader->slot) != FREE)
        sched_yield();
    stress_set(&reader->awaited, NOT_AWAITED);
    stress_add(&closed_inside, status == AETHER_CLOSED);
}

/* A duplicate is left behind, and then read or dropped. */
static void leave_behind(struct reader *reader, struct stress_follower *follower)
{
    struct stress_follower twin;
    uint64_t awaited = stress_get(&reader->awaited);
    stress_set(&reader->awaited, awaited == NOT_AWAITED ? NOT_AWAITED : PAUSES);
    stress_follow_dup(follower, &twin);
    for (uint32_t left = stress_below(&reader->random, 100); left != 0; left--)
        (void)stress_follow_next(follower, AETHER_NO_WAIT, &reader->watch, &reader->random);
    stress_follow_close(stress_one_in(&reader->random, 2) ? &twin : follower);
    if (follower->cursor == NULL)
        *follower = twin;
    stress_set(&reader->awaited, awaited);
}

static void visit(struct reader *reader, aether_on_limit policy, bool stays)
{
    struct round *round = reader->round;
    struct stress_random *random = &reader->random;
    struct stress_follower follower;
    aether_start start = stress_one_in(random, 2) ? AETHER_FROM_NEXT : AETHER_FROM_OLDEST;
    if (policy == AETHER_WAIT)
        stress_set(&reader->awaited, PAUSES);
    (void)stress_follow(&follower, &round->stream, start, policy, choose_limit(round, random), random);
    if (policy == AETHER_WAIT)
        stress_set(&reader->awaited, READS);
    stress_add(&sessions, 1);
    if (!stays && stress_one_in(random, 8)) {
        be_closed(reader, &follower);
        return;
    }
    if (stays)
        while (read_on(reader, &follower, UINT32_MAX, round->flavour == CANCELLED))
            ;
    else if (read_on(reader, &follower, stress_below(random, stress_one_in(random, 4) ? 1000 : 20), true))
        for (uint32_t left = stress_below(random, 3); left != 0; left--) {
            if (stress_one_in(random, 2))
                leave_behind(reader, &follower);
            pause_a_while(reader);
            if (!read_on(reader, &follower, stress_below(random, 50), true))
                break;
        }
    close_own(reader, &follower);
}

static void *visit_often(void *argument)
{
    struct reader *reader = argument;
    struct round *round = reader->round;
    bool first = reader == round->readers;
    bool steady = round->flavour == STEADY || (first && round->flavour != CHURN && round->flavour != ALL);
    do {
        aether_on_limit policy = AETHER_WAIT;
        if (!first && round->flavour != STEADY && stress_one_in(&reader->random, 4))
            policy = AETHER_LAP;
        else if (!first && round->refuses && stress_one_in(&reader->random, 2))
            policy = AETHER_REFUSE;
        visit(reader, policy, steady);
        if (stress_one_in(&reader->random, 2))
            await_writer(round); /* the next session would hide a wake-up that is lost */
    } while (stress_get(&round->over) == 0);
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------ meddling */

static void meddle(struct reader *reader, struct stress_random *random)
{
    uint64_t slot = stress_take_over(&reader->slot);
    if (slot <= TAKEN || !stress_swap_over(&reader->slot, slot, TAKEN))
        return;
    aether_cursor *cursor = (aether_cursor *)(uintptr_t)(slot & ~(uint64_t)BITS);
    if (slot & MAY_CLOSE)
        while (__atomic_load_n(&cursor->head.inside, __ATOMIC_RELAXED) == 0 && stress_take_over(&reader->returned) == 0)
            sched_yield();
    if (stress_one_in(random, 2))
        stress_linger(random, 2000);
    uint64_t call = stress_watch_call(&reader->watch);
    if (slot & MAY_CLOSE)
        aether_cursor_close(cursor);
    else
        aether_cursor_cancel(cursor);
    stress_watch_tell(&reader->watch, call);
    stress_hand_over(&reader->slot, FREE);
}

static void cancel_writer(struct round *round, struct stress_random *random)
{
    for (uint32_t turns = 200; turns != 0 && stress_watch_call(&round->writer) == 0; turns--)
        ae_relax();
    stress_linger(random, stress_one_in(random, 2) ? 50 : 2000);
    uint64_t call = stress_watch_call(&round->writer);
    stress_add(&round->cancels, 1);
    aether_buffer_cancel(round->stream.buffer);
    stress_watch_tell(&round->writer, call);
}

static void *meddle_often(void *argument)
{
    static uint64_t streams;
    struct round *round = argument;
    struct stress_random random = stress_random_stream(100000 + stress_add(&streams, 1));
    bool churns = round->flavour != STEADY, cancels = round->flavour == CANCELLED || round->flavour == ALL;
    while (stress_get(&round->over) < 2) {
        struct reader *reader = &round->readers[stress_below(&random, round->count)];
        if (churns)
            meddle(reader, &random);
        if (cancels && stress_get(&round->over) == 0)
            cancel_writer(round, &random);
        stress_nap(stress_below(&random, 100000));
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------- writing */

/* The writer has no reason to wait: whoever it waits for has read all and sleeps; or its time is over. */
static bool is_free(struct stress_watch *watch)
{
    const struct round *round = (const struct round *)(const void *)((char *)watch - offsetof(struct round, writer));
    uint64_t published = stress_get(&round->stream.published), deadline = stress_get(&round->deadline);
    if (deadline != 0 && stress_now() > (int64_t)deadline + LATE_NS)
        return true;
    for (uint32_t i = 0; i < round->count; i++) {
        uint64_t awaited = stress_get(&round->readers[i].awaited);
        if (awaited == PAUSES || (awaited == READS && !stress_watch_waits_at(&round->readers[i].watch, published)))
            return false;
    }
    return true;
}

static int64_t choose_wait(struct round *round, struct stress_random *random)
{
    int64_t wait = AETHER_FOREVER;
    if (round->flavour != DEADLINE && round->flavour != ALL)
        return wait;
    if (!stress_one_in(random, 4))
        wait = stress_one_in(random, 4) ? AETHER_NO_WAIT : stress_below(random, 300000);
    STRESS_EXPECT(aether_buffer_set_wait(round->stream.buffer, wait) == AETHER_OK);
    return wait;
}

static void put(struct round *round, struct stress_random *random)
{
    struct stress_stream *stream = &round->stream;
    int64_t wait = choose_wait(round, random), begun = stress_now();
    stress_set(&round->deadline, wait == AETHER_FOREVER ? 0 : (uint64_t)(begun + wait));
    stress_watch_enter(&round->writer, NULL, 0);
    aether_status status = stress_stream_put(stream, random);
    stress_watch_leave(&round->writer);
    if (status == AETHER_FULL) {
        STRESS_EXPECT(round->refuses);
        fulls++;
        stress_nap(stress_below(random, 50000));
    } else if (status == AETHER_TIMEOUT) {
        STRESS_EXPECT(wait != AETHER_FOREVER && stress_now() >= begun + wait);
        timeouts++;
    } else if (status == AETHER_CANCELLED) {
        STRESS_EXPECT(stress_get(&round->cancels) > 0);
        STRESS_EXPECT(aether_buffer_resume(stream->buffer) == AETHER_OK);
        cancelled++;
    }
}

static void write_round(struct round *round, struct stress_random *random)
{
    int64_t end = stress_now() + ROUND_NS;
    while (stress_now() < end && !stress_over() && stress_stream_has_room(&round->stream)) {
        put(round, random);
        stress_linger(random, stress_one_in(random, 2) ? 20 : 500);
        if (stress_one_in(random, 256))
            stress_nap(stress_below(random, 500000));
    }
}

static void play(enum flavour flavour, struct stress_random *random)
{
    static uint64_t streams;
    static struct round round;
    round = (struct round){.flavour = flavour, .count = 1 + stress_below(random, READERS_MOST)};
    round.refuses = flavour != STEADY && stress_one_in(random, 2);
    aether_buffer_options options = stress_small_segments(&memory.allocator, stress_one_in(random, 2) ? 0 : -1);
    options.spins = stress_one_in(random, 2) ? -1 : 0;
    options.yields = -1;
    options.retain_bytes = stress_one_in(random, 4) ? 20000 : 0;
    stress_stream_create(&round.stream, &options, ++rounds, ITEMS_MOST, AETHER_LIMIT_SEGMENTS * options.segment_bytes);
    round.writer.due = is_free;
    stress_watch_add(&round.writer, "writer", 0);
    pthread_t threads[READERS_MOST], meddler;
    for (uint32_t i = 0; i < round.count; i++) {
        struct reader *reader = &round.readers[i];
        *reader = (struct reader){.round = &round, .random = stress_random_stream(++streams)};
        stress_watch_add(&reader->watch, "reader", i);
        stress_spawn(&threads[i], visit_often, reader);
    }
    stress_spawn(&meddler, meddle_often, &round);
    write_round(&round, random);
    stress_set(&round.over, 1);
    stress_stream_end(&round.stream, AETHER_OK);
    stress_join(threads, round.count);
    stress_set(&round.over, 2);
    stress_join(&meddler, 1);
    for (uint32_t i = 0; i < round.count; i++)
        stress_watch_remove(&round.readers[i].watch);
    stress_watch_remove(&round.writer);
    aether_buffer_stats stats;
    STRESS_EXPECT(aether_buffer_get_stats(round.stream.buffer, &stats) == AETHER_OK);
    STRESS_EXPECT(stats.lapped_segments == 0 && stats.slowest_of == 0);
    waits += stats.room_waits;
    items += round.stream.begun;
    aether_buffer_destroy(round.stream.buffer);
    stress_stream_free(&round.stream);
}

int main(int argc, char **argv)
{
    stress_begin(argc, argv, "room");
    stress_memory_begin(&memory);
    struct stress_random random = stress_random_stream(0);
    unsigned ways = stress_way_count();
    stress_clock_start();
    for (unsigned i = 0; !stress_over(); i++)
        if (stress_way_use(&stress_ways[i % STRESS_WAYS]))
            play((enum flavour)(i / STRESS_WAYS % FLAVOURS), &random);
    stress_memory_expect_none(&memory);
    STRESS_EXPECT(waits > 0 && sessions > 0);
    return stress_end("%u ways, %llu rounds, %llu items, %llu waits for room, %llu sessions, %llu full, %llu timeouts, "
                      "%llu cancelled, %llu readers closed while behind, %llu inside a call, %llu cancelled",
                      ways, (unsigned long long)rounds, (unsigned long long)items, (unsigned long long)waits,
                      (unsigned long long)sessions, (unsigned long long)fulls, (unsigned long long)timeouts,
                      (unsigned long long)cancelled, (unsigned long long)closed_waiting, (unsigned long long)closed_inside,
                      (unsigned long long)cancelled_readers);
}
