#include "common/unit_futex.h"

#include <sched.h>
#include <stddef.h>

_Thread_local struct unit_futex_trace *unit_futex_trace;

static struct ae_futex_ops system_futex;
static uint64_t sleeps, wakes;
static int last_count;
static bool (*sleep_hook)(int64_t deadline, void *user);
static void *sleep_hook_user;

static void pass_in(void)
{
    if (unit_futex_trace != NULL)
        __atomic_add_fetch(&unit_futex_trace->passes, 1, __ATOMIC_SEQ_CST);
}

static void pass_out(void)
{
    if (unit_futex_trace == NULL)
        return;
    __atomic_add_fetch(&unit_futex_trace->passes, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&unit_futex_trace->stall, __ATOMIC_SEQ_CST) != 0)
        sched_yield();
}

/* True when the caller goes on to the real call. */
static bool begin(int64_t deadline)
{
    __atomic_add_fetch(&sleeps, 1, __ATOMIC_SEQ_CST);
    return sleep_hook == NULL || sleep_hook(deadline, sleep_hook_user);
}

static void watch_wait(uint32_t *word, uint32_t expected, int64_t deadline, uint32_t bits)
{
    if (!begin(deadline))
        return;
    pass_in();
    system_futex.wait(word, expected, deadline, bits);
    pass_out();
}

static void watch_wait_two(uint32_t *first, uint32_t first_expected, uint32_t *second, uint32_t second_expected,
                           int64_t deadline)
{
    if (!begin(deadline))
        return;
    pass_in();
    system_futex.wait_two(first, first_expected, second, second_expected, deadline);
    pass_out();
}

static void watch_wake(uint32_t *word, int count, uint32_t bits)
{
    __atomic_add_fetch(&wakes, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&last_count, count, __ATOMIC_SEQ_CST);
    system_futex.wake(word, count, bits);
}

void unit_futex_install(void)
{
    system_futex = ae_futex;
    ae_futex = (struct ae_futex_ops){watch_wait, system_futex.wait_two == NULL ? NULL : watch_wait_two, watch_wake};
}

void unit_futex_poke(void)
{
    ae_futex.wait_two = NULL;
}

uint64_t unit_futex_sleeps(void)
{
    return __atomic_load_n(&sleeps, __ATOMIC_SEQ_CST);
}

uint64_t unit_futex_wakes(void)
{
    return __atomic_load_n(&wakes, __ATOMIC_SEQ_CST);
}

int unit_futex_last_count(void)
{
    return __atomic_load_n(&last_count, __ATOMIC_SEQ_CST);
}

void unit_futex_hook(bool (*hook)(int64_t deadline, void *user), void *user)
{
    sleep_hook_user = user;
    sleep_hook = hook;
}
