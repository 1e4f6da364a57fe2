/* aether append: saves one event. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

enum { OPTION_ID = 256, OPTION_VERSION, OPTION_EXPECT, OPTION_METADATA, OPTION_CLOSING, OPTION_BYTES };

struct append {
    aether_event event;
    aether_save_options options;
    const char *data;
    bool is_bytes;
    int words;
};

static const struct argp_option options[] = {
    {"version", OPTION_VERSION, "N", 0, "The version (default: the next one)", 0},
    {"expect", OPTION_EXPECT, "none|some|N", 0, "What the actor has so far: no event, some, or exactly the latest version N",
     0},
    {"id", OPTION_ID, "UUID", 0, "The event's id, to try again with (default: drawn)", 0},
    {"metadata", OPTION_METADATA, "JSON", 0, "Metadata", 0},
    {"closing", OPTION_CLOSING, NULL, 0, "It ends the actor", 0},
    {"bytes", OPTION_BYTES, NULL, 0, "The data are bytes, not JSON", 0},
    {0}};

static int64_t expectation(const struct argp_state *state, const char *text)
{
    if (strcmp(text, "none") == 0)
        return AETHER_EXPECT_NONE;
    if (strcmp(text, "some") == 0)
        return AETHER_EXPECT_SOME;
    return tool_number(state, "--expect", text, 1, INT64_MAX);
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct append *append = state->input;
    switch (key) {
    case OPTION_VERSION:
        append->event.version = tool_number(state, "--version", text, 1, INT64_MAX);
        return 0;
    case OPTION_EXPECT:
        append->options.expected = expectation(state, text);
        return 0;
    case OPTION_ID:
        if (!aether_id_read(append->event.id, text, strlen(text)))
            argp_error(state, "--id takes a UUID, not '%s'", text);
        return 0;
    case OPTION_METADATA:
        append->event.metadata = aether_text_of(text);
        return 0;
    case OPTION_CLOSING:
        append->event.flags = AETHER_EVENT_CLOSING;
        return 0;
    case OPTION_BYTES:
        append->is_bytes = true;
        return 0;
    case ARGP_KEY_ARG:
        if (append->words == 3)
            argp_error(state, "'%s' is one word too many", text);
        *(append->words == 0 ? &append->event.actor : append->words == 1 ? &append->event.type : &append->data) = text;
        append->words++;
        return 0;
    case ARGP_KEY_END:
        if (append->words < 2)
            argp_error(state, "an actor and a type are needed");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* All of the standard input. */
static char *read_input(size_t *size)
{
    char *bytes = NULL;
    size_t room = 0, got;
    *size = 0;
    do {
        if (*size == room) {
            room = room != 0 ? room * 2 : 65536;
            char *larger = realloc(bytes, room);
            if (larger == NULL)
                break;
            bytes = larger;
        }
        got = fread(bytes + *size, 1, room - *size, stdin);
        *size += got;
    } while (got != 0 && *size <= AETHER_DATA_MAX);
    return bytes;
}

static bool check_json(const char *what, aether_text bytes)
{
    aether_json_place place;
    if (bytes.size == 0 || aether_json_check(bytes.data, bytes.size, &place))
        return true;
    (void)tool_fail(EXIT_DAMAGED, "%s are no JSON at line %" PRIu64 " column %" PRIu64 "%s", what, place.line, place.column,
                    strcmp(what, "the data") == 0 ? " (--bytes keeps what is none)" : "");
    return false;
}

static void tell(const struct append *append, const aether_saved *saved)
{
    char id[37];
    aether_id_write(saved->id, id);
    if (tool_options.json)
        (void)printf("{\"version\":%" PRId64 ",\"position\":%" PRIu64 ",\"epoch\":\"%016" PRIx64
                     "\",\"id\":\"%s\",\"durability\":\"%s\",\"duplicate\":%s}\n",
                     saved->version, saved->position.index, saved->position.epoch, id,
                     aether_durability_text(saved->durability), saved->duplicate ? "true" : "false");
    else if (!tool_options.quiet)
        (void)printf("%s version %" PRId64 " at %" PRIu64 ", %s%s\n", append->event.actor, saved->version,
                     saved->position.index, aether_durability_text(saved->durability),
                     saved->duplicate ? " (it was there already)" : "");
}

int tool_append(int count, char **words)
{
    static const struct argp_child children[] = {{&tool_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        options, parse, "ACTOR TYPE [DATA]", "Saves an event. DATA is JSON; - reads it from the standard input.", children,
        NULL,    NULL};
    struct append append = {.words = 0};
    tool_parse(&argp, count, words, &append);
    char *input = NULL;
    append.event.data = aether_text_of(append.data);
    if (append.data != NULL && strcmp(append.data, "-") == 0) {
        size_t size;
        input = read_input(&size);
        append.event.data = aether_bytes(input, size);
    }
    if (!check_json("the metadata", append.event.metadata) ||
        (!append.is_bytes && !check_json("the data", append.event.data))) {
        free(input);
        return EXIT_DAMAGED;
    }
    aether_store *store = tool_open(NULL, false, false);
    int code = EXIT_FAILED;
    if (store != NULL) {
        aether_saved saved;
        aether_status status = aether_save_batch(store, &append.event, 1, &append.options, &saved);
        code = status == AETHER_OK ? EXIT_OK : tool_fail_status(status);
        if (status == AETHER_OK)
            tell(&append, &saved);
        aether_store_close(store);
    }
    free(input);
    return tool_finish_output(code);
}
