/*
 * publisher.c: from claimed changes to confirmed keys.
 *
 *   a chunk      moves on when
 *   FREE         the relay takes it to claim into            -> LENT
 *   LENT         the claim is answered: with changes         -> QUEUED, without -> FREE
 *   QUEUED       its last message is sent                    -> SENT
 *   SENT         its last message is confirmed               -> FREE
 *
 * What a message holds:
 *   1. Changes of one kind, one shape of a table and one epoch only: they have the routing key in common.
 *   2. While there are few changes, a sweep that found at most FEW of them sends each alone, as an
 *      object: the usual case, and easy to read in a queue.
 *   3. Otherwise up to changes_max changes share a message as an array, which ends early at
 *      BODY_MAX bytes; directly earlier.
 *      A row that alone is larger than the broker takes is represented by its key: publisher_limit().
 *   4. x-xid lists the transactions of its changes in order, x-source names the space they
 *      belong to; x-shape is the shape of their table, x-inserted says how many were made by an
 *      INSERT, x-cut which sweep found them, x-lsn before which place in the WAL they were
 *      committed. A message's changes are of one chunk, so of one sweep.
 *   5. x-term and x-number: its number among the messages of its kind in this term. A term ends with
 *      publisher_drop(): what is published again gets a number of the next term.
 *
 * Messages are confirmed in the order they were published in, whatever order the answers have: one
 * that is answered waits for those before it. So a change that is forgotten has a number up to which
 * all are confirmed, and one number for each kind says what every replica must receive. What comes
 * behind a refused message is never confirmed: it is published again, in the next term.
 *
 * Nothing here is durable. A change is forgotten in the primary only by its key from
 * publisher_confirmed(), which appears when the broker has confirmed the message and did not return
 * it; until then a crash publishes it again.
 *
 * Direct: while the exchange refuses messages, each goes through it all the same, because those bound
 * to it that have room take their copies; and by name to each replica's queue of its kind, which
 * tells who has it. The rule, when all of its copies are answered:
 *   1. The exchange took it: everybody has it but a replica whose queue is not there.
 *   2. Else somebody took it, and all replicas' queues did but those that may miss it: these are left
 *      out. The relay marks them before the changes are forgotten. Another subscriber that refused
 *      has lost its copy.
 *   3. Else it is not published.
 *   4. Whose answer was given up is not waited for any more, until it answers anything on this link:
 *      till then it counts as refused.
 * Replicas may get it twice, under one number, which is harmless.
 *
 * After a drop one message goes ahead alone until one is confirmed: if the broker has an alarm, or
 * a queue is missing, that one finds out, and not some thousand.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/relay/publisher.h"
#include "common/wire/topology.h"

#define FEW	     8
#define BODY_MAX     (96 * 1024)
/* Directly: of all copies of a message together, so that they fit the socket's buffer at once; but
 * of each not less. */
#define DIRECT_MAX   (48 * 1024)
#define DIRECT_LEAST (4 * 1024)
#define XIDS_MAX     (16 * 1024)
#define OVERHEAD     1024		/* bytes on the wire beside body and x-xid, generously */
#define KEEP_BYTES   ((size_t)4 << 20)	/* a buffer that was larger is given back */
#define UNDER_WAY    ((size_t)64 << 20) /* bodies: no more is claimed */
#define RUN_MESSAGES 64			/* sent before the relay looks again what the broker says */
/* Messages between the oldest that is unanswered and the newest; a power of two. */
#define RING	     16384
/* Heartbeats have numbers of the same sequence: more than may be between two changes. */
#define RING_SPARE   1024

enum chunk_state { CHUNK_FREE, CHUNK_LENT, CHUNK_QUEUED, CHUNK_SENT };

struct chunk {
	struct outbox_chunk c; /* first: what is lent is a pointer to it */
	enum chunk_state state;
	bool few;
	size_t at;	 /* changes before are sent */
	size_t open;	 /* messages sent and not confirmed */
	uint64_t number; /* of publisher_add() */
	struct chunk *next_queued;
};

