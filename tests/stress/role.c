/*
 * The role of the bus under threads that do everything at once: take it and work, have requests performed, be kept with and
 * without a deadline, withdraw, finish what others have kept; quick work and slow, few threads and more than one holder's
 * share. All that is changed under the role is plain, so that the thread sanitizer sees an order that is missing; counts are
 * exact, each thread's requests are performed in its order, and a request's memory is spoilt as soon as it is the owner's
 * again. A thread of its own finishes what is kept, until the last of the others is done; the watchdog tells who sleeps on.
 * Every other round goes in step instead: everybody asks once and waits until all have been answered, so that nobody who
 * comes later helps one that was forgotten.
 */
#include <sched.h>
#include <string.h>

#include "common/stress_futex.h"
#include "common/stress_watch.h"

#include "base/clock.h"
#include "bus/role.h"

enum {
    THREADS_MOST = AE_ROLE_SHARE + 16,
    REQUESTS_EACH = 5000,
    REQUESTS_IN_CROWD = 20,
    GOOD = 0x600d600d,
    SPOILT = 0x5b011751
};

struct round;

/* What a thread wants. `kept` is in the list of kept ones, oldest first. */
struct errand {
    struct ae_request request;
    struct worker *worker;
    struct errand *kept_next, *withdraws;
    uint64_t number; /* of this thread's requests, from 1 */
    uint64_t ticket; /* written under the role: how many were performed by then */
    uint32_t good;
    uint32_t linger; /* how long the work takes */
    bool nap;        /* so long that all others queue */
    bool keep, finish, finished;
};

struct worker {
    _Alignas(STRESS_APART) struct stress_watch watch;
    struct round *round;
    struct stress_random random;
    uint32_t index;
    uint64_t asked, ticket, kept, withdrawn;
    _Alignas(STRESS_APART) uint64_t due; /* atomic; 1: the call has to return */
};

/* What is neither atomic nor constant is under the role. */
struct round {
    struct ae_role role;
    uint64_t working;  /* atomic; workers that are not done */
    uint64_t answered; /* atomic; requests, where they go in step */
    bool in_step;
    uint32_t count;
    uint32_t slow; /* one request in so many takes long; 0: none */
    uint64_t requests;
    uint64_t total, finished, withdrawn;
    uint64_t last[THREADS_MOST + 1]; /* number of the latest request of each thread */
    struct errand *kept;
    struct worker workers[THREADS_MOST + 1]; /* the last one finishes */
};

static uint64_t rounds, performed, combined, handed_over, kept, withdrawn;
static uint64_t streams;

/* -------------------------------------------------------------------------------------------------------- under the role */

static void keep(struct round *round, struct errand *errand)
{
    struct errand **link = &round->kept;
    while (*link != NULL)
        link = &(*link)->kept_next;
    *link = errand;
    errand->kept_next = NULL;
    stress_set(&errand->worker->due, 0);
}

static void finish_oldest(struct round *round)
{
    struct errand *errand = round->kept;
    if (errand == NULL)
        return;
    round->kept = errand->kept_next;
    STRESS_EXPECT(errand->good == GOOD && errand->keep && !errand->finished);
    errand->finished = true;
    errand->ticket = round->total;
    round->finished++;
    stress_set(&errand->worker->due, 1);
    ae_request_finish(&errand->request);
}

static void withdraw(struct round *round, struct errand *errand)
{
    STRESS_EXPECT(errand->good == GOOD && errand->finished == ae_request_is_finished(&errand->request));
    if (errand->finished)
        return;
    struct errand **link = &round->kept;
    while (*link != errand) {
        STRESS_EXPECT(*link != NULL);
        link = &(*link)->kept_next;
    }
    *link = errand->kept_next;
    round->withdrawn++;
}

static bool perform(struct ae_request *request)
{
    struct errand *errand = (struct errand *)request;
    struct worker *worker = errand->worker;
    struct round *round = worker->round;
    STRESS_EXPECT(errand->good == GOOD && !errand->finished);
    STRESS_EXPECT(errand->number == round->last[worker->index] + 1);
    round->last[worker->index] = errand->number;
    round->total++;
    errand->ticket = round->total;
    for (uint32_t i = 0; i < errand->linger; i++)
        ae_relax();
    if (errand->nap)
        stress_nap(1000000);
    if (errand->finish)
        finish_oldest(round);
    if (errand->withdraws != NULL)
        withdraw(round, errand->withdraws);
    if (errand->keep)
        keep(round, errand);
    else
        errand->finished = true;
    return !errand->keep;
}

