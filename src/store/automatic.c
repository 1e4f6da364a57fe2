/*
 * Snapshots that are made by themselves (STO7).
 *
 *      save ──note──▶ [counters, one set for each policy] ──due──▶ queue ──▶ the thread: load the state, capture, keep
 *
 * A saver takes a lock for some ten nanoseconds and counts its events in a table that is bounded and may forget: what it
 * counts only decides when the thread looks. Whether a snapshot is made is decided there, by what loading the state has had
 * to replay.
 */
#include <time.h>

#include "base/allocator.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/word.h"
#include "store/state.h"
#include "store/store.h"

enum { QUEUE = 1024, COUNTS = 16384 };

/* What one policy knows of one actor; another actor may take the place. */
struct count {
    uint64_t hash;
    uint64_t events; /* since the last snapshot, as far as is known */
    int64_t version; /* of the last snapshot; 0: not known */
    int64_t made_at; /* the monotonic instant; 0: not known */
};

struct policy {
    struct policy *next;
    aether_snapshot_policy bounds;
    aether_reducer reducer;
    size_t prefix_size;
    struct count *counts;
    char prefix[];
};

struct due {
    struct policy *policy;
    uint64_t hash;
    size_t name_size;
    char name[AETHER_NAME_MAX + 1];
};

struct ae_automatic {
    aether_store *store;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct policy *policies; /* only grows */
    struct due *queue;       /* a ring of QUEUE */
    size_t first, count;
    bool is_busy, stops;
    pthread_t thread;
};

/* ------------------------------------------------------------------------------------------------------------- notes */

static bool covers(const struct policy *policy, aether_text actor)
{
    return policy->prefix_size <= actor.size && memcmp(policy->prefix, actor.data, policy->prefix_size) == 0;
}

static bool is_due(const aether_snapshot_policy *bounds, uint64_t events, int64_t versions, int64_t since)
{
    if (events < bounds->least_events || since < bounds->least_ns)
        return false;
    return (bounds->every_events != 0 && events >= bounds->every_events) ||
           (bounds->every_versions != 0 && versions >= bounds->every_versions);
}

static uint64_t hash_of(aether_text actor)
{
    uint64_t first = actor.size >= 8 ? ae_word_load(actor.data) : ae_word_load_part(actor.data, actor.size);
    return ae_hash_bytes(first, actor.data, actor.size);
}

static struct count *count_of(struct policy *policy, uint64_t hash)
{
    struct count *count = &policy->counts[hash % COUNTS];
    if (count->hash != hash)
        *count = (struct count){.hash = hash};
    return count;
}

static void enqueue(struct ae_automatic *automatic, struct policy *policy, aether_text actor, uint64_t hash)
{
    if (automatic->count == QUEUE)
        return; /* the next save of the actor comes here again: its count stays */
    struct due *due = &automatic->queue[(automatic->first + automatic->count++) % QUEUE];
    due->policy = policy;
    due->hash = hash;
    due->name_size = actor.size;
    memcpy(due->name, actor.data, actor.size);
    due->name[actor.size] = '\0';
    count_of(policy, hash)->events = 0; /* not again before as many have come; the thread puts it right */
    if (automatic->count == 1)
        pthread_cond_broadcast(&automatic->changed);
}

void ae_automatic_note(struct ae_automatic *automatic, aether_text actor, int64_t version, size_t events)
{
    pthread_mutex_lock(&automatic->lock);
    for (struct policy *policy = automatic->policies; policy != NULL; policy = policy->next) {
        if (!covers(policy, actor))
            continue;
        uint64_t hash = hash_of(actor);
        struct count *count = count_of(policy, hash);
        count->events += events;
        if (count->version == 0)
            count->version = version - (int64_t)events > 0 ? version - (int64_t)events : 0;
        int64_t since = count->made_at == 0 || policy->bounds.least_ns == 0 ? INT64_MAX : ae_clock.coarse() - count->made_at;
        if (is_due(&policy->bounds, count->events, version - count->version, since))
            enqueue(automatic, policy, actor, hash);
    }
    pthread_mutex_unlock(&automatic->lock);
}

/* ------------------------------------------------------------------------------------------------------------ thread */

/* What was found out of an actor. */
static void learn(struct ae_automatic *automatic, const struct due *due, uint64_t events, int64_t version, bool is_made)
{
    pthread_mutex_lock(&automatic->lock);
    struct count *count = count_of(due->policy, due->hash);
    count->events = is_made ? count->events : events;
    count->version = version;
    if (is_made)
        count->made_at = ae_clock.now();
    pthread_mutex_unlock(&automatic->lock);
}

