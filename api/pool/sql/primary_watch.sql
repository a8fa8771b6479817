-- Whether the primary takes writes: a standby, or a server set to read-only, does not. A database
-- without an outbox is none: it is not migrated, or a replica by mistake, and nothing may be
-- written to it. And what it knows of the replicas' queues: one row each, or an empty one. And its
-- clock, which replicas' lag is measured by, in microseconds of Unix time. And why its changes are
-- not all captured.
SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean
	OR EXISTS (SELECT FROM products_outbox WHERE false), q.replica, q.reset_due_at, q.reason,
	(extract(epoch FROM clock_timestamp()) * 1000000)::bigint, one.fault
FROM (SELECT products_capture_fault() AS fault OFFSET 0) AS one LEFT JOIN products_queues q ON true
