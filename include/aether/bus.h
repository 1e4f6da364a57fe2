/*
 * The bus: events are published under subjects, subscriptions follow the subjects that match a pattern.
 *
 *      publishers (any thread)              feeds, one per pattern            subscriptions (one thread each)
 *      aether_publish("orders.eu.42") ──┬──▶ "orders.eu.*"  ▒▒▒▒▒▒▒▒ ──┬──▶ next
 *                                       │                              └──▶ next
 *                                       └──▶ "orders.>"     ▒▒▒▒▒▒▒▒ ─────▶ [snapshot] ──▶ next
 *
 * The model
 *  - The bus is one order of events (BUS1). Each has an index, strictly growing; a batch has one index and stands together.
 *    Publish returns when the event stands in every feed that matches, or with the status for which it stands in none. What
 *    is published after subscribe returned is seen by it.
 *  - All subscriptions of one pattern share one feed, a buffer (aether/buffer.h): publishing costs as much as there are
 * distinct patterns that match, however many subscriptions follow them (BUS2). Publishing to nobody costs almost nothing.
 *  - A subscription begins now, in the past, or with a snapshot of the state: then it gets the snapshot's events, an event
 * of kind AETHER_EVENT_SNAPSHOT_END with the index of that state, and then exactly the events above that index (BUS5).
 *  - Within one bus either all publishers give the indexes, under which their state was committed, or the bus draws them
 *    (BUS4). The first successful publish decides.
 *  - A history ends with aether_bus_reset(), which begins a new epoch. A position is an epoch and an index.
 *
 *      aether_bus *bus = aether_bus_create(NULL);
 *      aether_subscription *sub = aether_subscribe(bus, "orders.>", NULL);
 *      if (aether_publish(bus, "orders.eu.42", AETHER_EVENT(.type = "Paid")) != AETHER_OK)
 *          fail(aether_error());
 *      aether_event event;
 *      while (aether_next(sub, &event, AETHER_NO_WAIT) == AETHER_OK)
 *          printf("%.*s\n", (int)event.subject_size, event.subject);
 *      aether_subscription_close(sub);
 *      aether_bus_destroy(bus);
 *
 * Caveats
 *  - Bus, topic and snapshot handlers: any thread. A subscription: one thread at a time; only aether_subscription_cancel()
 * and aether_unsubscribe() come from others.
 *  - What a subscription hands out is borrowed until its next call.
 *  - A subscription with AETHER_WAIT makes publishers wait, one with AETHER_REFUSE makes publishing fail; one without a
 * limit holds memory for what it has not read. The default is a limit of 16 MiB with AETHER_LAP.
 *  - Inside a callback (a snapshot handler, a predicate, a dispatcher's or view's function) nothing waits: what would have
 * to wait for another thread answers AETHER_WOULD_BLOCK. Subscribing and publishing are allowed in a handler.
 *  - A pattern's handlers, feeds and retained events are of the bus: they go with it.
 *
 * Every function answers AETHER_INVALID for a NULL handle or argument that it needs, AETHER_FORKED for a handle from before
 * fork(), and AETHER_SHUT_DOWN after aether_bus_shutdown(); their comments name the other answers only. Structs may grow at
 * their end, as in aether/buffer.h. Since 0.1.0.
 */
#ifndef AETHER_BUS_H
#define AETHER_BUS_H

#include "aether/buffer.h"
#include "aether/event.h"
#include "aether/poller.h"
#include "aether/subject.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aether_bus aether_bus;                   /* an order of events, or a namespace in one */
typedef struct aether_topic aether_topic;               /* a subject that is published to often */
typedef struct aether_subscription aether_subscription; /* a reader */
typedef struct aether_snapshot aether_snapshot;         /* what a snapshot handler fills */

/* --------------------------------------------------------------------------------------------- creating, destroying */

