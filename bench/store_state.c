/*
 * What do snapshots and following cost and gain? An actor with many events and a snapshot every 100: its state, and a full
 * replay beside it. A follower that catches up with all of the past: until it has the first event saved after. Saves with
 * snapshots made by themselves, and without: the 99th percentile of each.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aether/sqlite.h"
#include "aether/state.h"
#include "common.h"

enum { GROUP = 1000, ROUNDS = 11 };

static const char *kind = "sqlite";
static int64_t events = 1000000, saves = 3000;
static aether_store *store;
static char data[200];

static void *create(void *user)
{
    (void)user;
    return calloc(1, sizeof(int64_t));
}

static void destroy(void *state, void *user)
{
    (void)user;
    free(state);
}

static aether_status apply(void *state, const aether_event *event, void *user)
{
    (void)user;
    *(int64_t *)state += event->version;
    return AETHER_OK;
}

static aether_status capture(const void *state, aether_capture *out, void *user)
{
    (void)user;
    return aether_capture_write(out, state, sizeof(int64_t));
}

static aether_status restore(void *state, aether_text bytes, void *user)
{
    (void)user;
    memcpy(state, bytes.data, sizeof(int64_t));
    return AETHER_OK;
}

static const aether_reducer reducer = {.name = "sum",
                                       .version = 1,
                                       .create = create,
                                       .destroy = destroy,
                                       .apply = apply,
                                       .capture = capture,
                                       .restore = restore};
static const aether_reducer without = {.name = "sum", .version = 1, .create = create, .destroy = destroy, .apply = apply};

static void fill(const char *actor, int64_t count)
{
    static aether_event group[GROUP];
    for (int i = 0; i < GROUP; i++)
        group[i] = (aether_event){.actor = actor, .type = "Measured", .data = {data, sizeof data}};
    for (int64_t done = 0; done < count; done += GROUP)
        bench_ok(aether_save_batch(store, group, (size_t)(count - done < GROUP ? count - done : GROUP), NULL, NULL),
                 "aether_save_batch");
}

static double state_ms(const aether_reducer *by)
{
    aether_state_info info;
    uint64_t begin = bench_now_ns();
    void *state = bench_handle(aether_state_load(store, "long", by, &info), "aether_state_load");
    double ms = (double)(bench_now_ns() - begin) / 1e6;
    by->destroy(state, NULL);
    return ms;
}

/* Follows all of the past; then another thread saves one, and the time is taken until it is here. */
static double catch_up(double *seconds, uint64_t *lost)
{
    aether_replay *replay =
        bench_handle(aether_load_all(store, &(aether_load_options){.follow = true, .mark = true}), "aether_load_all");
    aether_event event;
    uint64_t begin = bench_now_ns(), last = 0;
    do {
        bench_ok(aether_replay_next(replay, &event, AETHER_SECONDS(60)), "aether_replay_next");
        if (event.kind == AETHER_EVENT_LIVE && event.index != ++last)
            bench_fail("position %" PRIu64 " came after %" PRIu64, event.index, last - 1);
    } while (event.kind != AETHER_EVENT_CAUGHT_UP);
    *seconds = (double)(bench_now_ns() - begin) / 1e9;
    *lost = event.index - last;
    uint64_t saved = bench_now_ns();
    bench_ok(aether_save(store, AETHER_EVENT(.actor = "live", .type = "T"), NULL), "aether_save");
    bench_ok(aether_replay_next(replay, &event, AETHER_SECONDS(60)), "aether_replay_next");
    double ms = (double)(bench_now_ns() - saved) / 1e6;
    aether_replay_close(replay);
    return ms;
}

static uint64_t p99(const char *actor)
{
    uint64_t *took = bench_memory((size_t)saves, sizeof *took);
    aether_event event = {.actor = actor, .type = "Measured", .data = {data, sizeof data}};
    for (int64_t i = 0; i < saves; i++) {
        uint64_t begin = bench_now_ns();
        bench_ok(aether_save(store, &event, NULL), "aether_save");
        took[i] = bench_now_ns() - begin;
    }
    uint64_t quantile = bench_quantile(took, (size_t)saves, 0.99);
    free(took);
    return quantile;
}

int main(int argc, char **argv)
{
    const struct bench_option options[] = {{.name = "store", .text = &kind, .help = "memory or sqlite"},
                                           {.name = "events", .number = &events, .help = "of the actor"},
                                           {.name = "saves", .number = &saves, .help = "of a round of single ones"},
                                           {.name = NULL}};
    bench_options(argc, argv, "What do snapshots and following cost and gain?", options);
    if (bench_smoke) {
        events = 500;
        saves = 20;
    }
    char directory[] = "/tmp/aether-bench-XXXXXX", url[80] = "memory:";
    bool is_file = strcmp(kind, "sqlite") == 0;
    if (is_file) {
        if (mkdtemp(directory) == NULL)
            bench_fail("cannot make a directory in /tmp");
        snprintf(url, sizeof url, "sqlite:%s/store.db", directory);
        bench_ok(aether_store_use(aether_sqlite_driver()), "aether_store_use");
    }
    memset(data, 'x', sizeof data);
    store = bench_handle(aether_store_open(url, NULL), "aether_store_open");
    aether_snapshot_policy policy = {.every_events = 100};
    bench_ok(aether_state_policy(store, "long", &reducer, &policy), "aether_state_policy");
    bench_ok(aether_state_policy(store, "with", &reducer, &policy), "aether_state_policy");
    fill("long", events);
    bench_ok(aether_state_settle(store, AETHER_SECONDS(120)), "aether_state_settle");
    fill("long", 50); /* the latest are not in it */
    bench_ok(aether_state_settle(store, AETHER_SECONDS(120)), "aether_state_settle");
    uint64_t lost;
    double with_ms = state_ms(&reducer), full_ms = state_ms(&without), catch_up_s, live_ms = catch_up(&catch_up_s, &lost);
    uint64_t alone[ROUNDS], beside[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        char actor[40];
        snprintf(actor, sizeof actor, "alone-%d", round);
        alone[round] = p99(actor);
        snprintf(actor, sizeof actor, "with-%d", round);
        beside[round] = p99(actor);
        bench_ok(aether_state_settle(store, AETHER_SECONDS(120)), "aether_state_settle");
    }
    aether_store_close(store);
    if (is_file) {
        char command[100];
        snprintf(command, sizeof command, "rm -r %s", directory);
        if (system(command) != 0) /* NOLINT(cert-env33-c): the name is ours */
            bench_fail("cannot remove %s", directory);
    }
    bench_begin("store_state");
    bench_text("store", kind);
    bench_count("events", (uint64_t)events);
    bench_measured();
    bench_real("state_ms", with_ms);
    bench_real("replay_ms", full_ms);
    bench_real("caught_up_s", catch_up_s);
    bench_real("live_ms", live_ms);
    bench_real("p99_alone_us", (double)bench_quantile(alone, ROUNDS, 0.5) / 1e3);
    bench_real("p99_with_snapshots_us", (double)bench_quantile(beside, ROUNDS, 0.5) / 1e3);
    bench_count("lost", lost);
    bench_end();
    return lost != 0;
}
