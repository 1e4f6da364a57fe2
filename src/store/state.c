/*
 * States: the newest snapshot that can be used, and the events after it.
 *
 * What is wrong with a snapshot never matters to who loads a state: it is set aside, and all events are replayed.
 */
#include "aether/state.h"

#include <stdio.h>

#include "base/allocator.h"
#include "base/clock.h"
#include "base/fail.h"
#include "store/state.h"
#include "store/store.h"

struct aether_capture {
    const aether_allocator *allocator;
    char *bytes;
    size_t size, room;
};

/* ----------------------------------------------------------------------------------------------------------- capture */

aether_status aether_capture_write(aether_capture *capture, const void *bytes, size_t size)
{
    static const char call[] = "aether_capture_write";
    if (capture == NULL || (bytes == NULL && size != 0))
        return ae_fail(AETHER_INVALID, "%s: %s is NULL", call, capture == NULL ? "the capture" : "bytes");
    if (size > AETHER_DATA_MAX - capture->size)
        return ae_fail(AETHER_TOO_LARGE, "%s: the state has more than %zu bytes", call, AETHER_DATA_MAX);
    if (capture->room - capture->size < size) {
        size_t room = capture->room != 0 ? capture->room : 256;
        while (room - capture->size < size)
            room *= 2;
        char *larger = ae_alloc(capture->allocator, room, 8);
        if (larger == NULL)
            return ae_fail(AETHER_NO_MEMORY, "%s: no memory for %zu bytes", call, room);
        if (capture->size != 0)
            memcpy(larger, capture->bytes, capture->size);
        if (capture->bytes != NULL)
            ae_free(capture->allocator, capture->bytes, capture->room, 8);
        capture->bytes = larger;
        capture->room = room;
    }
    if (size != 0)
        memcpy(capture->bytes + capture->size, bytes, size);
    capture->size += size;
    return AETHER_OK;
}

static void free_capture(struct aether_capture *capture)
{
    if (capture->bytes != NULL)
        ae_free(capture->allocator, capture->bytes, capture->room, 8);
}

/* ----------------------------------------------------------------------------------------------------------- checks */

static uint32_t checksum_of(aether_text actor, aether_text reducer, const aether_state_snapshot *snapshot)
{
    struct {
        int64_t version;
        uint64_t actor_size, reducer_size, size;
        uint64_t reducer_version;
    } head = {snapshot->version, actor.size, reducer.size, snapshot->bytes.size, snapshot->reducer_version};
    uint32_t crc = aether_checksum(0, &head, sizeof head);
    crc = aether_checksum(crc, actor.data, actor.size);
    crc = aether_checksum(crc, reducer.data, reducer.size);
    return aether_checksum(crc, snapshot->bytes.data, snapshot->bytes.size);
}

static aether_status check_reducer(const aether_reducer *given, size_t size, aether_reducer *reducer, const char *call)
{
    memset(reducer, 0, sizeof *reducer);
    if (given == NULL) {
        (void)ae_fail(AETHER_INVALID, "%s: the reducer is NULL", call);
        return AETHER_INVALID;
    }
    memcpy(reducer, given, size < sizeof *reducer ? size : sizeof *reducer);
    aether_text name = aether_text_of(reducer->name);
    aether_status status = ae_name_check(name.data, name.size, "reducer's name", call);
    if (status == AETHER_OK && (reducer->create == NULL || reducer->destroy == NULL || reducer->apply == NULL)) {
        (void)ae_fail(AETHER_INVALID, "%s: the reducer \"%s\" needs create, destroy and apply", call, reducer->name);
        return AETHER_INVALID;
    }
    if (status == AETHER_OK && (reducer->capture == NULL) != (reducer->restore == NULL))
        return ae_fail(AETHER_INVALID, "%s: the reducer \"%s\" has one of capture and restore, it needs both or none", call,
                       reducer->name);
    return status;
}

/* ---------------------------------------------------------------------------------------------------------- loading */

/* A load under way. */
struct load {
    aether_store *store;
    aether_text actor;
    const aether_reducer *reducer;
    void *state;
    aether_state_info info;
};

static void set_aside(struct load *load, const aether_state_snapshot *snapshot, const char *why)
{
    ae_count(&load->store->counters.snapshots_set_aside, 1);
    aether_log_line(AETHER_LOG_WARNING,
                    "the snapshot of \"%.*s\" by \"%s\" at version %lld is not used, its events are replayed: %s",
                    (int)(load->actor.size > 60 ? 60 : load->actor.size), load->actor.data, load->reducer->name,
                    (long long)snapshot->version, why);
}

static bool begin_anew(struct load *load)
{
    if (load->state != NULL)
        load->reducer->destroy(load->state, load->reducer->user);
    load->state = load->reducer->create(load->reducer->user);
    return load->state != NULL;
}

