#include "buffer/poller.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "aether/poller.h"
#include "base/barrier.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/futex.h"
#include "buffer/gate.h"

struct aether_poller {
    /* Guard: the poller's thread. */
    struct watch unarmed; /* ring: found ready, or not looked at since something changed; the rest is armed */
    struct watch members; /* ring */
    uint32_t generation;  /* const: ae_fork_generation at creation */
    aether_allocator allocator;

    /* Shared. */
    struct watch *signals; /* atomic: E17; push one, take all */
    uint32_t references;   /* atomic: E17 */
    uint32_t asleep;       /* atomic: E17; 1 while the thread sleeps, a futex */
    uint32_t fd_armed;     /* atomic: E17; 1: the next signal makes the descriptor readable */
    uint32_t cancelled;    /* atomic: E17 */
    uint32_t writing;      /* atomic: E17; threads that may be writing to the descriptor */
    uint32_t destroyed;    /* atomic: E17; nobody collects signals any more */
    int32_t fd;            /* atomic: E17; -1: none */
};

/* ------------------------------------------------------------------------------------------------------------- rings */

static void ring_init(struct aether_poller *poller)
{
    poller->unarmed.next = poller->unarmed.previous = &poller->unarmed;
    poller->members.next_member = poller->members.previous_member = &poller->members;
}

static void add_unarmed(struct aether_poller *poller, struct watch *watch)
{
    if (watch->next != NULL)
        return;
    watch->next = &poller->unarmed;
    watch->previous = poller->unarmed.previous;
    watch->previous->next = watch;
    poller->unarmed.previous = watch;
}

static void remove_unarmed(struct watch *watch)
{
    if (watch->next == NULL)
        return;
    watch->next->previous = watch->previous;
    watch->previous->next = watch->next;
    watch->next = watch->previous = NULL;
}

static void add_member(struct aether_poller *poller, struct watch *watch)
{
    watch->next_member = &poller->members;
    watch->previous_member = poller->members.previous_member;
    watch->previous_member->next_member = watch;
    poller->members.previous_member = watch;
}

static void remove_member(struct watch *watch)
{
    watch->next_member->previous_member = watch->previous_member;
    watch->previous_member->next_member = watch->next_member;
}

/* --------------------------------------------------------------------------------------------------------- lifetimes */

static void drop_poller(struct aether_poller *poller)
{
    /* E17: pairs with itself: the last one sees what all others did. */
    if (AE_SUB(E17_DROP, &poller->references, 1, acq_rel) != 1)
        return;
    aether_allocator allocator = poller->allocator;
    ae_free(&allocator, poller, sizeof *poller, _Alignof(struct aether_poller));
}

static void drop_watch(struct watch *watch)
{
    /* E17: pairs with itself. */
    if (AE_SUB(E17_DROP, &watch->references, 1, acq_rel) != 1)
        return;
    struct aether_poller *poller = watch->poller;
    ae_free(&poller->allocator, watch, sizeof *watch, _Alignof(struct watch));
    drop_poller(poller);
}

static void hold_watch(struct watch *watch)
{
    AE_ADD(E17_HOLD, &watch->references, 1, relaxed); /* E17, relaxed: whoever adds one holds one */
}

/* A watch for `cursor`, which holds it from here on. */
static struct watch *make_watch(struct aether_poller *poller, struct aether_cursor *cursor, void *user)
{
    struct watch *watch = ae_alloc(&poller->allocator, sizeof *watch, _Alignof(struct watch));
    if (watch == NULL)
        return NULL;
    memset(watch, 0, sizeof *watch);
    watch->cursor = cursor;
    watch->user = user;
    watch->poller = poller;
    watch->before = cursor->watch;
    watch->references = 1;
    AE_ADD(E17_HOLD, &poller->references, 1, relaxed); /* E17, relaxed: the caller holds one */
    add_member(poller, watch);
    add_unarmed(poller, watch);
    /* E17: pairs with the load in ae_poller_tell(). */
    AE_STORE(E17_WATCH, &cursor->watch, watch, seq_cst);
    return watch;
}

/* The watch leaves the poller; whoever still has it on a list passes it over. */
static void retire(struct watch *watch)
{
    watch->cursor = NULL;
    remove_unarmed(watch);
    remove_member(watch);
}

