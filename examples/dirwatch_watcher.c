#include "dirwatch_watcher.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dirwatch_record.h"

struct watcher {
    struct watchers_options options; /* const */
    int64_t begins_ns;               /* const: comes so long after the start */
    int64_t visit_ns;                /* const: stays so long and goes; 0: stays */
    int64_t nap_ns;                  /* const: naps so long at a time; 0: never */
    int64_t stuck_ns;                /* const: does not read for so long once it is live; 0: reads */
    const char *pattern;             /* const: what it follows */
    const char *label;               /* const: by which it is expelled, or NULL */
    pthread_t thread;

    /* The watcher's thread alone; main() may read `picture` while the watcher waits at a mark. */
    struct picture *picture;   /* of the newest complete snapshot and the changes since; NULL: none yet */
    struct picture *incoming;  /* of the snapshot that is being read, else NULL */
    uint64_t snapshot_entries; /* read of that one */
    uint64_t snapshot_mark;    /* the newest mark in there, 0: none */
    aether_position position;  /* of the newest event, or of the snapshot */
    aether_position resume;    /* where to go on; {0, 0}: with a snapshot */
    bool live;                 /* past the end of the snapshot */
    bool was_stuck;
    int64_t next_nap;
    aether_subscription *reading;      /* the one it reads from */
    aether_subscription_stats counted; /* of that, what the view has already */

    /* Guarded by the lock. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    aether_subscription *subscription; /* open while it is here, for whoever cancels it */
    bool hurry;
    bool stop;
    uint64_t at_mark;  /* the one where it waits, 0: none */
    uint64_t released; /* marks up to here are not waited at */
    struct watcher_view view;
};

struct watchers {
    size_t count;
    struct watcher *all;
};

/* ------------------------------------------------------------------------------------------------------ seen from outside
 */

static void set_state(struct watcher *watcher, const char *state)
{
    pthread_mutex_lock(&watcher->lock);
    watcher->view.state = state;
    pthread_mutex_unlock(&watcher->lock);
}

/* The stream was not what it has to be. Returns false. */
__attribute__((format(printf, 2, 3))) static bool broken(struct watcher *watcher, const char *format, ...)
{
    pthread_mutex_lock(&watcher->lock);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(watcher->view.why.text, sizeof watcher->view.why.text, format, arguments);
    va_end(arguments);
    watcher->view.broken = true;
    watcher->view.state = "broken";
    pthread_mutex_unlock(&watcher->lock);
    bell_ring(watcher->options.bell);
    return false;
}

static bool must_hurry(struct watcher *watcher)
{
    pthread_mutex_lock(&watcher->lock);
    bool answer = watcher->hurry || watcher->stop;
    pthread_mutex_unlock(&watcher->lock);
    return answer;
}

/* Does nothing for a while, unless it has to hurry. */
static void rest(struct watcher *watcher, int64_t duration_ns, const char *state)
{
    int64_t until = now_ns() + duration_ns;
    struct timespec deadline = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
    pthread_mutex_lock(&watcher->lock);
    const char *before = watcher->view.state;
    watcher->view.state = state;
    int answer = 0;
    while (!watcher->hurry && !watcher->stop && answer != ETIMEDOUT)
        answer = pthread_cond_timedwait(&watcher->changed, &watcher->lock, &deadline);
    watcher->view.state = before;
    pthread_mutex_unlock(&watcher->lock);
}

/* Waits at a mark until main() has compared the picture. Marks come when the run is over. */
static void wait_at(struct watcher *watcher, uint64_t mark)
{
    pthread_mutex_lock(&watcher->lock);
    if (watcher->released < mark) {
        watcher->at_mark = mark;
        watcher->view.state = "at the end";
        bell_ring(watcher->options.bell);
    }
    while (watcher->released < mark && !watcher->stop)
        pthread_cond_wait(&watcher->changed, &watcher->lock);
    watcher->at_mark = 0;
    pthread_mutex_unlock(&watcher->lock);
}

