/* Reservations: an item is written in place, and published or given up. */
#include "common/unit.h"

#include "base/rcu.h"

enum { LARGE = 20 * UNIT_SEGMENT };

/* Reserves `size` bytes and fills all of them as item `i`. */
static void reserve(aether_buffer *buffer, size_t size, uint64_t i)
{
    void *data = NULL;
    expect_ok(aether_reserve(buffer, size, &data));
    cr_assert(data != NULL && (uintptr_t)data % 8 == 0);
    unit_fill(data, size, i);
}

static aether_status reserve_with(aether_buffer *buffer, aether_payload payload, void **data)
{
    return aether_reserve_sized(buffer, &payload, data, sizeof payload);
}

static void expect_next(aether_cursor *cursor, size_t size, uint64_t i)
{
    aether_item item;
    expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
    expect_number(i, item.index);
    expect_number(size, item.size);
    cr_assert(unit_is_filled(item.data, size, i));
}

/* ------------------------------------------------------------------------------------------------------------ commit */

TEST(buffer_reserve, BUF3_what_was_written_in_place_is_published_by_commit)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    for (uint64_t i = 1; i <= 1000; i++) { /* through many rolls */
        reserve(buffer, unit_size(i), i);
        expect_empty(cursor);
        expect_number(i - 1, unit_stats(buffer).items);
        expect_position(UNIT_EPOCH, i - 1, aether_buffer_newest(buffer));
        expect_ok(aether_commit(buffer, unit_size(i)));
        ae_buffer_check(buffer);
        expect_items(cursor, i, i);
    }
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_reserve, BUF3_commit_may_shrink_down_to_nothing)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    uint64_t i = 0;
    for (size_t reserved = 0; reserved <= 60; reserved++)
        for (size_t size = 0; size <= reserved; size++) {
            reserve(buffer, reserved, ++i);
            expect_ok(aether_commit(buffer, size));
            ae_buffer_check(buffer); /* zeros behind it */
            expect_next(cursor, size, i);
            expect_empty(cursor);
        }
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_reserve, BUF3_what_a_commit_left_over_is_used_by_the_next_item)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    reserve(buffer, 500, 1);
    uint64_t room = ae_buffer_room(buffer);
    expect_ok(aether_commit(buffer, 20));
    expect_number(room - ae_step(20), ae_buffer_room(buffer));
    expect_number(ae_step(20), unit_stats(buffer).bytes);
    expect_ok(unit_append(buffer, 2, 2));
    expect_next(cursor, 20, 1);
    expect_items(cursor, 2, 2);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_reserve, BUF3_more_than_was_reserved_is_too_large_and_the_reservation_stands)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    reserve(buffer, 13, 1);
    expect_refused(AETHER_TOO_LARGE, "aether_commit: size 14 is over the 13 bytes that are reserved",
                   aether_commit(buffer, 14));
    expect_status(AETHER_TOO_LARGE, aether_commit(buffer, 16)); /* though its slot has the bytes */
    expect_status(AETHER_TOO_LARGE, aether_commit(buffer, SIZE_MAX));
    expect_empty(cursor);
    expect_ok(aether_commit(buffer, 13));
    expect_next(cursor, 13, 1);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_reserve, BUF3_without_a_reservation_there_is_nothing_to_commit_or_abandon)
{
    aether_buffer *buffer = unit_buffer();
    for (int round = 0; round < 3; round++) {
        aether_buffer_stats before = unit_stats(buffer);
        expect_refused(AETHER_INVALID, "aether_commit: nothing is reserved", aether_commit(buffer, 0));
        expect_refused(AETHER_INVALID, "aether_abandon: nothing is reserved", aether_abandon(buffer));
        expect_nothing_written(before, buffer);
        reserve(buffer, 10, 1);
        if (round == 0)
            expect_ok(aether_commit(buffer, 10));
        else
            expect_ok(aether_abandon(buffer));
    }
    aether_buffer_destroy(buffer);
}

