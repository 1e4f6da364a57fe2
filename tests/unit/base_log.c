/* The one callback for the library's messages. */
#include "common/unit.h"

#include "base/log.h"

static struct {
    int calls;
    int32_t level;
    char message[100];
    void *user;
} heard;

static void hear(int32_t level, const char *message, const aether_log_field *fields, size_t field_count, void *user)
{
    heard.calls++;
    heard.level = level;
    heard.user = user;
    strncpy(heard.message, message, sizeof heard.message - 1);
    cr_assert(fields != NULL || field_count == 0);
}

TEST(base_log, D9_messages_go_to_the_callback_with_its_user_pointer)
{
    int mine;
    aether_log_use(hear, &mine);
    ae_log(AETHER_LOG_WARNING, "careful");
    expect_number(1, heard.calls);
    expect_number(AETHER_LOG_WARNING, heard.level);
    cr_assert_str_eq(heard.message, "careful");
    cr_assert(heard.user == &mine);
    aether_log_use(NULL, NULL);
    ae_log(AETHER_LOG_ERROR, "nobody hears this");
    expect_number(1, heard.calls);
}

TEST(base_log, D9_without_a_callback_nothing_happens)
{
    ae_log(AETHER_LOG_INFO, "nobody");
    expect_number(0, heard.calls);
}

TEST(base_log, D9_the_last_callback_counts)
{
    int first, second;
    aether_log_use(hear, &first);
    aether_log_use(hear, &second);
    ae_log(AETHER_LOG_DEBUG, "x");
    expect_number(1, heard.calls);
    cr_assert(heard.user == &second);
}
