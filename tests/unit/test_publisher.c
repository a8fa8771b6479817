/*
 * The publisher against a broker that is an array: which changes share a message, and the law that
 * a key comes back once, and only if its message was confirmed.
 *
 * The two calls of common/amqp/amqp.h that it makes, and the routing keys, are played here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/relay/publisher.h"
#include "common/wire/topology.h"
#include "tests/unit/products_stream_for_tests.h"

/* ---- the broker ---- */

#define SENT_MAX  20000
#define ANNOUNCED 3 /* announcer_term() */

static struct {
	char key[32], xids[128];
	size_t changes, len;
	uint64_t number;
	int64_t shape, inserted;
	bool array;
	size_t large; /* changes that say they are */
} sent[SENT_MAX];
#define LSN INT64_C(0x1234567890ab)
static size_t nsent, link_base; /* message no of this link is sent[link_base + no - 1] */
static bool full, broken;

bool amqp_can_publish(const struct amqp_link *l, size_t bytes)
{
	(void)l;
	(void)bytes;
	return !full;
}

bool amqp_send(struct amqp_link *l, const struct amqp_publish *p, uint64_t *ret_no, struct err *err)
{
	(void)l;
	if (broken)
		return err_set(err, "broken");
	assert_true(nsent < SENT_MAX);
	if (*p->exchange) {
		assert_string_equal(p->exchange, "products");
	} else { /* by name: "sync.r1" */
		const char *kind = p->type + strlen("products.");
		assert_true(strncmp(p->routing_key, kind, strlen(kind)) == 0);
	}
	assert_true(strcmp(p->type, "products.sync") == 0 ||
		    strcmp(p->type, "products.delete") == 0 ||
		    strcmp(p->type, "products.truncate") == 0);
	assert_int_equal(p->nheaders, 8);
	assert_string_equal(p->headers[0].key, "x-xid");
	assert_string_equal(p->headers[1].key, "x-source");
	assert_string_equal(p->headers[1].str, "the source");
	assert_string_equal(p->headers[2].key, "x-term");
	assert_int_equal(p->headers[2].num, 77);
	assert_string_equal(p->headers[3].key, "x-number");
	sent[nsent].number = (uint64_t)p->headers[3].num;
	assert_string_equal(p->headers[4].key, "x-shape");
	sent[nsent].shape = p->headers[4].num;
	assert_string_equal(p->headers[5].key, "x-inserted");
	sent[nsent].inserted = p->headers[5].num;
	assert_string_equal(p->headers[6].key, "x-cut");
	assert_string_equal(p->headers[6].str, "77:5");
	assert_string_equal(p->headers[7].key, "x-lsn");
	assert_int_equal(p->headers[7].num, LSN);
	AUTO_FREE char *body = xstrndup(p->body, p->len);
	sent[nsent].changes = 0;
	sent[nsent].len = p->len;
	sent[nsent].large = 0;
	for (const char *c = body; (c = strstr(c, "too large")) != NULL; c++)
		sent[nsent].large++;
	for (const char *c = body; (c = strstr(c, "\"version\":")) != NULL; c++)
		sent[nsent].changes++;
	sent[nsent].array = body[0] == '[' && body[p->len - 1] == ']';
	assert_true(sent[nsent].array || (body[0] == '{' && body[p->len - 1] == '}'));
	snprintf(sent[nsent].key, sizeof(sent[nsent].key), "%s", p->routing_key);
	snprintf(sent[nsent].xids, sizeof(sent[nsent].xids), "%s", p->headers[0].str);
	*ret_no = ++nsent - link_base;
	return true;
}

static void new_link(void)
{
	link_base = nsent;
}

static struct shape_route *route, *other_route;

static int setup(void **state)
{
	(void)state;
	nsent = link_base = 0;
	full = broken = false;
	return 0;
}

/* ---- helpers ---- */

static const char source[] = "the source";
static int64_t last_version;

static void fill(struct outbox_chunk *c, size_t syncs, size_t deletes, bool begins, bool ends)
{
	c->n = 0;
	c->cut = 5;
	c->lsn = LSN;
	if (c->cap < syncs + deletes) {
		c->cap = syncs + deletes;
		c->rows = xreallocarray(c->rows, c->cap, sizeof(*c->rows));
	}
	strbuf_reset(&c->bodies);
	strbuf_add(&c->bodies, "\0\0\0\1", 4); /* {"id":1 */
	for (size_t i = 0; i < syncs + deletes; i++) {
		last_version++;
		c->rows[c->n++] = (struct outbox_row){ .route = route,
						       .source = source,
						       .kind = i < syncs ? CHANGE_SYNC
									 : CHANGE_DELETE,
						       .version = last_version,
						       .xid = (uint64_t)(700 + last_version / 3),
						       .body_len = c->bodies.len };
	}
	c->sweep_begins = begins;
	c->sweep_ends = ends;
}

