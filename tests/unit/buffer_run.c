/* Runs: items that are ready, without a call for each. */
#include "common/unit.h"

enum { CAPACITY = 64 };

TEST(buffer_run, BUF2_a_run_hands_out_what_is_ready)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    aether_item items[CAPACITY];
    size_t count;
    expect_ok(unit_append(buffer, 1, 10));
    expect_ok(aether_cursor_run(cursor, items, CAPACITY, &count, AETHER_NO_WAIT));
    expect_number(10, count);
    for (size_t i = 0; i < count; i++)
        cr_assert(unit_is_item(&items[i], i + 1));
    expect_position(UNIT_EPOCH, 10, aether_cursor_position(cursor));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_run, BUF2_a_run_stops_at_its_capacity_and_goes_on_there)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 1000));
    uint64_t next = 1;
    for (size_t capacity = 1; next <= 1000; capacity = capacity % 9 + 1) {
        aether_item items[9];
        size_t count;
        expect_ok(aether_cursor_run(cursor, items, capacity, &count, AETHER_NO_WAIT));
        expect_within(1, capacity, count);
        for (size_t i = 0; i < count; i++, next++)
            cr_assert(unit_is_item(&items[i], next));
        expect_position(UNIT_EPOCH, next - 1, aether_cursor_position(cursor));
    }
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_run, BUF2_a_run_is_of_one_segment)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    uint64_t in_segment[20] = {0}, last = 0;
    while (unit_segments(buffer) <= 20) {
        last++;
        expect_ok(unit_append(buffer, last, last));
        if (unit_segments(buffer) <= 20)
            in_segment[unit_segments(buffer) - 1]++;
    }
    for (size_t s = 0; s < 20; s++) {
        aether_item items[CAPACITY * 4];
        size_t count;
        expect_ok(aether_cursor_run(cursor, items, CAPACITY * 4, &count, AETHER_NO_WAIT));
        expect_number(in_segment[s], count);
    }
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_run, BUF2_the_items_of_a_run_stay_while_the_writer_goes_on)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    aether_item items[CAPACITY];
    size_t count;
    expect_ok(unit_append(buffer, 1, 1000));
    expect_ok(aether_cursor_run(cursor, items, CAPACITY, &count, AETHER_NO_WAIT));
    expect_ok(unit_append(buffer, 1001, 20000));
    for (size_t i = 0; i < count; i++)
        cr_assert(unit_is_item(&items[i], i + 1));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_run, BUF2_runs_and_single_items_mix)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 500));
    for (uint64_t next = 1; next <= 500;) {
        aether_item items[7];
        size_t count;
        expect_items(cursor, next, next);
        next++;
        if (next > 500)
            break;
        expect_ok(aether_cursor_run(cursor, items, 7, &count, AETHER_NO_WAIT));
        for (size_t i = 0; i < count; i++, next++)
            cr_assert(unit_is_item(&items[i], next));
    }
    expect_empty(cursor);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_run, BUF2_without_ok_a_run_has_no_items)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    aether_item items[2];
    size_t count = 5;
    expect_status(AETHER_EMPTY, aether_cursor_run(cursor, items, 2, &count, AETHER_NO_WAIT));
    expect_number(0, count);
    count = 5;
    expect_status(AETHER_TIMEOUT, aether_cursor_run(cursor, items, 2, &count, AETHER_MICROSECONDS(10)));
    expect_number(0, count);
    count = 5;
    aether_cursor_cancel(cursor);
    expect_status(AETHER_CANCELLED, aether_cursor_run(cursor, items, 2, &count, AETHER_FOREVER));
    expect_number(0, count);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_run, BUF6_the_end_comes_after_the_run)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    aether_item items[CAPACITY];
    size_t count;
    expect_ok(unit_append(buffer, 1, 5));
    expect_ok(aether_buffer_end(buffer, AETHER_OK));
    expect_ok(aether_cursor_run(cursor, items, CAPACITY, &count, AETHER_FOREVER));
    expect_number(5, count);
    expect_status(AETHER_ENDED, aether_cursor_run(cursor, items, CAPACITY, &count, AETHER_FOREVER));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST_ALL_WAYS(buffer_run, BUF4_a_run_waits_for_its_first_item)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    struct unit_reader reader;
    cr_assert(unit_reader_run(&reader, cursor, AETHER_FOREVER));
    cr_assert(unit_reader_sleeps(&reader));
    expect_ok(unit_append_batch(buffer, 1, 5));
    expect_ok(unit_reader_join(&reader));
    expect_number(5, reader.count);
    cr_assert(unit_is_item(&reader.item, 1));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}
