#include "base/fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local struct ae_failure last;
static _Thread_local struct ae_failure *elsewhere;

struct ae_failure *ae_fail_into(struct ae_failure *failure)
{
    struct ae_failure *before = elsewhere;
    elsewhere = failure;
    return before;
}

static struct ae_failure *target(void)
{
    return elsewhere != NULL ? elsewhere : &last;
}

aether_status ae_fail_again(const struct ae_failure *failure)
{
    *target() = *failure;
    return failure->status;
}

aether_status ae_fail(aether_status status, const char *format, ...)
{
    struct ae_failure *failure = target();
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(failure->text, sizeof failure->text, format, arguments);
    va_end(arguments);
    failure->status = status;
    return status;
}

aether_status ae_fail_system(aether_status status, int error, const char *format, ...)
{
    struct ae_failure *failure = target();
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(failure->text, sizeof failure->text, format, arguments);
    va_end(arguments);
    size_t used = written < 0 ? 0 : (size_t)written;
    if (used < sizeof failure->text) {
        char buffer[128];
        snprintf(failure->text + used, sizeof failure->text - used, ": %s", strerror_r(error, buffer, sizeof buffer));
    }
    failure->status = status;
    return status;
}

const char *aether_error(void)
{
    return last.text;
}

aether_status aether_error_status(void)
{
    return last.status;
}
