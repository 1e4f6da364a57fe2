/*
 * What a subscription hands out.
 *
 * An item of the cursor's is one or more events. Each is looked at once: a mark, an event of a snapshot, one that the
 * snapshot had already, one that does not pass the filter, or one to hand out, perhaps by way of the conflation table.
 */
#include "base/clock.h"
#include "base/process.h"
#include "buffer/gate.h"
#include "bus/callback.h"
#include "bus/event.h"
#include "bus/snapshot.h"
#include "bus/subscription.h"

/* A status of this file's own: look again. */
enum { AGAIN = AE_MUST_WAIT - 2 };

/* ------------------------------------------------------------------------------------------------------------ one event */

static void make_mark(const aether_subscription *subscription, aether_event *event, aether_event_kind kind, uint64_t index)
{
    *event = (aether_event){.kind = kind, .index = index, .epoch = subscription->epoch};
}

/* The snapshot is complete: its own limit counts from here on. */
static void come_to_end_mark(aether_subscription *subscription, aether_event *event)
{
    uint64_t index = event->index;
    subscription->in_snapshot = false;
    subscription->watermark = index;
    subscription->passed = index;
    subscription->snapshots++;
    if (!subscription->by_subject)
        ae_subscription_leave_snapshot(subscription);
    make_mark(subscription, event, AETHER_EVENT_SNAPSHOT_END, index);
}

/* With the namespace's prefix, which stands before it. */
static aether_text full_subject(const aether_subscription *subscription, const aether_event *event)
{
    return (aether_text){event->subject - subscription->prefix_size, event->subject_size + subscription->prefix_size};
}

static bool is_below_watermark(const aether_subscription *subscription, const aether_event *event)
{
    if (AE_UNLIKELY(subscription->by_subject))
        return event->subject_index <= ae_snapshot_mark(subscription->snapshot, full_subject(subscription, event));
    return event->index <= subscription->watermark;
}

static bool passes(const aether_subscription *subscription, const aether_event *event)
{
    if (subscription->is_wide &&
        !ae_pattern_matches(ae_subscription_pattern(subscription), full_subject(subscription, event)))
        return false;
    return ae_filter_of(subscription) == NULL || ae_filter_passes(ae_filter_of(subscription), event);
}

static aether_status conflate(aether_subscription *subscription, const aether_event *event)
{
    bool replaced;
    aether_status status = ae_conflation_put(ae_conflation_of(subscription), event, &replaced);
    if (status == AETHER_OK)
        subscription->conflated += replaced;
    return status == AETHER_OK ? AGAIN : status;
}

/* AGAIN: not one to hand out. */
static inline aether_status judge(aether_subscription *subscription, aether_event *event)
{
    if (AE_UNLIKELY(event->kind == AETHER_EVENT_SNAPSHOT_END)) {
        come_to_end_mark(subscription, event);
        return AETHER_OK;
    }
    event->epoch = subscription->epoch;
    event->subject += subscription->prefix_size;
    event->subject_size -= subscription->prefix_size;
    if (event->kind == AETHER_EVENT_SNAPSHOT) {
        if (!passes(subscription, event))
            return AGAIN;
        subscription->snapshot_events++;
        return AETHER_OK;
    }
    if (is_below_watermark(subscription, event)) {
        subscription->below_watermark++;
        return AGAIN;
    }
    if (!passes(subscription, event)) {
        subscription->filtered++;
        return AGAIN;
    }
    if (ae_conflation_of(subscription) != NULL)
        return conflate(subscription, event);
    subscription->delivered++;
    return AETHER_OK;
}

/*
 * An end mark is handed out when the way on stands behind it, which is a moment later: who has it then sees whatever is
 * published from there on.
 */
static __attribute__((noinline)) bool leads_on(aether_subscription *subscription)
{
    /* E1: pairs with E1_PUBLISH, of the splice. */
    uint32_t word = AE_LOAD(E1_READ, ae_slot_word(subscription->cursor->head.at), acquire);
    subscription->awaits_splice = word == 0;
    return word != 0;
}

