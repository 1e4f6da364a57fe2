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

/* Small segments, so that limits may be small. What was published lately is kept for who comes back. */
static const aether_bus_options bus_options = {.segment_bytes = SOURCE_LEAST_LIMIT / AETHER_LIMIT_SEGMENTS};
static const aether_retention retention = {.bytes = 4 * 1024 * 1024};

/* How long a snapshot serves others. It also keeps every change since, so this is short. */
#define SHARED_NS AETHER_MILLISECONDS(100)
/* With so many records a batch is published before another directory is entered, so that a large tree needs no huge segment.
 */
#define BATCH_RECORDS 1024

struct source {
    struct source_options options; /* const */
    aether_bus *bus;               /* const */
    pthread_t thread;
    int wake; /* const: a bell for the source's thread */

    /* The source's thread alone. */
    struct watches watches;
    struct scan scan;
    struct message why;
    struct batch batch; /* changes that are not published yet */
    bool announce;      /* changes are; not so while everything is scanned */
    uint64_t events;    /* that were read from inotify */

    /* Guarded by the picture's lock, under which changes are published, too. */
    pthread_mutex_t picture_lock;
    struct picture *picture;
    uint64_t mark; /* the newest sentinel that was met */

    pthread_mutex_t lock; /* of what follows */
    bool stopping;
    struct source_status status;
};

/* ----------------------------------------------------------------------------------------------------------- failing */

/* Everybody learns that there is nothing to come: watchers by the bus, main() by the status. */
static bool fail(struct source *source)
{
    if (source->bus && aether_bus_shutdown(source->bus) != AETHER_OK)
        refuse(&source->why, "the bus cannot be shut down: %s", aether_error());
    pthread_mutex_lock(&source->lock);
    source->status.failed = true;
    source->status.why = source->why;
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
    if (batch_publish(&source->batch, source->bus) != AETHER_OK)
        return library_failed(source, "the change could not be published");
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
        batch_mark(&source->batch, mark);
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

static aether_status append_nodes(struct batch *batch, aether_snapshot *snapshot, const struct node *parent)
{
    aether_status status = AETHER_OK;
    for (const struct node *node = parent->first; node && status == AETHER_OK; node = node->next) {
        batch_put(batch, node);
        if (batch->count >= BATCH_RECORDS)
            status = batch_append(batch, snapshot);
        if (status == AETHER_OK)
            status = append_nodes(batch, snapshot, node);
    }
    return status;
}

/*
 * The snapshot handler, in the thread of the watcher that asks: the trees that the pattern is about, parents first, and the
 * newest mark. No change can come in between, and the newest index is that of the newest change.
 */
static aether_status show(aether_snapshot *snapshot, const char *pattern, uint64_t *index, void *user)
{
    struct source *source = user;
    struct batch batch = {0};
    aether_status status = AETHER_OK;
    pthread_mutex_lock(&source->picture_lock);
    *index = aether_bus_newest(source->bus).index;
    for (int root = 0; root < ROOTS && status == AETHER_OK; root++)
        if (aether_pattern_covers(pattern, record_patterns[root]))
            status = append_nodes(&batch, snapshot, source->picture->roots[root]);
    if (status == AETHER_OK && source->mark > 0 && aether_pattern_covers(pattern, record_patterns[ROOT_SCRATCH]))
        batch_mark(&batch, source->mark);
    if (status == AETHER_OK)
        status = batch_append(&batch, snapshot);
    pthread_mutex_unlock(&source->picture_lock);
    batch_free(&batch);
    return status;
}

/* ------------------------------------------------------------------------------------------------------------ events */

/*
 * Nobody knows which changes were lost, so this history is over: its readers are told, and begin anew with a snapshot of
 * what a new scan finds. Until then they keep what they had.
 */
static bool reset(struct source *source)
{
    if (aether_bus_reset(source->bus, NULL) != AETHER_OK)
        return library_failed(source, "the bus could not be reset");
    pthread_mutex_lock(&source->lock);
    source->status.resets++;
    pthread_mutex_unlock(&source->lock);
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
        if (poll(ready, 2, -1) < 0 && errno != EINTR) {
            refuse(&source->why, "poll: %s", strerror(errno));
            fail(source);
            break;
        }
        if (ready[1].revents)
            bell_clear(source->wake);
        pthread_mutex_lock(&source->picture_lock);
        bool goes_on = read_events(source);
        update_status(source);
        pthread_mutex_unlock(&source->picture_lock);
        if (!goes_on) {
            fail(source);
            break;
        }
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------------ starting, stopping */

static bool start(struct source *source)
{
    source->wake = bell_create();
    if (source->wake < 0)
        return refuse(&source->why, "no eventfd to be had: %s", strerror(errno));
    source->bus = aether_bus_create(&bus_options);
    aether_snapshot_handler handler = {.make = show, .user = source, .cache_ns = SHARED_NS};
    if (!source->bus || aether_bus_handle_snapshots(source->bus, RECORD_PATTERN_ALL, &handler) != AETHER_OK ||
        aether_bus_retain(source->bus, RECORD_PATTERN_ALL, &retention) != AETHER_OK)
        return library_failed(source, "no bus");
    if (!scan_everything(source))
        return false;
    update_status(source);
    int error = pthread_create(&source->thread, NULL, run, source);
    return error ? refuse(&source->why, "no thread for the source: %s", strerror(error)) : true;
}

static void destroy(struct source *source)
{
    aether_bus_destroy(source->bus);
    watches_close(&source->watches);
    picture_destroy(source->picture);
    scan_free(&source->scan);
    batch_free(&source->batch);
    if (source->wake >= 0)
        close(source->wake);
    pthread_mutex_destroy(&source->picture_lock);
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
    pthread_mutex_init(&source->picture_lock, NULL);
    if (start(source))
        return source;
    *why = source->why;
    destroy(source);
    return NULL;
}

void source_get_status(struct source *source, struct source_status *status)
{
    aether_bus_stats stats = {0};
    pthread_mutex_lock(&source->lock);
    *status = source->status;
    pthread_mutex_unlock(&source->lock);
    if (aether_bus_get_stats(source->bus, &stats) != AETHER_OK)
        return;
    status->newest = stats.newest;
    status->in_use = stats.feed_bytes;
    status->snapshots = stats.snapshots_made;
    status->followed = stats.snapshots_made + stats.snapshots_shared;
}

aether_bus *source_bus(struct source *source)
{
    return source->bus;
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
