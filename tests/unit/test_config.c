/*
 * test_config.c: what settings are taken, what is said about the others, what is shown. Companions: common/settings/config*.c.
 *
 * Each row starts from an empty environment. Whatever is a password in a row has the word SECRET in it, and no error
 * and no output may show that.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/settings/config.h"
#include "common/base/strbuf.h"

struct settings {
	char *host, *database, *broker, *token, *format, *note;
	int64_t port, offset;
	bool verbose;
};

#define AT(member) offsetof(struct settings, member)
static const struct setting table[] = {
	{ .name = "HOST",
	  .type = SETTING_STRING,
	  .offset = AT(host),
	  .fallback = "127.0.0.1",
	  .min = 1,
	  .max = 10,
	  .help = "where to listen" },
	{ .name = "DATABASE_URL",
	  .type = SETTING_PG_URL,
	  .offset = AT(database),
	  .help = "the primary" },
	{ .name = "RABBITMQ_URL",
	  .type = SETTING_AMQP_URL,
	  .offset = AT(broker),
	  .fallback = "amqp://guest:SECRET@localhost/",
	  .min = 1,
	  .max = 50,
	  .help = "the broker" },
	{ .name = "TOKEN",
	  .type = SETTING_STRING,
	  .offset = AT(token),
	  .fallback = "",
	  .min = 8,
	  .max = 64,
	  .secret = true,
	  .help = "a token" },
	{ .name = "LOG_FORMAT",
	  .type = SETTING_CHOICE,
	  .offset = AT(format),
	  .fallback = "text",
	  .choices = "text|json|none",
	  .help = "the form of the log" },
	{ .name = "NOTE",
	  .type = SETTING_STRING,
	  .offset = AT(note),
	  .fallback = "",
	  .help = "anything" },
	{ .name = "PORT",
	  .type = SETTING_INT,
	  .offset = AT(port),
	  .fallback = "8000",
	  .min = 0,
	  .max = 65535,
	  .help = "the port" },
	{ .name = "OFFSET",
	  .type = SETTING_INT,
	  .offset = AT(offset),
	  .fallback = "-1",
	  .min = INT64_MIN,
	  .max = INT64_MAX,
	  .help = "any number" },
	{ .name = "VERBOSE",
	  .type = SETTING_BOOL,
	  .offset = AT(verbose),
	  .fallback = "no",
	  .help = "more" },
};

static void environment(const char *const *entries)
{
	clearenv();
	for (; *entries; entries++) {
		const char *equals = strchr(*entries, '=');
		char *name = xstrndup(*entries, (size_t)(equals - *entries));

		setenv(name, equals + 1, 1);
		free(name);
	}
}

/* What `show` prints to stdout. */
static char *printed(void (*show)(const void *arg), const void *arg)
{
	struct strbuf out = STRBUF_INIT;
	FILE *file = tmpfile();
	int saved;

	assert_non_null(file);
	fflush(stdout);
	saved = dup(STDOUT_FILENO);
	dup2(fileno(file), STDOUT_FILENO);
	show(arg);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	rewind(file);
	for (int c; (c = fgetc(file)) != EOF;)
		strbuf_addch(&out, (char)c);
	fclose(file);
	return strbuf_detach(&out, NULL);
}

static void show_settings(const void *arg)
{
	config_print(table, ARRAY_SIZE(table), arg, NULL, NULL);
}

/* ---- settings ---- */

#define NEEDED "DATABASE_URL=postgresql://u:SECRET@h/d"

