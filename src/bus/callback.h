/* Whether this thread is inside one of the program's callbacks of the bus, in which nothing waits (BUS9). */
#ifndef AE_BUS_CALLBACK_H
#define AE_BUS_CALLBACK_H

extern _Thread_local int ae_bus_callback_depth;

static inline void ae_bus_callback_enter(void)
{
    ae_bus_callback_depth++;
}

static inline void ae_bus_callback_leave(void)
{
    ae_bus_callback_depth--;
}

#endif
