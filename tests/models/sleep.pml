/*
 * Sleeping at the gate: one writer, readers that mark, look again and sleep, one of them cancelled.
 *
 * What is modelled
 *      E1  publish   payload and word go into the writer's store buffer; the word leaves it after all that is older
 *      E2  sleep     the writer looks at the gate while its word may still be in the buffer; the reader marks by
 *                    compare-and-swap, issues the heavy barrier (which empties every thread's buffer) and looks again.
 *                    -DFENCES: the way without membarrier, a full fence on either side
 *      E3  close     exchange to "closed", which leaves no older store behind
 *      E10 cancel    two words compared by the kernel (futex_waitv), or -DPOKE: the gate's upper bits count pokes and the
 *                    state goes awake -> sleeping -> poking -> cancelled (-DSHARED_BIT: all readers wake at its poke)
 *      E12 inside    -DCLOSE: whoever cancels closes: tells the reader, waits until it is out of its call, frees the cursor
 *      and the chained wake: the writer wakes WAKES sleepers; who returns from the futex and finds the item wakes PASSES
 *      more, before it looks at its own reason (item, cancel, deadline).
 *
 * It stands for the append from the word's store to the wake (append.c, inline.h), for gate.c, and for find(), enter(),
 * leave() and aether_cursor_close() in cursor.c.
 *
 * The machine. Stores of the writer leave its buffer in any order but for release, so payloads overtake each other, and
 * every word may stay behind the load of its gate for any time. An early load of the gate is the same as a late store.
 * The readers and the canceller change shared words by read-modify-write, or store just before a system call that is a
 * full barrier; the one plain store of a reader, `inside`, has a buffer of its own. The kernel queues a sleeper on the gate
 * and then on its state, each compared in the same instant. It wakes whichever sleepers it likes, and may spend the
 * gate's wake on one that something else has woken already.
 *
 * What is claimed
 *      lost_wakeup       nobody sleeps for ever while its item is there
 *      lost_cancel       the cancelled reader returns. A watchdog looks for both when nothing moves any more; whatever else
 *                        is stuck is an invalid end state. The cancelled reader and the one with a deadline want one item
 *                        more than is published, so only their own reason brings them home
 *      gate_went_back    the gate only moves open -> waited -> closed
 *      no_word           a reader that saw "closed" finds the word
 *      half_item         each reader gets every payload whole, in order
 *      poked_elsewhere   the canceller pokes a gate only while its reader stands there
 *      freed_cursor      no call touches a freed cursor
 *      and every run ends: there is no cycle (compiled with -DNP, run with -l).
 *      -DSTALL: a woken reader that never runs again keeps nobody asleep.
 *
 * What is left out: segments, rolls and recycling (open.pml); spinning and yielding before the sleep; a heavy barrier that
 * fails, after which no sleep is long; batches; a second cancel, and resume; returns from the futex for no reason, but for
 * the deadline, which may pass at any moment; how a reader waits for the end of a poke, and a closer for the reader; loads
 * of readers in another order than the program's (they are acquire, or follow the barrier).
 *
 * Sizes: ITEMS, SLEEPERS (the last one is cancelled; -DDEADLINE: the one before has a deadline), WAKES, PASSES.
 *
 * Wrong variants, one -D each; tests/models/run says which claim each must break:
 *      NO_BARRIER              no heavy barrier before the second look (with FENCES: no fence in the writer)
 *      MARKER_BARRIER          only the reader that marked the gate issues the barrier
 *      NO_LOOK                 no second look after the barrier
 *      PLAIN_GATE_STORE        the mark is a plain store (with GATE_MAY_GO_BACK: and only its consequence is looked for)
 *      RELAXED_PUBLISH         the word's store does not wait for the payload
 *      RELAXED_CLOSE           the exchange does not wait for the word
 *      NO_PASS                 a woken reader wakes nobody
 *      CANCEL_BEFORE_DUTY      returns "cancelled" before it wakes others
 *      DEADLINE_BEFORE_DUTY    returns "timeout" before it wakes others
 *      ONE_WORD                the kernel compares the gate only, not the state
 *      NO_POKE                 the canceller wakes without changing the gate's word
 *      NO_POKING               a reader does not wait until the canceller is done with the gate
 *      GATE_EQUALS             the writer tests gate == waited instead of gate != open, and misses poked gates
 *      CLOSE_AT_ONCE           close frees the cursor without waiting for the reader
 *      EARLY_CLOSE             close while the reader's call has begun and others may not see it yet: an error of the
 *                              program, since `inside` is a relaxed store
 */

