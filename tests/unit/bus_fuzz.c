/*
 * Random calls beside a log of what was published: each subscription has to hand out exactly what the log has for it,
 * through snapshots, lags, refreshes, resets and ends.
 */
#include "common/unit.h"

#include <poll.h>
#include <stdio.h>

#include "common/unit_bus.h"
#include "common/unit_log.h"
#include "common/unit_snapshot.h"

enum { FOLLOWERS = 12, STEPS = 6000 };

struct follower {
    aether_subscription *sub; /* NULL: none */
    char pattern[UNIT_PATTERN], label[4];
    size_t start, next, end; /* entries of the log; `end` only once it is over */
    aether_status reason;    /* of its end; AETHER_OK: it is open */
    bool drains, by_type, limited, owes_follows, with_snapshots;
    bool in_snapshot;
    size_t shown;                         /* subjects of the snapshot that it has read */
    uint64_t state[UNIT_SUBJECTS], index; /* that the snapshot shows */
    uint64_t lagged;
    int fd; /* 0: none */
};

struct model {
    struct unit_log log;
    aether_bus *bus;
    aether_topic *topics[UNIT_SUBJECTS];
    struct follower followers[FOLLOWERS];
};

static bool is_odd(uint64_t value)
{
    return value % 2 == 1;
}

static aether_event make_event(const char *subject, uint64_t value, char *data, size_t size)
{
    snprintf(data, size, "%llu", (unsigned long long)value);
    return (aether_event){.subject = subject, .type = is_odd(value) ? "odd" : "even", .data = AETHER_TEXT(data)};
}

/* ------------------------------------------------------------------------------------------------------------ publishing */

static void publish(struct model *model)
{
    enum { MOST = 4, DATA = 24 };
    static char large[3000], data[MOST][DATA];
    struct unit_log *log = &model->log;
    aether_event batch[MOST];
    size_t count = unit_draw(log, 3) == 0 ? unit_draw(log, MOST) + 1 : 1, subject = 0;
    bool by_topic = unit_draw(log, 3) == 0;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || !by_topic)
            subject = unit_draw(log, UNIT_SUBJECTS);
        batch[i] = make_event(log->subjects[subject], unit_log_add(log, subject), data[i], DATA);
        batch[i].metadata = aether_bytes(large, unit_draw(log, 40) == 0 ? sizeof large : unit_draw(log, 200));
    }
    log->newest++;
    if (by_topic)
        expect_ok(aether_topic_publish_batch(model->topics[subject], batch, count));
    else if (count == 1)
        expect_ok(aether_publish(model->bus, batch->subject, batch));
    else
        expect_ok(aether_publish_batch(model->bus, batch, count));
    expect_position(log->epoch, log->newest, aether_bus_newest(model->bus));
}

/* ------------------------------------------------------------------------------------------------------------- snapshots */

static aether_status make(aether_snapshot *snapshot, const char *pattern, uint64_t *index, void *user)
{
    const struct unit_log *log = user;
    aether_status status = AETHER_OK;
    for (size_t i = 0; i < UNIT_SUBJECTS && status == AETHER_OK; i++) {
        char data[24];
        aether_event event = make_event(log->subjects[i], log->state[i], data, sizeof data);
        if (log->state[i] != 0 && aether_pattern_matches(pattern, log->subjects[i]))
            status = aether_snapshot_append(snapshot, &event, 1);
    }
    *index = log->newest;
    return status;
}

/* The handler has run just now. */
static void begin_snapshot(const struct model *model, struct follower *follower)
{
    const struct unit_log *log = &model->log;
    follower->in_snapshot = true;
    follower->shown = 0;
    memcpy(follower->state, log->state, sizeof follower->state);
    for (size_t i = 0; i < UNIT_SUBJECTS; i++)
        if (!aether_pattern_matches(follower->pattern, log->subjects[i]) || (follower->by_type && !is_odd(log->state[i])))
            follower->state[i] = 0; /* not for this one */
    follower->index = log->newest;
    follower->next = log->count;
}

/* ----------------------------------------------------------------------------------------------------------- subscribing */

