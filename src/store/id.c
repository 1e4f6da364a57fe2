/*
 * UUIDs of version 7 (RFC 9562, method 3 of its section 6.2): 48 bits of milliseconds, 12 bits that say where in the
 * millisecond, 62 random ones. Random bits come from a generator of each thread's own (xoshiro256++, Blackman and Vigna
 * 2019), seeded by the kernel: a system call for each id would cost more than all the rest of a save.
 */
#include <sys/random.h>
#include <time.h>

#include "base/process.h"
#include "base/random.h"
#include "store/store.h"

struct generator {
    uint64_t state[4];
    uint32_t fork_generation;
    bool is_seeded;
};

static _Thread_local struct generator generator;

static uint64_t rotate(uint64_t word, int bits)
{
    return word << bits | word >> (64 - bits);
}

static void seed(void)
{
    for (int i = 0; i < 4; i++)
        generator.state[i] = ae_random_nonzero();
    generator.fork_generation = ae_fork_generation; /* a child must not draw what its parent draws */
    generator.is_seeded = true;
}

static uint64_t draw(void)
{
    uint64_t *state = generator.state, result = rotate(state[0] + state[3], 23) + state[0], carried = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= carried;
    state[3] = rotate(state[3], 45);
    return result;
}

int64_t aether_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void put(uint8_t *to, uint64_t word)
{
    for (int byte = 0; byte < 8; byte++)
        to[byte] = (uint8_t)(word >> 8 * (7 - byte));
}

void ae_id_draw_at(uint8_t id[16], int64_t time)
{
    if (!generator.is_seeded || generator.fork_generation != ae_fork_generation)
        seed();
    uint64_t now = (uint64_t)time, milliseconds = now / 1000000, part = (now % 1000000 << 12) / 1000000;
    put(id, milliseconds << 16 | UINT64_C(7) << 12 | part);
    /* Clear at the top, below the variant: so many ids as a save may have can be counted up from it. */
    put(id + 8, UINT64_C(2) << 62 | (draw() & (UINT64_MAX >> 3)));
}

void aether_id_draw(uint8_t id[16])
{
    ae_id_draw_at(id, aether_now());
}

void aether_id_write(const uint8_t id[16], char text[37])
{
    static const char digits[] = "0123456789abcdef";
    char *to = text;
    for (int byte = 0; byte < 16; byte++) {
        if (byte == 4 || byte == 6 || byte == 8 || byte == 10)
            *to++ = '-';
        *to++ = digits[id[byte] >> 4];
        *to++ = digits[id[byte] & 15];
    }
    *to = '\0';
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool aether_id_read(uint8_t id[16], const char *text, size_t size)
{
    if (size != 36 || text == NULL)
        return false;
    uint8_t read[16];
    const char *at = text;
    for (int byte = 0; byte < 16; byte++) {
        if (byte == 4 || byte == 6 || byte == 8 || byte == 10)
            if (*at++ != '-')
                return false;
        int high = digit(at[0]), low = digit(at[1]);
        if (high < 0 || low < 0)
            return false;
        read[byte] = (uint8_t)(high << 4 | low);
        at += 2;
    }
    memcpy(id, read, sizeof read);
    return true;
}
