-- Whether a replica may serve reads, and the newest heartbeat that came through both of its queues, in microseconds of Unix time: everything
-- committed on the primary before it is here.
SELECT needs_reset, coalesce(reason, ''),
	CASE WHEN heartbeat_sync IS NOT NULL AND heartbeat_delete IS NOT NULL
	THEN (extract(epoch FROM least(heartbeat_sync, heartbeat_delete)) * 1000000)::bigint END
FROM products_replication
