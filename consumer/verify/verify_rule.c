/*
 * verify_rule.c: see verify_rule.h. The numbers are those of the rule there.
 */
#include "consumer/verify/verify_rule.h"

#include <string.h>

/* Clocks are set now and then, by less than this. */
#define CLOCK_SLACK_US INT64_C(60000000)

void verify_suspect_init(struct verify_suspect *s, const struct uuid *id, size_t replica)
{
	memset(s, 0, sizeof(*s));
	s->id = *id;
	s->replica = replica;
	s->first_given = -1;
}

void verify_suspect_original(struct verify_suspect *s, const struct verify_original *p)
{
	s->original = *p;
	if (s->first_given < 0)
		s->first_given = p->given;
}

static bool same_content(const struct verify_content *a, const struct verify_content *b)
{
	if (!a->exists || !b->exists)
		return a->exists == b->exists;
	return memcmp(a->column, b->column, sizeof(a->column)) == 0;
}

static bool unwritten_between(const struct verify_copy *a, const struct verify_copy *b)
{
	return a->content.exists == b->content.exists && a->written == b->written &&
	       a->version == b->version && a->buried == b->buried && a->dead == b->dead &&
	       a->reset_at == b->reset_at;
}

static int64_t newest(const struct verify_copy *c)
{
	return c->version > c->buried ? c->version : c->buried;
}

void verify_judge(struct verify_suspect *s, const struct verify_copy *now, bool settled)
{
	struct verify_copy before = s->copy;
	int64_t given = s->original.given;
	bool right = same_content(&now->content, &s->original.content) && now->dead == 0 &&
		     newest(now) <= given;

	s->copy = *now;
	s->rounds++;
	if (right) { /* 5 */
		s->state = VERIFY_EQUAL;
		return;
	}
	if (unwritten_between(&before, now)) { /* 6 */
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

static void add_columns(struct strbuf *out, const struct verify_suspect *s)
{
	static const char *const names[VERIFY_COLUMNS] = { "name", "price", "stock", "created_at",
							   "updated_at" };
	const char *between = "different: ";

	for (size_t i = 0; i < VERIFY_COLUMNS; i++) {
		if (memcmp(s->original.content.column[i], s->copy.content.column[i],
			   VERIFY_DIGEST) == 0)
			continue;
		strbuf_addf(out, "%s%s", between, names[i]);
		between = ", ";
	}
}

void verify_describe(struct strbuf *out, const struct verify_suspect *s)
{
	const struct verify_content *there = &s->original.content, *here = &s->copy.content;
	size_t begin = out->len;

	if (there->exists && !here->exists)
		strbuf_addstr(out, "missing");
	else if (!there->exists && here->exists)
		strbuf_addstr(out, "extra");
	else if (there->exists)
		add_columns(out, s);
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
