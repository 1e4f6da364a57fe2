/* Cursors with a limit at which the writer waits: what ends the wait, and that it sleeps meanwhile. */
#include "common/unit.h"

#include <signal.h>

#include "base/rcu.h"

enum { LIMIT = 4 * UNIT_SEGMENT };

static char payload[16 * UNIT_SEGMENT];

/* As many items as such a cursor lets through before a writer waits, appended; the next would be *next. */
static aether_buffer *fill_up(aether_cursor **cursor, const char *label, uint64_t *next)
{
    aether_buffer *buffer = unit_buffer();
    *cursor = unit_open_limit(buffer, AETHER_WAIT, LIMIT, label);
    expect_ok(aether_buffer_set_wait(buffer, AETHER_NO_WAIT));
    expect_status(AETHER_TIMEOUT, unit_append_until(buffer, 1, next));
    expect_ok(aether_buffer_set_wait(buffer, AETHER_FOREVER));
    return buffer;
}

/* Reads what there is, from item `first` on, until there are no more than `last`. */
static const char *read_on(aether_cursor *cursor, uint64_t first, uint64_t last)
{
    for (uint64_t i = first; i <= last; i++) {
        aether_item item;
        aether_status status = aether_cursor_next(cursor, &item, AETHER_FOREVER);
        if (status != AETHER_OK || !unit_is_item(&item, i))
            return "an item is wrong, or there is none";
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------------- what ends the wait */

TEST_ALL_WAYS(buffer_wait, BUF9_the_writer_sleeps_until_the_reader_reads_on)
{
    aether_cursor *cursor;
    uint64_t next;
    aether_buffer *buffer = fill_up(&cursor, NULL, &next);
    struct unit_writer writer;
    cr_assert(unit_writer_put_to_sleep(&writer, buffer, next, next + 500));
    expect_fine(read_on(cursor, 1, next + 500));
    expect_ok(unit_writer_join(&writer));
    expect_empty(cursor);
    ae_buffer_check(buffer);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST_ALL_WAYS(buffer_wait, BUF9_crossing_into_the_next_segment_is_enough)
{
    aether_cursor *cursor;
    uint64_t next;
    aether_buffer *buffer = fill_up(&cursor, NULL, &next);
    struct unit_writer writer;
    cr_assert(unit_writer_put_to_sleep(&writer, buffer, next, next));
    uint64_t read = 1 + next / 2; /* of four segments or so */
    expect_items(cursor, 1, read - 1);
    expect_ok(unit_writer_join(&writer));
    expect_items(cursor, read, next);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST_ALL_WAYS(buffer_wait, BUF9_closing_the_cursor_ends_the_wait)
{
    aether_cursor *cursor;
    uint64_t next;
    aether_buffer *buffer = fill_up(&cursor, NULL, &next);
    struct unit_writer writer;
    cr_assert(unit_writer_put_to_sleep(&writer, buffer, next, next + 5000));
    aether_cursor_close(cursor);
    expect_ok(unit_writer_join(&writer));
    expect_number(1, unit_stats(buffer).in_use_segments);
    aether_buffer_destroy(buffer);
}

TEST(buffer_wait, BUF9_a_cancelled_reader_makes_the_writer_wait_until_it_is_closed)
{
    aether_cursor *cursor;
    uint64_t next;
    aether_buffer *buffer = fill_up(&cursor, NULL, &next);
    struct unit_writer writer;
    cr_assert(unit_writer_put_to_sleep(&writer, buffer, next, next + 1000));
    aether_cursor_cancel(cursor);
    expect_status(AETHER_CANCELLED, unit_next(cursor));
    cr_assert(unit_writer_sleeps_still(&writer));
    aether_cursor_close(cursor);
    expect_ok(unit_writer_join(&writer));
    aether_buffer_destroy(buffer);
}

TEST(buffer_wait, BUF9_a_reader_that_waits_at_the_gate_has_told_that_it_has_read_all)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open_limit(buffer, AETHER_WAIT, LIMIT, NULL);
    struct unit_reader reader;
    for (uint64_t i = 1; i < 3000; i += 101) {
        cr_assert(unit_reader_put_to_sleep(&reader, cursor));
        expect_ok(unit_append(buffer, i, i));
        expect_ok(unit_reader_join(&reader));
        expect_ok(unit_append(buffer, i + 1, i + 100));
        expect_items(cursor, i + 1, i + 100);
    }
    expect_number(0, unit_stats(buffer).room_waits);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST_ALL_WAYS(buffer_wait, BUF9_the_deadline_ends_the_wait_and_nothing_has_changed)
{
    aether_cursor *cursor;
    uint64_t next;
    aether_buffer *buffer = fill_up(&cursor, "slow", &next);
    aether_buffer_stats before = unit_stats(buffer);
    expect_ok(aether_buffer_set_wait(buffer, AETHER_MILLISECONDS(5)));
    int64_t begun = unit_now();
    uint64_t sleeps = unit_futex_sleeps();
    expect_refused(AETHER_TIMEOUT, "aether_append: the cursor slow still has as much unread as it may, 4096 bytes",
                   unit_append(buffer, next, next));
    cr_assert(unit_now() - begun >= AETHER_MILLISECONDS(5));
    expect_within(sleeps + 1, sleeps + 20, unit_futex_sleeps());
    expect_nothing_written(before, buffer);
    expect_items(cursor, 1, next - 1);
    expect_empty(cursor);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_wait, BUF9_no_wait_answers_at_once)
{
    aether_cursor *cursor;
    uint64_t next;
    aether_buffer *buffer = fill_up(&cursor, NULL, &next);
    static const int64_t times[] = {AETHER_NO_WAIT, -1, INT64_MIN};
    uint64_t sleeps = unit_futex_sleeps();
    for (int i = 0; i < 3; i++) {
        expect_ok(aether_buffer_set_wait(buffer, times[i]));
        expect_refused(AETHER_TIMEOUT, "the cursor without a label still has", unit_append(buffer, next, next));
    }
    expect_number(sleeps, unit_futex_sleeps());
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_wait, BUF9_the_time_is_an_option_of_the_buffer)
{
    aether_buffer_options options = unit_options();
    options.wait_ns = AETHER_MILLISECONDS(2);
    aether_buffer *buffer = unit_buffer_with(options);
    aether_cursor *cursor = unit_open_limit(buffer, AETHER_WAIT, LIMIT, NULL);
    uint64_t next;
    int64_t begun = unit_now();
    expect_status(AETHER_TIMEOUT, unit_append_until(buffer, 1, &next));
    cr_assert(unit_now() - begun >= AETHER_MILLISECONDS(2));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

/* ---------------------------------------------------------------------------------------------------------- cancelling */

TEST_ALL_WAYS(buffer_wait, BUF9_a_cancel_wakes_the_writer)
{
    aether_cursor *cursor;
    uint64_t next;
    aether_buffer *buffer = fill_up(&cursor, "slow", &next);
    aether_buffer_stats before = unit_stats(buffer);
    struct unit_writer writer;
    cr_assert(unit_writer_put_to_sleep(&writer, buffer, next, next));
    aether_buffer_cancel(buffer);
    expect_status(AETHER_CANCELLED, unit_writer_join(&writer));
    expect_nothing_written(before, buffer);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_wait, BUF9_a_cancel_stays_until_the_writer_resumes)
{
    aether_cursor *cursor;
    uint64_t next;
    aether_buffer *buffer = fill_up(&cursor, "slow", &next);
    aether_buffer_cancel(buffer);
    for (int again = 0; again < 3; again++) {
        expect_refused(AETHER_CANCELLED, "aether_append: cancelled while waiting for the cursor slow",
                       unit_append(buffer, next, next));
        aether_buffer_cancel(buffer);
    }
    expect_ok(aether_buffer_resume(buffer));
    expect_ok(aether_buffer_resume(buffer));
    expect_ok(aether_buffer_set_wait(buffer, AETHER_NO_WAIT));
    expect_status(AETHER_TIMEOUT, unit_append(buffer, next, next));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_wait, BUF9_a_cancel_touches_only_appends_that_would_wait)
{
    aether_buffer *buffer = unit_buffer();
    aether_buffer_cancel(buffer);
    expect_ok(unit_append(buffer, 1, 1000));
    aether_cursor *cursor = unit_open_limit(buffer, AETHER_WAIT, LIMIT, NULL);
    for (uint64_t i = 1001; i < 3000; i += 20) {
        expect_ok(unit_append(buffer, i, i + 19));
        expect_items(cursor, i, i + 19);
        expect_empty(cursor);
    }
    aether_cursor_close(cursor);
    cursor = unit_open_limit(buffer, AETHER_WAIT, LIMIT, NULL); /* which nobody has read */
    uint64_t next;
    expect_status(AETHER_CANCELLED, unit_append_until(buffer, 1, &next));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

static aether_buffer *cancelled_by_signal;

static void cancel_it(int number)
{
    (void)number;
    aether_buffer_cancel(cancelled_by_signal);
}

TEST_ALL_WAYS(buffer_wait, D5_a_signal_handler_of_the_writer_s_own_thread_may_cancel)
{
    aether_cursor *cursor;
    uint64_t next;
    cancelled_by_signal = fill_up(&cursor, NULL, &next);
    struct sigaction action = {.sa_handler = cancel_it};
    sigaction(SIGUSR1, &action, NULL);
    struct unit_writer writer;
    cr_assert(unit_writer_put_to_sleep(&writer, cancelled_by_signal, next, next));
    pthread_kill(writer.thread.thread, SIGUSR1);
    expect_status(AETHER_CANCELLED, unit_writer_join(&writer));
    aether_cursor_close(cursor);
    aether_buffer_destroy(cancelled_by_signal);
}

/* ------------------------------------------------------------------------------------------------- how it waits */

TEST_ALL_WAYS(buffer_wait, BUF9_a_writer_that_waits_sleeps_and_is_not_woken_for_nothing)
{
    aether_cursor *cursor;
    uint64_t next;
    aether_buffer *buffer = fill_up(&cursor, NULL, &next);
    struct unit_writer writer;
    cr_assert(unit_writer_put_to_sleep(&writer, buffer, next, next));
    expect_items(cursor, 1, 3); /* within a segment nobody looks at the writer */
    aether_cursor *other = unit_open(buffer, AETHER_FROM_NEXT);
    expect_empty(other);
    aether_cursor_close(other);
    int64_t until = unit_now() + AETHER_MILLISECONDS(30);
    while (unit_now() < until)
        cr_assert(unit_writer_sleeps_still(&writer));
    expect_fine(read_on(cursor, 4, next));
    expect_ok(unit_writer_join(&writer));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_wait, BUF9_waits_are_counted)
{
    aether_cursor *cursor;
    uint64_t next;
    aether_buffer *buffer = fill_up(&cursor, NULL, &next);
    uint64_t before = unit_stats(buffer).room_waits; /* with AETHER_NO_WAIT it would have waited */
    struct unit_writer writer;
    cr_assert(unit_writer_put_to_sleep(&writer, buffer, next, next));
    expect_number(before + 1, unit_stats(buffer).room_waits);
    expect_fine(read_on(cursor, 1, next));
    expect_ok(unit_writer_join(&writer));
    expect_ok(unit_append(buffer, next + 1, next + 10));
    expect_number(before + 1, unit_stats(buffer).room_waits);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_wait, BUF9_what_the_writer_waits_with_is_not_visible)
{
    aether_cursor *cursor;
    uint64_t next;
    aether_buffer *buffer = fill_up(&cursor, NULL, &next);
    aether_cursor *other = unit_open(buffer, AETHER_FROM_NEXT);
    struct unit_writer writer;
    cr_assert(unit_writer_put_to_sleep(&writer, buffer, next, next));
    expect_number(next - 1, unit_stats(buffer).items);
    expect_position(UNIT_EPOCH, next - 1, aether_buffer_newest(buffer));
    expect_empty(other);
    expect_fine(read_on(cursor, 1, next));
    expect_ok(unit_writer_join(&writer));
    expect_items(other, next, next);
    aether_cursor_close(other);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_wait, BUF9_the_writer_waits_for_all_of_them)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursors[3];
    for (int i = 0; i < 3; i++)
        cursors[i] = unit_open_limit(buffer, AETHER_WAIT, LIMIT, NULL);
    expect_ok(aether_buffer_set_wait(buffer, AETHER_NO_WAIT));
    uint64_t next;
    expect_status(AETHER_TIMEOUT, unit_append_until(buffer, 1, &next));
    expect_ok(aether_buffer_set_wait(buffer, AETHER_FOREVER));
    struct unit_writer writer;
    cr_assert(unit_writer_put_to_sleep(&writer, buffer, next, next));
    for (int i = 0; i < 3; i++) {
        cr_assert(unit_writer_sleeps(&writer));
        expect_number(next - 1, unit_stats(buffer).items);
        expect_items(cursors[i], 1, next - 1);
        aether_item item;
        expect_status(i < 2 ? AETHER_EMPTY : AETHER_OK,
                      aether_cursor_next(cursors[i], &item, i < 2 ? AETHER_NO_WAIT : AETHER_FOREVER));
    }
    expect_ok(unit_writer_join(&writer));
    for (int i = 0; i < 3; i++)
        aether_cursor_close(cursors[i]);
    aether_buffer_destroy(buffer);
}

static const char *follow(void *user)
{
    return read_on(user, 1, 50000);
}

TEST_ALL_WAYS(buffer_wait, BUF9_a_slow_reader_paces_the_writer_and_misses_nothing)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursors[2];
    struct unit_thread readers[2];
    for (int i = 0; i < 2; i++) {
        cursors[i] = unit_open_limit(buffer, AETHER_WAIT, LIMIT, NULL);
        cr_assert(unit_thread_start(&readers[i], 0, follow, cursors[i]));
    }
    for (uint64_t i = 1; i <= 50000; i += 100) {
        expect_ok(unit_append(buffer, i, i + 99));
        expect_within(1, 7, unit_stats(buffer).in_use_segments);
    }
    for (int i = 0; i < 2; i++) {
        expect_fine(unit_thread_join(&readers[i]));
        aether_cursor_close(cursors[i]);
    }
    aether_buffer_destroy(buffer);
}

/* ------------------------------------------------------------------------------------------------- what does not wait */

TEST(buffer_wait, BUF9_an_item_above_the_limit_is_too_large_at_once)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open_limit(buffer, AETHER_WAIT, LIMIT, "small");
    uint64_t sleeps = unit_futex_sleeps();
    expect_refused(AETHER_TOO_LARGE, "are over the limit of 4096 of the cursor small",
                   aether_append(buffer, payload, LIMIT - AE_SLOT_HEADER + 1));
    expect_ok(aether_append(buffer, payload, LIMIT - AE_SLOT_HEADER));
    expect_status(AETHER_TOO_LARGE, aether_append(buffer, payload, LIMIT));
    expect_number(sleeps, unit_futex_sleeps());
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_wait, BUF9_a_cursor_that_refuses_decides_before_the_writer_waits_for_others)
{
    for (int order = 0; order < 2; order++) {
        aether_buffer *buffer = unit_buffer();
        aether_cursor *cursors[2];
        for (int i = 0; i < 2; i++)
            cursors[i] = unit_open_limit(buffer, i == order ? AETHER_WAIT : AETHER_REFUSE, LIMIT, NULL);
        uint64_t next, sleeps = unit_futex_sleeps();
        expect_status(AETHER_FULL, unit_append_until(buffer, 1, &next));
        expect_number(sleeps, unit_futex_sleeps());
        expect_items(cursors[1 - order], 1, next - 1);
        expect_empty(cursors[1 - order]);
        expect_ok(aether_buffer_set_wait(buffer, AETHER_NO_WAIT));
        expect_status(AETHER_TIMEOUT, unit_append(buffer, next, next));
        aether_cursor_close(cursors[0]);
        aether_cursor_close(cursors[1]);
        aether_buffer_destroy(buffer);
    }
}

TEST(buffer_wait, BUF9_every_call_that_needs_room_waits)
{
    aether_cursor *cursor;
    uint64_t next;
    aether_buffer *buffer = fill_up(&cursor, NULL, &next);
    aether_buffer_stats before = unit_stats(buffer);
    expect_ok(aether_buffer_set_wait(buffer, 1));
    aether_payload batch[] = {{.data = payload, .size = 300}, {.data = payload, .size = 300}};
    static const char text[] = "still has as much unread as it may";
    void *data;
    uint64_t waits = before.room_waits;
    expect_refused(AETHER_TIMEOUT, text, aether_append(buffer, payload, 600));
    expect_refused(AETHER_TIMEOUT, text, aether_append_at(buffer, next + 1000, payload, 600));
    expect_refused(AETHER_TIMEOUT, text, aether_append_batch(buffer, batch, 2));
    expect_refused(AETHER_TIMEOUT, text, aether_append_array(buffer, payload, 100, 6));
    expect_refused(AETHER_TIMEOUT, text, aether_reserve(buffer, 600, &data));
    expect_refused(AETHER_TIMEOUT, text, aether_buffer_trim(buffer));
    expect_number(waits + 6, unit_stats(buffer).room_waits);
    expect_nothing_written(before, buffer);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_wait, BUF3_commit_does_not_wait_for_what_came_after_the_reservation)
{
    aether_buffer *buffer = unit_buffer();
    void *data;
    expect_ok(unit_append(buffer, 1, 500));
    expect_ok(aether_reserve(buffer, 2 * LIMIT, &data)); /* rolls */
    aether_cursor *cursor = unit_open_limit(buffer, AETHER_WAIT, LIMIT, NULL);
    uint64_t sleeps = unit_futex_sleeps();
    expect_ok(aether_commit(buffer, 2 * LIMIT));
    expect_number(sleeps, unit_futex_sleeps());
    aether_item item;
    expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
    expect_number(2 * LIMIT, item.size);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_wait, BUF9_the_end_a_splice_and_destroy_do_not_wait)
{
    aether_cursor *cursors[3];
    uint64_t next[3];
    uint64_t sleeps = unit_futex_sleeps();
    aether_buffer *ended = fill_up(&cursors[0], NULL, &next[0]), *spliced = fill_up(&cursors[1], NULL, &next[1]);
    aether_buffer *destroyed = fill_up(&cursors[2], NULL, &next[2]), *target = unit_buffer();
    expect_ok(aether_buffer_end(ended, AETHER_OK));
    expect_ok(aether_buffer_splice(spliced, unit_open(target, AETHER_FROM_NEXT)));
    aether_buffer_destroy(destroyed);
    expect_number(sleeps, unit_futex_sleeps());
    for (int i = 0; i < 3; i++)
        expect_items(cursors[i], 1, next[i] - 1);
    expect_status(AETHER_ENDED, unit_next(cursors[0]));
    expect_empty(cursors[1]);
    expect_status(AETHER_CLOSED, unit_next(cursors[2]));
    for (int i = 0; i < 3; i++)
        aether_cursor_close(cursors[i]);
    aether_buffer_destroy(ended);
    aether_buffer_destroy(spliced);
    aether_buffer_destroy(target);
}

/* ------------------------------------------------------------------------------------------- waits that nobody can end */

TEST(buffer_wait, BUF9_a_wait_for_the_writer_s_own_thread_would_block)
{
    aether_cursor *cursor;
    uint64_t next;
    aether_buffer *buffer = fill_up(&cursor, "mine", &next);
    expect_items(cursor, 1, next - 1);
    expect_empty(cursor);
    uint64_t sleeps = unit_futex_sleeps();
    expect_status(AETHER_WOULD_BLOCK, unit_append_until(buffer, next, &next));
    expect_failure(
        AETHER_WOULD_BLOCK,
        "aether_append: this thread itself reads the cursor mine, which has as much unread as it may, 4096 bytes");
    aether_buffer_stats before = unit_stats(buffer);
    expect_status(AETHER_WOULD_BLOCK, unit_append(buffer, next, next));
    expect_nothing_written(before, buffer);
    expect_number(sleeps, unit_futex_sleeps());
    while (unit_next(cursor) == AETHER_OK)
        ;
    expect_ok(unit_append(buffer, next, next));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_wait, BUF9_it_would_block_also_where_the_reader_only_crossed)
{
    aether_cursor *cursor;
    uint64_t next;
    aether_buffer *buffer = fill_up(&cursor, NULL, &next);
    expect_items(cursor, 1, next / 2);
    expect_ok(aether_buffer_set_wait(buffer, AETHER_MILLISECONDS(1)));
    expect_status(AETHER_WOULD_BLOCK, unit_append_until(buffer, next, &next));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_wait, BUF9_it_would_block_also_where_the_reader_has_read_a_single_item)
{
    aether_cursor *cursor;
    uint64_t next;
    aether_buffer *buffer = fill_up(&cursor, NULL, &next);
    expect_items(cursor, 1, 1);
    expect_ok(aether_buffer_set_wait(buffer, AETHER_MILLISECONDS(1)));
    expect_status(AETHER_WOULD_BLOCK, unit_append_until(buffer, next, &next));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

static const char *read_to_the_end(void *user)
{
    while (unit_next(user) == AETHER_OK)
        ;
    return NULL;
}

TEST(buffer_wait, BUF9_for_a_cursor_that_another_thread_read_last_the_writer_waits)
{
    aether_cursor *cursor;
    uint64_t next;
    aether_buffer *buffer = fill_up(&cursor, NULL, &next);
    struct unit_thread reader;
    expect_items(cursor, 1, next / 2);
    cr_assert(unit_thread_start(&reader, 0, read_to_the_end, cursor));
    expect_fine(unit_thread_join(&reader));
    expect_ok(aether_buffer_set_wait(buffer, AETHER_NO_WAIT));
    expect_status(AETHER_TIMEOUT, unit_append_until(buffer, next, &next));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_wait, BUF9_a_closed_cursor_s_thread_is_forgotten)
{
    aether_cursor *cursor;
    uint64_t next;
    aether_buffer *buffer = fill_up(&cursor, NULL, &next);
    expect_items(cursor, 1, next - 1);
    expect_empty(cursor);
    aether_cursor_close(cursor);
    cursor = unit_open_limit(buffer, AETHER_WAIT, LIMIT, NULL); /* where the other one was registered */
    expect_ok(aether_buffer_set_wait(buffer, AETHER_NO_WAIT));
    expect_status(AETHER_TIMEOUT, unit_append_until(buffer, next, &next)); /* not "would block": nobody has read it */
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

/* ------------------------------------------------------------------------------------------------------------ splices */

TEST_ALL_WAYS(buffer_wait, BUF9_a_cursor_that_crosses_a_splice_makes_the_other_writer_wait)
{
    aether_buffer *snapshot = unit_buffer(), *live = unit_buffer();
    aether_cursor *cursor = unit_open_limit(snapshot, AETHER_WAIT, LIMIT, "watcher");
    expect_ok(unit_append(snapshot, 1, 5));
    expect_ok(aether_buffer_splice(snapshot, unit_open(live, AETHER_FROM_NEXT)));
    expect_ok(unit_append(live, 1, 300)); /* it is not there yet */
    expect_items(cursor, 1, 5);
    expect_items(cursor, 1, 1);
    expect_number(1, unit_stats(live).cursors);
    struct unit_writer writer;
    cr_assert(unit_writer_put_to_sleep(&writer, live, 301, 400));
    expect_fine(read_on(cursor, 2, 400));
    expect_ok(unit_writer_join(&writer));
    cr_assert(unit_writer_put_to_sleep(&writer, live, 401, 2000));
    aether_cursor_close(cursor);
    expect_ok(unit_writer_join(&writer));
    aether_buffer_destroy(snapshot);
    aether_buffer_destroy(live);
}

/* The other way round: where it came from, a cursor that has gone on is not waited for. */
TEST_ALL_WAYS(buffer_wait, BUF9_a_splice_from_the_place_of_a_waiting_cursor_frees_the_writer)
{
    aether_cursor *at;
    uint64_t next;
    aether_buffer *live = fill_up(&at, NULL, &next), *snapshot = unit_buffer();
    aether_cursor *cursor = unit_open(snapshot, AETHER_FROM_NEXT);
    struct unit_writer writer;
    cr_assert(unit_writer_put_to_sleep(&writer, live, next, next + 1000));
    expect_ok(aether_buffer_splice(snapshot, at));
    expect_ok(unit_writer_join(&writer));
    expect_items(cursor, 1, next + 1000);
    aether_cursor_close(cursor);
    aether_buffer_destroy(snapshot);
    aether_buffer_destroy(live);
}

TEST(buffer_wait, BUF9_a_twin_is_waited_for_as_well)
{
    aether_cursor *cursor;
    uint64_t next;
    aether_buffer *buffer = fill_up(&cursor, NULL, &next);
    aether_cursor *twin = aether_cursor_dup(cursor);
    struct unit_writer writer;
    cr_assert(unit_writer_put_to_sleep(&writer, buffer, next, next));
    aether_cursor_close(cursor);
    cr_assert(unit_writer_sleeps(&writer));
    expect_number(next - 1, unit_stats(buffer).items);
    aether_cursor_close(twin);
    expect_ok(unit_writer_join(&writer));
    aether_buffer_destroy(buffer);
}
