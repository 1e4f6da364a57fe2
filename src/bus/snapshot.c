#include "bus/snapshot.h"

#include "base/clock.h"
#include "base/log.h"
#include "bus/callback.h"
#include "bus/event.h"
#include "bus/subscription.h"

enum { CACHE_USUAL = 16 * 1024 * 1024 };

/* ---------------------------------------------------------------------------------------------------------- handlers */

struct best {
    aether_text pattern;
    struct ae_handler *handler;
};

static aether_text pattern_of(const struct ae_handler *handler)
{
    return (aether_text){handler->pattern, handler->size};
}

static bool is_wild(aether_text token)
{
    return ae_text_is(token, '*') || ae_text_is(token, '>');
}

/* Of two that cover the same pattern: the one that the other covers; else the one whose first difference is a literal token.
 */
static bool is_more_specific(aether_text one, aether_text other)
{
    aether_text token, other_token;
    if (ae_pattern_covers(other, one) != ae_pattern_covers(one, other))
        return ae_pattern_covers(other, one);
    while (ae_token_next(&one, &token) && ae_token_next(&other, &other_token))
        if (is_wild(token) != is_wild(other_token))
            return is_wild(other_token);
    return false;
}

static bool take_better(void *value, void *user)
{
    struct ae_handler *handler = value;
    struct best *best = user;
    if (best->handler == NULL || is_more_specific(pattern_of(handler), pattern_of(best->handler)))
        best->handler = handler;
    return true;
}

struct ae_handler *ae_handler_find(struct ae_domain *domain, aether_text pattern)
{
    struct best best = {pattern, NULL};
    ae_trie_walk(&domain->handlers, pattern, AE_COVERS, take_better, &best);
    return best.handler;
}

static size_t bytes_of(const struct ae_handler *handler)
{
    return sizeof *handler + handler->size + 1U;
}

static void drop_handler(struct ae_domain *domain, struct ae_handler *handler)
{
    if (--handler->references == 0)
        ae_free(&domain->allocator, handler, bytes_of(handler), _Alignof(struct ae_handler));
}

static bool free_handler(void *value, void *user)
{
    drop_handler(user, value);
    return true;
}

void ae_handlers_free(struct ae_domain *domain)
{
    ae_trie_each(&domain->handlers, free_handler, domain);
}

struct handler_command {
    struct ae_command command;
    const struct ae_subject *pattern;
    const aether_snapshot_handler *given;
    uint16_t prefix_size;
    struct ae_handler *handler;
};

static aether_status run_add(struct ae_command *command)
{
    static const char call[] = "aether_bus_handle_snapshots";
    struct handler_command *add = (struct handler_command *)command;
    struct ae_domain *domain = command->domain;
    aether_text pattern = add->pattern->text;
    aether_status status = ae_domain_refuse(domain, call);
    if (status != AETHER_OK)
        return status;
    if (ae_trie_find(&domain->handlers, add->pattern) != NULL)
        return ae_fail(AETHER_EXISTS, "%s: the pattern %.*s has a handler", call, (int)pattern.size, pattern.data);
    struct ae_handler *handler =
        ae_alloc(&domain->allocator, sizeof *handler + pattern.size + 1, _Alignof(struct ae_handler));
    if (handler == NULL)
        return ae_fail(AETHER_NO_MEMORY, "%s: no memory for a handler", call);
    *handler = (struct ae_handler){
        .given = *add->given, .references = 1, .prefix_size = add->prefix_size, .size = (uint16_t)pattern.size};
    memcpy(handler->pattern, pattern.data, pattern.size);
    handler->pattern[pattern.size] = '\0';
    void **value = ae_trie_insert(&domain->handlers, add->pattern);
    if (value == NULL) {
        drop_handler(domain, handler);
        return ae_fail(AETHER_NO_MEMORY, "%s: no memory for a pattern", call);
    }
    *value = handler;
    return AETHER_OK;
}

