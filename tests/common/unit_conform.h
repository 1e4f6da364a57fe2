/*
 * What every store has to do (STO1 to STO8), written once: each store's test program includes this, says what it is, and
 * expands UNIT_CONFORM.
 *
 *      static const struct conform conform = {...};
 *      #define CASE(name) TEST(store_memory, name) { conform_##name(); }
 *      UNIT_CONFORM(CASE)
 */
#ifndef UNIT_CONFORM_H
#define UNIT_CONFORM_H

#include "common/unit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "aether/state.h"
#include "aether/store.h"
#include "common/unit_log.h"
#include "common/unit_memory.h"

struct conform {
    const char *(*new_url)(void); /* of a store that is not there yet */
    bool keeps;                   /* it is there again when it is opened again */
    bool finds_older_ids;
    aether_durability durability;
};

extern const struct conform conform;

/* ------------------------------------------------------------------------------------------------------------ helpers */

static inline aether_store *conform_open_with(const char *url, aether_store_options options)
{
    options.allocator = &unit_allocator;
    aether_store *store = aether_store_open(url, &options);
    cr_assert(store != NULL, "cannot open %s: %s", url, aether_error());
    return store;
}

static inline aether_store *conform_open(void)
{
    return conform_open_with(conform.new_url(), (aether_store_options){0});
}

static inline aether_event conform_event(const char *actor, int64_t version, uint8_t id, const char *data)
{
    return (aether_event){.actor = actor, .type = "Tested", .version = version, .id = {id}, .data = AETHER_TEXT(data)};
}

/* A save of one event: version 0 is drawn, id 0 too. */
static inline aether_status conform_save(aether_store *store, const char *actor, int64_t version, uint8_t id,
                                         int64_t expected, aether_saved *saved)
{
    aether_event event = conform_event(actor, version, id, "{}");
    aether_save_options options = {.expected = expected};
    return aether_save_batch(store, &event, 1, &options, saved);
}

static inline void conform_fill(aether_store *store, const char *actor, int64_t from, int64_t to)
{
    for (int64_t version = from; version <= to; version++)
        expect_ok(conform_save(store, actor, version, 0, 0, NULL));
}

/* The versions that a replay gives, as "1 2 3"; then its last status. */
static inline const char *conform_versions(aether_replay *replay, aether_status *last)
{
    static char text[4096];
    size_t used = 0;
    text[0] = '\0';
    cr_assert(replay != NULL, "no replay: %s", aether_error());
    aether_event event;
    while ((*last = aether_replay_next(replay, &event, AETHER_NO_WAIT)) == AETHER_OK)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%lld", used != 0 ? " " : "", (long long)event.version);
    aether_replay_close(replay);
    return text;
}

#define expect_versions(wanted, replay)                                                                                     \
    do {                                                                                                                    \
        aether_status last_came;                                                                                            \
        const char *versions_came = conform_versions(replay, &last_came);                                                   \
        cr_assert_str_eq(versions_came, wanted);                                                                            \
        expect_status(AETHER_ENDED, last_came);                                                                             \
    } while (0)

#define expect_latest(wanted, store, actor)                                                                                 \
    do {                                                                                                                    \
        int64_t version_came = -1;                                                                                          \
        expect_ok(aether_latest(store, actor, &version_came));                                                              \
        expect_number(wanted, version_came);                                                                                \
    } while (0)

static inline bool conform_is(const char *wanted, const char *text, size_t size)
{
    return strlen(wanted) == size && memcmp(wanted, text, size) == 0;
}

/* -------------------------------------------------------------------------------------------------------------- STO1 */

static inline void conform_STO1_what_was_saved_comes_back_byte_by_byte(void)
{
    aether_store *store = conform_open();
    static const char data[] = "{\"n\":9007199254740993,\"t\":\"\\u00e9\"} ", metadata[] = "{\"correlation_id\":\"c\"}";
    aether_event event = {.actor = "order-42",
                          .type = "OrderPaid",
                          .version = 7,
                          .timestamp = INT64_C(1700000000123456789),
                          .id = {1, 2, 3},
                          .data = AETHER_TEXT(data),
                          .metadata = AETHER_TEXT(metadata),
                          .extra = AETHER_TEXT("\"x\":1")};
    aether_saved saved;
    expect_ok(aether_save(store, &event, &saved));
    expect_number(7, saved.version);
    cr_assert(memcmp(saved.id, event.id, 16) == 0 && !saved.duplicate);
    expect_number(conform.durability, saved.durability);
    aether_replay *replay = aether_load(store, "order-42", NULL);
    aether_event back;
    cr_assert(replay != NULL);
    expect_ok(aether_replay_next(replay, &back, AETHER_NO_WAIT));
    cr_assert(conform_is("order-42", back.actor, back.actor_size) && conform_is("OrderPaid", back.type, back.type_size));
    cr_assert(conform_is(data, back.data.data, back.data.size) &&
              conform_is(metadata, back.metadata.data, back.metadata.size));
    cr_assert(conform_is("\"x\":1", back.extra.data, back.extra.size));
    cr_assert(back.version == 7 && back.timestamp == event.timestamp && memcmp(back.id, event.id, 16) == 0);
    expect_position(saved.position.epoch, saved.position.index, ((aether_position){back.epoch, back.index}));
    aether_replay_close(replay);
    aether_store_close(store);
}

static inline void conform_STO1_bytes_that_are_no_text_are_kept(void)
{
    aether_store *store = conform_open();
    unsigned char bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (unsigned char)i;
    aether_event event = {.actor = "a", .type = "T", .data = aether_bytes(bytes, sizeof bytes)};
    expect_ok(aether_save(store, &event, NULL));
    aether_replay *replay = aether_load(store, "a", NULL);
    cr_assert(replay != NULL);
    aether_event back;
    expect_ok(aether_replay_next(replay, &back, AETHER_NO_WAIT));
    cr_assert(back.data.size == sizeof bytes && memcmp(back.data.data, bytes, sizeof bytes) == 0);
    cr_assert(back.metadata.size == 0);
    aether_replay_close(replay);
    aether_store_close(store);
}

/* The defect of tests that only read back: what the saver does with its memory afterwards changes nothing. */
static inline void conform_STO1_S27_a_saved_event_does_not_follow_the_savers_memory(void)
{
    aether_store *store = conform_open();
    char actor[] = "actor", type[] = "Type", data[] = "{\"a\":1}";
    aether_event event = {.actor = actor, .type = type, .data = AETHER_TEXT(data)};
    expect_ok(aether_save(store, &event, NULL));
    memset(actor, 'x', 5);
    memset(type, 'x', 4);
    memset(data, 'x', 7);
    aether_replay *replay = aether_load(store, "actor", NULL);
    aether_event back;
    cr_assert(replay != NULL);
    expect_ok(aether_replay_next(replay, &back, AETHER_NO_WAIT));
    cr_assert(conform_is("Type", back.type, back.type_size) && conform_is("{\"a\":1}", back.data.data, back.data.size));
    aether_replay_close(replay);
    aether_store_close(store);
}

static inline void conform_STO1_ids_times_and_versions_are_drawn(void)
{
    aether_store *store = conform_open();
    int64_t before = aether_now();
    aether_saved first, second;
    expect_ok(aether_save(store, AETHER_EVENT(.actor = "a", .type = "T"), &first));
    expect_ok(aether_save(store, AETHER_EVENT(.actor = "a", .type = "T"), &second));
    cr_assert(first.version == 1 && second.version == 2 && memcmp(first.id, second.id, 16) != 0);
    cr_assert(first.id[6] >> 4 == 7 && first.id[8] >> 6 == 2, "not a UUID of version 7");
    aether_replay *replay = aether_load(store, "a", NULL);
    aether_event back;
    cr_assert(replay != NULL);
    expect_ok(aether_replay_next(replay, &back, AETHER_NO_WAIT));
    cr_assert(back.timestamp >= before && back.timestamp <= aether_now() && memcmp(back.id, first.id, 16) == 0);
    aether_replay_close(replay);
    aether_store_close(store);
}

static inline void conform_STO1_a_closing_event_ends_its_actor(void)
{
    aether_store *store = conform_open();
    conform_fill(store, "a", 1, 2);
    aether_event closing = conform_event("a", 3, 9, "{}");
    closing.flags = AETHER_EVENT_CLOSING;
    expect_ok(aether_save(store, &closing, NULL));
    aether_saved saved;
    expect_refused(AETHER_ACTOR_ENDED, "version 3", conform_save(store, "a", 4, 0, 0, &saved));
    expect_number(3, saved.conflict.current);
    expect_refused(AETHER_ACTOR_ENDED, "ended", conform_save(store, "a", 0, 0, 3, NULL));
    expect_ok(aether_save(store, &closing, &saved));
    cr_assert(saved.duplicate && saved.version == 3);
    expect_ok(conform_save(store, "b", 1, 0, 0, NULL));
    aether_replay *replay = aether_load(store, "a", &(aether_load_options){.from_version = 3});
    aether_event back;
    cr_assert(replay != NULL);
    expect_ok(aether_replay_next(replay, &back, AETHER_NO_WAIT));
    expect_number(AETHER_EVENT_CLOSING, back.flags);
    aether_replay_close(replay);
    aether_event two[2] = {closing, conform_event("c", 4, 8, "{}")};
    two[0].actor = "c";
    expect_refused(AETHER_INVALID, "after a closing event", aether_save_batch(store, two, 2, NULL, NULL));
    aether_store_close(store);
}

