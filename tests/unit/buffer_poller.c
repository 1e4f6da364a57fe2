/* One thread that waits for many cursors. */
#include "common/unit.h"

#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include "aether/poller.h"
#include "base/rcu.h"

static aether_poller *make(void)
{
    aether_poller *poller = aether_poller_create(unit_options().allocator);
    cr_assert(poller != NULL);
    return poller;
}

static void add(aether_poller *poller, aether_cursor *cursor, uintptr_t user)
{
    expect_ok(aether_poller_add(poller, cursor, (void *)user));
}

static size_t wait_now(aether_poller *poller, aether_ready ready[static 8])
{
    size_t count;
    aether_status status = aether_poller_wait(poller, ready, 8, &count, AETHER_NO_WAIT);
    cr_assert(status == AETHER_OK || (status == AETHER_EMPTY && count == 0));
    return count;
}

static bool is_readable(aether_poller *poller)
{
    struct pollfd poll_fd = {aether_poller_fd(poller), POLLIN, 0};
    cr_assert(poll_fd.fd >= 0);
    return poll(&poll_fd, 1, 0) == 1;
}

TEST(buffer_poller, BUF4_only_cursors_that_have_something_are_handed_out)
{
    enum { BUFFERS = 5 };
    aether_poller *poller = make();
    aether_buffer *buffers[BUFFERS];
    aether_cursor *cursors[BUFFERS];
    aether_ready ready[8];
    for (uintptr_t i = 0; i < BUFFERS; i++) {
        buffers[i] = unit_buffer();
        cursors[i] = unit_open(buffers[i], AETHER_FROM_NEXT);
        add(poller, cursors[i], i);
    }
    for (uint64_t round = 1; round <= 50; round++) {
        expect_number(0, wait_now(poller, ready));
        uintptr_t which = round % BUFFERS;
        uint64_t item = unit_stats(buffers[which]).items + 1;
        expect_ok(unit_append(buffers[which], item, item));
        expect_number(1, wait_now(poller, ready));
        cr_assert(ready[0].cursor == cursors[which] && ready[0].user == (void *)which);
        expect_number(1, wait_now(poller, ready)); /* until it is read */
        expect_items(cursors[which], item, item);
    }
    for (int i = 0; i < BUFFERS; i++) {
        aether_cursor_close(cursors[i]);
        aether_buffer_destroy(buffers[i]);
    }
    aether_poller_destroy(poller);
    ae_rcu_barrier();
    cr_assert(unit_memory_is_balanced());
}

TEST(buffer_poller, BUF4_the_descriptor_is_readable_while_something_is_there)
{
    aether_poller *poller = make();
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    aether_ready ready[8];
    cr_assert(is_readable(poller)); /* nobody has looked yet */
    expect_number(0, wait_now(poller, ready));
    cr_assert(!is_readable(poller));
    add(poller, cursor, 1);
    cr_assert(is_readable(poller));
    expect_number(0, wait_now(poller, ready));
    cr_assert(!is_readable(poller));
    for (uint64_t i = 1; i <= 100; i++) {
        expect_ok(unit_append(buffer, 2 * i - 1, 2 * i));
        cr_assert(is_readable(poller));
        expect_number(1, wait_now(poller, ready));
        expect_items(cursor, 2 * i - 1, 2 * i - 1);
        cr_assert(is_readable(poller)); /* one is left */
        expect_items(cursor, 2 * i, 2 * i);
        expect_number(0, wait_now(poller, ready));
        cr_assert(!is_readable(poller));
    }
    expect_ok(aether_buffer_end(buffer, AETHER_OK));
    cr_assert(is_readable(poller));
    expect_number(1, wait_now(poller, ready));
    expect_status(AETHER_ENDED, unit_next(cursor));
    aether_cursor_close(cursor);
    expect_number(0, wait_now(poller, ready));
    aether_buffer_destroy(buffer);
    aether_poller_destroy(poller);
    cr_assert(unit_memory_is_balanced());
}

TEST(buffer_poller, BUF4_a_cancelled_cursor_is_ready)
{
    aether_poller *poller = make();
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    aether_ready ready[8];
    add(poller, cursor, 1);
    expect_number(0, wait_now(poller, ready));
    aether_cursor_cancel(cursor);
    expect_number(1, wait_now(poller, ready));
    expect_status(AETHER_CANCELLED, unit_next(cursor));
    expect_ok(aether_cursor_resume(cursor));
    expect_number(0, wait_now(poller, ready));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
    aether_poller_destroy(poller);
    cr_assert(unit_memory_is_balanced());
}

TEST(buffer_poller, BUF4_a_cursor_may_cross_into_another_buffer_while_it_is_watched)
{
    aether_poller *poller = make();
    aether_buffer *first = unit_buffer(), *second = unit_buffer();
    aether_cursor *cursor = unit_open(first, AETHER_FROM_NEXT);
    aether_cursor *other = unit_open(first, AETHER_FROM_NEXT);
    aether_ready ready[8];
    add(poller, cursor, 1);
    add(poller, other, 2);
    expect_number(0, wait_now(poller, ready));
    expect_ok(aether_buffer_splice(first, unit_open(second, AETHER_FROM_NEXT)));
    expect_number(2, wait_now(poller, ready)); /* they do not know what is behind the seam */
    expect_empty(cursor);
    expect_empty(other);
    expect_number(0, wait_now(poller, ready));
    aether_buffer_destroy(first);
    expect_ok(unit_append(second, 1, 1));
    expect_number(2, wait_now(poller, ready));
    expect_items(cursor, 1, 1);
    expect_ok(aether_poller_remove(poller, other));
    expect_number(0, wait_now(poller, ready));
    expect_items(other, 1, 1);
    aether_cursor_close(other);
    aether_poller_destroy(poller); /* before its cursor */
    expect_ok(unit_append(second, 2, 2));
    expect_items(cursor, 2, 2);
    aether_cursor_close(cursor);
    aether_buffer_destroy(second);
    ae_rcu_barrier();
    cr_assert(unit_memory_is_balanced());
}

