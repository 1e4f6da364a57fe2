#include "store/memory.h"

#include <time.h>

#include "base/allocator.h"
#include "base/fail.h"
#include "base/random.h"
#include "base/word.h"
#include "store/store.h"

/* Stores with a name, "memory:NAME": all handles of one name are the same store. */
static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ae_memory_store *shared;

/* ------------------------------------------------------------------------------------------------------------ finding */

uint64_t ae_memory_hash(aether_text text)
{
    uint64_t first = text.size >= 8 ? ae_word_load(text.data) : ae_word_load_part(text.data, text.size);
    return ae_hash_bytes(first, text.data, text.size);
}

struct ae_stored_actor *ae_memory_find(const struct ae_memory_store *store, aether_text name, uint64_t hash)
{
    /* S1: pairs with the store in grow_table(). */
    const struct ae_actor_table *table = AE_LOAD(S1_LOAD, &store->table, acquire);
    if (table == NULL)
        return NULL;
    for (size_t at = hash & (table->room - 1);; at = (at + 1) & (table->room - 1)) {
        /* S1: pairs with the store in show_actor(). */
        struct ae_stored_actor *actor = AE_LOAD(S1_LOAD, &table->slots[at], acquire);
        if (actor == NULL ||
            (actor->hash == hash && actor->name_size == name.size && memcmp(actor->name, name.data, name.size) == 0))
            return actor;
    }
}

/* -------------------------------------------------------------------------------------------------- opening, closing */

