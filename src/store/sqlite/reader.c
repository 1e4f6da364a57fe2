/* Connections that read: taken from a pool for the length of one short transaction. */
#include <string.h>

#include "store/sqlite/sqlite.h"

static struct ae_sqlite_reader *open_reader(struct ae_sqlite_store *store)
{
    struct ae_sqlite_reader *reader = sqlite3_malloc64(sizeof *reader);
    if (reader == NULL) {
        (void)aether_fail(AETHER_NO_MEMORY, "sqlite: no memory for a reader");
        return NULL;
    }
    memset(reader, 0, sizeof *reader);
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI | SQLITE_OPEN_EXRESCODE;
    int code = sqlite3_open_v2(store->url, &reader->db, flags, NULL);
    if (code != SQLITE_OK)
        (void)ae_sqlite_fail(reader->db, code, "cannot open a connection that reads");
    else if (ae_sqlite_configure(reader->db, false) == AETHER_OK) {
        (void)sqlite3_busy_timeout(reader->db, 10000);
        return reader;
    }
    ae_sqlite_free_reader(reader);
    return NULL;
}

void ae_sqlite_free_reader(struct ae_sqlite_reader *reader)
{
    for (int i = 0; i < AE_SQLITE_SHAPES; i++) {
        (void)sqlite3_finalize(reader->shapes[i].statement);
        sqlite3_free(reader->shapes[i].text);
    }
    (void)sqlite3_close(reader->db);
    sqlite3_free(reader);
}

struct ae_sqlite_reader *ae_sqlite_take_reader(struct ae_sqlite_store *store)
{
    pthread_mutex_lock(&store->lock);
    struct ae_sqlite_reader *reader = store->readers;
    if (reader != NULL) {
        store->readers = reader->next;
        store->idle--;
    }
    pthread_mutex_unlock(&store->lock);
    return reader != NULL ? reader : open_reader(store);
}

void ae_sqlite_give_reader(struct ae_sqlite_store *store, struct ae_sqlite_reader *reader)
{
    pthread_mutex_lock(&store->lock);
    bool keep = store->idle < AE_SQLITE_READERS;
    if (keep) {
        reader->next = store->readers;
        store->readers = reader;
        store->idle++;
    }
    pthread_mutex_unlock(&store->lock);
    if (!keep)
        ae_sqlite_free_reader(reader);
}

sqlite3_stmt *ae_sqlite_shape(struct ae_sqlite_reader *reader, const char *text)
{
    for (int i = 0; i < AE_SQLITE_SHAPES; i++)
        if (reader->shapes[i].text != NULL && strcmp(reader->shapes[i].text, text) == 0)
            return reader->shapes[i].statement;
    struct ae_sqlite_shape *shape = &reader->shapes[reader->turn++ % AE_SQLITE_SHAPES];
    (void)sqlite3_finalize(shape->statement);
    sqlite3_free(shape->text);
    *shape = (struct ae_sqlite_shape){NULL, NULL};
    int code = sqlite3_prepare_v3(reader->db, text, -1, SQLITE_PREPARE_PERSISTENT, &shape->statement, NULL);
    if (code == SQLITE_OK)
        shape->text = sqlite3_mprintf("%s", text);
    if (shape->text != NULL)
        return shape->statement;
    (void)sqlite3_finalize(shape->statement);
    shape->statement = NULL;
    (void)ae_sqlite_fail(reader->db, code != SQLITE_OK ? code : SQLITE_NOMEM, "cannot prepare a statement");
    return NULL;
}

/* Ends what a reader has read. */
static aether_status finish(struct ae_sqlite_store *store, struct ae_sqlite_reader *reader, sqlite3_stmt *statement,
                            int code, const char *what)
{
    aether_status status = AETHER_OK;
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        status = ae_sqlite_fail(reader->db, code, what);
    (void)sqlite3_reset(statement);
    ae_sqlite_give_reader(store, reader);
    return status;
}

