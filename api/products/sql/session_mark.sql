-- Marks this session, for session_end.sql. The mark goes when the session ends, or when a pooler
-- gives it to somebody else (DISCARD ALL).
SELECT pg_advisory_lock_shared($1::bigint)
