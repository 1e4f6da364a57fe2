/*
 * The role: waiting for it, performing what others have queued, passing it on.
 *
 * A thread pushes its request on `incoming` and waits for the request's own state to change. Meanwhile it may find the role
 * free, or have it handed over: then it serves as any holder does, and its request comes up in its turn. A holder takes
 * `incoming` whole, turns it round, and performs the oldest first.
 *
 * Nobody is forgotten: who leaves looks at `incoming` after giving the role back, and who goes to sleep looks at `held`
 * after pushing. An asymmetric barrier lies between the two of each, so that one of them sees the other (P2).
 */
#include "bus/role.h"

#include <pthread.h>
#include <string.h>

#include "base/barrier.h"
#include "base/clock.h"
#include "base/futex.h"

/* Counts of the processor's pauses (10 to 60 ns each), where nothing else is said. */
enum {
    BACK_OFF = 40,
    PATIENCE_MOST = 1000,
    PATIENCE_LEAST = 32,
    LONGEST_PAUSE = 8,
    HELD_EVERY = 8,            /* looks at the state between looks at the role, which take the holder's line away */
    SHORT_NS = 50 * 1000,      /* falling asleep and being woken takes 10 to 20 us */
    CAUTIOUS_NS = 1000 * 1000, /* no sleep is longer where the heavy barrier fails */
    SUCCESSOR_LOOKS = 4        /* how many are looked at for one that is awake */
};

/* One holder's turn. */
struct turn {
    uint32_t served;                     /* requests of others */
    uint32_t asleep_count;               /* threads to wake when the role is given back */
    uint32_t *asleep[AE_ROLE_SHARE + 1]; /* their states: only addresses, the memory may be gone */
};

void ae_role_init(struct ae_role *role)
{
    memset(role, 0, sizeof *role);
    role->asymmetric = ae_barrier_is_asymmetric();
    role->patience = PATIENCE_MOST;
}

void ae_role_note_holder(struct ae_role *role)
{
    AE_STORE(P5_HOLDER, &role->holder, (uint64_t)pthread_self(), relaxed); /* P5 */
}

void ae_role_note_nobody(struct ae_role *role)
{
    AE_STORE(P5_HOLDER, &role->holder, 0, relaxed); /* P5 */
}

/* Never true for a thread that does not hold the role: nobody but itself stores its name. */
static bool is_holder(const struct ae_role *role)
{
    return AE_LOAD(P5_HOLDER, &role->holder, relaxed) == (uint64_t)pthread_self(); /* P5 */
}

static void count(uint64_t *figure, uint64_t more)
{
    AE_STORE(P5_COUNT, figure, *figure + more, relaxed); /* P5: under the role */
}

/* ---------------------------------------------------------------------------------------------------------- the queue */

static struct ae_request *reversed(struct ae_request *newest)
{
    struct ae_request *oldest = NULL;
    while (newest != NULL) {
        struct ae_request *before = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = before;
    }
    return oldest;
}

/* The oldest request, which stays where it is; NULL: none. */
static struct ae_request *first_queued(struct ae_role *role)
{
    /* P2_LOOK, relaxed: only a hint here; the look after the role was given back counts. */
    if (role->queue == NULL && AE_LOAD(P2_LOOK, &role->incoming, relaxed) != NULL)
        /* P3: pairs with P3_PUSH, of all that were pushed. */
        role->queue = reversed(AE_EXCHANGE(P3_COLLECT, &role->incoming, NULL, acquire));
    return role->queue;
}

static void push(struct ae_role *role, struct ae_request *request)
{
    AE_STORE(P4_QUEUED, &request->state, AE_REQUEST_QUEUED, relaxed); /* P4, relaxed: P3 carries it */
    struct ae_request *newest =
        AE_LOAD(P2_LOOK, &role->incoming, relaxed); /* P2_LOOK, relaxed: the exchange below decides */
    do
        request->next = newest;
    /* P3: pairs with P3_COLLECT. Sequentially consistent for P2, against P2_LEAVE and P2_LOOK. */
    while (!AE_CAS(P3_PUSH, &role->incoming, &newest, request, seq_cst, relaxed));
}

/* --------------------------------------------------------------------------------------------------------- the holder */

static uint32_t perform(struct ae_request *request)
{
    return request->perform(request) ? AE_REQUEST_FINISHED : AE_REQUEST_KEPT;
}

static void perform_own(struct ae_request *request)
{
    uint32_t state = perform(request);
    AE_STORE(P4_OWN, &request->state, state, relaxed); /* P4, relaxed: who finishes it holds the role after us */
}

