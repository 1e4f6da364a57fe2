/* Memory: what is read is recycled or given back, long chains go without recursion, segments grow and shrink. */
#include "common/unit.h"

#include "base/rcu.h"
#include "common/unit_clock.h"

enum { LONG = 100000, LONGER = 400000, SMALL_STACK = 64 * 1024 };

static aether_status append_many(aether_buffer *buffer, uint64_t count)
{
    aether_status status = AETHER_OK;
    for (uint64_t i = 0; i < count && status == AETHER_OK; i++)
        status = aether_append(buffer, &i, sizeof i);
    return status;
}

static const char *close_it(void *user)
{
    aether_cursor_close(user);
    return NULL;
}

static void close_on_a_small_stack(aether_cursor *cursor)
{
    struct unit_thread thread;
    cr_assert(unit_thread_start(&thread, SMALL_STACK, close_it, cursor));
    expect_fine(unit_thread_join(&thread));
}

/* ------------------------------------------------------------------------------------------------------- long chains */

TEST(buffer_segment, BUF5_a_long_chain_goes_with_its_slow_reader)
{
    aether_buffer *buffer = unit_buffer();
    aether_buffer_stats before = unit_stats(buffer);
    for (int round = 0; round < 2; round++) {
        aether_cursor *slow = unit_open(buffer, AETHER_FROM_NEXT);
        expect_ok(append_many(buffer, round == 0 ? LONG : LONGER));
        expect_within(1000, UINT64_MAX, unit_stats(buffer).in_use_segments);
        expect_number(unit_stats(buffer).in_use_segments * UNIT_SEGMENT, unit_stats(buffer).in_use_bytes);
        close_on_a_small_stack(slow);
        expect_number(before.in_use_segments, unit_stats(buffer).in_use_segments);
        expect_number(before.in_use_bytes, unit_stats(buffer).in_use_bytes);
        expect_within(1, 4, unit_stats(buffer).cached_segments);
        ae_rcu_barrier();
        expect_within(2, 2 + 4, unit_memory().blocks);
        ae_buffer_check(buffer);
    }
    expect_ok(unit_append(buffer, LONG + LONGER + 1, LONG + LONGER + 100));
    aether_buffer_destroy(buffer);
}

TEST(buffer_segment, BUF5_a_long_chain_goes_with_its_buffer)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *slow = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(append_many(buffer, LONG));
    aether_buffer_destroy(buffer);
    expect_within(1000, UINT64_MAX, unit_memory().blocks);
    close_on_a_small_stack(slow);
    cr_assert(unit_memory_is_balanced());
}

TEST(buffer_segment, BUF5_a_reader_gives_back_what_it_has_read)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 10000));
    uint64_t held = unit_stats(buffer).in_use_segments;
    for (uint64_t i = 1; i <= 10000; i++) {
        expect_items(cursor, i, i);
        uint64_t now = unit_stats(buffer).in_use_segments;
        expect_within(held - 1, held, now);
        held = now;
    }
    expect_number(1, held);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_segment, BUF5_the_slowest_reader_decides)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *first = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 1000));
    aether_cursor *second = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1001, 2000));
    uint64_t both = unit_stats(buffer).in_use_segments;
    aether_cursor_close(first);
    uint64_t one = unit_stats(buffer).in_use_segments;
    expect_within(both / 2 - 2, both / 2 + 2, one);
    expect_items(second, 1001, 2000);
    expect_number(1, unit_stats(buffer).in_use_segments);
    aether_cursor_close(second);
    aether_buffer_destroy(buffer);
}

TEST(buffer_segment, BUF5_without_readers_one_segment_is_enough)
{
    aether_buffer *buffer = unit_buffer();
    for (int i = 0; i < 1000; i++) {
        expect_ok(append_many(buffer, 10));
        expect_number(1, unit_stats(buffer).in_use_segments);
    }
    aether_buffer_destroy(buffer);
}

