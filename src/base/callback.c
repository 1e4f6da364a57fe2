#include "base/callback.h"

#include "base/fail.h"

_Thread_local int ae_callback_depth;

aether_status ae_callback_refuse(const char *call)
{
    if (ae_callback_depth == 0)
        return AETHER_OK;
    return ae_fail(AETHER_WOULD_BLOCK, "%s: called from a release callback, which must not call the library", call);
}
