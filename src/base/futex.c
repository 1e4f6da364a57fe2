#include "base/futex.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

/* Linux 5.16; older kernel headers lack them. */
struct waitv {
    uint64_t value;
    uint64_t address;
    uint32_t flags;
    uint32_t unused;
};
enum { WAITV_32_PRIVATE = 2 | FUTEX_PRIVATE_FLAG, SYS_FUTEX_WAITV = 449 };

static struct timespec *absolute(struct timespec *space, int64_t deadline)
{
    if (deadline == AETHER_FOREVER)
        return NULL;
    *space = (struct timespec){.tv_sec = deadline / 1000000000, .tv_nsec = deadline % 1000000000};
    return space;
}

static void wait_one(uint32_t *word, uint32_t expected, int64_t deadline, uint32_t bits)
{
    struct timespec space;
    syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected, absolute(&space, deadline), NULL, bits);
}

static void wait_two(uint32_t *first, uint32_t first_expected, uint32_t *second, uint32_t second_expected, int64_t deadline)
{
    struct timespec space;
    struct waitv words[] = {{first_expected, (uintptr_t)first, WAITV_32_PRIVATE, 0},
                            {second_expected, (uintptr_t)second, WAITV_32_PRIVATE, 0}};
    syscall(SYS_FUTEX_WAITV, words, 2, 0, absolute(&space, deadline), CLOCK_MONOTONIC);
}

static void wake(uint32_t *word, int count, uint32_t bits)
{
    syscall(SYS_futex, word, FUTEX_WAKE_BITSET_PRIVATE, count, NULL, NULL, bits);
}

struct ae_futex_ops ae_futex = {wait_one, wait_two, wake};

/* The real call on words that do not match: it answers EAGAIN where it exists and is allowed. */
void ae_futex_prepare(void)
{
    uint32_t word = 0;
    struct waitv words[] = {{1, (uintptr_t)&word, WAITV_32_PRIVATE, 0}, {1, (uintptr_t)&word, WAITV_32_PRIVATE, 0}};
    long answer = syscall(SYS_FUTEX_WAITV, words, 2, 0, NULL, CLOCK_MONOTONIC);
    if (answer == -1 && errno == EAGAIN)
        return;
    if (ae_futex.wait_two == wait_two)
        ae_futex.wait_two = NULL;
    ae_log(AETHER_LOG_INFO, "futex_waitv is not available: cancelling pokes the gate instead");
}
