/*
 * retry.c: see retry.h.
 *
 *   a move is   moves on when
 *   (given up, product known: recorded on the replica, or refused there  -> WAITING)
 *   WAITING     its time has come and the link can take it     -> SENT
 *   SENT        confirmed                                      -> gone; its message's last: done()
 *               returned or refused: queues are declared again -> WAITING, 100 ms … 5 s
 *               the link is lost                               -> WAITING
 */
#include "consumer/apply/retry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/amqp/amqp.h"
#include "common/base/backoff.h"
#include "common/base/log.h"
#include "common/http/metrics.h"
#include "common/wire/topology.h"
#include "common/base/clip.h"
#include "consumer/apply/verdict.h"

#define HEADERS_MAX 16	/* of a publish */
#define LOG_MOVES   20	/* lines for one batch; a message may hold thousands of bad changes */
#define ERROR_MAX   501 /* x-error: 500 bytes and the NUL */

struct move {
	struct move *next;
	uint64_t tag;
	enum change_kind kind;
	unsigned attempt; /* that failed */
	struct verdict verdict;
	bool dead; /* what the verdict says */
	enum { RECORD_NONE, RECORD_WANTED, RECORD_TAKEN } record;
	struct uuid id; /* these three: of its product and change, if it is to be recorded */
	int64_t version;
	uint64_t xid;
	int64_t delay_ms;
	int64_t timestamp_s;
	char *message_id, *type, *content_type, *xids, *source; /* "" if there is none */
	char died_at[CLOCK_TIMESTAMP_MAX];
	char error[ERROR_MAX];
	struct amqp_header *headers; /* others that travel on; strings are ours */
	size_t nheaders;
	char *body;
	size_t len;
	uint64_t publish_no; /* SENT; 0: WAITING */
};

/* The moves that a message still waits for. */
struct group {
	uint64_t tag;
	size_t left;
};

struct retry {
	const struct consumer_settings *settings;
	const char *replica;
	struct status *status;
	retry_done done;
	void *arg;

	struct move *first, **last;
	size_t pending, pending_bytes;
	size_t to_record; /* moves that are RECORD_WANTED */
	struct group *groups;
	size_t ngroups, groups_cap;

	struct backoff backoff;
	struct mono not_before; /* no sending until then */
	bool declare;		/* a queue is missing: declare before sending on */
};

struct retry *retry_new(const struct consumer_settings *settings, const char *replica,
			struct status *status, retry_done done, void *arg)
{
	struct retry *r = xcalloc(1, sizeof(*r));

	r->settings = settings;
	r->replica = replica;
	r->status = status;
	r->done = done;
	r->arg = arg;
	r->last = &r->first;
	backoff_init(&r->backoff, 100, 5000);
	return r;
}

static void move_free(struct move *m)
{
	for (size_t i = 0; i < m->nheaders; i++) {
		free((void *)(uintptr_t)m->headers[i].key);
		free((void *)(uintptr_t)m->headers[i].str);
	}
	free(m->headers);
	free(m->message_id);
	free(m->type);
	free(m->content_type);
	free(m->xids);
	free(m->source);
	free(m->body);
	free(m);
}

void retry_unsend(struct retry *r)
{
	for (struct move *m = r->first; m != NULL; m = m->next)
		m->publish_no = 0;
}

void retry_forget(struct retry *r)
{
	while (r->first != NULL) {
		struct move *m = r->first;
		r->first = m->next;
		move_free(m);
	}
	r->last = &r->first;
	r->pending = r->pending_bytes = r->to_record = r->ngroups = 0;
	r->declare = false;
}

struct retry *retry_free(struct retry *r)
{
	if (r == NULL)
		return NULL;
	retry_forget(r);
	free(r->groups);
	free(r);
	return NULL;
}

size_t retry_pending(const struct retry *r)
{
	return r->pending;
}

size_t retry_pending_bytes(const struct retry *r)
{
	return r->pending_bytes;
}

/* ---- taking moves over ---- */

static void group_add(struct retry *r, uint64_t tag)
{
	/* Failures of one message come together, so look from the end. */
	for (size_t i = r->ngroups; i > 0; i--)
		if (r->groups[i - 1].tag == tag) {
			r->groups[i - 1].left++;
			return;
		}
	if (r->ngroups == r->groups_cap) {
		r->groups_cap = r->groups_cap ? 2 * r->groups_cap : 16;
		r->groups = xreallocarray(r->groups, r->groups_cap, sizeof(*r->groups));
	}
	r->groups[r->ngroups++] = (struct group){ tag, 1 };
}

