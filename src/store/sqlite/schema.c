/* The file: what makes it a store of ours, and its tables. docs/disk-format.md is the same for people. */
#include <stdio.h>
#include <string.h>

#include "store/sqlite/sqlite.h"

static const char tables[] =
    "CREATE TABLE store (key TEXT PRIMARY KEY, value ANY NOT NULL) WITHOUT ROWID, STRICT;"
    "CREATE TABLE event (position INTEGER PRIMARY KEY, actor TEXT NOT NULL, version INTEGER NOT NULL, id BLOB NOT NULL,"
    " type TEXT NOT NULL, timestamp INTEGER NOT NULL, flags INTEGER NOT NULL, metadata ANY, data ANY, extra ANY,"
    " checksum INTEGER NOT NULL) STRICT;"
    "CREATE UNIQUE INDEX event_version ON event (actor, version);"
    "CREATE INDEX event_id ON event (id);"
    "CREATE TABLE state (actor TEXT NOT NULL, reducer TEXT NOT NULL, version INTEGER NOT NULL, reducer_version INTEGER NOT "
    "NULL,"
    " timestamp INTEGER NOT NULL, checksum INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (actor, reducer)) WITHOUT "
    "ROWID, STRICT;"
    "CREATE TABLE checkpoint (name TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID, STRICT;";

/* The first column of the first row; `otherwise` where there is none. */
static int number_of(sqlite3 *db, const char *text, int64_t otherwise, int64_t *number)
{
    sqlite3_stmt *statement;
    int code = sqlite3_prepare_v2(db, text, -1, &statement, NULL);
    if (code != SQLITE_OK)
        return code;
    code = sqlite3_step(statement);
    *number = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : otherwise;
    int end = sqlite3_finalize(statement);
    return code == SQLITE_ROW || code == SQLITE_DONE ? end : code;
}

static int execute(sqlite3 *db, const char *text)
{
    return sqlite3_exec(db, text, NULL, NULL, NULL);
}

aether_status ae_sqlite_set_epoch(sqlite3 *db, uint64_t epoch)
{
    char text[160];
    snprintf(text, sizeof text, "INSERT OR REPLACE INTO store VALUES ('epoch', %lld)", (long long)epoch);
    int code = execute(db, text);
    return code == SQLITE_OK ? AETHER_OK : ae_sqlite_fail(db, code, "cannot write the store's identity");
}

aether_status ae_sqlite_configure(sqlite3 *db, bool writes)
{
    int code, done = 0;
    /* Only the connection that writes moves the log into the database, inside the lock, and never by itself. */
    code = sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, &done);
    if (code == SQLITE_OK)
        code = sqlite3_wal_autocheckpoint(db, 0);
    if (code == SQLITE_OK)
        code = execute(
            db, writes ? "PRAGMA synchronous=FULL; PRAGMA mmap_size=0; PRAGMA cache_size=-65536; PRAGMA temp_store=MEMORY"
                       : "PRAGMA query_only=1; PRAGMA cache_size=-8192; PRAGMA temp_store=MEMORY");
    if (code == SQLITE_NOTADB)
        return aether_fail(AETHER_NO_STORE, "sqlite: \"%.120s\" is no SQLite database", sqlite3_db_filename(db, "main"));
    return code == SQLITE_OK ? AETHER_OK : ae_sqlite_fail(db, code, "cannot set up the connection");
}

/* An acknowledgement says "on disk": that is checked, not believed. */
static aether_status check_durability(struct ae_sqlite_store *store)
{
    int64_t synchronous = 0;
    int code = number_of(store->db, "PRAGMA synchronous", -1, &synchronous);
    if (code != SQLITE_OK)
        return ae_sqlite_fail(store->db, code, "cannot ask how the file is forced to disk");
    if (synchronous != 2)
        return aether_fail(AETHER_SYSTEM, "sqlite: this SQLite does not force commits to disk (synchronous is %lld, not 2)",
                           (long long)synchronous);
    return AETHER_OK;
}

static int make_tables(struct ae_sqlite_store *store)
{
    uint8_t id[16];
    uint64_t epoch = store->options.epoch;
    while (epoch == 0) {
        aether_id_draw(id);
        memcpy(&epoch, id + 8, sizeof epoch);
    }
    int code = execute(store->db, tables);
    char text[400];
    snprintf(text, sizeof text,
             "INSERT INTO store VALUES ('epoch', %lld), ('created', %lld), ('contiguous', %d); PRAGMA application_id=%d; "
             "PRAGMA user_version=%d",
             (long long)epoch, (long long)aether_now(), store->options.contiguous, AE_SQLITE_APPLICATION, AE_SQLITE_FORMAT);
    return code == SQLITE_OK ? execute(store->db, text) : code;
}