/* -------------------------------------------------------------------------------------------------------------- STO2 */

static inline void conform_STO2_a_batch_stands_whole_or_not_at_all(void)
{
    aether_store *store = conform_open();
    aether_event events[3] = {conform_event("a", 0, 0, "1"), conform_event("a", 0, 0, "2"), conform_event("a", 0, 0, "3")};
    aether_saved saved;
    expect_ok(aether_save_batch(store, events, 3, NULL, &saved));
    expect_number(3, saved.version);
    expect_refused(AETHER_CONFLICT, "version 3",
                   aether_save_batch(store, events, 3, &(aether_save_options){.expected = 2}, &saved));
    expect_versions("1 2 3", aether_load(store, "a", NULL));
    events[1].actor = "b";
    expect_refused(AETHER_INVALID, "event 1 is of another actor", aether_save_batch(store, events, 3, NULL, NULL));
    expect_refused(AETHER_INVALID, "no events", aether_save_batch(store, events, 0, NULL, NULL));
    expect_latest(3, store, "a");
    aether_store_close(store);
}

static inline void conform_STO2_S13_S14_versions_of_a_load_are_inclusive_at_both_ends(void)
{
    aether_store *store = conform_open();
    conform_fill(store, "a", 1, 5);
    expect_versions("1 2 3 4 5", aether_load(store, "a", NULL));
    expect_versions("3 4 5", aether_load(store, "a", &(aether_load_options){.from_version = 3}));
    expect_versions("3 4", aether_load(store, "a", &(aether_load_options){.from_version = 3, .to_version = 4}));
    expect_versions("5", aether_load(store, "a", &(aether_load_options){.from_version = 5}));
    expect_versions("", aether_load(store, "a", &(aether_load_options){.from_version = 6}));
    expect_versions("5 4 3 2 1", aether_load(store, "a", &(aether_load_options){.backwards = true}));
    expect_versions("4 3",
                    aether_load(store, "a", &(aether_load_options){.backwards = true, .from_version = 3, .to_version = 4}));
    expect_versions("5 4", aether_load(store, "a", &(aether_load_options){.backwards = true, .limit = 2}));
    expect_versions("1 2", aether_load(store, "a", &(aether_load_options){.limit = 2}));
    expect_versions("", aether_load(store, "nobody", NULL));
    aether_store_close(store);
}

static inline void conform_STO2_S24_all_events_stand_in_one_order(void)
{
    aether_store *store = conform_open();
    aether_saved saved[6];
    for (int i = 0; i < 6; i++)
        expect_ok(conform_save(store, i % 2 != 0 ? "b-1" : "a-1", 10 * (i + 1), 0, 0, &saved[i]));
    for (int i = 1; i < 6; i++)
        cr_assert(saved[i].position.index == saved[i - 1].position.index + 1 &&
                  saved[i].position.epoch == saved[0].position.epoch);
    expect_versions("10 20 30 40 50 60", aether_load_all(store, NULL));
    expect_versions("60 50 40 30 20 10", aether_load_all(store, &(aether_load_options){.backwards = true}));
    expect_versions("40 50 60", aether_load_all(store, &(aether_load_options){.after = saved[2].position}));
    expect_versions("40 50", aether_load_all(store, &(aether_load_options){.after = saved[2].position,
                                                                           .to_index = saved[4].position.index}));
    expect_versions("60 50", aether_load_all(store, &(aether_load_options){.after = saved[3].position, .backwards = true}));
    expect_versions("20 40 60", aether_load_all(store, &(aether_load_options){.actor_prefix = "b-"}));
    expect_versions("10 30", aether_load_all(store, &(aether_load_options){.actor_prefix = "a-", .limit = 2}));
    aether_position newest;
    expect_ok(aether_store_newest(store, &newest));
    expect_position(saved[5].position.epoch, saved[5].position.index, newest);
    cr_assert(aether_load_all(store, &(aether_load_options){.after = {newest.epoch, newest.index + 1}}) == NULL);
    expect_failure(AETHER_AHEAD, "beyond the newest");
    cr_assert(aether_load_all(store, &(aether_load_options){.after = {newest.epoch + 1, 1}}) == NULL);
    expect_failure(AETHER_OTHER_EPOCH, "another store");
    aether_store_close(store);
}

static inline void conform_STO2_a_load_can_be_of_types(void)
{
    aether_store *store = conform_open();
    static const char *const types[] = {"A", "B", "C"};
    for (int i = 0; i < 6; i++)
        expect_ok(aether_save(store, AETHER_EVENT(.actor = "a", .type = types[i % 3]), NULL));
    expect_versions("2 5", aether_load(store, "a", &(aether_load_options){.types = &types[1], .type_count = 1}));
    expect_versions("6 5 3 2",
                    aether_load_all(store, &(aether_load_options){.types = &types[1], .type_count = 2, .backwards = true}));
    static const char *const none[] = {"D"};
    expect_versions("", aether_load_all(store, &(aether_load_options){.types = none, .type_count = 1}));
    aether_store_close(store);
}

static inline void conform_STO2_a_load_ends_where_the_store_ended_when_it_began(void)
{
    aether_store *store = conform_open();
    conform_fill(store, "a", 1, 3);
    aether_replay *one = aether_load(store, "a", NULL), *all = aether_load_all(store, NULL);
    conform_fill(store, "a", 4, 6);
    expect_versions("1 2 3", one);
    expect_versions("1 2 3", all);
    aether_store_close(store);
}

/* The Go aether truncated histories at a page's end without a word. */
static inline void conform_STO2_S11_long_histories_come_whole(void)
{
    enum { EVENTS = 5000, BATCH = 500 };
    aether_store *store = conform_open();
    aether_event events[BATCH];
    for (int i = 0; i < BATCH; i++)
        events[i] = conform_event("a", 0, 0, "{}");
    for (int i = 0; i < EVENTS / BATCH; i++)
        expect_ok(aether_save_batch(store, events, BATCH, NULL, NULL));
    for (int all = 0; all < 2; all++)
        for (int backwards = 0; backwards < 2; backwards++) {
            aether_load_options options = {.backwards = backwards != 0};
            aether_replay *replay = all != 0 ? aether_load_all(store, &options) : aether_load(store, "a", &options);
            cr_assert(replay != NULL);
            aether_event event;
            for (int64_t version = 1; version <= EVENTS; version++) {
                expect_ok(aether_replay_next(replay, &event, AETHER_NO_WAIT));
                expect_number(backwards != 0 ? EVENTS + 1 - version : version, event.version);
            }
            expect_status(AETHER_ENDED, aether_replay_next(replay, &event, AETHER_NO_WAIT));
            expect_status(AETHER_ENDED, aether_replay_next(replay, &event, AETHER_NO_WAIT));
            aether_replay_close(replay);
        }
    aether_store_close(store);
}

static inline void conform_STO2_S7_S9_names_are_told_apart_byte_by_byte(void)
{
    static const char *const actors[] = {"a.b",  "a b",    "a*b",      "a>b",       "a_b", "a%b", "A.b",
                                         "a.b ", "a\r\nb", "\xc3\xa9", "e\xcc\x81", "-",   "a-"};
    enum { ACTORS = sizeof actors / sizeof *actors };
    aether_store *store = conform_open();
    for (int i = 0; i < ACTORS; i++)
        expect_ok(conform_save(store, actors[i], i + 1, 0, AETHER_EXPECT_NONE, NULL));
    for (int i = 0; i < ACTORS; i++) {
        char wanted[12];
        snprintf(wanted, sizeof wanted, "%d", i + 1);
        expect_versions(wanted, aether_load(store, actors[i], NULL));
        expect_latest(i + 1, store, actors[i]);
    }
    aether_store_close(store);
}

