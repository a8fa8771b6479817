-- Whether this replica is complete, and if not, why, and whether the consumer may reset it by
-- itself; whether its queues were ever declared.
SELECT needs_reset::int, coalesce(reason, ''), (needs_reset AND auto_reset)::int,
	(queues_declared_at IS NOT NULL)::int
FROM products_replication
