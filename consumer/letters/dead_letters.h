/*
 * dead_letters.h: the command `pgfanout-consumer dead-letters`: what lies in the dead-letter queues, and what becomes of it.
 */
#ifndef PGFANOUT_CONSUMER_LETTERS_DEAD_LETTERS_H
#define PGFANOUT_CONSUMER_LETTERS_DEAD_LETTERS_H

/* argv[0] is "dead-letters". Returns the exit code. Main thread; starts the one that waits for signals. */
int dead_letters_main(int argc, char **argv);

#endif
