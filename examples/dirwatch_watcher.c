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
    pthread_t thread;

    /* The watcher's thread alone; main() may read `picture` while the watcher waits at a mark. */
    struct picture *picture;   /* of the newest complete snapshot and the changes since; NULL: none yet */
    struct picture *incoming;  /* of the snapshot that is being read, else NULL */
    uint64_t snapshot_entries; /* read of that one */
    aether_position watermark; /* of the newest snapshot: what it includes of the live buffer */
    uint64_t expected;         /* the index that has to come next; 0: the first live one */
    bool live;                 /* past the end of the snapshot */
    int64_t next_nap;
    aether_cursor *reading; /* the one it reads from */

    /* Guarded by the lock. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    aether_cursor *cursor; /* open while it is here, for whoever cancels it */
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

/*
 * A watcher that hangs. It has a limit, so it costs the source no more memory than that: it is lapped, learns how much it
 * missed, and asks for a new snapshot.
 */
static bool get_stuck(struct watcher *watcher)
{
    aether_status status = aether_cursor_set_limit(watcher->reading, AETHER_LAP, SOURCE_LEAST_LIMIT);
    if (status != AETHER_OK)
        return broken(watcher, "%s", aether_error());
    rest(watcher, watcher->stuck_ns, "stuck");
    return true;
}

static void count_lap(struct watcher *watcher, aether_cursor *cursor)
{
    aether_cursor_stats stats;
    if (aether_cursor_get_stats(cursor, &stats) != AETHER_OK)
        return;
    pthread_mutex_lock(&watcher->lock);
    watcher->view.laps++;
    watcher->view.missed += stats.missed_items;
    pthread_mutex_unlock(&watcher->lock);
}

/* --------------------------------------------------------------------------------------------------------- the snapshot */

/* The whole snapshot was read: only now does it take the place of the picture before. */
static bool finish_snapshot(struct watcher *watcher, const struct record *record)
{
    picture_destroy(watcher->picture);
    watcher->picture = watcher->incoming;
    watcher->incoming = NULL;
    watcher->watermark = record->end.watermark;
    watcher->live = true;
    watcher->expected = 0;
    pthread_mutex_lock(&watcher->lock);
    watcher->view.snapshots++;
    watcher->view.entries = watcher->snapshot_entries;
    watcher->view.position = watcher->watermark;
    watcher->view.state = "live";
    watcher->view.live = true;
    pthread_mutex_unlock(&watcher->lock);
    wait_at(watcher, record->end.mark);
    return true;
}

static bool take_snapshot_item(struct watcher *watcher, const aether_item *item)
{
    const struct record *record = item->data;
    if (item->index != watcher->expected)
        return broken(watcher, "the snapshot's item %" PRIu64 " came where %" PRIu64 " had to", item->index,
                      watcher->expected);
    watcher->expected++;
    if ((record->kind == RECORD_BEGIN) != (item->index == 1))
        return broken(watcher, "the snapshot's item %" PRIu64 " is of kind %d", item->index, record->kind);
    switch (record->kind) {
    case RECORD_BEGIN:
        watcher->incoming = picture_create();
        watcher->snapshot_entries = 0;
        pthread_mutex_lock(&watcher->lock);
        watcher->view.state = record->resets > 0 ? "snapshot after overflow" : "snapshot";
        pthread_mutex_unlock(&watcher->lock);
        return true;
    case RECORD_PUT:
        watcher->snapshot_entries++;
        return picture_put(watcher->incoming, record->root, record->path, &record->facts) ||
               broken(watcher, "the snapshot's item %" PRIu64 " is a repeat, or out of place", item->index);
    case RECORD_END:
        return finish_snapshot(watcher, record);
    default:
        return broken(watcher, "the snapshot's item %" PRIu64 " is of kind %d", item->index, record->kind);
    }
}

/* ------------------------------------------------------------------------------------------------------ the live stream */

