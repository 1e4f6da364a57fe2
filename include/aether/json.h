/*
 * Events as JSON (STO11): what the `aether` command reads and writes, and what goes over the wire. Link aether::json.
 *
 *      {"id":"0191b2c3-d4e5-7f60-8192-a3b4c5d6e7f8","eventType":"OrderPaid","actorId":"order-42","version":7,
 *       "data":{"cents":199},"metadata":{"correlation_id":"c1"},"timestamp":"2026-11-27T10:00:00.123456789Z"}
 *
 *  - `data` and `metadata` are kept as the bytes that came: their numbers, blanks and order of members do not change.
 *  - `version` is an integer up to 2^63 - 1, and exact. `timestamp` is RFC 3339 with up to nine digits of a second.
 *  - `closing`: true, for AETHER_EVENT_CLOSING.
 *  - Bytes that are no JSON, or have line ends in them, are written as `dataBase64` and `metadataBase64`; beside it stands
 *    `data`, for people, where it is JSON. Who reads takes the former.
 *  - An `id` that is no UUID becomes one of version 5 (RFC 9562) of it; the text itself stays in event.extra.
 *  - `position` and `epoch` (16 hexadecimal digits) say where an event stood: they become event.index and event.epoch.
 *  - Members that are none of these stay as they came, in event.extra, and are written again.
 *  - What is missing is 0 or empty: whether an event without a type is one is for the store to say.
 *
 * Names of members are compared byte by byte. Objects may be nested 1,000 deep (cJSON's limit). A known member that comes
 * twice, text that is no UTF-8, has a NUL or goes on behind the event, is AETHER_MALFORMED, with line and column.
 *
 * A reader and a writer are used by one thread at a time. cJSON allocates by itself, by malloc. Since 0.1.0.
 */
#ifndef AETHER_JSON_H
#define AETHER_JSON_H

#include "aether/state.h"
#include "aether/store.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aether_json_reader aether_json_reader;
typedef struct aether_json_writer aether_json_writer;

/* Where something is wrong. Lines and columns count from 1, columns in bytes; the offset from 0. */
typedef struct aether_json_place {
    uint64_t line;
    uint64_t column;
    size_t offset;
} aether_json_place;

/* ---------------------------------------------------------------------------------------------------------- reading */

/* allocator: copied; NULL: the C library's. The caller owns the reader. NULL: AETHER_NO_MEMORY. */
AETHER_API AETHER_CHECKED aether_json_reader *aether_json_reader_create(const aether_allocator *allocator);
AETHER_API void aether_json_reader_destroy(aether_json_reader *reader);

/* What is read next begins at this line of something larger: for messages. 1 at first. */
AETHER_API void aether_json_reader_set_line(aether_json_reader *reader, uint64_t line);

/* The place of the last AETHER_MALFORMED. */
AETHER_API aether_json_place aether_json_reader_place(const aether_json_reader *reader);

/*
 * Reads one event, which is all of the text but for blanks around it. Texts of *event are borrowed from `text` and from the
 * reader, until its next call. AETHER_MALFORMED, AETHER_NO_MEMORY.
 */
AETHER_API AETHER_CHECKED aether_status aether_json_read_sized(aether_json_reader *reader, const char *text, size_t size,
                                                               aether_event *event, size_t event_size);

static inline AETHER_CHECKED aether_status aether_json_read(aether_json_reader *reader, const char *text, size_t size,
                                                            aether_event *event)
{
    return aether_json_read_sized(reader, text, size, event, sizeof *event);
}

/*
 * Reads a batch: an event with a member `batch` that holds all of them in their order, itself the last; without it, a batch
 * of one. *events belongs to the reader, until its next call; its elements have the size of this library's aether_event,
 * which is what the function is inlined for.
 */
AETHER_API AETHER_CHECKED aether_status aether_json_read_batch_sized(aether_json_reader *reader, const char *text,
                                                                     size_t size, const aether_event **events, size_t *count,
                                                                     size_t event_size);

static inline AETHER_CHECKED aether_status aether_json_read_batch(aether_json_reader *reader, const char *text, size_t size,
                                                                  const aether_event **events, size_t *count)
{
    return aether_json_read_batch_sized(reader, text, size, events, count, sizeof **events);
}

/* Whether the bytes are one JSON text; *place, if not NULL, gets where not. Any thread. */
AETHER_API AETHER_CHECKED bool aether_json_check(const char *text, size_t size, aether_json_place *place);

/* ---------------------------------------------------------------------------------------------------------- writing */

enum {
    AETHER_JSON_POSITION = 1 /* with `position` and `epoch` (hexadecimal), where the event has them */
};

AETHER_API AETHER_CHECKED aether_json_writer *aether_json_writer_create(const aether_allocator *allocator);
AETHER_API void aether_json_writer_destroy(aether_json_writer *writer);

/* Writes an event on one line, without a line end. *text is the writer's, until its next call. AETHER_NO_MEMORY. */
AETHER_API AETHER_CHECKED aether_status aether_json_write_sized(aether_json_writer *writer, const aether_event *event,
                                                                size_t event_size, uint32_t flags, aether_text *text);

static inline AETHER_CHECKED aether_status aether_json_write(aether_json_writer *writer, const aether_event *event,
                                                             uint32_t flags, aether_text *text)
{
    return aether_json_write_sized(writer, event, sizeof *event, flags, text);
}

/* Writes a batch as aether_json_read_batch() reads it. One event is written without `batch`. None is AETHER_INVALID. */
AETHER_API AETHER_CHECKED aether_status aether_json_write_batch_sized(aether_json_writer *writer, const aether_event *events,
                                                                      size_t count, size_t event_size, uint32_t flags,
                                                                      aether_text *text);

static inline AETHER_CHECKED aether_status aether_json_write_batch(aether_json_writer *writer, const aether_event *events,
                                                                   size_t count, uint32_t flags, aether_text *text)
{
    return aether_json_write_batch_sized(writer, events, count, sizeof *events, flags, text);
}

/* Writes a text as a JSON string, with its quotes. As above. */
AETHER_API AETHER_CHECKED aether_status aether_json_write_string(aether_json_writer *writer, const char *string, size_t size,
                                                                 aether_text *text);

/* "2026-11-27T10:00:00.123456789Z" and a NUL, without a fraction that is 0. */
AETHER_API void aether_json_write_time(int64_t timestamp, char text[36]);
/* Reads RFC 3339; false: it is not, or outside of what nanoseconds since 1970 can say (1677 to 2262). */
AETHER_API AETHER_CHECKED bool aether_json_read_time(const char *text, size_t size, int64_t *timestamp);

/* ----------------------------------------------------------------------------------------------------------- a state */

/*
 * A reducer for events whose data are changes to a JSON document: each is merged into it (RFC 7396, JSON Merge Patch:
 * members replace those of the same name, null removes). Numbers are doubles here, as cJSON has them.
 */
AETHER_API const aether_reducer *aether_json_merge_reducer(void);

/* The document of such a state, as text that the caller frees with free(). NULL: no memory. */
AETHER_API AETHER_CHECKED char *aether_json_merge_text(const void *state);

#ifdef __cplusplus
}
#endif

#endif