static const struct {
	const char *env[4];
	const char *want; /* a line that --check-config prints, or a part of the error */
	bool good;
} loads[] = {
	{ { NEEDED }, "HOST=127.0.0.1\n", true },
	{ { NEEDED }, "DATABASE_URL=postgresql://u@h/d\n", true },
	{ { NEEDED }, "RABBITMQ_URL=amqp://guest@localhost/\n", true },
	{ { NEEDED }, "TOKEN=\n", true },
	{ { NEEDED }, "PORT=8000\n", true },
	{ { NEEDED }, "OFFSET=-1\n", true },
	{ { NEEDED }, "VERBOSE=false\n", true },
	{ { NEEDED, "HOST=::1", "PORT=" }, "PORT=8000\n", true }, /* set to nothing: not set */
	{ { "DATABASE_URL=" }, "DATABASE_URL is not set; it is needed: the primary", false },
	{ { NULL }, "DATABASE_URL is not set; it is needed: the primary", false },
	/* strings */
	{ { NEEDED, "HOST=0123456789" }, "HOST=0123456789\n", true },
	{ { NEEDED, "HOST=0123456789a" }, "HOST has 11 bytes: 1 to 10 are allowed", false },
	{ { NEEDED, "HOST=a\nb" }, "HOST must not contain line breaks", false },
	{ { NEEDED, "TOKEN=SECRET12" }, "TOKEN=(hidden)\n", true },
	{ { NEEDED, "TOKEN=SECRET" }, "TOKEN has 6 bytes: 8 to 64 are allowed", false },
	{ { NEEDED, "NOTE=as long as anybody likes it to be" },
	  "NOTE=as long as anybody likes it to be\n",
	  true },
	/* numbers */
	{ { NEEDED, "PORT=0" }, "PORT=0\n", true },
	{ { NEEDED, "PORT=65535" }, "PORT=65535\n", true },
	{ { NEEDED, "PORT=65536" },
	  "PORT is \"65536\": it must be a whole number from 0 to 65535",
	  false },
	{ { NEEDED, "PORT=-1" }, "PORT is \"-1\": it must be", false },
	{ { NEEDED, "PORT=80a" }, "PORT is \"80a\": it must be", false },
	{ { NEEDED, "PORT=a80" }, "PORT is \"a80\": it must be", false },
	{ { NEEDED, "PORT=0x50" }, "PORT is \"0x50\": it must be", false },
	{ { NEEDED, "PORT=8e3" }, "PORT is \"8e3\": it must be", false },
	{ { NEEDED, "PORT=80.0" }, "PORT is \"80.0\": it must be", false },
	{ { NEEDED, "PORT=+80" }, "PORT is \"+80\": it must be", false },
	{ { NEEDED, "PORT= 80" }, "PORT is \" 80\": it must be", false },
	{ { NEEDED, "PORT=80 " }, "PORT is \"80 \": it must be", false },
	{ { NEEDED, "PORT=-" }, "PORT is \"-\": it must be", false },
	{ { NEEDED, "PORT=18446744073709551696" },
	  "PORT is \"18446744073709551696\": it must be",
	  false },
	{ { NEEDED, "OFFSET=9223372036854775807" }, "OFFSET=9223372036854775807\n", true },
	{ { NEEDED, "OFFSET=9223372036854775808" },
	  "OFFSET is \"9223372036854775808\": it must be",
	  false },
	{ { NEEDED, "OFFSET=-9223372036854775808" }, "OFFSET=-9223372036854775808\n", true },
	{ { NEEDED, "OFFSET=-9223372036854775809" },
	  "OFFSET is \"-9223372036854775809\": it must be",
	  false },
	/* truth */
	{ { NEEDED, "VERBOSE=1" }, "VERBOSE=true\n", true },
	{ { NEEDED, "VERBOSE=on" }, "VERBOSE=true\n", true },
	{ { NEEDED, "VERBOSE=Yes" }, "VERBOSE=true\n", true },
	{ { NEEDED, "VERBOSE=TRUE" }, "VERBOSE=true\n", true },
	{ { NEEDED, "VERBOSE=0" }, "VERBOSE=false\n", true },
	{ { NEEDED, "VERBOSE=off" }, "VERBOSE=false\n", true },
	{ { NEEDED, "VERBOSE=maybe" }, "VERBOSE is \"maybe\": it must be true or false", false },
	{ { NEEDED, "VERBOSE=2" }, "VERBOSE is \"2\": it must be true or false", false },
	/* choices */
	{ { NEEDED, "LOG_FORMAT=json" }, "LOG_FORMAT=json\n", true },
	{ { NEEDED, "LOG_FORMAT=none" }, "LOG_FORMAT=none\n", true },
	{ { NEEDED, "LOG_FORMAT=jso" },
	  "LOG_FORMAT is \"jso\": it must be text, json or none",
	  false },
	{ { NEEDED, "LOG_FORMAT=JSON" },
	  "LOG_FORMAT is \"JSON\": it must be text, json or none",
	  false },
	{ { NEEDED, "LOG_FORMAT=text|json" }, "LOG_FORMAT is \"text|json\": it must be", false },
	/* the primary */
	{ { "DATABASE_URL=postgres://h" }, "DATABASE_URL=postgres://h\n", true },
	{ { "DATABASE_URL=host=h password=SECRET" }, "DATABASE_URL=host=h\n", true },
	{ { "DATABASE_URL= dbname = d" }, "DATABASE_URL=dbname=d\n", true },
	{ { "DATABASE_URL=mysql://u:SECRET@h/d" }, "DATABASE_URL must be a PostgreSQL URI", false },
	{ { "DATABASE_URL=u:SECRET@h/d" }, "DATABASE_URL must be a PostgreSQL URI", false },
	{ { "DATABASE_URL=postgresql://u:SEC RET@h/d" },
	  "DATABASE_URL must not contain blanks",
	  false },
	{ { "DATABASE_URL=postgresql://u:SECRET@h/d\n" },
	  "DATABASE_URL must not contain line breaks",
	  false },
	/* what libpq reads is taken, what it does not is not */
	{ { "DATABASE_URL=service=prod" }, "DATABASE_URL=service=prod\n", true },
	{ { "DATABASE_URL=host='h' user='my user' password='SEC RET'" },
	  "DATABASE_URL=host=h user='my user'\n",
	  true },
	{ { "DATABASE_URL=host=h password=SEC\\ RET dbname=it\\'s" },
	  "DATABASE_URL=host=h dbname='it\\'s'\n",
	  true },
	{ { "DATABASE_URL=password=SECRET" }, "DATABASE_URL=(hidden)\n", true },
	{ { "DATABASE_URL=postgresql://h/d?user=u@cloud&password=SECRET" },
	  "DATABASE_URL=(hidden)\n",
	  true },
	{ { "DATABASE_URL=postgresql://u:SECRET@h/d%40x" },
	  "DATABASE_URL=postgresql://u@h/d%40x\n",
	  true },
	{ { "DATABASE_URL=host=h password=SEC RET" }, "DATABASE_URL must be a", false },
	{ { "DATABASE_URL=host=h pasword=SECRET" }, "DATABASE_URL must be a", false },
	{ { "DATABASE_URL=host='h password=SECRET" }, "DATABASE_URL must be a", false },
	{ { "DATABASE_URL=postgresql://u:SECRET@h/d?nope=1" }, "DATABASE_URL must be a", false },
	{ { "DATABASE_URL=postgresql://u:SECRET@[::1/d" }, "DATABASE_URL must be a", false },
	{ { "DATABASE_URL=postgresql://u:SEC@RET@h/d" }, "DATABASE_URL must be a", false },
	{ { "DATABASE_URL=postgresql://u:SEC/RET@h/d" }, "DATABASE_URL must be a", false },
	{ { "DATABASE_URL=postgresql://u:SECRET@h:99999/d" }, "DATABASE_URL has a port", false },
	{ { "DATABASE_URL=host=a,b port=5432,x" }, "DATABASE_URL has a port", false },
	{ { "DATABASE_URL==SECRET" }, "DATABASE_URL must be a PostgreSQL URI", false },
	/* the broker */
	{ { NEEDED, "RABBITMQ_URL=amqps://u:SECRET@a,amqp://u:SECRET@b" },
	  "RABBITMQ_URL=amqps://u@a,amqp://u@b\n",
	  true },
	{ { NEEDED, "RABBITMQ_URL=http://u:SECRET@a" },
	  "RABBITMQ_URL: entry 1 of the list must begin",
	  false },
	{ { NEEDED, "RABBITMQ_URL=amqp://" },
	  "RABBITMQ_URL: entry 1 of the list must begin",
	  false },
	{ { NEEDED, "RABBITMQ_URL=amqp://a,u:SECRET@b" },
	  "RABBITMQ_URL: entry 2 of the list must",
	  false },
	{ { NEEDED, "RABBITMQ_URL=amqp://u:SECRET@a\t" },
	  "RABBITMQ_URL must not contain line breaks",
	  false },
	{ { NEEDED, "RABBITMQ_URL=amqp://u:SECRET@0123456789012345678901234567890123456789" },
	  "RABBITMQ_URL has 56 bytes: 1 to 50 are allowed",
	  false },
	{ { NEEDED, "RABBITMQ_URL=amqp://a," },
	  "RABBITMQ_URL: entry 2 of the list must begin",
	  false },
};

