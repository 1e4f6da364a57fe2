/*
 * An allocator that counts, fails on demand, and finds misuse: free with another size or alignment than alloc had, memory
 * written beyond its end. What it hands out is not zero.
 */
#ifndef UNIT_MEMORY_H
#define UNIT_MEMORY_H

#include "aether/base.h"

/* All atomic: free comes from other threads. */
struct unit_memory {
    uint64_t allocs;  /* calls of alloc, those that failed included */
    uint64_t fails;   /* of them, failed on demand */
    uint64_t blocks;  /* alive */
    uint64_t bytes;   /* alive, as asked for */
    uint64_t asked;   /* bytes, by the last call of alloc */
    uint64_t misuses; /* of free: other size or alignment than alloc had, or the block was overrun */
};

/* For handles: a const of the whole test program, which forks for every test. */
extern const aether_allocator unit_allocator;

struct unit_memory unit_memory(void);

/* From now on, the call of alloc after `skip` others fails, and `count` calls in all; 0 makes it succeed again. */
void unit_memory_fail(uint64_t skip, uint64_t count);

/* Begins to count failures anew. */
void unit_memory_forget_fails(void);

/* One failure after `skip` others, or all from there on, until unit_memory_has_failed(): whether any has. */
void unit_memory_fail_next(uint64_t skip, bool all);
bool unit_memory_has_failed(void);

/*
 * Calls `body` with 0, 1, 2 and so on for `skip`, until it answers that nothing has failed: first for one failure each, then
 * for all that follow. All memory has to be given back each time. NULL, or what was wrong.
 */
const char *unit_memory_each_failure(bool (*body)(uint64_t skip, bool all));

/* Calls `hook(user)` from inside each alloc; NULL ends that. */
void unit_memory_hook(void (*hook)(void *user), void *user);

/* Waits for grace periods: true when nothing is alive. */
bool unit_memory_is_balanced(void);

#endif
