#include "common/stress_follow.h"

uint64_t stress_follow_lags, stress_follow_items, stress_follow_crossings;

typedef unsigned long long ull;

/* ------------------------------------------------------------------------------------------------------------- opening */

uint64_t stress_follow_limit(const struct stress_stream *stream, struct stress_random *random)
{
    uint32_t above = stress_one_in(random, 2) ? 4 : 40;
    return (uint64_t)stream->segment * AETHER_LIMIT_SEGMENTS + stress_below(random, stream->segment * above);
}

static void check_place(const struct stress_follower *follower, aether_start start, uint64_t wanted, uint64_t before)
{
    const struct stress_stream *stream = follower->stream;
    AE_LIGHT_BARRIER();
    uint64_t place = follower->place, after = stress_get(&stream->begun);
    bool right = place <= after;
    if (start == AETHER_FROM_NEXT)
        right = right && place >= before;
    else if (start >= AETHER_FROM_AFTER)
        right = place == wanted;
    if (!right)
        stress_fail("start %d: opened at %llu, wanted %llu, outside of [%llu, %llu]", start, (ull)place, (ull)wanted,
                    (ull)before, (ull)after);
    uint64_t behind = stress_stream_bytes(stream, after) - stress_stream_bytes(stream, place);
    const struct aether_buffer *buffer = stream->buffer;
    if (start == AETHER_FROM_OLDEST && place != 0 && (behind < buffer->retain_bytes || after - place < buffer->retain_items))
        stress_fail("opened at the oldest, %llu, with %llu bytes and %llu items before it, and %llu and %llu are retained",
                    (ull)place, (ull)behind, (ull)(after - place), (ull)buffer->retain_bytes, (ull)buffer->retain_items);
}

/* A position that is gone or ahead: it has to be. */
static bool check_refusal(const struct stress_stream *stream, uint64_t wanted, uint64_t before, const aether_range *range)
{
    AE_LIGHT_BARRIER();
    uint64_t after = stress_get(&stream->begun);
    aether_status status = aether_error_status();
    if (status == AETHER_AHEAD) {
        STRESS_EXPECT(wanted > before && range->newest < wanted);
        return false;
    }
    if (status != AETHER_GONE)
        stress_fail("open: %s", aether_error());
    uint64_t behind = stress_stream_bytes(stream, after) - stress_stream_bytes(stream, wanted < after ? wanted : after);
    STRESS_EXPECT(wanted < range->floor && range->floor <= after);
    STRESS_EXPECT(behind >= stream->buffer->retain_bytes && after - wanted >= stream->buffer->retain_items);
    return false;
}

/* The writer may have looked for readers before this one came, and then fill a segment. */
static uint64_t limit_begins(const struct stress_stream *stream)
{
    return stress_stream_bytes(stream, stress_get(&stream->begun)) + stream->segment + stress_stream_batch_most(stream);
}

/* The next item was behind a splice. */
static void open_behind(struct stress_follower *follower)
{
    while (follower->stream->id != follower->cursor->segment->owner->epoch) {
        follower->stream = follower->stream->next;
        STRESS_EXPECT(follower->stream != NULL);
    }
    STRESS_EXPECT(follower->place <= stress_get(&follower->stream->begun));
    follower->not_before = UINT64_MAX;
    follower->may_lag = follower->unsure = true;
}

bool stress_follow(struct stress_follower *follower, const struct stress_stream *stream, aether_start start,
                   aether_on_limit policy, uint64_t limit, struct stress_random *random)
{
    aether_range range;
    uint64_t before = stress_get(&stream->published), wanted = 0;
    aether_cursor_options options = {.start = start,
                                     .on_limit = policy,
                                     .limit_bytes = policy != 0 ? limit : AETHER_UNLIMITED,
                                     .label = stress_one_in(random, 8) ? "label" : NULL,
                                     .range = &range};
    if (start >= AETHER_FROM_AFTER) { /* both lead to the item `wanted` */
        wanted = aether_buffer_range(stream->buffer).floor + stress_below(random, 200);
        options.position.index = start == AETHER_FROM_AFTER ? wanted : wanted + 1;
    }
    AE_LIGHT_BARRIER();
    aether_cursor *cursor = aether_cursor_open_with(stream->buffer, &options);
    if (cursor == NULL)
        return start >= AETHER_FROM_AFTER ? check_refusal(stream, wanted, before, &range)
                                          : (stress_fail("open: %s", aether_error()), false);
    *follower = (struct stress_follower){.cursor = cursor,
                                         .stream = stream,
                                         .policy = policy,
                                         .limit = policy != 0 ? limit : AETHER_UNLIMITED,
                                         .start = cursor->head.number,
                                         .place = cursor->head.number};
    if (cursor->segment->owner == stream->buffer) {
        check_place(follower, start, wanted, before);
        follower->not_before = limit_begins(stream);
    } else {
        STRESS_EXPECT(start == AETHER_FROM_NEXT);
        open_behind(follower);
    }
    return true;
}

