/*
 * program.c: see program.h.
 */
#include "common/settings/program.h"

#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/stop.h"

static struct replica_settings *replicas_of(const struct program *p, const void *settings)
{
	return (struct replica_settings *)((uintptr_t)settings + p->replicas_at);
}

static struct replica_settings *standbys_of(const struct program *p, const void *settings)
{
	return p->standbys_at == 0
		       ? NULL
		       : (struct replica_settings *)((uintptr_t)settings + p->standbys_at);
}

static const char *text_at(const void *settings, size_t offset)
{
	return *(char *const *)((uintptr_t)settings + offset);
}

static bool load(const struct program *p, void *settings, struct err *err)
{
	if (!config_load_env_file(".env", err) || !config_load(p->table, p->ntable, settings, err))
		return false;
	if (!config_load_replicas(replicas_of(p, settings), 1, standbys_of(p, settings), err)) {
		config_free(p->table, p->ntable, settings);
		return false;
	}
	if (!p->finish || p->finish(settings, err))
		return true;
	program_free(p, settings);
	return false;
}

bool program_load(const struct program *p, void *settings)
{
	struct err err;
	bool ok = load(p, settings, &err);

	if (!ok)
		fprintf(stderr, "%s: %s\n", p->name, err.text);
	return ok;
}

void program_free(const struct program *p, void *settings)
{
	config_free(p->table, p->ntable, settings);
	config_free_replicas(replicas_of(p, settings));
	if (standbys_of(p, settings))
		config_free_replicas(standbys_of(p, settings));
}

void program_help(const struct program *p)
{
	puts(p->help);
	config_help(p->table, p->ntable, p->standbys_at != 0);
	puts(p->codes);
}

void program_version(const struct program *p)
{
	printf("%s %s\n", p->name, PGFANOUT_VERSION);
}

void program_print(const struct program *p, const void *settings)
{
	config_print(p->table, p->ntable, settings, replicas_of(p, settings),
		     standbys_of(p, settings));
}

void program_start(const struct program *p, const void *settings)
{
	if (!log_init(p->log_name, text_at(settings, p->log_level_at),
		      text_at(settings, p->log_format_at)))
		fatal("the table of settings allows a LOG_LEVEL or LOG_FORMAT that the log "
		      "does not know");
	stop_init();
}

int program_begin(const struct program *p, int argc, char **argv, void *settings)
{
	const char *word = argc == 2 ? argv[1] : "";
	bool check = strcmp(word, "--check-config") == 0;

	if (strcmp(word, "--help") == 0) {
		program_help(p);
		return EXIT_OK;
	}
	if (strcmp(word, "--version") == 0) {
		program_version(p);
		return EXIT_OK;
	}
	if (argc > 1 && !check) {
		fprintf(stderr, "%s: unknown argument \"%s\": see --help\n", p->name,
			argv[argc == 2 ? 1 : 2]);
		return EXIT_USAGE;
	}
	if (!program_load(p, settings))
		return EXIT_USAGE;
	if (!check) {
		program_start(p, settings);
		return PROGRAM_GOES_ON;
	}
	program_print(p, settings);
	program_free(p, settings);
	return EXIT_OK;
}
