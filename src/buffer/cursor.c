/*
 * Readers: following.
 *
 * A cursor stands at a slot. With no word there, nothing is published yet; a word is an item, the way on (ROLL), or the end
 * (FINAL), which is where the cursor stays. Crossing a ROLL counts in the next segment first and drops the old one last. Who
 * holds its segment by chain finds the next one alive behind the link. Who is pinned may find the link cut: it has been
 * lapped, goes on at the oldest segment that there is, and tells the difference of the two segments' numbers as what was
 * missed.
 */
#include "buffer/cursor.h"

#include <string.h>

#include "base/clock.h"
#include "base/fail.h"
#include "base/futex.h"
#include "base/probe.h"
#include "buffer/gate.h"

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

static aether_position position_of(const struct aether_cursor *cursor)
{
    if (cursor->head.number == cursor->last_number)
        return (aether_position){cursor->last_epoch, cursor->last_index};
    return (aether_position){cursor->segment->owner->epoch, cursor->head.index_base + cursor->head.number - 1};
}

aether_position aether_cursor_position(const aether_cursor *cursor)
{
    if (ae_cursor_refuse(cursor, "aether_cursor_position") != AETHER_OK)
        return (aether_position){0, 0};
    return position_of(cursor);
}

/* ---------------------------------------------------------------------------------------------------------- crossing */

/* Where a crossing leads, and how the cursor will hold it. */
struct crossing {
    struct segment *to; /* counted */
    bool pinned;
    struct aether_buffer *user_of; /* joined, or the cursor's own of before */
    const unsigned char *at;
    uint64_t number, extra;               /* items, and events beyond one per item, before the place */
    uint64_t missed_items, missed_events; /* on the way */
};

/* Pins the segment behind the link of one that is pinned. NULL: the link is cut, or not there yet. */
static struct segment *pin_next(struct segment *from)
{
    ae_rcu_read_lock(); /* the counts of `to` stay readable memory, whatever becomes of it */
    /* E8: pairs with E8_LINK, E8_CUT. */
    struct segment *to = AE_LOAD(E8_NEXT, &from->next, acquire);
    bool taken = to != NULL && to != AE_SEVERED && ae_pin_take(to);
    /* E8: the look again: the link was alive when the pin was taken, so it is one of the right life. */
    bool same = taken && AE_LOAD(E8_NEXT, &from->next, acquire) == to;
    ae_rcu_read_unlock();
    if (taken && !same)
        ae_pin_drop(to);
    return same ? to : NULL;
}

/* Goes over to a count of chain, from a pin. */
static bool pin_to_chain(struct crossing *crossing)
{
    if (!ae_chain_take(crossing->to))
        return false;
    ae_pin_drop(crossing->to);
    crossing->pinned = false;
    return true;
}

/* The cursor comes into another buffer by a pin: as a user of that, or without a limit where that is closed. */
static void join_other(const struct aether_cursor *cursor, struct crossing *crossing)
{
    crossing->user_of = NULL;
    if (cursor->limit.policy != AETHER_LAP && pin_to_chain(crossing))
        return;
    if (ae_buffer_try_join(crossing->to->owner))
        crossing->user_of = crossing->to->owner;
    else
        (void)pin_to_chain(crossing);
}

/* From a count of chain to a pin, in a buffer that has users. */
static void chain_to_pin(struct crossing *crossing)
{
    if (!ae_buffer_try_join(crossing->to->owner))
        return;
    ae_pin_hold(crossing->to);
    ae_chain_drop(crossing->to);
    crossing->pinned = true;
    crossing->user_of = crossing->to->owner;
}

/* Over the link of the cursor's segment. False: it is cut. */
static bool follow_link(const struct aether_cursor *cursor, struct crossing *crossing)
{
    struct segment *from = cursor->segment;
    if (cursor->pinned) {
        crossing->to = pin_next(from);
        if (crossing->to == NULL)
            return false;
        crossing->pinned = true;
        crossing->user_of = cursor->user_of;
        if (crossing->to->owner != from->owner)
            join_other(cursor, crossing);
        return true;
    }
    /* E8: pairs with E8_LINK. Alive: we hold the segment whose link leads to it. */
    crossing->to = AE_LOAD(E8_NEXT, &from->next, acquire);
    crossing->pinned = from->pinned_link;
    if (from->pinned_link) {
        ae_pin_hold(crossing->to);
        join_other(cursor, crossing);
    } else {
        ae_chain_hold(crossing->to);
        if (cursor->limit.policy == AETHER_LAP)
            chain_to_pin(crossing);
    }
    return true;
}

