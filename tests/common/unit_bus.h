/*
 * A bus for tests, and events as words: what a test publishes, what a handler appends and what a subscription has handed out
 * is written the same way.
 *
 *      a.b=7      the event under a.b with the data "7", which was published
 *      a.b@7      one without data, at index 7
 *      +a.b=7     the same, from a snapshot
 *      -a.b@7     a subject that is gone, published; +-a.b@7 from a snapshot
 *      follows    AETHER_EVENT_SNAPSHOT_FOLLOWS
 *      end@7      AETHER_EVENT_SNAPSHOT_END with index 7
 *      passed@7   AETHER_EVENT_PROGRESS with index 7
 */
#ifndef UNIT_BUS_H
#define UNIT_BUS_H

#include "aether/bus.h"
#include "common/unit_buffer.h"
#include "common/unit_futex.h"
#include "common/unit_wait.h"

/* The least limit of a subscription on a unit_bus(). */
enum { UNIT_LIMIT = AETHER_LIMIT_SEGMENTS * UNIT_SEGMENT };

/* The counting allocator, epoch UNIT_EPOCH, segments of UNIT_SEGMENT bytes. Feeds do not linger. */
aether_bus_options unit_bus_options(void);
/* These abort if there is none. */
aether_bus *unit_bus_with(aether_bus_options options);
aether_bus *unit_bus(void);
aether_subscription *unit_subscribe(aether_bus *bus, const char *pattern, aether_begin begin);
aether_subscription *unit_subscribe_with(aether_bus *bus, const char *pattern, aether_subscribe_options options);
/* With a snapshot. */
aether_subscription *unit_watch(aether_bus *bus, const char *pattern);
void unit_retain(aether_bus *bus, const char *pattern);

/* At this position; NULL where that cannot be. */
AETHER_CHECKED aether_subscription *unit_begin_at(aether_bus *bus, const char *pattern, aether_begin begin, uint64_t epoch,
                                                  uint64_t index);

aether_bus_stats unit_bus_stats(aether_bus *bus);
aether_subscription_stats unit_account(aether_subscription *subscription);
/* Of the pattern's feed; all zero where it has none. */
aether_pattern_stats unit_pattern(aether_bus *bus, const char *pattern);

/* --------------------------------------------------------------------------------------------------------- publishing */

/* Publishes words one by one, "a=1 b=2"; where they have indexes ("a@7", "a@7=x") under these. Stops at what fails. */
aether_status unit_publish(aether_bus *bus, const char *words);
/* The same as one batch. */
aether_status unit_publish_batch(aether_bus *bus, const char *words);
/* `count` events with data of `size` bytes each; stops at what fails. The number of those that went well is in *done. */
aether_status unit_publish_many(aether_bus *bus, const char *subject, size_t count, size_t size, size_t *done);
/* Until something fails: with what. */
aether_status unit_publish_until(aether_bus *bus, const char *subject, size_t size, size_t *done);

/* A thread that publishes words. */
struct unit_publisher {
    aether_bus *bus;
    const char *words;
    struct unit_futex_trace trace;
    aether_status status;
    struct unit_thread thread;
};

/* In place of a status: the call did not return in time. */
enum { UNIT_STUCK = -1 };

bool unit_publisher_start(struct unit_publisher *publisher, aether_bus *bus, const char *words);
/* Started, and inside the kernel. */
bool unit_publisher_put_to_sleep(struct unit_publisher *publisher, aether_bus *bus, const char *words);
aether_status unit_publisher_join(struct unit_publisher *publisher);

/* Publishes from another thread, so that it may wait for subscriptions of this one. */
aether_status unit_publish_aside(aether_bus *bus, const char *words);

/* So many events under "a" with data of `size` bytes have room in a subscription that is limited to UNIT_LIMIT. */
size_t unit_count_room(size_t size);
/* Publishes these from another thread. */
aether_status unit_fill_up(aether_bus *bus, size_t size);

/* ------------------------------------------------------------------------------------------------------------ words */

enum { UNIT_WORDS = 256 };

struct unit_words {
    char text[UNIT_WORDS * 16];
    aether_event events[UNIT_WORDS];
    size_t count;
};

/* As many as stand before a "|"; the rest is in *text. `own`: "a@7" has the subject's own index 7. */
void unit_parse_words(struct unit_words *words, const char **text, bool own);

/* ------------------------------------------------------------------------------------------------------------ reading */

/* Writes the event as a word. */
void unit_word(const aether_event *event, char *word, size_t size);
/* What its data says; 0: no number. */
uint64_t unit_number(const aether_event *event);

/* Reads without waiting until `status` comes: NULL when what came before are these words, else what was wrong. */
const char *unit_events(aether_subscription *subscription, const char *words, aether_status status);
/* Reads as many events as there are words, waiting for each. */
const char *unit_arrivals(aether_subscription *subscription, const char *words);
/* Reads without waiting: the number of events, and in *status what ended it. */
uint64_t unit_drain(aether_subscription *subscription, aether_status *status);
/* Of one next without waiting; whatever event there is, is lost. */
aether_status unit_try(aether_subscription *subscription);

#define expect_events(words, status, subscription) expect_fine(unit_events(subscription, words, status))
#define expect_arrivals(words, subscription) expect_fine(unit_arrivals(subscription, words))

/* A thread that is inside one aether_next(). */
struct unit_follower {
    aether_subscription *subscription;
    int64_t timeout_ns;
    struct unit_futex_trace trace;
    aether_status status;
    char word[128]; /* of the event */
    struct unit_thread thread;
};

bool unit_follower_start(struct unit_follower *follower, aether_subscription *subscription);
bool unit_follower_put_to_sleep(struct unit_follower *follower, aether_subscription *subscription);
aether_status unit_follower_join(struct unit_follower *follower);

/* --------------------------------------------------------------------------------------------------------- accounting */

/* published = delivered + ... + pending; NULL, or both sides. */
const char *unit_adds_up(aether_subscription *subscription);
/* The same, and these are the figures; the position is not looked at. */
const char *unit_accounts(aether_subscription *subscription, aether_subscription_stats wanted);

#define expect_account(subscription, ...) expect_fine(unit_accounts(subscription, (aether_subscription_stats){__VA_ARGS__}))

/* Puts a word behind those in a text of `size` bytes, with a blank between; aborts where it has no room. */
void unit_add_word(char *words, size_t size, const char *word);

#endif
