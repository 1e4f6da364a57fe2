/*
 * The linked queue of Concurrency Kit for one writer and one reader, one for each reader: ck_fifo_spsc. An item is an entry
 * with the payload behind it. --ring entries are made beforehand and recycled by the queue itself, ck_fifo_spsc_recycle(),
 * so that nothing is allocated; the reader looks at the payload where it stands, which is its own until it dequeues again.
 */
#include "peer.h"

#include <ck_fifo.h>
#include <stdlib.h>

struct item {
    ck_fifo_spsc_entry_t entry; /* first: an entry is its item */
    unsigned char payload[];
};

/* A reader's queue. */
struct queue {
    _Alignas(128) ck_fifo_spsc_t fifo;
    _Alignas(128) unsigned char *items; /* peer_ring of them, and one more that the queue always keeps */
    int64_t used;                       /* of them, for the first time */
};

static struct item *item_at(struct queue *queue, int64_t i, size_t size)
{
    return (struct item *)(void *)(queue->items + (size_t)i * (sizeof(struct item) + size));
}

static uint64_t read_all(struct peer_reader *reader)
{
    struct queue *queue = reader->queue;
    uint64_t total = (uint64_t)peer_items, read = 0;
    uint32_t looks = 0;
    while (read < total) {
        void *payload;
        while (!ck_fifo_spsc_dequeue(&queue->fifo, &payload))
            peer_look_again(&looks);
        peer_check(payload, read++);
    }
    return read;
}

/* An item that nobody needs. */
static inline struct item *take(struct queue *queue, size_t size, uint32_t *looks)
{
    if (__builtin_expect(queue->used < peer_ring, 0))
        return item_at(queue, queue->used++, size);
    ck_fifo_spsc_entry_t *entry;
    while ((entry = ck_fifo_spsc_recycle(&queue->fifo)) == NULL)
        peer_look_again(looks);
    return (struct item *)entry;
}

/* Inlined with constant sizes. */
static inline __attribute__((always_inline)) void write_sized(struct peer_reader *readers, size_t size)
{
    uint32_t looks = 0;
    for (uint64_t written = 0; written < (uint64_t)peer_items;) {
        size_t count = peer_number_events(written);
        const unsigned char *event = peer_events;
        for (size_t i = 0; i < count; i++, event += size) {
            for (int64_t r = 0; r < peer_readers; r++) {
                struct queue *queue = readers[r].queue;
                struct item *item = take(queue, size, &looks);
                memcpy(item->payload, event, size);
                ck_fifo_spsc_enqueue(&queue->fifo, &item->entry, item->payload);
            }
        }
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
        queue->items = bench_memory((size_t)peer_ring + 1, sizeof(struct item) + (size_t)peer_payload);
        ck_fifo_spsc_init(&queue->fifo, &item_at(queue, peer_ring, (size_t)peer_payload)->entry);
    }
}

static void close_all(struct peer_reader *readers)
{
    for (int64_t i = 0; i < peer_readers; i++) {
        struct queue *queue = readers[i].queue;
        free(queue->items);
        free(queue);
    }
}

int main(int argc, char **argv)
{
    static const struct peer ck_fifo = {
        .name = "ck_fifo",
        .question = "how many items a second go through linked queues of Concurrency Kit?",
        .open = open_all,
        .write = write_all,
        .read = read_all,
        .close = close_all,
    };
    return peer_main(argc, argv, &ck_fifo);
}
