/* Saves that may be made later: taken by a queue, decided when their turn comes, told about one by one. */
#include <stdio.h>
#include <stdlib.h>

#include "aether/aether.h"

static aether_status note(aether_decision *decision, aether_store *store, const char *actor, int64_t version, void *user)
{
    (void)store;
    (void)actor;
    (void)version;
    (void)user;
    return aether_decision_add(decision, AETHER_EVENT(.type = "Noted"));
}

static void told(aether_status status, const aether_retry_outcome *outcome, void *user)
{
    (void)user;
    printf("%s, version %lld\n", aether_status_text(status), (long long)outcome->saved.version);
}

int main(void)
{
    aether_store *store = aether_store_open("memory:", NULL);
    aether_deferred *queue = store != NULL ? aether_deferred_create(store, 100, NULL) : NULL;
    for (int i = 0; i < 3; i++)
        if (queue == NULL || aether_deferred_save(queue, "log", note, told, NULL) != AETHER_OK) {
            fprintf(stderr, "retry_deferred: %s\n", aether_error());
            return 1;
        }
    aether_deferred_close(queue, true); /* after all were made */
    aether_store_close(store);
}
