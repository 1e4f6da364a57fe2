/*
 * What a crash leaves (STO5, STO9): the files are made again as they may be on the disk after a power failure at any point,
 * with writes that were not forced lost, torn or in another order. The store then has exactly the first so many commits,
 * with nothing missing that was acknowledged; and what failed without a crash is told as what it is.
 */
#include "common/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "aether/sqlite.h"
#include "aether/state.h"
#include "common/sqlite_vfs.h"
#include "common/unit_log.h"
#include "common/unit_scratch.h"
#include "store/sqlite/sqlite.h"

enum { COMMITS = 40, ACTORS = 3, SECTOR = 512 };

static uint64_t seed = 88172645463325252u;

static uint64_t draw(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return below != 0 ? seed % below : 0;
}

/* Commit `n` has 1 to 4 events of one actor, whose data say which commit it is. */
static size_t size_of(int n)
{
    return (size_t)(n * 7 % 4) + 1;
}

static aether_status save_commit(aether_store *store, int n)
{
    aether_event events[4];
    char data[600], actor[20];
    memset(data, 'x', sizeof data);
    int used = snprintf(data, sizeof data, "{\"commit\":%d,\"text\":\"", n);
    data[used] = 'x';
    snprintf(actor, sizeof actor, "actor-%d", n % ACTORS);
    for (size_t i = 0; i < size_of(n); i++)
        events[i] = (aether_event){.actor = actor, .type = "T", .data = {data, (size_t)used + draw(500)}};
    return aether_save_batch(store, events, size_of(n), NULL, NULL);
}

static aether_store *open_test(const char *path)
{
    char url[400];
    snprintf(url, sizeof url, "sqlite:file:%s?vfs=test", path);
    expect_ok(aether_store_use(aether_sqlite_driver()));
    return aether_store_open(url, &(aether_store_options){.allocator = &unit_allocator, .timeout_ns = AETHER_SECONDS(5)});
}

/* -------------------------------------------------------------------------------------------------------------- crash */

/* A file as it is being made again. */
struct image {
    unsigned char *bytes;
    size_t size, room;
    bool is_there;
};

static void reach(struct image *image, size_t size)
{
    if (size > image->room) {
        image->room = size * 2;
        image->bytes = realloc(image->bytes, image->room);
        if (image->bytes == NULL)
            abort();
    }
    if (size > image->size)
        memset(image->bytes + image->size, 0, size - image->size);
    image->size = size > image->size ? size : image->size;
}

/* Applies an entry; torn: each sector of a write for itself, or not. */
static void apply(struct image *image, const struct vfs_entry *entry, bool torn)
{
    switch (entry->kind) {
    case VFS_WRITE:
        image->is_there = true;
        for (int at = 0; at < entry->size; at += SECTOR - (int)((entry->offset + at) % SECTOR)) {
            int part = SECTOR - (int)((entry->offset + at) % SECTOR);
            part = part < entry->size - at ? part : entry->size - at;
            if (torn && draw(2) == 0)
                continue;
            reach(image, (size_t)entry->offset + (size_t)(at + part));
            memcpy(image->bytes + entry->offset + at, entry->bytes + at, (size_t)part);
        }
        break;
    case VFS_TRUNCATE:
        image->is_there = true;
        reach(image, (size_t)entry->offset);
        image->size = (size_t)entry->offset;
        break;
    case VFS_DELETE:
        image->size = 0;
        image->is_there = false;
        break;
    default:
        break;
    }
}

enum loss { ALL_LOST, NONE_LOST, SOME_LOST, SOME_TORN, OTHER_ORDER, LOSSES };

/* The last sync of the file before `end`; what comes after it may be lost. */
static size_t forced(int file, size_t end)
{
    for (size_t i = end; i > 0; i--)
        if (vfs.entries[i - 1].kind == VFS_SYNC && vfs.entries[i - 1].file == file)
            return i;
    return 0;
}