static void add(struct publisher *p, size_t syncs, size_t deletes, bool whole_sweep)
{
	struct outbox_chunk *c = publisher_chunk(p);

	assert_non_null(c);
	fill(c, syncs, deletes, whole_sweep, whole_sweep);
	publisher_add(p, c, true);
}

static enum publisher_run run(struct publisher *p)
{
	struct err err;

	return publisher_run(p, NULL, 77, ANNOUNCED, &err);
}

/* How many keys were confirmed; none may have been seen before. */
static size_t take_keys(struct publisher *p, bool *seen, size_t nseen)
{
	const struct outbox_key *keys;
	size_t total = 0, n;

	while ((n = publisher_confirmed(p, 7, &keys)) > 0) {
		for (size_t i = 0; i < n; i++) {
			assert_true(keys[i].version >= 1 && (size_t)keys[i].version <= nseen);
			assert_false(seen[keys[i].version - 1]);
			assert_int_equal(keys[i].xid, 700 + keys[i].version / 3);
			seen[keys[i].version - 1] = true;
		}
		total += n;
	}
	assert_int_equal(publisher_confirmed_count(p), 0);
	return total;
}

/* The first message after a drop goes alone: this one is sent and confirmed. */
static struct publisher *trusting(size_t chunks, size_t changes_max)
{
	struct publisher *p = publisher_new(&stream, chunks, changes_max);
	bool seen[1] = { false };

	last_version = 0;
	add(p, 1, 0, true);
	assert_int_equal(run(p), PUBLISHER_IDLE);
	publisher_settled(p, 1, AMQP_CONFIRMED);
	assert_int_equal(take_keys(p, seen, 1), 1);
	return p;
}

/* Records of others are forgotten with the changes, in the order in which they may be. */
static void test_other_records_are_forgotten_too(void **state)
{
	struct publisher *p = trusting(2, 5);
	const struct outbox_key *keys;

	(void)state;
	publisher_also_confirmed(p, (struct outbox_key){ 1000, 1 });
	add(p, 9, 0, true);
	assert_int_equal(run(p), PUBLISHER_IDLE);
	assert_int_equal(publisher_confirmed_count(p), 1);
	publisher_settled(p, 2, AMQP_CONFIRMED);
	publisher_also_confirmed(p, (struct outbox_key){ 1001, 1 });
	assert_int_equal(publisher_confirmed(p, 100, &keys), 7);
	assert_int_equal(keys[0].xid, 1000);
	assert_int_equal(keys[1].version, 2);
	assert_int_equal(keys[6].xid, 1001);
	/* It counts as no message; a drop forgets it. */
	assert_int_equal(publisher_confirmed_messages(p)[CHANGE_SYNC], 2);
	publisher_also_confirmed(p, (struct outbox_key){ 1002, 1 });
	publisher_drop(p, false);
	assert_int_equal(publisher_confirmed_count(p), 0);
	publisher_free(p);
}

/* ---- what shares a message ---- */

