/*
 * How long does it take from publishing until readers run, when there are several times more of them than processors?
 *
 * Three lanes in one program, each with --readers sleeping threads that one message wakes: a buffer with
 * aether_cursor_next(), a bare futex whose wake wakes all, and a condition variable that is broadcast. All threads may run
 * on every processor. Each reader takes the time first thing when it runs; the writer waits --gap-us after the last of them,
 * so that they sleep again. The lanes alternate in blocks, in the other order every other time.
 */
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "aether/buffer.h"
#include "common.h"

enum { LANES = 3, BLOCK = 20, SPINS = 200 };

static int64_t samples = 400, gap_us = 200, readers;

struct lane;

struct reader {
    _Alignas(128) struct lane *lane;
    pthread_t thread;
    aether_cursor *cursor;
    uint64_t *latency_ns; /* of each message */
};

struct lane {
    void *(*body)(void *reader);
    void (*publish)(struct lane *lane, uint64_t message);
    struct reader *readers;
    _Alignas(128) _Atomic uint64_t arrived; /* readers that have got a message, of all messages */
    _Alignas(128) _Atomic uint32_t word;    /* the futex: messages sent */
    _Atomic uint64_t begin_ns;              /* when the latest message was begun */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t sent; /* guarded by the lock */
    aether_buffer *buffer;
};

static struct lane *lanes;

/* ----------------------------------------------------------------------------------------------------------- readers */

static void got(struct reader *reader, uint64_t message)
{
    uint64_t now_ns = bench_now_ns();
    reader->latency_ns[message - 1] = now_ns - atomic_load_explicit(&reader->lane->begin_ns, memory_order_relaxed);
    atomic_fetch_add_explicit(&reader->lane->arrived, 1, memory_order_release);
}

static void *read_buffer(void *argument)
{
    struct reader *reader = argument;
    for (uint64_t message = 1; message <= (uint64_t)samples; message++) {
        aether_item item;
        bench_ok(aether_cursor_next(reader->cursor, &item, AETHER_FOREVER), "aether_cursor_next");
        got(reader, message);
        if (memcmp(item.data, &message, sizeof message) != 0)
            bench_fail("a reader got another message than it waited for");
    }
    return NULL;
}

static void *read_futex(void *argument)
{
    struct reader *reader = argument;
    for (uint32_t message = 1; message <= (uint32_t)samples; message++) {
        while (atomic_load_explicit(&reader->lane->word, memory_order_acquire) != message)
            syscall(SYS_futex, &reader->lane->word, FUTEX_WAIT_PRIVATE, message - 1, NULL, NULL, 0);
        got(reader, message);
    }
    return NULL;
}