static void make_snapshot(struct ae_automatic *automatic, const struct due *due)
{
    const struct policy *policy = due->policy;
    const aether_reducer *reducer = &policy->reducer;
    aether_state_info info = {0};
    void *state = ae_state_load(automatic->store, due->name, reducer, &info);
    aether_status status = AETHER_OK;
    if (state == NULL) {
        status = aether_error_status();
        ae_count(&automatic->store->counters.snapshots_failed, 1);
    } else if (!is_due(&policy->bounds, info.replayed, info.version - info.snapshot_version, INT64_MAX)) {
        learn(automatic, due, info.replayed, info.snapshot_version, false);
    } else {
        status = ae_state_save(automatic->store, due->name, reducer, state, info.version, policy->bounds.most_bytes);
        learn(automatic, due, info.replayed, info.version, status == AETHER_OK);
    }
    if (state != NULL)
        reducer->destroy(state, reducer->user);
    if (status != AETHER_OK)
        aether_log_line(AETHER_LOG_WARNING, "no snapshot of \"%.60s\" by \"%s\" was made: %s", due->name, reducer->name,
                        aether_error());
}

static void *body(void *user)
{
    struct ae_automatic *automatic = user;
    struct due due;
    pthread_mutex_lock(&automatic->lock);
    for (;;) {
        while (automatic->count == 0 && !automatic->stops)
            pthread_cond_wait(&automatic->changed, &automatic->lock);
        if (automatic->stops)
            break;
        due = automatic->queue[automatic->first];
        automatic->first = (automatic->first + 1) % QUEUE;
        automatic->count--;
        automatic->is_busy = true;
        pthread_mutex_unlock(&automatic->lock);
        make_snapshot(automatic, &due);
        pthread_mutex_lock(&automatic->lock);
        automatic->is_busy = false;
        pthread_cond_broadcast(&automatic->changed);
    }
    pthread_mutex_unlock(&automatic->lock);
    return NULL;
}

aether_status aether_state_settle(aether_store *store, int64_t timeout_ns)
{
    static const char call[] = "aether_state_settle";
    aether_status status = ae_store_refuse(store, call);
    if (status != AETHER_OK)
        return status;
    struct ae_automatic *automatic = AE_LOAD(S5_LOAD, &store->automatic, acquire); /* S5: pairs with start() */
    if (automatic == NULL)
        return AETHER_OK;
    int64_t deadline = ae_deadline(timeout_ns < 0 ? 0 : timeout_ns);
    struct timespec until = {.tv_sec = deadline / 1000000000, .tv_nsec = deadline % 1000000000};
    pthread_mutex_lock(&automatic->lock);
    int error = 0;
    while ((automatic->count != 0 || automatic->is_busy) && error == 0)
        error = deadline == AETHER_FOREVER ? pthread_cond_wait(&automatic->changed, &automatic->lock)
                                           : pthread_cond_timedwait(&automatic->changed, &automatic->lock, &until);
    bool settled = automatic->count == 0 && !automatic->is_busy;
    pthread_mutex_unlock(&automatic->lock);
    return settled ? AETHER_OK : AETHER_TIMEOUT;
}

/* -------------------------------------------------------------------------------------------------- starting, stopping */

static void free_policy(const aether_allocator *allocator, struct policy *policy)
{
    if (policy->counts != NULL)
        ae_free(allocator, policy->counts, COUNTS * sizeof *policy->counts, _Alignof(struct count));
    ae_free(allocator, policy, sizeof *policy + policy->prefix_size + 1, _Alignof(struct policy));
}

static struct policy *make_policy(const aether_allocator *allocator, const char *prefix, const aether_reducer *reducer,
                                  const aether_snapshot_policy *bounds)
{
    size_t size = strlen(prefix);
    struct policy *policy = ae_alloc(allocator, sizeof *policy + size + 1, _Alignof(struct policy));
    if (policy == NULL)
        return NULL;
    *policy = (struct policy){.bounds = *bounds, .reducer = *reducer, .prefix_size = size};
    memcpy(policy->prefix, prefix, size + 1);
    policy->counts = ae_alloc(allocator, COUNTS * sizeof *policy->counts, _Alignof(struct count));
    if (policy->counts == NULL) {
        free_policy(allocator, policy);
        return NULL;
    }
    memset(policy->counts, 0, COUNTS * sizeof *policy->counts);
    return policy;
}

