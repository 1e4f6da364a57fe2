#include "common/stress_feed.h"

#include <string.h>

#include "buffer/cursor.h"

/* ------------------------------------------------------------------------------------------------------------- items */

static uint64_t mixed(uint64_t key)
{
    key = (key ^ key >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    key = (key ^ key >> 27) * UINT64_C(0x94d049bb133111eb);
    return key ^ key >> 31;
}

static uint32_t size_of(const struct stress_feed *feed, uint64_t key)
{
    uint64_t draw = mixed(key);
    if (feed->bulky)
        return STRESS_ITEM_MOST - (uint32_t)(draw >> 32) % 40;
    return (uint32_t)(draw >> 32) % (draw % 8 == 0 ? STRESS_ITEM_MOST + 1 : 40);
}

void stress_item_fill(unsigned char *bytes, size_t size, uint64_t key)
{
    uint64_t word = mixed(key ^ UINT64_C(0x5555555555555555));
    for (size_t at = 0; at < size; at += sizeof word, word += UINT64_C(0x9e3779b97f4a7c15))
        memcpy(bytes + at, &word, size - at < sizeof word ? size - at : sizeof word);
}

/* Plain reads of words and bytes: compilers expand a small memcpy where the thread sanitizer does not see it. */
bool stress_item_matches(const void *bytes, size_t size, uint64_t key)
{
    typedef uint64_t __attribute__((may_alias)) any_word;
    uint64_t word = mixed(key ^ UINT64_C(0x5555555555555555));
    const any_word *words = bytes;
    size_t count = size / sizeof word;
    for (size_t i = 0; i < count; i++, word += UINT64_C(0x9e3779b97f4a7c15))
        if (words[i] != word)
            return false;
    const unsigned char *rest = (const unsigned char *)(words + count), *expected = (const unsigned char *)&word;
    for (size_t i = 0; i < size % sizeof word; i++)
        if (rest[i] != expected[i])
            return false;
    return true;
}

static uint64_t key_of(const struct stress_feed *feed, uint64_t number)
{
    return feed->id << 40 ^ number;
}

void stress_feed_check(const struct stress_feed *feed, uint64_t number, const aether_item *item)
{
    uint64_t key = key_of(feed, number);
    if (item->index != number + 1 || item->size != size_of(feed, key))
        stress_fail("feed %llu: expected item %llu of %u bytes, got item %llu of %zu bytes", (unsigned long long)feed->id,
                    (unsigned long long)number, size_of(feed, key), (unsigned long long)item->index - 1, item->size);
    if (!stress_item_matches(item->data, item->size, key))
        stress_fail("feed %llu: the bytes of item %llu are wrong", (unsigned long long)feed->id, (unsigned long long)number);
}

/* ------------------------------------------------------------------------------------------------------------- feeds */

aether_buffer_options stress_small_segments(const aether_allocator *allocator, int32_t cached)
{
    return (aether_buffer_options){
        .allocator = allocator, .segment_bytes = 1024, .first_segment_bytes = 1024, .cached_segments = cached};
}

void stress_allow_inline(aether_buffer *buffer)
{
    buffer->may_inline = buffer->asymmetric;
    ae_buffer_set_inline_end(buffer);
}

void stress_feed_create(struct stress_feed *feed, const aether_buffer_options *options, uint64_t id, bool bulky)
{
    aether_buffer_options own = *options;
    own.epoch = id;
    feed->buffer = aether_buffer_create(&own);
    feed->id = id;
    feed->bulky = bulky;
    stress_set(&feed->begun, 0);
    stress_set(&feed->published, 0);
    if (feed->buffer == NULL)
        stress_fail("create: %s", aether_error());
    stress_allow_inline(feed->buffer);
}

void stress_feed_go_inline(struct stress_feed *feed)
{
    feed->buffer->asymmetric |= AE_TSAN;
    stress_allow_inline(feed->buffer);
}

static void put_batch(struct stress_feed *feed, uint64_t number, size_t count)
{
    unsigned char bytes[STRESS_BATCH_MOST][STRESS_ITEM_MOST];
    aether_payload payloads[STRESS_BATCH_MOST];
    for (size_t i = 0; i < count; i++) {
        uint64_t key = key_of(feed, number + i);
        payloads[i] = (aether_payload){.data = bytes[i], .size = size_of(feed, key)};
        stress_item_fill(bytes[i], payloads[i].size, key);
    }
    if (aether_append_batch(feed->buffer, payloads, count) != AETHER_OK)
        stress_fail("append_batch: %s", aether_error());
}

static void put_one(struct stress_feed *feed, uint64_t number, bool in_line)
{
    unsigned char bytes[STRESS_ITEM_MOST];
    uint64_t key = key_of(feed, number);
    uint32_t size = size_of(feed, key);
    stress_item_fill(bytes, size, key);
    aether_status status =
        in_line ? aether_inline_append(feed->buffer, bytes, size) : aether_append(feed->buffer, bytes, size);
    if (status != AETHER_OK)
        stress_fail("append: %s", aether_error());
}

void stress_feed_put(struct stress_feed *feed, struct stress_random *random)
{
    uint64_t number = feed->begun;
    size_t count = stress_one_in(random, 8) ? 1 + stress_below(random, STRESS_BATCH_MOST) : 1;
    stress_set(&feed->begun, number + count);
    if (count == 1)
        put_one(feed, number, stress_one_in(random, 2));
    else
        put_batch(feed, number, count);
    AE_LIGHT_BARRIER();
    stress_set(&feed->published, number + count);
}

void stress_feed_end(struct stress_feed *feed, aether_status reason)
{
    if (aether_buffer_end(feed->buffer, reason) != AETHER_OK)
        stress_fail("end: %s", aether_error());
    stress_set(&feed->published, feed->begun + 1);
}
