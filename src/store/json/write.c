/* Writing: into one buffer that grows and stays. */
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/json/json.h"

struct aether_json_writer {
    aether_allocator allocator;
    char *bytes;
    size_t size, room;
    bool failed; /* no memory: what is written from now on is lost, and told at the end */
};

static bool make_room(aether_json_writer *writer, size_t size)
{
    if (writer->failed || writer->room - writer->size >= size)
        return !writer->failed;
    size_t room = writer->room != 0 ? writer->room * 2 : 512;
    while (room - writer->size < size)
        room *= 2;
    char *bytes = writer->allocator.alloc(room, 1, writer->allocator.user);
    writer->failed = bytes == NULL;
    if (writer->failed)
        return false;
    if (writer->bytes != NULL) {
        memcpy(bytes, writer->bytes, writer->size);
        writer->allocator.free(writer->bytes, writer->room, 1, writer->allocator.user);
    }
    writer->bytes = bytes;
    writer->room = room;
    return true;
}

static void put(aether_json_writer *writer, const char *bytes, size_t size)
{
    if (size == 0 || !make_room(writer, size))
        return;
    memcpy(writer->bytes + writer->size, bytes, size);
    writer->size += size;
}

static void put_text(aether_json_writer *writer, const char *text)
{
    put(writer, text, strlen(text));
}

static void put_escape(aether_json_writer *writer, unsigned char c)
{
    static const char shorts[] = "\b\t\n\f\r\"\\", letters[] = "btnfr\"\\";
    const char *at = c != 0 ? strchr(shorts, (char)c) : NULL;
    char text[8];
    if (at != NULL)
        snprintf(text, sizeof text, "\\%c", letters[at - shorts]);
    else
        snprintf(text, sizeof text, "\\u%04x", c);
    put_text(writer, text);
}

static void put_string(aether_json_writer *writer, const char *string, size_t size)
{
    put(writer, "\"", 1);
    size_t from = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)string[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        put(writer, string + from, i - from);
        put_escape(writer, c);
        from = i + 1;
    }
    put(writer, string + from, size - from);
    put(writer, "\"", 1);
}

static void put_name(aether_json_writer *writer, const char *name)
{
    if (writer->size != 0 && !writer->failed && writer->bytes[writer->size - 1] != '{')
        put(writer, ",", 1);
    put(writer, "\"", 1);
    put_text(writer, name);
    put(writer, "\":", 2);
}

/* JSON for people, without its line ends: cJSON_Minify() works in place, on text with a NUL. */
static void put_minified(aether_json_writer *writer, aether_text bytes)
{
    char *copy = malloc(bytes.size + 1);
    writer->failed = writer->failed || copy == NULL;
    if (copy == NULL)
        return;
    memcpy(copy, bytes.data, bytes.size);
    copy[bytes.size] = '\0';
    cJSON_Minify(copy);
    put_text(writer, copy);
    free(copy);
}

static bool has_line_end(aether_text bytes)
{
    return memchr(bytes.data, '\n', bytes.size) != NULL || memchr(bytes.data, '\r', bytes.size) != NULL;
}

static void put_bytes(aether_json_writer *writer, const char *name, const char *base64_name, aether_text bytes)
{
    if (bytes.size == 0)
        return;
    bool is_json = aether_json_check(bytes.data, bytes.size, NULL);
    bool is_exact = is_json && !has_line_end(bytes);
    if (is_json) {
        put_name(writer, name);
        if (is_exact)
            put(writer, bytes.data, bytes.size);
        else
            put_minified(writer, bytes);
    }
    if (is_exact)
        return;
    put_name(writer, base64_name);
    put(writer, "\"", 1);
    if (make_room(writer, ae_json_base64_size(bytes.size)))
        writer->size = (size_t)(ae_json_base64_write(writer->bytes + writer->size, bytes.data, bytes.size) - writer->bytes);
    put(writer, "\"", 1);
}

/* Whether `extra` has the id's own text: among its members, not inside of them. */
static bool has_own_id(aether_text extra)
{
    static const char name[] = "\"id\"";
    if (extra.size == 0)
        return false;
    const char *at = extra.data, *end = at + extra.size, *wrong;
    while (at != NULL && at < end) {
        bool is_id = (size_t)(end - at) >= sizeof name && memcmp(at, name, sizeof name - 1) == 0;
        if (is_id)
            return true;
        at = ae_json_value_end(at, end, &wrong); /* the name, a colon, the value, a comma */
        if (at != NULL && at < end)
            at = ae_json_value_end(at + 1, end, &wrong);
        if (at != NULL)
            at++;
    }
    return false;
}

static bool is_zero(const uint8_t id[16])
{
    static const uint8_t zero[16];
    return memcmp(id, zero, sizeof zero) == 0;
}

static void put_number(aether_json_writer *writer, const char *name, int64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, number);
    put_name(writer, name);
    put_text(writer, text);
}

