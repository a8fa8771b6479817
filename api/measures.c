/*
 * measures.c: the table of metrics.
 */
#include "api/measures.h"

static const struct metric_def table[MEASURES] = {
	[M_REQUESTS] = { "pgfanout_api_requests_total", METRIC_COUNTER, NULL,
			 "requests whose head was well formed" },
	[M_ANSWERS_4XX] = { "pgfanout_api_client_errors_total", METRIC_COUNTER, NULL,
			    "answers with a status of 400 to 499" },
	[M_ANSWERS_5XX] = { "pgfanout_api_server_errors_total", METRIC_COUNTER, NULL,
			    "answers with a status of 500 or more, without those of /ready" },
	[M_IN_FLIGHT] = { "pgfanout_api_in_flight", METRIC_GAUGE, NULL,
			  "requests waiting for a database" },
	[M_CONNECTIONS] = { "pgfanout_api_connections", METRIC_GAUGE, NULL, "client connections" },
	[M_DURATION] = { "pgfanout_api_duration_seconds", METRIC_HISTOGRAM, NULL,
			 "from the head of a request to its answer, without lists and imports "
			 "that were begun" },
	[M_OVERLOADED] = { "pgfanout_api_overloaded_total", METRIC_COUNTER, NULL,
			   "requests refused because a limit was reached" },
	[M_TIMEOUTS] = { "pgfanout_api_timeouts_total", METRIC_COUNTER, NULL,
			 "requests not answered within REQUEST_TIMEOUT_MS" },
	[M_READS] = { "pgfanout_api_reads_total", METRIC_COUNTER, "database",
		      "products by id, pages and chunks of lists read" },
	[M_READ_FAILURES] = { "pgfanout_api_read_failures_total", METRIC_COUNTER, "database",
			      "reads that this database failed and another one was asked for" },
	[M_READS_REPEATED] = { "pgfanout_api_reads_repeated_total", METRIC_COUNTER, "database",
			       "reads that this database was slow to answer and another one was "
			       "asked for as well" },
	[M_READ_UNITS] = { "pgfanout_api_read_statements_total", METRIC_COUNTER, "database",
			   "statements sent for reads; each may read many products" },
	[M_WRITES] = { "pgfanout_api_writes_total", METRIC_COUNTER, NULL,
		       "products created, changed and deleted by single requests" },
	[M_WRITE_UNITS] = { "pgfanout_api_write_statements_total", METRIC_COUNTER, NULL,
			    "statements sent for writes; each is a transaction of many" },
	[M_WRITE_FAILURES] = { "pgfanout_api_write_failures_total", METRIC_COUNTER, NULL,
			       "statements for writes that were refused or lost; their rows are "
			       "tried again" },
	[M_WRITES_LOCKED] = { "pgfanout_api_writes_locked", METRIC_GAUGE, NULL,
			      "writes that wait for a lock of another session on the primary" },
	[M_IMPORT_ROWS] = { "pgfanout_api_import_rows_total", METRIC_COUNTER, NULL,
			    "products created or replaced by imports" },
	[M_IMPORT_REJECTED] = { "pgfanout_api_import_rejected_total", METRIC_COUNTER, NULL,
				"lines of imports that were rejected" },
	[M_LISTS_RUNNING] = { "pgfanout_api_lists_running", METRIC_GAUGE, NULL,
			      "full lists being sent" },
	[M_IMPORTS_RUNNING] = { "pgfanout_api_imports_running", METRIC_GAUGE, NULL,
				"imports being received" },
	[M_DATABASE_UP] = { "pgfanout_api_database_up", METRIC_GAUGE, "database",
			    "1: the database serves; 0: it does not answer or may not serve" },
	[M_REPLICA_LAG] = { "pgfanout_api_replica_lag_seconds", METRIC_SECONDS, "replica",
			    "how far the replica is behind the primary at most" },
	[M_WRONG_PRODUCTS] = { "pgfanout_api_wrong_products", METRIC_GAUGE, "database",
			       "products that are read elsewhere, because a change of theirs was "
			       "given up here" },
	[M_WRONG_ROWS] = { "pgfanout_api_wrong_rows", METRIC_GAUGE, "database",
			   "the same of all tables, at most 10,001 of each" },
	[M_RELAY_CONNECTED] = { "pgfanout_api_relay_connected", METRIC_GAUGE, "stream",
				"1: the relay has a connection to the broker", .only_added = true },
	[M_RELAY_LEADER] = { "pgfanout_api_relay_leading", METRIC_GAUGE, "stream",
			     "1: this process publishes the stream's changes", .only_added = true },
	[M_RELAY_IN_FLIGHT] = { "pgfanout_api_relay_in_flight", METRIC_GAUGE, "stream",
				"changes sent to the broker and not confirmed yet",
				.only_added = true },
	[M_RELAY_MESSAGES] = { "pgfanout_api_relay_messages_total", METRIC_COUNTER, "stream",
			       "messages sent to the broker", .only_added = true },
	[M_RELAY_CONFIRMED] = { "pgfanout_api_relay_confirmed_total", METRIC_COUNTER, "stream",
				"changes that the broker confirmed", .only_added = true },
	[M_RELAY_RETURNED] = { "pgfanout_api_relay_returned_total", METRIC_COUNTER, "stream",
			       "changes that reached no queue; they are tried again",
			       .only_added = true },
	[M_RELAY_NACKED] = { "pgfanout_api_relay_nacked_total", METRIC_COUNTER, "stream",
			     "changes that the broker refused; they are tried again",
			     .only_added = true },
	[M_RELAY_TOO_LARGE] = { "pgfanout_api_relay_too_large_total", METRIC_COUNTER, "stream",
				"changes too large for a message: replicas were told that the row is wrong",
				.only_added = true },
	[M_OUTBOX] = { "pgfanout_api_outbox_changes", METRIC_GAUGE, NULL,
		       "changes recorded on the primary and not yet confirmed by the broker, about" },
	[M_BACKLOG_DROPPED] = { "pgfanout_api_backlog_dropped_messages_total", METRIC_COUNTER,
				"database",
				"messages dropped because more than MAX_BACKLOG_MESSAGES waited "
				"for this replica" },
};

void measures_init(const char *const *names, size_t n)
{
	metrics_init(table, ARRAY_SIZE(table), names, n);
}
