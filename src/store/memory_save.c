/* The writer's half of the memory store: everything is taken first, so that nothing can fail once anything can be seen. */
#include "base/allocator.h"
#include "base/fail.h"
#include "base/mapping.h"
#include "base/relax.h"
#include "base/word.h"
#include "store/memory.h"

enum {
    BLOCK_LEAST = 64 << 10,
    BLOCK_MOST = 4 << 20,
    LARGE_PAGE = 2 << 20,
    LIST_LEAST = 4,
    TABLE_LEAST = 256,
    IDS_LEAST = 1024
};

static size_t list_bytes(size_t room)
{
    return sizeof(struct ae_record_list) + room * sizeof(void *);
}

static size_t table_bytes(size_t room)
{
    return sizeof(struct ae_actor_table) + room * sizeof(void *);
}

/* ------------------------------------------------------------------------------------------------------------ actors */

static bool grow_table(struct ae_memory_store *store)
{
    struct ae_actor_table *old = store->table;
    if (old != NULL && (store->actor_count + 1) * 2 <= old->room)
        return true;
    size_t room = old != NULL ? old->room * 2 : TABLE_LEAST;
    struct ae_actor_table *table = ae_alloc(&store->allocator, table_bytes(room), _Alignof(struct ae_actor_table));
    if (table == NULL)
        return false;
    memset(table, 0, table_bytes(room));
    table->older = old;
    table->room = room;
    for (size_t i = 0; old != NULL && i < old->room; i++)
        if (old->slots[i] != NULL) {
            size_t at = old->slots[i]->hash & (room - 1);
            while (table->slots[at] != NULL)
                at = (at + 1) & (room - 1);
            table->slots[at] = old->slots[i];
        }
    /* S1: pairs with the load in ae_memory_find(): the table is complete. */
    AE_STORE(S1_TABLE, &store->table, table, release);
    return true;
}

/* An actor that nobody can find yet. */
static struct ae_stored_actor *make_actor(struct ae_memory_store *store, aether_text name, uint64_t hash)
{
    if (!grow_table(store))
        return NULL;
    struct ae_stored_actor *actor = ae_alloc(&store->allocator, sizeof *actor + name.size, _Alignof(struct ae_stored_actor));
    if (actor == NULL)
        return NULL;
    *actor = (struct ae_stored_actor){.hash = hash, .name_size = name.size};
    memcpy(actor->name, name.data, name.size);
    return actor;
}

static void show_actor(struct ae_memory_store *store, struct ae_stored_actor *actor)
{
    struct ae_actor_table *table = store->table;
    size_t at = actor->hash & (table->room - 1);
    while (table->slots[at] != NULL)
        at = (at + 1) & (table->room - 1);
    store->actor_count++;
    /* S1: pairs with the load in ae_memory_find(): the actor is complete. */
    AE_STORE(S1_SLOT, &table->slots[at], actor, release);
}

static bool grow_list(struct ae_memory_store *store, struct ae_stored_actor *actor, size_t more)
{
    struct ae_record_list *old = actor->list;
    size_t room = old != NULL ? old->room : 0;
    if (actor->count + more <= room)
        return true;
    room = room != 0 ? room : LIST_LEAST;
    while (room < actor->count + more)
        room *= 2;
    struct ae_record_list *list =
        room <= UINT32_MAX ? ae_alloc(&store->allocator, list_bytes(room), _Alignof(struct ae_record_list)) : NULL;
    if (list == NULL)
        return false;
    list->older = old;
    list->room = (uint32_t)room;
    if (old != NULL)
        memcpy(list->items, old->items, actor->count * sizeof(void *));
    /* S2: pairs with the load in memory_replay.c: what the older list had is in it. */
    AE_STORE(S2_LIST, &actor->list, list, release);
    return true;
}

/* --------------------------------------------------------------------------------------------------------------- ids */

