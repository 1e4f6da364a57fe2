/* An event loop on libuv. */
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "aether/aether.h"

enum { TICKS = 5 };

static aether_bus *bus;
static aether_subscription *ticks;
static int seen, published;

static void on_ready(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    aether_event event;
    while (aether_next(ticks, &event, AETHER_NO_WAIT) == AETHER_OK) /* until it is empty: then it is quiet again */
        printf("tick %llu\n", (unsigned long long)event.index), seen++;
    if (seen == TICKS)
        uv_close((uv_handle_t *)poll, NULL);
}

static void on_timer(uv_timer_t *timer)
{
    if (aether_publish(bus, "tick", AETHER_EVENT(.type = "Tick")) != AETHER_OK)
        abort();
    if (++published == TICKS)
        uv_close((uv_handle_t *)timer, NULL);
}

int main(void)
{
    bus = aether_bus_create(NULL);
    ticks = aether_subscribe(bus, "tick", NULL);
    int fd = ticks != NULL ? aether_subscription_fd(ticks) : -1; /* the library's: neither read nor closed here */
    if (fd < 0)
        return 1;
    uv_loop_t *loop = uv_default_loop();
    uv_poll_t poll;
    uv_timer_t timer;
    uv_poll_init(loop, &poll, fd);
    uv_poll_start(&poll, UV_READABLE, on_ready);
    uv_timer_init(loop, &timer);
    uv_timer_start(&timer, on_timer, 10, 10);
    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);
    aether_subscription_close(ticks);
    aether_bus_destroy(bus);
    return seen == TICKS ? 0 : 1;
}