/* A watcher that hangs. It has a limit, so it costs the source no more memory than that: it is lapped, and gets a new
 * snapshot. */
static void get_stuck(struct watcher *watcher)
{
    if (watcher->stuck_ns != 0 && !watcher->was_stuck)
        rest(watcher, watcher->stuck_ns, "stuck");
    watcher->was_stuck = true;
}

/* What the subscription says of itself, since it was asked last. */
static void count_stay(struct watcher *watcher)
{
    aether_subscription_stats stats, before = watcher->counted;
    if (aether_subscription_get_stats(watcher->reading, &stats) != AETHER_OK)
        return;
    watcher->counted = stats;
    pthread_mutex_lock(&watcher->lock);
    watcher->view.laps += stats.lags - before.lags;
    watcher->view.missed += stats.lagged - before.lagged;
    watcher->view.skipped += stats.below_watermark - before.below_watermark;
    pthread_mutex_unlock(&watcher->lock);
}

/* --------------------------------------------------------------------------------------------------------- the snapshot */

static void begin_snapshot(struct watcher *watcher)
{
    picture_destroy(watcher->incoming);
    watcher->incoming = picture_create();
    watcher->snapshot_entries = watcher->snapshot_mark = 0;
    watcher->live = false;
    pthread_mutex_lock(&watcher->lock);
    watcher->view.state = watcher->view.resets > 0 ? "snapshot after overflow" : "snapshot";
    watcher->view.live = false;
    pthread_mutex_unlock(&watcher->lock);
}

/* The whole snapshot was read: only now does it take the place of the picture before. */
static void finish_snapshot(struct watcher *watcher, const aether_event *event)
{
    picture_destroy(watcher->picture);
    watcher->picture = watcher->incoming;
    watcher->incoming = NULL;
    watcher->position = (aether_position){event->epoch, event->index};
    watcher->live = true;
    pthread_mutex_lock(&watcher->lock);
    watcher->view.snapshots++;
    watcher->view.entries = watcher->snapshot_entries;
    watcher->view.position = watcher->position;
    watcher->view.state = "live";
    watcher->view.live = true;
    pthread_mutex_unlock(&watcher->lock);
    wait_at(watcher, watcher->snapshot_mark);
    get_stuck(watcher);
}

static bool take_snapshot_event(struct watcher *watcher, const aether_event *event)
{
    const struct record *record = (const struct record *)(const void *)event->data.data;
    if (!watcher->incoming)
        return broken(watcher, "an event of a snapshot that has not begun");
    if (record->kind == RECORD_MARK) {
        watcher->snapshot_mark = record->mark;
        return true;
    }
    watcher->snapshot_entries++;
    return (record->kind == RECORD_PUT && picture_put(watcher->incoming, record->root, record->path, &record->facts)) ||
           broken(watcher, "the snapshot's event %" PRIu64 " is a repeat, or out of place", watcher->snapshot_entries);
}

/* ------------------------------------------------------------------------------------------------------ the live stream */

static void show_change(struct watcher *watcher, const struct record *record)
{
    pthread_mutex_lock(&watcher->lock);
    watcher->view.changes++;
    watcher->view.position = watcher->position;
    if (record->kind != RECORD_MARK) {
        watcher->view.latest_root = record->root;
        snprintf(watcher->view.latest, sizeof watcher->view.latest, "%c%s", record->kind == RECORD_PUT ? '+' : '-',
                 record->path);
    }
    pthread_mutex_unlock(&watcher->lock);
}

static bool apply(struct watcher *watcher, const struct record *record)
{
    switch (record->kind) {
    case RECORD_PUT:
        return picture_put(watcher->picture, record->root, record->path, &record->facts);
    case RECORD_TAKE:
        return picture_take(watcher->picture, record->root, record->path);
    default:
        return record->kind == RECORD_MARK;
    }
}

/* Whether this index may come behind the one before: events of a batch have the same one. */
static bool may_follow(const struct watcher *watcher, uint64_t index)
{
    uint64_t before = watcher->position.index;
    bool follows_all = strcmp(watcher->pattern, RECORD_PATTERN_ALL) == 0;
    return follows_all ? index == before || index == before + 1 : index >= before;
}

