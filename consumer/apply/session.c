/*
 * session.c: see session.h. The loop that receives, applies and acknowledges.
 *
 *   received messages collect in the last batch of a list; the first batch is the one being applied
 *
 *   delivery ──▶ [collecting] … [applying] ──▶ commit ──▶ ack
 *                                   ├─ refused because of another row: waiting.c, on the replica
 *                                   └─ failures ──▶ recorded on the replica as wrong
 *                                        ──▶ retry.c: publish ──▶ confirm ──▶ ack
 *
 *   a stretch is  moves on when
 *   RECEIVING     stop is requested, or a queue was deleted          -> DRAINING
 *   DRAINING      nothing that must be finished is left, or DRAIN_TIMEOUT_MS are over  -> ENDED
 *   both          a connection is lost, or the replica cannot take changes             -> ENDED
 *
 * What the process's death means at each place: before the commit, nothing has happened, and the
 * broker delivers again. Between the commit and the ack, the broker delivers again what is then
 * stale. Between the confirm of a moved change and its ack, the change is in two queues; applying
 * it twice is harmless. Nothing is ever acknowledged before it is committed or confirmed elsewhere.
 *
 * Acks are gathered for a moment and sent as one, because each is an entry in the broker's log that
 * waits for its disk. The numbers of their messages are gathered with them, in the inbox, and go to
 * the replica first: with the next batch, or alone if none comes. If the process dies
 * before, the messages are delivered again. A message whose number is not on the replica is never
 * acknowledged: nobody would know that it has come. (If the replica refuses the numbers themselves,
 * they are lost, and it will be marked as needing a reset.)
 *
 * Batches form by themselves: nobody waits for more messages while the replica is idle, and what
 * comes while it is busy becomes the next batch. While the next batch is full nothing is read from
 * the socket but heartbeats, so memory stays bounded: by the largest change. libpq keeps what that
 * took, so the session ends after it, as soon as nothing is under way (SESSION_LARGE).
 */
#include "consumer/apply/session.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/http/metrics.h"
#include "common/base/stop.h"
#include "common/wire/topology.h"
#include "consumer/apply/apply.h"
#include "consumer/apply/blockers.h"
#include "consumer/apply/inbox.h"
#include "consumer/apply/replica.h"
#include "consumer/apply/retry.h"
#include "consumer/apply/side.h"
#include "consumer/apply/waiting.h"
#include "consumer/apply/wrong_records.h"

#define STATE_MS   5000 /* how often the replica is asked whether it needs a reset */
#define STREAMS_MS 250	/* and for its streams: a new one is waited for */
#define LARGE_MS   5000 /* so long memory of a large change may be kept for others like it */
#define ACK_MS	   20	/* an ack waits so long at most, for others to join it */
#define ALONE_MS   100	/* and their numbers so long for a batch to go with */
#define ACK_SHARE  4	/* or until this part of the prefetch window waits for it */
#define SHAPES_MS  20	/* the shape of a new table waits so long for another message, */
#define GATHER_MS  200	/* and so long at most, for other tables' to join it */

/* A statement that was larger has left libpq with buffers that shrink no more. */
#define LARGE_BYTES ((size_t)16 << 20)

enum stretch { STRETCH_RECEIVING, STRETCH_DRAINING, STRETCH_ENDED };

struct session {
	const struct consumer_settings *settings;
	const struct stream *stream;
	struct streams *streams;
	const char *replica;
	struct status *status;
	struct apply *apply;
	struct retry *retry;
	struct inbox inbox;
	struct side *side;
	struct wrong_records *wrong;
	struct waiting *waiting;
	struct blockers *blockers;