struct sent {		     /* one message, or a copy of it by name */
	uint64_t no;	     /* others send through the link too; 0: nothing was here yet */
	struct chunk *chunk; /* NULL: confirmed, or dropped; of a copy: answered */
	uint32_t from;	     /* these two: its changes */
	uint16_t n;
	/* 0: through the exchange; else to replica copy - 1, and the message is so many before. */
	uint16_t copy;
	bool direct;		/* of a message: it has copies, see its tally */
	bool answered, refused; /* of a message: with all its copies */
};

struct tally {		       /* of a message that has copies */
	uint16_t open;	       /* it and its copies: not answered */
	bool answered;	       /* by the exchange */
	bool through;	       /* the exchange took it */
	bool taken;	       /* some queue did */
	uint64_t lost[2];      /* replicas whose queue refused it; is not there: bits */
	enum amqp_settled how; /* the exchange's answer */
};

struct publisher {
	const struct stream *stream;
	struct chunk *chunks;
	size_t nchunks;
	size_t changes_max, message_max;
	struct chunk *queue, **queue_end;
	uint64_t added; /* chunks */

	/* The message that is made but not sent yet: the first build_n changes of the first chunk
	 * in the queue. */
	size_t build_n, build_inserted;
	struct strbuf body;
	struct change_xids xids;
	size_t xids_len;

	struct sent ring[RING]; /* messages oldest … newest, at their number modulo RING */
	uint64_t oldest, next;
	size_t unanswered, changes;
	uint64_t numbered[2], confirmed[2]; /* messages of this term, by enum change_kind */
	bool direct;
	uint64_t may_miss, refused_by;
	const char *const *names; /* these three: once it was direct */
	size_t nnames;
	struct tally *tallies; /* at their message's number modulo RING */
	uint64_t left_out[2];  /* as tally.lost, of confirmed changes */
	bool silent[1 + 64];   /* by copy: answered nothing since publisher_give_up() */
	bool cautious;
	bool refused;
	enum amqp_settled refused_how;

	struct outbox_key *keys; /* confirmed: from keys_at, nkeys of them */
	size_t keys_at, nkeys, keys_cap;

	struct publisher_counts counts;
};

struct publisher *publisher_new(const struct stream *stream, size_t chunks, size_t changes_max)
{
	struct publisher *p = xcalloc(1, sizeof(*p));

	p->stream = stream;
	p->chunks = xcalloc(chunks, sizeof(*p->chunks));
	p->nchunks = chunks;
	p->changes_max = changes_max ? changes_max : 1;
	p->message_max = PUBLISHER_LIMIT;
	publisher_drop(p, true);
	return p;
}

void publisher_free(struct publisher *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->nchunks; i++)
		outbox_chunk_clear(&p->chunks[i].c);
	free(p->chunks);
	strbuf_clear(&p->body);
	change_xids_clear(&p->xids);
	free(p->tallies);
	free(p->keys);
	free(p);
}

void publisher_limit(struct publisher *p, size_t bytes)
{
	p->message_max = bytes;
}

bool publisher_limit_told(const char *text, size_t *ret_bytes)
{
	static const char *const words[] = { "larger than configured max size ",
					     "larger than max size " };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		const char *at = strstr(text, words[i]);
		if (!at)
			continue;
		*ret_bytes = (size_t)strtoull(at + strlen(words[i]), NULL, 10);
		return *ret_bytes > 0;
	}
	return false;
}

/* The first that is free, if there is room for more. */
static struct chunk *find_room(const struct publisher *p)
{
	struct chunk *found = NULL;
	size_t bytes = 0;

	for (size_t i = p->nchunks; i-- > 0;) {
		if (p->chunks[i].state == CHUNK_FREE)
			found = &p->chunks[i];
		else
			bytes += p->chunks[i].c.bodies.len;
	}
	return bytes < UNDER_WAY ? found : NULL;
}

struct outbox_chunk *publisher_chunk(struct publisher *p)
{
	struct chunk *k = find_room(p);

	if (!k)
		return NULL;
	k->state = CHUNK_LENT;
	return &k->c;
}

bool publisher_has_room(const struct publisher *p)
{
	return find_room(p) != NULL;
}

static void set_free(struct chunk *k)
{
	k->state = CHUNK_FREE;
	if (k->c.bodies.cap > KEEP_BYTES)
		strbuf_clear(&k->c.bodies);
}

