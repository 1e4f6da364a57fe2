/* Cursors that begin at a position: after it, at it, and what is answered where there is no such place. */
#include "common/unit.h"

static aether_cursor *open_at(aether_buffer *buffer, aether_start start, uint64_t epoch, uint64_t index, aether_range *range)
{
    aether_cursor_options options = {.start = start, .position = {epoch, index}, .range = range};
    return aether_cursor_open_with(buffer, &options);
}

static aether_buffer *buffer_that_keeps(uint64_t items)
{
    aether_buffer_options options = unit_options();
    options.retain_items = items;
    return unit_buffer_with(options);
}

#define expect_range(wanted_floor, wanted_newest, range)                                                                    \
    do {                                                                                                                    \
        aether_range range_came = (range);                                                                                  \
        expect_number(UNIT_EPOCH, range_came.epoch);                                                                        \
        expect_number(wanted_floor, range_came.floor);                                                                      \
        expect_number(wanted_newest, range_came.newest);                                                                    \
    } while (0)

/* ------------------------------------------------------------------------------------------------------------ places */

TEST(buffer_position, BUF7_after_every_index_that_is_kept)
{
    aether_buffer *buffer = buffer_that_keeps(UINT64_MAX);
    expect_ok(unit_append(buffer, 1, 500));
    for (uint64_t i = 0; i <= 500; i++) {
        aether_cursor *cursor = open_at(buffer, AETHER_FROM_AFTER, UNIT_EPOCH, i, NULL);
        cr_assert(cursor != NULL);
        expect_position(UNIT_EPOCH, i, aether_cursor_position(cursor));
        expect_number(500 - i, unit_cursor_stats(cursor).lag_items);
        expect_items(cursor, i + 1, i + 60 < 500 ? i + 60 : 500);
        aether_cursor_close(cursor);
    }
    aether_buffer_destroy(buffer);
}

TEST(buffer_position, BUF7_at_every_index_that_is_kept_and_the_next_one)
{
    aether_buffer *buffer = buffer_that_keeps(UINT64_MAX);
    expect_ok(unit_append(buffer, 1, 500));
    for (uint64_t i = 1; i <= 501; i++) {
        aether_cursor *cursor = open_at(buffer, AETHER_FROM_AT, UNIT_EPOCH, i, NULL);
        cr_assert(cursor != NULL);
        expect_position(UNIT_EPOCH, i - 1, aether_cursor_position(cursor));
        expect_items(cursor, i, 500);
        expect_empty(cursor);
        aether_cursor_close(cursor);
    }
    aether_buffer_destroy(buffer);
}

TEST(buffer_position, BUF7_after_the_newest_is_what_is_appended_next)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *first = open_at(buffer, AETHER_FROM_AFTER, UNIT_EPOCH, 0, NULL);
    aether_cursor *at = open_at(buffer, AETHER_FROM_AT, UNIT_EPOCH, 1, NULL);
    expect_empty(first);
    expect_empty(at);
    expect_ok(unit_append(buffer, 1, 100));
    aether_cursor *next = open_at(buffer, AETHER_FROM_AFTER, UNIT_EPOCH, 100, NULL);
    expect_empty(next);
    expect_ok(unit_append(buffer, 101, 200));
    expect_items(first, 1, 200);
    expect_items(at, 1, 200);
    expect_items(next, 101, 200);
    aether_cursor_close(first);
    aether_cursor_close(at);
    aether_cursor_close(next);
    aether_buffer_destroy(buffer);
}

TEST(buffer_position, BUF7_the_position_of_a_reader_is_where_another_goes_on)
{
    aether_buffer *buffer = buffer_that_keeps(UINT64_MAX);
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_OLDEST);
    for (uint64_t i = 1; i <= 700; i += 7) {
        expect_ok(unit_append(buffer, i, i + 6));
        expect_items(cursor, i, i + 3);
        aether_position position = aether_cursor_position(cursor);
        aether_cursor_close(cursor);
        cursor = open_at(buffer, AETHER_FROM_AFTER, position.epoch, position.index, NULL);
        cr_assert(cursor != NULL);
        expect_items(cursor, i + 4, i + 6);
    }
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_position, BUF7_epoch_0_is_the_buffer_s)
{
    aether_buffer *buffer = unit_buffer();
    expect_ok(unit_append(buffer, 1, 5));
    aether_cursor *cursor = open_at(buffer, AETHER_FROM_AFTER, 0, 3, NULL);
    expect_items(cursor, 4, 5);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_position, BUF7_beside_the_other_starts_the_position_means_nothing)
{
    aether_buffer *buffer = unit_buffer();
    expect_ok(unit_append(buffer, 1, 5));
    aether_cursor *next = open_at(buffer, AETHER_FROM_NEXT, 12345, 99, NULL);
    aether_cursor *oldest = open_at(buffer, AETHER_FROM_OLDEST, 12345, 99, NULL);
    expect_empty(next);
    expect_items(oldest, 1, 5);
    aether_cursor_close(next);
    aether_cursor_close(oldest);
    aether_buffer_destroy(buffer);
}

