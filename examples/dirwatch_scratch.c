#include "dirwatch_scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dirwatch_source.h"

/* --------------------------------------------------------------------------------------------------- the directory */

static char scratch[PATH_MAX]; /* "": there is none */

/* Without any memory but the stack, so that it works when there is no other, and in a signal handler. */
static void empty_directory(int directory)
{
    alignas(struct dirent64) char names[2048];
    ssize_t size;
    while ((size = getdents64(directory, names, sizeof names)) > 0) {
        for (ssize_t at = 0; at < size;) {
            const struct dirent64 *found = (const struct dirent64 *)(const void *)(names + at);
            at += found->d_reclen;
            if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0)
                continue;
            if (unlinkat(directory, found->d_name, 0) == 0)
                continue;
            int inner = openat(directory, found->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (inner < 0)
                continue;
            empty_directory(inner);
            close(inner);
            unlinkat(directory, found->d_name, AT_REMOVEDIR);
        }
    }
}

static bool remove_tree(const char *path)
{
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (directory < 0)
        return false;
    empty_directory(directory);
    close(directory);
    return rmdir(path) == 0;
}

/* When it is not main() that leaves the program, the changer may still be at it: hence the attempts. */
static void remove_scratch(void)
{
    for (int attempt = 0; attempt < 100 && !remove_tree(scratch) && errno == ENOTEMPTY; attempt++)
        ;
}

/* liburcu, and assertions. The process goes on to abort. */
static void on_abort(int signal_number)
{
    (void)signal_number;
    remove_scratch();
}