/* Returns true if that was the last one of the message. */
static bool group_remove(struct retry *r, uint64_t tag)
{
	for (size_t i = 0; i < r->ngroups; i++)
		if (r->groups[i].tag == tag) {
			if (--r->groups[i].left > 0)
				return false;
			memmove(&r->groups[i], &r->groups[i + 1],
				(r->ngroups - i - 1) * sizeof(*r->groups));
			r->ngroups--;
			return true;
		}
	fatal("retry: a move without its message");
}

static void take_headers(struct move *m, const struct batch *b, const struct batch_message *from)
{
	if (from->nheaders == 0)
		return;
	m->headers = xcalloc(from->nheaders, sizeof(*m->headers));
	for (size_t i = 0; i < from->nheaders; i++) {
		const struct batch_header *h = &b->headers[from->first_header + i];
		m->headers[m->nheaders++] = (struct amqp_header){
			.key = xstrdup(batch_text(b, h->key_at)),
			.str = h->str_at != 0 ? xstrdup(batch_text(b, h->str_at)) : NULL,
			.num = h->num,
		};
	}
}

static void log_move(const struct retry *r, const struct move *m)
{
	char queue[TOPOLOGY_NAME_MAX];

	if (m->dead) {
		topology_dead_queue(queue, r->replica);
		log_error(m->verdict.sentence, KV_S("replica", r->replica),
			  KV_S("message_id", m->message_id),
			  KV_S("kind", change_kind_name(m->kind)), KV_I("attempt", m->attempt),
			  KV_S("queue", queue), KV_S("error", m->error));
		return;
	}
	log_warn(m->verdict.sentence, KV_S("replica", r->replica),
		 KV_S("message_id", m->message_id), KV_S("kind", change_kind_name(m->kind)),
		 KV_I("attempt", m->attempt), KV_I("again_in_ms", m->delay_ms),
		 KV_S("error", m->error));
}

static struct move *take_failure(struct retry *r, const struct batch *b,
				 const struct batch_failure *f)
{
	const struct batch_message *from = &b->messages[f->message];
	struct move *m = xcalloc(1, sizeof(*m));

	m->tag = from->tag;
	m->kind = from->kind;
	m->attempt = from->attempt + 1;
	m->verdict = verdict_of_failure(m->attempt, (unsigned)r->settings->max_attempts);
	m->dead = m->verdict.action == VERDICT_DEAD;
	m->delay_ms = verdict_delay_ms(r->settings->retry_delay_ms, m->attempt);
	m->timestamp_s = from->timestamp_s;
	m->message_id = xstrdup(batch_text(b, from->id_at));
	m->type = xstrdup(batch_text(b, from->type_at));
	m->content_type = xstrdup(batch_text(b, from->content_type_at));
	m->source = xstrdup(batch_text(b, b->source_at));
	if (f->whole)
		m->xids = xstrdup(batch_text(b, from->xids_at));
	else
		m->xids = f->xid != 0 ? xasprintf("%llu", (unsigned long long)f->xid) : xstrdup("");
	if (m->dead)
		clock_format_wall(wall_now_us(), m->died_at);
	if (m->dead && f->version > 0) {
		m->record = RECORD_WANTED;
		m->id = f->id;
		m->version = f->version;
		m->xid = f->xid;
		r->to_record++;
	}
	clip_text(m->error, sizeof(m->error), batch_text(b, f->error_at));
	take_headers(m, b, from);
	m->len = f->raw.len;
	m->body = xstrndup("", 0);
	if (m->len > 0) {
		free(m->body);
		m->body = xmalloc(m->len);
		memcpy(m->body, b->bodies.data + f->raw.at, m->len);
	}
	group_add(r, m->tag);
	*r->last = m;
	r->last = &m->next;
	r->pending++;
	r->pending_bytes += sizeof(*m) + m->len;
	return m;
}

void retry_take(struct retry *r, const struct batch *b)
{
	for (size_t i = 0; i < b->nfailures; i++) {
		const struct move *m = take_failure(r, b, &b->failures[i]);
		if (i < LOG_MOVES)
			log_move(r, m);
		status_set_error(r->status, m->error);
	}
	if (b->nfailures > LOG_MOVES)
		log_warn("more changes of the same batch failed", KV_S("replica", r->replica),
			 KV_I("changes", (int64_t)(b->nfailures - LOG_MOVES)));
}

/* ---- recording ---- */

size_t retry_take_records(struct retry *r, size_t max,
			  void (*each)(void *arg, const struct retry_record *record), void *arg)
{
	char queue[TOPOLOGY_NAME_MAX];
	size_t n = 0;

	for (struct move *m = r->first; m != NULL && r->to_record > 0 && n < max; m = m->next) {
		if (m->record != RECORD_WANTED)
			continue;
		topology_queue(queue, m->kind, r->replica);
		const struct retry_record record = {
			.id = &m->id,
			.version = m->version,
			.xid = m->xid,
			.source = m->source,
			.queue = queue,
			.error = m->error,
		};
		each(arg, &record);
		m->record = RECORD_TAKEN;
		r->to_record--;
		n++;
	}
	return n;
}

