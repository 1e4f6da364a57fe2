/* Domains and the handles on them: made, shut down, given up; commands; names. */
#include "bus/domain.h"

#include "base/clock.h"
#include "base/process.h"
#include "base/random.h"
#include "bus/callback.h"
#include "bus/crew.h"
#include "bus/feed.h"
#include "bus/publish.h"
#include "bus/snapshot.h"
#include "bus/subscription.h"

enum {
    SEGMENT_USUAL = 64 * 1024,
    SHARE_USUAL = 1024,
    TOPICS_USUAL = 65536,
    SEGMENT_LEAST = 1024,
    SEGMENT_MOST = 16 * 1024 * 1024
};

/* ---------------------------------------------------------------------------------------------------------- commands */

static bool run_command(struct ae_request *request)
{
    struct ae_command *command = (struct ae_command *)request;
    struct ae_failure *before = ae_fail_into(&command->failure);
    command->status = command->run(command);
    (void)ae_fail_into(before);
    return true;
}

aether_status ae_domain_ask(struct ae_domain *domain, struct ae_command *command,
                            aether_status (*run)(struct ae_command *command))
{
    command->request.perform = run_command;
    command->domain = domain;
    command->run = run;
    ae_role_perform(&domain->role, &command->request);
    return command->status;
}

aether_status ae_domain_run(struct ae_domain *domain, struct ae_command *command,
                            aether_status (*run)(struct ae_command *command))
{
    aether_status status = ae_domain_ask(domain, command, run);
    return status == AETHER_OK ? AETHER_OK : ae_fail_again(&command->failure);
}

void ae_domain_do(struct ae_domain *domain, struct ae_command *command, aether_status (*run)(struct ae_command *command))
{
    aether_status status = ae_domain_ask(domain, command, run);
    AE_ASSERT(status == AETHER_OK);
}

/* ---------------------------------------------------------------------------------------------------------- lifetimes */

void ae_domain_hold(struct ae_domain *domain)
{
    AE_ADD(B3_HOLD, &domain->references, 1, relaxed); /* B3, relaxed: whoever adds one has one */
}

bool ae_domain_try_hold(struct ae_domain *domain)
{
    uint32_t references = AE_LOAD(B3_LOAD, &domain->references, relaxed); /* B3, relaxed: the exchange decides */
    while (references != 0)
        if (AE_CAS(B3_HOLD, &domain->references, &references, references + 1, relaxed, relaxed)) /* B3, relaxed: as above */
            return true;
    return false;
}

static bool free_space(void *value, void *user)
{
    struct ae_domain *domain = user;
    struct ae_space *space = value;
    if (space->domain != NULL)
        ae_domain_drop(space->domain);
    ae_free(&domain->allocator, space, sizeof *space + space->size + 1, _Alignof(struct ae_space));
    return true;
}

static bool free_refresh(void *value, void *user)
{
    struct ae_domain *domain = user;
    struct ae_refresh *refresh = value;
    ae_free(&domain->allocator, refresh, sizeof *refresh + refresh->size + 1, _Alignof(struct ae_refresh));
    return true;
}

/* Nobody has it: it was shut down with its last handle. */
static void free_domain(struct ae_domain *domain)
{
    AE_ASSERT(domain->first_feed == NULL);
    ae_crew_delist(domain->crew, domain);
    ae_trie_each(&domain->spaces, free_space, domain);
    ae_trie_each(&domain->refreshed, free_refresh, domain);
    ae_handlers_free(domain);
    ae_trie_destroy(&domain->spaces);
    ae_trie_destroy(&domain->refreshed);
    ae_trie_destroy(&domain->handlers);
    ae_trie_destroy(&domain->feeds);
    ae_topics_destroy(&domain->topics);
    ae_matches_destroy(&domain->matches);
    pthread_cond_destroy(&domain->idle);
    pthread_mutex_destroy(&domain->idle_lock);
    ae_crew_drop(domain->crew);
    aether_allocator allocator = domain->allocator;
    ae_free(&allocator, domain, sizeof *domain, _Alignof(struct ae_domain));
}

void ae_domain_drop(struct ae_domain *domain)
{
    if (AE_SUB(B3_DROP, &domain->references, 1, acq_rel) == 1) /* B3: pairs with itself: the last one sees all */
        free_domain(domain);
}

static int64_t or_usual(int64_t value, int64_t usual)
{
    return value == 0 ? usual : value < 0 ? 0 : value;
}

