/*
 * The budget of retries, after Finagle's RetryBudget (2016): in a window of ten seconds retries are at most a part of the
 * calls, and a few a second that are always allowed. The window is ten slots of a second.
 */
#include <pthread.h>

#include "base/allocator.h"
#include "base/fail.h"
#include "store/retry.h"

enum { SLOTS = 10, PERCENT = 20, LEAST_PER_S = 10 };

static const int64_t SLOT = 1000000000;

struct aether_retry_budget {
    aether_allocator allocator;
    aether_retry_budget_options options;
    pthread_mutex_t lock;
    int64_t second; /* of the newest slot */
    uint64_t calls[SLOTS], retries[SLOTS];
};

aether_retry_budget *aether_retry_budget_create_sized(const aether_retry_budget_options *given, size_t size)
{
    aether_retry_budget_options options = {0};
    if (given != NULL)
        memcpy(&options, given, size < sizeof options ? size : sizeof options);
    aether_allocator allocator = options.allocator != NULL ? *options.allocator : ae_default_allocator;
    aether_retry_budget *budget = ae_alloc(&allocator, sizeof *budget, _Alignof(aether_retry_budget));
    if (budget == NULL) {
        (void)ae_fail(AETHER_NO_MEMORY, "aether_retry_budget_create: no memory");
        return NULL;
    }
    *budget = (aether_retry_budget){.allocator = allocator, .options = options};
    budget->options.percent = options.percent != 0 ? options.percent : PERCENT;
    budget->options.least_per_s = options.least_per_s != 0 ? options.least_per_s : LEAST_PER_S;
    pthread_mutex_init(&budget->lock, NULL);
    return budget;
}

void aether_retry_budget_destroy(aether_retry_budget *budget)
{
    if (budget == NULL)
        return;
    aether_allocator allocator = budget->allocator;
    pthread_mutex_destroy(&budget->lock);
    ae_free(&allocator, budget, sizeof *budget, _Alignof(aether_retry_budget));
}

/* Empties the slots that time has passed; returns the one of now. Under the lock. */
static size_t slot_of_now(aether_retry_budget *budget)
{
    int64_t second = ae_retry_now(budget->options.now, budget->options.user) / SLOT;
    int64_t passed = second - budget->second;
    for (int64_t i = 0; i < passed && i < SLOTS; i++) {
        size_t slot = (size_t)((second - i) % SLOTS);
        budget->calls[slot] = budget->retries[slot] = 0;
    }
    if (passed > 0)
        budget->second = second;
    return (size_t)(budget->second % SLOTS);
}

void aether_retry_budget_call(aether_retry_budget *budget)
{
    if (budget == NULL)
        return;
    pthread_mutex_lock(&budget->lock);
    budget->calls[slot_of_now(budget)]++;
    pthread_mutex_unlock(&budget->lock);
}

bool aether_retry_budget_take(aether_retry_budget *budget)
{
    if (budget == NULL)
        return true;
    pthread_mutex_lock(&budget->lock);
    size_t now = slot_of_now(budget);
    uint64_t calls = 0, retries = 0;
    for (size_t slot = 0; slot < SLOTS; slot++) {
        calls += budget->calls[slot];
        retries += budget->retries[slot];
    }
    bool is_there = retries < calls * budget->options.percent / 100 + (uint64_t)budget->options.least_per_s * SLOTS;
    if (is_there)
        budget->retries[now]++;
    pthread_mutex_unlock(&budget->lock);
    return is_there;
}
