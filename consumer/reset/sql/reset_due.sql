-- On the primary, in the snapshot's transaction: which replicas were known to have lost changes
-- when the snapshot was taken.
SELECT replica, reset_due_at FROM products_queues WHERE reset_due_at IS NOT NULL