static aether_status complete(aether_bus_options *options, const char *call)
{
    if (options->allocator != NULL && (options->allocator->alloc == NULL || options->allocator->free == NULL))
        return ae_fail(AETHER_INVALID, "%s: the allocator lacks alloc or free", call);
    if (options->segment_bytes == 0)
        options->segment_bytes = SEGMENT_USUAL;
    uint32_t size = options->segment_bytes;
    if (size < SEGMENT_LEAST || size > SEGMENT_MOST || (size & (size - 1)) != 0)
        return ae_fail(AETHER_INVALID, "%s: segment_bytes %u is no power of two from %d to %d", call, size, SEGMENT_LEAST,
                       SEGMENT_MOST);
    if (options->share_bytes == 0)
        options->share_bytes = SHARE_USUAL;
    if (options->share_bytes < AETHER_REFERENCE_LEAST)
        return ae_fail(AETHER_INVALID, "%s: share_bytes %u is below %zu", call, options->share_bytes,
                       AETHER_REFERENCE_LEAST);
    if (options->topics == 0)
        options->topics = TOPICS_USUAL;
    if (options->epoch == 0)
        options->epoch = ae_random_nonzero();
    return AETHER_OK;
}

static void configure(struct ae_domain *domain, const aether_bus_options *options, struct ae_crew *crew)
{
    domain->allocator = options->allocator != NULL ? *options->allocator : ae_default_allocator;
    domain->fork_generation = ae_fork_generation;
    domain->segment_bytes = options->segment_bytes;
    domain->share_bytes = options->share_bytes;
    domain->spins = options->spins;
    domain->publish_wait_ns = or_usual(options->publish_wait_ns, AETHER_FOREVER);
    domain->linger_ns = or_usual(options->linger_ns, AETHER_SECONDS(1));
    domain->is_disabled = options->disabled;
    domain->epoch = options->epoch;
    domain->newest = options->newest_index;
    domain->crew = crew;
    domain->references = 1;
    ae_role_init(&domain->role);
    ae_trie_init(&domain->feeds, &domain->allocator);
    ae_trie_init(&domain->handlers, &domain->allocator);
    ae_trie_init(&domain->spaces, &domain->allocator);
    ae_trie_init(&domain->refreshed, &domain->allocator);
    ae_topics_init(&domain->topics, &domain->allocator, options->topics);
    ae_matches_init(&domain->matches, &domain->allocator);
    pthread_mutex_init(&domain->idle_lock, NULL);
    pthread_cond_init(&domain->idle, NULL);
    ae_crew_enlist(crew, domain);
}

/* `crew` NULL: one of its own. */
static struct ae_domain *make_domain(const aether_bus_options *options, struct ae_crew *crew, const char *call)
{
    const aether_allocator *allocator = options->allocator != NULL ? options->allocator : &ae_default_allocator;
    struct ae_domain *domain = ae_alloc(allocator, sizeof *domain, _Alignof(struct ae_domain));
    if (crew != NULL)
        ae_crew_hold(crew);
    else if (domain != NULL)
        crew = ae_crew_make(allocator);
    if (domain == NULL || crew == NULL) {
        if (crew != NULL)
            ae_crew_drop(crew);
        if (domain != NULL)
            ae_free(allocator, domain, sizeof *domain, _Alignof(struct ae_domain));
        (void)ae_fail(AETHER_NO_MEMORY, "%s: no memory for a bus", call);
        return NULL;
    }
    memset(domain, 0, sizeof *domain);
    configure(domain, options, crew);
    return domain;
}

/* ------------------------------------------------------------------------------------------------------------ handles */

static size_t bytes_of(const aether_bus *bus)
{
    return sizeof *bus + bus->prefix_size + 1U;
}

/* Takes the reference over, on success. */
static aether_bus *make_handle(struct ae_domain *domain, enum ae_bus_kind kind, aether_text prefix, const char *call)
{
    aether_bus *bus = ae_alloc(&domain->allocator, sizeof *bus + prefix.size + 1, _Alignof(aether_bus));
    if (bus == NULL) {
        (void)ae_fail(AETHER_NO_MEMORY, "%s: no memory for a handle", call);
        return NULL;
    }
    *bus =
        (aether_bus){.domain = domain, .generation = ae_fork_generation, .kind = kind, .prefix_size = (uint16_t)prefix.size};
    if (prefix.data != NULL)
        memcpy(bus->prefix, prefix.data, prefix.size);
    bus->prefix[prefix.size] = '\0';
    return bus;
}

