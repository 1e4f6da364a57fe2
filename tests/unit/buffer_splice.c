/* Splices: a buffer that ends by continuing at a place in another. */
#include "common/unit.h"

#include <sched.h>
#include <stdlib.h>

enum { EPOCH_A = 1, EPOCH_B = 2, EPOCH_C = 3, EPOCH_D = 4 };

static aether_buffer *make(uint64_t epoch)
{
    aether_buffer_options options = unit_options();
    options.epoch = epoch;
    return unit_buffer_with(options);
}

/* A buffer whose items go on where another one's stop, so that one sequence of numbers leads across. */
static aether_buffer *make_from(uint64_t epoch, uint64_t newest)
{
    aether_buffer_options options = unit_options();
    options.epoch = epoch;
    options.newest_index = newest;
    return unit_buffer_with(options);
}

static void splice_next(aether_buffer *buffer, aether_buffer *other)
{
    expect_ok(aether_buffer_splice(buffer, unit_open(other, AETHER_FROM_NEXT)));
    ae_buffer_check(buffer);
}

/* ---------------------------------------------------------------------------------------------------------- crossing */

TEST(buffer_splice, BUF6_readers_cross_without_noticing_wherever_they_stand)
{
    enum { ITEMS = 200 };
    aether_buffer *a = make(EPOCH_A), *b = make_from(EPOCH_B, ITEMS);
    aether_cursor *cursors[ITEMS + 1];
    for (uint64_t i = 0; i <= ITEMS; i++)
        cursors[i] = unit_open(a, AETHER_FROM_NEXT);
    expect_ok(unit_append(a, 1, ITEMS));
    for (uint64_t i = 0; i <= ITEMS; i++)
        expect_items(cursors[i], 1, i);
    splice_next(a, b);
    expect_ok(unit_append(b, ITEMS + 1, 2 * ITEMS));
    for (uint64_t i = 0; i <= ITEMS; i++) {
        expect_items(cursors[i], i + 1, 2 * ITEMS);
        expect_empty(cursors[i]);
        aether_cursor_close(cursors[i]);
    }
    ae_buffer_check(b);
    aether_buffer_destroy(a);
    aether_buffer_destroy(b);
}

TEST(buffer_splice, BUF6_positions_are_those_of_the_buffer_that_the_item_came_from)
{
    aether_buffer *a = make(EPOCH_A), *b = make_from(EPOCH_B, 2);
    aether_cursor *cursor = unit_open(a, AETHER_FROM_NEXT);
    expect_ok(unit_append(a, 1, 2));
    splice_next(a, b);
    expect_items(cursor, 1, 2);
    expect_position(EPOCH_A, 2, aether_cursor_position(cursor));
    expect_empty(cursor); /* across by now, but nothing was handed out there */
    expect_position(EPOCH_A, 2, aether_cursor_position(cursor));
    expect_ok(unit_append(b, 3, 3));
    expect_items(cursor, 3, 3);
    expect_position(EPOCH_B, 3, aether_cursor_position(cursor));
    aether_cursor_close(cursor);
    aether_buffer_destroy(a);
    aether_buffer_destroy(b);
}

TEST(buffer_splice, BUF6_a_splice_may_lead_to_any_place)
{
    enum { ITEMS = 120 };
    for (uint64_t at = 0; at <= ITEMS; at++) {
        aether_buffer *a = make(EPOCH_A), *b = make(EPOCH_B);
        aether_cursor *cursor = unit_open(a, AETHER_FROM_NEXT), *place = unit_open(b, AETHER_FROM_NEXT);
        expect_ok(unit_append(b, 1, ITEMS));
        expect_items(place, 1, at);
        expect_ok(aether_buffer_splice(a, place));
        expect_items(cursor, at + 1, ITEMS);
        expect_ok(unit_append(b, ITEMS + 1, ITEMS + 1));
        expect_items(cursor, ITEMS + 1, ITEMS + 1);
        aether_cursor_close(cursor);
        aether_buffer_destroy(a);
        ae_buffer_check(b);
        aether_buffer_destroy(b);
    }
}

