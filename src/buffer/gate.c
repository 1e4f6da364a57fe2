/*
 * Sleeping at a gate, being woken, being told (cancel, close).
 *
 * The reader marks the gate, issues the heavy half of the barrier, looks again, and sleeps on two words at once: the gate
 * and its own state. The writer publishes, looks at the gate, and if it is marked closes it and wakes two. So either the
 * writer sees the mark or the reader sees the word (E2), and no plain append pays for it.
 *
 * The duty: whoever returns from the futex and finds the word there wakes two more before anything else, whatever its
 * own reason was, because the kernel may have spent a wake on it.
 *
 * Kernels without futex_waitv cannot sleep on two words. There the canceller pokes: it changes the gate's word (the upper
 * bits) and wakes the sleepers that share a bit with the cursor, while the count of tellers in the state keeps the reader in
 * the segment.
 */
#include "buffer/gate.h"

#include "base/barrier.h"
#include "base/clock.h"
#include "base/futex.h"
#include "base/probe.h"
#include "buffer/poller.h"

enum { LONGEST_PAUSE = 32 }; /* times a pause of about 20 ns */

static bool is_there(const struct aether_cursor *cursor)
{
    /* E1: pairs with E1_PUBLISH. */
    return AE_LOAD(E1_READ, ae_slot_word(cursor->head.at), acquire) != 0;
}

static bool is_told(const struct aether_cursor *cursor)
{
    /* E10, relaxed: the caller looks again with acquire. */
    return AE_LOAD(E10_STATE, &cursor->head.state, relaxed) != 0;
}

/*
 * Looks again for a while, ever less often: the item is found after twice the wait at the latest, and the writer, whose line
 * each look takes away, gets ahead meanwhile. How long pays for itself is learned: `patience` halves with every sleep that
 * was long, and doubles with one that a little more of it would have saved. So a reader of a busy buffer hardly ever sleeps,
 * and one of a quiet buffer does so almost at once. Competitive spinning: Karlin, Li, Manasse, Owicki, "Empirical studies of
 * competitive spinning for a shared-memory multiprocessor", 1991.
 */
static bool spin(const struct aether_cursor *cursor)
{
    int32_t pause = 1;
    for (int32_t waited = 0; waited < cursor->patience; waited += pause) {
        if (is_there(cursor) || is_told(cursor))
            return true;
        for (int32_t i = 0; i < pause; i++)
            ae_relax();
        pause = pause < LONGEST_PAUSE ? pause * 2 : pause;
    }
    for (int32_t i = 0; i < cursor->yields; i++) {
        ae_yield();
        if (is_there(cursor) || is_told(cursor))
            return true;
    }
    return false;
}

/* After a sleep: would more patience have found the word? */
static void learn(struct aether_cursor *cursor, bool found, int64_t slept_ns)
{
    enum { SHORT_NS = 50 * 1000, LEAST_PART = 64 }; /* falling asleep and being woken takes 10 to 20 us */
    int32_t least = cursor->spins / LEAST_PART, most = cursor->spins;
    if (found && slept_ns < SHORT_NS)
        cursor->patience = cursor->patience < most / 2 ? cursor->patience * 2 + 1 : most;
    else
        cursor->patience = cursor->patience / 2 > least ? cursor->patience / 2 : least;
}

/* Marks the gate with the bit unless it is so marked or closed. Returns what it is now. */
static uint32_t mark(uint32_t *gate, uint32_t bit)
{
    /* E3: pairs with E3_CLOSE. Sequentially consistent for E2, since this load may stand in for the mark. */
    uint32_t found = AE_LOAD(E3_GATE, gate, seq_cst);
    while ((found & (bit | AE_GATE_CLOSED)) == 0)
        /* E2: with E2_AGAIN against the writer's store and E2_LOOK. Never a plain store. */
        if (AE_CAS(E2_MARK, gate, &found, found | bit, seq_cst, seq_cst))
            return found | bit;
    return found;
}

void ae_gate_mark_polled(uint32_t *gate)
{
    mark(gate, AE_GATE_POLLED);
}

/* ------------------------------------------------------------------------------------------------ without futex_waitv */

static uint32_t bit_of(const struct aether_cursor *cursor)
{
    return UINT32_C(1) << ((uintptr_t)cursor / AE_CURSOR_ALIGN % 32);
}

uint32_t ae_gate_settled(struct aether_cursor *cursor)
{
    uint32_t state;
    /* E10: pairs with E10_POKED: who tells is done with gate and cursor. */
    while ((state = AE_LOAD(E10_STATE, &cursor->head.state, acquire)) >= AE_STATE_TELLER)
        ae_futex.wait(&cursor->head.state, state, AETHER_FOREVER, AE_FUTEX_ALL);
    return state;
}

