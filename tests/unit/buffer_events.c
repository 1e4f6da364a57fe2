/* Items that are several events: under one index, counted as many. */
#include "common/unit.h"

static aether_status append_events(aether_buffer *buffer, uint64_t i, uint64_t index, uint64_t events)
{
    unsigned char bytes[64];
    unit_fill(bytes, unit_size(i), i);
    aether_payload payload = {.data = bytes, .size = unit_size(i), .index = index, .events = events};
    return aether_append_batch(buffer, &payload, 1);
}

static void expect_item(aether_cursor *cursor, uint64_t i, uint64_t index, uint64_t events)
{
    aether_item item;
    expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
    expect_number(index, item.index);
    expect_number(events, item.events);
    expect_number(unit_size(i), item.size);
    cr_assert((uintptr_t)item.data % 8 == 0 && unit_is_filled(item.data, item.size, i));
    expect_position(UNIT_EPOCH, index, aether_cursor_position(cursor));
}

TEST(buffer_events, BUF2_an_item_of_several_events_is_one_item_under_one_index)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    for (uint64_t i = 1; i <= 1000; i++)
        expect_ok(append_events(buffer, i, 0, i % 7));
    for (uint64_t i = 1; i <= 1000; i++)
        expect_item(cursor, i, i, i % 7 == 0 ? 1 : i % 7);
    expect_empty(cursor);
    expect_number(1000, unit_stats(buffer).items);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_events, BUF2_items_without_a_number_are_one_event_each)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 2));
    expect_ok(append_events(buffer, 3, 3, 0));
    expect_ok(append_events(buffer, 4, 4, 1));
    expect_ok(aether_append_at(buffer, 10, NULL, 0));
    expect_ok(aether_append_array(buffer, "12", 1, 2));
    aether_item items[7];
    size_t count;
    expect_ok(aether_cursor_run(cursor, items, 7, &count, AETHER_NO_WAIT));
    expect_number(7, count);
    for (size_t i = 0; i < count; i++)
        expect_number(1, items[i].events);
    expect_number(7, unit_stats(buffer).events);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_events, BUF7_events_and_indexes_with_holes_mix)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    uint64_t index[601] = {0}, newest = 0;
    for (uint64_t i = 1; i <= 600; i++) {
        newest = index[i] = i % 5 == 0 ? newest + 100 : newest + 1;
        expect_ok(append_events(buffer, i, i % 3 == 0 || i % 5 == 0 ? newest : 0, i % 4));
        ae_buffer_check(buffer);
    }
    for (uint64_t i = 1; i <= 600; i++)
        expect_item(cursor, i, index[i], i % 4 == 0 ? 1 : i % 4);
    expect_position(UNIT_EPOCH, newest, aether_buffer_newest(buffer));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_events, BUF2_a_run_hands_out_items_of_all_forms)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 3));
    expect_ok(append_events(buffer, 4, 0, 5));
    expect_ok(unit_append(buffer, 5, 6));
    expect_ok(append_events(buffer, 7, 7, 6));
    aether_item items[10];
    size_t count;
    expect_ok(aether_cursor_run(cursor, items, 10, &count, AETHER_NO_WAIT));
    expect_number(7, count);
    for (uint64_t i = 1; i <= count; i++) {
        cr_assert(unit_is_item(&items[i - 1], i));
        expect_number(i == 4 ? 5 : i == 7 ? 6 : 1, items[i - 1].events);
    }
    expect_position(UNIT_EPOCH, 7, aether_cursor_position(cursor));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_events, BUF2_an_empty_item_may_be_several_events)
{
    aether_payload payload = {.events = 9};
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(aether_append_batch(buffer, &payload, 1));
    aether_item item;
    expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
    expect_number(9, item.events);
    expect_number(0, item.size);
    cr_assert(item.data != NULL);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_events, BUF10_events_are_counted_in_sum_and_in_what_is_retained)
{
    aether_buffer_options options = unit_options();
    options.retain_items = 100;
    aether_buffer *buffer = unit_buffer_with(options);
    uint64_t events = 0;
    for (uint64_t i = 1; i <= 1000; i++) {
        expect_ok(append_events(buffer, i, 0, i % 7));
        events += i % 7 == 0 ? 1 : i % 7;
        aether_buffer_stats stats = unit_stats(buffer);
        expect_number(events, stats.events);
        aether_cursor *cursor = unit_open(buffer, AETHER_FROM_OLDEST);
        uint64_t retained = 0;
        for (aether_item item; aether_cursor_next(cursor, &item, AETHER_NO_WAIT) == AETHER_OK;)
            retained += item.events;
        expect_number(retained, stats.retained_events);
        aether_cursor_close(cursor);
    }
    aether_buffer_destroy(buffer);
}

