/*
 * Trying again: against a store whose answers are scripted, with a clock, pauses and random numbers of the test's own. Each
 * numbered defect of the samples that this follows has a test with its number.
 */
#include "common/unit.h"

#include <stdio.h>

#include "aether/driver.h"
#include "aether/retry.h"

enum { ANSWERS = 64 };

/* What the store answers, and what it was asked. */
static struct {
    aether_status answers[ANSWERS];
    int count, asked;
    int64_t latest;            /* of the actor */
    int64_t step;              /* by which it grows with each conflict */
    uint8_t ids[ANSWERS][16];  /* of the last event of each save */
    int64_t expected[ANSWERS]; /* by each save */
    bool had_base[ANSWERS];
    aether_status latest_status; /* of the question for the latest version */
    uint64_t generation;
} script;

static struct {
    int64_t now;
    int64_t pauses[ANSWERS];
    int count;
    uint64_t random;
    aether_stop *stops_after_pause; /* requested in the first pause */
} clocks;

static int decided, adds;

/* ------------------------------------------------------------------------------------------------------------- store */

static aether_status open_script(const char *place, const aether_store_options *options, int64_t deadline, void **store,
                                 aether_driver_facts *facts)
{
    (void)place;
    (void)options;
    (void)deadline;
    *store = &script;
    *facts = (aether_driver_facts){.epoch = 1, .durability = AETHER_IN_MEMORY};
    return AETHER_OK;
}

static void close_script(void *store)
{
    (void)store;
}

static void save_script(void *store, aether_driver_save *saves, size_t count, int64_t deadline)
{
    (void)store;
    (void)count;
    (void)deadline;
    aether_driver_save *save = saves;
    int at = script.asked++;
    cr_assert(at < ANSWERS);
    memcpy(script.ids[at], save->events[save->count - 1].id, 16);
    script.expected[at] = save->expected;
    script.had_base[at] = save->has_base;
    save->status = at < script.count ? script.answers[at] : AETHER_OK;
    save->saved.base = script.latest;
    save->saved.has_base = true;
    if (save->status == AETHER_CONFLICT) {
        save->saved.conflict.from = script.latest + 1;
        script.latest += script.step;
        save->saved.conflict.current = script.latest;
    }
    if (save->status == AETHER_OK) {
        save->saved.version = script.latest + (int64_t)save->count;
        return;
    }
    (void)aether_fail(save->status, "scripted: %s", aether_status_text(save->status));
}

static aether_status latest_script(void *store, aether_text actor, int64_t deadline, int64_t *version, uint64_t *generation)
{
    (void)store;
    (void)actor;
    (void)deadline;
    *version = script.latest;
    *generation = script.generation;
    if (script.latest_status != AETHER_OK)
        return aether_fail(script.latest_status, "scripted: %s", aether_status_text(script.latest_status));
    return AETHER_OK;
}

static uint64_t generation_script(void *store)
{
    (void)store;
    return script.generation;
}

static void wake_script(void *store)
{
    (void)store;
}

static const aether_driver driver = {.size = sizeof driver,
                                     .scheme = "script",
                                     .open = open_script,
                                     .close = close_script,
                                     .save = save_script,
                                     .latest = latest_script,
                                     .generation = generation_script,
                                     .wake = wake_script};

static aether_store *open_with(const aether_status *answers, int count)
{
    memset(&script, 0, sizeof script);
    memset(&clocks, 0, sizeof clocks);
    decided = 0;
    adds = 1;
    memcpy(script.answers, answers, (size_t)count * sizeof *answers);
    script.count = count;
    script.latest = 5;
    script.step = 1;
    clocks.random = 0x9e3779b97f4a7c15;
    expect_ok(aether_store_use(&driver));
    aether_store *store = aether_store_open("script:", &(aether_store_options){.allocator = &unit_allocator});
    cr_assert(store != NULL);
    return store;
}

#define OPEN(...)                                                                                                           \
    open_with((const aether_status[]){__VA_ARGS__},                                                                         \
              (int)(sizeof((const aether_status[]){__VA_ARGS__}) / sizeof(aether_status)))

/* ------------------------------------------------------------------------------------------------------------- hooks */

static int64_t now(void *user)
{
    (void)user;
    return clocks.now;
}

