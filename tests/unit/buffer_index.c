/* The writer's own numbers of its items: implied, given, with holes, at the end of all numbers. */
#include "common/unit.h"

#include <stdlib.h>

TEST(buffer_index, BUF1_items_are_numbered_from_1)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_position(UNIT_EPOCH, 0, aether_buffer_newest(buffer));
    expect_position(UNIT_EPOCH, 0, aether_cursor_position(cursor));
    expect_ok(unit_append(buffer, 1, 3));
    expect_position(UNIT_EPOCH, 3, aether_buffer_newest(buffer));
    expect_items(cursor, 1, 3);
    expect_position(UNIT_EPOCH, 3, aether_cursor_position(cursor));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_index, BUF1_a_history_may_begin_at_any_index)
{
    aether_buffer_options options = unit_options();
    options.newest_index = 1000;
    aether_buffer *buffer = unit_buffer_with(options);
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_OLDEST);
    expect_position(UNIT_EPOCH, 1000, aether_buffer_newest(buffer));
    expect_position(UNIT_EPOCH, 1000, aether_cursor_position(cursor));
    expect_refused(AETHER_INDEX_ORDER, "index 1000 of item 0 is not above the newest, 1000",
                   aether_append_at(buffer, 1000, "x", 1));
    expect_ok(unit_append(buffer, 1001, 1200));
    expect_items(cursor, 1001, 1200);
    expect_position(UNIT_EPOCH, 1200, aether_cursor_position(cursor));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_index, BUF1_a_buffer_without_an_epoch_gets_one_of_its_own)
{
    aether_buffer_options options = unit_options();
    options.epoch = 0;
    aether_buffer *a = unit_buffer_with(options), *b = unit_buffer_with(options);
    cr_assert(aether_buffer_newest(a).epoch != 0);
    cr_assert(aether_buffer_newest(a).epoch != aether_buffer_newest(b).epoch);
    aether_buffer_destroy(a);
    aether_buffer_destroy(b);
}

static uint64_t next_index(aether_cursor *cursor)
{
    aether_item item = {0};
    return aether_cursor_next(cursor, &item, AETHER_NO_WAIT) == AETHER_OK ? item.index : 0;
}

TEST(buffer_index, BUF1_a_given_index_may_leave_a_hole)
{
    static const uint64_t given[] = {5, 6, 100, 101, 1000000007, UINT64_MAX / 2};
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        expect_ok(aether_append_at(buffer, given[i], &given[i], sizeof given[i]));
        expect_position(UNIT_EPOCH, given[i], aether_buffer_newest(buffer));
    }
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        aether_item item;
        expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
        expect_number(given[i], item.index);
        expect_number(sizeof given[i], item.size);
        cr_assert(memcmp(item.data, &given[i], sizeof given[i]) == 0);
        expect_position(UNIT_EPOCH, given[i], aether_cursor_position(cursor));
    }
    ae_buffer_check(buffer);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_index, BUF1_who_gives_none_gets_the_next_one)
{
    aether_payload batch[] = {{.data = "a", .size = 1}, {.data = "b", .size = 1, .index = 30}, {.data = "c", .size = 1}};
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(aether_append_at(buffer, 10, "x", 1));
    expect_ok(aether_append(buffer, "y", 1));
    expect_ok(aether_append_batch(buffer, batch, 3));
    static const uint64_t wanted[] = {10, 11, 12, 30, 31};
    for (size_t i = 0; i < 5; i++)
        expect_number(wanted[i], next_index(cursor));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_index, BUF1_an_index_that_does_not_grow_appends_nothing)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(aether_append_at(buffer, 10, "x", 1));
    expect_refused(AETHER_INDEX_ORDER, "aether_append_at: index 10 of item 0 is not above the newest, 10",
                   aether_append_at(buffer, 10, "x", 1));
    expect_refused(AETHER_INDEX_ORDER, "index 9", aether_append_at(buffer, 9, "x", 1));
    expect_refused(AETHER_INDEX_ORDER, "index 1", aether_append_at(buffer, 1, "x", 1));
    expect_number(1, unit_stats(buffer).items);
    expect_ok(aether_append_at(buffer, 11, "x", 1));
    expect_number(10, next_index(cursor));
    expect_number(11, next_index(cursor));
    expect_empty(cursor);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_index, BUF1_index_0_is_no_index)
{
    aether_buffer *buffer = unit_buffer();
    expect_refused(AETHER_INVALID, "aether_append_at: index 0", aether_append_at(buffer, 0, "x", 1));
    expect_number(0, unit_stats(buffer).items);
    expect_ok(aether_append_at(buffer, 1, "x", 1));
    aether_buffer_destroy(buffer);
}

