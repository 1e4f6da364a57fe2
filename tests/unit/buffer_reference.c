/* Payloads by reference: where they are, what they count as, and that each is released once. */
#include "common/unit.h"

#include "base/rcu.h"

enum { LIMIT = 4 * UNIT_SEGMENT, SIZE = 500, MOST = 64 };

static struct unit_release releases[MOST];

static void expect_released(int wanted, uint64_t first, uint64_t last)
{
    for (uint64_t i = first; i <= last; i++)
        cr_assert(unit_releases(&releases[i]) == wanted, "payload %" PRIu64 ": released %d times instead of %d", i,
                  unit_releases(&releases[i]), wanted);
}

/* Items `first` to `last`, by reference. */
static void append(aether_buffer *buffer, uint64_t first, uint64_t last)
{
    for (uint64_t i = first; i <= last; i++)
        expect_ok(unit_append_reference(buffer, &releases[i], SIZE + i, i));
}

static void read_all(aether_cursor *cursor, uint64_t first, uint64_t last)
{
    for (uint64_t i = first; i <= last; i++) {
        aether_item item;
        expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
        cr_assert(unit_is_reference(&item, &releases[i]));
    }
}

/* ------------------------------------------------------------------------------------------------------- what is read */

TEST(buffer_reference, BUF3_a_payload_by_reference_is_read_where_it_is)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    append(buffer, 1, 40);
    for (uint64_t i = 1; i <= 40; i++) {
        aether_item item;
        expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
        cr_assert(unit_is_reference(&item, &releases[i]));
        expect_number(i, item.index);
        expect_number(1, item.events);
    }
    expect_empty(cursor);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
    expect_released(1, 1, 40);
}

TEST(buffer_reference, BUF3_it_mixes_with_copies_indexes_and_events)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    aether_payload batch[4] = {{.data = "copy", .size = 4},
                               unit_by_reference(&releases[1], 200, 1),
                               unit_by_reference(&releases[2], 300, 2),
                               {.data = "last", .size = 4}};
    batch[2].index = 50;
    batch[2].events = 7;
    expect_ok(aether_append_batch(buffer, batch, 4));
    aether_item items[4];
    size_t count;
    expect_ok(aether_cursor_run(cursor, items, 4, &count, AETHER_NO_WAIT));
    expect_number(4, count);
    cr_assert(memcmp(items[0].data, "copy", 4) == 0 && memcmp(items[3].data, "last", 4) == 0);
    cr_assert(unit_is_reference(&items[1], &releases[1]) && unit_is_reference(&items[2], &releases[2]));
    expect_number(1, items[0].index);
    expect_number(2, items[1].index);
    expect_number(50, items[2].index);
    expect_number(7, items[2].events);
    expect_number(51, items[3].index);
    expect_number(10, unit_stats(buffer).events);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
    expect_released(1, 1, 2);
}

static size_t released_size;

static void tell_size(void *data, size_t size, void *user)
{
    released_size = data == user ? size : 0;
}

TEST(buffer_reference, BUF3_any_size_is_taken)
{
    static const size_t sizes[] = {AETHER_REFERENCE_LEAST, AETHER_ITEM_MAX, AETHER_ITEM_MAX + 1, AETHER_BATCH_MAX + 1,
                                   (size_t)1 << 40};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        static char first[AETHER_REFERENCE_LEAST]; /* nobody looks at the rest */
        aether_payload payload = {.data = first, .size = sizes[i], .release = tell_size, .user = first};
        aether_buffer *buffer = unit_buffer();
        aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
        expect_ok(aether_append_batch(buffer, &payload, 1));
        aether_item item;
        expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
        expect_number(sizes[i], item.size);
        cr_assert(item.data == first);
        expect_within(sizes[i], sizes[i] + 100, unit_stats(buffer).bytes);
        expect_ok(unit_append(buffer, 2, 300));
        expect_items(cursor, 2, 300);
        expect_number(sizes[i], released_size);
        aether_cursor_close(cursor);
        aether_buffer_destroy(buffer);
    }
}

TEST(buffer_reference, BUF10_its_bytes_count_as_bytes_of_the_buffer)
{
    enum { SLOT = 56 };
    aether_buffer *buffer = unit_buffer();
    uint64_t bytes = 0;
    for (uint64_t i = 1; i <= 40; i++) {
        append(buffer, i, i);
        bytes += SLOT + SIZE + i;
        expect_number(bytes, unit_stats(buffer).bytes);
        expect_within(SIZE, unit_room(buffer) + SIZE + 100, unit_stats(buffer).retained_bytes);
    }
    aether_buffer_destroy(buffer);
}

