/*
 * dead_letters.c: see dead_letters.h. One queue after the other, of each replica and stream, each on
 * connections of its own.
 *
 * What happens to a letter:
 *   list, show   it is written out, and goes back when the connection is closed
 *   replay       it is published to the queue it came from; when that is confirmed it is
 *                acknowledged here, and "replayed" is written out
 *   discard      it is written out, and when that worked it is acknowledged
 *
 * If the process dies, each letter is here, or in its queue, or in both. Replaying is safe at any
 * age: a replica takes no change that is older than what it has.
 */
#include "consumer/letters/dead_letters.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/stop.h"
#include "consumer/letters/dead_letters_queue.h"
#include "consumer/letters/dead_letters_replay.h"
#include "consumer/letters/dead_letters_streams.h"
#include "consumer/letters/dead_letters_text.h"
#include "consumer/settings.h"

enum { OPT_REPLICA = 256 };

struct command {
	const struct consumer_settings *settings;
	struct dead_args *args;
	int64_t now_us;
	struct strbuf out; /* what is being written */

	/* Of the replica and stream that is worked on: */
	const char *replica;
	const struct tables *tables;
	struct dead_queue queue;
	struct dead_replay *replay; /* replay only */
	size_t discarded;

	/* Of all: */
	bool partial;  /* a replica could not be asked which streams it has */
	size_t chosen; /* letters the arguments mean */
	size_t done;   /* of them replayed or discarded */
	size_t left;   /* could not be replayed */
	enum exit_code code;
};

static const char help[] =
	"pgfanout-consumer dead-letters: changes that were given up, in queues\n"
	"STREAM.dead.NAME\n"
	"\n"
	"Usage: pgfanout-consumer dead-letters list    [--replica NAME]... [--json] [ID...]\n"
	"       pgfanout-consumer dead-letters show    [--replica NAME]... [--json] --all | ID...\n"
	"       pgfanout-consumer dead-letters replay  [--replica NAME]... [--json] --all | ID...\n"
	"       pgfanout-consumer dead-letters discard [--replica NAME]... [--json] [--yes]\n"
	"                                              --all | ID...\n"
	"\n"
	"  list             one line a letter; nothing is changed\n"
	"  show             all that is known of them, with their bodies; nothing is changed\n"
	"  replay           puts them back into the queues they came from, all attempts left;\n"
	"                   safe at any age: a replica takes no change older than what it has\n"
	"  discard          removes them; their rows stay as they are on the replica\n"
	"  ID               of a message or a row, as list shows it, a product's id or 'public.users {7}':\n"
	"                   all letters that have it\n"
	"  --all            all letters\n"
	"  --replica NAME   of this replica only; may be given several times (default: all)\n"
	"  --json           one JSON object a line\n"
	"  --yes, -y        discard --all: do not ask\n"
	"\n"
	"It works while the consumer runs. Settings: RABBITMQ_URL and the replicas, as\n"
	"pgfanout-consumer --help says.\n"
	"Exit codes: 0 done; 1 no such replica or letter, or a letter could not be replayed;\n"
	"2 wrong argument or setting; 3 the broker or a replica does not answer; 6 the output cannot be\n"
	"written; 7 stopped by a signal, or not answered with yes.\n";

