/*
 * A cursor: a reader's place, which holds one count in the segment it stands in: of chain, or a pin where it may be lapped.
 * Who is pinned is a user of the segment's owner, so that this keeps what comes next.
 *
 *      head.at     the slot of the next item, in `segment`
 *      head.number the items before it, in the numbering of segment->owner
 *      position    if head.number == last_number: last_index in last_epoch; else what is read since had no index of its
 *                  own, and it is index_base + number - 1 in the owner's epoch
 */
#ifndef AE_CURSOR_H
#define AE_CURSOR_H

#include "buffer/buffer.h"
#include "buffer/registry.h"

/* head.state: 0 while nothing is special. */
enum {
    AE_STATE_CANCELLED = 1,
    AE_STATE_CLOSED = 2,
    AE_STATE_LEFT = 4,     /* the reader has seen "closed" and will not touch the cursor again */
    AE_STATE_SLEEPING = 8, /* kernels without futex_waitv: the reader sleeps at asleep_at */
    AE_STATE_TELLER = 16   /* from here up: how many threads are telling the reader something. Until they are done with the
                              cursor, its reader stays in its segment, returns nothing, and closes nothing */
};

enum { AE_STATE_BITS = AE_STATE_TELLER - 1 };

struct aether_cursor {
    struct aether_reader_head head; /* guard: the reader; number R1, state E10, inside E12 are atomic */
    struct segment *segment;        /* guard: the reader */
    bool pinned;                    /* guard: the reader; holds a pin, else a count of chain */
    bool adrift;                    /* guard: the reader; all that would follow here is gone, with its buffer */
    bool hinted;                    /* guard: the reader; ready although nothing new is there (buffer/feed.h) */
    struct aether_buffer *user_of;  /* guard: the reader; who is pinned is a user of segment->owner, while that is open */
    struct registry_node *node;     /* guard: the reader; in segment->owner's registry, or NULL */
    struct limit limit;             /* guard: the reader */
    struct watch *watch;            /* atomic: E17; the newest of its watches (buffer/poller.h), or NULL */
    uint64_t
        weight; /* guard: the reader; bytes of the payloads by reference before its place, in its segment; with a node */
    uint64_t last_number;
    uint64_t last_index;
    uint64_t last_epoch;
    uint32_t *asleep_at;                  /* guard: E10_SLEEP carries it to who pokes */
    uint32_t generation;                  /* const: ae_fork_generation when it was opened */
    int32_t spins, yields;                /* const: the most */
    int32_t patience;                     /* guard: the reader; how many looks pay for themselves, up to spins */
    uint64_t missed_items, missed_events; /* guard: the reader; by the last lag */
    uint64_t all_missed_items, all_missed_events, lags;
    aether_allocator allocator; /* const */
};

_Static_assert(offsetof(struct aether_cursor, head) == 0, "the inline way finds the reader's head first");

enum { AE_CURSOR_ALIGN = 64 };

/*
 * Settles a new cursor, or one that came into another buffer, at `place`: takes the count of chain that it holds over, or
 * turns that into a pin where the cursor may be lapped, and registers it. AETHER_NO_MEMORY: it is not settled.
 */
AETHER_CHECKED aether_status ae_cursor_settle(struct aether_cursor *cursor, const struct place *place);

/* Gives up what the cursor holds at its place: the count, the user, the node. */
void ae_cursor_unsettle(struct aether_cursor *cursor);
/* Drops the count, and the user of a buffer (NULL: none). */
void ae_cursor_let_go(struct segment *segment, bool pinned, struct aether_buffer *user_of);

/* The cursor, which has a node, has read all there is: the writer may know. */
void ae_cursor_tell_place(struct aether_cursor *cursor);

/* How much of its buffer the cursor, which has a node, has read. */
uint64_t ae_cursor_bytes_read(const struct aether_cursor *cursor);

/* Bytes of payloads by reference before `at`, in a segment that the caller holds. */
uint64_t ae_weight_before(const struct segment *segment, const unsigned char *at);

/* Events beyond one per item before the cursor's place, in the numbering of its segment's owner. */
uint64_t ae_cursor_extra(const struct aether_cursor *cursor);

/* The first item after `index` that the buffer retains. AETHER_GONE, AETHER_AHEAD, and what there is in *range. */
AETHER_CHECKED aether_status ae_find_after(struct aether_buffer *buffer, uint64_t index, struct place *place,
                                           aether_range *range);

/* A cursor that was taken over by a splice: its memory goes, its count stays. */
void ae_cursor_free(struct aether_cursor *cursor);

/* NULL, or a handle from before fork(): AETHER_INVALID or AETHER_FORKED with a text. */
AETHER_CHECKED aether_status ae_cursor_refuse(const struct aether_cursor *cursor, const char *call);

#endif