static void test_load(void **state)
{
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(loads); i++) {
		struct settings s;
		struct err err;

		memset(&s, 0xa5, sizeof(s)); /* nobody has to clear it before */
		environment(loads[i].env);
		bool good = config_load(table, ARRAY_SIZE(table), &s, &err);
		if (good != loads[i].good)
			fail_msg("row %zu (%s): %s", i, loads[i].want,
				 good ? "was taken" : err.text);

		char *shown = good ? printed(show_settings, &s) : xstrdup(err.text);
		if (!strstr(shown, loads[i].want))
			fail_msg("row %zu: \"%s\" lacks \"%s\"", i, shown, loads[i].want);
		if (strstr(shown, "SEC") || strstr(shown, "RET@"))
			fail_msg("row %zu: \"%s\" shows the secret", i, shown);
		free(shown);
		config_free(table, ARRAY_SIZE(table), &s);
		assert_null(s.host);
		config_free(table, ARRAY_SIZE(table), &s); /* twice is fine */
	}
}

static void show_help(const void *arg)
{
	(void)arg;
	config_help(table, ARRAY_SIZE(table), true);
}

static void test_help(void **state)
{
	static const char *const want[] = {
		"  HOST ",
		"where to listen (default 127.0.0.1)\n",
		"the primary (required)\n",
		"the broker (default amqp://guest@localhost/)\n",
		"a token (default: not set)\n",
		"the form of the log (text, json or none, default text)\n",
		"the port (0 to 65535, default 8000)\n",
		"more (default no)\n",
		"  REPLICA_n_URL ",
		"  REPLICA_n_NAME ",
		"  STANDBY_n_URL ",
		"  STANDBY_n_NAME ",
	};
	char *help = printed(show_help, NULL);
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		if (!strstr(help, want[i]))
			fail_msg("\"%s\" is not in:\n%s", want[i], help);
	assert_null(strstr(help, "SECRET"));

	/* One line a setting, each as the documentation check reads it. */
	size_t lines = 0;
	for (const char *p = help; *p; p = strchr(p, '\n') + 1, lines++)
		if (strncmp(p, "  ", 2) != 0 || p[2] < 'A' || p[2] > 'Z')
			fail_msg("line %zu: \"%.40s\"", lines, p);
	assert_int_equal(lines, ARRAY_SIZE(table) + 4);
	free(help);
}

