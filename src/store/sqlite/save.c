/* What the leader does for each, inside the transaction. */
#include <stdio.h>
#include <string.h>

#include "store/sqlite/sqlite.h"

static sqlite3_stmt *statement_of(const struct ae_sqlite_store *store, enum ae_sqlite_write which)
{
    return store->writes[which];
}

/* Borrowed bytes: SQLite reads them before the statement is reset. */
static void bind_text(sqlite3_stmt *statement, int at, const char *text, size_t size)
{
    (void)sqlite3_bind_text64(statement, at, text, size, SQLITE_STATIC, SQLITE_UTF8);
}

/* Text where it is text, so that people can read it with sqlite3. */
static void bind_bytes(sqlite3_stmt *statement, int at, aether_text bytes)
{
    if (bytes.size == 0)
        (void)sqlite3_bind_null(statement, at);
    else if (aether_text_is_utf8(bytes.data, bytes.size, NULL))
        bind_text(statement, at, bytes.data, bytes.size);
    else
        (void)sqlite3_bind_blob64(statement, at, bytes.data, bytes.size, SQLITE_STATIC);
}

/* Where the leader remembers this actor, or another one; NULL: nowhere. */
static struct ae_sqlite_known *place_of(const struct ae_sqlite_store *store, aether_text actor)
{
    if (store->known == NULL || store->generation == 0 || actor.size > AE_SQLITE_KNOWN_NAME)
        return NULL;
    return &store->known[aether_checksum(0, actor.data, actor.size) % AE_SQLITE_KNOWN];
}

static bool is_known(const struct ae_sqlite_store *store, const struct ae_sqlite_known *known, aether_text actor)
{
    return known != NULL && known->generation == store->generation && known->name_size == actor.size &&
           memcmp(known->name, actor.data, actor.size) == 0;
}

static void remember(const struct ae_sqlite_store *store, aether_text actor, int64_t latest, bool has_ended)
{
    struct ae_sqlite_known *known = place_of(store, actor);
    if (known == NULL)
        return;
    *known = (struct ae_sqlite_known){
        .generation = store->generation, .latest = latest, .name_size = (uint16_t)actor.size, .has_ended = has_ended};
    memcpy(known->name, actor.data, actor.size);
}

static aether_status read_latest(struct ae_sqlite_store *store, aether_text actor, int64_t *version, bool *ended)
{
    const struct ae_sqlite_known *known = place_of(store, actor);
    if (is_known(store, known, actor)) {
        *version = known->latest;
        *ended = known->has_ended;
        return AETHER_OK;
    }
    sqlite3_stmt *statement = statement_of(store, AE_SQLITE_LATEST);
    bind_text(statement, 1, actor.data, actor.size);
    int code = sqlite3_step(statement);
    *version = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    *ended = code == SQLITE_ROW && (sqlite3_column_int64(statement, 1) & AETHER_EVENT_CLOSING) != 0;
    int end = sqlite3_reset(statement);
    if (code == SQLITE_ROW || code == SQLITE_DONE)
        return AETHER_OK;
    return ae_sqlite_fail(store->db, end != SQLITE_OK ? end : code, "cannot read an actor's latest version");
}

/* ---------------------------------------------------------------------------------------------------------------- ids */

/* The version under this id; 0: none. */
static aether_status find_id(struct ae_sqlite_store *store, const aether_event *event, int64_t *version)
{
    sqlite3_stmt *statement = statement_of(store, AE_SQLITE_FIND_ID);
    (void)sqlite3_bind_blob(statement, 1, event->id, sizeof event->id, SQLITE_STATIC);
    bind_text(statement, 2, event->actor, event->actor_size);
    int code = sqlite3_step(statement);
    *version = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    int end = sqlite3_reset(statement);
    if (code == SQLITE_ROW || code == SQLITE_DONE)
        return AETHER_OK;
    return ae_sqlite_fail(store->db, end != SQLITE_OK ? end : code, "cannot look for an id");
}

