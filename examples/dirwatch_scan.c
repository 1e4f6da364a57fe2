#include "dirwatch_scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Looks at a path without following it. False: nothing is there. */
static bool look(const char *path, struct facts *facts)
{
    struct stat found;
    *facts = (struct facts){.type = '?'};
    if (lstat(path, &found) != 0)
        return errno != ENOENT && errno != ENOTDIR;
    facts->type = S_ISDIR(found.st_mode) ? 'd' : S_ISREG(found.st_mode) ? '-' : S_ISLNK(found.st_mode) ? 'l' : 'o';
    if (facts->type == 'd')
        return true;
    facts->size = (uint64_t)found.st_size;
    facts->mtime_ns = (int64_t)found.st_mtim.tv_sec * 1000000000 + found.st_mtim.tv_nsec;
    return true;
}

static void leave_out(struct scan *scan, const char *reason)
{
    scan->left_out++;
    text_cut(&scan->left_out_one, 0);
    text_add_printable(&scan->left_out_one, scan->path.bytes);
    text_addf(&scan->left_out_one, ": %s", reason);
}

/* ---------------------------------------------------------------------------------------------- a directory's names */

/* Fits what errno says about a directory into the three answers. */
static enum scan_answer judge(struct scan *scan, int error)
{
    switch (error) {
    case ENOENT: /* gone, or something else, in the meantime: its directory's watch will tell */
    case ENOTDIR:
        return SCAN_LEAVE_OUT;
    case EMFILE:
    case ENFILE:
        refuse(scan->why, "cannot open '%s': %s. Allow the program more open files (ulimit -n).", scan->path.bytes,
               strerror(error));
        return SCAN_GIVE_UP;
    case ENOMEM:
        refuse(scan->why, "cannot open '%s': %s", scan->path.bytes, strerror(error));
        return SCAN_GIVE_UP;
    default:
        leave_out(scan, strerror(error));
        return SCAN_LEAVE_OUT;
    }
}

/*
 * The names in the directory where the scan is, each with a NUL. The directory is closed before any of them is looked at, so
 * that the deepest tree needs one file descriptor.
 */
static enum scan_answer read_names(struct scan *scan, struct text *names)
{
    int fd = open(scan->path.bytes, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return judge(scan, errno);
    DIR *directory = fdopendir(fd);
    if (!directory) {
        int error = errno;
        close(fd);
        return judge(scan, error);
    }
    struct dirent *found;
    while ((errno = 0, found = readdir(directory)))
        if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0)
            text_add(names, found->d_name, strlen(found->d_name) + 1);
    int error = errno;
    closedir(directory);
    return error == 0 ? SCAN_GO_ON : judge(scan, error);
}

/* ------------------------------------------------------------------------------------------------------- descending */

static bool scan_here(struct scan *scan, struct node *directory, const char *name);

static void take(struct scan *scan, struct node *node)
{
    if (scan->take)
        scan->take(node, scan->user);
    picture_remove(scan->picture, node);
}

/* The scan is at the directory: makes its children equal to what is there. */
static bool scan_directory(struct scan *scan, struct node *directory)
{
    struct text names = {0};
    enum scan_answer answer = SCAN_GO_ON;
    if (scan->enter)
        answer = scan->enter(directory, scan->path.bytes, scan->user);
    if (answer == SCAN_GO_ON)
        answer = read_names(scan, &names);
    if (answer == SCAN_LEAVE_OUT)
        text_cut(&names, 0);

    bool done = answer != SCAN_GIVE_UP;
    uint64_t round = ++scan->round;
    for (size_t at = 0; done && at < names.length; at += strlen(names.bytes + at) + 1) {
        done = scan_here(scan, directory, names.bytes + at);
        struct node *child = picture_find(directory, names.bytes + at);
        if (child)
            child->seen = round;
    }
    text_free(&names);

    for (struct node *child = directory->first, *next; done && child; child = next) {
        next = child->next;
        if (child->seen != round)
            take(scan, child);
    }
    return done;
}

/* The scan is at the directory: looks at one name in it. */
static bool scan_here(struct scan *scan, struct node *directory, const char *name)
{
    size_t length = scan->path.length;
    text_add(&scan->path, "/", 1);
    text_add(&scan->path, name, strlen(name));

    struct node *node = picture_find(directory, name);
    struct facts facts;
    bool there = look(scan->path.bytes, &facts);
    if (node && (!there || (node->facts.type == 'd') != (facts.type == 'd'))) {
        take(scan, node);
        node = NULL;
    }
    bool changed = there && !(node && facts_equal(&node->facts, &facts));
    if (changed && !node)
        node = picture_add(scan->picture, directory, name, &facts);
    else if (changed)
        node->facts = facts;
    if (changed && scan->put)
        scan->put(node, scan->user);

    bool done = !node || facts.type != 'd' || scan_directory(scan, node);
    text_cut(&scan->path, length);
    return done;
}

/* Brings the scan to a directory of the picture. */
static void go_to(struct scan *scan, const struct node *directory)
{
    const char *dir = scan->dirs[directory->root];
    text_cut(&scan->path, 0);
    text_add(&scan->path, dir, strlen(dir));
    if (directory->parent) {
        text_add(&scan->path, "/", 1);
        picture_path(directory, &scan->path);
    }
}

bool scan_name(struct scan *scan, struct node *directory, const char *name)
{
    go_to(scan, directory);
    return scan_here(scan, directory, name);
}

bool scan_root(struct scan *scan, int root)
{
    go_to(scan, scan->picture->roots[root]);
    return scan_directory(scan, scan->picture->roots[root]);
}

void scan_free(struct scan *scan)
{
    text_free(&scan->path);
    text_free(&scan->left_out_one);
}