/* The next event of the item. AETHER_EMPTY: the snapshot's end is not spliced yet. */
static inline aether_status take_event(aether_subscription *subscription, aether_event *event)
{
    const unsigned char *at = subscription->at;
    subscription->at = ae_event_decode(at, event);
    if (AE_UNLIKELY(event->kind == AETHER_EVENT_SNAPSHOT_END && !leads_on(subscription))) {
        subscription->at = at;
        return AETHER_EMPTY;
    }
    uint64_t index = event->index;
    bool is_live = event->kind == AETHER_EVENT_LIVE;
    aether_status status = judge(subscription, event);
    if (AE_UNLIKELY(status != AETHER_OK && status != AGAIN)) { /* no memory to keep it: it comes again */
        subscription->at = at;
        return status;
    }
    subscription->left--;
    if (is_live && subscription->left == 0 && index > subscription->passed)
        subscription->passed = index;
    return status;
}

/* ---------------------------------------------------------------------------------------------------------------- ends */

static bool has_conflated(const aether_subscription *subscription)
{
    return ae_conflation_of(subscription) != NULL && ae_conflation_count(ae_conflation_of(subscription)) != 0;
}

/* What was published before the end has been read. */
static bool is_drained(const aether_subscription *subscription)
{
    if (subscription->in_snapshot || subscription->owes_follows || subscription->left != 0)
        return false;
    uint64_t place = subscription->has_crossed ? ae_cursor_items(subscription->cursor) : subscription->live_items;
    return place >= subscription->end_items;
}

/* Its reader knows: it holds no more of the feed than it may, and a poller finds it ready until it is closed. */
static aether_status be_told(aether_subscription *subscription, aether_status reason)
{
    uint64_t least = AETHER_LIMIT_SEGMENTS * (uint64_t)subscription->domain->segment_bytes;
    uint64_t limit = subscription->limit_bytes != AETHER_UNLIMITED ? subscription->limit_bytes : least;
    struct ae_failure ignored, *before = ae_fail_into(&ignored);
    if (subscription->has_crossed && aether_cursor_set_limit(subscription->cursor, AETHER_LAP, limit) != AETHER_OK)
        ae_registry_excuse(subscription->cursor->segment->owner, subscription->cursor);
    (void)ae_fail_into(before);
    aether_cursor_cancel(subscription->cursor);
    subscription->is_told = true;
    return reason;
}

/*
 * It is over. AGAIN: something is left that its reader gets first; the cancellation that told it is taken back, unless it is
 * the program's own, too.
 */
static __attribute__((noinline)) aether_status be_over(aether_subscription *subscription, aether_status reason)
{
    if (subscription->is_told)
        return reason;
    if (!subscription->drains || (is_drained(subscription) && !has_conflated(subscription)))
        return be_told(subscription, reason);
    if (aether_cursor_resume(subscription->cursor) != AETHER_OK)
        return reason;
    if (AE_LOAD(B5_LOAD, &subscription->cancelled, seq_cst) !=
        0) /* B5: with the resume against aether_subscription_cancel() */
        aether_cursor_cancel(subscription->cursor);
    return AGAIN;
}

/* The cursor has come to a final status: the reason is known already, or the snapshot has failed. */
static aether_status be_final(aether_subscription *subscription, aether_status status)
{
    aether_status reason = ae_subscription_reason(subscription);
    if (reason != AETHER_OK)
        return reason;
    if (subscription->in_snapshot && subscription->snapshot->failure.status != AETHER_OK)
        (void)ae_fail_again(&subscription->snapshot->failure);
    return ae_subscription_give_up(subscription, status == AETHER_CLOSED ? AETHER_SHUT_DOWN : status);
}

/* What was published after its end is nobody's, and not missed. */
static void count_lag(aether_subscription *subscription)
{
    uint64_t missed = subscription->cursor->missed_events;
    uint64_t after = ae_cursor_events(subscription->cursor), before = after - missed;
    if (ae_subscription_reason(subscription) != AETHER_OK && after > subscription->end_events)
        missed = subscription->end_events > before ? subscription->end_events - before : 0;
    subscription->has_crossed = true;
    subscription->lagged += missed;
    subscription->lags++;
}

/* With a new snapshot, which is owed as long as there is no memory for it; or, where it is over meanwhile, not at all. */
static aether_status begin_again(aether_subscription *subscription)
{
    aether_status status = ae_subscription_begin_again(subscription);
    subscription->owes_snapshot = status == AETHER_NO_MEMORY;
    if (status == AETHER_OK)
        return subscription->in_snapshot ? AGAIN : be_told(subscription, ae_subscription_reason(subscription));
    return status == AETHER_NO_MEMORY ? status : ae_subscription_give_up(subscription, AETHER_FAILED);
}

