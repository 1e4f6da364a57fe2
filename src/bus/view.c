/*
 * Views. All that changes one happens on one thread of a dispatcher: tasks that begin and end it, and the calls of its
 * subscription. Others read the answer under its lock.
 *
 *      begins ──▶ subscribed ──▶ [snapshot: another state is folded beside the answer, and takes its place] ──▶ live
 *         ▲            │
 *         └── waits ◀──┘ a final status; with a delay that doubles and is drawn at random
 */
#include <pthread.h>

#include "base/clock.h"
#include "base/fail.h"
#include "base/process.h"
#include "base/random.h"
#include "bus/callback.h"
#include "bus/dispatcher.h"
#include "bus/subscription.h"

enum { PROGRESS_MS = 1, LOOK_MS = 5, RETRY_LEAST_MS = 100, RETRY_MOST_S = 10 };

struct aether_view {
    struct ae_task begin, end, look;
    aether_bus *bus; /* const, and what follows; a handle of its own */
    struct ae_domain *domain;
    aether_dispatcher *dispatcher;
    bool owns_dispatcher;
    uint32_t worker, generation;
    aether_view_options options;
    char *pattern;
    size_t pattern_bytes;

    /* Guard: the worker. */
    aether_subscription *subscription;
    void *building; /* folded from a snapshot; NULL: none is being read */
    bool is_ending, holds_lock, has_changed, has_failed;
    uint32_t failures_in_a_row;
    uint64_t snapshot_events; /* folded, and not yet counted */

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t news;
    void *answer; /* NULL: none yet */
    bool is_over, has_ended;
    aether_view_stats stats;
};

/* ------------------------------------------------------------------------------------------------------------ the answer */

static void hold_answer(aether_view *view)
{
    if (!view->holds_lock)
        pthread_mutex_lock(&view->lock);
    view->holds_lock = true;
}

/* Others see what was folded; the program is told, outside the lock. */
static void show_answer(void *user)
{
    aether_view *view = user;
    if (view->holds_lock) {
        pthread_cond_broadcast(&view->news);
        view->holds_lock = false;
        pthread_mutex_unlock(&view->lock);
    }
    if (view->has_changed && view->options.changed != NULL)
        view->options.changed(view->stats.position, view->stats.status, view->options.user);
    view->has_changed = false;
}

static void free_state(const aether_view *view, void *state)
{
    if (state != NULL)
        view->options.state_free(state, view->options.user);
}

static bool new_building(aether_view *view)
{
    free_state(view, view->building);
    view->building = view->options.state_new(view->options.user);
    return view->building != NULL;
}

static void move_to(aether_view *view, aether_position position)
{
    view->stats.position = position;
    view->has_changed = true;
}

/* The snapshot is complete: its state takes the answer's place. */
static void swap(aether_view *view, const aether_event *event)
{
    hold_answer(view);
    void *before = view->answer;
    view->answer = view->building;
    view->building = NULL;
    view->stats.snapshots++;
    view->stats.events += view->snapshot_events;
    view->snapshot_events = 0;
    view->stats.status = AETHER_OK;
    view->failures_in_a_row = 0;
    move_to(view, (aether_position){event->epoch, event->index});
    show_answer(view);
    free_state(view, before);
}

/* False: the fold failed, or there is no memory for a state. */
static bool take(aether_view *view, const aether_event *event)
{
    switch (event->kind) {
    case AETHER_EVENT_SNAPSHOT_FOLLOWS:
        return new_building(view);
    case AETHER_EVENT_SNAPSHOT:
        view->snapshot_events++;
        return view->options.fold(view->building, event, view->options.user);
    case AETHER_EVENT_SNAPSHOT_END:
        swap(view, event);
        return true;
    case AETHER_EVENT_PROGRESS:
        hold_answer(view);
        move_to(view, (aether_position){event->epoch, event->index});
        return true;
    default:
        break;
    }
    hold_answer(view);
    view->stats.events++;
    if (!view->options.fold(view->answer, event, view->options.user)) {
        free_state(view, view->answer); /* it may be half folded, which is no answer */
        view->answer = NULL;
        view->stats.position = (aether_position){0, 0};
        return false;
    }
    view->failures_in_a_row = 0;
    view->stats.status = AETHER_OK;
    move_to(view, (aether_position){event->epoch, event->index});
    return true;
}

/* ------------------------------------------------------------------------------------------------------------- beginning */

