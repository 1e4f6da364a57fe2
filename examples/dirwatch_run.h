/* The program, to be called from a main(). */
#ifndef DIRWATCH_RUN_H
#define DIRWATCH_RUN_H

/* Parses its options (exits by itself where they are wrong, or only ask for help); returns the exit code. */
int dirwatch_run(int count, char **words);

#endif
