/* What bad input gets: a status and a text of its own, nothing half done, and the next valid call works. */
#include "common/unit.h"

/* ----------------------------------------------------------------------------------------------------------- nothing */

TEST(buffer_invalid, D3_a_missing_buffer_is_named)
{
    aether_payload one = {.data = "x", .size = 1};
    aether_buffer_stats stats;
    aether_buffer *other = unit_buffer();
    aether_cursor *at = unit_open(other, AETHER_FROM_NEXT);
    expect_refused(AETHER_INVALID, "aether_append: the buffer is NULL", aether_append(NULL, "x", 1));
    expect_refused(AETHER_INVALID, "aether_append_at: the buffer is NULL", aether_append_at(NULL, 1, "x", 1));
    expect_refused(AETHER_INVALID, "aether_append_batch: the buffer is NULL", aether_append_batch(NULL, &one, 1));
    expect_refused(AETHER_INVALID, "aether_append_batch: the buffer is NULL", aether_append_batch(NULL, NULL, 0));
    expect_refused(AETHER_INVALID, "aether_buffer_end: the buffer is NULL", aether_buffer_end(NULL, AETHER_OK));
    expect_refused(AETHER_INVALID, "aether_buffer_splice: the buffer is NULL", aether_buffer_splice(NULL, at));
    expect_refused(AETHER_INVALID, "aether_buffer_get_stats: the buffer is NULL", aether_buffer_get_stats(NULL, &stats));
    cr_assert(aether_cursor_open(NULL, AETHER_FROM_NEXT) == NULL);
    expect_failure(AETHER_INVALID, "aether_cursor_open: the buffer is NULL");
    expect_position(0, 0, aether_buffer_newest(NULL));
    expect_failure(AETHER_INVALID, "aether_buffer_newest: the buffer is NULL");
    aether_cursor_close(at);
    aether_buffer_destroy(other);
}

TEST(buffer_invalid, D3_a_missing_cursor_is_named)
{
    aether_item item;
    size_t count = 3;
    aether_buffer *buffer = unit_buffer();
    expect_refused(AETHER_INVALID, "aether_cursor_next: the cursor is NULL", aether_cursor_next(NULL, &item, 0));
    expect_refused(AETHER_INVALID, "aether_cursor_run: the cursor is NULL", aether_cursor_run(NULL, &item, 1, &count, 0));
    expect_number(0, count);
    expect_refused(AETHER_INVALID, "aether_cursor_resume: the cursor is NULL", aether_cursor_resume(NULL));
    expect_refused(AETHER_INVALID, "aether_buffer_splice: the cursor is NULL", aether_buffer_splice(buffer, NULL));
    cr_assert(aether_cursor_dup(NULL) == NULL);
    expect_failure(AETHER_INVALID, "aether_cursor_dup: the cursor is NULL");
    expect_position(0, 0, aether_cursor_position(NULL));
    expect_failure(AETHER_INVALID, "aether_cursor_position: the cursor is NULL");
    expect_ok(unit_append(buffer, 1, 1)); /* the failed splice has ended nothing */
    aether_buffer_destroy(buffer);
}

TEST(buffer_invalid, D3_a_missing_argument_is_named)
{
    aether_item items[2];
    size_t count = 3;
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_refused(AETHER_INVALID, "aether_append: the data", aether_append(buffer, NULL, 1));
    expect_refused(AETHER_INVALID, "is NULL with size 9", aether_append(buffer, NULL, 9));
    expect_refused(AETHER_INVALID, "aether_append_at: the data", aether_append_at(buffer, 5, NULL, 1));
    expect_refused(AETHER_INVALID, "aether_append_batch: payloads is NULL with count 3",
                   aether_append_batch(buffer, NULL, 3));
    expect_refused(AETHER_INVALID, "aether_buffer_get_stats: stats is NULL", aether_buffer_get_stats(buffer, NULL));
    expect_refused(AETHER_INVALID, "aether_cursor_next: the item is NULL", aether_cursor_next(cursor, NULL, 0));
    expect_refused(AETHER_INVALID, "aether_cursor_run: count is NULL", aether_cursor_run(cursor, items, 2, NULL, 0));
    expect_refused(AETHER_INVALID, "items is NULL", aether_cursor_run(cursor, NULL, 2, &count, 0));
    expect_number(0, count);
    expect_refused(AETHER_INVALID, "capacity 0", aether_cursor_run(cursor, items, 0, &count, 0));
    expect_number(0, unit_stats(buffer).items);
    expect_ok(unit_append(buffer, 1, 1));
    expect_items(cursor, 1, 1);
    expect_empty(cursor);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_invalid, D3_an_argument_that_cannot_be_does_not_cost_the_item)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 2));
    expect_status(AETHER_INVALID, aether_cursor_next(cursor, NULL, AETHER_FOREVER));
    expect_items(cursor, 1, 2);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

