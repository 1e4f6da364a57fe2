/*
 * The SQLite store: the driver "sqlite". docs/disk-format.md has the tables.
 *
 *      savers ──▶ queue ──▶ the leader: lock the file beside, BEGIN, decide each, COMMIT, unlock, tell them ──▶ the next
 * leader readers ──▶ pool of connections, each in short read transactions of a page of events
 *
 * There is one connection that writes, used by whoever leads (`is_led`); it alone checkpoints, inside the same lock. Between
 * processes the lock of the file beside keeps leaders apart, so that one connection at a time writes to the file at all:
 * that also closes the race in SQLite's WAL reset that its 3.51.3 repaired.
 *
 * Where a flush fails nobody knows what is on the disk (Rebello et al., "Can applications recover from fsync failures?",
 * 2020): the store is failed for good, and nothing is written any more.
 */
#ifndef AE_SQLITE_H
#define AE_SQLITE_H

#include <pthread.h>
#include <sqlite3.h>

#include "aether/driver.h"
#include "store/sqlite/shared.h"

enum { AE_SQLITE_APPLICATION = 0x61657468, AE_SQLITE_FORMAT = 1, AE_SQLITE_READERS = 16, AE_SQLITE_SHAPES = 8 };

/* The statements of the connection that writes. */
enum ae_sqlite_write {
    AE_SQLITE_BEGIN,
    AE_SQLITE_COMMIT,
    AE_SQLITE_ROLLBACK,
    AE_SQLITE_LATEST,
    AE_SQLITE_NEWEST,
    AE_SQLITE_FIND_ID,
    AE_SQLITE_STORED,
    AE_SQLITE_INSERT,
    AE_SQLITE_STATE,
    AE_SQLITE_CHECKPOINT,
    AE_SQLITE_CHECKPOINT_NOW,
    AE_SQLITE_WRITES
};

/* A statement of a reader, remembered by its text. */
struct ae_sqlite_store;

struct ae_sqlite_shape {
    char *text; /* SQLite's memory */
    sqlite3_stmt *statement;
};

struct ae_sqlite_reader {
    struct ae_sqlite_reader *next;
    sqlite3 *db;
    struct ae_sqlite_shape shapes[AE_SQLITE_SHAPES];
    unsigned turn; /* of the shape to give up next */
};

/* What the leader does for somebody. */
struct ae_sqlite_request {
    struct ae_sqlite_request *next;
    aether_status (*perform)(struct ae_sqlite_store *store, struct ae_sqlite_request *request);
    aether_driver_save *saves; /* of a save */
    size_t count;
    aether_text actor, name; /* of a state, a checkpoint */
    const aether_state_snapshot *snapshot;
    uint64_t index;
    int64_t deadline;
    aether_status status;
    bool is_done, leads;
    pthread_cond_t changed;
    aether_status told; /* the last failure of its saves; AETHER_OK: none */
    char text[256];     /* of the failure, for aether_error() of its own thread */
};

/*
 * What the leader remembers of actors, so that it need not ask for each save: right while nobody else has committed (the
 * generation is the same) and no transaction of ours was taken back, which empties it.
 */
enum { AE_SQLITE_KNOWN = 8192, AE_SQLITE_KNOWN_NAME = 44 };

struct ae_sqlite_known {
    uint64_t generation; /* 0: free */
    int64_t latest;
    uint16_t name_size;
    bool has_ended;
    char name[AE_SQLITE_KNOWN_NAME];
};

