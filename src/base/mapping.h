/* Memory of the system's: that processes share through a file, and large pages. Header only, as base/shared_futex.h. */
#ifndef AE_MAPPING_H
#define AE_MAPPING_H

#include <stddef.h>
#include <sys/mman.h>

/* NULL: errno says why. */
static inline void *ae_map_shared(int file, size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    return memory != MAP_FAILED ? memory : NULL;
}

/* Large pages for memory that is filled from one end to the other, where the system has some: a hint. */
static inline void ae_advise_large_pages(void *memory, size_t size)
{
    (void)madvise(memory, size, MADV_HUGEPAGE);
}

static inline void ae_unmap_shared(void *memory, size_t size)
{
    (void)munmap(memory, size);
}

#endif