/* Half to all of it, drawn at random, so that many views do not come back at once. */
static int64_t draw_delay(const aether_view *view)
{
    int64_t delay = view->options.retry_least_ns, most = view->options.retry_most_ns;
    for (uint32_t i = 1; i < view->failures_in_a_row && delay < most / 2; i++)
        delay *= 2;
    if (delay > most)
        delay = most;
    return delay / 2 + (int64_t)(ae_random_nonzero() % (uint64_t)(delay / 2 + 1));
}

/* What the source did to all, rather than what failed: the first time it begins anew at once. */
static bool is_change(aether_status status)
{
    return status == AETHER_RESET || status == AETHER_ACCESS_CHANGED || status == AETHER_UNSUBSCRIBED ||
           status == AETHER_TOO_SLOW;
}

static void be_over(aether_view *view)
{
    view->is_over = true;
    pthread_cond_broadcast(&view->news);
}

static void begin_later(aether_view *view, aether_status status)
{
    bool at_once = is_change(status) && view->failures_in_a_row == 0;
    view->failures_in_a_row++;
    hold_answer(view);
    view->stats.status = status;
    view->stats.restarts++;
    view->stats.failures += !is_change(status);
    view->has_changed = true;
    if (status == AETHER_SHUT_DOWN)
        be_over(view);
    show_answer(view);
    if (status != AETHER_SHUT_DOWN)
        ae_dispatcher_post(view->dispatcher, view->worker, &view->begin,
                           at_once ? ae_clock.now() : ae_deadline(draw_delay(view)));
}

static bool each(const aether_event *event, aether_status status, void *user)
{
    aether_view *view = user;
    if (status == AETHER_OK) {
        if (!view->is_ending && !view->has_failed)
            view->has_failed = !take(view, event);
        return !view->is_ending && !view->has_failed;
    }
    if (!aether_status_is_final(status))
        return true; /* a lag: a new snapshot follows by itself */
    view->subscription = NULL;
    free_state(view, view->building);
    view->building = NULL;
    if (view->is_ending)
        ae_dispatcher_post(view->dispatcher, view->worker, &view->end, ae_clock.now());
    else
        begin_later(view, status == AETHER_UNSUBSCRIBED && view->has_failed ? AETHER_FAILED : status);
    return true;
}

/* Where to go on: behind the answer, or with a snapshot. */
static aether_position place(const aether_view *view)
{
    return view->answer != NULL ? view->stats.position : (aether_position){0, 0};
}

static void begin(struct ae_task *task)
{
    aether_view *view = (aether_view *)task;
    aether_subscribe_options options = {.begin = AETHER_BEGIN_RESUME,
                                        .on_lag = AETHER_LAG_SNAPSHOT,
                                        .limit_bytes = view->options.limit_bytes,
                                        .position = place(view),
                                        .label = view->options.label,
                                        .filter = view->options.filter,
                                        .progress_ns = AETHER_MILLISECONDS(PROGRESS_MS),
                                        .drain = true}; /* a batch is folded whole, whoever ends the subscription */
    bool from_nothing = options.position.epoch == 0;
    view->has_failed = false;
    if (from_nothing && !new_building(view)) {
        begin_later(view, AETHER_NO_MEMORY);
        return;
    }
    view->subscription = aether_subscribe(view->bus, view->pattern, &options);
    if (view->subscription == NULL) {
        begin_later(view, aether_error_status());
        return;
    }
    if (ae_dispatcher_take(view->dispatcher, view->worker, view->subscription, each, show_answer, view) == AETHER_OK)
        return;
    aether_subscription_close(view->subscription);
    view->subscription = NULL;
    begin_later(view, AETHER_NO_MEMORY);
}

/*
 * Somebody waits for an index that the bus has come to: if nothing else says so, a progress mark does, for which the
 * subscription is read although nothing came.
 */
static void look_for_progress(struct ae_task *task)
{
    aether_view *view = (aether_view *)((char *)task - offsetof(struct aether_view, look));
    if (view->subscription != NULL)
        ae_cursor_hint(view->subscription->cursor, true);
}

