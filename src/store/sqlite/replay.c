/*
 * A replay reads a page of events in one short transaction and gives the connection back: no reader keeps the log from being
 * moved into the database, however slow its program is. Positions and versions only grow, so the next page begins behind the
 * last one.
 */
#include <stdio.h>
#include <string.h>

#include "store/sqlite/sqlite.h"

/* A page has at most so many events and bytes (one event more where it is larger), and looks at so many positions. */
enum { FIRST_EVENTS = 64, EVENTS = 1024, BYTES = 512 << 10, WINDOW = 200000, TEXT = 600 };

struct entry {
    aether_event event;
    const char *wrong; /* NULL: it is an event */
};

struct sqlite_replay {
    struct ae_sqlite_store *store;
    aether_driver_replay what;
    int64_t low, high; /* positions or versions still to come: low < x <= high */
    struct entry *entries;
    size_t room, count, at; /* of entries */
    char *bytes;
    size_t bytes_room;
    char *name;         /* the actor's, then the prefix's upper bound */
    size_t name_size;   /* of this memory */
    aether_text beyond; /* the prefix with its last byte one higher */
    char text[TEXT];
};

/* -------------------------------------------------------------------------------------------------------- the question */

static size_t add(char *to, size_t used, const char *text)
{
    size_t size = strlen(text);
    if (used + size >= TEXT)
        return TEXT;
    memcpy(to + used, text, size + 1);
    return used + size;
}

/* Too many types for a question of this size are sorted out here. */
static bool asks_for_types(const struct sqlite_replay *replay)
{
    return replay->what.type_count != 0 && replay->what.type_count <= 32;
}

static void write_question(struct sqlite_replay *replay)
{
    const aether_driver_replay *what = &replay->what;
    bool one = what->actor.data != NULL;
    size_t used = add(replay->text, 0, "SELECT " AE_SQLITE_COLUMNS " FROM event WHERE ");
    used =
        add(replay->text, used, one ? "actor = ?3 AND version > ?1 AND version <= ?2" : "position > ?1 AND position <= ?2");
    /* The sign keeps SQLite from going by the index of actors. */
    if (!one && what->actor_prefix.size != 0)
        used = add(replay->text, used, " AND +actor >= ?3 AND +actor < ?4");
    if (asks_for_types(replay)) {
        used = add(replay->text, used, " AND type IN (");
        for (size_t i = 0; i < what->type_count; i++) {
            char parameter[8];
            snprintf(parameter, sizeof parameter, "%s?%zu", i != 0 ? "," : "", i + 5);
            used = add(replay->text, used, parameter);
        }
        used = add(replay->text, used, ")");
    }
    used = add(replay->text, used, one ? " ORDER BY version" : " ORDER BY position");
    if (what->backwards)
        used = add(replay->text, used, " DESC");
    (void)add(replay->text, used, " LIMIT ?40");
}

static void bind_text(sqlite3_stmt *statement, int at, aether_text text)
{
    (void)sqlite3_bind_text64(statement, at, text.data, text.size, SQLITE_STATIC, SQLITE_UTF8);
}

static void bind(const struct sqlite_replay *replay, sqlite3_stmt *statement, int64_t low, int64_t high)
{
    const aether_driver_replay *what = &replay->what;
    (void)sqlite3_bind_int64(statement, 1, low);
    (void)sqlite3_bind_int64(statement, 2, high);
    if (what->actor.data != NULL) {
        bind_text(statement, 3, (aether_text){replay->name, what->actor.size});
    } else if (what->actor_prefix.size != 0) {
        bind_text(statement, 3, what->actor_prefix);
        bind_text(statement, 4, replay->beyond);
    }
    for (size_t i = 0; asks_for_types(replay) && i < what->type_count; i++)
        bind_text(statement, (int)i + 5, what->types[i]);
    (void)sqlite3_bind_int64(statement, 40, (int64_t)replay->room);
}

/* ------------------------------------------------------------------------------------------------------------- a page */

static size_t bytes_of(const aether_event *event)
{
    return event->actor_size + event->type_size + event->metadata.size + event->data.size + event->extra.size;
}

static bool make_bytes(struct sqlite_replay *replay, size_t size)
{
    if (replay->bytes_room >= size)
        return true;
    const aether_allocator *allocator = &replay->store->allocator;
    char *bytes = allocator->alloc(size, 8, allocator->user);
    if (bytes == NULL)
        return false;
    if (replay->bytes != NULL)
        allocator->free(replay->bytes, replay->bytes_room, 8, allocator->user);
    replay->bytes = bytes;
    replay->bytes_room = size;
    return true;
}

