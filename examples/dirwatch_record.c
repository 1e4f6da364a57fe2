#include "dirwatch_record.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char *const record_patterns[ROOTS] = {[ROOT_DIR] = "dir.>", [ROOT_SCRATCH] = "scratch.>"};

static const char *const first_tokens[ROOTS] = {[ROOT_DIR] = "dir", [ROOT_SCRATCH] = "scratch"};

/* ----------------------------------------------------------------------------------------------------------- subjects */

enum { SUBJECT_BYTES = AETHER_SUBJECT_MAX - 24, SUBJECT_TOKENS = AETHER_TOKENS_MAX - 1 };

static bool is_plain(char byte)
{
    unsigned char value = (unsigned char)byte;
    return value > ' ' && value != 0x7f && byte != '.' && byte != '*' && byte != '>' && byte != '%';
}

/* FNV-1a: for what has to be told apart, not to be guessed. */
static uint64_t hash(const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return hash;
}

/* Appends the component that begins at `path`, with its dot; returns what follows it, NULL for nothing. */
static const char *add_token(struct text *subject, const char *path)
{
    text_add(subject, ".", 1);
    for (; *path != '/' && *path != '\0'; path++) {
        if (is_plain(*path))
            text_add(subject, path, 1);
        else
            text_addf(subject, "%%%02x", (unsigned char)*path);
    }
    return *path == '/' ? path + 1 : NULL;
}

/* Appends the subject of a path, with its NUL. */
static void add_subject(struct text *subjects, int root, const char *path)
{
    size_t begin = subjects->length, tokens = 1;
    text_addf(subjects, "%s", first_tokens[root]);
    while (path != NULL) {
        size_t before = subjects->length;
        const char *rest = add_token(subjects, path);
        bool is_too_long = subjects->length - begin > SUBJECT_BYTES || (++tokens == SUBJECT_TOKENS && rest != NULL);
        if (is_too_long) {
            text_cut(subjects, before);
            text_addf(subjects, ".%%%016" PRIx64, hash(path));
            break;
        }
        path = rest;
    }
    text_add(subjects, "", 1);
}

/* ------------------------------------------------------------------------------------------------------------ batches */

static void add(struct batch *batch, const struct record *record, const char *path, size_t path_size)
{
    static const char zeros[8];
    if (batch->count == batch->room) {
        batch->room = batch->room ? batch->room * 2 : 64;
        batch->ends = need_memory(batch->ends, 2 * batch->room * sizeof *batch->ends);
    }
    text_add(&batch->bytes, (const char *)record, offsetof(struct record, path));
    text_add(&batch->bytes, path, path_size);
    text_add(&batch->bytes, zeros, (size_t)-batch->bytes.length % sizeof zeros);
    batch->ends[2 * batch->count] = batch->bytes.length;
    batch->ends[2 * batch->count + 1] = batch->subjects.length;
    batch->count++;
}

static void add_with_path(struct batch *batch, const struct record *record, const struct node *node)
{
    text_cut(&batch->path, 0);
    picture_path(node, &batch->path);
    add_subject(&batch->subjects, node->root, batch->path.bytes);
    add(batch, record, batch->path.bytes, batch->path.length + 1);
}

void batch_put(struct batch *batch, const struct node *node)
{
    struct record record = {.kind = RECORD_PUT, .root = node->root, .facts = node->facts};
    add_with_path(batch, &record, node);
}

void batch_take(struct batch *batch, const struct node *node)
{
    struct record record = {.kind = RECORD_TAKE, .root = node->root};
    add_with_path(batch, &record, node);
}

void batch_mark(struct batch *batch, uint64_t mark)
{
    static const char subject[] = "scratch.%mark";
    struct record record = {.kind = RECORD_MARK, .root = ROOT_SCRATCH, .mark = mark};
    text_add(&batch->subjects, subject, sizeof subject);
    add(batch, &record, "", 0);
}

/* The records as events, for free(). */
static aether_event *events_of(const struct batch *batch)
{
    static const char *const types[] = {[RECORD_PUT] = "put", [RECORD_TAKE] = "take", [RECORD_MARK] = "mark"};
    aether_event *events = need_memory(NULL, batch->count * sizeof *events);
    size_t record = 0, subject = 0;
    for (size_t i = 0; i < batch->count; i++) {
        size_t end = batch->ends[2 * i], subject_end = batch->ends[2 * i + 1];
        events[i] = (aether_event){.subject = batch->subjects.bytes + subject,
                                   .subject_size = subject_end - subject - 1,
                                   .type = types[(uint8_t)batch->bytes.bytes[record]],
                                   .data = aether_bytes(batch->bytes.bytes + record, end - record)};
        record = end;
        subject = subject_end;
    }
    return events;
}

static void empty(struct batch *batch)
{
    text_cut(&batch->bytes, 0);
    text_cut(&batch->subjects, 0);
    batch->count = 0;
}

aether_status batch_publish(struct batch *batch, aether_bus *bus)
{
    if (batch->count == 0)
        return AETHER_OK;
    aether_event *events = events_of(batch);
    aether_status status = aether_publish_batch(bus, events, batch->count);
    free(events);
    empty(batch);
    return status;
}

aether_status batch_append(struct batch *batch, aether_snapshot *snapshot)
{
    if (batch->count == 0)
        return AETHER_OK;
    aether_event *events = events_of(batch);
    aether_status status = aether_snapshot_append(snapshot, events, batch->count);
    free(events);
    empty(batch);
    return status;
}

void batch_free(struct batch *batch)
{
    text_free(&batch->bytes);
    text_free(&batch->subjects);
    text_free(&batch->path);
    free(batch->ends);
    *batch = (struct batch){0};
}
