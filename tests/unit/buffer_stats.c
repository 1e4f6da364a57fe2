/* What a buffer says of itself. */
#include "common/unit.h"

#include "base/rcu.h"

TEST(buffer_stats, BUF10_an_empty_buffer_has_one_segment_and_nothing_else)
{
    aether_buffer *buffer = unit_buffer();
    aether_buffer_stats stats = unit_stats(buffer);
    expect_position(UNIT_EPOCH, 0, stats.newest);
    expect_number(0, stats.items);
    expect_number(0, stats.bytes);
    expect_number(0, stats.retained_items);
    expect_number(0, stats.retained_bytes);
    expect_number(UNIT_SEGMENT, stats.in_use_bytes);
    expect_number(1, stats.in_use_segments);
    expect_number(0, stats.cached_segments);
    expect_number(0, stats.cached_bytes);
    expect_number(0, stats.cursors);
    expect_number(0, stats.wakes);
    aether_buffer_destroy(buffer);
}

TEST(buffer_stats, BUF10_items_and_bytes_count_all_that_was_published)
{
    aether_payload batch[] = {{.data = "12345678", .size = 8}, {0}};
    aether_buffer *buffer = unit_buffer();
    expect_ok(aether_append(buffer, "x", 1)); /* 8 of header, 8 of payload and padding */
    expect_number(16, unit_stats(buffer).bytes);
    expect_ok(aether_append_batch(buffer, batch, 2));
    expect_number(16 + 16 + 8, unit_stats(buffer).bytes);
    expect_number(3, unit_stats(buffer).items);
    expect_ok(aether_append_at(buffer, 10, "123456789", 9)); /* 8 more for its index */
    expect_number(40 + 8 + 8 + 16, unit_stats(buffer).bytes);
    expect_position(UNIT_EPOCH, 10, unit_stats(buffer).newest);
    expect_status(AETHER_INDEX_ORDER, aether_append_at(buffer, 10, "x", 1));
    expect_number(4, unit_stats(buffer).items);
    aether_buffer_destroy(buffer);
}

TEST(buffer_stats, BUF10_counters_go_on_through_rolls)
{
    aether_buffer *buffer = unit_buffer();
    uint64_t bytes = 0;
    for (uint64_t i = 1; i <= 2000; i++) {
        expect_ok(unit_append(buffer, i, i));
        bytes += ae_step(unit_size(i));
        aether_buffer_stats stats = unit_stats(buffer);
        expect_number(i, stats.items);
        expect_number(bytes, stats.bytes);
        expect_position(UNIT_EPOCH, i, stats.newest);
    }
    aether_buffer_destroy(buffer);
}

TEST(buffer_stats, BUF10_retained_is_what_a_cursor_from_the_oldest_gets)
{
    aether_buffer *buffer = unit_buffer();
    for (uint64_t i = 1; i <= 1000; i++) {
        expect_ok(unit_append(buffer, i, i));
        aether_buffer_stats stats = unit_stats(buffer);
        aether_cursor *cursor = unit_open(buffer, AETHER_FROM_OLDEST);
        uint64_t bytes = 0, items = 0;
        for (aether_item item; aether_cursor_next(cursor, &item, AETHER_NO_WAIT) == AETHER_OK; items++)
            bytes += ae_step(item.size);
        expect_number(items, stats.retained_items);
        expect_number(bytes, stats.retained_bytes);
        aether_cursor_close(cursor);
    }
    aether_buffer_destroy(buffer);
}

