/*
 * worker.c: one thread a replica and stream: the outer loop around session.c, which turns each reason into
 * back-off, reconnecting or the end.
 *
 * Each turn of the loop goes through these steps (the table `steps`). A step that does not succeed
 * has waited a little (a back-off of 200 ms … 5 s), and the next turn begins at the first step.
 *
 *   step              status it shows               succeeds when
 *   connect_replica   CONNECTING_REPLICA,           there is a connection, and the schema fits
 *                     NOT_MIGRATED
 *   replica_ready     RESETTING                     nobody else is resetting the replica
 *   tables_brought    CONNECTING_REPLICA            no table waits, or was tried just now
 *   mark_replica      CONNECTING_REPLICA            a queue was not deleted, or that is noted
 *   no_reset_due      RESETTING                     no reset is due; else this thread does it
 *   connect_broker    CONNECTING_BROKER             the queues are declared and consumed
 *   apply_session     APPLYING                      (it ends with the turn; session.h says why)
 *
 * New shapes of tables that come in apply_session are brought behind it, and what is then to be loaded is loaded
 * there and then: each connection less is a first load that is sooner done.
 *
 * When apply_session meets changes of another primary it shows ANOTHER_PRIMARY during the back-off.
 *
 * A replica that is lost in any step is closed: connect_replica opens it again. When stop is
 * requested the thread ends: STOPPED.
 *
 * The database comes first, and the broker's link is closed whenever the replica cannot take
 * changes: so its messages wait in their queues, where they are safe, visible and use up no
 * attempts. Nobody else waits for a replica: each has its own thread, connections and queues.
 *
 * What a crash between any two lines does: nothing but the redelivery of messages. What has been
 * received and not acknowledged goes back to the queues as soon as the broker sees the connection
 * end; see session.c for the order of commit, confirm and ack. Only one thing is in memory alone,
 * for a moment: that a queue was deleted, until the replica is marked. A worker that dies before
 * finds the queue missing when it comes back: neither it nor the API recreates the queue before the
 * replica is marked.
 */
#include "consumer/apply/worker.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/amqp/amqp.h"
#include "common/base/backoff.h"
#include "common/base/log.h"
#include "common/base/stop.h"
#include "common/wire/topology.h"
#include "consumer/apply/auto_reset.h"
#include "consumer/apply/replica.h"
#include "consumer/apply/session.h"
#include "consumer/apply/verdict.h"

#define BACKOFF_FIRST_MS  200
#define BACKOFF_MOST_MS	  5000
#define RESET_POLL_MS	  200
#define BRING_FIRST_MS	  1000
#define BRING_MOST_MS	  30000
#define UNKNOWN_MS	  5000 /* so long the message of a shape is waited for */
#define BROKER_TIMEOUT_MS 5000

struct apply_worker {
	pthread_t thread;
	const struct consumer_settings *settings; /* these three: immutable after start */
	const struct replica_setting *replica;
	struct status *status;
	struct stream stream;

	/* All below: the thread's own. */
	struct db *db;
	struct tables tables;	/* as the replica had them when it was connected */
	struct amqp_link *link; /* from connect_broker to apply_session */
	struct session *session;
	struct backoff replica_backoff, broker_backoff;
	bool told;		    /* the present trouble is in the log, under status.error */
	bool reset;		    /* a reset was seen, and its end not yet */
	struct replica_state state; /* as last read */
	struct auto_reset auto_reset;
	int unknown; /* these two: a message needs this shape, since then; 0: none does */
	struct mono unknown_since;
	struct backoff bring_backoff;
	struct mono bring_at; /* when tables that wait are tried again */
	bool mark;	      /* the replica is yet to be marked, for this reason: */
	char mark_reason[REPLICA_REASON_MAX];
};

/* Logs a trouble once, not at each try. */
static void tell(struct apply_worker *w, const char *sentence, const char *error)
{
	bool news = status_set_error(w->status, error);

	if (news || !w->told)
		log_error(sentence, KV_S("error", error));
	w->told = true;
}

static void close_replica(struct apply_worker *w)
{
	db_close(w->db);
	w->db = NULL;
}