static void sleep_on_gate(struct aether_cursor *cursor, uint32_t *gate, uint32_t seen, int64_t deadline)
{
    uint32_t state = 0;
    cursor->asleep_at = gate;
    /* E10: pairs with E10_TELL: who finds us sleeping sees where. */
    if (!AE_CAS(E10_SLEEP, &cursor->head.state, &state, AE_STATE_SLEEPING, release, relaxed))
        return;
    ae_futex.wait(gate, seen, deadline, bit_of(cursor));
    state = AE_STATE_SLEEPING;
    /* E10: failing means that somebody tells us something. */
    if (!AE_CAS(E10_AWAKE, &cursor->head.state, &state, 0, acquire, acquire))
        (void)ae_gate_settled(cursor);
}

/* The reader of the cursor is held in its segment by the count of tellers. */
static void poke(struct aether_cursor *cursor)
{
    uint32_t *gate = cursor->asleep_at;
    /* E10: changes the word between the reader's look and its sleep. */
    AE_ADD(E10_POKE, gate, AE_GATE_POKE, acq_rel);
    ae_futex.wake(gate, INT32_MAX, bit_of(cursor));
}

/* ---------------------------------------------------------------------------------------------------------- both ways */

static void sleep_at(struct aether_cursor *cursor, uint32_t *gate, uint32_t seen, int64_t deadline)
{
    if (ae_futex.wait_two != NULL)
        ae_futex.wait_two(gate, seen, &cursor->head.state, 0, deadline);
    else
        sleep_on_gate(cursor, gate, seen, deadline);
}

/* Sleeps once, and does the duty. True: the word is there. */
static bool sleep_once(struct aether_cursor *cursor, uint32_t *gate, uint32_t seen, int64_t deadline)
{
    int64_t asleep = ae_clock.now();
    AE_PROBE2(sleep, cursor, 1);
    sleep_at(cursor, gate, seen, deadline);
    bool found = is_there(cursor);
    if (found)
        ae_futex.wake(gate, AE_WAKES, AE_FUTEX_ALL); /* the duty */
    AE_PROBE2(sleep, cursor, 0);
    learn(cursor, found, ae_clock.now() - asleep);
    return found;
}

/* Without the heavy half a wake-up may be missed: no sleep longer than this. */
static int64_t cautious(int64_t deadline)
{
    int64_t soon = ae_deadline(AETHER_MILLISECONDS(1));
    return deadline < soon ? deadline : soon;
}

aether_status ae_gate_await(struct aether_cursor *cursor, int64_t deadline)
{
    if (spin(cursor))
        return AETHER_OK;
    uint32_t *gate = ae_slot_gate(cursor->head.at);
    for (;;) {
        uint32_t seen = mark(gate, AE_GATE_WAITED);
        if (seen & AE_GATE_CLOSED)
            return AETHER_OK;
        bool sure = ae_barrier_heavy(); /* E2: after the mark, before the look */
        /* E2: pairs with the store of the word; E1 as well. */
        if (AE_LOAD(E2_AGAIN, ae_slot_word(cursor->head.at), seq_cst) != 0)
            return AETHER_OK;
        if (sleep_once(cursor, gate, seen, sure ? deadline : cautious(deadline)) || is_told(cursor))
            return AETHER_OK;
        if (deadline != AETHER_FOREVER && ae_clock.now() >= deadline)
            return AETHER_TIMEOUT;
    }
}

/* Counts itself in, so that the cursor stays, and tells. False: somebody has told the same before. */
static bool begin_to_tell(struct aether_cursor *cursor, uint32_t bit, bool *sleeping)
{
    uint32_t *state = &cursor->head.state;
    uint32_t old = AE_LOAD(E10_STATE, state, relaxed); /* E10, relaxed: the exchange below decides */
    while ((old & bit) == 0) {
        uint32_t told = ((old | bit) & ~(uint32_t)AE_STATE_SLEEPING) + AE_STATE_TELLER;
        *sleeping = old & AE_STATE_SLEEPING;
        /* E10: pairs with E10_STATE and with E10_SLEEP. E17: with the load of the watch, sequentially consistent. */
        if (AE_CAS(E10_TELL, state, &old, told, seq_cst, acquire))
            return true;
    }
    return false;
}

void ae_gate_tell(struct aether_cursor *cursor, uint32_t bit)
{
    uint32_t *state = &cursor->head.state;
    bool sleeping;
    if (!begin_to_tell(cursor, bit, &sleeping))
        return;
    if (sleeping)
        poke(cursor);
    ae_poller_tell(cursor);
    /* E10: pairs with E10_STATE in ae_gate_settled(). From here on only the address is used. */
    AE_SUB(E10_POKED, state, AE_STATE_TELLER, release);
    ae_futex.wake(state, INT32_MAX, AE_FUTEX_ALL); /* the reader asleep, or waiting for us; a closer may wait there, too */
}
