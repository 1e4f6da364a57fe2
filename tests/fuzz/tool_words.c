/*
 * Any words as a command line. Each is tried in a child, in an empty directory, on a store in memory or a file: the child
 * ends with one of the exit codes of the manual, never by a signal.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../tools/aether/tool.h"
#include "common/unit_scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerInitialize(int *count, char ***words);
int tool_main(int count, char **words);

enum { WORDS = 16, SECONDS = 5 };

static const char *const known[] = {"append",    "events",    "latest",    "state",    "snapshot",    "import",
                                    "export",    "follow",    "copy",      "backup",   "verify",      "stats",
                                    "bench",     "--json",    "--store",   "memory:",  "sqlite:x",    "--quiet",
                                    "--expect",  "--version", "--id",      "--limit",  "--from",      "--backwards",
                                    "--after",   "--prefix",  "--lenient", "--for",    "--heartbeat", "--checkpoint",
                                    "--new",     "--type",    "--to",      "--events", "--batch",     "--size",
                                    "--threads", "--help",    "--reject",  "1",        "0",           "-1",
                                    "none",      "a",         "{}",        "{\"a\":1}"};

static const char *directory;

int LLVMFuzzerInitialize(int *count, char ***words)
{
    (void)count;
    (void)words;
    directory = unit_scratch();
    return atexit(unit_scratch_remove);
}

/* A byte below 128 picks a known word; else what follows, up to the next such byte, is one. Nothing leaves the directory. */
static int split(const uint8_t *bytes, size_t size, char words[WORDS][64])
{
    int count = 0;
    snprintf(words[count++], 64, "aether");
    for (size_t i = 0; i < size && count < WORDS - 1; i++) {
        size_t used = 0;
        if (bytes[i] < 128) {
            snprintf(words[count++], 64, "%s", known[bytes[i] % (sizeof known / sizeof *known)]);
            continue;
        }
        for (; i < size && bytes[i] >= 128 && used < 63; i++) {
            char c = (char)(bytes[i] - 128);
            words[count][used++] = c == '/' || c == '\0' ? '_' : c;
        }
        i--;
        words[count++][used] = '\0';
    }
    return count;
}

/* Before libFuzzer's own handler, which takes any end for a mistake. */
static void leave(int status, void *user)
{
    (void)user;
    _exit(status);
}

static void try(int count, char words[WORDS][64])
{
    char *pointers[WORDS + 1] = {NULL};
    for (int i = 0; i < count; i++)
        pointers[i] = words[i];
    if (chdir(directory) != 0 || freopen("/dev/null", "w", stdout) == NULL || freopen("/dev/null", "w", stderr) == NULL ||
        freopen("/dev/null", "r", stdin) == NULL)
        _exit(0);
    if (on_exit(leave, NULL) != 0)
        _exit(0);
    alarm(SECONDS);
    signal(SIGALRM, SIG_DFL);
    for (int i = 1; i < count; i++)
        if (strcmp(words[i], "watch") == 0)
            _exit(0); /* looks at the whole disk */
    exit(tool_main(count, pointers));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static char words[WORDS][64];
    int count = split(bytes, size < 200 ? size : 200, words), status;
    pid_t child = fork();
    if (child < 0)
        abort();
    if (child == 0)
        try(count, words);
    pid_t ended;
    while ((ended = waitpid(child, &status, 0)) < 0 && errno == EINTR) /* libFuzzer's own clock */
        ;
    if (ended != child)
        abort();
    bool is_late = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM; /* follows, or measures something large */
    if (!is_late && (!WIFEXITED(status) || WEXITSTATUS(status) > EXIT_REJECTED)) {
        for (int i = 0; i < count; i++)
            fprintf(stderr, "'%s' ", words[i]);
        fprintf(stderr, "ended with status 0x%x\n", (unsigned)status);
        abort();
    }
    return 0;
}