/* Why there is no subscription after `position`. */
static void expect_reason(const struct model *model, const struct follower *follower, aether_position position)
{
    const struct unit_log *log = &model->log;
    aether_status status = aether_error_status();
    if (position.epoch != log->epoch)
        expect_status(AETHER_OTHER_EPOCH, status);
    else if (position.index > log->newest)
        expect_status(AETHER_AHEAD, status);
    else
        cr_assert(status == AETHER_GONE && (unit_log_was_refreshed(log, follower->pattern, position.index) ||
                                            !unit_log_is_kept(log, follower->pattern, position.index)),
                  "%s after %" PRIu64 ": %s", follower->pattern, position.index, aether_error());
}

static aether_subscription *subscribe(struct model *model, struct follower *follower, aether_begin begin,
                                      aether_position position)
{
    static const char *const odd[] = {"odd"};
    aether_subscribe_options options = {.begin = begin,
                                        .limit_bytes = follower->limited ? UNIT_LIMIT : AETHER_UNLIMITED,
                                        .position = position,
                                        .label = follower->label,
                                        .filter = {.types = odd, .type_count = follower->by_type ? 1 : 0},
                                        .drain = follower->drains};
    return aether_subscribe(model->bus, follower->pattern, &options);
}

static void open_follower(struct model *model, struct follower *follower)
{
    static const aether_begin begins[] = {AETHER_BEGIN_NOW, AETHER_BEGIN_AFTER, AETHER_BEGIN_SNAPSHOT, AETHER_BEGIN_RESUME};
    struct unit_log *log = &model->log;
    aether_begin begin = begins[unit_draw(log, 4)];
    aether_position position = {unit_draw(log, 20) == 0 ? 1 : log->epoch, unit_draw(log, log->newest + 2)};
    *follower = (struct follower){.by_type = unit_draw(log, 4) == 0,
                                  .drains = unit_draw(log, 2) == 0,
                                  .with_snapshots = begin >= AETHER_BEGIN_SNAPSHOT};
    follower->limited = begin != AETHER_BEGIN_AFTER && unit_draw(log, 2) == 0;
    unit_draw_pattern(log, follower->pattern);
    snprintf(follower->label, sizeof follower->label, "l%u", (unsigned)unit_draw(log, 3));
    follower->sub = subscribe(model, follower, begin, position);
    if (follower->sub == NULL) {
        cr_assert(begin == AETHER_BEGIN_AFTER, "%s", aether_error());
        expect_reason(model, follower, position);
        return;
    }
    bool resumes = begin == AETHER_BEGIN_RESUME && aether_subscription_position(follower->sub).epoch != 0;
    if (begin == AETHER_BEGIN_AFTER || resumes)
        cr_assert(position.epoch == log->epoch && position.index <= log->newest &&
                  !unit_log_was_refreshed(log, follower->pattern, position.index));
    follower->start = follower->next =
        begin == AETHER_BEGIN_AFTER || resumes ? unit_log_above(log, position.index) : log->count;
    follower->owes_follows = begin == AETHER_BEGIN_RESUME && !resumes;
    follower->fd = unit_draw(log, 3) == 0 ? aether_subscription_fd(follower->sub) : 0;
    cr_assert(follower->fd >= 0);
    if (follower->with_snapshots && !resumes)
        begin_snapshot(model, follower);
}

/* --------------------------------------------------------------------------------------------------------------- reading */

static void expect_event(const struct unit_log *log, const aether_event *event, size_t subject, uint64_t value)
{
    expect_number(value, unit_number(event));
    cr_assert(event->subject_size == strlen(log->subjects[subject]) &&
              memcmp(event->subject, log->subjects[subject], event->subject_size) == 0);
}

/* It goes on behind all that it accounts for, whatever their type. */
static void skip_missed(const struct model *model, struct follower *follower)
{
    aether_subscription_stats stats = unit_account(follower->sub);
    cr_assert(follower->limited && !follower->with_snapshots && stats.lagged > follower->lagged);
    follower->lagged = stats.lagged;
    follower->next = follower->start;
    for (uint64_t left = stats.delivered + stats.filtered + stats.lagged; left > 0; follower->next++) {
        cr_assert(follower->next < model->log.count);
        left -= unit_log_matches(&model->log, follower->next, follower->pattern);
    }
}

