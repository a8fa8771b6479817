/*
 * amqp_headers.c: looks up a message's headers. Pure.
 */
#include <string.h>

#include "common/amqp/amqp.h"

const struct amqp_header *amqp_find_header(const struct amqp_header *headers, size_t n,
					   const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(headers[i].key, key) == 0)
			return &headers[i];
	return NULL;
}

const char *amqp_header_text(const struct amqp_header *headers, size_t n, const char *key)
{
	const struct amqp_header *h = amqp_find_header(headers, n, key);

	return h != NULL && h->str != NULL ? h->str : "";
}
