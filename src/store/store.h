/*
 * An open store: the part before the driver (aether/driver.h).
 *
 *      save.c       completes events, keeps the counts       cache.c     latest versions
 *      replay.c     streams, upcasts, follows                state.c     states and snapshots; automatic.c makes them
 *      announce.c   the one file that names the bus          memory*.c   the driver "memory"
 */
#ifndef AE_STORE_H
#define AE_STORE_H

#include <pthread.h>

#include "aether/driver.h"
#include "base/atomic.h"
#include "store/cache.h"
#include "store/edges.h"

struct ae_automatic;
struct ae_announcer;

/* All atomic, relaxed: S6. */
struct ae_store_counters {
    uint64_t saves, saved_events, duplicates, conflicts, refused;
    uint64_t loaded_events, malformed, latest_cached, latest_asked, announced;
    uint64_t states_loaded, states_from_snapshot, states_replayed;
    uint64_t snapshots_made, snapshots_failed, snapshots_set_aside;
};

struct aether_store {
    const aether_driver *driver;   /* const after open */
    void *impl;                    /* const after open: the driver's */
    aether_driver_facts facts;     /* const after open */
    aether_allocator allocator;    /* const after open */
    aether_store_options options;  /* const after open */
    uint32_t fork_generation;      /* const after open */
    uint32_t references;           /* atomic, S4: the handle and its replays */
    uint32_t closed;               /* atomic, S5 */
    pthread_mutex_t lock;          /* the list of replays, the start of threads */
    struct aether_replay *replays; /* lock: lock */
    struct ae_version_cache cache;
    struct ae_store_counters counters;
    struct ae_automatic *automatic; /* lock: lock to set; atomic, S5: to find */
    struct ae_announcer *announcer;
};

/* AETHER_INVALID, AETHER_FORKED with a text, or AETHER_OK. */
AETHER_CHECKED aether_status ae_store_refuse(const aether_store *store, const char *call);
AETHER_CHECKED aether_status ae_store_refuse_writing(const aether_store *store, const char *call);

void ae_store_hold(aether_store *store);
/* The last one closes the driver's store and frees this. */
void ae_store_drop(aether_store *store);

/* The instant until which a call may wait. */
int64_t ae_store_deadline(const aether_store *store, int64_t timeout_ns);

/* An actor's, type's, reducer's or checkpoint's name: 1 to AETHER_NAME_MAX bytes of UTF-8 without NUL. */
AETHER_CHECKED aether_status ae_name_check(const char *name, size_t size, const char *what, const char *call);

/* As aether_id_draw(), where the time is known already. */
void ae_id_draw_at(uint8_t id[16], int64_t time);

/* A thread of the library's own, with all signals blocked. */
AETHER_CHECKED aether_status ae_store_thread(pthread_t *thread, void *(*body)(void *), void *user, const char *name);

static inline void ae_count(uint64_t *counter, uint64_t number)
{
    (void)AE_ADD(S6_COUNT, counter, number, relaxed); /* S6: for statistics */
}

/* The newest version may have become `version`, by a save of ours. */
void ae_automatic_note(struct ae_automatic *automatic, aether_text actor, int64_t version, size_t events);
void ae_automatic_stop(struct ae_automatic *automatic);

AETHER_CHECKED aether_status ae_announcer_start(aether_store *store);
void ae_announcer_stop(struct ae_announcer *announcer);

extern const aether_driver ae_memory_driver;

#endif
