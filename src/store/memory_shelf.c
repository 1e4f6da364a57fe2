/* States and checkpoints of the memory store, under a lock of their own: they are rare, and no saver shall wait for one. */
#include "base/allocator.h"
#include "base/fail.h"
#include "store/memory.h"

struct ae_kept_checkpoint {
    struct ae_kept_checkpoint *next;
    uint64_t index;
    size_t name_size;
    char name[];
};

static size_t state_bytes(const struct ae_kept_state *state)
{
    return sizeof *state + state->reducer_size + state->snapshot.bytes.size;
}

static bool is_of(const struct ae_kept_state *state, aether_text reducer)
{
    return state->reducer_size == reducer.size && memcmp(state->bytes, reducer.data, reducer.size) == 0;
}

static struct ae_kept_state *make_state(struct ae_memory_store *store, aether_text reducer,
                                        const aether_state_snapshot *snapshot)
{
    struct ae_kept_state *state =
        ae_alloc(&store->allocator, sizeof *state + reducer.size + snapshot->bytes.size, _Alignof(struct ae_kept_state));
    if (state == NULL)
        return NULL;
    *state = (struct ae_kept_state){.snapshot = *snapshot, .reducer_size = reducer.size};
    memcpy(state->bytes, reducer.data, reducer.size);
    if (snapshot->bytes.size != 0)
        memcpy(state->bytes + reducer.size, snapshot->bytes.data, snapshot->bytes.size);
    state->snapshot.bytes.data = state->bytes + reducer.size;
    return state;
}

static void free_state(struct ae_memory_store *store, struct ae_kept_state *state)
{
    ae_free(&store->allocator, state, state_bytes(state), _Alignof(struct ae_kept_state));
}

aether_status ae_memory_state_save(void *driver, aether_text actor, aether_text reducer,
                                   const aether_state_snapshot *snapshot, int64_t deadline)
{
    (void)deadline;
    struct ae_memory_store *store = driver;
    struct ae_stored_actor *stored = ae_memory_find(store, actor, ae_memory_hash(actor));
    if (stored == NULL)
        return ae_fail(AETHER_AHEAD, "aether_state_save: the actor has no events");
    struct ae_kept_state *state = make_state(store, reducer, snapshot);
    if (state == NULL)
        return ae_fail(AETHER_NO_MEMORY, "aether_state_save: no memory for a snapshot of %zu bytes", snapshot->bytes.size);
    pthread_mutex_lock(&store->shelf);
    struct ae_kept_state **at = &stored->states, *old;
    while (*at != NULL && !is_of(*at, reducer))
        at = &(*at)->next;
    old = *at;
    if (old != NULL && old->snapshot.reducer_version == snapshot->reducer_version &&
        old->snapshot.version > snapshot->version) {
        old = state; /* a newer one is there */
    } else {
        state->next = old != NULL ? old->next : NULL;
        *at = state;
    }
    pthread_mutex_unlock(&store->shelf);
    if (old != NULL)
        free_state(store, old);
    return AETHER_OK;
}

aether_status ae_memory_state_load(void *driver, aether_text actor, aether_text reducer, int64_t deadline,
                                   void (*take)(const aether_state_snapshot *snapshot, void *user), void *user)
{
    (void)deadline;
    struct ae_memory_store *store = driver;
    struct ae_stored_actor *stored = ae_memory_find(store, actor, ae_memory_hash(actor));
    const struct ae_kept_state *state = NULL;
    pthread_mutex_lock(&store->shelf);
    for (state = stored != NULL ? stored->states : NULL; state != NULL && !is_of(state, reducer);)
        state = state->next;
    if (state != NULL)
        take(&state->snapshot, user);
    pthread_mutex_unlock(&store->shelf);
    return state != NULL ? AETHER_OK : AETHER_NOT_FOUND;
}

void ae_memory_states_free(struct ae_memory_store *store, struct ae_stored_actor *actor)
{
    while (actor->states != NULL) {
        struct ae_kept_state *state = actor->states;
        actor->states = state->next;
        free_state(store, state);
    }
}

static struct ae_kept_checkpoint *find_checkpoint(const struct ae_memory_store *store, aether_text name)
{
    struct ae_kept_checkpoint *checkpoint = store->checkpoints;
    while (checkpoint != NULL && (checkpoint->name_size != name.size || memcmp(checkpoint->name, name.data, name.size) != 0))
        checkpoint = checkpoint->next;
    return checkpoint;
}

static struct ae_kept_checkpoint *make_checkpoint(struct ae_memory_store *store, aether_text name)
{
    struct ae_kept_checkpoint *checkpoint =
        ae_alloc(&store->allocator, sizeof *checkpoint + name.size, _Alignof(struct ae_kept_checkpoint));
    if (checkpoint == NULL)
        return NULL;
    *checkpoint = (struct ae_kept_checkpoint){.next = store->checkpoints, .name_size = name.size};
    memcpy(checkpoint->name, name.data, name.size);
    return store->checkpoints = checkpoint;
}

aether_status ae_memory_checkpoint_save(void *driver, aether_text name, uint64_t index, int64_t deadline)
{
    (void)deadline;
    struct ae_memory_store *store = driver;
    aether_status status = AETHER_OK;
    pthread_mutex_lock(&store->shelf);
    struct ae_kept_checkpoint *checkpoint = find_checkpoint(store, name);
    if (checkpoint == NULL)
        checkpoint = make_checkpoint(store, name);
    if (checkpoint == NULL)
        status = ae_fail(AETHER_NO_MEMORY, "aether_checkpoint_save: no memory for a checkpoint");
    else if (index != 0 && index < checkpoint->index)
        status = ae_fail(AETHER_INDEX_ORDER, "aether_checkpoint_save: \"%.60s\" has come to %llu already, %llu is below",
                         name.data, (unsigned long long)checkpoint->index, (unsigned long long)index);
    else
        checkpoint->index = index;
    pthread_mutex_unlock(&store->shelf);
    return status;
}

aether_status ae_memory_checkpoint_load(void *driver, aether_text name, int64_t deadline, uint64_t *index)
{
    (void)deadline;
    struct ae_memory_store *store = driver;
    pthread_mutex_lock(&store->shelf);
    const struct ae_kept_checkpoint *checkpoint = find_checkpoint(store, name);
    if (checkpoint != NULL)
        *index = checkpoint->index;
    pthread_mutex_unlock(&store->shelf);
    return checkpoint != NULL ? AETHER_OK : AETHER_NOT_FOUND;
}

void ae_memory_shelf_free(struct ae_memory_store *store)
{
    while (store->checkpoints != NULL) {
        struct ae_kept_checkpoint *checkpoint = store->checkpoints;
        store->checkpoints = checkpoint->next;
        ae_free(&store->allocator, checkpoint, sizeof *checkpoint + checkpoint->name_size,
                _Alignof(struct ae_kept_checkpoint));
    }
}
