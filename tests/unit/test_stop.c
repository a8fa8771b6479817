/*
 * test_stop.c: what signals do to a process. Companions: common/base/stop.c, common/base/clock.c.
 *
 * Each case runs in a child of its own, since a stop is for ever; its exit code is the result.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/stop.h"

static bool fd_is_readable(int within_ms)
{
	struct pollfd fd = { .fd = stop_fd(), .events = POLLIN };

	return poll(&fd, 1, within_ms) == 1;
}

/* The signal thread needs a moment; the sleep that it ends is the wait for it. It sets the flag first, then the fd. */
static int one_signal(int signal_no)
{
	stop_init();
	if (stop_requested() || fd_is_readable(0))
		return 10;
	kill(getpid(), signal_no);
	if (!stop_sleep_ms(20000))
		return 11;
	return stop_requested() && fd_is_readable(20000) && stop_sleep_ms(20000) ? 0 : 12;
}

static int sigterm(void)
{
	return one_signal(SIGTERM);
}

static int sigint(void)
{
	return one_signal(SIGINT);
}

static int ignored_sigint(void)
{
	signal(SIGINT, SIG_IGN); /* as a shell starts what runs in the background */
	return one_signal(SIGINT);
}

static int sigpipe(void)
{
	int ends[2];

	stop_init();
	if (pipe(ends) != 0)
		return 10;
	close(ends[0]);
	if (write(ends[1], "x", 1) != -1)
		return 11;
	return stop_requested() ? 12 : 0;
}

static int by_request(void)
{
	stop_init();
	stop_request();
	stop_request();
	return stop_requested() && fd_is_readable(20000) && stop_sleep_ms(20000) ? 0 : 10;
}

static int undisturbed_sleep(void)
{
	stop_init();
	struct mono start = mono_now();
	if (stop_sleep_ms(30) || stop_sleep_ms(0) || stop_sleep_ms(-5))
		return 10;
	return mono_diff_us(mono_now(), start) >= 30000 ? 0 : 11;
}

/* Signals of one kind that wait merge into one, so the next is sent when the one before was seen. */
static int three_signals(void)
{
	stop_init();
	kill(getpid(), SIGTERM);
	stop_sleep_ms(20000);
	kill(getpid(), SIGINT);
	for (int i = 0; i < 2000; i++) {
		const struct timespec ms = { .tv_nsec = 10000000 };
		sigset_t pending;

		sigpending(&pending);
		if (!sigismember(&pending, SIGINT))
			break;
		nanosleep(&ms, NULL);
	}
	kill(getpid(), SIGTERM);
	for (int i = 0; i < 20; i++)
		sleep(1);
	return 10;
}

static const struct {
	const char *name;
	int (*run)(void);
	int want;
} rows[] = {
	{ "SIGTERM", sigterm, 0 },
	{ "SIGINT", sigint, 0 },
	{ "SIGINT that was ignored", ignored_sigint, 0 },
	{ "SIGPIPE", sigpipe, 0 },
	{ "stop_request", by_request, 0 },
	{ "a sleep", undisturbed_sleep, 0 },
	{ "three signals", three_signals, EXIT_INTERRUPTED },
};

static void test_rows(void **state)
{
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int status;
		pid_t child = fork();

		assert_true(child >= 0);
		if (child == 0)
			_exit(rows[i].run());
		assert_int_equal(waitpid(child, &status, 0), child);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != rows[i].want)
			fail_msg("%s: status %#x, want exit code %d", rows[i].name,
				 (unsigned)status, rows[i].want);
	}
}

static void test_before_init(void **state)
{
	(void)state;

	assert_false(stop_requested());
	assert_int_equal(stop_fd(), -1);
	assert_false(stop_sleep_ms(1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_before_init),
		cmocka_unit_test(test_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
