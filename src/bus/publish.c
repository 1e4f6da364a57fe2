/*
 * Publishing.
 *
 * Under the role: what cannot be is refused first; then the feeds that match are found; in each the room is taken, with all
 * that can fail or would wait; then the events are written, once, and copied from feed to feed, or shared; then they are
 * published feed by feed; and last of all the newest index says so.
 */
#include "bus/publish.h"

#include "base/clock.h"
#include "base/process.h"
#include "bus/callback.h"
#include "bus/event.h"
#include "bus/feed.h"

enum {
    KEPT = AE_MUST_WAIT - 1, /* a status of this file's own: it stands in a line */
    EVENTS_ON_STACK = 16     /* of a batch that have to be completed */
};

/* ------------------------------------------------------------------------------------------------------- what matches */

/* Looks the topic's feeds up again, if they may be others by now. */
static __attribute__((noinline)) aether_status match(struct ae_publish *publish, struct aether_topic *topic,
                                                     uint64_t generation)
{
    struct ae_domain *domain = publish->domain;
    struct ae_subject subject;
    aether_status status = ae_subject_parse(&subject, topic->subject, topic->size, publish->call);
    AE_ASSERT(status == AETHER_OK);
    bool no_memory = false;
    topic->foreign = ae_domain_is_foreign(domain, &subject, &no_memory);
    if (no_memory || !ae_trie_match(&domain->feeds, &subject, &domain->matches) ||
        !ae_topic_reserve(&domain->topics, topic, domain->matches.count))
        return ae_fail(AETHER_NO_MEMORY, "%s: no memory for what matches the subject", publish->call);
    topic->count = (uint32_t)domain->matches.count;
    for (size_t i = 0; i < topic->count; i++)
        topic->feeds[i] = domain->matches.values[i];
    topic->generation = generation;
    return AETHER_OK;
}

static inline uint64_t generation_of(const struct ae_domain *domain, const struct aether_topic *topic)
{
    return ae_trie_generation(&domain->feeds, topic->first_hash) + domain->generation;
}

/* The topic of event number `at`, with its feeds as they are now. NULL: why not is in *status. */
static inline struct aether_topic *look_up(struct ae_publish *publish, size_t at, aether_status *status)
{
    struct ae_domain *domain = publish->domain;
    struct aether_topic *topic = publish->topic;
    if (topic == NULL) {
        const struct ae_subject *subject = publish->subjects != NULL ? &publish->subjects[at] : publish->subject;
        topic = ae_topics_get(&domain->topics, domain, subject);
        if (AE_UNLIKELY(topic == NULL)) {
            *status = ae_fail(AETHER_NO_MEMORY, "%s: no memory for a subject", publish->call);
            return NULL;
        }
    }
    uint64_t generation = generation_of(domain, topic);
    *status = AETHER_OK;
    if (AE_UNLIKELY(topic->generation != generation))
        *status = match(publish, topic, generation);
    if (AE_UNLIKELY(*status == AETHER_OK && topic->foreign))
        *status = ae_fail(AETHER_INVALID, "%s: the subject %.60s is of a namespace that is an order of its own",
                          publish->call, topic->subject);
    return AE_LIKELY(*status == AETHER_OK) ? topic : NULL;
}

/* -------------------------------------------------------------------------------------------------------------- lines */

static void stand_in(struct ae_line *line, struct ae_publish *publish)
{
    publish->kept_in = line;
    publish->behind = NULL;
    *(line->last != NULL ? &line->last->behind : &line->first) = publish;
    line->last = publish;
}

static struct ae_publish *take_first(struct ae_line *line)
{
    struct ae_publish *publish = line->first;
    if (publish != NULL) {
        line->first = publish->behind;
        if (line->first == NULL)
            line->last = NULL;
        publish->kept_in = NULL;
    }
    return publish;
}

static void take_out(struct ae_publish *publish)
{
    struct ae_line *line = publish->kept_in;
    struct ae_publish *before = NULL, *at = line->first;
    for (; at != publish; at = at->behind)
        before = at;
    *(before != NULL ? &before->behind : &line->first) = publish->behind;
    if (line->last == publish)
        line->last = before;
    publish->kept_in = NULL;
}

