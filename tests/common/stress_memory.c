#include "common/stress_memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/rcu.h"

enum {
    PATTERN = 0xdb,
    KEEP = !AE_ASAN && !AE_TSAN, /* under the thread sanitizer the lock would order what must not need it */
    KEPT_BYTES = 4096            /* larger blocks are not kept */
};

static void *count_alloc(size_t size, size_t align, void *user)
{
    struct stress_memory *memory = user;
    void *block = aligned_alloc(align, (size + align - 1) & ~(align - 1));
    if (block == NULL)
        return NULL;
    stress_add(&memory->blocks, 1);
    stress_add(&memory->bytes, size);
    stress_add(&memory->allocations, 1);
    return block;
}

static void free_kept(unsigned char *block, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (block[i] != PATTERN)
            stress_fail("byte %zu of a block of %zu was written after its free", i, size);
    free(block);
}

/* Keeps the block and frees an older one; false when another thread is at it. */
static bool keep(struct stress_memory *memory, unsigned char *block, size_t size)
{
    if (!KEEP || size > KEPT_BYTES || pthread_mutex_trylock(&memory->lock) != 0)
        return false;
    uint32_t turn = memory->turn++ % STRESS_KEPT;
    unsigned char *old = memory->kept[turn];
    size_t old_size = memory->kept_sizes[turn];
    memory->kept[turn] = block;
    memory->kept_sizes[turn] = size;
    pthread_mutex_unlock(&memory->lock);
    if (old != NULL)
        free_kept(old, old_size);
    return true;
}

static void count_free(void *block, size_t size, size_t align, void *user)
{
    struct stress_memory *memory = user;
    (void)align;
    memset(block, PATTERN, size);
    stress_add(&memory->blocks, UINT64_MAX); /* minus one */
    stress_add(&memory->bytes, ~(uint64_t)size + 1);
    if (!keep(memory, block, size))
        free(block);
}

void stress_memory_begin(struct stress_memory *memory)
{
    *memory = (struct stress_memory){.allocator = {count_alloc, count_free, memory}, .lock = PTHREAD_MUTEX_INITIALIZER};
}

void stress_memory_expect_none(struct stress_memory *memory)
{
    ae_rcu_barrier();
    if (stress_get(&memory->blocks) != 0)
        stress_fail("%llu blocks of %llu bytes were never freed", (unsigned long long)stress_get(&memory->blocks),
                    (unsigned long long)stress_get(&memory->bytes));
    STRESS_EXPECT(stress_get(&memory->bytes) == 0);
    for (uint32_t i = 0; i < STRESS_KEPT; i++) {
        if (memory->kept[i] != NULL)
            free_kept(memory->kept[i], memory->kept_sizes[i]);
        memory->kept[i] = NULL;
    }
}
