/*
 * The atomic edges of the buffer, once. docs/memory-order.md argues each of them; the code repeats the label at both ends.
 *
 *      E1 publish   word store -> word load                 payload, the rest of a batch, the link behind a ROLL
 *      E2 sleep     word store, gate load || gate mark, word load    one of the two sees the other (asymmetric barrier)
 *      E3 close     gate exchange -> gate load              who sees "closed" sees the word
 *      E4 birth     counts store -> take-unless-zero        a reader counted into a life knows where older pointers moved
 *      E5 death     count decrement -> the last decrement   what holders did happens before the memory's next use
 *      E6 recycle   push -> exchange                        the free list
 *      E7 ends      current/oldest store -> load, look again
 *      E8 link      next store -> load
 *      E9 filled    filled store -> load                    never ahead of what is published
 *      E10 cancel   state change -> state load              the canceller is done with gate and cursor
 *      E11 handle   reference decrement -> the last one     the control block may go; users in the same way
 *      E12 inside   inside store -> inside load             close waits until the reader's call has left
 *      E13 window   oldest store, counts load || count, oldest load    the writer sees the opener, or the other way round
 *      E14 limit    largest limit store -> load             a reader's limit holds before it is counted in
 *      E15 room     place store, waits load || waits store, place load   the waiting writer sees room, or is woken
 *      E16 nodes    push -> load, in use store -> load      the registry of readers that the writer looks at
 *      E17 polling  push on a stack -> exchange; push, mark load || mark, stack load    a poller is signalled, or looks
 * again W1 writing   flag exchange -> flag exchange          debug builds: two writers at once R1 figures   numbers for
 * statistics, which order nothing
 */
#ifndef AE_BUFFER_EDGES_H
#define AE_BUFFER_EDGES_H

