/*
 * reset_main.c: the program reset-replicas: a table of contents.
 *
 * Threads: main does everything; one more waits for signals (common/base/stop.h).
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/stop.h"
#include "common/base/strbuf.h"
#include "consumer/reset/reset.h"
#include "consumer/verify/verify.h"

enum { OPT_REPLICA = 256, OPT_DRY_RUN, OPT_VERIFY, OPT_REPAIR, OPT_CHECK_CONFIG, OPT_VERSION };

struct arguments {
	const char *replica[REPLICAS_MAX];
	size_t nreplicas;
	bool dry_run, verify, repair, yes, quiet, check_config;
};

static void help(void)
{
	puts("reset-replicas [--replica NAME]... [--dry-run] [--yes] [--quiet]\n"
	     "reset-replicas --verify | --repair [--replica NAME]... [--quiet]\n"
	     "\n"
	     "Rebuilds replicas from one consistent snapshot of the primary, all at the same time, while\n"
	     "writes, the consumer and readers go on. Readers see a replica's old table until the new one\n"
	     "takes its place at once. Rows that only the replica had are gone, changes that are made\n"
	     "meanwhile are there in the end. Whatever goes wrong: a replica has either its old table or\n"
	     "the new one, complete, and the reset can be run again.\n"
	     "\n"
	     "With --verify it compares only, and lists the products that differ; with --repair the\n"
	     "primary then publishes those once more. Changes in flight are not reported. Nothing is locked.\n"
	     "\n"
	     "  --replica NAME   this one only; may be given several times (default: all)\n"
	     "  --dry-run        check everything, say what would be done, change nothing\n"
	     "  --verify         compare products, change nothing\n"
	     "  --repair         compare, mend what differs, compare that again\n"
	     "  --yes, -y        do not ask (without a terminal nobody is asked anyway)\n"
	     "  --quiet, -q      errors only, on standard error; --verify, --repair: ids that differ\n"
	     "  --check-config   check the settings, print them without secrets, and end\n"
	     "  --version, --help\n"
	     "\n"
	     "Settings (environment, or .env in the working directory):");
	reset_settings_help();
	puts("\n"
	     "Exit codes:\n"
	     "  0  all named replicas were rebuilt; --verify: are equal; --repair: are equal or mended\n"
	     "  1  a replica's table cannot be replaced, or several replicas failed for different reasons;\n"
	     "     the lines say why; --verify: products differ; --repair: some still do\n"
	     "  2  wrong argument or setting: nothing was started\n"
	     "  3  a database or the broker could not be reached\n"
	     "  4  a database has not been migrated: run pgfanout-migrate up\n"
	     "  5  another reset of the replica is running\n"
	     "  6  failed while at work\n"
	     "  7  stopped by a signal, or the question was not answered with yes\n"
	     "  8  --verify, --repair: undetermined, a replica is not catching up, or products change too fast\n"
	     "A replica that fails does not keep the others from being rebuilt, and serves the table it had.");
}

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
			puts("reset-replicas " PGFANOUT_VERSION);
			*ret_code = EXIT_OK;
			return false;
		case 'h':
			help();
			*ret_code = EXIT_OK;
			return false;
		default: /* getopt has said what is wrong */
			*ret_code = EXIT_USAGE;
			return false;
		}
	}
	if (optind < argc) {
		*ret_code = usage_error(
			"it takes no arguments but options; a replica is named with --replica NAME");
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

static enum exit_code run(const struct arguments *a, const struct reset_settings *settings)
{
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

	if (!choose_replicas(a, &settings->replicas, request.chosen))
		return EXIT_USAGE;
	memcpy(comparison.chosen, request.chosen, sizeof(comparison.chosen));
	if (a->check_config) {
		reset_settings_print(settings);
		return EXIT_OK;
	}
	if (!log_init("reset", settings->log_level, settings->log_format))
		return usage_error("LOG_LEVEL or LOG_FORMAT is wrong");
	stop_init();
	return a->verify || a->repair ? verify_run(&comparison) : reset_run(&request);
}

int main(int argc, char **argv)
{
	struct arguments arguments = { 0 };
	struct reset_settings settings;
	enum exit_code code;
	struct err err;

	if (!parse(argc, argv, &arguments, &code))
		return (int)code;
	if (!reset_settings_load(&settings, &err))
		return (int)usage_error(err.text);
	code = run(&arguments, &settings);
	reset_settings_free(&settings);
	return (int)code;
}
