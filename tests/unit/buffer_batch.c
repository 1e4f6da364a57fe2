/* Items that become visible together. */
#include "common/unit.h"

#include "aether/inline.h"

TEST(buffer_batch, BUF2_a_batch_is_items_in_order)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    uint64_t next = 1;
    for (uint64_t count = 1; count <= 60; count++) {
        expect_ok(unit_append_batch(buffer, next, next + count - 1));
        next += count;
        ae_buffer_check(buffer);
    }
    expect_items(cursor, 1, next - 1);
    expect_empty(cursor);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_batch, BUF2_a_batch_that_does_not_fit_goes_to_the_next_segment_as_a_whole)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 20));
    expect_number(1, unit_segments(buffer));
    expect_ok(unit_append_batch(buffer, 21, 40));
    expect_number(2, unit_segments(buffer));
    expect_items(cursor, 1, 20);
    aether_item items[30];
    size_t count;
    expect_ok(aether_cursor_run(cursor, items, 30, &count, AETHER_NO_WAIT));
    expect_number(20, count);
    for (size_t i = 0; i < count; i++)
        cr_assert(unit_is_item(&items[i], 21 + i));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_batch, BUF2_a_batch_larger_than_a_segment_stands_in_one)
{
    enum { ITEMS = 1000 };
    static aether_item items[ITEMS];
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append_batch(buffer, 1, ITEMS));
    size_t count;
    expect_ok(aether_cursor_run(cursor, items, ITEMS, &count, AETHER_NO_WAIT));
    expect_number(ITEMS, count);
    for (size_t i = 0; i < count; i++)
        cr_assert(unit_is_item(&items[i], 1 + i));
    expect_ok(unit_append(buffer, ITEMS + 1, ITEMS + 1));
    expect_items(cursor, ITEMS + 1, ITEMS + 1);
    ae_buffer_check(buffer);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_batch, D8_a_batch_may_fill_its_segment_to_the_last_byte)
{
    static const char payload[UNIT_SEGMENT];
    for (size_t more = 0; more <= 1; more++) {
        aether_buffer *buffer = unit_buffer();
        size_t rest = unit_size_that_fills(buffer) - 2 * ae_step(8);
        aether_payload batch[] = {
            {.data = payload, .size = 8}, {.data = payload, .size = 8}, {.data = payload, .size = rest + more}};
        expect_ok(aether_append_batch(buffer, batch, 3));
        expect_number(1 + more, unit_segments(buffer));
        expect_number(0, ae_buffer_room(buffer));
        ae_buffer_check(buffer);
        aether_buffer_destroy(buffer);
    }
}

TEST(buffer_batch, BUF2_no_items_are_no_batch)
{
    aether_payload none;
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(aether_append_batch(buffer, NULL, 0));
    expect_ok(aether_append_batch(buffer, &none, 0));
    expect_empty(cursor);
    expect_number(0, unit_stats(buffer).items);
    expect_ok(unit_append(buffer, 1, 1));
    expect_items(cursor, 1, 1);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_batch, BUF2_a_batch_of_empty_items_is_items)
{
    aether_payload batch[200] = {{0}};
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(aether_append_batch(buffer, batch, 200));
    for (uint64_t i = 1; i <= 200; i++) {
        aether_item item;
        expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
        cr_assert(item.index == i && item.size == 0 && item.data != NULL);
    }
    expect_empty(cursor);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

/* Whatever the wrong item is, nothing of the batch is there, and the buffer is as it was. */
static void expect_none_of(aether_payload wrong, aether_status status, const char *text)
{
    static const char payload[64];
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 5));
    for (size_t at = 0; at < 40; at++) {
        aether_payload batch[40] = {{0}};
        for (size_t i = 0; i < 40; i++)
            batch[i] = (aether_payload){.data = payload, .size = 60};
        batch[at] = wrong;
        expect_refused(status, text, aether_append_batch(buffer, batch, 40));
        ae_buffer_check(buffer);
    }
    expect_number(5, unit_stats(buffer).items);
    expect_ok(unit_append(buffer, 6, 6));
    expect_items(cursor, 1, 6);
    expect_empty(cursor);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_batch, BUF2_one_wrong_item_is_none_of_the_batch)
{
    expect_none_of((aether_payload){.size = 5}, AETHER_INVALID, "is NULL");
    expect_none_of((aether_payload){.data = "x", .size = AETHER_ITEM_MAX + 1}, AETHER_TOO_LARGE, "over the limit");
    expect_none_of((aether_payload){.data = "x", .size = 1, .index = 5}, AETHER_INDEX_ORDER, "not above the newest");
}

