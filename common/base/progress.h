/*
 * progress.h: how far a reset or a comparison is, in words: rows done, speed, time left. Pure: time
 * comes as an argument, lines go into a strbuf. progress_screen.h puts them on the terminal.
 */
#ifndef PGFANOUT_COMMON_BASE_PROGRESS_H
#define PGFANOUT_COMMON_BASE_PROGRESS_H

#include "common/base/base.h"
#include "common/base/clock.h"
#include "common/base/strbuf.h"

/* Speed over the last seconds: a ring of samples, at least PROGRESS_SAMPLE_MS apart. */
#define PROGRESS_SAMPLES   16
#define PROGRESS_SAMPLE_MS 250
struct progress_meter {
	struct {
		struct mono at;
		int64_t rows, bytes;
	} sample[PROGRESS_SAMPLES];
	size_t n, newest;
};
void progress_meter_add(struct progress_meter *m, struct mono now, int64_t rows, int64_t bytes);
/* Between the oldest sample and the newest; false (nothing written) as long as there are not
 * two. */
bool progress_meter_rate(const struct progress_meter *m, int64_t *ret_rows_per_s,
			 int64_t *ret_bytes_per_s);

/* A replica's place in the work. */
struct progress_row {
	const char *name;
	const char *doing;   /* what else than loading rows, "" while loading */
	int64_t rows, bytes; /* bytes -1: none are moved */
	int64_t total;	     /* rows expected, an estimate; 0: not known */
	int64_t stuck_ms;    /* takes nothing since */
	bool measured;
	int64_t rows_per_s, bytes_per_s; /* if measured */
};

/* 0 … 99: whatever the estimate, a load is not complete before its end. -1: not known. While
 * something else is done: 100. */
int progress_percent(const struct progress_row *row);
int64_t progress_seconds_left(const struct progress_row *row); /* of the load; -1: not known */

/* One line without its end:
 *   replica-1 [########------------]  40 %  400000 rows  120000 rows/s  12.3 MB/s  0:05 left
 * never wider than columns - 1; the bar takes what is left over, the end is cut if nothing is. */
void progress_bar(struct strbuf *out, const struct progress_row *row, size_t name_width,
		  size_t columns);
/*   replica-1: 400000 of about 1000000 rows (40 %), 120000 rows/s, 12.3 MB/s, 0:05 left */
void progress_line(struct strbuf *out, const struct progress_row *row);
/*   replica-1: 1000000 rows, 104.0 MB in 8.1 s, 123456 rows/s */
void progress_summary(struct strbuf *out, const char *name, int64_t rows, int64_t bytes,
		      int64_t took_us);

/* "512 B", "12.3 kB", "12.3 MB", "1.2 GB": steps of 1000. */
void progress_add_bytes(struct strbuf *out, int64_t bytes);
void progress_add_seconds(struct strbuf *out, int64_t seconds); /* "0:05", "12:34", "1:02:03" */

#endif
