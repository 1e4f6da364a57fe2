/* A directory for the files of one test, which goes when unit_scratch_remove() is called. */
#ifndef UNIT_SCRATCH_H
#define UNIT_SCRATCH_H

/* "SCHEME:DIRECTORY/N.db", another N with each call. Valid for the next eight calls. Aborts where there is no room. */
const char *unit_scratch_url(const char *scheme);
/* The directory. */
const char *unit_scratch(void);
void unit_scratch_remove(void);

#endif
