/* Snapshots: the state, its end, then exactly what is above its index; handlers that fail; handlers that cover. */
#include "common/unit.h"

#include <stdio.h>

#include "common/unit_bus.h"
#include "common/unit_snapshot.h"

/* Whatever was appended before may come, no end does, and the reason stays. */
static void expect_failed_snapshot(aether_subscription *sub, const char *why)
{
    aether_event event;
    aether_status status;
    while ((status = aether_next(sub, &event, AETHER_SECONDS(20))) == AETHER_OK)
        expect_number(AETHER_EVENT_SNAPSHOT, event.kind);
    expect_status(AETHER_FAILED, status);
    expect_refused(AETHER_FAILED, why, unit_try(sub));
    expect_fine(unit_adds_up(sub));
}

/* -------------------------------------------------------------------------------------------------------------- the seam */

static void publish_inside(struct unit_maker *maker, aether_snapshot *snapshot)
{
    (void)snapshot;
    cr_assert(unit_publish(maker->user, "s@20 s@21 x@22 s@23 s@24") == AETHER_OK);
}

/* Published before, while the handler runs on both sides of its index, and after. */
static void expect_seam(const char *items, const char *items_seen, bool before, bool keeper)
{
    aether_bus *bus = unit_bus();
    aether_subscription *other = keeper ? unit_subscribe(bus, "s", AETHER_BEGIN_NOW) : NULL; /* keeps the feed alive */
    struct unit_maker maker = {.words = items, .index = 22, .begin = publish_inside, .user = bus};
    unit_handle(bus, "s", &maker);
    if (before)
        expect_ok(unit_publish(bus, "s@3 s@5 s@7"));
    aether_subscription *sub = unit_watch(bus, "s");
    expect_ok(unit_publish(bus, "s@30 s@31"));
    char wanted[256];
    snprintf(wanted, sizeof wanted, "%s%send@22 s@23 s@24 s@30 s@31", items_seen, *items_seen != '\0' ? " " : "");
    expect_events(wanted, AETHER_EMPTY, sub);
    expect_number(2, unit_account(sub).below_watermark);
    expect_number(4, unit_account(sub).delivered);
    expect_fine(unit_adds_up(sub));
    aether_subscription_close(sub);
    aether_subscription_close(other);
    aether_bus_destroy(bus);
}

TEST(bus_snapshot, BUS5_exactly_the_snapshot_then_exactly_what_is_above_it)
{
    static const char ten[] = "s=0 s=1 s=2 | s=3 s=4 | s=5 s=6 s=7 s=8 s=9";
    static const char ten_seen[] = "+s=0 +s=1 +s=2 +s=3 +s=4 +s=5 +s=6 +s=7 +s=8 +s=9";
    for (int way = 0; way < 4; way++) {
        expect_seam(ten, ten_seen, way % 2 == 1, way >= 2);
        expect_seam("", "", way % 2 == 1, way >= 2);
    }
}