static void make_image(struct image *image, int file, size_t end, enum loss loss)
{
    size_t safe = forced(file, end);
    size_t loose[4096], count = 0;
    for (size_t i = 0; i < end; i++) {
        const struct vfs_entry *entry = &vfs.entries[i];
        if (entry->file != file || entry->kind == VFS_ACKNOWLEDGED || entry->kind == VFS_SYNC)
            continue;
        if (i < safe)
            apply(image, entry, false);
        else if (count < sizeof loose / sizeof *loose)
            loose[count++] = i;
    }
    if (loss == OTHER_ORDER)
        for (size_t i = count; i > 1; i--) {
            size_t k = (size_t)draw(i), kept = loose[i - 1];
            loose[i - 1] = loose[k];
            loose[k] = kept;
        }
    for (size_t i = 0; i < count; i++)
        if (loss == NONE_LOST || (loss != ALL_LOST && draw(2) == 0))
            apply(image, &vfs.entries[loose[i]], loss == SOME_TORN || loss == OTHER_ORDER);
}

static void write_file(const char *path, const struct image *image)
{
    FILE *file = fopen(path, "wb");
    cr_assert(file != NULL && fwrite(image->bytes, 1, image->size, file) == image->size);
    cr_assert(fclose(file) == 0);
}

static void make_files(const char *directory, size_t end, enum loss loss)
{
    for (int file = 0; file < vfs.files; file++) {
        struct image image = {NULL, 0, 0, false};
        make_image(&image, file, end, loss);
        char path[700];
        const char *name = strrchr(vfs.names[file], '/');
        snprintf(path, sizeof path, "%s%s", directory, name);
        if (image.is_there)
            write_file(path, &image);
        free(image.bytes);
    }
}

/* The commits that are whole, from the first on; -1: what is there is no such thing. */
static int count_commits(aether_store *store)
{
    aether_replay *replay = aether_load_all(store, NULL);
    cr_assert(replay != NULL, "%s", aether_error());
    aether_event event;
    aether_status status;
    int commit = 0;
    size_t left = 0;
    while ((status = aether_replay_next(replay, &event, AETHER_NO_WAIT)) == AETHER_OK) {
        int said = -1;
        char text[30];
        snprintf(text, sizeof text, "%.*s", event.data.size < 29 ? (int)event.data.size : 29, event.data.data);
        if (sscanf(text, "{\"commit\":%d", &said) != 1)
            return -1;
        if (left == 0)
            left = size_of(++commit);
        if (said != commit)
            return -1;
        left--;
    }
    aether_replay_close(replay);
    cr_assert(status == AETHER_ENDED, "%s", aether_error());
    return left == 0 ? commit : -1;
}

static void keep_journal(const char *path)
{
    aether_store *store = open_test(path);
    cr_assert(store != NULL, "%s", aether_error());
    for (int n = 1; n <= COMMITS; n++) {
        expect_ok(save_commit(store, n));
        vfs_note(VFS_ACKNOWLEDGED, 0, n, NULL, 0);
        if (n % 10 == 0)
            expect_ok(aether_checkpoint_save(store, "c", (aether_position){0, 1}));
    }
    aether_store_close(store);
}

