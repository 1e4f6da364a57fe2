/* The encoded event: what is put in comes out, byte by byte, and what does not fit is refused. */
#include "common/unit.h"

#include "bus/event.h"

static aether_event sample(void)
{
    aether_event event = {.kind = AETHER_EVENT_LIVE,
                          .flags = AETHER_EVENT_DELETED,
                          .subject_index = 7,
                          .version = -3,
                          .timestamp = INT64_C(1700000000123456789),
                          .id = {1, 2, 3, [15] = 16},
                          .type = "PriceChanged",
                          .actor = "market-1",
                          .metadata = AETHER_TEXT("{}"),
                          .data = AETHER_TEXT("{\"cents\":199}")};
    expect_ok(ae_event_complete(&event, "test"));
    return event;
}

static void expect_text(const char *expected, const char *text, size_t size)
{
    cr_assert(size == strlen(expected) && memcmp(text, expected, size) == 0, "%.*s", (int)size, text);
}

TEST(bus_event, D10_what_is_encoded_is_decoded)
{
    _Alignas(8) unsigned char memory[512];
    aether_event event = sample(), seen = {0};
    size_t size = ae_event_size(&event, strlen("prices.42"));
    unsigned char *end = ae_event_encode(memory, &event, AETHER_TEXT("prices.42"), 99);
    cr_assert(end == memory + size && size % 8 == 0);
    cr_assert(ae_event_decode(memory, &seen) == end);
    expect_number(99, seen.index);
    expect_number(7, seen.subject_index);
    expect_number(AETHER_EVENT_DELETED, seen.flags);
    cr_assert(seen.version == event.version && seen.timestamp == event.timestamp && seen.kind == event.kind);
    cr_assert(memcmp(seen.id, event.id, sizeof seen.id) == 0);
    expect_text("prices.42", seen.subject, seen.subject_size);
    expect_text("PriceChanged", seen.type, seen.type_size);
    expect_text("market-1", seen.actor, seen.actor_size);
    expect_text("{}", seen.metadata.data, seen.metadata.size);
    expect_text("{\"cents\":199}", seen.data.data, seen.data.size);
    cr_assert((uintptr_t)seen.data.data % 8 == 0);
}

TEST(bus_event, D10_events_of_a_batch_stand_one_after_another)
{
    _Alignas(8) unsigned char memory[1024];
    unsigned char *at = memory;
    for (uint64_t i = 0; i < 5; i++) {
        aether_event event = {.data = aether_bytes("abcdefgh", i)};
        at = ae_event_encode(at, &event, AETHER_TEXT("s"), i + 1);
    }
    const unsigned char *from = memory;
    for (uint64_t i = 0; i < 5; i++) {
        aether_event event = {0};
        from = ae_event_decode(from, &event);
        expect_number(i + 1, event.index);
        expect_number(i, event.data.size);
        cr_assert((uintptr_t)event.data.data % 8 == 0);
    }
    cr_assert(from == at);
}

TEST(bus_event, D10_an_event_that_was_received_is_complete_as_it_is)
{
    _Alignas(8) unsigned char memory[512];
    aether_event event = sample(), seen = {0}, again;
    ae_event_encode(memory, &event, AETHER_TEXT("a.b"), 1);
    ae_event_decode(memory, &seen);
    again = seen;
    expect_ok(ae_event_complete(&again, "test"));
    cr_assert(again.type_size == seen.type_size && again.actor_size == seen.actor_size);
}

TEST(bus_event, D10_texts_over_their_limits_are_refused_by_name)
{
    static char text[AETHER_EVENT_TEXT_MAX + 2];
    memset(text, 'x', sizeof text - 1);
    aether_event event = {.type = text};
    expect_status(AETHER_TOO_LARGE, ae_event_complete(&event, "test"));
    cr_assert(strstr(aether_error(), "type") != NULL, "%s", aether_error());
    event = (aether_event){.actor = text};
    expect_status(AETHER_TOO_LARGE, ae_event_complete(&event, "test"));
    cr_assert(strstr(aether_error(), "actor") != NULL, "%s", aether_error());
    event = (aether_event){.data = aether_bytes(text, AETHER_DATA_MAX + 1)};
    expect_status(AETHER_TOO_LARGE, ae_event_complete(&event, "test"));
    event = (aether_event){.metadata = aether_bytes(text, AETHER_METADATA_MAX + 1)};
    expect_status(AETHER_TOO_LARGE, ae_event_complete(&event, "test"));
}

TEST(bus_event, D10_sizes_without_bytes_and_unknown_flags_are_invalid)
{
    aether_event event = {.type_size = 3};
    expect_status(AETHER_INVALID, ae_event_complete(&event, "test"));
    event = (aether_event){.actor_size = 3};
    expect_status(AETHER_INVALID, ae_event_complete(&event, "test"));
    event = (aether_event){.data = {NULL, 1}};
    expect_status(AETHER_INVALID, ae_event_complete(&event, "test"));
    event = (aether_event){.metadata = {NULL, 1}};
    expect_status(AETHER_INVALID, ae_event_complete(&event, "test"));
    event = (aether_event){.flags = 4};
    expect_status(AETHER_INVALID, ae_event_complete(&event, "test"));
}
