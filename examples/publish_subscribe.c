/* Publish and subscribe: events under subjects, a pattern that matches them, a position to remember. */
#include <stdio.h>
#include <stdlib.h>

#include "aether/aether.h"

static void must(aether_status status)
{
    if (status == AETHER_OK)
        return;
    fprintf(stderr, "publish_subscribe: %s\n", aether_error());
    exit(1);
}

int main(void)
{
    aether_bus *bus = aether_bus_create(NULL);
    aether_subscription *orders = aether_subscribe(bus, "orders.>", NULL); /* NULL: what is published from now on */
    if (orders == NULL)
        must(aether_error_status());

    must(aether_publish(bus, "orders.eu.42", AETHER_EVENT(.type = "Placed", .data = AETHER_TEXT("{\"cents\":199}"))));
    must(aether_publish(bus, "weather.eu", AETHER_EVENT(.type = "Rain"))); /* nobody asked for that: it costs nothing */
    must(aether_publish(bus, "orders.eu.42", AETHER_EVENT(.type = "Paid")));

    aether_event event;
    aether_status status;
    while ((status = aether_next(orders, &event, AETHER_NO_WAIT)) == AETHER_OK)
        printf("%llu  %.*s  %.*s  %.*s\n", (unsigned long long)event.index, (int)event.subject_size, event.subject,
               (int)event.type_size, event.type, (int)event.data.size, event.data.data);
    aether_position position = aether_subscription_position(orders); /* where to go on, see resume.c */
    printf("read up to %llu; %s\n", (unsigned long long)position.index, aether_status_text(status));

    aether_subscription_close(orders);
    aether_bus_destroy(bus);
    return position.index == 3 && status == AETHER_EMPTY ? 0 : 1;
}
