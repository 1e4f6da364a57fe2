/*
 * Publishers that wait for slow subscriptions, several at a time, on overlapping feeds: nothing is lost or overtaken, nobody
 * sleeps for ever, and who is closed while publishers wait for it makes them go on. Readers are closed in the end, and
 * drain: each has got exactly what was published for it.
 */
#include <string.h>

#include "aether/aether.h"
#include "common/stress_memory.h"
#include "common/stress_run.h"

enum { PUBLISHERS = 3, READERS = 3, SUBJECTS = 2, SEGMENT = 1024, ROUND_NS = 100 * 1000 * 1000 };

static const char *const subjects[SUBJECTS] = {"w.a", "w.b"};
static const char *const patterns[READERS] = {"w.a", "w.b", "w.*"};

struct payload {
    uint64_t publisher, subject, number; /* of the publisher's events, from 1 */
    char padding[160];
};

struct publisher {
    pthread_t thread;
    uint64_t number;              /* const */
    uint64_t published[SUBJECTS]; /* events that stand */
    struct stress_random random;
};

struct reader {
    pthread_t thread;
    aether_subscription *sub;
    uint64_t which; /* const */
    uint64_t seen[PUBLISHERS][SUBJECTS], last[PUBLISHERS];
    struct stress_random random;
};

static struct {
    aether_bus *bus;
    bool given;       /* const; the publishers give indexes */
    int64_t patience; /* const; how long a publish waits */
    uint64_t index;   /* atomic */
    uint64_t over;    /* atomic */
} world;

static struct stress_memory memory;
static uint64_t published, timeouts, late, waits, visits; /* atomic */

/* In which it may find that another one was faster: its index does not grow any more. */
static aether_status publish_once(struct publisher *self, uint64_t subject, const struct payload *payload)
{
    aether_event event = {.index = world.given ? stress_add(&world.index, 1) + 1 : 0,
                          .data = aether_bytes(payload, sizeof *payload)};
    if (stress_one_in(&self->random, 8)) {
        event.subject = subjects[subject];
        return aether_publish_batch(world.bus, &event, 1);
    }
    return aether_publish(world.bus, subjects[subject], &event);
}

static void *publish_often(void *argument)
{
    struct publisher *self = argument;
    struct payload payload = {.publisher = self->number};
    while (stress_get(&world.over) == 0) {
        uint64_t subject = stress_below(&self->random, SUBJECTS);
        payload.subject = subject;
        payload.number++;
        aether_status status;
        while ((status = publish_once(self, subject, &payload)) == AETHER_INDEX_ORDER)
            stress_add(&late, 1);
        if (status == AETHER_OK) {
            self->published[subject]++;
            stress_add(&published, 1);
        } else {
            STRESS_EXPECT(status == AETHER_TIMEOUT && world.patience != AETHER_FOREVER);
            stress_add(&timeouts, 1);
        }
    }
    return NULL;
}

static void take(struct reader *self, const aether_event *event, uint64_t *index)
{
    struct payload payload;
    STRESS_EXPECT(event->data.size == sizeof payload);
    memcpy(&payload, event->data.data, sizeof payload);
    STRESS_EXPECT(payload.publisher < PUBLISHERS && payload.subject < SUBJECTS);
    STRESS_EXPECT(payload.number > self->last[payload.publisher] && event->index > *index);
    self->last[payload.publisher] = payload.number;
    self->seen[payload.publisher][payload.subject]++;
    *index = event->index;
}

static void *read_slowly(void *argument)
{
    struct reader *self = argument;
    uint64_t index = 0;
    for (;;) {
        aether_event event;
        aether_status status = aether_next(self->sub, &event, AETHER_FOREVER);
        if (status == AETHER_ACCESS_CHANGED)
            return NULL;
        STRESS_EXPECT(status == AETHER_OK);
        take(self, &event, &index);
        if (stress_one_in(&self->random, 64))
            stress_nap(stress_below(&self->random, 400 * 1000));
    }
}