aether_status aether_bus_handle_snapshots_sized(aether_bus *bus, const char *pattern, const aether_snapshot_handler *given,
                                                size_t size)
{
    static const char call[] = "aether_bus_handle_snapshots";
    struct ae_full_name name;
    aether_snapshot_handler handler = {0};
    aether_status status = ae_bus_refuse(bus, call);
    if (status == AETHER_OK)
        status = ae_full_pattern(&name, bus, pattern, call);
    if (status != AETHER_OK)
        return status;
    if (given != NULL)
        memcpy(&handler, given, size < sizeof handler ? size : sizeof handler);
    if (handler.make == NULL)
        return ae_fail(AETHER_INVALID, "%s: the handler's make is NULL", call);
    if (handler.cache_bytes == 0)
        handler.cache_bytes = CACHE_USUAL;
    uint64_t least = (uint64_t)AETHER_LIMIT_SEGMENTS * bus->domain->segment_bytes;
    if (handler.cache_bytes < least)
        handler.cache_bytes = least;
    if (handler.cache_ns > 0 || handler.deadline_ns > 0)
        status = ae_crew_need_keeper(bus->domain->crew, call);
    if (status != AETHER_OK)
        return status;
    struct handler_command add = {.pattern = &name.subject, .given = &handler, .prefix_size = bus->prefix_size};
    return ae_domain_run(bus->domain, &add.command, run_add);
}

static aether_status run_remove(struct ae_command *command)
{
    struct handler_command *remove = (struct handler_command *)command;
    struct ae_domain *domain = command->domain;
    struct ae_handler *handler = ae_trie_find(&domain->handlers, remove->pattern);
    if (handler == NULL)
        return ae_fail(AETHER_NO_HANDLER, "aether_bus_unhandle_snapshots: the pattern %.*s has no handler",
                       (int)remove->pattern->text.size, remove->pattern->text.data);
    ae_trie_remove(&domain->handlers, remove->pattern);
    remove->handler = handler; /* its reference is ours now */
    return AETHER_OK;
}

static aether_status is_handler_idle(struct ae_command *command)
{
    return ((struct handler_command *)command)->handler->running == 0 ? AETHER_OK : AETHER_BUSY;
}

static aether_status run_forget(struct ae_command *command)
{
    drop_handler(command->domain, ((struct handler_command *)command)->handler);
    return AETHER_OK;
}

aether_status aether_bus_unhandle_snapshots(aether_bus *bus, const char *pattern, bool wait)
{
    static const char call[] = "aether_bus_unhandle_snapshots";
    struct ae_full_name name;
    aether_status status = ae_bus_refuse(bus, call);
    if (status == AETHER_OK)
        status = ae_full_pattern(&name, bus, pattern, call);
    if (status != AETHER_OK)
        return status;
    struct handler_command remove = {.pattern = &name.subject};
    struct ae_domain *domain = bus->domain;
    status = ae_domain_run(domain, &remove.command, run_remove);
    if (status != AETHER_OK)
        return status;
    bool may_wait = ae_bus_callback_depth == 0;
    if (wait && may_wait)
        ae_domain_await_idle(domain, &remove.command, is_handler_idle);
    else if (wait && ae_domain_ask(domain, &remove.command, is_handler_idle) != AETHER_OK)
        status = ae_fail(AETHER_WOULD_BLOCK, "%s: the handler is running, and this is inside a callback", call);
    ae_domain_do(domain, &remove.command, run_forget);
    return status;
}

/* --------------------------------------------------------------------------------------------------------- lifetimes */

static void free_mark(struct ae_entry *entry, const aether_allocator *allocator)
{
    ae_free(allocator, entry, sizeof(struct ae_mark) + entry->subject.size, _Alignof(struct ae_mark));
}