TEST(buffer_reference, BUF5_its_bytes_make_the_buffer_roll)
{
    aether_buffer *buffer = unit_buffer();
    append(buffer, 1, 30);
    expect_within(25, 31, unit_segments(buffer)); /* two of them are more than a segment */
    expect_released(1, 1, 29);
    expect_released(0, 30, 30);
    expect_ok(unit_append(buffer, 31, 40)); /* its bytes took the room of these */
    expect_within(26, 32, unit_segments(buffer));
    expect_within(1, 1, unit_stats(buffer).in_use_segments);
    expect_released(1, 1, 30);
    aether_buffer_destroy(buffer);
}

/* -------------------------------------------------------------------------------------------------------- small ones */

TEST(buffer_reference, BUF3_below_the_least_size_it_is_copied_and_released_before_the_call_returns)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    static const size_t sizes[] = {1, 8, 100, AETHER_REFERENCE_LEAST - 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        expect_ok(unit_append_reference(buffer, &releases[i], sizes[i], i));
        cr_assert(unit_releases(&releases[i]) == 1);
        cr_assert(pthread_equal(releases[i].thread, pthread_self()));
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        aether_item item;
        expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
        cr_assert(item.size == sizes[i] && unit_is_filled(item.data, item.size, i));
    }
    expect_ok(unit_append_reference(buffer, &releases[10], AETHER_REFERENCE_LEAST, 10));
    expect_released(0, 10, 10);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
    expect_released(1, 0, 3);
    expect_released(1, 10, 10);
}

static uint64_t empty_releases;

static void release_nothing(void *data, size_t size, void *user)
{
    empty_releases += data == NULL && size == 0 && user == &empty_releases;
}

TEST(buffer_reference, BUF3_an_empty_one_is_released_too)
{
    aether_payload payload = {.release = release_nothing, .user = &empty_releases};
    aether_buffer *buffer = unit_buffer();
    expect_ok(aether_append_batch(buffer, &payload, 1));
    expect_number(1, empty_releases);
    aether_buffer_destroy(buffer);
    expect_number(1, empty_releases);
}

TEST(buffer_reference, BUF3_small_ones_of_a_batch_that_rolls_are_released_once)
{
    aether_payload batch[MOST];
    aether_buffer *buffer = unit_buffer();
    for (uint64_t i = 0; i < MOST; i++)
        batch[i] = unit_by_reference(&releases[i], i % 2 == 0 ? 100 : 200, i);
    expect_ok(aether_append_batch(buffer, batch, MOST));
    for (uint64_t i = 0; i < MOST; i++)
        expect_released(i % 2 == 0, i, i);
    aether_buffer_destroy(buffer);
    expect_released(1, 0, MOST - 1);
}

/* ------------------------------------------------------------------------------------------------- calls that fail */

/* Large, small and both in a batch: none is released, and the caller may try again with them. */
static void expect_kept(aether_buffer *buffer, aether_status wanted, uint64_t index)
{
    for (int way = 0; way < 3; way++) {
        memset(releases, 0, sizeof releases);
        aether_payload batch[2] = {unit_by_reference(&releases[0], way == 0 ? 700 : 50, 0),
                                   unit_by_reference(&releases[1], 700, 1)};
        batch[0].index = index;
        expect_status(wanted, aether_append_batch(buffer, batch, way == 2 ? 2 : 1));
        expect_released(0, 0, 1);
    }
}

