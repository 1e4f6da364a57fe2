/*
 * Random operations against the model of stress_model.h: three writers, each with a buffer of its own that it fills, ends,
 * splices to another one and replaces; four to sixteen readers that open, read in every way there is, wait, duplicate, hand
 * over, close, and make snapshots of their own; one thread that cancels. Every byte, index, place, position and status is
 * checked, and at the end all memory is back. Every fourth reader is never cancelled and has no deadline: cancels and
 * deadlines hide lost wake-ups.
 */
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "common/stress_futex.h"
#include "common/stress_memory.h"
#include "common/stress_model.h"
#include "common/stress_watch.h"

enum { WRITERS = 3, READERS_MOST = 16, SEATS = 3, RUN_MOST = 40, MAILBOX = 4 };

struct reader {
    struct stress_watch watch;
    struct stress_random random;
    struct stress_seat seats[SEATS];
    pthread_mutex_t lock;        /* for the next three */
    struct stress_seat *current; /* may be cancelled */
    struct stress_seat *waiting; /* a call on it waits for ever; it does not change meanwhile */
    bool cancelled;              /* it has been, and was not resumed */
    bool steadfast;              /* const; is never cancelled and has no deadlines */
};

struct writer {
    struct stress_random random;
    struct stress_history *history; /* lock: the table's; changed by the writer only */
};

enum operation { OPEN, READ, DUP, HAND_OVER, TAKE, SNAPSHOT, CLOSE, CANCEL, TIMEOUT, WAIT, SPLICE, CIRCLE, OPERATIONS };

static struct stress_memory memory;
static struct reader readers[READERS_MOST];
static struct writer writers[WRITERS];
static uint32_t reader_count;
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct stress_seat mailbox[MAILBOX];  /* lock: the table's */
static uint64_t done[OPERATIONS];            /* atomic */
static uint64_t items, delivered, histories; /* atomic */
static uint64_t over;                        /* atomic: the writers have ended their last buffers */

static void count(enum operation operation)
{
    stress_add(&done[operation], 1);
}

/* The buffer that writer `number` fills now, with a reference. */
static struct stress_history *history_of(uint32_t number)
{
    pthread_mutex_lock(&table_lock);
    struct stress_history *history = stress_history_retain(writers[number].history);
    pthread_mutex_unlock(&table_lock);
    return history;
}

static bool open_seat(struct stress_seat *seat, struct stress_random *random)
{
    struct stress_history *history = history_of(stress_below(random, WRITERS));
    bool opened = stress_seat_open(seat, history, stress_one_in(random, 3) ? AETHER_FROM_OLDEST : AETHER_FROM_NEXT);
    stress_history_release(history);
    if (opened)
        count(OPEN);
    return opened;
}

/* ----------------------------------------------------------------------------------------------------- reading, cancelling
 */

static bool is_due(struct stress_watch *watch)
{
    struct reader *reader = (struct reader *)(void *)watch;
    pthread_mutex_lock(&reader->lock);
    bool due = reader->waiting != NULL && (reader->cancelled || stress_seat_is_due(reader->waiting));
    pthread_mutex_unlock(&reader->lock);
    return due;
}

/* Says which seat is read, and whether a call waits. True when the seat has been cancelled already. */
static bool set_current(struct reader *reader, struct stress_seat *seat, bool waiting)
{
    pthread_mutex_lock(&reader->lock);
    reader->current = seat;
    reader->waiting = waiting ? seat : NULL;
    bool cancelled = reader->cancelled;
    pthread_mutex_unlock(&reader->lock);
    return cancelled;
}

static void resume(struct reader *reader)
{
    pthread_mutex_lock(&reader->lock);
    STRESS_EXPECT(reader->cancelled);
    STRESS_EXPECT(aether_cursor_resume(reader->current->cursor) == AETHER_OK);
    reader->cancelled = false;
    pthread_mutex_unlock(&reader->lock);
    count(CANCEL);
}

