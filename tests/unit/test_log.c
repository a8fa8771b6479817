/*
 * test_log.c: one line an event, whatever the values hold. Companions: common/base/log.c, common/base/clock.c; jansson is the
 * judge of JSON.
 *
 * stderr is a pipe in packet mode here: each read gives exactly what one write(2) wrote.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"

static int saved_stderr = -1;
static int packets = -1;

static void capture(void)
{
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_DIRECT), 0);
	saved_stderr = dup(STDERR_FILENO);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	packets = ends[0];
}

static void release(void)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(packets);
}

/* What the event writes, in one write. */
static void event(char *out, enum log_level level, const char *message, const struct log_kv *kv,
		  size_t n)
{
	capture();
	log_write(level, message, kv, n);
	close(STDERR_FILENO);
	ssize_t got = read(packets, out, PIPE_BUF);
	char more;
	ssize_t rest = read(packets, &more, 1);
	release();

	assert_true(got > 0);
	assert_int_equal(rest, 0);
	out[got] = '\0';
}

static const struct {
	const char *value;
	const char *text; /* behind "key=" */
	const char *json; /* the value after parsing; NULL: the value itself */
} values[] = {
	{ "word", "word", NULL },
	{ "127.0.0.1:5672", "127.0.0.1:5672", NULL },
	{ "café", "café", NULL },
	{ "€😀", "€😀", NULL },
	{ "", "\"\"", NULL },
	{ "two words", "\"two words\"", NULL },
	{ " ", "\" \"", NULL },
	{ "a=b", "\"a=b\"", NULL },
	{ "say \"hi\"", "\"say \\\"hi\\\"\"", NULL },
	{ "back\\slash", "\"back\\\\slash\"", NULL },
	{ "a\nb", "\"a\\nb\"", NULL },
	{ "a\r\n\tb", "\"a\\r\\n\\tb\"", NULL },
	{ "\x1b[31mred", "\"\\x1b[31mred\"", NULL },
	{ "del\x7f", "\"del\\x7f\"", NULL },
	{ "\xc2\x9b"
	  "31m",
	  "\"\\u009b31m\"", NULL }, /* the one-character form of ESC [ */
	{ "non\xc2\xa0"
	  "breaking",
	  "\"non\xc2\xa0"
	  "breaking\"",
	  NULL },
	{ "\xff", "\"\\xff\"", "\xef\xbf\xbd" },
	{ "a\xc3", "\"a\\xc3\"", "a\xef\xbf\xbd" },
	{ "\xc3(", "\"\\xc3(\"", "\xef\xbf\xbd(" },
	{ "\xc0\x80", "\"\\xc0\\x80\"", "\xef\xbf\xbd\xef\xbf\xbd" }, /* overlong */
	{ "\xed\xa0\x80", "\"\\xed\\xa0\\x80\"",
	  "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* surrogate */
	{ "\xf4\x90\x80\x80", "\"\\xf4\\x90\\x80\\x80\"",
	  "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },	      /* beyond U+10FFFF */
	{ "\xe2\x82", "\"\\xe2\\x82\"", "\xef\xbf\xbd\xef\xbf\xbd" }, /* cut */
};

static void test_text_values(void **state)
{
	(void)state;

	assert_true(log_init("api", "debug", "text"));
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		char line[PIPE_BUF + 1], want[256];

		event(line, LOG_INFO, "connected", &KV_S("key", values[i].value), 1);
		snprintf(want, sizeof(want), "info api main connected key=%s\n", values[i].text);
		if (strlen(line) < 25 || strcmp(line + 25, want) != 0)
			fail_msg("row %zu: got \"%s\", want \"<time> %s\"", i, line, want);
	}
}

static void test_json_values(void **state)
{
	(void)state;

	assert_true(log_init("api", "debug", "json"));
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		const char *want = values[i].json ? values[i].json : values[i].value;
		char line[PIPE_BUF + 1];
		json_error_t why;

		/* As the message and as a value. */
		event(line, LOG_WARN, values[i].value, &KV_S("key", values[i].value), 1);
		json_t *o = json_loads(line, JSON_REJECT_DUPLICATES, &why);
		if (!o)
			fail_msg("row %zu: %s: %s", i, line, why.text);
		const char *key = json_string_value(json_object_get(o, "key"));
		const char *message = json_string_value(json_object_get(o, "message"));
		if (strcmp(key, want) != 0 || strcmp(message, want) != 0)
			fail_msg("row %zu: %s does not hold \"%s\" twice", i, line, want);
		if (strchr(line, '\n') != line + strlen(line) - 1)
			fail_msg("row %zu: not one line: %s", i, line);
		for (const char *p = line; *p != '\n'; p++)
			if ((unsigned char)*p < ' ' || *p == 0x7f)
				fail_msg("row %zu: control character %d in the line", i, *p);
		assert_string_equal(json_string_value(json_object_get(o, "level")), "warn");
		assert_string_equal(json_string_value(json_object_get(o, "program")), "api");
		assert_string_equal(json_string_value(json_object_get(o, "thread")), "main");
		json_decref(o);
	}
}

