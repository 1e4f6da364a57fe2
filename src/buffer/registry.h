/*
 * The registry: readers that the writer has to look at, because they make it wait or refuse, or because the statistics name
 * them.
 *
 * A node is pushed once, used by one cursor after another, and freed with the buffer; it is never unlinked, so the writer
 * walks the list without a lock. Its place is a lower bound of what the cursor has read: stored when it crosses into another
 * segment and when it has read all there is.
 *
 * Waiting for room is the sleep of buffer/gate.c turned round: the writer is the heavy side (marks, barrier, looks again,
 * sleeps), readers are the light one (store their place, look at the mark), at crossings only.
 */
#ifndef AE_REGISTRY_H
#define AE_REGISTRY_H

#include "buffer/buffer.h"

enum { AE_LABEL_BYTES = 32, AE_LABEL_WORDS = AE_LABEL_BYTES / sizeof(uint64_t) };

/* What a cursor wants of its buffer. */
struct limit {
    uint64_t bytes;             /* how much may be unread; UINT64_MAX: any */
    int32_t policy;             /* AETHER_LAP, AETHER_WAIT, AETHER_REFUSE; 0 without a limit */
    char label[AE_LABEL_BYTES]; /* ends with a zero */
};

struct registry_node {
    struct registry_node *next; /* const after the push */
    uint32_t in_use;            /* atomic: E16 */
    int32_t policy;             /* atomic: R1, and the two below: a node may be taken by another cursor at any time, */
    uint64_t limit;             /* which makes one answer a little late, and never wrong for long */
    uint64_t label[AE_LABEL_WORDS];
    uint64_t bytes, items; /* atomic: E15; at least so much of the buffer is read */
    uint64_t wanted;  /* atomic: E15; the waiting writer wants so much read; it never falls while a cursor has the node */
    uintptr_t thread; /* atomic: R1; which thread read last, 0 before */
    const struct aether_cursor *cursor; /* lock: registry_lock; whose it is */
    struct registry_node *next_free;
};

/* True for limits that need a node. */
bool ae_limit_is_registered(const struct limit *limit);

/*
 * A node of `buffer` for a cursor that has read so much of it. NULL: no memory. Takes a lock that no append takes. A limit
 * below four of the buffer's largest segments, which one from another buffer may be, is taken for that.
 */
struct registry_node *ae_registry_add(struct aether_buffer *buffer, const struct aether_cursor *cursor,
                                      const struct limit *limit, uint64_t bytes, uint64_t items);
/* The node is that of another cursor now. */
void ae_registry_hand_over(struct aether_buffer *buffer, struct registry_node *node, const struct aether_cursor *cursor);
void ae_registry_remove(struct aether_buffer *buffer, struct registry_node *node);

/* The calling thread reads the cursor. */
void ae_registry_note(struct registry_node *node);

/* The cursor has read so much. Its own thread. */
void ae_registry_tell(struct aether_buffer *buffer, struct registry_node *node, uint64_t bytes, uint64_t items);

/*
 * Waits until `more` bytes can be published without taking any reader over its limit. AETHER_OK, AETHER_FULL,
 * AETHER_TOO_LARGE (`item`, the bytes that are wanted at once, are above a limit), AETHER_TIMEOUT, AETHER_CANCELLED or
 * AETHER_WOULD_BLOCK, with a text that begins with `call`. The writer only.
 */
AETHER_CHECKED aether_status ae_registry_admit(struct aether_buffer *buffer, uint64_t item, uint64_t more, const char *call);

/* The reader that is behind the most; false: none is registered. Any thread. */
struct slowest {
    uint64_t bytes, items; /* so much has it read */
    int32_t policy;
    uint32_t of; /* so many registered ones */
    char label[AE_LABEL_BYTES];
};
bool ae_registry_slowest(struct aether_buffer *buffer, struct slowest *slowest);

/* Makes a waiting writer look again. Async-signal-safe. */
void ae_registry_wake(struct aether_buffer *buffer);

/* Nobody can reach the buffer any more. */
void ae_registry_free(struct aether_buffer *buffer);

#endif
