/* Cursors that may be lapped: what they miss is counted, what they hold back is bounded. */
#include "common/unit.h"

enum { LIMIT = 4 * UNIT_SEGMENT };

static aether_cursor *open_lap(aether_buffer *buffer, aether_start start, uint64_t limit)
{
    aether_cursor_options options = {.start = start, .on_limit = AETHER_LAP, .limit_bytes = limit};
    aether_cursor *cursor = aether_cursor_open_with(buffer, &options);
    cr_assert(cursor != NULL, "%s", aether_error());
    return cursor;
}

static aether_cursor_stats stats_of(aether_cursor *cursor)
{
    aether_cursor_stats stats;
    expect_ok(aether_cursor_get_stats(cursor, &stats));
    return stats;
}

/* Reads up to item `last`, adding up what is read and what is missed; everything is in order. */
static uint64_t read_all(aether_cursor *cursor, uint64_t first, uint64_t last, uint64_t *lags)
{
    uint64_t next = first, missed = 0;
    while (next <= last) {
        aether_item item;
        aether_status status = aether_cursor_next(cursor, &item, AETHER_NO_WAIT);
        if (status == AETHER_LAGGED) {
            uint64_t items = stats_of(cursor).missed_items;
            cr_assert(items > 0);
            missed += items;
            next += items;
            ++*lags;
            continue;
        }
        expect_ok(status);
        expect_number(next, item.index);
        cr_assert(unit_is_item(&item, next));
        next++;
    }
    expect_empty(cursor);
    expect_number(missed, stats_of(cursor).all_missed_items);
    expect_number(missed, stats_of(cursor).all_missed_events);
    return missed;
}

TEST(buffer_lap, BUF9_a_reader_within_its_limit_misses_nothing)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = open_lap(buffer, AETHER_FROM_NEXT, LIMIT);
    uint64_t lags = 0;
    for (uint64_t i = 0; i < 200; i++) {
        expect_ok(unit_append(buffer, i * 90 + 1, i * 90 + 90)); /* about 3 segments */
        expect_number(0, read_all(cursor, i * 90 + 1, i * 90 + 90, &lags));
        ae_buffer_check(buffer);
    }
    expect_number(0, lags);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_lap, BUF9_a_stuck_reader_learns_once_and_exactly_what_it_missed)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = open_lap(buffer, AETHER_FROM_NEXT, LIMIT);
    expect_ok(unit_append(buffer, 1, 10000));
    aether_buffer_stats stats = unit_stats(buffer);
    expect_within(5, 8, stats.in_use_segments); /* a segment has 768 bytes of room */
    expect_number(1, stats.lapped_segments);
    uint64_t lags = 0;
    uint64_t missed = read_all(cursor, 1, 10000, &lags);
    expect_number(1, lags);
    expect_within(9700, 9999, missed);
    expect_number(0, unit_stats(buffer).lapped_segments);
    expect_ok(unit_append(buffer, 10001, 10100));
    ae_buffer_check(buffer);
    expect_items(cursor, 10001, 10100);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_lap, BUF9_many_stuck_readers_pin_one_segment_each)
{
    enum { READERS = 20 };
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursors[READERS];
    for (uint64_t i = 0; i < READERS; i++) {
        cursors[i] = open_lap(buffer, AETHER_FROM_NEXT, LIMIT);
        expect_ok(unit_append(buffer, i * 200 + 1, i * 200 + 200));
    }
    expect_within(READERS, READERS + 7, unit_stats(buffer).in_use_segments);
    for (uint64_t i = 0; i < READERS; i++) {
        uint64_t lags = 0;
        read_all(cursors[i], i * 200 + 1, READERS * 200, &lags);
        expect_within(i < READERS - 2, 1, lags);
        aether_cursor_close(cursors[i]);
    }
    expect_number(0, unit_stats(buffer).lapped_segments);
    expect_ok(unit_append(buffer, READERS * 200 + 1, READERS * 200 + 1000));
    expect_number(1, unit_stats(buffer).in_use_segments);
    aether_buffer_destroy(buffer);
}

