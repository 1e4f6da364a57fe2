#include "peer.h"

#include <stdlib.h>

int64_t peer_readers = 1, peer_batch = 1, peer_payload = 32, peer_ring = 4096, peer_items = 20000000, peer_spins = 1000;
unsigned char *peer_events;

static const struct peer *peer;
static pthread_barrier_t start;

size_t peer_number_events(uint64_t written)
{
    uint64_t left = (uint64_t)peer_items - written;
    size_t count = left < PEER_BLOCK ? (size_t)left : PEER_BLOCK;
    for (size_t i = 0; i < count; i++) {
        uint64_t number = written + i + 1;
        memcpy(peer_events + i * (size_t)peer_payload, &number, sizeof number);
    }
    return count;
}

static void *read_all(void *argument)
{
    struct peer_reader *reader = argument;
    if (peer_readers == 1)
        bench_pin(1);
    pthread_barrier_wait(&start);
    uint64_t read = peer->read(reader);
    reader->end_ns = bench_now_ns();
    reader->read = read;
    return NULL;
}

static void configure(int argc, char **argv)
{
    const struct bench_option options[] = {
        {.name = "readers", .number = &peer_readers, .help = "how many readers, 1 to 64"},
        {.name = "batch", .number = &peer_batch, .help = "items per append, 1 to 64, where the peer knows batches"},
        {.name = "payload", .number = &peer_payload, .help = "bytes per item: 8, 32 or 256"},
        {.name = "ring", .number = &peer_ring, .help = "items that may be unread, a power of two"},
        {.name = "items", .number = &peer_items, .help = "items to write"},
        {.name = "spins", .number = &peer_spins, .help = "looks before the processor is given away"},
        {0},
    };
    bench_options(argc, argv, peer->question, options);
    if (peer_readers < 1 || peer_readers > PEER_READERS_MAX || peer_items < 1)
        bench_fail("--readers or --items is out of its range (--help)");
    if (peer_batch < 1 || peer_batch > PEER_BLOCK || (peer_batch > 1 && !peer->batches))
        bench_fail("--batch is out of its range (--help)");
    if (peer_payload != 8 && peer_payload != 32 && peer_payload != 256)
        bench_fail("--payload: 8, 32 or 256");
    if (peer_ring < 4 * PEER_BLOCK || (peer_ring & (peer_ring - 1)) != 0 ||
        peer_ring * (peer_payload + 8) > BENCH_BOUND_BYTES)
        bench_fail("--ring: a power of two from 256 on, and no more than %" PRId64 " bytes of items", BENCH_BOUND_BYTES);
    if (bench_smoke)
        peer_items = 20000;
}

static void print(uint64_t written_ns, uint64_t read_ns, uint64_t lost)
{
    bench_begin(peer->name);
    bench_count("readers", (uint64_t)peer_readers);
    bench_count("batch", (uint64_t)peer_batch);
    bench_count("payload", (uint64_t)peer_payload);
    bench_count("items", (uint64_t)peer_items);
    bench_count("ring", (uint64_t)peer_ring);
    bench_measured();
    bench_real("rate_m_per_s", (double)peer_items * 1e3 / (double)read_ns);
    bench_real("append_rate_m_per_s", (double)peer_items * 1e3 / (double)written_ns);
    bench_count("lost", lost);
    bench_end();
}

int peer_main(int argc, char **argv, const struct peer *the_peer)
{
    peer = the_peer;
    configure(argc, argv);
    peer_events = bench_memory(PEER_BLOCK, (size_t)peer_payload);
    struct peer_reader *reader = bench_memory((size_t)peer_readers, sizeof *reader);
    peer->open(reader);
    pthread_barrier_init(&start, NULL, (unsigned)peer_readers + 1);
    for (int64_t i = 0; i < peer_readers; i++)
        if (pthread_create(&reader[i].thread, NULL, read_all, &reader[i]) != 0)
            bench_fail("cannot start a thread");
    if (peer_readers == 1)
        bench_pin(0);
    pthread_barrier_wait(&start);
    uint64_t begin_ns = bench_now_ns();
    peer->write(reader);
    uint64_t written_ns = bench_now_ns(), end_ns = written_ns, lost = 0;
    for (int64_t i = 0; i < peer_readers; i++) {
        pthread_join(reader[i].thread, NULL);
        lost += (uint64_t)peer_items - reader[i].read;
        if (reader[i].end_ns > end_ns)
            end_ns = reader[i].end_ns;
    }
    print(written_ns - begin_ns, end_ns - begin_ns, lost);
    peer->close(reader);
    pthread_barrier_destroy(&start);
    free(reader);
    free(peer_events);
    return lost != 0;
}
