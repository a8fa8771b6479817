/*
 * query_count.c: how many rows a resource has, as a statement for the primary. Pure; any thread.
 */
#include "api/resources/query_private.h"
#include "api/resources/query_sql.h"

void query_sql_count(struct strbuf *out, const struct model_resource *r, int64_t most)
{
	strbuf_addstr(out, "SELECT count(*) FROM (SELECT FROM ");
	query_sql_table(out, r, true, "p");
	strbuf_addstr(out, " LIMIT ");
	strbuf_addint(out, most);
	strbuf_addstr(out, ") AS c");
}
