#include "buffer/layout.h"

#include "base/callback.h"
#include "base/fail.h"
#include "base/relax.h"
#include "buffer/copy.h"

/* ------------------------------------------------------------------------------------------------- what is asked for */

static inline aether_payload payload_of(const struct batch *batch, size_t number)
{
    const unsigned char *at = batch->first + number * batch->stride;
    const aether_payload *payload = (const aether_payload *)(const void *)at;
    return batch->array ? (aether_payload){at, batch->stride, 0, 0, NULL, NULL} : *payload;
}

static inline bool is_reference(const aether_payload *payload)
{
    return payload->release != NULL && payload->size >= AETHER_REFERENCE_LEAST;
}

static inline size_t size_most(const aether_payload *payload)
{
    return is_reference(payload) ? AETHER_REFERENCE_MAX : AETHER_ITEM_MAX;
}

static inline bool is_extended(const aether_payload *payload)
{
    return payload->events > 1 || is_reference(payload);
}

/* What stands behind the header: the payload or its reference, with what comes before it. */
static inline uint64_t size_of(const aether_payload *payload, bool indexed)
{
    if (!is_extended(payload))
        return payload->size + (indexed ? sizeof(uint64_t) : 0);
    return sizeof(struct extended) + (is_reference(payload) ? sizeof(struct reference) : payload->size);
}

/* What cannot be, with its words; the caller has seen that something is wrong with the item. */
static __attribute__((cold)) aether_status refuse_payload(const struct batch *batch, size_t number, uint64_t newest)
{
    aether_payload payload = payload_of(batch, number);
    if (payload.data == NULL && payload.size != 0 && !batch->reserve)
        return ae_fail(AETHER_INVALID, "%s: the data of item %zu is NULL with size %zu", batch->call, number, payload.size);
    if (payload.events > AETHER_EVENTS_MAX)
        return ae_fail(AETHER_TOO_LARGE, "%s: item %zu has %llu events, more than %llu", batch->call, number,
                       (unsigned long long)payload.events, (unsigned long long)AETHER_EVENTS_MAX);
    if (payload.size > size_most(&payload))
        return ae_fail(AETHER_TOO_LARGE, "%s: size %zu of item %zu is over the limit of %zu bytes", batch->call,
                       payload.size, number, size_most(&payload));
    if (newest == UINT64_MAX)
        return ae_fail(AETHER_INDEX_ORDER, "%s: item %zu comes after the largest index there is", batch->call, number);
    return ae_fail(AETHER_INDEX_ORDER, "%s: index %llu of item %zu is not above the newest, %llu", batch->call,
                   (unsigned long long)payload.index, number, (unsigned long long)newest);
}

/* newest + 1 where the payload has no index of its own; 0 means that the item cannot be. */
static inline uint64_t index_of(const struct batch *batch, const aether_payload *payload, uint64_t newest)
{
    if ((payload->data == NULL && payload->size != 0 && !batch->reserve) || newest == UINT64_MAX ||
        payload->size > size_most(payload) || payload->events > AETHER_EVENTS_MAX)
        return 0;
    if (payload->index == 0)
        return newest + 1;
    return payload->index > newest ? payload->index : 0;
}

#define WEIGHT_MOST (UINT64_C(1) << 62) /* no sum of sizes wraps */

aether_status ae_measure(const struct batch *batch, uint64_t newest, struct measure *measure)
{
    bool indexed = false;
    *measure = (struct measure){0, 0};
    for (size_t number = 0; number < batch->count; number++) {
        aether_payload payload = payload_of(batch, number);
        uint64_t index = index_of(batch, &payload, newest);
        if (index == 0)
            return refuse_payload(batch, number, newest);
        indexed |= index != newest + 1;
        measure->bytes += ae_step(size_of(&payload, indexed));
        measure->weight += is_reference(&payload) ? payload.size : 0;
        newest = index;
        if (measure->bytes > AETHER_BATCH_MAX)
            return ae_fail(AETHER_TOO_LARGE, "%s: a batch of more than %zu bytes, at item %zu", batch->call,
                           AETHER_BATCH_MAX, number);
        if (measure->weight > WEIGHT_MOST)
            return ae_fail(AETHER_TOO_LARGE, "%s: a batch of more than 2^62 bytes by reference, at item %zu", batch->call,
                           number);
    }
    return AETHER_OK;
}

/* ------------------------------------------------------------------------------------------------------------ writing */

/* Writes the extended form; returns where the payload goes, or NULL where it stays. */
static unsigned char *write_extended(struct layout *layout, const aether_payload *payload, uint64_t index)
{
    unsigned char *data = layout->at + AE_SLOT_HEADER;
    struct extended extended = {index, payload->events > 1 ? (uint32_t)payload->events : 1, layout->references};
    memcpy(data, &extended, sizeof extended);
    layout->extra += extended.events - 1;
    if (!is_reference(payload))
        return data + sizeof extended;
    struct reference reference = {payload->data, payload->size, payload->release, payload->user};
    memcpy(data + sizeof extended, &reference, sizeof reference);
    layout->references = (uint32_t)(layout->at - layout->segment->memory) + 1;
    layout->weight += payload->size;
    return NULL;
}

