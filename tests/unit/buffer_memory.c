/*
 * Memory that is not there. A scenario of every call that allocates runs with an allocator whose Nth call fails, for all N:
 * the call says so, nothing has changed, and the same call succeeds next time.
 */
#include "common/unit.h"

/* What must not change when a call fails. */
struct state {
    aether_buffer_stats stats;
    uint64_t room;
};

static struct state state_of(aether_buffer *buffer)
{
    return (struct state){unit_stats(buffer), ae_buffer_room(buffer)};
}

static void expect_unchanged(aether_buffer *buffer, struct state before)
{
    struct state after = state_of(buffer);
    expect_number(before.stats.items, after.stats.items);
    expect_number(before.stats.bytes, after.stats.bytes);
    expect_number(before.stats.retained_items, after.stats.retained_items);
    expect_number(before.stats.in_use_bytes, after.stats.in_use_bytes);
    expect_number(before.stats.in_use_segments, after.stats.in_use_segments);
    expect_number(before.stats.cursors, after.stats.cursors);
    expect_number(before.stats.newest.index, after.stats.newest.index);
    expect_number(before.room, after.room);
    ae_buffer_check(buffer);
}

/* Where the one failure has happened, NULL before. */
static const char *failed_in;

static bool failed(const char *call)
{
    if (unit_memory().fails == 0 || failed_in != NULL)
        return false;
    failed_in = call;
    expect_status(AETHER_NO_MEMORY, aether_error_status());
    cr_assert(strstr(aether_error(), "no memory for") != NULL && strstr(aether_error(), call) != NULL, "\"%s\" of %s",
              aether_error(), call);
    return true;
}

static aether_buffer *create(aether_buffer_options options)
{
    aether_buffer *buffer = aether_buffer_create(&options);
    if (failed("aether_buffer_create")) {
        cr_assert(buffer == NULL);
        cr_assert(unit_memory().blocks == 0 || options.epoch == 2); /* of the first one nothing is left */
        buffer = aether_buffer_create(&options);
    }
    cr_assert(buffer != NULL);
    return buffer;
}

static aether_cursor *open(aether_buffer *buffer, aether_start start)
{
    struct state before = state_of(buffer);
    aether_cursor *cursor = aether_cursor_open(buffer, start);
    if (failed("aether_cursor_open")) {
        cr_assert(cursor == NULL);
        expect_unchanged(buffer, before);
        cursor = aether_cursor_open(buffer, start);
    }
    cr_assert(cursor != NULL);
    return cursor;
}

static aether_cursor *duplicate(aether_buffer *buffer, aether_cursor *cursor)
{
    struct state before = state_of(buffer);
    aether_cursor *twin = aether_cursor_dup(cursor);
    if (failed("aether_cursor_dup")) {
        cr_assert(twin == NULL);
        expect_unchanged(buffer, before);
        twin = aether_cursor_dup(cursor);
    }
    cr_assert(twin != NULL);
    return twin;
}

static void append(aether_buffer *buffer, uint64_t first, uint64_t last)
{
    for (uint64_t i = first; i <= last; i++) {
        struct state before = state_of(buffer);
        aether_status status = unit_append(buffer, i, i);
        if (failed("aether_append")) {
            expect_status(AETHER_NO_MEMORY, status);
            expect_unchanged(buffer, before);
            status = unit_append(buffer, i, i);
        }
        expect_ok(status);
    }
}

static void append_batch(aether_buffer *buffer, uint64_t first, uint64_t last)
{
    struct state before = state_of(buffer);
    aether_status status = unit_append_batch(buffer, first, last);
    if (failed("aether_append_batch")) {
        expect_status(AETHER_NO_MEMORY, status);
        expect_unchanged(buffer, before);
        status = unit_append_batch(buffer, first, last);
    }
    expect_ok(status);
}

static void append_at(aether_buffer *buffer, uint64_t index)
{
    unsigned char payload[64];
    unit_fill(payload, unit_size(index), index);
    struct state before = state_of(buffer);
    aether_status status = aether_append_at(buffer, index, payload, unit_size(index));
    if (failed("aether_append_at")) {
        expect_status(AETHER_NO_MEMORY, status);
        expect_unchanged(buffer, before);
        status = aether_append_at(buffer, index, payload, unit_size(index));
    }
    expect_ok(status);
}