/* ---- replicas ---- */

#define U(n) "REPLICA_" #n "_URL=postgresql://u:SECRET@h" #n "/d"

static const struct {
	const char *env[5];
	size_t at_least;
	const char *want; /* "number name host" of each, or a part of the error */
	bool good;
} replicas[] = {
	{ { U(1) }, 1, "1 replica-1 h1;", true },
	{ { U(3), U(1), U(2) }, 1, "1 replica-1 h1;2 replica-2 h2;3 replica-3 h3;", true },
	{ { U(10), U(9), U(100) },
	  3,
	  "9 replica-9 h9;10 replica-10 h10;100 replica-100 h100;",
	  true },
	{ { U(2), "REPLICA_2_NAME=far_away-2" }, 1, "2 far_away-2 h2;", true },
	{ { U(1), "REPLICA_1_NAME=" }, 1, "1 replica-1 h1;", true },
	{ { U(1), "REPLICA_2_URL=" }, 1, "1 replica-1 h1;", true },
	{ { U(1), "REPLICA_2_URL=", "REPLICA_2_NAME=" }, 1, "1 replica-1 h1;", true },
	{ { U(1), "REPLICA_1_NAME=012345678901234567890123456789012345678901234567" },
	  1,
	  "1 012345678901234567890123456789012345678901234567 h1;",
	  true },
	{ { NULL }, 0, "", true },
	/* names of others */
	{ { U(1), "REPLICA_COUNT=3", "REPLICA__URL=x", "REPLICA_1_URLS=x" },
	  1,
	  "1 replica-1 h1;",
	  true },
	{ { U(1), "REPLICA_1_URL_2=x", "REPLICA_X_URL=x", "REPLICA_-1_URL=x" },
	  1,
	  "1 replica-1 h1;",
	  true },
	/* missing */
	{ { NULL }, 1, "REPLICA_1_URL is not set: 1 replica is needed and 0 are there", false },
	{ { U(1) }, 2, "REPLICA_2_URL is not set: 2 replicas are needed and 1 is there", false },
	{ { U(2) }, 2, "REPLICA_1_URL is not set: 2 replicas are needed and 1 is there", false },
	{ { "REPLICA_1_NAME=x" }, 0, "REPLICA_1_NAME is set but REPLICA_1_URL is not", false },
	{ { U(1), "REPLICA_2_NAME=x", "REPLICA_2_URL=" }, 1, "REPLICA_2_NAME is set but", false },
	/* wrong */
	{ { "REPLICA_1_URL=u:SECRET@h" }, 1, "REPLICA_1_URL must be a PostgreSQL URI", false },
	{ { "REPLICA_0_URL=postgresql://h" },
	  0,
	  "REPLICA_0_URL: the number must be 1 or more",
	  false },
	{ { "REPLICA_01_URL=postgresql://u:SECRET@h" },
	  0,
	  "REPLICA_01_URL: the number must be",
	  false },
	{ { "REPLICA_1234567_URL=postgresql://h" },
	  0,
	  "REPLICA_1234567_URL: the number must be",
	  false },
	{ { U(1), "REPLICA_1_NAME=Big" }, 1, "REPLICA_1_NAME is \"Big\": it must be", false },
	{ { U(1), "REPLICA_1_NAME=-x" }, 1, "REPLICA_1_NAME is \"-x\": it must be", false },
	{ { U(1), "REPLICA_1_NAME=_x" }, 1, "REPLICA_1_NAME is \"_x\": it must be", false },
	{ { U(1), "REPLICA_1_NAME=a.b" }, 1, "REPLICA_1_NAME is \"a.b\": it must be", false },
	{ { U(1), "REPLICA_1_NAME=a b" }, 1, "REPLICA_1_NAME is \"a b\": it must be", false },
	{ { U(1), "REPLICA_1_NAME=é" }, 1, "REPLICA_1_NAME is \"é\": it must be", false },
	{ { U(1), "REPLICA_1_NAME=0123456789012345678901234567890123456789012345678" },
	  1,
	  "REPLICA_1_NAME is \"0123456789012345678901234567890123456789012345678\": it must be",
	  false },
	{ { U(1), "REPLICA_1_NAME=primary" },
	  1,
	  "REPLICA_1_NAME is \"primary\": that word means",
	  false },
	{ { U(1), U(2), "REPLICA_1_NAME=x", "REPLICA_2_NAME=x" },
	  1,
	  "REPLICA_1_NAME and REPLICA_2_NAME are both \"x\"",
	  false },
	{ { U(1), U(2), "REPLICA_1_NAME=replica-2" },
	  1,
	  "REPLICA_1_NAME and REPLICA_2_NAME are both \"replica-2\"",
	  false },
};

