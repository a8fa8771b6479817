-- The queues of this replica exist from now on, so that one that is missing later was deleted.
UPDATE products_replication SET queues_declared_at = clock_timestamp()
WHERE queues_declared_at IS NULL
