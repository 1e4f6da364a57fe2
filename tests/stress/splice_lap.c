/*
 * Splices from cursors that may be lapped, into a buffer that laps. One writer goes through live streams, each of which
 * ends, is destroyed, or continues in the next one. Others make snapshots: short streams that are spliced to the live one at
 * a cursor which may be lapped, or may not. Readers with and without a limit open any of them at any moment, read slowly or
 * fast, cross while the live stream laps and while either handle is destroyed, and check their sums in each stream that
 * they come through (common/stress_follow.h). That readers which may be lapped cross into a buffer that is closed is rare,
 * and forced: the live stream is destroyed while a splice without a limit leads to it.
 */
#include <sched.h>
#include <stdlib.h>

#include "common/stress_feed.h"
#include "common/stress_follow.h"
#include "common/stress_futex.h"
#include "common/stress_memory.h"

enum { READERS = 4, MAKERS = 2, ITEMS_MOST = 1 << 14, LIVE_NS = 8 * 1000 * 1000, LIVE = MAKERS };
enum { SNAPSHOT_IDS = 1000000, DEFERRED_MOST = 32 << 20 };

/* A stream that threads share. It is there as long as somebody reads in it, writes it, or may come to it by a splice. */
struct shared {
    struct stress_stream stream; /* first */
    uint64_t references;         /* atomic */
    uint64_t openers;            /* atomic: threads that use its handle */
    uint64_t given_up;           /* atomic: nobody begins to */
};

static struct shared *board[MAKERS + 1]; /* what may be opened: snapshots, and the live stream */
static pthread_mutex_t board_lock = PTHREAD_MUTEX_INITIALIZER;
static struct stress_memory memory;
static uint64_t over;                                                                                /* atomic */
static uint64_t sessions, snapshots, pinned_splices, into_closed, unlimited_lags, behind_lags, dups; /* atomic */
static uint64_t items, lives;

/* ------------------------------------------------------------------------------------------------------------- sharing */

static void retain(struct shared *shared)
{
    __atomic_fetch_add(&shared->references, 1, __ATOMIC_RELAXED);
}

static void release(struct shared *shared)
{
    while (shared != NULL && __atomic_fetch_sub(&shared->references, 1, __ATOMIC_ACQ_REL) == 1) {
        struct shared *next = (struct shared *)(void *)shared->stream.next;
        stress_stream_free(&shared->stream);
        free(shared);
        shared = next;
    }
}

/* What stands on the board there, with a reference, or NULL. */
static struct shared *take_from_board(uint32_t slot)
{
    pthread_mutex_lock(&board_lock);
    struct shared *shared = board[slot];
    if (shared != NULL)
        retain(shared);
    pthread_mutex_unlock(&board_lock);
    return shared;
}

static void put_on_board(uint32_t slot, struct shared *shared)
{
    pthread_mutex_lock(&board_lock);
    board[slot] = shared;
    pthread_mutex_unlock(&board_lock);
}

static bool enter_handle(struct shared *shared)
{
    __atomic_fetch_add(&shared->openers, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&shared->given_up, __ATOMIC_SEQ_CST) == 0)
        return true;
    __atomic_fetch_sub(&shared->openers, 1, __ATOMIC_SEQ_CST);
    return false;
}

static void leave_handle(struct shared *shared)
{
    __atomic_fetch_sub(&shared->openers, 1, __ATOMIC_SEQ_CST);
}

static struct shared *create(uint64_t id, struct stress_random *random)
{
    static const int32_t cached[] = {-1, 1, 0};
    aether_buffer_options options = stress_small_segments(&memory.allocator, cached[stress_below(random, 3)]);
    options.retain_bytes = stress_one_in(random, 4) ? stress_below(random, 20000) : 0;
    options.spins = options.yields = -1;
    struct shared *shared = aligned_alloc(64, (sizeof *shared + 63) & ~(size_t)63);
    STRESS_EXPECT(shared != NULL);
    *shared = (struct shared){.references = 1};
    stress_stream_create(&shared->stream, &options, id, ITEMS_MOST, 0);
    return shared;
}

/* Destroys the buffer, once nobody uses its handle. */
static void give_up(struct shared *shared)
{
    __atomic_store_n(&shared->given_up, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&shared->openers, __ATOMIC_SEQ_CST) != 0)
        sched_yield();
    aether_buffer_destroy(shared->stream.buffer);
}

/* Where a splice is to lead: a cursor in `to` that may be lapped, or not. */
static bool open_target(struct stress_follower *at, struct shared *to, struct stress_random *random)
{
    bool laps = !stress_one_in(random, 3);
    aether_start start = stress_one_in(random, 2) ? AETHER_FROM_NEXT : AETHER_FROM_OLDEST;
    if (!enter_handle(to))
        return false;
    uint64_t limit = stress_follow_limit(&to->stream, random);
    bool opened = stress_follow(at, &to->stream, start, laps ? AETHER_LAP : 0, limit, random);
    leave_handle(to);
    return opened;
}

