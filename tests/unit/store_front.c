/* The part of a store before its driver: handles, ids, drivers, memory that fails, threads of its own. */
#include "common/unit.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aether/driver.h"
#include "aether/state.h"
#include "aether/store.h"

TEST(store_front, STO2_an_unknown_scheme_says_what_is_missing)
{
    cr_assert(aether_store_open("redis:x", NULL) == NULL);
    expect_failure(AETHER_NO_DRIVER, "aether_store_use(aether_redis_driver())");
    static const char *const none[] = {"", "memory", ":x", NULL};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        cr_assert(aether_store_open(none[i], NULL) == NULL);
        expect_failure(AETHER_INVALID, "does not begin with a scheme");
    }
    cr_assert(aether_store_open("memory:nowhere", &(aether_store_options){.must_exist = true}) == NULL);
    expect_failure(AETHER_NO_STORE, "no store \"memory:nowhere\"");
    expect_refused(AETHER_INVALID, "no scheme", aether_store_use(NULL));
    static const aether_driver old = {.size = 8, .scheme = "old"};
    expect_refused(AETHER_INVALID, "older version", aether_store_use(&old));
}

TEST(store_front, STO2_missing_arguments_are_refused)
{
    aether_store *store = aether_store_open("memory:", &(aether_store_options){.allocator = &unit_allocator});
    aether_event event = {.actor = "a", .type = "T"};
    int64_t version;
    expect_refused(AETHER_INVALID, "store is NULL", aether_save(NULL, &event, NULL));
    expect_refused(AETHER_INVALID, "no events", aether_save_batch(store, NULL, 1, NULL, NULL));
    expect_refused(AETHER_INVALID, "version is NULL", aether_latest(store, "a", NULL));
    expect_refused(AETHER_INVALID, "store is NULL", aether_latest(NULL, "a", &version));
    expect_refused(AETHER_INVALID, "replay is NULL", aether_replay_next(NULL, &event, 0));
    expect_refused(AETHER_INVALID, "NULL with size 3",
                   aether_save(store, AETHER_EVENT(.actor = "a", .type = "T", .data = {NULL, 3}), NULL));
    expect_refused(AETHER_TOO_LARGE, "at most",
                   aether_save(store, AETHER_EVENT(.actor = "a", .type = "T", .data = {"", AETHER_DATA_MAX + 1}), NULL));
    expect_refused(AETHER_TOO_LARGE, "65537 events", aether_save_batch(store, &event, AETHER_SAVE_MAX + 1, NULL, NULL));
    expect_refused(AETHER_INVALID, "flags", aether_save(store, AETHER_EVENT(.actor = "a", .type = "T", .flags = 1), NULL));
    cr_assert(aether_load(store, "a", &(aether_load_options){.follow = true, .backwards = true}) == NULL);
    expect_failure(AETHER_INVALID, "backwards");
    cr_assert(aether_load(store, "a", &(aether_load_options){.mark = true}) == NULL);
    expect_failure(AETHER_INVALID, "follows");
    cr_assert(aether_load(store, "a", &(aether_load_options){.from_version = -1}) == NULL);
    expect_failure(AETHER_INVALID, "below 0");
    cr_assert(aether_load_all(store, &(aether_load_options){.type_count = 1}) == NULL);
    expect_failure(AETHER_INVALID, "types is NULL");
    expect_refused(AETHER_UNSUPPORTED, "not copied", aether_store_copy(store, "/nowhere"));
    aether_store_close(NULL);
    aether_replay_close(NULL);
    aether_store_close(store);
}