	/* Of the stretch that runs: */
	struct db *db;
	struct amqp_link *link;
	const struct auto_reset *auto_reset;
	struct session_result *result;
	enum stretch stretch;
	struct mono drain_by;	 /* from DRAINING on; until then never */
	bool after_trouble;	 /* that was logged, and its end is to be logged too */
	struct mono state_at;	 /* when to ask the replica for its state */
	struct mono streams_at;	 /* and for its streams */
	struct mono tables_at;	 /* when tables that it is still to have are tried again */
	struct mono large_at;	 /* when memory is given back; never: no large change has come */
	struct err db_error;	 /* why the connection died without a batch on it */
	struct batch *applying;	 /* with apply.c; NULL: none */
	bool asking;		 /* whether what `applying` leaves out is to be left out; then */
	bool numbers_due;	 /* apply_start() is called with this */
	struct mono delivered;	 /* the last message */
	bool gathering;		 /* the first batch brings a shape; these two: */
	struct mono gathered_by; /* it waits no longer for others */
	struct mono gather_at;	 /* when to look whether it still waits */
	struct session_shape shapes[SESSION_SHAPES_MAX]; /* these two: of SESSION_SHAPE */
	size_t nshapes;
	bool numbers_left;   /* in the inbox, of messages that are to be acknowledged */
	uint64_t ack_tag;    /* all up to this one is to be acknowledged; 0: nothing */
	size_t ack_messages; /* so many */
	struct mono ack_at;  /* at this time at the latest; never: nothing */
};

static void end_with(struct session *s, enum session_end end, const char *sentence,
		     const struct err *err)
{
	if (s->stretch == STRETCH_ENDED)
		return;
	s->stretch = STRETCH_ENDED;
	s->result->end = end;
	s->result->sentence = sentence;
	if (err != NULL)
		s->result->err = *err;
}

/* ---- receiving ---- */

static bool may_receive(const struct session *s)
{
	return s->stretch == STRETCH_RECEIVING && !inbox_full(&s->inbox) && !retry_full(s->retry);
}

static void on_delivery(void *arg, const struct amqp_delivery *d)
{
	struct session *s = arg;

	if (s->stretch != STRETCH_RECEIVING)
		return; /* goes back to its queue when the link is closed */
	s->delivered = mono_now();
	/* The kind is the queue's, and the consumer's tag names the queue. */
	bool deletes = strcmp(d->consumer_tag, change_kind_name(CHANGE_DELETE)) == 0;
	inbox_take(&s->inbox, d, deletes ? CHANGE_DELETE : CHANGE_SYNC);
	if (!may_receive(s))
		amqp_enough(s->link);
}

static void start_draining(struct session *s)
{
	s->stretch = STRETCH_DRAINING;
	s->drain_by = mono_add_ms(mono_now(), s->settings->drain_timeout_ms);
}

static void queue_missing(struct session *s, const char *queue)
{
	s->result->end = SESSION_CANCELLED;
	s->result->cancelled = true;
	err_set(&s->result->err, "queue %s was deleted", queue);
	if (s->stretch == STRETCH_RECEIVING)
		start_draining(s);
}

static void on_cancelled(void *arg, const char *consumer_tag)
{
	const struct session *s = arg;
	bool deletes = strcmp(consumer_tag, change_kind_name(CHANGE_DELETE)) == 0;
	char queue[TOPOLOGY_NAME_MAX];

	topology_queue(queue, s->stream, deletes ? CHANGE_DELETE : CHANGE_SYNC, s->replica);
	queue_missing(arg, queue);
}

static void receive(struct session *s)
{
	const struct amqp_handler handler = { s, NULL, on_delivery, on_cancelled };
	struct err err = { .text = "" };

	if (!amqp_service(s->link, &handler, &err))
		end_with(s, SESSION_BROKER, "the connection to the broker is lost; trying again",
			 &err);
}

/* ---- applying and acknowledging ---- */

static void ack(struct session *s, uint64_t tag, bool multiple)
{
	struct err err = { .text = "" };

	bool broken = s->stretch == STRETCH_ENDED && s->result->end == SESSION_BROKER;
	if (!broken && !amqp_ack(s->link, tag, multiple, &err))
		end_with(s, SESSION_BROKER, "the connection to the broker is lost; trying again",
			 &err);
}

static void ack_gathered(struct session *s)
{
	if (s->ack_tag)
		ack(s, s->ack_tag, true);
	s->ack_tag = 0;
	s->ack_messages = 0;
	s->ack_at = MONO_NEVER;
}

