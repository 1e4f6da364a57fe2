/* Publishing: one order in every feed, a batch stands together, and what fails stands nowhere. */
#include "common/unit.h"

#include "common/unit_bus.h"

static const aether_event something = {.type = "Something"};

static void expect_text(const char *wanted, const char *text, size_t size)
{
    cr_assert(size == strlen(wanted) && memcmp(text, wanted, size) == 0, "\"%.*s\" instead of \"%s\"", (int)size, text,
              wanted);
}

static aether_event next_event(aether_subscription *subscription)
{
    aether_event event;
    expect_ok(aether_next(subscription, &event, AETHER_NO_WAIT));
    return event;
}

/* ---------------------------------------------------------------------------------------------------- what is published */

TEST(bus_publish, BUS1_what_is_published_comes_out_whole)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe(bus, "orders.>", AETHER_BEGIN_NOW);
    aether_event sent = {.flags = AETHER_EVENT_DELETED,
                         .epoch = UNIT_EPOCH,
                         .subject_index = 5,
                         .version = 12,
                         .timestamp = INT64_C(1700000000123456789),
                         .id = {1, 2, [15] = 16},
                         .subject = "not.this.one",
                         .type = "OrderPaid and more",
                         .type_size = 9,
                         .actor = "order-42",
                         .metadata = AETHER_TEXT("{}"),
                         .data = AETHER_TEXT("{\"cents\":199}")};
    expect_ok(aether_publish(bus, "orders.eu.42", &sent));
    aether_event seen = next_event(sub);
    cr_assert(seen.kind == AETHER_EVENT_LIVE && seen.flags == AETHER_EVENT_DELETED);
    expect_number(1, seen.index);
    expect_number(UNIT_EPOCH, seen.epoch);
    expect_number(5, seen.subject_index);
    cr_assert(seen.version == sent.version && seen.timestamp == sent.timestamp);
    cr_assert(memcmp(seen.id, sent.id, sizeof sent.id) == 0);
    expect_text("orders.eu.42", seen.subject, seen.subject_size);
    expect_text("OrderPaid", seen.type, seen.type_size);
    expect_text("order-42", seen.actor, seen.actor_size);
    expect_text("{}", seen.metadata.data, seen.metadata.size);
    expect_text("{\"cents\":199}", seen.data.data, seen.data.size);
    cr_assert((uintptr_t)seen.data.data % 8 == 0);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_publish, BUS1_an_event_with_nothing_in_it_is_an_event)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_NOW);
    expect_ok(aether_publish(bus, "a", &(aether_event){0}));
    aether_event seen = next_event(sub);
    expect_number(1, seen.index);
    expect_number(0, seen.type_size + seen.actor_size + seen.metadata.size + seen.data.size);
    cr_assert(seen.version == 0 && seen.timestamp == 0);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_publish, BUS1_what_was_received_can_be_published_again_as_it_is)
{
    aether_bus *bus = unit_bus(), *other = unit_bus();
    aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_NOW);
    aether_subscription *copy = unit_subscribe(other, "b", AETHER_BEGIN_NOW);
    expect_ok(aether_publish(bus, "a", AETHER_EVENT(.type = "T", .actor = "x-1", .data = AETHER_TEXT("7"))));
    aether_event seen = next_event(sub);
    expect_ok(aether_publish(other, "b", &seen));
    aether_event again = next_event(copy);
    expect_number(1, again.index);
    expect_text("b", again.subject, again.subject_size);
    expect_text("T", again.type, again.type_size);
    expect_text("x-1", again.actor, again.actor_size);
    expect_text("7", again.data.data, again.data.size);
    aether_subscription_close(sub);
    aether_subscription_close(copy);
    aether_bus_destroy(bus);
    aether_bus_destroy(other);
}