TEST(store_front, STO1_ids_are_uuids_of_version_7_and_grow_with_time)
{
    uint8_t before[16] = {0}, id[16], back[16];
    char text[37];
    for (int i = 0; i < 10000; i++) {
        aether_id_draw(id);
        cr_assert(id[6] >> 4 == 7 && id[8] >> 6 == 2);
        cr_assert(memcmp(before, id, 8) <= 0, "an id is older than the one before");
        cr_assert(memcmp(before, id, 16) != 0);
        memcpy(before, id, 16);
    }
    aether_id_write(id, text);
    cr_assert(strlen(text) == 36 && aether_id_read(back, text, 36) && memcmp(back, id, 16) == 0);
    static const char *const none[] = {"", "0191b2c3-d4e5-7f60-8192-a3b4c5d6e7f", "0191b2c3xd4e5-7f60-8192-a3b4c5d6e7f8",
                                       "g191b2c3-d4e5-7f60-8192-a3b4c5d6e7f8"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        cr_assert(!aether_id_read(back, none[i], strlen(none[i])));
    cr_assert(aether_id_read(back, "0191B2C3-D4E5-7F60-8192-A3B4C5D6E7F8", 36) && back[1] == 0x91);
}

/* A child that goes on where its parent was must not draw what its parent draws. */
TEST(store_front, D5_a_child_draws_other_ids_and_has_no_part_in_inherited_stores)
{
    aether_store *store = aether_store_open("memory:", &(aether_store_options){.allocator = &unit_allocator});
    uint8_t mine[16], its[16];
    aether_id_draw(mine);
    int ends[2];
    cr_assert(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        uint8_t id[16];
        aether_id_draw(id);
        bool forked = aether_save(store, AETHER_EVENT(.actor = "a", .type = "T"), NULL) == AETHER_FORKED;
        aether_store_close(store);
        ssize_t written = write(ends[1], id, sizeof id);
        _exit(forked && written == sizeof id ? 0 : 1);
    }
    aether_id_draw(mine);
    int status;
    cr_assert(waitpid(child, &status, 0) == child && status == 0);
    cr_assert(read(ends[0], its, sizeof its) == sizeof its);
    cr_assert(memcmp(mine + 8, its + 8, 8) != 0);
    aether_store_close(store);
}

static bool use_store(uint64_t skip, bool all)
{
    unit_memory_fail_next(skip, all);
    aether_store *store = aether_store_open("memory:", &(aether_store_options){.allocator = &unit_allocator});
    aether_event events[3] = {{.actor = "a", .type = "T", .id = {1}, .data = AETHER_TEXT("1")},
                              {.actor = "a", .type = "T", .id = {2}},
                              {.actor = "a", .type = "T", .id = {3}}};
    uint64_t saved = 0;
    for (int i = 0; i < 3 && store != NULL; i++) {
        for (size_t k = 0; k < 3; k++)
            events[k].id[1] = (uint8_t)i;
        aether_status status = aether_save_batch(store, events, 3, NULL, NULL);
        if (status != AETHER_OK && status != AETHER_NO_MEMORY)
            abort();
        saved += status == AETHER_OK ? 3 : 0;
        static const char *const types[] = {"T"};
        aether_replay *replay =
            aether_load_all(store, &(aether_load_options){.types = types, .type_count = 1, .actor_prefix = "a"});
        if (replay != NULL) {
            aether_event event;
            uint64_t count = 0;
            while (aether_replay_next(replay, &event, 0) == AETHER_OK)
                count++;
            if (count != saved)
                abort(); /* a save that failed has left something, or one that went well has not */
        }
        aether_replay_close(replay);
    }
    bool failed = unit_memory_has_failed();
    aether_store_close(store);
    return failed;
}

TEST(store_front, D6_each_failing_allocation_is_told_and_loses_nothing)
{
    expect_fine(unit_memory_each_failure(use_store));
}

TEST(store_front, STO1_what_is_no_utf8_is_found_with_its_place)
{
    static const struct {
        const char *text;
        size_t size, at;
    } wrong[] = {{"\xff", 1, 0},         {"abcdefgh\x80", 9, 8},          {"\xc0\x80", 2, 0},
                 {"\xed\xa0\x80", 3, 0}, {"\xf4\x90\x80\x80", 4, 0},      {"\xe2\x82", 2, 0},
                 {"a\0b", 3, 1},         {"12345678\xe0\x80\x80", 11, 8}, {"1234567\0", 8, 7}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        size_t at = 99;
        cr_assert(!aether_text_is_utf8(wrong[i].text, wrong[i].size, &at) && at == wrong[i].at, "row %zu: %zu", i, at);
    }
    static const char right[] =
        "\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf plain text that is longer than a word";
    cr_assert(aether_text_is_utf8(right, sizeof right - 1, NULL) && aether_text_is_utf8("", 0, NULL));
}
