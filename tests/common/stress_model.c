#include "common/stress_model.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "common/stress_feed.h"

enum { BATCH_MOST = 24, LARGE = 100 * 1000, CHAIN_MOST = 64 };

static uint64_t key_of(const struct stress_history *history, uint64_t number)
{
    return history->id << 32 ^ number;
}

static void lock(struct stress_history *history)
{
    pthread_mutex_lock(&history->lock);
}

static void unlock(struct stress_history *history)
{
    pthread_mutex_unlock(&history->lock);
}

/* ---------------------------------------------------------------------------------------------------------- histories */

struct stress_history *stress_history_create(const aether_allocator *allocator, struct stress_random *random)
{
    static uint64_t ids;
    static const uint32_t sizes[] = {1024, 1024, 4096, 65536};
    static const int32_t cached[] = {-1, 1, 0}, spins[] = {-1, -1, 0};
    struct stress_history *history = calloc(1, sizeof *history);
    STRESS_EXPECT(history != NULL);
    history->id = 1 + stress_add(&ids, 1);
    history->base = stress_one_in(random, 2) ? 0 : stress_below(random, 1000000);
    history->references = 1;
    pthread_mutex_init(&history->lock, NULL);
    aether_buffer_options options = {.allocator = allocator, .epoch = history->id, .newest_index = history->base};
    options.segment_bytes = sizes[stress_below(random, 4)];
    options.cached_segments = cached[stress_below(random, 3)];
    options.spins = options.yields = spins[stress_below(random, 3)];
    history->buffer = aether_buffer_create(&options);
    STRESS_EXPECT(history->buffer != NULL);
    stress_allow_inline(history->buffer);
    return history;
}

struct stress_history *stress_history_retain(struct stress_history *history)
{
    stress_add(&history->references, 1);
    return history;
}

void stress_history_release(struct stress_history *history)
{
    while (history != NULL && __atomic_fetch_sub(&history->references, 1, __ATOMIC_ACQ_REL) == 1) {
        struct stress_history *next = history->next;
        pthread_mutex_destroy(&history->lock);
        free(history->entries);
        free(history);
        history = next;
    }
}

/* ------------------------------------------------------------------------------------------------------------ writing */

/* An item of the model; its index is returned as an append takes it: 0 for the next one. */
static uint64_t add_entry(struct stress_history *history, struct stress_random *random, uint32_t batch_left)
{
    if (history->begun == history->room) {
        history->room = history->room * 2 + 64;
        history->entries = realloc(history->entries, history->room * sizeof *history->entries);
        STRESS_EXPECT(history->entries != NULL);
    }
    uint64_t newest = history->begun != 0 ? history->entries[history->begun - 1].index : history->base;
    uint64_t index = newest + 1 + (stress_one_in(random, 40) ? stress_below(random, 1000) : 0);
    uint32_t size = stress_below(random, stress_one_in(random, 4) ? STRESS_ITEM_MOST + 1 : 32);
    if (batch_left == 0 && stress_one_in(random, 2000))
        size = stress_below(random, LARGE);
    history->entries[history->begun++] = (struct stress_entry){index, size, batch_left};
    return index != newest + 1 || stress_one_in(random, 50) ? index : 0;
}

static aether_status append(const struct stress_history *history, const aether_payload *payloads, uint32_t count,
                            uint32_t way)
{
    const aether_payload *first = payloads;
    if (count != 1 || way == 0)
        return aether_append_batch(history->buffer, payloads, count);
    if (first->index != 0)
        return aether_append_at(history->buffer, first->index, first->data, first->size);
    if (way == 1)
        return aether_append(history->buffer, first->data, first->size);
    return aether_inline_append(history->buffer, first->data, first->size);
}

void stress_history_put(struct stress_history *history, struct stress_random *random)
{
    static _Thread_local unsigned char bytes[LARGE + BATCH_MOST * STRESS_ITEM_MOST];
    aether_payload payloads[BATCH_MOST];
    uint32_t count = stress_one_in(random, 8) ? 1 + stress_below(random, BATCH_MOST) : 1;
    unsigned char *at = bytes;
    lock(history);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t number = history->begun, index = add_entry(history, random, count - 1 - i);
        uint32_t size = history->entries[number].size;
        stress_item_fill(at, size, key_of(history, number));
        payloads[i] = (aether_payload){.data = at, .size = size, .index = index};
        at += size;
    }
    unlock(history);
    if (append(history, payloads, count, stress_below(random, 4)) != AETHER_OK)
        stress_fail("append: %s", aether_error());
    lock(history);
    history->published = history->begun;
    unlock(history);
}

static void begin_end(struct stress_history *history, aether_status reason)
{
    lock(history);
    STRESS_EXPECT(!history->ending);
    history->ending = true;
    history->reason = reason;
    unlock(history);
}

static void set_ended(struct stress_history *history)
{
    lock(history);
    history->ended = true;
    unlock(history);
}

void stress_history_end(struct stress_history *history, aether_status reason)
{
    begin_end(history, reason);
    STRESS_EXPECT(aether_buffer_end(history->buffer, reason) == AETHER_OK);
    STRESS_EXPECT(aether_append(history->buffer, "late", 4) == AETHER_ENDED);
    set_ended(history);
}