static void test_what_a_message_holds(void **state)
{
	static const struct {
		size_t changes_max, syncs, deletes;
		bool whole_sweep;
		const char *messages; /* kind and number of changes; lone ones are no arrays */
	} rows[] = {
		{ 5, 1, 0, true, "s" },
		{ 5, 0, 1, true, "d" },
		{ 5, 2, 1, true, "s s d" },
		{ 5, 5, 3, true, "s s s s s d d d" },
		{ 5, 6, 3, true, "s5 s d3" },
		{ 5, 2, 1, false, "s2 d" },
		{ 5, 12, 0, true, "s5 s5 s2" },
		{ 5, 0, 11, true, "d5 d5 d" },
		{ 1, 6, 4, true, "s s s s s s d d d d" },
		{ 200, 9, 0, true, "s9" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char shown[200] = "";

		setup(state);
		struct publisher *p = trusting(2, rows[i].changes_max);
		add(p, rows[i].syncs, rows[i].deletes, rows[i].whole_sweep);
		assert_int_equal(run(p), PUBLISHER_IDLE);
		for (size_t m = 1; m < nsent; m++) {
			size_t at = strlen(shown);
			assert_int_equal(sent[m].array, sent[m].changes > 1);
			snprintf(shown + at, sizeof(shown) - at, sent[m].array ? "%s%c%zu" : "%s%c",
				 at ? " " : "", sent[m].key[0], sent[m].changes);
		}
		if (strcmp(shown, rows[i].messages) != 0)
			print_error("row %zu\n", i);
		assert_string_equal(shown, rows[i].messages);
		publisher_free(p);
	}
}

/* Of one shape and one kind, and how many of its changes were inserts. */
static void test_shapes_do_not_share_a_message(void **state)
{
	static const struct {
		bool other, inserted;
		enum change_kind kind;
	} rows[] = {
		{ false, true, CHANGE_SYNC },	{ false, false, CHANGE_SYNC },
		{ false, true, CHANGE_SYNC },	{ false, false, CHANGE_DELETE },
		{ true, false, CHANGE_SYNC },	{ true, true, CHANGE_DELETE },
		{ true, false, CHANGE_DELETE }, { false, true, CHANGE_DELETE },
	};
	char shown[200] = "";
	(void)state;

	struct publisher *p = trusting(2, 200);
	struct outbox_chunk *c = publisher_chunk(p);
	fill(c, ARRAY_SIZE(rows), 0, false, false);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		c->rows[i].route = rows[i].other ? other_route : route;
		c->rows[i].kind = rows[i].kind;
		c->rows[i].inserted = rows[i].inserted;
	}
	publisher_add(p, c, true);
	assert_int_equal(run(p), PUBLISHER_IDLE);
	for (size_t m = 1; m < nsent; m++) {
		size_t at = strlen(shown);
		snprintf(shown + at, sizeof(shown) - at, "%s%s %zu of %d, %d new", at ? "; " : "",
			 sent[m].key, sent[m].changes, (int)sent[m].shape, (int)sent[m].inserted);
	}
	assert_string_equal(
		shown, "sync 3 of 1, 2 new; delete 1 of 1, 0 new; "
		       "s.t.sync 1 of 5, 0 new; s.t.delete 2 of 5, 1 new; delete 1 of 1, 1 new");
	publisher_free(p);
}

/* A row goes behind the announcement of its shape; a flat one needs none. */
static void test_what_is_not_announced_waits(void **state)
{
	(void)state;
	struct publisher *p = trusting(2, 200);
	struct outbox_chunk *c = publisher_chunk(p);
	fill(c, 3, 0, false, false);
	c->rows[1].route = c->rows[2].route = other_route;
	publisher_add(p, c, true);
	other_route->announced = ANNOUNCED - 1;
	assert_int_equal(run(p), PUBLISHER_SHAPE);
	assert_ptr_equal(publisher_wants(p), other_route);
	assert_int_equal(nsent, 2);
	assert_int_equal(run(p), PUBLISHER_SHAPE);
	assert_int_equal(nsent, 2);
	other_route->announced = ANNOUNCED;
	assert_int_equal(run(p), PUBLISHER_IDLE);
	assert_int_equal(nsent, 3);
	assert_int_equal(sent[2].changes, 2);
	assert_null(publisher_wants(p));
	publisher_free(p);
}

/* A TRUNCATE has a key and a type of its own, and shares no message with deletes. */
static void test_truncates(void **state)
{
	char shown[200] = "";
	(void)state;

	struct publisher *p = trusting(2, 200);
	struct outbox_chunk *c = publisher_chunk(p);
	fill(c, 0, 5, false, false);
	for (size_t i = 0; i < 5; i++)
		c->rows[i].route = other_route;
	for (size_t i = 2; i < 4; i++) {
		c->rows[i].truncate = true;
		c->rows[i].body_len = 0;
	}
	publisher_add(p, c, true);
	assert_int_equal(run(p), PUBLISHER_IDLE);
	for (size_t m = 1; m < nsent; m++) {
		size_t at = strlen(shown);
		snprintf(shown + at, sizeof(shown) - at, "%s%s %zu", at ? "; " : "", sent[m].key,
			 sent[m].changes);
	}
	assert_string_equal(shown, "s.t.delete 2; s.t.truncate 2; s.t.delete 1");
	publisher_free(p);
}

