/*
 * Readers: opening, closing, being told.
 *
 * Whatever the start, the place is found with a count of chain in its segment, which keeps all that follows. Who may be
 * lapped then turns that into a pin: first the pin, then the drop, so that the writer, which looks at chain before pins,
 * sees one of the two (buffer/window.c).
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/fail.h"
#include "base/futex.h"
#include "buffer/cursor.h"
#include "buffer/feed.h"
#include "buffer/gate.h"
#include "buffer/poller.h"
#include "buffer/window.h"

aether_status ae_cursor_refuse(const struct aether_cursor *cursor, const char *call)
{
    if (cursor == NULL)
        return ae_fail(AETHER_INVALID, "%s: the cursor is NULL", call);
    if (cursor->generation != ae_fork_generation)
        return ae_fail(AETHER_FORKED, "%s: the cursor was opened before fork()", call);
    return ae_callback_refuse(call);
}

static void count_cursor(struct aether_buffer *buffer, uint32_t change)
{
    AE_ADD(R1_COUNT, &buffer->cursors, change, relaxed); /* R1: a figure */
}

/* ------------------------------------------------------------------------------------------------------------ settling */

/* A node for `limit` at the cursor's place, in *node; NULL where the limit needs none. */
static aether_status register_at(struct aether_cursor *cursor, const struct limit *limit, struct registry_node **node,
                                 const char *call)
{
    struct aether_buffer *owner = cursor->segment->owner;
    *node = NULL;
    if (AE_LIKELY(!ae_limit_is_registered(limit)))
        return AETHER_OK;
    cursor->weight = ae_weight_before(cursor->segment, cursor->head.at);
    *node = ae_registry_add(owner, cursor, limit, ae_cursor_bytes_read(cursor), cursor->head.number);
    return *node != NULL ? AETHER_OK : ae_fail(AETHER_NO_MEMORY, "%s: no memory for a place in the registry", call);
}

/* From a count of chain to a pin, where the buffer has users still: else the cursor goes on without its limit. */
static void pin(struct aether_cursor *cursor)
{
    struct segment *segment = cursor->segment;
    if (!ae_buffer_try_join(segment->owner))
        return;
    ae_pin_hold(segment);
    ae_chain_drop(segment);
    cursor->pinned = true;
    cursor->user_of = segment->owner;
}

aether_status ae_cursor_settle(struct aether_cursor *cursor, const struct place *place)
{
    struct segment *segment = place->segment;
    struct aether_buffer *owner = segment->owner;
    cursor->segment = segment;
    cursor->head.at = place->at;
    cursor->head.number = place->number;
    aether_status status = register_at(cursor, &cursor->limit, &cursor->node, "aether_cursor_open");
    if (status != AETHER_OK)
        return status;
    if (AE_UNLIKELY(cursor->limit.policy == AETHER_LAP))
        pin(cursor);
    cursor->head.index_base = segment->index_base;
    cursor->last_number = place->number;
    cursor->last_index = place->index;
    cursor->last_epoch = owner->epoch;
    count_cursor(owner, 1);
    return AETHER_OK;
}

void ae_cursor_unsettle(struct aether_cursor *cursor)
{
    struct segment *segment = cursor->segment;
    if (cursor->node != NULL)
        ae_registry_remove(segment->owner, cursor->node);
    count_cursor(segment->owner, UINT32_MAX); /* minus one */
    ae_cursor_let_go(segment, cursor->pinned, cursor->user_of);
}

void ae_cursor_let_go(struct segment *segment, bool pinned, struct aether_buffer *user_of)
{
    struct segment *left = user_of != NULL ? ae_buffer_leave(user_of) : NULL;
    if (pinned)
        ae_pin_drop(segment);
    else
        ae_chain_drop(segment);
    ae_chain_drop(left);
}

/* ------------------------------------------------------------------------------------------------------------- opening */

static struct place find_oldest(struct aether_buffer *buffer)
{
    struct segment *segment = ae_buffer_grab_held(&buffer->oldest);
    return (struct place){segment, segment->memory, segment->first, segment->index_base + segment->first - 1};
}

static struct place find_next(struct aether_buffer *buffer)
{
    struct place place = {.segment = ae_buffer_grab_held(&buffer->current)};
    ae_buffer_find_end(&place, false);
    return place;
}

