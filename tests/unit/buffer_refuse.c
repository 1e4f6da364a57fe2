/* Cursors with a limit at which append refuses: when it does, that nothing changes, and what ends it. */
#include "common/unit.h"

enum { LIMIT = 4 * UNIT_SEGMENT };

static char payload[16 * UNIT_SEGMENT]; /* more than any segment and limit here */

/* A buffer with such a cursor at its limit; the next item would be *next. */
static aether_buffer *fill_up(aether_cursor **cursor, uint64_t *next)
{
    aether_buffer *buffer = unit_buffer();
    *cursor = unit_open_limit(buffer, AETHER_REFUSE, LIMIT, NULL);
    expect_status(AETHER_FULL, unit_append_until(buffer, 1, next));
    return buffer;
}

static void read_until_empty(aether_cursor *cursor)
{
    while (unit_next(cursor) == AETHER_OK)
        ;
    expect_empty(cursor);
}

TEST(buffer_refuse, BUF9_append_is_refused_at_the_limit_and_nothing_changes)
{
    aether_cursor *cursor;
    uint64_t next;
    aether_buffer *buffer = fill_up(&cursor, &next);
    aether_buffer_stats before = unit_stats(buffer);
    uint64_t blocks = unit_memory().blocks;
    for (int again = 0; again < 5; again++)
        expect_refused(AETHER_FULL, "aether_append: the cursor without a label has as much unread as it may, 4096 bytes",
                       unit_append(buffer, next, next));
    expect_nothing_written(before, buffer);
    expect_number(blocks, unit_memory().blocks);
    expect_items(cursor, 1, next - 1);
    expect_empty(cursor);
    expect_ok(unit_append(buffer, next, next));
    expect_items(cursor, next, next);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_refuse, BUF9_the_limit_acts_a_segment_early_at_the_most)
{
    aether_cursor *cursor;
    uint64_t next;
    aether_buffer *buffer = fill_up(&cursor, &next);
    expect_within(LIMIT - 2 * UNIT_SEGMENT, LIMIT, unit_stats(buffer).bytes);
    expect_within(3, 5, unit_stats(buffer).in_use_segments);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_refuse, BUF9_unread_bytes_never_pass_the_limit_by_more_than_the_reader_s_segment)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open_limit(buffer, AETHER_REFUSE, LIMIT, NULL);
    uint64_t next = 1, read = 0, read_bytes = 0;
    for (int round = 0; round < 300; round++) {
        expect_status(AETHER_FULL, unit_append_until(buffer, next, &next));
        expect_within(LIMIT - 2 * UNIT_SEGMENT, LIMIT + UNIT_SEGMENT, unit_stats(buffer).bytes - read_bytes);
        for (int i = 0; i <= round % 50; i++, read++) { /* now less than a segment, now more */
            expect_items(cursor, read + 1, read + 1);
            read_bytes += ae_step(unit_size(read + 1));
        }
    }
    expect_items(cursor, read + 1, next - 1);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_refuse, BUF9_what_is_read_to_the_end_is_not_unread)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open_limit(buffer, AETHER_REFUSE, LIMIT, NULL);
    for (uint64_t i = 1; i <= 20000; i += 20) {
        expect_ok(unit_append(buffer, i, i + 19));
        expect_items(cursor, i, i + 19);
        expect_empty(cursor);
    }
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_refuse, BUF9_a_reader_that_follows_without_looking_for_more_is_known_by_segments)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open_limit(buffer, AETHER_REFUSE, LIMIT, NULL);
    for (uint64_t i = 1; i <= 20000; i += 20) {
        expect_ok(unit_append(buffer, i, i + 19));
        expect_items(cursor, i, i + 19); /* never as far as AETHER_EMPTY */
    }
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_refuse, BUF9_a_run_makes_room_as_next_does)
{
    aether_cursor *cursor;
    uint64_t next, read = 0;
    aether_buffer *buffer = fill_up(&cursor, &next);
    aether_item items[1000];
    size_t count;
    while (aether_cursor_run(cursor, items, 1000, &count, AETHER_NO_WAIT) == AETHER_OK)
        read += count;
    expect_number(next - 1, read);
    expect_ok(unit_append(buffer, next, next + 100));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_refuse, BUF9_an_item_that_still_fits_into_the_segment_is_taken)
{
    aether_cursor *cursor;
    uint64_t next;
    aether_buffer *buffer = fill_up(&cursor, &next);
    uint64_t failed = next;
    expect_status(AETHER_FULL, aether_append(buffer, payload, 500));
    while (ae_buffer_room(buffer) >= AE_SLOT_HEADER)
        expect_ok(aether_append(buffer, NULL, 0));
    expect_status(AETHER_FULL, aether_append(buffer, NULL, 0));
    expect_items(cursor, 1, failed - 1);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_refuse, BUF9_every_call_that_needs_room_is_refused)
{
    aether_cursor *cursor;
    uint64_t next;
    aether_buffer *buffer = fill_up(&cursor, &next);
    aether_buffer_stats before = unit_stats(buffer);
    aether_payload batch[] = {{.data = payload, .size = 300}, {.data = payload, .size = 300}};
    static const char text[] = "has as much unread as it may";
    void *data;
    expect_refused(AETHER_FULL, text, aether_append(buffer, payload, 600));
    expect_refused(AETHER_FULL, text, aether_append_at(buffer, next + 1000, payload, 600));
    expect_refused(AETHER_FULL, text, aether_append_batch(buffer, batch, 2));
    expect_refused(AETHER_FULL, text, aether_append_array(buffer, payload, 100, 6));
    expect_refused(AETHER_FULL, text, aether_reserve(buffer, 600, &data));
    expect_refused(AETHER_FULL, text, aether_buffer_trim(buffer));
    expect_nothing_written(before, buffer);
    expect_refused(AETHER_INVALID, "nothing is reserved", aether_commit(buffer, 0));
    expect_ok(aether_append_batch(buffer, NULL, 0));
    read_until_empty(cursor);
    expect_ok(aether_reserve(buffer, 600, &data));
    expect_ok(aether_abandon(buffer));
    expect_ok(aether_buffer_trim(buffer));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_refuse, BUF9_the_end_a_splice_and_destroy_ask_nobody)
{
    aether_cursor *cursor, *spliced;
    uint64_t next, last;
    aether_buffer *buffer = fill_up(&cursor, &next), *other = fill_up(&spliced, &last), *target = unit_buffer();
    expect_ok(aether_buffer_end(buffer, AETHER_RESET));
    expect_items(cursor, 1, next - 1);
    expect_status(AETHER_RESET, unit_next(cursor));
    expect_refused(AETHER_ENDED, "ended or spliced", unit_append(buffer, next, next));
    expect_ok(aether_buffer_splice(other, unit_open(target, AETHER_FROM_NEXT)));
    expect_items(spliced, 1, last - 1);
    expect_empty(spliced);
    aether_buffer_destroy(other);
    aether_cursor_close(spliced);
    expect_status(AETHER_OK, unit_append(target, 1, 1));
    aether_buffer_destroy(target);
    aether_buffer *gone = fill_up(&spliced, &last);
    aether_buffer_destroy(gone);
    expect_items(spliced, 1, last - 1);
    expect_status(AETHER_CLOSED, unit_next(spliced));
    aether_cursor_close(spliced);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

/* ---------------------------------------------------------------------------------------------------------- too large */

TEST(buffer_refuse, BUF9_an_item_as_large_as_the_limit_is_taken_when_all_is_read)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open_limit(buffer, AETHER_REFUSE, LIMIT, NULL);
    aether_item item;
    for (int again = 0; again < 3; again++) {
        expect_ok(aether_append(buffer, payload, LIMIT - AE_SLOT_HEADER));
        expect_status(AETHER_FULL, aether_append(buffer, payload, LIMIT - AE_SLOT_HEADER));
        expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
        expect_number(LIMIT - AE_SLOT_HEADER, item.size);
        expect_empty(cursor);
    }
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

static void expect_too_large(aether_buffer *buffer)
{
    static struct unit_release release;
    static char far[LIMIT + 1];
    aether_payload batch[] = {{.data = payload, .size = LIMIT / 2}, {.data = payload, .size = LIMIT / 2}};
    aether_payload reference = unit_by_reference(&release, 1000, 1);
    reference.data = far;
    reference.size = sizeof far;
    void *data;
    aether_buffer_stats before = unit_stats(buffer);
    static const char text[] = "bytes at once are over the limit of 4096 of the cursor small";
    expect_refused(AETHER_TOO_LARGE, text, aether_append(buffer, payload, LIMIT - AE_SLOT_HEADER + 1));
    expect_refused(AETHER_TOO_LARGE, text, aether_append_at(buffer, 10000, payload, LIMIT));
    expect_refused(AETHER_TOO_LARGE, text, aether_append_batch(buffer, batch, 2));
    expect_refused(AETHER_TOO_LARGE, text, aether_append_array(buffer, payload, 120, LIMIT / 128 + 1));
    expect_refused(AETHER_TOO_LARGE, text, aether_append_batch(buffer, &reference, 1));
    expect_refused(AETHER_TOO_LARGE, text, aether_reserve(buffer, LIMIT, &data));
    expect_number(0, unit_releases(&release));
    expect_nothing_written(before, buffer);
}

TEST(buffer_refuse, BUF9_an_item_above_the_limit_is_refused_whatever_is_read)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open_limit(buffer, AETHER_REFUSE, LIMIT, "small");
    expect_too_large(buffer); /* nothing is unread */
    uint64_t next;
    expect_status(AETHER_FULL, unit_append_until(buffer, 1, &next));
    expect_too_large(buffer);
    aether_cursor_close(cursor);
    expect_ok(aether_append(buffer, payload, sizeof payload));
    aether_buffer_destroy(buffer);
}

