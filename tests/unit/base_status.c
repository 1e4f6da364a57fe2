/* Statuses, and what aether_error() says of the last failure. */
#include "common/unit.h"

enum { STATUSES = AETHER_OPEN_CIRCUIT + 1 };

TEST(base_status, D3_every_status_has_words_of_its_own)
{
    for (aether_status a = 0; a < STATUSES; a++) {
        cr_assert(aether_status_text(a) != NULL && aether_status_text(a)[0] != '\0');
        cr_assert_str_neq(aether_status_text(a), "unknown status");
        for (aether_status b = 0; b < a; b++)
            cr_assert_str_neq(aether_status_text(a), aether_status_text(b));
    }
}

TEST(base_status, D3_what_is_no_status_is_said_to_be_unknown)
{
    static const aether_status none[] = {-1, INT32_MIN, STATUSES, STATUSES + 1, INT32_MAX};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        cr_assert_str_eq(aether_status_text(none[i]), "unknown status");
        cr_assert(!aether_status_is_final(none[i]));
    }
}

TEST(base_status, D2_the_values_of_statuses_are_fixed)
{
    static const aether_status in_order[] = {AETHER_OK,          AETHER_EMPTY,        AETHER_TIMEOUT,
                                             AETHER_CANCELLED,   AETHER_CLOSED,       AETHER_ENDED,
                                             AETHER_RESET,       AETHER_FAILED,       AETHER_INVALID,
                                             AETHER_TOO_LARGE,   AETHER_INDEX_ORDER,  AETHER_NO_MEMORY,
                                             AETHER_BUSY,        AETHER_CIRCLE,       AETHER_FORKED,
                                             AETHER_SYSTEM,      AETHER_LAGGED,       AETHER_GONE,
                                             AETHER_AHEAD,       AETHER_OTHER_EPOCH,  AETHER_FULL,
                                             AETHER_WOULD_BLOCK, AETHER_UNSUBSCRIBED, AETHER_ACCESS_CHANGED,
                                             AETHER_TOO_SLOW,    AETHER_SHUT_DOWN,    AETHER_STALE_EPOCH,
                                             AETHER_NO_HANDLER,  AETHER_DISABLED,     AETHER_EXISTS,
                                             AETHER_CONFLICT,    AETHER_ID_REUSED,    AETHER_UNKNOWN_OUTCOME,
                                             AETHER_ACTOR_ENDED, AETHER_MALFORMED,    AETHER_NOT_FOUND,
                                             AETHER_READ_ONLY,   AETHER_NO_STORE,     AETHER_NEWER_FORMAT,
                                             AETHER_NO_DRIVER,   AETHER_NO_SPACE,     AETHER_UNSUPPORTED,
                                             AETHER_EXHAUSTED,   AETHER_OPEN_CIRCUIT};
    cr_assert(sizeof in_order / sizeof *in_order == STATUSES);
    for (aether_status i = 0; i < STATUSES; i++)
        expect_number(i, in_order[i]);
    cr_assert(sizeof(aether_status) == 4);
}

TEST(base_status, D3_final_are_the_ends_of_buffers_and_of_subscriptions)
{
    for (aether_status status = 0; status < STATUSES; status++) {
        bool buffer = status >= AETHER_CLOSED && status <= AETHER_FAILED;
        bool subscription = status >= AETHER_UNSUBSCRIBED && status <= AETHER_SHUT_DOWN;
        cr_assert(aether_status_is_final(status) == (buffer || subscription));
    }
}

TEST(base_status, D2_the_version_is_that_of_the_header)
{
    cr_assert_str_eq(aether_version(), AETHER_VERSION);
}

TEST(base_status, D1_durations_are_nanoseconds)
{
    cr_assert(AETHER_MICROSECONDS(3) == 3000 && AETHER_MILLISECONDS(3) == 3000000);
    cr_assert(AETHER_SECONDS(3) == INT64_C(3000000000) && AETHER_SECONDS(9000000000) < AETHER_FOREVER);
    cr_assert(AETHER_NO_WAIT == 0 && AETHER_FOREVER == INT64_MAX);
}

/* -------------------------------------------------------------------------------------------------- the last failure */

TEST(base_status, D3_before_the_first_failure_there_is_no_text)
{
    cr_assert_str_empty(aether_error());
    expect_number(AETHER_OK, aether_error_status());
}

TEST(base_status, D3_the_text_stays_until_the_next_failure)
{
    aether_buffer *buffer = unit_buffer();
    expect_status(AETHER_INVALID, aether_append(buffer, NULL, 1));
    expect_ok(aether_append(buffer, "x", 1));
    expect_failure(AETHER_INVALID, "aether_append");
    expect_status(AETHER_TOO_LARGE, aether_append_at(buffer, 5, "x", AETHER_ITEM_MAX + 1));
    expect_failure(AETHER_TOO_LARGE, "aether_append_at");
    aether_buffer_destroy(buffer);
}

TEST(base_status, D3_what_tells_of_the_stream_is_no_failure)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    aether_item item;
    expect_status(AETHER_INVALID, aether_append(buffer, NULL, 1));
    expect_status(AETHER_EMPTY, aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
    expect_status(AETHER_TIMEOUT, aether_cursor_next(cursor, &item, 1));
    aether_cursor_cancel(cursor);
    expect_status(AETHER_CANCELLED, aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
    expect_failure(AETHER_INVALID, "aether_append");
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(base_status, D3_a_constructor_that_returns_null_leaves_its_status)
{
    aether_buffer_options options = {.segment_bytes = 3};
    cr_assert(aether_buffer_create(&options) == NULL);
    expect_failure(AETHER_INVALID, "aether_buffer_create: segment_bytes 3");
}

static const char *fail_in_its_own_way(void *user)
{
    claim(aether_error()[0] == '\0' && aether_error_status() == AETHER_OK);
    claim(aether_append_at(user, 0, "x", 1) == AETHER_INVALID);
    claim(strstr(aether_error(), "index 0") != NULL);
    return NULL;
}

TEST(base_status, D3_the_last_failure_is_the_thread_s_own)
{
    aether_buffer *buffer = unit_buffer();
    expect_status(AETHER_TOO_LARGE, aether_append(buffer, "x", SIZE_MAX));
    struct unit_thread thread;
    cr_assert(unit_thread_start(&thread, 0, fail_in_its_own_way, buffer));
    expect_fine(unit_thread_join(&thread));
    expect_failure(AETHER_TOO_LARGE, "aether_append: size");
    aether_buffer_destroy(buffer);
}
