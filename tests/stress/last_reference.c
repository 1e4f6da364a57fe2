/*
 * The last reference dropped from every side: buffers of a few segments, to which cursors, duplicates, splices and the
 * writer hold references; all of them let go at the same moment, in every combination. Whoever is last frees the rest, once:
 * the program counts who that was, and all memory comes back.
 */
#include <sched.h>

#include "common/stress_feed.h"
#include "common/stress_memory.h"

#include "buffer/cursor.h"

enum { THREADS = 4, JOBS_MOST = 3, ITEMS_MOST = 150, ROUNDS_PER_CHECK = 64, ROUNDS_ENOUGH = 300 };

/* What one job does with its cursor; the writer's job has none. */
enum role { CLOSE, READ, DUPLICATE, SPLICE, WRITER, ROLES };

static const char *const role_names[ROLES] = {"close", "read", "dup", "splice", "writer"};

struct job {
    enum role role;
    aether_cursor *cursor;
    struct stress_feed before; /* SPLICE: the buffer that is spliced to the cursor */
};

struct worker {
    struct job jobs[JOBS_MOST];
    uint32_t count;
    struct stress_random random;
};

static struct stress_feed feed; /* of the round */
static struct worker workers[THREADS];
static uint64_t begun, ended; /* atomic: rounds begun; workers that ended theirs */
static uint64_t over;         /* atomic */
static uint64_t let_go;       /* atomic: jobs of the round that are done */
static uint64_t last[ROLES];  /* atomic: how often a job of this role was the last one */
static uint64_t rounds, feeds, delivered;
static uint32_t total; /* jobs of the round */

/* -------------------------------------------------------------------------------------------------------------- jobs */

/* Reads what there is, from item `number` on; the writer may append or close meanwhile. */
static void read_rest(aether_cursor *cursor, const struct stress_feed *from, uint64_t number)
{
    aether_item item;
    aether_status status;
    while ((status = aether_cursor_next(cursor, &item, AETHER_NO_WAIT)) == AETHER_OK) {
        stress_feed_check(from, number++, &item);
        stress_add(&delivered, 1);
    }
    STRESS_EXPECT(status == AETHER_EMPTY || status == AETHER_CLOSED);
}

static void splice(struct job *job, struct stress_random *random)
{
    struct stress_feed *before = &job->before;
    uint64_t place = job->cursor->head.number;
    aether_cursor *reader = stress_one_in(random, 2) ? aether_cursor_open(before->buffer, AETHER_FROM_OLDEST) : NULL;
    STRESS_EXPECT(aether_buffer_splice(before->buffer, job->cursor) == AETHER_OK);
    aether_buffer_destroy(before->buffer);
    if (reader == NULL)
        return;
    uint64_t number = reader->head.number;
    while (number < before->begun) {
        aether_item item;
        STRESS_EXPECT(aether_cursor_next(reader, &item, AETHER_NO_WAIT) == AETHER_OK);
        stress_feed_check(before, number++, &item);
    }
    if (stress_one_in(random, 2))
        read_rest(reader, &feed, place);
    aether_cursor_close(reader);
}

static void write_and_destroy(struct stress_random *random)
{
    for (uint32_t left = stress_below(random, 3) * 20; left != 0; left--)
        stress_feed_put(&feed, random);
    aether_buffer_destroy(feed.buffer);
}

static void do_job(struct job *job, struct stress_random *random)
{
    stress_linger(random, 200);
    aether_cursor *cursor = job->cursor, *twin;
    switch (job->role) {
    case READ:
        read_rest(cursor, &feed, cursor->head.number);
        aether_cursor_close(cursor);
        break;
    case DUPLICATE:
        twin = aether_cursor_dup(cursor);
        STRESS_EXPECT(twin != NULL && twin->head.number == cursor->head.number);
        aether_cursor_close(cursor);
        if (stress_one_in(random, 2))
            read_rest(twin, &feed, twin->head.number);
        aether_cursor_close(twin);
        break;
    case SPLICE:
        splice(job, random);
        break;
    case WRITER:
        write_and_destroy(random);
        break;
    default:
        aether_cursor_close(cursor);
    }
}

