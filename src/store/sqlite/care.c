/* Looking after a store: copies, and a look at everything. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store/sqlite/sqlite.h"

/* The copy is a store of its own: with an identity of its own, and without what others have noted of the old one's
 * positions. */
static aether_status make_own(sqlite3 *copy)
{
    uint8_t id[16];
    uint64_t epoch = 0;
    while (epoch == 0) {
        aether_id_draw(id);
        memcpy(&epoch, id + 8, sizeof epoch);
    }
    int code =
        sqlite3_exec(copy, "PRAGMA journal_mode=DELETE; PRAGMA synchronous=EXTRA; DELETE FROM checkpoint", NULL, NULL, NULL);
    aether_status status =
        code == SQLITE_OK ? ae_sqlite_set_epoch(copy, epoch) : ae_sqlite_fail(copy, code, "cannot finish the copy");
    if (status == AETHER_OK && (code = sqlite3_exec(copy, "PRAGMA journal_mode=WAL", NULL, NULL, NULL)) != SQLITE_OK)
        status = ae_sqlite_fail(copy, code, "cannot finish the copy");
    return status;
}

static aether_status copy_pages(sqlite3 *from, sqlite3 *to)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
    if (backup == NULL)
        return ae_sqlite_fail(to, sqlite3_extended_errcode(to), "cannot begin the copy");
    int code = sqlite3_backup_step(backup, -1); /* all in one: it is of one instant */
    int end = sqlite3_backup_finish(backup);
    if (code == SQLITE_DONE && end == SQLITE_OK)
        return AETHER_OK;
    return ae_sqlite_fail(to, end != SQLITE_OK ? end : code, "cannot copy");
}

aether_status ae_sqlite_copy(void *driver, const char *place)
{
    struct ae_sqlite_store *store = driver;
    if (access(place, F_OK) == 0)
        return aether_fail(AETHER_EXISTS, "aether_store_copy: \"%.120s\" is there already", place);
    struct ae_sqlite_reader *reader = ae_sqlite_take_reader(store);
    if (reader == NULL)
        return aether_error_status();
    sqlite3 *copy = NULL;
    int code = sqlite3_open_v2(
        place, &copy, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    aether_status status = code == SQLITE_OK ? AETHER_OK : ae_sqlite_fail(copy, code, "cannot make the copy");
    if (status == AETHER_OK)
        status = copy_pages(reader->db, copy);
    if (status == AETHER_OK)
        status = make_own(copy);
    (void)sqlite3_close(copy);
    ae_sqlite_give_reader(store, reader);
    if (status != AETHER_OK)
        (void)unlink(place); /* half a copy is none */
    return status;
}

static aether_status check_pages(struct ae_sqlite_reader *reader, aether_fault_fn fault, void *user)
{
    sqlite3_stmt *statement = ae_sqlite_shape(reader, "PRAGMA integrity_check(100)");
    if (statement == NULL)
        return aether_error_status();
    int code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        if (text != NULL && strcmp(text, "ok") != 0)
            fault(text, 0, user);
    }
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
        fault(sqlite3_errmsg(reader->db), 0, user);
    else if (code != SQLITE_DONE)
        return ae_sqlite_fail(reader->db, code, "cannot check the file");
    (void)sqlite3_reset(statement);
    return AETHER_OK;
}

/* Rows that should not be: each question gives a text and a position. */
static aether_status check_rows(struct ae_sqlite_reader *reader, aether_fault_fn fault, void *user)
{
    /* In brackets: each is one text in pieces. */
    static const char *const questions[] = {
        ("SELECT 'an actor goes on after its closing event', min(e.position) FROM event e JOIN (SELECT actor, min(version) "
         "AS"
         " version FROM event WHERE flags & 2 GROUP BY actor) c ON c.actor = e.actor WHERE e.version > c.version"
         " GROUP BY e.actor"),
        ("SELECT 'a snapshot is ahead of its actor, \"' || s.actor || '\"', 0 FROM state s WHERE s.version > (SELECT"
         " coalesce(max(version), 0) FROM event e WHERE e.actor = s.actor)"),
        ("SELECT 'a checkpoint is beyond the newest event, \"' || name || '\"', 0 FROM checkpoint WHERE position > (SELECT"
         " coalesce(max(position), 0) FROM event)"),
    };
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        sqlite3_stmt *statement = ae_sqlite_shape(reader, questions[i]);
        if (statement == NULL)
            return aether_error_status();
        int code;
        while ((code = sqlite3_step(statement)) == SQLITE_ROW)
            fault((const char *)sqlite3_column_text(statement, 0), (uint64_t)sqlite3_column_int64(statement, 1), user);
        if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
            fault(sqlite3_errmsg(reader->db), 0, user);
        (void)sqlite3_reset(statement);
    }
    return AETHER_OK;
}

aether_status ae_sqlite_verify(void *driver, aether_fault_fn fault, void *user)
{
    struct ae_sqlite_store *store = driver;
    struct ae_sqlite_reader *reader = ae_sqlite_take_reader(store);
    if (reader == NULL)
        return aether_error_status();
    aether_status status = check_pages(reader, fault, user);
    if (status == AETHER_OK)
        status = check_rows(reader, fault, user);
    ae_sqlite_give_reader(store, reader);
    return status;
}
