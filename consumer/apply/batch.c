/*
 * batch.c: see batch.h. Pure: nothing here waits, logs or talks to anyone.
 *
 * The rule of the newest: of two changes of one product the one with the higher version is applied;
 * of two with the same version (a message delivered twice) the one that came first.
 */
#include "consumer/apply/batch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"

/* A reset gives a buffer back that is larger than this: one huge message must not cost its memory
 * for ever. */
#define KEEP_BYTES ((size_t)4 << 20)
#define KEEP_ITEMS ((size_t)8192)

#define GROW(array, cap, need)                                                      \
	do {                                                                        \
		if ((need) > (cap)) {                                               \
			size_t grown_ = (cap) ? (cap) : 64;                         \
			while (grown_ < (need))                                     \
				grown_ *= 2;                                        \
			(array) = xreallocarray((array), grown_, sizeof(*(array))); \
			(cap) = grown_;                                             \
		}                                                                   \
	} while (0)

#define SHRINK(array, cap)                \
	do {                              \
		if ((cap) > KEEP_ITEMS) { \
			free(array);      \
			(array) = NULL;   \
			(cap) = 0;        \
		}                         \
	} while (0)

void batch_init(struct batch *b)
{
	memset(b, 0, sizeof(*b));
	batch_reset(b);
}

void batch_clear(struct batch *b)
{
	free(b->messages);
	free(b->changes);
	free(b->failures);
	free(b->headers);
	free(b->order);
	free(b->runs);
	uuid_set_clear(&b->newest);
	free(b->xids);
	strbuf_clear(&b->bodies);
	strbuf_clear(&b->names);
	strbuf_clear(&b->text);
	memset(b, 0, sizeof(*b));
}

static void reset_strbuf(struct strbuf *s)
{
	if (s->cap > KEEP_BYTES)
		strbuf_clear(s);
	else
		strbuf_reset(s);
}

void batch_reset(struct batch *b)
{
	SHRINK(b->messages, b->messages_cap);
	SHRINK(b->changes, b->changes_cap);
	SHRINK(b->failures, b->failures_cap);
	SHRINK(b->headers, b->headers_cap);
	SHRINK(b->order, b->order_cap);
	SHRINK(b->runs, b->runs_cap);
	SHRINK(b->xids, b->xids_cap);
	if (b->newest.cap > 4 * KEEP_ITEMS)
		uuid_set_clear(&b->newest);
	else
		uuid_set_reset(&b->newest);
	b->nmessages = b->nchanges = b->nfailures = b->nheaders = b->norder = 0;
	reset_strbuf(&b->bodies);
	reset_strbuf(&b->names);
	reset_strbuf(&b->text);
	strbuf_addch(&b->text, '\0'); /* place 0 */
	b->source_at = 0;
	b->nbeats = b->nrefused = b->nruns = 0;
	b->has_beat[CHANGE_SYNC] = b->has_beat[CHANGE_DELETE] = false;
	b->mark_body_at[CHANGE_SYNC] = b->mark_body_at[CHANGE_DELETE] = 0;
}

size_t batch_add_text(struct batch *b, const char *s, size_t len)
{
	if (len == 0)
		return 0;
	size_t at = b->text.len;
	strbuf_add(&b->text, s, len);
	strbuf_addch(&b->text, '\0');
	return at;
}

const char *batch_text(const struct batch *b, size_t at)
{
	return b->text.data + at;
}

static bool has_source(const struct batch *b)
{
	return b->nmessages > 0 || b->nruns > 0;
}

bool batch_takes_source(const struct batch *b, const char *source)
{
	return !has_source(b) || strcmp(batch_text(b, b->source_at), source) == 0;
}

void batch_join_source(struct batch *b, const char *source)
{
	if (!has_source(b))
		b->source_at = batch_add_text(b, source, strlen(source));
}

struct batch_message *batch_add_message(struct batch *b, uint64_t tag, enum change_kind kind)
{
	GROW(b->messages, b->messages_cap, b->nmessages + 1);
	struct batch_message *m = &b->messages[b->nmessages++];
	*m = (struct batch_message){ .tag = tag, .kind = kind, .first_header = b->nheaders };
	return m;
}

void batch_add_header(struct batch *b, const char *key, const char *str, int64_t num)
{
	GROW(b->headers, b->headers_cap, b->nheaders + 1);
	struct batch_header h = { .key_at = batch_add_text(b, key, strlen(key)), .num = num };
	if (str != NULL) {
		/* Never 0, not even for "", since 0 means a number. */
		h.str_at = b->text.len;
		strbuf_add(&b->text, str, strlen(str) + 1);
	}
	b->headers[b->nheaders++] = h;
	b->messages[b->nmessages - 1].nheaders++;
}

