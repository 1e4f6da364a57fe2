/* The trie against a plain list of patterns and the oracle. */
#include "common/unit.h"

#include <stdio.h>

#include "base/process.h"
#include "bus/trie.h"
#include "common/unit_matcher.h"

/* A pattern of the list; its address is its value in the trie. */
struct entry {
    const char *text;
    struct ae_subject pattern;
    bool in, due; /* it is in the trie; it is among what comes next */
};

static struct ae_subject parse_pattern(const char *text)
{
    struct ae_subject pattern;
    bool wild;
    expect_ok(ae_pattern_parse(&pattern, text, strlen(text), &wild, "test"));
    return pattern;
}

static struct ae_subject parse_subject(const char *text)
{
    struct ae_subject subject;
    expect_ok(ae_subject_parse(&subject, text, strlen(text), "test"));
    return subject;
}

static bool insert(struct ae_trie *trie, struct entry *entry)
{
    void **value = ae_trie_insert(trie, &entry->pattern);
    if (value == NULL)
        return false;
    cr_assert((*value == NULL) != entry->in && (*value == NULL || *value == entry), "%s", entry->text);
    *value = entry;
    entry->in = true;
    return true;
}

static void take_out(struct ae_trie *trie, struct entry *entry)
{
    ae_trie_remove(trie, &entry->pattern);
    entry->in = false;
}

/* --------------------------------------------------------------------------------------- what comes, and what is due */

struct list {
    struct entry *entries;
    size_t count, due;
};

static struct list list_of(char **texts)
{
    struct list list = {0};
    while (texts[list.count] != NULL)
        list.count++;
    list.entries = unit_keep(list.count * sizeof *list.entries);
    for (size_t i = 0; i < list.count; i++)
        list.entries[i] = (struct entry){.text = texts[i], .pattern = parse_pattern(texts[i])};
    return list;
}

static void expect_due(struct list *list, bool (*is_related)(const char *mine, const char *given), const char *given)
{
    list->due = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct entry *entry = &list->entries[i];
        entry->due = entry->in && is_related(entry->text, given);
        list->due += entry->due;
    }
}

static bool comes(void *value, void *user)
{
    struct list *list = user;
    struct entry *entry = value;
    cr_assert(entry->due, "%s came", entry->text);
    entry->due = false;
    list->due--;
    return true;
}

static bool is_covered(const char *mine, const char *given)
{
    return unit_covers(given, mine);
}

static bool is_any(const char *mine, const char *given)
{
    (void)mine, (void)given;
    return true;
}

static void expect_match(const struct ae_trie *trie, struct list *list, const char *text, struct ae_matches *matches)
{
    struct ae_subject subject = parse_subject(text);
    expect_due(list, unit_matches, text);
    cr_assert(ae_trie_match(trie, &subject, matches));
    for (size_t i = 0; i < matches->count; i++)
        comes(matches->values[i], list);
    cr_assert(list->due == 0, "%s: %zu did not come", text, list->due);
}

static void expect_walks(const struct ae_trie *trie, struct list *list, const char *text)
{
    bool (*const oracles[])(const char *, const char *) = {unit_covers, is_covered, unit_overlaps};
    for (int relation = AE_COVERS; relation <= AE_OVERLAPS; relation++) {
        expect_due(list, oracles[relation], text);
        ae_trie_walk(trie, aether_text_of(text), relation, comes, list);
        cr_assert(list->due == 0, "%s, relation %d: %zu did not come", text, relation, list->due);
    }
}

static void expect_each(const struct ae_trie *trie, struct list *list)
{
    expect_due(list, is_any, NULL);
    cr_assert(list->due == trie->count);
    ae_trie_each(trie, comes, list);
    cr_assert(list->due == 0);
    for (size_t i = 0; i < list->count; i++)
        cr_assert(ae_trie_find(trie, &list->entries[i].pattern) == (list->entries[i].in ? &list->entries[i] : NULL));
}

/* ------------------------------------------------------------------------------------------------------------ tests */