static void use_snapshot(const aether_state_snapshot *snapshot, void *user)
{
    struct load *load = user;
    const aether_reducer *reducer = load->reducer;
    if (snapshot->reducer_version != reducer->version) {
        set_aside(load, snapshot,
                  snapshot->reducer_version > reducer->version ? "a newer version of the reducer has made it"
                                                               : "an older version of the reducer has made it");
        return;
    }
    if (snapshot->checksum != checksum_of(load->actor, aether_text_of(reducer->name), snapshot)) {
        set_aside(load, snapshot, "its checksum is wrong");
        return;
    }
    if (snapshot->version < 1) {
        set_aside(load, snapshot, "the actor has no event of this version");
        return;
    }
    if (reducer->restore(load->state, snapshot->bytes, reducer->user) == AETHER_OK) {
        load->info.version = load->info.snapshot_version = snapshot->version;
        return;
    }
    set_aside(load, snapshot, "the reducer cannot restore it");
    load->info.version = -1; /* half restored: a fresh one is needed */
}

/* A snapshot cannot be ahead of the events (N5). Asked for after it was read: meanwhile both may have moved on. */
static aether_status check_version(struct load *load)
{
    aether_store *store = load->store;
    int64_t latest;
    uint64_t generation;
    if (load->info.snapshot_version == 0)
        return AETHER_OK;
    aether_status status =
        store->driver->latest(store->impl, load->actor, ae_store_deadline(store, 0), &latest, &generation);
    if (status != AETHER_OK || load->info.snapshot_version <= latest)
        return status;
    aether_state_snapshot snapshot = {.version = load->info.snapshot_version};
    set_aside(load, &snapshot, "the actor has no event of this version");
    load->info.snapshot_version = 0;
    load->info.version = -1;
    return AETHER_OK;
}

static aether_status find_snapshot(struct load *load)
{
    aether_store *store = load->store;
    if (load->reducer->restore == NULL)
        return AETHER_OK;
    aether_status status = store->driver->state_load(store->impl, load->actor, aether_text_of(load->reducer->name),
                                                     ae_store_deadline(store, 0), use_snapshot, load);
    if (status == AETHER_OK)
        status = check_version(load);
    if (load->info.version == -1) {
        load->info.version = 0;
        if (!begin_anew(load))
            return ae_fail(AETHER_NO_MEMORY, "aether_state_load: create gave no state");
    }
    if (status == AETHER_OK || status == AETHER_NOT_FOUND)
        return AETHER_OK;
    if (load->info.snapshot_version != 0)
        return status;
    aether_log_line(AETHER_LOG_WARNING, "no snapshot of \"%.*s\" could be loaded, its events are replayed: %s",
                    (int)(load->actor.size > 60 ? 60 : load->actor.size), load->actor.data, aether_error());
    return AETHER_OK;
}

static aether_status apply_events(struct load *load, aether_replay *replay)
{
    aether_event event;
    aether_status status;
    while ((status = aether_replay_next(replay, &event, AETHER_FOREVER)) == AETHER_OK) {
        status = load->reducer->apply(load->state, &event, load->reducer->user);
        if (status != AETHER_OK)
            return ae_fail(status,
                           "aether_state_load: the reducer \"%s\" fails at version %lld of \"%.*s\" (type \"%.*s\"): %s",
                           load->reducer->name, (long long)event.version,
                           (int)(load->actor.size > 60 ? 60 : load->actor.size), load->actor.data,
                           (int)(event.type_size > 60 ? 60 : event.type_size), event.type, aether_status_text(status));
        load->info.replayed++;
        load->info.version = event.version;
        load->info.position = (aether_position){event.epoch, event.index};
    }
    return status == AETHER_ENDED ? AETHER_OK : status;
}

static aether_status replay_rest(struct load *load, const char *actor)
{
    aether_load_options options = {.from_version = load->info.version + 1};
    aether_replay *replay = aether_load(load->store, actor, &options);
    if (replay == NULL)
        return aether_error_status();
    aether_status status = apply_events(load, replay);
    if (status == AETHER_OK) {
        aether_replay_close(replay);
        return status;
    }
    struct ae_failure failure = {.status = status};
    snprintf(failure.text, sizeof failure.text, "%s", aether_error());
    aether_replay_close(replay);
    return ae_fail_again(&failure);
}

void *ae_state_load(aether_store *store, const char *actor, const aether_reducer *reducer, aether_state_info *info)
{
    struct load load = {.store = store, .actor = aether_text_of(actor), .reducer = reducer};
    if (!begin_anew(&load)) {
        (void)ae_fail(AETHER_NO_MEMORY, "aether_state_load: create gave no state");
        return NULL;
    }
    aether_status status = find_snapshot(&load);
    if (status == AETHER_OK)
        status = replay_rest(&load, actor);
    if (status != AETHER_OK) {
        if (load.state != NULL)
            reducer->destroy(load.state, reducer->user);
        return NULL;
    }
    ae_count(&store->counters.states_loaded, 1);
    ae_count(&store->counters.states_from_snapshot, load.info.snapshot_version != 0);
    ae_count(&store->counters.states_replayed, load.info.replayed);
    *info = load.info;
    return load.state;
}

