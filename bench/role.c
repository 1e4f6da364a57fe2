/*
 * How many requests a second does the role of the bus take from several threads at once, and how fair is it?
 *
 * Each lane has one shared thing that all threads change in turn: a count, and --lines cache lines. The lanes: the role, as
 * the bus uses it; a pthread mutex; a spin lock that looks before it takes, with back-off; an MCS lock, whose waiters spin
 * on a word of their own and take turns. Rounds of --ms go through all lanes, in the other order every other time; the
 * medians are reported. `least` is the share of the thread that got the least, in percent of an equal one; the first request
 * of each burst of 64 is timed, and p50 and p99 are of those.
 */
#include <pthread.h>
#include <stdio.h>

#include "bus/role.h"
#include "common.h"

enum { THREADS_MOST = 64, SAMPLES = 1 << 14, LINES_MOST = 16, ROUNDS_MOST = 99, BURST = 64, SPINS = 1000 };

static int64_t thread_count = 2, rounds = 9, round_ms = 100, line_count = 0;
static bool unpinned;

/* What is changed in turn. */
struct work {
    _Alignas(128) uint64_t count;
    struct {
        _Alignas(64) uint64_t word;
    } lines[LINES_MOST];
};

struct mcs {
    _Alignas(128) struct mcs *_Atomic next;
    _Atomic uint32_t waits;
};

static struct {
    struct ae_role role;
    _Alignas(128) pthread_mutex_t mutex;
    _Alignas(128) _Atomic uint32_t spin;
    _Alignas(128) struct mcs *_Atomic tail;
    struct work work;
    _Alignas(128) _Atomic bool stop;
} shared = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static inline void work(uint64_t value)
{
    shared.work.count++;
    for (int64_t i = 0; i < line_count; i++)
        shared.work.lines[i].word += value;
}

/* ------------------------------------------------------------------------------------------------------------- lanes */

struct job {
    struct ae_request request;
    uint64_t value;
};

static bool perform(struct ae_request *request)
{
    work(((struct job *)request)->value);
    return true;
}

static void do_role(uint64_t value)
{
    if (__builtin_expect(ae_role_try_take(&shared.role), 1)) {
        work(value);
        ae_role_leave(&shared.role);
        return;
    }
    struct job job = {.request.perform = perform, .value = value};
    ae_role_perform(&shared.role, &job.request);
}

static void do_mutex(uint64_t value)
{
    pthread_mutex_lock(&shared.mutex);
    work(value);
    pthread_mutex_unlock(&shared.mutex);
}

static void do_spin(uint64_t value)
{
    uint32_t looks = 0, pause = 1;
    while (atomic_exchange_explicit(&shared.spin, 1, memory_order_acquire) != 0)
        do {
            for (uint32_t i = 0; i < pause; i++)
                BENCH_RELAX();
            pause = pause < 64 ? pause * 2 : pause;
            bench_look_again(&looks, SPINS);
        } while (atomic_load_explicit(&shared.spin, memory_order_relaxed) != 0);
    work(value);
    atomic_store_explicit(&shared.spin, 0, memory_order_release);
}

static void do_mcs(uint64_t value)
{
    static _Thread_local struct mcs own;
    uint32_t looks = 0;
    atomic_store_explicit(&own.next, NULL, memory_order_relaxed);
    atomic_store_explicit(&own.waits, 1, memory_order_relaxed);
    struct mcs *before = atomic_exchange_explicit(&shared.tail, &own, memory_order_acq_rel);
    if (before != NULL) {
        atomic_store_explicit(&before->next, &own, memory_order_release);
        while (atomic_load_explicit(&own.waits, memory_order_acquire) != 0)
            bench_look_again(&looks, SPINS);
    }
    work(value);
    struct mcs *next = atomic_load_explicit(&own.next, memory_order_acquire), *mine = &own;
    if (next == NULL) {
        if (atomic_compare_exchange_strong_explicit(&shared.tail, &mine, NULL, memory_order_acq_rel, memory_order_relaxed))
            return;
        while ((next = atomic_load_explicit(&own.next, memory_order_acquire)) == NULL)
            bench_look_again(&looks, SPINS);
    }
    atomic_store_explicit(&next->waits, 0, memory_order_release);
}

struct worker {
    pthread_t thread;
    const struct lane *lane;
    int processor;
    uint64_t done;
    uint64_t samples; /* of which the last ones are kept */
    uint64_t sample_ns[SAMPLES];
};

/* A loop for each lane, so that its call can be inlined. */
#define LOOP(name)                                                                                                          \
    static void loop_##name(struct worker *worker)                                                                          \
    {                                                                                                                       \
        uint64_t done = 0;                                                                                                  \
        for (; !atomic_load_explicit(&shared.stop, memory_order_relaxed); done += BURST) {                                  \
            uint64_t begin_ns = bench_now_ns();                                                                             \
            do_##name(1);                                                                                                   \
            worker->sample_ns[worker->samples++ % SAMPLES] = bench_now_ns() - begin_ns;                                     \
            for (int i = 1; i < BURST; i++)                                                                                 \
                do_##name(1);                                                                                               \
        }                                                                                                                   \
        worker->done = done;                                                                                                \
    }
LOOP(role)
LOOP(mutex)
LOOP(spin)
LOOP(mcs)

