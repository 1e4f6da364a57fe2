/* Namespaces: relative, closed in themselves; and domains, which are orders of their own. */
#include "common/unit.h"

#include <stdio.h>

#include "common/unit_bus.h"
#include "common/unit_snapshot.h"

static aether_bus *space_of(aether_bus *bus, const char *name)
{
    aether_bus *space = aether_bus_namespace(bus, name);
    cr_assert(space != NULL, "%s", aether_error());
    return space;
}

static aether_bus *domain_of(aether_bus *bus, const char *name)
{
    aether_bus_options options = unit_bus_options();
    options.epoch = UNIT_EPOCH + 10;
    aether_bus *domain = aether_bus_domain(bus, name, &options);
    cr_assert(domain != NULL, "%s", aether_error());
    return domain;
}

static void expect_no_space(aether_status wanted, aether_bus *bus, const char *name)
{
    cr_assert(aether_bus_namespace(bus, name) == NULL);
    expect_status(wanted, aether_error_status());
}

static void expect_no_domain(aether_status wanted, aether_bus *bus, const char *name)
{
    cr_assert(aether_bus_domain(bus, name, NULL) == NULL);
    expect_status(wanted, aether_error_status());
}

TEST(bus_space, BUS12_names_are_relative_within_and_whole_outside)
{
    aether_bus *bus = unit_bus(), *space = space_of(bus, "tenant");
    aether_topic *topic = aether_topic_open(space, "a");
    aether_subscription *inside = unit_subscribe(space, ">", AETHER_BEGIN_NOW),
                        *star = unit_subscribe(space, "*", AETHER_BEGIN_NOW);
    aether_subscription *outside = unit_subscribe(bus, ">", AETHER_BEGIN_NOW),
                        *exact = unit_subscribe(bus, "tenant.a", AETHER_BEGIN_NOW);
    expect_ok(unit_publish(space, "a=1 a.b=2"));
    expect_ok(unit_publish(bus, "a=3 tenant=4 tenant.a=5 other.a=6"));
    expect_ok(aether_topic_publish(topic, AETHER_EVENT(.data = AETHER_TEXT("7"))));
    expect_ok(unit_publish_batch(space, "a=8 b=9"));
    expect_events("a=1 a.b=2 a=5 a=7 a=8 b=9", AETHER_EMPTY, inside);
    expect_events("a=1 a=5 a=7 a=8 b=9", AETHER_EMPTY, star);
    expect_events("tenant.a=1 tenant.a.b=2 a=3 tenant=4 tenant.a=5 other.a=6 tenant.a=7 tenant.a=8 tenant.b=9", AETHER_EMPTY,
                  outside);
    expect_events("tenant.a=1 tenant.a=5 tenant.a=7 tenant.a=8", AETHER_EMPTY, exact);
    expect_position(UNIT_EPOCH, 8, aether_bus_newest(space)); /* one order */
    aether_subscription *subs[] = {inside, star, outside, exact};
    for (size_t i = 0; i < 4; i++)
        aether_subscription_close(subs[i]);
    aether_topic_close(topic);
    aether_bus_destroy(space);
    aether_bus_destroy(bus);
}

TEST(bus_space, BUS12_tenants_do_not_see_each_other)
{
    aether_bus *bus = unit_bus(), *one = space_of(bus, "one"), *same = space_of(bus, "one"), *two = space_of(bus, "two");
    aether_subscription *subs[] = {unit_subscribe(one, ">", AETHER_BEGIN_NOW), unit_subscribe(same, ">", AETHER_BEGIN_NOW),
                                   unit_subscribe(two, ">", AETHER_BEGIN_NOW)};
    expect_ok(unit_publish(one, "a=1 two.a=2"));
    expect_ok(unit_publish(two, "a=3"));
    expect_events("a=1 two.a=2", AETHER_EMPTY, subs[0]);
    expect_events("a=1 two.a=2", AETHER_EMPTY, subs[1]);
    expect_events("a=3", AETHER_EMPTY, subs[2]);
    expect_number(2, unit_bus_stats(bus).feeds); /* handles of one name share */
    for (size_t i = 0; i < 3; i++)
        aether_subscription_close(subs[i]);
    aether_bus *handles[] = {one, two, same, bus};
    for (size_t i = 0; i < 4; i++)
        aether_bus_destroy(handles[i]);
}

