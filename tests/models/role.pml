/*
 * The role: threads that take it, queue for it, sleep, hand it over, and requests that are kept and finished later.
 *
 * What is modelled
 *      P1  role      taken by exchange, given back by a release store that may stay in its thread's store buffer
 *      P2  forgotten who has given it back looks at `incoming` while that store may still be in the buffer; who has pushed
 *                    marks its request, issues the heavy barrier (which empties every thread's buffer) and looks at
 *                    `held`. -DFENCES: the way without membarrier, a full fence in the one who leaves
 *      P3  incoming  push, and taking all of it
 *      P4  state     queued, asleep, holder, kept, finished; wakes are given after the role has been left, by address
 *      and the share: after SHARE requests of others the role goes to somebody who is queued, while it stays held.
 *      -DKEEP: the first thread's request is kept, and the last thread finishes what is kept. -DDEADLINE: the first
 *      thread may give up at any time while it is kept, and withdraws its request by another one.
 *
 * It stands for src/bus/role.[ch]. The machine: what a thread writes under the role, into its request, and as a result into
 * others' requests leaves its store buffer in any order; a release store or exchange waits for all that is older. An
 * exchange that only acquires leaves the buffer alone, but for an older store of the same word. `incoming` and `queue` are
 * sets: whoever is first may be any of them, which is more than the code does.
 *
 * What is claimed
 *      forgotten         nobody waits for ever. A watchdog looks when nothing moves any more
 *      two_holders       one thread at a time works under the role
 *      half_work         a holder sees all that earlier ones did
 *      half_request      a holder sees the request whole
 *      half_result       a thread whose request is finished sees what was done for it
 *      touched_gone      no holder touches a request after its thread has gone on
 *      performed_twice   each request is performed once
 *      over_share        no holder performs more than SHARE requests of others
 *
 * What is left out: order among requests; spinning, which is looking at state and role at any time; a heavy barrier that
 * fails, after which no sleep is long.
 *
 * Sizes: THREADS, ROUNDS (requests of each), SHARE.
 *
 * Wrong variants, one -D each; tests/models/run says which claim each must break:
 *      NO_BARRIER        no heavy barrier before the look at the role (with FENCES: no fence in the one who leaves)
 *      NO_LOOK           no look at the role after the mark
 *      NO_LEAVE_LOOK     who leaves does not look at `incoming`
 *      LOOK_FIRST        who leaves looks before it gives the role back
 *      PLAIN_TAKE        the role is taken by a load and a store
 *      RELAXED_LEAVE     giving the role back does not wait for what was done under it
 *      RELAXED_PUSH      the push does not wait for the request
 *      RELAXED_FINISH    telling the state does not wait for the result
 *      RELAXED_HANDOVER  handing over does not wait for what was done under the role
 *      PLAIN_TELL        the state is told by a load and a store
 *      FINISH_SILENT     finished without waking
 *      HANDOVER_SILENT   handed over without waking
 *      KEEP_SILENT       kept without waking
 *      GIVE_BACK_QUEUE   after its share a holder gives the role back, and leaves the queue to the next one
 *      HAND_AND_LEAVE    hands over and gives back
 *      NO_SHARE          never hands over
 *      NO_WITHDRAWAL     who gives up a kept request does not withdraw it
 *      WITHDRAWN_STAYS   withdraws without unlinking it
 */

#ifndef THREADS
#define THREADS 3
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef SHARE
#define SHARE 1
#endif

#define WITHDRAWAL THREADS /* the second request of the first thread */
#define REQUESTS (THREADS + 1)
#define NOBODY 255

/* The states of requests, in the order of enum ae_request_state. */
#define QUEUED 0
#define QUEUED_ASLEEP 1
#define HOLDER 2
#define KEPT 3
#define KEPT_ASLEEP 4
#define FINISHED 5

/* Memory. */
bool held;
byte incoming, queue; /* sets of requests */
byte state[REQUESTS];
bool kept; /* the first thread's request, under the role */

