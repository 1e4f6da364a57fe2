/* aether import, copy: many saves, ten thousand of them with one flush. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tool.h"

enum { GROUP = 10000, OPTION_REJECT = 256, OPTION_DRAW };

struct import {
    const char *file, *reject_path;
    bool draws_versions;
    FILE *in, *rejects;
    aether_store *store;
    uint64_t bytes; /* read */
    /* One group is filled while a thread saves the other: reading JSON costs a third of saving. */
    struct group {
        size_t count;
        struct line {
            char *text;
            size_t room, size;
            uint64_t number;
            aether_json_reader *reader;
            aether_event event;
        } lines[GROUP];
        aether_save_request requests[GROUP];
    } groups[2], *filling;
    pthread_t saver;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct group *waiting;                /* lock: lock; to be saved, or being saved; NULL: the saver is idle */
    bool ends;                            /* lock: lock */
    int code;                             /* lock: lock; of the first group that ended it */
    uint64_t saved, duplicates, rejected; /* the saver's, or ours while it is idle */
};

static const struct argp_option options[] = {
    {"reject", OPTION_REJECT, "FILE", 0,
     "Set aside in FILE the lines that cannot be saved, and go on (default: stop at the first)", 0},
    {"draw-versions", OPTION_DRAW, NULL, 0, "Give each event the actor's next version, whatever its line says", 0},
    {0}};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct import *import = state->input;
    switch (key) {
    case OPTION_REJECT:
        import->reject_path = text;
        return 0;
    case OPTION_DRAW:
        import->draws_versions = true;
        return 0;
    case ARGP_KEY_ARG:
        if (import->file != NULL)
            argp_error(state, "one file at a time: '%s' is one too many", text);
        import->file = text;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char *name_of(const struct import *import)
{
    return import->file != NULL && strcmp(import->file, "-") != 0 ? import->file : "the standard input";
}

/* A line that is not saved: set aside, or the end. The exit code of the end; EXIT_OK: go on. */
static int reject(struct import *import, const struct line *line, int code, const char *why)
{
    import->rejected++;
    (void)tool_fail(code, "%s: line %" PRIu64 ": %s%s", name_of(import), line->number, why,
                    import->rejects != NULL ? "" : "; --reject FILE sets such lines aside");
    if (import->rejects == NULL)
        return code;
    if (fwrite(line->text, 1, line->size, import->rejects) != line->size || fputc('\n', import->rejects) == EOF)
        return tool_fail(EXIT_FAILED, "cannot write \"%s\": %s", import->reject_path, strerror(errno));
    return EXIT_OK;
}

static int save_group(struct import *import, struct group *group)
{
    aether_status status = aether_save_each(import->store, group->requests, group->count);
    (void)status; /* each has its own */
    int code = EXIT_OK;
    for (size_t i = 0; i < group->count && code == EXIT_OK; i++) {
        const aether_save_request *request = &group->requests[i];
        char why[200];
        if (request->status == AETHER_OK) {
            *(request->saved.duplicate ? &import->duplicates : &import->saved) += 1;
            continue;
        }
        int kind = tool_code(request->status);
        if (request->status == AETHER_CONFLICT)
            (void)snprintf(why, sizeof why, "a conflict: version %" PRId64 " of \"%.*s\", which is at %" PRId64,
                           request->saved.conflict.attempted,
                           (int)(request->events->actor_size < 60 ? request->events->actor_size : 60),
                           request->events->actor, request->saved.conflict.current);
        else
            (void)snprintf(why, sizeof why, "%s", aether_status_text(request->status));
        if (kind == EXIT_FAILED && request->status != AETHER_INVALID && request->status != AETHER_TOO_LARGE)
            code = tool_fail(kind, "%s: line %" PRIu64 ": %s", name_of(import), group->lines[i].number, aether_error());
        else
            code = reject(import, &group->lines[i], kind == EXIT_FAILED ? EXIT_DAMAGED : kind, why);
    }
    return code;
}

static void *save_groups(void *user)
{
    struct import *import = user;
    pthread_mutex_lock(&import->lock);
    for (;;) {
        while (import->waiting == NULL && !import->ends)
            pthread_cond_wait(&import->changed, &import->lock);
        struct group *group = import->waiting;
        if (group == NULL)
            break;
        pthread_mutex_unlock(&import->lock);
        int code = save_group(import, group);
        pthread_mutex_lock(&import->lock);
        import->code = import->code != EXIT_OK ? import->code : code;
        import->waiting = NULL;
        pthread_cond_broadcast(&import->changed);
    }
    pthread_mutex_unlock(&import->lock);
    return NULL;
}

/* Hands the group over, when the saver is done with the one before, and begins another. `all`: waits until it is saved, too.
 */
static int hand_over(struct import *import, bool all)
{
    pthread_mutex_lock(&import->lock);
    while (import->waiting != NULL)
        pthread_cond_wait(&import->changed, &import->lock);
    if (import->code == EXIT_OK && import->filling->count != 0) {
        import->waiting = import->filling;
        import->filling = &import->groups[import->filling == &import->groups[0]];
        pthread_cond_broadcast(&import->changed);
    }
    import->filling->count = 0;
    while (all && import->waiting != NULL)
        pthread_cond_wait(&import->changed, &import->lock);
    int code = import->code;
    pthread_mutex_unlock(&import->lock);
    return code;
}

static bool is_blank(const struct line *line)
{
    return strspn(line->text, " \t\r") == line->size;
}

/* Takes the line into the group. */
static int take_line(struct import *import, struct line *line)
{
    if (line->reader == NULL && (line->reader = aether_json_reader_create(NULL)) == NULL)
        return tool_fail(EXIT_FAILED, "no memory");
    aether_json_reader_set_line(line->reader, line->number);
    aether_status status = aether_json_read(line->reader, line->text, line->size, &line->event);
    if (status == AETHER_MALFORMED) {
        int code = hand_over(import, true); /* what came before it is saved */
        char why[200];
        (void)snprintf(why, sizeof why, "%s",
                       aether_error_status() == AETHER_MALFORMED
                           ? strstr(aether_error(), "column") != NULL ? strstr(aether_error(), "column") : aether_error()
                           : "malformed");
        return code != EXIT_OK ? code : reject(import, line, EXIT_DAMAGED, why);
    }
    if (status != AETHER_OK)
        return tool_fail_status(status);
    if (import->draws_versions)
        line->event.version = 0;
    struct group *group = import->filling;
    group->requests[group->count] = (aether_save_request){.events = &line->event, .count = 1};
    group->count++;
    return group->count == GROUP ? hand_over(import, false) : EXIT_OK;
}

static int read_lines(struct import *import, struct tool_progress *progress)
{
    int code = EXIT_OK;
    uint64_t number = 0;
    while (code == EXIT_OK && !tool_is_interrupted()) {
        struct line *line = &import->filling->lines[import->filling->count];
        errno = 0;
        ssize_t size = getline(&line->text, &line->room, import->in);
        if (size < 0)
            break;
        number++;
        import->bytes += (uint64_t)size;
        line->number = number;
        line->size = (size_t)size;
        if (line->text[line->size - 1] == '\n')
            line->text[--line->size] = '\0';
        if (line->size == 0 || is_blank(line) || strcmp(line->text, "{}") == 0) /* {} is a heartbeat of `aether follow` */
            continue;
        code = take_line(import, line);
        tool_progress_show(progress, import->bytes);
    }
    if (code == EXIT_OK && ferror(import->in))
        code = tool_fail(EXIT_FAILED, "cannot read %s: %s", name_of(import), strerror(errno));
    int rest = hand_over(import, true);
    return code != EXIT_OK ? code : rest;
}

static int run(struct import *import, struct tool_progress *progress)
{
    import->filling = &import->groups[0];
    pthread_mutex_init(&import->lock, NULL);
    pthread_cond_init(&import->changed, NULL);
    if (pthread_create(&import->saver, NULL, save_groups, import) != 0)
        return tool_fail(EXIT_FAILED, "cannot start a thread");
    int code = read_lines(import, progress);
    pthread_mutex_lock(&import->lock);
    import->ends = true;
    pthread_cond_broadcast(&import->changed);
    pthread_mutex_unlock(&import->lock);
    pthread_join(import->saver, NULL);
    pthread_cond_destroy(&import->changed);
    pthread_mutex_destroy(&import->lock);
    return code;
}

static void tell(const struct import *import)
{
    if (tool_options.json)
        (void)printf("{\"saved\":%" PRIu64 ",\"duplicates\":%" PRIu64 ",\"rejected\":%" PRIu64 "}\n", import->saved,
                     import->duplicates, import->rejected);
    else if (!tool_options.quiet)
        (void)printf("%" PRIu64 " events saved, %" PRIu64 " were there already, %" PRIu64 " set aside\n", import->saved,
                     import->duplicates, import->rejected);
}

static bool open_files(struct import *import)
{
    import->in = import->file == NULL || strcmp(import->file, "-") == 0 ? stdin : fopen(import->file, "r");
    if (import->in == NULL)
        (void)tool_fail(EXIT_FAILED, "cannot open \"%s\": %s", import->file, strerror(errno));
    else if (import->reject_path != NULL && (import->rejects = fopen(import->reject_path, "w")) == NULL)
        (void)tool_fail(EXIT_FAILED, "cannot open \"%s\": %s", import->reject_path, strerror(errno));
    return import->in != NULL && (import->reject_path == NULL || import->rejects != NULL);
}

int tool_import(int count, char **words)
{
    static const struct argp_child children[] = {{&tool_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        options,
        parse,
        "[FILE]",
        "Saves the events of FILE, or of the standard input: one JSON object per line, as `aether export` writes them. "
        "Lines that were saved before are recognised by their ids.",
        children,
        NULL,
        NULL};
    static struct import import; /* large */
    memset(&import, 0, sizeof import);
    tool_parse(&argp, count, words, &import);
    if (!open_files(&import)) {
        if (import.in != NULL && import.in != stdin)
            (void)fclose(import.in);
        return EXIT_FAILED;
    }
    import.store = tool_open(NULL, false, false);
    int code = EXIT_FAILED;
    if (import.store != NULL) {
        struct stat status;
        struct tool_progress progress;
        bool is_file = fstat(fileno(import.in), &status) == 0 && S_ISREG(status.st_mode);
        tool_progress_begin(&progress, "import", is_file ? (uint64_t)status.st_size : 0);
        code = run(&import, &progress);
        tool_progress_end(&progress);
        tell(&import);
        aether_store_close(import.store);
    }
    if (import.in != stdin)
        (void)fclose(import.in); /* was only read */
    for (size_t i = 0; i < 2 * (size_t)GROUP; i++) {
        struct line *line = &import.groups[i / GROUP].lines[i % GROUP];
        free(line->text);
        aether_json_reader_destroy(line->reader);
    }
    if (import.rejects != NULL && fclose(import.rejects) != 0)
        code = tool_fail(EXIT_FAILED, "cannot write \"%s\": %s", import.reject_path, strerror(errno));
    if (code == EXIT_OK && import.rejected != 0)
        code = EXIT_REJECTED;
    return tool_finish_output(code);
}

/* --------------------------------------------------------------------------------------------------------------- copy */

/* Copies of events, until they are saved. */
struct copies {
    aether_event events[GROUP];
    aether_save_request requests[GROUP];
    char *bytes[GROUP];
    size_t count;
    uint64_t saved, duplicates;
};

static const char *keep(char **to, const char *bytes, size_t size)
{
    char *start = *to;
    if (size != 0)
        memcpy(start, bytes, size);
    *to += size;
    return start;
}

static bool add_copy(struct copies *copies, const aether_event *event)
{
    size_t size = event->actor_size + event->type_size + event->data.size + event->metadata.size + event->extra.size;
    char *to = malloc(size + 1);
    if (to == NULL)
        return false;
    aether_event *copy = &copies->events[copies->count];
    copies->bytes[copies->count] = to;
    *copy = *event;
    copy->actor = keep(&to, event->actor, event->actor_size);
    copy->type = keep(&to, event->type, event->type_size);
    copy->data.data = keep(&to, event->data.data, event->data.size);
    copy->metadata.data = keep(&to, event->metadata.data, event->metadata.size);
    copy->extra.data = keep(&to, event->extra.data, event->extra.size);
    copies->requests[copies->count] = (aether_save_request){.events = copy, .count = 1};
    copies->count++;
    return true;
}

static aether_status save_copies(aether_store *store, struct copies *copies)
{
    aether_status status = copies->count != 0 ? aether_save_each(store, copies->requests, copies->count) : AETHER_OK;
    for (size_t i = 0; i < copies->count; i++) {
        if (copies->requests[i].status == AETHER_OK)
            *(copies->requests[i].saved.duplicate ? &copies->duplicates : &copies->saved) += 1;
        else if (status != AETHER_OK)
            (void)tool_fail(EXIT_FAILED, "\"%.*s\" version %" PRId64 ": %s", (int)copies->events[i].actor_size,
                            copies->events[i].actor, copies->events[i].version,
                            aether_status_text(copies->requests[i].status));
        free(copies->bytes[i]);
    }
    copies->count = 0;
    return status;
}

static int copy_events(aether_store *from, aether_store *to)
{
    static struct copies copies;
    aether_position newest = {0, 0};
    aether_replay *replay = aether_store_newest(from, &newest) == AETHER_OK
                                ? aether_load_all(from, &(aether_load_options){.as_stored = true})
                                : NULL;
    if (replay == NULL)
        return tool_fail(EXIT_FAILED, "%s", aether_error());
    struct tool_progress progress;
    tool_progress_begin(&progress, "copy", newest.index);
    aether_event event;
    aether_status status = AETHER_OK, read = AETHER_OK;
    while (status == AETHER_OK && !tool_is_interrupted() &&
           (read = aether_replay_next(replay, &event, AETHER_NO_WAIT)) == AETHER_OK) {
        if (!add_copy(&copies, &event))
            status = AETHER_NO_MEMORY;
        else if (copies.count == GROUP)
            status = save_copies(to, &copies);
        tool_progress_show(&progress, event.index);
    }
    if (status == AETHER_OK && read != AETHER_OK && read != AETHER_ENDED)
        status = read;
    int code = status == AETHER_OK ? EXIT_OK : tool_fail_status(status);
    aether_status rest = save_copies(to, &copies);
    if (code == EXIT_OK && rest != AETHER_OK)
        code = tool_fail_status(rest);
    tool_progress_end(&progress);
    aether_replay_close(replay);
    if (tool_options.json)
        (void)printf("{\"saved\":%" PRIu64 ",\"duplicates\":%" PRIu64 "}\n", copies.saved, copies.duplicates);
    else if (!tool_options.quiet)
        (void)printf("%" PRIu64 " events copied, %" PRIu64 " were there already\n", copies.saved, copies.duplicates);
    return code;
}

struct places {
    const char *from, *to;
};

static error_t parse_places(int key, char *text, struct argp_state *state)
{
    struct places *places = state->input;
    if (key == ARGP_KEY_ARG) {
        if (places->to != NULL)
            argp_error(state, "'%s' is one word too many", text);
        *(places->from == NULL ? &places->from : &places->to) = text;
        return 0;
    }
    if (key == ARGP_KEY_END && places->to == NULL)
        argp_error(state, "two stores are needed: from which, and to which");
    return key == ARGP_KEY_END ? 0 : ARGP_ERR_UNKNOWN;
}

int tool_copy(int count, char **words)
{
    static const struct argp_child children[] = {{&tool_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {NULL,
                                     parse_places,
                                     "FROM TO",
                                     "Copies all events of the store FROM into the store TO, with their ids, versions and "
                                     "times; what is there already is recognised. "
                                     "Snapshots and checkpoints stay behind.",
                                     children,
                                     NULL,
                                     NULL};
    struct places places = {NULL, NULL};
    tool_parse(&argp, count, words, &places);
    aether_store *from = tool_open(places.from, true, true), *to = from != NULL ? tool_open(places.to, false, false) : NULL;
    int code = to != NULL ? copy_events(from, to) : EXIT_FAILED;
    aether_store_close(to);
    aether_store_close(from);
    return tool_finish_output(code);
}
