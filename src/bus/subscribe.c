/* Subscriptions: opened, ended, closed. What they hand out is in next.c. */
#include "bus/subscription.h"

#include "base/process.h"
#include "bus/callback.h"
#include "bus/snapshot.h"

enum { LIMIT_USUAL = 16 * 1024 * 1024, LABEL_MOST = 31 };

aether_status ae_subscription_refuse(const aether_subscription *subscription, const char *call)
{
    if (subscription == NULL)
        return ae_fail(AETHER_INVALID, "%s: the subscription is NULL", call);
    if (subscription->generation != ae_fork_generation)
        return ae_fail(AETHER_FORKED, "%s: the subscription was opened before fork()", call);
    return AETHER_OK;
}

/* -------------------------------------------------------------------------------------------------------------- ending */

static void link_in(aether_subscription *subscription, struct ae_feed *feed)
{
    subscription->feed = feed;
    subscription->previous = NULL;
    subscription->next = feed->subscriptions;
    if (subscription->next != NULL)
        subscription->next->previous = subscription;
    feed->subscriptions = subscription;
    ae_feed_follow(feed);
}

static void unlink_from_feed(aether_subscription *subscription)
{
    struct ae_feed *feed = subscription->feed;
    *(subscription->previous != NULL ? &subscription->previous->next : &feed->subscriptions) = subscription->next;
    if (subscription->next != NULL)
        subscription->next->previous = subscription->previous;
    subscription->feed = NULL;
    ae_feed_unfollow(feed);
}

void ae_subscription_end(aether_subscription *subscription, aether_status reason)
{
    struct ae_feed *feed = subscription->feed;
    if (feed == NULL)
        return;
    subscription->end_items = ae_feed_items(feed);
    subscription->end_events = ae_feed_events(feed);
    AE_STORE(B5_END, &subscription->reason, (uint32_t)reason, seq_cst); /* B5: pairs with B5_LOAD */
    if (feed->buffer != NULL)
        ae_registry_excuse(feed->buffer, subscription->cursor);
    aether_cursor_cancel(subscription->cursor);
    subscription->domain->counters.subscriptions--;
    subscription->domain->counters.closed++;
    unlink_from_feed(subscription);
}

void ae_feed_close_all(struct ae_feed *feed, aether_text pattern, aether_status reason)
{
    for (aether_subscription *subscription = feed->subscriptions, *next; subscription != NULL; subscription = next) {
        next = subscription->next;
        if (pattern.size == 0 || ae_pattern_overlaps(pattern, ae_subscription_pattern(subscription)))
            ae_subscription_end(subscription, reason);
    }
}

void ae_feed_close_readers(struct ae_feed *feed, const struct aether_snapshot *snapshot, aether_status reason)
{
    for (aether_subscription *subscription = feed->subscriptions, *next; subscription != NULL; subscription = next) {
        next = subscription->next;
        if (subscription->reads == snapshot->number)
            ae_subscription_end(subscription, reason);
    }
}

struct end_command {
    struct ae_command command;
    aether_subscription *subscription;
    aether_status reason;
    bool closes; /* its owner does: what it missed is known */
};

static aether_status run_end(struct ae_command *command)
{
    struct end_command *end = (struct end_command *)command;
    if (end->reason == AETHER_UNSUBSCRIBED && end->subscription->feed != NULL)
        command->domain->counters.closed--; /* not by others */
    ae_subscription_end(end->subscription, end->reason);
    if (end->closes)
        command->domain->counters.lagged += end->subscription->lagged;
    return AETHER_OK;
}

static void end(aether_subscription *subscription, aether_status reason, bool closes)
{
    struct ae_domain *domain = subscription->domain;
    struct end_command command = {.subscription = subscription, .reason = reason, .closes = closes};
    bool has_keeper = ae_domain_need_keeper(domain);
    ae_domain_do(domain, &command.command, run_end);
    if (has_keeper)
        ae_domain_expect_lingering(domain);
}

aether_status ae_subscription_give_up(aether_subscription *subscription, aether_status reason)
{
    end(subscription, reason, false);
    return ae_subscription_reason(subscription);
}

aether_status aether_unsubscribe(aether_subscription *subscription)
{
    aether_status status = ae_subscription_refuse(subscription, "aether_unsubscribe");
    if (status == AETHER_OK)
        end(subscription, AETHER_UNSUBSCRIBED, false);
    return status;
}

