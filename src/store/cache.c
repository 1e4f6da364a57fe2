#include "store/cache.h"

#include "base/allocator.h"
#include "base/word.h"

static size_t shard_bytes(const struct ae_version_cache *cache)
{
    return sizeof(struct ae_cached_version) * AE_CACHE_WAYS * cache->sets;
}

void ae_cache_create(struct ae_version_cache *cache, const aether_allocator *allocator, uint32_t actors)
{
    *cache = (struct ae_version_cache){.allocator = allocator, .sets = 1};
    while (cache->sets < UINT32_C(1) << 20 && (uint64_t)cache->sets * AE_CACHE_WAYS * AE_CACHE_SHARDS < actors)
        cache->sets *= 2;
    for (int i = 0; i < AE_CACHE_SHARDS; i++)
        pthread_mutex_init(&cache->shards[i].lock, NULL);
}

void ae_cache_destroy(struct ae_version_cache *cache)
{
    for (int i = 0; i < AE_CACHE_SHARDS; i++) {
        struct ae_cache_shard *shard = &cache->shards[i];
        if (shard->entries != NULL)
            ae_free(cache->allocator, shard->entries, shard_bytes(cache), _Alignof(struct ae_cached_version));
        pthread_mutex_destroy(&shard->lock);
    }
}

static uint64_t hash(aether_text actor)
{
    uint64_t first = actor.size >= 8 ? ae_word_load(actor.data) : ae_word_load_part(actor.data, actor.size);
    return ae_hash_bytes(first, actor.data, actor.size);
}

static struct ae_cache_shard *lock_shard(struct ae_version_cache *cache, uint64_t key)
{
    struct ae_cache_shard *shard = &cache->shards[key % AE_CACHE_SHARDS];
    pthread_mutex_lock(&shard->lock);
    return shard;
}

static struct ae_cached_version *set_of(const struct ae_version_cache *cache, struct ae_cache_shard *shard, uint64_t key)
{
    return shard->entries + (key / AE_CACHE_SHARDS & (cache->sets - 1)) * AE_CACHE_WAYS;
}

static bool is_of(const struct ae_cached_version *entry, aether_text actor)
{
    return entry->generation != 0 && entry->name_size == actor.size && memcmp(entry->name, actor.data, actor.size) == 0;
}

static struct ae_cached_version *find(struct ae_cached_version *set, aether_text actor)
{
    for (int way = 0; way < AE_CACHE_WAYS; way++)
        if (is_of(&set[way], actor))
            return &set[way];
    return NULL;
}

/* A free one, or the one that was not used for longest. */
static struct ae_cached_version *make_room(struct ae_cached_version *set, uint32_t clock)
{
    struct ae_cached_version *oldest = set;
    for (int way = 0; way < AE_CACHE_WAYS; way++) {
        if (set[way].generation == 0)
            return &set[way];
        if (clock - set[way].used > clock - oldest->used)
            oldest = &set[way];
    }
    return oldest;
}

bool ae_cache_get(struct ae_version_cache *cache, aether_text actor, uint64_t generation, int64_t *version)
{
    if (actor.size > AE_CACHED_NAME)
        return false;
    uint64_t key = hash(actor);
    struct ae_cache_shard *shard = lock_shard(cache, key);
    struct ae_cached_version *entry = shard->entries != NULL ? find(set_of(cache, shard, key), actor) : NULL;
    bool right = entry != NULL && entry->generation == generation;
    if (right) {
        entry->used = ++shard->clock;
        *version = entry->version;
    }
    pthread_mutex_unlock(&shard->lock);
    return right;
}

static void fill(struct ae_cached_version *entry, aether_text actor)
{
    entry->name_size = (uint32_t)actor.size;
    memcpy(entry->name, actor.data, actor.size);
    entry->version = 0;
    entry->generation = 0;
}

void ae_cache_put(struct ae_version_cache *cache, aether_text actor, uint64_t generation, int64_t version)
{
    if (actor.size > AE_CACHED_NAME || generation == 0)
        return;
    uint64_t key = hash(actor);
    struct ae_cache_shard *shard = lock_shard(cache, key);
    if (shard->entries == NULL) {
        shard->entries = ae_alloc(cache->allocator, shard_bytes(cache), _Alignof(struct ae_cached_version));
        if (shard->entries != NULL)
            memset(shard->entries, 0, shard_bytes(cache));
    }
    if (shard->entries != NULL) {
        struct ae_cached_version *set = set_of(cache, shard, key), *entry = find(set, actor);
        if (entry == NULL)
            fill(entry = make_room(set, shard->clock), actor);
        /* Two savers may come here the other way round than they saved. Generations of a driver only grow. */
        if (entry->generation < generation || (entry->generation == generation && entry->version < version)) {
            entry->generation = generation;
            entry->version = version;
        }
        entry->used = ++shard->clock;
    }
    pthread_mutex_unlock(&shard->lock);
}

void ae_cache_forget(struct ae_version_cache *cache, aether_text actor)
{
    if (actor.size > AE_CACHED_NAME)
        return;
    uint64_t key = hash(actor);
    struct ae_cache_shard *shard = lock_shard(cache, key);
    struct ae_cached_version *entry = shard->entries != NULL ? find(set_of(cache, shard, key), actor) : NULL;
    if (entry != NULL)
        entry->generation = 0;
    pthread_mutex_unlock(&shard->lock);
}
