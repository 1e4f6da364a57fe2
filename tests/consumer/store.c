/* Uses the installed libraries beside the core: a store in a file, and its events as JSON. The argument: a path. */
#include <stdio.h>
#include <string.h>

#include <aether/json.h>
#include <aether/retry.h>
#include <aether/sqlite.h>

static int failed(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, aether_error());
    return 1;
}

int main(int count, char **words)
{
    char url[300];
    snprintf(url, sizeof url, "sqlite:%s", count > 1 ? words[1] : "consumer.db");
    if (aether_store_use(aether_sqlite_driver()) != AETHER_OK)
        return failed("aether_store_use");
    aether_store *store = aether_store_open(url, NULL);
    aether_saved saved;
    if (store == NULL ||
        aether_save(store, AETHER_EVENT(.actor = "a", .type = "T", .data = AETHER_TEXT("{}")), &saved) != AETHER_OK)
        return failed("aether_save");
    aether_replay *replay = aether_load(store, "a", NULL);
    aether_json_writer *writer = aether_json_writer_create(NULL);
    aether_event event;
    aether_text text;
    if (replay == NULL || aether_replay_next(replay, &event, AETHER_NO_WAIT) != AETHER_OK ||
        aether_json_write(writer, &event, 0, &text) != AETHER_OK)
        return failed("aether_json_write");
    if (strncmp(text.data, "{\"id\":\"", 7) != 0)
        return failed("the text");
    printf("%.*s\n", (int)text.size, text.data);
    aether_json_writer_destroy(writer);
    aether_replay_close(replay);
    aether_store_close(store);
    return 0;
}
