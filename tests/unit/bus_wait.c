/* Waiting: deadlines, descriptors, pollers, callbacks, progress marks. */
#include "common/unit.h"

#include <poll.h>
#include <stdio.h>

#include "common/unit_bus.h"
#include "common/unit_clock.h"
#include "common/unit_snapshot.h"

#define WITH(...) ((aether_subscribe_options){__VA_ARGS__})

/* -------------------------------------------------------------------------------------------------------------- deadlines
 */

TEST_ALL_WAYS(bus_wait, BUS9_who_waits_is_woken_by_what_is_published)
{
    aether_bus *bus = unit_bus();
    aether_subscription *one = unit_subscribe(bus, "a", AETHER_BEGIN_NOW), *two = unit_subscribe(bus, ">", AETHER_BEGIN_NOW);
    struct unit_follower first, second;
    cr_assert(unit_follower_put_to_sleep(&first, one));
    cr_assert(unit_follower_put_to_sleep(&second, two));
    expect_ok(unit_publish(bus, "a=1"));
    expect_ok(unit_follower_join(&first));
    expect_ok(unit_follower_join(&second));
    cr_assert_str_eq(first.word, "a=1");
    cr_assert_str_eq(second.word, "a=1");
    aether_subscription_close(one);
    aether_subscription_close(two);
    aether_bus_destroy(bus);
}

TEST(bus_wait, BUS9_what_does_not_match_wakes_nobody_for_long)
{
    aether_bus *bus = unit_bus();
    static const char *const none[] = {"Nothing"};
    aether_subscription *sub = unit_subscribe_with(bus, "*", WITH(.filter = {.types = none, .type_count = 1}));
    struct unit_follower follower;
    cr_assert(unit_follower_put_to_sleep(&follower, sub));
    expect_ok(unit_publish(bus, "a=1"));
    cr_assert(unit_thread_sleeps(&follower.thread, &follower.trace)); /* again, or still */
    expect_ok(aether_publish(bus, "b", AETHER_EVENT(.type = "Nothing", .data = AETHER_TEXT("2"))));
    expect_ok(unit_follower_join(&follower));
    cr_assert_str_eq(follower.word, "b=2");
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_wait, BUS9_a_deadline_ends_a_wait_and_not_before)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_NOW);
    aether_event event;
    int64_t start = unit_now();
    expect_status(AETHER_TIMEOUT, aether_next(sub, &event, AETHER_MILLISECONDS(20)));
    cr_assert(unit_now() - start >= AETHER_MILLISECONDS(20));
    expect_status(AETHER_EMPTY, aether_next(sub, &event, AETHER_NO_WAIT));
    expect_ok(unit_publish(bus, "a=1"));
    start = unit_now();
    expect_ok(aether_next(sub, &event, AETHER_SECONDS(30))); /* what is there comes at once */
    cr_assert(unit_now() - start < AETHER_SECONDS(15));
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

/* ------------------------------------------------------------------------------------------------------------ descriptors
 */

static bool is_readable(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    return poll(&entry, 1, 0) == 1;
}

static bool becomes_readable(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    return poll(&entry, 1, 20000) == 1;
}

static int fd_of(aether_subscription *sub)
{
    int fd = aether_subscription_fd(sub);
    cr_assert(fd >= 0, "%s", aether_error());
    return fd;
}

