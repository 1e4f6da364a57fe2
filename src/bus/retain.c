/* Retention: patterns whose feeds stay, with what was published. */
#include "bus/feed.h"

struct retain_command {
    struct ae_command command;
    const struct ae_subject *pattern;
    aether_retention retention;
};

static aether_status run_retain(struct ae_command *command)
{
    static const char call[] = "aether_bus_retain";
    struct retain_command *retain = (struct retain_command *)command;
    aether_status status = ae_domain_refuse(command->domain, call);
    if (status == AETHER_OK && command->domain->is_disabled)
        status = ae_fail(AETHER_DISABLED, "%s: the bus was created to do nothing", call);
    if (status != AETHER_OK)
        return status;
    struct ae_feed *feed = ae_feed_get(command->domain, retain->pattern);
    if (feed == NULL)
        return ae_fail(AETHER_NO_MEMORY, "%s: no memory for a feed", call);
    ae_feed_retain(feed, &retain->retention);
    return AETHER_OK;
}

aether_status aether_bus_retain_sized(aether_bus *bus, const char *pattern, const aether_retention *retention, size_t size)
{
    static const char call[] = "aether_bus_retain";
    struct ae_full_name name;
    aether_status status = ae_bus_refuse(bus, call);
    if (status == AETHER_OK)
        status = ae_full_pattern(&name, bus, pattern, call);
    if (status != AETHER_OK)
        return status;
    struct retain_command retain = {.pattern = &name.subject};
    if (retention != NULL)
        memcpy(&retain.retention, retention, size < sizeof *retention ? size : sizeof *retention);
    if (retain.retention.ns < 0)
        return ae_fail(AETHER_INVALID, "%s: ns is %lld", call, (long long)retain.retention.ns);
    return ae_domain_run(bus->domain, &retain.command, run_retain);
}

static aether_status run_release(struct ae_command *command)
{
    static const char call[] = "aether_bus_release";
    const struct ae_subject *pattern = ((struct retain_command *)command)->pattern;
    aether_status status = ae_domain_refuse(command->domain, call);
    if (status != AETHER_OK)
        return status;
    struct ae_feed *feed = ae_feed_find(command->domain, pattern);
    if (feed == NULL || !feed->is_retained)
        return ae_fail(AETHER_INVALID, "%s: the pattern %.*s is not retained", call, (int)pattern->text.size,
                       pattern->text.data);
    ae_feed_release(feed);
    return AETHER_OK;
}

aether_status aether_bus_release(aether_bus *bus, const char *pattern)
{
    static const char call[] = "aether_bus_release";
    struct ae_full_name name;
    aether_status status = ae_bus_refuse(bus, call);
    if (status == AETHER_OK)
        status = ae_full_pattern(&name, bus, pattern, call);
    if (status != AETHER_OK)
        return status;
    struct retain_command release = {.pattern = &name.subject};
    bool has_keeper = ae_domain_need_keeper(bus->domain);
    status = ae_domain_run(bus->domain, &release.command, run_release);
    if (has_keeper)
        ae_domain_expect_lingering(bus->domain);
    return status;
}
