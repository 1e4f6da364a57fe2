/*
 * What dirwatch tells: a live table in a terminal, a line each second elsewhere, or JSON, one object per line. main()'s
 * thread alone.
 */
#ifndef DIRWATCH_SHOW_H
#define DIRWATCH_SHOW_H

#include "dirwatch_verdict.h"

enum show_form { SHOW_TABLE, SHOW_LINES, SHOW_JSON };

struct show {
    enum show_form form;
    const char *dirs[ROOTS];
    int64_t begun_ns;
    int64_t ends_ns; /* AETHER_FOREVER: with Ctrl-C */
    int64_t next_ns; /* when there is something to tell again */
    size_t rows;     /* of the table that stands in the terminal */
    bool failed;     /* standard output takes nothing any more */
};

/* All that is to be told about a run. */
struct show_state {
    struct source *source;
    struct watchers *watchers;
    uint64_t changes; /* made in the scratch tree */
};

void show_start(struct show *show, const struct show_state *state);

/* Tells how things are, if it is time. */
void show_progress(struct show *show, const struct show_state *state);

/* The last state, and the verdict. */
void show_verdict(struct show *show, const struct show_state *state, const struct verdict *verdict);

/* Why there is no verdict: on standard error, and in JSON as an object as well. */
void show_trouble(struct show *show, const char *why);

#endif