TEST(bus_wait, BUS9_a_descriptor_is_readable_while_something_is_there)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_NOW);
    expect_ok(unit_publish(bus, "a=0"));
    int fd = fd_of(sub);
    cr_assert(fd == fd_of(sub) && is_readable(fd)); /* what was there before counts */
    for (int i = 0; i < 20; i++) {
        expect_events(i == 0 ? "a=0" : "a=1 a=2 a=3", AETHER_EMPTY, sub);
        cr_assert(!is_readable(fd));
        expect_status(AETHER_EMPTY, unit_try(sub));
        expect_ok(unit_publish(bus, "b=9"));
        cr_assert(!is_readable(fd));
        expect_ok(unit_publish(bus, "a=1"));
        cr_assert(is_readable(fd));
        expect_ok(unit_publish_batch(bus, "a=2 a=3"));
        cr_assert(is_readable(fd) && is_readable(fd));
    }
    expect_arrivals("a=1 a=2", sub);
    cr_assert(is_readable(fd)); /* the rest of a batch */
    expect_arrivals("a=3", sub);
    expect_status(AETHER_EMPTY, unit_try(sub));
    cr_assert(!is_readable(fd));
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_wait, BUS9_ends_and_cancellations_make_a_descriptor_readable)
{
    for (int way = 0; way < 5; way++) {
        aether_bus *bus = unit_bus();
        aether_subscription *sub = unit_subscribe_with(bus, "a", WITH(.label = "x"));
        int fd = fd_of(sub);
        expect_status(AETHER_EMPTY, unit_try(sub));
        cr_assert(!is_readable(fd));
        switch (way) {
        case 0:
            expect_ok(aether_unsubscribe(sub));
            break;
        case 1:
            expect_ok(aether_bus_close_label(bus, "x", AETHER_ACCESS_CHANGED));
            break;
        case 2:
            expect_ok(aether_bus_reset(bus, NULL));
            break;
        case 3:
            expect_ok(aether_bus_shutdown(bus));
            break;
        default:
            aether_subscription_cancel(sub);
        }
        cr_assert(is_readable(fd), "way %d", way);
        static const aether_status wanted[] = {AETHER_UNSUBSCRIBED, AETHER_ACCESS_CHANGED, AETHER_RESET, AETHER_SHUT_DOWN,
                                               AETHER_CANCELLED};
        expect_status(wanted[way], unit_try(sub));
        cr_assert(is_readable(fd));
        aether_subscription_close(sub);
        aether_bus_destroy(bus);
    }
}

TEST(bus_wait, BUS9_a_descriptor_tells_of_snapshots_and_of_what_is_conflated)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.words = "a=s"};
    aether_snapshot_handler handler = unit_handler(&maker);
    handler.on_pool = true;
    expect_ok(aether_bus_handle_snapshots(bus, "*", &handler));
    unit_hold(&maker);
    aether_subscription *sub = unit_subscribe_with(bus, "*", WITH(.begin = AETHER_BEGIN_SNAPSHOT, .conflate = 10));
    int fd = fd_of(sub);
    cr_assert(becomes_readable(fd));
    expect_arrivals("+a=s", sub);
    expect_status(AETHER_EMPTY, unit_try(sub));
    cr_assert(!is_readable(fd));
    unit_let_go(&maker);
    cr_assert(becomes_readable(fd));
    expect_arrivals("end@0", sub);
    expect_ok(unit_publish(bus, "a=1"));
    expect_arrivals("a=1", sub); /* from here on it follows the feed */
    expect_status(AETHER_EMPTY, unit_try(sub));
    cr_assert(!is_readable(fd));
    expect_ok(unit_publish(bus, "a=1 b=2 a=3"));
    cr_assert(is_readable(fd));
    expect_arrivals("b=2", sub); /* the feed is read to its end, and one subject waits */
    cr_assert(is_readable(fd));
    expect_events("a=3", AETHER_EMPTY, sub);
    cr_assert(!is_readable(fd));
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

TEST(bus_wait, BUS9_a_publisher_beside_an_event_loop_loses_no_wake_up)
{
    enum { PUBLISHERS = 10, EACH = 40 };
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_NOW);
    int fd = fd_of(sub);
    char words[2 * EACH + 1] = "";
    for (size_t i = 0; i < EACH; i++)
        unit_add_word(words, sizeof words, "a");
    struct unit_publisher publishers[PUBLISHERS];
    for (size_t i = 0; i < PUBLISHERS; i++)
        cr_assert(unit_publisher_start(&publishers[i], bus, words));
    aether_event event;
    uint64_t seen = 0;
    while (seen < PUBLISHERS * EACH) {
        cr_assert(becomes_readable(fd));
        while (aether_next(sub, &event, AETHER_NO_WAIT) == AETHER_OK)
            expect_number(++seen, event.index);
    }
    for (size_t i = 0; i < PUBLISHERS; i++)
        expect_ok(unit_publisher_join(&publishers[i]));
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}

/* ---------------------------------------------------------------------------------------------------------------- pollers
 */

