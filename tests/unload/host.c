/*
 * D4: a plug-in that brought the library may be unloaded at once; what liburcu's worker still has to free, it frees.
 *
 *      host PLUGIN
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

enum { ROUNDS = 20, GRACE_US = 50 * 1000 }; /* the worker gets the time in which it would crash; nothing is waited for */

static int run(const char *path)
{
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (plugin == NULL) {
        fprintf(stderr, "host: %s\n", dlerror());
        return 1;
    }
    int (*plugin_run)(void) = (int (*)(void))(uintptr_t)dlsym(plugin, "plugin_run");
    int failed = plugin_run == NULL || plugin_run() != 0;
    dlclose(plugin);
    usleep(GRACE_US);
    return failed;
}

int main(int argc, char **argv)
{
    for (int round = 0; round < ROUNDS; round++)
        if (argc != 2 || run(argv[1]) != 0) {
            fprintf(stderr, "host: round %d failed\n", round);
            return 1;
        }
    return 0;
}