#define AE_BUFFER_EDGES(AE_EDGE)                                                                                            \
    AE_EDGE(E1_PUBLISH, E1, store)                                                                                          \
    AE_EDGE(E1_REST, E1, store)                                                                                             \
    AE_EDGE(E1_READ, E1, load)                                                                                              \
    AE_EDGE(E2_PUBLISH, E2, store)                                                                                          \
    AE_EDGE(E2_LOOK, E2, load)                                                                                              \
    AE_EDGE(E2_MARK, E2, both)                                                                                              \
    AE_EDGE(E2_AGAIN, E2, load)                                                                                             \
    AE_EDGE(E3_CLOSE, E3, store)                                                                                            \
    AE_EDGE(E3_GATE, E3, load)                                                                                              \
    AE_EDGE(E4_PINS, E4, store)                                                                                             \
    AE_EDGE(E4_BIRTH, E4, store)                                                                                            \
    AE_EDGE(E4_TAKE, E4, load)                                                                                              \
    AE_EDGE(E5_HOLD, E5, both)                                                                                              \
    AE_EDGE(E5_DROP, E5, both)                                                                                              \
    AE_EDGE(E5_UNPIN, E5, both)                                                                                             \
    AE_EDGE(E5_LAPPED, E5, both)                                                                                            \
    AE_EDGE(E6_PUSH, E6, store)                                                                                             \
    AE_EDGE(E6_TAKE, E6, load)                                                                                              \
    AE_EDGE(E7_CURRENT, E7, store)                                                                                          \
    AE_EDGE(E7_OLDEST, E7, store)                                                                                           \
    AE_EDGE(E7_LOAD, E7, load)                                                                                              \
    AE_EDGE(E7_AGAIN, E7, load)                                                                                             \
    AE_EDGE(E8_LINK, E8, store)                                                                                             \
    AE_EDGE(E8_NEXT, E8, load)                                                                                              \
    AE_EDGE(E8_CUT, E8, both)                                                                                               \
    AE_EDGE(E9_FILLED, E9, store)                                                                                           \
    AE_EDGE(E9_INDEXED, E9, both)                                                                                           \
    AE_EDGE(E9_EXTRA, E9, store)                                                                                            \
    AE_EDGE(E9_LOAD, E9, load)                                                                                              \
    AE_EDGE(E10_TELL, E10, store)                                                                                           \
    AE_EDGE(E10_STATE, E10, load)                                                                                           \
    AE_EDGE(E10_SLEEP, E10, both)                                                                                           \
    AE_EDGE(E10_AWAKE, E10, both)                                                                                           \
    AE_EDGE(E10_POKE, E10, store)                                                                                           \
    AE_EDGE(E10_POKED, E10, store)                                                                                          \
    AE_EDGE(E10_RESUME, E10, both)                                                                                          \
    AE_EDGE(E11_HOLD, E11, both)                                                                                            \
    AE_EDGE(E11_DROP, E11, both)                                                                                            \
    AE_EDGE(E12_ENTER, E12, store)                                                                                          \
    AE_EDGE(E12_LEAVE, E12, store)                                                                                          \
    AE_EDGE(E12_HANDOVER, E12, both)                                                                                        \
    AE_EDGE(E12_INSIDE, E12, load)                                                                                          \
    AE_EDGE(E11_JOIN, E11, both)                                                                                            \
    AE_EDGE(E13_LOST, E13, store)                                                                                           \
    AE_EDGE(E13_FOUND, E13, store)                                                                                          \
    AE_EDGE(E13_BACK, E13, store)                                                                                           \
    AE_EDGE(E13_CHAIN, E13, load)                                                                                           \
    AE_EDGE(E13_PINS, E13, load)                                                                                            \
    AE_EDGE(E13_LAPPED, E13, load)                                                                                          \
    AE_EDGE(E14_RAISE, E14, store)                                                                                          \
    AE_EDGE(E14_LIMIT, E14, load)                                                                                           \
    AE_EDGE(E14_ROLLED, E14, both)                                                                                          \
    AE_EDGE(E14_TARGET, E14, both)                                                                                          \
    AE_EDGE(E15_PLACE, E15, store)                                                                                          \
    AE_EDGE(E15_WAITS, E15, load)                                                                                           \
    AE_EDGE(E15_WAKE, E15, both)                                                                                            \
    AE_EDGE(E15_MARK, E15, store)                                                                                           \
    AE_EDGE(E15_WANTED, E15, store)                                                                                         \
    AE_EDGE(E15_SCAN, E15, load)                                                                                            \
    AE_EDGE(E15_CANCEL, E15, both)                                                                                          \
    AE_EDGE(E16_PUSH, E16, store)                                                                                           \
    AE_EDGE(E16_USE, E16, store)                                                                                            \
    AE_EDGE(E16_COUNT, E16, both)                                                                                           \
    AE_EDGE(E16_LOAD, E16, load)                                                                                            \
    AE_EDGE(E17_HOLD, E17, both)                                                                                            \
    AE_EDGE(E17_DROP, E17, both)                                                                                            \
    AE_EDGE(E17_WATCH, E17, both)                                                                                           \
    AE_EDGE(E17_ARM, E17, store)                                                                                            \
    AE_EDGE(E17_TAKE, E17, load)                                                                                            \
    AE_EDGE(E17_IS_ARMED, E17, both)                                                                                        \
    AE_EDGE(E17_SIGNAL, E17, both)                                                                                          \
    AE_EDGE(E17_UNSIGNAL, E17, store)                                                                                       \
    AE_EDGE(E17_PUSH, E17, store)                                                                                           \
    AE_EDGE(E17_COLLECT, E17, load)                                                                                         \
    AE_EDGE(E17_ASLEEP, E17, both)                                                                                          \
    AE_EDGE(E17_WAKE, E17, both)                                                                                            \
    AE_EDGE(E17_FD, E17, load)                                                                                              \
    AE_EDGE(E17_FD_OPEN, E17, store)                                                                                        \
    AE_EDGE(E17_FD_CLOSE, E17, both)                                                                                        \
    AE_EDGE(E17_FD_ARM, E17, store)                                                                                         \
    AE_EDGE(E17_FD_ARMED, E17, load)                                                                                        \
    AE_EDGE(E17_WRITING, E17, both)                                                                                         \
    AE_EDGE(E17_QUIET, E17, load)                                                                                           \
    AE_EDGE(E17_CANCELLED, E17, store)                                                                                      \
    AE_EDGE(E17_CANCEL, E17, load)                                                                                          \
    AE_EDGE(E17_DESTROY, E17, store)                                                                                        \
    AE_EDGE(E17_DESTROYED, E17, load)                                                                                       \
    AE_EDGE(W1_WRITING, W1, both)                                                                                           \
    AE_EDGE(R1_NUMBER, R1, both)                                                                                            \
    AE_EDGE(R1_COUNT, R1, both)

#define AE_EDGE(label, edge, side) AE_LABEL_##label,
enum { AE_BUFFER_EDGES(AE_EDGE) AE_BUFFER_LABELS };
#undef AE_EDGE

#endif