/* ------------------------------------------------------------------------------------------------------------- sizes */

TEST(buffer_invalid, D8_a_size_over_the_limit_is_refused_before_anything_is_read)
{
    static const size_t sizes[] = {AETHER_ITEM_MAX + 1, (size_t)1 << 32, SIZE_MAX / 2, SIZE_MAX - 7, SIZE_MAX};
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    uint64_t allocs = unit_memory().allocs;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        aether_payload batch[] = {{.data = "small", .size = 5}, {.data = "x", .size = sizes[i]}};
        expect_refused(AETHER_TOO_LARGE, "aether_append: size", aether_append(buffer, "x", sizes[i]));
        expect_refused(AETHER_TOO_LARGE, "over the limit of 536870880 bytes", aether_append_at(buffer, 9, "x", sizes[i]));
        expect_refused(AETHER_TOO_LARGE, "of item 1", aether_append_batch(buffer, batch, 2));
        ae_buffer_check(buffer);
    }
    expect_number(allocs, unit_memory().allocs);
    expect_number(0, unit_stats(buffer).items);
    expect_ok(unit_append(buffer, 1, 1));
    expect_items(cursor, 1, 1);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_invalid, BUF11_the_largest_size_is_a_matter_of_memory)
{
    aether_buffer *buffer = unit_buffer();
    unit_memory_fail(0, 1);
    expect_status(AETHER_NO_MEMORY, aether_append(buffer, "never read", AETHER_ITEM_MAX));
    expect_within(AETHER_ITEM_MAX, AETHER_ITEM_MAX + UNIT_SEGMENT, unit_memory().asked);
    unit_memory_fail(0, 1);
    expect_status(AETHER_NO_MEMORY, aether_append_at(buffer, 100, "never read", AETHER_ITEM_MAX));
    expect_ok(unit_append(buffer, 1, 1));
    aether_buffer_destroy(buffer);
}

TEST(buffer_invalid, D8_a_batch_is_measured_with_its_headers)
{
    enum { ITEMS = 2 };
    size_t half = AETHER_BATCH_MAX / ITEMS - 8;
    cr_assert(half > AETHER_ITEM_MAX); /* two of the largest fit with room to spare */
    aether_payload batch[ITEMS + 1];
    for (int i = 0; i <= ITEMS; i++)
        batch[i] = (aether_payload){.data = "never read", .size = AETHER_ITEM_MAX};
    aether_buffer *buffer = unit_buffer();
    unit_memory_fail(0, 1);
    expect_status(AETHER_NO_MEMORY, aether_append_batch(buffer, batch, ITEMS));
    batch[ITEMS].size = (ITEMS * (half - AETHER_ITEM_MAX)) - 8;
    unit_memory_fail(0, 1);
    expect_status(AETHER_NO_MEMORY, aether_append_batch(buffer, batch, ITEMS + 1)); /* exactly the limit */
    batch[ITEMS].size += 1;
    expect_refused(AETHER_TOO_LARGE, "a batch of more than 1073741824 bytes, at item 2",
                   aether_append_batch(buffer, batch, ITEMS + 1));
    expect_ok(unit_append(buffer, 1, 1));
    aether_buffer_destroy(buffer);
}

/* ----------------------------------------------------------------------------------------------------------- options */