/* Store buffers. */
bool leave_stored[THREADS];     /* held = 0 */
bool work_stored[THREADS];      /* what was done under the role */
bool request_stored[REQUESTS];  /* by its own thread */
byte result_stored[REQUESTS];   /* by this thread, + 1 */

/* The kernel. */
bool sleeping[REQUESTS]; /* on its state */

/* What the claims are about. */
byte inside;
bool gone[REQUESTS], performed[REQUESTS];
bool done[THREADS];

/* The claims. */
bool forgotten, two_holders, half_work, half_request, half_result, touched_gone, performed_twice, over_share;

#define CLAIM(broken, holds) broken = !(holds); assert(!broken)
#define BIT(request) (1 << (request))

/* ------------------------------------------------------------------------------------------------- the machine */

/* All that is older than a release of `thread`. */
inline leave_buffer(thread)
{
    i = 0;
    do
    :: i < REQUESTS ->
        if
        :: result_stored[i] == thread + 1 -> result_stored[i] = 0
        :: else
        fi;
        i++
    :: else -> break
    od;
    i = 0;
    work_stored[thread] = false;
    request_stored[thread] = false;
    if
    :: thread == 0 -> request_stored[WITHDRAWAL] = false
    :: else
    fi;
    if
    :: leave_stored[thread] -> leave_stored[thread] = false; held = false
    :: else
    fi
}

inline heavy_barrier()
{
    j = 0;
    do
    :: j < THREADS -> leave_buffer(j); j++
    :: else -> break
    od;
    j = 0
}

proctype store_buffer(byte thread)
{
    byte i;
end:
    do
    :: d_step { work_stored[thread] -> work_stored[thread] = false }
    :: d_step { request_stored[thread] -> request_stored[thread] = false }
    :: d_step { thread == 0 && request_stored[WITHDRAWAL] -> request_stored[WITHDRAWAL] = false }
    :: d_step {
            leave_stored[thread] ->
#ifndef RELAXED_LEAVE
            leave_buffer(thread);
#endif
            held = false;
            leave_stored[thread] = false
        }
    od
}

proctype result_buffer(byte request)
{
end:
    do
    :: d_step { result_stored[request] != 0 -> result_stored[request] = 0 }
    od
}

/* --------------------------------------------------------------------------------------------- under the role */

inline begin_to_hold()
{
    CLAIM(two_holders, inside == 0);
    inside++
}

/* The exchange of `held`. It acquires; only an older store of the same word has to leave first. */
inline take(taken)
{
    if
    :: leave_stored[me] -> leave_buffer(me)
    :: else
    fi;
    taken = !held;
#ifndef PLAIN_TAKE
    held = true;
    if
    :: taken -> begin_to_hold()
    :: else
    fi
#endif
}

#ifdef PLAIN_TAKE
#define TAKE(taken)                                                                                                         \
    atomic { take(taken) }                                                                                                  \
    atomic {                                                                                                                \
        if                                                                                                                  \
        :: taken -> held = true; begin_to_hold()                                                                            \
        :: else                                                                                                             \
        fi                                                                                                                  \
    }
#else
#define TAKE(taken) atomic { take(taken) }
#endif

#define IS_KEPT_ONE(request) (keeps && (request) == 0)
#define FINISHES(request) (keeps && (request) == THREADS - 1)

#ifdef KEEP
#define keeps true
#else
#define keeps false
#endif

/* The kept request ends: its state's exchange, and its thread's wake-up. */
inline finish_kept()
{
    CLAIM(touched_gone, !gone[0]);
    kept = false;
#ifndef RELAXED_FINISH
    result_stored[0] = 0;
#endif
    if
    :: state[0] == KEPT_ASLEEP -> sleeping[0] = false
    :: else
    fi;
    state[0] = FINISHED
}

