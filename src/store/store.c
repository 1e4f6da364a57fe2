#include "store/store.h"

#include <signal.h>

#include "base/allocator.h"
#include "base/callback.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/process.h"
#include "store/replay.h"

enum { DRIVERS_MOST = 16 };

static const int64_t TIMEOUT = INT64_C(30000000000);

static pthread_mutex_t drivers_lock = PTHREAD_MUTEX_INITIALIZER;
static const aether_driver *drivers[DRIVERS_MOST] = {&ae_memory_driver};
static size_t driver_count = 1;

/* ----------------------------------------------------------------------------------------------------------- drivers */

static bool is_scheme(const char *scheme, size_t size, const aether_driver *driver)
{
    return strlen(driver->scheme) == size && memcmp(driver->scheme, scheme, size) == 0;
}

aether_status aether_store_use(const aether_driver *driver)
{
    static const char call[] = "aether_store_use";
    if (driver == NULL || driver->scheme == NULL || driver->scheme[0] == '\0')
        return ae_fail(AETHER_INVALID, "%s: the driver has no scheme", call);
    if (driver->size < sizeof *driver)
        return ae_fail(AETHER_INVALID, "%s: the driver %s was made for an older version of aether", call, driver->scheme);
    aether_status status = AETHER_OK;
    pthread_mutex_lock(&drivers_lock);
    size_t at = 0;
    while (at < driver_count && !is_scheme(driver->scheme, strlen(driver->scheme), drivers[at]))
        at++;
    if (at == DRIVERS_MOST)
        status = ae_fail(AETHER_FULL, "%s: there are %d drivers, no more can be used", call, DRIVERS_MOST);
    else
        drivers[at] = driver;
    if (at == driver_count && status == AETHER_OK)
        driver_count++;
    pthread_mutex_unlock(&drivers_lock);
    return status;
}

static const aether_driver *find_driver(const char *scheme, size_t size)
{
    const aether_driver *found = NULL;
    pthread_mutex_lock(&drivers_lock);
    for (size_t i = 0; i < driver_count; i++)
        if (is_scheme(scheme, size, drivers[i]))
            found = drivers[i];
    pthread_mutex_unlock(&drivers_lock);
    return found;
}

static const aether_driver *driver_of(const char *url, const char **place, const char *call)
{
    const char *colon = url != NULL ? strchr(url, ':') : NULL;
    if (colon == NULL || colon == url) {
        (void)ae_fail(AETHER_INVALID,
                      "%s: \"%.80s\" does not begin with a scheme, as \"memory:\" or \"sqlite:orders.db\" does", call,
                      url != NULL ? url : "");
        return NULL;
    }
    const aether_driver *driver = find_driver(url, (size_t)(colon - url));
    if (driver == NULL) {
        int size = (int)(colon - url < 20 ? colon - url : 20);
        (void)ae_fail(
            AETHER_NO_DRIVER,
            "%s: nobody knows how to open \"%.*s:\"; link the library that has its driver (aether::sqlite, aether::nats), "
            "and name it first: aether_store_use(aether_%.*s_driver())",
            call, size, url, size, url);
    }
    *place = colon + 1;
    return driver;
}

/* ------------------------------------------------------------------------------------------------------------ checks */

aether_status ae_store_refuse(const aether_store *store, const char *call)
{
    if (AE_UNLIKELY(store == NULL))
        return ae_fail(AETHER_INVALID, "%s: the store is NULL", call);
    if (AE_UNLIKELY(store->fork_generation != ae_fork_generation))
        return ae_fail(AETHER_FORKED, "%s: the store was opened before fork()", call);
    return AETHER_OK;
}

aether_status ae_store_refuse_writing(const aether_store *store, const char *call)
{
    aether_status status = ae_store_refuse(store, call);
    if (AE_UNLIKELY(status == AETHER_OK && store->facts.read_only))
        return ae_fail(AETHER_READ_ONLY, "%s: the store is open for reading only", call);
    return status;
}

aether_status ae_name_check(const char *name, size_t size, const char *what, const char *call)
{
    if (AE_UNLIKELY(name == NULL || size == 0))
        return ae_fail(AETHER_INVALID, "%s: the %s is missing", call, what);
    if (AE_UNLIKELY(size > AETHER_NAME_MAX))
        return ae_fail(AETHER_INVALID, "%s: the %s has %zu bytes, at most %zu are allowed", call, what, size,
                       AETHER_NAME_MAX);
    size_t at;
    if (AE_UNLIKELY(!aether_text_is_utf8(name, size, &at)))
        return ae_fail(AETHER_INVALID, "%s: the %s \"%.40s\" is not UTF-8 without NUL at byte %zu (0x%02x)", call, what,
                       name, at, (unsigned char)name[at]);
    return AETHER_OK;
}

int64_t ae_store_deadline(const aether_store *store, int64_t timeout_ns)
{
    if (timeout_ns == 0)
        timeout_ns = store->options.timeout_ns;
    if (timeout_ns == 0)
        timeout_ns = TIMEOUT;
    if (timeout_ns == AETHER_FOREVER)
        return AETHER_FOREVER;
    int64_t now = ae_clock.coarse(); /* each save comes here; milliseconds do not matter */
    return timeout_ns < 0 ? now : timeout_ns > AETHER_FOREVER - now ? AETHER_FOREVER : now + timeout_ns;
}

