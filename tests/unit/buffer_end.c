/* The end of a buffer: its reasons, its finality, destroying. */
#include "common/unit.h"

/* The reader gets the reason now and at each later call, whatever it calls and however long it would wait. */
static void expect_final(aether_cursor *cursor, aether_status reason)
{
    aether_item items[2];
    size_t count = 9;
    for (int again = 0; again < 3; again++) {
        expect_status(reason, unit_next(cursor));
        expect_status(reason, aether_cursor_next(cursor, items, AETHER_MILLISECONDS(1)));
        expect_status(reason, aether_cursor_next(cursor, items, AETHER_FOREVER));
        expect_status(reason, aether_cursor_run(cursor, items, 2, &count, AETHER_FOREVER));
        expect_number(0, count);
    }
}

static void end_with(aether_status given, aether_status wanted)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT), *ahead = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 100));
    expect_items(ahead, 1, 100);
    expect_ok(aether_buffer_end(buffer, given));
    ae_buffer_check(buffer);
    expect_final(ahead, wanted);
    expect_items(cursor, 1, 100);
    expect_final(cursor, wanted);
    expect_position(UNIT_EPOCH, 100, aether_cursor_position(cursor));
    aether_buffer_destroy(buffer);
    expect_final(cursor, wanted);
    aether_cursor_close(ahead);
    aether_cursor_close(cursor);
}

TEST(buffer_end, BUF6_the_reason_comes_after_the_last_item_again_and_again)
{
    end_with(AETHER_OK, AETHER_ENDED);
    end_with(AETHER_ENDED, AETHER_ENDED);
    end_with(AETHER_RESET, AETHER_RESET);
    end_with(AETHER_FAILED, AETHER_FAILED);
    end_with(AETHER_CLOSED, AETHER_CLOSED);
}

TEST(buffer_end, BUF6_what_is_no_final_status_is_no_reason)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    for (aether_status reason = -2; reason < 20; reason++)
        if (reason != AETHER_OK && !aether_status_is_final(reason))
            expect_refused(AETHER_INVALID, "is no reason to end", aether_buffer_end(buffer, reason));
    expect_empty(cursor);
    expect_ok(unit_append(buffer, 1, 1));
    expect_items(cursor, 1, 1);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_end, BUF6_an_ended_buffer_refuses_all_that_writes)
{
    aether_payload one = {.data = "x", .size = 1};
    aether_buffer *buffer = unit_buffer(), *other = unit_buffer();
    aether_cursor *at = unit_open(other, AETHER_FROM_NEXT), *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(aether_append(buffer, "only", 4));
    expect_ok(aether_buffer_end(buffer, AETHER_FAILED));
    expect_refused(AETHER_ENDED, "aether_append: the buffer was ended or spliced", aether_append(buffer, "x", 1));
    expect_refused(AETHER_ENDED, "aether_append_at: the buffer", aether_append_at(buffer, 50, "x", 1));
    expect_refused(AETHER_ENDED, "aether_append_batch: the buffer", aether_append_batch(buffer, &one, 1));
    expect_refused(AETHER_ENDED, "aether_buffer_end: the buffer", aether_buffer_end(buffer, AETHER_OK));
    expect_refused(AETHER_ENDED, "aether_buffer_splice: the buffer", aether_buffer_splice(buffer, at));
    expect_number(1, unit_stats(buffer).items);
    expect_ok(unit_next(cursor));
    expect_final(cursor, AETHER_FAILED);
    expect_ok(unit_append(other, 1, 1));
    expect_items(at, 1, 1);
    aether_cursor_close(cursor);
    aether_cursor_close(at);
    aether_buffer_destroy(other);
    aether_buffer_destroy(buffer);
}