TEST(bus_space, BUS12_a_name_is_one_token_and_namespaces_do_not_nest)
{
    aether_bus *bus = unit_bus(), *space = space_of(bus, "tenant");
    static const char *const bad[] = {"", "a.b", "*", ">", "a ", "a\r\nb", "tenant-*", NULL};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        expect_no_space(AETHER_INVALID, bus, bad[i]);
        expect_no_domain(AETHER_INVALID, bus, bad[i]);
    }
    expect_no_space(AETHER_INVALID, NULL, "a");
    expect_no_domain(AETHER_INVALID, NULL, "a");
    expect_no_space(AETHER_INVALID, space, "inner");
    expect_no_domain(AETHER_INVALID, space, "inner");
    aether_bus_destroy(space);
    aether_bus_destroy(bus);
}

TEST(bus_space, BUS12_names_too_long_with_their_namespace_are_refused)
{
    aether_bus *bus = unit_bus(), *space = space_of(bus, "tenant");
    char text[AETHER_SUBJECT_MAX + 1];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    expect_status(AETHER_INVALID, aether_publish(space, text, AETHER_EVENT(.type = "T")));
    cr_assert(aether_subscribe(space, text, NULL) == NULL && aether_error_status() == AETHER_INVALID);
    aether_subscription *sub = unit_subscribe(space, ">", AETHER_BEGIN_NOW);
    text[AETHER_SUBJECT_MAX - strlen("tenant.")] = '\0';
    expect_ok(aether_publish(space, text, AETHER_EVENT(.type = "T")));
    aether_event event;
    expect_ok(aether_next(sub, &event, AETHER_NO_WAIT));
    expect_number(strlen(text), event.subject_size);
    aether_subscription_close(sub);
    aether_bus_destroy(space);
    aether_bus_destroy(bus);
}

TEST(bus_space, BUS12_handlers_see_names_of_the_handle_that_registered_them)
{
    aether_bus *bus = unit_bus(), *space = space_of(bus, "tenant");
    struct unit_maker inside = {.words = "a.1=x"}, outside = {.words = "tenant.b.1=y"};
    unit_handle(space, "a.*", &inside);
    unit_handle(bus, "tenant.b.*", &outside);
    aether_subscription *subs[] = {unit_watch(space, "a.*"), unit_watch(bus, "tenant.a.*"), unit_watch(space, "b.*"),
                                   unit_watch(bus, "tenant.b.*")};
    static const char *const wanted[] = {"+a.1=x end@0", "+tenant.a.1=x end@0", "+b.1=y end@0", "+tenant.b.1=y end@0"};
    for (size_t i = 0; i < 4; i++) {
        expect_events(wanted[i], AETHER_EMPTY, subs[i]);
        aether_subscription_close(subs[i]);
    }
    cr_assert_str_eq(inside.pattern, "a.*");
    cr_assert_str_eq(outside.pattern, "tenant.b.*");
    expect_status(AETHER_NO_HANDLER, aether_bus_unhandle_snapshots(bus, "a.*", false));
    expect_ok(aether_bus_unhandle_snapshots(bus, "tenant.a.*", false));
    aether_bus_destroy(space);
    aether_bus_destroy(bus);
}

TEST(bus_space, BUS12_a_handler_in_a_namespace_cannot_append_what_is_outside)
{
    aether_bus *bus = unit_bus(), *space = space_of(bus, "tenant");
    struct unit_maker maker = {.words = "tenant.a=1"}; /* that is tenant.tenant.a */
    unit_handle(space, "*", &maker);
    aether_subscription *sub = unit_watch(space, "*");
    expect_status(AETHER_INVALID, maker.appended);
    expect_status(AETHER_FAILED, unit_try(sub));
    aether_subscription_close(sub);
    aether_bus_destroy(space);
    aether_bus_destroy(bus);
}

static void append_too_long(struct unit_maker *maker, aether_snapshot *snapshot)
{
    static char subject[AETHER_SUBJECT_MAX + 1];
    memset(subject, 'a', AETHER_SUBJECT_MAX);
    maker->appended = aether_snapshot_append(snapshot, AETHER_EVENT(.subject = subject), 1);
}