/* The replica cannot take changes now: a new connection after a back-off. */
static void replica_failed(struct apply_worker *w, enum db_outcome outcome, const char *sentence,
			   const struct err *err)
{
	status_set_state(w->status, outcome == DB_SCHEMA    ? STATUS_NOT_MIGRATED
				    : outcome == DB_FOREIGN ? STATUS_ANOTHER_PRIMARY
							    : STATUS_CONNECTING_REPLICA);
	if (!stop_requested()) {
		tell(w, sentence, err->text);
		/* Without an answer nothing is known of its locks. */
		if (outcome == DB_RETRY || outcome == DB_LOST)
			session_meets_lock(w->session, outcome == DB_RETRY);
	}
	close_replica(w);
	stop_sleep_ms(backoff_next_ms(&w->replica_backoff));
}

/* False: the replica is lost. */
static bool read_state(struct apply_worker *w)
{
	struct err err = { .text = "" };
	struct replica_state *state = &w->state;

	enum db_outcome outcome = replica_read_state(w->db, &w->stream, state, &err);
	if (outcome != DB_OK) {
		replica_failed(w, outcome, verdict_of_unit(outcome, 1, VERDICT_TRIES).sentence,
			       &err);
		return false;
	}
	bool news = status_set_needs_reset(w->status, state->needs_reset, state->reason);
	atomic_store(&w->status->unverified, state->unverified);
	if (news && state->needs_reset &&
	    !(state->may_reset && auto_reset_possible(&w->auto_reset)))
		log_warn("the replica may be incomplete: run reset-replicas --replica with its "
			 "name",
			 KV_S("replica", w->replica->name), KV_S("reason", state->reason));
	return true;
}

static bool connect_replica(struct apply_worker *w)
{
	struct err err = { .text = "" };
	enum db_outcome outcome;

	if (w->db != NULL)
		return true;
	status_set_state(w->status, STATUS_CONNECTING_REPLICA);
	w->db = replica_open(w->settings, w->replica, &w->stream, &w->tables, &outcome, &err);
	if (w->db == NULL) {
		replica_failed(
			w, outcome,
			outcome != DB_LOST
				? verdict_of_unit(outcome, 1, VERDICT_TRIES).sentence
				: "no connection to the replica; its messages wait, trying again",
			&err);
		return false;
	}
	if (w->unknown != 0 && mono_reached(mono_add_ms(w->unknown_since, UNKNOWN_MS), mono_now()))
		w->tables.unknown = w->unknown;
	LOG_AT(w->told ? LOG_DEBUG : LOG_INFO, "replica connected",
	       KV_S("database", w->status->database),
	       KV_I("server_version", db_server_version(w->db)));
	return read_state(w);
}

/* A reset may have brought new shapes of tables, but not of products: what is prepared is not what the
 * replica has then. */
static void after_reset(struct apply_worker *w)
{
	if (w->tables.n > 0 && tables_flat(&w->tables) == NULL)
		close_replica(w);
	else
		(void)read_state(w);
}

/* Whether batches can be applied now; if not, has waited a little. */
static bool replica_ready(struct apply_worker *w)
{
	struct err err = { .text = "" };
	enum db_outcome outcome = replica_try(w->db, &w->tables, &err);

	if (outcome == DB_BUSY) {
		status_set_state(w->status, STATUS_RESETTING);
		if (!w->reset)
			log_info(verdict_of_unit(DB_BUSY, 1, 1).sentence,
				 KV_S("replica", w->replica->name));
		w->reset = true;
		stop_sleep_ms(RESET_POLL_MS);
		return false;
	}
	if (outcome != DB_OK) {
		replica_failed(w, outcome, verdict_of_unit(outcome, 1, VERDICT_TRIES).sentence,
			       &err);
		return false;
	}
	if (w->reset) {
		log_info("the replica is open for changes again",
			 KV_S("replica", w->replica->name));
		w->reset = false;
		after_reset(w);
	}
	return w->db != NULL;
}

