/* Random numbers that tell things apart. */
#include "common/unit.h"

#include "base/random.h"
#include "common/unit_clock.h"
#include "common/unit_kernel.h"

TEST(base_random, D1_numbers_are_not_0_and_differ)
{
    enum { MANY = 1000 };
    static uint64_t numbers[MANY];
    for (int i = 0; i < MANY; i++) {
        numbers[i] = ae_random_nonzero();
        cr_assert(numbers[i] != 0);
        for (int before = 0; before < i; before++)
            cr_assert(numbers[before] != numbers[i]);
    }
}

TEST(base_random, D1_without_the_kernel_s_numbers_the_clock_s_must_do)
{
    if (!unit_kernel_lacks(UNIT_GETRANDOM))
        cr_skip_test("the system calls cannot be taken away here");
    unit_clock_install(1000);
    uint64_t first = ae_random_nonzero();
    unit_clock_advance(1);
    cr_assert(first != 0 && ae_random_nonzero() != first);
}
