/*
 * The writer: appends, batches, the end.
 *
 * An append is laid out, then published by one release store of its first word (E1). What fits in the current segment goes
 * there. Else the segment is rolled: the items are laid out in a new one first, then the ROLL at the end of the old one
 * publishes them, so that a sleeping reader is woken once. Whatever fails, fails before anything is published.
 */
#include <string.h>

#include "base/fail.h"
#include "base/futex.h"
#include "buffer/buffer.h"
#include "buffer/copy.h"
#include "buffer/gate.h"

enum { ROLLS_OF_OLDEST = 4 }; /* so many steps per roll at the most: an append stays bounded */

/* ------------------------------------------------------------------------------------------------------- one writer */

aether_status ae_writer_enter(struct aether_buffer *buffer, const char *call)
{
    /* W1: pairs with itself; only debug builds look. */
    if (AE_DEBUG && AE_EXCHANGE(W1_WRITING, &buffer->writers, 1, acquire) != 0)
        return ae_fail(AETHER_BUSY, "%s: another thread is writing to this buffer", call);
    return AETHER_OK;
}

void ae_writer_leave(struct aether_buffer *buffer)
{
    if (AE_DEBUG)
        AE_STORE(W1_WRITING, &buffer->writers, 0, release); /* W1 */
}

/* ------------------------------------------------------------------------------------------------------- publishing */

void aether_inline_wake(aether_buffer *buffer, void *slot)
{
    uint32_t *gate = ae_slot_gate(slot);
    AE_STORE(R1_COUNT, &buffer->wakes, buffer->wakes + 1, relaxed); /* R1: a figure */
    /* E3: pairs with E3_GATE: who sees "closed" sees the word, and never sleeps here again. */
    AE_EXCHANGE(E3_CLOSE, gate, AE_GATE_CLOSED, acq_rel);
    ae_futex.wake(gate, AE_WAKES, AE_FUTEX_ALL);
}

void ae_writer_publish(struct aether_buffer *buffer, unsigned char *slot, uint32_t word)
{
    uint32_t gate;
    if (buffer->asymmetric) {
        /* E1: pairs with E1_READ: all that was laid out, and the link behind a ROLL. */
        AE_STORE(E1_PUBLISH, ae_slot_word(slot), word, release);
        AE_LIGHT_BARRIER(); /* E2: the sleeper's heavy half makes this enough */
        gate = AE_LOAD(E2_LOOK, ae_slot_gate(slot), relaxed);
    } else {
        /* E1 as above, and E2: this store and load against E2_MARK and E2_AGAIN, all sequentially consistent. */
        AE_STORE(E2_PUBLISH, ae_slot_word(slot), word, seq_cst);
        gate = AE_LOAD(E2_LOOK, ae_slot_gate(slot), seq_cst);
    }
    if (AE_UNLIKELY(gate != 0))
        aether_inline_wake(buffer, slot);
}

void ae_writer_finish(struct aether_buffer *buffer, uint32_t word)
{
    unsigned char *slot = buffer->head.at;
    buffer->ended = true;
    buffer->head.inline_end = NULL;
    buffer->end = slot;
    ae_writer_publish(buffer, slot, word);
}

/* ------------------------------------------------------------------------------------------------------- laying out */

/*
 * What a call wants to append: payloads as the caller describes them, or an array of items of one size. `stride` is the
 * distance of two of either; a caller's aether_payload may be a later, larger one.
 */
struct batch {
    const unsigned char *first;
    size_t count;
    size_t stride;
    bool array;
    const char *call;
};

static inline aether_payload payload_of(const struct batch *batch, size_t number)
{
    const unsigned char *at = batch->first + number * batch->stride;
    const aether_payload *payload = (const aether_payload *)(const void *)at;
    return batch->array ? (aether_payload){at, batch->stride, 0}
                        : (aether_payload){payload->data, payload->size, payload->index};
}

