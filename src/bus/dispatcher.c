#include "bus/dispatcher.h"

#include <pthread.h>
#include <signal.h>

#include "base/clock.h"
#include "base/fail.h"
#include "base/process.h"
#include "bus/callback.h"
#include "bus/subscription.h"

enum { THREADS_MOST = 64, READY = 64, SHARE = 64 /* events of one subscription before the next one's */ };

/* A subscription that is dispatched. Guard: the worker, once it has it. */
struct entry {
    aether_subscription *subscription;
    aether_event_fn each;
    void (*rested)(void *user);
    void *user;
    bool is_polled;
    struct entry *previous, *next; /* among the worker's, or those that are handed over */
};

/* One thread with a poller. */
struct worker {
    aether_dispatcher *dispatcher; /* const */
    aether_poller *poller;         /* const */
    pthread_t thread;
    pthread_mutex_t lock;   /* of the next three */
    struct entry *arrivals; /* handed over, newest first */
    struct ae_task *tasks;
    bool is_stopping;
    struct entry *entries; /* the worker's */
    bool owes_polls;       /* the newest are not in the poller yet, */
    bool has_failed;       /* or older ones, for want of memory */
};

struct aether_dispatcher {
    aether_allocator allocator;
    uint32_t generation; /* ae_fork_generation at creation */
    uint32_t threads;
    uint32_t turn; /* atomic: B3 */
    struct worker workers[];
};

/* ----------------------------------------------------------------------------------------------------------- serving */

static void drop_entry(struct worker *worker, struct entry *entry)
{
    *(entry->previous != NULL ? &entry->previous->next : &worker->entries) = entry->next;
    if (entry->next != NULL)
        entry->next->previous = entry->previous;
    aether_subscription_close(entry->subscription);
    ae_free(&worker->dispatcher->allocator, entry, sizeof *entry, _Alignof(struct entry));
}

static bool call(const struct entry *entry, const aether_event *event, aether_status status)
{
    ae_bus_callback_enter();
    bool goes_on = entry->each(event, status, entry->user);
    ae_bus_callback_leave();
    return goes_on;
}

static void rest(const struct entry *entry)
{
    if (entry->rested == NULL)
        return;
    ae_bus_callback_enter();
    entry->rested(entry->user);
    ae_bus_callback_leave();
}

/* What is ready, up to a share, and the item that it ends in. */
static void serve(struct worker *worker, struct entry *entry)
{
    aether_event event;
    aether_status status = AETHER_OK;
    for (uint32_t count = 0; count < SHARE || entry->subscription->left != 0; count++) {
        status = aether_next(entry->subscription, &event, AETHER_NO_WAIT);
        if (status != AETHER_OK && status != AETHER_LAGGED)
            break;
        if (!call(entry, status == AETHER_OK ? &event : NULL, status)) {
            aether_status ended = aether_unsubscribe(entry->subscription);
            AE_ASSERT(ended == AETHER_OK);
        }
    }
    rest(entry);
    if (!aether_status_is_final(status))
        return; /* nothing now; or no memory: it is ready still, and comes again */
    struct entry last = *entry;
    drop_entry(worker, entry);
    (void)call(&last, NULL, status);
}

/* Those that came, and those for which there was no memory before. */
static void poll_entries(struct worker *worker)
{
    bool fails = false;
    for (struct entry *entry = worker->entries; entry != NULL; entry = entry->next) {
        if (entry->is_polled && !worker->has_failed)
            break;
        if (!entry->is_polled)
            entry->is_polled = aether_poller_add_subscription(worker->poller, entry->subscription, entry) == AETHER_OK;
        fails |= !entry->is_polled;
    }
    worker->owes_polls = worker->has_failed = fails;
}

static void take_arrivals(struct worker *worker)
{
    struct entry *arrivals = worker->arrivals;
    worker->arrivals = NULL;
    worker->owes_polls |= arrivals != NULL;
    while (arrivals != NULL) {
        struct entry *entry = arrivals;
        arrivals = entry->next;
        entry->previous = NULL;
        entry->next = worker->entries;
        if (entry->next != NULL)
            entry->next->previous = entry;
        worker->entries = entry;
    }
}

