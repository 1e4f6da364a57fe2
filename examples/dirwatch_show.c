#include "dirwatch_show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define TABLE_NS AETHER_MILLISECONDS(200)
#define LINE_NS AETHER_SECONDS(1)

static void print(struct show *show, struct text *text)
{
    if (text->length > 0 && (fwrite(text->bytes, text->length, 1, stdout) != 1 || fflush(stdout) != 0))
        show->failed = true;
    text_free(text);
}

/* A number with a comma at each thousand. The text is static, and valid for the next 15 calls. */
static const char *grouped(uint64_t number)
{
    static char places[16][32];
    static size_t next;
    char *at = places[next++ % 16] + 31;
    *at = '\0';
    for (int digits = 0; digits == 0 || number > 0; digits++, number /= 10) {
        if (digits > 0 && digits % 3 == 0)
            *--at = ',';
        *--at = (char)('0' + number % 10);
    }
    return at;
}

static double seconds_since(int64_t begun_ns)
{
    return (double)(now_ns() - begun_ns) / 1e9;
}

/* How far the watcher is behind; nothing to tell while it is in another history than the source. */
static bool lag_of(const struct watcher_view *view, const struct source_status *source, uint64_t *lag)
{
    if (view->position.epoch != source->newest.epoch)
        return false;
    /* The source was asked before the watcher. */
    *lag = source->newest.index > view->position.index ? source->newest.index - view->position.index : 0;
    return true;
}

struct sum {
    uint64_t live;
    uint64_t snapshots;
    uint64_t changes;
    uint64_t skipped;
    uint64_t laps, missed, resumed, expelled;
    uint64_t largest_lag;
};

static struct sum sum_up(const struct show_state *state, const struct source_status *source)
{
    struct sum sum = {0};
    for (size_t i = 0; i < watchers_count(state->watchers); i++) {
        struct watcher_view view;
        watchers_view(state->watchers, i, &view);
        sum.snapshots += view.snapshots;
        sum.changes += view.changes;
        sum.skipped += view.skipped;
        sum.laps += view.laps;
        sum.missed += view.missed;
        sum.resumed += view.resumed;
        sum.expelled += view.expelled;
        sum.live += view.live;
        uint64_t lag;
        if (lag_of(&view, source, &lag) && lag > sum.largest_lag)
            sum.largest_lag = lag;
    }
    return sum;
}

/* ------------------------------------------------------------------------------------------------------------- table */

#define END_OF_ROW "\033[K\n"

static void add_row(struct text *frame, const struct watcher_view *view, const struct source_status *source,
                    const char *const *dirs)
{
    uint64_t lag;
    bool knows_lag = lag_of(view, source, &lag);
    text_addf(frame, "%-12s %-23s %9s %9s %10s %8s  ", view->name, view->state, grouped(view->snapshots),
              grouped(view->entries), grouped(view->changes), knows_lag ? grouped(lag) : "-");
    if (view->latest[0]) {
        const char *name = strrchr(dirs[view->latest_root], '/');
        text_addf(frame, "%c %s/", view->latest[0], name ? name + 1 : "");
        text_add_printable(frame, view->latest + 1);
    }
    text_addf(frame, END_OF_ROW);
}

static void add_head(struct text *frame, const struct show *show, const struct show_state *state,
                     const struct source_status *source)
{
    text_addf(frame, "watching ");
    text_add_printable(frame, show->dirs[ROOT_DIR]);
    text_addf(frame, " and a scratch tree, ");
    text_add_printable(frame, show->dirs[ROOT_SCRATCH]);
    text_addf(frame, "   %.1f s", seconds_since(show->begun_ns));
    if (show->ends_ns == AETHER_FOREVER)
        text_addf(frame, ", until Ctrl-C");
    else
        text_addf(frame, " of %.0f s", (double)(show->ends_ns - show->begun_ns) / 1e9);
    text_addf(frame, END_OF_ROW);
    text_addf(frame,
              "source: %s entries, %s watches, %s changes in scratch, index %s, %s snapshots for %s readers, %s overflows, "
              "%s KiB held" END_OF_ROW,
              grouped(source->entries), grouped(source->watches), grouped(state->changes), grouped(source->newest.index),
              grouped(source->snapshots), grouped(source->followed), grouped(source->resets),
              grouped(source->in_use / 1024));
    text_addf(frame, "\033[1m%-12s %-23s %9s %9s %10s %8s  %s\033[0m" END_OF_ROW, "watcher", "state", "snapshots", "entries",
              "changes", "lag", "latest change");
}

/* Rows for watchers that the terminal has room for, beside the head's, the last one and the prompt's. */
static size_t rows_for(size_t watchers)
{
    struct winsize window = {0};
    size_t rows = 24;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_row > 0)
        rows = window.ws_row;
    rows = rows > 6 ? rows - 5 : 1;
    return rows < watchers ? rows : watchers;
}

