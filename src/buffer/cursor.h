/*
 * A cursor: a reader's place, which holds one count in the segment it stands in.
 *
 *      head.at     the slot of the next item, in `segment`
 *      head.number the items before it, in the numbering of segment->owner
 *      position    if head.number == last_number: last_index in last_epoch; else what is read since had no index of its
 *                  own, and it is index_base + number - 1 in the owner's epoch
 */
#ifndef AE_CURSOR_H
#define AE_CURSOR_H

#include "buffer/buffer.h"

/* head.state: 0 while nothing is special. */
enum {
    AE_STATE_CANCELLED = 1,
    AE_STATE_CLOSED = 2,
    AE_STATE_LEFT = 4,     /* the reader has seen "closed" and will not touch the cursor again */
    AE_STATE_SLEEPING = 8, /* kernels without futex_waitv: the reader sleeps at asleep_at */
    AE_STATE_POKING = 16   /* somebody changes that gate's word: the reader stays in its segment meanwhile */
};

struct aether_cursor {
    struct aether_reader_head head; /* guard: the reader; number R1, state E10, inside E12 are atomic */
    struct segment *segment;        /* guard: the reader */
    uint64_t last_number;
    uint64_t last_index;
    uint64_t last_epoch;
    uint32_t *asleep_at;        /* guard: E10_SLEEP carries it to who pokes */
    uint32_t generation;        /* const: ae_fork_generation when it was opened */
    int32_t spins, yields;      /* const: the most */
    int32_t patience;           /* guard: the reader; how many looks pay for themselves, up to spins */
    aether_allocator allocator; /* const */
};

_Static_assert(offsetof(struct aether_cursor, head) == 0, "the inline way finds the reader's head first");

enum { AE_CURSOR_ALIGN = 64 };

/* A cursor that was taken over by a splice: its memory goes, its count stays. */
void ae_cursor_free(struct aether_cursor *cursor);

/* NULL, or a handle from before fork(): AETHER_INVALID or AETHER_FORKED with a text. */
AETHER_CHECKED aether_status ae_cursor_refuse(const struct aether_cursor *cursor, const char *call);

#endif
