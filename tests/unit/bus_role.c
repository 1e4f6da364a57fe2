/*
 * The role of the bus: who finds it free works at once, who finds it held has the holder work, in the order of queueing, and
 * nobody waits for ever. Tests hold the role themselves where others have to queue.
 */
#include "common/unit.h"

#include <signal.h>

#include "base/barrier.h"
#include "base/clock.h"
#include "bus/role.h"
#include "common/unit_kernel.h"

enum { THREADS_MOST = 2 * AE_ROLE_SHARE };

/* One request of one thread, and what has become of it. */
struct errand {
    struct ae_request request;
    struct stage *stage;
    int64_t deadline;
    bool keep, answer;
    pthread_t performer;
    uint32_t place; /* in the order of performing, from 1; 0: not performed */
    struct unit_thread thread;
    struct unit_futex_trace trace;
};

/* A role, and what its requests write under it. */
struct stage {
    struct ae_role role;
    uint32_t performed; /* atomic, because tests look at it from outside */
    struct errand *kept;
    struct errand errands[THREADS_MOST];
};

static struct errand *errand_of(struct ae_request *request)
{
    return (struct errand *)request;
}

static bool perform(struct ae_request *request)
{
    struct errand *errand = errand_of(request);
    errand->performer = pthread_self();
    errand->place = __atomic_add_fetch(&errand->stage->performed, 1, __ATOMIC_RELEASE);
    if (errand->keep)
        errand->stage->kept = errand;
    return !errand->keep;
}

static struct stage *make_stage(void)
{
    static struct stage stage;
    expect_ok(ae_process_prepare());
    memset(&stage, 0, sizeof stage);
    ae_role_init(&stage.role);
    for (int i = 0; i < THREADS_MOST; i++)
        stage.errands[i] = (struct errand){.request.perform = perform, .stage = &stage, .deadline = AETHER_FOREVER};
    return &stage;
}

static void expect_free(struct stage *stage)
{
    expect_number(0, stage->role.held);
    cr_assert(stage->role.incoming == NULL && stage->role.queue == NULL);
}

static const char *run_errand(void *user)
{
    struct errand *errand = user;
    unit_futex_trace = &errand->trace;
    errand->answer = ae_role_perform_until(&errand->stage->role, &errand->request, errand->deadline);
    return NULL;
}

static bool is_asleep(struct errand *errand)
{
    return __atomic_load_n(&errand->trace.passes, __ATOMIC_ACQUIRE) % 2 == 1;
}

/* A thread that sleeps for the role, which is held. */
static void queue_errand(struct errand *errand)
{
    cr_assert(unit_thread_start(&errand->thread, 0, run_errand, errand));
    cr_assert(unit_until(is_asleep(errand)));
}

static void queue_errands(struct stage *stage, int count)
{
    for (int i = 0; i < count; i++)
        queue_errand(&stage->errands[i]);
}

static void join_errands(struct stage *stage, int count)
{
    for (int i = 0; i < count; i++)
        expect_fine(unit_thread_join(&stage->errands[i].thread));
}

static bool performed_by_itself(const struct errand *errand)
{
    return pthread_equal(errand->performer, errand->thread.thread);
}

/* ------------------------------------------------------------------------------------------------------ taking it alone */

TEST(bus_role, BUS1_a_free_role_is_taken_once)
{
    struct stage *stage = make_stage();
    cr_assert(ae_role_try_take(&stage->role));
    expect_number(1, stage->role.held);
    cr_assert(!ae_role_try_take(&stage->role));
    ae_role_leave(&stage->role);
    expect_free(stage);
    cr_assert(ae_role_try_take(&stage->role));
    ae_role_leave(&stage->role);
}

TEST(bus_role, BUS1_who_finds_it_free_performs_its_own_request)
{
    struct stage *stage = make_stage();
    struct errand *errand = &stage->errands[0];
    ae_role_perform(&stage->role, &errand->request);
    expect_number(1, errand->place);
    cr_assert(pthread_equal(errand->performer, pthread_self()));
    cr_assert(ae_request_is_finished(&errand->request));
    expect_number(0, stage->role.combined);
    expect_free(stage);
}

/* ------------------------------------------------------------------------------------------------------------ combining */