TEST(buffer_reserve, BUF7_a_reservation_has_index_and_events_as_a_payload_has)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    uint64_t index = 0;
    for (uint64_t i = 1; i <= 300; i++) {
        aether_payload payload = {.size = 40, .index = i % 3 == 0 ? index + 10 : 0, .events = i % 5};
        void *data;
        expect_ok(reserve_with(buffer, payload, &data));
        index = i % 3 == 0 ? index + 10 : index + 1;
        unit_fill(data, 40, i);
        expect_ok(aether_commit(buffer, i % 41));
        ae_buffer_check(buffer);
        aether_item item;
        expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
        expect_number(index, item.index);
        expect_number(i % 5 == 0 ? 1 : i % 5, item.events);
        expect_number(i % 41, item.size);
        cr_assert(unit_is_filled(item.data, item.size, i));
    }
    expect_position(UNIT_EPOCH, index, aether_buffer_newest(buffer));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_reserve, BUF4_commit_wakes_who_sleeps)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    for (uint64_t i = 1; i <= 40; i++) {
        struct unit_reader reader;
        cr_assert(unit_reader_put_to_sleep(&reader, cursor));
        reserve(buffer, 100, i); /* also where it rolls */
        cr_assert(unit_reader_sleeps_still(&reader));
        expect_ok(aether_commit(buffer, 70));
        expect_ok(unit_reader_join(&reader));
        expect_number(i, reader.item.index);
    }
    expect_empty(cursor);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_reserve, BUF7_a_cursor_that_opens_meanwhile_sees_the_item)
{
    aether_buffer *buffer = unit_buffer();
    uint64_t i = 1;
    for (int round = 0; round < 100; round++, i++) {
        reserve(buffer, 200, i);
        aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
        expect_empty(cursor);
        expect_ok(aether_commit(buffer, 200));
        expect_next(cursor, 200, i);
        aether_cursor_close(cursor);
    }
    aether_buffer_destroy(buffer);
}

TEST(buffer_reserve, BUF11_commit_and_abandon_need_no_memory)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    uint64_t next = 1;
    for (int round = 0; round < 50; round++) {
        reserve(buffer, 600, next);
        unit_memory_fail(0, UINT64_MAX);
        if (round % 2 == 0)
            expect_ok(aether_abandon(buffer));
        else
            expect_ok(aether_commit(buffer, 600));
        unit_memory_fail(0, 0);
        if (round % 2 != 0)
            expect_next(cursor, 600, next++);
    }
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

/* ---------------------------------------------------------------------------------------------------------- abandon */

TEST(buffer_reserve, BUF3_abandon_publishes_nothing_and_leaves_zeros)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    for (uint64_t i = 1; i <= 200; i++) {
        aether_buffer_stats before = unit_stats(buffer);
        uint64_t room = ae_buffer_room(buffer);
        reserve(buffer, 3 * i % 300 > room ? 8 : 3 * i % 300, i + 1000);
        expect_ok(aether_abandon(buffer));
        before.cached_segments = unit_stats(buffer).cached_segments; /* it may have rolled */
        before.cached_bytes = unit_stats(buffer).cached_bytes;
        expect_nothing_written(before, buffer);
        expect_empty(cursor);
        expect_ok(unit_append(buffer, i, i));
        expect_items(cursor, i, i);
    }
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_reserve, BUF3_a_reservation_that_would_roll_leaves_the_segment_where_it_is)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 15));
    uint64_t room = ae_buffer_room(buffer), segments = unit_segments(buffer);
    for (int again = 0; again < 10; again++) {
        reserve(buffer, room, 99); /* with its header, more than the room */
        expect_ok(aether_abandon(buffer));
        expect_number(room, ae_buffer_room(buffer));
        expect_number(segments, unit_segments(buffer));
        expect_number(1, unit_stats(buffer).in_use_segments);
        expect_within(0, 1, unit_stats(buffer).cached_segments);
        ae_buffer_check(buffer);
    }
    expect_ok(unit_append(buffer, 16, 1000)); /* in the segment that was reserved, too */
    expect_items(cursor, 1, 1000);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_reserve, BUF3_a_refused_index_of_an_abandoned_item_is_free_again)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    void *data;
    expect_ok(reserve_with(buffer, (aether_payload){.size = 5, .index = 500}, &data));
    expect_ok(aether_abandon(buffer));
    expect_position(UNIT_EPOCH, 0, aether_buffer_newest(buffer));
    expect_ok(unit_append(buffer, 1, 50));
    expect_items(cursor, 1, 50);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

/* ---------------------------------------------------------------------------------------------------------- oversize */

TEST(buffer_reserve, D8_one_above_the_segment_s_size_gets_a_segment_of_its_own)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    static const size_t sizes[] = {LARGE, LARGE - 1, 5000, 100, 1, 0};
    uint64_t i = 0;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        reserve(buffer, LARGE, ++i);
        expect_ok(aether_commit(buffer, sizes[k]));
        ae_buffer_check(buffer);
        expect_next(cursor, sizes[k], i);
        expect_ok(unit_append(buffer, i + 1, i + 100));
        expect_items(cursor, i + 1, i + 100);
        i += 100;
    }
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_reserve, BUF5_an_abandoned_oversize_one_gives_its_memory_back)
{
    aether_buffer *buffer = unit_buffer();
    uint64_t bytes = unit_memory().bytes;
    for (int again = 0; again < 5; again++) {
        reserve(buffer, LARGE, 1);
        cr_assert(unit_memory().bytes > bytes + LARGE);
        expect_ok(aether_abandon(buffer));
        ae_rcu_barrier();
        expect_number(bytes, unit_memory().bytes);
    }
    expect_number(0, unit_stats(buffer).cached_bytes);
    aether_buffer_destroy(buffer);
}