void ae_snapshot_drop(struct aether_snapshot *snapshot)
{
    if (AE_SUB(B3_DROP, &snapshot->references, 1, acq_rel) != 1) /* B3: pairs with itself */
        return;
    aether_cursor_close(snapshot->live);
    aether_buffer_destroy(snapshot->buffer);
    ae_table_destroy(&snapshot->marks, free_mark);
    aether_allocator allocator = snapshot->allocator;
    ae_free(&allocator, snapshot, sizeof *snapshot, _Alignof(struct aether_snapshot));
}

static void hold(struct aether_snapshot *snapshot)
{
    AE_ADD(B3_HOLD, &snapshot->references, 1, relaxed); /* B3, relaxed: whoever adds one has one */
}

static struct aether_snapshot *allocate(struct ae_feed *feed, struct ae_handler *handler, const char *call)
{
    struct ae_domain *domain = feed->domain;
    aether_buffer_options options = {.allocator = &domain->allocator,
                                     .epoch = ae_domain_epoch(domain),
                                     .segment_bytes = domain->segment_bytes,
                                     .retain_bytes = UINT64_MAX,
                                     .spins = domain->spins};
    aether_cursor_options live = {
        .start = AETHER_FROM_NEXT, .on_limit = AETHER_LAP, .limit_bytes = handler->given.cache_bytes};
    struct aether_snapshot *snapshot = ae_alloc(&domain->allocator, sizeof *snapshot, _Alignof(struct aether_snapshot));
    if (snapshot == NULL) {
        (void)ae_fail(AETHER_NO_MEMORY, "%s: no memory for a snapshot", call);
        return NULL;
    }
    memset(snapshot, 0, sizeof *snapshot);
    snapshot->allocator = domain->allocator;
    snapshot->references = 1;
    ae_table_init(&snapshot->marks, &snapshot->allocator);
    snapshot->buffer = aether_buffer_create(&options);
    if (snapshot->buffer != NULL)
        snapshot->live = aether_cursor_open_with(feed->buffer, &live);
    if (snapshot->live != NULL)
        return snapshot;
    ae_snapshot_drop(snapshot);
    return NULL;
}

static void link_in(struct aether_snapshot *snapshot)
{
    struct ae_domain *domain = snapshot->domain;
    snapshot->next = domain->first_snapshot;
    if (snapshot->next != NULL)
        snapshot->next->previous = snapshot;
    domain->first_snapshot = snapshot;
}

static void unlink_from(struct ae_domain *domain, struct aether_snapshot *snapshot)
{
    *(snapshot->previous != NULL ? &snapshot->previous->next : &domain->first_snapshot) = snapshot->next;
    if (snapshot->next != NULL)
        snapshot->next->previous = snapshot->previous;
}

/* Nobody joins the one that the feed knows any more. */
static void detach(struct ae_feed *feed)
{
    struct aether_snapshot *snapshot = feed->snapshot;
    if (snapshot == NULL)
        return;
    if (snapshot->is_ready)
        unlink_from(feed->domain, snapshot);
    feed->snapshot = NULL;
    ae_snapshot_drop(snapshot);
}

static struct aether_snapshot *begin(struct ae_feed *feed, struct ae_handler *handler, const char *call)
{
    struct aether_snapshot *snapshot = allocate(feed, handler, call);
    if (snapshot == NULL)
        return NULL;
    struct ae_domain *domain = feed->domain;
    snapshot->domain = domain;
    snapshot->feed = feed;
    snapshot->handler = handler;
    snapshot->by_subject = handler->given.by_subject;
    snapshot->on_pool = handler->given.on_pool;
    snapshot->cache_bytes = handler->given.cache_bytes;
    snapshot->number = ++domain->snapshots_begun;
    snapshot->epoch = ae_domain_epoch(domain);
    snapshot->live_events = ae_buffer_events(feed->buffer);
    snapshot->live_items = ae_buffer_items(feed->buffer);
    snapshot->live_bytes = ae_writer_bytes(feed->buffer);
    snapshot->least_index = ae_buffer_items(feed->buffer) != 0 ? ae_buffer_index(feed->buffer) : 0;
    if (feed->snapshot_index > snapshot->least_index)
        snapshot->least_index = feed->snapshot_index;
    snapshot->due = handler->given.deadline_ns > 0 ? ae_deadline(handler->given.deadline_ns) : AETHER_FOREVER;
    hold(snapshot); /* it is being made */
    ae_domain_hold(domain);
    ae_feed_hold(feed);
    handler->references++;
    handler->running++;
    domain->makers++;
    link_in(snapshot);
    detach(feed);
    feed->snapshot = snapshot;
    return snapshot;
}

