/* The reducer of JSON documents: RFC 7396, on cJSON's values (Debian's package has no cJSON_Utils). */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "store/json/json.h"

struct document {
    cJSON *root; /* NULL: no event yet */
};

static void *create(void *user)
{
    (void)user;
    return calloc(1, sizeof(struct document));
}

static void destroy(void *state, void *user)
{
    (void)user;
    if (state != NULL)
        cJSON_Delete(((struct document *)state)->root);
    free(state);
}

static bool merge(cJSON **target, const cJSON *patch);

/* A member of the patch; false: no memory. */
static bool merge_member(cJSON *target, const cJSON *change)
{
    cJSON *old = cJSON_GetObjectItemCaseSensitive(target, change->string);
    if (cJSON_IsNull(change)) {
        cJSON_Delete(cJSON_DetachItemViaPointer(target, old));
        return true;
    }
    cJSON *value = old != NULL ? cJSON_DetachItemViaPointer(target, old) : NULL;
    if (merge(&value, change) && cJSON_AddItemToObject(target, change->string, value))
        return true;
    cJSON_Delete(value);
    return false;
}

/* The depth is that of a document that cJSON has parsed. */
static bool merge(cJSON **target, const cJSON *patch)
{
    if (!cJSON_IsObject(patch)) {
        cJSON_Delete(*target);
        *target = cJSON_Duplicate(patch, true);
        return *target != NULL;
    }
    if (!cJSON_IsObject(*target)) {
        cJSON_Delete(*target);
        *target = cJSON_CreateObject();
    }
    bool done = *target != NULL;
    for (const cJSON *change = patch->child; change != NULL && done; change = change->next)
        done = merge_member(*target, change);
    return done;
}

static aether_status apply(void *state, const aether_event *event, void *user)
{
    (void)user;
    struct document *document = state;
    if (event->data.size == 0)
        return AETHER_OK;
    cJSON *patch = cJSON_ParseWithLength(event->data.data, event->data.size);
    if (patch == NULL)
        return aether_fail(AETHER_MALFORMED, "merge: the data of version %lld are no JSON", (long long)event->version);
    bool done = merge(&document->root, patch);
    cJSON_Delete(patch);
    return done ? AETHER_OK : aether_fail(AETHER_NO_MEMORY, "merge: no memory");
}

static aether_status capture(const void *state, aether_capture *out, void *user)
{
    (void)user;
    char *text = aether_json_merge_text(state);
    if (text == NULL)
        return aether_fail(AETHER_NO_MEMORY, "merge: no memory");
    aether_status status = aether_capture_write(out, text, strlen(text));
    free(text);
    return status;
}

static aether_status restore(void *state, aether_text bytes, void *user)
{
    (void)user;
    struct document *document = state;
    cJSON_Delete(document->root);
    document->root = cJSON_ParseWithLength(bytes.data, bytes.size);
    return document->root != NULL ? AETHER_OK : AETHER_MALFORMED;
}

const aether_reducer *aether_json_merge_reducer(void)
{
    static const aether_reducer reducer = {.name = "merge",
                                           .version = 1,
                                           .create = create,
                                           .destroy = destroy,
                                           .apply = apply,
                                           .capture = capture,
                                           .restore = restore};
    return &reducer;
}

char *aether_json_merge_text(const void *state)
{
    const struct document *document = state;
    if (document == NULL || document->root == NULL)
        return strdup("{}");
    return cJSON_PrintUnformatted(document->root);
}