/* A cursor that has left this poller before comes back. */
static aether_status revive(struct aether_poller *poller, struct watch *watch, struct aether_cursor *cursor, void *user)
{
    watch->cursor = cursor;
    watch->user = user;
    add_member(poller, watch);
    add_unarmed(poller, watch);
    ae_poller_tell(cursor); /* it may be ready: the descriptor tells */
    return AETHER_OK;
}

/* --------------------------------------------------------------------------------------------------------- signalling */

/* The descriptor may be closed by another thread at any moment, but not while `writing` counts us. */
static void make_readable(struct aether_poller *poller)
{
    static const uint64_t one = 1;
    int error = errno;
    AE_ADD(E17_WRITING, &poller->writing, 1, seq_cst); /* E17: with E17_FD against aether_poller_destroy() */
    int fd = AE_LOAD(E17_FD, &poller->fd, seq_cst);    /* E17: as above */
    if (fd >= 0 && write(fd, &one, sizeof one) < 0)
        errno = error;                                 /* it cannot overflow, since only one writes until it is read */
    AE_SUB(E17_WRITING, &poller->writing, 1, release); /* E17: pairs with the load in aether_poller_destroy() */
}

/* The poller shall look again. */
static void ring_bell(struct aether_poller *poller)
{
    /* E17: with the push of the signal against E17_ASLEEP and E17_COLLECT, all sequentially consistent. */
    if (AE_LOAD(E17_ASLEEP, &poller->asleep, seq_cst) != 0 && AE_EXCHANGE(E17_WAKE, &poller->asleep, 0, seq_cst) != 0)
        ae_futex.wake(&poller->asleep, 1, AE_FUTEX_ALL);
    /* E17: the same for the descriptor. */
    if (AE_LOAD(E17_FD_ARMED, &poller->fd_armed, seq_cst) != 0 && AE_EXCHANGE(E17_WAKE, &poller->fd_armed, 0, seq_cst) != 0)
        make_readable(poller);
}

/* What was signalled after the poller was destroyed. */
static void drop_signals(struct aether_poller *poller)
{
    struct watch *watch = AE_EXCHANGE(E17_COLLECT, &poller->signals, NULL, seq_cst); /* E17: pairs with E17_PUSH */
    while (watch != NULL) {
        struct watch *next = watch->next_signal;
        drop_watch(watch);
        watch = next;
    }
}

/* Watches of one poller on their way to its list of signals, each with a reference. */
struct signals {
    struct aether_poller *poller;
    struct watch *first, *last; /* NULL: none */
};

/* Takes the caller's reference over. */
static void add_signal(struct signals *signals, struct watch *watch)
{
    /* E17: pairs with the store in collect(): the poller looks at the cursor after it. */
    if (AE_EXCHANGE(E17_SIGNAL, &watch->is_signalled, 1, seq_cst) != 0) {
        drop_watch(watch);
        return;
    }
    watch->next_signal = signals->first;
    signals->first = watch;
    if (signals->last == NULL)
        signals->last = watch;
}

/* So many cost one push and one bell, and the poller begins with the first ones while the writer signals the rest. */
enum { SIGNALS_AT_ONCE = 64 };

/* Hands them over. */
static void send_signals(const struct signals *signals)
{
    struct aether_poller *poller = signals->poller;
    if (signals->first == NULL)
        return;
    AE_ADD(E17_HOLD, &poller->references, 1, relaxed); /* E17, relaxed: a watch holds it; it may go with the push */
    struct watch *top = AE_LOAD(R1_COUNT, &poller->signals, relaxed); /* R1, relaxed: the exchange below decides */
    do
        signals->last->next_signal = top;
    /* E17: pairs with E17_COLLECT. */
    while (!AE_CAS(E17_PUSH, &poller->signals, &top, signals->first, seq_cst, relaxed));
    /* E17: with the push against the store and the last look in aether_poller_destroy(). */
    if (AE_LOAD(E17_DESTROYED, &poller->destroyed, seq_cst) != 0)
        drop_signals(poller);
    else
        ring_bell(poller);
    drop_poller(poller);
}

