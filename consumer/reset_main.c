/*
 * reset_main.c: the program reset-replicas: a table of contents.
 *
 * Threads: main does everything; one more waits for signals (common/base/stop.h).
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/strbuf.h"
#include "common/wire/table_names.h"
#include "consumer/reset/reset.h"
#include "consumer/verify/verify.h"

enum {
	OPT_REPLICA = 256,
	OPT_TABLE,
	OPT_DRY_RUN,
	OPT_VERIFY,
	OPT_REPAIR,
	OPT_CHECK_CONFIG,
	OPT_VERSION
};

struct arguments {
	const char *replica[REPLICAS_MAX];
	size_t nreplicas;
	struct strbuf names; /* of all --table, between commas */
	size_t ntables;
	bool dry_run, verify, repair, yes, quiet, check_config;
};

static enum exit_code usage_error(const char *text)
{
	fprintf(stderr, "reset-replicas: %s; see reset-replicas --help\n", text);
	return EXIT_USAGE;
}

/* False: *ret_code is what to end with. */
static bool parse(int argc, char **argv, struct arguments *a, enum exit_code *ret_code)
{
	static const struct option options[] = {
		{ "replica", required_argument, NULL, OPT_REPLICA },
		{ "table", required_argument, NULL, OPT_TABLE },
		{ "dry-run", no_argument, NULL, OPT_DRY_RUN },
		{ "verify", no_argument, NULL, OPT_VERIFY },
		{ "repair", no_argument, NULL, OPT_REPAIR },
		{ "yes", no_argument, NULL, 'y' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "check-config", no_argument, NULL, OPT_CHECK_CONFIG },
		{ "version", no_argument, NULL, OPT_VERSION },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "yqh", options, NULL)) != -1) {
		switch (c) {
		case OPT_REPLICA:
			if (a->nreplicas == REPLICAS_MAX) {
				*ret_code = usage_error("too many --replica");
				return false;
			}
			a->replica[a->nreplicas++] = optarg;
			break;
		case OPT_TABLE:
			strbuf_addf(&a->names, "%s%s", a->ntables++ > 0 ? "," : "", optarg);
			break;
		case OPT_DRY_RUN:
			a->dry_run = true;
			break;
		case OPT_VERIFY:
			a->verify = true;
			break;
		case OPT_REPAIR:
			a->repair = true;
			break;
		case 'y':
			a->yes = true;
			break;
		case 'q':
			a->quiet = true;
			break;
		case OPT_CHECK_CONFIG:
			a->check_config = true;
			break;
		case OPT_VERSION:
			program_version(&reset_program);
			*ret_code = EXIT_OK;
			return false;
		case 'h':
			program_help(&reset_program);
			*ret_code = EXIT_OK;
			return false;
		default: /* getopt has said what is wrong */
			*ret_code = EXIT_USAGE;
			return false;
		}
	}
	if (optind < argc) {
		*ret_code = usage_error(
			"it takes no arguments but options; a replica is named with --replica "
			"NAME, a table with --table NAME");
		return false;
	}
	if (a->verify + a->repair + a->dry_run > 1) {
		*ret_code = usage_error("--verify, --repair and --dry-run cannot be combined");
		return false;
	}
	return true;
}

static bool choose_replicas(const struct arguments *a, const struct replica_settings *all,
			    bool *ret_chosen)
{
	AUTO_STRBUF text = STRBUF_INIT;

	for (size_t i = 0; i < all->n; i++)
		ret_chosen[i] = a->nreplicas == 0;
	for (size_t k = 0; k < a->nreplicas; k++) {
		size_t i = 0;

		while (i < all->n && strcmp(all->replica[i].name, a->replica[k]) != 0)
			i++;
		if (i < all->n) {
			ret_chosen[i] = true;
			continue;
		}
		strbuf_addf(&text, "there is no replica %s; the settings name", a->replica[k]);
		for (i = 0; i < all->n; i++)
			strbuf_addf(&text, "%s %s", i == 0 ? "" : ",", all->replica[i].name);
		(void)usage_error(strbuf_str(&text));
		return false;
	}
	return true;
}

/* An array of SQL; left alone without --table: all. */
static bool choose_tables(const struct arguments *a, struct strbuf *ret)
{
	struct err err;

	if (a->ntables == 0)
		return true;
	if (!table_names_array(ret, strbuf_str(&a->names), false, &err)) {
		(void)usage_error(err.text);
		return false;
	}
	if (strcmp(strbuf_str(ret), "{}") != 0)
		return true;
	(void)usage_error("--table names no table");
	return false;
}

static enum exit_code run(const struct arguments *a, const struct reset_settings *settings)
{
	AUTO_STRBUF tables = STRBUF_INIT;
	struct verify_request comparison = {
		.settings = settings,
		.repair = a->repair,
		.quiet = a->quiet,
	};
	struct reset_request request = {
		.settings = settings,
		.dry_run = a->dry_run,
		.ask = !a->yes && !a->dry_run && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO),
		.quiet = a->quiet,
	};

	if (!choose_replicas(a, &settings->replicas, request.chosen) || !choose_tables(a, &tables))
		return EXIT_USAGE;
	if (a->ntables > 0)
		request.tables = comparison.tables = strbuf_str(&tables);
	memcpy(comparison.chosen, request.chosen, sizeof(comparison.chosen));
	if (a->check_config) {
		program_print(&reset_program, settings);
		return EXIT_OK;
	}
	program_start(&reset_program, settings);
	return a->verify || a->repair ? verify_run(&comparison) : reset_run(&request);
}

int main(int argc, char **argv)
{
	struct arguments arguments = { 0 };
	struct reset_settings settings;
	enum exit_code code;

	if (parse(argc, argv, &arguments, &code)) {
		code = EXIT_USAGE;
		if (program_load(&reset_program, &settings)) {
			code = run(&arguments, &settings);
			program_free(&reset_program, &settings);
		}
	}
	strbuf_clear(&arguments.names);
	return (int)code;
}
