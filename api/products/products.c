/*
 * products.c: see products.h.
 */
#include "api/products/products.h"

#include <stdlib.h>
#include <string.h>

#include "api/batch/import.h"
#include "api/batch/list.h"
#include "api/products/product_reads.h"
#include "api/batch/write_batch.h"
#include "api/products/product_writes.h"
#include "common/base/base64.h"

#define PAGE_DEFAULT 50
#define PAGE_MAX     1000

#define PRODUCTS_TABLE 1 /* as registered */

/* ---- reads ---- */

bool products_read_limit(const char *s, size_t len, int *ret)
{
	int n = 0;

	if (len == 0 || len > 4 || s[0] == '0')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		n = n * 10 + (s[i] - '0');
	}
	if (n > PAGE_MAX)
		return false;
	*ret = n;
	return true;
}

bool products_check_id(struct request *r)
{
	if (uuid_from_text(r->part[0].at, r->part[0].len, &r->id))
		return true;
	request_fail(r, 400, "id", "the id in the path is not a UUID");
	return false;
}

static void want_products(struct request *r)
{
	r->want.tables[0] = PRODUCTS_TABLE;
	r->want.ntables = 1;
}

void products_get(struct request *r)
{
	char text[UUID_TEXT_LEN + 1];

	uuid_to_text(&r->id, text);
	r->want.by_key = true;
	r->want.row = wrong_hash(text, UUID_TEXT_LEN);
	want_products(r);
	r->statement = &product_by_id[request_is_placed(r)];
	if (request_admit(r))
		read_submit(r);
}

void products_list(struct request *r)
{
	struct http_param params[2];
	size_t n = http_request_params(r->http, params, ARRAY_SIZE(params));

	for (size_t i = 0; i < n; i++) {
		const struct http_param *p = &params[i];

		if (p->key_len == strlen("limit") && memcmp(p->key, "limit", p->key_len) == 0) {
			if (!products_read_limit(p->value, p->value_len, &r->limit)) {
				request_fail(r, 400, "limit", "limit must be a number from 1 to %d",
					     PAGE_MAX);
				return;
			}
		} else {
			if (!base64_decode(BASE64_URL, p->value, p->value_len, r->after.b,
					   sizeof(r->after.b))) {
				request_fail(
					r, 400, "cursor",
					"cursor is not one that an earlier page gave as \"next\"");
				return;
			}
			r->has_after = true;
		}
	}
	r->statement = r->has_after ? &product_after[request_is_placed(r)]
				    : &product_first[request_is_placed(r)];
	r->listing = &product_listing;
	want_products(r);
	if (!request_admit(r))
		return;
	if (n == 0) {
		list_start(r);
		return;
	}
	/* One more than wanted tells whether there is a next page. */
	r->limit = (r->limit ? r->limit : PAGE_DEFAULT) + 1;
	page_start(r);
}

/* ---- writes ---- */

/* Reads the body; false: it was answered. */
static bool parse(struct request *r, unsigned required)
{
	const struct strbuf *body = http_request_body(r->http);
	const unsigned all = PRODUCT_ID | PRODUCT_NAME | PRODUCT_PRICE | PRODUCT_STOCK;
	struct product_fault fault = { 0 };

	if (product_parse(strbuf_str(body), body->len, required, all, &r->in, &fault))
		return true;
	request_fail(r, fault.status, fault.field, "%s", fault.err.text);
	return false;
}

static bool check_id(struct request *r)
{
	if (!(r->in.given & PRODUCT_ID) || uuid_cmp(&r->in.id, &r->id) == 0)
		return true;
	request_fail(r, 422, "id", "id differs from the one in the path");
	return false;
}

static void submit(struct request *r, enum write_kind kind)
{
	r->kind = kind;
	r->write = &product_writes[kind];
	if (request_admit(r))
		write_submit(r);
}

void products_create(struct request *r)
{
	if (!parse(r, PRODUCT_NAME | PRODUCT_PRICE | PRODUCT_STOCK))
		return;
	bool given = r->in.given & PRODUCT_ID;

	if (given)
		r->id = r->in.id;
	else
		uuid_make(&r->id);
	submit(r, given ? WRITE_UPSERT : WRITE_CREATE);
}

void products_replace(struct request *r)
{
	if (parse(r, PRODUCT_NAME | PRODUCT_PRICE | PRODUCT_STOCK) && check_id(r))
		submit(r, WRITE_UPSERT);
}

void products_patch(struct request *r)
{
	if (!parse(r, 0) || !check_id(r))
		return;
	if (!(r->in.given & (PRODUCT_NAME | PRODUCT_PRICE | PRODUCT_STOCK))) {
		request_fail(r, 422, NULL, "nothing to change: give name, price or stock");
		return;
	}
	submit(r, WRITE_PATCH);
}

void products_delete(struct request *r)
{
	submit(r, WRITE_DELETE);
}