/* What follows from a lag that is counted. */
static aether_status be_lagged(aether_subscription *subscription)
{
    if (subscription->on_lag == AETHER_LAG_GO_ON)
        return AETHER_LAGGED;
    if (subscription->on_lag == AETHER_LAG_CLOSE)
        return ae_subscription_give_up(subscription, AETHER_TOO_SLOW);
    aether_status reason = ae_subscription_reason(subscription);
    if (reason != AETHER_OK)
        return be_told(subscription, reason); /* no new snapshot for it, and nothing without one */
    if (ae_conflation_of(subscription) != NULL)
        subscription->lagged += ae_conflation_clear(ae_conflation_of(subscription));
    return begin_again(subscription);
}

static aether_status owe(aether_subscription *subscription, aether_event *event)
{
    if (subscription->owes_snapshot)
        return begin_again(subscription);
    if (subscription->owes_follows) {
        subscription->owes_follows = false;
        make_mark(subscription, event, AETHER_EVENT_SNAPSHOT_FOLLOWS, 0);
        return AETHER_OK;
    }
    aether_status status = ae_subscription_take_limit(subscription);
    return status == AETHER_OK ? AGAIN : status;
}

/* ------------------------------------------------------------------------------------------------------------- progress */

/* A mark that the bus has gone on to `newest`, if it is time for one; else *wait_ns is shortened to when it may be. */
static bool make_progress(aether_subscription *subscription, aether_event *event, aether_position newest, int64_t *wait_ns)
{
    struct ae_extra *extra = subscription->extra;
    int64_t now = ae_clock.now(), since = now - extra->progressed_at;
    if (newest.epoch == subscription->epoch && newest.index > subscription->passed && since >= extra->progress_ns) {
        extra->progressed_at = now;
        subscription->passed = newest.index;
        make_mark(subscription, event, AETHER_EVENT_PROGRESS, newest.index);
        return true;
    }
    int64_t rest = since >= 0 && since < extra->progress_ns ? extra->progress_ns - since : extra->progress_ns;
    if (rest < *wait_ns)
        *wait_ns = rest;
    return false;
}

/* ------------------------------------------------------------------------------------------------------------- the call */

/* One call: how long it may wait, and since when. */
struct wait {
    int64_t timeout_ns;
    int64_t deadline; /* INT64_MIN: it has not waited yet */
};

/* What the cursor answered, other than an item. AGAIN: look again. */
static __attribute__((noinline)) aether_status answer(aether_subscription *subscription, aether_status status)
{
    switch (status) {
    case AETHER_CANCELLED: {
        if (AE_LOAD(B5_LOAD, &subscription->cancelled, seq_cst) != 0) /* B5: pairs with B5_CANCEL */
            return AETHER_CANCELLED;
        aether_status reason = ae_subscription_reason(subscription);
        return reason != AETHER_OK ? be_over(subscription, reason) : AGAIN;
    }
    case AETHER_LAGGED:
        count_lag(subscription);
        return be_lagged(subscription);
    default:
        return aether_status_is_final(status) ? be_final(subscription, status) : status;
    }
}

/* Nothing is there: waits for the cursor's next item, or says that there is none. */
static aether_status await_item(aether_subscription *subscription, aether_event *event, aether_item *item, struct wait *wait)
{
    int64_t wait_ns = wait->timeout_ns, now = 0;
    aether_position newest = {0, 0};
    if (subscription->extra != NULL && subscription->extra->progress_ns != 0 && !subscription->in_snapshot)
        newest = ae_domain_newest(subscription->domain); /* before the look: all up to it stands in the feed */
    aether_status status = aether_cursor_next(subscription->cursor, item, AETHER_NO_WAIT);
    if (status != AETHER_EMPTY)
        return status;
    if (wait_ns > 0 && wait_ns != AETHER_FOREVER) {
        now = ae_clock.now();
        if (wait->deadline == INT64_MIN)
            wait->deadline = ae_deadline(wait_ns);
        wait_ns = wait->deadline - now;
        if (wait_ns <= 0)
            return AETHER_TIMEOUT;
    }
    if (newest.epoch != 0 && make_progress(subscription, event, newest, &wait_ns))
        return AETHER_OK;
    if (wait->timeout_ns <= 0)
        return AETHER_EMPTY;
    if (ae_bus_callback_depth != 0)
        return ae_fail(AETHER_WOULD_BLOCK, "aether_next: nothing now, and this is inside a callback");
    status = aether_cursor_next(subscription->cursor, item, wait_ns);
    return status == AETHER_TIMEOUT ? AGAIN : status;
}

