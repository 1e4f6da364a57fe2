/*
 * The writer: appends, batches, the end.
 *
 * An append is laid out, then published by one release store of its first word (E1). What fits in the current segment goes
 * there. Else the segment is rolled: the items are laid out in a new one first, then the ROLL at the end of the old one
 * publishes them, so that a sleeping reader is woken once. Whatever fails, fails before anything is published.
 */
#include <limits.h>
#include <string.h>

#include "base/callback.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/futex.h"
#include "base/probe.h"
#include "base/relax.h"
#include "buffer/buffer.h"
#include "buffer/copy.h"
#include "buffer/feed.h"
#include "buffer/gate.h"
#include "buffer/layout.h"
#include "buffer/poller.h"
#include "buffer/registry.h"
#include "buffer/window.h"

enum { STEPS_OF_OLDEST = 4 }; /* per roll at the most: an append stays bounded */

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
    AE_PROBE2(wake, buffer, slot);
    AE_STORE(R1_COUNT, &buffer->wakes, buffer->wakes + 1, relaxed); /* R1: a figure */
    /* E3: pairs with E3_GATE: who sees "closed" sees the word, and never sleeps here again. */
    uint32_t marks = AE_EXCHANGE(E3_CLOSE, gate, AE_GATE_CLOSED, seq_cst);
    if (marks & AE_GATE_POLLED)
        ae_poller_wake(buffer);
    if (marks & ~(uint32_t)AE_GATE_POLLED)
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
    buffer->final_items = buffer->writing->first + ae_filled_items(buffer->head.filled);
    buffer->final_extra = buffer->writing->extra_before + buffer->writing->extra;
    buffer->head.inline_end = NULL;
    buffer->end = slot;
    ae_writer_publish(buffer, slot, word);
}

/* -------------------------------------------------------------------------------------------------------- appending */

/* What readers find behind the newest item, once that is published and before `filled` says so. */
static void tell_more(struct segment *segment, const struct layout *layout)
{
    if (layout->indexed != 0)
        /* E9: pairs with the load in index_before(): where the newest index stands. */
        AE_STORE(E9_INDEXED, &segment->indexed_last, (uint32_t)(layout->last - segment->memory) + 1, release);
    if (layout->extra != 0)
        AE_STORE(E9_EXTRA, &segment->extra, segment->extra + layout->extra, release); /* E9: pairs with E9_LOAD */
    if (layout->weight != 0)
        AE_STORE(E9_EXTRA, &segment->weight, segment->weight + layout->weight, release); /* E9: pairs with E9_LOAD */
}

static struct layout layout_here(const struct aether_buffer *buffer)
{
    unsigned char *slot = buffer->head.at;
    uint64_t used = ae_filled_bytes(buffer->head.filled) + buffer->writing->weight;
    return (struct layout){.segment = buffer->writing,
                           .start = slot,
                           .at = slot,
                           .end = buffer->end,
                           .newest = ae_writer_newest(buffer),
                           .indexed = buffer->indexed,
                           .weight_most = buffer->largest_room > used ? buffer->largest_room - used : 0,
                           .references = buffer->writing->references};
}

/* Payloads by reference take of the room that a segment has, as if they stood in it: limits are admitted by whole segments.
 */
static void share_room(struct aether_buffer *buffer)
{
    uint64_t weight = buffer->writing->weight, used = ae_filled_bytes(buffer->head.filled);
    uint64_t most = buffer->largest_room > weight ? buffer->largest_room - weight : 0;
    unsigned char *end = buffer->writing->memory + (most > used ? most : used);
    if (end < buffer->end)
        buffer->end = end;
    ae_buffer_set_inline_end(buffer);
}

static void publish_here(struct aether_buffer *buffer, const struct layout *layout, size_t count)
{
    unsigned char *slot = buffer->head.at;
    buffer->indexed = layout->indexed;
    buffer->writing->references = layout->references;
    buffer->head.at = layout->at;
    buffer->head.filled += ae_filled(count, (uint64_t)(layout->at - slot));
    ae_buffer_set_inline_end(buffer);
    ae_writer_publish(buffer, slot, layout->word);
    tell_more(buffer->writing, layout);
    /* E9: pairs with E9_LOAD: after what it tells of is published. */
    AE_STORE(E9_FILLED, buffer->head.filled_word, buffer->head.filled, release);
    if (layout->weight != 0)
        share_room(buffer);
}

