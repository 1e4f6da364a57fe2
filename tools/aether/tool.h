/* What the commands of `aether` share. */
#ifndef TOOL_H
#define TOOL_H

#include <argp.h>
#include <stdio.h>

#include "aether/json.h"
#include "aether/store.h"

/* Exit codes, as in the manual page. */
enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,   /* the system, the store, the disk */
    EXIT_USAGE = 2,    /* the command line */
    EXIT_CONFLICT = 3, /* a conflict, a reused id, an ended actor: nothing was saved */
    EXIT_UNKNOWN = 4,  /* whether it was saved is not known */
    EXIT_DAMAGED = 5,  /* malformed input, a damaged store */
    EXIT_REJECTED = 6  /* done, but something was set aside */
};

/* What every command understands. */
struct tool_options {
    const char *command; /* for messages */
    const char *store;   /* --store, or AETHER_STORE */
    bool json, quiet, read_only, contiguous;
};

extern struct tool_options tool_options;
/* A child of every command's options. */
extern const struct argp tool_argp;

/* Parses a command's words; exits where they are wrong. argp's input is `input`. */
void tool_parse(const struct argp *argp, int count, char **words, void *input);

/* Opens a store and says what is wrong: NULL. url NULL: the one that the options name. */
aether_store *tool_open(const char *url, bool read_only, bool must_exist);

/* "aether COMMAND: " and the text, to the standard error. Returns `code`. */
__attribute__((format(printf, 2, 3))) int tool_fail(int code, const char *format, ...);
/* The same with aether_error(), and the code that belongs to the status. */
int tool_fail_status(aether_status status);
int tool_code(aether_status status);

/* For argp: numbers within bounds; exits where they are none. */
int64_t tool_number(const struct argp_state *state, const char *name, const char *text, int64_t least, int64_t most);
double tool_seconds(const struct argp_state *state, const char *name, const char *text);

/* Ctrl-C and SIGTERM: true once one has come. */
void tool_catch_signals(void);
bool tool_is_interrupted(void);

/* Prints an event: one line of JSON, or one for people. False: the output is gone; said unless it is a closed pipe. */
bool tool_print_event(aether_json_writer *writer, const aether_event *event);
/* Flushes, and says what went wrong with the output: the exit code. */
int tool_finish_output(int code);

/* A bar on the standard error, where that is a terminal. */
struct tool_progress {
    const char *what;
    uint64_t total; /* 0: not known */
    int64_t began, shown;
    bool is_on;
};

void tool_progress_begin(struct tool_progress *progress, const char *what, uint64_t total);
void tool_progress_show(struct tool_progress *progress, uint64_t done);
void tool_progress_end(struct tool_progress *progress);

/* The commands: words[0] is the command. */
typedef int tool_command(int count, char **words);
tool_command tool_append, tool_events, tool_latest, tool_state, tool_snapshot, tool_import, tool_export, tool_follow,
    tool_copy, tool_backup, tool_verify, tool_stats, tool_bench, tool_watch;

#endif
