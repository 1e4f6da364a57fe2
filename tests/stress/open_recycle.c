/*
 * Opening against recycling: the writer runs at full speed through segments of 1 KiB, of which it keeps none (memory goes
 * back to the allocator), one, or four. Openers come from everywhere and check
 *      - that each place lies within [published before the call, begun before it returned], and that nothing before it is
 *        published later: a follower, opened earlier, finds every item before the place without waiting;
 *      - that neither the next place nor the oldest one ever goes back;
 *      - every byte that they read from there on, across the segments that the writer recycles behind them;
 *      - what the writer did before it appended the items before a place, in plain memory of the program's own.
 */
#include <sched.h>

#include "common/stress_feed.h"
#include "common/stress_memory.h"

#include "buffer/cursor.h"

enum { OPENERS = 3, ROUND_NS = 100 * 1000 * 1000, LAG_MOST = 3000, RUN_MOST = 32, NOBODY_LAGS = 0, KINDS = 3 };
enum { DIARY_MOST = 1 << 20 };

struct opener {
    struct round *round;
    struct stress_random random;
    uint64_t next, oldest; /* the last places of either kind */
    uint64_t lags_from;    /* atomic; 1 + the place that it holds for long, or NOBODY_LAGS */
    unsigned char apart[STRESS_APART];
};

struct round {
    struct stress_feed feed;
    struct opener openers[OPENERS];
    struct stress_memory *memory;
    int64_t end;     /* const */
    uint64_t over;   /* atomic */
    bool touch_only; /* const */
};

static uint64_t opens, followed, delivered; /* atomic */
static uint64_t items, rounds;

/* --------------------------------------------------------------------------------------------------------- the diary */

/* What the writer notes before it appends an item: a plain word for each, so that the sanitizer sees what orders it. */
static uint64_t diary[DIARY_MOST];

static uint64_t note_of(const struct stress_feed *feed, uint64_t number)
{
    return feed->id << 40 | number;
}

/* Of all items that the next append may bring; nobody looks at those yet. */
static void write_diary(const struct stress_feed *feed)
{
    for (uint64_t number = feed->begun; number < feed->begun + STRESS_BATCH_MOST && number < DIARY_MOST; number++)
        diary[number] = note_of(feed, number);
}

static void check_diary(const struct stress_feed *feed, uint64_t place)
{
    if (place != 0 && place <= DIARY_MOST)
        STRESS_EXPECT(diary[place - 1] == note_of(feed, place - 1));
}

/* ----------------------------------------------------------------------------------------------------------- reading */

static uint64_t place_of(const aether_cursor *cursor)
{
    return cursor->head.number;
}

/* Reads one item or a run without waiting; false when nothing is there. */
static bool read_some(struct opener *opener, aether_cursor *cursor)
{
    const struct stress_feed *feed = &opener->round->feed;
    uint64_t number = place_of(cursor);
    aether_item run[RUN_MOST];
    size_t count = 1;
    uint32_t way = stress_below(&opener->random, 4);
    if (way == 0 && aether_inline_next(cursor, run)) {
        stress_feed_check(feed, number, run);
    } else {
        aether_status status = way == 1 ? aether_cursor_run(cursor, run, RUN_MOST, &count, AETHER_NO_WAIT)
                                        : aether_cursor_next(cursor, run, AETHER_NO_WAIT);
        if (status == AETHER_EMPTY)
            return false;
        STRESS_EXPECT(status == AETHER_OK);
        for (size_t i = 0; i < count; i++)
            stress_feed_check(feed, number + i, &run[i]);
    }
    STRESS_EXPECT(place_of(cursor) == number + count);
    stress_add(&delivered, count);
    return true;
}

/* ----------------------------------------------------------------------------------------------------------- opening */

static aether_cursor *open_checked(struct opener *opener, aether_start start)
{
    const struct stress_feed *feed = &opener->round->feed;
    uint64_t before = stress_get(&feed->published), *last = start == AETHER_FROM_NEXT ? &opener->next : &opener->oldest;
    AE_LIGHT_BARRIER();
    aether_cursor *cursor = aether_cursor_open(feed->buffer, start);
    AE_LIGHT_BARRIER();
    uint64_t after = stress_get(&feed->begun);
    STRESS_EXPECT(cursor != NULL);
    uint64_t place = place_of(cursor), least = start == AETHER_FROM_NEXT && before > *last ? before : *last;
    if (place < least || place > after)
        stress_fail("a cursor from %s opened at %llu, outside of [%llu, %llu]",
                    start == AETHER_FROM_NEXT ? "next" : "oldest", (unsigned long long)place, (unsigned long long)least,
                    (unsigned long long)after);
    *last = place;
    check_diary(feed, place);
    aether_position position = aether_cursor_position(cursor);
    STRESS_EXPECT(position.epoch == feed->id && position.index == place);
    stress_add(&opens, 1);
    return cursor;
}

static void look_at_figures(const struct stress_feed *feed)
{
    aether_buffer_stats stats;
    uint64_t before = stress_get(&feed->published);
    AE_LIGHT_BARRIER();
    aether_position newest = aether_buffer_newest(feed->buffer);
    STRESS_EXPECT(aether_buffer_get_stats(feed->buffer, &stats) == AETHER_OK);
    AE_LIGHT_BARRIER();
    uint64_t after = stress_get(&feed->begun);
    STRESS_EXPECT(newest.epoch == feed->id && before <= newest.index && newest.index <= after);
    STRESS_EXPECT(before <= stats.items && stats.items <= after && stats.retained_items <= stats.items);
}