TEST(buffer_end, BUF6_an_end_needs_no_room)
{
    static const char payload[UNIT_SEGMENT];
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(aether_append(buffer, payload, unit_size_that_fills(buffer)));
    unit_memory_fail(0, UINT64_MAX);
    expect_ok(aether_buffer_end(buffer, AETHER_RESET));
    unit_memory_fail(0, 0);
    ae_buffer_check(buffer);
    expect_ok(unit_next(cursor));
    expect_final(cursor, AETHER_RESET);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_end, BUF6_a_buffer_may_end_before_its_first_item)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_OLDEST);
    expect_ok(aether_buffer_end(buffer, AETHER_OK));
    expect_final(cursor, AETHER_ENDED);
    expect_position(UNIT_EPOCH, 0, aether_cursor_position(cursor));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_end, BUF7_who_opens_an_ended_buffer_gets_its_reason)
{
    aether_buffer *buffer = unit_buffer();
    expect_ok(unit_append(buffer, 1, 3));
    expect_ok(aether_buffer_end(buffer, AETHER_RESET));
    aether_cursor *next = unit_open(buffer, AETHER_FROM_NEXT), *oldest = unit_open(buffer, AETHER_FROM_OLDEST);
    expect_position(UNIT_EPOCH, 3, aether_cursor_position(next));
    expect_final(next, AETHER_RESET);
    aether_cursor *twin = aether_cursor_dup(oldest);
    expect_items(oldest, 1, 3);
    expect_final(oldest, AETHER_RESET);
    expect_items(twin, 1, 3);
    expect_final(twin, AETHER_RESET);
    aether_cursor_close(next);
    aether_cursor_close(oldest);
    aether_cursor_close(twin);
    aether_buffer_destroy(buffer);
}

TEST(buffer_end, BUF6_a_destroyed_buffer_is_closed_for_its_readers_after_the_last_item)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 1000));
    aether_buffer_destroy(buffer);
    expect_items(cursor, 1, 1000);
    expect_final(cursor, AETHER_CLOSED);
    aether_cursor *twin = aether_cursor_dup(cursor);
    aether_cursor_close(cursor);
    expect_final(twin, AETHER_CLOSED);
    aether_cursor_close(twin);
}

TEST(buffer_end, BUF6_destroying_does_not_change_an_earlier_reason)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(aether_buffer_end(buffer, AETHER_OK));
    aether_buffer_destroy(buffer);
    expect_final(cursor, AETHER_ENDED);
    aether_cursor_close(cursor);
}

TEST(buffer_end, BUF6_destroying_nothing_does_nothing)
{
    aether_buffer_destroy(NULL);
    cr_assert_str_empty(aether_error());
}

TEST(buffer_end, D3_an_end_is_no_failure_of_the_call)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(aether_buffer_end(buffer, AETHER_OK));
    expect_status(AETHER_ENDED, unit_next(cursor));
    cr_assert_str_empty(aether_error());
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST_ALL_WAYS(buffer_end, BUF4_an_end_wakes_who_sleeps)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *next = unit_open(buffer, AETHER_FROM_NEXT), *run = unit_open(buffer, AETHER_FROM_NEXT);
    struct unit_reader readers[2];
    cr_assert(unit_reader_start(&readers[0], next, AETHER_FOREVER));
    cr_assert(unit_reader_run(&readers[1], run, AETHER_FOREVER));
    cr_assert(unit_reader_sleeps(&readers[0]) && unit_reader_sleeps(&readers[1]));
    expect_ok(aether_buffer_end(buffer, AETHER_FAILED));
    expect_status(AETHER_FAILED, unit_reader_join(&readers[0]));
    expect_status(AETHER_FAILED, unit_reader_join(&readers[1]));
    aether_cursor_close(next);
    aether_cursor_close(run);
    aether_buffer_destroy(buffer);
}

TEST_ALL_WAYS(buffer_end, BUF4_destroying_wakes_who_sleeps)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    struct unit_reader reader;
    cr_assert(unit_reader_put_to_sleep(&reader, cursor));
    aether_buffer_destroy(buffer);
    expect_status(AETHER_CLOSED, unit_reader_join(&reader));
    aether_cursor_close(cursor);
}
