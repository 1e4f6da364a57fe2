/*
 * Reading: one walk over the members of the object. Where a value ends cJSON says, which also says whether it is one; what
 * it is stays bytes.
 */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>
#include <uuid/uuid.h>

#include "store/json/json.h"

struct aether_json_reader {
    aether_allocator allocator;
    struct ae_json_arena arena;
    const char *text; /* of the call under way */
    size_t size;
    uint64_t line;
    aether_json_place place;
    aether_event *events; /* of the arena */
    size_t count, room;
};

enum member {
    ID,
    TYPE,
    ACTOR,
    VERSION,
    DATA,
    METADATA,
    TIMESTAMP,
    CLOSING,
    DATA_BASE64,
    METADATA_BASE64,
    BATCH,
    POSITION,
    EPOCH,
    MEMBERS,
    UNKNOWN = MEMBERS
};

static const char *const names[MEMBERS] = {"id",       "eventType", "actorId", "version",    "data",
                                           "metadata", "timestamp", "closing", "dataBase64", "metadataBase64",
                                           "batch",    "position",  "epoch"};

/* One object being read. */
struct object {
    aether_json_reader *reader;
    aether_event *event;
    const char *at, *end;
    bool is_outer;     /* may have a batch */
    uint32_t seen;     /* a bit for each known member */
    aether_text batch; /* its array */
    struct {
        char *bytes;
        size_t size, room;
    } extra;
};

/* Of the names that are no UUIDs: a version 4 UUID drawn once for this. */
static const uuid_t name_space = {0x5c, 0x1e, 0x3b, 0x0a, 0x6f, 0x0d, 0x4b, 0x3e,
                                  0x9a, 0x41, 0x7d, 0x2e, 0xc8, 0x55, 0x90, 0xb7};

/* ------------------------------------------------------------------------------------------------------------ failing */

static aether_status fail_at(aether_json_reader *reader, const char *at, const char *what)
{
    size_t offset = at >= reader->text && at <= reader->text + reader->size ? (size_t)(at - reader->text) : 0;
    reader->place = ae_json_place_of(reader->text, offset, reader->line);
    (void)aether_fail(AETHER_MALFORMED, "line %llu column %llu: %s", (unsigned long long)reader->place.line,
                      (unsigned long long)reader->place.column, what);
    return AETHER_MALFORMED;
}

static aether_status no_memory(void)
{
    (void)aether_fail(AETHER_NO_MEMORY, "aether_json_read: no memory");
    return AETHER_NO_MEMORY;
}

/* ------------------------------------------------------------------------------------------------------------- values */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_blanks(struct object *object)
{
    while (object->at < object->end && is_blank(*object->at))
        object->at++;
}

static bool take(struct object *object, char c)
{
    skip_blanks(object);
    if (object->at >= object->end || *object->at != c)
        return false;
    object->at++;
    return true;
}

/* The value that comes, as its bytes. */
static aether_status take_value(struct object *object, aether_text *raw)
{
    skip_blanks(object);
    const char *wrong = object->at, *end = ae_json_value_end(object->at, object->end, &wrong);
    if (end == NULL)
        return fail_at(object->reader, wrong,
                       ae_json_is_too_deep(object->at, object->end) ? "values are nested deeper than 1,000"
                                                                    : "this is no JSON value");
    *raw = (aether_text){object->at, (size_t)(end - object->at)};
    object->at = end;
    return AETHER_OK;
}

/* What a string says: within the text where it has no escapes, else in the arena. */
static aether_status decode(struct object *object, aether_text raw, aether_text *text)
{
    if (memchr(raw.data, '\\', raw.size) == NULL) {
        *text = (aether_text){raw.data + 1, raw.size - 2};
        return AETHER_OK;
    }
    const char *inside = raw.data;
    for (const char *at = raw.data; at + 5 < raw.data + raw.size; at++)
        if (memcmp(at, "\\u0000", 6) == 0 && (at == inside || at[-1] != '\\'))
            return fail_at(object->reader, at, "NUL is not allowed in a text");
    cJSON *value = cJSON_ParseWithLength(raw.data, raw.size);
    if (value == NULL || value->valuestring == NULL) {
        cJSON_Delete(value);
        return fail_at(object->reader, raw.data, "this is no text");
    }
    size_t size = strlen(value->valuestring);
    char *copy = ae_json_take(&object->reader->arena, size + 1);
    if (copy != NULL)
        memcpy(copy, value->valuestring, size + 1);
    cJSON_Delete(value);
    *text = (aether_text){copy, size};
    return copy != NULL ? AETHER_OK : no_memory();
}

