/*
 * A replay: the driver's stream, through the upcast, to the reader.
 *
 *      driver ──▶ [is it whole? does the version follow?] ──▶ upcast ──▶ queue ──▶ aether_replay_next()
 *
 * A follower that has come to the end reads the newest index, looks once more, and only then waits for a newer one: what is
 * saved before the look is found by it, what is saved after it ends the wait. It always reads from the store, so that there
 * is no seam between the past and the present.
 */
#include "store/replay.h"

#include "base/allocator.h"
#include "base/clock.h"
#include "base/fail.h"
#include "store/store.h"

enum { CANCELLED = 1, OVER = 2 };

/* Events that an upcast has emitted: each a head and its bytes. */
struct aether_upcast {
    const aether_allocator *allocator;
    const aether_event *source;
    char *bytes;
    size_t size, room;
    size_t at; /* of the next one to hand out */
};

struct aether_replay {
    aether_store *store;
    struct aether_replay *previous, *next; /* lock: the store's */
    void *driver;                          /* the driver's replay */
    aether_load_options options;           /* types and actor_prefix: see `copies` */
    bool of_one;                           /* one actor's */
    aether_text *copies;                   /* types, then the prefix, then their bytes */
    size_t copies_bytes;
    aether_status final; /* answered from now on; AETHER_OK: none */
    uint32_t stop;       /* atomic, S5: CANCELLED, OVER */
    uint64_t index;      /* of the last event that was passed */
    uint64_t taken;      /* stored events passed, for the limit */
    uint64_t waits_for;  /* following: everything up to this index has been looked at */
    int64_t version;     /* one actor's: of the last event */
    uint64_t handed_out; /* events, for the statistics */
    uint64_t mark_at;    /* the newest index when it was opened */
    int64_t deadline;    /* of the call under way, once it is needed */
    bool needs_care;     /* const: there is more to do than to hand out what the driver gives */
    bool has_no_holes;   /* const: versions follow one after another */
    bool is_marked;      /* AETHER_EVENT_CAUGHT_UP was told */
    bool can_wait_for;   /* waits_for says something */
    bool is_held;        /* `stored` is still to be handed out */
    aether_event stored; /* of the driver */
    struct aether_upcast upcast;
};

/* ------------------------------------------------------------------------------------------------------------ upcast */

static bool make_room(struct aether_upcast *upcast, size_t size)
{
    if (upcast->room - upcast->size >= size)
        return true;
    size_t room = upcast->room != 0 ? upcast->room * 2 : 1024;
    while (room - upcast->size < size)
        room *= 2;
    char *bytes = ae_alloc(upcast->allocator, room, _Alignof(aether_event));
    if (bytes == NULL)
        return false;
    if (upcast->bytes != NULL) {
        memcpy(bytes, upcast->bytes, upcast->size);
        ae_free(upcast->allocator, upcast->bytes, upcast->room, _Alignof(aether_event));
    }
    upcast->bytes = bytes;
    upcast->room = room;
    return true;
}

static size_t text_bytes(const aether_event *event)
{
    size_t size = event->type_size + event->metadata.size + event->data.size + event->extra.size;
    return (size + 7) & ~(size_t)7;
}

static char *put(char *at, const char *bytes, size_t size)
{
    if (size != 0 && bytes != NULL)
        memcpy(at, bytes, size);
    return at + size;
}

aether_status aether_upcast_emit_sized(aether_upcast *out, const aether_event *given, size_t size)
{
    static const char call[] = "aether_upcast_emit";
    if (out == NULL || given == NULL)
        return ae_fail(AETHER_INVALID, "%s: %s is NULL", call, out == NULL ? "out" : "the event");
    aether_event event = {0};
    memcpy(&event, given, size < sizeof event ? size : sizeof event);
    if (event.type != NULL && event.type_size == 0)
        event.type_size = strlen(event.type);
    aether_status status = ae_name_check(event.type, event.type_size, "type", call);
    if (status != AETHER_OK)
        return status;
    if ((event.data.data == NULL && event.data.size != 0) || (event.metadata.data == NULL && event.metadata.size != 0) ||
        (event.extra.data == NULL && event.extra.size != 0))
        return ae_fail(AETHER_INVALID, "%s: data, metadata or extra are NULL with a size", call);
    if (!make_room(out, sizeof event + text_bytes(&event)))
        return ae_fail(AETHER_NO_MEMORY, "%s: no memory for an event", call);
    char *head = out->bytes + out->size;
    memcpy(head, &event, sizeof event);
    char *at = put(head + sizeof event, event.data.data, event.data.size);
    at = put(at, event.metadata.data, event.metadata.size);
    at = put(at, event.type, event.type_size);
    put(at, event.extra.data, event.extra.size);
    out->size += sizeof event + text_bytes(&event);
    return AETHER_OK;
}

