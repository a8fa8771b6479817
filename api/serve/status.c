/*
 * status.c: see status.h. No settings and no connection strings appear here.
 */
#include "api/serve/status.h"

#include "api/measures.h"
#include "api/serve/request.h"
#include "common/json/report.h"

void status_reply(struct request *r, json_t *data, const char *message)
{
	report_write(http_out(r->http), data, message);
	request_reply(r, 200);
}

void status_get_index(struct request *r)
{
	const struct route_table *table = r->all->service->routes;
	json_t *routes = json_array();

	for (size_t i = 0; i < table->n; i++) {
		const struct route *route = &table->list[i];

		json_array_append_new(routes, json_pack("{s:s, s:s, s:s}", "method",
							route_method_name(route->method), "path",
							route->pattern, "help", route->help));
	}
	status_reply(r,
		     json_pack("{s:s, s:s, s:o}", "program", "pgfanout-api", "version",
			       PGFANOUT_VERSION, "routes", routes),
		     "pgfanout: a product catalogue with replicas");
}

void status_get_health(struct request *r)
{
	status_reply(r, json_pack("{s:s}", "status", "ok"), "The process works");
}

/* After a start: whether every worker has its links to every replica that serves; before that, the
 * primary would be read instead. A replica that does not answer is not waited for, nor is one that
 * takes no more connections. */
static bool warm(struct service *s)
{
	int64_t all = s->settings->workers * POOL_READ_LINKS;

	for (size_t i = 0; i + 1 < s->upstreams.n; i++) {
		const struct upstream *up = &s->upstreams.list[i];

		if (atomic_load(&up->looked_us) == 0 ||
		    (atomic_load(&up->fit) && !atomic_load(&up->unopened) &&
		     atomic_load(&up->readers) < all))
			return false;
	}
	return true;
}

void status_get_ready(struct request *r)
{
	struct service *s = r->all->service;
	struct upstream *primary = upstreams_primary(&s->upstreams);
	const char *reason = NULL;
	bool readable = atomic_load(&primary->readers) > 0 && atomic_load(&primary->fit);

	for (size_t i = 0; i + 1 < s->upstreams.n; i++) {
		struct upstream *up = &s->upstreams.list[i];

		readable = readable ||
			   (atomic_load(&up->readers) > 0 && atomic_load(&up->complete));
	}
	if (atomic_load(&s->draining))
		reason = "stopping";
	else if (atomic_load(&primary->hung) > 0)
		reason =
			"commits wait for a synchronous standby that does not answer: writes are not "
			"possible";
	else if (atomic_load(&primary->writers) == 0)
		reason = "no connection to the primary: writes are not possible";
	else if (metric_get(M_DATABASE_UP, primary->index) == 0)
		reason = "the primary does not serve: writes are not possible; see /status";
	else if (!readable)
		reason = "no database answers reads";
	else if (!atomic_load(&s->warm) && !warm(s))
		reason = "starting: not all connections are open yet";
	if (reason) {
		r->asked_whether = true;
		request_unavailable(r, "%s", reason);
		return;
	}
	atomic_store(&s->warm, true);
	status_reply(r, json_pack("{s:s}", "status", "ready"), "Reads and writes are possible");
}

/* Its own text, an array; none: an empty one. */
static json_t *array_of(const char *text)
{
	json_t *list = text ? json_loads(text, 0, NULL) : NULL;

	return list ? list : json_array();
}

/* Of a replica's streams beside products: how far each is behind, in the place of its heartbeat. */
static json_t *replica_streams_json(const struct upstream *up)
{
	json_t *list = array_of(up->streams), *o;
	size_t i;

	json_array_foreach(list, i, o)
	{
		const json_t *beat = json_object_get(o, "heartbeat");
		int64_t lag_us;
		bool known = json_is_integer(beat) &&
			     lag_between(json_integer_value(beat),
					 lag_clock_now(up->clock, mono_now()), &lag_us);

		json_object_set_new(o, "lagMs", known ? json_integer(lag_us / 1000) : json_null());
		json_object_del(o, "heartbeat");
		json_object_del(o, "number");
	}
	return list;
}

