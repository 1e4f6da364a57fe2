#include "aether/base.h"

static const char *const texts[] = {
    [AETHER_OK] = "ok",
    [AETHER_EMPTY] = "empty: nothing now",
    [AETHER_TIMEOUT] = "timeout: nothing until the deadline",
    [AETHER_CANCELLED] = "cancelled: this reader was told to stop waiting",
    [AETHER_CLOSED] = "closed: the cursor or its buffer is gone",
    [AETHER_ENDED] = "ended: the stream is complete",
    [AETHER_RESET] = "reset: this history is over, a new one has begun",
    [AETHER_FAILED] = "failed: the source broke down",
    [AETHER_INVALID] = "invalid argument",
    [AETHER_TOO_LARGE] = "too large",
    [AETHER_INDEX_ORDER] = "index order: the index does not grow",
    [AETHER_NO_MEMORY] = "no memory",
    [AETHER_BUSY] = "busy: another writing call is under way",
    [AETHER_CIRCLE] = "circle: the splice would lead back to its own buffer",
    [AETHER_FORKED] = "forked: the handle was made before fork()",
    [AETHER_SYSTEM] = "refused by the operating system",
    [AETHER_LAGGED] = "lagged: items were missed",
    [AETHER_GONE] = "gone: the position is before the oldest item that is kept",
    [AETHER_AHEAD] = "ahead: the position is after the newest item",
    [AETHER_OTHER_EPOCH] = "other epoch: the position belongs to another history",
    [AETHER_FULL] = "full: a reader has as much unread as it may",
    [AETHER_WOULD_BLOCK] = "would block: the call would wait for its own thread, or from a callback",
    [AETHER_UNSUBSCRIBED] = "unsubscribed: the subscription was ended by its own program",
    [AETHER_ACCESS_CHANGED] = "access changed: subscribe again",
    [AETHER_TOO_SLOW] = "too slow: the subscription lagged and was closed",
    [AETHER_SHUT_DOWN] = "shut down: the bus is gone",
    [AETHER_STALE_EPOCH] = "stale epoch: the state was read in a history that is over",
    [AETHER_NO_HANDLER] = "no handler: nobody makes snapshots for this pattern",
    [AETHER_DISABLED] = "disabled: the bus was created to do nothing",
    [AETHER_EXISTS] = "exists: there is one already",
    [AETHER_CONFLICT] = "conflict: the actor has another version than the save stands on",
    [AETHER_ID_REUSED] = "id reused: the actor has another event under this id",
    [AETHER_UNKNOWN_OUTCOME] = "unknown outcome: saved or not, nobody knows yet",
    [AETHER_ACTOR_ENDED] = "actor ended: a closing event was saved before",
    [AETHER_MALFORMED] = "malformed: not what it has to be",
    [AETHER_NOT_FOUND] = "not found",
    [AETHER_READ_ONLY] = "read only: the store takes no changes",
    [AETHER_NO_STORE] = "no store: there is none here, or it is something else",
    [AETHER_NEWER_FORMAT] = "newer format: a newer version of aether has written it",
    [AETHER_NO_DRIVER] = "no driver: nobody knows how to open this kind of store",
    [AETHER_NO_SPACE] = "no space: the disk is full",
    [AETHER_UNSUPPORTED] = "unsupported: this store cannot do that",
    [AETHER_EXHAUSTED] = "exhausted: as many attempts as may be were made",
    [AETHER_OPEN_CIRCUIT] = "open circuit: too many calls failed of late",
};

const char *aether_status_text(aether_status status)
{
    if (status < 0 || (size_t)status >= sizeof texts / sizeof *texts)
        return "unknown status";
    return texts[status];
}

bool aether_status_is_final(aether_status status)
{
    return (status >= AETHER_CLOSED && status <= AETHER_FAILED) ||
           (status >= AETHER_UNSUBSCRIBED && status <= AETHER_SHUT_DOWN);
}

const char *aether_version(void)
{
    return AETHER_VERSION;
}
