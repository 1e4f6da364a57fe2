/* Uses the installed library, plain and inline, and prints the version that it runs with. */
#include <stdio.h>
#include <string.h>

#include <aether/aether.h>
#include <aether/inline.h>

static int failed(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, aether_error());
    return 1;
}

int main(void)
{
    if (strcmp(aether_version(), AETHER_VERSION) != 0)
        return failed("the headers are of another version");

    aether_buffer *buffer = aether_buffer_create(NULL);
    aether_cursor *cursor = aether_cursor_open(buffer, AETHER_FROM_NEXT);
    if (aether_append(buffer, "plain", 5) != AETHER_OK || aether_inline_append(buffer, "inline", 6) != AETHER_OK)
        return failed("append");

    aether_item item;
    if (aether_cursor_next(cursor, &item, AETHER_NO_WAIT) != AETHER_OK || item.index != 1 || item.size != 5)
        return failed("next");
    if (!aether_inline_next(cursor, &item) || item.index != 2 || memcmp(item.data, "inline", 6) != 0)
        return failed("inline next");
    if (aether_cursor_next(cursor, &item, AETHER_NO_WAIT) != AETHER_EMPTY)
        return failed("next at the end");

    aether_cursor_close(cursor);
    aether_buffer_destroy(buffer);
    printf("C, aether %s\n", aether_version());
    return 0;
}
