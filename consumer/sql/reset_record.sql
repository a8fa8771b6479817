-- On a replica, in the reset's transaction: which snapshot the table will be from. Its time says what a heartbeat would: all committed
-- before is here.
INSERT INTO products_replication AS r (needs_reset, reason, source, snapshot, floor, reset_at, reset_rows, heartbeat_sync, heartbeat_delete)
VALUES (false, NULL, $1::text, $2::pg_snapshot, $3::bigint, clock_timestamp(), $4::bigint, $5::timestamptz, $5::timestamptz)
ON CONFLICT (only_row) DO UPDATE SET needs_reset = excluded.needs_reset, reason = excluded.reason, source = excluded.source,
	snapshot = excluded.snapshot, floor = excluded.floor, reset_at = excluded.reset_at, reset_rows = excluded.reset_rows,
	heartbeat_sync = excluded.heartbeat_sync, heartbeat_delete = excluded.heartbeat_delete
