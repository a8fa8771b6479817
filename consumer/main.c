/*
 * main.c: pgfanout-consumer: keeps every replica in step with what the broker delivers.
 *
 *   thread          owns                      waits on                  stopped by
 *   main            settings, status structs  the stop flag             a signal
 *   signals         nothing                   the signals               the process's end
 *   <replica name>  a database connection,    their sockets, the stop   the stop flag, soon after
 *                   two broker connections    flag, its next duty       DRAIN_TIMEOUT_MS
 *                   (one a replica and stream)
 *   failover        nothing; verify_run()     the statuses              the stop flag
 *   ops             the HTTP listener         its sockets               main, last
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/http/ops.h"
#include "common/wire/topology.h"
#include "common/base/stop.h"
#include "consumer/failover.h"
#include "consumer/letters/dead_letters.h"
#include "consumer/settings.h"
#include "consumer/status.h"
#include "consumer/apply/worker.h"

static const struct ops_route routes[] = {
	{ "/health", "application/json", status_health },
	{ "/status", "application/json", status_json },
	{ "/metrics", "text/plain; version=0.0.4; charset=utf-8", status_metrics },
};

#define LOOK_MS 200 /* for streams that a replica has learned of */

/* Everything about one replica. */
struct replica {
	const struct replica_setting *setting;
	struct streams streams;
	struct worker {
		struct stream stream;
		struct status status;
		size_t label; /* of its metrics; 0: none yet */
		struct apply_worker *worker;
	} workers[STREAMS_MAX];
	size_t n; /* workers that were started: the first one is that of products */
};

/* False: it cannot be started. */
static bool start_worker(struct replica *r, const struct consumer_settings *settings,
			 const struct stream *stream, struct err *err)
{
	struct worker *w = &r->workers[r->n];
	bool first = r->n == 0;

	w->stream = *stream;
	if (!first && w->label == 0) /* not when it is tried again */
		w->label = status_metrics_add(r->setting->name, w->stream.name);
	if (!first) /* that of the first one is served already */
		status_init(&w->status, r->setting->name, w->stream.name, w->label,
			    r->setting->url);
	w->worker = apply_worker_start(settings, r->setting, stream, first ? &r->streams : NULL,
				       &w->status, err);
	if (w->worker == NULL) {
		if (!first)
			status_clear(&w->status);
		return false;
	}
	if (!first)
		atomic_store(&r->workers[r->n - 1].status.next, &w->status);
	r->n++;
	return true;
}

/* Streams that it has learned of since. */
static void start_new(struct replica *r, const struct consumer_settings *settings)
{
	struct stream list[STREAMS_MAX];
	size_t n = streams_take(&r->streams, 0, list);
	struct err err;

	for (size_t i = 0; i < n; i++) {
		size_t k = 0;
		while (k < r->n && r->workers[k].stream.number != list[i].number)
			k++;
		if (k == r->n && !start_worker(r, settings, &list[i], &err))
			log_error("a stream's worker cannot be started; trying again",
				  KV_S("stream", list[i].name), KV_S("error", err.text));
	}
}

static void wait_for_stop(struct replica *replicas, size_t n,
			  const struct consumer_settings *settings)
{
	struct pollfd fd = { .fd = stop_fd(), .events = POLLIN };

	while (!stop_requested()) {
		poll(&fd, 1, LOOK_MS);
		for (size_t i = 0; i < n && !stop_requested(); i++)
			start_new(&replicas[i], settings);
	}
}

static int run(const struct consumer_settings *settings)
{
	const size_t n = settings->replicas.n;
	struct replica *replicas = xcalloc(n, sizeof(*replicas));
	const char *names[REPLICAS_MAX];
	struct status *status_of[REPLICAS_MAX];
	struct status_all all = { .replicas = status_of, .n = n, .started_us = wall_now_us() };
	struct failover *failover = NULL;
	struct err err = { .text = "" };
	int code = EXIT_OK;

	for (size_t i = 0; i < n; i++) {
		replicas[i].setting = &settings->replicas.replica[i];
		streams_init(&replicas[i].streams);
		names[i] = replicas[i].setting->name;
		status_of[i] = &replicas[i].workers[0].status;
		status_init(status_of[i], names[i], topology_products()->name, i,
			    replicas[i].setting->url);
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
		if (!start_worker(&replicas[i], settings, topology_products(), &err)) {
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
		failover = failover_start(settings, status_of, &err);
		if (failover == NULL)
			log_error("replicas are not compared after a failover",
				  KV_S("error", err.text));
		wait_for_stop(replicas, n, settings);
		log_info("stopping", KV_I("at_most_ms", settings->drain_timeout_ms));
	}
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < replicas[i].n; k++)
			apply_worker_join(replicas[i].workers[k].worker);
	failover_stop(failover);
	ops_stop(ops);
	for (size_t i = 0; i < n; i++) {
		status_clear(&replicas[i].workers[0].status);
		for (size_t k = 1; k < replicas[i].n; k++)
			status_clear(&replicas[i].workers[k].status);
		streams_clear(&replicas[i].streams);
	}
	free(replicas);
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