aether_status ae_bus_refuse(const aether_bus *bus, const char *call)
{
    if (bus == NULL)
        return ae_fail(AETHER_INVALID, "%s: the bus is NULL", call);
    if (bus->generation != ae_fork_generation)
        return ae_fail(AETHER_FORKED, "%s: the bus was made before fork()", call);
    return AETHER_OK;
}

aether_status ae_domain_refuse(const struct ae_domain *domain, const char *call)
{
    return domain->is_shut_down ? ae_fail(AETHER_SHUT_DOWN, "%s: the bus is shut down", call) : AETHER_OK;
}

aether_bus *ae_bus_copy(const aether_bus *bus, const char *call)
{
    aether_bus *copy = make_handle(bus->domain, AE_BUS_NAMESPACE, (aether_text){bus->prefix, bus->prefix_size}, call);
    if (copy != NULL)
        ae_domain_hold(copy->domain);
    return copy;
}

static void take_options(aether_bus_options *options, const aether_bus_options *given, size_t size)
{
    *options = (aether_bus_options){0};
    if (given != NULL)
        memcpy(options, given, size < sizeof *options ? size : sizeof *options);
}

aether_bus *aether_bus_create_sized(const aether_bus_options *given, size_t size)
{
    static const char call[] = "aether_bus_create";
    aether_bus_options options;
    take_options(&options, given, size);
    if (ae_process_prepare() != AETHER_OK || complete(&options, call) != AETHER_OK)
        return NULL;
    struct ae_domain *domain = make_domain(&options, NULL, call);
    aether_bus *bus = domain != NULL ? make_handle(domain, AE_BUS_ROOT, (aether_text){NULL, 0}, call) : NULL;
    if (bus == NULL && domain != NULL)
        ae_domain_drop(domain);
    return bus;
}

/* ---------------------------------------------------------------------------------------------------------- namespaces */

struct space_command {
    struct ae_command command;
    struct ae_subject pattern; /* "name.>" */
    struct ae_domain *domain;  /* to be put there; NULL: part of this one */
    const char *call;
    struct ae_domain *found; /* with a reference */
};

static struct ae_space *make_space(struct ae_domain *domain, const struct ae_subject *pattern)
{
    size_t size = pattern->text.size;
    struct ae_space *space = ae_alloc(&domain->allocator, sizeof *space + size + 1, _Alignof(struct ae_space));
    if (space == NULL)
        return NULL;
    *space = (struct ae_space){.size = (uint16_t)size};
    memcpy(space->name, pattern->text.data, size);
    space->name[size] = '\0';
    return space;
}

static aether_status add_space(struct space_command *space)
{
    struct ae_domain *domain = space->command.domain;
    struct ae_space *made = make_space(domain, &space->pattern);
    void **value = made != NULL ? ae_trie_insert(&domain->spaces, &space->pattern) : NULL;
    if (value == NULL) {
        if (made != NULL)
            ae_free(&domain->allocator, made, sizeof *made + made->size + 1, _Alignof(struct ae_space));
        return ae_fail(AETHER_NO_MEMORY, "%s: no memory for a namespace", space->call);
    }
    *value = made;
    made->domain = space->domain;
    if (made->domain != NULL) {
        ae_domain_hold(made->domain);
        domain->counters.domains++;
        domain->generation++;
    }
    return AETHER_OK;
}

static aether_status run_space(struct ae_command *command)
{
    struct space_command *space = (struct space_command *)command;
    struct ae_domain *domain = command->domain;
    aether_status status = ae_domain_refuse(domain, space->call);
    if (status != AETHER_OK)
        return status;
    const struct ae_space *there = ae_trie_find(&domain->spaces, &space->pattern);
    if (there != NULL && (there->domain == NULL) != (space->domain == NULL))
        return ae_fail(AETHER_EXISTS, "%s: the namespace %.*s is %s", space->call, (int)there->size - 2, there->name,
                       there->domain != NULL ? "a domain of its own" : "part of the bus's order");
    if (there == NULL)
        status = add_space(space);
    space->found = there == NULL ? space->domain : there->domain;
    if (status == AETHER_OK && space->found != NULL)
        ae_domain_hold(space->found);
    return status;
}

