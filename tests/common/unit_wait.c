#include "common/unit_wait.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { GIVE_UP_S = 20, PAUSE_NS = 20000 };

int64_t unit_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t unit_give_up_at(void)
{
    return unit_now() + GIVE_UP_S * INT64_C(1000000000);
}

bool unit_pause(int64_t give_up_at)
{
    struct timespec pause = {0, PAUSE_NS};
    nanosleep(&pause, NULL);
    return unit_now() < give_up_at;
}

static void *run(void *argument)
{
    struct unit_thread *thread = argument;
    __atomic_store_n(&thread->tid, gettid(), __ATOMIC_RELEASE);
    return (void *)(uintptr_t)thread->body(thread->user);
}

bool unit_thread_start(struct unit_thread *thread, size_t stack, const char *(*body)(void *user), void *user)
{
    thread->body = body;
    thread->user = user;
    thread->tid = 0;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (stack != 0)
        pthread_attr_setstacksize(&attributes, stack);
    int error = pthread_create(&thread->thread, &attributes, run, thread);
    pthread_attr_destroy(&attributes);
    return error == 0;
}

const char *unit_thread_join(struct unit_thread *thread)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += GIVE_UP_S;
    void *answer = NULL;
    if (pthread_clockjoin_np(thread->thread, &answer, CLOCK_MONOTONIC, &until) != 0)
        return "the thread does not end";
    return answer;
}

char unit_thread_state(pid_t tid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)tid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return '?';
    const char *line = fgets(text, sizeof text, file);
    fclose(file);
    const char *end = line == NULL ? NULL : strrchr(line, ')'); /* of the thread's name */
    return end == NULL ? '?' : end[2];
}