/* With the readers' places in the registry in both orders. */
TEST(buffer_refuse, BUF9_an_item_above_the_smallest_limit_is_too_large_though_another_reader_is_full)
{
    for (int order = 0; order < 2; order++) {
        aether_buffer *buffer = unit_buffer();
        aether_cursor *cursors[2];
        cursors[order] = NULL;
        for (int i = 0; i < 2; i++)
            cursors[i] = unit_open_limit(buffer, AETHER_REFUSE, i == order ? LIMIT : 2 * LIMIT, i == order ? "small" : NULL);
        for (uint64_t i = 1; i <= 200; i += 20) { /* the larger one does not read, and is near its limit */
            expect_ok(unit_append(buffer, i, i + 19));
            expect_items(cursors[order], i, i + 19);
            expect_empty(cursors[order]);
        }
        expect_too_large(buffer);
        aether_cursor_close(cursors[0]);
        aether_cursor_close(cursors[1]);
        aether_buffer_destroy(buffer);
    }
}

/* ------------------------------------------------------------------------------------------------- several cursors */

TEST(buffer_refuse, BUF9_the_slowest_of_several_decides)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *fast = unit_open_limit(buffer, AETHER_REFUSE, LIMIT, "fast");
    aether_cursor *slow = unit_open_limit(buffer, AETHER_REFUSE, 2 * LIMIT, "slow");
    uint64_t next;
    expect_status(AETHER_FULL, unit_append_until(buffer, 1, &next));
    expect_failure(AETHER_FULL, "the cursor fast has as much unread as it may, 4096 bytes");
    read_until_empty(fast);
    expect_status(AETHER_FULL, unit_append_until(buffer, next, &next));
    read_until_empty(fast);
    expect_refused(AETHER_FULL, "the cursor slow has as much unread as it may, 8192 bytes", unit_append(buffer, next, next));
    expect_within(2 * LIMIT - 2 * UNIT_SEGMENT, 2 * LIMIT, unit_stats(buffer).bytes);
    read_until_empty(slow);
    expect_ok(unit_append(buffer, next, next));
    aether_cursor_close(fast);
    aether_cursor_close(slow);
    aether_buffer_destroy(buffer);
}

