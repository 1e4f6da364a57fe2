/*
 * A scan makes a picture equal to the disk, at one path and all below it. The source and the final comparison use the same
 * one, so that both treat alike what cannot be read, and symbolic links, which are never followed.
 *
 * What a scan does not understand it leaves out, and says so: a directory that cannot be opened has no entries, a path that
 * cannot be looked at has the type '?'. What would make every further answer wrong (no file descriptors left, no room for
 * watches) ends the scan with a message.
 */
#ifndef DIRWATCH_SCAN_H
#define DIRWATCH_SCAN_H

#include "dirwatch_picture.h"

enum scan_answer { SCAN_GO_ON, SCAN_LEAVE_OUT, SCAN_GIVE_UP };

struct scan {
    struct picture *picture;
    const char *dirs[ROOTS]; /* where the picture's roots are on the disk */
    struct message *why;     /* filled when a call gives up */

    /* All may be NULL. */
    enum scan_answer (*enter)(struct node *directory, const char *path, void *user); /* its names are about to be read */
    void (*put)(const struct node *node, void *user);                                /* the node is new, or has changed */
    void (*take)(const struct node *node, void *user);                               /* it goes, with all below it */
    void *user;

    uint64_t round;           /* the scan's own: numbers the directories that it reads */
    struct text path;         /* the scan's own: where it is */
    size_t left_out;          /* directories that could not be read */
    struct text left_out_one; /* one of them, and why */
};

/* One name in a directory of the picture, which may have come, changed or gone. False: `why` says why. */
bool scan_name(struct scan *scan, struct node *directory, const char *name);

/* A whole tree. */
bool scan_root(struct scan *scan, int root);

void scan_free(struct scan *scan); /* but for the picture */

#endif
