#include "common/unit_snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void need(bool there, const char *what)
{
    if (there)
        return;
    fprintf(stderr, "%s: %s\n", what, aether_error());
    abort();
}

static uint32_t get(const uint32_t *number)
{
    return __atomic_load_n(number, __ATOMIC_SEQ_CST);
}

static void add(uint32_t *number, uint32_t change)
{
    __atomic_add_fetch(number, change, __ATOMIC_SEQ_CST);
}

uint32_t unit_runs(const struct unit_maker *maker)
{
    return get(&maker->runs);
}

bool unit_is_held(const struct unit_maker *maker)
{
    return get(&maker->waits) > 0;
}

void unit_hold(struct unit_maker *maker)
{
    __atomic_store_n(&maker->held, 1, __ATOMIC_SEQ_CST);
}

void unit_let_go(struct unit_maker *maker)
{
    __atomic_store_n(&maker->held, 0, __ATOMIC_SEQ_CST);
}

/* All batches, or up to the first that is not taken. */
static aether_status append_words(struct unit_maker *maker, aether_snapshot *snapshot)
{
    struct unit_words *words = malloc(sizeof *words);
    need(words != NULL, "words");
    const char *rest = maker->words != NULL ? maker->words : "";
    aether_status status = AETHER_OK;
    while (*rest != '\0' && status == AETHER_OK) {
        unit_parse_words(words, &rest, true);
        status = aether_snapshot_append(snapshot, words->events, words->count);
    }
    free(words);
    return status;
}

static void wait_while_held(struct unit_maker *maker)
{
    int64_t give_up_at = unit_give_up_at();
    add(&maker->waits, 1);
    while (get(&maker->held) != 0 && unit_pause(give_up_at))
        ;
    add(&maker->waits, UINT32_MAX);
}

aether_status unit_make(aether_snapshot *snapshot, const char *pattern, uint64_t *index, void *user)
{
    struct unit_maker *maker = user;
    add(&maker->runs, 1);
    add(&maker->inside, 1);
    snprintf(maker->pattern, sizeof maker->pattern, "%s", pattern);
    if (maker->begin != NULL)
        maker->begin(maker, snapshot);
    aether_status status = append_words(maker, snapshot);
    if (status != AETHER_OK)
        maker->appended = status;
    if (get(&maker->held) != 0)
        wait_while_held(maker);
    *index = maker->index;
    if (status == AETHER_OK)
        status = maker->status;
    add(&maker->inside, UINT32_MAX);
    return status;
}

aether_snapshot_handler unit_handler(struct unit_maker *maker)
{
    return (aether_snapshot_handler){.make = unit_make, .user = maker, .cache_ns = -1};
}

void unit_handle(aether_bus *bus, const char *pattern, struct unit_maker *maker)
{
    aether_snapshot_handler handler = unit_handler(maker);
    need(aether_bus_handle_snapshots(bus, pattern, &handler) == AETHER_OK, "handle snapshots");
}

/* --------------------------------------------------------------------------------------------------------------- state */

void unit_state_init(struct unit_state *state, aether_bus *bus)
{
    memset(state, 0, sizeof *state);
    state->bus = bus;
    pthread_mutex_init(&state->lock, NULL);
}

static size_t find(const struct unit_state *state, const char *subject)
{
    size_t i = 0;
    while (i < state->count && strcmp(state->entries[i].subject, subject) != 0)
        i++;
    return i;
}

static aether_status put(struct unit_state *state, const char *subject, uint64_t value)
{
    size_t at = find(state, subject);
    need(at < sizeof state->entries / sizeof *state->entries, "room in the state");
    if (at == state->count)
        snprintf(state->entries[state->count++].subject, sizeof state->entries->subject, "%s", subject);
    state->entries[at].value = value;
    char data[32];
    snprintf(data, sizeof data, "%llu", (unsigned long long)value);
    return aether_publish(state->bus, subject, AETHER_EVENT(.type = "Put", .data = AETHER_TEXT(data)));
}

aether_status unit_state_put(struct unit_state *state, const char *subject, uint64_t value)
{
    pthread_mutex_lock(&state->lock);
    aether_status status = put(state, subject, value);
    pthread_mutex_unlock(&state->lock);
    return status;
}

uint64_t unit_state_get(struct unit_state *state, const char *subject)
{
    pthread_mutex_lock(&state->lock);
    size_t at = find(state, subject);
    uint64_t value = at < state->count ? state->entries[at].value : 0;
    pthread_mutex_unlock(&state->lock);
    return value;
}

static aether_status append_entry(aether_snapshot *snapshot, const char *subject, uint64_t value)
{
    char data[32];
    snprintf(data, sizeof data, "%llu", (unsigned long long)value);
    return aether_snapshot_append(snapshot, AETHER_EVENT(.subject = subject, .type = "Put", .data = AETHER_TEXT(data)), 1);
}

aether_status unit_state_make(aether_snapshot *snapshot, const char *pattern, uint64_t *index, void *user)
{
    struct unit_state *state = user;
    add(&state->runs, 1);
    aether_status status = AETHER_OK;
    pthread_mutex_lock(&state->lock);
    for (size_t i = 0; i < state->count && status == AETHER_OK; i++)
        if (aether_pattern_matches(pattern, state->entries[i].subject))
            status = append_entry(snapshot, state->entries[i].subject, state->entries[i].value);
    *index = aether_bus_newest(state->bus).index;
    pthread_mutex_unlock(&state->lock);
    return status;
}