static aether_text text_at(const char **at, size_t size)
{
    aether_text text = {size != 0 ? *at : NULL, size};
    *at += size;
    return text;
}

/* The next one that was emitted: in it, what only the store knows is the stored one's. */
static void take_emitted(struct aether_upcast *upcast, aether_event *event)
{
    const char *at = upcast->bytes + upcast->at;
    aether_event emitted;
    memcpy(&emitted, at, sizeof emitted);
    at += sizeof emitted;
    upcast->at += sizeof emitted + text_bytes(&emitted);
    const aether_event *stored = upcast->source;
    *event = *stored;
    event->flags = emitted.flags;
    event->data = text_at(&at, emitted.data.size);
    event->metadata = text_at(&at, emitted.metadata.size);
    event->type_size = emitted.type_size;
    event->type = text_at(&at, emitted.type_size).data;
    event->extra = text_at(&at, emitted.extra.size);
}

/* Fills the queue from the held event. */
static aether_status transform(struct aether_replay *replay)
{
    struct aether_upcast *upcast = &replay->upcast;
    upcast->size = upcast->at = 0;
    upcast->source = &replay->stored;
    aether_upcast_fn turn = replay->options.upcast != NULL ? replay->options.upcast : replay->store->options.upcast;
    void *user = replay->options.upcast != NULL ? replay->options.upcast_user : replay->store->options.upcast_user;
    aether_status status = turn(upcast, &replay->stored, user);
    if (status == AETHER_OK)
        return status;
    upcast->size = 0;
    if (status == AETHER_NO_MEMORY)
        return status;
    return ae_fail(AETHER_MALFORMED, "aether_replay_next: the upcast of the event at %llu, type \"%.*s\", answered: %s",
                   (unsigned long long)replay->stored.index,
                   (int)(replay->stored.type_size > 60 ? 60 : replay->stored.type_size), replay->stored.type,
                   aether_status_text(status));
}

static bool has_upcast(const struct aether_replay *replay)
{
    return !replay->options.as_stored && (replay->options.upcast != NULL || replay->store->options.upcast != NULL);
}

/* ----------------------------------------------------------------------------------------------------------- reading */

/* What is stored there is no event, or not to be understood: lenient replays go on behind it. */
static aether_status tell_malformed(struct aether_replay *replay, aether_event *event, aether_status status)
{
    ae_count(&replay->store->counters.malformed, 1);
    *event = replay->stored;
    event->epoch = replay->store->facts.epoch;
    replay->index = replay->stored.index;
    if (!replay->options.lenient)
        replay->final = status;
    return status;
}

/* Keeps what the driver has given; AETHER_MALFORMED: versions are missing before it. */
static aether_status hold(struct aether_replay *replay)
{
    aether_event *stored = &replay->stored;
    stored->epoch = replay->store->facts.epoch;
    replay->is_held = true;
    int64_t before = replay->version;
    replay->version = stored->version;
    if (AE_LIKELY(!replay->has_no_holes || before == 0 || stored->version == before + 1))
        return AETHER_OK;
    return ae_fail(AETHER_MALFORMED, "aether_replay_next: version %lld of \"%.*s\" follows version %lld: events are missing",
                   (long long)stored->version, (int)(stored->actor_size > 60 ? 60 : stored->actor_size), stored->actor,
                   (long long)before);
}

static uint32_t stopped(const struct aether_replay *replay)
{
    return AE_LOAD(S5_LOAD, &replay->stop, acquire); /* S5: pairs with aether_replay_cancel() and aether_store_close() */
}

static aether_status tell_stop(const struct aether_replay *replay)
{
    if ((stopped(replay) & OVER) != 0)
        return ae_fail(AETHER_CLOSED, "aether_replay_next: the store was closed");
    return AETHER_CANCELLED;
}

/* Nothing is left: waits for what comes. AETHER_OK: look again. */
static aether_status await(struct aether_replay *replay, int64_t timeout_ns)
{
    aether_store *store = replay->store;
    uint64_t newest;
    aether_status status = store->driver->newest(store->impl, ae_store_deadline(store, 0), &newest);
    if (status != AETHER_OK)
        return status;
    if (!replay->can_wait_for || newest != replay->waits_for) {
        replay->can_wait_for = true; /* what is there by now has not been looked at yet */
        replay->waits_for = newest;
        return AETHER_OK;
    }
    if (timeout_ns <= 0)
        return AETHER_EMPTY;
    int64_t deadline = replay->deadline != 0 ? replay->deadline : (replay->deadline = ae_deadline(timeout_ns));
    status = store->driver->wait(store->impl, newest, &replay->stop, deadline);
    return status == AETHER_TIMEOUT && stopped(replay) != 0 ? AETHER_OK : status;
}

