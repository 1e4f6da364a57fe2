/* A circuit breaker before something that fails: a few failures, then calls are refused at once, and later a few are let
 * through. */
#include <stdio.h>
#include <stdlib.h>

#include "aether/aether.h"

static aether_status unreachable(void *user)
{
    ++*(int *)user;
    return AETHER_TIMEOUT;
}

static void changed(aether_breaker_state state, void *user)
{
    static const char *const names[] = {"closed", "open", "half open"};
    (void)user;
    printf("the breaker is %s\n", names[state]);
}

int main(void)
{
    aether_breaker *breaker =
        aether_breaker_create(&(aether_breaker_options){.window = 20, .least_calls = 5, .on_change = changed});
    aether_retry_policy policy = {.attempts = 2,
                                  .fault_base_ns = AETHER_MICROSECONDS(100),
                                  .fault_cap_ns = AETHER_MILLISECONDS(1),
                                  .breaker = breaker};
    int calls = 0;
    for (int i = 0; i < 10; i++) {
        aether_retry_outcome outcome;
        aether_status status = aether_retry_call(&policy, unreachable, &calls, &outcome);
        printf("%s\n", aether_status_text(status));
    }
    printf("%d calls were made\n", calls);
    aether_breaker_destroy(breaker);
    return calls != 5;
}
