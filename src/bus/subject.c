#include "bus/subject.h"

#include "base/check.h"
#include "base/fail.h"
#include "base/relax.h"
#include "bus/word.h"

/* ----------------------------------------------------------------------------------------------------------- hashes */

uint64_t ae_token_hash(const char *token, size_t size, const char *end)
{
    return ae_hash_bytes(ae_word_load_within(token, size < 8 ? size : 8, end), token, size, end);
}

static uint32_t first_hash_of(aether_text text, size_t first_size)
{
    uint32_t hash = (uint32_t)ae_token_hash(text.data, first_size, text.data + text.size);
    return hash != AE_FIRST_WILD ? hash : 1;
}

/* ----------------------------------------------------------------------------------------- checking, byte by byte */

/* What a look at a text found: a fault and where, or what it has. */
struct look {
    const char *fault; /* NULL: none */
    size_t at;
    size_t first_size; /* of the first token */
    uint16_t tokens;
    bool wild;
};

static bool is_fault(struct look *look, const char *fault, size_t at)
{
    look->fault = fault;
    look->at = at;
    return true;
}

static bool token_has_fault(struct look *look, aether_text text, size_t start, size_t end, bool wildcards)
{
    for (size_t at = start; at < end; at++) {
        unsigned char byte = (unsigned char)text.data[at];
        if (byte <= 0x20 || byte == 0x7f)
            return is_fault(look, "blank or control character", at);
        if (byte != '*' && byte != '>')
            continue;
        if (!wildcards)
            return is_fault(look, "wildcard, which only a pattern may have,", at);
        if (end - start > 1)
            return is_fault(look, "wildcard inside a token", at);
        if (byte == '>' && end < text.size)
            return is_fault(look, "token behind '>'", end + 1);
        look->wild = true;
    }
    return end == start && is_fault(look, "empty token", start);
}

static struct look look_at(aether_text text, bool wildcards)
{
    struct look look = {0};
    if (text.size > AETHER_SUBJECT_MAX) {
        is_fault(&look, "more than 1024 bytes", AETHER_SUBJECT_MAX);
        return look;
    }
    size_t start = 0, end = 0;
    for (bool first = true; first || end < text.size; first = false, start = end + 1) {
        const char *dot = start < text.size ? memchr(text.data + start, '.', text.size - start) : NULL;
        end = dot != NULL ? (size_t)(dot - text.data) : text.size;
        if (token_has_fault(&look, text, start, end, wildcards))
            return look;
        if (++look.tokens > AETHER_TOKENS_MAX) {
            is_fault(&look, "more than 64 tokens", start);
            return look;
        }
        if (first)
            look.first_size = end;
    }
    return look;
}

static aether_status fault_of(const struct look *look, const char *call)
{
    return ae_fail(AETHER_INVALID, "%s: %s at byte %zu", call, look->fault, look->at);
}

static aether_status check(const char *text, bool wildcards, const char *call)
{
    if (text == NULL)
        return ae_fail(AETHER_INVALID, "%s: the text is NULL", call);
    struct look look = look_at(aether_text_of(text), wildcards);
    return look.fault == NULL ? AETHER_OK : fault_of(&look, call);
}

aether_status aether_subject_check(const char *subject)
{
    return check(subject, false, "aether_subject_check");
}

aether_status aether_pattern_check(const char *pattern)
{
    return check(pattern, true, "aether_pattern_check");
}

/* ----------------------------------------------------------------------------------- parsing, eight bytes at once */

/* The high bits of the bytes that are `byte`. A lower one that is may mark the ones above, so this only tells whether any
 * is. */
static uint64_t any_is(uint64_t word, unsigned char byte)
{
    uint64_t difference = word ^ AE_ONES * byte;
    return (difference - AE_ONES) & ~difference & AE_HIGHS;
}

/* True if a byte is one that no subject has. */
static bool is_forbidden(uint64_t word)
{
    uint64_t below = (word - AE_ONES * 0x21) & ~word & AE_HIGHS;
    return (below | any_is(word, 0x7f) | any_is(word, '*') | any_is(word, '>')) != 0;
}

/* What a pass over a subject has found so far. */
struct pass {
    uint64_t hash;
    uint64_t fault;    /* not 0: there is one, look_at() says which */
    uint64_t behind;   /* 0x80 if the byte before was a dot, or there was none */
    size_t dots;       /* so many */
    size_t first_size; /* of the first token, once there was a dot */
};

/* `filled` is the word with harmless bytes in the place of those behind the end. */
static inline void pass_word(struct pass *pass, uint64_t word, uint64_t filled, size_t at)
{
    pass->hash = ae_hash_word(pass->hash, word);
    uint64_t dots = ae_word_dots(filled);
    pass->fault |= is_forbidden(filled) | (dots & (dots << 8 | pass->behind));
    pass->behind = dots >> 56;
    if (dots == 0)
        return;
    if (pass->dots == 0)
        pass->first_size = at + (size_t)__builtin_ctzll(dots) / 8;
    pass->dots += (size_t)((dots >> 7) * AE_ONES >> 56);
}