/* Whether the events from `version` on are those of the save. */
static aether_status compare_stored(struct ae_sqlite_store *store, aether_driver_save *save, int64_t version, bool *same)
{
    sqlite3_stmt *statement = statement_of(store, AE_SQLITE_STORED);
    bind_text(statement, 1, save->events->actor, save->events->actor_size);
    (void)sqlite3_bind_int64(statement, 2, version);
    (void)sqlite3_bind_int64(statement, 3, (int64_t)save->count);
    size_t i = 0;
    int code;
    aether_event stored;
    *same = true;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW && *same) {
        *same =
            ae_sqlite_row(statement, &stored) == NULL && aether_event_is_same(&save->events[i], &stored, !save->drawn_time);
        save->saved.version = stored.version;
        save->saved.position = (aether_position){store->facts.epoch, stored.index};
        i++;
    }
    *same = *same && i == save->count;
    int end = sqlite3_reset(statement);
    if (code == SQLITE_ROW || code == SQLITE_DONE)
        return AETHER_OK;
    return ae_sqlite_fail(store->db, end != SQLITE_OK ? end : code, "cannot read what is stored under an id");
}

/* *decided: the save has its answer. */
static aether_status compare(struct ae_sqlite_store *store, aether_driver_save *save, bool *decided)
{
    int64_t first = 0;
    *decided = false;
    for (size_t i = 0; i < save->count && !*decided; i++) {
        int64_t version;
        aether_status status = find_id(store, &save->events[i], &version);
        if (status != AETHER_OK)
            return status;
        first = i == 0 ? version : first;
        *decided = version != 0;
    }
    if (!*decided)
        return AETHER_OK;
    bool same = first != 0;
    aether_status status = same ? compare_stored(store, save, first, &same) : AETHER_OK;
    if (status != AETHER_OK)
        return status;
    if (same) {
        save->saved.duplicate = true;
        save->saved.durability = AETHER_ON_DISK;
        return AETHER_OK;
    }
    save->saved.position = (aether_position){0, 0};
    save->saved.version = save->events[save->count - 1].version;
    save->status = aether_fail(AETHER_ID_REUSED, "save: the actor \"%.*s\" has another event under an id of this save",
                               (int)(save->events->actor_size > 60 ? 60 : save->events->actor_size), save->events->actor);
    return AETHER_OK;
}

/* ------------------------------------------------------------------------------------------------------------- saves */

static aether_status insert(struct ae_sqlite_store *store, const aether_event *given, int64_t version, uint64_t position)
{
    aether_event event = *given;
    event.version = version;
    sqlite3_stmt *statement = statement_of(store, AE_SQLITE_INSERT);
    (void)sqlite3_bind_int64(statement, 1, (int64_t)position);
    bind_text(statement, 2, event.actor, event.actor_size);
    (void)sqlite3_bind_int64(statement, 3, version);
    (void)sqlite3_bind_blob(statement, 4, event.id, sizeof event.id, SQLITE_STATIC);
    bind_text(statement, 5, event.type, event.type_size);
    (void)sqlite3_bind_int64(statement, 6, event.timestamp);
    (void)sqlite3_bind_int64(statement, 7, event.flags);
    bind_bytes(statement, 8, event.metadata);
    bind_bytes(statement, 9, event.data);
    bind_bytes(statement, 10, event.extra);
    (void)sqlite3_bind_int64(statement, 11, aether_event_checksum(0, &event));
    int code = sqlite3_step(statement);
    int end = sqlite3_reset(statement);
    if (code == SQLITE_DONE)
        return AETHER_OK;
    return ae_sqlite_fail(store->db, end != SQLITE_OK ? end : code, "cannot write an event");
}

