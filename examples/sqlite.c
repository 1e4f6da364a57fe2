/* A store in a file: many saves with one flush, a copy while it is in use, another handle that sees them. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "aether/sqlite.h"

static void fail(const char *why)
{
    fprintf(stderr, "sqlite: %s\n", why);
    exit(1);
}

int main(void)
{
    char directory[] = "/tmp/aether-example-XXXXXX", url[80], copy[80];
    if (mkdtemp(directory) == NULL)
        fail("cannot make a directory");
    snprintf(url, sizeof url, "sqlite:%s/orders.db", directory);
    snprintf(copy, sizeof copy, "%s/copy.db", directory);
    if (aether_store_use(aether_sqlite_driver()) != AETHER_OK)
        fail(aether_error());
    aether_store *store = aether_store_open(url, NULL), *other = store != NULL ? aether_store_open(url, NULL) : NULL;
    if (other == NULL)
        fail(aether_error());
    aether_event events[3] = {{.actor = "order-1", .type = "Placed"},
                              {.actor = "order-2", .type = "Placed"},
                              {.actor = "order-1", .type = "Paid"}};
    aether_save_request requests[3] = {
        {.events = &events[0], .count = 1}, {.events = &events[1], .count = 1}, {.events = &events[2], .count = 1}};
    if (aether_save_each(store, requests, 3) != AETHER_OK) /* each for itself, one flush for all */
        fail(aether_error());
    int64_t version;
    if (aether_latest(other, "order-1", &version) != AETHER_OK)
        fail(aether_error());
    printf("order-1 is at version %lld, %s\n", (long long)version, aether_durability_text(requests[2].saved.durability));
    if (aether_store_copy(store, copy) != AETHER_OK || aether_store_verify(store, NULL, NULL) != AETHER_OK)
        fail(aether_error());
    aether_store_close(other);
    aether_store_close(store);
    static const char *const files[] = {"orders.db", "orders.db-wal", "orders.db-shm", "orders.db-aether", "copy.db"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[80];
        snprintf(path, sizeof path, "%s/%s", directory, files[i]);
        (void)unlink(path);
    }
    (void)rmdir(directory);
}