static inline void conform_STO2_names_have_limits_that_are_told(void)
{
    aether_store *store = conform_open();
    char name[AETHER_NAME_MAX + 2];
    memset(name, 'a', sizeof name);
    name[AETHER_NAME_MAX + 1] = '\0';
    expect_refused(AETHER_INVALID, "1025 bytes", conform_save(store, name, 0, 0, 0, NULL));
    name[AETHER_NAME_MAX] = '\0';
    expect_ok(conform_save(store, name, 0, 0, 0, NULL));
    expect_latest(1, store, name);
    expect_versions("1", aether_load(store, name, NULL));
    expect_refused(AETHER_INVALID, "actor is missing", conform_save(store, "", 0, 0, 0, NULL));
    expect_refused(AETHER_INVALID, "actor is missing", conform_save(store, NULL, 0, 0, 0, NULL));
    expect_refused(AETHER_INVALID, "not UTF-8 without NUL at byte 1 (0xff)", conform_save(store, "a\xff", 0, 0, 0, NULL));
    expect_refused(AETHER_INVALID, "type is missing", aether_save(store, AETHER_EVENT(.actor = "a"), NULL));
    expect_refused(AETHER_INVALID, "below 0", conform_save(store, "a", -1, 0, 0, NULL));
    expect_refused(AETHER_INVALID, "expected", conform_save(store, "a", 0, 0, -3, NULL));
    aether_event nul = conform_event("a", 0, 0, "{}");
    nul.actor = "a\0b";
    nul.actor_size = 3;
    expect_refused(AETHER_INVALID, "at byte 1 (0x00)", aether_save(store, &nul, NULL));
    int64_t version;
    expect_refused(AETHER_INVALID, "actor is missing", aether_latest(store, "", &version));
    cr_assert(aether_load(store, "", NULL) == NULL);
    expect_failure(AETHER_INVALID, "actor is missing");
    aether_store_close(store);
}

static inline void conform_STO2_many_saves_at_once_each_have_their_answer(void)
{
    aether_store *store = conform_open();
    conform_fill(store, "a", 1, 1);
    aether_event events[5] = {conform_event("a", 2, 0, "{}"), conform_event("a", 2, 0, "{}"), conform_event("b", 1, 0, "{}"),
                              conform_event("", 1, 0, "{}"), conform_event("a", 3, 0, "{}")};
    aether_save_request requests[5] = {{.events = 0}};
    for (int i = 0; i < 5; i++)
        requests[i] = (aether_save_request){.events = &events[i], .count = 1};
    requests[4].options.expected = 2;
    expect_refused(AETHER_CONFLICT, "request 1", aether_save_each(store, requests, 5));
    static const aether_status wanted[] = {AETHER_OK, AETHER_CONFLICT, AETHER_OK, AETHER_INVALID, AETHER_OK};
    for (int i = 0; i < 5; i++)
        expect_status(wanted[i], requests[i].status);
    cr_assert(requests[1].saved.conflict.current == 2 && requests[4].saved.version == 3);
    expect_versions("1 2 3", aether_load(store, "a", NULL));
    expect_versions("1", aether_load(store, "b", NULL));
    aether_store_close(store);
}

/* In the Go aether each of these took a second. */
static inline void conform_STO2_S12_actors_without_events_are_answered_at_once(void)
{
    aether_store *store = conform_open();
    int64_t began = aether_now();
    for (int i = 0; i < 100; i++) {
        char actor[20];
        snprintf(actor, sizeof actor, "nobody-%d", i);
        expect_latest(0, store, actor);
        expect_versions("", aether_load(store, actor, NULL));
    }
    cr_assert(aether_now() - began < AETHER_SECONDS(10));
    aether_store_close(store);
}

/* -------------------------------------------------------------------------------------------------------- STO3, STO4 */

/* A cell of the table: an actor with these versions, and a save. */
struct conform_cell {
    const char *has; /* "1 2 3", with "!" behind a closing one */
    int64_t version, expected;
    bool contiguous;
    aether_status wanted;
    int64_t from; /* of a conflict */
};

static inline void conform_STO3_every_cell_of_the_table_of_versions(void)
{
    static const struct conform_cell cells[] = {
        {"", 1, 0, false, AETHER_OK, 0},
        {"", 0, 0, false, AETHER_OK, 0},
        {"", 5, 0, false, AETHER_OK, 0},
        {"", 5, 0, true, AETHER_CONFLICT, 1},
        {"", 1, 0, true, AETHER_OK, 0},
        {"", 0, 0, true, AETHER_OK, 0},
        {"", 1, AETHER_EXPECT_NONE, false, AETHER_OK, 0},
        {"", 1, AETHER_EXPECT_SOME, false, AETHER_CONFLICT, 1},
        {"", 1, 3, false, AETHER_CONFLICT, 1},
        {"", INT64_MAX, 0, false, AETHER_OK, 0},
        {"1 2 3", 4, 0, false, AETHER_OK, 0},
        {"1 2 3", 0, 0, false, AETHER_OK, 0},
        {"1 2 3", 9, 0, false, AETHER_OK, 0},
        {"1 2 3", 9, 0, true, AETHER_CONFLICT, 4},
        {"1 2 3", 4, 0, true, AETHER_OK, 0},
        {"1 2 3", 3, 0, false, AETHER_CONFLICT, 3},
        {"1 2 3", 1, 0, false, AETHER_CONFLICT, 1},
        {"1 2 3", 1, 0, true, AETHER_CONFLICT, 1},
        {"1 2 3", 4, AETHER_EXPECT_NONE, false, AETHER_CONFLICT, 1},
        {"1 2 3", 4, AETHER_EXPECT_SOME, false, AETHER_OK, 0},
        {"1 2 3", 4, 3, false, AETHER_OK, 0},
        {"1 2 3", 0, 3, false, AETHER_OK, 0},
        {"1 2 3", 8, 3, false, AETHER_OK, 0},
        {"1 2 3", 8, 3, true, AETHER_CONFLICT, 4},
        {"1 2 3", 3, 2, false, AETHER_CONFLICT, 3},
        {"1 2 3", 4, 2, false, AETHER_CONFLICT, 3},
        {"1 2 3", 0, 1, false, AETHER_CONFLICT, 2},
        {"1 2 3", 5, 4, false, AETHER_CONFLICT, 4},
        {"1 2 3", 3, 3, false, AETHER_CONFLICT, 3},
        {"2 5", 3, 0, false, AETHER_CONFLICT, 3},
        {"2 5", 6, 5, false, AETHER_OK, 0},
        {"2 5", 6, 4, false, AETHER_CONFLICT, 5},
        {"1 2!", 3, 0, false, AETHER_ACTOR_ENDED, 0},
        {"1 2!", 3, 2, false, AETHER_ACTOR_ENDED, 0},
        {"1 2!", 3, AETHER_EXPECT_NONE, false, AETHER_ACTOR_ENDED, 0},
        {"1 2!", 1, 0, false, AETHER_ACTOR_ENDED, 0},
        {"9223372036854775807", 0, 0, false, AETHER_CONFLICT, 0},
    };
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++) {
        const struct conform_cell *cell = &cells[i];
        const char *url = conform.new_url();
        aether_store *store = conform_open_with(url, (aether_store_options){.contiguous = cell->contiguous});
        int64_t latest = 0;
        for (const char *at = cell->has; *at != '\0';) {
            char *end;
            latest = strtoll(at, &end, 10);
            aether_event event = conform_event("a", latest, 0, "{}");
            event.flags = *end == '!' ? AETHER_EVENT_CLOSING : 0;
            expect_ok(aether_save(store, &event, NULL));
            at = end + strspn(end, "! ");
        }
        aether_saved saved;
        aether_status status = conform_save(store, "a", cell->version, 0, cell->expected, &saved);
        cr_assert(status == cell->wanted, "cell %zu: has \"%s\", version %lld, expected %lld: %s", i, cell->has,
                  (long long)cell->version, (long long)cell->expected, aether_status_text(status));
        expect_number(cell->version, saved.conflict.attempted);
        expect_number(cell->expected, saved.conflict.expected);
        if (status == AETHER_OK) {
            expect_number(cell->version != 0 ? cell->version : latest + 1, saved.version);
            expect_latest(saved.version, store, "a");
            cr_assert(saved.position.index != 0 && saved.durability == conform.durability);
        } else {
            expect_number(latest, saved.conflict.current);
            cr_assert(saved.position.index == 0 && saved.durability == AETHER_DURABILITY_NONE);
            expect_latest(latest, store, "a");
        }
        if (cell->from != 0)
            expect_number(cell->from, saved.conflict.from);
        aether_store_close(store);
    }
}

static inline void conform_STO3_a_conflict_carries_what_came_in_between(void)
{
    aether_store *store = conform_open();
    conform_fill(store, "a", 1, 6);
    aether_saved saved;
    expect_status(AETHER_CONFLICT, conform_save(store, "a", 4, 0, 3, &saved));
    cr_assert(saved.conflict.attempted == 4 && saved.conflict.expected == 3 && saved.conflict.current == 6);
    expect_versions("4 5 6", aether_load_conflict(store, "a", &saved));
    expect_status(AETHER_CONFLICT, conform_save(store, "a", 5, 0, 0, &saved));
    expect_versions("5 6", aether_load_conflict(store, "a", &saved));
    expect_status(AETHER_CONFLICT, conform_save(store, "b", 1, 0, 3, &saved));
    expect_versions("", aether_load_conflict(store, "b", &saved));
    aether_store_close(store);
}