static aether_status mark(struct aether_replay *replay, aether_event *event)
{
    replay->is_marked = true;
    memset(event, 0, sizeof *event);
    event->kind = AETHER_EVENT_CAUGHT_UP;
    event->index = replay->mark_at;
    event->epoch = replay->store->facts.epoch;
    return AETHER_OK;
}

static bool is_to_be_marked(const struct aether_replay *replay)
{
    return replay->options.mark && !replay->is_marked;
}

static void pass(struct aether_replay *replay, uint64_t index)
{
    replay->is_held = false;
    replay->index = index;
    replay->taken++;
}

/* Hands out what the held event has become, if anything. */
static aether_status hand_out(struct aether_replay *replay, aether_event *event, bool *is_out)
{
    *is_out = true;
    if (is_to_be_marked(replay) && replay->stored.index > replay->mark_at)
        return mark(replay, event);
    aether_status status = AETHER_OK;
    if (has_upcast(replay)) {
        status = transform(replay);
        if (status == AETHER_NO_MEMORY)
            return status;
        *is_out = status != AETHER_OK || replay->upcast.size != 0;
        if (status == AETHER_OK && *is_out)
            take_emitted(&replay->upcast, event);
    } else {
        *event = replay->stored;
    }
    pass(replay, replay->stored.index);
    return status == AETHER_OK ? status : tell_malformed(replay, event, status);
}

/* Everything that is not simply the next stored event. */
static aether_status next_with_care(struct aether_replay *replay, aether_event *event, int64_t timeout_ns)
{
    if (replay->upcast.at < replay->upcast.size) {
        take_emitted(&replay->upcast, event);
        return AETHER_OK;
    }
    replay->deadline = 0;
    for (;;) {
        aether_status status = AETHER_OK;
        if (stopped(replay) != 0)
            return tell_stop(replay);
        if (replay->final != AETHER_OK)
            return replay->final == AETHER_ENDED
                       ? AETHER_ENDED
                       : ae_fail(replay->final, "aether_replay_next: the replay has ended at a malformed event");
        if (replay->is_held) {
            bool is_out;
            status = hand_out(replay, event, &is_out);
            if (is_out)
                return status;
            continue;
        }
        if (replay->options.limit != 0 && replay->taken >= replay->options.limit)
            return replay->final = AETHER_ENDED;
        status = replay->store->driver->replay_next(replay->driver, &replay->stored, replay->store->options.timeout_ns);
        if (status == AETHER_OK)
            status = hold(replay);
        if (status == AETHER_MALFORMED)
            return tell_malformed(replay, event, status);
        if (status == AETHER_ENDED) {
            if (!replay->options.follow)
                return replay->final = AETHER_ENDED;
            if (is_to_be_marked(replay))
                return mark(replay, event);
            status = await(replay, timeout_ns);
        }
        if (status != AETHER_OK)
            return status;
    }
}

static aether_status next(struct aether_replay *replay, aether_event *event, int64_t timeout_ns)
{
    if (AE_UNLIKELY(replay->needs_care || replay->final != AETHER_OK || stopped(replay) != 0))
        return next_with_care(replay, event, timeout_ns);
    aether_status status = replay->store->driver->replay_next(replay->driver, event, replay->store->options.timeout_ns);
    if (AE_LIKELY(status == AETHER_OK)) {
        event->epoch = replay->store->facts.epoch;
        replay->index = event->index;
        return AETHER_OK;
    }
    if (status == AETHER_ENDED)
        return replay->final = status;
    replay->stored = *event;
    return status == AETHER_MALFORMED ? tell_malformed(replay, event, status) : status;
}

aether_status aether_replay_next_sized(aether_replay *replay, aether_event *event, size_t size, int64_t timeout_ns)
{
    static const char call[] = "aether_replay_next";
    if (AE_UNLIKELY(replay == NULL || event == NULL))
        return ae_fail(AETHER_INVALID, "%s: %s is NULL", call, replay == NULL ? "the replay" : "the event");
    aether_status status = ae_store_refuse(replay->store, call);
    if (AE_UNLIKELY(status != AETHER_OK))
        return status;
    if (AE_LIKELY(size == sizeof *event)) {
        status = next(replay, event, timeout_ns);
    } else {
        aether_event whole = {0};
        status = next(replay, &whole, timeout_ns);
        memcpy(event, &whole, size < sizeof whole ? size : sizeof whole);
        if (size > sizeof whole)
            memset((char *)event + sizeof whole, 0, size - sizeof whole);
    }
    if (AE_LIKELY(status == AETHER_OK))
        replay->handed_out++;
    return status;
}