static bool is_inside(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    if (strcmp(directory, "/") == 0)
        return true;
    return strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* False, with `scratch` empty: not here. */
static bool try_place(const char *place, const char *outside)
{
    char real[PATH_MAX];
    if (!place || !realpath(place, real) || is_inside(real, outside))
        return false;
    if (snprintf(scratch, sizeof scratch, "%s/dirwatch-XXXXXX", real) < (int)sizeof scratch && mkdtemp(scratch))
        return true;
    scratch[0] = '\0';
    return false;
}

const char *scratch_create(const char *outside, struct message *why)
{
    const char *places[] = {getenv("TMPDIR"), "/tmp", "/var/tmp", "/dev/shm"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (!try_place(places[i], outside))
            continue;
        atexit(remove_scratch);
        signal(SIGABRT, on_abort);
        return scratch;
    }
    refuse(why,
           "no place for the scratch tree: it has to be outside '%s', to which nothing is written, and neither $TMPDIR nor "
           "/tmp, /var/tmp, /dev/shm is, or can be written to. Set TMPDIR, or watch a smaller directory.",
           outside);
    return NULL;
}

bool scratch_mark(uint64_t number, struct message *why)
{
    char path[sizeof scratch + 64];
    snprintf(path, sizeof path, "%s/" MARK_PREFIX "%" PRIu64, scratch, number);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return refuse(why, "cannot create '%s': %s", path, strerror(errno));
    close(fd);
    return true;
}

/* ------------------------------------------------------------------------------------------------------- the changer */

struct changer {
    struct changer_options options; /* const */
    pthread_t thread;
    uint64_t random; /* the changer's thread alone */
    atomic_bool stop;
    atomic_uint_fast64_t changes;
    /* Written once by the changer's thread, before `failed` is set. */
    struct message why;
    atomic_bool failed;
};

/* xorshift64: the same seed makes the same attempts. */
static uint64_t below(struct changer *changer, uint64_t bound)
{
    changer->random ^= changer->random << 13;
    changer->random ^= changer->random >> 7;
    changer->random ^= changer->random << 17;
    return changer->random % bound;
}

/* Few names, so that changes meet: what is created was often there before, is moved on, is deleted while it is new. */
static void random_directory(struct changer *changer, char *path, size_t size)
{
    static const char *const names[] = {"a", "b", "c with space", "d\xc3\xa9", "e\xff no utf-8", "f\nline"};
    int length = snprintf(path, size, "%s", scratch);
    for (uint64_t depth = 1 + below(changer, 3); depth > 0; depth--)
        length += snprintf(path + length, size - (size_t)length, "/%s", names[below(changer, 6)]);
}

static void random_file(struct changer *changer, char *path, size_t size)
{
    if (below(changer, 4) == 0)
        snprintf(path, size, "%s", scratch);
    else
        random_directory(changer, path, size);
    size_t length = strlen(path);
    snprintf(path + length, size - length, "/file-%" PRIu64, below(changer, 20));
}

static bool write_file(struct changer *changer, const char *path, int flags)
{
    static const char content[4096];
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
    if (fd < 0)
        return false;
    ssize_t written = write(fd, content, (size_t)below(changer, sizeof content));
    int error = errno;
    close(fd);
    errno = error;
    return written >= 0;
}

/* One attempt. False with errno: it was not to be, as there is no such file, or the directory is not empty. */
static bool change(struct changer *changer)
{
    char path[sizeof scratch + 128];
    char other[sizeof path];
    uint64_t choice = below(changer, 100);
    if (choice < 30) {
        random_directory(changer, path, sizeof path);
        random_directory(changer, other, sizeof other);
    } else {
        random_file(changer, path, sizeof path);
        random_file(changer, other, sizeof other);
    }
    if (choice < 14)
        return mkdir(path, 0700) == 0;
    if (choice < 22)
        return rename(path, other) == 0;
    if (choice < 27)
        return rmdir(path) == 0;
    if (choice < 30)
        return remove_tree(path);
    if (choice < 55)
        return write_file(changer, path, O_CREAT | O_TRUNC);
    if (choice < 75)
        return write_file(changer, path, O_APPEND);
    if (choice < 85)
        return rename(path, other) == 0;
    if (choice < 88)
        return symlink("file-1", path) == 0;
    return unlink(path) == 0;
}

/* Errors that follow from picking at random. Others (a full disk) will not go away. */
static bool is_expected(int error)
{
    switch (error) {
    case ENOENT:
    case EEXIST:
    case ENOTDIR:
    case EISDIR:
    case ENOTEMPTY:
    case EINVAL: /* a directory into itself */
    case ELOOP:
        return true;
    default:
        return false;
    }
}

static const char *advice(int error)
{
    switch (error) {
    case EMFILE:
    case ENFILE:
        return ". Allow the program more open files (ulimit -n).";
    case ENOSPC:
    case EDQUOT:
        return ". Make room there, or set TMPDIR to where there is some.";
    default:
        return "";
    }
}

static bool change_some(struct changer *changer, uint64_t wanted)
{
    uint64_t made = 0;
    for (uint64_t attempts = 0; made < wanted && attempts < 20 * wanted; attempts++) {
        errno = 0;
        if (change(changer))
            made++;
        else if (!is_expected(errno))
            return refuse(&changer->why, "the scratch tree '%s' cannot be changed: %s%s", scratch, strerror(errno),
                          advice(errno));
    }
    atomic_fetch_add(&changer->changes, made);
    return true;
}

/* In beats of 5 ms, by the clock, so that a slow disk does not lower the rate for ever. */
static void *run(void *argument)
{
    struct changer *changer = argument;
    int64_t begun = now_ns();
    uint64_t made = 0;
    for (int64_t beat = begun; !atomic_load(&changer->stop); beat += 5000000) {
        struct timespec until = {.tv_sec = beat / 1000000000, .tv_nsec = beat % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        uint64_t due = (uint64_t)(beat - begun) / 1000000 * changer->options.per_second / 1000;
        if (!change_some(changer, due - made)) {
            atomic_store(&changer->failed, true);
            bell_ring(changer->options.bell);
            break;
        }
        made = due;
    }
    return NULL;
}

struct changer *changer_start(const struct changer_options *options, struct message *why)
{
    struct changer *changer = need_memory(NULL, sizeof *changer);
    *changer = (struct changer){.options = *options, .random = options->seed | 1};
    int error = pthread_create(&changer->thread, NULL, run, changer);
    if (error == 0)
        return changer;
    refuse(why, "no thread for the changer: %s", strerror(error));
    free(changer);
    return NULL;
}

bool changer_get_status(struct changer *changer, uint64_t *changes, struct message *why)
{
    *changes = atomic_load(&changer->changes);
    if (!atomic_load(&changer->failed))
        return true;
    *why = changer->why;
    return false;
}

void changer_stop(struct changer *changer)
{
    if (!changer)
        return;
    atomic_store(&changer->stop, true);
    pthread_join(changer->thread, NULL);
    free(changer);
}
