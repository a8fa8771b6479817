-- Who keeps our batches waiting: sessions that hold what they wait for, and wait for nobody
-- themselves; and whoever has one of our tables for itself. Without the rights to see others'
-- sessions state and since are empty. pid 0: a prepared transaction, which has no session.
WITH RECURSIVE chain (pid, steps) AS (
	SELECT b.pid, 1
	FROM pg_stat_activity a CROSS JOIN unnest(pg_blocking_pids(a.pid)) AS b (pid)
	WHERE a.application_name = 'pgfanout-consumer' AND a.usename = current_user
		AND a.datname = current_database() AND a.wait_event_type = 'Lock'
	UNION
	SELECT b.pid, c.steps + 1
	FROM chain c CROSS JOIN unnest(pg_blocking_pids(c.pid)) AS b (pid)
	WHERE c.pid <> 0 AND c.steps < 10
), holders AS (
	SELECT c.pid FROM chain c WHERE c.pid = 0 OR cardinality(pg_blocking_pids(c.pid)) = 0
	UNION
	SELECT coalesce(l.pid, 0) FROM pg_locks l
	WHERE l.granted AND l.mode = 'AccessExclusiveLock'
		AND (l.relation IN (SELECT t.relation FROM pgfanout.tables t)
			OR l.relation IN (SELECT c.oid FROM pg_class c
				WHERE c.relnamespace = 'pgfanout'::regnamespace AND c.relkind = 'r'))
		AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
SELECT h.pid, CASE WHEN h.pid = 0 THEN 'a prepared transaction'
		ELSE coalesce(a.application_name, '') END, coalesce(a.usename, ''),
	coalesce(a.state, ''),
	coalesce((extract(epoch FROM a.xact_start) * 1000000)::bigint, 0)
FROM holders h LEFT JOIN pg_stat_activity a ON a.pid = h.pid
WHERE h.pid <> pg_backend_pid()
ORDER BY a.xact_start NULLS LAST, h.pid
LIMIT 3
