-- Ends the session that has this mark, wherever it is in its work. No row: there is none, so that
-- all it was sent has been done, or never will be. One whose commit waits for a synchronous standby is waited for: if it
-- were ended, what it has changed would be seen, and could still be lost.
SELECT CASE WHEN a.wait_event IS DISTINCT FROM 'SyncRep' THEN pg_terminate_backend(l.pid) END
FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.objsubid = 1
	AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
	AND l.classid = ($1::bigint >> 32)::oid AND l.objid = ($1::bigint & 4294967295)::oid