static bool is_of_use(const struct ae_feed *feed, uint64_t least_events)
{
    const struct aether_snapshot *snapshot = feed->snapshot;
    if (snapshot == NULL || snapshot->live_events < least_events)
        return false;
    return !snapshot->is_ready ||
           (snapshot->due > ae_clock.now() && ae_writer_bytes(feed->buffer) - snapshot->live_bytes <= snapshot->cache_bytes);
}

struct aether_snapshot *ae_snapshot_join(struct ae_feed *feed, struct ae_handler *handler, uint64_t least_events,
                                         bool *is_new, const char *call)
{
    bool joins = is_of_use(feed, least_events);
    struct aether_snapshot *snapshot = joins ? feed->snapshot : begin(feed, handler, call);
    *is_new = !joins && snapshot != NULL;
    if (snapshot == NULL)
        return NULL;
    feed->domain->counters.snapshots_shared += joins;
    hold(snapshot);
    return snapshot;
}

/* Whoever makes it is told to stop. */
static void cancel(struct aether_snapshot *snapshot, aether_status reason)
{
    uint32_t none = 0;
    (void)AE_CAS(B4_CANCEL, &snapshot->cancelled, &none, (uint32_t)reason, release, relaxed); /* B4: the first one counts */
}

void ae_snapshot_cancel(struct ae_feed *feed, aether_status reason)
{
    if (feed->snapshot != NULL)
        cancel(feed->snapshot, reason);
    detach(feed);
}

/* Its deadline has passed: those who read it are told, whatever the handler does. */
static void give_up(struct aether_snapshot *snapshot, uint32_t *stuck)
{
    struct ae_feed *feed = snapshot->feed;
    cancel(snapshot, AETHER_FAILED);
    snapshot->due = AETHER_FOREVER;
    snapshot->is_stuck = snapshot->on_pool;
    *stuck += snapshot->on_pool;
    ae_feed_close_readers(feed, snapshot, AETHER_FAILED);
    feed->domain->counters.snapshots_failed++;
    if (feed->snapshot == snapshot)
        detach(feed);
}

int64_t ae_snapshots_sweep(struct ae_domain *domain, int64_t now, uint32_t *stuck)
{
    int64_t due = AETHER_FOREVER;
    for (struct aether_snapshot *snapshot = domain->first_snapshot, *next; snapshot != NULL; snapshot = next) {
        next = snapshot->next;
        if (snapshot->is_ready && (snapshot->due <= now || !is_of_use(snapshot->cached_by, 0)))
            detach(snapshot->cached_by);
        else if (snapshot->due <= now)
            give_up(snapshot, stuck);
        else
            due = snapshot->due < due ? snapshot->due : due;
    }
    return due;
}

/* ------------------------------------------------------------------------------------------------------------- making */

struct finish_command {
    struct ae_command command;
    struct aether_snapshot *snapshot;
    aether_status made; /* the handler's answer */
    uint64_t index;
    int64_t due;
    bool was_stuck;
};

