/*
 * The bus's own threads: the keeper, which does what is due, and the pool, which makes snapshots. Each starts on first need,
 * is named "aether-...", takes no signals, and is joined by ae_crew_stop().
 */
#ifndef AE_CREW_H
#define AE_CREW_H

#include "bus/domain.h"

/* Stands in what it works on. */
struct ae_job {
    struct ae_job *next;
    void (*work)(struct ae_job *job);
};

/* NULL: no memory. */
struct ae_crew *ae_crew_make(const aether_allocator *allocator);
void ae_crew_hold(struct ae_crew *crew);
void ae_crew_drop(struct ae_crew *crew);

/* The keeper sweeps this domain from now on, until the domain is taken out, which is before its memory goes. */
void ae_crew_enlist(struct ae_crew *crew, struct ae_domain *domain);
void ae_crew_delist(struct ae_crew *crew, struct ae_domain *domain);

/*
 * The keeper is there. AETHER_SYSTEM: no thread; AETHER_SHUT_DOWN. Blocks for a lock and the start of a thread: never under
 * the role.
 */
AETHER_CHECKED aether_status ae_crew_need_keeper(struct ae_crew *crew, const char *call);

/* Something is due then. Not under the role. */
void ae_crew_expect(struct ae_crew *crew, int64_t due);

/* Has the pool do it. Statuses as above. */
AETHER_CHECKED aether_status ae_crew_submit(struct ae_crew *crew, struct ae_job *job, const char *call);

/* A thread of the pool is stuck in a handler that was given up: another one may take its place. */
void ae_crew_one_is_stuck(struct ae_crew *crew);
void ae_crew_one_is_free(struct ae_crew *crew);

/* Does what has been submitted, and joins all threads. Any number of times; not by a thread of the crew's. */
void ae_crew_stop(struct ae_crew *crew);

#endif
