/* Everything of aether::core but the inline way. */
#ifndef AETHER_AETHER_H
#define AETHER_AETHER_H

#include "aether/base.h"
#include "aether/buffer.h"
#include "aether/bus.h"
#include "aether/event.h"
#include "aether/poller.h"
#include "aether/retry.h"
#include "aether/state.h"
#include "aether/store.h"
#include "aether/subject.h"
#include "aether/view.h"

#endif