static json_t *upstream_json(struct upstream *up)
{
	pthread_mutex_lock(&up->lock);
	json_t *o = json_pack("{s:s, s:s, s:o, s:b, s:i, s:i, s:I}", "name", up->name, "state",
			      upstream_state_name(up->state), "since", report_time(up->since_us),
			      "needsReset", up->state == UPSTREAM_NEEDS_RESET, "serverVersion",
			      up->server_version, "connections",
			      atomic_load(&up->readers) + atomic_load(&up->writers), "reads",
			      (json_int_t)metric_get(M_READS, up->index));

	int64_t lag_us;

	if (upstream_lag_us(up, &lag_us))
		json_object_set_new(o, "lagMs", json_integer((json_int_t)(lag_us / 1000)));
	else if (!up->primary)
		json_object_set_new(o, "lagMs", json_null());
	if (up->reason[0])
		json_object_set_new(o, "reason", json_string(up->reason));
	if (up->primary) {
		json_object_set_new(o, "tables", array_of(up->tables));
		json_object_set_new(o, "hung", json_integer(atomic_load(&up->hung)));
	} else if (!up->standby) {
		json_object_set_new(o, "wrongProducts",
				    json_integer((json_int_t)wrong_place_count(&up->wrong)));
		json_object_set_new(o, "streams", replica_streams_json(up));
	}
	pthread_mutex_unlock(&up->lock);
	return o;
}

static bool same_member(const json_t *a, const json_t *b, const char *name)
{
	const json_t *x = json_object_get(a, name);

	return json_is_string(x) && json_equal(x, json_object_get(b, name));
}

/* What the primary says of the standby whose receiver says this, by slot or, where there is none, by name; NULL: it
 * says nothing, as of one that follows another standby. */
static json_t *find_sender(const json_t *senders, const json_t *receiver)
{
	static const char *const members[] = { "slot", "name" };
	json_t *sender;
	size_t i;

	for (size_t k = 0; k < ARRAY_SIZE(members); k++)
		json_array_foreach(senders, i, sender) if (same_member(sender, receiver,
								       members[k])) return sender;
	return NULL;
}

static json_t *standby_json(struct upstream *up, const json_t *senders)
{
	static const char *const members[] = { "writeLagMs", "flushLagMs", "replayLagMs",
					       "syncState", "slot" };
	json_t *o = upstream_json(up);

	json_object_del(o, "needsReset");
	pthread_mutex_lock(&up->lock);
	json_t *receiver = up->receiver ? json_loads(up->receiver, 0, NULL) : json_null();
	pthread_mutex_unlock(&up->lock);
	json_t *sender = find_sender(senders, receiver);

	json_object_set(o, "streaming", sender ? json_object_get(sender, "state") : json_null());
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		json_object_set(o, members[i],
				sender ? json_object_get(sender, members[i]) : json_null());
	json_object_set_new(o, "receiver", receiver ? receiver : json_null());
	return o;
}

static json_t *standbys_json(struct service *s)
{
	struct upstream *primary = upstreams_primary(&s->upstreams);
	json_t *list = json_array();

	pthread_mutex_lock(&primary->lock);
	json_t *senders = array_of(primary->standbys);
	pthread_mutex_unlock(&primary->lock);
	for (size_t i = 0; i + 1 < s->upstreams.n; i++)
		if (s->upstreams.list[i].standby)
			json_array_append_new(list, standby_json(&s->upstreams.list[i], senders));
	json_decref(senders);
	return list;
}

static json_t *relay_json(struct relay *relay)
{
	struct relay_status st;

	relay_status(relay, &st);
	json_t *o = json_pack("{s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I}", "state",
			      relay_state_name(st.state), "broker", st.broker, "brokerBlocked",
			      st.broker_blocked, "inFlight", (json_int_t)st.in_flight, "messages",
			      (json_int_t)st.messages, "confirmed", (json_int_t)st.confirmed,
			      "returned", (json_int_t)st.returned, "nacked", (json_int_t)st.nacked);

	if (st.last_error[0]) {
		json_object_set_new(o, "lastError", json_string(st.last_error));
		json_object_set_new(o, "lastErrorAt", report_time(st.last_error_at_s * 1000000));
		json_object_set_new(o, "lastErrorOverAt",
				    st.error_over_at_s ? report_time(st.error_over_at_s * 1000000)
						       : json_null());
	}
	return o;
}

/* With all that is recorded, of whatever stream. */
static json_t *products_relay_json(struct service *s)
{
	int64_t outbox = atomic_load(&upstreams_primary(&s->upstreams)->outbox);
	json_t *o = relay_json(s->relay);

	json_object_set_new(o, "outbox", outbox < 0 ? json_null() : json_integer(outbox));
	return o;
}