struct label_command {
    struct ae_command command;
    const aether_bus *bus;
    const char *label;
    aether_status reason;
};

static bool is_within(const aether_bus *bus, const aether_subscription *subscription)
{
    return bus->prefix_size == 0 || (subscription->prefix_size == bus->prefix_size &&
                                     memcmp(subscription->pattern, bus->prefix, bus->prefix_size) == 0);
}

static aether_status run_close_label(struct ae_command *command)
{
    struct label_command *close = (struct label_command *)command;
    for (struct ae_feed *feed = command->domain->first_feed, *next; feed != NULL; feed = next) {
        next = feed->next_feed;
        for (aether_subscription *subscription = feed->subscriptions, *behind; subscription != NULL; subscription = behind) {
            behind = subscription->next;
            if (strcmp(ae_subscription_label(subscription), close->label) == 0 && is_within(close->bus, subscription))
                ae_subscription_end(subscription, close->reason);
        }
    }
    return AETHER_OK;
}

aether_status aether_bus_close_label(aether_bus *bus, const char *label, aether_status reason)
{
    static const char call[] = "aether_bus_close_label";
    aether_status status = ae_bus_refuse(bus, call);
    if (status != AETHER_OK)
        return status;
    if (label == NULL || label[0] == '\0')
        return ae_fail(AETHER_INVALID, "%s: there is no label", call);
    if (reason != AETHER_UNSUBSCRIBED && reason != AETHER_ACCESS_CHANGED && reason != AETHER_RESET &&
        reason != AETHER_TOO_SLOW && reason != AETHER_FAILED)
        return ae_fail(AETHER_INVALID, "%s: \"%s\" is no reason to close for", call, aether_status_text(reason));
    struct label_command close = {.bus = bus, .label = label, .reason = reason};
    struct ae_domain *domain = bus->domain;
    bool has_keeper = ae_domain_need_keeper(domain);
    ae_domain_do(domain, &close.command, run_close_label);
    if (has_keeper)
        ae_domain_expect_lingering(domain);
    return AETHER_OK;
}

/* With pattern and label, and their NULs. */
static size_t bytes_of(size_t pattern_size, size_t label_size)
{
    return offsetof(aether_subscription, pattern) + pattern_size + label_size + 2;
}

static void free_subscription(aether_subscription *subscription)
{
    struct ae_domain *domain = subscription->domain;
    ae_subscription_leave_snapshot(subscription);
    if (subscription->extra != NULL) {
        ae_filter_free(subscription->extra->filter, &domain->allocator);
        ae_conflation_free(subscription->extra->conflation);
        ae_free(&domain->allocator, subscription->extra, sizeof *subscription->extra, _Alignof(struct ae_extra));
    }
    ae_free(&domain->allocator, subscription, bytes_of(subscription->pattern_size, subscription->label_size),
            _Alignof(aether_subscription));
    ae_domain_drop(domain);
}

void aether_subscription_close(aether_subscription *subscription)
{
    if (subscription == NULL || subscription->generation != ae_fork_generation)
        return;
    end(subscription, AETHER_UNSUBSCRIBED, true);
    aether_cursor_close(subscription->cursor);
    aether_poller_destroy(subscription->poller);
    free_subscription(subscription);
}

void ae_subscription_leave_snapshot(aether_subscription *subscription)
{
    if (subscription->snapshot != NULL)
        ae_snapshot_drop(subscription->snapshot);
    subscription->snapshot = NULL;
}

/* ------------------------------------------------------------------------------------------------------------- opening */

struct open_command {
    struct ae_command command;
    aether_subscription *subscription;
    const aether_subscribe_options *options;
    struct ae_subject pattern;
    struct ae_feed *feed; /* that it will follow; a new one nobody follows yet */
    aether_cursor *cursor;
    struct aether_snapshot *snapshot; /* a reference, where it begins with one */
    bool must_make;
    uint64_t least_events; /* begins again: its place */
};

static const char call_open[] = "aether_subscribe";

static aether_cursor_options cursor_options(const struct open_command *open)
{
    const aether_subscription *subscription = open->subscription;
    return (aether_cursor_options){.on_limit = subscription->on_limit,
                                   .limit_bytes = subscription->limit_bytes,
                                   .label = subscription->label_size != 0 ? ae_subscription_label(subscription) : NULL};
}

