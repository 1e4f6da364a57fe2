/* What was published on a bus, and what of it must still be there: the model that random calls are compared with. */
#ifndef UNIT_LOG_H
#define UNIT_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UNIT_LOG = 4000, UNIT_SUBJECTS = 39, UNIT_KEPT = 8, UNIT_REFRESHES = 200, UNIT_PATTERN = 12 };

struct unit_log {
    uint64_t seed;
    uint64_t epoch, newest; /* of this history */
    uint64_t value;         /* of the last event: each has another */
    struct {
        uint64_t index, value;
        size_t subject;
    } entries[UNIT_LOG];
    size_t count;
    char subjects[UNIT_SUBJECTS][UNIT_PATTERN]; /* all of one to three tokens of a, b and c */
    uint64_t state[UNIT_SUBJECTS];              /* each subject's newest value; 0: none */
    struct {
        char pattern[UNIT_PATTERN]; /* "": none */
        uint64_t floor;
    } kept[UNIT_KEPT];
    struct {
        char pattern[UNIT_PATTERN];
        uint64_t index;
    } refreshed[UNIT_REFRESHES];
    size_t refreshes;
};

void unit_log_init(struct unit_log *log, uint64_t epoch, uint64_t seed);

/* From 0 to below - 1. */
uint64_t unit_draw(struct unit_log *log, uint64_t below);
void unit_draw_pattern(struct unit_log *log, char *pattern);

/* One more event at the newest index plus one; its value. */
uint64_t unit_log_add(struct unit_log *log, size_t subject);

/* A new history. */
void unit_log_reset(struct unit_log *log, uint64_t newest);

bool unit_log_matches(const struct unit_log *log, size_t entry, const char *pattern);
/* The first entry above the index. */
size_t unit_log_above(const struct unit_log *log, uint64_t index);

/* Positions at `after` are gone for the pattern. */
bool unit_log_was_refreshed(const struct unit_log *log, const char *pattern, uint64_t after);
/* All above `after` has to be there for the pattern. */
bool unit_log_is_kept(const struct unit_log *log, const char *pattern, uint64_t after);

#endif
