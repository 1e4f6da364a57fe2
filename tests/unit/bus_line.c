/* Publishers that stand behind one that waits for room: in the line of a feed, or in that of the order. */
#include "common/unit.h"

#include "common/unit_bus.h"
#include "common/unit_clock.h"

enum { SIZE = 100 };

static const char large[] =
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";

/* A bus on which "a" has no room for another event of SIZE bytes, and publishers that do not return. */
struct line {
    aether_bus *bus;
    aether_subscription *slow, *all;
    uint64_t there; /* events */
};

struct member {
    struct line *line;
    aether_event events[2];
    size_t count;
    struct unit_futex_trace trace;
    aether_status status;
    struct unit_thread thread;
};

static void make_line(struct line *line, int64_t publish_wait_ns)
{
    aether_bus_options options = unit_bus_options();
    options.publish_wait_ns = publish_wait_ns;
    line->bus = unit_bus_with(options);
    line->slow =
        unit_subscribe_with(line->bus, "a", (aether_subscribe_options){.on_limit = AETHER_WAIT, .limit_bytes = UNIT_LIMIT});
    line->all = unit_subscribe(line->bus, ">", AETHER_BEGIN_NOW);
    line->there = unit_count_room(SIZE);
}

static void end_line(struct line *line)
{
    expect_fine(unit_adds_up(line->slow));
    aether_subscription_close(line->slow);
    aether_subscription_close(line->all);
    aether_bus_destroy(line->bus);
}

static const char *publish(void *user)
{
    struct member *member = user;
    unit_futex_trace = &member->trace;
    member->status = aether_publish_batch(member->line->bus, member->events, member->count);
    return NULL;
}

/* It is inside the kernel: waits, or stands behind who does. */
static void step_in(struct line *line, struct member *member, const char *first, const char *second, uint64_t index)
{
    *member = (struct member){.line = line, .count = second != NULL ? 2 : 1};
    const char *subjects[] = {first, second};
    for (size_t i = 0; i < member->count; i++)
        member->events[i] = (aether_event){.subject = subjects[i], .index = index, .data = AETHER_TEXT(large)};
    cr_assert(unit_thread_start(&member->thread, 0, publish, member));
    cr_assert(unit_thread_sleeps(&member->thread, &member->trace));
}

static aether_status step_out(struct member *member)
{
    return unit_thread_join(&member->thread) == NULL ? member->status : UNIT_STUCK;
}

/* Events that have room, under the indexes from 1 on where `given` is 1; of other threads, since this one reads. */
static void fill(struct line *line, uint64_t given)
{
    for (uint64_t i = 1; i <= line->there; i++) {
        struct member member = {.line = line, .count = 1};
        member.events[0] = (aether_event){.subject = "a", .index = given * i, .data = AETHER_TEXT(large)};
        cr_assert(unit_thread_start(&member.thread, 0, publish, &member));
        expect_ok(step_out(&member));
    }
}

/* All that stand in ">" behind the first `there`, by subject. */
static void expect_order(struct line *line, const char *subjects)
{
    aether_event event;
    char came[32] = "";
    for (uint64_t i = 1; aether_next(line->all, &event, AETHER_NO_WAIT) == AETHER_OK; i++)
        if (i > line->there)
            strncat(came, event.subject, 1);
    cr_assert_str_eq(came, subjects);
}

static void read_until(struct line *line, uint64_t index)
{
    aether_event event;
    do
        expect_ok(aether_next(line->slow, &event, AETHER_SECONDS(20)));
    while (event.index < index);
}

TEST(bus_line, BUS3_who_needs_room_in_several_feeds_stands_in_line)
{
    struct line line;
    make_line(&line, 0);
    expect_ok(unit_fill_up(line.bus, SIZE));
    struct member first, second, third;
    step_in(&line, &first, "a", NULL, 0);
    step_in(&line, &second, "b", "a", 0);
    step_in(&line, &third, "a", "c", 0);
    expect_ok(unit_publish(line.bus, "d")); /* it needs none */
    expect_number(line.there + 1, aether_bus_newest(line.bus).index);
    read_until(&line, line.there + 4);
    expect_ok(step_out(&first));
    expect_ok(step_out(&second));
    expect_ok(step_out(&third));
    expect_order(&line, "dabaac");
    expect_number(line.there + 4, aether_bus_newest(line.bus).index);
    end_line(&line);
}

