/* Topics: handles of subjects, many of one, in any order of closing, while patterns come and go. */
#include "common/unit.h"

#include <stdio.h>

#include "common/unit_bus.h"
#include "common/unit_snapshot.h"

static aether_topic *open_topic(aether_bus *bus, const char *subject)
{
    aether_topic *topic = aether_topic_open(bus, subject);
    cr_assert(topic != NULL, "%s", aether_error());
    return topic;
}

static aether_status publish(aether_topic *topic, const char *data)
{
    return aether_topic_publish(topic, AETHER_EVENT(.subject = "not.looked.at", .data = AETHER_TEXT(data)));
}

TEST(bus_handle, BUS1_a_topic_publishes_under_its_subject)
{
    aether_bus *bus = unit_bus();
    aether_topic *topic = open_topic(bus, "a.b");
    aether_subscription *sub = unit_subscribe(bus, "a.*", AETHER_BEGIN_NOW);
    expect_ok(publish(topic, "1"));
    aether_event batch[] = {{.subject = "x..y", .data = AETHER_TEXT("2")}, {.data = AETHER_TEXT("3")}};
    expect_ok(aether_topic_publish_batch(topic, batch, 2));
    expect_events("a.b=1 a.b=2 a.b=3", AETHER_EMPTY, sub);
    expect_number(2, aether_bus_newest(bus).index);
    aether_subscription_close(sub);
    aether_topic_close(topic);
    aether_bus_destroy(bus);
}

TEST(bus_handle, BUS1_topics_follow_patterns_that_come_and_go)
{
    aether_bus *bus = unit_bus();
    aether_topic *topic = open_topic(bus, "a.b.c");
    static const char *const patterns[] = {"a.b.c", "a.>", "*.b.*", ">", "a.*.c", "*.*.c", "a.b.*"};
    enum { PATTERNS = sizeof patterns / sizeof *patterns };
    aether_subscription *subs[PATTERNS] = {NULL};
    expect_ok(publish(topic, "none"));
    for (size_t i = 0; i < PATTERNS; i++) {
        subs[i] = unit_subscribe(bus, patterns[i], AETHER_BEGIN_NOW);
        expect_ok(publish(topic, "in"));
        for (size_t s = 0; s <= i; s++)
            expect_events("a.b.c=in", AETHER_EMPTY, subs[s]);
    }
    for (size_t i = 0; i < PATTERNS; i++) {
        aether_subscription_close(subs[i]);
        expect_ok(publish(topic, "out"));
        expect_ok(unit_publish(bus, "a.b.c=by-name"));
        for (size_t s = i + 1; s < PATTERNS; s++)
            expect_events("a.b.c=out a.b.c=by-name", AETHER_EMPTY, subs[s]);
    }
    expect_number(0, unit_bus_stats(bus).feeds);
    aether_topic_close(topic);
    aether_bus_destroy(bus);
}

TEST(bus_handle, BUS1_many_handles_of_one_subject_close_in_any_order)
{
    enum { HANDLES = 20 };
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_NOW);
    aether_topic *topics[HANDLES];
    for (size_t i = 0; i < HANDLES; i++)
        topics[i] = open_topic(bus, "a");
    expect_number(1, unit_bus_stats(bus).topics);
    for (size_t i = 0; i < HANDLES; i++) {
        size_t at = i * 7 % HANDLES; /* each once */
        expect_ok(publish(topics[at], "x"));
        expect_events("a=x", AETHER_EMPTY, sub);
        aether_topic_close(topics[at]);
    }
    expect_ok(unit_publish(bus, "a=y"));
    expect_events("a=y", AETHER_EMPTY, sub);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_handle, BUS1_a_topic_without_subscriptions_publishes_to_nobody)
{
    aether_bus *bus = unit_bus();
    aether_topic *topic = open_topic(bus, "a");
    expect_ok(publish(topic, "1"));
    expect_number(1, unit_bus_stats(bus).published);
    expect_number(1, unit_bus_stats(bus).unmatched);
    aether_topic_close(topic);
    aether_bus_destroy(bus);
}

TEST(bus_handle, BUS1_remembered_subjects_are_bounded_and_handles_are_not_forgotten)
{
    aether_bus_options options = unit_bus_options();
    options.topics = 10;
    aether_bus *bus = unit_bus_with(options);
    aether_topic *topic = open_topic(bus, "held");
    aether_subscription *sub = unit_subscribe(bus, ">", AETHER_BEGIN_NOW);
    for (int i = 0; i < 2000; i++) {
        char subject[16];
        snprintf(subject, sizeof subject, "s.%d", i);
        expect_ok(aether_publish(bus, subject, AETHER_EVENT(.type = "T")));
    }
    expect_within(1, 11, unit_bus_stats(bus).topics);
    aether_status status;
    expect_number(2000, unit_drain(sub, &status));
    expect_ok(publish(topic, "1"));
    expect_events("held=1", AETHER_EMPTY, sub);
    aether_subscription_close(sub);
    aether_topic_close(topic);
    aether_bus_destroy(bus);
}

