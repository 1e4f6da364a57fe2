/* What views need of a dispatcher: tasks on one of its threads, at a time, and a call when a subscription has nothing more.
 */
#ifndef AE_DISPATCHER_H
#define AE_DISPATCHER_H

#include "aether/view.h"

/* Stands in what it is about. Run once for each post, on the worker's thread. */
struct ae_task {
    struct ae_task *next;
    int64_t due; /* base/clock.h */
    void (*run)(struct ae_task *task);
};

/* One of the threads, in turn. */
uint32_t ae_dispatcher_choose(aether_dispatcher *dispatcher);

/* Any thread; a task that is posted already moves to the new time. Blocks for a lock. */
void ae_dispatcher_post(aether_dispatcher *dispatcher, uint32_t worker, struct ae_task *task, int64_t due);

/* It will not run. By the worker's thread. */
void ae_dispatcher_forget(aether_dispatcher *dispatcher, uint32_t worker, struct ae_task *task);

/*
 * As aether_dispatcher_add(), to this worker; `rested` (NULL: none) is called after some events when nothing of an item is
 * left to be handed out. Any thread.
 */
AETHER_CHECKED aether_status ae_dispatcher_take(aether_dispatcher *dispatcher, uint32_t worker,
                                                aether_subscription *subscription, aether_event_fn each,
                                                void (*rested)(void *user), void *user);

#endif
