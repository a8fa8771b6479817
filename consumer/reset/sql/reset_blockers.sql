-- On a replica: who keeps tables of the streams from being replaced: the oldest transactions that use it.
SELECT string_agg(format('process %s (%s, %s since %s s)', pid, application, state, seconds), ', ')
FROM (
	SELECT l.pid, coalesce(nullif(a.application_name, ''), a.usename, a.backend_type,
			'unnamed') AS application,
		coalesce(a.state, 'running') AS state,
		extract(epoch FROM clock_timestamp() - a.xact_start)::bigint AS seconds
	FROM pg_locks l
	LEFT JOIN pg_stat_activity a ON a.pid = l.pid
	WHERE l.relation IN (SELECT t.relation FROM pgfanout.tables t UNION ALL
			SELECT to_regclass('pgfanout.tombstones_' || t.id) FROM pgfanout.tables t)
		AND l.granted AND l.pid <> pg_backend_pid()
		AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
	ORDER BY a.xact_start
	LIMIT 3
) AS holders
