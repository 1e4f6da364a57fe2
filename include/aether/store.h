/*
 * The store: events of actors, kept for good, with versions.
 *
 *      aether_store *store = aether_store_open("memory:", NULL);    ("sqlite:orders.db" with aether/sqlite.h)
 *      aether_saved saved;
 *      aether_status status = aether_save(store, AETHER_EVENT(.actor = "order-42", .type = "OrderPaid", .version = 7),
 * &saved); if (status == AETHER_CONFLICT) decide_again(saved.conflict.current);
 *
 *      aether_replay *replay = aether_load(store, "order-42", NULL);
 *      for (aether_event event; (status = aether_replay_next(replay, &event, AETHER_FOREVER)) == AETHER_OK;)
 *          apply(&event);
 *      if (status != AETHER_ENDED)
 *          fail(aether_error());
 *      aether_replay_close(replay);
 *      aether_store_close(store);
 *
 * The model
 *  - An event belongs to an actor and has a version there, from 1, strictly growing; in a store opened as contiguous without
 *    holes. All events of a store stand in one order, each at a position: the store's identity (epoch) and an index (STO2).
 *  - Events never change and are never deleted (STO1). An event with AETHER_EVENT_CLOSING ends its actor.
 *  - A save is of one or more events of one actor, all or none, at the versions it says, if these are greater than the
 *    actor's latest, or else a conflict (STO3). It may also say what it expects: see the table.
 *  - A load is a stream: it does not hold a history in memory, whatever its length (STO2).
 *  - Every answer says how durable it is. What nobody knows is AETHER_UNKNOWN_OUTCOME: neither success nor failure (STO5).
 *
 * Versions and ids (STO3, STO4). L is the actor's latest version, 0 without events. A save says versions v, v + ... or
 * leaves them 0, then the next ones are drawn. The first line that fits counts.
 *
 *      what the actor has                                            answer
 *      ------------------------------------------------------------  ----------------------------------------------------
 *      all ids of the save, one after another, with the same content AETHER_OK, saved.duplicate, saved.version as stored
 *      an id of the save, else                                       AETHER_ID_REUSED
 *      an event with AETHER_EVENT_CLOSING                            AETHER_ACTOR_ENDED
 *      expected = AETHER_EXPECT_NONE and L > 0                       AETHER_CONFLICT
 *      expected = AETHER_EXPECT_SOME and L = 0                       AETHER_CONFLICT
 *      expected = x > 0 and L != x                                   AETHER_CONFLICT
 *      v given, v <= L                                               AETHER_CONFLICT
 *      v given, v > L + 1, in a contiguous store                     AETHER_CONFLICT
 *      anything else                                                 AETHER_OK, stored
 *
 *  Where ids are looked for: memory and SQLite among all events of the actor; other stores among those after saved.base,
 * which is what was expected, or else the latest version when the save was first tried. Content is type, data, metadata,
 * flags, extra; and version and timestamp, where the save gives them. Another actor's ids do not count. The same save again
 * (options.retry) never stores twice: it has the same ids and the same base.
 *
 * Caveats
 *  - A store may be used from any thread; a replay by one thread at a time, but aether_replay_cancel() comes from any.
 *  - What a replay hands out is borrowed until its next call.
 *  - Names of actors and types are UTF-8 without NUL, 1 to 1,024 bytes. They are told apart byte by byte.
 *  - Data and metadata are kept byte by byte; nothing looks into them here.
 *
 * Every function answers AETHER_INVALID for an argument that cannot be right, AETHER_FORKED for a handle from before fork(),
 * AETHER_CLOSED for a replay whose store was closed; their comments name the other answers only. Where a store breaks down,
 * AETHER_SYSTEM, AETHER_NO_SPACE, AETHER_MALFORMED (damaged) and, for good, AETHER_FAILED come from any call that reaches
 * it. Structs may grow at their end, as in aether/buffer.h. Since 0.1.0.
 */
#ifndef AETHER_STORE_H
#define AETHER_STORE_H

#include "aether/event.h"

