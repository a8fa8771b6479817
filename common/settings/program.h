/*
 * program.h: what the four programs do alike before their work: the arguments that all of them
 * know, the settings, the log. A program describes itself in one struct. Main thread, before
 * others start.
 */
#ifndef PGFANOUT_COMMON_SETTINGS_PROGRAM_H
#define PGFANOUT_COMMON_SETTINGS_PROGRAM_H

#include "common/settings/config.h"

struct program {
	const char *name;     /* as it is called, and before its complaints */
	const char *log_name; /* in the lines of the log */
	const char *help;     /* what --help shows before the settings */
	const char *codes;    /* and after them: the exit codes */

	const struct setting *table; /* its settings */
	size_t ntable;
	/* Where in the settings struct these are: */
	size_t replicas_at;		    /* struct replica_settings */
	size_t standbys_at;		    /* the same; 0: it knows of no standbys */
	size_t log_level_at, log_format_at; /* char * */
	/* Checks and completes what one setting alone cannot tell; may be NULL. */
	bool (*finish)(void *settings, struct err *err);
};

/* For a program whose only arguments are --help, --version and --check-config: carries them out,
 * or loads the settings and starts the log and the wait for signals. Returns PROGRAM_GOES_ON, and
 * the settings are to be freed with program_free(); else the exit code. */
#define PROGRAM_GOES_ON (-1)
MUST_CHECK int program_begin(const struct program *p, int argc, char **argv, void *settings);

/* The steps, for a program with more arguments. program_load() reads .env, fills the settings and
 * says on stderr what is wrong with them; then nothing is left to free. */
MUST_CHECK bool program_load(const struct program *p, void *settings);
void program_free(const struct program *p, void *settings);
void program_help(const struct program *p);
void program_version(const struct program *p);
void program_print(const struct program *p, const void *settings); /* secrets scrubbed */
void program_start(const struct program *p, const void *settings); /* log and signals */

#endif
