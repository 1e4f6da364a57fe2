/*
 * Limits, retention, laps: one writer (bursts, all forms of items, reservations, trims) and 6 to 12 readers beside each
 * other that are fast, slow, stuck, gone at once, duplicated, cancelled, or closed by others, without a limit and under each
 * policy. Each sum is checked (common/stress_follow.h) at every close and at the end: delivered + missed = published since
 * the open, in items and in events. Nobody is told that it lagged who is within its limit, and whoever is has its limit
 * still before it. No reader that waits or refuses has more unread than its limit. Every payload by reference is released
 * exactly once. When the readers have gone, but for the stuck ones, the buffer holds its window and their segments and
 * nothing else; when those have gone, too, nothing is lapped.
 */
#include <sched.h>

#include "common/stress_feed.h"
#include "common/stress_follow.h"
#include "common/stress_futex.h"
#include "common/stress_memory.h"

enum { READERS_LEAST = 6, READERS_MOST = 12, STUCK = 3, ROUND_NS = 120 * 1000 * 1000, ITEMS_MOST = 1 << 18 };
enum { HELD_MOST = 256 * 1024, IN_USE_MOST = 16 << 20, DEFERRED_MOST = 64 << 20 };
enum { KIND_UNLIMITED = 1, KIND_LAP = 2, KIND_WAIT = 4, KIND_REFUSE = 8 };
enum finish { ENDED, DESTROYED, QUIET, FINISHES };

/* Who is in a round: policies, and whether the writer's wait has a deadline. */
struct mix {
    const char *name;
    uint32_t policies;
};

static const struct mix mixes[] = {
    {"lap", KIND_LAP},
    {"lap_unlimited", KIND_LAP | KIND_UNLIMITED},
    {"all", KIND_LAP | KIND_UNLIMITED | KIND_WAIT | KIND_REFUSE},
    {"lap_wait", KIND_LAP | KIND_WAIT},
    {"refuse", KIND_LAP | KIND_REFUSE | KIND_UNLIMITED},
    {"wait", KIND_WAIT},
};
enum { MIXES = sizeof mixes / sizeof *mixes };

/* The low bits of reader.slot, beside a cursor's address. */
enum { FREE = 0, TAKEN = 1, MAY_CLOSE = 2, BITS = 3 };
enum { HOLDS_NOTHING = 0 };
enum { WRITER_IS_FREE = 0, READS_ONE = 1, READS_MORE = 2 };

struct reader {
    struct stress_watch watch;
    struct round *round;
    struct stress_random random;
    uint64_t slot;     /* atomic; a cursor that others may cancel, or close */
    uint64_t returned; /* atomic; the call on a cursor that others close is over */
    uint64_t holds;    /* atomic; 1 + the place that it holds all from, or HOLDS_NOTHING */
    uint64_t awaited;  /* atomic; whether the writer may wait for it */
    unsigned char apart[STRESS_APART];
};

struct round {
    struct stress_stream stream;
    struct reader readers[READERS_MOST];
    uint32_t count;     /* const */
    uint32_t policies;  /* const */
    enum finish finish; /* const */
    struct stress_follower stuck[STUCK];
    struct stress_watch writer;
    uint64_t leaving;  /* atomic: nobody begins to open the buffer */
    uint64_t openers;  /* atomic: threads that use its handle */
    uint64_t finished; /* atomic: readers that have gone */
    uint64_t over;     /* atomic: no more meddling */
};

static uint64_t cancels, closes, dups, finals; /* atomic */
static uint64_t items, rounds, fulls, timeouts;
static struct stress_memory memory;

/* ------------------------------------------------------------------------------------------------------------- opening */

static bool enter_handle(struct round *round)
{
    __atomic_fetch_add(&round->openers, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&round->leaving, __ATOMIC_SEQ_CST) == 0)
        return true;
    __atomic_fetch_sub(&round->openers, 1, __ATOMIC_SEQ_CST);
    return false;
}

static void leave_handle(struct round *round)
{
    __atomic_fetch_sub(&round->openers, 1, __ATOMIC_SEQ_CST);
}