/* Draws over the table that stands there. Lines are not wrapped meanwhile: what is too long is cut. */
static void draw_table(struct show *show, const struct show_state *state)
{
    struct source_status source;
    source_get_status(state->source, &source);
    struct text frame = {0};
    text_addf(&frame, "\033[?7l");
    if (show->rows > 0)
        text_addf(&frame, "\033[%zuA\r", show->rows);
    add_head(&frame, show, state, &source);
    size_t watchers = watchers_count(state->watchers);
    size_t rows = rows_for(watchers);
    for (size_t i = 0; i < rows; i++) {
        struct watcher_view view;
        watchers_view(state->watchers, i, &view);
        add_row(&frame, &view, &source, show->dirs);
    }
    if (rows < watchers)
        text_addf(&frame, "... and %zu more" END_OF_ROW, watchers - rows);
    text_addf(&frame, "\033[J\033[?7h");
    show->rows = 3 + rows + (rows < watchers);
    print(show, &frame);
}

/* ------------------------------------------------------------------------------------------------------------- lines */

static void print_line(struct show *show, const struct show_state *state)
{
    struct source_status source;
    source_get_status(state->source, &source);
    struct sum sum = sum_up(state, &source);
    struct text line = {0};
    text_addf(&line, "%5.1f s: %s entries, %s changes in scratch, index %s, %" PRIu64 " of %zu watchers live, lag up to %s",
              seconds_since(show->begun_ns), grouped(source.entries), grouped(state->changes), grouped(source.newest.index),
              sum.live, watchers_count(state->watchers), grouped(sum.largest_lag));
    if (source.resets > 0)
        text_addf(&line, ", %s overflows", grouped(source.resets));
    text_addf(&line, "\n");
    print(show, &line);
}

/* -------------------------------------------------------------------------------------------------------------- JSON */

static void add_watcher_json(struct text *line, const struct watcher_view *view, const struct source_status *source,
                             const char *const *dirs)
{
    text_addf(line,
              "{\"name\":\"%s\",\"state\":\"%s\",\"snapshots\":%" PRIu64 ",\"entries\":%" PRIu64 ",\"changes\":%" PRIu64,
              view->name, view->state, view->snapshots, view->entries, view->changes);
    text_addf(line, ",\"laps\":%" PRIu64 ",\"missed\":%" PRIu64 ",\"resumed\":%" PRIu64 ",\"expelled\":%" PRIu64, view->laps,
              view->missed, view->resumed, view->expelled);
    text_addf(line, ",\"skipped\":%" PRIu64 ",\"resets\":%" PRIu64 ",\"epoch\":\"%016" PRIx64 "\",\"index\":%" PRIu64,
              view->skipped, view->resets, view->position.epoch, view->position.index);
    uint64_t lag;
    if (lag_of(view, source, &lag))
        text_addf(line, ",\"lag\":%" PRIu64, lag);
    if (view->latest[0]) {
        struct text path = {0};
        text_addf(&path, "%s/%s", dirs[view->latest_root], view->latest + 1);
        text_addf(line, ",\"latest\":{\"gone\":%s,\"path\":", view->latest[0] == '-' ? "true" : "false");
        text_add_json(line, path.bytes);
        text_addf(line, "}");
        text_free(&path);
    }
    text_addf(line, "}");
}

static void print_progress_json(struct show *show, const struct show_state *state)
{
    struct source_status source;
    source_get_status(state->source, &source);
    struct text line = {0};
    text_addf(&line,
              "{\"type\":\"progress\",\"seconds\":%.3f,\"epoch\":\"%016" PRIx64 "\",\"index\":%" PRIu64 ",\"entries\":%zu"
              ",\"watches\":%zu,\"scratch_changes\":%" PRIu64 ",\"inotify_events\":%" PRIu64 ",\"overflows\":%" PRIu64
              ",\"snapshots\":%" PRIu64 ",\"readers\":%" PRIu64 ",\"held_bytes\":%" PRIu64 ",\"watchers\":[",
              seconds_since(show->begun_ns), source.newest.epoch, source.newest.index, source.entries, source.watches,
              state->changes, source.events, source.resets, source.snapshots, source.followed, source.in_use);
    for (size_t i = 0; i < watchers_count(state->watchers); i++) {
        struct watcher_view view;
        watchers_view(state->watchers, i, &view);
        text_add(&line, ",", i > 0);
        add_watcher_json(&line, &view, &source, show->dirs);
    }
    text_addf(&line, "]}\n");
    print(show, &line);
}

