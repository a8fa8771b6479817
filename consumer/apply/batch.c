/*
 * batch.c: see batch.h. Pure: nothing here waits, logs or talks to anyone.
 *
 * The rule of the newest: of two changes of one row the one with the higher version is applied;
 * of two with the same version (a message delivered twice) the one that came first.
 */
#include "consumer/apply/batch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clip.h"
#include "common/base/clock.h"

/* A reset gives a buffer back that is larger than this: one huge message must not cost its memory
 * for ever. */
#define KEEP_BYTES ((size_t)4 << 20)
#define KEEP_ITEMS ((size_t)8192)
/* Fewer rows are looked up at once: one that is there would cost more than the look. */
#define NEW_LEAST  ((size_t)50)

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

/* ---- the set of rows ---- */

#define FIRST_ROWS 256

static const char *key_of(const struct batch *b, const struct change *c)
{
	return strbuf_str(&b->arena.text) + c->key_at; /* of a TRUNCATE alone there is no text */
}

static bool same_row(const struct batch *b, const struct change *x, const struct change *y)
{
	return x->table == y->table && x->key_len == y->key_len &&
	       memcmp(key_of(b, x), key_of(b, y), x->key_len) == 0;
}

static uint64_t hash_of(const struct batch *b, const struct change *c)
{
	const char *p = key_of(b, c), *end = p + c->key_len;
	uint64_t h = (uint64_t)c->table->id + c->key_len, part;

	for (; end - p >= 8; p += 8) {
		memcpy(&part, p, sizeof(part));
		h = (h ^ part) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 32;
	}
	for (part = 0; p < end; p++)
		part = part << 8 | (unsigned char)*p;
	h = (h ^ part) * UINT64_C(0xd6e8feb86659fd93);
	return h ^ h >> 32;
}

static void reset_rows(struct batch *b)
{
	b->nrows = 0;
	if (b->newest_cap > 4 * KEEP_ITEMS) {
		free(b->newest);
		b->newest = NULL;
		b->newest_cap = 0;
	}
	if (++b->round == 0) { /* 2^32 resets later: old slots would count again */
		b->round = 1;
		if (b->newest != NULL)
			memset(b->newest, 0, b->newest_cap * sizeof(*b->newest));
	}
}

static void grow_rows(struct batch *b)
{
	size_t cap = b->newest_cap ? 2 * b->newest_cap : FIRST_ROWS;
	struct batch_slot *old = b->newest, *slots = xcalloc(cap, sizeof(*slots));

	for (size_t i = 0; i < b->newest_cap; i++) {
		if (old[i].round != b->round)
			continue;
		size_t at = old[i].hash;
		while (slots[at & (cap - 1)].round == b->round)
			at++;
		slots[at & (cap - 1)] = old[i];
	}
	free(old);
	b->newest = slots;
	b->newest_cap = cap;
}

/* The index that is kept for the row of this change; that of the change itself, if there was none. */
static uint32_t *newest_of(struct batch *b, uint32_t change)
{
	const struct change *c = &b->changes[change].change;
	uint64_t hash = hash_of(b, c);

	if (b->newest_cap < 2 * (b->nrows + 1))
		grow_rows(b);
	for (size_t at = hash;; at++) {
		struct batch_slot *slot = &b->newest[at & (b->newest_cap - 1)];

		if (slot->round != b->round) {
			*slot = (struct batch_slot){ change, b->round, hash };
			b->nrows++;
			return &slot->row;
		}
		if (slot->hash == hash && same_row(b, &b->changes[slot->row].change, c))
			return &slot->row;
	}
}

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
	free(b->newest);
	free(b->xids);
	strbuf_clear(&b->bodies);
	change_arena_clear(&b->arena);
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
	reset_rows(b);
	b->nmessages = b->nchanges = b->nfailures = b->nheaders = b->norder = 0;
	reset_strbuf(&b->bodies);
	if (b->arena.text.cap > KEEP_BYTES || b->arena.cap > 32 * KEEP_ITEMS)
		change_arena_clear(&b->arena);
	else
		change_arena_reset(&b->arena);
	reset_strbuf(&b->text);
	strbuf_addch(&b->text, '\0'); /* place 0 */
	b->source_at = 0;
	b->nbeats = b->nruns = 0;
	b->left_out = b->recorded = false;
	b->lsn = 0;
	b->shape = 0;
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

	GROW(b->changes, b->changes_cap, b->nchanges + 1);
	b->changes[at] = (struct batch_change){
		.change = *c,
		.message = (uint32_t)(b->nmessages - 1),
		.raw = raw,
	};
	b->nchanges++;
	if (b->lsn < b->messages[b->nmessages - 1].lsn)
		b->lsn = b->messages[b->nmessages - 1].lsn;
	uint32_t *newest = newest_of(b, at);
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

