/* Pauses that grow with how far the actor has moved on meanwhile: little contention, little pause. */
#include <stdio.h>
#include <stdlib.h>

#include "aether/aether.h"

/* Called for each attempt, with what is there by now. */
static aether_status count_up(aether_decision *decision, aether_store *store, const char *actor, int64_t version, void *user)
{
    if (version < *(int64_t *)user) { /* for this example: somebody else is faster */
        aether_status s = aether_save(store, AETHER_EVENT(.actor = actor, .type = "Other"), NULL);
        if (s != AETHER_OK)
            return s;
    }
    return aether_decision_add(decision, AETHER_EVENT(.type = "Counted"));
}

int main(void)
{
    aether_store *store = aether_store_open("memory:", NULL);
    int64_t busy_until = 3;
    aether_retry_policy policy = {
        .backoff = AETHER_BACKOFF_ADAPTIVE, .base_ns = AETHER_MICROSECONDS(200), .timeout_ns = AETHER_SECONDS(2)};
    aether_retry_outcome outcome;
    if (store == NULL || aether_retry_save(store, "counter", &policy, count_up, &busy_until, &outcome) != AETHER_OK) {
        fprintf(stderr, "retry_adaptive: %s\n", aether_error());
        return 1;
    }
    printf("version %lld after %u attempts and %u conflicts, paused %lld us\n", (long long)outcome.saved.version,
           outcome.attempts, outcome.conflicts, (long long)(outcome.paused_ns / 1000));
    aether_store_close(store);
}
