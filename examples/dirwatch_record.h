/*
 * What an item of the buffers is made of. A snapshot is BEGIN, a PUT per entry, parents first, and END; the live stream is
 * made of PUT, TAKE and MARK.
 *
 *      snapshot's buffer                                            live buffer
 *      ┌───────┬─────┬─────┬─────┬───────────────┐  splice    ┌──────┬──────┬──────┬──────┬─────
 *      │ BEGIN │ PUT │ PUT │ ... │ END           │ ─────────▶ │ 4711 │ 4712 │ 4713 │ 4714 │ ...
 *      └───────┴─────┴─────┴─────┴──watermark────┘            └──────┴──────┴──────┴──────┴─────
 *                                  {epoch, 4712}              └ in the snapshot ┘└ applied ─────
 *
 * The place to splice to was held by a cursor before the snapshot was begun, so nothing can be missing; items at or below
 * the watermark are in the snapshot already, so they are left out. The two together are "no gap and no repeat".
 */
#ifndef DIRWATCH_RECORD_H
#define DIRWATCH_RECORD_H

#include "aether/buffer.h"
#include "dirwatch_picture.h"

enum record_kind {
    RECORD_PUT = 1,  /* a path is there, or is another now */
    RECORD_TAKE = 2, /* a path is gone, with all below it */
    RECORD_MARK = 3, /* the source has seen the sentinel file of this number: it knows all that happened before */
    RECORD_BEGIN = 4,
    RECORD_END = 5
};

/* The payload of an item, in the memory and byte order of this process. Items are aligned to 8 bytes. */
struct record {
    uint8_t kind;
    uint8_t root; /* of the path */
    union {
        struct facts facts; /* PUT */
        uint64_t resets;    /* BEGIN: how often inotify's queue overflowed before this snapshot */
        uint64_t mark;      /* MARK */
        struct {
            aether_position watermark; /* END: what the snapshot includes of the live stream */
            uint64_t mark;             /* ... and the newest mark in there, 0: none */
        } end;
    };
    char path[]; /* PUT, TAKE: from its root on, with a NUL */
};

/* Records on their way into a buffer, to be appended together. All zero is the empty one. */
struct batch {
    struct text bytes; /* the records, one after another */
    size_t *ends;      /* where each record ends */
    size_t count;
    size_t room;
    struct text path; /* of the record that is being made */
};

void batch_put(struct batch *batch, const struct node *node);
void batch_take(struct batch *batch, const struct node *node);
void batch_add(struct batch *batch, const struct record *record); /* one without a path */
void batch_free(struct batch *batch);

/* Appends the records as one batch, which readers see as a whole or not at all, and empties it. */
aether_status batch_append(struct batch *batch, aether_buffer *buffer);

#endif
