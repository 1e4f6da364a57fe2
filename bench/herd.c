/*
 * What do 1,000 sleeping readers cost the writer, and when is the last of them awake?
 *
 * Three groups of threads sleep: one reader of a buffer; --sleepers readers of another buffer; and as many threads on a bare
 * futex, which one call wakes all. In each round each group is woken once, in the other order every other round, after the
 * kernel says that all threads of all groups are asleep. inside is the time inside the append (or inside storing the word
 * and the futex call); last is from its start until the last thread has taken the time, which it does first thing when it
 * runs. Nothing is bound to a processor: the threads that are woken compete with the writer, as they do in a program.
 */
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "aether/buffer.h"
#include "common.h"

enum { GROUPS = 3, STACK_BYTES = 256 * 1024 };

static int64_t sleepers = 1000, rounds = 31;
static bool stay;

struct group;

/* A thread that sleeps. */
struct sleeper {
    _Alignas(128) _Atomic uint64_t seen; /* messages that it has got */
    uint64_t woke_ns;                    /* when it got the latest; published by `seen` */
    _Atomic int64_t thread_id;           /* the kernel's; 0 until it runs */
    struct group *group;
    aether_cursor *cursor;
    pthread_t thread;
};

/* Threads that sleep for the same message. */
struct group {
    aether_buffer *buffer; /* NULL: the bare futex */
    struct sleeper *sleepers;
    size_t count;
    uint64_t sent;
    _Alignas(128) _Atomic uint32_t word;                    /* the bare futex: messages sent */
    _Alignas(128) _Atomic uint32_t all_awake;               /* with --then stay: messages that all have got */
    _Alignas(128) uint64_t *inside_ns, *last_ns, *first_ns; /* by round */
};

/* --------------------------------------------------------------------------------------------------------- sleeping */

/* The bare futex: sleeps until the word, which counts, is `value`. */
static void wait_for_word(_Atomic uint32_t *word, uint32_t value)
{
    while (atomic_load_explicit(word, memory_order_acquire) != value)
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value - 1, NULL, NULL, 0);
}