static void live_through_it(aether_buffer_options options)
{
    options.epoch = 1;
    aether_buffer *buffer = create(options);
    aether_cursor *slow = open(buffer, AETHER_FROM_NEXT);
    append(buffer, 1, 100);         /* rolls */
    append_batch(buffer, 101, 150); /* a roll by a batch */
    append_batch(buffer, 151, 400); /* one that is larger than a segment */
    aether_cursor *cursor = duplicate(buffer, slow);
    aether_cursor *oldest = open(buffer, AETHER_FROM_OLDEST);
    expect_items(cursor, 1, 400);
    expect_items(oldest, aether_cursor_position(oldest).index + 1, 400);
    for (uint64_t index = 410; index <= 900; index += 10)
        append_at(buffer, index); /* rolls with holes */
    options.epoch = 2;
    options.newest_index = 900;
    aether_buffer *other = create(options);
    expect_ok(aether_buffer_splice(buffer, open(other, AETHER_FROM_NEXT)));
    append(other, 901, 1000);
    expect_items(slow, 1, 400);
    for (uint64_t index = 410; index <= 900; index += 10)
        expect_items(slow, index, index);
    expect_items(slow, 901, 1000);
    expect_empty(slow);
    aether_buffer_destroy(buffer);
    aether_buffer_destroy(other);
    aether_cursor_close(oldest);
    aether_cursor_close(slow);
    aether_cursor_close(cursor);
    cr_assert(unit_memory_is_balanced());
}

static aether_cursor *open_with(aether_buffer *buffer, aether_cursor_options options)
{
    struct state before = state_of(buffer);
    aether_cursor *cursor = aether_cursor_open_with(buffer, &options);
    if (failed("aether_cursor_open")) {
        cr_assert(cursor == NULL);
        expect_unchanged(buffer, before);
        cursor = aether_cursor_open_with(buffer, &options);
    }
    cr_assert(cursor != NULL);
    return cursor;
}

/* Reserves `size` bytes for item i, whose first ones are committed, or all given up. */
static void reserve(aether_buffer *buffer, size_t size, uint64_t i, bool commit)
{
    void *data = NULL;
    struct state before = state_of(buffer);
    aether_status status = aether_reserve(buffer, size, &data);
    if (failed("aether_reserve")) {
        expect_status(AETHER_NO_MEMORY, status);
        expect_unchanged(buffer, before);
        expect_status(AETHER_INVALID, aether_commit(buffer, 0)); /* there is none */
        status = aether_reserve(buffer, size, &data);
    }
    expect_ok(status);
    unit_fill(data, size, i);
    expect_ok(commit ? aether_commit(buffer, unit_size(i)) : aether_abandon(buffer));
}

static void trim(aether_buffer *buffer)
{
    struct state before = state_of(buffer);
    aether_status status = aether_buffer_trim(buffer);
    if (failed("aether_buffer_trim")) {
        expect_status(AETHER_NO_MEMORY, status);
        expect_unchanged(buffer, before);
        status = aether_buffer_trim(buffer);
    }
    expect_ok(status);
}

static void append_reference(aether_buffer *buffer, struct unit_release *release, size_t size, uint64_t i)
{
    struct state before = state_of(buffer);
    aether_status status = unit_append_reference(buffer, release, size, i);
    if (failed("aether_append_batch")) {
        expect_status(AETHER_NO_MEMORY, status);
        expect_unchanged(buffer, before);
        expect_number(0, unit_releases(release));
        status = unit_append_reference(buffer, release, size, i);
    }
    expect_ok(status);
}

/* Crosses a splice, where the cursor needs a place in the other buffer's registry. */
static void cross(aether_cursor *cursor, uint64_t i)
{
    aether_item item;
    aether_position before = aether_cursor_position(cursor);
    aether_status status = aether_cursor_next(cursor, &item, AETHER_NO_WAIT);
    if (failed("aether_cursor_next")) {
        expect_status(AETHER_NO_MEMORY, status);
        expect_position(before.epoch, before.index, aether_cursor_position(cursor));
        status = aether_cursor_next(cursor, &item, AETHER_NO_WAIT);
    }
    expect_ok(status);
    cr_assert(unit_is_item(&item, i));
}

