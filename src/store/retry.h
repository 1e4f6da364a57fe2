/* Trying again: what the files of aether/retry.h share. */
#ifndef AE_RETRY_H
#define AE_RETRY_H

#include "aether/retry.h"

/* What a status means to who may try again. */
enum ae_retry_class {
    AE_RETRY_DONE,      /* it went well */
    AE_RETRY_CONFLICT,  /* somebody else was faster */
    AE_RETRY_UNKNOWN,   /* the same again, to see */
    AE_RETRY_TRANSIENT, /* it may be better soon */
    AE_RETRY_RESOURCE,  /* hurry makes it worse */
    AE_RETRY_PERMANENT
};

enum ae_retry_class ae_retry_class(aether_status status);

/* True: it was stopped. */
bool ae_stop_is_requested(aether_stop *stop);
/* Sleeps; a stop ends it. */
void ae_stop_wait(aether_stop *stop, int64_t ns);

/* What a clock of the user's says, or ours. */
int64_t ae_retry_now(int64_t (*now)(void *user), void *user);

#endif
