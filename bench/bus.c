/*
 * What does a publish on the bus cost: through a handle or by subject, by one thread or two, alone or in batches, followed
 * by nobody, by one who reads along, or by many at rest; while others subscribe and unsubscribe?
 *
 * Publishers are pinned to processors 0 (and 1), the reader, if there is one, to the last. A reader that reads along has a
 * limit with AETHER_WAIT, so that nothing is lost and no more is unread than with the other competitors; it checks that no
 * event is missing. Subscribers at rest read nothing while they are measured, and have no limit.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aether/bus.h"
#include "common.h"

enum { PUBLISHERS_MOST = 4, BATCH_MOST = 64, PAYLOAD_MOST = 4096 };

static int64_t items = 10000000, publishers = 1, batch = 1, payload = 32, resting = 0, churn = 0;
static bool by_subject, reads;

struct payload {
    uint64_t publisher, number;
};

static aether_bus *bus;
static aether_topic *topic;
static atomic_bool over;
static uint64_t received, churned;
static pthread_barrier_t start;

static void publish(const aether_event *events, size_t count)
{
    aether_status status;
    if (count == 1)
        status = by_subject ? aether_publish(bus, "orders.eu.42", events) : aether_topic_publish(topic, events);
    else
        status = by_subject ? aether_publish_batch(bus, events, count) : aether_topic_publish_batch(topic, events, count);
    bench_ok(status, "publish");
}

static void *publish_all(void *argument)
{
    uint64_t publisher = (uint64_t)(uintptr_t)argument;
    static _Thread_local unsigned char bytes[BATCH_MOST][PAYLOAD_MOST];
    aether_event events[BATCH_MOST];
    bench_pin((int)publisher);
    for (int64_t i = 0; i < batch; i++)
        events[i] = (aether_event){
            .subject = "orders.eu.42", .type = "Paid", .type_size = 4, .data = aether_bytes(bytes[i], (size_t)payload)};
    pthread_barrier_wait(&start);
    for (uint64_t number = 0; number < (uint64_t)(items / publishers);) {
        for (int64_t i = 0; i < batch; i++) {
            struct payload tells = {publisher, ++number};
            memcpy(bytes[i], &tells, sizeof tells);
        }
        publish(events, (size_t)batch);
    }
    return NULL;
}

static void *read_all(void *argument)
{
    aether_event events[64];
    size_t count;
    uint64_t last[PUBLISHERS_MOST] = {0}, wanted = (uint64_t)(items / publishers) * (uint64_t)publishers;
    bench_pin((int)sysconf(_SC_NPROCESSORS_ONLN) - 1);
    while (received < wanted) {
        bench_ok(aether_next_run(argument, events, 64, &count, AETHER_FOREVER), "aether_next_run");
        for (size_t i = 0; i < count; i++) {
            struct payload tells;
            memcpy(&tells, events[i].data.data, sizeof tells);
            if (tells.number != ++last[tells.publisher])
                bench_fail("event %" PRIu64 " instead of %" PRIu64, tells.number, last[tells.publisher]);
        }
        received += count;
    }
    return NULL;
}

/* Subscriptions come and go, `churn` a second. */
static void *come_and_go(void *argument)
{
    (void)argument;
    uint64_t next = bench_now_ns(), period = UINT64_C(1000000000) / (uint64_t)churn;
    while (!atomic_load(&over)) {
        aether_subscription_close(bench_handle(aether_subscribe(bus, "orders.*.42", NULL), "aether_subscribe"));
        churned++;
        next += period;
        while (bench_now_ns() < next && !atomic_load(&over))
            sched_yield();
    }
    return NULL;
}

static void spawn(pthread_t *thread, void *(*body)(void *), void *argument)
{
    if (pthread_create(thread, NULL, body, argument) != 0)
        bench_fail("cannot start a thread");
}