/* The pattern's own feed, made if need be. */
static struct ae_feed *own_feed(struct open_command *open)
{
    open->feed = ae_feed_get(open->command.domain, &open->pattern);
    if (open->feed == NULL)
        (void)ae_fail(AETHER_NO_MEMORY, "%s: no memory for a feed", call_open);
    return open->feed;
}

static aether_status open_next(struct open_command *open, struct ae_feed *feed)
{
    aether_cursor_options options = cursor_options(open);
    open->feed = feed;
    open->cursor = aether_cursor_open_with(feed->buffer, &options);
    open->subscription->base_events = ae_buffer_events(feed->buffer);
    return open->cursor != NULL ? AETHER_OK : aether_error_status();
}

static aether_status begin_now(struct open_command *open)
{
    struct ae_feed *feed = own_feed(open);
    open->subscription->passed = ae_domain_index(open->command.domain);
    return feed != NULL ? open_next(open, feed) : AETHER_NO_MEMORY;
}

/* Of the feeds that cover a pattern the one that serves a start best. */
struct covering {
    uint64_t index; /* events above it are wanted */
    bool oldest;    /* or all there are */
    struct ae_feed *best;
    uint64_t best_floor;
};

static bool take_better(void *value, void *user)
{
    struct ae_feed *feed = value;
    struct covering *covering = user;
    uint64_t floor = aether_buffer_range(feed->buffer).floor;
    if (!covering->oldest && floor > covering->index)
        return true;
    bool narrower = covering->best == NULL || ae_pattern_covers(ae_feed_pattern(covering->best), ae_feed_pattern(feed));
    bool better = covering->oldest && covering->best != NULL && floor != covering->best_floor ? floor < covering->best_floor
                                                                                              : narrower;
    if (better) {
        covering->best = feed;
        covering->best_floor = floor;
    }
    return true;
}

static bool take_newer(void *value, void *user)
{
    const struct ae_refresh *refresh = value;
    uint64_t *newest = user;
    if (refresh->index > *newest)
        *newest = refresh->index;
    return true;
}

static bool note_any(void *value, void *user)
{
    (void)value;
    *(bool *)user = true;
    return false;
}

/* The newest index at which something was refreshed that the pattern overlaps. False: nothing ever was. */
static bool was_refreshed(const struct open_command *open, uint64_t *index)
{
    bool ever = false;
    *index = 0;
    ae_trie_walk(&open->command.domain->refreshed, open->pattern.text, AE_OVERLAPS, take_newer, index);
    ae_trie_walk(&open->command.domain->refreshed, open->pattern.text, AE_OVERLAPS, note_any, &ever);
    return ever;
}

/* At the first event above `after` that the feed has. */
static aether_status open_after(struct open_command *open, struct ae_feed *feed, uint64_t after)
{
    open->subscription->passed = after;
    if (after >= ae_buffer_index(feed->buffer))
        return open_next(open, feed);
    aether_cursor_options options = cursor_options(open);
    options.start = AETHER_FROM_AFTER;
    options.position.index = after;
    open->feed = feed;
    open->cursor = aether_cursor_open_with(feed->buffer, &options);
    if (open->cursor == NULL)
        return aether_error_status();
    open->subscription->base_events = ae_cursor_events(open->cursor);
    return AETHER_OK;
}

static aether_status begin_oldest(struct open_command *open)
{
    struct covering covering = {.oldest = true};
    uint64_t refreshed;
    ae_trie_walk(&open->command.domain->feeds, open->pattern.text, AE_COVERS, take_better, &covering);
    if (covering.best == NULL)
        return begin_now(open);
    bool is_cut = was_refreshed(open, &refreshed) && refreshed > covering.best_floor;
    return open_after(open, covering.best, is_cut ? refreshed : covering.best_floor);
}

