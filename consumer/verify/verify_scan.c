/*
 * verify_scan.c: goes through the table once, chunk by chunk along the primary key, and finds
 * suspects.
 *
 * For each chunk the primary is asked once, and all replicas at the same time. Rows are read only
 * where the digest of the chunk differs. The servers are read at slightly different times while
 * others write, so a suspect is often equal: verify_settle.c finds out. Nothing is missed, because
 * rows with the same digest were equal.
 */
#include <stdlib.h>
#include <string.h>

#include "common/pg/pgarray.h"
#include "consumer/verify/verify_private.h"

struct chunk {
	int32_t products;
	struct uuid last;
	uint8_t digest[32];
	int64_t given;	/* of the primary */
	int64_t newest; /* of a replica */
	bool dead;
};

struct scan {
	struct verify *v;
	struct uuid from, to;
	struct chunk primary, replica[REPLICAS_MAX];
	struct verify_rows here, there;
	size_t adding; /* the replica that suspects are being added for */
};

#define INT4(text) DB_BINARY(text, 4)
#define INT8(text) DB_BINARY(text, 8)

static void take_primary(void *arg, const struct pg_result *r)
{
	struct chunk *c = arg;

	c->products = pg_get_int4(db_value(r, 0, 0));
	if (c->products > 0)
		memcpy(c->last.b, db_value(r, 0, 1), sizeof(c->last.b));
	memcpy(c->digest, db_value(r, 0, 2), sizeof(c->digest));
	c->given = pg_get_int8(db_value(r, 0, 3));
}

static void take_replica(void *arg, const struct pg_result *r)
{
	struct chunk *c = arg;

	c->products = pg_get_int4(db_value(r, 0, 0));
	memcpy(c->digest, db_value(r, 0, 1), sizeof(c->digest));
	c->newest = pg_get_int8(db_value(r, 0, 2));
	c->dead = *db_value(r, 0, 3) != 0;
}

static void take_rows(void *arg, const struct pg_result *r)
{
	struct verify_rows *rows = arg;

	rows->n = (size_t)db_rows(r);
	for (int i = 0; i < db_rows(r); i++) {
		memcpy(rows->row[i].id.b, db_value(r, i, 0), sizeof(rows->row[i].id.b));
		memcpy(rows->row[i].digest, db_value(r, i, 1), sizeof(rows->row[i].digest));
	}
}

static void take_ids(void *arg, const struct pg_result *r)
{
	struct verify_rows *rows = arg;

	rows->n = (size_t)db_rows(r);
	for (int i = 0; i < db_rows(r); i++)
		memcpy(rows->row[i].id.b, db_value(r, i, 0), sizeof(rows->row[i].id.b));
}

static void add_suspect(void *arg, const struct uuid *id)
{
	struct scan *scan = arg;
	struct verify *v = scan->v;

	if (v->nsuspects == v->room) {
		v->room = v->room == 0 ? VERIFY_CHUNK : v->room * 2;
		v->suspects = xreallocarray(v->suspects, v->room, sizeof(*v->suspects));
	}
	verify_suspect_init(&v->suspects[v->nsuspects++], id, scan->adding);
}

static int by_id(const void *a, const void *b)
{
	const struct verify_suspect *x = a, *y = b;
	int order = uuid_cmp(&x->id, &y->id);

	return order != 0 ? order : (x->replica > y->replica) - (x->replica < y->replica);
}

/* Rows and marks may have named the same product. */
static void sort_suspects(struct verify *v)
{
	size_t n = 0;

	if (v->nsuspects == 0)
		return;
	qsort(v->suspects, v->nsuspects, sizeof(*v->suspects), by_id);
	for (size_t i = 1; i < v->nsuspects; i++) {
		if (by_id(&v->suspects[n], &v->suspects[i]) != 0)
			v->suspects[++n] = v->suspects[i];
	}
	v->nsuspects = n + 1;
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
	v->nsuspects = 0;
	return true;
}

static bool clear_up_if_many(struct verify *v)
{
	return v->nsuspects < VERIFY_SUSPECTS || clear_up(v);
}

/* The rows of the chunk on the primary and one replica, VERIFY_CHUNK at a time, because a replica
 * may have any number of them. */
