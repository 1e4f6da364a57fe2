#include "common/stress_stream.h"

#include <stdlib.h>
#include <string.h>

#include "buffer/layout.h"
#include "common/stress_feed.h"

enum { BATCH_MOST = 6, SIZE_MOST = 16384, NOT_GIVEN = 0, GIVEN = 1, RELEASED = 2, PATTERN = 0xdb };

uint64_t stress_released_by_writer, stress_released_by_others;
static _Thread_local bool is_writer;

/* ------------------------------------------------------------------------------------------------------------- items */

struct shape {
    uint32_t size, events;
    bool reference;
};

static uint64_t mixed(uint64_t key)
{
    key = (key ^ key >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    key = (key ^ key >> 27) * UINT64_C(0x94d049bb133111eb);
    return key ^ key >> 31;
}

static uint64_t key_of(const struct stress_stream *stream, uint64_t number)
{
    return stream->id << 40 ^ number ^ UINT64_C(0x7777) << 24;
}

/* Header, reference and padding of an item by reference. */
enum { REFERENCE_STEP = AE_SLOT_HEADER + sizeof(struct extended) + sizeof(struct reference) };

static struct shape shape_of(const struct stress_stream *stream, uint64_t number)
{
    uint64_t draw = mixed(key_of(stream, number)), size = draw >> 32;
    uint32_t kind = draw % 64, segment = stream->segment;
    struct shape shape = {.events = (draw >> 8) % 8 == 0 ? 2 + (uint32_t)(draw >> 16) % 1000 : 1};
    if (stream->heavy != 0 && kind < 24) {
        shape.reference = true;
        size = kind < 8 ? stream->heavy - REFERENCE_STEP - (draw >> 40) % 4 * (segment / 2)
                        : 128 + size % (segment - REFERENCE_STEP - 128);
    } else if (kind < 4) {
        shape.reference = true;
        size = kind == 0 ? 128 + size % segment * 2 : 100 + size % 400; /* a few are small enough to be copied */
    } else if (kind == 4) {
        size = size % (segment + segment / 2);
    } else {
        size = size % (kind < 16 ? STRESS_ITEM_MOST + 1 : 40);
    }
    shape.size = (uint32_t)size;
    return shape;
}

/* What the library counts for it. */
static uint64_t bytes_of(struct shape shape)
{
    if (shape.reference && shape.size >= AETHER_REFERENCE_LEAST)
        return REFERENCE_STEP + shape.size;
    return ae_step(shape.size + (shape.events > 1 ? sizeof(struct extended) : 0));
}

void stress_stream_check(const struct stress_stream *stream, uint64_t number, const aether_item *item)
{
    struct shape shape = shape_of(stream, number);
    if (item->index != number + 1 || item->size != shape.size || item->events != shape.events)
        stress_fail("stream %llu: expected item %llu of %u bytes and %u events, got item %llu of %zu and %llu",
                    (unsigned long long)stream->id, (unsigned long long)number, shape.size, shape.events,
                    (unsigned long long)item->index - 1, item->size, (unsigned long long)item->events);
    if (!stress_item_matches(item->data, item->size, key_of(stream, number)))
        stress_fail("stream %llu: the bytes of item %llu are wrong", (unsigned long long)stream->id,
                    (unsigned long long)number);
}

/* ---------------------------------------------------------------------------------------------------------- references */

/* Stands before a payload by reference. */
struct owned {
    struct stress_stream *stream;
    uint64_t number;
};

static void release(void *data, size_t size, void *user)
{
    unsigned char *given = user;
    unsigned char before = __atomic_exchange_n(given, RELEASED, STRESS_CHANGE);
    if (before != GIVEN)
        stress_fail("a payload was released %s", before == RELEASED ? "twice" : "though it was not given");
    struct owned *owned = (struct owned *)data - 1;
    struct stress_stream *stream = owned->stream;
    STRESS_EXPECT(&stream->given[owned->number] == given && size == shape_of(stream, owned->number).size);
    STRESS_EXPECT(stress_item_matches(data, size, key_of(stream, owned->number)));
    memset(owned, PATTERN, sizeof *owned + size);
    free(owned);
    stress_add(&stream->released, 1);
    stress_add(is_writer ? &stress_released_by_writer : &stress_released_by_others, 1);
}

static void give(struct stress_stream *stream, uint64_t number, aether_payload *payload)
{
    struct owned *owned = malloc(sizeof *owned + payload->size);
    STRESS_EXPECT(owned != NULL);
    *owned = (struct owned){stream, number};
    stress_item_fill((unsigned char *)(owned + 1), payload->size, key_of(stream, number));
    payload->data = owned + 1;
    payload->release = release;
    payload->user = &stream->given[number];
    __atomic_store_n(&stream->given[number], GIVEN, STRESS_STORE);
}

/* The append failed. */
static void take_back(const aether_payload *payload)
{
    if (payload->release == NULL)
        return;
    STRESS_EXPECT(__atomic_exchange_n((unsigned char *)payload->user, NOT_GIVEN, STRESS_CHANGE) == GIVEN);
    free((struct owned *)(uintptr_t)payload->data - 1);
}

/* ------------------------------------------------------------------------------------------------------------- streams */

void stress_stream_create(struct stress_stream *stream, const aether_buffer_options *options, uint64_t id, uint64_t most,
                          uint64_t heavy)
{
    aether_buffer_options own = *options;
    own.epoch = id;
    *stream = (struct stress_stream){.buffer = aether_buffer_create(&own),
                                     .id = id,
                                     .most = most,
                                     .segment = own.segment_bytes,
                                     .heavy = heavy,
                                     .bytes = calloc(most + 1, sizeof(uint64_t)),
                                     .events = calloc(most + 1, sizeof(uint64_t)),
                                     .given = calloc(most + 1, 1)};
    if (stream->buffer == NULL)
        stress_fail("create: %s", aether_error());
    STRESS_EXPECT(stream->bytes != NULL && stream->events != NULL && stream->given != NULL);
    stress_allow_inline(stream->buffer);
}

void stress_stream_free(struct stress_stream *stream)
{
    if (stress_get(&stream->released) != stream->references)
        stress_fail("stream %llu: %llu payloads were given by reference, and %llu released", (unsigned long long)stream->id,
                    (unsigned long long)stream->references, (unsigned long long)stress_get(&stream->released));
    free(stream->bytes);
    free(stream->events);
    free(stream->given);
}

void stress_stream_end(struct stress_stream *stream, aether_status reason)
{
    if (aether_buffer_end(stream->buffer, reason) != AETHER_OK)
        stress_fail("end: %s", aether_error());
    stress_set(&stream->level, stream->begun + 1);
}

uint64_t stress_stream_batch_most(const struct stress_stream *stream)
{
    uint64_t most = 128 + 2 * (uint64_t)stream->segment + REFERENCE_STEP;
    return stream->heavy > most ? stream->heavy : most;
}

bool stress_stream_has_room(const struct stress_stream *stream)
{
    return stream->begun + BATCH_MOST < stream->most;
}

/* ----------------------------------------------------------------------------------------------------------- appending */

static aether_status failed(const char *call, aether_status status)
{
    if (status != AETHER_OK && status != AETHER_FULL && status != AETHER_TIMEOUT && status != AETHER_CANCELLED)
        stress_fail("%s: %s", call, aether_error());
    return status;
}

static aether_status put_batch(struct stress_stream *stream, uint64_t number, size_t count)
{
    unsigned char bytes[SIZE_MOST], *at = bytes;
    aether_payload payloads[BATCH_MOST] = {0};
    for (size_t i = 0; i < count; i++) {
        struct shape shape = shape_of(stream, number + i);
        payloads[i] = (aether_payload){.data = at, .size = shape.size, .events = shape.events};
        if (shape.reference) {
            give(stream, number + i, &payloads[i]);
        } else {
            STRESS_EXPECT(shape.size <= (size_t)(bytes + sizeof bytes - at));
            stress_item_fill(at, shape.size, key_of(stream, number + i));
            at += shape.size;
        }
    }
    aether_status status = failed("append_batch", aether_append_batch(stream->buffer, payloads, count));
    for (size_t i = 0; i < count; i++)
        if (status != AETHER_OK)
            take_back(&payloads[i]);
        else
            stream->references += payloads[i].release != NULL;
    return status;
}

static aether_status put_plain(struct stress_stream *stream, uint64_t number, uint32_t size, bool in_line)
{
    unsigned char bytes[SIZE_MOST];
    STRESS_EXPECT(size <= sizeof bytes);
    stress_item_fill(bytes, size, key_of(stream, number));
    return failed("append",
                  in_line ? aether_inline_append(stream->buffer, bytes, size) : aether_append(stream->buffer, bytes, size));
}

/* Reserves as much or more, and commits what it needs, or gives it up with something written there. */
static aether_status put_reserved(struct stress_stream *stream, uint64_t number, struct shape shape, bool commit,
                                  struct stress_random *random)
{
    uint32_t more = stress_one_in(random, 2) ? 0 : stress_below(random, stress_one_in(random, 8) ? stream->segment : 100);
    if (!commit && stress_one_in(random, 2))
        more = stress_below(random, stream->segment + stream->segment / 2); /* in a segment of its own */
    if (stream->heavy != 0 && shape.size + more + REFERENCE_STEP > stream->heavy)
        more = 0; /* no limit would admit it */
    aether_payload payload = {.size = shape.size + more, .events = shape.events};
    void *data;
    aether_status status = failed("reserve", aether_reserve_sized(stream->buffer, &payload, &data, sizeof payload));
    if (status != AETHER_OK)
        return status;
    if (stress_one_in(random, 8))
        STRESS_EXPECT(aether_append(stream->buffer, "no", 2) == AETHER_BUSY);
    if (!commit) {
        memset(data, PATTERN, payload.size);
        STRESS_EXPECT(aether_abandon(stream->buffer) == AETHER_OK);
        return AETHER_OK;
    }
    stress_item_fill(data, shape.size, key_of(stream, number));
    memset((unsigned char *)data + shape.size, PATTERN, more);
    STRESS_EXPECT(aether_commit(stream->buffer, shape.size) == AETHER_OK);
    return AETHER_OK;
}

/* How many may come together: what they weigh is what a limit has to admit at once. */
static size_t count_of(const struct stress_stream *stream, uint64_t number, struct stress_random *random)
{
    size_t count = 1, most = stress_one_in(random, 8) ? 1 + stress_below(random, BATCH_MOST) : 1;
    uint64_t bytes = bytes_of(shape_of(stream, number));
    while (count < most && (bytes += bytes_of(shape_of(stream, number + count))) <= stress_stream_batch_most(stream))
        count++;
    return count;
}

aether_status stress_stream_put(struct stress_stream *stream, struct stress_random *random)
{
    is_writer = true;
    uint64_t number = stream->begun;
    struct shape shape = shape_of(stream, number);
    if (stress_one_in(random, 512))
        return failed("trim", aether_buffer_trim(stream->buffer));
    if (stress_one_in(random, 128))
        return put_reserved(stream, number, shape, false, random);
    size_t count = count_of(stream, number, random);
    for (uint64_t i = number; i < number + count; i++) {
        stress_set(&stream->bytes[i + 1], stream->bytes[i] + bytes_of(shape_of(stream, i)));
        stress_set(&stream->events[i + 1], stream->events[i] + shape_of(stream, i).events);
    }
    stress_set(&stream->begun, number + count);
    aether_status status;
    if (count > 1 || shape.reference)
        status = put_batch(stream, number, count);
    else if (stress_one_in(random, 16))
        status = put_reserved(stream, number, shape, true, random);
    else if (shape.events > 1)
        status = put_batch(stream, number, 1);
    else
        status = put_plain(stream, number, shape.size, stress_one_in(random, 2));
    AE_LIGHT_BARRIER();
    if (status != AETHER_OK) {
        stress_set(&stream->begun, number);
        return status;
    }
    stress_set(&stream->published, number + count);
    stress_set(&stream->level, number + count);
    return AETHER_OK;
}
