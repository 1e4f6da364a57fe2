/*
 * The system's futex behind a small table, so that tests can drive the slow paths and force the way of older kernels.
 * All words are private to the process. Deadlines are absolute (base/clock.h), AETHER_FOREVER for none.
 */
#ifndef AE_FUTEX_H
#define AE_FUTEX_H

#include "aether/base.h"

#define AE_FUTEX_ALL UINT32_MAX

struct ae_futex_ops {
    /* Sleeps while *word == expected, until woken through a bit in common, the deadline, a signal, or for no reason. */
    void (*wait)(uint32_t *word, uint32_t expected, int64_t deadline, uint32_t bits);
    /* Sleeps while both words are as expected; the kernel compares both when it queues. NULL where the kernel cannot. */
    void (*wait_two)(uint32_t *first, uint32_t first_expected, uint32_t *second, uint32_t second_expected, int64_t deadline);
    /* Wakes up to `count` sleepers at `word` that have a bit in common. The word may be gone by then. */
    void (*wake)(uint32_t *word, int count, uint32_t bits);
};

extern struct ae_futex_ops ae_futex;

/* Finds out once what the kernel can do. Called when the first handle is created. */
void ae_futex_prepare(void);

#endif
