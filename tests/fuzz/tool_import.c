/*
 * Any bytes as lines to import, into a store in memory: the command ends with one of its exit codes, and says how many lines
 * it has saved, found or set aside.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../tools/aether/tool.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerInitialize(int *count, char ***words);

/* What the command says is of no interest here. */
int LLVMFuzzerInitialize(int *count, char ***words)
{
    (void)count;
    (void)words;
    return freopen("/dev/null", "w", stdout) != NULL ? 0 : 1;
}

static int import(const char *path, const char *rejects)
{
    char command[] = "import", store[] = "--store=memory:", quiet[] = "--quiet", reject[64], file[64];
    snprintf(reject, sizeof reject, "--reject=%s", rejects != NULL ? rejects : "");
    snprintf(file, sizeof file, "%s", path);
    char *words[] = {command, store, quiet, file, rejects != NULL ? reject : NULL, NULL};
    tool_options = (struct tool_options){0};
    return tool_import(rejects != NULL ? 5 : 4, words);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    int file = memfd_create("lines", 0);
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (file < 0 || write(file, bytes, size) != (ssize_t)size)
        abort();
    FILE *error = stderr;
    stderr = fopen("/dev/null", "w");
    if (stderr == NULL)
        abort();
    int stops = import(path, NULL), goes_on = import(path, "/dev/null");
    fclose(stderr);
    stderr = error;
    close(file);
    /* What stops one is set aside by the other; nothing else is different. */
    if (stops == EXIT_OK ? goes_on != EXIT_OK : goes_on != EXIT_REJECTED)
        abort();
    return 0;
}
