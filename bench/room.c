/*
 * What does a writer cost that waits for a slow reader (AETHER_WAIT)?
 *
 * The reader takes --work-ns for each item, on processor 1; the writer, on processor 0, appends as fast as it may. Once the
 * limit is reached it runs at the reader's rate, and what it costs is its own processor time, measured from then on.
 */
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "aether/buffer.h"
#include "common.h"

enum { PAYLOAD = 32 };

static int64_t items = 500000, limit_bytes = 1024 * 1024, work_ns = 5000;
static uint64_t read_ns, read_items, warm_items;

static void *read_slowly(void *argument)
{
    bench_pin(1);
    for (uint64_t number = 1; number <= (uint64_t)items; number++) {
        aether_item item;
        bench_ok(aether_cursor_next(argument, &item, AETHER_FOREVER), "aether_cursor_next");
        if (memcmp(item.data, &number, sizeof number) != 0)
            bench_fail("the reader wanted item %" PRIu64, number);
        uint64_t until = bench_now_ns() + (uint64_t)work_ns;
        while (bench_now_ns() < until)
            BENCH_RELAX();
        read_items++;
    }
    read_ns = bench_now_ns();
    return NULL;
}

static uint64_t processor_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

int main(int argc, char **argv)
{
    const struct bench_option options[] = {
        {.name = "items", .number = &items, .help = "items to write"},
        {.name = "limit-bytes", .number = &limit_bytes, .help = "how much the reader may leave unread"},
        {.name = "work-ns", .number = &work_ns, .help = "how long the reader takes for each item"},
        {0},
    };
    bench_options(argc, argv, "what does a writer cost that waits for a slow reader?", options);
    if (bench_smoke)
        items = 60000;
    aether_buffer *buffer = bench_handle(aether_buffer_create(NULL), "aether_buffer_create");
    aether_cursor_options wait = {.on_limit = AETHER_WAIT, .limit_bytes = (uint64_t)limit_bytes, .label = "slow"};
    aether_cursor *cursor = bench_handle(aether_cursor_open_with(buffer, &wait), "aether_cursor_open_with");
    pthread_t thread;
    if (pthread_create(&thread, NULL, read_slowly, cursor) != 0)
        bench_fail("cannot start a thread");
    bench_pin(0);
    warm_items = 2 * (uint64_t)limit_bytes / PAYLOAD < (uint64_t)items / 2 ? 2 * (uint64_t)limit_bytes / PAYLOAD : 0;
    uint64_t begin_ns = bench_now_ns(), used_ns = processor_ns();
    for (uint64_t number = 1; number <= (uint64_t)items; number++) {
        unsigned char event[PAYLOAD] = {0};
        memcpy(event, &number, sizeof number);
        if (number == warm_items + 1) {
            begin_ns = bench_now_ns();
            used_ns = processor_ns();
        }
        bench_ok(aether_append(buffer, event, sizeof event), "aether_append");
    }
    uint64_t took_ns = bench_now_ns() - begin_ns, processor = processor_ns() - used_ns;
    aether_buffer_stats stats;
    bench_ok(aether_buffer_get_stats(buffer, &stats), "aether_buffer_get_stats");
    pthread_join(thread, NULL);
    uint64_t lost = (uint64_t)items - read_items;
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);

    bench_begin("room");
    bench_count("items", (uint64_t)items);
    bench_count("limit_bytes", (uint64_t)limit_bytes);
    bench_count("work_ns", (uint64_t)work_ns);
    bench_measured();
    bench_real("writer_m_per_s", (double)((uint64_t)items - warm_items) * 1e3 / (double)took_ns);
    bench_real("processor_percent", 100 * (double)processor / (double)took_ns);
    bench_count("waits", stats.room_waits);
    bench_count("lost", lost);
    bench_end();
    return lost != 0;
}
