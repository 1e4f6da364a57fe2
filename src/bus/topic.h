/*
 * Topics: the subjects that a domain knows, each with the feeds that match it.
 *
 *      topic in the table  =  somebody has its handle, or it is remembered from a publish by its subject
 *      feeds[0..count)     =  the feeds whose pattern matches, if `generation` is the trie's
 *
 * The table is open-addressed and grows a few entries at a time, so that no publish pays for a million of them. What is
 * remembered is bounded; the clock algorithm forgets what was not used since its hand came by last (Corbató, "A paging
 * experiment with the Multics system", 1968). Guard of everything: the role.
 */
#ifndef AE_TOPIC_H
#define AE_TOPIC_H

#include "base/allocator.h"
#include "bus/subject.h"

struct ae_domain;
struct ae_feed;

enum { AE_TOPIC_OWN_FEEDS = 2 };

struct aether_topic {
    struct ae_domain *domain; /* const */
    uint64_t hash;            /* const; of the subject */
    uint64_t generation;      /* of the trie, when the feeds were looked up; UINT64_MAX: never */
    struct ae_feed **feeds;   /* `own`, or memory of their own */
    struct ae_feed *own[AE_TOPIC_OWN_FEEDS];
    uint32_t count, capacity;
    uint32_t handles; /* open ones */
    uint32_t first_hash;
    uint32_t fork_generation; /* const */
    bool used;                /* since the hand came by */
    bool foreign;             /* the subject belongs to a namespace that is a domain of its own, as of `generation` */
    uint16_t size;            /* const */
    char subject[];           /* const; with a NUL */
};

struct ae_topics {
    const aether_allocator *allocator; /* the domain's */
    struct aether_topic **slots, **old_slots;
    size_t capacity, old_capacity; /* powers of two, or 0 */
    size_t old_at;                 /* below it the old table is empty */
    size_t count;
    size_t remembered, most_remembered;
    size_t hand;
};

void ae_topics_init(struct ae_topics *topics, const aether_allocator *allocator, size_t most_remembered);
void ae_topics_destroy(struct ae_topics *topics);

/* The topic of the subject, or NULL. */
struct aether_topic *ae_topics_find(struct ae_topics *topics, const struct ae_subject *subject);

/* The same, made if need be, and remembered. NULL: no memory, nothing has changed. */
struct aether_topic *ae_topics_get(struct ae_topics *topics, struct ae_domain *domain, const struct ae_subject *subject);

/* One more handle; one less, with which the topic may go. */
void ae_topic_hold(struct ae_topics *topics, struct aether_topic *topic);
void ae_topic_drop(struct ae_topics *topics, struct aether_topic *topic);

/* Room for `count` feeds. False: no memory, the topic is as before. */
bool ae_topic_reserve(struct ae_topics *topics, struct aether_topic *topic, size_t count);

static inline aether_text ae_topic_text(const struct aether_topic *topic)
{
    return (aether_text){topic->subject, topic->size};
}

#endif