/* What no message can hold is told by its key; a delete is a key. */
static void test_too_large(void **state)
{
	struct publisher_counts counts;
	(void)state;

	struct publisher *p = trusting(2, 200);
	publisher_limit(p, 2000);
	struct outbox_chunk *c = publisher_chunk(p);
	fill(c, 4, 1, false, false);
	c->rows[1].route = c->rows[2].route = c->rows[3].route = other_route;
	c->rows[2].body_at = 4; /* {"id":257 */
	strbuf_add(&c->bodies, "\0\0\1\1", 4);
	for (size_t i = 0; i < 2000; i++)
		strbuf_addch(&c->bodies, 'x');
	c->rows[2].body_len = 4 + 2000;
	publisher_add(p, c, true);
	assert_int_equal(run(p), PUBLISHER_IDLE);
	assert_int_equal(nsent, 4);
	assert_int_equal(sent[2].changes, 3);
	assert_int_equal(sent[1].large + sent[3].large, 0);
	assert_int_equal(sent[2].large, 1);
	assert_true(sent[2].len < 2000);
	publisher_counts(p, &counts);
	assert_int_equal(counts.too_large, 1);
	assert_int_equal(counts.large_bytes, 2004);
	assert_string_equal(counts.large_key, "s.t.sync");
	publisher_free(p);
}

static void test_the_brokers_limit(void **state)
{
	static const struct {
		const char *text;
		size_t bytes;
	} rows[] = {
		{ "the broker closed the channel: 406: PRECONDITION_FAILED - message size 360000058 is larger "
		  "than configured max size 134217728",
		  134217728 },
		{ "message size 5 is larger than max size 4", 4 },
		{ "message size 5 is larger than configured max size ", 0 },
		{ "message size 5 is larger than", 0 },
		{ "a socket error occurred", 0 },
		{ "", 0 },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t bytes = 0;
		assert_int_equal(publisher_limit_told(rows[i].text, &bytes), rows[i].bytes > 0);
		assert_int_equal(bytes, rows[i].bytes);
	}
}

/* Chunks that are free do not help while so many bytes are under way; then they give them back. */
static void test_bytes_under_way(void **state)
{
	(void)state;
	struct publisher *p = trusting(3, 200);
	struct outbox_chunk *c = publisher_chunk(p);

	fill(c, 2, 0, false, false);
	memset(strbuf_reserve(&c->bodies, (size_t)64 << 20), 0, (size_t)64 << 20);
	strbuf_commit(&c->bodies, (size_t)64 << 20);
	assert_null(publisher_chunk(p));
	publisher_add(p, c, true);
	assert_false(publisher_has_room(p));
	assert_int_equal(run(p), PUBLISHER_IDLE);
	assert_null(publisher_chunk(p));
	publisher_settled(p, 2, AMQP_CONFIRMED);
	assert_true(publisher_has_room(p));
	assert_int_equal(c->bodies.cap, 0);
	publisher_free(p);
}

static void test_a_message_names_its_transactions(void **state)
{
	(void)state;
	struct publisher *p = trusting(2, 200);

	add(p, 0, 10, true); /* versions 2 … 11 */
	assert_int_equal(run(p), PUBLISHER_IDLE);
	assert_string_equal(sent[1].xids, "700 701*3 702*3 703*3");
	publisher_free(p);
}

/* ---- sending ---- */

static void test_one_goes_ahead_after_a_drop(void **state)
{
	(void)state;
	struct publisher *p = publisher_new(&stream, 2, 1);

	last_version = 0;
	add(p, 0, 4, true);
	assert_int_equal(run(p), PUBLISHER_WAITS);
	assert_int_equal(nsent, 1);
	assert_int_equal(run(p), PUBLISHER_WAITS);
	assert_int_equal(nsent, 1);
	publisher_settled(p, 1, AMQP_CONFIRMED);
	assert_int_equal(run(p), PUBLISHER_IDLE);
	assert_int_equal(nsent, 4);
	publisher_free(p);
}

static void test_a_full_or_broken_link(void **state)
{
	(void)state;
	struct publisher *p = trusting(2, 1);

	add(p, 0, 2, true);
	full = true;
	assert_int_equal(run(p), PUBLISHER_FULL);
	full = false;
	broken = true;
	assert_int_equal(run(p), PUBLISHER_BROKEN);
	broken = false;
	assert_int_equal(publisher_unanswered(p), 0);
	assert_int_equal(run(p), PUBLISHER_IDLE);
	assert_int_equal(nsent, 3);
	publisher_free(p);
}