/* It must wait for the feed's room, and is the one of its line that does. */
static void become_active(struct ae_publish *publish, struct ae_feed *feed)
{
    struct ae_domain *domain = publish->domain;
    publish->room = feed->buffer->wanted_room;
    publish->awaited = feed;
    publish->line = domain->numbering == AE_GIVEN || publish->index != 0 ? &domain->line : &feed->line;
    publish->line->active = publish;
    ae_feed_await(feed);
    domain->counters.waits++;
}

/* ------------------------------------------------------------------------------------------------------------- refusals */

static aether_status refuse_numbering(struct ae_publish *publish)
{
    return publish->index != 0 ? ae_fail(AETHER_INVALID, "%s: an index is given, and this bus draws them", publish->call)
                               : ae_fail(AETHER_INVALID, "%s: no index is given, as those before were", publish->call);
}

/* What cannot be; *index: under which it will stand. */
static inline aether_status check(struct ae_publish *publish, uint64_t *index)
{
    struct ae_domain *domain = publish->domain;
    uint64_t newest = ae_domain_index(domain);
    if (AE_UNLIKELY(domain->is_shut_down))
        return ae_domain_refuse(domain, publish->call);
    if (AE_UNLIKELY(publish->epoch != 0 && publish->epoch != ae_domain_epoch(domain)))
        return ae_fail(AETHER_STALE_EPOCH, "%s: the epoch %llx is over, it is %llx now", publish->call,
                       (unsigned long long)publish->epoch, (unsigned long long)ae_domain_epoch(domain));
    if (AE_UNLIKELY(domain->numbering != AE_UNDECIDED && (domain->numbering == AE_GIVEN) != (publish->index != 0)))
        return refuse_numbering(publish);
    *index = publish->index != 0 ? publish->index : newest + 1;
    if (AE_UNLIKELY(*index <= newest))
        return ae_fail(AETHER_INDEX_ORDER, "%s: index %llu is not above the newest, %llu", publish->call,
                       (unsigned long long)*index, (unsigned long long)newest);
    return AETHER_OK;
}

/* ----------------------------------------------------------------------------------------------------------- publishing */

static inline void stands(struct ae_publish *publish, uint64_t index, uint64_t appended)
{
    struct ae_domain *domain = publish->domain;
    if (AE_UNLIKELY(domain->numbering == AE_UNDECIDED))
        domain->numbering = publish->index != 0 ? AE_GIVEN : AE_DRAWN;
    domain->counters.published += publish->count;
    domain->counters.batches++;
    domain->counters.appended += appended;
    ae_domain_set_newest(domain, index);
}

/* The usual case: one event, one feed. */
static inline aether_status publish_one(struct ae_publish *publish, const struct aether_topic *topic, uint64_t index)
{
    struct ae_feed *feed = topic->feeds[0];
    if (AE_UNLIKELY(feed->line.active != NULL)) {
        stand_in(&feed->line, publish);
        return KEPT;
    }
    aether_payload payload = {.size = ae_event_size(publish->events, topic->size), .index = index};
    void *data;
    aether_status status = ae_prepare(feed->buffer, &payload, &data, publish->call);
    if (AE_UNLIKELY(status != AETHER_OK)) {
        if (status == AE_MUST_WAIT)
            become_active(publish, feed);
        return status;
    }
    (void)ae_event_encode(data, publish->events, ae_topic_text(topic), index);
    ae_prepared_commit(feed->buffer);
    stands(publish, index, 1);
    return AETHER_OK;
}

static void add_to_feed(struct ae_publish *publish, struct ae_feed *feed, size_t size, size_t count)
{
    if (feed->batch_events == 0) {
        feed->next_in_batch = publish->feeds;
        publish->feeds = feed;
    }
    feed->batch_bytes += size;
    feed->batch_events += count;
}