TEST(buffer_splice, BUF6_a_splice_may_lead_behind_a_hole)
{
    aether_buffer *a = make(EPOCH_A), *b = make(EPOCH_B);
    aether_cursor *cursor = unit_open(a, AETHER_FROM_NEXT);
    expect_ok(aether_append_at(a, 7, "x", 1));
    expect_ok(aether_append_at(b, 90, "x", 1));
    splice_next(a, b);
    expect_ok(aether_append(b, "y", 1));
    aether_item item;
    expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
    expect_number(7, item.index);
    expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
    expect_number(91, item.index);
    expect_position(EPOCH_B, 91, aether_cursor_position(cursor));
    aether_cursor_close(cursor);
    aether_buffer_destroy(a);
    aether_buffer_destroy(b);
}

TEST(buffer_splice, BUF6_a_splice_needs_no_room_and_no_memory)
{
    static const char payload[UNIT_SEGMENT];
    aether_buffer *a = make(EPOCH_A), *b = make(EPOCH_B);
    aether_cursor *cursor = unit_open(a, AETHER_FROM_NEXT), *place = unit_open(b, AETHER_FROM_NEXT);
    expect_ok(aether_append(a, payload, unit_size_that_fills(a)));
    unit_memory_fail(0, UINT64_MAX);
    expect_ok(aether_buffer_splice(a, place));
    unit_memory_fail(0, 0);
    ae_buffer_check(a);
    expect_ok(unit_append(b, 1, 1));
    expect_ok(unit_next(cursor));
    expect_items(cursor, 1, 1);
    aether_cursor_close(cursor);
    aether_buffer_destroy(a);
    aether_buffer_destroy(b);
}

TEST_ALL_WAYS(buffer_splice, BUF4_a_reader_that_sleeps_at_the_end_is_woken_by_the_other_buffer)
{
    aether_buffer *a = make(EPOCH_A), *b = make_from(EPOCH_B, 1);
    aether_cursor *cursor = unit_open(a, AETHER_FROM_NEXT);
    expect_ok(unit_append(a, 1, 1));
    expect_items(cursor, 1, 1);
    struct unit_reader reader;
    cr_assert(unit_reader_put_to_sleep(&reader, cursor));
    splice_next(a, b);
    cr_assert(unit_reader_sleeps(&reader));
    expect_ok(unit_append(b, 2, 2));
    expect_ok(unit_reader_join(&reader));
    cr_assert(unit_is_item(&reader.item, 2));
    aether_cursor_close(cursor);
    aether_buffer_destroy(a);
    aether_buffer_destroy(b);
}

TEST_ALL_WAYS(buffer_splice, BUF4_a_splice_onto_items_wakes_a_reader_that_sleeps)
{
    aether_buffer *a = make(EPOCH_A), *b = make(EPOCH_B);
    aether_cursor *cursor = unit_open(a, AETHER_FROM_NEXT), *place = unit_open(b, AETHER_FROM_NEXT);
    expect_ok(unit_append(b, 1, 100));
    struct unit_reader reader;
    cr_assert(unit_reader_put_to_sleep(&reader, cursor));
    expect_ok(aether_buffer_splice(a, place));
    expect_ok(unit_reader_join(&reader));
    cr_assert(unit_is_item(&reader.item, 1));
    expect_items(cursor, 2, 100);
    aether_cursor_close(cursor);
    aether_buffer_destroy(a);
    aether_buffer_destroy(b);
}

TEST_ALL_WAYS(buffer_splice, BUF4_a_reader_that_crossed_asleep_can_be_cancelled_and_closed)
{
    aether_buffer *a = make(EPOCH_A), *b = make(EPOCH_B);
    aether_cursor *cursor = unit_open(a, AETHER_FROM_NEXT);
    struct unit_reader reader;
    cr_assert(unit_reader_put_to_sleep(&reader, cursor));
    splice_next(a, b);
    cr_assert(unit_until(unit_stats(b).cursors == 1) && unit_reader_sleeps(&reader));
    aether_cursor_cancel(cursor);
    expect_status(AETHER_CANCELLED, unit_reader_join(&reader));
    expect_ok(aether_cursor_resume(cursor));
    cr_assert(unit_reader_put_to_sleep(&reader, cursor));
    aether_cursor_close(cursor);
    expect_status(AETHER_CLOSED, unit_reader_join(&reader));
    aether_buffer_destroy(a);
    aether_buffer_destroy(b);
}

