/*
 * The event: what is published on a bus and kept in a store.
 *
 * One struct for both ways. Who publishes fills what there is, zero is "none"; who receives gets a view whose texts and data
 * are borrowed until the next call on the subscription. Texts come with their size and are not NUL-terminated; who publishes
 * may leave a text's size 0, then it ends at its NUL. So a received event can be published again as it is.
 *
 *      aether_publish(bus, "prices.42.eur", AETHER_EVENT(.type = "PriceChanged", .data = AETHER_TEXT("{\"cents\":199}")));
 *
 * Usable from C11 and C++17 (AETHER_EVENT needs C++20 there: C++17 fills the struct). Since 0.1.0.
 */
#ifndef AETHER_EVENT_H
#define AETHER_EVENT_H

#include <string.h>

#include "aether/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes that need no NUL; {NULL, 0} is none. Frozen: it never grows. */
typedef struct aether_text {
    const char *data;
    size_t size;
} aether_text;

/* A NUL-terminated text's bytes; NULL is none. Compilers fold it for literals. */
static inline aether_text aether_text_of(const char *text)
{
    aether_text bytes = {text, text != NULL ? strlen(text) : 0};
    return bytes;
}

#define AETHER_TEXT(text) (aether_text_of(text))

/* Any bytes. */
static inline aether_text aether_bytes(const void *data, size_t size)
{
    aether_text bytes = {(const char *)data, size};
    return bytes;
}

/* What an event that was received stands for. */
typedef int32_t aether_event_kind;

enum {
    AETHER_EVENT_LIVE = 0,             /* it was published */
    AETHER_EVENT_SNAPSHOT = 1,         /* part of the state that a snapshot shows */
    AETHER_EVENT_SNAPSHOT_FOLLOWS = 2, /* no event: forget what you know, a new snapshot begins */
    AETHER_EVENT_SNAPSHOT_END = 3,     /* no event: the state is complete as of `index`; what follows is above it */
    AETHER_EVENT_PROGRESS = 4,         /* no event: all that was published up to `index` has been passed */
    AETHER_EVENT_CAUGHT_UP = 5         /* no event: all that was stored up to `index` has been replayed */
};

/* For aether_event.flags. */
enum {
    AETHER_EVENT_DELETED = 1, /* its subject is gone: what a snapshot that counts by subject says of it, and who publishes */
    AETHER_EVENT_CLOSING = 2  /* a store takes no event of this actor after it */
};

/* Most bytes of type and of actor, of metadata, of data. */
#define AETHER_EVENT_TEXT_MAX ((size_t)UINT16_MAX)
#define AETHER_METADATA_MAX ((size_t)1 << 24)
#define AETHER_DATA_MAX ((size_t)1 << 28)

typedef struct aether_event {
    aether_event_kind kind; /* who publishes leaves it 0 */
    uint32_t flags;
    uint64_t index; /* its place in the order; who publishes: the index under which the state was committed, or 0 */
    uint64_t epoch; /* of that order; who publishes: the epoch in which it has read its state, or 0: the current one */
    uint64_t subject_index; /* the subject's own count, where each subject counts for itself; else 0 */
    int64_t version;        /* the actor's, from 1; 0: none */
    int64_t timestamp;      /* nanoseconds since 1970; 0: none */
    uint8_t id[16];         /* all zero: none */
    const char *subject;
    size_t subject_size;
    const char *type;
    size_t type_size;
    const char *actor;
    size_t actor_size;
    aether_text metadata;
    aether_text data;  /* received from a bus: aligned to 8 bytes */
    aether_text extra; /* stores: members of its JSON that aether does not know, as they came, "a":1,"b":2. Not on a bus */
} aether_event;

/* An event for one call: AETHER_EVENT(.type = "OrderPaid", .data = AETHER_TEXT("{}")) */
#define AETHER_EVENT(...) (&(const aether_event){__VA_ARGS__})

#ifdef __cplusplus
}
#endif

#endif
