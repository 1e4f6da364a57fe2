#include "bus/callback.h"
#include "bus/subscription.h"

/* Words that end at their NUL are copied behind one another. */
static char *put(char **at, const char *text, size_t size)
{
    char *copy = *at;
    memcpy(copy, text, size);
    copy[size] = '\0';
    *at += size + 1;
    return copy;
}

static aether_status check(const aether_filter *given, size_t *text_bytes, const char *call)
{
    *text_bytes = 0;
    if (given->types == NULL && given->type_count != 0)
        return ae_fail(AETHER_INVALID, "%s: the filter's types are NULL, and %zu", call, given->type_count);
    for (size_t i = 0; i < given->type_count; i++) {
        if (given->types[i] == NULL)
            return ae_fail(AETHER_INVALID, "%s: type %zu of the filter is NULL", call, i);
        *text_bytes += strlen(given->types[i]) + 1;
    }
    if (given->actor == NULL)
        return AETHER_OK;
    struct ae_subject pattern;
    bool wild;
    size_t size = strlen(given->actor);
    *text_bytes += size + 1;
    aether_status status = ae_pattern_parse(&pattern, given->actor, size, &wild, call);
    return status == AETHER_OK ? AETHER_OK
                               : ae_fail(status, "%s: the filter's actor is no pattern: \"%.60s\"", call, given->actor);
}

aether_status ae_filter_make(struct ae_filter **copy, const aether_filter *given, const aether_allocator *allocator,
                             const char *call)
{
    *copy = NULL;
    size_t text_bytes;
    aether_status status = check(given, &text_bytes, call);
    if (status != AETHER_OK || (given->type_count == 0 && given->actor == NULL && given->predicate == NULL))
        return status;
    size_t pointers = (given->type_count) * sizeof(char *), bytes = sizeof(struct ae_filter) + pointers + text_bytes;
    struct ae_filter *filter = ae_alloc(allocator, bytes, _Alignof(struct ae_filter));
    if (filter == NULL)
        return ae_fail(AETHER_NO_MEMORY, "%s: no memory for a filter", call);
    *filter = (struct ae_filter){.given = *given, .bytes = bytes};
    const char **types = (const char **)(void *)(filter + 1);
    char *at = (char *)(filter + 1) + pointers;
    for (size_t i = 0; i < given->type_count; i++)
        types[i] = put(&at, given->types[i], strlen(given->types[i]));
    filter->given.types = types;
    if (given->actor != NULL)
        filter->given.actor = put(&at, given->actor, strlen(given->actor));
    *copy = filter;
    return AETHER_OK;
}

void ae_filter_free(struct ae_filter *filter, const aether_allocator *allocator)
{
    if (filter != NULL)
        ae_free(allocator, filter, filter->bytes, _Alignof(struct ae_filter));
}

static bool is_one_of(const aether_filter *filter, aether_text type)
{
    for (size_t i = 0; i < filter->type_count; i++)
        if (ae_text_same(aether_text_of(filter->types[i]), type))
            return true;
    return filter->type_count == 0;
}

/* An actor need not be a subject: one that is none matches nothing but its own bytes. */
static bool actor_matches(const char *pattern, aether_text actor)
{
    aether_text text = aether_text_of(pattern);
    if (ae_text_same(text, actor))
        return true;
    struct ae_subject subject;
    struct ae_failure ignored, *before = ae_fail_into(&ignored);
    bool valid = ae_subject_parse(&subject, actor.data, actor.size, "") == AETHER_OK;
    (void)ae_fail_into(before);
    return valid && ae_pattern_matches(text, actor);
}

static bool ask(const aether_filter *filter, const aether_event *event)
{
    ae_bus_callback_enter();
    bool passes = filter->predicate(event, filter->user);
    ae_bus_callback_leave();
    return passes;
}

bool ae_filter_passes(const struct ae_filter *filter, const aether_event *event)
{
    const aether_filter *given = &filter->given;
    return is_one_of(given, (aether_text){event->type, event->type_size}) &&
           (given->actor == NULL || actor_matches(given->actor, (aether_text){event->actor, event->actor_size})) &&
           (given->predicate == NULL || ask(given, event));
}
