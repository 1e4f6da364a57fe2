#include "dirwatch_picture.h"

#include <limits.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

bool facts_equal(const struct facts *a, const struct facts *b)
{
    return a->type == b->type && a->size == b->size && a->mtime_ns == b->mtime_ns;
}

/* -------------------------------------------------------------------------------------------------------------- nodes */

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct node *)a)->name, ((const struct node *)b)->name);
}

static struct node *create_root(int root)
{
    struct node *node = need_memory(NULL, sizeof *node);
    *node = (struct node){.facts = {.type = 'd'}, .root = (uint8_t)root, .watch = -1};
    return node;
}

struct picture *picture_create(void)
{
    struct picture *picture = need_memory(NULL, sizeof *picture);
    *picture = (struct picture){0};
    for (int root = 0; root < ROOTS; root++)
        picture->roots[root] = create_root(root);
    return picture;
}

struct node *picture_find(const struct node *parent, const char *name)
{
    struct node key = {.name = name};
    struct node **found = tfind(&key, &parent->by_name, compare_names);
    return found ? *found : NULL;
}

struct node *picture_add(struct picture *picture, struct node *parent, const char *name, const struct facts *facts)
{
    size_t name_size = strlen(name) + 1;
    struct node *node = need_memory(NULL, sizeof *node + name_size);
    char *own_name = (char *)(node + 1);
    memcpy(own_name, name, name_size);
    *node = (struct node){
        .name = own_name, .parent = parent, .next = parent->first, .facts = *facts, .root = parent->root, .watch = -1};
    if (!tsearch(node, &parent->by_name, compare_names))
        out_of_memory();
    if (parent->first)
        parent->first->previous = node;
    parent->first = node;
    picture->entries++;
    return node;
}

/* Frees what is below the node. Its children's search tree goes whole: it need not stay in order meanwhile. */
static void free_below(struct picture *picture, struct node *node)
{
    if (picture->leaving)
        picture->leaving(node, picture->user);
    for (struct node *child = node->first, *next; child; child = next) {
        next = child->next;
        free_below(picture, child);
        picture->entries--;
    }
    /* The search tree's leaves are the children themselves, freed here, each once. */
    tdestroy(node->by_name, free);
}

void picture_remove(struct picture *picture, struct node *node)
{
    free_below(picture, node);
    tdelete(node, &node->parent->by_name, compare_names);
    if (node->previous)
        node->previous->next = node->next;
    else
        node->parent->first = node->next;
    if (node->next)
        node->next->previous = node->previous;
    free(node);
    picture->entries--;
}

void picture_destroy(struct picture *picture)
{
    if (!picture)
        return;
    for (int root = 0; root < ROOTS; root++) {
        free_below(picture, picture->roots[root]);
        free(picture->roots[root]);
    }
    free(picture);
}

/* ----------------------------------------------------------------------------------------------------------- by path */

void picture_path(const struct node *node, struct text *path)
{
    if (!node->parent) {
        text_add(path, "", 0);
        return;
    }
    picture_path(node->parent, path);
    if (node->parent->parent)
        text_add(path, "/", 1);
    text_add(path, node->name, strlen(node->name));
}

/* Where a path is, or would be. */
struct place {
    struct node *parent; /* the directory that its last name is in; NULL: not known */
    struct node *node;   /* NULL: there is none */
    const char *name;
};

static struct place locate(const struct picture *picture, uint8_t root, const char *path)
{
    struct node *parent = picture->roots[root];
    for (const char *slash; parent && (slash = strchr(path, '/')); path = slash + 1) {
        char name[NAME_MAX + 1];
        size_t length = (size_t)(slash - path);
        if (length > NAME_MAX) /* no file system has such a name */
            return (struct place){0};
        memcpy(name, path, length);
        name[length] = '\0';
        parent = picture_find(parent, name);
    }
    if (!parent || parent->facts.type != 'd')
        return (struct place){0};
    return (struct place){.parent = parent, .node = picture_find(parent, path), .name = path};
}

bool picture_put(struct picture *picture, uint8_t root, const char *path, const struct facts *facts)
{
    struct place place = locate(picture, root, path);
    if (!place.parent || (place.node && facts_equal(&place.node->facts, facts)))
        return false;
    if (place.node)
        place.node->facts = *facts;
    else
        picture_add(picture, place.parent, place.name, facts);
    return true;
}

bool picture_take(struct picture *picture, uint8_t root, const char *path)
{
    struct place place = locate(picture, root, path);
    if (place.node)
        picture_remove(picture, place.node);
    return place.node != NULL;
}

/* ---------------------------------------------------------------------------------------------------------- comparing */

typedef void differs_fn(const struct node *left, const struct node *right, void *user);

static void compare_children(const struct node *left, const struct node *right, differs_fn *differs, void *user)
{
    for (const struct node *child = left->first; child; child = child->next) {
        const struct node *other = picture_find(right, child->name);
        if (!other || !facts_equal(&child->facts, &other->facts))
            differs(child, other, user);
        else
            compare_children(child, other, differs, user);
    }
    for (const struct node *child = right->first; child; child = child->next)
        if (!picture_find(left, child->name))
            differs(NULL, child, user);
}

void picture_compare(const struct picture *left, const struct picture *right, differs_fn *differs, void *user)
{
    for (int root = 0; root < ROOTS; root++)
        compare_children(left->roots[root], right->roots[root], differs, user);
}
