/*
 * stop.c: turns SIGTERM, SIGINT and SIGHUP into a flag and a readable eventfd.
 *
 * Promise: no code of ours ever runs inside a signal handler. The signals are blocked in every
 * thread and taken by one thread that only waits for them (it lives as long as the process and owns
 * nothing):
 *
 *   first signal   the flag is set, the eventfd readable for ever: every thread comes to its end
 *   second         nothing more: Ctrl-C of a terminal and SIGTERM of a supervisor may come together
 *   third          the process ends at once with EXIT_INTERRUPTED; that is safe, as kill -9 is,
 *                  because nothing is acknowledged before it is durable
 */
#include "common/base/stop.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/clock.h"

static atomic_bool stopping;
static int event_fd = -1; /* immutable after stop_init */

void stop_request(void)
{
	const uint64_t one = 1;

	/* Flag first: whoever is woken by the eventfd must see it. A failed write can only mean
	 * that the counter is full, hence readable; or that stop_init was not called, and then
	 * nobody polls. */
	if (!atomic_exchange(&stopping, true) && write(event_fd, &one, sizeof(one)) < 0)
		return;
}

static void *wait_for_signals(void *arg)
{
	const sigset_t *set = arg;
	unsigned seen = 0;

	for (;;) {
		int signal_no;

		if (sigwait(set, &signal_no) != 0)
			continue;
		if (++seen >= 3)
			_exit(EXIT_INTERRUPTED);
		stop_request();
	}
	return NULL;
}

void stop_init(void)
{
	static sigset_t set;
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	pthread_t thread;

	event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (event_fd < 0)
		fatal("no eventfd could be made: %s", strerror(errno));

	sigaction(SIGPIPE, &ignore, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP); /* its terminal is gone */

	int failure = pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (!failure)
		failure = pthread_create(&thread, NULL, wait_for_signals, &set);
	if (failure)
		fatal("the thread that waits for signals could not be started: %s",
		      strerror(failure));
	pthread_setname_np(thread, "signals");
	pthread_detach(thread);
}

bool stop_requested(void)
{
	return atomic_load_explicit(&stopping, memory_order_acquire);
}

int stop_fd(void)
{
	return event_fd;
}

bool stop_sleep_ms(int64_t ms)
{
	struct pollfd fd = { .fd = event_fd, .events = POLLIN };
	struct mono end = mono_add_ms(mono_now(), ms < 0 ? 0 : ms < INT_MAX ? ms : INT_MAX);

	while (!stop_requested()) {
		int left = mono_until_ms(end, mono_now(), INT_MAX);

		if (left == 0)
			return false;
		if (poll(&fd, 1, left) < 0 && errno != EINTR)
			fatal("poll failed: %s", strerror(errno));
	}
	return true;
}
