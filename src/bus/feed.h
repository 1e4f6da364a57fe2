/*
 * A feed: the buffer that all subscriptions of one pattern share.
 *
 *      holds = [in the domain's trie] + subscriptions + snapshots that are being made + publishers that wait for its room
 *
 * It retires when nobody follows, retains or lingers on it, or with its history: then it leaves the trie, its buffer ends,
 * and the struct stays for those who hold it. Guard: the role.
 */
#ifndef AE_BUS_FEED_H
#define AE_BUS_FEED_H

#include "buffer/feed.h"
#include "bus/domain.h"

struct ae_feed {
    struct ae_domain *domain; /* const */
    aether_buffer *buffer;    /* NULL: it has retired, and nobody awaits its room */
    struct aether_subscription *subscriptions;
    uint32_t followers; /* of them those that are open */
    uint32_t holds;
    uint32_t waiters; /* publishers that await its room */
    bool is_retired;
    bool is_retained;
    bool lingers;
    int64_t until;                             /* when it has lingered long enough */
    struct ae_feed *previous, *next;           /* among those that linger */
    struct ae_feed *previous_feed, *next_feed; /* among all of the domain */
    struct ae_line line;                       /* where the bus draws indexes */
    struct aether_snapshot *snapshot;          /* being made, or cached; a reference */
    uint64_t snapshot_index;                   /* of the last complete one */
    aether_retention retention;
    uint64_t final_events, final_items; /* once it has retired */
    struct ae_feed *renewed;            /* prepared to take its place */

    /* Scratch of a publish. */
    struct ae_feed *next_in_batch;
    uint64_t batch_bytes, batch_events;
    unsigned char *batch_at;

    uint16_t size;
    char pattern[]; /* const; with a NUL */
};

static inline aether_text ae_feed_pattern(const struct ae_feed *feed)
{
    return (aether_text){feed->pattern, feed->size};
}

static inline struct ae_feed *ae_feed_find(struct ae_domain *domain, const struct ae_subject *pattern)
{
    return ae_trie_find(&domain->feeds, pattern);
}

/* The pattern's feed, made if need be. NULL: no memory. Whoever makes one follows or retains it, or calls ae_feed_settle().
 */
struct ae_feed *ae_feed_get(struct ae_domain *domain, const struct ae_subject *pattern);

void ae_feed_hold(struct ae_feed *feed);
void ae_feed_drop(struct ae_feed *feed);

/* One more that follows; one less, with which the feed may linger or retire. */
void ae_feed_follow(struct ae_feed *feed);
void ae_feed_unfollow(struct ae_feed *feed);

/* Lets it linger, or retires it, where nobody needs it. */
void ae_feed_settle(struct ae_feed *feed);

/* Ends it with `reason`. */
void ae_feed_retire(struct ae_feed *feed, aether_status reason);

/*
 * The history, or what some of the feeds told of it, is over: makes new ones for those that are retained, to be put in their
 * place by ae_feed_renew(), which ends the feed whether or not it has such a one. False: no memory; give_up takes it back.
 */
bool ae_feed_prepare_renewal(struct ae_feed *feed, uint64_t epoch, uint64_t newest_index);
void ae_feed_give_up_renewal(struct ae_feed *feed);
void ae_feed_renew(struct ae_feed *feed, aether_status reason);

/* A publisher begins, or stops, to await its room. */
void ae_feed_await(struct ae_feed *feed);
void ae_feed_await_no_more(struct ae_feed *feed);

/* Events and items so far. */
uint64_t ae_feed_events(const struct ae_feed *feed);
uint64_t ae_feed_items(const struct ae_feed *feed);

/* Its history is kept, and the feed; no more. */
void ae_feed_retain(struct ae_feed *feed, const aether_retention *retention);
void ae_feed_release(struct ae_feed *feed);

/* Retires those that have lingered until `now`. Returns when the next one has, AETHER_FOREVER for none. */
int64_t ae_feeds_sweep(struct ae_domain *domain, int64_t now);

#endif