TEST(buffer_position, BUF7_a_newest_index_at_creation_is_where_history_begins)
{
    aether_buffer_options options = unit_options();
    options.newest_index = 1000;
    options.retain_items = UINT64_MAX;
    aether_buffer *buffer = unit_buffer_with(options);
    expect_range(1000, 1000, aether_buffer_range(buffer));
    cr_assert(open_at(buffer, AETHER_FROM_AFTER, 0, 999, NULL) == NULL);
    expect_status(AETHER_GONE, aether_error_status());
    cr_assert(open_at(buffer, AETHER_FROM_AT, 0, 1000, NULL) == NULL);
    expect_status(AETHER_GONE, aether_error_status());
    aether_cursor *cursor = open_at(buffer, AETHER_FROM_AFTER, 0, 1000, NULL);
    expect_ok(unit_append(buffer, 1001, 1200));
    expect_range(1000, 1200, aether_buffer_range(buffer));
    expect_items(cursor, 1001, 1200);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

/* ------------------------------------------------------------------------------------------------------------- holes */

/* Indexes 10, 20, 30, ... up to 10 * count, each item as number of its index. */
static void append_tens(aether_buffer *buffer, uint64_t first, uint64_t last)
{
    unsigned char bytes[64];
    for (uint64_t i = first; i <= last; i += 10) {
        unit_fill(bytes, unit_size(i), i);
        expect_ok(aether_append_at(buffer, i, bytes, unit_size(i)));
    }
}

TEST(buffer_position, BUF7_a_hole_leads_to_the_item_behind_it)
{
    aether_buffer *buffer = buffer_that_keeps(UINT64_MAX);
    append_tens(buffer, 10, 3000);
    for (uint64_t i = 1; i <= 3000; i++) {
        aether_cursor *after = open_at(buffer, AETHER_FROM_AFTER, 0, i, NULL);
        aether_cursor *at = open_at(buffer, AETHER_FROM_AT, 0, i, NULL);
        cr_assert(after != NULL && at != NULL);
        if (i < 3000)
            expect_items(after, i / 10 * 10 + 10, i / 10 * 10 + 10);
        else
            expect_empty(after);
        expect_items(at, (i + 9) / 10 * 10, (i + 9) / 10 * 10);
        aether_cursor_close(after);
        aether_cursor_close(at);
    }
    aether_buffer_destroy(buffer);
}

TEST(buffer_position, BUF7_before_the_first_item_the_position_is_that_of_the_item_before_the_hole)
{
    aether_buffer *buffer = buffer_that_keeps(UINT64_MAX);
    append_tens(buffer, 10, 1000);
    aether_cursor *cursor = open_at(buffer, AETHER_FROM_AFTER, 0, 555, NULL);
    expect_position(UNIT_EPOCH, 550, aether_cursor_position(cursor));
    aether_cursor_close(cursor);
    cursor = open_at(buffer, AETHER_FROM_AT, 0, 560, NULL);
    expect_position(UNIT_EPOCH, 550, aether_cursor_position(cursor));
    expect_items(cursor, 560, 560);
    expect_position(UNIT_EPOCH, 560, aether_cursor_position(cursor));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_position, BUF7_with_holes_the_floor_is_the_last_item_that_is_gone)
{
    aether_buffer *buffer = buffer_that_keeps(50);
    append_tens(buffer, 10, 5000);
    aether_range range = aether_buffer_range(buffer);
    expect_range(5000 - 10 * unit_stats(buffer).retained_items, 5000, range);
    cr_assert(open_at(buffer, AETHER_FROM_AFTER, 0, range.floor - 1, NULL) == NULL);
    expect_status(AETHER_GONE, aether_error_status());
    aether_cursor *cursor = open_at(buffer, AETHER_FROM_AT, 0, range.floor + 1, NULL);
    expect_items(cursor, range.floor + 10, range.floor + 10);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_position, BUF7_the_largest_indexes_are_positions_too)
{
    aether_buffer *buffer = unit_buffer();
    expect_ok(aether_append_at(buffer, 1, NULL, 0));
    expect_ok(aether_append_at(buffer, UINT64_MAX, NULL, 0));
    aether_item item;
    aether_cursor *after = open_at(buffer, AETHER_FROM_AFTER, 0, UINT64_MAX - 1, NULL);
    aether_cursor *at = open_at(buffer, AETHER_FROM_AT, 0, UINT64_MAX, NULL);
    aether_cursor *end = open_at(buffer, AETHER_FROM_AFTER, 0, UINT64_MAX, NULL);
    expect_ok(aether_cursor_next(after, &item, AETHER_NO_WAIT));
    expect_number(UINT64_MAX, item.index);
    expect_ok(aether_cursor_next(at, &item, AETHER_NO_WAIT));
    expect_number(UINT64_MAX, item.index);
    expect_empty(end);
    expect_range(0, UINT64_MAX, aether_buffer_range(buffer));
    aether_cursor_close(after);
    aether_cursor_close(at);
    aether_cursor_close(end);
    aether_buffer_destroy(buffer);
}

/* ------------------------------------------------------------------------------------------------- no such position */

TEST(buffer_position, BUF7_a_position_before_the_floor_is_gone)
{
    aether_buffer *buffer = buffer_that_keeps(100);
    expect_ok(unit_append(buffer, 1, 1000));
    aether_range range = {0}, kept = aether_buffer_range(buffer);
    expect_within(1000 - 200, 900, kept.floor);
    for (uint64_t i = 0; i < kept.floor; i++) {
        range = (aether_range){0};
        cr_assert(open_at(buffer, AETHER_FROM_AFTER, UNIT_EPOCH, i, &range) == NULL);
        expect_failure(AETHER_GONE, "is gone, what is kept begins after");
        expect_range(kept.floor, 1000, range);
        range = (aether_range){0};
        cr_assert(open_at(buffer, AETHER_FROM_AT, UNIT_EPOCH, i + 1, &range) == NULL);
        expect_status(AETHER_GONE, aether_error_status());
        expect_range(kept.floor, 1000, range);
    }
    aether_cursor *cursor = open_at(buffer, AETHER_FROM_AFTER, UNIT_EPOCH, kept.floor, &range);
    expect_items(cursor, kept.floor + 1, 1000);
    aether_cursor_close(cursor);
    cursor = open_at(buffer, AETHER_FROM_AT, UNIT_EPOCH, kept.floor + 1, &range);
    expect_items(cursor, kept.floor + 1, 1000);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_position, BUF7_the_text_says_what_is_gone_and_where_what_is_kept_begins)
{
    aether_buffer_options options = unit_options();
    options.newest_index = 500;
    aether_buffer *buffer = unit_buffer_with(options);
    cr_assert(open_at(buffer, AETHER_FROM_AFTER, 0, 44, NULL) == NULL);
    expect_failure(AETHER_GONE, "aether_cursor_open_with: index 44 is gone, what is kept begins after 500");
    cr_assert(open_at(buffer, AETHER_FROM_AT, 0, 600, NULL) == NULL);
    expect_failure(AETHER_AHEAD, "aether_cursor_open_with: index 600 is ahead of the newest, 500");
    aether_buffer_destroy(buffer);
}

TEST(buffer_position, BUF7_a_position_after_the_newest_is_ahead)
{
    static const uint64_t by[] = {1, 2, 1000, UINT64_MAX - 100};
    aether_buffer *buffer = unit_buffer();
    expect_ok(unit_append(buffer, 1, 100));
    for (size_t i = 0; i < sizeof by / sizeof *by; i++) {
        aether_range range = {0};
        cr_assert(open_at(buffer, AETHER_FROM_AFTER, UNIT_EPOCH, 100 + by[i], &range) == NULL);
        expect_failure(AETHER_AHEAD, "is ahead of the newest, 100");
        expect_number(100, range.newest);
        range = (aether_range){0};
        uint64_t at = by[i] > UINT64_MAX - 101 ? UINT64_MAX : 101 + by[i];
        cr_assert(open_at(buffer, AETHER_FROM_AT, UNIT_EPOCH, at, &range) == NULL);
        expect_status(AETHER_AHEAD, aether_error_status());
        expect_number(100, range.newest);
    }
    aether_buffer_destroy(buffer);
}

TEST(buffer_position, BUF7_a_position_of_another_epoch_is_of_another_history)
{
    aether_buffer *buffer = unit_buffer();
    expect_ok(unit_append(buffer, 1, 10));
    for (aether_start start = AETHER_FROM_AFTER; start <= AETHER_FROM_AT; start++) {
        aether_range range = {0};
        cr_assert(open_at(buffer, start, UNIT_EPOCH + 1, 5, &range) == NULL);
        expect_failure(AETHER_OTHER_EPOCH, "aether_cursor_open_with: the position is of epoch 4e, the buffer's is 4d");
        expect_range(0, 10, range);
    }
    aether_buffer_destroy(buffer);
}

TEST(buffer_position, BUF7_nothing_is_at_index_0)
{
    aether_buffer *buffer = unit_buffer();
    expect_ok(unit_append(buffer, 1, 10));
    aether_range range = {0};
    cr_assert(open_at(buffer, AETHER_FROM_AT, UNIT_EPOCH, 0, &range) == NULL);
    expect_failure(AETHER_INVALID, "no item is at index 0");
    expect_range(0, 10, range);
    aether_buffer_destroy(buffer);
}

TEST(buffer_position, BUF7_a_place_that_is_not_there_leaves_nothing_behind)
{
    aether_buffer *buffer = buffer_that_keeps(100);
    expect_ok(unit_append(buffer, 1, 1000));
    aether_buffer_stats before = unit_stats(buffer);
    uint64_t blocks = unit_memory().blocks;
    for (int i = 0; i < 10; i++) {
        cr_assert(open_at(buffer, AETHER_FROM_AFTER, 0, 1, NULL) == NULL);
        cr_assert(open_at(buffer, AETHER_FROM_AFTER, 0, 2000, NULL) == NULL);
        cr_assert(open_at(buffer, AETHER_FROM_AFTER, 1, 1000, NULL) == NULL);
    }
    expect_number(blocks, unit_memory().blocks);
    expect_nothing_written(before, buffer);
    aether_buffer_destroy(buffer);
}

/* -------------------------------------------------------------------------------------------------------------- range */

TEST(buffer_position, BUF7_the_range_is_filled_in_with_every_start)
{
    aether_buffer *buffer = buffer_that_keeps(UINT64_MAX);
    expect_ok(unit_append(buffer, 1, 300));
    for (aether_start start = AETHER_FROM_NEXT; start <= AETHER_FROM_AT; start++) {
        aether_range range = {0};
        aether_cursor *cursor = open_at(buffer, start, 0, 150, &range);
        cr_assert(cursor != NULL);
        expect_range(0, 300, range);
        aether_cursor_close(cursor);
    }
    aether_buffer_destroy(buffer);
}

TEST(buffer_position, BUF7_the_range_is_what_the_buffer_itself_holds)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *slow = unit_open(buffer, AETHER_FROM_NEXT);
    expect_range(0, 0, aether_buffer_range(buffer));
    for (uint64_t i = 1; i <= 1000; i++) {
        expect_ok(unit_append(buffer, i, i));
        expect_range(i - unit_stats(buffer).retained_items, i, aether_buffer_range(buffer));
    }
    expect_items(slow, 1, 1000); /* which is more than the buffer itself holds */
    expect_within(900, 999, aether_buffer_range(buffer).floor);
    aether_cursor_close(slow);
    aether_buffer_destroy(buffer);
}

