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
#include "buffer/layout.h"

enum {
    BUSY_NS = 100 * 1000 * 1000,   /* a segment that filled faster than this is too small */
    QUIET_NS = 2000 * 1000 * 1000, /* one that took longer is too large */
    LONG_CHAIN = 8,                /* so many segments in use are better kept in fewer, larger ones */
    SHORT_CHAIN = 2
};

/* -------------------------------------------------------------------------------------------------------- sizes */

/* The room of the next segment: doubles while the buffer is busy or long, halves when it is quiet. Once per roll. */
static uint32_t next_room(const struct aether_buffer *buffer, int64_t now)
{
    int64_t age = now - buffer->rolled_at;
    uint64_t size = ae_segment_size(buffer->room), least = ae_segment_size(buffer->first_room);
    uint32_t alive = AE_LOAD(R1_COUNT, &buffer->alive, relaxed); /* R1: a rule of thumb */
    if ((age < BUSY_NS || alive > LONG_CHAIN) && buffer->room < buffer->largest_room)
        size *= 2;
    for (; age > QUIET_NS && alive <= SHORT_CHAIN && size > least; age /= 2)
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

/* Takes the first of the writer's own spares that `fits`, or NULL. */
static struct segment *unlink_spare(struct aether_buffer *buffer, uint64_t least, uint64_t most)
{
    for (struct segment **link = &buffer->mine; *link != NULL; link = &(*link)->free_next) {
        struct segment *segment = *link;
        if (segment->room < least || segment->room > most)
            continue;
        *link = segment->free_next;
        /* R1, relaxed: figures. */
        AE_SUB(R1_COUNT, &buffer->spares, 1, relaxed);
        AE_SUB(R1_COUNT, &buffer->cached, ae_segment_size(segment->room), relaxed);
        return segment;
    }
    return NULL;
}

/* Puts what was freed since the last time before the writer's own spares. */
static void collect_spares(struct aether_buffer *buffer)
{
    /* E6: pairs with E6_PUSH: the list, and all that was done in its segments. */
    struct segment *freed = AE_EXCHANGE(E6_TAKE, &buffer->freed, NULL, acquire), *last = freed;
    if (freed == NULL)
        return;
    while (last->free_next != NULL)
        last = last->free_next;
    last->free_next = buffer->mine;
    buffer->mine = freed;
}

/* Spares, linked by free_next, hold no reference; what waits for its grace period does. */
static void give_back_spares(struct aether_buffer *buffer, struct segment *list)
{
    for (struct segment *segment = list; segment != NULL; segment = segment->free_next)
        ae_buffer_hold(buffer); /* until it is free */
    if (list != NULL)
        ae_segments_give_back(list);
}

/*
 * Sets the spares aside that are too small for what the buffer needs by now, or far too large. They wait until there is a
 * largest segment's worth of them, so that growing up alone never calls liburcu, and then go back to the allocator.
 */
static void outgrow_spares(struct aether_buffer *buffer)
{
    enum { FAR = 4 };
    struct segment *segment;
    while ((segment = unlink_spare(buffer, 0, (uint64_t)buffer->room - 1)) != NULL ||
           (segment = unlink_spare(buffer, (uint64_t)buffer->room * FAR + 1, UINT64_MAX)) != NULL) {
        segment->free_next = buffer->outgrown;
        buffer->outgrown = segment;
        buffer->outgrown_bytes += ae_segment_size(segment->room);
        AE_ADD(R1_COUNT, &buffer->cached, ae_segment_size(segment->room), relaxed); /* R1: a figure */
    }
    if (buffer->outgrown_bytes < ae_segment_size(buffer->largest_room))
        return;
    AE_SUB(R1_COUNT, &buffer->cached, buffer->outgrown_bytes, relaxed); /* R1: a figure */
    give_back_spares(buffer, buffer->outgrown);
    buffer->outgrown = NULL;
    buffer->outgrown_bytes = 0;
}

/* A reader looks at the header after the newest item, so all of the memory is zero when a life begins. */
static struct segment *recycle(struct aether_buffer *buffer, uint64_t least, uint64_t most)
{
    struct segment *segment = unlink_spare(buffer, least, most);
    if (segment == NULL)
        return NULL;
    memset(segment->memory, 0, segment->used);
    segment->filled = 0;
    segment->extra = 0;
    segment->weight = 0;
    segment->next = NULL;
    segment->pinned_link = false;
    segment->lapped = false;
    segment->used = 0;
    segment->references = 0;
    ae_buffer_hold(buffer);
    return segment;
}

struct segment *ae_segment_take(struct aether_buffer *buffer, uint64_t need)
{
    bool smallest = need == 0;
    need += AE_END_ROOM;
    collect_spares(buffer);
    if (need > buffer->largest_room)
        return allocate(buffer, (uint32_t)need);
    int64_t now = ae_clock.coarse();
    uint32_t wanted = smallest ? buffer->first_room : next_room(buffer, now);
    uint32_t room = wanted < need ? usual_room(buffer, need) : wanted;
    struct segment *segment = recycle(buffer, room, smallest ? room : UINT64_MAX);
    if (segment == NULL)
        segment = allocate(buffer, room);
    if (segment == NULL)
        return NULL; /* nothing has changed */
    buffer->rolled_at = now;
    buffer->room = wanted;
    outgrow_spares(buffer);
    return segment;
}

void ae_segment_untake(struct aether_buffer *buffer, struct segment *segment)
{
    if (segment->room > buffer->largest_room) { /* made for one item, never recycled: nobody has seen it */
        ae_free(&buffer->allocator, segment, ae_segment_size(segment->room), AE_LINE);
    } else {
        segment->free_next = buffer->mine;
        buffer->mine = segment;
        AE_ADD(R1_COUNT, &buffer->spares, 1, relaxed); /* R1, relaxed, both: figures */
        AE_ADD(R1_COUNT, &buffer->cached, ae_segment_size(segment->room), relaxed);
    }
    ae_buffer_drop(buffer);
}

void ae_segments_trim(struct aether_buffer *buffer)
{
    struct segment *list = buffer->outgrown, *segment;
    AE_SUB(R1_COUNT, &buffer->cached, buffer->outgrown_bytes, relaxed); /* R1: a figure */
    buffer->outgrown = NULL;
    buffer->outgrown_bytes = 0;
    collect_spares(buffer);
    while ((segment = unlink_spare(buffer, 0, UINT64_MAX)) != NULL) {
        segment->free_next = list;
        list = segment;
    }
    give_back_spares(buffer, list);
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

void ae_segments_give_back(struct segment *list)
{
    ae_rcu_defer(&list->rcu, free_after_grace);
}

/* The caller dropped the last pin and is the only one left. What cannot be recycled goes to `list`. */
static void die(struct segment *segment, struct segment **list)
{
    struct aether_buffer *owner = segment->owner;
    if (AE_UNLIKELY(segment->references != 0))
        ae_release_all(segment);
    if (segment->lapped)
        /* E13: pairs with E13_LAPPED: whoever was lapped here has found where to go on. */
        AE_SUB(E13_FOUND, &owner->lapped, 1, release);
    /* R1, relaxed, all six: figures; an overshoot of one spare per thread is harmless. */
    AE_SUB(R1_COUNT, &owner->alive, 1, relaxed);
    AE_SUB(R1_COUNT, &owner->in_use, ae_segment_size(segment->room), relaxed);
    if (segment->room <= owner->largest_room &&
        AE_LOAD(R1_COUNT, &owner->spares, relaxed) < AE_LOAD(R1_COUNT, &owner->spares_most, relaxed)) {
        AE_ADD(R1_COUNT, &owner->spares, 1, relaxed);
        AE_ADD(R1_COUNT, &owner->cached, ae_segment_size(segment->room), relaxed);
        push_spare(owner, segment); /* from here on it is the writer's */
        ae_buffer_drop(owner);
    } else {
        segment->free_next = *list;
        *list = segment;
    }
}

static void unpin(struct segment *segment, struct segment **dead)
{
    /* E5: pairs with itself: the last one to drop sees what all others did. */
    if (AE_SUB(E5_UNPIN, &segment->pins, 1, acq_rel) == 1)
        die(segment, dead);
}

/* chain is 0. Whoever is pinned here by now has been lapped, and the buffer shall keep what it can for them. */
static void mark_lapped(struct segment *segment)
{
    /* E5: a read-modify-write, since a load might come too early; nobody can join any more but who drops again. */
    if (AE_ADD(E5_LAPPED, &segment->pins, 0, acq_rel) == 1)
        return;
    segment->lapped = true;
    /* E13: pairs with E13_LAPPED. */
    AE_ADD(E13_LOST, &segment->owner->lapped, 1, seq_cst);
}

/*
 * Cuts the link of a segment whose chain has fallen to 0, and drops what is left of its common pin. Returns the segment that
 * has a count of chain to drop now: the next one, or, behind a link that was a pin, the one that the last user of a buffer
 * leaves behind.
 */
static struct segment *cut(struct segment *segment, struct segment **dead)
{
    mark_lapped(segment);
    /* E8: pairs with E8_LINK (its count is ours now), and with E8_NEXT of who looks at a cut link. */
    struct segment *next = AE_EXCHANGE(E8_CUT, &segment->next, AE_SEVERED, acq_rel);
    bool pinned = segment->pinned_link;
    unpin(segment, dead);
    if (!pinned)
        return next;
    struct segment *left = ae_buffer_leave(next->owner);
    unpin(next, dead);
    return left;
}

void ae_chain_drop(struct segment *segment)
{
    struct segment *dead = NULL;
    /* E5: pairs with itself. */
    while (segment != NULL && AE_SUB(E5_DROP, &segment->chain, 1, acq_rel) == 1)
        segment = cut(segment, &dead);
    if (dead != NULL)
        ae_segments_give_back(dead);
}

void ae_pin_drop(struct segment *segment)
{
    struct segment *dead = NULL;
    unpin(segment, &dead);
    if (dead != NULL)
        ae_segments_give_back(dead);
}