static void forget_batch(struct ae_publish *publish)
{
    for (struct ae_feed *feed = publish->feeds; feed != NULL; feed = feed->next_in_batch)
        feed->batch_bytes = feed->batch_events = 0;
    publish->feeds = NULL;
}

/* `count` events of one topic, which take `size` bytes. */
static void add_events(struct ae_publish *publish, const struct aether_topic *topic, size_t size, size_t count,
                       uint64_t *appended, uint64_t *unmatched)
{
    for (size_t i = 0; i < topic->count; i++)
        add_to_feed(publish, topic->feeds[i], size, count);
    *appended += topic->count * count;
    *unmatched += topic->count == 0 ? count : 0;
}

/* Which feeds get how much. *unmatched: events that none does. */
static aether_status add_up(struct ae_publish *publish, uint64_t *appended, uint64_t *unmatched)
{
    aether_status status = AETHER_OK;
    if (publish->subjects == NULL) {
        const struct aether_topic *topic = look_up(publish, 0, &status);
        size_t size = 0;
        for (size_t at = 0; topic != NULL && at < publish->count; at++)
            size += ae_event_size(&publish->events[at], topic->size);
        if (topic != NULL)
            add_events(publish, topic, size, publish->count, appended, unmatched);
        return status;
    }
    for (size_t at = 0; at < publish->count; at++) {
        const struct aether_topic *topic = look_up(publish, at, &status);
        if (topic == NULL)
            return status;
        add_events(publish, topic, ae_event_size(&publish->events[at], topic->size), 1, appended, unmatched);
    }
    return AETHER_OK;
}

/* One block of encoded events that stands in several feeds. */
struct blob {
    aether_allocator allocator;
    uint32_t references; /* atomic: B3 */
    size_t size;
    _Alignas(16) unsigned char bytes[];
};

static void release_blob(void *data, size_t size, void *user)
{
    (void)data;
    (void)size;
    struct blob *blob = user;
    if (AE_SUB(B3_DROP, &blob->references, 1, acq_rel) != 1) /* B3: pairs with itself */
        return;
    aether_allocator allocator = blob->allocator;
    ae_free(&allocator, blob, sizeof *blob + blob->size, _Alignof(struct blob));
}

/* NULL: they are not to be shared; *no_memory tells where that fails. */
static struct blob *make_blob(const struct ae_publish *publish, bool *no_memory)
{
    const struct ae_feed *first = publish->feeds;
    struct ae_domain *domain = publish->domain;
    if (publish->subjects != NULL || first->next_in_batch == NULL || first->batch_bytes < domain->share_bytes)
        return NULL;
    struct blob *blob = ae_alloc(&domain->allocator, sizeof *blob + first->batch_bytes, _Alignof(struct blob));
    *no_memory = blob == NULL;
    if (blob != NULL)
        *blob = (struct blob){.allocator = domain->allocator, .references = 1, .size = first->batch_bytes};
    return blob;
}

static void abandon_all(const struct ae_publish *publish, const struct ae_feed *end)
{
    for (const struct ae_feed *feed = publish->feeds; feed != end; feed = feed->next_in_batch)
        ae_writer_abandon(feed->buffer);
}

/* Takes the room in all feeds, or in none. */
static aether_status prepare_all(struct ae_publish *publish, struct blob *blob, uint64_t index)
{
    for (struct ae_feed *feed = publish->feeds; feed != NULL; feed = feed->next_in_batch)
        if (feed->line.active != NULL) {
            stand_in(&feed->line, publish);
            return KEPT;
        }
    for (struct ae_feed *feed = publish->feeds; feed != NULL; feed = feed->next_in_batch) {
        aether_payload payload = {.size = feed->batch_bytes, .index = index, .events = feed->batch_events};
        if (blob != NULL) {
            payload.data = blob->bytes;
            payload.release = release_blob;
            payload.user = blob;
        }
        void *data;
        aether_status status = ae_prepare(feed->buffer, &payload, &data, publish->call);
        if (status != AETHER_OK) {
            abandon_all(publish, feed);
            if (status == AE_MUST_WAIT)
                become_active(publish, feed);
            return status;
        }
        feed->batch_at = data;
    }
    return AETHER_OK;
}