/* What is wrong with the handler's answer; the text is for its watchers. */
static aether_status judge(const struct finish_command *finish)
{
    const struct aether_snapshot *snapshot = finish->snapshot;
    const struct ae_domain *domain = snapshot->domain;
    const char *pattern = snapshot->feed->pattern;
    unsigned long long index = finish->index, newest = ae_domain_index(domain);
    uint32_t cancelled = AE_LOAD(B4_LOAD, &snapshot->cancelled, acquire); /* B4: pairs with B4_CANCEL */
    if (cancelled == 0 && snapshot->feed->is_retired)
        cancelled = domain->is_shut_down ? AETHER_SHUT_DOWN : AETHER_RESET;
    if (cancelled == AETHER_FAILED)
        return ae_fail(AETHER_FAILED, "the snapshot of %.80s: not made in time", pattern);
    if (cancelled != 0)
        return ae_fail((aether_status)cancelled, "the snapshot of %.80s: %s", pattern,
                       aether_status_text((aether_status)cancelled));
    if (finish->made != AETHER_OK)
        return ae_fail(AETHER_FAILED, "the snapshot of %.80s: the handler answered \"%s\"", pattern,
                       aether_status_text(finish->made));
    if (index < snapshot->least_index && !snapshot->by_subject)
        return ae_fail(AETHER_FAILED,
                       "the snapshot of %.80s: its index %llu is below %llu, which had been published before it began",
                       pattern, index, (unsigned long long)snapshot->least_index);
    if (index > newest && domain->numbering == AE_DRAWN)
        return ae_fail(AETHER_FAILED, "the snapshot of %.80s: its index %llu is ahead of the newest, %llu", pattern, index,
                       newest);
    return AETHER_OK;
}

static void keep(struct ae_feed *feed, struct finish_command *finish)
{
    struct aether_snapshot *snapshot = finish->snapshot;
    feed->domain->counters.snapshots_made++;
    feed->domain->counters.snapshot_events += snapshot->events;
    if (!snapshot->by_subject)
        feed->snapshot_index = finish->index;
    snapshot->is_ready = true;
    snapshot->cached_by = feed;
    if (feed->snapshot == snapshot && snapshot->handler->given.cache_ns > 0)
        finish->due = snapshot->due = ae_deadline(snapshot->handler->given.cache_ns);
    else if (feed->snapshot == snapshot)
        detach(feed);
    else
        unlink_from(feed->domain, snapshot);
}

static aether_status run_finish(struct ae_command *command)
{
    struct finish_command *finish = (struct finish_command *)command;
    struct aether_snapshot *snapshot = finish->snapshot;
    struct ae_domain *domain = command->domain;
    struct ae_feed *feed = snapshot->feed;
    finish->due = AETHER_FOREVER;
    aether_status status = judge(finish);
    if (status == AETHER_OK) {
        keep(feed, finish);
    } else {
        domain->counters.snapshots_failed += AE_LOAD(B4_LOAD, &snapshot->cancelled, relaxed) == 0; /* B4: the role's own */
        unlink_from(domain, snapshot);
        if (feed->snapshot == snapshot)
            detach(feed);
    }
    finish->was_stuck = snapshot->is_stuck;
    snapshot->handler->running--;
    domain->makers--;
    snapshot->feed = NULL;
    ae_feed_drop(feed);
    return status;
}

/* The end mark, as it will stand behind the events; its index is still to come. NULL: no memory. */
static void *reserve_end(struct aether_snapshot *snapshot)
{
    void *data = NULL;
    if (aether_reserve(snapshot->buffer, sizeof(struct ae_event_head), &data) != AETHER_OK)
        return NULL;
    return data;
}

static void write_end(struct aether_snapshot *snapshot, void *data, uint64_t index)
{
    const aether_event mark = {.kind = AETHER_EVENT_SNAPSHOT_END};
    (void)ae_event_encode(data, &mark, (aether_text){NULL, 0}, index);
    aether_status status = aether_commit(snapshot->buffer, sizeof(struct ae_event_head));
    AE_ASSERT(status == AETHER_OK);
}

/* The watchers go on in the feed, or are told why not. */
static void complete(struct aether_snapshot *snapshot, void *end, uint64_t index)
{
    write_end(snapshot, end, index);
    aether_status status = aether_buffer_splice(snapshot->buffer, snapshot->live);
    if (status == AETHER_OK) {
        snapshot->live = NULL;
        return;
    }
    status = aether_buffer_end(snapshot->buffer, AETHER_RESET); /* the feed is gone: so are they, or will be */
    AE_ASSERT(status == AETHER_OK);
}