/* All up to the last one of b. */
static void ack_soon(struct session *s, const struct batch *b)
{
	if (b->nmessages == 0)
		return;
	if (!s->ack_tag)
		s->ack_at = mono_add_ms(mono_now(), ACK_MS);
	s->ack_tag = b->messages[b->nmessages - 1].tag;
	s->ack_messages += b->nmessages;
}

/* When acks are due with the batch that is begun next, or with none. */
static struct mono ack_time(const struct session *s, const struct batch *next)
{
	bool alone = s->numbers_left && (next == NULL || next->nmessages == 0);

	return alone ? mono_add_ms(s->ack_at, ALONE_MS - ACK_MS) : s->ack_at;
}

/* Whether acks that were gathered, and those of the batch that is begun next, if any, may wait no
 * longer. */
static bool acks_due(const struct session *s, const struct batch *next, struct mono now)
{
	size_t messages = s->ack_messages + (next ? next->nmessages : 0);

	return s->stretch == STRETCH_DRAINING || retry_pending(s->retry) > 0 ||
	       mono_reached(ack_time(s, next), now) ||
	       messages * ACK_SHARE >= (size_t)s->settings->prefetch ||
	       (next && next->nmessages == 0 && s->inbox.first->next); /* others wait behind */
}

/* A moved change is confirmed in its next queue. */
static void on_moved(void *arg, uint64_t tag)
{
	struct session *s = arg;

	if (tag & WAITING_TAG)
		waiting_moved(s->waiting, tag);
	else
		ack(s, tag, false);
}

/* Everything in b is committed, or a failure. The rule:
 *   1. Without failures, and with no older message waiting for its moves: one ack for all up to the
 *      last. Numbers are left in this case alone.
 *   2. Else each message by itself, but those with failures: retry.c says when they may go. */
static void acknowledge(struct session *s, const struct batch *b)
{
	if (b->nfailures == 0 && retry_pending(s->retry) == 0) {
		ack_soon(s, b);
		return;
	}
	ack_gathered(s); /* these are all older */
	AUTO_FREE bool *failed = xcalloc(b->nmessages, sizeof(*failed));
	for (size_t i = 0; i < b->nfailures; i++)
		failed[b->failures[i].message] = true;
	for (size_t i = 0; i < b->nmessages; i++)
		if (!failed[i])
			ack(s, b->messages[i].tag, false);
	retry_take(s->retry, b);
}

static void in_order_again(struct session *s)
{
	if (s->after_trouble)
		log_info("in order again, applying changes", KV_S("broker", amqp_peer(s->link)));
	s->after_trouble = false;
}

static void count_batch(const struct session *s, const struct batch *b, struct apply_counts counts,
			int64_t took_us)
{
	int64_t newest = 0;

	for (size_t i = 0; i < b->nchanges; i++)
		if (b->changes[i].change.version > newest)
			newest = b->changes[i].change.version;
	status_count(s->status, METRIC_MESSAGES, (int64_t)(b->nmessages - b->nbeats));
	status_count(s->status, METRIC_BATCHES, 1);
	status_count(s->status, METRIC_APPLIED, (int64_t)counts.applied);
	status_count(s->status, METRIC_STALE,
		     (int64_t)(b->nchanges - counts.refused - counts.kept - counts.applied));
	status_applied(s->status, newest, counts.units > 0 ? took_us : -1);
	log_debug("batch applied", KV_I("messages", (int64_t)b->nmessages),
		  KV_I("changes", (int64_t)b->nchanges), KV_I("applied", (int64_t)counts.applied),
		  KV_I("failed", (int64_t)b->nfailures),
		  KV_I("transactions", (int64_t)counts.units), KV_I("us", took_us));
}

