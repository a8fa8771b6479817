/*
 * report.c: see report.h.
 */
#include "common/json/report.h"

#include <stdlib.h>

#include "common/base/clock.h"

void report_write(struct strbuf *out, json_t *data, const char *message)
{
	json_t *body = json_pack("{s:b, s:o, s:s}", "success", 1, "data", data, "message", message);
	AUTO_FREE char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	json_decref(body);
	if (!text)
		fatal("out of memory: \"%s\" could not be written", message);
	strbuf_addstr(out, text);
}

json_t *report_time(int64_t wall_us)
{
	char text[CLOCK_TIMESTAMP_MAX];

	clock_format_wall(wall_us, text);
	return json_string(text);
}

json_t *report_text(const char *s)
{
	return *s != '\0' ? json_string(s) : json_null();
}
