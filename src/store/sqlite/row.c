/* An event of a row, looked at: what is no event is never handed out as one (S17). */
#include <string.h>

#include "store/sqlite/sqlite.h"

enum { POSITION, ACTOR, VERSION, ID, TYPE, TIMESTAMP, FLAGS, METADATA, DATA, EXTRA, CHECKSUM };

/* Each call of SQLite's counts here: a replay makes millions of them. What is empty has no bytes to ask for. */
static aether_text bytes_of(sqlite3_stmt *statement, int column)
{
    size_t size = (size_t)sqlite3_column_bytes(statement, column);
    return (aether_text){size != 0 ? sqlite3_column_blob(statement, column) : NULL, size};
}

const char *ae_sqlite_row(sqlite3_stmt *statement, aether_event *event)
{
    memset(event, 0, sizeof *event);
    event->index = (uint64_t)sqlite3_column_int64(statement, POSITION);
    event->version = sqlite3_column_int64(statement, VERSION);
    event->data = bytes_of(statement, DATA);
    aether_text actor = bytes_of(statement, ACTOR), type = bytes_of(statement, TYPE), id = bytes_of(statement, ID);
    if (actor.size == 0 || actor.size > AETHER_NAME_MAX || type.size == 0 || type.size > AETHER_NAME_MAX)
        return "the actor or the type is empty or too long";
    if (id.size != sizeof event->id)
        return "the id does not have 16 bytes";
    event->actor = actor.data;
    event->actor_size = actor.size;
    event->type = type.data;
    event->type_size = type.size;
    memcpy(event->id, id.data, sizeof event->id);
    event->timestamp = sqlite3_column_int64(statement, TIMESTAMP);
    event->flags = (uint32_t)sqlite3_column_int64(statement, FLAGS);
    event->metadata = bytes_of(statement, METADATA);
    event->extra = bytes_of(statement, EXTRA);
    if (event->version < 1)
        return "the version is below 1";
    /* Also finds a number that is none: it was read as another one than was summed up. */
    if (aether_event_checksum(0, event) != (uint32_t)sqlite3_column_int64(statement, CHECKSUM))
        return "the checksum is wrong";
    return NULL;
}