static void note_deleted_queue(struct apply_worker *w, const char *error)
{
	log_error("a queue was deleted: changes may be missing on this replica until it has been "
		  "reset (AUTO_RESET, or reset-replicas --replica with its name)",
		  KV_S("replica", w->replica->name), KV_S("error", error));
	status_set_error(w->status, error);
	w->mark = true;
	snprintf(w->mark_reason, sizeof(w->mark_reason),
		 "a queue of it was deleted, with the changes in it");
}

static void bring_later(struct apply_worker *w)
{
	w->bring_at = mono_add_ms(mono_now(), backoff_next_ms(&w->bring_backoff));
}

/* Tables that could not be brought, or that were dropped on the replica, are tried from time to time. */
static bool tables_brought(struct apply_worker *w)
{
	struct err err = { .text = "" };
	size_t brought;

	if (w->tables.waiting == 0 || !mono_reached(w->bring_at, mono_now()))
		return true;
	bring_later(w);
	enum db_outcome outcome = replica_bring_waiting(w->settings, w->replica, &w->stream,
							&brought, &err);
	if (outcome != DB_OK) {
		replica_failed(w, outcome,
			       "tables could not be brought to the replica; trying again", &err);
		return false;
	}
	if (err.text[0] != '\0')
		(void)status_set_error(w->status, err.text);
	if (brought == 0)
		return true;
	backoff_reset(&w->bring_backoff);
	log_info("the replica has tables that had to wait", KV_S("replica", w->replica->name),
		 KV_I("tables", (int64_t)brought));
	close_replica(w);
	return false;
}

static bool mark_replica(struct apply_worker *w)
{
	struct err err = { .text = "" };

	if (!w->mark)
		return true;
	enum db_outcome outcome = replica_mark(w->db, &w->stream, w->mark_reason, &err);
	if (outcome != DB_OK) {
		replica_failed(w, outcome,
			       "the replica could not be marked as incomplete; trying again", &err);
		return false;
	}
	w->mark = false;
	return read_state(w);
}

/* Else it is tried here and now, however long that takes. */
static bool no_reset_due(struct apply_worker *w)
{
	if (!replica_state_due(&w->state) || !auto_reset_due(&w->auto_reset, mono_now()))
		return true;
	status_set_state(w->status, STATUS_RESETTING);
	if (w->state.may_reset)
		auto_reset_run(&w->auto_reset, w->state.reason, NULL);
	else
		auto_reset_run(&w->auto_reset, "tables are yet to be loaded", w->state.due);
	if (!stop_requested())
		after_reset(w);
	return false;
}

/* Declares the queues, but never recreates a missing one before the replica is marked. False: err
 * says why, or the replica was lost, or err is empty because a reset comes first. */
static bool declare_and_subscribe(struct apply_worker *w, struct amqp_link *link, struct err *err)
{
	const unsigned attempts = (unsigned)w->settings->max_attempts;
	const char *name = w->replica->name;
	struct topology_report report;

	if (!topology_declare(link, &w->stream, name, attempts, TOPOLOGY_LOOK_FIRST, &report, err))
		return false;
	bool missing = report.main == AMQP_ANSWER_MISSING;
	/* The API may have noted just now that they were declared. */
	if (missing && !read_state(w))
		return false;
	if (missing && w->state.declared) {
		note_deleted_queue(w, "a queue of it does not exist any more");
		if (!mark_replica(w) ||
		    (replica_state_due(&w->state) && auto_reset_due(&w->auto_reset, mono_now())))
			return false;
	}
	if (missing &&
	    !topology_declare(link, &w->stream, name, attempts, TOPOLOGY_CREATE, &report, err))
		return false;
	if (report.main != AMQP_ANSWER_YES) {
		*err = report.main_why;
		return false;
	}
	if (!session_subscribe(w->session, link, &report, err))
		return false;
	if (w->state.declared)
		return true;
	enum db_outcome outcome = replica_note_declared(w->db, &w->stream, err);
	w->state.declared = outcome == DB_OK;
	if (outcome != DB_OK)
		replica_failed(w, outcome, verdict_of_unit(outcome, 1, VERDICT_TRIES).sentence,
			       err);
	return w->state.declared;
}

