/* Random numbers that tell things apart. */
#include "common/unit.h"

#include "base/random.h"

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