TEST(bus_trie, an_empty_trie_answers_nothing_and_takes_no_memory)
{
    struct ae_trie trie;
    struct ae_matches matches;
    struct ae_subject subject = parse_subject("a.b");
    ae_trie_init(&trie, &unit_allocator);
    ae_matches_init(&matches, &unit_allocator);
    cr_assert(ae_trie_match(&trie, &subject, &matches));
    expect_number(0, matches.count);
    cr_assert(ae_trie_find(&trie, &subject) == NULL);
    ae_trie_remove(&trie, &subject);
    ae_trie_walk(&trie, AETHER_TEXT(">"), AE_OVERLAPS, comes, NULL);
    ae_trie_each(&trie, comes, NULL);
    ae_trie_check(&trie);
    ae_trie_destroy(&trie);
    ae_matches_destroy(&matches);
    expect_number(0, unit_memory().allocs);
}

TEST(bus_trie, all_short_patterns_are_found_by_all_short_subjects)
{
    struct list list = list_of(unit_all_texts("ab*>", 4, unit_is_pattern));
    char **subjects = unit_all_texts("abc", 5, unit_is_subject);
    struct ae_trie trie;
    struct ae_matches matches;
    ae_trie_init(&trie, &unit_allocator);
    ae_matches_init(&matches, &unit_allocator);
    for (size_t i = 0; i < list.count; i++)
        cr_assert(insert(&trie, &list.entries[i]));
    ae_trie_check(&trie);
    expect_each(&trie, &list);
    for (char **subject = subjects; *subject != NULL; subject++)
        expect_match(&trie, &list, *subject, &matches);
    for (size_t i = 0; i < list.count; i++)
        expect_walks(&trie, &list, list.entries[i].text);
    ae_trie_destroy(&trie);
    ae_matches_destroy(&matches);
}

/* That are found by their token. */
static size_t nodes_of(const struct ae_trie *trie)
{
    size_t nodes = 0;
    for (size_t i = 0; i < AE_TRIE_SHARDS; i++)
        nodes += trie->shards[i].used;
    return nodes;
}

/* Of all sets of one and two patterns, so that every leaf is opened and closed by every other pattern. */
TEST(bus_trie, all_pairs_of_short_patterns_are_found_and_go_again)
{
    struct list all = list_of(unit_all_texts("ab*>", 3, unit_is_pattern));
    char **subjects = unit_all_texts("abc", 4, unit_is_subject);
    struct ae_matches matches;
    ae_matches_init(&matches, &unit_allocator);
    for (size_t i = 0; i < all.count; i++)
        for (size_t j = 0; j < all.count; j++) {
            struct ae_trie trie;
            struct list pair = {(struct entry[]){all.entries[i], all.entries[j]}, i == j ? 1 : 2, 0};
            ae_trie_init(&trie, &unit_allocator);
            for (size_t k = 0; k < pair.count; k++)
                cr_assert(insert(&trie, &pair.entries[k]));
            ae_trie_check(&trie);
            expect_each(&trie, &pair);
            for (char **subject = subjects; *subject != NULL; subject++)
                expect_match(&trie, &pair, *subject, &matches);
            expect_walks(&trie, &pair, all.entries[(i + j) % all.count].text);
            take_out(&trie, &pair.entries[0]);
            ae_trie_check(&trie);
            expect_each(&trie, &pair);
            cr_assert(nodes_of(&trie) <= 1); /* one pattern is one node again */
            ae_trie_destroy(&trie);
        }
    ae_matches_destroy(&matches);
}

/* ------------------------------------------------------------------------------------------------- random, with churn */

static uint64_t state;

static uint64_t draw(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
}

/* Short tokens, one that fills its room in a node, longer ones, one that begins like another. */
static const char *const WORDS[] = {"a",
                                    "b",
                                    "c",
                                    "orders",
                                    "sixteen-bytes-ab",
                                    "seventeen-bytes-a",
                                    "seventeen-bytes-b",
                                    "a-token-that-is-longer-than-all-the-room-that-a-leaf-has-in-its-node",
                                    "ordersx",
                                    "1",
                                    "2"};

static char *random_text(size_t wild_percent)
{
    char text[AETHER_SUBJECT_MAX + 1];
    size_t used = 0, tokens = 1 + draw(6), words = draw(2) == 0 ? 3 : sizeof WORDS / sizeof *WORDS;
    for (size_t i = 0; i < tokens; i++) {
        bool wild = draw(100) < wild_percent, last = i + 1 == tokens;
        const char *word = !wild ? WORDS[draw(words)] : last && draw(2) == 0 ? ">" : "*";
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i > 0 ? "." : "", word);
    }
    return unit_keep_text(text);
}

