/*
 * The source: one thread that knows both trees and is the only writer of the live buffer.
 *
 *      inotify ──▶ source's picture ──▶ live buffer ──────────────┬──────────▶ watchers that are up to date
 *                        │                                        │
 *                        └──on request──▶ snapshot's buffer ──splice──▶ watchers that come
 *
 * A watcher that comes opens a cursor on the live buffer first and asks for a snapshot then; others that come before the
 * snapshot is SHARED_NS old get a cursor on the same one. When inotify's queue overflows, nobody knows what was lost: the
 * live buffer ends with AETHER_RESET, a new one begins a new epoch, and everything is scanned anew. When the source cannot
 * go on at all, the live buffer ends with AETHER_FAILED and the reason is in the status.
 */
#ifndef DIRWATCH_SOURCE_H
#define DIRWATCH_SOURCE_H

#include "aether/buffer.h"
#include "dirwatch_common.h"

struct source;

/* The sentinel files: when the source meets `MARK_PREFIX` and a number in the scratch tree, it appends a MARK. */
#define MARK_PREFIX ".dirwatch-mark-"

/* The least limit that a cursor on one of the source's buffers can have. */
enum { SOURCE_LEAST_LIMIT = 64 * 1024 };

struct source_options {
    const char *dirs[ROOTS];
    uint64_t overflow_after; /* for tests: act as if the queue overflowed whenever that many events were read; 0: never */
    int bell;                /* rung when the source fails */
};

struct source_status {
    aether_position newest; /* of the live buffer */
    uint64_t retained;      /* bytes that the live buffer holds for readers */
    uint64_t in_use;        /* ... as memory */
    size_t entries;         /* in the source's picture */
    size_t watches;
    uint64_t events; /* inotify's, read */
    uint64_t resets;
    uint64_t snapshots; /* made */
    uint64_t followed;  /* cursors given out on them */
    bool failed;
    struct message why; /* it failed */
};

/* Scans both trees and starts the thread. NULL: `why` says why. */
struct source *source_start(const struct source_options *options, struct message *why);

/*
 * A cursor that brings a snapshot and then every later change; the caller closes it. Waits until the source has begun the
 * snapshot: its first items can be read while the last are still made. Any thread. AETHER_CLOSED: the door is closed.
 * AETHER_FAILED: the source failed. Else what the library answered.
 */
aether_status source_follow(struct source *source, aether_cursor **cursor) AETHER_CHECKED;

void source_get_status(struct source *source, struct source_status *status);

/* No snapshots any more: source_follow() answers AETHER_CLOSED, also where it waits. */
void source_close_door(struct source *source);

/* Ends the live buffer and the thread, and frees everything. Nobody may be inside a call of the above. NULL does nothing. */
void source_stop(struct source *source);

#endif