/* What cannot be, with its words; the caller has seen that something is wrong with the item. */
static __attribute__((cold)) aether_status refuse_payload(const struct batch *batch, size_t number, uint64_t newest)
{
    aether_payload payload = payload_of(batch, number);
    if (payload.data == NULL && payload.size != 0)
        return ae_fail(AETHER_INVALID, "%s: the data of item %zu is NULL with size %zu", batch->call, number, payload.size);
    if (payload.size > AETHER_ITEM_MAX)
        return ae_fail(AETHER_TOO_LARGE, "%s: size %zu of item %zu is over the limit of %zu bytes", batch->call,
                       payload.size, number, AETHER_ITEM_MAX);
    if (newest == UINT64_MAX)
        return ae_fail(AETHER_INDEX_ORDER, "%s: item %zu comes after the largest index there is", batch->call, number);
    return ae_fail(AETHER_INDEX_ORDER, "%s: index %llu of item %zu is not above the newest, %llu", batch->call,
                   (unsigned long long)payload.index, number, (unsigned long long)newest);
}

/* newest + 1 where the payload has no index of its own; 0 means that the item cannot be. */
static inline uint64_t index_of(const aether_payload *payload, uint64_t newest)
{
    if ((payload->data == NULL && payload->size != 0) || payload->size > AETHER_ITEM_MAX || newest == UINT64_MAX)
        return 0;
    if (payload->index == 0)
        return newest + 1;
    return payload->index > newest ? payload->index : 0;
}

/* Where items are being written, unpublished: the first one's word is kept back and publishes them all. */
struct layout {
    struct segment *segment;
    unsigned char *start, *at; /* of the first item, and behind the last one */
    unsigned char *last;       /* the last one */
    unsigned char *end;        /* of the room */
    uint64_t newest;           /* index of the last one, or of the one before the first */
    uint64_t indexed;          /* the same where the segment has items with indexes of their own, else 0 */
    uint32_t word;             /* the first one's */
};

/* Writes one item; false: there is no room for it. */
static inline bool lay_out_item(struct layout *layout, const aether_payload *payload, uint64_t index)
{
    unsigned char *slot = layout->at, *data = slot + AE_SLOT_HEADER;
    bool indexed = layout->indexed != 0 || index != layout->newest + 1;
    uint64_t size = payload->size + (indexed ? sizeof index : 0);
    if (ae_step(size) > (uint64_t)(layout->end - slot))
        return false;
    if (AE_UNLIKELY(indexed)) {
        memcpy(data, &index, sizeof index);
        data += sizeof index;
        layout->indexed = index;
    }
    ae_copy(data, payload->data, payload->size);
    uint32_t word = ae_word(size, indexed ? AETHER_KIND_INDEXED : AETHER_KIND_ITEM);
    if (slot == layout->start)
        layout->word = word;
    else
        AE_STORE(E1_REST, ae_slot_word(slot), word, relaxed); /* E1, relaxed: the first word's store carries it */
    layout->newest = index;
    layout->last = slot;
    layout->at = slot + ae_step(size);
    return true;
}

/* Takes back what was written: a reader looks at the header behind the newest item, so all of it has to be zero again. */
static void clear(struct layout *layout)
{
    if (layout->at != layout->start) /* not the first header: its gate may be marked */
        memset(layout->start + AE_SLOT_HEADER, 0, (size_t)(layout->at - layout->start) - AE_SLOT_HEADER);
}