aether_status ae_sqlite_latest(void *driver, aether_text actor, int64_t deadline, int64_t *version, uint64_t *generation)
{
    (void)deadline;
    struct ae_sqlite_store *store = driver;
    *generation =
        ae_sqlite_shared_generation(&store->shared); /* before the question: what comes after it is not in the answer */
    struct ae_sqlite_reader *reader = ae_sqlite_take_reader(store);
    if (reader == NULL)
        return aether_error_status();
    sqlite3_stmt *statement = ae_sqlite_shape(reader, "SELECT max(version) FROM event WHERE actor = ?");
    if (statement == NULL) {
        ae_sqlite_give_reader(store, reader);
        return aether_error_status();
    }
    (void)sqlite3_bind_text64(statement, 1, actor.data, actor.size, SQLITE_STATIC, SQLITE_UTF8);
    int code = sqlite3_step(statement);
    *version = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    return finish(store, reader, statement, code, "cannot read an actor's latest version");
}

aether_status ae_sqlite_newest(void *driver, int64_t deadline, uint64_t *index)
{
    (void)deadline;
    struct ae_sqlite_store *store = driver;
    struct ae_sqlite_reader *reader = ae_sqlite_take_reader(store);
    if (reader == NULL)
        return aether_error_status();
    sqlite3_stmt *statement = ae_sqlite_shape(reader, "SELECT max(position) FROM event");
    if (statement == NULL) {
        ae_sqlite_give_reader(store, reader);
        return aether_error_status();
    }
    int code = sqlite3_step(statement);
    *index = code == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
    return finish(store, reader, statement, code, "cannot read the newest position");
}

aether_status ae_sqlite_state_load(void *driver, aether_text actor, aether_text name, int64_t deadline,
                                   void (*take)(const aether_state_snapshot *snapshot, void *user), void *user)
{
    (void)deadline;
    struct ae_sqlite_store *store = driver;
    struct ae_sqlite_reader *reader = ae_sqlite_take_reader(store);
    if (reader == NULL)
        return aether_error_status();
    sqlite3_stmt *statement = ae_sqlite_shape(
        reader, "SELECT version, reducer_version, timestamp, checksum, bytes FROM state WHERE actor = ? AND reducer = ?");
    if (statement == NULL) {
        ae_sqlite_give_reader(store, reader);
        return aether_error_status();
    }
    (void)sqlite3_bind_text64(statement, 1, actor.data, actor.size, SQLITE_STATIC, SQLITE_UTF8);
    (void)sqlite3_bind_text64(statement, 2, name.data, name.size, SQLITE_STATIC, SQLITE_UTF8);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        aether_state_snapshot snapshot = {.version = sqlite3_column_int64(statement, 0),
                                          .reducer_version = (uint32_t)sqlite3_column_int64(statement, 1),
                                          .timestamp = sqlite3_column_int64(statement, 2),
                                          .checksum = (uint32_t)sqlite3_column_int64(statement, 3)};
        snapshot.bytes.data = sqlite3_column_blob(statement, 4);
        snapshot.bytes.size = (size_t)sqlite3_column_bytes(statement, 4);
        take(&snapshot, user);
    }
    aether_status status = finish(store, reader, statement, code, "cannot read a snapshot");
    return status == AETHER_OK && code == SQLITE_DONE ? AETHER_NOT_FOUND : status;
}

aether_status ae_sqlite_checkpoint_load(void *driver, aether_text name, int64_t deadline, uint64_t *index)
{
    (void)deadline;
    struct ae_sqlite_store *store = driver;
    struct ae_sqlite_reader *reader = ae_sqlite_take_reader(store);
    if (reader == NULL)
        return aether_error_status();
    sqlite3_stmt *statement = ae_sqlite_shape(reader, "SELECT position FROM checkpoint WHERE name = ?");
    if (statement == NULL) {
        ae_sqlite_give_reader(store, reader);
        return aether_error_status();
    }
    (void)sqlite3_bind_text64(statement, 1, name.data, name.size, SQLITE_STATIC, SQLITE_UTF8);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *index = (uint64_t)sqlite3_column_int64(statement, 0);
    aether_status status = finish(store, reader, statement, code, "cannot read a checkpoint");
    return status == AETHER_OK && code == SQLITE_DONE ? AETHER_NOT_FOUND : status;
}
