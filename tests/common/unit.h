/*
 * What the unit tests share: tests that must give all memory back, expectations that say what came instead, and
 * items that can be recognised.
 *
 * Helpers in common/unit_*.c know nothing of Criterion, since other programs link them too; the expectations are here.
 */
#ifndef UNIT_H
#define UNIT_H

#include <criterion/criterion.h>

#include <inttypes.h>
#include <string.h>

#include "aether/aether.h"
#include "common/unit_buffer.h"
#include "common/unit_futex.h"
#include "common/unit_memory.h"
#include "common/unit_reader.h"
#include "common/unit_release.h"
#include "common/unit_wait.h"
#include "common/unit_writer.h"

/*
 * A test, with its balance at the end. Criterion runs each in a process of its own, and ignores what goes wrong in its own
 * set-up and tear-down, so both stand inside.
 */
#define TEST(suite, claim)                                                                                                  \
    static void suite##_##claim##_body(void);                                                                               \
    Test(suite, claim, .timeout = 60)                                                                                       \
    {                                                                                                                       \
        unit_run(suite##_##claim##_body);                                                                                   \
        unit_finish();                                                                                                      \
    }                                                                                                                       \
    static void suite##_##claim##_body(void)

/* The same claim for each way of sleeping: on two words, by poke, and both without membarrier. */
#define TEST_ALL_WAYS(suite, claim)                                                                                         \
    static void suite##_##claim##_ways(void);                                                                               \
    TEST(suite, claim)                                                                                                      \
    {                                                                                                                       \
        suite##_##claim##_ways();                                                                                           \
    }                                                                                                                       \
    TEST(suite, claim##__by_poke)                                                                                           \
    {                                                                                                                       \
        unit_futex_poke();                                                                                                  \
        suite##_##claim##_ways();                                                                                           \
    }                                                                                                                       \
    TEST(suite, claim##__without_membarrier)                                                                                \
    {                                                                                                                       \
        unit_no_membarrier();                                                                                               \
        suite##_##claim##_ways();                                                                                           \
    }                                                                                                                       \
    TEST(suite, claim##__by_poke_without_membarrier)                                                                        \
    {                                                                                                                       \
        unit_no_membarrier();                                                                                               \
        unit_futex_poke();                                                                                                  \
        suite##_##claim##_ways();                                                                                           \
    }                                                                                                                       \
    static void suite##_##claim##_ways(void)

static inline void unit_finish(void)
{
    cr_assert(unit_memory_is_balanced(),
              "memory was not given back, or not as it was taken: %" PRIu64 " blocks, %" PRIu64 " bytes, %" PRIu64
              " misuses",
              unit_memory().blocks, unit_memory().bytes, unit_memory().misuses);
    cr_assert(!unit_leaks(), "the leak sanitizer has found something");
}

/* The status that a call has to answer. */
#define expect_status(wanted, call)                                                                                         \
    do {                                                                                                                    \
        aether_status status_wanted = (wanted), status_came = (call);                                                       \
        cr_assert(status_came == status_wanted, "%s: \"%s\" instead of \"%s\" (the last failure: %s)", #call,               \
                  aether_status_text(status_came), aether_status_text(status_wanted), aether_error());                      \
    } while (0)

#define expect_ok(call) expect_status(AETHER_OK, call)

#define expect_number(wanted, value)                                                                                        \
    do {                                                                                                                    \
        uint64_t number_wanted = (uint64_t)(wanted), number_came = (uint64_t)(value);                                       \
        cr_assert(number_came == number_wanted, "%s is %" PRIu64 " instead of %" PRIu64, #value, number_came,               \
                  number_wanted);                                                                                           \
    } while (0)

/* At least, at most. */
#define expect_within(least, most, value)                                                                                   \
    do {                                                                                                                    \
        uint64_t number_least = (uint64_t)(least), number_most = (uint64_t)(most), number_came = (uint64_t)(value);         \
        cr_assert(number_came >= number_least && number_came <= number_most,                                                \
                  "%s is %" PRIu64 ", which is not from %" PRIu64 " to %" PRIu64, #value, number_came, number_least,        \
                  number_most);                                                                                             \
    } while (0)

/* The last failure of this thread has this status, and its text has this in it. */
#define expect_failure(wanted, fragment)                                                                                    \
    do {                                                                                                                    \
        expect_status(wanted, aether_error_status());                                                                       \
        cr_assert(strstr(aether_error(), fragment) != NULL, "\"%s\" does not say \"%s\"", aether_error(), fragment);        \
    } while (0)

/* A call that fails, with a text that has this in it. */
#define expect_refused(wanted, fragment, call)                                                                              \
    do {                                                                                                                    \
        expect_status(wanted, call);                                                                                        \
        expect_failure(wanted, fragment);                                                                                   \
    } while (0)

/* A body (unit_wait.h) found nothing wrong. */
#define expect_fine(body)                                                                                                   \
    do {                                                                                                                    \
        const char *text_came = (body);                                                                                     \
        cr_assert(text_came == NULL, "%s", text_came);                                                                      \
    } while (0)

/* The next items are these, as unit_append() made them, and are there without waiting. */
#define expect_items(cursor, first, last) expect_fine(unit_read(cursor, first, last))

#define expect_position(wanted_epoch, wanted_index, position)                                                               \
    do {                                                                                                                    \
        aether_position position_came = (position);                                                                         \
        expect_number(wanted_epoch, position_came.epoch);                                                                   \
        expect_number(wanted_index, position_came.index);                                                                   \
    } while (0)

/* A call writes nothing: what a buffer says of itself is what it said before, but for the waits. */
#define expect_nothing_written(before, buffer)                                                                              \
    do {                                                                                                                    \
        aether_buffer_stats stats_before = (before), stats_after = unit_stats(buffer);                                      \
        stats_before.room_waits = stats_after.room_waits;                                                                   \
        cr_assert(memcmp(&stats_before, &stats_after, sizeof stats_before) == 0, "the statistics have changed");            \
        ae_buffer_check(buffer);                                                                                            \
    } while (0)

/* Nothing now. */
#define expect_empty(cursor) expect_status(AETHER_EMPTY, unit_next(cursor))

#endif