static bool make_entries(struct sqlite_replay *replay, size_t room)
{
    const aether_allocator *allocator = &replay->store->allocator;
    struct entry *entries = allocator->alloc(room * sizeof *entries, _Alignof(struct entry), allocator->user);
    if (entries == NULL)
        return false;
    if (replay->entries != NULL)
        allocator->free(replay->entries, replay->room * sizeof *entries, _Alignof(struct entry), allocator->user);
    replay->entries = entries;
    replay->room = room;
    return true;
}

static const char *keep(char **to, const char *bytes, size_t size)
{
    char *start = *to;
    if (size != 0)
        memcpy(start, bytes, size);
    *to += size;
    return start;
}

static void keep_event(aether_event *event, char **to)
{
    event->data.data = keep(to, event->data.data, event->data.size);
    event->metadata.data = keep(to, event->metadata.data, event->metadata.size);
    event->extra.data = keep(to, event->extra.data, event->extra.size);
    event->actor = keep(to, event->actor, event->actor_size);
    event->type = keep(to, event->type, event->type_size);
}

static bool is_wanted(const struct sqlite_replay *replay, const aether_event *event)
{
    const aether_driver_replay *what = &replay->what;
    bool wanted = what->type_count == 0 || asks_for_types(replay);
    for (size_t i = 0; i < what->type_count && !wanted; i++)
        wanted = what->types[i].size == event->type_size && memcmp(what->types[i].data, event->type, event->type_size) == 0;
    return wanted;
}

/* What has been passed: the next page begins behind it. */
static void pass(struct sqlite_replay *replay, const aether_event *event)
{
    int64_t place = replay->what.actor.data != NULL ? event->version : (int64_t)event->index;
    if (replay->what.backwards)
        replay->high = place - 1;
    else
        replay->low = place;
}

static aether_status read_rows(struct sqlite_replay *replay, sqlite3_stmt *statement, int *code)
{
    char *to = replay->bytes;
    size_t left = replay->bytes_room;
    while ((*code = sqlite3_step(statement)) == SQLITE_ROW) {
        struct entry *entry = &replay->entries[replay->count];
        entry->wrong = ae_sqlite_row(statement, &entry->event);
        size_t size = bytes_of(&entry->event);
        if (size > left) {
            if (replay->count != 0)
                break; /* it comes first on the next page */
            if (!make_bytes(replay, size))
                return aether_fail(AETHER_NO_MEMORY, "aether_replay_next: no memory for an event of %zu bytes", size);
            to = replay->bytes;
            left = replay->bytes_room;
        }
        if (entry->wrong != NULL || is_wanted(replay, &entry->event)) {
            keep_event(&entry->event, &to);
            left -= size;
            replay->count++;
        }
        pass(replay, &entry->event);
        if (replay->count == replay->room)
            break;
    }
    return AETHER_OK;
}

/* The part of what is left that one page looks at. */
static void window_of(const struct sqlite_replay *replay, int64_t *low, int64_t *high)
{
    *low = replay->low;
    *high = replay->high;
    bool is_sparse = replay->what.type_count != 0 || replay->what.actor_prefix.size != 0;
    if (replay->what.actor.data != NULL || !is_sparse || *high - *low <= WINDOW)
        return;
    if (replay->what.backwards)
        *low = *high - WINDOW;
    else
        *high = *low + WINDOW;
}

