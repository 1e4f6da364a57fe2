/*
 * Views: a materialised answer, which follows a pattern by itself (BUS10).
 *
 * A view subscribes with a snapshot, folds every event into a state of the program's, and shows a complete answer at any
 * time: while a new snapshot is being read, the old answer stays. It starts again by itself after a reset, a lag or a
 * failure.
 *
 *      static bool fold(void *state, const aether_event *event, void *user);
 *      aether_view *view = aether_view_open(bus, "prices.>", &(aether_view_options){.fold = fold, .state_new = new_table,
 *                                                                                  .state_free = free_table});
 *      if (aether_view_wait(view, index, AETHER_SECONDS(1)) == AETHER_OK) {
 *          table = aether_view_lock(view, NULL);
 *          ...
 *          aether_view_unlock(view);
 *      }
 *
 * Any thread; the fold runs on a dispatcher's thread or one of the view's own. Since 0.1.0.
 */
#ifndef AETHER_VIEW_H
#define AETHER_VIEW_H

#include "aether/bus.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------------ dispatcher */

typedef struct aether_dispatcher aether_dispatcher;

/*
 * Called for each event of a subscription with AETHER_OK; with AETHER_LAGGED and a NULL event; and last of all with a final
 * status and a NULL event. On one of the dispatcher's threads, one call at a time per subscription. It must not wait; what
 * would have to answers AETHER_WOULD_BLOCK. False: enough; the subscription is unsubscribed, and the last call follows.
 */
typedef bool (*aether_event_fn)(const aether_event *event, aether_status status, void *user);

/* A dispatcher with so many threads, 1 to 64, named "aether-dispatch". NULL: AETHER_INVALID, AETHER_NO_MEMORY,
 * AETHER_SYSTEM. */
AETHER_API AETHER_CHECKED aether_dispatcher *aether_dispatcher_create(int32_t threads, const aether_allocator *allocator);

/*
 * Closes what is still in it, without further calls, and joins its threads. Views on it are closed before. Not from a
 * callback. NULL does nothing.
 */
AETHER_API void aether_dispatcher_destroy(aether_dispatcher *dispatcher);

/*
 * Gives the subscription to the dispatcher, which owns it from here on: it calls `each`, and closes the subscription after
 * the last call. aether_unsubscribe() from other threads may be used until that call has returned. Any thread. AETHER_BUSY:
 * it is in a poller or has a descriptor. AETHER_NO_MEMORY; it stays the caller's on any failure.
 */
AETHER_API AETHER_CHECKED aether_status aether_dispatcher_add(aether_dispatcher *dispatcher,
                                                              aether_subscription *subscription, aether_event_fn each,
                                                              void *user);

/* ------------------------------------------------------------------------------------------------------------ views */

typedef struct aether_view aether_view;

/* What label and filter lead to stays the caller's, and stays, until aether_view_close(). */
typedef struct aether_view_options {
    void *(*state_new)(void *user);                                   /* an empty state; NULL: no memory. Required */
    void (*state_free)(void *state, void *user);                      /* required */
    bool (*fold)(void *state, const aether_event *event, void *user); /* one event; false: it failed: there is no answer
                                                                         any more, and the view begins anew. Required */
    void (*changed)(aether_position position, aether_status status, void *user); /* after changes of the answer, and each
                                                                                    failure; may be NULL; must not wait */
    void *user;
    aether_filter filter;
    uint64_t limit_bytes; /* as with subscriptions; the policy is AETHER_LAP, and a new snapshot on lag */
    const char *label;
    int64_t retry_least_ns; /* after a failure: half to all of this, doubled each time, up to retry_most_ns, drawn at random;
                               0: 100 ms, and 10 s. After a reset, a refresh or changed access at once the first time */
    int64_t retry_most_ns;
    aether_dispatcher *dispatcher; /* one of whose threads folds, and outlives the view; NULL: a thread of the view's own.
                                      Handlers that run in the caller's thread make their snapshots there */
} aether_view_options;

/*
 * Opens a view of what `pattern` matches, which needs a snapshot handler (else it tries again, as after any failure). The
 * caller owns it, until aether_view_close(). NULL: AETHER_INVALID, AETHER_NO_MEMORY, AETHER_SYSTEM, AETHER_DISABLED,
 * AETHER_SHUT_DOWN.
 */
AETHER_API AETHER_CHECKED aether_view *aether_view_open_sized(aether_bus *bus, const char *pattern,
                                                              const aether_view_options *options, size_t options_size);

static inline AETHER_CHECKED aether_view *aether_view_open(aether_bus *bus, const char *pattern,
                                                           const aether_view_options *options)
{
    return aether_view_open_sized(bus, pattern, options, sizeof *options);
}

/* Frees the view and its states. Not from a callback, nor between lock and unlock of this thread. NULL does nothing. */
AETHER_API void aether_view_close(aether_view *view);

/*
 * Waits until the answer includes `index` (0: until there is one), a batch whole or not at all. AETHER_TIMEOUT;
 * AETHER_WOULD_BLOCK in a callback; AETHER_SHUT_DOWN. A view passes an index by an event above it, a snapshot, or a progress
 * mark.
 */
AETHER_API AETHER_CHECKED aether_status aether_view_wait(aether_view *view, uint64_t index, int64_t timeout_ns);

/*
 * The answer, locked against the fold until aether_view_unlock() by the same thread; NULL: there is none yet. *position, if
 * not NULL, gets the place that it includes. Short: the fold waits meanwhile.
 */
AETHER_API AETHER_CHECKED const void *aether_view_lock(aether_view *view, aether_position *position);
AETHER_API void aether_view_unlock(aether_view *view);

/* How the view is: AETHER_OK, or why it is being started again; and the figures. */
typedef struct aether_view_stats {
    aether_status status;
    aether_position position; /* of the answer; {0, 0}: none yet */
    uint64_t events;          /* folded */
    uint64_t snapshots;       /* complete ones */
    uint64_t restarts;
    uint64_t failures;
} aether_view_stats;

AETHER_API AETHER_CHECKED aether_status aether_view_get_stats_sized(aether_view *view, aether_view_stats *stats,
                                                                    size_t stats_size);

static inline AETHER_CHECKED aether_status aether_view_get_stats(aether_view *view, aether_view_stats *stats)
{
    return aether_view_get_stats_sized(view, stats, sizeof *stats);
}

#ifdef __cplusplus
}
#endif

#endif
