/*
 * The ring of Concurrency Kit for one writer and one reader, one for each reader: ck_ring_enqueue_spsc() and
 * ck_ring_dequeue_spsc() with the payload by value. It has no ring that several readers see whole, so the writer enqueues
 * every item once per reader. Who finds a ring full or empty looks again --spins times and then gives the processor away.
 */
#include "peer.h"

#include <ck_ring.h>
#include <stdlib.h>

struct event8 {
    unsigned char bytes[8];
};
struct event32 {
    unsigned char bytes[32];
};
struct event256 {
    unsigned char bytes[256];
};
CK_RING_PROTOTYPE(event8, event8)
CK_RING_PROTOTYPE(event32, event32)
CK_RING_PROTOTYPE(event256, event256)

/* A reader's ring. */
struct queue {
    _Alignas(128) ck_ring_t ring;
    _Alignas(128) void *slots;
};

/* Inlined with constant sizes, as everything with a `size` here. */
static inline __attribute__((always_inline)) bool enqueue(struct queue *queue, const void *event, size_t size)
{
    switch (size) {
    case 8:
        return ck_ring_enqueue_spsc_event8(&queue->ring, queue->slots, (struct event8 *)event);
    case 32:
        return ck_ring_enqueue_spsc_event32(&queue->ring, queue->slots, (struct event32 *)event);
    default:
        return ck_ring_enqueue_spsc_event256(&queue->ring, queue->slots, (struct event256 *)event);
    }
}

static inline __attribute__((always_inline)) bool dequeue(struct queue *queue, void *event, size_t size)
{
    switch (size) {
    case 8:
        return ck_ring_dequeue_spsc_event8(&queue->ring, queue->slots, event);
    case 32:
        return ck_ring_dequeue_spsc_event32(&queue->ring, queue->slots, event);
    default:
        return ck_ring_dequeue_spsc_event256(&queue->ring, queue->slots, event);
    }
}

static inline __attribute__((always_inline)) uint64_t read_sized(struct queue *queue, size_t size)
{
    uint64_t total = (uint64_t)peer_items, read = 0;
    uint32_t looks = 0;
    while (read < total) {
        _Alignas(8) unsigned char event[256];
        while (!dequeue(queue, event, size))
            peer_look_again(&looks);
        peer_check(event, read++);
    }
    return read;
}

static uint64_t read_all(struct peer_reader *reader)
{
    return peer_payload == 8    ? read_sized(reader->queue, 8)
           : peer_payload == 32 ? read_sized(reader->queue, 32)
                                : read_sized(reader->queue, 256);
}

static inline __attribute__((always_inline)) void write_sized(struct peer_reader *readers, size_t size)
{
    uint32_t looks = 0;
    for (uint64_t written = 0; written < (uint64_t)peer_items;) {
        size_t count = peer_number_events(written);
        const unsigned char *event = peer_events;
        for (size_t i = 0; i < count; i++, event += size)
            for (int64_t r = 0; r < peer_readers; r++)
                while (!enqueue(readers[r].queue, event, size))
                    peer_look_again(&looks);
        written += count;
    }
}

static void write_all(struct peer_reader *readers)
{
    if (peer_payload == 8)
        write_sized(readers, 8);
    else if (peer_payload == 32)
        write_sized(readers, 32);
    else
        write_sized(readers, 256);
}

static void open_all(struct peer_reader *readers)
{
    for (int64_t i = 0; i < peer_readers; i++) {
        struct queue *queue = readers[i].queue = bench_memory(1, sizeof *queue);
        ck_ring_init(&queue->ring, (unsigned)peer_ring);
        queue->slots = bench_memory((size_t)peer_ring, (size_t)peer_payload);
    }
}

static void close_all(struct peer_reader *readers)
{
    for (int64_t i = 0; i < peer_readers; i++) {
        struct queue *queue = readers[i].queue;
        free(queue->slots);
        free(queue);
    }
}

int main(int argc, char **argv)
{
    static const struct peer ck_ring = {
        .name = "ck_ring",
        .question = "how many items a second go through rings of Concurrency Kit?",
        .open = open_all,
        .write = write_all,
        .read = read_all,
        .close = close_all,
    };
    return peer_main(argc, argv, &ck_ring);
}
