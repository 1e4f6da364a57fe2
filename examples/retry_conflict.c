/* What a conflict tells: the versions, and the events that came in between. Here the program decides by itself whether they
 * matter. */
#include <stdio.h>
#include <stdlib.h>

#include "aether/aether.h"

static void fail(const char *why)
{
    fprintf(stderr, "retry_conflict: %s\n", why);
    exit(1);
}

int main(void)
{
    aether_store *store = aether_store_open("memory:", NULL);
    if (store == NULL)
        fail(aether_error());
    static const char *const before[] = {"Placed", "AddressChanged", "Packed"};
    for (int i = 0; i < 3; i++)
        if (aether_save(store, AETHER_EVENT(.actor = "order-42", .type = before[i]), NULL) != AETHER_OK)
            fail(aether_error());
    aether_event cancelled = {.actor = "order-42", .type = "Cancelled"};
    aether_save_options options = {.expected = 1}; /* decided when only "Placed" was known */
    aether_saved saved;
    if (aether_save_batch(store, &cancelled, 1, &options, &saved) != AETHER_CONFLICT)
        fail("a conflict was to come");
    printf("expected version %lld, it is at %lld; in between:", (long long)saved.conflict.expected,
           (long long)saved.conflict.current);
    aether_replay *replay = aether_load_conflict(store, "order-42", &saved);
    bool packed = false;
    aether_status s = replay != NULL ? AETHER_OK : aether_error_status();
    for (aether_event event; s == AETHER_OK && (s = aether_replay_next(replay, &event, AETHER_FOREVER)) == AETHER_OK;) {
        printf(" %.*s", (int)event.type_size, event.type);
        packed = packed || (event.type_size == 6 && memcmp(event.type, "Packed", 6) == 0);
    }
    if (s != AETHER_ENDED)
        fail(aether_error());
    aether_replay_close(replay);
    printf("\n%s\n", packed ? "it is packed, and cannot be cancelled any more"
                            : "none of that matters: again, with the version of now");
    aether_store_close(store);
}
