-- On the primary: this replica lacks changes, or will lack them at once; only a reset from a later
-- snapshot has them. Also of a replica whose queues have never been declared.
INSERT INTO products_queues AS q (replica, reset_due_at, reason)
VALUES ($1::text, clock_timestamp(), $2::text)
ON CONFLICT (replica) DO UPDATE SET
	reset_due_at = greatest(clock_timestamp(), q.reset_due_at + interval '1 microsecond'),
	reason = excluded.reason
RETURNING replica