TEST(bus_snapshot, BUS5_what_the_snapshot_includes_is_not_delivered_when_it_is_published_later)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=state", .index = 10};
    unit_handle(bus, "s", &maker);
    expect_ok(unit_publish(bus, "s@7"));
    aether_subscription *sub = unit_watch(bus, "s"); /* 8 to 10 are committed, and not yet published */
    expect_events("+s=state end@10", AETHER_EMPTY, sub);
    expect_ok(unit_publish(bus, "s@8"));
    expect_events("", AETHER_EMPTY, sub);
    expect_ok(unit_publish_batch(bus, "s@9 s@9"));
    expect_ok(unit_publish(bus, "s@10 s@11"));
    expect_events("s@11", AETHER_EMPTY, sub);
    expect_account(sub, .published = 5, .delivered = 1, .below_watermark = 4, .snapshot_events = 1, .snapshots = 1);
    expect_position(UNIT_EPOCH, 11, aether_subscription_position(sub));
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_snapshot, BUS5_a_position_below_the_watermark_is_not_handed_out)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=state", .index = 10};
    unit_handle(bus, "s", &maker);
    unit_retain(bus, "s");
    expect_ok(unit_publish(bus, "s@7"));
    aether_subscription *sub = unit_watch(bus, "s");
    expect_position(0, 0, aether_subscription_position(sub)); /* a snapshot has to be begun again */
    expect_arrivals("+s=state", sub);
    expect_position(0, 0, aether_subscription_position(sub));
    expect_arrivals("end@10", sub);
    expect_ok(unit_publish(bus, "s@8 s@12"));
    expect_events("s@12", AETHER_EMPTY, sub);
    expect_position(UNIT_EPOCH, 12, aether_subscription_position(sub));
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_snapshot, BUS5_of_other_subjects_nothing_comes)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s.1=a"};
    unit_handle(bus, "s.>", &maker);
    aether_subscription *sub = unit_watch(bus, "s.1");
    expect_ok(unit_publish(bus, "s.2=b t=c s.1=d"));
    expect_events("+s.1=a end@0 s.1=d", AETHER_EMPTY, sub);
    cr_assert_str_eq(maker.pattern, "s.1"); /* the watcher's pattern, not the handler's */
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_snapshot, BUS5_snapshot_events_are_whole_and_of_the_snapshots_index)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s.1=a s.2=b", .index = 9};
    unit_handle(bus, "s.*", &maker);
    expect_ok(unit_publish(bus, "s.1@9"));
    aether_subscription *sub = unit_watch(bus, "s.*");
    aether_event event;
    for (int i = 0; i < 3; i++) {
        expect_ok(aether_next(sub, &event, AETHER_NO_WAIT));
        expect_number(i < 2 ? AETHER_EVENT_SNAPSHOT : AETHER_EVENT_SNAPSHOT_END, event.kind);
        expect_number(UNIT_EPOCH, event.epoch);
    }
    expect_number(9, event.index);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_snapshot, BUS5_batches_of_a_snapshot_and_of_the_bus_keep_their_order)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s.1=a s.2=b | s.3=c", .index = 0};
    unit_handle(bus, "s.*", &maker);
    aether_subscription *sub = unit_watch(bus, "s.*");
    expect_ok(unit_publish_batch(bus, "s.2=d s.1=e x=f s.3=g"));
    expect_events("+s.1=a +s.2=b +s.3=c end@0 s.2=d s.1=e s.3=g", AETHER_EMPTY, sub);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_snapshot, BUS5_an_index_below_what_the_feed_has_had_opens_no_gap)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=state", .index = 4};
    unit_handle(bus, "*", &maker);
    aether_subscription *keeper = unit_subscribe(bus, "s", AETHER_BEGIN_NOW);
    expect_ok(unit_publish(bus, "s@2 s@4 s@5 t@6")); /* 5 is not in the state, and was published before it was read */
    aether_subscription *sub = unit_watch(bus, "s");
    expect_ok(unit_publish(bus, "s@7"));
    expect_failed_snapshot(sub, "below 5");
    maker.index = 7;
    expect_ok(unit_publish(bus, "t@8")); /* not of this pattern: the state may be older */
    aether_subscription *next = unit_watch(bus, "s");
    expect_events("+s=state end@7", AETHER_EMPTY, next);
    aether_subscription *subs[] = {keeper, sub, next};
    for (size_t i = 0; i < 3; i++)
        aether_subscription_close(subs[i]);
    aether_bus_destroy(bus);
}

/* ------------------------------------------------------------------------------------------------- a state under a lock */

enum { PUTS = 1500, STREAMS = 4 };

static const char *put_on_and_on(void *user)
{
    char subject[16];
    for (uint64_t i = 1; i <= PUTS; i++) {
        snprintf(subject, sizeof subject, "k.%u", (unsigned)(i % 8));
        claim(unit_state_put(user, subject, i) == AETHER_OK);
    }
    return NULL;
}

