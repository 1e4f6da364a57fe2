/* Where cursors begin, and what next answers without waiting. */
#include "common/unit.h"

TEST(buffer_cursor, BUF7_from_next_sees_nothing_older_and_all_that_is_newer)
{
    aether_buffer *buffer = unit_buffer();
    for (uint64_t i = 1; i <= 300; i++) {
        aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
        expect_position(UNIT_EPOCH, i - 1, aether_cursor_position(cursor));
        expect_empty(cursor);
        expect_ok(unit_append(buffer, i, i));
        expect_items(cursor, i, i);
        aether_cursor_close(cursor);
    }
    aether_buffer_destroy(buffer);
}

TEST(buffer_cursor, BUF7_from_oldest_begins_with_the_newest_segment_at_the_latest)
{
    aether_buffer *buffer = unit_buffer();
    for (uint64_t i = 1; i <= 300; i++) {
        expect_ok(unit_append(buffer, i, i));
        aether_cursor *cursor = unit_open(buffer, AETHER_FROM_OLDEST);
        uint64_t retained = unit_stats(buffer).retained_items;
        expect_within(1, i, retained);
        expect_position(UNIT_EPOCH, i - retained, aether_cursor_position(cursor));
        expect_items(cursor, i - retained + 1, i);
        expect_empty(cursor);
        aether_cursor_close(cursor);
    }
    aether_buffer_destroy(buffer);
}

TEST(buffer_cursor, BUF7_from_oldest_of_an_empty_buffer_is_before_the_first_item)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_OLDEST);
    expect_empty(cursor);
    expect_ok(unit_append(buffer, 1, 200));
    expect_items(cursor, 1, 200);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_cursor, BUF7_other_starts_are_refused)
{
    aether_buffer *buffer = unit_buffer();
    static const aether_start starts[] = {-1, 2, 3, 1000, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        cr_assert(aether_cursor_open(buffer, starts[i]) == NULL);
        expect_failure(AETHER_INVALID, "aether_cursor_open: there is no start");
    }
    expect_number(0, unit_stats(buffer).cursors);
    aether_buffer_destroy(buffer);
}

TEST(buffer_cursor, BUF7_a_twin_sees_the_same_from_here_on)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 300));
    for (uint64_t i = 1; i <= 300; i++) {
        aether_cursor *twin = aether_cursor_dup(cursor);
        expect_position(UNIT_EPOCH, i - 1, aether_cursor_position(twin));
        expect_items(cursor, i, i);
        expect_items(twin, i, 300);
        expect_empty(twin);
        aether_cursor_close(twin);
    }
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_cursor, BUF7_a_twin_outlives_its_original)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 500));
    expect_items(cursor, 1, 10);
    aether_cursor *twin = aether_cursor_dup(cursor);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
    expect_items(twin, 11, 500);
    expect_status(AETHER_CLOSED, unit_next(twin));
    aether_cursor_close(twin);
}