static void take_of_snapshot(const struct model *model, struct follower *follower, const aether_event *event)
{
    if (follower->owes_follows) {
        expect_number(AETHER_EVENT_SNAPSHOT_FOLLOWS, event->kind);
        follower->owes_follows = false;
        return;
    }
    while (follower->shown < UNIT_SUBJECTS && follower->state[follower->shown] == 0)
        follower->shown++;
    if (follower->shown < UNIT_SUBJECTS) {
        expect_number(AETHER_EVENT_SNAPSHOT, event->kind);
        expect_event(&model->log, event, follower->shown, follower->state[follower->shown]);
        follower->shown++;
        return;
    }
    expect_number(AETHER_EVENT_SNAPSHOT_END, event->kind);
    expect_number(follower->index, event->index);
    follower->in_snapshot = false;
}

/* The next entry is this one, where there is one. */
static bool take_live(const struct model *model, struct follower *follower, const aether_event *event, aether_status status)
{
    const struct unit_log *log = &model->log;
    bool over = follower->reason != AETHER_OK;
    for (size_t at; (at = follower->next) < (over ? follower->end : log->count);) {
        follower->next++;
        if (!unit_log_matches(log, at, follower->pattern) || (follower->by_type && !is_odd(log->entries[at].value)))
            continue;
        expect_ok(status);
        expect_number(AETHER_EVENT_LIVE, event->kind);
        expect_position(log->epoch, log->entries[at].index, ((aether_position){event->epoch, event->index}));
        expect_event(log, event, log->entries[at].subject, log->entries[at].value);
        return true;
    }
    expect_status(over ? follower->reason : AETHER_EMPTY, status);
    return false;
}

static bool is_readable(const struct follower *follower)
{
    struct pollfd entry = {.fd = follower->fd, .events = POLLIN};
    return poll(&entry, 1, 0) == 1;
}

/* Whatever there is, its descriptor has told of it. */
static aether_status next(struct follower *follower, aether_event *event)
{
    bool readable = follower->fd == 0 || is_readable(follower);
    aether_status status = aether_next(follower->sub, event, AETHER_NO_WAIT);
    cr_assert(readable || status == AETHER_EMPTY, "the descriptor was not readable before \"%s\"",
              aether_status_text(status));
    cr_assert(follower->fd == 0 || (status == AETHER_EMPTY) == !is_readable(follower) || status == AETHER_OK);
    return status;
}

/* One call. False: there is nothing more. */
static bool read_one(const struct model *model, struct follower *follower)
{
    aether_event event;
    aether_status status = next(follower, &event);
    bool over = follower->reason != AETHER_OK, may_begin_again = follower->limited && follower->with_snapshots;
    if (over && (!follower->drains || (may_begin_again && status == follower->reason))) {
        expect_status(follower->reason, status); /* who is over gets no new snapshot for what was missed */
        return false;
    }
    if (status == AETHER_LAGGED) {
        skip_missed(model, follower);
        return true;
    }
    if (status == AETHER_OK && may_begin_again && !follower->in_snapshot && event.kind == AETHER_EVENT_SNAPSHOT_FOLLOWS) {
        begin_snapshot(model, follower);
        return true;
    }
    if (!follower->in_snapshot)
        return take_live(model, follower, &event, status);
    expect_ok(status);
    take_of_snapshot(model, follower, &event);
    return true;
}

static void read_some(struct model *model, struct follower *follower)
{
    uint64_t most = unit_draw(&model->log, 3) == 0 ? 2 * UNIT_LOG : unit_draw(&model->log, 10);
    while (most-- > 0 && read_one(model, follower))
        ;
    expect_fine(unit_adds_up(follower->sub));
}

/* ------------------------------------------------------------------------------------------------------------------ ends */

static void end(const struct model *model, struct follower *follower, aether_status reason)
{
    if (follower->sub == NULL || follower->reason != AETHER_OK)
        return;
    follower->reason = reason;
    follower->end = model->log.count;
}

static void close_follower(const struct model *model, struct follower *follower, bool reads_first)
{
    while (reads_first && read_one(model, follower))
        ;
    expect_fine(unit_adds_up(follower->sub));
    aether_subscription_close(follower->sub);
    follower->sub = NULL;
}