/* Whether the position is one of this history, and nothing was refreshed since. */
static aether_status check_position(const struct open_command *open, uint64_t after)
{
    struct ae_domain *domain = open->command.domain;
    aether_position position = open->options->position;
    if (position.epoch != 0 && position.epoch != ae_domain_epoch(domain))
        return ae_fail(AETHER_OTHER_EPOCH, "%s: the position is of epoch %llx, the bus's is %llx", call_open,
                       (unsigned long long)position.epoch, (unsigned long long)ae_domain_epoch(domain));
    if (after > ae_domain_index(domain))
        return ae_fail(AETHER_AHEAD, "%s: index %llu is ahead of the newest, %llu", call_open, (unsigned long long)after,
                       (unsigned long long)ae_domain_index(domain));
    uint64_t refreshed;
    if (was_refreshed(open, &refreshed) && refreshed >= after)
        return ae_fail(AETHER_GONE, "%s: index %llu is gone: what it belongs to was refreshed since", call_open,
                       (unsigned long long)after);
    return AETHER_OK;
}

static aether_status begin_after(struct open_command *open, uint64_t after)
{
    struct ae_domain *domain = open->command.domain;
    aether_status status = check_position(open, after);
    if (status != AETHER_OK)
        return status;
    struct covering covering = {.index = after};
    ae_trie_walk(&domain->feeds, open->pattern.text, AE_COVERS, take_better, &covering);
    if (covering.best == NULL && after < ae_domain_index(domain))
        return ae_fail(AETHER_GONE, "%s: index %llu is gone: nothing that is kept goes back so far", call_open,
                       (unsigned long long)after);
    struct ae_feed *feed = covering.best != NULL ? covering.best : own_feed(open);
    return feed != NULL ? open_after(open, feed, after) : AETHER_NO_MEMORY;
}

/* A cursor in a snapshot of the pattern's own feed. */
static aether_status open_snapshot(struct open_command *open, struct ae_feed *feed, struct ae_handler *handler)
{
    aether_cursor_options options = {.start = AETHER_FROM_OLDEST, .limit_bytes = AETHER_UNLIMITED};
    if (open->subscription->label_size != 0)
        options.label = ae_subscription_label(open->subscription);
    struct aether_snapshot *snapshot = ae_snapshot_join(feed, handler, open->least_events, &open->must_make, call_open);
    if (snapshot == NULL)
        return AETHER_NO_MEMORY;
    open->feed = feed;
    open->snapshot = snapshot; /* also where the cursor fails: one that is new has to be made */
    open->cursor = aether_cursor_open_with(snapshot->buffer, &options);
    return open->cursor != NULL ? AETHER_OK : aether_error_status();
}

static aether_status begin_snapshot(struct open_command *open)
{
    struct ae_handler *handler = ae_handler_find(open->command.domain, open->pattern.text);
    if (handler == NULL)
        return ae_fail(AETHER_NO_HANDLER, "%s: nobody makes snapshots of %.*s", call_open, (int)open->pattern.text.size,
                       open->pattern.text.data);
    struct ae_feed *feed = own_feed(open);
    if (feed == NULL)
        return AETHER_NO_MEMORY;
    aether_status status = open_snapshot(open, feed, handler);
    if (status == AETHER_OK)
        open->subscription->base_events = open->snapshot->live_events;
    return status;
}

static aether_status begin_resume(struct open_command *open)
{
    aether_position position = open->options->position;
    const struct ae_handler *handler = ae_handler_find(open->command.domain, open->pattern.text);
    if (position.epoch == 0 && position.index == 0)
        return begin_snapshot(open);
    if (handler == NULL || !handler->given.by_subject) {
        aether_status status = begin_after(open, position.index);
        if (status == AETHER_OK)
            open->command.domain->counters.resumed++;
        if (status == AETHER_OK || status == AETHER_NO_MEMORY || handler == NULL)
            return status;
    }
    open->subscription->owes_follows = true;
    return begin_snapshot(open);
}

static aether_status begin(struct open_command *open)
{
    uint64_t index = open->options->position.index;
    switch (open->options->begin) {
    case AETHER_BEGIN_OLDEST:
        return begin_oldest(open);
    case AETHER_BEGIN_AFTER:
        return begin_after(open, index);
    case AETHER_BEGIN_AT:
        return begin_after(open, index - 1);
    case AETHER_BEGIN_SNAPSHOT:
        return begin_snapshot(open);
    case AETHER_BEGIN_RESUME:
        return begin_resume(open);
    default:
        return begin_now(open);
    }
}