TEST(bus_wait, BUS9_a_poller_watches_many_subscriptions_beside_cursors)
{
    enum { SUBS = 100 };
    aether_bus *bus = unit_bus();
    aether_buffer *buffer = unit_buffer();
    aether_poller *poller = aether_poller_create(&unit_allocator);
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    aether_subscription *subs[SUBS];
    char subject[16];
    for (size_t i = 0; i < SUBS; i++) {
        snprintf(subject, sizeof subject, "s.%zu", i);
        subs[i] = unit_subscribe(bus, subject, AETHER_BEGIN_NOW);
        expect_ok(aether_poller_add_subscription(poller, subs[i], &subs[i]));
    }
    expect_ok(aether_poller_add(poller, cursor, NULL));
    aether_ready ready[4];
    size_t count;
    expect_status(AETHER_EMPTY, aether_poller_wait(poller, ready, 4, &count, AETHER_NO_WAIT));
    for (size_t i = 0; i < SUBS; i += 7) {
        snprintf(subject, sizeof subject, "s.%zu=x", i);
        expect_ok(unit_publish(bus, subject));
        expect_ok(aether_poller_wait(poller, ready, 4, &count, AETHER_SECONDS(20)));
        cr_assert(count == 1 && ready[0].user == &subs[i]);
        expect_ok(aether_poller_wait(poller, ready, 4, &count, AETHER_NO_WAIT)); /* level-triggered */
        expect_events(subject, AETHER_EMPTY, subs[i]);
        expect_status(AETHER_EMPTY, aether_poller_wait(poller, ready, 4, &count, AETHER_NO_WAIT));
    }
    expect_ok(unit_append(buffer, 1, 1));
    expect_ok(aether_unsubscribe(subs[3]));
    bool cursor_seen = false, end_seen = false;
    for (int i = 0; i < 4 && !(cursor_seen && end_seen); i++) {
        expect_ok(aether_poller_wait(poller, ready, 4, &count, AETHER_SECONDS(20)));
        for (size_t at = 0; at < count; at++) {
            cursor_seen |= ready[at].cursor == cursor;
            end_seen |= ready[at].user == &subs[3];
        }
    }
    cr_assert(cursor_seen && end_seen);
    for (size_t i = 0; i < SUBS; i++)
        aether_subscription_close(subs[i]); /* also leaves the poller */
    expect_items(cursor, 1, 1);
    expect_empty(cursor);
    expect_status(AETHER_EMPTY, aether_poller_wait(poller, ready, 4, &count, AETHER_NO_WAIT));
    aether_cursor_close(cursor);
    aether_poller_destroy(poller);
    aether_buffer_destroy(buffer);
    aether_bus_destroy(bus);
}

TEST(bus_wait, BUS9_a_subscription_is_in_one_poller_or_has_a_descriptor)
{
    aether_bus *bus = unit_bus();
    aether_poller *poller = aether_poller_create(&unit_allocator), *other = aether_poller_create(&unit_allocator);
    aether_subscription *sub = unit_subscribe(bus, "a", AETHER_BEGIN_NOW),
                        *with_fd = unit_subscribe(bus, "a", AETHER_BEGIN_NOW);
    expect_ok(aether_poller_add_subscription(poller, sub, NULL));
    expect_status(AETHER_BUSY, aether_poller_add_subscription(other, sub, NULL));
    cr_assert(aether_subscription_fd(sub) == -1);
    expect_status(AETHER_BUSY, aether_error_status());
    expect_status(AETHER_INVALID, aether_poller_remove_subscription(other, sub));
    expect_ok(aether_poller_remove_subscription(poller, sub));
    cr_assert(fd_of(sub) != fd_of(with_fd));
    expect_status(AETHER_BUSY, aether_poller_add_subscription(poller, with_fd, NULL));
    expect_status(AETHER_INVALID, aether_poller_add_subscription(NULL, with_fd, NULL));
    expect_status(AETHER_INVALID, aether_poller_add_subscription(poller, NULL, NULL));
    cr_assert(aether_subscription_fd(NULL) == -1 && aether_error_status() == AETHER_INVALID);
    aether_subscription_close(sub);
    aether_subscription_close(with_fd);
    aether_poller_destroy(poller);
    aether_poller_destroy(other);
    aether_bus_destroy(bus);
}

/* -------------------------------------------------------------------------------------------------------------- callbacks
 */

/* A predicate that would wait, if it were let. */
struct tries {
    aether_bus *bus;
    aether_subscription *other;
    aether_status next;
    uint32_t calls;
};

static bool wait_inside(const aether_event *event, void *user)
{
    struct tries *tries = user;
    aether_event other;
    (void)event;
    tries->calls++;
    tries->next = aether_next(tries->other, &other, AETHER_FOREVER);
    return true;
}

