/*
 * metrics_process.h: what the kernel knows about this process, as Prometheus names it. Only metrics.c calls this.
 */
#ifndef PGFANOUT_COMMON_HTTP_METRICS_PROCESS_H
#define PGFANOUT_COMMON_HTTP_METRICS_PROCESS_H

#include "common/base/strbuf.h"

/* Appends the process_* metrics; one that /proc does not tell is left out. Any thread. */
void metrics_write_process(struct strbuf *out);

#endif