/* Writes the events into the blob, or into each feed's room. What does not differ is encoded once. */
static aether_status write_all(struct ae_publish *publish, struct blob *blob, uint64_t index)
{
    unsigned char *first = blob != NULL ? blob->bytes : publish->feeds->batch_at;
    if (publish->subjects == NULL) {
        aether_status status;
        const struct aether_topic *topic = look_up(publish, 0, &status);
        unsigned char *at = first;
        for (size_t i = 0; topic != NULL && i < publish->count; i++)
            at = ae_event_encode(at, &publish->events[i], ae_topic_text(topic), index);
        for (const struct ae_feed *feed = publish->feeds->next_in_batch; blob == NULL && feed != NULL;
             feed = feed->next_in_batch)
            memcpy(feed->batch_at, first, (size_t)(at - first));
        return status;
    }
    for (size_t i = 0; i < publish->count; i++) {
        aether_status status;
        const struct aether_topic *topic = look_up(publish, i, &status); /* it may have been forgotten meanwhile */
        if (topic == NULL)
            return status;
        for (size_t k = 0; k < topic->count; k++)
            topic->feeds[k]->batch_at =
                ae_event_encode(topic->feeds[k]->batch_at, &publish->events[i], ae_topic_text(topic), index);
    }
    return AETHER_OK;
}

static void commit_all(struct ae_publish *publish, struct blob *blob)
{
    for (struct ae_feed *feed = publish->feeds; feed != NULL; feed = feed->next_in_batch) {
        if (blob != NULL)
            AE_ADD(B3_HOLD, &blob->references, 1, relaxed); /* B3, relaxed: we have one */
        ae_prepared_commit(feed->buffer);
    }
    if (blob != NULL)
        publish->domain->counters.shared += publish->count;
}

static aether_status append_all(struct ae_publish *publish, uint64_t index)
{
    bool no_memory = false;
    struct blob *blob = make_blob(publish, &no_memory);
    aether_status status = AETHER_OK;
    if (no_memory)
        status = ae_fail(AETHER_NO_MEMORY, "%s: no memory for what several feeds share", publish->call);
    if (status == AETHER_OK)
        status = prepare_all(publish, blob, index);
    if (status == AETHER_OK) {
        status = write_all(publish, blob, index);
        if (status == AETHER_OK)
            commit_all(publish, blob);
        else
            abandon_all(publish, NULL);
    }
    if (blob != NULL)
        release_blob(NULL, 0, blob);
    return status;
}

static __attribute__((noinline)) aether_status publish_several(struct ae_publish *publish, uint64_t index)
{
    uint64_t appended = 0, unmatched = 0;
    publish->feeds = NULL;
    aether_status status = add_up(publish, &appended, &unmatched);
    if (status == AETHER_OK && publish->feeds != NULL)
        status = append_all(publish, index);
    forget_batch(publish);
    if (status != AETHER_OK)
        return status;
    publish->domain->counters.unmatched += unmatched;
    stands(publish, index, appended);
    return AETHER_OK;
}

static inline aether_status attempt(struct ae_publish *publish)
{
    struct ae_domain *domain = publish->domain;
    struct ae_line *line = &domain->line;
    if (AE_UNLIKELY(line->active != NULL)) {
        stand_in(line, publish);
        return KEPT;
    }
    uint64_t index = 0;
    aether_status status = check(publish, &index);
    if (AE_UNLIKELY(status != AETHER_OK))
        return status;
    if (AE_UNLIKELY(domain->is_disabled)) {
        domain->counters.unmatched += publish->count;
        stands(publish, index, 0);
        return AETHER_OK;
    }
    if (AE_UNLIKELY(publish->count != 1))
        return publish_several(publish, index);
    const struct aether_topic *topic = look_up(publish, 0, &status);
    if (AE_UNLIKELY(topic == NULL))
        return status;
    if (AE_UNLIKELY(topic->count > 1))
        return publish_several(publish, index);
    if (topic->count == 1)
        return publish_one(publish, topic, index);
    domain->counters.unmatched++;
    stands(publish, index, 0);
    return AETHER_OK;
}