static void perform_other(struct ae_request *request, struct turn *turn)
{
    uint32_t *word = &request->state;
    uint32_t state = perform(request);
    /* P4: pairs with P4_STATE: what was done for it. Its memory is gone. */
    if (AE_EXCHANGE(P4_TELL, word, state, release) == AE_REQUEST_QUEUED_ASLEEP)
        turn->asleep[turn->asleep_count++] = word;
    turn->served++;
}

/* Somebody near the front who need not be woken, if there is such a one. */
static struct ae_request *successor(struct ae_request *first, const struct ae_request *own)
{
    struct ae_request *request = first;
    for (int i = 0; i < SUCCESSOR_LOOKS && request != NULL; i++, request = request->next)
        /* P4, relaxed: a hint. */
        if (request != own && AE_LOAD(P4_STATE, &request->state, relaxed) == AE_REQUEST_QUEUED)
            return request;
    return first;
}

/* The role stays held. Its new holder finds the queue as it is, and its own request there. */
static void hand_over(struct ae_role *role, const struct ae_request *own, struct turn *turn)
{
    uint32_t *word = &successor(role->queue, own)->state;
    count(&role->handed_over, 1);
    if (AE_DEBUG)
        ae_role_note_nobody(role);
    /* P4: pairs with P4_STATE, and carries what P1 does. */
    if (AE_EXCHANGE(P4_HAND_OVER, word, AE_REQUEST_HOLDER, release) == AE_REQUEST_QUEUED_ASLEEP)
        turn->asleep[turn->asleep_count++] = word;
}

/* Until nobody is queued, or the share is used up and somebody else's request is next. */
static void serve_share(struct ae_role *role, struct ae_request *own, struct turn *turn)
{
    struct ae_request *request;
    while ((request = first_queued(role)) != NULL && (request == own || turn->served < AE_ROLE_SHARE)) {
        role->queue = request->next;
        if (request == own)
            perform_own(request);
        else
            perform_other(request, turn);
    }
}

/*
 * Serves until nobody is queued or the share is used up. Holds the role when called, not when it returns. `own` may be in
 * the queue; NULL: none.
 */
static void serve(struct ae_role *role, struct ae_request *own)
{
    struct turn turn;
    turn.served = turn.asleep_count = 0;
    for (;;) {
        uint32_t before = turn.served;
        serve_share(role, own, &turn);
        count(&role->combined, turn.served - before);
        if (role->queue != NULL) {
            hand_over(role, own, &turn);
            break;
        }
        if (ae_role_give_back(role) == NULL || !ae_role_try_take(role))
            break;
    }
    while (turn.asleep_count != 0) /* the last one first: the others wait for it, if the role was handed over */
        ae_futex.wake(turn.asleep[--turn.asleep_count], 1, AE_FUTEX_ALL);
}

void ae_role_attend(struct ae_role *role)
{
    if (ae_role_try_take(role))
        serve(role, NULL);
}

/* ------------------------------------------------------------------------------------------------------ waiting for it */

static uint32_t state_of(const struct ae_request *request)
{
    return AE_LOAD(P4_STATE, &request->state, acquire); /* P4: pairs with P4_TELL, P4_HAND_OVER and P4_FINISH */
}

static bool is_queued(uint32_t state)
{
    return state == AE_REQUEST_QUEUED || state == AE_REQUEST_QUEUED_ASLEEP;
}

static bool is_free(const struct ae_role *role)
{
    return AE_LOAD(P2_HELD, &role->held, relaxed) == 0; /* P2_HELD, relaxed: a hint; P1_TAKE decides */
}

/* After a sleep: would more patience have saved it? */
static void learn(struct ae_role *role, int64_t slept_ns)
{
    int32_t patience = AE_LOAD(P5_COUNT, &role->patience, relaxed); /* P5: threads may overwrite each other's lesson */
    int32_t learned = slept_ns < SHORT_NS ? patience * 2 : patience / 2;
    learned = learned < PATIENCE_LEAST ? PATIENCE_LEAST : learned > PATIENCE_MOST ? PATIENCE_MOST : learned;
    if (learned != patience)
        AE_STORE(P5_COUNT, &role->patience, learned, relaxed); /* P5 */
}

/*
 * Looks at the request for a while, ever less often, and at the role from time to time. True: it is no longer merely queued,
 * or the role is free. How long pays for itself is learned, as a cursor's patience is (buffer/gate.c).
 */
static bool spin(struct ae_role *role, const struct ae_request *request)
{
    int32_t patience = AE_LOAD(P5_COUNT, &role->patience, relaxed); /* P5 */
    int32_t pause = 1, looks = 0;
    for (int32_t waited = 0; waited < patience; waited += pause) {
        if (!is_queued(state_of(request)) || (++looks % HELD_EVERY == 0 && is_free(role)))
            return true;
        for (int32_t i = 0; i < pause; i++)
            ae_relax();
        pause = pause < LONGEST_PAUSE ? pause * 2 : pause;
    }
    ae_yield();
    return !is_queued(state_of(request)) || is_free(role);
}