static void complain(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void complain(const char *fmt, ...)
{
	va_list ap;

	fputs("pgfanout-consumer: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

/* The first trouble decides. */
static void fail(struct command *c, enum exit_code code)
{
	if (c->code == EXIT_OK || c->code == EXIT_DIFFERENT)
		c->code = code;
}

static bool going(const struct command *c)
{
	return !stop_requested() && (c->code == EXIT_OK || c->code == EXIT_DIFFERENT);
}

/* Writes c->out; what could not be written must not be discarded. */
static bool put(struct command *c)
{
	bool ok = fwrite(strbuf_str(&c->out), 1, c->out.len, stdout) == c->out.len &&
		  fflush(stdout) == 0;

	strbuf_reset(&c->out);
	if (!ok && going(c)) {
		if (errno != EPIPE) /* `… | head` has what it wanted */
			complain("cannot write the output: %s", strerror(errno));
		fail(c, EXIT_RUNTIME);
	}
	return ok;
}

static void ack(struct command *c, uint64_t tag)
{
	struct err err;

	if (dead_queue_ack(&c->queue, tag, &err))
		return;
	if (going(c))
		complain("%s", err.text);
	fail(c, EXIT_UNREACHABLE);
}

/* ---- one letter ---- */

static void say_what_was_done(struct command *c, const struct dead_letter *l,
			      const struct amqp_delivery *d, const char *what, const char *rest)
{
	if (c->args->json) {
		AUTO_STRBUF extra = STRBUF_INIT;
		strbuf_addf(&extra, ",\"result\":\"%s\"", what);
		dead_text_json(&c->out, l, d, c->now_us, extra.data);
	} else {
		strbuf_addf(&c->out, "%s ", what);
		dead_text_short(&c->out, l);
		strbuf_addf(&c->out, "%s\n", rest);
	}
}

static void on_replayed(void *arg, uint64_t tag, const struct dead_letter *l, enum amqp_settled how)
{
	struct command *c = arg;

	if (how == AMQP_CONFIRMED) {
		/* Confirmed there: only now gone from here. */
		ack(c, tag);
		c->done++;
		say_what_was_done(c, l, NULL, "replayed", "");
	} else {
		c->left++;
		fail(c, EXIT_DIFFERENT);
		say_what_was_done(
			c, l, NULL, "left",
			how == AMQP_RETURNED
				? ": its queue does not exist; start the consumer, and replay again"
				: ": the broker refused it");
	}
	(void)put(c);
}

static bool replay(struct command *c, const struct dead_letter *l, const struct amqp_delivery *d)
{
	if (*l->queue != '\0') {
		dead_replay_add(c->replay, l, d);
		return dead_replay_room(c->replay);
	}
	c->left++;
	fail(c, EXIT_DIFFERENT);
	say_what_was_done(c, l, NULL, "left",
			  ": it does not say which queue of this replica it came from");
	return put(c);
}

static bool is_meant(struct command *c, const struct amqp_delivery *d)
{
	bool meant = c->args->nids == 0;

	for (size_t i = 0; i < c->args->nids; i++)
		if (dead_letter_has(d, c->tables, &c->args->ids[i]))
			c->args->ids[i].found = meant = true;
	return meant;
}

static bool on_letter(void *arg, const struct amqp_delivery *d)
{
	struct command *c = arg;
	struct dead_letter l;

	if (!going(c))
		return false;
	if (!is_meant(c, d))
		return true;
	c->chosen++;
	dead_letter_read(&l, c->replica, c->tables, d);
	switch (c->args->action) {
	case DEAD_LIST:
		if (c->args->json) {
			dead_text_json(&c->out, &l, NULL, c->now_us, NULL);
		} else {
			if (c->chosen == 1)
				dead_text_head(&c->out);
			dead_text_line(&c->out, &l, c->now_us);
		}
		return put(c);
	case DEAD_SHOW:
		if (c->args->json)
			dead_text_json(&c->out, &l, d, c->now_us, NULL);
		else
			dead_text_full(&c->out, &l, d, c->now_us);
		return put(c);
	case DEAD_REPLAY:
		return replay(c, &l, d);
	case DEAD_DISCARD:
		say_what_was_done(c, &l, d, "discarded", "");
		if (!put(c))
			return false;
		ack(c, d->tag);
		c->discarded++;
		c->done++;
		return going(c);
	}
	return true;
}

/* ---- one replica ---- */

static void wait_for_events(const struct command *c, bool more)
{
	const struct amqp_link *link = c->queue.link;
	struct pollfd fds[] = {
		{ .fd = stop_fd(), .events = POLLIN },
		{ .fd = more ? amqp_fd(link) : -1, .events = POLLIN },
		{ .fd = c->replay != NULL ? dead_replay_fd(c->replay) : -1, .events = POLLIN },
	};
	int wait_ms = more ? dead_queue_wait_ms(&c->queue, 1000) : 1000;

	if (c->replay != NULL)
		wait_ms = dead_replay_wait_ms(c->replay, wait_ms);
	/* No event says that a socket has room again for the next publish. */
	if (c->replay != NULL && dead_replay_pending(c->replay) > 0 && wait_ms > 20)
		wait_ms = 20;
	if (poll(fds, ARRAY_SIZE(fds), wait_ms) < 0 && errno != EINTR)
		fatal("poll: %s", strerror(errno));
}

/* Until all letters were looked at and, of a replay, answered. After a stop it still waits 3 s for
 * the answers to what was published. */
static bool work(struct command *c, struct err *err)
{
	struct mono stopped = MONO_NEVER;

	for (;;) {
		bool more = going(c) && !dead_queue_done(&c->queue) &&
			    (c->replay == NULL || dead_replay_room(c->replay));

		if (!dead_queue_read(&c->queue, more, on_letter, c, err) ||
		    (c->replay != NULL && !dead_replay_step(c->replay, err)))
			return false;
		size_t pending = c->replay != NULL ? dead_replay_pending(c->replay) : 0;
		if ((!going(c) || dead_queue_done(&c->queue)) && pending == 0)
			return dead_queue_flush(&c->queue, err);
		if (!going(c)) {
			if (mono_is_never(stopped))
				stopped = mono_add_ms(mono_now(), 3000);
			if (mono_reached(stopped, mono_now()))
				return true;
		}
		wait_for_events(c, more);
	}
}

static void work_on(struct command *c, const char *replica, const struct tables *tables)
{
	const char *urls = c->settings->rabbitmq_url;
	struct err err = { .text = "" };

	c->replica = replica;
	c->tables = tables;
	c->discarded = 0;
	if (!dead_queue_open(&c->queue, urls, tables->stream, replica, &err)) {
		complain("%s", err.text);
		fail(c, EXIT_UNREACHABLE);
		return;
	}
	if (c->queue.ready > 0 && c->args->action == DEAD_REPLAY) {
		c->replay = dead_replay_open(urls, on_replayed, c, &err);
		if (c->replay == NULL)
			goto lost;
	}
	if (!work(c, &err))
		goto lost;
	goto done;
lost:
	complain("%s: %s%s", replica, err.text,
		 c->args->action == DEAD_REPLAY || c->args->action == DEAD_DISCARD
			 ? "; what was said last may not have been done, see dead-letters list"
			 : "");
	fail(c, EXIT_UNREACHABLE);
done:
	dead_replay_close(c->replay);
	c->replay = NULL;
	dead_queue_close(&c->queue, urls);
	if (c->discarded > 0)
		fprintf(stderr,
			"The rows of discarded letters stay as they are on %s, and the API goes on "
			"reading products elsewhere, until a newer change of theirs comes. "
			"To repair them now: reset-replicas --repair --replica %s\n",
			replica, replica);
}

/* Its streams, read; what could not be is said once. */
static struct dead_streams *streams_of(const struct replica_setting *replica, bool *ret_partial)
{
	struct dead_streams *s = xcalloc(1, sizeof(*s));
	struct err err = { .text = "" };

	if (dead_streams_read(s, replica->name, replica->url, &err) || stop_requested())
		return s;
	*ret_partial = true;
	complain(
		"%s cannot be asked for its streams and tables, so this is of %s alone, and does not "
		"name rows: %s",
		replica->name, s->list[0].name, err.text);
	return s;
}

static void work_on_replica(struct command *c, const struct replica_setting *replica)
{
	struct dead_streams *s = streams_of(replica, &c->partial);

	for (size_t i = 0; i < s->n && going(c); i++)
		work_on(c, replica->name, &s->tables[i]);
	dead_streams_clear(s);
	free(s);
}

/* ---- the arguments ---- */

static bool parse_action(const char *word, enum dead_action *ret, struct err *err)
{
	static const char *const words[] = { "list", "show", "replay", "discard" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(word, words[i]) == 0) {
			*ret = (enum dead_action)i;
			return true;
		}
	return err_set(err, "\"%.60s\" is none of list, show, replay and discard", word);
}

static bool parse_options(int argc, char **argv, struct dead_args *a, struct err *err)
{
	const struct option options[] = {
		{ "replica", required_argument, NULL, OPT_REPLICA },
		{ "all", no_argument, &a->all, true },
		{ "yes", no_argument, NULL, 'y' },
		{ "json", no_argument, &a->json, true },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	optind = 0; /* glibc: reset getopt */
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":yh", options, NULL)) != -1) {
		switch (c) {
		case OPT_REPLICA:
			if (a->nreplicas == REPLICAS_MAX)
				return err_set(err, "too many --replica");
			a->replica[a->nreplicas++] = optarg;
			break;
		case 'y':
			a->yes = true;
			break;
		case 0: /* --all, --json: getopt has set them */
			break;
		case 'h':
			a->help = true;
			break;
		case ':':
			return err_set(err, "%.60s needs a value", argv[optind - 1]);
		default:
			return err_set(err, "unknown option %.60s", argv[optind - 1]);
		}
	}
	return true;
}

/* The rules: list takes ids or none; the others take ids or --all, never both and never neither. */
static bool check(const struct dead_args *a, struct err *err)
{
	if (a->all && a->nids > 0)
		return err_set(err, "give either --all or ids");
	if (a->action != DEAD_LIST && !a->all && a->nids == 0)
		return err_set(err, "say which: ids as `dead-letters list` shows them, or --all");
	if (a->yes && a->action != DEAD_DISCARD)
		return err_set(err, "--yes is for discard alone");
	return true;
}

bool dead_args_parse(int argc, char **argv, struct dead_args *ret, struct err *err)
{
	*ret = (struct dead_args){ 0 };
	if (!parse_options(argc, argv, ret, err))
		return false;
	if (ret->help)
		return true;
	if (optind >= argc)
		return err_set(err, "say what to do: list, show, replay or discard");
	if (!parse_action(argv[optind], &ret->action, err))
		return false;
	ret->nids = (size_t)(argc - optind - 1);
	ret->ids = xcalloc(ret->nids + 1, sizeof(*ret->ids));
	for (size_t i = 0; i < ret->nids; i++) {
		struct dead_id *id = &ret->ids[i];

		id->text = argv[(size_t)optind + 1 + i];
		if (*id->text == '\0')
			return err_set(err, "an id is empty");
	}
	return check(ret, err);
}

void dead_args_clear(struct dead_args *a)
{
	free(a->ids);
	*a = (struct dead_args){ 0 };
}

/* ---- the command ---- */

static bool is_chosen(const struct dead_args *a, const char *replica)
{
	for (size_t i = 0; i < a->nreplicas; i++)
		if (strcmp(a->replica[i], replica) == 0)
			return true;
	return a->nreplicas == 0;
}

static bool check_replicas(const struct dead_args *a, const struct replica_settings *all)
{
	for (size_t k = 0; k < a->nreplicas; k++) {
		size_t i = 0;

		while (i < all->n && strcmp(all->replica[i].name, a->replica[k]) != 0)
			i++;
		if (i < all->n)
			continue;
		AUTO_STRBUF names = STRBUF_INIT;
		for (i = 0; i < all->n; i++)
			strbuf_addf(&names, "%s %s", i == 0 ? "" : ",", all->replica[i].name);
		complain("there is no replica %s; the settings name%s", a->replica[k],
			 strbuf_str(&names));
		return false;
	}
	return true;
}

/* How many there are; false: the broker cannot be reached. */
static bool count_letters(const char *urls, const struct replica_setting *replica, uint64_t *ret)
{
	bool partial = false, ok = true;
	struct dead_streams *s = streams_of(replica, &partial);
	struct dead_queue queue;
	struct err err;

	*ret = 0;
	for (size_t i = 0; i < s->n && ok; i++) {
		ok = dead_queue_open(&queue, urls, &s->list[i], replica->name, &err);
		if (!ok) {
			complain("%s", err.text);
			break;
		}
		*ret += queue.ready;
		dead_queue_close(&queue, urls);
	}
	dead_streams_clear(s);
	free(s);
	return ok;
}

/* discard --all; EXIT_OK: go on. */
static enum exit_code ask(const struct consumer_settings *s, const struct dead_args *a)
{
	AUTO_STRBUF text = STRBUF_INIT;
	uint64_t letters = 0, ready;
	char answer[16] = "";

	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
		complain("discard --all asks first, and here is nobody to ask: add --yes");
		return EXIT_USAGE;
	}
	for (size_t i = 0; i < s->replicas.n; i++) {
		const char *name = s->replicas.replica[i].name;
		if (!is_chosen(a, name))
			continue;
		if (!count_letters(s->rabbitmq_url, &s->replicas.replica[i], &ready))
			return EXIT_UNREACHABLE;
		letters += ready;
		strbuf_addf(&text, "%s%s (%llu)", text.len > 0 ? ", " : "", name,
			    (unsigned long long)ready);
	}
	if (letters == 0)
		return EXIT_OK;
	fprintf(stderr, "Discard all %llu dead letters of %s? [y/N] ", (unsigned long long)letters,
		strbuf_str(&text));
	if (fgets(answer, sizeof(answer), stdin) == NULL ||
	    (strcmp(answer, "y\n") != 0 && strcmp(answer, "yes\n") != 0)) {
		fputs("Nothing was discarded.\n", stderr);
		return EXIT_INTERRUPTED;
	}
	return EXIT_OK;
}

