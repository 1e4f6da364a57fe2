/*
 * An allocator that counts, so that a program can claim that all memory came back. What is freed is filled with a pattern
 * and, where no sanitizer does better, kept for a while: a late write into it is then a violation of its own.
 */
#ifndef AE_STRESS_MEMORY_H
#define AE_STRESS_MEMORY_H

#include "aether/base.h"
#include "common/stress_run.h"

enum { STRESS_KEPT = 256 };

struct stress_memory {
    aether_allocator allocator; /* const */
    uint64_t blocks;            /* atomic; allocated and not freed */
    uint64_t bytes;             /* atomic */
    uint64_t allocations;       /* atomic; ever */
    pthread_mutex_t lock;       /* for what is kept */
    unsigned char *kept[STRESS_KEPT];
    size_t kept_sizes[STRESS_KEPT];
    uint32_t turn;
};

void stress_memory_begin(struct stress_memory *memory);

/* Waits for what is deferred, then fails unless all is back. Nobody else uses it meanwhile. */
void stress_memory_expect_none(struct stress_memory *memory);

#endif