/* It reads a snapshot from here on, before what follows. */
static void enter_snapshot(struct open_command *open)
{
    aether_subscription *subscription = open->subscription;
    struct aether_snapshot *snapshot = open->snapshot;
    subscription->snapshot = snapshot;
    subscription->in_snapshot = true;
    subscription->has_crossed = subscription->awaits_splice = false;
    subscription->live_events = snapshot->live_events;
    subscription->live_items = snapshot->live_items;
    subscription->owes_limit = true;
    subscription->by_subject = snapshot->by_subject;
    subscription->epoch = snapshot->epoch;
}

static bool is_foreign(struct ae_domain *domain, const struct ae_subject *pattern)
{
    bool foreign = false;
    struct ae_subject space;
    char memory[AETHER_SUBJECT_MAX + 3];
    aether_text token, rest = pattern->text;
    if (domain->counters.domains == 0 || !ae_token_next(&rest, &token) || ae_text_is(token, '*') || ae_text_is(token, '>') ||
        token.size > AETHER_SUBJECT_MAX / 2)
        return false;
    memcpy(memory, token.data, token.size);
    memcpy(memory + token.size, ".>", 3);
    bool wild;
    if (ae_pattern_parse(&space, memory, token.size + 2, &wild, call_open) == AETHER_OK) {
        const struct ae_space *there = ae_trie_find(&domain->spaces, &space);
        foreign = there != NULL && there->domain != NULL;
    }
    return foreign;
}

static aether_status run_check(struct ae_command *command)
{
    aether_status status = ae_domain_refuse(command->domain, call_open);
    if (status == AETHER_OK && command->domain->is_disabled)
        status = ae_fail(AETHER_DISABLED, "%s: the bus was created to do nothing", call_open);
    return status;
}

static aether_status run_open(struct ae_command *command)
{
    struct open_command *open = (struct open_command *)command;
    aether_subscription *subscription = open->subscription;
    struct ae_domain *domain = command->domain;
    aether_status status = run_check(command);
    if (status == AETHER_OK && is_foreign(domain, &open->pattern))
        status = ae_fail(AETHER_INVALID, "%s: the pattern is of a namespace that is an order of its own", call_open);
    if (status != AETHER_OK)
        return status;
    subscription->epoch = ae_domain_epoch(domain);
    status = begin(open);
    if (status != AETHER_OK) {
        if (open->feed != NULL)
            ae_feed_settle(open->feed);
        return status;
    }
    subscription->is_wide = !ae_text_same(ae_feed_pattern(open->feed), open->pattern.text);
    subscription->cursor = open->cursor;
    if (open->snapshot != NULL) {
        subscription->reads = open->snapshot->number;
        enter_snapshot(open);
    }
    link_in(subscription, open->feed);
    domain->counters.subscriptions++;
    domain->counters.opened++;
    return AETHER_OK;
}

static aether_status complete(aether_subscribe_options *options, const aether_bus *bus)
{
    uint64_t least = (uint64_t)AETHER_LIMIT_SEGMENTS * bus->domain->segment_bytes;
    if (options->begin < AETHER_BEGIN_NOW || options->begin > AETHER_BEGIN_RESUME)
        return ae_fail(AETHER_INVALID, "%s: there is no begin %d", call_open, options->begin);
    if (options->begin == AETHER_BEGIN_AT && options->position.index == 0)
        return ae_fail(AETHER_INVALID, "%s: nothing is at index 0, which means \"nothing yet\"", call_open);
    if (options->on_limit < 0 || options->on_limit > AETHER_CLOSE)
        return ae_fail(AETHER_INVALID, "%s: there is no on_limit %d", call_open, options->on_limit);
    if (options->on_lag < AETHER_LAG_DEFAULT || options->on_lag > AETHER_LAG_CLOSE)
        return ae_fail(AETHER_INVALID, "%s: there is no on_lag %d", call_open, options->on_lag);
    if (options->limit_bytes == 0)
        options->limit_bytes = LIMIT_USUAL > least ? LIMIT_USUAL : least;
    if (options->limit_bytes < least)
        return ae_fail(AETHER_INVALID, "%s: limit_bytes %llu is below the least that works with this bus, %llu", call_open,
                       (unsigned long long)options->limit_bytes, (unsigned long long)least);
    if (options->label != NULL && strlen(options->label) > LABEL_MOST)
        return ae_fail(AETHER_INVALID, "%s: the label \"%.40s\" has more than 31 bytes", call_open, options->label);
    if (options->conflate != 0 && options->on_limit == AETHER_REFUSE)
        return ae_fail(AETHER_INVALID, "%s: conflation does not go with AETHER_REFUSE", call_open);
    bool with_snapshot = options->begin >= AETHER_BEGIN_SNAPSHOT;
    if (options->on_lag == AETHER_LAG_DEFAULT)
        options->on_lag = with_snapshot ? AETHER_LAG_SNAPSHOT : AETHER_LAG_GO_ON;
    if (options->on_limit == AETHER_CLOSE)
        options->on_lag = AETHER_LAG_CLOSE;
    if (options->on_limit == 0 || options->on_limit == AETHER_CLOSE)
        options->on_limit = AETHER_LAP;
    return AETHER_OK;
}

