/* Grace periods, and the thread that waits for them. */
#include "common/unit.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rcu.h"
#include "common/unit_child.h"

struct deferred {
    struct ae_rcu_head head;
    uint32_t *ran; /* atomic */
};

static void count_run(struct ae_rcu_head *head)
{
    __atomic_add_fetch(((struct deferred *)head)->ran, 1, __ATOMIC_SEQ_CST);
}

TEST(base_rcu, BUF5_what_was_deferred_runs_once)
{
    enum { MANY = 100 };
    static struct deferred deferred[MANY];
    uint32_t ran = 0;
    for (int i = 0; i < MANY; i++) {
        deferred[i].ran = &ran;
        ae_rcu_defer(&deferred[i].head, count_run);
    }
    ae_rcu_barrier();
    expect_number(MANY, __atomic_load_n(&ran, __ATOMIC_SEQ_CST));
    ae_rcu_barrier();
    expect_number(MANY, __atomic_load_n(&ran, __ATOMIC_SEQ_CST));
}

struct section {
    uint32_t entered, may_leave; /* atomic */
    uint32_t *ran;
    uint32_t ran_inside; /* what it saw just before it left */
};

static const char *stay_inside(void *user)
{
    struct section *section = user;
    ae_rcu_read_lock();
    __atomic_store_n(&section->entered, 1, __ATOMIC_SEQ_CST);
    bool left = unit_until(__atomic_load_n(&section->may_leave, __ATOMIC_SEQ_CST) != 0);
    section->ran_inside = __atomic_load_n(section->ran, __ATOMIC_SEQ_CST);
    ae_rcu_read_unlock();
    claim(left);
    return NULL;
}

TEST(base_rcu, BUF5_what_was_deferred_waits_for_read_sections_that_had_begun)
{
    uint32_t ran = 0;
    struct section section = {.ran = &ran};
    struct deferred deferred = {.ran = &ran};
    struct unit_thread thread;
    cr_assert(unit_thread_start(&thread, 0, stay_inside, &section));
    cr_assert(unit_until(__atomic_load_n(&section.entered, __ATOMIC_SEQ_CST) != 0));
    ae_rcu_defer(&deferred.head, count_run);
    int64_t look_until = unit_now() + AETHER_MILLISECONDS(30); /* long enough for a worker that does not wait */
    while (unit_now() < look_until)
        expect_number(0, __atomic_load_n(&ran, __ATOMIC_SEQ_CST));
    __atomic_store_n(&section.may_leave, 1, __ATOMIC_SEQ_CST);
    expect_fine(unit_thread_join(&thread));
    expect_number(0, section.ran_inside);
    ae_rcu_barrier();
    expect_number(1, ran);
}

TEST(base_rcu, BUF5_read_sections_may_be_nested)
{
    uint32_t ran = 0;
    struct deferred deferred = {.ran = &ran};
    ae_rcu_read_lock();
    ae_rcu_read_lock();
    ae_rcu_read_unlock();
    ae_rcu_read_unlock();
    ae_rcu_defer(&deferred.head, count_run);
    ae_rcu_barrier();
    expect_number(1, ran);
}

/* -------------------------------------------------------------------------------------------------------- its thread */

/* Reads "NAME: value" of a thread's status; false without such a thread or line. */
static bool read_status(const char *tid, const char *name, char *value, size_t size)
{
    char path[64], line[256];
    bool found = false;
    snprintf(path, sizeof path, "/proc/self/task/%.20s/status", tid);
    FILE *file = fopen(path, "r");
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
        found = strncmp(line, name, strlen(name)) == 0;
        if (found)
            snprintf(value, size, "%s", line + strlen(name) + 2); /* the colon and a tab */
    }
    if (file != NULL)
        fclose(file);
    return found;
}

struct threads {
    int count;
    int workers;        /* of them, named aether-... */
    uint64_t unblocked; /* signals that some worker does not block */
};

static struct threads look_at_threads(void)
{
    struct threads threads = {0, 0, 0};
    DIR *directory = opendir("/proc/self/task");
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
        char name[64], blocked[64];
        if (!isdigit((unsigned char)entry->d_name[0]) || !read_status(entry->d_name, "Name", name, sizeof name))
            continue;
        threads.count++;
        if (strncmp(name, "aether-", 7) == 0 && read_status(entry->d_name, "SigBlk", blocked, sizeof blocked)) {
            threads.workers++;
            threads.unblocked |= ~strtoull(blocked, NULL, 16);
        }
    }
    if (directory != NULL)
        closedir(directory);
    return threads;
}

static const char *start_the_worker(void *user)
{
    (void)user;
    static struct deferred deferred;
    static uint32_t ran;
    deferred.ran = &ran;
    ran = 0;
    ae_rcu_defer(&deferred.head, count_run);
    ae_rcu_barrier();
    claim(ran == 1);
    return NULL;
}

/* Signals 9 and 19 cannot be blocked, 32 to 34 are the C library's own. */
static const uint64_t blockable = ~(UINT64_C(1) << 8 | UINT64_C(1) << 18 | UINT64_C(7) << 31);

static const char *worker_is_ours(void)
{
    struct threads threads = look_at_threads();
    claim(threads.workers == 1);
    claim(unit_is_in_valgrind() || unit_is_in_qemu() || (threads.unblocked & blockable) == 0);
    return NULL;
}

TEST(base_rcu, D4_the_worker_has_our_name_and_takes_no_signals)
{
    int before = look_at_threads().count;
    expect_fine(start_the_worker(NULL));
    expect_number(before + 1, look_at_threads().count);
    expect_fine(worker_is_ours());
}

static const char *start_it_and_look(void *user)
{
    const char *wrong = start_the_worker(user);
    return wrong != NULL ? wrong : worker_is_ours();
}

TEST(base_rcu, D4_the_worker_of_a_child_has_our_name_and_takes_no_signals)
{
    expect_fine(unit_child(start_it_and_look, NULL)); /* a child that starts the first one */
    expect_fine(start_the_worker(NULL));
    if (unit_is_in_qemu())
        return;
    expect_fine(unit_child(start_it_and_look, NULL)); /* a child whose parent had one */
    expect_fine(worker_is_ours());
}

TEST(base_rcu, D4_a_buffer_alone_starts_no_thread)
{
    int before = look_at_threads().count;
    aether_buffer *buffer = unit_buffer();
    aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
    expect_ok(unit_append(buffer, 1, 20));
    expect_items(cursor, 1, 20);
    aether_cursor_close(cursor);
    expect_number(before, look_at_threads().count);
    aether_buffer_destroy(buffer);
}

TEST(base_rcu, D4_preparing_a_thread_may_be_repeated)
{
    aether_thread_prepare();
    aether_thread_prepare();
    aether_buffer *buffer = unit_buffer();
    aether_cursor_close(unit_open(buffer, AETHER_FROM_NEXT));
    aether_buffer_destroy(buffer);
}

TEST(base_rcu, D6_draining_waits_until_all_memory_is_back)
{
    aether_memory_drain(); /* with nothing to wait for */
    for (int round = 0; round < 3; round++) {
        aether_buffer *buffer = unit_buffer();
        aether_cursor *cursor = unit_open(buffer, AETHER_FROM_NEXT);
        expect_ok(unit_append(buffer, 1, 5000));
        aether_buffer_destroy(buffer);
        aether_cursor_close(cursor);
        aether_memory_drain();
        expect_number(0, unit_memory().blocks);
    }
}
