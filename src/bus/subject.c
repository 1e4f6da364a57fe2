#include "bus/subject.h"

#include "base/check.h"
#include "base/fail.h"
#include "base/relax.h"
#include "base/word.h"

/* ----------------------------------------------------------------------------------------------------------- hashes */

uint64_t ae_token_hash(const char *token, size_t size, const char *end)
{
    return ae_hash_bytes(ae_word_load_within(token, size < 8 ? size : 8, end), token, size);
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

/* ----------------------------------------------------------------------------------- parsing, many bytes at once */

/* What a pass over a subject finds. No branch hangs on where its dots are. */
struct pass {
    uint64_t fault; /* not 0: there is one, look_at() says which */
    size_t dots;
};

/* Adds up bytes: up to 256 in each. */
static inline size_t sum_of(uint64_t counts, uint64_t more)
{
    const uint64_t even = 0x00ff00ff00ff00ff;
    uint64_t sums = (counts & even) + (counts >> 8 & even) + (more & even) + (more >> 8 & even);
    return sums * 0x0001000100010001 >> 48;
}

/* Not 0 if a byte is `byte`. */
static inline uint64_t any_is(uint64_t word, unsigned char byte)
{
    uint64_t difference = word ^ AE_ONES * byte;
    return (difference - AE_ONES) & ~difference & AE_HIGHS;
}

/* One word, with harmless bytes in the place of those behind the end. `behind` is 0x80 if the byte before it ended a token.
 */
static inline uint64_t pass_word(struct pass *pass, uint64_t word, size_t size, uint64_t behind)
{
    uint64_t filled = size < 8 ? word | AE_ONES * 'a' << 8 * size : word;
    uint64_t below = (filled - AE_ONES * 0x21) & ~filled & AE_HIGHS, dots = ae_word_dots(filled);
    pass->fault |= below | any_is(filled, 0x7f) | any_is(filled, '*') | any_is(filled, '>') | (dots & (dots << 8 | behind));
    pass->dots += sum_of(dots >> 7, 0);
    return dots >> 56;
}

/* Up to 16 bytes. */
static inline struct pass pass_short(const char *text, size_t size)
{
    struct pass pass = {0, 0};
    uint64_t first = size < 8 ? ae_word_load_part(text, size) : ae_word_load(text);
    uint64_t behind = pass_word(&pass, first, size, 0x80);
    if (size > 8)
        pass_word(&pass, ae_word_load(text + size - 8) >> 8 * (16 - size), size - 8, behind);
    return pass;
}

/* Sixteen bytes; a comparison makes those 0xff for which it is true. */
typedef uint8_t block __attribute__((vector_size(16)));

static inline block load_block(const void *at)
{
    block bytes;
    memcpy(&bytes, at, sizeof bytes);
    return bytes;
}

/* The bytes of a block that are none of a subject's, or the second one of two dots. */
static inline block faults_in(const char *at)
{
    block bytes = load_block(at), before = load_block(at - 1);
    return (block)((bytes <= 0x20) | (bytes == 0x7f) | (bytes == '*') | (bytes == '>') | ((bytes == '.') & (before == '.')));
}

/* More than 16 bytes: the first one is looked at alone, so that there is a byte before each other one. */
static inline struct pass pass_long(const char *text, size_t size)
{
    static const uint8_t last_ones[32] = {[16] = 255, 255, 255, 255, 255, 255, 255, 255,
                                          255,        255, 255, 255, 255, 255, 255, 255};
    const char *end = text + size, *at = text + 1;
    block faults = {0}, dots = {0};
    for (; end - at >= 16; at += 16) {
        faults |= faults_in(at);
        dots -= (block)(load_block(at) == '.');
    }
    /* The last 16 once more, or in part: of their dots those count that are left. */
    faults |= faults_in(end - 16);
    dots -= (block)(load_block(end - 16) == '.') & load_block(last_ones + (end - at));
    uint64_t fault[2], dot[2];
    memcpy(fault, &faults, sizeof fault);
    memcpy(dot, &dots, sizeof dot);
    struct pass pass = {fault[0] | fault[1], sum_of(dot[0], dot[1])};
    uint64_t first = (unsigned char)text[0];
    struct pass alone = {0, 0};
    pass_word(&alone, first, 1, 0x80);
    pass.fault |= alone.fault;
    return pass;
}

static inline size_t first_size_of(const char *text, size_t size, uint64_t first)
{
    uint64_t dots = ae_word_dots(first);
    if (AE_LIKELY(dots != 0))
        return (size_t)__builtin_ctzll(dots) / 8;
    size_t at = 8;
    while (at < size && text[at] != '.')
        at++;
    return at < size ? at : size;
}

static __attribute__((noinline, cold)) aether_status subject_fault(const char *text, size_t size, const char *call)
{
    struct look look = look_at(aether_bytes(text, size), false);
    AE_ASSERT(look.fault != NULL);
    return fault_of(&look, call);
}

aether_status ae_subject_parse(struct ae_subject *subject, const char *text, size_t size, const char *call)
{
    if (AE_UNLIKELY(size == 0 || size > AETHER_SUBJECT_MAX))
        return subject_fault(text, size, call);
    struct pass pass = size > 16 ? pass_long(text, size) : pass_short(text, size);
    if (AE_UNLIKELY(pass.fault != 0 || text[size - 1] == '.' || pass.dots >= AETHER_TOKENS_MAX))
        return subject_fault(text, size, call);
    uint64_t first = ae_word_load_within(text, size < 8 ? size : 8, text + size);
    size_t first_size = first_size_of(text, size, first);
    uint32_t first_hash = (uint32_t)ae_hash_bytes(first & ae_word_mask(first_size), text, first_size);
    subject->text = aether_bytes(text, size);
    subject->hash = ae_hash_bytes(first, text, size);
    subject->first_hash = first_hash != AE_FIRST_WILD ? first_hash : 1;
    subject->tokens = (uint16_t)(pass.dots + 1);
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