/* The usual case: lays out the first items as long as they fit and have no index of their own. Returns how many. */
static inline size_t lay_out_simple(struct layout *layout, const struct batch *batch)
{
    if (layout->indexed != 0 || layout->newest > UINT64_MAX - batch->count)
        return 0;
    const struct batch all = *batch; /* for registers: what is stored below might be part of it */
    unsigned char *at = layout->at, *last = layout->last, *const end = layout->end;
    size_t number = 0;
    for (; number < all.count; number++) {
        aether_payload payload = payload_of(&all, number);
        uint64_t step = ae_step(payload.size);
        if (payload.index != 0 || (payload.data == NULL && payload.size != 0) || payload.size > AETHER_ITEM_MAX ||
            step > (uint64_t)(end - at))
            break;
        ae_copy(at + AE_SLOT_HEADER, payload.data, payload.size);
        uint32_t word = ae_word(payload.size, AETHER_KIND_ITEM);
        if (number == 0)
            layout->word = word;
        else
            AE_STORE(E1_REST, ae_slot_word(at), word, relaxed); /* E1, relaxed: the first word's store carries it */
        last = at;
        at += step;
    }
    layout->at = at;
    layout->last = last;
    layout->newest += number;
    return number;
}

enum { FULL_SEGMENT = -1 }; /* a status of this file's own */

/* All items of the batch, or none. FULL_SEGMENT: they do not fit. */
static aether_status lay_out(struct layout *layout, const struct batch *batch)
{
    for (size_t number = lay_out_simple(layout, batch); number < batch->count; number++) {
        aether_payload payload = payload_of(batch, number);
        uint64_t index = index_of(&payload, layout->newest);
        aether_status status = AETHER_OK;
        if (AE_UNLIKELY(index == 0))
            status = refuse_payload(batch, number, layout->newest);
        else if (AE_UNLIKELY(!lay_out_item(layout, &payload, index)))
            status = FULL_SEGMENT;
        if (AE_UNLIKELY(status != AETHER_OK)) {
            clear(layout);
            return status;
        }
    }
    return AETHER_OK;
}

/* Checks all items and adds up what they take in a new segment, before one is taken for them. */
static aether_status measure(const struct batch *batch, uint64_t newest, uint64_t *bytes)
{
    bool indexed = false;
    *bytes = 0;
    for (size_t number = 0; number < batch->count; number++) {
        aether_payload payload = payload_of(batch, number);
        uint64_t index = index_of(&payload, newest);
        if (index == 0)
            return refuse_payload(batch, number, newest);
        indexed |= index != newest + 1;
        *bytes += ae_step(payload.size + (indexed ? sizeof index : 0));
        newest = index;
        if (*bytes > AETHER_BATCH_MAX)
            return ae_fail(AETHER_TOO_LARGE, "%s: a batch of more than %zu bytes, at item %zu", batch->call,
                           AETHER_BATCH_MAX, number);
    }
    return AETHER_OK;
}

/* -------------------------------------------------------------------------------------------------------- appending */

/* Where an opener finds the newest index, once it is published and before `filled` says so. */
static void tell_last(const struct layout *layout)
{
    /* E9: pairs with the load in index_before(). */
    AE_STORE(E9_INDEXED, &layout->segment->indexed_last, (uint32_t)(layout->last - layout->segment->memory) + 1, release);
}

static aether_status append_here(struct aether_buffer *buffer, const struct batch *batch)
{
    unsigned char *slot = buffer->head.at;
    struct layout layout = {.segment = buffer->writing,
                            .start = slot,
                            .at = slot,
                            .end = buffer->end,
                            .newest = ae_writer_newest(buffer),
                            .indexed = buffer->indexed};
    aether_status status = lay_out(&layout, batch);
    if (status != AETHER_OK)
        return status;
    buffer->indexed = layout.indexed;
    buffer->head.at = layout.at;
    buffer->head.filled += ae_filled(batch->count, (uint64_t)(layout.at - slot));
    ae_buffer_set_inline_end(buffer);
    ae_writer_publish(buffer, slot, layout.word);
    if (layout.indexed != 0)
        tell_last(&layout);
    /* E9: pairs with E9_LOAD: after what it tells of is published. */
    AE_STORE(E9_FILLED, buffer->head.filled_word, buffer->head.filled, release);
    return AETHER_OK;
}