/* However many chunks there are, messages without an answer have a limit. */
static void test_the_broker_may_be_late_only_so_far(void **state)
{
	enum publisher_run ran;

	(void)state;
	struct publisher *p = trusting(18, 1);
	for (size_t i = 0; i < 18; i++)
		add(p, 0, 1000, false);
	assert_null(publisher_chunk(p));
	assert_false(publisher_has_room(p));
	while ((ran = run(p)) == PUBLISHER_MORE)
		;
	assert_int_equal(ran, PUBLISHER_WAITS);
	size_t most = publisher_unanswered(p);
	assert_true(most < 18000);
	/* The newest are answered, the oldest is not: no room yet, and nothing is confirmed. */
	for (uint64_t no = 3; no <= most + 1; no++)
		publisher_settled(p, no, AMQP_CONFIRMED);
	assert_int_equal(run(p), PUBLISHER_WAITS);
	assert_int_equal(publisher_confirmed_count(p), 0);
	publisher_settled(p, 2, AMQP_CONFIRMED);
	while ((ran = run(p)) == PUBLISHER_MORE)
		;
	assert_int_equal(ran, PUBLISHER_IDLE);
	assert_int_equal(nsent, 18001);
	publisher_free(p);
}

/* ---- answers ---- */

static void test_what_was_refused_is_never_forgotten(void **state)
{
	static const enum amqp_settled refusals[] = { AMQP_RETURNED, AMQP_NACKED };
	enum amqp_settled how;

	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		bool seen[4] = { true };

		setup(state);
		struct publisher *p = trusting(2, 1);
		add(p, 0, 3, true);
		assert_int_equal(run(p), PUBLISHER_IDLE);
		assert_false(publisher_refused(p, &how));
		publisher_settled(p, 3, refusals[i]);
		publisher_settled(p, 2, AMQP_CONFIRMED);
		assert_true(publisher_refused(p, &how));
		assert_int_equal(how, refusals[i]);
		publisher_settled(p, 4, AMQP_CONFIRMED);
		/* What comes behind it is published again too, in the next term. */
		assert_int_equal(take_keys(p, seen, 4), 1);
		assert_true(seen[1]);
		assert_int_equal(publisher_confirmed_messages(p)[CHANGE_DELETE], 1);
		assert_int_equal(publisher_changes(p), 0);
		assert_int_equal(publisher_unanswered(p), 0);
		publisher_drop(p, false);
		assert_int_equal(publisher_confirmed_messages(p)[CHANGE_DELETE], 0);
		assert_false(publisher_refused(p, &how));
		publisher_free(p);
	}
}

static void test_answers_to_what_was_dropped_are_ignored(void **state)
{
	bool seen[5] = { true };

	(void)state;
	struct publisher *p = trusting(2, 1);
	add(p, 0, 2, true); /* numbers 2, 3 */
	assert_int_equal(run(p), PUBLISHER_IDLE);
	publisher_settled(p, 2, AMQP_CONFIRMED);
	publisher_drop(p, false);
	assert_int_equal(publisher_confirmed_count(p), 0);
	assert_int_equal(publisher_changes(p), 0);
	add(p, 0, 2, true); /* numbers 4, 5 */
	assert_int_equal(run(p), PUBLISHER_WAITS);
	publisher_settled(p, 3, AMQP_CONFIRMED);
	assert_int_equal(publisher_confirmed_count(p), 0);
	assert_int_equal(run(p), PUBLISHER_WAITS);
	publisher_settled(p, 4, AMQP_CONFIRMED);
	publisher_settled(p, 4, AMQP_CONFIRMED); /* twice: no broker does that */
	assert_int_equal(take_keys(p, seen, 5), 1);
	assert_true(seen[3]);

	/* On a new link numbers begin again. */
	publisher_drop(p, true);
	new_link();
	publisher_settled(p, 5, AMQP_CONFIRMED);
	last_version = 0;
	memset(seen, 0, sizeof(seen));
	add(p, 0, 1, true);
	assert_int_equal(run(p), PUBLISHER_IDLE);
	publisher_settled(p, 5, AMQP_CONFIRMED);
	assert_int_equal(publisher_confirmed_count(p), 0);
	publisher_settled(p, 1, AMQP_CONFIRMED);
	assert_int_equal(take_keys(p, seen, 5), 1);
	publisher_free(p);
}

