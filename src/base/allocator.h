/* The allocator of a handle (D6): the user's, or one on the C library. */
#ifndef AE_ALLOCATOR_H
#define AE_ALLOCATOR_H

#include "aether/base.h"

extern const aether_allocator ae_default_allocator;

static inline void *ae_alloc(const aether_allocator *allocator, size_t size, size_t align)
{
    return allocator->alloc(size, align, allocator->user);
}

static inline void ae_free(const aether_allocator *allocator, void *memory, size_t size, size_t align)
{
    allocator->free(memory, size, align, allocator->user);
}

#endif