static inline bool fits(const struct layout *layout, const aether_payload *payload, uint64_t size)
{
    if (ae_step(size) > (uint64_t)(layout->end - layout->at))
        return false;
    return !is_reference(payload) ||
           (layout->weight <= layout->weight_most && payload->size <= layout->weight_most - layout->weight);
}

/* Writes one item; false: there is no room for it. */
static bool lay_out_item(struct layout *layout, const struct batch *batch, const aether_payload *payload, uint64_t index)
{
    unsigned char *slot = layout->at, *data = slot + AE_SLOT_HEADER;
    bool indexed = layout->indexed != 0 || index != layout->newest + 1;
    uint64_t size = size_of(payload, indexed);
    if (!fits(layout, payload, size))
        return false;
    uint32_t kind = indexed ? AETHER_KIND_INDEXED : AETHER_KIND_ITEM;
    if (is_extended(payload)) {
        kind = is_reference(payload) ? AETHER_KIND_REFERENCE : AETHER_KIND_EVENTS;
        data = write_extended(layout, payload, index);
    } else if (indexed) {
        memcpy(data, &index, sizeof index);
        data += sizeof index;
    }
    if (indexed)
        layout->indexed = index;
    if (data != NULL && !batch->reserve)
        ae_copy(data, payload->data, payload->size);
    uint32_t word = ae_word(size, kind);
    if (slot == layout->start)
        layout->word = word;
    else
        AE_STORE(E1_REST, ae_slot_word(slot), word, relaxed); /* E1, relaxed: the first word's store carries it */
    layout->newest = index;
    layout->last = slot;
    layout->data = data;
    layout->at = slot + ae_step(size);
    return true;
}

/* A reader looks at the header behind the newest item, so all of it has to be zero again. */
void ae_layout_clear(const struct layout *layout)
{
    if (layout->at != layout->start) /* not the first header: its gate may be marked */
        memset(layout->start + AE_SLOT_HEADER, 0, (size_t)(layout->at - layout->start) - AE_SLOT_HEADER);
}

/* The usual case: lays out the first items as long as they fit and are plain. Returns how many. */
static inline size_t lay_out_plain(struct layout *layout, const struct batch *batch)
{
    if (layout->indexed != 0 || layout->newest > UINT64_MAX - batch->count || batch->reserve)
        return 0;
    const struct batch all = *batch; /* for registers: what is stored below might be part of it */
    unsigned char *at = layout->at, *last = layout->last, *const end = layout->end;
    size_t number = 0;
    for (; number < all.count; number++) {
        aether_payload payload = payload_of(&all, number);
        uint64_t step = ae_step(payload.size);
        if (payload.index != 0 || payload.events > 1 || payload.release != NULL ||
            (payload.data == NULL && payload.size != 0) || payload.size > AETHER_ITEM_MAX || step > (uint64_t)(end - at))
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

aether_status ae_lay_out(struct layout *layout, const struct batch *batch)
{
    for (size_t number = lay_out_plain(layout, batch); number < batch->count; number++) {
        aether_payload payload = payload_of(batch, number);
        uint64_t index = index_of(batch, &payload, layout->newest);
        aether_status status = AETHER_OK;
        if (AE_UNLIKELY(index == 0))
            status = refuse_payload(batch, number, layout->newest);
        else if (AE_UNLIKELY(!lay_out_item(layout, batch, &payload, index)))
            status = AE_SEGMENT_FULL;
        if (AE_UNLIKELY(status != AETHER_OK)) {
            ae_layout_clear(layout);
            return status;
        }
    }
    return AETHER_OK;
}

/* ---------------------------------------------------------------------------------------------------------- measuring */

/* ---------------------------------------------------------------------------------------------------------- releasing */

static void release(const void *data, size_t size, aether_release_fn callback, void *user)
{
    ae_callback_enter();
    callback((void *)(uintptr_t)data, size, user);
    ae_callback_leave();
}

void ae_release_copied(const struct batch *batch)
{
    for (size_t number = 0; number < batch->count && !batch->array; number++) {
        aether_payload payload = payload_of(batch, number);
        if (payload.release != NULL && !is_reference(&payload))
            release(payload.data, payload.size, payload.release, payload.user);
    }
}

void ae_release_all(struct segment *segment)
{
    uint32_t next = segment->references;
    while (next != 0) {
        const unsigned char *data = segment->memory + (next - 1) + AE_SLOT_HEADER;
        struct extended extended;
        struct reference reference;
        memcpy(&extended, data, sizeof extended);
        memcpy(&reference, data + sizeof extended, sizeof reference);
        release(reference.data, reference.size, reference.release, reference.user);
        next = extended.before;
    }
}