/* Leaves the current seat alone: it may be closed or handed over. */
static void let_go(struct reader *reader)
{
    pthread_mutex_lock(&reader->lock);
    bool cancelled = reader->cancelled;
    pthread_mutex_unlock(&reader->lock);
    if (cancelled && stress_one_in(&reader->random, 2))
        resume(reader);
    pthread_mutex_lock(&reader->lock);
    if (reader->cancelled)
        STRESS_EXPECT(aether_cursor_resume(reader->current->cursor) == AETHER_OK);
    reader->cancelled = false;
    reader->current = NULL;
    pthread_mutex_unlock(&reader->lock);
}

static void *cancel_some(void *argument)
{
    struct stress_random random = stress_random_stream(900);
    while (stress_get(&over) == 0) {
        struct reader *reader = &readers[stress_below(&random, reader_count)];
        stress_nap(stress_below(&random, 300000));
        pthread_mutex_lock(&reader->lock);
        if (!reader->steadfast && reader->current != NULL && !reader->cancelled) {
            reader->cancelled = true;
            aether_cursor_cancel(reader->current->cursor);
        }
        pthread_mutex_unlock(&reader->lock);
    }
    return argument;
}

static int64_t choose_timeout(struct reader *reader)
{
    if (stress_one_in(&reader->random, 2))
        return AETHER_NO_WAIT;
    if (reader->steadfast || stress_one_in(&reader->random, 2))
        return AETHER_FOREVER;
    return 1 + stress_below(&reader->random, 1000000);
}

/* One call on the seat that is current, by a random way. */
static aether_status call(struct reader *reader, const struct stress_seat *seat, aether_item *run, size_t *got,
                          int64_t timeout)
{
    *got = 1;
    if (stress_one_in(&reader->random, 3)) {
        size_t capacity = 1 + stress_below(&reader->random, RUN_MOST);
        return aether_cursor_run(seat->cursor, run, capacity, got, timeout);
    }
    if (stress_one_in(&reader->random, 2) && aether_inline_next(seat->cursor, run))
        return AETHER_OK;
    return aether_cursor_next(seat->cursor, run, timeout);
}

/* False when the stream is over. */
static bool read_once(struct reader *reader, struct stress_seat *seat)
{
    aether_item run[RUN_MOST];
    size_t got;
    int64_t timeout = choose_timeout(reader), begun = stress_now();
    bool cancelled = set_current(reader, seat, timeout == AETHER_FOREVER);
    bool due = stress_seat_is_due(seat);
    stress_watch_enter(&reader->watch, NULL, seat->number);
    aether_status status = call(reader, seat, run, &got, timeout);
    stress_watch_leave(&reader->watch);
    set_current(reader, seat, false);
    STRESS_EXPECT(!cancelled || status == AETHER_CANCELLED);
    if (timeout == AETHER_FOREVER)
        count(WAIT);
    if (status == AETHER_OK) {
        stress_seat_deliver(seat, run, got);
        stress_add(&delivered, got);
        return true;
    }
    stress_seat_check(seat);
    if (status == AETHER_CANCELLED) {
        resume(reader);
    } else if (status == AETHER_EMPTY) {
        STRESS_EXPECT(timeout == AETHER_NO_WAIT && !due);
    } else if (status == AETHER_TIMEOUT) {
        STRESS_EXPECT(timeout != AETHER_FOREVER && stress_now() >= begun + timeout && !due);
        count(TIMEOUT);
    } else {
        stress_seat_finish(seat, status);
        return false;
    }
    return true;
}

static void close_seat(struct reader *reader, struct stress_seat *seat)
{
    if (reader->current == seat)
        let_go(reader);
    stress_seat_close(seat);
    count(CLOSE);
}

static void read_some(struct reader *reader, struct stress_seat *seat)
{
    if (reader->current != seat)
        let_go(reader);
    count(READ);
    for (uint32_t left = 1 + stress_below(&reader->random, 30); left != 0; left--)
        if (!read_once(reader, seat)) {
            close_seat(reader, seat);
            return;
        }
}

/* ------------------------------------------------------------------------------------------------------- other operations
 */