static void sum_up(struct command *c)
{
	const struct dead_args *a = c->args;
	bool missing = false;

	for (size_t i = 0; i < a->nids && going(c); i++)
		if (!a->ids[i].found) {
			complain("no dead letter has the id %s%s%s", a->ids[i].text,
				 a->nreplicas > 0 ? " at the replicas named" : "",
				 missing ? "" : "; see dead-letters list");
			missing = true;
		}
	if (stop_requested() && c->code != EXIT_RUNTIME) {
		complain("stopped before the end");
		c->code = EXIT_INTERRUPTED;
	}
	if (missing)
		fail(c, EXIT_DIFFERENT);
	if (a->json)
		return;
	if (a->action == DEAD_REPLAY)
		strbuf_addf(&c->out, "%zu replayed, %zu left.\n", c->done, c->chosen - c->done);
	else if (a->action == DEAD_DISCARD)
		strbuf_addf(&c->out, "%zu discarded.\n", c->done);
	else if (c->chosen == 0 && !missing && c->code == EXIT_OK)
		strbuf_addstr(&c->out, "There are no dead letters.\n");
	(void)put(c);
}

static enum exit_code run(const struct consumer_settings *settings, struct dead_args *args)
{
	struct command c = {
		.settings = settings, .args = args, .now_us = wall_now_us(), .out = STRBUF_INIT
	};

