/*
 * test_db_pipeline.c: units on a pipelined connection, against a server that is a script: each is answered once, in order, and with DB_OK
 * only after its Sync. Companions: common/pg/db*.c and libpq itself.
 *
 * The server speaks so much of PostgreSQL's protocol as these tests need. A thread plays it until db_open() is through; then the test
 * does, a message at a time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/pg/db.h"

#define WAIT_MS 10000

/* ---- the server ---- */

static void message(int fd, char type, const char *body, size_t len)
{
	char text[256] = { type };
	uint32_t be = htonl((uint32_t)len + 4);

	if (len > sizeof(text) - 5)
		abort();
	memcpy(text + 1, &be, sizeof(be));
	memcpy(text + 5, body, len);
	if (send(fd, text, 5 + len, MSG_NOSIGNAL) != (ssize_t)len + 5)
		abort();
}

static void error_message(int fd, const char *severity, const char *sqlstate)
{
	char body[128];
	int n = snprintf(body, sizeof(body), "S%s%cV%s%cC%s%cMwords of the server%c", severity, 0,
			 severity, 0, sqlstate, 0, 0);

	message(fd, 'E', body, (size_t)n + 1);
}

/* One character of a script. */
static void say(int *fd, char what)
{
	char waste[4096];

	switch (what) {
	case '1': /* parsed */
	case '2': /* bound */
	case 'n': /* no columns */
		message(*fd, what, "", 0);
		break;
	case 'C': /* done */
		message(*fd, 'C', "UPDATE 1", sizeof("UPDATE 1"));
		break;
	case 'T': /* one column, a text */
		message(*fd, 'T',
			"\0\1"
			"v\0"
			"\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0",
			22);
		break;
	case 'D': /* its value */
		message(*fd, 'D',
			"\0\1\0\0\0\2"
			"42",
			8);
		break;
	case 'Z': /* the Sync's answer */
		message(*fd, 'Z', "I", 1);
		break;
	case 'r':
		error_message(*fd, "ERROR", "23505");
		break;
	case 's':
		error_message(*fd, "ERROR", "40001");
		break;
	case 'd':
		error_message(*fd, "ERROR", "26000");
		break;
	case 'f':
		error_message(*fd, "FATAL", "57P05");
		break;
	case 'x': /* gone; with bytes unread it would be a reset, which takes back what was said */
		while (recv(*fd, waste, sizeof(waste), MSG_DONTWAIT) > 0)
			;
		close(*fd);
		*fd = -1;
		break;
	default:
		abort();
	}
}

static void receive(int fd, char *data, size_t len)
{
	if (len > 0 && recv(fd, data, len, MSG_WAITALL) != (ssize_t)len)
		abort();
}

/* Reads a message's length and body. */
static void receive_body(int fd)
{
	char body[4096];
	uint32_t be;

	receive(fd, (char *)&be, sizeof(be));
	if (ntohl(be) < 4 || ntohl(be) - 4 > sizeof(body))
		abort();
	receive(fd, body, ntohl(be) - 4);
}

/* The login, the session's first words, and the statements: up to the second Sync. */
static void *welcome(void *arg)
{
	static const char version[] = "server_version\0"
				      "15.0";
	static const char types[] = "PBDES", answers[] = "12nCZ";
	int *listening = arg;
	int fd = accept(*listening, NULL, NULL);

	int one = 1;

	close(*listening);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	receive_body(fd);
	message(fd, 'R', "\0\0\0", 4);
	message(fd, 'S', version, sizeof(version));
	say(&fd, 'Z');
	for (int syncs = 0; syncs < 2;) {
		char type;

		receive(fd, &type, 1);
		receive_body(fd);
		const char *at = strchr(types, type);
		if (!at)
			abort();
		say(&fd, answers[at - types]);
		syncs += type == 'S';
	}
	*listening = fd;
	return NULL;
}

static const struct db_statement statements[] = { { "one", "UPDATE", 1, NULL },
						  { "then", "SELECT", 0, NULL } };

static struct db *open_db(int *ret_server)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct db_options opt = { .application_name = "test" };
	socklen_t len = sizeof(at);
	pthread_t thread;
	struct err err;
	char uri[128];

	*ret_server = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(*ret_server, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(*ret_server, 1), 0);
	assert_int_equal(getsockname(*ret_server, (struct sockaddr *)&at, &len), 0);
	assert_int_equal(pthread_create(&thread, NULL, welcome, ret_server), 0);
	snprintf(uri, sizeof(uri),
		 "postgresql://user@127.0.0.1:%d/products?sslmode=disable&gssencmode=disable",
		 ntohs(at.sin_port));
	struct db *db = db_open(uri, &opt, statements, ARRAY_SIZE(statements), &err);
	if (!db)
		fail_msg("%s", err.text);
	pthread_join(thread, NULL);
	return db;
}

/* ---- units ---- */

#define UNITS 3

