/*
 * How fast are events of the bus read: a cached snapshot, until the first event and until the last; the same events from a
 * plain buffer; and live ones, of one subject or of many that one thread follows through a poller?
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aether/bus.h"
#include "common.h"

static int64_t events = 100000, starts = 200, subjects = 1000, live = 2000000;

static aether_bus *bus;

static aether_status make(aether_snapshot *snapshot, const char *pattern, uint64_t *index, void *user)
{
    (void)pattern;
    (void)user;
    *index = aether_bus_newest(bus).index;
    char data[32] = "a value of 32 bytes, or so ....";
    for (int64_t i = 0; i < events; i++) {
        char subject[32];
        snprintf(subject, sizeof subject, "s.%" PRId64, i);
        aether_event event = {.subject = subject, .type = "Value", .data = aether_bytes(data, sizeof data)};
        aether_status status = aether_snapshot_append(snapshot, &event, 1);
        if (status != AETHER_OK)
            return status;
    }
    return AETHER_OK;
}

/* From subscribe to the first event, and to the end mark. */
static void watch(uint64_t *first_ns, uint64_t *all_ns)
{
    aether_event run[64];
    size_t count;
    uint64_t begin_ns = bench_now_ns(), seen = 0;
    aether_subscription *sub = bench_handle(
        aether_subscribe(bus, "s.*", &(aether_subscribe_options){.begin = AETHER_BEGIN_SNAPSHOT}), "aether_subscribe");
    bench_ok(aether_next_run(sub, run, 1, &count, AETHER_NO_WAIT), "aether_next_run");
    *first_ns = bench_now_ns() - begin_ns;
    for (seen = count; run[count - 1].kind != AETHER_EVENT_SNAPSHOT_END; seen += count)
        bench_ok(aether_next_run(sub, run, 64, &count, AETHER_NO_WAIT), "aether_next_run");
    *all_ns = bench_now_ns() - begin_ns;
    if (seen != (uint64_t)events + 1)
        bench_fail("%" PRIu64 " events instead of %" PRId64, seen, events + 1);
    aether_subscription_close(sub);
}

/* As many items of the same size in a buffer, read in runs. */
static uint64_t read_buffer(void)
{
    static const char item[112];
    aether_buffer *buffer =
        bench_handle(aether_buffer_create(&(aether_buffer_options){.retain_bytes = UINT64_MAX}), "aether_buffer_create");
    for (int64_t i = 0; i < events; i++)
        bench_ok(aether_append(buffer, item, sizeof item), "aether_append");
    aether_cursor *cursor = bench_handle(aether_cursor_open(buffer, AETHER_FROM_OLDEST), "aether_cursor_open");
    aether_item run[64];
    size_t count;
    uint64_t begin_ns = bench_now_ns();
    for (int64_t seen = 0; seen < events; seen += (int64_t)count)
        bench_ok(aether_cursor_run(cursor, run, 64, &count, AETHER_NO_WAIT), "aether_cursor_run");
    uint64_t took_ns = bench_now_ns() - begin_ns;
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
    return took_ns;
}

/* ---------------------------------------------------------------------------------------------------------------- live */

static aether_topic **topics;
static aether_subscription **subs;

static void *publish_live(void *argument)
{
    int64_t of = *(const int64_t *)argument;
    char data[32] = {0};
    aether_event event = {.type = "Value", .type_size = 5, .data = aether_bytes(data, sizeof data)};
    bench_pin(0);
    for (int64_t i = 0; i < live; i++)
        bench_ok(aether_topic_publish(topics[i % of], &event), "aether_topic_publish");
    return NULL;
}

