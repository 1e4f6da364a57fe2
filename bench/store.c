/*
 * How many events a second does a store save and load? `threads` save batches of `batch` events with data of `payload`
 * bytes, each for 1,000 actors in turn; then all events are replayed, one actor with 1,000 events is, and latest versions
 * are asked for.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aether/sqlite.h"
#include "aether/store.h"
#include "common.h"

enum { ACTORS = 1000, BATCH_MOST = 1000, LONG_ACTOR = 1000 };

static const char *kind = "memory";
static int64_t events = 1000000, threads = 1, batch = 1, payload = 200;
static aether_store *store;
static char *data;

static void *save(void *user)
{
    int64_t number = (int64_t)(intptr_t)user;
    aether_event *saved = bench_memory(BATCH_MOST, sizeof *saved);
    char actor[40];
    for (int64_t i = 0; i < batch; i++)
        saved[i] = (aether_event){.actor = actor, .type = "Measured", .data = aether_bytes(data, (size_t)payload)};
    for (int64_t done = 0; done < events / threads; done += batch) {
        snprintf(actor, sizeof actor, "bench-%" PRId64 "-%" PRId64, number, done / batch % ACTORS);
        bench_ok(aether_save_batch(store, saved, (size_t)batch, NULL, NULL), "aether_save_batch");
    }
    free(saved);
    return NULL;
}

static double save_all(void)
{
    pthread_t *running = bench_memory((size_t)threads, sizeof *running);
    uint64_t begin = bench_now_ns();
    for (int64_t i = 0; i < threads; i++)
        if (pthread_create(&running[i], NULL, save, (void *)(intptr_t)i) != 0)
            bench_fail("cannot start a thread");
    for (int64_t i = 0; i < threads; i++)
        pthread_join(running[i], NULL);
    double seconds = (double)(bench_now_ns() - begin) / 1e9;
    free(running);
    return seconds;
}

static uint64_t drain(aether_replay *replay)
{
    aether_event event;
    aether_status status;
    uint64_t count = 0;
    while ((status = aether_replay_next(replay, &event, AETHER_NO_WAIT)) == AETHER_OK)
        count++;
    if (status != AETHER_ENDED)
        bench_fail("aether_replay_next: %s", aether_error());
    aether_replay_close(replay);
    return count;
}

/* The median time to load one actor's 1,000 events. */
static uint64_t load_one(void)
{
    enum { ROUNDS = 51 };
    uint64_t took[ROUNDS];
    aether_event *saved = bench_memory(LONG_ACTOR, sizeof *saved);
    for (int i = 0; i < LONG_ACTOR; i++)
        saved[i] = (aether_event){.actor = "long", .type = "Measured", .data = aether_bytes(data, (size_t)payload)};
    for (int i = 0; i < LONG_ACTOR; i += 10) /* not side by side, but spread over the store */
        bench_ok(aether_save_batch(store, saved, 10, NULL, NULL), "aether_save_batch");
    free(saved);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t begin = bench_now_ns();
        if (drain(bench_handle(aether_load(store, "long", NULL), "aether_load")) != LONG_ACTOR)
            bench_fail("events of an actor are missing");
        took[i] = bench_now_ns() - begin;
    }
    return bench_quantile(took, ROUNDS, 0.5);
}

static double latest_ns(bool cached, int64_t count)
{
    char actor[40];
    int64_t version;
    snprintf(actor, sizeof actor, "bench-0-0");
    bench_ok(aether_latest(store, actor, &version), "aether_latest");
    uint64_t begin = bench_now_ns();
    for (int64_t i = 0; i < count; i++) {
        if (!cached)
            snprintf(actor, sizeof actor, "bench-0-%" PRId64, i % ACTORS);
        bench_ok(aether_latest(store, actor, &version), "aether_latest");
    }
    return (double)(bench_now_ns() - begin) / (double)count;
}

int main(int argc, char **argv)
{
    const struct bench_option options[] = {{.name = "store", .text = &kind, .help = "memory or sqlite"},
                                           {.name = "events", .number = &events, .help = "to save"},
                                           {.name = "threads", .number = &threads, .help = "that save"},
                                           {.name = "batch", .number = &batch, .help = "events of a save"},
                                           {.name = "payload", .number = &payload, .help = "bytes of data"},
                                           {.name = NULL}};
    bench_options(argc, argv, "How many events a second does a store save and load?", options);
    if (bench_smoke)
        events = 200 * threads;
    if (batch < 1 || batch > BATCH_MOST || threads < 1 || payload < 0)
        bench_fail("batch has to be from 1 to %d, threads from 1, payload from 0", BATCH_MOST);
    data = bench_memory(1, (size_t)payload + 1);
    memset(data, 'x', (size_t)payload);
    char directory[] = "/tmp/aether-bench-XXXXXX", url[80] = "memory:";
    bool is_file = strcmp(kind, "sqlite") == 0;
    if (is_file) {
        if (mkdtemp(directory) == NULL)
            bench_fail("cannot make a directory in /tmp");
        snprintf(url, sizeof url, "sqlite:%s/store.db", directory);
        bench_ok(aether_store_use(aether_sqlite_driver()), "aether_store_use");
    }
    store = bench_handle(aether_store_open(url, NULL), "aether_store_open");
    if (!is_file) {
        (void)save_all();
        aether_store_close(store);
        store = bench_handle(aether_store_open(url, NULL), "aether_store_open");
    }
    double seconds = save_all();
    aether_store_stats stats;
    bench_ok(aether_store_get_stats(store, &stats), "aether_store_get_stats");
    uint64_t begin = bench_now_ns();
    uint64_t loaded = drain(bench_handle(aether_load_all(store, NULL), "aether_load_all"));
    double load_seconds = (double)(bench_now_ns() - begin) / 1e9;
    uint64_t one_actor = load_one();
    double cached = latest_ns(true, bench_smoke ? 10 : 1000000);
    aether_store_close(store);
    store = bench_handle(aether_store_open(is_file ? url : "memory:", NULL), "aether_store_open");
    double uncached = latest_ns(false, ACTORS);
    aether_store_close(store);
    if (is_file) {
        char command[100];
        snprintf(command, sizeof command, "rm -r %s", directory);
        if (system(command) != 0) /* NOLINT(cert-env33-c): the name is ours */
            bench_fail("cannot remove %s", directory);
    }
    bench_begin("store");
    bench_text("store", kind);
    bench_count("threads", (uint64_t)threads);
    bench_count("batch", (uint64_t)batch);
    bench_count("payload", (uint64_t)payload);
    bench_count("events", stats.saved_events);
    bench_measured();
    bench_real("saved_per_s", (double)stats.saved_events / seconds);
    bench_real("saves_per_commit", (double)stats.saves / (double)stats.commits);
    bench_real("loaded_m_per_s", (double)loaded / load_seconds / 1e6);
    bench_real("actor_1000_us", (double)one_actor / 1e3);
    bench_real("latest_cached_ns", cached);
    bench_real("latest_uncached_ns", uncached);
    bench_count("lost", stats.saved_events - loaded);
    bench_end();
    free(data);
    return loaded != stats.saved_events;
}