TEST(buffer_refuse, BUF9_a_closed_cursor_refuses_nothing)
{
    aether_cursor *cursor;
    uint64_t next;
    aether_buffer *buffer = fill_up(&cursor, &next);
    aether_cursor_close(cursor);
    expect_ok(unit_append(buffer, next, next + 10000));
    expect_number(1, unit_stats(buffer).in_use_segments);
    aether_buffer_destroy(buffer);
}

TEST(buffer_refuse, BUF9_a_cursor_that_is_opened_later_counts_from_its_own_place)
{
    aether_buffer *buffer = unit_buffer();
    expect_ok(unit_append(buffer, 1, 1010));
    aether_cursor *cursor = unit_open_limit(buffer, AETHER_REFUSE, LIMIT, NULL);
    uint64_t next, before = unit_stats(buffer).bytes;
    expect_status(AETHER_FULL, unit_append_until(buffer, 1011, &next));
    expect_within(LIMIT - 2 * UNIT_SEGMENT, LIMIT, unit_stats(buffer).bytes - before);
    expect_items(cursor, 1011, next - 1);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_refuse, BUF9_one_that_begins_above_its_limit_is_full_from_the_start)
{
    aether_buffer_options options = unit_options();
    options.retain_bytes = 4 * LIMIT;
    aether_buffer *buffer = unit_buffer_with(options);
    expect_ok(unit_append(buffer, 1, 1000));
    aether_cursor *cursor = unit_open_with(
        buffer, (aether_cursor_options){.start = AETHER_FROM_OLDEST, .on_limit = AETHER_REFUSE, .limit_bytes = LIMIT});
    expect_status(AETHER_FULL, aether_append(buffer, payload, 700));
    read_until_empty(cursor);
    expect_ok(aether_append(buffer, payload, 600));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_refuse, BUF9_a_twin_has_the_limit_and_the_label)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open_limit(buffer, AETHER_REFUSE, LIMIT, "first");
    aether_cursor *twin = aether_cursor_dup(cursor);
    aether_cursor_close(cursor);
    uint64_t next;
    expect_status(AETHER_FULL, unit_append_until(buffer, 1, &next));
    expect_failure(AETHER_FULL, "the cursor first");
    aether_cursor *late = aether_cursor_dup(twin); /* as far behind as it */
    expect_items(twin, 1, next - 1);
    expect_empty(twin);
    expect_status(AETHER_FULL, unit_append(buffer, next, next));
    expect_items(late, 1, next - 1);
    expect_empty(late);
    expect_ok(unit_append(buffer, next, next));
    aether_cursor_close(late);
    aether_cursor_close(twin);
    aether_buffer_destroy(buffer);
}

