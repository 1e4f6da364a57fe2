#include "common/stress_watch.h"

#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    TICK_NS = 20 * 1000 * 1000,
    DUE_NS = 150 * 1000 * 1000,   /* due so long: look at the thread */
    QUIET_NS = 650 * 1000 * 1000, /* asleep so long without a switch: nobody is going to wake it */
    STUCK_S = 60                  /* due so long, whatever the thread does */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct stress_watch *watches;

/* ------------------------------------------------------------------------------------------------------------ readers */

void stress_watch_add(struct stress_watch *watch, const char *what, uint64_t reader)
{
    watch->what = what;
    watch->reader = reader;
    pthread_mutex_lock(&lock);
    watch->next = watches;
    watches = watch;
    pthread_mutex_unlock(&lock);
}

void stress_watch_remove(struct stress_watch *watch)
{
    pthread_mutex_lock(&lock);
    struct stress_watch **link = &watches;
    while (*link != watch)
        link = &(*link)->next;
    *link = watch->next;
    pthread_mutex_unlock(&lock);
}

void stress_watch_enter(struct stress_watch *watch, const uint64_t *level, uint64_t mark)
{
    static _Thread_local uint64_t thread;
    if (thread == 0)
        thread = (uint64_t)syscall(SYS_gettid);
    stress_set(&watch->thread, thread);
    __atomic_store_n(&watch->level, level, STRESS_STORE);
    stress_set(&watch->mark, mark);
    stress_set(&watch->call, watch->call + 1);
}

void stress_watch_leave(struct stress_watch *watch)
{
    stress_set(&watch->call, watch->call + 1);
}

uint64_t stress_watch_call(const struct stress_watch *watch)
{
    uint64_t call = stress_get(&watch->call);
    return call & 1 ? call : 0;
}

void stress_watch_tell(struct stress_watch *watch, uint64_t call)
{
    if (call != 0)
        stress_set(&watch->told, call);
}

bool stress_watch_waits_at(const struct stress_watch *watch, uint64_t mark)
{
    return (stress_get(&watch->call) & 1) && stress_get(&watch->mark) == mark;
}

/* ----------------------------------------------------------------------------------------------------------- watchdog */

/* What the kernel says of a thread. False when it is gone. */
static bool look_at_thread(uint64_t thread, bool *asleep, uint64_t *switches)
{
    char path[64], line[128];
    snprintf(path, sizeof path, "/proc/self/task/%llu/status", (unsigned long long)thread);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return false;
    unsigned long long count;
    *asleep = false;
    *switches = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "State:\tS", 8) == 0)
            *asleep = true;
        else if (sscanf(line, "voluntary_ctxt_switches: %llu", &count) == 1 ||
                 sscanf(line, "nonvoluntary_ctxt_switches: %llu", &count) == 1)
            *switches += count;
    }
    fclose(file);
    return true;
}

static bool is_due(struct stress_watch *watch, uint64_t call)
{
    if ((call & 1) == 0)
        return false;
    if (stress_get(&watch->told) == call)
        return true;
    if (watch->due != NULL && watch->due(watch))
        return true;
    const uint64_t *level = __atomic_load_n(&watch->level, STRESS_LOAD);
    return level != NULL && stress_get(level) > stress_get(&watch->mark);
}

static void report(const struct stress_watch *watch, const char *how)
{
    const uint64_t *level = __atomic_load_n(&watch->level, STRESS_LOAD);
    char published[64] = "";
    if (level != NULL)
        snprintf(published, sizeof published, ", %llu are published", (unsigned long long)stress_get(level));
    stress_fail("%s: %s %llu, thread %llu, sleeps at %llu%s%s", how, watch->what, (unsigned long long)watch->reader,
                (unsigned long long)stress_get(&watch->thread), (unsigned long long)stress_get(&watch->mark), published,
                stress_get(&watch->told) == stress_get(&watch->call) ? ", was told to return" : "");
}

static void look(struct stress_watch *watch, int64_t now)
{
    uint64_t call = stress_get(&watch->call);
    if (!is_due(watch, call)) {
        watch->due_since = 0;
        return;
    }
    if (watch->due_since == 0 || watch->seen_call != call) {
        watch->seen_call = call;
        watch->due_since = watch->quiet_since = now;
        watch->switches = UINT64_MAX;
    }
    if (now - watch->due_since < DUE_NS)
        return;
    bool asleep;
    uint64_t switches;
    if (!look_at_thread(stress_get(&watch->thread), &asleep, &switches) || stress_get(&watch->call) != call)
        return;
    if (!asleep || switches != watch->switches) {
        watch->switches = switches;
        watch->quiet_since = now;
    } else if (now - watch->quiet_since > QUIET_NS) {
        report(watch, "lost wake-up");
    }
    if (now - watch->due_since > STUCK_S * INT64_C(1000000000))
        report(watch, "stuck");
}

static void *watch_all(void *unused)
{
    for (;;) {
        stress_nap(TICK_NS);
        int64_t now = stress_now();
        pthread_mutex_lock(&lock);
        for (struct stress_watch *watch = watches; watch != NULL; watch = watch->next)
            look(watch, now);
        pthread_mutex_unlock(&lock);
    }
    return unused;
}

void stress_watchdog_start(void)
{
    pthread_t thread;
    stress_spawn(&thread, watch_all, NULL);
    pthread_detach(thread);
}