#ifndef ITEMS
#define ITEMS 2
#endif
#ifndef SLEEPERS
#define SLEEPERS 3
#endif
#ifndef WAKES
#define WAKES 2
#endif
#ifndef PASSES
#define PASSES 2
#endif

#define SLOTS (ITEMS + 1) /* the last slot is never filled */
#define CANCELLED_ONE (SLEEPERS - 1)
#ifdef DEADLINE
#define DEADLINE_ONE (SLEEPERS - 2)
#else
#define DEADLINE_ONE SLEEPERS
#endif

/* The gate's bits; above them the pokes are counted. */
#define OPEN 0
#define WAITED 1
#define CLOSED 2
#define POKED 4
#define RANK(gate) ((gate) & CLOSED -> 2 : ((gate) & WAITED -> 1 : 0))

#define AWAKE 0
#define SLEEPING 1
#define POKING 2
#define CANCELLED 3

/* Memory. */
bool word[SLOTS];
bool payload[SLOTS];
byte gate[SLOTS];
byte state[SLEEPERS];
bool inside;

/* Store buffers: the writer's, and the store of `inside` by the reader that is closed. */
bool word_stored[SLOTS];
bool payload_stored[SLOTS];
bool inside_stored;

/* The kernel's queues. */
byte queued[SLEEPERS];    /* on the gate of this slot, + 1 */
bool listening[SLEEPERS]; /* on its state */
bool woken[SLEEPERS];

/* What the claims are about. */
byte at[SLEEPERS]; /* the slot where a reader stands */
bool gone[SLEEPERS];
byte asleep_at;
bool calling, left_it, freed;

/* The claims. */
bool lost_wakeup, lost_cancel, gate_went_back, no_word, half_item, poked_elsewhere, freed_cursor;

#define CLAIM(broken, holds) broken = !(holds); assert(!broken)

/* ------------------------------------------------------------------------------------------------- the machine */

#ifdef RELAXED_PUBLISH
#define WORD_MAY_LEAVE(slot) (word_stored[slot])
#else
#define WORD_MAY_LEAVE(slot) (word_stored[slot] && !payload_stored[slot] && !older_stored(slot))
#endif
/* All words are release stores: when the one before has left, so has everything before it. */
#define older_stored(slot) ((slot) > 0 && word_stored[(slot) - ((slot) > 0)])

proctype store_buffer(byte slot)
{
end:
    do
    :: d_step {
           payload_stored[slot] -> payload_stored[slot] = false;
           payload[slot] = true
       }
    :: d_step {
           WORD_MAY_LEAVE(slot) -> word_stored[slot] = false;
           word[slot] = true
       }
    od
}

inline leave_buffers(scratch)
{
    scratch = 0;
    do
    :: scratch < ITEMS ->
        payload[scratch] = payload[scratch] || payload_stored[scratch];
        word[scratch] = word[scratch] || word_stored[scratch];
        payload_stored[scratch] = false;
        word_stored[scratch] = false;
        scratch++
    :: else -> break
    od;
    scratch = 0
}

inline leave_inside()
{
    inside = inside || inside_stored;
    inside_stored = false
}

/* membarrier: a full barrier in every thread. */
inline heavy_barrier(scratch)
{
    d_step {
        leave_buffers(scratch);
        leave_inside()
    }
}

inline set_gate(slot, value)
{
#ifndef GATE_MAY_GO_BACK
    CLAIM(gate_went_back, RANK(value) >= RANK(gate[slot]));
#endif
    gate[slot] = value
}

/* FUTEX_WAKE: up to `count` sleepers at the gate, whichever the kernel likes. */
#define WAKE_ONE(reader) \
    left > 0 && queued[reader] == (slot) + 1 -> queued[reader] = 0; woken[reader] = true; left--

inline wake(slot, count)
{
    atomic {
        left = count;
        do
        :: WAKE_ONE(0)
        :: WAKE_ONE(1)
#if SLEEPERS > 2
        :: WAKE_ONE(2)
#endif
#if SLEEPERS > 3
        :: WAKE_ONE(3)
#endif
#if SLEEPERS > 4
        :: WAKE_ONE(4)
#endif
        :: else -> break
        od;
        left = 0
    }
}

/* -------------------------------------------------------------------------------------------------- the writer */

proctype writer()
{
    byte slot, seen, left;

    do
    :: slot < ITEMS ->
        d_step { /* E1: into the buffer */
            payload_stored[slot] = true;
            word_stored[slot] = true
        }
#if defined(FENCES) && !defined(NO_BARRIER)
        d_step { leave_buffers(left) };
#endif
        seen = gate[slot]; /* E2, the light half */
        if
#ifdef GATE_EQUALS
        :: seen == WAITED ->
#else
        :: seen != OPEN ->
#endif
            d_step { /* E3 */
#ifndef RELAXED_CLOSE
                leave_buffers(left);
#endif
                set_gate(slot, CLOSED)
            }
            wake(slot, WAKES)
        :: else
        fi;
        d_step {
            seen = 0;
            slot++
        }
    :: else -> break
    od
}

