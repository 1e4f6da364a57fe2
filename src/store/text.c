/* What drivers share: UTF-8, checksums, what "the same event" means, failures and the log. */
#include <stdarg.h>
#include <stdio.h>

#include "aether/driver.h"
#include "base/crc32c.h"
#include "base/fail.h"
#include "base/log.h"

/* The bytes of the sequence at `at`, of which `left` are there; 0: it is none. Table 3-7 of the Unicode standard. */
static size_t sequence(const unsigned char *at, size_t left)
{
    unsigned char first = at[0];
    size_t size = first < 0x80                    ? 1
                  : first >= 0xc2 && first < 0xe0 ? 2
                  : first >= 0xe0 && first < 0xf0 ? 3
                  : first >= 0xf0 && first < 0xf5 ? 4
                                                  : 0;
    if (size == 0 || size > left || first == 0)
        return 0;
    if (size > 1) {
        unsigned char least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
        unsigned char most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
        if (at[1] < least || at[1] > most)
            return 0;
    }
    for (size_t i = 2; i < size; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return size;
}

bool aether_text_is_utf8(const char *text, size_t size, size_t *at)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t offset = 0;
    while (offset < size) {
        uint64_t word;
        if (size - offset >= sizeof word) { /* eight of ASCII at once, none of them 0 */
            memcpy(&word, bytes + offset, sizeof word);
            if (((word | (word - UINT64_C(0x0101010101010101))) & UINT64_C(0x8080808080808080)) == 0) {
                offset += sizeof word;
                continue;
            }
        }
        size_t length = sequence(bytes + offset, size - offset);
        if (length == 0) {
            if (at != NULL)
                *at = offset;
            return false;
        }
        offset += length;
    }
    return true;
}

uint32_t aether_checksum(uint32_t crc, const void *bytes, size_t size)
{
    return ae_crc32c(crc, bytes, size);
}

/* Sizes go in, too: what moves from one text to the next is noticed. */
uint32_t aether_event_checksum(uint32_t crc, const aether_event *event)
{
    struct {
        int64_t version, timestamp;
        uint64_t metadata_size, data_size, extra_size;
        uint32_t type_size, actor_size, flags, none;
        uint8_t id[16];
    } head = {event->version,
              event->timestamp,
              event->metadata.size,
              event->data.size,
              event->extra.size,
              (uint32_t)event->type_size,
              (uint32_t)event->actor_size,
              event->flags,
              0,
              {0}};
    memcpy(head.id, event->id, sizeof head.id);
    crc = ae_crc32c(crc, &head, sizeof head);
    crc = ae_crc32c(crc, event->type, event->type_size);
    crc = ae_crc32c(crc, event->actor, event->actor_size);
    crc = ae_crc32c(crc, event->metadata.data, event->metadata.size);
    crc = ae_crc32c(crc, event->data.data, event->data.size);
    return ae_crc32c(crc, event->extra.data, event->extra.size);
}

static bool same_bytes(const char *a, size_t a_size, const char *b, size_t b_size)
{
    return a_size == b_size && (a_size == 0 || memcmp(a, b, a_size) == 0);
}

bool aether_event_is_same(const aether_event *given, const aether_event *stored, bool compare_time)
{
    return memcmp(given->id, stored->id, sizeof given->id) == 0 && given->flags == stored->flags &&
           (given->version == 0 || given->version == stored->version) &&
           (!compare_time || given->timestamp == stored->timestamp) &&
           same_bytes(given->type, given->type_size, stored->type, stored->type_size) &&
           same_bytes(given->data.data, given->data.size, stored->data.data, stored->data.size) &&
           same_bytes(given->metadata.data, given->metadata.size, stored->metadata.data, stored->metadata.size) &&
           same_bytes(given->extra.data, given->extra.size, stored->extra.data, stored->extra.size);
}

aether_status aether_fail(aether_status status, const char *format, ...)
{
    char text[AE_FAILURE_TEXT];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return ae_fail(status, "%s", text);
}

void aether_log_line(int32_t level, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    ae_log(level, text);
}

const char *aether_durability_text(aether_durability durability)
{
    static const char *const texts[] = {"not saved", "in memory", "written", "on disk", "replicated"};
    return durability >= 0 && durability <= AETHER_REPLICATED ? texts[durability] : "unknown";
}
