/* The readers' half of the memory store. */
#include "base/allocator.h"
#include "base/fail.h"
#include "base/relax.h"
#include "base/word.h"
#include "store/memory.h"

enum { AHEAD = 4 };

struct memory_replay {
    const struct ae_memory_store *store;
    aether_driver_replay what;
    const struct ae_stored_actor *actor; /* NULL: none yet, or all */
    aether_text name;                    /* a copy, behind this struct */
    uint64_t hash;
    uint64_t at, end; /* forwards: at <= end; backwards: at >= end; places in the list, or indexes */
    bool filters;
};

/* S2: pairs with publish(). */
static uint64_t count_of(const struct ae_stored_actor *actor)
{
    return AE_LOAD(S2_LOAD, &actor->count, acquire);
}

static const struct ae_record *const *items_of(const struct ae_stored_actor *actor)
{
    /* S2: pairs with grow_list(); at least as long as the count that was read before. */
    return AE_LOAD(S2_LOAD, &actor->list, acquire)->items;
}

/* The place of the first record with a version of at least `version`. */
static uint64_t place_of(const struct ae_stored_actor *actor, uint64_t count, int64_t version)
{
    const struct ae_record *const *items = items_of(actor);
    uint64_t low = 0, high = count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (items[middle]->version < version)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void bound_actor(struct memory_replay *replay)
{
    replay->actor = ae_memory_find(replay->store, replay->name, replay->hash);
    if (replay->actor == NULL)
        return;
    uint64_t count = count_of(replay->actor);
    uint64_t from = place_of(replay->actor, count, replay->what.from_version);
    uint64_t end =
        replay->what.to_version == INT64_MAX ? UINT64_MAX : place_of(replay->actor, count, replay->what.to_version + 1);
    if (replay->what.backwards && end == UINT64_MAX)
        end = count;
    if (end < from)
        end = from;
    replay->at = replay->what.backwards ? end : from;
    replay->end = replay->what.backwards ? from : end;
}

/* All: at and end count records, so that both ways look the same. */
static void bound_all(struct memory_replay *replay)
{
    uint64_t end = replay->what.to_index;
    if (replay->what.backwards && end == UINT64_MAX)
        end = ae_memory_newest(replay->store);
    if (end < replay->what.after)
        end = replay->what.after;
    replay->at = replay->what.backwards ? end : replay->what.after;
    replay->end = replay->what.backwards ? replay->what.after : end;
}

aether_status ae_memory_replay_open(void *store, const aether_driver_replay *what, int64_t deadline, void **opened)
{
    (void)deadline;
    struct ae_memory_store *memory = store;
    struct memory_replay *replay =
        ae_alloc(&memory->allocator, sizeof *replay + what->actor.size, _Alignof(struct memory_replay));
    if (replay == NULL)
        return ae_fail(AETHER_NO_MEMORY, "aether_load: no memory for a replay");
    *replay = (struct memory_replay){
        .store = memory, .what = *what, .filters = what->type_count != 0 || what->actor_prefix.size != 0};
    if (what->actor.data != NULL) {
        replay->name = (aether_text){memcpy(replay + 1, what->actor.data, what->actor.size), what->actor.size};
        replay->hash = ae_memory_hash(replay->name);
        bound_actor(replay);
    } else {
        bound_all(replay);
    }
    *opened = replay;
    return AETHER_OK;
}

void ae_memory_view(const struct ae_record *record, aether_event *event)
{
    const char *at = (const char *)(record + 1);
    event->kind = AETHER_EVENT_LIVE;
    event->flags = record->flags;
    event->index = record->index;
    event->epoch = 0;
    event->subject_index = 0;
    event->version = record->version;
    event->timestamp = record->timestamp;
    memcpy(event->id, record->id, sizeof event->id);
    event->subject = NULL;
    event->subject_size = 0;
    event->data = (aether_text){at, record->data_size};
    at += record->data_size;
    event->metadata = (aether_text){at, record->metadata_size};
    at += record->metadata_size;
    event->extra = (aether_text){at, record->extra_size};
    at += record->extra_size;
    event->type = at;
    event->type_size = record->type_size;
    event->actor = record->actor->name;
    event->actor_size = record->actor->name_size;
}

/* The end, or what there is now where it has none. */
static inline uint64_t limit_of(const struct memory_replay *replay)
{
    if (AE_LIKELY(replay->end != UINT64_MAX))
        return replay->end;
    return replay->actor != NULL ? count_of(replay->actor) : ae_memory_newest(replay->store);
}

static inline const struct ae_record *record_at(const struct memory_replay *replay, uint64_t at)
{
    return replay->actor != NULL ? items_of(replay->actor)[at] : ae_memory_at(replay->store, at + 1);
}

static inline const struct ae_record *take(struct memory_replay *replay)
{
    if (replay->what.backwards)
        return replay->at > replay->end ? record_at(replay, --replay->at) : NULL;
    uint64_t limit = limit_of(replay);
    if (replay->at >= limit)
        return NULL;
    const struct ae_record *record = record_at(replay, replay->at++);
    if (AE_LIKELY(limit - replay->at > AHEAD))
        __builtin_prefetch(record_at(replay, replay->at + AHEAD));
    return record;
}

static bool begins(aether_text prefix, const char *name, size_t size)
{
    return prefix.size <= size && (prefix.size == 0 || memcmp(prefix.data, name, prefix.size) == 0);
}

static bool passes(const struct memory_replay *replay, const aether_event *event)
{
    const aether_driver_replay *what = &replay->what;
    if (replay->actor == NULL && !begins(what->actor_prefix, event->actor, event->actor_size))
        return false;
    bool is_wanted = what->type_count == 0;
    for (size_t i = 0; i < what->type_count && !is_wanted; i++)
        is_wanted =
            what->types[i].size == event->type_size && memcmp(what->types[i].data, event->type, event->type_size) == 0;
    return is_wanted;
}

aether_status ae_memory_replay_next(void *opened, aether_event *event, int64_t timeout_ns)
{
    (void)timeout_ns;
    struct memory_replay *replay = opened;
    if (AE_UNLIKELY(replay->name.data != NULL && replay->actor == NULL)) {
        bound_actor(replay); /* it may have come since */
        if (replay->actor == NULL)
            return AETHER_ENDED;
    }
    const struct ae_record *record;
    while ((record = take(replay)) != NULL) {
        ae_memory_view(record, event);
        if (AE_LIKELY(!replay->filters) || passes(replay, event))
            return AETHER_OK;
    }
    return AETHER_ENDED;
}

void ae_memory_replay_close(void *opened)
{
    struct memory_replay *replay = opened;
    ae_free(&replay->store->allocator, replay, sizeof *replay + replay->what.actor.size, _Alignof(struct memory_replay));
}
