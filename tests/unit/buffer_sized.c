/* Structs that programs of another version pass: shorter than today's, and longer. */
#include "common/unit.h"

/* Of a later version. */
struct later_options {
    aether_buffer_options now;
    uint64_t later[4];
};

TEST(buffer_sized, D2_options_of_an_earlier_version_mean_the_defaults_for_the_rest)
{
    aether_buffer_options options = unit_options();
    options.newest_index = 500; /* beyond what the caller's version knew */
    aether_buffer *buffer = aether_buffer_create_sized(&options, offsetof(aether_buffer_options, newest_index));
    cr_assert(buffer != NULL);
    expect_position(UNIT_EPOCH, 0, aether_buffer_newest(buffer));
    expect_ok(unit_append(buffer, 1, 1));
    aether_buffer_destroy(buffer);
}

TEST(buffer_sized, D2_options_of_size_0_are_all_defaults)
{
    aether_buffer_options options;
    memset(&options, 0xff, sizeof options);
    aether_buffer *buffer = aether_buffer_create_sized(&options, 0);
    cr_assert(buffer != NULL);
    expect_number(0, unit_memory().allocs);
    aether_buffer_destroy(buffer);
    buffer = aether_buffer_create_sized(NULL, sizeof options);
    cr_assert(buffer != NULL);
    aether_buffer_destroy(buffer);
}

TEST(buffer_sized, D2_options_of_a_later_version_are_read_as_far_as_they_are_known)
{
    struct later_options options = {.now = unit_options()};
    memset(options.later, 0xff, sizeof options.later);
    options.now.newest_index = 500;
    aether_buffer *buffer = aether_buffer_create_sized(&options.now, sizeof options);
    cr_assert(buffer != NULL);
    expect_position(UNIT_EPOCH, 500, aether_buffer_newest(buffer));
    aether_buffer_destroy(buffer);
}

TEST(buffer_sized, D2_statistics_for_an_earlier_version_stop_where_its_struct_ends)
{
    aether_buffer *buffer = unit_buffer();
    expect_ok(unit_append(buffer, 1, 3));
    aether_buffer_stats stats;
    memset(&stats, 0xee, sizeof stats);
    expect_ok(aether_buffer_get_stats_sized(buffer, &stats, offsetof(aether_buffer_stats, bytes)));
    expect_number(3, stats.items);
    expect_position(UNIT_EPOCH, 3, stats.newest);
    const unsigned char *rest = (const unsigned char *)&stats + offsetof(aether_buffer_stats, bytes);
    for (size_t i = 0; i < sizeof stats - offsetof(aether_buffer_stats, bytes); i++)
        expect_number(0xee, rest[i]);
    aether_buffer_destroy(buffer);
}

TEST(buffer_sized, D2_statistics_for_a_later_version_have_zeros_at_their_end)
{
    struct {
        aether_buffer_stats now;
        uint64_t later[3];
    } stats;
    aether_buffer *buffer = unit_buffer();
    expect_ok(unit_append(buffer, 1, 3));
    memset(&stats, 0xee, sizeof stats);
    expect_ok(aether_buffer_get_stats_sized(buffer, &stats.now, sizeof stats));
    expect_number(3, stats.now.items);
    cr_assert(stats.later[0] == 0 && stats.later[1] == 0 && stats.later[2] == 0);
    aether_buffer_destroy(buffer);
}

/* There is no earlier version of these two, so there is nothing that a shorter one could leave out. */
TEST(buffer_sized, D2_an_item_shorter_than_the_first_version_is_refused)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    aether_item item;
    size_t count;
    expect_ok(unit_append(buffer, 1, 1));
    for (size_t size = 0; size < sizeof item; size++) {
        expect_refused(AETHER_INVALID, "aether_cursor_next", aether_cursor_next_sized(cursor, &item, size, AETHER_NO_WAIT));
        expect_refused(AETHER_INVALID, "aether_cursor_run",
                       aether_cursor_run_sized(cursor, &item, 1, &count, size, AETHER_NO_WAIT));
    }
    expect_items(cursor, 1, 1);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_sized, D2_a_distance_that_no_payload_can_have_is_refused)
{
    aether_buffer *buffer = unit_buffer();
    aether_payload payloads[2] = {{.data = "a", .size = 1}, {.data = "b", .size = 1}};
    for (size_t size = 0; size < 2 * sizeof *payloads; size++)
        if (size < sizeof *payloads || size % _Alignof(aether_payload) != 0)
            expect_refused(AETHER_INVALID, "aether_append_batch", aether_append_batch_sized(buffer, payloads, 2, size));
    expect_number(0, unit_stats(buffer).items);
    expect_ok(aether_append_batch(buffer, payloads, 2));
    aether_buffer_destroy(buffer);
}

