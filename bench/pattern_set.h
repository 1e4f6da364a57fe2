/*
 * The patterns and subjects that bench/match.c and its peer are measured with: always the same ones for a number.
 *
 * A pattern has 3 to 6 tokens: the first is one of 64, the second one of 256, the others one of 1,024 each, names of 2 to 9
 * bytes. 15 of 100 have wildcards: half of them one '*', a quarter a '*' and another where that falls on another token, a
 * quarter end with '>'; one '*' in 16 may be the first token. No pattern comes twice. A subject is a pattern with names in
 * the places of its wildcards, '>' being one or two: each is matched by one pattern at least.
 *
 * As a file: a line "PATTERNS SUBJECTS", then the patterns, then the subjects, one on a line.
 */
#ifndef BENCH_PATTERN_SET_H
#define BENCH_PATTERN_SET_H

#include <stddef.h>

struct pattern_set {
    char **patterns;
    size_t pattern_count;
    char **subjects; /* in random order */
    size_t subject_count;
};

/* Never fails: it ends the program. Nothing frees it. */
struct pattern_set pattern_set_make(size_t patterns, size_t subjects);

void pattern_set_write(const struct pattern_set *set, const char *path);

#endif
