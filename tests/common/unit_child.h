/* A child of fork() that says what it found. */
#ifndef UNIT_CHILD_H
#define UNIT_CHILD_H

/* Runs `body(user)` in a child: its answer, or how the child died; NULL when all was well. */
const char *unit_child(const char *(*body)(void *user), void *user);

#endif