/* Crashes at each point, in each way. */
TEST(store_sqlite_crash, STO5_a_crash_leaves_the_first_commits_and_all_that_were_acknowledged)
{
    char path[300];
    vfs_register();
    ae_sqlite_checkpoint_pages = 24; /* the log is moved several times */
    snprintf(path, sizeof path, "%s/store.db", unit_scratch());
    vfs.keeps = true;
    keep_journal(path);
    vfs.keeps = false;
    int acknowledged = 0, before_there_was_a_store = 0;
    size_t checked = 0, moved = 0;
    for (size_t i = 0; i < vfs.count; i++)
        moved += vfs.entries[i].kind == VFS_SYNC && vfs.entries[i].file == 0;
    cr_assert(moved > 2, "the log was not moved into the database");
    for (size_t end = 0; end <= vfs.count; end++) {
        if (end != 0 && vfs.entries[end - 1].kind == VFS_ACKNOWLEDGED)
            acknowledged = (int)vfs.entries[end - 1].offset;
        for (int loss = 0; loss < LOSSES; loss++) {
            char directory[320], url[360];
            snprintf(directory, sizeof directory, "%s/%zu-%d", unit_scratch(), end, loss);
            cr_assert(mkdir(directory, 0700) == 0);
            make_files(directory, end, (enum loss)loss);
            snprintf(url, sizeof url, "sqlite:%s/store.db", directory);
            aether_store *store = aether_store_open(url, NULL);
            cr_assert(store != NULL, "after %zu of %zu, loss %d: %s", end, vfs.count, loss, aether_error());
            int commits = count_commits(store);
            cr_assert(commits >= acknowledged && commits <= acknowledged + 1,
                      "after %zu of %zu, loss %d: %d commits, %d acknowledged", end, vfs.count, loss, commits, acknowledged);
            before_there_was_a_store += commits == 0;
            if (checked++ % 7 == 0)
                cr_assert(aether_store_verify(store, NULL, NULL) == AETHER_OK, "%s", aether_error());
            expect_ok(save_commit(store, commits + 1)); /* and it goes on */
            expect_number(commits + 1, count_commits(store));
            aether_store_close(store);
        }
    }
    cr_assert(checked > 500 && before_there_was_a_store > 5);
    vfs_forget();
    unit_scratch_remove();
}

/* -------------------------------------------------------------------------------------------------------------- faults */

/* How a run with one fault went. */
struct outcome {
    bool was_opened;
    int saved[COMMITS + 1]; /* statuses */
};

static void run_with_fault(const char *path, struct outcome *outcome)
{
    aether_store *store = open_test(path);
    outcome->was_opened = store != NULL;
    for (int n = 1; n <= COMMITS && store != NULL; n++)
        outcome->saved[n] = save_commit(store, n);
    aether_store_close(store);
}

/* Each actor's commits that were saved are there, those that were refused are not. */
static void compare(const char *path, const struct outcome *outcome, const char *what)
{
    vfs.code = 0;
    aether_store *store = open_test(path);
    cr_assert(store != NULL, "%s: %s", what, aether_error());
    bool there[COMMITS + 1] = {false};
    aether_replay *replay = aether_load_all(store, NULL);
    aether_event event;
    cr_assert(replay != NULL);
    while (aether_replay_next(replay, &event, AETHER_NO_WAIT) == AETHER_OK) {
        int said;
        char text[30];
        snprintf(text, sizeof text, "%.*s", event.data.size < 29 ? (int)event.data.size : 29, event.data.data);
        cr_assert(sscanf(text, "{\"commit\":%d", &said) == 1 && said >= 1 && said <= COMMITS);
        there[said] = true;
    }
    aether_replay_close(replay);
    bool unknown = false;
    for (int n = 1; n <= COMMITS && outcome->was_opened; n++) {
        if (outcome->saved[n] == AETHER_OK)
            cr_assert(there[n], "%s: commit %d was acknowledged, and is not there", what, n);
        else if (outcome->saved[n] != AETHER_UNKNOWN_OUTCOME)
            cr_assert(!there[n], "%s: commit %d was refused (%s), and is there", what, n,
                      aether_status_text(outcome->saved[n]));
        if (unknown)
            cr_assert(outcome->saved[n] == AETHER_FAILED, "%s: commit %d came after an unknown outcome: %s", what, n,
                      aether_status_text(outcome->saved[n]));
        unknown = unknown || outcome->saved[n] == AETHER_UNKNOWN_OUTCOME;
    }
    expect_ok(aether_store_verify(store, NULL, NULL));
    aether_store_close(store);
}

