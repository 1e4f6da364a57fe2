/*
 * The encoded event (D10): the one form in which events stand in feeds and snapshots.
 *
 *      0                 64            64 + data
 *      ┌────────────────┬─────────────┬──────────┬─────────┬──────┬───────┬─────────┐
 *      │ ae_event_head  │ data        │ metadata │ subject │ type │ actor │ padding │ the next one of the batch …
 *      └────────────────┴─────────────┴──────────┴─────────┴──────┴───────┴─────────┘
 *
 * Data stands first, so that it is aligned to 8 bytes. An item of a feed is one or more of these, one after another.
 */
#ifndef AE_EVENT_H
#define AE_EVENT_H

#include "aether/event.h"

enum { AE_EVENT_FLAGS = AETHER_EVENT_DELETED | AETHER_EVENT_CLOSING };

struct ae_event_head {
    uint64_t index;
    uint64_t subject_index;
    int64_t version;
    int64_t timestamp;
    uint8_t id[16];
    uint32_t data_size;
    uint32_t metadata_size;
    uint16_t subject_size;
    uint16_t type_size;
    uint16_t actor_size;
    uint8_t kind;
    uint8_t flags;
};

/* Makes `event` complete: sizes of texts that end at their NUL. AETHER_INVALID or AETHER_TOO_LARGE with a text. */
AETHER_CHECKED aether_status ae_event_complete(aether_event *event, const char *call);

/* Whether it is so already, and is no mark: nothing has to be looked up to encode it. */
static inline bool ae_event_is_complete(const aether_event *event)
{
    return (event->type_size != 0) == (event->type != NULL) && (event->actor_size != 0) == (event->actor != NULL) &&
           event->type_size <= AETHER_EVENT_TEXT_MAX && event->actor_size <= AETHER_EVENT_TEXT_MAX &&
           event->metadata.size <= AETHER_METADATA_MAX && event->data.size <= AETHER_DATA_MAX &&
           (event->metadata.data != NULL || event->metadata.size == 0) &&
           (event->data.data != NULL || event->data.size == 0) && event->kind == AETHER_EVENT_LIVE &&
           (event->flags & ~(uint32_t)AE_EVENT_FLAGS) == 0;
}

/* The bytes that it takes encoded, a multiple of 8. The event is complete. */
size_t ae_event_size(const aether_event *event, size_t subject_size);

/* Encodes a complete event under `subject`; returns the place behind it. */
unsigned char *ae_event_encode(unsigned char *at, const aether_event *event, aether_text subject, uint64_t index);

/* A view of the event at `at`; returns the place behind it. event->epoch is left to the caller. */
const unsigned char *ae_event_decode(const unsigned char *at, aether_event *event);

#endif
