/* Views: always a complete answer, which begins anew by itself. */
#include "common/unit.h"

#include <stdlib.h>

#include "common/unit_bus.h"
#include "common/unit_snapshot.h"

/* A table of "k.N" subjects and numbers, as the fold has it. */
struct table {
    uint64_t values[10];
    uint64_t count;
};

/* What the view calls. */
struct teller {
    uint64_t states;   /* atomic; alive */
    uint64_t changes;  /* atomic */
    uint64_t failures; /* atomic; of those the ones with a status */
    uint64_t last;     /* atomic; the last status that was none */
    uint64_t fails_at; /* atomic; the fold fails on this value, once */
};

static uint64_t get(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void set(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static void add(uint64_t *word, uint64_t value)
{
    (void)__atomic_fetch_add(word, value, __ATOMIC_ACQ_REL);
}

static void *new_table(void *user)
{
    struct teller *teller = user;
    add(&teller->states, 1);
    return calloc(1, sizeof(struct table));
}

static void free_table(void *state, void *user)
{
    struct teller *teller = user;
    add(&teller->states, UINT64_MAX);
    free(state);
}

static bool fold(void *state, const aether_event *event, void *user)
{
    struct table *table = state;
    struct teller *teller = user;
    char text[24] = "";
    memcpy(text, event->data.data, event->data.size < sizeof text - 1 ? event->data.size : sizeof text - 1);
    uint64_t value = strtoull(text, NULL, 10), fails_at = get(&teller->fails_at);
    if (fails_at != 0 && value == fails_at) {
        set(&teller->fails_at, 0);
        return false;
    }
    table->values[event->subject[event->subject_size - 1] - '0'] = value;
    table->count++;
    return true;
}

static void changed(aether_position position, aether_status status, void *user)
{
    struct teller *teller = user;
    (void)position;
    add(&teller->changes, 1);
    if (status != AETHER_OK) {
        set(&teller->last, (uint64_t)status);
        add(&teller->failures, 1);
    }
}

static aether_view_options options_of(struct teller *teller)
{
    return (aether_view_options){.state_new = new_table,
                                 .state_free = free_table,
                                 .fold = fold,
                                 .changed = changed,
                                 .user = teller,
                                 .retry_least_ns = AETHER_MILLISECONDS(1),
                                 .retry_most_ns = AETHER_MILLISECONDS(4)};
}

static aether_view *open_view(aether_bus *bus, struct teller *teller)
{
    aether_view_options options = options_of(teller);
    aether_view *view = aether_view_open(bus, "k.*", &options);
    cr_assert(view != NULL, "%s", aether_error());
    return view;
}

/* Value N of the answer; UINT64_MAX: there is no answer. */
static uint64_t value_of(aether_view *view, int n)
{
    const struct table *table = aether_view_lock(view, NULL);
    if (table == NULL)
        return UINT64_MAX;
    uint64_t value = table->values[n];
    aether_view_unlock(view);
    return value;
}

static aether_view_stats stats_of(aether_view *view)
{
    aether_view_stats stats;
    expect_ok(aether_view_get_stats(view, &stats));
    return stats;
}

static aether_bus *bus_with_state(struct unit_state *state)
{
    aether_bus *bus = unit_bus();
    unit_state_init(state, bus);
    expect_ok(aether_bus_handle_snapshots(bus, "k.>", &(aether_snapshot_handler){.make = unit_state_make, .user = state}));
    return bus;
}

static void close_all(aether_view *view, aether_bus *bus, struct teller *teller)
{
    aether_view_close(view);
    expect_number(0, get(&teller->states));
    aether_bus_destroy(bus);
}

/* The seven steps of a view's get. */
TEST(bus_view, BUS10_get_with_a_least_index)
{
    struct unit_state state;
    struct teller teller = {0};
    aether_bus *bus = bus_with_state(&state);
    expect_ok(unit_state_put(&state, "k.1", 11));
    aether_view *view = open_view(bus, &teller);
    expect_ok(aether_view_wait(view, 0, AETHER_FOREVER)); /* from empty: until it is complete */
    expect_number(11, value_of(view, 1));
    expect_ok(aether_view_wait(view, 1, AETHER_NO_WAIT)); /* in it already */
    expect_status(AETHER_TIMEOUT, aether_view_wait(view, 2, AETHER_NO_WAIT));
    expect_status(AETHER_TIMEOUT, aether_view_wait(view, 2, AETHER_MILLISECONDS(5)));
    expect_ok(unit_state_put(&state, "k.2", 22)); /* below 3: it still blocks */
    expect_ok(aether_view_wait(view, 2, AETHER_FOREVER));
    expect_status(AETHER_TIMEOUT, aether_view_wait(view, 3, AETHER_MILLISECONDS(5)));
    expect_ok(unit_state_put(&state, "k.1", 33));
    expect_ok(aether_view_wait(view, 3, AETHER_FOREVER)); /* past it */
    expect_number(33, value_of(view, 1));
    expect_number(22, value_of(view, 2));
    expect_ok(aether_view_wait(view, 0, AETHER_NO_WAIT)); /* the latest */
    expect_ok(unit_publish(bus, "other=1"));              /* progress, without an event of its own */
    expect_ok(aether_view_wait(view, 4, AETHER_FOREVER));
    close_all(view, bus, &teller);
}

TEST(bus_view, BUS10_the_old_answer_stays_until_the_new_snapshot_is_complete)
{
    struct unit_maker maker = {.words = "k.1=1 k.2=2"};
    struct teller teller = {0};
    aether_bus *bus = unit_bus();
    aether_snapshot_handler handler = unit_handler(&maker);
    handler.on_pool = true;
    expect_ok(aether_bus_handle_snapshots(bus, ">", &handler));
    unit_hold(&maker);
    aether_view *view = open_view(bus, &teller);
    cr_assert(unit_until(unit_is_held(&maker)));
    cr_assert(aether_view_lock(view, NULL) == NULL); /* never an answer that is not complete */
    expect_status(AETHER_TIMEOUT, aether_view_wait(view, 0, AETHER_MILLISECONDS(2)));
    unit_let_go(&maker);
    expect_ok(aether_view_wait(view, 0, AETHER_FOREVER));
    expect_number(2, value_of(view, 2));
    maker.words = "k.1=5";
    unit_hold(&maker);
    expect_ok(aether_bus_reset(bus, NULL));
    cr_assert(unit_until(unit_runs(&maker) == 2 && unit_is_held(&maker)));
    expect_number(1, value_of(view, 1));
    expect_number(2, value_of(view, 2));
    unit_let_go(&maker);
    cr_assert(unit_until(value_of(view, 1) == 5));
    expect_number(0, value_of(view, 2));
    expect_number(2, stats_of(view).snapshots);
    close_all(view, bus, &teller);
}

TEST(bus_view, BUS10_it_begins_anew_after_whatever_ends_it)
{
    struct unit_state state;
    struct teller teller = {0};
    aether_bus *bus = bus_with_state(&state);
    aether_view_options options = options_of(&teller);
    options.label = "view";
    aether_view *view = aether_view_open(bus, "k.*", &options);
    expect_ok(aether_view_wait(view, 0, AETHER_FOREVER));
    static const aether_status reasons[] = {AETHER_ACCESS_CHANGED, AETHER_RESET, AETHER_FAILED, AETHER_UNSUBSCRIBED,
                                            AETHER_TOO_SLOW};
    for (uint64_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        uint64_t before = stats_of(view).restarts;
        expect_ok(aether_bus_close_label(bus, "view", reasons[i]));
        cr_assert(unit_until(stats_of(view).restarts > before));
        expect_number(reasons[i], get(&teller.last));
        expect_ok(unit_state_put(&state, "k.3", 100 + i));
        cr_assert(unit_until(value_of(view, 3) == 100 + i));
    }
    uint64_t runs = state.runs;
    expect_ok(aether_bus_refresh(bus, "k.3"));
    cr_assert(unit_until(get(&teller.last) == AETHER_RESET && stats_of(view).snapshots == runs + 1));
    expect_number(104, value_of(view, 3));
    close_all(view, bus, &teller);
}

TEST(bus_view, BUS10_a_snapshot_that_fails_is_tried_again)
{
    struct unit_maker maker = {.words = "k.1=1", .status = AETHER_SYSTEM};
    struct teller teller = {0};
    aether_bus *bus = unit_bus();
    aether_view *view = open_view(bus, &teller); /* nobody makes one */
    cr_assert(unit_until(get(&teller.last) == AETHER_NO_HANDLER));
    unit_handle(bus, ">", &maker);
    cr_assert(unit_until(unit_runs(&maker) >= 3));
    cr_assert(unit_until(get(&teller.last) == AETHER_FAILED));
    cr_assert(aether_view_lock(view, NULL) == NULL);
    expect_ok(aether_bus_unhandle_snapshots(bus, ">", true));
    maker.status = AETHER_OK;
    unit_handle(bus, ">", &maker);
    expect_ok(aether_view_wait(view, 0, AETHER_FOREVER));
    expect_number(1, value_of(view, 1));
    aether_view_stats stats = stats_of(view);
    cr_assert(stats.failures >= 4 && stats.restarts >= stats.failures && stats.status == AETHER_OK);
    close_all(view, bus, &teller);
}

TEST(bus_view, BUS10_a_fold_that_fails_begins_anew)
{
    struct unit_state state;
    struct teller teller = {0};
    aether_bus *bus = bus_with_state(&state);
    expect_ok(unit_state_put(&state, "k.1", 7));
    set(&teller.fails_at, 7); /* in the snapshot */
    aether_view *view = open_view(bus, &teller);
    expect_ok(aether_view_wait(view, 0, AETHER_FOREVER));
    expect_number(7, value_of(view, 1));
    expect_number(1, stats_of(view).failures);
    set(&teller.fails_at, 8); /* live */
    expect_ok(unit_state_put(&state, "k.1", 8));
    cr_assert(unit_until(value_of(view, 1) == 8));
    expect_number(2, stats_of(view).failures);
    expect_number(2, stats_of(view).snapshots);
    close_all(view, bus, &teller);
}

TEST(bus_view, BUS10_a_lag_is_mended_by_a_new_snapshot)
{
    struct unit_state state;
    struct teller teller = {0};
    aether_bus *bus = bus_with_state(&state);
    aether_view_options options = options_of(&teller);
    options.limit_bytes = UNIT_LIMIT;
    aether_view *view = aether_view_open(bus, "k.*", &options);
    expect_ok(aether_view_wait(view, 0, AETHER_FOREVER));
    cr_assert(aether_view_lock(view, NULL) != NULL); /* the fold waits for us */
    uint64_t i = 1;
    for (; i <= 500; i++)
        expect_ok(unit_state_put(&state, "k.4", i));
    aether_view_unlock(view);
    expect_ok(aether_view_wait(view, 500, AETHER_FOREVER));
    expect_number(500, value_of(view, 4));
    close_all(view, bus, &teller);
}

TEST(bus_view, BUS10_views_share_a_dispatcher)
{
    enum { VIEWS = 8 };
    static struct teller tellers[VIEWS];
    aether_view *views[VIEWS];
    struct unit_state state;
    aether_bus *bus = bus_with_state(&state);
    aether_dispatcher *dispatcher = aether_dispatcher_create(2, &unit_allocator);
    for (int i = 0; i < VIEWS; i++) {
        aether_view_options options = options_of(&tellers[i]);
        options.dispatcher = dispatcher;
        views[i] = aether_view_open(bus, "k.*", &options);
    }
    for (uint64_t i = 1; i <= 50; i++)
        expect_ok(unit_state_put(&state, "k.5", i));
    expect_ok(aether_bus_reset(bus, NULL));
    expect_ok(unit_state_put(&state, "k.6", 6));
    for (int i = 0; i < VIEWS; i++) {
        cr_assert(unit_until(value_of(views[i], 6) == 6 && value_of(views[i], 5) == 50));
        aether_view_close(views[i]);
        expect_number(0, get(&tellers[i].states));
    }
    aether_dispatcher_destroy(dispatcher);
    aether_bus_destroy(bus);
}

static const char *wait_for_more(void *user)
{
    return aether_view_wait(user, 1000, AETHER_FOREVER) == AETHER_SHUT_DOWN ? NULL : "it did not say that it is shut down";
}

TEST(bus_view, BUS10_a_shutdown_ends_who_waits_and_leaves_the_answer)
{
    struct unit_state state;
    struct teller teller = {0};
    aether_bus *bus = bus_with_state(&state);
    expect_ok(unit_state_put(&state, "k.1", 7));
    aether_view *view = open_view(bus, &teller);
    expect_ok(aether_view_wait(view, 1, AETHER_FOREVER));
    struct unit_thread thread;
    cr_assert(unit_thread_start(&thread, 0, wait_for_more, view));
    aether_bus_destroy(bus); /* before the view: that has a handle of its own */
    expect_fine(unit_thread_join(&thread));
    expect_number(7, value_of(view, 1));
    expect_ok(aether_view_wait(view, 1, AETHER_NO_WAIT));
    expect_number(AETHER_SHUT_DOWN, stats_of(view).status);
    aether_view_close(view);
    expect_number(0, get(&teller.states));
}

TEST(bus_view, BUS10_bad_input_is_refused)
{
    struct teller teller = {0};
    aether_bus *bus = unit_bus();
    aether_view_options options = options_of(&teller);
    cr_assert(aether_view_open(NULL, "k", &options) == NULL);
    expect_failure(AETHER_INVALID, "the bus is NULL");
    cr_assert(aether_view_open(bus, "k..", &options) == NULL);
    expect_failure(AETHER_INVALID, "byte 2");
    options.limit_bytes = 1;
    cr_assert(aether_view_open(bus, "k", &options) == NULL);
    expect_failure(AETHER_INVALID, "limit_bytes 1");
    options = options_of(&teller);
    options.fold = NULL;
    cr_assert(aether_view_open(bus, "k", &options) == NULL);
    expect_failure(AETHER_INVALID, "fold is NULL");
    options = options_of(&teller);
    options.retry_most_ns = -1;
    cr_assert(aether_view_open(bus, "k", &options) == NULL);
    expect_status(AETHER_INVALID, aether_view_wait(NULL, 0, 0));
    cr_assert(aether_view_lock(NULL, NULL) == NULL);
    expect_ok(aether_bus_shutdown(bus));
    options = options_of(&teller);
    cr_assert(aether_view_open(bus, "k", &options) == NULL);
    expect_failure(AETHER_SHUT_DOWN, "shut down");
    aether_bus_destroy(bus);
}

TEST(bus_view, BUS10_without_memory_there_is_none_and_nothing_is_lost)
{
    struct unit_state state;
    struct teller teller = {0};
    aether_bus *bus = bus_with_state(&state);
    aether_view_options options = options_of(&teller);
    aether_view *view = NULL;
    for (uint64_t at = 0; view == NULL; at++) {
        unit_memory_fail(at, 1); /* later ones fail on the view's own thread, which tries again */
        view = aether_view_open(bus, "k.*", &options);
        unit_memory_fail(0, 0);
        if (view == NULL)
            expect_status(AETHER_NO_MEMORY, aether_error_status());
    }
    expect_ok(unit_state_put(&state, "k.1", 7));
    cr_assert(unit_until(value_of(view, 1) == 7));
    close_all(view, bus, &teller);
}