/* The link was cut: on at the oldest segment of the buffer. False: that is gone, too. */
static bool go_to_oldest(const struct aether_cursor *cursor, struct crossing *crossing)
{
    const struct segment *from = cursor->segment;
    struct segment *oldest = ae_buffer_grab(&from->owner->oldest);
    if (oldest == NULL)
        return false;
    *crossing =
        (struct crossing){.to = oldest,
                          .at = oldest->memory,
                          .number = oldest->first,
                          .extra = oldest->extra_before,
                          .missed_items = oldest->first - from->next_number,
                          .missed_events = oldest->first - from->next_number + oldest->extra_before - from->next_extra};
    if (cursor->limit.policy == AETHER_LAP && cursor->user_of == from->owner) {
        ae_pin_hold(oldest);
        ae_chain_drop(oldest);
        crossing->pinned = true;
        crossing->user_of = cursor->user_of;
    } else if (cursor->limit.policy == AETHER_LAP) {
        chain_to_pin(crossing);
    }
    return true;
}

/* Is more than the cursor's limit published from the segment's start to `rolled`? Both count on through the end of 64 bits.
 */
static bool is_beyond(const struct aether_cursor *cursor, uint64_t rolled, const struct segment *segment)
{
    int64_t behind = (int64_t)(rolled - segment->offset);
    return behind > 0 && (uint64_t)behind > cursor->limit.bytes;
}

/*
 * Past the cursor's own limit, which may be smaller than the window: forward along live links to the first segment inside.
 * Its user stays what it is.
 */
static void skip_beyond_limit(const struct aether_cursor *cursor, struct crossing *crossing)
{
    for (;;) {
        struct segment *here = crossing->to;
        /* E14: pairs with the store at rolls: links that lead to segments before that many bytes are published. */
        uint64_t rolled = AE_LOAD(E14_ROLLED, &here->owner->rolled_bytes, acquire);
        if (!is_beyond(cursor, rolled, here))
            return;
        struct segment *next = pin_next(here);
        if (next == NULL)
            return;
        if (next->owner != here->owner || !is_beyond(cursor, rolled, next)) {
            ae_pin_drop(next);
            return;
        }
        crossing->missed_items += next->first - crossing->number;
        crossing->missed_events += next->first - crossing->number + next->extra_before - crossing->extra;
        crossing->to = next;
        crossing->at = next->memory;
        crossing->number = next->first;
        crossing->extra = next->extra_before;
        ae_pin_drop(here);
    }
}

uint64_t ae_weight_before(const struct segment *segment, const unsigned char *at)
{
    uint64_t weight = 0;
    for (const unsigned char *slot = segment->memory; slot < at;) {
        uint32_t word = AE_LOAD(E1_READ, ae_slot_word(slot), acquire); /* E1: pairs with E1_PUBLISH */
        weight += ae_weight_of(slot, word);
        slot += ae_step(ae_word_size(word));
    }
    return weight;
}

/*
 * How much the cursor has read: exactly, since the writer may wait for the last byte. segment->weight will not do, because
 * an item is counted there after it is published.
 */
uint64_t ae_cursor_bytes_read(const struct aether_cursor *cursor)
{
    const struct segment *segment = cursor->segment;
    return segment->offset + (uint64_t)(cursor->head.at - segment->memory) + cursor->weight;
}

void ae_cursor_tell_place(struct aether_cursor *cursor)
{
    uint64_t bytes = ae_cursor_bytes_read(cursor);
    if (AE_LOAD(E15_SCAN, &cursor->node->bytes, relaxed) != bytes) /* E15, relaxed: our own store */
        ae_registry_tell(cursor->segment->owner, cursor->node, bytes, cursor->head.number);
}