static void expect_no_buffer(aether_buffer_options options, const char *text)
{
    cr_assert(aether_buffer_create(&options) == NULL);
    expect_failure(AETHER_INVALID, text);
    expect_number(0, unit_memory().allocs);
}

TEST(buffer_invalid, D3_options_out_of_their_range_make_no_buffer)
{
    static const uint32_t sizes[] = {1, 512, 1023, 1025, 1536, 65535, 3 << 20, (16 << 20) + 1, 32 << 20, UINT32_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        aether_buffer_options options = unit_options();
        options.segment_bytes = sizes[i];
        expect_no_buffer(options, "aether_buffer_create: segment_bytes");
        options = unit_options();
        options.segment_bytes = 16 << 20;
        options.first_segment_bytes = sizes[i] != 512 ? sizes[i] : 256; /* the first one may be so small */
        expect_no_buffer(options, "aether_buffer_create: first_segment_bytes");
    }
    aether_buffer_options options = unit_options();
    options.first_segment_bytes = 2 * UNIT_SEGMENT;
    expect_no_buffer(options, "first_segment_bytes 2048 is no power of two from 512 to 1024");
}

TEST(buffer_invalid, D6_half_an_allocator_makes_no_buffer)
{
    aether_allocator half = unit_allocator;
    aether_buffer_options options = unit_options();
    options.allocator = &half;
    half.free = NULL;
    expect_no_buffer(options, "aether_buffer_create: the allocator lacks alloc or free");
    half = unit_allocator;
    half.alloc = NULL;
    expect_no_buffer(options, "aether_buffer_create: the allocator lacks alloc or free");
}

TEST(buffer_invalid, D2_every_segment_size_of_the_range_makes_a_buffer)
{
    for (uint32_t largest = 1024; largest <= 16 << 20; largest *= 2)
        for (uint32_t first = 1024; first <= largest; first *= 16) {
            aether_buffer_options options = unit_options();
            options.segment_bytes = largest;
            options.first_segment_bytes = first;
            aether_buffer *buffer = unit_buffer_with(options);
            aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
            expect_ok(unit_append(buffer, 1, 100));
            expect_items(cursor, 1, 100);
            ae_buffer_check(buffer);
            aether_cursor_close(cursor);
            aether_buffer_destroy(buffer);
        }
}

TEST(buffer_invalid, D2_extreme_counts_in_options_are_taken_as_they_are)
{
    static const int32_t counts[] = {INT32_MIN, -1, 1, INT32_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        aether_buffer_options options = unit_options();
        options.cached_segments = options.spins = options.yields = counts[i];
        aether_buffer *buffer = unit_buffer_with(options);
        aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
        expect_empty(cursor);
        expect_ok(unit_append(buffer, 1, 1000));
        expect_items(cursor, 1, 1000);
        aether_cursor_close(cursor);
        aether_buffer_destroy(buffer);
    }
}

TEST(buffer_invalid, BUF9_a_default_limit_that_cannot_be_makes_no_buffer)
{
    static const aether_on_limit policies[] = {-1, 4, INT32_MAX, INT32_MIN};
    static const uint64_t limits[] = {1, UNIT_SEGMENT, 4 * UNIT_SEGMENT - 1};
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        aether_buffer_options options = unit_options();
        options.on_limit = policies[i];
        expect_no_buffer(options, "aether_buffer_create: there is no on_limit");
    }
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        aether_buffer_options options = unit_options();
        options.limit_bytes = limits[i];
        expect_no_buffer(options, "is below the least that works, 4096");
    }
    aether_buffer_options options = unit_options();
    options.segment_bytes = 0; /* 64 KiB */
    options.limit_bytes = 4 * 65536 - 1;
    expect_no_buffer(options, "aether_buffer_create: limit_bytes 262143 is below the least that works, 262144");
}

/* ----------------------------------------------------------------------------------------------------------- cursors */

static void expect_no_cursor(aether_buffer *buffer, aether_cursor_options options, const char *text)
{
    uint64_t blocks = unit_memory().blocks;
    cr_assert(aether_cursor_open_with(buffer, &options) == NULL);
    expect_failure(AETHER_INVALID, text);
    expect_number(blocks, unit_memory().blocks);
    expect_number(0, unit_stats(buffer).cursors);
}

