/* Conflation: of each subject only the newest that has not been delivered, in order, within a bound. */
#include "common/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/unit_bus.h"
#include "common/unit_snapshot.h"

static aether_subscription *conflating(aether_bus *bus, const char *pattern, uint32_t most)
{
    return unit_subscribe_with(bus, pattern, (aether_subscribe_options){.conflate = most});
}

TEST(bus_conflate, BUS3_only_the_newest_of_each_subject_comes_and_the_longest_unchanged_first)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = conflating(bus, "*", 10);
    expect_ok(unit_publish(bus, "a=1 b=1 a=2 c=1 b=2 a=3"));
    expect_events("c=1 b=2 a=3", AETHER_EMPTY, sub); /* as if the older ones had not been published */
    expect_ok(unit_publish(bus, "a=4 b=3"));
    expect_events("a=4 b=3", AETHER_EMPTY, sub);
    expect_account(sub, .published = 8, .delivered = 5, .conflated = 3);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_conflate, BUS3_what_is_delivered_comes_in_the_order_of_the_bus)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = conflating(bus, "*", 20);
    char subject[8];
    unsigned seed = 1;
    uint64_t last = 0;
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 30; i++) {
            snprintf(subject, sizeof subject, "s%u", (seed = seed * 1103515245 + 12345) / 65536 % 20);
            expect_ok(aether_publish(bus, subject, AETHER_EVENT(.type = "T")));
        }
        aether_event event;
        for (int i = 0; i < 5; i++) { /* not all: the rest may be conflated */
            expect_ok(aether_next(sub, &event, AETHER_NO_WAIT));
            cr_assert(event.index > last);
            last = event.index;
        }
    }
    aether_status status;
    unit_drain(sub, &status);
    aether_subscription_stats stats = unit_account(sub);
    expect_number(6000, stats.published);
    expect_number(6000, stats.delivered + stats.conflated);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_conflate, BUS3_the_table_is_bounded_and_loses_nothing)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = conflating(bus, ">", 3);
    expect_ok(unit_publish(bus, "a=1 b=1 c=1 d=1 a=2 e=1 b=2"));
    aether_event event;
    char text[256] = "", word[32], newest[5] = "";
    uint64_t last = 0;
    while (aether_next(sub, &event, AETHER_NO_WAIT) == AETHER_OK) {
        unit_word(&event, word, sizeof word);
        unit_add_word(text, sizeof text, word);
        cr_assert(event.index > last, "%s", text);
        last = event.index;
        newest[event.subject[0] - 'a'] = event.data.data[0];
    }
    cr_assert(memcmp(newest, "22111", 5) == 0, "%s", text); /* the newest of each has come last */
    aether_subscription_stats stats = unit_account(sub);
    expect_number(7, stats.delivered + stats.conflated);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_conflate, BUS3_filtered_events_conflate_nothing)
{
    aether_bus *bus = unit_bus();
    static const char *const types[] = {"Good"};
    aether_subscription *sub = unit_subscribe_with(
        bus, "*", (aether_subscribe_options){.conflate = 5, .filter = {.types = types, .type_count = 1}});
    expect_ok(aether_publish(bus, "a", AETHER_EVENT(.type = "Good", .data = AETHER_TEXT("1"))));
    expect_ok(aether_publish(bus, "a", AETHER_EVENT(.type = "Bad", .data = AETHER_TEXT("2"))));
    expect_events("a=1", AETHER_EMPTY, sub);
    expect_account(sub, .published = 2, .delivered = 1, .filtered = 1);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_conflate, BUS3_snapshots_are_not_conflated_and_what_follows_is)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "a=s1 a=s2 b=s3"};
    unit_handle(bus, "*", &maker);
    aether_subscription *sub =
        unit_subscribe_with(bus, "*", (aether_subscribe_options){.begin = AETHER_BEGIN_SNAPSHOT, .conflate = 5});
    expect_ok(unit_publish(bus, "a=1 b=1 a=2"));
    expect_events("+a=s1 +a=s2 +b=s3 end@0 b=1 a=2", AETHER_EMPTY, sub);
    expect_account(sub, .published = 3, .delivered = 2, .conflated = 1, .snapshot_events = 3, .snapshots = 1);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_conflate, BUS3_deletions_and_large_events_are_the_newest_too)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = conflating(bus, "*", 5);
    static char large[20000];
    memset(large, 'x', sizeof large);
    expect_ok(unit_publish(bus, "a=1"));
    expect_ok(aether_publish(bus, "b", AETHER_EVENT(.data = {large, sizeof large})));
    expect_ok(aether_publish(bus, "a", AETHER_EVENT(.flags = AETHER_EVENT_DELETED)));
    expect_ok(aether_publish(bus, "b", AETHER_EVENT(.type = "Short", .data = AETHER_TEXT("2"))));
    expect_ok(aether_publish(bus, "c", AETHER_EVENT(.actor = "x-1", .data = {large, sizeof large})));
    expect_arrivals("-a@3 b=2", sub);
    aether_event event;
    expect_ok(aether_next(sub, &event, AETHER_NO_WAIT));
    cr_assert(event.data.size == sizeof large && memcmp(event.data.data, large, sizeof large) == 0);
    cr_assert(event.actor_size == 3 && memcmp(event.actor, "x-1", 3) == 0 && (uintptr_t)event.data.data % 8 == 0);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_conflate, BUS3_a_position_does_not_pass_what_waits)
{
    aether_bus *bus = unit_bus();
    unit_retain(bus, "*");
    aether_subscription *sub = conflating(bus, "*", 5);
    expect_ok(unit_publish(bus, "a=1 b=2 a=3 c=4"));
    expect_arrivals("b=2", sub); /* 3 and 4 wait in the table */
    aether_position position = aether_subscription_position(sub);
    cr_assert(position.index < 3);
    aether_subscription_close(sub);
    sub = unit_subscribe_with(bus, "*", (aether_subscribe_options){.begin = AETHER_BEGIN_AFTER, .position = position});
    expect_events("a=3 c=4", AETHER_EMPTY, sub);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_conflate, BUS8_who_drains_gets_what_waits_before_the_end)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub =
        unit_subscribe_with(bus, "*", (aether_subscribe_options){.conflate = 5, .label = "x", .drain = true});
    expect_ok(unit_publish(bus, "a=1 b=2 a=3"));
    expect_arrivals("b=2", sub);
    expect_ok(unit_publish(bus, "c=4"));
    expect_ok(aether_bus_close_label(bus, "x", AETHER_ACCESS_CHANGED));
    expect_ok(unit_publish(bus, "d=5 a=6"));
    expect_events("a=3 c=4", AETHER_ACCESS_CHANGED, sub);
    expect_account(sub, .published = 4, .delivered = 3, .conflated = 1);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_conflate, BUS3_who_lags_gets_what_waits_and_is_told_then)
{
    enum { MANY = 300 };
    aether_bus *bus = unit_bus();
    aether_subscription *sub =
        unit_subscribe_with(bus, "*", (aether_subscribe_options){.conflate = 5, .limit_bytes = UNIT_LIMIT});
    expect_ok(unit_publish_many(bus, "a", MANY, 100, NULL));
    expect_ok(unit_publish(bus, "b=last"));
    aether_status status;
    uint64_t first = unit_drain(sub, &status);
    expect_status(AETHER_LAGGED, status);
    expect_number(1, first); /* the newest of a that it had */
    expect_fine(unit_adds_up(sub));
    aether_event event;
    expect_ok(aether_next(sub, &event, AETHER_NO_WAIT));
    expect_number(MANY, event.index);
    expect_events("b=last", AETHER_EMPTY, sub);
    aether_subscription_stats stats = unit_account(sub);
    expect_number(MANY + 1, stats.published);
    expect_number(3, stats.delivered);
    expect_number(1, stats.lags);
    expect_number(MANY - 2, stats.conflated + stats.lagged);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_conflate, BUS3_memory_is_that_of_the_table)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub =
        unit_subscribe_with(bus, "s.*", (aether_subscribe_options){.conflate = 8, .limit_bytes = UNIT_LIMIT});
    char subject[16];
    uint64_t bytes = 0;
    aether_event event;
    for (int i = 0; i < 4000; i++) {
        snprintf(subject, sizeof subject, "s.%d", i % 1000);
        expect_ok(aether_publish(bus, subject, AETHER_EVENT(.type = "T")));
        if (i % 4 == 0)
            expect_ok(aether_next(sub, &event, AETHER_NO_WAIT));
        if (i != 1500)
            continue;
        aether_memory_drain();
        bytes = unit_memory().bytes;
    }
    aether_memory_drain();
    expect_within(0, bytes + 2 * UNIT_LIMIT, unit_memory().bytes);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}