static struct list random_list(size_t count)
{
    char **texts = unit_keep((count + 1) * sizeof *texts);
    for (size_t i = 0; i < count;) {
        texts[i] = random_text(30);
        bool is_new = true;
        for (size_t before = 0; before < i && is_new; before++)
            is_new = strcmp(texts[before], texts[i]) != 0;
        i += is_new;
    }
    return list_of(texts);
}

static void change(struct ae_trie *trie, struct entry *entry, bool may_fail)
{
    if (entry->in) {
        take_out(trie, entry);
        return;
    }
    if (may_fail && draw(3) == 0)
        unit_memory_fail(draw(4), 1 + draw(3));
    size_t count = trie->count;
    uint64_t generation = ae_trie_generation(trie, entry->pattern.first_hash);
    if (!insert(trie, entry)) {
        cr_assert(may_fail && trie->count == count);
        expect_number(generation, ae_trie_generation(trie, entry->pattern.first_hash));
        cr_assert(ae_trie_find(trie, &entry->pattern) == NULL);
    }
    unit_memory_fail(0, 0);
}

static void churn(uint64_t seed, bool may_fail)
{
    enum { PATTERNS = 1500, CHANGES = 20000 };
    state = seed;
    struct list list = random_list(PATTERNS);
    struct ae_trie trie;
    struct ae_matches matches;
    ae_trie_init(&trie, &unit_allocator);
    ae_matches_init(&matches, &unit_allocator);
    for (size_t i = 0; i < CHANGES; i++) {
        size_t most = i / 4000 % 2 == 0 ? PATTERNS : 20; /* many, then few of them */
        change(&trie, &list.entries[most == 20 && draw(3) != 0 ? i % PATTERNS : draw(most)], may_fail);
        if (i % 16 == 0) {
            expect_match(&trie, &list, random_text(0), &matches);
            expect_walks(&trie, &list, random_text(30));
        }
        if (i % 256 == 0) {
            ae_trie_check(&trie);
            expect_each(&trie, &list);
        }
    }
    for (size_t i = 0; i < list.count; i++)
        if (list.entries[i].in)
            take_out(&trie, &list.entries[i]);
    ae_trie_check(&trie);
    expect_number(0, trie.count);
    ae_trie_destroy(&trie);
    ae_matches_destroy(&matches);
}

TEST(bus_trie, patterns_that_come_and_go_are_always_what_matches)
{
    churn(0x9e3779b97f4a7c15, false);
}

TEST(bus_trie, without_memory_nothing_changes)
{
    churn(0x2545f4914f6cdd1d, true);
}

/* Insert number `n` of a set fails at each of its allocations in turn, and succeeds in the end. */
TEST(bus_trie, every_single_allocation_may_fail)
{
    state = 42;
    struct list list = random_list(300);
    struct ae_trie trie;
    ae_trie_init(&trie, &unit_allocator);
    for (size_t i = 0; i < list.count; i++)
        for (uint64_t skip = 0;; skip++) {
            unit_memory_fail(skip, 1);
            bool done = insert(&trie, &list.entries[i]);
            unit_memory_fail(0, 0);
            ae_trie_check(&trie);
            if (done)
                break;
            cr_assert(ae_trie_find(&trie, &list.entries[i].pattern) == NULL && trie.count == i);
        }
    expect_each(&trie, &list);
    for (size_t i = 0; i < list.count; i++) {
        unit_memory_fail(0, UINT64_MAX);
        take_out(&trie, &list.entries[i]);
        unit_memory_fail(0, 0);
        ae_trie_check(&trie);
        if (i % 16 == 0)
            expect_each(&trie, &list);
    }
    ae_trie_destroy(&trie);
}

TEST(bus_trie, more_matches_than_there_is_room_for_grow_or_fail)
{
    enum { TOKENS = 6, PATTERNS = 64 };
    struct ae_trie trie;
    struct ae_matches matches;
    ae_trie_init(&trie, &unit_allocator);
    ae_matches_init(&matches, &unit_allocator);
    for (size_t i = 0; i < PATTERNS; i++) {
        char text[2 * TOKENS + 1];
        for (size_t token = 0; token < TOKENS; token++)
            snprintf(text + 2 * token, 3, "%s.", i >> token & 1 ? "*" : "a");
        text[2 * TOKENS - 1] = '\0';
        struct ae_subject pattern = parse_pattern(text);
        *ae_trie_insert(&trie, &pattern) = &trie;
    }
    struct ae_subject subject = parse_subject("a.a.a.a.a.a");
    unit_memory_fail(0, 1);
    cr_assert(!ae_trie_match(&trie, &subject, &matches));
    unit_memory_fail(1, 1);
    cr_assert(!ae_trie_match(&trie, &subject, &matches));
    cr_assert(ae_trie_match(&trie, &subject, &matches));
    expect_number(PATTERNS, matches.count);
    ae_trie_destroy(&trie);
    ae_matches_destroy(&matches);
}

