/* Subjects and patterns: what they may be, and what they have to do with each other. */
#include "common/unit.h"

#include <stdio.h>

#include "base/process.h"
#include "bus/subject.h"
#include "common/unit_matcher.h"

static struct ae_subject parse(const char *text)
{
    struct ae_subject subject;
    expect_ok(ae_subject_parse(&subject, text, strlen(text), "parse"));
    return subject;
}

static struct ae_subject parse_pattern(const char *text)
{
    struct ae_subject pattern;
    bool wild;
    expect_ok(ae_pattern_parse(&pattern, text, strlen(text), &wild, "parse"));
    cr_assert(wild == (strpbrk(text, "*>") != NULL), "%s", text);
    return pattern;
}

/* ------------------------------------------------------------------------------------------------- what is a subject */

TEST(bus_subject, tokens_between_dots_are_a_subject)
{
    expect_ok(aether_subject_check("a"));
    expect_ok(aether_subject_check("orders.eu.42"));
    expect_ok(aether_subject_check("\xff.\xc3\xa4.$SYS._-!\"#%&'()+,/:;<=?@[\\]^`{|}~"));
}

TEST(bus_subject, a_pattern_may_have_wildcards_as_whole_tokens)
{
    expect_ok(aether_pattern_check("orders.eu"));
    expect_ok(aether_pattern_check("*"));
    expect_ok(aether_pattern_check(">"));
    expect_ok(aether_pattern_check("*.a.*.>"));
}

TEST(bus_subject, what_is_no_subject_is_refused_with_reason_and_place)
{
    expect_refused(AETHER_INVALID, "aether_subject_check: the text is NULL", aether_subject_check(NULL));
    expect_refused(AETHER_INVALID, "aether_subject_check: empty token at byte 0", aether_subject_check(""));
    expect_refused(AETHER_INVALID, "empty token at byte 0", aether_subject_check(".a"));
    expect_refused(AETHER_INVALID, "empty token at byte 2", aether_subject_check("a."));
    expect_refused(AETHER_INVALID, "empty token at byte 8", aether_subject_check("abcdefg..h"));
    expect_refused(AETHER_INVALID, "blank or control character at byte 3", aether_subject_check("a.b c"));
    expect_refused(AETHER_INVALID, "blank or control character at byte 9", aether_subject_check("a.b.c.d.e\x7f"));
    expect_refused(AETHER_INVALID, "at byte 2", aether_subject_check("a.*"));
    expect_refused(AETHER_INVALID, "wildcard", aether_subject_check("a.b>"));
}

TEST(bus_subject, what_is_no_pattern_is_refused_with_reason_and_place)
{
    expect_refused(AETHER_INVALID, "aether_pattern_check: the text is NULL", aether_pattern_check(NULL));
    expect_refused(AETHER_INVALID, "aether_pattern_check: empty token at byte 0", aether_pattern_check(""));
    expect_refused(AETHER_INVALID, "wildcard inside a token at byte 3", aether_pattern_check("a.b*"));
    expect_refused(AETHER_INVALID, "wildcard inside a token at byte 0", aether_pattern_check("**"));
    expect_refused(AETHER_INVALID, "token behind '>' at byte 4", aether_pattern_check("a.>.b"));
    expect_refused(AETHER_INVALID, "token behind '>' at byte 2", aether_pattern_check(">."));
}

TEST(bus_subject, the_limits_are_1024_bytes_and_64_tokens)
{
    char text[AETHER_SUBJECT_MAX + 2];
    memset(text, 'a', sizeof text);
    text[AETHER_SUBJECT_MAX] = '\0';
    expect_ok(aether_subject_check(text));
    expect_number(1, parse(text).tokens);
    text[AETHER_SUBJECT_MAX] = 'a';
    text[AETHER_SUBJECT_MAX + 1] = '\0';
    expect_refused(AETHER_INVALID, "more than 1024 bytes at byte 1024", aether_subject_check(text));
    expect_refused(AETHER_INVALID, "more than 1024 bytes at byte 1024", aether_pattern_check(text));

    for (size_t i = 1; i < 129; i += 2)
        text[i] = '.';
    text[2 * AETHER_TOKENS_MAX - 1] = '\0';
    expect_ok(aether_subject_check(text));
    expect_number(AETHER_TOKENS_MAX, parse(text).tokens);
    text[2 * AETHER_TOKENS_MAX - 1] = '.';
    text[2 * AETHER_TOKENS_MAX + 1] = '\0';
    expect_refused(AETHER_INVALID, "more than 64 tokens at byte 128", aether_subject_check(text));
    expect_refused(AETHER_INVALID, "more than 64 tokens at byte 128", aether_pattern_check(text));
}