/* What the attempt fails in is told by the publisher's own thread. */
static aether_status attempt_for(struct ae_publish *publish)
{
    struct ae_failure *before = ae_fail_into(&publish->failure);
    publish->status = attempt(publish);
    (void)ae_fail_into(before);
    if (publish->status > AETHER_OK)
        publish->domain->counters.refused++;
    return publish->status;
}

/* The active one is done: those behind it come up, until one has to wait itself. */
static void call_next(struct ae_line *line)
{
    struct ae_publish *publish;
    while (line->active == NULL && (publish = take_first(line)) != NULL)
        if (attempt_for(publish) != KEPT)
            ae_request_finish(&publish->request);
}

static bool perform(struct ae_request *request)
{
    struct ae_publish *publish = (struct ae_publish *)request;
    struct ae_line *line = publish->line;
    struct ae_feed *awaited = publish->awaited;
    if (line != NULL)
        line->active = NULL;
    publish->line = NULL;
    publish->awaited = NULL;
    bool kept = false;
    if (publish->gives_up)
        publish->domain->counters.refused++;
    else
        kept = attempt_for(publish) == KEPT;
    if (line != NULL) {
        call_next(line);
        ae_feed_await_no_more(awaited); /* last of all: the line may stand in it */
    }
    return !kept;
}

/* ---------------------------------------------------------------------------------------------------- outside the role */

struct withdrawal {
    struct ae_command command;
    struct ae_publish *publish;
};

static aether_status withdraw(struct ae_command *command)
{
    struct ae_publish *publish = ((struct withdrawal *)command)->publish;
    if (ae_request_is_finished(&publish->request))
        return AETHER_OK;
    command->domain->counters.refused++;
    take_out(publish);
    publish->status = ae_fail(AETHER_TIMEOUT, "%s: others still wait for room before this", publish->call);
    return publish->status;
}

/* Has it performed; true: it is done, or has to await room. */
static void perform_until(struct ae_publish *publish, int64_t deadline)
{
    publish->request.perform = perform;
    publish->kept_in = NULL;
    if (ae_role_perform_until(&publish->domain->role, &publish->request, deadline))
        return;
    struct withdrawal withdrawal = {.publish = publish};
    if (ae_domain_ask(publish->domain, &withdrawal.command, withdraw) != AETHER_OK)
        publish->failure = withdrawal.command.failure;
}

/* Waits for room and comes again, as often as need be. */
static __attribute__((noinline)) aether_status publish_slowly(struct ae_publish *publish)
{
    int64_t deadline = ae_deadline(publish->domain->publish_wait_ns);
    if (ae_bus_callback_depth != 0)
        deadline = ae_clock.now();
    if (publish->status == KEPT)
        perform_until(publish, deadline);
    while (publish->status == AE_MUST_WAIT) {
        struct ae_failure *before = ae_fail_into(&publish->failure);
        aether_status status = ae_room_await(publish->awaited->buffer, &publish->room, deadline, publish->call);
        (void)ae_fail_into(before);
        publish->gives_up = status != AETHER_OK && status != AETHER_CANCELLED;
        if (publish->gives_up)
            publish->status = status;
        perform_until(publish, publish->gives_up ? AETHER_FOREVER : deadline);
        publish->gives_up = false;
    }
    if (publish->status == AETHER_TIMEOUT && ae_bus_callback_depth != 0)
        return ae_fail(AETHER_WOULD_BLOCK, "%s: it would wait for a subscription, inside a callback", publish->call);
    return publish->status == AETHER_OK ? AETHER_OK : ae_fail_again(&publish->failure);
}

