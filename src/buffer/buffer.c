/* Buffers: made, looked at, given up. The writer's calls are in append.c and splice.c, the readers' in cursor.c. */
#include "buffer/buffer.h"
#include "buffer/poller.h"
#include "buffer/registry.h"
#include "buffer/window.h"

#include <string.h>

#include "base/barrier.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/random.h"

enum {
    SEGMENT_LEAST = 1024,
    FIRST_LEAST = 512,
    SEGMENT_MOST = 16 * 1024 * 1024,
    SEGMENT_USUAL = 64 * 1024,
    SPARES_USUAL = 4,
    SPINS_USUAL = 1000,
    SPINS_MOST = 1 << 20,
    YIELDS_USUAL = 1
};

/* ------------------------------------------------------------------------------------------------------- creating */

static int32_t or_usual(int32_t value, int32_t usual)
{
    return value == 0 ? usual : value < 0 ? 0 : value;
}

static bool is_segment_size(uint32_t size, uint32_t least, uint32_t most)
{
    return size >= least && size <= most && (size & (size - 1)) == 0;
}

/* Fills in the defaults and says what cannot be. */
static aether_status complete(aether_buffer_options *options)
{
    if (options->segment_bytes == 0)
        options->segment_bytes = SEGMENT_USUAL;
    if (!is_segment_size(options->segment_bytes, SEGMENT_LEAST, SEGMENT_MOST))
        return ae_fail(AETHER_INVALID, "aether_buffer_create: segment_bytes %u is no power of two from %d to %d",
                       options->segment_bytes, SEGMENT_LEAST, SEGMENT_MOST);
    if (options->first_segment_bytes == 0)
        options->first_segment_bytes = SEGMENT_LEAST;
    if (!is_segment_size(options->first_segment_bytes, FIRST_LEAST, options->segment_bytes))
        return ae_fail(AETHER_INVALID, "aether_buffer_create: first_segment_bytes %u is no power of two from %d to %u",
                       options->first_segment_bytes, FIRST_LEAST, options->segment_bytes);
    if (options->allocator != NULL && (options->allocator->alloc == NULL || options->allocator->free == NULL))
        return ae_fail(AETHER_INVALID, "aether_buffer_create: the allocator lacks alloc or free");
    if (options->epoch == 0)
        options->epoch = ae_random_nonzero();
    if (options->wait_ns == 0)
        options->wait_ns = AETHER_FOREVER;
    if (options->on_limit < 0 || options->on_limit > AETHER_REFUSE)
        return ae_fail(AETHER_INVALID, "aether_buffer_create: there is no on_limit %d", options->on_limit);
    if (options->limit_bytes != 0 && options->limit_bytes / AETHER_LIMIT_SEGMENTS < options->segment_bytes)
        return ae_fail(AETHER_INVALID, "aether_buffer_create: limit_bytes %llu is below the least that works, %llu",
                       (unsigned long long)options->limit_bytes,
                       (unsigned long long)options->segment_bytes * AETHER_LIMIT_SEGMENTS);
    options->cached_segments = or_usual(options->cached_segments, SPARES_USUAL);
    options->spins = or_usual(options->spins < SPINS_MOST ? options->spins : SPINS_MOST, SPINS_USUAL);
    options->yields = or_usual(options->yields, YIELDS_USUAL);
    return AETHER_OK;
}

/* A child of fork() inherits the handle, and must not append through it. */
static void forbid_inline(struct ae_fork_node *node)
{
    struct aether_buffer *buffer = (struct aether_buffer *)((char *)node - offsetof(struct aether_buffer, fork));
    buffer->head.inline_end = NULL;
}