static void live_through_more(aether_buffer_options options)
{
    static struct unit_release releases[10];
    memset(releases, 0, sizeof releases);
    options.epoch = 1;
    options.retain_items = 20;
    uint64_t limit = 64 * UNIT_SEGMENT;
    aether_buffer *buffer = create(options);
    aether_cursor *wait = open_with(buffer, (aether_cursor_options){.on_limit = AETHER_WAIT, .limit_bytes = limit});
    aether_cursor *named = open_with(buffer, (aether_cursor_options){.label = "named"});
    aether_cursor *lap = open_with(buffer, (aether_cursor_options){.on_limit = AETHER_LAP, .limit_bytes = limit});
    aether_cursor *twin = duplicate(buffer, named);
    for (uint64_t i = 1; i <= 60; i++) {
        reserve(buffer, 300, i, true); /* rolls */
        reserve(buffer, 100 * i, i, false);
    }
    trim(buffer);
    append(buffer, 61, 100);
    aether_cursor *after =
        open_with(buffer, (aether_cursor_options){.start = AETHER_FROM_AFTER, .position = {1, 90}, .label = "after"});
    expect_items(wait, 1, 100);
    expect_items(named, 1, 100);
    expect_items(lap, 1, 100);
    expect_items(after, 91, 100);
    options.epoch = 2;
    options.newest_index = 100;
    aether_buffer *other = create(options);
    expect_ok(aether_buffer_splice(buffer, open_with(other, (aether_cursor_options){.label = "at"})));
    append(other, 101, 110);
    cross(wait, 101);
    cross(named, 101);
    cross(lap, 101);
    cross(after, 101);
    expect_items(twin, 1, 100);
    cross(twin, 101);
    for (uint64_t i = 0; i < 10; i++)
        append_reference(other, &releases[i], i % 2 == 0 ? 100 : 700, i);
    trim(other);
    aether_buffer_destroy(buffer);
    aether_buffer_destroy(other);
    aether_cursor_close(wait);
    aether_cursor_close(named);
    aether_cursor_close(lap);
    aether_cursor_close(twin);
    aether_cursor_close(after);
    for (uint64_t i = 0; i < 10; i++)
        expect_number(1, unit_releases(&releases[i]));
    cr_assert(unit_memory_is_balanced());
}

static void (*scenario)(aether_buffer_options options) = live_through_it;

/* In one process: the count of failures is what each round begins with. */
static const char *fail_the_nth(aether_buffer_options options, uint64_t n)
{
    failed_in = NULL;
    unit_memory_forget_fails();
    unit_memory_fail(n, 1);
    scenario(options);
    unit_memory_fail(0, 0);
    return failed_in;
}

static void fail_every_one(aether_buffer_options options, uint64_t at_least)
{
    uint64_t n = 0;
    while (fail_the_nth(options, n) != NULL)
        n++;
    expect_within(at_least, 10000, n); /* so many allocations there are */
}

TEST(buffer_memory, BUF11_whichever_allocation_fails_nothing_is_lost_and_the_next_call_succeeds)
{
    fail_every_one(unit_options(), 20);
}

TEST(buffer_memory, BUF11_the_same_with_segments_that_grow)
{
    aether_buffer_options options = unit_options();
    options.segment_bytes = 8192;
    fail_every_one(options, 10);
}

TEST(buffer_memory, BUF11_the_same_without_a_cache)
{
    aether_buffer_options options = unit_options();
    options.cached_segments = -1;
    fail_every_one(options, 20);
}

TEST(buffer_memory, BUF11_the_same_with_limits_labels_reservations_references_and_trim)
{
    scenario = live_through_more;
    fail_every_one(unit_options(), 50);
}

TEST(buffer_memory, BUF11_the_same_of_those_without_a_cache)
{
    aether_buffer_options options = unit_options();
    options.cached_segments = -1;
    scenario = live_through_more;
    fail_every_one(options, 60);
}

