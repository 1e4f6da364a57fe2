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

/* -------------------------------------------------------------------------------------------------- slowest cursor */

enum { LIMIT = 4 * UNIT_SEGMENT };

static void expect_slowest(aether_buffer *buffer, const char *label, aether_on_limit on_limit, uint32_t of)
{
    aether_buffer_stats stats = unit_stats(buffer);
    cr_assert(strcmp(stats.slowest_label, label) == 0, "\"%s\" instead of \"%s\"", stats.slowest_label, label);
    expect_number(on_limit, stats.slowest_on_limit);
    expect_number(of, stats.slowest_of);
}

TEST(buffer_stats, BUF10_without_a_cursor_that_is_looked_at_nobody_is_the_slowest)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *plain = unit_open(buffer, AETHER_FROM_NEXT);
    aether_cursor *lap = unit_open_limit(buffer, AETHER_LAP, LIMIT, NULL);
    aether_cursor *nameless = unit_open_limit(buffer, AETHER_WAIT, AETHER_UNLIMITED, "");
    expect_ok(unit_append(buffer, 1, 1000));
    expect_slowest(buffer, "", 0, 0);
    expect_number(0, unit_stats(buffer).slowest_items);
    expect_number(0, unit_stats(buffer).slowest_bytes);
    aether_cursor_close(plain);
    aether_cursor_close(lap);
    aether_cursor_close(nameless);
    aether_buffer_destroy(buffer);
}

TEST(buffer_stats, BUF10_the_slowest_is_the_one_that_is_behind_the_most)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *named = unit_open_limit(buffer, 0, AETHER_UNLIMITED, "named");
    aether_cursor *lap = unit_open_limit(buffer, AETHER_LAP, 100 * LIMIT, "lap");
    aether_cursor *wait = unit_open_limit(buffer, AETHER_WAIT, 100 * LIMIT, "wait");
    aether_cursor *refuse = unit_open_limit(buffer, AETHER_REFUSE, 100 * LIMIT, NULL);
    expect_ok(unit_append(buffer, 1, 1000));
    expect_number(1000, unit_stats(buffer).slowest_items);
    expect_number(unit_stats(buffer).bytes, unit_stats(buffer).slowest_bytes);
    expect_items(lap, 1, 600);
    expect_items(wait, 1, 900);
    expect_items(refuse, 1, 300);
    expect_slowest(buffer, "named", 0, 4);
    expect_items(named, 1, 700);
    expect_slowest(buffer, "", AETHER_REFUSE, 4);
    expect_items(refuse, 301, 1000);
    expect_slowest(buffer, "lap", AETHER_LAP, 4);
    expect_items(lap, 601, 1000);
    expect_items(named, 701, 1000);
    expect_slowest(buffer, "wait", AETHER_WAIT, 4);
    aether_cursor_close(lap);
    aether_cursor_close(wait);
    aether_cursor_close(refuse);
    expect_slowest(buffer, "named", 0, 1);
    aether_cursor_close(named);
    expect_slowest(buffer, "", 0, 0);
    aether_buffer_destroy(buffer);
}

TEST(buffer_stats, BUF10_the_slowest_is_behind_by_no_more_than_is_said)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open_limit(buffer, 0, AETHER_UNLIMITED, "named");
    expect_ok(unit_append(buffer, 1, 2000));
    for (uint64_t i = 1; i <= 2000; i++) {
        expect_items(cursor, i, i);
        expect_within(2000 - i, 2000 - i + UNIT_SEGMENT / AE_SLOT_HEADER, unit_stats(buffer).slowest_items);
        expect_within(0, unit_stats(buffer).bytes, unit_stats(buffer).slowest_bytes);
    }
    expect_empty(cursor);
    expect_number(0, unit_stats(buffer).slowest_items);
    expect_number(0, unit_stats(buffer).slowest_bytes);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_stats, BUF10_a_twin_is_named_as_well)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open_limit(buffer, AETHER_LAP, LIMIT, "first");
    aether_cursor *twin = aether_cursor_dup(cursor);
    expect_ok(unit_append(buffer, 1, 20));
    expect_slowest(buffer, "first", AETHER_LAP, 2);
    aether_cursor_close(cursor);
    expect_slowest(buffer, "first", AETHER_LAP, 1);
    expect_number(20, unit_stats(buffer).slowest_items);
    aether_cursor_close(twin);
    aether_buffer_destroy(buffer);
}

