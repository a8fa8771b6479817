/* test_metrics.c: counting, and the Prometheus text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/http/metrics.h"

enum { WRITES, LAG, SECONDS, APPLIED, WAIT, STREAM };

static const struct metric_def table[] = {
	[WRITES] = { "test_writes_total", METRIC_COUNTER, NULL, "Writes, \\ and\nmore." },
	[LAG] = { "test_lag", METRIC_GAUGE, "replica", "Lag." },
	[SECONDS] = { "test_seconds", METRIC_HISTOGRAM, NULL, "Time." },
	[APPLIED] = { "test_applied_total", METRIC_COUNTER, "replica", "Applied." },
	[WAIT] = { "test_wait_seconds", METRIC_HISTOGRAM, "replica", "Wait." },
	[STREAM] = { "test_stream", METRIC_GAUGE, "stream", "Of streams.", true },
};
static const char *const labels[] = { "replica-1", "a\"b\\c\nd" };

static int setup(void **state)
{
	(void)state;
	metrics_init(table, ARRAY_SIZE(table), labels, ARRAY_SIZE(labels));
	return 0;
}

/* Whether the text has exactly this line. */
static bool has_line(const char *text, const char *line)
{
	size_t len = strlen(line);

	for (const char *p = text; (p = strstr(p, line)); p++)
		if ((p == text || p[-1] == '\n') && p[len] == '\n')
			return true;
	return false;
}

static void test_text(void **state)
{
	static const char *const want[] = {
		"# HELP test_writes_total Writes, \\\\ and\\nmore.",
		"# TYPE test_writes_total counter",
		"test_writes_total 5",
		"# TYPE test_lag gauge",
		"test_lag{replica=\"replica-1\"} -3",
		"test_lag{replica=\"a\\\"b\\\\c\\nd\"} 9223372036854775807",
		"test_applied_total{replica=\"replica-1\"} 0",
		"test_applied_total{replica=\"a\\\"b\\\\c\\nd\"} 7",
		"# TYPE test_seconds histogram",
		"test_seconds_bucket{le=\"0.0001\"} 0",
		"test_seconds_sum 0.000000",
		"test_seconds_count 0",
		"test_wait_seconds_bucket{replica=\"replica-1\",le=\"0.001\"} 0",
		"test_wait_seconds_bucket{replica=\"replica-1\",le=\"0.0025\"} 1",
		"test_wait_seconds_bucket{replica=\"replica-1\",le=\"+Inf\"} 1",
		"test_wait_seconds_sum{replica=\"replica-1\"} 0.002000",
		"test_wait_seconds_count{replica=\"replica-1\"} 1",
		"test_wait_seconds_count{replica=\"a\\\"b\\\\c\\nd\"} 0",
		"# TYPE process_resident_memory_bytes gauge",
		"# TYPE process_cpu_seconds_total counter",
		"# TYPE process_open_fds gauge",
		"# TYPE process_start_time_seconds gauge",
	};
	AUTO_STRBUF out = STRBUF_INIT;
	(void)state;

	metric_add(WRITES, 0, 2);
	metric_add(WRITES, 0, 3);
	metric_set(LAG, 0, 10);
	metric_add(LAG, 0, -13);
	metric_set(LAG, 1, INT64_MAX);
	metric_add(APPLIED, 1, 7);
	metric_observe_us(WAIT, 0, 2000);
	assert_int_equal(metric_get(WRITES, 0), 5);
	assert_int_equal(metric_get(LAG, 0), -3);
	assert_int_equal(metric_get(APPLIED, 0), 0);
	assert_int_equal(metric_get(WAIT, 0), 1);
	assert_int_equal(metric_get(WAIT, 1), 0);

	metrics_write(&out);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		if (!has_line(strbuf_str(&out), want[i]))
			fail_msg("no line \"%s\" in:\n%s", want[i], strbuf_str(&out));
}

