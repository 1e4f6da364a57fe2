/*
 * The inline way: append and next compiled into the program, for the highest rates. What they cannot do at once (a new
 * segment, a sleeping reader, waiting, an end) they leave to the calls of aether/buffer.h, with which they mix freely.
 *
 *      while (aether_inline_append(buffer, &tick, sizeof tick) == AETHER_OK)
 *          ...
 *
 *      for (;;) {
 *          aether_item item;
 *          while (aether_inline_next(cursor, &item))       // a run: what is ready, without a call per item
 *              use(&item);
 *          aether_status status = aether_cursor_next(cursor, &item, AETHER_FOREVER);
 *          if (status != AETHER_OK)
 *              break;
 *          use(&item);
 *      }
 *
 * A program that includes this header is bound to the layouts below: they change only together with the library's soname.
 * Arguments are not checked here: neither handle nor pointer may be NULL, but for data of size 0. A cursor from before
 * fork() is not detected in aether_inline_next(); an inline append to an inherited buffer answers AETHER_FORKED.
 * aether_cursor_close() from another thread must never find a reader inside aether_inline_next(): such a reader is cancelled
 * and joined first.
 *
 * The item as it stands in a segment, aligned to 8 bytes:
 *
 *      0        4       8                       8 + size
 *      ┌────────┬───────┬───────────────────────┬─────────┬──────────────────
 *      │  word  │ gate  │ payload               │ padding │ next item's word …
 *      └────────┴───────┴───────────────────────┴─────────┴──────────────────
 *      word: size << 3 | kind, 0 while the item is not there;  gate: who waits for it (docs/memory-order.md)
 *
 * A word with kind AETHER_KIND_INDEXED counts the 8 bytes of the index, which stand first, in its size.
 */
#ifndef AETHER_INLINE_H
#define AETHER_INLINE_H

#include <string.h>

#include "aether/buffer.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    AETHER_KIND_ITEM = 1,      /* a payload, under the index after the one before it */
    AETHER_KIND_INDEXED = 2,   /* 8 bytes of index, then a payload */
    AETHER_KIND_EVENTS = 3,    /* 16 bytes of index and number of events, then a payload */
    AETHER_KIND_REFERENCE = 4, /* the same 16 bytes, then where the payload is */
    AETHER_KIND_ROLL = 6,      /* goes on at the segment's successor, here or in another buffer */
    AETHER_KIND_FINAL = 7      /* nothing follows; the size is the reason, an aether_status */
};

/* How a program hooks delays in between, for tests; the label names the edge. */
#ifndef AETHER_POINT
#define AETHER_POINT(label) ((void)0)
#endif
#ifndef AETHER_ORDER
#define AETHER_ORDER(label, order) (order)
#endif

/*
 * The head of every aether_buffer. Guard: the writer. The order keeps the two that change apart: side by side, compilers
 * join them into one vector, whose way through memory is the longest part of an append.
 */
struct aether_writer_head {
    unsigned char *at;         /* the empty slot after the newest item */
    unsigned char *inline_end; /* of the room that an inline append may take; NULL: leave it to the plain call */
    uint64_t *filled_word;     /* where readers find `filled` (edge E9) */
    uint64_t filled;           /* items << 32 | bytes published in this segment */
};

/* The head of every aether_cursor. Guard: the reader, but for `state`. */
struct aether_reader_head {
    const unsigned char *at; /* the slot of the next item */
    uint64_t number;         /* items before it in its buffer; others may read it (edge R1) */
    uint64_t index_base;     /* index = index_base + number */
    uint32_t state;          /* bits; anything but 0 is for the plain call (edge E10) */
    uint32_t inside;         /* 1 while a plain call is inside (edge E12) */
};

/* A sleeping reader was found at the gate of `slot`: closes it and wakes two. For aether_inline_append() only. */
AETHER_API void aether_inline_wake(aether_buffer *buffer, void *slot);

/*
 * Publishes `count` items that stand at `slot`, the writer's place, and take `step` bytes together, by the first one's word.
 * For the calls below and in the library only.
 */
static inline void aether_inline_publish(aether_buffer *buffer, unsigned char *slot, uint32_t word, uint64_t count,
                                         uint64_t step)
{
    struct aether_writer_head *writer = (struct aether_writer_head *)buffer;
    writer->at = slot + step;
    writer->filled += (count << 32) + step;
    AETHER_POINT(E1_PUBLISH);
    /* E1: pairs with E1_READ in next: payload before word. */
    __atomic_store_n((uint32_t *)(void *)slot, word, AETHER_ORDER(E1_PUBLISH, __ATOMIC_RELEASE));
    /* E2, the light half: the sleeper's heavy barrier orders this store before this load, or the sleeper sees the word. */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    AETHER_POINT(E2_LOOK);
    uint32_t gate = __atomic_load_n((uint32_t *)(void *)(slot + 4), __ATOMIC_RELAXED);
    AETHER_POINT(E9_FILLED);
    /* E9: pairs with E9_LOAD in open: never ahead of what is published. */
    __atomic_store_n(writer->filled_word, writer->filled, AETHER_ORDER(E9_FILLED, __ATOMIC_RELEASE));
    if (__builtin_expect(gate != 0, 0))
        aether_inline_wake(buffer, slot);
}

