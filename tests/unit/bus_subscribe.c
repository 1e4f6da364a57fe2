/* Subscribing: patterns, filters, and where it begins. */
#include "common/unit.h"

#include "common/unit_bus.h"
#include "common/unit_snapshot.h"

#define WITH(...) (&(aether_subscribe_options){__VA_ARGS__})

static void expect_no_subscription(aether_status wanted, aether_bus *bus, const char *pattern,
                                   const aether_subscribe_options *options)
{
    aether_subscription *sub = aether_subscribe(bus, pattern, options);
    cr_assert(sub == NULL, "\"%s\" was subscribed to", pattern);
    expect_status(wanted, aether_error_status());
}

/* -------------------------------------------------------------------------------------------------------------- patterns */

TEST(bus_subscribe, BUS2_each_pattern_gets_what_it_matches)
{
    static const struct {
        const char *pattern, *events;
    } cases[] = {
        {"a", "a=1"},
        {"a.b", "a.b=2"},
        {"*", "a=1 d=5"},
        {"a.*", "a.b=2 a.c=4"},
        {"a.>", "a.b=2 a.b.c=3 a.c=4"},
        {">", "a=1 a.b=2 a.b.c=3 a.c=4 d=5"},
        {"*.*.*", "a.b.c=3"},
        {"*.b", "a.b=2"},
        {"*.b.>", "a.b.c=3"},
        {"*.>", "a.b=2 a.b.c=3 a.c=4"},
        {"a.b.c.>", ""},
        {"A", ""},
        {"nobody.*", ""},
    };
    enum { CASES = sizeof cases / sizeof *cases };
    aether_bus *bus = unit_bus();
    aether_subscription *subs[CASES];
    for (size_t i = 0; i < CASES; i++)
        subs[i] = unit_subscribe(bus, cases[i].pattern, AETHER_BEGIN_NOW);
    expect_ok(unit_publish(bus, "a=1 a.b=2 a.b.c=3 a.c=4 d=5"));
    for (size_t i = 0; i < CASES; i++) {
        expect_events(cases[i].events, AETHER_EMPTY, subs[i]);
        aether_subscription_close(subs[i]);
    }
    aether_bus_destroy(bus);
}

TEST(bus_subscribe, BUS2_malformed_patterns_are_refused_with_the_place)
{
    static const struct {
        const char *pattern, *fault;
    } bad[] = {{"", "empty token at byte 0"},
               {"a..b", "empty token at byte 2"},
               {"a.", "empty token at byte 2"},
               {"a.b*", "wildcard inside a token at byte 3"},
               {"**", "wildcard inside a token at byte 0"},
               {"a.>.b", "token behind '>' at byte 4"},
               {"tenant-*", "wildcard inside a token at byte 7"},
               {"a\r\nb", "blank or control character at byte 1"}};
    aether_bus *bus = unit_bus();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        expect_no_subscription(AETHER_INVALID, bus, bad[i].pattern, NULL);
        expect_failure(AETHER_INVALID, bad[i].fault);
    }
    expect_no_subscription(AETHER_INVALID, bus, NULL, NULL);
    expect_no_subscription(AETHER_INVALID, NULL, "a", NULL);
    expect_number(0, unit_bus_stats(bus).feeds);
    expect_number(0, unit_bus_stats(bus).subscriptions);
    aether_bus_destroy(bus);
}

