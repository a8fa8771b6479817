/*
 * heartbeat.c: see heartbeat.h. Pure: any thread.
 */
#include "common/wire/heartbeat.h"

#include <inttypes.h>

#include "common/base/clock.h"

#define BIT(member) (1U << (member))

void heartbeat_write(struct strbuf *out, const struct heartbeat *h)
{
	char at[CLOCK_TIMESTAMP_MAX];

	clock_format_pg(h->at_us, at);
	strbuf_addf(out, "{\"at\":\"%s\",\"version\":%" PRId64 ",\"terms\":[", at, h->version);
	for (size_t i = 0; i < h->nterms; i++)
		strbuf_addf(out,
			    "%s{\"term\":%" PRId64 ",\"sync\":%" PRId64 ",\"delete\":%" PRId64 "}",
			    i ? "," : "", h->terms[i].term, h->terms[i].messages[CHANGE_SYNC],
			    h->terms[i].messages[CHANGE_DELETE]);
	strbuf_addstr(out, "]}");
}

static bool read_count(const struct jscan_value *v, const char *field, int64_t *ret,
		       struct err *err)
{
	if (v->type != JSCAN_NUMBER || !jscan_int64(v, ret) || *ret < 0 || *ret > CHANGE_COUNT_MAX)
		return err_set(err, "%s must be an integer of at least 0, and at most 2^62", field);
	return true;
}

/* Members of an object, each exactly once. */
struct reader {
	const char *what;
	const char *const *members;
	size_t n;
	bool (*read)(void *arg, size_t member, const struct jscan_value *v, struct err *err);
};

static bool read_object(const struct reader *r, const struct jscan_value *object, void *arg,
			struct err *err)
{
	struct jscan_value key, value;
	struct jscan_iter it;
	unsigned seen = 0;

	if (object->type != JSCAN_OBJECT)
		return err_set(err, "%s must be an object, not %s", r->what,
			       jscan_type_name(object->type));
	for (jscan_iter_init(&it, object); jscan_iter_next(&it, &key, &value);) {
		int member = jscan_string_find(&key, r->members, r->n);
		if (member < 0 || (seen & BIT(member)))
			return err_set(err, "%s has a field that it must not have, or has twice",
				       r->what);
		seen |= BIT(member);
		if (!r->read(arg, (size_t)member, &value, err))
			return false;
	}
	if (seen != BIT(r->n) - 1)
		return err_set(err, "%s: %s is missing", r->what, r->members[__builtin_ctz(~seen)]);
	return true;
}

static const char *const term_members[] = { "term", "sync", "delete" };

static bool read_term_member(void *arg, size_t member, const struct jscan_value *v, struct err *err)
{
	struct heartbeat_term *t = arg;
	int64_t *const into[] = { &t->term, &t->messages[CHANGE_SYNC],
				  &t->messages[CHANGE_DELETE] };

	return read_count(v, term_members[member], into[member], err);
}

static bool read_terms(const struct jscan_value *list, struct heartbeat *h, struct err *err)
{
	static const struct reader reader = { "a term of a heartbeat", term_members,
					      ARRAY_SIZE(term_members), read_term_member };
	struct jscan_value term;
	struct jscan_iter it;

	if (list->type != JSCAN_ARRAY)
		return err_set(err, "terms must be an array, not %s", jscan_type_name(list->type));
	h->nterms = 0;
	for (jscan_iter_init(&it, list); jscan_iter_next(&it, NULL, &term); h->nterms++) {
		size_t n = h->nterms;

		if (n == HEARTBEAT_TERMS_MAX)
			return err_set(err, "there are more than %d terms", HEARTBEAT_TERMS_MAX);
		if (!read_object(&reader, &term, &h->terms[n], err))
			return false;
		if (n > 0 && h->terms[n].term >= h->terms[n - 1].term)
			return err_set(err, "terms must get smaller");
	}
	return h->nterms > 0 ? true : err_set(err, "there is no term");
}

enum { AT, VERSION, TERMS, MEMBERS };
static const char *const members[MEMBERS] = { "at", "version", "terms" };

static bool read_member(void *arg, size_t member, const struct jscan_value *v, struct err *err)
{
	struct heartbeat *h = arg;

	switch (member) {
	case AT:
		return jscan_time(v, &h->at_us, err) ? true : err_prefix(err, "at");
	case VERSION:
		return read_count(v, "version", &h->version, err);
	default:
		return read_terms(v, h, err);
	}
}

bool heartbeat_read(const struct jscan_value *body, struct heartbeat *ret, struct err *err)
{
	static const struct reader reader = { "a heartbeat", members, MEMBERS, read_member };
	struct heartbeat h = { 0 };

	if (!read_object(&reader, body, &h, err))
		return false;
	*ret = h;
	return true;
}
