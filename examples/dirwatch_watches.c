#include "dirwatch_watches.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

static int compare_numbers(const void *a, const void *b)
{
    int left = ((const struct node *)a)->watch;
    int right = ((const struct node *)b)->watch;
    return (left > right) - (left < right);
}

/* A setting under /proc/sys/fs/inotify, for messages. */
static long setting(const char *name)
{
    char path[128];
    long value = -1;
    snprintf(path, sizeof path, "/proc/sys/fs/inotify/%s", name);
    FILE *file = fopen(path, "re");
    if (file) {
        if (fscanf(file, "%ld", &value) != 1)
            value = -1;
        fclose(file);
    }
    return value;
}

bool watches_open(struct watches *watches, struct message *why)
{
    *watches = (struct watches){.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)};
    if (watches->fd >= 0)
        return true;
    if (errno == EMFILE)
        return refuse(why,
                      "no inotify instance to be had: either this program may open no more files (ulimit -n), or this user "
                      "has all that fs.inotify.max_user_instances allows (%ld). Raise either, or end another program "
                      "that watches files.",
                      setting("max_user_instances"));
    return refuse(why, "no inotify instance to be had: %s", strerror(errno));
}

void watches_close(struct watches *watches)
{
    if (watches->fd >= 0)
        close(watches->fd);
    watches->fd = -1;
}

static enum scan_answer judge(struct watches *watches, const char *path, int error, struct message *why)
{
    switch (error) {
    case EACCES:
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case ENAMETOOLONG:
        return SCAN_LEAVE_OUT;
    case ENOSPC:
        refuse(
            why,
            "no room for a watch on '%s': %zu are set here, and fs.inotify.max_user_watches allows %ld to all programs of "
            "this user together. Allow more (sysctl fs.inotify.max_user_watches=N), or watch a smaller tree.",
            path, watches->count, setting("max_user_watches"));
        return SCAN_GIVE_UP;
    default:
        refuse(why, "cannot watch '%s': %s", path, strerror(error));
        return SCAN_GIVE_UP;
    }
}

enum scan_answer watches_set(struct watches *watches, struct node *directory, const char *path, struct message *why)
{
    uint32_t events = IN_CREATE | IN_DELETE | IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO;
    if (!directory->parent) /* the others' end is told by the directory that they are in */
        events |= IN_DELETE_SELF | IN_MOVE_SELF;
    int number = inotify_add_watch(watches->fd, path, events | IN_ONLYDIR | IN_DONT_FOLLOW);
    int error = errno;
    if (number >= 0 && number == directory->watch)
        return SCAN_GO_ON;
    watches_drop(watches, directory); /* of a directory that had this name before */
    if (number < 0)
        return judge(watches, path, error, why);

    /* A directory that was moved keeps its number, and may be in the picture under its old name still. */
    struct node *before = watches_find(watches, number);
    if (before) {
        tdelete(before, &watches->by_number, compare_numbers);
        before->watch = -1;
        watches->count--;
    }
    directory->watch = number;
    if (!tsearch(directory, &watches->by_number, compare_numbers))
        out_of_memory();
    watches->count++;
    return SCAN_GO_ON;
}

void watches_drop(struct watches *watches, struct node *node)
{
    if (node->watch < 0)
        return;
    tdelete(node, &watches->by_number, compare_numbers);
    watches->count--;
    /* It fails where the directory is gone and its watch with it. A closed instance has no watches left at all. */
    if (watches->fd >= 0)
        inotify_rm_watch(watches->fd, node->watch);
    node->watch = -1;
}

struct node *watches_find(const struct watches *watches, int number)
{
    struct node key = {.watch = number};
    struct node **found = tfind(&key, &watches->by_number, compare_numbers);
    return found ? *found : NULL;
}