static aether_status read_text(struct object *object, aether_text raw, const char *what, aether_text *text)
{
    if (raw.data[0] != '"') {
        char message[60];
        snprintf(message, sizeof message, "%s has to be a text", what);
        return fail_at(object->reader, raw.data, message);
    }
    return decode(object, raw, text);
}

/* An integer from its digits: a double would change those beyond 2^53. */
static aether_status read_version(struct object *object, aether_text raw)
{
    uint64_t number = 0;
    for (size_t i = 0; i < raw.size; i++) {
        if (raw.data[i] < '0' || raw.data[i] > '9')
            return fail_at(object->reader, raw.data, "version has to be an integer from 0 to 9223372036854775807");
        uint64_t digit = (uint64_t)(raw.data[i] - '0');
        if (number > ((uint64_t)INT64_MAX - digit) / 10)
            return fail_at(object->reader, raw.data, "version is beyond 9223372036854775807");
        number = number * 10 + digit;
    }
    object->event->version = (int64_t)number;
    return AETHER_OK;
}

static bool read_digits(aether_text raw, uint64_t base, uint64_t most, uint64_t *number)
{
    static const char digits[] = "0123456789abcdef";
    *number = 0;
    for (size_t i = 0; i < raw.size; i++) {
        const char *digit = raw.data[i] != '\0' ? strchr(digits, raw.data[i]) : NULL;
        if (digit == NULL || (uint64_t)(digit - digits) >= base || *number > (most - (uint64_t)(digit - digits)) / base)
            return false;
        *number = *number * base + (uint64_t)(digit - digits);
    }
    return raw.size != 0;
}

/* Where the event stood, as it was written: told, and no part of it. In another form they are members like others. */
static bool read_place(struct object *object, enum member member, aether_text raw)
{
    if (member == POSITION)
        return read_digits(raw, 10, INT64_MAX, &object->event->index);
    aether_text inside = {raw.data + 1, raw.size - 2};
    return raw.size == 18 && raw.data[0] == '"' && read_digits(inside, 16, UINT64_MAX, &object->event->epoch);
}

static aether_status add_extra(struct object *object, aether_text name, aether_text raw)
{
    size_t needed = object->extra.size + name.size + raw.size + 2;
    if (needed > object->extra.room) {
        size_t room = needed * 2;
        char *bytes = ae_json_take(&object->reader->arena, room);
        if (bytes == NULL)
            return no_memory();
        if (object->extra.size != 0)
            memcpy(bytes, object->extra.bytes, object->extra.size);
        object->extra.bytes = bytes;
        object->extra.room = room;
    }
    char *to = object->extra.bytes + object->extra.size;
    if (object->extra.size != 0)
        *to++ = ',';
    memcpy(to, name.data, name.size);
    to += name.size;
    *to++ = ':';
    for (size_t i = 0; i < raw.size; i++) /* an event is one line when it is written again */
        to[i] = raw.data[i] == '\n' || raw.data[i] == '\r' ? ' ' : raw.data[i];
    object->extra.size = (size_t)(to + raw.size - object->extra.bytes);
    return AETHER_OK;
}

static aether_status read_id(struct object *object, aether_text raw)
{
    aether_text text;
    aether_status status = read_text(object, raw, "id", &text);
    if (status != AETHER_OK || text.size == 0 || aether_id_read(object->event->id, text.data, text.size))
        return status;
    uuid_generate_sha1(object->event->id, name_space, text.data, text.size);
    /* Its name may have had escapes; who writes looks for this one. */
    return add_extra(object, (aether_text){"\"id\"", 4}, raw);
}

static aether_status read_base64(struct object *object, aether_text raw, aether_text *bytes)
{
    aether_text text;
    aether_status status = read_text(object, raw, "base64", &text);
    if (status != AETHER_OK)
        return status;
    char *to = ae_json_take(&object->reader->arena, text.size / 4 * 3 + 1);
    if (to == NULL)
        return no_memory();
    bytes->data = to;
    return ae_json_base64_read(to, &bytes->size, text.data, text.size)
               ? AETHER_OK
               : fail_at(object->reader, raw.data, "this is no base64");
}

