-- Ends the session that has this mark, wherever it is in its work. No row: there is none, so that
-- all it was sent has been done, or never will be.
SELECT pg_terminate_backend(l.pid)
FROM pg_locks l
WHERE l.locktype = 'advisory' AND l.objsubid = 1
	AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
	AND l.classid = ($1::bigint >> 32)::oid AND l.objid = ($1::bigint & 4294967295)::oid
