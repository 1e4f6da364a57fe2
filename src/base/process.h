/* What belongs to the whole process: the first-time preparations, and fork() (D5). */
#ifndef AE_PROCESS_H
#define AE_PROCESS_H

#include "aether/base.h"

/*
 * Handles remember the generation in which they were made; the child of a fork begins a new one. Changes only in a child
 * that has one thread, so a plain read is right everywhere.
 */
extern uint32_t ae_fork_generation;

/* For hashing what comes from outside. Const from the first handle on. */
extern uint64_t ae_process_seed;

/* Probes the kernel and installs the fork handlers, once. Called by every constructor. AETHER_SYSTEM with a text on failure.
 */
AETHER_CHECKED aether_status ae_process_prepare(void);

/* A handle that has to change when it is inherited by a child: in_child runs there, with one thread. */
struct ae_fork_node {
    struct ae_fork_node *previous, *next; /* lock: the registry's */
    void (*in_child)(struct ae_fork_node *node);
};

/*
 * The process' one lock for what is rare: the registry of handles, and what spans several of them (splices). It is held
 * across fork(), so a child never inherits it locked. A leaf: nothing is called under it.
 */
void ae_process_lock(void);
void ae_process_unlock(void);

void ae_fork_register(struct ae_fork_node *node, void (*in_child)(struct ae_fork_node *node));
void ae_fork_unregister(struct ae_fork_node *node);

#endif