TEST(bus_handle, BUS8_a_topic_outlives_its_bus_and_says_that_it_is_shut_down)
{
    aether_bus *bus = unit_bus();
    aether_topic *topic = open_topic(bus, "a"), *other = open_topic(bus, "a");
    expect_ok(publish(topic, "1"));
    expect_ok(aether_bus_shutdown(bus));
    expect_status(AETHER_SHUT_DOWN, publish(topic, "2"));
    aether_topic_close(topic);
    aether_bus_destroy(bus);
    expect_status(AETHER_SHUT_DOWN, publish(other, "3"));
    aether_event batch[] = {{.data = AETHER_TEXT("4")}};
    expect_status(AETHER_SHUT_DOWN, aether_topic_publish_batch(other, batch, 1));
    aether_topic_close(other);
}

TEST(bus_handle, BUS4_topics_and_names_draw_from_one_order)
{
    aether_bus *bus = unit_bus();
    aether_topic *a = open_topic(bus, "a"), *b = open_topic(bus, "b");
    aether_subscription *sub = unit_subscribe(bus, ">", AETHER_BEGIN_NOW);
    expect_ok(aether_topic_publish(a, AETHER_EVENT(.index = 3)));
    expect_ok(unit_publish(bus, "c@4"));
    expect_status(AETHER_INDEX_ORDER, aether_topic_publish(b, AETHER_EVENT(.index = 4)));
    expect_status(AETHER_INVALID, aether_topic_publish(b, AETHER_EVENT(.type = "T")));
    expect_status(AETHER_STALE_EPOCH, aether_topic_publish(b, AETHER_EVENT(.index = 5, .epoch = UNIT_EPOCH - 1)));
    expect_ok(aether_topic_publish(b, AETHER_EVENT(.index = 5)));
    expect_events("a@3 c@4 b@5", AETHER_EMPTY, sub);
    aether_subscription_close(sub);
    aether_topic_close(a);
    aether_topic_close(b);
    aether_bus_destroy(bus);
}

enum { ROUNDS = 2000, THREADS = 3 };

struct shared_topic {
    aether_bus *bus;
    aether_topic *topic;
};

static const char *use_topics(void *user)
{
    struct shared_topic *shared = user;
    for (int i = 0; i < ROUNDS; i++) {
        aether_topic *own = aether_topic_open(shared->bus, "a");
        claim(own != NULL);
        claim(aether_topic_publish(own, AETHER_EVENT(.type = "own")) == AETHER_OK);
        claim(aether_topic_publish(shared->topic, AETHER_EVENT(.type = "shared")) == AETHER_OK);
        aether_topic_close(own);
    }
    return NULL;
}

TEST(bus_handle, BUS1_threads_share_a_topic_and_open_their_own)
{
    struct shared_topic shared = {.bus = unit_bus()};
    shared.topic = open_topic(shared.bus, "a");
    aether_subscription *sub =
        unit_subscribe_with(shared.bus, "a", (aether_subscribe_options){.limit_bytes = AETHER_UNLIMITED});
    struct unit_thread threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        cr_assert(unit_thread_start(&threads[i], 0, use_topics, &shared));
    for (size_t i = 0; i < THREADS; i++)
        expect_fine(unit_thread_join(&threads[i]));
    aether_status status;
    expect_number(2 * ROUNDS * THREADS, unit_drain(sub, &status));
    expect_number(2 * ROUNDS * THREADS, aether_bus_newest(shared.bus).index);
    aether_subscription_close(sub);
    aether_topic_close(shared.topic);
    aether_bus_destroy(shared.bus);
}

TEST(bus_handle, BUS5_of_two_that_do_not_cover_each_other_the_first_literal_token_decides)
{
    aether_bus *bus = unit_bus();
    struct unit_maker first = {.words = "a.b=1"}, second = {.words = "a.b=2"};
    unit_handle(bus, "*.b", &second);
    unit_handle(bus, "a.*", &first);
    aether_subscription *sub = unit_watch(bus, "a.b");
    expect_events("+a.b=1 end@0", AETHER_EMPTY, sub);
    expect_number(0, unit_runs(&second));
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

static void take_log(int32_t level, const char *message, const aether_log_field *fields, size_t count, void *user)
{
    (void)fields;
    (void)count;
    if (level == AETHER_LOG_WARNING)
        snprintf(user, 256, "%s", message);
}

TEST(bus_handle, D9_what_goes_wrong_without_a_call_of_anybody_s_is_logged)
{
    static char logged[256];
    aether_log_use(take_log, logged);
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.status = AETHER_SYSTEM};
    unit_handle(bus, ">", &maker);
    aether_subscription *sub = unit_watch(bus, "a.b");
    expect_status(AETHER_FAILED, unit_try(sub));
    cr_assert(strstr(logged, "a.b") != NULL && strstr(logged, "system") != NULL, "%s", logged);
    aether_subscription *slow = unit_subscribe_with(
        bus, "c", (aether_subscribe_options){.on_limit = AETHER_CLOSE, .limit_bytes = UNIT_LIMIT, .label = "me"});
    expect_ok(unit_publish_many(bus, "c", 100, 200, NULL));
    aether_status status;
    unit_drain(slow, &status);
    expect_status(AETHER_TOO_SLOW, status);
    cr_assert(strstr(logged, "\"me\"") != NULL && strstr(logged, "too slow") != NULL, "%s", logged);
    aether_log_use(NULL, NULL);
    aether_subscription_close(sub);
    aether_subscription_close(slow);
    aether_bus_destroy(bus);
}