TEST(bus_publish, BUS1_changing_what_was_published_changes_nothing)
{
    aether_bus *bus = unit_bus();
    aether_subscription *one = unit_subscribe(bus, "a.b", AETHER_BEGIN_NOW);
    aether_subscription *all = unit_subscribe(bus, ">", AETHER_BEGIN_NOW);
    static char large[5000], subject[] = "a.b", type[] = "T";
    memset(large, 'x', sizeof large);
    expect_ok(aether_publish(bus, subject, AETHER_EVENT(.type = type, .data = {large, sizeof large})));
    memset(large, 'y', sizeof large);
    subject[0] = type[0] = '?';
    aether_subscription *subs[] = {one, all};
    for (size_t i = 0; i < 2; i++) {
        aether_event seen = next_event(subs[i]);
        expect_text("a.b", seen.subject, seen.subject_size);
        expect_text("T", seen.type, seen.type_size);
        expect_number(sizeof large, seen.data.size);
        for (size_t at = 0; at < sizeof large; at++)
            cr_assert(seen.data.data[at] == 'x');
        aether_subscription_close(subs[i]);
    }
    aether_bus_destroy(bus);
}

TEST(bus_publish, BUS1_large_events_to_several_feeds_are_shared)
{
    aether_bus *bus = unit_bus();
    static const char *const patterns[] = {"a.b", "a.*", "a.>", ">"};
    aether_subscription *subs[4];
    for (size_t i = 0; i < 4; i++)
        subs[i] = unit_subscribe(bus, patterns[i], AETHER_BEGIN_NOW);
    static const size_t sizes[] = {0, 100, 1000, 1100, 5000, 100000};
    static unsigned char data[100000];
    for (size_t i = 0; i < 6; i++) {
        unit_fill(data, sizes[i], i);
        expect_ok(aether_publish(bus, "a.b", AETHER_EVENT(.data = aether_bytes(data, sizes[i]))));
    }
    for (size_t s = 0; s < 4; s++) {
        for (size_t i = 0; i < 6; i++) {
            aether_event seen = next_event(subs[s]);
            cr_assert(seen.data.size == sizes[i] && unit_is_filled(seen.data.data, sizes[i], i));
        }
        aether_subscription_close(subs[s]);
    }
    expect_within(3, 4, unit_bus_stats(bus).shared);
    expect_number(24, unit_bus_stats(bus).appended);
    aether_bus_destroy(bus);
}

/* -------------------------------------------------------------------------------------------------------------- refusals */

struct bad_subject {
    const char *subject, *fault;
};

static const struct bad_subject bad_subjects[] = {
    {"", "empty token at byte 0"},
    {".a", "empty token at byte 0"},
    {"a.", "empty token at byte 2"},
    {"abc..d", "empty token at byte 4"},
    {"a.b c", "blank or control character at byte 3"},
    {"a\r\nPUB x", "blank or control character at byte 1"},
    {"a.\x7f", "blank or control character at byte 2"},
    {"a.*", "at byte 2"},
    {"a.>", "at byte 2"},
    {">", "at byte 0"},
    {"a.b*c", "at byte 3"},
};

/* Nothing has been published, nor has it been seen by `sub`. */
static void expect_untouched(aether_bus *bus, aether_subscription *sub, uint64_t newest)
{
    expect_number(newest, aether_bus_newest(bus).index);
    expect_events("", AETHER_EMPTY, sub);
    expect_number(0, unit_bus_stats(bus).published);
}