TEST(buffer_batch, BUF2_the_text_says_which_item_is_wrong)
{
    aether_payload batch[] = {{.data = "a", .size = 1}, {.data = "b", .size = 1}, {.size = 7}};
    aether_buffer *buffer = unit_buffer();
    expect_refused(AETHER_INVALID, "aether_append_batch: the data of item 2 is NULL with size 7",
                   aether_append_batch(buffer, batch, 3));
    aether_buffer_destroy(buffer);
}

TEST(buffer_batch, BUF2_indexes_of_a_batch_must_grow_within_it)
{
    aether_payload batch[] = {
        {.data = "a", .size = 1, .index = 10}, {.data = "b", .size = 1}, {.data = "c", .size = 1, .index = 11}};
    aether_buffer *buffer = unit_buffer();
    expect_refused(AETHER_INDEX_ORDER, "index 11 of item 2 is not above the newest, 11",
                   aether_append_batch(buffer, batch, 3));
    expect_number(0, unit_stats(buffer).items);
    batch[2].index = 12;
    expect_ok(aether_append_batch(buffer, batch, 3));
    aether_buffer_destroy(buffer);
}

TEST(buffer_batch, BUF2_a_batch_over_the_limit_is_none)
{
    enum { ITEMS = 3 };
    aether_payload batch[ITEMS];
    aether_buffer *buffer = unit_buffer();
    for (int i = 0; i < ITEMS; i++)
        batch[i] = (aether_payload){.data = "never read", .size = AETHER_ITEM_MAX}; /* each one would be allowed */
    expect_refused(AETHER_TOO_LARGE, "a batch of more than", aether_append_batch(buffer, batch, ITEMS));
    expect_number(0, unit_stats(buffer).items);
    expect_ok(unit_append(buffer, 1, 1));
    aether_buffer_destroy(buffer);
}

/* --------------------------------------------------------------------------------------------------- beside a reader */

enum { BATCHES = 3000, LARGEST = 40 };

/* Payloads say where in its batch an item stands. */
struct mark {
    uint32_t batch, position, count;
};

static const char *write_batches(void *user)
{
    for (uint32_t b = 0; b < BATCHES; b++) {
        struct mark marks[LARGEST];
        aether_payload batch[LARGEST];
        uint32_t count = 1 + b * 7 % LARGEST;
        for (uint32_t i = 0; i < count; i++) {
            marks[i] = (struct mark){b, i, count};
            batch[i] = (aether_payload){.data = &marks[i], .size = sizeof marks[i]};
        }
        claim(aether_append_batch(user, batch, count) == AETHER_OK);
    }
    return NULL;
}

TEST(buffer_batch, BUF2_who_sees_the_first_item_of_a_batch_sees_them_all)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    struct unit_thread writer;
    cr_assert(unit_thread_start(&writer, 0, write_batches, buffer));
    for (uint32_t b = 0; b < BATCHES; b++) {
        struct mark mark = {0, 0, 1};
        for (uint32_t i = 0; i < mark.count; i++) {
            aether_item item;
            expect_ok(aether_cursor_next(cursor, &item, i == 0 ? AETHER_SECONDS(20) : AETHER_NO_WAIT));
            memcpy(&mark, item.data, sizeof mark);
            cr_assert(mark.batch == b && mark.position == i);
        }
    }
    expect_fine(unit_thread_join(&writer));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST_ALL_WAYS(buffer_batch, BUF4_a_batch_wakes_a_sleeper_once)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    struct unit_reader reader;
    cr_assert(unit_reader_put_to_sleep(&reader, cursor));
    expect_ok(unit_append_batch(buffer, 1, 20));
    expect_ok(unit_reader_join(&reader));
    cr_assert(unit_is_item(&reader.item, 1));
    expect_number(1, unit_stats(buffer).wakes);
    expect_items(cursor, 2, 20);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_batch, BUF4_a_batch_behind_a_roll_wakes_a_sleeper_once)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 20));
    expect_items(cursor, 1, 20);
    struct unit_reader reader;
    cr_assert(unit_reader_put_to_sleep(&reader, cursor));
    expect_ok(unit_append_batch(buffer, 21, 60));
    expect_ok(unit_reader_join(&reader));
    cr_assert(unit_is_item(&reader.item, 21));
    expect_number(2, unit_segments(buffer));
    expect_number(1, unit_stats(buffer).wakes);
    expect_items(cursor, 22, 60);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