TEST_ALL_WAYS(bus_role, BUS1_the_holder_performs_what_is_queued_in_order)
{
    enum { COUNT = 5 };
    struct stage *stage = make_stage();
    cr_assert(ae_role_try_take(&stage->role));
    queue_errands(stage, COUNT);
    expect_number(0, stage->performed);
    ae_role_leave(&stage->role);
    for (int i = 0; i < COUNT; i++) {
        expect_number(i + 1, stage->errands[i].place);
        cr_assert(pthread_equal(stage->errands[i].performer, pthread_self()));
    }
    join_errands(stage, COUNT);
    expect_number(COUNT, stage->role.combined);
    expect_number(0, stage->role.handed_over);
    expect_free(stage);
}

TEST_ALL_WAYS(bus_role, BUS1_after_its_share_the_holder_hands_the_role_to_a_sleeper)
{
    enum { COUNT = AE_ROLE_SHARE + 3 };
    struct stage *stage = make_stage();
    cr_assert(ae_role_try_take(&stage->role));
    queue_errands(stage, COUNT);
    ae_role_leave(&stage->role);
    join_errands(stage, COUNT);
    for (int i = 0; i < COUNT; i++) {
        expect_number(i + 1, stage->errands[i].place);
        cr_assert(pthread_equal(stage->errands[i].performer,
                                i < AE_ROLE_SHARE ? pthread_self() : stage->errands[AE_ROLE_SHARE].thread.thread));
    }
    cr_assert(performed_by_itself(&stage->errands[AE_ROLE_SHARE]));
    expect_number(AE_ROLE_SHARE + 2, stage->role.combined);
    expect_number(1, stage->role.handed_over);
    expect_free(stage);
}

static bool leave_before_the_sleep(int64_t deadline, void *user)
{
    struct stage *stage = user;
    (void)deadline;
    unit_futex_hook(NULL, NULL);
    ae_role_note_nobody(&stage->role);
    AE_STORE(P1_LEAVE, &stage->role.held, 0, release);
    return false;
}

/* As if the kernel had woken it for no reason: the role is free, and nobody else will serve. */
TEST_ALL_WAYS(bus_role, BUS1_who_wakes_and_finds_the_role_free_serves_itself)
{
    struct stage *stage = make_stage();
    struct errand *errand = &stage->errands[0];
    cr_assert(ae_role_try_take(&stage->role));
    unit_futex_hook(leave_before_the_sleep, stage);
    cr_assert(unit_thread_start(&errand->thread, 0, run_errand, errand));
    expect_fine(unit_thread_join(&errand->thread));
    cr_assert(performed_by_itself(errand));
    expect_free(stage);
}

/* Requests without threads: what the holder does with them can be seen at leisure. */
TEST(bus_role, BUS1_the_role_is_handed_to_one_who_is_awake)
{
    enum { SLEEPS = AE_ROLE_SHARE, AWAKE };
    struct stage *stage = make_stage();
    cr_assert(ae_role_try_take(&stage->role));
    for (int i = 0; i <= AWAKE; i++) {
        stage->errands[i].request.state = i == SLEEPS ? AE_REQUEST_QUEUED_ASLEEP : AE_REQUEST_QUEUED;
        stage->errands[i].request.next = stage->role.incoming;
        stage->role.incoming = &stage->errands[i].request;
    }
    ae_role_leave(&stage->role);
    expect_number(AE_ROLE_SHARE, stage->performed);
    expect_number(1, stage->role.held);
    expect_number(AE_REQUEST_QUEUED_ASLEEP, stage->errands[SLEEPS].request.state);
    expect_number(AE_REQUEST_HOLDER, stage->errands[AWAKE].request.state);
    cr_assert(stage->role.queue == &stage->errands[SLEEPS].request);
    expect_number(0, unit_futex_wakes());
}

#if AE_DEBUG
static bool perform_nested(struct ae_request *request)
{
    struct errand *errand = errand_of(request);
    ae_role_perform(&errand->stage->role, &errand->stage->errands[1].request);
    return true;
}

Test(bus_role, BUS1_who_holds_the_role_must_not_ask_for_it, .signal = SIGABRT, .timeout = 60)
{
    struct stage *stage = make_stage();
    stage->errands[0].request.perform = perform_nested;
    ae_role_perform(&stage->role, &stage->errands[0].request);
}
#endif

