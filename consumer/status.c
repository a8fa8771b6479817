/*
 * status.c: see status.h. Writers: each worker its own; reader: the ops server's thread.
 */
#include "consumer/status.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/json/report.h"
#include "common/http/metrics.h"
#include "common/base/uri.h"
#include "common/base/clip.h"

static const char *const state_names[] = {
	[STATUS_CONNECTING_REPLICA] = "connecting-replica",
	[STATUS_NOT_MIGRATED] = "not-migrated",
	[STATUS_RESETTING] = "resetting",
	[STATUS_CONNECTING_BROKER] = "connecting-broker",
	[STATUS_ANOTHER_PRIMARY] = "another-primary",
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
				 "1 if the replica may be incomplete until reset-replicas "
				 "has run" },
	[METRIC_WAITING] = { "pgfanout_consumer_waiting_messages", METRIC_GAUGE, "replica",
			     "Messages ready or unacknowledged in the sync, delete and retry queues" },
	[METRIC_DEAD_WAITING] = { "pgfanout_consumer_dead_messages", METRIC_GAUGE, "replica",
				  "Messages in the dead-letter queue" },
	[METRIC_LAST_APPLIED] = { "pgfanout_consumer_last_batch_timestamp_seconds", METRIC_GAUGE,
				  "replica", "Wall time of the last batch's commit" },
	[METRIC_WRONG] = { "pgfanout_consumer_wrong_products", METRIC_GAUGE, "replica",
			   "Products that are wrong on the replica, as changes of theirs "
			   "were given up" },
	[METRIC_BLOCKED] = { "pgfanout_consumer_blocked", METRIC_GAUGE, "replica",
			     "1 while a batch waits for a lock that another session of the replica "
			     "holds" },
	[METRIC_WAITING_ROWS] = { "pgfanout_consumer_waiting_rows", METRIC_GAUGE, "replica",
				  "Rows whose newest change waits on the replica for another row "
				  "to make way" },
};

static const struct metric_def wrong_rows = {
	.name = "pgfanout_consumer_wrong_rows",
	.type = METRIC_GAUGE,
	.label = "replica",
	.help = "Rows of a table that are wrong on the replica, as changes of theirs were given up",
};

const char *status_state_name(enum status_state s)
{
	return state_names[s];
}

static void set_gauge(const struct status *s, enum consumer_metric metric, int64_t value)
{
	metric_set(metric, s->label, value);
}

void status_count(struct status *s, enum consumer_metric metric, int64_t n)
{
	atomic_fetch_add(&s->counters[metric], n);
	metric_add(metric, s->label, n);
}

void status_applied(struct status *s, int64_t newest_version, int64_t took_us)
{
	int64_t now_us = wall_now_us();

	if (newest_version > atomic_load(&s->newest_version))
		atomic_store(&s->newest_version, newest_version);
	atomic_store(&s->last_applied_us, now_us);
	set_gauge(s, METRIC_LAST_APPLIED, now_us / 1000000);
	if (took_us >= 0)
		metric_observe_us(METRIC_APPLY_TIME, s->label, took_us);
}

void status_init(struct status *s, const char *replica, const char *stream, size_t label,
		 const char *database_url)
{
	char url[sizeof(s->database)];

	memset(s, 0, sizeof(*s));
	s->replica = replica;
	s->stream = stream;
	s->label = label;
	uri_scrub(database_url, url, sizeof(url));
	clip_text(s->database, sizeof(s->database), url);
	if (pthread_mutex_init(&s->lock, NULL) != 0)
		fatal("status: cannot make a mutex");
	s->state = STATUS_CONNECTING_REPLICA;
	s->since_us = wall_now_us();
	s->wrong = s->waiting = -1;
}

void status_clear(struct status *s)
{
	pthread_mutex_destroy(&s->lock);
	free(s->wrong_tables);
}

static void forget_queues(const struct status *s)
{
	set_gauge(s, METRIC_WAITING, METRIC_UNKNOWN);
	set_gauge(s, METRIC_DEAD_WAITING, METRIC_UNKNOWN);
}

bool status_set_state(struct status *s, enum status_state state)
{
	pthread_mutex_lock(&s->lock);
	bool changed = s->state != state;
	if (changed) {
		s->state = state;
		s->since_us = wall_now_us();
	}
	if (state != STATUS_APPLYING) {
		s->broker[0] = '\0';
		s->counted = false; /* nobody counts while nobody consumes */
	}
	pthread_mutex_unlock(&s->lock);
	if (state != STATUS_APPLYING)
		forget_queues(s);
	set_gauge(s, METRIC_CONSUMING, state == STATUS_APPLYING);
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
	s->error_over_us = 0;
	pthread_mutex_unlock(&s->lock);
	return changed;
}

