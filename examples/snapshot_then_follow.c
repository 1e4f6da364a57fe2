/* A snapshot, then every later change: no gap and no repeat, whenever one arrives. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "aether/aether.h"

static const char *const subjects[2] = {"price.apple", "price.pear"};
static aether_bus *bus;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the state, and of publishing its changes */
static char prices[2][8] = {"10", "20"};

static aether_status change(int which, const char *price)
{
    pthread_mutex_lock(&lock);
    snprintf(prices[which], sizeof prices[which], "%s", price);
    aether_status status = aether_publish(bus, subjects[which], AETHER_EVENT(.type = "Price", .data = AETHER_TEXT(price)));
    pthread_mutex_unlock(&lock);
    return status;
}

/* Shows the state, and says which index it includes: state and index of one moment, under the lock. */
static aether_status show(aether_snapshot *snapshot, const char *pattern, uint64_t *index, void *user)
{
    (void)user;
    pthread_mutex_lock(&lock);
    *index = aether_bus_newest(bus).index;
    aether_status status = AETHER_OK;
    for (int i = 0; i < 2 && status == AETHER_OK; i++)
        if (aether_pattern_matches(pattern, subjects[i]))
            status = aether_snapshot_append(
                snapshot, AETHER_EVENT(.subject = subjects[i], .type = "Price", .data = AETHER_TEXT(prices[i])), 1);
    pthread_mutex_unlock(&lock);
    return status;
}

int main(void)
{
    static const char *const kinds[] = {"changed", "is", "forget", "complete", "passed"};
    bus = aether_bus_create(NULL);
    if (aether_bus_handle_snapshots(bus, "price.>", &(aether_snapshot_handler){.make = show}) != AETHER_OK ||
        change(0, "11") != AETHER_OK)
        return 1;
    aether_subscribe_options options = {.begin = AETHER_BEGIN_SNAPSHOT};
    aether_subscription *watcher = aether_subscribe(bus, "price.*", &options);
    if (watcher == NULL || change(1, "21") != AETHER_OK)
        return 1;
    aether_event event;
    int events = 0;
    for (; aether_next(watcher, &event, AETHER_NO_WAIT) == AETHER_OK; events++)
        printf("%-9s %.*s %.*s\n", kinds[event.kind], (int)event.subject_size, event.subject, (int)event.data.size,
               event.data.data);
    aether_subscription_close(watcher);
    aether_bus_destroy(bus);
    return events == 4 ? 0 : 1;
}
