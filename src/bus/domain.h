/*
 * The order domain: one order of events, its feeds, and everything that has to agree on it. A bus has one; a namespace may
 * have one of its own.
 *
 *      references  =  handles + topics' handles + subscriptions + snapshots that are being made + [the parent knows it]
 *      newest      =  index of the newest event; all up to it stand in the feeds
 *      feeds       =  one per pattern that is followed, retained or lingering (bus/feed.h)
 *
 * Guard of everything that is not const or atomic: the role. What is rare is done by commands, which go through the role as
 * publishes do.
 */
#ifndef AE_DOMAIN_H
#define AE_DOMAIN_H

#include <pthread.h>

#include "aether/bus.h"
#include "base/allocator.h"
#include "base/fail.h"
#include "bus/role.h"
#include "bus/topic.h"
#include "bus/trie.h"

struct ae_crew;
struct ae_feed;
struct ae_publish;

/* Publishers that wait for room: one awaits it, the others stand behind it (bus/publish.c). */
struct ae_line {
    struct ae_publish *active; /* NULL: the line is empty */
    struct ae_publish *first, *last;
};

enum ae_numbering { AE_UNDECIDED, AE_DRAWN, AE_GIVEN };

struct ae_counters {
    uint64_t published, batches, unmatched, appended, shared, refused, waits;
    uint64_t opened, closed, resumed, lagged;
    uint64_t snapshots_made, snapshots_failed, snapshots_shared, snapshot_events;
    uint64_t resets;
    uint64_t feeds, subscriptions, domains;
};

struct ae_domain {
    struct ae_role role;

    /* Written under the role, read anywhere. */
    uint64_t history; /* atomic: B1; odd while epoch and newest belong to different histories */
    uint64_t epoch;   /* atomic: B1 */
    uint64_t newest;  /* atomic: B1 */

    enum ae_numbering numbering;
    bool is_shut_down;
    bool is_disabled;         /* const */
    uint64_t generation;      /* of topics' matches, beside the trie's: other feeds in old places, other namespaces */
    struct ae_trie feeds;     /* pattern: struct ae_feed */
    struct ae_trie handlers;  /* pattern: struct ae_handler (bus/snapshot.h) */
    struct ae_trie spaces;    /* "name.>": struct ae_space, the namespaces that have handles */
    struct ae_trie refreshed; /* pattern: struct ae_refresh, what was refreshed in this history */
    struct ae_topics topics;
    struct ae_feed *first_feed;                       /* all that have not retired */
    struct ae_line line;                              /* where indexes are given */
    struct ae_feed *first_lingering, *last_lingering; /* by the time when they go */
    struct aether_snapshot *first_snapshot;           /* that are being made or cached */
    uint64_t snapshots_begun;
    struct ae_counters counters;
    struct ae_matches matches; /* scratch */
    uint32_t makers;           /* handlers that are running */

    /* Const. */
    aether_allocator allocator;
    uint32_t fork_generation;
    uint32_t segment_bytes, share_bytes;
    int32_t spins;
    int64_t publish_wait_ns, linger_ns; /* 0: not at all */
    struct ae_crew *crew;               /* a reference */

    struct ae_domain *next_in_crew; /* lock: the crew's, both */
    uint64_t sweep;

    pthread_mutex_t idle_lock; /* nothing else is locked, and no role waited for, under it */
    pthread_cond_t idle;       /* a handler has returned */

    uint32_t references; /* atomic: B3 */
};

/* A namespace that somebody has a handle of. */
struct ae_space {
    struct ae_domain *domain; /* a domain of its own, with a reference; NULL: part of this one */
    uint16_t size;
    char name[]; /* "name.>" */
};

struct ae_refresh {
    uint64_t index; /* positions up to it are gone */
    uint16_t size;
    char pattern[];
};

enum ae_bus_kind { AE_BUS_ROOT, AE_BUS_NAMESPACE, AE_BUS_DOMAIN };

struct aether_bus {
    struct ae_domain *domain; /* a reference */
    uint32_t generation;      /* ae_fork_generation at creation */
    enum ae_bus_kind kind;
    uint16_t prefix_size;
    char prefix[]; /* "name.", or nothing */
};

