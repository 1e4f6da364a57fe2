/*
 * The gate of a slot: the one-way door that a reader waits at.
 *
 *      open ──reader: CAS──▶ waited, polled, or both ──writer: exchange──▶ closed
 *
 * Bits, never compared whole: the upper ones count pokes (see gate.c). It is never stored plainly: that could put
 * "waited" over "closed" and let another reader, which has just looked, sleep for ever.
 */
#ifndef AE_GATE_H
#define AE_GATE_H

#include "buffer/cursor.h"

enum {
    AE_GATE_WAITED = 1,
    AE_GATE_CLOSED = 2,
    AE_GATE_POLLED = 4, /* watches stand on the buffer's stack (buffer/poller.h) */
    AE_GATE_POKE = 8,

    AE_WAKES = 2 /* how many the writer wakes, and each woken reader in turn: all wake, nobody waits for one that stalls */
};

/*
 * Waits at the cursor's slot, spinning, yielding and then sleeping. AETHER_OK: look again, at the cursor's state and the
 * slot's word. AETHER_TIMEOUT: the deadline has passed and there is no word.
 */
AETHER_CHECKED aether_status ae_gate_await(struct aether_cursor *cursor, int64_t deadline);

/* Marks the gate for a poller, unless it is marked or closed; the barrier and the look again are the caller's. */
void ae_gate_mark_polled(uint32_t *gate);

/* Waits until nobody is telling the cursor anything any more, a moment. Returns its state, without tellers. */
uint32_t ae_gate_settled(struct aether_cursor *cursor);

/* Sets a bit of the cursor's state and wakes its reader if it sleeps. Any thread; async-signal-safe. */
void ae_gate_tell(struct aether_cursor *cursor, uint32_t bit);

#endif