TEST(buffer_position, BUF7_the_floor_follows_what_trim_lets_go)
{
    aether_buffer *buffer = unit_buffer();
    expect_ok(unit_append(buffer, 1, 10));
    expect_range(0, 10, aether_buffer_range(buffer));
    expect_ok(aether_buffer_trim(buffer));
    expect_range(10, 10, aether_buffer_range(buffer));
    cr_assert(open_at(buffer, AETHER_FROM_AFTER, 0, 9, NULL) == NULL);
    expect_status(AETHER_GONE, aether_error_status());
    aether_cursor *cursor = open_at(buffer, AETHER_FROM_AFTER, 0, 10, NULL);
    expect_ok(unit_append(buffer, 11, 11));
    expect_items(cursor, 11, 11);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

/* --------------------------------------------------------------------------------------------------- ends and splices */

TEST(buffer_position, BUF6_an_ended_buffer_is_opened_at_positions_and_has_its_range)
{
    aether_buffer *buffer = buffer_that_keeps(UINT64_MAX);
    expect_ok(unit_append(buffer, 1, 200));
    expect_ok(aether_buffer_end(buffer, AETHER_RESET));
    expect_range(0, 200, aether_buffer_range(buffer));
    aether_cursor *middle = open_at(buffer, AETHER_FROM_AT, 0, 100, NULL);
    aether_cursor *end = open_at(buffer, AETHER_FROM_AFTER, 0, 200, NULL);
    expect_items(middle, 100, 200);
    expect_status(AETHER_RESET, unit_next(middle));
    expect_status(AETHER_RESET, unit_next(end));
    cr_assert(open_at(buffer, AETHER_FROM_AFTER, 0, 201, NULL) == NULL);
    expect_status(AETHER_AHEAD, aether_error_status());
    aether_cursor_close(middle);
    aether_cursor_close(end);
    aether_buffer_destroy(buffer);
}

TEST(buffer_position, BUF6_a_spliced_buffer_looks_among_its_own_items_and_leads_on)
{
    aether_buffer *buffer = buffer_that_keeps(UINT64_MAX), *other = buffer_that_keeps(UINT64_MAX);
    expect_ok(unit_append(other, 1, 50));
    expect_ok(unit_append(buffer, 1, 200));
    expect_ok(aether_buffer_splice(buffer, unit_open(other, AETHER_FROM_NEXT)));
    expect_ok(unit_append(other, 51, 900));
    expect_range(0, 200, aether_buffer_range(buffer));
    aether_cursor *middle = open_at(buffer, AETHER_FROM_AFTER, 0, 150, NULL);
    aether_cursor *end = open_at(buffer, AETHER_FROM_AFTER, 0, 200, NULL);
    expect_items(middle, 151, 200);
    expect_items(middle, 51, 900);
    expect_items(end, 51, 900);
    cr_assert(open_at(buffer, AETHER_FROM_AFTER, 0, 201, NULL) == NULL);
    expect_status(AETHER_AHEAD, aether_error_status());
    aether_cursor_close(middle);
    aether_cursor_close(end);
    aether_buffer_destroy(buffer);
    aether_buffer_destroy(other);
}

/* ------------------------------------------------------------------------------------------------- beside the writer */

enum { ITEMS = 30000 };

static const char *write_all(void *user)
{
    claim(unit_append(user, 1, ITEMS) == AETHER_OK);
    return NULL;
}

static const char *open_often(void *user)
{
    uint64_t newest = 0;
    while (newest < ITEMS) {
        aether_range range = aether_buffer_range(user), filled = {0};
        claim(range.epoch == UNIT_EPOCH && range.floor <= range.newest && range.newest >= newest);
        newest = range.newest;
        uint64_t wanted = range.floor + (newest - range.floor) / 2;
        aether_cursor *cursor = open_at(user, AETHER_FROM_AFTER, UNIT_EPOCH, wanted, &filled);
        claim(filled.newest >= newest && filled.floor >= range.floor);
        if (cursor == NULL) {
            claim(aether_error_status() == AETHER_GONE && wanted < filled.floor);
            continue;
        }
        claim(aether_cursor_position(cursor).index == wanted);
        const char *wrong = unit_read(cursor, wanted + 1, newest);
        aether_cursor_close(cursor);
        claim(wrong == NULL);
    }
    return NULL;
}

TEST(buffer_position, BUF7_places_are_found_beside_the_writer)
{
    aether_buffer *buffer = buffer_that_keeps(300);
    struct unit_thread writer, openers[2];
    for (int i = 0; i < 2; i++)
        cr_assert(unit_thread_start(&openers[i], 0, open_often, buffer));
    cr_assert(unit_thread_start(&writer, 0, write_all, buffer));
    expect_fine(unit_thread_join(&writer));
    for (int i = 0; i < 2; i++)
        expect_fine(unit_thread_join(&openers[i]));
    aether_buffer_destroy(buffer);
}
