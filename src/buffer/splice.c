/*
 * Splices: a buffer ends by continuing at a place in another.
 *
 * The cursor's count in its segment becomes the link's, and a ROLL at the end of the spliced buffer carries the place. The
 * other buffer's writer is not involved. Circles would hold their own memory for ever: `target` remembers where each
 * buffer continues, and the process' lock keeps two splices from forming a circle together.
 */
#include "base/fail.h"
#include "buffer/buffer.h"
#include "buffer/cursor.h"
#include "buffer/poller.h"
#include "buffer/window.h"

/* Each target is held by a reference of the buffer before it, so the way can be followed. */
static bool leads_to(const struct aether_buffer *from, const struct aether_buffer *to)
{
    while (from != NULL && from != to)
        from = AE_LOAD(E14_TARGET, &from->target, seq_cst); /* E14: pairs with itself; the lock orders it here */
    return from == to;
}

/* Remembers that `buffer` continues in the buffer that the cursor stands in. */
static aether_status set_target(struct aether_buffer *buffer, const struct aether_cursor *at)
{
    struct aether_buffer *target = at->segment->owner;
    aether_status status = AETHER_OK;
    ae_process_lock();
    if (leads_to(target, buffer)) {
        status = ae_fail(AETHER_CIRCLE, "aether_buffer_splice: the way from the cursor on leads back to the buffer");
    } else {
        ae_buffer_hold(target);
        AE_STORE(E14_TARGET, &buffer->target, target, seq_cst); /* E14: pairs with itself, in ae_window_raise() */
    }
    ae_process_unlock();
    return status;
}

static aether_status splice(struct aether_buffer *buffer, struct aether_cursor *at)
{
    static const char call[] = "aether_buffer_splice";
    aether_status status = ae_writer_refuse(buffer, call);
    if (status != AETHER_OK)
        return status;
    if (at->adrift || (at->pinned && at->user_of == NULL))
        return ae_fail(AETHER_CLOSED, "%s: what follows the cursor is gone", call);
    status = set_target(buffer, at);
    if (status != AETHER_OK)
        return status;
    /* E14: pairs with E14_RAISE: who opens here meanwhile raises the target itself, or is seen. */
    ae_window_raise(at->segment->owner, AE_LOAD(E14_LIMIT, &buffer->lap_limit, seq_cst));
    struct segment *last = buffer->writing;
    last->next_at = (unsigned char *)(uintptr_t)at->head.at;
    last->next_number = at->head.number;
    last->next_extra = ae_cursor_extra(at);
    last->pinned_link = at->pinned;                             /* and the link is the user that the cursor was */
    AE_SUB(R1_COUNT, &at->segment->owner->cursors, 1, relaxed); /* R1: a figure */
    if (at->watch != NULL)
        ae_poller_forget(at);
    if (at->node != NULL)
        ae_registry_remove(at->segment->owner, at->node);
    /* E8: pairs with E8_NEXT; the cursor's count in the segment is the link's from here on. */
    AE_STORE(E8_LINK, &last->next, at->segment, release);
    ae_writer_finish(buffer, ae_word(0, AETHER_KIND_ROLL));
    ae_cursor_free(at);
    return AETHER_OK;
}

aether_status aether_buffer_splice(aether_buffer *buffer, aether_cursor *at)
{
    static const char call[] = "aether_buffer_splice";
    aether_status status = ae_buffer_refuse(buffer, call);
    if (status == AETHER_OK)
        status = ae_cursor_refuse(at, call);
    if (status == AETHER_OK)
        status = ae_writer_enter(buffer, call);
    if (status != AETHER_OK)
        return status;
    status = splice(buffer, at);
    ae_writer_leave(buffer);
    return status;
}
