/* One order of events: indexes, epochs, batches that stand together, topics, and nothing used up by what fails. */
#include "common/unit.h"

#include <stdio.h>

#include "common/unit_bus.h"

/* --------------------------------------------------------------------------------------------------- indexes and epochs */

TEST(bus_order, BUS4_the_bus_draws_indexes_one_by_one)
{
    aether_bus_options options = unit_bus_options();
    options.newest_index = 100;
    aether_bus *bus = unit_bus_with(options);
    expect_position(UNIT_EPOCH, 100, aether_bus_newest(bus));
    aether_subscription *sub = unit_subscribe(bus, ">", AETHER_BEGIN_NOW);
    expect_ok(unit_publish(bus, "a b c"));
    expect_events("a@101 b@102 c@103", AETHER_EMPTY, sub);
    expect_position(UNIT_EPOCH, 103, aether_bus_newest(bus));
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_order, BUS4_given_indexes_must_grow_and_may_leave_holes)
{
    aether_bus_options options = unit_bus_options();
    options.newest_index = 5;
    aether_bus *bus = unit_bus_with(options);
    aether_subscription *sub = unit_subscribe(bus, ">", AETHER_BEGIN_NOW);
    expect_status(AETHER_INDEX_ORDER, unit_publish(bus, "a@5"));
    expect_ok(unit_publish(bus, "a@6 b@9"));
    expect_status(AETHER_INDEX_ORDER, unit_publish(bus, "a@9"));
    expect_status(AETHER_INDEX_ORDER, unit_publish(bus, "a@8"));
    expect_status(AETHER_INDEX_ORDER, unit_publish_batch(bus, "a@9 b@9"));
    expect_ok(unit_publish(bus, "a@18446744073709551615"));
    expect_status(AETHER_INDEX_ORDER, unit_publish(bus, "a@18446744073709551615"));
    expect_events("a@6 b@9 a@18446744073709551615", AETHER_EMPTY, sub);
    expect_number(3, unit_bus_stats(bus).published);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_order, BUS4_the_first_success_decides_who_gives_indexes)
{
    aether_bus *drawn = unit_bus(), *given = unit_bus();
    expect_status(AETHER_STALE_EPOCH, aether_publish(drawn, "a", AETHER_EVENT(.index = 7, .epoch = 1)));
    expect_ok(unit_publish(drawn, "a"));
    expect_status(AETHER_INVALID, unit_publish(drawn, "a@7"));
    expect_status(AETHER_INVALID, unit_publish_batch(drawn, "a@7 b@7"));
    expect_status(AETHER_STALE_EPOCH, aether_publish(given, "a", AETHER_EVENT(.epoch = 1)));
    expect_ok(unit_publish(given, "a@7"));
    expect_status(AETHER_INVALID, unit_publish(given, "a"));
    expect_status(AETHER_INVALID, unit_publish_batch(given, "a b"));
    expect_position(UNIT_EPOCH, 1, aether_bus_newest(drawn));
    expect_position(UNIT_EPOCH, 7, aether_bus_newest(given));
    aether_bus_destroy(drawn);
    aether_bus_destroy(given);
}

TEST(bus_order, BUS4_an_epoch_that_is_not_the_current_one_is_stale)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_NOW);
    expect_ok(aether_publish(bus, "a", AETHER_EVENT(.index = 1)));
    expect_ok(aether_publish(bus, "a", AETHER_EVENT(.index = 2, .epoch = UNIT_EPOCH)));
    expect_status(AETHER_STALE_EPOCH, aether_publish(bus, "a", AETHER_EVENT(.index = 3, .epoch = UNIT_EPOCH + 1)));
    aether_event batch[] = {{.index = 3, .epoch = UNIT_EPOCH + 1, .subject = "a"}, {.index = 3, .subject = "a"}};
    expect_status(AETHER_STALE_EPOCH, aether_publish_batch(bus, batch, 2));
    expect_events("a@1 a@2", AETHER_EMPTY, sub);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

/* What one publisher commits is published before what the next one commits, as the lock of its state has it. */
struct committer {
    aether_bus *bus;
    pthread_mutex_t lock;
    uint64_t committed;
};

enum { COMMITS = 300, COMMITTERS = 4 };

