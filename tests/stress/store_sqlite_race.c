/*
 * Eight processes race for one version of one actor, with versions that skip, again and again (STO3): exactly one wins each,
 * and each loser is told of it. 1,000 rounds; AETHER_ROUNDS says more.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aether/sqlite.h"
#include "common/stress_run.h"
#include "common/unit_scratch.h"

enum { RACERS = 8, ROUNDS_MOST = 10000 };

struct board {
    pthread_barrier_t barrier;
    uint32_t wins[ROUNDS_MOST]; /* atomic */
};

static int race(const char *url, struct board *board, int rounds)
{
    aether_store *store = aether_store_open(url, NULL);
    if (store == NULL) {
        fprintf(stderr, "%s\n", aether_error());
        return 2;
    }
    for (int round = 0; round < rounds; round++) {
        pthread_barrier_wait(&board->barrier);
        int64_t version = 10 * (round + 1);
        aether_event event = {.actor = "slot", .type = "T", .version = version};
        aether_save_options options = {.expected = round != 0 ? version - 10 : AETHER_EXPECT_NONE};
        aether_saved saved;
        aether_status status = aether_save_batch(store, &event, 1, &options, &saved);
        if (status == AETHER_OK)
            (void)__atomic_fetch_add(&board->wins[round], 1, __ATOMIC_RELAXED);
        else if (status != AETHER_CONFLICT || saved.conflict.current != version) {
            fprintf(stderr, "a loser was told: %s\n", aether_error());
            return 3;
        }
    }
    aether_store_close(store);
    return 0;
}

int main(int argc, char **argv)
{
    stress_begin(argc, argv, "store_sqlite_race");
    STRESS_EXPECT(aether_store_use(aether_sqlite_driver()) == AETHER_OK);
    const char *text = getenv("AETHER_ROUNDS"), *url = unit_scratch_url("sqlite");
    int rounds = text != NULL ? atoi(text) : 1000;
    STRESS_EXPECT(rounds > 0 && rounds <= ROUNDS_MOST);
    struct board *board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    STRESS_EXPECT(board != MAP_FAILED);
    pthread_barrierattr_t attributes;
    pthread_barrierattr_init(&attributes);
    pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&board->barrier, &attributes, RACERS);
    stress_clock_start();
    pid_t children[RACERS];
    for (int i = 0; i < RACERS; i++) {
        children[i] = fork();
        STRESS_EXPECT(children[i] >= 0);
        if (children[i] == 0)
            _exit(race(url, board, rounds));
    }
    for (int i = 0; i < RACERS; i++) {
        int status;
        STRESS_EXPECT(waitpid(children[i], &status, 0) == children[i]);
        STRESS_EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    for (int round = 0; round < rounds; round++)
        if (board->wins[round] != 1)
            stress_fail("%u won round %d", board->wins[round], round);
    unit_scratch_remove();
    return stress_end("%d rounds", rounds);
}