TEST(buffer_stats, BUF10_a_lapped_one_is_as_far_behind_as_it_is)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open_limit(buffer, AETHER_LAP, LIMIT, "lap");
    expect_ok(unit_append(buffer, 1, 5000));
    expect_number(1, unit_stats(buffer).lapped_segments);
    expect_number(5000, unit_stats(buffer).slowest_items);
    while (unit_next(cursor) == AETHER_OK)
        ;
    expect_number(0, unit_stats(buffer).lapped_segments);
    expect_within(0, 400, unit_stats(buffer).slowest_items);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_stats, BUF10_a_named_cursor_is_looked_at_where_a_splice_leads_it)
{
    aether_buffer *snapshot = unit_buffer(), *live = unit_buffer();
    aether_cursor *cursor = unit_open_limit(snapshot, 0, AETHER_UNLIMITED, "watcher");
    expect_ok(unit_append(snapshot, 1, 10));
    expect_ok(unit_append(live, 1, 3));
    expect_ok(aether_buffer_splice(snapshot, unit_open(live, AETHER_FROM_NEXT)));
    expect_ok(unit_append(live, 4, 100));
    expect_slowest(live, "", 0, 0);
    expect_items(cursor, 1, 10);
    expect_slowest(snapshot, "watcher", 0, 1);
    expect_items(cursor, 4, 4);
    expect_slowest(snapshot, "", 0, 0);
    expect_slowest(live, "watcher", 0, 1);
    expect_within(96, 97, unit_stats(live).slowest_items);
    aether_cursor_close(cursor);
    expect_slowest(live, "", 0, 0);
    aether_buffer_destroy(snapshot);
    aether_buffer_destroy(live);
}

/* ---------------------------------------------------------------------------------------------------------- a cursor's */

TEST(buffer_stats, BUF10_a_cursor_s_lag_is_what_is_published_and_not_read)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    for (uint64_t i = 1; i <= 1000; i++) {
        expect_ok(unit_append(buffer, i, i));
        if (i % 3 == 0)
            expect_items(cursor, i / 3, i / 3);
        aether_cursor_stats stats = unit_cursor_stats(cursor);
        expect_number(i - i / 3, stats.lag_items);
        expect_number(i - i / 3, stats.lag_events);
        expect_position(UNIT_EPOCH, i / 3, stats.position);
        expect_number(0, stats.missed_items + stats.missed_events + stats.all_missed_items + stats.all_missed_events);
        expect_number(0, stats.lags);
    }
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_stats, BUF10_a_cursor_s_lag_is_told_after_the_end_and_is_zero_when_the_buffer_is_gone)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 100));
    expect_ok(aether_buffer_end(buffer, AETHER_OK));
    expect_number(100, unit_cursor_stats(cursor).lag_items);
    expect_items(cursor, 1, 40);
    expect_number(60, unit_cursor_stats(cursor).lag_items);
    aether_buffer_destroy(buffer);
    expect_number(0, unit_cursor_stats(cursor).lag_items);
    expect_items(cursor, 41, 100);
    aether_cursor_close(cursor);
}

TEST(buffer_stats, BUF6_a_cursor_s_lag_is_of_the_buffer_that_it_stands_in)
{
    aether_buffer *snapshot = unit_buffer(), *live = unit_buffer();
    aether_cursor *cursor = unit_open(snapshot, AETHER_FROM_NEXT);
    expect_ok(unit_append(snapshot, 1, 10));
    expect_ok(aether_buffer_splice(snapshot, unit_open(live, AETHER_FROM_NEXT)));
    expect_ok(unit_append(live, 1, 500));
    expect_number(10, unit_cursor_stats(cursor).lag_items);
    expect_items(cursor, 1, 10);
    expect_number(0, unit_cursor_stats(cursor).lag_items);
    expect_items(cursor, 1, 1);
    expect_number(499, unit_cursor_stats(cursor).lag_items);
    aether_cursor_close(cursor);
    aether_buffer_destroy(snapshot);
    aether_buffer_destroy(live);
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
