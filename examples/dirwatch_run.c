/* The program itself: its options, and the loop. */
#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aether/aether.h"
#include "dirwatch_run.h"
#include "dirwatch_scratch.h"
#include "dirwatch_show.h"

/* How long it runs where nobody looks and nobody said. */
#define DEFAULT_SECONDS 10.0
#define WATCHERS_MAX 1000

/* ----------------------------------------------------------------------------------------------------------- options */

struct options {
    const char *dir;
    double seconds; /* below 0: until Ctrl-C */
    bool json;
    uint64_t watchers;
    uint64_t rate;
    uint64_t seed;
    uint64_t overflow_after;
};

enum { OPTION_FOR = 256, OPTION_JSON, OPTION_WATCHERS, OPTION_RATE, OPTION_SEED, OPTION_OVERFLOW };

static const struct argp_option argp_options[] = {
    {"for", OPTION_FOR, "SECONDS", 0, "How long (default: in a terminal until Ctrl-C, else 10)", 0},
    {"json", OPTION_JSON, NULL, 0, "Tell it as JSON, one object per line", 0},
    {"watchers", OPTION_WATCHERS, "N", 0, "How many watchers (default: 8)", 0},
    {"rate", OPTION_RATE, "N", 0, "Changes per second in the scratch tree (default: 500)", 0},
    {"seed", OPTION_SEED, "N", 0, "Where the random changes begin (default: anywhere)", 0},
    {"overflow-after", OPTION_OVERFLOW, "N", 0,
     "For tests: act as if inotify's queue overflowed, each time that N events were read", 0},
    {0}};

static uint64_t parse_number(const struct argp_state *state, const char *name, const char *text, uint64_t least,
                             uint64_t most)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || text[0] < '0' || text[0] > '9' || *end != '\0' || number < least || number > most)
        argp_error(state, "--%s takes a number from %llu to %llu, not '%s'", name, (unsigned long long)least,
                   (unsigned long long)most, text);
    return number;
}

static double parse_seconds(const struct argp_state *state, const char *text)
{
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(seconds) || seconds < 0 || seconds > 1e9)
        argp_error(state, "--for takes seconds from 0 on, such as 10 or 0.5, not '%s'", text);
    return seconds;
}

