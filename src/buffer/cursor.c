/*
 * Readers: opening, following, leaving.
 *
 * A cursor stands at a slot. With no word there, nothing is published yet; a word is an item, the way on (ROLL), or the end
 * (FINAL), which is where the cursor stays. Crossing a ROLL counts in the next segment first, which the link keeps alive
 * as long as the cursor is counted before it, and drops the old one last.
 */
#include "buffer/cursor.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/fail.h"
#include "base/futex.h"
#include "buffer/gate.h"

/* -------------------------------------------------------------------------------------------------- opening, closing */

aether_status ae_cursor_refuse(const struct aether_cursor *cursor, const char *call)
{
    if (cursor == NULL)
        return ae_fail(AETHER_INVALID, "%s: the cursor is NULL", call);
    if (cursor->generation != ae_fork_generation)
        return ae_fail(AETHER_FORKED, "%s: the cursor was opened before fork()", call);
    return AETHER_OK;
}

static void count_cursor(struct segment *segment, uint32_t change)
{
    AE_ADD(R1_COUNT, &segment->owner->cursors, change, relaxed); /* R1: a figure */
}

/* Takes the count that the place holds over. */
static void stand(struct aether_cursor *cursor, const struct place *place)
{
    cursor->segment = place->segment;
    cursor->head.at = place->at;
    cursor->head.number = place->number;
    cursor->head.index_base = place->segment->index_base;
    cursor->last_number = place->number;
    cursor->last_index = place->index;
    cursor->last_epoch = place->segment->owner->epoch;
    count_cursor(place->segment, 1);
}

static struct place find_oldest(struct aether_buffer *buffer)
{
    struct segment *segment = ae_buffer_grab_held(&buffer->oldest);
    return (struct place){segment, segment->memory, segment->first, segment->index_base + segment->first - 1};
}

static struct place find_next(struct aether_buffer *buffer)
{
    struct place place = {.segment = ae_buffer_grab_held(&buffer->current)};
    ae_buffer_find_end(&place, false);
    return place;
}

static struct aether_cursor *allocate(const aether_allocator *allocator, const char *call)
{
    struct aether_cursor *cursor = ae_alloc(allocator, sizeof *cursor, AE_CURSOR_ALIGN);
    if (cursor == NULL) {
        (void)ae_fail(AETHER_NO_MEMORY, "%s: no memory for a cursor", call);
        return NULL;
    }
    cursor->head.state = 0;
    cursor->head.inside = 0;
    cursor->asleep_at = NULL;
    cursor->allocator = *allocator;
    cursor->generation = ae_fork_generation;
    return cursor; /* the rest is set by whoever gives it a place */
}

aether_cursor *aether_cursor_open(aether_buffer *buffer, aether_start start)
{
    static const char call[] = "aether_cursor_open";
    if (ae_buffer_refuse(buffer, call) != AETHER_OK)
        return NULL;
    if (start != AETHER_FROM_NEXT && start != AETHER_FROM_OLDEST) {
        (void)ae_fail(AETHER_INVALID, "%s: there is no start %d", call, start);
        return NULL;
    }
    struct aether_cursor *cursor = allocate(&buffer->allocator, call);
    if (cursor == NULL)
        return NULL;
    struct place place = start == AETHER_FROM_OLDEST ? find_oldest(buffer) : find_next(buffer);
    cursor->spins = buffer->spins;
    cursor->patience = buffer->spins;
    cursor->yields = buffer->yields;
    stand(cursor, &place);
    return cursor;
}

aether_cursor *aether_cursor_dup(aether_cursor *cursor)
{
    static const char call[] = "aether_cursor_dup";
    if (ae_cursor_refuse(cursor, call) != AETHER_OK)
        return NULL;
    struct aether_cursor *twin = allocate(&cursor->allocator, call);
    if (twin == NULL)
        return NULL;
    ae_chain_hold(cursor->segment);
    count_cursor(cursor->segment, 1);
    twin->head.at = cursor->head.at; /* not the state: somebody may be changing that */
    twin->head.number = cursor->head.number;
    twin->head.index_base = cursor->head.index_base;
    twin->segment = cursor->segment;
    twin->last_number = cursor->last_number;
    twin->last_index = cursor->last_index;
    twin->last_epoch = cursor->last_epoch;
    twin->spins = cursor->spins;
    twin->patience = cursor->patience;
    twin->yields = cursor->yields;
    return twin;
}

void ae_cursor_free(struct aether_cursor *cursor)
{
    aether_allocator allocator = cursor->allocator;
    ae_free(&allocator, cursor, sizeof *cursor, AE_CURSOR_ALIGN);
}