TEST(buffer_stats, BUF10_in_use_is_what_the_buffer_or_a_reader_holds)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 2000));
    aether_buffer_stats stats = unit_stats(buffer);
    expect_number(unit_segments(buffer), stats.in_use_segments);
    expect_number(stats.in_use_segments * UNIT_SEGMENT, stats.in_use_bytes);
    expect_number(0, stats.cached_segments);
    expect_within(unit_memory().bytes - sizeof *buffer - 1024, unit_memory().bytes, stats.in_use_bytes);
    aether_cursor_close(cursor);
    stats = unit_stats(buffer);
    expect_number(1, stats.in_use_segments);
    expect_number(UNIT_SEGMENT, stats.in_use_bytes);
    expect_number(4, stats.cached_segments);
    expect_number(4 * UNIT_SEGMENT, stats.cached_bytes);
    ae_rcu_barrier();
    expect_number(sizeof *buffer + 5 * UNIT_SEGMENT, unit_memory().bytes);
    aether_buffer_destroy(buffer);
}

TEST(buffer_stats, BUF10_in_use_and_cached_are_all_memory_of_segments)
{
    aether_buffer_options options = unit_options();
    options.segment_bytes = 64 * UNIT_SEGMENT;
    aether_buffer *buffer = unit_buffer_with(options);
    for (uint64_t round = 0; round < 40; round++) {
        aether_cursor *slow = unit_open(buffer, AETHER_FROM_NEXT);
        expect_ok(unit_append(buffer, round * 1000 + 1, round * 1000 + 1000));
        aether_cursor_close(slow);
        ae_rcu_barrier();
        aether_buffer_stats stats = unit_stats(buffer);
        expect_number(unit_memory().bytes, sizeof *buffer + stats.in_use_bytes + stats.cached_bytes);
    }
    aether_buffer_destroy(buffer);
}

TEST(buffer_stats, BUF10_a_large_item_counts_with_its_own_segment)
{
    static const char payload[50000];
    aether_buffer *buffer = unit_buffer();
    expect_ok(aether_append(buffer, payload, sizeof payload));
    aether_buffer_stats stats = unit_stats(buffer);
    expect_number(1, stats.in_use_segments);
    expect_within(sizeof payload, sizeof payload + UNIT_SEGMENT, stats.in_use_bytes);
    expect_ok(unit_append(buffer, 2, 2));
    expect_number(UNIT_SEGMENT, unit_stats(buffer).in_use_bytes);
    aether_buffer_destroy(buffer);
}

TEST(buffer_stats, BUF10_cursors_are_those_that_are_open)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *a = unit_open(buffer, AETHER_FROM_NEXT), *b = unit_open(buffer, AETHER_FROM_OLDEST);
    expect_number(2, unit_stats(buffer).cursors);
    aether_cursor *c = aether_cursor_dup(a);
    expect_number(3, unit_stats(buffer).cursors);
    aether_cursor_close(a);
    aether_cursor_close(c);
    expect_number(1, unit_stats(buffer).cursors);
    expect_ok(unit_append(buffer, 1, 1000));
    expect_items(b, 1, 1000);
    expect_number(1, unit_stats(buffer).cursors);
    aether_cursor_close(b);
    expect_number(0, unit_stats(buffer).cursors);
    aether_buffer_destroy(buffer);
}

TEST(buffer_stats, BUF10_wakes_count_appends_that_found_a_sleeper)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursors[2] = {unit_open(buffer, AETHER_FROM_NEXT), unit_open(buffer, AETHER_FROM_NEXT)};
    for (uint64_t i = 1; i <= 3; i++) {
        struct unit_reader readers[2];
        cr_assert(unit_reader_put_to_sleep(&readers[0], cursors[0]));
        cr_assert(unit_reader_put_to_sleep(&readers[1], cursors[1]));
        expect_ok(unit_append(buffer, 2 * i - 1, 2 * i)); /* the second of the two finds nobody */
        expect_ok(unit_reader_join(&readers[0]));
        expect_ok(unit_reader_join(&readers[1]));
        expect_number(i, unit_stats(buffer).wakes);
        expect_items(cursors[0], 2 * i, 2 * i);
        expect_items(cursors[1], 2 * i, 2 * i);
    }
    aether_cursor_close(cursors[0]);
    aether_cursor_close(cursors[1]);
    aether_buffer_destroy(buffer);
}

