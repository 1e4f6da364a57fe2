/* Structs of the bus that programs of another version pass: shorter than today's, and longer. */
#include "common/unit.h"

#include <stddef.h>

#include "common/unit_bus.h"
#include "common/unit_snapshot.h"

/* Of later versions. */
struct later_event {
    aether_event now;
    uint64_t later[3];
};

struct later_stats {
    aether_bus_stats now;
    uint64_t later[3];
};

static void expect_bytes(unsigned char wanted, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        expect_number(wanted, ((const unsigned char *)bytes)[i]);
}

TEST(bus_sized, D2_options_of_an_earlier_version_mean_the_defaults_for_the_rest)
{
    aether_bus_options options = unit_bus_options();
    options.newest_index = 500;
    options.disabled = true; /* beyond what the caller's version knew */
    aether_bus *bus = aether_bus_create_sized(&options, offsetof(aether_bus_options, publish_wait_ns));
    cr_assert(bus != NULL);
    aether_subscribe_options begin = {.begin = AETHER_BEGIN_NOW, .label = "x", .drain = true};
    begin.filter.actor = "nobody";
    aether_subscription *sub = aether_subscribe_sized(bus, "a", &begin, offsetof(aether_subscribe_options, filter));
    cr_assert(sub != NULL, "%s", aether_error());
    expect_ok(unit_publish(bus, "a=1"));
    expect_events("a=1", AETHER_EMPTY, sub);
    expect_number(501, aether_bus_newest(bus).index);
    expect_ok(aether_bus_retain_sized(bus, "a", &(aether_retention){.events = 5, .ns = -1}, offsetof(aether_retention, ns)));
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
    memset(&options, 0xff, sizeof options);
    bus = aether_bus_create_sized(&options, 0);
    cr_assert(bus != NULL);
    aether_bus_destroy(bus);
}

TEST(bus_sized, D2_events_of_an_earlier_version_lack_what_it_did_not_know)
{
    enum { EARLIER = offsetof(aether_event, metadata) };
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe(bus, "*", AETHER_BEGIN_NOW);
    unsigned char batch[2 * EARLIER];
    aether_event event = {.subject = "a", .type = "T", .data = {NULL, 77}}; /* nobody looks there */
    memcpy(batch, &event, EARLIER);
    event.subject = "b";
    memcpy(batch + EARLIER, &event, EARLIER);
    expect_ok(aether_publish_sized(bus, "c", &event, EARLIER));
    expect_ok(aether_publish_batch_sized(bus, (const aether_event *)(const void *)batch, 2, EARLIER));
    expect_events("c@1 a@2 b@2", AETHER_EMPTY, sub);
    expect_ok(unit_publish(bus, "a=1"));
    memset(&event, 0xee, sizeof event);
    expect_ok(aether_next_sized(sub, &event, EARLIER, AETHER_NO_WAIT));
    expect_number(3, event.index);
    expect_bytes(0xee, (const unsigned char *)&event + EARLIER, sizeof event - EARLIER);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_sized, D2_events_of_a_later_version_have_zeros_at_their_end)
{
    aether_bus *bus = unit_bus();
    aether_topic *topic = aether_topic_open(bus, "a");
    aether_subscription *sub = unit_subscribe(bus, "*", AETHER_BEGIN_NOW);
    struct later_event batch[2] = {{.now = {.subject = "b", .type = "1"}}, {.now = {.subject = "c", .type = "2"}}};
    memset(batch[0].later, 0xff, sizeof batch[0].later);
    expect_ok(aether_publish_sized(bus, "a", &batch[0].now, sizeof *batch));
    expect_ok(aether_publish_batch_sized(bus, &batch[0].now, 2, sizeof *batch));
    expect_ok(aether_topic_publish_sized(topic, &batch[0].now, sizeof *batch));
    expect_ok(aether_topic_publish_batch_sized(topic, &batch[0].now, 2, sizeof *batch));
    struct later_event seen[3];
    memset(seen, 0xee, sizeof seen);
    expect_ok(aether_next_sized(sub, &seen[0].now, sizeof *seen, AETHER_NO_WAIT));
    expect_bytes(0, seen[0].later, sizeof seen[0].later);
    size_t count;
    static const uint64_t indexes[] = {2, 2, 3, 4, 4};
    for (size_t at = 0; at < 5; at += count) {
        memset(seen, 0xee, sizeof seen);
        expect_ok(aether_next_run_sized(sub, &seen[0].now, 3, &count, sizeof *seen, AETHER_NO_WAIT));
        for (size_t i = 0; i < count; i++) {
            expect_number(indexes[at + i], seen[i].now.index);
            expect_bytes(0, seen[i].later, sizeof seen[i].later);
        }
    }
    aether_subscription_close(sub);
    aether_topic_close(topic);
    aether_bus_destroy(bus);
}

TEST(bus_sized, D2_figures_stop_where_the_callers_struct_ends_and_go_on_with_zeros)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_NOW);
    expect_ok(unit_publish(bus, "a=1"));
    struct later_stats stats;
    memset(&stats, 0xee, sizeof stats);
    enum { EARLIER = offsetof(aether_bus_stats, batches) };
    expect_ok(aether_bus_get_stats_sized(bus, &stats.now, EARLIER));
    expect_number(1, stats.now.published);
    expect_bytes(0xee, (unsigned char *)&stats + EARLIER, sizeof stats - EARLIER);
    expect_ok(aether_bus_get_stats_sized(bus, &stats.now, sizeof stats));
    expect_number(1, stats.now.batches);
    expect_bytes(0, stats.later, sizeof stats.later);
    aether_subscription_stats account;
    memset(&account, 0xee, sizeof account);
    enum { SOONER = offsetof(aether_subscription_stats, delivered) };
    expect_ok(aether_subscription_get_stats_sized(sub, &account, SOONER));
    expect_number(1, account.published);
    expect_bytes(0xee, (unsigned char *)&account + SOONER, sizeof account - SOONER);
    struct {
        aether_subscription_stats now;
        uint64_t later[3];
    } later;
    memset(&later, 0xee, sizeof later);
    expect_ok(aether_subscription_get_stats_sized(sub, &later.now, sizeof later));
    expect_number(1, later.now.pending);
    expect_bytes(0, later.later, sizeof later.later);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

static aether_status make_earlier(aether_snapshot *snapshot, const char *pattern, uint64_t *index, void *user)
{
    (void)pattern, (void)user;
    *index = 0;
    aether_event event = {.subject = "a", .type = "T", .data = {NULL, 77}};
    return aether_snapshot_append_sized(snapshot, &event, 1, offsetof(aether_event, metadata));
}

TEST(bus_sized, D2_handlers_of_an_earlier_version_make_snapshots)
{
    aether_bus *bus = unit_bus();
    aether_snapshot_handler handler = {.make = make_earlier, .cache_ns = AETHER_SECONDS(60), .by_subject = true};
    expect_ok(aether_bus_handle_snapshots_sized(bus, "a", &handler, offsetof(aether_snapshot_handler, cache_ns)));
    aether_subscription *sub = unit_watch(bus, "a");
    expect_ok(unit_publish(bus, "a=1"));
    expect_events("+a@0 end@0 a=1", AETHER_EMPTY, sub);
    expect_position(UNIT_EPOCH, 1, aether_subscription_position(sub)); /* it does not count by subject */
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}
