/*
 * Random calls beside a model: a log of what was published. Each subscription has to hand out exactly what the log has for
 * it, through snapshots, lags, refreshes, resets and ends.
 */
#include "common/unit.h"

#include <stdio.h>

#include "common/unit_bus.h"
#include "common/unit_snapshot.h"

enum { LOG = 4000, FOLLOWERS = 12, SUBJECTS = 39, PATTERNS = 8, STEPS = 6000, REFRESHES = 200 };

struct entry {
    uint64_t index, value;
    size_t subject;
};

struct shown {
    size_t subject;
    uint64_t value;
};

struct follower {
    aether_subscription *sub; /* NULL: none */
    char pattern[12], label[4];
    size_t start, next, end; /* entries of the log; `end` only once it is over */
    aether_status reason;    /* of its end; AETHER_OK: it is open */
    bool drains, by_type, limited, owes_follows;
    struct shown shown[SUBJECTS]; /* of the snapshot that it reads */
    size_t shown_count, shown_next;
    uint64_t shown_index;
    bool in_snapshot, makes_snapshots;
    uint64_t lagged;
};

struct model {
    aether_bus *bus;
    aether_topic *topics[SUBJECTS];
    char subjects[SUBJECTS][12];
    uint64_t state[SUBJECTS]; /* 0: none */
    uint64_t seed, value, epoch, newest;
    struct entry log[LOG];
    size_t count;
    struct follower followers[FOLLOWERS];
    struct {
        char pattern[12];
        uint64_t floor;
    } retained[PATTERNS]; /* "": none */
    struct {
        char pattern[12];
        uint64_t index;
    } refreshed[REFRESHES];
    size_t refreshes;
};

static uint64_t draw(struct model *model, uint64_t below)
{
    model->seed ^= model->seed << 13;
    model->seed ^= model->seed >> 7;
    model->seed ^= model->seed << 17;
    return (model->seed >> 11) % below;
}

static void draw_pattern(struct model *model, char *pattern)
{
    size_t tokens = draw(model, 3) + 1, at = 0;
    for (size_t i = 0; i < tokens; i++) {
        char token = "aabbc*>"[draw(model, 7)];
        if (i > 0)
            pattern[at++] = '.';
        pattern[at++] = token;
        if (token == '>')
            break;
    }
    pattern[at] = '\0';
}

static bool is_odd(uint64_t value)
{
    return value % 2 == 1;
}

/* ------------------------------------------------------------------------------------------------------------ publishing */

static void publish(struct model *model)
{
    static char large[3000];
    enum { MOST = 4 };
    aether_event batch[MOST];
    char data[MOST][24];
    size_t count = draw(model, 3) == 0 ? draw(model, MOST) + 1 : 1, subject = 0;
    bool by_topic = draw(model, 3) == 0;
    if (model->count + count > LOG)
        return;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || !by_topic)
            subject = draw(model, SUBJECTS);
        uint64_t value = ++model->value;
        snprintf(data[i], sizeof *data, "%llu", (unsigned long long)value);
        size_t extra = draw(model, 40) == 0 ? sizeof large : draw(model, 200);
        batch[i] = (aether_event){.subject = model->subjects[subject],
                                  .type = is_odd(value) ? "odd" : "even",
                                  .metadata = {large, extra},
                                  .data = AETHER_TEXT(data[i])};
        model->log[model->count++] = (struct entry){model->newest + 1, value, subject};
        model->state[subject] = value;
    }
    model->newest++;
    if (by_topic)
        expect_ok(aether_topic_publish_batch(model->topics[subject], batch, count));
    else if (count == 1)
        expect_ok(aether_publish(model->bus, batch->subject, batch));
    else
        expect_ok(aether_publish_batch(model->bus, batch, count));
    expect_position(model->epoch, model->newest, aether_bus_newest(model->bus));
}

/* ------------------------------------------------------------------------------------------------------------- snapshots */

static aether_status make(aether_snapshot *snapshot, const char *pattern, uint64_t *index, void *user)
{
    struct model *model = user;
    aether_status status = AETHER_OK;
    for (size_t i = 0; i < SUBJECTS && status == AETHER_OK; i++) {
        if (model->state[i] == 0 || !aether_pattern_matches(pattern, model->subjects[i]))
            continue;
        char data[24];
        snprintf(data, sizeof data, "%llu", (unsigned long long)model->state[i]);
        status =
            aether_snapshot_append(snapshot,
                                   AETHER_EVENT(.subject = model->subjects[i],
                                                .type = is_odd(model->state[i]) ? "odd" : "even", .data = AETHER_TEXT(data)),
                                   1);
    }
    *index = model->newest;
    return status;
}

