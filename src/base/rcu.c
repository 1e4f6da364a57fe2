#include "base/rcu.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "base/sanitizer.h"

#if !AE_TSAN && !AE_ASAN
#define _LGPL_SOURCE
#endif
#include <urcu/urcu-bp.h>

_Static_assert(sizeof(((struct ae_rcu_head *)0)->space) >= sizeof(struct rcu_head), "the head has room for liburcu's");

/* What the sanitizer takes for the grace period: read sections release it when they end, callbacks acquire it. */
static char grace_period;
/* In a child after fork() liburcu makes itself a new worker. */
static pthread_once_t worker_once = PTHREAD_ONCE_INIT;
static bool has_worker; /* guard: worker_once, and a child is alone when it looks */

void ae_rcu_register_thread(void)
{
    urcu_bp_register_thread();
}

void ae_rcu_read_lock(void)
{
    urcu_bp_read_lock();
}

void ae_rcu_read_unlock(void)
{
    AE_TSAN_RELEASE(&grace_period);
    urcu_bp_read_unlock();
}

/* The worker inherits the mask of the thread that creates it. */
static void block_signals(sigset_t *before)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
}

static void name_worker(void)
{
    pthread_setname_np(urcu_bp_get_call_rcu_thread(urcu_bp_get_default_call_rcu_data()), "aether-rcu");
}

static void start_worker(void)
{
    sigset_t before;
    block_signals(&before);
    name_worker(); /* the first look at the default worker makes it */
    has_worker = true;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void run_deferred(struct rcu_head *head)
{
    AE_TSAN_ACQUIRE(&grace_period);
    struct ae_rcu_head *deferred = (struct ae_rcu_head *)(void *)head;
    deferred->callback(deferred);
}

void ae_rcu_defer(struct ae_rcu_head *head, void (*callback)(struct ae_rcu_head *head))
{
    pthread_once(&worker_once, start_worker);
    head->callback = callback;
    AE_TSAN_RELEASE(&grace_period);
    urcu_bp_call_rcu((struct rcu_head *)(void *)head->space, run_deferred);
}

void ae_rcu_barrier(void)
{
    urcu_bp_barrier();
}

void ae_rcu_before_fork(void)
{
    urcu_bp_call_rcu_before_fork();
    urcu_bp_before_fork();
}

void ae_rcu_after_fork_parent(void)
{
    urcu_bp_after_fork_parent();
    urcu_bp_call_rcu_after_fork_parent();
}

void ae_rcu_after_fork_child(void)
{
    sigset_t before;
    urcu_bp_after_fork_child();
    block_signals(&before);
    urcu_bp_call_rcu_after_fork_child();
    if (has_worker)
        name_worker();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
