/*
 * fuzz_change.c: any bytes as a message's body and as its list of transactions.
 *
 * Beside memory errors it looks for broken promises:
 *   1. A change that was read is written and read again with the same content; one that was
 *      refused leaves no trace.
 *   2. No text is both a sync and a delete.
 *   3. A list of transactions gives exactly as many as were asked for, or zeros; what was added
 *      comes back.
 */
#include "common/base/utf8.h"
#include "common/wire/change.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PROMISE(condition) ((condition) ? (void)0 : fatal("line %d: not %s", __LINE__, #condition))
#define XIDS		   64

static bool read_one(const struct jscan_value *v, enum change_kind kind)
{
	AUTO_STRBUF arena = STRBUF_INIT, out = STRBUF_INIT;
	struct change c, again;
	struct jscan_value written;
	struct err err = { .text = "" };

	strbuf_addstr(&arena, "before");
	if (!change_read(v, kind, &arena, &c, &err)) {
		PROMISE(err.text[0] != '\0' && utf8_valid(err.text, strlen(err.text), NULL));
		PROMISE(arena.len == 6 && memcmp(arena.data, "before", 7) == 0);
		return false;
	}
	PROMISE(c.kind == kind && c.version > 0 && c.xid == 0 && c.name_at == 6);
	PROMISE(c.name_len == arena.len - 6 && (c.name_len > 0) == (kind == CHANGE_SYNC));

	change_write(&out, &c, arena.data + c.name_at);
	PROMISE(jscan_document(out.data, out.len, &written, &err) && written.len == out.len);
	PROMISE(change_read(&written, kind, &arena, &again, &err));
	PROMISE(again.name_len == c.name_len &&
		memcmp(arena.data + again.name_at, arena.data + c.name_at, c.name_len) == 0);
	PROMISE(uuid_cmp(&again.id, &c.id) == 0 && again.version == c.version &&
		again.stock == c.stock && strcmp(again.price, c.price) == 0 &&
		again.created_us == c.created_us && again.updated_us == c.updated_us);
	return true;
}

static void read_both(const struct jscan_value *v)
{
	bool sync = read_one(v, CHANGE_SYNC), delete = read_one(v, CHANGE_DELETE);
	PROMISE(!(sync && delete));
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

	memcpy(text, data, size);
	text[size] = '\0';
	read_xids(text);
	text = realloc(text,
		       size > 0 ? size : 1); /* without the NUL, to catch reads behind the end */

	if (jscan_document(text, size, &v, &err)) {
		read_both(&v);
		jscan_iter_init(&it, &v);
		while (v.type == JSCAN_ARRAY && jscan_iter_next(&it, NULL, &element))
			read_both(&element);
	}
	free(text);
	return 0;
}
