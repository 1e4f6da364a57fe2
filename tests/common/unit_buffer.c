#include "common/unit_buffer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/barrier.h"
#include "common/unit_futex.h"
#include "common/unit_memory.h"

enum { LARGEST_NUMBERED = 40 };

/* There only with the sanitizer. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static void need(bool there, const char *what)
{
    if (there)
        return;
    fprintf(stderr, "%s: %s\n", what, aether_error());
    abort();
}

void unit_begin(void)
{
    need(ae_process_prepare() == AETHER_OK, "prepare");
    unit_futex_install();
}

void unit_run(void (*body)(void))
{
    unit_begin();
    volatile unsigned char distance[65536];
    distance[0] = 0;
    body();
    distance[sizeof distance - 1] = 0;
}

bool unit_leaks(void)
{
    return __lsan_do_recoverable_leak_check != NULL && __lsan_do_recoverable_leak_check() != 0;
}

/* Both answer for /proc/self, and forget this way to the same place. */
static bool host_is(const char *name)
{
    char path[256];
    ssize_t length = readlink("/proc/thread-self/exe", path, sizeof path - 1);
    path[length < 0 ? 0 : length] = '\0';
    return strstr(path, name) != NULL;
}

bool unit_is_in_valgrind(void)
{
    return host_is("/valgrind/");
}

bool unit_is_in_qemu(void)
{
    return host_is("/qemu-");
}

void unit_no_membarrier(void)
{
    ae_barrier_force_symmetric(true);
}

aether_buffer_options unit_options(void)
{
    return (aether_buffer_options){.allocator = &unit_allocator,
                                   .epoch = UNIT_EPOCH,
                                   .segment_bytes = UNIT_SEGMENT,
                                   .first_segment_bytes = UNIT_SEGMENT};
}

aether_buffer *unit_buffer_with(aether_buffer_options options)
{
    aether_buffer *buffer = aether_buffer_create(&options);
    need(buffer != NULL, "create");
    return buffer;
}

aether_buffer *unit_buffer(void)
{
    return unit_buffer_with(unit_options());
}

aether_cursor *unit_open(aether_buffer *buffer, aether_start start)
{
    aether_cursor *cursor = aether_cursor_open(buffer, start);
    need(cursor != NULL, "open");
    return cursor;
}

aether_cursor *unit_open_with(aether_buffer *buffer, aether_cursor_options options)
{
    aether_cursor *cursor = aether_cursor_open_with(buffer, &options);
    need(cursor != NULL, "open");
    return cursor;
}

aether_cursor *unit_open_limit(aether_buffer *buffer, aether_on_limit on_limit, uint64_t limit_bytes, const char *label)
{
    return unit_open_with(buffer, (aether_cursor_options){.on_limit = on_limit, .limit_bytes = limit_bytes, .label = label});
}

void unit_allow_inline(aether_buffer *buffer)
{
    buffer->may_inline = buffer->asymmetric;
    if (!buffer->ended)
        ae_buffer_set_inline_end(buffer);
}

void unit_fill(void *bytes, size_t size, uint64_t seed)
{
    unsigned char *to = bytes;
    for (size_t i = 0; i < size; i++)
        to[i] = (unsigned char)(seed + i * 7 + (seed >> 8));
}

bool unit_is_filled(const void *bytes, size_t size, uint64_t seed)
{
    const unsigned char *from = bytes;
    for (size_t i = 0; i < size; i++)
        if (from[i] != (unsigned char)(seed + i * 7 + (seed >> 8)))
            return false;
    return true;
}

size_t unit_size(uint64_t i)
{
    return (size_t)(i * 13 % (LARGEST_NUMBERED + 1));
}

aether_status unit_append(aether_buffer *buffer, uint64_t first, uint64_t last)
{
    unsigned char payload[LARGEST_NUMBERED];
    aether_status status = AETHER_OK;
    for (uint64_t i = first; i <= last && status == AETHER_OK; i++) {
        unit_fill(payload, unit_size(i), i);
        status = aether_append(buffer, payload, unit_size(i));
    }
    return status;
}

aether_status unit_append_until(aether_buffer *buffer, uint64_t first, uint64_t *failed)
{
    enum { MOST = 1000000 };
    aether_status status = AETHER_OK;
    for (*failed = first; *failed < first + MOST; ++*failed)
        if ((status = unit_append(buffer, *failed, *failed)) != AETHER_OK)
            break;
    return status;
}

aether_status unit_append_batch(aether_buffer *buffer, uint64_t first, uint64_t last)
{
    size_t count = (size_t)(last - first + 1);
    unsigned char(*payloads)[LARGEST_NUMBERED] = calloc(count, sizeof *payloads);
    aether_payload *batch = calloc(count, sizeof *batch);
    need(payloads != NULL && batch != NULL, "batch");
    for (size_t i = 0; i < count; i++) {
        size_t size = unit_size(first + i);
        unit_fill(payloads[i], size, first + i);
        batch[i] = (aether_payload){.data = payloads[i], .size = size};
    }
    aether_status status = aether_append_batch(buffer, batch, count);
    free(batch);
    free(payloads);
    return status;
}

bool unit_is_item(const aether_item *item, uint64_t i)
{
    return item->index == i && item->size == unit_size(i) && item->data != NULL && (uintptr_t)item->data % 8 == 0 &&
           unit_is_filled(item->data, item->size, i);
}

const char *unit_read(aether_cursor *cursor, uint64_t first, uint64_t last)
{
    static _Thread_local char text[200];
    for (uint64_t i = first; i <= last; i++) {
        aether_item item;
        aether_status status = aether_cursor_next(cursor, &item, AETHER_NO_WAIT);
        if (status != AETHER_OK) {
            snprintf(text, sizeof text, "no item %llu: %s", (unsigned long long)i, aether_status_text(status));
            return text;
        }
        if (!unit_is_item(&item, i)) {
            snprintf(text, sizeof text, "item %llu is index %llu with %zu bytes, or has other contents",
                     (unsigned long long)i, (unsigned long long)item.index, item.size);
            return text;
        }
    }
    return NULL;
}

aether_status unit_next(aether_cursor *cursor)
{
    aether_item item;
    return aether_cursor_next(cursor, &item, AETHER_NO_WAIT);
}

aether_buffer_stats unit_stats(aether_buffer *buffer)
{
    aether_buffer_stats stats;
    need(aether_buffer_get_stats(buffer, &stats) == AETHER_OK, "stats");
    return stats;
}

aether_cursor_stats unit_cursor_stats(aether_cursor *cursor)
{
    aether_cursor_stats stats;
    need(aether_cursor_get_stats(cursor, &stats) == AETHER_OK, "cursor stats");
    return stats;
}

uint64_t unit_room(const aether_buffer *buffer)
{
    return buffer->largest_room;
}

size_t unit_size_that_fills(const aether_buffer *buffer)
{
    return (size_t)ae_buffer_room(buffer) - AE_SLOT_HEADER;
}

uint64_t unit_segments(const aether_buffer *buffer)
{
    return buffer->writing->ordinal + 1;
}
