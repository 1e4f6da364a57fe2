/*
 * liburcu (the `bp` flavour, which registers threads by itself) behind one header: what the sanitizer has to know about
 * publication and grace periods is told here. Shared pointers are loaded and stored with the operations of base/atomic.h.
 *
 * The read side of liburcu is inlined (its licence, the LGPL, allows that to MIT code; _LGPL_SOURCE is its own switch): a
 * quarter of the price of opening a cursor. Not under sanitizers: it carries plain accesses into instrumented code, and its
 * records of threads stand on addresses that are not aligned.
 */
#ifndef AE_RCU_H
#define AE_RCU_H

struct ae_rcu_head {
    void *space[2]; /* liburcu's struct rcu_head */
    void (*callback)(struct ae_rcu_head *head);
};

/* Registers the calling thread, which the first read section would do otherwise. */
void ae_rcu_register_thread(void);

void ae_rcu_read_lock(void);
void ae_rcu_read_unlock(void);

/*
 * Calls `callback(head)` on liburcu's worker thread after all read sections that have begun by now are over. The worker is
 * started by the first call, with all signals blocked. Not from inside a read section. liburcu aborts if it gets no memory
 * or no thread.
 */
void ae_rcu_defer(struct ae_rcu_head *head, void (*callback)(struct ae_rcu_head *head));

/* Waits until all that was deferred before the call has run. For tests and for the end of a program. */
void ae_rcu_barrier(void);

/* Around fork(), for base/process.c. */
void ae_rcu_before_fork(void);
void ae_rcu_after_fork_parent(void);
void ae_rcu_after_fork_child(void);

#endif
