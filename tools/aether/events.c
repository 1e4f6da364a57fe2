/* aether events, export, follow: replays, written out. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tool.h"

enum {
    OPTION_FROM = 256,
    OPTION_TO,
    OPTION_AFTER,
    OPTION_LIMIT,
    OPTION_BACKWARDS,
    OPTION_TYPE,
    OPTION_PREFIX,
    OPTION_LENIENT,
    OPTION_NEW,
    OPTION_HEARTBEAT,
    OPTION_FOR,
    OPTION_CHECKPOINT
};

enum { TYPES_MOST = 64 };

struct listing {
    const char *actor, *file, *checkpoint;
    aether_load_options load;
    const char *types[TYPES_MOST];
    bool only_new;
    double heartbeat, seconds; /* below 0: for ever */
    bool takes_file;
};

static const struct argp_option list_options[] = {
    {"from", OPTION_FROM, "VERSION", 0, "From this version of the actor on, inclusive", 0},
    {"to", OPTION_TO, "VERSION", 0, "Up to this version of the actor, inclusive", 0},
    {"after", OPTION_AFTER, "POSITION", 0, "All actors: after this position", 0},
    {"limit", OPTION_LIMIT, "N", 0, "At most so many", 0},
    {"backwards", OPTION_BACKWARDS, NULL, 0, "The newest first", 0},
    {"type", OPTION_TYPE, "TYPE", 0, "Only events of this type; may be given again", 0},
    {"prefix", OPTION_PREFIX, "TEXT", 0, "All actors: only those whose names begin so", 0},
    {"lenient", OPTION_LENIENT, NULL, 0, "Tell malformed events and go on", 0},
    {0}};

