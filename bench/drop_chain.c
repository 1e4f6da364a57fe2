/*
 * How long does the writer's longest append take after a chain of 10 million items was dropped?
 *
 * A cursor that reads nothing holds --items items; then a thread on processor 1 closes it while the writer on processor 0
 * goes on appending, and takes the time of each append, from the close on until --after appends are done and the close is
 * over. The same number of appends is timed before, when nothing is dropped: what is long there is the machine's, not the
 * chain's. longest leaves out appends during which the scheduler put the writer aside for another thread; longest_any does
 * not.
 */
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>

#include "aether/inline.h"
#include "common.h"

enum { PAYLOAD = 32 };

static int64_t items = 10000000, after = 1000000;

static uint64_t number;
static _Alignas(128) _Atomic int phase; /* 1: close now; 2: closed */
static uint64_t close_ns;               /* how long the close took; published by `phase` */

/* ------------------------------------------------------------------------------------------------------------- close */

static void *close_when_told(void *argument)
{
    aether_cursor *cursor = argument;
    bench_pin(1);
    while (atomic_load_explicit(&phase, memory_order_acquire) == 0)
        sched_yield();
    uint64_t begin_ns = bench_now_ns();
    aether_cursor_close(cursor);
    close_ns = bench_now_ns() - begin_ns;
    atomic_store_explicit(&phase, 2, memory_order_release);
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------- write */

static void append_next(aether_buffer *buffer)
{
    unsigned char event[PAYLOAD] = {0};
    number++;
    memcpy(event, &number, sizeof number);
    bench_ok(aether_append(buffer, event, sizeof event), "aether_append");
}

/* The longest of many appends. */
struct longest {
    uint64_t ns;           /* of those during which the scheduler did not put the writer aside */
    uint64_t any_ns;       /* of all */
    long switches, before; /* how often it did, in all; what its count was before the append that is looked at */
};

/* Above this an append is worth asking the scheduler. */
enum { WORTH_ASKING_NS = 5000 };

static long involuntary_switches(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nivcsw;
}

static void look_at(struct longest *longest, uint64_t took_ns)
{
    if (took_ns > longest->any_ns)
        longest->any_ns = took_ns;
    if (took_ns <= longest->ns)
        return;
    long switches = took_ns < WORTH_ASKING_NS ? 0 : involuntary_switches() - longest->before;
    if (switches == 0)
        longest->ns = took_ns;
    longest->before += switches;
    longest->switches += switches;
}

/* Times `count` appends, and goes on until `phase` is at least `until`. */
static struct longest longest_append(aether_buffer *buffer, int64_t count, int until)
{
    struct longest longest = {.before = involuntary_switches()};
    uint64_t before_ns = bench_now_ns(); /* no gap between the appends' times: what happens there would be nobody's */
    for (int64_t i = 0; i < count || atomic_load_explicit(&phase, memory_order_acquire) < until; i++) {
        append_next(buffer);
        uint64_t now_ns = bench_now_ns();
        look_at(&longest, now_ns - before_ns);
        before_ns = now_ns;
    }
    longest.switches += involuntary_switches() - longest.before;
    return longest;
}

/* -------------------------------------------------------------------------------------------------------------- main */

int main(int argc, char **argv)
{
    const struct bench_option options[] = {
        {.name = "items", .number = &items, .help = "items that the slow cursor holds"},
        {.name = "after", .number = &after, .help = "appends that are timed from the close on, at least"},
        {0},
    };
    bench_options(argc, argv, "how long is the writer's longest append after a long chain was dropped?", options);
    if (bench_smoke) {
        items = 100000;
        after = 10000;
    }
    aether_buffer *buffer = bench_handle(aether_buffer_create(NULL), "aether_buffer_create");
    aether_cursor *slow = bench_handle(aether_cursor_open(buffer, AETHER_FROM_NEXT), "aether_cursor_open");
    pthread_t closer;
    if (pthread_create(&closer, NULL, close_when_told, slow) != 0)
        bench_fail("cannot start a thread");
    bench_pin(0);
    struct longest warm = longest_append(buffer, after, 0);
    while (number < (uint64_t)items)
        append_next(buffer);
    aether_buffer_stats held;
    bench_ok(aether_buffer_get_stats(buffer, &held), "aether_buffer_get_stats");
    atomic_store_explicit(&phase, 1, memory_order_release);
    struct longest dropped = longest_append(buffer, after, 2);
    pthread_join(closer, NULL);
    uint64_t lost = number - aether_buffer_newest(buffer).index;
    aether_buffer_destroy(buffer);

    bench_begin("drop_chain");
    bench_count("payload", PAYLOAD);
    bench_count("items", (uint64_t)items);
    bench_count("after", (uint64_t)after);
    bench_measured();
    bench_count("segments", held.in_use_segments);
    bench_real("longest_before_us", (double)warm.ns / 1e3);
    bench_real("longest_any_before_us", (double)warm.any_ns / 1e3);
    bench_count("switches_before", (uint64_t)warm.switches);
    bench_real("longest_after_us", (double)dropped.ns / 1e3);
    bench_real("longest_any_after_us", (double)dropped.any_ns / 1e3);
    bench_count("switches_after", (uint64_t)dropped.switches);
    bench_real("close_us", (double)close_ns / 1e3);
    bench_count("lost", lost);
    bench_end();
    return lost != 0;
}