TEST(buffer_segment, BUF5_cursors_may_outlive_the_buffer_and_go_in_any_order)
{
    enum { CURSORS = 40 };
    for (int order = 0; order < 4; order++) {
        aether_buffer *buffer = unit_buffer();
        aether_cursor *cursors[CURSORS];
        for (uint64_t i = 0; i < CURSORS; i++) {
            cursors[i] = unit_open(buffer, AETHER_FROM_NEXT);
            expect_ok(unit_append(buffer, i * 50 + 1, i * 50 + 50));
        }
        aether_buffer_destroy(buffer);
        for (uint64_t i = 0; i < CURSORS; i++) {
            static const uint64_t factors[] = {1, CURSORS - 1, 7, 11}; /* forward, backward, mixed */
            uint64_t one = (i + 1) * factors[order] % CURSORS;
            expect_items(cursors[one], one * 50 + 1, one * 50 + 60 < CURSORS * 50 ? one * 50 + 60 : CURSORS * 50);
            aether_cursor_close(cursors[one]);
        }
        cr_assert(unit_memory_is_balanced());
    }
}

/* --------------------------------------------------------------------------------------------------------- the cache */

static void expect_cache(int32_t option, uint64_t most)
{
    aether_buffer_options options = unit_options();
    options.cached_segments = option;
    aether_buffer *buffer = unit_buffer_with(options);
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(append_many(buffer, 5000));
    aether_cursor_close(cursor);
    expect_number(most, unit_stats(buffer).cached_segments);
    ae_rcu_barrier();
    expect_number(2 + most, unit_memory().blocks); /* the buffer and its segment */
    expect_ok(append_many(buffer, 5000));
    aether_buffer_destroy(buffer);
}

TEST(buffer_segment, BUF5_the_cache_keeps_as_many_as_it_is_told)
{
    expect_cache(0, 4);
    expect_cache(1, 1);
    expect_cache(7, 7);
    expect_cache(-1, 0);
    expect_cache(INT32_MIN, 0);
}

TEST(buffer_segment, BUF2_what_was_in_a_recycled_segment_never_comes_back)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    unsigned char payload[300];
    memset(payload, 0xff, sizeof payload);
    for (uint64_t i = 1; i <= 3000; i++) {
        aether_item item;
        size_t size = i * 37 % sizeof payload;
        expect_ok(aether_append(buffer, payload, size));
        expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
        expect_number(size, item.size);
        expect_empty(cursor);
        ae_buffer_check(buffer);
    }
    expect_within(500, 3000, unit_segments(buffer));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

/* ------------------------------------------------------------------------------------------------------------- sizes */

static aether_buffer *make_growing(void)
{
    aether_buffer_options options = unit_options();
    options.segment_bytes = 64 * 1024;
    return unit_buffer_with(options);
}

static uint64_t segment_bytes(const aether_buffer *buffer)
{
    return ae_segment_size(buffer->writing->room);
}

/* Appends until the buffer begins the next segment, and tells its size. */
static uint64_t next_segment(aether_buffer *buffer)
{
    static const char payload[200];
    uint64_t before = unit_segments(buffer);
    while (unit_segments(buffer) == before)
        expect_ok(aether_append(buffer, payload, sizeof payload));
    return segment_bytes(buffer);
}

enum { SECOND = 1000000000 };

TEST(buffer_segment, BUF5_the_first_segment_has_the_size_of_the_option)
{
    aether_buffer_options options = unit_options();
    options.segment_bytes = 64 * 1024;
    for (uint32_t first = 1024; first <= options.segment_bytes; first *= 2) {
        options.first_segment_bytes = first;
        aether_buffer *buffer = unit_buffer_with(options);
        expect_number(first, segment_bytes(buffer));
        aether_buffer_destroy(buffer);
    }
}

