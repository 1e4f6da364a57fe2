/* How a failure is remembered. */
#include "common/unit.h"

#include <errno.h>

#include "base/fail.h"

TEST(base_fail, D3_a_failure_is_its_status_and_its_text)
{
    expect_status(AETHER_BUSY, ae_fail(AETHER_BUSY, "call: %d of %s", 3, "four"));
    expect_number(AETHER_BUSY, aether_error_status());
    cr_assert_str_eq(aether_error(), "call: 3 of four");
}

TEST(base_fail, D3_a_failure_of_the_system_ends_with_its_words)
{
    expect_status(AETHER_SYSTEM, ae_fail_system(AETHER_SYSTEM, ENOENT, "cannot open %s", "a file"));
    cr_assert_str_eq(aether_error(), "cannot open a file: No such file or directory");
}

TEST(base_fail, D3_a_text_that_is_too_long_is_cut)
{
    char text[1000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    (void)ae_fail(AETHER_INVALID, "%s", text);
    expect_within(100, sizeof text - 1, strlen(aether_error()));
    (void)ae_fail_system(AETHER_SYSTEM, ENOMEM, "%s", text);
    expect_within(100, sizeof text - 1, strlen(aether_error()));
    text[240] = '\0';
    (void)ae_fail_system(AETHER_SYSTEM, ENOMEM, "%s", text); /* the words of the system are cut */
    expect_within(240, sizeof text - 1, strlen(aether_error()));
}

TEST(base_fail, D3_a_failure_is_kept_and_told_by_another)
{
    struct ae_failure kept;
    expect_status(AETHER_BUSY, ae_fail(AETHER_BUSY, "mine"));
    cr_assert(ae_fail_into(&kept) == NULL);
    expect_status(AETHER_INVALID, ae_fail(AETHER_INVALID, "theirs %d", 1));
    cr_assert(ae_fail_into(NULL) == &kept);
    expect_failure(AETHER_BUSY, "mine");
    expect_status(AETHER_INVALID, ae_fail_again(&kept));
    expect_failure(AETHER_INVALID, "theirs 1");
}