static bool take_live_event(struct watcher *watcher, const aether_event *event)
{
    const struct record *record = (const struct record *)(const void *)event->data.data;
    if (!watcher->live || event->epoch != watcher->position.epoch)
        return broken(watcher, "event %" PRIu64 " is of another history than the picture", event->index);
    if (!may_follow(watcher, event->index))
        return broken(watcher, "event %" PRIu64 " came behind %" PRIu64, event->index, watcher->position.index);
    if (!apply(watcher, record))
        return broken(watcher, "event %" PRIu64 " changes nothing: something is missing, or came twice", event->index);
    watcher->position.index = event->index;
    show_change(watcher, record);
    if (record->kind == RECORD_MARK) {
        count_stay(watcher);
        wait_at(watcher, record->mark);
    }
    return true;
}

static bool take_event(struct watcher *watcher, const aether_event *event)
{
    switch (event->kind) {
    case AETHER_EVENT_SNAPSHOT_FOLLOWS: /* it could not resume, or was lapped */
        count_stay(watcher);
        begin_snapshot(watcher);
        return true;
    case AETHER_EVENT_SNAPSHOT:
        return take_snapshot_event(watcher, event);
    case AETHER_EVENT_SNAPSHOT_END:
        finish_snapshot(watcher, event);
        return true;
    default:
        return take_live_event(watcher, event);
    }
}

/* ----------------------------------------------------------------------------------------------------------- following */

static void nap_if_due(struct watcher *watcher)
{
    if (watcher->nap_ns == 0 || now_ns() < watcher->next_nap)
        return;
    rest(watcher, watcher->nap_ns, "napping");
    watcher->next_nap = now_ns() + watcher->options.step_ns;
}

/* True between two batches: the picture is that of the position, where one may go on later. */
static bool is_between_batches(const struct watcher *watcher, const aether_subscription *subscription)
{
    return watcher->live && aether_subscription_position(subscription).index == watcher->position.index;
}

/* Reads until the visit is over (AETHER_TIMEOUT), somebody cancels, the stream ends, or it is broken (AETHER_INVALID). */
static aether_status read_events(struct watcher *watcher, aether_subscription *subscription)
{
    int64_t leaves = watcher->visit_ns > 0 ? now_ns() + watcher->visit_ns : AETHER_FOREVER;
    for (;;) {
        nap_if_due(watcher);
        int64_t left = leaves == AETHER_FOREVER ? AETHER_FOREVER : leaves - now_ns();
        if (left <= 0 && !must_hurry(watcher) && is_between_batches(watcher, subscription))
            return AETHER_TIMEOUT;
        if (left <= 0 && must_hurry(watcher))
            left = leaves = AETHER_FOREVER;

        aether_event event;
        aether_status status = aether_next(subscription, &event, left > 0 ? left : AETHER_MILLISECONDS(1));
        if (status == AETHER_TIMEOUT)
            continue;
        if (status != AETHER_OK)
            return status;
        if (!take_event(watcher, &event))
            return AETHER_INVALID;
    }
}

/* From now on main() may cancel the subscription. False: the watcher was stopped already. */
static bool show_subscription(struct watcher *watcher, aether_subscription *subscription)
{
    pthread_mutex_lock(&watcher->lock);
    bool stop = watcher->stop;
    watcher->subscription = stop ? NULL : subscription;
    pthread_mutex_unlock(&watcher->lock);
    return !stop;
}

static void hide_subscription(struct watcher *watcher)
{
    pthread_mutex_lock(&watcher->lock);
    watcher->subscription = NULL;
    pthread_mutex_unlock(&watcher->lock);
}