/* Zero is the default everywhere. */
typedef struct aether_bus_options {
    const aether_allocator *allocator; /* copied; NULL: the C library's */
    uint64_t epoch;                    /* the identity of this history; 0: a random one */
    uint64_t newest_index;             /* the index before the first event */
    int64_t
        publish_wait_ns; /* how long a publish waits for subscriptions with AETHER_WAIT; 0: AETHER_FOREVER; below 0: not */
    int64_t linger_ns;   /* how long a feed stays after its last subscription; 0: one second; below 0: not at all */
    uint32_t segment_bytes; /* of feeds and snapshots, as in aether_buffer_options; 0: 64 KiB */
    uint32_t share_bytes;   /* an encoded event of at least so many bytes that goes to several feeds is one block that they
                               share; 0: 1024, at least 128 */
    uint32_t topics;        /* subjects to remember without a handle, for publishing by subject; 0: 65536 */
    int32_t spins;          /* of waiting readers, as in aether_buffer_options */
    bool disabled;          /* accepts and counts what is published, and does nothing; subscribing is AETHER_DISABLED */
} aether_bus_options;

/*
 * Makes a bus. The caller owns it, until aether_bus_destroy(). Does not block, starts no thread; a bus starts one thread for
 * housekeeping with the first feed that lingers, cached snapshot or deadline, and threads for snapshots with the first
 * handler that is to run on its pool. NULL: AETHER_INVALID, AETHER_NO_MEMORY or AETHER_SYSTEM.
 */
AETHER_API AETHER_CHECKED aether_bus *aether_bus_create_sized(const aether_bus_options *options, size_t options_size);

static inline AETHER_CHECKED aether_bus *aether_bus_create(const aether_bus_options *options)
{
    return aether_bus_create_sized(options, sizeof *options);
}

/*
 * Ends all: subscriptions of this bus, its namespaces and the domains in it get AETHER_SHUT_DOWN, publishers that wait
 * return, and every later call on a handle of it answers AETHER_SHUT_DOWN at once. Any thread, any number of times. Does not
 * wait for handlers that are running; aether_bus_destroy() does.
 */
AETHER_API AETHER_CHECKED aether_status aether_bus_shutdown(aether_bus *bus);

/*
 * Gives the handle up. That of aether_bus_create() shuts the bus down, waits for handlers that are running and joins its
 * threads; subscriptions, topics and other handles stay valid, answer AETHER_SHUT_DOWN, and are closed by their owners. Not
 * beside another call that takes this handle, and not from a callback. NULL does nothing.
 */
AETHER_API void aether_bus_destroy(aether_bus *bus);

/*
 * A handle for the namespace `name`, a token (BUS12): its subjects and patterns are relative, "a.b" means "name.a.b", and
 * what it receives is relative again. It cannot reach anything outside. Handles of one name are the same namespace. Reset,
 * shutdown and newest index are the whole bus's; only refresh, handlers, retention and closing by label are the namespace's
 * own. NULL: AETHER_INVALID (also of a namespace's handle: they do not nest), AETHER_NO_MEMORY.
 */
AETHER_API AETHER_CHECKED aether_bus *aether_bus_namespace(aether_bus *bus, const char *name);

/*
 * The same, but an order of events of its own, with its own indexes, epoch and reset. The bus's own handle does not reach
 * into it: its patterns pass it over, and publishing or subscribing to what lies in it is AETHER_INVALID. `options` of the
 * first handle count. NULL: also AETHER_EXISTS: the name is in use as a namespace of the bus's order, by a handle of
 * aether_bus_namespace().
 */
AETHER_API AETHER_CHECKED aether_bus *aether_bus_domain_sized(aether_bus *bus, const char *name,
                                                              const aether_bus_options *options, size_t options_size);

static inline AETHER_CHECKED aether_bus *aether_bus_domain(aether_bus *bus, const char *name,
                                                           const aether_bus_options *options)
{
    return aether_bus_domain_sized(bus, name, options, sizeof *options);
}

/*
 * The epoch and the newest index: everything up to it stands in the feeds. Any thread, a handler too; never blocks. All zero
 * for NULL or a handle from before fork().
 */
AETHER_API aether_position aether_bus_newest(const aether_bus *bus);

/* ------------------------------------------------------------------------------------------------------- publishing */

/*
 * Publishes an event under a subject, which counts instead of event->subject. From any thread. Does not block but for the
 * moment in which another thread publishes, and for subscriptions with AETHER_WAIT, at most as long as
 * options.publish_wait_ns. On any other status than AETHER_OK the event stands nowhere, and no index was used up.
 * AETHER_INVALID: no such subject, a NULL text with a size, index given where the bus draws them or none where they are
 * given. AETHER_TOO_LARGE: a part of the event is over its limit (aether/event.h). AETHER_INDEX_ORDER: event->index is not
 * above the newest. AETHER_STALE_EPOCH: event->epoch is neither 0 nor the current one. AETHER_FULL: a subscription with
 * AETHER_REFUSE is at its limit. AETHER_TIMEOUT: one with AETHER_WAIT still was. AETHER_WOULD_BLOCK: it would have to wait
 * for one, inside a callback or for one that this thread reads. AETHER_CANCELLED never. AETHER_NO_MEMORY.
 */
