/*
 * mark.c: see mark.h. Pure: any thread.
 */
#include "common/wire/mark.h"

#include <inttypes.h>

static const char *const members[] = { "queue", "changes", "sent" };

void mark_write(struct strbuf *out, const struct mark *m)
{
	strbuf_addf(out, "{\"queue\":%" PRId64 ",\"changes\":%" PRId64 ",\"sent\":%" PRId64 "}",
		    m->queue, m->changes, m->sent_us);
}

bool mark_read(const struct jscan_value *body, struct mark *ret, struct err *err)
{
	struct jscan_value key, value;
	struct jscan_iter it;
	int64_t found[ARRAY_SIZE(members)];
	unsigned seen = 0;

	if (body->type != JSCAN_OBJECT)
		return err_set(err, "a mark must be an object, not %s",
			       jscan_type_name(body->type));
	for (jscan_iter_init(&it, body); jscan_iter_next(&it, &key, &value);) {
		int i = jscan_string_find(&key, members, ARRAY_SIZE(members));

		if (i < 0 || seen & 1U << i)
			return err_set(err, "a mark has other fields");
		if (value.type != JSCAN_NUMBER || !jscan_int64(&value, &found[i]) || found[i] < 0)
			return err_set(err, "%s must be an integer from 0", members[i]);
		seen |= 1U << i;
	}
	if (seen != (1U << ARRAY_SIZE(members)) - 1)
		return err_set(err, "a mark has the fields queue, changes and sent");
	*ret = (struct mark){ .queue = found[0], .changes = found[1], .sent_us = found[2] };
	return true;
}
