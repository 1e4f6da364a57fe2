/*
 * Waiting: sleeping, being woken by an item, the deadline. Where a test stands between the reader's last look and its sleep,
 * it does so in a hook of the futex, in the reader's own thread.
 */
#include "common/unit.h"

#include <signal.h>

#include "buffer/gate.h"
#include "common/unit_clock.h"

/* What a hook needs, and what it has seen. */
struct scene {
    aether_buffer *buffer;
    aether_cursor *cursor;
    int64_t deadline;
    int64_t nap_ns;
    int calls;
};

static struct scene make_scene(void)
{
    struct scene scene = {.buffer = unit_buffer()};
    scene.cursor = unit_open(scene.buffer, AETHER_FROM_NEXT);
    return scene;
}

static void end_scene(struct scene *scene)
{
    unit_futex_hook(NULL, NULL);
    ae_buffer_check(scene->buffer);
    aether_cursor_close(scene->cursor);
    aether_buffer_destroy(scene->buffer);
}

/* Waits in this thread, with the hook in place of sleep. */
static aether_status wait_with(struct scene *scene, bool (*hook)(int64_t deadline, void *user), int64_t timeout_ns)
{
    aether_item item;
    unit_futex_hook(hook, scene);
    return aether_cursor_next(scene->cursor, &item, timeout_ns);
}

/* --------------------------------------------------------------------------------------------------------- the sleep */

TEST_ALL_WAYS(buffer_gate, BUF4_an_item_wakes_who_sleeps)
{
    struct scene scene = make_scene();
    struct unit_reader reader;
    cr_assert(unit_reader_put_to_sleep(&reader, scene.cursor));
    expect_ok(unit_append(scene.buffer, 1, 1));
    expect_ok(unit_reader_join(&reader));
    cr_assert(unit_is_item(&reader.item, 1));
    expect_number(1, unit_stats(scene.buffer).wakes);
    end_scene(&scene);
}

TEST_ALL_WAYS(buffer_gate, BUF4_an_item_in_the_next_segment_wakes_who_sleeps)
{
    static const char payload[UNIT_SEGMENT];
    struct scene scene = make_scene();
    expect_ok(aether_append(scene.buffer, payload, unit_size_that_fills(scene.buffer)));
    expect_ok(unit_next(scene.cursor));
    struct unit_reader reader;
    cr_assert(unit_reader_put_to_sleep(&reader, scene.cursor));
    expect_ok(unit_append(scene.buffer, 2, 2));
    expect_ok(unit_reader_join(&reader));
    cr_assert(unit_is_item(&reader.item, 2));
    end_scene(&scene);
}

TEST_ALL_WAYS(buffer_gate, BUF4_a_timeout_comes_in_time_and_not_before)
{
    struct scene scene = make_scene();
    int64_t before = unit_now();
    aether_item item;
    expect_status(AETHER_TIMEOUT, aether_cursor_next(scene.cursor, &item, AETHER_MILLISECONDS(10)));
    expect_within(AETHER_MILLISECONDS(10), AETHER_SECONDS(10), unit_now() - before);
    cr_assert_str_empty(aether_error());
    expect_ok(unit_append(scene.buffer, 1, 1));
    expect_items(scene.cursor, 1, 1);
    end_scene(&scene);
}

enum { SLEEPERS = 24 };

TEST_ALL_WAYS(buffer_gate, BUF4_one_item_wakes_all_who_sleep)
{
    struct scene scene = make_scene();
    aether_cursor *cursors[SLEEPERS];
    for (int i = 0; i < SLEEPERS; i++)
        cursors[i] = aether_cursor_dup(scene.cursor);
    for (uint64_t round = 1; round <= 3; round++) {
        struct unit_reader readers[SLEEPERS];
        for (int i = 0; i < SLEEPERS; i++)
            cr_assert(unit_reader_put_to_sleep(&readers[i], cursors[i]));
        expect_ok(unit_append(scene.buffer, round, round));
        for (int i = 0; i < SLEEPERS; i++) {
            expect_ok(unit_reader_join(&readers[i]));
            cr_assert(unit_is_item(&readers[i].item, round));
        }
        expect_number(round, unit_stats(scene.buffer).wakes);
    }
    for (int i = 0; i < SLEEPERS; i++)
        aether_cursor_close(cursors[i]);
    end_scene(&scene);
}

