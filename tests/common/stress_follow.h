/*
 * A follower: a cursor on a stream, and the sums that have to be right for each reader at any time:
 *
 *      start + delivered + missed = place       in items, and the same in events
 *
 * Each call is checked: items are the next ones and whole; who is told that it lagged has missed exactly what is said, more
 * than its limit was unread, and (but behind splices) it still has its limit before it; only readers that may be lapped are.
 */
#ifndef AE_STRESS_FOLLOW_H
#define AE_STRESS_FOLLOW_H

#include "buffer/cursor.h"
#include "common/stress_stream.h"
#include "common/stress_watch.h"

enum { STRESS_FOLLOW_RUN = 16 };

struct stress_follower {
    aether_cursor *cursor;              /* NULL: none */
    const struct stress_stream *stream; /* the one that it stands in */
    aether_on_limit policy;             /* 0: none */
    uint64_t limit;                     /* AETHER_UNLIMITED: none */
    uint64_t start, place;              /* in the stream that it stands in */
    uint64_t delivered, missed;         /* there */
    uint64_t delivered_events, missed_events;
    uint64_t all_missed, all_missed_events, lags; /* since it was opened */
    uint64_t not_before;                          /* AETHER_WAIT, AETHER_REFUSE: its limit holds for bytes above this */
    bool may_lag;                                 /* it has come by a splice, perhaps from a cursor that may be lapped */
    bool unsure; /* and that was behind the window, where only others keep what follows: it may lag within its limit */
};

/* Opens by `start`, or at a place at random, with this limit (0 for no policy), and checks where. False: gone or ahead. */
bool stress_follow(struct stress_follower *follower, const struct stress_stream *stream, aether_start start,
                   aether_on_limit policy, uint64_t limit, struct stress_random *random);

/* What a reader of the buffer wants that may be lapped, waits, refuses: at least the least limit, often near to it. */
uint64_t stress_follow_limit(const struct stress_stream *stream, struct stress_random *random);

void stress_follow_dup(const struct stress_follower *follower, struct stress_follower *twin);

/*
 * One call, for an item or a run, with the watch (NULL: none) around it. Returns the status; a final one has been checked
 * against the end of the stream.
 */
aether_status stress_follow_next(struct stress_follower *follower, int64_t timeout, struct stress_watch *watch,
                                 struct stress_random *random);

/* The sums, and the library's figures. The cursor's own thread. */
void stress_follow_check(struct stress_follower *follower);

/* Checks, and closes. */
void stress_follow_close(struct stress_follower *follower);

extern uint64_t stress_follow_lags, stress_follow_items, stress_follow_crossings; /* atomic; of all followers */

#endif