/* "name.>", of a name that is one token. */
static aether_status parse_space(struct ae_subject *pattern, char memory[static AETHER_SUBJECT_MAX + 3], const char *name,
                                 const char *call)
{
    if (name == NULL)
        return ae_fail(AETHER_INVALID, "%s: the name is NULL", call);
    aether_status status = ae_subject_parse(pattern, name, strlen(name), call);
    if (status != AETHER_OK)
        return status;
    if (pattern->tokens != 1 || pattern->text.size > AETHER_SUBJECT_MAX / 2)
        return ae_fail(AETHER_INVALID, "%s: \"%.40s\" is not one token of at most %d bytes", call, name,
                       AETHER_SUBJECT_MAX / 2);
    size_t size = pattern->text.size;
    memcpy(memory, name, size);
    memcpy(memory + size, ".>", 3);
    bool wild;
    return ae_pattern_parse(pattern, memory, size + 2, &wild, call);
}

static aether_status refuse_nesting(const aether_bus *bus, const char *call)
{
    aether_status status = ae_bus_refuse(bus, call);
    if (status == AETHER_OK && bus->kind != AE_BUS_ROOT)
        return ae_fail(AETHER_INVALID, "%s: the handle is that of the namespace %.*s, and namespaces do not nest", call,
                       bus->prefix_size - 1, bus->prefix);
    return status;
}

/* `own` NULL: part of the bus's order; its reference stays the caller's. */
static aether_bus *open_space(aether_bus *bus, const struct ae_subject *pattern, struct ae_domain *own, const char *call)
{
    struct space_command space = {.pattern = *pattern, .domain = own, .call = call};
    if (ae_domain_run(bus->domain, &space.command, run_space) != AETHER_OK)
        return NULL;
    struct ae_domain *domain = own != NULL ? space.found : bus->domain;
    if (own == NULL)
        ae_domain_hold(domain);
    aether_text prefix = {pattern->text.data, pattern->text.size - 1};
    aether_bus *handle = make_handle(domain, own != NULL ? AE_BUS_DOMAIN : AE_BUS_NAMESPACE, prefix, call);
    if (handle == NULL)
        ae_domain_drop(domain);
    return handle;
}

aether_bus *aether_bus_namespace(aether_bus *bus, const char *name)
{
    static const char call[] = "aether_bus_namespace";
    char memory[AETHER_SUBJECT_MAX + 3];
    struct ae_subject pattern = {.tokens = 0};
    if (refuse_nesting(bus, call) != AETHER_OK || parse_space(&pattern, memory, name, call) != AETHER_OK)
        return NULL;
    return open_space(bus, &pattern, NULL, call);
}

aether_bus *aether_bus_domain_sized(aether_bus *bus, const char *name, const aether_bus_options *given, size_t size)
{
    static const char call[] = "aether_bus_domain";
    char memory[AETHER_SUBJECT_MAX + 3];
    struct ae_subject pattern = {.tokens = 0};
    aether_bus_options options;
    take_options(&options, given, size);
    if (refuse_nesting(bus, call) != AETHER_OK || parse_space(&pattern, memory, name, call) != AETHER_OK ||
        complete(&options, call) != AETHER_OK)
        return NULL;
    if (options.allocator == NULL)
        options.allocator = &bus->domain->allocator;
    struct ae_domain *own = make_domain(&options, bus->domain->crew, call);
    if (own == NULL)
        return NULL;
    aether_bus *handle = open_space(bus, &pattern, own, call);
    ae_domain_drop(own);
    return handle;
}

bool ae_domain_is_foreign(struct ae_domain *domain, const struct ae_subject *subject, bool *no_memory)
{
    if (domain->counters.domains == 0)
        return false;
    if (!ae_trie_match(&domain->spaces, subject, &domain->matches)) {
        *no_memory = true;
        return false;
    }
    bool foreign = false;
    for (size_t i = 0; i < domain->matches.count; i++)
        foreign |= ((const struct ae_space *)domain->matches.values[i])->domain != NULL;
    return foreign;
}

/* ---------------------------------------------------------------------------------------------------------------- names */

static aether_status prefixed(struct ae_full_name *name, const aether_bus *bus, const char *text, size_t *size,
                              const char *call)
{
    if (bus->prefix_size + *size > AETHER_SUBJECT_MAX)
        return ae_fail(AETHER_INVALID, "%s: with its namespace the name has %zu bytes, over the limit of %d", call,
                       bus->prefix_size + *size, AETHER_SUBJECT_MAX);
    memcpy(name->own, bus->prefix, bus->prefix_size);
    memcpy(name->own + bus->prefix_size, text, *size);
    *size += bus->prefix_size;
    name->own[*size] = '\0';
    return AETHER_OK;
}

