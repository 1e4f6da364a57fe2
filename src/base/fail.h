/* Failures: the status for the program, the text for people. */
#ifndef AE_FAIL_H
#define AE_FAIL_H

#include "aether/base.h"

/* Remembers a failure for aether_error() and returns `status`, so that callers can write `return ae_fail(...)`. */
__attribute__((format(printf, 2, 3), cold)) aether_status ae_fail(aether_status status, const char *format, ...);

/* The same with the words of the C library for `error` (an errno) at the end. */
__attribute__((format(printf, 3, 4), cold)) aether_status ae_fail_system(aether_status status, int error, const char *format,
                                                                         ...);

/* A failure that is kept, to be told by another thread than the one that met it. */
enum { AE_FAILURE_TEXT = 256 };

struct ae_failure {
    aether_status status;
    char text[AE_FAILURE_TEXT];
};

/* From now on what this thread fails in goes there; NULL: to aether_error(), as usual. Returns where it went before. */
struct ae_failure *ae_fail_into(struct ae_failure *failure);

/* It is this thread's last failure. Returns its status. */
aether_status ae_fail_again(const struct ae_failure *failure);

#endif
