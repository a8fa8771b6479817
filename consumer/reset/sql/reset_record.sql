-- On a replica, in the reset's transaction: which snapshot the table will be from. Changes that the
-- primary knew to be lost ($5) when the snapshot was taken are in the table. If more were found to
-- be lost since, the API sees that its own time is newer than $5 and marks the replica again. The
-- snapshot's time ($6) counts as a heartbeat: everything committed before it is here.
INSERT INTO products_replication AS r (needs_reset, reason, source, snapshot, floor, reset_at,
	reset_rows, reset_due_at, queues_declared_at,
	heartbeat_sync, heartbeat_delete, follows)
VALUES (false, NULL, $1::text, $2::pg_snapshot, $3::bigint, clock_timestamp(), $4::bigint,
	$5::timestamptz, clock_timestamp(),
	$6::timestamptz, $6::timestamptz, $1::text)
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
		ELSE r.followed END
