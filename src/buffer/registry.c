#include "buffer/registry.h"

#include <errno.h>
#include <string.h>

#include "base/barrier.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/futex.h"
#include "buffer/feed.h"

/* ------------------------------------------------------------------------------------------------------------ nodes */

static bool is_limiting(int32_t policy)
{
    return policy == AETHER_WAIT || policy == AETHER_REFUSE;
}

bool ae_limit_is_registered(const struct limit *limit)
{
    return is_limiting(limit->policy) || limit->label[0] != '\0';
}

/* R1, relaxed, all of them: carried by in_use where a cursor begins, and read at any time. */
static void fill(struct registry_node *node, const struct limit *limit, uint64_t least)
{
    uint64_t bytes = limit->bytes > least ? limit->bytes : least;
    uint64_t label[AE_LABEL_WORDS];
    memcpy(label, limit->label, sizeof label);
    for (size_t i = 0; i < AE_LABEL_WORDS; i++)
        AE_STORE(R1_NUMBER, &node->label[i], label[i], relaxed); /* R1 */
    AE_STORE(R1_NUMBER, &node->policy, limit->policy, relaxed);  /* R1 */
    AE_STORE(R1_NUMBER, &node->limit, bytes, relaxed);           /* R1 */
    AE_STORE(R1_NUMBER, &node->thread, 0, relaxed);              /* R1: nobody has read yet */
    AE_STORE(E15_WANTED, &node->wanted, 0, relaxed);             /* E15, relaxed: no wake-up is left out */
}

static void copy_label(const struct registry_node *node, char label[static AE_LABEL_BYTES])
{
    uint64_t words[AE_LABEL_WORDS];
    for (size_t i = 0; i < AE_LABEL_WORDS; i++)
        words[i] = AE_LOAD(R1_NUMBER, &node->label[i], relaxed); /* R1 */
    memcpy(label, words, sizeof words);
}

/* One that nobody uses, or a new one. */
static struct registry_node *take_node(struct aether_buffer *buffer)
{
    struct registry_node *node = buffer->free_nodes;
    if (node != NULL) {
        buffer->free_nodes = node->next_free;
        return node;
    }
    node = ae_alloc(&buffer->allocator, sizeof *node, _Alignof(struct registry_node));
    if (node == NULL)
        return NULL;
    memset(node, 0, sizeof *node);
    node->next = buffer->nodes; /* only who has the lock pushes */
    /* E16: pairs with E16_LOAD. */
    AE_STORE(E16_PUSH, &buffer->nodes, node, release);
    return node;
}

struct registry_node *ae_registry_add(struct aether_buffer *buffer, const struct aether_cursor *cursor,
                                      const struct limit *limit, uint64_t bytes, uint64_t items)
{
    pthread_mutex_lock(&buffer->registry_lock);
    struct registry_node *node = take_node(buffer);
    if (node != NULL) {
        node->cursor = cursor;
        fill(node, limit, ae_segment_size(buffer->largest_room) * AETHER_LIMIT_SEGMENTS);
        AE_STORE(E15_PLACE, &node->items, items, relaxed); /* E15, E16: carried by in_use */
        AE_STORE(E15_PLACE, &node->bytes, bytes, relaxed);
        /* E16: pairs with E16_LOAD. */
        AE_STORE(E16_USE, &node->in_use, 1, release);
        AE_ADD(E16_COUNT, &buffer->limiting, is_limiting(limit->policy), seq_cst); /* E16: pairs with itself, in admit */
    }
    pthread_mutex_unlock(&buffer->registry_lock);
    return node;
}

void ae_registry_hand_over(struct aether_buffer *buffer, struct registry_node *node, const struct aether_cursor *cursor)
{
    pthread_mutex_lock(&buffer->registry_lock);
    node->cursor = cursor;
    pthread_mutex_unlock(&buffer->registry_lock);
}

void ae_registry_remove(struct aether_buffer *buffer, struct registry_node *node)
{
    pthread_mutex_lock(&buffer->registry_lock);
    int32_t policy = AE_LOAD(R1_NUMBER, &node->policy, relaxed);        /* R1: ours until we give it back */
    AE_SUB(E16_COUNT, &buffer->limiting, is_limiting(policy), release); /* E16: pairs with itself */
    /* E16: pairs with E16_LOAD; E15: before the look at `waits`. */
    AE_STORE(E16_USE, &node->in_use, 0, seq_cst);
    node->next_free = buffer->free_nodes;
    buffer->free_nodes = node;
    pthread_mutex_unlock(&buffer->registry_lock);
    ae_registry_wake(buffer);
}

