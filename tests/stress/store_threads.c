/* The memory store under many threads: see common/stress_store.h. */
#include "common/stress_run.h"
#include "common/stress_store.h"

int main(int argc, char **argv)
{
    stress_begin(argc, argv, "store_threads");
    struct stress_random random = stress_random_stream(0);
    stress_clock_start();
    unsigned rounds = 0;
    do {
        const char *wrong = stress_store("memory:", 0.5, stress_random(&random));
        if (wrong != NULL)
            stress_fail("%s", wrong);
        rounds++;
    } while (!stress_over());
    return stress_end("%u rounds", rounds);
}
