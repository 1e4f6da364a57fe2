/*
 * The library's futex calls under the programs' control: counted, held up at random, and with or without futex_waitv and
 * membarrier.
 */
#ifndef AE_STRESS_FUTEX_H
#define AE_STRESS_FUTEX_H

#include "common/stress_run.h"

/* How readers sleep and writers publish: which of the system's newer calls are used. */
struct stress_way {
    const char *name;
    bool wait_two;   /* futex_waitv, else poking */
    bool asymmetric; /* membarrier, else sequentially consistent operations */
};

enum { STRESS_WAYS = 4 };
extern const struct stress_way stress_ways[STRESS_WAYS];

/*
 * Goes this way from here on. No handle is open. False when the system cannot, or --only names
 * another one.
 */
bool stress_way_use(const struct stress_way *way);

/* How many of them the system can go and --only lets through. */
unsigned stress_way_count(void);

/* Calls so far. */
uint64_t stress_futex_waits(void);
uint64_t stress_futex_wakes(void);

#endif
