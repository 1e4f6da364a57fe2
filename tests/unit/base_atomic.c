/* The labelled atomic operations: what they return. */
#include "common/unit.h"

#include "base/atomic.h"

enum { AE_LABEL_T1_TEST };

TEST(base_atomic, D7_operations_that_change_return_the_value_before)
{
    uint32_t word = 5;
    expect_number(5, AE_LOAD(T1_TEST, &word, acquire));
    expect_number(5, AE_ADD(T1_TEST, &word, 3, acq_rel));
    expect_number(8, AE_SUB(T1_TEST, &word, 1, relaxed));
    expect_number(7, AE_OR(T1_TEST, &word, 8, release));
    expect_number(15, AE_EXCHANGE(T1_TEST, &word, 2, seq_cst));
    AE_STORE(T1_TEST, &word, 9, release);
    expect_number(9, word);
}

TEST(base_atomic, D7_a_compare_and_swap_that_fails_tells_what_it_found)
{
    uint32_t word = 5, expected = 4;
    cr_assert(!AE_CAS(T1_TEST, &word, &expected, 6, acq_rel, acquire));
    expect_number(5, expected);
    expect_number(5, word);
    cr_assert(AE_CAS(T1_TEST, &word, &expected, 6, acq_rel, acquire));
    expect_number(6, word);
}