static void fail(struct aether_snapshot *snapshot, void *end, aether_status status)
{
    if (end != NULL)
        ae_writer_abandon(snapshot->buffer);
    status = aether_buffer_end(snapshot->buffer, status);
    AE_ASSERT(status == AETHER_OK);
}

/* `made`: the handler's answer. */
static void finish(struct aether_snapshot *snapshot, aether_status made, uint64_t index)
{
    struct ae_domain *domain = snapshot->domain;
    struct ae_handler *handler = snapshot->handler;
    void *end = made == AETHER_OK ? reserve_end(snapshot) : NULL;
    struct finish_command finish = {
        .snapshot = snapshot, .made = made == AETHER_OK && end == NULL ? AETHER_NO_MEMORY : made, .index = index};
    aether_status status = ae_domain_ask(domain, &finish.command, run_finish);
    if (status == AETHER_OK) {
        complete(snapshot, end, index);
    } else {
        snapshot->failure = finish.command.failure;
        ae_log(AETHER_LOG_WARNING, snapshot->failure.text);
        fail(snapshot, end, status);
    }
    if (finish.due != AETHER_FOREVER)
        ae_crew_expect(domain->crew, finish.due);
    if (finish.was_stuck)
        ae_crew_one_is_free(domain->crew);
    struct handler_command forget = {.handler = handler};
    ae_domain_do(domain, &forget.command, run_forget);
    ae_domain_tell_idle(domain);
    ae_snapshot_drop(snapshot);
    ae_domain_drop(domain);
}

static void work(struct ae_job *job)
{
    struct aether_snapshot *snapshot = (struct aether_snapshot *)job;
    const struct ae_handler *handler = snapshot->handler;
    uint64_t index = 0;
    aether_status made = AETHER_CANCELLED;
    if (AE_LOAD(B4_LOAD, &snapshot->cancelled, acquire) == 0) { /* B4: pairs with B4_CANCEL */
        ae_bus_callback_enter();
        made = handler->given.make(snapshot, snapshot->feed->pattern + handler->prefix_size, &index, handler->given.user);
        ae_bus_callback_leave();
    }
    finish(snapshot, made, index);
}

void ae_snapshot_make(struct aether_snapshot *snapshot, const char *call)
{
    snapshot->job.work = work;
    int64_t deadline_ns = snapshot->handler->given.deadline_ns;
    if (deadline_ns > 0)
        ae_crew_expect(snapshot->domain->crew, ae_deadline(deadline_ns));
    if (!snapshot->handler->given.on_pool)
        work(&snapshot->job);
    else if (ae_crew_submit(snapshot->domain->crew, &snapshot->job, call) != AETHER_OK)
        finish(snapshot, aether_error_status(), 0);
}

/* ---------------------------------------------------------------------------------------------------------- appending */

/* The index that the snapshot has of the subject. */
static aether_status set_mark(struct aether_snapshot *snapshot, aether_text subject, uint64_t index, const char *call)
{
    uint64_t hash = ae_table_hash(subject);
    struct ae_mark *mark = (struct ae_mark *)ae_table_find(&snapshot->marks, subject, hash);
    if (mark != NULL) {
        mark->index = index > mark->index ? index : mark->index;
        return AETHER_OK;
    }
    mark = ae_alloc(&snapshot->allocator, sizeof *mark + subject.size, _Alignof(struct ae_mark));
    if (mark != NULL) {
        *mark = (struct ae_mark){.entry = {.hash = hash, .subject = {mark->subject, subject.size}}, .index = index};
        memcpy(mark->subject, subject.data, subject.size);
        if (ae_table_add(&snapshot->marks, &mark->entry))
            return AETHER_OK;
        free_mark(&mark->entry, &snapshot->allocator);
    }
    return ae_fail(AETHER_NO_MEMORY, "%s: no memory for what the snapshot has of a subject", call);
}

