/* A store that announces on a bus what it has saved, after it is kept: watchers of this process follow subjects. */
#include <stdio.h>
#include <stdlib.h>

#include "aether/aether.h"

static void fail(const char *why)
{
    fprintf(stderr, "announce: %s\n", why);
    exit(1);
}

int main(void)
{
    aether_bus *bus = aether_bus_create(NULL);
    aether_store *store =
        aether_store_open("memory:", &(aether_store_options){.bus = bus, .announce = AETHER_ANNOUNCE_EVENT});
    aether_subscription *orders = aether_subscribe(bus, "stored.order.>", NULL);
    if (store == NULL || orders == NULL)
        fail(aether_error());
    if (aether_save(store, AETHER_EVENT(.actor = "order-42", .type = "OrderPaid"), NULL) != AETHER_OK ||
        aether_save(store, AETHER_EVENT(.actor = "user-1", .type = "LoggedIn"), NULL) != AETHER_OK)
        fail(aether_error());
    aether_event event;
    if (aether_next(orders, &event, AETHER_SECONDS(10)) != AETHER_OK)
        fail(aether_error());
    printf("%.*s: %.*s, position %llu\n", (int)event.subject_size, event.subject, (int)event.type_size, event.type,
           (unsigned long long)event.index);
    aether_subscription_close(orders);
    aether_store_close(store);
    aether_bus_destroy(bus);
}
