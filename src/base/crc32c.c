#include "base/crc32c.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

enum { TABLES = 8 };

static const uint32_t POLYNOMIAL = 0x82f63b78;

static uint32_t tables[TABLES][256];
static bool has_instruction;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void prepare(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
        tables[0][byte] = crc;
    }
    for (uint32_t byte = 0; byte < 256; byte++)
        for (int table = 1; table < TABLES; table++)
            tables[table][byte] = tables[table - 1][byte] >> 8 ^ tables[0][tables[table - 1][byte] & 0xff];
#if defined(__x86_64__)
    __builtin_cpu_init();
    has_instruction = __builtin_cpu_supports("sse4.2") != 0;
#endif
}

static uint64_t load(const unsigned char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static uint32_t by_table(uint32_t crc, const unsigned char *at, size_t size)
{
    for (; size >= 8; size -= 8, at += 8) {
        uint64_t word = load(at) ^ crc;
        crc = 0;
        for (int byte = 0; byte < 8; byte++)
            crc ^= tables[7 - byte][word >> 8 * byte & 0xff];
    }
    for (; size != 0; size--, at++)
        crc = crc >> 8 ^ tables[0][(crc ^ *at) & 0xff];
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const unsigned char *at, size_t size)
{
    uint64_t wide = crc;
    for (; size >= 8; size -= 8, at += 8)
        wide = __builtin_ia32_crc32di(wide, load(at));
    crc = (uint32_t)wide;
    for (; size != 0; size--, at++)
        crc = __builtin_ia32_crc32qi(crc, *at);
    return crc;
}
#else
static uint32_t by_instruction(uint32_t crc, const unsigned char *at, size_t size)
{
    return by_table(crc, at, size);
}
#endif

uint32_t ae_crc32c_by_table(uint32_t crc, const void *bytes, size_t size)
{
    pthread_once(&once, prepare);
    return ~by_table(~crc, bytes, size);
}

uint32_t ae_crc32c(uint32_t crc, const void *bytes, size_t size)
{
    pthread_once(&once, prepare);
    return has_instruction ? ~by_instruction(~crc, bytes, size) : ~by_table(~crc, bytes, size);
}
