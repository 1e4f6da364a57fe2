/* A plug-in that uses the shared library, and leaves memory to liburcu's worker when it is unloaded. */
#include "aether/buffer.h"

AETHER_API int plugin_run(void);

int plugin_run(void)
{
    aether_buffer_options options = {.segment_bytes = 1024, .cached_segments = -1};
    aether_buffer *buffer = aether_buffer_create(&options);
    if (buffer == NULL)
        return 1;
    for (int i = 0; i < 1000; i++)
        if (aether_append(buffer, &i, sizeof i) != AETHER_OK)
            return 1;
    aether_buffer_destroy(buffer);
    return 0;
}