aether_position aether_replay_position(const aether_replay *replay)
{
    if (replay == NULL)
        return (aether_position){0, 0};
    return (aether_position){replay->store->facts.epoch, replay->index};
}

/* -------------------------------------------------------------------------------------------------- opening, closing */

/* Copies what the options lead to. */
static bool copy_texts(struct aether_replay *replay, const aether_load_options *options)
{
    size_t prefix = options->actor_prefix != NULL ? strlen(options->actor_prefix) : 0, count = options->type_count;
    size_t bytes = (count + 1) * sizeof(aether_text) + prefix;
    for (size_t i = 0; i < count; i++)
        bytes += strlen(options->types[i]);
    replay->copies = ae_alloc(&replay->store->allocator, bytes, _Alignof(aether_text));
    if (replay->copies == NULL)
        return false;
    replay->copies_bytes = bytes;
    char *at = (char *)(replay->copies + count + 1);
    for (size_t i = 0; i <= count; i++) {
        const char *from = i < count ? options->types[i] : options->actor_prefix;
        size_t size = i < count ? strlen(from) : prefix;
        replay->copies[i] = (aether_text){at, size};
        at = put(at, from, size);
    }
    return true;
}

static aether_status check_options(const aether_load_options *options, const char *call)
{
    if (options->type_count != 0 && options->types == NULL)
        return ae_fail(AETHER_INVALID, "%s: types is NULL with %zu of them", call, options->type_count);
    for (size_t i = 0; i < options->type_count; i++)
        if (options->types[i] == NULL)
            return ae_fail(AETHER_INVALID, "%s: type %zu is NULL", call, i);
    if (options->from_version < 0 || options->to_version < 0)
        return ae_fail(AETHER_INVALID, "%s: a version below 0, %lld to %lld", call, (long long)options->from_version,
                       (long long)options->to_version);
    if (options->follow && options->backwards)
        return ae_fail(AETHER_INVALID, "%s: nothing can be followed backwards", call);
    if (options->follow && (options->to_version != 0 || options->to_index != 0))
        return ae_fail(AETHER_INVALID, "%s: what is followed has no end", call);
    if (options->mark && !options->follow)
        return ae_fail(AETHER_INVALID, "%s: only who follows is told when the past is over", call);
    return AETHER_OK;
}

static void enlist(struct aether_replay *replay)
{
    aether_store *store = replay->store;
    pthread_mutex_lock(&store->lock);
    replay->next = store->replays;
    if (replay->next != NULL)
        replay->next->previous = replay;
    store->replays = replay;
    pthread_mutex_unlock(&store->lock);
    ae_store_hold(store);
}

static void delist(struct aether_replay *replay)
{
    aether_store *store = replay->store;
    pthread_mutex_lock(&store->lock);
    *(replay->previous != NULL ? &replay->previous->next : &store->replays) = replay->next;
    if (replay->next != NULL)
        replay->next->previous = replay->previous;
    pthread_mutex_unlock(&store->lock);
}

static void free_replay(struct aether_replay *replay)
{
    const aether_allocator *allocator = &replay->store->allocator;
    if (replay->copies != NULL)
        ae_free(allocator, replay->copies, replay->copies_bytes, _Alignof(aether_text));
    if (replay->upcast.bytes != NULL)
        ae_free(allocator, replay->upcast.bytes, replay->upcast.room, _Alignof(aether_event));
    ae_free(allocator, replay, sizeof *replay, _Alignof(struct aether_replay));
}