static void pause_for(int64_t ns, void *user)
{
    (void)user;
    cr_assert(clocks.count < ANSWERS && ns >= 0);
    clocks.pauses[clocks.count++] = ns;
    clocks.now = ns > INT64_MAX - clocks.now ? INT64_MAX : clocks.now + ns;
    aether_stop_request(clocks.stops_after_pause);
}

static uint64_t draw(void *user)
{
    (void)user;
    clocks.random = clocks.random * 6364136223846793005u + 1442695040888963407u;
    return clocks.random >> 1;
}

/* The largest that can be drawn. */
static uint64_t draw_most(void *user)
{
    (void)user;
    return UINT64_MAX;
}

static aether_retry_policy policy(aether_backoff backoff)
{
    return (aether_retry_policy){.backoff = backoff, .now = now, .pause = pause_for, .random = draw};
}

static aether_status decide(aether_decision *decision, aether_store *store, const char *actor, int64_t version, void *user)
{
    (void)store;
    cr_assert_str_eq(actor, "a");
    cr_assert(version == script.latest);
    decided++;
    if (user != NULL)
        return *(const aether_status *)user;
    for (int i = 0; i < adds; i++) {
        aether_status status = aether_decision_add(decision, AETHER_EVENT(.type = "Done"));
        if (status != AETHER_OK)
            return status;
    }
    return AETHER_OK;
}

static aether_status run(aether_store *store, const aether_retry_policy *how, aether_retry_outcome *outcome)
{
    return aether_retry_save(store, "a", how, decide, NULL, outcome);
}

/* ------------------------------------------------------------------------------------------------------------- tests */

TEST(retry_save, STO10_R1_a_conflict_is_decided_anew_with_what_is_by_now)
{
    aether_store *store = OPEN(AETHER_CONFLICT, AETHER_CONFLICT, AETHER_OK);
    aether_retry_policy how = policy(AETHER_BACKOFF_FULL_JITTER);
    aether_retry_outcome outcome;
    expect_ok(run(store, &how, &outcome));
    cr_assert(decided == 3 && outcome.attempts == 3 && outcome.conflicts == 2 && outcome.status == AETHER_OK &&
              clocks.count == 2);
    for (int i = 0; i < 3; i++)
        expect_number(5 + i, script.expected[i]);
    expect_number(8, outcome.saved.version);
    aether_store_close(store);
}

TEST(retry_save, STO10_R2_one_command_has_one_id_over_all_attempts)
{
    aether_store *store = OPEN(AETHER_CONFLICT, AETHER_UNKNOWN_OUTCOME, AETHER_TIMEOUT, AETHER_OK);
    aether_retry_policy how = policy(AETHER_BACKOFF_FULL_JITTER);
    adds = 3;
    expect_ok(run(store, &how, NULL));
    static const uint8_t none[16];
    cr_assert(memcmp(script.ids[0], none, 16) != 0);
    for (int i = 1; i < 4; i++)
        cr_assert(memcmp(script.ids[0], script.ids[i], 16) == 0);
    aether_store_close(store);
}

TEST(retry_save, STO10_R3_ids_of_two_commands_differ)
{
    aether_store *store = OPEN(AETHER_OK, AETHER_OK);
    aether_retry_policy how = policy(AETHER_BACKOFF_FULL_JITTER);
    expect_ok(run(store, &how, NULL));
    expect_ok(run(store, &how, NULL));
    cr_assert(memcmp(script.ids[0], script.ids[1], 16) != 0);
    aether_store_close(store);
}

