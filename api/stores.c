/*
 * stores.c: see stores.h.
 */
#include "api/stores.h"

#include <stdlib.h>

#include "api/batch/list.h"
#include "api/batch/scratch.h"
#include "api/batch/statements.h"
#include "api/batch/import.h"
#include "api/products/product_reads.h"
#include "api/products/product_writes.h"
#include "api/batch/write_batch.h"
#include "api/resources/resources.h"

struct whole_store {
	struct store store; /* the first member */
	struct made_statements made;
	struct scratch scratch;
	struct read_batches reads;
	struct write_batches writes;
	struct lists lists;
	struct imports imports;
	struct resources resources;
};

static struct store *store_new(struct service *service, struct pool *pool)
{
	struct whole_store *s = xcalloc(1, sizeof(*s));
	const struct api_settings *settings = service->settings;

	s->store = (struct store){ .service = service,
				   .pool = pool,
				   .made = &s->made,
				   .scratch = &s->scratch,
				   .reads = &s->reads,
				   .writes = &s->writes,
				   .lists = &s->lists,
				   .imports = &s->imports,
				   .resources = &s->resources };
	s->lists.max = s->imports.max = api_settings_share(settings, settings->max_lists);
	s->imports.statements = (struct import_statements){ PRODUCT_MARK, PRODUCT_END,
							    PRODUCT_PLACE };
	s->reads.marks = PRODUCT_MARKS;
	s->writes.place = PRODUCT_PLACE;
	write_batches_init(&s->writes);
	return &s->store;
}

static void store_free(struct store *s)
{
	read_batches_clear(s->reads);
	write_batches_clear(s->writes);
	resources_clear(s->resources);
	made_clear(s->made);
	scratch_clear(s->scratch);
	free(s);
}

static void store_dispatch(struct store *s)
{
	read_dispatch(s);
	write_dispatch(s);
	import_dispatch(s);
}

static void store_tick(struct store *s)
{
	read_tick(s);
	write_tick(s);
	import_tick(s);
	list_tick(s);
	resources_tick(s);
}

static struct mono store_next(const struct store *s, struct mono tick)
{
	bool busy = s->lists->n > 0 || s->imports->n > 0 || s->resources->counting.n > 0;

	return mono_earlier(mono_earlier(s->writes->gather_until, read_next(s)),
			    busy ? tick : MONO_NEVER);
}

static const struct connector_kinds *store_kinds(void)
{
	static struct connector_kinds kinds;

	kinds = (struct connector_kinds){ product_read_kind(false), product_read_kind(true),
					  product_write_kind };
	return &kinds;
}

const struct store_calls stores_calls = {
	.kinds = store_kinds,
	.new = store_new,
	.free = store_free,
	.dispatch = store_dispatch,
	.tick = store_tick,
	.next = store_next,
};
