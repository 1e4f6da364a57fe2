/*
 * The control block of a buffer: what aether_buffer points to.
 *
 *      references = [users > 0] + segments that are alive or wait for their grace period
 *                 + [another buffer was spliced to this one]
 *      users      = [the handle] + cursors in it that are pinned + splices that lead here from such a cursor
 *      alive segments = ordinals oldest..current + those that only cursors and links hold
 *
 * Segments may outlive the handle, and each reaches its owner, so the block goes with the last reference. The last user
 * drops what `current` and `oldest` hold: earlier, readers that may be lapped would be cut off within their limit. Rules:
 * count first, publish second, release last; a segment's memory is the writer's from its death's push on.
 */
#ifndef AE_BUFFER_H
#define AE_BUFFER_H

#include <pthread.h>

#include "base/allocator.h"
#include "base/callback.h"
#include "base/check.h"
#include "base/process.h"
#include "buffer/layout.h"
#include "buffer/segment.h"

struct registry_node; /* buffer/registry.h */
struct watch;         /* buffer/poller.h */

/* Between reserve and commit or abandon: an item that is laid out, but for its payload. Guard: the writer. */
struct reservation {
    bool active;
    struct layout layout;
};

/* The room that an append wants of the readers whose limits count. */
struct ae_room {
    uint64_t item;      /* bytes that are wanted at once */
    uint64_t more;      /* what may follow in the same segment, at least as much */
    uint64_t published; /* bytes so far */
    bool waits_here;    /* by this thread: it cannot wait for a reader that is itself */
};

struct aether_buffer {
    /* Guard: the writer. */
    _Alignas(AE_LINE) struct aether_writer_head head;
    unsigned char *end;       /* of the room for items in the current segment; head.at when the buffer has ended */
    struct segment *writing;  /* the current segment, as the writer knows it */
    struct segment *mine;     /* recycled segments that the writer has taken off the free list */
    struct segment *outgrown; /* recycled segments of a wrong size by now; less than a largest one altogether */
    uint64_t outgrown_bytes;
    uint64_t indexed;  /* newest index if the current segment has items with an index of their own, else 0 */
    uint64_t wakes;    /* atomic: R1; owner: writer */
    int64_t rolled_at; /* when the current segment was begun, coarse clock */
    int64_t wait_ns;   /* how long an append waits for readers */
    uint32_t room;     /* of the next new segment, without its header */
    bool ended;
    bool may_inline; /* const: the inline way is allowed at all */

    /* Shared. */
    _Alignas(AE_LINE) struct segment *current; /* atomic: E7 */
    struct segment *oldest;                    /* atomic: E7; always a live segment */
    struct segment *freed;                     /* atomic: E6; push one, take all */
    uint32_t references;                       /* atomic: E11 */
    uint32_t spares;                           /* atomic: R1; about how many segments are free or the writer's */
    uint32_t alive;                            /* atomic: R1; segments between birth and death */
    uint32_t cursors;                          /* atomic: R1; those that stand in this buffer */
    uint64_t in_use;                           /* atomic: R1; bytes of the segments that are alive */
    uint64_t cached;                           /* atomic: R1; bytes of the spares and the outgrown */
    uint32_t spares_most;                      /* atomic: R1; 0 once the handle is gone */
    uint32_t writers;                          /* atomic: W1; debug builds: calls that write, under way */
    uint32_t users;                            /* atomic: E11 */
    uint32_t lapped;                           /* atomic: E13; segments that were cut under a reader, and are alive */
    uint64_t lap_limit;                        /* atomic: E14; the largest limit of a reader that may be lapped */
    uint64_t rolled_bytes;                     /* atomic: R1; bytes published before the current segment */

    /* Readers that the writer has to look at (buffer/registry.h). */
    _Alignas(AE_LINE) struct registry_node *nodes; /* atomic: E16; never unlinked */
    struct registry_node *free_nodes;              /* lock: registry_lock */
    pthread_mutex_t registry_lock;                 /* never taken by the writer */
    uint32_t limiting;                             /* atomic: E16; nodes with `wait` or `refuse` */
    uint32_t waits;                                /* atomic: E15; 1 while the writer sleeps for room, a futex */
    uint32_t cancelled;                            /* atomic: E15; the writer shall not wait */
    struct watch *armed;                           /* atomic: E17; push one, take all (buffer/poller.h) */
    uint32_t dead_watches;                         /* atomic: R1; about how many of them belong to closed cursors */
    uint64_t room_waits;                           /* atomic: R1; how often the writer had to */

    /* Const after create, but for the fork node and the splice's target. */
    _Alignas(AE_LINE) aether_allocator allocator;
    uint64_t epoch;
    uint32_t generation; /* ae_fork_generation at creation */
    uint32_t first_room; /* of the smallest and the largest usual segment */
    uint32_t largest_room;
    int32_t spins, yields;
    bool asymmetric;      /* base/barrier.h, at creation */
    uint64_t final_items; /* guard: written by the writer's last call, before it stops being a user */
    uint64_t final_extra;
    int32_t on_limit; /* what cursors get that ask for nothing else */
    uint64_t limit_bytes;
    uint64_t retain_bytes, retain_items; /* what is kept though nobody reads */
    int64_t retain_ns;
    struct aether_buffer *target; /* atomic: E14; where a splice leads, with a reference; lock: ae_process_lock() */
    struct ae_fork_node fork;
    struct reservation reservation; /* guard: the writer; last, because it is rarely touched */
    bool waits_elsewhere;           /* const after create: see buffer/feed.h */
    struct ae_room wanted_room;     /* guard: the writer; of the last AE_MUST_WAIT */
};