void stress_follow_dup(const struct stress_follower *follower, struct stress_follower *twin)
{
    *twin = *follower;
    twin->cursor = aether_cursor_dup(follower->cursor);
    if (twin->cursor == NULL)
        stress_fail("dup: %s", aether_error());
    twin->all_missed = twin->all_missed_events = twin->lags = 0;
    if (twin->not_before != UINT64_MAX)
        twin->not_before = limit_begins(follower->stream);
}

/* ------------------------------------------------------------------------------------------------------------- reading */

static void check_sums(const struct stress_follower *follower)
{
    const struct stress_stream *stream = follower->stream;
    if (follower->start + follower->delivered + follower->missed != follower->place)
        stress_fail("from %llu on %llu were delivered and %llu missed, and the reader stands at %llu", (ull)follower->start,
                    (ull)follower->delivered, (ull)follower->missed, (ull)follower->place);
    uint64_t events = stress_stream_events(stream, follower->place) - stress_stream_events(stream, follower->start);
    if (follower->delivered_events + follower->missed_events != events)
        stress_fail("%llu events were delivered and %llu missed of %llu", (ull)follower->delivered_events,
                    (ull)follower->missed_events, (ull)events);
}

/* Where the call has led into other buffers: the one before was read to its end. */
static void cross(struct stress_follower *follower)
{
    const struct aether_buffer *owner = follower->cursor->segment->owner;
    while (follower->stream->id != owner->epoch) {
        const struct stress_stream *from = follower->stream;
        if (from->next == NULL || follower->place != stress_get(&from->begun))
            stress_fail("stream %llu was left at item %llu, and has %llu", (ull)from->id, (ull)follower->place,
                        (ull)stress_get(&from->begun));
        check_sums(follower);
        follower->stream = from->next;
        follower->start = follower->place = from->next_number;
        follower->delivered = follower->missed = follower->delivered_events = follower->missed_events = 0;
        follower->not_before = UINT64_MAX;
        follower->may_lag = true;
        follower->unsure = follower->unsure || stress_get(&from->next_limit) < follower->limit;
        stress_add(&stress_follow_crossings, 1);
    }
}

static void deliver(struct stress_follower *follower, const aether_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        stress_stream_check(follower->stream, follower->place, &items[i]);
        follower->place++;
        follower->delivered++;
        follower->delivered_events += items[i].events;
    }
    stress_add(&stress_follow_items, count);
}

static void be_lapped(struct stress_follower *follower)
{
    const struct stress_stream *stream = follower->stream;
    aether_cursor_stats stats;
    STRESS_EXPECT(aether_cursor_get_stats(follower->cursor, &stats) == AETHER_OK);
    uint64_t from = follower->place, to = follower->cursor->head.number;
    if (follower->policy != AETHER_LAP && !follower->may_lag)
        stress_fail("a reader with policy %d lagged, by %llu items", follower->policy, (ull)stats.missed_items);
    uint64_t begun = stress_get(&stream->begun);
    STRESS_EXPECT(from < to && to <= begun);
    uint64_t events = stress_stream_events(stream, to) - stress_stream_events(stream, from);
    if (stats.missed_items != to - from || stats.missed_events != events)
        stress_fail("lagged from %llu to %llu, over %llu events, and is told %llu items and %llu events", (ull)from, (ull)to,
                    (ull)events, (ull)stats.missed_items, (ull)stats.missed_events);
    uint64_t before = stress_stream_bytes(stream, begun) - stress_stream_bytes(stream, from);
    uint64_t after = stress_stream_bytes(stream, begun) - stress_stream_bytes(stream, to);
    uint64_t unread = follower->may_lag ? before : after; /* a splice may lead to where the window was smaller */
    if (follower->policy == AETHER_LAP && !follower->unsure && unread <= follower->limit)
        stress_fail("lagged from %llu to %llu, with %llu bytes unread and %llu still left, and a limit of %llu", (ull)from,
                    (ull)to, (ull)before, (ull)after, (ull)follower->limit);
    follower->place = to;
    follower->missed += to - from;
    follower->missed_events += events;
    follower->all_missed += to - from;
    follower->all_missed_events += events;
    follower->lags++;
    stress_add(&stress_follow_lags, 1);
}

