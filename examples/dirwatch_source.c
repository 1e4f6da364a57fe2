#include "dirwatch_source.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "dirwatch_record.h"
#include "dirwatch_watches.h"

/* Small segments, so that limits may be small. */
static const aether_buffer_options buffer_options = {.segment_bytes = SOURCE_LEAST_LIMIT / AETHER_LIMIT_SEGMENTS};

/* A snapshot that nobody reads to its end holds no more of the live buffer than this. Who comes too late from it has missed
 * something, and asks for a new one. */
static const aether_cursor_options place_options = {
    .start = AETHER_FROM_NEXT, .on_limit = AETHER_LAP, .limit_bytes = 4 * 1024 * 1024};

/* How long a snapshot serves others. The cursor that keeps it also keeps every change since, so this is short. */
#define SHARED_NS AETHER_MILLISECONDS(100)
/* With so many records a batch is appended before another directory is entered, so that a large tree needs no huge segment.
 */
#define BATCH_RECORDS 1024

struct source {
    struct source_options options; /* const */
    pthread_t thread;
    int wake; /* const: a bell for the source's thread */

    /* The source's thread alone. */
    struct watches watches;
    struct picture *picture;
    struct scan scan;
    struct message why;
    struct batch batch; /* changes that are not in the live buffer yet */
    bool announce;      /* changes go there; not so while everything is scanned */
    uint64_t mark;      /* the newest sentinel that was met */
    uint64_t events;    /* that were read from inotify */

    /*
     * Guarded by the lock: the two cursors belong to the thread that holds it. The buffer is written to by the source's
     * thread without it; the lock is for those who open cursors, so that none is opened on a buffer that is given up.
     */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a snapshot is there, or there will be none */
    aether_buffer *live;
    aether_cursor *place;    /* where the first watcher of those who wait stands in the live buffer; NULL: nobody waits */
    aether_cursor *snapshot; /* the start of the newest snapshot, to be duplicated; NULL: make one */
    int64_t snapshot_until;  /* when it is too old to be shared */
    bool door_closed;
    bool stopping;
    struct source_status status;
};

/* ----------------------------------------------------------------------------------------------------------- failing */

/* Everybody learns that there is nothing to come: readers by the buffer's end, those who wait and main() by the status. */
static bool fail(struct source *source)
{
    /* It may have been ended already, when a new one could not be made: readers have a final status either way. */
    aether_status ended = source->live ? aether_buffer_end(source->live, AETHER_FAILED) : AETHER_OK;
    (void)ended;
    pthread_mutex_lock(&source->lock);
    source->status.failed = true;
    source->status.why = source->why;
    pthread_cond_broadcast(&source->changed);
    pthread_mutex_unlock(&source->lock);
    bell_ring(source->options.bell);
    return false;
}

static bool library_failed(struct source *source, const char *what)
{
    return refuse(&source->why, "%s: %s", what, aether_error());
}

/* ----------------------------------------------------------------------------------------- changes, as a scan meets them */

static bool flush(struct source *source)
{
    if (batch_append(&source->batch, source->live) != AETHER_OK)
        return library_failed(source, "the change could not be appended");
    return true;
}

static enum scan_answer on_enter(struct node *directory, const char *path, void *user)
{
    struct source *source = user;
    if (source->batch.count >= BATCH_RECORDS && !flush(source))
        return SCAN_GIVE_UP;
    /* The watch comes before the names are read: what is created in between is met twice, and nothing is missed. */
    return watches_set(&source->watches, directory, path, &source->why);
}

static void on_put(const struct node *node, void *user)
{
    struct source *source = user;
    if (source->announce)
        batch_put(&source->batch, node);
    uint64_t mark;
    if (node->root != ROOT_SCRATCH || sscanf(node->name, MARK_PREFIX "%" SCNu64, &mark) != 1 || mark <= source->mark)
        return;
    source->mark = mark;
    if (source->announce)
        batch_add(&source->batch, &(struct record){.kind = RECORD_MARK, .mark = mark});
}

static void on_take(const struct node *node, void *user)
{
    struct source *source = user;
    if (source->announce)
        batch_take(&source->batch, node);
}

static void on_leaving(struct node *node, void *user)
{
    struct source *source = user;
    watches_drop(&source->watches, node);
}

