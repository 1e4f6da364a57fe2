/* Handlers that make snapshots for tests: one that does as it is told, and one that shows a state under a lock. */
#ifndef UNIT_SNAPSHOT_H
#define UNIT_SNAPSHOT_H

#include "common/unit_bus.h"

/* A handler that appends what it is told to, and can be held. */
struct unit_maker {
    const char *words;    /* "a=1 b=2 | c=3": batches; NULL: none. "a@7" has the subject's own index 7, "-a@7" is gone */
    uint64_t index;       /* what it answers */
    aether_status status; /* the same, in the end */
    void (*begin)(struct unit_maker *maker, aether_snapshot *snapshot); /* called first; NULL: nothing */
    void *user;                                                         /* of `begin` */
    uint32_t held;          /* atomic: not 0: it does not return; what it was told to append has been then */
    uint32_t runs;          /* atomic: calls so far */
    uint32_t inside;        /* atomic: calls that have not returned */
    uint32_t waits;         /* atomic: calls that are held */
    aether_status appended; /* by the last append, where that failed */
    char pattern[64];       /* of the last call */
};

aether_status unit_make(aether_snapshot *snapshot, const char *pattern, uint64_t *index, void *user);

/* A handler for it. Caches nothing unless said otherwise. */
aether_snapshot_handler unit_handler(struct unit_maker *maker);
/* Registers that; aborts if it cannot. */
void unit_handle(aether_bus *bus, const char *pattern, struct unit_maker *maker);

uint32_t unit_runs(const struct unit_maker *maker);
bool unit_is_held(const struct unit_maker *maker);
void unit_hold(struct unit_maker *maker);
void unit_let_go(struct unit_maker *maker);

/* State as the manual recommends where the bus draws indexes: changed, published and read under one lock. */
struct unit_state {
    aether_bus *bus;
    pthread_mutex_t lock;
    uint32_t runs; /* atomic: of the handler */
    size_t count;
    struct {
        char subject[32];
        uint64_t value;
    } entries[64];
};

void unit_state_init(struct unit_state *state, aether_bus *bus);
/* Sets, and publishes "subject=value". */
aether_status unit_state_put(struct unit_state *state, const char *subject, uint64_t value);
uint64_t unit_state_get(struct unit_state *state, const char *subject); /* 0: none */
/* The handler: what the pattern matches, and the bus's newest index. */
aether_status unit_state_make(aether_snapshot *snapshot, const char *pattern, uint64_t *index, void *user);

#endif
