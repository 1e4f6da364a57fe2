/* States: a reducer, snapshots that are made by themselves, and how little is replayed. */
#include <stdio.h>
#include <stdlib.h>

#include "aether/aether.h"

struct account {
    int64_t cents;
};

static void *create(void *user)
{
    (void)user;
    return calloc(1, sizeof(struct account));
}

static void destroy(void *state, void *user)
{
    (void)user;
    free(state);
}

static aether_status apply(void *state, const aether_event *event, void *user)
{
    (void)user;
    ((struct account *)state)->cents += event->type_size == sizeof "Deposited" - 1 ? 100 : -30; /* or "Withdrawn30" */
    return AETHER_OK;
}

static aether_status capture(const void *state, aether_capture *out, void *user)
{
    (void)user;
    return aether_capture_write(out, state, sizeof(struct account));
}

static aether_status restore(void *state, aether_text bytes, void *user)
{
    (void)user;
    if (bytes.size != sizeof(struct account))
        return AETHER_MALFORMED; /* it is set aside, and the events are replayed */
    memcpy(state, bytes.data, bytes.size);
    return AETHER_OK;
}

/* The version grows with what the reducer makes of events: old snapshots are then not used. */
static const aether_reducer accounts = {.name = "account",
                                        .version = 1,
                                        .create = create,
                                        .destroy = destroy,
                                        .apply = apply,
                                        .capture = capture,
                                        .restore = restore};

static void fail(const char *why)
{
    fprintf(stderr, "state_snapshot: %s\n", why);
    exit(1);
}

int main(void)
{
    aether_store *store = aether_store_open("memory:", NULL);
    if (store == NULL ||
        aether_state_policy(store, "account-", &accounts, &(aether_snapshot_policy){.every_events = 100}) != AETHER_OK)
        fail(aether_error());
    for (int i = 0; i < 1050; i++)
        if (aether_save(store, AETHER_EVENT(.actor = "account-7", .type = i % 2 == 0 ? "Deposited" : "Withdrawn30"), NULL) !=
            AETHER_OK)
            fail(aether_error());
    if (aether_state_settle(store, AETHER_SECONDS(10)) != AETHER_OK)
        fail(aether_error());
    aether_state_info info;
    struct account *account = aether_state_load(store, "account-7", &accounts, &info);
    if (account == NULL)
        fail(aether_error());
    printf("%lld cents at version %lld: a snapshot at %lld, %llu events replayed\n", (long long)account->cents,
           (long long)info.version, (long long)info.snapshot_version, (unsigned long long)info.replayed);
    accounts.destroy(account, NULL);
    aether_store_close(store);
}