TEST(bus_space, BUS12_a_handler_cannot_append_names_too_long_with_their_namespace)
{
    aether_bus *bus = unit_bus(), *space = space_of(bus, "tenant");
    struct unit_maker maker = {.begin = append_too_long, .words = "a=1"};
    unit_handle(space, "*", &maker);
    aether_subscription *sub = unit_watch(space, "*");
    expect_status(AETHER_INVALID, maker.appended);
    expect_events("+a=1 end@0", AETHER_EMPTY, sub);
    aether_subscription_close(sub);
    aether_bus_destroy(space);
    aether_bus_destroy(bus);
}

TEST(bus_space, BUS13_figures_of_patterns_are_those_of_the_handle)
{
    aether_bus *bus = unit_bus(), *space = space_of(bus, "tenant");
    unit_retain(space, "a");
    unit_retain(bus, "tenant.b");
    unit_retain(bus, ">");
    unit_retain(bus, "tenantx.c");
    expect_ok(unit_publish(space, "a=1 a=2 b=3"));
    expect_number(2, unit_pattern(space, "a").events);
    expect_number(1, unit_pattern(space, "b").events);
    expect_number(0, unit_pattern(space, ">").events); /* not within it */
    expect_number(2, unit_pattern(bus, "tenant.a").events);
    expect_number(3, unit_pattern(bus, ">").events);
    aether_bus_destroy(space);
    aether_bus_destroy(bus);
}

TEST(bus_space, BUS12_refresh_retention_and_labels_stay_within)
{
    aether_bus *bus = unit_bus(), *one = space_of(bus, "one"), *two = space_of(bus, "two");
    aether_subscribe_options options = {.label = "x"};
    aether_subscription *subs[] = {unit_subscribe_with(one, "a", options), unit_subscribe_with(two, "a", options),
                                   unit_subscribe_with(bus, "one.a", options)};
    unit_retain(one, "a");
    expect_ok(unit_publish(two, "a=0"));
    expect_ok(unit_publish(one, "a=1"));
    aether_subscription *past = aether_subscribe(bus, "one.a", &(aether_subscribe_options){.begin = AETHER_BEGIN_OLDEST});
    expect_events("one.a=1", AETHER_EMPTY, past); /* what the namespace retains is retained */
    expect_ok(aether_bus_close_label(one, "x", AETHER_ACCESS_CHANGED));
    expect_events("", AETHER_ACCESS_CHANGED, subs[0]);
    expect_events("a=0", AETHER_EMPTY, subs[1]);
    expect_events("one.a=1", AETHER_EMPTY, subs[2]); /* it was opened by another handle */
    expect_ok(aether_bus_refresh(two, ">"));
    expect_events("", AETHER_RESET, subs[1]);
    expect_events("", AETHER_EMPTY, subs[2]);
    expect_ok(aether_bus_refresh(one, "a"));
    expect_events("", AETHER_RESET, subs[2]);
    expect_status(AETHER_INVALID, aether_bus_release(two, "a"));
    expect_ok(aether_bus_release(one, "a"));
    for (size_t i = 0; i < 3; i++)
        aether_subscription_close(subs[i]);
    aether_subscription_close(past);
    aether_bus_destroy(one);
    aether_bus_destroy(two);
    aether_bus_destroy(bus);
}

TEST(bus_space, BUS12_a_handle_of_a_namespace_goes_alone)
{
    aether_bus *bus = unit_bus(), *space = space_of(bus, "tenant");
    aether_subscription *sub = unit_subscribe(space, "a", AETHER_BEGIN_NOW);
    aether_bus_destroy(space);
    expect_ok(unit_publish(bus, "tenant.a=1"));
    expect_events("a=1", AETHER_EMPTY, sub);
    space = space_of(bus, "tenant");
    expect_ok(aether_bus_shutdown(space)); /* that is the whole bus's */
    expect_status(AETHER_SHUT_DOWN, unit_publish(bus, "b=1"));
    expect_events("", AETHER_SHUT_DOWN, sub);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
    expect_status(AETHER_SHUT_DOWN, unit_publish(space, "a=1"));
    aether_bus_destroy(space);
}

/* --------------------------------------------------------------------------------------------------------------- domains */