static error_t parse_option(int key, char *text, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case OPTION_FOR:
        options->seconds = parse_seconds(state, text);
        return 0;
    case OPTION_JSON:
        options->json = true;
        return 0;
    case OPTION_WATCHERS:
        options->watchers = parse_number(state, "watchers", text, 1, WATCHERS_MAX);
        return 0;
    case OPTION_RATE:
        options->rate = parse_number(state, "rate", text, 0, 1000000);
        return 0;
    case OPTION_SEED:
        options->seed = parse_number(state, "seed", text, 0, UINT64_MAX);
        return 0;
    case OPTION_OVERFLOW:
        options->overflow_after = parse_number(state, "overflow-after", text, 1, UINT64_MAX);
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_error(state, "one directory at a time: '%s' is one too many", text);
        options->dir = text;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static struct options parse_options(int count, char **words)
{
    static const char about[] =
        "Lists and watches the tree under DIR (default: /usr/include), and beside it a scratch tree that it changes itself "
        "hundreds of times a second. Several watchers each receive a snapshot and then every change; at the end each one's "
        "picture is compared with the disk. Nothing is ever written into DIR."
        "\vThe exit status is 0 when all pictures equal the disk, 1 when one does not or a watcher found a gap or a repeat, "
        "2 "
        "when there was no comparison: the standard error says why.\n"
        "Ctrl-C ends the run with the comparison; a second one without.";
    static const struct argp argp = {argp_options, parse_option, "[DIR]", about, NULL, NULL, NULL};
    struct options options = {.dir = "/usr/include", .seconds = -1, .watchers = 8, .rate = 500};
    if (getrandom(&options.seed, sizeof options.seed, 0) != (ssize_t)sizeof options.seed)
        options.seed = (uint64_t)now_ns();
    argp_err_exit_status = EXIT_TROUBLE;
    argp_program_version = "dirwatch (aether " AETHER_VERSION ")";
    argp_parse(&argp, count, words, 0, NULL, &options);
    return options;
}

/* ----------------------------------------------------------------------------------------------------------- the run */

struct demo {
    struct options options;
    char dir[PATH_MAX]; /* without symbolic links */
    int bell;
    int signals;
    struct source *source;
    struct watchers *watchers;
    struct changer *changer;
    struct show show;
    struct show_state state;
    int64_t step_ns;
    bool interrupted; /* SIGINT, SIGTERM or SIGHUP has come */
    bool comparing;
    bool broken; /* a watcher found a gap or a repeat */
    struct message why;
};

static bool resolve_directory(struct demo *demo)
{
    const char *given = demo->options.dir;
    struct stat status;
    if (!realpath(given, demo->dir) || stat(demo->dir, &status) != 0)
        return refuse(&demo->why, "cannot watch '%s': %s", given, strerror(errno));
    if (!S_ISDIR(status.st_mode))
        return refuse(&demo->why, "cannot watch '%s': it is not a directory. Name the directory that it is in.", given);
    if (access(demo->dir, R_OK | X_OK) != 0)
        return refuse(&demo->why, "cannot read '%s': %s. Name a directory that you may read.", given, strerror(errno));
    return true;
}

/*
 * Signals are read like events, by main(); the threads inherit that they are blocked. A write to a pipe that nobody reads is
 * an error like others, so that the scratch tree is removed then too.
 */
static bool open_bells(struct demo *demo)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    demo->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    demo->bell = bell_create();
    if (demo->signals < 0 || demo->bell < 0)
        return refuse(&demo->why, "no file descriptor for signals: %s. Allow more open files (ulimit -n).", strerror(errno));
    return true;
}

/* False, with a message, when somebody cannot go on. */
static bool all_is_well(struct demo *demo)
{
    struct source_status source;
    source_get_status(demo->source, &source);
    if (source.failed)
        return refuse(&demo->why, "%s", source.why.text);
    if (demo->changer && !changer_get_status(demo->changer, &demo->state.changes, &demo->why))
        return false;
    for (size_t i = 0; i < watchers_count(demo->watchers); i++) {
        struct watcher_view view;
        watchers_view(demo->watchers, i, &view);
        demo->broken = view.broken;
        if (view.broken)
            return refuse(&demo->why, "watcher %s: %s", view.name, view.why.text);
    }
    if (demo->show.failed)
        return refuse(&demo->why, "standard output cannot be written to");
    return true;
}

/* Waits for whatever happens first, `until_ns` at the latest, and shows how things are. False: the run is over. */
static bool attend(void *user, int64_t until_ns)
{
    struct demo *demo = user;
    int64_t wakes_ns = until_ns < demo->show.next_ns ? until_ns : demo->show.next_ns;
    int64_t left_ns = wakes_ns - now_ns();
    int timeout_ms = left_ns > 0 ? (int)(left_ns / 1000000) + 1 : 0;
    struct pollfd ready[] = {{.fd = demo->bell, .events = POLLIN}, {.fd = demo->signals, .events = POLLIN}};
    if (poll(ready, 2, timeout_ms) < 0 && errno != EINTR)
        return refuse(&demo->why, "poll: %s", strerror(errno));
    bell_clear(demo->bell);
    struct signalfd_siginfo signal_info;
    if (read(demo->signals, &signal_info, sizeof signal_info) > 0) {
        if (demo->comparing)
            return refuse(&demo->why, "interrupted before the pictures were compared");
        demo->interrupted = true;
    }
    if (!all_is_well(demo))
        return false;
    show_progress(&demo->show, &demo->state);
    return true;
}

