/*
 * The bus against a log of all that was published: publishers, subscriptions of every kind, snapshots that are made in any
 * thread, fail or are late, resets, refreshes, closes by label, all at random.
 *
 * State, log and publish go under one lock, as a program's would, so that the log is right whenever a subscription looks:
 * every index of a history has the keys that were published under it. A subscription knows from the log what it must get
 * next, what a snapshot must show, and when it was left asleep. Its account has to add up at every pause.
 */
#include <string.h>

#include "aether/aether.h"
#include "common/stress_memory.h"
#include "common/stress_run.h"

enum {
    KEYS = 8,
    READERS = 3,
    PUBLISHERS = 2,
    HISTORIES = 32,
    INDEXES = 1 << 14,
    BATCH = 3,
    ROUND_NS = 80 * 1000 * 1000,
    SEGMENT = 1024,
    PADDING = 200
};

struct payload {
    uint64_t epoch, index, key;
    char padding[PADDING];
};

struct world {
    aether_bus *bus;
    bool given;                       /* const; the publishers give the indexes */
    uint64_t over;                    /* atomic */
    uint64_t epoch;                   /* atomic; from 1 */
    uint64_t log[HISTORIES][INDEXES]; /* atomic; keys, by index */

    pthread_mutex_t lock; /* of what follows, and of publishing */
    uint64_t index;
    uint64_t state[KEYS]; /* index of each key's newest event in this history, 0: none */
};

static struct world world;
static struct stress_memory memory;
static uint64_t published, delivered, snapshots, lags, resumed, sessions, resets, closes, refused, conflated; /* atomic */

static const struct {
    const char *pattern;
    uint64_t keys;
} patterns[] = {{"s.>", 0xff}, {"s.0.*", 0x0f}, {"s.1.*", 0xf0}, {"s.0.2", 0x04}, {"*.1.7", 0x80}, {">", 0xff}};

enum { PATTERNS = sizeof patterns / sizeof *patterns };

static const char *const subjects[KEYS] = {"s.0.0", "s.0.1", "s.0.2", "s.0.3", "s.1.4", "s.1.5", "s.1.6", "s.1.7"};
static const char *const labels[] = {NULL, "red", "blue"};

/* The round is over, and the bus was shut down in the middle of everything. */
static bool is_shut_down(aether_status status)
{
    return status == AETHER_SHUT_DOWN && stress_get(&world.over) != 0;
}

static void expect_done(aether_status status)
{
    STRESS_EXPECT(status == AETHER_OK || is_shut_down(status));
}

/* ---------------------------------------------------------------------------------------------------------- publishing */

static uint64_t some_keys(struct stress_random *random)
{
    uint64_t keys = 0;
    for (uint32_t count = stress_one_in(random, 4) ? BATCH : 1; count > 0; count--)
        keys |= UINT64_C(1) << stress_below(random, KEYS);
    return keys;
}

/* Under the lock. */
static void publish(struct stress_random *random)
{
    uint64_t epoch = stress_get(&world.epoch), index = world.index + 1, keys = some_keys(random);
    if (index == INDEXES)
        return;
    struct payload payloads[BATCH];
    aether_event events[BATCH];
    size_t count = 0;
    for (uint64_t key = 0; key < KEYS; key++) {
        if ((keys >> key & 1) == 0)
            continue;
        payloads[count] = (struct payload){.epoch = epoch, .index = index, .key = key};
        events[count] = (aether_event){.index = world.given ? index : 0,
                                       .epoch = stress_one_in(random, 2) ? epoch : 0,
                                       .subject = subjects[key],
                                       .type = key % 2 == 0 ? "even" : "odd",
                                       .data = aether_bytes(&payloads[count], sizeof *payloads)};
        count++;
    }
    events[0].epoch = epoch;
    stress_set(&world.log[epoch][index], keys);
    aether_status status = count == 1 ? aether_publish(world.bus, events[0].subject, &events[0])
                                      : aether_publish_batch(world.bus, events, count);
    if (status == AETHER_OK) {
        world.index = index;
        for (uint64_t key = 0; key < KEYS; key++)
            if (keys >> key & 1)
                world.state[key] = index;
        stress_add(&published, count);
        return;
    }
    STRESS_EXPECT(status == AETHER_TIMEOUT || status == AETHER_FULL || is_shut_down(status));
    stress_set(&world.log[epoch][index], 0);
    stress_add(&refused, 1);
}