TEST(buffer_lap, BUF9_an_unlimited_reader_beside_it_keeps_everything_for_itself)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *all = unit_open(buffer, AETHER_FROM_NEXT);
    aether_cursor *lap = open_lap(buffer, AETHER_FROM_NEXT, LIMIT);
    expect_ok(unit_append(buffer, 1, 5000));
    uint64_t lags = 0;
    expect_within(4600, 5000, read_all(lap, 1, 5000, &lags)); /* its own limit, though the items are there */
    expect_number(1, lags);
    expect_items(all, 1, 5000);
    aether_cursor_close(all);
    aether_cursor_close(lap);
    aether_buffer_destroy(buffer);
}

TEST(buffer_lap, BUF9_the_largest_limit_decides_what_is_kept_and_each_reader_keeps_its_own)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *small = open_lap(buffer, AETHER_FROM_NEXT, LIMIT);
    aether_cursor *large = open_lap(buffer, AETHER_FROM_NEXT, 10 * LIMIT);
    expect_ok(unit_append(buffer, 1, 900));
    uint64_t lags = 0;
    expect_number(0, read_all(large, 1, 900, &lags));
    expect_number(0, lags);
    expect_within(600, 870, read_all(small, 1, 900, &lags));
    expect_number(1, lags);
    aether_cursor_close(small);
    aether_cursor_close(large);
    aether_buffer_destroy(buffer);
}

TEST(buffer_lap, BUF9_a_lapped_reader_reads_on_after_the_buffer_is_gone)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = open_lap(buffer, AETHER_FROM_NEXT, LIMIT);
    expect_ok(unit_append(buffer, 1, 2000));
    aether_buffer_destroy(buffer);
    aether_item item;
    uint64_t next = 1;
    aether_status status;
    while ((status = aether_cursor_next(cursor, &item, AETHER_NO_WAIT)) != AETHER_CLOSED)
        if (status == AETHER_LAGGED)
            next += stats_of(cursor).missed_items;
        else
            cr_assert(status == AETHER_OK && unit_is_item(&item, next++));
    expect_number(2001, next);
    aether_cursor_close(cursor);
    cr_assert(unit_memory_is_balanced());
}

TEST(buffer_lap, BUF9_a_splice_from_such_a_cursor_lets_the_live_buffer_lap)
{
    aether_buffer *live = unit_buffer(), *snapshot = unit_buffer();
    aether_cursor *at = open_lap(live, AETHER_FROM_NEXT, LIMIT);
    aether_cursor *first = unit_open(snapshot, AETHER_FROM_NEXT);
    aether_cursor *second = open_lap(snapshot, AETHER_FROM_NEXT, LIMIT);
    expect_ok(unit_append(snapshot, 1, 3));
    expect_ok(aether_buffer_splice(snapshot, at));
    expect_ok(unit_append(live, 1, 5000));
    expect_within(4, 8, unit_stats(live).in_use_segments);
    uint64_t lags = 0;
    expect_items(first, 1, 3);
    expect_within(4600, 5000, read_all(first, 1, 5000, &lags));
    expect_number(1, lags);
    expect_items(second, 1, 3);
    aether_buffer_destroy(snapshot);
    read_all(second, 1, 5000, &lags);
    expect_number(2, lags);
    aether_cursor_close(first);
    aether_cursor_close(second);
    aether_buffer_destroy(live);
    ae_rcu_barrier();
    cr_assert(unit_memory_is_balanced());
}

