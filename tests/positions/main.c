/*
 * main.c: positions-client, the load and the checker of `make test-positions`. One thread.
 *
 * It reads commands on standard input and answers each with a line of JSON, all counts so far:
 *   load RATE WRITES   operations a second, 0: as many as there can be; how many of them are writes
 *   measure RATE       writes a second, each followed by a read 50 ms after its answer
 *   pause              answers when no request is under way
 *   down N, up N       the N-th API is being restarted: what it does not answer is no failure
 *   count
 * The end of the input ends it. What was wrong is on standard error.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/positions/load.h"

#define ANSWER_WITHIN_US 30000000 /* an API may take 5 s */
#define REST_US		 20000	  /* after a request that came to nothing */

static void add_int(json_t *to, const char *name, uint64_t n)
{
	json_object_set_new(to, name, json_integer((json_int_t)n));
}

static void print_counts(const struct load *l)
{
	static const char *const kinds[KINDS] = { "write",    "row",  "embed",
						  "children", "page", "list" };
	static const char *const wrongs[ROW_WRONGS] = { "right", "older", "back", "missing",
							"unwritten" };
	json_t *all = json_object(), *reads = json_object(), *stale = json_object();
	json_t *wrong = json_object(), *servers = json_object(), *measured = json_object();

	for (unsigned i = ROW; i < KINDS; i++) {
		add_int(reads, kinds[i], l->reads_n[i]);
		add_int(stale, kinds[i], l->stale_n[i]);
		if (l->measured[i].all)
			json_object_set_new(measured, kinds[i],
					    json_pack("[II]", (json_int_t)l->measured[i].replicas,
						      (json_int_t)l->measured[i].all));
	}
	for (unsigned i = ROW_OLDER; i < ROW_WRONGS; i++)
		add_int(wrong, wrongs[i], l->wrong_n[i]);
	for (unsigned i = 0; i < MAX_SERVERS && l->servers[i].reads; i++)
		add_int(servers, l->servers[i].name, l->servers[i].reads);
	add_int(all, "writes", l->writes_n);
	add_int(all, "failed", l->failed);
	add_int(all, "interrupted", l->interrupted);
	add_int(all, "retired", l->retired);
	add_int(all, "without_position", l->without_position);
	json_object_set_new(all, "reads", reads);
	json_object_set_new(all, "stale", stale);
	json_object_set_new(all, "wrong", wrong);
	json_object_set_new(all, "servers", servers);
	json_object_set_new(all, "measured", measured);
	json_dumpf(all, stdout, JSON_COMPACT);
	puts("");
	fflush(stdout);
	json_decref(all);
}

/* ---- clients --------------------------------------------------------------------------------- */

static double client_rate(const struct load *l)
{
	return (l->pace == MEASURING ? l->measured_rate : l->rate) / l->clients_n;
}

/* When the client does something again: at its rate, counted from its last operation, or its last write. */
static void plan(const struct load *l, struct client *c)
{
	struct mono now = mono_now();
	double spread = 0.5 + (double)((c->random >> 20) % 1000) / 1000;
	double rate = client_rate(l);
	struct mono last = l->pace == MEASURING ? c->after.sent : c->op.sent;

	if (l->pace == MEASURING && c->after.method)
		c->due.us = now.us + AFTER_WRITE_MS * 1000;
	else
		c->due.us = rate > 0 ? last.us + (int64_t)(spread * 1e6 / rate) : now.us;
	if (c->due.us < now.us)
		c->due = now;
}

static void give_up(struct load *l, struct client *c, const char *why)
{
	connection_close(&c->connections[c->op.api]);
	c->waits = false;
	load_unanswered(l, c, why);
	plan(l, c);
	c->due.us += REST_US;
}

static void begin(struct load *l, struct client *c, int epoll, struct strbuf *request)
{
	struct connection *to;

	if (!load_next(l, c, request)) {
		c->due.us = mono_now().us + 1000;
		return;
	}
	to = &c->connections[c->op.api];
	c->waits = true;
	if (to->fd < 0) {
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };

		if (!connection_open(to, l->ports[c->op.api])) {
			give_up(l, c, "nobody listens");
			return;
		}
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, to->fd, &event) < 0)
			fatal("epoll_ctl: %s", strerror(errno));
	}
	if (!connection_send(to, request))
		give_up(l, c, "the connection broke");
}

/* Something has come for the client, on any of its connections. */
static void receive(struct load *l, struct client *c)
{
	for (unsigned api = 0; api < l->apis_n; api++) {
		struct connection *from = &c->connections[api];
		struct answer a;

		if (from->fd < 0)
			continue;
		switch (connection_receive(from, &a)) {
		case RECEIVED_PART:
			break;
		case RECEIVED_END:
			if (c->waits && c->op.api == api)
				give_up(l, c, "the connection ended");
			else
				connection_close(from);
			break;
		case RECEIVED_ALL:
			if (!c->waits || c->op.api != api)
				fatal("an answer to nothing: %s", a.body);
			c->waits = false;
			load_answered(l, c, &a);
			if (a.closes)
				connection_close(from);
			plan(l, c);
			break;
		}
	}
}

