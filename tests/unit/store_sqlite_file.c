/* What is SQLite's alone: the file, copies, other handles, who died in the middle, damage. */
#include "common/unit.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aether/sqlite.h"
#include "common/unit_scratch.h"
#include "store/sqlite/shared.h"

static aether_store *open_url(const char *url)
{
    expect_ok(aether_store_use(aether_sqlite_driver()));
    aether_store *store = aether_store_open(
        url, &(aether_store_options){.allocator = &unit_allocator, .timeout_ns = AETHER_MILLISECONDS(300)});
    cr_assert(store != NULL, "%s", aether_error());
    return store;
}

static void save(aether_store *store, const char *actor)
{
    expect_ok(aether_save(store, AETHER_EVENT(.actor = actor, .type = "T", .data = AETHER_TEXT("{\"a\":1}")), NULL));
}

static void run(const char *url, const char *text)
{
    sqlite3 *db;
    cr_assert(sqlite3_open(strchr(url, ':') + 1, &db) == SQLITE_OK);
    cr_assert(sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
    cr_assert(sqlite3_close(db) == SQLITE_OK);
}

TEST(store_sqlite_file, STO8_a_copy_has_an_identity_of_its_own_and_no_checkpoints)
{
    aether_store *store = open_url(unit_scratch_url("sqlite"));
    char place[300], url[320];
    snprintf(place, sizeof place, "%s/copy.db", unit_scratch());
    snprintf(url, sizeof url, "sqlite:%s", place);
    for (int i = 0; i < 100; i++)
        save(store, "a");
    aether_position newest, copied;
    expect_ok(aether_store_newest(store, &newest));
    expect_ok(aether_checkpoint_save(store, "p", newest));
    expect_ok(aether_store_copy(store, place));
    expect_refused(AETHER_EXISTS, "there already", aether_store_copy(store, place));
    save(store, "a"); /* the copy is of one instant */
    aether_store *copy = open_url(url);
    expect_ok(aether_store_newest(copy, &copied));
    cr_assert(copied.index == 100 && copied.epoch != newest.epoch && copied.epoch != 0);
    expect_status(AETHER_NOT_FOUND, aether_checkpoint_load(copy, "p", &copied));
    expect_refused(AETHER_OTHER_EPOCH, "of another store", aether_checkpoint_save(copy, "p", newest));
    expect_ok(aether_store_verify(copy, NULL, NULL));
    save(copy, "b");
    aether_store_close(copy);
    aether_store_close(store);
    unit_scratch_remove();
}

TEST(store_sqlite_file, STO6_a_cached_version_is_not_believed_after_others_have_saved_or_died_saving)
{
    const char *url = unit_scratch_url("sqlite");
    aether_store *store = open_url(url), *other = open_url(url);
    int64_t version;
    aether_store_stats stats;
    save(store, "a");
    for (int i = 0; i < 10; i++)
        expect_ok(aether_latest(store, "a", &version));
    expect_ok(aether_store_get_stats(store, &stats));
    cr_assert(stats.latest_cached == 10 && stats.latest_asked == 0);
    save(other, "b");
    expect_ok(aether_latest(store, "a", &version));
    expect_ok(aether_store_get_stats(store, &stats));
    expect_number(1, stats.latest_asked);
    expect_ok(aether_latest(store, "a", &version));
    expect_ok(aether_store_get_stats(store, &stats));
    expect_number(11, stats.latest_cached);
    /* Somebody dies between its commit and its count: nothing is remembered until the next one commits. */
    char path[300];
    snprintf(path, sizeof path, "%s-aether", strchr(url, ':') + 1);
    int file = open(path, O_RDWR);
    struct ae_sqlite_page page;
    cr_assert(file >= 0 && pread(file, &page, sizeof page, 0) == sizeof page && page.committing == 0 && page.commits == 2);
    page.committing = 12345;
    cr_assert(pwrite(file, &page.committing, 8, offsetof(struct ae_sqlite_page, committing)) == 8);
    for (int i = 0; i < 3; i++)
        expect_ok(aether_latest(store, "a", &version));
    expect_ok(aether_store_get_stats(store, &stats));
    cr_assert(stats.latest_cached == 11 && stats.latest_asked == 4);
    save(other, "b");
    expect_ok(aether_latest(store, "a", &version));
    expect_ok(aether_latest(store, "a", &version));
    expect_ok(aether_store_get_stats(store, &stats));
    cr_assert(stats.latest_cached == 12 && stats.latest_asked == 5);
    close(file);
    aether_store_close(other);
    aether_store_close(store);
    unit_scratch_remove();
}

TEST(store_sqlite_file, STO9_a_save_waits_for_others_until_its_deadline)
{
    const char *url = unit_scratch_url("sqlite");
    aether_store *store = open_url(url);
    save(store, "a");
    struct ae_sqlite_shared other;
    expect_ok(ae_sqlite_shared_open(&other, strchr(url, ':') + 1, false));
    expect_ok(ae_sqlite_shared_lock(&other, AETHER_FOREVER));
    expect_refused(AETHER_TIMEOUT, "another process", aether_save(store, AETHER_EVENT(.actor = "a", .type = "T"), NULL));
    ae_sqlite_shared_unlock(&other);
    ae_sqlite_shared_close(&other);
    save(store, "a");
    sqlite3 *db; /* somebody with SQLite alone */
    cr_assert(sqlite3_open(strchr(url, ':') + 1, &db) == SQLITE_OK &&
              sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK);
    expect_refused(AETHER_TIMEOUT, "keeps it locked", aether_save(store, AETHER_EVENT(.actor = "a", .type = "T"), NULL));
    cr_assert(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL) == SQLITE_OK && sqlite3_close(db) == SQLITE_OK);
    save(store, "a");
    int64_t version;
    expect_ok(aether_latest(store, "a", &version));
    expect_number(3, version);
    aether_store_close(store);
    unit_scratch_remove();
}