static void configure(struct aether_buffer *buffer, const aether_buffer_options *options)
{
    buffer->allocator = options->allocator != NULL ? *options->allocator : ae_default_allocator;
    buffer->epoch = options->epoch;
    buffer->generation = ae_fork_generation;
    buffer->first_room = options->first_segment_bytes - (uint32_t)ae_segment_size(0);
    buffer->largest_room = options->segment_bytes - (uint32_t)ae_segment_size(0);
    buffer->room = buffer->first_room;
    buffer->spares_most = (uint32_t)options->cached_segments;
    buffer->spins = options->spins;
    buffer->yields = options->yields;
    buffer->asymmetric = ae_barrier_is_asymmetric();
    buffer->may_inline = buffer->asymmetric && !AE_DEBUG;
    buffer->rolled_at = ae_clock.coarse();
    buffer->wait_ns = options->wait_ns;
    buffer->on_limit = options->on_limit != 0 ? options->on_limit : AETHER_LAP;
    buffer->limit_bytes = options->limit_bytes != 0 ? options->limit_bytes : AETHER_UNLIMITED;
    buffer->retain_bytes = options->retain_bytes;
    buffer->retain_items = options->retain_items;
    buffer->retain_ns = options->retain_ns;
    buffer->references = 1;
    buffer->users = 1;
    pthread_mutex_init(&buffer->registry_lock, NULL);
}

/* The first segment: no links lead to it, current and oldest count in it. */
static void begin(struct aether_buffer *buffer, struct segment *segment, uint64_t newest_index)
{
    segment->index_base = newest_index + 1;
    buffer->writing = buffer->current = buffer->oldest = segment;
    buffer->head.at = segment->memory;
    buffer->end = segment->memory + segment->room - AE_END_ROOM;
    buffer->head.filled_word = &segment->filled;
    buffer->alive = 1;
    buffer->in_use = ae_segment_size(segment->room);
    ae_buffer_set_inline_end(buffer);
    ae_segment_birth(segment, 2);
}

aether_buffer *aether_buffer_create_sized(const aether_buffer_options *given, size_t size)
{
    aether_buffer_options options = {0};
    if (given != NULL)
        memcpy(&options, given, size < sizeof options ? size : sizeof options);
    if (ae_process_prepare() != AETHER_OK || complete(&options) != AETHER_OK)
        return NULL;
    const aether_allocator *allocator = options.allocator != NULL ? options.allocator : &ae_default_allocator;
    struct aether_buffer *buffer = ae_alloc(allocator, sizeof *buffer, AE_LINE);
    if (buffer == NULL) {
        (void)ae_fail(AETHER_NO_MEMORY, "aether_buffer_create: no memory for a buffer");
        return NULL;
    }
    memset(buffer, 0, sizeof *buffer);
    configure(buffer, &options);
    struct segment *segment = ae_segment_take(buffer, 0);
    if (segment == NULL) {
        (void)ae_fail(AETHER_NO_MEMORY, "aether_buffer_create: no memory for a segment of %u bytes",
                      options.first_segment_bytes);
        ae_buffer_drop(buffer);
        return NULL;
    }
    begin(buffer, segment, options.newest_index);
    ae_fork_register(&buffer->fork, forbid_inline);
    return buffer;
}

/* ------------------------------------------------------------------------------------------------------ giving up */

void ae_buffer_drop(struct aether_buffer *buffer)
{
    /* E11: pairs with itself: the last one sees what all others did with the block and its free segments. */
    while (buffer != NULL && AE_SUB(E11_DROP, &buffer->references, 1, acq_rel) == 1) {
        struct aether_buffer *target = buffer->target;
        aether_allocator allocator = buffer->allocator;
        ae_segments_free(&allocator, buffer->mine);
        ae_segments_free(&allocator, buffer->outgrown);
        /* E6: pairs with E6_PUSH. */
        ae_segments_free(&allocator, AE_EXCHANGE(E6_TAKE, &buffer->freed, NULL, acquire));
        ae_registry_free(buffer);
        ae_poller_drop_stack(buffer);
        ae_free(&allocator, buffer, sizeof *buffer, AE_LINE);
        buffer = target;
    }
}

void aether_buffer_destroy(aether_buffer *buffer)
{
    if (buffer == NULL || buffer->generation != ae_fork_generation)
        return;
    /* W1: pairs with itself; only debug builds look. */
    AE_CHECK(AE_LOAD(W1_WRITING, &buffer->writers, relaxed) == 0);
    ae_fork_unregister(&buffer->fork);
    ae_writer_abandon(buffer);
    if (!buffer->ended)
        ae_writer_finish(buffer, ae_word(AETHER_CLOSED, AETHER_KIND_FINAL));
    AE_STORE(R1_COUNT, &buffer->spares_most, 0, relaxed); /* R1: nobody will take what is recycled */
    ae_chain_drop(ae_buffer_leave(buffer));
}

