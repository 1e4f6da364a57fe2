/* A buffer: one writer, readers at their own pace. One of the README's examples. */
#include <stdio.h>
#include <stdlib.h>

#include "aether/aether.h"

static void fail(const char *why)
{
    fprintf(stderr, "buffer: %s\n", why);
    exit(1);
}

int main(void)
{
    aether_buffer *buffer = aether_buffer_create(NULL); /* NULL: the defaults */
    aether_cursor *cursor = aether_cursor_open(buffer, AETHER_FROM_NEXT);
    if (aether_append(buffer, "hello", 5) != AETHER_OK)
        fail(aether_error());
    aether_item item;
    aether_status s;
    while ((s = aether_cursor_next(cursor, &item, AETHER_NO_WAIT)) == AETHER_OK)
        printf("%.*s\n", (int)item.size, (const char *)item.data); /* borrowed until the next call */
    if (s != AETHER_EMPTY)
        fail(aether_status_text(s)); /* ended, reset, closed: never silently the same */
    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
}
