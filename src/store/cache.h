/*
 * Latest versions of actors (STO6): bounded, in 64 shards, each with sets of four.
 *
 * An entry is right as long as its generation is the driver's: nobody else has saved since. Saves of this handle raise it. A
 * name of more than AE_CACHED_NAME bytes is not remembered.
 */
#ifndef AE_CACHE_H
#define AE_CACHE_H

#include <pthread.h>

#include "aether/event.h"

enum { AE_CACHE_SHARDS = 64, AE_CACHE_WAYS = 4, AE_CACHED_NAME = 100 };

struct ae_cached_version {
    uint64_t generation; /* 0: free */
    int64_t version;
    uint32_t used; /* the shard's clock when it was last used */
    uint32_t name_size;
    char name[AE_CACHED_NAME];
};

struct ae_cache_shard {
    pthread_mutex_t lock;
    struct ae_cached_version *entries; /* NULL: none yet, or no memory for it */
    uint32_t clock;
} __attribute__((aligned(64)));

struct ae_version_cache {
    const aether_allocator *allocator;
    uint32_t sets; /* of each shard, a power of two */
    struct ae_cache_shard shards[AE_CACHE_SHARDS];
};

void ae_cache_create(struct ae_version_cache *cache, const aether_allocator *allocator, uint32_t actors);
void ae_cache_destroy(struct ae_version_cache *cache);

bool ae_cache_get(struct ae_version_cache *cache, aether_text actor, uint64_t generation, int64_t *version);
/* Within one generation versions only grow. Forgets something else where there is no room. */
void ae_cache_put(struct ae_version_cache *cache, aether_text actor, uint64_t generation, int64_t version);
void ae_cache_forget(struct ae_version_cache *cache, aether_text actor);

#endif
