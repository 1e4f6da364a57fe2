#include "base/fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local struct {
    aether_status status;
    char text[256];
} last;

aether_status ae_fail(aether_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(last.text, sizeof last.text, format, arguments);
    va_end(arguments);
    last.status = status;
    return status;
}

aether_status ae_fail_system(aether_status status, int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(last.text, sizeof last.text, format, arguments);
    va_end(arguments);
    size_t used = written < 0 ? 0 : (size_t)written;
    if (used < sizeof last.text) {
        char buffer[128];
        snprintf(last.text + used, sizeof last.text - used, ": %s", strerror_r(error, buffer, sizeof buffer));
    }
    last.status = status;
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
