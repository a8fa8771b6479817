/*
 * heartbeat.c: see heartbeat.h. Pure: any thread.
 */
#include "common/wire/heartbeat.h"

#include "common/base/clock.h"

void heartbeat_write(struct strbuf *out, int64_t at_us)
{
	char at[CLOCK_TIMESTAMP_MAX];

	clock_format_pg(at_us, at);
	strbuf_addf(out, "{\"at\":\"%s\"}", at);
}

bool heartbeat_read(const struct jscan_value *body, int64_t *ret_at_us, struct err *err)
{
	static const char *const members[] = { "at" };
	struct jscan_value key, value;
	struct jscan_iter it;
	int64_t at_us = 0;
	size_t n = 0;

	if (body->type != JSCAN_OBJECT)
		return err_set(err, "a heartbeat must be an object, not %s",
			       jscan_type_name(body->type));
	for (jscan_iter_init(&it, body); jscan_iter_next(&it, &key, &value); n++) {
		if (n > 0 || jscan_string_find(&key, members, ARRAY_SIZE(members)) < 0)
			return err_set(err, "a heartbeat has the field \"at\", once, and no other");
		if (!jscan_time(&value, &at_us, err))
			return err_prefix(err, "at");
	}
	if (n == 0)
		return err_set(err, "at is missing");
	*ret_at_us = at_us;
	return true;
}
