#include "common/unit_matcher.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1024, MOST_TOKENS = 64 };

/* ------------------------------------------------------------------------------------------------- what is a subject */

static bool is_byte_allowed(unsigned char byte)
{
    return byte > ' ' && byte != 127 && byte != '.' && byte != '*' && byte != '>';
}

static bool is_literal(const char *token, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!is_byte_allowed((unsigned char)token[i]))
            return false;
    return size > 0;
}

static bool is_text(const char *text, size_t size, bool wildcards)
{
    size_t tokens = 0, start = 0;
    for (size_t end = 0; end <= size; end++) {
        if (end < size && text[end] != '.')
            continue;
        bool star = wildcards && end - start == 1 && text[start] == '*';
        bool rest = wildcards && end - start == 1 && text[start] == '>' && end == size;
        if (!star && !rest && !is_literal(text + start, end - start))
            return false;
        start = end + 1;
        tokens++;
    }
    return size <= MOST_BYTES && tokens <= MOST_TOKENS;
}

bool unit_is_subject(const char *text, size_t size)
{
    return is_text(text, size, false);
}

bool unit_is_pattern(const char *text, size_t size)
{
    return is_text(text, size, true);
}

/* --------------------------------------------------------------------------------------------------------- relations */

/* The token is this one. */
static bool is(const char *token, const char *text)
{
    size_t size = strcspn(token, ".");
    return size == strlen(text) && strncmp(token, text, size) == 0;
}

static bool same(const char *one, const char *other)
{
    size_t size = strcspn(one, ".");
    return size == strcspn(other, ".") && strncmp(one, other, size) == 0;
}

/* The rest behind the first token, NULL where nothing is. */
static const char *next(const char *text)
{
    const char *dot = strchr(text, '.');
    return dot != NULL ? dot + 1 : NULL;
}

static bool matches(const char *pattern, const char *subject)
{
    if (pattern == NULL || subject == NULL)
        return pattern == subject;
    if (is(pattern, ">"))
        return true;
    return (is(pattern, "*") || same(pattern, subject)) && matches(next(pattern), next(subject));
}

bool unit_matches(const char *pattern, const char *subject)
{
    return matches(pattern, subject);
}

static bool covers(const char *pattern, const char *other)
{
    if (pattern == NULL || other == NULL)
        return pattern == other;
    if (is(pattern, ">"))
        return true;
    if (is(other, ">"))
        return false;
    if (is(other, "*") && !is(pattern, "*"))
        return false;
    return (is(pattern, "*") || same(pattern, other)) && covers(next(pattern), next(other));
}

bool unit_covers(const char *pattern, const char *other)
{
    return covers(pattern, other);
}

static bool overlaps(const char *one, const char *other)
{
    if (one == NULL || other == NULL)
        return one == other;
    if (is(one, ">") || is(other, ">"))
        return true;
    return (is(one, "*") || is(other, "*") || same(one, other)) && overlaps(next(one), next(other));
}

bool unit_overlaps(const char *one, const char *other)
{
    return overlaps(one, other);
}

/* --------------------------------------------------------------------------------------------------------- all texts */

void *unit_keep(size_t size)
{
    static struct kept {
        struct kept *before;
        max_align_t memory[];
    } * newest; /* who looks for leaks finds all of them here */
    struct kept *kept = calloc(1, sizeof *kept + size);
    if (kept == NULL)
        abort(); /* the machine has no memory: nothing can be said about the library */
    kept->before = newest;
    newest = kept;
    return kept->memory;
}

char *unit_keep_text(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(unit_keep(size), text, size);
}

/* Writes the `number`-th text of so many tokens. */
static void write_text(char *text, const char *alphabet, size_t tokens, size_t number)
{
    size_t letters = strlen(alphabet);
    for (size_t i = 0; i < tokens; i++, number /= letters) {
        text[2 * i] = alphabet[number % letters];
        text[2 * i + 1] = '.';
    }
    text[2 * tokens - 1] = '\0';
}

char **unit_all_texts(const char *alphabet, size_t depth, bool (*is_wanted)(const char *text, size_t size))
{
    size_t count = 0, room = 1, of_depth = 1;
    for (size_t tokens = 1; tokens <= depth; tokens++)
        room += of_depth *= strlen(alphabet);
    char **texts = unit_keep(room * sizeof *texts), text[2 * MOST_TOKENS];
    of_depth = 1;
    for (size_t tokens = 1; tokens <= depth; tokens++) {
        of_depth *= strlen(alphabet);
        for (size_t number = 0; number < of_depth; number++) {
            write_text(text, alphabet, tokens, number);
            if (is_wanted(text, strlen(text)))
                texts[count++] = unit_keep_text(text);
        }
    }
    return texts;
}
