/*
 * report.h: what a program tells of itself over HTTP (/status, /stats …): jansson's values in the
 * envelope {"success":true,"data":…,"message":…}. Out of memory ends the process. Any thread.
 */
#ifndef PGFANOUT_COMMON_JSON_REPORT_H
#define PGFANOUT_COMMON_JSON_REPORT_H

#include <jansson.h>

#include "common/base/strbuf.h"

/* Appends the envelope. Takes data over. */
void report_write(struct strbuf *out, json_t *data, const char *message);
/* Wall time as a string. */
json_t *report_time(int64_t wall_us);
/* "" is null. */
json_t *report_text(const char *s);

#endif