void publisher_release(struct outbox_chunk *c)
{
	set_free((struct chunk *)c);
}

void publisher_add(struct publisher *p, struct outbox_chunk *c, bool calm)
{
	struct chunk *k = (struct chunk *)c;

	if (c->n == 0) {
		set_free(k);
		return;
	}
	k->state = CHUNK_QUEUED;
	k->few = calm && c->sweep_begins && c->sweep_ends && c->n <= FEW;
	k->at = k->open = 0;
	k->number = ++p->added;
	k->next_queued = NULL;
	*p->queue_end = k;
	p->queue_end = &k->next_queued;
	p->changes += c->n;
}

/* ---- sending ---- */

static size_t copies(const struct publisher *p)
{
	return p->direct ? 1 + p->nnames : 1;
}

/* Bytes of a message's body, but for its last change. */
static size_t body_max(const struct publisher *p)
{
	size_t share = DIRECT_MAX / copies(p);
	size_t most = !p->direct ? BODY_MAX : share > DIRECT_LEAST ? share : DIRECT_LEAST;

	return min_size(most, p->message_max / 2);
}

/* Appends the change, or what stands for it. */
static void write_change(struct publisher *p, const struct chunk *k, const struct outbox_row *row)
{
	const char *body = row->truncate ? NULL : strbuf_str(&k->c.bodies) + row->body_at;
	size_t before = p->body.len, most = p->message_max - body_max(p);

	if (row->body_len <= most || row->kind == CHANGE_DELETE) {
		shape_route_write(row->route, &p->body, row->kind, row->version, body,
				  row->body_len);
		if (p->body.len - before < most || row->kind == CHANGE_DELETE)
			return;
	}
	p->counts.too_large++;
	p->counts.large_key = row->route->keys[row->kind];
	p->counts.large_bytes = row->body_len;
	p->body.len = before;
	shape_route_write_large(row->route, &p->body, row->version, body, row->body_len);
}

static void build(struct publisher *p)
{
	const struct chunk *k = p->queue;
	const struct outbox_row *first = &k->c.rows[k->at];
	size_t left = k->c.n - k->at, most = k->few ? 1 : min_size(p->changes_max, left), n = 0;

	if (p->body.cap > KEEP_BYTES)
		strbuf_clear(&p->body);
	strbuf_reset(&p->body);
	change_xids_reset(&p->xids);
	p->build_inserted = 0;
	strbuf_addch(&p->body, '[');
	do {
		if (n)
			strbuf_addch(&p->body, ',');
		write_change(p, k, &first[n]);
		change_xids_add(&p->xids, first[n].xid);
		p->build_inserted += first[n].inserted;
		n++;
	} while (n < most && first[n].kind == first[0].kind && first[n].route == first[0].route &&
		 first[n].truncate == first[0].truncate && first[n].source == first[0].source &&
		 p->body.len < body_max(p) && p->xids.text.len < XIDS_MAX);
	strbuf_addch(&p->body, ']');
	p->build_n = n;
	p->xids_len = strlen(change_xids_finish(&p->xids));
}

/* Notes that a message, or a copy of it, was sent. */
static void note_sent(struct publisher *p, uint64_t no, size_t copy)
{
	p->ring[no & (RING - 1)] = (struct sent){ .no = no,
						  .chunk = p->queue,
						  .from = (uint32_t)p->queue->at,
						  .n = (uint16_t)p->build_n,
						  .copy = (uint16_t)copy,
						  .direct = p->direct };
	if (p->oldest == p->next)
		p->oldest = no;
	p->next = no + 1;
	p->unanswered++;
}

/* The same message by name to each replica's queue of its kind. */
static bool send_copies(struct publisher *p, struct amqp_link *l, struct amqp_publish m,
			uint64_t first, struct err *err)
{
	enum change_kind kind = p->queue->c.rows[p->queue->at].kind;
	char queue[TOPOLOGY_NAME_MAX];
	uint64_t no;

	p->tallies[first & (RING - 1)] = (struct tally){ .open = (uint16_t)(1 + p->nnames) };
	m.exchange = "";
	m.routing_key = queue;
	for (size_t i = 0; i < p->nnames; i++) {
		topology_queue(queue, p->stream, kind, p->names[i]);
		if (!amqp_send(l, &m, &no, err))
			return false;
		note_sent(p, no, i + 1);
	}
	return true;
}

