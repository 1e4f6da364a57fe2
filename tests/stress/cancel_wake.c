/*
 * Cancelling against waking: at one gate sleep readers that are cancelled again and again (by other threads, and by a signal
 * that interrupts them), one with a short deadline, and two that have neither, so that a wake-up which a cancelled reader
 * swallowed is missed. A cancelled reader returns, stays cancelled until it resumes, loses no item by it, and sees what was
 * done before it was cancelled.
 */
#include <sched.h>
#include <signal.h>

#include "common/stress_feed.h"
#include "common/stress_futex.h"
#include "common/stress_memory.h"
#include "common/stress_watch.h"

#include "buffer/cursor.h"

enum kind { STEADFAST, CANCELLED, SIGNALLED, DEADLINE };
enum { READERS = 6, CANCELLERS = 2, ITEMS_PER_ROUND = 800, LATE_NS = 200 * 1000 * 1000, NOTES = 4096 };

static const enum kind kinds[READERS] = {STEADFAST, STEADFAST, CANCELLED, CANCELLED, SIGNALLED, DEADLINE};

/* The low bits of reader.cancel; the rest counts the cancellations that were taken. */
enum { IDLE = 0, BEGUN = 1, DONE = 2, STEP = 4 };

struct reader {
    struct stress_watch watch;
    struct round *round;
    struct stress_random random;
    aether_cursor *cursor;
    pthread_t thread;
    enum kind kind;
    uint64_t number;   /* of the next item */
    uint64_t cancel;   /* atomic */
    uint64_t deadline; /* atomic; of the call that it is inside, 0: none */
    uint64_t *notes;   /* plain; what the canceller writes before each of the first cancellations */
};

struct round {
    struct stress_feed feed;
    struct reader readers[READERS];
    uint64_t over; /* atomic */
};

static uint64_t cancels, timeouts, delivered; /* atomic */
static uint64_t items, rounds;
static _Thread_local aether_cursor *own_cursor;

/* ----------------------------------------------------------------------------------------------------------- readers */

static bool is_late(struct stress_watch *watch)
{
    const struct reader *reader = (const struct reader *)(const void *)watch;
    uint64_t deadline = stress_get(&reader->deadline);
    return deadline != 0 && stress_now() > (int64_t)deadline + LATE_NS;
}

static bool is_cancellable(const struct reader *reader)
{
    return reader->kind == CANCELLED || reader->kind == SIGNALLED;
}

static void on_signal(int number)
{
    (void)number;
    aether_cursor_cancel(own_cursor);
}

static uint64_t note_of(const struct reader *reader, uint64_t cancellation)
{
    return reader->round->feed.id << 40 | cancellation;
}

static void be_cancelled(struct reader *reader)
{
    aether_item item;
    uint64_t cancel = stress_get(&reader->cancel), cancellation = cancel / STEP;
    STRESS_EXPECT((cancel & (STEP - 1)) != IDLE);
    if (cancellation < NOTES)
        STRESS_EXPECT(reader->notes[cancellation] == note_of(reader, cancellation));
    if (stress_one_in(&reader->random, 4)) {
        int64_t timeout = stress_one_in(&reader->random, 2) ? AETHER_NO_WAIT : AETHER_FOREVER;
        STRESS_EXPECT(aether_cursor_next(reader->cursor, &item, timeout) == AETHER_CANCELLED);
    }
    STRESS_EXPECT(aether_cursor_resume(reader->cursor) == AETHER_OK);
    stress_add(&cancels, 1);
    stress_set(&reader->cancel, (cancellation + 1) * STEP);
}

static aether_status next(struct reader *reader, aether_item *item)
{
    const struct stress_feed *feed = &reader->round->feed;
    int64_t timeout = AETHER_FOREVER, begun = 0;
    uint64_t before = stress_get(&feed->published);
    if (reader->kind == DEADLINE) {
        timeout = 1 + stress_below(&reader->random, 300000);
        begun = stress_now();
        stress_set(&reader->deadline, (uint64_t)(begun + timeout));
    }
    stress_watch_enter(&reader->watch, &feed->published, reader->number);
    aether_status status = aether_cursor_next(reader->cursor, item, timeout);
    stress_watch_leave(&reader->watch);
    if (status == AETHER_TIMEOUT) {
        STRESS_EXPECT(reader->kind == DEADLINE && stress_now() >= begun + timeout);
        STRESS_EXPECT(before <= reader->number); /* else there was something */
        stress_add(&timeouts, 1);
    }
    return status;
}

static void *read_all(void *argument)
{
    struct reader *reader = argument;
    own_cursor = reader->cursor;
    for (;;) {
        aether_item item;
        aether_status status = next(reader, &item);
        if (status == AETHER_OK)
            stress_feed_check(&reader->round->feed, reader->number++, &item);
        else if (status == AETHER_CANCELLED)
            be_cancelled(reader);
        else if (status != AETHER_TIMEOUT)
            break;
    }
    /* A cancellation may still be on its way, and comes first. */
    STRESS_EXPECT(reader->number == stress_get(&reader->round->feed.begun));
    stress_add(&delivered, reader->number);
    return NULL;
}

/* ---------------------------------------------------------------------------------------------------------- cancelling */

