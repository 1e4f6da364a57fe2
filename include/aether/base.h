/*
 * What every part of aether shares: statuses and their texts, durations, positions, the allocator, the log, threads.
 *
 * Caveats first
 *  - Every call that can fail returns an aether_status, or a handle that is NULL on failure. The compiler warns when a
 *    status is ignored.
 *  - Statuses that tell of the stream and not of a failure leave aether_error() as it was: AETHER_EMPTY, AETHER_TIMEOUT,
 *    AETHER_CANCELLED, and the final ones that a reader gets.
 *  - After fork() the child uses only handles that it made itself. Inherited ones answer AETHER_FORKED, and destroying or
 *    closing them does nothing. The library registers fork handlers, its own and those of liburcu-bp: a program that
 *    uses liburcu-bp by itself leaves the fork handlers of that library to aether.
 *  - Only aether_cursor_cancel() may be called from a signal handler.
 *  - EINTR never surfaces.
 *  - The library prints nothing, except that a broken invariant of its own says which one before it aborts.
 *  - The shared library stays loaded once it is: a plug-in that links the static one must not be unloaded, because liburcu's
 *    worker may still have to run code of it.
 *
 * Usable from C11 and C++17.
 */
#ifndef AETHER_BASE_H
#define AETHER_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aether/version.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the shared library lets a program see. */
#define AETHER_API __attribute__((visibility("default")))
/* The caller has to look at the result. */
#define AETHER_CHECKED __attribute__((warn_unused_result))

/* ------------------------------------------------------------------------------------------------------- statuses */

/*
 * The answers of all calls. Values never change; new ones are added at the end. Each function's comment says which ones
 * it gives, and why.
 */
typedef int32_t aether_status;

enum {
    AETHER_OK = 0,           /* done */
    AETHER_EMPTY = 1,        /* nothing now, and the caller did not want to wait */
    AETHER_TIMEOUT = 2,      /* nothing until the deadline */
    AETHER_CANCELLED = 3,    /* somebody cancelled this reader; it goes on after aether_cursor_resume() */
    AETHER_CLOSED = 4,       /* final: the cursor or its buffer is gone */
    AETHER_ENDED = 5,        /* final: the stream is complete, nothing follows */
    AETHER_RESET = 6,        /* final: this history is over, a new one has begun elsewhere */
    AETHER_FAILED = 7,       /* final: the source broke down */
    AETHER_INVALID = 8,      /* an argument cannot be right: aether_error() says which one and why */
    AETHER_TOO_LARGE = 9,    /* a size over the limit */
    AETHER_INDEX_ORDER = 10, /* an index that does not grow */
    AETHER_NO_MEMORY = 11,   /* the allocator gave none; nothing has changed */
    AETHER_BUSY = 12,        /* another call that writes is under way */
    AETHER_CIRCLE = 13,      /* a splice that would lead back to its own buffer */
    AETHER_FORKED = 14,      /* a handle from before fork() */
    AETHER_SYSTEM = 15,      /* the operating system refused something: aether_error() has its words */
    AETHER_LAGGED = 16, /* items were missed, as many as aether_cursor_get_stats() says; the reader goes on behind them */
    AETHER_GONE = 17,   /* a position before the oldest item that is kept */
    AETHER_AHEAD = 18,  /* a position after the newest item */
    AETHER_OTHER_EPOCH = 19,     /* a position in another history */
    AETHER_FULL = 20,            /* a reader that refuses to lag has as much unread as it may; nothing was appended */
    AETHER_WOULD_BLOCK = 21,     /* the call would wait for its own thread, or from a callback */
    AETHER_UNSUBSCRIBED = 22,    /* final: the subscription was ended by its own program */
    AETHER_ACCESS_CHANGED = 23,  /* final: what it was allowed to see has changed: subscribe again */
    AETHER_TOO_SLOW = 24,        /* final: the subscription lagged, and was opened to be closed then */
    AETHER_SHUT_DOWN = 25,       /* final: the bus is shut down */
    AETHER_STALE_EPOCH = 26,     /* the state was read in a history that is over; nothing was published */
    AETHER_NO_HANDLER = 27,      /* nobody makes snapshots for this pattern */
    AETHER_DISABLED = 28,        /* the bus was created to do nothing */
    AETHER_EXISTS = 29,          /* there is one already */
    AETHER_CONFLICT = 30,        /* the actor has another version than the save stands on; nothing was saved */
    AETHER_ID_REUSED = 31,       /* the actor has another event under this id; nothing was saved */
    AETHER_UNKNOWN_OUTCOME = 32, /* saved or not, nobody knows yet: neither success nor failure */
    AETHER_ACTOR_ENDED = 33,     /* a closing event has ended this actor; nothing was saved */
    AETHER_MALFORMED = 34,       /* something that was stored or sent is not what it has to be */
    AETHER_NOT_FOUND = 35,       /* there is none of that name */
    AETHER_READ_ONLY = 36,       /* the store was opened, or can only be opened, for reading */
    AETHER_NO_STORE = 37,        /* there is no store here, or it is something else */
    AETHER_NEWER_FORMAT = 38,    /* a newer version of aether has written it */
    AETHER_NO_DRIVER = 39,       /* nobody knows how to open this kind of store */
    AETHER_NO_SPACE = 40,        /* the disk is full; nothing was saved */
    AETHER_UNSUPPORTED = 41,     /* this store cannot do that */
    AETHER_EXHAUSTED = 42,       /* as many attempts as may be were made, and none went well */
    AETHER_OPEN_CIRCUIT = 43     /* too many calls failed of late: this one was not made */
};