TEST(buffer_splice, BUF2_a_run_does_not_go_across)
{
    aether_buffer *a = make(EPOCH_A), *b = make_from(EPOCH_B, 3);
    aether_cursor *cursor = unit_open(a, AETHER_FROM_NEXT);
    aether_item items[10];
    size_t count;
    expect_ok(unit_append(a, 1, 3));
    splice_next(a, b);
    expect_ok(unit_append(b, 4, 7));
    expect_ok(aether_cursor_run(cursor, items, 10, &count, AETHER_NO_WAIT));
    expect_number(3, count);
    cr_assert(unit_is_item(&items[2], 3)); /* still there: the cursor stands in `a` */
    expect_ok(aether_cursor_run(cursor, items, 10, &count, AETHER_NO_WAIT));
    expect_number(4, count);
    cr_assert(unit_is_item(&items[3], 7));
    aether_cursor_close(cursor);
    aether_buffer_destroy(a);
    aether_buffer_destroy(b);
}

/* ---------------------------------------------------------------------------------------------- opening, duplicating */

TEST(buffer_splice, BUF7_next_on_a_spliced_buffer_is_next_in_the_other_one)
{
    aether_buffer *a = make(EPOCH_A), *b = make(EPOCH_B);
    aether_cursor *place = unit_open(b, AETHER_FROM_NEXT);
    expect_ok(unit_append(a, 1, 5));
    expect_ok(unit_append(b, 1, 200));
    expect_ok(aether_buffer_splice(a, place));
    aether_cursor *cursor = unit_open(a, AETHER_FROM_NEXT);
    expect_position(EPOCH_B, 200, aether_cursor_position(cursor));
    expect_empty(cursor);
    expect_ok(unit_append(b, 201, 300));
    expect_items(cursor, 201, 300);
    aether_cursor_close(cursor);
    aether_buffer_destroy(a);
    aether_buffer_destroy(b);
}

TEST(buffer_splice, BUF7_next_is_found_behind_a_long_history_and_a_buffer_that_is_gone)
{
    aether_buffer *a = make(EPOCH_A), *b = make(EPOCH_B), *c = make(EPOCH_C);
    aether_cursor *in_b = unit_open(b, AETHER_FROM_NEXT), *in_c = unit_open(c, AETHER_FROM_NEXT);
    expect_ok(unit_append(b, 1, 3000));
    expect_ok(unit_append(c, 1, 3000));
    expect_ok(aether_buffer_splice(a, in_b));
    expect_ok(aether_buffer_splice(b, in_c));
    for (int gone = 0; gone < 2; gone++) {
        aether_cursor *cursor = unit_open(a, AETHER_FROM_NEXT);
        uint64_t newest = aether_buffer_newest(c).index;
        expect_position(EPOCH_C, newest, aether_cursor_position(cursor));
        expect_empty(cursor);
        expect_ok(unit_append(c, newest + 1, newest + 100));
        expect_items(cursor, newest + 1, newest + 100);
        aether_cursor_close(cursor);
        if (gone == 0)
            aether_buffer_destroy(b);
    }
    aether_buffer_destroy(c);
    aether_cursor *late = unit_open(a, AETHER_FROM_NEXT);
    expect_status(AETHER_CLOSED, unit_next(late));
    aether_cursor_close(late);
    aether_buffer_destroy(a);
}

TEST(buffer_splice, BUF7_oldest_on_a_spliced_buffer_is_its_own_oldest)
{
    aether_buffer *a = make(EPOCH_A), *b = make_from(EPOCH_B, 5);
    expect_ok(unit_append(a, 1, 5));
    splice_next(a, b);
    expect_ok(unit_append(b, 6, 300));
    aether_cursor *cursor = unit_open(a, AETHER_FROM_OLDEST);
    expect_items(cursor, 1, 300);
    aether_cursor_close(cursor);
    aether_buffer_destroy(a);
    aether_buffer_destroy(b);
}

