/*
 * retry.c: see retry.h.
 *
 *   a move is   moves on when
 *   TO_RECORD   it was handed out, to be recorded on the replica           -> RECORDING
 *   RECORDING   it is recorded, or the replica does not take the record    -> READY
 *   READY       confirmed; its message's last one: done()                  -> gone
 *               returned or refused: the queues are declared again (by side.c, which never
 *               creates a main queue), and it is sent again after 100 ms … 5 s
 *
 * Rows of a batch are recorded as wrong before it comes here (apply.c). Only changes that waited on the replica and
 * are given up begin as TO_RECORD: their rows are recorded as waiting.
 */
#include "consumer/apply/retry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/amqp/outgoing.h"
#include "common/base/backoff.h"
#include "common/base/log.h"
#include "common/http/metrics.h"
#include "common/wire/topology.h"
#include "common/base/clip.h"
#include "consumer/apply/verdict.h"

#define HEADERS_MAX 17 /* of a publish */
#define LOG_MOVES   20 /* lines for one batch; a message may hold thousands of bad changes */
#define BYTES_MAX   ((size_t)32 << 20) /* of moves: more messages are received below it only */

enum move_state { MOVE_READY, MOVE_TO_RECORD, MOVE_RECORDING };

struct move {
	struct outgoing_copy copy; /* HELD until READY */
	enum move_state state;
	uint64_t tag;
	enum change_kind kind;
	bool dead;	 /* to the dead-letter queue; else to the retry queue */
	int table;	 /* these three: of its row and change, if it is to be recorded; the */
	int64_t version; /* key is the header x-key */
	uint64_t xid;
};

struct retry {
	const struct consumer_settings *settings;
	const struct stream *stream;
	const char *replica;
	struct status *status;
	retry_done done;
	void *arg;

	struct outgoing moves;
	size_t to_record; /* moves that are TO_RECORD */
	struct backoff backoff;
	struct mono not_before; /* no sending until then */
	bool declare;		/* a queue is missing: none is sent before they are declared */
	bool unfit;		/* the retry queues are not as they must be: moves to them wait */
};

static struct move *first(const struct retry *r)
{
	return (struct move *)r->moves.first;
}

static struct move *next(const struct move *m)
{
	return (struct move *)m->copy.next;
}

static bool on_settled(void *arg, struct outgoing_copy *c, enum amqp_settled how)
{
	struct retry *r = arg;
	const struct move *m = (const struct move *)c;
	size_t moves = 0; /* of its message, this one too */

	if (how != AMQP_CONFIRMED) {
		r->declare = true;
		r->not_before = mono_add_ms(mono_now(), backoff_next_ms(&r->backoff));
		log_warn(
			"a failed change could not be moved; declaring the queues and trying again",
			KV_S("replica", r->replica), KV_S("message_id", c->message.message_id),
			KV_S("why",
			     how == AMQP_RETURNED ? "no queue took it" : "the broker refused it"));
		return false;
	}
	backoff_reset(&r->backoff);
	status_count(r->status, m->dead ? METRIC_DEAD : METRIC_RETRIED, 1);
	for (const struct move *of = first(r); of != NULL && moves < 2; of = next(of))
		moves += of->tag == m->tag;
	/* Confirmed, so the message may go; not one instruction earlier. */
	if (moves == 1)
		r->done(r->arg, m->tag);
	return true;
}

struct retry *retry_new(const struct consumer_settings *settings, const struct stream *stream,
			const char *replica, struct status *status, retry_done done, void *arg)
{
	struct retry *r = xcalloc(1, sizeof(*r));

	r->settings = settings;
	r->stream = stream;
	r->replica = replica;
	r->status = status;
	r->done = done;
	r->arg = arg;
	outgoing_init(&r->moves, SIZE_MAX, BYTES_MAX, on_settled, r);
	backoff_init(&r->backoff, 100, 5000);
	return r;
}

void retry_unsend(struct retry *r)
{
	outgoing_unsend(&r->moves);
}

void retry_forget(struct retry *r)
{
	outgoing_clear(&r->moves);
	r->to_record = 0;
	r->declare = false;
}

struct retry *retry_free(struct retry *r)
{
	if (r == NULL)
		return NULL;
	retry_forget(r);
	free(r);
	return NULL;
}

size_t retry_pending(const struct retry *r)
{
	return r->moves.n;
}

