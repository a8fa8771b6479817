-- The sessions that write, of whichever API, and have waited in their commit for a synchronous standby for $1 ms.
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'pgfanout-api write' AND wait_event = 'SyncRep'
	AND query_start < clock_timestamp() - $1::bigint * interval '1 ms'
