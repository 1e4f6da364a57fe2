/* A projection: follows a store from where it was, into the present, and keeps a checkpoint behind what it has done. */
#include <stdio.h>
#include <stdlib.h>

#include "aether/aether.h"

static void fail(const char *why)
{
    fprintf(stderr, "projection: %s\n", why);
    exit(1);
}

/* Does what there is to do; in a program of yours without an end, and with AETHER_FOREVER. */
static int project(aether_store *store)
{
    aether_position position;
    aether_status s = aether_checkpoint_load(store, "counter", &position); /* AETHER_NOT_FOUND: from the beginning */
    if (s != AETHER_OK && s != AETHER_NOT_FOUND)
        fail(aether_error());
    aether_replay *replay = aether_load_all(store, &(aether_load_options){.after = position, .follow = true});
    if (replay == NULL)
        fail(aether_error());
    int done = 0;
    for (aether_event event; (s = aether_replay_next(replay, &event, AETHER_NO_WAIT)) == AETHER_OK; done++)
        if (aether_checkpoint_save(store, "counter", aether_replay_position(replay)) != AETHER_OK) /* after it is done */
            fail(aether_error());
    if (s != AETHER_EMPTY)
        fail(aether_error());
    aether_replay_close(replay);
    return done;
}

int main(void)
{
    aether_store *store = aether_store_open("memory:", NULL);
    if (store == NULL)
        fail(aether_error());
    for (int i = 0; i < 5; i++) {
        if (aether_save(store, AETHER_EVENT(.actor = "a", .type = "Happened"), NULL) != AETHER_OK)
            fail(aether_error());
        if (i % 2 == 0)
            printf("%d new events\n", project(store));
    }
    aether_store_close(store);
}