static void refresh(struct model *model)
{
    struct unit_log *log = &model->log;
    if (log->refreshes == UNIT_REFRESHES)
        return;
    char *pattern = log->refreshed[log->refreshes].pattern;
    unit_draw_pattern(log, pattern);
    expect_ok(aether_bus_refresh(model->bus, pattern));
    log->refreshed[log->refreshes++].index = log->newest;
    for (size_t i = 0; i < FOLLOWERS; i++)
        if (aether_pattern_overlaps(pattern, model->followers[i].pattern))
            end(model, &model->followers[i], AETHER_RESET);
}

/* The log is of one history only: what is left of the old one is read before. */
static void reset(struct model *model)
{
    for (size_t i = 0; i < FOLLOWERS; i++) {
        struct follower *follower = &model->followers[i];
        while (follower->sub != NULL && read_one(model, follower))
            ;
        end(model, follower, AETHER_RESET);
        follower->drains = false;
    }
    unit_log_reset(&model->log, unit_draw(&model->log, 100));
    expect_ok(aether_bus_reset(model->bus, &(aether_position){model->log.epoch, model->log.newest}));
}

static void retain_or_release(struct model *model)
{
    struct unit_log *log = &model->log;
    size_t at = unit_draw(log, UNIT_KEPT);
    char pattern[UNIT_PATTERN];
    memcpy(pattern, log->kept[at].pattern, sizeof pattern);
    if (pattern[0] == '\0') {
        unit_draw_pattern(log, log->kept[at].pattern);
        log->kept[at].floor = log->newest;
        unit_retain(model->bus, log->kept[at].pattern);
        return;
    }
    expect_ok(aether_bus_release(model->bus, pattern));
    for (size_t i = 0; i < UNIT_KEPT; i++)
        if (strcmp(log->kept[i].pattern, pattern) == 0)
            log->kept[i].pattern[0] = '\0';
}

static void close_label(struct model *model)
{
    char label[4];
    snprintf(label, sizeof label, "l%u", (unsigned)unit_draw(&model->log, 3));
    expect_ok(aether_bus_close_label(model->bus, label, AETHER_ACCESS_CHANGED));
    for (size_t i = 0; i < FOLLOWERS; i++)
        if (strcmp(model->followers[i].label, label) == 0)
            end(model, &model->followers[i], AETHER_ACCESS_CHANGED);
}

/* --------------------------------------------------------------------------------------------------------------- running */

static void use(struct model *model, struct follower *follower)
{
    uint64_t what = unit_draw(&model->log, 100);
    if (follower->sub == NULL) {
        open_follower(model, follower);
    } else if (what < 90 && (follower->reason == AETHER_OK || what < 30)) {
        read_some(model, follower);
    } else if (what < 95 && follower->reason == AETHER_OK) {
        expect_ok(aether_unsubscribe(follower->sub));
        end(model, follower, AETHER_UNSUBSCRIBED);
    } else {
        close_follower(model, follower, what % 2 == 0);
    }
}

static void step(struct model *model)
{
    uint64_t what = unit_draw(&model->log, 1000);
    if (what < 2 || model->log.count + 10 > UNIT_LOG)
        reset(model);
    else if (what < 7)
        refresh(model);
    else if (what < 10)
        close_label(model);
    else if (what < 20)
        retain_or_release(model);
    else if (what < 520)
        publish(model);
    else
        use(model, &model->followers[unit_draw(&model->log, FOLLOWERS)]);
}

static void run(uint64_t seed, int64_t linger_ns)
{
    static struct model model;
    memset(&model, 0, sizeof model);
    aether_bus_options options = unit_bus_options();
    options.linger_ns = linger_ns;
    model.bus = unit_bus_with(options);
    unit_log_init(&model.log, UNIT_EPOCH, seed);
    for (size_t i = 0; i < UNIT_SUBJECTS; i++)
        model.topics[i] = aether_topic_open(model.bus, model.log.subjects[i]);
    aether_snapshot_handler handler = {.make = make, .user = &model.log, .cache_ns = -1};
    expect_ok(aether_bus_handle_snapshots(model.bus, ">", &handler));
    for (int i = 0; i < STEPS; i++)
        step(&model);
    for (size_t i = 0; i < FOLLOWERS; i++)
        if (model.followers[i].sub != NULL)
            close_follower(&model, &model.followers[i], true);
    for (size_t i = 0; i < UNIT_SUBJECTS; i++)
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
