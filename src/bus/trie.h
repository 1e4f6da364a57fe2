/*
 * The trie: a value for each pattern, all values whose patterns match a subject, and those in a relation to a pattern.
 *
 *      (root) ┬ "orders" ┬ "eu" (ends) ─ "42" (ends)        orders.eu, orders.eu.42
 *             │          ├ *  ─ "paid.today" (ends)         orders.*.paid.today: a leaf has the rest of its pattern as it is
 *             │          └ (rest)                           orders.>
 *             └ * ┬ "a" ...
 *
 * A node is a token behind its parent; 64 bytes, found by an id that stays. Literal children are found in one open-addressed
 * table for the whole trie, in parts that grow one by one, keyed by a hash of the path from the root, which a walk carries
 * along: what it will look at is known (and fetched) before its parent has come from memory. A pattern that shares no
 * further token with another one is one node, a leaf, whatever it has behind its token; where a second one comes by, the
 * leaf becomes a node with a leaf below, and back when that one goes.
 *
 * Guard of everything: the owner's lock or role, one thread at a time. Nothing waits.
 */
#ifndef AE_TRIE_H
#define AE_TRIE_H

#include "base/allocator.h"
#include "bus/subject.h"

enum { AE_GENERATIONS = 256, AE_TRIE_CHUNKS = 28, AE_TRIE_SHARDS = 256 };

struct ae_trie_node;
struct ae_trie_slot;

/* A part of the table, which grows by itself: no insert moves more than one of them. */
struct ae_trie_shard {
    struct ae_trie_slot *slots; /* NULL, or 1 << (32 - shift) of them, at most 3/4 in use */
    uint32_t shift;
    uint32_t used; /* one for each literal node */
};

struct ae_trie {
    const aether_allocator *allocator;
    struct ae_trie_node *chunks[AE_TRIE_CHUNKS]; /* chunk k has 16 << k nodes; NULL behind the last one */
    uint32_t ids;                                /* handed out so far: 0 is the root's, or there is nothing yet */
    uint32_t free_id;                            /* nodes to use again, linked by `next`; 0: none */
    struct ae_trie_shard shards[AE_TRIE_SHARDS];
    size_t count;                     /* patterns */
    uint64_t wild_change;             /* inserts and removes of patterns that begin with a wildcard */
    uint64_t changes[AE_GENERATIONS]; /* of the others, by first_hash */
};

/* Allocates nothing. `allocator` is borrowed. */
void ae_trie_init(struct ae_trie *trie, const aether_allocator *allocator);

/* The values are the caller's. The trie is empty after that, and can be used again. */
void ae_trie_destroy(struct ae_trie *trie);

/*
 * The address of the pattern's value, valid until the next insert or remove. A NULL in it: the pattern is new, and the
 * caller sets the value, or removes the pattern, before anything else. NULL: no memory, nothing has changed.
 */
AETHER_CHECKED void **ae_trie_insert(struct ae_trie *trie, const struct ae_subject *pattern);

/* The value, or NULL. */
void *ae_trie_find(const struct ae_trie *trie, const struct ae_subject *pattern);

/* Forgets the pattern, if it is there. Never fails. */
void ae_trie_remove(struct ae_trie *trie, const struct ae_subject *pattern);

/*
 * A number that every insert and remove of a pattern changes that may match subjects whose first token has this hash: who
 * keeps the matches of a subject keeps it along, and asks again when it has changed.
 */
static inline uint64_t ae_trie_generation(const struct ae_trie *trie, uint32_t first_hash)
{
    return trie->wild_change + trie->changes[first_hash % AE_GENERATIONS];
}

/* ---------------------------------------------------------------------------------------------------------- matches */

/* An array of values that grows. It must not be moved: `values` may point into it. */
struct ae_matches {
    void **values; /* `own`, or `capacity` values from the allocator */
    size_t count, capacity;
    const aether_allocator *allocator;
    void *own[16];
};

void ae_matches_init(struct ae_matches *matches, const aether_allocator *allocator);
void ae_matches_destroy(struct ae_matches *matches);

/* Makes *matches the values of the patterns that match the subject, each once, in no order. False: no memory. */
AETHER_CHECKED bool ae_trie_match(const struct ae_trie *trie, const struct ae_subject *subject, struct ae_matches *matches);

/* ------------------------------------------------------------------------------------------------------------ walks */

/* What the patterns that are walked over have to do with the given one. */
enum ae_relation {
    AE_COVERS,     /* they cover it */
    AE_COVERED_BY, /* it covers them */
    AE_OVERLAPS    /* a subject is matched by both */
};

/*
 * Calls `each` for the value of every such pattern, in no order, until it returns false. It must not change the trie. The
 * text is a valid pattern.
 */
void ae_trie_walk(const struct ae_trie *trie, aether_text pattern, enum ae_relation relation,
                  bool (*each)(void *value, void *user), void *user);

/* The same for all patterns. */
void ae_trie_each(const struct ae_trie *trie, bool (*each)(void *value, void *user), void *user);

/* Aborts where the trie is not what is said above. For tests. */
void ae_trie_check(const struct ae_trie *trie);

#endif