TEST(buffer_reference, BUF3_an_append_that_fails_releases_nothing)
{
    aether_buffer *buffer = unit_buffer();
    expect_ok(unit_append(buffer, 1, 10));
    expect_kept(buffer, AETHER_INDEX_ORDER, 10);
    unit_memory_fail(0, UINT64_MAX);
    while (ae_buffer_room(buffer) >= AE_SLOT_HEADER)
        expect_ok(aether_append(buffer, NULL, 0));
    expect_kept(buffer, AETHER_NO_MEMORY, 0);
    unit_memory_fail(0, 0);
    aether_cursor *cursor = unit_open_limit(buffer, AETHER_REFUSE, LIMIT, NULL);
    uint64_t next;
    expect_status(AETHER_FULL, unit_append_until(buffer, 1, &next));
    while (aether_append(buffer, NULL, 0) == AETHER_OK)
        ;
    expect_kept(buffer, AETHER_FULL, 0);
    aether_cursor_close(cursor);
    cursor = unit_open_limit(buffer, AETHER_WAIT, LIMIT, NULL);
    expect_ok(aether_buffer_set_wait(buffer, AETHER_NO_WAIT));
    expect_status(AETHER_TIMEOUT, unit_append_until(buffer, 1, &next));
    while (aether_append(buffer, NULL, 0) == AETHER_OK)
        ;
    expect_kept(buffer, AETHER_TIMEOUT, 0);
    expect_ok(aether_buffer_set_wait(buffer, AETHER_FOREVER));
    aether_buffer_cancel(buffer);
    expect_kept(buffer, AETHER_CANCELLED, 0);
    aether_cursor_close(cursor);
    void *data;
    expect_ok(aether_reserve(buffer, 10, &data));
    expect_kept(buffer, AETHER_BUSY, 0);
    expect_ok(aether_abandon(buffer));
    expect_ok(aether_buffer_end(buffer, AETHER_OK));
    expect_kept(buffer, AETHER_ENDED, 0);
    aether_buffer_destroy(buffer);
    expect_released(0, 0, 1);
}

TEST(buffer_reference, BUF3_one_wrong_item_of_a_batch_releases_none)
{
    aether_buffer *buffer = unit_buffer();
    aether_payload batch[4] = {unit_by_reference(&releases[0], 50, 0),
                               unit_by_reference(&releases[1], 500, 1),
                               unit_by_reference(&releases[2], 300, 2),
                               {.data = NULL, .size = 1}};
    aether_buffer_stats before = unit_stats(buffer);
    expect_status(AETHER_INVALID, aether_append_batch(buffer, batch, 4));
    expect_released(0, 0, 2);
    expect_nothing_written(before, buffer);
    batch[3] = (aether_payload){.data = "x", .size = 1};
    expect_ok(aether_append_batch(buffer, batch, 4)); /* the same ones again */
    expect_released(1, 0, 0);
    expect_released(0, 1, 2);
    aether_buffer_destroy(buffer);
    expect_released(1, 0, 2);
}

TEST(buffer_reference, BUF3_data_that_is_missing_is_refused)
{
    aether_buffer *buffer = unit_buffer();
    aether_payload payload = unit_by_reference(&releases[0], 500, 0);
    payload.data = NULL;
    expect_refused(AETHER_INVALID, "the data of item 0 is NULL with size 500", aether_append_batch(buffer, &payload, 1));
    expect_released(0, 0, 0);
    aether_buffer_destroy(buffer);
}

/* -------------------------------------------------------------------------------------------------- when a segment dies */

TEST(buffer_reference, BUF3_the_reader_that_leaves_last_releases)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *first = unit_open(buffer, AETHER_FROM_NEXT), *last = unit_open(buffer, AETHER_FROM_NEXT);
    append(buffer, 1, 20);
    read_all(first, 1, 20);
    expect_released(0, 1, 20); /* the other one is to read them */
    read_all(last, 1, 10);
    expect_released(1, 1, 9);
    expect_released(0, 10, 20); /* borrowed still, or to come */
    aether_cursor_close(first);
    expect_released(0, 10, 20);
    read_all(last, 11, 20);
    expect_released(1, 1, 19);
    aether_cursor_close(last);
    expect_released(0, 20, 20); /* the buffer's newest segment */
    aether_buffer_destroy(buffer);
    expect_released(1, 1, 20);
}

TEST(buffer_reference, BUF3_closing_a_cursor_releases_what_only_it_held)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    append(buffer, 1, 30);
    aether_cursor_close(cursor);
    expect_released(1, 1, 29);
    expect_released(0, 30, 30);
    aether_buffer_destroy(buffer);
    expect_released(1, 1, 30);
}

TEST(buffer_reference, BUF3_the_writer_that_rolls_on_releases_what_nobody_holds)
{
    aether_buffer *buffer = unit_buffer();
    for (uint64_t i = 1; i <= 30; i++) {
        append(buffer, i, i);
        expect_released(1, 1, i - 1);
        expect_released(0, i, i);
    }
    aether_buffer_destroy(buffer);
    expect_released(1, 1, 30);
}

