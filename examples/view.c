/* A view: the answer to a question, kept right by itself. */
#include <stdio.h>
#include <stdlib.h>

#include "aether/aether.h"

static aether_bus *bus;
static int stock = 5; /* see snapshot_then_follow.c for one that several threads change */

static aether_status show(aether_snapshot *snapshot, const char *pattern, uint64_t *index, void *user)
{
    (void)pattern;
    (void)user;
    *index = aether_bus_newest(bus).index;
    return aether_snapshot_append(snapshot,
                                  AETHER_EVENT(.subject = "stock.apple", .data = aether_bytes(&stock, sizeof stock)), 1);
}

static void *new_state(void *user)
{
    (void)user;
    return calloc(1, sizeof(int));
}

static void free_state(void *state, void *user)
{
    (void)user;
    free(state);
}

static bool fold(void *state, const aether_event *event, void *user)
{
    (void)user;
    *(int *)state = *(const int *)(const void *)event->data.data; /* aligned to 8 bytes */
    return true;
}

int main(void)
{
    bus = aether_bus_create(NULL);
    if (aether_bus_handle_snapshots(bus, "stock.>", &(aether_snapshot_handler){.make = show}) != AETHER_OK)
        return 1;
    aether_view *view = aether_view_open(
        bus, "stock.*", &(aether_view_options){.state_new = new_state, .state_free = free_state, .fold = fold});
    if (view == NULL || aether_view_wait(view, 0, AETHER_FOREVER) != AETHER_OK) /* until there is an answer */
        return 1;
    stock = 4;
    if (aether_publish(bus, "stock.apple", AETHER_EVENT(.data = aether_bytes(&stock, sizeof stock))) != AETHER_OK ||
        aether_view_wait(view, aether_bus_newest(bus).index, AETHER_FOREVER) != AETHER_OK) /* until it includes that */
        return 1;
    const int *answer = aether_view_lock(view, NULL);
    int apples = *answer;
    aether_view_unlock(view);
    printf("%d apples\n", apples);
    aether_view_close(view);
    aether_bus_destroy(bus);
    return apples == 4 ? 0 : 1;
}
