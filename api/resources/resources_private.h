/*
 * resources_private.h: what the parts of resources.h share.
 *
 * resources.c        names, models, and requests that wait for another model
 * resources_read.c   reads: what is asked becomes a statement, rows become the answer
 * resources_write.c  writes likewise
 * resources_import.c writes of many rows
 * resources_status.c what /openapi.json, /status and /stats say of resources
 *
 * A request's own state is struct resource_request, from its handler until nobody holds the request. It has a
 * reference to the model that it was read against, and to its statements: all may be replaced meanwhile.
 */
#ifndef PGFANOUT_API_RESOURCES_RESOURCES_PRIVATE_H
#define PGFANOUT_API_RESOURCES_RESOURCES_PRIVATE_H

#include "api/resources/resources.h"
#include "api/resources/query_write.h"
#include "api/resources/row_input.h"

struct resource_request {
	/* Reads what is asked against the newest model, and sets the statement. False: it was answered. */
	bool (*plan)(struct request *r);
	void (*submit)(struct request *r);
	struct query query; /* also of a write: model, resource, and the key */
	struct made *made[2];
	uint64_t outdated;    /* the model that the primary refused; 0: none */
	struct mono patience; /* for another one; never: it is not waited for */

	bool counted;	 /* of a list: its answer has the header with the count */
	char number[16]; /* the limit, as a parameter */

	enum query_verb verb; /* of a write */
	struct row_input in;
};

/* ---- resources.c ---- */
void resources_init(struct request *r, bool (*plan)(struct request *),
		    void (*submit)(struct request *));
void resources_start(struct request *r); /* it is answered in the end */
/* The newest one; valid until the next call in this worker. NULL: it was answered. */
const struct model *resources_model(struct request *r);
/* NULL: it was answered. */
const struct model_resource *resources_find(struct request *r, const struct model *m,
					    struct route_part name);
/* What is in front of the "!" of "comments!author_id". */
struct route_part resources_name(struct route_part part);
const struct listed_resource *resources_listed(const struct request *r,
					       const struct model_resource *resource);
/* Answers with 400; returns false. */
bool resources_refuse(struct request *r, const struct query_fault *fault);
/* The beginning of a statement's form: which of those of a query it is, by a letter, and the model. */
void resources_form(struct strbuf *out, const struct model *m, char which);
/* Both statements of a write (WRITE_FREE, WRITE_WAITS); one reference to each, the caller's. False: there is no
 * place for them, and ret has those that there was place for. */
bool resources_make_write(struct made_statements *all, const struct model *m,
			  const struct query_write *w, struct made **ret);
/* Gives both references back, and forgets them. */
void resources_drop_made(struct made **made);
/* The path's key becomes values of the query. False: it was answered. */
bool resources_read_key(struct request *r);
/* What stands in front of "/users": "/api", or nothing. */
const char *resources_prefix(const struct request *r);
bool resources_envelope(const struct request *r);
/* ,"message":"users retrieved successfully"} */
void resources_message(const struct request *r, struct strbuf *out, const char *what);

/* Why the database refused a row, in words of ours; field: the column that it names, or "". */
void resources_explain(const struct model_resource *resource, const struct err *err, char *field,
		       size_t size, struct err *ret);
/* NULL: its stream has none yet. */
struct relay *resources_relay(const struct service *service, const struct model_resource *resource);

/* Whether a database says that the model is not what it has. */
bool resources_is_outdated(const struct err *err);
/* Whether a value is at fault where the class of the error is that of wrong statements: one that is looked up in the
 * database's own catalog (regclass), or read by a grammar (jsonpath, tsquery), or cannot be compared. */
bool resources_blames_value(const struct err *err);
/* Waits for another model, then the request is read and sent again. False: it has waited for too long. */
bool resources_wait(struct request *r);

/* ---- resources_read.c ---- */

/* A list that runs goes on in the newest model, with the members that it has begun with; or is cut, if they are
 * gone. */
void resources_read_on(struct request *r);

/* ---- resources_status.c ---- */
/* Those that wait for counts of rows. */
void resources_tick_stats(struct store *s);

#endif