aether_status ae_full_subject(struct ae_full_name *name, const aether_bus *bus, const char *text, size_t size,
                              const char *call)
{
    if (text == NULL)
        return ae_fail(AETHER_INVALID, "%s: the subject is NULL", call);
    aether_status status = ae_subject_parse(&name->subject, text, size, call);
    if (status != AETHER_OK || bus->prefix_size == 0)
        return status;
    status = prefixed(name, bus, text, &size, call);
    return status == AETHER_OK ? ae_subject_parse(&name->subject, name->own, size, call) : status;
}

aether_status ae_full_pattern(struct ae_full_name *name, const aether_bus *bus, const char *text, const char *call)
{
    if (text == NULL)
        return ae_fail(AETHER_INVALID, "%s: the pattern is NULL", call);
    size_t size = strlen(text);
    aether_status status = ae_pattern_parse(&name->subject, text, size, &name->wild, call);
    if (status != AETHER_OK || bus->prefix_size == 0)
        return status;
    status = prefixed(name, bus, text, &size, call);
    return status == AETHER_OK ? ae_pattern_parse(&name->subject, name->own, size, &name->wild, call) : status;
}

/* --------------------------------------------------------------------------------------------------------------- epochs */

aether_position ae_domain_newest(const struct ae_domain *domain)
{
    for (;;) {
        uint64_t history = AE_LOAD(B1_LOAD, &domain->history, acquire); /* B1: pairs with the stores in change_history() */
        uint64_t epoch = AE_LOAD(B1_LOAD, &domain->epoch, acquire);     /* B1: before the look again */
        uint64_t newest = AE_LOAD(B1_LOAD, &domain->newest, acquire);   /* B1: pairs with B1_NEWEST */
        if ((history & 1) == 0 && AE_LOAD(B1_LOAD, &domain->history, relaxed) == history) /* B1, relaxed: behind those */
            return (aether_position){epoch, newest};
    }
}

aether_position aether_bus_newest(const aether_bus *bus)
{
    if (ae_bus_refuse(bus, "aether_bus_newest") != AETHER_OK)
        return (aether_position){0, 0};
    return ae_domain_newest(bus->domain);
}

/* B1: pairs with the loads in ae_domain_newest(): a release on each store keeps it behind the odd one. */
static void change_history(struct ae_domain *domain, uint64_t epoch, uint64_t newest)
{
    uint64_t history = AE_LOAD(B1_LOAD, &domain->history, relaxed); /* B1, relaxed: the role's own */
    AE_STORE(B1_HISTORY, &domain->history, history + 1, relaxed);   /* B1, relaxed: carried by the two below */
    AE_STORE(B1_HISTORY, &domain->epoch, epoch, release);           /* B1 */
    AE_STORE(B1_NEWEST, &domain->newest, newest, release);          /* B1 */
    AE_STORE(B1_HISTORY, &domain->history, history + 2, release);   /* B1 */
}

struct reset_command {
    struct ae_command command;
    uint64_t epoch, newest;
};

/* All feeds are prepared to be renewed, or none is. */
static bool prepare_renewals(struct ae_domain *domain, uint64_t epoch, uint64_t newest)
{
    for (struct ae_feed *feed = domain->first_feed; feed != NULL; feed = feed->next_feed) {
        if (ae_feed_prepare_renewal(feed, epoch, newest))
            continue;
        for (struct ae_feed *made = domain->first_feed; made != feed; made = made->next_feed)
            ae_feed_give_up_renewal(made);
        return false;
    }
    return true;
}

/* Ends all feeds, and the subscriptions that follow them. */
static void end_all(struct ae_domain *domain, aether_status reason)
{
    for (struct ae_feed *feed = domain->first_feed, *next; feed != NULL; feed = next) {
        next = feed->next_feed;
        ae_feed_hold(feed);
        ae_feed_close_all(feed, (aether_text){NULL, 0}, reason);
        if (!feed->is_retired)
            ae_feed_renew(feed, reason);
        ae_feed_drop(feed);
    }
}

static void forget_refreshes(struct ae_domain *domain)
{
    ae_trie_each(&domain->refreshed, free_refresh, domain);
    ae_trie_destroy(&domain->refreshed);
    ae_trie_init(&domain->refreshed, &domain->allocator);
}