static void show_replicas(const void *arg)
{
	config_print(NULL, 0, NULL, arg, NULL);
}

static void test_replicas(void **state)
{
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(replicas); i++) {
		AUTO_STRBUF got = STRBUF_INIT;
		struct replica_settings r;
		struct err err;

		environment(replicas[i].env);
		bool good = config_load_replicas(&r, replicas[i].at_least, NULL, &err);
		if (good != replicas[i].good)
			fail_msg("row %zu (%s): %s", i, replicas[i].want,
				 good ? "was taken" : err.text);
		if (!good) {
			if (!strstr(err.text, replicas[i].want) || strstr(err.text, "SECRET"))
				fail_msg("row %zu: \"%s\" is not \"%s\"", i, err.text,
					 replicas[i].want);
			continue;
		}
		for (size_t k = 0; k < r.n; k++) {
			const char *host = strchr(r.replica[k].url, '@') + 1;

			strbuf_addf(&got, "%u %s %.*s;", r.replica[k].number, r.replica[k].name,
				    (int)strcspn(host, "/"), host);
		}
		if (strcmp(strbuf_str(&got), replicas[i].want) != 0)
			fail_msg("row %zu: got \"%s\", want \"%s\"", i, strbuf_str(&got),
				 replicas[i].want);

		char *shown = printed(show_replicas, &r);
		assert_null(strstr(shown, "SECRET"));
		if (r.n) {
			AUTO_STRBUF line = STRBUF_INIT;

			strbuf_addf(&line, "REPLICA_%u_NAME=%s\n", r.replica[0].number,
				    r.replica[0].name);
			assert_non_null(strstr(shown, strbuf_str(&line)));
			assert_non_null(strstr(shown, "_URL=postgresql://u@h"));
		}
		free(shown);
		config_free_replicas(&r);
		assert_int_equal(r.n, 0);
	}
}

