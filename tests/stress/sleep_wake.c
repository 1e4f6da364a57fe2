/*
 * Sleeping and waking in a tight loop: one writer, two to eight readers that wait for ever and that nobody cancels, because
 * a cancel or a deadline would hide a lost wake-up. The writer mostly waits until all of them are about to sleep, so that
 * its append falls between their mark, their second look and their sleep; sometimes it runs on.
 */
#include <sched.h>

#include "common/stress_feed.h"
#include "common/stress_futex.h"
#include "common/stress_memory.h"
#include "common/stress_watch.h"

#include "buffer/cursor.h"

enum { READERS_MOST = 8, ITEMS_PER_ROUND = 4000, RUN_MOST = 16 };

struct reader {
    struct stress_watch watch;
    struct round *round;
    struct stress_random random;
    aether_cursor *cursor;
    uint64_t number; /* of the next item */
};

struct round {
    struct stress_feed feed;
    struct reader readers[READERS_MOST];
    uint32_t count;
};

static uint64_t items, delivered, rounds;
static uint64_t streams;

static void check_run(struct reader *reader, const aether_item *run, size_t count)
{
    for (size_t i = 0; i < count; i++)
        stress_feed_check(&reader->round->feed, reader->number++, &run[i]);
}

static void *read_all(void *argument)
{
    struct reader *reader = argument;
    const struct stress_feed *feed = &reader->round->feed;
    aether_status status;
    do {
        aether_item run[RUN_MOST];
        size_t count = 1, capacity = stress_one_in(&reader->random, 4) ? RUN_MOST : 1;
        stress_watch_enter(&reader->watch, &feed->published, reader->number);
        if (capacity == 1)
            status = aether_cursor_next(reader->cursor, run, AETHER_FOREVER);
        else
            status = aether_cursor_run(reader->cursor, run, capacity, &count, AETHER_FOREVER);
        stress_watch_leave(&reader->watch);
        if (status == AETHER_OK)
            check_run(reader, run, count);
    } while (status == AETHER_OK);
    STRESS_EXPECT(status == AETHER_ENDED);
    STRESS_EXPECT(reader->number == stress_get(&feed->begun));
    STRESS_EXPECT(aether_cursor_next(reader->cursor, &(aether_item){0}, AETHER_FOREVER) == AETHER_ENDED);
    return NULL;
}

static void await_all(const struct round *round)
{
    uint32_t turns = 0;
    for (uint32_t i = 0; i < round->count; i++)
        while (!stress_watch_waits_at(&round->readers[i].watch, round->feed.begun))
            if (++turns % 256 == 0)
                sched_yield();
            else
                ae_relax();
}

static void write_round(struct round *round, struct stress_random *random)
{
    while (round->feed.begun < ITEMS_PER_ROUND && !stress_over()) {
        uint32_t draw = stress_below(random, 16);
        if (draw < 13)
            await_all(round);
        else if (draw == 13)
            stress_nap(stress_below(random, 100000));
        stress_linger(random, draw < 8 ? 20 : draw < 11 ? 200 : 3000);
        for (uint32_t burst = draw > 13 ? stress_below(random, 20) : 1; burst != 0; burst--)
            stress_feed_put(&round->feed, random);
    }
    stress_feed_end(&round->feed, AETHER_OK);
}

static void play(struct stress_memory *memory, struct stress_random *random)
{
    static const uint32_t counts[] = {1, 2, 2, 3, READERS_MOST};
    struct round round = {.count = counts[stress_below(random, 5)]};
    aether_buffer_options options = stress_small_segments(&memory->allocator, 0);
    options.spins = stress_one_in(random, 4) ? 0 : -1;
    options.yields = -1;
    stress_feed_create(&round.feed, &options, ++rounds, stress_one_in(random, 2));
    pthread_t threads[READERS_MOST];
    for (uint32_t i = 0; i < round.count; i++) {
        struct reader *reader = &round.readers[i];
        *reader = (struct reader){.round = &round, .random = stress_random_stream(++streams)};
        reader->cursor = aether_cursor_open(round.feed.buffer, AETHER_FROM_OLDEST);
        stress_watch_add(&reader->watch, "reader", i);
        stress_spawn(&threads[i], read_all, reader);
    }
    write_round(&round, random);
    stress_join(threads, round.count);
    for (uint32_t i = 0; i < round.count; i++) {
        stress_watch_remove(&round.readers[i].watch);
        delivered += round.readers[i].number;
        aether_cursor_close(round.readers[i].cursor);
    }
    items += round.feed.begun;
    aether_buffer_destroy(round.feed.buffer);
}

int main(int argc, char **argv)
{
    stress_begin(argc, argv, "sleep_wake");
    struct stress_memory memory;
    stress_memory_begin(&memory);
    struct stress_random random = stress_random_stream(0);
    unsigned ways = stress_way_count();
    stress_clock_start();
    for (unsigned i = 0; !stress_over(); i++)
        if (stress_way_use(&stress_ways[i % STRESS_WAYS]))
            play(&memory, &random);
    stress_memory_expect_none(&memory);
    STRESS_EXPECT(stress_futex_waits() > 0 && delivered > 0);
    return stress_end("%u ways, %llu rounds, %llu items, %llu delivered, %llu sleeps, %llu wakes", ways,
                      (unsigned long long)rounds, (unsigned long long)items, (unsigned long long)delivered,
                      (unsigned long long)stress_futex_waits(), (unsigned long long)stress_futex_wakes());
}
