/*
 * How many items a second go from one writer to its readers?
 *
 * Every reader checks that every item carries the next number. What is unread is bounded: each reader tells its progress
 * every 1,024 items, and the writer, which looks as often, lets nobody fall further behind than --bound-bytes.
 *
 *  --api inline: aether_inline_append() and aether_inline_next(), with the payload's size known when compiling
 *  --api plain:  aether_append() and aether_cursor_next()
 *  --batch N:    aether_inline_append_array() and aether_append_array()
 *  --limit NAME: none, or lap, wait, refuse: cursors with a limit of 16 MiB, which the bound keeps out of reach
 *  --run N:      plain readers take runs of up to N: aether_cursor_run(); as many as --batch unless it is given
 *
 * rate counts from the first append to the last reader's last item, append_rate to the writer's last append. With at most
 * one reader the writer is on processor 0 and the reader on processor 1; more readers are left to the scheduler.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "aether/inline.h"
#include "common.h"

enum { BATCH_MAX = 1024, PAYLOAD_MAX = 4096, SPINS = 100, LIMIT_BYTES = 16 * 1024 * 1024 };

static int64_t readers = 1, batch = 1, run_length, payload = 32, items = 20000000, bound_bytes = BENCH_BOUND_BYTES;
static const char *api = "inline", *limit = "none";
static bool is_inline;
static uint64_t total;

static struct bench_progress *progress;
static pthread_barrier_t start;

/* ----------------------------------------------------------------------------------------------------------- reading */

/* A reader, in lines of its own. */
struct reader {
    _Alignas(128) aether_cursor *cursor;
    struct bench_progress *progress;
    pthread_t thread;
    uint64_t read;   /* items that carried the number that was due */
    uint64_t end_ns; /* when the last one was read */
};

static inline void check(struct reader *reader, const aether_item *item)
{
    uint64_t number;
    memcpy(&number, item->data, sizeof number);
    if (__builtin_expect(number != reader->read + 1 || item->size != (size_t)payload, 0))
        bench_fail("a reader wanted item %" PRIu64 " and got %" PRIu64, reader->read + 1, number);
    reader->read++;
    bench_progress_tell(reader->progress, reader->read);
}

static void read_inline(struct reader *reader)
{
    aether_item item;
    for (;;) {
        while (aether_inline_next(reader->cursor, &item))
            check(reader, &item);
        if (reader->read == total)
            break;
        bench_ok(aether_cursor_next(reader->cursor, &item, AETHER_FOREVER), "aether_cursor_next");
        check(reader, &item);
    }
}

static void read_plain(struct reader *reader)
{
    aether_item item;
    while (reader->read < total) {
        bench_ok(aether_cursor_next(reader->cursor, &item, AETHER_FOREVER), "aether_cursor_next");
        check(reader, &item);
    }
}

static void read_runs(struct reader *reader)
{
    aether_item run[BATCH_MAX];
    while (reader->read < total) {
        size_t count;
        bench_ok(aether_cursor_run(reader->cursor, run, (size_t)run_length, &count, AETHER_FOREVER), "aether_cursor_run");
        for (size_t i = 0; i < count; i++)
            check(reader, &run[i]);
    }
}

static void *read_all(void *argument)
{
    struct reader *shared = argument;
    struct reader reader = *shared; /* a copy that the compiler can keep in registers */
    if (readers == 1)
        bench_pin(1);
    pthread_barrier_wait(&start);
    if (is_inline)
        read_inline(&reader);
    else if (run_length == 1)
        read_plain(&reader);
    else
        read_runs(&reader);
    shared->end_ns = bench_now_ns();
    shared->read = reader.read;
    aether_cursor_close(reader.cursor);
    return NULL;
}

/* ----------------------------------------------------------------------------------------------------------- writing */

/*
 * The events as a program would hold them: one after another, each beginning with its number. They are numbered a block
 * ahead, because a copy right behind a narrower store of the same bytes waits for that store, and it is the append that is
 * measured.
 */
enum { BLOCK = 64 };
static unsigned char *events;

static void number_events(uint64_t first, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t number = first + i;
        memcpy(events + i * (size_t)payload, &number, sizeof number);
    }
}

/* Inlined with a constant size: so does the program that wants the highest rate. */
static inline __attribute__((always_inline)) void append_inline(aether_buffer *buffer, size_t count, size_t size)
{
    const unsigned char *event = events;
    for (size_t i = 0; i < count; i++, event += size)
        bench_ok(aether_inline_append(buffer, event, size), "aether_inline_append");
}

static inline __attribute__((always_inline)) void append_sized(aether_buffer *buffer, size_t count, size_t size)
{
    if (batch == 1)
        append_inline(buffer, count, size);
    else
        bench_ok(aether_inline_append_array(buffer, events, size, count), "aether_inline_append_array");
}

static void append_inline_sized(aether_buffer *buffer, size_t count)
{
    switch (payload) {
    case 8:
        append_sized(buffer, count, 8);
        break;
    case 32:
        append_sized(buffer, count, 32);
        break;
    case 256:
        append_sized(buffer, count, 256);
        break;
    default:
        append_sized(buffer, count, (size_t)payload);
    }
}

