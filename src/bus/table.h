/* A hash table of entries by subject: what a snapshot knows of each, what conflation keeps of each. One thread at a time. */
#ifndef AE_TABLE_H
#define AE_TABLE_H

#include "base/allocator.h"
#include "bus/subject.h"

/* Stands at the head of an entry, which is the caller's. */
struct ae_entry {
    struct ae_entry *next;
    uint64_t hash;
    aether_text subject; /* lives as long as the entry */
};

struct ae_table {
    const aether_allocator *allocator;
    struct ae_entry **buckets; /* NULL, or a power of two of them */
    size_t capacity, count;
};

static inline void ae_table_init(struct ae_table *table, const aether_allocator *allocator)
{
    *table = (struct ae_table){.allocator = allocator};
}

uint64_t ae_table_hash(aether_text subject);
struct ae_entry *ae_table_find(const struct ae_table *table, aether_text subject, uint64_t hash);

/* Adds an entry with its hash and subject; there is none of that subject. False: no memory. */
bool ae_table_add(struct ae_table *table, struct ae_entry *entry);

/* Takes out an entry that is there. */
void ae_table_remove(struct ae_table *table, struct ae_entry *entry);

/* Frees the table, and each entry by `release`. */
void ae_table_destroy(struct ae_table *table, void (*release)(struct ae_entry *entry, const aether_allocator *allocator));

#endif