bool ae_buffer_try_join(struct aether_buffer *buffer)
{
    uint32_t users = AE_LOAD(R1_COUNT, &buffer->users, relaxed); /* R1, relaxed: the exchange below decides */
    while (users != 0)
        /* E11: pairs with E11_DROP. */
        if (AE_CAS(E11_JOIN, &buffer->users, &users, users + 1, acquire, relaxed))
            return true;
    return false;
}

struct segment *ae_buffer_leave(struct aether_buffer *buffer)
{
    /* E11: pairs with itself: the last one sees where the writer ended. */
    if (AE_SUB(E11_DROP, &buffer->users, 1, acq_rel) != 1)
        return NULL;
    struct segment *oldest = buffer->oldest, *current = buffer->current;
    /* E7: pairs with E7_LOAD: a splice may lead openers here that hold no handle. */
    AE_STORE(E7_CURRENT, &buffer->current, NULL, release);
    AE_STORE(E7_OLDEST, &buffer->oldest, NULL, release);
    ae_chain_drop(current); /* not the last count: a chain of links leads here from the oldest */
    ae_buffer_drop(buffer); /* not the last reference: the oldest segment is alive */
    return oldest;
}

/* ---------------------------------------------------------------------------------------------------------- looking */

aether_status ae_buffer_refuse(const struct aether_buffer *buffer, const char *call)
{
    if (buffer == NULL)
        return ae_fail(AETHER_INVALID, "%s: the buffer is NULL", call);
    if (buffer->generation != ae_fork_generation)
        return ae_fail(AETHER_FORKED, "%s: the buffer was made before fork()", call);
    return ae_callback_refuse(call);
}

struct segment *ae_buffer_grab(struct segment **where)
{
    for (;;) {
        ae_rcu_read_lock(); /* the segment's count stays readable memory, whatever becomes of it */
        /* E7: pairs with E7_CURRENT, E7_OLDEST. */
        struct segment *segment = AE_LOAD(E7_LOAD, where, acquire);
        bool taken = segment != NULL && ae_chain_take(segment);
        /*
         * E7: the look again: a count in a later life carries E4, so the pointer is seen to have moved on. Sequentially
         * consistent for E13: the writer, who moved it, sees the count where this look sees the old place.
         */
        bool same = taken && AE_LOAD(E7_AGAIN, where, seq_cst) == segment;
        ae_rcu_read_unlock();
        if (same || segment == NULL)
            return segment;
        if (taken)
            ae_chain_drop(segment);
    }
}

/*
 * The index of the item at `last`, the one before place->at, or of the newest one that the writer has told of where no item
 * was passed on the way. False: the writer has told of one that is not passed yet.
 */
static bool index_before(struct place *place, const unsigned char *last)
{
    const struct segment *segment = place->segment;
    if (last == NULL) {
        /* E9: pairs with the store in tell_last(), which comes before `filled`. */
        uint32_t told = AE_LOAD(E9_INDEXED, &segment->indexed_last, acquire);
        last = told != 0 ? segment->memory + (told - 1) : NULL;
        if (last != NULL && last >= place->at)
            return false;
    }
    /* E1: pairs with E1_PUBLISH. */
    if (last != NULL && ae_word_has_index(AE_LOAD(E1_READ, ae_slot_word(last), acquire)))
        memcpy(&place->index, last + AE_SLOT_HEADER, sizeof place->index);
    else
        place->index = segment->index_base + place->number - 1;
    return true;
}

/* Walks over what was published since the place was `filled`. Returns the word behind the newest item: 0, ROLL or FINAL. */
static uint32_t walk(struct place *place)
{
    const unsigned char *last = NULL;
    uint32_t word;
    do
        /* E1: pairs with E1_PUBLISH. */
        while (ae_word_is_item(word = AE_LOAD(E1_READ, ae_slot_word(place->at), acquire))) {
            last = place->at;
            place->at += ae_step(ae_word_size(word));
            place->number++;
        }
    while (!index_before(place, last));
    return word;
}

