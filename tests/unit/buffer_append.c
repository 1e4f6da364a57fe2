/* Appending one item: order, wholeness, sizes around the end of a segment. */
#include "common/unit.h"

#include "common/unit_child.h"
#include "common/unit_kernel.h"

TEST(buffer_append, BUF1_items_arrive_in_order_and_once)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 1000));
    expect_items(cursor, 1, 1000);
    expect_empty(cursor);
    ae_buffer_check(buffer);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_append, BUF1_a_reader_in_step_sees_each_item_at_once)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    for (uint64_t i = 1; i <= 1000; i++) {
        expect_empty(cursor);
        expect_ok(unit_append(buffer, i, i));
        expect_items(cursor, i, i);
    }
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_append, BUF1_readers_go_each_at_its_own_pace)
{
    enum { READERS = 16, ITEMS = 800 };
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursors[READERS];
    for (uint64_t r = 0; r < READERS; r++)
        cursors[r] = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, ITEMS));
    for (uint64_t r = 0; r < READERS; r++)
        expect_items(cursors[r], 1, r * ITEMS / READERS);
    expect_ok(unit_append(buffer, ITEMS + 1, 2 * ITEMS));
    for (uint64_t r = 0; r < READERS; r++) {
        expect_items(cursors[r], r * ITEMS / READERS + 1, 2 * ITEMS);
        expect_empty(cursors[r]);
        aether_cursor_close(cursors[r]);
    }
    aether_buffer_destroy(buffer);
}

TEST(buffer_append, BUF2_an_item_arrives_whole_whatever_its_size)
{
    unsigned char payload[600];
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    for (size_t size = 0; size <= sizeof payload; size++) {
        aether_item item;
        unit_fill(payload, size, size);
        expect_ok(aether_append(buffer, payload, size));
        expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
        expect_number(size, item.size);
        cr_assert(unit_is_filled(item.data, size, size));
    }
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_append, BUF2_the_payload_is_a_copy)
{
    char payload[] = "before";
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(aether_append(buffer, payload, sizeof payload));
    memset(payload, 'x', sizeof payload);
    aether_item item;
    expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
    cr_assert_str_eq(item.data, "before");
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_append, BUF2_an_empty_item_is_an_item)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(aether_append(buffer, NULL, 0));
    expect_ok(aether_append(buffer, "", 0));
    aether_item item;
    for (uint64_t i = 1; i <= 2; i++) {
        expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
        expect_number(0, item.size);
        expect_number(i, item.index);
        cr_assert(item.data != NULL);
    }
    expect_empty(cursor);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_append, BUF2_payloads_are_aligned_to_8)
{
    static const char payload[40];
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    for (size_t size = 0; size <= sizeof payload; size++) {
        aether_item item;
        expect_ok(aether_append_at(buffer, 3 * size + 1, payload, size));
        expect_ok(aether_append(buffer, payload, size));
        expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
        expect_number(0, (uintptr_t)item.data % 8);
        expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
        expect_number(0, (uintptr_t)item.data % 8);
    }
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_append, BUF2_what_a_cursor_handed_out_stays_while_the_writer_goes_on)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    aether_item item;
    expect_ok(unit_append(buffer, 1, 1));
    expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
    expect_ok(unit_append(buffer, 2, 10000));
    cr_assert(unit_is_item(&item, 1));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

/* -------------------------------------------------------------------------------------------------- ends of segments */

TEST(buffer_append, D8_an_item_may_fill_its_segment_to_the_last_byte)
{
    unsigned char payload[UNIT_SEGMENT];
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    size_t size = unit_size_that_fills(buffer);
    unit_fill(payload, size, 1);
    expect_ok(aether_append(buffer, payload, size));
    expect_number(1, unit_segments(buffer));
    expect_number(0, ae_buffer_room(buffer));
    expect_ok(unit_append(buffer, 2, 2));
    expect_number(2, unit_segments(buffer));
    ae_buffer_check(buffer);
    aether_item item;
    expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
    cr_assert(item.size == size && unit_is_filled(item.data, size, 1));
    expect_items(cursor, 2, 2);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

/* One item of every size around the room that is left; it stays in the segment exactly when its slot fits. */
static void append_around_the_end(uint64_t before, size_t size)
{
    unsigned char payload[2 * UNIT_SEGMENT];
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, before));
    uint64_t room = ae_buffer_room(buffer);
    unit_fill(payload, size, size);
    expect_ok(aether_append(buffer, payload, size));
    expect_number(ae_step(size) <= room ? 1 : 2, unit_segments(buffer));
    ae_buffer_check(buffer);
    expect_ok(unit_append(buffer, before + 2, before + 100));
    expect_items(cursor, 1, before);
    aether_item item;
    expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
    cr_assert(item.index == before + 1 && item.size == size && unit_is_filled(item.data, size, size));
    expect_items(cursor, before + 2, before + 100);
    ae_buffer_check(buffer);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_append, D8_items_just_below_and_above_the_room_of_a_segment_arrive_whole)
{
    aether_buffer *buffer = unit_buffer();
    size_t full = unit_size_that_fills(buffer);
    aether_buffer_destroy(buffer);
    for (size_t size = full - 20; size <= full + 20; size++) {
        append_around_the_end(0, size);
        append_around_the_end(1, size - ae_step(unit_size(1)));
        append_around_the_end(7, size / 2);
    }
}