static const char *commit_and_publish(void *user)
{
    struct committer *committer = user;
    for (int i = 0; i < COMMITS; i++) {
        pthread_mutex_lock(&committer->lock);
        aether_event event = {.index = committer->committed += 2};
        aether_status status = aether_publish(committer->bus, "a", &event);
        pthread_mutex_unlock(&committer->lock);
        claim(status == AETHER_OK);
    }
    return NULL;
}

TEST(bus_order, BUS4_publishers_in_commit_order_lose_nothing)
{
    struct committer committer = {.bus = unit_bus(), .lock = PTHREAD_MUTEX_INITIALIZER};
    aether_subscription *sub = unit_subscribe(committer.bus, "a", AETHER_BEGIN_NOW);
    struct unit_thread threads[COMMITTERS];
    for (size_t i = 0; i < COMMITTERS; i++)
        cr_assert(unit_thread_start(&threads[i], 0, commit_and_publish, &committer));
    for (size_t i = 0; i < COMMITTERS; i++)
        expect_fine(unit_thread_join(&threads[i]));
    aether_event event;
    for (uint64_t i = 1; i <= COMMITS * COMMITTERS; i++) {
        expect_ok(aether_next(sub, &event, AETHER_NO_WAIT));
        expect_number(2 * i, event.index);
    }
    expect_events("", AETHER_EMPTY, sub);
    aether_subscription_close(sub);
    aether_bus_destroy(committer.bus);
}

/* ----------------------------------------------------------------------------------------------------------- same order */

enum { PUBLISHERS = 4, PUBLISHED = 400, BATCH = 3 };

struct publisher {
    aether_bus *bus;
    unsigned number;
    bool batches;
    struct unit_thread thread;
};

/* "t.N": data tells how many this thread has published before. */
static const char *publish_some(void *user)
{
    struct publisher *publisher = user;
    char subject[16], other[16], data[16];
    snprintf(subject, sizeof subject, "t.%u", publisher->number);
    snprintf(other, sizeof other, "other.%u", publisher->number);
    for (unsigned i = 0; i < PUBLISHED; i++) {
        snprintf(data, sizeof data, "%u", i);
        aether_event event = {.subject = subject, .data = AETHER_TEXT(data)};
        aether_event batch[BATCH] = {event, {.subject = other, .data = AETHER_TEXT(data)}, event};
        claim((publisher->batches ? aether_publish_batch(publisher->bus, batch, BATCH)
                                  : aether_publish(publisher->bus, subject, &event)) == AETHER_OK);
    }
    return NULL;
}

static void publish_from_threads(aether_bus *bus, bool some_batches)
{
    struct publisher publishers[PUBLISHERS];
    for (unsigned i = 0; i < PUBLISHERS; i++) {
        publishers[i] = (struct publisher){.bus = bus, .number = i, .batches = some_batches && i % 2 == 0};
        cr_assert(unit_thread_start(&publishers[i].thread, 0, publish_some, &publishers[i]));
    }
    for (unsigned i = 0; i < PUBLISHERS; i++)
        expect_fine(unit_thread_join(&publishers[i].thread));
}

TEST(bus_order, BUS1_the_order_is_the_same_in_every_feed)
{
    static char order[PUBLISHERS * PUBLISHED + 1]; /* by index: whose it is */
    aether_bus *bus = unit_bus();
    aether_subscription *all = unit_subscribe(bus, ">", AETHER_BEGIN_NOW),
                        *two = unit_subscribe(bus, "*.2", AETHER_BEGIN_NOW);
    aether_subscription *under = unit_subscribe(bus, "t.*", AETHER_BEGIN_NOW);
    publish_from_threads(bus, false);
    unsigned next[PUBLISHERS] = {0};
    aether_event event;
    for (uint64_t i = 1; i <= PUBLISHERS * PUBLISHED; i++) {
        expect_ok(aether_next(all, &event, AETHER_NO_WAIT));
        expect_number(i, event.index);
        order[i] = event.subject[event.subject_size - 1];
        expect_number(next[order[i] - '0']++, unit_number(&event)); /* a thread's own order is kept */
    }
    for (uint64_t i = 1; i <= PUBLISHERS * PUBLISHED; i++) {
        expect_ok(aether_next(under, &event, AETHER_NO_WAIT));
        cr_assert(event.index == i && event.subject[event.subject_size - 1] == order[i]);
        if (order[i] != '2')
            continue;
        expect_ok(aether_next(two, &event, AETHER_NO_WAIT));
        expect_number(i, event.index);
    }
    aether_subscription *subs[] = {all, two, under};
    for (size_t i = 0; i < 3; i++) {
        expect_events("", AETHER_EMPTY, subs[i]);
        aether_subscription_close(subs[i]);
    }
    aether_bus_destroy(bus);
}

