/* Retention: what is kept though nobody reads, and what is not. */
#include "common/unit.h"

#include "base/rcu.h"
#include "common/unit_clock.h"

/* More items than a segment holds, and less. */
enum { SEGMENT_ITEMS = 768 / AE_SLOT_HEADER };

/* The items from `first` to `last` are what a cursor from the oldest gets; `first` says what it began with. */
static uint64_t read_oldest(aether_buffer *buffer, uint64_t last)
{
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_OLDEST);
    uint64_t first = aether_cursor_position(cursor).index + 1;
    expect_items(cursor, first, last);
    expect_empty(cursor);
    aether_cursor_close(cursor);
    expect_number(last + 1 - first, unit_stats(buffer).retained_items);
    expect_number(first - 1, aether_buffer_range(buffer).floor);
    return first;
}

TEST(buffer_retain, BUF8_by_default_only_the_newest_segment_is_kept)
{
    aether_buffer *buffer = unit_buffer();
    for (uint64_t i = 1; i <= 2000; i++) {
        expect_ok(unit_append(buffer, i, i));
        expect_number(1, unit_stats(buffer).in_use_segments);
    }
    expect_within(2001 - SEGMENT_ITEMS, 2000, read_oldest(buffer, 2000));
    aether_buffer_destroy(buffer);
}

TEST(buffer_retain, BUF8_the_last_items_are_kept_by_whole_segments)
{
    static const uint64_t kept[] = {1, 2, 30, 100, 1000, 4999, 5000, 5001, UINT64_MAX};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        aether_buffer_options options = unit_options();
        options.retain_items = kept[i];
        aether_buffer *buffer = unit_buffer_with(options);
        for (uint64_t last = 1; last <= 5000; last += 7) {
            expect_ok(unit_append(buffer, last, last + 6 < 5000 ? last + 6 : 5000));
            uint64_t newest = aether_buffer_newest(buffer).index, least = newest < kept[i] ? newest : kept[i];
            uint64_t most = least > newest - SEGMENT_ITEMS || newest < SEGMENT_ITEMS ? newest : least + SEGMENT_ITEMS;
            expect_within(least, most, unit_stats(buffer).retained_items);
        }
        read_oldest(buffer, 5000);
        ae_buffer_check(buffer);
        aether_buffer_destroy(buffer);
    }
}

TEST(buffer_retain, BUF8_the_last_bytes_are_kept_by_whole_segments)
{
    static const uint64_t kept[] = {1, 1000, 10000, 50000, UINT64_MAX};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        aether_buffer_options options = unit_options();
        options.retain_bytes = kept[i];
        aether_buffer *buffer = unit_buffer_with(options);
        for (uint64_t last = 1; last <= 3000; last++) {
            expect_ok(unit_append(buffer, last, last));
            aether_buffer_stats stats = unit_stats(buffer);
            uint64_t least = stats.bytes < kept[i] ? stats.bytes : kept[i];
            uint64_t most = stats.bytes < least + 2 * UNIT_SEGMENT ? stats.bytes : least + 2 * UNIT_SEGMENT;
            expect_within(least, most, stats.retained_bytes);
        }
        read_oldest(buffer, 3000);
        aether_buffer_destroy(buffer);
    }
}

TEST(buffer_retain, BUF8_payloads_by_reference_count_as_bytes)
{
    enum { SIZE = 500, ITEMS = 100 };
    static struct unit_release releases[ITEMS];
    aether_buffer_options options = unit_options();
    options.retain_bytes = 10 * SIZE;
    aether_buffer *buffer = unit_buffer_with(options);
    for (uint64_t i = 0; i < ITEMS; i++)
        expect_ok(unit_append_reference(buffer, &releases[i], SIZE, i));
    expect_within(9, 12, unit_stats(buffer).retained_items); /* with 56 bytes of slot each */
    uint64_t released = 0;
    for (uint64_t i = 0; i < ITEMS; i++)
        released += (uint64_t)unit_releases(&releases[i]);
    expect_number(ITEMS - unit_stats(buffer).retained_items, released);
    aether_buffer_destroy(buffer);
}

