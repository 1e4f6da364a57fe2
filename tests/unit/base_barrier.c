/* The asymmetric barrier, and what is found where there is none. */
#include "common/unit.h"

#include "base/barrier.h"
#include "base/sanitizer.h"
#include "common/unit_kernel.h"

TEST(base_barrier, BUF4_the_heavy_half_works_in_every_mode)
{
    ae_barrier_heavy();
    ae_barrier_force_symmetric(true);
    cr_assert(!ae_barrier_is_asymmetric());
    ae_barrier_heavy();
}

TEST(base_barrier, BUF4_the_barrier_is_asymmetric_where_the_kernel_has_membarrier)
{
    if (!unit_kernel_has(UNIT_MEMBARRIER))
        cr_skip_test("this kernel has none");
    cr_assert(ae_barrier_is_asymmetric() == !AE_TSAN);
    ae_barrier_force_symmetric(true);
    ae_barrier_force_symmetric(false);
    cr_assert(ae_barrier_is_asymmetric() == !AE_TSAN);
}

TEST(base_barrier, BUF4_a_buffer_keeps_the_way_that_it_began_with)
{
    aether_buffer *before = unit_buffer();
    bool asymmetric = before->asymmetric;
    ae_barrier_force_symmetric(true);
    aether_buffer *after = unit_buffer();
    cr_assert(before->asymmetric == asymmetric && !after->asymmetric);
    struct unit_reader readers[2];
    aether_cursor *cursors[] = {unit_open(before, AETHER_FROM_NEXT), unit_open(after, AETHER_FROM_NEXT)};
    for (int i = 0; i < 2; i++)
        cr_assert(unit_reader_put_to_sleep(&readers[i], cursors[i]));
    expect_ok(unit_append(before, 1, 1));
    expect_ok(unit_append(after, 1, 1));
    for (int i = 0; i < 2; i++) {
        expect_ok(unit_reader_join(&readers[i]));
        aether_cursor_close(cursors[i]);
    }
    aether_buffer_destroy(before);
    aether_buffer_destroy(after);
}

/* The two words of "store, barrier, load" against "store, barrier, load": never do both miss the other's store. */
struct duel {
    uint32_t light, heavy; /* atomic */
    uint32_t round;        /* atomic: the one that may begin; LAST_ROUND ends it */
    uint32_t done;         /* atomic: the one that the heavy side has finished */
    uint32_t heavy_saw;
};

enum { LAST_ROUND = INT32_MAX, DUEL_MS = 200 };

static const char *be_heavy(void *user)
{
    struct duel *duel = user;
    for (uint32_t round = 1;; round++) {
        uint32_t begun;
        while ((begun = __atomic_load_n(&duel->round, __ATOMIC_ACQUIRE)) != round)
            if (begun == LAST_ROUND)
                return NULL;
        __atomic_store_n(&duel->heavy, 1, __ATOMIC_RELAXED);
        ae_barrier_heavy();
        duel->heavy_saw = __atomic_load_n(&duel->light, __ATOMIC_RELAXED);
        __atomic_store_n(&duel->done, round, __ATOMIC_RELEASE);
    }
}

TEST(base_barrier, BUF4_never_do_both_sides_miss_the_other_s_store)
{
    if (!ae_barrier_is_asymmetric())
        cr_skip_test("there is no asymmetric barrier here");
    struct duel duel = {.round = 0};
    struct unit_thread thread;
    cr_assert(unit_thread_start(&thread, 0, be_heavy, &duel));
    int64_t end = unit_now() + AETHER_MILLISECONDS(DUEL_MS);
    for (uint32_t round = 1; unit_now() < end; round++) {
        duel.light = duel.heavy = 0;
        __atomic_store_n(&duel.round, round, __ATOMIC_RELEASE);
        for (uint32_t delay = round % 1024; delay > 0; delay--)
            __atomic_signal_fence(__ATOMIC_SEQ_CST);
        __atomic_store_n(&duel.light, 1, __ATOMIC_RELAXED);
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        uint32_t saw = __atomic_load_n(&duel.heavy, __ATOMIC_RELAXED);
        while (__atomic_load_n(&duel.done, __ATOMIC_ACQUIRE) != round)
            ;
        cr_assert(saw != 0 || duel.heavy_saw != 0, "both missed it in round %u", round);
    }
    __atomic_store_n(&duel.round, LAST_ROUND, __ATOMIC_RELEASE);
    expect_fine(unit_thread_join(&thread));
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

/* In a process that has not used the library yet. Nothing that waits for a grace period: liburcu relies on what it found. */
Test(base_barrier, BUF4_a_kernel_without_membarrier_is_found_out, .timeout = 60)
{
    if (!unit_kernel_lacks(UNIT_MEMBARRIER))
        cr_skip_test("the system calls cannot be taken away here");
    aether_log_use(keep_message, NULL);
    ae_barrier_prepare();
    cr_assert(!ae_barrier_is_asymmetric());
    cr_assert_str_eq(message, "membarrier is not available: appends use sequentially consistent stores");
    ae_barrier_force_symmetric(false);
    cr_assert(!ae_barrier_is_asymmetric());
    ae_barrier_heavy();
}

/* A filter on system calls that came late, as in a sandbox: the sleeper looks again by itself. */
Test(base_barrier, BUF4_a_kernel_that_loses_membarrier_later_costs_a_millisecond, .timeout = 60)
{
    unit_begin();
    if (!ae_barrier_is_asymmetric())
        cr_skip_test("there is no asymmetric barrier here");
    static aether_buffer *buffer; /* never destroyed: liburcu could not wait for a grace period */
    static aether_cursor *cursor;
    buffer = unit_buffer();
    cursor = unit_open(buffer, AETHER_FROM_NEXT);
    cr_assert(ae_barrier_heavy());
    if (!unit_kernel_lacks(UNIT_MEMBARRIER))
        cr_skip_test("the system calls cannot be taken away here");
    cr_assert(!ae_barrier_heavy());
    struct unit_reader reader;
    cr_assert(unit_reader_start(&reader, cursor, AETHER_FOREVER));
    cr_assert(unit_until(unit_futex_sleeps() >= 3)); /* it does not rely on being woken */
    expect_ok(unit_append(buffer, 1, 1));
    expect_ok(unit_reader_join(&reader));
    aether_item item;
    int64_t before = unit_now();
    expect_status(AETHER_TIMEOUT, aether_cursor_next(cursor, &item, AETHER_MILLISECONDS(5)));
    expect_within(AETHER_MILLISECONDS(5), AETHER_SECONDS(10), unit_now() - before);
}
