/*
 * verify_rule.c: see verify_rule.h. The numbers are those of the rule there.
 */
#include "consumer/verify/verify_rule.h"

#include <stdlib.h>
#include <string.h>

/* Clocks are set now and then, by less than this. */
#define CLOCK_SLACK_US INT64_C(60000000)

void verify_suspect_init(struct verify_suspect *s, const char *key, size_t replica)
{
	*s = (struct verify_suspect){ .key = xstrdup(key), .replica = replica, .first_given = -1 };
}

void verify_suspect_clear(struct verify_suspect *s)
{
	free(s->key);
	free(s->original.content.columns);
	free(s->copy.content.columns);
	*s = (struct verify_suspect){ 0 };
}

void verify_suspect_again(struct verify_suspect *s)
{
	struct verify_suspect old = *s;

	verify_suspect_init(s, old.key, old.replica);
	verify_suspect_clear(&old);
}

void verify_suspect_copy(struct verify_suspect *s, const struct verify_copy *r0)
{
	free(s->copy.content.columns);
	s->copy = *r0;
}

void verify_suspect_original(struct verify_suspect *s, const struct verify_original *p)
{
	free(s->original.content.columns);
	s->original = *p;
	if (s->first_given < 0)
		s->first_given = p->given;
}

static bool exists(const struct verify_content *c)
{
	return c->columns != NULL;
}

static bool same_content(const struct verify_content *a, const struct verify_content *b)
{
	if (!exists(a) || !exists(b))
		return exists(a) == exists(b);
	return strcmp(a->columns, b->columns) == 0;
}

static bool unwritten_between(const struct verify_copy *a, const struct verify_copy *b)
{
	return exists(&a->content) == exists(&b->content) && a->written == b->written &&
	       a->version == b->version && a->buried == b->buried && a->dead == b->dead &&
	       a->load == b->load;
}

static int64_t newest(const struct verify_copy *c)
{
	return c->version > c->buried ? c->version : c->buried;
}

void verify_judge(struct verify_suspect *s, const struct verify_copy *now, bool settled)
{
	struct verify_copy before = s->copy; /* its columns are gone */
	int64_t given = s->original.given;
	bool right = same_content(&now->content, &s->original.content) && now->dead == 0 &&
		     newest(now) <= given;
	bool unwritten = unwritten_between(&before, now);

	verify_suspect_copy(s, now);
	s->rounds++;
	if (right) { /* 5 */
		s->state = VERIFY_EQUAL;
		return;
	}
	if (unwritten) { /* 6 */
		if (!settled)
			s->confirms = 0;
		else if (++s->confirms == VERIFY_CONFIRMS)
			s->state = VERIFY_DRIFT;
	} else {
		s->confirms = 0;
		if (before.dead == 0 && newest(&before) > s->first_given &&
		    newest(&before) <= given) /* 7 */
			s->state = VERIFY_EQUAL;
	}
	if (s->state == VERIFY_OPEN && s->rounds >= VERIFY_ROUNDS && settled) /* 8 */
		s->state = VERIFY_UNSURE;
}

static void add_columns(struct strbuf *out, const struct verify_suspect *s, const struct table *t)
{
	const char *between = "different: ";

	for (size_t i = 0; i < t->ncolumns; i++) {
		if (memcmp(s->original.content.columns + i * VERIFY_DIGEST,
			   s->copy.content.columns + i * VERIFY_DIGEST, VERIFY_DIGEST) == 0)
			continue;
		strbuf_addf(out, "%s%s", between, t->columns[i].name);
		between = ", ";
	}
}

void verify_describe(struct strbuf *out, const struct verify_suspect *s, const struct table *t)
{
	bool there = exists(&s->original.content), here = exists(&s->copy.content);
	size_t begin = out->len;

	if (there && !here)
		strbuf_addstr(out, "missing");
	else if (!there && here)
		strbuf_addstr(out, "extra");
	else if (there)
		add_columns(out, s, t);
	if (newest(&s->copy) > s->original.given)
		strbuf_addf(out, "%s%s %lld was never given out", out->len > begin ? "; " : "",
			    s->copy.version > s->original.given ? "version" : "tombstone's version",
			    (long long)newest(&s->copy));
	if (s->copy.dead != 0)
		strbuf_addf(out, "%sa change of it was given up (version %lld)",
			    out->len > begin ? "; " : "", (long long)s->copy.dead);
}

bool verify_arrived(int64_t beat_sync, int64_t beat_delete, int64_t t, int64_t elapsed_us)
{
	int64_t latest = t + elapsed_us + CLOCK_SLACK_US;

	return beat_sync >= t && beat_delete >= t && beat_sync <= latest && beat_delete <= latest;
}