_Static_assert(offsetof(struct aether_buffer, head) == 0, "the inline way finds the writer's head first");

/* Bytes for items that are left in the current segment. */
static inline uint64_t ae_buffer_room(const struct aether_buffer *buffer)
{
    return (uint64_t)(buffer->end - buffer->head.at);
}

/* The index of the newest item, as the writer knows it. */
static inline uint64_t ae_writer_newest(const struct aether_buffer *buffer)
{
    const struct segment *segment = buffer->writing;
    if (buffer->indexed != 0)
        return buffer->indexed;
    return segment->index_base + segment->first + ae_filled_items(buffer->head.filled) - 1;
}

/*
 * Opens the inline way, unless items need more than it does: an index of their own, or a look at whether there are indexes
 * left, of which no segment has room for 2^32.
 */
static inline void ae_buffer_set_inline_end(struct aether_buffer *buffer)
{
    bool simple = buffer->indexed == 0 && ae_writer_newest(buffer) < UINT64_MAX - UINT32_MAX;
    buffer->head.inline_end = buffer->may_inline && simple && !buffer->ended ? buffer->end : NULL;
}

static inline void ae_buffer_hold(struct aether_buffer *buffer)
{
    /* E11, relaxed: whoever adds one holds one, or holds a segment that does. */
    AE_ADD(E11_HOLD, &buffer->references, 1, relaxed);
}

/*
 * Drops a user. The last one gives back what the buffer itself holds: the segment whose count of chain the caller has to
 * drop (ae_chain_drop(), NULL does nothing).
 */
AETHER_CHECKED struct segment *ae_buffer_leave(struct aether_buffer *buffer);

/* Adds a user for one that is there already, or unless there is none. */
static inline void ae_buffer_join(struct aether_buffer *buffer)
{
    AE_ADD(E11_HOLD, &buffer->users, 1, relaxed); /* E11, relaxed: as with references */
}

bool ae_buffer_try_join(struct aether_buffer *buffer);

/* Drops a reference; the last one frees the block, its free segments, and the reference on a splice's target. */
void ae_buffer_drop(struct aether_buffer *buffer);

/* The segment that buffer->current or buffer->oldest leads to, counted: the caller drops it. NULL: the handle is gone. */
struct segment *ae_buffer_grab(struct segment **where);

/* The same for who holds the handle: a destroyed one is the program's error. */
static inline struct segment *ae_buffer_grab_held(struct segment **where)
{
    struct segment *segment = ae_buffer_grab(where);
    AE_ASSERT(segment != NULL);
    return segment;
}

/* A place after the newest item, found in a segment that the caller holds. */
struct place {
    struct segment *segment; /* held; may be a later one than where the search began */
    unsigned char *at;
    uint64_t number;
    uint64_t index; /* of the item before it */
};
/* `within`: stays in the buffer where that was spliced to another; else goes on to the newest item that it leads to. */
void ae_buffer_find_end(struct place *place, bool within);

/* NULL, or a handle from before fork(): AETHER_INVALID or AETHER_FORKED with a text. */
AETHER_CHECKED aether_status ae_buffer_refuse(const struct aether_buffer *buffer, const char *call);

/* The struct comments in code: aborts when the buffer's parts contradict each other. Nobody else uses it meanwhile. */
void ae_buffer_check(struct aether_buffer *buffer);

/* Bytes published, payloads by reference included. The writer only. */
static inline uint64_t ae_writer_bytes(const struct aether_buffer *buffer)
{
    return buffer->writing->offset + ae_filled_bytes(buffer->head.filled) + buffer->writing->weight;
}

/* append.c: between writing calls. AETHER_BUSY where debug builds see two at once. */
AETHER_CHECKED aether_status ae_writer_enter(struct aether_buffer *buffer, const char *call);
void ae_writer_leave(struct aether_buffer *buffer);

/* append.c: ae_buffer_refuse(), then ae_writer_enter(). */
AETHER_CHECKED aether_status ae_writer_begin(struct aether_buffer *buffer, const char *call);

/* append.c: what no writing call may find: AETHER_BUSY during a reservation, AETHER_ENDED. */
AETHER_CHECKED aether_status ae_writer_refuse(const struct aether_buffer *buffer, const char *call);

/* append.c: gives a reservation up, if there is one. */
void ae_writer_abandon(struct aether_buffer *buffer);

/* append.c: stores `word` at the writer's place, wakes who sleeps there. */
void ae_writer_publish(struct aether_buffer *buffer, unsigned char *slot, uint32_t word);

/* append.c: publishes the last word of the buffer; it refuses appends from here on. */
void ae_writer_finish(struct aether_buffer *buffer, uint32_t word);

#endif
