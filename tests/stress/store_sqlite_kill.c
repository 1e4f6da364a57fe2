/*
 * Processes that save are killed at any instant. An outside journal, a pipe to a process that is not killed, has what they
 * were told: all of that is in the store afterwards, once, and nothing that nobody asked for. 20 rounds at least;
 * AETHER_ROUNDS says more.
 */
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aether/sqlite.h"
#include "common/stress_run.h"
#include "common/unit_scratch.h"

enum { THREADS = 3, PROCESSES = 2, ACTORS = PROCESSES * THREADS, BATCH = 3 };

/* One line of the journal; smaller than what a pipe takes in one piece. */
struct told {
    int32_t actor;
    int64_t version;
    uint64_t index;
};

struct saver {
    aether_store *store;
    int actor, journal;
};

static void name_of(char name[20], int actor)
{
    snprintf(name, 20, "saver-%d", actor);
}

/* Saves batches for ever; says what was acknowledged after it was. */
static void *save_for_ever(void *user)
{
    const struct saver *saver = user;
    char name[20];
    name_of(name, saver->actor);
    for (;;) {
        aether_event events[BATCH];
        for (int i = 0; i < BATCH; i++)
            events[i] = (aether_event){
                .actor = name, .type = "T", .data = AETHER_TEXT("{\"some\":\"data that take up some room on the page\"}")};
        aether_saved saved;
        if (aether_save_batch(saver->store, events, BATCH, NULL, &saved) != AETHER_OK) {
            fprintf(stderr, "%s\n", aether_error());
            _exit(3);
        }
        struct told told = {saver->actor, saved.version, saved.position.index};
        if (write(saver->journal, &told, sizeof told) != sizeof told)
            _exit(4);
    }
    return NULL;
}

/* In the child: never returns. */
static void be_killed(const char *url, int process, int journal)
{
    aether_store *store = aether_store_open(url, NULL);
    if (store == NULL) {
        fprintf(stderr, "%s\n", aether_error());
        _exit(2);
    }
    struct saver savers[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        savers[i] = (struct saver){store, process * THREADS + i, journal};
        if (pthread_create(&threads[i], NULL, save_for_ever, &savers[i]) != 0)
            _exit(5);
    }
    for (;;)
        pause();
}

/* All that was told is there; each actor's versions have no hole, and at most one batch more than was told. */
static void check(const char *url, const int64_t told[ACTORS])
{
    aether_store *store = aether_store_open(url, NULL);
    if (store == NULL)
        stress_fail("%s", aether_error());
    aether_replay *replay = aether_load_all(store, NULL);
    STRESS_EXPECT(replay != NULL);
    int64_t found[ACTORS] = {0};
    uint64_t index = 0;
    aether_event event;
    aether_status status;
    while ((status = aether_replay_next(replay, &event, AETHER_NO_WAIT)) == AETHER_OK) {
        int actor = event.actor[6] - '0';
        STRESS_EXPECT(event.index == ++index && actor >= 0 && actor < ACTORS);
        STRESS_EXPECT(event.version == ++found[actor]);
    }
    if (status != AETHER_ENDED)
        stress_fail("%s", aether_error());
    aether_replay_close(replay);
    for (int actor = 0; actor < ACTORS; actor++) {
        if (found[actor] < told[actor] || found[actor] % BATCH != 0)
            stress_fail("actor %d has %" PRId64 " events, %" PRId64 " were acknowledged", actor, found[actor], told[actor]);
    }
    aether_store_close(store);
}

static void play(const char *url, struct stress_random *random, int64_t told[ACTORS])
{
    int journal[2];
    pid_t children[PROCESSES];
    STRESS_EXPECT(pipe(journal) == 0);
    for (int process = 0; process < PROCESSES; process++) {
        children[process] = fork();
        STRESS_EXPECT(children[process] >= 0);
        if (children[process] == 0) {
            close(journal[0]);
            be_killed(url, process, journal[1]);
        }
    }
    close(journal[1]);
    int64_t ends = stress_now() + 5000000 + (int64_t)(stress_random(random) % 60000000);
    bool killed = false;
    struct told line;
    ssize_t got;
    /* The pipe ends when both are dead. */
    while ((got = read(journal[0], &line, sizeof line)) == sizeof line || !killed) {
        if (got == sizeof line && told[line.actor] < line.version)
            told[line.actor] = line.version;
        if (!killed && (stress_now() >= ends || got == 0)) {
            for (int process = 0; process < PROCESSES; process++)
                kill(children[process], SIGKILL);
            killed = true;
        }
    }
    STRESS_EXPECT(got == 0);
    close(journal[0]);
    for (int process = 0; process < PROCESSES; process++) {
        int status;
        STRESS_EXPECT(waitpid(children[process], &status, 0) == children[process]);
        if (!WIFSIGNALED(status))
            stress_fail("a saver ended by itself, %d", WEXITSTATUS(status));
    }
}

int main(int argc, char **argv)
{
    stress_begin(argc, argv, "store_sqlite_kill");
    STRESS_EXPECT(aether_store_use(aether_sqlite_driver()) == AETHER_OK);
    struct stress_random random = stress_random_stream(0);
    const char *text = getenv("AETHER_ROUNDS"), *url = unit_scratch_url("sqlite");
    int rounds = text != NULL ? atoi(text) : 20, done = 0;
    int64_t told[ACTORS] = {0};
    stress_clock_start();
    for (; done < rounds; done++) {
        if (done % 25 == 24) { /* a new one now and then: its making is killed, too */
            url = unit_scratch_url("sqlite");
            memset(told, 0, sizeof told);
        }
        play(url, &random, told);
        check(url, told);
    }
    unit_scratch_remove();
    return stress_end("%d rounds", done);
}