static void *read_condition(void *argument)
{
    struct reader *reader = argument;
    struct lane *lane = reader->lane;
    for (uint64_t message = 1; message <= (uint64_t)samples; message++) {
        pthread_mutex_lock(&lane->lock);
        while (lane->sent < message)
            pthread_cond_wait(&lane->changed, &lane->lock);
        pthread_mutex_unlock(&lane->lock);
        got(reader, message);
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------ writer */

static void publish_buffer(struct lane *lane, uint64_t message)
{
    bench_ok(aether_append(lane->buffer, &message, sizeof message), "aether_append");
}

static void publish_futex(struct lane *lane, uint64_t message)
{
    atomic_store_explicit(&lane->word, (uint32_t)message, memory_order_release);
    syscall(SYS_futex, &lane->word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void publish_condition(struct lane *lane, uint64_t message)
{
    pthread_mutex_lock(&lane->lock);
    lane->sent = message;
    pthread_mutex_unlock(&lane->lock);
    pthread_cond_broadcast(&lane->changed);
}

static void sample(struct lane *lane, uint64_t message)
{
    struct timespec gap = {.tv_nsec = gap_us * 1000};
    nanosleep(&gap, NULL); /* they fall asleep */
    atomic_store_explicit(&lane->begin_ns, bench_now_ns(), memory_order_relaxed);
    lane->publish(lane, message);
    uint32_t looks = 0;
    while (atomic_load_explicit(&lane->arrived, memory_order_acquire) != message * (uint64_t)readers)
        bench_look_again(&looks, SPINS);
}

/* -------------------------------------------------------------------------------------------------------------- main */

static void begin(struct lane *lane)
{
    pthread_mutex_init(&lane->lock, NULL);
    pthread_cond_init(&lane->changed, NULL);
    lane->readers = bench_memory((size_t)readers, sizeof *lane->readers);
    for (int64_t i = 0; i < readers; i++) {
        struct reader *reader = &lane->readers[i];
        reader->lane = lane;
        reader->latency_ns = bench_memory((size_t)samples, sizeof(uint64_t));
        if (lane->buffer != NULL)
            reader->cursor = bench_handle(aether_cursor_open(lane->buffer, AETHER_FROM_NEXT), "aether_cursor_open");
        if (pthread_create(&reader->thread, NULL, lane->body, reader) != 0)
            bench_fail("cannot start a thread");
    }
}

static void report(const char *name, struct lane *lane)
{
    size_t count = (size_t)(samples * readers);
    uint64_t *all = bench_memory(count, sizeof *all);
    for (int64_t i = 0; i < readers; i++)
        memcpy(all + i * samples, lane->readers[i].latency_ns, (size_t)samples * sizeof *all);
    static const struct {
        const char *name;
        double quantile;
    } quantiles[] = {{"p50", 0.5}, {"p99", 0.99}, {"p999", 0.999}};
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
        char key[32];
        snprintf(key, sizeof key, "%s_%s_ns", name, quantiles[i].name);
        bench_count(key, bench_quantile(all, count, quantiles[i].quantile));
    }
    free(all);
}

int main(int argc, char **argv)
{
    readers = 4 * sysconf(_SC_NPROCESSORS_ONLN);
    const struct bench_option options[] = {
        {.name = "samples", .number = &samples, .help = "messages in each lane"},
        {.name = "gap-us", .number = &gap_us, .help = "how long the writer waits before each"},
        {.name = "readers", .number = &readers, .help = "threads in each lane (4 for each processor)"},
        {0},
    };
    bench_options(argc, argv, "how long until readers run, of which there are more than processors?", options);
    if (bench_smoke)
        samples = 20;
    lanes = bench_memory(LANES, sizeof *lanes);
    lanes[0] = (struct lane){.body = read_buffer, .publish = publish_buffer};
    lanes[1] = (struct lane){.body = read_futex, .publish = publish_futex};
    lanes[2] = (struct lane){.body = read_condition, .publish = publish_condition};
    lanes[0].buffer = bench_handle(aether_buffer_create(NULL), "aether_buffer_create");
    for (int i = 0; i < LANES; i++)
        begin(&lanes[i]);
    for (int64_t done = 0, round = 0; done < samples; round++) {
        int64_t block = samples - done < BLOCK ? samples - done : BLOCK;
        for (int64_t i = 0; i < LANES; i++)
            for (int64_t k = 0; k < block; k++)
                sample(&lanes[round % 2 == 0 ? i : LANES - 1 - i], (uint64_t)(done + k + 1));
        done += block;
    }
    for (int i = 0; i < LANES; i++)
        for (int64_t k = 0; k < readers; k++)
            pthread_join(lanes[i].readers[k].thread, NULL);

    bench_begin("crowd");
    bench_count("samples", (uint64_t)samples);
    bench_count("gap_us", (uint64_t)gap_us);
    bench_count("readers", (uint64_t)readers);
    bench_measured();
    report("aether", &lanes[0]);
    report("futex", &lanes[1]);
    report("condition", &lanes[2]);
    bench_count("lost", 0);
    bench_end();
    for (int i = 0; i < LANES; i++) {
        for (int64_t k = 0; k < readers; k++) {
            aether_cursor_close(lanes[i].readers[k].cursor);
            free(lanes[i].readers[k].latency_ns);
        }
        free(lanes[i].readers);
    }
    aether_buffer_destroy(lanes[0].buffer);
    free(lanes);
    return 0;
}
