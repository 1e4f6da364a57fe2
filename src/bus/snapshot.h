/*
 * Snapshots: a buffer of its own that a handler fills, ended by a mark and spliced to the feed.
 *
 *      [snapshot's events ...][end mark] ──splice──▶ feed, from the place where it stood before the handler began
 *
 *      references = [the feed knows it] + [it is being made] + subscriptions that read it
 *
 * What a watcher finds behind the mark and at or below the snapshot's index it passes over. One that is being made, or
 * cached, serves all watchers of its feed.
 */
#ifndef AE_SNAPSHOT_H
#define AE_SNAPSHOT_H

#include "bus/crew.h"
#include "bus/feed.h"
#include "bus/table.h"

/* Who makes snapshots of what a pattern covers. Guard: the role. */
struct ae_handler {
    aether_snapshot_handler given; /* const */
    uint32_t references;           /* [in the trie] + snapshots that are being made */
    uint32_t running;
    uint16_t prefix_size; /* of the handle that it was registered with */
    uint16_t size;
    char pattern[]; /* const */
};

/* What a snapshot has of a subject, where each counts for itself. */
struct ae_mark {
    struct ae_entry entry;
    uint64_t index;
    char subject[];
};

struct aether_snapshot {
    struct ae_job job;
    struct ae_domain *domain;                /* const; a reference while it is being made */
    aether_allocator allocator;              /* const */
    struct ae_feed *feed;                    /* guard: the role; a hold, while it is being made */
    struct ae_handler *handler;              /* const; while it is being made */
    struct aether_snapshot *previous, *next; /* guard: the role; in the domain's list, while it is being made or cached */
    uint64_t number;                         /* const; of the domain's snapshots, from 1 */
    aether_buffer *buffer;                   /* its writer is the maker */
    aether_cursor *live;                     /* guard: the maker; NULL once it is spliced */
    uint64_t live_events;                    /* const: of the feed, before the splice's place */
    uint64_t live_items;                     /* const: likewise */
    uint64_t live_bytes;                     /* const: likewise */
    uint64_t cache_bytes;                    /* const: how much may be published since */
    uint64_t least_index;                    /* const: what its state has to include */
    uint64_t epoch;                          /* const */
    bool by_subject, on_pool;                /* const */
    bool is_ready;                           /* guard: the role */
    struct ae_feed *cached_by;               /* guard: the role; which knows it, once it is ready */
    bool is_stuck;                           /* guard: the role; given up, and a thread of the pool is in it */
    int64_t due;                             /* guard: the role; its deadline, then when it leaves the cache */
    uint64_t events;                         /* guard: the maker; appended */
    struct ae_table marks;                   /* by subject; the maker's until the end mark */
    struct ae_failure failure;               /* why it failed, written before its buffer ends */
    uint32_t cancelled;                      /* atomic: B4; the reason, an aether_status */
    uint32_t references;                     /* atomic: B3 */
};

/* The most specific handler that covers the pattern, or NULL. `*no_memory` is left alone otherwise. */
struct ae_handler *ae_handler_find(struct ae_domain *domain, aether_text pattern);

/* All of them: nobody has the domain any more. */
void ae_handlers_free(struct ae_domain *domain);

/*
 * A reference on a snapshot of the feed that begins at `least_events` of it or later: the one that is there, or a new one,
 * which the caller then has made (*is_new). NULL: no memory, with a text. Under the role.
 */
struct aether_snapshot *ae_snapshot_join(struct ae_feed *feed, struct ae_handler *handler, uint64_t least_events,
                                         bool *is_new, const char *call);

/* Has a new one made, here or on the pool. What goes wrong reaches those who read it. Not under the role. */
void ae_snapshot_make(struct aether_snapshot *snapshot, const char *call);

void ae_snapshot_drop(struct aether_snapshot *snapshot);

/* The feed is going: nobody joins the one that it knows any more, and who makes it may stop. Under the role. */
void ae_snapshot_cancel(struct ae_feed *feed, aether_status reason);

/*
 * Deadlines and the cache. Returns when the next thing is due; *stuck: how many threads of the pool are in a handler that
 * was given up. Under the role.
 */
int64_t ae_snapshots_sweep(struct ae_domain *domain, int64_t now, uint32_t *stuck);

/* What the snapshot has of this subject, 0: nothing. */
uint64_t ae_snapshot_mark(const struct aether_snapshot *snapshot, aether_text subject);

#endif