TEST(buffer_index, BUF1_after_the_largest_index_nothing_follows_but_the_end)
{
    aether_payload one = {.data = "x", .size = 1};
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(aether_append_at(buffer, UINT64_MAX, "x", 1));
    expect_refused(AETHER_INDEX_ORDER, "the largest index there is", aether_append(buffer, "x", 1));
    expect_refused(AETHER_INDEX_ORDER, "the largest index there is", aether_append_at(buffer, UINT64_MAX, "x", 1));
    expect_refused(AETHER_INDEX_ORDER, "the largest index there is", aether_append_batch(buffer, &one, 1));
    expect_position(UNIT_EPOCH, UINT64_MAX, aether_buffer_newest(buffer));
    expect_number(1, unit_stats(buffer).items);
    expect_ok(aether_buffer_end(buffer, AETHER_OK));
    expect_number(UINT64_MAX, next_index(cursor));
    expect_status(AETHER_ENDED, unit_next(cursor));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_index, BUF1_a_history_that_begins_at_the_largest_index_takes_nothing)
{
    aether_buffer_options options = unit_options();
    options.newest_index = UINT64_MAX;
    aether_buffer *buffer = unit_buffer_with(options);
    expect_refused(AETHER_INDEX_ORDER, "the largest index there is", aether_append(buffer, "x", 1));
    expect_position(UNIT_EPOCH, UINT64_MAX, aether_buffer_newest(buffer));
    aether_buffer_destroy(buffer);
}

TEST(buffer_index, BUF1_the_inline_way_stops_at_the_largest_index_too)
{
    aether_buffer_options options = unit_options();
    options.newest_index = UINT64_MAX - 2;
    aether_buffer *buffer = unit_buffer_with(options);
    unit_allow_inline(buffer);
    expect_ok(aether_append(buffer, "x", 1));
    expect_ok(aether_append(buffer, "x", 1));
    expect_status(AETHER_INDEX_ORDER, aether_append(buffer, "x", 1));
    expect_position(UNIT_EPOCH, UINT64_MAX, aether_buffer_newest(buffer));
    aether_buffer_destroy(buffer);
}

/* What an append of 8 bytes adds to the bytes published. */
static uint64_t cost(aether_buffer *buffer, uint64_t index)
{
    uint64_t before = unit_stats(buffer).bytes;
    if (index == 0)
        expect_ok(aether_append(buffer, "8 bytes", 8));
    else
        expect_ok(aether_append_at(buffer, index, "8 bytes", 8));
    return unit_stats(buffer).bytes - before;
}

TEST(buffer_index, BUF2_an_own_index_costs_8_bytes_until_the_segment_ends)
{
    aether_buffer *buffer = unit_buffer();
    expect_number(16, cost(buffer, 0));
    expect_number(16, cost(buffer, 2)); /* the next one: nothing of its own */
    expect_number(24, cost(buffer, 4));
    expect_number(24, cost(buffer, 5));
    expect_number(24, cost(buffer, 0));
    while (unit_segments(buffer) == 1)
        (void)cost(buffer, 0);
    expect_number(16, cost(buffer, 0));
    ae_buffer_check(buffer);
    aether_buffer_destroy(buffer);
}

TEST(buffer_index, D8_an_indexed_item_may_fill_its_segment_to_the_last_byte)
{
    unsigned char payload[UNIT_SEGMENT];
    for (size_t more = 0; more <= 1; more++) {
        aether_buffer *buffer = unit_buffer();
        aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
        expect_ok(aether_append(buffer, "first", 5));
        size_t size = unit_size_that_fills(buffer) - 8 + more;
        unit_fill(payload, size, 9);
        expect_ok(aether_append_at(buffer, 9, payload, size));
        expect_number(1 + more, unit_segments(buffer));
        ae_buffer_check(buffer);
        expect_ok(aether_append(buffer, "last", 4));
        aether_item item;
        expect_number(1, next_index(cursor));
        expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
        cr_assert(item.index == 9 && item.size == size && unit_is_filled(item.data, size, 9));
        expect_number(10, next_index(cursor));
        aether_cursor_close(cursor);
        aether_buffer_destroy(buffer);
    }
}

