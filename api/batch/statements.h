/*
 * statements.h: statements for reads and writes: what they ask with and what becomes of their answers; and those that are
 * made while the process runs, each prepared on a connection when it is first used there. A worker's thread; each worker has its own.
 *
 * A statement is known by its form: bytes that say all that its text depends on, so that the text is written only
 * when it is new. There are MADE_MAX places, on each connection too; when all are taken the one that was not
 * used for the longest time gives way. One that requests hold stays.
 */
#ifndef PGFANOUT_API_BATCH_STATEMENTS_H
#define PGFANOUT_API_BATCH_STATEMENTS_H

#include "api/batch/store.h"
#include "common/pg/db_param.h"

#define MADE_MAX 256
#define NO_PLACE (-1)

struct made;

/* What becomes of the requests of a statement. */
struct read_calls {
	/* The parameters, as many as the statement has, for these n requests; they are borrowed until it is sent. */
	void (*params)(struct request *const *rows, size_t n, struct db_param *ret);
	/* By key: the result has a row for each request that there is one of, and its first column is
	 * the request's number, from 1. False: this database's row is not whole, and the primary is to
	 * be asked. */
	bool (*row)(struct request *r, const struct pg_result *res, int row,
		    const struct upstream *up);
	void (*missing)(struct request *r, const struct upstream *up);
	/* A scan: all rows are its own. False: as above. */
	bool (*rows)(struct request *r, const struct pg_result *res, const struct upstream *up);
	/* The database refused the statement for what is in it, or (NULL: never) it took too long. False: the
	 * next one is asked. */
	bool (*refused)(struct request *r, const struct upstream *up, enum db_outcome outcome,
			const struct err *err);
	void (*none)(struct request *r); /* no database could answer */
};

struct read_statement {
	const struct read_calls *calls;
	bool joins; /* of several requests: by key; else n is always 1 */
	/* Those that are prepared with each connection: its number in the connector's kind; of the others
	 * made says it. */
	size_t number;
	struct made *made;
	/* The first row of the result is none of those asked for, by key its number is 0: in this column it
	 * has what the database tells of itself (place_sql()). NO_PLACE: there is no such row. */
	int place;
	int version; /* by key: the column of the row's version, NULL on the primary; 0: there is none */
};

/* What becomes of writes. */
struct write_calls {
	void (*params)(struct request *const *rows, size_t n, struct db_param *ret);
	/* Of which request a row of the result is, searched from this one on; n: of none. In its column 1 a row
	 * has NULL if it was left out, because somebody else has locked it. */
	size_t (*find)(struct request *const *rows, size_t n, const struct pg_result *res, int row,
		       size_t from);
	void (*row)(struct request *r, const struct pg_result *res, int row);
	void (*missing)(struct request *r); /* there is no row */
	/* Nothing was changed, and it would be no other way: its data (then it was by itself), or the table is
	 * another one now. False, or NULL: it is answered in general words. */
	bool (*refused)(struct request *r, enum db_outcome outcome, const struct err *err);
	struct relay *(*relay)(const struct request *r); /* that publishes it; NULL: none */
	/* The column of a number that no version of the row from before is, and any later one at least:
	 * pg_sequence_last_value() + 1, read when the row is written and locked, before its version is taken. */
	int version;
};
#define WRITE_VERSION "coalesce(pg_sequence_last_value('pgfanout.version_seq'::regclass), 0) + 1"

/* Two of each: one that leaves out locked rows, and one that waits for them. */
enum { WRITE_FREE, WRITE_WAITS };
struct write_statement {
	const struct write_calls *calls;
	bool joins;
	int nparams;
	size_t number[2]; /* as above */
	struct made *made[2];
};

struct made {
	/* Whoever finds it fills in one of them; to be of one statement is to have the same. */
	struct read_statement reads;
	struct write_statement writes;
	struct strbuf form;
	char *replica, *primary; /* the texts; owned. Often one: the same pointer */
	int nparams;
	uint64_t serial; /* of what is in this place */
	uint64_t hash;	 /* of the form */
	size_t place;
	uint64_t used; /* when it was, in uses */
	unsigned refs;
};

struct made_statements {
	struct made *places[MADE_MAX];
	uint64_t uses, serials;
};

/* Zeroed: there are none. */
void made_clear(struct made_statements *all);
/* The statement of this form; one reference, the caller's. NULL: there is none. */
struct made *made_find(struct made_statements *all, const struct strbuf *form);
/* It becomes the one of these texts, which are copied. NULL: all places are held. */
struct made *made_add(struct made_statements *all, const struct strbuf *form, const char *replica,
		      const char *primary, int nparams);
struct made *made_ref(struct made *m);
void made_unref(struct made *m); /* NULL is fine */
/* Its number on the link's connection. */
size_t made_number(const struct made *m, const struct link *l);

#endif
