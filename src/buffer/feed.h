/*
 * What the bus needs of a buffer beyond the public header.
 *
 * Its writer is whoever holds the bus's role, and must not wait. So an append that would have to wait for a reader answers
 * AE_MUST_WAIT and says for what; the thread that wants to publish leaves the role, awaits that room, and tries again. While
 * it does so nobody appends to that buffer, which is the bus's rule: what is awaited stays what is wanted.
 */
#ifndef AE_FEED_H
#define AE_FEED_H

#include "buffer/cursor.h"

/* A status of the library's own, which no program sees. */
enum { AE_MUST_WAIT = -1 };

/* From creation on: appends answer AE_MUST_WAIT where they would wait, whichever thread it is. */
static inline void ae_buffer_wait_elsewhere(struct aether_buffer *buffer)
{
    buffer->waits_elsewhere = true;
}

/*
 * Waits for the room of an AE_MUST_WAIT, buffer->wanted_room as it was then. One thread at a time, beside the writer.
 * Statuses as with the append; AETHER_CANCELLED by aether_buffer_cancel(), and each time until aether_buffer_resume().
 */
AETHER_CHECKED aether_status ae_room_await(struct aether_buffer *buffer, const struct ae_room *room, int64_t deadline,
                                           const char *call);

/*
 * As aether_reserve(), also of a payload by reference, which leaves *data NULL: all that can fail does so here. The payload
 * is not one that is small enough to be copied. Then it is committed whole, or ae_writer_abandon() gives it up. The writer
 * only.
 */
AETHER_CHECKED aether_status ae_prepare(struct aether_buffer *buffer, const aether_payload *payload, void **data,
                                        const char *call);
void ae_prepared_commit(struct aether_buffer *buffer);

/*
 * The cursor limits the writer of this buffer no more, whatever limit it has there; its reader is not asked. Any thread,
 * while nobody closes it. Takes a lock that no reading or appending call takes.
 */
void ae_registry_excuse(struct aether_buffer *buffer, const struct aether_cursor *cursor);

/* Other figures for what is kept though nobody reads. The writer only. */
void ae_buffer_set_retention(struct aether_buffer *buffer, uint64_t bytes, uint64_t items, int64_t ns);

/* Items, and events in them, published so far. The writer only. */
static inline uint64_t ae_buffer_items(const struct aether_buffer *buffer)
{
    return buffer->writing->first + ae_filled_items(buffer->head.filled);
}

static inline uint64_t ae_buffer_events(const struct aether_buffer *buffer)
{
    return ae_buffer_items(buffer) + buffer->writing->extra_before + buffer->writing->extra;
}

/* The index of the newest item, or the one before the first. The writer only. */
static inline uint64_t ae_buffer_index(const struct aether_buffer *buffer)
{
    return ae_writer_newest(buffer);
}

/* Items and events of the cursor's buffer before its place. The cursor's own thread. */
static inline uint64_t ae_cursor_items(const struct aether_cursor *cursor)
{
    return cursor->head.number;
}

static inline uint64_t ae_cursor_events(const struct aether_cursor *cursor)
{
    return cursor->head.number + ae_cursor_extra(cursor);
}

/* Whether the item after the cursor's place is there, and in the segment of the one before it. */
static inline bool ae_cursor_has_more_here(const struct aether_cursor *cursor)
{
    return ae_word_is_item(AE_LOAD(E1_READ, ae_slot_word(cursor->head.at), acquire)); /* E1: pairs with E1_PUBLISH */
}

/* Whether the cursor stands in this buffer, rather than in one that leads there or was spliced to. */
static inline bool ae_cursor_is_in(const struct aether_cursor *cursor, const struct aether_buffer *buffer)
{
    return cursor->segment->owner == buffer;
}

/*
 * Moves the cursor to where `from` stands, with the limit of that one, and closes `from`. It stays what it was for those who
 * cancel, close or watch it. The cursor's own thread; never fails.
 */
void ae_cursor_move(struct aether_cursor *cursor, struct aether_cursor *from);

/*
 * The reader has more than its cursor shows: a poller takes the cursor for ready until this is taken back. The cursor's own
 * thread.
 */
void ae_cursor_hint(struct aether_cursor *cursor, bool ready);

#endif
