/* Cancelling a reader: before it waits, while, after; from other threads and from signal handlers. */
#include "common/unit.h"

#include <errno.h>
#include <signal.h>

#include "buffer/cursor.h"

TEST(buffer_cancel, BUF4_a_cancelled_reader_stays_cancelled_until_it_resumes)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    aether_item items[2];
    size_t count;
    expect_ok(unit_append(buffer, 1, 4));
    expect_items(cursor, 1, 1);
    aether_cursor_cancel(cursor);
    for (int again = 0; again < 3; again++) {
        expect_status(AETHER_CANCELLED, aether_cursor_next(cursor, items, AETHER_NO_WAIT));
        expect_status(AETHER_CANCELLED, aether_cursor_next(cursor, items, AETHER_FOREVER));
        expect_status(AETHER_CANCELLED, aether_cursor_run(cursor, items, 2, &count, AETHER_FOREVER));
        aether_cursor_cancel(cursor);
    }
    expect_position(UNIT_EPOCH, 1, aether_cursor_position(cursor));
    expect_ok(aether_cursor_resume(cursor));
    expect_items(cursor, 2, 4);
    expect_empty(cursor);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_cancel, BUF4_resuming_what_was_not_cancelled_is_ok)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(aether_cursor_resume(cursor));
    aether_cursor_cancel(cursor);
    expect_ok(aether_cursor_resume(cursor));
    expect_ok(aether_cursor_resume(cursor));
    expect_empty(cursor);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_cancel, BUF4_a_cancel_beats_the_end_until_the_reader_resumes)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(aether_buffer_end(buffer, AETHER_FAILED));
    aether_cursor_cancel(cursor);
    expect_status(AETHER_CANCELLED, unit_next(cursor));
    expect_ok(aether_cursor_resume(cursor));
    expect_status(AETHER_FAILED, unit_next(cursor));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_cancel, BUF7_a_twin_is_not_cancelled)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    aether_cursor_cancel(cursor);
    aether_cursor *twin = aether_cursor_dup(cursor);
    expect_empty(twin);
    aether_cursor_cancel(twin);
    expect_ok(aether_cursor_resume(cursor));
    expect_empty(cursor);
    expect_status(AETHER_CANCELLED, unit_next(twin));
    aether_cursor_close(twin);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST_ALL_WAYS(buffer_cancel, BUF4_a_cancel_wakes_who_sleeps)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    for (uint64_t round = 1; round <= 3; round++) {
        struct unit_reader reader;
        cr_assert(round % 2 ? unit_reader_start(&reader, cursor, AETHER_FOREVER)
                            : unit_reader_run(&reader, cursor, AETHER_FOREVER));
        cr_assert(unit_reader_sleeps(&reader));
        aether_cursor_cancel(cursor);
        expect_status(AETHER_CANCELLED, unit_reader_join(&reader));
        expect_ok(aether_cursor_resume(cursor));
        expect_ok(unit_append(buffer, round, round));
        expect_items(cursor, round, round);
    }
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

enum { SLEEPERS = 8 };

TEST_ALL_WAYS(buffer_cancel, BUF4_a_cancel_ends_the_wait_of_exactly_that_reader)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursors[SLEEPERS];
    struct unit_reader readers[SLEEPERS];
    for (int i = 0; i < SLEEPERS; i++) {
        cursors[i] = unit_open(buffer, AETHER_FROM_NEXT);
        cr_assert(unit_reader_put_to_sleep(&readers[i], cursors[i]));
    }
    for (int i = 0; i < SLEEPERS; i += 2) {
        aether_cursor_cancel(cursors[i]);
        expect_status(AETHER_CANCELLED, unit_reader_join(&readers[i]));
    }
    for (int i = 1; i < SLEEPERS; i += 2)
        cr_assert(unit_reader_sleeps(&readers[i]));
    expect_ok(unit_append(buffer, 1, 1));
    for (int i = 1; i < SLEEPERS; i += 2)
        expect_ok(unit_reader_join(&readers[i]));
    for (int i = 0; i < SLEEPERS; i++)
        aether_cursor_close(cursors[i]);
    aether_buffer_destroy(buffer);
}

TEST(buffer_cancel, BUF4_a_cancel_wakes_exactly_that_reader)
{
    if (ae_futex.wait_two == NULL)
        cr_skip_test("this kernel cannot sleep on two words");
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursors[SLEEPERS];
    struct unit_reader readers[SLEEPERS];
    for (int i = 0; i < SLEEPERS; i++) {
        cursors[i] = unit_open(buffer, AETHER_FROM_NEXT);
        cr_assert(unit_reader_put_to_sleep(&readers[i], cursors[i]));
    }
    for (int i = 0; i < SLEEPERS; i++) {
        for (int other = i; other < SLEEPERS; other++)
            cr_assert(unit_reader_sleeps_still(&readers[other]));
        aether_cursor_cancel(cursors[i]);
        expect_status(AETHER_CANCELLED, unit_reader_join(&readers[i]));
    }
    for (int i = 0; i < SLEEPERS; i++)
        aether_cursor_close(cursors[i]);
    aether_buffer_destroy(buffer);
}