aether_status ae_subscribe_check(const aether_bus *bus, const aether_subscribe_options *options)
{
    aether_subscribe_options copy = *options;
    struct ae_filter *filter = NULL;
    struct ae_command command;
    aether_status status = complete(&copy, bus);
    if (status == AETHER_OK)
        status = ae_filter_make(&filter, &copy.filter, &bus->domain->allocator, call_open);
    ae_filter_free(filter, &bus->domain->allocator);
    return status == AETHER_OK ? ae_domain_run(bus->domain, &command, run_check) : status;
}

/* What only some have. AETHER_OK, AETHER_INVALID, AETHER_NO_MEMORY. */
static aether_status add_extra(aether_subscription *subscription, const aether_subscribe_options *options)
{
    const aether_allocator *allocator = &subscription->domain->allocator;
    struct ae_filter *filter;
    aether_status status = ae_filter_make(&filter, &options->filter, allocator, call_open);
    if (status != AETHER_OK || (filter == NULL && options->conflate == 0 && options->progress_ns <= 0))
        return status;
    struct ae_extra *extra = ae_alloc(allocator, sizeof *extra, _Alignof(struct ae_extra));
    if (extra == NULL) {
        ae_filter_free(filter, allocator);
        return ae_fail(AETHER_NO_MEMORY, "%s: no memory for a filter, conflation or progress", call_open);
    }
    *extra = (struct ae_extra){.filter = filter, .progress_ns = options->progress_ns > 0 ? options->progress_ns : 0};
    subscription->extra = extra;
    if (options->conflate != 0)
        extra->conflation = ae_conflation_make(options->conflate, allocator);
    if (options->conflate != 0 && extra->conflation == NULL)
        return ae_fail(AETHER_NO_MEMORY, "%s: no memory for a conflation table", call_open);
    return AETHER_OK;
}

static aether_subscription *allocate(const aether_bus *bus, const struct ae_subject *pattern,
                                     const aether_subscribe_options *options)
{
    struct ae_domain *domain = bus->domain;
    size_t size = pattern->text.size, label_size = options->label != NULL ? strlen(options->label) : 0;
    aether_subscription *subscription =
        ae_alloc(&domain->allocator, bytes_of(size, label_size), _Alignof(aether_subscription));
    if (subscription == NULL) {
        (void)ae_fail(AETHER_NO_MEMORY, "%s: no memory for a subscription", call_open);
        return NULL;
    }
    memset(subscription, 0, bytes_of(size, label_size)); /* which may be less than the struct, with its padding */
    subscription->domain = domain;
    subscription->on_lag = (uint8_t)options->on_lag;
    subscription->on_limit = (uint8_t)options->on_limit;
    subscription->limit_bytes = options->limit_bytes;
    subscription->drains = options->drain;
    subscription->has_crossed = true;
    subscription->generation = ae_fork_generation;
    subscription->prefix_size = bus->prefix_size;
    subscription->pattern_size = (uint16_t)size;
    subscription->label_size = (uint8_t)label_size;
    memcpy(subscription->pattern, pattern->text.data, size);
    if (label_size != 0)
        memcpy(subscription->pattern + size + 1, options->label, label_size);
    ae_domain_hold(domain);
    if (add_extra(subscription, options) == AETHER_OK)
        return subscription;
    free_subscription(subscription);
    return NULL;
}

