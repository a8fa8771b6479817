/*
 * metrics.c: the numbers of a process, and their text in Prometheus' format.
 *
 * Promise: counting is one relaxed atomic addition, without a lock and without waiting for a
 * reader. A reader sees each number as it was at some moment; two numbers may be of different
 * moments, but within one histogram the buckets always grow and the count is exactly their last.
 *
 * metrics_init comes once, before the first thread; a program that never calls it counts nothing.
 * The cells of a label's value are one block that nobody frees; those of a metric start on a cache line
 * of their own, so that threads that count different things do not slow each other down. Blocks
 * are only ever added: a reader sees as many as there were.
 */
#include "common/http/metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CACHE_LINE   64
#define CELLS_A_LINE (CACHE_LINE / sizeof(int64_t))

static const struct {
	int64_t us;
	const char *seconds;
} buckets[] = {
	{ 100, "0.0001" },  { 250, "0.00025" }, { 500, "0.0005" },  { 1000, "0.001" },
	{ 2500, "0.0025" }, { 5000, "0.005" },	{ 10000, "0.01" },  { 25000, "0.025" },
	{ 50000, "0.05" },  { 100000, "0.1" },	{ 250000, "0.25" }, { 500000, "0.5" },
	{ 1000000, "1" },   { 2500000, "2.5" }, { 5000000, "5" },   { 10000000, "10" },
};

/* Cells of one label of a histogram: how many fell into each bucket and above the last, then the
 * sum in us. */
#define CELL_ABOVE	ARRAY_SIZE(buckets)
#define CELL_SUM	(CELL_ABOVE + 1)
#define HISTOGRAM_CELLS (CELL_SUM + 1)

#define VALUES_MAX ((size_t)8192)

/* Immutable after metrics_init. */
static const struct metric_def *defs;
static size_t ndefs;
static size_t *first_cell; /* of each metric, in its value's block */
static size_t block_cells;
static size_t ninitial; /* values that are of every label */
static const char *const *initial;

/* These: only ever added to. */
static struct metric_value values[VALUES_MAX]; /* the first ones are unused: initial has them */
static _Atomic int64_t *blocks[VALUES_MAX];
static atomic_size_t nvalues;

static size_t round_up(size_t n)
{
	return (n + CELLS_A_LINE - 1) / CELLS_A_LINE * CELLS_A_LINE;
}

static _Atomic int64_t *new_block(void)
{
	size_t bytes = (block_cells ? block_cells : CELLS_A_LINE) * sizeof(int64_t);
	_Atomic int64_t *block = aligned_alloc(CACHE_LINE, bytes);

	if (!block)
		fatal("out of memory: %zu bytes were asked for", bytes);
	for (size_t i = 0; i < bytes / sizeof(*block); i++)
		atomic_init(&block[i], 0);
	return block;
}

void metrics_init(const struct metric_def *table, size_t n, const char *const *labels,
		  size_t nlabels)
{
	for (size_t i = 0; i < atomic_load(&nvalues); i++)
		free(blocks[i]);
	free(first_cell);
	defs = table;
	ndefs = n;
	initial = labels;
	ninitial = nlabels;
	block_cells = 0;
	first_cell = xcalloc(n, sizeof(*first_cell));
	for (size_t i = 0; i < n; i++) {
		first_cell[i] = block_cells;
		block_cells += round_up(table[i].type == METRIC_HISTOGRAM ? HISTOGRAM_CELLS : 1);
	}
	/* The first one also has what has no label. */
	for (size_t i = 0; i < nlabels || i == 0; i++)
		blocks[i] = new_block();
	atomic_store(&nvalues, nlabels > 0 ? nlabels : 1);
}

size_t metrics_add(const struct metric_value *v)
{
	size_t n = atomic_load(&nvalues);

	if (n == 0 || n == VALUES_MAX)
		fatal("metrics: %zu values of labels, and one more", n);
	values[n] = *v;
	blocks[n] = new_block();
	atomic_store(&nvalues, n + 1);
	return n;
}

/* ---- counting ---- */

static _Atomic int64_t *cell(size_t metric, size_t label)
{
	size_t n = atomic_load_explicit(&nvalues, memory_order_acquire);

	if (n == 0)
		return NULL;
	if (metric >= ndefs || label >= (defs[metric].label ? n : 1))
		fatal("metric %zu, label %zu: the table has %zu metrics and %zu labels", metric,
		      label, ndefs, n);
	return &blocks[label][first_cell[metric]];
}