/* The handler has run just now. */
static void begin_snapshot(struct model *model, struct follower *follower)
{
    follower->in_snapshot = true;
    follower->shown_count = follower->shown_next = 0;
    for (size_t i = 0; i < SUBJECTS; i++)
        if (model->state[i] != 0 && aether_pattern_matches(follower->pattern, model->subjects[i]) &&
            (!follower->by_type || is_odd(model->state[i])))
            follower->shown[follower->shown_count++] = (struct shown){i, model->state[i]};
    follower->shown_index = model->newest;
    follower->next = model->count;
}

/* ----------------------------------------------------------------------------------------------------------- subscribing */

static size_t first_above(const struct model *model, uint64_t index)
{
    size_t at = 0;
    while (at < model->count && model->log[at].index <= index)
        at++;
    return at;
}

static bool was_refreshed(const struct model *model, const char *pattern, uint64_t after)
{
    for (size_t i = 0; i < model->refreshes; i++)
        if (model->refreshed[i].index >= after && aether_pattern_overlaps(model->refreshed[i].pattern, pattern))
            return true;
    return false;
}

static bool is_kept(const struct model *model, const char *pattern, uint64_t after)
{
    for (size_t i = 0; i < PATTERNS; i++)
        if (model->retained[i].pattern[0] != '\0' && model->retained[i].floor <= after &&
            aether_pattern_covers(model->retained[i].pattern, pattern))
            return true;
    return after == model->newest;
}

/* Why there is no subscription after `position`. */
static void expect_reason(const struct model *model, const struct follower *follower, aether_position position)
{
    aether_status status = aether_error_status();
    if (position.epoch != model->epoch)
        expect_status(AETHER_OTHER_EPOCH, status);
    else if (position.index > model->newest)
        expect_status(AETHER_AHEAD, status);
    else
        cr_assert(status == AETHER_GONE && (was_refreshed(model, follower->pattern, position.index) ||
                                            !is_kept(model, follower->pattern, position.index)),
                  "%s after %" PRIu64 ": %s", follower->pattern, position.index, aether_error());
}

static void open_follower(struct model *model, struct follower *follower)
{
    static const char *const odd[] = {"odd"};
    *follower = (struct follower){.by_type = draw(model, 4) == 0, .drains = draw(model, 2) == 0};
    draw_pattern(model, follower->pattern);
    snprintf(follower->label, sizeof follower->label, "l%u", (unsigned)draw(model, 3));
    aether_begin begin = (aether_begin)draw(model, 6);
    if (begin == AETHER_BEGIN_OLDEST || begin == AETHER_BEGIN_AT)
        begin = AETHER_BEGIN_NOW;
    aether_position position = {draw(model, 20) == 0 ? 1 : model->epoch, draw(model, model->newest + 2)};
    follower->limited = begin == AETHER_BEGIN_NOW && draw(model, 2) == 0;
    follower->makes_snapshots = begin >= AETHER_BEGIN_SNAPSHOT;
    aether_subscribe_options options = {.begin = begin,
                                        .limit_bytes = follower->limited ? UNIT_LIMIT : AETHER_UNLIMITED,
                                        .position = position,
                                        .label = follower->label,
                                        .filter = {.types = odd, .type_count = follower->by_type ? 1 : 0},
                                        .drain = follower->drains};
    follower->sub = aether_subscribe(model->bus, follower->pattern, &options);
    if (follower->sub == NULL) {
        cr_assert(begin == AETHER_BEGIN_AFTER, "%s", aether_error());
        expect_reason(model, follower, position);
        return;
    }
    follower->start = follower->next = model->count;
    if (begin == AETHER_BEGIN_SNAPSHOT)
        begin_snapshot(model, follower);
    if (begin == AETHER_BEGIN_AFTER || begin == AETHER_BEGIN_RESUME)
        follower->next = first_above(model, position.index);
    if (begin == AETHER_BEGIN_AFTER)
        cr_assert(position.epoch == model->epoch && position.index <= model->newest &&
                  !was_refreshed(model, follower->pattern, position.index));
    if (begin != AETHER_BEGIN_RESUME)
        return;
    if (aether_subscription_position(follower->sub).epoch != 0)
        return; /* it resumes */
    begin_snapshot(model, follower);
    follower->owes_follows = true;
}

/* --------------------------------------------------------------------------------------------------------------- reading */

