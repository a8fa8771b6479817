/*
 * status.c: see status.h. Writers: each worker its own; reader: the ops server's thread.
 */
#include "consumer/status.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/json/jscan.h"
#include "common/http/metrics.h"
#include "common/base/uri.h"
#include "common/base/clip.h"

static const char *const state_names[] = {
	[STATUS_CONNECTING_REPLICA] = "connecting-replica",
	[STATUS_NOT_MIGRATED] = "not-migrated",
	[STATUS_RESETTING] = "resetting",
	[STATUS_CONNECTING_BROKER] = "connecting-broker",
	[STATUS_APPLYING] = "applying",
	[STATUS_STOPPED] = "stopped",
};

static const struct metric_def metrics[] = {
	[METRIC_MESSAGES] = { "pgfanout_consumer_messages_total", METRIC_COUNTER, "replica",
			      "Messages received and acknowledged" },
	[METRIC_BATCHES] = { "pgfanout_consumer_batches_total", METRIC_COUNTER, "replica",
			     "Batches applied" },
	[METRIC_APPLIED] = { "pgfanout_consumer_applied_total", METRIC_COUNTER, "replica",
			     "Changes that changed the replica" },
	[METRIC_STALE] = { "pgfanout_consumer_stale_total", METRIC_COUNTER, "replica",
			   "Changes that the replica had already, or newer ones" },
	[METRIC_RETRIED] = { "pgfanout_consumer_retried_total", METRIC_COUNTER, "replica",
			     "Changes moved to the retry queue" },
	[METRIC_DEAD] = { "pgfanout_consumer_dead_total", METRIC_COUNTER, "replica",
			  "Changes moved to the dead-letter queue" },
	[METRIC_APPLY_TIME] = { "pgfanout_consumer_apply_seconds", METRIC_HISTOGRAM, "replica",
				"Time from sending a batch to its commit" },
	[METRIC_CONSUMING] = { "pgfanout_consumer_consuming", METRIC_GAUGE, "replica",
			       "1 while the replica's queues are consumed, else 0" },
	[METRIC_NEEDS_RESET] = { "pgfanout_consumer_needs_reset", METRIC_GAUGE, "replica",
				 "1 if the replica may be incomplete until reset-replicas has run" },
	[METRIC_WAITING] = { "pgfanout_consumer_waiting_messages", METRIC_GAUGE, "replica",
			     "Messages ready in the sync, delete and (first) retry queue" },
	[METRIC_DEAD_WAITING] = { "pgfanout_consumer_dead_messages", METRIC_GAUGE, "replica",
				  "Messages in the dead-letter queue" },
	[METRIC_LAST_APPLIED] = { "pgfanout_consumer_last_batch_timestamp_seconds", METRIC_GAUGE,
				  "replica", "Wall time of the last batch's commit" },
	[METRIC_WRONG] = { "pgfanout_consumer_wrong_products", METRIC_GAUGE, "replica",
			   "Products that are wrong on the replica, as changes of theirs were given up" },
};

const char *status_state_name(enum status_state s)
{
	return state_names[s];
}

void status_init(struct status *s, const char *replica, size_t label, const char *database_url)
{
	char url[sizeof(s->database)];

	memset(s, 0, sizeof(*s));
	s->replica = replica;
	s->label = label;
	uri_scrub(database_url, url, sizeof(url));
	clip_text(s->database, sizeof(s->database), url);
	if (pthread_mutex_init(&s->lock, NULL) != 0)
		fatal("status: cannot make a mutex");
	s->state = STATUS_CONNECTING_REPLICA;
	s->since_us = wall_now_us();
	s->wrong = -1;
}

void status_clear(struct status *s)
{
	pthread_mutex_destroy(&s->lock);
}

bool status_set_state(struct status *s, enum status_state state)
{
	pthread_mutex_lock(&s->lock);
	bool changed = s->state != state;
	if (changed) {
		s->state = state;
		s->since_us = wall_now_us();
	}
	if (state != STATUS_APPLYING)
		s->broker[0] = '\0';
	pthread_mutex_unlock(&s->lock);
	metric_set(METRIC_CONSUMING, s->label, state == STATUS_APPLYING);
	return changed;
}

void status_set_broker(struct status *s, const char *broker)
{
	pthread_mutex_lock(&s->lock);
	clip_text(s->broker, sizeof(s->broker), broker);
	pthread_mutex_unlock(&s->lock);
}

bool status_set_error(struct status *s, const char *error)
{
	char clipped[sizeof(s->error)];

	clip_text(clipped, sizeof(clipped), error);
	pthread_mutex_lock(&s->lock);
	bool changed = strcmp(s->error, clipped) != 0;
	if (changed)
		memcpy(s->error, clipped, sizeof(clipped));
	s->error_us = wall_now_us();
	pthread_mutex_unlock(&s->lock);
	return changed;
}