static void finish_batch(struct session *s)
{
	const struct batch *b = s->applying;
	struct apply_counts counts = apply_finish(s->apply);
	int64_t took_us = mono_diff_us(mono_now(), counts.started);

	/* Committed on the replica: only now outward. */
	s->numbers_left = counts.numbers_left;
	waiting_batch(s->waiting, counts.kept);
	if (counts.recorded)
		s->state_at = mono_now(); /* one more is wrong */
	if (counts.record_refused)
		log_warn("the replica does not take the record of rows that are wrong on it; reads "
			 "will go on using them, and it tells no more how far it is, until this "
			 "process is started again",
			 KV_S("replica", s->replica), KV_S("error", counts.record_refused->text));
	acknowledge(s, b);
	for (size_t i = 0; i < ARRAY_SIZE(b->mark_body_at); i++)
		if (b->mark_body_at[i])
			side_answer(s->side, batch_text(b, b->mark_reply_to_at[i]),
				    batch_text(b, b->mark_body_at[i]));
	if (!s->numbers_left) {
		s->result->batches++;
		blockers_over(s->blockers);
		in_order_again(s);
		if (b->nfailures == 0)
			status_error_over(s->status);
	}
	if (b->nmessages > b->nbeats) /* heartbeats and marks alone are no work */
		count_batch(s, b, counts, took_us);
	s->applying = NULL;
	if (s->numbers_left) /* a stop applies them, but no further batch */
		inbox_done_but_numbers(&s->inbox, s->stretch == STRETCH_DRAINING);
	else
		inbox_done(&s->inbox);
}

/* ---- shapes ---- */

static void forget_shapes(struct session *s)
{
	while (s->nshapes > 0)
		free(s->shapes[--s->nshapes].description);
}

static void add_shape(struct session *s, struct session_shape shape, const char *description)
{
	shape.description = description ? xstrdup(description) : NULL;
	s->shapes[s->nshapes++] = shape;
}

/* Whether the shape that a batch describes is known here; else *ret is what it is, but for the description. */
static bool is_known(const struct session *s, const struct batch *b, const char *description,
		     struct session_shape *ret)
{
	const char *queue = change_kind_name(b->messages[b->nmessages - 1].kind);
	struct err err = { .text = "" };
	struct table *t = table_read(b->shape, description, &err);
	bool known = true;

	if (t == NULL) { /* not one of ours */
		log_warn("a message describes no table: it is skipped", KV_S("replica", s->replica),
			 KV_S("error", err.text));
	} else {
		known = t->dropped ? tables_left(s->inbox.tables, t, queue)
				   : tables_shape(s->inbox.tables, t->shape) != NULL;
		*ret = (struct session_shape){ .shape = b->shape,
					       .table = t->id,
					       .leaves = t->dropped ? queue : NULL };
	}
	table_free(t);
	return known;
}

/* Whether more of those that take_next_shapes() takes may be on their way: registered together, they come one
 * right behind the other. */
static bool more_shapes_come(struct session *s, struct mono now)
{
	const struct batch *last = &s->inbox.last->batch;

	if (!s->gathering) {
		s->gathering = true;
		s->gathered_by = mono_add_ms(now, GATHER_MS);
	}
	s->gather_at = mono_add_ms(s->delivered, SHAPES_MS);
	if (s->stretch != STRETCH_RECEIVING || mono_reached(s->gathered_by, now) ||
	    mono_reached(s->gather_at, now) || !batch_brings_shape(last) || inbox_full(&s->inbox))
		s->gathering = false;
	return s->gathering;
}

/* Those that come right behind the first one, of other tables, are brought together with it: each time costs
 * new connections and a load. */
static void take_next_shapes(struct session *s)
{
	AUTO_STRBUF text = STRBUF_INIT;

	for (const struct inbox_batch *at = s->inbox.first->next;
	     at != NULL && s->nshapes < ARRAY_SIZE(s->shapes); at = at->next) {
		const struct batch *b = &at->batch;
		struct session_shape next;

		if (!batch_brings_shape(b))
			return;
		strbuf_reset(&text);
		strbuf_add(&text, b->bodies.data + b->shape_body.at, b->shape_body.len);
		if (is_known(s, b, strbuf_str(&text), &next))
			continue;
		size_t i = 0;
		while (i < s->nshapes && s->shapes[i].table != next.table)
			i++;
		if (i < s->nshapes && s->shapes[i].shape == next.shape) /* by the other queue */
			continue;
		if (i < s->nshapes || next.leaves != NULL)
			return;
		add_shape(s, next, strbuf_str(&text));
	}
}