/* The next entry that it has to hand out, before `until`. */
static const struct entry *next_entry(struct model *model, struct follower *follower, size_t until)
{
    while (follower->next < until) {
        const struct entry *entry = &model->log[follower->next++];
        if (aether_pattern_matches(follower->pattern, model->subjects[entry->subject]) &&
            (!follower->by_type || is_odd(entry->value)))
            return entry;
    }
    return NULL;
}

static void expect_event(const struct model *model, const aether_event *event, size_t subject, uint64_t value)
{
    expect_number(value, unit_number(event));
    cr_assert(event->subject_size == strlen(model->subjects[subject]) &&
              memcmp(event->subject, model->subjects[subject], event->subject_size) == 0);
}

/* Missed: it goes on behind all that it accounts for, whatever their type. */
static void skip_missed(struct model *model, struct follower *follower)
{
    aether_subscription_stats stats = unit_account(follower->sub);
    cr_assert(follower->limited && stats.lagged > follower->lagged);
    follower->lagged = stats.lagged;
    follower->next = follower->start;
    for (uint64_t left = stats.delivered + stats.filtered + stats.lagged; left > 0; follower->next++) {
        cr_assert(follower->next < model->count);
        left -= aether_pattern_matches(follower->pattern, model->subjects[model->log[follower->next].subject]);
    }
}

static void take_mark_or_shown(struct model *model, struct follower *follower, const aether_event *event)
{
    if (follower->owes_follows) {
        expect_number(AETHER_EVENT_SNAPSHOT_FOLLOWS, event->kind);
        follower->owes_follows = false;
    } else if (follower->shown_next < follower->shown_count) {
        expect_number(AETHER_EVENT_SNAPSHOT, event->kind);
        const struct shown *shown = &follower->shown[follower->shown_next++];
        expect_event(model, event, shown->subject, shown->value);
    } else {
        expect_number(AETHER_EVENT_SNAPSHOT_END, event->kind);
        expect_number(follower->shown_index, event->index);
        follower->in_snapshot = false;
    }
}

/* One call. False: there is nothing more. */
static bool read_one(struct model *model, struct follower *follower)
{
    aether_event event;
    aether_status status = aether_next(follower->sub, &event, AETHER_NO_WAIT);
    bool over = follower->reason != AETHER_OK;
    if (over && !follower->drains) {
        expect_status(follower->reason, status);
        return false;
    }
    if (status == AETHER_LAGGED) {
        skip_missed(model, follower);
        return true;
    }
    if (follower->in_snapshot) {
        expect_ok(status);
        take_mark_or_shown(model, follower, &event);
        return true;
    }
    const struct entry *entry = next_entry(model, follower, over ? follower->end : model->count);
    if (entry == NULL) {
        expect_status(over ? follower->reason : AETHER_EMPTY, status);
        return false;
    }
    expect_ok(status);
    expect_number(AETHER_EVENT_LIVE, event.kind);
    expect_number(entry->index, event.index);
    expect_number(model->epoch, event.epoch);
    expect_event(model, &event, entry->subject, entry->value);
    return true;
}

static void read_some(struct model *model, struct follower *follower)
{
    for (uint64_t left = draw(model, 3) == 0 ? LOG * 2 : draw(model, 10); left > 0 && read_one(model, follower); left--)
        ;
    expect_fine(unit_adds_up(follower->sub));
}

/* ------------------------------------------------------------------------------------------------------------------ ends */

static void end(struct model *model, struct follower *follower, aether_status reason)
{
    if (follower->sub == NULL || follower->reason != AETHER_OK)
        return;
    follower->reason = reason;
    follower->end = model->count;
}

static void close_follower(struct follower *follower)
{
    aether_subscription_close(follower->sub);
    follower->sub = NULL;
}

static void refresh(struct model *model)
{
    char pattern[12];
    draw_pattern(model, pattern);
    if (model->refreshes == REFRESHES)
        return;
    expect_ok(aether_bus_refresh(model->bus, pattern));
    snprintf(model->refreshed[model->refreshes].pattern, sizeof pattern, "%s", pattern);
    model->refreshed[model->refreshes++].index = model->newest;
    for (size_t i = 0; i < FOLLOWERS; i++)
        if (aether_pattern_overlaps(pattern, model->followers[i].pattern))
            end(model, &model->followers[i], AETHER_RESET);
}

/* Those who drain read what they have first: the model's log is only of one history. */
static void reset(struct model *model)
{
    for (size_t i = 0; i < FOLLOWERS; i++) {
        struct follower *follower = &model->followers[i];
        if (follower->sub == NULL)
            continue;
        while (read_one(model, follower))
            ;
        end(model, follower, AETHER_RESET);
        follower->drains = false;
    }
    model->newest = draw(model, 100);
    expect_ok(aether_bus_reset(model->bus, &(aether_position){++model->epoch, model->newest}));
    model->count = model->refreshes = 0;
    memset(model->state, 0, sizeof model->state);
    for (size_t i = 0; i < PATTERNS; i++)
        model->retained[i].floor = model->newest;
}