static void *publish_often(void *argument)
{
    struct stress_random random = stress_random_stream((uint64_t)(uintptr_t)argument);
    while (stress_get(&world.over) == 0) {
        pthread_mutex_lock(&world.lock);
        for (uint32_t count = stress_below(&random, 8); count > 0; count--)
            publish(&random);
        pthread_mutex_unlock(&world.lock);
        if (stress_one_in(&random, 4))
            stress_nap(stress_below(&random, 300 * 1000));
    }
    return NULL;
}

/* A snapshot of the keys that the pattern covers, which fails now and then, in the middle, too. */
static aether_status make(aether_snapshot *snapshot, const char *pattern, uint64_t *index, void *user)
{
    uint64_t state[KEYS], epoch, *turns = user;
    pthread_mutex_lock(&world.lock);
    memcpy(state, world.state, sizeof state);
    epoch = stress_get(&world.epoch);
    *index = world.given ? world.index : aether_bus_newest(world.bus).index;
    pthread_mutex_unlock(&world.lock);
    uint64_t turn = stress_add(turns, 1);
    for (uint64_t key = 0; key < KEYS; key++) {
        if (turn % 16 == 7 && key == KEYS / 2)
            return AETHER_SYSTEM;
        if (turn % 8 == 3)
            stress_nap(200 * 1000);
        if (state[key] == 0 || !aether_pattern_matches(pattern, subjects[key]))
            continue;
        struct payload payload = {.epoch = epoch, .index = state[key], .key = key};
        aether_event event = {
            .subject = subjects[key], .type = key % 2 == 0 ? "even" : "odd", .data = aether_bytes(&payload, sizeof payload)};
        aether_status status = aether_snapshot_append(snapshot, &event, 1);
        if (status != AETHER_OK)
            return status;
    }
    return AETHER_OK;
}

/* ------------------------------------------------------------------------------------------------------------- reading */

/* What a subscription has shown so far. */
struct session {
    aether_subscription *sub;
    uint64_t keys;  /* that it is to get */
    uint64_t epoch; /* of its events */
    uint64_t index; /* all up to it has been shown */
    uint64_t rest;  /* keys under `index` that are still to come */
    bool in_snapshot, may_jump, conflates;
    uint64_t state[KEYS]; /* as in the world; since a snapshot */
    bool knows_state;
    const char *pattern; /* from here on: for the report */
    int begin, on_limit, on_lag;
};

/* No key of the session's was published under an index above `from` and below `to`. */
static void expect_nothing_between(const struct session *session, uint64_t from, uint64_t to)
{
    for (uint64_t at = from + 1; at < to; at++)
        if (stress_get(&world.log[session->epoch][at]) & session->keys)
            stress_fail("after index %llu comes %llu, and %llu was published to it (%s, begin %d, on_limit %d, on_lag %d)",
                        (unsigned long long)from, (unsigned long long)to, (unsigned long long)at, session->pattern,
                        session->begin, session->on_limit, session->on_lag);
}

static void expect_state(const struct session *session, uint64_t index)
{
    for (uint64_t key = 0; key < KEYS; key++) {
        if ((session->keys >> key & 1) == 0)
            continue;
        uint64_t at = index;
        while (at > 0 && (stress_get(&world.log[session->epoch][at]) >> key & 1) == 0)
            at--;
        if (session->state[key] != at)
            stress_fail("at index %llu key %llu is of index %llu and not %llu", (unsigned long long)index,
                        (unsigned long long)key, (unsigned long long)session->state[key], (unsigned long long)at);
    }
}

static const struct payload *payload_of(const struct session *session, const aether_event *event)
{
    const struct payload *payload = (const struct payload *)(const void *)event->data.data;
    STRESS_EXPECT(event->data.size == sizeof *payload && payload->key < KEYS);
    STRESS_EXPECT(payload->epoch == session->epoch && event->epoch == session->epoch);
    STRESS_EXPECT(event->subject_size == strlen(subjects[payload->key]) &&
                  memcmp(event->subject, subjects[payload->key], event->subject_size) == 0);
    STRESS_EXPECT(session->keys >> payload->key & 1);
    return payload;
}

