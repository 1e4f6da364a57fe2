/*
 * Saves: events are completed (sizes, ids, times) in copies of ours, then the driver decides. What cannot be right never
 * reaches a driver; one request that cannot does not keep the others from theirs.
 */
#include "base/allocator.h"
#include "base/fail.h"
#include "store/store.h"

/* A request on its way. */
struct save {
    aether_driver_save *driver; /* what the driver gets */
    aether_event *events;       /* completed copies */
    bool was_made;              /* the copies are the allocator's */
};

/* ---------------------------------------------------------------------------------------------------------- deciding */

static aether_status refuse(aether_driver_save *save, int64_t latest, int64_t from, const char *why)
{
    save->saved.conflict.from = from;
    const aether_event *event = save->events;
    return aether_fail(AETHER_CONFLICT, "save: actor \"%.*s\" is at version %lld, %s (attempted %lld)",
                       (int)(event->actor_size > 60 ? 60 : event->actor_size), event->actor, (long long)latest, why,
                       (long long)save->saved.conflict.attempted);
}

aether_status aether_decide(aether_driver_save *save, int64_t latest, bool ended, int64_t *first)
{
    int64_t version = save->events[0].version, expected = save->expected;
    aether_saved *saved = &save->saved;
    saved->conflict.attempted = version;
    saved->conflict.expected = expected;
    saved->conflict.current = latest;
    if (!save->has_base)
        saved->base = expected > 0 ? expected : expected == AETHER_EXPECT_NONE ? 0 : latest;
    saved->has_base = true;
    int64_t next = latest < INT64_MAX ? latest + 1 : INT64_MAX;
    *first = version != 0 ? version : next;
    if (ended)
        return aether_fail(AETHER_ACTOR_ENDED, "save: a closing event has ended the actor \"%.*s\" at version %lld",
                           (int)(save->events->actor_size > 60 ? 60 : save->events->actor_size), save->events->actor,
                           (long long)latest);
    if (expected == AETHER_EXPECT_NONE && latest > 0)
        return refuse(save, latest, 1, "but no event was expected");
    if (expected == AETHER_EXPECT_SOME && latest == 0)
        return refuse(save, latest, 1, "but some event was expected");
    if (expected > 0 && latest != expected)
        return refuse(save, latest, latest > expected ? expected + 1 : next, "which is not the expected one");
    if (version != 0 && version <= latest)
        return refuse(save, latest, version, "which is not below the first one of the save");
    if (version != 0 && save->contiguous && version != next)
        return refuse(save, latest, next, "and the store takes the next one only");
    if (latest > INT64_MAX - (int64_t)save->count)
        return refuse(save, latest, next, "and there are no versions left");
    return AETHER_OK;
}

/* -------------------------------------------------------------------------------------------------------- completing */

static aether_status complete_bytes(aether_text *bytes, size_t most, const char *what, const char *call)
{
    if (AE_UNLIKELY(bytes->size > most))
        return ae_fail(AETHER_TOO_LARGE, "%s: the event's %s has %zu bytes, at most %zu are allowed", call, what,
                       bytes->size, most);
    if (AE_UNLIKELY(bytes->data == NULL && bytes->size != 0))
        return ae_fail(AETHER_INVALID, "%s: the event's %s is NULL with size %zu", call, what, bytes->size);
    return AETHER_OK;
}

static inline aether_status complete(aether_event *event, const char *call)
{
    if (event->actor != NULL && event->actor_size == 0)
        event->actor_size = strlen(event->actor);
    if (event->type != NULL && event->type_size == 0)
        event->type_size = strlen(event->type);
    event->kind = AETHER_EVENT_LIVE;
    event->subject = NULL;
    event->subject_size = 0;
    event->subject_index = 0;
    aether_status status = ae_name_check(event->actor, event->actor_size, "actor", call);
    if (status == AETHER_OK)
        status = ae_name_check(event->type, event->type_size, "type", call);
    if (status == AETHER_OK)
        status = complete_bytes(&event->metadata, AETHER_METADATA_MAX, "metadata", call);
    if (status == AETHER_OK)
        status = complete_bytes(&event->data, AETHER_DATA_MAX, "data", call);
    if (status == AETHER_OK)
        status = complete_bytes(&event->extra, AETHER_METADATA_MAX, "extra", call);
    if (AE_UNLIKELY(status == AETHER_OK && (event->flags & ~(uint32_t)AETHER_EVENT_CLOSING) != 0))
        return ae_fail(AETHER_INVALID, "%s: the event has flags that no store keeps, 0x%x", call, event->flags);
    if (AE_UNLIKELY(status == AETHER_OK && event->version < 0))
        return ae_fail(AETHER_INVALID, "%s: the version %lld is below 0", call, (long long)event->version);
    return status;
}