TEST(retry_save, STO10_R4_faults_are_tried_again_and_other_answers_are_not)
{
    static const struct {
        aether_status status;
        int saves;
    } rows[] = {{AETHER_TIMEOUT, 2},     {AETHER_SYSTEM, 2},    {AETHER_BUSY, 2},      {AETHER_NO_SPACE, 2},
                {AETHER_NO_MEMORY, 2},   {AETHER_INVALID, 1},   {AETHER_TOO_LARGE, 1}, {AETHER_ID_REUSED, 1},
                {AETHER_ACTOR_ENDED, 1}, {AETHER_READ_ONLY, 1}, {AETHER_FAILED, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        aether_store *store = OPEN(rows[i].status, AETHER_OK);
        aether_retry_policy how = policy(AETHER_BACKOFF_FULL_JITTER);
        aether_retry_outcome outcome;
        expect_status(rows[i].saves == 2 ? AETHER_OK : rows[i].status, run(store, &how, &outcome));
        expect_number(rows[i].saves, outcome.attempts);
        bool is_resource = rows[i].status == AETHER_NO_SPACE || rows[i].status == AETHER_NO_MEMORY;
        if (rows[i].saves == 2)
            expect_within(is_resource ? AETHER_SECONDS(5) : AETHER_MILLISECONDS(50), AETHER_SECONDS(5), clocks.pauses[0]);
        aether_store_close(store);
    }
}

TEST(retry_save, STO5_S4_an_unknown_outcome_is_resolved_by_the_same_save)
{
    aether_store *store = OPEN(AETHER_UNKNOWN_OUTCOME, AETHER_SYSTEM, AETHER_OK);
    aether_retry_policy how = policy(AETHER_BACKOFF_FULL_JITTER);
    expect_ok(run(store, &how, NULL));
    cr_assert(decided == 1 && !script.had_base[0] && script.had_base[1] && script.had_base[2]);
    cr_assert(script.expected[2] == script.expected[0]);
    aether_store_close(store);
    store = OPEN(AETHER_UNKNOWN_OUTCOME, AETHER_CONFLICT, AETHER_OK); /* it was not stored: decide again */
    expect_ok(run(store, &how, NULL));
    cr_assert(decided == 2 && !script.had_base[2]);
    aether_store_close(store);
}

/* A slow server made existing actors look new. */
TEST(retry_save, STO6_S3_a_timeout_is_no_version_and_is_not_remembered)
{
    aether_store *store = OPEN(AETHER_OK);
    int64_t version = 77;
    script.generation = 1;
    script.latest_status = AETHER_TIMEOUT;
    expect_status(AETHER_TIMEOUT, aether_latest(store, "a", &version));
    script.latest_status = AETHER_OK;
    expect_ok(aether_latest(store, "a", &version));
    expect_number(5, version);
    script.latest_status = AETHER_TIMEOUT; /* an answer is remembered */
    expect_ok(aether_latest(store, "a", &version));
    expect_number(5, version);
    script.generation = 2; /* and not believed once others have saved */
    expect_status(AETHER_TIMEOUT, aether_latest(store, "a", &version));
    aether_store_close(store);
}

/* The cache kept its old answer after a save whose fate was unknown. */
TEST(retry_save, STO6_S4_after_an_unknown_outcome_the_store_is_asked)
{
    aether_store *store = OPEN(AETHER_UNKNOWN_OUTCOME);
    int64_t version;
    script.generation = 1;
    expect_ok(aether_latest(store, "a", &version));
    expect_number(5, version);
    expect_status(AETHER_UNKNOWN_OUTCOME, aether_save(store, AETHER_EVENT(.actor = "a", .type = "T"), NULL));
    script.latest = 6;
    expect_ok(aether_latest(store, "a", &version));
    expect_number(6, version);
    aether_store_close(store);
}

TEST(retry_save, STO10_R5_pauses_are_drawn_over_their_whole_length)
{
    for (int backoff = AETHER_BACKOFF_FULL_JITTER; backoff <= AETHER_BACKOFF_ADAPTIVE; backoff++) {
        aether_store *store = OPEN(AETHER_CONFLICT, AETHER_CONFLICT, AETHER_CONFLICT, AETHER_CONFLICT, AETHER_CONFLICT,
                                   AETHER_CONFLICT, AETHER_CONFLICT, AETHER_CONFLICT, AETHER_CONFLICT, AETHER_OK);
        aether_retry_policy how = policy((aether_backoff)backoff);
        script.step = 7;
        expect_ok(run(store, &how, NULL));
        expect_number(9, clocks.count);
        int64_t before = AETHER_MILLISECONDS(1);
        for (int i = 0; i < clocks.count; i++) {
            int64_t pause = clocks.pauses[i], most = AETHER_MILLISECONDS(1) << i;
            switch (backoff) {
            case AETHER_BACKOFF_FIXED:
                expect_number(AETHER_MILLISECONDS(1), pause);
                break;
            case AETHER_BACKOFF_DECORRELATED:
                expect_within(AETHER_MILLISECONDS(1),
                              before * 3 < AETHER_MILLISECONDS(50) ? before * 3 : AETHER_MILLISECONDS(50), pause);
                before = pause;
                break;
            case AETHER_BACKOFF_ADAPTIVE:
                expect_within(0, AETHER_MILLISECONDS(7), pause);
                break;
            default:
                expect_within(0, most < AETHER_MILLISECONDS(50) ? most : AETHER_MILLISECONDS(50), pause);
            }
        }
        aether_store_close(store);
    }
}

/* The sample slept least where most was going on. */
TEST(retry_save, STO10_R5_the_adaptive_pause_grows_with_the_gap)
{
    static const int64_t steps[] = {1, 4, 40, 4000, INT64_C(1) << 60};
    int64_t before = 0;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        aether_store *store = OPEN(AETHER_CONFLICT, AETHER_OK);
        aether_retry_policy how = policy(AETHER_BACKOFF_ADAPTIVE);
        int64_t total = 0;
        script.step = steps[i];
        how.random = draw;
        for (int k = 0; k < 20; k++) {
            script.asked = 0;
            script.latest = 5;
            expect_ok(run(store, &how, NULL));
        }
        for (int k = 0; k < clocks.count; k++)
            total += clocks.pauses[k];
        cr_assert(i >= 4 || total > before, "a gap of %lld pauses %lld ns", (long long)steps[i], (long long)total);
        before = total;
        aether_store_close(store);
    }
}

