-- Changes of the stream $1 that waited and are given up, behind the number $2: to be moved to the dead-letter
-- queue.
SELECT number, "table", key, version, xid, source, deleted::int, body, type, content_type, message_id, error,
	shape, state, refused_by
FROM pgfanout.waiting WHERE stream = $1::smallint AND dead AND number > $2::bigint
ORDER BY number LIMIT 100
