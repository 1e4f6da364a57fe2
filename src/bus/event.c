#include "bus/event.h"

#include "base/fail.h"

_Static_assert(sizeof(struct ae_event_head) == 64, "a cache line, without padding");

static aether_status complete_text(const char *text, size_t *size, const char *what, const char *call)
{
    if (*size == 0 && text != NULL)
        *size = strlen(text);
    if (*size > AETHER_EVENT_TEXT_MAX)
        return ae_fail(AETHER_TOO_LARGE, "%s: the event's %s has %zu bytes, over the limit of %zu", call, what, *size,
                       AETHER_EVENT_TEXT_MAX);
    if (*size != 0 && text == NULL)
        return ae_fail(AETHER_INVALID, "%s: the event's %s is NULL with size %zu", call, what, *size);
    return AETHER_OK;
}

static aether_status check_bytes(aether_text bytes, size_t most, const char *what, const char *call)
{
    if (bytes.size > most)
        return ae_fail(AETHER_TOO_LARGE, "%s: the event's %s has %zu bytes, over the limit of %zu", call, what, bytes.size,
                       most);
    if (bytes.size != 0 && bytes.data == NULL)
        return ae_fail(AETHER_INVALID, "%s: the event's %s is NULL with size %zu", call, what, bytes.size);
    return AETHER_OK;
}

aether_status ae_event_complete(aether_event *event, const char *call)
{
    aether_status status = complete_text(event->type, &event->type_size, "type", call);
    if (status == AETHER_OK)
        status = complete_text(event->actor, &event->actor_size, "actor", call);
    if (status == AETHER_OK)
        status = check_bytes(event->metadata, AETHER_METADATA_MAX, "metadata", call);
    if (status == AETHER_OK)
        status = check_bytes(event->data, AETHER_DATA_MAX, "data", call);
    if (status == AETHER_OK && (event->flags & ~(uint32_t)AE_EVENT_FLAGS) != 0)
        return ae_fail(AETHER_INVALID, "%s: the event has unknown flags, 0x%x", call, event->flags);
    return status;
}

size_t ae_event_size(const aether_event *event, size_t subject_size)
{
    size_t size = sizeof(struct ae_event_head) + event->data.size + event->metadata.size + subject_size + event->type_size +
                  event->actor_size;
    return (size + 7) & ~(size_t)7;
}

static unsigned char *put(unsigned char *at, const void *data, size_t size)
{
    if (size != 0)
        memcpy(at, data, size);
    return at + size;
}

unsigned char *ae_event_encode(unsigned char *at, const aether_event *event, aether_text subject, uint64_t index)
{
    struct ae_event_head head = {.index = index,
                                 .subject_index = event->subject_index,
                                 .version = event->version,
                                 .timestamp = event->timestamp,
                                 .data_size = (uint32_t)event->data.size,
                                 .metadata_size = (uint32_t)event->metadata.size,
                                 .subject_size = (uint16_t)subject.size,
                                 .type_size = (uint16_t)event->type_size,
                                 .actor_size = (uint16_t)event->actor_size,
                                 .kind = (uint8_t)event->kind,
                                 .flags = (uint8_t)event->flags};
    memcpy(head.id, event->id, sizeof head.id);
    unsigned char *start = at;
    at = put(at, &head, sizeof head);
    at = put(at, event->data.data, event->data.size);
    at = put(at, event->metadata.data, event->metadata.size);
    at = put(at, subject.data, subject.size);
    at = put(at, event->type, event->type_size);
    at = put(at, event->actor, event->actor_size);
    size_t rest = (size_t)(start - at) & 7;
    memset(at, 0, rest);
    return at + rest;
}

static const char *take(const unsigned char **at, size_t size)
{
    const char *text = (const char *)*at;
    *at += size;
    return text;
}

const unsigned char *ae_event_decode(const unsigned char *at, aether_event *event)
{
    const struct ae_event_head *head = (const struct ae_event_head *)(const void *)at;
    const unsigned char *start = at;
    at += sizeof *head;
    event->kind = head->kind;
    event->flags = head->flags;
    event->index = head->index;
    event->subject_index = head->subject_index;
    event->version = head->version;
    event->timestamp = head->timestamp;
    memcpy(event->id, head->id, sizeof event->id);
    event->extra = (aether_text){NULL, 0};
    event->data = (aether_text){take(&at, head->data_size), head->data_size};
    event->metadata = (aether_text){take(&at, head->metadata_size), head->metadata_size};
    event->subject_size = head->subject_size;
    event->subject = take(&at, head->subject_size);
    /* None is NULL: who publishes such a view again would be asked for a text that ends at its NUL. */
    const char *type = take(&at, head->type_size), *actor = take(&at, head->actor_size);
    event->type_size = head->type_size;
    event->type = head->type_size != 0 ? type : NULL;
    event->actor_size = head->actor_size;
    event->actor = head->actor_size != 0 ? actor : NULL;
    return at + ((size_t)(start - at) & 7);
}
