/* Loading and keeping states, with arguments that are known to be right. */
#ifndef AE_STATE_H
#define AE_STATE_H

#include "aether/state.h"

void *ae_state_load(aether_store *store, const char *actor, const aether_reducer *reducer, aether_state_info *info);

/* most_bytes: 0: no limit of the policy's. */
AETHER_CHECKED aether_status ae_state_save(aether_store *store, const char *actor, const aether_reducer *reducer,
                                           const void *state, int64_t version, uint64_t most_bytes);

#endif