TEST(buffer_index, D8_a_batch_with_a_hole_drops_the_8_bytes_in_a_new_segment)
{
    /* In the old segment each item would carry its index; in the new one only those from the hole on. */
    enum { ITEMS = 30 };
    aether_payload batch[ITEMS];
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(aether_append_at(buffer, 5, "x", 1));
    for (size_t i = 0; i < ITEMS; i++)
        batch[i] = (aether_payload){.data = "0123456789abcde", .size = 16, .index = i == 20 ? 100 : 0};
    expect_ok(aether_append_batch(buffer, batch, ITEMS));
    ae_buffer_check(buffer);
    expect_number(2, unit_segments(buffer));
    expect_number(24 + 20 * 24 + 10 * 32, unit_stats(buffer).bytes);
    expect_number(5, next_index(cursor));
    for (uint64_t i = 0; i < ITEMS; i++)
        expect_number(i < 20 ? 6 + i : 80 + i, next_index(cursor));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_index, BUF7_a_cursor_opened_behind_a_hole_knows_its_position)
{
    aether_buffer *buffer = unit_buffer();
    for (uint64_t i = 0; i < 200; i++) {
        aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
        uint64_t before = i == 0 ? 0 : (i - 1) * 3 + 5, index = i * 3 + 5;
        expect_position(UNIT_EPOCH, before, aether_cursor_position(cursor));
        expect_ok(aether_append_at(buffer, index, "payload", 7));
        expect_number(index, next_index(cursor));
        expect_position(UNIT_EPOCH, index, aether_cursor_position(cursor));
        aether_cursor_close(cursor);
    }
    aether_buffer_destroy(buffer);
}

TEST(buffer_index, BUF7_the_oldest_of_a_later_segment_is_behind_the_item_before)
{
    aether_buffer *buffer = unit_buffer();
    for (uint64_t i = 1; i <= 500; i++) {
        expect_ok(aether_append_at(buffer, 7 * i, "payload", 7));
        aether_cursor *cursor = unit_open(buffer, AETHER_FROM_OLDEST);
        uint64_t retained = unit_stats(buffer).retained_items;
        expect_position(UNIT_EPOCH, 7 * (i - retained), aether_cursor_position(cursor));
        expect_number(7 * (i - retained + 1), next_index(cursor));
        aether_cursor_close(cursor);
    }
    cr_assert(unit_segments(buffer) > 10);
    aether_buffer_destroy(buffer);
}

TEST(buffer_index, BUF1_indexes_survive_rolls_holes_and_batches)
{
    enum { ITEMS = 20000 };
    uint64_t *wanted = calloc(ITEMS, sizeof *wanted), newest = 0;
    unsigned random = 12345;
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    for (size_t i = 0; i < ITEMS;) {
        aether_payload batch[5];
        size_t count = 0;
        for (; count < 5 && i < ITEMS; count++, i++) {
            random = random * 1103515245 + 12345;
            uint64_t hole = random >> 16 & 7 ? 0 : random >> 20;
            newest += 1 + hole;
            wanted[i] = newest;
            batch[count] =
                (aether_payload){.data = "0123456789abcdef", .size = random >> 24 & 15, .index = hole != 0 ? newest : 0};
        }
        expect_ok(aether_append_batch(buffer, batch, count));
        expect_position(UNIT_EPOCH, newest, aether_buffer_newest(buffer));
    }
    for (size_t i = 0; i < ITEMS; i++) {
        expect_number(wanted[i], next_index(cursor));
        expect_position(UNIT_EPOCH, wanted[i], aether_cursor_position(cursor));
    }
    expect_empty(cursor);
    expect_position(UNIT_EPOCH, newest, aether_cursor_position(cursor));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
    free(wanted);
}

TEST(buffer_index, BUF2_a_run_over_holes_shows_each_index)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(aether_append(buffer, "a", 1));
    expect_ok(aether_append_at(buffer, 9, "b", 1));
    expect_ok(aether_append(buffer, "c", 1));
    aether_item items[4];
    size_t count;
    expect_ok(aether_cursor_run(cursor, items, 4, &count, AETHER_NO_WAIT));
    expect_number(3, count);
    cr_assert(items[0].index == 1 && items[1].index == 9 && items[2].index == 10);
    cr_assert(*(const char *)items[1].data == 'b' && items[1].size == 1);
    expect_position(UNIT_EPOCH, 10, aether_cursor_position(cursor));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}