static void show_change(struct watcher *watcher, const aether_item *item)
{
    const struct record *record = item->data;
    pthread_mutex_lock(&watcher->lock);
    watcher->view.changes++;
    watcher->view.position.index = item->index;
    if (record->kind != RECORD_MARK) {
        watcher->view.latest_root = record->root;
        snprintf(watcher->view.latest, sizeof watcher->view.latest, "%c%s", record->kind == RECORD_PUT ? '+' : '-',
                 record->path);
    }
    pthread_mutex_unlock(&watcher->lock);
}

static bool apply(struct watcher *watcher, const aether_item *item)
{
    const struct record *record = item->data;
    bool changes;
    switch (record->kind) {
    case RECORD_PUT:
        changes = picture_put(watcher->picture, record->root, record->path, &record->facts);
        break;
    case RECORD_TAKE:
        changes = picture_take(watcher->picture, record->root, record->path);
        break;
    case RECORD_MARK:
        changes = true;
        break;
    default:
        return broken(watcher, "item %" PRIu64 " is of kind %d", item->index, record->kind);
    }
    if (!changes)
        return broken(watcher, "item %" PRIu64 " changes nothing: something is missing, or came twice", item->index);
    show_change(watcher, item);
    if (record->kind == RECORD_MARK)
        wait_at(watcher, record->mark);
    return true;
}

/*
 * The seam. The cursor came into the live buffer at a place that was taken before the snapshot was made, so the first index
 * cannot be above the one after the watermark; what is at or below the watermark is in the snapshot.
 */
static bool take_live_item(struct watcher *watcher, const aether_item *item, uint64_t epoch)
{
    if (epoch != watcher->watermark.epoch)
        return broken(watcher, "item %" PRIu64 " is of another history than the snapshot", item->index);
    bool first = watcher->expected == 0;
    uint64_t after = watcher->watermark.index + 1;
    if (first ? item->index > after : item->index != watcher->expected)
        return broken(watcher, "item %" PRIu64 " came where %" PRIu64 " had to", item->index,
                      first ? after : watcher->expected);
    watcher->expected = item->index + 1;
    if (first && watcher->stuck_ns != 0 && !get_stuck(watcher))
        return false;
    if (item->index > watcher->watermark.index)
        return apply(watcher, item);
    pthread_mutex_lock(&watcher->lock);
    watcher->view.skipped++;
    pthread_mutex_unlock(&watcher->lock);
    return true;
}

/* ----------------------------------------------------------------------------------------------------------- following */

static void nap_if_due(struct watcher *watcher)
{
    if (watcher->nap_ns == 0 || now_ns() < watcher->next_nap)
        return;
    rest(watcher, watcher->nap_ns, "napping");
    watcher->next_nap = now_ns() + watcher->options.step_ns;
}

/* Reads until the visit is over (AETHER_TIMEOUT), somebody cancels, the stream ends, or it is broken (AETHER_INVALID). */
static aether_status read_items(struct watcher *watcher, aether_cursor *cursor)
{
    int64_t leaves = watcher->visit_ns > 0 ? now_ns() + watcher->visit_ns : AETHER_FOREVER;
    watcher->live = false;
    watcher->expected = 1;
    watcher->reading = cursor;
    for (;;) {
        nap_if_due(watcher);
        int64_t left = leaves == AETHER_FOREVER ? AETHER_FOREVER : leaves - now_ns();
        if (left <= 0 && !must_hurry(watcher))
            return AETHER_TIMEOUT;
        if (left <= 0)
            left = leaves = AETHER_FOREVER;

        aether_item item;
        aether_status status = aether_cursor_next(cursor, &item, left);
        if (status == AETHER_TIMEOUT)
            continue;
        if (status == AETHER_LAGGED)
            count_lap(watcher, cursor);
        if (status != AETHER_OK)
            return status;
        bool good = watcher->live ? take_live_item(watcher, &item, aether_cursor_position(cursor).epoch)
                                  : take_snapshot_item(watcher, &item);
        if (!good)
            return AETHER_INVALID;
    }
}

