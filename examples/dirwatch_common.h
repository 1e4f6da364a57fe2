/* What the parts of dirwatch share: failures as messages, time, growing text, and a bell that wakes a thread in poll(). */
#ifndef DIRWATCH_COMMON_H
#define DIRWATCH_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is watched: the user's directory, and the scratch tree that dirwatch changes itself. */
enum { ROOT_DIR = 0, ROOT_SCRATCH = 1, ROOTS = 2 };

/* Exit statuses. */
enum { EXIT_EQUAL = 0, EXIT_DIFFERENT = 1, EXIT_TROUBLE = 2 };

/* Why something did not work, for people: what, where, and what to do about it. */
struct message {
    char text[1024];
};

/* Fills the message and returns false, so that a function can say `return refuse(why, "...")`. */
bool refuse(struct message *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * The end of the program: says so and leaves through exit(), which removes the scratch tree. Where the library has no memory
 * it answers with a status; a demonstration whose own lists do not fit has nothing to go on from.
 */
_Noreturn void out_of_memory(void);

/* realloc(), or the above. */
void *need_memory(void *old, size_t size) __attribute__((returns_nonnull, warn_unused_result));

/* CLOCK_MONOTONIC in nanoseconds. */
int64_t now_ns(void);

/* -------------------------------------------------------------------------------------------------------------- text */

/* Text that grows; `bytes` always ends with a NUL once something was added. All zero is the empty one. */
struct text {
    char *bytes;
    size_t length;
    size_t room;
};

void text_add(struct text *text, const char *bytes, size_t length);
void text_addf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_cut(struct text *text, size_t length);
void text_free(struct text *text);

/* Paths hold any byte but NUL. For a terminal: what is no printable UTF-8 becomes \xNN, so that no name can steer it. */
void text_add_printable(struct text *text, const char *path);

/*
 * As a JSON string with its quotes. A byte that is no UTF-8 becomes the lone surrogate \udcNN, as in Python's file names, so
 * that the path's bytes can be had back.
 */
void text_add_json(struct text *text, const char *path);

/* -------------------------------------------------------------------------------------------------------------- bell */

/* An eventfd: rung from any thread, heard by the one that polls it. Returns -1 with errno on failure. */
int bell_create(void);
void bell_ring(int bell);
void bell_clear(int bell);

#endif