/* Every value from the snapshot's newest on comes, each once. */
static const char *follow_state(void *user)
{
    struct unit_state *state = user;
    for (uint64_t last = 0; last < PUTS;) {
        aether_subscription *sub =
            aether_subscribe(state->bus, "k.*", &(aether_subscribe_options){.begin = AETHER_BEGIN_SNAPSHOT});
        claim(sub != NULL);
        uint64_t shown = 0, steps = 0;
        aether_event event;
        bool live = false;
        for (; steps < 100 && last < PUTS; steps++) {
            claim(aether_next(sub, &event, AETHER_SECONDS(20)) == AETHER_OK);
            uint64_t value = unit_number(&event);
            if (event.kind == AETHER_EVENT_SNAPSHOT) {
                claim(!live);
                shown = value > shown ? value : shown;
            } else if (event.kind == AETHER_EVENT_SNAPSHOT_END) {
                claim(!live && event.index == shown); /* one index for each put */
                live = true;
                last = shown;
            } else {
                claim(live && value == last + 1 && event.index == value);
                last = value;
            }
        }
        aether_subscription_close(sub);
    }
    return NULL;
}

TEST(bus_snapshot, BUS5_streams_of_a_changing_state_have_neither_gaps_nor_repeats)
{
    struct unit_state state;
    unit_state_init(&state, unit_bus());
    aether_snapshot_handler handler = {.make = unit_state_make, .user = &state};
    expect_ok(aether_bus_handle_snapshots(state.bus, "k.>", &handler));
    struct unit_thread writer, readers[STREAMS];
    for (size_t i = 0; i < STREAMS; i++)
        cr_assert(unit_thread_start(&readers[i], 0, follow_state, &state));
    cr_assert(unit_thread_start(&writer, 0, put_on_and_on, &state));
    expect_fine(unit_thread_join(&writer));
    for (size_t i = 0; i < STREAMS; i++)
        expect_fine(unit_thread_join(&readers[i]));
    aether_bus_destroy(state.bus);
}

enum { LARGE = 5000, LARGE_BATCH = 50 };

static aether_status make_large(aether_snapshot *snapshot, const char *pattern, uint64_t *index, void *user)
{
    (void)pattern, (void)user;
    *index = 0;
    aether_event batch[LARGE_BATCH];
    char data[LARGE_BATCH][16];
    aether_status status = AETHER_OK;
    for (unsigned i = 0; i < LARGE && status == AETHER_OK; i += LARGE_BATCH) {
        for (unsigned at = 0; at < LARGE_BATCH; at++) {
            snprintf(data[at], sizeof *data, "%u", i + at);
            batch[at] = (aether_event){.subject = "s", .data = AETHER_TEXT(data[at])};
        }
        status = aether_snapshot_append(snapshot, batch, LARGE_BATCH);
    }
    return status;
}

TEST(bus_snapshot, BUS5_large_snapshots_come_whole_whatever_the_watchers_limit)
{
    aether_bus *bus = unit_bus();
    aether_snapshot_handler handler = {.make = make_large, .on_pool = true, .cache_ns = AETHER_SECONDS(60)};
    expect_ok(aether_bus_handle_snapshots(bus, "s", &handler));
    aether_subscription *subs[3];
    for (size_t s = 0; s < 3; s++)
        subs[s] = unit_subscribe_with(bus, "s",
                                      (aether_subscribe_options){.begin = AETHER_BEGIN_SNAPSHOT, .limit_bytes = UNIT_LIMIT});
    expect_ok(unit_publish(bus, "s=after"));
    for (size_t s = 0; s < 3; s++) {
        aether_event event;
        for (unsigned i = 0; i < LARGE; i++) {
            expect_ok(aether_next(subs[s], &event, AETHER_SECONDS(20)));
            cr_assert(event.kind == AETHER_EVENT_SNAPSHOT && unit_number(&event) == i);
        }
        expect_arrivals("end@0 s=after", subs[s]);
        aether_subscription_close(subs[s]);
    }
    expect_number(LARGE, unit_bus_stats(bus).snapshot_events);
    aether_bus_destroy(bus);
}