TEST(bus_subscribe, BUS2_options_out_of_range_are_invalid)
{
    aether_bus *bus = unit_bus();
    static const char *const types[] = {"A", NULL};
    expect_no_subscription(AETHER_INVALID, bus, "a", WITH(.begin = 6));
    expect_no_subscription(AETHER_INVALID, bus, "a", WITH(.begin = -1));
    expect_no_subscription(AETHER_INVALID, bus, "a", WITH(.on_limit = 5));
    expect_no_subscription(AETHER_INVALID, bus, "a", WITH(.on_limit = -1));
    expect_no_subscription(AETHER_INVALID, bus, "a", WITH(.on_lag = 4));
    expect_no_subscription(AETHER_INVALID, bus, "a", WITH(.limit_bytes = UNIT_LIMIT - 1));
    expect_no_subscription(AETHER_INVALID, bus, "a", WITH(.label = "a label of 32 bytes, one too many"));
    expect_no_subscription(AETHER_INVALID, bus, "a", WITH(.conflate = 1, .on_limit = AETHER_REFUSE));
    expect_no_subscription(AETHER_INVALID, bus, "a", WITH(.filter = {.type_count = 1}));
    expect_no_subscription(AETHER_INVALID, bus, "a", WITH(.filter = {.types = types, .type_count = 2}));
    expect_no_subscription(AETHER_INVALID, bus, "a", WITH(.filter = {.actor = "a..b"}));
    expect_number(0, unit_bus_stats(bus).subscriptions);
    aether_subscription *sub =
        aether_subscribe(bus, "a", WITH(.label = "a label of 31 bytes, just right", .limit_bytes = UNIT_LIMIT));
    cr_assert(sub != NULL, "%s", aether_error());
    expect_status(AETHER_INVALID, aether_next(NULL, &(aether_event){0}, AETHER_NO_WAIT));
    expect_status(AETHER_INVALID, aether_next(sub, NULL, AETHER_NO_WAIT));
    expect_status(AETHER_INVALID, aether_subscription_get_stats(sub, NULL));
    expect_status(AETHER_INVALID, aether_subscription_get_stats(NULL, &(aether_subscription_stats){0}));
    aether_subscription_close(sub);
    aether_subscription_close(NULL);
    aether_bus_destroy(bus);
}

TEST(bus_subscribe, BUS2_subscriptions_of_one_pattern_share_one_feed)
{
    enum { SUBS = 50 };
    aether_bus *bus = unit_bus();
    aether_subscription *subs[SUBS], *wide = unit_subscribe(bus, ">", AETHER_BEGIN_NOW);
    for (size_t i = 0; i < SUBS; i++)
        subs[i] = unit_subscribe(bus, "a.*", AETHER_BEGIN_NOW);
    expect_ok(unit_publish(bus, "a.b=1 a.c=2"));
    aether_bus_stats stats = unit_bus_stats(bus);
    expect_number(2, stats.feeds);
    expect_number(SUBS + 1, stats.subscriptions);
    expect_number(4, stats.appended); /* two events, two feeds */
    for (size_t i = 0; i < SUBS; i++) {
        expect_events("a.b=1 a.c=2", AETHER_EMPTY, subs[i]); /* once each, although patterns overlap */
        aether_subscription_close(subs[i]);
    }
    expect_events("a.b=1 a.c=2", AETHER_EMPTY, wide);
    expect_number(1, unit_bus_stats(bus).feeds);
    aether_subscription_close(wide);
    stats = unit_bus_stats(bus);
    expect_number(0, stats.feeds);
    expect_number(0, stats.subscriptions);
    expect_number(SUBS + 1, stats.opened);
    aether_bus_destroy(bus);
}

TEST(bus_subscribe, BUS2_one_set_of_options_opens_many)
{
    aether_bus *bus = unit_bus();
    aether_subscribe_options options = {.label = "twins", .limit_bytes = UNIT_LIMIT};
    aether_subscription *one = aether_subscribe(bus, "a", &options), *other = aether_subscribe(bus, "a", &options);
    expect_ok(unit_publish(bus, "a=1"));
    aether_subscription_close(one);
    expect_events("a=1", AETHER_EMPTY, other);
    expect_ok(aether_bus_close_label(bus, "twins", AETHER_ACCESS_CHANGED));
    expect_events("", AETHER_ACCESS_CHANGED, other);
    aether_subscription_close(other);
    aether_bus_destroy(bus);
}

TEST(bus_subscribe, BUS2_coming_and_going_neither_doubles_nor_leaks)
{
    aether_bus *bus = unit_bus();
    expect_ok(unit_publish(bus, "a=0"));
    uint64_t bytes = 0;
    for (int i = 0; i < 50; i++) {
        aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_NOW);
        expect_ok(unit_publish(bus, "a=1"));
        expect_events("a=1", AETHER_EMPTY, sub);
        aether_subscription_close(sub);
        aether_memory_drain();
        if (i == 10)
            bytes = unit_memory().bytes;
    }
    expect_within(0, bytes, unit_memory().bytes);
    expect_number(0, unit_bus_stats(bus).feeds);
    aether_bus_destroy(bus);
}