static void take_answer(struct publisher *p, struct sent *s, enum amqp_settled how);

static void skip_silent(struct publisher *p, uint64_t first)
{
	for (size_t copy = 0; copy <= p->nnames; copy++)
		if (p->silent[copy])
			take_answer(p, &p->ring[(first + copy) & (RING - 1)], AMQP_NACKED);
}

static bool send_built(struct publisher *p, struct amqp_link *l, int64_t term, struct err *err)
{
	struct chunk *k = p->queue;
	enum change_kind kind = k->c.rows[k->at].kind;
	const struct outbox_row *first = &k->c.rows[k->at];
	const char *key = first->truncate ? first->route->truncate_key : first->route->keys[kind];
	char type[TOPOLOGY_NAME_MAX], cut[48];
	const struct amqp_header headers[] = {
		{ .key = "x-xid", .str = change_xids_finish(&p->xids) },
		{ .key = "x-source", .str = first->source },
		{ .key = CHANGE_TERM_HEADER, .num = term },
		{ .key = CHANGE_NUMBER_HEADER, .num = (int64_t)p->numbered[kind] + 1 },
		{ .key = CHANGE_SHAPE_HEADER, .num = first->route->shape },
		{ .key = CHANGE_INSERTED_HEADER, .num = (int64_t)p->build_inserted },
		{ .key = CHANGE_CUT_HEADER, .str = cut },
		{ .key = CHANGE_LSN_HEADER, .num = k->c.lsn },
	};
	bool alone = p->build_n == 1; /* then without the brackets */
	const struct amqp_publish m = {
		.exchange = p->stream->exchange,
		.routing_key = key,
		.type = type,
		.headers = headers,
		.nheaders = ARRAY_SIZE(headers),
		.body = p->body.data + (alone ? 1 : 0),
		.len = p->body.len - (alone ? 2 : 0),
	};
	uint64_t no;

	snprintf(cut, sizeof(cut), "%" PRId64 ":%" PRIu64, term, k->c.cut);
	topology_type(type, p->stream,
		      first->truncate ? CHANGE_TRUNCATE_KIND : change_kind_name(kind));
	if (!amqp_send(l, &m, &no, err))
		return false;
	note_sent(p, no, 0);
	if (p->direct && !send_copies(p, l, m, no, err))
		return false;
	p->numbered[kind]++;
	p->counts.messages++;
	k->at += p->build_n;
	k->open++;
	p->build_n = 0;
	if (k->at == k->c.n) {
		k->state = CHUNK_SENT;
		p->queue = k->next_queued;
		if (!p->queue)
			p->queue_end = &p->queue;
	}
	if (p->direct)
		skip_silent(p, no);
	return true;
}

struct shape_route *publisher_wants(const struct publisher *p)
{
	return p->queue ? p->queue->c.rows[p->queue->at].route : NULL;
}

enum publisher_run publisher_run(struct publisher *p, struct amqp_link *l, int64_t term,
				 unsigned announced, struct err *err)
{
	for (int sent = 0;; sent++) {
		if (!p->queue)
			return PUBLISHER_IDLE;
		if (!publisher_wants(p)->flat && publisher_wants(p)->announced != announced)
			return PUBLISHER_SHAPE;
		if (p->cautious && p->unanswered > 0)
			return PUBLISHER_WAITS;
		if (p->next - p->oldest >= RING - RING_SPARE)
			return PUBLISHER_WAITS;
		if (sent == RUN_MESSAGES)
			return PUBLISHER_MORE;
		if (!p->build_n)
			build(p);
		if (!amqp_can_publish(l, (p->body.len + p->xids_len + OVERHEAD) * copies(p)))
			return PUBLISHER_FULL;
		if (!send_built(p, l, term, err))
			return PUBLISHER_BROKEN;
	}
}

/* ---- answers ---- */

