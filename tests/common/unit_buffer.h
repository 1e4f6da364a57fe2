/* Buffers and items for tests. Item number i has index i unless said otherwise, and a payload that tells i. */
#ifndef UNIT_BUFFER_H
#define UNIT_BUFFER_H

#include "aether/buffer.h"
#include "buffer/buffer.h"

/* Before each test: prepares the process, installs unit_futex. */
void unit_begin(void);

/*
 * unit_begin(), then the body, far down the stack: what the body leaves there is not in the way of who looks for leaks
 * afterwards, and takes addresses in old frames for pointers.
 */
void unit_run(void (*body)(void));

/* True when the leak sanitizer is there and finds something. */
bool unit_leaks(void);

/* Whether another program runs this one, with signal masks, threads and forks of its own. */
bool unit_is_in_valgrind(void); /* no more than 500 threads */
bool unit_is_in_qemu(void);     /* no threads in a child of a process that had threads */

/* Makes buffers go without membarrier from now on. */
void unit_no_membarrier(void);

enum { UNIT_EPOCH = 77, UNIT_SEGMENT = 1024 };

/* The counting allocator, epoch UNIT_EPOCH, segments of UNIT_SEGMENT bytes that do not grow. */
aether_buffer_options unit_options(void);
/* With these options; aborts if there is none. */
aether_buffer *unit_buffer(void);
aether_buffer *unit_buffer_with(aether_buffer_options options);
/* Aborts if there is none. */
aether_cursor *unit_open(aether_buffer *buffer, aether_start start);
aether_cursor *unit_open_with(aether_buffer *buffer, aether_cursor_options options);
/* From the next item on, with this limit; the label may be NULL. */
aether_cursor *unit_open_limit(aether_buffer *buffer, aether_on_limit on_limit, uint64_t limit_bytes, const char *label);

/* The inline way, which debug builds close. */
void unit_allow_inline(aether_buffer *buffer);

/* A payload of `size` bytes that tells `seed`. */
void unit_fill(void *bytes, size_t size, uint64_t seed);
bool unit_is_filled(const void *bytes, size_t size, uint64_t seed);

/* The size of item i's payload: 0 to 40 bytes. */
size_t unit_size(uint64_t i);

/* Appends the items `first` to `last` one by one; stops at the first that fails. */
aether_status unit_append(aether_buffer *buffer, uint64_t first, uint64_t last);
/* Together. */
aether_status unit_append_batch(aether_buffer *buffer, uint64_t first, uint64_t last);
/* Appends from item `first` on until that fails: with what, and the number of that item in *failed. */
aether_status unit_append_until(aether_buffer *buffer, uint64_t first, uint64_t *failed);
/* Whether `item` is number i. */
bool unit_is_item(const aether_item *item, uint64_t i);

/* Reads the items `first` to `last` without waiting: NULL, or what was wrong. */
const char *unit_read(aether_cursor *cursor, uint64_t first, uint64_t last);

/* The status of a next without waiting; whatever item there is, is lost. */
aether_status unit_next(aether_cursor *cursor);

aether_buffer_stats unit_stats(aether_buffer *buffer);
aether_cursor_stats unit_cursor_stats(aether_cursor *cursor);

/* The room for items of the largest segment. */
uint64_t unit_room(const aether_buffer *buffer);

/* The payload whose slot takes all that is left in the current segment. */
size_t unit_size_that_fills(const aether_buffer *buffer);

/* So many segments has the buffer begun. */
uint64_t unit_segments(const aether_buffer *buffer);

#endif