static void free_automatic(struct ae_automatic *automatic)
{
    const aether_allocator *allocator = &automatic->store->allocator;
    while (automatic->policies != NULL) {
        struct policy *policy = automatic->policies;
        automatic->policies = policy->next;
        free_policy(allocator, policy);
    }
    if (automatic->queue != NULL)
        ae_free(allocator, automatic->queue, QUEUE * sizeof *automatic->queue, _Alignof(struct due));
    pthread_cond_destroy(&automatic->changed);
    pthread_mutex_destroy(&automatic->lock);
    ae_free(allocator, automatic, sizeof *automatic, _Alignof(struct ae_automatic));
}

/* Under the store's lock. */
static aether_status start(aether_store *store, struct policy *policy)
{
    struct ae_automatic *automatic = ae_alloc(&store->allocator, sizeof *automatic, _Alignof(struct ae_automatic));
    if (automatic == NULL)
        return ae_fail(AETHER_NO_MEMORY, "aether_state_policy: no memory");
    *automatic = (struct ae_automatic){.store = store};
    pthread_mutex_init(&automatic->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&automatic->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    automatic->queue = ae_alloc(&store->allocator, QUEUE * sizeof *automatic->queue, _Alignof(struct due));
    aether_status status =
        automatic->queue != NULL ? AETHER_OK : ae_fail(AETHER_NO_MEMORY, "aether_state_policy: no memory");
    if (status == AETHER_OK)
        status = ae_store_thread(&automatic->thread, body, automatic, "aether-states");
    if (status != AETHER_OK) {
        free_automatic(automatic);
        return status;
    }
    automatic->policies = policy;
    /* S5: pairs with the load after a save. */
    AE_STORE(S5_OVER, &store->automatic, automatic, release);
    return AETHER_OK;
}

static aether_status add(struct ae_automatic *automatic, struct policy *policy)
{
    aether_status status = AETHER_OK;
    pthread_mutex_lock(&automatic->lock);
    for (struct policy *other = automatic->policies; other != NULL; other = other->next)
        if (strcmp(other->prefix, policy->prefix) == 0 && strcmp(other->reducer.name, policy->reducer.name) == 0)
            status = ae_fail(AETHER_EXISTS, "aether_state_policy: there is a policy for \"%.60s\" and the reducer \"%s\"",
                             policy->prefix, policy->reducer.name);
    if (status == AETHER_OK) {
        policy->next = automatic->policies;
        automatic->policies = policy;
    }
    pthread_mutex_unlock(&automatic->lock);
    return status;
}

aether_status aether_state_policy_sized(aether_store *store, const char *actor_prefix, const aether_reducer *given,
                                        size_t reducer_size, const aether_snapshot_policy *given_bounds, size_t policy_size)
{
    static const char call[] = "aether_state_policy";
    aether_reducer reducer = {0};
    aether_snapshot_policy bounds = {0};
    aether_status status = ae_store_refuse_writing(store, call);
    if (status != AETHER_OK)
        return status;
    if (actor_prefix == NULL || given == NULL || given_bounds == NULL)
        return ae_fail(AETHER_INVALID, "%s: %s is NULL", call,
                       actor_prefix == NULL ? "actor_prefix"
                       : given == NULL      ? "the reducer"
                                            : "the policy");
    memcpy(&reducer, given, reducer_size < sizeof reducer ? reducer_size : sizeof reducer);
    memcpy(&bounds, given_bounds, policy_size < sizeof bounds ? policy_size : sizeof bounds);
    if (reducer.name == NULL || reducer.create == NULL || reducer.destroy == NULL || reducer.apply == NULL ||
        reducer.capture == NULL || reducer.restore == NULL)
        return ae_fail(AETHER_INVALID, "%s: the reducer needs a name and all of its functions", call);
    if (bounds.every_events == 0 && bounds.every_versions <= 0)
        return ae_fail(AETHER_INVALID, "%s: the policy never makes a snapshot: every_events and every_versions are 0", call);
    if (bounds.every_versions < 0 || bounds.least_ns < 0)
        return ae_fail(AETHER_INVALID, "%s: a bound of the policy is below 0", call);
    struct policy *policy = make_policy(&store->allocator, actor_prefix, &reducer, &bounds);
    if (policy == NULL)
        return ae_fail(AETHER_NO_MEMORY, "%s: no memory", call);
    pthread_mutex_lock(&store->lock);
    status = store->automatic != NULL ? add(store->automatic, policy) : start(store, policy);
    pthread_mutex_unlock(&store->lock);
    if (status != AETHER_OK)
        free_policy(&store->allocator, policy);
    return status;
}

void ae_automatic_stop(struct ae_automatic *automatic)
{
    pthread_mutex_lock(&automatic->lock);
    automatic->stops = true;
    pthread_cond_broadcast(&automatic->changed);
    pthread_mutex_unlock(&automatic->lock);
    pthread_join(automatic->thread, NULL);
    free_automatic(automatic);
}
