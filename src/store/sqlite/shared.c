#include "store/sqlite/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/mapping.h"
#include "base/shared_futex.h"
#include "store/edges.h"

enum { PAGE = 4096, PATH = 4096 };

static const uint64_t MAGIC = UINT64_C(0x3072656874656161);
static const int64_t SLEEP_MOST = INT64_C(50000000), LOCK_PAUSE_MOST = INT64_C(1000000);

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void pause_for(int64_t ns)
{
    struct timespec time = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    (void)nanosleep(&time, NULL);
}

/* -------------------------------------------------------------------------------------------------- opening, closing */

static aether_status map(struct ae_sqlite_shared *shared, const char *path, bool read_only)
{
    struct stat status;
    if (fstat(shared->file, &status) == 0 && status.st_size < PAGE && ftruncate(shared->file, PAGE) != 0 && !read_only)
        return aether_fail(errno == ENOSPC ? AETHER_NO_SPACE : AETHER_SYSTEM,
                           "sqlite: cannot make \"%.120s\" a page long: %s", path, strerror(errno));
    shared->page = ae_map_shared(shared->file, PAGE);
    if (shared->page == NULL)
        return aether_fail(AETHER_SYSTEM, "sqlite: cannot map \"%.120s\": %s", path, strerror(errno));
    uint64_t found = 0;
    /* S7: whoever comes first says what the file is; all others find that. */
    if (!AE_CAS(S7_SHARED, &shared->page->magic, &found, MAGIC, seq_cst, seq_cst) && found != MAGIC)
        return aether_fail(AETHER_NO_STORE, "sqlite: \"%.120s\" is something else; it belongs beside a store of aether's",
                           path);
    return AETHER_OK;
}

aether_status ae_sqlite_shared_open(struct ae_sqlite_shared *shared, const char *database, bool read_only)
{
    *shared = (struct ae_sqlite_shared){.file = -1, .foreign = 1};
    pthread_mutex_init(&shared->lock, NULL);
    uint8_t id[16];
    aether_id_draw(id);
    memcpy(&shared->me, id + 8, sizeof shared->me);
    char path[PATH];
    if (snprintf(path, sizeof path, "%s-aether", database) >= (int)sizeof path)
        return aether_fail(AETHER_INVALID, "sqlite: the path has more than %d bytes", PATH);
    shared->file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (shared->file < 0 && read_only)
        return AETHER_OK; /* where nothing may be written nothing can be shared */
    if (shared->file < 0)
        return aether_fail(errno == EROFS || errno == EACCES ? AETHER_READ_ONLY
                           : errno == ENOSPC                 ? AETHER_NO_SPACE
                                                             : AETHER_SYSTEM,
                           "sqlite: cannot open \"%.120s\": %s", path, strerror(errno));
    return map(shared, path, read_only);
}

void ae_sqlite_shared_close(struct ae_sqlite_shared *shared)
{
    if (shared->page != NULL)
        ae_unmap_shared(shared->page, PAGE);
    if (shared->file >= 0)
        close(shared->file);
    pthread_mutex_destroy(&shared->lock);
}

/* ----------------------------------------------------------------------------------------------------------- the lock */

static bool set_lock(struct ae_sqlite_shared *shared, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_len = 1};
    int result;
    while ((result = fcntl(shared->file, F_OFD_SETLK, &lock)) != 0 && errno == EINTR)
        ;
    return result == 0;
}

aether_status ae_sqlite_shared_lock(struct ae_sqlite_shared *shared, int64_t deadline)
{
    if (shared->file < 0)
        return AETHER_OK;
    int64_t pause = 20000;
    while (!set_lock(shared, F_WRLCK)) {
        if (errno != EAGAIN && errno != EACCES)
            return aether_fail(AETHER_SYSTEM, "sqlite: cannot lock the file beside the store: %s", strerror(errno));
        if (now() >= deadline)
            return aether_fail(AETHER_TIMEOUT, "sqlite: another process has written all the time");
        pause_for(pause);
        pause = pause * 2 < LOCK_PAUSE_MOST ? pause * 2 : LOCK_PAUSE_MOST;
    }
    return AETHER_OK;
}

void ae_sqlite_shared_unlock(struct ae_sqlite_shared *shared)
{
    if (shared->file >= 0)
        (void)set_lock(shared, F_UNLCK);
}

