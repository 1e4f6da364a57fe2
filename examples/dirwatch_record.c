#include "dirwatch_record.h"

#include <stdlib.h>

static void add(struct batch *batch, const struct record *record, const char *path, size_t path_size)
{
    if (batch->count == batch->room) {
        batch->room = batch->room ? batch->room * 2 : 64;
        batch->ends = need_memory(batch->ends, batch->room * sizeof *batch->ends);
    }
    text_add(&batch->bytes, (const char *)record, offsetof(struct record, path));
    text_add(&batch->bytes, path, path_size);
    batch->ends[batch->count++] = batch->bytes.length;
}

static void add_with_path(struct batch *batch, const struct record *record, const struct node *node)
{
    text_cut(&batch->path, 0);
    picture_path(node, &batch->path);
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

void batch_add(struct batch *batch, const struct record *record)
{
    add(batch, record, "", 0);
}

aether_status batch_append(struct batch *batch, aether_buffer *buffer)
{
    if (batch->count == 0)
        return AETHER_OK;
    aether_payload *payloads = need_memory(NULL, batch->count * sizeof *payloads);
    size_t begin = 0;
    for (size_t i = 0; i < batch->count; i++) {
        payloads[i] = (aether_payload){.data = batch->bytes.bytes + begin, .size = batch->ends[i] - begin};
        begin = batch->ends[i];
    }
    aether_status status = aether_append_batch(buffer, payloads, batch->count);
    free(payloads);
    text_cut(&batch->bytes, 0);
    batch->count = 0;
    return status;
}

void batch_free(struct batch *batch)
{
    text_free(&batch->bytes);
    text_free(&batch->path);
    free(batch->ends);
    *batch = (struct batch){0};
}