/* `to` is where the cursor stands. Readers find out by the splice alone. */
static void splice(struct shared *from, const struct stress_follower *at)
{
    struct shared *to = (struct shared *)(uintptr_t)at->stream;
    stress_add(&pinned_splices, at->cursor->pinned);
    retain(to);
    from->stream.next = &to->stream;
    from->stream.next_number = at->cursor->head.number;
    uint64_t limit = __atomic_load_n(&from->stream.buffer->lap_limit, __ATOMIC_SEQ_CST);
    if (aether_buffer_splice(from->stream.buffer, at->cursor) != AETHER_OK)
        stress_fail("splice: %s", aether_error());
    if (enter_handle(to)) {
        if (aether_buffer_range(to->stream.buffer).floor <= from->stream.next_number)
            stress_set(&from->stream.next_limit, limit);
        leave_handle(to);
    }
}

/* ------------------------------------------------------------------------------------------------------------- readers */

/* Where a cursor stands, with a reference. */
struct reader {
    struct stress_follower follower;
    struct shared *held;
};

/* The follower has come into another stream, which is held by the ones before. */
static void hold(struct reader *reader)
{
    struct shared *to = (struct shared *)(uintptr_t)reader->follower.stream;
    if (to == reader->held)
        return;
    if (reader->follower.policy == AETHER_LAP && !reader->follower.cursor->pinned)
        stress_add(&into_closed, 1);
    retain(to);
    release(reader->held);
    reader->held = to;
}

static bool read_one(struct reader *reader, struct stress_random *random)
{
    static const int64_t timeouts[] = {AETHER_NO_WAIT, AETHER_MICROSECONDS(20), AETHER_MILLISECONDS(1)};
    aether_status status = stress_follow_next(&reader->follower, timeouts[stress_below(random, 3)], NULL, random);
    if (status == AETHER_LAGGED) {
        stress_add(&unlimited_lags, reader->follower.policy == 0);
        stress_add(&behind_lags, reader->follower.may_lag);
    }
    hold(reader);
    return !aether_status_is_final(status) && status != AETHER_EMPTY && status != AETHER_TIMEOUT;
}

static void read_on(struct reader *reader, struct stress_random *random)
{
    for (uint32_t parts = 1 + stress_below(random, 4); parts != 0; parts--) {
        if (stress_one_in(random, 3))
            stress_nap(stress_below(random, 4000000));
        for (uint32_t left = stress_below(random, stress_one_in(random, 2) ? 100 : 2000); left != 0; left--)
            if (!read_one(reader, random))
                break;
    }
}

static void close_own(struct reader *reader)
{
    stress_follow_close(&reader->follower);
    release(reader->held);
}

static bool open_some(struct reader *reader, struct stress_random *random)
{
    struct shared *shared = take_from_board(stress_below(random, MAKERS + 1));
    if (shared == NULL)
        return false;
    uint32_t draw = stress_below(random, 16);
    aether_on_limit policy = draw < 10 ? AETHER_LAP : draw == 10 ? AETHER_WAIT : 0;
    aether_start start = stress_one_in(random, 2) ? AETHER_FROM_NEXT : AETHER_FROM_OLDEST;
    uint64_t limit = stress_follow_limit(&shared->stream, random);
    bool opened = enter_handle(shared);
    if (opened) {
        opened = stress_follow(&reader->follower, &shared->stream, start, policy, limit, random);
        leave_handle(shared);
    }
    reader->held = shared;
    if (opened)
        hold(reader);
    else
        release(shared);
    return opened;
}

static void *visit_often(void *argument)
{
    static uint64_t streams;
    struct stress_random random = stress_random_stream(1000 + stress_add(&streams, 1));
    while (stress_get(&over) == 0) {
        struct reader reader, twin;
        if (!open_some(&reader, &random)) {
            sched_yield();
            continue;
        }
        read_on(&reader, &random);
        if (stress_one_in(&random, 4)) {
            stress_follow_dup(&reader.follower, &twin.follower);
            retain(twin.held = reader.held);
            read_on(&twin, &random);
            close_own(&twin);
            stress_add(&dups, 1);
        }
        read_on(&reader, &random);
        close_own(&reader);
        stress_add(&sessions, 1);
    }
    return argument;
}

/* ----------------------------------------------------------------------------------------------------------- snapshots */