TEST(bus_order, BUS1_a_batch_stands_together_among_others)
{
    aether_bus *bus = unit_bus();
    aether_subscription *all = unit_subscribe(bus, ">", AETHER_BEGIN_NOW),
                        *some = unit_subscribe(bus, "t.>", AETHER_BEGIN_NOW);
    publish_from_threads(bus, true);
    aether_subscription *subs[] = {all, some};
    for (size_t s = 0; s < 2; s++) {
        uint64_t last = 0, left = 0;
        aether_event event;
        aether_status status;
        while ((status = aether_next(subs[s], &event, AETHER_NO_WAIT)) == AETHER_OK) {
            bool of_batch = (event.subject[event.subject_size - 1] - '0') % 2 == 0;
            if (left == 0) {
                cr_assert(event.index == last + 1);
                last = event.index;
                left = !of_batch ? 1 : s == 0 ? BATCH : BATCH - 1;
            }
            expect_number(last, event.index); /* nothing in between */
            left--;
        }
        expect_status(AETHER_EMPTY, status);
        expect_number(0, left);
        expect_number(PUBLISHERS * PUBLISHED, last);
        aether_subscription_close(subs[s]);
    }
    aether_bus_destroy(bus);
}

/* --------------------------------------------------------------------------------------------------------------- batches */

TEST(bus_order, BUS1_a_batch_goes_to_all_its_subjects_under_one_index)
{
    aether_bus *bus = unit_bus();
    aether_subscription *all = unit_subscribe(bus, ">", AETHER_BEGIN_NOW), *a = unit_subscribe(bus, "a", AETHER_BEGIN_NOW);
    aether_subscription *b = unit_subscribe(bus, "b.*", AETHER_BEGIN_NOW), *c = unit_subscribe(bus, "c", AETHER_BEGIN_NOW);
    expect_ok(unit_publish_batch(bus, "a b.1 a b.2 d"));
    expect_ok(unit_publish_batch(bus, "b.3"));
    expect_events("a@1 b.1@1 a@1 b.2@1 d@1 b.3@2", AETHER_EMPTY, all);
    expect_events("a@1 a@1", AETHER_EMPTY, a);
    expect_events("b.1@1 b.2@1 b.3@2", AETHER_EMPTY, b);
    expect_events("", AETHER_EMPTY, c);
    expect_number(6, unit_bus_stats(bus).published);
    expect_number(2, unit_bus_stats(bus).batches);
    aether_subscription *subs[] = {all, a, b, c};
    for (size_t i = 0; i < 4; i++)
        aether_subscription_close(subs[i]);
    aether_bus_destroy(bus);
}

TEST(bus_order, BUS4_a_batch_has_the_index_that_all_its_events_give)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe(bus, ">", AETHER_BEGIN_NOW);
    expect_status(AETHER_INVALID, unit_publish_batch(bus, "a@4 b@5"));
    expect_ok(unit_publish_batch(bus, "a@4 b@4"));
    expect_status(AETHER_INVALID, unit_publish_batch(bus, "a@5 b@6"));
    expect_events("a@4 b@4", AETHER_EMPTY, sub);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_order, BUS1_one_bad_event_anywhere_keeps_the_whole_batch_out)
{
    aether_bus *bus = unit_bus();
    aether_topic *topic = aether_topic_open(bus, "a");
    aether_subscription *sub = unit_subscribe(bus, ">", AETHER_BEGIN_NOW);
    static const aether_event bad[] = {
        {.subject = "a..b"},
        {.subject = NULL},
        {.subject = "a", .type_size = 1},
        {.subject = "a", .data = {NULL, 1}},
        {.subject = "a", .data = {"", AETHER_DATA_MAX + 1}},
        {.subject = "a", .kind = AETHER_EVENT_SNAPSHOT_END},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (size_t at = 0; at < 3; at++) {
            aether_event batch[3] = {{.subject = "x"}, {.subject = "y"}, {.subject = "z"}};
            batch[at] = bad[i];
            aether_status wanted = bad[i].data.size > 1 ? AETHER_TOO_LARGE : AETHER_INVALID;
            expect_status(wanted, aether_publish_batch(bus, batch, 3));
            if (i >= 2) /* a topic looks at no subject */
                expect_status(wanted, aether_topic_publish_batch(topic, batch, 3));
        }
    }
    expect_events("", AETHER_EMPTY, sub);
    expect_number(0, unit_bus_stats(bus).published);
    expect_ok(unit_publish_batch(bus, "x y"));
    expect_events("x@1 y@1", AETHER_EMPTY, sub);
    aether_subscription_close(sub);
    aether_topic_close(topic);
    aether_bus_destroy(bus);
}

