/*
 * Announcements (STO8): the one file that names both the store and the bus.
 *
 * A thread follows the store from the position that was the newest when it was opened, and publishes what comes: so events
 * are announced in their order, each once, after they are kept, whoever has saved them, and no saver waits for it. Under the
 * bus' index that is the event's position: a subscription knows where in the store it is.
 */
#include "aether/bus.h"

#include <stdio.h>
#include <time.h>

#include "base/allocator.h"
#include "base/clock.h"
#include "base/fail.h"
#include "store/store.h"

enum { UNDER_MOST = 400, TOKEN_MOST = 96, SUBJECT_MOST = UNDER_MOST + 2 * (3 * TOKEN_MOST + 20) };

static const int64_t PAUSE = INT64_C(10000000);

struct ae_announcer {
    aether_store *store;
    aether_replay *replay;
    aether_bus *bus;
    size_t under; /* the size of what all subjects begin with, in `subject` */
    pthread_t thread;
    uint32_t stops; /* atomic, S5 */
    char subject[SUBJECT_MOST];
};

/* Letters, digits, - and _ stay; any other byte is %XX, so that no two names become one token, and none becomes several. */
static char *put_token(char *to, const char *name, size_t size)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)name[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_') {
            *to++ = (char)c;
        } else {
            *to++ = '%';
            *to++ = digits[c >> 4];
            *to++ = digits[c & 15];
        }
    }
    return to;
}

/* A token of a name; a long one is cut, and ends in ~ and two checksums: who needs the name finds it in the event. */
static char *put_name(char *to, const char *name, size_t size)
{
    char *end = put_token(to, name, size < TOKEN_MOST ? size : TOKEN_MOST);
    if (size <= TOKEN_MOST)
        return end;
    return end + snprintf(end, 18, "~%08x%08x", aether_checksum(0, name, size), aether_checksum(1, name, size));
}

/* under.TYPE.ACTOR: the actor's type is what stands before the first "-" of its name. */
static const char *subject_of(struct ae_announcer *announcer, const aether_event *event)
{
    const char *dash = memchr(event->actor, '-', event->actor_size);
    size_t type = dash != NULL ? (size_t)(dash - event->actor) : 0;
    char *to = announcer->subject + announcer->under;
    *to++ = '.';
    to = type != 0 ? put_name(to, event->actor, type) : put_token(to, "unknown", 7);
    *to++ = '.';
    to = put_name(to, event->actor, event->actor_size);
    *to = '\0';
    return announcer->subject;
}

static bool stops(const struct ae_announcer *announcer)
{
    return AE_LOAD(S5_LOAD, &announcer->stops, acquire) != 0; /* S5: pairs with ae_announcer_stop() */
}

/* A bus that is full for now is asked again: nothing is left out. False: the bus takes no more, ever. */
static bool announce(struct ae_announcer *announcer, const aether_event *event)
{
    aether_event told = *event;
    told.epoch = 0;
    if (announcer->store->options.announce == AETHER_ANNOUNCE_NOTICE) {
        told.type = "EventStored";
        told.type_size = 0;
        told.data = told.metadata = told.extra = (aether_text){NULL, 0};
        told.flags = 0;
    }
    const char *subject = subject_of(announcer, event);
    bool was_told = false;
    while (!stops(announcer)) {
        aether_status status = aether_publish(announcer->bus, subject, &told);
        if (status == AETHER_OK) {
            ae_count(&announcer->store->counters.announced, 1);
            return true;
        }
        if (status != AETHER_FULL && status != AETHER_TIMEOUT && status != AETHER_NO_MEMORY) {
            aether_log_line(AETHER_LOG_ERROR, "the event at %llu cannot be announced under %.100s, nor any after it: %s",
                            (unsigned long long)event->index, subject, aether_error());
            return false;
        }
        if (!was_told)
            aether_log_line(AETHER_LOG_WARNING, "announcing waits at %llu: %s", (unsigned long long)event->index,
                            aether_error());
        was_told = true;
        struct timespec pause = {.tv_nsec = PAUSE};
        nanosleep(&pause, NULL);
    }
    return false;
}

static void *body(void *user)
{
    struct ae_announcer *announcer = user;
    aether_event event;
    while (!stops(announcer)) {
        aether_status status = aether_replay_next(announcer->replay, &event, AETHER_FOREVER);
        if (status == AETHER_OK) {
            if (!announce(announcer, &event))
                break;
        } else if (status == AETHER_CANCELLED || status == AETHER_CLOSED || status == AETHER_FAILED) {
            break;
        } else if (!stops(announcer)) {
            aether_log_line(AETHER_LOG_ERROR, "announcing goes on after: %s", aether_error());
            struct timespec pause = {.tv_nsec = PAUSE};
            nanosleep(&pause, NULL);
        }
    }
    return NULL;
}

static void free_announcer(struct ae_announcer *announcer)
{
    ae_free(&announcer->store->allocator, announcer, sizeof *announcer, _Alignof(struct ae_announcer));
}

aether_status ae_announcer_start(aether_store *store)
{
    static const char call[] = "aether_store_open";
    const char *under = store->options.announce_under;
    aether_status status = aether_subject_check(under);
    if (status == AETHER_OK && strlen(under) > UNDER_MOST)
        status = ae_fail(AETHER_INVALID, "%s: announce_under has more than %d bytes", call, UNDER_MOST);
    if (status != AETHER_OK)
        return status;
    struct ae_announcer *announcer = ae_alloc(&store->allocator, sizeof *announcer, _Alignof(struct ae_announcer));
    if (announcer == NULL)
        return ae_fail(AETHER_NO_MEMORY, "%s: no memory for announcing", call);
    *announcer = (struct ae_announcer){.store = store, .bus = store->options.bus, .under = strlen(under)};
    memcpy(announcer->subject, under, announcer->under);
    aether_load_options options = {.follow = true, .lenient = true, .as_stored = true};
    status = store->driver->newest(store->impl, ae_store_deadline(store, 0), &options.after.index);
    if (status == AETHER_OK) {
        announcer->replay = aether_load_all(store, &options);
        status = announcer->replay != NULL ? ae_store_thread(&announcer->thread, body, announcer, "aether-announce")
                                           : aether_error_status();
    }
    if (status == AETHER_OK) {
        store->announcer = announcer;
        return status;
    }
    if (announcer->replay != NULL) {
        aether_replay_close(announcer->replay);
    }
    free_announcer(announcer);
    return status;
}

void ae_announcer_stop(struct ae_announcer *announcer)
{
    AE_STORE(S5_OVER, &announcer->stops, 1, release); /* S5: pairs with stops() */
    aether_replay_cancel(announcer->replay);
    pthread_join(announcer->thread, NULL);
    aether_replay_close(announcer->replay);
    free_announcer(announcer);
}