void batch_add_change(struct batch *b, const struct change *c, struct batch_slice raw)
{
	uint32_t at = (uint32_t)b->nchanges;
	uint32_t *newest = uuid_set_put(&b->newest, &c->id, at);

	GROW(b->changes, b->changes_cap, b->nchanges + 1);
	b->changes[at] = (struct batch_change){
		.change = *c,
		.message = (uint32_t)(b->nmessages - 1),
		.raw = raw,
	};
	b->nchanges++;
	if (b->changes[*newest].change.version < c->version)
		*newest = at;
}

static void add_failure(struct batch *b, struct batch_failure f)
{
	GROW(b->failures, b->failures_cap, b->nfailures + 1);
	b->failures[b->nfailures++] = f;
}

void batch_add_failure(struct batch *b, struct batch_failure f, const char *error)
{
	f.error_at = batch_add_text(b, error, strlen(error));
	add_failure(b, f);
}

static void set_refused(struct batch *b, uint32_t change, bool refused)
{
	struct batch_change *c = &b->changes[change];

	if (c->refused != refused)
		b->nrefused += refused ? 1 : (size_t)-1;
	c->refused = refused;
}

/* Why, as the change remembers it. */
static void note_why(struct batch *b, uint32_t change, const struct err *why)
{
	size_t error_at = batch_add_text(b, why->text, strlen(why->text));

	b->changes[change].error_at = error_at;
	b->changes[change].shown_at = batch_add_text(b, err_shown(why), strlen(err_shown(why)));
}

static void fail(struct batch *b, uint32_t change)
{
	const struct batch_change *c = &b->changes[change];

	set_refused(b, change, false);
	add_failure(b, (struct batch_failure){ .message = c->message,
					       .raw = c->raw,
					       .xid = c->change.xid,
					       .id = c->change.id,
					       .version = c->change.version,
					       .error_at = c->error_at,
					       .shown_at = c->shown_at });
}

void batch_fail_change(struct batch *b, uint32_t change, const struct err *why)
{
	note_why(b, change, why);
	fail(b, change);
}

void batch_refuse(struct batch *b, uint32_t change, const struct err *why)
{
	if (b->changes[change].error_at == 0)
		note_why(b, change, why);
	set_refused(b, change, true);
}

bool batch_applied(struct batch *b, size_t from, size_t n)
{
	bool was = false;

	if (b->nrefused == 0 && !b->retried)
		return false;
	for (size_t i = from; i < from + n; i++) {
		const struct batch_change *c = &b->changes[b->order[i]];
		was = was || c->refused || b->messages[c->message].attempt > 0;
		set_refused(b, b->order[i], false);
	}
	return was;
}

/* By term and transaction, not by time: the primary's clock may have been set back. */
static bool is_newer(const struct batch_beat *new, const struct batch_beat *old)
{
	int64_t new_term = new->beat.terms[0].term, old_term = old->beat.terms[0].term;

	return new_term != old_term ? new_term > old_term : new->xid > old->xid;
}

void batch_add_beat(struct batch *b, const struct heartbeat *beat, uint64_t xid)
{
	enum change_kind kind = b->messages[b->nmessages - 1].kind;
	const struct batch_beat new = { *beat, xid };

	b->nbeats++;
	if (!b->has_beat[kind] || is_newer(&new, &b->beat[kind]))
		b->beat[kind] = new;
	b->has_beat[kind] = true;
}

static void add_run(struct batch *b, struct batch_run run)
{
	/* Mostly they come in order, the two kinds in turn. */
	for (size_t i = b->nruns, tries = 0; i > 0 && tries < 4; i--, tries++) {
		struct batch_run *r = &b->runs[i - 1];
		if (r->kind != run.kind || r->term != run.term)
			continue;
		if (r->last == run.first - 1) {
			r->last = run.last;
			return;
		}
		if (r->first == run.last + 1) {
			r->first = run.first;
			return;
		}
	}
	GROW(b->runs, b->runs_cap, b->nruns + 1);
	b->runs[b->nruns++] = run;
}

void batch_add_number(struct batch *b, int64_t term, int64_t number)
{
	enum change_kind kind = b->messages[b->nmessages - 1].kind;

	add_run(b, (struct batch_run){ kind, term, number, number });
}

void batch_take_numbers(struct batch *b, const struct batch *from)
{
	batch_join_source(b, batch_text(from, from->source_at));
	for (size_t i = 0; i < from->nruns; i++)
		add_run(b, from->runs[i]);
}

bool batch_has_arrivals(const struct batch *b)
{
	return b->nruns > 0 || b->has_beat[CHANGE_SYNC] || b->has_beat[CHANGE_DELETE];
}