static void take_live(struct session *session, const aether_event *event)
{
    const struct payload *payload = payload_of(session, event);
    uint64_t index = event->index, bit = UINT64_C(1) << payload->key;
    STRESS_EXPECT(payload->index == index && !session->in_snapshot);
    if (session->conflates) {
        STRESS_EXPECT(index >= session->index);
    } else if (index == session->index) {
        STRESS_EXPECT(session->rest & bit);
    } else {
        STRESS_EXPECT(index > session->index);
        if (!session->may_jump) {
            STRESS_EXPECT(session->rest == 0);
            expect_nothing_between(session, session->index, index);
        }
        session->rest = stress_get(&world.log[session->epoch][index]) & session->keys;
        STRESS_EXPECT(session->rest & bit);
    }
    session->may_jump = false;
    session->index = index;
    session->rest &= ~bit;
    if (session->rest != 0)
        STRESS_EXPECT(session->conflates || session->rest > bit); /* a batch comes in its order */
    session->state[payload->key] = index;
    if (session->knows_state && session->rest == 0 && !session->conflates)
        expect_state(session, index);
    stress_add(&delivered, 1);
}

static void take(struct session *session, const aether_event *event)
{
    if (session->in_snapshot && session->epoch == 0)
        session->epoch = event->epoch;
    switch (event->kind) {
    case AETHER_EVENT_SNAPSHOT_FOLLOWS:
        session->in_snapshot = true;
        session->epoch = event->epoch;
        memset(session->state, 0, sizeof session->state);
        break;
    case AETHER_EVENT_SNAPSHOT: {
        STRESS_EXPECT(session->in_snapshot);
        const struct payload *payload = payload_of(session, event);
        STRESS_EXPECT(session->state[payload->key] == 0);
        session->state[payload->key] = payload->index;
        break;
    }
    case AETHER_EVENT_SNAPSHOT_END:
        STRESS_EXPECT(session->in_snapshot && event->epoch == session->epoch);
        session->in_snapshot = session->may_jump = false;
        session->index = event->index;
        session->rest = 0;
        session->knows_state = true;
        expect_state(session, event->index);
        stress_add(&snapshots, 1);
        break;
    case AETHER_EVENT_PROGRESS:
        STRESS_EXPECT(!session->in_snapshot && event->index > session->index);
        if (!session->may_jump && !session->conflates) {
            STRESS_EXPECT(session->rest == 0);
            expect_nothing_between(session, session->index, event->index + 1);
        }
        session->may_jump = false;
        session->index = event->index;
        session->rest = 0;
        break;
    default:
        STRESS_EXPECT(event->kind == AETHER_EVENT_LIVE);
        take_live(session, event);
    }
}

static void expect_account(const struct session *session)
{
    aether_subscription_stats stats;
    STRESS_EXPECT(aether_subscription_get_stats(session->sub, &stats) == AETHER_OK);
    uint64_t sum = stats.delivered + stats.filtered + stats.below_watermark + stats.conflated + stats.lagged +
                   stats.discarded + stats.pending;
    if (sum != stats.published)
        stress_fail("published %llu, but delivered %llu, filtered %llu, below %llu, conflated %llu, lagged %llu, "
                    "discarded %llu, pending %llu",
                    (unsigned long long)stats.published, (unsigned long long)stats.delivered,
                    (unsigned long long)stats.filtered, (unsigned long long)stats.below_watermark,
                    (unsigned long long)stats.conflated, (unsigned long long)stats.lagged,
                    (unsigned long long)stats.discarded, (unsigned long long)stats.pending);
}

/* One call. Nothing came in time, and then something is there at once: it was left asleep. */
static aether_status read_some(struct session *session, struct stress_random *random)
{
    aether_event events[4];
    size_t count = 1;
    int64_t timeout = stress_one_in(random, 3) ? AETHER_NO_WAIT : AETHER_SECONDS(2);
    bool runs = stress_one_in(random, 2);
    aether_status status =
        runs ? aether_next_run(session->sub, events, 4, &count, timeout) : aether_next(session->sub, events, timeout);
    if (status == AETHER_TIMEOUT && aether_next(session->sub, events, AETHER_NO_WAIT) == AETHER_OK)
        stress_fail("it slept for 2 s, and index %llu, kind %d, was there", (unsigned long long)events->index, events->kind);
    for (size_t i = 0; status == AETHER_OK && i < count; i++)
        take(session, &events[i]);
    return status;
}

static bool is_odd(const aether_event *event, void *user)
{
    (void)user;
    return event->type_size == 3;
}

