-- On a replica: the primary's time up to which everything has come through its two queues, in
-- microseconds; 0: nothing has ever.
SELECT coalesce((extract(epoch FROM heartbeat_sync) * 1000000)::bigint, 0) AS sync,
	coalesce((extract(epoch FROM heartbeat_delete) * 1000000)::bigint, 0) AS delete
FROM products_replication