static bool compare_rows(struct scan *scan, struct verify_replica *r)
{
	struct verify *v = scan->v;
	struct uuid from = scan->from, end;
	char most[4];

	pg_put_int4(most, VERIFY_CHUNK);
	do {
		const struct db_param params[] = { VERIFY_ID(&from), VERIFY_ID(&scan->to),
						   INT4(most) };

		verify_ask(&v->primary, VERIFY_ROWS, params, take_rows, &scan->there);
		verify_ask(&r->server, VERIFY_ROWS, params, take_rows, &scan->here);
		if (!verify_gather(v))
			return false;
		if (!verify_taking_part(r))
			return true;
		end = scan->to;
		verify_complete_to(&scan->there, &scan->here, &end);
		verify_merge(&scan->there, &scan->here, &end, add_suspect, scan);
		if (!clear_up_if_many(v))
			return false;
		from = end;
	} while (uuid_cmp(&end, &scan->to) < 0 && verify_next_id(&from) && verify_taking_part(r));
	return true;
}

static bool collect_marks(struct scan *scan, struct verify_replica *r)
{
	struct verify *v = scan->v;
	struct uuid from = scan->from;
	char most[4], given[8];

	pg_put_int4(most, VERIFY_CHUNK);
	pg_put_int8(given, scan->primary.given);
	for (;;) {
		const struct db_param params[] = { VERIFY_ID(&from), VERIFY_ID(&scan->to),
						   INT4(most), INT8(given) };

		verify_ask(&r->server, VERIFY_MARKS, params, take_ids, &scan->here);
		if (!verify_gather(v))
			return false;
		if (!verify_taking_part(r))
			return true;
		for (size_t i = 0; i < scan->here.n; i++)
			add_suspect(scan, &scan->here.row[i].id);
		if (!clear_up_if_many(v))
			return false;
		if (scan->here.n < VERIFY_CHUNK || !verify_taking_part(r))
			return true;
		from = scan->here.row[scan->here.n - 1].id;
		if (!verify_next_id(&from))
			return true;
	}
}

static bool compare_replica(struct scan *scan, size_t i)
{
	struct verify_replica *r = &scan->v->replicas[i];
	const struct chunk *p = &scan->primary, *c = &scan->replica[i];

	scan->adding = i;
	if (verify_taking_part(r) &&
	    (c->products != p->products || memcmp(c->digest, p->digest, sizeof(c->digest)) != 0) &&
	    !compare_rows(scan, r))
		return false;
	return !verify_taking_part(r) || !(c->dead || c->newest > p->given) ||
	       collect_marks(scan, r);
}

static bool ask_primary(struct scan *scan)
{
	char most[4];

	pg_put_int4(most, VERIFY_CHUNK);
	const struct db_param params[] = { VERIFY_ID(&scan->from), INT4(most) };
	verify_ask(&scan->v->primary, VERIFY_CHUNK_OF_PRIMARY, params, take_primary,
		   &scan->primary);
	if (!verify_gather(scan->v))
		return false;
	scan->to = scan->primary.products == VERIFY_CHUNK ? scan->primary.last : verify_last_id;
	return true;
}

static bool ask_replicas(struct scan *scan)
{
	struct verify *v = scan->v;
	char most[4];

	pg_put_int4(most, VERIFY_CHUNK + 1);
	const struct db_param params[] = { VERIFY_ID(&scan->from), VERIFY_ID(&scan->to),
					   INT4(most) };
	for (size_t i = 0; i < v->n; i++) {
		if (verify_taking_part(&v->replicas[i]))
			verify_ask(&v->replicas[i].server, VERIFY_CHUNK_OF_COPY, params,
				   take_replica, &scan->replica[i]);
	}
	return verify_gather(v);
}

static bool any_takes_part(const struct verify *v)
{
	for (size_t i = 0; i < v->n; i++) {
		if (verify_taking_part(&v->replicas[i]))
			return true;
	}
	return false;
}

bool verify_scan(struct verify *v)
{
	struct scan *scan = xcalloc(1, sizeof(*scan));
	bool ok = true;

	scan->v = v;
	scan->from = verify_first_id;
	do {
		ok = ask_primary(scan) && ask_replicas(scan);
		for (size_t i = 0; ok && i < v->n; i++)
			ok = compare_replica(scan, i);
		v->rows += scan->primary.products;
		v->tick(v);
		scan->from = scan->to;
	} while (ok && any_takes_part(v) && verify_next_id(&scan->from));
	ok = ok && clear_up(v);
	free(scan);
	return ok;
}