AETHER_API AETHER_CHECKED aether_status aether_publish_sized(aether_bus *bus, const char *subject, const aether_event *event,
                                                             size_t event_size);

static inline AETHER_CHECKED aether_status aether_publish(aether_bus *bus, const char *subject, const aether_event *event)
{
    return aether_publish_sized(bus, subject, event, sizeof *event);
}

/*
 * The same for several events, each under its event->subject, which stand together under one index, that of events[0] (or
 * the drawn one): a subscription gets those that match one after another, and nothing in between. All or none. The epoch is
 * that of events[0]. Given indexes that differ are AETHER_INVALID. No events are AETHER_OK.
 */
AETHER_API AETHER_CHECKED aether_status aether_publish_batch_sized(aether_bus *bus, const aether_event *events, size_t count,
                                                                   size_t event_size);

static inline AETHER_CHECKED aether_status aether_publish_batch(aether_bus *bus, const aether_event *events, size_t count)
{
    return aether_publish_batch_sized(bus, events, count, sizeof *events);
}

/*
 * A handle for a subject that is published to often: what matches it is looked up once. The caller owns it, until
 * aether_topic_close(). Any thread. NULL: AETHER_INVALID, AETHER_NO_MEMORY, AETHER_SHUT_DOWN.
 */
AETHER_API AETHER_CHECKED aether_topic *aether_topic_open(aether_bus *bus, const char *subject);
AETHER_API void aether_topic_close(aether_topic *topic);

/* As aether_publish() under the topic's subject. Any number of threads at a time. */
AETHER_API AETHER_CHECKED aether_status aether_topic_publish_sized(aether_topic *topic, const aether_event *event,
                                                                   size_t event_size);

static inline AETHER_CHECKED aether_status aether_topic_publish(aether_topic *topic, const aether_event *event)
{
    return aether_topic_publish_sized(topic, event, sizeof *event);
}

/* As aether_publish_batch(), all under the topic's subject. */
AETHER_API AETHER_CHECKED aether_status aether_topic_publish_batch_sized(aether_topic *topic, const aether_event *events,
                                                                         size_t count, size_t event_size);

static inline AETHER_CHECKED aether_status aether_topic_publish_batch(aether_topic *topic, const aether_event *events,
                                                                      size_t count)
{
    return aether_topic_publish_batch_sized(topic, events, count, sizeof *events);
}

/* ------------------------------------------------------------------------------------------------------- histories */

/*
 * Ends the history and begins a new one: every feed ends with AETHER_RESET, so do the subscriptions, snapshots are dropped,
 * and positions of before are of another epoch. `to`: the new epoch (0: a random one) and newest index; NULL: random, 0.
 * Where publishers give indexes, they may begin anew above to->index. Retained patterns and handlers stay. Any thread, a
 * handler too. AETHER_INVALID: the epoch is the current one.
 */
AETHER_API AETHER_CHECKED aether_status aether_bus_reset(aether_bus *bus, const aether_position *to);

/*
 * Something under `pattern` has changed that was not published: ends all subscriptions whose pattern overlaps it with
 * AETHER_RESET, drops their snapshots, and makes positions from before AETHER_GONE for such patterns. The epoch stays.
 */
AETHER_API AETHER_CHECKED aether_status aether_bus_refresh(aether_bus *bus, const char *pattern);

/* As long as any of the three asks for it, by whole segments. All zero: as little as possible. */
typedef struct aether_retention {
    uint64_t bytes;
    uint64_t events;
    int64_t ns;
} aether_retention;

/*
 * Keeps what is published under the pattern from now on, so that subscriptions may start in the past: its feed becomes
 * permanent. Again: with other figures. A start in the past is served by the narrowest retained or living feed that covers
 * its pattern and goes back as far. AETHER_INVALID, AETHER_NO_MEMORY.
 */
AETHER_API AETHER_CHECKED aether_status aether_bus_retain_sized(aether_bus *bus, const char *pattern,
                                                                const aether_retention *retention, size_t retention_size);