/* Each call of `kind` in turn answers `code`: once, or from then on. Returns how many runs had a fault. */
static int fault_each(enum vfs_kind kind, int code, bool again, int step)
{
    int runs = 0;
    for (int64_t skip = 0;; skip += step) {
        char path[300], what[80];
        snprintf(path, sizeof path, "%s/%d-%d-%d-%lld.db", unit_scratch(), kind, code, again, (long long)skip);
        snprintf(what, sizeof what, "kind %d, code %d, after %lld", kind, code, (long long)skip);
        struct outcome outcome = {false};
        vfs_forget();
        vfs.fails = kind;
        vfs.code = code;
        vfs.skip = skip;
        vfs.again = again;
        vfs.failed = 0;
        run_with_fault(path, &outcome);
        bool failed = vfs.failed != 0;
        compare(path, &outcome, what);
        vfs_forget();
        if (!failed)
            return runs;
        runs++;
    }
}

TEST(store_sqlite_crash, STO5_each_failing_write_is_told_and_loses_nothing)
{
    vfs_register();
    ae_sqlite_checkpoint_pages = 24;
    cr_assert(fault_each(VFS_WRITE, SQLITE_IOERR_WRITE, false, 3) > 20);
    cr_assert(fault_each(VFS_WRITE, SQLITE_FULL, true, 7) > 10);
    vfs.keeps_neighbours = true;
    cr_assert(fault_each(VFS_WRITE, SQLITE_READONLY, true, 9) > 5); /* a disk that became read-only */
    cr_assert(fault_each(VFS_WRITE, SQLITE_FULL, true, 5) > 10);
    cr_assert(fault_each(VFS_WRITE, SQLITE_FULL, false, 5) > 10);
    unit_scratch_remove();
}

TEST(store_sqlite_crash, STO5_each_failing_read_is_told_and_loses_nothing)
{
    vfs_register();
    ae_sqlite_checkpoint_pages = 24;
    cr_assert(fault_each(VFS_READ, SQLITE_IOERR_READ, false, 1) > 5);
    unit_scratch_remove();
}

TEST(store_sqlite_crash, STO5_after_a_failed_flush_the_store_takes_no_more)
{
    vfs_register();
    ae_sqlite_checkpoint_pages = 24;
    cr_assert(fault_each(VFS_SYNC, SQLITE_IOERR_FSYNC, false, 1) > 20);
    char path[300];
    snprintf(path, sizeof path, "%s/flush.db", unit_scratch());
    vfs.code = 0;
    aether_store *store = open_test(path);
    cr_assert(store != NULL);
    expect_ok(save_commit(store, 1));
    vfs.fails = VFS_SYNC;
    vfs.skip = 0;
    vfs.code = SQLITE_IOERR_FSYNC;
    vfs.again = false;
    expect_refused(AETHER_UNKNOWN_OUTCOME, "whether this is saved is not known", save_commit(store, 2));
    expect_refused(AETHER_FAILED, "takes no more saves", save_commit(store, 3));
    expect_refused(AETHER_FAILED, "close it and open it again", aether_checkpoint_save(store, "c", (aether_position){0, 1}));
    aether_saved saved;
    expect_refused(AETHER_FAILED, "disk I/O error", aether_save(store, AETHER_EVENT(.actor = "a", .type = "T"), &saved));
    cr_assert(saved.durability == AETHER_DURABILITY_NONE && saved.position.index == 0);
    expect_number(1, count_commits(store) >= 1); /* it can still be read */
    aether_store_close(store);
    store = open_test(path);
    cr_assert(store != NULL);
    int commits = count_commits(store);
    cr_assert(commits == 1 || commits == 2);
    expect_ok(save_commit(store, commits + 1));
    aether_store_close(store);
    vfs_forget();
    unit_scratch_remove();
}

TEST(store_sqlite_crash, STO5_a_full_disk_is_told_and_the_store_goes_on_once_there_is_room)
{
    vfs_register();
    char path[300];
    vfs.keeps_neighbours = true;
    snprintf(path, sizeof path, "%s/full.db", unit_scratch());
    aether_store *store = open_test(path);
    cr_assert(store != NULL);
    expect_ok(save_commit(store, 1));
    vfs.fails = VFS_WRITE;
    vfs.skip = 0;
    vfs.code = SQLITE_FULL;
    vfs.again = true;
    expect_refused(AETHER_NO_SPACE, "make room", save_commit(store, 2));
    expect_status(AETHER_NO_SPACE, save_commit(store, 2));
    vfs.code = 0;
    expect_number(1, count_commits(store));
    expect_ok(save_commit(store, 2));
    expect_number(2, count_commits(store));
    aether_store_close(store);
    vfs_forget();
    unit_scratch_remove();
}

