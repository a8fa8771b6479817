-- On a replica, in the reset's transaction: which snapshot the table will be from. Changes that the
-- primary knew to be lost ($5) when the snapshot was taken are in the table. If more were found to
-- be lost since, the API sees that its own time is newer than $5 and marks the replica again. The
-- snapshot's time ($6) counts as a heartbeat: everything committed before it is here. Messages that
-- the snapshot knows to be confirmed ($7: rows of products_relay) contain nothing that is not in it,
-- so they count as received; those that have come before stay received. The order of heartbeats
-- begins anew.
WITH published AS MATERIALIZED (
	SELECT q.queue, p.term,
		int8multirange(CASE WHEN q.n > 0 THEN int8range(1, q.n, '[]') ELSE 'empty' END)
			AS numbers
	FROM jsonb_to_recordset($7::jsonb) AS p (term bigint, syncs bigint, deletes bigint)
	CROSS JOIN LATERAL (VALUES ('sync', p.syncs), ('delete', p.deletes)) AS q (queue, n)
), received AS (
	INSERT INTO products_received AS r (queue, term, numbers)
	SELECT queue, term, numbers FROM published
	ON CONFLICT (queue, term) DO UPDATE SET numbers = r.numbers + excluded.numbers,
		missing = '{}'
), others AS (
	UPDATE products_received r SET missing = '{}'
	WHERE NOT isempty(r.missing) AND (r.queue, r.term) NOT IN (SELECT queue, term FROM published)
), beats AS (
	DELETE FROM products_heartbeats
)
INSERT INTO products_replication AS r (needs_reset, reason, source, snapshot, floor, reset_at,
	reset_rows, reset_due_at, queues_declared_at,
	heartbeat_sync, heartbeat_delete, follows, given)
VALUES (false, NULL, $1::text, $2::pg_snapshot, $3::bigint, clock_timestamp(), $4::bigint,
	$5::timestamptz, clock_timestamp(),
	$6::timestamptz, $6::timestamptz, $1::text, $3::bigint)
ON CONFLICT (only_row) DO UPDATE SET needs_reset = excluded.needs_reset, reason = excluded.reason,
	source = excluded.source, snapshot = excluded.snapshot, floor = excluded.floor,
	reset_at = excluded.reset_at, reset_rows = excluded.reset_rows,
	auto_reset = false, reset_due_at = excluded.reset_due_at,
	queues_declared_at = coalesce(r.queues_declared_at, excluded.queues_declared_at),
	heartbeat_sync = excluded.heartbeat_sync, heartbeat_delete = excluded.heartbeat_delete,
	follows = excluded.follows,
	followed = CASE WHEN r.follows <> excluded.follows
		THEN array_append(array_remove(array_remove(r.followed, r.follows), excluded.follows),
			r.follows)
		ELSE r.followed END,
	given = excluded.given