TEST(buffer_splice, BUF7_twins_cross_each_for_itself)
{
    aether_buffer *a = make(EPOCH_A), *b = make_from(EPOCH_B, 100);
    aether_cursor *cursor = unit_open(a, AETHER_FROM_NEXT);
    expect_ok(unit_append(a, 1, 100));
    splice_next(a, b);
    expect_ok(unit_append(b, 101, 200));
    for (uint64_t i = 1; i <= 200; i++) {
        aether_cursor *twin = aether_cursor_dup(cursor);
        expect_items(twin, i, 200);
        aether_cursor_close(twin);
        expect_items(cursor, i, i);
    }
    aether_cursor_close(cursor);
    aether_buffer_destroy(a);
    aether_buffer_destroy(b);
}

TEST(buffer_splice, BUF7_a_twin_at_the_seam_has_the_position_of_the_last_item)
{
    aether_buffer *a = make(EPOCH_A), *b = make_from(EPOCH_B, 50);
    aether_cursor *cursor = unit_open(a, AETHER_FROM_NEXT);
    expect_ok(unit_append(a, 1, 1));
    splice_next(a, b);
    expect_items(cursor, 1, 1);
    expect_empty(cursor);
    aether_cursor *twin = aether_cursor_dup(cursor);
    expect_position(EPOCH_A, 1, aether_cursor_position(twin));
    expect_ok(unit_append(b, 51, 51));
    expect_items(twin, 51, 51);
    expect_position(EPOCH_B, 51, aether_cursor_position(twin));
    aether_cursor_close(twin);
    aether_cursor_close(cursor);
    aether_buffer_destroy(a);
    aether_buffer_destroy(b);
}

/* ------------------------------------------------------------------------------------------------------------ chains */

TEST(buffer_splice, BUF6_splices_may_follow_one_another)
{
    aether_buffer *a = make(EPOCH_A), *b = make_from(EPOCH_B, 50), *c = make_from(EPOCH_C, 150),
                  *d = make_from(EPOCH_D, 151);
    aether_cursor *cursor = unit_open(a, AETHER_FROM_NEXT);
    expect_ok(unit_append(a, 1, 50));
    splice_next(a, b);
    expect_ok(unit_append(b, 51, 150));
    splice_next(b, c);
    expect_ok(unit_append(c, 151, 151));
    splice_next(c, d);
    expect_ok(unit_append(d, 152, 300));
    aether_cursor *next = unit_open(a, AETHER_FROM_NEXT), *oldest = unit_open(a, AETHER_FROM_OLDEST);
    expect_ok(unit_append(d, 301, 310));
    expect_items(cursor, 1, 310);
    expect_position(EPOCH_D, 310, aether_cursor_position(cursor));
    expect_items(next, 301, 310);
    uint64_t first = aether_cursor_position(oldest).index + 1;
    expect_items(oldest, first, 310);
    aether_cursor_close(cursor);
    aether_cursor_close(next);
    aether_cursor_close(oldest);
    aether_buffer_destroy(b);
    aether_buffer_destroy(d);
    aether_buffer_destroy(a);
    aether_buffer_destroy(c);
}

TEST(buffer_splice, BUF6_empty_buffers_may_stand_between)
{
    aether_buffer *a = make(EPOCH_A), *b = make(EPOCH_B), *c = make(EPOCH_C);
    aether_cursor *cursor = unit_open(a, AETHER_FROM_NEXT);
    splice_next(b, c);
    splice_next(a, b);
    expect_empty(cursor);
    expect_ok(unit_append(c, 1, 1));
    expect_items(cursor, 1, 1);
    aether_cursor_close(cursor);
    aether_buffer_destroy(a);
    aether_buffer_destroy(b);
    aether_buffer_destroy(c);
}

static const char *close_it(void *user)
{
    aether_cursor_close(user);
    return NULL;
}

TEST(buffer_splice, BUF5_a_thousand_spliced_buffers_go_without_recursion)
{
    enum { BUFFERS = 1000, SMALL_STACK = 128 * 1024 };
    aether_buffer *buffer = make(EPOCH_A);
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    for (uint64_t i = 1; i <= BUFFERS; i++) {
        aether_buffer *next = make_from(EPOCH_A + i, i * 100);
        expect_ok(unit_append(buffer, i * 100 - 99, i * 100));
        splice_next(buffer, next);
        aether_buffer_destroy(buffer);
        buffer = next;
    }
    aether_cursor *twin = aether_cursor_dup(cursor);
    expect_items(twin, 1, BUFFERS * 100);
    aether_cursor_close(twin);
    struct unit_thread thread;
    cr_assert(unit_thread_start(&thread, SMALL_STACK, close_it, cursor));
    expect_fine(unit_thread_join(&thread));
    ae_rcu_barrier();
    expect_within(1, 3, unit_memory().blocks); /* the last buffer, its segment, one in its cache */
    aether_buffer_destroy(buffer);
}

