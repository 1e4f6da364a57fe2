/*
 * Trying again (STO10): saves that are decided anew after a conflict, pauses that spread callers out, budgets, circuit
 * breakers.
 *
 *      static aether_status pay(aether_decision *decision, aether_store *store, const char *actor, int64_t version, void
 * *order)
 *      {
 *          ... load what the actor is by now, see whether it may be paid ...
 *          return aether_decision_add(decision, AETHER_EVENT(.type = "OrderPaid", .data = ...));
 *      }
 *
 *      aether_retry_outcome outcome;
 *      aether_status status = aether_retry_save(store, "order-42", NULL, pay, order, &outcome);
 *
 * The model
 *  - A conflict is no fault: somebody else has saved. It means: load, decide again, save. The helper calls the program's
 * decide function for each attempt with the actor's version, and saves what that added, expecting exactly this version.
 *  - One command has one id over all attempts: what an attempt has stored without our knowing is found again, and not
 *    stored twice. After AETHER_UNKNOWN_OUTCOME the same save is sent again, until its fate is known.
 *  - What is tried again: conflicts, at once but spread out (base_ns, cap_ns); AETHER_TIMEOUT, AETHER_SYSTEM, AETHER_BUSY,
 *    with longer pauses (fault_base_ns, fault_cap_ns); AETHER_NO_SPACE, AETHER_NO_MEMORY, AETHER_FULL with the longest one,
 * because hurry makes them worse. Everything else is answered at once.
 *  - There is one deadline for all of it, no pause after the last attempt, and none that goes beyond the deadline.
 *
 * Threads: stops, budgets and breakers may be shared by any threads. The helpers block. Since 0.1.0.
 */
#ifndef AETHER_RETRY_H
#define AETHER_RETRY_H

#include "aether/store.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aether_stop aether_stop;                 /* ends pauses and attempts, from any thread */
typedef struct aether_retry_budget aether_retry_budget; /* how many retries there may be among so many calls */
typedef struct aether_breaker aether_breaker;           /* refuses calls while most of them fail */
typedef struct aether_decision aether_decision;         /* where a decide function puts its events */
typedef struct aether_deferred aether_deferred;         /* saves that a thread makes later */

/* How pauses grow: n is the number of attempts that have failed, U(a, b) a number at random from a to b. */
typedef int32_t aether_backoff;

enum {
    AETHER_BACKOFF_FULL_JITTER = 0,  /* U(0, min(cap, base * 2^n)) */
    AETHER_BACKOFF_FIXED = 1,        /* base */
    AETHER_BACKOFF_DECORRELATED = 2, /* min(cap, U(base, 3 * the pause before)) */
    AETHER_BACKOFF_ADAPTIVE = 3 /* U(0, min(cap, base * the versions that came in between)): more where more is going on */
};

/* Zero is the default everywhere. What it leads to stays the caller's, and stays, while it is in use. */
typedef struct aether_retry_policy {
    aether_backoff backoff;
    uint32_t attempts;     /* most; 0: 10 */
    int64_t base_ns;       /* after conflicts; 0: 1 ms */
    int64_t cap_ns;        /* 0: 50 ms */
    int64_t fault_base_ns; /* after faults, always decorrelated; 0: 50 ms */
    int64_t fault_cap_ns;  /* 0: 5 s */
    int64_t timeout_ns;    /* for all of it; 0: 30 s */
    aether_stop *stop;
    aether_retry_budget *budget;
    aether_breaker *breaker;
    int64_t (*now)(void *user);            /* monotonic nanoseconds; NULL: CLOCK_MONOTONIC */
    void (*pause)(int64_t ns, void *user); /* NULL: a sleep that `stop` ends */
    uint64_t (*random)(void *user);        /* 64 bits; NULL: the library's */
    void *hooks_user;
} aether_retry_policy;

/* Filled on every outcome. */
typedef struct aether_retry_outcome {
    aether_status status; /* of the last attempt */
    uint32_t attempts;
    uint32_t conflicts;
    int64_t paused_ns;
    aether_saved saved; /* of the last save; all zero where there was none */
} aether_retry_outcome;

/* ---------------------------------------------------------------------------------------------------------- helpers */