/* What is saved under an id, and what comes again. */
static inline void conform_STO4_S5_every_cell_of_the_table_of_ids(void)
{
    aether_store *store = conform_open();
    aether_event first = conform_event("a", 1, 1, "{\"n\":1}");
    aether_saved saved, again;
    expect_ok(aether_save(store, &first, &saved));
    expect_ok(aether_save(store, &first, &again)); /* the same id and content */
    cr_assert(again.duplicate && again.version == 1 && again.position.index == saved.position.index);
    expect_number(conform.durability, again.durability);
    aether_event other = first;
    other.data = AETHER_TEXT("{\"n\":2}");
    expect_refused(AETHER_ID_REUSED, "another event under an id", aether_save(store, &other, &again));
    cr_assert(!again.duplicate && again.position.index == 0);
    other = first;
    other.type = "Other";
    expect_status(AETHER_ID_REUSED, aether_save(store, &other, NULL));
    other = first;
    other.version = 2; /* the same id at another version is another event */
    expect_status(AETHER_ID_REUSED, aether_save(store, &other, NULL));
    other = first;
    other.metadata = AETHER_TEXT("{}");
    expect_status(AETHER_ID_REUSED, aether_save(store, &other, NULL));
    other = first;
    other.version = 0; /* a drawn version is the stored one */
    expect_ok(aether_save(store, &other, &again));
    cr_assert(again.duplicate && again.version == 1);
    other.actor = "b"; /* another actor's ids do not count */
    expect_ok(aether_save(store, &other, &again));
    cr_assert(!again.duplicate && again.version == 1);
    /* The same save with what it expected then: it was right then. */
    aether_event second = conform_event("a", 2, 2, "{}");
    aether_save_options options = {.expected = 1};
    expect_ok(aether_save_batch(store, &second, 1, &options, NULL));
    expect_ok(conform_save(store, "a", 3, 0, 0, NULL));
    expect_ok(aether_save_batch(store, &second, 1, &options, &again));
    cr_assert(again.duplicate && again.version == 2);
    expect_versions("1 2 3", aether_load(store, "a", NULL));
    aether_store_close(store);
}

static inline void conform_STO4_ids_of_batches(void)
{
    aether_store *store = conform_open();
    aether_event events[3] = {conform_event("a", 0, 1, "1"), conform_event("a", 0, 2, "2"), conform_event("a", 0, 3, "3")};
    aether_saved saved;
    expect_ok(aether_save_batch(store, events, 3, NULL, NULL));
    expect_ok(aether_save_batch(store, events, 3, NULL, &saved));
    cr_assert(saved.duplicate && saved.version == 3);
    expect_ok(aether_save_batch(store, events + 1, 2, NULL, &saved)); /* a part of it is there, one after another */
    cr_assert(saved.duplicate && saved.version == 3);
    aether_event swapped[2] = {events[1], events[0]};
    expect_status(AETHER_ID_REUSED, aether_save_batch(store, swapped, 2, NULL, NULL));
    aether_event half[2] = {events[2], conform_event("a", 0, 4, "4")};
    expect_status(AETHER_ID_REUSED, aether_save_batch(store, half, 2, NULL, NULL));
    aether_event new_first[2] = {conform_event("a", 0, 5, "5"), events[2]};
    expect_status(AETHER_ID_REUSED, aether_save_batch(store, new_first, 2, NULL, NULL));
    aether_event twice[2] = {conform_event("a", 0, 6, "6"), conform_event("a", 0, 6, "6")};
    expect_refused(AETHER_INVALID, "same id", aether_save_batch(store, twice, 2, NULL, NULL));
    aether_event mixed[2] = {conform_event("a", 0, 7, "7"), conform_event("a", 0, 0, "8")};
    expect_refused(AETHER_INVALID, "ids", aether_save_batch(store, mixed, 2, NULL, NULL));
    expect_versions("1 2 3", aether_load(store, "a", NULL));
    aether_store_close(store);
}

static inline void conform_STO4_older_ids_are_found_where_the_store_says_so(void)
{
    if (!conform.finds_older_ids)
        return;
    aether_store *store = conform_open();
    aether_event first = conform_event("a", 1, 1, "{}");
    expect_ok(aether_save(store, &first, NULL));
    conform_fill(store, "a", 2, 400);
    aether_saved saved;
    expect_ok(aether_save(store, &first, &saved));
    cr_assert(saved.duplicate && saved.version == 1);
    first.version = 401;
    expect_status(AETHER_ID_REUSED, aether_save(store, &first, NULL));
    aether_store_close(store);
}

static inline void conform_STO5_a_retry_has_the_ids_and_the_base_of_the_first_attempt(void)
{
    aether_store *store = conform_open();
    conform_fill(store, "a", 1, 2);
    aether_event events[3] = {conform_event("a", 0, 0, "1"), conform_event("a", 0, 0, "2"), conform_event("a", 0, 0, "3")};
    for (size_t count = 1; count <= 3; count++) {
        aether_saved first, again;
        aether_position newest[2];
        expect_ok(aether_save_batch(store, events, count, NULL, &first));
        expect_ok(aether_store_newest(store, &newest[0]));
        expect_ok(conform_save(store, "a", 0, 0, 0, NULL)); /* somebody else goes on */
        aether_save_options options = {.retry = &first};
        expect_ok(aether_save_batch(store, events, count, &options, &again));
        cr_assert(again.duplicate && again.version == first.version && again.base == first.base &&
                  memcmp(again.id, first.id, 16) == 0);
        expect_ok(aether_store_newest(store, &newest[1]));
        expect_number(newest[0].index + 1, newest[1].index);
    }
    aether_store_close(store);
}

static inline void conform_STO5_saved_is_filled_on_every_outcome(void)
{
    aether_store *store = conform_open();
    aether_saved saved;
    memset(&saved, 0xff, sizeof saved);
    expect_status(AETHER_INVALID, conform_save(store, "", 3, 5, 0, &saved));
    cr_assert(saved.position.index == 0 && saved.durability == AETHER_DURABILITY_NONE && !saved.duplicate);
    expect_ok(conform_save(store, "a", 1, 5, 0, &saved));
    cr_assert(saved.base == 0 && saved.has_base && saved.id[0] == 5);
    memset(&saved, 0xff, sizeof saved);
    expect_status(AETHER_CONFLICT, conform_save(store, "a", 1, 6, 0, &saved));
    cr_assert(saved.base == 1 && saved.has_base && saved.id[0] == 6 && !saved.duplicate && saved.position.index == 0);
    aether_store_close(store);
}

/* -------------------------------------------------------------------------------------------------------------- STO6 */

static inline void conform_STO6_S2_latest_is_right_whoever_saves(void)
{
    const char *url = conform.new_url();
    if (!conform.keeps)
        url = "memory:shared";
    aether_store *one = conform_open_with(url, (aether_store_options){0}),
                 *other = conform_open_with(url, (aether_store_options){0});
    for (int64_t version = 1; version <= 50; version++) {
        expect_latest(version - 1, one, "a");
        expect_latest(version - 1, other, "a");
        expect_ok(conform_save(version % 3 == 0 ? one : other, "a", version, 0,
                               version > 1 ? version - 1 : AETHER_EXPECT_NONE, NULL));
        expect_latest(version, one, "a");
        expect_latest(version, one, "a");
        expect_latest(version, other, "a");
    }
    aether_saved saved;
    expect_ok(conform_save(other, "a", 60, 0, 0, NULL));
    expect_status(AETHER_CONFLICT, conform_save(one, "a", 51, 0, 0, &saved)); /* a stale cache accepted this (S2) */
    expect_number(60, saved.conflict.current);
    aether_store_close(one);
    aether_store_close(other);
}

static inline void conform_STO6_S23_the_cache_is_bounded(void)
{
    aether_store *store = conform_open_with(conform.new_url(), (aether_store_options){.cached_actors = 1});
    for (int i = 0; i < 2000; i++) {
        char actor[20];
        snprintf(actor, sizeof actor, "actor-%d", i);
        aether_save_request request = {.events = AETHER_EVENT(.actor = actor, .type = "T"), .count = 1};
        if (i % 100 == 0)
            expect_ok(aether_save_each(store, &request, 1));
        expect_latest(i % 100 == 0, store, actor);
    }
    expect_latest(1, store, "actor-100");
    aether_store_close(store);
}

/* -------------------------------------------------------------------------------------------------------------- STO7 */

/* Counts events and adds their numbers up. */
struct conform_state {
    int64_t count, sum;
};

static uint64_t conform_applied; /* atomic */
static bool conform_fails, conform_cannot_restore, conform_cannot_capture;

static inline void *conform_create(void *user)
{
    (void)user;
    return calloc(1, sizeof(struct conform_state));
}

static inline void conform_destroy(void *state, void *user)
{
    (void)user;
    free(state);
}

static inline aether_status conform_apply(void *state, const aether_event *event, void *user)
{
    (void)user;
    struct conform_state *sums = state;
    (void)__atomic_fetch_add(&conform_applied, 1, __ATOMIC_RELAXED);
    if (conform_fails)
        return AETHER_FAILED;
    sums->count++;
    sums->sum += event->version;
    return AETHER_OK;
}