void status_error_over(struct status *s)
{
	pthread_mutex_lock(&s->lock);
	if (s->error_us != 0 && s->error_over_us == 0)
		s->error_over_us = wall_now_us();
	pthread_mutex_unlock(&s->lock);
}

bool status_set_needs_reset(struct status *s, bool needs_reset, const char *reason)
{
	pthread_mutex_lock(&s->lock);
	bool changed = s->needs_reset != needs_reset;
	s->needs_reset = needs_reset;
	clip_text(s->reset_reason, sizeof(s->reset_reason), needs_reset ? reason : "");
	pthread_mutex_unlock(&s->lock);
	set_gauge(s, METRIC_NEEDS_RESET, needs_reset);
	return changed;
}

void status_set_blockers(struct status *s, const struct status_blocker *blockers, size_t n)
{
	pthread_mutex_lock(&s->lock);
	s->nblockers = min_size(n, STATUS_BLOCKERS);
	memcpy(s->blockers, blockers, s->nblockers * sizeof(*blockers));
	pthread_mutex_unlock(&s->lock);
	set_gauge(s, METRIC_BLOCKED, n > 0);
}

void status_set_wrong(struct status *s, int64_t rows, const char *tables)
{
	pthread_mutex_lock(&s->lock);
	s->wrong = rows;
	free(s->wrong_tables);
	s->wrong_tables = xstrdup(tables);
	pthread_mutex_unlock(&s->lock);
	set_gauge(s, METRIC_WRONG, rows);
}

void status_set_waiting(struct status *s, int64_t changes)
{
	pthread_mutex_lock(&s->lock);
	s->waiting = changes;
	pthread_mutex_unlock(&s->lock);
	set_gauge(s, METRIC_WAITING_ROWS, changes);
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
	set_gauge(s, METRIC_WAITING, (int64_t)sync + deletes + retry);
	set_gauge(s, METRIC_DEAD_WAITING, dead);
}

/* ---- answers ---- */

static void nothing_is_known(size_t label)
{
	metric_set(METRIC_WAITING, label, METRIC_UNKNOWN);
	metric_set(METRIC_DEAD_WAITING, label, METRIC_UNKNOWN);
	metric_set(METRIC_WRONG, label, METRIC_UNKNOWN);
	metric_set(METRIC_WAITING_ROWS, label, METRIC_UNKNOWN);
	metric_set(METRIC_NEEDS_RESET, label, METRIC_UNKNOWN);
}

void status_metrics_init(const char *const *replicas, size_t n)
{
	metrics_init(metrics, ARRAY_SIZE(metrics), replicas, n);
	for (size_t i = 0; i < n; i++)
		nothing_is_known(i);
}

size_t status_metrics_add(const char *replica, const char *stream)
{
	const struct metric_value v = {
		.label = "replica", .value = replica, .label_2 = "stream", .value_2 = stream
	};
	size_t label = metrics_add(&v);

	nothing_is_known(label);
	return label;
}

int status_health(void *arg, struct strbuf *body)
{
	(void)arg;
	report_write(body, json_pack("{s:s}", "status", "ok"), "Health retrieved successfully");
	strbuf_addch(body, '\n');
	return 200;
}

/* How many rows of which table are wrong; JSON's null: not known yet. Under the lock; the caller's. */
static json_t *wrong_tables(const struct status *s)
{
	return s->wrong_tables != NULL ? json_loads(s->wrong_tables, 0, NULL) : json_null();
}

static void write_wrong_rows(struct strbuf *body, struct status *s)
{
	pthread_mutex_lock(&s->lock);
	json_t *tables = wrong_tables(s);
	pthread_mutex_unlock(&s->lock);

	const char *name;
	json_t *rows;
	json_object_foreach(tables, name, rows)
	{
		const struct metric_value v = { "replica", s->replica, "stream",
						s->stream, "table",    name };
		metrics_write_series(body, &wrong_rows, &v, json_integer_value(rows));
	}
	json_decref(tables);
}

int status_metrics(void *arg, struct strbuf *body)
{
	const struct status_all *all = arg;

	metrics_write(body);
	metrics_write_head(body, &wrong_rows);
	for (size_t i = 0; i < all->n; i++)
		for (struct status *s = all->replicas[i]; s != NULL; s = atomic_load(&s->next))
			write_wrong_rows(body, s);
	return 200;
}