void batch_name_row(struct batch *b, struct batch_failure *f, const struct change *c)
{
	AUTO_STRBUF key = STRBUF_INIT;

	f->table = c->table->id;
	if (c->truncate) {
		f->truncate = c->version;
		return;
	}
	change_key_text(c, strbuf_str(&b->bodies), &b->arena, &key);
	f->key_at = batch_add_text(b, key.data, key.len);
	f->version = c->version;
}

void batch_fail_change(struct batch *b, uint32_t change, const struct err *why)
{
	const struct batch_change *c = &b->changes[change];
	struct batch_failure f = { .message = c->message,
				   .raw = c->raw,
				   .xid = c->change.xid,
				   .error_at = batch_add_text(b, why->text, strlen(why->text)) };

	f.shown_at = batch_add_text(b, err_shown(why), strlen(err_shown(why)));
	batch_name_row(b, &f, &c->change);
	add_failure(b, f);
}

/* By term and transaction, not by time: the primary's clock may have been set back. */
static bool is_newer(const struct batch_beat *new, const struct batch_beat *old)
{
	int64_t new_term = new->beat.terms[0].term, old_term = old->beat.terms[0].term;

	return new_term != old_term ? new_term > old_term : new->xid > old->xid;
}

void batch_add_beat(struct batch *b, const struct heartbeat *beat, uint64_t xid)
{
	const struct batch_message *m = &b->messages[b->nmessages - 1];
	enum change_kind kind = m->kind;
	const struct batch_beat new = { *beat, xid, m->lsn, m->every_ms };

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

void batch_add_nothing(struct batch *b)
{
	b->nbeats++;
}

void batch_add_shape(struct batch *b, int shape, struct batch_slice body)
{
	b->nbeats++;
	b->shape = shape;
	b->shape_body = body;
}

bool batch_brings_shape(const struct batch *b)
{
	return b->shape != 0 && b->shape_body.len > 0;
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
static int compare_keys(const void *left, const void *right, void *arg)
{
	const struct batch *b = arg;
	uint32_t l, r;

	memcpy(&l, left, sizeof(l));
	memcpy(&r, right, sizeof(r));
	const struct change *x = &b->changes[l].change, *y = &b->changes[r].change;
	if (x->table != y->table)
		return x->table->id < y->table->id ? -1 : 1;
	int order = memcmp(key_of(b, x), key_of(b, y), min_size(x->key_len, y->key_len));
	return order != 0 ? order : x->key_len < y->key_len ? -1 : x->key_len > y->key_len;
}

void batch_seal(struct batch *b)
{
	b->norder = 0;
	GROW(b->order, b->order_cap, b->nchanges);
	for (size_t i = 0; i < b->nchanges; i++)
		if (*newest_of(b, (uint32_t)i) == i)
			b->order[b->norder++] = (uint32_t)i;
	if (b->norder > 1)
		qsort_r(b->order, b->norder, sizeof(*b->order), compare_keys, b);
	for (size_t i = 0; i < b->norder; i++)
		b->changes[b->order[i]].tried = true;
}

bool batch_older(struct batch *b, uint32_t change, size_t *ret_at)
{
	const struct change *of = &b->changes[change].change;
	const struct batch_change *best = NULL;

	/* A walk over the whole batch: this happens once for each refused change only. */
	for (size_t i = 0; i < b->nchanges; i++) {
		struct batch_change *c = &b->changes[i];
		if (!c->tried && same_row(b, &c->change, of) &&
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

bool batch_of_one_table(const struct batch *b, size_t at, size_t other)
{
	const struct change *x = &b->changes[b->order[at]].change,
			    *y = &b->changes[b->order[other]].change;

	return x->table == y->table && !x->truncate && !y->truncate;
}

/* ---- parameters ---- */

static void write_beat(struct strbuf *out, const struct batch_beat *b, enum change_kind kind,
		       bool mark)
{
	char at[CLOCK_TIMESTAMP_MAX];

	clock_format_pg(b->beat.at_us, at);
	strbuf_addf(out,
		    "{\"queue\":\"%s\",\"at\":\"%s\",\"version\":%" PRId64 ",\"term\":%" PRId64
		    ",\"xid\":%" PRIu64 ",",
		    change_kind_name(kind), at, b->beat.version, b->beat.terms[0].term, b->xid);
	if (mark && b->lsn > 0)
		strbuf_addf(out, "\"lsn\":%" PRId64 ",\"every\":%" PRId64 ",", b->lsn, b->every_ms);
	strbuf_addstr(out, "\"terms\":[");
	for (size_t i = 0; i < b->beat.nterms; i++)
		strbuf_addf(out, "%s{\"term\":%" PRId64 ",\"messages\":%" PRId64 "}", i ? "," : "",
			    b->beat.terms[i].term, b->beat.terms[i].messages[kind]);
	strbuf_addstr(out, "]}");
}

/* What apply_<shape>() takes: common/wire/table_sql.c. */
static struct db_param runs_param(struct pgarray *out, const struct batch *b,
				  enum batch_arrivals arrivals)
{
	if (b->nruns == 0 || arrivals == BATCH_NO_ARRIVALS)
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

static struct db_param beats_param(struct strbuf *out, const struct batch *b,
				   enum batch_arrivals arrivals)
{
	static const enum change_kind kinds[] = { CHANGE_SYNC, CHANGE_DELETE };

	strbuf_reset(out);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (!b->has_beat[kinds[i]] || arrivals == BATCH_NO_ARRIVALS)
			continue;
		strbuf_addstr(out, out->len == 0 ? "[" : ",");
		write_beat(out, &b->beat[kinds[i]], kinds[i], arrivals == BATCH_ARRIVALS);
	}
	if (out->len == 0)
		return DB_TEXT(NULL);
	strbuf_addch(out, ']');
	return DB_TEXT(strbuf_str(out));
}

static struct db_param lsn_param(struct batch_params *p, const struct batch *b)
{
	/* Without x-source it may be of another server's WAL. */
	if (b->lsn == 0 || b->source_at == 0)
		return DB_TEXT(NULL);
	pg_put_int8(p->lsn, b->lsn);
	return DB_BINARY(p->lsn, sizeof(p->lsn));
}

static void add_value(struct pgarray *a, const struct batch *b, const struct change_value *v,
		      enum table_form form)
{
	if (v->where == CHANGE_ABSENT) {
		pgarray_add_null(a);
		return;
	}
	switch (form) {
	case TABLE_BOOLEAN:
		pgarray_add_bool(a, v->at != 0);
		break;
	case TABLE_INT4:
		pgarray_add_int4(a, (int32_t)v->at);
		break;
	case TABLE_INT8:
	case TABLE_TIMESTAMPTZ:
		pgarray_add_int8(a, v->at);
		break;
	default: /* a text, or a UUID's bytes */
		pgarray_add_text(a, change_text(&b->arena, b->bodies.data, v), v->len);
		break;
	}
}

/* A row of arrays, one for each column, in PostgreSQL's binary format of composites: the number of
 * columns; for each its type, its length and its bytes. */
static struct db_param columns_param(struct batch_params *p, const struct batch *b, size_t from,
				     size_t n)
{
	const struct table *t = b->changes[b->order[from]].change.table;
	struct strbuf *out = &p->columns;

	strbuf_reset(out);
	pg_put_int4(strbuf_reserve(out, 4), (int32_t)t->ncolumns);
	strbuf_commit(out, 4);
	for (size_t k = 0; k < t->ncolumns; k++) {
		enum table_form form = t->columns[k].form;

		pgarray_begin(&p->column, table_array_type(form));
		for (size_t i = from; i < from + n; i++) {
			const struct change *c = &b->changes[b->order[i]].change;
			add_value(&p->column, b, &b->arena.values[c->first_value + k], form);
		}
		struct db_param column = pgarray_finish(&p->column);
		char *to = strbuf_reserve(out, 8 + (size_t)column.len);
		pg_put_int4(to, table_array_oid(form));
		pg_put_int4(to + 4, column.len);
		memcpy(to + 8, column.data, (size_t)column.len);
		strbuf_commit(out, 8 + (size_t)column.len);
	}
	return DB_BINARY(out->data, out->len);
}

void batch_params_build(struct batch_params *p, const struct batch *b, size_t from, size_t n,
			enum batch_arrivals arrivals, struct db_param ret[TABLE_APPLY_PARAMS])
{
	int64_t newest = 0;
	bool all_new = n >= NEW_LEAST, any_new = false;

	pgarray_begin(&p->versions, PGARRAY_INT8);
	pgarray_begin(&p->xids, PGARRAY_XID8);
	pgarray_begin(&p->deleted, PGARRAY_BOOL);
	for (size_t i = from; i < from + n; i++) {
		const struct change *c = &b->changes[b->order[i]].change;
		pgarray_add_int8(&p->versions, c->version);
		if (newest < c->version)
			newest = c->version;
		pgarray_add_int8(&p->xids, (int64_t)c->xid);
		pgarray_add_bool(&p->deleted, c->kind == CHANGE_DELETE);
		any_new = any_new || (c->inserted && c->kind == CHANGE_SYNC);
		all_new = all_new && (c->inserted || c->kind == CHANGE_DELETE);
	}
	pg_put_int8(p->newest, newest);
	p->all_new[0] = (char)all_new;
	ret[TABLE_APPLY_SOURCE] = DB_TEXT(b->source_at ? batch_text(b, b->source_at) : NULL);
	ret[TABLE_APPLY_VERSIONS] = pgarray_finish(&p->versions);
	ret[TABLE_APPLY_XIDS] = pgarray_finish(&p->xids);
	ret[TABLE_APPLY_DELETED] = pgarray_finish(&p->deleted);
	ret[TABLE_APPLY_COLUMNS] = columns_param(p, b, from, n);
	ret[TABLE_APPLY_NEW] = any_new || all_new ? DB_BINARY(p->all_new, sizeof(p->all_new))
						  : DB_TEXT(NULL);
	ret[TABLE_APPLY_RUNS] = runs_param(&p->runs, b, arrivals);
	ret[TABLE_APPLY_BEATS] = beats_param(&p->beats, b, arrivals);
	ret[TABLE_APPLY_NEWEST] = DB_BINARY(p->newest, sizeof(p->newest));
	ret[TABLE_APPLY_LSN] = lsn_param(p, b);
}

void batch_arrivals_build(struct batch_params *p, const struct batch *b,
			  enum batch_arrivals arrivals, struct db_param ret[TABLE_ARRIVE_PARAMS])
{
	ret[0] = DB_TEXT(b->source_at ? batch_text(b, b->source_at) : NULL);
	ret[1] = runs_param(&p->runs, b, arrivals);
	ret[2] = beats_param(&p->beats, b, arrivals);
}

void batch_truncate_build(struct batch_params *p, const struct batch *b, size_t at,
			  enum batch_arrivals arrivals, struct db_param ret[TABLE_TRUNCATE_PARAMS])
{
	const struct change *c = &b->changes[b->order[at]].change;

	pg_put_int8(p->newest, c->version);
	pg_put_int8(p->xid, (int64_t)c->xid);
	ret[0] = DB_TEXT(b->source_at ? batch_text(b, b->source_at) : NULL);
	ret[1] = DB_BINARY(p->newest, sizeof(p->newest));
	ret[2] = DB_BINARY(p->xid, sizeof(p->xid));
	ret[3] = runs_param(&p->runs, b, arrivals);
	ret[4] = beats_param(&p->beats, b, arrivals);
	ret[5] = lsn_param(p, b);
}

/* What of a change is one of them. */
static const char *kept_text(struct batch_params *p, const struct batch *b,
			     const struct batch_change *c, const char *const queues[2],
			     enum table_kept_text which)
{
	const struct batch_message *m = &b->messages[c->message];

	switch (which) {
	case TABLE_KEPT_TYPE:
		return batch_text(b, m->type_at);
	case TABLE_KEPT_CONTENT_TYPE:
		return batch_text(b, m->content_type_at);
	case TABLE_KEPT_ID:
		return batch_text(b, m->id_at);
	case TABLE_KEPT_QUEUE:
		return queues[m->kind];
	default:
		strbuf_reset(&p->key);
		change_key_text(&c->change, b->bodies.data, &b->arena, &p->key);
		return strbuf_str(&p->key);
	}
}

void batch_each_build(struct batch_params *p, const struct batch *b, size_t from, size_t n,
		      const char *const queues[2], struct db_param ret[TABLE_EACH_PARAMS])
{
	struct db_param apply[TABLE_APPLY_PARAMS];

	batch_params_build(p, b, from, n, BATCH_NO_ARRIVALS, apply);
	ret[0] = apply[TABLE_APPLY_SOURCE];
	ret[1] = apply[TABLE_APPLY_VERSIONS];
	ret[2] = apply[TABLE_APPLY_XIDS];
	ret[3] = apply[TABLE_APPLY_DELETED];
	ret[4] = apply[TABLE_APPLY_COLUMNS];
	for (size_t k = 0; k < TABLE_KEPT_TEXTS; k++) {
		pgarray_begin(&p->kept[k], PGARRAY_TEXT);
		for (size_t i = from; i < from + n; i++) {
			const struct batch_change *c = &b->changes[b->order[i]];

			if (k == TABLE_KEPT_BODY) {
				pgarray_add_text(&p->kept[k], b->bodies.data + c->raw.at,
						 c->raw.len);
			} else {
				const char *text = kept_text(p, b, c, queues,
							     (enum table_kept_text)k);
				pgarray_add_text(&p->kept[k], text, strlen(text));
			}
		}
		ret[5 + k] = pgarray_finish(&p->kept[k]);
	}
	ret[5 + TABLE_KEPT_TEXTS] = apply[TABLE_APPLY_LSN];
}

bool batch_to_record(const struct batch *b)
{
	for (size_t i = 0; i < b->nfailures && !b->recorded; i++)
		if (b->failures[i].version > 0 || b->failures[i].truncate > 0)
			return true;
	return false;
}

void batch_record_build(struct batch_params *p, const struct batch *b, const char *const queues[2],
			struct db_param ret[BATCH_RECORD_PARAMS])
{
	enum { KEYS, SOURCES, QUEUES, ERRORS, TEXTS };
	const char *text[TEXTS] = { [SOURCES] = batch_text(b, b->source_at) };
	char error[BATCH_ERROR_MAX];

	pgarray_begin(&p->column, PGARRAY_INT4);
	pgarray_begin(&p->versions, PGARRAY_INT8);
	pgarray_begin(&p->xids, PGARRAY_XID8);
	for (size_t k = 0; k < TEXTS; k++)
		pgarray_begin(&p->kept[k], PGARRAY_TEXT);
	for (size_t i = 0; i < b->nfailures; i++) {
		const struct batch_failure *f = &b->failures[i];

		if (f->version == 0 && f->truncate == 0)
			continue;
		pgarray_add_int4(&p->column, f->table);
		pgarray_add_int8(&p->versions, f->truncate ? f->truncate : f->version);
		pgarray_add_int8(&p->xids, (int64_t)f->xid);
		clip_text(error, sizeof(error), batch_text(b, f->error_at));
		text[KEYS] = f->truncate ? "{}" : batch_text(b, f->key_at);
		text[QUEUES] = queues[b->messages[f->message].kind];
		text[ERRORS] = error;
		for (size_t k = 0; k < TEXTS; k++)
			pgarray_add_text(&p->kept[k], text[k], strlen(text[k]));
	}
	ret[0] = pgarray_finish(&p->column);
	ret[1] = pgarray_finish(&p->kept[KEYS]);
	ret[2] = pgarray_finish(&p->versions);
	ret[3] = pgarray_finish(&p->xids);
	ret[4] = pgarray_finish(&p->kept[SOURCES]);
	ret[5] = pgarray_finish(&p->kept[QUEUES]);
	ret[6] = pgarray_finish(&p->kept[ERRORS]);
}

void batch_params_reset(struct batch_params *p)
{
	size_t most = p->columns.cap > p->column.buf.cap ? p->columns.cap : p->column.buf.cap;

	for (size_t k = 0; k < TABLE_KEPT_TEXTS; k++)
		most = p->kept[k].buf.cap > most ? p->kept[k].buf.cap : most;
	if (most > KEEP_BYTES)
		batch_params_clear(p);
}

void batch_params_clear(struct batch_params *p)
{
	for (size_t k = 0; k < TABLE_KEPT_TEXTS; k++)
		pgarray_clear(&p->kept[k]);
	strbuf_clear(&p->key);
	pgarray_clear(&p->versions);
	pgarray_clear(&p->xids);
	pgarray_clear(&p->deleted);
	pgarray_clear(&p->column);
	pgarray_clear(&p->runs);
	strbuf_clear(&p->columns);
	strbuf_clear(&p->beats);
}