/* What a batch has to be as a whole. */
static aether_status check_batch(const aether_event *events, size_t count, bool contiguous, const char *call)
{
    for (size_t i = 1; i < count; i++) {
        const aether_event *before = &events[i - 1], *event = &events[i];
        if (event->actor_size != events->actor_size || memcmp(event->actor, events->actor, event->actor_size) != 0)
            return ae_fail(AETHER_INVALID, "%s: event %zu is of another actor than the first one", call, i);
        if ((event->version == 0) != (before->version == 0))
            return ae_fail(AETHER_INVALID, "%s: either all versions are given or none, event %zu differs", call, i);
        if (event->version != 0 && event->version <= before->version)
            return ae_fail(AETHER_INVALID, "%s: the version of event %zu, %lld, does not grow", call, i,
                           (long long)event->version);
        if (event->version != 0 && contiguous && event->version != before->version + 1)
            return ae_fail(AETHER_INVALID, "%s: the version of event %zu, %lld, leaves a hole, and the store allows none",
                           call, i, (long long)event->version);
        if ((before->flags & AETHER_EVENT_CLOSING) != 0)
            return ae_fail(AETHER_INVALID, "%s: event %zu comes after a closing event", call, i);
    }
    return AETHER_OK;
}

static bool has_id(const aether_event *event)
{
    uint64_t halves[2];
    memcpy(halves, event->id, sizeof halves);
    return (halves[0] | halves[1]) != 0;
}

/* Bytes as a number, most significant first: ids of a batch count up in the lower half (aether_id_draw()). */
static void add_to_id(uint8_t to[16], const uint8_t from[16], int64_t number)
{
    uint64_t low;
    memcpy(to, from, 8);
    memcpy(&low, from + 8, sizeof low);
    low = __builtin_bswap64(__builtin_bswap64(low) + (uint64_t)number);
    memcpy(to + 8, &low, sizeof low);
}

/* An id each. A retry has those of the first attempt, of which it knows the last one. */
static aether_status give_ids(struct save *save, const aether_saved *retry, int64_t *now, const char *call)
{
    aether_event *events = save->events;
    size_t count = save->driver->count, given = 0;
    for (size_t i = 0; i < count; i++)
        given += has_id(&events[i]);
    if (given == count)
        return AETHER_OK;
    if (given != 0)
        return ae_fail(AETHER_INVALID, "%s: either all ids are given or none: %zu of %zu are", call, given, count);
    uint8_t first[16];
    if (retry != NULL)
        add_to_id(first, retry->id, -(int64_t)(count - 1));
    else
        ae_id_draw_at(first, *now = aether_now());
    save->driver->drawn_id = retry == NULL;
    for (size_t i = 0; i < count; i++)
        add_to_id(events[i].id, first, (int64_t)i);
    return AETHER_OK;
}

static aether_status check_ids(const aether_event *events, size_t count, const char *call)
{
    if (count < 2)
        return AETHER_OK;
    if (count <= 64) {
        for (size_t i = 1; i < count; i++)
            for (size_t k = 0; k < i; k++)
                if (memcmp(events[i].id, events[k].id, 16) == 0)
                    return ae_fail(AETHER_INVALID, "%s: events %zu and %zu have the same id", call, k, i);
    }
    return AETHER_OK;
}

/* now: 0, or what it is. */
static void give_times(struct save *save, int64_t now)
{
    for (size_t i = 0; i < save->driver->count; i++)
        if (save->events[i].timestamp == 0) {
            save->events[i].timestamp = now = now != 0 ? now : aether_now();
            save->driver->drawn_time = true;
        }
}

