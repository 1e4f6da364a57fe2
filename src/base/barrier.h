/*
 * The asymmetric barrier: one side (frequent, light) pays a compiler barrier, the other (rare, heavy) a system call that
 * puts a full barrier into every running thread of the process. With it, "light store, light barrier, light load" against
 * "heavy store, heavy barrier, heavy load" of the same two words cannot both miss the other's store.
 *
 * Where the kernel has none (probed with the real command), and under the thread sanitizer, which does not know it,
 * ae_barrier_is_asymmetric() is false: both sides use sequentially consistent operations, and the heavy half does nothing.
 */
#ifndef AE_BARRIER_H
#define AE_BARRIER_H

#include <stdbool.h>

/* Registers the process and probes. Called when the first handle is created, and in a child after fork(). */
void ae_barrier_prepare(void);

/* Constant from the first handle on. */
bool ae_barrier_is_asymmetric(void);

/* For tests: go without membarrier from the next handle on. */
void ae_barrier_force_symmetric(bool symmetric);

/*
 * 0.2 to 8 us; no system call where there is no asymmetric barrier. False: the kernel refused (a filter on system calls
 * that came after the first handle), so the caller has to look again after a while instead of relying on a wake-up.
 */
bool ae_barrier_heavy(void);

#endif