/* Every line has the form that Prometheus reads, and a TYPE comes before the first value. */
/* Values that come while threads count: with a second label, and of a metric that has only such. */
static void test_added(void **state)
{
	const struct metric_value both = { .label = "replica",
					   .value = "replica-1",
					   .label_2 = "stream",
					   .value_2 = "a\"b" },
				  alone = { .label = "stream", .value = "tables" },
				  three = { .label = "replica",
					    .value = "r",
					    .label_2 = "stream",
					    .value_2 = "s",
					    .label_3 = "table",
					    .value_3 = "public.\"t\"" };
	const struct metric_def asked = { .name = "test_asked", .type = METRIC_GAUGE };
	AUTO_STRBUF out = STRBUF_INIT;
	size_t first = metrics_add(&both), second = metrics_add(&alone);
	(void)state;

	metric_set(LAG, 0, 1);
	metric_set(LAG, first, 4);
	metric_observe_us(WAIT, first, 50);
	metric_set(STREAM, second, 9);
	metrics_write(&out);
	assert_true(has_line(out.data, "test_lag{replica=\"replica-1\"} 1"));
	assert_true(has_line(out.data, "test_lag{replica=\"replica-1\",stream=\"a\\\"b\"} 4"));
	assert_true(has_line(out.data,
			     "test_wait_seconds_bucket{replica=\"replica-1\",stream=\"a\\\"b\","
			     "le=\"0.0001\"} 1"));
	assert_true(has_line(out.data, "test_stream{stream=\"tables\"} 9"));
	assert_null(strstr(out.data, "test_stream{stream=\"replica-1"));
	assert_null(strstr(out.data, "test_stream{replica"));
	assert_null(strstr(out.data, "test_lag{replica=\"tables"));
	assert_int_equal(metric_get(LAG, first), 4);
	strbuf_reset(&out);
	metrics_write_series(&out, &asked, &three, 7);
	assert_string_equal(
		strbuf_str(&out),
		"test_asked{replica=\"r\",stream=\"s\",table=\"public.\\\"t\\\"\"} 7\n");
}

static void test_grammar(void **state)
{
	AUTO_STRBUF out = STRBUF_INIT;
	regex_t re;
	(void)state;

	assert_int_equal(
		regcomp(&re,
			"^(# HELP [a-z_]+ .*|# TYPE [a-z_]+ (counter|gauge|histogram)|"
			"[a-z_]+(\\{[a-z]+=\"([^\"\\\\]|\\\\[\\\\\"n])*\"(,le=\"[0-9.+Inf]+\")?\\})? "
			"-?[0-9]+(\\.[0-9]+)?)$",
			REG_EXTENDED | REG_NOSUB),
		0);
	metrics_write(&out);
	char *rest = NULL;
	for (char *line = strtok_r(out.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		if (regexec(&re, line, 0, NULL, 0) != 0)
			fail_msg("not a line of the format: \"%s\"", line);
	regfree(&re);
}

static const struct {
	int64_t us;
	const char *first; /* the first bucket that counts it */
} observed[] = {
	{ -5, "0.0001" },
	{ 0, "0.0001" },
	{ 99, "0.0001" },
	{ 100, "0.0001" },
	{ 101, "0.00025" },
	{ 250, "0.00025" },
	{ 251, "0.0005" },
	{ 999, "0.001" },
	{ 1000, "0.001" },
	{ 1001, "0.0025" },
	{ 49999, "0.05" },
	{ 1000000, "1" },
	{ 1000001, "2.5" },
	{ 9999999, "10" },
	{ 10000000, "10" },
	{ 10000001, "+Inf" },
	{ INT64_C(1) << 50, "+Inf" },
};

static void test_buckets(void **state)
{
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(observed); i++) {
		AUTO_STRBUF out = STRBUF_INIT;
		char want[96];

		metrics_init(table, ARRAY_SIZE(table), labels, ARRAY_SIZE(labels));
		metric_observe_us(SECONDS, 0, observed[i].us);
		metrics_write(&out);

		snprintf(want, sizeof(want), "test_seconds_bucket{le=\"%s\"} 1", observed[i].first);
		if (!has_line(strbuf_str(&out), want))
			fail_msg("%lld us: no line \"%s\"", (long long)observed[i].us, want);

		/* Those before are 0, those behind are 1. */
		bool reached = false;
		for (const char *p = strbuf_str(&out);
		     (p = strstr(p, "\ntest_seconds_bucket{le=\""));) {
			const char *le = p + strlen("\ntest_seconds_bucket{le=\"");
			const char *count = strstr(le, "\"} ") + 3;

			if (strncmp(le, observed[i].first, strlen(observed[i].first)) == 0 &&
			    le[strlen(observed[i].first)] == '"')
				reached = true;
			if (count[0] != (reached ? '1' : '0'))
				fail_msg("%lld us: bucket %.8s has %c", (long long)observed[i].us,
					 le, count[0]);
			p = count;
		}
		if (!reached)
			fail_msg("%lld us: bucket %s is not there", (long long)observed[i].us,
				 observed[i].first);
	}
}

#define THREADS 4
#define TURNS	50000

static void *count(void *arg)
{
	(void)arg;
	for (int i = 0; i < TURNS; i++) {
		metric_add(WRITES, 0, 1);
		metric_add(APPLIED, 1, 2);
		metric_observe_us(WAIT, 1, i);
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t threads[THREADS];
	(void)state;

	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count, NULL), 0);
	for (int i = 0; i < 20; i++) { /* a reader meanwhile: bucket +Inf and count must agree */
		AUTO_STRBUF out = STRBUF_INIT;
		long long last, total;

		metrics_write(&out);
		const char *inf = strstr(strbuf_str(&out), "d\",le=\"+Inf\"} ");
		const char *all = strstr(strbuf_str(&out), "test_wait_seconds_count{replica=\"a");
		assert_non_null(inf);
		assert_non_null(all);
		last = strtoll(strchr(inf, '}') + 1, NULL, 10);
		total = strtoll(strchr(all, '}') + 1, NULL, 10);
		if (last != total)
			fail_msg("bucket +Inf is %lld, count is %lld", last, total);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);

	assert_int_equal(metric_get(WRITES, 0), THREADS * TURNS);
	assert_int_equal(metric_get(APPLIED, 1), THREADS * TURNS * 2);
	assert_int_equal(metric_get(APPLIED, 0), 0);
	assert_int_equal(metric_get(WAIT, 1), THREADS * TURNS);
}

