#include "common/stress_store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "aether/state.h"

enum { SAVERS = 3, LOADERS = 2, FOLLOWERS = 2, THREADS = SAVERS + LOADERS + FOLLOWERS, ACTORS = 8, BATCH = 4 };

struct shared {
    aether_store *store;
    uint32_t stops;               /* atomic */
    uint64_t saved;               /* atomic; events */
    int64_t acknowledged[ACTORS]; /* atomic; versions */
    uint64_t ended_at;            /* atomic; the newest index when all savers had ended; 0: they have not */
};

struct worker {
    struct shared *shared;
    pthread_t thread;
    uint64_t seed;
    const char *wrong; /* atomic */
};

static uint64_t draw(struct worker *worker, uint64_t below)
{
    worker->seed ^= worker->seed << 13;
    worker->seed ^= worker->seed >> 7;
    worker->seed ^= worker->seed << 17;
    return worker->seed % below;
}

static uint64_t get(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* Atomic: the main thread looks meanwhile. */
static void set_wrong(struct worker *worker, const char *wrong)
{
    __atomic_store_n(&worker->wrong, wrong, __ATOMIC_RELEASE);
}

static const char *wrong_of(const struct worker *worker)
{
    return __atomic_load_n(&worker->wrong, __ATOMIC_ACQUIRE);
}

static bool is_over(const struct worker *worker)
{
    return __atomic_load_n(&worker->shared->stops, __ATOMIC_ACQUIRE) != 0;
}

static void raise_to(int64_t *word, int64_t value)
{
    int64_t was = __atomic_load_n(word, __ATOMIC_RELAXED);
    while (was < value && !__atomic_compare_exchange_n(word, &was, value, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        ;
}

static const char *const names[ACTORS] = {"a-0", "a-1", "a-2", "a-3", "b-0", "b-1", "b-2", "b-3"};

static void *save(void *user)
{
    struct worker *worker = user;
    struct shared *shared = worker->shared;
    while (!is_over(worker) && wrong_of(worker) == NULL) {
        size_t actor = draw(worker, ACTORS), count = 1 + draw(worker, BATCH);
        aether_event events[BATCH];
        char data[24];
        snprintf(data, sizeof data, "%zu", count);
        for (size_t i = 0; i < count; i++)
            events[i] = (aether_event){.actor = names[actor], .type = i == 0 ? "First" : "Rest", .data = AETHER_TEXT(data)};
        int64_t latest;
        if (aether_latest(shared->store, names[actor], &latest) != AETHER_OK) {
            set_wrong(worker, "latest failed");
            break;
        }
        aether_save_options options = {.expected = draw(worker, 2) == 0 ? 0 : latest != 0 ? latest : AETHER_EXPECT_NONE};
        aether_saved saved;
        aether_status status = aether_save_batch(shared->store, events, count, &options, &saved);
        if (status == AETHER_OK) {
            (void)__atomic_fetch_add(&shared->saved, count, __ATOMIC_RELAXED);
            raise_to(&shared->acknowledged[actor], saved.version);
        } else if (status != AETHER_CONFLICT || options.expected == 0) {
            set_wrong(worker, "a save failed");
        } else if (saved.conflict.current <= latest) {
            set_wrong(worker, "a conflict without anything new");
        }
    }
    return NULL;
}

/* Versions from 1 without a gap, batches whole, and all that was acknowledged before. */
static const char *load_one(struct worker *worker, size_t actor)
{
    struct shared *shared = worker->shared;
    int64_t least = __atomic_load_n(&shared->acknowledged[actor], __ATOMIC_ACQUIRE), version = 0;
    aether_replay *replay = aether_load(shared->store, names[actor], NULL);
    if (replay == NULL)
        return "no replay";
    aether_event event;
    int left = 0;
    const char *wrong = NULL;
    while (wrong == NULL && aether_replay_next(replay, &event, AETHER_NO_WAIT) == AETHER_OK) {
        if (event.version != ++version)
            wrong = "a version is missing";
        if (left == 0 && event.type_size != 5)
            wrong = "a batch has lost its beginning";
        left = left == 0 ? atoi((const char[2]){event.data.data[0], '\0'}) - 1 : left - 1;
    }
    aether_replay_close(replay);
    if (wrong == NULL && left != 0)
        wrong = "a batch has lost its end";
    return wrong == NULL && version < least ? "what was acknowledged is not there" : wrong;
}

static const char *load_states(struct worker *worker, const aether_reducer *reducer, size_t actor)
{
    int64_t least = __atomic_load_n(&worker->shared->acknowledged[actor], __ATOMIC_ACQUIRE);
    aether_state_info info;
    int64_t *sum = aether_state_load(worker->shared->store, names[actor], reducer, &info);
    if (sum == NULL)
        return "no state";
    const char *wrong = *sum == info.version && info.version >= least ? NULL : "a state is not that of its version";
    reducer->destroy(sum, NULL);
    return wrong;
}

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
    (void)event;
    (void)user;
    ++*(int64_t *)state;
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

static const aether_reducer counting = {.name = "count",
                                        .version = 1,
                                        .create = create,
                                        .destroy = destroy,
                                        .apply = apply,
                                        .capture = capture,
                                        .restore = restore};

static void *load(void *user)
{
    struct worker *worker = user;
    while (!is_over(worker) && wrong_of(worker) == NULL) {
        size_t actor = draw(worker, ACTORS);
        set_wrong(worker, draw(worker, 2) == 0 ? load_one(worker, actor) : load_states(worker, &counting, actor));
    }
    return NULL;
}

/* Each position once, from the first to the last. */
static void *follow(void *user)
{
    struct worker *worker = user;
    struct shared *shared = worker->shared;
    aether_replay *replay = aether_load_all(shared->store, &(aether_load_options){.follow = true});
    uint64_t index = 0, end;
    if (replay == NULL)
        set_wrong(worker, "no replay to follow");
    while (wrong_of(worker) == NULL && ((end = get(&shared->ended_at)) == 0 || index < end)) {
        aether_event event;
        aether_status status = aether_replay_next(replay, &event, AETHER_MILLISECONDS(20));
        if (status == AETHER_OK && event.index != ++index)
            set_wrong(worker, "a follower has missed or repeated an event");
        else if (status != AETHER_OK && status != AETHER_TIMEOUT && status != AETHER_EMPTY)
            set_wrong(worker, "a follower was ended");
    }
    aether_replay_close(replay);
    return NULL;
}

static const char *first_wrong(const struct worker *workers)
{
    for (int i = 0; i < THREADS; i++)
        if (wrong_of(&workers[i]) != NULL)
            return wrong_of(&workers[i]);
    return NULL;
}

static const char *check_end(struct shared *shared)
{
    aether_store_stats stats;
    if (aether_store_get_stats(shared->store, &stats) != AETHER_OK || stats.events != shared->saved)
        return "not as many events are there as were acknowledged";
    if (stats.snapshots_failed != 0 || stats.snapshots_set_aside != 0)
        return "a snapshot failed";
    return aether_store_verify(shared->store, NULL, NULL) == AETHER_OK ? NULL : "the store is not sound";
}

const char *stress_store(const char *url, double seconds, uint64_t seed)
{
    static struct worker workers[THREADS];
    struct shared shared = {.store = aether_store_open(url, NULL)};
    if (shared.store == NULL)
        return aether_error();
    aether_snapshot_policy policy = {.every_events = 20};
    if (aether_state_policy(shared.store, "a-", &counting, &policy) != AETHER_OK)
        return aether_error();
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.shared = &shared, .seed = (seed + (uint64_t)i * 0x9e3779b97f4a7c15u) | 1};
        if (pthread_create(&workers[i].thread, NULL,
                           i < SAVERS             ? save
                           : i < SAVERS + LOADERS ? load
                                                  : follow,
                           &workers[i]) != 0)
            return "no thread";
    }
    struct timespec pause = {.tv_nsec = 10000000};
    for (int64_t end = aether_now() + (int64_t)(seconds * 1e9); aether_now() < end && first_wrong(workers) == NULL;)
        (void)nanosleep(&pause, NULL);
    __atomic_store_n(&shared.stops, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < SAVERS + LOADERS; i++)
        pthread_join(workers[i].thread, NULL);
    aether_position newest;
    if (aether_store_newest(shared.store, &newest) != AETHER_OK)
        return aether_error();
    __atomic_store_n(&shared.ended_at, newest.index != 0 ? newest.index : UINT64_MAX, __ATOMIC_RELEASE);
    for (int i = SAVERS + LOADERS; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    if (aether_state_settle(shared.store, AETHER_SECONDS(30)) != AETHER_OK)
        return "the snapshots did not settle";
    const char *wrong = first_wrong(workers);
    if (wrong == NULL)
        wrong = check_end(&shared);
    printf("%llu events\n", (unsigned long long)shared.saved);
    aether_store_close(shared.store);
    return wrong;
}