TEST(buffer_sized, D2_a_distance_that_no_item_can_have_is_refused)
{
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    aether_item items[4];
    size_t count;
    expect_ok(unit_append(buffer, 1, 2));
    for (size_t size = sizeof *items + 1; size < sizeof *items + _Alignof(aether_item); size++)
        expect_refused(AETHER_INVALID, "aether_cursor_run",
                       aether_cursor_run_sized(cursor, items, 2, &count, size, AETHER_NO_WAIT));
    expect_items(cursor, 1, 2);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

struct later_item {
    aether_item now;
    uint64_t later[2];
};

TEST(buffer_sized, D2_items_of_a_later_version_have_their_own_distance)
{
    struct later_item items[8];
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 9));
    size_t count;
    expect_ok(aether_cursor_run_sized(cursor, &items[0].now, 8, &count, sizeof items[0], AETHER_NO_WAIT));
    expect_number(8, count);
    for (size_t i = 0; i < count; i++)
        cr_assert(unit_is_item(&items[i].now, i + 1));
    expect_ok(aether_cursor_next_sized(cursor, &items[0].now, sizeof items[0], AETHER_NO_WAIT));
    cr_assert(unit_is_item(&items[0].now, 9));
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_sized, D2_payloads_of_a_later_version_have_their_own_distance)
{
    struct {
        aether_payload now;
        uint64_t later;
    } payloads[] = {{{.data = "one", .size = 3}, 99},
                    {{.data = "twenty", .size = 6, .index = 20}, 99},
                    {{.data = "next", .size = 4}, 99}};
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(aether_append_batch_sized(buffer, &payloads[0].now, 3, sizeof payloads[0]));
    static const uint64_t indexes[] = {1, 20, 21};
    for (size_t i = 0; i < 3; i++) {
        aether_item item;
        expect_ok(aether_cursor_next(cursor, &item, AETHER_NO_WAIT));
        expect_number(indexes[i], item.index);
        cr_assert(item.size == payloads[i].now.size && memcmp(item.data, payloads[i].now.data, item.size) == 0);
    }
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_sized, D2_cursor_options_of_an_earlier_version_mean_the_defaults_for_the_rest)
{
    aether_buffer *buffer = unit_buffer();
    aether_range range = {0};
    aether_cursor_options options = {.start = AETHER_FROM_OLDEST, .limit_bytes = 1, .label = "label", .range = &range};
    expect_ok(unit_append(buffer, 1, 5));
    aether_cursor *cursor = aether_cursor_open_sized(buffer, &options, offsetof(aether_cursor_options, limit_bytes));
    cr_assert(cursor != NULL);
    expect_number(0, range.newest);
    expect_number(0, unit_stats(buffer).slowest_of);
    expect_items(cursor, 1, 5);
    aether_cursor_close(cursor);
    cursor = aether_cursor_open_sized(buffer, &options, 0);
    expect_empty(cursor); /* from the next one on */
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_sized, D2_cursor_options_of_a_later_version_are_read_as_far_as_they_are_known)
{
    struct {
        aether_cursor_options now;
        uint64_t later[3];
    } options = {.now = {.start = AETHER_FROM_AFTER, .position = {0, 3}, .label = "label"}, .later = {1, 2, 3}};
    aether_buffer *buffer = unit_buffer();
    expect_ok(unit_append(buffer, 1, 5));
    aether_cursor *cursor = aether_cursor_open_sized(buffer, &options.now, sizeof options);
    cr_assert(cursor != NULL);
    expect_number(1, unit_stats(buffer).slowest_of);
    expect_items(cursor, 4, 5);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}

TEST(buffer_sized, D2_a_cursor_s_statistics_stop_where_an_earlier_struct_ends_and_have_zeros_behind_today_s)
{
    struct {
        aether_cursor_stats now;
        uint64_t later[3];
    } stats;
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 5));
    memset(&stats, 0xee, sizeof stats);
    expect_ok(aether_cursor_get_stats_sized(cursor, &stats.now, offsetof(aether_cursor_stats, lag_items)));
    expect_number(0, stats.now.lags);
    expect_number(0xeeeeeeeeeeeeeeee, stats.now.lag_items);
    expect_ok(aether_cursor_get_stats_sized(cursor, &stats.now, sizeof stats));
    expect_number(5, stats.now.lag_items);
    expect_number(0, stats.later[0] | stats.later[1] | stats.later[2]);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}
