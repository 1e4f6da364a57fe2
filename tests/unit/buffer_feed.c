/* What the bus needs of buffers: a wait for room in another thread than the writer's, cursors that move, hints. */
#include "common/unit.h"

#include "aether/poller.h"
#include "base/clock.h"
#include "buffer/feed.h"

enum { LIMIT = 4 * UNIT_SEGMENT };

static aether_buffer *fill_up(aether_cursor **cursor, uint64_t *next)
{
    aether_buffer *buffer = unit_buffer();
    ae_buffer_wait_elsewhere(buffer);
    *cursor = unit_open_limit(buffer, AETHER_WAIT, LIMIT, "slow");
    cr_assert(unit_append_until(buffer, 1, next) == AE_MUST_WAIT);
    return buffer;
}

TEST(buffer_feed, BUF9_an_append_that_must_wait_says_so_and_has_done_nothing)
{
    aether_cursor *cursor;
    uint64_t next;
    aether_buffer *buffer = fill_up(&cursor, &next);
    aether_buffer_stats before = unit_stats(buffer);
    cr_assert(unit_append(buffer, next, next) == AE_MUST_WAIT);
    expect_nothing_written(before, buffer);
    expect_items(cursor, 1, next - 1);
    expect_empty(cursor);
    expect_ok(unit_append(buffer, next, next));
    expect_items(cursor, next, next);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_feed, BUF9_waiting_for_room_ends_by_the_deadline_or_a_cancellation)
{
    aether_cursor *cursor;
    uint64_t next;
    aether_buffer *buffer = fill_up(&cursor, &next);
    struct ae_room room = buffer->wanted_room;
    expect_status(AETHER_TIMEOUT, ae_room_await(buffer, &room, ae_clock.now(), "test"));
    expect_failure(AETHER_TIMEOUT, "test: the cursor slow");
    aether_buffer_cancel(buffer);
    expect_status(AETHER_CANCELLED, ae_room_await(buffer, &room, AETHER_FOREVER, "test"));
    expect_ok(aether_buffer_resume(buffer));
    expect_items(cursor, 1, 1); /* it is this thread's from here on */
    expect_status(AETHER_WOULD_BLOCK, ae_room_await(buffer, &room, AETHER_FOREVER, "test"));
    aether_cursor_close(cursor);
    expect_ok(ae_room_await(buffer, &room, AETHER_FOREVER, "test"));
    aether_buffer_destroy(buffer);
}

struct await {
    aether_buffer *buffer;
    struct ae_room room;
};

static const char *await(void *user)
{
    struct await *self = user;
    return ae_room_await(self->buffer, &self->room, AETHER_FOREVER, "test") == AETHER_OK ? NULL : aether_error();
}

TEST_ALL_WAYS(buffer_feed, BUF9_another_thread_waits_until_the_reader_reads_on)
{
    aether_cursor *cursor;
    uint64_t next;
    aether_buffer *buffer = fill_up(&cursor, &next);
    struct await self = {buffer, buffer->wanted_room};
    struct unit_thread thread;
    cr_assert(unit_thread_start(&thread, 0, await, &self));
    expect_items(cursor, 1, next - 1);
    expect_empty(cursor);
    expect_fine(unit_thread_join(&thread));
    expect_ok(unit_append(buffer, next, next));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_feed, BUF3_a_cursor_moves_with_its_place_and_its_limit)
{
    aether_buffer *one = unit_buffer(), *other = unit_buffer();
    expect_ok(unit_append(one, 1, 500));
    expect_ok(unit_append(other, 1, 9));
    aether_cursor *cursor = unit_open_limit(one, AETHER_WAIT, LIMIT, "moved");
    aether_cursor *from = unit_open_limit(other, AETHER_LAP, LIMIT, NULL);
    expect_ok(unit_append(one, 501, 501));
    expect_ok(unit_append(other, 10, 20));
    expect_items(from, 10, 14);
    ae_cursor_move(cursor, from);
    cr_assert(ae_cursor_is_in(cursor, other) && !ae_cursor_is_in(cursor, one));
    expect_position(UNIT_EPOCH, 14, aether_cursor_position(cursor));
    expect_number(0, unit_stats(one).cursors);
    expect_number(0, unit_stats(one).slowest_of);
    expect_number(1, unit_stats(other).cursors);
    expect_items(cursor, 15, 20);
    uint64_t failed = 21;
    expect_ok(unit_append(other, 21, 2000));
    expect_items(cursor, 21, failed + 1);
    while (unit_next(cursor) == AETHER_OK) /* what was its segment */
        failed++;
    cr_assert(unit_cursor_stats(cursor).lags == 1);
    ae_buffer_check(one);
    ae_buffer_check(other);
    aether_cursor_close(cursor);
    aether_buffer_destroy(one);
    aether_buffer_destroy(other);
}

TEST(buffer_feed, BUF10_a_poller_follows_a_cursor_that_moved_and_a_hint)
{
    aether_buffer *one = unit_buffer(), *other = unit_buffer();
    aether_cursor *cursor = unit_open(one, AETHER_FROM_NEXT);
    aether_poller *poller = aether_poller_create(&unit_allocator);
    aether_ready ready;
    size_t count;
    expect_ok(aether_poller_add(poller, cursor, NULL));
    expect_status(AETHER_EMPTY, aether_poller_wait(poller, &ready, 1, &count, AETHER_NO_WAIT));
    ae_cursor_move(cursor, unit_open(other, AETHER_FROM_NEXT));
    expect_status(AETHER_EMPTY, aether_poller_wait(poller, &ready, 1, &count, AETHER_NO_WAIT));
    expect_ok(unit_append(other, 1, 1));
    expect_ok(aether_poller_wait(poller, &ready, 1, &count, AETHER_FOREVER));
    expect_items(cursor, 1, 1);
    expect_status(AETHER_EMPTY, aether_poller_wait(poller, &ready, 1, &count, AETHER_NO_WAIT));
    ae_cursor_hint(cursor, true);
    for (int again = 0; again < 2; again++)
        expect_ok(aether_poller_wait(poller, &ready, 1, &count, AETHER_FOREVER));
    ae_cursor_hint(cursor, false);
    expect_status(AETHER_EMPTY, aether_poller_wait(poller, &ready, 1, &count, AETHER_NO_WAIT));
    aether_cursor_cancel(cursor); /* it finds the cursor where it is now */
    expect_ok(aether_poller_wait(poller, &ready, 1, &count, AETHER_FOREVER));
    aether_cursor_close(cursor);
    aether_poller_destroy(poller);
    aether_buffer_destroy(one);
    aether_buffer_destroy(other);
}

TEST(buffer_feed, BUF8_retention_changes_from_the_next_segment_on)
{
    aether_buffer *buffer = unit_buffer();
    expect_ok(unit_append(buffer, 1, 1000));
    ae_buffer_set_retention(buffer, 0, 300, 0);
    expect_ok(unit_append(buffer, 1001, 2000));
    expect_within(300, 1000, unit_stats(buffer).retained_items);
    ae_buffer_set_retention(buffer, 0, 0, 0);
    expect_ok(unit_append(buffer, 2001, 3000));
    expect_within(0, 100, unit_stats(buffer).retained_items);
    expect_number(3000, ae_buffer_items(buffer));
    expect_number(3000, ae_buffer_events(buffer));
    expect_number(3000, ae_buffer_index(buffer));
    aether_buffer_destroy(buffer);
}