static double value_of(const char *text, const char *name)
{
	const char *p = strstr(text, name);

	while (p && !(p[-1] == '\n' && p[strlen(name)] == ' '))
		p = strstr(p + 1, name);
	if (!p)
		fail_msg("%s is not there", name);
	return strtod(p + strlen(name), NULL);
}

static void test_process(void **state)
{
	AUTO_STRBUF before = STRBUF_INIT;
	AUTO_STRBUF after = STRBUF_INIT;
	size_t size = 32 * 1024 * 1024;
	int fds[2];
	(void)state;

	metrics_write(&before);
	char *memory = malloc(size);
	assert_non_null(memory);
	memset(memory, 1, size);
	assert_int_equal(pipe(fds), 0);
	clock_t busy_until = clock() + CLOCKS_PER_SEC / 10;
	while (clock() < busy_until)
		continue;
	metrics_write(&after);
	close(fds[0]);
	close(fds[1]);
	free(memory);

	const char *a = strbuf_str(&before), *b = strbuf_str(&after);
	double grown = value_of(b, "process_resident_memory_bytes") -
		       value_of(a, "process_resident_memory_bytes");
	assert_true(grown > (double)size * 0.9);
	assert_int_equal((int)(value_of(b, "process_open_fds") - value_of(a, "process_open_fds")),
			 2);
	double cpu = value_of(b, "process_cpu_seconds_total") -
		     value_of(a, "process_cpu_seconds_total");
	assert_true(cpu > 0.05 && cpu < 60);
	double age = (double)time(NULL) - value_of(a, "process_start_time_seconds");
	assert_true(age > -3 && age < 300);
}

/* Modules count without asking whether the program has a table. */
static void test_before_init(void **state)
{
	AUTO_STRBUF out = STRBUF_INIT;
	(void)state;

	metric_add(3, 5, 1);
	metric_set(3, 5, 1);
	metric_observe_us(3, 5, 1);
	assert_int_equal(metric_get(3, 5), 0);
	metrics_write(&out);
	assert_non_null(strstr(strbuf_str(&out), "process_open_fds "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_before_init), /* first: the others fill in the table */
		cmocka_unit_test_setup(test_text, setup),
		cmocka_unit_test_setup(test_added, setup),
		cmocka_unit_test_setup(test_grammar, setup),
		cmocka_unit_test(test_buckets),
		cmocka_unit_test_setup(test_threads, setup),
		cmocka_unit_test_setup(test_process, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
