/* test_uri.c: what of a connection string is shown. Companions: common/base/uri.c, common/base/strbuf.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/base/base.h"
#include "common/base/uri.h"

#define HIDDEN "(hidden)"

static const struct {
	const char *in, *out;
} rows[] = {
	{ "", "" },
	{ "postgresql://user:secret@host:5432/products", "postgresql://user@host:5432/products" },
	{ "postgres://user:secret@host/products", "postgres://user@host/products" },
	{ "postgresql://user@host:5432/products", "postgresql://user@host:5432/products" },
	{ "postgresql://host/products", "postgresql://host/products" },
	{ "postgresql://", "postgresql://" },
	{ "postgresql:///products", "postgresql:///products" },
	{ "postgresql://user:secret@/products?host=/run/postgresql",
	  "postgresql://user@/products" },
	{ "postgresql://user:@host/products", "postgresql://user@host/products" },
	{ "postgresql://:secret@host/products", "postgresql://@host/products" },
	{ "postgresql://us%40er:se%40cret@host/products", "postgresql://us%40er@host/products" },
	{ "postgresql://user:secret@[::1]:5432/products", "postgresql://user@[::1]:5432/products" },
	{ "postgresql://user:secret@%2Frun%2Fpostgresql/products",
	  "postgresql://user@%2Frun%2Fpostgresql/products" },
	/* queries may hold passwords */
	{ "postgresql://host/products?user=user&password=secret", "postgresql://host/products" },
	{ "postgresql://user:secret@host/products?sslmode=require&sslpassword=secret",
	  "postgresql://user@host/products" },
	{ "postgresql://host?password=secret", "postgresql://host" },
	/* several hosts, several URIs */
	{ "postgresql://user:secret@one:5432,two:5433,[::1]/products",
	  "postgresql://user@one:5432,two:5433,[::1]/products" },
	{ "amqp://user:secret@host:5672/", "amqp://user@host:5672/" },
	{ "amqps://user:secret@host:5671/%2F", "amqps://user@host:5671/%2F" },
	{ "amqp://user:secret@one,amqp://user:secret@two:5672/vhost",
	  "amqp://user@one,amqp://user@two:5672/vhost" },
	{ "amqp://user:secret@one/, amqps://user:secret@two/",
	  "amqp://user@one/,amqps://user@two/" },
	{ "amqp://user:secret@one/?heartbeat=5,amqp://user:secret@two/",
	  "amqp://user@one/,amqp://user@two/" },
	/* passwords that should have been percent-encoded */
	{ "postgresql://user:sec@ret@host/products", "postgresql://user@host/products" },
	{ "postgresql://user:sec:ret@host/products", "postgresql://user@host/products" },
	{ "postgresql://user:sec,ret@host/products", "postgresql://user@host/products" },
	{ "postgresql://user:sec/ret@host/products", HIDDEN },
	{ "postgresql://user:sec?ret@host/products", HIDDEN },
	{ "postgresql://user:123?ret@host/products", HIDDEN },
	{ "postgresql://user:sec#ret@host/products", HIDDEN },
	{ "postgresql://user:sec@a/ret@host/products", HIDDEN },
	{ "postgresql://user:sec@a?ret@host/products", HIDDEN },
	{ "postgresql://user:secret", HIDDEN }, /* a port has digits */
	{ "postgresql://user:123456", HIDDEN }, /* and five of them at most */
	{ "amqp://user:secret@one,amqp://user:secret", HIDDEN },
	{ "amqp://user:sec,amqp2://ret@host/", HIDDEN },
	{ "amqp://user:secret@one,user:secret@two", "amqp://user@two" },
	/* nothing that could move a terminal or break a log line */
	{ "postgresql://user:secret@ho st/products", HIDDEN },
	{ "postgresql://user:secret@host/pro ducts", HIDDEN },
	{ "postgresql://us er:secret@host/products", HIDDEN },
	{ "postgresql://user:secret@host/\x1b[2J", HIDDEN },
	/* keyword strings */
	{ "host=one port=5432 dbname=products user=user password=secret",
	  "host=one port=5432 dbname=products user=user" },
	{ "password=secret host=one", "host=one" },
	{ "password='sec ret' host=one", "host=one" },
	{ "password='sec\\' host=secret' host=one", "host=one" },
	{ "password=sec\\ host=secret host=one", "host=one" },
	{ "  host = one  password = secret ", "host=one" },
	{ "host=/run/postgresql dbname=products sslpassword=secret passfile=/x",
	  "host=/run/postgresql dbname=products" },
	{ "host='' dbname=products", "host='' dbname=products" },
	{ "hostaddr=::1 user=me@cloud", "hostaddr=::1 user=me@cloud" },
	{ "service=products password=secret", "service=products" },
	{ "host='one' user='my user' password='sec ret'", "host=one user='my user'" },
	{ "host=one user=me\\ too dbname='it\\'s' password=sec\\ ret",
	  "host=one user='me too' dbname='it\\'s'" },
	{ "host=one user='m\xc3\xbcller'", "host=one user='m\xc3\xbcller'" },
	{ "host=one user='\xc2\x9b'", HIDDEN },
	{ "host=one user='me password=secret'", HIDDEN },
	{ "password=secret", HIDDEN },
	{ "password=sec ret host=one", HIDDEN },
	{ "host=one password='secret", HIDDEN },
	{ "host='one'password=secret", HIDDEN },
	{ "dbname='postgresql://user:secret@host/products'", HIDDEN },
	{ "dbname='password=secret'", HIDDEN },
	{ "host=one password", HIDDEN },
	/* not a connection string at all */
	{ "secret", HIDDEN },
	{ "c2VjcmV0==", HIDDEN },
	{ "secret word", HIDDEN },
	{ "://user:secret@host", HIDDEN },
	{ "=secret", HIDDEN },
};

static void test_rows(void **state)
{
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char out[256];

		uri_scrub(rows[i].in, out, sizeof(out));
		if (strcmp(out, rows[i].out) != 0)
			fail_msg("\"%s\": got \"%s\", want \"%s\"", rows[i].in, out, rows[i].out);
		if (strstr(out, "secret") || strstr(out, "sec") || strstr(out, "ret@"))
			fail_msg("\"%s\": \"%s\" shows the password", rows[i].in, out);
	}
}

/* Whatever bytes a password has: not one run of three of its letters is seen. */
static void test_every_byte(void **state)
{
	(void)state;

	for (int a = 1; a < 256; a++) {
		for (int b = 1; b < 256; b++) {
			char in[] = "postgresql://user:QQQ_QQQ_QQQ@host:5432/products";
			char out[256];

			in[21] = (char)a;
			in[25] = (char)b;
			uri_scrub(in, out, sizeof(out));
			if (strstr(out, "QQQ"))
				fail_msg("\"%s\": \"%s\" shows the password", in, out);
		}
	}
}

static void test_small(void **state)
{
	const char *in = "postgresql://user:secret@host:5432/products";
	const char *want = "postgresql://user@host:5432/products";
	(void)state;

	for (size_t size = 1; size < 60; size++) {
		char out[64];

		memset(out, 'x', sizeof(out));
		uri_scrub(in, out, size);
		size_t len = min_size(size - 1, strlen(want));
		if (strlen(out) != len || memcmp(out, want, len) != 0 || out[size] != 'x')
			fail_msg("size %zu: got \"%s\"", size, out);
	}
	char none = 'x';
	uri_scrub(in, &none, 0);
	assert_int_equal(none, 'x');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