/* "Asleep" or not, for the same state otherwise. False: the state has changed. */
static bool mark(struct ae_request *request, uint32_t from, uint32_t to)
{
    /* P4: who changes the state finds the mark and wakes. Failing pairs with P4_TELL, P4_HAND_OVER and P4_FINISH. */
    return AE_CAS(P4_SLEEP, &request->state, &from, to, acquire, acquire) || from == to;
}

/* Sleeps once, until the state changes, unless the role is free. */
static void sleep_queued(struct ae_role *role, struct ae_request *request)
{
    if (!mark(request, AE_REQUEST_QUEUED, AE_REQUEST_QUEUED_ASLEEP))
        return;
    bool sure = ae_barrier_heavy(); /* P2: after the push, before the look */
    /* P2: pairs with the store of P1_LEAVE or P2_LEAVE. */
    if (AE_LOAD(P2_HELD, &role->held, seq_cst) == 0)
        return;
    AE_ADD(P5_COUNT, &role->sleeps, 1, relaxed); /* P5: a figure */
    int64_t asleep = ae_clock.now();
    ae_futex.wait(&request->state, AE_REQUEST_QUEUED_ASLEEP, sure ? AETHER_FOREVER : asleep + CAUTIOUS_NS, AE_FUTEX_ALL);
    learn(role, ae_clock.now() - asleep);
}

/* The thread holds the role, taken or handed over, and its request may be queued still. */
static void serve_as_owner(struct ae_role *role, struct ae_request *request)
{
    if (AE_DEBUG)
        ae_role_note_holder(role);
    if (state_of(request) < AE_REQUEST_KEPT)
        AE_STORE(P4_OWN, &request->state, AE_REQUEST_QUEUED, relaxed); /* P4, relaxed: the holder's alone */
    serve(role, request);
}

/* Until the request is kept or finished. */
static void await_performed(struct ae_role *role, struct ae_request *request)
{
    uint32_t state;
    do {
        if (!spin(role, request))
            sleep_queued(role, request);
        state = state_of(request);
        if (state == AE_REQUEST_HOLDER || (is_queued(state) && is_free(role) && ae_role_try_take(role)))
            serve_as_owner(role, request);
    } while (state_of(request) < AE_REQUEST_KEPT);
}

/* Until the kept request is finished. False: the deadline has passed. */
static bool await_finished(struct ae_request *request, int64_t deadline)
{
    while (mark(request, AE_REQUEST_KEPT, AE_REQUEST_KEPT_ASLEEP)) {
        if (deadline != AETHER_FOREVER && ae_clock.now() >= deadline)
            return false;
        ae_futex.wait(&request->state, AE_REQUEST_KEPT_ASLEEP, deadline, AE_FUTEX_ALL);
    }
    return true;
}

/* -------------------------------------------------------------------------------------------------------------- calls */

/*
 * Leaves the holder alone for a while before queueing. With every request that others queue the role's line, the request's,
 * and all that is done under the role may change processors, 100 ns each time; meanwhile a holder that calls in a loop does
 * dozens of its own. Two threads together do 47 million a second with it and 14 without, and wait as long (bench/role.c).
 */
static void back_off(void)
{
    for (int i = 0; i < BACK_OFF; i++)
        ae_relax();
}

bool ae_role_perform_until(struct ae_role *role, struct ae_request *request, int64_t deadline)
{
    AE_CHECK(!is_holder(role));
    if (!is_free(role))
        back_off();
    if (AE_LIKELY(ae_role_try_take(role))) {
        perform_own(request);
        ae_role_leave(role);
    } else {
        push(role, request);
        await_performed(role, request);
    }
    return ae_request_is_finished(request) || await_finished(request, deadline);
}

void ae_role_perform(struct ae_role *role, struct ae_request *request)
{
    (void)ae_role_perform_until(role, request, AETHER_FOREVER);
}

void ae_request_finish(struct ae_request *request)
{
    uint32_t *word = &request->state;
    /* P4: pairs with P4_STATE: what was done for it. Its memory is gone. */
    uint32_t state = AE_EXCHANGE(P4_FINISH, word, AE_REQUEST_FINISHED, release);
    AE_ASSERT(state == AE_REQUEST_KEPT || state == AE_REQUEST_KEPT_ASLEEP);
    if (state == AE_REQUEST_KEPT_ASLEEP)
        ae_futex.wake(word, 1, AE_FUTEX_ALL);
}

bool ae_request_is_finished(const struct ae_request *request)
{
    return state_of(request) == AE_REQUEST_FINISHED;
}
