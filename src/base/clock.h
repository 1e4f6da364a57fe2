/* Time inside the library: absolute CLOCK_MONOTONIC nanoseconds. Tests may put a clock of their own in its place. */
#ifndef AE_CLOCK_H
#define AE_CLOCK_H

#include "aether/base.h"

struct ae_clock_ops {
    int64_t (*now)(void);    /* exact */
    int64_t (*coarse)(void); /* cheap, a few milliseconds behind */
};

extern struct ae_clock_ops ae_clock;

/* The instant `timeout_ns` from now, AETHER_FOREVER for ever; never overflows. */
int64_t ae_deadline(int64_t timeout_ns);

#endif