static struct ae_memory_store *make_store(const char *place, const aether_store_options *options)
{
    const aether_allocator *allocator = options->allocator;
    struct ae_memory_store *store = ae_alloc(allocator, sizeof *store, _Alignof(struct ae_memory_store));
    size_t name = strlen(place);
    char *copy = store != NULL && name != 0 ? ae_alloc(allocator, name + 1, 1) : NULL;
    if (store == NULL || (name != 0 && copy == NULL)) {
        if (store != NULL)
            ae_free(allocator, store, sizeof *store, _Alignof(struct ae_memory_store));
        (void)ae_fail(AETHER_NO_MEMORY, "aether_store_open: no memory for a store");
        return NULL;
    }
    memset(store, 0, sizeof *store);
    store->allocator = *allocator;
    store->epoch = options->epoch != 0 ? options->epoch : ae_random_nonzero();
    store->handles = 1;
    store->shared_name = copy != NULL ? memcpy(copy, place, name + 1) : NULL;
    pthread_mutex_init(&store->lock, NULL);
    pthread_mutex_init(&store->shelf, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&store->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return store;
}

static struct ae_memory_store *find_shared(const char *place)
{
    struct ae_memory_store *store = shared;
    while (store != NULL && strcmp(store->shared_name, place) != 0)
        store = store->next_shared;
    return store;
}

static aether_status open_memory(const char *place, const aether_store_options *options, int64_t deadline, void **opened,
                                 aether_driver_facts *facts)
{
    (void)deadline;
    pthread_mutex_lock(&shared_lock);
    struct ae_memory_store *store = place[0] != '\0' ? find_shared(place) : NULL;
    if (store != NULL) {
        store->handles++;
    } else if (options->must_exist) {
        pthread_mutex_unlock(&shared_lock);
        return ae_fail(AETHER_NO_STORE, "aether_store_open: there is no store \"memory:%.80s\" in this process", place);
    } else if ((store = make_store(place, options)) != NULL && store->shared_name != NULL) {
        store->next_shared = shared;
        shared = store;
    }
    pthread_mutex_unlock(&shared_lock);
    if (store == NULL)
        return AETHER_NO_MEMORY;
    *opened = store;
    *facts = (aether_driver_facts){.epoch = store->epoch, .durability = AETHER_IN_MEMORY, .read_only = options->read_only};
    return AETHER_OK;
}

static void free_actor(struct ae_memory_store *store, struct ae_stored_actor *actor)
{
    ae_memory_states_free(store, actor);
    for (struct ae_record_list *list = actor->list, *older; list != NULL; list = older) {
        older = list->older;
        ae_free(&store->allocator, list, sizeof *list + list->room * sizeof(void *), _Alignof(struct ae_record_list));
    }
    ae_free(&store->allocator, actor, sizeof *actor + actor->name_size, _Alignof(struct ae_stored_actor));
}

static void free_store(struct ae_memory_store *store)
{
    const aether_allocator allocator = store->allocator;
    for (size_t i = 0; store->table != NULL && i < store->table->room; i++)
        if (store->table->slots[i] != NULL)
            free_actor(store, store->table->slots[i]);
    for (struct ae_actor_table *table = store->table, *older; table != NULL; table = older) {
        older = table->older;
        ae_free(&allocator, table, sizeof *table + table->room * sizeof(void *), _Alignof(struct ae_actor_table));
    }
    for (int chunk = 0; chunk < AE_CHUNKS; chunk++)
        if (store->chunks[chunk] != NULL)
            ae_free(&allocator, store->chunks[chunk], ((size_t)AE_CHUNK_LEAST << chunk) * sizeof(void *),
                    _Alignof(struct ae_record *));
    for (struct ae_record_block *block = store->block, *older; block != NULL; block = older) {
        older = block->older;
        ae_free(&allocator, block, sizeof *block + block->bytes, block->align);
    }
    if (store->ids != NULL)
        ae_free(&allocator, store->ids, store->ids_room * sizeof(void *), _Alignof(struct ae_record *));
    if (store->shared_name != NULL)
        ae_free(&allocator, store->shared_name, strlen(store->shared_name) + 1, 1);
    ae_memory_shelf_free(store);
    pthread_cond_destroy(&store->changed);
    pthread_mutex_destroy(&store->shelf);
    pthread_mutex_destroy(&store->lock);
    ae_free(&allocator, store, sizeof *store, _Alignof(struct ae_memory_store));
}

static void close_memory(void *driver)
{
    struct ae_memory_store *store = driver;
    pthread_mutex_lock(&shared_lock);
    bool last = --store->handles == 0;
    if (last && store->shared_name != NULL) {
        struct ae_memory_store **at = &shared;
        while (*at != store)
            at = &(*at)->next_shared;
        *at = store->next_shared;
    }
    pthread_mutex_unlock(&shared_lock);
    if (last)
        free_store(store);
}

/* -------------------------------------------------------------------------------------------------------- small calls */

static aether_status latest_of(void *driver, aether_text name, int64_t deadline, int64_t *version, uint64_t *generation)
{
    (void)deadline;
    const struct ae_memory_store *store = driver;
    const struct ae_stored_actor *actor = ae_memory_find(store, name, ae_memory_hash(name));
    *generation = 0;
    /* S2: pairs with publish() and grow_list(). */
    uint64_t count = actor != NULL ? AE_LOAD(S2_LOAD, &actor->count, acquire) : 0;
    *version = count != 0 ? AE_LOAD(S2_LOAD, &actor->list, acquire)->items[count - 1]->version : 0;
    return AETHER_OK;
}

/* To ask is as fast as to remember. */
static uint64_t generation_of(void *driver)
{
    (void)driver;
    return 0;
}

static aether_status newest_of(void *driver, int64_t deadline, uint64_t *index)
{
    (void)deadline;
    *index = ae_memory_newest(driver);
    return AETHER_OK;
}

static bool sleep_until(struct ae_memory_store *store, int64_t deadline)
{
    if (deadline == AETHER_FOREVER)
        return pthread_cond_wait(&store->changed, &store->lock) == 0;
    struct timespec until = {.tv_sec = deadline / 1000000000, .tv_nsec = deadline % 1000000000};
    return pthread_cond_timedwait(&store->changed, &store->lock, &until) == 0;
}

static aether_status await(void *driver, uint64_t after, const uint32_t *cancelled, int64_t deadline)
{
    struct ae_memory_store *store = driver;
    bool in_time = true;
    pthread_mutex_lock(&store->lock);
    store->waiters++;
    /* S5: pairs with whoever calls wake() after it: under the lock, so it is seen here or ends the sleep. */
    while (in_time && store->newest <= after && AE_LOAD(S5_LOAD, cancelled, acquire) == 0)
        in_time = sleep_until(store, deadline);
    store->waiters--;
    pthread_mutex_unlock(&store->lock);
    return in_time ? AETHER_OK : AETHER_TIMEOUT;
}

static void wake(void *driver)
{
    struct ae_memory_store *store = driver;
    pthread_mutex_lock(&store->lock);
    pthread_cond_broadcast(&store->changed);
    pthread_mutex_unlock(&store->lock);
}

static aether_status copy(void *driver, const char *place)
{
    (void)driver;
    return ae_fail(AETHER_UNSUPPORTED, "aether_store_copy: a store in memory is not copied, \"%.80s\" was not made", place);
}

static aether_status verify(void *driver, aether_fault_fn fault, void *user)
{
    (void)driver;
    (void)fault;
    (void)user;
    return AETHER_OK;
}

static aether_status figures_of(void *driver, aether_driver_figures *figures)
{
    struct ae_memory_store *store = driver;
    pthread_mutex_lock(&store->lock);
    *figures = (aether_driver_figures){.events = store->newest, .actors = store->actor_count, .commits = store->commits};
    pthread_mutex_unlock(&store->lock);
    return AETHER_OK;
}

const aether_driver ae_memory_driver = {.size = sizeof(aether_driver),
                                        .scheme = "memory",
                                        .open = open_memory,
                                        .close = close_memory,
                                        .save = ae_memory_save,
                                        .latest = latest_of,
                                        .generation = generation_of,
                                        .newest = newest_of,
                                        .replay_open = ae_memory_replay_open,
                                        .replay_next = ae_memory_replay_next,
                                        .replay_close = ae_memory_replay_close,
                                        .wait = await,
                                        .wake = wake,
                                        .state_save = ae_memory_state_save,
                                        .state_load = ae_memory_state_load,
                                        .checkpoint_save = ae_memory_checkpoint_save,
                                        .checkpoint_load = ae_memory_checkpoint_load,
                                        .copy = copy,
                                        .verify = verify,
                                        .figures = figures_of};