static aether_on_limit choose_policy(const struct round *round, struct stress_random *random)
{
    for (;;) {
        uint32_t kind = stress_below(random, 4);
        if (round->policies & 1U << kind)
            return (aether_on_limit)kind;
    }
}

static bool open_some(struct reader *reader, struct stress_follower *follower)
{
    struct round *round = reader->round;
    struct stress_random *random = &reader->random;
    aether_on_limit policy = choose_policy(round, random);
    uint64_t limit = policy == 0 ? AETHER_UNLIMITED : stress_follow_limit(&round->stream, random);
    aether_start start = (aether_start)stress_below(random, 4);
    if (!enter_handle(round))
        return false;
    if (policy == AETHER_WAIT)
        stress_set(&reader->awaited, READS_MORE); /* until it is known where */
    bool opened = stress_follow(follower, &round->stream, start, policy, limit, random);
    leave_handle(round);
    if (opened && policy == 0)
        stress_set(&reader->holds, 1 + follower->place);
    if (!opened)
        stress_set(&reader->awaited, WRITER_IS_FREE);
    return opened;
}

static void close_own(struct reader *reader, struct stress_follower *follower)
{
    stress_follow_close(follower);
    stress_set(&reader->holds, HOLDS_NOTHING);
    stress_set(&reader->awaited, WRITER_IS_FREE);
}

static void look_at_figures(struct reader *reader)
{
    struct round *round = reader->round;
    const struct stress_stream *stream = &round->stream;
    aether_buffer_stats stats;
    if (!stress_one_in(&reader->random, 4) || !enter_handle(round))
        return;
    uint64_t before = stress_get(&stream->published);
    AE_LIGHT_BARRIER();
    STRESS_EXPECT(aether_buffer_get_stats(stream->buffer, &stats) == AETHER_OK);
    AE_LIGHT_BARRIER();
    uint64_t after = stress_get(&stream->begun);
    leave_handle(round);
    STRESS_EXPECT(before <= stats.items && stats.items <= after && stats.retained_items <= stats.items);
    STRESS_EXPECT(stress_stream_bytes(stream, before) <= stats.bytes && stats.bytes <= stress_stream_bytes(stream, after));
    STRESS_EXPECT(stress_stream_events(stream, before) <= stats.events);
    STRESS_EXPECT(stats.events <= stress_stream_events(stream, after));
    if (stats.in_use_bytes > IN_USE_MOST)
        stress_fail("%llu bytes in %llu segments are in use", (unsigned long long)stats.in_use_bytes,
                    (unsigned long long)stats.in_use_segments);
}

/* ------------------------------------------------------------------------------------------------------------- reading */

/* One call, which others may cancel meanwhile where it may wait. */
static aether_status read_one(struct reader *reader, struct stress_follower *follower, int64_t timeout)
{
    uint64_t slot = (uintptr_t)follower->cursor;
    if (timeout != AETHER_NO_WAIT)
        stress_hand_over(&reader->slot, slot);
    aether_status status = stress_follow_next(follower, timeout, &reader->watch, &reader->random);
    if (timeout != AETHER_NO_WAIT && !stress_swap_over(&reader->slot, slot, FREE)) {
        while (stress_take_over(&reader->slot) != FREE)
            sched_yield();
        STRESS_EXPECT(aether_cursor_resume(follower->cursor) == AETHER_OK);
        stress_add(&cancels, 1);
    } else {
        STRESS_EXPECT(status != AETHER_CANCELLED);
    }
    if (follower->policy == 0)
        stress_set(&reader->holds, 1 + follower->place);
    if (aether_status_is_final(status))
        stress_add(&finals, 1);
    return status;
}

/* Until so many calls are made, or the round is over and the stream has ended. */
static void read_on(struct reader *reader, struct stress_follower *follower, uint32_t calls, uint32_t nap_one_in)
{
    if (stress_get(&reader->awaited) == READS_MORE)
        stress_set(&reader->awaited, READS_ONE);
    for (; calls != 0; calls--) {
        int64_t timeout = stress_one_in(&reader->random, 4) ? AETHER_NO_WAIT : AETHER_FOREVER;
        aether_status status = read_one(reader, follower, timeout);
        if (aether_status_is_final(status))
            return;
        if (stress_one_in(&reader->random, nap_one_in))
            stress_nap(stress_below(&reader->random, 300000));
        else if (status == AETHER_EMPTY && stress_one_in(&reader->random, 4))
            sched_yield();
    }
}

