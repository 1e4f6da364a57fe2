/*
 * How long does it take from an append until the one reader that slept for it runs?
 *
 * Two lanes in one program, each with a reader that sleeps on processor 1 and a writer that busily waits on processor 0: a
 * buffer with aether_cursor_next(), and a bare futex. The writer waits --gap-us after the reader's last answer, so that the
 * reader is asleep, takes the time, publishes; the reader takes the time first thing when it runs. The lanes alternate in
 * blocks, in the other order every other time. Where nobody slept, the sample does not count: the futex call and the
 * buffer's statistics tell.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "aether/buffer.h"
#include "common.h"

enum { LANES = 2, BLOCK = 50, SPINS = 20000 };

static int64_t samples = 2000, gap_us = 60;

/* One way of waking, and its reader. */
struct lane {
    _Alignas(128) _Atomic uint64_t seen; /* messages that the reader has got */
    uint64_t woke_ns;                    /* when it got the latest; published by `seen` */
    _Alignas(128) _Atomic uint32_t word; /* the bare futex: messages sent */
    aether_buffer *buffer;
    aether_cursor *cursor;
    uint64_t wakes;        /* of the buffer, before the latest append */
    uint64_t *latency_ns;  /* of the samples that count */
    uint64_t *publish_ns;  /* how long the writer was busy with publishing, likewise */
    uint64_t sent, counts; /* messages; samples that count */
    uint64_t lost;         /* messages that carried another number than was due */
};

static struct lane *lanes;

/* ----------------------------------------------------------------------------------------------------------- readers */

static void got(struct lane *lane, uint64_t message)
{
    lane->woke_ns = bench_now_ns();
    atomic_store_explicit(&lane->seen, message, memory_order_release);
}

static void *read_buffer(void *argument)
{
    struct lane *lane = argument;
    bench_pin(1);
    for (uint64_t message = 1; message <= (uint64_t)samples; message++) {
        aether_item item;
        bench_ok(aether_cursor_next(lane->cursor, &item, AETHER_FOREVER), "aether_cursor_next");
        got(lane, message);
        lane->lost += memcmp(item.data, &message, sizeof message) != 0;
    }
    return NULL;
}

static void *read_futex(void *argument)
{
    struct lane *lane = argument;
    bench_pin(1);
    for (uint32_t message = 1; message <= (uint32_t)samples; message++) {
        while (atomic_load_explicit(&lane->word, memory_order_acquire) != message)
            syscall(SYS_futex, &lane->word, FUTEX_WAIT_PRIVATE, message - 1, NULL, NULL, 0);
        got(lane, message);
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------ writer */

static void pause_for(int64_t us)
{
    uint64_t end_ns = bench_now_ns() + (uint64_t)us * 1000;
    while (bench_now_ns() < end_ns)
        BENCH_RELAX();
}

/* True if the reader slept. */
static bool wake_futex(struct lane *lane, uint64_t message)
{
    atomic_store_explicit(&lane->word, (uint32_t)message, memory_order_release);
    return syscall(SYS_futex, &lane->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 1;
}

/* True if the latest append found a sleeping reader. */
static bool found_sleeper(struct lane *lane)
{
    aether_buffer_stats stats;
    bench_ok(aether_buffer_get_stats(lane->buffer, &stats), "aether_buffer_get_stats");
    bool woke = stats.wakes > lane->wakes;
    lane->wakes = stats.wakes;
    return woke;
}

static void sample(struct lane *lane)
{
    uint64_t message = ++lane->sent;
    pause_for(gap_us);
    uint64_t begin_ns = bench_now_ns();
    bool slept = true;
    if (lane->buffer == NULL)
        slept = wake_futex(lane, message);
    else
        bench_ok(aether_append(lane->buffer, &message, sizeof message), "aether_append");
    uint64_t published_ns = bench_now_ns();
    uint32_t looks = 0;
    while (atomic_load_explicit(&lane->seen, memory_order_acquire) != message)
        bench_look_again(&looks, SPINS);
    if (lane->buffer != NULL)
        slept = found_sleeper(lane);
    if (slept) {
        lane->latency_ns[lane->counts] = lane->woke_ns - begin_ns;
        lane->publish_ns[lane->counts] = published_ns - begin_ns;
        lane->counts++;
    }
}

static void sample_all(void)
{
    bench_pin(0);
    for (int64_t done = 0, round = 0; done < samples; round++) {
        int64_t block = samples - done < BLOCK ? samples - done : BLOCK;
        for (int64_t i = 0; i < LANES; i++)
            for (int64_t k = 0; k < block; k++)
                sample(&lanes[(i + round) % LANES]);
        done += block;
    }
}

/* -------------------------------------------------------------------------------------------------------------- main */

int main(int argc, char **argv)
{
    const struct bench_option options[] = {
        {.name = "samples", .number = &samples, .help = "messages in each lane"},
        {.name = "gap-us", .number = &gap_us, .help = "how long the writer waits before each"},
        {0},
    };
    bench_options(argc, argv, "how long from an append until the one sleeping reader runs?", options);
    if (bench_smoke)
        samples = 100;
    lanes = bench_memory(LANES, sizeof *lanes);
    for (int i = 0; i < LANES; i++) {
        lanes[i].latency_ns = bench_memory((size_t)samples, sizeof(uint64_t));
        lanes[i].publish_ns = bench_memory((size_t)samples, sizeof(uint64_t));
    }
    struct lane *aether = &lanes[0], *futex = &lanes[1];
    aether->buffer = bench_handle(aether_buffer_create(NULL), "aether_buffer_create");
    aether->cursor = bench_handle(aether_cursor_open(aether->buffer, AETHER_FROM_NEXT), "aether_cursor_open");
    pthread_t threads[LANES];
    if (pthread_create(&threads[0], NULL, read_buffer, aether) != 0 ||
        pthread_create(&threads[1], NULL, read_futex, futex) != 0)
        bench_fail("cannot start a thread");
    sample_all();
    for (int i = 0; i < LANES; i++)
        pthread_join(threads[i], NULL);
    aether_cursor_close(aether->cursor);
    aether_buffer_destroy(aether->buffer);

    bench_begin("wake");
    bench_count("samples", (uint64_t)samples);
    bench_count("gap_us", (uint64_t)gap_us);
    bench_measured();
    bench_count("aether_slept", aether->counts);
    bench_count("futex_slept", futex->counts);
    bench_count("aether_p50_ns", bench_quantile(aether->latency_ns, aether->counts, 0.5));
    bench_count("aether_p99_ns", bench_quantile(aether->latency_ns, aether->counts, 0.99));
    bench_count("futex_p50_ns", bench_quantile(futex->latency_ns, futex->counts, 0.5));
    bench_count("futex_p99_ns", bench_quantile(futex->latency_ns, futex->counts, 0.99));
    bench_count("append_p50_ns", bench_quantile(aether->publish_ns, aether->counts, 0.5));
    bench_count("futex_wake_p50_ns", bench_quantile(futex->publish_ns, futex->counts, 0.5));
    bench_count("lost", aether->lost);
    bench_end();
    for (int i = 0; i < LANES; i++) {
        free(lanes[i].latency_ns);
        free(lanes[i].publish_ns);
    }
    uint64_t lost = aether->lost;
    free(lanes);
    return lost != 0;
}