static inline aether_status conform_capture(const void *state, aether_capture *out, void *user)
{
    (void)user;
    return conform_cannot_capture ? AETHER_FAILED : aether_capture_write(out, state, sizeof(struct conform_state));
}

static inline aether_status conform_restore(void *state, aether_text bytes, void *user)
{
    (void)user;
    struct conform_state *sums = state;
    sums->count = 1000000; /* half done */
    if (conform_cannot_restore || bytes.size != sizeof *sums)
        return AETHER_MALFORMED;
    memcpy(state, bytes.data, sizeof *sums);
    return AETHER_OK;
}

static inline aether_reducer conform_reducer(uint32_t version)
{
    return (aether_reducer){.name = "sums",
                            .version = version,
                            .create = conform_create,
                            .destroy = conform_destroy,
                            .apply = conform_apply,
                            .capture = conform_capture,
                            .restore = conform_restore};
}

/* The state is that of `count` events with versions from 1, and so many were replayed from a snapshot at this version. */
static inline void conform_expect_state(aether_store *store, uint32_t version, int64_t count, int64_t snapshot,
                                        uint64_t replayed)
{
    aether_reducer reducer = conform_reducer(version);
    aether_state_info info;
    struct conform_state *state = aether_state_load(store, "a", &reducer, &info);
    cr_assert(state != NULL, "no state: %s", aether_error());
    expect_number(count, state->count);
    expect_number(count * (count + 1) / 2, state->sum);
    expect_number(count, info.version);
    expect_number(snapshot, info.snapshot_version);
    expect_number(replayed, info.replayed);
    reducer.destroy(state, NULL);
}

static inline aether_status conform_snapshot(aether_store *store, uint32_t version)
{
    aether_reducer reducer = conform_reducer(version);
    aether_state_info info;
    struct conform_state *state = aether_state_load(store, "a", &reducer, &info);
    cr_assert(state != NULL);
    aether_status status = aether_state_save(store, "a", &reducer, state, info.version);
    reducer.destroy(state, NULL);
    return status;
}

static inline void conform_STO7_N3_a_state_is_the_newest_snapshot_and_what_came_after(void)
{
    aether_store *store = conform_open();
    conform_expect_state(store, 1, 0, 0, 0);
    conform_fill(store, "a", 1, 10);
    conform_expect_state(store, 1, 10, 0, 10);
    expect_ok(conform_snapshot(store, 1));
    conform_expect_state(store, 1, 10, 10, 0);
    conform_fill(store, "a", 11, 13);
    conform_expect_state(store, 1, 13, 10, 3);
    aether_store_stats stats;
    expect_ok(aether_store_get_stats(store, &stats));
    cr_assert(stats.snapshots_made == 1 && stats.states_loaded == 5 && stats.states_from_snapshot == 2 &&
              stats.states_replayed == 10 + 10 + 3);
    aether_store_close(store);
}

static inline void conform_STO7_N1_snapshots_do_not_shorten_what_a_load_of_events_gives(void)
{
    aether_store *store = conform_open();
    conform_fill(store, "a", 1, 5);
    expect_ok(conform_snapshot(store, 1));
    expect_versions("1 2 3 4 5", aether_load(store, "a", NULL));
    expect_versions("2 3 4 5", aether_load(store, "a", &(aether_load_options){.from_version = 2}));
    aether_store_close(store);
}

static inline void conform_STO7_N4_a_snapshot_of_another_reducer_version_is_set_aside(void)
{
    aether_store *store = conform_open();
    conform_fill(store, "a", 1, 4);
    expect_ok(conform_snapshot(store, 1));
    conform_expect_state(store, 2, 4, 0, 4);
    expect_ok(conform_snapshot(store, 2));
    conform_expect_state(store, 2, 4, 4, 0);
    conform_expect_state(store, 1, 4, 0, 4);
    aether_store_stats stats;
    expect_ok(aether_store_get_stats(store, &stats));
    expect_number(3, stats.snapshots_set_aside); /* one more by the save of the second */
    aether_store_close(store);
}

static inline void conform_STO7_N2_a_snapshot_that_cannot_be_restored_is_set_aside(void)
{
    aether_store *store = conform_open();
    conform_fill(store, "a", 1, 4);
    expect_ok(conform_snapshot(store, 1));
    conform_cannot_restore = true;
    conform_expect_state(store, 1, 4, 0, 4);
    conform_cannot_restore = false;
    conform_expect_state(store, 1, 4, 4, 0);
    aether_store_close(store);
}

static inline void conform_STO7_N5_a_snapshot_cannot_be_ahead_of_the_events(void)
{
    aether_store *store = conform_open();
    conform_fill(store, "a", 1, 4);
    aether_reducer reducer = conform_reducer(1);
    struct conform_state state = {0};
    expect_refused(AETHER_AHEAD, "beyond the latest", aether_state_save(store, "a", &reducer, &state, 5));
    expect_refused(AETHER_AHEAD, "beyond the latest", aether_state_save(store, "b", &reducer, &state, 1));
    expect_refused(AETHER_INVALID, "from 1", aether_state_save(store, "a", &reducer, &state, 0));
    aether_store_close(store);
}

static inline void conform_STO7_S21_an_older_snapshot_never_replaces_a_newer_one(void)
{
    aether_store *store = conform_open();
    conform_fill(store, "a", 1, 4);
    expect_ok(conform_snapshot(store, 1));
    aether_reducer reducer = conform_reducer(1);
    struct conform_state old = {2, 3};
    expect_ok(aether_state_save(store, "a", &reducer, &old, 2));
    conform_expect_state(store, 1, 4, 4, 0);
    aether_store_close(store);
}

static inline void conform_take_nothing(const aether_state_snapshot *snapshot, void *user)
{
    *(int64_t *)user = snapshot->version;
}

static inline void conform_STO7_S22_no_snapshot_is_a_status_of_its_own(void)
{
    aether_store *store = conform_open();
    int64_t version = 0;
    conform_fill(store, "a", 1, 2);
    expect_status(AETHER_NOT_FOUND, aether_state_snapshot_load(store, "a", "sums", conform_take_nothing, &version));
    expect_ok(conform_snapshot(store, 1));
    expect_ok(aether_state_snapshot_load(store, "a", "sums", conform_take_nothing, &version));
    expect_number(2, version);
    expect_status(AETHER_NOT_FOUND, aether_state_snapshot_load(store, "a", "other", conform_take_nothing, &version));
    aether_store_close(store);
}

static inline void conform_STO7_a_reducer_that_fails_says_where(void)
{
    aether_store *store = conform_open();
    conform_fill(store, "a", 1, 2);
    aether_reducer reducer = conform_reducer(1);
    conform_fails = true;
    cr_assert(aether_state_load(store, "a", &reducer, NULL) == NULL);
    conform_fails = false;
    expect_failure(AETHER_FAILED, "version 1 of \"a\" (type \"Tested\")");
    reducer.apply = NULL;
    cr_assert(aether_state_load(store, "a", &reducer, NULL) == NULL);
    expect_failure(AETHER_INVALID, "needs create, destroy and apply");
    aether_store_close(store);
}

static inline void conform_STO7_snapshots_are_made_by_policy(void)
{
    aether_store *store = conform_open();
    aether_reducer reducer = conform_reducer(1);
    aether_snapshot_policy policy = {.every_events = 10};
    expect_ok(aether_state_policy(store, "a", &reducer, &policy));
    expect_refused(AETHER_EXISTS, "there is a policy", aether_state_policy(store, "a", &reducer, &policy));
    policy.every_events = 0;
    expect_refused(AETHER_INVALID, "never", aether_state_policy(store, "b", &reducer, &policy));
    conform_fill(store, "a", 1, 9);
    expect_ok(aether_state_settle(store, AETHER_SECONDS(20)));
    conform_expect_state(store, 1, 9, 0, 9);
    conform_fill(store, "a", 10, 10);
    expect_ok(aether_state_settle(store, AETHER_SECONDS(20)));
    conform_expect_state(store, 1, 10, 10, 0);
    conform_fill(store, "a", 11, 25);
    conform_fill(store, "b", 1, 25);
    expect_ok(aether_state_settle(store, AETHER_SECONDS(20)));
    aether_store_stats stats;
    expect_ok(aether_store_get_stats(store, &stats));
    cr_assert(stats.snapshots_made >= 2 && stats.snapshots_made <= 3 && stats.snapshots_failed == 0);
    int64_t version = 0;
    expect_status(AETHER_NOT_FOUND, aether_state_snapshot_load(store, "b", "sums", conform_take_nothing, &version));
    aether_store_close(store);
}

static inline void conform_STO7_N6_a_snapshot_that_fails_never_fails_a_save(void)
{
    aether_store *store = conform_open();
    aether_reducer reducer = conform_reducer(1);
    aether_snapshot_policy policy = {.every_versions = 1};
    expect_ok(aether_state_policy(store, "", &reducer, &policy));
    conform_cannot_capture = true;
    conform_fill(store, "a", 1, 20);
    expect_ok(aether_state_settle(store, AETHER_SECONDS(20)));
    conform_cannot_capture = false;
    aether_store_stats stats;
    expect_ok(aether_store_get_stats(store, &stats));
    cr_assert(stats.snapshots_made == 0 && stats.snapshots_failed > 0 && stats.saves == 20);
    aether_store_close(store);
}

