/*
 * Subjects and patterns: the names that events are published under, and what subscribers ask for.
 *
 *      orders.eu.42        a subject: tokens between dots
 *      orders.*.42         a pattern: * stands for one token
 *      orders.>            > is the last token, and stands for one or more
 *
 * A token has at least one byte, and none that is a dot, a blank, a control character (up to 0x20, and 0x7f), '*' or '>'.
 * Any other byte is allowed, UTF-8 as well as not, and only equal bytes are equal. These are the rules of NATS, so that a
 * subject of one is a subject of the other. A subject is a pattern, too: the one that matches only itself.
 *
 * All functions may be called from any thread, do not block, and keep nothing of their arguments, which end at their NUL.
 *
 * Usable from C11 and C++17. Since 0.1.0.
 */
#ifndef AETHER_SUBJECT_H
#define AETHER_SUBJECT_H

#include "aether/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Most bytes of a subject or a pattern, without the NUL; most tokens. */
enum { AETHER_SUBJECT_MAX = 1024, AETHER_TOKENS_MAX = 64 };

/*
 * Whether this is a subject, or a pattern. AETHER_OK, or AETHER_INVALID: aether_error() says what is wrong and at which
 * byte, counted from 0: "aether_subject_check: empty token at byte 7". NULL is AETHER_INVALID, too.
 */
AETHER_API AETHER_CHECKED aether_status aether_subject_check(const char *subject);
AETHER_API AETHER_CHECKED aether_status aether_pattern_check(const char *pattern);

/*
 * What follows answers a question about valid texts. Where one is not, or NULL, the answer is false, and aether_error()
 * stays as it was.
 */

/* True if the pattern matches the subject. */
AETHER_API AETHER_CHECKED bool aether_pattern_matches(const char *pattern, const char *subject);

/* True if the pattern matches every subject that `other` matches. Each pattern covers itself. */
AETHER_API AETHER_CHECKED bool aether_pattern_covers(const char *pattern, const char *other);

/* True if there is a subject that both patterns match. */
AETHER_API AETHER_CHECKED bool aether_pattern_overlaps(const char *one, const char *other);

#ifdef __cplusplus
}
#endif

#endif
