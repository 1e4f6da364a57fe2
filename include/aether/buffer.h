/*
 * The event buffer: one writer appends items, any number of readers follow, each at its own pace.
 *
 *      writer ──append──▶ ┌─────────┐   ┌─────────┐   ┌──────────┐
 *                         │ segment │──▶│ segment │──▶│ segment  │▒▒▒▒ not yet written
 *                         └─────────┘   └─────────┘   └──────────┘
 *                              ▲ slow cursor   ▲ cursor        ▲ cursor, waiting at the gate
 *
 * The model
 *  - An item is what one append publishes: bytes, and an index. A reader sees all of it or none (BUF2).
 *  - The buffer has no fixed length. Items stand one after another in segments; a segment lives as long as a cursor stands
 *    in it or before it, or the buffer itself needs it, and is then recycled (BUF5). So memory is what the slowest
 *    cursor has not read yet.
 *  - Append never waits for readers, takes no lock, and makes no system call unless a reader sleeps (BUF1).
 *  - The index of an item is the writer's own number for it: strictly growing, from 1. Who gives none gets the next one.
 *  - A buffer may end, for good, or continue at a place in another buffer, which its readers cross into without noticing
 *    (BUF6): this is how a snapshot is followed by live changes.
 *
 * Caveats
 *  - One writer at a time. Threads may take turns when something orders them (a mutex, a join). Two writing calls that
 *    overlap destroy the buffer; the debug build of the library answers AETHER_BUSY instead where it sees them.
 *  - A cursor that is open and never read holds all that follows it. Close what you do not read.
 *  - What a cursor hands out is borrowed: it is valid until the next call on that cursor, and read-only.
 *  - A cursor belongs to one thread at a time. Only cancel and close come from others. Every cursor is closed once, also
 * after a final status; which thread does it is the program's rule.
 *  - Memory goes back to the allocator after a grace period, by another thread (aether_memory_drain() waits for it).
 *
 *      aether_buffer *buffer = aether_buffer_create(NULL);
 *      aether_cursor *cursor = aether_cursor_open(buffer, AETHER_FROM_NEXT);
 *      if (aether_append(buffer, "hello", 5) != AETHER_OK)
 *          fail(aether_error());
 *      aether_item item;
 *      while (aether_cursor_next(cursor, &item, AETHER_NO_WAIT) == AETHER_OK)
 *          printf("%.*s\n", (int)item.size, (const char *)item.data);
 *      aether_cursor_close(cursor);
 *      aether_buffer_destroy(buffer);
 *
 * Every function answers AETHER_INVALID for a NULL handle or argument that it needs, and AETHER_FORKED for a handle that was
 * made before fork(); their comments name the other answers only.
 *
 * Structs may grow at their end in later versions. The functions that take them pass their size along, so a program that was
 * compiled earlier goes on working; the ..._sized functions are for that and for bindings.
 *
 * Since 0.1.0. The faster calls that are compiled into the program are in aether/inline.h.
 */
#ifndef AETHER_BUFFER_H
#define AETHER_BUFFER_H

#include "aether/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aether_buffer aether_buffer; /* the writer's handle */
typedef struct aether_cursor aether_cursor; /* a reader's place */

/* --------------------------------------------------------------------------------------------- creating, destroying */

/* The largest payload of an item, in bytes, and the largest batch: what its items take, with 8 bytes and padding each. */
#define AETHER_ITEM_MAX ((size_t)0x1ffffff0)
#define AETHER_BATCH_MAX ((size_t)0x40000000)

/* Zero is the default everywhere: `aether_buffer_options options = {0};` asks for nothing special. */
typedef struct aether_buffer_options {
    const aether_allocator *allocator; /* copied; NULL: the C library's */
    uint64_t epoch;                    /* the identity of this history; 0: a random one */
    uint64_t newest_index;             /* the index before the first item; 0: items are numbered from 1 */
    uint32_t segment_bytes;            /* the largest segment, 1 KiB to 16 MiB, a power of two; 0: 64 KiB */
    uint32_t first_segment_bytes;      /* the first one, 1 KiB to segment_bytes, a power of two; 0: 1 KiB. A busy buffer's
                                          segments double up to the largest; a quiet one's stay small */
    int32_t cached_segments;           /* recycled segments kept for the writer at the most; 0: 4; below 0: none */
    int32_t spins;  /* how long a reader looks again before it sleeps, at the most, in pauses of the processor (about 20 ns);
                       each reader learns how long pays for itself. 0: 1000, about what a sleep costs; below 0: never */
    int32_t yields; /* how often it then gives its processor away and looks; 0: once; below 0: never */
} aether_buffer_options;

