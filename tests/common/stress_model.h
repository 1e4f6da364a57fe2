/*
 * The trivially correct model of a buffer: a growing array under a mutex, and how it ended. The writer adds an item to the
 * model before it appends it, and says when the append has returned; so at any time
 *
 *      published <= what readers can see <= begun
 *
 * Ends and splices have the same two instants. A seat is a cursor and where the model says that it stands.
 */
#ifndef AE_STRESS_MODEL_H
#define AE_STRESS_MODEL_H

#include "buffer/cursor.h"
#include "common/stress_run.h"

struct stress_entry {
    uint64_t index;
    uint32_t size;
    uint32_t batch_left; /* items of its batch that come after it: seen with it */
};

struct stress_history {
    aether_buffer *buffer;
    uint64_t id;          /* const; also the epoch */
    uint64_t base;        /* const; the index before the first item */
    uint64_t references;  /* atomic */
    pthread_mutex_t lock; /* for all that follows */
    struct stress_entry *entries;
    uint64_t begun, published, room;
    uint64_t oldest;             /* the last place at which a cursor from the oldest item was opened */
    bool ending, ended;          /* an end has begun, has returned */
    aether_status reason;        /* once it is ending, unless it is spliced */
    struct stress_history *next; /* once it is ending: where a splice leads, with a reference */
    uint64_t next_number;
    bool given_up; /* nobody begins to open it */
    uint32_t openers;
};

/* A buffer with random options, and its model, with one reference. */
struct stress_history *stress_history_create(const aether_allocator *allocator, struct stress_random *random);
struct stress_history *stress_history_retain(struct stress_history *history);
void stress_history_release(struct stress_history *history);

/* Appends a random item or batch. */
void stress_history_put(struct stress_history *history, struct stress_random *random);

/* Ends it, with a reason. */
void stress_history_end(struct stress_history *history, aether_status reason);

/* Waits for those who open it, and destroys the buffer. The model stays. */
void stress_history_destroy(struct stress_history *history);

/* --------------------------------------------------------------------------------------------------------------- seats */

struct stress_seat {
    aether_cursor *cursor;          /* NULL: empty */
    struct stress_history *history; /* with a reference */
    uint64_t number;                /* of the next item */
    uint64_t sure;                  /* items below it have been seen with an earlier one of their batch */
};

/* Opens a cursor and checks its place. False when the buffer is being given up. */
bool stress_seat_open(struct stress_seat *seat, struct stress_history *history, aether_start start);
void stress_seat_close(struct stress_seat *seat);
void stress_seat_dup(struct stress_seat *seat, struct stress_seat *twin);

/* Splices the history to the seat, which is empty then. False: it would have been a circle, and nothing has changed. */
bool stress_seat_splice(struct stress_history *history, struct stress_seat *seat);

/* Whether a call has something to return now: an item or an end. */
bool stress_seat_is_due(const struct stress_seat *seat);

/* Checks what a call handed out. */
void stress_seat_deliver(struct stress_seat *seat, const aether_item *items, size_t count);

/* Checks that the stream is over with this status, and stays so. */
void stress_seat_finish(struct stress_seat *seat, aether_status status);

/* Checks that the cursor stands where the model says. */
void stress_seat_check(struct stress_seat *seat);

#endif
