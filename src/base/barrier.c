#include "base/barrier.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sanitizer.h"

static bool asymmetric;
static bool registered;

static long membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0);
}

void ae_barrier_prepare(void)
{
    registered = !AE_TSAN && membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0 &&
                 membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0;
    asymmetric = registered;
    if (!registered)
        ae_log(AETHER_LOG_INFO, "membarrier is not available: appends use sequentially consistent stores");
}

bool ae_barrier_is_asymmetric(void)
{
    return asymmetric;
}

void ae_barrier_force_symmetric(bool symmetric)
{
    asymmetric = registered && !symmetric;
}

bool ae_barrier_heavy(void)
{
    return !registered || membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0;
}
