-- On the primary: changes of the stream $2 are published although this replica's queues cannot be reached.
-- If they were never declared, it lacks those; else they may be in its queues.
INSERT INTO pgfanout.queues (stream, replica, reset_due_at, reason)
VALUES ($2::smallint, $1::text, clock_timestamp(), $3::text)
ON CONFLICT (stream, replica) DO NOTHING