void retry_recorded(struct retry *r)
{
	for (struct move *m = r->first; m != NULL; m = m->next)
		if (m->record == RECORD_TAKEN)
			m->record = RECORD_NONE;
}

/* ---- sending ---- */

static bool send_move(const struct retry *r, struct amqp_link *link, struct move *m,
		      struct err *err)
{
	char key[TOPOLOGY_NAME_MAX], queue[TOPOLOGY_NAME_MAX], expiration[24];
	struct amqp_header headers[HEADERS_MAX];
	size_t n = 0;

	topology_queue(queue, m->kind, r->replica);
	headers[n++] = (struct amqp_header){ .key = "x-attempt", .num = m->attempt };
	headers[n++] = (struct amqp_header){ .key = "x-error", .str = m->error };
	headers[n++] = (struct amqp_header){ .key = "x-queue", .str = queue };
	if (*m->xids != '\0')
		headers[n++] = (struct amqp_header){ .key = "x-xid", .str = m->xids };
	if (*m->source != '\0')
		headers[n++] = (struct amqp_header){ .key = "x-source", .str = m->source };
	if (m->dead)
		headers[n++] = (struct amqp_header){ .key = "x-died-at", .str = m->died_at };
	for (size_t i = 0; i < m->nheaders && n < ARRAY_SIZE(headers); i++)
		headers[n++] = m->headers[i];

	struct amqp_publish p = {
		.type = *m->type != '\0' ? m->type : NULL,
		.content_type = *m->content_type != '\0' ? m->content_type : NULL,
		.message_id = *m->message_id != '\0' ? m->message_id : NULL,
		.timestamp_s = m->timestamp_s,
		.headers = headers,
		.nheaders = n,
		.body = m->body,
		.len = m->len,
	};
	if (m->dead) {
		topology_dead_queue(key, r->replica);
		p.exchange = "";
	} else {
		topology_retry_key(key, m->kind, r->replica, m->attempt);
		snprintf(expiration, sizeof(expiration), "%lld", (long long)m->delay_ms);
		p.exchange = TOPOLOGY_RETRY_EXCHANGE;
		p.expiration = expiration;
	}
	p.routing_key = key;
	return amqp_send(link, &p, &m->publish_no, err);
}

void retry_settled(struct retry *r, uint64_t publish_no, enum amqp_settled how)
{
	struct move **at = &r->first;

	while (*at != NULL && (*at)->publish_no != publish_no)
		at = &(*at)->next;
	struct move *m = *at;
	if (m == NULL)
		return; /* forgotten meanwhile */
	if (how != AMQP_CONFIRMED) {
		m->publish_no = 0;
		r->declare = true;
		r->not_before = mono_add_ms(mono_now(), backoff_next_ms(&r->backoff));
		log_warn(
			"a failed change could not be moved; declaring the queues and trying again",
			KV_S("replica", r->replica), KV_S("message_id", m->message_id),
			KV_S("why",
			     how == AMQP_RETURNED ? "no queue took it" : "the broker refused it"));
		return;
	}
	backoff_reset(&r->backoff);
	metric_add(m->dead ? METRIC_DEAD : METRIC_RETRIED, r->status->label, 1);
	*at = m->next;
	if (*at == NULL)
		r->last = at;
	r->pending--;
	r->pending_bytes -= sizeof(*m) + m->len;
	uint64_t tag = m->tag;
	move_free(m);
	/* Confirmed, so the message may go; not one instruction earlier. */
	if (group_remove(r, tag))
		r->done(r->arg, tag);
}

bool retry_send(struct retry *r, struct amqp_link *link, struct mono now, struct err *err)
{
	if (r->pending == 0 || !mono_reached(r->not_before, now))
		return true;
	/* A question, so only while nothing published is unanswered: the broker might not read it.
	 * */
	if (r->declare) {
		if (amqp_blocked(link) || amqp_unsettled(link) > 0)
			return true;
		if (!topology_declare(link, r->replica, (unsigned)r->settings->max_attempts, err))
			return false;
		r->declare = false;
	}
	for (struct move *m = r->first; m != NULL; m = m->next) {
		if (m->publish_no != 0 || m->record != RECORD_NONE)
			continue;
		/* One that is larger than the window goes alone. */
		if (amqp_blocked(link) ||
		    (amqp_unsettled(link) > 0 && !amqp_can_publish(link, m->len)))
			break;
		if (!send_move(r, link, m, err))
			return false;
	}
	return true;
}

int retry_wait_ms(const struct retry *r, struct mono now, int max_ms)
{
	if (r->pending == 0 || mono_reached(r->not_before, now))
		return max_ms;
	return mono_until_ms(r->not_before, now, max_ms);
}
