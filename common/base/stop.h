/*
 * stop.h: SIGTERM, SIGINT and SIGHUP end the process in order; SIGPIPE is ignored.
 *
 * stop_init() blocks the signals in the calling thread (so in all threads made later) and starts a
 * thread that waits for them; the first one sets the flag and makes stop_fd() readable for ever
 * (never read it), a third one ends the process at once.
 */
#ifndef PGFANOUT_COMMON_BASE_STOP_H
#define PGFANOUT_COMMON_BASE_STOP_H

#include "common/base/base.h"

void stop_init(void);	   /* in main, before any thread */
bool stop_requested(void); /* any thread, cheap */
int stop_fd(void);	   /* an eventfd to poll for POLLIN; any thread; do not read or close */
void stop_request(void);   /* as if SIGTERM had come; any thread */
/* Sleeps up to ms, returns early with true if stop was requested. Any thread. */
bool stop_sleep_ms(int64_t ms);

#endif
