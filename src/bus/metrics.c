/* Figures: of a bus, of its patterns, and all of them as text for Prometheus. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus/feed.h"
#include "bus/subscription.h"

/* ---------------------------------------------------------------------------------------------------------------- a bus */

struct stats_command {
    struct ae_command command;
    aether_bus_stats stats;
};

static void add_counters(const struct ae_domain *domain, aether_bus_stats *stats)
{
    const struct ae_counters *counters = &domain->counters;
    stats->published = counters->published;
    stats->batches = counters->batches;
    stats->unmatched = counters->unmatched;
    stats->appended = counters->appended;
    stats->shared = counters->shared;
    stats->refused = counters->refused;
    stats->waits = counters->waits;
    stats->topics = domain->topics.count;
    stats->feeds = counters->feeds;
    stats->subscriptions = counters->subscriptions;
    stats->opened = counters->opened;
    stats->closed = counters->closed;
    stats->resumed = counters->resumed;
    stats->lagged = counters->lagged;
    stats->snapshots_made = counters->snapshots_made;
    stats->snapshots_failed = counters->snapshots_failed;
    stats->snapshots_shared = counters->snapshots_shared;
    stats->snapshot_events = counters->snapshot_events;
    stats->resets = counters->resets;
    stats->domains = counters->domains;
    stats->combined = AE_LOAD(P5_COUNT, &domain->role.combined, relaxed); /* P5 */
}

static aether_buffer_stats buffer_stats(const struct ae_feed *feed)
{
    aether_buffer_stats stats = {0};
    aether_status status = aether_buffer_get_stats(feed->buffer, &stats);
    AE_ASSERT(status == AETHER_OK);
    return stats;
}

static aether_status run_stats(struct ae_command *command)
{
    const struct ae_domain *domain = command->domain;
    aether_bus_stats *stats = &((struct stats_command *)command)->stats;
    add_counters(domain, stats);
    stats->newest = (aether_position){ae_domain_epoch(domain), ae_domain_index(domain)};
    for (const struct ae_feed *feed = domain->first_feed; feed != NULL; feed = feed->next_feed) {
        aether_buffer_stats buffer = buffer_stats(feed);
        stats->feed_bytes += buffer.in_use_bytes + buffer.cached_bytes;
    }
    return AETHER_OK;
}

aether_status aether_bus_get_stats_sized(aether_bus *bus, aether_bus_stats *stats, size_t size)
{
    static const char call[] = "aether_bus_get_stats";
    aether_status status = ae_bus_refuse(bus, call);
    if (status != AETHER_OK)
        return status;
    if (stats == NULL)
        return ae_fail(AETHER_INVALID, "%s: stats is NULL", call);
    struct stats_command command = {.stats.published = 0};
    ae_domain_do(bus->domain, &command.command, run_stats);
    memset(stats, 0, size);
    memcpy(stats, &command.stats, size < sizeof command.stats ? size : sizeof command.stats);
    return AETHER_OK;
}

/* -------------------------------------------------------------------------------------------------------- its patterns */

/* Copies of what feeds say; the texts of their patterns stand in the block behind all rows. */
struct rows_command {
    struct ae_command command;
    const aether_bus *bus;
    aether_pattern_stats *rows;
    size_t capacity, count;           /* `count` and `text_bytes` go on where there is no room */
    size_t text_capacity, text_bytes; /* of all patterns, with a NUL each */
};

static size_t bytes_of(const struct rows_command *rows)
{
    return rows->capacity * sizeof *rows->rows + rows->text_capacity;
}

static void fill_row(aether_pattern_stats *row, const struct ae_feed *feed, char *text, size_t prefix_size)
{
    aether_buffer_stats buffer = buffer_stats(feed);
    size_t size = feed->size - prefix_size;
    memcpy(text, feed->pattern + prefix_size, size + 1);
    *row = (aether_pattern_stats){.pattern = {text, size},
                                  .events = buffer.events,
                                  .items = buffer.items,
                                  .bytes = buffer.bytes,
                                  .subscriptions = feed->followers,
                                  .in_use_bytes = buffer.in_use_bytes,
                                  .retained_events = buffer.retained_events,
                                  .retained = feed->is_retained,
                                  .slowest_items = buffer.slowest_items,
                                  .slowest_bytes = buffer.slowest_bytes};
    memcpy(row->slowest_label, buffer.slowest_label, sizeof row->slowest_label);
}