/* Room for n more confirmed keys, which are to be filled in. */
static struct outbox_key *add_keys(struct publisher *p, size_t n)
{
	if (p->nkeys + n > p->keys_cap - p->keys_at) {
		/* Make room in front first; what is here is bounded by the changes under way. */
		if (p->nkeys)
			memmove(p->keys, p->keys + p->keys_at, p->nkeys * sizeof(*p->keys));
		p->keys_at = 0;
		if (p->nkeys + n > p->keys_cap) {
			p->keys_cap = (p->nkeys + n) * 2;
			p->keys = xreallocarray(p->keys, p->keys_cap, sizeof(*p->keys));
		}
	}
	p->nkeys += n;
	return p->keys + p->keys_at + p->nkeys - n;
}

static void confirm(struct publisher *p, const struct sent *s)
{
	struct outbox_key *keys = add_keys(p, s->n);

	for (size_t i = 0; i < s->n; i++) {
		const struct outbox_row *c = &s->chunk->c.rows[s->from + i];
		keys[i] = (struct outbox_key){ .xid = c->xid, .version = c->version };
	}
}

/* Those that are confirmed and have none before them that is not. */
static void confirm_in_order(struct publisher *p)
{
	for (; p->oldest < p->next; p->oldest++) {
		struct sent *s = &p->ring[p->oldest & (RING - 1)];
		struct chunk *k = s->chunk;

		if (!k)
			continue;
		if (!s->answered || s->refused)
			return;
		if (s->direct) {
			const struct tally *t = &p->tallies[p->oldest & (RING - 1)];
			p->left_out[0] |= t->through ? 0 : t->lost[0];
			p->left_out[1] |= t->lost[1];
		}
		confirm(p, s);
		p->confirmed[k->c.rows[s->from].kind]++;
		s->chunk = NULL;
		if (--k->open == 0 && k->state == CHUNK_SENT)
			set_free(k);
	}
}

/* Everything about the message is known. */
static void settle(struct publisher *p, struct sent *s, enum amqp_settled how)
{
	s->answered = true;
	s->refused = how != AMQP_CONFIRMED;
	if (how == AMQP_CONFIRMED) {
		p->counts.confirmed += s->n;
		p->cautious = p->refused;
	} else {
		*(how == AMQP_RETURNED ? &p->counts.returned : &p->counts.nacked) += s->n;
		p->refused = p->cautious = true;
		p->refused_how = how;
	}
	p->changes -= s->n;
	confirm_in_order(p);
}

/* All answers to a message that has copies are here. */
static void settle_direct(struct publisher *p, struct sent *message, const struct tally *t)
{
	enum change_kind kind = message->chunk->c.rows[message->from].kind;
	uint64_t lost = t->lost[0] | t->lost[1];
	bool taken = t->through || (t->taken && (lost & ~p->may_miss) == 0);

	(*(t->through ? &p->counts.direct_taken[kind] : &p->counts.direct_refused[kind]))++;
	if (!taken)
		p->refused_by |= lost;
	settle(p, message, taken ? AMQP_CONFIRMED : t->how);
}

/* From the broker, or in its place. */
static void take_answer(struct publisher *p, struct sent *s, enum amqp_settled how)
{
	if (!s->chunk || s->answered)
		return; /* it was dropped, or given up */
	if (!s->direct) {
		p->unanswered--;
		settle(p, s, how);
		return;
	}
	struct sent *message = &p->ring[(s->no - s->copy) & (RING - 1)];
	struct tally *t = &p->tallies[(s->no - s->copy) & (RING - 1)];

	if (s->copy == 0 && t->answered)
		return;
	p->unanswered--;
	if (s->copy > 0) {
		s->chunk = NULL;
		if (how != AMQP_CONFIRMED)
			t->lost[how == AMQP_RETURNED] |= (uint64_t)1 << (s->copy - 1);
	} else {
		t->answered = true;
		t->through = how == AMQP_CONFIRMED;
		t->how = how;
	}
	t->taken = t->taken || how == AMQP_CONFIRMED;
	if (--t->open == 0)
		settle_direct(p, message, t);
}

void publisher_settled(void *arg, uint64_t publish_no, enum amqp_settled how)
{
	struct publisher *p = arg;
	struct sent *s = &p->ring[publish_no & (RING - 1)];

	if (s->no != publish_no)
		return; /* not from here */
	p->silent[s->copy] = false;
	take_answer(p, s, how);
}