void ae_registry_excuse(struct aether_buffer *buffer, const struct aether_cursor *cursor)
{
    pthread_mutex_lock(&buffer->registry_lock);
    for (struct registry_node *node = buffer->nodes; node != NULL; node = node->next) {
        /* E16, R1, relaxed, all of them: under the lock. */
        if (AE_LOAD(E16_LOAD, &node->in_use, relaxed) == 0 || node->cursor != cursor)
            continue;
        AE_SUB(E16_COUNT, &buffer->limiting, is_limiting(AE_LOAD(R1_NUMBER, &node->policy, relaxed)), relaxed);
        AE_STORE(R1_NUMBER, &node->policy, AETHER_LAP, seq_cst); /* E15: before the look at `waits` */
    }
    pthread_mutex_unlock(&buffer->registry_lock);
    ae_registry_wake(buffer);
}

void ae_registry_free(struct aether_buffer *buffer)
{
    struct registry_node *node = buffer->nodes;
    while (node != NULL) {
        struct registry_node *next = node->next;
        ae_free(&buffer->allocator, node, sizeof *node, _Alignof(struct registry_node));
        node = next;
    }
    pthread_mutex_destroy(&buffer->registry_lock);
}

/* ------------------------------------------------------------------------------------------------- the readers' half */

static uintptr_t this_thread(void)
{
    static _Thread_local char own;
    return (uintptr_t)&own;
}

void ae_registry_wake(struct aether_buffer *buffer)
{
    /* E15: pairs with E15_MARK; a read-modify-write, so that one of all who make room wakes. */
    if (AE_EXCHANGE(E15_WAKE, &buffer->waits, 0, seq_cst) != 0)
        ae_futex.wake(&buffer->waits, 1, AE_FUTEX_ALL);
}

void ae_registry_note(struct registry_node *node)
{
    if (AE_LOAD(R1_NUMBER, &node->thread, relaxed) != this_thread()) /* R1, both: for a text and a guess */
        AE_STORE(R1_NUMBER, &node->thread, this_thread(), relaxed);  /* R1 */
}

/* Is as much read as the writer wants, 0: whatever it is? Both count on through the end of 64 bits. */
static bool is_enough(uint64_t read, uint64_t wanted)
{
    return wanted == 0 || (int64_t)(read - wanted) >= 0;
}

void ae_registry_tell(struct aether_buffer *buffer, struct registry_node *node, uint64_t bytes, uint64_t items)
{
    ae_registry_note(node);
    AE_STORE(E15_PLACE, &node->items, items, relaxed); /* E15, relaxed: a figure */
    uint32_t waits;
    if (buffer->asymmetric) {
        /* E15: pairs with E15_SCAN; the memory itself is held by counts, which order its use. */
        AE_STORE(E15_PLACE, &node->bytes, bytes, release);
        AE_LIGHT_BARRIER(); /* E15: the writer's heavy half makes this enough */
        waits = AE_LOAD(E15_WAITS, &buffer->waits, relaxed);
    } else {
        /* E15: this store and load against E15_MARK and E15_SCAN, all sequentially consistent. */
        AE_STORE(E15_PLACE, &node->bytes, bytes, seq_cst);
        waits = AE_LOAD(E15_WAITS, &buffer->waits, seq_cst);
    }
    /* E15, relaxed: an older one is smaller, which costs a wake-up and loses none. */
    if (AE_UNLIKELY(waits != 0) && is_enough(bytes, AE_LOAD(E15_WAITS, &node->wanted, relaxed)))
        ae_registry_wake(buffer);
}

/* ------------------------------------------------------------------------------------------------- the writer's half */

enum { WAIT_FOR_READER = AE_MUST_WAIT };

/* Of a look at all nodes: the worst answer, and who is the reason. */
struct verdict {
    aether_status status;
    const struct registry_node *node;
    uint64_t limit;
};

static aether_status judge(const struct registry_node *node, uint64_t limit, const struct ae_room *room, uint64_t read)
{
    if (room->item > limit)
        return AETHER_TOO_LARGE;
    if (room->published - read + room->more <= limit)
        return AETHER_OK;
    if (AE_LOAD(R1_NUMBER, &node->policy, relaxed) == AETHER_REFUSE) /* R1 */
        return AETHER_FULL;
    uintptr_t reader = AE_LOAD(R1_NUMBER, &node->thread, relaxed); /* R1 */
    return room->waits_here && reader == this_thread() ? AETHER_WOULD_BLOCK : WAIT_FOR_READER;
}

/* Which answer counts where several are due: what no waiting helps against comes first. */
static int rank(aether_status status)
{
    switch (status) {
    case AETHER_TOO_LARGE:
        return 4;
    case AETHER_FULL:
        return 3;
    case AETHER_WOULD_BLOCK:
        return 2;
    default:
        return status == WAIT_FOR_READER;
    }
}