bool status_set_needs_reset(struct status *s, bool needs_reset, const char *reason)
{
	pthread_mutex_lock(&s->lock);
	bool changed = s->needs_reset != needs_reset;
	s->needs_reset = needs_reset;
	clip_text(s->reset_reason, sizeof(s->reset_reason), needs_reset ? reason : "");
	pthread_mutex_unlock(&s->lock);
	metric_set(METRIC_NEEDS_RESET, s->label, needs_reset);
	return changed;
}

void status_set_wrong(struct status *s, int64_t products)
{
	pthread_mutex_lock(&s->lock);
	s->wrong = products;
	pthread_mutex_unlock(&s->lock);
	metric_set(METRIC_WRONG, s->label, products);
}

void status_set_queues(struct status *s, uint32_t sync, uint32_t deletes, uint32_t retry,
		       uint32_t dead)
{
	pthread_mutex_lock(&s->lock);
	s->counted = true;
	s->waiting_sync = sync;
	s->waiting_delete = deletes;
	s->waiting_retry = retry;
	s->waiting_dead = dead;
	pthread_mutex_unlock(&s->lock);
	metric_set(METRIC_WAITING, s->label, (int64_t)sync + deletes + retry);
	metric_set(METRIC_DEAD_WAITING, s->label, dead);
}

/* ---- answers ---- */

void status_metrics_init(const char *const *replicas, size_t n)
{
	metrics_init(metrics, ARRAY_SIZE(metrics), replicas, n);
}

int status_health(void *arg, struct strbuf *body)
{
	(void)arg;
	strbuf_addstr(body, "{\"success\":true,\"data\":{\"status\":\"ok\"},"
			    "\"message\":\"Health retrieved successfully\"}\n");
	return 200;
}

int status_metrics(void *arg, struct strbuf *body)
{
	(void)arg;
	metrics_write(body);
	return 200;
}

static void add_string(struct strbuf *out, const char *key, const char *value)
{
	strbuf_addf(out, ",\"%s\":", key);
	if (*value == '\0')
		strbuf_addstr(out, "null");
	else
		jscan_write_string(out, value, strlen(value));
}

static void add_time(struct strbuf *out, const char *key, int64_t wall_us)
{
	char text[CLOCK_TIMESTAMP_MAX];

	if (wall_us == 0) {
		strbuf_addf(out, ",\"%s\":null", key);
		return;
	}
	clock_format_wall(wall_us, text);
	strbuf_addf(out, ",\"%s\":\"%s\"", key, text);
}

static void add_number(struct strbuf *out, const char *key, int64_t value)
{
	strbuf_addf(out, ",\"%s\":", key);
	strbuf_addint(out, value);
}

static void add_replica(struct strbuf *out, struct status *s)
{
	static const struct {
		const char *key;
		enum consumer_metric metric;
	} counters[] = {
		{ "messages", METRIC_MESSAGES }, { "batches", METRIC_BATCHES },
		{ "applied", METRIC_APPLIED },	 { "stale", METRIC_STALE },
		{ "retried", METRIC_RETRIED },	 { "dead", METRIC_DEAD },
	};

	strbuf_addstr(out, "{\"name\":");
	jscan_write_string(out, s->replica, strlen(s->replica));
	add_string(out, "database", s->database);
	pthread_mutex_lock(&s->lock);
	add_string(out, "state", status_state_name(s->state));
	add_time(out, "since", s->since_us);
	add_string(out, "broker", s->broker);
	add_string(out, "lastError", s->error);
	add_time(out, "lastErrorAt", s->error_us);
	strbuf_addf(out, ",\"needsReset\":%s", s->needs_reset ? "true" : "false");
	add_string(out, "needsResetReason", s->reset_reason);
	if (s->wrong >= 0)
		add_number(out, "wrongProducts", s->wrong);
	else
		strbuf_addstr(out, ",\"wrongProducts\":null");
	if (s->counted)
		strbuf_addf(out, ",\"queues\":{\"sync\":%u,\"delete\":%u,\"retry\":%u,\"dead\":%u}",
			    s->waiting_sync, s->waiting_delete, s->waiting_retry, s->waiting_dead);
	else
		strbuf_addstr(out, ",\"queues\":null");
	pthread_mutex_unlock(&s->lock);
	for (size_t i = 0; i < ARRAY_SIZE(counters); i++)
		add_number(out, counters[i].key, metric_get(counters[i].metric, s->label));
	strbuf_addch(out, '}');
}

int status_json(void *arg, struct strbuf *body)
{
	const struct status_all *all = arg;

	strbuf_addstr(
		body,
		"{\"success\":true,\"data\":{\"program\":\"pgfanout-consumer\",\"version\":\"" PGFANOUT_VERSION
		"\"");
	add_time(body, "startedAt", all->started_us);
	strbuf_addstr(body, ",\"replicas\":[");
	for (size_t i = 0; i < all->n; i++) {
		if (i > 0)
			strbuf_addch(body, ',');
		add_replica(body, all->replicas[i]);
	}
	strbuf_addstr(body, "]},\"message\":\"Status retrieved successfully\"}\n");
	return 200;
}