/* -------------------------------------------------------------------------------------------------------------- failures */

TEST(bus_snapshot, BUS5_where_the_bus_draws_indexes_none_is_ahead_of_it)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=1", .index = 3};
    unit_handle(bus, "s", &maker);
    expect_ok(unit_publish(bus, "a b")); /* drawn */
    aether_subscription *sub = unit_watch(bus, "s");
    expect_failed_snapshot(sub, "ahead of the newest, 2");
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_snapshot, BUS5_a_handler_that_fails_halfway_fails_its_watchers_and_the_next_one_tries_again)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "s=1 | s=2", .status = AETHER_SYSTEM};
    aether_snapshot_handler handler = unit_handler(&maker);
    handler.cache_ns = AETHER_SECONDS(60); /* a failure is never kept */
    expect_ok(aether_bus_handle_snapshots(bus, "s", &handler));
    aether_subscription *sub = unit_watch(bus, "s");
    expect_failed_snapshot(sub, "");
    maker.status = AETHER_OK;
    aether_subscription *next = unit_watch(bus, "s");
    expect_ok(unit_publish(bus, "s=3"));
    expect_events("+s=1 +s=2 end@0 s=3", AETHER_EMPTY, next);
    expect_number(2, unit_runs(&maker));
    expect_number(1, unit_bus_stats(bus).snapshots_failed);
    expect_number(1, unit_bus_stats(bus).snapshots_made);
    expect_status(AETHER_FAILED, unit_try(sub));
    aether_subscription_close(sub);
    aether_subscription_close(next);
    aether_bus_destroy(bus);
}

TEST(bus_snapshot, BUS5_what_is_outside_the_pattern_cannot_be_appended)
{
    static const char *const outside[] = {"t=1", "s.1=a s=2", "s.1.2=3", "s..1=4", "s.*=5"};
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {0};
    unit_handle(bus, ">", &maker);
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        maker.words = outside[i];
        maker.appended = AETHER_OK;
        aether_subscription *sub = unit_watch(bus, "s.*");
        expect_status(AETHER_INVALID, maker.appended);
        expect_failed_snapshot(sub, "");
        aether_subscription_close(sub);
    }
    aether_bus_destroy(bus);
}

static void append_badly(struct unit_maker *maker, aether_snapshot *snapshot)
{
    (void)maker;
    static const aether_event event = {.subject = "s"};
    cr_assert(aether_snapshot_append(NULL, &event, 1) == AETHER_INVALID);
    cr_assert(aether_snapshot_append(snapshot, NULL, 1) == AETHER_INVALID);
    cr_assert(aether_snapshot_append(snapshot, NULL, 0) == AETHER_OK);
    cr_assert(aether_snapshot_append(snapshot, AETHER_EVENT(.type = "without a subject"), 1) == AETHER_INVALID);
    cr_assert(aether_snapshot_append(snapshot, AETHER_EVENT(.subject = "s", .type_size = 1), 1) == AETHER_INVALID);
    cr_assert(aether_snapshot_append(snapshot, AETHER_EVENT(.subject = "s", .data = {"", AETHER_DATA_MAX + 1}), 1) ==
              AETHER_TOO_LARGE);
    /* Index, epoch and kind are not looked at. */
    cr_assert(aether_snapshot_append(snapshot,
                                     AETHER_EVENT(.subject = "s", .index = 99, .epoch = 5, .kind = AETHER_EVENT_LIVE,
                                                  .data = AETHER_TEXT("good")),
                                     1) == AETHER_OK);
}

TEST(bus_snapshot, BUS5_what_cannot_be_appended_leaves_the_snapshot_as_it_was)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.begin = append_badly, .words = "s=last"};
    unit_handle(bus, "s", &maker);
    aether_subscription *sub = unit_watch(bus, "s");
    expect_events("+s=good +s=last end@0", AETHER_EMPTY, sub);
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

