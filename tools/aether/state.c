/* aether latest, state, snapshot: what actors are by now. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "aether/state.h"
#include "tool.h"

struct actors {
    char **names;
    int count;
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct actors *actors = state->input;
    (void)text;
    if (key == ARGP_KEY_ARGS) {
        actors->names = state->argv + state->next;
        actors->count = state->argc - state->next;
        return 0;
    }
    if (key == ARGP_KEY_NO_ARGS)
        argp_error(state, "which actor?");
    return ARGP_ERR_UNKNOWN;
}

static const struct argp_child children[] = {{&tool_argp, 0, NULL, 0}, {0}};

static void print_name(const char *name)
{
    aether_json_writer *writer = aether_json_writer_create(NULL);
    aether_text text = {NULL, 0};
    if (writer != NULL && aether_json_write_string(writer, name, strlen(name), &text) == AETHER_OK)
        (void)printf("%.*s", (int)text.size, text.data);
    aether_json_writer_destroy(writer);
}

/* Calls for each actor; the first code that is not 0. */
static int for_each(int count, char **words, const struct argp *argp, bool read_only,
                    int (*call)(aether_store *store, const char *actor))
{
    struct actors actors = {NULL, 0};
    tool_parse(argp, count, words, &actors);
    aether_store *store = tool_open(NULL, read_only, true);
    if (store == NULL)
        return EXIT_FAILED;
    int code = EXIT_OK;
    for (int i = 0; i < actors.count; i++) {
        int came = call(store, actors.names[i]);
        code = code != EXIT_OK ? code : came;
    }
    aether_store_close(store);
    return tool_finish_output(code);
}

static int print_latest(aether_store *store, const char *actor)
{
    int64_t version;
    aether_status status = aether_latest(store, actor, &version);
    if (status != AETHER_OK)
        return tool_fail_status(status);
    if (tool_options.json) {
        (void)printf("{\"actorId\":");
        print_name(actor);
        (void)printf(",\"version\":%" PRId64 "}\n", version);
    } else {
        (void)printf("%" PRId64 "\n", version);
    }
    return EXIT_OK;
}

int tool_latest(int count, char **words)
{
    static const struct argp argp = {
        NULL, parse, "ACTOR...", "Writes the latest version of each actor; 0 for one without events.", children, NULL, NULL};
    return for_each(count, words, &argp, true, print_latest);
}

static int print_state(aether_store *store, const char *actor)
{
    const aether_reducer *reducer = aether_json_merge_reducer();
    aether_state_info info;
    void *state = aether_state_load(store, actor, reducer, &info);
    if (state == NULL)
        return tool_fail_status(aether_error_status());
    char *text = aether_json_merge_text(state);
    reducer->destroy(state, reducer->user);
    if (text == NULL)
        return tool_fail(EXIT_FAILED, "no memory");
    if (tool_options.json) {
        (void)printf("{\"actorId\":");
        print_name(actor);
        (void)printf(",\"version\":%" PRId64 ",\"snapshotVersion\":%" PRId64 ",\"replayed\":%" PRIu64 ",\"state\":%s}\n",
                     info.version, info.snapshot_version, info.replayed, text);
    } else {
        (void)printf("%s\n", text);
    }
    free(text);
    return EXIT_OK;
}

int tool_state(int count, char **words)
{
    static const struct argp argp = {
        NULL,       parse,
        "ACTOR...", "Writes the state of each actor: the data of its events, merged into one document (RFC 7396).",
        children,   NULL,
        NULL};
    return for_each(count, words, &argp, true, print_state);
}

static int make_snapshot(aether_store *store, const char *actor)
{
    const aether_reducer *reducer = aether_json_merge_reducer();
    aether_state_info info;
    void *state = aether_state_load(store, actor, reducer, &info);
    if (state == NULL)
        return tool_fail_status(aether_error_status());
    aether_status status =
        info.version != 0 ? aether_state_save(store, actor, reducer, state, info.version) : AETHER_NOT_FOUND;
    reducer->destroy(state, reducer->user);
    if (status == AETHER_NOT_FOUND)
        return tool_fail(EXIT_FAILED, "\"%s\" has no events", actor);
    if (status != AETHER_OK)
        return tool_fail_status(status);
    if (tool_options.json)
        (void)printf("{\"version\":%" PRId64 ",\"replayed\":%" PRIu64 "}\n", info.version, info.replayed);
    else if (!tool_options.quiet)
        (void)printf("%s: a snapshot at version %" PRId64 "\n", actor, info.version);
    return EXIT_OK;
}

int tool_snapshot(int count, char **words)
{
    static const struct argp argp = {
        NULL,     parse, "ACTOR...", "Keeps a snapshot of each actor's state, as `aether state` makes it.",
        children, NULL,  NULL};
    return for_each(count, words, &argp, false, make_snapshot);
}
