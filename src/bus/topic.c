#include "bus/topic.h"

#include <string.h>

#include "base/check.h"
#include "base/process.h"

enum {
    LEAST_SLOTS = 64,
    MOVES = 8 /* of the old table's slots per operation: it is empty before the new one is half full */
};

/* ------------------------------------------------------------------------------------------------------------- slots */

/* Of an array of pointers. */
static size_t bytes_of(size_t count)
{
    return count * sizeof(void *);
}

static struct aether_topic **allocate_slots(const struct ae_topics *topics, size_t capacity)
{
    struct aether_topic **slots = ae_alloc(topics->allocator, bytes_of(capacity), _Alignof(struct aether_topic *));
    if (slots != NULL)
        memset(slots, 0, bytes_of(capacity));
    return slots;
}

static void free_slots(const struct ae_topics *topics, struct aether_topic **slots, size_t capacity)
{
    if (slots != NULL)
        ae_free(topics->allocator, slots, bytes_of(capacity), _Alignof(struct aether_topic *));
}

static void place(struct aether_topic **slots, size_t capacity, struct aether_topic *topic)
{
    size_t at = topic->hash & (capacity - 1);
    while (slots[at] != NULL)
        at = (at + 1) & (capacity - 1);
    slots[at] = topic;
}

static bool is_it(const struct aether_topic *topic, const struct ae_subject *subject)
{
    return topic->hash == subject->hash && topic->size == subject->text.size &&
           memcmp(topic->subject, subject->text.data, topic->size) == 0;
}

static struct aether_topic *look(struct aether_topic **slots, size_t capacity, const struct ae_subject *subject)
{
    if (capacity == 0)
        return NULL;
    for (size_t at = subject->hash & (capacity - 1); slots[at] != NULL; at = (at + 1) & (capacity - 1))
        if (is_it(slots[at], subject))
            return slots[at];
    return NULL;
}

/* Empties the slot `hole`, and closes the gap: whoever came to stand behind its own place because of it moves up. */
static void close_gap(struct aether_topic **slots, size_t capacity, size_t hole)
{
    size_t mask = capacity - 1;
    slots[hole] = NULL;
    for (size_t at = (hole + 1) & mask; slots[at] != NULL; at = (at + 1) & mask) {
        size_t home = slots[at]->hash & mask;
        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        slots[hole] = slots[at];
        slots[at] = NULL;
        hole = at;
    }
}

static bool take_out(struct aether_topic **slots, size_t capacity, const struct aether_topic *topic)
{
    if (capacity == 0)
        return false;
    for (size_t at = topic->hash & (capacity - 1); slots[at] != NULL; at = (at + 1) & (capacity - 1))
        if (slots[at] == topic) {
            close_gap(slots, capacity, at);
            return true;
        }
    return false;
}

/* ----------------------------------------------------------------------------------------------------------- growing */

static void finish_move(struct ae_topics *topics)
{
    free_slots(topics, topics->old_slots, topics->old_capacity);
    topics->old_slots = NULL;
    topics->old_capacity = topics->old_at = 0;
}

/*
 * Moves a few topics over. A slot is emptied by close_gap(), which may bring another one into it; the same slot is looked at
 * until it stays empty. What wraps round from the end is behind its place then, and comes last.
 */
static void move_some(struct ae_topics *topics, size_t moves)
{
    for (; topics->old_slots != NULL && moves > 0; moves--) {
        struct aether_topic *topic = topics->old_slots[topics->old_at];
        if (topic != NULL) {
            close_gap(topics->old_slots, topics->old_capacity, topics->old_at);
            place(topics->slots, topics->capacity, topic);
        } else if (++topics->old_at == topics->old_capacity) {
            finish_move(topics);
        }
    }
}

/* Room for one more topic. The load stays below three quarters. */
static bool grow(struct ae_topics *topics)
{
    move_some(topics, MOVES);
    if ((topics->count + 1) * 4 <= topics->capacity * 3)
        return true;
    move_some(topics, SIZE_MAX);
    size_t capacity = topics->capacity != 0 ? topics->capacity * 2 : LEAST_SLOTS;
    struct aether_topic **slots = allocate_slots(topics, capacity);
    if (slots == NULL)
        return topics->count + 1 < topics->capacity;
    topics->old_slots = topics->slots;
    topics->old_capacity = topics->capacity;
    topics->old_at = 0;
    topics->slots = slots;
    topics->capacity = capacity;
    if (topics->old_capacity == 0)
        finish_move(topics);
    return true;
}

/* ------------------------------------------------------------------------------------------------------------ topics */