/*
 * The cursor has this item. False: it was published after the end, which whoever sees the item sees, too (B5, and the role
 * between the two): it is nobody's.
 */
static inline bool begin_item(aether_subscription *subscription, const aether_item *item)
{
    subscription->has_crossed |= !subscription->in_snapshot;
    if (AE_UNLIKELY(ae_subscription_reason(subscription) != AETHER_OK) && subscription->has_crossed &&
        ae_cursor_items(subscription->cursor) > subscription->end_items)
        return false;
    subscription->at = item->data;
    subscription->left = (uint32_t)item->events;
    return true;
}

/* No more is to be read before what was conflated is handed out. */
static bool conflates_no_more(const aether_subscription *subscription)
{
    return ae_conflation_is_full(ae_conflation_of(subscription)) ||
           (ae_subscription_reason(subscription) != AETHER_OK && is_drained(subscription));
}

/* Nothing of an item is left: the conflation table is filled up first, and then handed out. */
static aether_status next_item(aether_subscription *subscription, aether_event *event, struct wait *wait)
{
    aether_item item;
    item.data = NULL;
    aether_status status;
    if (subscription->owes_snapshot || subscription->owes_follows ||
        (subscription->owes_limit && !subscription->in_snapshot))
        return owe(subscription, event);
    if (has_conflated(subscription)) {
        status =
            conflates_no_more(subscription) ? AETHER_EMPTY : aether_cursor_next(subscription->cursor, &item, AETHER_NO_WAIT);
        if (status == AETHER_LAGGED) {
            count_lag(subscription);
            subscription->owes_lag = true;
        }
        if (status != AETHER_OK) {
            ae_conflation_take(ae_conflation_of(subscription), event);
            subscription->delivered++;
            return AETHER_OK;
        }
    } else if (subscription->owes_lag) {
        subscription->owes_lag = false;
        return be_lagged(subscription);
    } else {
        status = await_item(subscription, event, &item, wait);
        if (status == AETHER_OK && item.data == NULL)
            return AETHER_OK; /* a progress mark */
    }
    if (AE_UNLIKELY(status != AETHER_OK))
        return status == AGAIN ? AGAIN : answer(subscription, status);
    (void)begin_item(subscription, &item);
    return AGAIN;
}

/* Waits until the snapshot is spliced. AGAIN: look. */
static __attribute__((noinline)) aether_status await_splice(aether_subscription *subscription, struct wait *wait)
{
    if (AE_LOAD(B5_LOAD, &subscription->cancelled, seq_cst) != 0) /* B5: pairs with B5_CANCEL */
        return AETHER_CANCELLED;
    if (wait->timeout_ns <= 0)
        return AETHER_EMPTY;
    if (ae_bus_callback_depth != 0)
        return ae_fail(AETHER_WOULD_BLOCK, "aether_next: nothing now, and this is inside a callback");
    if (wait->deadline == INT64_MIN)
        wait->deadline = ae_deadline(wait->timeout_ns);
    return ae_gate_await(subscription->cursor, wait->deadline) == AETHER_OK ? AGAIN : AETHER_TIMEOUT;
}

static inline aether_status next(aether_subscription *subscription, aether_event *event, struct wait *wait)
{
    for (;;) {
        aether_status reason = (aether_status)AE_LOAD(B5_LOAD, &subscription->reason, acquire); /* B5: pairs with B5_END */
        if (AE_UNLIKELY(reason != AETHER_OK)) {
            aether_status status = be_over(subscription, reason);
            if (status != AGAIN)
                return status;
        }
        aether_status status =
            subscription->left != 0 ? take_event(subscription, event) : next_item(subscription, event, wait);
        if (AE_UNLIKELY(status == AETHER_EMPTY && subscription->awaits_splice))
            status = await_splice(subscription, wait);
        if (status != AGAIN)
            return status;
    }
}

/* A poller is to take it for ready while the cursor alone would not show it. */
static void hint(aether_subscription *subscription)
{
    bool more = (subscription->left != 0 && !subscription->awaits_splice) || subscription->owes_snapshot ||
                subscription->owes_follows || subscription->owes_lag || has_conflated(subscription);
    ae_cursor_hint(subscription->cursor, more);
}