aether_status ae_store_thread(pthread_t *thread, void *(*body)(void *), void *user, const char *name)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(thread, NULL, body, user);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0)
        return ae_fail_system(AETHER_SYSTEM, error, "aether: cannot start the thread %s", name);
    pthread_setname_np(*thread, name);
    return AETHER_OK;
}

/* -------------------------------------------------------------------------------------------------- opening, closing */

static bool take_options(aether_store *store, const aether_store_options *given)
{
    store->options = *given;
    store->options.allocator = &store->allocator;
    store->options.announce_under = NULL;
    if (given->bus == NULL)
        return true;
    const char *under = given->announce_under != NULL ? given->announce_under : "stored";
    size_t size = strlen(under) + 1;
    char *copy = ae_alloc(&store->allocator, size, 1);
    if (copy == NULL)
        return false;
    store->options.announce_under = memcpy(copy, under, size);
    return true;
}

static void free_store(aether_store *store)
{
    aether_allocator allocator = store->allocator;
    const char *under = store->options.announce_under;
    if (under != NULL)
        ae_free(&allocator, (void *)(uintptr_t)under, strlen(under) + 1, 1);
    ae_cache_destroy(&store->cache);
    pthread_mutex_destroy(&store->lock);
    ae_free(&allocator, store, sizeof *store, _Alignof(aether_store));
}

static aether_store *make_store(const aether_store_options *options, const char *call)
{
    aether_allocator allocator = options->allocator != NULL ? *options->allocator : ae_default_allocator;
    aether_store *store = ae_alloc(&allocator, sizeof *store, _Alignof(aether_store));
    if (store != NULL) {
        memset(store, 0, sizeof *store);
        store->allocator = allocator;
        store->references = 1;
        store->fork_generation = ae_fork_generation;
        pthread_mutex_init(&store->lock, NULL);
        ae_cache_create(&store->cache, &store->allocator, options->cached_actors != 0 ? options->cached_actors : 65536);
        if (take_options(store, options))
            return store;
        free_store(store);
    }
    (void)ae_fail(AETHER_NO_MEMORY, "%s: no memory for the store", call);
    return NULL;
}

aether_store *aether_store_open_sized(const char *url, const aether_store_options *given, size_t size)
{
    static const char call[] = "aether_store_open";
    aether_store_options options = {0};
    if (given != NULL)
        memcpy(&options, given, size < sizeof options ? size : sizeof options);
    const char *place = NULL;
    const aether_driver *driver = driver_of(url, &place, call);
    if (driver == NULL || ae_process_prepare() != AETHER_OK)
        return NULL;
    aether_store *store = make_store(&options, call);
    if (store == NULL)
        return NULL;
    store->driver = driver;
    if (driver->open(place, &store->options, ae_store_deadline(store, 0), &store->impl, &store->facts) != AETHER_OK) {
        free_store(store);
        return NULL;
    }
    if (store->options.bus != NULL && ae_announcer_start(store) != AETHER_OK) {
        driver->close(store->impl);
        free_store(store);
        return NULL;
    }
    return store;
}

void ae_store_hold(aether_store *store)
{
    (void)AE_ADD(S4_HOLD, &store->references, 1, relaxed); /* S4: who holds has one already */
}

void ae_store_drop(aether_store *store)
{
    /* S4: pairs with itself: the last one sees what the others have done. */
    if (AE_SUB(S4_DROP, &store->references, 1, acq_rel) != 1)
        return;
    store->driver->close(store->impl);
    free_store(store);
}

void aether_store_close(aether_store *store)
{
    if (store == NULL || store->fork_generation != ae_fork_generation)
        return;
    if (store->automatic != NULL)
        ae_automatic_stop(store->automatic);
    if (store->announcer != NULL)
        ae_announcer_stop(store->announcer);
    AE_STORE(S5_OVER, &store->closed, 1, release); /* S5: pairs with the load in aether_replay_next() */
    ae_replays_end(store);
    ae_store_drop(store);
}

/* ------------------------------------------------------------------------------------------------------ small calls */

aether_status aether_store_newest(aether_store *store, aether_position *newest)
{
    static const char call[] = "aether_store_newest";
    aether_status status = ae_store_refuse(store, call);
    if (status != AETHER_OK)
        return status;
    if (newest == NULL)
        return ae_fail(AETHER_INVALID, "%s: newest is NULL", call);
    newest->epoch = store->facts.epoch;
    return store->driver->newest(store->impl, ae_store_deadline(store, 0), &newest->index);
}