static inline AETHER_CHECKED aether_status aether_bus_retain(aether_bus *bus, const char *pattern,
                                                             const aether_retention *retention)
{
    return aether_bus_retain_sized(bus, pattern, retention, sizeof *retention);
}

/* The feed is as any other from now on. AETHER_INVALID: it was not retained. */
AETHER_API AETHER_CHECKED aether_status aether_bus_release(aether_bus *bus, const char *pattern);

/* ------------------------------------------------------------------------------------------------------- snapshots */

/*
 * Makes a snapshot: appends events that show the state of what `pattern` matches, and says in *index which index that state
 * includes. It is exact if events are published after the state shows them: read the state after the call has begun. Where
 * the bus draws indexes, read and publish under a lock of the program's, and take aether_bus_newest().index inside it.
 * Another status than AETHER_OK fails the snapshot: each watcher gets AETHER_FAILED, the next one tries again. It may
 * publish and subscribe; it must not wait for a watcher. `pattern` is relative to the handle that it was registered with.
 */
typedef aether_status (*aether_snapshot_fn)(aether_snapshot *snapshot, const char *pattern, uint64_t *index, void *user);

/* Zero is the default but for `make`. */
typedef struct aether_snapshot_handler {
    aether_snapshot_fn make;
    void *user;
    int64_t cache_ns;     /* how long a finished snapshot serves further watchers; 0: only while it is being made */
    uint64_t cache_bytes; /* a cached one is dropped when so much has been published since; 0: 16 MiB */
    int64_t deadline_ns;  /* watchers get AETHER_FAILED when it takes longer; 0: never */
    bool on_pool;         /* made by a thread of the bus's; else by that of the first watcher, in aether_subscribe() or
                             aether_next() */
    bool by_subject;      /* each subject counts for itself (BUS5): events carry subject_index, the snapshot's too; what the
                             snapshot has not seen of a subject is delivered. Such watchers resume by a new snapshot only */
} aether_snapshot_handler;

/*
 * Registers who makes the snapshots of all patterns that `pattern` covers; the most specific one does. AETHER_EXISTS: this
 * very pattern has one.
 */
AETHER_API AETHER_CHECKED aether_status aether_bus_handle_snapshots_sized(aether_bus *bus, const char *pattern,
                                                                          const aether_snapshot_handler *handler,
                                                                          size_t handler_size);

static inline AETHER_CHECKED aether_status aether_bus_handle_snapshots(aether_bus *bus, const char *pattern,
                                                                       const aether_snapshot_handler *handler)
{
    return aether_bus_handle_snapshots_sized(bus, pattern, handler, sizeof *handler);
}

/*
 * Takes it away: no call of it begins after that. With `wait` also returns only when none is running; from inside a callback
 * AETHER_WOULD_BLOCK, if one is. AETHER_NO_HANDLER: the pattern has none.
 */
AETHER_API AETHER_CHECKED aether_status aether_bus_unhandle_snapshots(aether_bus *bus, const char *pattern, bool wait);

/*
 * For handlers: appends events, each under its subject; index, epoch and kind are not looked at. They become visible to the
 * watchers together. AETHER_INVALID: a subject outside the pattern. AETHER_CANCELLED: nobody needs the snapshot any more
 * (deadline, reset, shutdown): the handler returns. AETHER_TOO_LARGE, AETHER_NO_MEMORY. By the thread that was called.
 */
AETHER_API AETHER_CHECKED aether_status aether_snapshot_append_sized(aether_snapshot *snapshot, const aether_event *events,
                                                                     size_t count, size_t event_size);

static inline AETHER_CHECKED aether_status aether_snapshot_append(aether_snapshot *snapshot, const aether_event *events,
                                                                  size_t count)
{
    return aether_snapshot_append_sized(snapshot, events, count, sizeof *events);
}

/* ----------------------------------------------------------------------------------------------------- subscribing */

/* Where a subscription begins. */
typedef int32_t aether_begin;

