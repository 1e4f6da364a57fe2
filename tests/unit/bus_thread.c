/* Threads that a bus starts; and where none can be: what needs one says so, and all else works. */
#include "common/unit.h"

#include <signal.h>

#include "common/unit_bus.h"
#include "common/unit_kernel.h"
#include "common/unit_snapshot.h"

static bool can_forbid(void)
{
    aether_bus *bus = unit_bus(); /* liburcu has a thread of its own, which it cannot do without */
    aether_subscription_close(unit_subscribe(bus, "a", AETHER_BEGIN_NOW));
    aether_bus_destroy(bus);
    aether_memory_drain();
    return !unit_is_in_valgrind() && !unit_is_in_qemu() && unit_kernel_starts_no_threads();
}

TEST(bus_thread, D4_a_bus_starts_no_thread_that_nothing_needs)
{
    if (!can_forbid())
        return;
    aether_bus_options options = unit_bus_options();
    options.linger_ns = 0; /* one second */
    aether_bus *bus = unit_bus_with(options);
    struct unit_maker maker = {.words = "s=1"};
    unit_handle(bus, "s", &maker);
    unit_retain(bus, "a");
    aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_NOW), *watcher = unit_watch(bus, "s");
    expect_ok(unit_publish(bus, "a=1 s=2"));
    expect_events("a=1", AETHER_EMPTY, sub);
    expect_events("+s=1 end@0 s=2", AETHER_EMPTY, watcher);
    aether_subscription_close(sub);
    aether_subscription_close(watcher);
    aether_bus_destroy(bus);
}

TEST(bus_thread, BUS5_without_a_thread_for_it_a_pools_snapshot_is_refused_or_fails)
{
    if (!can_forbid())
        return;
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=1"};
    aether_snapshot_handler handler = unit_handler(&maker);
    handler.on_pool = true;
    expect_ok(aether_bus_handle_snapshots(bus, "s", &handler));
    aether_subscription *sub = aether_subscribe(bus, "s", &(aether_subscribe_options){.begin = AETHER_BEGIN_SNAPSHOT});
    if (sub == NULL)
        expect_status(AETHER_SYSTEM, aether_error_status());
    else
        expect_status(AETHER_FAILED, unit_try(sub));
    cr_assert(strstr(aether_error(), "thread") != NULL || strstr(aether_error(), "system") != NULL, "%s", aether_error());
    aether_subscription_close(sub);
    expect_number(0, unit_runs(&maker));
    expect_number(0, unit_bus_stats(bus).subscriptions);
    aether_bus_destroy(bus);
}

static void look_at_signals(struct unit_maker *maker, aether_snapshot *snapshot)
{
    (void)snapshot;
    cr_assert(pthread_sigmask(SIG_SETMASK, NULL, maker->user) == 0);
}

TEST(bus_thread, D4_threads_of_the_bus_leave_the_programs_signals_alone)
{
    aether_bus *bus = unit_bus();
    sigset_t mine, seen;
    sigemptyset(&mine);
    sigaddset(&mine, SIGUSR2);
    cr_assert(pthread_sigmask(SIG_SETMASK, &mine, NULL) == 0);
    struct unit_maker maker = {.words = "s=1", .begin = look_at_signals, .user = &seen};
    aether_snapshot_handler handler = unit_handler(&maker);
    handler.on_pool = true;
    handler.cache_ns = AETHER_SECONDS(60);
    expect_ok(aether_bus_handle_snapshots(bus, "s", &handler));
    aether_subscription *sub = unit_watch(bus, "s");
    expect_arrivals("+s=1 end@0", sub);
    cr_assert(sigismember(&seen, SIGUSR1) && sigismember(&seen, SIGTERM) && sigismember(&seen, SIGCHLD));
    cr_assert(pthread_sigmask(SIG_SETMASK, NULL, &seen) == 0);
    cr_assert(!sigismember(&seen, SIGUSR1) && sigismember(&seen, SIGUSR2));
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_thread, BUS6_without_a_thread_that_keeps_house_there_are_no_caches_and_no_deadlines)
{
    if (!can_forbid())
        return;
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=1"};
    aether_snapshot_handler handler = unit_handler(&maker);
    handler.cache_ns = AETHER_SECONDS(1);
    expect_status(AETHER_SYSTEM, aether_bus_handle_snapshots(bus, "s", &handler));
    handler = unit_handler(&maker);
    handler.deadline_ns = AETHER_SECONDS(1);
    expect_status(AETHER_SYSTEM, aether_bus_handle_snapshots(bus, "s", &handler));
    expect_status(AETHER_NO_HANDLER, aether_bus_unhandle_snapshots(bus, "s", false));
    aether_bus_destroy(bus);
}
