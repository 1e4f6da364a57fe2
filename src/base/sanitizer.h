/* Which sanitizer this is built with, and what it has to be told. */
#ifndef AE_SANITIZER_H
#define AE_SANITIZER_H

#if defined(__has_feature) /* clang */
#define AE_HAS_SANITIZER(name) __has_feature(name)
#else
#define AE_HAS_SANITIZER(name) 0
#endif

#if defined(__SANITIZE_THREAD__) || AE_HAS_SANITIZER(thread_sanitizer)
#define AE_TSAN 1
#else
#define AE_TSAN 0
#endif

/* Address, and undefined behaviour, which our builds turn on together with it. */
#if defined(__SANITIZE_ADDRESS__) || AE_HAS_SANITIZER(address_sanitizer)
#define AE_ASAN 1
#else
#define AE_ASAN 0
#endif

#if AE_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define AE_TSAN_ACQUIRE(address) __tsan_acquire(address)
#define AE_TSAN_RELEASE(address) __tsan_release(address)
#else
#define AE_TSAN_ACQUIRE(address) ((void)(address))
#define AE_TSAN_RELEASE(address) ((void)(address))
#endif

#endif