static aether_status bounds_of(aether_store *store, const aether_load_options *options, aether_driver_replay *what,
                               uint64_t *newest, const char *call)
{
    aether_status status = AETHER_OK;
    if (what->actor.data == NULL || options->follow)
        status = store->driver->newest(store->impl, ae_store_deadline(store, 0), newest);
    if (status != AETHER_OK)
        return status;
    if (what->actor.data != NULL) {
        what->from_version = options->from_version > 0 ? options->from_version : 1;
        what->to_version = options->to_version;
        if (options->follow)
            what->to_version = INT64_MAX;
        else if (what->to_version == 0)
            return store->driver->latest(store->impl, what->actor, ae_store_deadline(store, 0), &what->to_version,
                                         &(uint64_t){0});
        return AETHER_OK;
    }
    if (options->after.epoch != 0 && options->after.epoch != store->facts.epoch)
        return ae_fail(AETHER_OTHER_EPOCH, "%s: the position is of another store, or of a copy", call);
    if (options->after.index > *newest)
        return ae_fail(AETHER_AHEAD, "%s: position %llu is beyond the newest event, %llu", call,
                       (unsigned long long)options->after.index, (unsigned long long)*newest);
    what->after = options->after.index;
    what->to_index = options->follow                                         ? UINT64_MAX
                     : options->to_index != 0 && options->to_index < *newest ? options->to_index
                                                                             : *newest;
    return AETHER_OK;
}

static struct aether_replay *open_replay(aether_store *store, aether_text actor, const aether_load_options *options,
                                         const char *call)
{
    aether_driver_replay what = {.actor = actor, .backwards = options->backwards};
    uint64_t newest = 0;
    if (check_options(options, call) != AETHER_OK || bounds_of(store, options, &what, &newest, call) != AETHER_OK)
        return NULL;
    struct aether_replay *replay = ae_alloc(&store->allocator, sizeof *replay, _Alignof(struct aether_replay));
    if (replay != NULL) {
        memset(replay, 0, sizeof *replay);
        replay->store = store;
        replay->options = *options;
        replay->of_one = actor.data != NULL;
        replay->upcast.allocator = &store->allocator;
        replay->index = what.after;
        replay->mark_at = newest;
        replay->has_no_holes = replay->of_one && (store->options.contiguous || store->facts.contiguous) &&
                               !options->backwards && options->type_count == 0;
        replay->needs_care = options->follow || options->limit != 0 || replay->has_no_holes || has_upcast(replay);
        if (copy_texts(replay, options)) {
            what.types = replay->copies;
            what.type_count = options->type_count;
            what.actor_prefix = replay->copies[options->type_count];
            if (store->driver->replay_open(store->impl, &what, ae_store_deadline(store, 0), &replay->driver) == AETHER_OK) {
                enlist(replay);
                return replay;
            }
            free_replay(replay);
            return NULL;
        }
        free_replay(replay);
    }
    (void)ae_fail(AETHER_NO_MEMORY, "%s: no memory for a replay", call);
    return NULL;
}

static aether_load_options take_options(const aether_load_options *given, size_t size)
{
    aether_load_options options = {0};
    if (given != NULL)
        memcpy(&options, given, size < sizeof options ? size : sizeof options);
    return options;
}

aether_replay *aether_load_sized(aether_store *store, const char *actor, const aether_load_options *given, size_t size)
{
    static const char call[] = "aether_load";
    aether_load_options options = take_options(given, size);
    aether_text name = aether_text_of(actor);
    if (ae_store_refuse(store, call) != AETHER_OK || ae_name_check(name.data, name.size, "actor", call) != AETHER_OK)
        return NULL;
    return open_replay(store, name, &options, call);
}

aether_replay *aether_load_all_sized(aether_store *store, const aether_load_options *given, size_t size)
{
    static const char call[] = "aether_load_all";
    aether_load_options options = take_options(given, size);
    if (ae_store_refuse(store, call) != AETHER_OK)
        return NULL;
    return open_replay(store, (aether_text){NULL, 0}, &options, call);
}

static void stop(struct aether_replay *replay, uint32_t why)
{
    (void)AE_OR(S5_OVER, &replay->stop, why, release); /* S5: pairs with the load in stopped(), and the driver's in wait() */
}

void aether_replay_cancel(aether_replay *replay)
{
    if (replay == NULL || ae_store_refuse(replay->store, "aether_replay_cancel") != AETHER_OK)
        return;
    stop(replay, CANCELLED);
    replay->store->driver->wake(replay->store->impl);
}

void ae_replays_end(aether_store *store)
{
    pthread_mutex_lock(&store->lock);
    for (struct aether_replay *replay = store->replays; replay != NULL; replay = replay->next)
        stop(replay, OVER);
    pthread_mutex_unlock(&store->lock);
    store->driver->wake(store->impl);
}

void aether_replay_close(aether_replay *replay)
{
    if (replay == NULL || ae_store_refuse(replay->store, "aether_replay_close") != AETHER_OK)
        return;
    aether_store *store = replay->store;
    ae_count(&store->counters.loaded_events, replay->handed_out);
    store->driver->replay_close(replay->driver);
    delist(replay);
    free_replay(replay);
    ae_store_drop(store);
}
