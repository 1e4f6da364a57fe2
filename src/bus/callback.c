#include "bus/callback.h"

_Thread_local int ae_bus_callback_depth;
