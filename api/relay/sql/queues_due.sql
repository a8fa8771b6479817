-- On the primary: this replica lacks changes of the stream $2, or will lack them at once; only a reset from
-- a later snapshot has them. Also of a replica whose queues have never been declared.
INSERT INTO pgfanout.queues AS q (stream, replica, reset_due_at, reason)
VALUES ($2::smallint, $1::text, clock_timestamp(), $3::text)
ON CONFLICT (stream, replica) DO UPDATE SET
	reset_due_at = greatest(clock_timestamp(), q.reset_due_at + interval '1 microsecond'),
	reason = excluded.reason
RETURNING replica