/* Subscriptions that come, read little, make publishers wait, and are ended or closed at that. */
static void *visit(void *argument)
{
    struct stress_random random = *(struct stress_random *)argument;
    while (stress_get(&world.over) == 0) {
        aether_subscribe_options options = {.on_limit = AETHER_WAIT, .limit_bytes = AETHER_LIMIT_SEGMENTS * SEGMENT};
        aether_subscription *sub = aether_subscribe(world.bus, patterns[stress_below(&random, READERS)], &options);
        STRESS_EXPECT(sub != NULL);
        aether_event event;
        for (uint32_t reads = stress_below(&random, 40); reads > 0; reads--) {
            aether_status status = aether_next(sub, &event, AETHER_MILLISECONDS(1));
            STRESS_EXPECT(status == AETHER_OK || status == AETHER_TIMEOUT);
        }
        stress_nap(stress_below(&random, 1000 * 1000));
        if (stress_one_in(&random, 2)) {
            STRESS_EXPECT(aether_unsubscribe(sub) == AETHER_OK);
            stress_nap(stress_below(&random, 1000 * 1000)); /* it holds nobody up meanwhile */
        }
        aether_subscription_close(sub);
        stress_add(&visits, 1);
    }
    return NULL;
}

static void start_readers(struct reader readers[static READERS], struct stress_random *random)
{
    for (uint64_t i = 0; i < READERS; i++) {
        aether_subscribe_options options = {.on_limit = AETHER_WAIT,
                                            .limit_bytes = AETHER_LIMIT_SEGMENTS * SEGMENT * (1 + stress_below(random, 3)),
                                            .label = "reader",
                                            .drain = true};
        readers[i] = (struct reader){.which = i, .random = stress_random_stream(stress_random(random) | 1)};
        readers[i].sub = aether_subscribe(world.bus, patterns[i], &options);
        STRESS_EXPECT(readers[i].sub != NULL);
        stress_spawn(&readers[i].thread, read_slowly, &readers[i]);
    }
}

static void check(const struct publisher publishers[static PUBLISHERS], const struct reader *reader)
{
    for (int p = 0; p < PUBLISHERS; p++)
        for (uint64_t s = 0; s < SUBJECTS; s++) {
            bool wanted = reader->which == s || reader->which == READERS - 1;
            STRESS_EXPECT(reader->seen[p][s] == (wanted ? publishers[p].published[s] : 0));
        }
}

static void play(struct stress_random *random)
{
    struct publisher publishers[PUBLISHERS];
    struct reader readers[READERS];
    struct stress_random visitor = stress_random_stream(stress_random(random) | 1);
    memset(&world, 0, sizeof world);
    world.given = stress_one_in(random, 2);
    world.patience = stress_one_in(random, 3) ? AETHER_MICROSECONDS(200) : AETHER_FOREVER;
    world.bus = aether_bus_create(&(aether_bus_options){.allocator = &memory.allocator,
                                                        .segment_bytes = SEGMENT,
                                                        .share_bytes = 128,
                                                        .linger_ns = -1,
                                                        .publish_wait_ns = world.patience});
    STRESS_EXPECT(world.bus != NULL);
    start_readers(readers, random);
    for (uint64_t i = 0; i < PUBLISHERS; i++) {
        publishers[i] = (struct publisher){.number = i, .random = stress_random_stream(stress_random(random) | 1)};
        stress_spawn(&publishers[i].thread, publish_often, &publishers[i]);
    }
    pthread_t visits_thread;
    stress_spawn(&visits_thread, visit, &visitor);
    stress_nap(ROUND_NS);
    stress_set(&world.over, 1);
    for (int i = 0; i < PUBLISHERS; i++)
        stress_join(&publishers[i].thread, 1);
    stress_join(&visits_thread, 1);
    aether_bus_stats stats;
    STRESS_EXPECT(aether_bus_get_stats(world.bus, &stats) == AETHER_OK);
    stress_add(&waits, stats.waits);
    STRESS_EXPECT(aether_bus_close_label(world.bus, "reader", AETHER_ACCESS_CHANGED) == AETHER_OK);
    for (int i = 0; i < READERS; i++) {
        stress_join(&readers[i].thread, 1);
        check(publishers, &readers[i]);
        aether_subscription_close(readers[i].sub);
    }
    aether_bus_destroy(world.bus);
}

int main(int argc, char **argv)
{
    stress_begin(argc, argv, "bus_wait");
    stress_memory_begin(&memory);
    struct stress_random random = stress_random_stream(0);
    stress_clock_start();
    uint64_t rounds = 0;
    for (; !stress_over(); rounds++)
        play(&random);
    stress_memory_expect_none(&memory);
    STRESS_EXPECT(published > 0 && waits > 0);
    return stress_end("%llu rounds, %llu events, %llu publishes waited, %llu gave up, %llu came too late, %llu visits",
                      (unsigned long long)rounds, (unsigned long long)published, (unsigned long long)waits,
                      (unsigned long long)timeouts, (unsigned long long)late, (unsigned long long)visits);
}