/* Moves the cursor, and gives up what it held. */
static void arrive(struct aether_cursor *cursor, const struct crossing *crossing, struct registry_node *node)
{
    struct segment *from = cursor->segment, *to = crossing->to;
    bool was_pinned = cursor->pinned;
    struct aether_buffer *was_user_of = cursor->user_of == crossing->user_of ? NULL : cursor->user_of;
    aether_position position = position_of(cursor);
    cursor->segment = to;
    cursor->pinned = crossing->pinned;
    cursor->user_of = crossing->user_of;
    cursor->head.at = crossing->at;
    cursor->head.index_base = to->index_base;
    AE_STORE(R1_NUMBER, &cursor->head.number, crossing->number, relaxed); /* R1: a figure */
    cursor->last_number = crossing->number;
    cursor->last_index = position.index;
    cursor->last_epoch = position.epoch;
    if (to->owner != from->owner) {
        AE_ADD(R1_COUNT, &to->owner->cursors, 1, relaxed); /* R1, relaxed, both: figures */
        AE_SUB(R1_COUNT, &from->owner->cursors, 1, relaxed);
        if (cursor->node != NULL)
            ae_registry_remove(from->owner, cursor->node);
        cursor->node = node;
    }
    if (cursor->node != NULL) {
        cursor->weight = ae_weight_before(to, crossing->at);
        ae_registry_tell(to->owner, cursor->node, ae_cursor_bytes_read(cursor), crossing->number);
    }
    ae_cursor_let_go(from, was_pinned, was_user_of);
}

static aether_status lag(struct aether_cursor *cursor, uint64_t items, uint64_t events)
{
    if (items == 0)
        return AETHER_OK; /* the link was cut exactly where the cursor stood */
    cursor->missed_items = items;
    cursor->missed_events = events;
    cursor->all_missed_items += items;
    cursor->all_missed_events += events;
    cursor->lags++;
    AE_PROBE2(lap, cursor, items);
    return AETHER_LAGGED;
}

/* Nothing is left to go on to: the buffer is closed, and what followed went with it. */
static aether_status be_adrift(struct aether_cursor *cursor)
{
    const struct segment *from = cursor->segment;
    const struct aether_buffer *owner = from->owner;
    cursor->adrift = true;
    return lag(cursor, owner->final_items - from->next_number,
               owner->final_items - from->next_number + owner->final_extra - from->next_extra);
}

/* Over the ROLL at the end of a segment, or of a buffer. AETHER_LAGGED: the cursor is there, and has missed something. */
static __attribute__((noinline)) aether_status cross(struct aether_cursor *cursor)
{
    const struct segment *from = cursor->segment;
    if (cursor->adrift)
        return AETHER_CLOSED;
    struct crossing crossing = {.at = from->next_at, .number = from->next_number, .extra = from->next_extra};
    if (!follow_link(cursor, &crossing) && !go_to_oldest(cursor, &crossing))
        return be_adrift(cursor);
    if (crossing.pinned && cursor->limit.policy == AETHER_LAP)
        skip_beyond_limit(cursor, &crossing);
    struct registry_node *node = NULL;
    if (crossing.to->owner != from->owner && ae_limit_is_registered(&cursor->limit)) {
        node = ae_registry_add(crossing.to->owner, cursor, &cursor->limit, crossing.to->offset, crossing.number);
        if (node == NULL) {
            ae_cursor_let_go(crossing.to, crossing.pinned, crossing.user_of == cursor->user_of ? NULL : crossing.user_of);
            return ae_fail(AETHER_NO_MEMORY, "aether_cursor_next: no memory for a place in the other buffer's registry");
        }
    }
    arrive(cursor, &crossing, node);
    return lag(cursor, crossing.missed_items, crossing.missed_events);
}

/* ------------------------------------------------------------------------------------------------------------- taking */