/* With the role at once, if it is free. */
static inline aether_status publish_now(struct ae_publish *publish)
{
    struct ae_domain *domain = publish->domain;
    publish->line = NULL;
    publish->awaited = NULL;
    publish->gives_up = false;
    publish->status = KEPT; /* until it is attempted: it goes as a request */
    if (AE_LIKELY(ae_role_try_take(&domain->role))) {
        publish->status = attempt(publish);
        if (AE_UNLIKELY(publish->status > AETHER_OK))
            domain->counters.refused++;
        else if (AE_UNLIKELY(publish->status == KEPT))
            take_out(publish);
        ae_role_leave(&domain->role);
    }
    return AE_LIKELY(publish->status >= AETHER_OK) ? publish->status : publish_slowly(publish);
}

/* ------------------------------------------------------------------------------------------------------------ the events */

/* Copies of a program's events, complete. */
struct copies {
    const aether_event *events; /* the program's own, `made`, or `own` */
    aether_event *made;         /* from the allocator, or NULL */
    size_t count;
    uint64_t index, epoch; /* of all of them */
    aether_event own[EVENTS_ON_STACK];
};

static void free_copies(struct copies *copies, const struct ae_domain *domain)
{
    if (copies->made != NULL)
        ae_free(&domain->allocator, copies->made, copies->count * sizeof *copies->made, _Alignof(aether_event));
}

/* Whether they can be taken as they are. */
static bool are_complete(const aether_event *events, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!ae_event_is_complete(&events[i]) || (events[i].index != events->index && events[i].index != 0))
            return false;
    return true;
}

static aether_status copy_event(struct copies *copies, aether_event *event, size_t at, const unsigned char *from,
                                size_t size, const char *call)
{
    *event = (aether_event){0};
    memcpy(event, from, size < sizeof *event ? size : sizeof *event);
    if (event->kind != AETHER_EVENT_LIVE && event->kind != AETHER_EVENT_SNAPSHOT)
        return ae_fail(AETHER_INVALID, "%s: event %zu is a mark, of kind %d", call, at, event->kind);
    event->kind = AETHER_EVENT_LIVE;
    if (at == 0) {
        copies->index = event->index;
        copies->epoch = event->epoch;
    }
    if (event->index != copies->index && event->index != 0)
        return ae_fail(AETHER_INVALID, "%s: event %zu has index %llu, the first one %llu: a batch has one index", call, at,
                       (unsigned long long)event->index, (unsigned long long)copies->index);
    return ae_event_complete(event, call);
}

/* `count` events whose own size is `size`; only `count` above EVENTS_ON_STACK needs memory, and only what is not complete.
 */
static aether_status copy_events(struct copies *copies, const struct ae_domain *domain, const aether_event *events,
                                 size_t count, size_t size, const char *call)
{
    copies->made = NULL;
    copies->count = count;
    copies->index = events->index;
    copies->epoch = events->epoch;
    copies->events = events;
    if (size == sizeof *events && are_complete(events, count))
        return AETHER_OK;
    aether_event *to = copies->own;
    if (count > EVENTS_ON_STACK && count <= SIZE_MAX / sizeof *events)
        to = copies->made = ae_alloc(&domain->allocator, count * sizeof *events, _Alignof(aether_event));
    if (to == NULL || (count > EVENTS_ON_STACK && copies->made == NULL))
        return ae_fail(AETHER_NO_MEMORY, "%s: no memory for %zu events", call, count);
    copies->events = to;
    const unsigned char *from = (const unsigned char *)events;
    aether_status status = AETHER_OK;
    for (size_t i = 0; status == AETHER_OK && i < count; i++)
        status = copy_event(copies, &to[i], i, from + i * size, size, call);
    if (status != AETHER_OK)
        free_copies(copies, domain);
    return status;
}

static void take_batch(struct ae_publish *publish, const struct copies *copies)
{
    publish->events = copies->events;
    publish->count = copies->count;
    publish->index = copies->index;
    publish->epoch = copies->epoch;
}