/* --------------------------------------------------------------------------------------------------------- generations */

/* S7 all through: sequentially consistent, because processes share it, and it is never the hot way. */
static uint64_t load(const uint64_t *word)
{
    return AE_LOAD(S7_LOAD, word, seq_cst);
}

static void store(uint64_t *word, uint64_t value)
{
    AE_STORE(S7_SHARED, word, value, seq_cst);
}

/* Under the lock of `shared`: what is expected now, and whether that is news. */
static void expect(struct ae_sqlite_shared *shared, uint64_t commits, bool news)
{
    store(&shared->sequence, shared->sequence + 1);
    store(&shared->expected, commits);
    store(&shared->foreign, shared->foreign + news);
    store(&shared->sequence, shared->sequence + 1);
}

uint64_t ae_sqlite_shared_begin(struct ae_sqlite_shared *shared)
{
    if (shared->page == NULL)
        return 0;
    pthread_mutex_lock(&shared->lock);
    uint64_t left_over = load(&shared->page->committing);
    store(&shared->page->committing, shared->me);
    uint64_t commits = load(&shared->page->commits);
    /* Somebody who died in a commit may have made it, and not counted it. */
    if (commits != shared->expected || left_over != 0)
        expect(shared, commits, true);
    uint64_t generation = shared->foreign;
    pthread_mutex_unlock(&shared->lock);
    return generation;
}

void ae_sqlite_shared_finish(struct ae_sqlite_shared *shared, bool has_committed)
{
    if (shared->page == NULL)
        return;
    pthread_mutex_lock(&shared->lock);
    if (has_committed) {
        uint64_t commits = load(&shared->page->commits) + 1;
        store(&shared->page->commits, commits);
        expect(shared, commits, false);
    }
    store(&shared->page->committing, 0);
    pthread_mutex_unlock(&shared->lock);
}

static uint64_t refresh(struct ae_sqlite_shared *shared)
{
    pthread_mutex_lock(&shared->lock);
    uint64_t commits = load(&shared->page->commits), committing = load(&shared->page->committing);
    if (commits != shared->expected)
        expect(shared, commits, true);
    uint64_t generation = committing == 0 || committing == shared->me ? shared->foreign : 0;
    pthread_mutex_unlock(&shared->lock);
    return generation;
}

uint64_t ae_sqlite_shared_generation(struct ae_sqlite_shared *shared)
{
    if (shared->page == NULL)
        return 0;
    uint64_t sequence = load(&shared->sequence), expected = load(&shared->expected), foreign = load(&shared->foreign);
    uint64_t committing = load(&shared->page->committing);
    bool is_current = load(&shared->page->commits) == expected && (committing == 0 || committing == shared->me);
    if (is_current && sequence % 2 == 0 && load(&shared->sequence) == sequence)
        return foreign;
    return refresh(shared);
}

/* -------------------------------------------------------------------------------------------------------------- sleep */

uint32_t ae_sqlite_shared_word(struct ae_sqlite_shared *shared)
{
    return shared->page != NULL ? AE_LOAD(S7_LOAD, &shared->page->word, seq_cst) : 0;
}

void ae_sqlite_shared_sleep(struct ae_sqlite_shared *shared, uint32_t seen, int64_t deadline)
{
    int64_t left = deadline == AETHER_FOREVER ? SLEEP_MOST : deadline - now();
    left = left < 0            ? 0
           : left < SLEEP_MOST ? left
                               : SLEEP_MOST; /* who dies between its commit and its wake-up wakes nobody */
    if (shared->page == NULL) {
        pause_for(left < SLEEP_MOST / 5 ? left : SLEEP_MOST / 5);
        return;
    }
    (void)AE_ADD(S7_SHARED, &shared->page->sleepers, 1, seq_cst);
    ae_shared_futex_wait(&shared->page->word, seen, left);
    (void)AE_SUB(S7_SHARED, &shared->page->sleepers, 1, seq_cst);
}

void ae_sqlite_shared_wake(struct ae_sqlite_shared *shared)
{
    if (shared->page == NULL)
        return;
    (void)AE_ADD(S7_SHARED, &shared->page->word, 1, seq_cst);
    if (AE_LOAD(S7_LOAD, &shared->page->sleepers, seq_cst) != 0)
        ae_shared_futex_wake_all(&shared->page->word);
}