/* True: its own poller finds something meanwhile. */
static bool is_ready_again(aether_subscription *subscription)
{
    aether_ready ready;
    size_t count;
    return subscription->poller != NULL &&
           aether_poller_wait(subscription->poller, &ready, 1, &count, AETHER_NO_WAIT) == AETHER_OK;
}

static aether_status next_and_hint(aether_subscription *subscription, aether_event *event, int64_t timeout_ns)
{
    struct wait wait = {timeout_ns, INT64_MIN};
    aether_status status;
    do {
        status = next(subscription, event, &wait);
        hint(subscription);
    } while (AE_UNLIKELY(status == AETHER_EMPTY && is_ready_again(subscription)));
    return status;
}

static void give(aether_event *event, size_t size, const aether_event *from)
{
    if (size <= sizeof *from) {
        memcpy(event, from, size);
    } else {
        memset(event, 0, size);
        memcpy(event, from, sizeof *from);
    }
}

aether_status aether_next_sized(aether_subscription *subscription, aether_event *event, size_t size, int64_t timeout_ns)
{
    static const char call[] = "aether_next";
    aether_status status = ae_subscription_refuse(subscription, call);
    if (AE_UNLIKELY(status != AETHER_OK))
        return status;
    if (AE_UNLIKELY(event == NULL))
        return ae_fail(AETHER_INVALID, "%s: the event is NULL", call);
    if (AE_LIKELY(size == sizeof *event))
        return next_and_hint(subscription, event, timeout_ns);
    aether_event whole;
    status = next_and_hint(subscription, &whole, timeout_ns);
    if (status == AETHER_OK)
        give(event, size, &whole);
    return status;
}

/* Whether another event is there, all before it staying valid: of the item, or of one behind it in the same segment. */
static bool has_more_here(const aether_subscription *subscription)
{
    if (subscription->left != 0)
        return true;
    return ae_conflation_of(subscription) == NULL && !subscription->owes_limit && !subscription->owes_follows &&
           ae_subscription_reason(subscription) == AETHER_OK && ae_cursor_has_more_here(subscription->cursor);
}

aether_status aether_next_run_sized(aether_subscription *subscription, aether_event *events, size_t capacity, size_t *count,
                                    size_t size, int64_t timeout_ns)
{
    static const char call[] = "aether_next_run";
    if (count == NULL)
        return ae_fail(AETHER_INVALID, "%s: count is NULL", call);
    *count = 0;
    aether_status status = ae_subscription_refuse(subscription, call);
    if (status != AETHER_OK)
        return status;
    if (events == NULL || capacity == 0 || size % _Alignof(aether_event) != 0)
        return ae_fail(AETHER_INVALID, "%s: no room for an event: events is NULL, capacity 0, or size %zu", call, size);
    unsigned char *to = (unsigned char *)events;
    aether_event event;
    status = next_and_hint(subscription, &event, timeout_ns);
    while (status == AETHER_OK) {
        give((aether_event *)(void *)(to + *count * size), size, &event);
        ++*count;
        bool is_mark = event.kind > AETHER_EVENT_SNAPSHOT;
        if (*count == capacity || is_mark || ae_conflation_of(subscription) != NULL || !has_more_here(subscription))
            break;
        if (subscription->left == 0) {
            aether_item item;
            if (aether_cursor_next(subscription->cursor, &item, AETHER_NO_WAIT) != AETHER_OK ||
                !begin_item(subscription, &item))
                break;
        }
        while (subscription->left != 0 && (status = take_event(subscription, &event)) == AGAIN)
            ;
        if (status == AGAIN) /* nothing of that item is to be handed out */
            break;
    }
    hint(subscription);
    return *count != 0 ? AETHER_OK : status;
}

/* ----------------------------------------------------------------------------------------------------- position, waking */

aether_position aether_subscription_position(const aether_subscription *subscription)
{
    if (ae_subscription_refuse(subscription, "aether_subscription_position") != AETHER_OK || subscription->in_snapshot ||
        subscription->by_subject || subscription->owes_snapshot)
        return (aether_position){0, 0};
    uint64_t index = subscription->passed;
    if (has_conflated(subscription))
        index = ae_conflation_first_index(ae_conflation_of(subscription)) - 1;
    return (aether_position){subscription->epoch, index};
}

