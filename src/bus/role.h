/*
 * The role: at most one thread holds it, and does under it what concerns all feeds of an order domain.
 *
 * Who finds it free takes it with one exchange and gives it back with one store. Who finds it held queues a request, which
 * lives on its own stack, and the holder performs it: the threads' work is combined, and the lines that it touches stay
 * where they are. The order in which requests are performed is the order of the domain.
 *
 *      take, work, leave               ae_role_try_take(), ae_role_leave()
 *      have it performed, wait         ae_role_perform()
 *      ... and be kept for a while     ae_role_perform_until(), ae_request_finish()
 *
 * A request that cannot be performed yet, for want of room, is kept: its function answers false and remembers it where it
 * likes, its thread sleeps, the role goes on, and whoever holds the role later finishes it.
 *
 * Whoever holds the role never waits for anything, and never takes it again. Blocking: ae_role_perform() waits for the
 * holder, not for room. The first handle has been created before any role (ae_process_prepare()). A role's memory stays
 * until every call has returned: who has given it back still looks at it.
 */
#ifndef AE_BUS_ROLE_H
#define AE_BUS_ROLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/check.h"
#include "base/process.h"
#include "bus/edges.h"

enum {
    AE_ROLE_SHARE = 64, /* requests of others that one holder performs before it passes the role on */
    AE_ROLE_ALIGN = 128 /* processors fetch lines in pairs */
};

/* What has become of a request. The owner's thread changes only the word's "asleep", the holder all else. */
enum ae_request_state {
    AE_REQUEST_QUEUED,        /* in `incoming` or `queue` */
    AE_REQUEST_QUEUED_ASLEEP, /* likewise, and its thread has to be woken */
    AE_REQUEST_HOLDER,        /* likewise, and its thread holds the role: handed over */
    AE_REQUEST_KEPT,          /* not performed: whoever holds the role finishes it */
    AE_REQUEST_KEPT_ASLEEP,   /* likewise, and its thread has to be woken */
    AE_REQUEST_FINISHED       /* nobody but the owner's thread touches the memory any more */
};

/*
 * Stands at the head of a larger struct, on its owner's stack. Performed exactly once. From queueing to "finished" it
 * belongs to the role: what the function writes beside it is there for the owner when the call has returned.
 */
struct ae_request {
    /*
     * Called under the role, on whichever thread holds it. True: done. False: it is kept, for somebody to finish later, not
     * from within this call.
     */
    bool (*perform)(struct ae_request *request);
    struct ae_request *next; /* the one that was pushed before; in `queue`: the one that is performed after */
    uint32_t state;          /* atomic: edge P4 */
};

/*
 *      free (held == 0)   =>  queue is empty
 *      a request is queued and everybody sleeps  =>  held
 */
struct ae_role {
    _Alignas(AE_ROLE_ALIGN) uint32_t held; /* atomic: edge P1 */
    bool asymmetric;                       /* const: see base/barrier.h */
    struct ae_request *incoming;           /* atomic: edge P3; newest first */

    _Alignas(AE_ROLE_ALIGN) struct ae_request *queue; /* the holder's: oldest first */
    uint64_t combined;                                /* atomic, a figure: requests that another thread performed */
    uint64_t handed_over;                             /* atomic, a figure: times that the role was passed on */
    uint64_t sleeps;                                  /* atomic, a figure: times that a thread slept while it was queued */
    uint64_t holder;                                  /* atomic: debug builds only, 0 for nobody */
    int32_t patience;                                 /* atomic: how long to wait before sleeping, learned */
};

void ae_role_init(struct ae_role *role);

/* Debug builds only: who holds the role, and that it is never taken twice. */
void ae_role_note_holder(struct ae_role *role);
void ae_role_note_nobody(struct ae_role *role);

/* The slow half of ae_role_leave(): the role has been given back, and somebody is queued. */
void ae_role_attend(struct ae_role *role);

/* True: the caller holds the role. Never waits. */
static inline bool ae_role_try_take(struct ae_role *role)
{
    /* P1: pairs with P1_LEAVE and P2_LEAVE: all that was done under the role. */
    bool taken = AE_EXCHANGE(P1_TAKE, &role->held, 1, acquire) == 0;
    if (AE_DEBUG && taken)
        ae_role_note_holder(role);
    return taken;
}

/* Gives the role back. Returns what was queued meanwhile, which the caller may read only after taking the role again. */
static inline struct ae_request *ae_role_give_back(struct ae_role *role)
{
    if (AE_DEBUG)
        ae_role_note_nobody(role);
    if (AE_LIKELY(role->asymmetric)) {
        AE_STORE(P1_LEAVE, &role->held, 0, release); /* P1: pairs with P1_TAKE */
        AE_LIGHT_BARRIER();                          /* P2: the sleeper's heavy half makes this enough */
        return AE_LOAD(P2_LOOK, &role->incoming, relaxed);
    }
    /* P1 as above, and P2: this store and load against P3_PUSH and P2_HELD, all sequentially consistent. */
    AE_STORE(P2_LEAVE, &role->held, 0, seq_cst);
    return AE_LOAD(P2_LOOK, &role->incoming, seq_cst);
}

/* Gives the role back, once what others have queued is performed or somebody else has it. */
static inline void ae_role_leave(struct ae_role *role)
{
    if (AE_UNLIKELY(ae_role_give_back(role) != NULL))
        ae_role_attend(role);
}

/* Returns when the request has been performed and, if it was kept, finished. */
void ae_role_perform(struct ae_role *role, struct ae_request *request);

/*
 * As ae_role_perform(). False: it is kept, and the deadline (base/clock.h) has passed. It may still be finished at any time,
 * so the caller withdraws it before it returns: it performs a request that, under the role, unlinks the first one where it
 * is kept unless that is finished by then.
 */
bool ae_role_perform_until(struct ae_role *role, struct ae_request *request, int64_t deadline);

/* Under the role: the kept request is done, and its thread goes on. Its memory is gone for the caller. */
void ae_request_finish(struct ae_request *request);

/* Exact under the role. True elsewhere: it is. */
bool ae_request_is_finished(const struct ae_request *request);

#endif
