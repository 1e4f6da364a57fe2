/*
 * A subscription: one cursor for life, in a snapshot's buffer first or in a feed, and what becomes of each event there.
 *
 *      published since the start = delivered + filtered + below the watermark + conflated + lagged + discarded + pending
 *
 * It is over when somebody has given the reason, the first one: then it follows no feed any more, though its reader may
 * still read what was published until then. The reader's thread owns what is not marked otherwise.
 */
#ifndef AE_SUBSCRIPTION_H
#define AE_SUBSCRIPTION_H

#include "bus/feed.h"
#include "bus/table.h"

struct ae_conflation;

/* Copies of what the program gave, in one block. */
struct ae_filter {
    aether_filter given;
    size_t bytes; /* of the block */
};

/* What only some subscriptions have. */
struct ae_extra {
    struct ae_filter *filter;
    struct ae_conflation *conflation;
    int64_t progress_ns; /* 0: no marks */
    int64_t progressed_at;
};

struct aether_subscription {
    aether_cursor *cursor; /* const */

    /* The item that is being handed out. */
    const unsigned char *at; /* the next event */
    uint32_t left;           /* events */

    bool in_snapshot;      /* it has not come to the end mark */
    bool has_crossed;      /* its cursor stands in the feed; false while it is in a snapshot's buffer, or at its very end */
    bool awaits_splice;    /* its item is the end mark, and the way on is not there yet */
    bool owes_follows;     /* a mark "new snapshot follows" */
    bool owes_lag;         /* the consequences of a lag, behind what was conflated before it */
    bool owes_snapshot;    /* a new beginning, for which there was no memory */
    bool is_told;          /* it is over, and its reader knows */
    bool owes_limit;       /* its own limit, where it was read without one until now */
    bool by_subject;       /* each subject counts for itself: `snapshot` is kept for that */
    bool drains;           /* const */
    bool is_wide;          /* reads a feed that covers more than its pattern */
    uint8_t on_lag;        /* const, complete: aether_on_lag */
    uint8_t on_limit;      /* const, complete: aether_on_limit */
    uint8_t label_size;    /* const */
    uint16_t pattern_size; /* const */
    uint16_t prefix_size;  /* const: of its handle */
    uint64_t limit_bytes;  /* const, complete */
    uint64_t passed;       /* all up to this index was delivered or passed over */
    uint64_t epoch;        /* of that */
    uint64_t watermark;    /* index of its snapshot */
    struct aether_snapshot *snapshot; /* that it reads, or whose marks it needs; a reference */
    struct ae_extra *extra;           /* NULL: none of that */
    aether_poller *poller;            /* its own, for the descriptor */

    /* What became of events. */
    uint64_t delivered, filtered, below_watermark, conflated, lagged, snapshot_events;
    uint32_t snapshots, lags;
    uint64_t base_events;             /* of the feed, before the start */
    uint64_t live_events, live_items; /* of the feed, before the place where its snapshot leads to */
    uint64_t carried;                 /* published in feeds that it followed before */

    uint32_t cancelled;             /* atomic: B5; aether_subscription_cancel() */
    uint32_t reason;                /* atomic: B5; why it is over, an aether_status; 0: it is not */
    uint64_t end_items, end_events; /* of the feed, then; carried by `reason` */

    /* Guard: the role. */
    struct ae_domain *domain; /* const; a reference */
    struct ae_feed *feed;     /* NULL once it is over */
    struct aether_subscription *previous, *next;
    uint64_t reads; /* number of the snapshot that it reads, as far as the role knows; 0: none */

    uint32_t generation; /* const: ae_fork_generation */
    char pattern[];      /* const; with a NUL, then the label with one */
};

static inline aether_text ae_subscription_pattern(const aether_subscription *subscription)
{
    return (aether_text){subscription->pattern, subscription->pattern_size};
}

/* "" where it has none. */
static inline const char *ae_subscription_label(const aether_subscription *subscription)
{
    return subscription->pattern + subscription->pattern_size + 1;
}

