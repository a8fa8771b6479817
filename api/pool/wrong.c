/*
 * wrong.c: see wrong.h.
 *
 * The number is only a hint that something changed; the set is taken under the lock. The count of a
 * set is raised only there, or by who holds a reference: no set is freed while somebody takes it.
 */
#include "api/pool/wrong.h"

#include <stdlib.h>

struct wrong_set *wrong_set_new(size_t n)
{
	struct wrong_set *s = xmalloc(sizeof(*s) + n * sizeof(s->rows[0]));

	atomic_init(&s->refs, 1);
	s->n = n;
	return s;
}

static int compare(const void *left, const void *right)
{
	const struct wrong_row *a = left, *b = right;

	if (a->table != b->table)
		return a->table < b->table ? -1 : 1;
	return a->row < b->row ? -1 : a->row > b->row;
}

void wrong_set_sort(struct wrong_set *s)
{
	qsort(s->rows, s->n, sizeof(s->rows[0]), compare);
}

uint64_t wrong_hash(const char *key, size_t len)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)key[i]) * UINT64_C(0x100000001b3);
	return h != WRONG_ALL ? h : 1;
}

void wrong_set_unref(struct wrong_set *s)
{
	if (s && atomic_fetch_sub(&s->refs, 1) == 1)
		free(s);
}

/* The first that is not less. */
static size_t lower_bound(const struct wrong_set *s, const struct wrong_row *row)
{
	size_t from = 0, to = s->n;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (compare(&s->rows[middle], row) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

bool wrong_set_has(const struct wrong_set *s, int table, uint64_t row)
{
	if (!s)
		return false;
	const struct wrong_row first = { table, WRONG_ALL }, wanted = { table, row };
	size_t at = lower_bound(s, &first);

	/* WRONG_ALL is the least: what stands there is that, or the first of the table's rows. */
	if (at == s->n || s->rows[at].table != table)
		return false;
	if (row == WRONG_ALL || s->rows[at].row == WRONG_ALL)
		return true;
	at = lower_bound(s, &wanted);
	return at < s->n && compare(&s->rows[at], &wanted) == 0;
}

size_t wrong_set_count(const struct wrong_set *s, int table)
{
	size_t n = 0;

	for (size_t i = 0; s && i < s->n; i++)
		n += s->rows[i].table == table;
	return n;
}

void wrong_place_init(struct wrong_place *p)
{
	atomic_init(&p->number, 0);
	p->set = NULL;
	pthread_mutex_init(&p->lock, NULL);
}

void wrong_place_clear(struct wrong_place *p)
{
	wrong_set_unref(p->set);
	p->set = NULL;
	pthread_mutex_destroy(&p->lock);
}

static bool equal(const struct wrong_set *a, const struct wrong_set *b)
{
	if (!a || !b)
		return a == b;
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (compare(&a->rows[i], &b->rows[i]) != 0)
			return false;
	return true;
}

void wrong_place_put(struct wrong_place *p, struct wrong_set *s)
{
	struct wrong_set *old = s;

	pthread_mutex_lock(&p->lock);
	if (!equal(p->set, s)) {
		old = p->set;
		p->set = s;
		atomic_fetch_add(&p->number, 1);
	}
	pthread_mutex_unlock(&p->lock);
	wrong_set_unref(old);
}

size_t wrong_place_count(struct wrong_place *p)
{
	pthread_mutex_lock(&p->lock);
	size_t n = p->set ? p->set->n : 0;

	pthread_mutex_unlock(&p->lock);
	return n;
}

void wrong_view_renew(struct wrong_view *v, struct wrong_place *p)
{
	struct wrong_set *old = v->set;

	pthread_mutex_lock(&p->lock);
	v->number = atomic_load(&p->number);
	v->set = p->set;
	if (v->set)
		atomic_fetch_add(&v->set->refs, 1);
	pthread_mutex_unlock(&p->lock);
	wrong_set_unref(old);
}

void wrong_view_clear(struct wrong_view *v)
{
	wrong_set_unref(v->set);
	*v = (struct wrong_view){ 0 };
}