/* A snapshot and what follows, or what follows alone where it resumes. */
static aether_subscription *subscribe(struct watcher *watcher)
{
    bool resumes = watcher->resume.epoch != 0;
    aether_subscribe_options options = {.begin = resumes ? AETHER_BEGIN_RESUME : AETHER_BEGIN_SNAPSHOT,
                                        .position = watcher->resume,
                                        .limit_bytes = watcher->stuck_ns != 0 ? SOURCE_LEAST_LIMIT : 0,
                                        .label = watcher->label};
    pthread_mutex_lock(&watcher->lock);
    watcher->view.state = "asking";
    watcher->view.live = resumes;
    pthread_mutex_unlock(&watcher->lock);
    watcher->live = resumes;
    if (!resumes)
        begin_snapshot(watcher);
    return aether_subscribe(source_bus(watcher->options.source), watcher->pattern, &options);
}

/* One stay. */
static aether_status stay(struct watcher *watcher)
{
    aether_subscription *subscription = subscribe(watcher);
    if (!subscription)
        return aether_error_status();
    aether_status status = AETHER_CANCELLED;
    bool resumes = watcher->resume.epoch != 0;
    watcher->resume = (aether_position){0, 0};
    watcher->reading = subscription;
    watcher->counted = (aether_subscription_stats){0};
    if (show_subscription(watcher, subscription)) {
        uint64_t snapshots = watcher->view.snapshots;
        status = read_events(watcher, subscription);
        hide_subscription(watcher);
        pthread_mutex_lock(&watcher->lock);
        watcher->view.resumed += resumes && watcher->view.snapshots == snapshots;
        pthread_mutex_unlock(&watcher->lock);
    }
    if (status == AETHER_TIMEOUT)
        watcher->resume = watcher->position;
    count_stay(watcher);
    aether_subscription_close(subscription);
    picture_destroy(watcher->incoming); /* of a snapshot that was not read to its end */
    watcher->incoming = NULL;
    return status;
}

static void count_end(struct watcher *watcher, aether_status status)
{
    pthread_mutex_lock(&watcher->lock);
    watcher->view.resets += status == AETHER_RESET;
    watcher->view.expelled += status == AETHER_ACCESS_CHANGED;
    pthread_mutex_unlock(&watcher->lock);
}

static void *watch(void *argument)
{
    struct watcher *watcher = argument;
    rest(watcher, watcher->begins_ns, "not here yet");
    for (;;) {
        aether_status status = stay(watcher);
        switch (status) {
        case AETHER_TIMEOUT:
            rest(watcher, watcher->visit_ns / 2, "away");
            break;
        case AETHER_RESET:          /* the picture is kept until the new snapshot is complete */
        case AETHER_ACCESS_CHANGED: /* likewise */
            count_end(watcher, status);
            break;
        case AETHER_CANCELLED: /* the end of the run */
        case AETHER_SHUT_DOWN: /* the source says why */
            set_state(watcher, status == AETHER_SHUT_DOWN ? "failed" : "done");
            return NULL;
        default:
            if (!watcher->view.broken) /* else it said why; nobody but this thread sets it */
                broken(watcher, "the stream stopped: %s", aether_status_text(status));
            return NULL;
        }
    }
}

/* ------------------------------------------------------------------------------------------------------------- all */

#define EXPELLED_LABEL "expelled"

/* Every eight watchers are alike. */
static void assign(struct watcher *watcher, size_t number)
{
    static const char *const roles[] = {"early", "scratch", "late", "late", "sleepy", "visitor", "stuck", "expelled"};
    size_t role = number % 8;
    int64_t step_ns = watcher->options.step_ns;
    snprintf(watcher->view.name, sizeof watcher->view.name, "%s-%zu", roles[role], number + 1);
    watcher->pattern = role == 1 ? record_patterns[ROOT_SCRATCH] : RECORD_PATTERN_ALL;
    if (role == 2 || role == 3) /* these two come together, and share a snapshot */
        watcher->begins_ns = step_ns * (int64_t)(number / 8 + 1);
    if (role == 4)
        watcher->nap_ns = step_ns * 3 / 4;
    if (role == 5)
        watcher->visit_ns = step_ns;
    if (role == 6)
        watcher->stuck_ns = step_ns * 2;
    if (role == 7)
        watcher->label = EXPELLED_LABEL;
}