/* From now on main() may cancel the cursor. False: the watcher was stopped already. */
static bool show_cursor(struct watcher *watcher, aether_cursor *cursor)
{
    pthread_mutex_lock(&watcher->lock);
    bool stop = watcher->stop;
    watcher->cursor = stop ? NULL : cursor;
    pthread_mutex_unlock(&watcher->lock);
    return !stop;
}

static void hide_cursor(struct watcher *watcher)
{
    pthread_mutex_lock(&watcher->lock);
    watcher->cursor = NULL;
    pthread_mutex_unlock(&watcher->lock);
}

/* One stay: a snapshot, and what follows. */
static aether_status stay(struct watcher *watcher)
{
    pthread_mutex_lock(&watcher->lock);
    watcher->view.state = "asking";
    watcher->view.live = false;
    pthread_mutex_unlock(&watcher->lock);
    aether_cursor *cursor;
    aether_status status = source_follow(watcher->options.source, &cursor);
    if (status != AETHER_OK)
        return status;
    status = AETHER_CANCELLED;
    if (show_cursor(watcher, cursor)) {
        status = read_items(watcher, cursor);
        hide_cursor(watcher);
    }
    aether_cursor_close(cursor);
    picture_destroy(watcher->incoming); /* of a snapshot that was not read to its end */
    watcher->incoming = NULL;
    return status;
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
        case AETHER_RESET: /* the picture is kept until the new snapshot is complete */
            pthread_mutex_lock(&watcher->lock);
            watcher->view.resets++;
            pthread_mutex_unlock(&watcher->lock);
            break;
        case AETHER_LAGGED: /* likewise */
            break;
        case AETHER_CANCELLED: /* the end of the run */
        case AETHER_CLOSED:
        case AETHER_FAILED: /* the source says why */
            set_state(watcher, status == AETHER_FAILED ? "failed" : "done");
            return NULL;
        default:
            if (!watcher->view.broken) /* else it said why; nobody but this thread sets it */
                broken(watcher, "the stream stopped: %s", aether_status_text(status));
            return NULL;
        }
    }
}

/* ------------------------------------------------------------------------------------------------------------- all */

/* Every seven watchers are alike. */
static void assign(struct watcher *watcher, size_t number)
{
    static const char *const roles[] = {"early", "early", "late", "late", "sleepy", "visitor", "stuck"};
    size_t role = number % 7;
    int64_t step_ns = watcher->options.step_ns;
    snprintf(watcher->view.name, sizeof watcher->view.name, "%s-%zu", roles[role], number + 1);
    if (role == 2 || role == 3) /* these two come together, and share a snapshot */
        watcher->begins_ns = step_ns * (int64_t)(number / 7 + 1);
    if (role == 4)
        watcher->nap_ns = step_ns * 3 / 4;
    if (role == 5)
        watcher->visit_ns = step_ns;
    if (role == 6)
        watcher->stuck_ns = step_ns * 2;
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
            source_close_door(options->source);
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

void watchers_release(struct watchers *watchers, uint64_t mark)
{
    for (struct watcher *watcher = watchers->all; watcher < watchers->all + watchers->count; watcher++) {
        pthread_mutex_lock(&watcher->lock);
        watcher->released = mark;
        pthread_cond_signal(&watcher->changed);
        pthread_mutex_unlock(&watcher->lock);
    }
}

void watchers_stop(struct watchers *watchers)
{
    if (!watchers)
        return;
    for (struct watcher *watcher = watchers->all; watcher < watchers->all + watchers->count; watcher++) {
        pthread_mutex_lock(&watcher->lock);
        watcher->stop = true;
        if (watcher->cursor)
            aether_cursor_cancel(watcher->cursor); /* its thread may be asleep in there, for ever */
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
