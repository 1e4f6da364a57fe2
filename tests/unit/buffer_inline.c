/*
 * The inline way, and what it leaves to the plain calls. Debug builds close it, so that they see two writers; these tests
 * open it again (where there is no membarrier it stays closed, and they prove only that it does no harm to use it).
 */
#include "common/unit.h"

#include "base/barrier.h"

static aether_buffer *make(void)
{
    aether_buffer *buffer = unit_buffer();
    unit_allow_inline(buffer);
    return buffer;
}

/* Items first to last. */
static aether_status append(aether_buffer *buffer, uint64_t first, uint64_t last)
{
    unsigned char payload[64];
    aether_status status = AETHER_OK;
    for (uint64_t i = first; i <= last && status == AETHER_OK; i++) {
        unit_fill(payload, unit_size(i), i);
        status = aether_inline_append(buffer, payload, unit_size(i));
    }
    return status;
}

TEST(buffer_inline, BUF1_inline_items_arrive_in_order_and_whole)
{
    aether_buffer *buffer = make();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(append(buffer, 1, 5000));
    ae_buffer_check(buffer);
    expect_items(cursor, 1, 5000);
    expect_empty(cursor);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_inline, BUF1_the_inline_way_is_open_between_rolls)
{
    if (!ae_barrier_is_asymmetric())
        cr_skip_test("closed without membarrier");
    aether_buffer *buffer = make();
    uint64_t inside = 0;
    for (uint64_t i = 1; i <= 1000; i++) {
        inside += aether_inline_fits(buffer, unit_size(i));
        expect_ok(append(buffer, i, i));
    }
    expect_number(1000 - (unit_segments(buffer) - 1), inside); /* all but those that rolled */
    aether_buffer_destroy(buffer);
}

TEST(buffer_inline, BUF2_inline_next_hands_out_the_items_of_a_segment)
{
    aether_buffer *buffer = make();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(append(buffer, 1, 2000));
    uint64_t next = 1;
    while (next <= 2000) {
        aether_item item;
        while (aether_inline_next(cursor, &item)) {
            cr_assert(unit_is_item(&item, next));
            expect_position(UNIT_EPOCH, next, aether_cursor_position(cursor));
            next++;
        }
        if (next <= 2000) {
            expect_items(cursor, next, next); /* the plain call crosses */
            next++;
        }
    }
    expect_empty(cursor);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_inline, BUF2_both_ways_mix_freely)
{
    aether_buffer *buffer = make();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    uint64_t next = 1;
    for (int round = 0; round < 300; round++) {
        expect_ok(append(buffer, next, next + 2));
        expect_ok(unit_append(buffer, next + 3, next + 3));
        expect_ok(unit_append_batch(buffer, next + 4, next + 8));
        expect_ok(append(buffer, next + 9, next + 9));
        aether_item item;
        expect_items(cursor, next, next + 4);
        for (uint64_t i = next + 5; i <= next + 9; i++)
            if (aether_inline_next(cursor, &item))
                cr_assert(unit_is_item(&item, i));
            else
                expect_items(cursor, i, i);
        next += 10;
        ae_buffer_check(buffer);
    }
    expect_empty(cursor);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_inline, BUF2_items_with_an_index_of_their_own_are_for_the_plain_call)
{
    aether_buffer *buffer = make();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    aether_item item;
    expect_ok(aether_append_at(buffer, 10, "x", 1));
    cr_assert(!aether_inline_fits(buffer, 0));
    expect_ok(aether_inline_append(buffer, "y", 1));
    cr_assert(!aether_inline_next(cursor, &item));
    expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
    expect_number(10, item.index);
    cr_assert(!aether_inline_next(cursor, &item));
    expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
    expect_number(11, item.index);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_inline, BUF1_the_inline_way_opens_again_in_the_next_segment)
{
    if (!ae_barrier_is_asymmetric())
        cr_skip_test("closed without membarrier");
    aether_buffer *buffer = make();
    expect_ok(aether_append_at(buffer, 10, "x", 1));
    while (unit_segments(buffer) == 1)
        expect_ok(aether_inline_append(buffer, "y", 1));
    cr_assert(aether_inline_fits(buffer, 1));
    ae_buffer_check(buffer);
    aether_buffer_destroy(buffer);
}

TEST(buffer_inline, BUF6_an_end_closes_the_inline_way)
{
    aether_buffer *buffer = make(), *other = make();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT), *at = unit_open(buffer, AETHER_FROM_NEXT);
    aether_item item;
    expect_ok(append(buffer, 1, 1));
    expect_ok(append(other, 1, 1));
    expect_ok(aether_buffer_end(buffer, AETHER_RESET));
    expect_refused(AETHER_ENDED, "aether_append: the buffer was ended", aether_inline_append(buffer, "x", 1));
    cr_assert(aether_inline_next(cursor, &item));
    cr_assert(!aether_inline_next(cursor, &item));
    expect_status(AETHER_RESET, unit_next(cursor));
    expect_ok(aether_buffer_splice(other, at));
    expect_status(AETHER_ENDED, aether_inline_append(other, "x", 1));
    aether_cursor_close(cursor);
    aether_buffer_destroy(other);
    aether_buffer_destroy(buffer);
}

