/*
 * What all handles of one file share, across processes: the file "-aether" beside it.
 *
 *      byte 0 of it is locked (an open-file-description lock) for the length of a commit or a checkpoint
 *      its first page is mapped by all: who commits, how many commits there were, a word to sleep on
 *
 * A handle knows at any instant, by a few loads, whether anybody else has committed since its own last commit: that is the
 * generation of the version cache. Whoever dies in the middle of a commit leaves `committing` set: nobody remembers anything
 * until the next one commits.
 */
#ifndef AE_SQLITE_SHARED_H
#define AE_SQLITE_SHARED_H

#include <pthread.h>

#include "aether/driver.h"

/* In the file; all atomic, S7. A new file is all zeros. */
struct ae_sqlite_page {
    uint64_t magic;
    uint64_t commits;    /* by anybody */
    uint64_t committing; /* the handle that is at it; 0: nobody */
    uint32_t word;       /* another one after each commit and each wake-up */
    uint32_t sleepers;   /* on the word; too many where one has died */
};

struct ae_sqlite_shared {
    int file;                    /* -1: none can be made: nothing is shared, nothing remembered */
    struct ae_sqlite_page *page; /* NULL: likewise */
    uint64_t me;
    pthread_mutex_t lock;
    uint64_t sequence; /* atomic, S7: odd while the next two change */
    uint64_t expected; /* atomic, S7: page->commits, as far as this handle knows */
    uint64_t foreign;  /* atomic, S7: the generation: grows where `expected` was not what was found */
};

/* Opens the file, or makes it. */
AETHER_CHECKED aether_status ae_sqlite_shared_open(struct ae_sqlite_shared *shared, const char *database, bool read_only);
void ae_sqlite_shared_close(struct ae_sqlite_shared *shared);

/* Keeps all others from committing. AETHER_TIMEOUT. */
AETHER_CHECKED aether_status ae_sqlite_shared_lock(struct ae_sqlite_shared *shared, int64_t deadline);
void ae_sqlite_shared_unlock(struct ae_sqlite_shared *shared);

/* Inside the lock: a commit is to come; the generation. Then: it is done, if it is, and what follows may be told. */
uint64_t ae_sqlite_shared_begin(struct ae_sqlite_shared *shared);
void ae_sqlite_shared_finish(struct ae_sqlite_shared *shared, bool has_committed);

/* 0: not known. */
uint64_t ae_sqlite_shared_generation(struct ae_sqlite_shared *shared);

/* Sleeps until the word is no longer `seen`, the deadline, or for no reason. */
uint32_t ae_sqlite_shared_word(struct ae_sqlite_shared *shared);
void ae_sqlite_shared_sleep(struct ae_sqlite_shared *shared, uint32_t seen, int64_t deadline);
void ae_sqlite_shared_wake(struct ae_sqlite_shared *shared);

#endif
