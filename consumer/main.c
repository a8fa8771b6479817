/*
 * main.c: pgfanout-consumer: keeps every replica in step with what the broker delivers.
 *
 *   thread          owns                      waits on                  stopped by
 *   main            settings, status structs  the stop flag             a signal
 *   signals         nothing                   the signals               the process's end
 *   <replica name>  a database connection,    their sockets, the stop   the stop flag, soon after
 *                   two broker connections    flag, its next duty       DRAIN_TIMEOUT_MS
 *   ops             the HTTP listener         its sockets               main, last
 */
#include <poll.h>
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

	struct ops_server *ops = ops_start(settings->host, (int)settings->port,
					   settings->allowed_hosts, routes, ARRAY_SIZE(routes),
					   &all, &err);
	if (ops == NULL) {
		log_error("cannot serve /health, /status and /metrics: choose another "
			  "CONSUMER_HOST or CONSUMER_PORT",
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
			log_warn("replicas that lose changes do not reset themselves: "
				 "AUTO_RESET needs DATABASE_URL");
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

	if (argc > 1 && strcmp(argv[1], "dead-letters") == 0)
		return dead_letters_main(argc - 1, argv + 1);
	int code = program_begin(&consumer_program, argc, argv, &settings);

	if (code != PROGRAM_GOES_ON)
		return code;
	code = run(&settings);
	program_free(&consumer_program, &settings);
	return code;
}