static struct stress_seat *empty_seat(struct reader *reader)
{
    for (uint32_t i = 0; i < SEATS; i++)
        if (reader->seats[i].cursor == NULL)
            return &reader->seats[i];
    return NULL;
}

static void hand_over(struct reader *reader, struct stress_seat *seat)
{
    uint32_t number = stress_below(&reader->random, MAILBOX);
    if (reader->current == seat)
        let_go(reader);
    pthread_mutex_lock(&table_lock);
    if (mailbox[number].cursor == NULL) {
        mailbox[number] = *seat;
        *seat = (struct stress_seat){0};
        count(HAND_OVER);
    }
    pthread_mutex_unlock(&table_lock);
}

static void take(struct reader *reader, struct stress_seat *seat)
{
    uint32_t number = stress_below(&reader->random, MAILBOX);
    pthread_mutex_lock(&table_lock);
    if (mailbox[number].cursor != NULL) {
        *seat = mailbox[number];
        mailbox[number] = (struct stress_seat){0};
        count(TAKE);
    }
    pthread_mutex_unlock(&table_lock);
}

/* A buffer of the reader's own, spliced to where the seat stands; the seat is at the beginning of that then. */
static void snapshot(struct reader *reader, struct stress_seat *seat)
{
    struct stress_seat at = {0};
    if (reader->current == seat)
        let_go(reader);
    struct stress_history *history = stress_history_create(&memory.allocator, &reader->random);
    STRESS_EXPECT(stress_seat_open(&at, history, AETHER_FROM_OLDEST));
    for (uint32_t left = stress_below(&reader->random, 60); left != 0; left--)
        stress_history_put(history, &reader->random);
    STRESS_EXPECT(stress_seat_splice(history, seat));
    stress_history_destroy(history);
    stress_history_release(history);
    *seat = at;
    count(SNAPSHOT);
}

static void operate(struct reader *reader)
{
    struct stress_seat *seat = &reader->seats[stress_below(&reader->random, SEATS)], *empty = empty_seat(reader);
    uint32_t draw = stress_below(&reader->random, 100);
    if (seat->cursor == NULL) {
        if (draw < 20)
            take(reader, seat);
        else
            open_seat(seat, &reader->random);
    } else if (draw < 80) {
        read_some(reader, seat);
    } else if (draw < 88) {
        close_seat(reader, seat);
    } else if (draw < 92 && empty != NULL) {
        stress_seat_dup(seat, empty);
        count(DUP);
    } else if (draw < 96) {
        hand_over(reader, seat);
    } else {
        snapshot(reader, seat);
    }
}

