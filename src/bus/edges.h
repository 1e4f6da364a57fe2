/*
 * The atomic edges of the bus, once. docs/memory-order.md argues each of them; the code repeats the label at both ends.
 *
 *      P1 role      leave store -> take exchange            what holders did happens before what the next one does
 *      P2 forgotten leave store, incoming load || push, held load    the holder sees the request, or its thread a free role
 *      P3 incoming  push -> exchange                        the request and what it points to
 *      P4 state     state exchange -> state load            performed, kept, finished; the role handed over
 *      P5 figures   numbers for statistics and patience, which order nothing; debug builds: who holds the role
 *      B1 history   epoch, newest stores -> loads           all up to the newest index stands in the feeds; one history's
 *      B3 counts    drop -> last drop                       the last one frees what all others have done with it
 *      B4 cancelled reason CAS -> load                      why a snapshot is not wanted any more
 *      B5 over      reason store -> load                    where a subscription ended; cancel and resume of its reader
 */
#ifndef AE_BUS_EDGES_H
#define AE_BUS_EDGES_H

#define AE_BUS_EDGES(AE_EDGE)                                                                                               \
    AE_EDGE(P1_LEAVE, P1, store)                                                                                            \
    AE_EDGE(P1_TAKE, P1, both)                                                                                              \
    AE_EDGE(P2_LEAVE, P2, store)                                                                                            \
    AE_EDGE(P2_LOOK, P2, load)                                                                                              \
    AE_EDGE(P2_HELD, P2, load)                                                                                              \
    AE_EDGE(P3_PUSH, P3, store)                                                                                             \
    AE_EDGE(P3_COLLECT, P3, load)                                                                                           \
    AE_EDGE(P4_QUEUED, P4, store)                                                                                           \
    AE_EDGE(P4_TELL, P4, both)                                                                                              \
    AE_EDGE(P4_OWN, P4, store)                                                                                              \
    AE_EDGE(P4_HAND_OVER, P4, both)                                                                                         \
    AE_EDGE(P4_FINISH, P4, both)                                                                                            \
    AE_EDGE(P4_SLEEP, P4, both)                                                                                             \
    AE_EDGE(P4_STATE, P4, load)                                                                                             \
    AE_EDGE(P5_HOLDER, P5, both)                                                                                            \
    AE_EDGE(P5_COUNT, P5, both)                                                                                             \
    AE_EDGE(B1_HISTORY, B1, store)                                                                                          \
    AE_EDGE(B1_NEWEST, B1, store)                                                                                           \
    AE_EDGE(B1_LOAD, B1, load)                                                                                              \
    AE_EDGE(B3_HOLD, B3, both)                                                                                              \
    AE_EDGE(B3_DROP, B3, both)                                                                                              \
    AE_EDGE(B3_LOAD, B3, load)                                                                                              \
    AE_EDGE(B4_CANCEL, B4, store)                                                                                           \
    AE_EDGE(B4_LOAD, B4, load)                                                                                              \
    AE_EDGE(B5_END, B5, store)                                                                                              \
    AE_EDGE(B5_CANCEL, B5, store)                                                                                           \
    AE_EDGE(B5_LOAD, B5, load)

#define AE_EDGE(label, edge, side) AE_LABEL_##label,
enum { AE_BUS_LABEL_FIRST = 2000, AE_BUS_EDGES(AE_EDGE) AE_BUS_LABELS };
#undef AE_EDGE

#endif