TEST(buffer_reserve, D8_a_size_over_the_limit_is_refused)
{
    aether_buffer *buffer = unit_buffer();
    void *data = buffer;
    expect_refused(AETHER_TOO_LARGE, "aether_reserve: size 536870881 of item 0 is over the limit of 536870880 bytes",
                   aether_reserve(buffer, AETHER_ITEM_MAX + 1, &data));
    expect_status(AETHER_TOO_LARGE, aether_reserve(buffer, SIZE_MAX, &data));
    expect_status(AETHER_TOO_LARGE,
                  reserve_with(buffer, (aether_payload){.size = 1, .events = (uint64_t)AETHER_EVENTS_MAX + 1}, &data));
    unit_memory_fail(0, 1);
    expect_refused(AETHER_NO_MEMORY, "aether_reserve: no memory for a segment",
                   aether_reserve(buffer, AETHER_ITEM_MAX, &data));
    cr_assert(data == buffer); /* nothing was handed out */
    expect_ok(unit_append(buffer, 1, 1));
    aether_buffer_destroy(buffer);
}

/* --------------------------------------------------------------------------------------------- during a reservation */

static void expect_busy(aether_buffer *buffer)
{
    aether_buffer *other = unit_buffer();
    aether_cursor *at = unit_open(other, AETHER_FROM_NEXT);
    aether_payload one = {.data = "x", .size = 1};
    void *data;
    static const char text[] = "a reservation is neither committed nor abandoned";
    expect_refused(AETHER_BUSY, text, aether_append(buffer, "x", 1));
    expect_refused(AETHER_BUSY, text, aether_inline_append(buffer, "x", 1));
    expect_refused(AETHER_BUSY, text, aether_append_at(buffer, 1000000, "x", 1));
    expect_refused(AETHER_BUSY, text, aether_append_batch(buffer, &one, 1));
    expect_refused(AETHER_BUSY, text, aether_append_batch(buffer, NULL, 0));
    expect_refused(AETHER_BUSY, text, aether_append_array(buffer, "xy", 1, 2));
    expect_refused(AETHER_BUSY, text, aether_inline_append_array(buffer, "xy", 1, 2));
    expect_refused(AETHER_BUSY, text, aether_reserve(buffer, 1, &data));
    expect_refused(AETHER_BUSY, text, aether_buffer_trim(buffer));
    expect_refused(AETHER_BUSY, text, aether_buffer_end(buffer, AETHER_OK));
    expect_refused(AETHER_BUSY, text, aether_buffer_splice(buffer, at));
    expect_ok(unit_append(other, 1, 1));
    expect_items(at, 1, 1); /* the caller's still */
    aether_cursor_close(at);
    aether_buffer_destroy(other);
}

TEST(buffer_reserve, BUF3_every_other_writing_call_is_busy_meanwhile)
{
    static const size_t sizes[] = {0, 50, UNIT_SEGMENT - 200, LARGE}; /* here, in the next segment, in one of its own */
    for (int inlined = 0; inlined < 2; inlined++)
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
            for (int commit = 0; commit < 2; commit++) {
                aether_buffer *buffer = unit_buffer();
                if (inlined)
                    unit_allow_inline(buffer);
                aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
                expect_ok(unit_append(buffer, 1, 15));
                reserve(buffer, sizes[k], 16);
                expect_busy(buffer);
                expect_number(15, unit_stats(buffer).items);
                expect_ok(commit ? aether_commit(buffer, sizes[k]) : aether_abandon(buffer));
                expect_items(cursor, 1, 15);
                if (commit)
                    expect_next(cursor, sizes[k], 16);
                uint64_t next = commit ? 17 : 16;
                expect_ok(unit_append(buffer, next, 300));
                expect_items(cursor, next, 300);
                aether_cursor_close(cursor);
                aether_buffer_destroy(buffer);
            }
}

TEST(buffer_reserve, BUF3_readers_and_statistics_go_on_meanwhile)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 15));
    reserve(buffer, 700, 16);
    expect_items(cursor, 1, 15);
    expect_empty(cursor);
    expect_number(15, unit_stats(buffer).items);
    aether_cursor *oldest = unit_open(buffer, AETHER_FROM_OLDEST);
    expect_items(oldest, 1, 15);
    aether_cursor_close(oldest);
    expect_ok(aether_buffer_set_wait(buffer, 5));
    expect_ok(aether_buffer_resume(buffer));
    aether_cursor_close(cursor);
    expect_ok(aether_commit(buffer, 700));
    aether_buffer_destroy(buffer);
}

