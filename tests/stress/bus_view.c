/*
 * Views under producers, resets, refreshes and closes by label: every answer that anybody ever sees is the state at its
 * index, batches whole, and a view that is waited for comes to what was published before.
 */
#include <stdlib.h>
#include <string.h>

#include "aether/aether.h"
#include "common/stress_memory.h"
#include "common/stress_run.h"

enum { KEYS = 8, PRODUCERS = 3, VIEWS = 4, LOOKERS = 2, HISTORIES = 64, INDEXES = 1 << 14, ROUND_NS = 150 * 1000 * 1000 };

/* What a view folds: the index of each key's newest event. */
struct answer {
    uint64_t epoch;
    uint64_t state[KEYS];
};

static struct {
    aether_bus *bus;
    aether_dispatcher *dispatcher;
    aether_view *views[VIEWS];
    uint64_t over;                    /* atomic */
    uint64_t log[HISTORIES][INDEXES]; /* atomic; keys, by index */
    pthread_mutex_t lock;             /* of what follows, and of publishing */
    uint64_t epoch, index, state[KEYS];
} world;

static struct stress_memory memory;
static uint64_t published, looks, waits, resets, closes, states; /* atomic */

static const char *const subjects[KEYS] = {"s.0", "s.1", "s.2", "s.3", "s.4", "s.5", "s.6", "s.7"};

static void *new_state(void *user)
{
    (void)user;
    stress_add(&states, 1);
    return calloc(1, sizeof(struct answer));
}

static void free_state(void *state, void *user)
{
    (void)user;
    stress_add(&states, UINT64_MAX);
    free(state);
}

static bool fold(void *state, const aether_event *event, void *user)
{
    struct answer *answer = state;
    struct stress_random *random = user;
    uint64_t index;
    memcpy(&index, event->data.data, sizeof index);
    answer->epoch = event->epoch;
    answer->state[event->subject[event->subject_size - 1] - '0'] = index;
    return !stress_one_in(random, 5000);
}

/* Two keys at a time: nobody may see one without the other. */
static void publish(struct stress_random *random)
{
    uint64_t index = world.index + 1, one = stress_below(random, KEYS), other = stress_below(random, KEYS);
    if (index == INDEXES)
        return;
    aether_event events[2] = {
        {.subject = subjects[one], .epoch = world.epoch, .data = aether_bytes(&index, sizeof index)},
        {.subject = subjects[other], .epoch = world.epoch, .data = aether_bytes(&index, sizeof index)}};
    stress_set(&world.log[world.epoch][index], UINT64_C(1) << one | UINT64_C(1) << other);
    STRESS_EXPECT(aether_publish_batch(world.bus, events, one == other ? 1 : 2) == AETHER_OK);
    world.index = index;
    world.state[one] = world.state[other] = index;
    stress_add(&published, 1);
}

static void *produce(void *argument)
{
    struct stress_random random = stress_random_stream((uint64_t)(uintptr_t)argument);
    while (stress_get(&world.over) == 0) {
        pthread_mutex_lock(&world.lock);
        for (uint32_t count = stress_below(&random, 6); count > 0; count--)
            publish(&random);
        pthread_mutex_unlock(&world.lock);
        stress_nap(stress_below(&random, 200 * 1000));
    }
    return NULL;
}

static aether_status make(aether_snapshot *snapshot, const char *pattern, uint64_t *index, void *user)
{
    (void)pattern;
    (void)user;
    uint64_t state[KEYS];
    pthread_mutex_lock(&world.lock);
    memcpy(state, world.state, sizeof state);
    *index = aether_bus_newest(world.bus).index;
    pthread_mutex_unlock(&world.lock);
    aether_status status = AETHER_OK;
    for (uint64_t key = 0; status == AETHER_OK && key < KEYS; key++) {
        aether_event event = {.subject = subjects[key], .data = aether_bytes(&state[key], sizeof state[key])};
        status = aether_snapshot_append(snapshot, &event, 1);
    }
    return status;
}

static void check(const struct answer *answer, aether_position position)
{
    for (uint64_t key = 0; key < KEYS; key++) {
        uint64_t at = position.index;
        while (at > 0 && (stress_get(&world.log[position.epoch][at]) >> key & 1) == 0)
            at--;
        if (answer->state[key] != at)
            stress_fail("the answer at index %llu has key %llu of index %llu, and not %llu",
                        (unsigned long long)position.index, (unsigned long long)key, (unsigned long long)answer->state[key],
                        (unsigned long long)at);
    }
}

/* Until the view has come so far, which it must, unless the history ends before. */
static void wait_for(aether_view *view, aether_position position)
{
    int64_t since = stress_now();
    while (aether_view_wait(view, position.index, AETHER_MILLISECONDS(20)) != AETHER_OK) {
        if (stress_get(&world.over) != 0 || aether_bus_newest(world.bus).epoch != position.epoch)
            return;
        if (stress_now() - since > AETHER_SECONDS(20))
            stress_fail("a view does not come to index %llu", (unsigned long long)position.index);
    }
    stress_add(&waits, 1);
}

