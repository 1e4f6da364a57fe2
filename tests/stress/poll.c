/*
 * A poller, or an event loop on its descriptor, against writers that append just when it falls asleep: no wake-up is lost.
 * Some cursors are cancelled, removed and added again meanwhile. In every other round nobody cancels, since that hides lost
 * wake-ups.
 */
#include <poll.h>
#include <sched.h>

#include "aether/poller.h"
#include "common/stress_feed.h"
#include "common/stress_futex.h"
#include "common/stress_memory.h"
#include "common/stress_watch.h"

enum { WRITERS_MOST = 3, EACH_MOST = 3, ITEMS_EACH = 1500, READY_MOST = 4 };

struct round;

struct seat {
    struct stress_feed *feed;
    aether_cursor *cursor; /* NULL: closed */
    uint64_t number;       /* of the next item */
    bool counts;           /* the first one of its feed: what it has read is in `seen` */
};

struct writer {
    struct round *round;
    struct stress_feed feed;
    struct stress_random random;
};

struct round {
    struct writer writers[WRITERS_MOST];
    struct seat seats[WRITERS_MOST * EACH_MOST];
    uint32_t writer_count, seat_count, open;
    bool with_fd, quiet;
    struct stress_watch watch;
    uint64_t published; /* items of all feeds that are surely there */
    uint64_t seen;      /* items that the seats which count have read; the poller's thread */
    aether_poller *poller;
};

static uint64_t rounds, items, streams, waits, cancels;

static void *write_all(void *argument)
{
    struct writer *writer = argument;
    struct round *round = writer->round;
    while (writer->feed.begun < ITEMS_EACH && !stress_over()) {
        uint64_t before = writer->feed.begun;
        uint32_t draw = stress_below(&writer->random, 16), turns = 0;
        while (draw < 12 && turns < 4096 && !stress_watch_waits_at(&round->watch, stress_get(&round->published)))
            if (++turns % 64 == 0)
                sched_yield();
        stress_linger(&writer->random, draw < 8 ? 20 : 2000);
        stress_feed_put(&writer->feed, &writer->random);
        stress_add(&round->published, writer->feed.begun - before);
        if (!round->quiet && stress_one_in(&writer->random, 64)) {
            aether_poller_cancel(round->poller);
            stress_add(&cancels, 1);
        }
    }
    stress_feed_end(&writer->feed, AETHER_OK);
    aether_poller_cancel(round->poller); /* an end is no item: the watchdog counts those only */
    return NULL;
}

/* What a seat has; false: it is over. */
static bool read_seat(struct round *round, struct seat *seat, struct stress_random *random)
{
    aether_item item;
    aether_status status;
    uint32_t most = stress_one_in(random, 4) ? 1 : UINT32_MAX;
    while (most-- != 0 && (status = aether_cursor_next(seat->cursor, &item, AETHER_NO_WAIT)) != AETHER_EMPTY) {
        if (status == AETHER_ENDED) {
            STRESS_EXPECT(seat->number == stress_get(&seat->feed->begun));
            aether_cursor_close(seat->cursor);
            seat->cursor = NULL;
            return false;
        }
        STRESS_EXPECT(status == AETHER_OK);
        stress_feed_check(seat->feed, seat->number++, &item);
        round->seen += seat->counts;
    }
    return true;
}

static aether_status wait_for_some(struct round *round, aether_ready *ready, size_t *count)
{
    if (!round->with_fd)
        return aether_poller_wait(round->poller, ready, READY_MOST, count, AETHER_FOREVER);
    aether_status status;
    while ((status = aether_poller_wait(round->poller, ready, READY_MOST, count, AETHER_NO_WAIT)) == AETHER_EMPTY) {
        struct pollfd fd = {aether_poller_fd(round->poller), POLLIN, 0};
        STRESS_EXPECT(fd.fd >= 0);
        poll(&fd, 1, -1);
    }
    return status;
}