TEST(buffer_reserve, BUF3_destroy_abandons)
{
    static const size_t sizes[] = {0, 50, UNIT_SEGMENT - 200, LARGE};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        aether_buffer *buffer = unit_buffer();
        aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
        expect_ok(unit_append(buffer, 1, 15));
        reserve(buffer, sizes[k], 16);
        aether_buffer_destroy(buffer);
        expect_items(cursor, 1, 15);
        expect_status(AETHER_CLOSED, unit_next(cursor));
        aether_cursor_close(cursor);
        cr_assert(unit_memory_is_balanced());
    }
}

/* ------------------------------------------------------------------------------------------------- what is refused */

TEST(buffer_reserve, D3_what_a_reservation_cannot_be_is_refused_and_leaves_none)
{
    static struct unit_release release;
    aether_buffer *buffer = unit_buffer();
    aether_payload payload = {.size = 10}, reference = unit_by_reference(&release, 1000, 1);
    void *data;
    expect_ok(unit_append(buffer, 1, 10));
    aether_buffer_stats before = unit_stats(buffer);
    expect_refused(AETHER_INVALID, "aether_reserve", aether_reserve(NULL, 1, &data));
    expect_refused(AETHER_INVALID, "aether_reserve", aether_reserve(buffer, 1, NULL));
    expect_refused(AETHER_INVALID, "aether_reserve", aether_reserve_sized(buffer, NULL, &data, sizeof payload));
    expect_refused(AETHER_INVALID, "aether_reserve", aether_reserve_sized(buffer, &payload, &data, sizeof payload - 8));
    expect_refused(AETHER_INVALID, "a payload by reference needs no reservation", reserve_with(buffer, reference, &data));
    expect_refused(AETHER_INDEX_ORDER, "aether_reserve: index 10",
                   reserve_with(buffer, (aether_payload){.size = 1, .index = 10}, &data));
    expect_refused(AETHER_INVALID, "aether_commit: the buffer is NULL", aether_commit(NULL, 0));
    expect_refused(AETHER_INVALID, "aether_abandon: the buffer is NULL", aether_abandon(NULL));
    expect_status(AETHER_INVALID, aether_commit(buffer, 0));
    expect_nothing_written(before, buffer);
    expect_number(0, unit_releases(&release));
    expect_ok(aether_buffer_end(buffer, AETHER_OK));
    expect_refused(AETHER_ENDED, "aether_reserve: the buffer was ended", aether_reserve(buffer, 1, &data));
    aether_buffer_destroy(buffer);
}

TEST(buffer_reserve, D2_the_payload_of_a_later_version_is_read_as_far_as_it_is_known)
{
    struct {
        aether_payload now;
        uint64_t later[3];
    } payload = {.now = {.data = "not looked at", .size = 5, .index = 7, .events = 2}, .later = {1, 2, 3}};
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    void *data;
    expect_ok(aether_reserve_sized(buffer, &payload.now, &data, sizeof payload));
    memcpy(data, "place", 5);
    expect_ok(aether_commit(buffer, 5));
    aether_item item;
    expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
    cr_assert(item.index == 7 && item.events == 2 && item.size == 5 && memcmp(item.data, "place", 5) == 0);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_reserve, BUF7_after_the_largest_index_nothing_can_be_reserved)
{
    aether_buffer *buffer = unit_buffer();
    void *data;
    expect_ok(reserve_with(buffer, (aether_payload){.size = 4, .index = UINT64_MAX}, &data));
    expect_ok(aether_commit(buffer, 0));
    expect_refused(AETHER_INDEX_ORDER, "aether_reserve: item 0 comes after the largest index",
                   aether_reserve(buffer, 1, &data));
    aether_buffer_destroy(buffer);
}

/* ------------------------------------------------------------------------------------------------- beside readers */

enum { ITEMS = 30000 };

static const char *follow(void *user)
{
    for (uint64_t i = 1; i <= ITEMS; i++) {
        aether_item item;
        claim(aether_cursor_next(user, &item, AETHER_FOREVER) == AETHER_OK);
        claim(unit_is_item(&item, i));
    }
    return NULL;
}

TEST(buffer_reserve, BUF2_readers_see_each_reserved_item_whole)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open_limit(buffer, AETHER_WAIT, 8 * UNIT_SEGMENT, NULL);
    struct unit_thread reader;
    cr_assert(unit_thread_start(&reader, 0, follow, cursor));
    for (uint64_t i = 1; i <= ITEMS; i++) {
        reserve(buffer, 64, 12345); /* all of it, with something else */
        if (i % 3 == 0) {
            expect_ok(aether_abandon(buffer));
            reserve(buffer, unit_size(i), i);
        }
        void *data = buffer->reservation.layout.data;
        unit_fill(data, unit_size(i), i);
        expect_ok(aether_commit(buffer, unit_size(i)));
    }
    expect_fine(unit_thread_join(&reader));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}
