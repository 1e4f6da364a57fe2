/*
 * The herd: a thousand watchers of one key start at once, while a writer publishes every millisecond. The handler runs once,
 * and each watcher gets the snapshot, then every later value: no gap, no repeat.
 */
#include <string.h>

#include "aether/aether.h"
#include "common/stress_memory.h"
#include "common/stress_run.h"

enum {
    WATCHERS = 1000,
    THREADS = 4,
    EACH = WATCHERS / THREADS,
    LIVE = 10,
    PERIOD_NS = 1000 * 1000,
    NAP_NS = 3 * 1000 * 1000
};

struct watcher {
    aether_subscription *sub;
    uint64_t value; /* the last one seen; 0: none */
    uint32_t live;  /* events behind the snapshot */
    bool complete;
};

static struct {
    aether_bus *bus;
    pthread_barrier_t start;
    uint64_t over;        /* atomic */
    uint64_t runs;        /* atomic; of the handler */
    pthread_mutex_t lock; /* of the value, and of publishing */
    uint64_t value;
} world;

static struct stress_memory memory;
static uint64_t delivered, rounds;

static void *write_often(void *argument)
{
    (void)argument;
    while (stress_get(&world.over) == 0) {
        pthread_mutex_lock(&world.lock);
        world.value++;
        STRESS_EXPECT(aether_publish(world.bus, "key",
                                     AETHER_EVENT(.data = aether_bytes(&world.value, sizeof world.value))) == AETHER_OK);
        pthread_mutex_unlock(&world.lock);
        stress_nap(PERIOD_NS);
    }
    return NULL;
}

/* The state, some time after it was read. */
static aether_status make(aether_snapshot *snapshot, const char *pattern, uint64_t *index, void *user)
{
    (void)user;
    stress_add(&world.runs, 1);
    pthread_mutex_lock(&world.lock);
    uint64_t value = world.value;
    *index = aether_bus_newest(world.bus).index;
    pthread_mutex_unlock(&world.lock);
    stress_nap(NAP_NS);
    return aether_snapshot_append(snapshot, AETHER_EVENT(.subject = pattern, .data = aether_bytes(&value, sizeof value)), 1);
}

static void take(struct watcher *watcher, const aether_event *event)
{
    uint64_t value = 0;
    if (event->data.size == sizeof value)
        memcpy(&value, event->data.data, sizeof value);
    if (event->kind == AETHER_EVENT_SNAPSHOT_END) {
        STRESS_EXPECT(!watcher->complete && watcher->value == event->index); /* value n has index n */
        watcher->complete = true;
        return;
    }
    if (event->kind == AETHER_EVENT_SNAPSHOT) {
        STRESS_EXPECT(!watcher->complete && watcher->value == 0);
    } else {
        STRESS_EXPECT(event->kind == AETHER_EVENT_LIVE && watcher->complete && value == watcher->value + 1);
        STRESS_EXPECT(event->index == value);
        watcher->live++;
    }
    watcher->value = value;
    stress_add(&delivered, 1);
}

/* EACH watchers in one thread, through one poller. */
static void *watch(void *argument)
{
    struct watcher *watchers = argument;
    aether_poller *poller = aether_poller_create(&memory.allocator);
    STRESS_EXPECT(poller != NULL);
    pthread_barrier_wait(&world.start);
    for (int i = 0; i < EACH; i++) {
        watchers[i].sub = aether_subscribe(world.bus, "key", &(aether_subscribe_options){.begin = AETHER_BEGIN_SNAPSHOT});
        STRESS_EXPECT(watchers[i].sub != NULL);
        STRESS_EXPECT(aether_poller_add_subscription(poller, watchers[i].sub, &watchers[i]) == AETHER_OK);
    }
    for (int done = 0; done < EACH;) {
        aether_ready ready[64];
        size_t count;
        aether_status status = aether_poller_wait(poller, ready, 64, &count, AETHER_SECONDS(20));
        if (status != AETHER_OK)
            stress_fail("nothing came for 20 s: %s", aether_status_text(status));
        for (size_t i = 0; i < count; i++) {
            struct watcher *watcher = ready[i].user;
            aether_event event;
            while (watcher->live < LIVE && (status = aether_next(watcher->sub, &event, AETHER_NO_WAIT)) == AETHER_OK) {
                take(watcher, &event);
                if (watcher->live == LIVE) {
                    STRESS_EXPECT(aether_poller_remove_subscription(poller, watcher->sub) == AETHER_OK);
                    done++;
                }
            }
            STRESS_EXPECT(status == AETHER_OK || status == AETHER_EMPTY);
        }
    }
    for (int i = 0; i < EACH; i++) {
        aether_subscription_stats stats;
        STRESS_EXPECT(aether_subscription_get_stats(watchers[i].sub, &stats) == AETHER_OK);
        STRESS_EXPECT(stats.snapshots == 1 && stats.lagged == 0 && stats.delivered == LIVE);
        STRESS_EXPECT(stats.published == stats.delivered + stats.below_watermark + stats.pending);
        aether_subscription_close(watchers[i].sub);
    }
    aether_poller_destroy(poller);
    return NULL;
}

static void play(bool on_pool)
{
    static struct watcher watchers[WATCHERS];
    memset(watchers, 0, sizeof watchers);
    memset(&world, 0, sizeof world);
    pthread_mutex_init(&world.lock, NULL);
    pthread_barrier_init(&world.start, NULL, THREADS);
    world.bus = aether_bus_create(&(aether_bus_options){.allocator = &memory.allocator});
    STRESS_EXPECT(world.bus != NULL);
    aether_snapshot_handler handler = {.make = make, .cache_ns = AETHER_SECONDS(60), .on_pool = on_pool};
    STRESS_EXPECT(aether_bus_handle_snapshots(world.bus, "*", &handler) == AETHER_OK);
    pthread_t threads[THREADS + 1];
    stress_spawn(&threads[THREADS], write_often, NULL);
    for (int i = 0; i < THREADS; i++)
        stress_spawn(&threads[i], watch, &watchers[i * EACH]);
    stress_join(threads, THREADS);
    stress_set(&world.over, 1);
    stress_join(&threads[THREADS], 1);
    STRESS_EXPECT(stress_get(&world.runs) == 1);
    aether_bus_stats stats;
    STRESS_EXPECT(aether_bus_get_stats(world.bus, &stats) == AETHER_OK);
    STRESS_EXPECT(stats.snapshots_made == 1 && stats.snapshots_shared == WATCHERS - 1 && stats.subscriptions == 0);
    aether_bus_destroy(world.bus);
    pthread_barrier_destroy(&world.start);
    pthread_mutex_destroy(&world.lock);
}

int main(int argc, char **argv)
{
    stress_begin(argc, argv, "bus_herd");
    stress_memory_begin(&memory);
    stress_clock_start();
    for (; !stress_over(); rounds++)
        play(rounds % 2 == 0);
    stress_memory_expect_none(&memory);
    STRESS_EXPECT(delivered >= rounds * WATCHERS);
    return stress_end("%llu herds of %d watchers, %llu events delivered, one handler run each", (unsigned long long)rounds,
                      WATCHERS, (unsigned long long)delivered);
}