/* -------------------------------------------------------------------------------------------------- the readers */

#define WANTED(me) (((me) == CANCELLED_ONE || (me) == DEADLINE_ONE) -> SLOTS : ITEMS)

/* What a reader does with its cursor, between the beginning of a call and its end. */
#define CURSOR_IS_THERE CLAIM(freed_cursor, !(freed && me == CANCELLED_ONE))

#ifdef NO_PASS
#define PASS_ON skip
#else
#define PASS_ON wake(at[me], PASSES)
#endif

#ifdef CANCEL_BEFORE_DUTY
#define CANCEL_COMES_FIRST (state[me] == CANCELLED)
#else
#define CANCEL_COMES_FIRST false
#endif
#ifdef DEADLINE_BEFORE_DUTY
#define DEADLINE_COMES_FIRST expired
#else
#define DEADLINE_COMES_FIRST false
#endif

proctype reader(byte me)
{
    byte seen, left;
    bool expired, marked;

#ifdef CLOSE
    if
    :: me == CANCELLED_ONE ->
        d_step { /* E12: the call begins */
            calling = true;
            inside_stored = true
        }
    :: else
    fi;
#endif

find:
    atomic {
        seen = 0;
        expired = false;
        if
        :: at[me] == WANTED(me) -> goto leaves
        :: else
        fi;
        CURSOR_IS_THERE;
        if
        :: state[me] == CANCELLED -> goto leaves /* E10: here, or a little later */
        :: !word[at[me]] -> goto mark
        :: word[at[me]] -> /* E1 */
            CLAIM(half_item, payload[at[me]]);
            at[me]++;
#ifdef CLOSE
            if
            :: me == CANCELLED_ONE -> goto leaves /* the closed reader makes one call */
            :: else
            fi;
#endif
            goto find
        fi
    }

mark: /* E2. The load before the compare-and-swap needs no step of its own: one that fails is the load. */
    atomic {
        seen = gate[at[me]];
        if
        :: seen & CLOSED ->
            CLAIM(no_word, word[at[me]]); /* E3 */
            goto find
        :: !(seen & CLOSED) && (seen & WAITED) -> goto look
        :: else
        fi;
#ifdef PLAIN_GATE_STORE
        skip
    }
    atomic {
#endif
        set_gate(at[me], seen | WAITED);
        seen = seen | WAITED;
        marked = true;
        if
        :: me == CANCELLED_ONE -> leave_inside()
        :: else
        fi
    }

look: /* One step: the word only comes, and what the barrier does at once the buffers may do at any time before. */
    atomic {
#if !defined(NO_BARRIER) && !defined(FENCES)
        if
#ifdef MARKER_BARRIER
        :: !marked
#endif
        :: else -> heavy_barrier(left)
        fi;
#endif
        marked = false;
#ifndef NO_LOOK
        if
        :: word[at[me]] -> goto find /* found without sleeping: owes nothing */
        :: else
        fi
#endif
    }

#ifdef POKE
    atomic { /* E10: from awake to asleep, or it was cancelled */
        CURSOR_IS_THERE;
        if
        :: state[me] == AWAKE ->
            state[me] = SLEEPING;
            if
            :: me == CANCELLED_ONE -> asleep_at = at[me]
            :: else
            fi
        :: else -> goto awake
        fi
    }
    atomic { /* FUTEX_WAIT_BITSET: compared and queued */
        if
        :: gate[at[me]] == seen -> queued[me] = at[me] + 1
        :: else -> goto roused
        fi
    }
#else
    atomic { /* futex_waitv: the first word compared and queued on */
        if
        :: gate[at[me]] == seen -> queued[me] = at[me] + 1
        :: else -> goto awake
        fi
    }
    atomic { /* ... and the second */
        CURSOR_IS_THERE;
        if
#ifdef ONE_WORD
        :: true -> listening[me] = true
#else
        :: state[me] == AWAKE -> listening[me] = true
#endif
        :: else -> woken[me] = true
        fi
    }
#endif

    atomic { /* until here a wake may be spent on this reader, whatever else has woken it */
        if
        :: woken[me]
        :: me == DEADLINE_ONE -> expired = true
        fi;
        queued[me] = 0;
        listening[me] = false;
        woken[me] = false
    }

#ifdef STALL
    if
    :: me == 0 -> goto end_stalled
    :: true
    fi;
#endif

#ifdef POKE
roused:
    atomic {
        CURSOR_IS_THERE;
        if
        :: state[me] == SLEEPING -> state[me] = AWAKE
        :: else
        fi
    }
#ifndef NO_POKING
    state[me] == AWAKE || state[me] == CANCELLED;
#endif
#endif

awake:
    atomic {
        seen = 0;
        if
        :: CANCEL_COMES_FIRST || DEADLINE_COMES_FIRST -> goto leaves
        :: else
        fi;
        if
        :: word[at[me]]
        :: else -> goto reasons
        fi
    }
    PASS_ON; /* the duty, before anything else */
    goto find;

reasons:
    atomic {
        CURSOR_IS_THERE;
        if
        :: state[me] == CANCELLED || state[me] == POKING -> goto leaves
        :: else
        fi;
        if
        :: expired -> goto leaves
        :: else -> goto mark
        fi
    }

#ifdef STALL
end_stalled:
    false;
#endif

leaves:
    atomic {
        seen = 0;
        expired = false;
        gone[me] = true;
        CURSOR_IS_THERE;
        if
        :: me == CANCELLED_ONE && state[me] != CANCELLED -> inside_stored = false; inside = false /* E12 */
        :: me == CANCELLED_ONE && state[me] == CANCELLED -> left_it = true                        /* E12: handed over */
        :: else
        fi
    }
}