static aether_subscribe_options some_options(struct stress_random *random, aether_position resume)
{
    static const aether_begin begins[] = {AETHER_BEGIN_NOW,      AETHER_BEGIN_SNAPSHOT, AETHER_BEGIN_SNAPSHOT,
                                          AETHER_BEGIN_SNAPSHOT, AETHER_BEGIN_RESUME,   AETHER_BEGIN_AFTER,
                                          AETHER_BEGIN_OLDEST};
    aether_subscribe_options options = {.begin = begins[stress_below(random, sizeof begins / sizeof *begins)],
                                        .on_limit = (aether_on_limit)stress_below(random, AETHER_CLOSE + 1),
                                        .limit_bytes =
                                            AETHER_LIMIT_SEGMENTS * SEGMENT * (1 + (uint64_t)stress_below(random, 8)),
                                        .on_lag = (aether_on_lag)stress_below(random, AETHER_LAG_CLOSE),
                                        .position = resume,
                                        .label = labels[stress_below(random, 3)],
                                        .drain = stress_one_in(random, 2)};
    if (options.on_lag == AETHER_LAG_SNAPSHOT && stress_one_in(random, 2))
        options.progress_ns = 1;
    if (stress_one_in(random, 5) && options.on_limit != AETHER_REFUSE)
        options.conflate = 1 + stress_below(random, KEYS);
    if (stress_one_in(random, 4))
        options.filter.types = &(const char *const){"odd"}, options.filter.type_count = 1;
    else if (stress_one_in(random, 4))
        options.filter.predicate = is_odd;
    return options;
}

static bool is_expected(aether_status status, const aether_subscribe_options *options)
{
    bool past = options->begin == AETHER_BEGIN_AFTER;
    if (is_shut_down(status))
        return true;
    return past && (status == AETHER_GONE || status == AETHER_AHEAD || status == AETHER_OTHER_EPOCH);
}

static void begin_session(struct session *session, const aether_subscribe_options *options, uint32_t pattern)
{
    *session = (struct session){.sub = session->sub,
                                .keys = patterns[pattern].keys,
                                .conflates = options->conflate != 0,
                                .pattern = patterns[pattern].pattern,
                                .begin = options->begin,
                                .on_limit = options->on_limit,
                                .on_lag = options->on_lag};
    if (options->filter.type_count != 0 || options->filter.predicate != NULL)
        session->keys &= 0xaa;
    aether_position position = aether_subscription_position(session->sub);
    session->in_snapshot = position.epoch == 0;
    session->epoch = position.epoch; /* 0: its first event tells */
    session->index = position.index;
}

/* One subscription, for a while. Returns where it got to. */
static aether_position play(struct stress_random *random, aether_position resume)
{
    uint32_t pattern = stress_below(random, PATTERNS);
    const char *const odd = "odd";
    aether_subscribe_options options = some_options(random, resume);
    if (options.filter.type_count != 0)
        options.filter.types = &odd;
    struct session session;
    session.sub = aether_subscribe(world.bus, patterns[pattern].pattern, &options);
    if (session.sub == NULL) {
        if (!is_expected(aether_error_status(), &options))
            stress_fail("subscribe: %s", aether_error());
        return (aether_position){0, 0};
    }
    begin_session(&session, &options, pattern);
    aether_status status = AETHER_OK;
    for (uint32_t calls = 1 + stress_below(random, 400); calls > 0 && stress_get(&world.over) == 0; calls--) {
        status = read_some(&session, random);
        if (status == AETHER_LAGGED) {
            session.may_jump = true;
            session.rest = 0;
            session.knows_state = false;
            stress_add(&lags, 1);
        }
        if (aether_status_is_final(status))
            break;
        if (stress_one_in(random, 20))
            expect_account(&session);
        if (stress_one_in(random, 30))
            stress_nap(stress_below(random, 2 * 1000 * 1000));
    }
    expect_account(&session);
    if (options.begin == AETHER_BEGIN_RESUME && !session.in_snapshot)
        stress_add(&resumed, 1);
    if (session.conflates)
        stress_add(&conflated, 1);
    aether_position position = aether_subscription_position(session.sub);
    if (stress_one_in(random, 4))
        STRESS_EXPECT(aether_unsubscribe(session.sub) == AETHER_OK);
    aether_subscription_close(session.sub);
    stress_add(&sessions, 1);
    bool whole = session.rest == 0 && (status == AETHER_OK || status == AETHER_EMPTY || status == AETHER_TIMEOUT);
    return whole ? position : (aether_position){0, 0};
}