/* Of the streams beside products. */
static json_t *streams_json(struct service *s)
{
	json_t *list = json_array();
	const char *stream;

	for (size_t i = 1; i < relays_count(s->relays); i++) {
		json_t *o = relay_json(relays_get(s->relays, i, &stream));
		json_object_set_new(o, "stream", json_string(stream));
		json_array_append_new(list, o);
	}
	return list;
}

json_t *status_data(struct service *s)
{
	json_t *replicas = json_array();

	for (size_t i = 0; i + 1 < s->upstreams.n; i++)
		if (!s->upstreams.list[i].standby)
			json_array_append_new(replicas, upstream_json(&s->upstreams.list[i]));
	return json_pack("{s:s, s:s, s:o, s:I, s:b, s:I, s:o, s:o, s:o, s:o, s:o}", "program",
			 "pgfanout-api", "version", PGFANOUT_VERSION, "startedAt",
			 report_time(s->started_us), "uptimeSeconds",
			 (json_int_t)((wall_now_us() - s->started_us) / 1000000), "stopping",
			 (int)atomic_load(&s->draining), "workers",
			 (json_int_t)s->settings->workers, "primary",
			 upstream_json(upstreams_primary(&s->upstreams)), "replicas", replicas,
			 "standbys", standbys_json(s), "relay", products_relay_json(s), "streams",
			 streams_json(s));
}

json_t *status_stats_data(const struct service *s)
{
	json_t *reads = json_object();

	for (size_t i = 0; i < s->upstreams.n; i++)
		json_object_set_new(reads, s->upstreams.list[i].name,
				    json_integer((json_int_t)metric_get(M_READS, i)));

	static const struct {
		const char *name;
		enum measure measure;
	} counters[] = {
		{ "requests", M_REQUESTS },
		{ "clientErrors", M_ANSWERS_4XX },
		{ "serverErrors", M_ANSWERS_5XX },
		{ "inFlight", M_IN_FLIGHT },
		{ "connections", M_CONNECTIONS },
		{ "overloaded", M_OVERLOADED },
		{ "timeouts", M_TIMEOUTS },
		{ "writes", M_WRITES },
		{ "writeStatements", M_WRITE_UNITS },
		{ "importedRows", M_IMPORT_ROWS },
		{ "rejectedLines", M_IMPORT_REJECTED },
		{ "listsRunning", M_LISTS_RUNNING },
		{ "importsRunning", M_IMPORTS_RUNNING },
	};
	json_t *data = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(counters); i++)
		json_object_set_new(data, counters[i].name,
				    json_integer((json_int_t)metric_get(counters[i].measure, 0)));
	json_object_set_new(data, "reads", reads);
	return data;
}

static void measure_relays(const struct service *s)
{
	const char *stream;

	for (size_t i = 0; i < relays_count(s->relays); i++) {
		const size_t label = relays_label(s->relays, i);
		struct relay_status st;

		relay_status(relays_get(s->relays, i, &stream), &st);
		metric_set(M_RELAY_CONNECTED, label, st.broker[0] != '\0');
		metric_set(M_RELAY_LEADER, label, st.state == RELAY_LEADING);
		metric_set(M_RELAY_IN_FLIGHT, label, (int64_t)st.in_flight);
		metric_set(M_RELAY_MESSAGES, label, (int64_t)st.messages);
		metric_set(M_RELAY_CONFIRMED, label, (int64_t)st.confirmed);
		metric_set(M_RELAY_RETURNED, label, (int64_t)st.returned);
		metric_set(M_RELAY_NACKED, label, (int64_t)st.nacked);
		metric_set(M_RELAY_TOO_LARGE, label, (int64_t)st.too_large);
	}
}

void status_get_metrics(struct request *r)
{
	struct upstreams *all = &r->all->service->upstreams;

	for (size_t i = 0; i < all->n; i++) {
		int64_t lag_us = METRIC_UNKNOWN;

		(void)!upstream_lag_us(&all->list[i], &lag_us);
		metric_set(M_REPLICA_LAG, i, lag_us);
	}
	int64_t outbox = atomic_load(&upstreams_primary(all)->outbox);

	metric_set(M_OUTBOX, 0, outbox < 0 ? METRIC_UNKNOWN : outbox);
	measure_relays(r->all->service);
	metrics_write(http_out(r->http));
	http_content_type(r->http, "text/plain; version=0.0.4; charset=utf-8");
	request_reply(r, 200);
}