TEST(bus_wait, BUS9_nothing_waits_inside_a_predicate)
{
    aether_bus *bus = unit_bus();
    struct tries tries = {.bus = bus, .other = unit_subscribe(bus, "b", AETHER_BEGIN_NOW)};
    aether_subscription *sub = unit_subscribe_with(bus, "a", WITH(.filter = {.predicate = wait_inside, .user = &tries}));
    expect_ok(unit_publish(bus, "a=1"));
    expect_events("a=1", AETHER_EMPTY, sub);
    expect_number(1, tries.calls);
    expect_status(AETHER_WOULD_BLOCK, tries.next);
    expect_ok(unit_publish(bus, "b=2"));
    expect_events("b=2", AETHER_EMPTY, tries.other); /* outside it is as ever */
    aether_subscription_close(sub);
    aether_subscription_close(tries.other);
    aether_bus_destroy(bus);
}

static void publish_until_full(struct unit_maker *maker, aether_snapshot *snapshot)
{
    (void)snapshot;
    maker->appended = unit_publish_until(maker->user, "full", 100, NULL);
}

TEST(bus_wait, BUS9_a_handler_that_publishes_does_not_wait_for_room)
{
    aether_bus *bus = unit_bus();
    struct unit_maker maker = {.begin = publish_until_full, .user = bus, .words = "s=1"};
    unit_handle(bus, "s", &maker);
    aether_subscription *full = unit_subscribe_with(bus, "full", WITH(.on_limit = AETHER_WAIT, .limit_bytes = UNIT_LIMIT));
    aether_subscription *sub = unit_watch(bus, "s");
    expect_status(AETHER_WOULD_BLOCK, maker.appended);
    expect_events("+s=1 end@0", AETHER_EMPTY, sub);
    aether_subscription_close(sub);
    aether_subscription_close(full);
    aether_bus_destroy(bus);
}

/* ---------------------------------------------------------------------------------------------------------- progress marks
 */

TEST(bus_wait, BUS9_progress_marks_tell_who_sees_nothing_how_far_it_has_got)
{
    aether_bus *bus = unit_bus();
    unit_clock_install(unit_now());
    static const char *const none[] = {"Nothing"};
    aether_subscription *idle = unit_subscribe_with(bus, "a", WITH(.progress_ns = AETHER_SECONDS(1)));
    aether_subscription *filtered =
        unit_subscribe_with(bus, ">", WITH(.progress_ns = AETHER_SECONDS(1), .filter = {.types = none, .type_count = 1}));
    unit_clock_advance(AETHER_SECONDS(2));
    expect_events("", AETHER_EMPTY, idle); /* the bus has not gone on */
    expect_ok(unit_publish(bus, "b c d"));
    unit_clock_advance(AETHER_SECONDS(2));
    expect_events("passed@3", AETHER_EMPTY, idle);
    expect_position(UNIT_EPOCH, 3, aether_subscription_position(idle));
    expect_events("", AETHER_EMPTY, filtered); /* it has passed those itself */
    expect_position(UNIT_EPOCH, 3, aether_subscription_position(filtered));
    expect_ok(unit_publish(bus, "b"));
    expect_events("", AETHER_EMPTY, idle); /* not so soon again */
    unit_clock_advance(AETHER_MILLISECONDS(900));
    expect_events("", AETHER_EMPTY, idle);
    unit_clock_advance(AETHER_MILLISECONDS(200));
    expect_ok(unit_publish(bus, "a=x b"));
    expect_events("a=x passed@6", AETHER_EMPTY, idle); /* never before what is there */
    expect_account(idle, .published = 1, .delivered = 1);
    aether_subscription_close(idle);
    aether_subscription_close(filtered);
    aether_bus_destroy(bus);
}

TEST(bus_wait, BUS9_who_waits_is_woken_for_a_progress_mark)
{
    aether_bus *bus = unit_bus();
    aether_subscription *sub = unit_subscribe_with(bus, "a", WITH(.progress_ns = AETHER_MILLISECONDS(5)));
    struct unit_follower follower;
    cr_assert(unit_follower_put_to_sleep(&follower, sub));
    expect_ok(unit_publish(bus, "b=1"));
    expect_ok(unit_follower_join(&follower));
    cr_assert_str_eq(follower.word, "passed@1");
    aether_event event;
    expect_status(AETHER_TIMEOUT, aether_next(sub, &event, AETHER_MILLISECONDS(20))); /* nothing new */
    aether_subscription_close(sub);
    aether_bus_destroy(bus);
}