struct ae_sqlite_store {
    aether_allocator allocator;
    aether_store_options options;
    aether_driver_facts facts;
    char *url;  /* as it was given */
    char *path; /* of the file, as SQLite names it */
    struct ae_sqlite_shared shared;
    pthread_mutex_t lock;                   /* the queue, the pool */
    struct ae_sqlite_request *first, *last; /* lock: lock */
    bool is_led;                            /* lock: lock */
    bool has_failed;                        /* lock: lock; for good */
    char why[256];                          /* it failed */
    struct ae_sqlite_reader *readers;       /* idle; lock: lock */
    size_t idle;
    sqlite3 *db; /* the leader's, with all below */
    sqlite3_stmt *writes[AE_SQLITE_WRITES];
    uint64_t committed;            /* the newest position before the transaction under way */
    uint64_t newest;               /* as far as this handle knows: right inside a transaction */
    uint64_t generation;           /* of the transaction under way */
    struct ae_sqlite_known *known; /* NULL: no memory for it */
    int wal_pages;
    uint64_t commits; /* lock: lock */
};

/* The log is moved into the database when it has so many pages. Tests make it few. */
extern int ae_sqlite_checkpoint_pages;

/* Remembers for aether_error() what `db` says. */
aether_status ae_sqlite_fail(sqlite3 *db, int code, const char *what);
AETHER_CHECKED aether_status ae_sqlite_status(int code);
int64_t ae_sqlite_now(void);

/* schema.c */
AETHER_CHECKED aether_status ae_sqlite_prepare_file(struct ae_sqlite_store *store, int64_t deadline);
AETHER_CHECKED aether_status ae_sqlite_configure(sqlite3 *db, bool writes);
AETHER_CHECKED aether_status ae_sqlite_set_epoch(sqlite3 *db, uint64_t epoch);

/* commit.c: has it done by whoever leads, with the others that wait. Fills request->status. */
void ae_sqlite_request(struct ae_sqlite_store *store, struct ae_sqlite_request *request);
/* For good. */
void ae_sqlite_poison(struct ae_sqlite_store *store, const char *why);
/* All of the log goes into the database, when a handle is closed. */
void ae_sqlite_last_checkpoint(struct ae_sqlite_store *store);

/* save.c */
aether_status ae_sqlite_perform_saves(struct ae_sqlite_store *store, struct ae_sqlite_request *request);
aether_status ae_sqlite_perform_state(struct ae_sqlite_store *store, struct ae_sqlite_request *request);
aether_status ae_sqlite_perform_checkpoint(struct ae_sqlite_store *store, struct ae_sqlite_request *request);

/* reader.c */
struct ae_sqlite_reader *ae_sqlite_take_reader(struct ae_sqlite_store *store);
void ae_sqlite_give_reader(struct ae_sqlite_store *store, struct ae_sqlite_reader *reader);
void ae_sqlite_free_reader(struct ae_sqlite_reader *reader);
/* A statement of this text, reset; NULL with a failure remembered. */
sqlite3_stmt *ae_sqlite_shape(struct ae_sqlite_reader *reader, const char *text);
aether_status ae_sqlite_latest(void *driver, aether_text actor, int64_t deadline, int64_t *version, uint64_t *generation);
aether_status ae_sqlite_newest(void *driver, int64_t deadline, uint64_t *index);
aether_status ae_sqlite_state_load(void *driver, aether_text actor, aether_text name, int64_t deadline,
                                   void (*take)(const aether_state_snapshot *snapshot, void *user), void *user);
aether_status ae_sqlite_checkpoint_load(void *driver, aether_text name, int64_t deadline, uint64_t *index);

/* replay.c */
aether_status ae_sqlite_replay_open(void *driver, const aether_driver_replay *what, int64_t deadline, void **opened);
aether_status ae_sqlite_replay_next(void *opened, aether_event *event, int64_t timeout_ns);
void ae_sqlite_replay_close(void *opened);

/* row.c: the columns that an event is read from, and how. */
#define AE_SQLITE_COLUMNS "position, actor, version, id, type, timestamp, flags, metadata, data, extra, checksum"
/* NULL: it is an event. Else what is wrong with it, of static duration. Views are borrowed until the statement moves. */
const char *ae_sqlite_row(sqlite3_stmt *statement, aether_event *event);

/* care.c */
aether_status ae_sqlite_copy(void *driver, const char *place);
aether_status ae_sqlite_verify(void *driver, aether_fault_fn fault, void *user);

#endif