TEST(retry_save, STO10_R6_no_pause_follows_the_last_attempt_and_none_goes_beyond_the_deadline)
{
    aether_store *store = OPEN(AETHER_CONFLICT, AETHER_CONFLICT, AETHER_CONFLICT, AETHER_CONFLICT);
    aether_retry_policy how = policy(AETHER_BACKOFF_FIXED);
    aether_retry_outcome outcome;
    how.attempts = 3;
    expect_refused(AETHER_EXHAUSTED, "no attempt is left after 3 attempts", run(store, &how, &outcome));
    cr_assert(clocks.count == 2 && outcome.attempts == 3 && outcome.status == AETHER_CONFLICT &&
              outcome.paused_ns == AETHER_MILLISECONDS(2));
    aether_store_close(store);
    store = OPEN(AETHER_TIMEOUT, AETHER_TIMEOUT, AETHER_TIMEOUT, AETHER_TIMEOUT, AETHER_TIMEOUT, AETHER_TIMEOUT);
    how = policy(AETHER_BACKOFF_FIXED);
    how.timeout_ns = AETHER_MILLISECONDS(400);
    expect_refused(AETHER_EXHAUSTED, "no time is left", run(store, &how, &outcome));
    cr_assert(clocks.now < AETHER_MILLISECONDS(400) && outcome.attempts >= 2);
    aether_store_close(store);
}

TEST(retry_save, STO10_R6_no_number_of_attempts_overflows_a_pause)
{
    aether_store *store = OPEN(AETHER_OK);
    aether_retry_policy how = policy(AETHER_BACKOFF_FULL_JITTER);
    for (int i = 0; i < ANSWERS - 1; i++)
        script.answers[i] = AETHER_CONFLICT;
    script.count = ANSWERS - 1;
    how.attempts = UINT32_MAX;
    how.base_ns = INT64_MAX / 3;
    how.cap_ns = INT64_MAX / 2;
    how.timeout_ns = AETHER_FOREVER;
    how.random = draw_most;
    how.now = NULL;
    expect_ok(run(store, &how, NULL));
    expect_number(ANSWERS - 1, clocks.count);
    aether_store_close(store);
}

/* The sample took the same current version twice for contention: that nobody has moved says nothing. */
TEST(retry_save, STO10_R7_the_same_current_version_twice_is_an_attempt_like_any_other)
{
    aether_store *store = OPEN(AETHER_CONFLICT, AETHER_CONFLICT, AETHER_OK);
    aether_retry_policy how = policy(AETHER_BACKOFF_ADAPTIVE);
    script.step = 0;
    expect_ok(run(store, &how, NULL));
    expect_number(3, decided);
    aether_store_close(store);
}

