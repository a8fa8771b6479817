/*
 * verify_scan.c: goes through a table, chunk by chunk, and finds suspects.
 *
 *   1. The primary's rows, in the order of their keys there, each chunk read once; all replicas are asked at
 *      the same time which of these rows they do not have just so.
 *   2. Each replica's keys, in their order there; the primary is asked which of them it does not have.
 *   3. What may be wrong on a replica whatever its rows say.
 *
 * No order has to be the same on two servers. The servers are read at slightly different times while others
 * write, so a suspect is often equal: verify_settle.c finds out. Nothing is missed, because rows with the
 * same digest were equal; what comes behind the place that a pass has reached came by a change.
 */
#include <stdlib.h>
#include <string.h>

#include "common/pg/pgarray.h"
#include "consumer/verify/verify_private.h"

/* The keys of a chunk. */
struct keys {
	struct strbuf text; /* one after another, each with its NUL */
	size_t at[VERIFY_ROWS_MAX];
	size_t n;
	struct pgarray array;
};

struct scan {
	struct verify *v;
	struct keys keys;
	struct pgarray digests;
	struct strbuf last; /* the key that the next chunk comes behind */
	struct asked {
		struct scan *scan;
		size_t replica; /* that suspects are added for */
	} asked[REPLICAS_MAX];
};

#define INT4(text) DB_BINARY(text, 4)
#define INT8(text) DB_BINARY(text, 8)

/* ---- keys ---- */

static void keys_begin(struct keys *k)
{
	strbuf_reset(&k->text);
	k->n = 0;
	pgarray_begin(&k->array, PGARRAY_TEXT);
}

static const char *keys_get(const struct keys *k, size_t place)
{
	return k->text.data + k->at[place];
}

static void keys_add(struct keys *k, const struct pg_result *r, int row)
{
	const char *key = db_value(r, row, 0);

	k->at[k->n++] = k->text.len;
	strbuf_add(&k->text, key, strlen(key) + 1);
	pgarray_add_text(&k->array, key, strlen(key));
}

/* The last one is kept: the next chunk comes behind it. */
static void remember_last(struct scan *scan)
{
	if (scan->keys.n == 0)
		return;
	strbuf_reset(&scan->last);
	strbuf_addstr(&scan->last, keys_get(&scan->keys, scan->keys.n - 1));
}

static struct db_param behind(const struct scan *scan)
{
	return DB_TEXT(scan->last.len > 0 ? scan->last.data : NULL);
}

/* ---- suspects ---- */

static void add_suspect(const struct asked *asked, const char *key)
{
	struct verify *v = asked->scan->v;

	if (v->nsuspects == v->room) {
		v->room = v->room == 0 ? VERIFY_ROWS_MAX : v->room * 2;
		v->suspects = xreallocarray(v->suspects, v->room, sizeof(*v->suspects));
	}
	verify_suspect_init(&v->suspects[v->nsuspects++], key, asked->replica);
}

static int by_key(const void *a, const void *b)
{
	const struct verify_suspect *x = a, *y = b;
	int order = strcmp(x->key, y->key);

	return order != 0 ? order : (x->replica > y->replica) - (x->replica < y->replica);
}

/* Several passes may have named the same row. */
static void sort_suspects(struct verify *v)
{
	size_t n = 0;

	if (v->nsuspects == 0)
		return;
	qsort(v->suspects, v->nsuspects, sizeof(*v->suspects), by_key);
	for (size_t i = 1; i < v->nsuspects; i++) {
		if (by_key(&v->suspects[n], &v->suspects[i]) != 0)
			v->suspects[++n] = v->suspects[i];
		else
			verify_suspect_clear(&v->suspects[i]);
	}
	v->nsuspects = n + 1;
}

static void forget_suspects(struct verify *v)
{
	for (size_t i = 0; i < v->nsuspects; i++)
		verify_suspect_clear(&v->suspects[i]);
	v->nsuspects = 0;
}

static bool clear_up(struct verify *v)
{
	sort_suspects(v);
	if (!verify_settle(v))
		return false;
	for (size_t i = 0; i < v->nsuspects; i++) {
		const struct verify_suspect *s = &v->suspects[i];

		if (s->state == VERIFY_UNSURE)
			v->replicas[s->replica].unsure++;
		if (s->state != VERIFY_DRIFT)
			continue;
		v->replicas[s->replica].drifted++;
		v->tell(v, s);
	}
	if (v->repair && !verify_mend(v))
		return false;
	forget_suspects(v);
	return true;
}

static bool clear_up_if_many(struct verify *v)
{
	return v->nsuspects < 2 * v->chunk || clear_up(v);
}

static bool any_takes_part(const struct verify *v)
{
	for (size_t i = 0; i < v->n; i++) {
		if (verify_taking_part(&v->replicas[i]))
			return true;
	}
	return false;
}

/* ---- 1 ---- */

static void take_rows(void *arg, const struct pg_result *r)
{
	struct scan *scan = arg;

	for (int i = 0; i < db_rows(r); i++) {
		keys_add(&scan->keys, r, i);
		pgarray_add_text(&scan->digests, db_value(r, i, 1), (size_t)db_length(r, i, 1));
	}
}

static void take_different(void *arg, const struct pg_result *r)
{
	const struct asked *asked = arg;

	for (int i = 0; i < db_rows(r); i++)
		add_suspect(asked,
			    keys_get(&asked->scan->keys, (size_t)pg_get_int4(db_value(r, i, 0))));
}