/* Two at one place, which go on apart. */
static void read_twice(struct reader *reader, struct stress_follower *follower)
{
    struct stress_follower twin;
    uint64_t awaited = stress_get(&reader->awaited);
    if (awaited != WRITER_IS_FREE)
        stress_set(&reader->awaited, READS_MORE); /* while it reads one, the writer may wait for the other */
    for (uint32_t left = stress_below(&reader->random, 50); left != 0; left--)
        (void)read_one(reader, follower, AETHER_NO_WAIT);
    stress_follow_dup(follower, &twin);
    stress_add(&dups, 1);
    for (uint32_t left = stress_below(&reader->random, 400); left != 0; left--) {
        struct stress_follower *one = stress_one_in(&reader->random, 3) ? &twin : follower;
        (void)read_one(reader, one, stress_one_in(&reader->random, 8) ? AETHER_MICROSECONDS(50) : AETHER_NO_WAIT);
        if (follower->policy == 0)
            stress_set(&reader->holds, 1 + (twin.place < follower->place ? twin.place : follower->place));
    }
    stress_follow_close(stress_one_in(&reader->random, 2) ? &twin : follower);
    if (twin.cursor != NULL)
        *follower = twin;
    if (awaited != WRITER_IS_FREE)
        stress_set(&reader->awaited, READS_ONE);
}

/* One call on a cursor that another thread closes. */
static void be_closed(struct reader *reader, struct stress_follower *follower)
{
    aether_item item;
    stress_set(&reader->awaited, follower->policy == AETHER_WAIT ? READS_MORE : WRITER_IS_FREE);
    stress_hand_over(&reader->returned, 0);
    stress_hand_over(&reader->slot, (uintptr_t)follower->cursor | MAY_CLOSE);
    stress_watch_enter(&reader->watch, &follower->stream->level, follower->place);
    aether_status status = aether_cursor_next(follower->cursor, &item, AETHER_MILLISECONDS(1));
    stress_watch_leave(&reader->watch);
    stress_hand_over(&reader->returned, 1);
    STRESS_EXPECT(status == AETHER_OK || status == AETHER_LAGGED || status == AETHER_TIMEOUT ||
                  aether_status_is_final(status));
    while (stress_take_over(&reader->slot) != FREE)
        sched_yield();
    stress_set(&reader->holds, HOLDS_NOTHING);
    stress_set(&reader->awaited, WRITER_IS_FREE);
    stress_add(&closes, 1);
}

static void visit(struct reader *reader)
{
    struct stress_random *random = &reader->random;
    struct stress_follower follower;
    if (!open_some(reader, &follower))
        return;
    uint32_t draw = stress_below(random, 16);
    if (draw == 0) {
        be_closed(reader, &follower);
        return;
    }
    if (draw < 5) /* vanishes at once or soon */
        read_on(reader, &follower, stress_below(random, 20), 1000);
    else if (draw < 8) /* fast */
        read_on(reader, &follower, stress_below(random, 5000), 1000);
    else if (draw < 10) /* slow */
        read_on(reader, &follower, stress_below(random, 400), 8);
    else if (draw < 13) /* stuck, and then off */
        for (uint32_t left = 1 + stress_below(random, 4); left != 0; left--) {
            stress_nap(stress_below(random, 10 * 1000 * 1000));
            read_on(reader, &follower, stress_below(random, 1000), 1000);
        }
    else if (draw < 15)
        read_twice(reader, &follower);
    else /* to the end, if there is one */
        while (stress_get(&reader->round->leaving) == 0 || reader->round->finish != QUIET)
            if (aether_status_is_final(read_one(reader, &follower, AETHER_MILLISECONDS(1))))
                break;
    close_own(reader, &follower);
    look_at_figures(reader);
}

