/*
 * wrong.c: see wrong.h.
 *
 * The number is only a hint that something changed; the set is taken under the lock. The count of a
 * set is raised only there, or by who holds a reference: no set is freed while somebody takes it.
 */
#include "api/pool/wrong.h"

#include <stdlib.h>
#include <string.h>

struct wrong_set *wrong_set_new(size_t n)
{
	struct wrong_set *s = xmalloc(sizeof(*s) + n * sizeof(s->ids[0]));

	atomic_init(&s->refs, 1);
	s->n = n;
	return s;
}

static int compare(const void *left, const void *right)
{
	return uuid_cmp(left, right);
}

void wrong_set_sort(struct wrong_set *s)
{
	qsort(s->ids, s->n, sizeof(s->ids[0]), compare);
}

void wrong_set_unref(struct wrong_set *s)
{
	if (s && atomic_fetch_sub(&s->refs, 1) == 1)
		free(s);
}

bool wrong_set_has(const struct wrong_set *s, const struct uuid *id)
{
	return s && bsearch(id, s->ids, s->n, sizeof(s->ids[0]), compare) != NULL;
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
	return a->n == b->n && memcmp(a->ids, b->ids, a->n * sizeof(a->ids[0])) == 0;
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
