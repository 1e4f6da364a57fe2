#include "common/stress_run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/stress_watch.h"

static struct {
    const char *name;
    const char *only;
    double seconds;
    uint64_t seed;
    uint64_t end; /* atomic */
    int64_t begun;
} run = {.seconds = 2};

int64_t stress_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void stress_nap(int64_t nanoseconds)
{
    struct timespec time = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    nanosleep(&time, NULL);
}

/* ------------------------------------------------------------------------------------------------------------ failing */

void stress_fail(const char *format, ...)
{
    static uint64_t failed;
    if (stress_add(&failed, 1) != 0)
        for (;;)
            pause(); /* another thread is telling */
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fflush(stdout);
    fprintf(stderr, "%s: VIOLATION: %s (seed %llu)\n", run.name, text, (unsigned long long)run.seed);
    abort();
}

/* ---------------------------------------------------------------------------------------------------------- arguments */

static void usage(void)
{
    fprintf(stderr, "usage: %s [SECONDS] [--seconds N] [--seed N] [--only ROUND]\n", run.name);
    exit(2);
}

static double number(const char *text)
{
    char *end;
    double value = text != NULL ? strtod(text, &end) : 0;
    if (text == NULL || end == text || *end != '\0' || value < 0)
        usage();
    return value;
}

static void read_arguments(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (argv[i][0] != '-') {
            run.seconds = number(argv[i]);
            continue;
        }
        i++;
        if (value == NULL)
            usage();
        else if (strcmp(argv[i - 1], "--seconds") == 0)
            run.seconds = number(value);
        else if (strcmp(argv[i - 1], "--seed") == 0)
            run.seed = strtoull(value, NULL, 10);
        else if (strcmp(argv[i - 1], "--only") == 0)
            run.only = value;
        else
            usage();
    }
}

void stress_begin(int argc, char **argv, const char *name)
{
    run.name = name;
    run.begun = stress_now();
    run.seed = ((uint64_t)run.begun ^ (uint64_t)getpid() << 40) % 1000000007;
    read_arguments(argc, argv);
    printf("%s: seed %llu, %g s\n", name, (unsigned long long)run.seed, run.seconds);
    fflush(stdout);
    stress_watchdog_start();
}

bool stress_wants(const char *round)
{
    return run.only == NULL || strcmp(run.only, round) == 0;
}

void stress_clock_start(void)
{
    stress_set(&run.end, (uint64_t)(stress_now() + (int64_t)(run.seconds * 1e9)));
}

bool stress_over(void)
{
    return (uint64_t)stress_now() >= stress_get(&run.end);
}

int stress_end(const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    printf("%s: %s; %.1f s, no violation\n", run.name, text, (double)(stress_now() - run.begun) / 1e9);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------------ the rest */

struct stress_random stress_random_stream(uint64_t stream)
{
    uint64_t state = run.seed + (stream + 1) * UINT64_C(0x9e3779b97f4a7c15);
    state = (state ^ state >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    state = (state ^ state >> 27) * UINT64_C(0x94d049bb133111eb);
    return (struct stress_random){(state ^ state >> 31) | 1};
}

void stress_spawn(pthread_t *thread, void *(*body)(void *), void *argument)
{
    if (pthread_create(thread, NULL, body, argument) != 0)
        stress_fail("no thread");
}

void stress_join(const pthread_t *threads, size_t count)
{
    for (size_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}