/* True when an inline append of `size` bytes finds its room. */
static inline bool aether_inline_fits(const aether_buffer *buffer, size_t size)
{
    const struct aether_writer_head *writer = (const struct aether_writer_head *)buffer;
    return size <= AETHER_ITEM_MAX &&
           (uintptr_t)writer->at + (((uint64_t)size + 15) & ~UINT64_C(7)) <= (uintptr_t)writer->inline_end;
}

/* The bytes that an item of `size` takes, and its word. */
static inline uint64_t aether_inline_step(size_t size)
{
    return ((uint64_t)size + 15) & ~UINT64_C(7);
}

static inline uint32_t aether_inline_word(size_t size)
{
    return (uint32_t)size << 3 | AETHER_KIND_ITEM;
}

/* As aether_append(), with the arguments unchecked. */
static inline AETHER_CHECKED aether_status aether_inline_append(aether_buffer *buffer, const void *data, size_t size)
{
    if (__builtin_expect(!aether_inline_fits(buffer, size), 0))
        return aether_append(buffer, data, size);
    unsigned char *slot = ((struct aether_writer_head *)buffer)->at;
    if (size != 0)
        memcpy(slot + 8, data, size);
    aether_inline_publish(buffer, slot, aether_inline_word(size), 1, aether_inline_step(size));
    return AETHER_OK;
}

/* As aether_append_array(), with the arguments unchecked. */
static inline AETHER_CHECKED aether_status aether_inline_append_array(aether_buffer *buffer, const void *items, size_t size,
                                                                      size_t count)
{
    const struct aether_writer_head *writer = (const struct aether_writer_head *)buffer;
    unsigned char *slot = writer->at;
    uint64_t step = aether_inline_step(size), room = (uint64_t)((uintptr_t)writer->inline_end - (uintptr_t)slot);
    if (__builtin_expect((uintptr_t)writer->inline_end < (uintptr_t)slot || size == 0 || count == 0 ||
                             size > AETHER_ITEM_MAX || count > room / step,
                         0))
        return aether_append_array(buffer, items, size, count);
    const unsigned char *from = (const unsigned char *)items;
    memcpy(slot + 8, from, size);
    unsigned char *at = slot + step;
    for (size_t i = 1; i < count; i++) {
        from += size;
        memcpy(at + 8, from, size);
        AETHER_POINT(E1_REST);
        /* E1, relaxed: the first word's store carries it. */
        __atomic_store_n((uint32_t *)(void *)at, aether_inline_word(size), __ATOMIC_RELAXED);
        at += step;
    }
    aether_inline_publish(buffer, slot, aether_inline_word(size), count, (uint64_t)(at - slot));
    return AETHER_OK;
}

/*
 * Hands out the next item of this segment if it is ready and has no index of its own to unpack, and nobody cancelled: true.
 * Anything else is false, and for aether_cursor_next() to tell. Borrowed until the next call on the cursor.
 */
static inline AETHER_CHECKED bool aether_inline_next(aether_cursor *cursor, aether_item *item)
{
    struct aether_reader_head *reader = (struct aether_reader_head *)cursor;
    const unsigned char *slot = reader->at;
    AETHER_POINT(E1_READ);
    /* E1: pairs with E1_PUBLISH in append: word before payload. */
    uint32_t word = __atomic_load_n((const uint32_t *)(const void *)slot, AETHER_ORDER(E1_READ, __ATOMIC_ACQUIRE));
    AETHER_POINT(E10_STATE);
    /* E10, relaxed: only a hint to leave; the plain call looks again with acquire. */
    uint32_t state = __atomic_load_n(&reader->state, __ATOMIC_RELAXED);
    if (__builtin_expect((word & 7) != AETHER_KIND_ITEM || state != 0, 0))
        return false;
    uint32_t size = word >> 3;
    item->data = slot + 8;
    item->size = size;
    item->index = reader->index_base + reader->number;
    item->events = 1;
    reader->at = slot + (((uint64_t)size + 15) & ~UINT64_C(7));
    AETHER_POINT(R1_NUMBER);
    /* R1, relaxed: a figure for statistics, it orders nothing. */
    __atomic_store_n(&reader->number, reader->number + 1, __ATOMIC_RELAXED);
    return true;
}

#ifdef __cplusplus
}
#endif

#endif