TEST(buffer_poller, BUF4_what_is_wrong_is_refused)
{
    aether_poller *poller = make(), *other = make();
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    aether_ready ready[8];
    size_t count;
    expect_refused(AETHER_INVALID, "the poller is NULL", aether_poller_add(NULL, cursor, NULL));
    expect_refused(AETHER_INVALID, "the cursor is NULL", aether_poller_add(poller, NULL, NULL));
    expect_refused(AETHER_INVALID, "not in this poller", aether_poller_remove(poller, cursor));
    add(poller, cursor, 1);
    expect_refused(AETHER_BUSY, "in a poller already", aether_poller_add(other, cursor, NULL));
    expect_refused(AETHER_INVALID, "not in this poller", aether_poller_remove(other, cursor));
    expect_refused(AETHER_INVALID, "capacity 0", aether_poller_wait(poller, ready, 0, &count, AETHER_NO_WAIT));
    expect_refused(AETHER_INVALID, "ready is NULL", aether_poller_wait(poller, NULL, 8, &count, AETHER_NO_WAIT));
    expect_refused(AETHER_INVALID, "count is NULL", aether_poller_wait(poller, ready, 8, NULL, AETHER_NO_WAIT));
    expect_ok(aether_poller_remove(poller, cursor));
    add(other, cursor, 2); /* a cursor may change its poller */
    expect_ok(unit_append(buffer, 1, 1));
    expect_number(0, wait_now(poller, ready));
    expect_number(1, wait_now(other, ready));
    expect_status(AETHER_TIMEOUT, aether_poller_wait(poller, ready, 8, &count, AETHER_MILLISECONDS(1)));
    aether_poller_cancel(poller);
    expect_status(AETHER_CANCELLED, aether_poller_wait(poller, ready, 8, &count, AETHER_FOREVER));
    expect_ok(aether_poller_resume(poller));
    expect_number(0, wait_now(poller, ready));
    aether_poller_destroy(poller);
    aether_poller_destroy(other);
    aether_poller_destroy(NULL);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
    ae_rcu_barrier();
    cr_assert(unit_memory_is_balanced());
}

/* ------------------------------------------------------------------------------------------------------ many threads */

enum { WRITERS = 4, EACH = 3, ITEMS = 3000 };

static const char *write_some(void *user)
{
    aether_buffer *buffer = user;
    for (uint64_t i = 1; i <= ITEMS; i++) {
        claim(unit_append(buffer, i, i) == AETHER_OK);
        if (i % 7 == 0)
            sched_yield();
    }
    claim(aether_buffer_end(buffer, AETHER_OK) == AETHER_OK);
    return NULL;
}

/* Reads what is there; true at the end of the stream. */
static bool drain(aether_cursor *cursor, uint64_t *next)
{
    aether_item item;
    aether_status status;
    while ((status = aether_cursor_next(cursor, &item, AETHER_NO_WAIT)) == AETHER_OK) {
        cr_assert(unit_is_item(&item, *next + 1));
        ++*next;
    }
    cr_assert(status == AETHER_EMPTY || status == AETHER_ENDED);
    return status == AETHER_ENDED;
}

TEST_ALL_WAYS(buffer_poller, BUF4_no_wakeup_is_lost_with_many_writers_and_cursors)
{
    aether_poller *poller = make();
    aether_buffer *buffers[WRITERS];
    struct unit_thread threads[WRITERS];
    uint64_t next[WRITERS * EACH] = {0};
    for (uintptr_t i = 0; i < WRITERS; i++) {
        buffers[i] = unit_buffer();
        for (uintptr_t j = 0; j < EACH; j++)
            add(poller, unit_open(buffers[i], AETHER_FROM_NEXT), i * EACH + j);
    }
    for (int i = 0; i < WRITERS; i++)
        cr_assert(unit_thread_start(&threads[i], 0, write_some, buffers[i]));
    for (int open = WRITERS * EACH; open > 0;) {
        aether_ready ready[5];
        size_t count;
        expect_ok(aether_poller_wait(poller, ready, 5, &count, AETHER_SECONDS(20)));
        for (size_t i = 0; i < count; i++)
            if (drain(ready[i].cursor, &next[(uintptr_t)ready[i].user])) {
                aether_cursor_close(ready[i].cursor);
                open--;
            }
    }
    for (int i = 0; i < WRITERS; i++) {
        expect_fine(unit_thread_join(&threads[i]));
        aether_buffer_destroy(buffers[i]);
    }
    for (int i = 0; i < WRITERS * EACH; i++)
        expect_number(ITEMS, next[i]);
    aether_poller_destroy(poller);
    ae_rcu_barrier();
    cr_assert(unit_memory_is_balanced());
}