TEST(buffer_retain, BUF8_the_last_nanoseconds_are_kept_by_whole_segments)
{
    enum { SECOND = 1000000000 };
    unit_clock_install(1000);
    aether_buffer_options options = unit_options();
    options.retain_ns = 10 * (int64_t)SECOND;
    aether_buffer *buffer = unit_buffer_with(options);
    for (uint64_t i = 1; i <= 2000; i++) { /* ten a second */
        expect_ok(unit_append(buffer, i, i));
        unit_clock_advance(SECOND / 10);
        uint64_t least = i < 100 ? i : 100;
        expect_within(least, i < 100 + 2 * SEGMENT_ITEMS ? i : 100 + 2 * SEGMENT_ITEMS, unit_stats(buffer).retained_items);
    }
    read_oldest(buffer, 2000);
    aether_buffer_destroy(buffer);
}

TEST(buffer_retain, BUF8_what_has_become_old_goes_when_the_writer_rolls_on)
{
    unit_clock_install(1000);
    aether_buffer_options options = unit_options();
    options.retain_ns = AETHER_SECONDS(10);
    aether_buffer *buffer = unit_buffer_with(options);
    expect_ok(unit_append(buffer, 1, 1000));
    expect_number(1000, unit_stats(buffer).retained_items);
    unit_clock_advance(AETHER_SECONDS(10) - 1);
    expect_ok(unit_append(buffer, 1001, 1100));
    expect_number(1100, unit_stats(buffer).retained_items);
    unit_clock_advance(1);
    expect_ok(unit_append(buffer, 1101, 2000)); /* a few segments go with each roll */
    expect_within(900, 900 + 2 * SEGMENT_ITEMS, unit_stats(buffer).retained_items);
    read_oldest(buffer, 2000);
    aether_buffer_destroy(buffer);
}

TEST(buffer_retain, BUF8_items_are_kept_as_long_as_any_measure_asks_for_it)
{
    unit_clock_install(1000);
    for (int which = 0; which < 3; which++) {
        aether_buffer_options options = unit_options();
        options.retain_items = which == 0 ? 1000 : 10;
        options.retain_bytes = which == 1 ? 30000 : 100;
        options.retain_ns = which == 2 ? AETHER_SECONDS(1) : 1;
        aether_buffer *buffer = unit_buffer_with(options);
        for (uint64_t i = 1; i <= 5000; i++) {
            expect_ok(unit_append(buffer, i, i));
            unit_clock_advance(AETHER_MILLISECONDS(1));
        }
        expect_within(990, 1100, 5001 - read_oldest(buffer, 5000));
        aether_buffer_destroy(buffer);
    }
}

TEST(buffer_retain, BUF8_readers_come_and_go_without_changing_what_is_kept)
{
    aether_buffer_options options = unit_options();
    options.retain_items = 500;
    aether_buffer *buffer = unit_buffer_with(options);
    aether_cursor *slow = unit_open(buffer, AETHER_FROM_NEXT);
    for (uint64_t i = 1; i <= 5000; i += 100) {
        aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT), *oldest = unit_open(buffer, AETHER_FROM_OLDEST);
        expect_ok(unit_append(buffer, i, i + 99));
        expect_items(cursor, i, i + 99);
        expect_items(oldest, aether_cursor_position(oldest).index + 1, i + 99);
        aether_cursor_close(cursor);
        aether_cursor_close(oldest);
        aether_buffer_stats stats = unit_stats(buffer);
        expect_within(i + 99 < 500 ? i + 99 : 500, i + 99, stats.retained_items);
    }
    expect_items(slow, 1, 5000);
    aether_cursor_close(slow);
    expect_ok(unit_append(buffer, 5001, 6000));
    expect_within(500, 500 + SEGMENT_ITEMS, 6001 - read_oldest(buffer, 6000));
    aether_buffer_destroy(buffer);
}

TEST(buffer_retain, BUF8_memory_is_bounded_by_what_is_kept)
{
    aether_buffer_options options = unit_options();
    options.retain_bytes = 20 * UNIT_SEGMENT;
    aether_buffer *buffer = unit_buffer_with(options);
    for (uint64_t i = 1; i <= 20000; i += 50) {
        expect_ok(unit_append(buffer, i, i + 49));
        expect_within(1, 20 * UNIT_SEGMENT / (unit_room(buffer) - 48) + 3, unit_stats(buffer).in_use_segments);
    }
    aether_buffer_destroy(buffer);
}

