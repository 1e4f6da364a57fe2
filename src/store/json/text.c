#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "store/json/json.h"

enum { BLOCK = 4000 };

/* ------------------------------------------------------------------------------------------------------------- memory */

static void *alloc_plain(size_t size, size_t align, void *user)
{
    (void)align;
    (void)user;
    return malloc(size);
}

static void free_plain(void *memory, size_t size, size_t align, void *user)
{
    (void)size;
    (void)align;
    (void)user;
    free(memory);
}

const aether_allocator ae_json_allocator = {alloc_plain, free_plain, NULL};

struct ae_json_block {
    struct ae_json_block *older;
    size_t used, room;
    char space[] __attribute__((aligned(16)));
};

char *ae_json_take(struct ae_json_arena *arena, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    struct ae_json_block *block = arena->block;
    if (block == NULL || block->room - block->used < size) {
        size_t room = size > BLOCK ? size : BLOCK;
        block = arena->allocator->alloc(sizeof *block + room, _Alignof(struct ae_json_block), arena->allocator->user);
        if (block == NULL)
            return NULL;
        *block = (struct ae_json_block){.older = arena->block, .room = room};
        arena->block = block;
    }
    char *memory = block->space + block->used;
    block->used += size;
    return memory;
}

static void free_block(struct ae_json_arena *arena, struct ae_json_block *block)
{
    arena->allocator->free(block, sizeof *block + block->room, _Alignof(struct ae_json_block), arena->allocator->user);
}

void ae_json_reset(struct ae_json_arena *arena)
{
    if (arena->block == NULL)
        return;
    while (arena->block->older != NULL) {
        struct ae_json_block *block = arena->block;
        arena->block = block->older;
        free_block(arena, block);
    }
    arena->block->used = 0;
}

void ae_json_free(struct ae_json_arena *arena)
{
    ae_json_reset(arena);
    if (arena->block != NULL)
        free_block(arena, arena->block);
    arena->block = NULL;
}

/* ------------------------------------------------------------------------------------------------------------- values */

/* A string without escapes, which most are: to its closing quote. NULL: it is not so simple. */
static const char *plain_string_end(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++)
        if (*at == '\\' || (unsigned char)*at < 0x20)
            return NULL;
    return at < end ? at + 1 : NULL;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* What RFC 8259 forbids in strings and cJSON lets pass: control characters, and escapes without their four digits. NULL:
 * none. */
static const char *find_lapse(const char *at, const char *end)
{
    for (bool in_string = false; at < end; at++) {
        if (*at == '"') {
            in_string = !in_string;
        } else if (in_string && *at == '\\' && at + 1 < end) {
            at++;
            for (int digit = 1; *at == 'u' && digit <= 4; digit++)
                if (at + digit >= end || !is_hex(at[digit]))
                    return at;
        } else if (in_string && (unsigned char)*at < 0x20) {
            return at;
        }
    }
    return NULL;
}

const char *ae_json_value_end(const char *at, const char *end, const char **wrong)
{
    if (at < end && *at == '"') {
        const char *closed = plain_string_end(at, end);
        if (closed != NULL)
            return closed;
    }
    const char *stopped = at;
    cJSON *value = cJSON_ParseWithLengthOpts(at, (size_t)(end - at), &stopped, 0);
    if (value == NULL) {
        *wrong = stopped >= at && stopped <= end ? stopped : at;
        return NULL;
    }
    cJSON_Delete(value);
    *wrong = find_lapse(at, stopped);
    return *wrong == NULL ? stopped : NULL;
}

bool ae_json_is_too_deep(const char *at, const char *end)
{
    size_t depth = 0;
    for (bool in_string = false; at < end; at++) {
        if (*at == '"')
            in_string = !in_string;
        else if (in_string && *at == '\\')
            at++;
        else if (!in_string && (*at == '[' || *at == '{') && ++depth > CJSON_NESTING_LIMIT)
            return true;
        else if (!in_string && (*at == ']' || *at == '}') && depth != 0)
            depth--;
    }
    return false;
}

aether_json_place ae_json_place_of(const char *text, size_t offset, uint64_t line)
{
    aether_json_place place = {.line = line, .column = 1, .offset = offset};
    for (size_t i = 0; i < offset; i++) {
        place.column++;
        if (text[i] == '\n') {
            place.line++;
            place.column = 1;
        }
    }
    return place;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool aether_json_check(const char *text, size_t size, aether_json_place *place)
{
    const char *at = text, *end = text + size, *wrong = text;
    size_t bad = 0;
    bool is_text = text != NULL && aether_text_is_utf8(text, size, &bad);
    const char *stopped = NULL;
    while (is_text && at < end && is_blank(*at))
        at++;
    if (is_text)
        stopped = ae_json_value_end(at, end, &wrong);
    while (stopped != NULL && stopped < end && is_blank(*stopped))
        stopped++;
    if (stopped == end && stopped != NULL)
        return true;
    if (place != NULL)
        *place = text == NULL
                     ? (aether_json_place){1, 1, 0}
                     : ae_json_place_of(text, !is_text ? bad : (size_t)((stopped != NULL ? stopped : wrong) - text), 1);
    return false;
}

/* ------------------------------------------------------------------------------------------------------------- base64 */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t ae_json_base64_size(size_t bytes)
{
    return (bytes + 2) / 3 * 4;
}

char *ae_json_base64_write(char *to, const char *bytes, size_t size)
{
    const unsigned char *from = (const unsigned char *)bytes;
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t word =
            (uint32_t)from[i] << 16 | (uint32_t)(left > 1 ? from[i + 1] : 0) << 8 | (uint32_t)(left > 2 ? from[i + 2] : 0);
        *to++ = digits[word >> 18];
        *to++ = digits[word >> 12 & 63];
        *to++ = '=';
        *to++ = '=';
        if (left > 1)
            to[-2] = digits[word >> 6 & 63];
        if (left > 2)
            to[-1] = digits[word & 63];
    }
    return to;
}

static int value_of(char c)
{
    const char *at = c != '\0' ? strchr(digits, c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

bool ae_json_base64_read(char *to, size_t *written, const char *text, size_t size)
{
    *written = 0;
    if (size % 4 != 0)
        return false;
    for (size_t i = 0; i < size; i += 4) {
        bool last = i + 4 == size;
        int padding = !last || text[i + 3] != '=' ? 0 : text[i + 2] != '=' ? 1 : 2;
        uint32_t word = 0;
        for (int k = 0; k < 4; k++) {
            int value = k >= 4 - padding ? 0 : value_of(text[i + (size_t)k]);
            if (value < 0)
                return false;
            word = word << 6 | (uint32_t)value;
        }
        for (int k = 0; k < 3 - padding; k++)
            to[(*written)++] = (char)(word >> (16 - 8 * k));
    }
    return true;
}
