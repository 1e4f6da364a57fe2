/*
 * The window: which segments the buffer itself holds, beside those that its readers do.
 *
 * `oldest` only moves forward, by the writer, at rolls. It leaves a segment when retention does not need that, and
 *      - nobody is in it or may come to it (chain and pins are what the buffer itself holds), and nobody is lapped, or
 *      - more was published after it than the largest limit of a reader that may be lapped.
 * So it follows the slowest reader in warm memory, stays at the window's start while somebody is lapped, and holds back at
 * most the largest of those limits.
 */
#ifndef AE_WINDOW_H
#define AE_WINDOW_H

#include "buffer/buffer.h"

/* Lets the oldest segments go that nothing needs, at most `steps` of them. The writer only. */
void ae_window_advance(struct aether_buffer *buffer, int steps);

/* Makes room for a reader that may be lapped and has this limit, here and wherever splices lead. Before it is counted in. */
void ae_window_raise(struct aether_buffer *buffer, uint64_t limit_bytes);

#endif
