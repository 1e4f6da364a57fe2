/* The SQLite store is what every store has to be. */
#include "common/unit_conform.h"

#include "aether/sqlite.h"
#include "common/unit_scratch.h"

static const char *new_url(void)
{
    expect_ok(aether_store_use(aether_sqlite_driver()));
    return unit_scratch_url("sqlite");
}

const struct conform conform = {.new_url = new_url, .keeps = true, .finds_older_ids = true, .durability = AETHER_ON_DISK};

#define CASE(name)                                                                                                          \
    TEST(store_sqlite, name)                                                                                                \
    {                                                                                                                       \
        conform_##name();                                                                                                   \
        unit_scratch_remove();                                                                                              \
    }

UNIT_CONFORM(CASE)