/* Lets the oldest segments go that nothing holds back: count first, publish second, release last. */
static void advance_oldest(struct aether_buffer *buffer)
{
    for (int step = 0; step < ROLLS_OF_OLDEST && buffer->oldest != buffer->writing; step++) {
        struct segment *oldest = buffer->oldest, *after = oldest->next;
        ae_chain_hold(after); /* alive: the oldest's link leads to it */
        /* E7: pairs with E7_LOAD. */
        AE_STORE(E7_OLDEST, &buffer->oldest, after, release);
        ae_chain_drop(oldest);
    }
}

/* The constants of the segment after the current one. */
static void prepare_next(const struct aether_buffer *buffer, struct segment *segment)
{
    const struct segment *before = buffer->writing;
    segment->ordinal = before->ordinal + 1;
    segment->first = before->first + ae_filled_items(buffer->head.filled);
    segment->offset = before->offset + ae_filled_bytes(buffer->head.filled);
    segment->index_base = ae_writer_newest(buffer) + 1 - segment->first;
    segment->indexed_last = 0;
}

/* The writer goes over to `segment`, in which the batch stands already, and publishes it by the ROLL behind the old one. */
static void roll(struct aether_buffer *buffer, struct segment *segment)
{
    struct segment *before = buffer->writing;
    unsigned char *end = buffer->head.at;
    before->used = (uint32_t)(end - before->memory) + AE_END_ROOM;
    before->next_at = segment->memory;
    before->next_number = segment->first;
    /* R1, relaxed: figures. */
    AE_ADD(R1_COUNT, &buffer->alive, 1, relaxed);
    AE_ADD(R1_COUNT, &buffer->in_use, ae_segment_size(segment->room), relaxed);
    ae_segment_birth(segment, 2); /* the link, and current */
    /* E8: pairs with E8_NEXT. */
    AE_STORE(E8_LINK, &before->next, segment, release);
    ae_writer_publish(buffer, end, ae_word(0, AETHER_KIND_ROLL));
    buffer->writing = segment;
    /* E7: pairs with E7_LOAD; after the ROLL, so that who opens here saw nothing early. */
    AE_STORE(E7_CURRENT, &buffer->current, segment, release);
    advance_oldest(buffer);
    ae_chain_drop(before);
}

static aether_status append_in_next(struct aether_buffer *buffer, const struct batch *batch)
{
    uint64_t bytes;
    aether_status status = measure(batch, ae_writer_newest(buffer), &bytes);
    if (status != AETHER_OK)
        return status;
    struct segment *segment = ae_segment_take(buffer, bytes);
    if (segment == NULL)
        return ae_fail(AETHER_NO_MEMORY, "%s: no memory for a segment that takes %llu bytes", batch->call,
                       (unsigned long long)bytes);
    prepare_next(buffer, segment);
    struct layout layout = {.segment = segment,
                            .start = segment->memory,
                            .at = segment->memory,
                            .end = segment->memory + segment->room - AE_END_ROOM,
                            .newest = segment->index_base + segment->first - 1};
    status = lay_out(&layout, batch);
    AE_ASSERT(status == AETHER_OK);                                         /* it was measured for this */
    AE_STORE(E1_REST, ae_slot_word(segment->memory), layout.word, relaxed); /* E1, relaxed: the ROLL's store carries it */
    if (layout.indexed != 0)
        tell_last(&layout);
    segment->filled = ae_filled(batch->count, bytes);
    roll(buffer, segment);
    buffer->indexed = layout.indexed;
    buffer->head.at = layout.at;
    buffer->head.filled = segment->filled;
    buffer->head.filled_word = &segment->filled;
    buffer->end = layout.end;
    ae_buffer_set_inline_end(buffer);
    return AETHER_OK;
}

static aether_status append_entered(struct aether_buffer *buffer, const struct batch *batch)
{
    if (buffer->ended)
        return ae_fail(AETHER_ENDED, "%s: the buffer was ended or spliced", batch->call);
    if (batch->count == 0)
        return AETHER_OK;
    aether_status status = append_here(buffer, batch);
    return status == FULL_SEGMENT ? append_in_next(buffer, batch) : status;
}

