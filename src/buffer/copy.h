/*
 * Copies a payload. A call of memcpy costs more than the copy of a small payload, so those up to 64 bytes are copied in
 * place: from both ends, with two or four pairs of loads and stores that overlap in the middle.
 */
#ifndef AE_COPY_H
#define AE_COPY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { AE_COPY_SMALL = 64 };

/* Copies the first and the last `part` bytes of `size`, which is at least that and at most twice that. */
#define AE_COPY_ENDS(to, from, size, part)                                                                                  \
    do {                                                                                                                    \
        unsigned char head_[part], tail_[part];                                                                             \
        memcpy(head_, (from), (part));                                                                                      \
        memcpy(tail_, (from) + (size) - (part), (part));                                                                    \
        memcpy((to), head_, (part));                                                                                        \
        memcpy((to) + (size) - (part), tail_, (part));                                                                      \
    } while (0)

static inline void ae_copy(unsigned char *to, const void *data, size_t size)
{
    const unsigned char *from = data;
    if (size > AE_COPY_SMALL) {
        memcpy(to, from, size);
    } else if (size > 32) {
        AE_COPY_ENDS(to, from, 32, 16);
        AE_COPY_ENDS(to + size - 32, from + size - 32, 32, 16);
    } else if (size >= 16) {
        AE_COPY_ENDS(to, from, size, 16);
    } else if (size >= 8) {
        AE_COPY_ENDS(to, from, size, 8);
    } else if (size >= 4) {
        AE_COPY_ENDS(to, from, size, 4);
    } else if (size != 0) {
        to[0] = from[0];
        to[size / 2] = from[size / 2];
        to[size - 1] = from[size - 1];
    }
}

#undef AE_COPY_ENDS

#endif