/* Over a ROLL. Into another buffer the way is long, and the newest item is near its `current`, unless that handle is gone.
 */
static void go_on(struct place *place, struct segment *next)
{
    struct segment *segment = place->segment;
    place->segment = next->owner != segment->owner ? ae_buffer_grab(&next->owner->current) : NULL;
    if (place->segment == NULL) {
        AE_ASSERT(!segment->pinned_link); /* such a link is a user of the other buffer, which is open then */
        ae_chain_hold(next);              /* alive: we hold the segment whose link leads to it */
        place->segment = next;
    }
    ae_chain_drop(segment);
}

/*
 * Linearises at the load that finds no word, or the end. A ROLL is crossed, because the item behind it was published with
 * it; the number of steps is bounded by what is published meanwhile, and by the segments of a destroyed buffer on the way.
 */
void ae_buffer_find_end(struct place *place, bool within)
{
    for (;;) {
        struct segment *segment = place->segment;
        /* E9: pairs with E9_FILLED: all below it is published. */
        uint64_t filled = AE_LOAD(E9_LOAD, &segment->filled, acquire);
        place->at = segment->memory + ae_filled_bytes(filled);
        place->number = segment->first + ae_filled_items(filled);
        if (ae_word_kind(walk(place)) != AETHER_KIND_ROLL)
            return;
        /* E8: pairs with E8_LINK. */
        struct segment *next = AE_LOAD(E8_NEXT, &segment->next, acquire);
        if (within && next->owner != segment->owner)
            return;
        go_on(place, next);
    }
}

aether_position aether_buffer_newest(aether_buffer *buffer)
{
    if (ae_buffer_refuse(buffer, "aether_buffer_newest") != AETHER_OK)
        return (aether_position){0, 0};
    struct place place = {.segment = ae_buffer_grab_held(&buffer->current)};
    ae_buffer_find_end(&place, true);
    aether_position position = {place.segment->owner->epoch, place.index};
    ae_chain_drop(place.segment);
    return position;
}

static void fill_slowest(struct aether_buffer *buffer, aether_buffer_stats *stats)
{
    struct slowest slowest;
    if (!ae_registry_slowest(buffer, &slowest))
        return;
    stats->slowest_items = stats->items > slowest.items ? stats->items - slowest.items : 0;
    stats->slowest_bytes = stats->bytes > slowest.bytes ? stats->bytes - slowest.bytes : 0;
    stats->slowest_on_limit = slowest.policy;
    stats->slowest_of = slowest.of;
    memcpy(stats->slowest_label, slowest.label, sizeof stats->slowest_label);
}

static void fill_stats(struct aether_buffer *buffer, aether_buffer_stats *stats)
{
    struct segment *oldest = ae_buffer_grab_held(&buffer->oldest);
    struct segment *current = ae_buffer_grab_held(&buffer->current);
    /* E9: pairs with E9_FILLED. */
    uint64_t filled = AE_LOAD(E9_LOAD, &current->filled, acquire);
    uint64_t extra = AE_LOAD(E9_LOAD, &current->extra, acquire), weight = AE_LOAD(E9_LOAD, &current->weight, acquire);
    stats->items = current->first + ae_filled_items(filled);
    stats->events = stats->items + current->extra_before + extra;
    stats->bytes = current->offset + ae_filled_bytes(filled) + weight;
    stats->retained_items = stats->items - oldest->first;
    stats->retained_events = stats->events - oldest->first - oldest->extra_before;
    stats->retained_bytes = stats->bytes - oldest->offset;
    ae_chain_drop(current);
    ae_chain_drop(oldest);
    stats->newest = aether_buffer_newest(buffer);
    /* R1, relaxed: figures. */
    stats->in_use_bytes = AE_LOAD(R1_COUNT, &buffer->in_use, relaxed);
    stats->in_use_segments = AE_LOAD(R1_COUNT, &buffer->alive, relaxed);
    stats->cached_segments = AE_LOAD(R1_COUNT, &buffer->spares, relaxed);
    stats->cached_bytes = AE_LOAD(R1_COUNT, &buffer->cached, relaxed);
    stats->cursors = AE_LOAD(R1_COUNT, &buffer->cursors, relaxed);
    stats->wakes = AE_LOAD(R1_COUNT, &buffer->wakes, relaxed);
    stats->room_waits = AE_LOAD(R1_COUNT, &buffer->room_waits, relaxed);
    stats->lapped_segments = AE_LOAD(R1_COUNT, &buffer->lapped, relaxed);
    fill_slowest(buffer, stats);
}