/* ----------------------------------------------------------------------------------------------------------- circles */

static void expect_circle(aether_buffer *buffer, aether_buffer *other)
{
    aether_cursor *at = unit_open(other, AETHER_FROM_NEXT);
    expect_refused(AETHER_CIRCLE, "aether_buffer_splice: the way from the cursor on leads back",
                   aether_buffer_splice(buffer, at));
    expect_empty(at); /* it is still ours */
    aether_cursor_close(at);
}

TEST(buffer_splice, BUF6_a_buffer_cannot_continue_in_itself)
{
    aether_buffer *a = make(EPOCH_A);
    aether_cursor *cursor = unit_open(a, AETHER_FROM_NEXT);
    expect_ok(unit_append(a, 1, 1));
    expect_circle(a, a);
    expect_ok(unit_append(a, 2, 2));
    expect_items(cursor, 1, 2);
    aether_cursor_close(cursor);
    aether_buffer_destroy(a);
}

TEST(buffer_splice, BUF6_two_buffers_cannot_continue_in_each_other)
{
    aether_buffer *a = make(EPOCH_A), *b = make(EPOCH_B);
    splice_next(a, b);
    expect_circle(b, a);
    expect_circle(b, b);
    expect_ok(unit_append(b, 1, 1));
    aether_buffer_destroy(a);
    aether_buffer_destroy(b);
}

TEST(buffer_splice, BUF6_a_circle_of_three_is_refused)
{
    aether_buffer *a = make(EPOCH_A), *b = make(EPOCH_B), *c = make(EPOCH_C);
    splice_next(b, c);
    splice_next(a, b);
    expect_circle(c, a);
    expect_circle(c, b);
    aether_buffer_destroy(b); /* the way leads through it all the same */
    expect_circle(c, a);
    aether_buffer_destroy(a);
    aether_buffer_destroy(c);
}

TEST(buffer_splice, BUF6_a_cursor_that_stands_before_a_splice_leads_through_it)
{
    aether_buffer *a = make(EPOCH_A), *b = make(EPOCH_B);
    aether_cursor *at = unit_open(b, AETHER_FROM_NEXT); /* opened before the way was there */
    splice_next(b, a);
    expect_status(AETHER_CIRCLE, aether_buffer_splice(a, at));
    aether_cursor_close(at);
    aether_buffer_destroy(a);
    aether_buffer_destroy(b);
}

TEST(buffer_splice, BUF6_two_ways_into_one_buffer_are_no_circle)
{
    aether_buffer *a = make(EPOCH_A), *b = make(EPOCH_B), *c = make(EPOCH_C);
    aether_cursor *of_a = unit_open(a, AETHER_FROM_NEXT), *of_b = unit_open(b, AETHER_FROM_NEXT);
    splice_next(a, c);
    splice_next(b, c);
    expect_ok(unit_append(c, 1, 1));
    expect_items(of_a, 1, 1);
    expect_items(of_b, 1, 1);
    aether_cursor_close(of_a);
    aether_cursor_close(of_b);
    aether_buffer_destroy(c);
    aether_buffer_destroy(a);
    aether_buffer_destroy(b);
}

struct half {
    pthread_barrier_t *start;
    aether_buffer *from;
    aether_cursor *at;
    aether_status status;
};

static const char *splice_half(void *user)
{
    struct half *half = user;
    pthread_barrier_wait(half->start);
    half->status = aether_buffer_splice(half->from, half->at);
    return NULL;
}

