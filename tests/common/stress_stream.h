/*
 * A stream: a buffer whose items can be told from their number alone, like a feed (stress_feed.h), but with all the forms
 * that an item may have, and with what was published before each item, in bytes as the library counts them and in events.
 *
 *      item n of stream s: index n + 1, its size, events and form from s.id and n; most are small, some have several
 *                          events, some are given by reference, a few are larger than a segment
 */
#ifndef AE_STRESS_STREAM_H
#define AE_STRESS_STREAM_H

#include "aether/buffer.h"
#include "common/stress_run.h"

struct stress_stream {
    aether_buffer *buffer;
    uint64_t id;                /* const; also the epoch, from 1 */
    uint64_t most;              /* const; items that there may be */
    uint32_t segment;           /* const; bytes of a largest segment */
    uint64_t heavy;             /* const; 0, or the bytes of the heaviest item: many come near to that */
    uint64_t *bytes;            /* atomic; [n]: bytes of the items before item n; set before `begun` says n */
    uint64_t *events;           /* atomic; [n]: their events */
    unsigned char *given;       /* atomic; [n]: what became of the payload by reference of item n */
    uint64_t references;        /* owner: writer; payloads by reference that were appended */
    uint64_t released;          /* atomic; of them */
    struct stress_stream *next; /* guard: set before `begun` is final; where a splice leads */
    uint64_t next_number;
    uint64_t next_limit; /* atomic; so large limits are respected behind the splice: its place was in the window */

    unsigned char apart[STRESS_APART]; /* from what is written all the time */
    uint64_t begun;                    /* atomic; items whose append has begun */
    uint64_t published;                /* atomic; items whose append has returned */
    uint64_t level;                    /* atomic; the same, where the end counts as one more: for a watch */
};

/* options->epoch is set to `id`. */
void stress_stream_create(struct stress_stream *stream, const aether_buffer_options *options, uint64_t id, uint64_t most,
                          uint64_t heavy);

/* The most bytes that one call of stress_stream_put() appends. */
uint64_t stress_stream_batch_most(const struct stress_stream *stream);

/* True while there is room for another call of stress_stream_put(). */
bool stress_stream_has_room(const struct stress_stream *stream);

/*
 * Appends one item or a few, by one of the ways there are, or trims, or reserves and abandons. What is not AETHER_OK is
 * AETHER_FULL, AETHER_TIMEOUT or AETHER_CANCELLED, and then nothing was appended.
 */
aether_status stress_stream_put(struct stress_stream *stream, struct stress_random *random);

/* Ends it for good with `reason`. */
void stress_stream_end(struct stress_stream *stream, aether_status reason);

/* Nobody has a cursor in it any more, and the buffer is destroyed: all payloads are released. */
void stress_stream_free(struct stress_stream *stream);

/* Fails unless this is item `number`. */
void stress_stream_check(const struct stress_stream *stream, uint64_t number, const aether_item *item);

/* Bytes, and events, before item `number`. */
static inline uint64_t stress_stream_bytes(const struct stress_stream *stream, uint64_t number)
{
    return stress_get(&stream->bytes[number]);
}

static inline uint64_t stress_stream_events(const struct stress_stream *stream, uint64_t number)
{
    return stress_get(&stream->events[number]);
}

/* Of all streams: payloads released by the thread that appends, and by others. */
extern uint64_t stress_released_by_writer, stress_released_by_others;

#endif