/* Of short texts all bytes; of longer ones those around what is refused. */
static bool is_tried(size_t size, int byte)
{
    return size <= 9 || byte <= 1 || byte >= 0xfe || strchr("\x1f !)*+-./=>?~\x7f\x80\x81", byte) != NULL;
}

/* Bytes at every place of texts of every length around the blocks in which they are read, beside one dot at every place. */
TEST(bus_subject, parsing_finds_what_checking_byte_by_byte_finds)
{
    enum { MOST = 53 };
    for (size_t size = 0; size <= MOST; size++)
        for (size_t place = 0; place < size; place++)
            for (int byte = 0; byte < 256; byte++)
                for (size_t dot = 0; dot <= size && is_tried(size, byte); dot++) {
                    char text[MOST], *exact = text + MOST - size; /* the sanitizer sees a look behind the end */
                    memset(text, 'a', sizeof text);
                    if (dot < size)
                        exact[dot] = '.';
                    exact[place] = (char)byte;
                    struct ae_subject subject, pattern;
                    bool wild, good = unit_is_subject(exact, size), fine = unit_is_pattern(exact, size);
                    cr_assert(good == (ae_subject_parse(&subject, exact, size, "parse") == AETHER_OK));
                    cr_assert(fine == (ae_pattern_parse(&pattern, exact, size, &wild, "parse") == AETHER_OK));
                    if (good)
                        cr_assert(subject.tokens == pattern.tokens && subject.hash == pattern.hash);
                }
}

TEST(bus_subject, a_refusal_begins_with_the_call)
{
    struct ae_subject subject;
    bool wild;
    expect_refused(AETHER_INVALID, "publish: empty token at byte 2", ae_subject_parse(&subject, "a..b", 4, "publish"));
    expect_refused(AETHER_INVALID, "publish: empty token at byte 0", ae_subject_parse(&subject, NULL, 0, "publish"));
    expect_refused(AETHER_INVALID, "subscribe: empty token at byte 0",
                   ae_pattern_parse(&subject, NULL, 0, &wild, "subscribe"));
    expect_refused(AETHER_INVALID, "publish: blank", ae_subject_parse(&subject, "a\0b", 3, "publish"));
}

/* ----------------------------------------------------------------------------------------------------------- hashes */

TEST(bus_subject, a_subject_knows_its_tokens_and_hashes)
{
    struct ae_subject subject = parse("orders.eu.42"), other = parse("orders.us");
    expect_number(3, subject.tokens);
    expect_number(12, subject.text.size);
    cr_assert(subject.first_hash != AE_FIRST_WILD && subject.first_hash == other.first_hash);
    cr_assert(subject.hash != other.hash);
}

TEST(bus_subject, the_same_text_has_the_same_hashes_wherever_it_stands)
{
    char text[] = "xorders.europe.42.paid", copy[sizeof text + 8];
    for (size_t size = 1; size < sizeof text - 1; size++) {
        if (text[size] == '.')
            continue;
        struct ae_subject one, other, pattern;
        bool wild;
        memset(copy, '?', sizeof copy);
        memcpy(copy + 3, text + 1, size);
        expect_ok(ae_subject_parse(&one, text + 1, size, "parse"));
        expect_ok(ae_subject_parse(&other, copy + 3, size, "parse"));
        expect_ok(ae_pattern_parse(&pattern, copy + 3, size, &wild, "parse"));
        cr_assert(one.hash == other.hash && one.first_hash == other.first_hash && one.tokens == other.tokens);
        cr_assert(one.hash == pattern.hash && one.first_hash == pattern.first_hash && one.tokens == pattern.tokens);
        cr_assert(!wild);
    }
}

TEST(bus_subject, a_pattern_that_begins_with_a_wildcard_has_no_first_hash)
{
    expect_number(AE_FIRST_WILD, parse_pattern("*.a").first_hash);
    expect_number(AE_FIRST_WILD, parse_pattern(">").first_hash);
    expect_number(parse("a").first_hash, parse_pattern("a.*").first_hash);
}

TEST(bus_subject, hashes_begin_with_the_seed_of_the_process)
{
    aether_buffer_destroy(unit_buffer()); /* the first handle draws it */
    cr_assert(ae_process_seed != 0);
    struct ae_subject one = parse("orders.eu.42");
    ae_process_seed++;
    struct ae_subject other = parse("orders.eu.42");
    cr_assert(one.hash != other.hash && one.first_hash != other.first_hash);
}

