/* A thread that is inside one waiting call on a cursor, and what the call answered. */
#ifndef UNIT_READER_H
#define UNIT_READER_H

#include "aether/buffer.h"
#include "common/unit_futex.h"
#include "common/unit_wait.h"

struct unit_reader {
    aether_cursor *cursor;
    int64_t timeout_ns;
    bool run; /* aether_cursor_run() rather than next */
    struct unit_futex_trace trace;
    aether_status status;
    aether_item item; /* the first one */
    size_t count;
    struct unit_thread thread;
};

enum { UNIT_READER_STUCK = -1 }; /* in place of a status: the call did not return in time */

/* Start the call, and wait until it sleeps. False: it does not. */
bool unit_reader_start(struct unit_reader *reader, aether_cursor *cursor, int64_t timeout_ns);
bool unit_reader_run(struct unit_reader *reader, aether_cursor *cursor, int64_t timeout_ns);
bool unit_reader_sleeps(struct unit_reader *reader);

/* What the call answered. */
aether_status unit_reader_join(struct unit_reader *reader);

/* It sleeps, and has not been woken since it began to. */
bool unit_reader_sleeps_still(struct unit_reader *reader);

/* A thread that set unit_futex_trace to this is inside the kernel. */
bool unit_thread_sleeps(struct unit_thread *thread, struct unit_futex_trace *trace);

/* Started and asleep. */
bool unit_reader_put_to_sleep(struct unit_reader *reader, aether_cursor *cursor);

#endif
