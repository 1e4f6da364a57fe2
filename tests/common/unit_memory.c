#include "common/unit_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rcu.h"

enum { BEFORE = 128, AFTER = 16, NEW = 0xa5, OLD = 0x5a, FENCE = 0xf1 };

/* Stands just before the block. */
struct head {
    void *start;
    size_t size, align;
};

static struct unit_memory now;
static uint64_t fail_from, fail_to; /* numbers of calls */
static void (*alloc_hook)(void *user);
static void *alloc_hook_user;

static uint64_t add(uint64_t *figure, uint64_t change)
{
    return __atomic_fetch_add(figure, change, __ATOMIC_SEQ_CST);
}

static struct head *head_of(void *memory)
{
    return (struct head *)memory - 1;
}

static void *count_and_alloc(size_t size, size_t align, void *user)
{
    (void)user;
    if (alloc_hook != NULL)
        alloc_hook(alloc_hook_user);
    uint64_t call = add(&now.allocs, 1);
    __atomic_store_n(&now.asked, size, __ATOMIC_SEQ_CST);
    if (call >= fail_from && call < fail_to) {
        add(&now.fails, 1);
        return NULL;
    }
    size_t before = align > BEFORE ? align : BEFORE;
    char *start = aligned_alloc(before, (before + size + AFTER + before - 1) / before * before);
    if (start == NULL)
        abort(); /* the machine has no memory: nothing can be said about the library */
    char *memory = start + before;
    *head_of(memory) = (struct head){start, size, align};
    memset(memory, NEW, size);
    memset(memory + size, FENCE, AFTER);
    add(&now.blocks, 1);
    add(&now.bytes, size);
    return memory;
}

static bool is_whole(const unsigned char *fence)
{
    for (int i = 0; i < AFTER; i++)
        if (fence[i] != FENCE)
            return false;
    return true;
}

static void count_and_free(void *memory, size_t size, size_t align, void *user)
{
    (void)user;
    struct head *head = head_of(memory);
    if (head->size != size || head->align != align || !is_whole((unsigned char *)memory + size))
        add(&now.misuses, 1);
    add(&now.blocks, UINT64_MAX); /* minus one */
    add(&now.bytes, 0 - (uint64_t)head->size);
    void *start = head->start;
    memset(memory, OLD, head->size);
    free(start);
}

const aether_allocator unit_allocator = {count_and_alloc, count_and_free, NULL};

struct unit_memory unit_memory(void)
{
    return (struct unit_memory){add(&now.allocs, 0), add(&now.fails, 0), add(&now.blocks, 0),
                                add(&now.bytes, 0),  add(&now.asked, 0), add(&now.misuses, 0)};
}

void unit_memory_fail(uint64_t skip, uint64_t count)
{
    fail_from = add(&now.allocs, 0) + skip;
    fail_to = count > UINT64_MAX - fail_from ? UINT64_MAX : fail_from + count;
}

void unit_memory_forget_fails(void)
{
    __atomic_store_n(&now.fails, 0, __ATOMIC_SEQ_CST);
}

void unit_memory_fail_next(uint64_t skip, bool all)
{
    unit_memory_forget_fails();
    unit_memory_fail(skip, all ? UINT64_MAX : 1);
}

bool unit_memory_has_failed(void)
{
    unit_memory_fail(0, 0);
    return unit_memory().fails != 0;
}

const char *unit_memory_each_failure(bool (*body)(uint64_t skip, bool all))
{
    enum { MOST = 500 };
    static char text[100];
    for (int all = 0; all < 2; all++) {
        uint64_t skip = 0;
        while (skip < MOST && body(skip, all != 0)) {
            if (!unit_memory_is_balanced()) {
                snprintf(text, sizeof text, "allocation %llu failed, and something leaks", (unsigned long long)skip);
                return text;
            }
            skip++;
        }
        if (skip == 0 || skip == MOST)
            return skip == 0 ? "nothing has failed" : "there is no end of failures";
    }
    return NULL;
}

void unit_memory_hook(void (*hook)(void *user), void *user)
{
    alloc_hook_user = user;
    alloc_hook = hook;
}

bool unit_memory_is_balanced(void)
{
    if (add(&now.blocks, 0) != 0)
        ae_rcu_barrier();
    return add(&now.blocks, 0) == 0 && add(&now.bytes, 0) == 0 && add(&now.misuses, 0) == 0;
}
