/*
 * A store under many threads: savers of batches with expectations, loaders, followers, and snapshots by policy. Every loader
 * sees versions without a gap, whole batches, and never less than it saw before; every follower sees each position once, in
 * order; at the end all is there that was acknowledged.
 */
#ifndef STRESS_STORE_H
#define STRESS_STORE_H

#include "aether/store.h"

/* NULL, or what was wrong. */
const char *stress_store(const char *url, double seconds, uint64_t seed);

#endif
