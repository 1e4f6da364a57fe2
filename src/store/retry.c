/*
 * Attempts and pauses. Sources: "Exponential Backoff and Jitter" (AWS Architecture Blog, 2015) for the kinds of jitter;
 * "Timeouts, retries, and backoff with jitter" (AWS Builders' Library) for one deadline, a cap, and a budget.
 */
#include "store/retry.h"

#include <stdio.h>
#include <time.h>

#include "base/allocator.h"
#include "base/callback.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/random.h"
#include "store/store.h"

enum { ATTEMPTS = 10 };

static const int64_t BASE = 1000000, CAP = 50000000, FAULT_BASE = 50000000, FAULT_CAP = INT64_C(5000000000),
                     TIMEOUT = INT64_C(30000000000);

struct aether_decision {
    const aether_allocator *allocator;
    const char *actor;
    aether_event *events;
    size_t count, room;
};

/* A helper under way. */
struct attempts {
    aether_retry_policy policy;
    aether_retry_outcome *outcome;
    int64_t deadline;
    int64_t pause_before; /* the last one after a fault, or a conflict */
    uint32_t failed;      /* in a row */
    uint64_t ticket;
};

enum ae_retry_class ae_retry_class(aether_status status)
{
    switch (status) {
    case AETHER_OK:
        return AE_RETRY_DONE;
    case AETHER_CONFLICT:
        return AE_RETRY_CONFLICT;
    case AETHER_UNKNOWN_OUTCOME:
        return AE_RETRY_UNKNOWN;
    case AETHER_TIMEOUT:
    case AETHER_SYSTEM:
    case AETHER_BUSY:
        return AE_RETRY_TRANSIENT;
    case AETHER_NO_SPACE:
    case AETHER_NO_MEMORY:
    case AETHER_FULL:
        return AE_RETRY_RESOURCE;
    default:
        return AE_RETRY_PERMANENT;
    }
}

int64_t ae_retry_now(int64_t (*now)(void *user), void *user)
{
    return now != NULL ? now(user) : ae_clock.now();
}

/* ------------------------------------------------------------------------------------------------------------- pauses */

static uint64_t draw(const struct attempts *attempts)
{
    const aether_retry_policy *policy = &attempts->policy;
    return policy->random != NULL ? policy->random(policy->hooks_user) : ae_random_nonzero();
}

/* A number from `least` to `most`. */
static int64_t between(const struct attempts *attempts, int64_t least, int64_t most)
{
    return most <= least ? least : least + (int64_t)(draw(attempts) % (uint64_t)(most - least + 1));
}