/*
 * A writer that has to wait waits for a quarter of the limit, or half of what there can be: one wake-up for each segment
 * that is read would cost more than the appends.
 */
static uint64_t slack(uint64_t limit, uint64_t more)
{
    uint64_t half = limit > more ? (limit - more) / 2 : 0;
    return half < limit / 4 ? half : limit / 4;
}

/*
 * Whether the writer goes on waiting for a reader that was over its limit and is not any more; one that never was over it
 * has wanted 0.
 */
static bool is_waited_for(const struct registry_node *node, uint64_t read)
{
    return !is_enough(read, AE_LOAD(E15_WAITS, &node->wanted, relaxed)); /* E15, relaxed: the writer's own store */
}

/*
 * Looks at all nodes. The first look tells those that are over their limit how much of them the writer wants read, before it
 * marks that it waits; the looks while it waits hold on to that.
 */
static struct verdict look(struct aether_buffer *buffer, const struct ae_room *room, bool waiting)
{
    struct verdict verdict = {AETHER_OK, NULL, 0};
    /* E16: pairs with E16_PUSH. */
    struct registry_node *node = AE_LOAD(E16_LOAD, &buffer->nodes, acquire);
    for (; node != NULL; node = node->next) {
        /* E16: pairs with E16_USE. */
        if (AE_LOAD(E16_LOAD, &node->in_use, seq_cst) == 0 || !is_limiting(AE_LOAD(R1_NUMBER, &node->policy, relaxed)))
            continue;
        /* E15: pairs with E15_PLACE. */
        uint64_t read = AE_LOAD(E15_SCAN, &node->bytes, seq_cst);
        uint64_t limit = AE_LOAD(R1_NUMBER, &node->limit, relaxed); /* R1 */
        aether_status status = judge(node, limit, room, read);
        uint64_t wanted = room->published + room->more + slack(limit, room->more) - limit;
        if (!waiting)
            /* E15: pairs with the load in ae_registry_tell(). */
            AE_STORE(E15_WANTED, &node->wanted, status == WAIT_FOR_READER ? wanted : 0, seq_cst);
        else if (status == AETHER_OK && is_waited_for(node, read))
            status = WAIT_FOR_READER;
        if (rank(status) > rank(verdict.status))
            verdict = (struct verdict){status, node, limit};
    }
    return verdict;
}

static aether_status explain(const struct verdict *verdict, aether_status status, uint64_t item, const char *call)
{
    char label[AE_LABEL_BYTES] = "without a label";
    unsigned long long limit = verdict->limit;
    if (verdict->node != NULL && AE_LOAD(R1_NUMBER, &verdict->node->label[0], relaxed) != 0) /* R1 */
        copy_label(verdict->node, label);
    if (status == AETHER_TOO_LARGE)
        return ae_fail(status, "%s: %llu bytes at once are over the limit of %llu of the cursor %s", call,
                       (unsigned long long)item, limit, label);
    if (status == AETHER_FULL)
        return ae_fail(status, "%s: the cursor %s has as much unread as it may, %llu bytes", call, label, limit);
    if (status == AETHER_WOULD_BLOCK)
        return ae_fail(status, "%s: this thread itself reads the cursor %s, which has as much unread as it may, %llu bytes",
                       call, label, limit);
    if (status == AETHER_TIMEOUT)
        return ae_fail(status, "%s: the cursor %s still has as much unread as it may, %llu bytes", call, label, limit);
    return ae_fail(status, "%s: cancelled while waiting for the cursor %s", call, label);
}

static void sleep_for_room(struct aether_buffer *buffer, int64_t deadline, bool sure)
{
    int64_t soon = ae_deadline(AETHER_MILLISECONDS(1)); /* without the heavy half a wake-up may be missed */
    ae_futex.wait(&buffer->waits, 1, sure || deadline < soon ? deadline : soon, AE_FUTEX_ALL);
}

/* Marks, and looks again. AETHER_OK: there is room; WAIT_FOR_READER: not yet, a sleep has ended; else why not. */
static aether_status wait_once(struct aether_buffer *buffer, const struct ae_room *room, int64_t deadline,
                               struct verdict *verdict)
{
    /* E15: with E15_SCAN against E15_PLACE and E15_WAITS. */
    AE_STORE(E15_MARK, &buffer->waits, 1, seq_cst);
    bool sure = ae_barrier_heavy(); /* E15: after the mark, before the look */
    *verdict = look(buffer, room, true);
    aether_status status = verdict->status;
    if (status == WAIT_FOR_READER && AE_LOAD(E15_CANCEL, &buffer->cancelled, seq_cst) != 0) /* E15: pairs with itself */
        status = AETHER_CANCELLED;
    else if (status == WAIT_FOR_READER && deadline != AETHER_FOREVER && ae_clock.now() >= deadline)
        status = AETHER_TIMEOUT;
    if (status == WAIT_FOR_READER)
        sleep_for_room(buffer, deadline, sure);
    AE_STORE(E15_MARK, &buffer->waits, 0, seq_cst); /* E15: nobody has to wake us */
    return status;
}