/* By chance two are the same once in 9 million million runs. */
TEST(bus_subject, hashes_of_many_subjects_differ)
{
    enum { MANY = 2000 };
    static uint64_t hashes[MANY];
    for (size_t i = 0; i < MANY; i++) {
        char text[32];
        snprintf(text, sizeof text, "s.%zu", i);
        hashes[i] = parse(text).hash;
        for (size_t before = 0; before < i; before++)
            cr_assert(hashes[before] != hashes[i], "s.%zu and s.%zu", before, i);
    }
}

/* --------------------------------------------------------------------------------------------------------- relations */

TEST(bus_subject, malformed_texts_have_no_relations)
{
    cr_assert(!aether_pattern_matches(NULL, "a") && !aether_pattern_matches("a", NULL));
    cr_assert(!aether_pattern_matches("a..b", "a..b") && !aether_pattern_matches("*", "*"));
    cr_assert(!aether_pattern_covers(">", "") && !aether_pattern_covers("a.>.b", "a.>.b"));
    cr_assert(!aether_pattern_covers(NULL, ">") && !aether_pattern_covers(">", NULL));
    cr_assert(!aether_pattern_overlaps(">", "a b") && !aether_pattern_overlaps("", ">"));
    cr_assert(!aether_pattern_overlaps(">", NULL) && !aether_pattern_overlaps(NULL, ">"));
    expect_number(AETHER_OK, aether_error_status());
}

TEST(bus_subject, relations_are_of_tokens_and_not_of_bytes)
{
    cr_assert(!aether_pattern_matches("ab", "a") && !aether_pattern_matches("a", "ab") &&
              !aether_pattern_matches("a.>", "ab.c"));
    cr_assert(aether_pattern_matches("*.b", "aaa.b") && !aether_pattern_matches("*.b", "aaa.bb"));
    cr_assert(aether_pattern_covers("*.bb", "aa.bb") && !aether_pattern_covers("*.b", "a.bb"));
    cr_assert(aether_pattern_overlaps("*.bb", "aa.*") && !aether_pattern_overlaps("*.b", "a.bb"));
}

/* All patterns and subjects of a and b, and what "matches" means for the other two relations: what subjects say. */
TEST(bus_subject, all_short_patterns_match_cover_and_overlap_as_the_oracle_says)
{
    char **patterns = unit_all_texts("ab*>", 4, unit_is_pattern), **subjects = unit_all_texts("abc", 5, unit_is_subject);
    for (char **one = patterns; *one != NULL; one++)
        for (char **subject = subjects; *subject != NULL; subject++)
            cr_assert(aether_pattern_matches(*one, *subject) == unit_matches(*one, *subject), "%s %s", *one, *subject);
    for (char **one = patterns; *one != NULL; one++)
        for (char **other = patterns; *other != NULL; other++) {
            cr_assert(aether_pattern_covers(*one, *other) == unit_covers(*one, *other), "%s %s", *one, *other);
            cr_assert(aether_pattern_overlaps(*one, *other) == unit_overlaps(*one, *other), "%s %s", *one, *other);
        }
}

/* A third token, c, which no pattern has, stands for all others; one token more than patterns have, for all that are longer.
 */
TEST(bus_subject, covers_and_overlaps_mean_what_all_subjects_say)
{
    enum { MOST = 512 };
    static bool matched[MOST][MOST];
    char **patterns = unit_all_texts("ab*>", 4, unit_is_pattern), **subjects = unit_all_texts("abc", 5, unit_is_subject);
    size_t pattern_count = 0, subject_count = 0;
    for (; patterns[pattern_count] != NULL; pattern_count++)
        cr_assert(pattern_count < MOST);
    for (; subjects[subject_count] != NULL; subject_count++)
        cr_assert(subject_count < MOST);
    for (size_t p = 0; p < pattern_count; p++)
        for (size_t s = 0; s < subject_count; s++)
            matched[p][s] = unit_matches(patterns[p], subjects[s]);
    for (size_t p = 0; p < pattern_count; p++)
        for (size_t q = 0; q < pattern_count; q++) {
            bool covers = true, overlaps = false;
            for (size_t s = 0; s < subject_count; s++) {
                covers &= matched[p][s] || !matched[q][s];
                overlaps |= matched[p][s] && matched[q][s];
            }
            cr_assert(aether_pattern_covers(patterns[p], patterns[q]) == covers, "%s %s", patterns[p], patterns[q]);
            cr_assert(aether_pattern_overlaps(patterns[p], patterns[q]) == overlaps, "%s %s", patterns[p], patterns[q]);
        }
}
