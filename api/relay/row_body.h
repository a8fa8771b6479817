/*
 * row_body.h: the body of a record, as capture wrote it (pgfanout.value_text() in the migration says how),
 * becomes the JSON object that messages have.
 *
 * A body that ends early, or has more than its columns, was changed by hand. Its object has what could be
 * read, and a member whose name no column can have and which says so: the replicas refuse the row, and show
 * it among their dead letters, and no other row waits for it.
 *
 * A row that no message can hold is written by its key, with such a member too: it is wrong on the replicas,
 * and known to be, until a smaller one comes, or a load.
 *
 * Owned by a route. Pure.
 */
#ifndef PGFANOUT_API_RELAY_ROW_BODY_H
#define PGFANOUT_API_RELAY_ROW_BODY_H

#include "common/base/strbuf.h"
#include "common/wire/change.h"
#include "common/wire/table.h"

struct row_body;

/* How bodies of rows of this shape are read. t: not needed any more. */
struct row_body *row_body_new(const struct table *t);
struct row_body *row_body_free(struct row_body *b); /* NULL is fine; returns NULL */

/* Appends the object without its closing brace. Of a CHANGE_DELETE the body is a key. */
void row_body_write(const struct row_body *b, struct strbuf *out, enum change_kind kind,
		    const char *body, size_t len);
/* Of a row whose object would be too large: its key, and that it is. */
void row_body_write_large(const struct row_body *b, struct strbuf *out, const char *body,
			  size_t len);

#endif
