/*
 * Splicing against reading and opening. One writer goes through feeds, each of which continues in the next one: it opens a
 * place there, at the oldest or the next item, splices, and gives the old feed up while readers sleep at its end, read
 * behind it, or open it at that moment. Other threads make snapshots: short feeds of their own, spliced to the live one at a
 * place that was opened first. Everybody checks that each feed is read to its end and the next one from the place of the
 * splice.
 */
#include <sched.h>

#include "common/stress_feed.h"
#include "common/stress_futex.h"
#include "common/stress_memory.h"
#include "common/stress_watch.h"

#include "buffer/cursor.h"

enum { FEEDS = 512, READERS = 2, VISITORS = 2, SNAPSHOTS = 1, LAG_MOST = 8, NOWHERE = 0 };
enum { SNAPSHOT_IDS = 1000000 }; /* ids of snapshots begin here */

/* A feed and how it continues. A slot is used again when all have left it. */
struct link {
    struct stress_feed feed;
    uint64_t first_there; /* atomic; set before the splice: where the next feed is entered */
    uint64_t spliced;     /* atomic; the splice has returned */
    uint64_t openers;     /* atomic: threads that are opening it */
    uint64_t given_up;    /* atomic: nobody begins to open it */
};

struct reader {
    struct stress_watch watch;
    struct stress_random random;
    uint64_t feed; /* atomic; the one that it reads, NOWHERE when it holds none */
    uint64_t number;
};

static struct link links[FEEDS];
static struct reader readers[READERS + VISITORS + SNAPSHOTS];
static struct stress_memory memory;
static uint64_t live;                                                   /* atomic; the id of the feed that is written now */
static uint64_t over;                                                   /* atomic */
static uint64_t crossings, sleeps_at_end, visits, snapshots, delivered; /* atomic */
static uint64_t items;

static struct link *link_of(uint64_t id)
{
    return &links[id % FEEDS];
}

/* ------------------------------------------------------------------------------------------------------------ readers */

/* Over the splice behind the feed that the reader is expected in; it has read that to its end. */
static void cross(struct reader *reader)
{
    const struct link *link = link_of(reader->feed);
    STRESS_EXPECT(link->feed.id == reader->feed);
    if (reader->number != stress_get(&link->feed.begun))
        stress_fail("feed %llu was left at item %llu, and has %llu", (unsigned long long)link->feed.id,
                    (unsigned long long)reader->number, (unsigned long long)stress_get(&link->feed.begun));
    reader->number = stress_get(&link->first_there);
    stress_set(&reader->feed, reader->feed + 1);
    stress_add(&crossings, 1);
}

static void check(struct reader *reader, const aether_cursor *cursor, const aether_item *item)
{
    uint64_t epoch = aether_cursor_position(cursor).epoch;
    STRESS_EXPECT(reader->feed <= epoch);
    while (reader->feed != epoch)
        cross(reader);
    stress_feed_check(&link_of(epoch)->feed, reader->number, item);
    reader->number++;
    stress_add(&delivered, 1);
}

/* Whether an item waits for the reader, in the feed that it is known to be in or behind splices that have returned. */
static bool is_due(struct stress_watch *watch)
{
    const struct reader *reader = (const struct reader *)(const void *)watch;
    uint64_t id = stress_get(&reader->feed), number = stress_get(&watch->mark);
    for (; id != NOWHERE; id++) {
        const struct link *link = link_of(id);
        if (stress_get(&link->feed.published) > number)
            return true;
        if (stress_get(&link->spliced) == 0)
            return false;
        number = stress_get(&link->first_there);
    }
    return false;
}

/* Follows to the very end. */
static void *follow(void *argument)
{
    struct reader *reader = argument;
    aether_cursor *cursor = aether_cursor_open(links[1].feed.buffer, AETHER_FROM_OLDEST);
    stress_set(&reader->feed, 1);
    for (;;) {
        aether_item item;
        stress_watch_enter(&reader->watch, NULL, reader->number);
        if (reader->number == stress_get(&link_of(reader->feed)->feed.published))
            stress_add(&sleeps_at_end, 1);
        aether_status status = aether_cursor_next(cursor, &item, AETHER_FOREVER);
        stress_watch_leave(&reader->watch);
        if (status != AETHER_OK) {
            STRESS_EXPECT(status == AETHER_ENDED);
            break;
        }
        check(reader, cursor, &item);
    }
    while (reader->feed != stress_get(&live))
        cross(reader);
    STRESS_EXPECT(reader->number == stress_get(&link_of(reader->feed)->feed.begun));
    stress_set(&reader->feed, NOWHERE);
    aether_cursor_close(cursor);
    return NULL;
}