void aether_subscription_cancel(aether_subscription *subscription)
{
    if (subscription == NULL || subscription->generation != ae_fork_generation)
        return;
    AE_STORE(B5_CANCEL, &subscription->cancelled, 1, seq_cst); /* B5: pairs with B5_LOAD */
    aether_cursor_cancel(subscription->cursor);
}

aether_status aether_subscription_resume(aether_subscription *subscription)
{
    aether_status status = ae_subscription_refuse(subscription, "aether_subscription_resume");
    if (status != AETHER_OK)
        return status;
    AE_STORE(B5_CANCEL, &subscription->cancelled, 0, seq_cst); /* B5: before the cursor's own */
    return aether_cursor_resume(subscription->cursor);
}

/* --------------------------------------------------------------------------------------------------------- event loops */

int aether_subscription_fd(aether_subscription *subscription)
{
    if (ae_subscription_refuse(subscription, "aether_subscription_fd") != AETHER_OK)
        return -1;
    if (subscription->poller == NULL) {
        aether_poller *poller = aether_poller_create(&subscription->domain->allocator);
        if (poller == NULL || aether_poller_add(poller, subscription->cursor, subscription) != AETHER_OK) {
            aether_poller_destroy(poller);
            return -1;
        }
        subscription->poller = poller;
    }
    hint(subscription);
    return aether_poller_fd(subscription->poller);
}

aether_status aether_poller_add_subscription(aether_poller *poller, aether_subscription *subscription, void *user)
{
    aether_status status = ae_subscription_refuse(subscription, "aether_poller_add_subscription");
    if (status != AETHER_OK)
        return status;
    hint(subscription);
    return aether_poller_add(poller, subscription->cursor, user);
}

aether_status aether_poller_remove_subscription(aether_poller *poller, aether_subscription *subscription)
{
    aether_status status = ae_subscription_refuse(subscription, "aether_poller_remove_subscription");
    return status == AETHER_OK ? aether_poller_remove(poller, subscription->cursor) : status;
}

/* ------------------------------------------------------------------------------------------------------------ accounting */

struct stats_command {
    struct ae_command command;
    aether_subscription *subscription;
    uint64_t events; /* of its feed, so far or until it was over */
};

static aether_status run_stats(struct ae_command *command)
{
    struct stats_command *stats = (struct stats_command *)command;
    const struct ae_feed *feed = stats->subscription->feed;
    stats->events = feed != NULL ? ae_feed_events(feed) : stats->subscription->end_events;
    return AETHER_OK;
}

/* Events that were published and that it has not come to: of the feed, of its item, of the conflation table. */
static uint64_t count_pending(const aether_subscription *subscription, uint64_t events)
{
    uint64_t place = subscription->has_crossed ? ae_cursor_events(subscription->cursor) : subscription->live_events;
    uint64_t rest = events > place ? events - place : 0; /* what came after the end is nobody's */
    if (subscription->has_crossed)
        rest += subscription->left;
    return has_conflated(subscription) ? rest + ae_conflation_count(ae_conflation_of(subscription)) : rest;
}

aether_status aether_subscription_get_stats_sized(aether_subscription *subscription, aether_subscription_stats *stats,
                                                  size_t size)
{
    static const char call[] = "aether_subscription_get_stats";
    aether_status status = ae_subscription_refuse(subscription, call);
    if (status != AETHER_OK)
        return status;
    if (stats == NULL)
        return ae_fail(AETHER_INVALID, "%s: stats is NULL", call);
    struct stats_command command = {.subscription = subscription};
    ae_domain_do(subscription->domain, &command.command, run_stats);
    bool is_discarded =
        ae_subscription_reason(subscription) != AETHER_OK && (!subscription->drains || subscription->is_told);
    uint64_t pending = count_pending(subscription, command.events);
    aether_subscription_stats all = {.published = subscription->carried + command.events - subscription->base_events,
                                     .delivered = subscription->delivered,
                                     .filtered = subscription->filtered,
                                     .below_watermark = subscription->below_watermark,
                                     .conflated = subscription->conflated,
                                     .lagged = subscription->lagged,
                                     .discarded = is_discarded ? pending : 0,
                                     .pending = is_discarded ? 0 : pending,
                                     .snapshot_events = subscription->snapshot_events,
                                     .snapshots = subscription->snapshots,
                                     .lags = subscription->lags,
                                     .position = aether_subscription_position(subscription)};
    memset(stats, 0, size);
    memcpy(stats, &all, size < sizeof all ? size : sizeof all);
    return AETHER_OK;
}
