-- On the primary: this replica has lost changes of the stream $2, or is about to; only a reset from a later
-- snapshot has them. No row: its queues have never been declared, so nothing can be missing.
UPDATE pgfanout.queues
SET reset_due_at = greatest(clock_timestamp(), reset_due_at + interval '1 microsecond'),
	reason = $3::text
WHERE stream = $2::smallint AND replica = $1::text
RETURNING replica
