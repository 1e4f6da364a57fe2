/*
 * How many system calls does a writer make whose readers do not sleep?
 *
 * The program runs itself under strace, which writes down every system call of every thread. After a warm-up the writer
 * marks the place by giving its thread a name, appends --items items, and marks the end; what it called in between is the
 * answer. The readers look again and again and never wait in the library. --outstanding-bytes bounds what they leave unread,
 * and they begin when as much is there, so the segments of the warm-up suffice unless the buffer gives them back (--cached).
 * Where strace is missing or forbidden the program says so and fails; --smoke does the work without it and answers nothing.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aether/inline.h"
#include "common.h"

enum { PAYLOAD = 32 };
#define BEGIN_MARK "bench-begin"
#define END_MARK "bench-end"

static int64_t readers = 1, items = 10000000, warm_up = 1000000, outstanding_bytes = 128 * 1024, cached = 0;
static bool traced, is_inline;
static uint64_t total; /* with the warm-up */

static struct bench_progress *progress;
static _Atomic bool may_read;

/* ---------------------------------------------------------------------------------------------------- the traced part */

static void check(const aether_item *item, uint64_t due)
{
    uint64_t number;
    memcpy(&number, item->data, sizeof number);
    if (number != due)
        bench_fail("a reader wanted item %" PRIu64 " and got %" PRIu64, due, number);
}

/* A reader: its cursor and its progress. */
struct reader {
    aether_cursor *cursor;
    struct bench_progress *progress;
    pthread_t thread;
};

static void *read_all(void *argument)
{
    struct reader *reader = argument;
    if (readers == 1)
        bench_pin(1);
    while (!atomic_load_explicit(&may_read, memory_order_acquire))
        sched_yield();
    for (uint64_t read = 0; read < total;) {
        aether_item item;
        aether_status status = aether_cursor_next(reader->cursor, &item, AETHER_NO_WAIT);
        if (status == AETHER_EMPTY) {
            BENCH_RELAX();
            continue;
        }
        bench_ok(status, "aether_cursor_next");
        check(&item, ++read);
        bench_progress_tell(reader->progress, read);
    }
    aether_cursor_close(reader->cursor);
    return NULL;
}

static void write_items(aether_buffer *buffer, uint64_t first, uint64_t last, uint64_t bound)
{
    unsigned char event[PAYLOAD] = {0};
    for (uint64_t number = first; number <= last; number++) {
        if (number % BENCH_STEP == 0)
            bench_progress_wait(progress, (size_t)readers, number, bound, UINT32_MAX);
        memcpy(event, &number, sizeof number);
        bench_ok(is_inline ? aether_inline_append(buffer, event, sizeof event) : aether_append(buffer, event, sizeof event),
                 "append");
    }
}

static void work(void)
{
    aether_buffer_options options = {.cached_segments = (int32_t)cached};
    aether_buffer *buffer = bench_handle(aether_buffer_create(&options), "aether_buffer_create");
    struct reader *reader = bench_memory((size_t)readers, sizeof *reader);
    progress = bench_memory((size_t)readers, sizeof *progress);
    for (int64_t i = 0; i < readers; i++) {
        reader[i].cursor = bench_handle(aether_cursor_open(buffer, AETHER_FROM_NEXT), "aether_cursor_open");
        reader[i].progress = &progress[i];
        if (pthread_create(&reader[i].thread, NULL, read_all, &reader[i]) != 0)
            bench_fail("cannot start a thread");
    }
    bench_pin(0);
    uint64_t bound = bench_bound(outstanding_bytes, PAYLOAD), fill = bound - BENCH_STEP;
    write_items(buffer, 1, fill, bound);
    atomic_store_explicit(&may_read, true, memory_order_release);
    write_items(buffer, fill + 1, fill + (uint64_t)warm_up, bound);
    (void)prctl(PR_SET_NAME, BEGIN_MARK);
    write_items(buffer, fill + (uint64_t)warm_up + 1, total, bound);
    (void)prctl(PR_SET_NAME, END_MARK);
    for (int64_t i = 0; i < readers; i++)
        pthread_join(reader[i].thread, NULL);
    aether_buffer_destroy(buffer);
    free(progress);
    free(reader);
}