TEST(bus_trie, the_deepest_patterns_are_matched)
{
    enum { SIZE = 2 * AETHER_TOKENS_MAX };
    char texts[3][SIZE + 1];
    for (size_t token = 0; token < AETHER_TOKENS_MAX; token++) {
        snprintf(texts[0] + 2 * token, 3, "a.");
        snprintf(texts[1] + 2 * token, 3, "*.");
        snprintf(texts[2] + 2 * token, 3, "%s.", token % 2 ? "a" : "*");
    }
    char *all[AETHER_TOKENS_MAX + 4] = {NULL};
    for (size_t i = 0; i < 3; i++) {
        texts[i][SIZE - 1] = '\0';
        all[i] = texts[i];
    }
    for (size_t i = 0; i < AETHER_TOKENS_MAX; i++) { /* one star at every depth, so that as many steps are left as can be */
        all[3 + i] = unit_keep_text(texts[0]);
        all[3 + i][2 * i] = '*';
    }
    struct list list = list_of(all);
    struct ae_trie trie;
    struct ae_matches matches;
    ae_trie_init(&trie, &unit_allocator);
    ae_matches_init(&matches, &unit_allocator);
    for (size_t i = 0; i < list.count; i++)
        cr_assert(insert(&trie, &list.entries[i]));
    expect_match(&trie, &list, texts[0], &matches);
    expect_number(AETHER_TOKENS_MAX + 3, matches.count);
    for (size_t i = 0; i < list.count; i++)
        expect_walks(&trie, &list, list.entries[i].text);
    for (size_t i = 0; i < list.count; i++)
        take_out(&trie, &list.entries[i]);
    ae_trie_destroy(&trie);
    ae_matches_destroy(&matches);
}

static bool stop_at_3(void *value, void *user)
{
    (void)value;
    return ++*(size_t *)user < 3;
}

TEST(bus_trie, a_walk_stops_where_each_says_so)
{
    struct list list = list_of(unit_all_texts("ab*>", 3, unit_is_pattern));
    struct ae_trie trie;
    ae_trie_init(&trie, &unit_allocator);
    for (size_t i = 0; i < list.count; i++)
        cr_assert(insert(&trie, &list.entries[i]));
    const char *const given[] = {"a.b.a", ">", "a.b.a"};
    for (int relation = AE_COVERS; relation <= AE_OVERLAPS; relation++) {
        size_t seen = 0;
        ae_trie_walk(&trie, aether_text_of(given[relation]), relation, stop_at_3, &seen);
        expect_number(3, seen);
    }
    size_t seen = 0;
    ae_trie_each(&trie, stop_at_3, &seen);
    expect_number(3, seen);
    ae_trie_destroy(&trie);
}

/* -------------------------------------------------------------------------------------------------------- collisions */

/* With this seed all tokens that begin with eight a, up to 16 bytes long, have the hash 0. */
TEST(bus_trie, tokens_with_the_same_hash_are_told_apart_by_their_bytes)
{
    ae_process_seed = UINT64_C(0xe7037ed1a0b428db) ^ UINT64_C(0x6161616161616161);
    static const char same[] = "aaaaaaaab.aaaaaaaac";
    cr_assert(ae_token_hash(same, 9, same + 19) == ae_token_hash(same + 10, 9, same + 19),
              "the hash has changed: find a seed");
    static const char *const all[] = {"aaaaaaaa.x",        "aaaaaaaab.x",    "aaaaaaaab.y",    "aaaaaaaac.x",
                                      "aaaaaaaac.*",       "aaaaaaaabcde.x", "aaaaaaaabcdf.x", "aaaaaaaabcdf.>",
                                      "aaaaaaaa.aaaaaaaa", "aaaaaaaac"};
    char *texts[sizeof all / sizeof *all + 1] = {NULL};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        texts[i] = unit_keep_text(all[i]);
    struct list list = list_of(texts);
    struct ae_trie trie;
    struct ae_matches matches;
    ae_trie_init(&trie, &unit_allocator);
    ae_matches_init(&matches, &unit_allocator);
    for (size_t i = 0; i < list.count; i++)
        cr_assert(insert(&trie, &list.entries[i]));
    for (size_t i = 0; i < list.count; i++) {
        ae_trie_check(&trie);
        expect_each(&trie, &list);
        expect_match(&trie, &list, "aaaaaaaab.x", &matches);
        expect_match(&trie, &list, "aaaaaaaac.x", &matches);
        expect_match(&trie, &list, "aaaaaaaad.x", &matches);
        expect_match(&trie, &list, "aaaaaaaabcdf.x", &matches);
        take_out(&trie, &list.entries[i]);
    }
    ae_trie_destroy(&trie);
    ae_matches_destroy(&matches);
}