TEST_ALL_WAYS(buffer_gate, BUF4_nobody_waits_for_a_woken_reader_that_stalls)
{
    enum { FEW = 6 };
    struct scene scene = make_scene();
    aether_cursor *cursors[FEW];
    for (int i = 0; i < FEW; i++)
        cursors[i] = aether_cursor_dup(scene.cursor);
    for (int stalled = 0; stalled < FEW; stalled++) {
        struct unit_reader readers[FEW];
        for (int i = 0; i < FEW; i++)
            cr_assert(unit_reader_put_to_sleep(&readers[i], cursors[i]));
        __atomic_store_n(&readers[stalled].trace.stall, 1, __ATOMIC_SEQ_CST);
        expect_ok(aether_append(scene.buffer, "x", 1));
        for (int i = 0; i < FEW; i++)
            if (i != stalled)
                expect_ok(unit_reader_join(&readers[i]));
        __atomic_store_n(&readers[stalled].trace.stall, 0, __ATOMIC_SEQ_CST);
        expect_ok(unit_reader_join(&readers[stalled]));
    }
    for (int i = 0; i < FEW; i++)
        aether_cursor_close(cursors[i]);
    end_scene(&scene);
}

/* A reader that sleeps for each item. */
struct follower {
    aether_cursor *cursor;
    struct unit_futex_trace trace;
    uint64_t items; /* atomic: read so far */
    struct unit_thread thread;
};

enum { SINGLE_ITEMS = 200 };

