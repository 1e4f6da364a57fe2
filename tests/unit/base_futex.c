/* The table of the system's futex: when it sleeps, and what wakes it. And what is found where a kernel cannot do all. */
#include "common/unit.h"

#include "base/futex.h"
#include "common/unit_kernel.h"

/* A thread that sleeps on words until it is told that it may end. */
struct sleeper {
    uint32_t *first, *second; /* second may be NULL: sleep on one */
    uint32_t expected;
    uint32_t bits;
    struct unit_futex_trace trace;
    struct unit_thread thread;
};

static const char *sleep_once(void *user)
{
    struct sleeper *sleeper = user;
    unit_futex_trace = &sleeper->trace;
    if (sleeper->second != NULL)
        ae_futex.wait_two(sleeper->first, sleeper->expected, sleeper->second, sleeper->expected, AETHER_FOREVER);
    else
        ae_futex.wait(sleeper->first, sleeper->expected, AETHER_FOREVER, sleeper->bits);
    return NULL;
}

static void put_to_sleep(struct sleeper *sleeper, uint32_t *first, uint32_t *second, uint32_t bits)
{
    *sleeper = (struct sleeper){.first = first, .second = second, .bits = bits};
    cr_assert(unit_thread_start(&sleeper->thread, 0, sleep_once, sleeper));
    cr_assert(unit_thread_sleeps(&sleeper->thread, &sleeper->trace));
}

static bool is_awake(struct sleeper *sleeper)
{
    return __atomic_load_n(&sleeper->trace.passes, __ATOMIC_SEQ_CST) == 2;
}

TEST(base_futex, BUF4_a_word_that_is_not_as_expected_is_no_reason_to_sleep)
{
    uint32_t word = 1, other = 1;
    ae_futex.wait(&word, 0, AETHER_FOREVER, AE_FUTEX_ALL);
    if (ae_futex.wait_two == NULL)
        return;
    ae_futex.wait_two(&word, 0, &other, 1, AETHER_FOREVER);
    ae_futex.wait_two(&word, 1, &other, 0, AETHER_FOREVER);
    ae_futex.wait_two(&word, 0, &other, 0, AETHER_FOREVER);
}

TEST(base_futex, BUF4_a_deadline_ends_the_sleep)
{
    uint32_t word = 0, other = 0;
    int64_t deadline = unit_now() + AETHER_MILLISECONDS(5);
    while (unit_now() < deadline) /* a signal may end it as well */
        ae_futex.wait(&word, 0, deadline, AE_FUTEX_ALL);
    deadline = unit_now() + AETHER_MILLISECONDS(5);
    while (ae_futex.wait_two != NULL && unit_now() < deadline)
        ae_futex.wait_two(&word, 0, &other, 0, deadline);
    expect_within(0, 20, unit_futex_sleeps());
}

TEST(base_futex, BUF4_a_deadline_that_has_passed_is_no_sleep)
{
    uint32_t word = 0, other = 0;
    ae_futex.wait(&word, 0, unit_now() - 1000, AE_FUTEX_ALL);
    ae_futex.wait(&word, 0, 0, AE_FUTEX_ALL);
    if (ae_futex.wait_two != NULL)
        ae_futex.wait_two(&word, 0, &other, 0, unit_now() - 1000);
}

TEST(base_futex, BUF4_a_wake_wakes_as_many_as_it_says)
{
    enum { SLEEPERS = 5 };
    uint32_t word = 0;
    struct sleeper sleepers[SLEEPERS];
    for (int i = 0; i < SLEEPERS; i++)
        put_to_sleep(&sleepers[i], &word, NULL, AE_FUTEX_ALL);
    for (int wakes = 1; wakes <= SLEEPERS; wakes++) {
        int awake = 0;
        ae_futex.wake(&word, 1, AE_FUTEX_ALL);
        for (int64_t give_up = unit_give_up_at(); awake < wakes && unit_pause(give_up);) {
            awake = 0;
            for (int i = 0; i < SLEEPERS; i++)
                awake += is_awake(&sleepers[i]);
        }
        expect_number(wakes, awake);
    }
    for (int i = 0; i < SLEEPERS; i++)
        expect_fine(unit_thread_join(&sleepers[i].thread));
}

TEST(base_futex, BUF4_a_wake_with_bits_wakes_who_shares_one)
{
    uint32_t word = 0;
    struct sleeper one, two;
    put_to_sleep(&one, &word, NULL, 1);
    put_to_sleep(&two, &word, NULL, 2);
    ae_futex.wake(&word, INT32_MAX, 2);
    expect_fine(unit_thread_join(&two.thread));
    cr_assert(!is_awake(&one));
    ae_futex.wake(&word, INT32_MAX, AE_FUTEX_ALL);
    expect_fine(unit_thread_join(&one.thread));
}

TEST(base_futex, BUF4_who_sleeps_on_two_words_is_woken_at_either)
{
    if (ae_futex.wait_two == NULL)
        cr_skip_test("this kernel cannot sleep on two words");
    uint32_t words[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        struct sleeper sleeper;
        put_to_sleep(&sleeper, &words[0], &words[1], AE_FUTEX_ALL);
        ae_futex.wake(&words[i], 1, AE_FUTEX_ALL);
        expect_fine(unit_thread_join(&sleeper.thread));
    }
}

TEST(base_futex, BUF4_a_wake_at_a_word_that_is_gone_does_no_harm)
{
    if (unit_is_in_valgrind())
        cr_skip_test("valgrind would take it for a mistake");
    ae_futex.wake((uint32_t *)(uintptr_t)4096, 1, AE_FUTEX_ALL);
}

/* ----------------------------------------------------------------------------------------------------- other kernels */

static char message[200];

static void keep_message(int32_t level, const char *text, const aether_log_field *fields, size_t count, void *user)
{
    (void)level;
    (void)fields;
    (void)count;
    (void)user;
    strncpy(message, text, sizeof message - 1);
}

/* In a process that has not used the library yet. */
Test(base_futex, BUF4_a_kernel_without_futex_waitv_is_found_out, .timeout = 60)
{
    if (ae_futex.wait_two == NULL || !unit_kernel_lacks(UNIT_FUTEX_WAITV))
        cr_skip_test("the system calls cannot be taken away here");
    aether_log_use(keep_message, NULL);
    unit_begin();
    cr_assert(ae_futex.wait_two == NULL);
    cr_assert_str_eq(message, "futex_waitv is not available: cancelling pokes the gate instead");
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    struct unit_reader reader;
    cr_assert(unit_reader_put_to_sleep(&reader, cursor));
    expect_ok(unit_append(buffer, 1, 1));
    expect_ok(unit_reader_join(&reader));
    cr_assert(unit_reader_put_to_sleep(&reader, cursor));
    aether_cursor_cancel(cursor);
    expect_status(AETHER_CANCELLED, unit_reader_join(&reader));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

Test(base_futex, BUF4_a_kernel_with_futex_waitv_is_found_out_too, .timeout = 60)
{
    if (!unit_kernel_has(UNIT_FUTEX_WAITV))
        cr_skip_test("this kernel has none");
    aether_log_use(keep_message, NULL);
    unit_begin();
    cr_assert(ae_futex.wait_two != NULL);
    cr_assert(strstr(message, "futex_waitv") == NULL);
}
