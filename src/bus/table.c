#include "bus/table.h"

enum { LEAST = 16 };

static size_t bytes_of(size_t capacity)
{
    return capacity * sizeof(void *);
}

static void free_buckets(const struct ae_table *table)
{
    if (table->buckets != NULL)
        ae_free(table->allocator, table->buckets, bytes_of(table->capacity), _Alignof(struct ae_entry *));
}

uint64_t ae_table_hash(aether_text subject)
{
    return ae_token_hash(subject.data, subject.size, subject.data + subject.size);
}

static struct ae_entry **bucket(const struct ae_table *table, uint64_t hash)
{
    return &table->buckets[hash & (table->capacity - 1)];
}

struct ae_entry *ae_table_find(const struct ae_table *table, aether_text subject, uint64_t hash)
{
    if (table->capacity == 0)
        return NULL;
    for (struct ae_entry *entry = *bucket(table, hash); entry != NULL; entry = entry->next)
        if (entry->hash == hash && ae_text_same(entry->subject, subject))
            return entry;
    return NULL;
}

static void link_in(struct ae_table *table, struct ae_entry *entry)
{
    struct ae_entry **at = bucket(table, entry->hash);
    entry->next = *at;
    *at = entry;
}

static bool grow(struct ae_table *table)
{
    struct ae_table larger = {.allocator = table->allocator, .capacity = table->capacity != 0 ? 2 * table->capacity : LEAST};
    size_t bytes = bytes_of(larger.capacity);
    larger.buckets = ae_alloc(table->allocator, bytes, _Alignof(struct ae_entry *));
    if (larger.buckets == NULL)
        return table->capacity != 0; /* it goes on, with longer chains */
    memset(larger.buckets, 0, bytes);
    larger.count = table->count;
    for (size_t i = 0; i < table->capacity; i++)
        for (struct ae_entry *entry = table->buckets[i], *next; entry != NULL; entry = next) {
            next = entry->next;
            link_in(&larger, entry);
        }
    free_buckets(table);
    *table = larger;
    return true;
}

bool ae_table_add(struct ae_table *table, struct ae_entry *entry)
{
    if (table->count >= table->capacity && !grow(table))
        return false;
    link_in(table, entry);
    table->count++;
    return true;
}

void ae_table_remove(struct ae_table *table, struct ae_entry *entry)
{
    struct ae_entry **at = bucket(table, entry->hash);
    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    table->count--;
}

void ae_table_destroy(struct ae_table *table, void (*release)(struct ae_entry *entry, const aether_allocator *allocator))
{
    for (size_t i = 0; i < table->capacity; i++)
        for (struct ae_entry *entry = table->buckets[i], *next; entry != NULL; entry = next) {
            next = entry->next;
            release(entry, table->allocator);
        }
    free_buckets(table);
    *table = (struct ae_table){.allocator = table->allocator};
}