static void *read_at_random(void *argument)
{
    struct reader *reader = argument;
    while (stress_get(&over) == 0)
        operate(reader);
    for (uint32_t i = 0; i < SEATS; i++)
        if (reader->seats[i].cursor != NULL)
            close_seat(reader, &reader->seats[i]);
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------- writing */

static void fill(struct stress_history *history, struct stress_random *random)
{
    uint32_t left = stress_below(random, stress_one_in(random, 8) ? 6000 : 300);
    for (; left != 0 && !stress_over(); left--) {
        stress_history_put(history, random);
        uint32_t draw = stress_below(random, 64);
        if (draw == 0)
            stress_nap(stress_below(random, 1000000));
        else if (draw < 8)
            sched_yield();
        else if (draw < 16)
            stress_linger(random, 3000);
    }
}

/* Goes on in `history`, or at a place in the buffer of any writer; false if nothing came of it. */
static bool splice(struct writer *writer, struct stress_history *from, struct stress_history *history)
{
    struct stress_seat seat = {0};
    struct stress_random *random = &writer->random;
    bool opened = stress_one_in(random, 2) ? stress_seat_open(&seat, history, AETHER_FROM_OLDEST) : open_seat(&seat, random);
    if (!opened)
        return false;
    bool spliced = stress_seat_splice(from, &seat);
    count(spliced ? SPLICE : CIRCLE);
    if (!spliced)
        stress_seat_close(&seat);
    return spliced;
}

/* Ends the buffer by one of the ways there are; readers open the next one from here on. */
static void replace(struct writer *writer, bool last)
{
    static const aether_status reasons[] = {AETHER_ENDED, AETHER_RESET, AETHER_FAILED, AETHER_CLOSED};
    struct stress_random *random = &writer->random;
    struct stress_history *from = writer->history;
    struct stress_history *to = last ? NULL : stress_history_create(&memory.allocator, random);
    uint32_t draw = stress_below(random, 4);
    if (to != NULL)
        for (uint32_t left = draw == 0 ? stress_below(random, 100) : 0; left != 0; left--)
            stress_history_put(to, random);
    bool spliced = !last && draw < 2 && splice(writer, from, to);
    if (!spliced && draw != 3)
        stress_history_end(from, reasons[stress_below(random, 4)]);
    if (to != NULL) {
        pthread_mutex_lock(&table_lock);
        writer->history = to;
        pthread_mutex_unlock(&table_lock);
    }
    stress_add(&items, from->begun);
    stress_add(&histories, 1);
    stress_history_destroy(from);
    if (to != NULL)
        stress_history_release(from);
}

static void *write_at_random(void *argument)
{
    struct writer *writer = argument;
    bool last;
    do {
        fill(writer->history, &writer->random);
        last = stress_over(); /* asked once: the last buffer has to end */
        replace(writer, last);
    } while (!last);
    return NULL;
}

/* -------------------------------------------------------------------------------------------------------------- running */

static void start(pthread_t *threads)
{
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i].random = stress_random_stream(100 + i);
        writers[i].history = stress_history_create(&memory.allocator, &writers[i].random);
    }
    for (uint32_t i = 0; i < WRITERS; i++)
        stress_spawn(&threads[i], write_at_random, &writers[i]);
    for (uint32_t i = 0; i < reader_count; i++) {
        struct reader *reader = &readers[i];
        reader->random = stress_random_stream(200 + i);
        reader->steadfast = i % 4 == 0;
        reader->watch.due = is_due;
        pthread_mutex_init(&reader->lock, NULL);
        stress_watch_add(&reader->watch, reader->steadfast ? "steadfast reader" : "reader", i);
        stress_spawn(&threads[WRITERS + i], read_at_random, reader);
    }
    stress_spawn(&threads[WRITERS + reader_count], cancel_some, NULL);
}

static void finish(const pthread_t *threads)
{
    stress_join(threads, WRITERS);
    stress_set(&over, 1);
    stress_join(threads + WRITERS, reader_count + 1);
    for (uint32_t i = 0; i < reader_count; i++)
        stress_watch_remove(&readers[i].watch);
    for (uint32_t i = 0; i < MAILBOX; i++)
        if (mailbox[i].cursor != NULL)
            stress_seat_close(&mailbox[i]);
    for (uint32_t i = 0; i < WRITERS; i++)
        stress_history_release(writers[i].history);
    stress_memory_expect_none(&memory);
}

int main(int argc, char **argv)
{
    static const char *const names[OPERATIONS] = {"opens",  "reads",   "dups",     "handed over", "taken",   "snapshots",
                                                  "closes", "cancels", "timeouts", "waits",       "splices", "circles"};
    stress_begin(argc, argv, "model");
    stress_memory_begin(&memory);
    struct stress_random random = stress_random_stream(0);
    const struct stress_way *way = &stress_ways[stress_below(&random, STRESS_WAYS)];
    bool same = stress_way_use(way);
    reader_count = 4 + stress_below(&random, READERS_MOST - 3);
    pthread_t threads[WRITERS + READERS_MOST + 1];
    stress_clock_start();
    start(threads);
    finish(threads);
    char text[400];
    size_t used = (size_t)snprintf(text, sizeof text, "way %s%s, %u readers, %llu buffers, %llu items, %llu delivered",
                                   way->name, same ? "" : " as far as it goes", reader_count, (unsigned long long)histories,
                                   (unsigned long long)items, (unsigned long long)delivered);
    for (uint32_t i = 0; i < OPERATIONS; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, ", %llu %s", (unsigned long long)done[i], names[i]);
    return stress_end("%s", text);
}