/*
 * Decides what to save on an actor that is at `version` (0: no events yet), by aether_decision_add(); nothing is an answer,
 * too. It may load from the store. Anything but AETHER_OK ends the helper with that status, and nothing is saved.
 */
typedef aether_status (*aether_decide_fn)(aether_decision *decision, aether_store *store, const char *actor, int64_t version,
                                          void *user);

/*
 * Adds an event. Its texts and data are borrowed until decide is called again or the helper returns; actor and version are
 * the helper's, and the id, where it is 0. AETHER_NO_MEMORY, AETHER_TOO_LARGE (more than AETHER_SAVE_MAX).
 */
AETHER_API AETHER_CHECKED aether_status aether_decision_add_sized(aether_decision *decision, const aether_event *event,
                                                                  size_t event_size);

static inline AETHER_CHECKED aether_status aether_decision_add(aether_decision *decision, const aether_event *event)
{
    return aether_decision_add_sized(decision, event, sizeof *event);
}

/*
 * Decides and saves, as often as the policy allows. policy NULL: the defaults; `outcome` may be NULL. AETHER_OK: saved, or
 * decide had nothing to save. AETHER_EXHAUSTED: attempts, budget or time were used up, aether_error() has the last failure,
 * and outcome->status its status (AETHER_UNKNOWN_OUTCOME: it may be saved: the same ids will tell). AETHER_CANCELLED: by the
 * stop. AETHER_OPEN_CIRCUIT. Else what decide or the store answered.
 */
AETHER_API AETHER_CHECKED aether_status aether_retry_save_sized(aether_store *store, const char *actor,
                                                                const aether_retry_policy *policy, size_t policy_size,
                                                                aether_decide_fn decide, void *user,
                                                                aether_retry_outcome *outcome, size_t outcome_size);

static inline AETHER_CHECKED aether_status aether_retry_save(aether_store *store, const char *actor,
                                                             const aether_retry_policy *policy, aether_decide_fn decide,
                                                             void *user, aether_retry_outcome *outcome)
{
    return aether_retry_save_sized(store, actor, policy, sizeof *policy, decide, user, outcome, sizeof *outcome);
}

/* The same for any function: called until it answers something that is not tried again. */
AETHER_API AETHER_CHECKED aether_status aether_retry_call_sized(const aether_retry_policy *policy, size_t policy_size,
                                                                aether_status (*call)(void *user), void *user,
                                                                aether_retry_outcome *outcome, size_t outcome_size);

static inline AETHER_CHECKED aether_status aether_retry_call(const aether_retry_policy *policy,
                                                             aether_status (*call)(void *user), void *user,
                                                             aether_retry_outcome *outcome)
{
    return aether_retry_call_sized(policy, sizeof *policy, call, user, outcome, sizeof *outcome);
}

/* ------------------------------------------------------------------------------------------------------------- stop */

/* The caller owns it. NULL: AETHER_NO_MEMORY. */
AETHER_API AETHER_CHECKED aether_stop *aether_stop_create(const aether_allocator *allocator);
/* All helpers that have it end with AETHER_CANCELLED, at once where they pause. For good. Any thread. */
AETHER_API void aether_stop_request(aether_stop *stop);
AETHER_API void aether_stop_destroy(aether_stop *stop);

/* ------------------------------------------------------------------------------------------------------------ budget */

/* As Finagle's: in ten seconds, at most so many retries as `percent` of the calls, and `least_per_s` a second. */
typedef struct aether_retry_budget_options {
    const aether_allocator *allocator;
    uint32_t percent;     /* 0: 20 */
    uint32_t least_per_s; /* 0: 10 */
    int64_t (*now)(void *user);
    void *user;
} aether_retry_budget_options;

AETHER_API AETHER_CHECKED aether_retry_budget *aether_retry_budget_create_sized(const aether_retry_budget_options *options,
                                                                                size_t options_size);

static inline AETHER_CHECKED aether_retry_budget *aether_retry_budget_create(const aether_retry_budget_options *options)
{
    return aether_retry_budget_create_sized(options, sizeof *options);
}