/* So many paths that some have the same tag behind different parents, with the same token at their end. */
TEST(bus_trie, nodes_with_the_same_tag_are_told_apart_by_their_parents)
{
    size_t parents = unit_is_in_valgrind() ? 1000 : 150000;
    ae_process_seed = 1;
    struct ae_trie trie;
    ae_trie_init(&trie, &ae_default_allocator);
    for (int look = 0; look < 2; look++)
        for (size_t i = 0; i < 2 * parents; i++) {
            char text[32];
            snprintf(text, sizeof text, "p%zu.%c", i / 2, i % 2 == 0 ? 'x' : 'y');
            struct ae_subject pattern = parse_pattern(text);
            void **value = ae_trie_insert(&trie, &pattern), *wanted = look == 0 ? NULL : (void *)(i + 1);
            cr_assert(value != NULL && *value == wanted, "%s", text);
            *value = (void *)(i + 1);
        }
    ae_trie_check(&trie);
    ae_trie_destroy(&trie);
}

/* ------------------------------------------------------------------------------------------------------- generations */

TEST(bus_trie, a_change_raises_the_generation_of_what_it_may_match)
{
    struct ae_trie trie;
    ae_trie_init(&trie, &unit_allocator);
    uint32_t a = parse_subject("a").first_hash, other = a + 1;
    struct entry literal = {.text = "a.b", .pattern = parse_pattern("a.b")};
    struct entry wild = {.text = "*.b", .pattern = parse_pattern("*.b")};
    uint64_t of_a = ae_trie_generation(&trie, a), of_other = ae_trie_generation(&trie, other);

    cr_assert(insert(&trie, &literal));
    cr_assert(ae_trie_generation(&trie, a) != of_a);
    expect_number(of_other, ae_trie_generation(&trie, other));

    of_a = ae_trie_generation(&trie, a);
    cr_assert(insert(&trie, &literal)); /* it is there: nothing changes */
    expect_number(of_a, ae_trie_generation(&trie, a));

    cr_assert(insert(&trie, &wild));
    cr_assert(ae_trie_generation(&trie, a) != of_a && ae_trie_generation(&trie, other) != of_other);

    of_a = ae_trie_generation(&trie, a);
    take_out(&trie, &literal);
    cr_assert(ae_trie_generation(&trie, a) != of_a);
    of_a = ae_trie_generation(&trie, a);
    take_out(&trie, &literal); /* it is gone: nothing changes */
    expect_number(of_a, ae_trie_generation(&trie, a));
    take_out(&trie, &wild);
    cr_assert(ae_trie_generation(&trie, a) != of_a);
    ae_trie_destroy(&trie);
}

/* Nearly no memory is kept when the patterns are gone, and little for each while they are there. */
TEST(bus_trie, a_pattern_takes_less_than_300_bytes_and_gives_them_back)
{
    enum { PATTERNS = 20000 };
    static struct ae_subject patterns[PATTERNS];
    struct ae_trie trie;
    ae_trie_init(&trie, &unit_allocator);
    for (size_t i = 0; i < PATTERNS; i++) {
        char *text = unit_keep(64);
        snprintf(text, 64, "tenant-%zu.orders.%zu.%s.paid", i % 97, i, i % 7 == 0 ? "*" : "eu");
        patterns[i] = parse_pattern(text);
        *ae_trie_insert(&trie, &patterns[i]) = &trie;
        if (i > 1000)
            cr_assert(unit_memory().bytes < 300 * i, "%" PRIu64 " bytes for %zu patterns", unit_memory().bytes, i);
    }
    for (size_t i = 0; i < PATTERNS; i++)
        ae_trie_remove(&trie, &patterns[i]);
    expect_within(0, 1024, unit_memory().bytes);
    ae_trie_destroy(&trie);
}
