/* aether verify, stats, backup, bench, watch. */
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../../examples/dirwatch_run.h"
#include "tool.h"

static const struct argp_child children[] = {{&tool_argp, 0, NULL, 0}, {0}};

static error_t parse_nothing(int key, char *text, struct argp_state *state)
{
    if (key == ARGP_KEY_ARG)
        argp_error(state, "'%s' is one word too many", text);
    return ARGP_ERR_UNKNOWN;
}

/* ------------------------------------------------------------------------------------------------------------- verify */

static void print_fault(const char *text, uint64_t index, void *user)
{
    ++*(uint64_t *)user;
    if (!tool_options.json) {
        (void)printf("%s\n", text);
        return;
    }
    aether_json_writer *writer = aether_json_writer_create(NULL);
    aether_text string;
    if (writer != NULL && aether_json_write_string(writer, text, strlen(text), &string) == AETHER_OK)
        (void)printf("{\"position\":%" PRIu64 ",\"fault\":%.*s}\n", index, (int)string.size, string.data);
    aether_json_writer_destroy(writer);
}

int tool_verify(int count, char **words)
{
    static const struct argp argp = {
        NULL,     parse_nothing,
        "",       "Looks at everything that is stored: the file, each event's form and checksum, positions, versions.",
        children, NULL,
        NULL};
    tool_parse(&argp, count, words, NULL);
    aether_store *store = tool_open(NULL, true, true);
    if (store == NULL)
        return aether_error_status() == AETHER_MALFORMED ? EXIT_DAMAGED : EXIT_FAILED;
    uint64_t faults = 0;
    aether_status status = aether_store_verify(store, print_fault, &faults);
    int code = status == AETHER_OK ? EXIT_OK : status == AETHER_MALFORMED ? EXIT_DAMAGED : tool_fail_status(status);
    if (!tool_options.quiet && !tool_options.json && code != EXIT_FAILED)
        (void)printf("%" PRIu64 " faults\n", faults);
    aether_store_close(store);
    return tool_finish_output(code);
}

/* -------------------------------------------------------------------------------------------------------------- stats */

int tool_stats(int count, char **words)
{
    static const struct argp argp = {NULL, parse_nothing, "", "Writes figures of a store.", children, NULL, NULL};
    tool_parse(&argp, count, words, NULL);
    aether_store *store = tool_open(NULL, true, true);
    if (store == NULL)
        return EXIT_FAILED;
    aether_store_stats stats;
    aether_status status = aether_store_get_stats(store, &stats);
    if (status == AETHER_OK && tool_options.json)
        (void)printf("{\"epoch\":\"%016" PRIx64 "\",\"newest\":%" PRIu64 ",\"events\":%" PRIu64
                     ",\"durability\":\"%s\",\"contiguous\":%s}\n",
                     stats.newest.epoch, stats.newest.index, stats.events, aether_durability_text(stats.durability),
                     stats.contiguous ? "true" : "false");
    else if (status == AETHER_OK)
        (void)printf("identity    %016" PRIx64 "\nnewest      %" PRIu64 "\nevents      %" PRIu64
                     "\ndurability  %s\nversions    %s\n",
                     stats.newest.epoch, stats.newest.index, stats.events, aether_durability_text(stats.durability),
                     stats.contiguous ? "contiguous" : "growing");
    int code = status == AETHER_OK ? EXIT_OK : tool_fail_status(status);
    aether_store_close(store);
    return tool_finish_output(code);
}

/* ------------------------------------------------------------------------------------------------------------- backup */

static error_t parse_place(int key, char *text, struct argp_state *state)
{
    const char **place = state->input;
    if (key == ARGP_KEY_ARG) {
        if (*place != NULL)
            argp_error(state, "'%s' is one word too many", text);
        *place = text;
        return 0;
    }
    if (key == ARGP_KEY_END && *place == NULL)
        argp_error(state, "a place for the copy is needed");
    return key == ARGP_KEY_END ? 0 : ARGP_ERR_UNKNOWN;
}

int tool_backup(int count, char **words)
{
    static const struct argp argp = {NULL,
                                     parse_place,
                                     "PLACE",
                                     "Copies the store's file to PLACE while it is in use, as of one instant. The copy has "
                                     "an identity of its own and no checkpoints.",
                                     children,
                                     NULL,
                                     NULL};
    const char *place = NULL;
    tool_parse(&argp, count, words, &place);
    aether_store *store = tool_open(NULL, true, true);
    if (store == NULL)
        return EXIT_FAILED;
    aether_status status = aether_store_copy(store, place);
    aether_store_close(store);
    return status == AETHER_OK ? EXIT_OK : tool_fail_status(status);
}

/* -------------------------------------------------------------------------------------------------------------- bench */

enum {
    OPTION_EVENTS = 256,
    OPTION_SIZE,
    OPTION_BATCH,
    OPTION_THREADS,
    THREADS_MOST = 256,
    BATCH_MOST = 1000,
    ACTORS = 1000
};

struct bench {
    int64_t events, size, batch, threads;
    aether_store *store;
    char *data;
};

struct bench_thread {
    struct bench *bench;
    pthread_t thread;
    int64_t number;
    aether_status status;
};

static const struct argp_option bench_options[] = {
    {"events", OPTION_EVENTS, "N", 0, "How many (default: 100000)", 0},
    {"size", OPTION_SIZE, "BYTES", 0, "Of an event's data (default: 200)", 0},
    {"batch", OPTION_BATCH, "N", 0, "Events of a save (default: 1)", 0},
    {"threads", OPTION_THREADS, "N", 0, "That save at the same time (default: 1)", 0},
    {0}};

