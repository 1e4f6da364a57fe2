/*
 * Subjects eight bytes at a time: loads that read no byte too many, hashes, and where the dots are.
 *
 * The first byte of a word is its lowest, as on the machines that aether knows.
 */
#ifndef AE_WORD_H
#define AE_WORD_H

#include <stdint.h>
#include <string.h>

#include "base/process.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are read with their first byte lowest");

static const uint64_t AE_ONES = 0x0101010101010101, AE_HIGHS = 0x8080808080808080;

/* ------------------------------------------------------------------------------------------------------------ loads */

static inline uint64_t ae_word_load(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* All bits of the first `size` bytes: at most 8. */
static inline uint64_t ae_word_mask(size_t size)
{
    return size >= 8 ? UINT64_MAX : (UINT64_C(1) << 8 * size) - 1;
}

/* Fewer than 8 bytes, with zeros above: two loads that overlap, or three bytes that may be the same one. */
static inline uint64_t ae_word_load_part(const char *at, size_t size)
{
    if (size >= 4) {
        uint32_t low, high;
        memcpy(&low, at, sizeof low);
        memcpy(&high, at + size - 4, sizeof high);
        return low | (uint64_t)high << 8 * (size - 4);
    }
    if (size == 0)
        return 0;
    const unsigned char *bytes = (const unsigned char *)at;
    return bytes[0] | (uint64_t)bytes[size / 2] << 8 * (size / 2) | (uint64_t)bytes[size - 1] << 8 * (size - 1);
}

/* The first `size` bytes, at most 8, of which none is read at `end` or behind. */
static inline uint64_t ae_word_load_within(const char *at, size_t size, const char *end)
{
    if (end - at >= 8)
        return ae_word_load(at) & ae_word_mask(size);
    return ae_word_load_part(at, size);
}

/* ----------------------------------------------------------------------------------------------------------- hashes */

__extension__ typedef unsigned __int128 ae_wide;

/* Both factors have the seed in them: no known word makes a product that is known. */
static inline uint64_t ae_hash_pair(uint64_t hash, uint64_t first, uint64_t second)
{
    ae_wide product = (ae_wide)(first ^ ae_process_seed ^ UINT64_C(0xe7037ed1a0b428db)) * (second ^ hash);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t ae_hash_begin(size_t size)
{
    return ae_process_seed ^ (size + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

/* The hash of more than 8 bytes. The last 8 may be read twice. */
static inline uint64_t ae_hash_long(const char *at, size_t size)
{
    uint64_t hash = ae_hash_begin(size);
    const char *last = at + size - 8;
    for (; size > 16; size -= 16, at += 16)
        hash = ae_hash_pair(hash, ae_word_load(at), ae_word_load(at + 8));
    return ae_hash_pair(hash, ae_word_load(size >= 8 ? at : last), ae_word_load(last));
}

/* The hash of `size` bytes; `first` are the first 8 of them, or all of them and zeros. */
static inline uint64_t ae_hash_bytes(uint64_t first, const char *at, size_t size)
{
    return size <= 8 ? ae_hash_pair(ae_hash_begin(size), first, 0) : ae_hash_long(at, size);
}

/* ------------------------------------------------------------------------------------------------------------- dots */

/* The high bits of exactly the bytes that are dots. */
static inline uint64_t ae_word_dots(uint64_t word)
{
    uint64_t difference = word ^ AE_ONES * '.';
    return ~(((difference & ~AE_HIGHS) + ~AE_HIGHS) | difference | ~AE_HIGHS);
}

/* As many bits as the word has bytes: those whose high bit is set. */
static inline uint64_t ae_word_gather(uint64_t highs)
{
    return (highs >> 7) * UINT64_C(0x0102040810204080) >> 56;
}

#endif