void *aether_state_load_sized(aether_store *store, const char *actor, const aether_reducer *given, size_t reducer_size,
                              aether_state_info *info, size_t info_size)
{
    static const char call[] = "aether_state_load";
    aether_reducer reducer;
    aether_state_info whole = {0};
    aether_text name = aether_text_of(actor);
    if (ae_store_refuse(store, call) != AETHER_OK || ae_name_check(name.data, name.size, "actor", call) != AETHER_OK ||
        check_reducer(given, reducer_size, &reducer, call) != AETHER_OK)
        return NULL;
    void *state = ae_state_load(store, actor, &reducer, &whole);
    if (state != NULL && info != NULL)
        memcpy(info, &whole, info_size < sizeof whole ? info_size : sizeof whole);
    return state;
}

/* ----------------------------------------------------------------------------------------------------------- saving */

aether_status ae_state_save(aether_store *store, const char *actor, const aether_reducer *reducer, const void *state,
                            int64_t version, uint64_t most_bytes)
{
    static const char call[] = "aether_state_save";
    aether_text name = aether_text_of(actor), reducer_name = aether_text_of(reducer->name);
    struct aether_capture capture = {.allocator = &store->allocator};
    aether_status status = reducer->capture(state, &capture, reducer->user);
    if (status != AETHER_OK) {
        status = ae_fail(status, "%s: the reducer \"%s\" cannot capture its state: %s", call, reducer->name,
                         aether_status_text(status));
    } else if (most_bytes != 0 && capture.size > most_bytes) {
        status = ae_fail(AETHER_TOO_LARGE, "%s: the state has %zu bytes, more than the policy keeps", call, capture.size);
    } else {
        aether_state_snapshot snapshot = {.version = version,
                                          .reducer_version = reducer->version,
                                          .timestamp = aether_now(),
                                          .bytes = {capture.bytes, capture.size}};
        snapshot.checksum = checksum_of(name, reducer_name, &snapshot);
        status = store->driver->state_save(store->impl, name, reducer_name, &snapshot, ae_store_deadline(store, 0));
    }
    free_capture(&capture);
    ae_count(status == AETHER_OK ? &store->counters.snapshots_made : &store->counters.snapshots_failed, 1);
    return status;
}

aether_status aether_state_save_sized(aether_store *store, const char *actor, const aether_reducer *given,
                                      size_t reducer_size, const void *state, int64_t version)
{
    static const char call[] = "aether_state_save";
    aether_reducer reducer;
    aether_text name = aether_text_of(actor);
    aether_status status = ae_store_refuse_writing(store, call);
    if (status == AETHER_OK)
        status = ae_name_check(name.data, name.size, "actor", call);
    if (status == AETHER_OK)
        status = check_reducer(given, reducer_size, &reducer, call);
    if (status != AETHER_OK)
        return status;
    if (reducer.capture == NULL)
        return ae_fail(AETHER_UNSUPPORTED, "%s: the reducer \"%s\" has no capture", call, reducer.name);
    if (state == NULL || version < 1)
        return ae_fail(AETHER_INVALID, "%s: %s", call,
                       state == NULL ? "the state is NULL" : "a snapshot has a version from 1");
    int64_t latest;
    uint64_t generation;
    status = store->driver->latest(store->impl, name, ae_store_deadline(store, 0), &latest, &generation);
    if (status == AETHER_OK && version > latest)
        return ae_fail(AETHER_AHEAD, "%s: version %lld is beyond the latest of \"%.60s\", %lld", call, (long long)version,
                       actor, (long long)latest);
    return status == AETHER_OK ? ae_state_save(store, actor, &reducer, state, version, 0) : status;
}

aether_status aether_state_snapshot_load(aether_store *store, const char *actor, const char *reducer,
                                         void (*take)(const aether_state_snapshot *snapshot, void *user), void *user)
{
    static const char call[] = "aether_state_snapshot_load";
    aether_text name = aether_text_of(actor), reducer_name = aether_text_of(reducer);
    aether_status status = ae_store_refuse(store, call);
    if (status == AETHER_OK)
        status = ae_name_check(name.data, name.size, "actor", call);
    if (status == AETHER_OK)
        status = ae_name_check(reducer_name.data, reducer_name.size, "reducer's name", call);
    if (status == AETHER_OK && take == NULL)
        return ae_fail(AETHER_INVALID, "%s: take is NULL", call);
    return status != AETHER_OK
               ? status
               : store->driver->state_load(store->impl, name, reducer_name, ae_store_deadline(store, 0), take, user);
}
