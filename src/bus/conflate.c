#include "bus/event.h"
#include "bus/subscription.h"

/* The newest event of a subject. */
struct kept {
    struct ae_entry entry;
    struct kept *before, *after; /* by index */
    uint64_t index, epoch;
    size_t bytes; /* encoded */
    _Alignas(8) unsigned char event[];
};

struct ae_conflation {
    struct ae_table table;
    struct kept *first, *last;
    struct kept *handed_out; /* until the next call */
    uint32_t most;
    aether_allocator allocator;
};

struct ae_conflation *ae_conflation_make(uint32_t most, const aether_allocator *allocator)
{
    struct ae_conflation *conflation = ae_alloc(allocator, sizeof *conflation, _Alignof(struct ae_conflation));
    if (conflation == NULL)
        return NULL;
    *conflation = (struct ae_conflation){.most = most, .allocator = *allocator};
    ae_table_init(&conflation->table, &conflation->allocator);
    return conflation;
}

static void free_kept(struct kept *kept, const aether_allocator *allocator)
{
    if (kept != NULL)
        ae_free(allocator, kept, sizeof *kept + kept->bytes, _Alignof(struct kept));
}

static void free_entry(struct ae_entry *entry, const aether_allocator *allocator)
{
    free_kept((struct kept *)entry, allocator);
}

size_t ae_conflation_clear(struct ae_conflation *conflation)
{
    size_t count = conflation->table.count;
    free_kept(conflation->handed_out, &conflation->allocator);
    ae_table_destroy(&conflation->table, free_entry);
    conflation->handed_out = conflation->first = conflation->last = NULL;
    return count;
}

void ae_conflation_free(struct ae_conflation *conflation)
{
    if (conflation == NULL)
        return;
    (void)ae_conflation_clear(conflation);
    aether_allocator allocator = conflation->allocator;
    ae_free(&allocator, conflation, sizeof *conflation, _Alignof(struct ae_conflation));
}

size_t ae_conflation_count(const struct ae_conflation *conflation)
{
    return conflation->table.count;
}

bool ae_conflation_is_full(const struct ae_conflation *conflation)
{
    return conflation->table.count >= conflation->most;
}

uint64_t ae_conflation_first_index(const struct ae_conflation *conflation)
{
    return conflation->first->index;
}

static void link_last(struct ae_conflation *conflation, struct kept *kept)
{
    kept->before = conflation->last;
    kept->after = NULL;
    *(kept->before != NULL ? &kept->before->after : &conflation->first) = kept;
    conflation->last = kept;
}

static void take_out(struct ae_conflation *conflation, struct kept *kept)
{
    *(kept->before != NULL ? &kept->before->after : &conflation->first) = kept->after;
    *(kept->after != NULL ? &kept->after->before : &conflation->last) = kept->before;
    ae_table_remove(&conflation->table, &kept->entry);
}

aether_status ae_conflation_put(struct ae_conflation *conflation, const aether_event *event, bool *replaced)
{
    aether_text subject = {event->subject, event->subject_size};
    size_t bytes = ae_event_size(event, subject.size);
    struct kept *kept = ae_alloc(&conflation->allocator, sizeof *kept + bytes, _Alignof(struct kept));
    if (kept == NULL)
        return ae_fail(AETHER_NO_MEMORY, "aether_next: no memory to keep an event");
    *kept = (struct kept){.index = event->index, .epoch = event->epoch, .bytes = bytes};
    (void)ae_event_encode(kept->event, event, subject, event->index);
    aether_event copy;
    (void)ae_event_decode(kept->event, &copy);
    kept->entry.subject = (aether_text){copy.subject, copy.subject_size};
    kept->entry.hash = ae_table_hash(subject);
    struct kept *older = (struct kept *)ae_table_find(&conflation->table, subject, kept->entry.hash);
    *replaced = older != NULL;
    if (older != NULL) {
        take_out(conflation, older);
        free_kept(older, &conflation->allocator);
    }
    if (!ae_table_add(&conflation->table, &kept->entry)) {
        free_kept(kept, &conflation->allocator);
        return ae_fail(AETHER_NO_MEMORY, "aether_next: no memory to keep an event"); /* only the first one comes here */
    }
    link_last(conflation, kept);
    return AETHER_OK;
}

void ae_conflation_take(struct ae_conflation *conflation, aether_event *event)
{
    struct kept *kept = conflation->first;
    take_out(conflation, kept);
    free_kept(conflation->handed_out, &conflation->allocator);
    conflation->handed_out = kept;
    (void)ae_event_decode(kept->event, event);
    event->epoch = kept->epoch;
}