enum {
    AETHER_BEGIN_NOW = 0,      /* with what is published after the call began */
    AETHER_BEGIN_OLDEST = 1,   /* with the oldest event that is kept */
    AETHER_BEGIN_AFTER = 2,    /* with the first one above options.position */
    AETHER_BEGIN_AT = 3,       /* with the one at options.position, or above */
    AETHER_BEGIN_SNAPSHOT = 4, /* with a snapshot */
    AETHER_BEGIN_RESUME = 5 /* as AETHER_BEGIN_AFTER; where that cannot be, with an event AETHER_EVENT_SNAPSHOT_FOLLOWS and a
                               snapshot. A position of 0, 0 begins with a snapshot straight away */
};

/* Beside AETHER_LAP, AETHER_WAIT and AETHER_REFUSE: the subscription is closed with AETHER_TOO_SLOW. */
enum { AETHER_CLOSE = 4 };

/* What a subscription with AETHER_LAP does when it has missed events. */
typedef int32_t aether_on_lag;

enum {
    AETHER_LAG_DEFAULT = 0,  /* a new snapshot where it began with one or was to resume, else it goes on */
    AETHER_LAG_GO_ON = 1,    /* AETHER_LAGGED once, then what follows */
    AETHER_LAG_SNAPSHOT = 2, /* an event AETHER_EVENT_SNAPSHOT_FOLLOWS, then a new snapshot */
    AETHER_LAG_CLOSE = 3     /* it is closed with AETHER_TOO_SLOW */
};

/* An event passes when it meets all conditions that are given. Those of a snapshot as well. */
typedef struct aether_filter {
    const char *const *types; /* its type is one of them; copied */
    size_t type_count;
    const char *actor;                                        /* its actor matches this pattern; copied */
    bool (*predicate)(const aether_event *event, void *user); /* called last, by the subscription's thread; never waits */
    void *user;
} aether_filter;

/* Zero is the default everywhere. */
typedef struct aether_subscribe_options {
    aether_begin begin;
    aether_on_limit on_limit; /* 0: AETHER_LAP */
    uint64_t limit_bytes;     /* 0: 16 MiB, or AETHER_UNLIMITED; at least 4 segments */
    aether_on_lag on_lag;
    aether_position position; /* epoch 0: the current one */
    const char *label;        /* for metrics and for closing by label; up to 31 bytes, copied */
    aether_filter filter;
    uint32_t conflate; /* not 0: only the newest event of each subject that has not been delivered yet, in a table of so many
                          subjects at the most; past that, the oldest one comes first. Not with AETHER_REFUSE */
    int64_t progress_ns; /* not 0: an event AETHER_EVENT_PROGRESS when nothing is left and the bus has gone on, this often at
                            the most; in event loops with the next call */
    bool drain;          /* when it is closed by others: what was published before comes first, then the reason */
} aether_subscribe_options;

/*
 * Subscribes to a subject or a pattern; options NULL: from now. The caller owns the subscription, until
 * aether_subscription_close(). With a snapshot made by this thread, the handler runs in this call. Any thread.
 * NULL: AETHER_INVALID; AETHER_GONE, AETHER_AHEAD, AETHER_OTHER_EPOCH (positions); AETHER_NO_HANDLER; AETHER_DISABLED;
 * AETHER_NO_MEMORY; AETHER_SYSTEM (no thread). A snapshot that fails is told by aether_next().
 */
AETHER_API AETHER_CHECKED aether_subscription *
aether_subscribe_sized(aether_bus *bus, const char *pattern, const aether_subscribe_options *options, size_t options_size);

static inline AETHER_CHECKED aether_subscription *aether_subscribe(aether_bus *bus, const char *pattern,
                                                                   const aether_subscribe_options *options)
{
    return aether_subscribe_sized(bus, pattern, options, sizeof *options);
}

/*
 * Hands out the next event, waiting for it until `timeout_ns` from now have passed. event->kind tells a published event from
 * a snapshot's, and from the marks. The subscription's own thread. AETHER_EMPTY: nothing now, without waiting.
 * AETHER_TIMEOUT. AETHER_CANCELLED: aether_subscription_cancel(), events may be left. AETHER_LAGGED: once, events were
 * missed (aether_subscription_get_stats()); the next call goes on. AETHER_WOULD_BLOCK: nothing now, and a callback must not
 * wait. AETHER_NO_MEMORY: the next call may succeed. Final, at this and each later call: AETHER_UNSUBSCRIBED,
 * AETHER_ACCESS_CHANGED, AETHER_TOO_SLOW, AETHER_SHUT_DOWN, AETHER_RESET (the history is over or was refreshed: forget the
 * state, subscribe again), AETHER_FAILED (the snapshot failed: aether_error() says why; subscribe again).
 */
