-- Forgets changes that the broker has confirmed, by their keys. A plain join would leave the
-- planner the choice to walk through the whole table instead, and it takes it: its statistics were
-- mostly made when the table was empty. OFFSET 0 and the array leave it one way: an index look-up
-- for each key. Records are never updated, so their place is theirs for the time of the statement.
DELETE FROM products_outbox
WHERE ctid = ANY (ARRAY(
	SELECT o.at
	FROM unnest($1::xid8[], $2::bigint[]) AS k (xid, version)
	CROSS JOIN LATERAL (
		SELECT ctid AS at FROM products_outbox o
		WHERE o.xid = k.xid AND o.version = k.version OFFSET 0
	) o
))