static aether_status run_rows(struct ae_command *command)
{
    struct rows_command *rows = (struct rows_command *)command;
    const aether_bus *bus = rows->bus;
    char *texts = rows->rows != NULL ? (char *)(rows->rows + rows->capacity) : NULL;
    rows->count = rows->text_bytes = 0;
    for (const struct ae_feed *feed = command->domain->first_feed; feed != NULL; feed = feed->next_feed) {
        if (feed->size <= bus->prefix_size || memcmp(feed->pattern, bus->prefix, bus->prefix_size) != 0)
            continue;
        size_t at = rows->text_bytes;
        rows->text_bytes += feed->size - bus->prefix_size + 1U;
        if (texts != NULL && rows->count < rows->capacity && rows->text_bytes <= rows->text_capacity)
            fill_row(&rows->rows[rows->count], feed, texts + at, bus->prefix_size);
        rows->count++;
    }
    return AETHER_OK;
}

static void free_rows(const struct rows_command *rows)
{
    if (rows->rows != NULL)
        ae_free(&rows->bus->domain->allocator, rows->rows, bytes_of(rows), _Alignof(aether_pattern_stats));
}

/* All patterns of one moment: asks how many there are, makes room for some more, and asks again until they fit. */
static aether_status collect_rows(struct rows_command *rows, const aether_bus *bus, const char *call)
{
    *rows = (struct rows_command){.bus = bus};
    for (;;) {
        ae_domain_do(bus->domain, &rows->command, run_rows);
        if (rows->count <= rows->capacity && rows->text_bytes <= rows->text_capacity)
            return AETHER_OK;
        free_rows(rows);
        rows->capacity = rows->count + rows->count / 8 + 8;
        rows->text_capacity = rows->text_bytes + rows->text_bytes / 8 + 512;
        rows->rows = ae_alloc(&bus->domain->allocator, bytes_of(rows), _Alignof(aether_pattern_stats));
        if (rows->rows == NULL)
            return ae_fail(AETHER_NO_MEMORY, "%s: no memory for the figures of %zu patterns", call, rows->count);
    }
}

aether_status aether_bus_each_pattern(aether_bus *bus, bool (*each)(const aether_pattern_stats *stats, void *user),
                                      void *user)
{
    static const char call[] = "aether_bus_each_pattern";
    aether_status status = ae_bus_refuse(bus, call);
    if (status != AETHER_OK)
        return status;
    if (each == NULL)
        return ae_fail(AETHER_INVALID, "%s: each is NULL", call);
    struct rows_command rows;
    status = collect_rows(&rows, bus, call);
    if (status != AETHER_OK)
        return status;
    for (size_t i = 0; i < rows.count; i++)
        if (!each(&rows.rows[i], user))
            break;
    free_rows(&rows);
    return AETHER_OK;
}

/* ---------------------------------------------------------------------------------------------------------- Prometheus */

struct writer {
    bool (*write)(const char *text, size_t size, void *user);
    void *user;
    bool goes_on;
};

static void put(struct writer *writer, const char *text, size_t size)
{
    writer->goes_on = writer->goes_on && (size == 0 || writer->write(text, size, writer->user));
}

static __attribute__((format(printf, 2, 3))) void put_line(struct writer *writer, const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    AE_ASSERT(size >= 0 && (size_t)size < sizeof line);
    put(writer, line, (size_t)size);
}

struct metric {
    const char *name, *type, *help;
    size_t offset;
};

#define COUNTER(field, help)                                                                                                \
    {                                                                                                                       \
        "aether_bus_" #field "_total", "counter", help, offsetof(aether_bus_stats, field)                                   \
    }
#define GAUGE(field, help)                                                                                                  \
    {                                                                                                                       \
        "aether_bus_" #field, "gauge", help, offsetof(aether_bus_stats, field)                                              \
    }

static const struct metric bus_metrics[] = {
    COUNTER(published, "Events published."),
    COUNTER(batches, "Calls that published them."),
    COUNTER(unmatched, "Events that no feed matched."),
    COUNTER(appended, "Events, once for each feed that they stand in."),
    COUNTER(shared, "Events that stand in several feeds as one block."),
    COUNTER(refused, "Publishes that failed."),
    COUNTER(waits, "Publishes that waited for a subscription."),
    GAUGE(topics, "Subjects that are known."),
    GAUGE(feeds, "Patterns that are followed, retained or lingering."),
    GAUGE(subscriptions, "Open subscriptions."),
    COUNTER(opened, "Subscriptions opened."),
    COUNTER(closed, "Subscriptions closed by others."),
    COUNTER(resumed, "Subscriptions that went on at a position."),
    COUNTER(lagged, "Events missed by subscriptions that are closed."),
    COUNTER(snapshots_made, "Snapshots made."),
    COUNTER(snapshots_failed, "Snapshots that failed."),
    COUNTER(snapshots_shared, "Watchers served by a snapshot that was there."),
    COUNTER(snapshot_events, "Events in snapshots."),
    COUNTER(resets, "Resets."),
    GAUGE(feed_bytes, "Memory of the feeds' segments."),
    GAUGE(domains, "Namespaces that are orders of their own."),
    COUNTER(combined, "Publishes and commands that another thread carried out."),
};