static void test_replicas_most(void **state)
{
	struct replica_settings r;
	struct err err;
	(void)state;

	clearenv();
	for (int i = 1; i <= REPLICAS_MAX + 1; i++) {
		char name[32];

		snprintf(name, sizeof(name), "REPLICA_%d_URL", i);
		setenv(name, "postgresql://h/d", 1);
		if (i == REPLICAS_MAX) {
			assert_true(config_load_replicas(&r, 1, NULL, &err));
			assert_int_equal(r.n, REPLICAS_MAX);
			for (size_t k = 0; k < r.n; k++)
				assert_int_equal(r.replica[k].number, k + 1);
			config_free_replicas(&r);
		}
	}
	assert_false(config_load_replicas(&r, 1, NULL, &err));
	assert_non_null(strstr(err.text, "more than 64 replicas"));
}

static const struct {
	const char *env[8], *want; /* of both, or the error */
	bool good;
} standbys[] = {
	{ { "REPLICA_1_URL=postgresql://a/d" }, "", true },
	{ { "REPLICA_1_URL=postgresql://a/d", "STANDBY_3_URL=postgresql://b/d",
	    "STANDBY_1_URL=postgresql://c/d", "STANDBY_3_NAME=near" },
	  "1 standby-1;3 near;",
	  true },
	{ { "REPLICA_1_URL=postgresql://a/d", "REPLICA_1_NAME=standby-1",
	    "STANDBY_1_URL=postgresql://b/d" },
	  "REPLICA_1_NAME and STANDBY_1_NAME are both \"standby-1\"",
	  false },
	{ { "REPLICA_1_URL=postgresql://a/d", "STANDBY_1_URL=postgresql://b/d",
	    "STANDBY_2_URL=postgresql://c/d", "STANDBY_2_NAME=standby-1" },
	  "STANDBY_1_NAME and STANDBY_2_NAME are both",
	  false },
	{ { "REPLICA_1_URL=postgresql://a/d", "STANDBY_2_NAME=x" },
	  "STANDBY_2_NAME is set but STANDBY_2_URL is not",
	  false },
	{ { "REPLICA_1_URL=postgresql://a/d", "STANDBY_1_URL=postgresql://b/d",
	    "STANDBY_1_NAME=primary" },
	  "take another, such as standby-1",
	  false },
	{ { "STANDBY_1_URL=postgresql://b/d" }, "REPLICA_1_URL is not set", false },
};

