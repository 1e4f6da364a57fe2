/* What the buffers that aether follows prove of themselves, under their tests' names, and with their numbers. */
#include "common/unit.h"

#include <time.h>

/* ---------------------------------------------------------- Consul and Nomad, event_buffer_test: TestEventBufferFuzz */

enum { READERS = 1000, FEW_READERS = 100, ITEMS = 1000, SMALL_STACK = 128 * 1024 };

static uint32_t draw(uint32_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 17;
    return *random ^= *random << 5;
}

/* Mostly nothing, seldom short, very seldom long: the tail of a power law. */
static void jitter(uint32_t *random, uint32_t one_in, long most_ns)
{
    if (draw(random) % one_in != 0)
        return;
    struct timespec pause = {0, most_ns / (1 + draw(random) % 64)};
    nanosleep(&pause, NULL);
}

struct fuzz_reader {
    aether_cursor *cursor;
    uint32_t random;
    struct unit_thread thread;
};

static const char *read_with_jitter(void *user)
{
    struct fuzz_reader *reader = user;
    for (uint64_t i = 1; i <= ITEMS; i++) {
        aether_item item;
        claim(aether_cursor_next(reader->cursor, &item, AETHER_FOREVER) == AETHER_OK);
        claim(unit_is_item(&item, i));
        jitter(&reader->random, 256, 1000000);
    }
    aether_item item;
    claim(aether_cursor_next(reader->cursor, &item, AETHER_FOREVER) == AETHER_ENDED);
    return NULL;
}

TEST(buffer_fuzz, BUF1_TestEventBufferFuzz_a_thousand_readers_see_a_thousand_items_once_and_in_order)
{
    static struct fuzz_reader readers[READERS];
    int count = unit_is_in_valgrind() ? FEW_READERS : READERS;
    uint32_t random = 2463534242;
    aether_buffer *buffer = unit_buffer();
    for (int i = 0; i < count; i++) {
        readers[i].cursor = unit_open(buffer, AETHER_FROM_NEXT);
        readers[i].random = (uint32_t)(i + 1) * 2654435761U;
        cr_assert(unit_thread_start(&readers[i].thread, SMALL_STACK, read_with_jitter, &readers[i]));
    }
    for (uint64_t i = 1; i <= ITEMS; i++) {
        expect_ok(unit_append(buffer, i, i));
        jitter(&random, 16, 1000000);
    }
    expect_ok(aether_buffer_end(buffer, AETHER_OK));
    for (int i = 0; i < count; i++) {
        expect_fine(unit_thread_join(&readers[i].thread));
        aether_cursor_close(readers[i].cursor);
    }
    expect_number(1, unit_stats(buffer).in_use_segments);
    ae_buffer_check(buffer);
    aether_buffer_destroy(buffer);
}

/* ----------------------------------------------------------------------------------------- Consul, subscription_test */

TEST(buffer_fuzz, BUF4_TestSubscription_an_item_that_is_there_returns_at_once)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 1));
    int64_t before = unit_now();
    aether_item item;
    expect_ok(aether_cursor_next(cursor, &item, AETHER_FOREVER));
    expect_within(0, AETHER_MILLISECONDS(200), unit_now() - before);
    expect_number(0, unit_futex_sleeps());
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_fuzz, BUF4_TestSubscription_next_blocks_until_a_later_item)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    struct unit_reader reader;
    cr_assert(unit_reader_put_to_sleep(&reader, cursor));
    int64_t before = unit_now();
    expect_ok(unit_append(buffer, 1, 1));
    expect_ok(unit_reader_join(&reader));
    expect_within(0, AETHER_SECONDS(2), unit_now() - before);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_fuzz, BUF4_TestSubscription_a_cancel_unblocks)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    struct unit_reader reader;
    cr_assert(unit_reader_put_to_sleep(&reader, cursor));
    aether_cursor_cancel(cursor);
    expect_status(AETHER_CANCELLED, unit_reader_join(&reader));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_fuzz, BUF4_TestSubscription_Close_unblocks_with_a_status_of_its_own)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    struct unit_reader reader;
    cr_assert(unit_reader_put_to_sleep(&reader, cursor));
    expect_ok(aether_buffer_end(buffer, AETHER_RESET)); /* "reset your state and come back" */
    expect_status(AETHER_RESET, unit_reader_join(&reader));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

/* ------------------------------------------------------------------------------------------ Nomad, event_buffer_test */

TEST(buffer_fuzz, BUF2_Slow_Reader_a_slow_reader_loses_nothing_and_holds_what_follows_it)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *slow = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 10));
    expect_items(slow, 1, 1);
    expect_ok(unit_append(buffer, 11, 15));
    expect_items(slow, 2, 15);
    aether_cursor_close(slow);
    aether_buffer_destroy(buffer);
}

TEST(buffer_fuzz, BUF10_Size_counts_items_of_batches_one_by_one)
{
    aether_buffer *buffer = unit_buffer();
    expect_ok(unit_append_batch(buffer, 1, 100));
    expect_number(100, unit_stats(buffer).items);
    aether_buffer_destroy(buffer);
}

TEST(buffer_fuzz, BUF1_Emptying_Buffer_a_reader_that_drained_it_gets_the_next_item)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 10));
    expect_items(cursor, 1, 10);
    for (int more = 0; more < 20; more++)
        expect_empty(cursor);
    struct unit_reader reader;
    cr_assert(unit_reader_put_to_sleep(&reader, cursor));
    expect_ok(unit_append(buffer, 11, 11));
    expect_ok(unit_reader_join(&reader));
    cr_assert(unit_is_item(&reader.item, 11));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}
