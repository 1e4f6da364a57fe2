#include "common/unit_scratch.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { URLS = 8 };

static char directory[200];
static unsigned count;

const char *unit_scratch(void)
{
    if (directory[0] != '\0')
        return directory;
    const char *root = getenv("TMPDIR");
    snprintf(directory, sizeof directory, "%s/aether-test-XXXXXX", root != NULL ? root : "/tmp");
    if (mkdtemp(directory) == NULL) {
        perror(directory);
        abort();
    }
    return directory;
}

const char *unit_scratch_url(const char *scheme)
{
    static char urls[URLS][256];
    char *url = urls[count % URLS];
    snprintf(url, sizeof urls[0], "%s:%s/%u.db", scheme, unit_scratch(), count++);
    return url;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

void unit_scratch_remove(void)
{
    if (directory[0] != '\0')
        (void)nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    directory[0] = '\0';
}
