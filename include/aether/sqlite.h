/*
 * The store in a file: the driver "sqlite", on SQLite. Link aether::sqlite.
 *
 *      aether_store_use(aether_sqlite_driver());
 *      aether_store *store = aether_store_open("sqlite:orders.db", NULL);
 *
 * What stands after the colon is a path, or a URI of SQLite's that begins with "file:". docs/disk-format.md has the tables.
 *
 *  - An acknowledgement means: forced to disk (WAL, synchronous=FULL; checked when it is opened). Saves that wait at the
 * same time share one flush: the first of them commits for all (STO9).
 *  - Several processes of one machine may have the store open, for reading and for writing. Not over a network file system.
 *    Beside the file stand SQLite's -wal and -shm, and -aether, which has a lock and a page that all handles share.
 *  - Anybody may read the file with sqlite3 while it is in use. Whoever writes to it with anything else breaks it.
 *  - After a flush to disk has failed nobody knows what is on it: from then on every save answers AETHER_FAILED, until the
 *    store is closed and opened again. A save that was under way answers AETHER_UNKNOWN_OUTCOME.
 *  - SQLite allocates by itself; only what is ours comes from the store's allocator.
 *
 * Since 0.1.0.
 */
#ifndef AETHER_SQLITE_H
#define AETHER_SQLITE_H

#include "aether/driver.h"

#ifdef __cplusplus
extern "C" {
#endif

/* For aether_store_use(). Never NULL. */
AETHER_API const aether_driver *aether_sqlite_driver(void);

#ifdef __cplusplus
}
#endif

#endif
