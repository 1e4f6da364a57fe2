/* Random numbers that tell things apart: not for secrets. */
#ifndef AE_RANDOM_H
#define AE_RANDOM_H

#include <stdint.h>

/* Never 0. Does not block. */
uint64_t ae_random_nonzero(void);

#endif