static void append_plain(aether_buffer *buffer, size_t count)
{
    const unsigned char *event = events;
    for (size_t i = 0; i < count; i++, event += payload)
        bench_ok(aether_append(buffer, event, (size_t)payload), "aether_append");
}

static void write_all(aether_buffer *buffer)
{
    uint64_t bound = bench_bound(bound_bytes, (size_t)payload), block = batch > 1 ? (uint64_t)batch : BLOCK;
    for (uint64_t written = 0; written < total;) {
        if (written % BENCH_STEP < block)
            bench_progress_wait(progress, (size_t)readers, written, bound, SPINS);
        size_t count = (size_t)(total - written < block ? total - written : block);
        number_events(written + 1, count);
        if (is_inline)
            append_inline_sized(buffer, count);
        else if (batch > 1)
            bench_ok(aether_append_array(buffer, events, (size_t)payload, count), "aether_append_array");
        else
            append_plain(buffer, count);
        written += count;
    }
}

/* -------------------------------------------------------------------------------------------------------------- main */

static void configure(int argc, char **argv)
{
    const struct bench_option options[] = {
        {.name = "api", .text = &api, .help = "inline or plain"},
        {.name = "limit", .text = &limit, .help = "none, lap, wait or refuse"},
        {.name = "readers", .number = &readers, .help = "how many readers"},
        {.name = "batch", .number = &batch, .help = "items per append, 1 to 1024"},
        {.name = "run", .number = &run_length, .help = "items that a plain reader takes at once, 1 to 1024; 0: --batch"},
        {.name = "payload", .number = &payload, .help = "bytes per item, 8 to 4096 by 8"},
        {.name = "items", .number = &items, .help = "items to write"},
        {.name = "bound-bytes", .number = &bound_bytes, .help = "how much a reader may leave unread"},
        {0},
    };
    bench_options(argc, argv, "how many items a second go from one writer to its readers?", options);
    is_inline = strcmp(api, "inline") == 0;
    if (!is_inline && strcmp(api, "plain") != 0)
        bench_fail("--api %s: inline or plain", api);
    if (run_length == 0 || is_inline)
        run_length = batch;
    if (batch < 1 || batch > BATCH_MAX || run_length > BATCH_MAX || payload < 8 || payload > PAYLOAD_MAX ||
        payload % 8 != 0 || readers > 1000 || items < 1)
        bench_fail("--batch, --run, --payload, --readers or --items is out of its range (--help)");
    if (bench_smoke)
        items = 20000;
    total = (uint64_t)items;
}

static aether_cursor *open_cursor(aether_buffer *buffer)
{
    static const char *const names[] = {"none", "lap", "wait", "refuse"}; /* in the order of aether_on_limit */
    aether_on_limit on_limit = 0;
    while (strcmp(limit, names[on_limit]) != 0)
        if (++on_limit > AETHER_REFUSE)
            bench_fail("--limit %s: none, lap, wait or refuse", limit);
    aether_cursor_options options = {.start = AETHER_FROM_NEXT, .on_limit = on_limit};
    options.limit_bytes = on_limit == 0 ? AETHER_UNLIMITED : LIMIT_BYTES;
    return bench_handle(aether_cursor_open_with(buffer, &options), "aether_cursor_open_with");
}

int main(int argc, char **argv)
{
    configure(argc, argv);
    aether_buffer *buffer = bench_handle(aether_buffer_create(NULL), "aether_buffer_create");
    progress = bench_memory((size_t)readers, sizeof *progress);
    events = bench_memory(BATCH_MAX, (size_t)payload);
    struct reader *reader = bench_memory((size_t)readers, sizeof *reader);
    pthread_barrier_init(&start, NULL, (unsigned)readers + 1);
    for (int64_t i = 0; i < readers; i++) {
        reader[i].cursor = open_cursor(buffer);
        reader[i].progress = &progress[i];
        if (pthread_create(&reader[i].thread, NULL, read_all, &reader[i]) != 0)
            bench_fail("cannot start a thread");
    }
    if (readers <= 1)
        bench_pin(0);
    pthread_barrier_wait(&start);
    uint64_t begin_ns = bench_now_ns();
    write_all(buffer);
    uint64_t written_ns = bench_now_ns(), end_ns = written_ns;
    uint64_t lost = total - aether_buffer_newest(buffer).index;
    for (int64_t i = 0; i < readers; i++) {
        pthread_join(reader[i].thread, NULL);
        lost += total - reader[i].read;
        if (reader[i].end_ns > end_ns)
            end_ns = reader[i].end_ns;
    }
    aether_buffer_destroy(buffer);

    bench_begin("throughput");
    bench_text("api", api);
    bench_count("readers", (uint64_t)readers);
    bench_count("batch", (uint64_t)batch);
    if (!is_inline)
        bench_count("run", (uint64_t)run_length);
    bench_text("limit", limit);
    bench_count("payload", (uint64_t)payload);
    bench_count("items", total);
    bench_count("bound_bytes", (uint64_t)bound_bytes);
    bench_measured();
    bench_real("rate_m_per_s", (double)total * 1e3 / (double)(end_ns - begin_ns));
    bench_real("append_rate_m_per_s", (double)total * 1e3 / (double)(written_ns - begin_ns));
    bench_count("lost", lost);
    bench_end();
    pthread_barrier_destroy(&start);
    free(reader);
    free(progress);
    free(events);
    return lost != 0;
}