static aether_status save_one(struct ae_sqlite_store *store, aether_driver_save *save)
{
    bool decided = false, ended;
    int64_t latest, first;
    aether_text actor = {save->events->actor, save->events->actor_size};
    aether_status status = read_latest(store, actor, &latest, &ended);
    save->generation = store->generation;
    save->saved.conflict.current = latest;
    if (!save->has_base)
        save->saved.base = save->expected > 0 ? save->expected : latest;
    save->saved.has_base = true;
    if (status == AETHER_OK && !save->drawn_id && latest != 0)
        status = compare(store, save, &decided);
    if (status != AETHER_OK || decided)
        return status;
    save->status = aether_decide(save, latest, ended, &first);
    if (save->status != AETHER_OK)
        return AETHER_OK;
    for (size_t i = 0; i < save->count && status == AETHER_OK; i++) {
        save->saved.version = aether_version_of(save, i, first);
        status = insert(store, &save->events[i], save->saved.version, store->newest + 1);
        store->newest += status == AETHER_OK;
    }
    save->saved.position = (aether_position){store->facts.epoch, store->newest};
    save->saved.durability = AETHER_ON_DISK;
    if (status == AETHER_OK)
        remember(store, actor, save->saved.version, (save->events[save->count - 1].flags & AETHER_EVENT_CLOSING) != 0);
    return status;
}

aether_status ae_sqlite_perform_saves(struct ae_sqlite_store *store, struct ae_sqlite_request *request)
{
    for (size_t i = 0; i < request->count; i++) {
        aether_driver_save *save = &request->saves[i];
        if (save->status != AETHER_OK)
            continue;
        aether_status status = save_one(store, save);
        if (status != AETHER_OK)
            return status;
        if (save->status != AETHER_OK) {
            request->told = save->status;
            snprintf(request->text, sizeof request->text, "%s", aether_error());
        }
    }
    return AETHER_OK;
}

/* ----------------------------------------------------------------------------------------------- states, checkpoints */

aether_status ae_sqlite_perform_state(struct ae_sqlite_store *store, struct ae_sqlite_request *request)
{
    const aether_state_snapshot *snapshot = request->snapshot;
    sqlite3_stmt *statement = statement_of(store, AE_SQLITE_STATE);
    bind_text(statement, 1, request->actor.data, request->actor.size);
    bind_text(statement, 2, request->name.data, request->name.size);
    (void)sqlite3_bind_int64(statement, 3, snapshot->version);
    (void)sqlite3_bind_int64(statement, 4, snapshot->reducer_version);
    (void)sqlite3_bind_int64(statement, 5, snapshot->timestamp);
    (void)sqlite3_bind_int64(statement, 6, snapshot->checksum);
    if (snapshot->bytes.size != 0)
        (void)sqlite3_bind_blob64(statement, 7, snapshot->bytes.data, snapshot->bytes.size, SQLITE_STATIC);
    else
        (void)sqlite3_bind_zeroblob(statement, 7, 0);
    int code = sqlite3_step(statement);
    int end = sqlite3_reset(statement);
    return code == SQLITE_DONE ? AETHER_OK
                               : ae_sqlite_fail(store->db, end != SQLITE_OK ? end : code, "cannot write a snapshot");
}

aether_status ae_sqlite_perform_checkpoint(struct ae_sqlite_store *store, struct ae_sqlite_request *request)
{
    sqlite3_stmt *now = statement_of(store, AE_SQLITE_CHECKPOINT_NOW);
    bind_text(now, 1, request->name.data, request->name.size);
    int code = sqlite3_step(now);
    uint64_t index = code == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(now, 0) : 0;
    (void)sqlite3_reset(now);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return ae_sqlite_fail(store->db, code, "cannot read a checkpoint");
    if (request->index != 0 && request->index < index)
        return aether_fail(AETHER_INDEX_ORDER, "aether_checkpoint_save: \"%.60s\" has come to %llu already, %llu is below",
                           request->name.data, (unsigned long long)index, (unsigned long long)request->index);
    sqlite3_stmt *statement = statement_of(store, AE_SQLITE_CHECKPOINT);
    bind_text(statement, 1, request->name.data, request->name.size);
    (void)sqlite3_bind_int64(statement, 2, (int64_t)request->index);
    code = sqlite3_step(statement);
    int end = sqlite3_reset(statement);
    return code == SQLITE_DONE ? AETHER_OK
                               : ae_sqlite_fail(store->db, end != SQLITE_OK ? end : code, "cannot write a checkpoint");
}
