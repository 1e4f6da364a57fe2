/*
 * ZeroMQ inside a process: PUSH and PULL with one reader, and with more a PUB that waits for its slowest SUB instead of
 * leaving messages out (ZMQ_XPUB_NODROP). The high-water marks of the two ends add up to --ring. A message of 32 bytes
 * stands in its zmq_msg_t, a longer one is allocated and shared by the readers, as ZeroMQ does it. Both ends wait inside its
 * calls.
 */
#include "peer.h"

#include <zmq.h>

static void *context, *writer;

/* Fails with ZeroMQ's own words where a call failed. */
static inline int ok(int result, const char *what)
{
    if (__builtin_expect(result < 0, 0))
        bench_fail("%s: %s", what, zmq_strerror(zmq_errno()));
    return result;
}

static void *open_socket(int type, int mark, int half)
{
    void *socket = zmq_socket(context, type);
    if (socket == NULL)
        bench_fail("zmq_socket: %s", zmq_strerror(zmq_errno()));
    ok(zmq_setsockopt(socket, mark, &half, sizeof half), "the high-water mark");
    return socket;
}

/* Returns when all readers' subscriptions have come: what is sent earlier would not be for them. */
static void await_subscriptions(void)
{
    char subscription[8];
    for (int64_t i = 0; i < peer_readers; i++)
        ok(zmq_recv(writer, subscription, sizeof subscription, 0), "zmq_recv");
}

static void open_all(struct peer_reader *readers)
{
    bool single = peer_readers == 1;
    int half = (int)peer_ring / 2, yes = 1;
    context = zmq_ctx_new();
    ok(zmq_ctx_set(context, ZMQ_IO_THREADS, 0), "zmq_ctx_set"); /* they would serve other processes */
    writer = open_socket(single ? ZMQ_PUSH : ZMQ_XPUB, ZMQ_SNDHWM, half);
    if (!single) {
        ok(zmq_setsockopt(writer, ZMQ_XPUB_NODROP, &yes, sizeof yes), "ZMQ_XPUB_NODROP");
        ok(zmq_setsockopt(writer, ZMQ_XPUB_VERBOSE, &yes, sizeof yes), "ZMQ_XPUB_VERBOSE"); /* tells every subscription */
    }
    ok(zmq_bind(writer, "inproc://bench"), "zmq_bind");
    for (int64_t i = 0; i < peer_readers; i++) {
        readers[i].queue = open_socket(single ? ZMQ_PULL : ZMQ_SUB, ZMQ_RCVHWM, half);
        ok(zmq_connect(readers[i].queue, "inproc://bench"), "zmq_connect");
        if (!single)
            ok(zmq_setsockopt(readers[i].queue, ZMQ_SUBSCRIBE, "", 0), "ZMQ_SUBSCRIBE");
    }
    if (!single)
        await_subscriptions();
}

static uint64_t read_all(struct peer_reader *reader)
{
    uint64_t total = (uint64_t)peer_items, read = 0;
    zmq_msg_t message;
    ok(zmq_msg_init(&message), "zmq_msg_init");
    while (read < total) {
        ok(zmq_msg_recv(&message, reader->queue, 0), "zmq_msg_recv");
        peer_check(zmq_msg_data(&message), read++);
    }
    zmq_msg_close(&message);
    return read;
}

static void write_all(struct peer_reader *readers)
{
    (void)readers;
    size_t size = (size_t)peer_payload;
    for (uint64_t written = 0; written < (uint64_t)peer_items;) {
        size_t count = peer_number_events(written);
        for (size_t i = 0; i < count; i++)
            ok(zmq_send(writer, peer_events + i * size, size, 0), "zmq_send");
        written += count;
    }
}

static void close_all(struct peer_reader *readers)
{
    for (int64_t i = 0; i < peer_readers; i++)
        zmq_close(readers[i].queue);
    zmq_close(writer);
    zmq_ctx_term(context);
}

int main(int argc, char **argv)
{
    static const struct peer zeromq = {
        .name = "zeromq",
        .question = "how many items a second go through ZeroMQ inside a process?",
        .open = open_all,
        .write = write_all,
        .read = read_all,
        .close = close_all,
    };
    return peer_main(argc, argv, &zeromq);
}