TEST(retry_save, STO10_what_decide_answers_ends_it_and_nothing_to_save_is_an_answer)
{
    aether_store *store = OPEN(AETHER_OK);
    aether_retry_policy how = policy(AETHER_BACKOFF_FULL_JITTER);
    aether_retry_outcome outcome;
    aether_status refuses = AETHER_INVALID;
    expect_status(AETHER_INVALID, aether_retry_save(store, "a", &how, decide, &refuses, &outcome));
    cr_assert(script.asked == 0 && outcome.attempts == 1);
    adds = 0;
    expect_ok(run(store, &how, &outcome));
    cr_assert(script.asked == 0 && outcome.saved.position.index == 0);
    how.backoff = 9;
    expect_refused(AETHER_INVALID, "no backoff 9", run(store, &how, &outcome));
    how = policy(AETHER_BACKOFF_FIXED);
    how.cap_ns = -1;
    expect_refused(AETHER_INVALID, "below 0", run(store, &how, &outcome));
    aether_store_close(store);
}

TEST(retry_save, STO10_a_stop_ends_it)
{
    aether_store *store = OPEN(AETHER_CONFLICT, AETHER_CONFLICT, AETHER_OK);
    aether_retry_policy how = policy(AETHER_BACKOFF_FULL_JITTER);
    how.stop = clocks.stops_after_pause = aether_stop_create(&unit_allocator);
    expect_refused(AETHER_CANCELLED, "stopped after 1 attempts", run(store, &how, NULL));
    expect_refused(AETHER_CANCELLED, "stopped after 0 attempts", run(store, &how, NULL));
    aether_stop_destroy(how.stop);
    aether_store_close(store);
}

static void *request_stop(void *stop)
{
    aether_stop_request(stop);
    return NULL;
}

TEST(retry_save, STO10_a_stop_wakes_a_real_pause)
{
    aether_store *store = OPEN(AETHER_TIMEOUT, AETHER_TIMEOUT);
    aether_retry_policy how = {
        .fault_base_ns = AETHER_SECONDS(50), .fault_cap_ns = AETHER_SECONDS(50), .timeout_ns = AETHER_SECONDS(500)};
    how.stop = aether_stop_create(&unit_allocator);
    pthread_t thread;
    cr_assert(pthread_create(&thread, NULL, request_stop, how.stop) == 0);
    expect_status(AETHER_CANCELLED, run(store, &how, NULL));
    pthread_join(thread, NULL);
    aether_stop_destroy(how.stop);
    aether_store_close(store);
}

TEST(retry_save, STO10_a_budget_bounds_retries_to_a_part_of_the_calls)
{
    aether_retry_budget *budget = aether_retry_budget_create(
        &(aether_retry_budget_options){.allocator = &unit_allocator, .least_per_s = 1, .now = now});
    clocks.now = AETHER_SECONDS(1000);
    int taken = 0;
    for (int i = 0; i < 1000; i++)
        aether_retry_budget_call(budget);
    while (aether_retry_budget_take(budget))
        taken++;
    expect_number(200 + 10, taken); /* 20 % of the calls, and one a second for ten seconds */
    clocks.now += AETHER_SECONDS(5);
    cr_assert(!aether_retry_budget_take(budget));
    clocks.now += AETHER_SECONDS(6);
    for (taken = 0; aether_retry_budget_take(budget); taken++)
        ;
    expect_number(10, taken);
    aether_store *store = OPEN(AETHER_CONFLICT, AETHER_OK);
    clocks.now = AETHER_SECONDS(1011);
    aether_retry_policy how = policy(AETHER_BACKOFF_FIXED);
    how.budget = budget;
    expect_refused(AETHER_EXHAUSTED, "the budget of retries is used up", run(store, &how, NULL));
    aether_store_close(store);
    aether_retry_budget_destroy(budget);
}

/* ----------------------------------------------------------------------------------------------------------- breaker */

static int changes;
static aether_breaker_state last_state;

static void changed(aether_breaker_state state, void *user)
{
    (void)user;
    changes++;
    last_state = state;
}

static aether_breaker *small_breaker(void)
{
    changes = 0;
    clocks.now = 1;
    return aether_breaker_create(&(aether_breaker_options){
        .allocator = &unit_allocator, .window = 10, .least_calls = 4, .probes = 2, .now = now, .on_change = changed});
}

