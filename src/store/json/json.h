/* What the files of aether::json share: they know the core by its public headers only. */
#ifndef AE_JSON_H
#define AE_JSON_H

#include "aether/driver.h"
#include "aether/json.h"

/* malloc and free as an allocator. */
extern const aether_allocator ae_json_allocator;

/* Memory that is given back all at once; what was handed out never moves. */
struct ae_json_block;

struct ae_json_arena {
    const aether_allocator *allocator;
    struct ae_json_block *block; /* the newest, with those before it behind */
};

/* NULL: no memory. */
char *ae_json_take(struct ae_json_arena *arena, size_t size);
/* Keeps one block. */
void ae_json_reset(struct ae_json_arena *arena);
void ae_json_free(struct ae_json_arena *arena);

/* The end of the JSON value that begins at `at`, before `end`; NULL: it is none, *wrong says where. */
const char *ae_json_value_end(const char *at, const char *end, const char **wrong);

/* Deeper than cJSON goes. */
bool ae_json_is_too_deep(const char *at, const char *end);

/* The place of an offset in a text. */
aether_json_place ae_json_place_of(const char *text, size_t offset, uint64_t line);

size_t ae_json_base64_size(size_t bytes);
char *ae_json_base64_write(char *to, const char *bytes, size_t size);
/* False: it is no base64 (RFC 4648, with padding). `to` has room for 3 bytes for each 4. */
bool ae_json_base64_read(char *to, size_t *written, const char *text, size_t size);

#endif