bool retry_full(const struct retry *r)
{
	return outgoing_full(&r->moves);
}

/* ---- taking moves over ---- */

/* What a move is made from, and what its message points into. */
struct failed {
	unsigned attempt;
	struct verdict verdict;
	int64_t delay_ms;
	char error[BATCH_ERROR_MAX], queue[TOPOLOGY_NAME_MAX], key[TOPOLOGY_NAME_MAX];
	char xid[24], expiration[24], at[CLOCK_TIMESTAMP_MAX];
	struct amqp_header headers[HEADERS_MAX];
};

static size_t write_headers(struct failed *x, const struct batch *b, const struct batch_failure *f,
			    bool dead)
{
	const struct batch_message *from = &b->messages[f->message];
	const char *xids = f->whole ? batch_text(b, from->xids_at) : x->xid;
	size_t n = 0;

	if (f->xid != 0)
		snprintf(x->xid, sizeof(x->xid), "%llu", (unsigned long long)f->xid);
	x->headers[n++] = (struct amqp_header){ .key = "x-attempt", .num = x->attempt };
	x->headers[n++] = (struct amqp_header){ .key = "x-error", .str = x->error };
	x->headers[n++] = (struct amqp_header){ .key = "x-queue", .str = x->queue };
	if (*xids != '\0')
		x->headers[n++] = (struct amqp_header){ .key = "x-xid", .str = xids };
	if (b->source_at != 0)
		x->headers[n++] = (struct amqp_header){ .key = "x-source",
							.str = batch_text(b, b->source_at) };
	if (from->shape != 0)
		x->headers[n++] = (struct amqp_header){ .key = CHANGE_SHAPE_HEADER,
							.num = from->shape };
	if (from->lsn > 0)
		x->headers[n++] = (struct amqp_header){ .key = CHANGE_LSN_HEADER,
							.num = from->lsn };
	if (dead && f->version > 0)
		x->headers[n++] = (struct amqp_header){ .key = "x-key",
							.str = batch_text(b, f->key_at) };
	clock_format_wall(wall_now_us(), x->at);
	x->headers[n++] = (struct amqp_header){ .key = dead ? "x-died-at" : "x-failed-at",
						.str = x->at };
	for (size_t i = 0; i < from->nheaders && n < HEADERS_MAX; i++) {
		const struct batch_header *h = &b->headers[from->first_header + i];
		x->headers[n++] = (struct amqp_header){
			.key = batch_text(b, h->key_at),
			.str = h->str_at != 0 ? batch_text(b, h->str_at) : NULL,
			.num = h->num,
		};
	}
	return n;
}

static const struct move *take_failure(struct retry *r, const struct batch *b,
				       const struct batch_failure *f, struct failed *x)
{
	const struct batch_message *from = &b->messages[f->message];

	*x = (struct failed){ .attempt = from->attempt + 1 };
	x->verdict = verdict_of_failure(x->attempt, (unsigned)r->settings->max_attempts);
	x->delay_ms = verdict_delay_ms(r->settings->retry_delay_ms, x->attempt);
	bool dead = x->verdict.action == VERDICT_DEAD;
	char exchange[TOPOLOGY_NAME_MAX];

	topology_retry_exchange(exchange, r->stream);
	clip_text(x->error, sizeof(x->error), batch_text(b, f->error_at));
	topology_queue(x->queue, r->stream, from->kind, r->replica);
	if (dead) {
		topology_dead_queue(x->key, r->stream, r->replica);
	} else {
		topology_retry_key(x->key, r->stream, from->kind, r->replica, x->attempt);
		snprintf(x->expiration, sizeof(x->expiration), "%lld", (long long)x->delay_ms);
	}
	const struct amqp_publish p = {
		.exchange = dead ? "" : exchange,
		.routing_key = x->key,
		.type = batch_text(b, from->type_at),
		.content_type = batch_text(b, from->content_type_at),
		.message_id = batch_text(b, from->id_at),
		.expiration = x->expiration,
		.timestamp_s = from->timestamp_s,
		.nheaders = write_headers(x, b, f, dead),
		.headers = x->headers,
		.body = strbuf_str(&b->bodies) + f->raw.at,
		.len = f->raw.len,
	};
	struct move *m = (struct move *)outgoing_add(&r->moves, &p, sizeof(*m));
	m->tag = from->tag;
	m->kind = from->kind;
	m->dead = dead;
	if (dead && f->version > 0 && !b->recorded) {
		m->state = MOVE_TO_RECORD;
		m->copy.state = OUTGOING_HELD;
		m->table = f->table;
		m->version = f->version;
		m->xid = f->xid;
		r->to_record++;
	}
	return m;
}

