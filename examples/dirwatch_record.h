/*
 * What is published: an event for each path that is there, is another now, or is gone, under a subject of its own, and
 * marks.
 *
 *      /usr/include/linux/futex.h   ─▶   dir.linux.futex%2eh          PUT, TAKE
 *      the scratch tree             ─▶   scratch.…
 *      the sentinel of number 3     ─▶   scratch.%mark                MARK
 *
 * So a watcher of "scratch.>" follows a tree of its own, and "dir.linux.>" would follow a directory. A path's components are
 * the tokens; bytes that a token must not have become %XX, and so does '%'. The 63rd token stands for all that is deeper, by
 * its hash, and so does what makes a subject too long: such paths may share a subject, which costs nothing here, because the
 * path itself is in the event's data.
 *
 * A batch is published under one index and stands together: all that one inotify event changed, or both halves of a rename.
 */
#ifndef DIRWATCH_RECORD_H
#define DIRWATCH_RECORD_H

#include "aether/bus.h"
#include "dirwatch_picture.h"

enum record_kind {
    RECORD_PUT = 1,  /* a path is there, or is another now */
    RECORD_TAKE = 2, /* a path is gone, with all below it */
    RECORD_MARK = 3  /* the source has seen the sentinel file of this number: it knows all that happened before */
};

/* The data of an event, in the memory and byte order of this process. Data is aligned to 8 bytes. */
struct record {
    uint8_t kind;
    uint8_t root; /* of the path */
    union {
        struct facts facts; /* PUT */
        uint64_t mark;      /* MARK */
    };
    char path[]; /* PUT, TAKE: from its root on, with a NUL */
};

/* The patterns of one tree, and of both. */
extern const char *const record_patterns[ROOTS];
#define RECORD_PATTERN_ALL ">"

/* Records on their way, to be published together. All zero is the empty one. */
struct batch {
    struct text bytes;    /* the records, one after another, each aligned to 8 bytes */
    struct text subjects; /* ... and their subjects, each with a NUL */
    size_t *ends;         /* where each record ends, with its padding, and each subject */
    size_t count;
    size_t room;
    struct text path; /* of the record that is being made */
};

void batch_put(struct batch *batch, const struct node *node);
void batch_take(struct batch *batch, const struct node *node);
void batch_mark(struct batch *batch, uint64_t mark);
void batch_free(struct batch *batch);

/* Publishes the records as one batch, or appends them to a snapshot, and empties it. */
aether_status batch_publish(struct batch *batch, aether_bus *bus);
aether_status batch_append(struct batch *batch, aether_snapshot *snapshot);

#endif