TEST(buffer_append, D8_an_item_larger_than_a_segment_gets_one_of_its_own)
{
    static unsigned char payload[100000];
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    unit_fill(payload, sizeof payload, 2);
    expect_ok(unit_append(buffer, 1, 1));
    expect_ok(aether_append(buffer, payload, sizeof payload));
    expect_ok(unit_append(buffer, 3, 3));
    expect_number(3, unit_segments(buffer));
    ae_buffer_check(buffer);
    aether_item item;
    expect_items(cursor, 1, 1);
    expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
    cr_assert(item.size == sizeof payload && unit_is_filled(item.data, sizeof payload, 2));
    expect_items(cursor, 3, 3);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_append, BUF5_an_oversize_segment_is_given_back_rather_than_cached)
{
    static unsigned char payload[100000];
    aether_buffer *buffer = unit_buffer();
    for (uint64_t i = 0; i < 20; i++)
        expect_ok(aether_append(buffer, payload, sizeof payload));
    expect_ok(unit_append(buffer, 21, 21));
    ae_rcu_barrier();
    expect_within(0, 8 * UNIT_SEGMENT, unit_memory().bytes);
    aether_buffer_destroy(buffer);
}

/* ----------------------------------------------------------------------------------------------------- what it costs */

TEST(buffer_append, BUF1_append_does_not_wait_for_a_reader_that_never_reads)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *asleep = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 20000));
    aether_cursor *late = aether_cursor_dup(asleep);
    expect_items(late, 1, 20000);
    aether_cursor_close(late);
    aether_cursor_close(asleep);
    aether_buffer_destroy(buffer);
}

static const char *append_and_read_without_system_calls(void *user)
{
    (void)user;
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    claim(unit_append(buffer, 1, 200) == AETHER_OK && unit_read(cursor, 1, 200) == NULL);
    claim(unit_kernel_allows_nothing());
    for (uint64_t i = 201; i <= 5000; i++) {
        claim(unit_append(buffer, i, i) == AETHER_OK);
        claim(unit_read(cursor, i, i) == NULL);
        claim(unit_next(cursor) == AETHER_EMPTY);
    }
    return NULL;
}

TEST(buffer_append, BUF1_once_warm_a_writer_and_its_reader_make_no_system_calls)
{
    if (unit_is_in_valgrind() || unit_is_in_qemu())
        cr_skip_test("the host makes some of its own");
    expect_fine(unit_child(append_and_read_without_system_calls, NULL));
}

TEST(buffer_append, BUF1_a_warm_append_takes_no_memory_and_wakes_nobody)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 200));
    expect_items(cursor, 1, 200);
    uint64_t allocs = unit_memory().allocs;
    for (uint64_t i = 201; i <= 20000; i++) {
        expect_ok(unit_append(buffer, i, i));
        expect_items(cursor, i, i);
    }
    expect_number(allocs, unit_memory().allocs);
    expect_number(0, unit_futex_wakes());
    expect_number(0, unit_stats(buffer).wakes);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

/* -------------------------------------------------------------------------------------------------- whose turn it is */

static const char *append_a_thousand(void *user)
{
    uint64_t *next = ((void **)user)[1];
    claim(unit_append(((void **)user)[0], *next, *next + 999) == AETHER_OK);
    *next += 1000;
    return NULL;
}

TEST(buffer_append, D4_threads_may_take_turns_at_writing)
{
    uint64_t next = 1;
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    void *both[] = {buffer, &next};
    for (int turn = 0; turn < 4; turn++) {
        struct unit_thread thread;
        cr_assert(unit_thread_start(&thread, 0, append_a_thousand, both));
        expect_fine(unit_thread_join(&thread));
    }
    expect_items(cursor, 1, 4000);
    ae_buffer_check(buffer);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

/* A second append from inside the first one: the allocator calls the library, which it must not, but it is deterministic. */
static aether_status inner;

static void append_from_inside(void *user)
{
    inner = aether_append(user, "inner", 5);
}

TEST(buffer_append, D4_two_writers_at_once_are_seen_by_debug_builds)
{
    if (!AE_DEBUG)
        cr_skip_test("only debug builds look");
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    uint64_t i = 1;
    unit_memory_hook(append_from_inside, buffer);
    for (; unit_segments(buffer) == 1; i++)
        expect_ok(unit_append(buffer, i, i));
    unit_memory_hook(NULL, NULL);
    expect_status(AETHER_BUSY, inner);
    expect_failure(AETHER_BUSY, "another thread is writing");
    expect_ok(unit_append(buffer, i, i));
    expect_items(cursor, 1, i);
    expect_empty(cursor);
    ae_buffer_check(buffer);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

static void write_from_inside(void *user)
{
    aether_payload payload = {.data = "x", .size = 1};
    aether_buffer *buffer = ((void **)user)[0];
    cr_expect(aether_append_at(buffer, 1000000, "x", 1) == AETHER_BUSY);
    cr_expect(aether_append_batch(buffer, &payload, 1) == AETHER_BUSY);
    cr_expect(aether_buffer_end(buffer, AETHER_OK) == AETHER_BUSY);
    cr_expect(aether_buffer_splice(buffer, ((void **)user)[1]) == AETHER_BUSY);
}

TEST(buffer_append, D4_every_writing_call_is_busy_beside_another)
{
    if (!AE_DEBUG)
        cr_skip_test("only debug builds look");
    aether_buffer *buffer = unit_buffer(), *other = unit_buffer();
    aether_cursor *at = unit_open(other, AETHER_FROM_NEXT);
    void *both[] = {buffer, at};
    unit_memory_hook(write_from_inside, both);
    expect_ok(unit_append(buffer, 1, 100));
    unit_memory_hook(NULL, NULL);
    expect_ok(unit_append(buffer, 101, 101));
    aether_cursor_close(at);
    aether_buffer_destroy(other);
    aether_buffer_destroy(buffer);
}
