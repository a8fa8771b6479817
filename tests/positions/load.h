/*
 * load.h: the clients of the positions load: what each does next, and what it is shown. One thread.
 *
 * Three tables: products, each row by itself; and families, an author with his posts, which go with
 * him when he is deleted. Rows have numbers from 0, the products' as UUIDs. So many in a row are a
 * client's own: it writes them most of the time, others the rest, so every row has several writers.
 *
 * Writes of a product, or of a family, come one after another, whoever makes them: what one says to
 * be older than another is known. Where an answer did not come, nobody knows what the rows are: they
 * are never written again.
 */
#ifndef PGFANOUT_TESTS_POSITIONS_LOAD_H
#define PGFANOUT_TESTS_POSITIONS_LOAD_H

#include "common/base/clock.h"
#include "tests/positions/http.h"
#include "tests/positions/rows.h"

enum table { PRODUCTS, AUTHORS, POSTS, TABLES };
enum kind { WRITE, ROW, EMBED, CHILDREN, PAGE, LIST, KINDS };
enum pace { PAUSED, LOADING, MEASURING };

#define MAX_APIS	2
#define MAX_SERVERS	16
#define AFTER_WRITE_MS	50
#define POSITION_LENGTH 64

struct op {
	enum kind kind;
	enum table table;
	unsigned row;
	unsigned from, limit; /* of a page or list, its first row; of an own page, how many */
	bool walks;	      /* the page goes on where the client's last one of the table ended */
	bool embeds;	      /* authors with posts, posts with author */
	/* writes */
	const char *method;
	bool imports;
	uint32_t state;
	char path[400];
	unsigned api;
	struct mono sent;
	bool measured;
};

struct client {
	unsigned number;
	struct connection connections[MAX_APIS];
	bool waits; /* for the answer to op */
	struct op op;
	struct op after; /* the last write, while no read has come after it */
	struct mono due;
	uint64_t random;
	char position[128];
	uint32_t *seen[TABLES]; /* of each row, see rows.h */
	/* Where pages of a table begin, as answers said: the next one of a walk, and the nearest one
	 * before the client's own rows. */
	struct {
		char cursor[256];
		unsigned from;
	} walk[TABLES], own[TABLES];
};

struct load {
	/* as the options say */
	unsigned clients_n, apis_n, own[TABLES], posts; /* posts: of an author */
	int ports[MAX_APIS];
	bool forget;	      /* positions are neither sent nor asked for */
	double rate;	      /* operations a second, all clients together */
	double writes;	      /* of them, from 0 to 1 */
	double measured_rate; /* writes a second while MEASURING, each with a read */

	enum pace pace;
	bool down[MAX_APIS];	  /* is being restarted: no answer from it is no failure */
	struct mono up[MAX_APIS]; /* the end of that */
	unsigned rows_n[TABLES];
	struct row *rows[TABLES];
	unsigned char *locked[TABLES]; /* products, authors: is being written, or never is again */
	struct client *clients;

	uint64_t writes_n, reads_n[KINDS], stale_n[KINDS], failed, interrupted, retired;
	uint64_t wrong_n[ROW_WRONGS], without_position, complaints;
	struct {
		uint64_t all, replicas;
	} measured[KINDS];
	struct {
		char name[64];
		uint64_t reads;
	} servers[MAX_SERVERS];
};

/* Chooses the client's next operation and writes its request. False: there is none now. */
bool load_next(struct load *l, struct client *c, struct strbuf *ret_request);
/* The answer to c->op. */
void load_answered(struct load *l, struct client *c, const struct answer *a);
/* There is none: why. */
void load_unanswered(struct load *l, struct client *c, const char *why);

#endif