void stress_history_destroy(struct stress_history *history)
{
    lock(history);
    history->given_up = true;
    bool ending = history->ending;
    while (history->openers != 0) {
        unlock(history);
        sched_yield();
        lock(history);
    }
    unlock(history);
    if (!ending)
        begin_end(history, AETHER_CLOSED);
    aether_buffer_destroy(history->buffer);
    set_ended(history);
}

/* --------------------------------------------------------------------------------------------------------------- seats */

/* Puts the seat into the next history, if the one it is in may be left: it ends there, and was read to its end. */
static void cross(struct stress_seat *seat)
{
    struct stress_history *from = seat->history;
    lock(from);
    struct stress_history *next = from->next;
    if (!from->ending || next == NULL || seat->number != from->begun)
        stress_fail("history %llu was left at item %llu of %llu%s", (unsigned long long)from->id,
                    (unsigned long long)seat->number, (unsigned long long)from->begun,
                    next == NULL ? ", and is not spliced" : "");
    seat->number = seat->sure = from->next_number;
    unlock(from);
    seat->history = stress_history_retain(next);
    stress_history_release(from);
}

static void follow(struct stress_seat *seat, uint64_t epoch)
{
    for (uint32_t steps = 0; seat->history->id != epoch; steps++) {
        STRESS_EXPECT(steps < 100000);
        cross(seat);
    }
}

void stress_seat_check(struct stress_seat *seat)
{
    follow(seat, seat->cursor->segment->owner->epoch);
    if (seat->number != seat->cursor->head.number)
        stress_fail("history %llu: a cursor stands at item %llu and has delivered up to %llu",
                    (unsigned long long)seat->history->id, (unsigned long long)seat->cursor->head.number,
                    (unsigned long long)seat->number);
}

bool stress_seat_is_due(const struct stress_seat *seat)
{
    struct stress_history *history = seat->history;
    uint64_t number = seat->number;
    if (number < seat->sure)
        return true;
    for (;;) {
        lock(history);
        bool due = history->published > number || (history->ended && history->next == NULL);
        bool on = history->ended && history->next != NULL;
        struct stress_history *next = history->next;
        number = history->next_number;
        unlock(history);
        if (due || !on)
            return due;
        history = next; /* held by the one before it */
    }
}

void stress_seat_deliver(struct stress_seat *seat, const aether_item *items, size_t count)
{
    uint64_t epoch = seat->cursor->segment->owner->epoch;
    follow(seat, epoch);
    struct stress_history *history = seat->history;
    for (size_t i = 0; i < count; i++, seat->number++) {
        if (!stress_item_matches(items[i].data, items[i].size, key_of(history, seat->number)))
            stress_fail("history %llu: the %zu bytes of item %llu are wrong", (unsigned long long)epoch, items[i].size,
                        (unsigned long long)seat->number);
        lock(history);
        STRESS_EXPECT(seat->number < history->begun);
        struct stress_entry entry = history->entries[seat->number];
        unlock(history);
        if (entry.index != items[i].index || entry.size != items[i].size)
            stress_fail("history %llu: item %llu is (%llu, %u bytes), delivered was (%llu, %zu bytes)",
                        (unsigned long long)epoch, (unsigned long long)seat->number, (unsigned long long)entry.index,
                        entry.size, (unsigned long long)items[i].index, items[i].size);
        seat->sure = seat->number + 1 + entry.batch_left;
    }
    aether_position position = aether_cursor_position(seat->cursor);
    STRESS_EXPECT(position.epoch == epoch && position.index == items[count - 1].index);
    stress_seat_check(seat);
}

void stress_seat_finish(struct stress_seat *seat, aether_status status)
{
    stress_seat_check(seat);
    struct stress_history *history = seat->history;
    lock(history);
    bool right = history->ending && history->next == NULL && history->reason == status && seat->number == history->begun;
    unlock(history);
    if (!right)
        stress_fail("history %llu: a cursor at item %llu got: %s", (unsigned long long)history->id,
                    (unsigned long long)seat->number, aether_status_text(status));
    aether_item item;
    aether_status again = aether_cursor_next(seat->cursor, &item, AETHER_FOREVER);
    STRESS_EXPECT(again == status || again == AETHER_CANCELLED); /* somebody may cancel it meanwhile */
}

/* ------------------------------------------------------------------------------------------------------------- opening */

/* What is known before an open: the histories that follow each other by splices that have returned, and what they hold. */
struct known {
    struct stress_history *last;
    uint64_t published;
};

static struct known know(struct stress_history *history)
{
    for (;;) {
        lock(history);
        struct stress_history *next = history->ended ? history->next : NULL;
        uint64_t published = history->published;
        unlock(history);
        if (next == NULL)
            return (struct known){history, published};
        history = next;
    }
}

