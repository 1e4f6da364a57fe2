/*
 * The memory store: the driver "memory". One writer at a time, under a lock; readers take no lock and never wait.
 *
 *      table ──▶ actor ──▶ list: [record, record, ...]     in the order of versions
 *      order: chunks of 1,024, 2,048, ... records          in the order of positions
 *      records stand in blocks, one after another, and never move or change
 *
 * What grows (the table, a list) is replaced by a larger copy, and the old one stays until the end: readers may be in it.
 * All old ones together are no larger than the newest. Whatever a reader finds through a count (an actor's, or `newest`) was
 * complete before the count said so.
 */
#ifndef AE_MEMORY_H
#define AE_MEMORY_H

#include <pthread.h>

#include "aether/driver.h"
#include "base/atomic.h"
#include "store/edges.h"

struct ae_stored_actor;

/* An event: this, then data, metadata, extra and type, one behind the other. */
struct ae_record {
    const struct ae_stored_actor *actor;
    uint64_t index;
    int64_t version;
    int64_t timestamp;
    uint8_t id[16];
    uint32_t data_size, metadata_size, extra_size, flags;
    uint16_t type_size;
};

/* Const but for the items beyond the actor's count. */
struct ae_record_list {
    struct ae_record_list *older;
    uint32_t room;
    const struct ae_record *items[];
};

/* A kept snapshot; lock: shelf. */
struct ae_kept_state {
    struct ae_kept_state *next;
    aether_state_snapshot snapshot;
    size_t reducer_size;
    char bytes[]; /* the reducer's name, then what it has captured */
};

struct ae_stored_actor {
    struct ae_record_list *list; /* atomic, S2 */
    uint64_t count;              /* atomic, S2 */
    uint64_t hash;
    bool has_ended;               /* lock: the writer's */
    struct ae_kept_state *states; /* lock: shelf */
    size_t name_size;
    char name[];
};

struct ae_actor_table {
    struct ae_actor_table *older;
    size_t room;                     /* a power of two, at least twice the actors */
    struct ae_stored_actor *slots[]; /* atomic, S1 */
};

struct ae_record_block {
    struct ae_record_block *older;
    size_t bytes, align;
    char space[] __attribute__((aligned(8)));
};

enum { AE_CHUNKS = 44, AE_CHUNK_LEAST = 1024 };

struct ae_memory_store {
    aether_allocator allocator;
    uint64_t epoch;
    pthread_mutex_t lock; /* the writer's: all that is written but for the shelf */
    pthread_cond_t changed;
    uint32_t waiters;             /* lock: lock */
    struct ae_actor_table *table; /* atomic, S1 */
    size_t actor_count;
    const struct ae_record **chunks[AE_CHUNKS]; /* atomic, S3 */
    uint64_t newest;                            /* atomic, S3 */
    struct ae_record_block *block;
    size_t block_used;
    const struct ae_record **ids; /* open addressing by id and actor; lock: lock */
    size_t ids_room;
    uint64_t indexed;                       /* up to this index records are among the ids */
    uint64_t commits;                       /* lock: lock */
    pthread_mutex_t shelf;                  /* states and checkpoints */
    struct ae_kept_checkpoint *checkpoints; /* lock: shelf */
    char *shared_name;                      /* NULL: private; lock: that of all shared ones */
    size_t handles;
    struct ae_memory_store *next_shared;
};

uint64_t ae_memory_hash(aether_text text);
/* NULL: it has no events. Any thread. */
struct ae_stored_actor *ae_memory_find(const struct ae_memory_store *store, aether_text name, uint64_t hash);
void ae_memory_view(const struct ae_record *record, aether_event *event);

/* The record at an index, from 1 to the newest. */
static inline const struct ae_record *ae_memory_at(const struct ae_memory_store *store, uint64_t index)
{
    uint64_t place = index - 1 + AE_CHUNK_LEAST;
    int chunk = 63 - __builtin_clzll(place) - __builtin_ctz(AE_CHUNK_LEAST);
    /* S3: pairs with the store in take_chunk(), which came before the newest index that led here. */
    const struct ae_record **records = AE_LOAD(S3_LOAD, &store->chunks[chunk], acquire);
    return records[place - ((uint64_t)AE_CHUNK_LEAST << chunk)];
}

static inline uint64_t ae_memory_newest(const struct ae_memory_store *store)
{
    return AE_LOAD(S3_LOAD, &store->newest, acquire); /* S3: pairs with the store in publish() */
}

/* memory_save.c */
void ae_memory_save(void *driver, aether_driver_save *saves, size_t count, int64_t deadline);
/* memory_replay.c */
aether_status ae_memory_replay_open(void *store, const aether_driver_replay *what, int64_t deadline, void **opened);
aether_status ae_memory_replay_next(void *opened, aether_event *event, int64_t timeout_ns);
void ae_memory_replay_close(void *opened);
/* memory_shelf.c */
aether_status ae_memory_state_save(void *driver, aether_text actor, aether_text reducer,
                                   const aether_state_snapshot *snapshot, int64_t deadline);
aether_status ae_memory_state_load(void *driver, aether_text actor, aether_text reducer, int64_t deadline,
                                   void (*take)(const aether_state_snapshot *snapshot, void *user), void *user);
aether_status ae_memory_checkpoint_save(void *driver, aether_text name, uint64_t index, int64_t deadline);
aether_status ae_memory_checkpoint_load(void *driver, aether_text name, int64_t deadline, uint64_t *index);
void ae_memory_shelf_free(struct ae_memory_store *store);
void ae_memory_states_free(struct ae_memory_store *store, struct ae_stored_actor *actor);

#endif