/* `options` is complete and right. */
static aether_status find(struct aether_buffer *buffer, const aether_cursor_options *options, struct place *place,
                          aether_range *range)
{
    static const char call[] = "aether_cursor_open_with";
    const aether_position *position = &options->position;
    if (options->start == AETHER_FROM_NEXT || options->start == AETHER_FROM_OLDEST) {
        *place = options->start == AETHER_FROM_OLDEST ? find_oldest(buffer) : find_next(buffer);
        return AETHER_OK;
    }
    uint64_t after = options->start == AETHER_FROM_AT ? position->index - 1 : position->index;
    aether_status status = ae_find_after(buffer, after, place, range);
    if (status == AETHER_GONE)
        return ae_fail(status, "%s: index %llu is gone, what is kept begins after %llu", call,
                       (unsigned long long)position->index, (unsigned long long)range->floor);
    if (status == AETHER_AHEAD)
        return ae_fail(status, "%s: index %llu is ahead of the newest, %llu", call, (unsigned long long)position->index,
                       (unsigned long long)range->newest);
    return status;
}

static aether_status check_position(const struct aether_buffer *buffer, const aether_cursor_options *options)
{
    static const char call[] = "aether_cursor_open_with";
    const aether_position *position = &options->position;
    if (options->start < AETHER_FROM_NEXT || options->start > AETHER_FROM_AT)
        return ae_fail(AETHER_INVALID, "%s: there is no start %d", call, options->start);
    if (options->start < AETHER_FROM_AFTER)
        return AETHER_OK;
    if (options->start == AETHER_FROM_AT && position->index == 0)
        return ae_fail(AETHER_INVALID, "%s: no item is at index 0, which means \"nothing yet\"", call);
    if (position->epoch != 0 && position->epoch != buffer->epoch)
        return ae_fail(AETHER_OTHER_EPOCH, "%s: the position is of epoch %llx, the buffer's is %llx", call,
                       (unsigned long long)position->epoch, (unsigned long long)buffer->epoch);
    return AETHER_OK;
}

/* What the cursor wants, with the buffer's defaults filled in. */
static aether_status complete(const struct aether_buffer *buffer, const aether_cursor_options *options, struct limit *limit,
                              const char *call)
{
    uint64_t least = (ae_segment_size(buffer->largest_room)) * AETHER_LIMIT_SEGMENTS;
    *limit = (struct limit){.bytes = options->limit_bytes != 0 ? options->limit_bytes : buffer->limit_bytes,
                            .policy = options->on_limit != 0 ? options->on_limit : buffer->on_limit};
    if (limit->policy < AETHER_LAP || limit->policy > AETHER_REFUSE)
        return ae_fail(AETHER_INVALID, "%s: there is no on_limit %d", call, limit->policy);
    if (limit->bytes < least)
        return ae_fail(AETHER_INVALID, "%s: limit_bytes %llu is below the least that works with this buffer, %llu", call,
                       (unsigned long long)limit->bytes, (unsigned long long)least);
    if (limit->bytes == AETHER_UNLIMITED)
        limit->policy = 0;
    if (options->label != NULL && strlen(options->label) >= AE_LABEL_BYTES)
        return ae_fail(AETHER_INVALID, "%s: the label \"%.40s\" has more than %d bytes", call, options->label,
                       AE_LABEL_BYTES - 1);
    if (options->label != NULL)
        memcpy(limit->label, options->label, strlen(options->label));
    return AETHER_OK;
}

static struct aether_cursor *allocate(const aether_allocator *allocator, const char *call)
{
    struct aether_cursor *cursor = ae_alloc(allocator, sizeof *cursor, AE_CURSOR_ALIGN);
    if (cursor == NULL) {
        (void)ae_fail(AETHER_NO_MEMORY, "%s: no memory for a cursor", call);
        return NULL;
    }
    cursor->head.state = 0;
    cursor->head.inside = 0;
    cursor->pinned = false;
    cursor->adrift = false;
    cursor->hinted = false;
    cursor->user_of = NULL;
    cursor->node = NULL;
    cursor->watch = NULL;
    cursor->weight = 0;
    cursor->missed_items = cursor->missed_events = 0;
    cursor->all_missed_items = cursor->all_missed_events = cursor->lags = 0;
    cursor->asleep_at = NULL;
    cursor->allocator = *allocator;
    cursor->generation = ae_fork_generation;
    return cursor; /* the rest is set by whoever gives it a place */
}

static struct aether_cursor *open_at(struct aether_buffer *buffer, const aether_cursor_options *options,
                                     const struct limit *limit, aether_range *range)
{
    struct aether_cursor *cursor = allocate(&buffer->allocator, "aether_cursor_open");
    if (cursor == NULL)
        return NULL;
    cursor->limit = *limit;
    cursor->spins = buffer->spins;
    cursor->patience = buffer->spins;
    cursor->yields = buffer->yields;
    if (limit->policy == AETHER_LAP)
        ae_window_raise(buffer, limit->bytes);
    struct place place;
    aether_status status = find(buffer, options, &place, range);
    if (status == AETHER_OK) {
        status = ae_cursor_settle(cursor, &place);
        if (status != AETHER_OK)
            ae_chain_drop(place.segment);
    }
    if (status == AETHER_OK)
        return cursor;
    ae_cursor_free(cursor);
    return NULL;
}