static int64_t load(const _Atomic int64_t *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

void metric_add(size_t metric, size_t label, int64_t delta)
{
	_Atomic int64_t *c = cell(metric, label);

	if (c)
		atomic_fetch_add_explicit(c, delta, memory_order_relaxed);
}

void metric_set(size_t metric, size_t label, int64_t value)
{
	_Atomic int64_t *c = cell(metric, label);

	if (c)
		atomic_store_explicit(c, value, memory_order_relaxed);
}

static int64_t observations(const _Atomic int64_t *c)
{
	int64_t sum = 0;

	for (size_t i = 0; i <= CELL_ABOVE; i++)
		sum += load(&c[i]);
	return sum;
}

/* Of a histogram: how many observations there were. */
int64_t metric_get(size_t metric, size_t label)
{
	const _Atomic int64_t *c = cell(metric, label);

	if (!c)
		return 0;
	return defs[metric].type == METRIC_HISTOGRAM ? observations(c) : load(c);
}

void metric_observe_us(size_t metric, size_t label, int64_t us)
{
	_Atomic int64_t *c = cell(metric, label);
	size_t bucket = 0;

	if (!c)
		return;
	if (defs[metric].type != METRIC_HISTOGRAM)
		fatal("%s is no histogram", defs[metric].name);
	if (us < 0) /* a clock that went back: as if no time had passed */
		us = 0;
	while (bucket < ARRAY_SIZE(buckets) && us > buckets[bucket].us)
		bucket++;
	atomic_fetch_add_explicit(&c[bucket], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&c[CELL_SUM], us, memory_order_relaxed);
}

/* ---- text ---- */

static void add_escaped(struct strbuf *out, const char *s, bool in_quotes)
{
	for (; *s; s++) {
		if (*s == '\\')
			strbuf_addstr(out, "\\\\");
		else if (*s == '\n')
			strbuf_addstr(out, "\\n");
		else if (*s == '"' && in_quotes)
			strbuf_addstr(out, "\\\"");
		else
			strbuf_addch(out, *s);
	}
}

static void add_pair(struct strbuf *out, const char *before, const char *label, const char *value)
{
	strbuf_addstr(out, before);
	strbuf_addstr(out, label);
	strbuf_addstr(out, "=\"");
	add_escaped(out, value, true);
	strbuf_addch(out, '"');
}

/* name_suffix{label="value",le="0.1"} and a blank; value and le may be NULL. */
static void add_series(struct strbuf *out, const struct metric_def *d, const char *suffix,
		       const struct metric_value *v, const char *le)
{
	strbuf_addstr(out, d->name);
	strbuf_addstr(out, suffix);
	if (v)
		add_pair(out, "{", v->label, v->value);
	if (v && v->label_2)
		add_pair(out, ",", v->label_2, v->value_2);
	if (v && v->label_3)
		add_pair(out, ",", v->label_3, v->value_3);
	if (le)
		add_pair(out, v ? "," : "{", "le", le);
	strbuf_addstr(out, v || le ? "} " : " ");
}

static void write_histogram(struct strbuf *out, const struct metric_def *d,
			    const struct metric_value *value, const _Atomic int64_t *c)
{
	int64_t so_far = 0;

	for (size_t i = 0; i <= CELL_ABOVE; i++) {
		so_far += load(&c[i]);
		add_series(out, d, "_bucket", value, i < CELL_ABOVE ? buckets[i].seconds : "+Inf");
		strbuf_addint(out, so_far);
		strbuf_addch(out, '\n');
	}

	int64_t us = load(&c[CELL_SUM]);
	add_series(out, d, "_sum", value, NULL);
	strbuf_addf(out, "%lld.%06lld\n", (long long)(us / 1000000), (long long)(us % 1000000));
	add_series(out, d, "_count", value, NULL);
	strbuf_addint(out, so_far);
	strbuf_addch(out, '\n');
}

static void write_seconds(struct strbuf *out, const struct metric_def *d,
			  const struct metric_value *value, int64_t us)
{
	if (us == METRIC_UNKNOWN)
		return;
	add_series(out, d, "", value, NULL);
	strbuf_addf(out, "%s%lld.%06lld\n", us < 0 ? "-" : "", llabs(us / 1000000),
		    llabs(us % 1000000));
}

/* ---- the process, as the kernel knows it: what /proc does not tell is left out ---- */

static void add_head(struct strbuf *out, const char *name, const char *type, const char *help)
{
	strbuf_addf(out, "# HELP %s %s\n# TYPE %s %s\n%s ", name, help, name, type, name);
}

/* The first bytes of a file; false if there are none. */
static bool read_start(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;

	ssize_t n = read(fd, buf, size - 1);
	close(fd);
	if (n <= 0)
		return false;
	buf[n] = '\0';
	return true;
}

static void add_memory(struct strbuf *out)
{
	char text[256];
	long long pages;

	if (!read_start("/proc/self/statm", text, sizeof(text)) ||
	    sscanf(text, "%*s %lld", &pages) != 1)
		return;
	add_head(out, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.");
	strbuf_addint(out, pages * sysconf(_SC_PAGESIZE));
	strbuf_addch(out, '\n');
}

/* Clock ticks as seconds with two decimals. */
static void add_ticks(struct strbuf *out, unsigned long long ticks)
{
	unsigned long long rate = (unsigned long long)sysconf(_SC_CLK_TCK);

	strbuf_addf(out, "%llu.%02llu\n", ticks / rate, ticks % rate * 100 / rate);
}

/* When the machine started, in seconds since 1970. */
static bool read_boot_time(unsigned long long *ret)
{
	FILE *f = fopen("/proc/stat", "re");
	char line[256];
	bool found = false;

	if (!f)
		return false;
	/* Some lines are longer than the buffer; their pieces do not begin with the word. */
	while (!found && fgets(line, sizeof(line), f))
		found = sscanf(line, "btime %llu", ret) == 1;
	fclose(f);
	return found;
}

static void add_times(struct strbuf *out)
{
	char text[2048];
	unsigned long long user, system, start, boot;

	if (!read_start("/proc/self/stat", text, sizeof(text)))
		return;

	/* The second field is the program's name in parentheses, which may hold blanks and
	 * parentheses itself. */
	const char *rest = strrchr(text, ')');
	if (!rest || sscanf(rest + 1,
			    " %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu" /* 14, 15 */
			    " %*s %*s %*s %*s %*s %*s %llu",			     /* 22 */
			    &user, &system, &start) != 3)
		return;
	add_head(out, "process_cpu_seconds_total", "counter",
		 "User and system CPU time spent in seconds.");
	add_ticks(out, user + system);

	if (!read_boot_time(&boot))
		return;
	add_head(out, "process_start_time_seconds", "gauge",
		 "Start time of the process in seconds since 1970.");
	add_ticks(out, boot * (unsigned long long)sysconf(_SC_CLK_TCK) + start);
}

static void add_open_fds(struct strbuf *out)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	int64_t n = -1; /* the directory's own */

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			n++;
	closedir(dir);
	add_head(out, "process_open_fds", "gauge", "Number of open file descriptors.");
	strbuf_addint(out, n);
	strbuf_addch(out, '\n');
}

static void write_process(struct strbuf *out)
{
	add_memory(out);
	add_times(out);
	add_open_fds(out);
}

/* ---- all ---- */

/* Whether a metric has this value; *ret is it, NULL: it has no label. */
static bool has_value(const struct metric_def *d, size_t n, struct metric_value *given,
		      const struct metric_value **ret)
{
	*ret = NULL;
	if (!d->label)
		return n == 0;
	if (n < ninitial) {
		*given = (struct metric_value){ .label = d->label, .value = initial[n] };
		*ret = given;
		return !d->only_added;
	}
	*ret = &values[n];
	return values[n].label && strcmp(values[n].label, d->label) == 0;
}

void metrics_write_head(struct strbuf *out, const struct metric_def *d)
{
	static const char *const types[] = { "counter", "gauge", "histogram", "gauge" };

	strbuf_addf(out, "# HELP %s ", d->name);
	add_escaped(out, d->help, false);
	strbuf_addf(out, "\n# TYPE %s %s\n", d->name, types[d->type]);
}

void metrics_write_series(struct strbuf *out, const struct metric_def *d,
			  const struct metric_value *v, int64_t n)
{
	add_series(out, d, "", v, NULL);
	strbuf_addint(out, n);
	strbuf_addch(out, '\n');
}

void metrics_write(struct strbuf *out)
{
	const size_t n = atomic_load_explicit(&nvalues, memory_order_acquire);

	for (size_t i = 0; i < ndefs; i++) {
		const struct metric_def *d = &defs[i];

		metrics_write_head(out, d);
		for (size_t label = 0; label < n; label++) {
			const struct metric_value *value;
			struct metric_value given;

			if (!has_value(d, label, &given, &value))
				continue;
			const _Atomic int64_t *c = cell(i, label);
			if (d->type == METRIC_HISTOGRAM) {
				write_histogram(out, d, value, c);
			} else if (d->type == METRIC_SECONDS) {
				write_seconds(out, d, value, load(c));
			} else if (load(c) != METRIC_UNKNOWN) {
				metrics_write_series(out, d, value, load(c));
			}
		}
	}
	write_process(out);
}
