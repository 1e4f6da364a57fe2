/* Bytes that drive a trie beside a list of the same patterns: both have and find the same, whatever allocations fail. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "aether/aether.h"
#include "base/check.h"
#include "bus/trie.h"
#include "common/unit_matcher.h"
#include "common/unit_memory.h"

enum { PATTERNS = 64, TEXT_SIZE = 256, TOKENS_MOST = 8 };

struct entry {
    char text[TEXT_SIZE];
    bool in, due;
};

static struct entry entries[PATTERNS];
static size_t due;

/* Tokens of all kinds of storage: in the node, on its border, outside. The wildcards are the last two. */
static const char *const WORDS[] = {
    "a", "b", "c", "sixteen-bytes-ab", "seventeen-bytes-a", "longer-than-what-a-leaf-has-room-for-xyz", "*", ">"};

/* ------------------------------------------------------------------------------------------------------- the input */

struct input {
    const uint8_t *data;
    size_t size;
};

static unsigned take(struct input *input)
{
    if (input->size == 0)
        return 0;
    input->size--;
    return *input->data++;
}

static void take_text(struct input *input, char *text, bool wildcards)
{
    size_t tokens = 1 + take(input) % TOKENS_MOST / 2, used = 0;
    for (size_t i = 0; i < tokens; i++) {
        unsigned word = take(input) % (wildcards ? 8 : 6);
        if (word == 7 && i + 1 < tokens)
            word = 6;
        used += (size_t)snprintf(text + used, TEXT_SIZE - used, "%s%s", i > 0 ? "." : "", WORDS[word]);
    }
}

static struct ae_subject parse(const char *text)
{
    struct ae_subject pattern;
    bool wild;
    AE_ASSERT(ae_pattern_parse(&pattern, text, strlen(text), &wild, "fuzz") == AETHER_OK);
    return pattern;
}

/* -------------------------------------------------------------------------------------------------------- comparing */

static bool covered(const char *mine, const char *given)
{
    return unit_covers(given, mine);
}

static void expect(bool (*is_related)(const char *mine, const char *given), const char *given)
{
    due = 0;
    for (size_t i = 0; i < PATTERNS; i++)
        due += entries[i].due = entries[i].in && is_related(entries[i].text, given);
}

static bool comes(void *value, void *user)
{
    (void)user;
    struct entry *entry = value;
    AE_ASSERT(entry->due);
    entry->due = false;
    due--;
    return true;
}

static void check_match(const struct ae_trie *trie, struct ae_matches *matches, struct input *input)
{
    char text[TEXT_SIZE];
    take_text(input, text, false);
    struct ae_subject subject = parse(text);
    expect(unit_matches, text);
    if (!ae_trie_match(trie, &subject, matches)) {
        AE_ASSERT(unit_memory().fails > 0);
        return;
    }
    for (size_t i = 0; i < matches->count; i++)
        comes(matches->values[i], NULL);
    AE_ASSERT(due == 0);
}

static void check_walk(const struct ae_trie *trie, struct input *input, enum ae_relation relation)
{
    bool (*const oracles[])(const char *, const char *) = {unit_covers, covered, unit_overlaps};
    char text[TEXT_SIZE];
    take_text(input, text, true);
    expect(oracles[relation], text);
    ae_trie_walk(trie, aether_text_of(text), relation, comes, NULL);
    AE_ASSERT(due == 0);
}

/* ---------------------------------------------------------------------------------------------------------- changing */

static struct entry *entry_with(const char *text)
{
    struct entry *unused = NULL;
    for (size_t i = 0; i < PATTERNS; i++) {
        if (entries[i].in && strcmp(entries[i].text, text) == 0)
            return &entries[i];
        if (!entries[i].in)
            unused = &entries[i];
    }
    return unused;
}

static void insert(struct ae_trie *trie, struct input *input)
{
    char text[TEXT_SIZE];
    take_text(input, text, true);
    struct entry *entry = entry_with(text);
    if (entry == NULL)
        return;
    struct ae_subject pattern = parse(text);
    void **value = ae_trie_insert(trie, &pattern);
    if (value == NULL) {
        AE_ASSERT(unit_memory().fails > 0 && ae_trie_find(trie, &pattern) == (entry->in ? entry : NULL));
        return;
    }
    AE_ASSERT(*value == (entry->in ? entry : NULL));
    *value = entry;
    memcpy(entry->text, text, sizeof text);
    entry->in = true;
}

static void take_out(struct ae_trie *trie, struct input *input)
{
    struct entry *entry = &entries[take(input) % PATTERNS];
    if (!entry->in)
        return;
    struct ae_subject pattern = parse(entry->text);
    AE_ASSERT(ae_trie_find(trie, &pattern) == entry);
    ae_trie_remove(trie, &pattern);
    AE_ASSERT(ae_trie_find(trie, &pattern) == NULL);
    entry->in = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct ae_trie trie;
    struct ae_matches matches;
    memset(entries, 0, sizeof entries);
    unit_memory_forget_fails();
    ae_trie_init(&trie, &unit_allocator);
    ae_matches_init(&matches, &unit_allocator);
    while (input.size > 0) {
        unsigned step = take(&input);
        if (step % 8 == 0)
            unit_memory_fail(step / 8 % 4, step / 32);
        else if (step % 8 < 4)
            insert(&trie, &input);
        else if (step % 8 == 4)
            take_out(&trie, &input);
        else if (step % 8 == 5)
            check_match(&trie, &matches, &input);
        else
            check_walk(&trie, &input, step / 8 % 3);
    }
    ae_trie_check(&trie);
    unit_memory_fail(0, 0);
    ae_trie_destroy(&trie);
    ae_matches_destroy(&matches);
    AE_ASSERT(unit_memory().blocks == 0 && unit_memory().misuses == 0);
    return 0;
}