TEST(buffer_memory, BUF11_the_same_of_those_with_segments_that_grow)
{
    aether_buffer_options options = unit_options();
    options.segment_bytes = 8192;
    scenario = live_through_more;
    fail_every_one(options, 20);
}

TEST(buffer_memory, BUF11_as_long_as_there_is_no_memory_every_call_says_so)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    uint64_t i = 1;
    unit_memory_fail(0, UINT64_MAX);
    for (; unit_append(buffer, i, i) == AETHER_OK; i++)
        ;
    cr_assert(i > 10); /* what the first segment holds needs none */
    for (int again = 0; again < 10; again++) {
        expect_refused(AETHER_NO_MEMORY, "aether_append: no memory for a segment", unit_append(buffer, i, i));
        expect_refused(AETHER_NO_MEMORY, "aether_append_batch: no memory", unit_append_batch(buffer, i, i + 50));
        cr_assert(aether_cursor_open(buffer, AETHER_FROM_NEXT) == NULL);
        expect_failure(AETHER_NO_MEMORY, "aether_cursor_open: no memory");
        cr_assert(aether_cursor_dup(cursor) == NULL);
        expect_failure(AETHER_NO_MEMORY, "aether_cursor_dup: no memory");
        void *data;
        expect_refused(AETHER_NO_MEMORY, "aether_reserve: no memory", aether_reserve(buffer, UNIT_SEGMENT, &data));
        expect_refused(AETHER_NO_MEMORY, "aether_buffer_trim: no memory", aether_buffer_trim(buffer));
        aether_buffer_options options = unit_options();
        cr_assert(aether_buffer_create(&options) == NULL);
        expect_failure(AETHER_NO_MEMORY, "aether_buffer_create: no memory");
        ae_buffer_check(buffer);
    }
    expect_items(cursor, 1, i - 1);
    expect_empty(cursor);
    unit_memory_fail(0, 0);
    expect_ok(unit_append(buffer, i, i + 100));
    expect_items(cursor, i, i + 100);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_memory, BUF11_an_item_that_still_fits_is_taken_when_a_larger_one_was_not)
{
    static const char payload[UNIT_SEGMENT];
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 1));
    unit_memory_fail(0, UINT64_MAX);
    expect_status(AETHER_NO_MEMORY, aether_append(buffer, payload, sizeof payload));
    expect_ok(unit_append(buffer, 2, 2));
    unit_memory_fail(0, 0);
    expect_items(cursor, 1, 2);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_memory, BUF11_a_reader_needs_no_memory_to_read_on)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 1000));
    uint64_t allocs = unit_memory().allocs;
    expect_items(cursor, 1, 1000);
    aether_cursor_close(cursor);
    expect_number(allocs, unit_memory().allocs);
    aether_buffer_destroy(buffer);
}

TEST(buffer_memory, D6_the_allocator_is_copied_when_the_buffer_is_made)
{
    aether_allocator mine = unit_allocator;
    aether_buffer_options options = unit_options();
    options.allocator = &mine;
    aether_buffer *buffer = unit_buffer_with(options);
    memset(&mine, 0, sizeof mine);
    memset(&options, 0xff, sizeof options);
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 500));
    aether_cursor *twin = aether_cursor_dup(cursor);
    aether_cursor_close(cursor);
    expect_items(twin, 1, 500);
    aether_buffer_destroy(buffer);
    aether_cursor_close(twin);
}

TEST(buffer_memory, D6_without_an_allocator_it_is_the_C_library_s)
{
    aether_buffer *buffer = aether_buffer_create(NULL);
    cr_assert(buffer != NULL);
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 20000));
    expect_items(cursor, 1, 20000);
    expect_number(0, unit_memory().allocs);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
    ae_rcu_barrier();
}

TEST(buffer_memory, D6_all_memory_is_of_the_given_allocator)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_number(3, unit_memory().blocks); /* the buffer, its segment, the cursor */
    expect_number(sizeof *buffer + UNIT_SEGMENT, unit_memory().bytes - unit_memory().asked);
    aether_cursor_close(cursor);
    expect_number(2, unit_memory().blocks);
    aether_buffer_destroy(buffer);
}