TEST(bus_space, BUS12_a_domain_is_an_order_of_its_own)
{
    aether_bus *bus = unit_bus(), *domain = domain_of(bus, "own"), *same = domain_of(bus, "own");
    aether_subscription *outside = unit_subscribe(bus, ">", AETHER_BEGIN_NOW),
                        *star = unit_subscribe(bus, "*.a", AETHER_BEGIN_NOW);
    aether_subscription *inside = unit_subscribe(domain, "*", AETHER_BEGIN_NOW);
    expect_ok(unit_publish(bus, "x.a"));
    expect_ok(unit_publish(domain, "a@7")); /* here the publishers give the indexes */
    expect_ok(unit_publish(same, "b@9"));
    expect_position(UNIT_EPOCH, 1, aether_bus_newest(bus));
    expect_position(UNIT_EPOCH + 10, 9, aether_bus_newest(domain));
    expect_events("a@7 b@9", AETHER_EMPTY, inside);
    expect_events("x.a@1", AETHER_EMPTY, outside); /* patterns pass it over */
    expect_events("x.a@1", AETHER_EMPTY, star);
    expect_number(1, unit_bus_stats(bus).domains);
    expect_number(2, unit_bus_stats(domain).published);
    expect_ok(aether_bus_reset(domain, &(aether_position){5, 0}));
    expect_events("", AETHER_RESET, inside);
    expect_events("", AETHER_EMPTY, outside);
    expect_position(5, 0, aether_bus_newest(same));
    aether_subscription *subs[] = {outside, star, inside};
    for (size_t i = 0; i < 3; i++)
        aether_subscription_close(subs[i]);
    aether_bus *handles[] = {domain, same, bus};
    for (size_t i = 0; i < 3; i++)
        aether_bus_destroy(handles[i]);
}

TEST(bus_space, BUS12_the_buss_own_handle_does_not_reach_into_a_domain)
{
    aether_bus *bus = unit_bus();
    aether_topic *before = aether_topic_open(bus, "own.a");
    expect_ok(unit_publish(bus, "own.a=0"));
    aether_bus *domain = domain_of(bus, "own");
    aether_subscription *sub = unit_subscribe(domain, ">", AETHER_BEGIN_NOW);
    expect_status(AETHER_INVALID, unit_publish(bus, "own.a=1"));
    expect_status(AETHER_INVALID, unit_publish_batch(bus, "b=1 own.a=1"));
    expect_status(AETHER_INVALID, aether_topic_publish(before, AETHER_EVENT(.type = "T")));
    cr_assert(aether_topic_open(bus, "own.a") == NULL && aether_error_status() == AETHER_INVALID);
    cr_assert(aether_subscribe(bus, "own.a", NULL) == NULL && aether_error_status() == AETHER_INVALID);
    cr_assert(aether_subscribe(bus, "own.>", NULL) == NULL && aether_error_status() == AETHER_INVALID);
    expect_ok(unit_publish(bus, "own=2 owner.a=3")); /* these are other names */
    expect_events("", AETHER_EMPTY, sub);
    aether_subscription_close(sub);
    aether_topic_close(before);
    aether_bus_destroy(domain);
    aether_bus_destroy(bus);
}

TEST(bus_space, BUS12_a_name_is_a_namespace_or_a_domain)
{
    aether_bus *bus = unit_bus(), *space = space_of(bus, "space"), *domain = domain_of(bus, "domain");
    expect_no_domain(AETHER_EXISTS, bus, "space");
    expect_no_space(AETHER_EXISTS, bus, "domain");
    aether_bus_destroy(space);
    aether_bus_destroy(domain);
    aether_bus_destroy(bus);
}

TEST(bus_space, BUS8_shutting_the_bus_down_shuts_its_domains_down)
{
    aether_bus *bus = unit_bus(), *domain = domain_of(bus, "own");
    aether_subscription *sub = unit_subscribe(domain, "a", AETHER_BEGIN_NOW);
    struct unit_follower follower;
    cr_assert(unit_follower_put_to_sleep(&follower, sub));
    expect_ok(aether_bus_shutdown(bus));
    expect_status(AETHER_SHUT_DOWN, unit_follower_join(&follower));
    expect_status(AETHER_SHUT_DOWN, unit_publish(domain, "a=1"));
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
    aether_bus_destroy(domain);
}
