/*
 * How much memory does an item take that is kept, and how much an empty buffer with one cursor?
 *
 * The buffer gets an allocator that counts what malloc really gave: the usable size of each block and its header. An empty
 * buffer and one cursor that reads nothing are counted first; then --items items are appended, which the cursor keeps, and
 * what came on top is divided by their number. Everything has to be given back in the end.
 */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "aether/buffer.h"
#include "common.h"

enum { PAYLOAD_MAX = 65536 };

static int64_t items = 1000000, payload = 32;

/* Memory that the library holds: as it asked for it, and as malloc gave it. */
static struct {
    _Atomic int64_t asked, given;
} held;

static int64_t real_size(void *memory)
{
    return (int64_t)(malloc_usable_size(memory) + sizeof(size_t));
}

static void *count_alloc(size_t size, size_t align, void *user)
{
    (void)user;
    void *memory = NULL;
    if (posix_memalign(&memory, align < sizeof(void *) ? sizeof(void *) : align, size) != 0)
        return NULL;
    atomic_fetch_add(&held.asked, (int64_t)size);
    atomic_fetch_add(&held.given, real_size(memory));
    return memory;
}

static void count_free(void *memory, size_t size, size_t align, void *user)
{
    (void)align, (void)user;
    if (memory == NULL)
        return;
    atomic_fetch_sub(&held.asked, (int64_t)size);
    atomic_fetch_sub(&held.given, real_size(memory));
    free(memory);
}

/* What is not given back a second after the last handle is gone: freeing may wait for a grace period. */
static uint64_t leaked(void)
{
    for (int looks = 0; looks < 1000 && atomic_load(&held.asked) != 0; looks++)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return (uint64_t)atomic_load(&held.asked);
}

static void append_all(aether_buffer *buffer)
{
    static unsigned char event[PAYLOAD_MAX];
    for (uint64_t i = 1; i <= (uint64_t)items; i++) {
        memcpy(event, &i, sizeof i);
        bench_ok(aether_append(buffer, event, (size_t)payload), "aether_append");
    }
}

static uint64_t count_lost(aether_cursor *cursor)
{
    uint64_t read = 0;
    aether_item item;
    while (aether_cursor_next(cursor, &item, AETHER_NO_WAIT) == AETHER_OK)
        if (item.size == (size_t)payload && item.index == read + 1)
            read++;
    return (uint64_t)items - read;
}

int main(int argc, char **argv)
{
    const struct bench_option options[] = {
        {.name = "items", .number = &items, .help = "items that are kept"},
        {.name = "payload", .number = &payload, .help = "bytes per item, 8 to 65536"},
        {0},
    };
    bench_options(argc, argv, "how much memory does an item take that is kept, and how much an empty buffer?", options);
    if (payload < 8 || payload > PAYLOAD_MAX)
        bench_fail("--payload is out of its range (--help)");
    if (bench_smoke)
        items = 10000;
    const aether_allocator allocator = {count_alloc, count_free, NULL};
    const aether_buffer_options buffer_options = {.allocator = &allocator};
    aether_buffer *buffer = bench_handle(aether_buffer_create(&buffer_options), "aether_buffer_create");
    aether_cursor *cursor = bench_handle(aether_cursor_open(buffer, AETHER_FROM_NEXT), "aether_cursor_open");
    int64_t empty_given = atomic_load(&held.given), empty_asked = atomic_load(&held.asked);
    append_all(buffer);
    int64_t full_given = atomic_load(&held.given), full_asked = atomic_load(&held.asked);
    uint64_t lost = count_lost(cursor);
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
    uint64_t leak = leaked();

    bench_begin("memory");
    bench_count("payload", (uint64_t)payload);
    bench_count("items", (uint64_t)items);
    bench_measured();
    bench_real("item_bytes", (double)(full_given - empty_given) / (double)items);
    bench_real("item_asked_bytes", (double)(full_asked - empty_asked) / (double)items);
    bench_count("empty_bytes", (uint64_t)empty_given);
    bench_count("empty_asked_bytes", (uint64_t)empty_asked);
    bench_count("leaked_bytes", leak);
    bench_count("lost", lost);
    bench_end();
    return lost != 0 || leak != 0;
}
