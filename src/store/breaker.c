/*
 * The circuit breaker:
 *
 *      closed ──too many of the last calls failed──▶ open ──open_ns later, with the next call──▶ half open
 *        ▲                                            ▲                                             │
 *        └──── few of the probes failed ──────────────┼──────────── many of the probes failed ──────┤
 *                                                     └──────────── a probe is stuck ───────────────┘
 *
 * A ticket carries the number of the state's change: what was allowed before it says nothing any more (R9).
 */
#include <pthread.h>

#include "base/allocator.h"
#include "base/fail.h"
#include "store/retry.h"

enum { WINDOW = 100, WINDOW_MOST = 65536, PERCENT = 50, PROBES = 10, PROBES_MOST = 64 };

static const int64_t OPEN = INT64_C(60000000000), PROBE_TIMEOUT = INT64_C(10000000000);

struct aether_breaker {
    aether_allocator allocator;
    aether_breaker_options options;
    pthread_mutex_t lock;
    aether_breaker_state state;
    uint32_t changes; /* of the state */
    int64_t changed_at;
    /* closed: the last calls, a byte each */
    uint8_t *failed;
    uint32_t calls, failures, next;
    /* half open */
    uint32_t probes, probes_done, probes_failed;
    int64_t probe_began[PROBES_MOST]; /* 0: told about */
};

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value != 0 ? value : otherwise;
}

aether_breaker *aether_breaker_create_sized(const aether_breaker_options *given, size_t size)
{
    static const char call[] = "aether_breaker_create";
    aether_breaker_options options = {0};
    if (given != NULL)
        memcpy(&options, given, size < sizeof options ? size : sizeof options);
    options.window = or_default(options.window, WINDOW);
    options.least_calls = or_default(options.least_calls, options.window < WINDOW ? options.window : WINDOW);
    options.failure_percent = or_default(options.failure_percent, PERCENT);
    options.probes = or_default(options.probes, PROBES);
    options.open_ns = options.open_ns != 0 ? options.open_ns : OPEN;
    options.probe_timeout_ns = options.probe_timeout_ns != 0 ? options.probe_timeout_ns : PROBE_TIMEOUT;
    if (options.window > WINDOW_MOST || options.least_calls > options.window || options.failure_percent > 100 ||
        options.probes > PROBES_MOST || options.open_ns < 0 || options.probe_timeout_ns < 0) {
        (void)ae_fail(AETHER_INVALID, "%s: an option is beyond its bounds", call);
        return NULL;
    }
    aether_allocator allocator = options.allocator != NULL ? *options.allocator : ae_default_allocator;
    aether_breaker *breaker = ae_alloc(&allocator, sizeof *breaker, _Alignof(aether_breaker));
    uint8_t *failed = breaker != NULL ? ae_alloc(&allocator, options.window, 1) : NULL;
    if (failed == NULL) {
        if (breaker != NULL)
            ae_free(&allocator, breaker, sizeof *breaker, _Alignof(aether_breaker));
        (void)ae_fail(AETHER_NO_MEMORY, "%s: no memory", call);
        return NULL;
    }
    *breaker = (aether_breaker){.allocator = allocator, .options = options, .failed = failed};
    pthread_mutex_init(&breaker->lock, NULL);
    return breaker;
}

void aether_breaker_destroy(aether_breaker *breaker)
{
    if (breaker == NULL)
        return;
    aether_allocator allocator = breaker->allocator;
    pthread_mutex_destroy(&breaker->lock);
    ae_free(&allocator, breaker->failed, breaker->options.window, 1);
    ae_free(&allocator, breaker, sizeof *breaker, _Alignof(aether_breaker));
}

static int64_t now_of(const aether_breaker *breaker)
{
    return ae_retry_now(breaker->options.now, breaker->options.user);
}

static void change(aether_breaker *breaker, aether_breaker_state state, int64_t now)
{
    breaker->state = state;
    breaker->changes++;
    breaker->changed_at = now;
    breaker->calls = breaker->failures = breaker->next = 0;
    breaker->probes = breaker->probes_done = breaker->probes_failed = 0;
    memset(breaker->probe_began, 0, sizeof breaker->probe_began);
}