static void test_line(void **state)
{
	const struct log_kv kv[] = { KV_S("broker", "127.0.0.1:5672"), KV_I("attempts", 3),
				     KV_I("least", INT64_MIN) };
	char line[PIPE_BUF + 1];
	regex_t re;
	(void)state;

	assert_true(log_init("api", "info", "text"));
	log_thread("a-name-much-longer-than-thirty-one-bytes");
	event(line, LOG_ERROR, "the link broke\n", kv, 3);
	assert_int_equal(
		regcomp(&re,
			"^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\\.[0-9]{3}Z "
			"error api a-name-much-longer-than-thirty- the link broke\\\\n "
			"broker=127\\.0\\.0\\.1:5672 attempts=3 least=-9223372036854775808\n$",
			REG_EXTENDED | REG_NOSUB),
		0);
	if (regexec(&re, line, 0, NULL, 0) != 0)
		fail_msg("got \"%s\"", line);
	regfree(&re);

	assert_true(log_init("api", "info", "json"));
	event(line, LOG_INFO, "up", kv, 3);
	json_t *o = json_loads(line, 0, NULL);
	assert_non_null(o);
	assert_int_equal(json_integer_value(json_object_get(o, "attempts")), 3);
	assert_int_equal(json_integer_value(json_object_get(o, "least")), INT64_MIN);
	assert_string_equal(json_string_value(json_object_get(o, "broker")), "127.0.0.1:5672");
	assert_int_equal(strlen(json_string_value(json_object_get(o, "time"))), 24);
	json_decref(o);
}

/* However much there is to say, a line stays one write of at most PIPE_BUF bytes, and JSON stays JSON. */
static void test_long(void **state)
{
	static const char *const pieces[] = { "x", "\"", "é", "\x01", "\xff", "😀" };
	static char text[20000];
	(void)state;

	for (size_t p = 0; p < ARRAY_SIZE(pieces); p++) {
		for (size_t size = 900; size < sizeof(text); size = size * 5 / 4) {
			size_t width = strlen(pieces[p]);
			struct log_kv kv[9];
			char line[PIPE_BUF + 1];
			json_error_t why;

			text[0] = '\0';
			for (size_t at = 0; at + width < size; at += width)
				memcpy(text + at, pieces[p], width + 1);
			for (size_t i = 0; i < 8; i++)
				kv[i] = KV_S("a", text);
			kv[8] = KV_S("last", "is small");

			assert_true(log_init("api", "info", "json"));
			event(line, LOG_INFO, text, kv, 9);
			json_t *o = json_loads(line, 0, &why);
			if (!o)
				fail_msg("piece %zu, %zu bytes: %s", p, size, why.text);
			if (!json_is_true(json_object_get(o, "truncated")))
				fail_msg("piece %zu, %zu bytes: truncated is not said", p, size);
			json_decref(o);

			assert_true(log_init("api", "info", "text"));
			event(line, LOG_INFO, text, kv, 9);
			if (!strstr(line, " truncated=true\n") || strlen(line) > PIPE_BUF)
				fail_msg("piece %zu, %zu bytes: %zu bytes: %s", p, size,
					 strlen(line), line);
		}
	}
}