/* Both trees from the start, into a new picture, with a new inotify instance whose queue is empty. */
static bool scan_everything(struct source *source)
{
    watches_close(&source->watches);
    picture_destroy(source->picture);
    source->picture = NULL;
    if (!watches_open(&source->watches, &source->why))
        return false;
    source->picture = picture_create();
    source->picture->leaving = on_leaving;
    source->picture->user = source;
    source->scan.picture = source->picture;
    source->announce = false;
    for (int root = 0; root < ROOTS; root++) {
        if (!scan_root(&source->scan, root))
            return false;
        if (source->picture->roots[root]->watch < 0)
            return refuse(&source->why, "'%s' is gone, or may not be read any more", source->options.dirs[root]);
    }
    source->announce = true;
    return true;
}

/* --------------------------------------------------------------------------------------------------------- snapshots */

static aether_status append_nodes(struct source *source, aether_buffer *snapshot, const struct node *parent)
{
    aether_status status = AETHER_OK;
    for (const struct node *node = parent->first; node && status == AETHER_OK; node = node->next) {
        batch_put(&source->batch, node);
        if (source->batch.count >= BATCH_RECORDS)
            status = batch_append(&source->batch, snapshot);
        if (status == AETHER_OK)
            status = append_nodes(source, snapshot, node);
    }
    return status;
}

/* The whole snapshot. No change can come in between: the thread that makes it is the one that appends them. */
static aether_status write_snapshot(struct source *source, aether_buffer *snapshot)
{
    batch_add(&source->batch, &(struct record){.kind = RECORD_BEGIN, .resets = source->status.resets});
    aether_status status = batch_append(&source->batch, snapshot);
    for (int root = 0; root < ROOTS && status == AETHER_OK; root++)
        status = append_nodes(source, snapshot, source->picture->roots[root]);
    struct record end = {.kind = RECORD_END, .end = {.watermark = aether_buffer_newest(source->live), .mark = source->mark}};
    batch_add(&source->batch, &end);
    return status == AETHER_OK ? batch_append(&source->batch, snapshot) : status;
}

/* A buffer for a snapshot, which those who wait may begin to read. NULL: `why` says why. */
static aether_buffer *publish_snapshot(struct source *source)
{
    aether_buffer *snapshot = aether_buffer_create(&buffer_options);
    aether_cursor *start = snapshot ? aether_cursor_open(snapshot, AETHER_FROM_OLDEST) : NULL;
    if (!start) {
        library_failed(source, "no buffer for a snapshot");
        aether_buffer_destroy(snapshot);
        return NULL;
    }
    pthread_mutex_lock(&source->lock);
    source->snapshot = start;
    source->snapshot_until = now_ns() + SHARED_NS;
    source->status.snapshots++;
    aether_cursor *late = source->place; /* of one who came in these last moments: the snapshot is for that one too */
    source->place = NULL;
    pthread_cond_broadcast(&source->changed);
    pthread_mutex_unlock(&source->lock);
    aether_cursor_close(late);
    return snapshot;
}

/* Makes a snapshot if somebody waits for one. */
static bool serve(struct source *source)
{
    pthread_mutex_lock(&source->lock);
    aether_cursor *place = source->place;
    source->place = NULL;
    pthread_mutex_unlock(&source->lock);
    if (!place)
        return true;

    aether_buffer *snapshot = publish_snapshot(source);
    if (!snapshot) {
        aether_cursor_close(place);
        return false;
    }
    aether_status status = write_snapshot(source, snapshot);
    /* The snapshot goes on where the first of its watchers stood in the live buffer before it was begun. */
    if (status == AETHER_OK)
        status = aether_buffer_splice(snapshot, place);
    if (status != AETHER_OK) {
        library_failed(source, "the snapshot could not be made");
        aether_cursor_close(place);
        if (aether_buffer_end(snapshot, AETHER_FAILED) != AETHER_OK) /* who reads it already is told */
            library_failed(source, "the snapshot could not be ended");
    }
    /* It is for its readers alone now: they hold what they have not read, and the splice holds what follows. */
    aether_buffer_destroy(snapshot);
    return status == AETHER_OK;
}