/* Under the lock. */
static struct ae_task *take_due(struct worker *worker, int64_t now, int64_t *next)
{
    *next = AETHER_FOREVER;
    for (struct ae_task **at = &worker->tasks; *at != NULL; at = &(*at)->next) {
        struct ae_task *task = *at;
        if (task->due <= now) {
            *at = task->next;
            return task;
        }
        *next = task->due < *next ? task->due : *next;
    }
    return NULL;
}

/* Runs what is due. Returns when the next task is; below 0: the thread is to end. */
static int64_t run_tasks(struct worker *worker)
{
    for (;;) {
        int64_t next;
        pthread_mutex_lock(&worker->lock);
        take_arrivals(worker);
        bool is_stopping = worker->is_stopping;
        struct ae_task *task = is_stopping ? NULL : take_due(worker, ae_clock.now(), &next);
        pthread_mutex_unlock(&worker->lock);
        if (is_stopping)
            return -1;
        if (task == NULL)
            return next;
        ae_bus_callback_enter();
        task->run(task);
        ae_bus_callback_leave();
    }
}

static int64_t until(const struct worker *worker, int64_t due)
{
    int64_t timeout = due;
    if (due != AETHER_FOREVER) {
        int64_t now = ae_clock.now();
        timeout = due > now ? due - now : 0;
    }
    int64_t soon = AETHER_MILLISECONDS(10); /* until there may be memory */
    return worker->owes_polls && timeout > soon ? soon : timeout;
}

static void *work(void *user)
{
    struct worker *worker = user;
    int64_t due;
    while ((due = run_tasks(worker)) >= 0) {
        aether_ready ready[READY];
        size_t count = 0;
        if (worker->owes_polls)
            poll_entries(worker);
        aether_status status = aether_poller_wait(worker->poller, ready, READY, &count, until(worker, due));
        if (status == AETHER_CANCELLED) { /* something was handed over */
            status = aether_poller_resume(worker->poller);
            AE_ASSERT(status == AETHER_OK);
        } else if (status == AETHER_NO_MEMORY) {
            ae_yield();
        }
        for (size_t i = 0; i < count; i++)
            serve(worker, ready[i].user);
    }
    while (worker->entries != NULL)
        drop_entry(worker, worker->entries);
    return NULL;
}

/* -------------------------------------------------------------------------------------------------------- handing over */

/* The worker looks at what was handed over. Under its lock, so that it cannot have gone. */
static void tell(struct worker *worker)
{
    aether_poller_cancel(worker->poller);
}

uint32_t ae_dispatcher_choose(aether_dispatcher *dispatcher)
{
    return AE_ADD(B3_HOLD, &dispatcher->turn, 1, relaxed) % dispatcher->threads; /* B3, relaxed: any number will do */
}

static void unlink_task(struct worker *worker, const struct ae_task *task)
{
    for (struct ae_task **at = &worker->tasks; *at != NULL; at = &(*at)->next)
        if (*at == task) {
            *at = task->next;
            return;
        }
}

void ae_dispatcher_post(aether_dispatcher *dispatcher, uint32_t worker_number, struct ae_task *task, int64_t due)
{
    struct worker *worker = &dispatcher->workers[worker_number];
    pthread_mutex_lock(&worker->lock);
    unlink_task(worker, task);
    task->due = due;
    task->next = worker->tasks;
    worker->tasks = task;
    tell(worker);
    pthread_mutex_unlock(&worker->lock);
}

void ae_dispatcher_forget(aether_dispatcher *dispatcher, uint32_t worker_number, struct ae_task *task)
{
    struct worker *worker = &dispatcher->workers[worker_number];
    pthread_mutex_lock(&worker->lock);
    unlink_task(worker, task);
    pthread_mutex_unlock(&worker->lock);
}

aether_status ae_dispatcher_take(aether_dispatcher *dispatcher, uint32_t worker_number, aether_subscription *subscription,
                                 aether_event_fn each, void (*rested)(void *user), void *user)
{
    static const char name[] = "aether_dispatcher_add";
    if (subscription->poller != NULL || subscription->cursor->watch != NULL)
        return ae_fail(AETHER_BUSY, "%s: the subscription is in a poller, or has a descriptor", name);
    struct entry *entry = ae_alloc(&dispatcher->allocator, sizeof *entry, _Alignof(struct entry));
    if (entry == NULL)
        return ae_fail(AETHER_NO_MEMORY, "%s: no memory for an entry", name);
    *entry = (struct entry){.subscription = subscription, .each = each, .rested = rested, .user = user};
    struct worker *worker = &dispatcher->workers[worker_number];
    pthread_mutex_lock(&worker->lock);
    entry->next = worker->arrivals;
    worker->arrivals = entry;
    tell(worker);
    pthread_mutex_unlock(&worker->lock);
    return AETHER_OK;
}