static void test_many_pairs(void **state)
{
	struct log_kv kv[1000];
	char line[PIPE_BUF + 1];
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(kv); i++)
		kv[i] = KV_I("key", (int64_t)i);
	assert_true(log_init("api", "info", "json"));
	event(line, LOG_INFO, "many", kv, ARRAY_SIZE(kv));
	json_t *o = json_loads(line, 0, NULL);
	assert_non_null(o);
	assert_true(json_is_true(json_object_get(o, "truncated")));
	json_decref(o);
}

static void test_levels(void **state)
{
	static const struct {
		const char *level;
		const char *enabled; /* of error, warn, info, debug */
	} rows[] = {
		{ "error", "1000" },
		{ "warn", "1100" },
		{ "info", "1110" },
		{ "debug", "1111" },
	};
	static const char *const unknown[] = { "", "INFO", "information", "inf", "2" };
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_true(log_init("api", rows[i].level, "text"));
		for (int l = LOG_ERROR; l <= LOG_DEBUG; l++)
			if (log_enabled((enum log_level)l) != (rows[i].enabled[l] == '1'))
				fail_msg("%s: level %d is wrong", rows[i].level, l);
	}
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		if (log_init("api", unknown[i], "text"))
			fail_msg("level \"%s\" was taken", unknown[i]);
		if (log_init("api", "info", unknown[i]))
			fail_msg("format \"%s\" was taken", unknown[i]);
	}

	/* The macros ask the level, and keep errno for the line after. */
	assert_true(log_init("api", "warn", "text"));
	capture();
	errno = ENOENT;
	log_info("quiet", KV_I("n", 1));
	log_warn("loud");
	log_error("louder", KV_S("why", "x"), KV_I("n", 2));
	int kept = errno;
	close(STDERR_FILENO);
	char line[PIPE_BUF + 1];
	ssize_t first = read(packets, line, PIPE_BUF);
	bool loud = first > 0 && memcmp(line + 25, "warn api main loud\n", 19) == 0;
	ssize_t second = read(packets, line, PIPE_BUF);
	bool louder = second > 0 && memcmp(line + 25, "error api main louder why=x n=2\n", 32) == 0;
	ssize_t third = read(packets, line, PIPE_BUF);
	release();
	assert_int_equal(kept, ENOENT);
	assert_true(loud);
	assert_true(louder);
	assert_int_equal(third, 0);
}

#define THREADS 4
#define LINES	300

static void *chatter(void *arg)
{
	const char *name = arg;

	log_thread(name);
	for (int i = 0; i < LINES; i++)
		log_info("turn", KV_I("i", i));
	return NULL;
}

static void *unnamed(void *arg)
{
	(void)arg;
	log_info("hello");
	return NULL;
}

static void test_threads(void **state)
{
	static char names[THREADS][32];
	pthread_t threads[THREADS];
	int next[THREADS] = { 0 };
	int wrong = 0, lines = 0;
	(void)state;

	assert_true(log_init("api", "info", "text"));
	capture();
	for (int i = 0; i < THREADS; i++) {
		snprintf(names[i], sizeof(names[i]), "worker-%d", i);
		pthread_create(&threads[i], NULL, chatter, names[i]);
	}
	while (lines < THREADS * LINES) {
		char line[PIPE_BUF + 1];
		ssize_t n = read(packets, line, PIPE_BUF);
		int worker, turn;

		if (n <= 0)
			break;
		line[n] = '\0';
		if (sscanf(line + 25, "info api worker-%d turn i=%d\n", &worker, &turn) == 2 &&
		    worker < THREADS && next[worker] == turn && strchr(line, '\n') == line + n - 1)
			next[worker]++;
		else
			wrong++;
		lines++;
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_create(&threads[0], NULL, unnamed, NULL);
	pthread_join(threads[0], NULL);
	char line[PIPE_BUF + 1] = "";
	ssize_t n = read(packets, line, PIPE_BUF);
	release();

	assert_int_equal(lines, THREADS * LINES);
	assert_int_equal(wrong, 0);
	line[n] = '\0';
	assert_string_equal(line + 25, "info api - hello\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_values), cmocka_unit_test(test_json_values),
		cmocka_unit_test(test_line),	    cmocka_unit_test(test_long),
		cmocka_unit_test(test_many_pairs),  cmocka_unit_test(test_levels),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