static void print_verdict_json(struct show *show, const struct show_state *state, const struct verdict *verdict)
{
    struct source_status source;
    source_get_status(state->source, &source);
    struct sum sum = sum_up(state, &source);
    struct text line = {0};
    text_addf(&line,
              "{\"type\":\"verdict\",\"equal\":%s,\"watchers\":%zu,\"snapshots\":%" PRIu64 ",\"changes\":%" PRIu64
              ",\"skipped\":%" PRIu64 ",\"laps\":%" PRIu64 ",\"missed\":%" PRIu64 ",\"overflows\":%" PRIu64
              ",\"entries\":%zu,\"left_out\":%zu,\"wrong\":%zu"
              ",\"in_motion\":%zu,\"rounds\":%u,\"differences\":[",
              verdict->wrong == 0 ? "true" : "false", watchers_count(state->watchers), sum.snapshots, sum.changes,
              sum.skipped, sum.laps, sum.missed, source.resets, verdict->entries, verdict->left_out, verdict->wrong,
              verdict->in_motion, verdict->rounds);
    const char *separator = "";
    char *rest = verdict->lines.bytes;
    for (char *one; rest && *rest && (one = strsep(&rest, "\n")); separator = ",") {
        text_addf(&line, "%s", separator);
        text_add_json(&line, one);
    }
    text_addf(&line, "]}\n");
    print(show, &line);
}

/* ---------------------------------------------------------------------------------------------------------- the run */

void show_start(struct show *show, const struct show_state *state)
{
    struct source_status source;
    source_get_status(state->source, &source);
    struct text line = {0};
    if (show->form == SHOW_LINES) {
        text_addf(&line, "watching %s entries: ", grouped(source.entries));
        text_add_printable(&line, show->dirs[ROOT_DIR]);
        text_addf(&line, ", and a scratch tree, ");
        text_add_printable(&line, show->dirs[ROOT_SCRATCH]);
        text_addf(&line, show->ends_ns == AETHER_FOREVER ? ", until interrupted\n" : ", for %.1f s\n",
                  (double)(show->ends_ns - show->begun_ns) / 1e9);
    }
    if (show->form == SHOW_JSON) {
        text_addf(&line, "{\"type\":\"start\",\"dir\":");
        text_add_json(&line, show->dirs[ROOT_DIR]);
        text_addf(&line, ",\"scratch\":");
        text_add_json(&line, show->dirs[ROOT_SCRATCH]);
        text_addf(&line, ",\"watchers\":%zu,\"entries\":%zu}\n", watchers_count(state->watchers), source.entries);
    }
    print(show, &line);
    show_progress(show, state);
}

static void show_now(struct show *show, const struct show_state *state)
{
    switch (show->form) {
    case SHOW_TABLE:
        draw_table(show, state);
        break;
    case SHOW_LINES:
        print_line(show, state);
        break;
    case SHOW_JSON:
        print_progress_json(show, state);
        break;
    }
}

void show_progress(struct show *show, const struct show_state *state)
{
    int64_t now = now_ns();
    if (now < show->next_ns)
        return;
    show->next_ns = now + (show->form == SHOW_TABLE ? TABLE_NS : LINE_NS);
    show_now(show, state);
}

void show_verdict(struct show *show, const struct show_state *state, const struct verdict *verdict)
{
    show_now(show, state);
    if (show->form == SHOW_JSON) {
        print_verdict_json(show, state, verdict);
        return;
    }
    struct source_status source;
    source_get_status(state->source, &source);
    struct sum sum = sum_up(state, &source);
    struct text text = {0};
    text_addf(&text, "%zu watchers read %s snapshots and %s changes: no gap, no repeat", watchers_count(state->watchers),
              grouped(sum.snapshots), grouped(sum.changes));
    text_addf(&text, " (%s more were in a snapshot already)\n", grouped(sum.skipped));
    if (sum.laps > 0)
        text_addf(&text, "lapped %s times, by %s changes that nobody had to keep; a new snapshot followed each time\n",
                  grouped(sum.laps), grouped(sum.missed));
    if (sum.resumed + sum.expelled > 0)
        text_addf(&text, "resumed %s times where they had left off, expelled %s times and began again\n",
                  grouped(sum.resumed), grouped(sum.expelled));
    if (verdict->left_out > 0)
        text_addf(&text, "could not be read and counted as empty: %zu of the directories, such as %s\n", verdict->left_out,
                  verdict->left_out_one.bytes);
    if (verdict->wrong > 0)
        text_addf(&text, "DIFFERENT: pictures are not what is on the disk, in %zu places:\n%s", verdict->wrong,
                  verdict->lines.bytes);
    else if (verdict->in_motion > 0)
        text_addf(&text, "EQUAL: every picture is what is on the disk, %s entries, but for what others were changing:\n%s",
                  grouped(verdict->entries), verdict->lines.bytes);
    else
        text_addf(&text, "EQUAL: every picture is what is on the disk, %s entries\n", grouped(verdict->entries));
    print(show, &text);
}

void show_trouble(struct show *show, const char *why)
{
    if (show->form == SHOW_JSON) {
        struct text line = {0};
        text_addf(&line, "{\"type\":\"trouble\",\"why\":");
        text_add_json(&line, why);
        text_addf(&line, "}\n");
        print(show, &line);
    }
    struct text line = {0};
    text_addf(&line, "dirwatch: ");
    text_add_printable(&line, why);
    fprintf(stderr, "%s\n", line.bytes);
    text_free(&line);
}
