/* A thread that is inside a writing call, and what the call answered. */
#ifndef UNIT_WRITER_H
#define UNIT_WRITER_H

#include "aether/buffer.h"
#include "common/unit_futex.h"
#include "common/unit_wait.h"

struct unit_writer {
    aether_buffer *buffer;
    uint64_t first, last; /* items, as unit_append() makes them */
    struct unit_futex_trace trace;
    aether_status status;
    struct unit_thread thread;
};

enum { UNIT_WRITER_STUCK = -1 }; /* in place of a status: the call did not return in time */

/* Starts to append the items `first` to `last`, and waits until that sleeps. False: it does not. */
bool unit_writer_put_to_sleep(struct unit_writer *writer, aether_buffer *buffer, uint64_t first, uint64_t last);

/* Starts only. */
bool unit_writer_start(struct unit_writer *writer, aether_buffer *buffer, uint64_t first, uint64_t last);

/* It is inside the kernel. */
bool unit_writer_sleeps(struct unit_writer *writer);

/* It sleeps, and has not been woken since it began to. */
bool unit_writer_sleeps_still(struct unit_writer *writer);

/* What the call answered. */
aether_status unit_writer_join(struct unit_writer *writer);

#endif