static void poll_all(struct round *round, struct stress_random *random)
{
    while (round->open != 0) {
        aether_ready ready[READY_MOST];
        size_t count;
        stress_watch_enter(&round->watch, &round->published, round->seen);
        aether_status status = wait_for_some(round, ready, &count);
        stress_watch_leave(&round->watch);
        waits++;
        if (status == AETHER_CANCELLED)
            STRESS_EXPECT(aether_poller_resume(round->poller) == AETHER_OK);
        else
            STRESS_EXPECT(status == AETHER_OK && count > 0);
        for (size_t i = 0; status == AETHER_OK && i < count; i++) {
            struct seat *seat = ready[i].user;
            STRESS_EXPECT(seat->cursor == ready[i].cursor);
            if (!read_seat(round, seat, random)) {
                round->open--;
            } else if (stress_one_in(random, 32)) {
                STRESS_EXPECT(aether_poller_remove(round->poller, seat->cursor) == AETHER_OK);
                STRESS_EXPECT(aether_poller_add(round->poller, seat->cursor, seat) == AETHER_OK);
            }
        }
    }
}

static void take_seats(struct round *round, struct stress_random *random)
{
    for (uint32_t i = 0; i < round->writer_count; i++)
        for (uint32_t k = 0, each = 1 + stress_below(random, EACH_MOST); k < each; k++) {
            struct seat *seat = &round->seats[round->seat_count++];
            *seat = (struct seat){.feed = &round->writers[i].feed, .counts = k == 0};
            seat->cursor = aether_cursor_open(round->writers[i].feed.buffer, AETHER_FROM_OLDEST);
            STRESS_EXPECT(seat->cursor != NULL && aether_poller_add(round->poller, seat->cursor, seat) == AETHER_OK);
        }
    round->open = round->seat_count;
}

static void play(struct stress_memory *memory, struct stress_random *random)
{
    struct round round = {.writer_count = 1 + stress_below(random, WRITERS_MOST),
                          .with_fd = stress_one_in(random, 2),
                          .quiet = ++rounds % 2 == 0};
    aether_buffer_options options = stress_small_segments(&memory->allocator, 0);
    round.poller = aether_poller_create(&memory->allocator);
    STRESS_EXPECT(round.poller != NULL);
    for (uint32_t i = 0; i < round.writer_count; i++) {
        round.writers[i].round = &round;
        round.writers[i].random = stress_random_stream(++streams);
        stress_feed_create(&round.writers[i].feed, &options, ++streams, stress_one_in(random, 2));
    }
    take_seats(&round, random);
    stress_watch_add(&round.watch, "poller", 0);
    pthread_t threads[WRITERS_MOST];
    for (uint32_t i = 0; i < round.writer_count; i++)
        stress_spawn(&threads[i], write_all, &round.writers[i]);
    poll_all(&round, random);
    stress_join(threads, round.writer_count);
    stress_watch_remove(&round.watch);
    aether_poller_destroy(round.poller);
    for (uint32_t i = 0; i < round.writer_count; i++) {
        items += round.writers[i].feed.begun;
        aether_buffer_destroy(round.writers[i].feed.buffer);
    }
}

int main(int argc, char **argv)
{
    stress_begin(argc, argv, "poll");
    struct stress_memory memory;
    stress_memory_begin(&memory);
    struct stress_random random = stress_random_stream(0);
    unsigned ways = stress_way_count();
    stress_clock_start();
    for (unsigned i = 0; !stress_over(); i++)
        if (stress_way_use(&stress_ways[i % STRESS_WAYS]))
            play(&memory, &random);
    stress_memory_expect_none(&memory);
    STRESS_EXPECT(items > 0 && waits > 0);
    return stress_end("%u ways, %llu rounds, %llu items, %llu waits, %llu cancels", ways, (unsigned long long)rounds,
                      (unsigned long long)items, (unsigned long long)waits, (unsigned long long)cancels);
}