static void retain_or_release(struct model *model)
{
    size_t at = draw(model, PATTERNS);
    if (model->retained[at].pattern[0] != '\0') {
        aether_status status = aether_bus_release(model->bus, model->retained[at].pattern);
        for (size_t i = 0; i < PATTERNS; i++) /* all that have this pattern */
            if (i != at && strcmp(model->retained[i].pattern, model->retained[at].pattern) == 0)
                model->retained[i].pattern[0] = '\0';
        expect_ok(status);
        model->retained[at].pattern[0] = '\0';
        return;
    }
    draw_pattern(model, model->retained[at].pattern);
    model->retained[at].floor = model->newest;
    unit_retain(model->bus, model->retained[at].pattern);
}

static void close_label(struct model *model)
{
    char label[4];
    snprintf(label, sizeof label, "l%u", (unsigned)draw(model, 3));
    expect_ok(aether_bus_close_label(model->bus, label, AETHER_ACCESS_CHANGED));
    for (size_t i = 0; i < FOLLOWERS; i++)
        if (strcmp(model->followers[i].label, label) == 0)
            end(model, &model->followers[i], AETHER_ACCESS_CHANGED);
}

/* --------------------------------------------------------------------------------------------------------------- running */

static void step(struct model *model)
{
    struct follower *follower = &model->followers[draw(model, FOLLOWERS)];
    uint64_t what = draw(model, 1000);
    if (what < 500)
        publish(model);
    else if (what < 510)
        retain_or_release(model);
    else if (what < 515)
        refresh(model);
    else if (what < 517 || model->count + 10 > LOG)
        reset(model);
    else if (what < 520)
        close_label(model);
    else if (follower->sub == NULL)
        open_follower(model, follower);
    else if (what < 960 || follower->reason == AETHER_OK)
        read_some(model, follower);
    else
        close_follower(follower);
    if (what < 980 || follower->sub == NULL)
        return;
    if (follower->reason == AETHER_OK && what % 2 == 0) {
        expect_ok(aether_unsubscribe(follower->sub));
        end(model, follower, AETHER_UNSUBSCRIBED);
    } else {
        close_follower(follower);
    }
}

static void run(uint64_t seed, int64_t linger_ns)
{
    static struct model model;
    memset(&model, 0, sizeof model);
    aether_bus_options options = unit_bus_options();
    options.linger_ns = linger_ns;
    model.bus = unit_bus_with(options);
    model.epoch = UNIT_EPOCH;
    model.seed = seed;
    size_t made = 0;
    for (size_t length = 1; length <= 3; length++)
        for (size_t code = 0; code < (length == 1 ? 3u : length == 2 ? 9u : 27u); code++, made++)
            snprintf(model.subjects[made], sizeof *model.subjects,
                     length == 1   ? "%c"
                     : length == 2 ? "%c.%c"
                                   : "%c.%c.%c",
                     (char)('a' + code % 3), (char)('a' + code / 3 % 3), (char)('a' + code / 9));
    for (size_t i = 0; i < SUBJECTS; i++)
        model.topics[i] = aether_topic_open(model.bus, model.subjects[i]);
    aether_snapshot_handler handler = {.make = make, .user = &model, .cache_ns = -1};
    expect_ok(aether_bus_handle_snapshots(model.bus, ">", &handler));
    for (int i = 0; i < STEPS; i++)
        step(&model);
    for (size_t i = 0; i < FOLLOWERS; i++) {
        if (model.followers[i].sub == NULL)
            continue;
        while (read_one(&model, &model.followers[i]))
            ;
        expect_fine(unit_adds_up(model.followers[i].sub));
        close_follower(&model.followers[i]);
    }
    for (size_t i = 0; i < SUBJECTS; i++)
        aether_topic_close(model.topics[i]);
    expect_number(0, unit_bus_stats(model.bus).subscriptions);
    aether_bus_destroy(model.bus);
}

TEST(bus_fuzz, BUS1_random_calls_agree_with_a_log)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        run(seed * UINT64_C(0x9e3779b97f4a7c15), seed % 2 == 0 ? -1 : AETHER_SECONDS(1000));
        cr_assert(unit_memory_is_balanced(), "seed %" PRIu64, seed);
    }
}