TEST(buffer_splice, BUF6_of_two_splices_that_would_form_a_circle_together_one_is_refused)
{
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, 2);
    for (int round = 0; round < 100; round++) {
        aether_buffer *a = make(EPOCH_A), *b = make(EPOCH_B);
        struct half there = {&start, a, unit_open(b, AETHER_FROM_NEXT), AETHER_OK};
        struct half back = {&start, b, unit_open(a, AETHER_FROM_NEXT), AETHER_OK};
        struct unit_thread threads[2];
        cr_assert(unit_thread_start(&threads[0], 0, splice_half, &there));
        cr_assert(unit_thread_start(&threads[1], 0, splice_half, &back));
        expect_fine(unit_thread_join(&threads[0]));
        expect_fine(unit_thread_join(&threads[1]));
        cr_assert((there.status == AETHER_OK) != (back.status == AETHER_OK));
        cr_assert(there.status == AETHER_CIRCLE || back.status == AETHER_CIRCLE);
        aether_cursor_close(there.status == AETHER_OK ? back.at : there.at);
        aether_buffer_destroy(a);
        aether_buffer_destroy(b);
    }
    pthread_barrier_destroy(&start);
}

/* -------------------------------------------------------------------------------------------------- refusing, ending */

TEST(buffer_splice, BUF6_a_spliced_buffer_refuses_all_that_writes)
{
    aether_payload one = {.data = "x", .size = 1};
    aether_buffer *a = make(EPOCH_A), *b = make(EPOCH_B);
    splice_next(a, b);
    expect_refused(AETHER_ENDED, "ended or spliced", aether_append(a, "x", 1));
    expect_refused(AETHER_ENDED, "ended or spliced", aether_append_at(a, 50, "x", 1));
    expect_refused(AETHER_ENDED, "ended or spliced", aether_append_batch(a, &one, 1));
    expect_refused(AETHER_ENDED, "ended or spliced", aether_buffer_end(a, AETHER_OK));
    aether_cursor *again = unit_open(b, AETHER_FROM_NEXT);
    expect_refused(AETHER_ENDED, "ended or spliced", aether_buffer_splice(a, again));
    expect_ok(unit_append(b, 1, 1));
    expect_items(again, 1, 1);
    aether_cursor_close(again);
    aether_buffer_destroy(a);
    aether_buffer_destroy(b);
}

static void end_other(bool before, bool destroy, aether_status reason)
{
    aether_buffer *a = make(EPOCH_A), *b = make_from(EPOCH_B, 2);
    aether_cursor *cursor = unit_open(a, AETHER_FROM_NEXT), *place = unit_open(b, AETHER_FROM_NEXT);
    expect_ok(unit_append(a, 1, 2));
    expect_ok(unit_append(b, 3, 100));
    for (int step = 0; step < 2; step++) {
        if ((step == 0) != before)
            expect_ok(aether_buffer_splice(a, place));
        else if (destroy)
            aether_buffer_destroy(b);
        else
            expect_ok(aether_buffer_end(b, reason));
    }
    aether_cursor *twin = aether_cursor_dup(cursor), *late = unit_open(a, AETHER_FROM_NEXT);
    expect_status(reason, unit_next(late));
    expect_items(cursor, 1, 100);
    for (int again = 0; again < 3; again++)
        expect_status(reason, unit_next(cursor));
    aether_buffer_destroy(a);
    expect_items(twin, 1, 100);
    expect_status(reason, unit_next(twin));
    if (!destroy)
        aether_buffer_destroy(b);
    aether_cursor_close(late);
    aether_cursor_close(cursor);
    aether_cursor_close(twin);
}

TEST(buffer_splice, BUF6_the_end_of_the_other_buffer_is_the_end_for_all_who_cross)
{
    end_other(false, false, AETHER_FAILED);
    end_other(true, false, AETHER_FAILED);
    end_other(false, false, AETHER_ENDED);
    end_other(true, false, AETHER_RESET);
}

TEST(buffer_splice, BUF6_destroying_the_other_buffer_closes_all_who_cross)
{
    end_other(false, true, AETHER_CLOSED);
    end_other(true, true, AETHER_CLOSED);
}

TEST(buffer_splice, BUF6_the_spliced_buffer_may_be_destroyed_before_its_readers_cross)
{
    aether_buffer *a = make(EPOCH_A), *b = make_from(EPOCH_B, 100);
    aether_cursor *cursor = unit_open(a, AETHER_FROM_NEXT);
    expect_ok(unit_append(a, 1, 100));
    splice_next(a, b);
    aether_buffer_destroy(a);
    expect_ok(unit_append(b, 101, 200));
    expect_items(cursor, 1, 200);
    aether_cursor_close(cursor);
    aether_buffer_destroy(b);
}