static bool connect_broker(struct apply_worker *w)
{
	struct err err = { .text = "" };
	char name[128];

	status_set_state(w->status, STATUS_CONNECTING_BROKER);
	snprintf(name, sizeof(name), "pgfanout-consumer %s", w->replica->name);
	w->link = amqp_open(w->settings->rabbitmq_url, name, BROKER_TIMEOUT_MS, &err);
	if (w->link != NULL && declare_and_subscribe(w, w->link, &err))
		return true;
	bool connected = w->link != NULL;
	amqp_close(w->link);
	/* The replica was lost, and that was logged; or a reset is due. */
	if (w->db == NULL || err.text[0] == '\0')
		return false;
	tell(w,
	     connected ? "the broker answers, but the replica's queues cannot be used; trying again"
		       : "no connection to the broker; trying again",
	     err.text);
	stop_sleep_ms(backoff_next_ms(&w->broker_backoff));
	return false;
}

/* The one it has come to brings it, or is gone, and it comes again. If it does not come at all, it is no shape
 * of the primary's. */
static void wait_for_shape(struct apply_worker *w, int shape)
{
	if (w->unknown != shape)
		w->unknown_since = mono_now();
	w->unknown = shape;
	close_replica(w);
	stop_sleep_ms(backoff_next_ms(&w->replica_backoff));
}

static void bring_failed(struct apply_worker *w, enum db_outcome outcome, const struct err *err)
{
	replica_failed(w, outcome, "a table could not be brought to the replica; trying again",
		       err);
}

/* False: the replica was lost, or cannot take it now. */
static bool bring_shape(struct apply_worker *w, struct pg_conn *c, const struct session_shape *s)
{
	struct err err = { .text = "" };
	enum table_brought how = TABLE_THERE;
	enum db_outcome outcome = replica_bring(c, w->replica, &w->stream, s->shape, s->description,
						s->leaves, &how, &err);

	if (outcome != DB_OK) {
		bring_failed(w, outcome, &err);
		return false;
	}
	if (how == TABLE_WAITS)
		log_error(
			"a table cannot be brought to the replica: its changes are left out until the "
			"cause is put right, and then it is loaded",
			KV_S("replica", w->replica->name), KV_I("shape", s->shape),
			KV_S("error", err.text));
	else if (how == TABLE_LEFT && err.text[0] != '\0')
		log_warn("a table is replicated no more, and the replica's could not be dropped",
			 KV_S("replica", w->replica->name), KV_S("error", err.text));
	else if (how == TABLE_LEFT)
		log_info("a table is replicated no more", KV_S("replica", w->replica->name),
			 KV_I("shape", s->shape));
	else if (how != TABLE_LEAVES)
		log_info("the replica has a new shape of a table",
			 KV_S("replica", w->replica->name), KV_I("shape", s->shape));
	if (how == TABLE_WAITS) {
		(void)status_set_error(w->status, err.text);
		backoff_reset(&w->bring_backoff);
		bring_later(w);
	} else if (how == TABLE_DUE && !auto_reset_possible(&w->auto_reset)) {
		log_warn(
			"its rows are yet to be loaded: run reset-replicas --replica with its name",
			KV_S("replica", w->replica->name));
	}
	return true;
}

/* New tables are loaded at once. Then the replica is connected again, and knows them. */
static void bring_shapes(struct apply_worker *w)
{
	const struct session_shape *shapes;
	size_t n = session_shapes(w->session, &shapes);

	if (shapes[0].description == NULL) {
		wait_for_shape(w, shapes[0].shape);
		return;
	}
	struct err err = { .text = "" };
	struct pg_conn *c = replica_open_to_bring(w->settings, w->replica, &err);
	if (c == NULL) {
		bring_failed(w, sqlstate_outcome(err.sqlstate), &err);
		return;
	}
	size_t i = 0;
	while (i < n && bring_shape(w, c, &shapes[i]))
		i++;
	db_conn_close(c);
	if (i == n && w->db != NULL && read_state(w))
		(void)no_reset_due(w);
	close_replica(w);
}

