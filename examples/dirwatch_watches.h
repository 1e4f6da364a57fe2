/* The watches of one inotify instance: which number belongs to which directory of a picture. For the source's thread. */
#ifndef DIRWATCH_WATCHES_H
#define DIRWATCH_WATCHES_H

#include "dirwatch_scan.h"

struct watches {
    int fd;          /* inotify's, non-blocking; -1: closed */
    void *by_number; /* nodes whose `watch` is set, for tfind() */
    size_t count;
};

bool watches_open(struct watches *watches, struct message *why);
void watches_close(struct watches *watches);

/*
 * Sets a watch on a directory of the picture, or keeps the one that it has. To leave out: it may not be read, or is gone. To
 * give up: there is no room, as `why` says.
 */
enum scan_answer watches_set(struct watches *watches, struct node *directory, const char *path, struct message *why);

/* The node goes, or its directory is gone. */
void watches_drop(struct watches *watches, struct node *node);

/* NULL: an event from before the watch was dropped. */
struct node *watches_find(const struct watches *watches, int number);

#endif
