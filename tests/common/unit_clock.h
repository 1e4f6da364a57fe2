/* A clock that stands still until a test moves it. */
#ifndef UNIT_CLOCK_H
#define UNIT_CLOCK_H

#include <stdint.h>

/* Puts it in the place of the library's clock, exact and coarse, at this time. */
void unit_clock_install(int64_t now_ns);

void unit_clock_advance(int64_t by_ns);
int64_t unit_clock_now(void);

#endif
