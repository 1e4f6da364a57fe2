#include "tool.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aether/driver.h"

enum { OPTION_CONTIGUOUS = 512, OPTION_READ_ONLY };

struct tool_options tool_options;

/* ------------------------------------------------------------------------------------------------------------ options */

static const struct argp_option common[] = {
    {"store", 's', "URL", 0, "The store: memory:, sqlite:PATH (default: $AETHER_STORE)", 1},
    {"json", 'j', NULL, 0, "Write JSON, one object per line", 1},
    {"quiet", 'q', NULL, 0, "No progress, no remarks", 1},
    {"contiguous", OPTION_CONTIGUOUS, NULL, 0, "Versions have no holes: a save's is the latest + 1", 1},
    {"read-only", OPTION_READ_ONLY, NULL, 0, "Open the store for reading only", 1},
    {0}};

static error_t parse_common(int key, char *text, struct argp_state *state)
{
    (void)state;
    switch (key) {
    case 's':
        tool_options.store = text;
        return 0;
    case 'j':
        tool_options.json = true;
        return 0;
    case 'q':
        tool_options.quiet = true;
        return 0;
    case OPTION_CONTIGUOUS:
        tool_options.contiguous = true;
        return 0;
    case OPTION_READ_ONLY:
        tool_options.read_only = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp tool_argp = {common, parse_common, NULL, NULL, NULL, NULL, NULL};

void tool_parse(const struct argp *argp, int count, char **words, void *input)
{
    static char name[40];
    snprintf(name, sizeof name, "aether %s", words[0]);
    tool_options.command = words[0];
    words[0] = name; /* what argp's messages begin with */
    (void)argp_parse(argp, count, words, 0, NULL, input);
}

int64_t tool_number(const struct argp_state *state, const char *name, const char *text, int64_t least, int64_t most)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < least || number > most)
        argp_error(state, "%s takes a number from %" PRId64 " to %" PRId64 ", not '%s'", name, least, most, text);
    return number;
}

double tool_seconds(const struct argp_state *state, const char *name, const char *text)
{
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(seconds) || seconds < 0 || seconds > 1e9)
        argp_error(state, "%s takes seconds from 0 on, such as 10 or 0.5, not '%s'", name, text);
    return seconds;
}

/* ------------------------------------------------------------------------------------------------------------ failing */

int tool_fail(int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)fprintf(stderr, "aether %s: ", tool_options.command != NULL ? tool_options.command : "");
    (void)vfprintf(stderr, format, arguments);
    (void)fputc('\n', stderr);
    va_end(arguments);
    return code;
}

int tool_code(aether_status status)
{
    switch (status) {
    case AETHER_OK:
        return EXIT_OK;
    case AETHER_CONFLICT:
    case AETHER_ID_REUSED:
    case AETHER_ACTOR_ENDED:
        return EXIT_CONFLICT;
    case AETHER_UNKNOWN_OUTCOME:
        return EXIT_UNKNOWN;
    case AETHER_MALFORMED:
        return EXIT_DAMAGED;
    default:
        return EXIT_FAILED;
    }
}

int tool_fail_status(aether_status status)
{
    return tool_fail(tool_code(status), "%s", aether_error_status() == status ? aether_error() : aether_status_text(status));
}

static void print_log(int32_t level, const char *message, const aether_log_field *fields, size_t field_count, void *user)
{
    (void)fields;
    (void)field_count;
    (void)user;
    if (level >= AETHER_LOG_WARNING && !tool_options.quiet)
        (void)fprintf(stderr, "aether: %s\n", message);
}

aether_store *tool_open(const char *url, bool read_only, bool must_exist)
{
    if (url == NULL)
        url = tool_options.store != NULL ? tool_options.store : getenv("AETHER_STORE");
    if (url == NULL || url[0] == '\0') {
        (void)tool_fail(EXIT_USAGE, "which store? Name it by --store or by AETHER_STORE: sqlite:orders.db");
        exit(EXIT_USAGE);
    }
    aether_log_use(print_log, NULL);
    aether_store_options options = {
        .read_only = read_only || tool_options.read_only, .must_exist = must_exist, .contiguous = tool_options.contiguous};
    aether_store *store = aether_store_open(url, &options);
    if (store == NULL)
        (void)tool_fail(EXIT_FAILED, "%s", aether_error());
    return store;
}

/* ------------------------------------------------------------------------------------------------------------ signals */

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

void tool_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

bool tool_is_interrupted(void)
{
    return interrupted != 0;
}

/* ------------------------------------------------------------------------------------------------------------- output */

static bool print_for_people(const aether_event *event)
{
    char time[36];
    aether_json_write_time(event->timestamp, time);
    bool is_text = event->data.size == 0 || aether_text_is_utf8(event->data.data, event->data.size, NULL);
    int written = printf("%8" PRIu64 "  %s  %.*s v%" PRId64 "  %.*s  ", event->index, time, (int)event->actor_size,
                         event->actor, event->version, (int)event->type_size, event->type);
    if (is_text)
        written = printf("%.*s%s\n", (int)event->data.size, event->data.data,
                         (event->flags & AETHER_EVENT_CLOSING) != 0 ? "  (closing)" : "");
    else
        written = printf("(%zu bytes)\n", event->data.size);
    return written >= 0;
}

bool tool_print_event(aether_json_writer *writer, const aether_event *event)
{
    aether_text text;
    bool done;
    if (tool_options.json) {
        aether_status status = aether_json_write(writer, event, AETHER_JSON_POSITION, &text);
        if (status != AETHER_OK) {
            (void)tool_fail_status(status);
            return false;
        }
        done = fwrite(text.data, 1, text.size, stdout) == text.size && putchar('\n') != EOF;
    } else {
        done = print_for_people(event);
    }
    return done;
}

int tool_finish_output(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    if (errno == EPIPE)
        return code; /* who reads has had enough */
    return tool_fail(EXIT_FAILED, "cannot write the output: %s", strerror(errno));
}

/* ----------------------------------------------------------------------------------------------------------- progress */

void tool_progress_begin(struct tool_progress *progress, const char *what, uint64_t total)
{
    *progress = (struct tool_progress){
        .what = what, .total = total, .began = aether_now(), .is_on = !tool_options.quiet && isatty(STDERR_FILENO) != 0};
}

void tool_progress_show(struct tool_progress *progress, uint64_t done)
{
    enum { BAR = 30 };
    if (!progress->is_on)
        return;
    int64_t now = aether_now();
    if (now - progress->shown < 100000000)
        return;
    progress->shown = now;
    double seconds = (double)(now - progress->began) / 1e9;
    if (progress->total == 0) {
        (void)fprintf(stderr, "\r%s: %" PRIu64 ", %.0f s ", progress->what, done, seconds);
        return;
    }
    double part = (double)done / (double)progress->total;
    char bar[BAR + 1];
    for (int i = 0; i < BAR; i++)
        bar[i] = i < (int)(part * BAR) ? '#' : '.';
    bar[BAR] = '\0';
    double left = part > 0 ? seconds / part - seconds : 0;
    (void)fprintf(stderr, "\r%s [%s] %3.0f %%, %.0f s left  ", progress->what, bar, part * 100, left);
}

void tool_progress_end(struct tool_progress *progress)
{
    if (progress->is_on && progress->shown != 0)
        (void)fprintf(stderr, "\r%70s\r", "");
}
