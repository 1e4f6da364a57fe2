/*
 * The seam between the store and what keeps the events: for those who write a driver. Programs use aether/store.h.
 *
 * What the store does, and no driver has to: it checks arguments, completes events (sizes, ids, timestamps), remembers
 * latest versions, replaces old events by upcasts, makes states, announces. What a driver does: it decides each save by the
 * table of aether/store.h, at one instant, against all other writers; keeps what it acknowledged; replays in order.
 *
 * Functions are called from any thread, several at a time, but those of one replay by one thread at a time. All may block
 * until `deadline`, an instant of CLOCK_MONOTONIC in nanoseconds (AETHER_FOREVER: none), and answer AETHER_TIMEOUT then. On
 * failure they say why by aether_fail(). No function of a store is called after close. Texts and events given are borrowed
 * for the length of the call. Since 0.1.0.
 */
#ifndef AETHER_DRIVER_H
#define AETHER_DRIVER_H

#include "aether/state.h"
#include "aether/store.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What an open store is. */
typedef struct aether_driver_facts {
    uint64_t epoch;               /* never 0 */
    aether_durability durability; /* of an acknowledgement */
    bool read_only;
    bool contiguous; /* the store insists on it, whatever was asked for */
} aether_driver_facts;

/* A save to decide: in the events all is complete, but versions may be 0, all or none. */
typedef struct aether_driver_save {
    const aether_event *events;
    size_t count;
    int64_t expected; /* AETHER_EXPECT_... or a version */
    int64_t base;     /* with has_base: after which version ids are compared */
    bool has_base;
    bool contiguous;
    bool drawn_id;        /* all ids are new: none can be stored already */
    bool drawn_time;      /* the timestamps were drawn, and are no part of the content */
    aether_status status; /* the answer */
    aether_saved saved;   /* the answer: position, version, base, durability, duplicate, conflict.current and .from */
    uint64_t generation;  /* the answer: see below */
} aether_driver_save;

/* What to replay. */
typedef struct aether_driver_replay {
    aether_text actor;                /* {NULL, 0}: all */
    int64_t from_version, to_version; /* one actor: inclusive; INT64_MAX: what there is when it comes to the end */
    uint64_t after, to_index;         /* all: exclusive, inclusive; UINT64_MAX: what there is when it comes to the end */
    bool backwards;
    const aether_text *types; /* live as long as the replay */
    size_t type_count;
    aether_text actor_prefix; /* lives as long as the replay */
} aether_driver_replay;

typedef struct aether_driver_figures {
    uint64_t events, actors, commits;
} aether_driver_figures;

typedef struct aether_driver {
    size_t size;        /* sizeof(aether_driver) */
    const char *scheme; /* "sqlite" */
    /* `place` is what follows the colon. *store is the driver's own. */
    aether_status (*open)(const char *place, const aether_store_options *options, int64_t deadline, void **store,
                          aether_driver_facts *facts);
    void (*close)(void *store);
    /*
     * Decides each, in order, by aether_decide(); each has its own status. Failures of one do not touch others. Those that
     * have another status than AETHER_OK when they come are passed over.
     */
    void (*save)(void *store, aether_driver_save *saves, size_t count, int64_t deadline);
    /* 0: no events. *generation is what generation() would have said before the question. */
    aether_status (*latest)(void *store, aether_text actor, int64_t deadline, int64_t *version, uint64_t *generation);
    /*
     * A number that grows when somebody else than this handle has saved anything; 0: that is not known now, nothing
     * can be remembered. Fast.
     */
    uint64_t (*generation)(void *store);
    aether_status (*newest)(void *store, int64_t deadline, uint64_t *index);
    aether_status (*replay_open)(void *store, const aether_driver_replay *what, int64_t deadline, void **replay);
    /*
     * AETHER_OK; AETHER_ENDED (one without an end may be called again, and goes on with what has come since);
     * timeout_ns is that of the store's options, counted from when it has to wait for something.
     * AETHER_MALFORMED: event->index and event->data (the raw bytes) are filled, the next call goes on behind it.
     */
    aether_status (*replay_next)(void *replay, aether_event *event, int64_t timeout_ns);
    void (*replay_close)(void *replay);
    /*
     * Waits until the newest index is greater than `after`, or *cancelled is not 0, which is looked at after every wake(),
     * or now and then for no reason: AETHER_OK, AETHER_TIMEOUT.
     */
    aether_status (*wait)(void *store, uint64_t after, const uint32_t *cancelled, int64_t deadline);
    void (*wake)(void *store);
    aether_status (*state_save)(void *store, aether_text actor, aether_text reducer, const aether_state_snapshot *snapshot,
                                int64_t deadline);
    aether_status (*state_load)(void *store, aether_text actor, aether_text reducer, int64_t deadline,
                                void (*take)(const aether_state_snapshot *snapshot, void *user), void *user);
    aether_status (*checkpoint_save)(void *store, aether_text name, uint64_t index, int64_t deadline);
    aether_status (*checkpoint_load)(void *store, aether_text name, int64_t deadline, uint64_t *index);
    aether_status (*copy)(void *store, const char *place);
    aether_status (*verify)(void *store, aether_fault_fn fault, void *user);
    aether_status (*figures)(void *store, aether_driver_figures *figures);
} aether_driver;

/*
 * Decides a save by the table of aether/store.h, but for its first two lines, the ids, which the driver has looked up: what
 * to answer for an actor whose latest version is `latest` and which has `ended` or not. Fills base, conflict, and in *first
 * the version of the first event.
 */
AETHER_API AETHER_CHECKED aether_status aether_decide(aether_driver_save *save, int64_t latest, bool ended, int64_t *first);

/* The version of event `i` of a save whose first one has version `first`. */
static inline int64_t aether_version_of(const aether_driver_save *save, size_t i, int64_t first)
{
    return save->events[i].version != 0 ? save->events[i].version : first + (int64_t)i;
}

/* Remembers a failure of this thread for aether_error(); returns `status`. */
AETHER_API aether_status aether_fail(aether_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A line in the log. */
AETHER_API void aether_log_line(int32_t level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* CRC-32C of all that an event is (its position left out), continued from `crc`, 0 at first. */
AETHER_API uint32_t aether_event_checksum(uint32_t crc, const aether_event *event);
AETHER_API uint32_t aether_checksum(uint32_t crc, const void *bytes, size_t size);

/* The same content, as the table of aether/store.h compares it: `given` is a save's, `stored` the store's. */
AETHER_API bool aether_event_is_same(const aether_event *given, const aether_event *stored, bool compare_time);

/* Well-formed UTF-8 without NUL; else the offset of the first byte that is not, in *at. */
AETHER_API bool aether_text_is_utf8(const char *text, size_t size, size_t *at);

#ifdef __cplusplus
}
#endif

#endif