	if (!check_replicas(args, &settings->replicas))
		return EXIT_DIFFERENT;
	if (args->action == DEAD_DISCARD && args->all && !args->yes) {
		enum exit_code code = ask(settings, args);
		if (code != EXIT_OK)
			return code;
	}
	/* Before the first thread. A question before it can be stopped as any program can. */
	stop_init();
	for (size_t i = 0; i < settings->replicas.n && going(&c); i++)
		if (is_chosen(args, settings->replicas.replica[i].name))
			work_on_replica(&c, &settings->replicas.replica[i]);
	sum_up(&c);
	if (c.partial)
		fail(&c, EXIT_UNREACHABLE);
	strbuf_clear(&c.out);
	return c.code;
}

int dead_letters_main(int argc, char **argv)
{
	struct consumer_settings settings;
	struct dead_args args;
	struct err err = { .text = "" };
	enum exit_code code = EXIT_USAGE;

	if (!dead_args_parse(argc, argv, &args, &err)) {
		complain("dead-letters: %s; see pgfanout-consumer dead-letters --help", err.text);
	} else if (args.help) {
		fputs(help, stdout);
		code = EXIT_OK;
	} else if (program_load(&consumer_program, &settings)) {
		code = run(&settings, &args);
		program_free(&consumer_program, &settings);
	}
	dead_args_clear(&args);
	return (int)code;
}