void ae_poller_wake(struct aether_buffer *buffer)
{
    /* E17: pairs with E17_ARM: all that is on the stack, and what was done with it. */
    struct watch *watch = AE_EXCHANGE(E17_TAKE, &buffer->armed, NULL, seq_cst);
    while (watch != NULL) {
        struct signals signals = {.poller = watch->poller};
        int count = 0;
        do {
            struct watch *next = watch->next_armed;
            /* E17: before the signal: who is signalled may arm again at once. */
            AE_STORE(E17_IS_ARMED, &watch->is_armed, 0, release);
            add_signal(&signals, watch);
            watch = next;
        } while (watch != NULL && watch->poller == signals.poller && ++count < SIGNALS_AT_ONCE);
        send_signals(&signals);
    }
}

void ae_poller_drop_stack(struct aether_buffer *buffer)
{
    struct watch *watch = AE_EXCHANGE(E17_TAKE, &buffer->armed, NULL, seq_cst); /* E17: pairs with E17_ARM */
    while (watch != NULL) {
        struct watch *next = watch->next_armed;
        AE_STORE(E17_IS_ARMED, &watch->is_armed, 0, release); /* E17: pairs with the load in arm() */
        drop_watch(watch);
        watch = next;
    }
}

void ae_poller_tell(struct aether_cursor *cursor)
{
    struct watch *watch = AE_LOAD(E17_WATCH, &cursor->watch, seq_cst); /* E17: pairs with the store in make_watch() */
    if (watch == NULL)
        return;
    hold_watch(watch);
    struct signals signals = {.poller = watch->poller};
    add_signal(&signals, watch);
    send_signals(&signals);
}

/* ------------------------------------------------------------------------------------------------------------ arming */

/* E10: pairs with E10_TELL. E17: with the store of the watch, so that who tells finds that, or is seen here. */
static bool is_told(struct aether_cursor *cursor)
{
    return AE_LOAD(E10_STATE, &cursor->head.state, seq_cst) != 0;
}

static bool is_ready(struct aether_cursor *cursor)
{
    /* E1: pairs with E1_PUBLISH. */
    return cursor->hinted || is_told(cursor) || AE_LOAD(E1_READ, ae_slot_word(cursor->head.at), acquire) != 0;
}

static void push_armed(struct watch *watch, struct aether_buffer *owner)
{
    hold_watch(watch);
    watch->owner = owner;
    AE_STORE(E17_IS_ARMED, &watch->is_armed, 1, relaxed);          /* E17, relaxed: the push carries it */
    struct watch *top = AE_LOAD(R1_COUNT, &owner->armed, relaxed); /* R1, relaxed: the exchange below decides */
    do
        watch->next_armed = top;
    /* E17: pairs with E17_TAKE. Before the mark of the gate. */
    while (!AE_CAS(E17_ARM, &owner->armed, &top, watch, seq_cst, relaxed));
}

/*
 * Puts the watch on the stack of the buffer that its cursor stands in, and marks the gate. A watch that is still on another
 * buffer's stack stays there, and a new one takes its place. False: no memory.
 */
static bool arm(struct aether_poller *poller, struct watch *watch)
{
    struct aether_cursor *cursor = watch->cursor;
    struct aether_buffer *owner = cursor->segment->owner;
    /* E17: pairs with the stores after E17_TAKE. */
    bool armed = AE_LOAD(E17_IS_ARMED, &watch->is_armed, acquire) != 0;
    if (armed && watch->owner != owner) {
        struct watch *other = make_watch(poller, cursor, watch->user);
        if (other == NULL)
            return false;
        retire(watch);
        watch = other;
        armed = false;
    }
    if (!armed)
        push_armed(watch, owner);
    ae_gate_mark_polled(ae_slot_gate(cursor->head.at));
    return true;
}

/* -------------------------------------------------------------------------------------------------------------- waiting */

/* Whoever was signalled is to be looked at. */
static void collect(struct aether_poller *poller)
{
    /* E17: pairs with E17_PUSH. */
    struct watch *watch = AE_EXCHANGE(E17_COLLECT, &poller->signals, NULL, seq_cst);
    while (watch != NULL) {
        struct watch *next = watch->next_signal;
        /* E17: pairs with E17_SIGNAL: before the look at the cursor. */
        AE_STORE(E17_UNSIGNAL, &watch->is_signalled, 0, seq_cst);
        if (watch->cursor != NULL)
            add_unarmed(poller, watch);
        drop_watch(watch);
        watch = next;
    }
}