/* Gives in `other` what the state becomes. */
inline perform(request)
{
    CLAIM(two_holders, inside == 1);
    CLAIM(touched_gone, !gone[request]);
    CLAIM(performed_twice, !performed[request]);
    CLAIM(half_request, request == mine || !request_stored[request]);
    i = 0;
    do
    :: i < THREADS -> CLAIM(half_work, i == me || !work_stored[i]); i++
    :: else -> break
    od;
    i = 0;
    performed[request] = true;
    work_stored[me] = true;
    if
    :: request != mine -> result_stored[request] = me + 1
    :: else
    fi;
    becomes = FINISHED;
    if
    :: IS_KEPT_ONE(request) -> kept = true; becomes = KEPT
    :: FINISHES(request) && kept -> result_stored[0] = me + 1; finish_kept()
    :: request == WITHDRAWAL ->
#ifndef WITHDRAWN_STAYS
        kept = false
#else
        skip
#endif
    :: else
    fi
}

#ifdef FINISH_SILENT
#define WAKES_AT(state) ((state) != FINISHED)
#else
#ifdef KEEP_SILENT
#define WAKES_AT(state) ((state) != KEPT)
#else
#define WAKES_AT(state) true
#endif
#endif

/* ------------------------------------------------------------------------------------------------- the threads */

