/*
 * Group commit by leadership (STO9): no thread of the store's own.
 *
 * Who finds nobody leading leads: takes all that wait, does them in one transaction with one flush, tells them, and hands
 * the lead to the first of those that have come meanwhile. Each request has its own answer; what one finds, those before it
 * in the same transaction have done. If the transaction cannot be committed, nothing of it has happened, to nobody.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "store/sqlite/sqlite.h"

enum { GROUP_EVENTS = 65536 };

int ae_sqlite_checkpoint_pages = 4000;

static const char *const texts[AE_SQLITE_WRITES] = {
    [AE_SQLITE_BEGIN] = "BEGIN IMMEDIATE",
    [AE_SQLITE_COMMIT] = "COMMIT",
    [AE_SQLITE_ROLLBACK] = "ROLLBACK",
    [AE_SQLITE_LATEST] = "SELECT version, flags FROM event WHERE actor = ? ORDER BY version DESC LIMIT 1",
    [AE_SQLITE_NEWEST] = "SELECT max(position) FROM event",
    [AE_SQLITE_FIND_ID] = "SELECT version FROM event WHERE id = ? AND actor = ?",
    [AE_SQLITE_STORED] = "SELECT " AE_SQLITE_COLUMNS " FROM event WHERE actor = ? AND version >= ? ORDER BY version LIMIT ?",
    [AE_SQLITE_INSERT] = "INSERT INTO event (" AE_SQLITE_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [AE_SQLITE_STATE] = "INSERT INTO state VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET version = ?3, "
                        "reducer_version = ?4, timestamp = ?5,"
                        " checksum = ?6, bytes = ?7 WHERE reducer_version <> ?4 OR version <= ?3",
    [AE_SQLITE_CHECKPOINT] = "INSERT INTO checkpoint VALUES (?1, ?2) ON CONFLICT DO UPDATE SET position = ?2",
    [AE_SQLITE_CHECKPOINT_NOW] = "SELECT position FROM checkpoint WHERE name = ?",
};

/* A statement is prepared when it is first needed: SQLite may have no memory then, and says so. */
static int step(struct ae_sqlite_store *store, enum ae_sqlite_write which)
{
    sqlite3_stmt **statement = &store->writes[which];
    int code = SQLITE_OK;
    if (*statement == NULL)
        code = sqlite3_prepare_v3(store->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT, statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(*statement);
    if (*statement != NULL && code != SQLITE_ROW)
        (void)sqlite3_reset(*statement);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static aether_status prepare_all(struct ae_sqlite_store *store)
{
    for (int which = 0; which < AE_SQLITE_WRITES; which++) {
        if (store->writes[which] != NULL)
            continue;
        int code = sqlite3_prepare_v3(store->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT, &store->writes[which], NULL);
        if (code != SQLITE_OK)
            return ae_sqlite_fail(store->db, code, "cannot prepare a statement");
    }
    return AETHER_OK;
}

/* ------------------------------------------------------------------------------------------------------------- failing */

/* With a write lost nobody knows which pages the disk has. */
static bool is_poison(int code)
{
    return code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC;
}

void ae_sqlite_poison(struct ae_sqlite_store *store, const char *why)
{
    pthread_mutex_lock(&store->lock);
    if (!store->has_failed) {
        store->has_failed = true;
        snprintf(store->why, sizeof store->why, "%s", why);
        aether_log_line(AETHER_LOG_ERROR, "the store \"%.120s\" takes no more saves: %s", store->path, why);
    }
    pthread_mutex_unlock(&store->lock);
}

static aether_status refuse_failed(struct ae_sqlite_store *store)
{
    pthread_mutex_lock(&store->lock);
    bool has_failed = store->has_failed;
    pthread_mutex_unlock(&store->lock);
    if (!has_failed)
        return AETHER_OK;
    return aether_fail(
        AETHER_FAILED,
        "sqlite: the store has failed before, and takes no more saves: %.120s; find out why, close it and open it again",
        store->why);
}

/*
 * Nothing of the group was saved, or nobody knows. What was decided in the transaction goes with it: a conflict or a
 * duplicate may have been one with an event that is not there any more. Only what stood before it began is sure.
 */
static void fail_saves(const struct ae_sqlite_store *store, struct ae_sqlite_request *request, aether_status status)
{
    for (size_t i = 0; i < request->count; i++) {
        aether_driver_save *save = &request->saves[i];
        bool was_there = save->saved.duplicate && save->saved.position.index <= store->committed;
        bool was_decided = save->status == AETHER_OK || save->status == AETHER_CONFLICT ||
                           save->status == AETHER_ID_REUSED || save->status == AETHER_ACTOR_ENDED;
        if (was_there || !was_decided)
            continue;
        save->status = status;
        save->generation = 0; /* nothing is to be remembered of it */
        save->saved.position = (aether_position){0, 0};
        save->saved.durability = AETHER_DURABILITY_NONE;
        save->saved.duplicate = false;
        save->saved.version = save->events[save->count - 1].version;
    }
}

static void fail_group(const struct ae_sqlite_store *store, struct ae_sqlite_request *group, aether_status status)
{
    for (struct ae_sqlite_request *request = group; request != NULL; request = request->next) {
        request->status = status;
        snprintf(request->text, sizeof request->text, "%s", aether_error());
        fail_saves(store, request, status);
    }
}

/* -------------------------------------------------------------------------------------------------------- transaction */

static aether_status begin(struct ae_sqlite_store *store, int64_t deadline)
{
    int64_t left = deadline == AETHER_FOREVER ? INT64_C(3600000000000) : deadline - ae_sqlite_now();
    (void)sqlite3_busy_timeout(store->db, left <= 0 ? 0 : left / 1000000 > 3600000 ? 3600000 : (int)(left / 1000000) + 1);
    int code = step(store, AE_SQLITE_BEGIN);
    if (code != SQLITE_OK)
        return ae_sqlite_fail(store->db, code, "cannot begin a transaction");
    code = step(store, AE_SQLITE_NEWEST);
    if (code != SQLITE_ROW)
        return ae_sqlite_fail(store->db, code, "cannot read the newest position");
    store->newest = store->committed = (uint64_t)sqlite3_column_int64(store->writes[AE_SQLITE_NEWEST], 0);
    (void)sqlite3_reset(store->writes[AE_SQLITE_NEWEST]);
    return AETHER_OK;
}

static void roll_back(struct ae_sqlite_store *store)
{
    if (store->known != NULL) /* some of it was of this transaction */
        memset(store->known, 0, AE_SQLITE_KNOWN * sizeof *store->known);
    for (int which = 0; which < AE_SQLITE_WRITES; which++)
        if (store->writes[which] != NULL)
            (void)sqlite3_reset(store->writes[which]);
    if (sqlite3_get_autocommit(store->db) == 0)
        (void)step(store, AE_SQLITE_ROLLBACK);
    if (sqlite3_get_autocommit(store->db) == 0)
        ae_sqlite_poison(store, "a transaction could not be taken back");
}

/* Who waits for a failed group is told why; the transaction is taken back. */
static void give_up(struct ae_sqlite_store *store, struct ae_sqlite_request *group, aether_status status)
{
    fail_group(store, group, status);
    roll_back(store);
}

/*
 * Whether a failed commit may stand in the log all the same. The record that makes it count is written last; only where the
 * disk does not keep the neighbours of a write whole, SQLite fills a sector up behind it, and a full disk may be met there.
 */
static bool is_unknown(struct ae_sqlite_store *store, int code)
{
    if ((code & 0xff) == SQLITE_IOERR)
        return code != SQLITE_IOERR_NOMEM;
    int keeps_neighbours = -1;
    if ((code & 0xff) == SQLITE_FULL)
        (void)sqlite3_file_control(store->db, "main", SQLITE_FCNTL_POWERSAFE_OVERWRITE, &keeps_neighbours);
    return (code & 0xff) == SQLITE_FULL && keeps_neighbours != 1;
}

static void commit(struct ae_sqlite_store *store, struct ae_sqlite_request *group)
{
    int code = step(store, AE_SQLITE_COMMIT);
    if (code == SQLITE_OK)
        return;
    aether_status status = ae_sqlite_fail(store->db, code, "cannot commit");
    if (is_unknown(store, code)) {
        char why[200];
        snprintf(why, sizeof why, "%s", aether_error());
        ae_sqlite_poison(store, why);
        status = aether_fail(AETHER_UNKNOWN_OUTCOME, "%.200s: whether this is saved is not known", why);
    }
    give_up(store, group, status);
}

/* Each of the group in turn; false: the transaction is broken, and all of it has an answer. */
static bool perform_each(struct ae_sqlite_store *store, struct ae_sqlite_request *group)
{
    for (struct ae_sqlite_request *request = group; request != NULL; request = request->next) {
        request->status = request->perform(store, request);
        if (request->status == AETHER_OK)
            continue;
        snprintf(request->text, sizeof request->text, "%s", aether_error());
        /* Not a decision, but something that broke: what was done in the same transaction goes with it. */
        if (request->status != AETHER_INDEX_ORDER && request->status != AETHER_AHEAD) {
            give_up(store, group, request->status);
            return false;
        }
    }
    return true;
}

static int64_t latest_deadline(const struct ae_sqlite_request *group)
{
    int64_t deadline = 0;
    for (; group != NULL; group = group->next)
        deadline = group->deadline > deadline ? group->deadline : deadline;
    return deadline;
}

/* Moves the log into the database, from time to time, inside the lock. A failure of its flush is a failure of the store. */
static void checkpoint(struct ae_sqlite_store *store, int mode)
{
    int code = sqlite3_wal_checkpoint_v2(store->db, NULL, mode, NULL, NULL);
    if (is_poison(code)) {
        (void)ae_sqlite_fail(store->db, code, "cannot force the database to disk");
        ae_sqlite_poison(store, aether_error());
    }
    store->wal_pages = 0;
}

static int count_pages(void *user, sqlite3 *db, const char *name, int pages)
{
    (void)db;
    (void)name;
    ((struct ae_sqlite_store *)user)->wal_pages = pages;
    return SQLITE_OK;
}

static void tell(struct ae_sqlite_store *store, struct ae_sqlite_request *group, bool has_committed)
{
    pthread_mutex_lock(&store->lock);
    store->commits += has_committed;
    for (struct ae_sqlite_request *next; group != NULL; group = next) {
        next = group->next;
        group->is_done = true;
        pthread_cond_signal(&group->changed); /* under the lock: once it is free, the request may be gone */
    }
    pthread_mutex_unlock(&store->lock);
}

/* Does all of the group, and tells those that wait. The lead is kept. */
static void perform(struct ae_sqlite_store *store, struct ae_sqlite_request *group)
{
    int64_t deadline = latest_deadline(group);
    aether_status status = refuse_failed(store);
    if (status == AETHER_OK)
        status = ae_sqlite_shared_lock(&store->shared, deadline);
    if (status != AETHER_OK) {
        fail_group(store, group, status);
        tell(store, group, false);
        return;
    }
    int changes = sqlite3_total_changes(store->db);
    store->generation = ae_sqlite_shared_begin(&store->shared);
    (void)sqlite3_wal_hook(store->db, count_pages, store);
    status = prepare_all(store);
    if (status == AETHER_OK)
        status = begin(store, deadline);
    if (status != AETHER_OK)
        give_up(store, group, status);
    else if (perform_each(store, group))
        commit(store, group);
    bool has_committed = sqlite3_total_changes(store->db) != changes;
    ae_sqlite_shared_finish(&store->shared, has_committed);
    tell(store, group, has_committed);
    if (store->wal_pages >= ae_sqlite_checkpoint_pages)
        checkpoint(store, SQLITE_CHECKPOINT_PASSIVE);
    ae_sqlite_shared_unlock(&store->shared);
    if (has_committed)
        ae_sqlite_shared_wake(&store->shared);
}

void ae_sqlite_last_checkpoint(struct ae_sqlite_store *store)
{
    if (store->has_failed || ae_sqlite_shared_lock(&store->shared, ae_sqlite_now() + 1000000000) != AETHER_OK)
        return;
    (void)sqlite3_busy_timeout(store->db, 0);
    checkpoint(store, SQLITE_CHECKPOINT_TRUNCATE); /* as far as readers allow */
    ae_sqlite_shared_unlock(&store->shared);
}

/* --------------------------------------------------------------------------------------------------------- leadership */

static size_t events_of(const struct ae_sqlite_request *request)
{
    size_t events = 1;
    for (size_t i = 0; i < request->count; i++)
        events += request->saves[i].count;
    return events;
}

/* As many of those that wait as one transaction shall have, in their order. Under the lock. */
static struct ae_sqlite_request *take_group(struct ae_sqlite_store *store)
{
    struct ae_sqlite_request *group = store->first, *last = group;
    size_t events = events_of(group);
    while (last->next != NULL && (events += events_of(last->next)) <= GROUP_EVENTS)
        last = last->next;
    store->first = last->next;
    if (store->first == NULL)
        store->last = NULL;
    last->next = NULL;
    return group;
}

static void join(struct ae_sqlite_store *store, struct ae_sqlite_request *request)
{
    request->next = NULL;
    *(store->last != NULL ? &store->last->next : &store->first) = request;
    store->last = request;
}

static void leave(struct ae_sqlite_store *store, struct ae_sqlite_request *request)
{
    struct ae_sqlite_request **at = &store->first, *before = NULL;
    while (*at != NULL && *at != request) {
        before = *at;
        at = &before->next;
    }
    if (*at == NULL)
        return;
    *at = request->next;
    if (store->last == request)
        store->last = before;
}

/* Under the lock. True: this one leads now; else it has its answer. */
static bool await(struct ae_sqlite_store *store, struct ae_sqlite_request *request)
{
    struct timespec until = {.tv_sec = request->deadline / 1000000000, .tv_nsec = request->deadline % 1000000000};
    while (store->is_led && !request->is_done && !request->leads) {
        if (request->deadline == AETHER_FOREVER) {
            pthread_cond_wait(&request->changed, &store->lock);
        } else if (pthread_cond_timedwait(&request->changed, &store->lock, &until) != 0 && !request->is_done &&
                   !request->leads) {
            struct ae_sqlite_request *waiting = store->first;
            while (waiting != NULL && waiting != request)
                waiting = waiting->next;
            if (waiting == NULL)
                request->deadline = AETHER_FOREVER; /* it is being done: its answer comes */
            else
                break;
        }
    }
    if (request->is_done)
        return false;
    if (!store->is_led || request->leads)
        return true;
    leave(store, request);
    snprintf(request->text, sizeof request->text, "sqlite: other saves were in the way all the time");
    request->status = AETHER_TIMEOUT;
    for (size_t i = 0; i < request->count; i++)
        if (request->saves[i].status == AETHER_OK)
            request->saves[i].status = AETHER_TIMEOUT;
    return false;
}

void ae_sqlite_request(struct ae_sqlite_store *store, struct ae_sqlite_request *request)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&request->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_lock(&store->lock);
    join(store, request);
    if (await(store, request)) {
        store->is_led = true;
        struct ae_sqlite_request *group = take_group(store);
        pthread_mutex_unlock(&store->lock);
        perform(store, group);
        pthread_mutex_lock(&store->lock);
        store->is_led = store->first != NULL;
        if (store->is_led) {
            store->first->leads = true;
            pthread_cond_signal(&store->first->changed);
        }
    }
    pthread_mutex_unlock(&store->lock);
    pthread_cond_destroy(&request->changed);
    if (request->text[0] != '\0')
        (void)aether_fail(request->status != AETHER_OK ? request->status : request->told, "%s", request->text);
}