static void put_head(struct writer *writer, const char *name, const char *type, const char *help)
{
    put_line(writer, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_bus(struct writer *writer, const aether_bus_stats *stats)
{
    for (size_t i = 0; i < sizeof bus_metrics / sizeof *bus_metrics; i++) {
        const struct metric *metric = &bus_metrics[i];
        uint64_t value;
        memcpy(&value, (const char *)stats + metric->offset, sizeof value);
        put_head(writer, metric->name, metric->type, metric->help);
        put_line(writer, "%s %" PRIu64 "\n", metric->name, value);
    }
    put_head(writer, "aether_bus_newest_index", "gauge", "Index of the newest event.");
    put_line(writer, "aether_bus_newest_index %" PRIu64 "\n", stats->newest.index);
}

/* A label's value: backslash, quote and line feed are escaped; bytes that are no UTF-8 are the scraper's to refuse. */
static void put_label(struct writer *writer, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\\' || text[i] == '"')
            put(writer, "\\", 1);
        put(writer, text[i] == '\n' ? "\\n" : &text[i], text[i] == '\n' ? 2 : 1);
    }
}

struct column {
    const char *name, *type, *help;
    size_t offset;
};

#define COLUMN(field, name, type, help)                                                                                     \
    {                                                                                                                       \
        "aether_pattern_" name, type, help, offsetof(aether_pattern_stats, field)                                           \
    }

static const struct column columns[] = {
    COLUMN(events, "events_total", "counter", "Events appended to the pattern's feed."),
    COLUMN(bytes, "bytes_total", "counter", "Bytes appended to the pattern's feed."),
    COLUMN(subscriptions, "subscriptions", "gauge", "Open subscriptions of the pattern."),
    COLUMN(in_use_bytes, "in_use_bytes", "gauge", "Memory of the pattern's segments."),
    COLUMN(retained_events, "retained_events", "gauge", "Events that a new subscription could begin with."),
};

static void put_patterns(struct writer *writer, const aether_pattern_stats *rows, size_t count)
{
    for (size_t c = 0; count != 0 && c < sizeof columns / sizeof *columns; c++) {
        put_head(writer, columns[c].name, columns[c].type, columns[c].help);
        for (size_t i = 0; i < count; i++) {
            uint64_t value;
            memcpy(&value, (const char *)&rows[i] + columns[c].offset, sizeof value);
            put_line(writer, "%s{pattern=\"", columns[c].name);
            put_label(writer, rows[i].pattern.data, rows[i].pattern.size);
            put_line(writer, "\"} %" PRIu64 "\n", value);
        }
    }
}

/* The slowest of the subscriptions that have a label or a limit which others feel. */
static void put_slowest(struct writer *writer, const aether_pattern_stats *rows, size_t count)
{
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        const aether_pattern_stats *stats = &rows[i];
        if (stats->slowest_label[0] == '\0')
            continue;
        if (!any)
            put_head(writer, "aether_pattern_slowest_bytes", "gauge",
                     "How far the slowest labelled subscription is behind.");
        any = true;
        put_line(writer, "aether_pattern_slowest_bytes{pattern=\"");
        put_label(writer, stats->pattern.data, stats->pattern.size);
        put_line(writer, "\",label=\"");
        put_label(writer, stats->slowest_label, strlen(stats->slowest_label));
        put_line(writer, "\"} %" PRIu64 "\n", stats->slowest_bytes);
    }
}

static int by_events(const void *one, const void *other)
{
    const aether_pattern_stats *a = one, *b = other;
    if (a->events != b->events)
        return a->events < b->events ? 1 : -1;
    return strcmp(a->pattern.data, b->pattern.data);
}

aether_status aether_bus_write_prometheus(aether_bus *bus, size_t patterns,
                                          bool (*write)(const char *text, size_t size, void *user), void *user)
{
    static const char call[] = "aether_bus_write_prometheus";
    aether_bus_stats stats;
    struct rows_command rows;
    aether_status status = aether_bus_get_stats(bus, &stats);
    if (status != AETHER_OK)
        return status;
    if (write == NULL)
        return ae_fail(AETHER_INVALID, "%s: write is NULL", call);
    status = collect_rows(&rows, bus, call);
    if (status != AETHER_OK)
        return status;
    struct writer writer = {write, user, true};
    if (rows.count != 0)
        qsort(rows.rows, rows.count, sizeof *rows.rows, by_events);
    size_t shown = rows.count < patterns ? rows.count : patterns;
    put_bus(&writer, &stats);
    put_patterns(&writer, rows.rows, shown);
    put_slowest(&writer, rows.rows, shown);
    free_rows(&rows);
    return AETHER_OK;
}