/* ------------------------------------------------------------------------------------------------------- upcast, follow */

static inline aether_status conform_upcast(aether_upcast *out, const aether_event *event, void *user)
{
    (void)user;
    aether_event changed = *event;
    switch (event->version) {
    case 1: /* becomes nothing */
        return AETHER_OK;
    case 2: /* becomes three */
        changed.type = "Part";
        changed.type_size = 0;
        for (int i = 0; i < 3; i++) {
            char data[8];
            snprintf(data, sizeof data, "%d", i);
            changed.data = AETHER_TEXT(data);
            changed.version = 77; /* only the store knows it */
            aether_status status = aether_upcast_emit(out, &changed);
            if (status != AETHER_OK)
                return status;
        }
        return AETHER_OK;
    case 4:
        return AETHER_MALFORMED;
    default:
        return aether_upcast_emit(out, event);
    }
}

static inline void conform_STO2_old_events_become_new_ones_while_loading(void)
{
    aether_store *store = conform_open();
    conform_fill(store, "a", 1, 5);
    aether_load_options options = {.upcast = conform_upcast, .to_version = 3};
    aether_replay *replay = aether_load(store, "a", &options);
    aether_event event;
    cr_assert(replay != NULL);
    for (int i = 0; i < 3; i++) {
        char data[8];
        snprintf(data, sizeof data, "%d", i);
        expect_ok(aether_replay_next(replay, &event, AETHER_NO_WAIT));
        cr_assert(event.version == 2 && conform_is("Part", event.type, event.type_size) &&
                  conform_is(data, event.data.data, event.data.size));
        cr_assert(conform_is("a", event.actor, event.actor_size));
    }
    expect_ok(aether_replay_next(replay, &event, AETHER_NO_WAIT));
    cr_assert(event.version == 3 && conform_is("Tested", event.type, event.type_size));
    expect_status(AETHER_ENDED, aether_replay_next(replay, &event, AETHER_NO_WAIT));
    aether_replay_close(replay);
    options.to_version = 0;
    aether_status last;
    cr_assert_str_eq(conform_versions(aether_load(store, "a", &options), &last), "2 2 2 3");
    expect_refused(AETHER_MALFORMED, "upcast", last);
    options.lenient = true;
    replay = aether_load(store, "a", &options);
    cr_assert(replay != NULL);
    int events = 0, malformed = 0;
    aether_status status;
    while ((status = aether_replay_next(replay, &event, AETHER_NO_WAIT)) == AETHER_OK || status == AETHER_MALFORMED)
        *(status == AETHER_OK ? &events : &malformed) += 1;
    cr_assert(status == AETHER_ENDED && events == 5 && malformed == 1);
    aether_replay_close(replay);
    options.as_stored = true;
    expect_versions("1 2 3 4 5", aether_load(store, "a", &options));
    aether_store_close(store);
}

static inline void conform_STO8_a_follower_goes_from_the_past_into_the_present(void)
{
    aether_store *store = conform_open();
    conform_fill(store, "a", 1, 3);
    aether_load_options options = {.follow = true, .mark = true};
    aether_replay *replays[2] = {aether_load_all(store, &options), aether_load(store, "a", &options)};
    aether_event event;
    for (int i = 0; i < 2; i++) {
        cr_assert(replays[i] != NULL);
        for (int64_t version = 1; version <= 3; version++) {
            expect_ok(aether_replay_next(replays[i], &event, AETHER_NO_WAIT));
            cr_assert(event.kind == AETHER_EVENT_LIVE && event.version == version);
        }
        expect_ok(aether_replay_next(replays[i], &event, AETHER_NO_WAIT));
        cr_assert(event.kind == AETHER_EVENT_CAUGHT_UP && event.index == 3);
        expect_status(AETHER_EMPTY, aether_replay_next(replays[i], &event, AETHER_NO_WAIT));
        expect_status(AETHER_TIMEOUT, aether_replay_next(replays[i], &event, AETHER_MILLISECONDS(5)));
    }
    expect_ok(conform_save(store, "b", 1, 0, 0, NULL));
    conform_fill(store, "a", 4, 5);
    for (int i = 0; i < 2; i++) {
        if (i == 0) {
            expect_ok(aether_replay_next(replays[i], &event, AETHER_SECONDS(20)));
            cr_assert(conform_is("b", event.actor, event.actor_size));
        }
        for (int64_t version = 4; version <= 5; version++) {
            expect_ok(aether_replay_next(replays[i], &event, AETHER_SECONDS(20)));
            expect_number(version, event.version);
        }
        expect_status(AETHER_EMPTY, aether_replay_next(replays[i], &event, AETHER_NO_WAIT));
        aether_replay_close(replays[i]);
    }
    aether_store_close(store);
}

static inline void *conform_saver(void *user)
{
    aether_store *store = user;
    for (int i = 0; i < 200; i++)
        if (conform_save(store, i % 2 != 0 ? "x" : "y", 0, 0, 0, NULL) != AETHER_OK)
            return store;
    return NULL;
}

static inline void conform_STO8_followers_miss_nothing_and_repeat_nothing_beside_savers(void)
{
    enum { SAVERS = 3, EVENTS = SAVERS * 200 };
    aether_store *store = conform_open();
    aether_replay *replay = aether_load_all(store, &(aether_load_options){.follow = true});
    cr_assert(replay != NULL);
    pthread_t savers[SAVERS];
    for (int i = 0; i < SAVERS; i++)
        cr_assert(pthread_create(&savers[i], NULL, conform_saver, store) == 0);
    aether_event event;
    for (uint64_t index = 1; index <= EVENTS; index++) {
        expect_ok(aether_replay_next(replay, &event, AETHER_SECONDS(60)));
        expect_number(index, event.index);
    }
    for (int i = 0; i < SAVERS; i++) {
        void *wrong;
        pthread_join(savers[i], &wrong);
        cr_assert(wrong == NULL);
    }
    expect_status(AETHER_EMPTY, aether_replay_next(replay, &event, AETHER_NO_WAIT));
    aether_replay_close(replay);
    aether_store_close(store);
}

static inline void *conform_canceller(void *user)
{
    aether_replay_cancel(user);
    return NULL;
}

static inline void conform_STO8_a_follower_can_be_cancelled(void)
{
    aether_store *store = conform_open();
    for (int i = 0; i < 20; i++) {
        aether_replay *replay = aether_load_all(store, &(aether_load_options){.follow = true});
        cr_assert(replay != NULL);
        pthread_t thread;
        cr_assert(pthread_create(&thread, NULL, conform_canceller, replay) == 0);
        aether_event event;
        expect_status(AETHER_CANCELLED, aether_replay_next(replay, &event, AETHER_FOREVER));
        expect_status(AETHER_CANCELLED, aether_replay_next(replay, &event, AETHER_FOREVER));
        pthread_join(thread, NULL);
        aether_replay_close(replay);
    }
    aether_store_close(store);
}

static inline void conform_STO8_replays_end_with_their_store(void)
{
    aether_store *store = conform_open();
    conform_fill(store, "a", 1, 3);
    aether_replay *replay = aether_load_all(store, NULL);
    aether_event event;
    cr_assert(replay != NULL);
    expect_ok(aether_replay_next(replay, &event, AETHER_NO_WAIT));
    aether_store_close(store);
    expect_refused(AETHER_CLOSED, "closed", aether_replay_next(replay, &event, AETHER_NO_WAIT));
    aether_replay_close(replay);
    cr_assert(unit_memory_is_balanced());
}

static inline void conform_STO8_checkpoints_say_how_far_a_projection_has_come(void)
{
    const char *url = conform.new_url();
    aether_store *store = conform_open_with(url, (aether_store_options){0});
    conform_fill(store, "a", 1, 5);
    aether_position position, newest;
    expect_ok(aether_store_newest(store, &newest));
    expect_status(AETHER_NOT_FOUND, aether_checkpoint_load(store, "p", &position));
    expect_position(newest.epoch, 0, position);
    position.index = 3;
    expect_ok(aether_checkpoint_save(store, "p", position));
    expect_ok(aether_checkpoint_load(store, "p", &position));
    expect_position(newest.epoch, 3, position);
    expect_refused(AETHER_INDEX_ORDER, "3", aether_checkpoint_save(store, "p", (aether_position){newest.epoch, 2}));
    expect_refused(AETHER_AHEAD, "beyond", aether_checkpoint_save(store, "p", (aether_position){newest.epoch, 6}));
    expect_refused(AETHER_OTHER_EPOCH, "another store",
                   aether_checkpoint_save(store, "p", (aether_position){newest.epoch + 1, 4}));
    expect_versions("4 5", aether_load_all(store, &(aether_load_options){.after = position}));
    expect_ok(aether_checkpoint_save(store, "p", newest));
    expect_ok(aether_checkpoint_save(store, "q", (aether_position){newest.epoch, 1}));
    if (conform.keeps) {
        aether_store_close(store);
        store = conform_open_with(url, (aether_store_options){0});
    }
    expect_ok(aether_checkpoint_load(store, "p", &position));
    expect_position(newest.epoch, 5, position);
    expect_ok(aether_checkpoint_save(store, "p", (aether_position){newest.epoch, 0}));
    expect_ok(aether_checkpoint_load(store, "p", &position));
    expect_number(0, position.index);
    aether_store_close(store);
}

