-- On a replica: who holds the lock that a reset needs for itself. Exclusive: another reset.
-- Shared: a batch of a consumer.
SELECT l.mode = 'ExclusiveLock' AS by_reset, l.pid,
	coalesce(nullif(a.application_name, ''), 'unnamed') AS application
FROM pg_locks l
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.classid = 1885824610 AND l.objsubid = 2
	AND l.granted AND l.pid <> pg_backend_pid()
	AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY by_reset DESC, a.xact_start
LIMIT 1