TEST(buffer_reference, BUF3_trim_releases)
{
    aether_buffer *buffer = unit_buffer();
    append(buffer, 1, 5);
    expect_released(0, 5, 5);
    expect_ok(aether_buffer_trim(buffer));
    expect_released(1, 1, 5);
    aether_buffer_destroy(buffer);
    expect_released(1, 1, 5);
}

TEST(buffer_reference, BUF3_destroy_releases_what_was_retained)
{
    aether_buffer_options options = unit_options();
    options.retain_items = UINT64_MAX;
    aether_buffer *buffer = unit_buffer_with(options);
    append(buffer, 1, 50);
    expect_ok(aether_buffer_end(buffer, AETHER_OK));
    expect_released(0, 1, 50);
    aether_buffer_destroy(buffer);
    expect_released(1, 1, 50);
}

TEST(buffer_reference, BUF3_after_destroy_the_last_cursor_releases)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    append(buffer, 1, 20);
    aether_buffer_destroy(buffer);
    expect_released(0, 1, 20);
    read_all(cursor, 1, 20);
    expect_status(AETHER_CLOSED, unit_next(cursor));
    expect_released(1, 1, 19);
    aether_cursor_close(cursor);
    expect_released(1, 1, 20);
}

TEST(buffer_reference, BUF3_a_reader_that_crosses_a_splice_releases_what_it_leaves)
{
    aether_buffer *snapshot = unit_buffer(), *live = unit_buffer();
    aether_cursor *cursor = unit_open(snapshot, AETHER_FROM_NEXT);
    append(snapshot, 1, 10);
    expect_ok(aether_buffer_splice(snapshot, unit_open(live, AETHER_FROM_NEXT)));
    append(live, 11, 20);
    aether_buffer_destroy(snapshot);
    read_all(cursor, 1, 10);
    expect_released(1, 1, 9);
    expect_released(0, 10, 20);
    read_all(cursor, 11, 11);
    expect_released(1, 1, 10);
    expect_released(0, 11, 20);
    aether_cursor_close(cursor);
    expect_released(1, 1, 19);
    aether_buffer_destroy(live);
    expect_released(1, 1, 20);
}

TEST(buffer_reference, BUF3_destroying_a_spliced_buffer_releases_what_only_its_splice_held)
{
    aether_buffer *snapshot = unit_buffer(), *live = unit_buffer();
    expect_ok(aether_buffer_splice(snapshot, unit_open(live, AETHER_FROM_NEXT)));
    append(live, 1, 20);
    expect_released(0, 1, 20);
    aether_buffer_destroy(snapshot);
    expect_released(1, 1, 19);
    aether_buffer_destroy(live);
    expect_released(1, 1, 20);
}

TEST(buffer_reference, BUF9_a_lapped_reader_pins_its_own_segment_s_payloads_only)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open_limit(buffer, AETHER_LAP, LIMIT, NULL);
    append(buffer, 1, 50);
    expect_released(0, 1, 1);
    expect_released(1, 2, 40);
    aether_item item;
    expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
    cr_assert(unit_is_reference(&item, &releases[1]));
    expect_status(AETHER_LAGGED, unit_next(cursor));
    expect_released(1, 1, 40);
    uint64_t next = 1 + unit_cursor_stats(cursor).missed_items + 1;
    read_all(cursor, next, 50);
    expect_empty(cursor);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
    expect_released(1, 1, 50);
}

TEST(buffer_reference, BUF3_segments_that_are_used_again_release_anew)
{
    aether_buffer *buffer = unit_buffer();
    for (uint64_t round = 1; round <= 200; round++) {
        memset(&releases[1], 0, sizeof releases[1]);
        expect_ok(unit_append_reference(buffer, &releases[1], 700, round));
        expect_ok(unit_append(buffer, 2, 200)); /* rolls a few times */
        expect_released(1, 1, 1);
    }
    aether_buffer_destroy(buffer);
    expect_released(1, 1, 1);
}

TEST(buffer_reference, BUF5_a_long_chain_of_them_is_released_without_recursion)
{
    enum { LONG = 200000 };
    static struct unit_release one;
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    aether_payload payload = unit_by_reference(&one, 128, 7);
    payload.release = release_nothing;
    payload.user = &one;
    for (uint64_t i = 0; i < LONG; i++)
        expect_ok(aether_append_batch(buffer, &payload, 1));
    aether_cursor_close(cursor);
    expect_number(1, unit_stats(buffer).in_use_segments);
    aether_buffer_destroy(buffer);
}