/* Claims, answers and forgets in any order: each key comes back exactly once. */
static void test_any_order(void **state)
{
	enum { CHANGES = 5000 };
	static bool seen[CHANGES];
	static uint64_t open[CHANGES];
	size_t nopen = 0, told = 1, keys = 0;
	uint64_t random = 1;

	(void)state;
	memset(seen, 0, sizeof(seen));
	seen[0] = true;
	struct publisher *p = trusting(4, 5);
	while (keys < CHANGES - 1) {
		random = random * 6364136223846793005U + 1442695040888963407U;
		size_t dice = (size_t)(random >> 33), left = CHANGES - (size_t)last_version;
		if (dice % 3 == 0 && left > 0 && publisher_has_room(p)) {
			size_t n = min_size(left, dice / 3 % 40 + 1);
			add(p, n / 2, n - n / 2, dice % 2);
		} else if (dice % 17 == 1) {
			struct outbox_chunk *c = publisher_chunk(p); /* an empty claim */
			if (c) {
				fill(c, 0, 0, true, true);
				publisher_add(p, c, true);
			}
		} else if (nopen > 0) {
			size_t which = dice % nopen;
			publisher_settled(p, open[which], AMQP_CONFIRMED);
			open[which] = open[--nopen];
		}
		(void)run(p);
		while (told < nsent)
			open[nopen++] = ++told;
		if (dice % 5 == 0)
			keys += take_keys(p, seen, CHANGES);
	}
	assert_int_equal(publisher_unanswered(p), 0);
	assert_int_equal(publisher_changes(p), 0);
	publisher_free(p);
}

/* ---- directly ---- */

static enum amqp_settled answer_of(char c)
{
	return c == 'C' ? AMQP_CONFIRMED : c == 'N' ? AMQP_NACKED : AMQP_RETURNED;
}

/* Of one message: the answers of the exchange and of two replicas' queues: Confirmed, Nacked,
 * Returned, or none until the relay gives up. In every order. */
