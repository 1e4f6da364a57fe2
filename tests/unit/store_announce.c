/* What a store announces on a bus: each event once, in order, after it is kept, under a subject of its own. */
#include "common/unit.h"

#include "aether/bus.h"
#include "aether/store.h"
#include "common/unit_bus.h"

static aether_bus *bus;

static aether_store *open_with(aether_store_options options, const char *url)
{
    options.allocator = &unit_allocator;
    options.bus = bus = bus != NULL ? bus : unit_bus();
    aether_store *store = aether_store_open(url, &options);
    cr_assert(store != NULL, "%s", aether_error());
    return store;
}

static void expect_next(aether_subscription *subscription, const char *subject, const char *type, int64_t version,
                        uint64_t index)
{
    aether_event event;
    expect_ok(aether_next(subscription, &event, AETHER_SECONDS(20)));
    cr_assert(event.subject_size == strlen(subject) && memcmp(event.subject, subject, event.subject_size) == 0,
              "%.*s is not %s", (int)event.subject_size, event.subject, subject);
    cr_assert(event.type_size == strlen(type) && memcmp(event.type, type, event.type_size) == 0);
    expect_number(version, event.version);
    expect_number(index, event.index);
}

static void save(aether_store *store, const char *actor)
{
    expect_ok(aether_save(store, AETHER_EVENT(.actor = actor, .type = "Done", .data = AETHER_TEXT("{}")), NULL));
}

TEST(store_announce, STO8_what_is_saved_is_told_in_order_with_id_actor_version_and_time)
{
    aether_store *store = open_with((aether_store_options){0}, "memory:");
    aether_subscription *all = unit_subscribe(bus, "stored.>", AETHER_BEGIN_NOW);
    aether_saved saved;
    expect_ok(aether_save(
        store, AETHER_EVENT(.actor = "order-1", .type = "Done", .timestamp = 77, .data = AETHER_TEXT("{}")), &saved));
    aether_event event;
    expect_ok(aether_next(all, &event, AETHER_SECONDS(20)));
    cr_assert(memcmp(event.id, saved.id, 16) == 0 && event.version == 1 && event.timestamp == 77 && event.index == 1 &&
              event.data.size == 0);
    cr_assert(event.actor_size == 7 && memcmp(event.actor, "order-1", 7) == 0);
    for (int i = 2; i <= 100; i++)
        save(store, "order-1");
    for (int i = 2; i <= 100; i++)
        expect_next(all, "stored.order.order-1", "EventStored", i, (uint64_t)i);
    aether_store_stats stats;
    expect_ok(aether_store_get_stats(store, &stats));
    expect_number(100, stats.announced);
    aether_subscription_close(all);
    aether_store_close(store);
    aether_bus_destroy(bus);
}

TEST(store_announce, STO8_the_event_itself_can_be_told)
{
    aether_store *store =
        open_with((aether_store_options){.announce = AETHER_ANNOUNCE_EVENT, .announce_under = "my.store"}, "memory:");
    aether_subscription *all = unit_subscribe(bus, "my.store.>", AETHER_BEGIN_NOW);
    save(store, "order-1");
    aether_event event;
    expect_ok(aether_next(all, &event, AETHER_SECONDS(20)));
    cr_assert(event.type_size == 4 && memcmp(event.type, "Done", 4) == 0 && event.data.size == 2);
    aether_subscription_close(all);
    aether_store_close(store);
    aether_bus_destroy(bus);
}

TEST(store_announce, STO8_each_actor_has_a_subject_of_its_own)
{
    aether_store *store = open_with((aether_store_options){0}, "memory:");
    aether_subscription *all = unit_subscribe(bus, "stored.>", AETHER_BEGIN_NOW);
    static const char *const rows[][2] = {
        {"plain", "stored.unknown.plain"},   {"-x", "stored.unknown.-x"},           {"a.b-1", "stored.a%2Eb.a%2Eb-1"},
        {"a*b", "stored.unknown.a%2Ab"},     {"a>b", "stored.unknown.a%3Eb"},       {"a b", "stored.unknown.a%20b"},
        {"a%2Eb", "stored.unknown.a%252Eb"}, {"\xc3\xa9", "stored.unknown.%C3%A9"}, {"a\r\nb", "stored.unknown.a%0D%0Ab"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        save(store, rows[i][0]);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_next(all, rows[i][1], "EventStored", 1, i + 1);
    char longest[2][AETHER_NAME_MAX + 1];
    for (int i = 0; i < 2; i++) {
        memset(longest[i], '.', AETHER_NAME_MAX);
        longest[i][AETHER_NAME_MAX - 1] = (char)('0' + i);
        longest[i][AETHER_NAME_MAX] = '\0';
        save(store, longest[i]);
    }
    char first[AETHER_SUBJECT_MAX + 1];
    aether_event event;
    expect_ok(aether_next(all, &event, AETHER_SECONDS(20)));
    memcpy(first, event.subject, event.subject_size);
    size_t size = event.subject_size;
    expect_ok(aether_next(all, &event, AETHER_SECONDS(20)));
    cr_assert(event.subject_size == size && memcmp(first, event.subject, size) != 0, "two long names have one subject");
    aether_subscription_close(all);
    aether_store_close(store);
    aether_bus_destroy(bus);
}

TEST(store_announce, STO8_S26_what_another_handle_saves_is_told_too)
{
    aether_store *store = open_with((aether_store_options){0}, "memory:both");
    aether_store *other = aether_store_open("memory:both", &(aether_store_options){.allocator = &unit_allocator});
    aether_subscription *all = unit_subscribe(bus, "stored.>", AETHER_BEGIN_NOW);
    save(other, "a-1");
    save(store, "a-1");
    expect_next(all, "stored.a.a-1", "EventStored", 1, 1);
    expect_next(all, "stored.a.a-1", "EventStored", 2, 2);
    aether_subscription_close(all);
    aether_store_close(other);
    aether_store_close(store);
    aether_bus_destroy(bus);
}

TEST(store_announce, STO8_a_store_opened_later_does_not_tell_of_its_past)
{
    aether_store *first = aether_store_open("memory:past", &(aether_store_options){.allocator = &unit_allocator});
    save(first, "a-1");
    bus = unit_bus();
    aether_subscription *all = unit_subscribe(bus, "stored.>", AETHER_BEGIN_NOW);
    aether_store *store = open_with((aether_store_options){0}, "memory:past");
    save(first, "a-1");
    expect_next(all, "stored.a.a-1", "EventStored", 2, 2);
    aether_subscription_close(all);
    aether_store_close(store);
    aether_store_close(first);
    aether_bus_destroy(bus);
}

TEST(store_announce, STO8_a_bus_that_is_gone_keeps_no_saver_up)
{
    aether_store *store = open_with((aether_store_options){0}, "memory:");
    expect_ok(aether_bus_shutdown(bus));
    for (int i = 0; i < 10; i++)
        save(store, "a");
    aether_store_close(store);
    aether_bus_destroy(bus);
}

TEST(store_announce, STO8_a_subject_that_is_none_is_refused)
{
    bus = unit_bus();
    cr_assert(aether_store_open("memory:", &(aether_store_options){.bus = bus, .announce_under = "a..b"}) == NULL);
    expect_failure(AETHER_INVALID, "empty token");
    aether_bus_destroy(bus);
}