static void *visit_often(void *argument)
{
    struct reader *reader = argument;
    while (stress_get(&reader->round->leaving) == 0)
        visit(reader);
    stress_add(&reader->round->finished, 1);
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

static void *meddle_often(void *argument)
{
    static uint64_t streams;
    struct round *round = argument;
    struct stress_random random = stress_random_stream(100000 + stress_add(&streams, 1));
    while (stress_get(&round->over) == 0) {
        meddle(&round->readers[stress_below(&random, round->count)], &random);
        if (stress_one_in(&random, 2))
            stress_nap(stress_below(&random, 50000));
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------- writing */

/* The writer has no reason to wait: whoever it waits for has read all and sleeps. */
static bool is_free(struct stress_watch *watch)
{
    const struct round *round = (const struct round *)(const void *)((char *)watch - offsetof(struct round, writer));
    uint64_t published = stress_get(&round->stream.published);
    for (uint32_t i = 0; i < round->count; i++) {
        uint64_t awaited = stress_get(&round->readers[i].awaited);
        if (awaited == READS_MORE || (awaited == READS_ONE && !stress_watch_waits_at(&round->readers[i].watch, published)))
            return false;
    }
    return true;
}

static void put(struct round *round, struct stress_random *random)
{
    struct stress_stream *stream = &round->stream;
    int64_t wait = AETHER_FOREVER;
    if (round->policies & KIND_WAIT && stress_one_in(random, 16)) {
        static const int64_t choice[] = {AETHER_NO_WAIT, AETHER_MICROSECONDS(100), AETHER_FOREVER};
        wait = choice[stress_below(random, 3)];
        STRESS_EXPECT(aether_buffer_set_wait(stream->buffer, wait) == AETHER_OK);
    }
    stress_watch_enter(&round->writer, NULL, 0);
    aether_status status = stress_stream_put(stream, random);
    stress_watch_leave(&round->writer);
    if (status == AETHER_FULL) {
        STRESS_EXPECT(round->policies & KIND_REFUSE);
        fulls++;
        stress_nap(stress_below(random, 100000));
    } else if (status == AETHER_TIMEOUT) {
        STRESS_EXPECT(round->policies & KIND_WAIT);
        timeouts++;
    } else {
        STRESS_EXPECT(status == AETHER_OK);
    }
}

/* Nobody without a limit holds too much, and grace periods keep up. */
static void await_readers(const struct round *round)
{
    const struct stress_stream *stream = &round->stream;
    uint64_t published = stress_stream_bytes(stream, stream->published), from;
    for (uint32_t i = 0; i < round->count; i++)
        while ((from = stress_get(&round->readers[i].holds)) != HOLDS_NOTHING &&
               stress_stream_bytes(stream, from - 1) + HELD_MOST < published)
            sched_yield();
    while (stress_get(&memory.bytes) > DEFERRED_MOST)
        sched_yield();
}

static void write_round(struct round *round, struct stress_random *random)
{
    int64_t end = stress_now() + ROUND_NS;
    while (stress_now() < end && !stress_over() && stress_stream_has_room(&round->stream)) {
        for (uint32_t burst = stress_below(random, 300); burst != 0 && stress_stream_has_room(&round->stream); burst--)
            put(round, random);
        if (stress_one_in(random, 8))
            stress_linger(random, 2000);
        if (stress_one_in(random, 64))
            stress_nap(stress_below(random, 2000000));
        await_readers(round);
    }
}

/* ----------------------------------------------------------------------------------------------------------- finishing */

static void read_out(struct stress_follower *follower, struct stress_random *random, aether_status last)
{
    aether_status status;
    do
        status = stress_follow_next(follower, AETHER_NO_WAIT, NULL, random);
    while (status == AETHER_OK || status == AETHER_LAGGED);
    STRESS_EXPECT(status == last && follower->place == stress_get(&follower->stream->begun));
    stress_follow_close(follower);
}

static void fail_in_use(const struct round *round, const aether_buffer_stats *stats, const char *what)
{
    const struct aether_buffer *buffer = round->stream.buffer;
    stress_fail(
        "%s: %llu segments are in use, from ordinal %llu to %llu, %llu bytes are retained, the largest limit is %llu", what,
        (unsigned long long)stats->in_use_segments, (unsigned long long)buffer->oldest->ordinal,
        (unsigned long long)buffer->writing->ordinal, (unsigned long long)stats->retained_bytes,
        (unsigned long long)buffer->lap_limit);
}

/* Appends so much that the window has had its steps, and looks at what is in use. */
static void check_window(struct round *round, struct stress_random *random)
{
    struct stress_stream *stream = &round->stream;
    struct aether_buffer *buffer = stream->buffer;
    aether_buffer_stats stats;
    STRESS_EXPECT(aether_buffer_get_stats(buffer, &stats) == AETHER_OK);
    for (uint64_t rolls = buffer->writing->ordinal + stats.in_use_segments / 2 + 8; buffer->writing->ordinal < rolls;) {
        if (!stress_stream_has_room(stream))
            return;
        STRESS_EXPECT(stress_stream_put(stream, random) == AETHER_OK);
    }
    STRESS_EXPECT(aether_buffer_get_stats(buffer, &stats) == AETHER_OK);
    uint64_t first = stream->begun > buffer->retain_items ? stream->begun - buffer->retain_items : 0;
    uint64_t need = stress_stream_bytes(stream, stream->begun) - stress_stream_bytes(stream, first);
    need = need > buffer->retain_bytes ? need : buffer->retain_bytes;
    need = need > buffer->lap_limit ? need : buffer->lap_limit;
    need += 2 * (stream->segment + stress_stream_batch_most(stream));
    uint64_t window = buffer->writing->ordinal - buffer->oldest->ordinal + 1;
    if (buffer->retain_ns == 0 && stats.retained_bytes > need)
        fail_in_use(round, &stats, "too much is retained");
    if (stats.in_use_segments > window + STUCK || stats.lapped_segments > STUCK)
        fail_in_use(round, &stats, "segments without a reader");
}

/* All readers have gone. */
static void check_empty(struct round *round)
{
    struct aether_buffer *buffer = round->stream.buffer;
    aether_buffer_stats stats;
    STRESS_EXPECT(aether_buffer_get_stats(buffer, &stats) == AETHER_OK);
    if (stats.lapped_segments != 0 || stats.cursors != 0)
        stress_fail("%llu segments are lapped, and there are %llu cursors", (unsigned long long)stats.lapped_segments,
                    (unsigned long long)stats.cursors);
    if (!AE_TSAN) /* what is given back counts down meanwhile */
        ae_buffer_check(buffer);
    STRESS_EXPECT(aether_buffer_trim(buffer) == AETHER_OK);
    STRESS_EXPECT(aether_buffer_get_stats(buffer, &stats) == AETHER_OK);
    if (buffer->retain_bytes == 0 && buffer->retain_items == 0 && buffer->retain_ns == 0 && stats.in_use_segments != 1)
        fail_in_use(round, &stats, "all has gone");
    STRESS_EXPECT(stats.in_use_segments == buffer->writing->ordinal - buffer->oldest->ordinal + 1);
    STRESS_EXPECT(stats.cached_segments == 0 && stats.cached_bytes == 0);
}

/* The writer is the last one. */
static void finish_quietly(struct round *round, const pthread_t *threads, struct stress_random *random)
{
    while (stress_get(&round->finished) < round->count) { /* an item wakes who sleeps */
        if (stress_stream_has_room(&round->stream))
            put(round, random);
        else if (!round->stream.buffer->ended)
            stress_stream_end(&round->stream, AETHER_ENDED);
        stress_nap(20000);
    }
    stress_join(threads, round->count);
    bool ended = round->stream.buffer->ended;
    if (!ended)
        check_window(round, random);
    for (uint32_t i = 0; i < STUCK; i++)
        read_out(&round->stuck[i], random, ended ? AETHER_ENDED : AETHER_EMPTY);
    if (!ended)
        check_empty(round);
    aether_buffer_destroy(round->stream.buffer);
}

/* The readers go on meanwhile. */
static void finish_beside(struct round *round, const pthread_t *threads, struct stress_random *random)
{
    aether_status last = round->finish == ENDED ? AETHER_RESET : AETHER_CLOSED;
    if (round->finish == ENDED)
        stress_stream_end(&round->stream, last);
    stress_linger(random, 5000);
    while (__atomic_load_n(&round->openers, __ATOMIC_SEQ_CST) != 0)
        sched_yield();
    aether_buffer_destroy(round->stream.buffer);
    stress_set(&round->stream.level, round->stream.begun + 1);
    bool early = stress_one_in(random, 2);
    for (uint32_t i = 0; i < STUCK && early; i++)
        read_out(&round->stuck[i], random, last);
    stress_join(threads, round->count);
    for (uint32_t i = 0; i < STUCK && !early; i++)
        read_out(&round->stuck[i], random, last);
}

/* -------------------------------------------------------------------------------------------------------------- rounds */

static aether_buffer_options choose_options(struct stress_random *random)
{
    static const int32_t cached[] = {-1, 1, 0, 100};
    aether_buffer_options options = stress_small_segments(&memory.allocator, cached[stress_below(random, 4)]);
    options.segment_bytes = stress_one_in(random, 3) ? 4096 : 1024;
    options.spins = options.yields = stress_one_in(random, 2) ? -1 : 0;
    uint32_t retain = stress_below(random, 8);
    if (retain < 3)
        options.retain_bytes = stress_below(random, options.segment_bytes * 60);
    if (retain == 2 || retain == 3)
        options.retain_items = stress_below(random, 2000);
    if (retain == 4)
        options.retain_ns = stress_below(random, 20 * 1000 * 1000);
    return options;
}

static void play(const struct mix *mix, struct stress_random *random)
{
    static uint64_t streams;
    static struct round round;
    round = (struct round){.count = READERS_LEAST + stress_below(random, READERS_MOST - READERS_LEAST + 1),
                           .policies = mix->policies,
                           .finish = (enum finish)stress_below(random, FINISHES)};
    aether_buffer_options options = choose_options(random);
    stress_stream_create(&round.stream, &options, ++rounds, ITEMS_MOST, 0);
    round.writer.due = is_free;
    stress_watch_add(&round.writer, "writer", 0);
    for (uint32_t i = 0; i < STUCK; i++)
        (void)stress_follow(&round.stuck[i], &round.stream, AETHER_FROM_OLDEST, AETHER_LAP,
                            stress_follow_limit(&round.stream, random), random);
    pthread_t threads[READERS_MOST], meddler;
    for (uint32_t i = 0; i < round.count; i++) {
        struct reader *reader = &round.readers[i];
        *reader = (struct reader){.round = &round, .random = stress_random_stream(++streams)};
        stress_watch_add(&reader->watch, "reader", i);
        stress_spawn(&threads[i], visit_often, reader);
    }
    stress_spawn(&meddler, meddle_often, &round);
    write_round(&round, random);
    __atomic_store_n(&round.leaving, 1, __ATOMIC_SEQ_CST);
    if (round.finish == QUIET)
        finish_quietly(&round, threads, random);
    else
        finish_beside(&round, threads, random);
    stress_set(&round.over, 1);
    stress_join(&meddler, 1);
    for (uint32_t i = 0; i < round.count; i++)
        stress_watch_remove(&round.readers[i].watch);
    stress_watch_remove(&round.writer);
    items += round.stream.begun;
    stress_stream_free(&round.stream);
}

int main(int argc, char **argv)
{
    stress_begin(argc, argv, "limits");
    stress_memory_begin(&memory);
    struct stress_random random = stress_random_stream(0);
    stress_way_use(&stress_ways[stress_below(&random, STRESS_WAYS)]);
    stress_clock_start();
    for (unsigned i = 0; !stress_over(); i++)
        if (stress_wants(mixes[i % MIXES].name))
            play(&mixes[i % MIXES], &random);
    stress_memory_expect_none(&memory);
    STRESS_EXPECT(stress_follow_items > 0 && stress_follow_lags > 0);
    return stress_end("%llu rounds, %llu items, %llu delivered, %llu lags, %llu cancels, %llu closed, %llu dups, %llu ends, "
                      "%llu full, %llu timeouts, %llu and %llu releases by the writer and others",
                      (unsigned long long)rounds, (unsigned long long)items, (unsigned long long)stress_follow_items,
                      (unsigned long long)stress_follow_lags, (unsigned long long)cancels, (unsigned long long)closes,
                      (unsigned long long)dups, (unsigned long long)finals, (unsigned long long)fulls,
                      (unsigned long long)timeouts, (unsigned long long)stress_released_by_writer,
                      (unsigned long long)stress_released_by_others);
}