static void do_jobs(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->count; i++) {
        do_job(&worker->jobs[i], &worker->random);
        if (stress_add(&let_go, 1) == total - 1)
            stress_add(&last[worker->jobs[i].role], 1);
    }
}

static void *work(void *argument)
{
    for (uint64_t round = 1;; round++) {
        while (stress_take_over(&begun) < round) {
            if (stress_get(&over) != 0)
                return NULL;
            sched_yield();
        }
        do_jobs(argument);
        __atomic_fetch_add(&ended, 1, __ATOMIC_RELEASE);
    }
}

/* ------------------------------------------------------------------------------------------------------------- rounds */

static void prepare_job(struct job *job, const aether_buffer_options *options, struct stress_random *random)
{
    job->role = (enum role)stress_below(random, WRITER);
    job->cursor = aether_cursor_open(feed.buffer, stress_one_in(random, 4) ? AETHER_FROM_OLDEST : AETHER_FROM_NEXT);
    STRESS_EXPECT(job->cursor != NULL);
    if (job->role != SPLICE)
        return;
    stress_feed_create(&job->before, options, ++feeds, false);
    for (uint32_t left = stress_below(random, 40); left != 0; left--)
        stress_feed_put(&job->before, random);
}

/* The cursors are opened along the way, so they hold on to different segments. */
static void prepare(struct stress_memory *memory, struct stress_random *random)
{
    static const int32_t cached[] = {-1, 1, 16, 16};
    aether_buffer_options options = stress_small_segments(&memory->allocator, cached[stress_below(random, 4)]);
    stress_feed_create(&feed, &options, ++feeds, stress_one_in(random, 2));
    total = 0;
    for (uint32_t i = 0; i < THREADS; i++)
        total += workers[i].count = 1 + stress_below(random, JOBS_MOST);
    uint32_t writer = stress_below(random, total), job = 0;
    for (uint32_t i = 0; i < THREADS; i++)
        for (uint32_t j = 0; j < workers[i].count; j++, job++) {
            for (uint32_t left = stress_below(random, ITEMS_MOST / total + 1); left != 0; left--)
                stress_feed_put(&feed, random);
            if (job == writer)
                workers[i].jobs[j].role = WRITER;
            else
                prepare_job(&workers[i].jobs[j], &options, random);
        }
}

static void play(struct stress_memory *memory, struct stress_random *random)
{
    prepare(memory, random);
    stress_set(&ended, 0);
    stress_set(&let_go, 0);
    stress_hand_over(&begun, ++rounds);
    do_jobs(&workers[0]);
    while (stress_take_over(&ended) < THREADS - 1)
        sched_yield();
    if (rounds % ROUNDS_PER_CHECK == 0)
        stress_memory_expect_none(memory);
}

int main(int argc, char **argv)
{
    stress_begin(argc, argv, "last_reference");
    static struct stress_memory memory;
    stress_memory_begin(&memory);
    struct stress_random random = stress_random_stream(0);
    pthread_t threads[THREADS];
    for (uint32_t i = 0; i < THREADS; i++)
        workers[i].random = stress_random_stream(1 + i);
    for (uint32_t i = 1; i < THREADS; i++)
        stress_spawn(&threads[i], work, &workers[i]);
    for (stress_clock_start(); !stress_over();)
        play(&memory, &random);
    stress_set(&over, 1);
    stress_join(threads + 1, THREADS - 1);
    stress_memory_expect_none(&memory);
    for (uint32_t i = 0; i < ROLES; i++)
        if (stress_get(&last[i]) == 0 && rounds > ROUNDS_ENOUGH)
            stress_fail("no reference was dropped last by: %s", role_names[i]);
    return stress_end("%llu rounds, %llu delivered; last were: close %llu, read %llu, dup %llu, splice %llu, writer %llu",
                      (unsigned long long)rounds, (unsigned long long)delivered, (unsigned long long)last[CLOSE],
                      (unsigned long long)last[READ], (unsigned long long)last[DUPLICATE], (unsigned long long)last[SPLICE],
                      (unsigned long long)last[WRITER]);
}