/* Waits as long as the verdict says so. */
static aether_status await_room(struct aether_buffer *buffer, const struct ae_room *room, int64_t deadline,
                                struct verdict *verdict)
{
    aether_status status = verdict->status;
    while (status == WAIT_FOR_READER)
        status = wait_once(buffer, room, deadline, verdict);
    if (status != AETHER_TIMEOUT && status != AETHER_CANCELLED)
        return status;
    struct verdict last = look(buffer, room, false); /* there may be room, though less than was waited for */
    if (last.node != NULL)
        *verdict = last;
    return last.status == WAIT_FOR_READER ? status : last.status;
}

aether_status ae_registry_admit(struct aether_buffer *buffer, uint64_t item, uint64_t more, const char *call)
{
    /* E16: pairs with itself. */
    if (AE_LOAD(E16_COUNT, &buffer->limiting, acquire) == 0)
        return AETHER_OK;
    struct ae_room room = {item, more, ae_writer_bytes(buffer), !buffer->waits_elsewhere};
    struct verdict verdict = look(buffer, &room, false);
    aether_status status = verdict.status;
    if (status == WAIT_FOR_READER) {
        AE_ADD(R1_COUNT, &buffer->room_waits, 1, relaxed); /* R1: a figure */
        if (buffer->waits_elsewhere) {
            room.waits_here = true; /* who awaits it is the thread that matters */
            buffer->wanted_room = room;
            return AE_MUST_WAIT;
        }
        status = await_room(buffer, &room, ae_deadline(buffer->wait_ns), &verdict);
    }
    return status == AETHER_OK ? AETHER_OK : explain(&verdict, status, item, call);
}

aether_status ae_room_await(struct aether_buffer *buffer, const struct ae_room *room, int64_t deadline, const char *call)
{
    struct verdict verdict = {.status = WAIT_FOR_READER};
    aether_status status = await_room(buffer, room, deadline, &verdict);
    return status == AETHER_OK ? AETHER_OK : explain(&verdict, status, room->item, call);
}

bool ae_registry_slowest(struct aether_buffer *buffer, struct slowest *slowest)
{
    slowest->of = 0;
    /* E16: pairs with E16_PUSH. */
    const struct registry_node *node = AE_LOAD(E16_LOAD, &buffer->nodes, acquire);
    for (; node != NULL; node = node->next) {
        if (AE_LOAD(E16_LOAD, &node->in_use, acquire) == 0) /* E16: pairs with E16_USE */
            continue;
        uint64_t items = AE_LOAD(E15_SCAN, &node->items, relaxed); /* E15, relaxed, both: figures */
        if (slowest->of++ != 0 && items >= slowest->items)
            continue;
        slowest->items = items;
        slowest->bytes = AE_LOAD(E15_SCAN, &node->bytes, relaxed);
        slowest->policy = AE_LOAD(R1_NUMBER, &node->policy, relaxed); /* R1 */
        copy_label(node, slowest->label);
    }
    return slowest->of != 0;
}

/* ------------------------------------------------------------------------------------------------------ public calls */

aether_status aether_buffer_set_wait(aether_buffer *buffer, int64_t timeout_ns)
{
    aether_status status = ae_buffer_refuse(buffer, "aether_buffer_set_wait");
    if (status == AETHER_OK)
        buffer->wait_ns = timeout_ns;
    return status;
}

void aether_buffer_cancel(aether_buffer *buffer)
{
    int error = errno; /* a signal handler must leave it as it was */
    if (buffer != NULL && buffer->generation == ae_fork_generation) {
        AE_STORE(E15_CANCEL, &buffer->cancelled, 1, seq_cst); /* E15: pairs with the load in wait_once() */
        ae_registry_wake(buffer);
    }
    errno = error;
}

aether_status aether_buffer_resume(aether_buffer *buffer)
{
    aether_status status = ae_buffer_refuse(buffer, "aether_buffer_resume");
    if (status == AETHER_OK)
        AE_STORE(E15_CANCEL, &buffer->cancelled, 0, seq_cst); /* E15: pairs with the load in wait_once() */
    return status;
}