/* --------------------------------------------------------------------------------------------------------------- threads */

static struct errand make_errand(struct worker *worker)
{
    struct errand errand = {.request.perform = perform, .worker = worker, .number = ++worker->asked, .good = GOOD};
    if (worker->round->slow != 0 && stress_one_in(&worker->random, worker->round->slow))
        errand.linger = 100 + stress_below(&worker->random, 400);
    errand.nap = worker->round->count == THREADS_MOST && stress_one_in(&worker->random, 200);
    return errand;
}

/* Whoever still has the address must not find what it expects. */
static void end_errand(struct errand *errand)
{
    STRESS_EXPECT(errand->ticket > errand->worker->ticket);
    errand->worker->ticket = errand->ticket;
    memset(&errand->request, 0xee, sizeof errand->request);
    errand->good = SPOILT;
}

/* True: finished. */
static bool ask(struct errand *errand, int64_t deadline)
{
    struct worker *worker = errand->worker;
    stress_set(&worker->due, 1);
    stress_watch_enter(&worker->watch, &worker->due, 0);
    bool finished = true;
    if (deadline == AETHER_FOREVER)
        ae_role_perform(&worker->round->role, &errand->request);
    else
        finished = ae_role_perform_until(&worker->round->role, &errand->request, deadline);
    stress_watch_leave(&worker->watch);
    return finished;
}

static void work_inside(struct worker *worker)
{
    struct errand errand = make_errand(worker);
    if (ae_role_try_take(&worker->round->role)) {
        STRESS_EXPECT(perform(&errand.request));
        ae_role_leave(&worker->round->role);
    } else {
        ask(&errand, AETHER_FOREVER);
    }
    STRESS_EXPECT(errand.finished);
    end_errand(&errand);
}

static void have_performed(struct worker *worker, bool finish)
{
    struct errand errand = make_errand(worker);
    errand.finish = finish;
    ask(&errand, AETHER_FOREVER);
    STRESS_EXPECT(errand.finished);
    end_errand(&errand);
}

static void be_kept(struct worker *worker)
{
    struct errand errand = make_errand(worker);
    errand.keep = true;
    ask(&errand, AETHER_FOREVER);
    STRESS_EXPECT(errand.finished);
    worker->kept++;
    end_errand(&errand);
}

static void be_kept_for_a_while(struct worker *worker)
{
    struct errand errand = make_errand(worker);
    errand.keep = true;
    int64_t timeout = stress_one_in(&worker->random, 4) ? -1 : (int64_t)stress_below(&worker->random, 100000);
    if (!ask(&errand, ae_clock.now() + timeout)) {
        struct errand withdrawal = make_errand(worker);
        withdrawal.withdraws = &errand;
        STRESS_EXPECT(ask(&withdrawal, AETHER_FOREVER));
        worker->withdrawn += !errand.finished;
        end_errand(&errand);
        end_errand(&withdrawal);
    } else {
        STRESS_EXPECT(errand.finished);
        end_errand(&errand);
    }
    worker->kept++;
}

/* Waits until everybody has been answered once more. */
static void keep_step(struct worker *worker)
{
    struct round *round = worker->round;
    uint64_t all = worker->asked * round->count;
    stress_add(&round->answered, 1);
    for (uint32_t looks = 1; stress_get(&round->answered) < all; looks++)
        if (looks % 256 == 0)
            sched_yield();
        else
            ae_relax();
    stress_linger(&worker->random, 100);
}

static void work_in_step(struct worker *worker)
{
    while (worker->asked < worker->round->requests) {
        if (stress_one_in(&worker->random, 2))
            work_inside(worker);
        else
            have_performed(worker, false);
        keep_step(worker);
    }
}