struct found {
    aether_ready *ready;
    size_t capacity, count;
};

/* Hands out those of the unarmed that are ready; they go to the end, so that all get their turn. */
static void look(struct aether_poller *poller, struct found *found)
{
    struct watch *last = poller->unarmed.previous;
    for (struct watch *watch = poller->unarmed.next, *next; watch != &poller->unarmed; watch = next) {
        next = watch->next;
        if (found->count == found->capacity)
            return;
        if (is_ready(watch->cursor)) {
            found->ready[found->count++] = (aether_ready){watch->cursor, watch->user};
            remove_unarmed(watch);
            add_unarmed(poller, watch);
        } else if (watch->cursor->node != NULL) {
            ae_cursor_tell_place(watch->cursor);
        }
        if (watch == last)
            return;
    }
}

/* None of the unarmed was ready: arms them, and looks again after one barrier for all. */
static aether_status arm_all(struct aether_poller *poller, bool *sure)
{
    if (poller->unarmed.next == &poller->unarmed)
        return AETHER_OK;
    struct watch *last = poller->unarmed.previous;
    for (struct watch *watch = poller->unarmed.next, *next;; watch = next) {
        next = watch->next;
        bool is_last = watch == last;
        if (!arm(poller, watch))
            return ae_fail(AETHER_NO_MEMORY, "aether_poller_wait: no memory to watch a cursor behind a splice");
        if (is_last)
            break;
    }
    *sure = ae_barrier_heavy(); /* E2: after all marks, before all looks */
    if (!*sure)
        return AETHER_OK; /* they stay among those that are looked at, every millisecond */
    for (struct watch *watch = poller->unarmed.next, *next; watch != &poller->unarmed; watch = next) {
        next = watch->next;
        /* E2: pairs with the store of the word, as in buffer/gate.c. E10: whoever tells signals, too. */
        if (AE_LOAD(E2_AGAIN, ae_slot_word(watch->cursor->head.at), seq_cst) == 0 && !is_told(watch->cursor))
            remove_unarmed(watch);
    }
    return AETHER_OK;
}

static void sleep_until(struct aether_poller *poller, int64_t deadline, bool sure)
{
    int64_t soon = ae_deadline(AETHER_MILLISECONDS(1)); /* without the heavy half a signal may be missed */
    AE_STORE(E17_ASLEEP, &poller->asleep, 1, seq_cst);  /* E17: with the look against E17_PUSH and the load in ring_bell() */
    if (AE_LOAD(E17_COLLECT, &poller->signals, seq_cst) == NULL && AE_LOAD(E17_CANCEL, &poller->cancelled, seq_cst) == 0)
        ae_futex.wait(&poller->asleep, 1, sure || deadline < soon ? deadline : soon, AE_FUTEX_ALL);
    AE_STORE(E17_ASLEEP, &poller->asleep, 0, seq_cst); /* E17: nobody has to wake us */
}

/* Makes the descriptor unreadable until the next signal. False: there is one already. */
static bool settle_fd(struct aether_poller *poller)
{
    uint64_t count;
    int error = errno;
    int fd = AE_LOAD(E17_FD, &poller->fd, relaxed);                       /* E17, relaxed: our own store */
    if (fd < 0 || AE_LOAD(E17_FD_ARMED, &poller->fd_armed, relaxed) != 0) /* E17, relaxed: set by us only */
        return true;
    if (read(fd, &count, sizeof count) < 0)
        errno = error; /* it was not readable */
    AE_STORE(E17_FD_ARM, &poller->fd_armed, 1,
             seq_cst); /* E17: with the look against E17_PUSH and the load in ring_bell() */
    /* E17: as above. */
    bool quiet =
        AE_LOAD(E17_COLLECT, &poller->signals, seq_cst) == NULL && AE_LOAD(E17_CANCEL, &poller->cancelled, seq_cst) == 0;
    if (!quiet && AE_EXCHANGE(E17_WAKE, &poller->fd_armed, 0, seq_cst) != 0) /* E17: as in ring_bell() */
        make_readable(poller);
    return quiet;
}

