/*
 * The scratch tree, which exists so that something happens: a thread creates, writes, renames and deletes files and
 * directories in it, at random. It is made outside the watched directory, and removed when the program leaves.
 */
#ifndef DIRWATCH_SCRATCH_H
#define DIRWATCH_SCRATCH_H

#include "dirwatch_common.h"

/*
 * Makes the scratch directory in $TMPDIR, /tmp, /var/tmp or /dev/shm, the first of them that is not in `outside` (an
 * absolute path without symbolic links) and can be written to. exit() removes it. NULL: `why` says why. The path stays the
 * module's.
 */
const char *scratch_create(const char *outside, struct message *why);

/* Makes the sentinel file of this number. Not while the changer runs. */
bool scratch_mark(uint64_t number, struct message *why);

struct changer;

struct changer_options {
    uint64_t per_second; /* changes to try for */
    uint64_t seed;
    int bell; /* rung when it cannot go on */
};

struct changer *changer_start(const struct changer_options *options, struct message *why);

/* How many changes it made. False: it could not go on. */
bool changer_get_status(struct changer *changer, uint64_t *changes, struct message *why);

/* Joins its thread and frees it. NULL does nothing. */
void changer_stop(struct changer *changer);

#endif
