/* The SQLite store under many threads: see common/stress_store.h. */
#include "aether/sqlite.h"
#include "common/stress_run.h"
#include "common/stress_store.h"
#include "common/unit_scratch.h"

int main(int argc, char **argv)
{
    stress_begin(argc, argv, "store_sqlite_threads");
    STRESS_EXPECT(aether_store_use(aether_sqlite_driver()) == AETHER_OK);
    struct stress_random random = stress_random_stream(0);
    stress_clock_start();
    unsigned rounds = 0;
    do {
        const char *wrong = stress_store(unit_scratch_url("sqlite"), 1, stress_random(&random));
        if (wrong != NULL)
            stress_fail("%s", wrong);
        rounds++;
    } while (!stress_over());
    unit_scratch_remove();
    return stress_end("%u rounds", rounds);
}
