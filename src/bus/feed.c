#include "bus/feed.h"

#include "base/clock.h"
#include "bus/snapshot.h"

/* Most patterns are quiet; a busy one's segments double soon. Where the largest ones are small, all are of that size. */
enum { FIRST_SEGMENT = 512, SMALL_SEGMENT = 4096 };

/* -------------------------------------------------------------------------------------------------------- lingering */

static void stop_lingering(struct ae_feed *feed)
{
    struct ae_domain *domain = feed->domain;
    if (!feed->lingers)
        return;
    feed->lingers = false;
    *(feed->previous != NULL ? &feed->previous->next : &domain->first_lingering) = feed->next;
    *(feed->next != NULL ? &feed->next->previous : &domain->last_lingering) = feed->previous;
}

/* All linger equally long, so the list is in the order of their ends. */
static void linger(struct ae_feed *feed)
{
    struct ae_domain *domain = feed->domain;
    stop_lingering(feed);
    feed->lingers = true;
    feed->until = ae_deadline(domain->linger_ns);
    feed->previous = domain->last_lingering;
    feed->next = NULL;
    *(feed->previous != NULL ? &feed->previous->next : &domain->first_lingering) = feed;
    domain->last_lingering = feed;
}

int64_t ae_feeds_sweep(struct ae_domain *domain, int64_t now)
{
    while (domain->first_lingering != NULL && domain->first_lingering->until <= now)
        ae_feed_retire(domain->first_lingering, AETHER_ENDED);
    return domain->first_lingering != NULL ? domain->first_lingering->until : AETHER_FOREVER;
}

void ae_feed_settle(struct ae_feed *feed)
{
    if (feed->is_retired || feed->followers != 0 || feed->is_retained)
        return;
    if (feed->domain->linger_ns > 0 && !feed->domain->is_shut_down)
        linger(feed);
    else
        ae_feed_retire(feed, AETHER_ENDED);
}

/* --------------------------------------------------------------------------------------------------------- lifetimes */

static size_t bytes_of(size_t pattern_size)
{
    return sizeof(struct ae_feed) + pattern_size + 1;
}

static aether_buffer *make_buffer(struct ae_domain *domain, uint64_t epoch, uint64_t newest_index)
{
    aether_buffer_options options = {.allocator = &domain->allocator,
                                     .epoch = epoch,
                                     .newest_index = newest_index,
                                     .segment_bytes = domain->segment_bytes,
                                     .first_segment_bytes =
                                         domain->segment_bytes > SMALL_SEGMENT ? FIRST_SEGMENT : domain->segment_bytes,
                                     .retain_bytes = domain->segment_bytes,
                                     .spins = domain->spins};
    aether_buffer *buffer = aether_buffer_create(&options);
    if (buffer != NULL)
        ae_buffer_wait_elsewhere(buffer);
    return buffer;
}

static struct ae_feed *make_feed(struct ae_domain *domain, aether_text pattern, uint64_t epoch, uint64_t newest_index)
{
    struct ae_feed *feed = ae_alloc(&domain->allocator, bytes_of(pattern.size), _Alignof(struct ae_feed));
    if (feed == NULL)
        return NULL;
    *feed = (struct ae_feed){
        .domain = domain, .buffer = make_buffer(domain, epoch, newest_index), .holds = 1, .size = (uint16_t)pattern.size};
    memcpy(feed->pattern, pattern.data, pattern.size);
    feed->pattern[pattern.size] = '\0';
    if (feed->buffer != NULL)
        return feed;
    ae_free(&domain->allocator, feed, bytes_of(pattern.size), _Alignof(struct ae_feed));
    return NULL;
}

static void unmake_feed(struct ae_feed *feed)
{
    aether_buffer_destroy(feed->buffer);
    ae_free(&feed->domain->allocator, feed, bytes_of(feed->size), _Alignof(struct ae_feed));
}

static void enlist(struct ae_feed *feed)
{
    struct ae_domain *domain = feed->domain;
    feed->next_feed = domain->first_feed;
    if (feed->next_feed != NULL)
        feed->next_feed->previous_feed = feed;
    domain->first_feed = feed;
    domain->counters.feeds++;
}

static void delist(struct ae_feed *feed)
{
    struct ae_domain *domain = feed->domain;
    *(feed->previous_feed != NULL ? &feed->previous_feed->next_feed : &domain->first_feed) = feed->next_feed;
    if (feed->next_feed != NULL)
        feed->next_feed->previous_feed = feed->previous_feed;
    domain->counters.feeds--;
}

struct ae_feed *ae_feed_get(struct ae_domain *domain, const struct ae_subject *pattern)
{
    struct ae_feed *feed = ae_feed_find(domain, pattern);
    if (feed != NULL)
        return feed;
    feed = make_feed(domain, pattern->text, ae_domain_epoch(domain), ae_domain_index(domain));
    if (feed == NULL)
        return NULL;
    void **value = ae_trie_insert(&domain->feeds, pattern);
    if (value == NULL) {
        unmake_feed(feed);
        return NULL;
    }
    *value = feed;
    enlist(feed);
    return feed;
}

