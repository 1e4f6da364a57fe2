/*
 * What every stress program shares: its arguments, the clock, the seed, numbers at random, threads, and how it fails.
 *
 *      NAME [SECONDS] [--seconds N] [--seed N] [--only ROUND]
 *
 * A program prints its seed first and ends with a line of what it did. A violation prints one line and aborts; the same
 * seed gives the same choices, though not the same timing.
 */
#ifndef AE_STRESS_RUN_H
#define AE_STRESS_RUN_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/relax.h"
#include "base/sanitizer.h"

/* Reads the arguments, prints the seed, starts the watchdog (stress_watch.h). */
void stress_begin(int argc, char **argv, const char *name);

/* True unless --only names another round. */
bool stress_wants(const char *round);

/* The time begins. */
void stress_clock_start(void);

/* The time is over. */
bool stress_over(void);

/* The last line. Returns the exit status of the program. */
__attribute__((format(printf, 1, 2))) int stress_end(const char *format, ...);

/* A violation: says so and aborts. */
__attribute__((noreturn, format(printf, 1, 2))) void stress_fail(const char *format, ...);

#define STRESS_EXPECT(claim) ((claim) ? (void)0 : stress_fail("%s:%d: does not hold: %s", __FILE__, __LINE__, #claim))

/* CLOCK_MONOTONIC, nanoseconds. */
int64_t stress_now(void);

void stress_nap(int64_t nanoseconds);

/* ----------------------------------------------------------------------------------------------------------- random */

struct stress_random {
    uint64_t state;
};

/* From the seed of the run: numbers of their own for each stream. */
struct stress_random stress_random_stream(uint64_t stream);

static inline uint64_t stress_random(struct stress_random *random)
{
    uint64_t x = random->state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    random->state = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

/* 0 to count - 1. */
static inline uint32_t stress_below(struct stress_random *random, uint32_t count)
{
    return (uint32_t)((stress_random(random) >> 32) * count >> 32);
}

/* True one time in `count`. */
static inline bool stress_one_in(struct stress_random *random, uint32_t count)
{
    return stress_below(random, count) == 0;
}

/* Up to `most` turns of an empty loop, short ones more often. */
static inline void stress_linger(struct stress_random *random, uint32_t most)
{
    for (uint32_t turns = stress_below(random, stress_below(random, most) + 1); turns != 0; turns--)
        ae_relax();
}

/* ------------------------------------------------------------------------------------------------- words that are shared */

/*
 * What the programs themselves share. Under the thread sanitizer these order nothing: an order here would hide one that
 * is missing in the library. Elsewhere they order what the checks rely on.
 */
#if AE_TSAN
enum { STRESS_LOAD = __ATOMIC_RELAXED, STRESS_STORE = __ATOMIC_RELAXED, STRESS_CHANGE = __ATOMIC_RELAXED };
#else
enum { STRESS_LOAD = __ATOMIC_ACQUIRE, STRESS_STORE = __ATOMIC_RELEASE, STRESS_CHANGE = __ATOMIC_ACQ_REL };
#endif

enum { STRESS_APART = 128 }; /* bytes between words that are written by one thread and words that are read by others */

static inline uint64_t stress_get(const uint64_t *word)
{
    return __atomic_load_n(word, STRESS_LOAD);
}

static inline void stress_set(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, STRESS_STORE);
}

/* Returns the value before. */
static inline uint64_t stress_add(uint64_t *word, uint64_t value)
{
    return __atomic_fetch_add(word, value, STRESS_CHANGE);
}

static inline bool stress_swap(uint64_t *word, uint64_t from, uint64_t to)
{
    return __atomic_compare_exchange_n(word, &from, to, false, STRESS_CHANGE, STRESS_LOAD);
}

/* Hands memory over from one thread to another: these do order, everywhere. */
static inline void stress_hand_over(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static inline uint64_t stress_take_over(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline bool stress_swap_over(uint64_t *word, uint64_t from, uint64_t to)
{
    return __atomic_compare_exchange_n(word, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* ---------------------------------------------------------------------------------------------------------- threads */

void stress_spawn(pthread_t *thread, void *(*body)(void *), void *argument);
void stress_join(const pthread_t *threads, size_t count);

#endif
