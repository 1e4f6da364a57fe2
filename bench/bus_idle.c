/*
 * What do subscriptions cost that have nothing to read: memory, and a publisher that finds thousands of them waiting through
 * pollers?
 *
 * `--subscriptions` of one pattern, or of a pattern each, wait in one poller. Memory is what the allocator was asked for,
 * and has not been given back. Publishes come one at a time, each when all that wait have read the one before and wait
 * again; their time is that inside the call.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aether/bus.h"
#include "common.h"

static int64_t subscriptions = 10000, publishes = 200, topics = 10000;
static bool each_its_own;
static atomic_uint_fast64_t bytes;
static aether_poller *poller;
static _Atomic uint64_t seen, rests;

static void *count_alloc(size_t size, size_t align, void *user)
{
    (void)user;
    atomic_fetch_add(&bytes, size);
    return aligned_alloc(align < 16 ? 16 : align, (size + (align < 16 ? 16 : align) - 1) & ~((align < 16 ? 16 : align) - 1));
}

static void count_free(void *memory, size_t size, size_t align, void *user)
{
    (void)align;
    (void)user;
    atomic_fetch_sub(&bytes, size);
    free(memory);
}

static void *wait_for_all(void *argument)
{
    uint64_t wanted = (uint64_t)(uintptr_t)argument, count_of_all = 0;
    bench_pin(1);
    while (count_of_all < wanted) {
        aether_ready ready[256];
        size_t count;
        aether_status status = aether_poller_wait(poller, ready, 256, &count, AETHER_NO_WAIT);
        if (status == AETHER_EMPTY) { /* armed: all of them */
            atomic_fetch_add(&rests, 1);
            status = aether_poller_wait(poller, ready, 256, &count, AETHER_FOREVER);
        }
        bench_ok(status, "aether_poller_wait");
        for (size_t i = 0; i < count; i++) {
            aether_event event;
            while ((status = aether_next(ready[i].user, &event, AETHER_NO_WAIT)) == AETHER_OK)
                count_of_all++;
            if (status != AETHER_EMPTY)
                bench_fail("aether_next: %s", aether_status_text(status));
        }
        atomic_store(&seen, count_of_all);
    }
    return NULL;
}

/* Until the poller has found all of them empty once more. */
static void await_rest(uint64_t wanted)
{
    while (atomic_load(&seen) < wanted)
        sched_yield();
    uint64_t before = atomic_load(&rests);
    while (atomic_load(&rests) == before && wanted != 0 && atomic_load(&rests) < 1)
        sched_yield();
    uint64_t until = bench_now_ns() + 200000; /* it goes to sleep */
    while (bench_now_ns() < until)
        sched_yield();
}

int main(int argc, char **argv)
{
    const struct bench_option options[] = {
        {.name = "subscriptions", .number = &subscriptions, .help = "how many wait"},
        {.name = "publishes", .number = &publishes, .help = "how often they are woken"},
        {.name = "topics", .number = &topics, .help = "idle topics, for their memory"},
        {.name = "patterns", .flag = &each_its_own, .help = "a pattern for each"},
        {0},
    };
    bench_options(argc, argv, "what do subscriptions cost that have nothing to read?", options);
    if (bench_smoke)
        subscriptions = 100, publishes = 5, topics = 100;
    aether_allocator allocator = {count_alloc, count_free, NULL};
    aether_bus *bus = bench_handle(aether_bus_create(&(aether_bus_options){.allocator = &allocator}), "aether_bus_create");
    uint64_t empty = bytes;
    aether_topic **handles = bench_memory((size_t)topics, sizeof *handles);
    char name[64];
    for (int64_t i = 0; i < topics; i++) {
        snprintf(name, sizeof name, "sensor.%05" PRId64 ".temperature", i);
        handles[i] = bench_handle(aether_topic_open(bus, name), "aether_topic_open");
    }
    uint64_t topic_bytes = bytes - empty;
    uint64_t before = bytes;
    aether_subscription **subs = bench_memory((size_t)subscriptions, sizeof *subs);
    for (int64_t i = 0; i < subscriptions; i++) {
        snprintf(name, sizeof name, "%s.%05" PRId64 ".>", "sensor", each_its_own ? i : 0);
        subs[i] = bench_handle(aether_subscribe(bus, name, NULL), "aether_subscribe");
    }
    uint64_t subscription_bytes = bytes - before;
    poller = bench_handle(aether_poller_create(&allocator), "aether_poller_create");
    for (int64_t i = 0; i < subscriptions; i++)
        bench_ok(aether_poller_add_subscription(poller, subs[i], subs[i]), "aether_poller_add_subscription");
    uint64_t *took = bench_memory((size_t)publishes, sizeof *took);
    uint64_t woken = each_its_own ? 1 : (uint64_t)subscriptions;
    pthread_t thread;
    if (pthread_create(&thread, NULL, wait_for_all, (void *)(uintptr_t)(woken * (uint64_t)publishes)) != 0)
        bench_fail("cannot start a thread");
    bench_pin(0);
    for (int64_t i = 0; i < publishes; i++) {
        await_rest(woken * (uint64_t)i);
        snprintf(name, sizeof name, "sensor.%05" PRId64 ".temperature", each_its_own ? i % subscriptions : 0);
        uint64_t begin_ns = bench_now_ns();
        bench_ok(aether_publish(bus, name, AETHER_EVENT(.type = "Changed")), "aether_publish");
        took[i] = bench_now_ns() - begin_ns;
    }
    pthread_join(thread, NULL);
    uint64_t lost = woken * (uint64_t)publishes - seen;
    for (int64_t i = 0; i < subscriptions; i++)
        aether_subscription_close(subs[i]);
    for (int64_t i = 0; i < topics; i++)
        aether_topic_close(handles[i]);
    aether_poller_destroy(poller);
    aether_bus_destroy(bus);
    aether_memory_drain();
    free(subs);
    free(handles);

    bench_begin("bus_idle");
    bench_count("subscriptions", (uint64_t)subscriptions);
    bench_text("patterns", each_its_own ? "each" : "one");
    bench_count("publishes", (uint64_t)publishes);
    bench_measured();
    bench_count("publish_p50_ns", bench_quantile(took, (size_t)publishes, 0.5));
    bench_count("publish_p99_ns", bench_quantile(took, (size_t)publishes, 0.99));
    bench_real("subscription_bytes", (double)subscription_bytes / (double)subscriptions);
    bench_real("topic_bytes", (double)topic_bytes / (double)topics);
    bench_count("lost", lost);
    bench_end();
    free(took);
    return lost != 0;
}
