/*
 * config.h: settings from the environment, filled in from a .env file in the working directory.
 *
 * A program describes its settings in one table (struct setting); --help, --check-config and the
 * documentation check all read that table. Values land in one struct that does not change after the
 * start. Errors name the setting, say what is wrong and what would be right. Main thread only.
 */
#ifndef PGFANOUT_COMMON_SETTINGS_CONFIG_H
#define PGFANOUT_COMMON_SETTINGS_CONFIG_H

#include "common/base/base.h"
#include "common/base/err.h"

enum setting_type {
	SETTING_STRING,	  /* min…max bytes; max 0: no limit */
	SETTING_INT,	  /* min…max, written to an int64_t */
	SETTING_BOOL,	  /* true/false/1/0/on/off/yes/no, written to a bool */
	SETTING_CHOICE,	  /* one of choices ("text|json"), written as the string */
	SETTING_PG_URL,	  /* a libpq URI or keyword string; always secret */
	SETTING_AMQP_URL, /* amqp:// or amqps:// URIs, separated by commas; always secret */
};

struct setting {
	const char *name;
	enum setting_type type;
	size_t offset; /* of the member in the program's settings struct: char *, int64_t or bool */
	const char *fallback; /* default as text; NULL: required; "" is "not set" for strings */
	int64_t min, max;
	bool secret; /* shown through uri_scrub() only; so is every name that ends in _URL */
	const char *choices;
	const char *help; /* one line */
};

/* A replica, or a standby, as the settings name it. */
struct replica_setting {
	char *name; /* [a-z0-9][a-z0-9_-]{0,47} */
	char *url;
	unsigned number; /* the n of REPLICA_n_URL, or of STANDBY_n_URL */
};

#define REPLICAS_MAX 64
struct replica_settings {
	size_t n;
	/* in the order of their numbers; numbers may have gaps */
	struct replica_setting replica[REPLICAS_MAX];
};

/* Reads .env if there is one ("KEY=value", "export KEY=value", # comments, single or double quotes;
 * the environment wins; a line that is none of these is an error naming file and line). */
MUST_CHECK bool config_load_env_file(const char *path, struct err *err);

/* Fills *settings from the environment by the table; strings are owned by the settings and live
 * until config_free. A setting that is set to nothing counts as not set. On failure nothing is left
 * to free. */
MUST_CHECK bool config_load(const struct setting *table, size_t n, void *settings, struct err *err);
void config_free(const struct setting *table, size_t n, void *settings);

/* REPLICA_n_URL and REPLICA_n_NAME, at least `at_least` of them; and STANDBY_n_URL and STANDBY_n_NAME, unless
 * ret_standbys is NULL. All names must differ. On failure nothing is left to free. */
MUST_CHECK bool config_load_replicas(struct replica_settings *ret, size_t at_least,
				     struct replica_settings *ret_standbys, struct err *err);
void config_free_replicas(struct replica_settings *r);

/* Whether a value can be a libpq URI or keyword string; the error names the setting and not the
 * value. */
MUST_CHECK bool config_check_pg_url(const char *name, const char *value, struct err *err);

/* The settings part of --help: a line "  NAME  help (default …)" each, to stdout, and those for replicas; with
 * standbys also theirs. */
void config_help(const struct setting *table, size_t n, bool standbys);
/* What --check-config prints: "NAME=value", secrets scrubbed. replicas and standbys may be NULL. */
void config_print(const struct setting *table, size_t n, const void *settings,
		  const struct replica_settings *replicas, const struct replica_settings *standbys);

#endif
