/* An event loop on epoll: a subscription is one more file descriptor. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "aether/aether.h"

enum { EVENTS = 1000 };

static void *publish(void *bus)
{
    for (int i = 0; i < EVENTS; i++)
        if (aether_publish(bus, "tick", AETHER_EVENT(.type = "Tick")) != AETHER_OK)
            abort();
    return NULL;
}

int main(void)
{
    aether_bus *bus = aether_bus_create(NULL);
    aether_subscription *ticks = aether_subscribe(bus, "tick", NULL);
    int fd = ticks != NULL ? aether_subscription_fd(ticks) : -1; /* the library's: neither read nor closed here */
    int loop = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event wanted = {.events = EPOLLIN};
    if (fd < 0 || loop < 0 || epoll_ctl(loop, EPOLL_CTL_ADD, fd, &wanted) != 0)
        return 1;
    pthread_t publisher;
    if (pthread_create(&publisher, NULL, publish, bus) != 0)
        return 1;

    int seen = 0, wakes = 0;
    while (seen < EVENTS) {
        struct epoll_event ready;
        if (epoll_wait(loop, &ready, 1, -1) != 1)
            continue;
        wakes++;
        aether_event event;
        while (aether_next(ticks, &event, AETHER_NO_WAIT) == AETHER_OK) /* until it is empty: then it sleeps again */
            seen++;
    }
    printf("%d events, %d times woken\n", seen, wakes);
    pthread_join(publisher, NULL);
    close(loop);
    aether_subscription_close(ticks);
    aether_bus_destroy(bus);
    return 0;
}