static void test_standbys(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(standbys); i++) {
		struct replica_settings r, s;
		AUTO_STRBUF got = STRBUF_INIT;
		struct err err;

		environment(standbys[i].env);
		bool good = config_load_replicas(&r, 1, &s, &err);

		if (good != standbys[i].good)
			fail_msg("row %zu: %s", i, good ? "was taken" : err.text);
		if (!good) {
			if (!strstr(err.text, standbys[i].want))
				fail_msg("row %zu: \"%s\"", i, err.text);
			continue;
		}
		for (size_t k = 0; k < s.n; k++)
			strbuf_addf(&got, "%u %s;", s.replica[k].number, s.replica[k].name);
		assert_string_equal(strbuf_str(&got), standbys[i].want);
		config_free_replicas(&r);
		config_free_replicas(&s);
		/* A program that knows of none does not look at them. */
		assert_true(config_load_replicas(&r, 1, NULL, &err));
		config_free_replicas(&r);
	}
}

/* ---- .env ---- */

#define OLD "OLD=from the environment"

static const struct {
	const char *file;
	const char *name, *value; /* value NULL: not set. name NULL: the error has this part: */
	const char *error;
} files[] = {
	{ "A=b", "A", "b", NULL },
	{ "A=b\n", "A", "b", NULL },
	{ "A=b\r\nB=c\r\n", "A", "b", NULL },
	{ "A=b\r\nB=c\r\n", "B", "c", NULL },
	{ "\xef\xbb\xbf"
	  "A=b\n",
	  "A", "b", NULL },
	{ "", "A", NULL, NULL },
	{ "\n\n  \n\t\n# A=b\n  # A=c\n", "A", NULL, NULL },
	{ "export A=b", "A", "b", NULL },
	{ "  export \t A=b", "A", "b", NULL },
	{ "export=b", "export", "b", NULL },
	{ "exported=b", "exported", "b", NULL },
	{ "_a9=b", "_a9", "b", NULL },
	{ "A=", "A", "", NULL },
	{ "A=\nB=c", "A", "", NULL },
	{ "A= b c \t ", "A", "b c", NULL },
	{ "A=b # comment", "A", "b", NULL },
	{ "A= # comment", "A", "", NULL },
	{ "A=b#c", "A", "b#c", NULL },
	{ "A=#c", "A", "#c", NULL },
	{ "A=postgresql://u:p%40@h/d?x=y&z=$1", "A", "postgresql://u:p%40@h/d?x=y&z=$1", NULL },
	{ "A=b\\n\"c'", "A", "b\\n\"c'", NULL },
	{ "A='b # \"c\" \\n $d'", "A", "b # \"c\" \\n $d", NULL },
	{ "A='b' # comment", "A", "b", NULL },
	{ "A=''", "A", "", NULL },
	{ "A=\"b # 'c'\" # comment", "A", "b # 'c'", NULL },
	{ "A=\"b\\n\\r\\t\\\"\\\\\\$\\x\"", "A", "b\n\r\t\"\\$\\x", NULL },
	{ "A=\" b \"  ", "A", " b ", NULL },
	{ "A=b\nA=c", "A", "c", NULL }, /* the last line counts */
	{ "OLD=new", "OLD", "from the environment", NULL },
	{ "OLD=new\nOLD=newer\nA=b", "OLD", "from the environment", NULL },
	{ "OLD=new\nOLD=newer\nA=b", "A", "b", NULL },
	{ "EMPTY=new", "EMPTY", "", NULL }, /* set to nothing is set */
	/* refused, and then nothing of the file counts */
	{ "A=b\nSECRET", NULL, NULL, ".env, line 2: \"=\" must follow directly on the name" },
	{ "A=b\n\n\nB SECRET", NULL, NULL, ".env, line 4: \"=\" must follow" },
	{ "A =SECRET", NULL, NULL, ".env, line 1: \"=\" must follow" },
	{ "export A", NULL, NULL, ".env, line 1: \"=\" must follow" },
	{ "=SECRET", NULL, NULL, ".env, line 1: this is neither NAME=value nor a comment" },
	{ "9A=SECRET", NULL, NULL, ".env, line 1: this is neither" },
	{ "A-B=SECRET", NULL, NULL, ".env, line 1: \"=\" must follow" },
	{ "'A'=SECRET", NULL, NULL, ".env, line 1: this is neither" },
	{ "A=b\nB='SECRET", NULL, NULL, ".env, line 2: the quote is not closed" },
	{ "A=b\nB=\"SECRET\\\"\n", NULL, NULL, ".env, line 2: the quote is not closed" },
	{ "A=b\nB=\"SECRET\\", NULL, NULL, ".env, line 2: the quote is not closed" },
	{ "A='SEC'RET", NULL, NULL, ".env, line 1: something follows on the closing quote" },
	{ "A='SEC' RET", NULL, NULL, ".env, line 1: something follows on the closing quote" },
	{ "A='SEC'#RET", NULL, NULL, ".env, line 1: something follows on the closing quote" },
};