void batch_add_mark(struct batch *b, const char *reply_to, const char *body, size_t len)
{
	enum change_kind kind = b->messages[b->nmessages - 1].kind;

	b->nbeats++;
	b->mark_reply_to_at[kind] = batch_add_text(b, reply_to, strlen(reply_to));
	b->mark_body_at[kind] = batch_add_text(b, body, len);
}

uint64_t *batch_scratch_xids(struct batch *b, size_t n)
{
	GROW(b->xids, b->xids_cap, n);
	return b->xids;
}

/* qsort_r's argument is the batch. */
static int compare_ids(const void *left, const void *right, void *arg)
{
	const struct batch *b = arg;
	uint32_t l, r;

	memcpy(&l, left, sizeof(l));
	memcpy(&r, right, sizeof(r));
	return uuid_cmp(&b->changes[l].change.id, &b->changes[r].change.id);
}

/* Versions are ever different but for a message delivered twice. */
static int compare_versions(const void *left, const void *right, void *arg)
{
	const struct batch *b = arg;
	uint32_t l, r;

	memcpy(&l, left, sizeof(l));
	memcpy(&r, right, sizeof(r));
	int64_t x = b->changes[l].change.version, y = b->changes[r].change.version;
	return x < y ? -1 : x > y ? 1 : l < r ? -1 : l > r;
}

void batch_by_version(struct batch *b, size_t from, size_t n)
{
	qsort_r(b->order + from, n, sizeof(*b->order), compare_versions, b);
}

void batch_retry(struct batch *b, bool descending)
{
	b->norder = 0;
	for (size_t i = 0; i < b->nchanges; i++)
		if (b->changes[i].refused)
			b->order[b->norder++] = (uint32_t)i;
	if (b->norder > 1)
		batch_by_version(b, 0, b->norder);
	for (size_t i = 0; descending && i < b->norder / 2; i++) {
		uint32_t *other = &b->order[b->norder - 1 - i], swap = b->order[i];
		b->order[i] = *other;
		*other = swap;
	}
}

void batch_give_up(struct batch *b)
{
	batch_retry(b, false);
	for (size_t i = 0; i < b->norder; i++)
		fail(b, b->order[i]);
}

void batch_seal(struct batch *b)
{
	b->norder = 0;
	b->retried = false;
	for (size_t i = 0; i < b->nmessages; i++)
		b->retried = b->retried || b->messages[i].attempt > 0;
	GROW(b->order, b->order_cap, b->nchanges);
	for (size_t i = 0; i < b->nchanges; i++)
		if (*uuid_set_put(&b->newest, &b->changes[i].change.id, 0) == i)
			b->order[b->norder++] = (uint32_t)i;
	if (b->norder > 1)
		qsort_r(b->order, b->norder, sizeof(*b->order), compare_ids, b);
	for (size_t i = 0; i < b->norder; i++)
		b->changes[b->order[i]].tried = true;
}

bool batch_older(struct batch *b, uint32_t change, size_t *ret_at)
{
	const struct uuid *id = &b->changes[change].change.id;
	const struct batch_change *best = NULL;

	/* A walk over the whole batch: this happens once for each refused change only. */
	for (size_t i = 0; i < b->nchanges; i++) {
		struct batch_change *c = &b->changes[i];
		if (!c->tried && uuid_cmp(&c->change.id, id) == 0 &&
		    (best == NULL || c->change.version > best->change.version))
			best = c;
	}
	if (best == NULL)
		return false;
	size_t found = (size_t)(best - b->changes);
	b->changes[found].tried = true;
	GROW(b->order, b->order_cap, b->norder + 1);
	b->order[b->norder] = (uint32_t)found;
	*ret_at = b->norder++;
	return true;
}

bool batch_is_newest(struct batch *b, size_t at)
{
	const struct uuid *id = &b->changes[b->order[at]].change.id;

	return *uuid_set_put(&b->newest, id, 0) == b->order[at];
}

/* ---- parameters ---- */

static void write_beat(struct strbuf *out, const struct batch_beat *b, enum change_kind kind)
{
	char at[CLOCK_TIMESTAMP_MAX];

	clock_format_pg(b->beat.at_us, at);
	strbuf_addf(out,
		    "{\"queue\":\"%s\",\"at\":\"%s\",\"version\":%" PRId64 ",\"term\":%" PRId64
		    ",\"xid\":%" PRIu64 ",\"terms\":[",
		    change_kind_name(kind), at, b->beat.version, b->beat.terms[0].term, b->xid);
	for (size_t i = 0; i < b->beat.nterms; i++)
		strbuf_addf(out, "%s{\"term\":%" PRId64 ",\"messages\":%" PRId64 "}", i ? "," : "",
			    b->beat.terms[i].term, b->beat.terms[i].messages[kind]);
	strbuf_addstr(out, "]}");
}

