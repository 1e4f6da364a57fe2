/* A look at everything that is stored: the driver's own check, then each event by a replay, which compares checksums. */
#include <stdio.h>

#include "base/fail.h"
#include "store/store.h"

struct faults {
    aether_fault_fn tell;
    void *user;
    uint64_t count;
};

static void pass_on(const char *text, uint64_t index, void *user)
{
    struct faults *faults = user;
    faults->count++;
    if (faults->tell != NULL)
        faults->tell(text, index, faults->user);
}

static aether_status look_at_events(aether_store *store, struct faults *faults)
{
    aether_load_options options = {.lenient = true, .as_stored = true};
    aether_replay *replay = aether_load_all(store, &options);
    if (replay == NULL)
        return aether_error_status();
    aether_event event;
    aether_status status;
    uint64_t before = 0;
    while ((status = aether_replay_next(replay, &event, AETHER_FOREVER)) == AETHER_OK || status == AETHER_MALFORMED) {
        if (status == AETHER_MALFORMED)
            pass_on(aether_error(), event.index, faults);
        else if (event.index != before + 1) {
            char text[100];
            snprintf(text, sizeof text, "there is nothing between the positions %llu and %llu", (unsigned long long)before,
                     (unsigned long long)event.index);
            pass_on(text, before + 1, faults);
        }
        before = event.index;
    }
    aether_replay_close(replay);
    return status == AETHER_ENDED ? AETHER_OK : status;
}

aether_status aether_store_verify(aether_store *store, aether_fault_fn fault, void *user)
{
    static const char call[] = "aether_store_verify";
    aether_status status = ae_store_refuse(store, call);
    if (status != AETHER_OK)
        return status;
    struct faults faults = {.tell = fault, .user = user};
    status = store->driver->verify(store->impl, pass_on, &faults);
    if (status == AETHER_OK)
        status = look_at_events(store, &faults);
    if (status == AETHER_OK && faults.count != 0)
        return ae_fail(AETHER_MALFORMED, "%s: %llu faults were found", call, (unsigned long long)faults.count);
    return status;
}