/* Whether a batch, the first one, may be begun now, as far as the shape that it brings is concerned. What is in
 * front of it is applied by then; the message is not acknowledged, and comes again. */
static bool knows_shape(struct session *s, const struct batch *b, struct mono now)
{
	AUTO_STRBUF text = STRBUF_INIT;
	struct session_shape first = { .shape = b->shape };

	if (b->shape == 0)
		return true;
	forget_shapes(s);
	if (b->shape_body.len == 0) {
		add_shape(s, first, NULL);
	} else {
		strbuf_add(&text, b->bodies.data + b->shape_body.at, b->shape_body.len);
		if (is_known(s, b, strbuf_str(&text), &first))
			return true;
		if (first.leaves == NULL && more_shapes_come(s, now))
			return false;
		add_shape(s, first, strbuf_str(&text));
		if (first.leaves == NULL)
			take_next_shapes(s);
	}
	end_with(s, SESSION_SHAPE, NULL, NULL);
	return false;
}

size_t session_shapes(const struct session *s, const struct session_shape **ret)
{
	*ret = s->shapes;
	return s->nshapes;
}

static void on_left_out(void *arg, enum db_outcome outcome, const struct pg_result *r,
			const struct err *err)
{
	struct session *s = arg;

	(void)err;
	s->asking = false;
	if (s->applying == NULL || s->stretch == STRETCH_ENDED)
		return;
	if (outcome == DB_OK && db_rows(r) == 1 &&
	    strcmp(db_value(r, 0, 0), s->inbox.tables->left_out) == 0)
		apply_start(s->apply, s->applying, s->numbers_due, mono_now());
	else
		end_with(s, SESSION_TABLES, NULL, NULL);
}

/* What is left out must be so still when it is: otherwise the replica has got the table meanwhile, from a
 * snapshot that maybe does not have the change. If it gets it later, the snapshot has. */
static void ask_left_out(struct session *s, bool numbers_due, struct mono now)
{
	const struct db_param params[] = { DB_TEXT(s->stream->name) };

	s->numbers_due = numbers_due;
	s->asking = db_send(s->db, REPLICA_LEFT_OUT, params, false,
			    mono_add_ms(now, s->settings->apply_timeout_ms), on_left_out, s,
			    &s->db_error);
}

/* False: there is nothing to do now. */
static bool begin_batch(struct session *s, struct mono now)
{
	const struct batch *next = inbox_first(&s->inbox);
	bool due = acks_due(s, next, now);

	if (due && !s->numbers_left)
		ack_gathered(s);
	if (next == NULL || (next->nmessages == 0 && !due) ||
	    (next->nmessages > 0 && s->stretch == STRETCH_DRAINING && !s->result->cancelled))
		return false;
	if (!knows_shape(s, next, now))
		return false;
	s->applying = inbox_begin(&s->inbox);
	if (s->applying->left_out)
		ask_left_out(s, due, now);
	else
		apply_start(s->apply, s->applying, due, now);
	return true;
}

static void replica_trouble(struct session *s)
{
	const struct apply_trouble *t = apply_trouble(s->apply);

	s->result->outcome = t->outcome;
	end_with(s, t->verdict.action == VERDICT_WAIT_RESET ? SESSION_RESETTING : SESSION_REPLICA,
		 t->verdict.sentence, &t->err);
}

/* Moves batches on as far as possible without waiting. */
static void work(struct session *s, struct mono now)
{
	while (s->stretch != STRETCH_ENDED) {
		if (s->applying == NULL && !begin_batch(s, now))
			return;
		if (s->asking)
			return;
		switch (apply_step(s->apply, now)) {
		case APPLY_DONE:
			finish_batch(s);
			break;
		case APPLY_TROUBLE:
			replica_trouble(s);
			return;
		default:
			return;
		}
	}
}

/* ---- the replica's state ---- */

