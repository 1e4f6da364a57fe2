/* Closing a cursor from another thread while its reader is inside a call. */
#include "common/unit.h"

#include "buffer/cursor.h"

TEST_ALL_WAYS(buffer_close, BUF4_closing_wakes_a_reader_inside_next)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    struct unit_reader reader;
    cr_assert(unit_reader_put_to_sleep(&reader, cursor));
    aether_cursor_close(cursor);
    expect_status(AETHER_CLOSED, unit_reader_join(&reader));
    expect_number(0, unit_stats(buffer).cursors);
    aether_buffer_destroy(buffer);
}

TEST_ALL_WAYS(buffer_close, BUF4_closing_wakes_a_reader_inside_run)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    struct unit_reader reader;
    cr_assert(unit_reader_run(&reader, cursor, AETHER_FOREVER));
    cr_assert(unit_reader_sleeps(&reader));
    aether_cursor_close(cursor);
    expect_status(AETHER_CLOSED, unit_reader_join(&reader));
    expect_number(0, reader.count);
    aether_buffer_destroy(buffer);
}

TEST_ALL_WAYS(buffer_close, BUF4_closing_ends_the_wait_of_exactly_that_reader)
{
    enum { SLEEPERS = 6 };
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursors[SLEEPERS];
    struct unit_reader readers[SLEEPERS];
    for (int i = 0; i < SLEEPERS; i++) {
        cursors[i] = unit_open(buffer, AETHER_FROM_NEXT);
        cr_assert(unit_reader_put_to_sleep(&readers[i], cursors[i]));
    }
    for (int i = 0; i < SLEEPERS; i += 2) {
        aether_cursor_close(cursors[i]);
        expect_status(AETHER_CLOSED, unit_reader_join(&readers[i]));
    }
    for (int i = 1; i < SLEEPERS; i += 2)
        cr_assert(unit_reader_sleeps(&readers[i]));
    expect_ok(unit_append(buffer, 1, 1));
    for (int i = 1; i < SLEEPERS; i += 2) {
        expect_ok(unit_reader_join(&readers[i]));
        aether_cursor_close(cursors[i]);
    }
    aether_buffer_destroy(buffer);
}

/* A reader that is inside, but does not sleep, until somebody has told it that it is closed. */
struct scene {
    aether_buffer *buffer;
    aether_cursor *cursor;
    bool append; /* and then, once, an item comes */
};

static bool wait_until_told(int64_t deadline, void *user)
{
    (void)deadline;
    struct scene *scene = user;
    if (unit_futex_trace == NULL)
        return true; /* that is the closer */
    uint32_t *state = &scene->cursor->head.state;
    __atomic_add_fetch(&unit_futex_trace->passes, 1, __ATOMIC_SEQ_CST);
    if (!unit_until(__atomic_load_n(state, __ATOMIC_SEQ_CST) & AE_STATE_CLOSED))
        abort();
    if (scene->append && unit_append(scene->buffer, 1, 1) != AETHER_OK)
        abort();
    scene->append = false; /* a poke makes it wait twice */
    return false;
}

static void close_beside_an_awake_reader(bool append)
{
    struct scene scene = {.buffer = unit_buffer(), .append = append};
    aether_cursor *other = unit_open(scene.buffer, AETHER_FROM_NEXT);
    scene.cursor = unit_open(scene.buffer, AETHER_FROM_NEXT);
    unit_futex_hook(wait_until_told, &scene);
    struct unit_reader reader;
    cr_assert(unit_reader_start(&reader, scene.cursor, AETHER_FOREVER));
    cr_assert(unit_until(__atomic_load_n(&reader.trace.passes, __ATOMIC_SEQ_CST) == 1));
    aether_cursor_close(scene.cursor);
    unit_futex_hook(NULL, NULL);
    expect_status(AETHER_CLOSED, unit_reader_join(&reader));
    if (append)
        expect_items(other, 1, 1);
    expect_empty(other);
    aether_cursor_close(other);
    aether_buffer_destroy(scene.buffer);
}

TEST_ALL_WAYS(buffer_close, BUF4_closing_waits_for_a_reader_that_is_awake_inside)
{
    close_beside_an_awake_reader(false);
}

TEST_ALL_WAYS(buffer_close, BUF4_closing_beats_an_item_that_comes_at_the_same_time)
{
    close_beside_an_awake_reader(true);
}

TEST_ALL_WAYS(buffer_close, BUF4_closing_a_spinning_reader_ends_its_spin)
{
    aether_buffer_options options = unit_options();
    options.spins = options.yields = INT32_MAX;
    aether_buffer *buffer = unit_buffer_with(options);
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    struct unit_reader reader;
    cr_assert(unit_reader_start(&reader, cursor, AETHER_FOREVER));
    cr_assert(unit_until(__atomic_load_n(&cursor->head.inside, __ATOMIC_SEQ_CST) == 1));
    aether_cursor_close(cursor);
    expect_status(AETHER_CLOSED, unit_reader_join(&reader));
    aether_buffer_destroy(buffer);
}

static const char *close_it(void *user)
{
    aether_cursor_close(user);
    return NULL;
}

TEST(buffer_close, D4_an_idle_cursor_may_be_closed_by_any_thread)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 1000));
    expect_items(cursor, 1, 10);
    struct unit_thread thread;
    cr_assert(unit_thread_start(&thread, 0, close_it, cursor));
    expect_fine(unit_thread_join(&thread));
    expect_number(0, unit_stats(buffer).cursors);
    aether_buffer_destroy(buffer);
}

TEST_ALL_WAYS(buffer_close, BUF4_a_cancelled_reader_may_be_closed)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    struct unit_reader reader;
    cr_assert(unit_reader_put_to_sleep(&reader, cursor));
    aether_cursor_cancel(cursor);
    aether_cursor_close(cursor);
    aether_status status = unit_reader_join(&reader);
    cr_assert(status == AETHER_CANCELLED || status == AETHER_CLOSED); /* whichever it saw first */
    aether_buffer_destroy(buffer);
}

TEST_ALL_WAYS(buffer_close, BUF4_a_reader_of_a_destroyed_buffer_may_be_closed_while_it_wakes)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    struct unit_reader reader;
    cr_assert(unit_reader_put_to_sleep(&reader, cursor));
    aether_buffer_destroy(buffer);
    aether_cursor_close(cursor);
    expect_status(AETHER_CLOSED, unit_reader_join(&reader));
}

TEST_ALL_WAYS(buffer_close, BUF4_readers_that_come_and_are_closed_leave_nothing)
{
    aether_buffer *buffer = unit_buffer();
    for (uint64_t i = 1; i <= 50; i++) {
        aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
        struct unit_reader reader;
        cr_assert(unit_reader_start(&reader, cursor, AETHER_FOREVER));
        cr_assert(unit_until(__atomic_load_n(&cursor->head.inside, __ATOMIC_SEQ_CST) == 1));
        aether_cursor_close(cursor); /* wherever it stands inside */
        expect_status(AETHER_CLOSED, unit_reader_join(&reader));
        expect_ok(unit_append(buffer, i, i));
    }
    ae_buffer_check(buffer);
    aether_buffer_destroy(buffer);
}