TEST(buffer_splice, BUF6_both_may_be_destroyed_before_the_reader_crosses)
{
    aether_buffer *a = make(EPOCH_A), *b = make_from(EPOCH_B, 100);
    aether_cursor *cursor = unit_open(a, AETHER_FROM_NEXT);
    expect_ok(unit_append(a, 1, 100));
    splice_next(a, b);
    expect_ok(unit_append(b, 101, 200));
    aether_buffer_destroy(b);
    aether_buffer_destroy(a);
    expect_items(cursor, 1, 200);
    expect_status(AETHER_CLOSED, unit_next(cursor));
    aether_cursor_close(cursor);
}

/* ------------------------------------------------------------------------------------------------------------ memory */

TEST(buffer_splice, BUF5_a_splice_holds_its_place_as_long_as_somebody_may_come_to_it)
{
    aether_buffer *a = make(EPOCH_A), *b = make(EPOCH_B);
    aether_cursor *cursor = unit_open(a, AETHER_FROM_NEXT);
    splice_next(a, b);
    expect_ok(unit_append(b, 1, 5000));
    uint64_t held = unit_stats(b).in_use_segments;
    expect_within(50, 5000, held);
    aether_buffer_destroy(a);
    expect_number(held, unit_stats(b).in_use_segments); /* the reader may still cross */
    aether_cursor_close(cursor);
    expect_number(1, unit_stats(b).in_use_segments);
    aether_buffer_destroy(b);
}

TEST(buffer_splice, BUF5_the_spliced_buffer_itself_holds_the_place)
{
    aether_buffer *a = make(EPOCH_A), *b = make(EPOCH_B);
    splice_next(a, b);
    expect_ok(unit_append(b, 1, 5000));
    aether_cursor *cursor = unit_open(a, AETHER_FROM_OLDEST);
    expect_items(cursor, 1, 5000);
    aether_cursor_close(cursor);
    expect_within(50, 5000, unit_stats(b).in_use_segments);
    aether_buffer_destroy(a);
    expect_number(1, unit_stats(b).in_use_segments);
    aether_buffer_destroy(b);
}

TEST(buffer_splice, BUF10_a_cursor_that_has_crossed_counts_where_it_stands)
{
    aether_buffer *a = make(EPOCH_A), *b = make(EPOCH_B);
    aether_cursor *cursor = unit_open(a, AETHER_FROM_NEXT), *place = unit_open(b, AETHER_FROM_NEXT);
    expect_number(1, unit_stats(b).cursors);
    expect_ok(aether_buffer_splice(a, place));
    expect_number(0, unit_stats(b).cursors);
    expect_number(1, unit_stats(a).cursors);
    expect_empty(cursor);
    expect_number(1, unit_stats(b).cursors);
    expect_number(0, unit_stats(a).cursors);
    aether_cursor_close(cursor);
    expect_number(0, unit_stats(b).cursors);
    aether_buffer_destroy(a);
    aether_buffer_destroy(b);
}

/* --------------------------------------------------------------------------------------------- a snapshot, then live */

enum { CHANGES = 20000, WATCHERS = 6, KEYS = 32 };

/* Change i sets key i % KEYS to i. The state is what a snapshot shows. */
struct world {
    aether_buffer *live;
    pthread_mutex_t lock;
    uint64_t state[KEYS];
    uint64_t changes;
};

struct change {
    uint64_t key, value;
};

static const char *change_the_world(void *user)
{
    struct world *world = user;
    for (uint64_t i = 1; i <= CHANGES; i++) {
        struct change change = {i % KEYS, i};
        pthread_mutex_lock(&world->lock);
        world->state[change.key] = change.value;
        world->changes = i;
        aether_status status = aether_append(world->live, &change, sizeof change);
        pthread_mutex_unlock(&world->lock);
        claim(status == AETHER_OK);
        if (i % 64 == 0)
            sched_yield();
    }
    claim(aether_buffer_end(world->live, AETHER_OK) == AETHER_OK);
    return NULL;
}