int main(int argc, char **argv)
{
    const struct bench_option options[] = {
        {.name = "items", .number = &items, .help = "events to publish"},
        {.name = "publishers", .number = &publishers, .help = "threads that publish, up to 4"},
        {.name = "batch", .number = &batch, .help = "events in a batch, up to 64"},
        {.name = "payload", .number = &payload, .help = "bytes of data, 16 to 4096"},
        {.name = "resting", .number = &resting, .help = "subscriptions of one pattern that do not read"},
        {.name = "churn", .number = &churn, .help = "subscriptions that come and go, a second"},
        {.name = "by-subject", .flag = &by_subject, .help = "without a handle"},
        {.name = "reads", .flag = &reads, .help = "one subscription reads along"},
        {0},
    };
    bench_options(argc, argv, "what does a publish cost?", options);
    if (publishers < 1 || publishers > PUBLISHERS_MOST || batch < 1 || batch > BATCH_MOST || payload < 16 ||
        payload > PAYLOAD_MOST)
        bench_fail("an option is out of its range");
    if (bench_smoke)
        items = 20000;
    items -= items % (publishers * batch);
    bus = bench_handle(aether_bus_create(NULL), "aether_bus_create");
    topic = bench_handle(aether_topic_open(bus, "orders.eu.42"), "aether_topic_open");
    aether_subscription **rest = bench_memory((size_t)resting + 1, sizeof *rest);
    for (int64_t i = 0; i < resting; i++)
        rest[i] = bench_handle(
            aether_subscribe(bus, "orders.>", &(aether_subscribe_options){.limit_bytes = AETHER_UNLIMITED}), "subscribe");
    pthread_barrier_init(&start, NULL, (unsigned)publishers + 1);
    pthread_t threads[PUBLISHERS_MOST], reader, churner;
    aether_subscription *reading = NULL;
    if (reads) {
        aether_subscribe_options wait = {.on_limit = AETHER_WAIT, .limit_bytes = BENCH_BOUND_BYTES};
        reading = bench_handle(aether_subscribe(bus, "orders.>", &wait), "aether_subscribe");
        spawn(&reader, read_all, reading);
    }
    if (churn > 0)
        spawn(&churner, come_and_go, NULL);
    for (int64_t i = 0; i < publishers; i++)
        spawn(&threads[i], publish_all, (void *)(uintptr_t)i);
    pthread_barrier_wait(&start);
    uint64_t begin_ns = bench_now_ns();
    for (int64_t i = 0; i < publishers; i++)
        pthread_join(threads[i], NULL);
    uint64_t took_ns = bench_now_ns() - begin_ns;
    if (reads) {
        pthread_join(reader, NULL);
        took_ns = bench_now_ns() - begin_ns;
    }
    atomic_store(&over, true);
    if (churn > 0)
        pthread_join(churner, NULL);
    aether_bus_stats stats;
    bench_ok(aether_bus_get_stats(bus, &stats), "aether_bus_get_stats");
    aether_subscription_close(reading);
    for (int64_t i = 0; i < resting; i++)
        aether_subscription_close(rest[i]);
    aether_topic_close(topic);
    aether_bus_destroy(bus);
    free(rest);

    uint64_t lost = (uint64_t)items - stats.published + (reads ? (uint64_t)items - received : 0);
    bench_begin("bus");
    bench_text("way", by_subject ? "subject" : "handle");
    bench_count("publishers", (uint64_t)publishers);
    bench_count("batch", (uint64_t)batch);
    bench_count("payload", (uint64_t)payload);
    bench_count("resting", (uint64_t)resting);
    bench_count("reads", reads);
    bench_count("churn", (uint64_t)churn);
    bench_count("items", (uint64_t)items);
    bench_measured();
    bench_real("rate_m_per_s", (double)items * 1e3 / (double)took_ns);
    bench_real("ns", (double)took_ns / (double)items);
    bench_count("combined", stats.combined);
    bench_count("churned", churned);
    bench_count("lost", lost);
    bench_end();
    return lost != 0;
}