/*
 * Makes an empty buffer. The caller owns it, until aether_buffer_destroy(). Any thread; does not block. Starts no thread.
 * NULL: aether_error_status() is AETHER_INVALID (an option is out of its range), AETHER_NO_MEMORY, or AETHER_SYSTEM (the
 * C library refused the fork handlers).
 */
AETHER_API AETHER_CHECKED aether_buffer *aether_buffer_create_sized(const aether_buffer_options *options,
                                                                    size_t options_size);

static inline AETHER_CHECKED aether_buffer *aether_buffer_create(const aether_buffer_options *options)
{
    return aether_buffer_create_sized(options, sizeof *options);
}

/*
 * Gives the buffer up. Its cursors read what they still hold, then get AETHER_CLOSED (or the reason of an earlier end,
 * or what a splice leads to), so they may be closed later. A writing call: the writer's thread, or another one that is
 * ordered after its last append, and after all calls by anyone that take this handle. Does not block; NULL does nothing.
 */
AETHER_API void aether_buffer_destroy(aether_buffer *buffer);

/* --------------------------------------------------------------------------------------------------------- writing */

/*
 * Appends one item with a copy of `size` bytes at `data` (NULL only with size 0), under the index after the newest one.
 * It is visible to every reader when the call returns. Never blocks, no system call unless a reader sleeps at the gate, or
 * memory is new or goes back. The writer only. AETHER_TOO_LARGE: above AETHER_ITEM_MAX. AETHER_ENDED: the buffer was ended
 * or spliced. AETHER_NO_MEMORY: nothing has changed, the next append may succeed. AETHER_INDEX_ORDER: the newest index is
 * the largest there is. AETHER_BUSY: debug builds saw two writers.
 */
AETHER_API AETHER_CHECKED aether_status aether_append(aether_buffer *buffer, const void *data, size_t size);

/*
 * The same under an index of the writer's own, which must be above the newest one and may leave a hole. An index that is not
 * the next one costs 8 bytes more, as does each later item of the same segment.
 * AETHER_INDEX_ORDER: not above the newest index; nothing was appended. AETHER_INVALID: index 0.
 */
AETHER_API AETHER_CHECKED aether_status aether_append_at(aether_buffer *buffer, uint64_t index, const void *data,
                                                         size_t size);

/* One item of a batch. */
typedef struct aether_payload {
    const void *data; /* copied; NULL only with size 0 */
    size_t size;      /* bytes */
    uint64_t index;   /* its own index, or 0: the next one */
} aether_payload;

/*
 * Appends `count` items that become visible together: a reader that sees the first sees them all. All or none. No items are
 * AETHER_OK. Statuses as above, for whichever item; AETHER_TOO_LARGE also for a batch above AETHER_BATCH_MAX.
 */
AETHER_API AETHER_CHECKED aether_status aether_append_batch_sized(aether_buffer *buffer, const aether_payload *payloads,
                                                                  size_t count, size_t payload_size);

static inline AETHER_CHECKED aether_status aether_append_batch(aether_buffer *buffer, const aether_payload *payloads,
                                                               size_t count)
{
    return aether_append_batch_sized(buffer, payloads, count, sizeof *payloads);
}

/*
 * The same for an array: `count` items of `size` bytes each, one after another at `items`, under the next indexes.
 */
AETHER_API AETHER_CHECKED aether_status aether_append_array(aether_buffer *buffer, const void *items, size_t size,
                                                            size_t count);