/* null says that there is none. */
static aether_status read_known(struct object *object, enum member member, aether_text raw)
{
    aether_event *event = object->event;
    aether_text text = {NULL, 0};
    aether_status status = AETHER_OK;
    bool is_none = raw.size == 4 && memcmp(raw.data, "null", 4) == 0;
    switch (member) {
    case ID:
        return is_none ? AETHER_OK : read_id(object, raw);
    case TYPE:
        status = read_text(object, raw, "eventType", &text);
        event->type = text.size != 0 ? text.data : NULL; /* a text with size 0 would be one that ends at its NUL */
        event->type_size = text.size;
        return status;
    case ACTOR:
        status = read_text(object, raw, "actorId", &text);
        event->actor = text.size != 0 ? text.data : NULL;
        event->actor_size = text.size;
        return status;
    case VERSION:
        return read_version(object, raw);
    case DATA:
        if ((object->seen & 1U << DATA_BASE64) == 0)
            event->data = raw;
        return AETHER_OK;
    case METADATA:
        if ((object->seen & 1U << METADATA_BASE64) == 0 && !is_none)
            event->metadata = raw;
        return AETHER_OK;
    case TIMESTAMP:
        if (is_none)
            return AETHER_OK;
        status = read_text(object, raw, "timestamp", &text);
        if (status == AETHER_OK && !aether_json_read_time(text.data, text.size, &event->timestamp))
            return fail_at(object->reader, raw.data, "timestamp is no time of RFC 3339 between 1677 and 2262");
        return status;
    case CLOSING:
        if (raw.size == 4 && memcmp(raw.data, "true", 4) == 0)
            event->flags |= AETHER_EVENT_CLOSING;
        else if (raw.size != 5 || memcmp(raw.data, "false", 5) != 0)
            return fail_at(object->reader, raw.data, "closing has to be true or false");
        return AETHER_OK;
    case DATA_BASE64:
        return read_base64(object, raw, &event->data);
    case METADATA_BASE64:
        return read_base64(object, raw, &event->metadata);
    default:
        if (raw.data[0] != '[')
            return fail_at(object->reader, raw.data, "batch has to be an array");
        object->batch = raw;
        return AETHER_OK;
    }
}

/* ------------------------------------------------------------------------------------------------------------- objects */

static enum member member_of(const struct object *object, aether_text name)
{
    for (int member = 0; member < MEMBERS; member++)
        if (strlen(names[member]) == name.size && memcmp(names[member], name.data, name.size) == 0)
            return member == BATCH && !object->is_outer ? UNKNOWN : (enum member)member;
    return UNKNOWN;
}

static aether_status read_member(struct object *object)
{
    aether_text raw_name = {"", 0}, name = {"", 0}, raw = {"", 0};
    skip_blanks(object);
    if (object->at >= object->end || *object->at != '"')
        return fail_at(object->reader, object->at, "the name of a member is missing");
    aether_status status = take_value(object, &raw_name);
    if (status == AETHER_OK)
        status = decode(object, raw_name, &name);
    if (status != AETHER_OK)
        return status;
    if (!take(object, ':'))
        return fail_at(object->reader, object->at, "a colon is missing");
    status = take_value(object, &raw);
    if (status != AETHER_OK)
        return status;
    enum member member = member_of(object, name);
    if (member == UNKNOWN)
        return add_extra(object, raw_name, raw);
    if ((object->seen & 1U << member) != 0)
        return fail_at(object->reader, raw_name.data, "this member came before");
    object->seen |= 1U << member;
    if (member >= POSITION)
        return read_place(object, member, raw) ? AETHER_OK : add_extra(object, raw_name, raw);
    return read_known(object, member, raw);
}

/* Reads the object at object->at; that is then behind it. */
static aether_status read_object(struct object *object)
{
    memset(object->event, 0, sizeof *object->event);
    if (!take(object, '{'))
        return fail_at(object->reader, object->at, "an event has to be an object");
    if (!take(object, '}')) {
        do {
            aether_status status = read_member(object);
            if (status != AETHER_OK)
                return status;
        } while (take(object, ','));
        if (!take(object, '}'))
            return fail_at(object->reader, object->at, "a comma or a closing brace is missing");
    }
    object->event->extra = (aether_text){object->extra.bytes, object->extra.size};
    return AETHER_OK;
}

static aether_status begin(aether_json_reader *reader, const char *text, size_t size)
{
    if (reader == NULL || (text == NULL && size != 0))
        return aether_fail(AETHER_INVALID, "aether_json_read: %s is NULL", reader == NULL ? "the reader" : "the text");
    ae_json_reset(&reader->arena);
    reader->text = text != NULL ? text : "";
    reader->size = size;
    reader->events = NULL;
    reader->count = reader->room = 0;
    size_t bad;
    if (!aether_text_is_utf8(reader->text, size, &bad))
        return fail_at(reader, reader->text + bad, "this is no UTF-8, or a NUL");
    return AETHER_OK;
}

