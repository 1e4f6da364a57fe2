/*
 * Probes for perf, bpftrace and SystemTap (USDT, provider `aether`): docs/probes.md lists them. Each is one nop and a note
 * in the library, so it stands on slow ways only. Nothing at all where <sys/sdt.h> is missing or AETHER_PROBES is off.
 */
#ifndef AE_PROBE_H
#define AE_PROBE_H

/* Set by the build. */
#ifdef AE_PROBES
#include <sys/sdt.h>
#ifdef __clang__
#pragma clang diagnostic ignored "-Wgnu-zero-variadic-macro-arguments" /* its macros have them, and expand in our files */
#endif
/* Two arguments, each an integer or a pointer. */
#define AE_PROBE2(name, first, second) DTRACE_PROBE2(aether, name, first, second)
#else
#define AE_PROBE2(name, first, second) ((void)(first), (void)(second))
#endif

#endif