static aether_status make_store(struct ae_sqlite_store *store)
{
    if (store->options.read_only || store->options.must_exist)
        return aether_fail(AETHER_NO_STORE, "sqlite: \"%.120s\" is empty, there is no store in it", store->path);
    /*
     * The change to WAL still goes by the old kind of journal. EXTRA forces its deletion to disk, too: did it come back
     * after a crash, it would take back the change, and with it all that the log has by then.
     */
    int code = execute(store->db, "PRAGMA synchronous=EXTRA; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL");
    if (code == SQLITE_OK)
        code = execute(store->db, "BEGIN IMMEDIATE");
    if (code == SQLITE_OK)
        code = make_tables(store);
    if (code == SQLITE_OK)
        code = execute(store->db, "COMMIT");
    if (code == SQLITE_OK)
        return AETHER_OK;
    aether_status status = ae_sqlite_fail(store->db, code, "cannot make the store");
    (void)execute(store->db, "ROLLBACK");
    return status;
}

static aether_status look_at_file(struct ae_sqlite_store *store, bool *is_new)
{
    int64_t application = 0, format = 0, tables_there = 0;
    int code = number_of(store->db, "PRAGMA application_id", 0, &application);
    if (code == SQLITE_OK)
        code = number_of(store->db, "PRAGMA user_version", 0, &format);
    if (code == SQLITE_OK)
        code = number_of(store->db, "SELECT count(*) FROM sqlite_schema", 0, &tables_there);
    if (code != SQLITE_OK)
        return ae_sqlite_fail(store->db, code, "cannot read the file");
    *is_new = application == 0 && format == 0 && tables_there == 0;
    if (!*is_new && application != AE_SQLITE_APPLICATION)
        return aether_fail(AETHER_NO_STORE,
                           "sqlite: \"%.120s\" is an SQLite database, but no store of aether's (its application id is %lld)",
                           store->path, (long long)application);
    if (format > AE_SQLITE_FORMAT)
        return aether_fail(AETHER_NEWER_FORMAT,
                           "sqlite: \"%.120s\" has format %lld, this version of aether knows up to %d: use a newer one",
                           store->path, (long long)format, AE_SQLITE_FORMAT);
    return AETHER_OK;
}

static aether_status read_facts(struct ae_sqlite_store *store)
{
    int64_t epoch = 0, contiguous = 0, newest = 0;
    int code = number_of(store->db, "SELECT value FROM store WHERE key = 'epoch'", 0, &epoch);
    if (code == SQLITE_OK)
        code = number_of(store->db, "SELECT value FROM store WHERE key = 'contiguous'", 0, &contiguous);
    if (code == SQLITE_OK)
        code = number_of(store->db, "SELECT max(position) FROM event", 0, &newest);
    if (code != SQLITE_OK)
        return ae_sqlite_fail(store->db, code, "cannot read the store");
    if (epoch == 0)
        return aether_fail(AETHER_MALFORMED, "sqlite: the store \"%.120s\" has no identity: it is damaged", store->path);
    store->newest = (uint64_t)newest;
    store->facts = (aether_driver_facts){.epoch = (uint64_t)epoch,
                                         .durability = AETHER_ON_DISK,
                                         .read_only = store->options.read_only,
                                         .contiguous = contiguous != 0};
    return AETHER_OK;
}

/* One process makes the store, others wait for it. */
aether_status ae_sqlite_prepare_file(struct ae_sqlite_store *store, int64_t deadline)
{
    aether_status status = ae_sqlite_shared_lock(&store->shared, deadline);
    if (status != AETHER_OK)
        return status;
    bool is_new = false;
    status = ae_sqlite_configure(store->db, !store->options.read_only);
    if (status == AETHER_OK)
        status = look_at_file(store, &is_new);
    if (status == AETHER_OK && is_new)
        status = make_store(store);
    if (status == AETHER_OK && !store->options.read_only)
        status = check_durability(store);
    if (status == AETHER_OK)
        status = read_facts(store);
    ae_sqlite_shared_unlock(&store->shared);
    return status;
}