TEST(bus_publish, BUS2_malformed_subjects_are_refused_with_the_place)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe(bus, ">", AETHER_BEGIN_NOW);
    for (size_t i = 0; i < sizeof bad_subjects / sizeof *bad_subjects; i++) {
        const struct bad_subject *bad = &bad_subjects[i];
        aether_event event = {.subject = bad->subject};
        expect_refused(AETHER_INVALID, bad->fault, aether_publish(bus, bad->subject, &something));
        cr_assert(aether_topic_open(bus, bad->subject) == NULL);
        expect_failure(AETHER_INVALID, bad->fault);
        expect_refused(AETHER_INVALID, bad->fault, aether_publish_batch(bus, &event, 1));
    }
    char text[AETHER_SUBJECT_MAX + 2];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    expect_refused(AETHER_INVALID, "1024 bytes", aether_publish(bus, text, &something));
    for (size_t i = 0; i < 2 * AETHER_TOKENS_MAX + 1; i++)
        text[i] = i % 2 == 0 ? 'a' : '.';
    text[2 * AETHER_TOKENS_MAX + 1] = '\0';
    expect_refused(AETHER_INVALID, "64 tokens", aether_publish(bus, text, &something));
    expect_untouched(bus, sub, 0);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_publish, BUS1_subjects_at_their_limits_are_published)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe(bus, ">", AETHER_BEGIN_NOW);
    char text[AETHER_SUBJECT_MAX + 1];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    expect_ok(aether_publish(bus, text, &something));
    expect_number(AETHER_SUBJECT_MAX, next_event(sub).subject_size);
    for (size_t i = 0; i < 2 * AETHER_TOKENS_MAX - 1; i++)
        text[i] = i % 2 == 0 ? 'a' : '.';
    text[2 * AETHER_TOKENS_MAX - 1] = '\0';
    expect_ok(aether_publish(bus, text, &something));
    expect_number(2 * AETHER_TOKENS_MAX - 1, next_event(sub).subject_size);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_publish, BUS1_what_is_missing_is_invalid)
{
    aether_bus *bus = unit_bus();
    aether_topic *topic = aether_topic_open(bus, "a");
    cr_assert(topic != NULL);
    expect_status(AETHER_INVALID, aether_publish(NULL, "a", &something));
    expect_status(AETHER_INVALID, aether_publish(bus, NULL, &something));
    expect_status(AETHER_INVALID, aether_publish(bus, "a", NULL));
    expect_status(AETHER_INVALID, aether_publish_batch(NULL, &something, 1));
    expect_status(AETHER_INVALID, aether_publish_batch(bus, NULL, 1));
    expect_status(AETHER_INVALID, aether_publish_batch(bus, &something, 1)); /* without a subject */
    expect_status(AETHER_INVALID, aether_topic_publish(NULL, &something));
    expect_status(AETHER_INVALID, aether_topic_publish(topic, NULL));
    expect_status(AETHER_INVALID, aether_topic_publish_batch(topic, NULL, 1));
    expect_status(AETHER_INVALID, aether_topic_publish_batch(NULL, &something, 1));
    cr_assert(aether_topic_open(NULL, "a") == NULL && aether_error_status() == AETHER_INVALID);
    cr_assert(aether_topic_open(bus, NULL) == NULL && aether_error_status() == AETHER_INVALID);
    expect_status(AETHER_INVALID, aether_publish(bus, "a", AETHER_EVENT(.type_size = 1)));
    expect_status(AETHER_INVALID, aether_publish(bus, "a", AETHER_EVENT(.actor_size = 1)));
    expect_status(AETHER_INVALID, aether_publish(bus, "a", AETHER_EVENT(.metadata = {NULL, 1})));
    expect_status(AETHER_INVALID, aether_publish(bus, "a", AETHER_EVENT(.data = {NULL, 1})));
    expect_status(AETHER_INVALID, aether_topic_publish(topic, AETHER_EVENT(.data = {NULL, 1})));
    expect_position(0, 0, aether_bus_newest(NULL));
    expect_position(UNIT_EPOCH, 0, aether_bus_newest(bus));
    aether_topic_close(topic);
    aether_topic_close(NULL);
    aether_bus_destroy(bus);
    aether_bus_destroy(NULL);
}

TEST(bus_publish, BUS1_no_events_are_ok_and_nothing)
{
    aether_bus *bus = unit_bus();
    aether_topic *topic = aether_topic_open(bus, "a");
    aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_NOW);
    expect_ok(aether_publish_batch(bus, NULL, 0));
    expect_ok(aether_publish_batch(bus, &something, 0));
    expect_ok(aether_topic_publish_batch(topic, NULL, 0));
    expect_untouched(bus, sub, 0);
    aether_subscription_close(sub);
    aether_topic_close(topic);
    aether_bus_destroy(bus);
}