static aether_status read_outer(aether_json_reader *reader, struct object *object)
{
    aether_status status = read_object(object);
    if (status != AETHER_OK)
        return status;
    skip_blanks(object);
    return object->at == object->end ? AETHER_OK : fail_at(reader, object->at, "something follows the event");
}

aether_status aether_json_read_sized(aether_json_reader *reader, const char *text, size_t size, aether_event *event,
                                     size_t event_size)
{
    aether_status status = begin(reader, text, size);
    if (status != AETHER_OK)
        return status;
    if (event == NULL)
        return aether_fail(AETHER_INVALID, "aether_json_read: the event is NULL");
    aether_event whole = {0};
    struct object object = {.reader = reader, .event = &whole, .at = reader->text, .end = reader->text + size};
    status = read_outer(reader, &object);
    if (status == AETHER_OK)
        memcpy(event, &whole, event_size < sizeof whole ? event_size : sizeof whole);
    return status;
}

/* -------------------------------------------------------------------------------------------------------------- batch */

static aether_event *add_event(aether_json_reader *reader)
{
    if (reader->count == reader->room) {
        size_t room = reader->room != 0 ? reader->room * 2 : 8;
        aether_event *events = (aether_event *)(void *)ae_json_take(&reader->arena, room * sizeof *events);
        if (events == NULL)
            return NULL;
        if (reader->count != 0)
            memcpy(events, reader->events, reader->count * sizeof *events);
        reader->events = events;
        reader->room = room;
    }
    return &reader->events[reader->count++];
}

static aether_status read_elements(aether_json_reader *reader, aether_text array)
{
    struct object object = {.reader = reader, .at = array.data, .end = array.data + array.size};
    (void)take(&object, '[');
    if (take(&object, ']'))
        return fail_at(reader, array.data, "batch has no events");
    do {
        aether_event event = {0};
        struct object element = {.reader = reader, .event = &event, .at = object.at, .end = object.end};
        aether_status status = read_object(&element);
        if (status != AETHER_OK)
            return status;
        object.at = element.at;
        aether_event *place = add_event(reader);
        if (place == NULL)
            return no_memory();
        *place = event;
    } while (take(&object, ','));
    return AETHER_OK;
}

aether_status aether_json_read_batch_sized(aether_json_reader *reader, const char *text, size_t size,
                                           const aether_event **events, size_t *count, size_t event_size)
{
    aether_status status = begin(reader, text, size);
    if (status != AETHER_OK)
        return status;
    if (events == NULL || count == NULL || event_size != sizeof **events)
        return aether_fail(
            AETHER_INVALID,
            "aether_json_read_batch: events or count is NULL, or the program has another aether_event than this library");
    aether_event whole = {0};
    struct object object = {
        .reader = reader, .event = &whole, .at = reader->text, .end = reader->text + size, .is_outer = true};
    status = read_outer(reader, &object);
    if (status != AETHER_OK)
        return status;
    if (object.batch.data != NULL) {
        status = read_elements(reader, object.batch);
    } else {
        aether_event *place = add_event(reader);
        if (place == NULL)
            return no_memory();
        *place = whole;
    }
    *events = reader->events;
    *count = reader->count;
    return status;
}

/* ------------------------------------------------------------------------------------------------------------- handles */

aether_json_reader *aether_json_reader_create(const aether_allocator *given)
{
    const aether_allocator *allocator = given != NULL ? given : &ae_json_allocator;
    aether_json_reader *reader = allocator->alloc(sizeof *reader, _Alignof(aether_json_reader), allocator->user);
    if (reader == NULL) {
        (void)aether_fail(AETHER_NO_MEMORY, "aether_json_reader_create: no memory");
        return NULL;
    }
    memset(reader, 0, sizeof *reader);
    reader->allocator = *allocator;
    reader->arena.allocator = &reader->allocator;
    reader->line = 1;
    return reader;
}

void aether_json_reader_destroy(aether_json_reader *reader)
{
    if (reader == NULL)
        return;
    aether_allocator allocator = reader->allocator;
    ae_json_free(&reader->arena);
    allocator.free(reader, sizeof *reader, _Alignof(aether_json_reader), allocator.user);
}

void aether_json_reader_set_line(aether_json_reader *reader, uint64_t line)
{
    if (reader != NULL)
        reader->line = line;
}

aether_json_place aether_json_reader_place(const aether_json_reader *reader)
{
    return reader != NULL ? reader->place : (aether_json_place){0, 0, 0};
}
