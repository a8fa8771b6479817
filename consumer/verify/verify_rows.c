/*
 * verify_rows.c: see verify_rows.h.
 */
#include "consumer/verify/verify_rows.h"

#include <string.h>

const struct uuid verify_first_id;
const struct uuid verify_last_id = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
				       0xff, 0xff, 0xff, 0xff, 0xff, 0xff } };

bool verify_next_id(struct uuid *id)
{
	if (uuid_cmp(id, &verify_last_id) == 0)
		return false;
	for (size_t i = sizeof(id->b); i-- > 0;) {
		if (++id->b[i] != 0)
			break;
	}
	return true;
}

static void limit(const struct verify_rows *rows, struct uuid *end)
{
	if (rows->n == VERIFY_CHUNK && uuid_cmp(&rows->row[rows->n - 1].id, end) < 0)
		*end = rows->row[rows->n - 1].id;
}

void verify_complete_to(const struct verify_rows *a, const struct verify_rows *b, struct uuid *end)
{
	limit(a, end);
	limit(b, end);
}

static size_t count_to(const struct verify_rows *rows, const struct uuid *end)
{
	size_t n = rows->n;

	while (n > 0 && uuid_cmp(&rows->row[n - 1].id, end) > 0)
		n--;
	return n;
}

void verify_merge(const struct verify_rows *a, const struct verify_rows *b, const struct uuid *end,
		  void (*found)(void *arg, const struct uuid *id), void *arg)
{
	size_t na = count_to(a, end), nb = count_to(b, end), i = 0, j = 0;

	while (i < na || j < nb) {
		int order = i == na ? 1 : j == nb ? -1 : uuid_cmp(&a->row[i].id, &b->row[j].id);

		if (order < 0) {
			found(arg, &a->row[i++].id);
		} else if (order > 0) {
			found(arg, &b->row[j++].id);
		} else {
			if (memcmp(a->row[i].digest, b->row[j].digest, sizeof(a->row[i].digest)) !=
			    0)
				found(arg, &a->row[i].id);
			i++;
			j++;
		}
	}
}
