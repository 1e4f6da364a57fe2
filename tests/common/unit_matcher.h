/*
 * The oracle for subjects and patterns: what they mean, said as plainly as can be, token by token and recursively. It shares
 * nothing with the library.
 */
#ifndef UNIT_MATCHER_H
#define UNIT_MATCHER_H

#include <stdbool.h>
#include <stddef.h>

/* Whether these bytes are a subject, or a pattern. */
bool unit_is_subject(const char *text, size_t size);
bool unit_is_pattern(const char *text, size_t size);

/* Of NUL-terminated valid texts. */
bool unit_matches(const char *pattern, const char *subject);
bool unit_covers(const char *pattern, const char *other);
bool unit_overlaps(const char *one, const char *other);

/*
 * Every text of at most `depth` tokens of `alphabet`, which has one token per byte, shortest first, joined by dots. Those
 * for which `is_wanted` is false are left out. The array ends with NULL; nothing frees it.
 */
char **unit_all_texts(const char *alphabet, size_t depth, bool (*is_wanted)(const char *text, size_t size));

/* Memory that stays until the program ends, zeroed; a text that does. Never NULL. */
void *unit_keep(size_t size);
char *unit_keep_text(const char *text);

#endif