/* The constants of the segment after the current one. */
static void prepare_next(const struct aether_buffer *buffer, struct segment *segment)
{
    const struct segment *before = buffer->writing;
    segment->ordinal = before->ordinal + 1;
    segment->first = before->first + ae_filled_items(buffer->head.filled);
    segment->offset = ae_writer_bytes(buffer);
    segment->extra_before = before->extra_before + before->extra;
    segment->index_base = ae_writer_newest(buffer) + 1 - segment->first;
    segment->indexed_last = 0;
}

static struct layout layout_in(struct segment *segment)
{
    return (struct layout){.segment = segment,
                           .start = segment->memory,
                           .at = segment->memory,
                           .end = segment->memory + segment->room - AE_END_ROOM,
                           .newest = segment->index_base + segment->first - 1,
                           .weight_most = UINT64_MAX};
}

/* The writer goes over to `segment`, in which the items stand already, and publishes it by the ROLL behind the old one. */
static void roll(struct aether_buffer *buffer, struct segment *segment)
{
    struct segment *before = buffer->writing;
    unsigned char *end = buffer->head.at;
    before->used = (uint32_t)(end - before->memory) + AE_END_ROOM;
    before->next_at = segment->memory;
    before->next_number = segment->first;
    before->next_extra = segment->extra_before;
    if (buffer->retain_ns != 0)
        before->closed_ns = ae_clock.now();
    /* R1, relaxed: figures. */
    AE_ADD(R1_COUNT, &buffer->alive, 1, relaxed);
    AE_ADD(R1_COUNT, &buffer->in_use, ae_segment_size(segment->room), relaxed);
    ae_segment_birth(segment, 2); /* the link, and current */
    /* E8: pairs with E8_NEXT. */
    AE_STORE(E8_LINK, &before->next, segment, release);
    ae_writer_publish(buffer, end, ae_word(0, AETHER_KIND_ROLL));
    /* E14: pairs with the load in skip_beyond_limit(): after the ROLL that leads there. */
    AE_STORE(E14_ROLLED, &buffer->rolled_bytes, segment->offset, release);
    buffer->writing = segment;
    /* E7: pairs with E7_LOAD; after the ROLL, so that who opens here saw nothing early. Sequentially consistent for E13. */
    AE_STORE(E7_CURRENT, &buffer->current, segment, seq_cst);
    AE_PROBE2(roll, buffer, ae_segment_size(segment->room));
    ae_chain_drop(before);
}

static void publish_next(struct aether_buffer *buffer, const struct layout *layout, size_t count)
{
    struct segment *segment = layout->segment;
    buffer->head.inline_end = NULL; /* until the new segment is ready: what dies on the way may call back */
    if (count != 0)
        AE_STORE(E1_REST, ae_slot_word(layout->start), layout->word, relaxed); /* E1, relaxed: the ROLL's store carries it */
    segment->references = layout->references;
    tell_more(segment, layout);
    segment->filled = ae_filled(count, (uint64_t)(layout->at - layout->start));
    roll(buffer, segment);
    buffer->indexed = layout->indexed;
    buffer->head.at = layout->at;
    buffer->head.filled = segment->filled;
    buffer->head.filled_word = &segment->filled;
    buffer->end = layout->end;
    share_room(buffer);
    ae_window_advance(buffer, STEPS_OF_OLDEST);
}

/* A segment for `measure`, with its constants, once no reader's limit is against it. NULL: why not is in *status. */
static struct segment *take_next(struct aether_buffer *buffer, const struct measure *measure, const char *call,
                                 aether_status *status)
{
    uint64_t item = measure->bytes + measure->weight;
    uint64_t more = item > buffer->largest_room ? item : buffer->largest_room; /* what may follow in the same segment */
    *status = ae_registry_admit(buffer, item, more, call);
    if (*status != AETHER_OK)
        return NULL;
    struct segment *segment = ae_segment_take(buffer, measure->bytes);
    if (segment != NULL)
        prepare_next(buffer, segment);
    else
        *status = ae_fail(AETHER_NO_MEMORY, "%s: no memory for a segment that takes %llu bytes", call,
                          (unsigned long long)measure->bytes);
    return segment;
}

