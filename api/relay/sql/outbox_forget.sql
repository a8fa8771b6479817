-- Forgets changes of the stream $8 that the broker has confirmed, by their keys. A plain join would leave the
-- planner the choice to walk through the whole table instead, and it takes it: its statistics were
-- mostly made when the table was empty. OFFSET 0 and the array leave it one way: an index look-up
-- for each key. Records are never updated, so their place is theirs for the time of the statement.
--
-- In the same transaction: up to which numbers ($4 syncs, $5 deletes) the messages of the term $3 are
-- confirmed, in the place of what was noted last ($6, $7). What is forgotten has such a number, so
-- whoever leads next knows what replicas must have received. $3 NULL: that is noted already, or a
-- heartbeat is forgotten.
WITH noted AS (
	INSERT INTO pgfanout.relay (stream, term, syncs, deletes)
	SELECT $8::smallint, $3::bigint, $4::bigint, $5::bigint WHERE $3::bigint IS NOT NULL
), before AS (
	DELETE FROM pgfanout.relay
	WHERE stream = $8::smallint AND term = $3::bigint AND syncs = $6::bigint AND deletes = $7::bigint
)
DELETE FROM pgfanout.outbox
WHERE ctid = ANY (ARRAY(
	SELECT o.at
	FROM unnest($1::xid8[], $2::bigint[]) AS k (xid, version)
	CROSS JOIN LATERAL (
		SELECT ctid AS at FROM pgfanout.outbox o
		WHERE o.stream = $8::smallint AND o.xid = k.xid AND o.version = k.version OFFSET 0
	) o
))