TEST(buffer_segment, BUF5_an_empty_buffer_with_one_cursor_takes_2_KiB)
{
    aether_buffer_options options = {.allocator = &unit_allocator};
    aether_buffer *buffer = unit_buffer_with(options);
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_within(1024, 2048, unit_memory().bytes);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_segment, BUF5_segments_of_a_busy_buffer_double_up_to_the_largest)
{
    unit_clock_install(SECOND);
    aether_buffer *buffer = make_growing();
    for (uint64_t before = segment_bytes(buffer); before < 64 * 1024; before *= 2)
        expect_number(2 * before, next_segment(buffer));
    for (int i = 0; i < 5; i++)
        expect_number(64 * 1024, next_segment(buffer));
    ae_buffer_check(buffer);
    aether_buffer_destroy(buffer);
}

TEST(buffer_segment, BUF5_segments_of_a_quiet_buffer_stay_small)
{
    unit_clock_install(SECOND);
    aether_buffer *buffer = make_growing();
    uint64_t first = segment_bytes(buffer);
    for (int i = 0; i < 20; i++) {
        unit_clock_advance(SECOND);
        expect_number(first, next_segment(buffer));
    }
    aether_buffer_destroy(buffer);
}

TEST(buffer_segment, BUF5_segments_of_a_buffer_that_falls_quiet_halve)
{
    aether_buffer_options options = unit_options();
    options.segment_bytes = 64 * 1024;
    options.cached_segments = -1; /* large ones that are there are taken, whatever size is due */
    unit_clock_install(SECOND);
    aether_buffer *buffer = unit_buffer_with(options);
    while (next_segment(buffer) < 64 * 1024)
        ;
    for (uint64_t bytes = 32 * 1024; bytes >= 1024; bytes /= 2) {
        unit_clock_advance(3 * (int64_t)SECOND);
        expect_number(bytes, next_segment(buffer));
    }
    unit_clock_advance(3 * (int64_t)SECOND);
    expect_number(1024, next_segment(buffer));
    aether_buffer_destroy(buffer);
}

TEST(buffer_segment, BUF5_after_a_long_quiet_time_segments_are_small_at_once)
{
    aether_buffer_options options = unit_options();
    options.segment_bytes = 64 * 1024;
    options.cached_segments = -1;
    unit_clock_install(SECOND);
    aether_buffer *buffer = unit_buffer_with(options);
    while (next_segment(buffer) < 64 * 1024)
        ;
    unit_clock_advance(1000 * (int64_t)SECOND);
    expect_within(1024, 4096, next_segment(buffer));
    ae_buffer_check(buffer);
    aether_buffer_destroy(buffer);
}

TEST(buffer_segment, BUF5_a_long_chain_is_of_large_segments_even_when_it_is_slow)
{
    unit_clock_install(SECOND);
    aether_buffer *buffer = make_growing();
    aether_cursor *slow = unit_open(buffer, AETHER_FROM_NEXT);
    uint64_t bytes = 0;
    for (int i = 0; i < 20; i++) {
        unit_clock_advance(SECOND);
        bytes = next_segment(buffer);
    }
    expect_number(64 * 1024, bytes);
    aether_cursor_close(slow);
    aether_buffer_destroy(buffer);
}

TEST(buffer_segment, D8_a_segment_grows_at_once_to_the_least_usual_size_that_an_item_needs)
{
    static const char payload[60 * 1024];
    unit_clock_install(SECOND);
    for (size_t size = 1000; size <= sizeof payload; size += 999) {
        aether_buffer *buffer = make_growing();
        unit_clock_advance(SECOND); /* neither busy nor quiet */
        expect_ok(aether_append(buffer, payload, size));
        uint64_t least = ae_step(size) + AE_END_ROOM + ae_segment_size(0), bytes = UNIT_SEGMENT;
        while (bytes < least)
            bytes *= 2;
        expect_number(bytes, segment_bytes(buffer));
        ae_buffer_check(buffer);
        aether_buffer_destroy(buffer);
    }
}