static void *look_often(void *argument)
{
    struct stress_random random = stress_random_stream((uint64_t)(uintptr_t)argument);
    while (stress_get(&world.over) == 0) {
        uint32_t which = stress_below(&random, VIEWS);
        aether_position position, newest = aether_bus_newest(world.bus);
        if (stress_one_in(&random, 3))
            wait_for(world.views[which], newest);
        const struct answer *answer = aether_view_lock(world.views[which], &position);
        if (answer == NULL)
            continue;
        check(answer, position);
        aether_view_unlock(world.views[which]);
        stress_add(&looks, 1);
    }
    return NULL;
}

static void reset(void)
{
    pthread_mutex_lock(&world.lock);
    if (world.epoch + 1 < HISTORIES) {
        world.epoch++;
        world.index = 0;
        memset(world.state, 0, sizeof world.state);
        STRESS_EXPECT(aether_bus_reset(world.bus, &(aether_position){world.epoch, 0}) == AETHER_OK);
        stress_add(&resets, 1);
    }
    pthread_mutex_unlock(&world.lock);
}

static void *meddle(void *argument)
{
    static const aether_status reasons[] = {AETHER_ACCESS_CHANGED, AETHER_RESET, AETHER_TOO_SLOW, AETHER_FAILED};
    struct stress_random random = stress_random_stream((uint64_t)(uintptr_t)argument);
    while (stress_get(&world.over) == 0) {
        stress_nap(stress_below(&random, 10 * 1000 * 1000));
        if (stress_one_in(&random, 3)) {
            STRESS_EXPECT(aether_bus_close_label(world.bus, "view", reasons[stress_below(&random, 4)]) == AETHER_OK);
            stress_add(&closes, 1);
        } else if (stress_one_in(&random, 2)) {
            STRESS_EXPECT(aether_bus_refresh(world.bus, "s.1") == AETHER_OK);
        } else {
            reset();
        }
    }
    return NULL;
}

static void open_views(struct stress_random randoms[static VIEWS], bool shared)
{
    world.dispatcher = shared ? aether_dispatcher_create(2, &memory.allocator) : NULL;
    for (int i = 0; i < VIEWS; i++) {
        aether_view_options options = {.state_new = new_state,
                                       .state_free = free_state,
                                       .fold = fold,
                                       .user = &randoms[i],
                                       .label = "view",
                                       .limit_bytes = 4096,
                                       .retry_least_ns = AETHER_MICROSECONDS(500),
                                       .retry_most_ns = AETHER_MILLISECONDS(5),
                                       .dispatcher = world.dispatcher};
        world.views[i] = aether_view_open(world.bus, "s.*", &options);
        STRESS_EXPECT(world.views[i] != NULL);
    }
}

static void play(struct stress_random *random)
{
    static struct stress_random randoms[VIEWS];
    memset(&world, 0, sizeof world);
    pthread_mutex_init(&world.lock, NULL);
    world.epoch = 1;
    world.bus = aether_bus_create(&(aether_bus_options){
        .allocator = &memory.allocator, .epoch = 1, .segment_bytes = 1024, .linger_ns = AETHER_MILLISECONDS(1)});
    aether_snapshot_handler handler = {.make = make, .on_pool = stress_one_in(random, 2)};
    STRESS_EXPECT(world.bus != NULL && aether_bus_handle_snapshots(world.bus, ">", &handler) == AETHER_OK);
    for (int i = 0; i < VIEWS; i++)
        randoms[i] = stress_random_stream(stress_random(random) | 1);
    open_views(randoms, stress_one_in(random, 2));
    pthread_t threads[PRODUCERS + LOOKERS + 1];
    size_t count = 0;
    uint64_t stream = stress_random(random) | 1;
    for (int i = 0; i < PRODUCERS; i++)
        stress_spawn(&threads[count++], produce, (void *)(uintptr_t)(stream += 2));
    for (int i = 0; i < LOOKERS; i++)
        stress_spawn(&threads[count++], look_often, (void *)(uintptr_t)(stream += 2));
    stress_spawn(&threads[count++], meddle, (void *)(uintptr_t)(stream + 2));
    stress_nap(ROUND_NS);
    stress_set(&world.over, 1);
    stress_join(threads, count);
    for (int i = 0; i < VIEWS; i++) { /* each comes to the end */
        aether_position newest = aether_bus_newest(world.bus);
        STRESS_EXPECT(aether_view_wait(world.views[i], newest.index, AETHER_SECONDS(20)) == AETHER_OK);
        aether_view_close(world.views[i]);
    }
    aether_dispatcher_destroy(world.dispatcher);
    aether_bus_destroy(world.bus);
    pthread_mutex_destroy(&world.lock);
    STRESS_EXPECT(stress_get(&states) == 0);
}

int main(int argc, char **argv)
{
    stress_begin(argc, argv, "bus_view");
    stress_memory_begin(&memory);
    struct stress_random random = stress_random_stream(0);
    stress_clock_start();
    uint64_t rounds = 0;
    for (; !stress_over(); rounds++)
        play(&random);
    stress_memory_expect_none(&memory);
    STRESS_EXPECT(looks > 0 && published > 0 && resets + closes > 0);
    return stress_end("%llu rounds, %llu batches, %llu answers looked at, %llu waits, %llu resets, %llu closes by label",
                      (unsigned long long)rounds, (unsigned long long)published, (unsigned long long)looks,
                      (unsigned long long)waits, (unsigned long long)resets, (unsigned long long)closes);
}
