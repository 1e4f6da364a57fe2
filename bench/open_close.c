/*
 * What does it cost to open a cursor and close it again, on a quiet buffer and against a writer at full speed?
 *
 * Quiet: one thread, nobody writes. Busy: a writer on processor 0 appends inline without a pause, with no other reader, and
 * a thread on processor 1 opens and closes for --busy-ms. Every 1,024th cursor reads one item before it is closed and checks
 * that its content is what its index says. The writer's rate is measured alone, and while cursors are opened.
 */
#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "aether/inline.h"
#include "common.h"

enum { PAYLOAD = 32, CHECK_EVERY = 1024, BLOCK = 64 };

static int64_t idle_pairs = 1000000, busy_ms = 200;

static aether_buffer *buffer;
static _Alignas(128) _Atomic uint64_t written;
static _Alignas(128) _Atomic bool enough;

/* ------------------------------------------------------------------------------------------------------------ writer */

static void *write_all(void *argument)
{
    (void)argument;
    static unsigned char events[BLOCK][PAYLOAD];
    uint64_t number = 0;
    bench_pin(0);
    while (!atomic_load_explicit(&enough, memory_order_relaxed)) {
        for (uint64_t i = 0; i < BLOCK; i++) {
            uint64_t next = number + i + 1;
            memcpy(events[i], &next, sizeof next);
        }
        for (size_t i = 0; i < BLOCK; i++)
            bench_ok(aether_inline_append(buffer, events[i], PAYLOAD), "aether_inline_append");
        number += BLOCK;
        atomic_store_explicit(&written, number, memory_order_relaxed);
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------ opener */

static void read_one(aether_cursor *cursor)
{
    aether_item item;
    uint64_t number;
    bench_ok(aether_cursor_next(cursor, &item, AETHER_FOREVER), "aether_cursor_next");
    memcpy(&number, item.data, sizeof number);
    if (number != item.index)
        bench_fail("a new cursor got item %" PRIu64 " under the index %" PRIu64, number, item.index);
}

static void open_and_close(bool check)
{
    aether_cursor *cursor = bench_handle(aether_cursor_open(buffer, AETHER_FROM_NEXT), "aether_cursor_open");
    if (check)
        read_one(cursor);
    aether_cursor_close(cursor);
}

static double idle_ns(void)
{
    open_and_close(false); /* the thread registers with liburcu once */
    uint64_t begin_ns = bench_now_ns();
    for (int64_t i = 0; i < idle_pairs; i++)
        open_and_close(false);
    return (double)(bench_now_ns() - begin_ns) / (double)idle_pairs;
}

/* The writer's rate and, with `opening`, what a pair costs meanwhile. */
struct busy {
    double rate_m_per_s, pair_ns;
};

static struct busy measure(bool opening)
{
    uint64_t pairs = 0, before = atomic_load(&written), begin_ns = bench_now_ns(), now_ns = begin_ns;
    while (now_ns - begin_ns < (uint64_t)busy_ms * 1000000) {
        for (uint64_t i = 0; i < CHECK_EVERY; i++, pairs++) {
            if (opening)
                open_and_close(i == 0);
            else
                BENCH_RELAX();
        }
        now_ns = bench_now_ns();
    }
    double took_ns = (double)(now_ns - begin_ns);
    return (struct busy){(double)(atomic_load(&written) - before) * 1e3 / took_ns, took_ns / (double)pairs};
}

/* -------------------------------------------------------------------------------------------------------------- main */

int main(int argc, char **argv)
{
    const struct bench_option options[] = {
        {.name = "idle-pairs", .number = &idle_pairs, .help = "how often on the quiet buffer"},
        {.name = "busy-ms", .number = &busy_ms, .help = "how long against the writer, and how long it is measured alone"},
        {0},
    };
    bench_options(argc, argv, "what does it cost to open a cursor and close it again?", options);
    if (bench_smoke) {
        idle_pairs = 1000;
        busy_ms = 20;
    }
    bench_pin(1);
    buffer = bench_handle(aether_buffer_create(NULL), "aether_buffer_create");
    double idle = idle_ns();
    pthread_t writer;
    if (pthread_create(&writer, NULL, write_all, NULL) != 0)
        bench_fail("cannot start a thread");
    while (atomic_load(&written) < 1000 * BLOCK)
        sched_yield();
    struct busy alone = measure(false), meanwhile = measure(true);
    atomic_store(&enough, true);
    pthread_join(writer, NULL);
    uint64_t lost = atomic_load(&written) - aether_buffer_newest(buffer).index;
    aether_buffer_destroy(buffer);

    bench_begin("open_close");
    bench_count("payload", PAYLOAD);
    bench_count("idle_pairs", (uint64_t)idle_pairs);
    bench_count("busy_ms", (uint64_t)busy_ms);
    bench_measured();
    bench_real("idle_ns", idle);
    bench_real("busy_ns", meanwhile.pair_ns);
    bench_real("writer_alone_m_per_s", alone.rate_m_per_s);
    bench_real("writer_meanwhile_m_per_s", meanwhile.rate_m_per_s);
    bench_count("lost", lost);
    bench_end();
    return lost != 0;
}
