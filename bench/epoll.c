/*
 * How long does it take from an append until an epoll loop runs that waits for it?
 *
 * Two lanes as in wake.c, each with an event loop on processor 1 and a writer on processor 0: a poller's descriptor, with
 * the calls that read the item and make it unreadable again, and a bare eventfd that is written and read. The loop takes the
 * time first thing when epoll_wait() returns.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "aether/aether.h"
#include "common.h"

enum { LANES = 2, BLOCK = 50, SPINS = 20000 };

static int64_t samples = 2000, gap_us = 60;

struct lane {
    _Alignas(128) _Atomic uint64_t seen; /* messages that the loop has got */
    uint64_t woke_ns;                    /* when epoll_wait() returned; published by `seen` */
    int fd;                              /* of the bare lane */
    aether_buffer *buffer;
    aether_cursor *cursor;
    uint64_t *latency_ns;
    uint64_t sent, lost;
};

static struct lane *lanes;

static int watch(int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    int loop = epoll_create1(EPOLL_CLOEXEC);
    if (loop < 0 || fd < 0 || epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event) != 0)
        bench_fail("no epoll: %s", aether_error());
    return loop;
}

static uint64_t wait_for(int loop)
{
    struct epoll_event event;
    while (epoll_wait(loop, &event, 1, -1) != 1)
        ;
    return bench_now_ns();
}

static void *loop_with_poller(void *argument)
{
    struct lane *lane = argument;
    bench_pin(1);
    aether_poller *poller = bench_handle(aether_poller_create(NULL), "aether_poller_create");
    bench_ok(aether_poller_add(poller, lane->cursor, NULL), "aether_poller_add");
    int loop = watch(aether_poller_fd(poller));
    for (uint64_t message = 0; message < (uint64_t)samples;) {
        uint64_t woke_ns = wait_for(loop);
        aether_ready ready;
        size_t count;
        while (aether_poller_wait(poller, &ready, 1, &count, AETHER_NO_WAIT) == AETHER_OK) {
            aether_item item;
            while (aether_cursor_next(ready.cursor, &item, AETHER_NO_WAIT) == AETHER_OK) {
                message++;
                lane->lost += memcmp(item.data, &message, sizeof message) != 0;
                lane->woke_ns = woke_ns;
            }
        }
        atomic_store_explicit(&lane->seen, message, memory_order_release);
    }
    close(loop);
    aether_poller_destroy(poller);
    return NULL;
}

static void *loop_with_eventfd(void *argument)
{
    struct lane *lane = argument;
    bench_pin(1);
    int loop = watch(lane->fd);
    for (uint64_t message = 0; message < (uint64_t)samples; message++) {
        uint64_t woke_ns = wait_for(loop), count;
        lane->lost += read(lane->fd, &count, sizeof count) != sizeof count || count != 1;
        lane->woke_ns = woke_ns;
        atomic_store_explicit(&lane->seen, message + 1, memory_order_release);
    }
    close(loop);
    return NULL;
}

static void sample(struct lane *lane)
{
    static const uint64_t one = 1;
    uint64_t message = ++lane->sent, until = bench_now_ns() + (uint64_t)gap_us * 1000;
    while (bench_now_ns() < until)
        BENCH_RELAX();
    uint64_t begin_ns = bench_now_ns();
    if (lane->buffer != NULL)
        bench_ok(aether_append(lane->buffer, &message, sizeof message), "aether_append");
    else if (write(lane->fd, &one, sizeof one) != sizeof one)
        bench_fail("the eventfd takes no write");
    uint32_t looks = 0;
    while (atomic_load_explicit(&lane->seen, memory_order_acquire) != message)
        bench_look_again(&looks, SPINS);
    lane->latency_ns[message - 1] = lane->woke_ns - begin_ns;
}

int main(int argc, char **argv)
{
    const struct bench_option options[] = {
        {.name = "samples", .number = &samples, .help = "messages in each lane"},
        {.name = "gap-us", .number = &gap_us, .help = "how long the writer waits before each"},
        {0},
    };
    bench_options(argc, argv, "how long from an append until an epoll loop runs?", options);
    if (bench_smoke)
        samples = 100;
    lanes = bench_memory(LANES, sizeof *lanes);
    for (int i = 0; i < LANES; i++)
        lanes[i].latency_ns = bench_memory((size_t)samples, sizeof(uint64_t));
    struct lane *aether = &lanes[0], *bare = &lanes[1];
    aether->buffer = bench_handle(aether_buffer_create(NULL), "aether_buffer_create");
    aether->cursor = bench_handle(aether_cursor_open(aether->buffer, AETHER_FROM_NEXT), "aether_cursor_open");
    bare->fd = eventfd(0, EFD_CLOEXEC);
    pthread_t threads[LANES];
    if (pthread_create(&threads[0], NULL, loop_with_poller, aether) != 0 ||
        pthread_create(&threads[1], NULL, loop_with_eventfd, bare) != 0)
        bench_fail("cannot start a thread");
    bench_pin(0);
    for (int64_t done = 0, round = 0; done < samples; round++) {
        int64_t block = samples - done < BLOCK ? samples - done : BLOCK;
        for (int64_t i = 0; i < LANES; i++)
            for (int64_t k = 0; k < block; k++)
                sample(&lanes[(i + round) % LANES]);
        done += block;
    }
    for (int i = 0; i < LANES; i++)
        pthread_join(threads[i], NULL);
    aether_cursor_close(aether->cursor);
    aether_buffer_destroy(aether->buffer);
    close(bare->fd);

    uint64_t lost = aether->lost + bare->lost;
    bench_begin("epoll");
    bench_count("samples", (uint64_t)samples);
    bench_count("gap_us", (uint64_t)gap_us);
    bench_measured();
    bench_count("aether_p50_ns", bench_quantile(aether->latency_ns, (size_t)samples, 0.5));
    bench_count("aether_p99_ns", bench_quantile(aether->latency_ns, (size_t)samples, 0.99));
    bench_count("eventfd_p50_ns", bench_quantile(bare->latency_ns, (size_t)samples, 0.5));
    bench_count("eventfd_p99_ns", bench_quantile(bare->latency_ns, (size_t)samples, 0.99));
    bench_count("lost", lost);
    bench_end();
    for (int i = 0; i < LANES; i++)
        free(lanes[i].latency_ns);
    free(lanes);
    return lost != 0;
}
