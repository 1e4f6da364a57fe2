/*
 * A segment: a block of memory in which items stand one after another. It is what is counted, recycled and given back.
 *
 *      ┌──────────────────┬─────────┬────────────────────────────────────────────┐
 *      │ counts, link,    │ filled  │ item │ item │ item │ ROLL or FINAL │ zeros   │
 *      │ constants        │         │      │      │      │               │         │
 *      └──────────────────┴─────────┴────────────────────────────────────────────┘
 *        128 bytes          128       `room` bytes; the last 8 are kept for the ROLL or FINAL
 *
 * A life begins when the writer stores the counts (birth, E4) and ends when `pins` falls to 0 (death, E5). In between:
 *
 *      chain = [it is buffer->current] + [it is buffer->oldest] + cursors in it that cannot be lapped
 *            + [a live link leads to it: the next of a segment whose own chain is above 0, or a splice]
 *      pins  = [chain > 0] + cursors in it that may be lapped + splices that were made from such cursors
 *
 * chain is taken only from above 0, so it falls to 0 once in a life; whoever does that cuts the link to the next segment
 * and drops the count that the link held there. Who is still pinned in it by then has been lapped: it reads the segment out
 * and goes on at `oldest`. Between take and birth nobody but the writer touches a segment; after the push to the free list
 * it is the writer's again.
 *
 * "Const in a life" is written by the writer before the birth, and carried to readers by E4, E7 or E1.
 */
#ifndef AE_SEGMENT_H
#define AE_SEGMENT_H

#include <stddef.h>

#include "base/atomic.h"
#include "base/rcu.h"
#include "buffer/edges.h"

#include "aether/inline.h"

enum {
    AE_LINE = 128,      /* two cache lines: processors fetch them in pairs */
    AE_SLOT_HEADER = 8, /* word and gate */
    AE_END_ROOM = 8     /* kept for the ROLL or FINAL */
};

struct segment {
    _Alignas(AE_LINE) uint32_t chain; /* atomic: E4, E5 */
    uint32_t pins;                    /* atomic: E4, E5 */
    struct segment *next;             /* atomic: E8; NULL, the successor, or SEVERED */
    unsigned char *next_at;           /* where readers go on; guard: written before the ROLL, carried by E1 */
    uint64_t next_number;             /* ... and with which number, in the numbering of next's owner */
    struct aether_buffer *owner;      /* const in a life */
    uint64_t ordinal;                 /* which one of its buffer, from 0; const in a life */
    uint64_t first;                   /* items published before it; const in a life */
    uint64_t offset;                  /* bytes published before it; const in a life */
    uint64_t index_base;   /* index of an item without one of its own = index_base + its number; const in a life */
    uint32_t room;         /* bytes of memory behind the header; const from allocation to free */
    uint32_t indexed_last; /* atomic: E9; 1 + offset of the newest item if that has an index of its own, else 0 */
    bool pinned_link;      /* the link holds a pin of `next`, and is a user of its buffer; guard: written before `next` */
    bool lapped;           /* cut while pinned; guard: whoever cuts, carried on by E5_UNPIN */
    struct segment *free_next; /* free list, or the list of what is given back */
    struct ae_rcu_head rcu;

    _Alignas(AE_LINE) uint64_t filled; /* atomic: E9; items << 32 | bytes */
    uint64_t extra;                    /* atomic: E9; events beyond one per item, in this segment */
    uint64_t weight;                   /* atomic: E9; bytes of payloads by reference, in this segment */
    uint64_t extra_before;             /* `extra` of all segments before it; const in a life */
    uint64_t next_extra;               /* extra_before of where readers go on; guard: as next_at */
    int64_t closed_ns;                 /* when the writer rolled on, coarse clock; owner: writer */
    uint32_t used;                     /* bytes of memory that are not zero any more; owner: writer; set when it rolls on */
    uint32_t references;               /* 1 + offset of the newest payload by reference, else 0; owner: writer */
    _Alignas(AE_LINE) unsigned char memory[];
};

/* What `next` becomes when chain has fallen to 0. */
#define AE_SEVERED ((struct segment *)(uintptr_t)1)

/* The kind of a word, and the bytes that its slot takes: header and payload, rounded up to 8. */
static inline uint32_t ae_word_kind(uint32_t word)
{
    return word & 7;
}

static inline bool ae_word_is_item(uint32_t word)
{
    uint32_t kind = ae_word_kind(word);
    return kind >= AETHER_KIND_ITEM && kind <= AETHER_KIND_REFERENCE;
}