TEST(buffer_lap, BUF9_events_are_counted_as_well)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = open_lap(buffer, AETHER_FROM_NEXT, LIMIT);
    for (uint64_t i = 1; i <= 1000; i++) {
        aether_payload payload = {.data = "12345678", .size = 8, .events = i % 5};
        expect_ok(aether_append_batch(buffer, &payload, 1));
    }
    uint64_t seen = 0;
    aether_item item;
    aether_status status;
    while ((status = aether_cursor_next(cursor, &item, AETHER_NO_WAIT)) != AETHER_EMPTY)
        if (status == AETHER_OK) {
            expect_number(item.index % 5 == 0 ? 1 : item.index % 5, item.events);
            seen += item.events;
        }
    expect_number(unit_stats(buffer).events, seen + stats_of(cursor).all_missed_events);
    expect_number(1000 / 5 * (1 + 1 + 2 + 3 + 4), unit_stats(buffer).events);
    expect_number(1, stats_of(cursor).lags);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_lap, BUF9_an_item_above_the_limit_is_published_and_laps)
{
    static char large[4 * LIMIT];
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = open_lap(buffer, AETHER_FROM_NEXT, LIMIT);
    expect_ok(unit_append(buffer, 1, 100)); /* within the limit */
    expect_ok(aether_append(buffer, large, sizeof large));
    aether_item item;
    aether_status status;
    uint64_t next = 1;
    while ((status = aether_cursor_next(cursor, &item, AETHER_NO_WAIT)) == AETHER_OK)
        cr_assert(unit_is_item(&item, next++));
    expect_status(AETHER_LAGGED, status);
    expect_within(50, 101 - next, stats_of(cursor).missed_items); /* a few segments go with each roll */
    expect_items(cursor, next + stats_of(cursor).missed_items, 100);
    expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
    expect_number(101, item.index);
    expect_number(sizeof large, item.size);
    expect_empty(cursor);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_lap, BUF9_payloads_by_reference_count_against_the_limit)
{
    enum { SIZE = 600, ITEMS = 50 };
    static struct unit_release releases[ITEMS + 1];
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = open_lap(buffer, AETHER_FROM_NEXT, LIMIT);
    for (uint64_t i = 1; i <= ITEMS; i++)
        expect_ok(unit_append_reference(buffer, &releases[i], SIZE, i));
    aether_item item;
    aether_status status;
    uint64_t read = 0;
    while ((status = aether_cursor_next(cursor, &item, AETHER_NO_WAIT)) != AETHER_EMPTY)
        if (status == AETHER_OK) {
            cr_assert(unit_is_reference(&item, &releases[item.index]));
            read++;
        }
    expect_within(4, LIMIT / SIZE + 3, read);
    expect_number(ITEMS, read + stats_of(cursor).all_missed_items);
    expect_number(1, stats_of(cursor).lags);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_lap, BUF9_lagged_comes_once_for_each_time_that_the_limit_was_passed)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = open_lap(buffer, AETHER_FROM_NEXT, LIMIT);
    uint64_t last = 0, missed = 0, next = 1;
    for (uint64_t round = 1; round <= 30; round++) {
        expect_ok(unit_append(buffer, last + 1, last + 300));
        last += 300;
        uint64_t lags = 0;
        aether_item item;
        aether_status status;
        while ((status = aether_cursor_next(cursor, &item, AETHER_NO_WAIT)) != AETHER_EMPTY)
            if (status == AETHER_LAGGED) {
                lags++;
                missed += stats_of(cursor).missed_items;
                next += stats_of(cursor).missed_items;
            } else {
                expect_ok(status);
                cr_assert(unit_is_item(&item, next++));
            }
        expect_number(1, lags);
        expect_number(last + 1, next);
        expect_number(round, stats_of(cursor).lags);
        expect_number(missed, stats_of(cursor).all_missed_items);
    }
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_lap, BUF9_a_run_tells_it_and_hands_out_nothing_then)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = open_lap(buffer, AETHER_FROM_NEXT, LIMIT);
    expect_ok(unit_append(buffer, 1, 1000));
    aether_item items[100];
    size_t count = 7;
    uint64_t next = 1, lags = 0;
    for (;;) {
        aether_status status = aether_cursor_run(cursor, items, 100, &count, AETHER_NO_WAIT);
        if (status == AETHER_EMPTY)
            break;
        if (status == AETHER_LAGGED) {
            expect_number(0, count);
            lags++;
            next += stats_of(cursor).missed_items;
        }
        for (size_t i = 0; i < count; i++)
            cr_assert(unit_is_item(&items[i], next++));
    }
    expect_number(1001, next);
    expect_number(1, lags);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_lap, BUF9_what_a_lapped_reader_was_handed_out_stays_until_its_next_call)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = open_lap(buffer, AETHER_FROM_NEXT, LIMIT);
    expect_ok(unit_append(buffer, 1, 20));
    aether_item items[20];
    size_t count;
    expect_ok(aether_cursor_run(cursor, items, 20, &count, AETHER_NO_WAIT));
    expect_ok(unit_append(buffer, 21, 5000));
    for (uint64_t i = 1; i <= count; i++)
        cr_assert(unit_is_item(&items[i - 1], i));
    expect_position(UNIT_EPOCH, count, aether_cursor_position(cursor));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_lap, BUF9_the_position_after_a_lag_is_still_that_of_the_last_item)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = open_lap(buffer, AETHER_FROM_NEXT, LIMIT);
    expect_ok(unit_append(buffer, 1, 2000));
    uint64_t last = 0;
    aether_item item;
    aether_status status;
    while ((status = aether_cursor_next(cursor, &item, AETHER_NO_WAIT)) == AETHER_OK)
        last = item.index;
    expect_status(AETHER_LAGGED, status);
    expect_position(UNIT_EPOCH, last, aether_cursor_position(cursor));
    expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
    expect_number(last + stats_of(cursor).missed_items + 1, item.index);
    expect_position(UNIT_EPOCH, item.index, aether_cursor_position(cursor));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_lap, BUF9_a_twin_has_the_same_limit_and_counts_for_itself)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = open_lap(buffer, AETHER_FROM_NEXT, LIMIT);
    expect_ok(unit_append(buffer, 1, 1000));
    uint64_t lags = 0, twin_lags = 0;
    read_all(cursor, 1, 1000, &lags);
    expect_number(1, lags);
    aether_cursor *twin = aether_cursor_dup(cursor);
    expect_number(0, stats_of(twin).lags);
    expect_number(0, stats_of(twin).all_missed_items);
    expect_ok(unit_append(buffer, 1001, 2000));
    uint64_t missed = read_all(twin, 1001, 2000, &twin_lags);
    expect_number(1, twin_lags);
    cr_assert(missed > 500);
    aether_cursor *lapped = aether_cursor_dup(cursor); /* of one that has been lapped, and does not know yet */
    aether_cursor_close(cursor);
    expect_number(missed, read_all(lapped, 1001, 2000, &twin_lags));
    aether_cursor_close(twin);
    aether_cursor_close(lapped);
    expect_number(0, unit_stats(buffer).lapped_segments);
    aether_buffer_destroy(buffer);
}

