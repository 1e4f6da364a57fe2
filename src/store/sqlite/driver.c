#include "aether/sqlite.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/atomic.h"
#include "store/edges.h"
#include "store/sqlite/sqlite.h"

int64_t ae_sqlite_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ----------------------------------------------------------------------------------------------------------- failures */

aether_status ae_sqlite_status(int code)
{
    if (code == SQLITE_IOERR_NOMEM)
        return AETHER_NO_MEMORY;
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return AETHER_NO_MEMORY;
    case SQLITE_FULL:
        return AETHER_NO_SPACE;
    case SQLITE_READONLY:
        return AETHER_READ_ONLY;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return AETHER_TIMEOUT;
    case SQLITE_TOOBIG:
        return AETHER_TOO_LARGE;
    case SQLITE_CORRUPT:
        return AETHER_MALFORMED;
    case SQLITE_NOTADB:
        return AETHER_NO_STORE;
    default:
        return AETHER_SYSTEM;
    }
}

static const char *advice(aether_status status)
{
    switch (status) {
    case AETHER_NO_SPACE:
        return "; make room, nothing of it was saved";
    case AETHER_MALFORMED:
        return "; the file is damaged: `aether verify` says where, a copy may help";
    case AETHER_TIMEOUT:
        return "; another process keeps it locked";
    default:
        return "";
    }
}

aether_status ae_sqlite_fail(sqlite3 *db, int code, const char *what)
{
    aether_status status = ae_sqlite_status(code);
    return aether_fail(status, "sqlite: %s: %.100s (%d)%s", what, db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(code),
                       code, advice(status));
}

/* -------------------------------------------------------------------------------------------------- opening, closing */

static char *copy_text(const aether_allocator *allocator, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = allocator->alloc(size, 1, allocator->user);
    return copy != NULL ? memcpy(copy, text, size) : NULL;
}

static void free_text(const aether_allocator *allocator, char *text)
{
    if (text != NULL)
        allocator->free(text, strlen(text) + 1, 1, allocator->user);
}

static void free_store(struct ae_sqlite_store *store)
{
    aether_allocator allocator = store->allocator;
    while (store->readers != NULL) {
        struct ae_sqlite_reader *reader = store->readers;
        store->readers = reader->next;
        ae_sqlite_free_reader(reader);
    }
    for (int which = 0; which < AE_SQLITE_WRITES; which++)
        (void)sqlite3_finalize(store->writes[which]);
    (void)sqlite3_close(store->db);
    ae_sqlite_shared_close(&store->shared);
    pthread_mutex_destroy(&store->lock);
    if (store->known != NULL)
        allocator.free(store->known, AE_SQLITE_KNOWN * sizeof *store->known, _Alignof(struct ae_sqlite_known),
                       allocator.user);
    free_text(&allocator, store->path);
    free_text(&allocator, store->url);
    allocator.free(store, sizeof *store, _Alignof(struct ae_sqlite_store), allocator.user);
}

static aether_status open_database(struct ae_sqlite_store *store)
{
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI | SQLITE_OPEN_EXRESCODE;
    if (store->options.read_only)
        flags |= SQLITE_OPEN_READONLY;
    else
        flags |= SQLITE_OPEN_READWRITE | (store->options.must_exist ? 0 : SQLITE_OPEN_CREATE);
    int code = sqlite3_open_v2(store->url, &store->db, flags, NULL);
    if (code == SQLITE_OK && !store->options.read_only && sqlite3_db_readonly(store->db, "main") == 1)
        return aether_fail(AETHER_READ_ONLY, "sqlite: \"%.120s\" may only be read: open it read-only", store->url);
    if (code == SQLITE_OK)
        return AETHER_OK;
    aether_status status = ae_sqlite_fail(store->db, code, "cannot open the file");
    if ((code & 0xff) != SQLITE_CANTOPEN)
        return status;
    return aether_fail(
        AETHER_NO_STORE,
        "sqlite: \"%.120s\" cannot be opened: it is not there, or the way to it is not, or it may not be used", store->url);
}

static aether_status open_all(struct ae_sqlite_store *store, int64_t deadline)
{
    aether_status status = open_database(store);
    if (status != AETHER_OK)
        return status;
    const char *path = sqlite3_db_filename(store->db, "main");
    if (path == NULL || path[0] == '\0')
        return aether_fail(AETHER_INVALID, "sqlite: \"%.120s\" is no file: \"memory:\" is a store in memory", store->url);
    store->path = copy_text(&store->allocator, path);
    if (store->path == NULL)
        return aether_fail(AETHER_NO_MEMORY, "sqlite: no memory for the path");
    int64_t left = deadline == AETHER_FOREVER ? 3600000 : (deadline - ae_sqlite_now()) / 1000000;
    (void)sqlite3_busy_timeout(store->db, left < 0 ? 0 : left > 3600000 ? 3600000 : (int)left);
    status = ae_sqlite_shared_open(&store->shared, store->path, store->options.read_only);
    return status == AETHER_OK ? ae_sqlite_prepare_file(store, deadline) : status;
}

