-- On the primary, in the snapshot's transaction: which replicas were known to have lost changes
-- when the snapshot was taken, of which streams.
SELECT replica, reset_due_at, stream FROM pgfanout.queues WHERE reset_due_at IS NOT NULL
