/* Whether this thread is inside one of the program's callbacks, from which the library must not be called. */
#ifndef AE_CALLBACK_H
#define AE_CALLBACK_H

#include <stdbool.h>

#include "aether/base.h"

extern _Thread_local int ae_callback_depth;

static inline void ae_callback_enter(void)
{
    ae_callback_depth++;
}

static inline void ae_callback_leave(void)
{
    ae_callback_depth--;
}

/* AETHER_WOULD_BLOCK with a text inside a callback, else AETHER_OK. */
AETHER_CHECKED aether_status ae_callback_refuse(const char *call);

#endif
