#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

void ae_assert_failed(const char *claim, const char *file, int line)
{
    fprintf(stderr, "aether: %s:%d: this must hold and does not: %s\n", file, line, claim);
    abort();
}