TEST(buffer_events, BUF10_a_cursor_s_lag_is_told_in_items_and_events)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    uint64_t all = 0, read = 0;
    for (uint64_t i = 1; i <= 300; i++) {
        expect_ok(append_events(buffer, i, 0, i % 7));
        all += i % 7 == 0 ? 1 : i % 7;
        aether_cursor_stats stats = unit_cursor_stats(cursor);
        expect_number(i, stats.lag_items);
        expect_number(all, stats.lag_events);
    }
    for (uint64_t i = 1; i <= 300; i++) {
        expect_item(cursor, i, i, i % 7 == 0 ? 1 : i % 7);
        read += i % 7 == 0 ? 1 : i % 7;
        aether_cursor_stats stats = unit_cursor_stats(cursor);
        expect_number(300 - i, stats.lag_items);
        expect_number(all - read, stats.lag_events);
        expect_position(UNIT_EPOCH, i, stats.position);
    }
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_events, BUF2_the_most_events_of_an_item_are_taken_and_one_more_is_refused)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(append_events(buffer, 1, 0, AETHER_EVENTS_MAX));
    expect_ok(append_events(buffer, 2, 0, AETHER_EVENTS_MAX));
    aether_buffer_stats before = unit_stats(buffer);
    expect_number(2 * (uint64_t)AETHER_EVENTS_MAX, before.events);
    expect_refused(AETHER_TOO_LARGE, "aether_append_batch: item 0 has 4294967296 events, more than 4294967295",
                   append_events(buffer, 3, 0, (uint64_t)AETHER_EVENTS_MAX + 1));
    expect_status(AETHER_TOO_LARGE, append_events(buffer, 3, 0, UINT64_MAX));
    aether_payload batch[] = {{.data = "x", .size = 1}, {.data = "y", .size = 1, .events = UINT64_MAX}};
    expect_refused(AETHER_TOO_LARGE, "item 1 has 18446744073709551615 events", aether_append_batch(buffer, batch, 2));
    expect_nothing_written(before, buffer);
    expect_number(2 * (uint64_t)AETHER_EVENTS_MAX, unit_cursor_stats(cursor).lag_events);
    expect_item(cursor, 1, 1, AETHER_EVENTS_MAX);
    expect_item(cursor, 2, 2, AETHER_EVENTS_MAX);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_events, BUF2_a_batch_that_fails_counts_nothing)
{
    aether_buffer *buffer = unit_buffer();
    aether_payload batch[] = {{.data = "x", .size = 1, .events = 5}, {.data = NULL, .size = 1, .events = 5}};
    aether_buffer_stats before = unit_stats(buffer);
    expect_status(AETHER_INVALID, aether_append_batch(buffer, batch, 2));
    expect_nothing_written(before, buffer);
    expect_ok(append_events(buffer, 1, 0, 3));
    expect_number(3, unit_stats(buffer).events);
    aether_buffer_destroy(buffer);
}

TEST(buffer_events, BUF7_positions_are_found_among_items_of_all_forms)
{
    aether_buffer_options options = unit_options();
    options.retain_items = UINT64_MAX;
    aether_buffer *buffer = unit_buffer_with(options);
    for (uint64_t i = 1; i <= 300; i++)
        expect_ok(append_events(buffer, i, 0, i % 3));
    for (uint64_t i = 1; i <= 300; i++) {
        aether_cursor *cursor = unit_open_with(buffer, (aether_cursor_options){.start = AETHER_FROM_AT, .position = {0, i}});
        expect_item(cursor, i, i, i % 3 == 2 ? 2 : 1);
        aether_cursor_close(cursor);
    }
    aether_buffer_destroy(buffer);
}

TEST(buffer_events, BUF6_events_go_on_behind_a_splice)
{
    aether_buffer *snapshot = unit_buffer(), *live = unit_buffer();
    aether_cursor *cursor = unit_open(snapshot, AETHER_FROM_NEXT);
    expect_ok(append_events(snapshot, 1, 0, 4));
    expect_ok(append_events(live, 1, 0, 10));
    expect_ok(aether_buffer_splice(snapshot, unit_open(live, AETHER_FROM_OLDEST)));
    expect_ok(append_events(live, 2, 0, 20));
    expect_item(cursor, 1, 1, 4);
    expect_item(cursor, 1, 1, 10);
    expect_number(20, unit_cursor_stats(cursor).lag_events);
    expect_item(cursor, 2, 2, 20);
    expect_number(4, unit_stats(snapshot).events);
    expect_number(30, unit_stats(live).events);
    aether_cursor_close(cursor);
    aether_buffer_destroy(snapshot);
    aether_buffer_destroy(live);
}

TEST(buffer_events, BUF9_a_lapped_reader_that_enters_in_the_middle_of_a_splice_counts_its_events)
{
    enum { LIMIT = 4 * UNIT_SEGMENT, ITEMS = 1000 };
    aether_buffer *snapshot = unit_buffer(), *live = unit_buffer();
    aether_cursor *cursor = unit_open_limit(snapshot, AETHER_LAP, LIMIT, NULL);
    uint64_t before = 0, all = 0, seen = 0;
    for (uint64_t i = 1; i <= 5; i++) {
        expect_ok(append_events(live, i, 0, i));
        before += i;
    }
    expect_ok(aether_buffer_splice(snapshot, unit_open_limit(live, AETHER_LAP, LIMIT, NULL)));
    for (uint64_t i = 6; i <= ITEMS; i++) {
        expect_ok(append_events(live, i, 0, i % 10 + 1));
        all += i % 10 + 1;
    }
    aether_item item;
    aether_status status;
    while ((status = aether_cursor_next(cursor, &item, AETHER_NO_WAIT)) != AETHER_EMPTY)
        if (status == AETHER_OK)
            seen += item.events;
    aether_cursor_stats stats = unit_cursor_stats(cursor);
    expect_within(1, 2, stats.lags);
    expect_number(all, seen + stats.all_missed_events);
    expect_number(before + all, unit_stats(live).events);
    aether_cursor_close(cursor);
    aether_buffer_destroy(snapshot);
    aether_buffer_destroy(live);
}
