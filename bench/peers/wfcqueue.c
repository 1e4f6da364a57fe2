/*
 * The queue with wait-free enqueue of liburcu, one for each reader: cds_wfcq_enqueue(), and __cds_wfcq_splice_nonblocking()
 * by which the reader takes all that is there. An item is a node with the payload behind it. --ring nodes are made
 * beforehand and used in turn, so that nothing is allocated: the reader tells its progress, a quarter of them at most
 * behind. With --batch the writer links that many into a queue of its own and splices it to the reader's, once for all.
 *
 * The calls that wait inside would sleep 10 ms where a node is not linked yet; here the next look comes as for the others.
 */
#define _LGPL_SOURCE /* inlined, as liburcu means it for programs that want the speed */
#include "peer.h"

#include <stdlib.h>
#include <urcu/wfcqueue.h>

struct item {
    struct cds_wfcq_node node; /* first: a node is its item */
    unsigned char payload[];
};

/* A reader's queue. */
struct queue {
    _Alignas(128) struct __cds_wfcq_head head;
    _Alignas(128) struct cds_wfcq_tail tail;
    _Alignas(128) _Atomic uint64_t done; /* items read, a multiple of the step */
    _Alignas(128) uint64_t seen_done;    /* the same, as the writer last saw it */
    unsigned char *items;                /* peer_ring of them */
};

/* ----------------------------------------------------------------------------------------------------------- reading */

static struct cds_wfcq_node *node_after(struct __cds_wfcq_head *head, struct cds_wfcq_tail *tail, struct cds_wfcq_node *node)
{
    uint32_t looks = 0;
    struct cds_wfcq_node *next;
    while ((next = __cds_wfcq_next_nonblocking(head, tail, node)) == CDS_WFCQ_WOULDBLOCK)
        peer_look_again(&looks);
    return next;
}

static uint64_t read_all(struct peer_reader *reader)
{
    struct queue *queue = reader->queue;
    uint64_t total = (uint64_t)peer_items, read = 0, step = peer_step();
    uint32_t looks = 0;
    while (read < total) {
        struct __cds_wfcq_head head;
        struct cds_wfcq_tail tail;
        __cds_wfcq_init(&head, &tail);
        enum cds_wfcq_ret got = __cds_wfcq_splice_nonblocking(&head, &tail, &queue->head, &queue->tail);
        if (got == CDS_WFCQ_RET_SRC_EMPTY || got == CDS_WFCQ_RET_WOULDBLOCK) {
            peer_look_again(&looks);
            continue;
        }
        struct cds_wfcq_node *node = node_after(&head, &tail, &head.node);
        while (node != NULL) {
            peer_check(((struct item *)node)->payload, read++);
            node = node_after(&head, &tail, node);
            if (read % step == 0)
                atomic_store_explicit(&queue->done, read, memory_order_release);
        }
    }
    return read;
}

/* ----------------------------------------------------------------------------------------------------------- writing */

/* Inlined with constant sizes, as everything with a `size` here. The item after the first `written`, its payload set. */
static inline __attribute__((always_inline)) struct cds_wfcq_node *fill(struct queue *queue, uint64_t written,
                                                                        const void *event, size_t size)
{
    uint32_t looks = 0;
    while (__builtin_expect(written - queue->seen_done >= (uint64_t)peer_ring, 0)) {
        queue->seen_done = atomic_load_explicit(&queue->done, memory_order_acquire);
        if (written - queue->seen_done >= (uint64_t)peer_ring)
            peer_look_again(&looks);
    }
    size_t place = (size_t)(written & ((uint64_t)peer_ring - 1));
    struct item *item = (struct item *)(void *)(queue->items + place * (sizeof(struct item) + size));
    cds_wfcq_node_init(&item->node);
    memcpy(item->payload, event, size);
    return &item->node;
}

static inline __attribute__((always_inline)) void enqueue_each(struct peer_reader *readers, uint64_t written, size_t count,
                                                               size_t size)
{
    const unsigned char *event = peer_events;
    for (size_t i = 0; i < count; i++, event += size)
        for (int64_t r = 0; r < peer_readers; r++) {
            struct queue *queue = readers[r].queue;
            cds_wfcq_enqueue(&queue->head, &queue->tail, fill(queue, written + i, event, size));
        }
}

static inline __attribute__((always_inline)) void enqueue_batch(struct queue *queue, uint64_t written,
                                                                const unsigned char *event, size_t count, size_t size)
{
    struct __cds_wfcq_head head;
    struct cds_wfcq_tail tail;
    __cds_wfcq_init(&head, &tail);
    for (size_t i = 0; i < count; i++, event += size)
        cds_wfcq_enqueue(&head, &tail, fill(queue, written + i, event, size));
    (void)__cds_wfcq_splice_nonblocking(&queue->head, &queue->tail, &head, &tail); /* nobody else is at `head` */
}

static inline __attribute__((always_inline)) void write_sized(struct peer_reader *readers, size_t size)
{
    size_t batch = (size_t)peer_batch;
    for (uint64_t written = 0; written < (uint64_t)peer_items;) {
        size_t count = peer_number_events(written);
        if (batch == 1)
            enqueue_each(readers, written, count, size);
        for (size_t done = 0; batch > 1 && done < count; done += batch)
            for (int64_t r = 0; r < peer_readers; r++)
                enqueue_batch(readers[r].queue, written + done, peer_events + done * size,
                              count - done < batch ? count - done : batch, size);
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

/* -------------------------------------------------------------------------------------------------------------- main */

static void open_all(struct peer_reader *readers)
{
    for (int64_t i = 0; i < peer_readers; i++) {
        struct queue *queue = readers[i].queue = bench_memory(1, sizeof *queue);
        queue->items = bench_memory((size_t)peer_ring, sizeof(struct item) + (size_t)peer_payload);
        __cds_wfcq_init(&queue->head, &queue->tail);
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
    static const struct peer wfcqueue = {
        .name = "wfcqueue",
        .question = "how many items a second go through wait-free queues of liburcu?",
        .batches = true,
        .open = open_all,
        .write = write_all,
        .read = read_all,
        .close = close_all,
    };
    return peer_main(argc, argv, &wfcqueue);
}
