/*
 * change_xids.c: the x-xid header: the transactions of a message's changes, run-length coded.
 *
 * The promise: what was added comes back exactly. A text that does not hold exactly as many numbers
 * as the message has changes is no use at all and gives zeros ("not known"): the versions then
 * decide alone. Pure: any thread.
 *
 * The text: items with one blank between them, each NUMBER or NUMBER*COUNT, in decimal without
 * signs.
 */
#include "common/wire/change.h"

#include <string.h>

/* strbuf_addint() is for signed numbers: what does not fit there is written in two halves. */
static void add_number(struct strbuf *out, uint64_t v)
{
	if (v > INT64_MAX) {
		strbuf_addint(out, (int64_t)(v / 10));
		v %= 10;
	}
	strbuf_addint(out, (int64_t)v);
}

static void end_run(struct change_xids *x)
{
	if (x->run == 0)
		return;
	if (x->text.len > 0)
		strbuf_addch(&x->text, ' ');
	add_number(&x->text, x->last);
	if (x->run > 1) {
		strbuf_addch(&x->text, '*');
		add_number(&x->text, x->run);
	}
	x->run = 0;
}

void change_xids_add(struct change_xids *x, uint64_t xid)
{
	if (x->run > 0 && x->last != xid)
		end_run(x);
	x->last = xid;
	x->run++;
}

const char *change_xids_finish(struct change_xids *x)
{
	end_run(x);
	return strbuf_str(&x->text);
}

void change_xids_reset(struct change_xids *x)
{
	strbuf_reset(&x->text);
	x->last = 0;
	x->run = 0;
}

void change_xids_clear(struct change_xids *x)
{
	strbuf_clear(&x->text);
	x->last = 0;
	x->run = 0;
}

/* *p: moved behind the digits. */
static bool read_number(const char **p, uint64_t *ret)
{
	const char *at = *p;
	uint64_t v = 0;

	for (; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*at - '0'), &v))
			return false;
	if (at == *p)
		return false;
	*p = at;
	*ret = v;
	return true;
}

static bool read_list(const char *p, uint64_t *ret, size_t n)
{
	size_t done = 0;

	while (*p != '\0') {
		uint64_t xid, count = 1;
		if (done > 0 && *p++ != ' ')
			return false;
		if (!read_number(&p, &xid))
			return false;
		if (*p == '*') {
			p++;
			if (!read_number(&p, &count))
				return false;
		}
		if (count == 0 || count > n - done)
			return false;
		while (count-- > 0)
			ret[done++] = xid;
	}
	return done == n;
}

bool change_xids_read(const char *text, uint64_t *ret, size_t n)
{
	if (text != NULL && read_list(text, ret, n))
		return true;
	if (n > 0)
		memset(ret, 0, n * sizeof(*ret));
	return false;
}