/*
 * Ends the buffer: readers get `reason` after the last item, and again at every later call. AETHER_OK means AETHER_ENDED;
 * else a final status (aether_status_is_final()), anything else is AETHER_INVALID. The writer only; never blocks, needs no
 * memory.
 * AETHER_ENDED: it was ended or spliced before. AETHER_BUSY: as with append.
 */
AETHER_API AETHER_CHECKED aether_status aether_buffer_end(aether_buffer *buffer, aether_status reason);

/*
 * Ends the buffer by continuing where `at` stands, in another buffer: its readers go on there and do not notice. Takes `at`
 * over and closes it; on any failure `at` stays the caller's. `buffer` may be destroyed afterwards. The place is held, and
 * all that follows it, as long as a reader of `buffer` or the buffer itself may come to it.
 * The writer of `buffer` only, and nobody else may use `at`; the other buffer's writer goes on meanwhile. Takes a lock that
 * no reading or appending call takes.
 * AETHER_ENDED: `buffer` was ended or spliced before. AETHER_CIRCLE: the way from `at` on leads to `buffer`. AETHER_BUSY: as
 * with append.
 */
AETHER_API AETHER_CHECKED aether_status aether_buffer_splice(aether_buffer *buffer, aether_cursor *at);

/* --------------------------------------------------------------------------------------------------------- reading */

/* Where a cursor begins. */
typedef int32_t aether_start;

enum {
    AETHER_FROM_NEXT = 0, /* at the first item that is appended after the call began to look: nothing older */
    AETHER_FROM_OLDEST =
        1 /* at the oldest item that the buffer itself holds: the start of its newest segment at the latest */
};

/*
 * Opens a cursor. The caller owns it, until aether_cursor_close(). Any thread, also beside the writer; never blocks.
 * AETHER_FROM_NEXT takes its place at one instant within the call: items published before the call are not seen, items
 * published after it returned are. On a buffer that was spliced, next is the next item of the buffer that it leads to; on
 * one that has ended, the end. NULL: AETHER_INVALID, AETHER_NO_MEMORY or AETHER_FORKED.
 */
AETHER_API AETHER_CHECKED aether_cursor *aether_cursor_open(aether_buffer *buffer, aether_start start);

/*
 * A second cursor at the same place: both see the same items from here on. By the cursor's own thread; the new one may
 * go to another. It is neither cancelled nor closed. NULL: AETHER_INVALID, AETHER_NO_MEMORY or AETHER_FORKED.
 */
AETHER_API AETHER_CHECKED aether_cursor *aether_cursor_dup(aether_cursor *cursor);

/* What a reader gets: borrowed until the next call on the cursor. `data` is aligned to 8 bytes and never NULL. */
typedef struct aether_item {
    const void *data;
    size_t size;    /* bytes */
    uint64_t index; /* the writer's number of the item; behind a splice, the other writer's (aether_cursor_position()) */
} aether_item;

/*
 * Hands out the next item, waiting for it until `timeout_ns` from now have passed (AETHER_NO_WAIT, AETHER_FOREVER). The
 * cursor's own thread.
 * AETHER_EMPTY: nothing now, without waiting. AETHER_TIMEOUT: nothing in time. AETHER_CANCELLED: aether_cursor_cancel()
 * was called, items may be left. AETHER_CLOSED: the buffer was destroyed, and the cursor is still to be closed; or another
 * thread closed this cursor while the call was inside, and it must not be touched again. (A program in which others close
 * a reader's cursor has that reader never close it.) AETHER_ENDED, AETHER_RESET, AETHER_FAILED: the reason with which the
 * buffer ended, now and at each later call. What `item` holds means something with AETHER_OK only.
 */
AETHER_API AETHER_CHECKED aether_status aether_cursor_next_sized(aether_cursor *cursor, aether_item *item, size_t item_size,
                                                                 int64_t timeout_ns);

static inline AETHER_CHECKED aether_status aether_cursor_next(aether_cursor *cursor, aether_item *item, int64_t timeout_ns)
{
    return aether_cursor_next_sized(cursor, item, sizeof *item, timeout_ns);
}

