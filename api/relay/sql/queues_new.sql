-- On the primary: changes are published although this replica's queues cannot be reached. If they
-- were never declared, it lacks those; else they may be in its queues.
INSERT INTO products_queues (replica, reset_due_at, reason)
VALUES ($1::text, clock_timestamp(), $2::text)
ON CONFLICT (replica) DO NOTHING