proctype thread(byte me)
{
    byte i, j, mine, first, becomes, served, round, to_wake;
    bool taken;

    mine = me;
    if
    :: FINISHES(me) -> kept || done[0] /* it has nothing to do before */
    :: else
    fi;

begin:
    atomic {
        state[mine] = QUEUED;
        gone[mine] = false;
        performed[mine] = false
    }
    TAKE(taken);
    atomic {
        served = 0;
        if
        :: taken ->
            taken = false;
            perform(mine);
            state[mine] = becomes;
            goto leave
        :: else -> request_stored[mine] = true
        fi
    }
    d_step { /* P3: the push */
#ifndef RELAXED_PUSH
        leave_buffer(me);
#endif
        incoming = incoming | BIT(mine)
    }

wait:
    atomic {
        if
        :: state[mine] == FINISHED -> goto returns
        :: state[mine] == KEPT || state[mine] == KEPT_ASLEEP -> goto wait_kept
        :: state[mine] == HOLDER ->
            begin_to_hold();
            served = 0;
            state[mine] = QUEUED;
            goto serve
        :: state[mine] < HOLDER && !held /* what it may see at any time, or not */
        :: state[mine] < HOLDER -> goto mark
        fi
    }
    TAKE(taken);
    atomic {
        if
        :: taken ->
            taken = false;
            served = 0;
            if
            :: state[mine] < KEPT -> state[mine] = QUEUED
            :: else
            fi;
            goto serve
        :: else -> goto wait
        fi
    }

mark:
    atomic {
        if
        :: state[mine] < HOLDER -> state[mine] = QUEUED_ASLEEP
        :: else -> goto wait
        fi
    }
    atomic { /* P2 */
#if !defined(NO_BARRIER) && !defined(FENCES)
        heavy_barrier();
#endif
#ifndef NO_LOOK
        if
        :: !held -> goto wait
        :: else
        fi
#endif
    }
    atomic { /* the kernel compares and queues */
        if
        :: state[mine] == QUEUED_ASLEEP -> sleeping[mine] = true
        :: else -> goto wait
        fi
    }
    !sleeping[mine] -> goto wait;

wait_kept:
    atomic {
        if
        :: state[mine] == KEPT || state[mine] == KEPT_ASLEEP -> state[mine] = KEPT_ASLEEP
        :: else -> goto wait
        fi
    }
    atomic {
        if
        :: state[mine] == KEPT_ASLEEP -> sleeping[mine] = true
#ifdef DEADLINE
        :: goto withdraw
#endif
        :: state[mine] != KEPT_ASLEEP -> goto wait
        fi
    }
    atomic {
        if
        :: !sleeping[mine] -> goto wait
#ifdef DEADLINE
        :: sleeping[mine] -> sleeping[mine] = false; goto withdraw
#endif
        fi
    }

withdraw:
#ifdef NO_WITHDRAWAL
    goto returns;
#else
    mine = WITHDRAWAL;
    goto begin;
#endif

serve:
    atomic {
        if
        :: queue == 0 && incoming != 0 -> queue = incoming; incoming = 0 /* P3 */
        :: else
        fi;
        if
        :: queue == 0 -> goto leave
        :: queue & BIT(0) -> first = 0
        :: queue & BIT(1) -> first = 1
        :: queue & BIT(2) -> first = 2
        :: queue & BIT(3) -> first = 3
        :: queue & BIT(4) -> first = 4
        fi;
        if
#ifndef NO_SHARE
        :: first != mine && served >= SHARE -> goto hand_over
#endif
        :: else -> queue = queue & ~BIT(first)
        fi;
        perform(first);
        if
        :: first == mine -> state[mine] = becomes; goto serve
        :: else -> served++; CLAIM(over_share, served <= SHARE)
        fi
    }
#ifdef PLAIN_TELL
    atomic {
        if
        :: state[first] == QUEUED_ASLEEP -> to_wake = to_wake | BIT(first)
        :: else
        fi
    }
#endif
    atomic { /* P4 */
        CLAIM(touched_gone, !gone[first]);
#ifndef RELAXED_FINISH
        leave_buffer(me);
#endif
#ifndef PLAIN_TELL
        if
        :: state[first] == QUEUED_ASLEEP && WAKES_AT(becomes) -> to_wake = to_wake | BIT(first)
        :: else
        fi;
#endif
        state[first] = becomes;
        goto serve
    }

hand_over:
#ifdef GIVE_BACK_QUEUE
    goto leave;
#endif
    atomic { /* P4 */
#ifndef RELAXED_HANDOVER
        leave_buffer(me);
#endif
        if
#ifndef HANDOVER_SILENT
        :: state[first] == QUEUED_ASLEEP -> to_wake = to_wake | BIT(first)
#endif
        :: else
        fi;
        inside--;
        state[first] = HOLDER;
#ifdef HAND_AND_LEAVE
        held = false;
#endif
        goto wake
    }

leave:
#ifdef LOOK_FIRST
    taken = (incoming != 0);
#endif
    atomic { /* P1 */
        inside--;
        leave_stored[me] = true;
#if defined(FENCES) && !defined(NO_BARRIER)
        leave_buffer(me)
#endif
    }
    atomic { /* P2 */
        if
#ifdef LOOK_FIRST
        :: !taken -> goto wake
#else
#ifdef NO_LEAVE_LOOK
        :: true -> goto wake
#else
        :: incoming == 0 -> goto wake
#endif
#endif
        :: else
        fi
    }
    TAKE(taken);
    atomic {
        if
        :: taken -> taken = false; goto serve
        :: else
        fi
    }

wake:
    atomic {
        first = 0;
        i = 0;
        do
        :: i < REQUESTS ->
            if
            :: to_wake & BIT(i) -> sleeping[i] = false
            :: else
            fi;
            i++
        :: else -> break
        od;
        i = 0;
        to_wake = 0;
        becomes = 0
    }
    goto wait;

returns:
    atomic {
        CLAIM(half_result, result_stored[mine] == 0);
        gone[mine] = true;
        if
        :: mine == WITHDRAWAL -> gone[0] = true
        :: else
        fi;
        round++;
        if
        :: round < ROUNDS && !FINISHES(me) && !IS_KEPT_ONE(me) -> goto begin
        :: else -> done[me] = true
        fi
    }
}

/* ------------------------------------------------------------------------------------------------ the watchdog */

proctype watchdog()
{
    byte i;

    timeout; /* nobody else can go on */
    d_step {
        i = 0;
        do
        :: i < THREADS -> CLAIM(forgotten, done[i]); i++
        :: else -> break
        od;
        i = 0
    }
}

init {
    atomic {
        byte i = 0;
        do
        :: i < THREADS -> run store_buffer(i); run thread(i); i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < REQUESTS -> run result_buffer(i); i++
        :: else -> break
        od;
        i = 0;
        run watchdog()
    }
}