TEST(buffer_retain, BUF8_a_batch_and_a_large_item_count_as_what_they_are)
{
    static const char large[50000];
    aether_buffer_options options = unit_options();
    options.retain_items = 3;
    aether_buffer *buffer = unit_buffer_with(options);
    expect_ok(unit_append_batch(buffer, 1, 1000));
    expect_number(1000, unit_stats(buffer).retained_items);
    for (uint64_t i = 0; i < 3; i++) {
        expect_ok(aether_append(buffer, large, sizeof large));
        expect_number(i < 2 ? 1001 + i : 3, unit_stats(buffer).retained_items);
    }
    expect_within(3 * sizeof large, 3 * sizeof large + 3 * UNIT_SEGMENT, unit_stats(buffer).in_use_bytes);
    aether_buffer_destroy(buffer);
}

TEST(buffer_retain, BUF8_a_reader_within_what_is_kept_may_still_be_lapped)
{
    aether_buffer_options options = unit_options();
    options.retain_items = UINT64_MAX;
    aether_buffer *buffer = unit_buffer_with(options);
    aether_cursor *cursor = unit_open_limit(buffer, AETHER_LAP, 4 * UNIT_SEGMENT, NULL);
    expect_ok(unit_append(buffer, 1, 2000));
    uint64_t read = 0;
    aether_item item;
    aether_status status;
    while ((status = aether_cursor_next(cursor, &item, AETHER_NO_WAIT)) != AETHER_EMPTY)
        if (status == AETHER_OK) {
            cr_assert(unit_is_item(&item, item.index));
            read++;
        }
    expect_number(1, unit_cursor_stats(cursor).lags);
    expect_number(2000, read + unit_cursor_stats(cursor).all_missed_items);
    expect_number(1, read_oldest(buffer, 2000));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_retain, BUF8_what_is_kept_can_be_read_after_the_end_and_goes_with_the_buffer)
{
    aether_buffer_options options = unit_options();
    options.retain_items = 1000;
    options.cached_segments = -1;
    aether_buffer *buffer = unit_buffer_with(options);
    expect_ok(unit_append(buffer, 1, 3000));
    expect_ok(aether_buffer_end(buffer, AETHER_OK));
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_OLDEST);
    uint64_t first = aether_cursor_position(cursor).index + 1;
    expect_within(3001 - 1000 - SEGMENT_ITEMS, 2001, first);
    expect_items(cursor, first, 3000);
    expect_status(AETHER_ENDED, unit_next(cursor));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
    cr_assert(unit_memory_is_balanced());
}

TEST(buffer_retain, BUF8_a_cursor_reads_on_what_was_kept_when_the_buffer_is_gone)
{
    aether_buffer_options options = unit_options();
    options.retain_items = 1000;
    aether_buffer *buffer = unit_buffer_with(options);
    expect_ok(unit_append(buffer, 1, 500));
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_OLDEST);
    aether_buffer_destroy(buffer);
    expect_items(cursor, 1, 500);
    expect_status(AETHER_CLOSED, unit_next(cursor));
    aether_cursor_close(cursor);
}

TEST(buffer_retain, BUF6_a_spliced_buffer_keeps_what_it_has_and_leads_on)
{
    aether_buffer_options options = unit_options();
    options.retain_items = 1000;
    aether_buffer *buffer = unit_buffer_with(options), *other = unit_buffer_with(options);
    expect_ok(unit_append(buffer, 1, 500));
    expect_ok(aether_buffer_splice(buffer, unit_open(other, AETHER_FROM_NEXT)));
    expect_ok(unit_append(other, 1, 5000)); /* the buffer holds all of them */
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_OLDEST);
    expect_items(cursor, 1, 500);
    expect_items(cursor, 1, 5000);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
    expect_ok(unit_append(other, 5001, 6000));
    expect_within(1000, 1000 + SEGMENT_ITEMS, 6001 - read_oldest(other, 6000));
    aether_buffer_destroy(other);
}