static bool start(struct demo *demo)
{
    demo->show = (struct show){.form = demo->options.json                                ? SHOW_JSON
                                       : isatty(STDOUT_FILENO) && getenv("TERM") != NULL ? SHOW_TABLE
                                                                                         : SHOW_LINES};
    if (!resolve_directory(demo) || !open_bells(demo))
        return false;
    const char *scratch = scratch_create(demo->dir, &demo->why);
    if (!scratch)
        return false;
    demo->show.dirs[ROOT_DIR] = demo->dir;
    demo->show.dirs[ROOT_SCRATCH] = scratch;

    if (demo->options.seconds < 0 && demo->show.form != SHOW_TABLE)
        demo->options.seconds = DEFAULT_SECONDS;
    int64_t duration_ns = (int64_t)(demo->options.seconds * 1e9);
    int64_t step_ns = AETHER_SECONDS(2);
    if (demo->options.seconds >= 0 && duration_ns / 4 < step_ns)
        step_ns = duration_ns / 4;

    demo->step_ns = step_ns;
    struct source_options source = {
        .dirs = {demo->dir, scratch}, .overflow_after = demo->options.overflow_after, .bell = demo->bell};
    demo->source = source_start(&source, &demo->why);
    if (!demo->source)
        return false;
    struct watchers_options watchers = {
        .source = demo->source, .count = demo->options.watchers, .step_ns = step_ns, .bell = demo->bell};
    demo->watchers = watchers_start(&watchers, &demo->why);
    if (!demo->watchers)
        return false;
    struct changer_options changer = {.per_second = demo->options.rate, .seed = demo->options.seed, .bell = demo->bell};
    demo->changer = changer_start(&changer, &demo->why);
    if (!demo->changer)
        return false;

    demo->state = (struct show_state){.source = demo->source, .watchers = demo->watchers};
    demo->show.begun_ns = now_ns();
    demo->show.ends_ns = demo->options.seconds < 0 ? AETHER_FOREVER : demo->show.begun_ns + duration_ns;
    return true;
}

/* True: there is a verdict. */
static bool run(struct demo *demo, struct verdict *verdict)
{
    show_start(&demo->show, &demo->state);
    int64_t expels_ns = now_ns() + demo->step_ns;
    while (!demo->interrupted && now_ns() < demo->show.ends_ns) {
        if (!attend(demo, expels_ns < demo->show.ends_ns ? expels_ns : demo->show.ends_ns))
            return false;
        if (now_ns() >= expels_ns) {
            watchers_expel(demo->watchers);
            expels_ns = now_ns() + demo->step_ns;
        }
    }

    /* From here on the scratch tree stands still, and everybody catches up. */
    changer_stop(demo->changer);
    demo->changer = NULL;
    demo->comparing = true;
    watchers_hurry(demo->watchers);
    struct verdict_options options = {.watchers = demo->watchers, .wait = attend, .user = demo};
    memcpy(options.dirs, demo->show.dirs, sizeof options.dirs);
    struct message why;
    if (verdict_reach(&options, verdict, &why))
        return true;
    if (why.text[0])
        demo->why = why; /* else attend() has said why */
    return false;
}

/* Each comes after whoever uses it: watchers read what the source writes, and the changer is nobody's. */
static void stop(struct demo *demo)
{
    changer_stop(demo->changer);
    watchers_stop(demo->watchers);
    source_stop(demo->source);
    if (demo->bell >= 0)
        close(demo->bell);
    if (demo->signals >= 0)
        close(demo->signals);
}

int dirwatch_run(int count, char **words)
{
    static struct demo demo = {.bell = -1, .signals = -1};
    demo.options = parse_options(count, words);
    struct verdict verdict = {0};
    int status = EXIT_TROUBLE;
    if (start(&demo) && run(&demo, &verdict)) {
        show_verdict(&demo.show, &demo.state, &verdict);
        status = verdict.wrong == 0 ? EXIT_EQUAL : EXIT_DIFFERENT;
    } else {
        show_trouble(&demo.show, demo.why.text);
        status = demo.broken ? EXIT_DIFFERENT : EXIT_TROUBLE;
    }
    if (demo.show.failed && status == EXIT_EQUAL)
        status = EXIT_TROUBLE;
    stop(&demo);
    verdict_free(&verdict);
    return status;
}