/* Lays the batch out in a segment after the current one. */
static aether_status lay_out_next(struct aether_buffer *buffer, const struct batch *batch, struct layout *layout)
{
    struct measure measure;
    aether_status status = ae_measure(batch, ae_writer_newest(buffer), &measure);
    if (status != AETHER_OK)
        return status;
    struct segment *segment = take_next(buffer, &measure, batch->call, &status);
    if (segment == NULL)
        return status;
    *layout = layout_in(segment);
    status = ae_lay_out(layout, batch);
    AE_ASSERT(status == AETHER_OK); /* it was measured for this */
    return AETHER_OK;
}

/* Lays the batch out wherever it fits. */
static aether_status lay_out(struct aether_buffer *buffer, const struct batch *batch, struct layout *layout)
{
    *layout = layout_here(buffer);
    aether_status status = ae_lay_out(layout, batch);
    return status == AE_SEGMENT_FULL ? lay_out_next(buffer, batch, layout) : status;
}

static void publish(struct aether_buffer *buffer, const struct layout *layout, size_t count)
{
    if (layout->segment == buffer->writing)
        publish_here(buffer, layout, count);
    else
        publish_next(buffer, layout, count);
}

aether_status ae_writer_refuse(const struct aether_buffer *buffer, const char *call)
{
    if (buffer->reservation.active)
        return ae_fail(AETHER_BUSY, "%s: a reservation is neither committed nor abandoned", call);
    if (buffer->ended)
        return ae_fail(AETHER_ENDED, "%s: the buffer was ended or spliced before", call);
    return AETHER_OK;
}

static aether_status append_entered(struct aether_buffer *buffer, const struct batch *batch)
{
    aether_status status = ae_writer_refuse(buffer, batch->call);
    if (status != AETHER_OK || batch->count == 0)
        return status;
    struct layout layout;
    status = lay_out(buffer, batch, &layout);
    if (status != AETHER_OK)
        return status;
    publish(buffer, &layout, batch->count);
    ae_release_copied(batch);
    return AETHER_OK;
}

aether_status ae_writer_begin(struct aether_buffer *buffer, const char *call)
{
    aether_status status = ae_buffer_refuse(buffer, call);
    return status == AETHER_OK ? ae_writer_enter(buffer, call) : status;
}

static aether_status append(struct aether_buffer *buffer, const struct batch *batch)
{
    aether_status status = ae_writer_begin(buffer, batch->call);
    if (status != AETHER_OK)
        return status;
    status = append_entered(buffer, batch);
    ae_writer_leave(buffer);
    return status;
}

static __attribute__((noinline)) aether_status append_one(aether_buffer *buffer, const aether_payload *payload,
                                                          const char *call)
{
    struct batch batch = {.first = (const unsigned char *)payload, .count = 1, .stride = sizeof *payload, .call = call};
    return append(buffer, &batch);
}

/* ------------------------------------------------------------------------------------------------------- reservations */

static aether_status reserve_entered(struct aether_buffer *buffer, const struct batch *batch, void **data)
{
    struct reservation *reservation = &buffer->reservation;
    aether_status status = ae_writer_refuse(buffer, batch->call);
    if (status != AETHER_OK)
        return status;
    struct layout layout;
    status = lay_out(buffer, batch, &layout);
    if (status != AETHER_OK)
        return status;
    *reservation = (struct reservation){.active = true, .layout = layout};
    buffer->head.inline_end = NULL; /* an append meanwhile is for the plain call to refuse */
    *data = layout.data;
    return AETHER_OK;
}

aether_status aether_reserve_sized(aether_buffer *buffer, const aether_payload *payload, void **data, size_t payload_size)
{
    static const char call[] = "aether_reserve";
    if (payload == NULL || data == NULL || payload_size < sizeof *payload)
        return ae_fail(AETHER_INVALID, "%s: payload or data is NULL, or the payload's size %zu is below %zu", call,
                       payload_size, sizeof *payload);
    if (payload->release != NULL)
        return ae_fail(AETHER_INVALID, "%s: a payload by reference needs no reservation", call);
    struct batch batch = {(const unsigned char *)payload, 1, sizeof *payload, false, true, call};
    aether_status status = ae_writer_begin(buffer, call);
    if (status != AETHER_OK)
        return status;
    status = reserve_entered(buffer, &batch, data);
    ae_writer_leave(buffer);
    return status;
}