TEST(buffer_inline, BUF4_a_cancelled_reader_gets_nothing_inline)
{
    aether_buffer *buffer = make();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    aether_item item;
    expect_ok(append(buffer, 1, 2));
    aether_cursor_cancel(cursor);
    cr_assert(!aether_inline_next(cursor, &item));
    expect_status(AETHER_CANCELLED, unit_next(cursor));
    expect_ok(aether_cursor_resume(cursor));
    cr_assert(aether_inline_next(cursor, &item) && unit_is_item(&item, 1));
    expect_items(cursor, 2, 2);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_inline, D8_inline_sizes_around_the_end_of_a_segment)
{
    unsigned char payload[UNIT_SEGMENT];
    for (int delta = -20; delta <= 20; delta++) {
        aether_buffer *buffer = make();
        aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
        expect_ok(append(buffer, 1, 3));
        uint64_t room = ae_buffer_room(buffer);
        size_t size = (size_t)((int64_t)unit_size_that_fills(buffer) + delta);
        unit_fill(payload, size, 4);
        expect_ok(aether_inline_append(buffer, payload, size));
        expect_number(ae_step(size) <= room ? 1 : 2, unit_segments(buffer));
        ae_buffer_check(buffer);
        expect_ok(append(buffer, 5, 200));
        aether_item item;
        expect_items(cursor, 1, 3);
        expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
        cr_assert(item.size == size && unit_is_filled(item.data, size, 4));
        expect_items(cursor, 5, 200);
        aether_cursor_close(cursor);
        aether_buffer_destroy(buffer);
    }
}

TEST(buffer_inline, D8_a_size_over_the_limit_is_not_for_the_inline_way)
{
    aether_buffer *buffer = make();
    cr_assert(!aether_inline_fits(buffer, AETHER_ITEM_MAX + 1));
    cr_assert(!aether_inline_fits(buffer, SIZE_MAX));
    expect_refused(AETHER_TOO_LARGE, "aether_append: size", aether_inline_append(buffer, "x", SIZE_MAX));
    aether_buffer_destroy(buffer);
}

TEST(buffer_inline, BUF4_an_inline_item_wakes_who_sleeps)
{
    aether_buffer *buffer = make();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    for (uint64_t i = 1; i <= 100; i++) {
        struct unit_reader reader;
        cr_assert(unit_reader_put_to_sleep(&reader, cursor));
        expect_ok(append(buffer, i, i));
        expect_ok(unit_reader_join(&reader));
        cr_assert(unit_is_item(&reader.item, i));
        expect_number(i, unit_stats(buffer).wakes);
    }
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_inline, BUF10_inline_items_count)
{
    aether_buffer *buffer = make();
    for (uint64_t i = 1; i <= 500; i++) {
        expect_ok(append(buffer, i, i));
        expect_number(i, unit_stats(buffer).items);
        expect_position(UNIT_EPOCH, i, aether_buffer_newest(buffer));
    }
    aether_buffer_destroy(buffer);
}

TEST(buffer_inline, D4_without_membarrier_the_inline_way_is_closed)
{
    unit_no_membarrier();
    aether_buffer *buffer = make();
    cr_assert(!aether_inline_fits(buffer, 0));
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(append(buffer, 1, 500));
    expect_items(cursor, 1, 500);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

/* --------------------------------------------------------------------------------------------------- beside a reader */

enum { ITEMS = 200000 };

static const char *read_inline(void *user)
{
    for (uint64_t next = 1; next <= ITEMS;) {
        aether_item item;
        while (next <= ITEMS && aether_inline_next(user, &item)) {
            claim(unit_is_item(&item, next));
            next++;
        }
        if (next > ITEMS)
            break;
        claim(aether_cursor_next(user, &item, AETHER_SECONDS(20)) == AETHER_OK);
        claim(unit_is_item(&item, next));
        next++;
    }
    return NULL;
}

TEST(buffer_inline, BUF2_an_inline_reader_beside_an_inline_writer_sees_each_item_whole)
{
    aether_buffer *buffer = make();
    aether_cursor *cursors[2];
    struct unit_thread readers[2];
    for (int i = 0; i < 2; i++) {
        cursors[i] = unit_open(buffer, AETHER_FROM_NEXT);
        cr_assert(unit_thread_start(&readers[i], 0, read_inline, cursors[i]));
    }
    expect_ok(append(buffer, 1, ITEMS));
    for (int i = 0; i < 2; i++) {
        expect_fine(unit_thread_join(&readers[i]));
        aether_cursor_close(cursors[i]);
    }
    ae_buffer_check(buffer);
    aether_buffer_destroy(buffer);
}
