/*
 * read_batch_wait.c: reads that wait for a replica to have what their client has seen. A worker's thread.
 *
 *   a read is   moves on when
 *   behind      a replica's mark is known to have passed what the client has seen; or, of a row by key, LOOK_MS
 *               have passed, and the row may have come                      -> to that replica
 *               POSITION_WAIT_MS have passed since it waited first          -> to the primary
 *
 * While any read waits, each replica is asked for its marks every LOOK_MS: one small statement for all that wait.
 * All of this is in memory, and is gone with the requests.
 */

#include "api/batch/read_batch_private.h"
#include "api/measures.h"
#include "common/wire/stream.h"

#define LOOK_MS 4

void read_wait(struct request *r)
{
	struct store *s = store_of(r);
	struct read_batches *b = s->reads;

	if (r->place_by.us == 0) {
		r->place_by = mono_add_ms(s->pool->now, s->pool->settings->position_wait_ms);
		metric_add(M_READS_WAITED, 0, 1);
	}
	if (b->behind.n == 0) {
		b->asks_marks = true;
		b->look_at = mono_add_ms(s->pool->now, LOOK_MS);
	}
	b->look_at = mono_earlier(b->look_at, r->place_by);
	r->state = REQUEST_DELAYED;
	queue_push(&b->behind, r);
}

void read_wait_mark(const struct request *r, struct upstream *up, const struct place *place)
{
	uint64_t streams = r->want.streams != 0 ? r->want.streams : lag_stream_bit(STREAM_PRODUCTS);

	if (up->standby && place->seen != POSITION_UNKNOWN && place->seen > 0)
		atomic_store(&up->replayed, place->seen - 1);
	else if (!up->primary && place->mark != 0)
		upstream_take_mark(up, streams, place->mark);
}

/* ---- marks ---- */

static void on_marks(void *arg, enum db_outcome outcome, const struct pg_result *res,
		     const struct err *err)
{
	struct marks_asked *asked = arg;

	(void)err; /* the connector finds out */
	asked->under_way = false;
	asked->reads->has_marks = true;
	if (outcome == DB_OK)
		connector_take_marks(asked->up, res);
}

static void ask_marks(struct store *s)
{
	struct pool *p = s->pool;
	struct read_batches *b = s->reads;
	struct mono deadline = mono_add_ms(p->now, p->settings->read_timeout_ms);
	struct err err;

	for (size_t i = 0; i + 1 < p->upstreams->n; i++) {
		struct link *l = p->points[i];
		struct marks_asked *asked = &b->asked[i];

		if (!link_usable(l) || asked->under_way)
			continue;
		asked->reads = b;
		asked->up = l->up;
		l->touched = true;
		asked->under_way = db_send(l->db, b->marks, NULL, false, deadline, on_marks, asked,
					   &err);
	}
}

/* ---- turns ---- */

static void look(struct store *s, bool again)
{
	struct read_batches *b = s->reads;

	/* Those that go on waiting change nothing of when that is done again. */
	struct mono look_at = b->look_at;
	bool asks_marks = b->asks_marks;

	for (size_t n = b->behind.n; n > 0; n--) {
		struct request *r = queue_pop(&b->behind);

		if (again)
			r->want.behind = 0;
		r->want.late = mono_reached(r->place_by, s->pool->now);
		if (r->want.late)
			metric_add(M_READS_LATE, 0, 1);
		read_submit(r);
	}
	b->asks_marks = asks_marks;
	b->look_at = look_at;
	for (const struct request *r = b->behind.head; r; r = r->next)
		b->look_at = mono_earlier(b->look_at, r->place_by);
}

void read_wait_dispatch(struct store *s)
{
	struct read_batches *b = s->reads;
	bool due = b->behind.n > 0 && mono_reached(b->look_at, s->pool->now);

	if (due) {
		b->look_at = mono_add_ms(s->pool->now, LOOK_MS);
		b->asks_marks = true;
	}
	if (due || b->has_marks)
		look(s, due);
	if (b->behind.n > 0 && b->asks_marks)
		ask_marks(s);
	b->asks_marks = b->has_marks = false;
}

struct mono read_next(const struct store *s)
{
	return s->reads->behind.n > 0 ? s->reads->look_at : MONO_NEVER;
}