/* Collects, looks, and arms where nothing was found. Done when something is found, or nothing is unarmed. */
static aether_status look_and_arm(struct aether_poller *poller, struct found *found, bool *sure)
{
    for (;;) {
        collect(poller);
        look(poller, found);
        if (found->count != 0 || poller->unarmed.next == &poller->unarmed)
            return AETHER_OK;
        aether_status status = arm_all(poller, sure);
        if (status != AETHER_OK || !*sure)
            return status;
    }
}

static aether_status wait(struct aether_poller *poller, struct found *found, int64_t timeout_ns)
{
    int64_t deadline = INT64_MIN;
    bool sure = true;
    for (;;) {
        if (AE_LOAD(E17_CANCEL, &poller->cancelled, acquire) != 0) /* E17: pairs with the store in aether_poller_cancel() */
            return AETHER_CANCELLED;
        aether_status status = look_and_arm(poller, found, &sure);
        if (status != AETHER_OK || found->count != 0)
            return status;
        if (timeout_ns <= 0 && (!sure || settle_fd(poller)))
            return AETHER_EMPTY;
        if (timeout_ns <= 0)
            continue;
        if (deadline == INT64_MIN)
            deadline = ae_deadline(timeout_ns);
        else if (deadline != AETHER_FOREVER && ae_clock.now() >= deadline)
            return AETHER_TIMEOUT;
        sleep_until(poller, deadline, sure);
    }
}

/* ------------------------------------------------------------------------------------------------------ public calls */

static aether_status refuse(const struct aether_poller *poller, const char *call)
{
    if (poller == NULL)
        return ae_fail(AETHER_INVALID, "%s: the poller is NULL", call);
    if (poller->generation != ae_fork_generation)
        return ae_fail(AETHER_FORKED, "%s: the poller was made before fork()", call);
    return ae_callback_refuse(call);
}

aether_poller *aether_poller_create(const aether_allocator *allocator)
{
    if (allocator == NULL)
        allocator = &ae_default_allocator;
    if (allocator->alloc == NULL || allocator->free == NULL) {
        (void)ae_fail(AETHER_INVALID, "aether_poller_create: the allocator lacks alloc or free");
        return NULL;
    }
    if (ae_process_prepare() != AETHER_OK)
        return NULL;
    struct aether_poller *poller = ae_alloc(allocator, sizeof *poller, _Alignof(struct aether_poller));
    if (poller == NULL) {
        (void)ae_fail(AETHER_NO_MEMORY, "aether_poller_create: no memory for a poller");
        return NULL;
    }
    memset(poller, 0, sizeof *poller);
    ring_init(poller);
    poller->allocator = *allocator;
    poller->generation = ae_fork_generation;
    poller->references = 1;
    poller->fd = -1;
    return poller;
}

void aether_poller_destroy(aether_poller *poller)
{
    if (poller == NULL || poller->generation != ae_fork_generation)
        return;
    while (poller->members.next_member != &poller->members)
        retire(poller->members.next_member);
    AE_STORE(E17_DESTROY, &poller->destroyed, 1, seq_cst); /* E17: with the last look against the push of a signal */
    drop_signals(poller);
    int fd =
        AE_EXCHANGE(E17_FD_CLOSE, &poller->fd, -1, seq_cst); /* E17: with the load of `writing` against make_readable() */
    while (AE_LOAD(E17_QUIET, &poller->writing, seq_cst) != 0)
        ae_yield();
    if (fd >= 0)
        close(fd);
    drop_poller(poller);
}

aether_status aether_poller_add(aether_poller *poller, aether_cursor *cursor, void *user)
{
    static const char call[] = "aether_poller_add";
    aether_status status = refuse(poller, call);
    if (status == AETHER_OK)
        status = ae_cursor_refuse(cursor, call);
    if (status != AETHER_OK)
        return status;
    if (cursor->watch != NULL && cursor->watch->cursor != NULL)
        return ae_fail(AETHER_BUSY, "%s: the cursor is in a poller already", call);
    if (cursor->watch != NULL && cursor->watch->poller == poller)
        return revive(poller, cursor->watch, cursor, user);
    if (make_watch(poller, cursor, user) == NULL)
        return ae_fail(AETHER_NO_MEMORY, "%s: no memory for a cursor's watch", call);
    ae_poller_tell(cursor); /* it may be ready: the descriptor tells */
    return AETHER_OK;
}