static void on_state(void *arg, enum db_outcome outcome, const struct pg_result *r,
		     const struct err *err)
{
	struct session *s = arg;
	struct replica_state state;

	/* What other failures mean for batches, the next batch will tell. */
	if (outcome == DB_LOST)
		s->db_error = *err;
	else if (outcome == DB_OK && replica_take_state(r, &state)) {
		bool news = status_set_needs_reset(s->status, state.needs_reset, state.reason);
		atomic_store(&s->status->unverified, state.unverified);
		if (news && state.needs_reset)
			log_error("changes are missing on this replica until it has been reset "
				  "(AUTO_RESET, or reset-replicas --replica with its name)",
				  KV_S("replica", s->replica), KV_S("reason", state.reason));
		in_order_again(s);
		status_error_over(s->status);
		if (replica_state_due(&state) && auto_reset_due(s->auto_reset, mono_now()))
			end_with(s, SESSION_RESET_DUE, NULL, NULL);
	}
}

static void on_wrong(void *arg, enum db_outcome outcome, const struct pg_result *r,
		     const struct err *err)
{
	struct session *s = arg;

	(void)err;
	if (outcome != DB_OK || db_rows(r) != 1)
		return;
	status_set_wrong(s->status, strtoll(db_value(r, 0, 0), NULL, 10), db_value(r, 0, 2));
	waiting_note(s->waiting, strtoll(db_value(r, 0, 1), NULL, 10));
}

static void on_streams(void *arg, enum db_outcome outcome, const struct pg_result *r,
		       const struct err *err)
{
	const struct session *s = arg;

	(void)err;
	for (int i = 0; outcome == DB_OK && i < db_rows(r); i++)
		streams_note(s->streams, (int)strtol(db_value(r, i, 0), NULL, 10),
			     db_value(r, i, 1));
}

/* Between two batches too. */
static void ask_streams(struct session *s, struct mono now)
{
	struct err err = { .text = "" };

	if (!s->streams || s->stretch != STRETCH_RECEIVING || !mono_reached(s->streams_at, now) ||
	    db_in_flight(s->db) > 0)
		return;
	s->streams_at = mono_add_ms(now, STREAMS_MS);
	if (!db_send(s->db, REPLICA_STREAMS, NULL, false,
		     mono_add_ms(now, s->settings->apply_timeout_ms), on_streams, s, &err))
		s->db_error = err;
}

/* Every STATE_MS, between two batches: the replica may have been reset meanwhile; and one that
 * hangs while idle is noticed. */
static void ask_state(struct session *s, struct mono now)
{
	struct err err = { .text = "" };

	if (s->stretch != STRETCH_RECEIVING || !mono_reached(s->state_at, now) ||
	    db_in_flight(s->db) > 0)
		return;
	s->state_at = mono_add_ms(now, STATE_MS);
	/* With the deadline of a batch, since a batch may be sent behind it. If it cannot be sent
	 * the connection is dead. */
	struct mono deadline = mono_add_ms(now, s->settings->apply_timeout_ms);
	const struct db_param params[] = { DB_TEXT(s->stream->text) };
	if (!db_send(s->db, REPLICA_STATE, params, false, deadline, on_state, s, &err) ||
	    !db_send(s->db, REPLICA_WRONG, params, false, deadline, on_wrong, s, &err))
		s->db_error = err;
}

/* ---- memory ---- */

/* When nothing is under way, so that nothing has to come again; within LARGE_MS others may need it too. */
static void give_memory_back(struct session *s, struct mono now)
{
	if (s->stretch != STRETCH_RECEIVING || db_largest(s->db) <= LARGE_BYTES)
		return;
	if (mono_is_never(s->large_at))
		s->large_at = mono_add_ms(now, LARGE_MS);
	if (mono_reached(s->large_at, now) && s->inbox.first == NULL && !s->ack_tag &&
	    retry_pending(s->retry) == 0 && db_in_flight(s->db) == 0)
		end_with(s, SESSION_LARGE, NULL, NULL);
}

/* ---- the loop ---- */