/* The writer has kept the limit of a reader for which it waits, or which it does not lag: exceeded by a segment at the most.
 */
static void check_limit(const struct stress_follower *follower)
{
    const struct stress_stream *stream = follower->stream;
    if (follower->policy != AETHER_WAIT && follower->policy != AETHER_REFUSE)
        return;
    uint64_t published = stress_stream_bytes(stream, stress_get(&stream->published));
    if (published > follower->not_before &&
        published > stress_stream_bytes(stream, follower->place) + follower->limit + stream->segment)
        stress_fail("a reader with policy %d and a limit of %llu bytes stands at %llu, byte %llu, and %llu are published",
                    follower->policy, (ull)follower->limit, (ull)follower->place,
                    (ull)stress_stream_bytes(stream, follower->place), (ull)published);
}

static aether_status call(struct stress_follower *follower, int64_t timeout, aether_item *items, size_t *count,
                          struct stress_random *random)
{
    *count = 1;
    uint32_t way = stress_below(random, 8);
    if (way < 3 && aether_inline_next(follower->cursor, items))
        return AETHER_OK;
    return way == 7 ? aether_cursor_run(follower->cursor, items, STRESS_FOLLOW_RUN, count, timeout)
                    : aether_cursor_next(follower->cursor, items, timeout);
}

aether_status stress_follow_next(struct stress_follower *follower, int64_t timeout, struct stress_watch *watch,
                                 struct stress_random *random)
{
    aether_item items[STRESS_FOLLOW_RUN];
    size_t count;
    check_limit(follower);
    if (watch != NULL)
        stress_watch_enter(watch, &follower->stream->level, follower->place);
    aether_status status = call(follower, timeout, items, &count, random);
    if (watch != NULL)
        stress_watch_leave(watch);
    cross(follower);
    if (status == AETHER_OK)
        deliver(follower, items, count);
    else if (status == AETHER_LAGGED)
        be_lapped(follower);
    else if (aether_status_is_final(status) && follower->place != stress_get(&follower->stream->begun))
        stress_fail("stream %llu ended at item %llu with \"%s\", and has %llu", (ull)follower->stream->id,
                    (ull)follower->place, aether_status_text(status), (ull)stress_get(&follower->stream->begun));
    else if (!aether_status_is_final(status) && status != AETHER_EMPTY && status != AETHER_TIMEOUT &&
             status != AETHER_CANCELLED)
        stress_fail("next: %s: %s", aether_status_text(status), aether_error());
    if (follower->place != follower->cursor->head.number)
        stress_fail("stands at %llu, and has read up to %llu", (ull)follower->cursor->head.number, (ull)follower->place);
    return status;
}

void stress_follow_check(struct stress_follower *follower)
{
    const struct stress_stream *stream = follower->stream;
    aether_cursor_stats stats;
    check_sums(follower);
    uint64_t before = stress_get(&stream->published);
    AE_LIGHT_BARRIER();
    STRESS_EXPECT(aether_cursor_get_stats(follower->cursor, &stats) == AETHER_OK);
    AE_LIGHT_BARRIER();
    uint64_t after = stress_get(&stream->begun);
    if (stats.all_missed_items != follower->all_missed || stats.all_missed_events != follower->all_missed_events ||
        stats.lags != follower->lags)
        stress_fail("missed %llu items and %llu events in %llu lags, and is told %llu, %llu, %llu",
                    (ull)follower->all_missed, (ull)follower->all_missed_events, (ull)follower->lags,
                    (ull)stats.all_missed_items, (ull)stats.all_missed_events, (ull)stats.lags);
    STRESS_EXPECT(stats.lag_items <= after - follower->place);
    if (stats.lag_events > stress_stream_events(stream, after) - stress_stream_events(stream, follower->place))
        stress_fail("%llu events are said to be unread, of at most %llu", (ull)stats.lag_events,
                    (ull)(stress_stream_events(stream, after) - stress_stream_events(stream, follower->place)));
    STRESS_EXPECT(stats.lag_items >= before - follower->place || before < follower->place || stream->next != NULL ||
                  stats.lag_items == 0 /* the buffer is closed */);
}

void stress_follow_close(struct stress_follower *follower)
{
    stress_follow_check(follower);
    aether_cursor_close(follower->cursor);
    follower->cursor = NULL;
}