TEST(buffer_stats, BUF10_an_ended_buffer_still_tells)
{
    aether_buffer *buffer = unit_buffer();
    expect_ok(unit_append(buffer, 1, 100));
    aether_buffer_stats before = unit_stats(buffer);
    expect_ok(aether_buffer_end(buffer, AETHER_OK));
    aether_buffer_stats after = unit_stats(buffer);
    cr_assert(memcmp(&before, &after, sizeof before) == 0);
    aether_buffer_destroy(buffer);
}

TEST(buffer_stats, BUF10_a_spliced_buffer_tells_of_its_own_items)
{
    aether_buffer *buffer = unit_buffer(), *other = unit_buffer();
    expect_ok(unit_append(buffer, 1, 100));
    aether_buffer_stats before = unit_stats(buffer);
    expect_ok(aether_buffer_splice(buffer, unit_open(other, AETHER_FROM_NEXT)));
    expect_ok(unit_append(other, 1, 500));
    aether_buffer_stats after = unit_stats(buffer);
    expect_number(before.items, after.items);
    expect_number(before.bytes, after.bytes);
    expect_number(before.retained_items, after.retained_items);
    expect_number(before.in_use_segments, after.in_use_segments);
    expect_position(UNIT_EPOCH, 100, after.newest);
    expect_position(UNIT_EPOCH, 100, aether_buffer_newest(buffer));
    expect_number(500, unit_stats(other).items);
    aether_buffer_destroy(buffer);
    aether_buffer_destroy(other);
}

TEST(buffer_stats, BUF10_newest_is_the_buffer_s_newest)
{
    aether_buffer_options options = unit_options();
    options.newest_index = 41;
    aether_buffer *buffer = unit_buffer_with(options);
    expect_position(UNIT_EPOCH, 41, aether_buffer_newest(buffer));
    expect_position(UNIT_EPOCH, 41, unit_stats(buffer).newest);
    expect_ok(unit_append(buffer, 42, 500));
    expect_position(UNIT_EPOCH, 500, aether_buffer_newest(buffer));
    expect_ok(aether_append_at(buffer, 1000, "x", 1));
    expect_position(UNIT_EPOCH, 1000, aether_buffer_newest(buffer));
    expect_ok(aether_buffer_end(buffer, AETHER_OK));
    expect_position(UNIT_EPOCH, 1000, aether_buffer_newest(buffer));
    aether_buffer_destroy(buffer);
}

/* ------------------------------------------------------------------------------------------------- beside the writer */

enum { ITEMS = 50000 };

static const char *write_all(void *user)
{
    claim(unit_append(user, 1, ITEMS) == AETHER_OK);
    return NULL;
}

static const char *look_often(void *user)
{
    aether_buffer_stats before = {.items = 0};
    while (before.items < ITEMS) {
        aether_buffer_stats stats;
        uint64_t newest = aether_buffer_newest(user).index;
        claim(aether_buffer_get_stats(user, &stats) == AETHER_OK);
        claim(stats.items >= before.items && stats.bytes >= before.bytes && stats.wakes >= before.wakes);
        claim(stats.items + 1 >= newest); /* `filled` may be one append behind */
        claim(stats.retained_items <= stats.items && stats.retained_bytes <= stats.bytes);
        claim(stats.newest.epoch == UNIT_EPOCH && stats.newest.index >= newest && stats.newest.index <= ITEMS);
        claim(stats.in_use_segments >= 1);
        before = stats;
    }
    return NULL;
}

TEST(buffer_stats, BUF10_figures_may_be_read_beside_the_writer)
{
    aether_buffer *buffer = unit_buffer();
    struct unit_thread writer, lookers[2];
    for (int i = 0; i < 2; i++)
        cr_assert(unit_thread_start(&lookers[i], 0, look_often, buffer));
    cr_assert(unit_thread_start(&writer, 0, write_all, buffer));
    expect_fine(unit_thread_join(&writer));
    for (int i = 0; i < 2; i++)
        expect_fine(unit_thread_join(&lookers[i]));
    aether_buffer_destroy(buffer);
}