/* --------------------------------------------------------------------------------------------------------- the tracer */

/* System calls between the marks. */
struct calls {
    uint64_t writer, others;
    bool begun, ended;
};

/* One line of strace: "1234 futex(...) = 0". The rest of a call that was cut in two, signals and exits do not count. */
static void count_line(struct calls *calls, const char *text)
{
    static long writer;
    char *call;
    long thread = strtol(text, &call, 10);
    if (strstr(text, END_MARK) != NULL)
        calls->ended = true;
    if (calls->begun && !calls->ended && strstr(text, " resumed>") == NULL &&
        strchr("+-", call[strspn(call, " ")]) == NULL) {
        if (thread == writer) {
            calls->writer++;
            (void)fprintf(stderr, "%s", text);
        } else {
            calls->others++;
        }
    }
    if (strstr(text, BEGIN_MARK) != NULL) {
        writer = thread;
        calls->begun = true;
    }
}

static struct calls count_calls(const char *path)
{
    struct calls calls = {0};
    char text[1024];
    FILE *file = fopen(path, "r");
    if (file == NULL)
        bench_fail("cannot read what strace has written");
    while (fgets(text, sizeof text, file) != NULL)
        count_line(&calls, text);
    (void)fclose(file);
    if (!calls.begun || !calls.ended)
        bench_fail("strace did not show the marks");
    return calls;
}

/* Runs this program with the same arguments and --traced under strace, which writes its lines to the file `path`. */
static void trace(int argc, char **argv, char *path)
{
    static char strace[] = "strace", follow[] = "-f", output[] = "-o", part[] = "--traced", self[4096];
    char *head[] = {strace, follow, output, path, self, part};
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        bench_fail("cannot find this program");
    char **command = bench_memory(sizeof head / sizeof *head + (size_t)argc, sizeof *command); /* ends with a NULL */
    memcpy(command, head, sizeof head);
    memcpy(command + sizeof head / sizeof *head, argv + 1, (size_t)(argc - 1) * sizeof *argv);
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        (void)execvp(command[0], command);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        bench_fail("strace is missing, or may not trace here");
    free(command);
}

int main(int argc, char **argv)
{
    const char *api = "inline";
    const struct bench_option options[] = {
        {.name = "api", .text = &api, .help = "inline or plain"},
        {.name = "readers", .number = &readers, .help = "how many readers"},
        {.name = "items", .number = &items, .help = "items after the warm-up"},
        {.name = "warm-up", .number = &warm_up, .help = "items of the warm-up"},
        {.name = "outstanding-bytes", .number = &outstanding_bytes, .help = "how much a reader may leave unread"},
        {.name = "cached", .number = &cached, .help = "the buffer's option cached_segments; 0: its default"},
        {.name = "traced", .flag = &traced, .help = "do the work only: what runs under strace"},
        {0},
    };
    bench_options(argc, argv, "how many system calls does a writer make whose readers do not sleep?", options);
    is_inline = strcmp(api, "inline") == 0;
    if (bench_smoke) {
        warm_up = 10000;
        items = 10000;
    }
    total = bench_bound(outstanding_bytes, PAYLOAD) - BENCH_STEP + (uint64_t)(warm_up + items);
    struct calls calls = {0};
    if (traced || bench_smoke)
        work();
    if (traced)
        return 0;
    if (!bench_smoke) {
        char path[] = "/tmp/bench-syscalls-XXXXXX";
        int file = mkstemp(path);
        if (file < 0)
            bench_fail("cannot write to /tmp");
        (void)close(file);
        trace(argc, argv, path);
        calls = count_calls(path);
        (void)unlink(path);
    }

    bench_begin("syscalls");
    bench_text("api", api);
    bench_count("readers", (uint64_t)readers);
    bench_count("payload", PAYLOAD);
    bench_count("items", (uint64_t)items);
    bench_count("outstanding_bytes", (uint64_t)outstanding_bytes);
    bench_measured();
    if (!bench_smoke) {
        bench_count("writer_calls", calls.writer);
        bench_count("other_calls", calls.others);
    }
    bench_count("lost", 0);
    bench_end();
    return 0;
}