/* -------------------------------------------------------------------------------------------------------------- handlers */

TEST(bus_snapshot, BUS5_without_a_handler_that_covers_the_pattern_there_is_none)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {0};
    unit_handle(bus, "a.*", &maker);
    static const char *const uncovered[] = {"b", "a", "a.>", "*.b", ">", "a.b.c"};
    for (size_t i = 0; i < sizeof uncovered / sizeof *uncovered; i++) {
        aether_subscribe_options options = {.begin = AETHER_BEGIN_SNAPSHOT};
        cr_assert(aether_subscribe(bus, uncovered[i], &options) == NULL, "%s", uncovered[i]);
        expect_status(AETHER_NO_HANDLER, aether_error_status());
        options.begin = AETHER_BEGIN_RESUME;
        cr_assert(aether_subscribe(bus, uncovered[i], &options) == NULL, "%s", uncovered[i]);
        expect_status(AETHER_NO_HANDLER, aether_error_status());
    }
    expect_number(0, unit_bus_stats(bus).feeds);
    expect_number(0, unit_runs(&maker));
    aether_bus_destroy(bus);
}

TEST(bus_snapshot, BUS5_the_most_specific_handler_serves)
{
    static const char *const patterns[] = {">", "a.>", "a.*", "a.b", "*.*.c"};
    static const struct {
        const char *pattern;
        size_t by;
    } cases[] = {{"a.b", 3}, {"a.c", 2}, {"a.*", 2}, {"a.b.c.d", 1}, {"a.>", 1}, {"b", 0}, {"*", 0}, {">", 0}, {"b.b.c", 4}};
    aether_bus *bus = unit_bus();
    struct unit_maker makers[5] = {{0}};
    for (size_t i = 0; i < 5; i++)
        unit_handle(bus, patterns[i], &makers[i]);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t runs = unit_runs(&makers[cases[i].by]);
        aether_subscription *sub = unit_watch(bus, cases[i].pattern);
        expect_events("end@0", AETHER_EMPTY, sub);
        cr_assert(unit_runs(&makers[cases[i].by]) == runs + 1, "%s was not served by %s", cases[i].pattern,
                  patterns[cases[i].by]);
        aether_subscription_close(sub);
    }
    aether_bus_destroy(bus);
}

TEST(bus_snapshot, BUS5_a_pattern_has_one_handler_at_a_time)
{
    aether_bus *bus = unit_bus();
    struct unit_maker one = {.words = "a=1"}, other = {.words = "a=2"};
    aether_snapshot_handler handler = unit_handler(&other);
    unit_handle(bus, "a", &one);
    expect_status(AETHER_EXISTS, aether_bus_handle_snapshots(bus, "a", &handler));
    expect_status(AETHER_INVALID, aether_bus_handle_snapshots(bus, "a..b", &handler));
    expect_status(AETHER_INVALID, aether_bus_handle_snapshots(bus, "b", &(aether_snapshot_handler){0}));
    expect_status(AETHER_INVALID, aether_bus_handle_snapshots(bus, "b", NULL));
    expect_status(AETHER_NO_HANDLER, aether_bus_unhandle_snapshots(bus, "b", false));
    expect_status(AETHER_NO_HANDLER, aether_bus_unhandle_snapshots(bus, "*", true));
    expect_status(AETHER_INVALID, aether_bus_unhandle_snapshots(bus, "a..b", true));
    expect_ok(aether_bus_unhandle_snapshots(bus, "a", true));
    expect_status(AETHER_NO_HANDLER, aether_bus_unhandle_snapshots(bus, "a", true));
    expect_ok(aether_bus_handle_snapshots(bus, "a", &handler));
    aether_subscription *sub = unit_watch(bus, "a");
    expect_events("+a=2 end@0", AETHER_EMPTY, sub);
    expect_number(0, unit_runs(&one));
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}
