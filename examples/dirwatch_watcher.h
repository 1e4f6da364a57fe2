/*
 * Watchers: each a thread with a subscription, which makes a picture of nothing but the events it gets. Some are there from
 * the start, some come late, one follows the scratch tree alone, one naps now and then and falls behind, one comes and goes
 * and resumes where it left off, one gets stuck, is lapped, and gets a new snapshot, one is expelled now and then and starts
 * again.
 *
 * Each checks what it gets: snapshot and live events come where they may; a live index is above the snapshot's, and never
 * falls; where everything is followed it is the same as the one before, or the next one; all are of one epoch; and each
 * event changes something. What is wrong there is said in the view, and the watcher leaves.
 */
#ifndef DIRWATCH_WATCHER_H
#define DIRWATCH_WATCHER_H

#include "dirwatch_picture.h"
#include "dirwatch_source.h"

struct watchers;

/* A watcher as others see it. */
struct watcher_view {
    char name[32];
    const char *state;
    bool live;          /* past its snapshot */
    uint64_t snapshots; /* read to their ends */
    uint64_t entries;   /* in the newest of them */
    uint64_t changes;   /* live events applied */
    uint64_t skipped;   /* live events that the snapshot had already */
    uint64_t resets;
    uint64_t laps;            /* how often it was lapped */
    uint64_t missed;          /* changes that it missed by that, before it got a new snapshot */
    uint64_t resumed;         /* how often it went on where it had left off */
    uint64_t expelled;        /* how often it was closed by its label */
    aether_position position; /* on the bus */
    uint8_t latest_root;
    char latest[160]; /* the latest change: '+' or '-', and the path, as far as it fits; "" before the first */
    bool broken;
    struct message why; /* it is */
};

struct watchers_options {
    struct source *source;
    size_t count;
    int64_t step_ns; /* the beat of coming, going and napping */
    int bell;        /* rung when a watcher has reached a mark, or is broken */
};

/* NULL: `why` says why. */
struct watchers *watchers_start(const struct watchers_options *options, struct message *why);

size_t watchers_count(const struct watchers *watchers);
void watchers_view(struct watchers *watchers, size_t number, struct watcher_view *view);

/* The end is near: no naps, nobody is away, those who have not come yet come. */
void watchers_hurry(struct watchers *watchers);

/* A watcher stops at a mark until it is released. True when all have come to this one: their pictures may be read then. */
bool watchers_are_at(struct watchers *watchers, uint64_t mark);
const struct picture *watchers_picture(struct watchers *watchers, size_t number);
/* Whether the watcher follows this tree. */
bool watchers_follows(const struct watchers *watchers, size_t number, int root);
void watchers_release(struct watchers *watchers, uint64_t mark);

/* Closes the subscriptions of those that can be expelled. */
void watchers_expel(struct watchers *watchers);

/* Cancels, joins, frees. NULL does nothing. */
void watchers_stop(struct watchers *watchers);

#endif