TEST(buffer_refuse, BUF9_the_label_stands_in_the_text)
{
    char longest[32];
    memset(longest, 'x', 31);
    longest[31] = '\0';
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open_limit(buffer, AETHER_REFUSE, LIMIT, longest);
    uint64_t next;
    memset(longest, 'y', 31); /* it was copied */
    expect_status(AETHER_FULL, unit_append_until(buffer, 1, &next));
    expect_failure(AETHER_FULL, "the cursor xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx has as much");
    aether_cursor_close(cursor);
    cursor = unit_open_limit(buffer, AETHER_REFUSE, LIMIT, NULL); /* where the other one was registered */
    expect_status(AETHER_FULL, unit_append_until(buffer, next, &next));
    expect_failure(AETHER_FULL, "the cursor without a label");
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

/* ---------------------------------------------------------------------------------------------------------- defaults */

TEST(buffer_refuse, BUF9_the_buffer_s_limit_is_the_default_of_its_cursors)
{
    aether_buffer_options options = unit_options();
    options.on_limit = AETHER_REFUSE;
    options.limit_bytes = LIMIT;
    aether_buffer *buffer = unit_buffer_with(options);
    uint64_t next = 1;
    for (int way = 0; way < 3; way++) {
        aether_cursor *cursor = way == 0   ? unit_open(buffer, AETHER_FROM_NEXT)
                                : way == 1 ? unit_open_with(buffer, (aether_cursor_options){0})
                                           : unit_open_limit(buffer, 0, 2 * LIMIT, NULL);
        uint64_t before = unit_stats(buffer).bytes, limit = way == 2 ? 2 * LIMIT : LIMIT;
        expect_status(AETHER_FULL, unit_append_until(buffer, next, &next));
        expect_within(limit - 2 * UNIT_SEGMENT, limit, unit_stats(buffer).bytes - before);
        aether_cursor_close(cursor);
    }
    aether_buffer_destroy(buffer);
}

TEST(buffer_refuse, BUF9_a_cursor_may_choose_otherwise_than_the_buffer)
{
    aether_buffer_options options = unit_options();
    options.on_limit = AETHER_REFUSE;
    options.limit_bytes = LIMIT;
    aether_buffer *buffer = unit_buffer_with(options);
    aether_cursor *unlimited = unit_open_limit(buffer, 0, AETHER_UNLIMITED, NULL);
    aether_cursor *lap = unit_open_limit(buffer, AETHER_LAP, 0, NULL);
    expect_ok(unit_append(buffer, 1, 2000));
    expect_items(unlimited, 1, 2000);
    aether_cursor_close(unlimited);
    while (unit_next(lap) == AETHER_OK)
        ;
    expect_number(1, unit_cursor_stats(lap).lags);
    aether_cursor_close(lap);
    aether_buffer_destroy(buffer);
}

TEST(buffer_refuse, BUF9_without_a_limit_nothing_is_ever_refused)
{
    aether_buffer_options options = unit_options();
    options.on_limit = AETHER_REFUSE;
    aether_buffer *buffer = unit_buffer_with(options);
    aether_cursor *plain = unit_open(buffer, AETHER_FROM_NEXT);
    aether_cursor *refusing = unit_open_limit(buffer, AETHER_REFUSE, 0, "unlimited");
    expect_ok(unit_append(buffer, 1, 3000));
    expect_items(plain, 1, 3000);
    expect_items(refusing, 1, 3000);
    aether_cursor_close(plain);
    aether_cursor_close(refusing);
    aether_buffer_destroy(buffer);
}

/* ---------------------------------------------------------------------------------------------------------- segments */

TEST(buffer_refuse, BUF9_segments_that_grow_stay_within_the_limit)
{
    aether_buffer_options options = unit_options();
    options.segment_bytes = 16 * UNIT_SEGMENT;
    aether_buffer *buffer = unit_buffer_with(options);
    aether_cursor *cursor = unit_open_limit(buffer, AETHER_REFUSE, 4 * 16 * UNIT_SEGMENT, NULL);
    uint64_t next = 1, read = 1;
    for (int round = 0; round < 20; round++) {
        uint64_t before = unit_stats(buffer).bytes;
        expect_status(AETHER_FULL, unit_append_until(buffer, next, &next));
        expect_within(2 * 16 * UNIT_SEGMENT, 4 * 16 * UNIT_SEGMENT, unit_stats(buffer).bytes - before);
        expect_items(cursor, read, next - 1);
        expect_empty(cursor);
        read = next;
    }
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

/* An abandoned reservation leaves a segment of its size behind; used for small items, it would hide them from the limit. */
TEST(buffer_refuse, BUF9_an_abandoned_large_segment_does_not_hide_small_items_from_the_limit)
{
    aether_buffer *buffer = unit_buffer();
    void *data;
    expect_ok(aether_reserve(buffer, sizeof payload, &data));
    expect_ok(aether_abandon(buffer));
    aether_cursor *cursor = unit_open_limit(buffer, AETHER_REFUSE, LIMIT, NULL);
    uint64_t next;
    expect_status(AETHER_FULL, unit_append_until(buffer, 1, &next));
    expect_within(LIMIT - 2 * UNIT_SEGMENT, LIMIT, unit_stats(buffer).bytes);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_refuse, BUF9_payloads_by_reference_count_against_the_limit)
{
    enum { SIZE = 600, MOST = 20 };
    static struct unit_release releases[MOST];
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open_limit(buffer, AETHER_REFUSE, LIMIT, NULL);
    uint64_t taken = 0;
    while (unit_append_reference(buffer, &releases[taken], SIZE, taken) == AETHER_OK)
        taken++;
    expect_status(AETHER_FULL, aether_error_status());
    expect_within((LIMIT - 2 * UNIT_SEGMENT) / SIZE, LIMIT / SIZE, taken);
    expect_within(taken * SIZE, LIMIT, unit_stats(buffer).bytes);
    read_until_empty(cursor);
    expect_ok(unit_append_reference(buffer, &releases[taken], SIZE, taken));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

/* A place within a segment counts with the payloads by reference before it. */
TEST(buffer_refuse, BUF9_a_cursor_behind_a_large_payload_by_reference_has_nothing_unread)
{
    static struct unit_release release;
    for (int by_dup = 0; by_dup < 2; by_dup++) {
        aether_buffer *buffer = unit_buffer();
        static char large[100 * LIMIT];
        release = (struct unit_release){0};
        aether_payload reference = unit_by_reference(&release, 1000, 1);
        reference.data = large;
        reference.size = sizeof large;
        aether_cursor *all = unit_open(buffer, AETHER_FROM_NEXT), *cursor;
        expect_ok(aether_append_batch(buffer, &reference, 1));
        cursor = unit_open_limit(buffer, AETHER_REFUSE, LIMIT, NULL);
        if (by_dup) {
            expect_empty(cursor);
            aether_cursor *twin = aether_cursor_dup(cursor);
            aether_cursor_close(cursor);
            cursor = twin;
        }
        uint64_t next;
        expect_status(AETHER_FULL, unit_append_until(buffer, 2, &next));
        expect_within(60, 500, next);
        expect_items(cursor, 2, next - 1);
        aether_cursor_close(all);
        aether_cursor_close(cursor);
        aether_buffer_destroy(buffer);
    }
}

/* ---------------------------------------------------------------------------------------------------------- splices */

TEST(buffer_refuse, BUF9_a_cursor_that_crosses_a_splice_limits_the_other_buffer_s_writer)
{
    aether_buffer *snapshot = unit_buffer(), *live = unit_buffer();
    aether_cursor *cursor = unit_open_limit(snapshot, AETHER_REFUSE, LIMIT, "watcher");
    expect_ok(unit_append(snapshot, 1, 5));
    expect_ok(aether_buffer_splice(snapshot, unit_open(live, AETHER_FROM_NEXT)));
    expect_ok(unit_append(live, 1, 1000)); /* it is not there yet */
    expect_items(cursor, 1, 5);
    expect_items(cursor, 1, 1);
    expect_number(0, unit_stats(snapshot).slowest_of);
    expect_number(1, unit_stats(live).slowest_of);
    expect_refused(AETHER_FULL, "the cursor watcher has", aether_append(live, payload, 700));
    expect_items(cursor, 2, 1000);
    expect_empty(cursor);
    uint64_t next;
    expect_status(AETHER_FULL, unit_append_until(live, 1001, &next));
    aether_buffer_destroy(snapshot);
    expect_items(cursor, 1001, next - 1);
    aether_cursor_close(cursor);
    expect_ok(unit_append(live, next, next + 1000));
    aether_buffer_destroy(live);
}

TEST(buffer_refuse, BUF9_the_cursor_that_a_splice_takes_over_refuses_nothing_any_more)
{
    aether_buffer *snapshot = unit_buffer(), *live = unit_buffer();
    aether_cursor *at = unit_open_limit(live, AETHER_REFUSE, LIMIT, NULL);
    aether_cursor *cursor = unit_open(snapshot, AETHER_FROM_NEXT);
    uint64_t next;
    expect_status(AETHER_FULL, unit_append_until(live, 1, &next));
    expect_ok(aether_buffer_splice(snapshot, at));
    expect_ok(unit_append(live, next, next + 2000));
    expect_items(cursor, 1, next + 2000);
    aether_cursor_close(cursor);
    aether_buffer_destroy(snapshot);
    aether_buffer_destroy(live);
}

TEST(buffer_refuse, BUF6_a_cursor_that_a_refused_splice_gives_back_refuses_as_before)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *at = unit_open_limit(buffer, AETHER_REFUSE, LIMIT, NULL);
    expect_status(AETHER_CIRCLE, aether_buffer_splice(buffer, at));
    uint64_t next;
    expect_status(AETHER_FULL, unit_append_until(buffer, 1, &next));
    expect_items(at, 1, next - 1);
    aether_cursor_close(at);
    aether_buffer_destroy(buffer);
}

/* The least limit is of the buffer where the cursor was opened; the other one's segments may be larger than the limit. */
TEST(buffer_refuse, BUF9_a_reader_that_has_read_all_is_not_full_in_a_buffer_with_larger_segments)
{
    aether_buffer_options options = unit_options();
    options.segment_bytes = options.first_segment_bytes = 64 * UNIT_SEGMENT;
    aether_buffer *snapshot = unit_buffer(), *live = unit_buffer_with(options);
    aether_cursor *cursor = unit_open_limit(snapshot, AETHER_REFUSE, LIMIT, NULL);
    expect_ok(aether_buffer_splice(snapshot, unit_open(live, AETHER_FROM_NEXT)));
    for (uint64_t i = 1; i <= 20000; i += 20) {
        expect_ok(unit_append(live, i, i + 19));
        expect_items(cursor, i, i + 19);
        expect_empty(cursor);
    }
    aether_cursor_close(cursor);
    aether_buffer_destroy(snapshot);
    aether_buffer_destroy(live);
}