/* One event, as it is or as a copy. */
static __attribute__((noinline)) aether_status publish_copy(struct ae_publish *publish, const aether_event *event,
                                                            size_t size)
{
    struct copies copies;
    aether_status status = copy_events(&copies, publish->domain, event, 1, size, publish->call);
    if (status != AETHER_OK)
        return status;
    take_batch(publish, &copies);
    return publish_now(publish);
}

static inline aether_status publish_event(struct ae_publish *publish, const aether_event *event, size_t size)
{
    if (AE_UNLIKELY(event == NULL))
        return ae_fail(AETHER_INVALID, "%s: the event is NULL", publish->call);
    publish->count = 1;
    publish->subjects = NULL;
    if (AE_UNLIKELY(size != sizeof *event || !ae_event_is_complete(event)))
        return publish_copy(publish, event, size);
    publish->events = event;
    publish->index = event->index;
    publish->epoch = event->epoch;
    return publish_now(publish);
}

/* ----------------------------------------------------------------------------------------------------- public calls */

aether_status aether_publish_sized(aether_bus *bus, const char *subject, const aether_event *event, size_t size)
{
    static const char call[] = "aether_publish";
    struct ae_publish publish;
    struct ae_full_name name;
    aether_status status = ae_bus_refuse(bus, call);
    if (AE_UNLIKELY(status != AETHER_OK))
        return status;
    status = ae_full_subject(&name, bus, subject, subject != NULL ? strlen(subject) : 0, call);
    if (AE_UNLIKELY(status != AETHER_OK))
        return status;
    publish.domain = bus->domain;
    publish.call = call;
    publish.topic = NULL;
    publish.subject = &name.subject;
    return publish_event(&publish, event, size);
}

/* Subjects with the namespace's prefix, one behind another. */
struct names {
    struct ae_subject *subjects;
    size_t bytes; /* of the block */
};

static size_t subject_size(const aether_event *event)
{
    return event->subject_size == 0 && event->subject != NULL ? strlen(event->subject) : event->subject_size;
}

static aether_status parse_names(struct names *names, const aether_bus *bus, const struct copies *copies, const char *call)
{
    size_t count = copies->count, bytes = count * sizeof *names->subjects;
    for (size_t i = 0; i < count; i++) {
        bytes += bus->prefix_size + subject_size(&copies->events[i]);
    }
    names->bytes = bytes;
    names->subjects = ae_alloc(&bus->domain->allocator, bytes, _Alignof(struct ae_subject));
    if (names->subjects == NULL)
        return ae_fail(AETHER_NO_MEMORY, "%s: no memory for the subjects of %zu events", call, count);
    char *text = (char *)(names->subjects + count);
    for (size_t i = 0; i < count; i++) {
        const aether_event *event = &copies->events[i];
        struct ae_full_name name;
        aether_status status = ae_full_subject(&name, bus, event->subject, subject_size(event), call);
        if (status != AETHER_OK) {
            ae_free(&bus->domain->allocator, names->subjects, bytes, _Alignof(struct ae_subject));
            return status;
        }
        memcpy(text, name.subject.text.data, name.subject.text.size);
        names->subjects[i] = name.subject;
        names->subjects[i].text.data = text;
        text += name.subject.text.size;
    }
    return AETHER_OK;
}

static aether_status publish_batch(aether_bus *bus, const struct copies *copies, const char *call)
{
    struct ae_publish publish = {.domain = bus->domain, .call = call};
    struct names names;
    take_batch(&publish, copies);
    aether_status status = parse_names(&names, bus, copies, call);
    if (status != AETHER_OK)
        return status;
    publish.subjects = names.subjects;
    status = publish_now(&publish);
    ae_free(&bus->domain->allocator, names.subjects, names.bytes, _Alignof(struct ae_subject));
    return status;
}

aether_status aether_publish_batch_sized(aether_bus *bus, const aether_event *events, size_t count, size_t size)
{
    static const char call[] = "aether_publish_batch";
    aether_status status = ae_bus_refuse(bus, call);
    if (status != AETHER_OK || count == 0)
        return status;
    if (events == NULL)
        return ae_fail(AETHER_INVALID, "%s: events is NULL", call);
    struct copies copies;
    status = copy_events(&copies, bus->domain, events, count, size, call);
    if (status != AETHER_OK)
        return status;
    status = publish_batch(bus, &copies, call);
    free_copies(&copies, bus->domain);
    return status;
}

