/*
 * A publish: a request that stands on its publisher's stack while it goes through the role.
 *
 *      attempted ──▶ done: stands in all feeds, or in none
 *          ├──▶ must wait for room: the active one of a line, which awaits it outside the role and comes again
 *          └──▶ kept behind the active one of a line, until that is done: attempted again by whoever holds the role then
 *
 * The line is the domain's where indexes are given, since later ones must not overtake; else it is the feed's.
 */
#ifndef AE_PUBLISH_H
#define AE_PUBLISH_H

#include "buffer/feed.h"
#include "bus/domain.h"

struct ae_publish {
    struct ae_request request;
    struct ae_domain *domain;
    const char *call;

    /* What: `count` complete events, `stride` bytes apart, all under `topic` or `subject`, or each under its own. */
    struct aether_topic *topic;
    const struct ae_subject *subject;
    const struct ae_subject *subjects; /* of each */
    const aether_event *events;
    size_t count;
    uint64_t index, epoch; /* 0: drawn; the current one */

    /* How it goes. */
    aether_status status;
    struct ae_feed *feeds;   /* scratch: in which it will stand */
    struct ae_line *line;    /* whose active one it is, or NULL */
    struct ae_feed *awaited; /* its room, while it is that */
    struct ae_room room;
    struct ae_line *kept_in;   /* behind an active one, or NULL */
    struct ae_publish *behind; /* the next one in that line */
    bool gives_up;             /* whatever it waited for: `status` says why */
    struct ae_failure failure;
};

#endif
