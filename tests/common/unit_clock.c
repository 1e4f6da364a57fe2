#include "common/unit_clock.h"

#include "base/clock.h"

static int64_t time_ns;

int64_t unit_clock_now(void)
{
    return __atomic_load_n(&time_ns, __ATOMIC_SEQ_CST);
}

void unit_clock_install(int64_t now_ns)
{
    time_ns = now_ns;
    ae_clock = (struct ae_clock_ops){unit_clock_now, unit_clock_now};
}

void unit_clock_advance(int64_t by_ns)
{
    __atomic_add_fetch(&time_ns, by_ns, __ATOMIC_SEQ_CST);
}