TEST(store_sqlite_file, STO9_a_reader_in_the_middle_keeps_nobody_from_saving)
{
    aether_store *store = open_url(unit_scratch_url("sqlite"));
    for (int i = 0; i < 200; i++)
        save(store, "a");
    aether_replay *replay = aether_load_all(store, NULL);
    aether_event event;
    cr_assert(replay != NULL);
    expect_ok(aether_replay_next(replay, &event, AETHER_NO_WAIT));
    for (int i = 0; i < 200; i++)
        save(store, "a");
    for (uint64_t index = 2; index <= 200; index++) {
        expect_ok(aether_replay_next(replay, &event, AETHER_NO_WAIT));
        expect_number(index, event.index);
    }
    expect_status(AETHER_ENDED, aether_replay_next(replay, &event, AETHER_NO_WAIT));
    aether_replay_close(replay);
    aether_store_close(store);
    unit_scratch_remove();
}

static void count_fault(const char *text, uint64_t index, void *user)
{
    (void)text;
    (void)index;
    ++*(int *)user;
}

TEST(store_sqlite_file, STO2_S16_S17_malformed_rows_are_told_and_never_passed_over_in_silence)
{
    static const char *const damages[] = {
        "UPDATE event SET data = '{\"a\":2}' WHERE position = 3", "UPDATE event SET version = 0 WHERE position = 3",
        "UPDATE event SET id = x'00' WHERE position = 3",         "UPDATE event SET actor = '' WHERE position = 3",
        "UPDATE event SET type = '' WHERE position = 3",          "UPDATE event SET timestamp = 1 WHERE position = 3",
        "UPDATE event SET checksum = 1 WHERE position = 3",
    };
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        const char *url = unit_scratch_url("sqlite");
        aether_store *store = open_url(url);
        for (int k = 0; k < 5; k++)
            save(store, "a");
        aether_store_close(store);
        run(url, damages[i]);
        store = open_url(url);
        aether_replay *replay = aether_load_all(store, NULL);
        aether_event event;
        expect_ok(aether_replay_next(replay, &event, AETHER_NO_WAIT));
        expect_ok(aether_replay_next(replay, &event, AETHER_NO_WAIT));
        expect_refused(AETHER_MALFORMED, "position 3", aether_replay_next(replay, &event, AETHER_NO_WAIT));
        cr_assert(event.index == 3 && event.data.size == 7, "the raw bytes");
        expect_status(AETHER_MALFORMED, aether_replay_next(replay, &event, AETHER_NO_WAIT));
        aether_replay_close(replay);
        replay = aether_load_all(store, &(aether_load_options){.lenient = true});
        int good = 0, bad = 0;
        aether_status status;
        while ((status = aether_replay_next(replay, &event, AETHER_NO_WAIT)) == AETHER_OK || status == AETHER_MALFORMED)
            *(status == AETHER_OK ? &good : &bad) += 1;
        cr_assert(good == 4 && bad == 1 && status == AETHER_ENDED);
        aether_replay_close(replay);
        int faults = 0;
        expect_refused(AETHER_MALFORMED, "faults were found", aether_store_verify(store, count_fault, &faults));
        cr_assert(faults >= 1);
        save(store, "a"); /* a damaged event is no reason to take no more (S16) */
        aether_store_close(store);
    }
    unit_scratch_remove();
}

