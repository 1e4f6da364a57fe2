/* Time, and deadlines that cannot overflow. */
#include "common/unit.h"

#include "base/clock.h"
#include "common/unit_clock.h"

TEST(base_clock, D1_the_clock_is_monotonic_nanoseconds)
{
    int64_t before = unit_now(), now = ae_clock.now(), after = unit_now();
    expect_within(before, after, now);
}

TEST(base_clock, D1_the_coarse_clock_is_a_little_behind)
{
    int64_t coarse = ae_clock.coarse(), exact = ae_clock.now();
    expect_within(exact - AETHER_SECONDS(1), exact, coarse);
    cr_assert(unit_until(ae_clock.coarse() > coarse));
}

TEST(base_clock, D1_a_deadline_is_that_far_away)
{
    unit_clock_install(1000);
    expect_number(1001, ae_deadline(1));
    expect_number(1000 + AETHER_SECONDS(5), ae_deadline(AETHER_SECONDS(5)));
    expect_number(1000, ae_deadline(AETHER_NO_WAIT));
}

TEST(base_clock, D1_a_deadline_beyond_all_time_is_for_ever)
{
    unit_clock_install(1000);
    expect_number(AETHER_FOREVER, ae_deadline(AETHER_FOREVER));
    expect_number(AETHER_FOREVER, ae_deadline(AETHER_FOREVER - 1));
    expect_number(AETHER_FOREVER, ae_deadline(AETHER_FOREVER - 999));
    expect_number(AETHER_FOREVER, ae_deadline(AETHER_FOREVER - 1000));
    expect_number(AETHER_FOREVER - 1, ae_deadline(AETHER_FOREVER - 1001));
}