/* All members, without the braces. */
static void put_members(aether_json_writer *writer, const aether_event *event, uint32_t flags)
{
    char text[40];
    if (!is_zero(event->id) && !has_own_id(event->extra)) {
        aether_id_write(event->id, text);
        put_name(writer, "id");
        put_string(writer, text, 36);
    }
    if (event->type != NULL) {
        put_name(writer, "eventType");
        put_string(writer, event->type, event->type_size != 0 ? event->type_size : strlen(event->type));
    }
    if (event->actor != NULL) {
        put_name(writer, "actorId");
        put_string(writer, event->actor, event->actor_size != 0 ? event->actor_size : strlen(event->actor));
    }
    if (event->version != 0)
        put_number(writer, "version", event->version);
    put_bytes(writer, "data", "dataBase64", event->data);
    put_bytes(writer, "metadata", "metadataBase64", event->metadata);
    if (event->timestamp != 0) {
        aether_json_write_time(event->timestamp, text);
        put_name(writer, "timestamp");
        put_string(writer, text, strlen(text));
    }
    if ((event->flags & AETHER_EVENT_CLOSING) != 0) {
        put_name(writer, "closing");
        put_text(writer, "true");
    }
    if ((flags & AETHER_JSON_POSITION) != 0 && event->index != 0) {
        put_number(writer, "position", (int64_t)event->index);
        snprintf(text, sizeof text, "%016" PRIx64, event->epoch);
        put_name(writer, "epoch");
        put_string(writer, text, strlen(text));
    }
    if (event->extra.size != 0) {
        if (!writer->failed && writer->bytes[writer->size - 1] != '{')
            put(writer, ",", 1);
        put(writer, event->extra.data, event->extra.size);
    }
}

static aether_status finish(aether_json_writer *writer, aether_text *text)
{
    if (writer->failed)
        return aether_fail(AETHER_NO_MEMORY, "aether_json_write: no memory");
    *text = (aether_text){writer->bytes, writer->size};
    return AETHER_OK;
}

static aether_status begin(aether_json_writer *writer, const void *what, const aether_text *text)
{
    if (writer == NULL || what == NULL || text == NULL)
        return aether_fail(AETHER_INVALID, "aether_json_write: an argument is NULL");
    writer->size = 0;
    writer->failed = false;
    return AETHER_OK;
}

static aether_event take(const aether_event *events, size_t i, size_t size)
{
    aether_event event;
    memset(&event, 0, sizeof event);
    memcpy(&event, (const char *)events + i * size, size < sizeof event ? size : sizeof event);
    return event;
}

aether_status aether_json_write_sized(aether_json_writer *writer, const aether_event *event, size_t event_size,
                                      uint32_t flags, aether_text *text)
{
    return aether_json_write_batch_sized(writer, event, 1, event_size, flags, text);
}

aether_status aether_json_write_batch_sized(aether_json_writer *writer, const aether_event *events, size_t count,
                                            size_t event_size, uint32_t flags, aether_text *text)
{
    aether_status status = begin(writer, events, text);
    if (status != AETHER_OK)
        return status;
    if (count == 0)
        return aether_fail(AETHER_INVALID, "aether_json_write_batch: there are no events");
    aether_event last = take(events, count - 1, event_size);
    put(writer, "{", 1);
    put_members(writer, &last, flags);
    if (count > 1) {
        put_name(writer, "batch");
        for (size_t i = 0; i < count; i++) {
            aether_event event = take(events, i, event_size);
            put(writer, i == 0 ? "[{" : ",{", 2);
            put_members(writer, &event, flags);
            put(writer, "}", 1);
        }
        put(writer, "]", 1);
    }
    put(writer, "}", 1);
    return finish(writer, text);
}

aether_status aether_json_write_string(aether_json_writer *writer, const char *string, size_t size, aether_text *text)
{
    aether_status status = begin(writer, string, text);
    if (status != AETHER_OK)
        return status;
    put_string(writer, string, size);
    return finish(writer, text);
}

aether_json_writer *aether_json_writer_create(const aether_allocator *given)
{
    const aether_allocator *allocator = given != NULL ? given : &ae_json_allocator;
    aether_json_writer *writer = allocator->alloc(sizeof *writer, _Alignof(aether_json_writer), allocator->user);
    if (writer == NULL) {
        (void)aether_fail(AETHER_NO_MEMORY, "aether_json_writer_create: no memory");
        return NULL;
    }
    memset(writer, 0, sizeof *writer);
    writer->allocator = *allocator;
    return writer;
}

void aether_json_writer_destroy(aether_json_writer *writer)
{
    if (writer == NULL)
        return;
    aether_allocator allocator = writer->allocator;
    if (writer->bytes != NULL)
        allocator.free(writer->bytes, writer->room, 1, allocator.user);
    allocator.free(writer, sizeof *writer, _Alignof(aether_json_writer), allocator.user);
}