struct seen {
	struct db *db;
	size_t number;
	size_t *answered; /* of all */
	int calls;
	enum db_outcome outcome;
	struct err err;
	struct seen *next; /* to be sent by the callback */
};

static void on_answer(void *arg, enum db_outcome outcome, const struct pg_result *r,
		      const struct err *err);

static void send_unit(struct seen *s, struct mono deadline)
{
	const struct db_param param = DB_TEXT("7");
	int before = s->calls;
	struct err err;

	assert_true(db_send(s->db, 0, &param, false, deadline, on_answer, s, &err));
	assert_int_equal(s->calls, before);
}

static void on_answer(void *arg, enum db_outcome outcome, const struct pg_result *r,
		      const struct err *err)
{
	struct seen *s = arg;

	assert_int_equal(s->number, *s->answered);
	assert_true((r != NULL) == (outcome == DB_OK));
	assert_true((err->text[0] != '\0') == (outcome != DB_OK));
	(*s->answered)++;
	s->calls++;
	s->outcome = outcome;
	s->err = *err;
	if (s->next)
		send_unit(s->next, MONO_NEVER);
}

static void units_init(struct seen *units, struct db *db, size_t *answered)
{
	*answered = 0;
	for (size_t i = 0; i < UNITS; i++)
		units[i] = (struct seen){ .db = db, .number = i, .answered = answered };
}

/* Says it, and lets the connection see it. */
static void say_and_read(int *server, char what, struct db *db)
{
	struct pollfd fd = { .fd = db_fd(db), .events = POLLIN };

	say(server, what);
	assert_int_equal(poll(&fd, 1, WAIT_MS), 1);
	db_io(db);
}

static void check(const struct seen *units, const char *expected, const char *name)
{
	for (size_t i = 0; i < UNITS; i++) {
		static const char letters[] = "otrl";
		static const enum db_outcome outcomes[] = { DB_OK, DB_RETRY, DB_REFUSED, DB_LOST };
		bool answered = expected[i] != '.';

		if (units[i].calls != answered)
			fail_msg("%s: unit %zu was answered %d times", name, i, units[i].calls);
		if (answered &&
		    units[i].outcome != outcomes[strchr(letters, expected[i]) - letters])
			fail_msg("%s: unit %zu is %s", name, i, db_outcome_name(units[i].outcome));
	}
}

static void test_scripts(void **state)
{
	static const struct {
		const char *name, *script, *outcomes;
		bool alive;
	} rows[] = {
		{ "all are committed", "2nCZ2nCZ2nCZ", "ooo", true },
		{ "a result before its Sync", "2nC", "...", true },
		{ "one is refused, those behind it are not", "2nCZ2rZ2nCZ", "oro", true },
		{ "refused at once", "rZrZrZ", "rrr", true },
		{ "an error at the commit", "2nCsZ2nCZ2nCZ", "too", true },
		{ "the end after a result without its Sync", "2nCZ2nCx", "oll", false },
		{ "the end", "x", "lll", false },
		{ "the end is told before", "2fx", "lll", false },
		{ "… behind a result", "2nCfx", "lll", false },
		{ "the session has lost its statements", "dZ", "tll", false },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct seen units[UNITS];
		size_t answered;
		int server;
		struct db *db = open_db(&server);

		units_init(units, db, &answered);
		for (size_t k = 0; k < UNITS; k++)
			send_unit(&units[k], MONO_NEVER);
		assert_int_equal(db_in_flight(db), UNITS);
		for (const char *c = rows[i].script; *c; c++) {
			size_t before = answered;

			say_and_read(&server, *c, db);
			if (*c != 'Z' && *c != 'x' && *c != 'f' && answered != before)
				fail_msg("%s: answered before its Sync", rows[i].name);
		}
		check(units, rows[i].outcomes, rows[i].name);
		assert_int_equal(db_in_flight(db), UNITS - answered);
		if (db_alive(db) != rows[i].alive)
			fail_msg("%s: alive or not", rows[i].name);
		if (strchr(rows[i].script, 'f') &&
		    !strstr(units[0].err.text, "words of the server"))
			fail_msg("%s: \"%s\"", rows[i].name, units[0].err.text);

		/* Whatever is left is answered by the end, and nothing twice. */
		db_close(db);
		assert_int_equal(answered, UNITS);
		for (size_t k = 0; k < UNITS; k++) {
			assert_int_equal(units[k].calls, 1);
			if (rows[i].outcomes[k] == '.')
				assert_int_equal(units[k].outcome, DB_LOST);
		}
		if (server >= 0)
			close(server);
	}
}

struct told {
	int calls;
	enum db_outcome outcome;
	char then[16];
	struct db *db;
};

static void on_told(void *arg, enum db_outcome outcome, const struct pg_result *r,
		    const struct err *err)
{
	struct told *t = arg;

	assert_true((r != NULL) == (outcome == DB_OK));
	assert_true((err->text[0] != '\0') == (outcome != DB_OK));
	t->calls++;
	t->outcome = outcome;
	snprintf(t->then, sizeof(t->then), "%s", db_then(t->db));
}