/* Lets go of a snapshot that is too old to be shared; its readers keep what they need. Returns poll()'s timeout. */
static int expire_snapshot(struct source *source)
{
    aether_cursor *old = NULL;
    int64_t left = -1;
    pthread_mutex_lock(&source->lock);
    if (source->snapshot) {
        left = source->snapshot_until - now_ns();
        if (left <= 0) {
            old = source->snapshot;
            source->snapshot = NULL;
            left = -1;
        }
    }
    pthread_mutex_unlock(&source->lock);
    aether_cursor_close(old);
    return left < 0 ? -1 : (int)(left / 1000000) + 1;
}

/* The lock is held. */
static aether_status why_no_snapshot(const struct source *source)
{
    if (source->status.failed)
        return AETHER_FAILED;
    return source->door_closed ? AETHER_CLOSED : AETHER_OK;
}

aether_status source_follow(struct source *source, aether_cursor **cursor)
{
    *cursor = NULL;
    pthread_mutex_lock(&source->lock);
    aether_status status = why_no_snapshot(source);
    while (status == AETHER_OK && !source->snapshot) {
        if (!source->place && !(source->place = aether_cursor_open_with(source->live, &place_options))) {
            status = aether_error_status();
            break;
        }
        bell_ring(source->wake);
        pthread_cond_wait(&source->changed, &source->lock);
        status = why_no_snapshot(source);
    }
    if (status == AETHER_OK) {
        *cursor = aether_cursor_dup(source->snapshot);
        status = *cursor ? AETHER_OK : aether_error_status();
        source->status.followed++;
    }
    pthread_mutex_unlock(&source->lock);
    return status;
}

/* ------------------------------------------------------------------------------------------------------------ events */

/*
 * Nobody knows which changes were lost, so this history is over: its readers are told, and begin anew with a snapshot of
 * what a new scan finds. Until then they keep what they had.
 */
static bool reset(struct source *source)
{
    aether_buffer *old = source->live;
    if (aether_buffer_end(old, AETHER_RESET) != AETHER_OK)
        return library_failed(source, "the live buffer could not be ended");
    aether_buffer *live = aether_buffer_create(&buffer_options);
    if (!live)
        return library_failed(source, "no new live buffer");

    pthread_mutex_lock(&source->lock);
    aether_cursor *place = source->place;
    aether_cursor *snapshot = source->snapshot;
    source->live = live;
    source->place = NULL; /* who waits opens it anew, in the new buffer */
    source->snapshot = NULL;
    source->status.resets++;
    pthread_cond_broadcast(&source->changed);
    pthread_mutex_unlock(&source->lock);
    aether_cursor_close(place);
    aether_cursor_close(snapshot);
    aether_buffer_destroy(old);
    return scan_everything(source);
}

static bool root_is_gone(struct source *source, const struct node *root)
{
    return refuse(&source->why, "'%s' was deleted, moved or unmounted while it was watched",
                  source->options.dirs[root->root]);
}

/*
 * An event is only a reason to look: what is on the disk now is what counts, and it may be newer than the event. Whatever
 * changes after the look brings an event of its own, so the picture is right when the queue is empty.
 */
static bool handle_event(struct source *source, const struct inotify_event *event)
{
    struct node *directory = watches_find(&source->watches, event->wd);
    if (!directory)
        return true;
    bool root = !directory->parent;
    if (event->mask & (IN_IGNORED | IN_UNMOUNT | IN_DELETE_SELF | IN_MOVE_SELF)) {
        if (root)
            return root_is_gone(source, directory);
        if (event->mask & IN_IGNORED)
            watches_drop(&source->watches, directory);
        return true;
    }
    if (event->len == 0)
        return root && (event->mask & IN_ATTRIB) ? scan_root(&source->scan, directory->root) : true;
    return scan_name(&source->scan, directory, event->name);
}

static bool overflowed(struct source *source, const struct inotify_event *event)
{
    source->events++;
    if (source->options.overflow_after > 0 && source->events % source->options.overflow_after == 0)
        return true;
    return (event->mask & IN_Q_OVERFLOW) != 0;
}

