/*
 * products_stream_for_tests.h: the stream of products, and common/wire/topology.c's names for it, where that is
 * not to be linked. Defines them: for one file of a program.
 */
#ifndef PGFANOUT_TESTS_UNIT_PRODUCTS_STREAM_FOR_TESTS_H
#define PGFANOUT_TESTS_UNIT_PRODUCTS_STREAM_FOR_TESTS_H

#include <stdio.h>

#include "common/wire/topology.h"

static const struct stream stream = {
	.number = 1, .text = "1", .name = "products", .exchange = "products"
};

/* outbox.c's, which is linked and not called. */
int topology_lead_lock(const struct stream *s)
{
	return s->number;
}

void topology_type(char *buf, const struct stream *s, const char *kind)
{
	snprintf(buf, TOPOLOGY_NAME_MAX, "%s.%s", s->name, kind);
}

void topology_queue(char *buf, const struct stream *s, enum change_kind kind, const char *replica)
{
	assert_ptr_equal(s, &stream);
	snprintf(buf, TOPOLOGY_NAME_MAX, "%s.%s", change_kind_name(kind), replica);
}

#endif