/* Lets all go on that wait for it. */
static void raise_word(_Atomic uint32_t *word, uint32_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void get_item(struct sleeper *me, uint64_t message)
{
    aether_item item;
    bench_ok(aether_cursor_next(me->cursor, &item, AETHER_FOREVER), "aether_cursor_next");
    me->woke_ns = bench_now_ns();
    if (memcmp(item.data, &message, sizeof message) != 0)
        bench_fail("a reader did not get item %" PRIu64, message);
}

static void get_word(struct sleeper *me, uint32_t message)
{
    wait_for_word(&me->group->word, message);
    me->woke_ns = bench_now_ns();
}

static void *sleep_and_wake(void *argument)
{
    struct sleeper *me = argument;
    atomic_store(&me->thread_id, (int64_t)syscall(SYS_gettid));
    for (uint64_t message = 1; message <= (uint64_t)rounds; message++) {
        if (me->cursor != NULL)
            get_item(me, message);
        else
            get_word(me, (uint32_t)message);
        atomic_store_explicit(&me->seen, message, memory_order_release);
        if (stay)
            wait_for_word(&me->group->all_awake, (uint32_t)message);
    }
    return NULL;
}

static void start(struct group *group, aether_buffer *buffer, size_t count)
{
    *group = (struct group){.buffer = buffer, .count = count, .sleepers = bench_memory(count, sizeof *group->sleepers)};
    group->inside_ns = bench_memory((size_t)rounds, sizeof(uint64_t));
    group->last_ns = bench_memory((size_t)rounds, sizeof(uint64_t));
    group->first_ns = bench_memory((size_t)rounds, sizeof(uint64_t));
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    for (size_t i = 0; i < count; i++) {
        struct sleeper *sleeper = &group->sleepers[i];
        sleeper->group = group;
        if (buffer != NULL)
            sleeper->cursor = bench_handle(aether_cursor_open(buffer, AETHER_FROM_NEXT), "aether_cursor_open");
        if (pthread_create(&sleeper->thread, &attributes, sleep_and_wake, sleeper) != 0)
            bench_fail("cannot start %zu threads", count);
    }
    pthread_attr_destroy(&attributes);
}

static void finish(struct group *group)
{
    for (size_t i = 0; i < group->count; i++) {
        pthread_join(group->sleepers[i].thread, NULL);
        aether_cursor_close(group->sleepers[i].cursor);
    }
    aether_buffer_destroy(group->buffer);
    free(group->inside_ns);
    free(group->last_ns);
    free(group->first_ns);
    free(group->sleepers);
}

/* ----------------------------------------------------------------------------------------------------------- waiting */

static void nap(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* Whether the kernel has put the thread to sleep, by its own account. */
static bool sleeps(int64_t thread_id)
{
    char path[64], text[256];
    (void)snprintf(path, sizeof path, "/proc/self/task/%" PRId64 "/stat", thread_id);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return false;
    size_t length = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    text[length] = '\0';
    const char *after_name = strrchr(text, ')');
    return after_name != NULL && strncmp(after_name, ") S", 3) == 0;
}

static void wait_until_awake(struct group *group)
{
    for (size_t i = 0; i < group->count; i++)
        while (atomic_load_explicit(&group->sleepers[i].seen, memory_order_acquire) != group->sent)
            nap();
}

static void wait_until_asleep(struct group *group)
{
    for (size_t i = 0; i < group->count; i++)
        while (atomic_load(&group->sleepers[i].thread_id) == 0 || !sleeps(group->sleepers[i].thread_id))
            nap();
}

/* ------------------------------------------------------------------------------------------------------------ waking */

static void publish(struct group *group)
{
    uint64_t message = ++group->sent;
    if (group->buffer != NULL)
        bench_ok(aether_append(group->buffer, &message, sizeof message), "aether_append");
    else
        raise_word(&group->word, (uint32_t)message);
}

static void wake(struct group *group, int64_t round)
{
    uint64_t begin_ns = bench_now_ns();
    publish(group);
    group->inside_ns[round] = bench_now_ns() - begin_ns;
    wait_until_awake(group);
    uint64_t first_ns = UINT64_MAX, last_ns = 0;
    for (size_t i = 0; i < group->count; i++) {
        uint64_t woke_ns = group->sleepers[i].woke_ns;
        first_ns = woke_ns < first_ns ? woke_ns : first_ns;
        last_ns = woke_ns > last_ns ? woke_ns : last_ns;
    }
    group->first_ns[round] = first_ns - begin_ns;
    group->last_ns[round] = last_ns - begin_ns;
    if (stay)
        raise_word(&group->all_awake, (uint32_t)group->sent);
}

static void wake_all(struct group *groups)
{
    for (int64_t round = 0; round < rounds; round++)
        for (int64_t i = 0; i < GROUPS; i++) {
            for (size_t k = 0; k < GROUPS; k++)
                if (groups[k].sent < (uint64_t)rounds) /* else its threads are gone */
                    wait_until_asleep(&groups[k]);
            wake(&groups[round % 2 == 0 ? i : GROUPS - 1 - i], round);
        }
}

/* -------------------------------------------------------------------------------------------------------------- main */

static uint64_t median(uint64_t *values)
{
    return bench_quantile(values, (size_t)rounds, 0.5);
}

int main(int argc, char **argv)
{
    const char *then = "again";
    const struct bench_option options[] = {
        {.name = "sleepers", .number = &sleepers, .help = "threads of each of the two large groups"},
        {.name = "then", .text = &then, .help = "again or stay: what who was woken does"},
        {.name = "rounds", .number = &rounds, .help = "how often each group is woken"},
        {0},
    };
    bench_options(argc, argv, "what do 1,000 sleeping readers cost the writer, and when is the last awake?", options);
    stay = strcmp(then, "stay") == 0;
    if (!stay && strcmp(then, "again") != 0)
        bench_fail("--then %s: again or stay", then);
    if (bench_smoke) {
        sleepers = 20;
        rounds = 3;
    }
    static struct group groups[GROUPS];
    struct group *one = &groups[0], *many = &groups[1], *bare = &groups[2];
    start(one, bench_handle(aether_buffer_create(NULL), "aether_buffer_create"), 1);
    start(many, bench_handle(aether_buffer_create(NULL), "aether_buffer_create"), (size_t)sleepers);
    start(bare, NULL, (size_t)sleepers);
    wake_all(groups);

    bench_begin("herd");
    bench_count("sleepers", (uint64_t)sleepers);
    bench_text("then", then);
    bench_count("rounds", (uint64_t)rounds);
    bench_measured();
    bench_count("one_inside_p50_ns", median(one->inside_ns));
    bench_count("many_inside_p50_ns", median(many->inside_ns));
    bench_count("bare_inside_p50_ns", median(bare->inside_ns));
    bench_count("many_first_p50_ns", median(many->first_ns));
    bench_count("bare_first_p50_ns", median(bare->first_ns));
    bench_count("one_last_p50_ns", median(one->last_ns));
    bench_count("many_last_p50_ns", median(many->last_ns));
    bench_count("bare_last_p50_ns", median(bare->last_ns));
    bench_count("lost", 0);
    bench_end();
    for (int i = 0; i < GROUPS; i++)
        finish(&groups[i]);
    return 0;
}
