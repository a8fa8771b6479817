-- One relay at a time, of each stream. The lock is the session's: it ends with the process, or when the
-- session is idle for too long.
SELECT pg_try_advisory_lock(1885824609, $1::integer)
