/* The allocator that a handle gets when the program gives none. */
#include "common/unit.h"

#include "base/allocator.h"

static void *take(size_t size, size_t align)
{
    return ae_alloc(&ae_default_allocator, size, align);
}

TEST(base_allocator, D6_memory_is_aligned_as_asked_and_all_of_it_may_be_written)
{
    for (size_t align = 1; align <= 4096; align *= 2)
        for (size_t size = 1; size <= 100000; size = size * 3 / 2 + 1) {
            unsigned char *memory = take(size, align);
            cr_assert(memory != NULL && (uintptr_t)memory % align == 0);
            memset(memory, 0xaa, size);
            ae_free(&ae_default_allocator, memory, size, align);
        }
}

TEST(base_allocator, D6_many_blocks_do_not_overlap)
{
    enum { BLOCKS = 300 };
    static unsigned char *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = take(i + 1, (size_t)1 << i % 8);
        memset(blocks[i], (int)(i % 251), i + 1);
    }
    for (size_t i = 0; i < BLOCKS; i++)
        for (size_t byte = 0; byte <= i; byte++)
            expect_number(i % 251, blocks[i][byte]);
    for (size_t i = 0; i < BLOCKS; i++)
        ae_free(&ae_default_allocator, blocks[i], i + 1, (size_t)1 << i % 8);
}

TEST(base_allocator, D6_the_border_between_small_and_large_is_free_of_seams)
{
    for (size_t size = 500; size <= 524; size++)
        for (size_t align = 8; align <= 256; align *= 2) {
            unsigned char *memory = take(size, align);
            cr_assert((uintptr_t)memory % align == 0);
            memset(memory, 1, size);
            ae_free(&ae_default_allocator, memory, size, align);
        }
}

TEST(base_allocator, D6_freeing_nothing_does_nothing)
{
    ae_free(&ae_default_allocator, NULL, 100, 8);
    ae_free(&ae_default_allocator, NULL, 100, 64);
    ae_free(&ae_default_allocator, NULL, 100000, 64);
}

static const char *free_it(void *user)
{
    ae_free(&ae_default_allocator, user, 200, 64);
    return NULL;
}

TEST(base_allocator, D6_memory_may_be_freed_by_another_thread)
{
    struct unit_thread thread;
    cr_assert(unit_thread_start(&thread, 0, free_it, take(200, 64)));
    expect_fine(unit_thread_join(&thread));
}
