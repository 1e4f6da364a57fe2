/* The dispatcher: callbacks on its threads, one at a time for a subscription, with a last call. */
#include "common/unit.h"

#include <stdlib.h>

#include "common/unit_bus.h"
#include "common/unit_snapshot.h"

/* What came to a subscription's function. */
struct seen {
    uint64_t events; /* atomic, all of them */
    uint64_t lags;
    uint64_t last;  /* a final status came; nothing does after it */
    uint64_t wrong; /* an order that is none, two calls at a time, or one after the last */
    uint64_t inside;
    uint64_t index;
    uint64_t enough; /* const; how many events */
    aether_bus *bus;
    aether_subscription *subscription;
    aether_status inner;
};

static uint64_t get(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void add(uint64_t *word, uint64_t value)
{
    (void)__atomic_fetch_add(word, value, __ATOMIC_ACQ_REL);
}

static bool look(const aether_event *event, aether_status status, void *user)
{
    struct seen *seen = user;
    if (__atomic_exchange_n(&seen->inside, 1, __ATOMIC_ACQ_REL) != 0 || get(&seen->last) != 0)
        add(&seen->wrong, 1);
    if (status == AETHER_OK && event->index <= seen->index)
        add(&seen->wrong, 1);
    if (status == AETHER_OK)
        seen->index = event->index;
    bool goes_on = status != AETHER_OK || seen->events + 1 < seen->enough;
    __atomic_store_n(&seen->inside, 0, __ATOMIC_RELEASE);
    if (status == AETHER_OK)
        add(&seen->events, 1);
    else if (status == AETHER_LAGGED)
        add(&seen->lags, 1);
    else
        add(&seen->last, (uint64_t)status);
    return goes_on;
}

static struct seen all_of_it(void)
{
    return (struct seen){.enough = UINT64_MAX};
}

static void dispatch(aether_dispatcher *dispatcher, aether_bus *bus, const char *pattern, struct seen *seen)
{
    aether_subscription *sub =
        aether_subscribe(bus, pattern, &(aether_subscribe_options){.limit_bytes = AETHER_UNLIMITED, .label = "x"});
    cr_assert(sub != NULL, "%s", aether_error());
    seen->subscription = sub;
    expect_ok(aether_dispatcher_add(dispatcher, sub, look, seen));
}

TEST(bus_dispatcher, BUS9_events_come_in_their_order_and_the_last_call_is_the_last)
{
    enum { SUBS = 20, EVENTS = 500 };
    static struct seen seen[SUBS];
    aether_bus *bus = unit_bus();
    aether_dispatcher *dispatcher = aether_dispatcher_create(2, &unit_allocator);
    for (int i = 0; i < SUBS; i++) {
        seen[i] = all_of_it();
        dispatch(dispatcher, bus, i % 2 == 0 ? "a" : ">", &seen[i]);
    }
    for (int i = 0; i < EVENTS; i++)
        expect_ok(unit_publish(bus, "a=1"));
    for (int i = 0; i < SUBS; i++)
        cr_assert(unit_until(get(&seen[i].events) == EVENTS));
    expect_ok(aether_bus_close_label(bus, "x", AETHER_ACCESS_CHANGED));
    for (int i = 0; i < SUBS; i++) {
        cr_assert(unit_until(get(&seen[i].last) == AETHER_ACCESS_CHANGED));
        expect_number(0, seen[i].wrong);
    }
    cr_assert(unit_until(unit_bus_stats(bus).subscriptions == 0));
    aether_dispatcher_destroy(dispatcher);
    aether_bus_destroy(bus);
}

TEST(bus_dispatcher, BUS9_who_has_had_enough_gets_one_more_call)
{
    struct seen seen = {.enough = 3};
    aether_bus *bus = unit_bus();
    aether_dispatcher *dispatcher = aether_dispatcher_create(1, &unit_allocator);
    dispatch(dispatcher, bus, "a", &seen);
    for (int i = 0; i < 10; i++)
        expect_ok(unit_publish(bus, "a=1"));
    cr_assert(unit_until(get(&seen.last) == AETHER_UNSUBSCRIBED));
    expect_number(3, get(&seen.events));
    expect_number(0, seen.wrong);
    aether_dispatcher_destroy(dispatcher);
    aether_bus_destroy(bus);
}

TEST(bus_dispatcher, BUS9_unsubscribing_from_another_thread_leads_to_the_last_call)
{
    struct seen seen = all_of_it();
    aether_bus *bus = unit_bus();
    aether_dispatcher *dispatcher = aether_dispatcher_create(1, &unit_allocator);
    dispatch(dispatcher, bus, "a", &seen);
    expect_ok(aether_unsubscribe(seen.subscription));
    cr_assert(unit_until(get(&seen.last) == AETHER_UNSUBSCRIBED));
    aether_dispatcher_destroy(dispatcher);
    aether_bus_destroy(bus);
}

TEST(bus_dispatcher, BUS9_destroying_it_closes_what_is_in_it_without_a_call)
{
    struct seen seen = all_of_it();
    aether_bus *bus = unit_bus();
    aether_dispatcher *dispatcher = aether_dispatcher_create(3, &unit_allocator);
    dispatch(dispatcher, bus, "a", &seen);
    aether_dispatcher_destroy(dispatcher);
    expect_number(0, seen.last);
    expect_number(0, unit_bus_stats(bus).subscriptions);
    aether_bus_destroy(bus);
}

static bool publish_inside(const aether_event *event, aether_status status, void *user)
{
    struct seen *seen = user;
    aether_event other;
    if (status != AETHER_OK)
        return true;
    if (event->subject_size == 1) {
        seen->inner = aether_publish(seen->bus, "a.b", AETHER_EVENT(.type = "T"));
        aether_subscription *sub = aether_subscribe(seen->bus, "c", NULL);
        if (sub == NULL || aether_next(sub, &other, AETHER_FOREVER) != AETHER_WOULD_BLOCK)
            add(&seen->wrong, 1);
        aether_subscription_close(sub);
    }
    add(&seen->events, 1);
    return true;
}

TEST(bus_dispatcher, BUS9_in_a_callback_publishing_works_and_waiting_does_not)
{
    aether_bus *bus = unit_bus();
    struct seen seen = {.bus = bus, .inner = AETHER_FAILED};
    aether_dispatcher *dispatcher = aether_dispatcher_create(1, &unit_allocator);
    aether_subscription *sub = unit_subscribe(bus, ">", AETHER_BEGIN_NOW);
    expect_ok(aether_dispatcher_add(dispatcher, sub, publish_inside, &seen));
    expect_ok(unit_publish(bus, "a=1"));
    cr_assert(unit_until(get(&seen.events) == 2));
    expect_ok(seen.inner);
    expect_number(0, seen.wrong);
    aether_dispatcher_destroy(dispatcher);
    aether_bus_destroy(bus);
}

TEST(bus_dispatcher, BUS9_bad_input_is_refused_and_the_subscription_stays_the_caller_s)
{
    aether_bus *bus = unit_bus();
    struct seen seen = all_of_it();
    aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_NOW);
    cr_assert(aether_dispatcher_create(0, NULL) == NULL);
    expect_failure(AETHER_INVALID, "0 threads");
    cr_assert(aether_dispatcher_create(65, NULL) == NULL);
    unit_memory_fail(0, UINT64_MAX);
    cr_assert(aether_dispatcher_create(1, &unit_allocator) == NULL);
    unit_memory_fail(0, 0);
    expect_failure(AETHER_NO_MEMORY, "aether_dispatcher_create");
    aether_dispatcher *dispatcher = aether_dispatcher_create(1, &unit_allocator);
    expect_status(AETHER_INVALID, aether_dispatcher_add(NULL, sub, look, &seen));
    expect_status(AETHER_INVALID, aether_dispatcher_add(dispatcher, NULL, look, &seen));
    expect_status(AETHER_INVALID, aether_dispatcher_add(dispatcher, sub, NULL, &seen));
    cr_assert(aether_subscription_fd(sub) >= 0);
    expect_status(AETHER_BUSY, aether_dispatcher_add(dispatcher, sub, look, &seen));
    aether_subscription_close(sub);
    aether_dispatcher_destroy(dispatcher);
    aether_dispatcher_destroy(NULL);
    aether_bus_destroy(bus);
}