static inline struct ae_filter *ae_filter_of(const aether_subscription *subscription)
{
    return subscription->extra != NULL ? subscription->extra->filter : NULL;
}

static inline struct ae_conflation *ae_conflation_of(const aether_subscription *subscription)
{
    return subscription->extra != NULL ? subscription->extra->conflation : NULL;
}

/* NULL, or one from before fork(): AETHER_INVALID or AETHER_FORKED with a text. */
AETHER_CHECKED aether_status ae_subscription_refuse(const aether_subscription *subscription, const char *call);

/* Whether one could be opened with these options: AETHER_INVALID, AETHER_SHUT_DOWN, AETHER_DISABLED, AETHER_NO_MEMORY. */
AETHER_CHECKED aether_status ae_subscribe_check(const aether_bus *bus, const aether_subscribe_options *options);

/* Under the role: ends it, unless it is over. */
void ae_subscription_end(aether_subscription *subscription, aether_status reason);

/* The same for all that follow the feed (and whose pattern overlaps `pattern`, unless that is empty), or read this snapshot.
 */
void ae_feed_close_all(struct ae_feed *feed, aether_text pattern, aether_status reason);
void ae_feed_close_readers(struct ae_feed *feed, const struct aether_snapshot *snapshot, aether_status reason);

/* The reader ends it itself; returns the reason that counts. */
aether_status ae_subscription_give_up(aether_subscription *subscription, aether_status reason);

/*
 * Begins anew with a snapshot, after a lag. AETHER_OK: so it does, or it is over. Else why not, with a text; NO_MEMORY may
 * be tried again.
 */
AETHER_CHECKED aether_status ae_subscription_begin_again(aether_subscription *subscription);

/* What the snapshot leads to: the reader has come to the end mark, or needs it no more. */
void ae_subscription_leave_snapshot(aether_subscription *subscription);

/* Its own limit, from now on. AETHER_NO_MEMORY: it is still owed. */
AETHER_CHECKED aether_status ae_subscription_take_limit(aether_subscription *subscription);

static inline aether_status ae_subscription_reason(const aether_subscription *subscription)
{
    /* B5: pairs with B5_END: where it ended, and that its cursor was told. */
    return (aether_status)AE_LOAD(B5_LOAD, &subscription->reason, acquire);
}

/* -------------------------------------------------------------------------------------------------------------- filter */

/* *copy is NULL where nothing is asked for. AETHER_INVALID, AETHER_NO_MEMORY. */
AETHER_CHECKED aether_status ae_filter_make(struct ae_filter **copy, const aether_filter *given,
                                            const aether_allocator *allocator, const char *call);
void ae_filter_free(struct ae_filter *filter, const aether_allocator *allocator);
bool ae_filter_passes(const struct ae_filter *filter, const aether_event *event);

/* ---------------------------------------------------------------------------------------------------------- conflation */

/* The newest event of each subject that has not been handed out. NULL: no memory. */
struct ae_conflation *ae_conflation_make(uint32_t most, const aether_allocator *allocator);
void ae_conflation_free(struct ae_conflation *conflation);

/* How many wait. */
size_t ae_conflation_count(const struct ae_conflation *conflation);
bool ae_conflation_is_full(const struct ae_conflation *conflation);
/* The index of the first that waits; there is one. */
uint64_t ae_conflation_first_index(const struct ae_conflation *conflation);

/* Keeps a copy. AETHER_NO_MEMORY. *replaced: an older event of the subject is dropped for it. */
AETHER_CHECKED aether_status ae_conflation_put(struct ae_conflation *conflation, const aether_event *event, bool *replaced);

/* Hands out the one whose subject was published to last the longest ago; borrowed until the next call. */
void ae_conflation_take(struct ae_conflation *conflation, aether_event *event);

/* Drops all that wait; returns how many. */
size_t ae_conflation_clear(struct ae_conflation *conflation);

#endif