static int64_t lesser(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* base * factor, at most cap: never overflows. */
static int64_t scaled(int64_t base, uint64_t factor, int64_t cap)
{
    return factor >= (uint64_t)(cap / base) + 1 ? cap : lesser(cap, base * (int64_t)factor);
}

static int64_t decorrelated(struct attempts *attempts, int64_t base, int64_t cap)
{
    int64_t before = attempts->pause_before < base ? base : attempts->pause_before;
    return lesser(cap, between(attempts, base, scaled(before, 3, cap)));
}

static int64_t pause_after_conflict(struct attempts *attempts)
{
    const aether_retry_policy *policy = &attempts->policy;
    const aether_saved *saved = &attempts->outcome->saved;
    int64_t gap = saved->conflict.current - saved->conflict.from + 1;
    switch (policy->backoff) {
    case AETHER_BACKOFF_FIXED:
        return policy->base_ns;
    case AETHER_BACKOFF_DECORRELATED:
        return decorrelated(attempts, policy->base_ns, policy->cap_ns);
    case AETHER_BACKOFF_ADAPTIVE:
        return between(attempts, 0, scaled(policy->base_ns, gap > 1 ? (uint64_t)gap : 1, policy->cap_ns));
    default: {
        uint64_t factor = attempts->failed < 62 ? UINT64_C(1) << attempts->failed : UINT64_C(1) << 62;
        return between(attempts, 0, scaled(policy->base_ns, factor, policy->cap_ns));
    }
    }
}

static int64_t pause_after(struct attempts *attempts, aether_status status)
{
    const aether_retry_policy *policy = &attempts->policy;
    switch (ae_retry_class(status)) {
    case AE_RETRY_CONFLICT:
        return pause_after_conflict(attempts);
    case AE_RETRY_RESOURCE:
        return policy->fault_cap_ns;
    default:
        return decorrelated(attempts, policy->fault_base_ns, policy->fault_cap_ns);
    }
}

static void sleep_for(const struct attempts *attempts, int64_t ns)
{
    const aether_retry_policy *policy = &attempts->policy;
    int64_t *paused = &attempts->outcome->paused_ns;
    *paused = ns > INT64_MAX - *paused ? INT64_MAX : *paused + ns;
    if (policy->pause != NULL)
        policy->pause(ns, policy->hooks_user);
    else
        ae_stop_wait(policy->stop, ns);
}

/* ----------------------------------------------------------------------------------------------------------- attempts */

static int64_t given(int64_t value, int64_t otherwise)
{
    return value > 0 ? value : otherwise;
}

static aether_status begin(struct attempts *attempts, const aether_retry_policy *policy, size_t size,
                           aether_retry_outcome *outcome, const char *call)
{
    *attempts = (struct attempts){.outcome = outcome};
    if (policy != NULL)
        memcpy(&attempts->policy, policy, size < sizeof attempts->policy ? size : sizeof attempts->policy);
    aether_retry_policy *own = &attempts->policy;
    if (own->backoff < AETHER_BACKOFF_FULL_JITTER || own->backoff > AETHER_BACKOFF_ADAPTIVE)
        return ae_fail(AETHER_INVALID, "%s: there is no backoff %d", call, own->backoff);
    if (own->base_ns < 0 || own->cap_ns < 0 || own->fault_base_ns < 0 || own->fault_cap_ns < 0 || own->timeout_ns < 0)
        return ae_fail(AETHER_INVALID, "%s: a duration of the policy is below 0", call);
    own->attempts = own->attempts != 0 ? own->attempts : ATTEMPTS;
    own->base_ns = given(own->base_ns, BASE);
    own->cap_ns = given(own->cap_ns, CAP < own->base_ns ? own->base_ns : CAP);
    own->fault_base_ns = given(own->fault_base_ns, FAULT_BASE);
    own->fault_cap_ns = given(own->fault_cap_ns, FAULT_CAP < own->fault_base_ns ? own->fault_base_ns : FAULT_CAP);
    int64_t timeout = given(own->timeout_ns, TIMEOUT), now = ae_retry_now(own->now, own->hooks_user);
    attempts->deadline = timeout > AETHER_FOREVER - now ? AETHER_FOREVER : now + timeout;
    if (own->budget != NULL)
        aether_retry_budget_call(own->budget);
    return ae_callback_refuse(call);
}

static int64_t time_left(const struct attempts *attempts)
{
    if (attempts->deadline == AETHER_FOREVER)
        return AETHER_FOREVER;
    return attempts->deadline - ae_retry_now(attempts->policy.now, attempts->policy.hooks_user);
}

/* Before each attempt. */
static aether_status allow(struct attempts *attempts, const char *call)
{
    if (ae_stop_is_requested(attempts->policy.stop))
        return ae_fail(AETHER_CANCELLED, "%s: it was stopped after %u attempts", call, attempts->outcome->attempts);
    if (attempts->policy.breaker != NULL) {
        aether_status status = aether_breaker_allow(attempts->policy.breaker, &attempts->ticket);
        if (status != AETHER_OK)
            return status;
    }
    attempts->outcome->attempts++;
    return AETHER_OK;
}

static void report(struct attempts *attempts, aether_status status)
{
    attempts->outcome->status = status;
    attempts->outcome->conflicts += status == AETHER_CONFLICT;
    if (attempts->policy.breaker != NULL)
        aether_breaker_report(attempts->policy.breaker, attempts->ticket, status);
}

static aether_status exhausted(const struct attempts *attempts, aether_status status, const char *why, const char *call)
{
    char last[160];
    snprintf(last, sizeof last, "%s", aether_error_status() == status ? aether_error() : aether_status_text(status));
    return ae_fail(AETHER_EXHAUSTED, "%s: %s after %u attempts, the last one: %s", call, why, attempts->outcome->attempts,
                   last);
}

/* After an attempt that did not go well: AETHER_OK: try again, the pause is over. Else what to answer. */
static aether_status pause_or_end(struct attempts *attempts, aether_status status, const char *call)
{
    enum ae_retry_class class = ae_retry_class(status);
    if (class == AE_RETRY_PERMANENT)
        return status;
    if (attempts->outcome->attempts >= attempts->policy.attempts)
        return exhausted(attempts, status, "no attempt is left", call);
    if (attempts->policy.budget != NULL && !aether_retry_budget_take(attempts->policy.budget))
        return exhausted(attempts, status, "the budget of retries is used up", call);
    int64_t pause = pause_after(attempts, status);
    if (pause >= time_left(attempts))
        return exhausted(attempts, status, "no time is left", call);
    attempts->pause_before = pause;
    attempts->failed++;
    sleep_for(attempts, pause);
    if (ae_stop_is_requested(attempts->policy.stop))
        return ae_fail(AETHER_CANCELLED, "%s: it was stopped after %u attempts", call, attempts->outcome->attempts);
    return AETHER_OK;
}

/* ------------------------------------------------------------------------------------------------------------ decision */

aether_status aether_decision_add_sized(aether_decision *decision, const aether_event *event, size_t size)
{
    static const char call[] = "aether_decision_add";
    if (decision == NULL || event == NULL)
        return ae_fail(AETHER_INVALID, "%s: %s is NULL", call, decision == NULL ? "the decision" : "the event");
    if (decision->count == AETHER_SAVE_MAX)
        return ae_fail(AETHER_TOO_LARGE, "%s: a save has at most %zu events", call, AETHER_SAVE_MAX);
    if (decision->count == decision->room) {
        size_t room = decision->room != 0 ? decision->room * 2 : 4;
        aether_event *events = ae_alloc(decision->allocator, room * sizeof *events, _Alignof(aether_event));
        if (events == NULL)
            return ae_fail(AETHER_NO_MEMORY, "%s: no memory for %zu events", call, room);
        if (decision->count != 0)
            memcpy(events, decision->events, decision->count * sizeof *events);
        if (decision->events != NULL)
            ae_free(decision->allocator, decision->events, decision->room * sizeof *events, _Alignof(aether_event));
        decision->events = events;
        decision->room = room;
    }
    aether_event *copy = &decision->events[decision->count++];
    memset(copy, 0, sizeof *copy);
    memcpy(copy, event, size < sizeof *copy ? size : sizeof *copy);
    copy->actor = decision->actor;
    copy->actor_size = 0;
    copy->version = 0;
    return AETHER_OK;
}

static void free_decision(struct aether_decision *decision)
{
    if (decision->events != NULL)
        ae_free(decision->allocator, decision->events, decision->room * sizeof *decision->events, _Alignof(aether_event));
}

/* One id for each place in the save, over all attempts (R2): they count up from the first one. */
static void give_ids(struct aether_decision *decision, const uint8_t first[16])
{
    static const uint8_t none[16];
    for (size_t i = 0; i < decision->count; i++) {
        uint8_t *id = decision->events[i].id;
        if (memcmp(id, none, sizeof none) != 0)
            continue;
        uint64_t low;
        memcpy(&low, first + 8, sizeof low);
        low = __builtin_bswap64(__builtin_bswap64(low) + i);
        memcpy(id, first, 8);
        memcpy(id + 8, &low, sizeof low);
    }
}

static aether_status save(struct attempts *attempts, aether_store *store, const struct aether_decision *decision,
                          int64_t version, bool again)
{
    aether_saved before = attempts->outcome->saved;
    int64_t left = time_left(attempts);
    aether_save_options options = {.expected = version != 0 ? version : AETHER_EXPECT_NONE,
                                   .retry = again ? &before : NULL,
                                   .timeout_ns = left > 0 ? left : -1};
    return aether_save_batch(store, decision->events, decision->count, &options, &attempts->outcome->saved);
}

/* Loads, decides, saves: once. *again: the outcome before was unknown, the same save is sent. */
static aether_status attempt(struct attempts *attempts, aether_store *store, struct aether_decision *decision,
                             const uint8_t id[16], aether_decide_fn decide, void *user, int64_t *version, bool again)
{
    if (again)
        return save(attempts, store, decision, *version, true);
    decision->count = 0;
    aether_status status = aether_latest(store, decision->actor, version);
    if (status == AETHER_OK)
        status = decide(decision, store, decision->actor, *version, user);
    if (status != AETHER_OK || decision->count == 0)
        return status;
    give_ids(decision, id);
    return save(attempts, store, decision, *version, false);
}

aether_status aether_retry_save_sized(aether_store *store, const char *actor, const aether_retry_policy *policy,
                                      size_t policy_size, aether_decide_fn decide, void *user,
                                      aether_retry_outcome *given_outcome, size_t outcome_size)
{
    static const char call[] = "aether_retry_save";
    aether_retry_outcome outcome = {0};
    struct attempts attempts;
    aether_status status = ae_store_refuse_writing(store, call);
    if (status == AETHER_OK && decide == NULL)
        status = ae_fail(AETHER_INVALID, "%s: decide is NULL", call);
    if (status == AETHER_OK)
        status = begin(&attempts, policy, policy_size, &outcome, call);
    if (status == AETHER_OK) {
        struct aether_decision decision = {.allocator = &store->allocator, .actor = actor};
        uint8_t id[16];
        int64_t version = 0;
        bool again = false, done = false;
        aether_id_draw(id);
        while (!done && decide != NULL && (status = allow(&attempts, call)) == AETHER_OK) {
            status = attempt(&attempts, store, &decision, id, decide, user, &version, again);
            report(&attempts, status);
            /* A fault after an unknown outcome leaves it unknown. */
            again = status == AETHER_UNKNOWN_OUTCOME ||
                    (again && ae_retry_class(status) > AE_RETRY_UNKNOWN && ae_retry_class(status) < AE_RETRY_PERMANENT);
            done = status == AETHER_OK;
            if (!done) {
                status = pause_or_end(&attempts, status, call);
                done = status != AETHER_OK;
            }
        }
        free_decision(&decision);
    }
    if (given_outcome != NULL)
        memcpy(given_outcome, &outcome, outcome_size < sizeof outcome ? outcome_size : sizeof outcome);
    return status;
}

aether_status aether_retry_call_sized(const aether_retry_policy *policy, size_t policy_size,
                                      aether_status (*function)(void *user), void *user, aether_retry_outcome *given_outcome,
                                      size_t outcome_size)
{
    static const char call[] = "aether_retry_call";
    aether_retry_outcome outcome = {0};
    struct attempts attempts;
    aether_status status = AETHER_INVALID;
    if (function != NULL)
        status = begin(&attempts, policy, policy_size, &outcome, call);
    else
        (void)ae_fail(status, "%s: the function is NULL", call);
    bool done = status != AETHER_OK;
    while (!done && function != NULL && (status = allow(&attempts, call)) == AETHER_OK) {
        status = function(user);
        report(&attempts, status);
        done = status == AETHER_OK;
        if (!done) {
            status = pause_or_end(&attempts, status, call);
            done = status != AETHER_OK;
        }
    }
    if (given_outcome != NULL)
        memcpy(given_outcome, &outcome, outcome_size < sizeof outcome ? outcome_size : sizeof outcome);
    return status;
}
