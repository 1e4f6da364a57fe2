/* Kernels that lack something: what the library then does instead. */
#ifndef UNIT_KERNEL_H
#define UNIT_KERNEL_H

#include <stdbool.h>

enum unit_call { UNIT_MEMBARRIER, UNIT_FUTEX_WAITV, UNIT_GETRANDOM };

/* Whether this kernel has the call, as far as the library uses it. */
bool unit_kernel_has(enum unit_call call);

/* From now on the call answers ENOSYS in this process, if it was there. False: that cannot be done here. */
bool unit_kernel_lacks(enum unit_call call);

/* From now on this process starts no further thread. False: that cannot be done here. */
bool unit_kernel_starts_no_threads(void);

/* From now on the calling thread takes the process down by any system call but write. False: that cannot be done here. */
bool unit_kernel_allows_nothing(void);

#endif
