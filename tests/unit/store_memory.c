/* The memory store is what every store has to be. */
#include "common/unit_conform.h"

static const char *new_url(void)
{
    return "memory:";
}

const struct conform conform = {.new_url = new_url, .finds_older_ids = true, .durability = AETHER_IN_MEMORY};

#define CASE(name)                                                                                                          \
    TEST(store_memory, name)                                                                                                \
    {                                                                                                                       \
        conform_##name();                                                                                                   \
    }

UNIT_CONFORM(CASE)