static aether_status prepare(aether_store *store, struct save *save, const aether_event *events, size_t event_size,
                             const aether_save_options *options, const char *call)
{
    aether_driver_save *driver = save->driver;
    if (AE_UNLIKELY(events == NULL || driver->count == 0))
        return ae_fail(AETHER_INVALID, "%s: there are no events", call);
    if (AE_UNLIKELY(driver->count > AETHER_SAVE_MAX))
        return ae_fail(AETHER_TOO_LARGE, "%s: %zu events, at most %zu are one save", call, driver->count, AETHER_SAVE_MAX);
    if (AE_UNLIKELY(options->expected < AETHER_EXPECT_SOME))
        return ae_fail(AETHER_INVALID, "%s: nothing can be expected by %lld", call, (long long)options->expected);
    if (driver->count > 1) {
        save->events = ae_alloc(&store->allocator, driver->count * sizeof *save->events, _Alignof(aether_event));
        if (save->events == NULL)
            return ae_fail(AETHER_NO_MEMORY, "%s: no memory for %zu events", call, driver->count);
        save->was_made = true;
    }
    driver->events = save->events;
    for (size_t i = 0; i < driver->count; i++) {
        const char *from = (const char *)events + i * event_size;
        if (AE_UNLIKELY(event_size < sizeof *events))
            memset(&save->events[i], 0, sizeof *events);
        memcpy(&save->events[i], from, event_size < sizeof *events ? event_size : sizeof *events);
        aether_status status = complete(&save->events[i], call);
        if (AE_UNLIKELY(status != AETHER_OK))
            return status;
    }
    driver->expected = options->expected;
    driver->contiguous = store->options.contiguous || store->facts.contiguous;
    if (options->retry != NULL && options->retry->has_base) {
        driver->has_base = true;
        driver->base = driver->saved.base = options->retry->base;
    }
    int64_t now = 0;
    aether_status status = check_batch(save->events, driver->count, driver->contiguous, call);
    if (status == AETHER_OK)
        status = give_ids(save, options->retry, &now, call);
    if (status == AETHER_OK)
        status = check_ids(save->events, driver->count, call);
    if (status != AETHER_OK)
        return status;
    give_times(save, now);
    const aether_event *last = &save->events[driver->count - 1];
    memcpy(driver->saved.id, last->id, sizeof last->id);
    driver->saved.version = last->version;
    driver->saved.conflict.attempted = save->events[0].version;
    driver->saved.conflict.expected = options->expected;
    return AETHER_OK;
}

/* ----------------------------------------------------------------------------------------------------------- saving */

static void account(aether_store *store, const struct save *save)
{
    const aether_driver_save *driver = save->driver;
    struct ae_store_counters *counters = &store->counters;
    aether_text actor = {save->events[0].actor, save->events[0].actor_size};
    if (AE_LIKELY(driver->status == AETHER_OK && !driver->saved.duplicate)) {
        ae_count(&counters->saves, 1);
        ae_count(&counters->saved_events, driver->count);
        ae_cache_put(&store->cache, actor, driver->generation, driver->saved.version);
        /* S5: pairs with the store in aether_state_policy(). */
        struct ae_automatic *automatic = AE_LOAD(S5_LOAD, &store->automatic, acquire);
        if (automatic != NULL)
            ae_automatic_note(automatic, actor, driver->saved.version, driver->count);
        return;
    }
    if (driver->status == AETHER_OK) {
        ae_count(&counters->duplicates, 1);
    } else if (driver->status == AETHER_CONFLICT) {
        ae_count(&counters->conflicts, 1);
        ae_cache_put(&store->cache, actor, driver->generation, driver->saved.conflict.current);
    } else {
        ae_count(&counters->refused, 1);
        if (driver->status == AETHER_UNKNOWN_OUTCOME)
            ae_cache_forget(&store->cache, actor);
    }
}

static void release(aether_store *store, struct save *save)
{
    if (save->was_made)
        ae_free(&store->allocator, save->events, save->driver->count * sizeof *save->events, _Alignof(aether_event));
}

static aether_status save_one(aether_store *store, const aether_event *events, size_t count, size_t event_size,
                              const aether_save_options *options, aether_saved *saved, size_t saved_size, const char *call)
{
    aether_status status = ae_store_refuse_writing(store, call);
    aether_event event;
    aether_driver_save driver = {.count = count, .status = AETHER_OK};
    struct save save = {.driver = &driver, .events = &event};
    if (AE_LIKELY(status == AETHER_OK))
        status = prepare(store, &save, events, event_size, options, call);
    if (AE_LIKELY(status == AETHER_OK)) {
        store->driver->save(store->impl, &driver, 1, ae_store_deadline(store, options->timeout_ns));
        status = driver.status;
        account(store, &save);
    }
    if (saved != NULL)
        memcpy(saved, &driver.saved, saved_size < sizeof driver.saved ? saved_size : sizeof driver.saved);
    if (store != NULL)
        release(store, &save);
    return status;
}

