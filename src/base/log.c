#include "base/log.h"

#include "base/atomic.h"
#include "base/edges.h"

static aether_log_fn log_fn;
static void *log_user;

void aether_log_use(aether_log_fn log, void *user)
{
    log_user = user;
    /* B1: pairs with the load in ae_log(): the function brings its user pointer along. */
    AE_STORE(B1_LOG_SET, &log_fn, log, release);
}

void ae_log(int32_t level, const char *message)
{
    /* B1: pairs with the store in aether_log_use(). */
    aether_log_fn log = AE_LOAD(B1_LOG_GET, &log_fn, acquire);
    if (log != NULL)
        log(level, message, NULL, 0, log_user);
}
