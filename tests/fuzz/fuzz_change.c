/*
 * fuzz_change.c: any bytes as a message's body and as its list of transactions.
 *
 * The body is read as a change of products, and of a table that has a column of every form. Beside
 * memory errors it looks for broken promises:
 *   1. What was read has a value for each column, whose text is in the message or in the arena, and is
 *      of the column's form; what was refused leaves no trace.
 *   2. Key and version of what was read are those that change_identify() tells.
 *   3. No text is two of a sync, a delete and a TRUNCATE.
 *   4. A list of transactions gives exactly as many as were asked for, or zeros; what was added
 *      comes back.
 */
#include "common/base/clock.h"
#include "common/base/utf8.h"
#include "common/wire/change.h"
#include "tests/unit/tables_for_tests.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PROMISE(condition) ((condition) ? (void)0 : fatal("line %d: not %s", __LINE__, #condition))
#define XIDS		   64

static const struct table *tables[2];

static void check_value(const struct table_column *c, const struct change_value *v,
			const struct change_arena *arena, const char *base, size_t size)
{
	char text[CLOCK_TIMESTAMP_MAX];

	switch (v->where) {
	case CHANGE_ABSENT:
		return;
	case CHANGE_NUMBER:
		PROMISE(c->form == TABLE_BOOLEAN || c->form == TABLE_INT4 ||
			c->form == TABLE_INT8 || c->form == TABLE_TIMESTAMPTZ);
		PROMISE(c->form != TABLE_BOOLEAN || v->at == 0 || v->at == 1);
		PROMISE(c->form != TABLE_INT4 || (v->at >= INT32_MIN && v->at <= INT32_MAX));
		clock_format_pg_any(v->at, text);
		PROMISE(strlen(text) < sizeof(text));
		return;
	case CHANGE_RAW:
		PROMISE(v->at >= 0 && (size_t)v->at + v->len <= size);
		break;
	case CHANGE_ARENA:
		PROMISE(v->at >= 0 && (size_t)v->at + v->len <= arena->text.len);
		break;
	default:
		fatal("where: %d", v->where);
	}
	if (c->form == TABLE_UUID)
		PROMISE(v->len == 16);
	else
		PROMISE(utf8_valid(change_text(arena, base, v), v->len, NULL));
}

static bool read_one(const struct table *t, const struct jscan_value *v, enum change_kind kind,
		     const char *base, size_t size)
{
	struct change_arena arena = { 0 };
	AUTO_STRBUF key = STRBUF_INIT, again = STRBUF_INIT;
	struct change c, same;
	struct err err = { .text = "" };

	strbuf_addstr(&arena.text, "before");
	if (!change_read(t, v, kind, base, &arena, &c, &err)) {
		PROMISE(err.text[0] != '\0' && utf8_valid(err.text, strlen(err.text), NULL));
		PROMISE(arena.text.len == 6 && memcmp(arena.text.data, "before", 6) == 0);
		PROMISE(arena.nvalues == 0);
		if (change_identify(t, v, base, &arena, &c))
			change_key_text(&c, base, &arena, &key);
		else
			PROMISE(arena.text.len == 6 && arena.nvalues == 0);
		change_arena_clear(&arena);
		return false;
	}
	PROMISE(c.table == t && c.kind == kind && c.version > 0 && c.xid == 0);
	PROMISE(c.first_value == 0 && arena.nvalues == t->ncolumns);
	PROMISE(c.key_at + c.key_len == arena.text.len && c.key_len > 0);
	for (size_t i = 0; i < t->ncolumns; i++) {
		bool wanted = t->columns[i].not_null &&
			      (kind == CHANGE_SYNC || t->columns[i].key >= 0);
		PROMISE(!wanted || arena.values[i].where != CHANGE_ABSENT);
		check_value(&t->columns[i], &arena.values[i], &arena, base, size);
	}
	PROMISE(change_identify(t, v, base, &arena, &same));
	PROMISE(same.version == c.version && same.key_len == c.key_len &&
		memcmp(arena.text.data + same.key_at, arena.text.data + c.key_at, c.key_len) == 0);
	change_key_text(&c, base, &arena, &key);
	change_key_text(&same, base, &arena, &again);
	PROMISE(key.len == again.len && memcmp(key.data, again.data, key.len) == 0);
	change_arena_clear(&arena);
	return true;
}

/* A TRUNCATE has no row and no key, and leaves nothing in the arena either way. */
static bool read_truncate(const struct table *t, const struct jscan_value *v)
{
	struct change_arena arena = { 0 };
	struct change c;
	struct err err = { .text = "" };
	bool ok = change_read_truncate(t, v, &arena, &c, &err);

	PROMISE(arena.nvalues == 0 && arena.text.len == 0);
	PROMISE(ok ? c.truncate && c.version > 0 && c.key_len == 0 : err.text[0] != '\0');
	change_arena_clear(&arena);
	return ok;
}

static void read_all(const struct jscan_value *v, const char *base, size_t size)
{
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		bool sync = read_one(tables[i], v, CHANGE_SYNC, base, size);
		bool delete = read_one(tables[i], v, CHANGE_DELETE, base, size);
		bool truncate = read_truncate(tables[i], v);
		PROMISE(sync + delete + truncate <= 1);
	}
}

static void read_xids(const char *text)
{
	uint64_t xids[XIDS + 1], back[XIDS];

	for (size_t n = 0; n <= XIDS; n = n * 2 + 1) {
		memset(xids, 0xff, sizeof(xids));
		bool ok = change_xids_read(text, xids, n);
		PROMISE(xids[n] == UINT64_MAX);
		for (size_t i = 0; !ok && i < n; i++)
			PROMISE(xids[i] == 0);
		if (!ok)
			continue;
		struct change_xids x = { .text = STRBUF_INIT };
		for (size_t i = 0; i < n; i++)
			change_xids_add(&x, xids[i]);
		PROMISE(change_xids_read(change_xids_finish(&x), back, n));
		PROMISE(n == 0 || memcmp(xids, back, n * sizeof(back[0])) == 0);
		change_xids_clear(&x);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct jscan_value v, element;
	struct jscan_iter it;
	struct err err;
	char *text = malloc(size + 1);

	if (tables[0] == NULL) {
		tables[0] = products_for_tests();
		tables[1] = odd_for_tests();
	}
	memcpy(text, data, size);
	text[size] = '\0';
	read_xids(text);
	text = realloc(text,
		       size > 0 ? size : 1); /* without the NUL, to catch reads behind the end */

	if (jscan_document(text, size, &v, &err)) {
		read_all(&v, text, size);
		jscan_iter_init(&it, &v);
		while (v.type == JSCAN_ARRAY && jscan_iter_next(&it, NULL, &element))
			read_all(&element, text, size);
	}
	free(text);
	return 0;
}
