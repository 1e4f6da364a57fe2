/*
 * nng inside a process: PUB and SUB, which with one reader too go faster than PUSH and PULL or a PAIR. A PUB leaves out what
 * a reader has no room for, so the readers tell their progress and the writer keeps within --ring, for which both ends have
 * room. Each message is allocated and copied into, and the reader frees it. Both ends wait inside nng's calls; it has
 * threads of its own, which are left to the scheduler.
 */
#include "peer.h"

#include <nng/nng.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>
#include <nng/supplemental/util/platform.h>
#include <stdlib.h>

enum { RING_MAX = 8192 }; /* the longest queue that nng allows */

static const char address[] = "inproc://bench";
static nng_socket writer;
static _Atomic int64_t pipes; /* readers that the writer's socket is connected to */

/* A reader's socket. */
struct queue {
    _Alignas(128) _Atomic uint64_t done; /* items read, a multiple of the step */
    _Alignas(128) nng_socket socket;
};

/* Fails with nng's own words where a call failed. */
static inline void ok(int error, const char *what)
{
    if (__builtin_expect(error != 0, 0))
        bench_fail("%s: %s", what, nng_strerror(error));
}

static void connected(nng_pipe pipe, nng_pipe_ev event, void *argument)
{
    (void)pipe, (void)event, (void)argument;
    atomic_fetch_add(&pipes, 1);
}

static void open_all(struct peer_reader *readers)
{
    if (peer_ring > RING_MAX)
        bench_fail("--ring: nng knows queues of up to %d messages", RING_MAX);
    ok(nng_pub0_open(&writer), "nng_pub0_open");
    ok(nng_socket_set_int(writer, NNG_OPT_SENDBUF, (int)peer_ring), "NNG_OPT_SENDBUF");
    ok(nng_pipe_notify(writer, NNG_PIPE_EV_ADD_POST, connected, NULL), "nng_pipe_notify");
    ok(nng_listen(writer, address, NULL, 0), "nng_listen");
    for (int64_t i = 0; i < peer_readers; i++) {
        struct queue *queue = readers[i].queue = bench_memory(1, sizeof *queue);
        ok(nng_sub0_open(&queue->socket), "nng_sub0_open");
        ok(nng_socket_set_int(queue->socket, NNG_OPT_RECVBUF, (int)peer_ring), "NNG_OPT_RECVBUF");
        ok(nng_socket_set(queue->socket, NNG_OPT_SUB_SUBSCRIBE, "", 0), "NNG_OPT_SUB_SUBSCRIBE");
        ok(nng_dial(queue->socket, address, NULL, 0), "nng_dial");
    }
    while (atomic_load(&pipes) < peer_readers)
        nng_msleep(1);
}

static uint64_t read_all(struct peer_reader *reader)
{
    struct queue *queue = reader->queue;
    uint64_t total = (uint64_t)peer_items, read = 0, step = peer_step();
    while (read < total) {
        nng_msg *message;
        ok(nng_recvmsg(queue->socket, &message, 0), "nng_recvmsg");
        peer_check(nng_msg_body(message), read++);
        nng_msg_free(message);
        if (read % step == 0)
            atomic_store_explicit(&queue->done, read, memory_order_release);
    }
    return read;
}

/* Returns when no reader is --ring or more behind. */
static void wait_for_readers(struct peer_reader *readers, uint64_t written)
{
    uint32_t looks = 0;
    for (int64_t r = 0; r < peer_readers; r++) {
        struct queue *queue = readers[r].queue;
        while (written - atomic_load_explicit(&queue->done, memory_order_acquire) > (uint64_t)peer_ring - PEER_BLOCK)
            peer_look_again(&looks);
    }
}

static void write_all(struct peer_reader *readers)
{
    size_t size = (size_t)peer_payload;
    for (uint64_t written = 0; written < (uint64_t)peer_items;) {
        wait_for_readers(readers, written);
        size_t count = peer_number_events(written);
        for (size_t i = 0; i < count; i++) {
            nng_msg *message;
            ok(nng_msg_alloc(&message, size), "nng_msg_alloc");
            memcpy(nng_msg_body(message), peer_events + i * size, size);
            ok(nng_sendmsg(writer, message, 0), "nng_sendmsg");
        }
        written += count;
    }
}

static void close_all(struct peer_reader *readers)
{
    for (int64_t i = 0; i < peer_readers; i++) {
        struct queue *queue = readers[i].queue;
        nng_close(queue->socket);
        free(queue);
    }
    nng_close(writer);
}

int main(int argc, char **argv)
{
    static const struct peer nng = {
        .name = "nng",
        .question = "how many items a second go through nng inside a process?",
        .open = open_all,
        .write = write_all,
        .read = read_all,
        .close = close_all,
    };
    return peer_main(argc, argv, &nng);
}