/* ------------------------------------------------------------------------------------------------------------- arrays */

enum { ARRAY_ITEMS = 90, LARGEST_ITEM = 130 };

/* Items of one size, each told apart by its number, appended before and behind others, across segments. */
static void expect_array(size_t size, aether_status (*append)(aether_buffer *, const void *, size_t, size_t), bool indexed)
{
    static unsigned char items[ARRAY_ITEMS * LARGEST_ITEM];
    for (size_t i = 0; i < ARRAY_ITEMS; i++)
        unit_fill(items + i * size, size, i);
    aether_buffer *buffer = unit_buffer();
    unit_allow_inline(buffer);
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    uint64_t first = indexed ? 100 : 1;
    expect_ok(aether_append_at(buffer, first, "before", 6));
    for (size_t count = 1, done = 0; done < ARRAY_ITEMS; done += count++) {
        count = count < ARRAY_ITEMS - done ? count : ARRAY_ITEMS - done;
        expect_ok(append(buffer, items + done * size, size, count));
        ae_buffer_check(buffer);
    }
    aether_item item;
    expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
    for (size_t i = 0; i < ARRAY_ITEMS; i++) {
        expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
        expect_number(first + 1 + i, item.index);
        cr_assert(item.size == size && unit_is_filled(item.data, size, i));
    }
    expect_empty(cursor);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

static aether_status append_inline(aether_buffer *buffer, const void *items, size_t size, size_t count)
{
    return aether_inline_append_array(buffer, items, size, count);
}

TEST(buffer_batch, BUF2_an_array_of_items_of_any_size_arrives_whole)
{
    for (size_t size = 0; size <= LARGEST_ITEM; size++)
        expect_array(size, aether_append_array, size % 2 != 0);
}

TEST(buffer_batch, BUF2_an_inline_array_of_items_of_any_size_arrives_whole)
{
    for (size_t size = 0; size <= LARGEST_ITEM; size++)
        expect_array(size, append_inline, size % 2 != 0);
}

TEST(buffer_batch, BUF2_an_array_becomes_visible_together)
{
    aether_buffer *buffer = unit_buffer();
    unit_allow_inline(buffer);
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    aether_item items[3];
    size_t count;
    expect_ok(aether_inline_append_array(buffer, "abc", 1, 3));
    expect_ok(aether_cursor_run(cursor, items, 3, &count, AETHER_NO_WAIT));
    expect_number(3, count);
    cr_assert(*(const char *)items[0].data == 'a' && *(const char *)items[2].data == 'c');
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_batch, BUF2_what_is_no_array_is_refused)
{
    aether_buffer *buffer = unit_buffer();
    expect_ok(aether_append_array(buffer, NULL, 0, 0));
    expect_ok(aether_append_array(buffer, NULL, 8, 0));
    expect_ok(aether_append_array(buffer, NULL, 0, 2)); /* two empty items */
    expect_refused(AETHER_INVALID, "items is NULL", aether_append_array(buffer, NULL, 8, 2));
    expect_refused(AETHER_TOO_LARGE, "over the limit", aether_append_array(buffer, "x", AETHER_ITEM_MAX + 1, 2));
    expect_refused(AETHER_INVALID, "the buffer is NULL", aether_append_array(NULL, "x", 1, 1));
    expect_number(2, unit_stats(buffer).items);
    ae_buffer_check(buffer);
    aether_buffer_destroy(buffer);
}
