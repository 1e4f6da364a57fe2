/*
 * What does it cost to find the patterns that match a subject, among --patterns of them?
 *
 * `match_ns` parses a subject and asks the trie, a subject after the other of many more than caches hold. `cached_ns` is
 * what a publisher pays who has a topic for each of its 512 subjects: parse, find the topic by its hash, compare its text,
 * and see by the generation that its matches still hold. `churn_ns` is one such publish and one pattern that comes or goes,
 * in turn, so that caches of the same first token are of no use. `insert_ns` is a pattern parsed and inserted,
 * `pattern_bytes` what it then takes of the allocator.
 *
 * With --write FILE the set is written there for the peer (bench/pattern_set.h), and nothing is measured.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/process.h"
#include "bus/trie.h"
#include "common.h"
#include "pattern_set.h"

enum { TOPICS = 512, TABLE = 1024, SUBJECTS = 65536 };

static int64_t patterns = 10000, subjects = SUBJECTS, run_ms = 200;
static const char *path = "";

static struct pattern_set set;
static struct ae_trie trie;
static struct ae_matches matches;
static aether_text *subject_texts;
static uint64_t lost; /* subjects that no pattern matched */

/* ---------------------------------------------------------------------------------------------------------- memory */

static uint64_t allocated; /* bytes */

static void *count_and_alloc(size_t size, size_t align, void *user)
{
    (void)user;
    allocated += size;
    return ae_alloc(&ae_default_allocator, size, align);
}

static void count_and_free(void *memory, size_t size, size_t align, void *user)
{
    (void)user;
    allocated -= size;
    ae_free(&ae_default_allocator, memory, size, align);
}

static const aether_allocator counting = {count_and_alloc, count_and_free, NULL};

/* --------------------------------------------------------------------------------------------------------- the trie */

static struct ae_subject pattern_of(size_t number)
{
    struct ae_subject pattern;
    bool wild;
    bench_ok(ae_pattern_parse(&pattern, set.patterns[number], strlen(set.patterns[number]), &wild, "match"), "a pattern");
    return pattern;
}

static inline void parse(struct ae_subject *subject, size_t number)
{
    aether_text text = subject_texts[number];
    bench_ok(ae_subject_parse(subject, text.data, text.size, "match"), "a subject");
}

static void insert(size_t number)
{
    struct ae_subject pattern = pattern_of(number);
    void **value = ae_trie_insert(&trie, &pattern);
    if (value == NULL || *value != NULL)
        bench_fail("pattern %zu cannot be inserted", number);
    *value = set.patterns[number];
}

static void take_out(size_t number)
{
    struct ae_subject pattern = pattern_of(number);
    ae_trie_remove(&trie, &pattern);
}

static size_t match(size_t number)
{
    struct ae_subject subject;
    parse(&subject, number);
    if (!ae_trie_match(&trie, &subject, &matches))
        bench_fail("no memory for the matches");
    lost += matches.count == 0;
    return matches.count;
}

/* ------------------------------------------------------------------------------------------------------------ topics */

/* Stands in for what a bus keeps for each subject; the text is its own. */
struct topic {
    uint64_t generation; /* of the matches */
    size_t count;        /* of them */
    size_t size;
    char text[72];
    struct ae_matches matches;
};

static struct {
    uint64_t hash;
    struct topic *topic; /* NULL: unused */
} topics[TABLE];

static struct topic *new_topic(const struct ae_subject *subject)
{
    struct topic *topic = bench_memory(1, sizeof *topic);
    if (subject->text.size > sizeof topic->text)
        bench_fail("a subject is too long");
    topic->generation = UINT64_MAX;
    topic->size = subject->text.size;
    memcpy(topic->text, subject->text.data, topic->size);
    ae_matches_init(&topic->matches, &counting);
    return topic;
}

static struct topic *topic_of(const struct ae_subject *subject)
{
    size_t at = subject->hash % TABLE;
    for (; topics[at].topic != NULL; at = (at + 1) % TABLE) {
        struct topic *topic = topics[at].topic;
        if (topics[at].hash == subject->hash && ae_text_same(aether_bytes(topic->text, topic->size), subject->text))
            return topic;
    }
    topics[at].hash = subject->hash;
    return topics[at].topic = new_topic(subject);
}