static uint64_t id_hash(const uint8_t id[16], const struct ae_stored_actor *actor)
{
    uint64_t halves[2];
    memcpy(halves, id, sizeof halves);
    return ae_hash_pair(actor->hash, halves[0], halves[1]);
}

static void put_id(const struct ae_record **ids, size_t room, const struct ae_record *record)
{
    size_t at = id_hash(record->id, record->actor) & (room - 1);
    while (ids[at] != NULL)
        at = (at + 1) & (room - 1);
    ids[at] = record;
}

static bool grow_ids(struct ae_memory_store *store)
{
    size_t room = store->ids_room != 0 ? store->ids_room : IDS_LEAST / 2;
    while (store->newest * 2 > room)
        room *= 2;
    if (room == store->ids_room)
        return true;
    const struct ae_record **ids = ae_alloc(&store->allocator, room * sizeof(void *), _Alignof(struct ae_record *));
    if (ids == NULL)
        return false;
    memset(ids, 0, room * sizeof(void *));
    if (store->ids != NULL)
        ae_free(&store->allocator, store->ids, store->ids_room * sizeof(void *), _Alignof(struct ae_record *));
    store->ids = ids;
    store->ids_room = room;
    store->indexed = 0;
    return true;
}

/*
 * The index of ids is brought up to date when somebody asks: ids that the store has drawn are new, and need no look. A
 * program that never gives ids of its own does not pay for the index.
 */
static bool index_ids(struct ae_memory_store *store)
{
    if (!grow_ids(store))
        return false;
    for (; store->indexed < store->newest; store->indexed++)
        put_id(store->ids, store->ids_room, ae_memory_at(store, store->indexed + 1));
    return true;
}

static const struct ae_record *find_id(const struct ae_memory_store *store, const struct ae_stored_actor *actor,
                                       const uint8_t id[16])
{
    size_t at = id_hash(id, actor) & (store->ids_room - 1);
    for (; store->ids[at] != NULL; at = (at + 1) & (store->ids_room - 1))
        if (store->ids[at]->actor == actor && memcmp(store->ids[at]->id, id, 16) == 0)
            return store->ids[at];
    return NULL;
}

