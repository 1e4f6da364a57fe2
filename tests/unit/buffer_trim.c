/* Trim: memory that a buffer gives back when it falls quiet. */
#include "common/unit.h"

#include "base/rcu.h"
#include "common/unit_clock.h"

static aether_buffer *growing(void)
{
    aether_buffer_options options = unit_options();
    options.segment_bytes = 64 * UNIT_SEGMENT;
    return unit_buffer_with(options);
}

TEST(buffer_trim, BUF5_after_a_busy_time_one_smallest_segment_is_left)
{
    aether_buffer *buffer = growing();
    aether_cursor *slow = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 20000));
    expect_items(slow, 1, 20000);
    aether_cursor_close(slow);
    expect_within(32 * UNIT_SEGMENT, 400 * UNIT_SEGMENT, unit_stats(buffer).cached_bytes + unit_stats(buffer).in_use_bytes);
    expect_ok(aether_buffer_trim(buffer));
    aether_buffer_stats stats = unit_stats(buffer);
    expect_number(1, stats.in_use_segments);
    expect_number(UNIT_SEGMENT, stats.in_use_bytes);
    expect_number(0, stats.cached_segments);
    expect_number(0, stats.cached_bytes);
    expect_number(0, stats.retained_items);
    expect_number(20000, stats.items);
    ae_rcu_barrier();
    expect_number(sizeof *buffer + UNIT_SEGMENT, unit_memory().bytes);
    ae_buffer_check(buffer);
    aether_buffer_destroy(buffer);
}

TEST(buffer_trim, BUF5_it_does_not_take_a_large_spare_for_the_smallest_segment)
{
    aether_buffer *buffer = growing();
    for (uint64_t i = 1; i <= 50000; i += 1000) { /* everybody reads at once: the spares are of the largest size */
        aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
        expect_ok(unit_append(buffer, i, i + 999));
        expect_items(cursor, i, i + 999);
        aether_cursor_close(cursor);
    }
    expect_within(1, 4, unit_stats(buffer).cached_segments);
    expect_ok(aether_buffer_trim(buffer));
    expect_number(UNIT_SEGMENT, unit_stats(buffer).in_use_bytes);
    aether_buffer_destroy(buffer);
}

TEST(buffer_trim, BUF5_a_trimmed_buffer_goes_on_as_before)
{
    aether_buffer *buffer = growing();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    uint64_t i = 1;
    for (int round = 0; round < 50; round++) {
        expect_ok(unit_append(buffer, i, i + 99));
        expect_ok(aether_buffer_trim(buffer));
        expect_items(cursor, i, i + 99);
        expect_empty(cursor);
        expect_position(UNIT_EPOCH, i + 99, aether_buffer_newest(buffer));
        ae_buffer_check(buffer);
        i += 100;
    }
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_trim, BUF5_what_is_unread_stays)
{
    aether_buffer *buffer = growing();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 5000));
    expect_ok(aether_buffer_trim(buffer));
    cr_assert(unit_stats(buffer).in_use_segments > 1);
    expect_number(0, unit_stats(buffer).retained_items); /* for others it is gone */
    expect_items(cursor, 1, 5000);
    expect_empty(cursor);
    expect_number(1, unit_stats(buffer).in_use_segments); /* it has left the one before */
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_trim, BUF5_a_segment_that_all_have_read_goes_as_soon_as_they_look_on)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursors[2] = {unit_open(buffer, AETHER_FROM_NEXT), unit_open(buffer, AETHER_FROM_NEXT)};
    expect_ok(unit_append(buffer, 1, 10));
    for (int i = 0; i < 2; i++)
        expect_items(cursors[i], 1, 10);
    expect_ok(aether_buffer_trim(buffer));
    expect_number(2, unit_stats(buffer).in_use_segments);
    expect_empty(cursors[0]);
    expect_number(2, unit_stats(buffer).in_use_segments);
    expect_empty(cursors[1]);
    expect_number(1, unit_stats(buffer).in_use_segments);
    aether_cursor_close(cursors[0]);
    aether_cursor_close(cursors[1]);
    aether_buffer_destroy(buffer);
}