/* The reserved item becomes `size` bytes smaller than it could have been; what is behind it is zero again. */
static void shrink(struct layout *layout, size_t less)
{
    uint32_t size = ae_word_size(layout->word) - (uint32_t)less;
    layout->word = ae_word(size, ae_word_kind(layout->word));
    unsigned char *end = layout->start + AE_SLOT_HEADER + size;
    memset(end, 0, (size_t)(layout->at - end));
    layout->at = layout->start + ae_step(size);
}

static aether_status commit_entered(struct aether_buffer *buffer, size_t size, const char *call)
{
    struct reservation *reservation = &buffer->reservation;
    if (!reservation->active)
        return ae_fail(AETHER_INVALID, "%s: nothing is reserved", call);
    struct layout *layout = &reservation->layout;
    size_t reserved = (size_t)ae_word_size(layout->word) - (size_t)(layout->data - (layout->start + AE_SLOT_HEADER));
    if (size > reserved)
        return ae_fail(AETHER_TOO_LARGE, "%s: size %zu is over the %zu bytes that are reserved", call, size, reserved);
    shrink(layout, reserved - size);
    reservation->active = false;
    publish(buffer, layout, 1);
    return AETHER_OK;
}

aether_status aether_commit(aether_buffer *buffer, size_t size)
{
    static const char call[] = "aether_commit";
    aether_status status = ae_writer_begin(buffer, call);
    if (status != AETHER_OK)
        return status;
    status = commit_entered(buffer, size, call);
    ae_writer_leave(buffer);
    return status;
}

void ae_writer_abandon(struct aether_buffer *buffer)
{
    struct reservation *reservation = &buffer->reservation;
    if (!reservation->active)
        return;
    reservation->active = false;
    ae_layout_clear(&reservation->layout);
    if (reservation->layout.segment != buffer->writing)
        ae_segment_untake(buffer, reservation->layout.segment);
    ae_buffer_set_inline_end(buffer);
}

aether_status aether_abandon(aether_buffer *buffer)
{
    static const char call[] = "aether_abandon";
    aether_status status = ae_writer_begin(buffer, call);
    if (status != AETHER_OK)
        return status;
    if (!buffer->reservation.active)
        status = ae_fail(AETHER_INVALID, "%s: nothing is reserved", call);
    ae_writer_abandon(buffer);
    ae_writer_leave(buffer);
    return status;
}

aether_status ae_prepare(struct aether_buffer *buffer, const aether_payload *payload, void **data, const char *call)
{
    struct batch batch = {(const unsigned char *)payload, 1, sizeof *payload, false, payload->release == NULL, call};
    return reserve_entered(buffer, &batch, data);
}

/*
 * The bus's role is taken by an exchange, which waits until all that was written before has arrived: the lines of the next
 * events, which readers of an earlier life of the segment have in their caches, are asked for ahead of that.
 */
static void prefetch_ahead(const struct aether_buffer *buffer)
{
    enum { AHEAD = 256, LINE = 64 };
    ae_prefetch_to_write(buffer->head.at + AHEAD);
    ae_prefetch_to_write(buffer->head.at + AHEAD + LINE);
}

void ae_prepared_commit(struct aether_buffer *buffer)
{
    struct reservation *reservation = &buffer->reservation;
    reservation->active = false;
    publish(buffer, &reservation->layout, 1);
    prefetch_ahead(buffer);
}

/* -------------------------------------------------------------------------------------------------------------- trim */

static aether_status trim_entered(struct aether_buffer *buffer, const char *call)
{
    static const struct measure nothing = {0, 0};
    aether_status status = ae_writer_refuse(buffer, call);
    if (status != AETHER_OK)
        return status;
    if (buffer->head.filled != 0) {
        struct segment *segment = take_next(buffer, &nothing, call, &status);
        if (segment == NULL)
            return status;
        struct layout layout = layout_in(segment);
        publish_next(buffer, &layout, 0);
    }
    ae_window_advance(buffer, INT_MAX);
    ae_segments_trim(buffer);
    return AETHER_OK;
}

