#include "dirwatch_common.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

bool refuse(struct message *why, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why->text, sizeof why->text, format, arguments);
    va_end(arguments);
    return false;
}

_Noreturn void out_of_memory(void)
{
    static atomic_flag leaving = ATOMIC_FLAG_INIT;
    while (atomic_flag_test_and_set(&leaving)) /* the others wait for the first to leave with all of them */
        pause();
    fputs("dirwatch: out of memory\n", stderr);
    exit(EXIT_TROUBLE);
}

void *need_memory(void *old, size_t size)
{
    void *memory = realloc(old, size);
    if (!memory)
        out_of_memory();
    return memory;
}

int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* -------------------------------------------------------------------------------------------------------------- text */

static void text_reserve(struct text *text, size_t more)
{
    size_t needed = text->length + more + 1;
    if (needed <= text->room)
        return;
    text->room = needed < 64 ? 64 : needed * 2;
    text->bytes = need_memory(text->bytes, text->room);
}

void text_add(struct text *text, const char *bytes, size_t length)
{
    text_reserve(text, length);
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
    text->bytes[text->length] = '\0';
}

void text_addf(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *formatted = NULL;
    int length = vasprintf(&formatted, format, arguments);
    va_end(arguments);
    if (length < 0)
        out_of_memory();
    text_add(text, formatted, (size_t)length);
    free(formatted);
}

void text_cut(struct text *text, size_t length)
{
    text->length = length;
    if (text->bytes)
        text->bytes[length] = '\0';
}

void text_free(struct text *text)
{
    free(text->bytes);
    *text = (struct text){0};
}

/* The length of the UTF-8 sequence at `at` if it is a whole, shortest, valid one that is no control character; else 0. */
static size_t utf8_length(const unsigned char *at)
{
    if (at[0] >= 0x20 && at[0] < 0x7f)
        return 1;
    if (at[0] < 0xc2 || at[0] > 0xf4)
        return 0;
    size_t length = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    bool c1_control = at[0] == 0xc2 && at[1] < 0xa0;
    bool too_long = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    bool surrogate = at[0] == 0xed && at[1] > 0x9f;
    bool beyond = at[0] == 0xf4 && at[1] > 0x8f;
    return c1_control || too_long || surrogate || beyond ? 0 : length;
}

void text_add_printable(struct text *text, const char *path)
{
    for (const unsigned char *at = (const unsigned char *)path; *at;) {
        size_t length = utf8_length(at);
        if (length > 0)
            text_add(text, (const char *)at, length);
        else
            text_addf(text, "\\x%02x", *at);
        at += length > 0 ? length : 1;
    }
}

void text_add_json(struct text *text, const char *path)
{
    text_add(text, "\"", 1);
    for (const unsigned char *at = (const unsigned char *)path; *at;) {
        size_t length = utf8_length(at);
        if (*at == '"' || *at == '\\')
            text_addf(text, "\\%c", *at);
        else if (length > 0)
            text_add(text, (const char *)at, length);
        else
            text_addf(text, "\\u%s%02x", *at < 0x80 ? "00" : "dc", *at);
        at += length > 0 ? length : 1;
    }
    text_add(text, "\"", 1);
}

/* -------------------------------------------------------------------------------------------------------------- bell */

int bell_create(void)
{
    return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

void bell_ring(int bell)
{
    uint64_t one = 1;
    /* It can only fail when the count is at its limit, and then the bell rings anyway. */
    if (write(bell, &one, sizeof one) < 0 && errno != EAGAIN)
        abort();
}

void bell_clear(int bell)
{
    uint64_t count;
    if (read(bell, &count, sizeof count) < 0 && errno != EAGAIN)
        abort();
}