TEST(buffer_trim, BUF5_a_reader_that_sleeps_moves_on_and_sleeps_again)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 10));
    expect_items(cursor, 1, 10);
    struct unit_reader reader;
    cr_assert(unit_reader_put_to_sleep(&reader, cursor));
    expect_ok(aether_buffer_trim(buffer));
    cr_assert(unit_until(unit_stats(buffer).in_use_segments == 1));
    expect_ok(unit_append(buffer, 11, 11));
    expect_ok(unit_reader_join(&reader));
    expect_number(11, reader.item.index);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_trim, BUF5_an_empty_segment_is_not_rolled_again)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    for (int again = 0; again < 10; again++)
        expect_ok(aether_buffer_trim(buffer));
    expect_number(1, unit_segments(buffer));
    expect_ok(unit_append(buffer, 1, 1));
    for (int again = 0; again < 10; again++)
        expect_ok(aether_buffer_trim(buffer));
    expect_number(2, unit_segments(buffer));
    expect_ok(unit_append(buffer, 2, 2));
    expect_items(cursor, 1, 2);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_trim, BUF8_what_retention_needs_stays)
{
    aether_buffer_options options = unit_options();
    options.retain_items = 300;
    aether_buffer *buffer = unit_buffer_with(options);
    expect_ok(unit_append(buffer, 1, 1000));
    uint64_t before = unit_stats(buffer).retained_items;
    expect_ok(aether_buffer_trim(buffer));
    expect_within(300, before, unit_stats(buffer).retained_items);
    expect_number(0, unit_stats(buffer).cached_segments);
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_OLDEST);
    expect_items(cursor, aether_cursor_position(cursor).index + 1, 1000);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_trim, BUF8_what_has_become_old_goes_though_nothing_is_appended)
{
    unit_clock_install(1000);
    aether_buffer_options options = unit_options();
    options.retain_ns = AETHER_SECONDS(1);
    aether_buffer *buffer = unit_buffer_with(options);
    expect_ok(unit_append(buffer, 1, 2000));
    expect_ok(aether_buffer_trim(buffer));
    expect_number(2000, unit_stats(buffer).retained_items);
    unit_clock_advance(AETHER_SECONDS(1));
    expect_ok(aether_buffer_trim(buffer));
    expect_number(0, unit_stats(buffer).retained_items);
    expect_number(1, unit_stats(buffer).in_use_segments);
    aether_buffer_destroy(buffer);
}

TEST(buffer_trim, BUF11_without_memory_nothing_has_changed)
{
    aether_buffer *buffer = growing();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 5000));
    aether_buffer_stats before = unit_stats(buffer);
    uint64_t room = ae_buffer_room(buffer);
    unit_memory_fail(0, UINT64_MAX);
    expect_refused(AETHER_NO_MEMORY, "aether_buffer_trim: no memory for a segment", aether_buffer_trim(buffer));
    unit_memory_fail(0, 0);
    expect_nothing_written(before, buffer);
    expect_number(room, ae_buffer_room(buffer));
    expect_ok(aether_buffer_trim(buffer));
    expect_items(cursor, 1, 5000);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

/* A failed trim does not make the next segments small. */
TEST(buffer_trim, BUF11_a_trim_that_failed_does_not_change_the_size_of_segments)
{
    aether_buffer *buffer = growing();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 20000));
    unit_memory_fail(0, UINT64_MAX);
    expect_status(AETHER_NO_MEMORY, aether_buffer_trim(buffer));
    unit_memory_fail(0, 0);
    uint64_t segments = unit_segments(buffer);
    expect_ok(unit_append(buffer, 20001, 24000)); /* 100 KB */
    expect_within(segments + 1, segments + 3, unit_segments(buffer));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_trim, D3_what_cannot_be_trimmed_says_why)
{
    aether_buffer *buffer = unit_buffer(), *other = unit_buffer();
    expect_refused(AETHER_INVALID, "aether_buffer_trim: the buffer is NULL", aether_buffer_trim(NULL));
    expect_ok(aether_buffer_end(buffer, AETHER_OK));
    expect_refused(AETHER_ENDED, "aether_buffer_trim: the buffer was ended or spliced before", aether_buffer_trim(buffer));
    aether_buffer *spliced = unit_buffer();
    expect_ok(aether_buffer_splice(spliced, unit_open(other, AETHER_FROM_NEXT)));
    expect_status(AETHER_ENDED, aether_buffer_trim(spliced));
    aether_buffer_destroy(spliced);
    aether_buffer_destroy(buffer);
    aether_buffer_destroy(other);
}
