/*
 * The peer of bench/throughput.c: rings of Concurrency Kit, one writer, one ring for each reader.
 *
 * ck_ring_enqueue_spsc() and ck_ring_dequeue_spsc() with 32 bytes by value: it has no ring that several readers see whole,
 * so the writer enqueues every item once per reader. What is unread is bounded by the ring. Who finds it full or empty looks
 * again --spins times and then gives the processor away. The same numbers, checks and processors as for aether.
 */
#include <ck_ring.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "../common.h"

enum { PAYLOAD = 32, READERS_MAX = 64, BLOCK = 64 };

struct event {
    uint64_t number;
    unsigned char rest[PAYLOAD - sizeof(uint64_t)];
};

CK_RING_PROTOTYPE(event, event)

static int64_t readers = 1, ring_size = 4096, items = 20000000, spins = 1000;

/* A reader and its ring. */
struct reader {
    _Alignas(128) ck_ring_t ring;
    _Alignas(128) struct event *slots;
    pthread_t thread;
    uint64_t read;   /* items that carried the number that was due */
    uint64_t end_ns; /* when the last one was read */
};

static pthread_barrier_t start;

static void *read_all(void *argument)
{
    struct reader *reader = argument;
    uint64_t total = (uint64_t)items, read = 0;
    uint32_t looks = 0;
    if (readers == 1)
        bench_pin(1);
    pthread_barrier_wait(&start);
    while (read < total) {
        struct event event;
        while (!ck_ring_dequeue_spsc_event(&reader->ring, reader->slots, &event))
            bench_look_again(&looks, (uint32_t)spins);
        if (__builtin_expect(event.number != read + 1, 0))
            bench_fail("a reader wanted item %" PRIu64 " and got %" PRIu64, read + 1, event.number);
        read++;
    }
    reader->end_ns = bench_now_ns();
    reader->read = read;
    return NULL;
}

static void write_all(struct reader *reader)
{
    static struct event events[BLOCK]; /* numbered a block ahead, as for aether */
    uint64_t total = (uint64_t)items;
    uint32_t looks = 0;
    for (uint64_t written = 0; written < total;) {
        size_t count = total - written < BLOCK ? (size_t)(total - written) : BLOCK;
        for (size_t i = 0; i < count; i++)
            events[i].number = ++written;
        for (size_t i = 0; i < count; i++)
            for (int64_t r = 0; r < readers; r++)
                while (!ck_ring_enqueue_spsc_event(&reader[r].ring, reader[r].slots, &events[i]))
                    bench_look_again(&looks, (uint32_t)spins);
    }
}

static void configure(int argc, char **argv)
{
    const struct bench_option options[] = {
        {.name = "readers", .number = &readers, .help = "how many readers, 1 to 64"},
        {.name = "ring", .number = &ring_size, .help = "slots of a ring, a power of two"},
        {.name = "items", .number = &items, .help = "items to write"},
        {.name = "spins", .number = &spins, .help = "looks before the processor is given away"},
        {0},
    };
    bench_options(argc, argv, "how many items a second go through rings of Concurrency Kit?", options);
    if (readers < 1 || readers > READERS_MAX || ring_size < 4 || ring_size > 1 << 24 || (ring_size & (ring_size - 1)) != 0)
        bench_fail("--readers or --ring is out of its range (--help)");
    if (bench_smoke)
        items = 20000;
}

int main(int argc, char **argv)
{
    configure(argc, argv);
    struct reader *reader = bench_memory((size_t)readers, sizeof *reader);
    pthread_barrier_init(&start, NULL, (unsigned)readers + 1);
    for (int64_t i = 0; i < readers; i++) {
        ck_ring_init(&reader[i].ring, (unsigned)ring_size);
        reader[i].slots = bench_memory((size_t)ring_size, sizeof(struct event));
        if (pthread_create(&reader[i].thread, NULL, read_all, &reader[i]) != 0)
            bench_fail("cannot start a thread");
    }
    if (readers == 1)
        bench_pin(0);
    pthread_barrier_wait(&start);
    uint64_t begin_ns = bench_now_ns();
    write_all(reader);
    uint64_t written_ns = bench_now_ns(), end_ns = written_ns, lost = 0;
    for (int64_t i = 0; i < readers; i++) {
        pthread_join(reader[i].thread, NULL);
        lost += (uint64_t)items - reader[i].read;
        if (reader[i].end_ns > end_ns)
            end_ns = reader[i].end_ns;
        free(reader[i].slots);
    }

    bench_begin("ck_ring");
    bench_count("readers", (uint64_t)readers);
    bench_count("batch", 1);
    bench_count("payload", PAYLOAD);
    bench_count("items", (uint64_t)items);
    bench_count("ring", (uint64_t)ring_size);
    bench_measured();
    bench_real("rate_m_per_s", (double)items * 1e3 / (double)(end_ns - begin_ns));
    bench_real("append_rate_m_per_s", (double)items * 1e3 / (double)(written_ns - begin_ns));
    bench_count("lost", lost);
    bench_end();
    pthread_barrier_destroy(&start);
    free(reader);
    return lost != 0;
}
