/*
 * Segments: taken by the writer, counted by everybody, recycled or given back by whoever drops the last count.
 *
 * A dead segment of a usual size goes to its buffer's free list (push one, take all: no ABA) until enough are there. The
 * rest goes back to the allocator after a grace period, because a late opener may still look at its count; recycling
 * needs none, since the look after the count (E7_AGAIN) tells a wrong life.
 */
#include "buffer/segment.h"

#include <string.h>

#include "base/allocator.h"
#include "base/clock.h"
#include "buffer/buffer.h"

enum {
    BUSY_NS = 100 * 1000 * 1000,   /* a segment that filled faster than this is too small */
    QUIET_NS = 2000 * 1000 * 1000, /* one that took longer is too large */
    LONG_CHAIN = 8,                /* so many segments in use are better kept in fewer, larger ones */
    SHORT_CHAIN = 2
};

/* -------------------------------------------------------------------------------------------------------- sizes */

/* The room of the next segment: doubles while the buffer is busy or long, halves when it is quiet. Once per roll. */
static uint32_t next_room(struct aether_buffer *buffer)
{
    if (buffer->writing == NULL || buffer->first_room == buffer->largest_room)
        return buffer->room;
    int64_t now = ae_clock.coarse(), age = now - buffer->rolled_at;
    buffer->rolled_at = now;
    uint64_t size = ae_segment_size(buffer->room);
    uint32_t alive = AE_LOAD(R1_COUNT, &buffer->alive, relaxed); /* R1: a rule of thumb */
    if ((age < BUSY_NS || alive > LONG_CHAIN) && buffer->room < buffer->largest_room)
        size *= 2;
    else if (age > QUIET_NS && alive <= SHORT_CHAIN && buffer->room > buffer->first_room)
        size /= 2;
    return (uint32_t)(size - ae_segment_size(0));
}

/* The smallest usual room that is at least `room`, given that the largest is. */
static uint32_t usual_room(const struct aether_buffer *buffer, uint64_t room)
{
    uint64_t size = ae_segment_size(buffer->first_room);
    while (size - ae_segment_size(0) < room)
        size *= 2;
    return (uint32_t)(size - ae_segment_size(0));
}

/* ------------------------------------------------------------------------------------------------- taking, freeing */

static struct segment *allocate(struct aether_buffer *buffer, uint32_t room)
{
    struct segment *segment = ae_alloc(&buffer->allocator, ae_segment_size(room), AE_LINE);
    if (segment == NULL)
        return NULL;
    memset(segment, 0, ae_segment_size(room));
    segment->room = room;
    segment->owner = buffer;
    ae_buffer_hold(buffer);
    return segment;
}

static struct segment *pop_spare(struct aether_buffer *buffer)
{
    if (buffer->mine == NULL)
        /* E6: pairs with E6_PUSH: the list, and all that was done in its segments. */
        buffer->mine = AE_EXCHANGE(E6_TAKE, &buffer->freed, NULL, acquire);
    struct segment *segment = buffer->mine;
    if (segment != NULL) {
        buffer->mine = segment->free_next;
        AE_SUB(R1_COUNT, &buffer->spares, 1, relaxed); /* R1: about how many */
    }
    return segment;
}

/* A reader looks at the header after the newest item, so all of the memory is zero when a life begins. */
static struct segment *recycle(struct aether_buffer *buffer, uint32_t room)
{
    struct segment *segment;
    while ((segment = pop_spare(buffer)) != NULL) {
        if (segment->room >= room) {
            memset(segment->memory, 0, segment->used);
            segment->filled = 0;
            segment->next = NULL;
            segment->used = 0;
            ae_buffer_hold(buffer);
            return segment;
        }
        segment->free_next = buffer->outgrown;
        buffer->outgrown = segment;
    }
    return NULL;
}

struct segment *ae_segment_take(struct aether_buffer *buffer, uint64_t need)
{
    need += AE_END_ROOM;
    if (need > buffer->largest_room)
        return allocate(buffer, (uint32_t)need);
    uint32_t room = next_room(buffer);
    buffer->room = room;
    if (room < need)
        room = usual_room(buffer, need);
    struct segment *segment = recycle(buffer, room);
    return segment != NULL ? segment : allocate(buffer, room);
}

void ae_segments_free(const aether_allocator *allocator, struct segment *list)
{
    while (list != NULL) {
        struct segment *next = list->free_next;
        ae_free(allocator, list, ae_segment_size(list->room), AE_LINE);
        list = next;
    }
}

/* -------------------------------------------------------------------------------------------------------- dying */

static void free_after_grace(struct ae_rcu_head *head)
{
    struct segment *segment = (struct segment *)((char *)head - offsetof(struct segment, rcu));
    while (segment != NULL) {
        struct segment *next = segment->free_next;
        struct aether_buffer *owner = segment->owner;
        ae_free(&owner->allocator, segment, ae_segment_size(segment->room), AE_LINE);
        ae_buffer_drop(owner);
        segment = next;
    }
}

static void push_spare(struct aether_buffer *owner, struct segment *segment)
{
    struct segment *top = AE_LOAD(R1_COUNT, &owner->freed, relaxed); /* R1, relaxed: the exchange below decides */
    do
        segment->free_next = top;
    /* E6: pairs with E6_TAKE in pop_spare(). */
    while (!AE_CAS(E6_PUSH, &owner->freed, &top, segment, release, relaxed));
}

/* The caller dropped the last pin and is the only one left. What cannot be recycled goes to `list`. */
static void die(struct segment *segment, struct segment **list)
{
    struct aether_buffer *owner = segment->owner;
    /* R1, relaxed, all four: figures; an overshoot of one spare per thread is harmless. */
    AE_SUB(R1_COUNT, &owner->alive, 1, relaxed);
    AE_SUB(R1_COUNT, &owner->in_use, ae_segment_size(segment->room), relaxed);
    if (segment->room <= owner->largest_room && AE_LOAD(R1_COUNT, &owner->spares, relaxed) < owner->spares_most) {
        AE_ADD(R1_COUNT, &owner->spares, 1, relaxed);
        push_spare(owner, segment); /* from here on it is the writer's */
        ae_buffer_drop(owner);
    } else {
        segment->free_next = *list;
        *list = segment;
    }
}

void ae_chain_drop(struct segment *segment)
{
    struct segment *list = NULL;
    /* E5: pairs with itself: the last one to drop sees what all others did. */
    while (segment != NULL && AE_SUB(E5_DROP, &segment->chain, 1, acq_rel) == 1) {
        /* E8: pairs with E8_LINK (its count is ours now), and with E8_NEXT of who looks at a cut link. */
        struct segment *next = AE_EXCHANGE(E8_CUT, &segment->next, AE_SEVERED, acq_rel);
        /* E5: pairs with itself. */
        if (AE_SUB(E5_UNPIN, &segment->pins, 1, acq_rel) == 1)
            die(segment, &list);
        segment = next;
    }
    if (list != NULL)
        ae_rcu_defer(&list->rcu, free_after_grace);
}
