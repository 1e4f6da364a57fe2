/* aether: works with stores of events from the shell. */
#include <stdlib.h>
#include <string.h>

#include "aether/sqlite.h"
#include "tool.h"

struct command {
    const char *name;
    tool_command *run;
    const char *about;
};

static const struct command commands[] = {
    {"append", tool_append, "save an event of an actor"},
    {"events", tool_events, "list events"},
    {"latest", tool_latest, "the latest versions of actors"},
    {"state", tool_state, "an actor's state: its events' data merged into one document"},
    {"snapshot", tool_snapshot, "keep a snapshot of an actor's state"},
    {"import", tool_import, "save events from lines of JSON"},
    {"export", tool_export, "write all events as lines of JSON"},
    {"follow", tool_follow, "write events as they come, from any point of the past"},
    {"copy", tool_copy, "copy all events into another store"},
    {"backup", tool_backup, "copy the store's file while it is in use"},
    {"verify", tool_verify, "look at everything that is stored"},
    {"stats", tool_stats, "figures of a store"},
    {"bench", tool_bench, "measure saving and loading"},
    {"watch", tool_watch, "follow a directory tree (a demonstration of the bus)"},
};

enum { COMMANDS = sizeof commands / sizeof *commands };

struct found {
    const struct command *command;
    int at; /* of its word */
};

static char *list_commands(int key, const char *text, void *input)
{
    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC)
        return (char *)(uintptr_t)text;
    size_t room = 200 + COMMANDS * 90;
    char *list = malloc(room);
    if (list == NULL)
        return NULL;
    size_t used = (size_t)snprintf(list, room, "Commands:\n");
    for (int i = 0; i < COMMANDS; i++)
        used += (size_t)snprintf(list + used, room - used, "  %-10s %s\n", commands[i].name, commands[i].about);
    (void)snprintf(list + used, room - used, "\n`aether COMMAND --help` says more of one.");
    return list;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct found *found = state->input;
    if (key == ARGP_KEY_ARG) {
        for (int i = 0; i < COMMANDS; i++)
            if (strcmp(commands[i].name, text) == 0)
                found->command = &commands[i];
        if (found->command == NULL)
            argp_error(state, "there is no command '%s'", text);
        found->at = state->next - 1;
        state->next = state->argc; /* the rest is the command's */
        return 0;
    }
    if (key == ARGP_KEY_NO_ARGS)
        argp_error(state, "a command is missing");
    return key == ARGP_KEY_ARG || key == ARGP_KEY_ARGS ? 0 : ARGP_ERR_UNKNOWN;
}

int main(int count, char **words)
{
    static const struct argp_child children[] = {{&tool_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {NULL,
                                     parse,
                                     "COMMAND [WORD...]",
                                     "Works with stores of events: event-sourced state from the shell.\v",
                                     children,
                                     list_commands,
                                     NULL};
    struct found found = {NULL, 0};
    argp_program_version = "aether " AETHER_VERSION;
    argp_err_exit_status = EXIT_USAGE;
    (void)argp_parse(&argp, count, words, ARGP_IN_ORDER, NULL, &found);
    if (aether_store_use(aether_sqlite_driver()) != AETHER_OK)
        return tool_fail(EXIT_FAILED, "%s", aether_error());
    tool_catch_signals();
    return found.command->run(count - found.at, words + found.at);
}