aether_cursor *aether_cursor_open_sized(aether_buffer *buffer, const aether_cursor_options *given, size_t size)
{
    aether_cursor_options options = {0};
    struct limit limit;
    if (ae_buffer_refuse(buffer, "aether_cursor_open_with") != AETHER_OK)
        return NULL;
    if (given != NULL)
        memcpy(&options, given, size < sizeof options ? size : sizeof options);
    aether_range range = aether_buffer_range(buffer);
    struct aether_cursor *cursor = NULL;
    if (check_position(buffer, &options) == AETHER_OK &&
        complete(buffer, &options, &limit, "aether_cursor_open_with") == AETHER_OK)
        cursor = open_at(buffer, &options, &limit, &range);
    if (options.range != NULL)
        *options.range = range;
    return cursor;
}

aether_cursor *aether_cursor_open(aether_buffer *buffer, aether_start start)
{
    static const char call[] = "aether_cursor_open";
    if (ae_buffer_refuse(buffer, call) != AETHER_OK)
        return NULL;
    if (start != AETHER_FROM_NEXT && start != AETHER_FROM_OLDEST) {
        (void)ae_fail(AETHER_INVALID, "%s: there is no start %d without a position", call, start);
        return NULL;
    }
    struct limit limit = {.bytes = buffer->limit_bytes,
                          .policy = buffer->limit_bytes != AETHER_UNLIMITED ? buffer->on_limit : 0};
    aether_cursor_options options = {.start = start};
    return open_at(buffer, &options, &limit, NULL);
}

aether_cursor *aether_cursor_dup(aether_cursor *cursor)
{
    static const char call[] = "aether_cursor_dup";
    if (ae_cursor_refuse(cursor, call) != AETHER_OK)
        return NULL;
    struct aether_cursor *twin = allocate(&cursor->allocator, call);
    if (twin == NULL)
        return NULL;
    struct segment *segment = cursor->segment;
    twin->limit = cursor->limit;
    if (register_at(cursor, &twin->limit, &twin->node, call) != AETHER_OK) {
        ae_cursor_free(twin);
        return NULL;
    }
    if (twin->node != NULL)
        ae_registry_hand_over(segment->owner, twin->node, twin);
    twin->weight = cursor->weight;
    if (cursor->pinned)
        ae_pin_hold(segment);
    else
        ae_chain_hold(segment);
    if (cursor->user_of != NULL)
        ae_buffer_join(cursor->user_of);
    count_cursor(segment->owner, 1);
    twin->pinned = cursor->pinned;
    twin->adrift = cursor->adrift;
    twin->user_of = cursor->user_of;
    twin->head.at = cursor->head.at; /* not the state: somebody may be changing that */
    twin->head.number = cursor->head.number;
    twin->head.index_base = cursor->head.index_base;
    twin->segment = segment;
    twin->last_number = cursor->last_number;
    twin->last_index = cursor->last_index;
    twin->last_epoch = cursor->last_epoch;
    twin->spins = cursor->spins;
    twin->patience = cursor->patience;
    twin->yields = cursor->yields;
    return twin;
}

/* --------------------------------------------------------------------------------------------------- another limit */

/* From a count of chain to a pin, or back where the way on still leads from here. */
static void hold_for(struct aether_cursor *cursor, int32_t policy)
{
    struct segment *segment = cursor->segment;
    if (policy == AETHER_LAP && !cursor->pinned) {
        pin(cursor);
    } else if (policy != AETHER_LAP && cursor->pinned && ae_chain_take(segment)) {
        struct aether_buffer *user_of = cursor->user_of;
        cursor->pinned = false;
        cursor->user_of = NULL;
        ae_cursor_let_go(segment, true, user_of);
    }
}

aether_status aether_cursor_set_limit(aether_cursor *cursor, aether_on_limit on_limit, uint64_t limit_bytes)
{
    static const char call[] = "aether_cursor_set_limit";
    struct limit limit;
    aether_status status = ae_cursor_refuse(cursor, call);
    if (status != AETHER_OK)
        return status;
    struct segment *segment = cursor->segment;
    aether_cursor_options options = {.on_limit = on_limit, .limit_bytes = limit_bytes, .label = cursor->limit.label};
    status = complete(segment->owner, &options, &limit, call);
    if (status != AETHER_OK)
        return status;
    struct registry_node *node;
    status = register_at(cursor, &limit, &node, call);
    if (status != AETHER_OK)
        return status;
    if (cursor->node != NULL)
        ae_registry_remove(segment->owner, cursor->node);
    cursor->node = node;
    cursor->limit = limit;
    if (limit.policy == AETHER_LAP)
        ae_window_raise(segment->owner, limit.bytes);
    hold_for(cursor, limit.policy);
    return AETHER_OK;
}

