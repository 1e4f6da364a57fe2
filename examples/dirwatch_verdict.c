#include "dirwatch_verdict.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "dirwatch_scan.h"
#include "dirwatch_scratch.h"

#define ROUNDS 5
#define CATCH_UP_NS AETHER_SECONDS(60)
#define LINES_SHOWN 10
/* Of one round. Who differs in more is wrong enough. */
#define LINES_KEPT 10000

/* ------------------------------------------------------------------------------------------- differences, as sorted lines
 */

struct differences {
    char **lines;
    size_t count;
    /* While they are found. */
    const char *watcher;
    const char *const *dirs;
    bool follows[ROOTS]; /* what the watcher does */
};

static void free_differences(struct differences *differences)
{
    for (size_t i = 0; i < differences->count; i++)
        free(differences->lines[i]);
    free(differences->lines);
    *differences = (struct differences){0};
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void describe(struct text *line, const struct node *node)
{
    if (!node)
        text_addf(line, "nothing");
    else if (node->facts.type == 'd')
        text_addf(line, "a directory");
    else
        text_addf(line, "%s of %" PRIu64 " bytes, changed at %" PRId64 ".%09" PRId64,
                  node->facts.type == '-'   ? "a file"
                  : node->facts.type == 'l' ? "a symbolic link"
                                            : "something",
                  node->facts.size, node->facts.mtime_ns / 1000000000, node->facts.mtime_ns % 1000000000);
}

static void add_difference(const struct node *seen, const struct node *there, void *user)
{
    struct differences *differences = user;
    const struct node *either = seen ? seen : there;
    if (differences->count == LINES_KEPT || !differences->follows[either->root])
        return;
    struct text path = {0};
    struct text line = {0};
    picture_path(either, &path);
    text_addf(&line, "%s: %s/", differences->watcher, differences->dirs[either->root]);
    text_add_printable(&line, path.bytes);
    text_addf(&line, ": the picture has ");
    describe(&line, seen);
    text_addf(&line, ", the disk ");
    describe(&line, there);
    text_free(&path);
    differences->lines = need_memory(differences->lines, (differences->count + 1) * sizeof *differences->lines);
    differences->lines[differences->count++] = line.bytes;
}

/* Leaves in `kept` what is in `found` as well. Both are sorted. */
static void keep_common(struct differences *kept, const struct differences *found)
{
    size_t common = 0;
    for (size_t i = 0; i < kept->count; i++) {
        char *line = kept->lines[i];
        if (found->count > 0 && bsearch(&line, found->lines, found->count, sizeof *found->lines, compare_lines))
            kept->lines[common++] = line;
        else
            free(line);
    }
    kept->count = common;
}

/* ------------------------------------------------------------------------------------------------------------ a round */

static bool wait_for_mark(const struct verdict_options *options, uint64_t mark, struct message *why)
{
    int64_t deadline = now_ns() + CATCH_UP_NS;
    while (!watchers_are_at(options->watchers, mark)) {
        if (now_ns() > deadline)
            return refuse(why, "not every watcher had caught up with the source after %d seconds",
                          (int)(CATCH_UP_NS / 1000000000));
        if (!options->wait(options->user, deadline))
            return false;
    }
    return true;
}

static struct picture *scan_disk(const struct verdict_options *options, struct verdict *verdict, struct message *why)
{
    struct scan scan = {.picture = picture_create(), .why = why};
    memcpy(scan.dirs, options->dirs, sizeof scan.dirs);
    bool done = true;
    for (int root = 0; root < ROOTS && done; root++)
        done = scan_root(&scan, root);
    struct picture *picture = scan.picture;
    verdict->entries = picture->entries;
    verdict->left_out = scan.left_out;
    text_free(&verdict->left_out_one);
    verdict->left_out_one = scan.left_out_one;
    scan.left_out_one = (struct text){0};
    scan_free(&scan);
    if (done)
        return picture;
    picture_destroy(picture);
    return NULL;
}

/* Brings everybody to a new mark and compares. The sentinel file itself is in all pictures, and on the disk. */
static bool compare_at(const struct verdict_options *options, uint64_t mark, struct differences *found,
                       struct verdict *verdict, struct message *why)
{
    *found = (struct differences){.dirs = options->dirs};
    if (!scratch_mark(mark, why) || !wait_for_mark(options, mark, why))
        return false;
    struct picture *disk = scan_disk(options, verdict, why);
    for (size_t i = 0; disk && i < watchers_count(options->watchers); i++) {
        struct watcher_view view;
        watchers_view(options->watchers, i, &view);
        found->watcher = view.name;
        for (int root = 0; root < ROOTS; root++)
            found->follows[root] = watchers_follows(options->watchers, i, root);
        picture_compare(watchers_picture(options->watchers, i), disk, add_difference, found);
    }
    watchers_release(options->watchers, mark);
    if (found->count > 0)
        qsort(found->lines, found->count, sizeof *found->lines, compare_lines);
    picture_destroy(disk);
    return disk != NULL;
}

static void add_lines(struct verdict *verdict, const struct differences *differences)
{
    for (size_t i = 0; i < differences->count && i < LINES_SHOWN; i++)
        text_addf(&verdict->lines, "%s\n", differences->lines[i]);
}

bool verdict_reach(const struct verdict_options *options, struct verdict *verdict, struct message *why)
{
    *verdict = (struct verdict){0};
    *why = (struct message){0};
    struct differences stay = {0};
    struct differences found = {0};
    bool compared = false;
    for (unsigned round = 1; round <= ROUNDS; round++) {
        free_differences(&found);
        compared = compare_at(options, round, &found, verdict, why);
        if (!compared)
            break;
        verdict->rounds = round;
        if (round == 1) {
            stay = found;
            found = (struct differences){0};
        } else {
            keep_common(&stay, &found);
        }
        if (stay.count == 0 && found.count == 0)
            break;
        int64_t until = now_ns() + AETHER_MILLISECONDS(50) * (1 << round);
        while (compared && round < ROUNDS && now_ns() < until)
            compared = options->wait(options->user, until);
        if (!compared)
            break;
    }
    verdict->wrong = stay.count;
    verdict->in_motion = found.count > stay.count ? found.count - stay.count : 0;
    add_lines(verdict, stay.count > 0 ? &stay : &found);
    free_differences(&stay);
    free_differences(&found);
    return compared;
}

void verdict_free(struct verdict *verdict)
{
    text_free(&verdict->lines);
    text_free(&verdict->left_out_one);
}