static void *read_often(void *argument)
{
    struct stress_random random = stress_random_stream((uint64_t)(uintptr_t)argument);
    aether_position resume = {0, 0};
    while (stress_get(&world.over) == 0)
        resume = play(&random, resume);
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------- meddling */

static void reset(void)
{
    pthread_mutex_lock(&world.lock);
    uint64_t epoch = stress_get(&world.epoch) + 1;
    if (epoch < HISTORIES) {
        world.index = 0;
        memset(world.state, 0, sizeof world.state);
        stress_set(&world.epoch, epoch);
        expect_done(aether_bus_reset(world.bus, &(aether_position){epoch, 0}));
        stress_add(&resets, 1);
    }
    pthread_mutex_unlock(&world.lock);
}

static void *meddle(void *argument)
{
    static const aether_status reasons[] = {AETHER_ACCESS_CHANGED, AETHER_UNSUBSCRIBED, AETHER_RESET, AETHER_FAILED};
    struct stress_random random = stress_random_stream((uint64_t)(uintptr_t)argument);
    while (stress_get(&world.over) == 0) {
        stress_nap(stress_below(&random, 6 * 1000 * 1000));
        switch (stress_below(&random, 6)) {
        case 0:
            reset();
            break;
        case 1:
            expect_done(aether_bus_refresh(world.bus, patterns[stress_below(&random, PATTERNS)].pattern));
            break;
        case 2:
            expect_done(aether_bus_retain(world.bus, "s.>", &(aether_retention){.events = stress_below(&random, 300)}));
            break;
        default:
            STRESS_EXPECT(aether_bus_close_label(world.bus, labels[1 + stress_below(&random, 2)],
                                                 reasons[stress_below(&random, 4)]) == AETHER_OK);
            stress_add(&closes, 1);
        }
    }
    return NULL;
}

static void play_round(struct stress_random *random)
{
    static uint64_t turns; /* atomic; of the handler */
    memset(&world, 0, sizeof world);
    world.given = stress_one_in(random, 2);
    world.epoch = 1;
    pthread_mutex_init(&world.lock, NULL);
    world.bus = aether_bus_create(&(aether_bus_options){.allocator = &memory.allocator,
                                                        .epoch = 1,
                                                        .segment_bytes = SEGMENT,
                                                        .publish_wait_ns = AETHER_MILLISECONDS(5),
                                                        .linger_ns = stress_one_in(random, 2) ? -1 : AETHER_MILLISECONDS(3),
                                                        .share_bytes = stress_one_in(random, 2) ? 128 : 0,
                                                        .topics = 1 + stress_below(random, 8)});
    STRESS_EXPECT(world.bus != NULL);
    aether_snapshot_handler handler = {.make = make,
                                       .user = &turns,
                                       .cache_ns = stress_one_in(random, 2) ? AETHER_MILLISECONDS(5) : 0,
                                       .deadline_ns = stress_one_in(random, 2) ? AETHER_MILLISECONDS(1) : 0,
                                       .on_pool = stress_one_in(random, 2)};
    STRESS_EXPECT(aether_bus_handle_snapshots(world.bus, ">", &handler) == AETHER_OK);
    pthread_t threads[PUBLISHERS + READERS + 1];
    size_t count = 0;
    uint64_t stream = stress_random(random) | 1;
    for (int i = 0; i < PUBLISHERS; i++)
        stress_spawn(&threads[count++], publish_often, (void *)(uintptr_t)(stream += 2));
    for (int i = 0; i < READERS; i++)
        stress_spawn(&threads[count++], read_often, (void *)(uintptr_t)(stream += 2));
    stress_spawn(&threads[count++], meddle, (void *)(uintptr_t)(stream + 2));
    stress_nap(ROUND_NS);
    stress_set(&world.over, 1);
    STRESS_EXPECT(aether_bus_shutdown(world.bus) == AETHER_OK);
    stress_join(threads, count);
    aether_bus_stats stats;
    STRESS_EXPECT(aether_bus_get_stats(world.bus, &stats) == AETHER_OK && stats.subscriptions == 0);
    aether_bus_destroy(world.bus);
    pthread_mutex_destroy(&world.lock);
}

int main(int argc, char **argv)
{
    stress_begin(argc, argv, "bus_model");
    stress_memory_begin(&memory);
    struct stress_random random = stress_random_stream(0);
    stress_clock_start();
    uint64_t rounds = 0;
    for (; !stress_over(); rounds++)
        play_round(&random);
    stress_memory_expect_none(&memory);
    STRESS_EXPECT(published > 0 && delivered > 0 && snapshots > 0);
    return stress_end(
        "%llu rounds, %llu events published, %llu refused, %llu delivered, %llu sessions, %llu snapshots, %llu lags, "
        "%llu resumed, %llu conflated, %llu resets, %llu closes by label",
        (unsigned long long)rounds, (unsigned long long)published, (unsigned long long)refused,
        (unsigned long long)delivered, (unsigned long long)sessions, (unsigned long long)snapshots, (unsigned long long)lags,
        (unsigned long long)resumed, (unsigned long long)conflated, (unsigned long long)resets, (unsigned long long)closes);
}
