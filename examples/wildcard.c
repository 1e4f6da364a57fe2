/* Wildcards, filters and namespaces: who gets what. */
#include <stdio.h>
#include <stdlib.h>

#include "aether/aether.h"

static int count(const char *what, aether_subscription *subscription)
{
    int events = 0;
    aether_event event;
    printf("%-22s", what);
    while (aether_next(subscription, &event, AETHER_NO_WAIT) == AETHER_OK) {
        printf(" %.*s", (int)event.subject_size, event.subject);
        events++;
    }
    printf("\n");
    aether_subscription_close(subscription);
    return events;
}

int main(void)
{
    static const char *const subjects[] = {"floor.1.temperature", "floor.2.temperature", "floor.2.window", "roof"};
    const char *const cold[] = {"Cold"};
    aether_bus *bus = aether_bus_create(NULL), *tenant = aether_bus_namespace(bus, "tenant");

    aether_subscription *all = aether_subscribe(bus, ">", NULL);                            /* one token or more */
    aether_subscription *temperatures = aether_subscribe(bus, "floor.*.temperature", NULL); /* exactly one */
    aether_subscription *filtered =
        aether_subscribe(bus, "floor.>", &(aether_subscribe_options){.filter = {.types = cold, .type_count = 1}});
    aether_subscription *inside = aether_subscribe(tenant, ">", NULL); /* "tenant.>", seen from within */

    for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++)
        if (aether_publish(bus, subjects[i], AETHER_EVENT(.type = i == 1 ? "Cold" : "Fine")) != AETHER_OK)
            exit(1);
    if (aether_publish(tenant, "door", AETHER_EVENT(.type = "Open")) != AETHER_OK)
        exit(1);

    int right = count(">", all) == 5;
    right &= count("floor.*.temperature", temperatures) == 2;
    right &= count("floor.> of type Cold", filtered) == 1;
    right &= count("> of the tenant", inside) == 1;
    if (aether_publish(bus, "floor..window", AETHER_EVENT(.type = "Open")) == AETHER_INVALID)
        printf("refused: %s\n", aether_error());
    aether_bus_destroy(tenant);
    aether_bus_destroy(bus);
    return right ? 0 : 1;
}
