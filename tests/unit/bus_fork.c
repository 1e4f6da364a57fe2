/* After fork(): inherited handles of a bus answer, and do nothing; what the child makes itself works; the parent goes on. */
#include "common/unit.h"

#include "common/unit_bus.h"
#include "common/unit_child.h"
#include "common/unit_snapshot.h"

struct family {
    aether_bus *bus, *space, *domain;
    aether_topic *topic;
    aether_subscription *sub, *watcher;
    struct unit_maker maker;
};

static void make_family(struct family *family)
{
    *family = (struct family){.bus = unit_bus(), .maker = {.words = "s=1"}};
    family->space = aether_bus_namespace(family->bus, "space");
    family->domain = aether_bus_domain(family->bus, "domain", NULL);
    family->topic = aether_topic_open(family->bus, "a");
    cr_assert(family->space != NULL && family->domain != NULL && family->topic != NULL);
    aether_snapshot_handler handler = unit_handler(&family->maker);
    handler.on_pool = true; /* there is a thread that the child has not */
    expect_ok(aether_bus_handle_snapshots(family->bus, "s", &handler));
    family->watcher = unit_watch(family->bus, "s");
    expect_arrivals("+s=1 end@0", family->watcher);
    family->sub = unit_subscribe(family->bus, "a", AETHER_BEGIN_NOW);
    expect_ok(unit_publish(family->bus, "a=1"));
}

static void end_family(struct family *family)
{
    aether_subscription_close(family->sub);
    aether_subscription_close(family->watcher);
    aether_topic_close(family->topic);
    aether_bus_destroy(family->space);
    aether_bus_destroy(family->domain);
    aether_bus_destroy(family->bus);
}

static bool is_forked(aether_status status)
{
    return status == AETHER_FORKED && aether_error_status() == AETHER_FORKED &&
           strstr(aether_error(), "before fork()") != NULL;
}

static bool take_pattern(const aether_pattern_stats *stats, void *user)
{
    (void)stats, (void)user;
    return true;
}

static bool take_text(const char *text, size_t size, void *user)
{
    (void)text, (void)size, (void)user;
    return true;
}

static const char *use_bus(aether_bus *bus)
{
    aether_event event = {.subject = "a"};
    aether_bus_stats stats;
    aether_snapshot_handler handler = {.make = unit_make};
    claim(is_forked(aether_publish(bus, "a", &event)));
    claim(is_forked(aether_publish_batch(bus, &event, 1)));
    claim(is_forked(aether_publish_batch(bus, NULL, 0)));
    claim(aether_topic_open(bus, "a") == NULL && is_forked(aether_error_status()));
    claim(aether_subscribe(bus, "a", NULL) == NULL && is_forked(aether_error_status()));
    claim(aether_bus_namespace(bus, "x") == NULL && is_forked(aether_error_status()));
    claim(aether_bus_domain(bus, "x", NULL) == NULL && is_forked(aether_error_status()));
    claim(is_forked(aether_bus_reset(bus, NULL)));
    claim(is_forked(aether_bus_refresh(bus, "a")));
    claim(is_forked(aether_bus_retain(bus, "a", &(aether_retention){.events = 1})));
    claim(is_forked(aether_bus_release(bus, "a")));
    claim(is_forked(aether_bus_handle_snapshots(bus, "x", &handler)));
    claim(is_forked(aether_bus_unhandle_snapshots(bus, "s", true)));
    claim(is_forked(aether_bus_close_label(bus, "x", AETHER_RESET)));
    claim(is_forked(aether_bus_get_stats(bus, &stats)));
    claim(is_forked(aether_bus_each_pattern(bus, take_pattern, NULL)));
    claim(is_forked(aether_bus_write_prometheus(bus, 1, take_text, NULL)));
    claim(is_forked(aether_bus_shutdown(bus)));
    aether_position newest = aether_bus_newest(bus);
    claim(newest.epoch == 0 && newest.index == 0);
    return NULL;
}

static const char *use_inherited(void *user)
{
    struct family *family = user;
    aether_bus *handles[] = {family->bus, family->space, family->domain};
    for (size_t i = 0; i < 3; i++) {
        const char *wrong = use_bus(handles[i]);
        if (wrong != NULL)
            return wrong;
    }
    aether_event events[2] = {{.type = "T"}};
    size_t count = 7;
    aether_subscription_stats stats;
    claim(is_forked(aether_topic_publish(family->topic, events)));
    claim(is_forked(aether_topic_publish_batch(family->topic, events, 1)));
    claim(is_forked(aether_next(family->sub, events, AETHER_FOREVER)));
    claim(is_forked(aether_next_run(family->sub, events, 2, &count, AETHER_FOREVER)) && count == 0);
    claim(is_forked(aether_subscription_resume(family->sub)));
    claim(is_forked(aether_unsubscribe(family->sub)));
    claim(is_forked(aether_subscription_get_stats(family->sub, &stats)));
    claim(aether_subscription_fd(family->sub) == -1 && is_forked(aether_error_status()));
    aether_position position = aether_subscription_position(family->sub);
    claim(position.epoch == 0 && position.index == 0);
    aether_subscription_cancel(family->sub);
    aether_poller *own = aether_poller_create(&unit_allocator);
    claim(own != NULL && is_forked(aether_poller_add_subscription(own, family->sub, NULL)));
    aether_poller_destroy(own);
    return NULL;
}

/* Several times over: they are no-ops, so nothing is freed. */
static const char *give_up_inherited(void *user)
{
    struct family *family = user;
    for (int i = 0; i < 3; i++) {
        aether_subscription_close(family->sub);
        aether_subscription_close(family->watcher);
        aether_topic_close(family->topic);
        aether_bus_destroy(family->space);
        aether_bus_destroy(family->domain);
        aether_bus_destroy(family->bus);
    }
    return NULL;
}

static const char *make_own(void *user)
{
    (void)user;
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=1"};
    aether_snapshot_handler handler = unit_handler(&maker);
    handler.on_pool = !unit_is_in_qemu();
    claim(aether_bus_handle_snapshots(bus, "s", &handler) == AETHER_OK);
    aether_subscription *sub = unit_watch(bus, "s");
    const char *wrong = unit_arrivals(sub, "+s=1 end@0");
    if (wrong != NULL)
        return wrong;
    claim(unit_publish(bus, "s=2") == AETHER_OK);
    wrong = unit_arrivals(sub, "s=2");
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
    return wrong;
}

static void expect_child(const char *(*body)(void *user))
{
    struct family family;
    make_family(&family);
    expect_fine(unit_child(body, &family));
    expect_ok(unit_publish(family.bus, "a=2")); /* the parent has not noticed */
    expect_events("a=1 a=2", AETHER_EMPTY, family.sub);
    aether_subscription *next = unit_watch(family.bus, "s");
    expect_arrivals("+s=1 end@0", next);
    aether_subscription_close(next);
    end_family(&family);
}

TEST(bus_fork, BUS9_inherited_handles_say_that_they_are)
{
    expect_child(use_inherited);
}

TEST(bus_fork, BUS9_giving_inherited_handles_up_does_nothing)
{
    expect_child(give_up_inherited);
}

TEST(bus_fork, BUS9_a_child_makes_a_bus_of_its_own)
{
    expect_child(make_own);
}
