#include "base/random.h"

#include <sys/random.h>

#include "base/clock.h"

uint64_t ae_random_nonzero(void)
{
    uint64_t number = 0;
    while (number == 0)
        if (getrandom(&number, sizeof number, GRND_NONBLOCK) != sizeof number) /* early in a machine's start */
            number = (uint64_t)ae_clock.now() * 0x9e3779b97f4a7c15u ^ (uintptr_t)&number;
    return number;
}