static unsigned draw(unsigned *random, unsigned below)
{
    *random = *random * 1103515245 + 12345;
    return (*random >> 16) % below;
}

/* Rolls `rolls` times, in turns of quiet and busy times, with a reader that lags now and then and has read all at the end.
 */
static void live_on(aether_buffer *buffer, aether_cursor *cursor, int rolls)
{
    unsigned random = 1, quiet = 0;
    for (int i = 0; i < rolls; i++) {
        if (draw(&random, 20) == 0)
            quiet = draw(&random, 2);
        unit_clock_advance(quiet ? 3 * (int64_t)SECOND : 1000);
        (void)next_segment(buffer);
        if (quiet || draw(&random, 3) == 0)
            while (unit_next(cursor) == AETHER_OK && draw(&random, 200) != 0)
                ;
    }
    while (unit_next(cursor) == AETHER_OK)
        ;
    ae_rcu_barrier();
}

TEST(buffer_segment, BUF5_a_buffer_that_is_busy_now_and_then_does_not_grow_for_ever)
{
    unit_clock_install(SECOND);
    aether_buffer *buffer = make_growing();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    live_on(buffer, cursor, 8000);
    expect_within(0, 400 * 1024, unit_memory().bytes); /* one in use, four in the cache, 64 KiB for smaller ones */
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_segment, BUF11_a_failing_allocator_is_not_asked_for_more_each_time)
{
    unit_clock_install(SECOND);
    aether_buffer *buffer = make_growing();
    while (ae_buffer_room(buffer) >= 16)
        expect_ok(append_many(buffer, 1));
    unit_memory_fail(0, UINT64_MAX);
    expect_status(AETHER_NO_MEMORY, append_many(buffer, 1));
    uint64_t asked = unit_memory().asked;
    for (int again = 0; again < 5; again++) {
        expect_status(AETHER_NO_MEMORY, append_many(buffer, 1));
        expect_number(asked, unit_memory().asked);
    }
    unit_memory_fail(0, 0);
    expect_ok(append_many(buffer, 1));
    expect_number(asked, segment_bytes(buffer));
    aether_buffer_destroy(buffer);
}

/* ---------------------------------------------------------------------------------------------- beside other threads */

enum { READERS = 6, ITEMS = 60000 };

static const char *read_and_lag(void *user)
{
    unsigned random = (unsigned)(uintptr_t)user | 1;
    aether_cursor *cursor = user;
    for (uint64_t next = 1; next <= ITEMS;) {
        aether_item items[32];
        size_t count;
        random = random * 1103515245 + 12345;
        claim(aether_cursor_run(cursor, items, 1 + (random >> 16) % 32, &count, AETHER_SECONDS(20)) == AETHER_OK);
        for (size_t i = 0; i < count; i++, next++)
            claim(unit_is_item(&items[i], next));
        if ((random >> 8) % 64 == 0) {
            aether_cursor *twin = aether_cursor_dup(cursor);
            claim(twin != NULL);
            aether_cursor_close(cursor);
            cursor = twin;
        }
    }
    aether_cursor_close(cursor);
    return NULL;
}

TEST(buffer_segment, BUF5_readers_drop_the_last_count_from_every_side)
{
    aether_buffer *buffer = unit_buffer();
    struct unit_thread threads[READERS];
    for (int i = 0; i < READERS; i++)
        cr_assert(unit_thread_start(&threads[i], 0, read_and_lag, unit_open(buffer, AETHER_FROM_NEXT)));
    expect_ok(unit_append(buffer, 1, ITEMS));
    for (int i = 0; i < READERS; i++)
        expect_fine(unit_thread_join(&threads[i]));
    expect_number(1, unit_stats(buffer).in_use_segments);
    expect_number(0, unit_stats(buffer).cursors);
    ae_buffer_check(buffer);
    aether_buffer_destroy(buffer);
}
