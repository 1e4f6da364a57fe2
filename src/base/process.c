#include "base/process.h"

#include <pthread.h>

#include "base/barrier.h"
#include "base/fail.h"
#include "base/futex.h"
#include "base/random.h"
#include "base/rcu.h"

uint32_t ae_fork_generation;
uint64_t ae_process_seed;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int prepared; /* 0, or the error of pthread_atfork; constant after `once` */
static pthread_mutex_t process_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ae_fork_node registry = {&registry, &registry, NULL};

static void before_fork(void)
{
    pthread_mutex_lock(&process_lock);
    ae_rcu_before_fork();
}

static void after_fork_parent(void)
{
    ae_rcu_after_fork_parent();
    pthread_mutex_unlock(&process_lock);
}

/* Inherited handles leave the registry: what the child makes begins an empty one. */
static void after_fork_child(void)
{
    ae_fork_generation++;
    for (struct ae_fork_node *node = registry.next; node != &registry; node = node->next)
        node->in_child(node);
    registry.next = registry.previous = &registry;
    ae_rcu_after_fork_child();
    ae_barrier_prepare();
    pthread_mutex_unlock(&process_lock);
}

/* A child of a fork in the middle of this runs it again, but must not install the handlers twice. */
static void prepare(void)
{
    static bool installed;
    ae_barrier_prepare();
    ae_futex_prepare();
    if (installed)
        return;
    installed = true;
    ae_process_seed = ae_random_nonzero();
    prepared = pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

void ae_process_lock(void)
{
    pthread_mutex_lock(&process_lock);
}

void ae_process_unlock(void)
{
    pthread_mutex_unlock(&process_lock);
}

aether_status ae_process_prepare(void)
{
    pthread_once(&once, prepare);
    if (prepared != 0)
        return ae_fail_system(AETHER_SYSTEM, prepared, "aether: cannot install fork handlers");
    return AETHER_OK;
}

void ae_fork_register(struct ae_fork_node *node, void (*in_child)(struct ae_fork_node *node))
{
    node->in_child = in_child;
    ae_process_lock();
    node->previous = &registry;
    node->next = registry.next;
    registry.next->previous = node;
    registry.next = node;
    pthread_mutex_unlock(&process_lock);
}

void ae_fork_unregister(struct ae_fork_node *node)
{
    pthread_mutex_lock(&process_lock);
    node->previous->next = node->next;
    node->next->previous = node->previous;
    pthread_mutex_unlock(&process_lock);
}

void aether_thread_prepare(void)
{
    ae_rcu_register_thread();
}

void aether_memory_drain(void)
{
    ae_rcu_barrier();
}