static aether_status run_reset(struct ae_command *command)
{
    static const char call[] = "aether_bus_reset";
    struct reset_command *reset = (struct reset_command *)command;
    struct ae_domain *domain = command->domain;
    aether_status status = ae_domain_refuse(domain, call);
    if (status != AETHER_OK)
        return status;
    if (reset->epoch == ae_domain_epoch(domain))
        return ae_fail(AETHER_INVALID, "%s: the epoch %llx is the current one", call, (unsigned long long)reset->epoch);
    if (!prepare_renewals(domain, reset->epoch, reset->newest))
        return ae_fail(AETHER_NO_MEMORY, "%s: no memory for new feeds of what is retained", call);
    change_history(domain, reset->epoch, reset->newest);
    end_all(domain, AETHER_RESET);
    forget_refreshes(domain);
    domain->counters.resets++;
    return AETHER_OK;
}

aether_status aether_bus_reset(aether_bus *bus, const aether_position *to)
{
    aether_status status = ae_bus_refuse(bus, "aether_bus_reset");
    if (status != AETHER_OK)
        return status;
    struct reset_command reset = {.epoch = to != NULL ? to->epoch : 0, .newest = to != NULL ? to->index : 0};
    if (reset.epoch == 0)
        reset.epoch = ae_random_nonzero();
    return ae_domain_run(bus->domain, &reset.command, run_reset);
}

struct refresh_command {
    struct ae_command command;
    const struct ae_subject *pattern;
};

/* The record of this refresh, with its index still to be set. NULL: no memory. */
static struct ae_refresh *record_refresh(struct ae_domain *domain, const struct ae_subject *pattern)
{
    struct ae_refresh *refresh = ae_trie_find(&domain->refreshed, pattern);
    if (refresh != NULL)
        return refresh;
    size_t size = pattern->text.size;
    refresh = ae_alloc(&domain->allocator, sizeof *refresh + size + 1, _Alignof(struct ae_refresh));
    if (refresh == NULL)
        return NULL;
    *refresh = (struct ae_refresh){.size = (uint16_t)size};
    void **value = ae_trie_insert(&domain->refreshed, pattern);
    if (value != NULL)
        *value = refresh;
    else
        (void)free_refresh(refresh, domain);
    return value != NULL ? refresh : NULL;
}

static aether_status run_refresh(struct ae_command *command)
{
    static const char call[] = "aether_bus_refresh";
    struct refresh_command *refresh = (struct refresh_command *)command;
    struct ae_domain *domain = command->domain;
    aether_text pattern = refresh->pattern->text;
    aether_status status = ae_domain_refuse(domain, call);
    if (status != AETHER_OK)
        return status;
    struct ae_refresh *record = record_refresh(domain, refresh->pattern);
    if (record == NULL)
        return ae_fail(AETHER_NO_MEMORY, "%s: no memory to remember it", call);
    record->index = ae_domain_index(domain);
    for (struct ae_feed *feed = domain->first_feed, *next; feed != NULL; feed = next) {
        next = feed->next_feed;
        if (!ae_pattern_overlaps(pattern, ae_feed_pattern(feed)))
            continue;
        ae_feed_hold(feed);
        ae_snapshot_cancel(feed, AETHER_RESET);
        ae_feed_close_all(feed, pattern, AETHER_RESET);
        ae_feed_drop(feed);
    }
    return AETHER_OK;
}

aether_status aether_bus_refresh(aether_bus *bus, const char *pattern)
{
    static const char call[] = "aether_bus_refresh";
    struct ae_full_name name;
    aether_status status = ae_bus_refuse(bus, call);
    if (status == AETHER_OK)
        status = ae_full_pattern(&name, bus, pattern, call);
    if (status != AETHER_OK)
        return status;
    struct refresh_command refresh = {.pattern = &name.subject};
    struct ae_domain *domain = bus->domain;
    bool has_keeper = ae_domain_need_keeper(domain);
    status = ae_domain_run(domain, &refresh.command, run_refresh);
    if (has_keeper)
        ae_domain_expect_lingering(domain);
    return status;
}

/* ----------------------------------------------------------------------------------------------------------- shutting down
 */