/* A duplicate of, or a conflict with, something that is taken back with the same transaction is none. */
TEST(store_sqlite_crash, STO5_what_was_decided_in_a_failed_transaction_was_not)
{
    vfs_register();
    vfs.keeps_neighbours = true;
    char path[300];
    snprintf(path, sizeof path, "%s/decided.db", unit_scratch());
    aether_store *store = open_test(path);
    cr_assert(store != NULL);
    aether_event old = {.actor = "a", .type = "T", .id = {9}}, first = {.actor = "a", .type = "T", .id = {1}},
                 late = {.actor = "a", .type = "T", .version = 2};
    expect_ok(aether_save(store, &old, NULL));
    aether_save_request requests[4] = {{.events = &first, .count = 1},
                                       {.events = &first, .count = 1},
                                       {.events = &late, .count = 1},
                                       {.events = &old, .count = 1}};
    vfs.fails = VFS_WRITE;
    vfs.skip = 0;
    vfs.code = SQLITE_FULL;
    vfs.again = true;
    expect_status(AETHER_NO_SPACE, aether_save_each(store, requests, 4));
    for (int i = 0; i < 3; i++) {
        expect_status(AETHER_NO_SPACE, requests[i].status);
        cr_assert(!requests[i].saved.duplicate && requests[i].saved.position.index == 0);
    }
    expect_ok(requests[3].status); /* it was there before */
    cr_assert(requests[3].saved.duplicate);
    vfs.code = 0;
    int64_t version;
    expect_ok(aether_latest(store, "a", &version));
    expect_number(1, version);
    expect_status(AETHER_CONFLICT, aether_save_each(store, requests, 4));
    cr_assert(requests[0].status == AETHER_OK && !requests[0].saved.duplicate && requests[1].saved.duplicate);
    aether_store_close(store);
    vfs_forget();
    unit_scratch_remove();
}

/* --------------------------------------------------------------------------------------------------------- allocations */

static int64_t allocations_left = -1; /* until one fails; -1: none does */
static uint64_t allocations_failed;
static sqlite3_mem_methods memory;

static bool is_out_of_memory(void)
{
    if (allocations_left < 0 || allocations_left-- > 0)
        return false;
    allocations_failed++;
    return true;
}

static void *fail_malloc(int size)
{
    return is_out_of_memory() ? NULL : memory.xMalloc(size);
}

static void *fail_realloc(void *old, int size)
{
    return is_out_of_memory() ? NULL : memory.xRealloc(old, size);
}

TEST(store_sqlite_crash, D6_each_failing_allocation_of_sqlite_is_told_and_loses_nothing)
{
    cr_assert(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory) == SQLITE_OK);
    sqlite3_mem_methods failing = memory;
    failing.xMalloc = fail_malloc;
    failing.xRealloc = fail_realloc;
    cr_assert(sqlite3_config(SQLITE_CONFIG_MALLOC, &failing) == SQLITE_OK);
    vfs_register();
    int runs = 0;
    for (int64_t skip = 0;; skip += 5) {
        char path[300], what[60];
        snprintf(path, sizeof path, "%s/%lld.db", unit_scratch(), (long long)skip);
        snprintf(what, sizeof what, "allocation %lld", (long long)skip);
        struct outcome outcome = {false};
        vfs_forget();
        allocations_failed = 0;
        allocations_left = skip;
        run_with_fault(path, &outcome);
        allocations_left = -1;
        bool failed = allocations_failed != 0;
        compare(path, &outcome, what);
        if (!failed || runs > 400)
            break;
        runs++;
    }
    cr_assert(runs > 50);
    vfs_forget();
    unit_scratch_remove();
}
