/*
 * batch.h: the changes of several messages, to be applied to a replica as one transaction.
 *
 * A batch remembers for every message what is needed to acknowledge or to move it, for every change
 * where its raw JSON is (so that one change can be moved alone, as it came), and which change of
 * each row is the newest: only that one is applied. The others stay: if the newest one turns out to
 * be refused, the next newest of that row takes its place, so that a bad change costs only itself.
 *
 * All memory is kept between uses (batch_reset). One owner: a worker's thread. Pure.
 */
#ifndef PGFANOUT_CONSUMER_APPLY_BATCH_H
#define PGFANOUT_CONSUMER_APPLY_BATCH_H

#include "common/base/err.h"
#include "common/wire/change.h"
#include "common/wire/heartbeat.h"
#include "common/pg/pgarray.h"
#include "common/wire/table_sql.h"

/* A place in batch->text (NUL-terminated strings) or batch->bodies; survives their growing. */
struct batch_slice {
	size_t at, len;
};

/* A header that travels on with a moved message. */
struct batch_header {
	size_t key_at, str_at; /* in text; str_at 0: num is meant */
	int64_t num;
};

struct batch_message {
	uint64_t tag;
	enum change_kind kind;
	unsigned attempt; /* how often it has failed before */
	size_t id_at;	  /* message_id; these are places in text, 0: the empty string */
	size_t type_at;
	size_t content_type_at;
	int64_t shape;	   /* x-shape; 0: not known */
	int64_t inserted;  /* x-inserted */
	int64_t lsn;	   /* x-lsn; 0: not known */
	int64_t every_ms;  /* x-every, of a heartbeat; 0: not known */
	bool truncate;	   /* it says that all rows of a table are gone */
	bool all_inserted; /* that is how many changes it has */
	size_t xids_at;	   /* the x-xid header as it came */
	int64_t timestamp_s;
	size_t first_header, nheaders;
	struct batch_slice body; /* in bodies */
};

struct batch_change {
	struct change change;
	uint32_t message;	/* index */
	bool tried;		/* it has been handed out for applying */
	struct batch_slice raw; /* in bodies */
};

/* A message, or one element of its array, that could not be read or was refused: to be moved out of
 * the way. */
struct batch_failure {
	uint32_t message;
	struct batch_slice raw; /* in bodies */
	uint64_t xid;		/* of the element, 0: not known */
	int table;		/* these three: of its row, as far as they could be read: the */
	size_t key_at;		/* table's number; in text: the key as SQL writes a text[]; */
	int64_t version;	/* 0: they could not, or it is a TRUNCATE, of this version: */
	int64_t truncate;
	bool whole;	 /* all there is in the message: its x-xid goes with it as it came */
	size_t error_at; /* in text: why, for the operator */
	size_t shown_at; /* in text: what anybody may see of that; 0: the same */
};

/* Messages that came, by their numbers in a term of the relay: from first to last. */
struct batch_run {
	enum change_kind kind;
	int64_t term, first, last;
};

struct batch_beat {
	struct heartbeat beat;
	uint64_t xid; /* that recorded it; 0: not known */
	int64_t lsn;  /* what was committed before this place is in front of it; 0: not known */
	int64_t every_ms;
};

/* A place in the set of rows. */
struct batch_slot {
	uint32_t row;	/* index of a change */
	uint32_t round; /* in use only if it is the batch's */
	uint64_t hash;	/* of its key */
};

struct batch {
	struct batch_message *messages;
	size_t nmessages, messages_cap;
	struct batch_change *changes;
	size_t nchanges, changes_cap;
	struct batch_failure *failures;
	size_t nfailures, failures_cap;
	bool recorded; /* the replica knows that the rows of its failures are wrong, or will not take it */
	struct batch_header *headers;
	size_t nheaders, headers_cap;

	/* Indices of the changes to apply; batch_seal() fills it, batch_older() appends. */
	uint32_t *order;
	size_t norder, order_cap;

	struct strbuf bodies;	   /* raw JSON of all messages */
	struct change_arena arena; /* of the changes; what is raw counts from bodies */
	struct strbuf text;	   /* strings; byte 0 is the empty string */
	size_t source_at;	   /* x-source of all messages, 0: they have none */
	int64_t lsn; /* its changes were committed before this place in the WAL; 0: not known */

	struct batch_slot *newest; /* these four: a hash set of rows, each with the index of its */
	size_t newest_cap;	   /* newest change; open addressing, at most half of it in use */
	size_t nrows;
	uint32_t round;
	size_t nbeats; /* messages without a change: heartbeats, marks, shapes, changes of tables that
			 * are not here */
	bool left_out; /* changes were, because this replica does not have their table */
	int shape; /* these two: the last message describes this shape, or, without a body, needs it;
			* 0: neither */
	struct batch_slice shape_body;
	bool has_beat[2];	   /* these two: by enum change_kind, the queue they came through */
	struct batch_beat beat[2]; /* the newest one */
	struct batch_run *runs;
	size_t nruns, runs_cap;
	/* By the queue it came through, the newest mark: who gets its body back; 0, 0: none. */
	size_t mark_reply_to_at[2], mark_body_at[2];

	uint64_t *xids; /* scratch for reading x-xid */
	size_t xids_cap;
};

