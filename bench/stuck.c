/*
 * What does a stuck reader cost, whose limit is --limit-bytes with lap?
 *
 * Two lanes in one program, in blocks that alternate: a buffer whose one reader has left, and one whose reader opened and
 * never reads. The writer appends without looking. The resident memory above the start is that of the second lane's
 * segments, once all is appended. The stuck reader is then read to its end: what it gets and what it is told that it missed
 * have to add up.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "aether/inline.h"
#include "common.h"

enum { LANES = 2, PAYLOAD = 32, BLOCKS = 20, PIECE = 64 };

static int64_t items = 100000000, limit_bytes = 16 * 1024 * 1024;

static uint64_t resident_bytes(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%*u %llu", &pages) != 1)
        bench_fail("/proc/self/statm cannot be read");
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t append_block(aether_buffer *buffer, uint64_t first, uint64_t count)
{
    static unsigned char events[PIECE][PAYLOAD];
    uint64_t begin_ns = bench_now_ns();
    for (uint64_t done = 0; done < count; done += PIECE) {
        for (uint64_t i = 0; i < PIECE; i++) {
            uint64_t number = first + done + i;
            memcpy(events[i], &number, sizeof number);
        }
        for (uint64_t i = 0; i < PIECE; i++)
            bench_ok(aether_inline_append(buffer, events[i], PAYLOAD), "aether_inline_append");
    }
    return bench_now_ns() - begin_ns;
}

/* Returns what is wrong with the sum of what it gets and misses. */
static uint64_t read_out(aether_cursor *cursor, uint64_t total, uint64_t *laps)
{
    uint64_t next = 1;
    aether_item item;
    aether_status status;
    while ((status = aether_cursor_next(cursor, &item, AETHER_NO_WAIT)) != AETHER_EMPTY) {
        aether_cursor_stats stats;
        if (status == AETHER_LAGGED) {
            bench_ok(aether_cursor_get_stats(cursor, &stats), "aether_cursor_get_stats");
            next += stats.missed_items;
            ++*laps;
            continue;
        }
        bench_ok(status, "aether_cursor_next");
        if (memcmp(item.data, &next, sizeof next) != 0)
            bench_fail("the stuck reader wanted item %" PRIu64, next);
        next++;
    }
    return total + 1 - next;
}

int main(int argc, char **argv)
{
    const struct bench_option options[] = {
        {.name = "items", .number = &items, .help = "items in each lane"},
        {.name = "limit-bytes", .number = &limit_bytes, .help = "of the reader"},
        {0},
    };
    bench_options(argc, argv, "what does a stuck reader cost?", options);
    if (bench_smoke)
        items = 1000000;
    uint64_t block = (uint64_t)items / BLOCKS / PIECE * PIECE, total = block * BLOCKS, took_ns[LANES] = {0};
    aether_buffer *buffers[LANES];
    aether_cursor *cursors[LANES];
    aether_cursor_options lap = {.on_limit = AETHER_LAP, .limit_bytes = (uint64_t)limit_bytes};
    for (int i = 0; i < LANES; i++) {
        buffers[i] = bench_handle(aether_buffer_create(NULL), "aether_buffer_create");
        cursors[i] = bench_handle(aether_cursor_open_with(buffers[i], &lap), "aether_cursor_open_with");
    }
    aether_cursor_close(cursors[0]);
    bench_pin(0);
    uint64_t before = resident_bytes();
    for (uint64_t i = 0; i < BLOCKS; i++)
        for (uint64_t k = 0; k < LANES; k++)
            took_ns[(i + k) % LANES] += append_block(buffers[(i + k) % LANES], i * block + 1, block);
    uint64_t after = resident_bytes(), laps = 0, lost = read_out(cursors[1], total, &laps);
    aether_cursor_close(cursors[1]);
    for (int i = 0; i < LANES; i++)
        aether_buffer_destroy(buffers[i]);

    bench_begin("stuck");
    bench_count("items", total);
    bench_count("limit_bytes", (uint64_t)limit_bytes);
    bench_measured();
    bench_real("alone_m_per_s", (double)total * 1e3 / (double)took_ns[0]);
    bench_real("stuck_m_per_s", (double)total * 1e3 / (double)took_ns[1]);
    bench_real("rate_ratio", (double)took_ns[0] / (double)took_ns[1]);
    bench_real("resident_mib", (double)(after > before ? after - before : 0) / (1024 * 1024));
    bench_count("laps", laps);
    bench_count("lost", lost);
    bench_end();
    return lost != 0;
}