static char folder[] = "/tmp/pgfanout-test-config-XXXXXX";
static char path[sizeof(folder) + 8];

static void write_file(const char *text, size_t len)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	fclose(f);
}

static void test_env_file(void **state)
{
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		struct err err = { .text = "" };

		environment((const char *const[]){ OLD, "EMPTY=", NULL });
		write_file(files[i].file, strlen(files[i].file));
		bool good = config_load_env_file(path, &err);
		if (good != !files[i].error)
			fail_msg("row %zu: %s", i, good ? "was taken" : err.text);
		if (!good) {
			if (!strstr(err.text, files[i].error) || strstr(err.text, "SEC"))
				fail_msg("row %zu: \"%s\" is not \"%s\"", i, err.text,
					 files[i].error);
			if (getenv("A") || getenv("B"))
				fail_msg("row %zu: refused, and yet something was set", i);
			continue;
		}
		const char *got = getenv(files[i].name);
		const char *want = files[i].value;
		if (!got != !want || (got && strcmp(got, want) != 0))
			fail_msg("row %zu: %s is \"%s\", want \"%s\"", i, files[i].name,
				 got ? got : "not set", want ? want : "not set");
	}
}

static void test_env_file_itself(void **state)
{
	struct err err;
	char elsewhere[sizeof(folder) + 16];
	(void)state;

	environment((const char *const[]){ OLD, NULL });
	unlink(path);
	assert_true(config_load_env_file(path, &err)); /* there need not be one */

	snprintf(elsewhere, sizeof(elsewhere), "%s/no/.env", folder);
	assert_true(config_load_env_file(elsewhere, &err));

	assert_false(config_load_env_file(folder, &err));
	assert_non_null(strstr(err.text, "it must be a plain file"));
	assert_non_null(strstr(err.text, folder));

	write_file("A=b\0c\n", 6);
	assert_false(config_load_env_file(path, &err));
	assert_non_null(strstr(err.text, "line 1: there is a NUL byte"));

	/* A long file of short lines, just below and just above what is read. */
	AUTO_STRBUF text = STRBUF_INIT;
	while (text.len < 1024 * 1024 - 16)
		strbuf_addstr(&text, "# 3456789 12345\n");
	strbuf_addstr(&text, "LAST=here\n");
	write_file(text.data, text.len);
	assert_true(config_load_env_file(path, &err));
	assert_string_equal(getenv("LAST"), "here");
	strbuf_addstr(&text, "# 3456789 12345\n");
	write_file(text.data, text.len);
	assert_false(config_load_env_file(path, &err));
	assert_non_null(strstr(err.text, "longer than"));

	if (geteuid() != 0) { /* root reads everything */
		chmod(path, 0);
		assert_false(config_load_env_file(path, &err));
		assert_non_null(strstr(err.text, "make it readable or remove it"));
	}
	unlink(path);
}

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/.env", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_replicas),
		cmocka_unit_test(test_replicas_most),
		cmocka_unit_test(test_standbys),
		cmocka_unit_test(test_env_file),
		cmocka_unit_test(test_env_file_itself),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