/* ------------------------------------------------------------------------------------------------------------- races */

struct conform_race {
    aether_store *store;
    pthread_barrier_t *barrier;
    int rounds, racer;
    uint32_t *wins; /* of each round, atomic */
    const char *wrong;
};

static inline void *conform_racer(void *user)
{
    struct conform_race *race = user;
    for (int round = 0; round < race->rounds; round++) {
        pthread_barrier_wait(race->barrier);
        aether_saved saved;
        /* Versions skip: every racer wants the same one. */
        aether_status status =
            conform_save(race->store, "slot", 10 * (round + 1), 0, round != 0 ? 10 * round : AETHER_EXPECT_NONE, &saved);
        if (status == AETHER_OK)
            (void)__atomic_fetch_add(&race->wins[round], 1, __ATOMIC_RELAXED);
        else if (status != AETHER_CONFLICT || saved.conflict.current != 10 * (round + 1))
            race->wrong = "a loser was not told of the winner";
    }
    return NULL;
}

static inline void conform_STO3_S1_one_of_eight_threads_wins_each_version(void)
{
    enum { RACERS = 8, ROUNDS = 1000 };
    static uint32_t wins[ROUNDS];
    const char *url = conform.keeps ? conform.new_url() : "memory:race";
    int rounds = conform.durability >= AETHER_ON_DISK ? 300 : ROUNDS;
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, RACERS);
    aether_store *stores[2] = {conform_open_with(url, (aether_store_options){0}),
                               conform_open_with(url, (aether_store_options){0})};
    struct conform_race races[RACERS];
    pthread_t threads[RACERS];
    for (int i = 0; i < RACERS; i++) {
        races[i] =
            (struct conform_race){.store = stores[i % 2], .barrier = &barrier, .rounds = rounds, .racer = i, .wins = wins};
        cr_assert(pthread_create(&threads[i], NULL, conform_racer, &races[i]) == 0);
    }
    for (int i = 0; i < RACERS; i++) {
        pthread_join(threads[i], NULL);
        cr_assert(races[i].wrong == NULL, "%s", races[i].wrong);
    }
    for (int round = 0; round < rounds; round++)
        cr_assert(wins[round] == 1, "%u won round %d", wins[round], round);
    aether_store_close(stores[0]);
    aether_store_close(stores[1]);
    pthread_barrier_destroy(&barrier);
}

/* --------------------------------------------------------------------------------------------------------- the rest */

static inline void conform_STO2_a_store_opened_again_is_the_same(void)
{
    if (!conform.keeps)
        return;
    const char *url = conform.new_url();
    aether_store *store = conform_open_with(url, (aether_store_options){0});
    conform_fill(store, "a", 1, 3);
    expect_ok(conform_snapshot(store, 1));
    aether_position before, after;
    expect_ok(aether_store_newest(store, &before));
    aether_store_close(store);
    store = conform_open_with(url, (aether_store_options){.must_exist = true});
    expect_ok(aether_store_newest(store, &after));
    expect_position(before.epoch, before.index, after);
    expect_versions("1 2 3", aether_load(store, "a", NULL));
    conform_expect_state(store, 1, 3, 3, 0);
    expect_ok(conform_save(store, "a", 4, 0, 3, NULL));
    aether_store_close(store);
    store = conform_open_with(url, (aether_store_options){.read_only = true});
    expect_refused(AETHER_READ_ONLY, "reading only", conform_save(store, "a", 5, 0, 0, NULL));
    expect_refused(AETHER_READ_ONLY, "reading only", aether_checkpoint_save(store, "p", before));
    expect_versions("1 2 3 4", aether_load(store, "a", NULL));
    aether_store_close(store);
}

static inline void conform_STO2_S6_contiguous_stores_check_what_they_replay(void)
{
    const char *url = conform.keeps ? conform.new_url() : "memory:holes";
    aether_store *loose = conform_open_with(url, (aether_store_options){0});
    aether_store *strict = conform_open_with(url, (aether_store_options){.contiguous = true});
    conform_fill(loose, "a", 1, 2);
    expect_ok(conform_save(loose, "a", 5, 0, 0, NULL));
    aether_status last;
    cr_assert_str_eq(conform_versions(aether_load(strict, "a", NULL), &last), "1 2");
    expect_refused(AETHER_MALFORMED, "version 5 of \"a\" follows version 2", last);
    aether_replay *lenient = aether_load(strict, "a", &(aether_load_options){.lenient = true});
    aether_event event;
    cr_assert(lenient != NULL);
    static const aether_status wanted[] = {AETHER_OK, AETHER_OK, AETHER_MALFORMED, AETHER_OK, AETHER_ENDED};
    for (int i = 0; i < 5; i++)
        expect_status(wanted[i], aether_replay_next(lenient, &event, AETHER_NO_WAIT));
    aether_replay_close(lenient);
    expect_versions("1 2 5", aether_load(loose, "a", NULL));
    aether_store_close(loose);
    aether_store_close(strict);
}

static inline void conform_STO2_what_is_verified_is_sound(void)
{
    aether_store *store = conform_open();
    conform_fill(store, "a", 1, 30);
    expect_ok(aether_store_verify(store, NULL, NULL));
    aether_store_stats stats;
    expect_ok(aether_store_get_stats(store, &stats));
    cr_assert(stats.events == 30 && stats.saves == 30 && stats.saved_events == 30 && stats.loaded_events == 30 &&
              stats.commits != 0);
    aether_store_close(store);
}

static inline void conform_D6_all_memory_goes_back(void)
{
    aether_store *store = conform_open();
    conform_fill(store, "a", 1, 100);
    expect_ok(conform_snapshot(store, 1));
    aether_store_close(store);
    cr_assert(unit_memory_is_balanced());
}

/* ------------------------------------------------------------------------------------------------------------- model */

enum { CONFORM_ACTORS = 4, CONFORM_EVENTS = 4000 };

/* All that was saved, in order. */
struct conform_model {
    struct conform_modelled {
        int actor;
        int64_t version;
        uint8_t id;
        char data[12];
    } events[CONFORM_EVENTS];
    size_t count;
};

static inline uint64_t conform_draw(uint64_t *seed, uint64_t below)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed % below;
}

static inline int64_t conform_model_latest(const struct conform_model *model, int actor)
{
    for (size_t i = model->count; i > 0; i--)
        if (model->events[i - 1].actor == actor)
            return model->events[i - 1].version;
    return 0;
}

static inline const struct conform_modelled *conform_model_find(const struct conform_model *model, int actor, uint8_t id)
{
    for (size_t i = 0; i < model->count && id != 0; i++)
        if (model->events[i].actor == actor && model->events[i].id == id)
            return &model->events[i];
    return NULL;
}

/* What the table says; *first gets the version. */
static inline aether_status conform_model_decide(const struct conform_model *model, int actor, int64_t version,
                                                 int64_t expected, int64_t *first)
{
    int64_t latest = conform_model_latest(model, actor);
    *first = version != 0 ? version : latest + 1;
    if ((expected == AETHER_EXPECT_NONE && latest != 0) || (expected == AETHER_EXPECT_SOME && latest == 0) ||
        (expected > 0 && latest != expected) || (version != 0 && version <= latest))
        return AETHER_CONFLICT;
    return AETHER_OK;
}