/* What is asked after a unit takes nothing back of what is known of it. */
static void test_then(void **state)
{
	static const struct {
		const char *name, *script;
		enum db_outcome outcomes[2];
		const char *then[2];
		bool alive;
	} rows[] = {
		{ "both are answered",
		  "2nCZ2TDCZ2nCZ2TDCZ",
		  { DB_OK, DB_OK },
		  { "42", "42" },
		  true },
		{ "that has no answer", "2nCZrZ2nCZ2TDCZ", { DB_OK, DB_OK }, { "", "42" }, true },
		{ "of a unit that was refused",
		  "2rZ2TDCZ2nCZ2TDCZ",
		  { DB_REFUSED, DB_OK },
		  { "42", "42" },
		  true },
		{ "the end between the two", "2nCZx", { DB_OK, DB_LOST }, { "", "" }, false },
		{ "the end in its answer", "2nCZ2TDx", { DB_OK, DB_LOST }, { "", "" }, false },
		{ "the end is told between the two",
		  "2nCZfx",
		  { DB_OK, DB_LOST },
		  { "", "" },
		  false },
		{ "the end before it", "2nCx", { DB_LOST, DB_LOST }, { "", "" }, false },
		{ "the end between the two, of one that was refused",
		  "rZx",
		  { DB_REFUSED, DB_LOST },
		  { "", "" },
		  false },
		{ "the session has lost its statements",
		  "2nCZdZ",
		  { DB_OK, DB_LOST },
		  { "", "" },
		  false },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct db_param param = DB_TEXT("7");
		struct told told[2];
		struct err err;
		int server;
		struct db *db = open_db(&server);

		for (size_t k = 0; k < 2; k++) {
			told[k] = (struct told){ .db = db };
			assert_true(db_send_then(db, 0, &param, false, 1, MONO_NEVER, on_told,
						 &told[k], &err));
		}
		for (const char *c = rows[i].script; *c; c++)
			say_and_read(&server, *c, db);
		if (db_alive(db) != rows[i].alive)
			fail_msg("%s: alive or not", rows[i].name);
		db_tick(db, mono_now());
		for (size_t k = 0; k < 2; k++)
			if (told[k].calls != 1 || told[k].outcome != rows[i].outcomes[k] ||
			    strcmp(told[k].then, rows[i].then[k]) != 0)
				fail_msg("%s: unit %zu: %d calls, %s, \"%s\"", rows[i].name, k,
					 told[k].calls, db_outcome_name(told[k].outcome),
					 told[k].then);
		db_close(db);
		if (server >= 0)
			close(server);
	}
}

/* Who is in front must be answered by the time of whoever is behind. */
static void test_deadlines(void **state)
{
	struct seen units[UNITS];
	size_t answered;
	int server;
	struct db *db = open_db(&server);
	struct mono now = mono_now();
	struct mono soon = mono_add_ms(now, 1000), later = mono_add_ms(now, 5000);

	(void)state;
	units_init(units, db, &answered);
	assert_int_equal(db_next_deadline(db).us, INT64_MAX);
	send_unit(&units[0], MONO_NEVER);
	assert_int_equal(db_next_deadline(db).us, INT64_MAX);
	send_unit(&units[1], later);
	assert_int_equal(db_next_deadline(db).us, later.us);
	send_unit(&units[2], soon);
	assert_int_equal(db_next_deadline(db).us, soon.us);
	for (const char *c = "2nCZ"; *c; c++)
		say_and_read(&server, *c, db);
	db_tick(db, now);
	check(units, "o..", "before the deadline");
	assert_int_equal(db_next_deadline(db).us, soon.us);
	db_tick(db, soon);
	check(units, "oll", "at the deadline");
	assert_false(db_alive(db));

	struct err err;
	const struct db_param param = DB_TEXT(NULL);
	assert_false(db_send(db, 0, &param, false, later, on_answer, &units[0], &err));
	assert_string_equal(err.text, "the database did not answer in time");
	db_close(db);
	assert_int_equal(answered, UNITS);
	close(server);
}

static void test_a_callback_sends(void **state)
{
	struct seen units[UNITS];
	size_t answered;
	int server;
	struct db *db = open_db(&server);

	(void)state;
	units_init(units, db, &answered);
	units[0].next = &units[1];
	units[1].next = &units[2];
	send_unit(&units[0], MONO_NEVER);
	for (const char *c = "2nCZrZ2nCZ"; *c; c++)
		say_and_read(&server, *c, db);
	check(units, "oro", "one after another");
	assert_int_equal(db_in_flight(db), 0);
	assert_true(db_alive(db));
	db_close(db);
	close(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scripts),
		cmocka_unit_test(test_then),
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_a_callback_sends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