void batch_init(struct batch *b);
void batch_clear(struct batch *b);
/* Empties it; buffers that grew far beyond the usual are given back. */
void batch_reset(struct batch *b);

/* Copies a string in; returns its place. What batch_text() returns is valid until text is added. */
size_t batch_add_text(struct batch *b, const char *s, size_t len);
const char *batch_text(const struct batch *b, size_t at);

/* Whether a message with this x-source ("" for none) may join, or numbers of one. */
bool batch_takes_source(const struct batch *b, const char *source);
/* One does: the batch is of this source from now on. */
void batch_join_source(struct batch *b, const char *source);

struct batch_message *batch_add_message(struct batch *b, uint64_t tag, enum change_kind kind);
/* Of the last message. */
void batch_add_header(struct batch *b, const char *key, const char *str, int64_t num);
/* Of the last message. Its values are in b->arena. */
void batch_add_change(struct batch *b, const struct change *c, struct batch_slice raw);
/* What f.message holds could not be read. */
void batch_add_failure(struct batch *b, struct batch_failure f, const char *error);
/* Fills in which row it is about. */
void batch_name_row(struct batch *b, struct batch_failure *f, const struct change *c);
/* The replica refused this change: a failure. */
void batch_fail_change(struct batch *b, uint32_t change, const struct err *why);
/* The last message is a heartbeat, recorded by this transaction of the primary. */
void batch_add_beat(struct batch *b, const struct heartbeat *beat, uint64_t xid);
/* The last message has no change that concerns the replica. */
void batch_add_nothing(struct batch *b);
/* The last message describes a shape, or, if the body is empty, cannot be read without it. No message comes
 * behind it. */
void batch_add_shape(struct batch *b, int shape, struct batch_slice body);
/* Whether its last message describes one. */
bool batch_brings_shape(const struct batch *b);
/* The last message has this number in this term. */
void batch_add_number(struct batch *b, int64_t term, int64_t number);
/* The numbers of `from`, and with them its x-source, which this one must take. */
void batch_take_numbers(struct batch *b, const struct batch *from);
/* Whether there is something to tell the replica beside changes. */
bool batch_has_arrivals(const struct batch *b);
/* The last message is a mark. */
void batch_add_mark(struct batch *b, const char *reply_to, const char *body, size_t len);
uint64_t *batch_scratch_xids(struct batch *b, size_t n);

/* No more messages: makes `order`, the newest change of each row, by tables and in the order of their
 * keys (neighbours in the table's index, and one locking order for everybody). */
void batch_seal(struct batch *b);
/* The next newest change of the same row that was not tried yet is appended to `order`: true,
 * *ret_at is its place there. */
bool batch_older(struct batch *b, uint32_t change, size_t *ret_at);
/* Whether two places in `order` have changes that may be of one unit: rows of one table. */
bool batch_of_one_table(const struct batch *b, size_t at, size_t other);

/* What the parameters of a unit point into. */
struct batch_params {
	struct pgarray versions, xids, deleted, column, runs, kept[TABLE_KEPT_TEXTS];
	struct strbuf columns, beats, key;
	char newest[8], xid[8], lsn[8], all_new[1];
};
/* What a unit takes along of what the batch has beside changes. */
enum batch_arrivals {
	BATCH_NO_ARRIVALS,
	BATCH_ARRIVALS, /* numbers of messages, heartbeats */
	BATCH_NO_MARKS, /* the same without the heartbeats' places in the WAL: the replica lacks something that
			 * it does not know of */
};
/* For order[from … from+n), all of one table: the parameters of enum table_apply. */
void batch_params_build(struct batch_params *p, const struct batch *b, size_t from, size_t n,
			enum batch_arrivals arrivals, struct db_param ret[TABLE_APPLY_PARAMS]);
/* For what the batch has beside changes alone, or not even that: source, runs, beats. */
void batch_arrivals_build(struct batch_params *p, const struct batch *b,
			  enum batch_arrivals arrivals, struct db_param ret[TABLE_ARRIVE_PARAMS]);
/* For order[at], a TRUNCATE: source, version, xid, runs, beats, place in the WAL. */
void batch_truncate_build(struct batch_params *p, const struct batch *b, size_t at,
			  enum batch_arrivals arrivals, struct db_param ret[TABLE_TRUNCATE_PARAMS]);
/* For order[from … from+n), all of one table: the parameters of table_sql_each(). queues: their names, by enum
 * change_kind. */
void batch_each_build(struct batch_params *p, const struct batch *b, size_t from, size_t n,
		      const char *const queues[2], struct db_param ret[TABLE_EACH_PARAMS]);
/* Whether there are failures whose row is known, and which are not recorded yet. */
bool batch_to_record(const struct batch *b);
/* For these: the parameters of record_wrong.sql. queues: as above. */
#define BATCH_RECORD_PARAMS 7
#define BATCH_ERROR_MAX	    501 /* of an error that is recorded: 500 bytes and the NUL */
void batch_record_build(struct batch_params *p, const struct batch *b, const char *const queues[2],
			struct db_param ret[BATCH_RECORD_PARAMS]);
/* Gives back what grew far beyond the usual. */
void batch_params_reset(struct batch_params *p);
void batch_params_clear(struct batch_params *p);

#endif
