/*
 * settings.c: the one table of settings; --help, --check-config and the documentation check read it
 * too. Main thread.
 */
#include "api/settings.h"

#include <string.h>
#include <unistd.h>

#include "common/http/http_hosts.h"
#include "common/wire/topology.h"

#define AT(member) offsetof(struct api_settings, member)

/* clang-format off */
static const struct setting table[] = {
	{ "DATABASE_URL", SETTING_PG_URL, AT(database_url), NULL, 1, 4096, true, NULL,
	  "the primary, any libpq URI" },
	{ "RABBITMQ_URL", SETTING_AMQP_URL, AT(rabbitmq_url), NULL, 1, 4096, true, NULL,
	  "amqp:// or amqps://; a comma-separated list is tried in turn" },
	{ "QUEUE_PREFIX", SETTING_STRING, AT(queue_prefix), "", 0, 32, false, NULL,
	  "before the name of each exchange and queue; one for each installation that shares a virtual "
	  "host" },
	{ "HOST", SETTING_STRING, AT(host), "127.0.0.1", 1, 255, false, NULL,
	  "address the API listens on" },
	{ "PORT", SETTING_INT, AT(port), "8000", 1, 65535, false, NULL,
	  "port the API listens on" },
	{ "ALLOWED_HOSTS", SETTING_STRING, AT(allowed_hosts), "", 0, 4096, false, NULL,
	  "hosts that requests may name, separated by commas; * is any; by default "
	  "loopback's on loopback, else any" },
	{ "READ_BALANCE", SETTING_CHOICE, AT(read_balance), "round-robin", 0, 0, false,
	  "round-robin|random", "how reads are spread over the replicas" },
	{ "MAX_REPLICA_LAG_MS", SETTING_INT, AT(max_replica_lag_ms), "10000", 0, 86400000, false,
	  NULL, "a replica that is further behind gets no reads; 0: any may be; "
		"else at least twice HEARTBEAT_MS" },
	{ "POSITION_WAIT_MS", SETTING_INT, AT(position_wait_ms), "20", 0, 10000, false, NULL,
	  "how long a read with X-Position waits for a replica that has what its client has seen, before the "
	  "primary answers" },
	{ "POSITION_COOKIE", SETTING_BOOL, AT(position_cookie), "false", 0, 0, false, NULL,
	  "answers set X-Position as a cookie too, so that browsers send it back by themselves" },
	{ "HEARTBEAT_MS", SETTING_INT, AT(heartbeat_ms), "1000", 100, 10000, false, NULL,
	  "how often lag is measured by a heartbeat through the queues" },
	{ "MAX_ATTEMPTS", SETTING_INT, AT(max_attempts), "3", 1, 10, false, NULL,
	  "attempts for a message; decides which retry queues are declared" },
	{ "MESSAGE_MAX_CHANGES", SETTING_INT, AT(message_max_changes), "200", 1, 1000, false, NULL,
	  "changes in one message at most when they pile up; 1: always one" },
	{ "MAX_BACKLOG_MESSAGES", SETTING_INT, AT(max_backlog_messages), "0", 0, 1000000000,
	  false, NULL, "messages that may wait for a replica; when there are more they are "
			"dropped and it needs a reset; 0: no limit" },
	{ "WORKERS", SETTING_INT, AT(workers), "0", 0, 256, false, NULL,
	  "worker threads; 0: one for every two processors" },
	{ "REQUEST_TIMEOUT_MS", SETTING_INT, AT(request_timeout_ms), "5000", 100, 600000, false,
	  NULL, "a request that is not answered by then gets 504" },
	{ "READ_TIMEOUT_MS", SETTING_INT, AT(read_timeout_ms), "1000", 50, 600000, false, NULL,
	  "a database that has not answered a read by then is given up, the read goes elsewhere" },
	{ "MAX_IN_FLIGHT", SETTING_INT, AT(max_in_flight), "2000", 1, 1000000, false, NULL,
	  "requests under way at most; more get 503" },
	{ "MAX_CONNECTIONS", SETTING_INT, AT(max_connections), "4000", 1, 1000000, false, NULL,
	  "client connections at most; more wait to be accepted" },
	{ "MAX_LISTS", SETTING_INT, AT(max_lists), "64", 1, 10000, false, NULL,
	  "full lists being sent at most, and imports being received; more get 503" },
	{ "MAX_BODY_BYTES", SETTING_INT, AT(max_body_bytes), "65536", 1024, 1048576, false, NULL,
	  "size of a request's body at most; imports have no limit" },
	{ "DRAIN_TIMEOUT_MS", SETTING_INT, AT(drain_timeout_ms), "10000", 0, 600000, false, NULL,
	  "how long accepted requests may go on after SIGTERM" },
	{ "RESOURCES", SETTING_STRING, AT(resources), "", 0, 8192, false, NULL,
	  "registered tables that are served too: users=User+posts,posts=Post,accounts; +posts is embedded" },
	{ "RESOURCE_PREFIX", SETTING_STRING, AT(resource_prefix), "/api", 1, 255, false, NULL,
	  "the path they are under; /: none, as in /users" },
	{ "RESOURCE_ENVELOPE", SETTING_BOOL, AT(resource_envelope), "true", 0, 0, false, NULL,
	  "their answers are in an envelope, as products'; false: bare objects and arrays" },
	{ "RESOURCE_SCANS", SETTING_BOOL, AT(resource_scans), "false", 0, 0, false, NULL,
	  "they may be filtered and ordered without an index that serves it" },
	{ "LOG_LEVEL", SETTING_CHOICE, AT(log_level), "info", 0, 0, false, "error|warn|info|debug",
	  "how much is logged" },
	{ "LOG_FORMAT", SETTING_CHOICE, AT(log_format), "text", 0, 0, false, "text|json",
	  "text: key=value" },
};
/* clang-format on */

