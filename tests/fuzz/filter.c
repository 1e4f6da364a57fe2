/*
 * Filters: lines of any bytes as types, an actor's pattern, and the type and actor of an event. What a filter is made of,
 * and what passes it, is what plain string functions and the matcher of the tests say.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/process.h"
#include "bus/subscription.h"
#include "common/unit_matcher.h"

enum { LINES = 6 }; /* the actor's pattern, the event's type and actor, types */

struct lines {
    char *text[LINES];
    size_t size[LINES];
    size_t count;
};

/* Each ends at its line feed, or its NUL. */
static void split(struct lines *lines, const uint8_t *data, size_t size)
{
    *lines = (struct lines){.count = 0};
    size_t at = 0;
    while (at < size && lines->count < LINES) {
        size_t end = at;
        while (end < size && data[end] != '\n' && data[end] != '\0')
            end++;
        char *text = malloc(end - at + 1);
        AE_ASSERT(text != NULL);
        memcpy(text, data + at, end - at);
        text[end - at] = '\0';
        lines->text[lines->count] = text;
        lines->size[lines->count++] = end - at;
        at = end + 1;
    }
}

static bool is_type(const struct lines *lines, const aether_event *event)
{
    for (size_t i = 3; i < lines->count; i++)
        if (lines->size[i] == event->type_size && memcmp(lines->text[i], event->type, event->type_size) == 0)
            return true;
    return lines->count <= 3;
}

static bool is_actor(const char *pattern, const aether_event *event)
{
    return strcmp(pattern, event->actor) == 0 ||
           (unit_is_subject(event->actor, event->actor_size) && unit_matches(pattern, event->actor));
}

static int asked;

static bool ask(const aether_event *event, void *user)
{
    (void)event;
    asked++;
    return *(const bool *)user;
}

static void check_filter(const struct lines *lines, bool answer)
{
    const aether_filter given = {.types = (const char *const *)(const void *)(lines->text + 3),
                                 .type_count = lines->count - 3,
                                 .actor = lines->text[0],
                                 .predicate = ask,
                                 .user = &answer};
    const aether_event event = {
        .type = lines->text[1], .type_size = lines->size[1], .actor = lines->text[2], .actor_size = lines->size[2]};
    struct ae_filter *filter;
    aether_status status = ae_filter_make(&filter, &given, &ae_default_allocator, "fuzz");
    AE_ASSERT((status == AETHER_OK) == unit_is_pattern(lines->text[0], lines->size[0]));
    AE_ASSERT((filter != NULL) == (status == AETHER_OK));
    if (filter == NULL)
        return;
    bool meets = is_type(lines, &event) && is_actor(lines->text[0], &event);
    asked = 0;
    AE_ASSERT(ae_filter_passes(filter, &event) == (meets && answer));
    AE_ASSERT(asked == meets); /* last, and only where all else is met */
    ae_filter_free(filter, &ae_default_allocator);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    aether_status status = ae_process_prepare();
    AE_ASSERT(status == AETHER_OK);
    struct lines lines;
    split(&lines, data, size);
    if (lines.count >= 3) {
        check_filter(&lines, false);
        check_filter(&lines, true);
    }
    for (size_t i = 0; i < lines.count; i++)
        free(lines.text[i]);
    return 0;
}