aether_status aether_poller_remove(aether_poller *poller, aether_cursor *cursor)
{
    static const char call[] = "aether_poller_remove";
    aether_status status = refuse(poller, call);
    if (status == AETHER_OK)
        status = ae_cursor_refuse(cursor, call);
    if (status != AETHER_OK)
        return status;
    struct watch *watch = cursor->watch;
    if (watch == NULL || watch->cursor == NULL || watch->poller != poller)
        return ae_fail(AETHER_INVALID, "%s: the cursor is not in this poller", call);
    retire(watch);
    return AETHER_OK;
}

/*
 * One more closed cursor's watch stays on the buffer's stack. Where many do, because nothing is appended, all are signalled:
 * the dead go with that, and the others' pollers look once without need.
 */
static void clear_stack(struct aether_buffer *owner)
{
    enum { MANY = 256 };
    if (owner == NULL || AE_ADD(R1_COUNT, &owner->dead_watches, 1, relaxed) < MANY) /* R1: a rule of thumb */
        return;
    AE_STORE(R1_COUNT, &owner->dead_watches, 0, relaxed); /* R1 */
    ae_poller_wake(owner);
}

void ae_poller_forget(struct aether_cursor *cursor)
{
    struct watch *watch = cursor->watch;
    if (watch != NULL && watch->cursor != NULL)
        retire(watch);
    if (watch != NULL && AE_LOAD(E17_IS_ARMED, &watch->is_armed, acquire) != 0) /* E17: a guess */
        clear_stack(watch->owner == cursor->segment->owner ? watch->owner : NULL);
    while (watch != NULL) {
        struct watch *before = watch->before;
        drop_watch(watch);
        watch = before;
    }
}

aether_status aether_poller_wait(aether_poller *poller, aether_ready *ready, size_t capacity, size_t *count,
                                 int64_t timeout_ns)
{
    static const char call[] = "aether_poller_wait";
    if (count == NULL)
        return ae_fail(AETHER_INVALID, "%s: count is NULL", call);
    *count = 0;
    aether_status status = refuse(poller, call);
    if (status != AETHER_OK)
        return status;
    if (ready == NULL || capacity == 0)
        return ae_fail(AETHER_INVALID, "%s: no room for a cursor: ready is NULL, or capacity 0", call);
    struct found found = {ready, capacity, 0};
    status = wait(poller, &found, timeout_ns);
    if (status == AETHER_OK)
        *count = found.count;
    return status;
}

int aether_poller_fd(aether_poller *poller)
{
    static const char call[] = "aether_poller_fd";
    if (refuse(poller, call) != AETHER_OK)
        return -1;
    int fd = AE_LOAD(E17_FD, &poller->fd, relaxed); /* E17, relaxed: our own store */
    if (fd >= 0)
        return fd;
    fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK); /* readable: nobody has looked yet */
    if (fd < 0) {
        (void)ae_fail_system(AETHER_SYSTEM, errno, "%s: no descriptor", call);
        return -1;
    }
    AE_STORE(E17_FD_OPEN, &poller->fd, fd, seq_cst); /* E17: pairs with the load in make_readable() */
    return fd;
}

void aether_poller_cancel(aether_poller *poller)
{
    int error = errno; /* a signal handler must leave it as it was */
    if (poller != NULL && poller->generation == ae_fork_generation) {
        AE_STORE(E17_CANCELLED, &poller->cancelled, 1, seq_cst); /* E17: pairs with the loads in wait() and sleep() */
        ring_bell(poller);
    }
    errno = error;
}

aether_status aether_poller_resume(aether_poller *poller)
{
    aether_status status = refuse(poller, "aether_poller_resume");
    if (status == AETHER_OK)
        AE_STORE(E17_CANCELLED, &poller->cancelled, 0, seq_cst); /* E17: pairs with the loads in wait() and sleep() */
    return status;
}
