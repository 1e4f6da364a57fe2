/* Old events in a new form: what was stored never changes, who loads gets what programs of today understand. */
#include <stdio.h>
#include <stdlib.h>

#include "aether/aether.h"

/* "Renamed" of old is two events today; "Pinged" is none. */
static aether_status to_today(aether_upcast *out, const aether_event *event, void *user)
{
    (void)user;
    aether_event today = *event;
    if (event->type_size == 6 && memcmp(event->type, "Pinged", 6) == 0)
        return AETHER_OK;
    if (event->type_size != 7 || memcmp(event->type, "Renamed", 7) != 0)
        return aether_upcast_emit(out, event);
    today.type_size = 0;
    today.type = "NameCleared";
    aether_status s = aether_upcast_emit(out, &today);
    today.type = "NameSet";
    return s == AETHER_OK ? aether_upcast_emit(out, &today) : s;
}

int main(void)
{
    aether_store *store = aether_store_open("memory:", &(aether_store_options){.upcast = to_today});
    static const char *const types[] = {"Made", "Pinged", "Renamed"};
    for (int i = 0; i < 3; i++)
        if (store == NULL || aether_save(store, AETHER_EVENT(.actor = "a", .type = types[i]), NULL) != AETHER_OK)
            return 1;
    aether_replay *replay = aether_load(store, "a", NULL);
    aether_status s = replay != NULL ? AETHER_OK : aether_error_status();
    for (aether_event event; s == AETHER_OK && (s = aether_replay_next(replay, &event, AETHER_FOREVER)) == AETHER_OK;)
        printf("version %lld: %.*s\n", (long long)event.version, (int)event.type_size, event.type);
    aether_replay_close(replay);
    aether_store_close(store);
    return s != AETHER_ENDED;
}
