#include "common.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool bench_smoke;

static struct {
    bool json, first; /* as JSON; no key yet in this part */
    char text[4096];
    size_t used;
} line;

/* ---------------------------------------------------------------------------------------------------------- options */

static _Noreturn void usage(const char *program, const char *question, const struct bench_option *options)
{
    printf("%s: %s\n\n", program, question);
    for (const struct bench_option *o = options; o->name != NULL; o++) {
        printf("  --%-14s %s", o->name, o->help);
        if (o->number != NULL)
            printf(" (%" PRId64 ")", *o->number);
        if (o->text != NULL)
            printf(" (%s)", *o->text);
        printf("\n");
    }
    printf("  --%-14s %s\n  --%-14s %s\n", "json", "the result as a JSON object", "smoke", "tiny counts: does it work?");
    exit(0);
}

static const struct bench_option *find(const struct bench_option *options, const char *argument)
{
    const struct bench_option *o = options;
    while (o->name != NULL && (strncmp(argument, "--", 2) != 0 || strcmp(argument + 2, o->name) != 0))
        o++;
    return o->name != NULL ? o : NULL;
}

static void set(const struct bench_option *option, const char *value)
{
    if (option->text != NULL) {
        *option->text = value;
        return;
    }
    char *end;
    *option->number = strtoll(value, &end, 10);
    if (end == value || *end != '\0' || *option->number < 0)
        bench_fail("--%s %s: not a number", option->name, value);
}

void bench_options(int argc, char **argv, const char *question, const struct bench_option *options)
{
    for (int i = 1; i < argc; i++) {
        const struct bench_option *option = find(options, argv[i]);
        if (strcmp(argv[i], "--help") == 0)
            usage(argv[0], question, options);
        else if (strcmp(argv[i], "--json") == 0)
            line.json = true;
        else if (strcmp(argv[i], "--smoke") == 0)
            bench_smoke = true;
        else if (option == NULL)
            bench_fail("%s: no such option (--help lists them)", argv[i]);
        else if (option->flag != NULL)
            *option->flag = true;
        else if (++i == argc)
            bench_fail("%s wants a value", argv[i - 1]);
        else
            set(option, argv[i]);
    }
}

/* ----------------------------------------------------------------------------------------------------------- result */

static void put(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void put(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line.text + line.used, sizeof line.text - line.used, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof line.text - line.used)
        bench_fail("the line of result is too long");
    line.used += (size_t)length;
}

static void put_key(const char *key)
{
    if (line.json)
        put("%s\"%s\": ", line.first ? "" : ", ", key);
    else
        put(" %s=", key);
    line.first = false;
}

void bench_begin(const char *name)
{
    line.used = 0;
    line.first = true;
    if (line.json)
        put("{\"name\": \"%s\", \"config\": {", name);
    else
        put("%s", name);
}

void bench_measured(void)
{
    put("%s", line.json ? "}, \"measured\": {" : ":");
    line.first = true;
}

void bench_text(const char *key, const char *value)
{
    put_key(key);
    put(line.json ? "\"%s\"" : "%s", value);
}

void bench_count(const char *key, uint64_t value)
{
    put_key(key);
    put("%" PRIu64, value);
}

void bench_real(const char *key, double value)
{
    put_key(key);
    put(line.json ? "%.3f" : "%.1f", value);
}

void bench_end(void)
{
    printf("%s%s\n", line.text, line.json ? "}}" : "");
    (void)fflush(stdout);
}

void bench_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
    exit(1);
}

void *bench_memory(size_t count, size_t size)
{
    size_t bytes = (count * size + 127) & ~(size_t)127;
    void *memory = aligned_alloc(128, bytes > 0 ? bytes : 128);
    if (memory == NULL)
        bench_fail("no memory for %zu bytes", bytes);
    memset(memory, 0, bytes);
    return memory;
}

/* ------------------------------------------------------------------------------------- processors, quantiles, the bound */

void bench_pin(int processor)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)processor, &set);
    (void)sched_setaffinity(0, sizeof set, &set);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

uint64_t bench_quantile(uint64_t *values, size_t count, double quantile)
{
    if (count == 0)
        return 0;
    qsort(values, count, sizeof *values, compare);
    size_t place = (size_t)(quantile * (double)count);
    return values[place < count ? place : count - 1];
}

static uint64_t slowest(struct bench_progress *readers, size_t count)
{
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < count; i++) {
        uint64_t done = atomic_load_explicit(&readers[i].done, memory_order_acquire);
        if (done < least)
            least = done;
    }
    return least;
}

void bench_progress_wait(struct bench_progress *readers, size_t count, uint64_t written, uint64_t bound, uint32_t spins)
{
    uint32_t looks = 0;
    while (count > 0 && written + BENCH_STEP > slowest(readers, count) + bound)
        bench_look_again(&looks, spins);
}

uint64_t bench_bound(int64_t bytes, size_t payload)
{
    uint64_t items = (uint64_t)bytes / (((uint64_t)payload + 15) & ~UINT64_C(7));
    return items > 4 * BENCH_STEP ? items : 4 * BENCH_STEP;
}