aether_status aether_latest(aether_store *store, const char *actor, int64_t *version)
{
    static const char call[] = "aether_latest";
    aether_status status = ae_store_refuse(store, call);
    if (AE_UNLIKELY(status != AETHER_OK))
        return status;
    if (AE_UNLIKELY(version == NULL))
        return ae_fail(AETHER_INVALID, "%s: version is NULL", call);
    aether_text name = aether_text_of(actor);
    status = ae_name_check(name.data, name.size, "actor", call);
    if (AE_UNLIKELY(status != AETHER_OK))
        return status;
    uint64_t generation = store->driver->generation(store->impl);
    if (generation != 0 && ae_cache_get(&store->cache, name, generation, version)) {
        ae_count(&store->counters.latest_cached, 1);
        return AETHER_OK;
    }
    ae_count(&store->counters.latest_asked, 1);
    status = store->driver->latest(store->impl, name, ae_store_deadline(store, 0), version, &generation);
    if (status == AETHER_OK)
        ae_cache_put(&store->cache, name, generation, *version);
    return status;
}

aether_status aether_checkpoint_save(aether_store *store, const char *name, aether_position position)
{
    static const char call[] = "aether_checkpoint_save";
    aether_status status = ae_store_refuse_writing(store, call);
    aether_text text = aether_text_of(name);
    if (status == AETHER_OK)
        status = ae_name_check(text.data, text.size, "name", call);
    if (status != AETHER_OK)
        return status;
    if (position.epoch != 0 && position.epoch != store->facts.epoch)
        return ae_fail(AETHER_OTHER_EPOCH, "%s: the position of \"%s\" is of another store, or of a copy", call, name);
    aether_position newest;
    status = aether_store_newest(store, &newest);
    if (status == AETHER_OK && position.index > newest.index)
        return ae_fail(AETHER_AHEAD, "%s: position %llu of \"%s\" is beyond the newest event, %llu", call,
                       (unsigned long long)position.index, name, (unsigned long long)newest.index);
    if (status != AETHER_OK)
        return status;
    return store->driver->checkpoint_save(store->impl, text, position.index, ae_store_deadline(store, 0));
}

aether_status aether_checkpoint_load(aether_store *store, const char *name, aether_position *position)
{
    static const char call[] = "aether_checkpoint_load";
    aether_status status = ae_store_refuse(store, call);
    aether_text text = aether_text_of(name);
    if (status == AETHER_OK)
        status = ae_name_check(text.data, text.size, "name", call);
    if (status != AETHER_OK)
        return status;
    if (position == NULL)
        return ae_fail(AETHER_INVALID, "%s: position is NULL", call);
    *position = (aether_position){store->facts.epoch, 0};
    return store->driver->checkpoint_load(store->impl, text, ae_store_deadline(store, 0), &position->index);
}

aether_status aether_store_copy(aether_store *store, const char *place)
{
    static const char call[] = "aether_store_copy";
    aether_status status = ae_store_refuse(store, call);
    if (status == AETHER_OK && (place == NULL || place[0] == '\0'))
        return ae_fail(AETHER_INVALID, "%s: the place is missing", call);
    return status != AETHER_OK ? status : store->driver->copy(store->impl, place);
}

static uint64_t read_counter(const uint64_t *counter)
{
    return AE_LOAD(S6_LOAD, counter, relaxed); /* S6: for statistics */
}

aether_status aether_store_get_stats_sized(aether_store *store, aether_store_stats *stats, size_t size)
{
    static const char call[] = "aether_store_get_stats";
    aether_status status = ae_store_refuse(store, call);
    if (status == AETHER_OK && stats == NULL)
        return ae_fail(AETHER_INVALID, "%s: stats is NULL", call);
    aether_driver_figures figures = {0};
    aether_position newest = {0, 0};
    if (status == AETHER_OK)
        status = store->driver->figures(store->impl, &figures);
    if (status == AETHER_OK)
        status = aether_store_newest(store, &newest);
    if (status != AETHER_OK)
        return status;
    const struct ae_store_counters *counters = &store->counters;
    aether_store_stats whole = {.newest = newest,
                                .events = figures.events,
                                .actors = figures.actors,
                                .durability = store->facts.durability,
                                .read_only = store->facts.read_only,
                                .contiguous = store->options.contiguous || store->facts.contiguous,
                                .saves = read_counter(&counters->saves),
                                .saved_events = read_counter(&counters->saved_events),
                                .duplicates = read_counter(&counters->duplicates),
                                .conflicts = read_counter(&counters->conflicts),
                                .refused = read_counter(&counters->refused),
                                .commits = figures.commits,
                                .loaded_events = read_counter(&counters->loaded_events),
                                .malformed = read_counter(&counters->malformed),
                                .latest_cached = read_counter(&counters->latest_cached),
                                .latest_asked = read_counter(&counters->latest_asked),
                                .announced = read_counter(&counters->announced),
                                .states_loaded = read_counter(&counters->states_loaded),
                                .states_from_snapshot = read_counter(&counters->states_from_snapshot),
                                .states_replayed = read_counter(&counters->states_replayed),
                                .snapshots_made = read_counter(&counters->snapshots_made),
                                .snapshots_failed = read_counter(&counters->snapshots_failed),
                                .snapshots_set_aside = read_counter(&counters->snapshots_set_aside)};
    memcpy(stats, &whole, size < sizeof whole ? size : sizeof whole);
    return AETHER_OK;
}