aether_status aether_buffer_trim(aether_buffer *buffer)
{
    static const char call[] = "aether_buffer_trim";
    aether_status status = ae_writer_begin(buffer, call);
    if (status != AETHER_OK)
        return status;
    status = trim_entered(buffer, call);
    ae_writer_leave(buffer);
    return status;
}

/* ----------------------------------------------------------------------------------------------------- public calls */

/* What the fast path below leaves: apart, so that it needs no stack. */
static __attribute__((noinline)) aether_status append_other(aether_buffer *buffer, const void *data, size_t size)
{
    if (buffer != NULL && (data != NULL || size == 0) && aether_inline_fits(buffer, size))
        return aether_inline_append(buffer, data, size);
    aether_payload payload = {.data = data, .size = size};
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
    aether_payload payload = {.data = data, .size = size, .index = index};
    return append_one(buffer, &payload, "aether_append_at");
}

aether_status aether_append_batch_sized(aether_buffer *buffer, const aether_payload *payloads, size_t count,
                                        size_t payload_size)
{
    struct batch batch = {(const unsigned char *)payloads, count, payload_size, false, false, "aether_append_batch"};
    if (payloads == NULL && count != 0)
        return ae_fail(AETHER_INVALID, "%s: payloads is NULL with count %zu", batch.call, count);
    if (payload_size < sizeof *payloads || payload_size % _Alignof(aether_payload) != 0)
        return ae_fail(AETHER_INVALID, "%s: payload size %zu is below %zu or not a multiple of %zu", batch.call,
                       payload_size, sizeof *payloads, _Alignof(aether_payload));
    return append(buffer, &batch);
}

/* Small items that fit where the inline way is open: as aether_inline_append_array(), with a copy for any such size. */
static void append_small(struct aether_buffer *buffer, const unsigned char *items, size_t size, size_t count)
{
    unsigned char *slot = buffer->head.at, *at = slot;
    uint32_t word = aether_inline_word(size);
    uint64_t step = aether_inline_step(size);
    ae_copy(at + AE_SLOT_HEADER, items, size);
    while (at += step, items += size, --count != 0) {
        ae_copy(at + AE_SLOT_HEADER, items, size);
        AE_STORE(E1_REST, ae_slot_word(at), word, relaxed); /* E1, relaxed: the first word's store carries it */
    }
    uint64_t bytes = (uint64_t)(at - slot);
    aether_inline_publish(buffer, slot, word, bytes / step, bytes);
}

aether_status aether_append_array(aether_buffer *buffer, const void *items, size_t size, size_t count)
{
    if (AE_LIKELY(buffer != NULL && items != NULL && size != 0 && size <= AE_COPY_SMALL && count != 0 &&
                  aether_inline_fits(buffer, size) &&
                  count <= (uint64_t)(buffer->head.inline_end - buffer->head.at) / aether_inline_step(size))) {
        append_small(buffer, items, size, count);
        return AETHER_OK;
    }
    struct batch batch = {items != NULL ? items : "", count, size, true, false, "aether_append_array"};
    if (items == NULL && count != 0 && size != 0)
        return ae_fail(AETHER_INVALID, "%s: items is NULL with count %zu", batch.call, count);
    return append(buffer, &batch);
}

aether_status aether_buffer_end(aether_buffer *buffer, aether_status reason)
{
    static const char call[] = "aether_buffer_end";
    if (reason != AETHER_OK && !aether_status_is_final(reason))
        return ae_fail(AETHER_INVALID, "%s: status %d is no reason to end", call, reason);
    aether_status status = ae_writer_begin(buffer, call);
    if (status != AETHER_OK)
        return status;
    status = ae_writer_refuse(buffer, call);
    if (status == AETHER_OK)
        ae_writer_finish(buffer, ae_word(reason == AETHER_OK ? AETHER_ENDED : (uint64_t)reason, AETHER_KIND_FINAL));
    ae_writer_leave(buffer);
    return status;
}
