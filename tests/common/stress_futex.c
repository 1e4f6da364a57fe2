#include "common/stress_futex.h"

#include <sched.h>
#include <stdlib.h>

#include "base/barrier.h"
#include "base/futex.h"
#include "base/process.h"

const struct stress_way stress_ways[STRESS_WAYS] = {
    {"waitv", true, true},
    {"poke", false, true},
    {"waitv_fences", true, false},
    {"poke_fences", false, false},
};

static struct ae_futex_ops real;
static uint64_t waits, wakes;

/* Just before the system call is where a reader has decided to sleep and does not sleep yet. */
static void hold_up(void)
{
    static uint64_t streams;
    static _Thread_local struct stress_random random;
    if (random.state == 0)
        random = stress_random_stream(1000 + stress_add(&streams, 1));
    uint32_t draw = stress_below(&random, 1024);
    if (draw < 128)
        stress_linger(&random, 400);
    else if (draw < 192)
        sched_yield();
    else if (draw == 192)
        stress_nap(stress_below(&random, 50000));
}

static void wait_counted(uint32_t *word, uint32_t expected, int64_t deadline, uint32_t bits)
{
    stress_add(&waits, 1);
    hold_up();
    real.wait(word, expected, deadline, bits);
}

static void wait_two_counted(uint32_t *first, uint32_t first_expected, uint32_t *second, uint32_t second_expected,
                             int64_t deadline)
{
    stress_add(&waits, 1);
    hold_up();
    real.wait_two(first, first_expected, second, second_expected, deadline);
}

static void wake_counted(uint32_t *word, int count, uint32_t bits)
{
    stress_add(&wakes, 1);
    hold_up();
    real.wake(word, count, bits);
}

bool stress_way_use(const struct stress_way *way)
{
    if (real.wake == NULL) {
        if (ae_process_prepare() != AETHER_OK)
            stress_fail("the process cannot be prepared");
        real = ae_futex;
        ae_futex.wait = wait_counted;
        ae_futex.wake = wake_counted;
    }
    if (!stress_wants(way->name))
        return false;
    ae_barrier_force_symmetric(!way->asymmetric);
    ae_futex.wait_two = way->wait_two ? wait_two_counted : NULL;
    return ae_barrier_is_asymmetric() == way->asymmetric && (real.wait_two != NULL || !way->wait_two);
}

unsigned stress_way_count(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < STRESS_WAYS; i++)
        count += stress_way_use(&stress_ways[i]);
    return count;
}

uint64_t stress_futex_waits(void)
{
    return stress_get(&waits);
}

uint64_t stress_futex_wakes(void)
{
    return stress_get(&wakes);
}
