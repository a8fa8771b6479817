/*
 * import_rows.c: see import_rows.h. Pure.
 */
#include "api/products/import_rows.h"

#include <stdlib.h>
#include <string.h>

bool import_rows_add(struct import_rows *b, const struct product_input *in, uint64_t line)
{
	uint64_t h;

	if (!b->list) {
		b->list = xcalloc(IMPORT_ROWS, sizeof(*b->list));
		b->slots = xcalloc(IMPORT_SLOTS, sizeof(*b->slots));
	}
	memcpy(&h, in->id.b + 8, sizeof(h)); /* the random half */
	h = (h ^ h >> 32) * UINT64_C(0x9e3779b97f4a7c15) >> 32;
	size_t slot = (size_t)h % IMPORT_SLOTS;

	while (b->slots[slot] != 0) {
		if (uuid_cmp(&b->list[b->slots[slot] - 1].id, &in->id) == 0)
			return false;
		slot = (slot + 1) % IMPORT_SLOTS;
	}
	struct import_row *row = &b->list[b->n++];

	b->slots[slot] = (uint16_t)b->n;
	row->id = in->id;
	row->line = line;
	row->name_at = b->names.len;
	row->name_len = in->name.len;
	row->stock = in->stock;
	memcpy(row->price, in->price, sizeof(row->price));
	strbuf_add(&b->names, strbuf_str(&in->name), in->name.len);
	return true;
}

bool import_rows_full(const struct import_rows *b)
{
	return b->n == IMPORT_ROWS || b->names.len >= IMPORT_NAME_BYTES;
}

static int by_id(const void *a, const void *b)
{
	const struct import_row *x = a;
	const struct import_row *y = b;

	return uuid_cmp(&x->id, &y->id);
}

void import_rows_sort(struct import_rows *b)
{
	if (b->n > 1 && !b->sorted)
		qsort(b->list, b->n, sizeof(*b->list), by_id);
	b->sorted = true;
}

bool import_rows_share(const struct import_rows *a, const struct import_rows *b)
{
	for (size_t i = 0, j = 0; i < a->n && j < b->n;) {
		int c = uuid_cmp(&a->list[i].id, &b->list[j].id);

		if (c == 0)
			return true;
		if (c < 0)
			i++;
		else
			j++;
	}
	return false;
}

void import_rows_reset(struct import_rows *b)
{
	if (b->n > 0)
		memset(b->slots, 0, IMPORT_SLOTS * sizeof(*b->slots));
	b->n = 0;
	b->sorted = false;
	strbuf_reset(&b->names);
}

void import_rows_clear(struct import_rows *b)
{
	free(b->list);
	free(b->slots);
	strbuf_clear(&b->names);
	*b = (struct import_rows){ 0 };
}