/* The place is within [published before the call, begun after it], in `known` or behind splices that came meanwhile. */
static void check_next(struct stress_seat *seat, struct known known, uint64_t epoch, uint64_t place)
{
    struct stress_history *history = known.last;
    uint64_t least = known.published;
    for (uint32_t steps = 0; history->id != epoch; steps++) {
        lock(history);
        struct stress_history *next = history->ending ? history->next : NULL;
        least = history->next_number;
        unlock(history);
        if (next == NULL || steps > CHAIN_MOST)
            stress_fail("a cursor from next opened in history %llu, not in %llu or behind it", (unsigned long long)epoch,
                        (unsigned long long)known.last->id);
        history = next;
    }
    lock(history);
    uint64_t begun = history->begun;
    unlock(history);
    if (place < least || place > begun)
        stress_fail("history %llu: a cursor from next opened at %llu, outside of [%llu, %llu]", (unsigned long long)epoch,
                    (unsigned long long)place, (unsigned long long)least, (unsigned long long)begun);
    struct stress_history *before = seat->history;
    seat->history = stress_history_retain(history);
    stress_history_release(before);
}

static void check_oldest(struct stress_history *history, uint64_t epoch, uint64_t place, uint64_t least)
{
    lock(history);
    if (epoch != history->id || place < least || place > history->begun)
        stress_fail("history %llu: a cursor from oldest opened at %llu of history %llu, outside of [%llu, %llu]",
                    (unsigned long long)history->id, (unsigned long long)place, (unsigned long long)epoch,
                    (unsigned long long)least, (unsigned long long)history->begun);
    if (place > history->oldest)
        history->oldest = place;
    unlock(history);
}

static bool begin_open(struct stress_history *history, uint64_t *oldest)
{
    lock(history);
    bool open = !history->given_up;
    history->openers += open;
    *oldest = history->oldest;
    unlock(history);
    return open;
}

static void end_open(struct stress_history *history)
{
    lock(history);
    history->openers--;
    unlock(history);
}

/* The position is that of the item before the place. */
static void check_position(struct stress_seat *seat)
{
    struct stress_history *history = seat->history;
    aether_position position = aether_cursor_position(seat->cursor);
    lock(history);
    uint64_t index = seat->number == 0 ? history->base : history->entries[seat->number - 1].index;
    unlock(history);
    if (position.epoch != history->id || position.index != index)
        stress_fail("history %llu: a cursor opened at item %llu says index %llu, not %llu", (unsigned long long)history->id,
                    (unsigned long long)seat->number, (unsigned long long)position.index, (unsigned long long)index);
}

bool stress_seat_open(struct stress_seat *seat, struct stress_history *history, aether_start start)
{
    uint64_t oldest;
    if (!begin_open(history, &oldest))
        return false;
    struct known known = know(history);
    aether_cursor *cursor = aether_cursor_open(history->buffer, start);
    end_open(history);
    STRESS_EXPECT(cursor != NULL);
    uint64_t epoch = cursor->segment->owner->epoch, place = cursor->head.number;
    *seat = (struct stress_seat){cursor, stress_history_retain(history), place, place};
    if (start == AETHER_FROM_NEXT)
        check_next(seat, known, epoch, place);
    else
        check_oldest(history, epoch, place, oldest);
    check_position(seat);
    return true;
}

void stress_seat_close(struct stress_seat *seat)
{
    stress_seat_check(seat);
    aether_cursor_close(seat->cursor);
    stress_history_release(seat->history);
    *seat = (struct stress_seat){0};
}

void stress_seat_dup(struct stress_seat *seat, struct stress_seat *twin)
{
    *twin = *seat;
    twin->cursor = aether_cursor_dup(seat->cursor);
    STRESS_EXPECT(twin->cursor != NULL);
    stress_history_retain(twin->history);
    aether_position one = aether_cursor_position(seat->cursor), other = aether_cursor_position(twin->cursor);
    STRESS_EXPECT(one.epoch == other.epoch && one.index == other.index);
    stress_seat_check(twin);
}

/* Whether the way from `from` on, begun splices included, leads to `to`. */
static bool leads_to(struct stress_history *from, const struct stress_history *to)
{
    stress_history_retain(from);
    while (from != NULL && from != to) {
        lock(from);
        struct stress_history *next = from->next != NULL ? stress_history_retain(from->next) : NULL;
        unlock(from);
        stress_history_release(from);
        from = next;
    }
    stress_history_release(from);
    return from != NULL;
}

bool stress_seat_splice(struct stress_history *history, struct stress_seat *seat)
{
    stress_seat_check(seat);
    lock(history);
    STRESS_EXPECT(!history->ending);
    history->ending = true;
    history->next = stress_history_retain(seat->history);
    history->next_number = seat->number;
    unlock(history);
    aether_status status = aether_buffer_splice(history->buffer, seat->cursor);
    if (status == AETHER_OK) {
        set_ended(history);
        stress_history_release(seat->history);
        *seat = (struct stress_seat){0};
        return true;
    }
    STRESS_EXPECT(status == AETHER_CIRCLE && leads_to(seat->history, history));
    lock(history);
    history->ending = false;
    history->next = NULL;
    unlock(history);
    stress_history_release(seat->history); /* NOLINT: the analyzer does not count references, the seat has its own */
    return false;
}
