/*
 * dirwatch: lists and watches a directory tree, to show what aether's buffer is for. One source, several watchers; each
 * first receives a snapshot of the tree and then every change, without a gap and without a repeat, and at the end each one's
 * picture is compared with the disk.
 *
 *      dirwatch_source    the publisher: inotify, the bus, the snapshot handler
 *      dirwatch_watcher   the subscribers: snapshots, live events, and how they are checked
 *      dirwatch_record    what events are made of, and their subjects
 *      dirwatch_verdict   the comparison
 *
 * These four show the library in use. The others are what any such program needs: run (options and the loop), picture, scan,
 * watches, scratch, show. `aether watch` is the same program.
 */
#include "dirwatch_run.h"

int main(int count, char **words)
{
    return dirwatch_run(count, words);
}
