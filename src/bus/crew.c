#include "bus/crew.h"

#include <errno.h>
#include <signal.h>

#include "base/clock.h"

enum { POOL_THREADS = 2, THREADS_MOST = 64 };

struct ae_crew {
    pthread_mutex_t lock; /* of everything below */
    pthread_cond_t due_changed, job_added;
    struct ae_domain *domains;
    uint64_t sweep; /* number of the one that is under way */
    int64_t due;    /* AETHER_FOREVER: nothing */
    struct ae_job *first_job, *last_job;
    pthread_t keeper, pool[THREADS_MOST];
    bool has_keeper, is_stopping;
    uint32_t threads, idle;     /* of the pool */
    int32_t stuck;              /* likewise; below 0 for a moment */
    uint32_t queued;            /* jobs */
    aether_allocator allocator; /* const */
    uint32_t references;        /* atomic: B3 */
};

/* --------------------------------------------------------------------------------------------------------- lifetimes */

struct ae_crew *ae_crew_make(const aether_allocator *allocator)
{
    struct ae_crew *crew = ae_alloc(allocator, sizeof *crew, _Alignof(struct ae_crew));
    if (crew == NULL)
        return NULL;
    *crew = (struct ae_crew){.due = AETHER_FOREVER, .allocator = *allocator, .references = 1};
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->due_changed, &attributes);
    pthread_cond_init(&crew->job_added, &attributes);
    pthread_condattr_destroy(&attributes);
    return crew;
}

void ae_crew_hold(struct ae_crew *crew)
{
    AE_ADD(B3_HOLD, &crew->references, 1, relaxed); /* B3, relaxed: whoever adds one has one */
}

void ae_crew_drop(struct ae_crew *crew)
{
    if (AE_SUB(B3_DROP, &crew->references, 1, acq_rel) != 1) /* B3: pairs with itself */
        return;
    pthread_cond_destroy(&crew->job_added);
    pthread_cond_destroy(&crew->due_changed);
    pthread_mutex_destroy(&crew->lock);
    aether_allocator allocator = crew->allocator;
    ae_free(&allocator, crew, sizeof *crew, _Alignof(struct ae_crew));
}

/* With all signals blocked, so that they go to the program's threads. */
static aether_status start(pthread_t *thread, void *(*body)(void *), struct ae_crew *crew, const char *name,
                           const char *call)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(thread, NULL, body, crew);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0)
        return ae_fail_system(AETHER_SYSTEM, error, "%s: cannot start the thread %s", call, name);
    pthread_setname_np(*thread, name);
    return AETHER_OK;
}

static aether_status refuse_stopping(const char *call)
{
    return ae_fail(AETHER_SHUT_DOWN, "%s: the bus is shut down", call);
}

/* ------------------------------------------------------------------------------------------------------------ keeper */

void ae_crew_enlist(struct ae_crew *crew, struct ae_domain *domain)
{
    pthread_mutex_lock(&crew->lock);
    domain->next_in_crew = crew->domains;
    domain->sweep = crew->sweep;
    crew->domains = domain;
    pthread_mutex_unlock(&crew->lock);
}

void ae_crew_delist(struct ae_crew *crew, struct ae_domain *domain)
{
    pthread_mutex_lock(&crew->lock);
    struct ae_domain **at = &crew->domains;
    while (*at != domain)
        at = &(*at)->next_in_crew;
    *at = domain->next_in_crew;
    pthread_mutex_unlock(&crew->lock);
}

/* One that this sweep has not been to, held. */
static struct ae_domain *next_to_sweep(struct ae_crew *crew)
{
    for (struct ae_domain *domain = crew->domains; domain != NULL; domain = domain->next_in_crew)
        if (domain->sweep != crew->sweep && ae_domain_try_hold(domain)) {
            domain->sweep = crew->sweep;
            return domain;
        }
    return NULL;
}

static void sweep(struct ae_crew *crew)
{
    struct ae_domain *domain;
    crew->sweep++;
    crew->due = AETHER_FOREVER;
    while ((domain = next_to_sweep(crew)) != NULL) {
        pthread_mutex_unlock(&crew->lock);
        int64_t due = ae_domain_sweep(domain, ae_clock.now());
        ae_domain_drop(domain);
        pthread_mutex_lock(&crew->lock);
        crew->due = due < crew->due ? due : crew->due;
    }
}