/* Tells a reader that is inside a call, and waits until it has left: by itself, or because it saw that it is closed. */
static void turn_out(struct aether_cursor *cursor)
{
    ae_gate_tell(cursor, AE_STATE_CLOSED);
    /* E12: pairs with E12_LEAVE. */
    while (AE_LOAD(E12_INSIDE, &cursor->head.inside, acquire) != 0) {
        /* E12: pairs with E12_HANDOVER. */
        uint32_t state = AE_LOAD(E10_STATE, &cursor->head.state, acquire);
        if (state & AE_STATE_LEFT)
            return;
        ae_futex.wait(&cursor->head.state, state, ae_deadline(AETHER_MILLISECONDS(1)), AE_FUTEX_ALL);
    }
}

void aether_cursor_close(aether_cursor *cursor)
{
    if (cursor == NULL || cursor->generation != ae_fork_generation)
        return;
    /* E12: pairs with E12_LEAVE: a call that has left is done with the cursor. */
    if (AE_UNLIKELY(AE_LOAD(E12_INSIDE, &cursor->head.inside, acquire) != 0))
        turn_out(cursor);
    struct segment *segment = cursor->segment;
    ae_cursor_free(cursor);
    count_cursor(segment, UINT32_MAX); /* minus one */
    ae_chain_drop(segment);
}

void aether_cursor_cancel(aether_cursor *cursor)
{
    int error = errno; /* a signal handler must leave it as it was */
    if (cursor != NULL && cursor->generation == ae_fork_generation)
        ae_gate_tell(cursor, AE_STATE_CANCELLED);
    errno = error;
}

aether_status aether_cursor_resume(aether_cursor *cursor)
{
    aether_status status = ae_cursor_refuse(cursor, "aether_cursor_resume");
    if (status != AETHER_OK)
        return status;
    uint32_t state = AE_LOAD(E10_STATE, &cursor->head.state, acquire); /* E10: pairs with E10_TELL */
    while (state & AE_STATE_CANCELLED)
        /* E10: pairs with E10_TELL. */
        if (AE_CAS(E10_RESUME, &cursor->head.state, &state, state & ~(uint32_t)AE_STATE_CANCELLED, acq_rel, acquire))
            break;
    return state & AE_STATE_CLOSED ? AETHER_CLOSED : AETHER_OK;
}

aether_position aether_cursor_position(const aether_cursor *cursor)
{
    if (ae_cursor_refuse(cursor, "aether_cursor_position") != AETHER_OK)
        return (aether_position){0, 0};
    if (cursor->head.number == cursor->last_number)
        return (aether_position){cursor->last_epoch, cursor->last_index};
    return (aether_position){cursor->segment->owner->epoch, cursor->head.index_base + cursor->head.number - 1};
}

/* ---------------------------------------------------------------------------------------------------------- following */

static void enter(struct aether_cursor *cursor)
{
    /* E12, relaxed: a closer may rely on a call that is inside, not on one that begins. */
    AE_STORE(E12_ENTER, &cursor->head.inside, 1, relaxed);
}

static aether_status leave(struct aether_cursor *cursor, aether_status status)
{
    /* E10: pairs with E10_TELL. */
    if (AE_UNLIKELY(AE_LOAD(E10_STATE, &cursor->head.state, acquire) & AE_STATE_CLOSED)) {
        uint32_t *state = &cursor->head.state;
        /* E12: pairs with E10_STATE in turn_out(); from here on the cursor is the closer's, only its address is used. */
        AE_OR(E12_HANDOVER, state, AE_STATE_LEFT, release);
        ae_futex.wake(state, INT32_MAX, AE_FUTEX_ALL);
        return AETHER_CLOSED;
    }
    /* E12: pairs with E12_INSIDE: all that this call did comes before the close. */
    AE_STORE(E12_LEAVE, &cursor->head.inside, 0, release);
    return status;
}

static void remember(struct aether_cursor *cursor, uint64_t index)
{
    cursor->last_number = cursor->head.number;
    cursor->last_index = index;
    cursor->last_epoch = cursor->segment->owner->epoch;
}

/* Over the ROLL at the end of a segment, or of a buffer. */
static void cross(struct aether_cursor *cursor)
{
    aether_position position = aether_cursor_position(cursor);
    struct segment *from = cursor->segment;
    /* E8: pairs with E8_LINK. */
    struct segment *to = AE_LOAD(E8_NEXT, &from->next, acquire);
    ae_chain_hold(to); /* alive: we stand before the link that leads to it */
    if (to->owner != from->owner) {
        count_cursor(to, 1);
        count_cursor(from, UINT32_MAX); /* minus one */
    }
    cursor->segment = to;
    cursor->head.at = from->next_at;
    cursor->head.index_base = to->index_base;
    AE_STORE(R1_NUMBER, &cursor->head.number, from->next_number, relaxed); /* R1: a figure */
    cursor->last_number = from->next_number;
    cursor->last_index = position.index;
    cursor->last_epoch = position.epoch;
    ae_chain_drop(from);
}