/* Its owner waits for this: nothing of it is on the dispatcher any more. */
static void end(struct ae_task *task)
{
    aether_view *view = (aether_view *)((char *)task - offsetof(struct aether_view, end));
    view->is_ending = true;
    ae_dispatcher_forget(view->dispatcher, view->worker, &view->begin);
    ae_dispatcher_forget(view->dispatcher, view->worker, &view->look);
    if (view->subscription != NULL) { /* its last call posts this again */
        aether_status status = aether_unsubscribe(view->subscription);
        AE_ASSERT(status == AETHER_OK);
        return;
    }
    pthread_mutex_lock(&view->lock);
    view->has_ended = true;
    pthread_cond_broadcast(&view->news);
    pthread_mutex_unlock(&view->lock);
}

/* ---------------------------------------------------------------------------------------------------------- lifetimes */

static aether_status complete(aether_view_options *options, const char *call)
{
    if (options->state_new == NULL || options->state_free == NULL || options->fold == NULL)
        return ae_fail(AETHER_INVALID, "%s: state_new, state_free or fold is NULL", call);
    if (options->retry_least_ns < 0 || options->retry_most_ns < 0)
        return ae_fail(AETHER_INVALID, "%s: a delay is below 0", call);
    if (options->retry_least_ns == 0)
        options->retry_least_ns = AETHER_MILLISECONDS(RETRY_LEAST_MS);
    if (options->retry_most_ns == 0)
        options->retry_most_ns = AETHER_SECONDS(RETRY_MOST_S);
    return AETHER_OK;
}

static void free_view(aether_view *view)
{
    struct ae_domain *domain = view->domain;
    free_state(view, view->answer);
    if (view->owns_dispatcher)
        aether_dispatcher_destroy(view->dispatcher);
    pthread_cond_destroy(&view->news);
    pthread_mutex_destroy(&view->lock);
    if (view->pattern != NULL)
        ae_free(&domain->allocator, view->pattern, view->pattern_bytes, 1);
    aether_bus_destroy(view->bus);
    ae_free(&domain->allocator, view, sizeof *view, _Alignof(aether_view));
    ae_domain_drop(domain);
}

static aether_view *allocate(aether_bus *bus, const char *pattern, const aether_view_options *options, const char *call)
{
    struct ae_domain *domain = bus->domain;
    aether_view *view = ae_alloc(&domain->allocator, sizeof *view, _Alignof(aether_view));
    if (view == NULL) {
        (void)ae_fail(AETHER_NO_MEMORY, "%s: no memory for a view", call);
        return NULL;
    }
    *view = (aether_view){.begin = {.run = begin},
                          .end = {.run = end},
                          .look = {.run = look_for_progress},
                          .bus = ae_bus_copy(bus, call),
                          .domain = domain,
                          .dispatcher = options->dispatcher,
                          .generation = ae_fork_generation,
                          .options = *options,
                          .pattern_bytes = strlen(pattern) + 1};
    ae_domain_hold(domain);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&view->lock, NULL);
    pthread_cond_init(&view->news, &attributes);
    pthread_condattr_destroy(&attributes);
    view->pattern = ae_alloc(&domain->allocator, view->pattern_bytes, 1);
    if (view->pattern != NULL)
        memcpy(view->pattern, pattern, view->pattern_bytes);
    if (view->pattern != NULL && view->bus != NULL)
        return view;
    (void)ae_fail(AETHER_NO_MEMORY, "%s: no memory for a view's pattern", call);
    free_view(view);
    return NULL;
}

aether_view *aether_view_open_sized(aether_bus *bus, const char *pattern, const aether_view_options *given, size_t size)
{
    static const char call[] = "aether_view_open";
    aether_view_options options = {0};
    struct ae_full_name name;
    if (given != NULL)
        memcpy(&options, given, size < sizeof options ? size : sizeof options);
    if (ae_bus_refuse(bus, call) != AETHER_OK || ae_full_pattern(&name, bus, pattern, call) != AETHER_OK ||
        complete(&options, call) != AETHER_OK)
        return NULL;
    /* What is wrong with the options of the subscription is told now, and not again and again. */
    aether_subscribe_options subscribe = {
        .limit_bytes = options.limit_bytes, .label = options.label, .filter = options.filter};
    if (ae_subscribe_check(bus, &subscribe) != AETHER_OK)
        return NULL;
    aether_view *view = allocate(bus, pattern, &options, call);
    if (view == NULL)
        return NULL;
    if (view->dispatcher == NULL) {
        view->dispatcher = aether_dispatcher_create(1, &bus->domain->allocator);
        view->owns_dispatcher = true;
        if (view->dispatcher == NULL) {
            free_view(view);
            return NULL;
        }
    }
    view->worker = ae_dispatcher_choose(view->dispatcher);
    ae_dispatcher_post(view->dispatcher, view->worker, &view->begin, ae_clock.now());
    return view;
}