/* ------------------------------------------------------------------------------------------------ the canceller */

#ifdef SHARED_BIT
#define SAME_BIT(reader) true
#else
#define SAME_BIT(reader) ((reader) == CANCELLED_ONE)
#endif

#define READER_STANDS_THERE CLAIM(poked_elsewhere, !gone[CANCELLED_ONE] && at[CANCELLED_ONE] == asleep_at)

proctype canceller()
{
    byte left;

#ifdef CLOSE
#ifdef EARLY_CLOSE
    calling;
#else
    calling && !inside_stored; /* a call that is inside; with one that only begins, close is an error of the program */
#endif
    if
    :: !inside -> goto told
    :: else
    fi;
#endif
#ifdef POKE
    d_step { /* E10 */
        if
        :: state[CANCELLED_ONE] == AWAKE -> state[CANCELLED_ONE] = CANCELLED
        :: state[CANCELLED_ONE] == SLEEPING -> state[CANCELLED_ONE] = POKING
        fi
    }
    if
    :: state[CANCELLED_ONE] == CANCELLED -> goto told
    :: else
    fi;
    d_step { /* E10: changes the word between the reader's look and its sleep */
        READER_STANDS_THERE;
#ifndef NO_POKE
        set_gate(asleep_at, gate[asleep_at] + POKED)
#endif
    }
    d_step { /* FUTEX_WAKE_BITSET: all that share the bit */
        READER_STANDS_THERE;
        left = 0;
        do
        :: left < SLEEPERS ->
            if
            :: SAME_BIT(left) && queued[left] == asleep_at + 1 -> queued[left] = 0; woken[left] = true
            :: else
            fi;
            left++
        :: else -> break
        od;
        left = 0
    }
    state[CANCELLED_ONE] = CANCELLED;
#else
    state[CANCELLED_ONE] = CANCELLED; /* E10 */
    d_step { /* FUTEX_WAKE of the state's only sleeper, who stays queued on the gate until it runs */
        if
        :: listening[CANCELLED_ONE] -> listening[CANCELLED_ONE] = false; woken[CANCELLED_ONE] = true
        :: else
        fi
    }
#endif

told:
#ifdef CLOSE
#ifndef CLOSE_AT_ONCE
    !inside || left_it; /* E12 */
#endif
    freed = true
#else
    skip
#endif
}

/* ------------------------------------------------------------------------------------------------- the watchdog */

proctype watchdog()
{
    byte i;

    timeout; /* nobody else can go on */
    d_step {
        lost_wakeup = false;
        i = 0;
        do
        :: i < SLEEPERS ->
            if
            :: queued[i] != 0 ->
                if
                :: word[queued[i] - 1] -> lost_wakeup = true
                :: else
                fi
            :: else
            fi;
            i++
        :: else -> break
        od;
        assert(!lost_wakeup);
        CLAIM(lost_cancel, gone[CANCELLED_ONE])
    }
}

init {
    atomic {
        byte i = 0;
        do
        :: i < ITEMS -> run store_buffer(i); i++
        :: else -> break
        od;
        run writer();
        i = 0;
        do
        :: i < SLEEPERS -> run reader(i); i++
        :: else -> break
        od;
        run canceller();
        run watchdog();
        i = 0
    }
}