aether_status aether_dispatcher_add(aether_dispatcher *dispatcher, aether_subscription *subscription, aether_event_fn each,
                                    void *user)
{
    static const char name[] = "aether_dispatcher_add";
    aether_status status = ae_subscription_refuse(subscription, name);
    if (status != AETHER_OK)
        return status;
    if (dispatcher == NULL || each == NULL)
        return ae_fail(AETHER_INVALID, "%s: the dispatcher or the function is NULL", name);
    if (dispatcher->generation != ae_fork_generation)
        return ae_fail(AETHER_FORKED, "%s: the dispatcher was made before fork()", name);
    return ae_dispatcher_take(dispatcher, ae_dispatcher_choose(dispatcher), subscription, each, NULL, user);
}

/* ---------------------------------------------------------------------------------------------------------- lifetimes */

static void free_dispatcher(aether_dispatcher *dispatcher, uint32_t made)
{
    for (uint32_t i = 0; i < made; i++) {
        aether_poller_destroy(dispatcher->workers[i].poller);
        pthread_mutex_destroy(&dispatcher->workers[i].lock);
    }
    aether_allocator allocator = dispatcher->allocator;
    ae_free(&allocator, dispatcher, sizeof *dispatcher + dispatcher->threads * sizeof *dispatcher->workers,
            _Alignof(aether_dispatcher));
}

static void stop(aether_dispatcher *dispatcher, uint32_t started)
{
    for (uint32_t i = 0; i < started; i++) {
        struct worker *worker = &dispatcher->workers[i];
        pthread_mutex_lock(&worker->lock);
        worker->is_stopping = true;
        tell(worker);
        pthread_mutex_unlock(&worker->lock);
        pthread_join(worker->thread, NULL);
    }
}

/* With all signals blocked, so that they go to the program's threads. */
static aether_status start(struct worker *worker)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&worker->thread, NULL, work, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0)
        return ae_fail_system(AETHER_SYSTEM, error, "aether_dispatcher_create: cannot start a thread");
    pthread_setname_np(worker->thread, "aether-dispatch");
    return AETHER_OK;
}

aether_dispatcher *aether_dispatcher_create(int32_t threads, const aether_allocator *allocator)
{
    static const char name[] = "aether_dispatcher_create";
    if (allocator == NULL)
        allocator = &ae_default_allocator;
    if (threads < 1 || threads > THREADS_MOST || allocator->alloc == NULL || allocator->free == NULL) {
        (void)ae_fail(AETHER_INVALID, "%s: %d threads are not from 1 to %d, or the allocator lacks alloc or free", name,
                      threads, THREADS_MOST);
        return NULL;
    }
    if (ae_process_prepare() != AETHER_OK)
        return NULL;
    size_t bytes = sizeof(aether_dispatcher) + (size_t)threads * sizeof(struct worker);
    aether_dispatcher *dispatcher = ae_alloc(allocator, bytes, _Alignof(aether_dispatcher));
    if (dispatcher == NULL) {
        (void)ae_fail(AETHER_NO_MEMORY, "%s: no memory for a dispatcher", name);
        return NULL;
    }
    memset(dispatcher, 0, bytes);
    dispatcher->allocator = *allocator;
    dispatcher->generation = ae_fork_generation;
    dispatcher->threads = (uint32_t)threads;
    for (uint32_t i = 0; i < dispatcher->threads; i++) {
        struct worker *worker = &dispatcher->workers[i];
        worker->dispatcher = dispatcher;
        worker->poller = aether_poller_create(allocator);
        pthread_mutex_init(&worker->lock, NULL);
        if (worker->poller != NULL && start(worker) == AETHER_OK)
            continue;
        stop(dispatcher, i);
        free_dispatcher(dispatcher, i + 1);
        return NULL;
    }
    return dispatcher;
}

void aether_dispatcher_destroy(aether_dispatcher *dispatcher)
{
    if (dispatcher == NULL || dispatcher->generation != ae_fork_generation)
        return;
    stop(dispatcher, dispatcher->threads);
    free_dispatcher(dispatcher, dispatcher->threads);
}