static error_t parse_bench(int key, char *text, struct argp_state *state)
{
    struct bench *bench = state->input;
    switch (key) {
    case OPTION_EVENTS:
        bench->events = tool_number(state, "--events", text, 1, INT64_C(1000000000));
        return 0;
    case OPTION_SIZE:
        bench->size = tool_number(state, "--size", text, 0, (int64_t)AETHER_DATA_MAX);
        return 0;
    case OPTION_BATCH:
        bench->batch = tool_number(state, "--batch", text, 1, BATCH_MOST);
        return 0;
    case OPTION_THREADS:
        bench->threads = tool_number(state, "--threads", text, 1, THREADS_MOST);
        return 0;
    default:
        return parse_nothing(key, text, state);
    }
}

static void *save_part(void *user)
{
    struct bench_thread *thread = user;
    const struct bench *bench = thread->bench;
    aether_event events[BATCH_MOST];
    char actor[40];
    for (int64_t i = 0; i < BATCH_MOST; i++)
        events[i] =
            (aether_event){.actor = actor, .type = "Measured", .data = aether_bytes(bench->data, (size_t)bench->size)};
    for (int64_t done = 0; done < bench->events / bench->threads && thread->status == AETHER_OK && !tool_is_interrupted();
         done += bench->batch) {
        (void)snprintf(actor, sizeof actor, "bench-%" PRId64 "-%" PRId64, thread->number, done / bench->batch % ACTORS);
        thread->status = aether_save_batch(bench->store, events, (size_t)bench->batch, NULL, NULL);
    }
    return NULL;
}

static aether_status save_all(struct bench *bench)
{
    static struct bench_thread threads[THREADS_MOST];
    aether_status status = AETHER_OK;
    for (int64_t i = 0; i < bench->threads; i++) {
        threads[i] = (struct bench_thread){.bench = bench, .number = i};
        if (pthread_create(&threads[i].thread, NULL, save_part, &threads[i]) != 0)
            exit(tool_fail(EXIT_FAILED, "cannot start %" PRId64 " threads", bench->threads));
    }
    for (int64_t i = 0; i < bench->threads; i++) {
        pthread_join(threads[i].thread, NULL);
        status = status == AETHER_OK ? threads[i].status : status;
    }
    return status;
}

static aether_status load_all(struct bench *bench, aether_position after, uint64_t *loaded)
{
    aether_replay *replay = aether_load_all(bench->store, &(aether_load_options){.after = after});
    if (replay == NULL)
        return aether_error_status();
    aether_event event;
    aether_status status;
    while ((status = aether_replay_next(replay, &event, AETHER_NO_WAIT)) == AETHER_OK)
        ++*loaded;
    aether_replay_close(replay);
    return status == AETHER_ENDED ? AETHER_OK : status;
}

static aether_status measure(struct bench *bench)
{
    aether_position before;
    aether_store_stats stats;
    uint64_t loaded = 0;
    aether_status status = aether_store_newest(bench->store, &before);
    int64_t began = aether_now();
    if (status == AETHER_OK)
        status = save_all(bench);
    int64_t saved = aether_now();
    if (status == AETHER_OK)
        status = load_all(bench, before, &loaded);
    int64_t ended = aether_now();
    if (status == AETHER_OK)
        status = aether_store_get_stats(bench->store, &stats);
    if (status != AETHER_OK)
        return status;
    double saves = (double)stats.saved_events / (double)(saved - began) * 1e9,
           loads = (double)loaded / (double)(ended - saved) * 1e9;
    if (tool_options.json)
        (void)printf("{\"events\":%" PRIu64 ",\"size\":%" PRId64 ",\"batch\":%" PRId64 ",\"threads\":%" PRId64
                     ",\"durability\":\"%s\",\"commits\":%" PRIu64 ",\"saved_per_s\":%.0f,\"loaded_per_s\":%.0f}\n",
                     stats.saved_events, bench->size, bench->batch, bench->threads, aether_durability_text(stats.durability),
                     stats.commits, saves, loads);
    else
        (void)printf("saved   %.0f events a second (%" PRIu64 " of %" PRId64 " bytes, %" PRId64 " threads, %" PRId64
                     " a save, %" PRIu64 " commits, %s)\nloaded  %.0f events a second\n",
                     saves, stats.saved_events, bench->size, bench->threads, bench->batch, stats.commits,
                     aether_durability_text(stats.durability), loads);
    return AETHER_OK;
}

int tool_bench(int count, char **words)
{
    static const struct argp argp = {
        bench_options,
        parse_bench,
        "",
        "Measures saving and loading. The events stay in the store: name one that is for this (default: memory:).",
        children,
        NULL,
        NULL};
    struct bench bench = {.events = 100000, .size = 200, .batch = 1, .threads = 1};
    tool_parse(&argp, count, words, &bench);
    bench.store = tool_open(tool_options.store == NULL && getenv("AETHER_STORE") == NULL ? "memory:" : NULL, false, false);
    bench.data = malloc((size_t)bench.size + 1);
    if (bench.store == NULL || bench.data == NULL)
        return EXIT_FAILED;
    memset(bench.data, 'x', (size_t)bench.size);
    aether_status status = measure(&bench);
    aether_store_close(bench.store);
    free(bench.data);
    return tool_finish_output(status == AETHER_OK ? EXIT_OK : tool_fail_status(status));
}

/* -------------------------------------------------------------------------------------------------------------- watch */

int tool_watch(int count, char **words)
{
    static char name[] = "aether watch"; /* what its messages begin with */
    words[0] = name;
    return dirwatch_run(count, words);
}