/* The rest is what products_apply() takes, see migrations/replica/0002_apply.up.sql. */
static struct db_param runs_param(struct pgarray *out, const struct batch *b)
{
	if (b->nruns == 0)
		return DB_TEXT(NULL);
	pgarray_begin(out, PGARRAY_INT8);
	for (size_t i = 0; i < b->nruns; i++) {
		pgarray_add_int8(out, b->runs[i].kind == CHANGE_DELETE);
		pgarray_add_int8(out, b->runs[i].term);
		pgarray_add_int8(out, b->runs[i].first);
		pgarray_add_int8(out, b->runs[i].last);
	}
	return pgarray_finish(out);
}

static struct db_param beats_param(struct strbuf *out, const struct batch *b)
{
	static const enum change_kind kinds[] = { CHANGE_SYNC, CHANGE_DELETE };

	strbuf_reset(out);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (!b->has_beat[kinds[i]])
			continue;
		strbuf_addstr(out, out->len == 0 ? "[" : ",");
		write_beat(out, &b->beat[kinds[i]], kinds[i]);
	}
	if (out->len == 0)
		return DB_TEXT(NULL);
	strbuf_addch(out, ']');
	return DB_TEXT(strbuf_str(out));
}

void batch_params_build(struct batch_params *p, const struct batch *b, size_t from, size_t n,
			bool arrivals, struct db_param ret[BATCH_PARAMS])
{
	int64_t newest = 0;

	pgarray_begin(&p->ids, PGARRAY_UUID);
	pgarray_begin(&p->versions, PGARRAY_INT8);
	pgarray_begin(&p->xids, PGARRAY_XID8);
	pgarray_begin(&p->deleted, PGARRAY_BOOL);
	pgarray_begin(&p->names, PGARRAY_TEXT);
	pgarray_begin(&p->prices, PGARRAY_TEXT);
	pgarray_begin(&p->stocks, PGARRAY_INT4);
	pgarray_begin(&p->created, PGARRAY_TIMESTAMPTZ);
	pgarray_begin(&p->updated, PGARRAY_TIMESTAMPTZ);
	for (size_t i = from; i < from + n; i++) {
		const struct change *c = &b->changes[b->order[i]].change;
		pgarray_add_uuid(&p->ids, &c->id);
		pgarray_add_int8(&p->versions, c->version);
		if (newest < c->version)
			newest = c->version;
		pgarray_add_int8(&p->xids, (int64_t)c->xid);
		pgarray_add_bool(&p->deleted, c->kind == CHANGE_DELETE);
		if (c->kind == CHANGE_DELETE) {
			pgarray_add_null(&p->names);
			pgarray_add_null(&p->prices);
			pgarray_add_null(&p->stocks);
			pgarray_add_null(&p->created);
			pgarray_add_null(&p->updated);
			continue;
		}
		pgarray_add_text(&p->names, b->names.data + c->name_at, c->name_len);
		pgarray_add_text(&p->prices, c->price, strlen(c->price));
		pgarray_add_int4(&p->stocks, c->stock);
		pgarray_add_int8(&p->created, c->created_us);
		pgarray_add_int8(&p->updated, c->updated_us);
	}
	size_t at = 0;

	ret[at++] = DB_TEXT(b->source_at ? batch_text(b, b->source_at) : NULL);
	ret[at++] = pgarray_finish(&p->ids);
	ret[at++] = pgarray_finish(&p->versions);
	ret[at++] = pgarray_finish(&p->xids);
	ret[at++] = pgarray_finish(&p->deleted);
	ret[at++] = pgarray_finish(&p->names);
	ret[at++] = pgarray_finish(&p->prices);
	ret[at++] = pgarray_finish(&p->stocks);
	ret[at++] = pgarray_finish(&p->created);
	ret[at++] = pgarray_finish(&p->updated);
	ret[at++] = arrivals ? runs_param(&p->runs, b) : DB_TEXT(NULL);
	ret[at++] = arrivals ? beats_param(&p->beats, b) : DB_TEXT(NULL);
	pg_put_int8(p->newest, newest);
	ret[at++] = DB_BINARY(p->newest, sizeof(p->newest));
}

void batch_params_clear(struct batch_params *p)
{
	pgarray_clear(&p->ids);
	pgarray_clear(&p->versions);
	pgarray_clear(&p->xids);
	pgarray_clear(&p->deleted);
	pgarray_clear(&p->names);
	pgarray_clear(&p->prices);
	pgarray_clear(&p->stocks);
	pgarray_clear(&p->created);
	pgarray_clear(&p->updated);
	pgarray_clear(&p->runs);
	strbuf_clear(&p->beats);
}
