#include "buffer/window.h"

#include "base/clock.h"
#include "buffer/feed.h"

/* What was published after `segment`, which `after` follows. */
static uint64_t bytes_since(const struct aether_buffer *buffer, const struct segment *after)
{
    return ae_writer_bytes(buffer) - after->offset;
}

static bool is_retained(const struct aether_buffer *buffer, const struct segment *oldest, const struct segment *after)
{
    uint64_t items = buffer->writing->first + ae_filled_items(buffer->head.filled) - after->first;
    return bytes_since(buffer, after) < buffer->retain_bytes || items < buffer->retain_items ||
           (buffer->retain_ns != 0 && ae_clock.coarse() - oldest->closed_ns < buffer->retain_ns);
}

/*
 * Is somebody in the segment, or on a way that leads to it, or lapped? Chain before pins: once chain is 1 no way leads here
 * any more, so whoever came by one is pinned by then.
 */
static bool is_needed(const struct aether_buffer *buffer, const struct segment *oldest)
{
    /* E13: pairs with E4_TAKE and E7_AGAIN: after the store of `oldest`, an opener is seen here, or sees that. */
    if (AE_LOAD(E13_CHAIN, &oldest->chain, seq_cst) > 1)
        return true;
    /* E13: as above. */
    if (AE_LOAD(E13_PINS, &oldest->pins, seq_cst) > 1)
        return true;
    /* E13: pairs with E13_LOST, E13_FOUND. */
    return AE_LOAD(E13_LAPPED, &buffer->lapped, seq_cst) > 0;
}

/* No reader that may be lapped has the right to what comes after `oldest`. */
static bool is_beyond(const struct aether_buffer *buffer, const struct segment *after)
{
    /* E14: pairs with E14_RAISE. */
    uint64_t limit = AE_LOAD(E14_LIMIT, &buffer->lap_limit, seq_cst);
    return limit == 0 || bytes_since(buffer, after) > limit;
}

/* Count first, publish second, release last. False: `oldest` stays. */
static bool step(struct aether_buffer *buffer)
{
    struct segment *oldest = buffer->oldest, *after = oldest->next;
    if (is_retained(buffer, oldest, after) || (!is_beyond(buffer, after) && is_needed(buffer, oldest)))
        return false;
    ae_chain_hold(after); /* alive: the oldest's link leads to it */
    /* E7: pairs with E7_LOAD, E7_AGAIN; sequentially consistent for E13. */
    AE_STORE(E7_OLDEST, &buffer->oldest, after, seq_cst);
    if (!is_beyond(buffer, after) && is_needed(buffer, oldest)) {
        /* E13: somebody came meanwhile. We hold it still, so it can be the oldest again. */
        AE_STORE(E13_BACK, &buffer->oldest, oldest, seq_cst);
        ae_chain_drop(after);
        return false;
    }
    ae_chain_drop(oldest);
    return true;
}

void ae_window_advance(struct aether_buffer *buffer, int steps)
{
    while (steps-- > 0 && buffer->oldest != buffer->writing && step(buffer))
        ;
}

void ae_buffer_set_retention(struct aether_buffer *buffer, uint64_t bytes, uint64_t items, int64_t ns)
{
    buffer->retain_bytes = bytes;
    buffer->retain_items = items;
    buffer->retain_ns = ns;
}

static void raise_one(struct aether_buffer *buffer, uint64_t limit_bytes)
{
    uint64_t limit = AE_LOAD(R1_COUNT, &buffer->lap_limit, relaxed); /* R1, relaxed: the exchange decides */
    while (limit < limit_bytes)
        /* E14: pairs with E14_LIMIT. */
        if (AE_CAS(E14_RAISE, &buffer->lap_limit, &limit, limit_bytes, seq_cst, relaxed))
            return;
}

/* A splice stores its target, then raises that by the limit of its own buffer; an opener raises, then looks for a target. */
void ae_window_raise(struct aether_buffer *buffer, uint64_t limit_bytes)
{
    for (; buffer != NULL; buffer = AE_LOAD(E14_TARGET, &buffer->target, seq_cst)) /* E14: pairs with itself */
        raise_one(buffer, limit_bytes);
}
