/*
 * import_rows.c: see import_rows.h. Pure.
 */
#include "api/batch/import_rows.h"

#include <stdlib.h>

bool import_rows_add(struct import_rows *b, const struct uuid *id, uint64_t line)
{
	uint32_t n = (uint32_t)b->n;

	if (*uuid_set_put(&b->ids, id, n) != n)
		return false;
	if (!b->list)
		b->list = xcalloc(IMPORT_ROWS, sizeof(*b->list));
	struct import_row *row = &b->list[b->n++];

	*row = (struct import_row){ .id = *id, .line = line, .at = b->bytes.len };
	return true;
}

bool import_rows_full(const struct import_rows *b)
{
	return b->n == IMPORT_ROWS || b->bytes.len >= IMPORT_BYTES;
}

/* A row begins with its id. */
static int by_id(const void *a, const void *b)
{
	return uuid_cmp(a, b);
}

void import_rows_sort(struct import_rows *b)
{
	if (b->n > 1)
		qsort(b->list, b->n, sizeof(*b->list), by_id);
}

void import_rows_lock(struct import_rows *b, size_t from, size_t to, const struct uuid *id)
{
	struct import_row *row = bsearch(id, b->list + from, to - from, sizeof(*b->list), by_id);

	if (row)
		row->locked = true;
}

void import_rows_keep_locked(struct import_rows *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n; i++) {
		if (!b->list[i].locked)
			continue;
		b->list[n] = b->list[i];
		b->list[n++].locked = false;
	}
	b->n = n;
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
	b->n = 0;
	uuid_set_reset(&b->ids);
	strbuf_reset(&b->bytes);
}

void import_rows_clear(struct import_rows *b)
{
	free(b->list);
	uuid_set_clear(&b->ids);
	strbuf_clear(&b->bytes);
	*b = (struct import_rows){ 0 };
}
