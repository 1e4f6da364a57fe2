/*
 * A feed: a buffer whose items can be told from their number alone, so that readers check every byte without sharing more
 * than the feed's constants with the writer.
 *
 *      item n of feed f:  index n + 1, 0 to 200 bytes (bulky: 160 to 200), size and bytes from f.id and n
 */
#ifndef AE_STRESS_FEED_H
#define AE_STRESS_FEED_H

#include "aether/buffer.h"
#include "common/stress_run.h"

enum { STRESS_ITEM_MOST = 200, STRESS_BATCH_MOST = 8 };

struct stress_feed {
    aether_buffer *buffer;
    uint64_t id;                       /* const; also the epoch, from 1 */
    bool bulky;                        /* const; a few items fill a small segment */
    unsigned char apart[STRESS_APART]; /* from what is written all the time */
    uint64_t begun;                    /* atomic; items whose append has begun */
    uint64_t published;                /* atomic; items whose append has returned; the end counts as one more */
};

/* Options for small segments that are all kept, partly kept, or given back. */
aether_buffer_options stress_small_segments(const aether_allocator *allocator, int32_t cached);

void stress_feed_create(struct stress_feed *feed, const aether_buffer_options *options, uint64_t id, bool bulky);

/* Appends one item or a few, by one of the ways there are. */
void stress_feed_put(struct stress_feed *feed, struct stress_random *random);

/* Ends it for good with `reason`. */
void stress_feed_end(struct stress_feed *feed, aether_status reason);

/* Fails unless this is item `number`. */
void stress_feed_check(const struct stress_feed *feed, uint64_t number, const aether_item *item);

/*
 * Lets appends go the inline way in debug builds, too, where the library does not; stress_feed_create() does so by itself.
 */
void stress_allow_inline(aether_buffer *buffer);

/*
 * The same with the thread sanitizer, whose barrier has two heavy sides. Without a barrier a sleeper may miss its wake-up,
 * so all readers of such a buffer poll.
 */
void stress_feed_go_inline(struct stress_feed *feed);

/* The bytes of an item with this key; what stress_feed_check() compares with. */
void stress_item_fill(unsigned char *bytes, size_t size, uint64_t key);
bool stress_item_matches(const void *bytes, size_t size, uint64_t key);

#endif