static aether_status open_sqlite(const char *place, const aether_store_options *options, int64_t deadline, void **opened,
                                 aether_driver_facts *facts)
{
    if (place[0] == '\0')
        return aether_fail(AETHER_INVALID, "sqlite: the path is missing: \"sqlite:orders.db\"");
    if (sqlite3_threadsafe() == 0)
        return aether_fail(AETHER_UNSUPPORTED, "sqlite: this SQLite was built for one thread");
    const aether_allocator *allocator = options->allocator;
    struct ae_sqlite_store *store = allocator->alloc(sizeof *store, _Alignof(struct ae_sqlite_store), allocator->user);
    if (store == NULL)
        return aether_fail(AETHER_NO_MEMORY, "sqlite: no memory for the store");
    memset(store, 0, sizeof *store);
    store->allocator = *allocator;
    store->options = *options;
    store->shared.file = -1;
    pthread_mutex_init(&store->lock, NULL);
    store->url = copy_text(allocator, place);
    aether_status status =
        store->url != NULL ? open_all(store, deadline) : aether_fail(AETHER_NO_MEMORY, "sqlite: no memory for the path");
    if (status != AETHER_OK) {
        free_store(store);
        return status;
    }
    if (!options->read_only) {
        store->known =
            allocator->alloc(AE_SQLITE_KNOWN * sizeof *store->known, _Alignof(struct ae_sqlite_known), allocator->user);
        if (store->known != NULL)
            memset(store->known, 0, AE_SQLITE_KNOWN * sizeof *store->known);
    }
    *facts = store->facts;
    *opened = store;
    return AETHER_OK;
}

static void close_sqlite(void *driver)
{
    struct ae_sqlite_store *store = driver;
    if (!store->options.read_only)
        ae_sqlite_last_checkpoint(store);
    free_store(store);
}

/* -------------------------------------------------------------------------------------------------------- small calls */

static void save(void *driver, aether_driver_save *saves, size_t count, int64_t deadline)
{
    struct ae_sqlite_request request = {
        .perform = ae_sqlite_perform_saves, .saves = saves, .count = count, .deadline = deadline};
    ae_sqlite_request(driver, &request);
}

static aether_status state_save(void *driver, aether_text actor, aether_text reducer, const aether_state_snapshot *snapshot,
                                int64_t deadline)
{
    struct ae_sqlite_request request = {
        .perform = ae_sqlite_perform_state, .actor = actor, .name = reducer, .snapshot = snapshot, .deadline = deadline};
    ae_sqlite_request(driver, &request);
    return request.status;
}

static aether_status checkpoint_save(void *driver, aether_text name, uint64_t index, int64_t deadline)
{
    struct ae_sqlite_request request = {
        .perform = ae_sqlite_perform_checkpoint, .name = name, .index = index, .deadline = deadline};
    ae_sqlite_request(driver, &request);
    return request.status;
}

static uint64_t generation(void *driver)
{
    return ae_sqlite_shared_generation(&((struct ae_sqlite_store *)driver)->shared);
}

static aether_status await(void *driver, uint64_t after, const uint32_t *cancelled, int64_t deadline)
{
    struct ae_sqlite_store *store = driver;
    for (;;) {
        uint32_t seen = ae_sqlite_shared_word(&store->shared);
        /* S5: pairs with whoever calls wake() after it, which changes the word: it is seen here, or ends the sleep. */
        if (AE_LOAD(S5_LOAD, cancelled, acquire) != 0)
            return AETHER_OK;
        uint64_t newest;
        aether_status status = ae_sqlite_newest(store, deadline, &newest);
        if (status != AETHER_OK || newest > after)
            return status;
        if (deadline != AETHER_FOREVER && ae_sqlite_now() >= deadline)
            return AETHER_TIMEOUT;
        ae_sqlite_shared_sleep(&store->shared, seen, deadline);
    }
}

static void wake(void *driver)
{
    ae_sqlite_shared_wake(&((struct ae_sqlite_store *)driver)->shared);
}

static aether_status figures(void *driver, aether_driver_figures *figures)
{
    struct ae_sqlite_store *store = driver;
    aether_status status = ae_sqlite_newest(store, AETHER_FOREVER, &figures->events);
    pthread_mutex_lock(&store->lock);
    figures->commits = store->commits;
    pthread_mutex_unlock(&store->lock);
    return status;
}

const aether_driver *aether_sqlite_driver(void)
{
    static const aether_driver driver = {.size = sizeof driver,
                                         .scheme = "sqlite",
                                         .open = open_sqlite,
                                         .close = close_sqlite,
                                         .save = save,
                                         .latest = ae_sqlite_latest,
                                         .generation = generation,
                                         .newest = ae_sqlite_newest,
                                         .replay_open = ae_sqlite_replay_open,
                                         .replay_next = ae_sqlite_replay_next,
                                         .replay_close = ae_sqlite_replay_close,
                                         .wait = await,
                                         .wake = wake,
                                         .state_save = state_save,
                                         .state_load = ae_sqlite_state_load,
                                         .checkpoint_save = checkpoint_save,
                                         .checkpoint_load = ae_sqlite_checkpoint_load,
                                         .copy = ae_sqlite_copy,
                                         .verify = ae_sqlite_verify,
                                         .figures = figures};
    return &driver;
}