/* Does the index stand in the first 8 bytes? */
static inline bool ae_word_has_index(uint32_t word)
{
    uint32_t kind = ae_word_kind(word);
    return kind >= AETHER_KIND_INDEXED && kind <= AETHER_KIND_REFERENCE;
}

static inline uint32_t ae_word_size(uint32_t word)
{
    return word >> 3;
}

static inline uint64_t ae_step(uint64_t size)
{
    return (size + AE_SLOT_HEADER + 7) & ~UINT64_C(7);
}

static inline uint32_t ae_word(uint64_t size, uint32_t kind)
{
    return (uint32_t)size << 3 | kind;
}

/* The two halves of a slot's header. */
static inline uint32_t *ae_slot_word(const unsigned char *slot)
{
    return (uint32_t *)(uintptr_t)slot;
}

static inline uint32_t *ae_slot_gate(const unsigned char *slot)
{
    return (uint32_t *)(uintptr_t)(slot + 4);
}

static inline uint64_t ae_filled(uint64_t items, uint64_t bytes)
{
    return items << 32 | bytes;
}

static inline uint64_t ae_filled_items(uint64_t filled)
{
    return filled >> 32;
}

static inline uint64_t ae_filled_bytes(uint64_t filled)
{
    return filled & UINT32_MAX;
}

/* The bytes that a segment of `room` takes from the allocator. */
static inline size_t ae_segment_size(uint32_t room)
{
    return offsetof(struct segment, memory) + room;
}

/*
 * The writer takes a segment in which `need` bytes of slots fit: a recycled one, else a new one, with zeroed memory and
 * without a life. For a `need` of 0 it is of the smallest size. NULL: no memory, and nothing has changed.
 */
struct segment *ae_segment_take(struct aether_buffer *buffer, uint64_t need);

/* Begins a life with `chain` counts. All fields are set and earlier pointers to this memory have moved on. */
static inline void ae_segment_birth(struct segment *segment, uint32_t chain)
{
    /* E4: pairs with E4_TAKE in ae_chain_take(); first the pin that all of chain share. */
    AE_STORE(E4_PINS, &segment->pins, 1, release);
    /* E4: pairs with E4_TAKE: whoever counts itself into this life sees all that led to it. */
    AE_STORE(E4_BIRTH, &segment->chain, chain, release);
}

/* Adds a count for somebody who already holds one, or who stands before a live link to the segment. */
static inline void ae_chain_hold(struct segment *segment)
{
    /* E5, relaxed: the count that is already held keeps the life; the drop orders what is done with this one. */
    AE_ADD(E5_HOLD, &segment->chain, 1, relaxed);
}

static inline void ae_pin_hold(struct segment *segment)
{
    AE_ADD(E5_HOLD, &segment->pins, 1, relaxed); /* E5, relaxed: as above */
}

/*
 * Adds a count unless there is none, in which case the segment is not alive (or its memory is not even a segment any more).
 * Sequentially consistent for E13: the caller looks again at where it found the segment.
 */
static inline bool ae_count_take(uint32_t *counter)
{
    uint32_t count = AE_LOAD(R1_COUNT, counter, relaxed); /* R1, relaxed: the exchange below decides */
    while (count != 0)
        /* E4: pairs with E4_BIRTH, E4_PINS. */
        if (AE_CAS(E4_TAKE, counter, &count, count + 1, seq_cst, relaxed))
            return true;
    return false;
}

static inline bool ae_chain_take(struct segment *segment)
{
    return ae_count_take(&segment->chain);
}

static inline bool ae_pin_take(struct segment *segment)
{
    return ae_count_take(&segment->pins);
}

/*
 * Drops a count; where it was the last one, the segment dies and the count that its link held goes too, along the whole
 * chain, without recursion and across splices. Never blocks. Dead segments go to their buffer's free list, or back to
 * the allocator after a grace period.
 */
void ae_chain_drop(struct segment *segment);

/* Drops a pin; where it was the last one, the segment dies. Never blocks. */
void ae_pin_drop(struct segment *segment);

/* Gives a list of segments, linked by free_next, back to the allocator after a grace period; each drops its owner then. */
void ae_segments_give_back(struct segment *list);

/* Frees a list of segments, linked by free_next, that no thread can reach. */
void ae_segments_free(const aether_allocator *allocator, struct segment *list);

/* The writer puts back what it took and did not use: its memory is zero, and it has had no life. */
void ae_segment_untake(struct aether_buffer *buffer, struct segment *segment);

/* Gives all spares back to the allocator. The writer only. */
void ae_segments_trim(struct aether_buffer *buffer);

#endif
