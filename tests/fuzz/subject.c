/* Two lines of any bytes as subjects and as patterns: what is one, and how they relate, is what the oracle says. */
#include <stdint.h>
#include <stdlib.h>

#include "aether/aether.h"
#include "base/check.h"
#include "bus/subject.h"
#include "common/unit_matcher.h"

/* A copy without a byte around it, where the sanitizer sees a look over its end, and one with a NUL. */
struct line {
    char *exact, *text;
    size_t size;
    bool subject, pattern;
};

static struct line line_of(const uint8_t *data, size_t size)
{
    struct line line = {malloc(size > 0 ? size : 1), malloc(size + 1), size, false, false};
    AE_ASSERT(line.text != NULL && line.exact != NULL);
    if (size > 0) {
        memcpy(line.exact, data, size);
        memcpy(line.text, data, size);
    }
    line.text[size] = '\0';
    line.subject = unit_is_subject(line.text, size);
    line.pattern = unit_is_pattern(line.text, size);
    return line;
}

static void free_line(struct line *line)
{
    free(line->exact);
    free(line->text);
}

static void check_parsers(const struct line *line)
{
    struct ae_subject subject, pattern;
    bool wild;
    AE_ASSERT((ae_subject_parse(&subject, line->exact, line->size, "fuzz") == AETHER_OK) == line->subject);
    AE_ASSERT((ae_pattern_parse(&pattern, line->exact, line->size, &wild, "fuzz") == AETHER_OK) == line->pattern);
    if (line->subject)
        AE_ASSERT(!wild && subject.hash == pattern.hash && subject.first_hash == pattern.first_hash &&
                  subject.tokens == pattern.tokens && subject.first_hash != AE_FIRST_WILD);
    else if (line->pattern)
        AE_ASSERT(wild && (pattern.first_hash == AE_FIRST_WILD) == (line->text[0] == '*' || line->text[0] == '>'));
}

/* As far as the first NUL, which is where a text ends for the public functions. */
static void check_public(const struct line *one, const struct line *other)
{
    size_t size = strlen(one->text);
    bool pattern = unit_is_pattern(one->text, size);
    AE_ASSERT((aether_subject_check(one->text) == AETHER_OK) == unit_is_subject(one->text, size));
    AE_ASSERT((aether_pattern_check(one->text) == AETHER_OK) == pattern);
    size = strlen(other->text);
    bool subject = pattern && unit_is_subject(other->text, size), both = pattern && unit_is_pattern(other->text, size);
    AE_ASSERT(aether_pattern_matches(one->text, other->text) == (subject && unit_matches(one->text, other->text)));
    AE_ASSERT(aether_pattern_covers(one->text, other->text) == (both && unit_covers(one->text, other->text)));
    AE_ASSERT(aether_pattern_overlaps(one->text, other->text) == (both && unit_overlaps(one->text, other->text)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t first = end != NULL ? (size_t)(end - data) : size;
    size_t second = end != NULL ? size - first - 1 : 0;
    struct line one = line_of(data, first), other = line_of(second > 0 ? end + 1 : NULL, second);
    check_parsers(&one);
    check_parsers(&other);
    check_public(&one, &other);
    check_public(&other, &one);
    free_line(&one);
    free_line(&other);
    return 0;
}
