/* Assertions about the library itself. */
#include "common/unit.h"

#include <signal.h>

#include "base/check.h"
#include "base/relax.h"

TEST(base_check, D3_a_claim_that_holds_costs_nothing)
{
    int evaluated = 0;
    AE_ASSERT(++evaluated == 1);
    expect_number(1, evaluated);
    AE_CHECK(true);
    ae_relax();
    cr_assert(AE_LIKELY(1) && !AE_UNLIKELY(0));
}

TEST(base_check, D3_checks_are_for_debug_builds)
{
    int evaluated = 0;
    AE_CHECK(++evaluated == 1);
    expect_number(AE_DEBUG ? 1 : 0, evaluated);
}

Test(base_check, D3_a_claim_that_does_not_hold_aborts, .signal = SIGABRT)
{
    AE_ASSERT(1 + 1 == 3);
}

/* The check of a buffer is not there for decoration. */
Test(base_check, BUF2_a_buffer_with_a_wrong_count_does_not_pass_its_check, .signal = SIGABRT)
{
    unit_begin();
    aether_buffer *buffer = unit_buffer();
    if (unit_append(buffer, 1, 10) == AETHER_OK)
        buffer->writing->filled += 8;
    ae_buffer_check(buffer);
}

Test(base_check, BUF2_a_buffer_with_rubbish_behind_its_newest_item_does_not_pass_its_check, .signal = SIGABRT)
{
    unit_begin();
    aether_buffer *buffer = unit_buffer();
    if (unit_append(buffer, 1, 10) == AETHER_OK)
        buffer->head.at[40] = 1;
    ae_buffer_check(buffer);
}