/* The place of a record in its actor's list. */
static size_t place_of(const struct ae_stored_actor *actor, const struct ae_record *record)
{
    size_t low = 0, high = actor->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (actor->list->items[middle]->version < record->version)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* AETHER_EMPTY: none of the ids is stored. */
static aether_status compare(struct ae_memory_store *store, const struct ae_stored_actor *actor, aether_driver_save *save)
{
    if (!index_ids(store))
        return ae_fail(AETHER_NO_MEMORY, "save: no memory for the index of ids");
    const struct ae_record *first = find_id(store, actor, save->events[0].id);
    bool any = first != NULL, same = any;
    size_t at = any ? place_of(actor, first) : 0;
    for (size_t i = 0; i < save->count && (same || !any); i++) {
        if (!any) {
            any = find_id(store, actor, save->events[i].id) != NULL;
            continue;
        }
        aether_event stored;
        same = at + i < actor->count;
        if (same) {
            ae_memory_view(actor->list->items[at + i], &stored);
            same = aether_event_is_same(&save->events[i], &stored, !save->drawn_time);
        }
    }
    if (!any)
        return AETHER_EMPTY;
    if (!same)
        return ae_fail(AETHER_ID_REUSED, "save: the actor \"%.*s\" has another event under an id of this save",
                       (int)(actor->name_size > 60 ? 60 : actor->name_size), actor->name);
    const struct ae_record *last = actor->list->items[at + save->count - 1];
    save->saved.duplicate = true;
    save->saved.version = last->version;
    save->saved.position = (aether_position){store->epoch, last->index};
    save->saved.durability = AETHER_IN_MEMORY;
    return AETHER_OK;
}

/* ----------------------------------------------------------------------------------------------------------- records */

static size_t record_bytes(const aether_event *event)
{
    size_t size = sizeof(struct ae_record) + event->data.size + event->metadata.size + event->extra.size + event->type_size;
    return (size + 7) & ~(size_t)7;
}

/* The next block is twice as large as the last one, up to a limit: a small store takes little, a large one large pages. */
static bool add_block(struct ae_memory_store *store, size_t least)
{
    size_t size = store->block != NULL ? (store->block->bytes + sizeof *store->block) * 2 : BLOCK_LEAST;
    size = size < BLOCK_MOST ? size : BLOCK_MOST;
    bool is_large = size == BLOCK_MOST && least <= size - sizeof *store->block;
    if (least > size - sizeof *store->block)
        size = least + sizeof *store->block;
    size_t align = is_large ? LARGE_PAGE : _Alignof(struct ae_record_block);
    struct ae_record_block *block = ae_alloc(&store->allocator, size, align);
    if (block == NULL)
        return false;
    if (is_large)
        ae_advise_large_pages(block, size);
    block->older = store->block;
    block->bytes = size - sizeof *block;
    block->align = align;
    store->block = block;
    store->block_used = 0;
    return true;
}

static char *take_space(struct ae_memory_store *store, size_t bytes)
{
    if (AE_UNLIKELY(store->block == NULL || store->block->bytes - store->block_used < bytes) && !add_block(store, bytes))
        return NULL;
    char *space = store->block->space + store->block_used;
    store->block_used += bytes;
    return space;
}

static char *put(char *at, aether_text text)
{
    if (text.size != 0)
        memcpy(at, text.data, text.size);
    return at + text.size;
}

static struct ae_record *encode(char *space, const aether_event *event, const struct ae_stored_actor *actor)
{
    struct ae_record *record = (struct ae_record *)(void *)space;
    *record = (struct ae_record){.actor = actor,
                                 .timestamp = event->timestamp,
                                 .data_size = (uint32_t)event->data.size,
                                 .metadata_size = (uint32_t)event->metadata.size,
                                 .extra_size = (uint32_t)event->extra.size,
                                 .flags = event->flags,
                                 .type_size = (uint16_t)event->type_size};
    memcpy(record->id, event->id, sizeof record->id);
    char *at = put((char *)(record + 1), event->data);
    at = put(at, event->metadata);
    at = put(at, event->extra);
    put(at, (aether_text){event->type, event->type_size});
    return record;
}

/* The chunks for so many more records. */
static bool take_chunks(struct ae_memory_store *store, size_t more)
{
    uint64_t last = store->newest + more - 1 + AE_CHUNK_LEAST;
    int chunk = 63 - __builtin_clzll(last) - __builtin_ctz(AE_CHUNK_LEAST);
    for (; chunk >= 0 && store->chunks[chunk] == NULL; chunk--) {
        size_t bytes = ((size_t)AE_CHUNK_LEAST << chunk) * sizeof(void *);
        const struct ae_record **records = ae_alloc(&store->allocator, bytes, _Alignof(struct ae_record *));
        if (records == NULL)
            return false;
        AE_STORE(S3_CHUNK, &store->chunks[chunk], records, release); /* S3: pairs with the load in ae_memory_at() */
    }
    return true;
}

static void place_record(struct ae_memory_store *store, struct ae_stored_actor *actor, struct ae_record *record, size_t i)
{
    record->index = store->newest + 1 + i;
    uint64_t place = record->index - 1 + AE_CHUNK_LEAST;
    int chunk = 63 - __builtin_clzll(place) - __builtin_ctz(AE_CHUNK_LEAST);
    store->chunks[chunk][place - ((uint64_t)AE_CHUNK_LEAST << chunk)] = record;
    actor->list->items[actor->count + i] = record;
}

static void publish(struct ae_memory_store *store, struct ae_stored_actor *actor, size_t count)
{
    /* S2: pairs with the load in memory_replay.c and latest_of(): the list and its records are complete up to the count. */
    AE_STORE(S2_COUNT, &actor->count, actor->count + count, release);
    /* S3: pairs with the load in ae_memory_newest(): and so is the order. */
    AE_STORE(S3_NEWEST, &store->newest, store->newest + count, release);
}

/* Takes all memory that the save needs; what is left over when some is missing serves the next one. */
static aether_status store_events(struct ae_memory_store *store, struct ae_stored_actor *actor, aether_driver_save *save,
                                  int64_t first, bool is_new)
{
    size_t bytes = 0;
    for (size_t i = 0; i < save->count; i++)
        bytes += record_bytes(&save->events[i]);
    char *space = NULL;
    if (grow_list(store, actor, save->count) && take_chunks(store, save->count))
        space = take_space(store, bytes);
    if (space == NULL)
        return ae_fail(AETHER_NO_MEMORY, "save: no memory for %zu events", save->count);
    for (size_t i = 0; i < save->count; i++) {
        struct ae_record *record = encode(space, &save->events[i], actor);
        record->version = save->saved.version = aether_version_of(save, i, first);
        place_record(store, actor, record, i);
        space += record_bytes(&save->events[i]);
    }
    actor->has_ended = (save->events[save->count - 1].flags & AETHER_EVENT_CLOSING) != 0;
    if (is_new)
        show_actor(store, actor);
    publish(store, actor, save->count);
    save->saved.position = (aether_position){store->epoch, store->newest};
    save->saved.durability = AETHER_IN_MEMORY;
    return AETHER_OK;
}

static void free_actor(struct ae_memory_store *store, struct ae_stored_actor *actor)
{
    if (actor->list != NULL)
        ae_free(&store->allocator, actor->list, list_bytes(actor->list->room), _Alignof(struct ae_record_list));
    ae_free(&store->allocator, actor, sizeof *actor + actor->name_size, _Alignof(struct ae_stored_actor));
}

static aether_status save_new_actor(struct ae_memory_store *store, aether_driver_save *save, aether_text name, uint64_t hash)
{
    int64_t first;
    aether_status status = aether_decide(save, 0, false, &first);
    if (status != AETHER_OK)
        return status;
    struct ae_stored_actor *actor = make_actor(store, name, hash);
    if (actor == NULL)
        return ae_fail(AETHER_NO_MEMORY, "save: no memory for an actor");
    status = store_events(store, actor, save, first, true);
    if (status != AETHER_OK)
        free_actor(store, actor);
    return status;
}

static aether_status save_one(struct ae_memory_store *store, aether_driver_save *save)
{
    aether_text name = {save->events->actor, save->events->actor_size};
    uint64_t hash = ae_memory_hash(name);
    struct ae_stored_actor *actor = ae_memory_find(store, name, hash);
    if (actor == NULL)
        return save_new_actor(store, save, name, hash);
    int64_t first, latest = actor->list->items[actor->count - 1]->version;
    if (!save->drawn_id) {
        aether_status status = compare(store, actor, save);
        if (status != AETHER_EMPTY) {
            if (!save->has_base)
                save->saved.base = save->expected > 0 ? save->expected : latest;
            save->saved.has_base = true;
            save->saved.conflict.current = latest;
            return status;
        }
    }
    aether_status status = aether_decide(save, latest, actor->has_ended, &first);
    return status == AETHER_OK ? store_events(store, actor, save, first, false) : status;
}

void ae_memory_save(void *driver, aether_driver_save *saves, size_t count, int64_t deadline)
{
    (void)deadline;
    struct ae_memory_store *store = driver;
    pthread_mutex_lock(&store->lock);
    uint64_t before = store->newest;
    for (size_t i = 0; i < count; i++)
        if (saves[i].status == AETHER_OK)
            saves[i].status = save_one(store, &saves[i]);
    store->commits += store->newest != before;
    if (store->waiters != 0 && store->newest != before)
        pthread_cond_broadcast(&store->changed);
    pthread_mutex_unlock(&store->lock);
}