#ifdef __cplusplus
extern "C" {
#endif

struct aether_bus;
struct aether_driver;

typedef struct aether_store aether_store;
typedef struct aether_replay aether_replay;
typedef struct aether_upcast aether_upcast; /* where the events go that an old one becomes */

/* Most bytes of an actor's or a type's name; most events of one save. */
#define AETHER_NAME_MAX ((size_t)1024)
#define AETHER_SAVE_MAX ((size_t)65536)

/* What an acknowledgement means, weakest first. */
typedef int32_t aether_durability;

enum {
    AETHER_DURABILITY_NONE = 0, /* nothing is known to be saved */
    AETHER_IN_MEMORY = 1,       /* gone with the process */
    AETHER_WRITTEN = 2,         /* given to the operating system: survives the process, not the machine */
    AETHER_ON_DISK = 3,         /* forced to disk */
    AETHER_REPLICATED = 4       /* on several machines, on none forced to disk */
};

/* The answer's name, "in memory", for people. Never NULL. */
AETHER_API const char *aether_durability_text(aether_durability durability);

/*
 * Turns an event as it was stored into what programs of today understand: none, one or several, each given to
 * aether_upcast_emit(). An event that needs no change is emitted as it is. Anything but AETHER_OK ends the replay with
 * AETHER_MALFORMED. Called by the thread that replays; must not use the replay.
 */
typedef aether_status (*aether_upcast_fn)(aether_upcast *out, const aether_event *event, void *user);

/* Copies the event. Position, actor, version, id and timestamp are the stored one's, whatever it says. AETHER_NO_MEMORY. */
AETHER_API AETHER_CHECKED aether_status aether_upcast_emit_sized(aether_upcast *out, const aether_event *event,
                                                                 size_t event_size);

static inline AETHER_CHECKED aether_status aether_upcast_emit(aether_upcast *out, const aether_event *event)
{
    return aether_upcast_emit_sized(out, event, sizeof *event);
}

/* ------------------------------------------------------------------------------------------------- opening, closing */

/* What a store announces on a bus (STO8). */
typedef int32_t aether_announcement;

enum {
    AETHER_ANNOUNCE_NOTICE = 0, /* type "EventStored", with the event's id, actor, version and timestamp */
    AETHER_ANNOUNCE_EVENT = 1   /* the event as it was saved */
};

/* Zero is the default everywhere. */
typedef struct aether_store_options {
    const aether_allocator *allocator; /* copied; NULL: the C library's. SQLite, cJSON and nats.c have their own */
    bool read_only;
    bool must_exist;         /* opening what is not there is AETHER_NO_STORE instead of a new store */
    bool contiguous;         /* a save's version has to be the latest + 1; replays check that there is no hole */
    uint64_t epoch;          /* the identity of a store that is new; 0: a random one */
    uint32_t cached_actors;  /* latest versions to remember; 0: 65536 */
    int64_t timeout_ns;      /* how long a call waits for other writers, or the network; 0: 30 s; below 0: not at all */
    aether_upcast_fn upcast; /* of all loads that do not have one of their own */
    void *upcast_user;
    struct aether_bus *bus;     /* NULL: nothing is announced. Outlives the store; its indexes become those of the store */
    const char *announce_under; /* subjects are this, the actor's type (before the first "-", else "unknown") and the actor,
                                   each a token: bytes but letters, digits, - and _ are %XX, more than 96 are cut and end in
                                   ~ and a checksum. At most 400 bytes; NULL: "stored" */
    aether_announcement announce;
} aether_store_options;

/*
 * Makes a driver known, by its scheme, to aether_store_open(). Any thread, any number of times. "memory:" is always known.
 */
AETHER_API AETHER_CHECKED aether_status aether_store_use(const struct aether_driver *driver);

/*
 * Opens the store at `url`, "scheme:place", and makes it where there is none. The caller owns it, until
 * aether_store_close(). May block for as long as options.timeout_ns. Starts a thread where there is a bus to announce on.
 * NULL: AETHER_NO_DRIVER: nobody knows the scheme, aether_error() says what is missing; AETHER_NO_STORE: what is there is
 * none, or nothing is and must_exist; AETHER_NEWER_FORMAT; AETHER_READ_ONLY: the place allows no writing; AETHER_TIMEOUT;
 * AETHER_MALFORMED: it is damaged; AETHER_NO_MEMORY, AETHER_SYSTEM.
 */
AETHER_API AETHER_CHECKED aether_store *aether_store_open_sized(const char *url, const aether_store_options *options,
                                                                size_t options_size);

static inline AETHER_CHECKED aether_store *aether_store_open(const char *url, const aether_store_options *options)
{
    return aether_store_open_sized(url, options, sizeof *options);
}

/*
 * Gives the handle up: joins its threads, ends its replays with AETHER_CLOSED (they stay their owners' to close). Not beside
 * another call that takes this handle, not from a callback. NULL does nothing.
 */
AETHER_API void aether_store_close(aether_store *store);

/*
 * The identity and the newest index: everything up to it can be loaded. AETHER_TIMEOUT.
 */
AETHER_API AETHER_CHECKED aether_status aether_store_newest(aether_store *store, aether_position *newest);

/* ---------------------------------------------------------------------------------------------------------- saving */

enum {
    AETHER_EXPECT_ANYTHING = 0, /* the version is greater than the latest, that is all */
    AETHER_EXPECT_NONE = -1,    /* the actor has no events yet */
    AETHER_EXPECT_SOME = -2     /* it has at least one */
};

/* Filled on every outcome (STO5). */
typedef struct aether_saved {
    aether_position position; /* of the last event; {0, 0}: not stored, or not known */
    int64_t version;          /* of the last event: as stored, else as asked for, 0 where it was to be drawn */
    int64_t base;             /* the version after which ids were compared */
    aether_durability durability;
    bool duplicate; /* an earlier attempt had stored it */
    bool has_base;
    uint8_t id[16]; /* of the last event; those before it count down from there where they were drawn */
    struct {
        int64_t attempted; /* the first version of the save, 0 where it was to be drawn */
        int64_t expected;  /* as the save said */
        int64_t current;   /* the actor's latest */
        int64_t from;      /* what came in between are the versions from here to current: aether_load_conflict() */
    } conflict;
} aether_saved;

typedef struct aether_save_options {
    int64_t expected;          /* AETHER_EXPECT_..., or the latest version that this save stands on */
    const aether_saved *retry; /* what an earlier attempt of this same save has answered; NULL: the first one. */
    int64_t timeout_ns;        /* 0: the store's */
} aether_save_options;

/*
 * Saves an event. event->actor and event->type are required; id, timestamp and version are drawn where they are 0 (a UUID of
 * version 7, now, the latest + 1); index, epoch and subject are ignored. `saved` may be NULL. Blocks until the answer's
 * durability is reached. On AETHER_OK it is saved, or was before (saved->duplicate). On AETHER_UNKNOWN_OUTCOME send it
 * again, with options.retry. On any other status it is not saved. AETHER_CONFLICT, AETHER_ID_REUSED, AETHER_ACTOR_ENDED: the
 * table above. AETHER_TOO_LARGE: over the limit of this store. AETHER_READ_ONLY. AETHER_TIMEOUT: other writers were in the
 * way all the time. AETHER_NO_SPACE, AETHER_NO_MEMORY. AETHER_FAILED: the store has failed before in a way that makes
 * saving unsafe; close it, find out why, open it again.
 */
AETHER_API AETHER_CHECKED aether_status aether_save_sized(aether_store *store, const aether_event *event, size_t event_size,
                                                          aether_saved *saved, size_t saved_size);

static inline AETHER_CHECKED aether_status aether_save(aether_store *store, const aether_event *event, aether_saved *saved)
{
    return aether_save_sized(store, event, sizeof *event, saved, sizeof *saved);
}

/*
 * Saves several events of one actor, all or none, with what they expect. Their versions are all 0, or all given and growing.
 * `options` and `saved` may be NULL. As aether_save() otherwise. No events are AETHER_INVALID.
 */
AETHER_API AETHER_CHECKED aether_status aether_save_batch_sized(aether_store *store, const aether_event *events,
                                                                size_t count, size_t event_size,
                                                                const aether_save_options *options, size_t options_size,
                                                                aether_saved *saved, size_t saved_size);

static inline AETHER_CHECKED aether_status aether_save_batch(aether_store *store, const aether_event *events, size_t count,
                                                             const aether_save_options *options, aether_saved *saved)
{
    return aether_save_batch_sized(store, events, count, sizeof *events, options, sizeof *options, saved, sizeof *saved);
}

/* One save of several that share a flush. */
typedef struct aether_save_request {
    const aether_event *events;
    size_t count;
    aether_save_options options;
    aether_saved saved;   /* the answer */
    aether_status status; /* the answer */
} aether_save_request;

/*
 * Makes many saves at once, each for itself, in this order: each has its own answer. Much faster than one call each where a
 * save has to reach a disk or a server. AETHER_OK: all went well; else the status of the first that did not.
 */
AETHER_API AETHER_CHECKED aether_status aether_save_each_sized(aether_store *store, aether_save_request *requests,
                                                               size_t count, size_t request_size, size_t event_size);

/* (The struct holds others that may grow: a program has to be compiled with the headers of the library that it uses.) */
static inline AETHER_CHECKED aether_status aether_save_each(aether_store *store, aether_save_request *requests, size_t count)
{
    return aether_save_each_sized(store, requests, count, sizeof *requests, sizeof *requests->events);
}

/*
 * The actor's latest version; 0: it has no events. A cached answer costs no question to the store, and is given only while
 * it is right, whoever else writes (STO6). AETHER_TIMEOUT is never cached, nor taken for "none".
 */
AETHER_API AETHER_CHECKED aether_status aether_latest(aether_store *store, const char *actor, int64_t *version);

/* ---------------------------------------------------------------------------------------------------------- loading */

/* Zero is the default everywhere. */
typedef struct aether_load_options {
    int64_t from_version;     /* one actor: the first version, inclusive */
    int64_t to_version;       /* one actor: the last version, inclusive; 0: the latest at the time of the call */
    aether_position after;    /* all events: those after this position. epoch 0: this store's */
    uint64_t to_index;        /* all events: the last index, inclusive; 0: the newest at the time of the call */
    uint64_t limit;           /* most stored events to load; 0: all */
    bool backwards;           /* newest first */
    bool lenient;             /* malformed events are told and passed; else the first one ends the replay */
    bool follow;              /* goes on with what is saved later, by whomever, without a gap or a repeat; not backwards */
    bool mark;                /* following: tells once, by AETHER_EVENT_CAUGHT_UP, when the past is over */
    bool as_stored;           /* no upcast */
    const char *const *types; /* only events of these types (as stored) */
    size_t type_count;
    const char *actor_prefix; /* all events: only actors whose names begin so: "order-" */
    aether_upcast_fn upcast;  /* NULL: the store's */
    void *upcast_user;
} aether_load_options;

/*
 * Loads an actor's events, in the order of their versions. An actor without events is an empty replay. The caller owns it,
 * until aether_replay_close(). NULL: AETHER_NO_MEMORY, AETHER_TIMEOUT.
 */
AETHER_API AETHER_CHECKED aether_replay *aether_load_sized(aether_store *store, const char *actor,
                                                           const aether_load_options *options, size_t options_size);

static inline AETHER_CHECKED aether_replay *aether_load(aether_store *store, const char *actor,
                                                        const aether_load_options *options)
{
    return aether_load_sized(store, actor, options, sizeof *options);
}

/*
 * Loads the events of all actors, in the store's order. NULL: AETHER_OTHER_EPOCH: `after` is a position of another store, or
 * of a copy; AETHER_AHEAD: it is beyond the newest; AETHER_NO_MEMORY, AETHER_TIMEOUT.
 */
AETHER_API AETHER_CHECKED aether_replay *aether_load_all_sized(aether_store *store, const aether_load_options *options,
                                                               size_t options_size);

static inline AETHER_CHECKED aether_replay *aether_load_all(aether_store *store, const aether_load_options *options)
{
    return aether_load_all_sized(store, options, sizeof *options);
}

/* What was saved in between, after AETHER_CONFLICT (STO3): the versions from saved->conflict.from to
 * saved->conflict.current. */
static inline AETHER_CHECKED aether_replay *aether_load_conflict(aether_store *store, const char *actor,
                                                                 const aether_saved *saved)
{
    aether_load_options options;
    memset(&options, 0, sizeof options);
    options.from_version = saved->conflict.from;
    options.to_version = saved->conflict.current;
    return aether_load(store, actor, &options);
}

/*
 * The next event; event->index and event->epoch are its position. AETHER_ENDED: that was all. AETHER_MALFORMED: what is
 * stored there is no event: aether_error() says where and why, event->index where, event->data has the raw bytes; a lenient
 * replay goes on behind it, any other answers the same from now on. Following: AETHER_EMPTY or AETHER_TIMEOUT where nothing
 * came until the deadline, AETHER_CANCELLED. AETHER_NO_MEMORY: the same event comes next time.
 */
AETHER_API AETHER_CHECKED aether_status aether_replay_next_sized(aether_replay *replay, aether_event *event,
                                                                 size_t event_size, int64_t timeout_ns);

static inline AETHER_CHECKED aether_status aether_replay_next(aether_replay *replay, aether_event *event, int64_t timeout_ns)
{
    return aether_replay_next_sized(replay, event, sizeof *event, timeout_ns);
}

/* The position of the last event that was handed out or passed: where another replay would go on. */
AETHER_API aether_position aether_replay_position(const aether_replay *replay);

/* Wakes a follower: its call, or its next one, and all after it answer AETHER_CANCELLED. Any thread. */
AETHER_API void aether_replay_cancel(aether_replay *replay);

/* NULL does nothing. */
AETHER_API void aether_replay_close(aether_replay *replay);

/* ------------------------------------------------------------------------------------------------------ checkpoints */

/*
 * Keeps, under `name`, how far a projection has come (STO8): what it calls this with is done. AETHER_AHEAD: beyond the
 * newest event; AETHER_OTHER_EPOCH: another store's; AETHER_INDEX_ORDER: below what is kept (an index of 0 begins anew).
 * AETHER_READ_ONLY.
 */
AETHER_API AETHER_CHECKED aether_status aether_checkpoint_save(aether_store *store, const char *name,
                                                               aether_position position);

/* The position under this name. AETHER_NOT_FOUND: none yet; *position is then the beginning. */
AETHER_API AETHER_CHECKED aether_status aether_checkpoint_load(aether_store *store, const char *name,
                                                               aether_position *position);

/* ----------------------------------------------------------------------------------------------------- looking after */

/*
 * Copies the store while it is in use to `place` (SQLite: a file that is not there yet), as of one instant. The copy has an
 * identity of its own. AETHER_EXISTS, AETHER_UNSUPPORTED (memory), AETHER_NO_SPACE.
 */
AETHER_API AETHER_CHECKED aether_status aether_store_copy(aether_store *store, const char *place);

/* A fault that aether_store_verify() has found. `text` is borrowed. */
typedef void (*aether_fault_fn)(const char *text, uint64_t index, void *user);

/*
 * Looks at everything: the medium's own check, each event's form and checksum, versions, ids. AETHER_OK: all is well;
 * AETHER_MALFORMED: `fault` was called for each fault. Other calls may go on meanwhile.
 */
AETHER_API AETHER_CHECKED aether_status aether_store_verify(aether_store *store, aether_fault_fn fault, void *user);

/* Figures since the store was opened, but for the first four, which are the store's. */
typedef struct aether_store_stats {
    aether_position newest;
    uint64_t events;              /* stored in all */
    uint64_t actors;              /* of them; 0 where that is not known at once */
    aether_durability durability; /* of an acknowledgement */
    bool read_only;
    bool contiguous;
    uint64_t saves; /* that stored something */
    uint64_t saved_events;
    uint64_t duplicates;
    uint64_t conflicts;
    uint64_t refused; /* other statuses than these and AETHER_OK */
    uint64_t commits; /* flushes; several saves may share one */
    uint64_t loaded_events;
    uint64_t malformed;     /* events met by replays that were none */
    uint64_t latest_cached; /* answers from the cache */
    uint64_t latest_asked;  /* questions to the store */
    uint64_t announced;
    uint64_t states_loaded; /* aether/state.h */
    uint64_t states_from_snapshot;
    uint64_t states_replayed; /* events that these loads had to replay */
    uint64_t snapshots_made;
    uint64_t snapshots_failed;
    uint64_t snapshots_set_aside; /* corrupt, foreign or too new */
} aether_store_stats;

AETHER_API AETHER_CHECKED aether_status aether_store_get_stats_sized(aether_store *store, aether_store_stats *stats,
                                                                     size_t stats_size);

static inline AETHER_CHECKED aether_status aether_store_get_stats(aether_store *store, aether_store_stats *stats)
{
    return aether_store_get_stats_sized(store, stats, sizeof *stats);
}

/* -------------------------------------------------------------------------------------------------------------- ids */

/* Draws a UUID of version 7 (RFC 9562): the time in milliseconds and finer, then random bits. Any thread; does not block. */
AETHER_API void aether_id_draw(uint8_t id[16]);

/* "0191b2c3-d4e5-7f60-8192-a3b4c5d6e7f8" and a NUL. */
AETHER_API void aether_id_write(const uint8_t id[16], char text[37]);

/* Reads that form; false: it is none. `size` bytes, upper and lower case. */
AETHER_API AETHER_CHECKED bool aether_id_read(uint8_t id[16], const char *text, size_t size);

/* Nanoseconds since 1970, now. */
AETHER_API int64_t aether_now(void);

#ifdef __cplusplus
}
#endif

#endif