void ae_feed_hold(struct ae_feed *feed)
{
    feed->holds++;
}

void ae_feed_drop(struct ae_feed *feed)
{
    if (--feed->holds == 0)
        ae_free(&feed->domain->allocator, feed, bytes_of(feed->size), _Alignof(struct ae_feed));
}

void ae_feed_follow(struct ae_feed *feed)
{
    ae_feed_hold(feed);
    feed->followers++;
    stop_lingering(feed);
}

void ae_feed_unfollow(struct ae_feed *feed)
{
    if (--feed->followers == 0)
        ae_feed_settle(feed);
    ae_feed_drop(feed);
}

static void destroy_buffer(struct ae_feed *feed)
{
    aether_buffer_destroy(feed->buffer);
    feed->buffer = NULL;
}

static void set_retention(struct ae_feed *feed)
{
    uint64_t least = feed->domain->segment_bytes;
    uint64_t bytes = feed->is_retained && feed->retention.bytes > least ? feed->retention.bytes : least;
    ae_buffer_set_retention(feed->buffer, bytes, feed->is_retained ? feed->retention.events : 0,
                            feed->is_retained ? feed->retention.ns : 0);
}

/* All but the trie. */
static void end(struct ae_feed *feed, aether_status reason)
{
    stop_lingering(feed);
    ae_snapshot_cancel(feed, reason);
    delist(feed);
    feed->is_retired = true;
    feed->final_events = ae_buffer_events(feed->buffer);
    feed->final_items = ae_buffer_items(feed->buffer);
    aether_status status = aether_buffer_end(feed->buffer, reason);
    AE_ASSERT(status == AETHER_OK);
    aether_buffer_cancel(feed->buffer); /* whoever awaits its room */
    if (feed->waiters == 0)
        destroy_buffer(feed);
    ae_feed_drop(feed);
}

static struct ae_subject parse(const struct ae_feed *feed)
{
    struct ae_subject pattern;
    bool wild;
    aether_status status = ae_pattern_parse(&pattern, feed->pattern, feed->size, &wild, "");
    AE_ASSERT(status == AETHER_OK);
    return pattern;
}

void ae_feed_retire(struct ae_feed *feed, aether_status reason)
{
    if (feed->is_retired)
        return;
    struct ae_subject pattern = parse(feed);
    ae_trie_remove(&feed->domain->feeds, &pattern);
    end(feed, reason);
}

bool ae_feed_prepare_renewal(struct ae_feed *feed, uint64_t epoch, uint64_t newest_index)
{
    feed->renewed = NULL;
    if (!feed->is_retained)
        return true;
    feed->renewed = make_feed(feed->domain, ae_feed_pattern(feed), epoch, newest_index);
    return feed->renewed != NULL;
}

void ae_feed_give_up_renewal(struct ae_feed *feed)
{
    if (feed->renewed != NULL)
        unmake_feed(feed->renewed);
    feed->renewed = NULL;
}

void ae_feed_renew(struct ae_feed *feed, aether_status reason)
{
    struct ae_feed *renewed = feed->renewed;
    if (renewed == NULL) {
        ae_feed_retire(feed, reason);
        return;
    }
    struct ae_domain *domain = feed->domain;
    struct ae_subject pattern = parse(feed);
    renewed->is_retained = true;
    renewed->retention = feed->retention;
    set_retention(renewed);
    *ae_trie_insert(&domain->feeds, &pattern) = renewed; /* it is there: nothing can fail */
    domain->generation++;
    end(feed, reason);
    enlist(renewed);
}

void ae_feed_await(struct ae_feed *feed)
{
    ae_feed_hold(feed);
    feed->waiters++;
}

void ae_feed_await_no_more(struct ae_feed *feed)
{
    if (--feed->waiters == 0 && feed->is_retired)
        destroy_buffer(feed);
    ae_feed_drop(feed);
}

/* ----------------------------------------------------------------------------------------------------------- figures */

uint64_t ae_feed_events(const struct ae_feed *feed)
{
    return feed->is_retired ? feed->final_events : ae_buffer_events(feed->buffer);
}

uint64_t ae_feed_items(const struct ae_feed *feed)
{
    return feed->is_retired ? feed->final_items : ae_buffer_items(feed->buffer);
}

void ae_feed_retain(struct ae_feed *feed, const aether_retention *retention)
{
    feed->is_retained = true;
    feed->retention = *retention;
    stop_lingering(feed);
    set_retention(feed);
}

void ae_feed_release(struct ae_feed *feed)
{
    feed->is_retained = false;
    set_retention(feed);
    ae_feed_settle(feed);
}