void publisher_go_direct(struct publisher *p, const char *const *names, size_t n, uint64_t may_miss)
{
	if (!p->tallies)
		p->tallies = xcalloc(RING, sizeof(*p->tallies));
	p->names = names;
	p->nnames = n;
	p->direct = true;
	p->may_miss = may_miss;
}

void publisher_end_direct(struct publisher *p)
{
	p->direct = false;
	memset(p->silent, 0, sizeof(p->silent));
}

uint64_t publisher_refused_by(const struct publisher *p)
{
	return p->refused_by;
}

bool publisher_silent(const struct publisher *p, uint64_t *ret_replicas)
{
	uint64_t replicas = 0;

	for (size_t copy = 1; copy < ARRAY_SIZE(p->silent); copy++)
		replicas |= (uint64_t)p->silent[copy] << (copy - 1);
	if (ret_replicas)
		*ret_replicas = replicas;
	return p->silent[0] || replicas != 0;
}

bool publisher_left_out(struct publisher *p, size_t replica, enum amqp_settled *ret_how)
{
	uint64_t bit = (uint64_t)1 << replica;
	bool gone = p->left_out[1] & bit, left_out = gone || p->left_out[0] & bit;

	if (left_out)
		*ret_how = gone ? AMQP_RETURNED : AMQP_NACKED;
	p->left_out[0] &= ~bit;
	p->left_out[1] &= ~bit;
	return left_out;
}

void publisher_give_up(struct publisher *p)
{
	for (uint64_t no = p->oldest; no < p->next; no++) {
		struct sent *s = &p->ring[no & (RING - 1)];

		if (s->no != no || !s->chunk || s->answered)
			continue;
		if (s->direct && (s->copy > 0 || !p->tallies[no & (RING - 1)].answered))
			p->silent[s->copy] = true;
		take_answer(p, s, AMQP_NACKED);
	}
}

void publisher_also_confirmed(struct publisher *p, struct outbox_key key)
{
	*add_keys(p, 1) = key;
}

size_t publisher_confirmed(struct publisher *p, size_t max, const struct outbox_key **ret)
{
	size_t n = min_size(p->nkeys, max);

	*ret = p->keys + p->keys_at;
	p->keys_at += n;
	p->nkeys -= n;
	return n;
}

const uint64_t *publisher_confirmed_messages(const struct publisher *p)
{
	return p->confirmed;
}

size_t publisher_confirmed_count(const struct publisher *p)
{
	return p->nkeys;
}

bool publisher_refused(const struct publisher *p, enum amqp_settled *ret_how)
{
	if (p->refused)
		*ret_how = p->refused_how;
	return p->refused;
}

uint64_t publisher_mark(const struct publisher *p)
{
	return p->added;
}

bool publisher_passed(const struct publisher *p, uint64_t mark)
{
	for (size_t i = 0; i < p->nchunks; i++) {
		const struct chunk *k = &p->chunks[i];
		if ((k->state == CHUNK_QUEUED || k->state == CHUNK_SENT) && k->number <= mark)
			return false;
	}
	return !p->refused;
}

size_t publisher_unanswered(const struct publisher *p)
{
	return p->unanswered;
}

size_t publisher_changes(const struct publisher *p)
{
	return p->changes;
}

void publisher_counts(const struct publisher *p, struct publisher_counts *ret)
{
	*ret = p->counts;
}

void publisher_drop(struct publisher *p, bool new_link)
{
	for (uint64_t no = p->oldest; no < p->next; no++)
		p->ring[no & (RING - 1)].chunk = NULL;
	memset(p->left_out, 0, sizeof(p->left_out));
	p->direct = false;
	for (size_t i = 0; i < p->nchunks; i++)
		set_free(&p->chunks[i]);
	p->queue = NULL;
	p->queue_end = &p->queue;
	p->build_n = 0;
	p->unanswered = p->changes = 0;
	p->keys_at = p->nkeys = 0;
	memset(p->numbered, 0, sizeof(p->numbered));
	memset(p->confirmed, 0, sizeof(p->confirmed));
	p->cautious = true;
	p->refused = false;
	p->refused_by = 0;
	if (new_link) {
		p->next = 1;
		memset(p->ring, 0, sizeof(p->ring));
		memset(p->silent, 0, sizeof(p->silent));
	}
	p->oldest = p->next;
}
