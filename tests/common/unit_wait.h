/* Waiting for conditions, with a deadline that only a broken library reaches. */
#ifndef UNIT_WAIT_H
#define UNIT_WAIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Real CLOCK_MONOTONIC nanoseconds, whatever clock the library has. */
int64_t unit_now(void);

/* The instant at which to give up what began now. */
int64_t unit_give_up_at(void);

/* One short pause of a loop that waits; false when it is time to give up. */
bool unit_pause(int64_t give_up_at);

/* True when `condition` came true in time. */
#define unit_until(condition)                                                                                               \
    __extension__({                                                                                                         \
        int64_t unit_until_at = unit_give_up_at();                                                                          \
        bool unit_until_done;                                                                                               \
        while (!(unit_until_done = (condition)) && unit_pause(unit_until_at))                                               \
            ;                                                                                                               \
        unit_until_done;                                                                                                    \
    })

/* A thread whose body answers NULL, or what went wrong. A stack size of 0 is the usual one. */
struct unit_thread {
    pthread_t thread;
    const char *(*body)(void *user);
    void *user;
    pid_t tid; /* atomic */
};

bool unit_thread_start(struct unit_thread *thread, size_t stack, const char *(*body)(void *user), void *user);

/* The body's answer, or that it did not end in time. */
const char *unit_thread_join(struct unit_thread *thread);

/* The kernel's letter for what the thread does: 'S' asleep, 'R' running. */
char unit_thread_state(pid_t tid);

/* For bodies of threads and children, which cannot use the assertions of Criterion. */
#define UNIT_TEXT_OF(line) #line
#define UNIT_LINE(line) UNIT_TEXT_OF(line)
#define claim(condition)                                                                                                    \
    do {                                                                                                                    \
        if (!(condition))                                                                                                   \
            return __FILE__ ":" UNIT_LINE(__LINE__) ": " #condition;                                                        \
    } while (0)

#endif
