/* Which sanitizer this is built with, and what it has to be told. */
#ifndef AE_SANITIZER_H
#define AE_SANITIZER_H

#if defined(__SANITIZE_THREAD__)
#define AE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define AE_TSAN 1
#endif
#endif

#ifndef AE_TSAN
#define AE_TSAN 0
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
