/* Event-sourced state: saves with a version check, in memory or in a file. The README shows it. */
#include <stdio.h>
#include <stdlib.h>

#include "aether/aether.h"

static void fail(const char *why)
{
    fprintf(stderr, "store: %s\n", why);
    exit(1);
}

int main(void)
{
    aether_store *store = aether_store_open("memory:", NULL); /* "sqlite:orders.db" after aether_store_use() */
    if (store == NULL)
        fail(aether_error());
    aether_event paid = {.actor = "order-42", .type = "OrderPaid", .version = 1, .data = AETHER_TEXT("{\"cents\":199}")};
    aether_saved saved;
    switch (aether_save(store, &paid, &saved)) {
    case AETHER_OK:
        printf("version %lld, %s\n", (long long)saved.version, aether_durability_text(saved.durability));
        break;
    case AETHER_CONFLICT: /* somebody else was faster: load, decide again, save */
        printf("order-42 is at version %lld already\n", (long long)saved.conflict.current);
        break;
    default: /* AETHER_UNKNOWN_OUTCOME is neither success nor failure: send it again with options.retry */
        fail(aether_error());
    }
    aether_replay *replay = aether_load(store, "order-42", NULL);
    aether_event event;
    aether_status s;
    while ((s = aether_replay_next(replay, &event, AETHER_FOREVER)) == AETHER_OK)
        printf("%lld: %.*s\n", (long long)event.version, (int)event.type_size, event.type);
    if (s != AETHER_ENDED)
        fail(aether_error()); /* a malformed event says where; it is never passed over in silence */
    aether_replay_close(replay);
    aether_store_close(store);
}