/* ------------------------------------------------------------------------------------------------------------- moving */

void ae_cursor_move(struct aether_cursor *cursor, struct aether_cursor *from)
{
    struct segment *left = cursor->segment;
    struct registry_node *node = cursor->node;
    bool pinned = cursor->pinned;
    struct aether_buffer *user_of = cursor->user_of;
    if (from->watch != NULL)
        ae_poller_forget(from);
    cursor->segment = from->segment;
    cursor->pinned = from->pinned;
    cursor->adrift = from->adrift;
    cursor->user_of = from->user_of;
    cursor->node = from->node;
    cursor->limit = from->limit;
    cursor->weight = from->weight;
    cursor->head.at = from->head.at;
    cursor->head.index_base = from->head.index_base;
    AE_STORE(R1_NUMBER, &cursor->head.number, from->head.number, relaxed); /* R1: a figure */
    cursor->last_number = from->last_number;
    cursor->last_index = from->last_index;
    cursor->last_epoch = from->last_epoch;
    if (cursor->node != NULL)
        ae_registry_hand_over(cursor->segment->owner, cursor->node, cursor);
    (void)ae_gate_settled(from);
    ae_cursor_free(from);
    if (node != NULL)
        ae_registry_remove(left->owner, node);
    count_cursor(left->owner, UINT32_MAX); /* minus one */
    ae_cursor_let_go(left, pinned, user_of);
    ae_poller_tell(cursor); /* its watch, if it has one, is armed at the place that it has left */
}

void ae_cursor_hint(struct aether_cursor *cursor, bool ready)
{
    if (cursor->hinted == ready)
        return;
    cursor->hinted = ready;
    if (ready)
        ae_poller_tell(cursor);
}

/* ------------------------------------------------------------------------------------------------- closing, being told */

void ae_cursor_free(struct aether_cursor *cursor)
{
    aether_allocator allocator = cursor->allocator;
    ae_free(&allocator, cursor, sizeof *cursor, AE_CURSOR_ALIGN);
}

/* Tells a reader that is inside a call, and waits until it has left: by itself, or because it saw that it is closed. */
static void turn_out(struct aether_cursor *cursor)
{
    ae_gate_tell(cursor, AE_STATE_CLOSED);
    /* E12: pairs with E12_LEAVE. */
    while (AE_LOAD(E12_INSIDE, &cursor->head.inside, acquire) != 0) {
        /* E12: pairs with E12_HANDOVER. */
        uint32_t state = AE_LOAD(E10_STATE, &cursor->head.state, acquire);
        if (state & AE_STATE_LEFT)
            return;
        ae_futex.wait(&cursor->head.state, state, ae_deadline(AETHER_MILLISECONDS(1)), AE_FUTEX_ALL);
    }
}

void aether_cursor_close(aether_cursor *cursor)
{
    if (cursor == NULL || cursor->generation != ae_fork_generation)
        return;
    /* E12: pairs with E12_LEAVE: a call that has left is done with the cursor. */
    if (AE_UNLIKELY(AE_LOAD(E12_INSIDE, &cursor->head.inside, acquire) != 0))
        turn_out(cursor);
    (void)ae_gate_settled(cursor);
    if (AE_UNLIKELY(cursor->watch != NULL))
        ae_poller_forget(cursor);
    ae_cursor_unsettle(cursor);
    ae_cursor_free(cursor);
}

void aether_cursor_cancel(aether_cursor *cursor)
{
    int error = errno; /* a signal handler must leave it as it was */
    if (cursor != NULL && cursor->generation == ae_fork_generation)
        ae_gate_tell(cursor, AE_STATE_CANCELLED);
    errno = error;
}

aether_status aether_cursor_resume(aether_cursor *cursor)
{
    aether_status status = ae_cursor_refuse(cursor, "aether_cursor_resume");
    if (status != AETHER_OK)
        return status;
    uint32_t state = AE_LOAD(E10_STATE, &cursor->head.state, acquire); /* E10: pairs with E10_TELL */
    while (state & AE_STATE_CANCELLED)
        /* E10: pairs with E10_TELL. */
        if (AE_CAS(E10_RESUME, &cursor->head.state, &state, state & ~(uint32_t)AE_STATE_CANCELLED, acq_rel, acquire))
            break;
    return state & AE_STATE_CLOSED ? AETHER_CLOSED : AETHER_OK;
}
