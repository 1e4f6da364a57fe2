/* Waiting for another thread without sleeping, and hints for the compiler. */
#ifndef AE_RELAX_H
#define AE_RELAX_H

#include <sched.h>

/* Tells the processor that this thread is in a loop that waits for another one. */
static inline void ae_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb" ::: "memory");
#else
#error "aether knows x86-64 and aarch64"
#endif
}

/* Has the line come in, to be written soon. Any address will do. */
static inline void ae_prefetch_to_write(const void *address)
{
#if defined(__x86_64__)
    /* What compilers make of __builtin_prefetch() without -mprfchw leaves the line with others. */
    __asm__ __volatile__("prefetchw %0" : : "m"(*(const char *)address));
#else
    __builtin_prefetch(address, 1);
#endif
}

/* Gives the processor to whoever else is ready to run. */
static inline void ae_yield(void)
{
    sched_yield();
}

#define AE_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define AE_UNLIKELY(condition) __builtin_expect(!!(condition), 0)

#endif