/* A filter on system calls that came late, as in a sandbox: the sleeper looks again by itself. */
Test(bus_role, BUS1_a_kernel_that_loses_membarrier_later_costs_a_millisecond, .timeout = 60)
{
    unit_begin();
    struct stage *stage = make_stage();
    if (!ae_barrier_is_asymmetric() || !unit_kernel_lacks(UNIT_MEMBARRIER))
        cr_skip_test("there is no asymmetric barrier here, or the system calls cannot be taken away");
    cr_assert(ae_role_try_take(&stage->role));
    struct errand *errand = &stage->errands[0];
    cr_assert(unit_thread_start(&errand->thread, 0, run_errand, errand));
    cr_assert(unit_until(unit_futex_sleeps() >= 3)); /* it does not rely on being woken */
    ae_role_note_nobody(&stage->role);
    AE_STORE(P1_LEAVE, &stage->role.held, 0, release); /* without a look at who is queued */
    expect_fine(unit_thread_join(&errand->thread));
    cr_assert(performed_by_itself(errand));
}

/* -------------------------------------------------------------------------------------------------------------- keeping */

static const char *finish_kept(void *user)
{
    struct stage *stage = user;
    while (!ae_role_try_take(&stage->role))
        ae_yield();
    ae_request_finish(&stage->kept->request);
    stage->kept = NULL;
    ae_role_leave(&stage->role);
    return NULL;
}

TEST_ALL_WAYS(bus_role, BUS1_a_kept_request_leaves_the_role_and_ends_when_it_is_finished)
{
    struct stage *stage = make_stage();
    struct errand *errand = &stage->errands[0], *other = &stage->errands[1];
    errand->keep = true;
    queue_errand(errand);
    expect_number(0, stage->role.held);
    ae_role_perform(&stage->role, &other->request);
    expect_number(2, other->place);
    cr_assert(is_asleep(errand) && !ae_request_is_finished(&errand->request));
    expect_fine(finish_kept(stage));
    expect_fine(unit_thread_join(&errand->thread));
    cr_assert(errand->answer);
    expect_number(1, errand->place);
}

TEST_ALL_WAYS(bus_role, BUS1_a_request_that_the_holder_keeps_waits_on)
{
    struct stage *stage = make_stage();
    struct errand *errand = &stage->errands[0];
    errand->keep = true;
    cr_assert(ae_role_try_take(&stage->role));
    queue_errand(errand);
    ae_role_leave(&stage->role);
    expect_number(1, errand->place);
    cr_assert(unit_until(errand->request.state == AE_REQUEST_KEPT_ASLEEP));
    expect_fine(finish_kept(stage));
    expect_fine(unit_thread_join(&errand->thread));
    cr_assert(errand->answer);
}

TEST(bus_role, BUS1_a_kept_request_comes_back_at_its_deadline)
{
    struct stage *stage = make_stage();
    struct errand *errand = &stage->errands[0];
    errand->keep = true;
    int64_t before = unit_now();
    cr_assert(!ae_role_perform_until(&stage->role, &errand->request, ae_deadline(AETHER_MILLISECONDS(5))));
    expect_within(AETHER_MILLISECONDS(5), AETHER_SECONDS(10), unit_now() - before);
    cr_assert(!ae_request_is_finished(&errand->request));
    expect_free(stage);
}

/* The deadline is for being kept: the role itself is waited for. */
TEST_ALL_WAYS(bus_role, BUS1_a_queued_request_has_no_deadline)
{
    struct stage *stage = make_stage();
    struct errand *errand = &stage->errands[0];
    errand->deadline = 1;
    cr_assert(ae_role_try_take(&stage->role));
    queue_errand(errand);
    ae_role_leave(&stage->role);
    expect_fine(unit_thread_join(&errand->thread));
    cr_assert(errand->answer);
    expect_number(1, errand->place);
}

/* Kept after the deadline, by another thread: its own thread, which sleeps, is told. */
TEST_ALL_WAYS(bus_role, BUS1_a_request_that_is_kept_after_its_deadline_comes_back)
{
    struct stage *stage = make_stage();
    struct errand *errand = &stage->errands[0];
    errand->deadline = 1;
    errand->keep = true;
    cr_assert(ae_role_try_take(&stage->role));
    queue_errand(errand);
    ae_role_leave(&stage->role);
    expect_fine(unit_thread_join(&errand->thread));
    cr_assert(!errand->answer && errand->place == 1 && !ae_request_is_finished(&errand->request));
}
