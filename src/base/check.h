/*
 * Assertions about the library itself. AE_ASSERT stays in every build and stands where it costs nothing that matters;
 * AE_CHECK is for debug builds (AE_DEBUG). A failure prints and aborts.
 */
#ifndef AE_CHECK_H
#define AE_CHECK_H

#ifndef AE_DEBUG
#define AE_DEBUG 0
#endif

__attribute__((noreturn, cold)) void ae_assert_failed(const char *claim, const char *file, int line);

#define AE_ASSERT(claim) ((claim) ? (void)0 : ae_assert_failed(#claim, __FILE__, __LINE__))
#define AE_CHECK(claim) (!AE_DEBUG || (claim) ? (void)0 : ae_assert_failed(#claim, __FILE__, __LINE__))

#endif