static void write_some(struct shared *shared, struct stress_random *random, uint32_t most)
{
    for (uint32_t left = stress_below(random, most); left != 0 && stress_stream_has_room(&shared->stream); left--)
        STRESS_EXPECT(stress_stream_put(&shared->stream, random) == AETHER_OK);
}

static void make_snapshot(uint32_t slot, uint64_t id, struct stress_random *random)
{
    struct stress_follower at;
    struct shared *live = take_from_board(LIVE);
    if (live == NULL || !open_target(&at, live, random)) {
        release(live);
        return;
    }
    struct shared *held = (struct shared *)(uintptr_t)at.stream; /* the live one, or behind a splice */
    retain(held);
    release(live);
    struct shared *snapshot = create(id, random);
    write_some(snapshot, random, 100);
    put_on_board(slot, snapshot);
    write_some(snapshot, random, stress_one_in(random, 4) ? 400 : 50);
    if (stress_one_in(random, 2))
        stress_nap(stress_below(random, 3000000)); /* the live one goes on */
    splice(snapshot, &at);
    if (stress_one_in(random, 2))
        stress_nap(stress_below(random, 5000000));
    put_on_board(slot, NULL);
    give_up(snapshot);
    release(snapshot);
    release(held);
    stress_add(&snapshots, 1);
}

static void *make_snapshots(void *argument)
{
    uint32_t slot = (uint32_t)(uintptr_t)argument;
    struct stress_random random = stress_random_stream(2000 + slot);
    uint64_t id = SNAPSHOT_IDS * (slot + 1);
    while (stress_get(&over) == 0)
        make_snapshot(slot, id++, &random);
    return NULL;
}

/* ---------------------------------------------------------------------------------------------------------------- live */

static void write_live(struct shared *live, struct stress_random *random)
{
    int64_t end = stress_now() + stress_below(random, LIVE_NS);
    while (stress_now() < end && stress_stream_has_room(&live->stream)) {
        write_some(live, random, 300);
        stress_linger(random, 1000);
        if (stress_one_in(random, 16))
            stress_nap(stress_below(random, 300000));
    }
    while (stress_get(&memory.bytes) > DEFERRED_MOST)
        sched_yield();
}

/* The live stream continues in another one. */
static struct shared *go_on(struct shared *live, struct stress_random *random)
{
    struct stress_follower at;
    struct shared *next = create(++lives, random);
    write_some(next, random, 200);
    STRESS_EXPECT(open_target(&at, next, random));
    write_some(next, random, 200);
    splice(live, &at);
    return next;
}

static struct shared *change_live(struct shared *live, struct stress_random *random)
{
    struct shared *next = NULL;
    switch (stress_below(random, 3)) {
    case 0:
        next = go_on(live, random);
        break;
    case 1:
        stress_stream_end(&live->stream, AETHER_RESET);
        break;
    default: /* destroyed as it is */
        break;
    }
    if (next == NULL)
        next = create(++lives, random);
    put_on_board(LIVE, next);
    give_up(live);
    items += live->stream.begun;
    release(live);
    return next;
}

int main(int argc, char **argv)
{
    stress_begin(argc, argv, "splice_lap");
    stress_memory_begin(&memory);
    struct stress_random random = stress_random_stream(0);
    stress_way_use(&stress_ways[stress_below(&random, STRESS_WAYS)]);
    pthread_t threads[READERS + MAKERS];
    struct shared *live = create(++lives, &random);
    put_on_board(LIVE, live);
    for (uint32_t i = 0; i < READERS; i++)
        stress_spawn(&threads[i], visit_often, NULL);
    for (uint32_t i = 0; i < MAKERS; i++)
        stress_spawn(&threads[READERS + i], make_snapshots, (void *)(uintptr_t)i);
    stress_clock_start();
    while (!stress_over()) {
        write_live(live, &random);
        live = change_live(live, &random);
    }
    stress_set(&over, 1);
    stress_join(threads, READERS + MAKERS);
    give_up(live);
    release(live);
    stress_memory_expect_none(&memory);
    STRESS_EXPECT(sessions > 0 && snapshots > 0 && pinned_splices > 0 && stress_follow_crossings > 0);
    return stress_end("%llu streams, %llu items, %llu delivered, %llu sessions, %llu snapshots, %llu splices that are pins, "
                      "%llu crossings, %llu into closed ones, %llu lags, %llu behind splices, %llu without a limit",
                      (unsigned long long)lives, (unsigned long long)items, (unsigned long long)stress_follow_items,
                      (unsigned long long)sessions, (unsigned long long)snapshots, (unsigned long long)pinned_splices,
                      (unsigned long long)stress_follow_crossings, (unsigned long long)into_closed,
                      (unsigned long long)stress_follow_lags, (unsigned long long)behind_lags,
                      (unsigned long long)unlimited_lags);
}