static inline void conform_model_save(aether_store *store, struct conform_model *model, uint64_t *seed)
{
    static const char *const actors[CONFORM_ACTORS] = {"a", "b-1", "b-2", "c"};
    int actor = (int)conform_draw(seed, CONFORM_ACTORS);
    int64_t latest = conform_model_latest(model, actor), first;
    size_t count = conform_draw(seed, 4) == 0 ? 1 + conform_draw(seed, 3) : 1;
    int64_t version = conform_draw(seed, 2) == 0 ? 0 : latest + (int64_t)conform_draw(seed, 4) - 1;
    version = version < 0 ? 0 : version;
    int64_t expected = conform_draw(seed, 2) == 0   ? 0
                       : conform_draw(seed, 6) == 0 ? AETHER_EXPECT_NONE
                       : conform_draw(seed, 4) == 0 ? AETHER_EXPECT_SOME
                                                    : latest;
    if (expected == 0 && conform_draw(seed, 8) == 0)
        expected = 1 + (int64_t)conform_draw(seed, 3);
    uint8_t id = count == 1 && conform_draw(seed, 3) == 0 ? (uint8_t)(1 + conform_draw(seed, 30)) : 0;
    aether_event events[3];
    char data[12];
    snprintf(data, sizeof data, "%zu", id != 0 ? (size_t)id : model->count);
    for (size_t i = 0; i < count; i++)
        events[i] = conform_event(actors[actor], version != 0 ? version + (int64_t)i : 0, id, data);
    const struct conform_modelled *same = conform_model_find(model, actor, id);
    aether_status wanted = conform_model_decide(model, actor, version, expected, &first);
    if (same != NULL)
        wanted = version == 0 || version == same->version ? AETHER_OK : AETHER_ID_REUSED;
    aether_saved saved;
    aether_save_options options = {.expected = expected};
    expect_status(wanted, aether_save_batch(store, events, count, &options, &saved));
    cr_assert(saved.duplicate == (same != NULL && wanted == AETHER_OK));
    if (wanted != AETHER_OK || saved.duplicate)
        return;
    for (size_t i = 0; i < count; i++) {
        struct conform_modelled *event = &model->events[model->count++];
        *event = (struct conform_modelled){.actor = actor, .version = first + (int64_t)i, .id = id};
        memcpy(event->data, data, sizeof data);
    }
    expect_number(model->count, saved.position.index);
    expect_number(first + (int64_t)count - 1, saved.version);
}

/* A random load gives what the model has. */
static inline void conform_model_load(aether_store *store, const struct conform_model *model, uint64_t *seed)
{
    static const char *const actors[CONFORM_ACTORS] = {"a", "b-1", "b-2", "c"};
    bool all = conform_draw(seed, 2) == 0, prefix = all && conform_draw(seed, 3) == 0;
    int actor = (int)conform_draw(seed, CONFORM_ACTORS);
    aether_load_options options = {.backwards = conform_draw(seed, 2) == 0,
                                   .limit = conform_draw(seed, 2) == 0 ? 0 : 1 + conform_draw(seed, 20)};
    int64_t low, high;
    if (all) {
        low = (int64_t)conform_draw(seed, model->count + 1);
        high = 1 + (int64_t)conform_draw(seed, model->count + 1);
        options.after.index = (uint64_t)low;
        options.to_index = (uint64_t)high;
        options.actor_prefix = prefix ? "b-" : NULL;
    } else {
        low = (int64_t)conform_draw(seed, 60);
        high = 1 + (int64_t)conform_draw(seed, 200);
        options.from_version = low;
        options.to_version = high;
    }
    aether_replay *replay = all ? aether_load_all(store, &options) : aether_load(store, actors[actor], &options);
    cr_assert(replay != NULL, "%s", aether_error());
    aether_event event;
    uint64_t left = options.limit != 0 ? options.limit : UINT64_MAX;
    for (size_t k = 0; k < model->count; k++) {
        size_t i = options.backwards ? model->count - 1 - k : k;
        const struct conform_modelled *wanted = &model->events[i];
        bool in =
            all ? (int64_t)i + 1 > low && (int64_t)i + 1 <= high && (!prefix || wanted->actor == 1 || wanted->actor == 2)
                : wanted->actor == actor && wanted->version >= low && wanted->version <= high;
        if (!in || left == 0)
            continue;
        left--;
        expect_ok(aether_replay_next(replay, &event, AETHER_NO_WAIT));
        cr_assert(event.index == i + 1 && event.version == wanted->version &&
                  conform_is(actors[wanted->actor], event.actor, event.actor_size));
        cr_assert(conform_is(wanted->data, event.data.data, event.data.size));
    }
    expect_status(AETHER_ENDED, aether_replay_next(replay, &event, AETHER_NO_WAIT));
    aether_replay_close(replay);
    expect_latest(conform_model_latest(model, actor), store, actors[actor]);
}

static inline void conform_STO2_random_operations_are_those_of_a_model(void)
{
    static struct conform_model model;
    const char *url = conform.new_url();
    int operations = conform.durability >= AETHER_ON_DISK ? 1500 : 4000;
    uint64_t seed = (uint64_t)aether_now() | 1;
    char said[40];
    snprintf(said, sizeof said, "%llx", (unsigned long long)seed);
    if (getenv("AETHER_SEED") != NULL)
        seed = strtoull(getenv("AETHER_SEED"), NULL, 16);
    cr_log_info("AETHER_SEED=%s", said);
    aether_store *store = conform_open_with(url, (aether_store_options){0});
    for (int i = 0; i < operations && model.count + 4 < CONFORM_EVENTS; i++) {
        if (conform_draw(&seed, 5) != 0) {
            conform_model_save(store, &model, &seed);
        } else if (conform.keeps && conform_draw(&seed, 40) == 0) {
            aether_store_close(store);
            store = conform_open_with(url, (aether_store_options){.must_exist = true});
        } else {
            conform_model_load(store, &model, &seed);
        }
    }
    expect_ok(aether_store_verify(store, NULL, NULL));
    aether_store_close(store);
}

/* --------------------------------------------------------------------------------------------------------------- all */

#define UNIT_CONFORM(CASE)                                                                                                  \
    CASE(STO1_what_was_saved_comes_back_byte_by_byte)                                                                       \
    CASE(STO1_bytes_that_are_no_text_are_kept)                                                                              \
    CASE(STO1_S27_a_saved_event_does_not_follow_the_savers_memory)                                                          \
    CASE(STO1_ids_times_and_versions_are_drawn)                                                                             \
    CASE(STO1_a_closing_event_ends_its_actor)                                                                               \
    CASE(STO2_a_batch_stands_whole_or_not_at_all)                                                                           \
    CASE(STO2_S13_S14_versions_of_a_load_are_inclusive_at_both_ends)                                                        \
    CASE(STO2_S24_all_events_stand_in_one_order)                                                                            \
    CASE(STO2_a_load_can_be_of_types)                                                                                       \
    CASE(STO2_a_load_ends_where_the_store_ended_when_it_began)                                                              \
    CASE(STO2_S11_long_histories_come_whole)                                                                                \
    CASE(STO2_S7_S9_names_are_told_apart_byte_by_byte)                                                                      \
    CASE(STO2_names_have_limits_that_are_told)                                                                              \
    CASE(STO2_S12_actors_without_events_are_answered_at_once)                                                               \
    CASE(STO2_many_saves_at_once_each_have_their_answer)                                                                    \
    CASE(STO3_every_cell_of_the_table_of_versions)                                                                          \
    CASE(STO3_a_conflict_carries_what_came_in_between)                                                                      \
    CASE(STO4_S5_every_cell_of_the_table_of_ids)                                                                            \
    CASE(STO4_ids_of_batches)                                                                                               \
    CASE(STO4_older_ids_are_found_where_the_store_says_so)                                                                  \
    CASE(STO5_a_retry_has_the_ids_and_the_base_of_the_first_attempt)                                                        \
    CASE(STO5_saved_is_filled_on_every_outcome)                                                                             \
    CASE(STO6_S2_latest_is_right_whoever_saves)                                                                             \
    CASE(STO6_S23_the_cache_is_bounded)                                                                                     \
    CASE(STO7_N3_a_state_is_the_newest_snapshot_and_what_came_after)                                                        \
    CASE(STO7_N1_snapshots_do_not_shorten_what_a_load_of_events_gives)                                                      \
    CASE(STO7_N4_a_snapshot_of_another_reducer_version_is_set_aside)                                                        \
    CASE(STO7_N2_a_snapshot_that_cannot_be_restored_is_set_aside)                                                           \
    CASE(STO7_N5_a_snapshot_cannot_be_ahead_of_the_events)                                                                  \
    CASE(STO7_S21_an_older_snapshot_never_replaces_a_newer_one)                                                             \
    CASE(STO7_S22_no_snapshot_is_a_status_of_its_own)                                                                       \
    CASE(STO7_a_reducer_that_fails_says_where)                                                                              \
    CASE(STO7_snapshots_are_made_by_policy)                                                                                 \
    CASE(STO7_N6_a_snapshot_that_fails_never_fails_a_save)                                                                  \
    CASE(STO2_old_events_become_new_ones_while_loading)                                                                     \
    CASE(STO8_a_follower_goes_from_the_past_into_the_present)                                                               \
    CASE(STO8_followers_miss_nothing_and_repeat_nothing_beside_savers)                                                      \
    CASE(STO8_a_follower_can_be_cancelled)                                                                                  \
    CASE(STO8_replays_end_with_their_store)                                                                                 \
    CASE(STO8_checkpoints_say_how_far_a_projection_has_come)                                                                \
    CASE(STO3_S1_one_of_eight_threads_wins_each_version)                                                                    \
    CASE(STO2_a_store_opened_again_is_the_same)                                                                             \
    CASE(STO2_S6_contiguous_stores_check_what_they_replay)                                                                  \
    CASE(STO2_what_is_verified_is_sound)                                                                                    \
    CASE(STO2_random_operations_are_those_of_a_model)                                                                       \
    CASE(D6_all_memory_goes_back)

#endif
