/*
 * row.c: see row.h.
 */
#include "api/products/row.h"

#include <string.h>

#include "common/pg/pgarray.h"

struct product_row row_read(const struct pg_result *r, int row, int first)
{
	struct product_row p;

	memcpy(p.id.b, db_value(r, row, first), sizeof(p.id.b));
	p.name = db_value(r, row, first + 1);
	p.name_len = (size_t)db_length(r, row, first + 1);
	p.price = db_value(r, row, first + 2);
	p.price_len = (size_t)db_length(r, row, first + 2);
	p.stock = pg_get_int4(db_value(r, row, first + 3));
	p.created_us = pg_get_int8(db_value(r, row, first + 4));
	p.updated_us = pg_get_int8(db_value(r, row, first + 5));
	return p;
}

void row_write(struct strbuf *out, const struct product_row *p)
{
	product_write_open(out, &p->id, p->name, p->name_len, p->price, p->price_len, p->stock,
			   p->created_us, p->updated_us);
	strbuf_addch(out, '}');
}

void row_reply(struct request *r, int status, const struct product_row *p, const char *message)
{
	struct strbuf *out = http_out(r->http);

	strbuf_addstr(out, "{\"success\":true,\"data\":");
	row_write(out, p);
	strbuf_addstr(out, ",\"message\":\"");
	strbuf_addstr(out, message);
	strbuf_addstr(out, "\"}");
	request_reply(r, status);
}
