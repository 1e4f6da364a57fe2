/* A bus: events under subjects, and who follows a pattern. The README's first example. */
#include <stdio.h>
#include <stdlib.h>

#include "aether/aether.h"

static void fail(const char *why)
{
    fprintf(stderr, "first: %s\n", why);
    exit(1);
}

int main(void)
{
    aether_bus *bus = aether_bus_create(NULL);                             /* NULL: the defaults */
    aether_subscription *orders = aether_subscribe(bus, "orders.>", NULL); /* what is published from now on */
    if (aether_publish(bus, "orders.eu.42", AETHER_EVENT(.type = "Placed", .data = AETHER_TEXT("{}"))) != AETHER_OK)
        fail(aether_error());
    aether_event event;
    aether_status s;
    while ((s = aether_next(orders, &event, AETHER_NO_WAIT)) == AETHER_OK)
        printf("%.*s %.*s\n", (int)event.subject_size, event.subject, (int)event.type_size, event.type);
    if (s != AETHER_EMPTY)
        fail(aether_status_text(s)); /* lagged, reset, closed: never silently the same */
    aether_subscription_close(orders);
    aether_bus_destroy(bus);
}