TEST(buffer_cursor, BUF7_a_twin_behind_a_hole_knows_its_position)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(aether_append_at(buffer, 40, "x", 1));
    expect_ok(aether_append(buffer, "y", 1));
    expect_ok(unit_next(cursor));
    aether_cursor *twin = aether_cursor_dup(cursor);
    expect_position(UNIT_EPOCH, 40, aether_cursor_position(twin));
    expect_ok(unit_next(twin));
    expect_position(UNIT_EPOCH, 41, aether_cursor_position(twin));
    aether_cursor_close(twin);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_cursor, BUF1_the_position_is_that_of_the_last_item_handed_out)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 300));
    for (uint64_t i = 1; i <= 300; i++) {
        expect_position(UNIT_EPOCH, i - 1, aether_cursor_position(cursor));
        expect_items(cursor, i, i);
        expect_position(UNIT_EPOCH, i, aether_cursor_position(cursor));
    }
    expect_empty(cursor);
    expect_position(UNIT_EPOCH, 300, aether_cursor_position(cursor));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_cursor, BUF4_without_waiting_nothing_is_empty_and_nobody_sleeps)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    aether_item item;
    expect_status(AETHER_EMPTY, aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
    expect_status(AETHER_EMPTY, aether_cursor_next(cursor, &item, -1));
    expect_status(AETHER_EMPTY, aether_cursor_next(cursor, &item, INT64_MIN));
    expect_number(0, unit_futex_sleeps());
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_cursor, BUF2_an_item_is_filled_with_ok_only)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    aether_item item = {.data = "before", .size = 17, .index = 18};
    expect_status(AETHER_EMPTY, aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
    aether_cursor_cancel(cursor);
    expect_status(AETHER_CANCELLED, aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
    expect_ok(aether_cursor_resume(cursor));
    expect_ok(aether_buffer_end(buffer, AETHER_OK));
    expect_status(AETHER_ENDED, aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
    cr_assert(item.size == 17 && item.index == 18 && strcmp(item.data, "before") == 0);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_cursor, BUF1_a_buffer_that_was_read_to_its_end_goes_on)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    for (uint64_t i = 0; i < 50; i++) {
        expect_ok(unit_append(buffer, i * 20 + 1, i * 20 + 20));
        expect_items(cursor, i * 20 + 1, i * 20 + 20);
        for (int again = 0; again < 3; again++)
            expect_empty(cursor);
    }
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_cursor, BUF7_a_closed_cursor_may_be_null)
{
    aether_cursor_close(NULL);
    aether_cursor_cancel(NULL);
    cr_assert_str_empty(aether_error());
}

/* ------------------------------------------------------------------------------------------- opening beside a writer */

enum { LAST = 30000 };

struct beside {
    aether_buffer *buffer;
    uint64_t begun, published; /* atomic: the newest index before and after the append that is under way */
};

static const char *write_all(void *user)
{
    struct beside *beside = user;
    for (uint64_t i = 1; i <= LAST; i++) {
        __atomic_store_n(&beside->begun, i, __ATOMIC_SEQ_CST);
        claim(unit_append(beside->buffer, i, i) == AETHER_OK);
        __atomic_store_n(&beside->published, i, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

static const char *open_next_often(void *user)
{
    struct beside *beside = user;
    uint64_t before = 0;
    while (before < LAST) {
        before = __atomic_load_n(&beside->published, __ATOMIC_SEQ_CST);
        aether_cursor *cursor = aether_cursor_open(beside->buffer, AETHER_FROM_NEXT);
        claim(cursor != NULL);
        uint64_t after = __atomic_load_n(&beside->begun, __ATOMIC_SEQ_CST);
        uint64_t at = aether_cursor_position(cursor).index;
        claim(at >= before && at <= after);
        aether_item item;
        aether_status status = aether_cursor_next(cursor, &item, AETHER_NO_WAIT);
        claim(status == AETHER_EMPTY || (status == AETHER_OK && unit_is_item(&item, at + 1)));
        aether_cursor_close(cursor);
    }
    return NULL;
}

static const char *open_oldest_often(void *user)
{
    struct beside *beside = user;
    uint64_t before = 0;
    while (before < LAST) {
        before = __atomic_load_n(&beside->published, __ATOMIC_SEQ_CST);
        aether_cursor *cursor = aether_cursor_open(beside->buffer, AETHER_FROM_OLDEST);
        claim(cursor != NULL);
        uint64_t at = aether_cursor_position(cursor).index;
        claim(at <= __atomic_load_n(&beside->begun, __ATOMIC_SEQ_CST));
        if (at < before)
            claim(unit_read(cursor, at + 1, before) == NULL);
        aether_cursor_close(cursor);
    }
    return NULL;
}

TEST(buffer_cursor, BUF7_a_cursor_opened_beside_the_writer_stands_within_what_is_published_meanwhile)
{
    struct beside beside = {unit_buffer(), 0, 0};
    struct unit_thread writer, next, oldest;
    cr_assert(unit_thread_start(&next, 0, open_next_often, &beside));
    cr_assert(unit_thread_start(&oldest, 0, open_oldest_often, &beside));
    cr_assert(unit_thread_start(&writer, 0, write_all, &beside));
    expect_fine(unit_thread_join(&writer));
    expect_fine(unit_thread_join(&next));
    expect_fine(unit_thread_join(&oldest));
    ae_buffer_check(beside.buffer);
    expect_number(0, unit_stats(beside.buffer).cursors);
    aether_buffer_destroy(beside.buffer);
}