static void work_at_random(struct worker *worker)
{
    while (worker->asked < worker->round->requests && !stress_over()) {
        uint32_t draw = stress_below(&worker->random, 64);
        if (draw < 30)
            work_inside(worker);
        else if (draw < 58)
            have_performed(worker, draw == 57);
        else if (draw < 60)
            be_kept(worker);
        else if (draw < 62)
            be_kept_for_a_while(worker);
        else if (draw == 62)
            stress_linger(&worker->random, 2000);
        else if (stress_one_in(&worker->random, 8))
            stress_nap(stress_below(&worker->random, 50000));
    }
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    if (worker->round->in_step)
        work_in_step(worker);
    else
        work_at_random(worker);
    stress_add(&worker->round->working, (uint64_t)-1);
    return NULL;
}

static void *finish(void *argument)
{
    struct worker *worker = argument;
    while (stress_get(&worker->round->working) != 0) {
        have_performed(worker, true);
        if (stress_one_in(&worker->random, 16))
            stress_nap(stress_below(&worker->random, 50000));
        else
            stress_linger(&worker->random, 3000);
    }
    return NULL;
}

/* ---------------------------------------------------------------------------------------------------------------- rounds */

static void check(const struct round *round)
{
    uint64_t asked = 0, kept_here = 0, withdrawn_here = 0;
    for (uint32_t i = 0; i <= round->count; i++) {
        const struct worker *worker = &round->workers[i];
        STRESS_EXPECT(round->last[i] == worker->asked);
        asked += worker->asked;
        kept_here += worker->kept;
        withdrawn_here += worker->withdrawn;
    }
    STRESS_EXPECT(round->total == asked);
    STRESS_EXPECT(round->withdrawn == withdrawn_here && round->finished + round->withdrawn == kept_here);
    STRESS_EXPECT(round->kept == NULL && round->role.held == 0);
    STRESS_EXPECT(round->role.incoming == NULL && round->role.queue == NULL);
    performed += asked;
    kept += kept_here;
    withdrawn += withdrawn_here;
    combined += round->role.combined;
    handed_over += round->role.handed_over;
}

static void play(struct stress_random *random, bool in_step)
{
    static const uint32_t counts[] = {1, 2, 2, 3, 8, THREADS_MOST};
    static struct round round;
    memset(&round, 0, sizeof round);
    round.count = counts[stress_below(random, 6)];
    round.slow = stress_one_in(random, 2) ? 0 : 1 + stress_below(random, 8);
    round.requests = round.count == THREADS_MOST ? REQUESTS_IN_CROWD : REQUESTS_EACH;
    round.working = round.count;
    round.in_step = in_step;
    uint32_t last = in_step ? round.count - 1 : round.count;
    ae_role_init(&round.role);
    pthread_t threads[THREADS_MOST + 1];
    for (uint32_t i = 0; i <= round.count; i++) {
        struct worker *worker = &round.workers[i];
        worker->round = &round;
        worker->index = i;
        worker->random = stress_random_stream(++streams);
        stress_watch_add(&worker->watch, "publisher", i);
    }
    for (uint32_t i = 0; i <= last; i++)
        stress_spawn(&threads[i], i == round.count ? finish : work, &round.workers[i]);
    stress_join(threads, last + 1);
    for (uint32_t i = 0; i <= round.count; i++)
        stress_watch_remove(&round.workers[i].watch);
    check(&round);
    rounds++;
}

int main(int argc, char **argv)
{
    stress_begin(argc, argv, "role");
    struct stress_random random = stress_random_stream(0);
    unsigned ways = stress_way_count();
    stress_clock_start();
    for (unsigned i = 0; !stress_over(); i++)
        if (stress_way_use(&stress_ways[i / 2 % STRESS_WAYS]))
            play(&random, i % 2 == 1);
    STRESS_EXPECT(performed > 0);
    return stress_end("%u ways, %llu rounds, %llu performed, %llu by others, %llu handed over, %llu kept, %llu withdrawn, "
                      "%llu sleeps, %llu wakes",
                      ways, (unsigned long long)rounds, (unsigned long long)performed, (unsigned long long)combined,
                      (unsigned long long)handed_over, (unsigned long long)kept, (unsigned long long)withdrawn,
                      (unsigned long long)stress_futex_waits(), (unsigned long long)stress_futex_wakes());
}
