#include "pattern_set.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"

enum { TOKENS_MOST = 8, TEXT_MOST = 128 };

static uint64_t state = 0x9e3779b97f4a7c15;

static uint64_t draw(uint64_t below)
{
    uint64_t mixed = state += 0x9e3779b97f4a7c15;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    return (mixed ^ mixed >> 31) % below;
}

/* A pattern as numbers of names; the wildcards are below 0. */
enum { STAR = -1, REST = -2 };

struct pattern {
    int tokens[TOKENS_MOST];
    size_t count;
};

static int draw_name(size_t place)
{
    return (int)draw(place == 0 ? 64 : place == 1 ? 256 : 1024);
}

static size_t draw_place(size_t count)
{
    size_t place = draw(count);
    return place > 0 || draw(16) == 0 ? place : 1 + draw(count - 1);
}

static struct pattern draw_pattern(void)
{
    struct pattern pattern = {.count = 3 + draw(4)};
    for (size_t i = 0; i < pattern.count; i++)
        pattern.tokens[i] = draw_name(i);
    if (draw(100) >= 15)
        return pattern;
    uint64_t kind = draw(4);
    if (kind == 3) {
        pattern.tokens[pattern.count - 1] = REST;
        return pattern;
    }
    pattern.tokens[draw_place(pattern.count)] = STAR;
    if (kind == 2)
        pattern.tokens[draw_place(pattern.count)] = STAR;
    return pattern;
}

static struct pattern subject_of(const struct pattern *pattern)
{
    struct pattern subject = *pattern;
    if (subject.tokens[subject.count - 1] == REST && draw(2) == 0)
        subject.tokens[subject.count++] = REST;
    for (size_t i = 0; i < subject.count; i++)
        if (subject.tokens[i] < 0)
            subject.tokens[i] = draw_name(i);
    return subject;
}

/* Names of 2 to 9 bytes, which differ where their numbers do. */
static size_t write_name(char *text, size_t place, int number)
{
    static const char *const STEMS[] = {"", "eu", "node", "price", "order"};
    return (size_t)sprintf(text, "%s%c%d", STEMS[number % 5], (char)('a' + (int)place), number);
}

/* One text behind the other, as they lie in a file. */
static char *keep(const char *text, size_t size)
{
    enum { BLOCK = 1 << 20 };
    static char *block;
    static size_t left;
    if (block == NULL || size > left) {
        block = bench_memory(1, BLOCK);
        left = BLOCK;
    }
    char *copy = memcpy(block, text, size);
    block += size;
    left -= size;
    return copy;
}

static char *write_pattern(const struct pattern *pattern)
{
    char text[TEXT_MOST];
    size_t size = 0;
    for (size_t i = 0; i < pattern->count; i++) {
        if (i > 0)
            text[size++] = '.';
        if (pattern->tokens[i] < 0)
            text[size++] = pattern->tokens[i] == STAR ? '*' : '>';
        else
            size += write_name(text + size, i, pattern->tokens[i]);
    }
    text[size] = '\0';
    return keep(text, size + 1);
}

/* ------------------------------------------------------------------------------------------------- what there is already */

static uint64_t hash_of(const char *text)
{
    uint64_t hash = 14695981039346656037U;
    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211U;
    return hash;
}

/* False: it is there. */
static bool add_new(char **table, size_t mask, char *text)
{
    size_t at = hash_of(text) & mask;
    for (; table[at] != NULL; at = (at + 1) & mask)
        if (strcmp(table[at], text) == 0)
            return false;
    table[at] = text;
    return true;
}

struct pattern_set pattern_set_make(size_t patterns, size_t subjects)
{
    if (patterns == 0)
        bench_fail("a set without patterns");
    struct pattern_set set = {bench_memory(patterns, sizeof(char *)), 0, bench_memory(subjects, sizeof(char *)), 0};
    struct pattern *drawn = bench_memory(patterns, sizeof *drawn);
    size_t mask = 1;
    while (mask < 2 * patterns)
        mask = 2 * mask + 1;
    char **table = bench_memory(mask + 1, sizeof *table);
    while (set.pattern_count < patterns) {
        struct pattern pattern = draw_pattern();
        char *text = write_pattern(&pattern);
        if (!add_new(table, mask, text))
            continue;
        drawn[set.pattern_count] = pattern;
        set.patterns[set.pattern_count++] = text;
    }
    while (set.subject_count < subjects) {
        struct pattern subject = subject_of(&drawn[draw(patterns)]);
        set.subjects[set.subject_count++] = write_pattern(&subject);
    }
    free(table);
    free(drawn);
    return set;
}

void pattern_set_write(const struct pattern_set *set, const char *path)
{
    FILE *file = fopen(path, "w");
    if (file == NULL)
        bench_fail("%s cannot be written", path);
    (void)fprintf(file, "%zu %zu\n", set->pattern_count, set->subject_count);
    for (size_t i = 0; i < set->pattern_count; i++)
        (void)fprintf(file, "%s\n", set->patterns[i]);
    for (size_t i = 0; i < set->subject_count; i++)
        (void)fprintf(file, "%s\n", set->subjects[i]);
    bool failed = ferror(file) != 0;
    if (fclose(file) != 0 || failed)
        bench_fail("%s cannot be written", path);
}
