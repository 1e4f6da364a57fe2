/* Places by index: along the segments that the buffer holds, then along the items of one. */
#include "buffer/cursor.h"

/* The index before the first item of the segment. */
static uint64_t index_before(const struct segment *segment)
{
    return segment->index_base + segment->first - 1;
}

/* The end of the segment's items, as far as they are published: is it a ROLL? */
static bool is_rolled(const struct segment *segment)
{
    /* E9: pairs with E9_FILLED. */
    uint64_t filled = AE_LOAD(E9_LOAD, &segment->filled, acquire);
    const unsigned char *at = segment->memory + ae_filled_bytes(filled);
    uint32_t word;
    /* E1: pairs with E1_PUBLISH. */
    while (ae_word_is_item(word = AE_LOAD(E1_READ, ae_slot_word(at), acquire)))
        at += ae_step(ae_word_size(word));
    return ae_word_kind(word) == AETHER_KIND_ROLL;
}

/* The last segment that begins at or before `index`. `segment` is held by chain; so is the result instead. */
static struct segment *find_segment(struct segment *segment, uint64_t index)
{
    while (is_rolled(segment)) {
        /* E8: pairs with E8_LINK. Alive: we hold the segment whose link leads to it. */
        struct segment *next = AE_LOAD(E8_NEXT, &segment->next, acquire);
        if (segment->pinned_link || next->owner != segment->owner || index_before(next) > index)
            break;
        ae_chain_hold(next);
        ae_chain_drop(segment);
        segment = next;
    }
    return segment;
}

static uint64_t index_of(const struct place *place, uint32_t word)
{
    uint64_t index = place->segment->index_base + place->number;
    if (ae_word_has_index(word))
        memcpy(&index, place->at + AE_SLOT_HEADER, sizeof index);
    return index;
}

aether_status ae_find_after(struct aether_buffer *buffer, uint64_t index, struct place *place, aether_range *range)
{
    struct segment *oldest = ae_buffer_grab_held(&buffer->oldest);
    range->floor = index_before(oldest);
    range->newest = aether_buffer_newest(buffer).index;
    if (index < range->floor || index > range->newest) {
        ae_chain_drop(oldest);
        return index < range->floor ? AETHER_GONE : AETHER_AHEAD;
    }
    struct segment *segment = find_segment(oldest, index);
    *place = (struct place){segment, segment->memory, segment->first, index_before(segment)};
    uint32_t word;
    /* E1: pairs with E1_PUBLISH. */
    while (ae_word_is_item(word = AE_LOAD(E1_READ, ae_slot_word(place->at), acquire)) && index_of(place, word) <= index) {
        place->index = index_of(place, word);
        place->number++;
        place->at += ae_step(ae_word_size(word));
    }
    return AETHER_OK;
}
