/*
 * The yardstick of the SQLite store: a loop on SQLite that does the same. Each transaction looks up the actor's latest
 * version and inserts `batch` events behind it, with unique versions and ids, in WAL with synchronous=FULL; then all rows
 * are read.
 */
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common.h"

enum { ACTORS = 1000 };

static int64_t events = 20000, batch = 1, payload = 200;
static sqlite3 *db;

static void run(const char *text)
{
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        bench_fail("%s: %s", text, sqlite3_errmsg(db));
}

static sqlite3_stmt *prepare(const char *text)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v3(db, text, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) != SQLITE_OK)
        bench_fail("%s: %s", text, sqlite3_errmsg(db));
    return statement;
}

static void step(sqlite3_stmt *statement)
{
    if (sqlite3_step(statement) != SQLITE_DONE)
        bench_fail("%s", sqlite3_errmsg(db));
    (void)sqlite3_reset(statement);
}

static double save_all(const char *data)
{
    sqlite3_stmt *begin = prepare("BEGIN IMMEDIATE"), *commit = prepare("COMMIT"),
                 *latest = prepare("SELECT max(version) FROM event WHERE actor = ?");
    sqlite3_stmt *insert = prepare("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
    uint64_t start = bench_now_ns();
    int64_t position = 0;
    for (int64_t done = 0; done < events; done += batch) {
        char actor[40];
        snprintf(actor, sizeof actor, "bench-0-%" PRId64, done / batch % ACTORS);
        step(begin);
        (void)sqlite3_bind_text(latest, 1, actor, -1, SQLITE_STATIC);
        if (sqlite3_step(latest) != SQLITE_ROW)
            bench_fail("%s", sqlite3_errmsg(db));
        int64_t version = sqlite3_column_int64(latest, 0);
        (void)sqlite3_reset(latest);
        for (int64_t i = 0; i < batch; i++) {
            uint64_t id[2] = {__builtin_bswap64((uint64_t)++position), 0x9e3779b97f4a7c15u * (uint64_t)position};
            (void)sqlite3_bind_int64(insert, 1, position);
            (void)sqlite3_bind_text(insert, 2, actor, -1, SQLITE_STATIC);
            (void)sqlite3_bind_int64(insert, 3, ++version);
            (void)sqlite3_bind_blob(insert, 4, id, sizeof id, SQLITE_STATIC);
            (void)sqlite3_bind_text(insert, 5, "Measured", -1, SQLITE_STATIC);
            (void)sqlite3_bind_int64(insert, 6, (int64_t)bench_now_ns());
            (void)sqlite3_bind_null(insert, 7);
            (void)sqlite3_bind_text(insert, 8, data, (int)payload, SQLITE_STATIC);
            step(insert);
        }
        step(commit);
    }
    double seconds = (double)(bench_now_ns() - start) / 1e9;
    sqlite3_stmt *all[] = {begin, commit, latest, insert};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        (void)sqlite3_finalize(all[i]);
    return seconds;
}

static double load_all(uint64_t *count)
{
    sqlite3_stmt *statement = prepare("SELECT * FROM event ORDER BY position");
    uint64_t begin = bench_now_ns(), sum = 0;
    while (sqlite3_step(statement) == SQLITE_ROW) {
        ++*count;
        for (int column = 0; column < 8; column++)
            sum += column == 0 || column == 2 || column == 5 ? (uint64_t)sqlite3_column_int64(statement, column)
                                                             : (uintptr_t)sqlite3_column_blob(statement, column) +
                                                                   (uint64_t)sqlite3_column_bytes(statement, column);
    }
    double seconds = (double)(bench_now_ns() - begin) / 1e9;
    (void)sqlite3_finalize(statement);
    return sum != 0 ? seconds : 1;
}

int main(int argc, char **argv)
{
    int64_t readers = 1; /* taken, for the smoke test of all peers */
    const struct bench_option options[] = {{.name = "events", .number = &events, .help = "to save"},
                                           {.name = "batch", .number = &batch, .help = "events of a transaction"},
                                           {.name = "payload", .number = &payload, .help = "bytes of data"},
                                           {.name = "readers", .number = &readers, .help = "means nothing"},
                                           {.name = NULL}};
    bench_options(argc, argv, "How many events a second does a loop on SQLite save and load?", options);
    if (bench_smoke)
        events = 200;
    char directory[] = "/tmp/aether-bench-XXXXXX", path[80];
    if (mkdtemp(directory) == NULL)
        bench_fail("cannot make a directory in /tmp");
    snprintf(path, sizeof path, "%s/loop.db", directory);
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        bench_fail("%s", sqlite3_errmsg(db));
    run("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-65536;"
        "CREATE TABLE event (position INTEGER PRIMARY KEY, actor TEXT, version INTEGER, id BLOB, type TEXT, timestamp "
        "INTEGER, metadata TEXT, data TEXT);"
        "CREATE UNIQUE INDEX v ON event (actor, version); CREATE UNIQUE INDEX i ON event (id)");
    char *data = bench_memory(1, (size_t)payload + 1);
    memset(data, 'x', (size_t)payload);
    double seconds = save_all(data);
    uint64_t count = 0;
    double load_seconds = load_all(&count);
    (void)sqlite3_close(db);
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", directory);
    if (system(command) != 0) /* NOLINT(cert-env33-c): the name is ours */
        bench_fail("cannot remove %s", directory);
    bench_begin("sqlite_loop");
    bench_count("batch", (uint64_t)batch);
    bench_count("payload", (uint64_t)payload);
    bench_count("events", count);
    bench_measured();
    bench_real("saved_per_s", (double)count / seconds);
    bench_real("loaded_m_per_s", (double)count / load_seconds / 1e6);
    bench_count("lost", (uint64_t)events > count ? (uint64_t)events - count : 0);
    bench_end();
    free(data);
    return 0;
}