static void log_move(const struct retry *r, const struct move *m, const struct failed *x)
{
	const struct amqp_publish *p = &m->copy.message;

	if (m->dead)
		log_error(x->verdict.sentence, KV_S("replica", r->replica),
			  KV_S("message_id", p->message_id),
			  KV_S("kind", change_kind_name(m->kind)), KV_I("attempt", x->attempt),
			  KV_S("queue", p->routing_key), KV_S("error", x->error));
	else
		log_warn(x->verdict.sentence, KV_S("replica", r->replica),
			 KV_S("message_id", p->message_id), KV_S("kind", change_kind_name(m->kind)),
			 KV_I("attempt", x->attempt), KV_I("again_in_ms", x->delay_ms),
			 KV_S("error", x->error));
}

void retry_take(struct retry *r, const struct batch *b)
{
	struct failed x;

	for (size_t i = 0; i < b->nfailures; i++) {
		const struct move *m = take_failure(r, b, &b->failures[i], &x);
		if (i < LOG_MOVES)
			log_move(r, m, &x);
		status_set_error(r->status, batch_text(b, b->failures[i].shown_at != 0
								  ? b->failures[i].shown_at
								  : b->failures[i].error_at));
	}
	if (b->nfailures > LOG_MOVES)
		log_warn("more changes of the same batch failed", KV_S("replica", r->replica),
			 KV_I("changes", (int64_t)(b->nfailures - LOG_MOVES)));
}

/* ---- recording ---- */

size_t retry_take_records(struct retry *r, size_t max,
			  void (*each)(void *arg, const struct retry_record *record), void *arg)
{
	size_t n = 0;

	for (struct move *m = first(r); m != NULL && r->to_record > 0 && n < max; m = next(m)) {
		const struct amqp_publish *p = &m->copy.message;
		if (m->state != MOVE_TO_RECORD)
			continue;
		const struct retry_record record = {
			.table = m->table,
			.key = amqp_header_text(p->headers, p->nheaders, "x-key"),
			.version = m->version,
			.xid = m->xid,
			.source = amqp_header_text(p->headers, p->nheaders, "x-source"),
			.queue = amqp_header_text(p->headers, p->nheaders, "x-queue"),
			.error = amqp_header_text(p->headers, p->nheaders, "x-error"),
		};
		each(arg, &record);
		m->state = MOVE_RECORDING;
		r->to_record--;
		n++;
	}
	return n;
}

void retry_recorded(struct retry *r)
{
	for (struct move *m = first(r); m != NULL; m = next(m))
		if (m->state == MOVE_RECORDING) {
			m->state = MOVE_READY;
			m->copy.state = OUTGOING_TO_SEND;
		}
}

/* ---- sending ---- */

void retry_settled(struct retry *r, uint64_t publish_no, enum amqp_settled how)
{
	outgoing_settled(&r->moves, publish_no, how);
}

bool retry_wants_queues(const struct retry *r)
{
	return r->declare;
}

void retry_declared(struct retry *r, bool retry_fit)
{
	r->declare = false;
	r->unfit = !retry_fit;
}

/* Moves to the retry queue wait as long as it is unfit. */
static void hold_unfit(struct retry *r)
{
	for (struct move *m = first(r); m != NULL; m = next(m)) {
		if (m->dead || m->state != MOVE_READY)
			continue;
		if (r->unfit && m->copy.state == OUTGOING_TO_SEND)
			m->copy.state = OUTGOING_HELD;
		else if (!r->unfit && m->copy.state == OUTGOING_HELD)
			m->copy.state = OUTGOING_TO_SEND;
	}
}

bool retry_send(struct retry *r, struct amqp_link *link, struct mono now, struct err *err)
{
	if (r->moves.n == 0 || r->declare || !mono_reached(r->not_before, now))
		return true;
	hold_unfit(r);
	return outgoing_send(&r->moves, link, err);
}

int retry_wait_ms(const struct retry *r, struct mono now, int max_ms)
{
	if (r->moves.n == 0 || mono_reached(r->not_before, now))
		return max_ms;
	return mono_until_ms(r->not_before, now, max_ms);
}
