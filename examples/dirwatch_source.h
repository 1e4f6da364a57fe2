/*
 * The source: one thread that knows both trees and publishes what changes there on a bus.
 *
 *      inotify ──▶ source's picture ──▶ publish ──▶ bus ──▶ watchers
 *                        │                           ▲
 *                        └── snapshot handler ───────┘ when a watcher asks for one
 *
 * The picture is changed, published and shown under one lock, so that what a snapshot shows and the index that it says it
 * includes are of one moment. The bus does the rest: a snapshot that is younger than SHARED_NS serves others, too, and each
 * watcher goes on behind it. When inotify's queue overflows, nobody knows what was lost: the bus is reset, which begins a
 * new epoch, and everything is scanned anew. When the source cannot go on at all, the bus is shut down and the reason is in
 * the status.
 */
#ifndef DIRWATCH_SOURCE_H
#define DIRWATCH_SOURCE_H

#include "aether/bus.h"
#include "dirwatch_common.h"

struct source;

/* The sentinel files: when the source meets `MARK_PREFIX` and a number in the scratch tree, it publishes a MARK. */
#define MARK_PREFIX ".dirwatch-mark-"

/* The least limit that a subscription on the source's bus can have. */
enum { SOURCE_LEAST_LIMIT = 64 * 1024 };

struct source_options {
    const char *dirs[ROOTS];
    uint64_t overflow_after; /* for tests: act as if the queue overflowed whenever that many events were read; 0: never */
    int bell;                /* rung when the source fails */
};

struct source_status {
    aether_position newest; /* of the bus */
    uint64_t in_use;        /* memory of its feeds */
    size_t entries;         /* in the source's picture */
    size_t watches;
    uint64_t events; /* inotify's, read */
    uint64_t resets;
    uint64_t snapshots; /* made */
    uint64_t followed;  /* watchers that were served by them */
    bool failed;
    struct message why; /* it failed */
};

/* Scans both trees and starts the thread. NULL: `why` says why. */
struct source *source_start(const struct source_options *options, struct message *why);

/* Where it publishes, and shows snapshots of. The source's; valid until source_stop(). */
aether_bus *source_bus(struct source *source);

void source_get_status(struct source *source, struct source_status *status);

/* Ends the bus and the thread, and frees everything. Nobody may be inside a call of the above. NULL does nothing. */
void source_stop(struct source *source);

#endif