static const struct lane {
    const char *name;
    void (*loop)(struct worker *worker);
} lanes[] = {{"role", loop_role}, {"mutex", loop_mutex}, {"spin", loop_spin}, {"mcs", loop_mcs}};

enum { LANES = sizeof lanes / sizeof lanes[0] };

/* ------------------------------------------------------------------------------------------------------------ rounds */

/* In thousands a second, and in percent. */
static uint64_t rates[LANES][ROUNDS_MOST], leasts[LANES][ROUNDS_MOST], p50s[LANES][ROUNDS_MOST], p99s[LANES][ROUNDS_MOST];

static pthread_barrier_t start;

static void *run(void *argument)
{
    struct worker *worker = argument;
    if (!unpinned)
        bench_pin(worker->processor);
    pthread_barrier_wait(&start);
    worker->lane->loop(worker);
    return NULL;
}

static void play(int lane, int64_t round)
{
    static struct worker workers[THREADS_MOST];
    static uint64_t all_ns[THREADS_MOST * SAMPLES];
    size_t samples = 0;
    atomic_store(&shared.stop, false);
    shared.work.count = 0;
    for (int64_t i = 0; i < thread_count; i++) {
        workers[i].lane = &lanes[lane];
        workers[i].processor = (int)(i % 2);
        workers[i].samples = 0;
        if (pthread_create(&workers[i].thread, NULL, run, &workers[i]) != 0)
            bench_fail("cannot start a thread");
    }
    pthread_barrier_wait(&start);
    uint64_t begin_ns = bench_now_ns();
    struct timespec nap = {round_ms / 1000, round_ms % 1000 * 1000000};
    nanosleep(&nap, NULL);
    atomic_store(&shared.stop, true);
    uint64_t done = 0, least = UINT64_MAX;
    for (int64_t i = 0; i < thread_count; i++) {
        pthread_join(workers[i].thread, NULL);
        done += workers[i].done;
        least = workers[i].done < least ? workers[i].done : least;
        for (uint64_t k = 0; k < workers[i].samples && k < SAMPLES; k++)
            all_ns[samples++] = workers[i].sample_ns[k];
    }
    uint64_t took_ns = bench_now_ns() - begin_ns;
    if (done != shared.work.count)
        bench_fail("%s: %llu were done, %llu are counted", lanes[lane].name, (unsigned long long)done,
                   (unsigned long long)shared.work.count);
    rates[lane][round] = done * 1000000 / took_ns;
    p50s[lane][round] = bench_quantile(all_ns, samples, 0.5);
    p99s[lane][round] = bench_quantile(all_ns, samples, 0.99);
    leasts[lane][round] = done == 0 ? 0 : least * (uint64_t)thread_count * 100 / done;
}

static void report(int lane)
{
    char key[40];
    snprintf(key, sizeof key, "%s_m_per_s", lanes[lane].name);
    bench_real(key, (double)bench_quantile(rates[lane], (size_t)rounds, 0.5) / 1000);
    snprintf(key, sizeof key, "%s_least", lanes[lane].name);
    bench_count(key, bench_quantile(leasts[lane], (size_t)rounds, 0.5));
    snprintf(key, sizeof key, "%s_p50_ns", lanes[lane].name);
    bench_count(key, bench_quantile(p50s[lane], (size_t)rounds, 0.5));
    snprintf(key, sizeof key, "%s_p99_ns", lanes[lane].name);
    bench_count(key, bench_quantile(p99s[lane], (size_t)rounds, 0.5));
}

int main(int argc, char **argv)
{
    const struct bench_option options[] = {
        {.name = "threads", .number = &thread_count, .help = "that ask at once"},
        {.name = "lines", .number = &line_count, .help = "cache lines that each request changes, beside a count"},
        {.name = "rounds", .number = &rounds, .help = "through all lanes"},
        {.name = "ms", .number = &round_ms, .help = "of each lane in a round"},
        {.name = "unpinned", .flag = &unpinned, .help = "the kernel places the threads"},
        {0},
    };
    bench_options(argc, argv, "how many requests does the role take, from several threads at once?", options);
    if (bench_smoke)
        rounds = 1, round_ms = 5;
    if (thread_count < 1 || thread_count > THREADS_MOST || rounds < 1 || rounds > ROUNDS_MOST || line_count > LINES_MOST)
        bench_fail("1 to %d threads, 1 to %d rounds, up to %d lines", THREADS_MOST, ROUNDS_MOST, LINES_MOST);
    bench_ok(ae_process_prepare(), "ae_process_prepare");
    ae_role_init(&shared.role);
    pthread_barrier_init(&start, NULL, (unsigned)thread_count + 1);
    for (int64_t round = 0; round < rounds; round++)
        for (int i = 0; i < LANES; i++)
            play(round % 2 == 0 ? i : LANES - 1 - i, round);

    bench_begin("role");
    bench_count("threads", (uint64_t)thread_count);
    bench_count("lines", (uint64_t)line_count);
    bench_count("ms", (uint64_t)round_ms);
    bench_measured();
    for (int i = 0; i < LANES; i++)
        report(i);
    bench_count("combined", shared.role.combined);
    bench_count("handed_over", shared.role.handed_over);
    bench_count("slept", shared.role.sleeps);
    bench_end();
    return 0;
}