static bool read_originals(struct scan *scan)
{
	struct verify *v = scan->v;
	char most[4];

	pg_put_int4(most, (int32_t)v->chunk);
	const struct db_param params[] = { behind(scan), INT4(most) };
	keys_begin(&scan->keys);
	pgarray_begin(&scan->digests, PGARRAY_BYTEA);
	verify_ask(&v->primary, scan->last.len > 0 ? VERIFY_ROWS_NEXT : VERIFY_ROWS, params,
		   take_rows, scan);
	if (!verify_gather(v))
		return false;
	remember_last(scan);
	return true;
}

static bool compare_originals(struct scan *scan)
{
	struct verify *v = scan->v;

	do {
		if (!read_originals(scan))
			return false;
		const struct db_param params[] = { pgarray_finish(&scan->keys.array),
						   pgarray_finish(&scan->digests) };
		for (size_t i = 0; i < v->n && scan->keys.n > 0; i++) {
			struct verify_replica *r = &v->replicas[i];
			if (!verify_taking_part(r))
				continue;
			verify_ask(&r->server, VERIFY_DIFFERENT, params, take_different,
				   &scan->asked[i]);
			r->rows += (int64_t)scan->keys.n;
		}
		if (!verify_gather(v))
			return false;
		v->rows += (int64_t)scan->keys.n;
		v->tick(v);
		if (!clear_up_if_many(v))
			return false;
	} while (scan->keys.n == v->chunk && any_takes_part(v));
	return true;
}

/* ---- 2 ---- */

static void take_keys(void *arg, const struct pg_result *r)
{
	const struct asked *asked = arg;

	for (int i = 0; i < db_rows(r); i++) {
		keys_add(&asked->scan->keys, r, i);
		if (pg_get_int4(db_value(r, i, 1)) != 0)
			add_suspect(asked, db_value(r, i, 0));
	}
}

static void take_absent(void *arg, const struct pg_result *r)
{
	const struct asked *asked = arg;

	for (int i = 0; i < db_rows(r); i++) {
		asked->scan->v->given = pg_get_int8(db_value(r, i, 0));
		if (!db_is_null(r, i, 1))
			add_suspect(asked, keys_get(&asked->scan->keys,
						    (size_t)pg_get_int4(db_value(r, i, 1))));
	}
}

/* False as verify_gather(). The primary is asked even if there are no keys: what it has given out
 * counts. */
static bool look_for_extras(struct scan *scan, size_t i)
{
	struct verify *v = scan->v;
	struct verify_replica *r = &v->replicas[i];
	char most[4], given[8];

	pg_put_int4(most, (int32_t)v->chunk);
	strbuf_reset(&scan->last);
	do {
		pg_put_int8(given, v->given);
		const struct db_param params[] = { behind(scan), INT4(most), INT8(given) };

		keys_begin(&scan->keys);
		verify_ask(&r->server, scan->last.len > 0 ? VERIFY_KEYS_NEXT : VERIFY_KEYS, params,
			   take_keys, &scan->asked[i]);
		if (!verify_gather(v))
			return false;
		if (!verify_taking_part(r))
			return true;
		const struct db_param keys = pgarray_finish(&scan->keys.array);
		verify_ask(&v->primary, VERIFY_ABSENT, &keys, take_absent, &scan->asked[i]);
		if (!verify_gather(v))
			return false;
		remember_last(scan);
		v->tick(v);
		if (!clear_up_if_many(v))
			return false;
	} while (scan->keys.n == v->chunk && verify_taking_part(r));
	return true;
}

/* ---- 3 ---- */

static void take_marks(void *arg, const struct pg_result *r)
{
	const struct asked *asked = arg;

	for (int i = 0; i < db_rows(r); i++) {
		keys_add(&asked->scan->keys, r, i);
		add_suspect(asked, db_value(r, i, 0));
	}
}

static bool collect_marks(struct scan *scan, size_t i)
{
	struct verify *v = scan->v;
	struct verify_replica *r = &v->replicas[i];
	char most[4], given[8];

	pg_put_int4(most, (int32_t)v->chunk);
	pg_put_int8(given, v->given);
	strbuf_reset(&scan->last);
	do {
		const struct db_param params[] = { behind(scan), INT4(most), INT8(given) };

		keys_begin(&scan->keys);
		verify_ask(&r->server, VERIFY_MARKS, params, take_marks, &scan->asked[i]);
		if (!verify_gather(v))
			return false;
		remember_last(scan);
		if (!clear_up_if_many(v))
			return false;
	} while (scan->keys.n == v->chunk && verify_taking_part(r));
	return true;
}

/* ---- all of it ---- */

bool verify_scan(struct verify *v)
{
	struct scan *scan = xcalloc(1, sizeof(*scan));

	scan->v = v;
	for (size_t i = 0; i < v->n; i++)
		scan->asked[i] = (struct asked){ scan, i };
	bool ok = compare_originals(scan);
	for (size_t i = 0; ok && i < v->n; i++) {
		if (verify_taking_part(&v->replicas[i]))
			ok = look_for_extras(scan, i);
		if (ok && verify_taking_part(&v->replicas[i]))
			ok = collect_marks(scan, i);
	}
	ok = ok && clear_up(v);
	forget_suspects(v);
	strbuf_clear(&scan->keys.text);
	strbuf_clear(&scan->last);
	pgarray_clear(&scan->keys.array);
	pgarray_clear(&scan->digests);
	free(scan);
	return ok;
}
