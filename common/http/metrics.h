/*
 * metrics.h: counters, gauges and histograms, shown in Prometheus text format.
 *
 * A program describes its metrics in one table; the documentation check reads it. Values are
 * atomics: any thread may add.
 */
#ifndef PGFANOUT_COMMON_HTTP_METRICS_H
#define PGFANOUT_COMMON_HTTP_METRICS_H

#include "common/base/base.h"
#include "common/base/strbuf.h"

enum metric_type {
	METRIC_COUNTER,
	METRIC_GAUGE,
	METRIC_HISTOGRAM, /* of microseconds, shown in seconds */
	METRIC_SECONDS	  /* a gauge of microseconds, shown in seconds */
};

struct metric_def {
	const char *name; /* pgfanout_api_… */
	enum metric_type type;
	const char *label; /* NULL: one value; else one value a label value, e.g. "replica" */
	const char *help;
	bool only_added; /* the label's values are those of metrics_add() alone */
};

/* Of a gauge, METRIC_SECONDS too: not known, not shown. */
#define METRIC_UNKNOWN INT64_MIN

/* table borrowed for ever; labels: the values of every label (replica names, "primary", …),
 * borrowed for ever. Once, before threads. */
void metrics_init(const struct metric_def *table, size_t n, const char *const *labels,
		  size_t nlabels);
/* Another value of this label, from now on, and maybe of a second one: {replica="replica-1",stream="tables"}. Shown
 * with every metric that has the label. All borrowed for ever. One thread. */
struct metric_value {
	const char *label, *value;
	const char *label_2, *value_2; /* these two: NULL: there is none */
	const char *label_3, *value_3;
};
size_t metrics_add(const struct metric_value *v);	     /* its number, for `label` below */
void metric_add(size_t metric, size_t label, int64_t delta); /* label 0 where the metric has none */
void metric_set(size_t metric, size_t label, int64_t value);
int64_t metric_get(size_t metric, size_t label);
void metric_observe_us(size_t metric, size_t label, int64_t us);
/* Appends all of them, and what the kernel knows of this process: process_resident_memory_bytes,
 * process_cpu_seconds_total, process_start_time_seconds, process_open_fds. Any thread. */
void metrics_write(struct strbuf *out);
/* For a counter or gauge whose values are known only when they are asked for, in no table: its head, then
 * each of its series. */
void metrics_write_head(struct strbuf *out, const struct metric_def *d);
void metrics_write_series(struct strbuf *out, const struct metric_def *d,
			  const struct metric_value *v, int64_t n);

#endif