AETHER_API AETHER_CHECKED aether_status aether_next_sized(aether_subscription *subscription, aether_event *event,
                                                          size_t event_size, int64_t timeout_ns);

static inline AETHER_CHECKED aether_status aether_next(aether_subscription *subscription, aether_event *event,
                                                       int64_t timeout_ns)
{
    return aether_next_sized(subscription, event, sizeof *event, timeout_ns);
}

/*
 * A run: up to `capacity` events (at least one) that are ready, waiting for the first. All are valid until the next call;
 * a mark ends a run, and what conflation hands out comes alone. *count is 0 with any status but AETHER_OK.
 */
AETHER_API AETHER_CHECKED aether_status aether_next_run_sized(aether_subscription *subscription, aether_event *events,
                                                              size_t capacity, size_t *count, size_t event_size,
                                                              int64_t timeout_ns);

static inline AETHER_CHECKED aether_status aether_next_run(aether_subscription *subscription, aether_event *events,
                                                           size_t capacity, size_t *count, int64_t timeout_ns)
{
    return aether_next_run_sized(subscription, events, capacity, count, sizeof *events, timeout_ns);
}

/*
 * Where to go on: every event up to it has been delivered, filtered or missed. While a snapshot is being read, and where
 * each subject counts for itself, it is {0, 0}, "begin with a snapshot". The subscription's own thread.
 */
AETHER_API aether_position aether_subscription_position(const aether_subscription *subscription);

/*
 * Makes this subscription's call return AETHER_CANCELLED, and each later one until aether_subscription_resume(), which only
 * the subscription's own thread calls. Any thread, also from a signal handler; the subscription has to be open still.
 */
AETHER_API void aether_subscription_cancel(aether_subscription *subscription);
AETHER_API AETHER_CHECKED aether_status aether_subscription_resume(aether_subscription *subscription);

/*
 * Ends the subscription with AETHER_UNSUBSCRIBED: its reader gets that, and the bus needs nothing of it any more. From any
 * thread while it is open; the memory stays the owner's, who closes it.
 */
AETHER_API AETHER_CHECKED aether_status aether_unsubscribe(aether_subscription *subscription);

/* Ends and frees it. The owner, when no other thread uses it. NULL does nothing. */
AETHER_API void aether_subscription_close(aether_subscription *subscription);

/*
 * Closes all subscriptions that were opened under this label through this handle's bus or namespace, with
 * AETHER_UNSUBSCRIBED, AETHER_ACCESS_CHANGED, AETHER_RESET, AETHER_TOO_SLOW or AETHER_FAILED; the first reason of a
 * subscription stays.
 */
AETHER_API AETHER_CHECKED aether_status aether_bus_close_label(aether_bus *bus, const char *label, aether_status reason);

/*
 * In an event loop: a descriptor (an eventfd) that is readable while aether_next() may have something. Level-correct: it is
 * made unreadable by the call of aether_next() with AETHER_NO_WAIT that answers AETHER_EMPTY. Not for a subscription that is
 * in a poller. -1: AETHER_SYSTEM, AETHER_BUSY or AETHER_NO_MEMORY. The subscription's own thread.
 */
AETHER_API AETHER_CHECKED int aether_subscription_fd(aether_subscription *subscription);

/*
 * Adds it to a poller (aether/poller.h), which then hands out `user`; beside cursors if need be. Read it with AETHER_NO_WAIT
 * until AETHER_EMPTY. It leaves the poller with aether_poller_remove_subscription() or when it is closed, by the poller's
 * thread. AETHER_BUSY: it is in one already, or has a descriptor.
 */
AETHER_API AETHER_CHECKED aether_status aether_poller_add_subscription(aether_poller *poller,
                                                                       aether_subscription *subscription, void *user);
AETHER_API AETHER_CHECKED aether_status aether_poller_remove_subscription(aether_poller *poller,
                                                                          aether_subscription *subscription);

/* -------------------------------------------------------------------------------------------------------- metrics */

/*
 * What became of the events that were published under the pattern since its beginning (BUS11):
 * published = delivered + filtered + below_watermark + conflated + lagged + discarded + pending.
 */
