/* A stop: a flag that can be waited for. */
#include <pthread.h>
#include <time.h>

#include "base/allocator.h"
#include "base/clock.h"
#include "base/fail.h"
#include "store/retry.h"

struct aether_stop {
    aether_allocator allocator;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_requested; /* lock: lock */
};

aether_stop *aether_stop_create(const aether_allocator *given)
{
    const aether_allocator *allocator = given != NULL ? given : &ae_default_allocator;
    aether_stop *stop = ae_alloc(allocator, sizeof *stop, _Alignof(aether_stop));
    if (stop == NULL) {
        (void)ae_fail(AETHER_NO_MEMORY, "aether_stop_create: no memory");
        return NULL;
    }
    *stop = (aether_stop){.allocator = *allocator};
    pthread_mutex_init(&stop->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&stop->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return stop;
}

void aether_stop_request(aether_stop *stop)
{
    if (stop == NULL)
        return;
    pthread_mutex_lock(&stop->lock);
    stop->is_requested = true;
    pthread_cond_broadcast(&stop->changed);
    pthread_mutex_unlock(&stop->lock);
}

void aether_stop_destroy(aether_stop *stop)
{
    if (stop == NULL)
        return;
    aether_allocator allocator = stop->allocator;
    pthread_cond_destroy(&stop->changed);
    pthread_mutex_destroy(&stop->lock);
    ae_free(&allocator, stop, sizeof *stop, _Alignof(aether_stop));
}

bool ae_stop_is_requested(aether_stop *stop)
{
    if (stop == NULL)
        return false;
    pthread_mutex_lock(&stop->lock);
    bool is_requested = stop->is_requested;
    pthread_mutex_unlock(&stop->lock);
    return is_requested;
}

void ae_stop_wait(aether_stop *stop, int64_t ns)
{
    int64_t deadline = ae_deadline(ns);
    struct timespec until = {.tv_sec = deadline / 1000000000, .tv_nsec = deadline % 1000000000};
    if (stop == NULL) {
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0)
            ;
        return;
    }
    pthread_mutex_lock(&stop->lock);
    while (!stop->is_requested && pthread_cond_timedwait(&stop->changed, &stop->lock, &until) == 0)
        ;
    pthread_mutex_unlock(&stop->lock);
}
