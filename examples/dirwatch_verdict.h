/*
 * The comparison at the end. A sentinel file is created in the scratch tree: when inotify reports it, the source knows all
 * that happened before, and publishes a mark; watchers stop at the mark. Then the disk is scanned anew, and every watcher's
 * picture has to equal that.
 *
 * Others may change the watched directory meanwhile. So a difference is looked at again, some times, after everybody has
 * caught up once more: one that stays exactly the same is a wrong picture; a path that is different each time is on the
 * move.
 */
#ifndef DIRWATCH_VERDICT_H
#define DIRWATCH_VERDICT_H

#include "dirwatch_watcher.h"

struct verdict_options {
    struct watchers *watchers;
    const char *dirs[ROOTS];
    /* Waits until the bell rings, `until_ns` at the latest; false: the comparison is called off. */
    bool (*wait)(void *user, int64_t until_ns);
    void *user;
};

struct verdict {
    size_t entries;   /* on the disk */
    size_t left_out;  /* directories that could not be read */
    size_t wrong;     /* differences that stayed */
    size_t in_motion; /* paths, times watchers, that differed each time in another way */
    unsigned rounds;
    struct text lines;        /* the first of those that stayed, or else of the others, a line each */
    struct text left_out_one; /* one of the directories, and why */
};

/* False: there was no comparison, and `why` says why, or is empty when it was called off. */
bool verdict_reach(const struct verdict_options *options, struct verdict *verdict, struct message *why);

void verdict_free(struct verdict *verdict);

#endif
