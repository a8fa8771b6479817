-- A heartbeat of the stream $1: a record that goes the way of all changes, and so measures it.
-- statement_timestamp() was taken before this transaction got its id: whatever was committed before that
-- time has a smaller id, or was swept already, and is in front of the heartbeat. A version of the sequence
-- would look as if there had been a change; being alone in its transaction it needs none.
--
-- So is `place` taken before: the end of a record in the WAL that needs no transaction. Whoever reads a smaller
-- pg_current_wal_insert_lsn() did so before this record was there, so what he saw committed then is in front of
-- the heartbeat too. MATERIALIZED, and the only source of the row: the id is a default of the row. It travels as
-- eight bytes in body.
--
-- A server that crashes gives the places behind what was on its disk to other transactions, and a heartbeat that was
-- published would speak for these: so it is published when its place is on the disk (heartbeats.c). With $2 the commit
-- waits for that, as this session does not elsewhere. Without, others write so much that it soon is, and the changes
-- that this session looks for do not wait meanwhile.
WITH place AS MATERIALIZED (
	SELECT pg_logical_emit_message(false, 'pgfanout', '') - '0/0' AS lsn
), flushed AS MATERIALIZED (
	SELECT set_config('synchronous_commit', CASE WHEN $2::boolean THEN 'local' ELSE 'off' END, true)
)
INSERT INTO pgfanout.outbox (stream, version, kind, heartbeat, body)
SELECT $1::smallint, 1, 'b', statement_timestamp(), int8send(place.lsn::bigint) FROM place, flushed