/* Reads the next page. AETHER_ENDED: nothing is left. */
static aether_status read_page(struct sqlite_replay *replay)
{
    struct ae_sqlite_store *store = replay->store;
    replay->at = replay->count = 0;
    if (replay->entries == NULL ? !make_entries(replay, FIRST_EVENTS) || !make_bytes(replay, FIRST_EVENTS * 512)
                                : replay->room < EVENTS && (!make_entries(replay, EVENTS) || !make_bytes(replay, BYTES)))
        return aether_fail(AETHER_NO_MEMORY, "aether_replay_next: no memory for a page of events");
    struct ae_sqlite_reader *reader = ae_sqlite_take_reader(store);
    if (reader == NULL)
        return aether_error_status();
    aether_status status = AETHER_OK;
    sqlite3_stmt *statement = ae_sqlite_shape(reader, replay->text);
    if (statement == NULL)
        status = aether_error_status();
    /* Without an end only what is there now is looked at, so that a window without events ends somewhere. */
    int64_t end = replay->high;
    bool is_endless = replay->what.actor.data == NULL && end == INT64_MAX;
    if (status == AETHER_OK && is_endless && replay->what.type_count + replay->what.actor_prefix.size != 0) {
        uint64_t newest;
        status = ae_sqlite_newest(store, AETHER_FOREVER, &newest);
        replay->high = (int64_t)newest;
    }
    while (status == AETHER_OK && replay->count == 0 && replay->low < replay->high) {
        int64_t low, high;
        window_of(replay, &low, &high);
        bind(replay, statement, low, high);
        int code;
        status = read_rows(replay, statement, &code);
        if (status == AETHER_OK && code != SQLITE_ROW && code != SQLITE_DONE)
            status = ae_sqlite_fail(reader->db, code, "cannot read events");
        (void)sqlite3_reset(statement);
        bool is_exhausted = status == AETHER_OK && code == SQLITE_DONE;
        if (is_exhausted && replay->count == 0) {
            if (low == replay->low && high == replay->high)
                break;
            *(replay->what.backwards ? &replay->high : &replay->low) = replay->what.backwards ? low : high;
        }
    }
    if (is_endless && !replay->what.backwards)
        replay->high = end;
    ae_sqlite_give_reader(store, reader);
    return status == AETHER_OK && replay->count == 0 ? AETHER_ENDED : status;
}

aether_status ae_sqlite_replay_next(void *opened, aether_event *event, int64_t timeout_ns)
{
    (void)timeout_ns;
    struct sqlite_replay *replay = opened;
    if (replay->at == replay->count) {
        aether_status status = read_page(replay);
        if (status != AETHER_OK)
            return status;
    }
    const struct entry *entry = &replay->entries[replay->at++];
    *event = entry->event;
    if (entry->wrong == NULL)
        return AETHER_OK;
    return aether_fail(AETHER_MALFORMED, "sqlite: the event at position %llu is malformed: %s",
                       (unsigned long long)event->index, entry->wrong);
}

/* -------------------------------------------------------------------------------------------------- opening, closing */

static int64_t clip(uint64_t index)
{
    return index > INT64_MAX ? INT64_MAX : (int64_t)index;
}

aether_status ae_sqlite_replay_open(void *driver, const aether_driver_replay *what, int64_t deadline, void **opened)
{
    (void)deadline;
    struct ae_sqlite_store *store = driver;
    const aether_allocator *allocator = &store->allocator;
    size_t name_size = what->actor.size + what->actor_prefix.size + 1;
    struct sqlite_replay *replay = allocator->alloc(sizeof *replay, _Alignof(struct sqlite_replay), allocator->user);
    char *name = allocator->alloc(name_size, 1, allocator->user);
    if (replay == NULL || name == NULL) {
        if (replay != NULL)
            allocator->free(replay, sizeof *replay, _Alignof(struct sqlite_replay), allocator->user);
        if (name != NULL)
            allocator->free(name, name_size, 1, allocator->user);
        return aether_fail(AETHER_NO_MEMORY, "aether_load: no memory for a replay");
    }
    *replay = (struct sqlite_replay){.store = store, .what = *what, .name = name, .name_size = name_size};
    bool one = what->actor.data != NULL;
    replay->low = one ? what->from_version - 1 : clip(what->after);
    replay->high = one ? what->to_version : clip(what->to_index);
    if (one)
        memcpy(name, what->actor.data, what->actor.size);
    if (what->actor_prefix.size != 0) {
        char *beyond = memcpy(name + what->actor.size, what->actor_prefix.data, what->actor_prefix.size);
        beyond[what->actor_prefix.size - 1]++; /* UTF-8 has no byte 0xff, which would have none higher */
        replay->beyond = (aether_text){beyond, what->actor_prefix.size};
    }
    write_question(replay);
    *opened = replay;
    return AETHER_OK;
}

void ae_sqlite_replay_close(void *opened)
{
    struct sqlite_replay *replay = opened;
    const aether_allocator *allocator = &replay->store->allocator;
    if (replay->entries != NULL)
        allocator->free(replay->entries, replay->room * sizeof *replay->entries, _Alignof(struct entry), allocator->user);
    if (replay->bytes != NULL)
        allocator->free(replay->bytes, replay->bytes_room, 8, allocator->user);
    allocator->free(replay->name, replay->name_size, 1, allocator->user);
    allocator->free(replay, sizeof *replay, _Alignof(struct sqlite_replay), allocator->user);
}