static void wait_for_events(struct session *s, bool receiving)
{
	struct mono now = mono_now();
	struct pollfd fds[4] = {
		{ .fd = s->stretch == STRETCH_DRAINING ? -1 : stop_fd(), .events = POLLIN },
		{ .fd = receiving ? amqp_fd(s->link) : -1, .events = POLLIN },
		{ .fd = db_fd(s->db),
		  .events = (short)(POLLIN | (db_wants_write(s->db) ? POLLOUT : 0)) },
		{ .fd = side_fd(s->side), .events = POLLIN },
	};
	int wait_ms = amqp_service_ms(s->link);

	wait_ms = mono_until_ms(db_next_deadline(s->db), now, wait_ms);
	wait_ms = mono_until_ms(apply_wake(s->apply), now, wait_ms);
	wait_ms = side_wait_ms(s->side, now, wait_ms);
	if (s->stretch == STRETCH_RECEIVING)
		wait_ms = mono_until_ms(waiting_wake(s->waiting), now, wait_ms);
	wait_ms = mono_until_ms(blockers_wake(s->blockers, apply_since(s->apply)), now, wait_ms);
	if (s->stretch == STRETCH_RECEIVING && !mono_reached(s->large_at, now))
		wait_ms = mono_until_ms(s->large_at, now, wait_ms);
	if (s->applying == NULL)
		wait_ms = mono_until_ms(ack_time(s, inbox_first(&s->inbox)), now, wait_ms);
	if (s->gathering && s->stretch == STRETCH_RECEIVING)
		wait_ms = mono_until_ms(s->gather_at, now, wait_ms);
	if (s->stretch == STRETCH_DRAINING)
		wait_ms = mono_until_ms(s->drain_by, now, wait_ms);
	else if (db_in_flight(s->db) == 0) { /* else its answer wakes us */
		wait_ms = mono_until_ms(s->state_at, now, wait_ms);
		if (s->streams)
			wait_ms = mono_until_ms(s->streams_at, now, wait_ms);
	}
	if (receiving && amqp_pending(s->link))
		wait_ms = 0;
	if (poll(fds, ARRAY_SIZE(fds), wait_ms) < 0 && errno != EINTR)
		fatal("poll: %s", strerror(errno));
}

/* Nothing that must be finished is left. */
static bool drained(const struct session *s)
{
	bool batches = s->result->cancelled ? s->inbox.first != NULL : s->applying != NULL;

	return !batches && !s->ack_tag && retry_pending(s->retry) == 0;
}

static void loop(struct session *s)
{
	struct mono serviced = mono_now();

	while (s->stretch != STRETCH_ENDED) {
		struct mono now = mono_now();
		bool receiving = may_receive(s);

		if (stop_requested() && s->stretch == STRETCH_RECEIVING)
			start_draining(s);
		/* With no room for messages only heartbeats are seen to. */
		if (receiving ||
		    mono_reached(mono_add_ms(serviced, amqp_service_ms(s->link)), now)) {
			receive(s);
			serviced = now;
		}
		db_io(s->db);
		db_tick(s->db, now);
		ask_state(s, now);
		ask_streams(s, now);
		if (s->inbox.tables->waiting > 0 && mono_reached(s->tables_at, now) &&
		    s->stretch == STRETCH_RECEIVING)
			end_with(s, SESSION_TABLES, NULL, NULL);
		work(s, now);
		give_memory_back(s, now);
		if (s->stretch == STRETCH_RECEIVING)
			blockers_step(s->blockers, apply_since(s->apply), now);
		if (s->stretch != STRETCH_ENDED && wrong_records_step(s->wrong, s->db, now))
			s->state_at = now; /* one more is wrong */
		waiting_step(s->waiting, s->db, now, s->stretch == STRETCH_RECEIVING);
		if (s->stretch != STRETCH_ENDED && !db_alive(s->db)) {
			s->result->outcome = DB_LOST;
			end_with(s, SESSION_REPLICA, verdict_of_unit(DB_LOST, 1, 1).sentence,
				 &s->db_error);
		}
		if (s->stretch != STRETCH_ENDED)
			side_step(s->side, now, s->stretch == STRETCH_RECEIVING);
		if (side_missing(s->side) != NULL && s->stretch == STRETCH_RECEIVING)
			queue_missing(s, side_missing(s->side));
		if (s->stretch == STRETCH_DRAINING &&
		    (drained(s) || mono_reached(s->drain_by, now)))
			end_with(s, s->result->end, NULL, NULL);
		if (s->stretch != STRETCH_ENDED)
			wait_for_events(s, may_receive(s));
	}
}