static json_t *queues_json(const struct status *s)
{
	if (!s->counted)
		return json_null();
	return json_pack("{s:I, s:I, s:I, s:I}", "sync", (json_int_t)s->waiting_sync, "delete",
			 (json_int_t)s->waiting_delete, "retry", (json_int_t)s->waiting_retry,
			 "dead", (json_int_t)s->waiting_dead);
}

static json_t *blockers_json(const struct status *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->nblockers; i++) {
		const struct status_blocker *b = &s->blockers[i];
		json_array_append_new(
			list, json_pack("{s:i, s:o, s:o, s:o, s:o}", "pid", b->pid, "application",
					report_text(b->application), "user", report_text(b->user),
					"state", report_text(b->state), "since",
					b->since_us != 0 ? report_time(b->since_us) : json_null()));
	}
	return list;
}

static json_t *replica_json(struct status *s)
{
	static const struct {
		const char *key;
		enum consumer_metric metric;
	} counters[] = {
		{ "messages", METRIC_MESSAGES }, { "batches", METRIC_BATCHES },
		{ "applied", METRIC_APPLIED },	 { "stale", METRIC_STALE },
		{ "retried", METRIC_RETRIED },	 { "dead", METRIC_DEAD },
	};

	pthread_mutex_lock(&s->lock);
	json_t *o = json_pack(
		"{s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:b, s:o, s:o}", "name",
		s->replica, "database", report_text(s->database), "state",
		status_state_name(s->state), "since", report_time(s->since_us), "broker",
		report_text(s->broker), "lastError", report_text(s->error), "lastErrorAt",
		s->error_us != 0 ? report_time(s->error_us) : json_null(), "lastErrorOverAt",
		s->error_over_us != 0 ? report_time(s->error_over_us) : json_null(), "blockedBy",
		blockers_json(s), "needsReset", s->needs_reset, "needsResetReason",
		report_text(s->reset_reason), "unverified", atomic_load(&s->unverified),
		"wrongProducts", s->wrong >= 0 ? json_integer(s->wrong) : json_null(), "queues",
		queues_json(s));
	pthread_mutex_unlock(&s->lock);
	for (size_t i = 0; i < ARRAY_SIZE(counters); i++)
		json_object_set_new(o, counters[i].key,
				    json_integer(atomic_load(&s->counters[counters[i].metric])));
	return o;
}

/* The same in the words of those who come from other systems, of one stream. */
static json_t *stream_json(struct status *s)
{
	int64_t newest = atomic_load(&s->newest_version), at_us = atomic_load(&s->last_applied_us);

	pthread_mutex_lock(&s->lock);
	json_t *o =
		json_pack("{s:s, s:s, s:b, s:o, s:o, s:I, s:I, s:o, s:o, s:b, s:o, s:b, s:o, s:o}",
			  "stream", s->stream, "state", status_state_name(s->state), "is_running",
			  s->state == STATUS_APPLYING, "last_lsn",
			  newest > 0 ? json_integer(newest) : json_null(), "last_sync_time",
			  at_us > 0 ? report_time(at_us) : json_null(), "records_replicated",
			  (json_int_t)atomic_load(&s->counters[METRIC_APPLIED]), "error_count",
			  (json_int_t)(atomic_load(&s->counters[METRIC_RETRIED]) +
				       atomic_load(&s->counters[METRIC_DEAD])),
			  "last_error", report_text(s->error), "waiting",
			  s->waiting >= 0 ? json_integer(s->waiting) : json_null(), "needsReset",
			  s->needs_reset, "needsResetReason", report_text(s->reset_reason),
			  "unverified", atomic_load(&s->unverified), "wrongRows", wrong_tables(s),
			  "queues", queues_json(s));
	pthread_mutex_unlock(&s->lock);
	return o;
}

int status_json(void *arg, struct strbuf *body)
{
	const struct status_all *all = arg;
	json_t *replicas = json_array();

	for (size_t i = 0; i < all->n; i++) {
		json_t *o = replica_json(all->replicas[i]), *streams = json_array();

		for (struct status *s = all->replicas[i]; s != NULL; s = atomic_load(&s->next))
			json_array_append_new(streams, stream_json(s));
		json_object_set_new(o, "streams", streams);
		json_array_append_new(replicas, o);
	}
	report_write(body,
		     json_pack("{s:s, s:s, s:o, s:o}", "program", "pgfanout-consumer", "version",
			       PGFANOUT_VERSION, "startedAt", report_time(all->started_us),
			       "replicas", replicas),
		     "Status retrieved successfully");
	strbuf_addch(body, '\n');
	return 200;
}