TEST(bus_publish, BUS1_parts_over_their_limits_are_too_large_and_those_at_it_are_not)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_NOW);
    static char text[AETHER_EVENT_TEXT_MAX + 1];
    memset(text, 't', sizeof text);
    expect_status(AETHER_TOO_LARGE, aether_publish(bus, "a", AETHER_EVENT(.type = text, .type_size = sizeof text)));
    expect_status(AETHER_TOO_LARGE, aether_publish(bus, "a", AETHER_EVENT(.actor = text, .actor_size = sizeof text)));
    expect_status(AETHER_TOO_LARGE, aether_publish(bus, "a", AETHER_EVENT(.metadata = {text, AETHER_METADATA_MAX + 1})));
    expect_status(AETHER_TOO_LARGE, aether_publish(bus, "a", AETHER_EVENT(.data = {text, AETHER_DATA_MAX + 1})));
    expect_untouched(bus, sub, 0);
    expect_ok(aether_publish(
        bus, "a",
        AETHER_EVENT(.type = text, .type_size = AETHER_EVENT_TEXT_MAX, .actor = text, .actor_size = AETHER_EVENT_TEXT_MAX)));
    aether_event seen = next_event(sub);
    cr_assert(seen.type_size == AETHER_EVENT_TEXT_MAX && memcmp(seen.type, text, seen.type_size) == 0);
    cr_assert(seen.actor_size == AETHER_EVENT_TEXT_MAX && memcmp(seen.actor, text, seen.actor_size) == 0);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_publish, BUS1_marks_cannot_be_published)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_NOW);
    static const aether_event_kind marks[] = {AETHER_EVENT_SNAPSHOT_FOLLOWS, AETHER_EVENT_SNAPSHOT_END,
                                              AETHER_EVENT_PROGRESS, 99, -1};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        expect_status(AETHER_INVALID, aether_publish(bus, "a", AETHER_EVENT(.kind = marks[i])));
    expect_untouched(bus, sub, 0);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_publish, BUS1_options_out_of_range_are_invalid)
{
    aether_bus_options options = unit_bus_options();
    static const uint32_t sizes[] = {1, 512, 1000, 1025, 3 << 20, 32 << 20, UINT32_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        options.segment_bytes = sizes[i];
        cr_assert(aether_bus_create(&options) == NULL);
        expect_status(AETHER_INVALID, aether_error_status());
    }
    options.segment_bytes = 16 << 20; /* the largest */
    aether_bus_destroy(unit_bus_with(options));
    options = unit_bus_options();
    options.share_bytes = 127;
    cr_assert(aether_bus_create(&options) == NULL);
    expect_status(AETHER_INVALID, aether_error_status());
    options = unit_bus_options();
    options.allocator = &(aether_allocator){0};
    cr_assert(aether_bus_create(&options) == NULL);
    expect_status(AETHER_INVALID, aether_error_status());
}

TEST(bus_publish, BUS1_a_bus_with_defaults_works)
{
    aether_bus *bus = aether_bus_create(NULL), *other = aether_bus_create(&(aether_bus_options){0});
    cr_assert(bus != NULL && other != NULL);
    cr_assert(aether_bus_newest(bus).epoch != 0 && aether_bus_newest(bus).epoch != aether_bus_newest(other).epoch);
    aether_subscription *sub = aether_subscribe(bus, "a", NULL);
    cr_assert(sub != NULL);
    expect_ok(unit_publish(bus, "a=1"));
    expect_events("a=1", AETHER_EMPTY, sub);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
    aether_bus_destroy(other);
}

TEST(bus_publish, D10_an_event_without_type_or_actor_can_be_published_again_as_it_came)
{
    aether_bus *bus = unit_bus();
    aether_subscription *first = unit_subscribe(bus, "a", AETHER_BEGIN_NOW),
                        *second = unit_subscribe(bus, "b", AETHER_BEGIN_NOW);
    for (int i = 0; i < 2; i++) {
        aether_event event;
        expect_ok(aether_publish(
            bus, "a", i == 0 ? AETHER_EVENT(.actor = "x", .data = AETHER_TEXT("{}")) : AETHER_EVENT(.type = "T")));
        expect_ok(aether_next(first, &event, AETHER_NO_WAIT));
        event.index = event.epoch = 0;
        expect_ok(aether_publish(bus, "b", &event));
        expect_ok(aether_next(second, &event, AETHER_NO_WAIT));
        cr_assert(event.type_size == (size_t)i && event.actor_size == (size_t)(1 - i));
        cr_assert((event.type != NULL) == (i == 1) && (event.actor != NULL) == (i == 0));
    }
    aether_subscription_close(first);
    aether_subscription_close(second);
    aether_bus_destroy(bus);
}