TEST(bus_line, BUS3_a_bus_may_not_let_publishers_wait_at_all)
{
    struct line line;
    make_line(&line, -1);
    expect_ok(unit_fill_up(line.bus, SIZE));
    expect_status(AETHER_TIMEOUT, unit_fill_up(line.bus, SIZE));
    expect_number(line.there, aether_bus_newest(line.bus).index);
    expect_number(1, unit_bus_stats(line.bus).refused);
    end_line(&line);
}

/*
 * The clock stands until all have stepped in, then their time is over. The first does not come out of the kernel, and so
 * stays what the others stand behind.
 */
static void expect_withdrawal(uint64_t index)
{
    struct line line;
    unit_clock_install(unit_now());
    make_line(&line, AETHER_MILLISECONDS(100));
    fill(&line, index);
    struct member members[4];
    for (size_t i = 0; i < 4; i++)
        step_in(&line, &members[i], i == 3 ? "a" : "b", i == 3 ? "b" : "a", index * (line.there + 1 + i));
    __atomic_store_n(&members[0].trace.stall, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&members[1].trace.stall, 1, __ATOMIC_SEQ_CST);
    unit_clock_advance(AETHER_SECONDS(1));
    expect_status(AETHER_TIMEOUT, step_out(&members[2])); /* out of the middle of the line */
    expect_status(AETHER_TIMEOUT, step_out(&members[3]));
    expect_number(2, unit_bus_stats(line.bus).refused);
    __atomic_store_n(&members[1].trace.stall, 0, __ATOMIC_SEQ_CST);
    expect_status(AETHER_TIMEOUT, step_out(&members[1]));
    __atomic_store_n(&members[0].trace.stall, 0, __ATOMIC_SEQ_CST);
    expect_status(AETHER_TIMEOUT, step_out(&members[0]));
    expect_number(4, unit_bus_stats(line.bus).refused);
    expect_number(line.there, aether_bus_newest(line.bus).index);
    read_until(&line, line.there);
    aether_event event = {.subject = "a", .index = index * (line.there + 1)};
    expect_ok(aether_publish(line.bus, "a", &event)); /* nobody stands in the way */
    expect_order(&line, "a");
    end_line(&line);
}

TEST(bus_line, BUS3_who_stands_behind_others_gives_up_when_its_time_is_over)
{
    expect_withdrawal(0);
}

TEST(bus_line, BUS4_so_does_who_stands_behind_lower_indexes)
{
    expect_withdrawal(1);
}

TEST(bus_line, BUS4_who_stands_behind_a_higher_index_is_out_of_order)
{
    struct line line;
    make_line(&line, 0);
    aether_event event = {.subject = "b", .index = 1};
    expect_ok(aether_publish(line.bus, "b", &event));
    line.there = 1;
    struct member member;
    for (uint64_t i = 2;; i++) { /* until one waits */
        member = (struct member){.line = &line, .count = 1};
        member.events[0] = (aether_event){.subject = "a", .index = i, .data = AETHER_TEXT(large)};
        cr_assert(unit_thread_start(&member.thread, 0, publish, &member));
        cr_assert(unit_until(aether_bus_newest(line.bus).index == i ||
                             __atomic_load_n(&member.trace.passes, __ATOMIC_SEQ_CST) % 2 == 1));
        if (aether_bus_newest(line.bus).index != i)
            break;
        expect_ok(step_out(&member));
    }
    uint64_t waiting = member.events[0].index;
    struct member low, high;
    step_in(&line, &high, "b", NULL, waiting + 5);
    step_in(&line, &low, "c", NULL, waiting + 2); /* behind it, although it is lower: it will not be above the newest */
    read_until(&line, waiting);
    expect_ok(step_out(&member));
    expect_ok(step_out(&high));
    expect_status(AETHER_INDEX_ORDER, step_out(&low));
    expect_number(waiting + 5, aether_bus_newest(line.bus).index);
    end_line(&line);
}

TEST(bus_line, BUS8_shutdown_lets_a_whole_line_go)
{
    for (uint64_t index = 0; index < 2; index++) {
        struct line line;
        make_line(&line, 0);
        fill(&line, index);
        struct member members[3];
        for (size_t i = 0; i < 3; i++)
            step_in(&line, &members[i], "a", i == 1 ? "b" : NULL, index * (line.there + 1 + i));
        expect_ok(aether_bus_shutdown(line.bus));
        for (size_t i = 0; i < 3; i++)
            expect_status(AETHER_SHUT_DOWN, step_out(&members[i]));
        end_line(&line);
    }
}
