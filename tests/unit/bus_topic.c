/* The table of topics: found again while it grows, remembered within a bound, held by handles. */
#include "common/unit.h"

#include <stdio.h>

#include "base/process.h"
#include "bus/topic.h"
#include "common/unit_memory.h"

static struct ae_subject name(char *memory, size_t size, unsigned number)
{
    struct ae_subject subject;
    snprintf(memory, size, "topic.%u", number);
    expect_ok(ae_subject_parse(&subject, memory, strlen(memory), "test"));
    return subject;
}

static struct aether_topic *get(struct ae_topics *topics, unsigned number)
{
    char memory[32];
    struct ae_subject subject = name(memory, sizeof memory, number);
    return ae_topics_get(topics, NULL, &subject);
}

static struct aether_topic *find(struct ae_topics *topics, unsigned number)
{
    char memory[32];
    struct ae_subject subject = name(memory, sizeof memory, number);
    return ae_topics_find(topics, &subject);
}

static void start(struct ae_topics *topics, size_t most)
{
    expect_ok(ae_process_prepare());
    ae_topics_init(topics, &unit_allocator, most);
}

static void finish(struct ae_topics *topics)
{
    ae_topics_destroy(topics);
    cr_assert(unit_memory_is_balanced());
    expect_number(0, unit_memory().misuses);
}

TEST(bus_topic, BUS1_every_topic_is_found_again_while_the_table_grows)
{
    enum { TOPICS = 5000 };
    static struct aether_topic *made[TOPICS];
    struct ae_topics topics;
    start(&topics, TOPICS);
    for (unsigned i = 0; i < TOPICS; i++) {
        cr_assert(find(&topics, i) == NULL);
        made[i] = get(&topics, i);
        for (unsigned step = 1; step <= i; step *= 3) /* in the old table and in the new one */
            cr_assert(find(&topics, i - step) == made[i - step]);
    }
    for (unsigned i = 0; i < TOPICS; i++)
        cr_assert(get(&topics, i) == made[i]);
    expect_number(TOPICS, topics.count);
    finish(&topics);
}

/* Names are scattered anew in every process. In so many rounds the hand meets the newest topic in its second turn too. */
TEST(bus_topic, BUS1_what_is_only_remembered_is_bounded)
{
    for (unsigned most = 1; most <= 100; most++) {
        struct ae_topics topics;
        start(&topics, most);
        for (unsigned i = 0; i < 1000; i++) {
            struct aether_topic *topic = get(&topics, i);
            cr_assert(topic != NULL && find(&topics, i) == topic);
            cr_assert(topics.count <= most && topics.remembered == topics.count);
        }
        finish(&topics);
    }
}

TEST(bus_topic, BUS1_topics_with_a_handle_are_never_forgotten)
{
    struct ae_topics topics;
    struct aether_topic *held[10];
    start(&topics, 20);
    for (unsigned i = 0; i < 10; i++)
        ae_topic_hold(&topics, held[i] = get(&topics, i));
    for (unsigned i = 10; i < 2000; i++)
        cr_assert(get(&topics, i) != NULL);
    for (unsigned i = 0; i < 10; i++) {
        cr_assert(find(&topics, i) == held[i]);
        ae_topic_drop(&topics, held[i]);
        cr_assert(find(&topics, i) == NULL);
    }
    expect_number(20, topics.remembered);
    finish(&topics);
}

TEST(bus_topic, BUS1_without_memory_nothing_changes)
{
    struct ae_topics topics;
    start(&topics, 1000);
    for (unsigned i = 0; i < 500; i++) {
        size_t before = topics.count;
        unit_memory_fail(0, UINT64_MAX);
        cr_assert(get(&topics, i) == NULL && topics.count == before);
        unit_memory_fail(0, 0);
        struct aether_topic *topic = get(&topics, i);
        cr_assert(topic != NULL);
        unit_memory_fail(0, UINT64_MAX);
        cr_assert(!ae_topic_reserve(&topics, topic, 3));
        unit_memory_fail(0, 0);
        cr_assert(ae_topic_reserve(&topics, topic, 3) && topic->capacity == 3);
        cr_assert(i == 0 || find(&topics, i - 1) != NULL);
    }
    finish(&topics);
}