aether_status aether_save_sized(aether_store *store, const aether_event *event, size_t event_size, aether_saved *saved,
                                size_t saved_size)
{
    static const aether_save_options none;
    return save_one(store, event, 1, event_size, &none, saved, saved_size, "aether_save");
}

aether_status aether_save_batch_sized(aether_store *store, const aether_event *events, size_t count, size_t event_size,
                                      const aether_save_options *given, size_t options_size, aether_saved *saved,
                                      size_t saved_size)
{
    aether_save_options options = {0};
    if (given != NULL)
        memcpy(&options, given, options_size < sizeof options ? options_size : sizeof options);
    return save_one(store, events, count, event_size, &options, saved, saved_size, "aether_save_batch");
}

/* The copies that all requests with one event need, and what the driver gets. */
struct bundle {
    aether_driver_save *drivers;
    struct save *saves;
    aether_event *events;
    size_t count;
};

static size_t bundle_bytes(size_t count)
{
    return count * (sizeof(aether_driver_save) + sizeof(struct save) + sizeof(aether_event));
}

static bool make_bundle(aether_store *store, struct bundle *bundle, size_t count)
{
    char *block = count <= SIZE_MAX / 1024 ? ae_alloc(&store->allocator, bundle_bytes(count), _Alignof(aether_event)) : NULL;
    if (block == NULL)
        return false;
    memset(block, 0, bundle_bytes(count));
    bundle->count = count;
    bundle->drivers = (aether_driver_save *)(void *)block;
    bundle->events = (aether_event *)(void *)(bundle->drivers + count);
    bundle->saves = (struct save *)(void *)(bundle->events + count);
    return true;
}

static void prepare_bundle(aether_store *store, struct bundle *bundle, aether_save_request *requests, size_t event_size,
                           const char *call)
{
    for (size_t i = 0; i < bundle->count; i++) {
        struct save *save = &bundle->saves[i];
        save->driver = &bundle->drivers[i];
        save->events = &bundle->events[i];
        save->driver->count = requests[i].count;
        save->driver->status = prepare(store, save, requests[i].events, event_size, &requests[i].options, call);
        requests[i].status = save->driver->status;
    }
}

static aether_status finish_bundle(aether_store *store, struct bundle *bundle, aether_save_request *requests,
                                   const char *call)
{
    aether_status first = AETHER_OK;
    for (size_t i = 0; i < bundle->count; i++) {
        if (requests[i].status == AETHER_OK)
            account(store, &bundle->saves[i]);
        requests[i].status = bundle->drivers[i].status;
        requests[i].saved = bundle->drivers[i].saved;
        release(store, &bundle->saves[i]);
        if (first == AETHER_OK && requests[i].status != AETHER_OK)
            first = ae_fail(requests[i].status, "%s: request %zu: %s", call, i, aether_status_text(requests[i].status));
    }
    ae_free(&store->allocator, bundle->drivers, bundle_bytes(bundle->count), _Alignof(aether_event));
    return first;
}

aether_status aether_save_each_sized(aether_store *store, aether_save_request *requests, size_t count, size_t request_size,
                                     size_t event_size)
{
    static const char call[] = "aether_save_each";
    aether_status status = ae_store_refuse_writing(store, call);
    if (status != AETHER_OK || count == 0)
        return status;
    if (requests == NULL)
        return ae_fail(AETHER_INVALID, "%s: requests is NULL", call);
    if (request_size != sizeof *requests)
        return ae_fail(AETHER_INVALID, "%s: a request has %zu bytes here, and %zu in this library", call, request_size,
                       sizeof *requests);
    struct bundle bundle;
    if (!make_bundle(store, &bundle, count))
        return ae_fail(AETHER_NO_MEMORY, "%s: no memory for %zu requests", call, count);
    prepare_bundle(store, &bundle, requests, event_size, call);
    store->driver->save(store->impl, bundle.drivers, count, ae_store_deadline(store, 0));
    return finish_bundle(store, &bundle, requests, call);
}