uint64_t ae_snapshot_mark(const struct aether_snapshot *snapshot, aether_text subject)
{
    const struct ae_mark *mark = (const struct ae_mark *)ae_table_find(&snapshot->marks, subject, ae_table_hash(subject));
    return mark != NULL ? mark->index : 0;
}

/* An event of the program's, complete, with its full subject. */
struct entry {
    aether_event event;
    struct ae_full_name name;
};

static aether_status read_entry(struct aether_snapshot *snapshot, const unsigned char *from, size_t size,
                                struct entry *entry, const char *call)
{
    const struct ae_handler *handler = snapshot->handler;
    aether_event *event = &entry->event;
    *event = (aether_event){0};
    memcpy(event, from, size < sizeof *event ? size : sizeof *event);
    event->kind = AETHER_EVENT_SNAPSHOT;
    if (event->subject == NULL)
        return ae_fail(AETHER_INVALID, "%s: an event has no subject", call);
    size_t subject_size = event->subject_size != 0 ? event->subject_size : strlen(event->subject);
    size_t full = handler->prefix_size + subject_size;
    aether_status status = ae_event_complete(event, call);
    if (status != AETHER_OK)
        return status;
    if (full > AETHER_SUBJECT_MAX)
        return ae_fail(AETHER_INVALID, "%s: a subject of %zu bytes is over the limit", call, full);
    memcpy(entry->name.own, handler->pattern, handler->prefix_size);
    memcpy(entry->name.own + handler->prefix_size, event->subject, subject_size);
    status = ae_subject_parse(&entry->name.subject, entry->name.own, full, call);
    if (status == AETHER_OK && !ae_pattern_matches(ae_feed_pattern(snapshot->feed), entry->name.subject.text))
        return ae_fail(AETHER_INVALID, "%s: the subject %.60s is outside the pattern %.80s", call, event->subject,
                       snapshot->feed->pattern);
    return status;
}

static aether_status append(struct aether_snapshot *snapshot, const unsigned char *events, size_t count, size_t size,
                            const char *call)
{
    struct entry entry;
    aether_payload payload = {.events = count};
    for (size_t i = 0; i < count; i++) {
        aether_status status = read_entry(snapshot, events + i * size, size, &entry, call);
        if (status != AETHER_OK)
            return status;
        payload.size += ae_event_size(&entry.event, entry.name.subject.text.size);
    }
    void *data;
    aether_status status = aether_reserve_sized(snapshot->buffer, &payload, &data, sizeof payload);
    unsigned char *at = data;
    for (size_t i = 0; status == AETHER_OK && i < count; i++) {
        status = read_entry(snapshot, events + i * size, size, &entry, call);
        aether_text subject = entry.name.subject.text;
        if (status == AETHER_OK && snapshot->by_subject)
            status = set_mark(snapshot, subject, entry.event.subject_index, call);
        if (status == AETHER_OK)
            at = ae_event_encode(at, &entry.event, subject, entry.event.index);
        else
            ae_writer_abandon(snapshot->buffer);
    }
    if (status != AETHER_OK)
        return status;
    snapshot->events += count;
    return aether_commit(snapshot->buffer, payload.size);
}

aether_status aether_snapshot_append_sized(aether_snapshot *snapshot, const aether_event *events, size_t count, size_t size)
{
    static const char call[] = "aether_snapshot_append";
    if (snapshot == NULL || (events == NULL && count != 0))
        return ae_fail(AETHER_INVALID, "%s: the snapshot or the events are NULL", call);
    if (AE_LOAD(B4_LOAD, &snapshot->cancelled, acquire) != 0) /* B4: pairs with B4_CANCEL */
        return AETHER_CANCELLED;
    return count != 0 ? append(snapshot, (const unsigned char *)events, count, size, call) : AETHER_OK;
}