typedef struct aether_subscription_stats {
    uint64_t published;
    uint64_t delivered;
    uint64_t filtered;        /* did not pass the filter, or came by in a wider feed */
    uint64_t below_watermark; /* the snapshot had them already */
    uint64_t conflated;       /* a newer one of the same subject was delivered instead */
    uint64_t lagged;          /* missed */
    uint64_t discarded;       /* left when it was closed */
    uint64_t pending;         /* not yet read */
    uint64_t snapshot_events; /* delivered from snapshots; counted apart */
    uint64_t snapshots;       /* complete ones */
    uint64_t lags;
    aether_position position;
} aether_subscription_stats;

/* The subscription's own thread. Exact at some instant within the call, also when it has been closed by others. */
AETHER_API AETHER_CHECKED aether_status aether_subscription_get_stats_sized(aether_subscription *subscription,
                                                                            aether_subscription_stats *stats,
                                                                            size_t stats_size);

static inline AETHER_CHECKED aether_status aether_subscription_get_stats(aether_subscription *subscription,
                                                                         aether_subscription_stats *stats)
{
    return aether_subscription_get_stats_sized(subscription, stats, sizeof *stats);
}

/* Of one order of events, since its beginning. */
typedef struct aether_bus_stats {
    aether_position newest;
    uint64_t published; /* events */
    uint64_t batches;   /* calls that published them */
    uint64_t unmatched; /* events that no feed matched */
    uint64_t appended;  /* events, once for each feed that they stand in */
    uint64_t shared;    /* events that stand in several feeds as one block */
    uint64_t refused;   /* publishes that answered anything but AETHER_OK */
    uint64_t waits;     /* publishes that waited for a subscription */
    uint64_t topics;    /* subjects in the table */
    uint64_t feeds;     /* distinct patterns that are followed, retained or lingering */
    uint64_t subscriptions;
    uint64_t opened;  /* subscriptions so far */
    uint64_t closed;  /* by others: reset, label, shutdown, lag */
    uint64_t resumed; /* that went on at a position */
    uint64_t lagged;  /* events missed, of all subscriptions that have told */
    uint64_t snapshots_made;
    uint64_t snapshots_failed;
    uint64_t snapshots_shared; /* watchers that were served by one that was there */
    uint64_t snapshot_events;
    uint64_t resets;
    uint64_t feed_bytes; /* memory of the feeds' segments in use, and cached */
    uint64_t domains;    /* namespaces that are orders of their own: patterns do not reach into them */
    uint64_t combined;   /* publishes and commands that another thread carried out */
} aether_bus_stats;

AETHER_API AETHER_CHECKED aether_status aether_bus_get_stats_sized(aether_bus *bus, aether_bus_stats *stats,
                                                                   size_t stats_size);

static inline AETHER_CHECKED aether_status aether_bus_get_stats(aether_bus *bus, aether_bus_stats *stats)
{
    return aether_bus_get_stats_sized(bus, stats, sizeof *stats);
}

/* Of one pattern. Frozen texts: borrowed during the callback. */
typedef struct aether_pattern_stats {
    aether_text pattern;
    uint64_t events; /* appended to its feed */
    uint64_t items;  /* batches */
    uint64_t bytes;
    uint64_t subscriptions;
    uint64_t in_use_bytes;
    uint64_t retained_events;
    bool retained;
    char slowest_label[32]; /* of the labelled or limiting subscription that is behind the most; "" for none */
    uint64_t slowest_items; /* about how far it is behind */
    uint64_t slowest_bytes;
} aether_pattern_stats;

/*
 * Calls `each` for every pattern that has a feed, in no order, until it returns false: the figures are of one moment before.
 * Like aether_bus_get_stats() it looks at all patterns at once, a fraction of a microsecond each, while publishers wait.
 */
AETHER_API AETHER_CHECKED aether_status aether_bus_each_pattern(aether_bus *bus,
                                                                bool (*each)(const aether_pattern_stats *stats, void *user),
                                                                void *user);

/*
 * All of this as text for Prometheus (exposition format 0.0.4), in pieces to `write`, until that returns false. At most
 * `patterns` patterns have rows of their own, those with the most events.
 */
AETHER_API AETHER_CHECKED aether_status aether_bus_write_prometheus(aether_bus *bus, size_t patterns,
                                                                    bool (*write)(const char *text, size_t size, void *user),
                                                                    void *user);

#ifdef __cplusplus
}
#endif

#endif