/* Reads what inotify has ready. What one event changes becomes visible together, and so do the two halves of a rename. */
static bool read_events(struct source *source)
{
    alignas(struct inotify_event) char bytes[32768];
    ssize_t size = read(source->watches.fd, bytes, sizeof bytes);
    if (size < 0)
        return errno == EAGAIN || errno == EINTR ? true
                                                 : refuse(&source->why, "inotify cannot be read: %s", strerror(errno));
    for (ssize_t at = 0; at < size;) {
        const struct inotify_event *event = (const struct inotify_event *)(const void *)(bytes + at);
        if (overflowed(source, event))
            return flush(source) && reset(source); /* what follows in `bytes` is from before the new scan */
        if (!handle_event(source, event))
            return false;
        if (!(event->mask & IN_MOVED_FROM) && !flush(source))
            return false;
        at += (ssize_t)(sizeof *event + event->len);
    }
    return flush(source);
}

static void update_status(struct source *source)
{
    pthread_mutex_lock(&source->lock);
    source->status.entries = source->picture->entries;
    source->status.watches = source->watches.count;
    source->status.events = source->events;
    pthread_mutex_unlock(&source->lock);
}

static bool stopping(struct source *source)
{
    pthread_mutex_lock(&source->lock);
    bool answer = source->stopping;
    pthread_mutex_unlock(&source->lock);
    return answer;
}

static void *run(void *argument)
{
    struct source *source = argument;
    while (!stopping(source)) {
        struct pollfd ready[] = {{.fd = source->watches.fd, .events = POLLIN}, {.fd = source->wake, .events = POLLIN}};
        if (poll(ready, 2, expire_snapshot(source)) < 0 && errno != EINTR) {
            refuse(&source->why, "poll: %s", strerror(errno));
            fail(source);
            break;
        }
        if (ready[1].revents)
            bell_clear(source->wake);
        if (!read_events(source) || !serve(source)) {
            fail(source);
            break;
        }
        update_status(source);
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------------ starting, stopping */

static bool start(struct source *source)
{
    source->wake = bell_create();
    if (source->wake < 0)
        return refuse(&source->why, "no eventfd to be had: %s", strerror(errno));
    source->live = aether_buffer_create(&buffer_options);
    if (!source->live)
        return library_failed(source, "no live buffer");
    if (!scan_everything(source))
        return false;
    update_status(source);
    int error = pthread_create(&source->thread, NULL, run, source);
    return error ? refuse(&source->why, "no thread for the source: %s", strerror(error)) : true;
}

static void destroy(struct source *source)
{
    aether_cursor_close(source->place);
    aether_cursor_close(source->snapshot);
    aether_buffer_destroy(source->live);
    watches_close(&source->watches);
    picture_destroy(source->picture);
    scan_free(&source->scan);
    batch_free(&source->batch);
    if (source->wake >= 0)
        close(source->wake);
    pthread_cond_destroy(&source->changed);
    pthread_mutex_destroy(&source->lock);
    free(source);
}

struct source *source_start(const struct source_options *options, struct message *why)
{
    struct source *source = need_memory(NULL, sizeof *source);
    *source = (struct source){.options = *options, .watches = {.fd = -1}, .wake = -1};
    source->scan = (struct scan){.why = &source->why, .enter = on_enter, .put = on_put, .take = on_take, .user = source};
    memcpy(source->scan.dirs, options->dirs, sizeof options->dirs);
    pthread_mutex_init(&source->lock, NULL);
    pthread_cond_init(&source->changed, NULL);
    if (start(source))
        return source;
    *why = source->why;
    destroy(source);
    return NULL;
}

void source_get_status(struct source *source, struct source_status *status)
{
    aether_buffer_stats stats = {0};
    pthread_mutex_lock(&source->lock);
    *status = source->status;
    aether_status answer = aether_buffer_get_stats(source->live, &stats);
    pthread_mutex_unlock(&source->lock);
    if (answer != AETHER_OK)
        return;
    status->newest = stats.newest;
    status->retained = stats.retained_bytes;
    status->in_use = stats.in_use_bytes;
}

void source_close_door(struct source *source)
{
    pthread_mutex_lock(&source->lock);
    source->door_closed = true;
    pthread_cond_broadcast(&source->changed);
    pthread_mutex_unlock(&source->lock);
}

void source_stop(struct source *source)
{
    if (!source)
        return;
    pthread_mutex_lock(&source->lock);
    source->stopping = true;
    pthread_mutex_unlock(&source->lock);
    bell_ring(source->wake);
    pthread_join(source->thread, NULL);
    destroy(source);
}
