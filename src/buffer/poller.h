/*
 * Who waits for many cursors at once. A cursor that a poller found empty is armed: its watch stands on a stack of the
 * buffer, and the gate of its slot is marked for that. The writer that closes such a gate takes the whole stack and signals
 * each watch's poller (edge E17).
 *
 *      watch references = [the cursor] + [on a buffer's stack] + [on its poller's list of signals]
 *      poller references = [the handle] + watches
 *
 * A watch belongs to a cursor until that is closed, so that who cancels finds it; one that has left its poller is passed
 * over.
 */
#ifndef AE_POLLER_H
#define AE_POLLER_H

#include "buffer/cursor.h"

struct watch {
    struct aether_cursor *cursor; /* guard: the poller's thread; NULL once it has left the poller */
    void *user;
    struct aether_poller *poller;  /* const */
    struct watch *before;          /* const: an earlier one of the same cursor */
    struct aether_buffer *owner;   /* guard: the poller's thread; on whose stack it was put last */
    struct watch *next, *previous; /* guard: the poller's thread; among the cursors that are not armed, or NULL */
    struct watch *next_member;     /* guard: the poller's thread; all in the poller */
    struct watch *previous_member;
    struct watch *next_armed;  /* guard: whoever pushes or has taken */
    struct watch *next_signal; /* the same */
    uint32_t references;       /* atomic: E17 */
    uint32_t is_armed;         /* atomic: E17; on a buffer's stack */
    uint32_t is_signalled;     /* atomic: E17; on the poller's list */
};

/* Signals all that wait at the gates of `buffer`. The writer, after it has closed a gate that was marked for pollers. */
void ae_poller_wake(struct aether_buffer *buffer);

/* Tells the cursor's poller, if it has one, that something has changed. Async-signal-safe. */
void ae_poller_tell(struct aether_cursor *cursor);

/* The cursor is being closed. The poller's thread. */
void ae_poller_forget(struct aether_cursor *cursor);

/* The buffer is going: nobody waits on its stack any more. */
void ae_poller_drop_stack(struct aether_buffer *buffer);

#endif