void aether_view_close(aether_view *view)
{
    if (view == NULL || view->generation != ae_fork_generation)
        return;
    ae_dispatcher_post(view->dispatcher, view->worker, &view->end, ae_clock.now());
    pthread_mutex_lock(&view->lock);
    while (!view->has_ended)
        pthread_cond_wait(&view->news, &view->lock);
    pthread_mutex_unlock(&view->lock);
    free_view(view);
}

/* -------------------------------------------------------------------------------------------------------------- looking */

static aether_status refuse(const aether_view *view, const char *call)
{
    if (view == NULL)
        return ae_fail(AETHER_INVALID, "%s: the view is NULL", call);
    if (view->generation != ae_fork_generation)
        return ae_fail(AETHER_FORKED, "%s: the view was opened before fork()", call);
    return AETHER_OK;
}

/* Under the lock. AETHER_EMPTY: not yet. */
static aether_status look(const aether_view *view, uint64_t index)
{
    if (view->answer != NULL && view->stats.position.index >= index)
        return AETHER_OK;
    return view->is_over ? ae_fail(AETHER_SHUT_DOWN, "aether_view_wait: the bus is shut down") : AETHER_EMPTY;
}

/* One wait for news, a short one: the bus may have come to the index by what the view does not match. */
static void wait_for_news(aether_view *view, uint64_t index, int64_t deadline)
{
    int64_t soon = ae_deadline(AETHER_MILLISECONDS(LOOK_MS));
    if (ae_domain_newest(view->domain).index >= index && !view->is_over)
        ae_dispatcher_post(view->dispatcher, view->worker, &view->look, ae_clock.now());
    if (deadline < soon)
        soon = deadline;
    struct timespec until = {.tv_sec = soon / AETHER_SECONDS(1), .tv_nsec = soon % AETHER_SECONDS(1)};
    pthread_cond_timedwait(&view->news, &view->lock, &until);
}

static aether_status wait_until(aether_view *view, uint64_t index, int64_t deadline)
{
    aether_status status;
    while ((status = look(view, index)) == AETHER_EMPTY) {
        if (deadline != AETHER_FOREVER && ae_clock.now() >= deadline)
            return AETHER_TIMEOUT;
        wait_for_news(view, index, deadline);
    }
    return status;
}

aether_status aether_view_wait(aether_view *view, uint64_t index, int64_t timeout_ns)
{
    static const char call[] = "aether_view_wait";
    aether_status status = refuse(view, call);
    if (status != AETHER_OK)
        return status;
    pthread_mutex_lock(&view->lock);
    status = look(view, index);
    if (status == AETHER_EMPTY && timeout_ns <= 0)
        status = AETHER_TIMEOUT;
    else if (status == AETHER_EMPTY && ae_bus_callback_depth != 0)
        status = ae_fail(AETHER_WOULD_BLOCK, "%s: this is inside a callback", call);
    else if (status == AETHER_EMPTY)
        status = wait_until(view, index, ae_deadline(timeout_ns));
    pthread_mutex_unlock(&view->lock);
    return status;
}

const void *aether_view_lock(aether_view *view, aether_position *position)
{
    if (refuse(view, "aether_view_lock") != AETHER_OK)
        return NULL;
    pthread_mutex_lock(&view->lock);
    if (position != NULL)
        *position = view->answer != NULL ? view->stats.position : (aether_position){0, 0};
    const void *answer = view->answer;
    if (answer == NULL)
        pthread_mutex_unlock(&view->lock);
    return answer;
}

void aether_view_unlock(aether_view *view)
{
    if (refuse(view, "aether_view_unlock") == AETHER_OK)
        pthread_mutex_unlock(&view->lock);
}

aether_status aether_view_get_stats_sized(aether_view *view, aether_view_stats *stats, size_t size)
{
    static const char call[] = "aether_view_get_stats";
    aether_status status = refuse(view, call);
    if (status != AETHER_OK)
        return status;
    if (stats == NULL)
        return ae_fail(AETHER_INVALID, "%s: stats is NULL", call);
    pthread_mutex_lock(&view->lock);
    aether_view_stats all = view->stats;
    pthread_mutex_unlock(&view->lock);
    memset(stats, 0, size);
    memcpy(stats, &all, size < sizeof all ? size : sizeof all);
    return AETHER_OK;
}