/* A first attempt. Then: whether there may be another one, which is counted. Helpers with the budget call them. */
AETHER_API void aether_retry_budget_call(aether_retry_budget *budget);
AETHER_API AETHER_CHECKED bool aether_retry_budget_take(aether_retry_budget *budget);
AETHER_API void aether_retry_budget_destroy(aether_retry_budget *budget);

/* ----------------------------------------------------------------------------------------------------------- breaker */

typedef int32_t aether_breaker_state;

enum {
    AETHER_BREAKER_CLOSED = 0,   /* calls are made */
    AETHER_BREAKER_OPEN = 1,     /* none is */
    AETHER_BREAKER_HALF_OPEN = 2 /* a few are, to see */
};

/* Zero is the default everywhere: those of Resilience4j. */
typedef struct aether_breaker_options {
    const aether_allocator *allocator;
    uint32_t window;          /* the last so many calls are looked at; 0: 100; at most 65,536 */
    uint32_t least_calls;     /* and judged once there are so many; 0: 100, at most the window */
    uint32_t failure_percent; /* it opens at so many failures; 0: 50 */
    uint32_t probes;          /* in half-open; 0: 10, at most 64 */
    int64_t open_ns;          /* how long it stays open; 0: 60 s */
    int64_t probe_timeout_ns; /* a probe that has not been told about by then has failed; 0: 10 s */
    int64_t (*now)(void *user);
    void (*on_change)(aether_breaker_state state, void *user); /* after a change; must not use the breaker */
    void *user;
} aether_breaker_options;

AETHER_API AETHER_CHECKED aether_breaker *aether_breaker_create_sized(const aether_breaker_options *options,
                                                                      size_t options_size);

static inline AETHER_CHECKED aether_breaker *aether_breaker_create(const aether_breaker_options *options)
{
    return aether_breaker_create_sized(options, sizeof *options);
}

/*
 * Whether a call may be made: AETHER_OK, and *ticket is for aether_breaker_report(); or AETHER_OPEN_CIRCUIT. Helpers with
 * the breaker do both.
 */
AETHER_API AETHER_CHECKED aether_status aether_breaker_allow(aether_breaker *breaker, uint64_t *ticket);
/*
 * How the call went. Failures are timeouts, unknown outcomes, what the system and the store's medium refuse; conflicts and
 * other answers of a store that works are successes. What was allowed before the last change counts no more.
 */
AETHER_API void aether_breaker_report(aether_breaker *breaker, uint64_t ticket, aether_status status);
AETHER_API aether_breaker_state aether_breaker_get_state(aether_breaker *breaker);
AETHER_API void aether_breaker_destroy(aether_breaker *breaker);

/* ---------------------------------------------------------------------------------------------------------- deferred */

/* How a deferred save went: each that was taken is told once, by the queue's thread, or by the one that closes it. */
typedef void (*aether_deferred_fn)(aether_status status, const aether_retry_outcome *outcome, void *user);

/*
 * A queue of at most `room` saves (0: 1024), made one after another by a thread of its own, each by aether_retry_save() with
 * this policy: decided when its turn comes, never with a version of long ago. The thread starts with the first save. The
 * store outlives the queue. NULL: AETHER_INVALID, AETHER_NO_MEMORY.
 */
AETHER_API AETHER_CHECKED aether_deferred *
aether_deferred_create_sized(aether_store *store, size_t room, const aether_retry_policy *policy, size_t policy_size);

static inline AETHER_CHECKED aether_deferred *aether_deferred_create(aether_store *store, size_t room,
                                                                     const aether_retry_policy *policy)
{
    return aether_deferred_create_sized(store, room, policy, sizeof *policy);
}

/* Takes a save. `done` may be NULL. Any thread. AETHER_FULL: the queue is. AETHER_NO_MEMORY, AETHER_SYSTEM (no thread). */
AETHER_API AETHER_CHECKED aether_status aether_deferred_save(aether_deferred *deferred, const char *actor,
                                                             aether_decide_fn decide, aether_deferred_fn done, void *user);

/*
 * Ends the queue and joins its thread: `drain`: after all saves were made, else those that wait are told AETHER_SHUT_DOWN.
 * Not from a callback.
 */
AETHER_API void aether_deferred_close(aether_deferred *deferred, bool drain);

#ifdef __cplusplus
}
#endif

#endif