/* Begins what is due; returns how many milliseconds nothing is. */
static int turn(struct load *l, int epoll, struct strbuf *request, unsigned *ret_waiting)
{
	struct mono now = mono_now();
	int64_t next = now.us + 100000;

	*ret_waiting = 0;
	for (unsigned i = 0; i < l->clients_n; i++) {
		struct client *c = &l->clients[i];

		if (c->waits && now.us - c->op.sent.us > ANSWER_WITHIN_US)
			give_up(l, c, "no answer");
		if (!c->waits && l->pace != PAUSED && c->due.us <= now.us)
			begin(l, c, epoll, request);
		*ret_waiting += c->waits;
		if (!c->waits && l->pace != PAUSED && c->due.us < next)
			next = c->due.us;
	}
	return next <= now.us ? 0 : (int)((next - now.us + 999) / 1000);
}

/* ---- commands -------------------------------------------------------------------------------- */

/* True: it is answered at once. */
static bool command(struct load *l, const char *line)
{
	unsigned api;

	if (sscanf(line, "load %lf %lf", &l->rate, &l->writes) == 2) {
		l->pace = LOADING;
	} else if (sscanf(line, "measure %lf", &l->measured_rate) == 1) {
		l->pace = MEASURING;
	} else if (strcmp(line, "pause") == 0) {
		l->pace = PAUSED;
		return false;
	} else if (sscanf(line, "down %u", &api) == 1 && api < l->apis_n) {
		l->down[api] = true;
	} else if (sscanf(line, "up %u", &api) == 1 && api < l->apis_n) {
		l->down[api] = false;
		l->up[api] = mono_now();
	} else if (strcmp(line, "count") != 0) {
		fatal("unknown command: %s", line);
	}
	return true;
}

/* False: the input has ended. A command comes whole: Python writes it as one. */
static bool read_command(struct load *l, bool *pausing)
{
	char line[128];
	ssize_t n = read(STDIN_FILENO, line, sizeof(line) - 1);

	if (n <= 0)
		return false;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (command(l, line))
		print_counts(l);
	else
		*pausing = true;
	return true;
}

static void run(struct load *l)
{
	struct epoll_event events[64], input = { .events = EPOLLIN, .data.ptr = NULL };
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	AUTO_STRBUF request = STRBUF_INIT;
	bool pausing = false;
	unsigned waiting;

	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input) < 0)
		fatal("epoll: %s", strerror(errno));
	for (;;) {
		int ms = turn(l, epoll, &request, &waiting);
		int n;

		if (pausing && waiting == 0) {
			pausing = false;
			print_counts(l);
		}
		n = epoll_wait(epoll, events, ARRAY_SIZE(events), ms);
		for (int i = 0; i < n; i++)
			if (events[i].data.ptr)
				receive(l, events[i].data.ptr);
			else if (!read_command(l, &pausing))
				return;
	}
}

/* ---- options --------------------------------------------------------------------------------- */

/* Every row there is has been created before, in its first life. */
static void prepare(struct load *l, uint64_t seed)
{
	l->rows_n[PRODUCTS] = l->clients_n * l->own[PRODUCTS];
	l->rows_n[AUTHORS] = l->clients_n * l->own[AUTHORS];
	l->own[POSTS] = l->own[AUTHORS] * l->posts;
	l->rows_n[POSTS] = l->clients_n * l->own[POSTS];
	l->clients = xcalloc(l->clients_n, sizeof(*l->clients));
	for (unsigned t = 0; t < TABLES; t++) {
		l->rows[t] = xcalloc(l->rows_n[t], sizeof(*l->rows[t]));
		l->locked[t] = xcalloc(l->rows_n[t], 1);
		for (unsigned i = 0; i < l->rows_n[t]; i++)
			l->rows[t][i].now = l->rows[t][i].begun = ROW_LIFE;
	}
	for (unsigned i = 0; i < l->clients_n; i++) {
		struct client *c = &l->clients[i];

		c->number = i;
		c->random = (seed + 1) * 0x9e3779b97f4a7c15 + i * 0xbf58476d1ce4e5b9;
		c->op.api = i % l->apis_n;
		for (unsigned api = 0; api < MAX_APIS; api++)
			c->connections[api].fd = -1;
		for (unsigned t = 0; t < TABLES; t++)
			c->seen[t] = xcalloc(l->rows_n[t], sizeof(*c->seen[t]));
	}
}

int main(int argc, char **argv)
{
	struct load l = { .apis_n = 2 };
	unsigned long long seed;

	if (argc != 9) {
		fputs("usage: positions-client PORT PORT CLIENTS PRODUCTS AUTHORS POSTS SEED "
		      "remember|forget\n",
		      stderr);
		return EXIT_USAGE;
	}
	l.ports[0] = atoi(argv[1]);
	l.ports[1] = atoi(argv[2]);
	l.clients_n = (unsigned)atoi(argv[3]);
	l.own[PRODUCTS] = (unsigned)atoi(argv[4]);
	l.own[AUTHORS] = (unsigned)atoi(argv[5]);
	l.posts = (unsigned)atoi(argv[6]);
	seed = strtoull(argv[7], NULL, 10);
	l.forget = strcmp(argv[8], "forget") == 0;
	prepare(&l, seed);
	run(&l);
	print_counts(&l);
	return EXIT_OK;
}
