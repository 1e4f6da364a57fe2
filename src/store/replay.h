/* Streams of stored events: what replay.c shares with store.c. */
#ifndef AE_REPLAY_H
#define AE_REPLAY_H

#include "aether/store.h"

/* All replays of the store end with AETHER_CLOSED; those that wait are woken. */
void ae_replays_end(aether_store *store);

#endif