void session_run(struct session *s, struct db *db, struct amqp_link *link, bool after_trouble,
		 const struct auto_reset *auto_reset, struct mono tables_at,
		 struct session_result *ret)
{
	*ret = (struct session_result){ .end = SESSION_STOPPED };
	s->auto_reset = auto_reset;
	s->db = db;
	s->link = link;
	s->result = ret;
	s->stretch = STRETCH_RECEIVING;
	s->drain_by = MONO_NEVER;
	s->after_trouble = after_trouble;
	s->applying = NULL;
	wrong_records_start(s->wrong);
	waiting_start(s->waiting);
	s->state_at = mono_add_ms(mono_now(), STATE_MS);
	s->streams_at = mono_now();
	s->tables_at = tables_at;
	s->large_at = MONO_NEVER;
	err_set(&s->db_error, "the server closed the connection");
	apply_use(s->apply, db);
	s->numbers_left = s->asking = s->gathering = false;
	loop(s);
	if (s->numbers_left) /* these come again */
		s->ack_tag = 0;
	ack_gathered(s);

	/* No answer may come back later to a batch that is gone. What it commits is delivered again
	 * and then stale. */
	if (db_in_flight(db) > 0) {
		if (mono_is_never(s->drain_by))
			start_draining(s);
		(void)db_drain(db, s->drain_by);
	}
	apply_abandon(s->apply);
	side_close(s->side);
	retry_forget(s->retry);
	inbox_drop(&s->inbox);
}

void session_meets_lock(struct session *s, bool lock)
{
	if (lock)
		blockers_look(s->blockers);
	else
		blockers_over(s->blockers);
}

bool session_subscribe(struct session *s, struct amqp_link *link,
		       const struct topology_report *report, struct err *err)
{
	/* The bulky queue last: the answer to a question comes behind all that is delivered
	 * before. */
	static const enum change_kind kinds[] = { CHANGE_DELETE, CHANGE_SYNC };
	char queue[TOPOLOGY_NAME_MAX];

	side_take_report(s->side, report);
	if (!amqp_qos(link, (unsigned)s->settings->prefetch, err))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		topology_queue(queue, s->stream, kinds[i], s->replica);
		if (!amqp_consume(link, queue, change_kind_name(kinds[i]), err))
			return false;
	}
	return true;
}

struct session *session_new(const struct consumer_settings *settings, const struct stream *stream,
			    const char *replica, const struct tables *tables,
			    struct streams *streams, struct status *status)
{
	struct session *s = xcalloc(1, sizeof(*s));

	s->settings = settings;
	s->stream = stream;
	s->streams = streams;
	s->replica = replica;
	s->status = status;
	s->ack_at = MONO_NEVER;
	inbox_init(&s->inbox, tables, (size_t)settings->batch_max_changes);
	s->apply = apply_new(settings, stream, replica, tables);
	s->retry = retry_new(settings, stream, replica, status, on_moved, s);
	s->side = side_new(settings, stream, replica, status, s->retry, &s->inbox);
	s->wrong = wrong_records_new(settings, replica, s->retry);
	s->waiting = waiting_new(settings, stream, status, s->retry);
	s->blockers = blockers_new(settings, replica, status);
	return s;
}

struct session *session_free(struct session *s)
{
	if (s == NULL)
		return NULL;
	apply_free(s->apply);
	side_free(s->side);
	wrong_records_free(s->wrong);
	waiting_free(s->waiting);
	blockers_free(s->blockers);
	retry_free(s->retry);
	inbox_clear(&s->inbox);
	forget_shapes(s);
	free(s);
	return NULL;
}