static bool apply_session(struct apply_worker *w)
{
	struct amqp_link *link = w->link;
	struct session_result r;
	struct mono start = mono_now();

	status_set_state(w->status, STATUS_APPLYING);
	status_set_broker(w->status, amqp_peer(link));
	/* While a known trouble lasts, a connection that comes up is not worth a line. */
	LOG_AT(w->told ? LOG_DEBUG : LOG_INFO, "applying changes", KV_S("broker", amqp_peer(link)));
	session_run(w->session, w->db, link, w->told, &w->auto_reset, w->bring_at, &r);
	amqp_close(link);

	/* It worked for a while, so the next trouble is a new one. */
	if (r.outcome == DB_FOREIGN && r.end == SESSION_REPLICA) {
		; /* what came before it was fine, and it comes again */
	} else if (r.batches > 0 || mono_reached(mono_add_ms(start, BACKOFF_MOST_MS), mono_now())) {
		backoff_reset(&w->replica_backoff);
		backoff_reset(&w->broker_backoff);
		w->told = false;
	}
	if (r.cancelled)
		note_deleted_queue(w, r.err.text);
	if (db_in_flight(w->db) > 0 || !db_alive(w->db))
		close_replica(w);
	switch (r.end) {
	case SESSION_REPLICA:
		replica_failed(w, r.outcome, r.sentence, &r.err);
		break;
	case SESSION_BROKER:
		status_set_state(w->status, STATUS_CONNECTING_BROKER);
		tell(w, r.sentence, r.err.text);
		stop_sleep_ms(backoff_next_ms(&w->broker_backoff));
		break;
	case SESSION_RESET_DUE:
		(void)(w->db != NULL && read_state(w));
		break;
	case SESSION_SHAPE:
		bring_shapes(w);
		break;
	case SESSION_TABLES:
		close_replica(w);
		break;
	case SESSION_LARGE:
		log_info("a large change has come: connecting anew, which gives its memory back");
		close_replica(w);
		(void)malloc_trim(0); /* what is free of other threads too */
		break;
	case SESSION_RESETTING:
	case SESSION_CANCELLED:
	case SESSION_STOPPED:
		break;
	}
	return true;
}

static bool (*const steps[])(struct apply_worker *w) = {
	connect_replica, replica_ready,	 tables_brought, mark_replica,
	no_reset_due,	 connect_broker, apply_session,
};

static void *worker_main(void *arg)
{
	struct apply_worker *w = arg;
	size_t step = 0;

	char name[128];

	if (w->stream.number == STREAM_PRODUCTS)
		snprintf(name, sizeof(name), "%s", w->replica->name);
	else
		snprintf(name, sizeof(name), "%s %s", w->replica->name, w->stream.name);
	log_thread(name);
	while (step > 0 || !stop_requested()) /* a turn that was begun is ended */
		step = steps[step](w) ? (step + 1) % ARRAY_SIZE(steps) : 0;
	close_replica(w);
	status_set_state(w->status, STATUS_STOPPED);
	return NULL;
}

struct apply_worker *apply_worker_start(const struct consumer_settings *settings,
					const struct replica_setting *replica,
					const struct stream *stream, struct streams *streams,
					struct status *status, struct err *err)
{
	struct apply_worker *w = xcalloc(1, sizeof(*w));

	w->settings = settings;
	w->replica = replica;
	w->status = status;
	w->stream = *stream;
	auto_reset_init(&w->auto_reset, settings, (size_t)(replica - settings->replicas.replica),
			&w->stream);
	w->session = session_new(settings, &w->stream, replica->name, &w->tables, streams, status);
	backoff_init(&w->replica_backoff, BACKOFF_FIRST_MS, BACKOFF_MOST_MS);
	backoff_init(&w->broker_backoff, BACKOFF_FIRST_MS, BACKOFF_MOST_MS);
	backoff_init(&w->bring_backoff, BRING_FIRST_MS, BRING_MOST_MS);
	int rc = pthread_create(&w->thread, NULL, worker_main, w);
	if (rc != 0) {
		err_set(err, "cannot start the worker of %s: %s", replica->name, strerror(rc));
		session_free(w->session);
		free(w);
		return NULL;
	}
	return w;
}

void apply_worker_join(struct apply_worker *w)
{
	pthread_join(w->thread, NULL);
	session_free(w->session);
	tables_clear(&w->tables);
	free(w);
}