TEST(bus_order, BUS1_large_batches_stand_together)
{
    enum { COUNT = 2000 };
    static aether_event batch[COUNT];
    static char data[COUNT][8];
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(data[i], sizeof *data, "%zu", i);
        batch[i] = (aether_event){.subject = i % 2 == 0 ? "a" : "b", .data = AETHER_TEXT(data[i])};
    }
    aether_bus *bus = unit_bus();
    aether_subscription *all = unit_subscribe(bus, ">", AETHER_BEGIN_NOW), *b = unit_subscribe(bus, "b", AETHER_BEGIN_NOW);
    expect_ok(aether_publish_batch(bus, batch, COUNT));
    aether_event event;
    for (unsigned i = 0; i < COUNT; i++) {
        expect_ok(aether_next(all, &event, AETHER_NO_WAIT));
        cr_assert(event.index == 1 && unit_number(&event) == i);
        if (i % 2 == 0)
            continue;
        expect_ok(aether_next(b, &event, AETHER_NO_WAIT));
        cr_assert(event.index == 1 && unit_number(&event) == i);
    }
    expect_events("", AETHER_EMPTY, all);
    expect_events("", AETHER_EMPTY, b);
    aether_subscription_close(all);
    aether_subscription_close(b);
    aether_bus_destroy(bus);
}

/* ------------------------------------------------------------------------------------------------ nothing is used up */

TEST(bus_order, BUS1_what_is_refused_for_one_feed_stands_in_none_and_uses_no_index)
{
    aether_bus *bus = unit_bus();
    aether_subscription *all = unit_subscribe(bus, ">", AETHER_BEGIN_NOW);
    aether_subscription *full =
        unit_subscribe_with(bus, "a", (aether_subscribe_options){.on_limit = AETHER_REFUSE, .limit_bytes = UNIT_LIMIT});
    size_t done;
    expect_status(AETHER_FULL, unit_publish_until(bus, "a", 100, &done));
    expect_number(done, aether_bus_newest(bus).index);
    expect_status(AETHER_FULL, unit_publish_batch(bus, "b=1 a=1 b=2"));
    expect_ok(unit_publish(bus, "b=3")); /* others go on */
    expect_number(done + 1, aether_bus_newest(bus).index);
    aether_status status;
    expect_number(done, unit_drain(full, &status));
    expect_ok(unit_publish(bus, "a=4"));
    expect_events("a=4", AETHER_EMPTY, full);
    aether_event event;
    for (uint64_t i = 1; i <= done + 2; i++) {
        expect_ok(aether_next(all, &event, AETHER_NO_WAIT));
        expect_number(i, event.index); /* without a hole, and nothing of what failed */
    }
    expect_events("", AETHER_EMPTY, all);
    expect_number(2, unit_bus_stats(bus).refused);
    aether_subscription_close(all);
    aether_subscription_close(full);
    aether_bus_destroy(bus);
}

TEST(bus_order, BUS1_publishing_to_nobody_is_counted_and_keeps_nothing)
{
    aether_bus *bus = unit_bus();
    expect_ok(unit_publish(bus, "a=1"));
    expect_ok(unit_publish_batch(bus, "a=2 b=3"));
    uint64_t bytes = unit_memory().bytes;
    size_t done;
    expect_ok(unit_publish_many(bus, "a", 5000, 100, &done));
    expect_number(bytes, unit_memory().bytes);
    aether_bus_stats stats = unit_bus_stats(bus);
    expect_number(5003, stats.published);
    expect_number(5003, stats.unmatched);
    expect_number(5002, stats.batches);
    expect_number(0, stats.appended);
    expect_number(0, stats.feeds);
    expect_number(5002, stats.newest.index);
    aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_NOW);
    expect_events("", AETHER_EMPTY, sub);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}