TEST(store_sqlite_file, STO7_a_damaged_snapshot_is_set_aside)
{
    expect_ok(aether_store_use(aether_sqlite_driver()));
    const char *url = unit_scratch_url("sqlite");
    aether_store *store = open_url(url);
    save(store, "a");
    aether_store_close(store);
    run(url, "INSERT INTO state VALUES ('a', 'r', 1, 1, 0, 99, x'01'), ('b', 'r', 7, 1, 0, 0, x'01')");
    store = open_url(url);
    int faults = 0;
    expect_status(AETHER_MALFORMED, aether_store_verify(store, count_fault, &faults));
    expect_number(1, faults); /* that of an actor that has not come so far */
    aether_store_close(store);
    unit_scratch_remove();
}

TEST(store_sqlite_file, STO2_files_that_are_no_stores_are_left_alone)
{
    char path[300], url[320];
    expect_ok(aether_store_use(aether_sqlite_driver()));
    snprintf(path, sizeof path, "%s/x.db", unit_scratch());
    snprintf(url, sizeof url, "sqlite:%s", path);
    run(url, "CREATE TABLE mine (x)");
    cr_assert(aether_store_open(url, NULL) == NULL);
    expect_failure(AETHER_NO_STORE, "no store of aether's");
    run(url, "DROP TABLE mine; PRAGMA application_id=1634038888; PRAGMA user_version=2");
    cr_assert(aether_store_open(url, NULL) == NULL);
    expect_failure(AETHER_NEWER_FORMAT, "use a newer one");
    cr_assert(aether_store_open("sqlite::memory:", NULL) == NULL);
    expect_failure(AETHER_INVALID, "is no file");
    cr_assert(aether_store_open("sqlite:/nowhere/at/all.db", NULL) == NULL);
    expect_failure(AETHER_NO_STORE, "cannot be opened");
    snprintf(url, sizeof url, "sqlite:%s/new.db", unit_scratch());
    cr_assert(aether_store_open(url, &(aether_store_options){.must_exist = true}) == NULL);
    expect_failure(AETHER_NO_STORE, "cannot be opened");
    unit_scratch_remove();
}

static bool use_store(uint64_t skip, bool all)
{
    const char *url = unit_scratch_url("sqlite");
    unit_memory_fail_next(skip, all);
    aether_store *store = aether_store_open(url, &(aether_store_options){.allocator = &unit_allocator});
    if (store != NULL) {
        aether_event events[2] = {{.actor = "a", .type = "T"}, {.actor = "a", .type = "T"}};
        aether_status status = aether_save_batch(store, events, 2, NULL, NULL);
        if (status != AETHER_OK && status != AETHER_NO_MEMORY)
            abort();
        aether_replay *replay = aether_load_all(store, NULL);
        aether_event event;
        while (replay != NULL && (status = aether_replay_next(replay, &event, AETHER_NO_WAIT)) == AETHER_OK)
            ;
        if (replay != NULL && status != AETHER_ENDED && status != AETHER_NO_MEMORY)
            abort();
        aether_replay_close(replay);
    }
    bool failed = unit_memory_has_failed();
    aether_store_close(store);
    return failed;
}

TEST(store_sqlite_file, D6_each_failing_allocation_of_ours_is_told)
{
    expect_ok(aether_store_use(aether_sqlite_driver()));
    expect_fine(unit_memory_each_failure(use_store));
    unit_scratch_remove();
}
