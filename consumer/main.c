/*
 * main.c: pgfanout-consumer: keeps every replica in step with what the broker delivers.
 *
 *   thread          owns                          waits on                  stopped by
 *   main            settings, status structs      the stop flag             a signal
 *   signals         nothing                       the signals               the process's end
 *   <replica name>  a database connection,        their sockets, the stop   the stop flag, within
 *                   two broker connections        flag, its next duty       DRAIN_TIMEOUT_MS and a few seconds
 *   ops             the HTTP listener             its sockets               main, last
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/http/ops.h"
#include "common/base/stop.h"
#include "consumer/letters/dead_letters.h"
#include "consumer/settings.h"
#include "consumer/status.h"
#include "consumer/apply/worker.h"

static const struct ops_route routes[] = {
	{ "/health", "application/json", status_health },
	{ "/status", "application/json", status_json },
	{ "/metrics", "text/plain; version=0.0.4; charset=utf-8", status_metrics },
};

static void print_help(void)
{
	puts("pgfanout-consumer applies the changes that the broker delivers to every replica.\n"
	     "\n"
	     "Usage: pgfanout-consumer [--help | --version | --check-config]\n"
	     "       pgfanout-consumer dead-letters list | show | replay | discard ...\n"
	     "\n"
	     "It runs until SIGTERM or SIGINT, and then finishes what is in flight.\n"
	     "GET /health, /status and /metrics tell how it is.\n"
	     "dead-letters is about changes that were given up: see dead-letters --help.\n"
	     "\n"
	     "Settings, from the environment or a .env file in the working directory:");
	consumer_settings_help();
	puts("\nExit codes: 0 stopped by a signal; 2 wrong argument or setting, or the port is taken; "
	     "6 failed while at work; 7 stopped by a third signal.");
}

/* What the command line asks for; -1: to run. */
static int read_arguments(int argc, char **argv, bool *ret_check)
{
	*ret_check = false;
	if (argc < 2)
		return -1;
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		print_help();
		return EXIT_OK;
	}
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts("pgfanout-consumer " PGFANOUT_VERSION);
		return EXIT_OK;
	}
	if (argc == 2 && strcmp(argv[1], "--check-config") == 0) {
		*ret_check = true;
		return -1;
	}
	fprintf(stderr, "pgfanout-consumer: unknown argument %s: see --help\n",
		argv[argc == 2 ? 1 : 2]);
	return EXIT_USAGE;
}

static void wait_for_stop(void)
{
	struct pollfd fd = { .fd = stop_fd(), .events = POLLIN };

	while (!stop_requested())
		poll(&fd, 1, -1);
}

static int run(const struct consumer_settings *settings)
{
	const size_t n = settings->replicas.n;
	const char *names[REPLICAS_MAX];
	struct status statuses[REPLICAS_MAX], *status_of[REPLICAS_MAX];
	struct apply_worker *workers[REPLICAS_MAX] = { NULL };
	struct status_all all = { .replicas = status_of, .n = n, .started_us = wall_now_us() };
	struct err err = { .text = "" };
	int code = EXIT_OK;

	for (size_t i = 0; i < n; i++) {
		const struct replica_setting *r = &settings->replicas.replica[i];
		names[i] = r->name;
		status_of[i] = &statuses[i];
		status_init(status_of[i], r->name, i, r->url);
	}
	status_metrics_init(names, n);

	struct ops_server *ops = ops_start(settings->host, (int)settings->port, routes,
					   ARRAY_SIZE(routes), &all, &err);
	if (ops == NULL) {
		log_error(
			"cannot serve /health, /status and /metrics: choose another CONSUMER_HOST or CONSUMER_PORT",
			KV_S("error", err.text));
		code = EXIT_USAGE;
	}
	for (size_t i = 0; i < n && code == EXIT_OK; i++) {
		workers[i] = apply_worker_start(settings, &settings->replicas.replica[i],
						status_of[i], &err);
		if (workers[i] == NULL) {
			log_error("cannot start", KV_S("error", err.text));
			stop_request();
			code = EXIT_RUNTIME;
		}
	}
	if (code == EXIT_OK) {
		log_info("up", KV_S("version", PGFANOUT_VERSION), KV_I("replicas", (int64_t)n),
			 KV_S("host", settings->host), KV_I("port", settings->port));
		if (settings->auto_reset && settings->database_url[0] == '\0')
			log_warn(
				"replicas that lose changes do not reset themselves: AUTO_RESET needs DATABASE_URL");
		wait_for_stop();
		log_info("stopping", KV_I("at_most_ms", settings->drain_timeout_ms));
	}
	for (size_t i = 0; i < n; i++)
		if (workers[i] != NULL)
			apply_worker_join(workers[i]);
	ops_stop(ops);
	for (size_t i = 0; i < n; i++)
		status_clear(status_of[i]);
	log_info("stopped");
	return code;
}

int main(int argc, char **argv)
{
	struct consumer_settings settings;
	struct err err = { .text = "" };
	bool check;

	if (argc > 1 && strcmp(argv[1], "dead-letters") == 0)
		return dead_letters_main(argc - 1, argv + 1);
	int code = read_arguments(argc, argv, &check);
	if (code >= 0)
		return code;
	if (!consumer_settings_load(&settings, &err)) {
		fprintf(stderr, "pgfanout-consumer: %s\n", err.text);
		consumer_settings_free(&settings);
		return EXIT_USAGE;
	}
	if (check) {
		consumer_settings_print(&settings);
		consumer_settings_free(&settings);
		return EXIT_OK;
	}
	if (!log_init("consumer", settings.log_level, settings.log_format))
		fatal("LOG_LEVEL or LOG_FORMAT was not checked");
	stop_init();
	code = run(&settings);
	consumer_settings_free(&settings);
	return code;
}
