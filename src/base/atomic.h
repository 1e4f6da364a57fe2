/*
 * Atomic operations that can be reviewed: the order stands on the operation, and a label names the edge that it is one end
 * of. The labels of a structure are listed once, in an edges.h beside it, with both ends of each edge; docs/memory-order.md
 * argues them. Objects are plain fields whose comments say that they are atomic, because some of them stand in public
 * headers, which know no _Atomic.
 *
 * Two builds for tests use the labels: AE_DELAY lets a thread yield or nap before any labelled operation, and
 * AE_MUTANT=AE_LABEL_... weakens the one so named to relaxed.
 */
#ifndef AE_ATOMIC_H
#define AE_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/relax.h"

#ifdef AE_DELAY
void ae_delay(void); /* yields 1 time in 16, naps up to 80 us 1 in 64, 3 ms 1 in 4096 */
#define AE_POINT(label) ((void)AE_LABEL_##label, ae_delay())
#else
#define AE_POINT(label) ((void)AE_LABEL_##label)
#endif

#define AE_MO_relaxed __ATOMIC_RELAXED
#define AE_MO_acquire __ATOMIC_ACQUIRE
#define AE_MO_release __ATOMIC_RELEASE
#define AE_MO_acq_rel __ATOMIC_ACQ_REL
#define AE_MO_seq_cst __ATOMIC_SEQ_CST

#ifdef AE_MUTANT
#define AE_WEAKEN(label, order) (AE_MUTANT == AE_LABEL_##label ? __ATOMIC_RELAXED : (order))
#else
#define AE_WEAKEN(label, order) (order)
#endif

#define AE_LOAD(label, object, order) (AE_POINT(label), __atomic_load_n((object), AE_WEAKEN(label, AE_MO_##order)))
#define AE_STORE(label, object, value, order)                                                                               \
    (AE_POINT(label), __atomic_store_n((object), (value), AE_WEAKEN(label, AE_MO_##order)))
/* These four return the value before. */
#define AE_ADD(label, object, value, order)                                                                                 \
    (AE_POINT(label), __atomic_fetch_add((object), (value), AE_WEAKEN(label, AE_MO_##order)))
#define AE_SUB(label, object, value, order)                                                                                 \
    (AE_POINT(label), __atomic_fetch_sub((object), (value), AE_WEAKEN(label, AE_MO_##order)))
#define AE_OR(label, object, value, order)                                                                                  \
    (AE_POINT(label), __atomic_fetch_or((object), (value), AE_WEAKEN(label, AE_MO_##order)))
#define AE_EXCHANGE(label, object, value, order)                                                                            \
    (AE_POINT(label), __atomic_exchange_n((object), (value), AE_WEAKEN(label, AE_MO_##order)))
/* True when *object was *expected and is `desired` now; else *expected is what was found. Strong. */
#define AE_CAS(label, object, expected, desired, success, failure)                                                          \
    (AE_POINT(label), __atomic_compare_exchange_n((object), (expected), (desired), false,                                   \
                                                  AE_WEAKEN(label, AE_MO_##success), AE_WEAKEN(label, AE_MO_##failure)))

/* The light half of an asymmetric barrier: keeps the compiler from reordering; base/barrier.h has the heavy half. */
#define AE_LIGHT_BARRIER() __atomic_signal_fence(__ATOMIC_SEQ_CST)

/* The inline way uses the same hooks. */
#define AETHER_POINT(label) AE_POINT(label)
#define AETHER_ORDER(label, order) AE_WEAKEN(label, order)

#endif