/* ------------------------------------------------------------------------------------------------------- which thread */

static const char *close_it(void *user)
{
    aether_cursor_close(user);
    return NULL;
}

TEST(buffer_reference, BUF3_the_callback_runs_on_the_thread_that_left_last)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    append(buffer, 1, 20);
    struct unit_thread thread;
    cr_assert(unit_thread_start(&thread, 0, close_it, cursor));
    pthread_t other = thread.thread;
    expect_fine(unit_thread_join(&thread));
    for (uint64_t i = 1; i <= 19; i++)
        cr_assert(pthread_equal(releases[i].thread, other));
    append(buffer, 21, 22);
    cr_assert(pthread_equal(releases[20].thread, pthread_self()));
    aether_buffer_destroy(buffer);
    cr_assert(pthread_equal(releases[22].thread, pthread_self()));
    expect_released(1, 1, 22);
}

enum { MANY = 20000, READERS = 2 };

static uint32_t released_in_all; /* atomic */

static void count_release(void *data, size_t size, void *user)
{
    (void)user;
    __atomic_add_fetch(&released_in_all, unit_is_filled(data, size, 5), __ATOMIC_SEQ_CST);
}

static const char *read_many(void *user)
{
    for (uint64_t i = 1; i <= MANY; i++) {
        aether_item item;
        claim(aether_cursor_next(user, &item, AETHER_FOREVER) == AETHER_OK);
        claim(item.index == i && item.size == SIZE && unit_is_filled(item.data, 32, 5));
    }
    return NULL;
}

TEST(buffer_reference, BUF3_each_is_released_once_beside_many_threads)
{
    static struct unit_release one;
    aether_payload payload = unit_by_reference(&one, SIZE, 5);
    payload.release = count_release;
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursors[READERS];
    struct unit_thread readers[READERS];
    for (int i = 0; i < READERS; i++) {
        cursors[i] = unit_open_limit(buffer, AETHER_WAIT, LIMIT, NULL);
        cr_assert(unit_thread_start(&readers[i], 0, read_many, cursors[i]));
    }
    for (uint64_t i = 0; i < MANY; i++)
        expect_ok(aether_append_batch(buffer, &payload, 1));
    for (int i = 0; i < READERS; i++) {
        expect_fine(unit_thread_join(&readers[i]));
        aether_cursor_close(cursors[i]);
    }
    aether_buffer_destroy(buffer);
    expect_number(MANY, released_in_all);
}

/* ------------------------------------------------------------------------------------- calls from inside the callback */

static aether_buffer *inside_buffer, *other_buffer;
static aether_cursor *inside_cursor, *other_cursor;
static int wrong_answers;

static void wants(aether_status wanted, aether_status came)
{
    wrong_answers += came != wanted;
}

static void call_everything(struct unit_release *release)
{
    (void)release;
    aether_payload one = {.data = "x", .size = 1};
    aether_buffer *buffers[2] = {inside_buffer, other_buffer};
    aether_cursor *cursors[2] = {inside_cursor, other_cursor};
    for (int i = 0; i < 2; i++) {
        aether_buffer *buffer = buffers[i];
        aether_buffer_stats stats;
        aether_cursor_stats cursor_stats;
        aether_item item;
        size_t count;
        void *data;
        wants(AETHER_WOULD_BLOCK, aether_append(buffer, "x", 1));
        wants(AETHER_WOULD_BLOCK, aether_append_at(buffer, 100000, "x", 1));
        wants(AETHER_WOULD_BLOCK, aether_append_batch(buffer, &one, 1));
        wants(AETHER_WOULD_BLOCK, aether_append_array(buffer, "x", 1, 1));
        wants(AETHER_WOULD_BLOCK, aether_reserve(buffer, 1, &data));
        wants(AETHER_WOULD_BLOCK, aether_commit(buffer, 0));
        wants(AETHER_WOULD_BLOCK, aether_abandon(buffer));
        wants(AETHER_WOULD_BLOCK, aether_buffer_trim(buffer));
        wants(AETHER_WOULD_BLOCK, aether_buffer_set_wait(buffer, 1));
        wants(AETHER_WOULD_BLOCK, aether_buffer_resume(buffer));
        wants(AETHER_WOULD_BLOCK, aether_buffer_end(buffer, AETHER_OK));
        wants(AETHER_WOULD_BLOCK, aether_buffer_splice(buffer, cursors[1 - i]));
        wants(AETHER_WOULD_BLOCK, aether_buffer_get_stats(buffer, &stats));
        wrong_answers += aether_cursor_open(buffer, AETHER_FROM_NEXT) != NULL;
        wants(AETHER_WOULD_BLOCK, aether_error_status());
        wrong_answers += aether_cursor_open_with(buffer, &(aether_cursor_options){0}) != NULL;
        wants(AETHER_WOULD_BLOCK, aether_error_status());
        wrong_answers += aether_buffer_newest(buffer).epoch != 0 || aether_buffer_range(buffer).epoch != 0;
        wants(AETHER_WOULD_BLOCK, aether_cursor_run(cursors[i], &item, 1, &count, AETHER_FOREVER));
        wants(AETHER_WOULD_BLOCK, aether_cursor_get_stats(cursors[i], &cursor_stats));
        wants(AETHER_WOULD_BLOCK, aether_cursor_resume(cursors[i]));
        wrong_answers += aether_cursor_dup(cursors[i]) != NULL;
        wants(AETHER_WOULD_BLOCK, aether_error_status());
    }
    wants(AETHER_WOULD_BLOCK, aether_cursor_next(other_cursor, &(aether_item){0}, AETHER_FOREVER));
    wrong_answers += strstr(aether_error(), "called from a release callback") == NULL;
}

