#include "base/clock.h"

#include <time.h>

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t now_exact(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

static int64_t now_coarse(void)
{
    return read_clock(CLOCK_MONOTONIC_COARSE);
}

struct ae_clock_ops ae_clock = {now_exact, now_coarse};

int64_t ae_deadline(int64_t timeout_ns)
{
    if (timeout_ns == AETHER_FOREVER)
        return AETHER_FOREVER;
    int64_t now = ae_clock.now();
    return timeout_ns > AETHER_FOREVER - now ? AETHER_FOREVER : now + timeout_ns;
}
