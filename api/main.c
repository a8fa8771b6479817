/*
 * main.c: pgfanout-api: takes reads and writes over HTTP, spreads the reads over the replicas, and
 * publishes every change.
 *
 * thread      owns                            waits on                             stopped by
 * main        the life of the others          stop_fd()                            a signal
 * worker-N    its HTTP server, loop, links    its epoll, at most 200 ms            worker_stop()
 * <database>  a connection to watch it        its condition, or the server (with   connector_stop()
 *                                             timeouts)
 * relay       broker, outbox connections      see relay.h                          relays_stop()
 * catalog     a connection, the newest model  its condition, or the primary        catalog_stop()
 * counts      a connection, counts of rows    its condition, or the primary        counts_stop()
 *
 * The end, on SIGTERM or SIGINT: /ready answers 503, nothing new is accepted, requests under way
 * are finished (at most DRAIN_TIMEOUT_MS). Then the relay has a few seconds for what was written
 * last; the rest waits in the primary for the next start. A kill -9 at any moment loses nothing
 * that was acknowledged.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/measures.h"
#include "api/stores.h"
#include "api/resources/catalog.h"
#include "api/resources/counts.h"
#include "api/routes.h"
#include "api/serve/worker.h"
#include "common/base/log.h"
#include "common/pg/schema.h"
#include "common/base/stop.h"

#define HEAR_MS 2000

/* Not migrated is for a person to repair; not reachable may pass, and reads do not need the
 * primary. */
static enum exit_code check_primary(const struct api_settings *s)
{
	struct db_options opt = { .application_name = "pgfanout-api" };
	struct err err;
	struct pg_conn *c = db_connect_raw(s->database_url, &opt, &err);

	if (!c && sqlstate_outcome(err.sqlstate) == DB_SCHEMA) {
		log_error("cannot start", KV_S("error", err.text));
		exit(EXIT_SCHEMA);
	}
	if (!c) {
		log_warn("primary not reached: starting without it, trying again",
			 KV_S("error", err.text));
		return EXIT_OK;
	}
	enum db_outcome outcome = db_check_schema(c, "primary", SCHEMA_PRIMARY, &err);

	db_conn_close(c);
	if (outcome == DB_SCHEMA) {
		log_error("cannot start", KV_S("error", err.text));
		return EXIT_SCHEMA;
	}
	if (outcome != DB_OK)
		log_warn("primary's schema not checked: starting nevertheless",
			 KV_S("error", err.text));
	return EXIT_OK;
}

/* What primary of ours replicas and standbys follow, before anything is connected to one: it may be an old one that
 * answers. They are asked one after another, and no more once that has taken HEAR_MS. */
static void hear_followed(struct primary *primary, const struct replica_settings *all,
			  const char *sql, struct mono end)
{
	const struct db_options opt = { .application_name = "pgfanout-api",
					.statement_timeout_ms = HEAR_MS };

	for (size_t i = 0; i < all->n && !mono_reached(end, mono_now()); i++) {
		struct err ignored; /* its connector says what is wrong with it */
		struct pg_result *r = NULL;
		struct pg_conn *c = db_connect_raw(all->replica[i].url, &opt, &ignored);

		if (c && db_query(c, sql, 0, NULL, false, end, &r, &ignored) == DB_OK &&
		    db_rows(r) == 1 && *db_value(r, 0, 0) != '\0')
			(void)primary_hear(primary, db_value(r, 0, 0));
		db_result_clear(r);
		db_conn_close(c);
	}
}

static void hear(struct primary *primary, const struct api_settings *s)
{
	const struct mono end = mono_add_ms(mono_now(), HEAR_MS);

	hear_followed(primary, &s->replicas,
		      "SELECT follows FROM pgfanout.streams WHERE stream = 1", end);
	hear_followed(primary, &s->standbys, "SELECT pgfanout.source() WHERE pg_is_in_recovery()",
		      end);
}

static void raise_file_limit(const struct api_settings *s)
{
	struct rlimit limit;
	int64_t needed = s->max_connections + 64 + s->workers * (10 + 2 * (int64_t)s->replicas.n);

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || (int64_t)limit.rlim_cur < needed)
		log_warn("fewer files can be open than MAX_CONNECTIONS needs: raise the limit "
			 "(ulimit -n)",
			 KV_I("limit", (int64_t)limit.rlim_cur), KV_I("needed", needed));
}

static struct relays *start_relays(const struct service *service, const char *const *names,
				   struct err *err)
{
	const struct api_settings *s = service->settings;
	struct relay_options opt = {
		.primary = service->upstreams.server,
		.rabbitmq_urls = s->rabbitmq_url,
		.application_name = "pgfanout-api relay",
		.replicas = names,
		.nreplicas = s->replicas.n,
		.max_attempts = (unsigned)s->max_attempts,
		.message_max_changes = (unsigned)s->message_max_changes,
		.heartbeat_ms = s->heartbeat_ms,
		.max_backlog = (uint64_t)s->max_backlog_messages,
	};

	return relays_start(&opt, err);
}

/* Fills workers, as far as it comes. */
static enum exit_code make_workers(struct service *service, struct worker **workers)
{
	const struct api_settings *s = service->settings;
	struct err err;
	/* With SO_REUSEPORT alone a second process of this user would share the port unnoticed. */
	struct http_sockets sockets;
	bool ok = http_listen(s->host, (int)s->port, false, &sockets, &err);

	if (ok)
		http_sockets_close(&sockets);
	for (int64_t i = 0; ok && i < s->workers; i++) {
		ok = http_listen(s->host, (int)s->port, true, &sockets, &err);
		if (ok)
			workers[i] = worker_new((unsigned)i + 1, service, &sockets, &err);
		ok = ok && workers[i];
	}
	if (ok)
		return EXIT_OK;
	log_error("cannot start", KV_S("error", err.text));
	return EXIT_USAGE;
}