TEST(buffer_lap, BUF9_the_buffer_s_own_limit_laps_by_default)
{
    aether_buffer_options options = unit_options();
    options.limit_bytes = LIMIT;
    aether_buffer *buffer = unit_buffer_with(options);
    aether_cursor *plain = unit_open(buffer, AETHER_FROM_NEXT);
    aether_cursor *with = unit_open_with(buffer, (aether_cursor_options){0});
    aether_cursor *more = unit_open_with(buffer, (aether_cursor_options){.limit_bytes = 100 * LIMIT});
    expect_ok(unit_append(buffer, 1, 2000));
    uint64_t lags = 0;
    read_all(plain, 1, 2000, &lags);
    read_all(with, 1, 2000, &lags);
    expect_number(2, lags);
    expect_items(more, 1, 2000);
    aether_cursor_close(plain);
    aether_cursor_close(with);
    aether_cursor_close(more);
    aether_buffer_destroy(buffer);
}

TEST(buffer_lap, BUF9_a_closed_cursor_holds_nothing_back)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = open_lap(buffer, AETHER_FROM_NEXT, 20 * LIMIT);
    expect_ok(unit_append(buffer, 1, 10000));
    cr_assert(unit_stats(buffer).in_use_segments > 60);
    aether_cursor_close(cursor);
    expect_ok(unit_append(buffer, 10001, 20000)); /* a few go with each roll */
    expect_number(1, unit_stats(buffer).in_use_segments);
    aether_buffer_destroy(buffer);
}

