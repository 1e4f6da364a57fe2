/* Delays at every labelled atomic, for stress builds only: they open windows that are a few instructions wide. */
#include "base/atomic.h"

#ifdef AE_DELAY

#include <sched.h>
#include <time.h>

static uint32_t seeds;

static void nap(long nanoseconds)
{
    struct timespec time = {0, nanoseconds};
    nanosleep(&time, NULL);
}

void ae_delay(void)
{
    static _Thread_local uint64_t state;
    if (state == 0)
        state = 0x9e3779b97f4a7c15u * (1 + __atomic_fetch_add(&seeds, 1, __ATOMIC_RELAXED)); /* only distinct */
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    uint32_t draw = (uint32_t)(state >> 32);
    if (draw % 4096 == 0)
        nap(3000000);
    else if (draw % 64 == 1)
        nap((long)((draw >> 6) % 80000));
    else if (draw % 16 == 2)
        sched_yield();
}

#else

/* An empty translation unit is not C. */
typedef int ae_delay_is_off;

#endif
