/*
 * The atomic edges of the store, once. docs/memory-order.md argues each of them; the code repeats the label at both ends.
 *
 *      S1 table     table, slot store -> load               an actor of the memory store, complete
 *      S2 events    list, count store -> load               an actor's events, complete up to the count
 *      S3 order     chunk store -> load, newest store -> load    all events up to the newest, complete
 *      S4 handle    reference decrement -> the last one     what users of a store did happens before it is freed
 *      S5 over      closed, cancelled, failed store -> load
 *      S7 shared    the words of the page that processes share, and of what a handle knows of it
 *      S6 figures   numbers for statistics and notes, which order nothing
 */
#ifndef AE_STORE_EDGES_H
#define AE_STORE_EDGES_H

#define AE_STORE_EDGES(AE_EDGE)                                                                                             \
    AE_EDGE(S1_TABLE, S1, store)                                                                                            \
    AE_EDGE(S1_SLOT, S1, store)                                                                                             \
    AE_EDGE(S1_LOAD, S1, load)                                                                                              \
    AE_EDGE(S2_LIST, S2, store)                                                                                             \
    AE_EDGE(S2_COUNT, S2, store)                                                                                            \
    AE_EDGE(S2_LOAD, S2, load)                                                                                              \
    AE_EDGE(S3_CHUNK, S3, store)                                                                                            \
    AE_EDGE(S3_NEWEST, S3, store)                                                                                           \
    AE_EDGE(S3_LOAD, S3, load)                                                                                              \
    AE_EDGE(S4_HOLD, S4, both)                                                                                              \
    AE_EDGE(S4_DROP, S4, both)                                                                                              \
    AE_EDGE(S5_OVER, S5, store)                                                                                             \
    AE_EDGE(S5_LOAD, S5, load)                                                                                              \
    AE_EDGE(S7_SHARED, S7, both)                                                                                            \
    AE_EDGE(S7_LOAD, S7, load)                                                                                              \
    AE_EDGE(S6_COUNT, S6, both)                                                                                             \
    AE_EDGE(S6_LOAD, S6, load)

#define AE_EDGE(label, edge, side) AE_LABEL_##label,
enum { AE_STORE_LABEL_FIRST = 3000, AE_STORE_EDGES(AE_EDGE) AE_STORE_LABELS };
#undef AE_EDGE

#endif