/* --------------------------------------------------------------------------------------------------------------- filters */

struct vetoes {
    uint32_t calls;
    char letters[32]; /* each one's type, by its first letter */
};

static bool is_even(const aether_event *event, void *user)
{
    struct vetoes *vetoes = user;
    vetoes->letters[vetoes->calls++ % 31] = event->type_size > 0 ? event->type[0] : '-';
    return event->data.size > 0 && (event->data.data[0] - '0') % 2 == 0;
}

static void publish_variety(aether_bus *bus)
{
    static const struct {
        const char *subject, *type, *actor, *data;
    } events[] = {{"s.1", "Made", "order-1", "1"},  {"s.2", "Paid", "order-2", "2"}, {"s.3", "Sent", "user.1", "3"},
                  {"s.4", "Paid", "user.2", "4"},   {"s.5", NULL, NULL, "5"},        {"s.6", "Paid", "order-1", "6"},
                  {"s.7", "PaidNot", "user.1", "7"}};
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        expect_ok(aether_publish(
            bus, events[i].subject,
            AETHER_EVENT(.type = events[i].type, .actor = events[i].actor, .data = AETHER_TEXT(events[i].data))));
}

/* What passes, and the account of the rest. */
static void expect_filtered(const char *words, aether_filter filter)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe_with(bus, "s.*", (aether_subscribe_options){.filter = filter});
    publish_variety(bus);
    expect_events(words, AETHER_EMPTY, sub);
    aether_subscription_stats stats = unit_account(sub);
    expect_number(7, stats.published);
    expect_number(7, stats.delivered + stats.filtered);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_subscribe, BUS3_filters_let_through_what_meets_all_conditions)
{
    static const char *const types[] = {"Paid", "Made", "Paid"}; /* named twice, delivered once */
    static const char *const nobodys[] = {"Pai", "paid"};
    expect_filtered("s.1=1 s.2=2 s.3=3 s.4=4 s.5=5 s.6=6 s.7=7", (aether_filter){0});
    expect_filtered("s.1=1 s.2=2 s.4=4 s.6=6", (aether_filter){.types = types, .type_count = 3});
    expect_filtered("s.3=3 s.7=7", (aether_filter){.actor = "user.1"});
    expect_filtered("s.3=3 s.4=4 s.7=7", (aether_filter){.actor = "user.*"});
    expect_filtered("s.4=4", (aether_filter){.types = types, .type_count = 1, .actor = "user.>"});
    expect_filtered("", (aether_filter){.types = nobodys, .type_count = 2});
}

TEST(bus_subscribe, BUS3_the_predicate_is_asked_last_and_may_veto)
{
    static const char *const types[] = {"Paid", "Made"};
    struct vetoes vetoes = {0};
    expect_filtered("s.2=2 s.6=6",
                    (aether_filter){.types = types, .type_count = 2, .actor = "*", .predicate = is_even, .user = &vetoes});
    cr_assert_str_eq(vetoes.letters, "MPP"); /* only what the other conditions let through, once each */
}

TEST(bus_subscribe, BUS3_what_a_filter_was_given_is_copied)
{
    aether_bus *bus = unit_bus();
    char type[] = "Paid", actor[] = "order-1", label[] = "mine", pattern[] = "s.*";
    const char *types[] = {type};
    aether_subscription *sub = unit_subscribe_with(
        bus, pattern,
        (aether_subscribe_options){.label = label, .filter = {.types = types, .type_count = 1, .actor = actor}});
    type[0] = actor[0] = label[0] = pattern[0] = '?';
    types[0] = NULL;
    publish_variety(bus);
    expect_events("s.6=6", AETHER_EMPTY, sub);
    expect_ok(aether_bus_close_label(bus, "mine", AETHER_UNSUBSCRIBED));
    expect_events("", AETHER_UNSUBSCRIBED, sub);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_subscribe, BUS3_each_subscription_has_a_filter_of_its_own)
{
    aether_bus *bus = unit_bus();
    static const char *const paid[] = {"Paid"}, *const made[] = {"Made"};
    aether_subscription *one =
        unit_subscribe_with(bus, "s.*", (aether_subscribe_options){.filter = {.types = paid, .type_count = 1}});
    aether_subscription *other =
        unit_subscribe_with(bus, "s.*", (aether_subscribe_options){.filter = {.types = made, .type_count = 1}});
    aether_subscription *all = unit_subscribe(bus, "s.*", AETHER_BEGIN_NOW);
    publish_variety(bus);
    expect_events("s.2=2 s.4=4 s.6=6", AETHER_EMPTY, one);
    expect_events("s.1=1", AETHER_EMPTY, other);
    expect_events("s.1=1 s.2=2 s.3=3 s.4=4 s.5=5 s.6=6 s.7=7", AETHER_EMPTY, all);
    aether_subscription_close(one);
    aether_subscription_close(other);
    aether_subscription_close(all);
    aether_bus_destroy(bus);
}