static void free_topic(const struct ae_topics *topics, struct aether_topic *topic)
{
    if (topic->feeds != topic->own)
        ae_free(topics->allocator, topic->feeds, bytes_of(topic->capacity), _Alignof(struct ae_feed *));
    ae_free(topics->allocator, topic, sizeof *topic + topic->size + 1, _Alignof(struct aether_topic));
}

static void remove_topic(struct ae_topics *topics, struct aether_topic *topic)
{
    bool there =
        take_out(topics->slots, topics->capacity, topic) || take_out(topics->old_slots, topics->old_capacity, topic);
    AE_ASSERT(there);
    topics->count--;
    free_topic(topics, topic);
}

static struct aether_topic *make_topic(struct ae_topics *topics, struct ae_domain *domain, const struct ae_subject *subject)
{
    size_t size = subject->text.size;
    struct aether_topic *topic = ae_alloc(topics->allocator, sizeof *topic + size + 1, _Alignof(struct aether_topic));
    if (topic == NULL)
        return NULL;
    *topic = (struct aether_topic){.domain = domain,
                                   .hash = subject->hash,
                                   .generation = UINT64_MAX,
                                   .capacity = AE_TOPIC_OWN_FEEDS,
                                   .first_hash = subject->first_hash,
                                   .fork_generation = ae_fork_generation,
                                   .size = (uint16_t)size};
    topic->feeds = topic->own;
    memcpy(topic->subject, subject->text.data, size);
    topic->subject[size] = '\0';
    return topic;
}

/* Forgets one topic that no handle names and that was not used lately; not the one that the caller is about to use. */
static void forget_one(struct ae_topics *topics, const struct aether_topic *in_use)
{
    for (size_t looks = 2 * topics->capacity; looks > 0; looks--) {
        struct aether_topic *topic = topics->slots[topics->hand];
        if (topic != NULL && topic != in_use && topic->handles == 0 && !topic->used) {
            topics->remembered--;
            remove_topic(topics, topic);
            return;
        }
        if (topic != NULL)
            topic->used = false;
        topics->hand = (topics->hand + 1) & (topics->capacity - 1);
    }
}

struct aether_topic *ae_topics_find(struct ae_topics *topics, const struct ae_subject *subject)
{
    struct aether_topic *topic = look(topics->slots, topics->capacity, subject);
    if (topic == NULL && topics->old_slots != NULL)
        topic = look(topics->old_slots, topics->old_capacity, subject);
    return topic;
}

struct aether_topic *ae_topics_get(struct ae_topics *topics, struct ae_domain *domain, const struct ae_subject *subject)
{
    struct aether_topic *topic = ae_topics_find(topics, subject);
    if (topic == NULL && grow(topics) && (topic = make_topic(topics, domain, subject)) != NULL) {
        place(topics->slots, topics->capacity, topic);
        topics->count++;
        if (++topics->remembered > topics->most_remembered) {
            move_some(topics, SIZE_MAX); /* the hand goes round in one table */
            forget_one(topics, topic);
        }
    }
    if (topic != NULL)
        topic->used = true;
    return topic;
}

void ae_topic_hold(struct ae_topics *topics, struct aether_topic *topic)
{
    if (topic->handles++ == 0)
        topics->remembered--;
}

void ae_topic_drop(struct ae_topics *topics, struct aether_topic *topic)
{
    if (--topic->handles != 0)
        return;
    remove_topic(topics, topic);
}

bool ae_topic_reserve(struct ae_topics *topics, struct aether_topic *topic, size_t count)
{
    if (count <= topic->capacity)
        return true;
    struct ae_feed **feeds = ae_alloc(topics->allocator, bytes_of(count), _Alignof(struct ae_feed *));
    if (feeds == NULL)
        return false;
    if (topic->feeds != topic->own)
        ae_free(topics->allocator, topic->feeds, bytes_of(topic->capacity), _Alignof(struct ae_feed *));
    topic->feeds = feeds;
    topic->capacity = (uint32_t)count;
    topic->count = 0;
    topic->generation = UINT64_MAX;
    return true;
}

void ae_topics_init(struct ae_topics *topics, const aether_allocator *allocator, size_t most_remembered)
{
    *topics = (struct ae_topics){.allocator = allocator, .most_remembered = most_remembered};
}

void ae_topics_destroy(struct ae_topics *topics)
{
    move_some(topics, SIZE_MAX);
    for (size_t at = 0; at < topics->capacity; at++)
        if (topics->slots[at] != NULL)
            free_topic(topics, topics->slots[at]);
    free_slots(topics, topics->slots, topics->capacity);
    *topics = (struct ae_topics){.allocator = topics->allocator};
}