/* At another address. */
static aether_cursor *reopen(aether_cursor *cursor, aether_buffer *buffer)
{
    aether_cursor *another = unit_open(buffer, AETHER_FROM_NEXT);
    aether_cursor_close(cursor);
    return another;
}

TEST(buffer_cancel, BUF4_a_poke_wakes_only_readers_that_share_its_bit)
{
    unit_futex_poke();
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT), *other = unit_open(buffer, AETHER_FROM_NEXT);
    while ((uintptr_t)cursor / AE_CURSOR_ALIGN % 32 == (uintptr_t)other / AE_CURSOR_ALIGN % 32)
        other = reopen(other, buffer); /* the bit comes from the address */
    struct unit_reader told, asleep;
    cr_assert(unit_reader_put_to_sleep(&told, cursor));
    cr_assert(unit_reader_put_to_sleep(&asleep, other));
    aether_cursor_cancel(cursor);
    expect_status(AETHER_CANCELLED, unit_reader_join(&told));
    cr_assert(unit_reader_sleeps_still(&asleep));
    aether_cursor_cancel(other);
    expect_status(AETHER_CANCELLED, unit_reader_join(&asleep));
    aether_cursor_close(cursor);
    aether_cursor_close(other);
    aether_buffer_destroy(buffer);
}

/* ---------------------------------------------------------------------------------------------- from signal handlers */

static aether_cursor *to_cancel;

static void cancel_it(int number)
{
    (void)number;
    aether_cursor_cancel(to_cancel);
}

static void install_handler(aether_cursor *cursor)
{
    struct sigaction action = {.sa_handler = cancel_it};
    to_cancel = cursor;
    sigaction(SIGUSR1, &action, NULL);
}

TEST_ALL_WAYS(buffer_cancel, D5_a_handler_cancels_the_reader_that_it_interrupts)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    install_handler(cursor);
    struct unit_reader reader;
    cr_assert(unit_reader_put_to_sleep(&reader, cursor));
    cr_assert(pthread_kill(reader.thread.thread, SIGUSR1) == 0);
    expect_status(AETHER_CANCELLED, unit_reader_join(&reader));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST_ALL_WAYS(buffer_cancel, D5_a_handler_cancels_a_reader_of_another_thread)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    install_handler(cursor);
    struct unit_reader reader;
    cr_assert(unit_reader_put_to_sleep(&reader, cursor));
    cr_assert(raise(SIGUSR1) == 0);
    expect_status(AETHER_CANCELLED, unit_reader_join(&reader));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

static bool interrupted(int64_t deadline, void *user)
{
    (void)deadline;
    (void)user;
    cr_assert(raise(SIGUSR1) == 0);
    return true;
}

TEST_ALL_WAYS(buffer_cancel, D5_a_handler_cancels_between_look_and_sleep)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    install_handler(cursor);
    unit_futex_hook(interrupted, NULL);
    aether_item item;
    expect_status(AETHER_CANCELLED, aether_cursor_next(cursor, &item, AETHER_FOREVER));
    unit_futex_hook(NULL, NULL);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

static void wake_and_fail(uint32_t *word, int count, uint32_t bits)
{
    (void)word;
    (void)count;
    (void)bits;
    errno = EFAULT;
}

TEST(buffer_cancel, D5_a_cancel_leaves_errno_to_whom_it_interrupts)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    ae_futex.wake = wake_and_fail;
    errno = EDOM;
    aether_cursor_cancel(cursor);
    expect_number(EDOM, errno);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

/* ------------------------------------------------------------------------------------------------- beside the writer */

enum { ROUNDS = 300 };

static const char *read_and_resume(void *user)
{
    for (uint64_t next = 1; next <= ROUNDS;) {
        aether_item item;
        aether_status status = aether_cursor_next(user, &item, AETHER_FOREVER);
        if (status == AETHER_CANCELLED) {
            claim(aether_cursor_resume(user) == AETHER_OK);
            continue;
        }
        claim(status == AETHER_OK && unit_is_item(&item, next));
        next++;
    }
    return NULL;
}

TEST_ALL_WAYS(buffer_cancel, BUF4_cancels_lose_no_item)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    struct unit_thread reader;
    cr_assert(unit_thread_start(&reader, 0, read_and_resume, cursor));
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        aether_cursor_cancel(cursor);
        expect_ok(unit_append(buffer, i, i));
        aether_cursor_cancel(cursor);
    }
    expect_fine(unit_thread_join(&reader));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

/* ------------------------------------------------------------------------------------------------- cancelled, then closed
 */

static const char *close_when_cancelled(void *user)
{
    aether_item item;
    claim(aether_cursor_next(user, &item, AETHER_FOREVER) == AETHER_CANCELLED);
    aether_cursor_close(user); /* at once: who cancelled may still be inside */
    return NULL;
}

TEST_ALL_WAYS(buffer_cancel, BUF4_a_reader_may_close_as_soon_as_it_is_told)
{
    aether_buffer *buffer = unit_buffer();
    for (int round = 0; round < 500; round++) {
        aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
        struct unit_thread reader;
        cr_assert(unit_thread_start(&reader, 0, close_when_cancelled, cursor));
        aether_cursor_cancel(cursor);
        expect_fine(unit_thread_join(&reader));
    }
    aether_buffer_destroy(buffer);
    cr_assert(unit_memory_is_balanced());
}
