/*
 * The poller: one thread waits for many cursors, in a call or in an event loop of its own.
 *
 *      aether_poller *poller = aether_poller_create(NULL);
 *      if (aether_poller_add(poller, cursor, my_state) != AETHER_OK)
 *          fail(aether_error());
 *      aether_ready ready[64];
 *      size_t count;
 *      while (aether_poller_wait(poller, ready, 64, &count, AETHER_FOREVER) == AETHER_OK)
 *          for (size_t i = 0; i < count; i++)
 *              read_some(ready[i].cursor, ready[i].user);      // aether_cursor_next(..., AETHER_NO_WAIT)
 *
 * It is level-triggered: a cursor is ready while aether_cursor_next() would answer anything but AETHER_EMPTY (an item, an
 * end, a lag, a cancellation), and is reported again until then. It may be reported without cause, rarely.
 *
 * In an event loop: aether_poller_fd() is readable while a cursor may be ready, for poll, epoll (level- or edge-triggered)
 * and whatever stands on them. Then call aether_poller_wait() with AETHER_NO_WAIT until it answers AETHER_EMPTY, which makes
 * the descriptor unreadable again. A writer makes no system call for a poller unless that has found all its cursors empty.
 *
 * Threads: a poller and the cursors in it belong to one thread at a time. Others cancel: the poller, or a cursor, which
 * becomes ready by that. A cursor in a poller is closed by that thread only.
 *
 * Every function answers AETHER_INVALID for a NULL handle or argument that it needs, AETHER_FORKED for one from before
 * fork(), and AETHER_WOULD_BLOCK from a release callback. Since 0.1.0.
 */
#ifndef AETHER_POLLER_H
#define AETHER_POLLER_H

#include "aether/buffer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aether_poller aether_poller;

/* Makes an empty poller; `allocator` is copied, NULL: the C library's. NULL: AETHER_INVALID or AETHER_NO_MEMORY. */
AETHER_API AETHER_CHECKED aether_poller *aether_poller_create(const aether_allocator *allocator);

/* Its cursors leave it and stay open. Closes the descriptor. NULL does nothing. */
AETHER_API void aether_poller_destroy(aether_poller *poller);

/*
 * Adds a cursor, with whatever `user` shall be handed out beside it. AETHER_BUSY: it is in a poller already.
 * AETHER_NO_MEMORY.
 */
AETHER_API AETHER_CHECKED aether_status aether_poller_add(aether_poller *poller, aether_cursor *cursor, void *user);

/* Removes it; aether_cursor_close() does so, too. AETHER_INVALID: it is not in this poller. */
AETHER_API AETHER_CHECKED aether_status aether_poller_remove(aether_poller *poller, aether_cursor *cursor);

/* A cursor that has something. Frozen: it never grows. */
typedef struct aether_ready {
    aether_cursor *cursor;
    void *user;
} aether_ready;

/*
 * Hands out up to `capacity` cursors that are ready, in turn where there are more, waiting for the first one until
 * `timeout_ns` from now have passed. At most one heavy barrier (membarrier, a few microseconds) per call and per time it was
 * woken, however many cursors there are, and none while some are ready. AETHER_EMPTY: none, without waiting. AETHER_TIMEOUT:
 * none in time. AETHER_CANCELLED: aether_poller_cancel() was called; none is handed out. AETHER_NO_MEMORY: a cursor has
 * followed a splice and cannot be watched there; the next call may succeed.
 */
AETHER_API AETHER_CHECKED aether_status aether_poller_wait(aether_poller *poller, aether_ready *ready, size_t capacity,
                                                           size_t *count, int64_t timeout_ns);

/*
 * A file descriptor (an eventfd) that is readable while aether_poller_wait() may have something. The poller's: do not read,
 * write or close it. Made by the first call. -1: AETHER_SYSTEM, no descriptor is left.
 */
AETHER_API AETHER_CHECKED int aether_poller_fd(aether_poller *poller);

/*
 * Makes a wait that is under way, and each later one, answer AETHER_CANCELLED until aether_poller_resume(). Any thread, also
 * from a signal handler; the poller must not be destroyed before this returns. NULL does nothing.
 */
AETHER_API void aether_poller_cancel(aether_poller *poller);
AETHER_API AETHER_CHECKED aether_status aether_poller_resume(aether_poller *poller);

#ifdef __cplusplus
}
#endif

#endif
