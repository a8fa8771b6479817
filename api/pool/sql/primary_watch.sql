-- Whether the primary takes writes: a standby, or a server set to read-only, does not. A database
-- without an outbox is none: it is not migrated, or a replica by mistake, and nothing may be
-- written to it. And what it knows of the replicas' queues: one row each, or an empty one. And its
-- clock, which replicas' lag is measured by, in microseconds of Unix time.
SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean
	OR EXISTS (SELECT FROM products_outbox WHERE false), q.replica, q.reset_due_at, q.reason,
	(extract(epoch FROM clock_timestamp()) * 1000000)::bigint
FROM (SELECT) AS one LEFT JOIN products_queues q ON true