static inline aether_status refuse_topic(const aether_topic *topic, const char *call)
{
    if (AE_UNLIKELY(topic == NULL))
        return ae_fail(AETHER_INVALID, "%s: the topic is NULL", call);
    if (AE_UNLIKELY(topic->fork_generation != ae_fork_generation))
        return ae_fail(AETHER_FORKED, "%s: the topic was opened before fork()", call);
    return AETHER_OK;
}

aether_status aether_topic_publish_sized(aether_topic *topic, const aether_event *event, size_t size)
{
    static const char call[] = "aether_topic_publish";
    struct ae_publish publish;
    aether_status status = refuse_topic(topic, call);
    if (AE_UNLIKELY(status != AETHER_OK))
        return status;
    publish.domain = topic->domain;
    publish.call = call;
    publish.topic = topic;
    return publish_event(&publish, event, size);
}

aether_status aether_topic_publish_batch_sized(aether_topic *topic, const aether_event *events, size_t count, size_t size)
{
    static const char call[] = "aether_topic_publish_batch";
    aether_status status = refuse_topic(topic, call);
    if (status != AETHER_OK || count == 0)
        return status;
    if (events == NULL)
        return ae_fail(AETHER_INVALID, "%s: events is NULL", call);
    struct ae_publish publish = {.domain = topic->domain, .call = call, .topic = topic};
    struct copies copies;
    status = copy_events(&copies, topic->domain, events, count, size, call);
    if (status != AETHER_OK)
        return status;
    take_batch(&publish, &copies);
    status = publish_now(&publish);
    free_copies(&copies, topic->domain);
    return status;
}

/* -------------------------------------------------------------------------------------------------------------- topics */

struct topic_command {
    struct ae_command command;
    const struct ae_subject *subject;
    struct aether_topic *topic;
};

static aether_status run_open(struct ae_command *command)
{
    static const char call[] = "aether_topic_open";
    struct topic_command *open = (struct topic_command *)command;
    struct ae_domain *domain = command->domain;
    aether_status status = ae_domain_refuse(domain, call);
    bool no_memory = false;
    if (status == AETHER_OK && ae_domain_is_foreign(domain, open->subject, &no_memory))
        status = ae_fail(AETHER_INVALID, "%s: the subject is of a namespace that is an order of its own", call);
    if (status != AETHER_OK)
        return status;
    open->topic = no_memory ? NULL : ae_topics_get(&domain->topics, domain, open->subject);
    if (open->topic == NULL)
        return ae_fail(AETHER_NO_MEMORY, "%s: no memory for a topic", call);
    ae_topic_hold(&domain->topics, open->topic);
    return AETHER_OK;
}

aether_topic *aether_topic_open(aether_bus *bus, const char *subject)
{
    static const char call[] = "aether_topic_open";
    struct ae_full_name name;
    if (ae_bus_refuse(bus, call) != AETHER_OK ||
        ae_full_subject(&name, bus, subject, subject != NULL ? strlen(subject) : 0, call) != AETHER_OK)
        return NULL;
    struct topic_command open = {.subject = &name.subject};
    if (ae_domain_run(bus->domain, &open.command, run_open) != AETHER_OK)
        return NULL;
    ae_domain_hold(bus->domain);
    return open.topic;
}

static aether_status run_close(struct ae_command *command)
{
    struct topic_command *close = (struct topic_command *)command;
    ae_topic_drop(&command->domain->topics, close->topic);
    return AETHER_OK;
}

void aether_topic_close(aether_topic *topic)
{
    if (topic == NULL || topic->fork_generation != ae_fork_generation)
        return;
    struct ae_domain *domain = topic->domain;
    struct topic_command close = {.topic = topic};
    ae_domain_do(domain, &close.command, run_close);
    ae_domain_drop(domain);
}