/* The status' name and meaning in a few words, for people. Never NULL, never freed. Any thread. */
AETHER_API const char *aether_status_text(aether_status status);

/*
 * True for the statuses that end a reader for good: closed, ended, reset, failed, unsubscribed, access changed, too slow,
 * shut down. Any thread.
 */
AETHER_API AETHER_CHECKED bool aether_status_is_final(aether_status status);

/*
 * The calling thread's last failure as text for people, with what was wrong and where: "aether_append: size 600000000 is
 * over the limit of 536870880 bytes". Never NULL, "" where nothing has failed yet. Valid until this thread's next call into
 * the library.
 */
AETHER_API const char *aether_error(void);

/* The status that belongs to aether_error(): what a constructor that returned NULL would have answered. */
AETHER_API aether_status aether_error_status(void);

/* The version of the library in use, "major.minor.patch". */
AETHER_API const char *aether_version(void);

/* ------------------------------------------------------------------------------------------------ time and positions */

/* Durations are nanoseconds. Every call that may wait takes one: how long at the most. Below zero is AETHER_NO_WAIT. */
#define AETHER_NO_WAIT ((int64_t)0)
#define AETHER_FOREVER INT64_MAX
#define AETHER_MICROSECONDS(n) ((int64_t)(n)*INT64_C(1000))
#define AETHER_MILLISECONDS(n) ((int64_t)(n)*INT64_C(1000000))
#define AETHER_SECONDS(n) ((int64_t)(n)*INT64_C(1000000000))

/* A place in a history. Indexes are the writer's own numbers of its items, from 1; 0 is "nothing yet". */
typedef struct aether_position {
    uint64_t epoch; /* which history: only equality counts, never 0 */
    uint64_t index; /* the item in it */
} aether_position;

/* ---------------------------------------------------------------------------------------------------------- memory */

/*
 * Where memory comes from: given when a handle is created (the struct is copied), inherited by what is created inside.
 * alloc returns memory aligned to `align` (a power of two) or NULL, which becomes AETHER_NO_MEMORY; free gets the size
 * and alignment that alloc was given. Both are called from any thread and must not call the library. free is called from
 * liburcu's worker thread, too, and after the last handle is gone: what `user` leads to lives until aether_memory_drain()
 * has returned after that. Exempt are liburcu's own allocations (a record per thread that opens cursors, the worker thread,
 * which the first memory given back starts; a child of fork() gets one again): when it gets none, it aborts the process.
 * This struct is frozen: it never grows.
 */
typedef struct aether_allocator {
    void *(*alloc)(size_t size, size_t align, void *user);
    void (*free)(void *memory, size_t size, size_t align, void *user);
    void *user;
} aether_allocator;

/*
 * Waits until the memory of everything that was destroyed, closed or read before the call is back with its allocator. Not
 * from a callback of the library's.
 */
AETHER_API void aether_memory_drain(void);

/* ------------------------------------------------------------------------------------------------------------- log */

enum { AETHER_LOG_DEBUG = 0, AETHER_LOG_INFO = 1, AETHER_LOG_WARNING = 2, AETHER_LOG_ERROR = 3 };

/* A name and a value that belong to a message; both borrowed for the length of the callback. Frozen: it never grows. */
typedef struct aether_log_field {
    const char *name;
    const char *value;
} aether_log_field;

typedef void (*aether_log_fn)(int32_t level, const char *message, const aether_log_field *fields, size_t field_count,
                              void *user);

/*
 * Sends the library's messages to `log` (NULL, the start: nowhere). One for the whole library, which never prints
 * anything itself. The callback may run on any thread, must not block or call the library. Set it before other threads
 * use the library; `user` stays the caller's.
 */
AETHER_API void aether_log_use(aether_log_fn log, void *user);

/* --------------------------------------------------------------------------------------------------------- threads */

/*
 * Registers the calling thread with liburcu now rather than in its first open (a lock and perhaps an mmap, once per
 * thread). For threads that must not stumble later; never needed. Does not block otherwise.
 */
AETHER_API void aether_thread_prepare(void);

#ifdef __cplusplus
}
#endif

#endif