/* Opens and closes only: nothing holds segments back, so they are recycled as fast as can be. */
static void touch(struct opener *opener)
{
    for (uint32_t i = 0; i < 200; i++)
        aether_cursor_close(open_checked(opener, stress_one_in(&opener->random, 3) ? AETHER_FROM_OLDEST : AETHER_FROM_NEXT));
}

/* Many short visits. */
static void visit(struct opener *opener)
{
    for (uint32_t i = 0; i < 100; i++) {
        aether_cursor *cursor =
            open_checked(opener, stress_one_in(&opener->random, 3) ? AETHER_FROM_OLDEST : AETHER_FROM_NEXT);
        for (uint32_t left = stress_below(&opener->random, stress_one_in(&opener->random, 8) ? 100 : 4); left != 0; left--)
            if (!read_some(opener, cursor))
                break;
        aether_cursor_close(cursor);
    }
    look_at_figures(&opener->round->feed);
}

/* What was published before a place is there for one who has followed from earlier on. */
static void follow(struct opener *opener)
{
    aether_cursor *follower = open_checked(opener, AETHER_FROM_NEXT);
    for (uint32_t i = 0; i < 50; i++) {
        stress_set(&opener->lags_from, 1 + place_of(follower));
        aether_cursor *cursor = open_checked(opener, AETHER_FROM_NEXT);
        uint64_t place = place_of(cursor);
        while (place_of(follower) < place)
            if (!read_some(opener, follower))
                stress_fail("a cursor opened at %llu, and item %llu was not published yet", (unsigned long long)place,
                            (unsigned long long)place_of(follower));
        stress_add(&followed, 1);
        aether_cursor_close(cursor);
    }
    stress_set(&opener->lags_from, NOBODY_LAGS);
    aether_cursor_close(follower);
}

/* Holds a chain for a while, then reads it or drops it at once. */
static void lag(struct opener *opener)
{
    aether_cursor *cursor = open_checked(opener, AETHER_FROM_OLDEST);
    stress_set(&opener->lags_from, 1 + place_of(cursor));
    stress_nap(stress_below(&opener->random, 500000));
    stress_set(&opener->lags_from, NOBODY_LAGS);
    if (stress_one_in(&opener->random, 2))
        for (uint32_t left = LAG_MOST; left != 0 && read_some(opener, cursor); left--)
            ;
    aether_cursor_close(cursor);
}

static void *open_and_read(void *argument)
{
    struct opener *opener = argument;
    while (stress_get(&opener->round->over) == 0) {
        uint32_t draw = stress_below(&opener->random, 8);
        if (opener->round->touch_only)
            touch(opener);
        else if (draw < 5)
            visit(opener);
        else if (draw < 7)
            follow(opener);
        else
            lag(opener);
    }
    return NULL;
}

/* ----------------------------------------------------------------------------------------------------------- writing */

static void await_laggards(const struct round *round)
{
    for (uint32_t i = 0; i < OPENERS; i++) {
        uint64_t from;
        while ((from = stress_get(&round->openers[i].lags_from)) != NOBODY_LAGS && from + LAG_MOST < round->feed.begun)
            sched_yield();
    }
    while (stress_get(&round->memory->bytes) > 64 << 20)
        sched_yield(); /* grace periods take their time */
}

static void play(struct stress_memory *memory, struct stress_random *random, int32_t cached)
{
    static uint64_t streams;
    static struct round round;
    round = (struct round){.memory = memory, .touch_only = stress_one_in(random, 3), .end = stress_now() + ROUND_NS};
    aether_buffer_options options = stress_small_segments(&memory->allocator, cached);
    stress_feed_create(&round.feed, &options, ++rounds, stress_one_in(random, 2));
    if (stress_one_in(random, 2))
        stress_feed_go_inline(&round.feed);
    pthread_t threads[OPENERS];
    for (uint32_t i = 0; i < OPENERS; i++) {
        round.openers[i] = (struct opener){.round = &round, .random = stress_random_stream(++streams)};
        stress_spawn(&threads[i], open_and_read, &round.openers[i]);
    }
    while (stress_now() < round.end && !stress_over()) {
        for (uint32_t burst = stress_below(random, 200); burst != 0; burst--) {
            write_diary(&round.feed);
            stress_feed_put(&round.feed, random);
        }
        if (stress_one_in(random, 8))
            stress_linger(random, 2000);
        await_laggards(&round);
    }
    stress_set(&round.over, 1);
    stress_join(threads, OPENERS);
    items += round.feed.begun;
    aether_buffer_destroy(round.feed.buffer);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int32_t cached;
    } kinds[KINDS] = {{"cached_none", -1}, {"cached_one", 1}, {"cached_four", 4}};
    stress_begin(argc, argv, "open_recycle");
    struct stress_memory memory;
    stress_memory_begin(&memory);
    struct stress_random random = stress_random_stream(0);
    stress_clock_start();
    for (unsigned i = 0; !stress_over(); i++)
        if (stress_wants(kinds[i % KINDS].name))
            play(&memory, &random, kinds[i % KINDS].cached);
    stress_memory_expect_none(&memory);
    STRESS_EXPECT(opens > 0 && followed > 0 && delivered > 0);
    return stress_end("%llu rounds, %llu items, %llu opens, %llu of them followed, %llu delivered, %llu allocations",
                      (unsigned long long)rounds, (unsigned long long)items, (unsigned long long)opens,
                      (unsigned long long)followed, (unsigned long long)delivered,
                      (unsigned long long)stress_get(&memory.allocations));
}
