-- On a replica, in the reset's transaction: which snapshot the tables will be from. $8: {"streams":
-- [{"stream":1,"name":"products"},…],"tables":[{"id":1,"shape":1},…]}: the streams all of whose tables are reset, and the
-- tables. Changes that the primary knew to be lost ($5: {"<stream>":"<time>"}) when the snapshot was taken
-- are in the tables. If more were found to be lost since, the API sees that its own time is newer and marks
-- the replica again. The snapshot's time ($6) counts as a heartbeat: everything committed before it is here.
-- Messages that the snapshot knows to be confirmed ($7: rows of pgfanout.relay) contain nothing that is not
-- in it, so they count as received; those that have come before stay received. The order of heartbeats
-- begins anew.
--
-- What was visible on the primary before its WAL was at $9 is in the snapshot, and what is in it was committed before
-- the WAL was at $10. So a stream that is reset is as far as $9: a later place is noted with the first heartbeats that
-- say one. What is visible of it becomes what was committed before $10, at once, as it is known to no transaction
-- (pgfanout.note_seen()); of a stream that followed another primary what was visible until now goes. Tables that
-- are reset alone make nothing of what their stream lacks or has.
WITH s AS MATERIALIZED (
	SELECT * FROM jsonb_to_recordset($8::jsonb -> 'streams') AS s (stream smallint, name text)
), published AS MATERIALIZED (
	SELECT p.stream, q.queue, p.term,
		int8multirange(CASE WHEN q.n > 0 THEN int8range(1, q.n, '[]') ELSE 'empty' END)
			AS numbers
	FROM jsonb_to_recordset($7::jsonb) AS p (stream smallint, term bigint, syncs bigint, deletes bigint)
	CROSS JOIN LATERAL (VALUES ('sync', p.syncs), ('delete', p.deletes)) AS q (queue, n)
	WHERE p.stream IN (SELECT stream FROM s)
), received AS (
	INSERT INTO pgfanout.received AS r (stream, queue, term, numbers)
	SELECT stream, queue, term, numbers FROM published
	ON CONFLICT (stream, queue, term) DO UPDATE SET numbers = r.numbers + excluded.numbers,
		missing = '{}'
), others AS (
	UPDATE pgfanout.received r SET missing = '{}'
	WHERE r.stream IN (SELECT stream FROM s) AND NOT isempty(r.missing)
		AND (r.stream, r.queue, r.term) NOT IN (SELECT stream, queue, term FROM published)
), beats AS (
	DELETE FROM pgfanout.heartbeats WHERE stream IN (SELECT stream FROM s)
), places AS (
	DELETE FROM pgfanout.positions WHERE stream IN (SELECT stream FROM s) AND lsn <> $9::bigint
), queue_places AS (
	DELETE FROM pgfanout.places WHERE stream IN (SELECT stream FROM s)
), place AS (
	INSERT INTO pgfanout.positions (stream, lsn, source)
	SELECT s.stream, $9::bigint, $1::text
	FROM s
	LEFT JOIN pgfanout.streams r ON r.stream = s.stream
	CROSS JOIN LATERAL (SELECT pgfanout.note_seen(s.stream, $10::bigint,
		coalesce(r.follows <> $1::text, true)) OFFSET 0) AS seen
	ON CONFLICT (stream, lsn) DO UPDATE SET source = excluded.source
), loaded AS (
	UPDATE pgfanout.tables t SET source = $1::text, snapshot = $2::pg_snapshot, floor = $3::bigint,
		due = t.due AND t.shape <> l.shape -- meanwhile it was altered
	FROM jsonb_to_recordset($8::jsonb -> 'tables') AS l (id integer, shape integer)
	WHERE t.id = l.id
	RETURNING t.stream, pgfanout.note_seen(t.stream, $10::bigint, false)
), following AS ( -- a stream that has just come: with its first table it follows this primary
	UPDATE pgfanout.streams SET follows = $1::text, given = $3::bigint
	WHERE follows IS NULL AND stream IN (SELECT stream FROM loaded) AND stream NOT IN (SELECT stream FROM s)
)
INSERT INTO pgfanout.streams AS r (stream, name, needs_reset, reason, source, snapshot, reset_at,
	reset_rows, reset_due_at, queues_declared_at, heartbeat_sync, heartbeat_delete, follows, given)
SELECT s.stream, s.name, false, NULL, $1::text, $2::pg_snapshot, clock_timestamp(), $4::bigint,
	($5::jsonb ->> s.stream::text)::timestamptz, clock_timestamp(), $6::timestamptz, $6::timestamptz,
	$1::text, $3::bigint
FROM s
ON CONFLICT (stream) DO UPDATE SET unverified = NULL, needs_reset = excluded.needs_reset, reason = excluded.reason,
	source = excluded.source, snapshot = excluded.snapshot, reset_at = excluded.reset_at,
	reset_rows = excluded.reset_rows,
	auto_reset = false, reset_due_at = excluded.reset_due_at,
	queues_declared_at = coalesce(r.queues_declared_at, excluded.queues_declared_at),
	heartbeat_sync = excluded.heartbeat_sync, heartbeat_delete = excluded.heartbeat_delete,
	follows = excluded.follows,
	followed = CASE WHEN r.follows <> excluded.follows
		THEN array_append(array_remove(array_remove(r.followed, r.follows), excluded.follows),
			r.follows)
		ELSE r.followed END,
	given = excluded.given