static void wait_until(struct ae_crew *crew, pthread_cond_t *condition, int64_t due)
{
    if (due == AETHER_FOREVER) {
        pthread_cond_wait(condition, &crew->lock);
        return;
    }
    struct timespec until = {.tv_sec = due / AETHER_SECONDS(1), .tv_nsec = due % AETHER_SECONDS(1)};
    pthread_cond_timedwait(condition, &crew->lock, &until);
}

static void *keep(void *user)
{
    struct ae_crew *crew = user;
    pthread_mutex_lock(&crew->lock);
    while (!crew->is_stopping) {
        if (crew->due <= ae_clock.now())
            sweep(crew);
        else
            wait_until(crew, &crew->due_changed, crew->due);
    }
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

aether_status ae_crew_need_keeper(struct ae_crew *crew, const char *call)
{
    aether_status status = AETHER_OK;
    pthread_mutex_lock(&crew->lock);
    if (crew->is_stopping)
        status = refuse_stopping(call);
    else if (!crew->has_keeper)
        status = start(&crew->keeper, keep, crew, "aether-keeper", call);
    if (status == AETHER_OK)
        crew->has_keeper = true;
    pthread_mutex_unlock(&crew->lock);
    return status;
}

void ae_crew_expect(struct ae_crew *crew, int64_t due)
{
    pthread_mutex_lock(&crew->lock);
    if (due < crew->due) {
        crew->due = due;
        pthread_cond_signal(&crew->due_changed);
    }
    pthread_mutex_unlock(&crew->lock);
}

/* -------------------------------------------------------------------------------------------------------------- pool */

static struct ae_job *take_job(struct ae_crew *crew)
{
    struct ae_job *job = crew->first_job;
    if (job != NULL && (crew->first_job = job->next) == NULL)
        crew->last_job = NULL;
    crew->queued -= job != NULL;
    return job;
}

static void *work(void *user)
{
    struct ae_crew *crew = user;
    pthread_mutex_lock(&crew->lock);
    for (;;) {
        struct ae_job *job = take_job(crew);
        if (job != NULL) {
            pthread_mutex_unlock(&crew->lock);
            job->work(job);
            pthread_mutex_lock(&crew->lock);
        } else if (crew->is_stopping) {
            break;
        } else {
            crew->idle++;
            wait_until(crew, &crew->job_added, AETHER_FOREVER);
            crew->idle--;
        }
    }
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

static aether_status add_worker(struct ae_crew *crew, const char *call)
{
    if (crew->idle > crew->queued || crew->threads == THREADS_MOST || (int32_t)crew->threads >= POOL_THREADS + crew->stuck)
        return AETHER_OK;
    aether_status status = start(&crew->pool[crew->threads], work, crew, "aether-snapshot", call);
    if (status == AETHER_OK)
        crew->threads++;
    return (int32_t)crew->threads > crew->stuck ? AETHER_OK : status;
}

aether_status ae_crew_submit(struct ae_crew *crew, struct ae_job *job, const char *call)
{
    pthread_mutex_lock(&crew->lock);
    aether_status status = crew->is_stopping ? refuse_stopping(call) : add_worker(crew, call);
    if (status == AETHER_OK) {
        job->next = NULL;
        *(crew->last_job != NULL ? &crew->last_job->next : &crew->first_job) = job;
        crew->last_job = job;
        crew->queued++;
        pthread_cond_signal(&crew->job_added);
    }
    pthread_mutex_unlock(&crew->lock);
    return status;
}

void ae_crew_one_is_stuck(struct ae_crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    crew->stuck++;
    if (crew->first_job != NULL && !crew->is_stopping && add_worker(crew, "aether_subscribe") == AETHER_OK)
        pthread_cond_signal(&crew->job_added);
    pthread_mutex_unlock(&crew->lock);
}

void ae_crew_one_is_free(struct ae_crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    crew->stuck--;
    pthread_mutex_unlock(&crew->lock);
}

void ae_crew_stop(struct ae_crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    crew->is_stopping = true;
    bool has_keeper = crew->has_keeper;
    uint32_t threads = crew->threads;
    crew->has_keeper = false;
    crew->threads = 0;
    pthread_cond_broadcast(&crew->due_changed);
    pthread_cond_broadcast(&crew->job_added);
    pthread_mutex_unlock(&crew->lock);
    if (has_keeper)
        pthread_join(crew->keeper, NULL);
    for (uint32_t i = 0; i < threads; i++)
        pthread_join(crew->pool[i], NULL);
}