/* `of` subjects, each with a subscription, all in one poller. */
static uint64_t read_live(int64_t of)
{
    aether_poller *poller = bench_handle(aether_poller_create(NULL), "aether_poller_create");
    topics = bench_memory((size_t)of, sizeof *topics);
    subs = bench_memory((size_t)of, sizeof *subs);
    for (int64_t i = 0; i < of; i++) {
        char subject[32];
        snprintf(subject, sizeof subject, "live.%" PRId64, i);
        topics[i] = bench_handle(aether_topic_open(bus, subject), "aether_topic_open");
        subs[i] = bench_handle(aether_subscribe(bus, subject, &(aether_subscribe_options){.on_limit = AETHER_WAIT}),
                               "aether_subscribe");
        bench_ok(aether_poller_add_subscription(poller, subs[i], subs[i]), "aether_poller_add_subscription");
    }
    pthread_t thread;
    uint64_t begin_ns = bench_now_ns();
    if (pthread_create(&thread, NULL, publish_live, &of) != 0)
        bench_fail("cannot start a thread");
    bench_pin(1);
    for (int64_t seen = 0; seen < live;) {
        aether_ready ready[256];
        size_t count, taken;
        bench_ok(aether_poller_wait(poller, ready, 256, &count, AETHER_FOREVER), "aether_poller_wait");
        for (size_t i = 0; i < count; i++) {
            aether_event run[64];
            while (aether_next_run(ready[i].user, run, 64, &taken, AETHER_NO_WAIT) == AETHER_OK)
                seen += (int64_t)taken;
        }
    }
    uint64_t took_ns = bench_now_ns() - begin_ns;
    pthread_join(thread, NULL);
    for (int64_t i = 0; i < of; i++) {
        aether_subscription_close(subs[i]);
        aether_topic_close(topics[i]);
    }
    aether_poller_destroy(poller);
    free(topics);
    free(subs);
    return took_ns;
}

int main(int argc, char **argv)
{
    const struct bench_option options[] = {
        {.name = "events", .number = &events, .help = "events in the snapshot"},
        {.name = "starts", .number = &starts, .help = "watchers, one after another"},
        {.name = "subjects", .number = &subjects, .help = "subjects that one thread follows"},
        {.name = "live", .number = &live, .help = "events published to them"},
        {0},
    };
    bench_options(argc, argv, "how fast are events of the bus read?", options);
    if (bench_smoke)
        events = 1000, starts = 5, subjects = 20, live = 5000;
    bus = bench_handle(aether_bus_create(NULL), "aether_bus_create");
    bench_ok(
        aether_bus_handle_snapshots(bus, ">", &(aether_snapshot_handler){.make = make, .cache_ns = AETHER_SECONDS(1000)}),
        "aether_bus_handle_snapshots");
    uint64_t *first_ns = bench_memory((size_t)starts, sizeof *first_ns),
             *all_ns = bench_memory((size_t)starts, sizeof *all_ns);
    uint64_t *buffer_ns = bench_memory(7, sizeof *buffer_ns);
    watch(&first_ns[0], &all_ns[0]); /* makes it */
    aether_subscription *keeps = bench_handle(aether_subscribe(bus, "s.*", NULL), "aether_subscribe");
    for (int64_t i = 0; i < starts; i++)
        watch(&first_ns[i], &all_ns[i]);
    for (int i = 0; i < 7; i++)
        buffer_ns[i] = read_buffer();
    uint64_t one_ns = read_live(1), many_ns = read_live(subjects);
    aether_bus_stats stats;
    bench_ok(aether_bus_get_stats(bus, &stats), "aether_bus_get_stats");
    aether_subscription_close(keeps);
    aether_bus_destroy(bus);

    bench_begin("bus_read");
    bench_count("events", (uint64_t)events);
    bench_count("starts", (uint64_t)starts);
    bench_count("subjects", (uint64_t)subjects);
    bench_measured();
    bench_count("first_p50_ns", bench_quantile(first_ns, (size_t)starts, 0.5));
    bench_real("snapshot_ns_per_event", (double)bench_quantile(all_ns, (size_t)starts, 0.5) / (double)events);
    bench_real("buffer_ns_per_item", (double)bench_quantile(buffer_ns, 7, 0.5) / (double)events);
    bench_real("one_subject_m_per_s", (double)live * 1e3 / (double)one_ns);
    bench_real("many_subjects_m_per_s", (double)live * 1e3 / (double)many_ns);
    bench_count("snapshots_made", stats.snapshots_made);
    bench_count("lost", stats.snapshots_made != 1);
    bench_end();
    free(first_ns);
    free(all_ns);
    free(buffer_ns);
    return stats.snapshots_made != 1;
}
