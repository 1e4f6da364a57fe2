/*
 * Stands between the library and the system's futex: counts, and lets a test take the place of the kernel at the moment when
 * a reader goes to sleep.
 */
#ifndef UNIT_FUTEX_H
#define UNIT_FUTEX_H

#include "base/futex.h"

/* Installs itself over what the kernel can do. Before any other thread uses the library. */
void unit_futex_install(void);

/* Calls since installation, by all threads. */
uint64_t unit_futex_sleeps(void);
uint64_t unit_futex_wakes(void);
/* The count that the last wake was called with. */
int unit_futex_last_count(void);

/* How readers sleep, see ae_futex. Before any other thread uses the library. */
void unit_futex_poke(void);

/*
 * Of the calling thread, where it wants to be followed (else NULL). `passes` grows by one when it enters the real call and
 * when it leaves it, so it is odd while the thread sleeps. While `stall` is not 0 the thread does not come out. Both are
 * read and written atomically.
 */
struct unit_futex_trace {
    uint32_t passes, stall;
};
extern _Thread_local struct unit_futex_trace *unit_futex_trace;

/*
 * Called in a thread that is about to sleep, with the deadline; true: really sleep now, false: return as if woken. NULL ends
 * that.
 */
void unit_futex_hook(bool (*hook)(int64_t deadline, void *user), void *user);

#endif
