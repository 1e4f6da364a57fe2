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
 *    cursor has not read yet, and what the buffer is told to retain (BUF8).
 *  - A cursor may have a limit on what is unread (BUF9): then it is lapped, and learns exactly how much it missed; or the
 *    writer waits for it; or append answers AETHER_FULL.
 *  - Append never waits for readers unless a cursor asked for it, takes no lock that readers hold, and makes no system call
 *    unless a reader sleeps (BUF1).
 *  - The index of an item is the writer's own number for it: strictly growing, from 1. Who gives none gets the next one.
 *  - A buffer may end, for good, or continue at a place in another buffer, which its readers cross into without noticing
 *    (BUF6): this is how a snapshot is followed by live changes.
 *
 * Caveats
 *  - One writer at a time. Threads may take turns when something orders them (a mutex, a join). Two writing calls that
 *    overlap destroy the buffer; the debug build of the library answers AETHER_BUSY instead where it sees them.
 *  - A cursor without a limit that is open and never read holds all that follows it. Give it a limit, or close what you
 *    do not read; a label lets the statistics name it.
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
#define AETHER_ITEM_MAX ((size_t)0x1fffffe0)
#define AETHER_BATCH_MAX ((size_t)0x40000000)

/* What happens at a cursor's limit. */
typedef int32_t aether_on_limit;

enum {
    AETHER_LAP = 1,   /* the reader misses items: it reads its segment out, gets AETHER_LAGGED once, goes on at the oldest */
    AETHER_WAIT = 2,  /* the writer waits: append blocks until the reader has read, at most aether_buffer_set_wait() */
    AETHER_REFUSE = 3 /* append answers AETHER_FULL */
};

/* No limit, where the buffer's default is one. */
#define AETHER_UNLIMITED UINT64_MAX
/* A limit is at least so many of the buffer's largest segments: a reader always holds the one that it stands in. */
#define AETHER_LIMIT_SEGMENTS 4

