/*
 * Any bytes as JSON of an event: what is accepted is written and read again as the same event, and what is refused has its
 * place inside the text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "aether/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool claim)
{
    if (!claim)
        abort();
}

static bool same(const char *a, size_t a_size, const char *b, size_t b_size)
{
    return a_size == b_size && (a_size == 0 || memcmp(a, b, a_size) == 0);
}

static void compare(const aether_event *a, const aether_event *b)
{
    require(memcmp(a->id, b->id, sizeof a->id) == 0 && a->version == b->version && a->timestamp == b->timestamp &&
            a->flags == b->flags);
    require(same(a->type, a->type_size, b->type, b->type_size) && same(a->actor, a->actor_size, b->actor, b->actor_size));
    require(same(a->data.data, a->data.size, b->data.data, b->data.size));
    require(same(a->metadata.data, a->metadata.size, b->metadata.data, b->metadata.size));
}

static void go_around(const aether_event *event)
{
    aether_json_reader *reader = aether_json_reader_create(NULL);
    aether_json_writer *writer = aether_json_writer_create(NULL);
    require(reader != NULL && writer != NULL);
    aether_text text;
    aether_event back;
    require(aether_json_write(writer, event, 0, &text) == AETHER_OK);
    require(memchr(text.data, '\n', text.size) == NULL);
    require(aether_json_read(reader, text.data, text.size, &back) == AETHER_OK);
    compare(event, &back);
    aether_json_reader_destroy(reader);
    aether_json_writer_destroy(writer);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text = malloc(size + 1); /* of its own size: a read behind it is found */
    require(text != NULL);
    if (size != 0)
        memcpy(text, bytes, size);
    aether_json_reader *reader = aether_json_reader_create(NULL);
    require(reader != NULL);
    aether_event event;
    aether_status status = aether_json_read(reader, text, size, &event);
    if (status == AETHER_OK)
        go_around(&event);
    else
        require(status == AETHER_MALFORMED && aether_json_reader_place(reader).offset <= size);
    const aether_event *events;
    size_t count;
    status = aether_json_read_batch(reader, text, size, &events, &count);
    for (size_t i = 0; status == AETHER_OK && i < count; i++)
        go_around(&events[i]);
    aether_json_place place;
    if (!aether_json_check(text, size, &place))
        require(place.offset <= size && status != AETHER_OK);
    aether_json_reader_destroy(reader);
    free(text);
    return 0;
}
