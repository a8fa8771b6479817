/*
 * stream.h: a stream of changes: what has an exchange, and for each replica queues and a worker of its
 * own, so that its troubles are its own. Every table belongs to one. topology.h has the names.
 */
#ifndef PGFANOUT_COMMON_WIRE_STREAM_H
#define PGFANOUT_COMMON_WIRE_STREAM_H

#define STREAM_NAME_MAX	  40 /* bytes, without the NUL */
#define STREAM_PREFIX_MAX 32

struct stream {	      /* made by topology_stream(), immutable then */
	int number;   /* in the databases; 1: products */
	char text[8]; /* the same, for statements */
	char name[STREAM_NAME_MAX + 1];
	char exchange[STREAM_PREFIX_MAX + STREAM_NAME_MAX + 1]; /* begins the names of its queues */
};

#define STREAM_PRODUCTS 1

#endif
