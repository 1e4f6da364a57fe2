/*
 * What the benchmarks share: options, one line of result, time, processors, quantiles, and the bound on what is unread.
 *
 * A benchmark is a program that asks one question and answers with one line:
 *
 *      throughput api=inline readers=1 batch=1 payload=32 items=20000000: rate_m_per_s=123.4 lost=0
 *
 * its configuration and what was measured, or, with --json, with the same as a JSON object. --smoke asks the same with
 * counts so small that it is over at once: it tells whether the program works, its figures mean nothing. The exit status is
 * 0 unless something was lost or refused.
 */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "aether/base.h"

/* ---------------------------------------------------------------------------------------------------------- options */

/* One option: exactly one of the pointers is set, and holds the default. */
struct bench_option {
    const char *name; /* without the dashes; NULL ends the list */
    int64_t *number;
    const char **text;
    bool *flag;
    const char *help;
};

/* True with --smoke. */
extern bool bench_smoke;

/* Reads the command line; --help, --json and --smoke are always there. Ends the program where it makes no sense. */
void bench_options(int argc, char **argv, const char *question, const struct bench_option *options);

/* ----------------------------------------------------------------------------------------------------------- result */

/*
 * The line: its name, the configuration, what was measured under it, and the end, which prints it. Keys come in the order of
 * the calls, with their units in them.
 */
void bench_begin(const char *name);
void bench_measured(void);
void bench_text(const char *key, const char *value);
void bench_count(const char *key, uint64_t value);
void bench_real(const char *key, double value);
void bench_end(void);

/* Says what went wrong on stderr and exits with status 1. */
_Noreturn void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Fails with the library's own words unless `status` is AETHER_OK. */
static inline void bench_ok(aether_status status, const char *what)
{
    if (__builtin_expect(status != AETHER_OK, 0))
        bench_fail("%s: %s (%s)", what, aether_status_text(status), aether_error());
}

/* Fails with the library's own words if `handle` is NULL. Returns it. */
static inline void *bench_handle(void *handle, const char *what)
{
    if (handle == NULL)
        bench_fail("%s: %s", what, aether_error());
    return handle;
}

/* Memory for `count` things of `size` bytes, zeroed, aligned to 128. Never NULL. For free(). */
void *bench_memory(size_t count, size_t size);

/* ------------------------------------------------------------------------------------------------ time and processors */

static inline uint64_t bench_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* Keeps the calling thread on one processor. Where there is no such processor nothing happens. */
void bench_pin(int processor);

#if defined(__x86_64__)
#define BENCH_RELAX() __builtin_ia32_pause()
#else
#define BENCH_RELAX() __asm__ volatile("yield")
#endif

/* One more look at something that another thread will do soon: the `*looks`-th. Stays off the kernel for `spins` looks. */
static inline void bench_look_again(uint32_t *looks, uint32_t spins)
{
    if (++*looks < spins) {
        BENCH_RELAX();
    } else {
        *looks = 0;
        sched_yield();
    }
}

/* -------------------------------------------------------------------------------------------------------- quantiles */

/* Sorts `values` and returns the one below which the fraction `quantile` of them lies. 0 when there are none. */
uint64_t bench_quantile(uint64_t *values, size_t count, double quantile);

/* ----------------------------------------------------------------------------------------------- the bound on unread */

/* How often a reader says how far it is, and the writer looks: every so many items. */
#define BENCH_STEP UINT64_C(1024)

/* The bound that all competitors share: 3 MB of items of 32 bytes with a header of 8. */
#define BENCH_BOUND_BYTES (INT64_C(48) * 64 * 1024)

/* A reader's progress, in a line of its own. */
struct bench_progress {
    _Alignas(128) _Atomic uint64_t done; /* items read, a multiple of BENCH_STEP */
};

/* The reader has read `done` items. */
static inline void bench_progress_tell(struct bench_progress *mine, uint64_t done)
{
    if (__builtin_expect(done % BENCH_STEP == 0, 0))
        atomic_store_explicit(&mine->done, done, memory_order_release);
}

/* Returns when each of the `count` readers is less than `bound` behind `written`, with a step to spare; looks without
 * yielding `spins` times. */
void bench_progress_wait(struct bench_progress *readers, size_t count, uint64_t written, uint64_t bound, uint32_t spins);

/* How many items of `payload` bytes may be unread: as many as fit in `bytes`. At least four steps. */
uint64_t bench_bound(int64_t bytes, size_t payload);

#endif