aether_status aether_buffer_get_stats_sized(aether_buffer *buffer, aether_buffer_stats *stats, size_t size)
{
    aether_status status = ae_buffer_refuse(buffer, "aether_buffer_get_stats");
    if (status != AETHER_OK)
        return status;
    if (stats == NULL)
        return ae_fail(AETHER_INVALID, "aether_buffer_get_stats: stats is NULL");
    aether_buffer_stats all = {0};
    fill_stats(buffer, &all);
    memset(stats, 0, size);
    memcpy(stats, &all, size < sizeof all ? size : sizeof all);
    return AETHER_OK;
}

/* --------------------------------------------------------------------------------------------------------- checking */

aether_range aether_buffer_range(aether_buffer *buffer)
{
    if (ae_buffer_refuse(buffer, "aether_buffer_range") != AETHER_OK)
        return (aether_range){0, 0, 0};
    struct segment *oldest = ae_buffer_grab_held(&buffer->oldest);
    aether_range range = {.epoch = buffer->epoch, .floor = oldest->index_base + oldest->first - 1};
    ae_chain_drop(oldest);
    range.newest = aether_buffer_newest(buffer).index;
    return range;
}

/* Walks the items of one segment and compares them with what its header says. */
static void check_segment(const struct segment *segment)
{
    const unsigned char *at = segment->memory, *end = segment->memory + segment->room;
    uint64_t items = 0, extra = 0;
    uint32_t word;
    while (ae_word_is_item(word = *ae_slot_word(at))) {
        extra += ae_extra_of(at, word);
        at += ae_step(ae_word_size(word));
        items++;
        AE_ASSERT(at + AE_END_ROOM <= end);
    }
    AE_ASSERT(segment->filled == ae_filled(items, (uint64_t)(at - segment->memory)));
    AE_ASSERT(segment->extra == extra);
    AE_ASSERT(segment->chain > 0 && segment->pins > 0);
    for (const unsigned char *rest = at + (word == 0 ? 0 : AE_SLOT_HEADER); rest < end && segment->next == NULL; rest++)
        AE_ASSERT(*rest == 0 || rest < at + AE_SLOT_HEADER); /* the gate may be marked */
}

void ae_buffer_check(struct aether_buffer *buffer)
{
    uint64_t chained = 0;
    struct segment *segment = buffer->oldest;
    for (;; segment = segment->next) {
        check_segment(segment);
        AE_ASSERT(segment->owner == buffer);
        chained++;
        if (segment == buffer->current)
            break;
        struct segment *next = segment->next;
        AE_ASSERT(next != NULL && next != AE_SEVERED);
        AE_ASSERT(next->ordinal == segment->ordinal + 1);
        AE_ASSERT(next->first == segment->first + ae_filled_items(segment->filled));
        AE_ASSERT(next->offset == segment->offset + ae_filled_bytes(segment->filled) + segment->weight);
        AE_ASSERT(next->extra_before == segment->extra_before + segment->extra);
    }
    AE_ASSERT(segment == buffer->writing);
    AE_ASSERT(buffer->head.filled == segment->filled);
    AE_ASSERT(buffer->head.at == segment->memory + ae_filled_bytes(segment->filled));
    AE_ASSERT(buffer->alive >= chained && buffer->references >= buffer->alive);
    AE_ASSERT(buffer->head.inline_end == NULL || buffer->head.inline_end == buffer->end);
}