static const char *follow(void *user)
{
    struct follower *follower = user;
    unit_futex_trace = &follower->trace;
    for (uint64_t i = 1; i <= SINGLE_ITEMS; i++) {
        aether_item item;
        claim(aether_cursor_next(follower->cursor, &item, AETHER_FOREVER) == AETHER_OK);
        claim(unit_is_item(&item, i));
        __atomic_store_n(&follower->items, i, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

TEST_ALL_WAYS(buffer_gate, BUF4_each_item_wakes_who_sleeps_for_it_through_recycled_segments)
{
    struct scene scene = make_scene();
    struct follower follower = {.cursor = scene.cursor};
    cr_assert(unit_thread_start(&follower.thread, 0, follow, &follower));
    for (uint64_t i = 1; i <= SINGLE_ITEMS; i++) {
        cr_assert(unit_until(__atomic_load_n(&follower.items, __ATOMIC_SEQ_CST) == i - 1));
        cr_assert(unit_thread_sleeps(&follower.thread, &follower.trace));
        expect_ok(unit_append(scene.buffer, i, i));
    }
    expect_fine(unit_thread_join(&follower.thread));
    expect_number(SINGLE_ITEMS, unit_stats(scene.buffer).wakes);
    end_scene(&scene);
}

/* ------------------------------------------------------------------------------------ between the look and the sleep */

static bool append_then_sleep(int64_t deadline, void *user)
{
    struct scene *scene = user;
    scene->deadline = deadline;
    cr_assert(unit_append(scene->buffer, 1, 1) == AETHER_OK);
    return true;
}

TEST_ALL_WAYS(buffer_gate, BUF4_an_item_between_look_and_sleep_prevents_the_sleep)
{
    struct scene scene = make_scene();
    expect_ok(wait_with(&scene, append_then_sleep, AETHER_FOREVER));
    expect_number(1, unit_futex_sleeps());
    expect_number(AETHER_FOREVER, scene.deadline);
    end_scene(&scene);
}

static bool end_then_sleep(int64_t deadline, void *user)
{
    (void)deadline;
    cr_assert(aether_buffer_end(((struct scene *)user)->buffer, AETHER_RESET) == AETHER_OK);
    return true;
}

TEST_ALL_WAYS(buffer_gate, BUF4_an_end_between_look_and_sleep_prevents_the_sleep)
{
    struct scene scene = make_scene();
    expect_status(AETHER_RESET, wait_with(&scene, end_then_sleep, AETHER_FOREVER));
    expect_number(1, unit_futex_sleeps());
    end_scene(&scene);
}

static bool cancel_then_sleep(int64_t deadline, void *user)
{
    (void)deadline;
    aether_cursor_cancel(((struct scene *)user)->cursor);
    return true;
}

TEST_ALL_WAYS(buffer_gate, BUF4_a_cancel_between_look_and_sleep_prevents_the_sleep)
{
    struct scene scene = make_scene();
    expect_status(AETHER_CANCELLED, wait_with(&scene, cancel_then_sleep, AETHER_FOREVER));
    expect_number(1, unit_futex_sleeps());
    end_scene(&scene);
}

/* ------------------------------------------------------------------------------------------------------ false alarms */

static bool return_for_nothing_50_times(int64_t deadline, void *user)
{
    struct scene *scene = user;
    if (++scene->calls == 51)
        return append_then_sleep(deadline, scene);
    return false;
}

TEST_ALL_WAYS(buffer_gate, BUF4_spurious_wake_ups_stay_inside)
{
    struct scene scene = make_scene();
    expect_ok(wait_with(&scene, return_for_nothing_50_times, AETHER_FOREVER));
    expect_number(51, scene.calls);
    end_scene(&scene);
}

TEST_ALL_WAYS(buffer_gate, BUF4_a_wake_without_an_item_is_slept_over)
{
    struct scene scene = make_scene();
    struct unit_reader reader;
    cr_assert(unit_reader_put_to_sleep(&reader, scene.cursor));
    for (uint32_t wake = 1; wake <= 5; wake++) {
        ae_futex.wake(ae_slot_gate(scene.cursor->head.at), 1, AE_FUTEX_ALL);
        cr_assert(unit_until(__atomic_load_n(&reader.trace.passes, __ATOMIC_SEQ_CST) == 2 * wake + 1));
        cr_assert(unit_reader_sleeps(&reader));
    }
    expect_ok(unit_append(scene.buffer, 1, 1));
    expect_ok(unit_reader_join(&reader));
    end_scene(&scene);
}

static int signals;

static void count_signal(int number)
{
    (void)number;
    __atomic_add_fetch(&signals, 1, __ATOMIC_SEQ_CST);
}

TEST_ALL_WAYS(buffer_gate, D5_a_signal_does_not_surface)
{
    struct scene scene = make_scene();
    struct sigaction action = {.sa_handler = count_signal};
    sigaction(SIGUSR1, &action, NULL);
    struct unit_reader reader;
    cr_assert(unit_reader_put_to_sleep(&reader, scene.cursor));
    for (int i = 1; i <= 3; i++) {
        cr_assert(pthread_kill(reader.thread.thread, SIGUSR1) == 0);
        cr_assert(unit_until(__atomic_load_n(&signals, __ATOMIC_SEQ_CST) == i));
        cr_assert(unit_reader_sleeps(&reader));
    }
    expect_ok(unit_append(scene.buffer, 1, 1));
    expect_ok(unit_reader_join(&reader));
    end_scene(&scene);
}

/* ------------------------------------------------------------------------------------------------------ the deadline */

enum { START = 1000000, TIMEOUT = 500 };

static bool let_100_pass(int64_t deadline, void *user)
{
    struct scene *scene = user;
    scene->calls++;
    scene->deadline = deadline;
    unit_clock_advance(100);
    return false;
}

TEST_ALL_WAYS(buffer_gate, BUF4_the_deadline_is_one_instant_however_often_the_reader_wakes)
{
    struct scene scene = make_scene();
    unit_clock_install(START);
    expect_status(AETHER_TIMEOUT, wait_with(&scene, let_100_pass, TIMEOUT));
    expect_number(5, scene.calls);
    expect_number(START + TIMEOUT, scene.deadline);
    expect_number(0, unit_futex_wakes());
    end_scene(&scene);
}

static bool append_too_late(int64_t deadline, void *user)
{
    (void)deadline;
    unit_clock_advance(10 * TIMEOUT);
    return !append_then_sleep(deadline, user);
}

TEST_ALL_WAYS(buffer_gate, BUF4_an_item_beats_the_deadline)
{
    struct scene scene = make_scene();
    unit_clock_install(START);
    expect_ok(wait_with(&scene, append_too_late, TIMEOUT));
    end_scene(&scene);
}

static bool cancel_too_late(int64_t deadline, void *user)
{
    unit_clock_advance(10 * TIMEOUT);
    return !cancel_then_sleep(deadline, user);
}

TEST_ALL_WAYS(buffer_gate, BUF4_a_cancel_beats_the_deadline)
{
    struct scene scene = make_scene();
    unit_clock_install(START);
    expect_status(AETHER_CANCELLED, wait_with(&scene, cancel_too_late, TIMEOUT));
    end_scene(&scene);
}

TEST(buffer_gate, BUF4_a_timeout_beyond_all_time_is_for_ever)
{
    struct scene scene = make_scene();
    expect_ok(wait_with(&scene, append_then_sleep, AETHER_FOREVER - 1));
    expect_number(AETHER_FOREVER, scene.deadline);
    end_scene(&scene);
}

/* ---------------------------------------------------------------------------------------------------------- the duty */

static bool append_and_return(int64_t deadline, void *user)
{
    return !append_then_sleep(deadline, user);
}

TEST_ALL_WAYS(buffer_gate, BUF4_who_returns_from_the_futex_with_an_item_there_wakes_two_more)
{
    struct scene scene = make_scene();
    expect_ok(wait_with(&scene, append_and_return, AETHER_FOREVER));
    expect_number(2, unit_futex_wakes()); /* the writer's and this one's */
    expect_number(AE_WAKES, unit_futex_last_count());
    end_scene(&scene);
}

static bool append_and_cancel(int64_t deadline, void *user)
{
    struct scene *scene = user;
    aether_cursor_cancel(scene->cursor);
    uint64_t by_cancel = unit_futex_wakes();
    bool no = !append_then_sleep(deadline, user);
    scene->calls = (int)by_cancel;
    return no;
}

TEST_ALL_WAYS(buffer_gate, BUF4_who_was_cancelled_does_its_duty_first)
{
    struct scene scene = make_scene();
    expect_status(AETHER_CANCELLED, wait_with(&scene, append_and_cancel, AETHER_FOREVER));
    expect_number(scene.calls + 2, unit_futex_wakes());
    expect_ok(aether_cursor_resume(scene.cursor));
    expect_items(scene.cursor, 1, 1);
    end_scene(&scene);
}

TEST(buffer_gate, BUF4_who_finds_an_item_without_sleeping_wakes_nobody)
{
    struct scene scene = make_scene();
    aether_item item;
    expect_ok(unit_append(scene.buffer, 1, 500));
    for (uint64_t i = 1; i <= 500; i++)
        expect_ok(aether_cursor_next(scene.cursor, &item, AETHER_FOREVER));
    expect_number(0, unit_futex_wakes());
    expect_number(0, unit_futex_sleeps());
    end_scene(&scene);
}

/* ---------------------------------------------------------------------------------------------------------- the gate */

static bool look_at_the_gate(int64_t deadline, void *user)
{
    struct scene *scene = user;
    uint32_t *gate = ae_slot_gate(scene->cursor->head.at);
    cr_assert(*gate == AE_GATE_WAITED);
    bool no = append_and_return(deadline, user);
    cr_assert(*gate == AE_GATE_CLOSED);
    return no;
}

TEST_ALL_WAYS(buffer_gate, BUF4_the_gate_goes_from_open_to_waited_to_closed)
{
    struct scene scene = make_scene();
    expect_number(0, *ae_slot_gate(scene.cursor->head.at));
    expect_ok(wait_with(&scene, look_at_the_gate, AETHER_FOREVER));
    end_scene(&scene);
}

TEST(buffer_gate, BUF4_a_poked_gate_still_lets_the_writer_wake_the_others)
{
    unit_futex_poke();
    struct scene scene = make_scene();
    aether_cursor *other = aether_cursor_dup(scene.cursor);
    const uint32_t *gate = ae_slot_gate(scene.cursor->head.at);
    struct unit_reader told, asleep;
    cr_assert(unit_reader_put_to_sleep(&told, scene.cursor));
    cr_assert(unit_reader_put_to_sleep(&asleep, other));
    aether_cursor_cancel(scene.cursor);
    expect_status(AETHER_CANCELLED, unit_reader_join(&told));
    cr_assert(unit_reader_sleeps(&asleep));
    expect_number(AE_GATE_WAITED + AE_GATE_POKE, __atomic_load_n(gate, __ATOMIC_SEQ_CST));
    expect_ok(unit_append(scene.buffer, 1, 1));
    expect_ok(unit_reader_join(&asleep));
    aether_cursor_close(other);
    end_scene(&scene);
}

/* -------------------------------------------------------------------------------------------------- before the sleep */

static void find_while_awake(int32_t spins, int32_t yields)
{
    aether_buffer_options options = unit_options();
    options.spins = spins;
    options.yields = yields;
    aether_buffer *buffer = unit_buffer_with(options);
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    struct unit_reader reader;
    cr_assert(unit_reader_start(&reader, cursor, AETHER_FOREVER));
    cr_assert(unit_until(__atomic_load_n(&cursor->head.inside, __ATOMIC_SEQ_CST) == 1));
    expect_ok(unit_append(buffer, 1, 1));
    expect_ok(unit_reader_join(&reader));
    expect_number(0, unit_futex_sleeps());
    expect_number(0, unit_stats(buffer).wakes);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_gate, BUF4_a_reader_that_still_looks_needs_no_wake)
{
    find_while_awake(INT32_MAX, INT32_MAX);
    find_while_awake(-1, INT32_MAX);
}

TEST(buffer_gate, BUF4_without_spins_and_yields_a_reader_sleeps_at_once)
{
    aether_buffer_options options = unit_options();
    options.spins = -1;
    options.yields = -1;
    struct scene scene = {.buffer = unit_buffer_with(options)};
    scene.cursor = unit_open(scene.buffer, AETHER_FROM_NEXT);
    expect_number(0, scene.cursor->spins);
    expect_number(0, scene.cursor->yields);
    unit_clock_install(START);
    expect_status(AETHER_TIMEOUT, wait_with(&scene, let_100_pass, 50));
    expect_number(1, scene.calls);
    end_scene(&scene);
}

/* -------------------------------------------------------------------------------------------------- learning to look */

static bool append_after_a_while(int64_t deadline, void *user)
{
    (void)deadline;
    struct scene *scene = user;
    unit_clock_advance(scene->nap_ns);
    cr_assert(aether_append(scene->buffer, "x", 1) == AETHER_OK);
    return false;
}

/* One sleep of that length. */
static int32_t patience_after(struct scene *scene, int64_t nap_ns)
{
    scene->nap_ns = nap_ns;
    expect_ok(wait_with(scene, append_after_a_while, AETHER_FOREVER));
    return scene->cursor->patience;
}

static void learn_with(int32_t option, int32_t most)
{
    aether_buffer_options options = unit_options();
    options.spins = option;
    struct scene scene = {.buffer = unit_buffer_with(options)};
    scene.cursor = unit_open(scene.buffer, AETHER_FROM_NEXT);
    unit_clock_install(START);
    expect_number(most, scene.cursor->patience);
    for (int32_t i = 0, before = most; i < 20; i++) {
        int32_t after = patience_after(&scene, AETHER_SECONDS(1));
        expect_within(0, before, after);
        before = after;
    }
    expect_within(0, most / 64, scene.cursor->patience);
    for (int32_t i = 0, before = 0; i < 20; i++) {
        int32_t after = patience_after(&scene, 0);
        expect_within(before, most, after);
        before = after;
    }
    expect_number(most, scene.cursor->patience);
    end_scene(&scene);
}

TEST(buffer_gate, BUF4_a_reader_looks_less_after_long_sleeps_and_more_after_short_ones)
{
    learn_with(1000, 1000);
    learn_with(63, 63);
    learn_with(1, 1);
}

TEST(buffer_gate, BUF4_a_reader_that_never_looks_does_not_learn_to)
{
    learn_with(-1, 0);
}
