/*
 * States: what a reducer makes of an actor's events, and snapshots of them, so that loading one does not replay a whole
 * history (STO7).
 *
 *      static const aether_reducer account = {.name = "account", .version = 1, .create = ..., .destroy = ..., .apply = ...,
 *                                             .capture = ..., .restore = ...};
 *      aether_state_info info;
 *      struct account *state = aether_state_load(store, "account-7", &account, &info);
 *      if (state == NULL)
 *          fail(aether_error());
 *      ...
 *      account.destroy(state, account.user);
 *
 * Loading a state and loading events are two things: aether_load() gives all events, whatever snapshots there are.
 *
 * A snapshot carries its reducer's name and version, the actor's version, and a checksum (CRC-32C). One that is damaged, is
 * of another version of the reducer, or is ahead of the actor's events, is set aside with a line in the log, and the events
 * are replayed. A snapshot that fails never makes a save fail. Since 0.1.0.
 */
#ifndef AETHER_STATE_H
#define AETHER_STATE_H

#include "aether/store.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where a reducer writes what a snapshot is to keep. */
typedef struct aether_capture aether_capture;

/* Adds bytes. AETHER_NO_MEMORY, AETHER_TOO_LARGE (over AETHER_DATA_MAX). */
AETHER_API AETHER_CHECKED aether_status aether_capture_write(aether_capture *capture, const void *bytes, size_t size);

/*
 * What makes a state of events. Its functions may be called from any thread, for different states at once, and must not wait
 * for the store. The struct and what it leads to stay the caller's, and stay, as long as they are in use.
 */
typedef struct aether_reducer {
    const char *name;            /* 1 to 1,024 bytes, UTF-8 */
    uint32_t version;            /* another one: old snapshots are not used */
    void *(*create)(void *user); /* an empty state; NULL: no memory */
    void (*destroy)(void *state, void *user);
    aether_status (*apply)(void *state, const aether_event *event, void *user);   /* else the load fails with this status */
    aether_status (*capture)(const void *state, aether_capture *out, void *user); /* NULL: no snapshots */
    aether_status (*restore)(void *state, aether_text bytes, void *user);         /* into an empty state; fails: set aside */
    void *user;
} aether_reducer;

typedef struct aether_state_info {
    int64_t version;          /* of the last event in it; 0: none */
    aether_position position; /* of that event, where it was replayed; else {0, 0} */
    int64_t snapshot_version; /* where the replay began; 0: there was no usable snapshot */
    uint64_t replayed;        /* events */
} aether_state_info;

/*
 * Loads the state of an actor: the newest usable snapshot and the events after it. The caller owns it, and gives it back by
 * reducer->destroy. `info` may be NULL. NULL: what apply answered; AETHER_MALFORMED: an event that is none;
 * AETHER_NO_MEMORY.
 */
AETHER_API AETHER_CHECKED void *aether_state_load_sized(aether_store *store, const char *actor,
                                                        const aether_reducer *reducer, size_t reducer_size,
                                                        aether_state_info *info, size_t info_size);

static inline AETHER_CHECKED void *aether_state_load(aether_store *store, const char *actor, const aether_reducer *reducer,
                                                     aether_state_info *info)
{
    return aether_state_load_sized(store, actor, reducer, sizeof *reducer, info, sizeof *info);
}

/*
 * Keeps a snapshot of `state` as of `version`, where none of this version of the reducer is as new. AETHER_AHEAD: the actor
 * has not come so far. AETHER_READ_ONLY, AETHER_TOO_LARGE, AETHER_UNSUPPORTED: the reducer has no capture; else what capture
 * answered.
 */
AETHER_API AETHER_CHECKED aether_status aether_state_save_sized(aether_store *store, const char *actor,
                                                                const aether_reducer *reducer, size_t reducer_size,
                                                                const void *state, int64_t version);

static inline AETHER_CHECKED aether_status aether_state_save(aether_store *store, const char *actor,
                                                             const aether_reducer *reducer, const void *state,
                                                             int64_t version)
{
    return aether_state_save_sized(store, actor, reducer, sizeof *reducer, state, version);
}

/* A snapshot as it is kept. */
typedef struct aether_state_snapshot {
    int64_t version;
    uint32_t reducer_version;
    uint32_t checksum; /* of actor, reducer's name and version, version and bytes */
    int64_t timestamp;
    aether_text bytes;
} aether_state_snapshot;

/*
 * Gives the newest snapshot of this reducer to `take`, borrowed for the length of the call, usable or not.
 * AETHER_NOT_FOUND: there is none.
 */
AETHER_API AETHER_CHECKED aether_status
aether_state_snapshot_load(aether_store *store, const char *actor, const char *reducer,
                           void (*take)(const aether_state_snapshot *snapshot, void *user), void *user);

/* When snapshots are made by themselves. Zeros: never for that reason. */
typedef struct aether_snapshot_policy {
    uint64_t every_events;  /* so many events after the last one */
    int64_t every_versions; /* so many versions after the last one */
    uint64_t least_events;  /* but never before so many events */
    int64_t least_ns;       /* nor so soon after the last one of that actor */
    uint64_t most_bytes;    /* a larger one is not kept; 0: AETHER_DATA_MAX */
} aether_snapshot_policy;

/*
 * From now on, makes snapshots of actors whose names begin with `actor_prefix` ("" for all) by a thread of the store's own,
 * after saves through this handle. A save only takes a note, and never waits: notes that find no room are dropped, later
 * saves bring new ones. AETHER_EXISTS: there is a policy for this prefix and reducer. AETHER_NO_MEMORY, AETHER_SYSTEM.
 */
AETHER_API AETHER_CHECKED aether_status aether_state_policy_sized(aether_store *store, const char *actor_prefix,
                                                                  const aether_reducer *reducer, size_t reducer_size,
                                                                  const aether_snapshot_policy *policy, size_t policy_size);

static inline AETHER_CHECKED aether_status aether_state_policy(aether_store *store, const char *actor_prefix,
                                                               const aether_reducer *reducer,
                                                               const aether_snapshot_policy *policy)
{
    return aether_state_policy_sized(store, actor_prefix, reducer, sizeof *reducer, policy, sizeof *policy);
}

/* Waits until the snapshots that are due now have been made or have failed. AETHER_TIMEOUT. */
AETHER_API AETHER_CHECKED aether_status aether_state_settle(aether_store *store, int64_t timeout_ns);

#ifdef __cplusplus
}
#endif

#endif
