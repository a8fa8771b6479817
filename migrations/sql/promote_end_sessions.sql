-- Ends the sessions of clients, but this one, that began before $1, or are writing: those that began later are
-- read-only unless they say otherwise. Returns how many there were.
SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_activity a
WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
	AND (a.backend_start < $1::timestamptz OR a.backend_xid IS NOT NULL)
