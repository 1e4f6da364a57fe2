/*
 * The watchdog: a thread that tells a reader that sleeps although it has a reason to return, which is what a lost wake-up
 * looks like. It takes less than a second, and is not misled by a machine that is merely slow: it reports only threads
 * that the kernel says are asleep and that have not been switched to meanwhile.
 */
#ifndef AE_STRESS_WATCH_H
#define AE_STRESS_WATCH_H

#include "common/stress_run.h"

/* One reader, as the watchdog sees it. Zero it; what `level` points to has to outlive the watch. */
struct stress_watch {
    const char *what;      /* const; what kind of reader, for the report */
    uint64_t reader;       /* const; which one */
    uint64_t thread;       /* atomic; the kernel's number of the thread that is inside */
    uint64_t call;         /* atomic; calls begun and ended: odd while the reader is inside one */
    uint64_t told;         /* atomic; the call that somebody told to return */
    uint64_t mark;         /* atomic */
    const uint64_t *level; /* atomic; the call has to return when *level > mark */

    /* const; NULL, or whether there is another reason to return */
    bool (*due)(struct stress_watch *watch);

    struct stress_watch *next; /* from here on: the watchdog's */
    uint64_t seen_call;
    uint64_t switches;
    int64_t due_since;
    int64_t quiet_since;
};

void stress_watchdog_start(void);

void stress_watch_add(struct stress_watch *watch, const char *what, uint64_t reader);
void stress_watch_remove(struct stress_watch *watch);

/* Around a call that may sleep: it has to return when *level > mark (NULL: only when told). */
void stress_watch_enter(struct stress_watch *watch, const uint64_t *level, uint64_t mark);
void stress_watch_leave(struct stress_watch *watch);

/* The call that the reader is inside, 0 if none; for stress_watch_tell() after that call has been told to return. */
uint64_t stress_watch_call(const struct stress_watch *watch);
void stress_watch_tell(struct stress_watch *watch, uint64_t call);

/* True when the reader is inside a call that waits for more than `level` holds. */
bool stress_watch_waits_at(const struct stress_watch *watch, uint64_t mark);

#endif