static size_t match_cached(size_t number)
{
    struct ae_subject subject;
    parse(&subject, number);
    struct topic *topic = topic_of(&subject);
    uint64_t generation = ae_trie_generation(&trie, subject.first_hash);
    if (topic->generation != generation) {
        if (!ae_trie_match(&trie, &subject, &topic->matches))
            bench_fail("no memory for the matches");
        topic->count = topic->matches.count;
        topic->generation = generation;
    }
    return topic->count;
}

/* A pattern goes and comes again with the next call but one. */
static size_t churn(size_t number)
{
    static size_t changes;
    size_t pattern = changes / 2 * 7919 % set.pattern_count;
    if (changes++ % 2 == 0)
        take_out(pattern);
    else
        insert(pattern);
    return match_cached(number % TOPICS);
}

/* ---------------------------------------------------------------------------------------------------------- measuring */

static double insert_ns(void)
{
    uint64_t begin_ns = bench_now_ns();
    for (size_t i = 0; i < set.pattern_count; i++)
        insert(i);
    return (double)(bench_now_ns() - begin_ns) / (double)set.pattern_count;
}

/* Nanoseconds for a call of `one`, over and over with `count` subjects. */
static double time_of(size_t (*one)(size_t number), size_t count)
{
    for (size_t i = 0; i < count; i++)
        (void)one(i);
    uint64_t calls = 0, begin_ns = bench_now_ns(), now_ns = begin_ns;
    while (now_ns - begin_ns < (uint64_t)run_ms * 1000000) {
        for (size_t i = 0; i < count; i++)
            (void)one(i);
        calls += count;
        now_ns = bench_now_ns();
    }
    return (double)(now_ns - begin_ns) / (double)calls;
}

static double mean_matches(void)
{
    size_t sum = 0;
    for (size_t i = 0; i < set.subject_count; i++)
        sum += match(i);
    return (double)sum / (double)set.subject_count;
}

static void measure(void)
{
    double insert_time_ns = insert_ns();
    double pattern_bytes = (double)allocated / (double)set.pattern_count;
    double match_ns = time_of(match, set.subject_count);
    double cached_ns = time_of(match_cached, TOPICS);
    double mean = mean_matches();
    double churn_ns = time_of(churn, set.subject_count);
    bench_begin("match");
    bench_count("patterns", set.pattern_count);
    bench_count("subjects", set.subject_count);
    bench_measured();
    bench_real("match_ns", match_ns);
    bench_real("cached_ns", cached_ns);
    bench_real("churn_ns", churn_ns);
    bench_real("insert_ns", insert_time_ns);
    bench_real("pattern_bytes", pattern_bytes);
    bench_real("matches", mean);
    bench_count("lost", lost);
    bench_end();
}

int main(int argc, char **argv)
{
    const struct bench_option options[] = {
        {.name = "patterns", .number = &patterns, .help = "how many patterns"},
        {.name = "subjects", .number = &subjects, .help = "how many subjects, at least 512"},
        {.name = "run-ms", .number = &run_ms, .help = "how long each figure is measured"},
        {.name = "write", .text = &path, .help = "write the set to this file and measure nothing"},
        {.name = NULL},
    };
    bench_options(argc, argv, "what does it cost to find the patterns that match a subject?", options);
    if (bench_smoke) {
        patterns = 1000;
        subjects = TOPICS;
        run_ms = 1;
    }
    if (patterns < 1 || subjects < TOPICS)
        bench_fail("--patterns: at least 1, --subjects: at least %d", TOPICS);
    set = pattern_set_make((size_t)patterns, (size_t)subjects);
    if (path[0] != '\0') {
        pattern_set_write(&set, path);
        return 0;
    }
    subject_texts = bench_memory(set.subject_count, sizeof *subject_texts);
    for (size_t i = 0; i < set.subject_count; i++)
        subject_texts[i] = aether_text_of(set.subjects[i]);
    bench_ok(ae_process_prepare(), "ae_process_prepare");
    ae_trie_init(&trie, &counting);
    ae_matches_init(&matches, &counting);
    bench_pin(0);
    measure();
    return lost == 0 ? 0 : 1;
}