TEST(bus_subscribe, BUS3_batches_are_filtered_event_by_event)
{
    aether_bus *bus = unit_bus();
    struct vetoes vetoes = {0};
    aether_subscription *sub =
        unit_subscribe_with(bus, ">", (aether_subscribe_options){.filter = {.predicate = is_even, .user = &vetoes}});
    aether_event batch[] = {{.subject = "a", .type = "x", .data = AETHER_TEXT("1")},
                            {.subject = "b", .type = "x", .data = AETHER_TEXT("2")},
                            {.subject = "c", .type = "x", .data = AETHER_TEXT("3")},
                            {.subject = "d", .type = "x", .data = AETHER_TEXT("4")}};
    expect_ok(aether_publish_batch(bus, batch, 4));
    expect_ok(aether_publish_batch(bus, batch, 1)); /* nothing of it passes */
    expect_ok(aether_publish_batch(bus, batch + 1, 1));
    expect_events("b=2 d=4 b=2", AETHER_EMPTY, sub);
    expect_number(6, vetoes.calls);
    expect_account(sub, .published = 6, .delivered = 3, .filtered = 3);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_subscribe, BUS3_filters_hold_for_snapshots_as_well)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s.1=1 s.2=2 | s.3=3 s.4=4", .index = 0};
    struct vetoes vetoes = {0};
    unit_handle(bus, "s.>", &maker);
    aether_subscription *sub = unit_subscribe_with(
        bus, "s.*",
        (aether_subscribe_options){.begin = AETHER_BEGIN_SNAPSHOT, .filter = {.predicate = is_even, .user = &vetoes}});
    expect_ok(aether_publish(bus, "s.6", AETHER_EVENT(.type = "x", .data = AETHER_TEXT("6"))));
    expect_ok(aether_publish(bus, "s.7", AETHER_EVENT(.type = "x", .data = AETHER_TEXT("7"))));
    expect_events("+s.2=2 +s.4=4 end@0 s.6=6", AETHER_EMPTY, sub);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

static bool drop_all(const aether_event *event, void *user)
{
    (void)event, (void)user;
    return false;
}

TEST(bus_subscribe, BUS3_who_may_see_nothing_gets_just_the_end_of_the_snapshot)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "a=1 a=2"};
    unit_handle(bus, "a", &maker);
    aether_subscription *sub = unit_subscribe_with(
        bus, "a", (aether_subscribe_options){.begin = AETHER_BEGIN_SNAPSHOT, .filter = {.predicate = drop_all}});
    expect_ok(unit_publish(bus, "a=3"));
    expect_events("end@0", AETHER_EMPTY, sub);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

static bool may_see(const aether_event *event, void *user)
{
    (void)event;
    return *(bool *)user;
}

TEST(bus_subscribe, BUS3_a_predicate_may_change_its_mind)
{
    aether_bus *bus = unit_bus();
    bool allowed = true;
    aether_subscription *sub =
        unit_subscribe_with(bus, "a", (aether_subscribe_options){.filter = {.predicate = may_see, .user = &allowed}});
    expect_ok(unit_publish(bus, "a=1 a=2"));
    expect_arrivals("a=1", sub);
    allowed = false;
    expect_ok(unit_publish(bus, "a=3"));
    expect_events("", AETHER_EMPTY, sub);
    expect_account(sub, .published = 3, .delivered = 1, .filtered = 2);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}