/* What time alone changes. */
static void look_at_clock(aether_breaker *breaker, int64_t now)
{
    if (breaker->state == AETHER_BREAKER_OPEN && now - breaker->changed_at >= breaker->options.open_ns)
        change(breaker, AETHER_BREAKER_HALF_OPEN, now);
    if (breaker->state != AETHER_BREAKER_HALF_OPEN)
        return;
    for (uint32_t i = 0; i < breaker->probes; i++)
        if (breaker->probe_began[i] != 0 && now - breaker->probe_began[i] >= breaker->options.probe_timeout_ns) {
            change(breaker, AETHER_BREAKER_OPEN, now);
            return;
        }
}

/* Gives the lock back and tells of a change. */
static void leave(aether_breaker *breaker, uint32_t changes_before)
{
    aether_breaker_state state = breaker->state;
    bool changed = breaker->changes != changes_before;
    pthread_mutex_unlock(&breaker->lock);
    if (changed && breaker->options.on_change != NULL)
        breaker->options.on_change(state, breaker->options.user);
}

aether_status aether_breaker_allow(aether_breaker *breaker, uint64_t *ticket)
{
    static const char call[] = "aether_breaker_allow";
    if (breaker == NULL || ticket == NULL)
        return ae_fail(AETHER_INVALID, "%s: %s is NULL", call, breaker == NULL ? "the breaker" : "ticket");
    pthread_mutex_lock(&breaker->lock);
    uint32_t before = breaker->changes;
    int64_t now = now_of(breaker);
    look_at_clock(breaker, now);
    bool allowed = breaker->state == AETHER_BREAKER_CLOSED ||
                   (breaker->state == AETHER_BREAKER_HALF_OPEN && breaker->probes < breaker->options.probes);
    *ticket = (uint64_t)breaker->changes << 32;
    if (allowed && breaker->state == AETHER_BREAKER_HALF_OPEN) {
        *ticket |= breaker->probes;
        breaker->probe_began[breaker->probes++] = now != 0 ? now : 1;
    }
    leave(breaker, before);
    return allowed ? AETHER_OK : ae_fail(AETHER_OPEN_CIRCUIT, "%s: too many calls failed of late", call);
}

static bool is_failure(aether_status status)
{
    switch (status) {
    case AETHER_TIMEOUT:
    case AETHER_SYSTEM:
    case AETHER_FAILED:
    case AETHER_NO_SPACE:
    case AETHER_UNKNOWN_OUTCOME:
        return true;
    default:
        return false;
    }
}

static void count_call(aether_breaker *breaker, bool failed, int64_t now)
{
    const aether_breaker_options *options = &breaker->options;
    if (breaker->calls == options->window)
        breaker->failures -= breaker->failed[breaker->next];
    else
        breaker->calls++;
    breaker->failed[breaker->next] = failed;
    breaker->failures += failed;
    breaker->next = (breaker->next + 1) % options->window;
    if (breaker->calls >= options->least_calls &&
        (uint64_t)breaker->failures * 100 >= (uint64_t)breaker->calls * options->failure_percent)
        change(breaker, AETHER_BREAKER_OPEN, now);
}

static void count_probe(aether_breaker *breaker, uint32_t probe, bool failed, int64_t now)
{
    if (probe >= breaker->probes || breaker->probe_began[probe] == 0)
        return; /* told about before */
    breaker->probe_began[probe] = 0;
    breaker->probes_done++;
    breaker->probes_failed += failed;
    if (breaker->probes_done < breaker->options.probes)
        return;
    bool fails = (uint64_t)breaker->probes_failed * 100 >= (uint64_t)breaker->probes_done * breaker->options.failure_percent;
    change(breaker, fails ? AETHER_BREAKER_OPEN : AETHER_BREAKER_CLOSED, now);
}

void aether_breaker_report(aether_breaker *breaker, uint64_t ticket, aether_status status)
{
    if (breaker == NULL)
        return;
    pthread_mutex_lock(&breaker->lock);
    uint32_t before = breaker->changes;
    int64_t now = now_of(breaker);
    look_at_clock(breaker, now);
    if (ticket >> 32 == breaker->changes) {
        if (breaker->state == AETHER_BREAKER_HALF_OPEN)
            count_probe(breaker, (uint32_t)ticket, is_failure(status), now);
        else
            count_call(breaker, is_failure(status), now);
    }
    leave(breaker, before);
}

aether_breaker_state aether_breaker_get_state(aether_breaker *breaker)
{
    if (breaker == NULL)
        return AETHER_BREAKER_CLOSED;
    pthread_mutex_lock(&breaker->lock);
    uint32_t before = breaker->changes;
    look_at_clock(breaker, now_of(breaker));
    aether_breaker_state state = breaker->state;
    leave(breaker, before);
    return state;
}
