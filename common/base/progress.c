/*
 * progress.c: see progress.h.
 */
#include "common/base/progress.h"

#include <string.h>

#include "common/base/utf8.h"

#define BAR_MIN	 5
#define BAR_MAX	 40
#define STUCK_MS 2000

/* ---- speed ---- */

void progress_meter_add(struct progress_meter *m, struct mono now, int64_t rows, int64_t bytes)
{
	if (m->n > 0) {
		if (mono_diff_us(now, m->sample[m->newest].at) < PROGRESS_SAMPLE_MS * 1000)
			return;
		m->newest = (m->newest + 1) % PROGRESS_SAMPLES;
	}
	m->sample[m->newest].at = now;
	m->sample[m->newest].rows = rows;
	m->sample[m->newest].bytes = bytes;
	if (m->n < PROGRESS_SAMPLES)
		m->n++;
}

static int64_t per_second(int64_t amount, int64_t us)
{
	return (int64_t)((double)amount * 1e6 / (double)us);
}

bool progress_meter_rate(const struct progress_meter *m, int64_t *ret_rows_per_s,
			 int64_t *ret_bytes_per_s)
{
	if (m->n < 2)
		return false;
	size_t oldest = m->n < PROGRESS_SAMPLES ? 0 : (m->newest + 1) % PROGRESS_SAMPLES;
	int64_t us = mono_diff_us(m->sample[m->newest].at, m->sample[oldest].at);

	if (us <= 0)
		return false;
	*ret_rows_per_s = per_second(m->sample[m->newest].rows - m->sample[oldest].rows, us);
	*ret_bytes_per_s = per_second(m->sample[m->newest].bytes - m->sample[oldest].bytes, us);
	return true;
}

/* ---- numbers ---- */

int progress_percent(const struct progress_row *row)
{
	if (row->doing[0] != '\0')
		return 100;
	if (row->total <= 0)
		return -1;
	double percent = 100.0 * (double)row->rows / (double)row->total;
	return percent > 99 ? 99 : (int)percent;
}

int64_t progress_seconds_left(const struct progress_row *row)
{
	if (row->doing[0] != '\0' || row->total <= 0 || !row->measured || row->rows_per_s <= 0)
		return -1;
	/* Past the estimate nobody knows. */
	if (row->rows >= row->total)
		return -1;
	return (row->total - row->rows + row->rows_per_s - 1) / row->rows_per_s;
}

void progress_add_bytes(struct strbuf *out, int64_t bytes)
{
	static const char *const units[] = { "kB", "MB", "GB", "TB" };
	double value = (double)bytes / 1000;
	size_t unit = 0;

	if (bytes < 1000) {
		strbuf_addf(out, "%lld B", (long long)bytes);
		return;
	}
	/* 999.95 would be shown as 1000.0. */
	while (value >= 999.95 && unit + 1 < ARRAY_SIZE(units)) {
		value /= 1000;
		unit++;
	}
	strbuf_addf(out, "%.1f %s", value, units[unit]);
}

void progress_add_seconds(struct strbuf *out, int64_t seconds)
{
	long long s = seconds;

	if (s < 3600)
		strbuf_addf(out, "%lld:%02lld", s / 60, s % 60);
	else
		strbuf_addf(out, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
}

/* ---- lines ---- */

static void add_speed(struct strbuf *out, const struct progress_row *row, const char *separator)
{
	int64_t left = progress_seconds_left(row);

	/* The slowest replica holds up all others: it must be easy to see. */
	if (row->stuck_ms >= STUCK_MS) {
		strbuf_addf(out, "%stakes nothing for %lld s", separator,
			    (long long)(row->stuck_ms / 1000));
		return;
	}
	if (row->measured) {
		strbuf_addf(out, "%s%lld rows/s", separator, (long long)row->rows_per_s);
		if (row->bytes >= 0) { /* a comparison moves none */
			strbuf_addstr(out, separator);
			progress_add_bytes(out, row->bytes_per_s);
			strbuf_addstr(out, "/s");
		}
	}
	if (left >= 0) {
		strbuf_addstr(out, separator);
		progress_add_seconds(out, left);
		strbuf_addstr(out, " left");
	}
}

static void cut(struct strbuf *out, size_t len)
{
	if (out->len <= len)
		return;
	out->len = utf8_whole(out->data, len);
	out->data[out->len] = '\0';
}

void progress_bar(struct strbuf *out, const struct progress_row *row, size_t name_width,
		  size_t columns)
{
	AUTO_STRBUF text = STRBUF_INIT;
	size_t begin = out->len, width = columns > 0 ? columns - 1 : 0;
	int percent = progress_percent(row);

	if (percent >= 0)
		strbuf_addf(&text, " %3d %%", percent);
	strbuf_addf(&text, "  %lld rows", (long long)row->rows);
	if (row->doing[0] != '\0')
		strbuf_addf(&text, "  %s", row->doing);
	else
		add_speed(&text, row, "  ");

	strbuf_addf(out, "%-*s ", (int)name_width, row->name);
	size_t used = out->len - begin + text.len + 2;
	if (percent >= 0 && used + BAR_MIN <= width) {
		size_t bar = min_size(width - used, BAR_MAX);
		size_t full = bar * (size_t)percent / 100;

		strbuf_addch(out, '[');
		for (size_t i = 0; i < bar; i++)
			strbuf_addch(out, i < full ? '#' : '-');
		strbuf_addch(out, ']');
	}
	strbuf_addstr(out, strbuf_str(&text));
	cut(out, begin + width);
}

void progress_line(struct strbuf *out, const struct progress_row *row)
{
	strbuf_addf(out, "%s: ", row->name);
	if (row->doing[0] != '\0') {
		strbuf_addf(out, "%lld rows, %s", (long long)row->rows, row->doing);
		return;
	}
	strbuf_addf(out, "%lld", (long long)row->rows);
	if (row->total > 0)
		strbuf_addf(out, " of about %lld rows (%d %%)", (long long)row->total,
			    progress_percent(row));
	else
		strbuf_addstr(out, " rows");
	add_speed(out, row, ", ");
}

void progress_summary(struct strbuf *out, const char *name, int64_t rows, int64_t bytes,
		      int64_t took_us)
{
	strbuf_addf(out, "%s: %lld rows, ", name, (long long)rows);
	progress_add_bytes(out, bytes);
	strbuf_addf(out, " in %.1f s", (double)took_us / 1e6);
	if (took_us > 0)
		strbuf_addf(out, ", %lld rows/s", (long long)per_second(rows, took_us));
}