/* Zero is the default everywhere: `aether_buffer_options options = {0};` asks for nothing special. */
typedef struct aether_buffer_options {
    const aether_allocator *allocator; /* copied; NULL: the C library's */
    uint64_t epoch;                    /* the identity of this history; 0: a random one */
    uint64_t newest_index;             /* the index before the first item; 0: items are numbered from 1 */
    uint32_t segment_bytes;            /* the largest segment, 1 KiB to 16 MiB, a power of two; 0: 64 KiB */
    uint32_t first_segment_bytes; /* the first one, 512 bytes to segment_bytes, a power of two; 0: 1 KiB. A busy buffer's
                                     segments double up to the largest; a quiet one's stay small */
    int32_t cached_segments;      /* recycled segments kept for the writer at the most; 0: 4; below 0: none */
    int32_t spins;  /* how long a reader looks again before it sleeps, at the most, in pauses of the processor (about 20 ns);
                       each reader learns how long pays for itself. 0: 1000, about what a sleep costs; below 0: never */
    int32_t yields; /* how often it then gives its processor away and looks; 0: once; below 0: never */
    aether_on_limit on_limit; /* of cursors that do not choose; 0: AETHER_LAP */
    uint64_t limit_bytes;     /* the same; at least 4 * segment_bytes; 0: no limit */
    uint64_t
        retain_bytes; /* the last bytes, items and nanoseconds that are kept even when nobody reads: as long as any of */
    uint64_t retain_items; /* the three asks for it, by whole segments; 0 each: nothing but the newest segment */
    int64_t retain_ns;
    int64_t wait_ns; /* how long an append waits for AETHER_WAIT cursors at the most; 0: AETHER_FOREVER. See
                        aether_buffer_set_wait() */
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

/*
 * Tells that the library is done with a payload that was given by reference. It is called once, after the last reader has
 * left the segment of the item, on whichever thread left last, which may be the writer's, a reader's or that of whoever
 * closes or destroys. It must not block. A call into the library from inside answers AETHER_WOULD_BLOCK, where it does more
 * than copy or read an item.
 */
typedef void (*aether_release_fn)(void *data, size_t size, void *user);

/* The most events of an item, and the least payload that is not copied although it is given by reference. */
#define AETHER_EVENTS_MAX UINT32_MAX
#define AETHER_REFERENCE_LEAST ((size_t)128)
/* The largest payload by reference. */
#define AETHER_REFERENCE_MAX ((size_t)1 << 47)

/* One item of a batch. Zero is the default for all but data and size. */
typedef struct aether_payload {
    const void *data; /* NULL only with size 0 */
    size_t size;      /* bytes */
    uint64_t index;   /* its own index, or 0: the next one */
    uint64_t events;  /* how many events the item is, for the statistics and the count of what is missed; 0: one */
    aether_release_fn
        release; /* NULL: `data` is copied. Else it stays where it is, unchanged, until release(data, size,
                    user); below AETHER_REFERENCE_LEAST it is copied and released before the call returns. If
                    the call fails, it is not called. Up to AETHER_REFERENCE_MAX; counts as bytes of the buffer everywhere */
    void *user;
} aether_payload;

/*
 * Appends `count` items that become visible together: a reader that sees the first sees them all. All or none. No items are
 * AETHER_OK. This is also how one item is appended by reference, or with several events. Statuses as above, for whichever
 * item; AETHER_TOO_LARGE also for a batch above AETHER_BATCH_MAX.
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
 * Reserves room for an item that is then written in place, at *data (aligned to 8 bytes), and becomes visible with
 * aether_commit(). Of `payload` size, index and events count; data is not looked at, release has to be NULL. Rolls if need
 * be, so all that can fail or wait does so here. Until commit or abandon every other writing call answers AETHER_BUSY;
 * aether_buffer_destroy() abandons. Statuses as with append.
 */
AETHER_API AETHER_CHECKED aether_status aether_reserve_sized(aether_buffer *buffer, const aether_payload *payload,
                                                             void **data, size_t payload_size);

static inline AETHER_CHECKED aether_status aether_reserve(aether_buffer *buffer, size_t size, void **data)
{
    aether_payload payload = {NULL, size, 0, 0, NULL, NULL};
    return aether_reserve_sized(buffer, &payload, data, sizeof payload);
}

/*
 * Publishes what was reserved, with its first `size` bytes. Never blocks, needs no memory. AETHER_TOO_LARGE: more than was
 * reserved; the reservation stands. AETHER_INVALID: nothing is reserved.
 */
AETHER_API AETHER_CHECKED aether_status aether_commit(aether_buffer *buffer, size_t size);

/* Gives the reservation up; nothing is published. AETHER_INVALID: nothing is reserved. */
AETHER_API AETHER_CHECKED aether_status aether_abandon(aether_buffer *buffer);

/*
 * Gives memory back: rolls on to a smallest segment, so that the one before goes as soon as all have read it, lets go of
 * what retention does not need, and returns the cached segments to the allocator. The writer only; for buffers that fall
 * quiet. AETHER_ENDED, AETHER_NO_MEMORY and limits as with append; nothing has changed then.
 */
AETHER_API AETHER_CHECKED aether_status aether_buffer_trim(aether_buffer *buffer);

/*
 * How long appends may wait for AETHER_WAIT cursors from now on: AETHER_NO_WAIT, nanoseconds, AETHER_FOREVER (the default).
 * The writer only. An append whose wait ends without room answers AETHER_TIMEOUT. One that waits for a cursor which the same
 * thread was the last to read answers AETHER_WOULD_BLOCK at once, since nobody could end that wait.
 */
AETHER_API AETHER_CHECKED aether_status aether_buffer_set_wait(aether_buffer *buffer, int64_t timeout_ns);

/*
 * Makes an append that waits, and each later one that would, answer AETHER_CANCELLED until aether_buffer_resume(). Any
 * thread, also from a signal handler; the buffer must not be destroyed before this returns. NULL does nothing.
 */
AETHER_API void aether_buffer_cancel(aether_buffer *buffer);
AETHER_API AETHER_CHECKED aether_status aether_buffer_resume(aether_buffer *buffer);

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
 * all that follows it, as long as a reader of `buffer` or the buffer itself may come to it. Where `at` may be lapped, no
 * more is held than its limit: a reader of `buffer`, with a limit or without, that comes too late gets AETHER_LAGGED behind
 * the first segment there, and goes on at the oldest. Where `at` has no limit, the other buffer may have let go of that
 * place itself: a reader with AETHER_LAP that comes in by it can be lapped before it reaches its limit. Open `at` with a
 * limit then, too. The writer of `buffer` only, and nobody else may use `at`; the other buffer's writer goes on meanwhile.
 * Takes a lock that no reading or appending call takes. AETHER_ENDED: `buffer` was ended or spliced before. AETHER_CIRCLE:
 * the way from `at` on leads to `buffer`. AETHER_CLOSED: `at` was lapped in a buffer that is destroyed, and leads nowhere.
 * AETHER_BUSY: as with append.
 */
AETHER_API AETHER_CHECKED aether_status aether_buffer_splice(aether_buffer *buffer, aether_cursor *at);

/* --------------------------------------------------------------------------------------------------------- reading */

/* Where a cursor begins. */
typedef int32_t aether_start;

enum {
    AETHER_FROM_NEXT = 0,   /* at the first item that is appended after the call began to look: nothing older */
    AETHER_FROM_OLDEST = 1, /* at the oldest item that the buffer itself holds: the start of its newest segment at the
                               latest */
    AETHER_FROM_AFTER = 2,  /* at the first item whose index is above options.position's */
    AETHER_FROM_AT = 3 /* at the first item whose index is options.position's, or above it where there is a hole; after the
                          newest one it is the next item */
};

/*
 * What a buffer has of its history: items with an index above `floor`, up to `newest`. The floor is the index before the
 * first item that the buffer itself holds, its newest index at creation at the least.
 */
typedef struct aether_range {
    uint64_t epoch;
    uint64_t floor;
    uint64_t newest;
} aether_range;

/* Zero is the default everywhere. */
typedef struct aether_cursor_options {
    aether_start start;
    aether_on_limit on_limit; /* 0: the buffer's default */
    uint64_t limit_bytes;     /* how much may be unread: at least 4 * segment_bytes, AETHER_UNLIMITED, or 0: the buffer's
                                 default. Counted by whole segments, so that the limit may act a segment early and is never
                                 exceeded by more than the segment that the reader stands in */
    aether_position position; /* for AETHER_FROM_AFTER and AETHER_FROM_AT; epoch 0: the buffer's */
    const char *label;        /* names the cursor in statistics and errors, up to 31 bytes; copied; NULL: it is not named */
    aether_range *range;      /* not NULL: filled in, also where the position is gone, ahead or of another epoch */
} aether_cursor_options;

/*
 * Opens a cursor. The caller owns it, until aether_cursor_close(). Any thread, also beside the writer; never blocks.
 * AETHER_FROM_NEXT takes its place at one instant within the call: items published before the call are not seen, items
 * published after it returned are. On a buffer that was spliced, next is the next item of the buffer that it leads to; on
 * one that has ended, the end. NULL: AETHER_INVALID, AETHER_NO_MEMORY or AETHER_FORKED.
 */
AETHER_API AETHER_CHECKED aether_cursor *aether_cursor_open(aether_buffer *buffer, aether_start start);

/*
 * The same with a limit, a position, a label. Positions are looked up among what the buffer itself holds; the way there
 * takes longer with the number of segments that it retains. A cursor that is to make the writer wait or refuse, or has a
 * label, takes a lock that only such opens and closes take.
 * NULL: also AETHER_GONE (the position is before the floor), AETHER_AHEAD (after the newest index), AETHER_OTHER_EPOCH.
 *
 * AETHER_LAP: a reader that has more than its limit unread reads the segment out that it stands in, then gets AETHER_LAGGED
 * once and goes on at the oldest item that it may still have; aether_cursor_get_stats() tells exactly how much it missed. It
 * holds back at most the largest such limit of the buffer, and once lapped only the segment that it stands in. Such a cursor
 * still reads on when the buffer was destroyed. An item above the limit is published, and laps.
 * AETHER_WAIT and AETHER_REFUSE: an item above the limit is AETHER_TOO_LARGE to its writer. The first AETHER_REFUSE cursor
 * at its limit decides before the writer waits for others. Where a splice leads them into a buffer with larger segments, a
 * limit below four of those is taken for so much.
 */
AETHER_API AETHER_CHECKED aether_cursor *aether_cursor_open_sized(aether_buffer *buffer,
                                                                  const aether_cursor_options *options, size_t options_size);

static inline AETHER_CHECKED aether_cursor *aether_cursor_open_with(aether_buffer *buffer,
                                                                    const aether_cursor_options *options)
{
    return aether_cursor_open_sized(buffer, options, sizeof *options);
}

/*
 * A second cursor at the same place, with the same limit and label: both see the same items from here on. By the cursor's
 * own thread; the new one may go to another. It is neither cancelled nor closed. NULL: AETHER_INVALID, AETHER_NO_MEMORY or
 * AETHER_FORKED.
 */
AETHER_API AETHER_CHECKED aether_cursor *aether_cursor_dup(aether_cursor *cursor);

/*
 * Changes the cursor's limit from where it stands on: as options.on_limit and options.limit_bytes of
 * aether_cursor_open_with(). For readers that first read something without a limit, a snapshot say. The cursor's own thread.
 * With AETHER_LAP, where no reader of the buffer had so large a limit before, it can be lapped early if it stands before the
 * oldest item that the buffer itself holds. AETHER_INVALID: no such limit. AETHER_NO_MEMORY: nothing has changed.
 */
AETHER_API AETHER_CHECKED aether_status aether_cursor_set_limit(aether_cursor *cursor, aether_on_limit on_limit,
                                                                uint64_t limit_bytes);

/* What a reader gets: borrowed until the next call on the cursor. `data` is aligned to 8 bytes, unless it was given by
 * reference, and never NULL. */
typedef struct aether_item {
    const void *data;
    size_t size;     /* bytes */
    uint64_t index;  /* the writer's number of the item; behind a splice, the other writer's (aether_cursor_position()) */
    uint64_t events; /* how many events it is, at least 1 */
} aether_item;

/*
 * Hands out the next item, waiting for it until `timeout_ns` from now have passed (AETHER_NO_WAIT, AETHER_FOREVER). The
 * cursor's own thread.
 * AETHER_EMPTY: nothing now, without waiting. AETHER_TIMEOUT: nothing in time. AETHER_CANCELLED: aether_cursor_cancel()
 * was called, items may be left. AETHER_CLOSED: the buffer was destroyed, and the cursor is still to be closed; or another
 * thread closed this cursor while the call was inside, and it must not be touched again. (A program in which others close
 * a reader's cursor has that reader never close it.) AETHER_ENDED, AETHER_RESET, AETHER_FAILED: the reason with which the
 * buffer ended, now and at each later call. AETHER_LAGGED: once for each time that a limit with AETHER_LAP was passed; the
 * next call goes on. AETHER_NO_MEMORY: a cursor with a label or a limit cannot follow a splice into the other buffer; the
 * next call may succeed. AETHER_WOULD_BLOCK: called from a release callback. What `item` holds means something with
 * AETHER_OK only.
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

/* What a cursor has missed and has before it. Zero lag also where its buffer was spliced to another, from there on. */
typedef struct aether_cursor_stats {
    aether_position position;  /* as aether_cursor_position() */
    uint64_t missed_items;     /* by the last AETHER_LAGGED: exactly so many were published and not delivered */
    uint64_t missed_events;    /* the events in them */
    uint64_t all_missed_items; /* by all of them */
    uint64_t all_missed_events;
    uint64_t lags;       /* how often */
    uint64_t lag_items;  /* published and not read yet */
    uint64_t lag_events; /* the events in them */
} aether_cursor_stats;

/* Fills `stats`. The cursor's own thread; never blocks. */
AETHER_API AETHER_CHECKED aether_status aether_cursor_get_stats_sized(aether_cursor *cursor, aether_cursor_stats *stats,
                                                                      size_t stats_size);

static inline AETHER_CHECKED aether_status aether_cursor_get_stats(aether_cursor *cursor, aether_cursor_stats *stats)
{
    return aether_cursor_get_stats_sized(cursor, stats, sizeof *stats);
}

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
    uint64_t events;          /* events in the items published */
    uint64_t retained_events;
    uint64_t room_waits;      /* appends that waited for a reader */
    uint64_t lapped_segments; /* segments in use that only readers hold which have been lapped */
    /* Of the cursors with a label, AETHER_WAIT or AETHER_REFUSE: the one that is behind the most; all zero without one. */
    uint64_t slowest_items; /* how far it is behind, at the most: its place is known by whole segments */
    uint64_t slowest_bytes;
    int32_t slowest_on_limit; /* 0: it has no limit */
    uint32_t slowest_of;      /* so many of such cursors there are */
    char slowest_label[32];
} aether_buffer_stats;

/* Fills `stats`. Any thread, beside the writer; never blocks. Each figure is right at some instant within the call. */
AETHER_API AETHER_CHECKED aether_status aether_buffer_get_stats_sized(aether_buffer *buffer, aether_buffer_stats *stats,
                                                                      size_t stats_size);

static inline AETHER_CHECKED aether_status aether_buffer_get_stats(aether_buffer *buffer, aether_buffer_stats *stats)
{
    return aether_buffer_get_stats_sized(buffer, stats, sizeof *stats);
}

/* What the buffer has of its history. Any thread; never blocks. All zero for NULL or a handle from before fork(). */
AETHER_API aether_range aether_buffer_range(aether_buffer *buffer);

/*
 * The buffer's epoch, and the index of its newest item (options.newest_index before the first), also after it was ended or
 * spliced. Any thread; never blocks. All zero for NULL or a handle from before fork().
 */
AETHER_API aether_position aether_buffer_newest(aether_buffer *buffer);

#ifdef __cplusplus
}
#endif

#endif