/* ------------------------------------------------------------------------------------------------------------ commands */

/*
 * What is done under the role, by whichever thread holds it. `run` must not wait; what it fails in is told by the thread
 * that asked.
 */
struct ae_command {
    struct ae_request request;
    struct ae_domain *domain;
    aether_status (*run)(struct ae_command *command);
    aether_status status;
    struct ae_failure failure;
};

/* Runs it, and answers its status, with the text in this thread's aether_error(). */
AETHER_CHECKED aether_status ae_domain_run(struct ae_domain *domain, struct ae_command *command,
                                           aether_status (*run)(struct ae_command *command));

/* The same without the text. */
AETHER_CHECKED aether_status ae_domain_ask(struct ae_domain *domain, struct ae_command *command,
                                           aether_status (*run)(struct ae_command *command));

/* The same where nothing can fail. */
void ae_domain_do(struct ae_domain *domain, struct ae_command *command, aether_status (*run)(struct ae_command *command));

/* ----------------------------------------------------------------------------------------------------------- lifetimes */

void ae_domain_hold(struct ae_domain *domain);
void ae_domain_drop(struct ae_domain *domain);

/* NULL, or a handle from before fork(): AETHER_INVALID or AETHER_FORKED with a text. */
AETHER_CHECKED aether_status ae_bus_refuse(const aether_bus *bus, const char *call);

/* False: nobody has it any more. For the crew. */
bool ae_domain_try_hold(struct ae_domain *domain);

/* Another handle on what this one is a handle on, which shuts nothing down when it is destroyed. NULL: no memory. */
aether_bus *ae_bus_copy(const aether_bus *bus, const char *call);

/* AETHER_SHUT_DOWN with a text, or AETHER_OK. Under the role. */
AETHER_CHECKED aether_status ae_domain_refuse(const struct ae_domain *domain, const char *call);

/* What is due by now: lingering feeds, snapshots. Returns when the next thing is. By the crew. */
int64_t ae_domain_sweep(struct ae_domain *domain, int64_t now);

/* Before and after what may leave feeds to linger, outside the role. False: none will, or there is no keeper for them. */
bool ae_domain_need_keeper(struct ae_domain *domain);
void ae_domain_expect_lingering(struct ae_domain *domain);

/* Waits until no handler that `is_idle` asks about is running. Not in a callback. */
void ae_domain_await_idle(struct ae_domain *domain, struct ae_command *command,
                          aether_status (*is_idle)(struct ae_command *command));
/* A handler has returned. */
void ae_domain_tell_idle(struct ae_domain *domain);

/* ---------------------------------------------------------------------------------------------------------------- names */

/* A subject or pattern of the program's, with the handle's prefix. */
struct ae_full_name {
    struct ae_subject subject; /* borrows the text: `own`, or the program's */
    bool wild;
    char own[AETHER_SUBJECT_MAX + 1];
};

AETHER_CHECKED aether_status ae_full_subject(struct ae_full_name *name, const aether_bus *bus, const char *text, size_t size,
                                             const char *call);
AETHER_CHECKED aether_status ae_full_pattern(struct ae_full_name *name, const aether_bus *bus, const char *text,
                                             const char *call);

/* --------------------------------------------------------------------------------------------------------------- epochs */

/* Epoch and newest index of one moment. Any thread. */
aether_position ae_domain_newest(const struct ae_domain *domain);

/* Under the role. */
static inline uint64_t ae_domain_epoch(const struct ae_domain *domain)
{
    return domain->epoch;
}

static inline uint64_t ae_domain_index(const struct ae_domain *domain)
{
    return domain->newest;
}

/* After everything stands in the feeds. */
static inline void ae_domain_set_newest(struct ae_domain *domain, uint64_t index)
{
    AE_STORE(B1_NEWEST, &domain->newest, index, release); /* B1: pairs with B1_LOAD: what has this index is in the feeds */
}

/* Whether the subject belongs to a namespace that is a domain of its own. Under the role; false as well without memory, with
 * *no_memory set. */
bool ae_domain_is_foreign(struct ae_domain *domain, const struct ae_subject *subject, bool *no_memory);

#endif