/* Opens a feed that is not given up; the writer waits with giving it up until the open is over. */
static aether_cursor *open_live(struct reader *reader, aether_start start)
{
    uint64_t id = stress_take_over(&live);
    struct link *link = link_of(id);
    aether_cursor *cursor = NULL;
    __atomic_fetch_add(&link->openers, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&link->given_up, __ATOMIC_SEQ_CST) == 0 && link->feed.id == id) {
        stress_set(&reader->feed, id);
        cursor = aether_cursor_open(link->feed.buffer, start);
        STRESS_EXPECT(cursor != NULL);
    }
    __atomic_fetch_sub(&link->openers, 1, __ATOMIC_SEQ_CST);
    return cursor;
}

/* Where an open ended up: at the next item of a feed that has been spliced, that is in the one behind it. */
static void stand(struct reader *reader, const aether_cursor *cursor)
{
    aether_position position = aether_cursor_position(cursor);
    STRESS_EXPECT(position.epoch >= reader->feed && position.index == cursor->head.number);
    stress_set(&reader->feed, position.epoch);
    reader->number = cursor->head.number;
}

static void read_a_few(struct reader *reader, aether_cursor *cursor)
{
    aether_item item;
    for (uint32_t left = stress_below(&reader->random, 200); left != 0; left--) {
        if (aether_cursor_next(cursor, &item, AETHER_MICROSECONDS(200)) != AETHER_OK)
            break;
        check(reader, cursor, &item);
    }
}

static void *visit(void *argument)
{
    struct reader *reader = argument;
    while (stress_get(&over) == 0) {
        aether_cursor *cursor = open_live(reader, stress_one_in(&reader->random, 2) ? AETHER_FROM_NEXT : AETHER_FROM_OLDEST);
        if (cursor == NULL)
            continue;
        stand(reader, cursor);
        read_a_few(reader, cursor);
        aether_cursor_close(cursor);
        stress_set(&reader->feed, NOWHERE);
        stress_add(&visits, 1);
    }
    return NULL;
}

/* Reads the snapshot through one cursor while it is filled and spliced by this same thread, and then the live items. */
static void read_snapshot(struct reader *reader, const struct stress_feed *feed, aether_cursor *cursor)
{
    aether_item item;
    for (uint64_t number = 0; number < feed->begun; number++) {
        STRESS_EXPECT(aether_cursor_next(cursor, &item, AETHER_NO_WAIT) == AETHER_OK);
        stress_feed_check(feed, number, &item);
    }
    read_a_few(reader, cursor);
    aether_cursor_close(cursor);
}

static void *make_snapshots(void *argument)
{
    struct reader *reader = argument;
    uint64_t id = SNAPSHOT_IDS;
    aether_buffer_options options = stress_small_segments(&memory.allocator, 1);
    while (stress_get(&over) == 0) {
        aether_cursor *at = open_live(reader, AETHER_FROM_NEXT);
        if (at == NULL)
            continue;
        stand(reader, at);
        struct stress_feed feed;
        stress_feed_create(&feed, &options, id++, false);
        aether_cursor *cursor = aether_cursor_open(feed.buffer, AETHER_FROM_OLDEST);
        for (uint32_t left = stress_below(&reader->random, 100); left != 0; left--)
            stress_feed_put(&feed, &reader->random);
        STRESS_EXPECT(aether_buffer_splice(feed.buffer, at) == AETHER_OK);
        STRESS_EXPECT(aether_append(feed.buffer, "late", 4) == AETHER_ENDED);
        aether_buffer_destroy(feed.buffer);
        read_snapshot(reader, &feed, cursor);
        stress_set(&reader->feed, NOWHERE);
        stress_add(&snapshots, 1);
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------- writing */

/* Nobody reads in a slot that is used again soon, and nobody is far behind. */
static void await_readers(uint64_t id)
{
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) {
        uint64_t at;
        while ((at = stress_get(&readers[i].feed)) != NOWHERE && at + LAG_MOST < id)
            sched_yield();
    }
}

static void begin_feed(uint64_t id, struct stress_random *random)
{
    struct link *link = link_of(id);
    static const int32_t cached[] = {-1, 1, 4};
    aether_buffer_options options = stress_small_segments(&memory.allocator, cached[stress_below(random, 3)]);
    options.spins = options.yields = stress_one_in(random, 2) ? -1 : 0;
    stress_feed_create(&link->feed, &options, id, stress_one_in(random, 2));
    stress_set(&link->spliced, 0);
    __atomic_store_n(&link->given_up, 0, __ATOMIC_SEQ_CST);
}

static void write_some(struct stress_feed *feed, struct stress_random *random, uint32_t most)
{
    for (uint32_t left = stress_below(random, most); left != 0; left--) {
        stress_feed_put(feed, random);
        stress_linger(random, stress_one_in(random, 4) ? 1000 : 20);
    }
}

static void give_up(struct link *link)
{
    __atomic_store_n(&link->given_up, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&link->openers, __ATOMIC_SEQ_CST) != 0)
        sched_yield();
    aether_buffer_destroy(link->feed.buffer);
}

