/* The atomic edges of src/base (docs/memory-order.md): label, edge, which end of it. */
#ifndef AE_BASE_EDGES_H
#define AE_BASE_EDGES_H

#define AE_BASE_EDGES(AE_EDGE)                                                                                              \
    AE_EDGE(B1_LOG_SET, B1, store)                                                                                          \
    AE_EDGE(B1_LOG_GET, B1, load)

#define AE_EDGE(label, edge, side) AE_LABEL_##label,
enum { AE_BASE_LABEL_FIRST = 1000, AE_BASE_EDGES(AE_EDGE) AE_BASE_LABELS };
#undef AE_EDGE

#endif
