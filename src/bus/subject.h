/*
 * Subjects and patterns as the library has them: checked and hashed once, then compared as bytes.
 *
 * Hashes begin with the process' seed, so nobody outside can know which subjects collide. It is drawn with the first handle
 * (base/process.h): hashes from before are of no use later. They are no proof: who finds a hash compares the bytes.
 */
#ifndef AE_SUBJECT_H
#define AE_SUBJECT_H

#include "aether/event.h"
#include "aether/subject.h"
#include "base/word.h"

enum { AE_FIRST_WILD = 0 };

struct ae_subject {
    aether_text text;    /* borrowed: 1 to AETHER_SUBJECT_MAX bytes */
    uint64_t hash;       /* of the whole text */
    uint32_t first_hash; /* of the first token, never 0; AE_FIRST_WILD for a pattern that begins with a wildcard */
    uint16_t tokens;     /* 1 to AETHER_TOKENS_MAX */
};

/*
 * Checks `size` bytes of text and fills *subject, which borrows them. AETHER_OK, or AETHER_INVALID with a text that begins
 * with `call`; then *subject is not filled. A pattern without a wildcard gets what it would get as a subject.
 */
AETHER_CHECKED aether_status ae_subject_parse(struct ae_subject *subject, const char *text, size_t size, const char *call);
AETHER_CHECKED aether_status ae_pattern_parse(struct ae_subject *pattern, const char *text, size_t size, bool *wild,
                                              const char *call);

/*
 * As the public functions, of valid texts, or of what such texts have behind one of their dots: an empty one has no token,
 * and only an empty one matches it.
 */
bool ae_pattern_matches(aether_text pattern, aether_text subject);
bool ae_pattern_covers(aether_text pattern, aether_text other);
bool ae_pattern_overlaps(aether_text one, aether_text other);

/* Takes the first token and its dot off *text. False: there is none. */
bool ae_token_next(aether_text *text, aether_text *token);

/* A token's hash. `end` is where the text that has it ends, up to which may be read. base/word.h has it inline. */
uint64_t ae_token_hash(const char *token, size_t size, const char *end);

static inline bool ae_text_is(aether_text text, char byte)
{
    return text.size == 1 && text.data[0] == byte;
}

/* Inline, a word at a time: what is compared is short, and nearly always the same. */
static inline bool ae_text_same(aether_text one, aether_text other)
{
    size_t size = one.size;
    if (size != other.size)
        return false;
    if (size < 8)
        return ae_word_load_part(one.data, size) == ae_word_load_part(other.data, size);
    uint64_t difference = ae_word_load(one.data + size - 8) ^ ae_word_load(other.data + size - 8);
    for (size_t at = 0; at + 8 < size; at += 8)
        difference |= ae_word_load(one.data + at) ^ ae_word_load(other.data + at);
    return difference == 0;
}

#endif
