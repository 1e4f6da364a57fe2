/* Payloads by reference that count how often they are released, by whom, and with what. */
#ifndef UNIT_RELEASE_H
#define UNIT_RELEASE_H

#include <pthread.h>

#include "aether/buffer.h"

enum { UNIT_LARGE = 4000 }; /* the most bytes of such a payload */

struct unit_release {
    unsigned char bytes[UNIT_LARGE]; /* tell `seed`, until they are released */
    uint64_t seed;
    uint32_t calls;                             /* atomic: how often it was released */
    uint32_t wrong;                             /* atomic: with other arguments than it was given with */
    size_t size;                                /* as given */
    pthread_t thread;                           /* that released it last */
    void (*hook)(struct unit_release *release); /* called from inside; NULL: nothing */
    void *user;                                 /* of the hook */
};

/* A payload of `size` bytes that tells `seed`. */
aether_payload unit_by_reference(struct unit_release *release, size_t size, uint64_t seed);

/* The item has the payload's own bytes, in their place. */
bool unit_is_reference(const aether_item *item, const struct unit_release *release);

/* So often was it released, and always rightly; -1: it was not rightly. */
int unit_releases(const struct unit_release *release);

/* Appends one by reference. */
aether_status unit_append_reference(aether_buffer *buffer, struct unit_release *release, size_t size, uint64_t seed);

#endif
