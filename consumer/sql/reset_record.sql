-- On a replica, in the reset's transaction: which snapshot the table will be from.
INSERT INTO products_replication AS r (needs_reset, reason, source, snapshot, floor, reset_at, reset_rows)
VALUES (false, NULL, $1::text, $2::pg_snapshot, $3::bigint, clock_timestamp(), $4::bigint)
ON CONFLICT (only_row) DO UPDATE SET needs_reset = excluded.needs_reset, reason = excluded.reason, source = excluded.source,
	snapshot = excluded.snapshot, floor = excluded.floor, reset_at = excluded.reset_at, reset_rows = excluded.reset_rows