aether_status ae_subject_parse(struct ae_subject *subject, const char *text, size_t size, const char *call)
{
    struct pass pass = {.hash = ae_hash_begin(size), .behind = 0x80, .first_size = size};
    size_t at = 0;
    if (AE_LIKELY(size > 0 && size <= AETHER_SUBJECT_MAX)) {
        for (; size - at >= 8; at += 8)
            pass_word(&pass, ae_word_load(text + at), ae_word_load(text + at), at);
        if (at < size) {
            size_t left = size - at;
            uint64_t word = size >= 8 ? ae_word_load(text + size - 8) >> 8 * (8 - left) : ae_word_load_part(text, left);
            pass_word(&pass, word, word | AE_ONES * 'a' << 8 * left, at);
        }
        pass.fault |= text[size - 1] == '.';
    }
    if (AE_UNLIKELY(at == 0 && size == 0) || size > AETHER_SUBJECT_MAX || pass.fault != 0 ||
        pass.dots >= AETHER_TOKENS_MAX) {
        struct look look = look_at(aether_bytes(text, size), false);
        AE_ASSERT(look.fault != NULL);
        return fault_of(&look, call);
    }
    aether_text bytes = {text, size};
    *subject = (struct ae_subject){bytes, pass.hash, first_hash_of(bytes, pass.first_size), (uint16_t)(pass.dots + 1)};
    return AETHER_OK;
}

aether_status ae_pattern_parse(struct ae_subject *pattern, const char *text, size_t size, bool *wild, const char *call)
{
    aether_text bytes = {text, size};
    struct look look = look_at(bytes, true);
    if (look.fault != NULL)
        return fault_of(&look, call);
    bool wild_first = look.first_size == 1 && (text[0] == '*' || text[0] == '>');
    uint32_t first_hash = wild_first ? AE_FIRST_WILD : first_hash_of(bytes, look.first_size);
    *pattern = (struct ae_subject){bytes, ae_token_hash(text, size, text + size), first_hash, look.tokens};
    *wild = look.wild;
    return AETHER_OK;
}

/* --------------------------------------------------------------------------------------------------------- relations */

bool ae_token_next(aether_text *text, aether_text *token)
{
    if (text->size == 0)
        return false;
    const char *dot = memchr(text->data, '.', text->size);
    *token = (aether_text){text->data, dot != NULL ? (size_t)(dot - text->data) : text->size};
    size_t taken = token->size + (dot != NULL);
    *text = (aether_text){text->data + taken, text->size - taken};
    return true;
}

/* Byte by byte: what is compared is short. */
bool ae_pattern_matches(aether_text pattern, aether_text subject)
{
    size_t p = 0, s = 0;
    while (p < pattern.size && s < subject.size) {
        if (pattern.data[p] == '>')
            return true;
        if (pattern.data[p] == '*') {
            p++;
            while (s < subject.size && subject.data[s] != '.')
                s++;
        } else if (pattern.data[p++] != subject.data[s++]) {
            return false;
        }
    }
    return p == pattern.size && s == subject.size;
}

bool ae_pattern_covers(aether_text pattern, aether_text other)
{
    aether_text mine, its;
    while (ae_token_next(&pattern, &mine)) {
        if (!ae_token_next(&other, &its))
            return false;
        if (ae_text_is(mine, '>'))
            return true;
        if (ae_text_is(its, '>') || (!ae_text_is(mine, '*') && !ae_text_same(mine, its)))
            return false;
    }
    return other.size == 0;
}

bool ae_pattern_overlaps(aether_text one, aether_text other)
{
    aether_text mine, its;
    while (one.size > 0 && other.size > 0) {
        ae_token_next(&one, &mine);
        ae_token_next(&other, &its);
        if (ae_text_is(mine, '>') || ae_text_is(its, '>'))
            return true;
        if (!ae_text_is(mine, '*') && !ae_text_is(its, '*') && !ae_text_same(mine, its))
            return false;
    }
    return one.size == other.size;
}

/* The texts' relation if they are what they have to be, else false. */
static bool ask(bool (*relation)(aether_text, aether_text), const char *pattern, const char *other, bool other_wildcards)
{
    if (pattern == NULL || other == NULL)
        return false;
    aether_text one = aether_text_of(pattern), two = aether_text_of(other);
    return look_at(one, true).fault == NULL && look_at(two, other_wildcards).fault == NULL && relation(one, two);
}

bool aether_pattern_matches(const char *pattern, const char *subject)
{
    return ask(ae_pattern_matches, pattern, subject, false);
}

bool aether_pattern_covers(const char *pattern, const char *other)
{
    return ask(ae_pattern_covers, pattern, other, true);
}

bool aether_pattern_overlaps(const char *one, const char *other)
{
    return ask(ae_pattern_overlaps, one, other, true);
}