aether_subscription *aether_subscribe_sized(aether_bus *bus, const char *pattern, const aether_subscribe_options *given,
                                            size_t size)
{
    aether_subscribe_options options = {0};
    struct ae_full_name name;
    if (given != NULL)
        memcpy(&options, given, size < sizeof options ? size : sizeof options);
    if (ae_bus_refuse(bus, call_open) != AETHER_OK || ae_full_pattern(&name, bus, pattern, call_open) != AETHER_OK ||
        complete(&options, bus) != AETHER_OK)
        return NULL;
    aether_subscription *subscription = allocate(bus, &name.subject, &options);
    if (subscription == NULL)
        return NULL;
    struct open_command open = {.subscription = subscription, .options = &options, .pattern = name.subject};
    aether_status status = ae_domain_run(bus->domain, &open.command, run_open);
    struct ae_failure failure = {.status = status};
    if (status != AETHER_OK)
        failure = open.command.failure;
    if (open.must_make)
        ae_snapshot_make(open.snapshot, call_open);
    if (status == AETHER_OK)
        return subscription;
    if (open.snapshot != NULL)
        ae_snapshot_drop(open.snapshot);
    free_subscription(subscription);
    (void)ae_fail_again(&failure);
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------ beginning again */

/* A snapshot that begins at the reader's place or later; in a feed of its own, where it read a wider one. */
static aether_status run_again(struct ae_command *command)
{
    struct open_command *open = (struct open_command *)command;
    aether_subscription *subscription = open->subscription;
    struct ae_domain *domain = command->domain;
    struct ae_feed *before = subscription->feed;
    if (before == NULL)
        return AETHER_OK; /* it is over, which its reader finds */
    struct ae_handler *handler = ae_handler_find(domain, open->pattern.text);
    if (handler == NULL)
        return ae_fail(AETHER_NO_HANDLER, "aether_next: nobody makes snapshots of %.80s", subscription->pattern);
    struct ae_feed *feed = subscription->is_wide ? own_feed(open) : before;
    if (feed == NULL)
        return AETHER_NO_MEMORY;
    if (subscription->is_wide)
        open->least_events = 0;
    aether_status status = open_snapshot(open, feed, handler);
    if (status != AETHER_OK) {
        ae_feed_settle(feed);
        return status;
    }
    if (feed != before) {
        subscription->carried += ae_feed_events(before) - subscription->base_events;
        subscription->base_events = open->snapshot->live_events;
        unlink_from_feed(subscription);
        link_in(subscription, feed);
        subscription->is_wide = false;
    }
    subscription->reads = open->snapshot->number;
    return AETHER_OK;
}

aether_status ae_subscription_begin_again(aether_subscription *subscription)
{
    uint64_t place = ae_cursor_events(subscription->cursor) - subscription->left;
    struct open_command open = {.subscription = subscription, .least_events = ae_cursor_events(subscription->cursor)};
    bool wild;
    aether_status status = ae_pattern_parse(&open.pattern, subscription->pattern, subscription->pattern_size, &wild, "");
    AE_ASSERT(status == AETHER_OK);
    bool was_wide = subscription->is_wide;
    uint64_t carried = subscription->carried, base = subscription->base_events;
    status = ae_domain_run(subscription->domain, &open.command, run_again);
    if (open.must_make)
        ae_snapshot_make(open.snapshot, "aether_next");
    if (status != AETHER_OK || open.cursor == NULL) {
        if (open.snapshot != NULL)
            ae_snapshot_drop(open.snapshot);
        return status;
    }
    /* What lies between its place and the new one is missed. */
    subscription->lagged += was_wide ? subscription->carried - carried + base - place : open.snapshot->live_events - place;
    ae_subscription_leave_snapshot(subscription);
    ae_cursor_move(subscription->cursor, open.cursor);
    subscription->left = 0;
    subscription->owes_follows = true;
    enter_snapshot(&open);
    return AETHER_OK;
}

aether_status ae_subscription_take_limit(aether_subscription *subscription)
{
    bool is_over = ae_subscription_reason(subscription) != AETHER_OK;
    aether_on_limit on_limit = is_over ? AETHER_LAP : subscription->on_limit; /* nobody waits for what is over */
    aether_status status = aether_cursor_set_limit(subscription->cursor, on_limit, subscription->limit_bytes);
    /* B5: whoever ends it meanwhile has seen this limit, or is seen here: then once more. */
    subscription->owes_limit = status != AETHER_OK || (!is_over && AE_LOAD(B5_LOAD, &subscription->reason, seq_cst) != 0);
    return status;
}