static void test_directly_one_refusal_is_nobody_elses(void **state)
{
	static const char *const replicas[] = { "r1", "r2" };
	static const struct {
		const char *answers;
		bool confirmed;
		const char *left_out; /* how each replica was, "-": it was not */
		uint64_t may_miss;
	} rows[] = {
		{ "CCC", true, "--", 3 },  { "NCC", true, "--", 3 },  { "NCN", true, "-N", 3 },
		{ "NNC", true, "N-", 3 },  { "NCR", true, "-R", 3 },  { "RCC", true, "--", 3 },
		{ "RRC", true, "R-", 3 },  { "CCN", true, "--", 3 },  { "CRC", true, "R-", 3 },
		{ "NNN", false, "--", 3 }, { "RRR", false, "--", 3 }, { "NC?", true, "-N", 3 },
		{ "?CC", true, "--", 3 },  { "???", false, "--", 3 }, { "NCC", true, "--", 0 },
		{ "NCN", false, "--", 0 }, { "NCR", false, "--", 0 }, { "RCC", true, "--", 0 },
		{ "CCN", true, "--", 0 },  { "CRC", true, "R-", 0 },  { "NNN", false, "--", 0 },
		{ "NC?", false, "--", 0 }, { "?CC", true, "--", 0 },  { "NCN", true, "-N", 2 },
		{ "NNC", false, "--", 2 }, { "NNN", false, "--", 2 }, { "NNC", true, "N-", 1 },
	};
	static const size_t orders[][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
					    { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

	for (size_t at = 0; at < ARRAY_SIZE(rows) * ARRAY_SIZE(orders); at++) {
		const size_t *order = orders[at % ARRAY_SIZE(orders)];
		const char *answers = rows[at / ARRAY_SIZE(orders)].answers;
		const char *left_out = rows[at / ARRAY_SIZE(orders)].left_out;
		bool confirmed = rows[at / ARRAY_SIZE(orders)].confirmed;
		bool seen[2] = { false, false };
		enum amqp_settled how;

		setup(state);
		struct publisher *p = trusting(2, 5);
		struct publisher_counts counts;
		publisher_go_direct(p, replicas, ARRAY_SIZE(replicas),
				    rows[at / ARRAY_SIZE(orders)].may_miss);
		add(p, 1, 0, true);
		assert_int_equal(run(p), PUBLISHER_IDLE);
		assert_int_equal(nsent, 4);
		assert_string_equal(sent[1].key, "sync");
		assert_string_equal(sent[2].key, "sync.r1");
		assert_string_equal(sent[3].key, "sync.r2");
		for (size_t i = 0; i < 3; i++) {
			assert_int_equal(publisher_confirmed_count(p), 0);
			if (answers[order[i]] != '?')
				publisher_settled(p, 2 + order[i], answer_of(answers[order[i]]));
		}
		if (strchr(answers, '?'))
			publisher_give_up(p);
		print_message("%s, order %zu\n", answers, at % ARRAY_SIZE(orders));
		assert_int_equal(publisher_refused(p, &how), !confirmed);
		assert_int_equal(take_keys(p, seen, 2), confirmed);
		for (size_t i = 0; i < 2; i++) {
			bool out = publisher_left_out(p, i, &how);
			assert_int_equal(out, left_out[i] != '-');
			assert_true(!out || how == answer_of(left_out[i]));
			assert_false(publisher_left_out(p, i, &how)); /* once */
		}
		publisher_counts(p, &counts);
		assert_int_equal(counts.direct_taken[CHANGE_SYNC], answers[0] == 'C');
		assert_int_equal(counts.direct_refused[CHANGE_SYNC], answers[0] != 'C');
		assert_int_equal(publisher_refused_by(p),
				 confirmed ? 0 : (answers[1] != 'C') | (answers[2] != 'C') << 1);
		assert_int_equal(publisher_unanswered(p), 0);
		assert_int_equal(publisher_changes(p), 0);
		publisher_free(p);
	}
}

/* A queue that answers nothing is waited for once, and not with each message. */
static void test_directly_a_silent_queue_holds_up_nobody(void **state)
{
	static const char *const replicas[] = { "r1", "r2" };
	enum amqp_settled how;
	bool seen[6] = { true };

	(void)state;
	struct publisher *p = trusting(3, 5);
	publisher_go_direct(p, replicas, ARRAY_SIZE(replicas), 7);
	add(p, 1, 0, true);
	assert_int_equal(run(p), PUBLISHER_IDLE);
	publisher_settled(p, 3, AMQP_CONFIRMED); /* r1 */
	publisher_give_up(p);
	assert_int_equal(take_keys(p, seen, 6), 1);
	assert_true(publisher_left_out(p, 1, &how));
	add(p, 2, 1, true); /* messages 5, 8, 11 */
	assert_int_equal(run(p), PUBLISHER_IDLE);
	assert_int_equal(nsent, 1 + 3 + 9);
	assert_int_equal(publisher_unanswered(p), 3);
	assert_false(publisher_left_out(p, 1, &how));
	publisher_settled(p, 5, AMQP_CONFIRMED); /* late: only that the exchange answers again */
	for (uint64_t no = 6; no <= 12; no += 3)
		publisher_settled(p, no, AMQP_CONFIRMED);
	assert_int_equal(take_keys(p, seen, 6), 3);
	assert_true(publisher_left_out(p, 1, &how));
	assert_false(publisher_left_out(p, 0, &how));
	assert_false(publisher_refused(p, &how));
	assert_int_equal(publisher_unanswered(p), 0);
	/* A drop does not change that. */
	publisher_drop(p, false);
	publisher_go_direct(p, replicas, ARRAY_SIZE(replicas), 7);
	assert_true(publisher_silent(p, NULL));
	add(p, 1, 0, true); /* messages 14 to 16 */
	assert_int_equal(run(p), PUBLISHER_IDLE);
	assert_int_equal(publisher_unanswered(p), 2);
	/* It answers a message of before the drop, so it is waited for again. */
	publisher_settled(p, 4, AMQP_NACKED);
	assert_false(publisher_silent(p, NULL));
	publisher_settled(p, 14, AMQP_CONFIRMED);
	publisher_settled(p, 15, AMQP_CONFIRMED);
	add(p, 1, 0, true);
	assert_int_equal(run(p), PUBLISHER_IDLE);
	assert_int_equal(publisher_unanswered(p), 3);
	/* Nobody is known to be silent on a new link. */
	publisher_give_up(p);
	assert_true(publisher_silent(p, NULL));
	publisher_drop(p, true);
	assert_false(publisher_silent(p, NULL));
	publisher_free(p);
}

/* All copies together are not larger than what a link takes while answers are missing. */
static void test_directly_messages_are_smaller(void **state)
{
	static const char *const replicas[] = { "r1", "r2", "r3" };
	size_t changes = 0;

	(void)state;
	struct publisher *p = trusting(2, 200);
	add(p, 1000, 0, true);
	assert_int_equal(run(p), PUBLISHER_IDLE);
	assert_int_equal(nsent, 1 + 5);
	publisher_drop(p, false);
	publisher_go_direct(p, replicas, ARRAY_SIZE(replicas), 7);
	add(p, 1, 0, true);
	assert_int_equal(run(p), PUBLISHER_IDLE);
	assert_int_equal(nsent, 6 + 4);
	for (uint64_t no = 7; no <= 10; no++)
		publisher_settled(p, no, no == 7 ? AMQP_NACKED : AMQP_CONFIRMED);
	add(p, 1000, 0, true);
	assert_int_equal(run(p), PUBLISHER_IDLE);
	for (size_t m = 10; m < nsent; m++) {
		assert_true(sent[m].len * 4 < 50 * 1024);
		changes += sent[m].changes;
	}
	assert_int_equal(changes, 4 * 1000);
	assert_true(nsent - 10 < 4 * 30);
	publisher_free(p);
}

/* Each kind has the numbers 1, 2, 3 … of its own, and a number is confirmed when all before it are:
 * never fewer than the keys say. */
static void test_numbers(void **state)
{
	uint64_t next[2] = { 2, 1 }; /* trusting() has sent a sync */
	bool seen[31] = { true };

	(void)state;
	struct publisher *p = trusting(3, 1);
	const uint64_t *confirmed = publisher_confirmed_messages(p);
	for (size_t i = 0; i < 3; i++)
		add(p, 4, 6, true);
	assert_int_equal(run(p), PUBLISHER_IDLE);
	for (size_t m = 1; m < nsent; m++)
		assert_int_equal(sent[m].number, next[sent[m].key[0] == 'd']++);
	assert_int_equal(confirmed[CHANGE_SYNC], 1);
	for (uint64_t no = 31; no >= 3; no--)
		publisher_settled(p, no, AMQP_CONFIRMED);
	assert_int_equal(publisher_confirmed_count(p), 0);
	assert_int_equal(confirmed[CHANGE_SYNC], 1);
	assert_int_equal(confirmed[CHANGE_DELETE], 0);
	assert_false(publisher_has_room(p));
	publisher_settled(p, 2, AMQP_CONFIRMED);
	assert_int_equal(confirmed[CHANGE_SYNC], 13);
	assert_int_equal(confirmed[CHANGE_DELETE], 18);
	assert_int_equal(take_keys(p, seen, 31), 30);
	assert_true(publisher_has_room(p));
	publisher_drop(p, false);
	add(p, 1, 0, true);
	assert_int_equal(run(p), PUBLISHER_IDLE);
	assert_int_equal(sent[nsent - 1].number, 1);
	publisher_free(p);
}

/* Of a table with one column, id. */
static struct shape_route *new_route(int shape, const char *stream_name, const char *flat)
{
	struct shape_route *r = shape_route_new(shape);
	AUTO_STRBUF description = STRBUF_INIT;
	struct err err;

	strbuf_addf(
		&description,
		"{\"table\": 1, \"stream\": \"%s\", \"schema\": \"s\", \"name\": \"t\", \"flat\": %s,"
		" \"version\": \"version\", \"key\": [1], \"columns\": [{\"att\": 1, \"name\": \"id\","
		" \"member\": \"id\", \"type\": \"integer\", \"form\": \"int4\", \"notnull\": true,"
		" \"equal\": \"=\"}]}",
		stream_name, flat);
	if (!shape_route_set(r, strbuf_str(&description), &err))
		fatal("%s", err.text);
	return r;
}

int main(void)
{
	route = new_route(1, "products", "true");
	strcpy(route->keys[CHANGE_SYNC], "sync");
	strcpy(route->keys[CHANGE_DELETE], "delete");
	other_route = new_route(5, "rest", "false");
	other_route->announced = ANNOUNCED;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_other_records_are_forgotten_too, setup),
		cmocka_unit_test(test_what_a_message_holds),
		cmocka_unit_test_setup(test_shapes_do_not_share_a_message, setup),
		cmocka_unit_test_setup(test_what_is_not_announced_waits, setup),
		cmocka_unit_test_setup(test_truncates, setup),
		cmocka_unit_test_setup(test_too_large, setup),
		cmocka_unit_test_setup(test_the_brokers_limit, setup),
		cmocka_unit_test_setup(test_bytes_under_way, setup),
		cmocka_unit_test_setup(test_a_message_names_its_transactions, setup),
		cmocka_unit_test_setup(test_one_goes_ahead_after_a_drop, setup),
		cmocka_unit_test_setup(test_a_full_or_broken_link, setup),
		cmocka_unit_test_setup(test_the_broker_may_be_late_only_so_far, setup),
		cmocka_unit_test(test_what_was_refused_is_never_forgotten),
		cmocka_unit_test_setup(test_answers_to_what_was_dropped_are_ignored, setup),
		cmocka_unit_test_setup(test_any_order, setup),
		cmocka_unit_test(test_directly_one_refusal_is_nobody_elses),
		cmocka_unit_test_setup(test_directly_a_silent_queue_holds_up_nobody, setup),
		cmocka_unit_test_setup(test_directly_messages_are_smaller, setup),
		cmocka_unit_test_setup(test_numbers, setup),
	};

	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	shape_route_free(route);
	shape_route_free(other_route);
	return failed;
}