TEST(buffer_lap, BUF6_a_lapped_reader_comes_to_the_end)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = open_lap(buffer, AETHER_FROM_NEXT, LIMIT);
    expect_ok(unit_append(buffer, 1, 2000));
    expect_ok(aether_buffer_end(buffer, AETHER_FAILED));
    uint64_t seen = 0;
    aether_status status;
    while ((status = unit_next(cursor)) != AETHER_FAILED)
        seen += status == AETHER_OK;
    expect_number(2000, seen + stats_of(cursor).all_missed_items);
    expect_number(1, stats_of(cursor).lags);
    expect_status(AETHER_FAILED, unit_next(cursor));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_lap, BUF6_a_reader_that_is_lapped_before_a_splice_goes_over_it)
{
    aether_buffer *snapshot = unit_buffer(), *live = unit_buffer();
    aether_cursor *cursor = open_lap(snapshot, AETHER_FROM_NEXT, LIMIT);
    expect_ok(unit_append(snapshot, 1, 2000));
    expect_ok(aether_buffer_splice(snapshot, unit_open(live, AETHER_FROM_NEXT)));
    expect_ok(unit_append(live, 1, 20));
    uint64_t next = 1, lags = 0;
    while (next <= 2000) {
        aether_item item;
        aether_status status = aether_cursor_next(cursor, &item, AETHER_NO_WAIT);
        if (status == AETHER_LAGGED) {
            next += stats_of(cursor).missed_items;
            lags++;
        } else {
            cr_assert(status == AETHER_OK && unit_is_item(&item, next++));
        }
    }
    expect_number(1, lags);
    expect_items(cursor, 1, 20);
    expect_empty(cursor);
    aether_buffer_destroy(snapshot);
    aether_cursor_close(cursor);
    aether_buffer_destroy(live);
}

TEST(buffer_lap, BUF9_one_that_may_be_lapped_does_not_keep_others_from_refusing_or_waiting)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *lap = open_lap(buffer, AETHER_FROM_NEXT, LIMIT);
    aether_cursor *refuse = unit_open_limit(buffer, AETHER_REFUSE, 3 * LIMIT, NULL);
    uint64_t failed;
    expect_status(AETHER_FULL, unit_append_until(buffer, 1, &failed));
    expect_items(refuse, 1, failed - 1);
    uint64_t lags = 0;
    read_all(lap, 1, failed - 1, &lags);
    expect_number(1, lags);
    aether_cursor_close(refuse);
    expect_ok(unit_append(buffer, failed, failed + 1000));
    aether_cursor_close(lap);
    aether_buffer_destroy(buffer);
}

static const char *write_much(void *user)
{
    claim(unit_append(user, 1, 100000) == AETHER_OK);
    return NULL;
}

TEST(buffer_lap, BUF9_beside_the_writer_read_and_missed_are_all_items_in_order)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = open_lap(buffer, AETHER_FROM_NEXT, LIMIT);
    struct unit_thread writer;
    cr_assert(unit_thread_start(&writer, 0, write_much, buffer));
    for (uint64_t next = 1; next <= 100000;) {
        aether_item item;
        aether_status status = aether_cursor_next(cursor, &item, AETHER_FOREVER);
        if (status == AETHER_LAGGED)
            next += stats_of(cursor).missed_items;
        else
            cr_assert(status == AETHER_OK && unit_is_item(&item, next++));
    }
    expect_fine(unit_thread_join(&writer));
    expect_empty(cursor);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}
