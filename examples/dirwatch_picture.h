/*
 * A picture: what somebody knows about the two trees. The source has one, which it keeps equal to the disk; each watcher has
 * one, made of nothing but the items it read; and the disk is scanned into a fresh one to compare them with.
 *
 *      picture ─▶ roots[ROOT_DIR] ─▶ "linux" ─▶ "futex.h"
 *                                 └▶ "stdio.h"
 *              └▶ roots[ROOT_SCRATCH] ─▶ ...
 *
 * A node's children are a list, to walk in, and a search tree of the same nodes, to find by name. Recursion is as deep as
 * the tree, which PATH_MAX bounds. A picture belongs to one thread at a time.
 */
#ifndef DIRWATCH_PICTURE_H
#define DIRWATCH_PICTURE_H

#include "dirwatch_common.h"

/* What is known about a path, and compared. Directories have neither size nor time: these follow from what is in them. */
struct facts {
    int64_t mtime_ns;
    uint64_t size;
    char type; /* '-' file, 'd' directory, 'l' symbolic link, 'o' other, '?' there, but not to be looked at */
};

bool facts_equal(const struct facts *a, const struct facts *b);

struct node {
    const char *name;    /* in the same memory; NULL: a root */
    struct node *parent; /* NULL: a root */
    struct node *first;  /* of its children */
    struct node *next;
    struct node *previous;
    void *by_name; /* its children, for tfind() */
    struct facts facts;
    uint8_t root;
    /* For the source alone: */
    uint64_t seen; /* the scan that met it last */
    int watch;     /* inotify's number of the directory, -1: not watched */
};

struct picture {
    struct node *roots[ROOTS];
    size_t entries; /* nodes that are no roots */
    /* Called for each node that is about to go, children after their parent; NULL: not wanted. */
    void (*leaving)(struct node *node, void *user);
    void *user;
};

struct picture *picture_create(void);
void picture_destroy(struct picture *picture); /* NULL does nothing */

struct node *picture_find(const struct node *parent, const char *name);
struct node *picture_add(struct picture *picture, struct node *parent, const char *name, const struct facts *facts);
/* The node and all below it. */
void picture_remove(struct picture *picture, struct node *node);

/* The node's path from its root on, without a slash at the beginning; "" for a root. Appends to `path`. */
void picture_path(const struct node *node, struct text *path);

/*
 * Changes by path, as items bring them. False when that changes nothing: the entry is there already, or is not, or has no
 * parent. Since the source announces nothing but changes, this means that an item was missed or came twice.
 */
bool picture_put(struct picture *picture, uint8_t root, const char *path, const struct facts *facts);
bool picture_take(struct picture *picture, uint8_t root, const char *path);

/* Calls `differs` for each path whose entries are not equal; NULL: there is none. Does not descend where one has nothing. */
void picture_compare(const struct picture *left, const struct picture *right,
                     void (*differs)(const struct node *left, const struct node *right, void *user), void *user);

#endif
