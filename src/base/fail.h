/* Failures: the status for the program, the text for people. */
#ifndef AE_FAIL_H
#define AE_FAIL_H

#include "aether/base.h"

/* Remembers a failure for aether_error() and returns `status`, so that callers can write `return ae_fail(...)`. */
__attribute__((format(printf, 2, 3), cold)) aether_status ae_fail(aether_status status, const char *format, ...);

/* The same with the words of the C library for `error` (an errno) at the end. */
__attribute__((format(printf, 3, 4), cold)) aether_status ae_fail_system(aether_status status, int error, const char *format,
                                                                         ...);

#endif