static void call_once(aether_breaker *breaker, aether_status status)
{
    uint64_t ticket;
    expect_ok(aether_breaker_allow(breaker, &ticket));
    aether_breaker_report(breaker, ticket, status);
}

TEST(retry_save, STO10_R9_a_breaker_opens_on_faults_and_never_on_conflicts)
{
    aether_breaker *breaker = small_breaker();
    for (int i = 0; i < 100; i++)
        call_once(breaker, i % 2 == 0 ? AETHER_CONFLICT : AETHER_ACTOR_ENDED);
    call_once(breaker, AETHER_TIMEOUT); /* failures long ago do not add up */
    for (int i = 0; i < 100; i++)
        call_once(breaker, AETHER_OK);
    expect_number(AETHER_BREAKER_CLOSED, aether_breaker_get_state(breaker));
    for (int i = 0; i < 5; i++)
        call_once(breaker, AETHER_SYSTEM);
    expect_number(AETHER_BREAKER_OPEN, aether_breaker_get_state(breaker));
    uint64_t ticket;
    expect_refused(AETHER_OPEN_CIRCUIT, "too many calls failed", aether_breaker_allow(breaker, &ticket));
    cr_assert(changes == 1 && last_state == AETHER_BREAKER_OPEN);
    aether_breaker_destroy(breaker);
}

static void open_it(aether_breaker *breaker)
{
    for (int i = 0; i < 4; i++)
        call_once(breaker, AETHER_TIMEOUT);
    expect_number(AETHER_BREAKER_OPEN, aether_breaker_get_state(breaker));
    clocks.now += AETHER_SECONDS(60);
}

TEST(retry_save, STO10_R9_half_open_lets_a_few_through_and_they_decide)
{
    aether_breaker *breaker = small_breaker();
    uint64_t first, second, third;
    open_it(breaker);
    expect_ok(aether_breaker_allow(breaker, &first));
    expect_ok(aether_breaker_allow(breaker, &second));
    expect_status(AETHER_OPEN_CIRCUIT, aether_breaker_allow(breaker, &third));
    expect_number(AETHER_BREAKER_HALF_OPEN, aether_breaker_get_state(breaker));
    aether_breaker_report(breaker, first, AETHER_OK);
    aether_breaker_report(breaker, first, AETHER_TIMEOUT); /* told twice: counts once */
    expect_number(AETHER_BREAKER_HALF_OPEN, aether_breaker_get_state(breaker));
    aether_breaker_report(breaker, second, AETHER_CONFLICT);
    expect_number(AETHER_BREAKER_CLOSED, aether_breaker_get_state(breaker));
    open_it(breaker);
    expect_ok(aether_breaker_allow(breaker, &first));
    expect_ok(aether_breaker_allow(breaker, &second));
    aether_breaker_report(breaker, first, AETHER_TIMEOUT);
    aether_breaker_report(breaker, second, AETHER_OK);
    expect_number(AETHER_BREAKER_OPEN, aether_breaker_get_state(breaker));
    aether_breaker_destroy(breaker);
}

TEST(retry_save, STO10_R9_a_stuck_probe_times_out_and_late_reports_count_no_more)
{
    aether_breaker *breaker = small_breaker();
    uint64_t before, stuck, other;
    expect_ok(aether_breaker_allow(breaker, &before));
    open_it(breaker);
    expect_ok(aether_breaker_allow(breaker, &stuck));
    expect_ok(aether_breaker_allow(breaker, &other));
    aether_breaker_report(breaker, before, AETHER_OK);
    aether_breaker_report(breaker, other, AETHER_OK);
    clocks.now += AETHER_SECONDS(10);
    expect_number(AETHER_BREAKER_OPEN, aether_breaker_get_state(breaker));
    aether_breaker_report(breaker, stuck, AETHER_OK);
    expect_number(AETHER_BREAKER_OPEN, aether_breaker_get_state(breaker));
    aether_breaker_destroy(breaker);
    cr_assert(aether_breaker_create(&(aether_breaker_options){.window = 65537}) == NULL);
    expect_failure(AETHER_INVALID, "beyond its bounds");
}

