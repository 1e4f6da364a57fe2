/*
 * Laying items out: written where they will stand, unpublished, because the first one's word is kept back.
 *
 * Whatever fails leaves the memory as it was, all zero behind the newest item, since that is where readers look. The forms
 * of an item (aether/inline.h) are chosen here: plain where it takes the next index, with its index where not, and extended
 * where it is several events or its payload stays where it is.
 */
#ifndef AE_LAYOUT_H
#define AE_LAYOUT_H

#include "buffer/segment.h"

#include "aether/buffer.h"

/*
 * What a call wants to append: payloads as the caller describes them, or an array of items of one size. `stride` is the
 * distance of two of either; a caller's aether_payload may be a later, larger one.
 */
struct batch {
    const unsigned char *first;
    size_t count;
    size_t stride;
    bool array;
    bool reserve; /* one payload without its data: only the place is wanted */
    const char *call;
};

struct layout {
    struct segment *segment;
    unsigned char *start, *at; /* of the first item, and behind the last one */
    unsigned char *last;       /* the last one */
    unsigned char *data;       /* payload of the last one */
    unsigned char *end;        /* of the room */
    uint64_t newest;           /* index of the last one, or of the one before the first */
    uint64_t indexed;          /* the same where the segment has items with indexes of their own, else 0 */
    uint64_t extra;            /* events beyond one per item */
    uint64_t weight;           /* bytes of payloads by reference */
    uint64_t weight_most;      /* how much there may be; UINT64_MAX: any, the segment is taken for these items */
    uint32_t references;       /* as segment->references will be */
    uint32_t word;             /* the first one's */
};

/* What a batch takes in a segment of its own. */
struct measure {
    uint64_t bytes;  /* of slots */
    uint64_t weight; /* of payloads by reference */
};

enum { AE_SEGMENT_FULL = -1 }; /* a status between the files of this folder */

/* All items of the batch, or none: AE_SEGMENT_FULL where they do not fit, or a failure with its text. */
AETHER_CHECKED aether_status ae_lay_out(struct layout *layout, const struct batch *batch);

/* Takes back what was laid out. */
void ae_layout_clear(const struct layout *layout);

/* Checks all items and adds up what they take, given the index before the first. */
AETHER_CHECKED aether_status ae_measure(const struct batch *batch, uint64_t newest, struct measure *measure);

/* After they are published: releases the payloads that were given by reference and are small enough to be copied. */
void ae_release_copied(const struct batch *batch);

/* Releases all payloads that a dead segment holds by reference. */
void ae_release_all(struct segment *segment);

/* Behind the header of an extended item; the payload follows, or a reference to it. */
struct extended {
    uint64_t index;
    uint32_t events;
    uint32_t before; /* of a payload by reference: 1 + offset of the one before it in the segment, else 0 */
};

struct reference {
    const void *data;
    size_t size;
    aether_release_fn release;
    void *user;
};

static inline bool ae_word_is_extended(uint32_t word)
{
    return ae_word_kind(word) == AETHER_KIND_EVENTS || ae_word_kind(word) == AETHER_KIND_REFERENCE;
}

/* The bytes that the item at `slot` has by reference. */
static inline uint64_t ae_weight_of(const unsigned char *slot, uint32_t word)
{
    if (ae_word_kind(word) != AETHER_KIND_REFERENCE)
        return 0;
    return ((const struct reference *)(const void *)(slot + AE_SLOT_HEADER + sizeof(struct extended)))->size;
}

/* The events beyond the first one of the item at `slot`. */
static inline uint64_t ae_extra_of(const unsigned char *slot, uint32_t word)
{
    return ae_word_is_extended(word) ? ((const struct extended *)(const void *)(slot + AE_SLOT_HEADER))->events - 1U : 0;
}

#endif