static void cancel(struct reader *reader, struct stress_random *random)
{
    uint64_t before = stress_get(&reader->cancel);
    if (stress_get(&reader->watch.call) == 0)
        return; /* has not begun: its signal handler would not know the cursor */
    if ((before & (STEP - 1)) != IDLE || !stress_swap(&reader->cancel, before, before + BEGUN))
        return;
    if (before / STEP < NOTES)
        reader->notes[before / STEP] = note_of(reader, before / STEP);
    for (uint32_t turns = 200; turns != 0 && stress_watch_call(&reader->watch) == 0; turns--)
        ae_relax();
    stress_linger(random, stress_one_in(random, 2) ? 50 : 2000);
    uint64_t call = stress_watch_call(&reader->watch);
    if (reader->kind == SIGNALLED && !AE_TSAN) /* the sanitizer puts signals off until the system call returns */
        pthread_kill(reader->thread, SIGUSR1);
    else
        aether_cursor_cancel(reader->cursor);
    stress_watch_tell(&reader->watch, call);
    stress_swap(&reader->cancel, before + BEGUN, before + DONE);
}

static void *cancel_some(void *argument)
{
    static uint64_t streams;
    struct round *round = argument;
    struct stress_random random = stress_random_stream(500 + stress_add(&streams, 1));
    while (stress_get(&round->over) == 0) {
        struct reader *reader = &round->readers[stress_below(&random, READERS)];
        if (is_cancellable(reader))
            cancel(reader, &random);
        if (stress_one_in(&random, 4))
            stress_nap(stress_below(&random, 100000));
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------- writing */

/* Until the readers without a reason of their own to return are about to sleep. */
static void await_steadfast(const struct round *round)
{
    for (uint32_t i = 0; i < READERS; i++)
        while (kinds[i] == STEADFAST && !stress_watch_waits_at(&round->readers[i].watch, round->feed.begun))
            sched_yield();
}

/* Appends nothing until each of them has been cancelled once more: an item would wake one whose cancellation got lost. */
static void keep_silent(struct round *round)
{
    uint64_t before[READERS];
    for (uint32_t i = 0; i < READERS; i++)
        before[i] = stress_get(&round->readers[i].cancel) / STEP;
    for (uint32_t i = 0; i < READERS; i++)
        while (is_cancellable(&round->readers[i]) && stress_get(&round->readers[i].cancel) / STEP == before[i])
            stress_nap(20000);
}

static void write_in_step(struct round *round, struct stress_random *random)
{
    if (!stress_one_in(random, 8))
        await_steadfast(round);
    if (stress_one_in(random, 16))
        keep_silent(round);
    stress_linger(random, stress_one_in(random, 2) ? 50 : 5000);
    stress_feed_put(&round->feed, random);
}

/* Runs through segments while cancellations are on their way to readers that stood in them. */
static void write_in_bursts(struct round *round, struct stress_random *random)
{
    stress_nap(stress_below(random, 50000));
    for (uint32_t left = stress_below(random, 16); left != 0; left--)
        stress_feed_put(&round->feed, random);
}

static void play(struct stress_memory *memory, struct stress_random *random)
{
    static uint64_t streams, notes[READERS][NOTES];
    struct round round = {.over = 0};
    bool bursts = stress_one_in(random, 2);
    aether_buffer_options options = stress_small_segments(&memory->allocator, stress_one_in(random, 2) ? 1 : -1);
    options.spins = stress_one_in(random, 4) ? 0 : -1;
    options.yields = -1;
    stress_feed_create(&round.feed, &options, ++rounds, bursts || stress_one_in(random, 2));
    pthread_t cancellers[CANCELLERS];
    for (uint32_t i = 0; i < READERS; i++) {
        struct reader *reader = &round.readers[i];
        *reader =
            (struct reader){.round = &round, .random = stress_random_stream(++streams), .kind = kinds[i], .notes = notes[i]};
        reader->cursor = aether_cursor_open(round.feed.buffer, AETHER_FROM_OLDEST);
        reader->watch.due = is_late;
        stress_watch_add(&reader->watch, "reader", i);
    }
    for (uint32_t i = 0; i < READERS; i++)
        stress_spawn(&round.readers[i].thread, read_all, &round.readers[i]);
    for (uint32_t i = 0; i < CANCELLERS; i++)
        stress_spawn(&cancellers[i], cancel_some, &round);
    while (round.feed.begun < ITEMS_PER_ROUND && !stress_over())
        if (bursts)
            write_in_bursts(&round, random);
        else
            write_in_step(&round, random);
    stress_set(&round.over, 1);
    stress_join(cancellers, CANCELLERS);
    stress_feed_end(&round.feed, AETHER_RESET);
    for (uint32_t i = 0; i < READERS; i++) {
        stress_join(&round.readers[i].thread, 1);
        stress_watch_remove(&round.readers[i].watch);
        aether_cursor_close(round.readers[i].cursor);
    }
    items += round.feed.begun;
    aether_buffer_destroy(round.feed.buffer);
}

int main(int argc, char **argv)
{
    stress_begin(argc, argv, "cancel_wake");
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_signal}, NULL);
    struct stress_memory memory;
    stress_memory_begin(&memory);
    struct stress_random random = stress_random_stream(0);
    unsigned ways = stress_way_count();
    stress_clock_start();
    for (unsigned i = 0; !stress_over(); i++)
        if (stress_way_use(&stress_ways[i % STRESS_WAYS]))
            play(&memory, &random);
    stress_memory_expect_none(&memory);
    STRESS_EXPECT(cancels > 0 && timeouts > 0 && stress_futex_waits() > 0);
    return stress_end("%u ways, %llu rounds, %llu items, %llu delivered, %llu cancels, %llu timeouts, %llu sleeps", ways,
                      (unsigned long long)rounds, (unsigned long long)items, (unsigned long long)delivered,
                      (unsigned long long)cancels, (unsigned long long)timeouts, (unsigned long long)stress_futex_waits());
}