/* Hands the item with this word out and steps over it. */
static void take(struct aether_cursor *cursor, uint32_t word, aether_item *item)
{
    const unsigned char *slot = cursor->head.at;
    uint32_t size = ae_word_size(word);
    uint64_t number = cursor->head.number;
    cursor->head.at = slot + ae_step(size);
    AE_STORE(R1_NUMBER, &cursor->head.number, number + 1, relaxed); /* R1: a figure */
    item->data = slot + AE_SLOT_HEADER;
    item->size = size;
    item->index = cursor->head.index_base + number;
    if (AE_UNLIKELY(ae_word_kind(word) == AETHER_KIND_INDEXED)) {
        memcpy(&item->index, item->data, sizeof item->index);
        item->data = slot + AE_SLOT_HEADER + sizeof item->index;
        item->size = size - sizeof item->index;
        remember(cursor, item->index);
    }
}

static aether_status told(uint32_t state)
{
    return state & AE_STATE_CLOSED ? AETHER_CLOSED : AETHER_CANCELLED;
}

/* Goes to the next item and leaves its word in *word, or says why there is none. */
static aether_status find(struct aether_cursor *cursor, uint32_t *word, int64_t timeout_ns)
{
    int64_t deadline = INT64_MIN;
    for (;;) {
        /* E10: pairs with E10_TELL. */
        uint32_t state = AE_LOAD(E10_STATE, &cursor->head.state, acquire);
        if (AE_UNLIKELY(state != 0))
            return told(state);
        /* E1: pairs with E1_PUBLISH. */
        *word = AE_LOAD(E1_READ, ae_slot_word(cursor->head.at), acquire);
        switch (ae_word_kind(*word)) {
        case AETHER_KIND_ITEM:
        case AETHER_KIND_INDEXED:
            return AETHER_OK;
        case AETHER_KIND_ROLL:
            cross(cursor);
            continue;
        case AETHER_KIND_FINAL:
            return (aether_status)ae_word_size(*word);
        default:
            break;
        }
        if (timeout_ns <= 0)
            return AETHER_EMPTY;
        if (deadline == INT64_MIN)
            deadline = ae_deadline(timeout_ns);
        if (ae_gate_await(cursor, deadline) != AETHER_OK)
            return AETHER_TIMEOUT;
    }
}

aether_status aether_cursor_next_sized(aether_cursor *cursor, aether_item *item, size_t item_size, int64_t timeout_ns)
{
    static const char call[] = "aether_cursor_next";
    if (AE_UNLIKELY(cursor == NULL || cursor->generation != ae_fork_generation))
        return ae_cursor_refuse(cursor, call);
    if (AE_UNLIKELY(item == NULL || item_size < sizeof *item))
        return ae_fail(AETHER_INVALID, "%s: the item is NULL, or its size %zu is below %zu", call, item_size, sizeof *item);
    enter(cursor);
    uint32_t word;
    aether_status status = find(cursor, &word, timeout_ns);
    if (AE_LIKELY(status == AETHER_OK))
        take(cursor, word, item);
    return leave(cursor, status);
}

static size_t take_ready(struct aether_cursor *cursor, uint32_t word, unsigned char *items, size_t capacity, size_t stride)
{
    size_t count = 0;
    while (count < capacity && ae_word_is_item(word)) {
        take(cursor, word, (aether_item *)(void *)(items + count * stride));
        count++;
        /* E1: pairs with E1_PUBLISH. */
        word = AE_LOAD(E1_READ, ae_slot_word(cursor->head.at), acquire);
    }
    return count;
}

aether_status aether_cursor_run_sized(aether_cursor *cursor, aether_item *items, size_t capacity, size_t *count,
                                      size_t item_size, int64_t timeout_ns)
{
    static const char call[] = "aether_cursor_run";
    if (count == NULL)
        return ae_fail(AETHER_INVALID, "%s: count is NULL", call);
    *count = 0;
    aether_status status = ae_cursor_refuse(cursor, call);
    if (status != AETHER_OK)
        return status;
    if (items == NULL || capacity == 0)
        return ae_fail(AETHER_INVALID, "%s: no room for an item: items is NULL, or capacity 0", call);
    if (item_size < sizeof *items || item_size % _Alignof(aether_item) != 0)
        return ae_fail(AETHER_INVALID, "%s: item size %zu is below %zu or not a multiple of %zu", call, item_size,
                       sizeof *items, _Alignof(aether_item));
    enter(cursor);
    uint32_t word;
    size_t taken = 0;
    status = find(cursor, &word, timeout_ns);
    if (status == AETHER_OK)
        taken = take_ready(cursor, word, (unsigned char *)items, capacity, item_size);
    status = leave(cursor, status);
    if (status == AETHER_OK)
        *count = taken;
    return status;
}
