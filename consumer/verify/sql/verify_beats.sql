-- On a replica: the primary's time, in microseconds, up to which everything has come through each
-- of the two queues of the stream $1; 0: no heartbeat has come yet.
SELECT coalesce((extract(epoch FROM heartbeat_sync) * 1000000)::bigint, 0) AS sync,
	coalesce((extract(epoch FROM heartbeat_delete) * 1000000)::bigint, 0) AS delete
FROM pgfanout.streams WHERE stream = $1::smallint