/* Continues feed id in feed id + 1, where items may stand already. */
static void go_on(uint64_t id, struct stress_random *random)
{
    struct link *from = link_of(id), *to = link_of(id + 1);
    begin_feed(id + 1, random);
    if (stress_one_in(random, 2))
        write_some(&to->feed, random, 60);
    aether_start start = stress_one_in(random, 2) ? AETHER_FROM_NEXT : AETHER_FROM_OLDEST;
    aether_cursor *at = aether_cursor_open(to->feed.buffer, start);
    stress_set(&from->first_there, at->head.number);
    if (stress_one_in(random, 2))
        write_some(&to->feed, random, 60);
    if (stress_one_in(random, 16)) /* the other way round would be a circle */
        STRESS_EXPECT(aether_buffer_splice(to->feed.buffer, at) == AETHER_CIRCLE);
    STRESS_EXPECT(aether_buffer_splice(from->feed.buffer, at) == AETHER_OK);
    stress_set(&from->spliced, 1);
    stress_linger(random, 3000);
    stress_hand_over(&live, id + 1);
    give_up(from);
    items += from->feed.begun;
}

static uint64_t write_all(struct stress_random *random)
{
    uint64_t id = 1;
    for (; !stress_over() && id < SNAPSHOT_IDS - 1; id++) {
        write_some(&link_of(id)->feed, random, stress_one_in(random, 4) ? 400 : 20);
        if (stress_one_in(random, 4))
            stress_nap(stress_below(random, 100000));
        await_readers(id);
        go_on(id, random);
    }
    return id;
}

int main(int argc, char **argv)
{
    stress_begin(argc, argv, "splice_read");
    stress_memory_begin(&memory);
    struct stress_random random = stress_random_stream(0);
    stress_way_use(&stress_ways[stress_below(&random, STRESS_WAYS)]);
    pthread_t threads[READERS + VISITORS + SNAPSHOTS];
    begin_feed(1, &random);
    stress_hand_over(&live, 1);
    for (uint32_t i = 0; i < READERS + VISITORS + SNAPSHOTS; i++) {
        readers[i].random = stress_random_stream(1 + i);
        readers[i].watch.due = is_due;
        stress_watch_add(&readers[i].watch, "reader", i);
        stress_spawn(&threads[i], i < READERS ? follow : i < READERS + VISITORS ? visit : make_snapshots, &readers[i]);
    }
    for (uint32_t i = 0; i < READERS; i++)
        while (stress_get(&readers[i].feed) == NOWHERE)
            sched_yield();
    stress_clock_start();
    uint64_t id = write_all(&random);
    stress_set(&over, 1);
    stress_join(threads + READERS, VISITORS + SNAPSHOTS);
    stress_feed_end(&link_of(id)->feed, AETHER_OK);
    stress_join(threads, READERS);
    for (uint32_t i = 0; i < READERS + VISITORS + SNAPSHOTS; i++)
        stress_watch_remove(&readers[i].watch);
    items += link_of(id)->feed.begun;
    aether_buffer_destroy(link_of(id)->feed.buffer);
    stress_memory_expect_none(&memory);
    STRESS_EXPECT(crossings > 0 && visits > 0 && snapshots > 0 && sleeps_at_end > 0);
    return stress_end("%llu feeds, %llu items, %llu delivered, %llu crossings, %llu visits, %llu snapshots, "
                      "%llu waits at the end of a feed",
                      (unsigned long long)id, (unsigned long long)items, (unsigned long long)delivered,
                      (unsigned long long)crossings, (unsigned long long)visits, (unsigned long long)snapshots,
                      (unsigned long long)sleeps_at_end);
}