TEST(retry_save, STO10_a_helper_asks_its_breaker)
{
    aether_store *store = OPEN(AETHER_TIMEOUT, AETHER_TIMEOUT, AETHER_TIMEOUT, AETHER_TIMEOUT, AETHER_OK);
    aether_retry_policy how = policy(AETHER_BACKOFF_FIXED);
    how.breaker = small_breaker();
    expect_refused(AETHER_OPEN_CIRCUIT, "too many calls failed", run(store, &how, NULL));
    expect_number(4, script.asked);
    aether_breaker_destroy(how.breaker);
    aether_store_close(store);
}

static aether_status count_down(void *user)
{
    return --*(int *)user > 0 ? AETHER_BUSY : AETHER_OK;
}

TEST(retry_save, STO10_any_function_can_be_called_again)
{
    memset(&clocks, 0, sizeof clocks);
    aether_retry_policy how = policy(AETHER_BACKOFF_FIXED);
    aether_retry_outcome outcome;
    int left = 4;
    expect_ok(aether_retry_call(&how, count_down, &left, &outcome));
    cr_assert(outcome.attempts == 4 && clocks.count == 3);
    left = 100;
    expect_status(AETHER_EXHAUSTED, aether_retry_call(&how, count_down, &left, &outcome));
    expect_number(10, outcome.attempts);
    expect_refused(AETHER_INVALID, "NULL", aether_retry_call(&how, NULL, NULL, NULL));
}

/* ---------------------------------------------------------------------------------------------------------- deferred */

static uint64_t told_ok, told_shut_down, told_other; /* atomic */

static void told(aether_status status, const aether_retry_outcome *outcome, void *user)
{
    (void)outcome;
    (void)user;
    (void)__atomic_fetch_add(status == AETHER_OK          ? &told_ok
                             : status == AETHER_SHUT_DOWN ? &told_shut_down
                                                          : &told_other,
                             1, __ATOMIC_RELAXED);
}

static aether_status add_one(aether_decision *decision, aether_store *store, const char *actor, int64_t version, void *user)
{
    (void)store;
    (void)actor;
    (void)version;
    (void)user;
    return aether_decision_add(decision, AETHER_EVENT(.type = "Later"));
}

TEST(retry_save, STO10_R8_deferred_saves_are_decided_in_their_turn_and_each_is_told_about)
{
    aether_store *store = aether_store_open("memory:", &(aether_store_options){.allocator = &unit_allocator});
    aether_deferred *deferred = aether_deferred_create(store, 0, NULL);
    cr_assert(deferred != NULL);
    told_ok = told_shut_down = told_other = 0;
    for (int i = 0; i < 200; i++)
        expect_ok(aether_deferred_save(deferred, "a", add_one, told, NULL));
    aether_deferred_close(deferred, true);
    cr_assert(told_ok == 200 && told_shut_down == 0 && told_other == 0);
    int64_t version;
    expect_ok(aether_latest(store, "a", &version));
    expect_number(200, version);
    aether_store_close(store);
}

static aether_status slow(aether_decision *decision, aether_store *store, const char *actor, int64_t version, void *user)
{
    while (__atomic_load_n((uint32_t *)user, __ATOMIC_ACQUIRE) == 0)
        ;
    return add_one(decision, store, actor, version, NULL);
}

TEST(retry_save, STO10_R8_a_full_queue_says_so_and_a_closed_one_tells_those_that_wait)
{
    aether_store *store = aether_store_open("memory:", &(aether_store_options){.allocator = &unit_allocator});
    aether_deferred *deferred = aether_deferred_create(store, 2, NULL);
    uint32_t go = 0;
    told_ok = told_shut_down = told_other = 0;
    int taken = 0;
    aether_status status;
    while ((status = aether_deferred_save(deferred, "a", slow, told, &go)) == AETHER_OK)
        taken++;
    expect_refused(AETHER_FULL, "2 saves wait", status);
    expect_within(2, 3, taken);
    expect_refused(AETHER_INVALID, "actor is missing", aether_deferred_save(deferred, "", slow, told, &go));
    __atomic_store_n(&go, 1, __ATOMIC_RELEASE);
    aether_deferred_close(deferred, false);
    cr_assert(told_other == 0 && told_ok + told_shut_down == (uint64_t)taken);
    aether_store_close(store);
}