/* An item with its index and number of events before it, and perhaps its payload elsewhere. */
static __attribute__((noinline)) void unpack(struct aether_cursor *cursor, uint32_t word, aether_item *item)
{
    const unsigned char *data = item->data;
    struct extended extended;
    memcpy(&extended, data, sizeof extended);
    item->index = extended.index;
    item->events = extended.events;
    item->data = data + sizeof extended;
    item->size -= sizeof extended;
    if (ae_word_kind(word) == AETHER_KIND_REFERENCE) {
        struct reference reference;
        memcpy(&reference, data + sizeof extended, sizeof reference);
        item->data = reference.data;
        item->size = reference.size;
        cursor->weight += reference.size;
    }
    remember(cursor, item->index);
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
    item->events = 1;
    if (AE_UNLIKELY(ae_word_is_extended(word))) {
        unpack(cursor, word, item);
    } else if (AE_UNLIKELY(ae_word_kind(word) == AETHER_KIND_INDEXED)) {
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
    if (AE_UNLIKELY(cursor->node != NULL))
        ae_registry_note(cursor->node);
    for (;;) {
        /* E10: pairs with E10_TELL. */
        uint32_t state = AE_LOAD(E10_STATE, &cursor->head.state, acquire);
        if (AE_UNLIKELY(state != 0) && (state = ae_gate_settled(cursor)) != 0)
            return told(state);
        /* E1: pairs with E1_PUBLISH. */
        *word = AE_LOAD(E1_READ, ae_slot_word(cursor->head.at), acquire);
        switch (ae_word_kind(*word)) {
        case AETHER_KIND_ITEM:
        case AETHER_KIND_INDEXED:
        case AETHER_KIND_EVENTS:
        case AETHER_KIND_REFERENCE:
            return AETHER_OK;
        case AETHER_KIND_ROLL: {
            aether_status status = cross(cursor);
            if (AE_UNLIKELY(status != AETHER_OK))
                return status;
            continue;
        }
        case AETHER_KIND_FINAL:
            return (aether_status)ae_word_size(*word);
        default:
            break;
        }
        if (cursor->node != NULL)
            ae_cursor_tell_place(cursor);
        if (timeout_ns <= 0)
            return AETHER_EMPTY;
        if (AE_UNLIKELY(ae_callback_depth != 0))
            return ae_callback_refuse("aether_cursor_next");
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

/* -------------------------------------------------------------------------------------------------------- statistics */

uint64_t ae_cursor_extra(const struct aether_cursor *cursor)
{
    const struct segment *segment = cursor->segment;
    uint64_t behind = segment->extra_before;
    const unsigned char *at = segment->memory;
    /* E9: pairs with E9_FILLED: `extra` has all items below it, and the newest perhaps not yet. */
    uint64_t counted = ae_filled_bytes(AE_LOAD(E9_LOAD, &segment->filled, acquire));
    /* E9: pairs with E9_EXTRA. */
    if (AE_LOAD(E9_LOAD, &segment->extra, acquire) == 0 && cursor->head.at <= at + counted)
        return behind;
    while (at < cursor->head.at) {
        uint32_t word = AE_LOAD(E1_READ, ae_slot_word(at), acquire); /* E1: pairs with E1_PUBLISH */
        behind += ae_extra_of(at, word);
        at += ae_step(ae_word_size(word));
    }
    return behind;
}

static void fill_lag(const struct aether_cursor *cursor, aether_cursor_stats *stats)
{
    struct aether_buffer *owner = cursor->segment->owner;
    struct place newest = {.segment = ae_buffer_grab(&owner->current)};
    if (newest.segment == NULL)
        return; /* closed: what is left is not known */
    /* E9: pairs with E9_EXTRA: before the walk, which may find more. */
    uint64_t extra = newest.segment->extra_before + AE_LOAD(E9_LOAD, &newest.segment->extra, acquire);
    ae_buffer_find_end(&newest, true);
    if (newest.segment->owner == owner && newest.number > cursor->head.number) {
        stats->lag_items = newest.number - cursor->head.number;
        uint64_t behind = ae_cursor_extra(cursor);
        stats->lag_events = stats->lag_items + (extra > behind ? extra - behind : 0);
    }
    ae_chain_drop(newest.segment);
}

aether_status aether_cursor_get_stats_sized(aether_cursor *cursor, aether_cursor_stats *stats, size_t size)
{
    static const char call[] = "aether_cursor_get_stats";
    aether_status status = ae_cursor_refuse(cursor, call);
    if (status != AETHER_OK)
        return status;
    if (stats == NULL)
        return ae_fail(AETHER_INVALID, "%s: stats is NULL", call);
    aether_cursor_stats all = {.position = aether_cursor_position(cursor),
                               .missed_items = cursor->missed_items,
                               .missed_events = cursor->missed_events,
                               .all_missed_items = cursor->all_missed_items,
                               .all_missed_events = cursor->all_missed_events,
                               .lags = cursor->lags};
    fill_lag(cursor, &all);
    memset(stats, 0, size);
    memcpy(stats, &all, size < sizeof all ? size : sizeof all);
    return AETHER_OK;
}