static aether_status run_shutdown(struct ae_command *command)
{
    struct ae_domain *domain = command->domain;
    if (domain->is_shut_down)
        return AETHER_OK;
    domain->is_shut_down = true;
    for (struct ae_feed *feed = domain->first_feed; feed != NULL; feed = feed->next_feed)
        feed->renewed = NULL;
    end_all(domain, AETHER_SHUT_DOWN);
    return AETHER_OK;
}

static bool shut_space_down(void *value, void *user)
{
    (void)user;
    const struct ae_space *space = value;
    struct ae_command command;
    if (space->domain != NULL)
        ae_domain_do(space->domain, &command, run_shutdown);
    return true;
}

aether_status aether_bus_shutdown(aether_bus *bus)
{
    aether_status status = ae_bus_refuse(bus, "aether_bus_shutdown");
    if (status != AETHER_OK)
        return status;
    struct ae_command command;
    ae_domain_do(bus->domain, &command, run_shutdown);
    if (bus->kind == AE_BUS_ROOT)
        ae_trie_each(&bus->domain->spaces, shut_space_down, NULL); /* nobody adds one to a bus that is shut down */
    return AETHER_OK;
}

void ae_domain_await_idle(struct ae_domain *domain, struct ae_command *command,
                          aether_status (*is_idle)(struct ae_command *command))
{
    pthread_mutex_lock(&domain->idle_lock);
    while (ae_domain_ask(domain, command, is_idle) != AETHER_OK)
        pthread_cond_wait(&domain->idle, &domain->idle_lock);
    pthread_mutex_unlock(&domain->idle_lock);
}

void ae_domain_tell_idle(struct ae_domain *domain)
{
    pthread_mutex_lock(&domain->idle_lock);
    pthread_cond_broadcast(&domain->idle);
    pthread_mutex_unlock(&domain->idle_lock);
}

static aether_status is_idle(struct ae_command *command)
{
    return command->domain->makers == 0 ? AETHER_OK : AETHER_BUSY;
}

static bool await_space(void *value, void *user)
{
    (void)user;
    const struct ae_space *space = value;
    struct ae_command command;
    if (space->domain != NULL)
        ae_domain_await_idle(space->domain, &command, is_idle);
    return true;
}

void aether_bus_destroy(aether_bus *bus)
{
    if (bus == NULL || bus->generation != ae_fork_generation)
        return;
    struct ae_domain *domain = bus->domain;
    if (bus->kind == AE_BUS_ROOT) {
        aether_status status = aether_bus_shutdown(bus);
        AE_ASSERT(status == AETHER_OK);
        struct ae_command command;
        ae_domain_await_idle(domain, &command, is_idle);
        ae_trie_each(&domain->spaces, await_space, NULL);
        ae_crew_stop(domain->crew);
    }
    aether_allocator allocator = domain->allocator;
    ae_free(&allocator, bus, bytes_of(bus), _Alignof(aether_bus));
    ae_domain_drop(domain);
}

/* ---------------------------------------------------------------------------------------------------------- housekeeping */

struct sweep_command {
    struct ae_command command;
    int64_t now, due;
    uint32_t stuck;
};

static aether_status run_sweep(struct ae_command *command)
{
    struct sweep_command *sweep = (struct sweep_command *)command;
    int64_t snapshots = ae_snapshots_sweep(command->domain, sweep->now, &sweep->stuck);
    int64_t feeds = ae_feeds_sweep(command->domain, sweep->now); /* behind it: what has nobody left lingers */
    sweep->due = feeds < snapshots ? feeds : snapshots;
    return AETHER_OK;
}

int64_t ae_domain_sweep(struct ae_domain *domain, int64_t now)
{
    struct sweep_command sweep = {.now = now};
    ae_domain_do(domain, &sweep.command, run_sweep);
    for (; sweep.stuck > 0; sweep.stuck--)
        ae_crew_one_is_stuck(domain->crew);
    return sweep.due;
}

/*
 * When feeds may linger, there has to be a keeper. Where there can be none, they stay until somebody follows them again or
 * the bus goes.
 */
bool ae_domain_need_keeper(struct ae_domain *domain)
{
    struct ae_failure ignored, *before = ae_fail_into(&ignored);
    bool is_there = domain->linger_ns != 0 && ae_crew_need_keeper(domain->crew, "aether_unsubscribe") == AETHER_OK;
    (void)ae_fail_into(before);
    return is_there;
}

void ae_domain_expect_lingering(struct ae_domain *domain)
{
    ae_crew_expect(domain->crew, ae_deadline(domain->linger_ns));
}