/* A reader of the state and of all changes after it; the last item of the state tells the watermark by its index. */
static aether_cursor *take_snapshot(struct world *world)
{
    aether_buffer *snapshot = make(EPOCH_B);
    aether_cursor *cursor = unit_open(snapshot, AETHER_FROM_NEXT);
    aether_cursor *at = unit_open(world->live, AETHER_FROM_NEXT); /* first: no gap */
    pthread_mutex_lock(&world->lock);
    uint64_t state[KEYS], watermark = world->changes;
    memcpy(state, world->state, sizeof state);
    pthread_mutex_unlock(&world->lock);
    for (uint64_t key = 0; key < KEYS; key++) {
        struct change change = {key, state[key]};
        if (aether_append(snapshot, &change, sizeof change) != AETHER_OK)
            abort();
    }
    if (aether_append_at(snapshot, KEYS + 1 + watermark, NULL, 0) != AETHER_OK ||
        aether_buffer_splice(snapshot, at) != AETHER_OK)
        abort();
    aether_buffer_destroy(snapshot);
    return cursor;
}

/* Reads the snapshot and all that follows, and compares with the world at its end. */
static const char *watch_from(struct world *world, aether_cursor *cursor)
{
    uint64_t state[KEYS];
    aether_item item;
    struct change change;
    for (uint64_t key = 0; key < KEYS; key++) {
        claim(aether_cursor_next(cursor, &item, AETHER_NO_WAIT) == AETHER_OK);
        memcpy(&change, item.data, sizeof change);
        claim(change.key == key);
        state[key] = change.value;
    }
    claim(aether_cursor_next(cursor, &item, AETHER_NO_WAIT) == AETHER_OK && item.size == 0);
    uint64_t watermark = item.index - KEYS - 1, seen = watermark;
    aether_status status;
    while ((status = aether_cursor_next(cursor, &item, AETHER_SECONDS(20))) == AETHER_OK) {
        if (item.index <= watermark)
            continue; /* it was in the snapshot */
        claim(item.index == seen + 1);
        seen = item.index;
        memcpy(&change, item.data, sizeof change);
        state[change.key] = change.value;
    }
    claim(status == AETHER_ENDED && seen == CHANGES);
    claim(memcmp(state, world->state, sizeof state) == 0);
    return NULL;
}

struct watcher {
    struct world *world;
    aether_cursor *cursor; /* of a snapshot that was taken before; NULL: takes its own */
    struct unit_thread thread;
};

static const char *watch(void *user)
{
    struct watcher *watcher = user;
    aether_cursor *cursor = watcher->cursor != NULL ? watcher->cursor : take_snapshot(watcher->world);
    const char *wrong = watch_from(watcher->world, cursor);
    aether_cursor_close(cursor);
    return wrong;
}

/* The watchers come one after another while the world changes. */
static void watch_while_it_changes(bool keep)
{
    static struct world world = {.lock = PTHREAD_MUTEX_INITIALIZER};
    world.live = make(EPOCH_A);
    aether_cursor *kept = keep ? take_snapshot(&world) : NULL;
    struct unit_thread writer;
    struct watcher watchers[WATCHERS];
    cr_assert(unit_thread_start(&writer, 0, change_the_world, &world));
    for (int i = 0; i < WATCHERS; i++) {
        cr_assert(unit_until(aether_buffer_newest(world.live).index >= (uint64_t)i * CHANGES / WATCHERS));
        watchers[i] = (struct watcher){.world = &world, .cursor = keep ? aether_cursor_dup(kept) : NULL};
        cr_assert(unit_thread_start(&watchers[i].thread, 0, watch, &watchers[i]));
    }
    expect_fine(unit_thread_join(&writer));
    for (int i = 0; i < WATCHERS; i++)
        expect_fine(unit_thread_join(&watchers[i].thread));
    aether_cursor_close(kept);
    aether_buffer_destroy(world.live);
}

TEST(buffer_splice, BUF6_a_snapshot_is_followed_by_every_later_change_without_gap_or_repeat)
{
    watch_while_it_changes(false);
}

TEST(buffer_splice, BUF6_a_kept_snapshot_serves_late_readers_with_every_change_since)
{
    watch_while_it_changes(true);
}