/*
 * A run: hands out up to `capacity` items (at least one) that are ready, into the caller's array, waiting for the first one
 * as next does. `*count` says how many: they are of one segment, so fewer than are ready may come. All are valid until the
 * next call on the cursor.
 * Statuses as above; `*count` is 0 with any other than AETHER_OK. A capacity of 0 is AETHER_INVALID.
 */
AETHER_API AETHER_CHECKED aether_status aether_cursor_run_sized(aether_cursor *cursor, aether_item *items, size_t capacity,
                                                                size_t *count, size_t item_size, int64_t timeout_ns);

static inline AETHER_CHECKED aether_status aether_cursor_run(aether_cursor *cursor, aether_item *items, size_t capacity,
                                                             size_t *count, int64_t timeout_ns)
{
    return aether_cursor_run_sized(cursor, items, capacity, count, sizeof *items, timeout_ns);
}

/*
 * The position of the item that was handed out last, in the buffer that it came from; before the first one the position
 * just before the start. The cursor's own thread. All zero for NULL or a handle from before fork().
 */
AETHER_API aether_position aether_cursor_position(const aether_cursor *cursor);

/*
 * Makes this reader's call return AETHER_CANCELLED, if it is inside one and finds no item first, and each later one until
 * aether_cursor_resume(). Wakes exactly this reader. Any thread, also from a signal handler; never blocks. The cursor has to
 * be open still; NULL does nothing.
 */
AETHER_API void aether_cursor_cancel(aether_cursor *cursor);

/* Takes a cancellation back, so that the cursor reads on where it stood. The cursor's own thread. Also AETHER_CLOSED. */
AETHER_API AETHER_CHECKED aether_status aether_cursor_resume(aether_cursor *cursor);

/*
 * Closes the cursor and lets go of what it held, the items that it handed out included. From any thread: a call of the
 * owner's that waits inside aether_cursor_next() or aether_cursor_run() is woken and returns AETHER_CLOSED, and close waits
 * until it has left, about a millisecond at the most. A call that had found an item at that moment may still return
 * AETHER_OK, with an item that is gone, and a call that *begins* on a closed cursor is an error of the program, as with any
 * handle. So another thread closes only a reader that does nothing more with item or cursor; else it cancels the reader,
 * joins it, and closes then.
 * May free a long chain of segments, never recursively. NULL does nothing.
 */
AETHER_API void aether_cursor_close(aether_cursor *cursor);

/* ------------------------------------------------------------------------------------------------------ statistics */

/* What a buffer has done and holds (BUF10). Counters are since creation. */
typedef struct aether_buffer_stats {
    aether_position newest;   /* its epoch and newest index */
    uint64_t items;           /* items published */
    uint64_t bytes;           /* bytes published, headers and padding included */
    uint64_t retained_items;  /* items that a cursor from the oldest would get */
    uint64_t retained_bytes;  /* their bytes */
    uint64_t in_use_bytes;    /* memory of segments that the buffer or a reader holds, cached ones not included */
    uint64_t in_use_segments; /* their number */
    uint64_t cached_segments; /* recycled segments that wait for the writer, about */
    uint64_t cursors;         /* open cursors that stand in this buffer: those that crossed into another count there */
    uint64_t wakes;           /* appends that found a sleeping reader */
    uint64_t cached_bytes;    /* memory of recycled segments: those, and ones that the buffer outgrew */
} aether_buffer_stats;

/* Fills `stats`. Any thread, beside the writer; never blocks. Each figure is right at some instant within the call. */
AETHER_API AETHER_CHECKED aether_status aether_buffer_get_stats_sized(aether_buffer *buffer, aether_buffer_stats *stats,
                                                                      size_t stats_size);

static inline AETHER_CHECKED aether_status aether_buffer_get_stats(aether_buffer *buffer, aether_buffer_stats *stats)
{
    return aether_buffer_get_stats_sized(buffer, stats, sizeof *stats);
}

/*
 * The buffer's epoch, and the index of its newest item (options.newest_index before the first), also after it was ended or
 * spliced. Any thread; never blocks. All zero for NULL or a handle from before fork().
 */
AETHER_API aether_position aether_buffer_newest(aether_buffer *buffer);

#ifdef __cplusplus
}
#endif

#endif