static const struct argp_option follow_options[] = {
    {"from", OPTION_FROM, "VERSION", 0, "From this version of the actor on, inclusive", 0},
    {"after", OPTION_AFTER, "POSITION", 0, "All actors: after this position (default: from the beginning)", 0},
    {"new", OPTION_NEW, NULL, 0, "Only what is saved from now on", 0},
    {"limit", OPTION_LIMIT, "N", 0, "At most so many", 0},
    {"type", OPTION_TYPE, "TYPE", 0, "Only events of this type; may be given again", 0},
    {"prefix", OPTION_PREFIX, "TEXT", 0, "All actors: only those whose names begin so", 0},
    {"lenient", OPTION_LENIENT, NULL, 0, "Tell malformed events and go on", 0},
    {"heartbeat", OPTION_HEARTBEAT, "SECONDS", 0, "Write {} when nothing came for so long (default: 30; 0: never)", 0},
    {"for", OPTION_FOR, "SECONDS", 0, "How long (default: until Ctrl-C)", 0},
    {"checkpoint", OPTION_CHECKPOINT, "NAME", 0, "Go on where the checkpoint is, and move it behind what was written", 0},
    {0}};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct listing *listing = state->input;
    aether_load_options *load = &listing->load;
    switch (key) {
    case OPTION_FROM:
        load->from_version = tool_number(state, "--from", text, 1, INT64_MAX);
        return 0;
    case OPTION_TO:
        load->to_version = tool_number(state, "--to", text, 1, INT64_MAX);
        return 0;
    case OPTION_AFTER:
        load->after.index = (uint64_t)tool_number(state, "--after", text, 0, INT64_MAX);
        return 0;
    case OPTION_LIMIT:
        load->limit = (uint64_t)tool_number(state, "--limit", text, 1, INT64_MAX);
        return 0;
    case OPTION_BACKWARDS:
        load->backwards = true;
        return 0;
    case OPTION_TYPE:
        if (load->type_count == TYPES_MOST)
            argp_error(state, "--type may be given %d times", TYPES_MOST);
        listing->types[load->type_count++] = text;
        load->types = listing->types;
        return 0;
    case OPTION_PREFIX:
        load->actor_prefix = text;
        return 0;
    case OPTION_LENIENT:
        load->lenient = true;
        return 0;
    case OPTION_NEW:
        listing->only_new = true;
        return 0;
    case OPTION_HEARTBEAT:
        listing->heartbeat = tool_seconds(state, "--heartbeat", text);
        return 0;
    case OPTION_FOR:
        listing->seconds = tool_seconds(state, "--for", text);
        return 0;
    case OPTION_CHECKPOINT:
        listing->checkpoint = text;
        return 0;
    case ARGP_KEY_ARG:
        if (listing->actor != NULL || listing->file != NULL)
            argp_error(state, "'%s' is one word too many", text);
        *(listing->takes_file ? &listing->file : &listing->actor) = text;
        return 0;
    case ARGP_KEY_END:
        if (listing->actor != NULL && (load->after.index != 0 || load->actor_prefix != NULL))
            argp_error(state, "--after and --prefix are for all actors, not for one");
        if (listing->actor == NULL && (load->from_version != 0 || load->to_version != 0))
            argp_error(state, "--from and --to are versions of one actor: which one?");
        if (listing->checkpoint != NULL && (listing->only_new || load->after.index != 0 || listing->actor != NULL))
            argp_error(state, "a checkpoint says where to begin, and is of all actors");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static aether_replay *open_replay(aether_store *store, const struct listing *listing)
{
    aether_replay *replay =
        listing->actor != NULL ? aether_load(store, listing->actor, &listing->load) : aether_load_all(store, &listing->load);
    if (replay == NULL)
        (void)tool_fail(EXIT_FAILED, "%s", aether_error());
    return replay;
}

/* Writes all of a replay; *at gets the newest index that was passed. */
static int write_all(aether_replay *replay, const struct listing *listing, struct tool_progress *progress)
{
    aether_json_writer *writer = aether_json_writer_create(NULL);
    aether_event event;
    aether_status status = writer != NULL ? AETHER_OK : AETHER_NO_MEMORY;
    int code = EXIT_OK;
    uint64_t count = 0;
    while (status == AETHER_OK && !tool_is_interrupted()) {
        status = aether_replay_next(replay, &event, AETHER_NO_WAIT);
        if (status == AETHER_MALFORMED && listing->load.lenient) {
            code = tool_fail(EXIT_REJECTED, "%s", aether_error());
            status = AETHER_OK;
            continue;
        }
        if (status == AETHER_OK && !tool_print_event(writer, &event))
            break;
        if (progress != NULL && ++count % 256 == 0)
            tool_progress_show(progress, event.index);
    }
    aether_json_writer_destroy(writer);
    if (progress != NULL)
        tool_progress_end(progress);
    return status == AETHER_OK || status == AETHER_ENDED ? code : tool_fail_status(status);
}

int tool_events(int count, char **words)
{
    static const struct argp_child children[] = {{&tool_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        list_options, parse, "[ACTOR]", "Lists the events of an actor, or of all in the store's order.",
        children,     NULL,  NULL};
    struct listing listing = {.actor = NULL};
    tool_parse(&argp, count, words, &listing);
    aether_store *store = tool_open(NULL, true, true);
    if (store == NULL)
        return EXIT_FAILED;
    aether_replay *replay = open_replay(store, &listing);
    int code = replay != NULL ? write_all(replay, &listing, NULL) : EXIT_FAILED;
    aether_replay_close(replay);
    aether_store_close(store);
    return tool_finish_output(code);
}

int tool_export(int count, char **words)
{
    static const struct argp_child children[] = {{&tool_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        list_options, parse,
        "[FILE]",     "Writes all events as lines of JSON, in the store's order, to FILE or the standard output.",
        children,     NULL,
        NULL};
    struct listing listing = {.takes_file = true};
    tool_parse(&argp, count, words, &listing);
    tool_options.json = true;
    if (listing.file != NULL && strcmp(listing.file, "-") != 0 && freopen(listing.file, "w", stdout) == NULL)
        return tool_fail(EXIT_FAILED, "cannot open \"%s\"", listing.file);
    aether_store *store = tool_open(NULL, true, true);
    aether_position newest = {0, 0};
    if (store == NULL || aether_store_newest(store, &newest) != AETHER_OK)
        return tool_fail(EXIT_FAILED, "%s", aether_error());
    struct tool_progress progress;
    tool_progress_begin(&progress, "export", newest.index);
    aether_replay *replay = open_replay(store, &listing);
    int code = replay != NULL ? write_all(replay, &listing, &progress) : EXIT_FAILED;
    aether_replay_close(replay);
    aether_store_close(store);
    return tool_finish_output(code);
}

/* ------------------------------------------------------------------------------------------------------------- follow */

/* Where to begin, as a checkpoint or --new says. */
static bool begin(aether_store *store, struct listing *listing)
{
    aether_status status = AETHER_OK;
    if (listing->checkpoint != NULL)
        status = aether_checkpoint_load(store, listing->checkpoint, &listing->load.after);
    if (status == AETHER_NOT_FOUND)
        status = AETHER_OK;
    if (listing->only_new && listing->actor == NULL)
        status = aether_store_newest(store, &listing->load.after);
    if (listing->only_new && listing->actor != NULL) {
        status = aether_latest(store, listing->actor, &listing->load.from_version);
        listing->load.from_version++;
    }
    if (status != AETHER_OK)
        (void)tool_fail_status(status);
    return status == AETHER_OK;
}

/* What was written is with whoever reads it before the checkpoint says so. */
static bool pass_on(aether_store *store, const struct listing *listing, const aether_replay *replay)
{
    if (fflush(stdout) != 0)
        return false;
    if (listing->checkpoint == NULL)
        return true;
    aether_status status = aether_checkpoint_save(store, listing->checkpoint, aether_replay_position(replay));
    if (status != AETHER_OK)
        (void)tool_fail_status(status);
    return status == AETHER_OK;
}

static int follow(aether_store *store, const struct listing *listing, aether_replay *replay)
{
    const int64_t step = 50000000; /* signals and the end are looked at so often */
    aether_json_writer *writer = aether_json_writer_create(NULL);
    if (writer == NULL)
        return tool_fail(EXIT_FAILED, "no memory");
    int64_t began = aether_now(), last = began;
    int code = EXIT_OK;
    bool is_behind = false;                       /* something was written that is not passed on */
    if (!tool_options.quiet && puts("{}") != EOF) /* at once: the connection stands */
        (void)fflush(stdout);
    while (!tool_is_interrupted()) {
        aether_event event;
        aether_status status = aether_replay_next(replay, &event, is_behind ? AETHER_NO_WAIT : step);
        int64_t now = aether_now();
        if (status == AETHER_OK) {
            if (!tool_print_event(writer, &event))
                break;
            is_behind = true;
            last = now;
        } else if (status == AETHER_MALFORMED && listing->load.lenient) {
            code = tool_fail(EXIT_REJECTED, "%s", aether_error());
        } else if (status == AETHER_EMPTY || status == AETHER_TIMEOUT) {
            if (is_behind && !pass_on(store, listing, replay))
                break;
            is_behind = false;
        } else {
            code = status == AETHER_ENDED ? code : tool_fail_status(status);
            break;
        }
        if (listing->heartbeat > 0 && !is_behind && (double)(now - last) >= listing->heartbeat * 1e9) {
            last = now;
            if (puts("{}") == EOF || fflush(stdout) != 0)
                break;
        }
        if (listing->seconds >= 0 && (double)(now - began) >= listing->seconds * 1e9)
            break;
    }
    if (is_behind)
        (void)pass_on(store, listing, replay);
    aether_json_writer_destroy(writer);
    return code;
}

int tool_follow(int count, char **words)
{
    static const struct argp_child children[] = {{&tool_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {follow_options,
                                     parse,
                                     "[ACTOR]",
                                     "Writes events as lines of JSON: first what there is, then each as it is saved, by "
                                     "whatever process. {} is a heartbeat.",
                                     children,
                                     NULL,
                                     NULL};
    struct listing listing = {.heartbeat = 30, .seconds = -1};
    tool_parse(&argp, count, words, &listing);
    tool_options.json = true;
    listing.load.follow = true;
    aether_store *store = tool_open(NULL, listing.checkpoint == NULL, true);
    if (store == NULL)
        return EXIT_FAILED;
    aether_replay *replay = begin(store, &listing) ? open_replay(store, &listing) : NULL;
    int code = replay != NULL ? follow(store, &listing, replay) : EXIT_FAILED;
    aether_replay_close(replay);
    aether_store_close(store);
    return tool_finish_output(code);
}