static int start(struct watcher *watcher)
{
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&watcher->lock, NULL);
    pthread_cond_init(&watcher->changed, &clock);
    pthread_condattr_destroy(&clock);
    watcher->view.state = "starting";
    watcher->next_nap = now_ns() + watcher->options.step_ns;
    return pthread_create(&watcher->thread, NULL, watch, watcher);
}

struct watchers *watchers_start(const struct watchers_options *options, struct message *why)
{
    struct watchers *watchers = need_memory(NULL, sizeof *watchers);
    *watchers = (struct watchers){.all = need_memory(NULL, options->count * sizeof *watchers->all)};
    for (; watchers->count < options->count; watchers->count++) {
        struct watcher *watcher = &watchers->all[watchers->count];
        *watcher = (struct watcher){.options = *options};
        assign(watcher, watchers->count);
        int error = start(watcher);
        if (error) {
            refuse(why, "no thread for watcher %zu: %s", watchers->count + 1, strerror(error));
            watchers_stop(watchers);
            return NULL;
        }
    }
    return watchers;
}

size_t watchers_count(const struct watchers *watchers)
{
    return watchers->count;
}

void watchers_view(struct watchers *watchers, size_t number, struct watcher_view *view)
{
    struct watcher *watcher = &watchers->all[number];
    pthread_mutex_lock(&watcher->lock);
    *view = watcher->view;
    pthread_mutex_unlock(&watcher->lock);
}

void watchers_hurry(struct watchers *watchers)
{
    for (struct watcher *watcher = watchers->all; watcher < watchers->all + watchers->count; watcher++) {
        pthread_mutex_lock(&watcher->lock);
        watcher->hurry = true;
        pthread_cond_signal(&watcher->changed);
        pthread_mutex_unlock(&watcher->lock);
    }
}

bool watchers_are_at(struct watchers *watchers, uint64_t mark)
{
    size_t there = 0;
    for (struct watcher *watcher = watchers->all; watcher < watchers->all + watchers->count; watcher++) {
        pthread_mutex_lock(&watcher->lock);
        there += watcher->at_mark == mark;
        pthread_mutex_unlock(&watcher->lock);
    }
    return there == watchers->count;
}

const struct picture *watchers_picture(struct watchers *watchers, size_t number)
{
    return watchers->all[number].picture;
}

bool watchers_follows(const struct watchers *watchers, size_t number, int root)
{
    return aether_pattern_covers(watchers->all[number].pattern, record_patterns[root]);
}

void watchers_release(struct watchers *watchers, uint64_t mark)
{
    for (struct watcher *watcher = watchers->all; watcher < watchers->all + watchers->count; watcher++) {
        pthread_mutex_lock(&watcher->lock);
        watcher->released = mark;
        pthread_cond_signal(&watcher->changed);
        pthread_mutex_unlock(&watcher->lock);
    }
}

void watchers_expel(struct watchers *watchers)
{
    aether_bus *bus = source_bus(watchers->all->options.source);
    aether_status status = aether_bus_close_label(bus, EXPELLED_LABEL, AETHER_ACCESS_CHANGED);
    (void)status; /* the source has failed: it says why */
}

void watchers_stop(struct watchers *watchers)
{
    if (!watchers)
        return;
    for (struct watcher *watcher = watchers->all; watcher < watchers->all + watchers->count; watcher++) {
        pthread_mutex_lock(&watcher->lock);
        watcher->stop = true;
        if (watcher->subscription)
            aether_subscription_cancel(watcher->subscription); /* its thread may be asleep in there, for ever */
        pthread_cond_signal(&watcher->changed);
        pthread_mutex_unlock(&watcher->lock);
    }
    for (struct watcher *watcher = watchers->all; watcher < watchers->all + watchers->count; watcher++) {
        pthread_join(watcher->thread, NULL);
        picture_destroy(watcher->picture);
        pthread_cond_destroy(&watcher->changed);
        pthread_mutex_destroy(&watcher->lock);
    }
    free(watchers->all);
    free(watchers);
}
