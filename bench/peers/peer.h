/*
 * What the peers of bench/throughput.c that are written in C share: the options, the threads, the check of every item, and
 * the line of result.
 *
 * A peer hands a struct peer to peer_main(), which opens it, starts the readers, writes in the calling thread, joins, and
 * prints. It hands every reader the same payloads by value, each of which begins with its number, as for aether; what is
 * unread is bounded by --ring, which may not stand for more than the bytes that aether's readers may leave unread. With one
 * reader the writer is on processor 0 and the reader on processor 1; more readers are left to the scheduler.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "../common.h"

enum { PEER_READERS_MAX = 64, PEER_BLOCK = 64 };

/* The options. The payload has 8, 32 or 256 bytes, so that a peer can have copies of each size compiled in. */
extern int64_t peer_readers, peer_batch, peer_payload, peer_ring, peer_items, peer_spins;

/* A reader, in lines of its own. */
struct peer_reader {
    _Alignas(128) void *queue; /* the peer's: what only this reader reads */
    pthread_t thread;
    uint64_t end_ns; /* when its last item was read */
    uint64_t read;   /* items that carried the number that was due */
};

/* A peer. Each function is called once, read() once in each reader's thread. */
struct peer {
    const char *name; /* as the line of result says it */
    const char *question;
    bool batches;                                 /* it knows --batch */
    void (*open)(struct peer_reader *readers);    /* fills in the queues */
    void (*write)(struct peer_reader *readers);   /* writes peer_items items to all readers */
    uint64_t (*read)(struct peer_reader *reader); /* reads as many and returns how many there were */
    void (*close)(struct peer_reader *readers);
};

/* Does it all. Returns the program's exit status. */
int peer_main(int argc, char **argv, const struct peer *peer);

/* The events that are due next, one after another. They are numbered a block ahead, as for aether. */
extern unsigned char *peer_events;

/* Numbers the events after the first `written`: as many as it returns, at most PEER_BLOCK. */
size_t peer_number_events(uint64_t written);

/* The item after the first `read` begins with its number, or the program ends. */
static inline void peer_check(const void *payload, uint64_t read)
{
    uint64_t number;
    memcpy(&number, payload, sizeof number);
    if (__builtin_expect(number != read + 1, 0))
        bench_fail("a reader wanted item %" PRIu64 " and got %" PRIu64, read + 1, number);
}

/* How often a reader that has to tells its progress, in items: a power of two, and several times before the ring is full. */
static inline uint64_t peer_step(void)
{
    uint64_t quarter = (uint64_t)peer_ring / 4;
    return quarter < BENCH_STEP ? quarter : BENCH_STEP;
}

/* One more look at a queue that was full or empty. */
static inline void peer_look_again(uint32_t *looks)
{
    bench_look_again(looks, (uint32_t)peer_spins);
}

#endif
