/* The library's messages (D9), to the one callback that the program has set. */
#ifndef AE_LOG_H
#define AE_LOG_H

#include "aether/base.h"

/* Costs a load when nobody listens. */
void ae_log(int32_t level, const char *message);

#endif