/* By the writer's roll, at once, by a reader's crossing, by close, by trim, and by destroy. */
TEST(buffer_reference, BUF3_a_call_from_inside_the_callback_would_block)
{
    inside_buffer = unit_buffer();
    other_buffer = unit_buffer();
    other_cursor = unit_open(other_buffer, AETHER_FROM_NEXT);
    for (uint64_t i = 0; i < MOST; i++)
        releases[i].hook = call_everything;
    inside_cursor = unit_open(inside_buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append_reference(inside_buffer, &releases[0], 100, 0)); /* copied */
    expect_released(1, 0, 0);
    expect_ok(unit_next(inside_cursor));
    append(inside_buffer, 1, 20);
    read_all(inside_cursor, 1, 10);
    expect_released(1, 1, 9);
    aether_cursor *closing = inside_cursor;
    inside_cursor = unit_open(inside_buffer, AETHER_FROM_NEXT);
    aether_cursor_close(closing);
    expect_released(1, 10, 19);
    aether_cursor *held = inside_cursor;
    inside_cursor = other_cursor;
    aether_cursor_close(held);
    append(inside_buffer, 21, 30);
    expect_released(1, 20, 29);
    expect_ok(aether_buffer_trim(inside_buffer));
    expect_released(1, 30, 30);
    append(inside_buffer, 31, 31);
    aether_buffer *destroyed = inside_buffer;
    inside_buffer = other_buffer;
    aether_buffer_destroy(destroyed);
    expect_released(1, 31, 31);
    expect_number(0, wrong_answers);
    expect_ok(unit_append(other_buffer, 1, 1)); /* outside again */
    expect_items(other_cursor, 1, 1);
    aether_cursor_close(other_cursor);
    aether_buffer_destroy(other_buffer);
}

static int depth, deepest;

static void read_inside(struct unit_release *release)
{
    (void)release;
    depth++;
    deepest = depth > deepest ? depth : deepest;
    aether_item item;
    while (inside_cursor != NULL && aether_cursor_next(inside_cursor, &item, AETHER_NO_WAIT) == AETHER_OK)
        ;
    depth--;
}

TEST(buffer_reference, BUF5_reading_inside_the_callback_does_not_recurse)
{
    inside_buffer = unit_buffer();
    inside_cursor = unit_open(inside_buffer, AETHER_FROM_NEXT);
    for (uint64_t i = 0; i < MOST; i++)
        releases[i].hook = read_inside;
    append(inside_buffer, 1, 40);
    other_buffer = unit_buffer();
    expect_ok(unit_append_reference(other_buffer, &releases[50], 200, 50));
    aether_buffer_destroy(other_buffer); /* from its callback the cursor is read, which leaves 39 segments */
    expect_within(1, 2, deepest);
    expect_released(1, 1, 39);
    expect_empty(inside_cursor);
    aether_cursor *closing = inside_cursor;
    inside_cursor = NULL; /* whoever is called back from the close has no cursor any more */
    aether_cursor_close(closing);
    aether_buffer_destroy(inside_buffer);
    expect_released(1, 1, 40);
}