/* Names that routes of ours have, where the resources are under this path. */
static size_t reserved_names(const char *prefix, const char *const **ret)
{
	static const char *const of_api[] = { "products" };
	static const char *const of_root[] = { "api",	"health",  "ready",	  "status",
					       "stats", "metrics", "openapi.json" };

	*ret = strcmp(prefix, "/") == 0 ? of_root : of_api;
	if (strcmp(prefix, "/") == 0)
		return ARRAY_SIZE(of_root);
	return strcmp(prefix, "/api") == 0 ? ARRAY_SIZE(of_api) : 0;
}

bool api_settings_resources(const struct api_settings *s, struct listed *ret, struct err *err)
{
	static const char products[] = "/api/products";
	const char *const *reserved;
	size_t n = reserved_names(s->resource_prefix, &reserved);
	size_t len = strlen(products);

	if (!listed_check_prefix(s->resource_prefix, err))
		return err_prefix(err, "RESOURCE_PREFIX");
	if (strncmp(s->resource_prefix, products, len) == 0 &&
	    (s->resource_prefix[len] == '/' || s->resource_prefix[len] == '\0'))
		return err_set(err, "RESOURCE_PREFIX: %s is products' own path", products);
	return listed_read(ret, s->resources, reserved, n, err) || err_prefix(err, "RESOURCES");
}

static bool finish(void *settings, struct err *err)
{
	struct api_settings *s = settings;

	struct http_hosts hosts;
	struct listed listed;

	if (!http_hosts_init(&hosts, s->host, s->allowed_hosts, err))
		return err_prefix(err, "ALLOWED_HOSTS");
	if (s->position_wait_ms >= s->request_timeout_ms)
		return err_set(err,
			       "POSITION_WAIT_MS is %lld: it must be less than "
			       "REQUEST_TIMEOUT_MS, which is %lld",
			       (long long)s->position_wait_ms, (long long)s->request_timeout_ms);
	if (s->replicas.n + s->standbys.n > REPLICAS_MAX)
		return err_set(err, "there are more than %d replicas and standbys together",
			       REPLICAS_MAX);
	if (!topology_use_prefix(s->queue_prefix, err))
		return false;
	if (!api_settings_resources(s, &listed, err))
		return false;
	listed_clear(&listed);
	if (s->max_replica_lag_ms && s->max_replica_lag_ms < 2 * s->heartbeat_ms)
		return err_set(err,
			       "MAX_REPLICA_LAG_MS is %lld: it must be 0 or at least twice "
			       "HEARTBEAT_MS, which is %lld",
			       (long long)s->max_replica_lag_ms, (long long)s->heartbeat_ms);
	if (s->workers == 0) {
		/* Fewer workers make larger batches, which cost the databases less; and the
		 * databases often run on the same processors. */
		long n = sysconf(_SC_NPROCESSORS_ONLN) / 2;

		s->workers = n < 1 ? 1 : n > 32 ? 32 : n;
	}
	return true;
}

size_t api_settings_share(const struct api_settings *s, int64_t total)
{
	return total < s->workers ? 1 : (size_t)(total / s->workers);
}

const struct program api_program = {
	.name = "pgfanout-api",
	.log_name = "api",
	.help = "Usage: pgfanout-api [--help | --version | --check-config | --routes]\n"
		"Serves the product catalogue over HTTP and publishes its changes.\n\n"
		"  --help          this text\n"
		"  --version       the version\n"
		"  --check-config  checks the settings, shows them without secrets, and ends\n"
		"  --routes        the routes, one \"METHOD PATH\" a line\n"
		"\nSettings, from the environment and a .env file in the working directory:",
	.codes = "\nExit codes: 0 stopped by a signal; 2 wrong argument or setting, or the port "
		 "is taken; "
		 "4 the primary is not migrated; 6 failed while at work; 7 stopped by a third "
		 "signal.",
	.table = table,
	.ntable = ARRAY_SIZE(table),
	.replicas_at = AT(replicas),
	.standbys_at = AT(standbys),
	.log_level_at = AT(log_level),
	.log_format_at = AT(log_format),
	.finish = finish,
};
