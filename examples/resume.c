/* Going on where one left off: what is retained can be read again from any position. */
#include <stdio.h>
#include <stdlib.h>

#include "aether/aether.h"

static void must(aether_status status)
{
    if (status == AETHER_OK)
        return;
    fprintf(stderr, "resume: %s\n", aether_error());
    exit(1);
}

/* Reads some events from the position on, and says where it got to. */
static aether_position read_on(aether_bus *bus, aether_position from, int most)
{
    aether_begin begin = from.epoch != 0 ? AETHER_BEGIN_AFTER : AETHER_BEGIN_OLDEST;
    aether_subscription *reader =
        aether_subscribe(bus, "log.>", &(aether_subscribe_options){.begin = begin, .position = from});
    if (reader == NULL) { /* gone, ahead, or of another history: three different answers */
        printf("cannot go on: %s\n", aether_error());
        return (aether_position){0, 0};
    }
    aether_event event;
    while (most-- > 0 && aether_next(reader, &event, AETHER_NO_WAIT) == AETHER_OK)
        printf(" %llu", (unsigned long long)event.index);
    aether_position position = aether_subscription_position(reader);
    printf("  up to %llu\n", (unsigned long long)position.index);
    aether_subscription_close(reader);
    return position;
}

int main(void)
{
    aether_bus *bus = aether_bus_create(NULL);
    must(aether_bus_retain(bus, "log.>", &(aether_retention){.events = 1000}));
    for (int i = 0; i < 10; i++)
        must(aether_publish(bus, "log.line", AETHER_EVENT(.type = "Line")));

    aether_position first = read_on(bus, (aether_position){0, 0}, 4);
    aether_position second = read_on(bus, first, 100);
    must(aether_bus_reset(bus, NULL)); /* the source was restored: what follows is another history */
    aether_position third = read_on(bus, second, 100);
    aether_bus_destroy(bus);
    return first.index == 4 && second.index == 10 && third.epoch == 0 ? 0 : 1;
}