static aether_status append(struct aether_buffer *buffer, const struct batch *batch)
{
    aether_status status = ae_buffer_refuse(buffer, batch->call);
    if (status == AETHER_OK)
        status = ae_writer_enter(buffer, batch->call);
    if (status != AETHER_OK)
        return status;
    status = append_entered(buffer, batch);
    ae_writer_leave(buffer);
    return status;
}

static __attribute__((noinline)) aether_status append_one(aether_buffer *buffer, const aether_payload *payload,
                                                          const char *call)
{
    struct batch batch = {(const unsigned char *)payload, 1, sizeof *payload, false, call};
    return append(buffer, &batch);
}

/* ----------------------------------------------------------------------------------------------------- public calls */

/* What the fast path below leaves: apart, so that it needs no stack. */
static __attribute__((noinline)) aether_status append_other(aether_buffer *buffer, const void *data, size_t size)
{
    if (buffer != NULL && (data != NULL || size == 0) && aether_inline_fits(buffer, size))
        return aether_inline_append(buffer, data, size);
    aether_payload payload = {data, size, 0};
    return append_one(buffer, &payload, "aether_append");
}

aether_status aether_append(aether_buffer *buffer, const void *data, size_t size)
{
    if (AE_UNLIKELY(buffer == NULL || data == NULL || size > AE_COPY_SMALL || !aether_inline_fits(buffer, size)))
        return append_other(buffer, data, size);
    unsigned char *slot = buffer->head.at;
    ae_copy(slot + AE_SLOT_HEADER, data, size);
    aether_inline_publish(buffer, slot, aether_inline_word(size), 1, aether_inline_step(size));
    return AETHER_OK;
}

aether_status aether_append_at(aether_buffer *buffer, uint64_t index, const void *data, size_t size)
{
    if (index == 0)
        return ae_fail(AETHER_INVALID, "aether_append_at: index 0 means \"nothing yet\"");
    aether_payload payload = {data, size, index};
    return append_one(buffer, &payload, "aether_append_at");
}

aether_status aether_append_batch_sized(aether_buffer *buffer, const aether_payload *payloads, size_t count,
                                        size_t payload_size)
{
    struct batch batch = {(const unsigned char *)payloads, count, payload_size, false, "aether_append_batch"};
    if (payloads == NULL && count != 0)
        return ae_fail(AETHER_INVALID, "%s: payloads is NULL with count %zu", batch.call, count);
    if (payload_size < sizeof *payloads || payload_size % _Alignof(aether_payload) != 0)
        return ae_fail(AETHER_INVALID, "%s: payload size %zu is below %zu or not a multiple of %zu", batch.call,
                       payload_size, sizeof *payloads, _Alignof(aether_payload));
    return append(buffer, &batch);
}

aether_status aether_append_array(aether_buffer *buffer, const void *items, size_t size, size_t count)
{
    struct batch batch = {items, count, size, true, "aether_append_array"};
    if (items == NULL && count != 0 && size != 0)
        return ae_fail(AETHER_INVALID, "%s: items is NULL with count %zu", batch.call, count);
    return append(buffer, &batch);
}

aether_status aether_buffer_end(aether_buffer *buffer, aether_status reason)
{
    static const char call[] = "aether_buffer_end";
    aether_status status = ae_buffer_refuse(buffer, call);
    if (status != AETHER_OK)
        return status;
    if (reason != AETHER_OK && !aether_status_is_final(reason))
        return ae_fail(AETHER_INVALID, "%s: status %d is no reason to end", call, reason);
    status = ae_writer_enter(buffer, call);
    if (status != AETHER_OK)
        return status;
    if (buffer->ended)
        status = ae_fail(AETHER_ENDED, "%s: the buffer was ended or spliced before", call);
    else
        ae_writer_finish(buffer, ae_word(reason == AETHER_OK ? AETHER_ENDED : (uint64_t)reason, AETHER_KIND_FINAL));
    ae_writer_leave(buffer);
    return status;
}