TEST(buffer_invalid, BUF9_a_limit_below_four_of_the_largest_segments_is_refused_with_the_least_that_works)
{
    static const uint64_t limits[] = {1, 4096, 4 * 8192 - 1};
    aether_buffer_options options = unit_options();
    options.segment_bytes = 8192; /* the largest, not the first */
    aether_buffer *buffer = unit_buffer_with(options);
    for (aether_on_limit policy = 0; policy <= AETHER_REFUSE; policy++) {
        for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
            expect_no_cursor(buffer, (aether_cursor_options){.on_limit = policy, .limit_bytes = limits[i]},
                             "is below the least that works with this buffer, 32768");
        aether_cursor_close(unit_open_limit(buffer, policy, 32768, NULL));
    }
    expect_no_cursor(buffer, (aether_cursor_options){.limit_bytes = 77},
                     "aether_cursor_open_with: limit_bytes 77 is below the least that works with this buffer, 32768");
    aether_buffer_destroy(buffer);
}

TEST(buffer_invalid, D3_what_a_cursor_cannot_be_is_refused)
{
    char label[33];
    memset(label, 'x', 32);
    label[32] = '\0';
    aether_buffer *buffer = unit_buffer();
    expect_no_cursor(buffer, (aether_cursor_options){.start = -1}, "aether_cursor_open_with: there is no start -1");
    expect_no_cursor(buffer, (aether_cursor_options){.start = 4}, "aether_cursor_open_with: there is no start 4");
    expect_no_cursor(buffer, (aether_cursor_options){.on_limit = -1}, "there is no on_limit -1");
    expect_no_cursor(buffer, (aether_cursor_options){.on_limit = 4}, "there is no on_limit 4");
    expect_no_cursor(buffer, (aether_cursor_options){.label = label},
                     "the label \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\" has more than 31 bytes");
    label[31] = '\0';
    aether_cursor_close(unit_open_with(buffer, (aether_cursor_options){.label = label}));
    static const aether_start starts[] = {-1, AETHER_FROM_AFTER, AETHER_FROM_AT, 4};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        cr_assert(aether_cursor_open(buffer, starts[i]) == NULL);
        expect_failure(AETHER_INVALID, "aether_cursor_open: there is no start");
    }
    aether_buffer_destroy(buffer);
}

TEST(buffer_invalid, D2_no_options_are_the_defaults)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = aether_cursor_open_with(buffer, NULL);
    cr_assert(cursor != NULL);
    expect_ok(unit_append(buffer, 1, 1000));
    expect_items(cursor, 1, 1000);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_invalid, D3_a_missing_handle_or_argument_is_named_by_every_call)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    aether_cursor_stats stats;
    expect_refused(AETHER_INVALID, "aether_append_array: the buffer is NULL", aether_append_array(NULL, "x", 1, 1));
    expect_refused(AETHER_INVALID, "aether_append_array: items is NULL", aether_append_array(buffer, NULL, 1, 1));
    expect_refused(AETHER_INVALID, "aether_buffer_set_wait: the buffer is NULL", aether_buffer_set_wait(NULL, 1));
    expect_refused(AETHER_INVALID, "aether_buffer_resume: the buffer is NULL", aether_buffer_resume(NULL));
    aether_buffer_cancel(NULL);
    cr_assert(aether_cursor_open_with(NULL, &(aether_cursor_options){0}) == NULL);
    expect_failure(AETHER_INVALID, "aether_cursor_open_with: the buffer is NULL");
    expect_refused(AETHER_INVALID, "aether_cursor_get_stats: the cursor is NULL", aether_cursor_get_stats(NULL, &stats));
    expect_refused(AETHER_INVALID, "aether_cursor_get_stats: stats is NULL", aether_cursor_get_stats(cursor, NULL));
    aether_range range = aether_buffer_range(NULL);
    expect_failure(AETHER_INVALID, "aether_buffer_range: the buffer is NULL");
    expect_number(0, range.epoch | range.floor | range.newest);
    expect_ok(unit_append(buffer, 1, 1));
    expect_items(cursor, 1, 1);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}
