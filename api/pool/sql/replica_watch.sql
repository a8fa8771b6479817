-- Whether a replica may serve reads, by the catalog and given what the primary knows of its queues
-- ($1: reset_due_at, $2: reason); whether that is yet to be noted there, and we may; and the newest
-- heartbeat that came through both of its queues, in microseconds of Unix time: everything committed
-- on the primary before it is here.
SELECT needs_reset OR due OR f.fault IS NOT NULL,
	CASE WHEN due THEN $2::text ELSE coalesce(f.fault, reason, '') END,
	(due OR queues_declared_at IS NULL)
		AND has_table_privilege('products_replication', 'UPDATE'),
	CASE WHEN heartbeat_sync IS NOT NULL AND heartbeat_delete IS NOT NULL
	THEN (extract(epoch FROM least(heartbeat_sync, heartbeat_delete)) * 1000000)::bigint END
FROM (
	SELECT *, coalesce($1::timestamptz > coalesce(reset_due_at, '-infinity'), false) AS due
	FROM products_replication
) AS r
CROSS JOIN (SELECT products_replica_fault() AS fault OFFSET 0) AS f
