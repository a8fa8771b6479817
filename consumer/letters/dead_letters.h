/*
 * dead_letters.h: the command `pgfanout-consumer dead-letters`: lists, shows, replays and discards
 * what is in the dead-letter queues.
 */
#ifndef PGFANOUT_CONSUMER_LETTERS_DEAD_LETTERS_H
#define PGFANOUT_CONSUMER_LETTERS_DEAD_LETTERS_H

/* argv[0] is "dead-letters". Returns the exit code. Main thread; starts the one that waits for
 * signals. */
int dead_letters_main(int argc, char **argv);

#endif