static void note_stream(void *relays, int number, const char *name)
{
	relays_note(relays, number, name);
}

/* Starts the threads, as far as it comes; running: how many workers. */
static enum exit_code start(struct service *service, const char *const *names,
			    struct worker **workers, int64_t *running)
{
	const struct api_settings *s = service->settings;
	struct err err;

	service->relays = start_relays(service, names, &err);
	bool ok = service->relays != NULL;

	service->relay = ok ? relays_products(service->relays) : NULL;
	service->upstreams.note_stream = note_stream;
	service->upstreams.note_arg = service->relays;

	ok = ok &&
	     catalog_start(service->upstreams.server, service->listed, service->models,
			   &service->catalog, &err) &&
	     counts_start(service->upstreams.server, service->listed, service->models,
			  &service->counts, &err);
	for (size_t i = 0; ok && i < service->upstreams.n; i++)
		ok = connector_start(&service->upstreams, i, s, &err);
	while (ok && *running < s->workers) {
		ok = worker_start(workers[*running], &err);
		*running += ok;
	}
	if (ok)
		return EXIT_OK;
	log_error("cannot start", KV_S("error", err.text));
	return EXIT_RUNTIME;
}

static void serve(const struct api_settings *s)
{
	struct pollfd stop = { .fd = stop_fd(), .events = POLLIN };

	log_info("up", KV_S("version", PGFANOUT_VERSION),
		 KV_S("libmicrohttpd", http_library_version()), KV_S("host", s->host),
		 KV_I("port", s->port), KV_I("workers", s->workers),
		 KV_I("replicas", (int64_t)s->replicas.n));
	while (poll(&stop, 1, -1) < 0 && errno == EINTR)
		;
	log_info("stopping: finishing what was accepted");
}

static void read_resources(const struct api_settings *s, struct listed *ret)
{
	struct err err;

	if (!api_settings_resources(s, ret, &err))
		fatal("RESOURCES: %s", err.text); /* settings.c has looked */
}

/* What was made and started is stopped in reverse, also when the start failed half-way. */
static enum exit_code run(const struct api_settings *s)
{
	static struct service service;
	static struct primary primary;
	const char *names[REPLICAS_MAX + 1];
	struct worker **workers = xcalloc((size_t)s->workers, sizeof(struct worker *));
	int64_t running = 0;
	struct err err;

	service.settings = s;
	struct listed listed = { 0 };
	struct catalog_place models;
	struct routes routes;

	read_resources(s, &listed);
	routes_make(&routes, s->resource_prefix, &listed);
	catalog_place_init(&models);
	service.listed = &listed;
	service.models = &models;
	service.routes = &routes.table;
	service.calls = &stores_calls;
	if (!http_hosts_init(&service.hosts, s->host, s->allowed_hosts, &err))
		fatal("ALLOWED_HOSTS: %s", err.text); /* settings.c has looked */
	service.started_us = wall_now_us();
	primary_init(&primary, s->database_url);
	service.upstreams.server = &primary;
	lag_clock_set(&service.upstreams.clock, mono_now(), service.started_us);
	for (size_t i = 0; i < s->replicas.n; i++) {
		names[i] = s->replicas.replica[i].name;
		upstreams_add(&service.upstreams, names[i], s->replicas.replica[i].url,
			      UPSTREAM_REPLICA);
	}
	size_t n = s->replicas.n;

	for (size_t i = 0; i < s->standbys.n; i++) {
		names[n++] = s->standbys.replica[i].name;
		upstreams_add(&service.upstreams, names[n - 1], s->standbys.replica[i].url,
			      UPSTREAM_STANDBY);
	}
	names[n] = "primary";
	for (size_t i = 0; i < s->standbys.n; i++)
		service.upstreams.list[s->replicas.n + i].may_lead =
			db_has_host_of(s->database_url, s->standbys.replica[i].url);
	upstreams_add(&service.upstreams, "primary", s->database_url, UPSTREAM_PRIMARY);
	measures_init(names, n + 1);

	enum exit_code code = make_workers(&service, workers);

	if (code == EXIT_OK)
		code = check_primary(s);
	if (code == EXIT_OK)
		hear(&primary, s);
	if (code == EXIT_OK)
		code = start(&service, names, workers, &running);
	if (code == EXIT_OK)
		serve(s);

	atomic_store(&service.draining, true);
	for (int64_t i = 0; i < running; i++)
		worker_stop(workers[i]);
	for (int64_t i = 0; i < running; i++)
		worker_join(workers[i]);
	counts_stop(service.counts);
	catalog_stop(service.catalog);
	/* The connectors may start relays: they first. */
	for (size_t i = 0; i < service.upstreams.n; i++)
		connector_stop(&service.upstreams.list[i]);
	relays_stop(service.relays);
	for (int64_t i = 0; i < s->workers; i++)
		worker_free(workers[i]);
	free(workers);
	upstreams_clear(&service.upstreams);
	primary_clear(&primary);
	catalog_place_clear(&models);
	routes_clear(&routes);
	listed_clear(&listed);
	if (code == EXIT_OK)
		log_info("stopped");
	return code;
}

int main(int argc, char **argv)
{
	static struct api_settings settings;

	if (argc == 2 && strcmp(argv[1], "--routes") == 0) {
		routes_print();
		return EXIT_OK;
	}
	int code = program_begin(&api_program, argc, argv, &settings);

	if (code != PROGRAM_GOES_ON)
		return code;
	raise_file_limit(&settings);
	code = run(&settings);
	program_free(&api_program, &settings);
	return code;
}
