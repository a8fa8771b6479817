-- Whether a replica may serve reads of products, by the catalog and given what the primary knows of its
-- queues ($1: reset_due_at, $2: reason); whether what it knows of them, of all streams ($3), is yet to be
-- noted there, and we may; and the newest heartbeat that came through both of its queues, in microseconds
-- of Unix time: everything committed on the primary before it is here. And the same of its other streams, as JSON. And
-- the source that it follows.
SELECT needs_reset OR due OR f.fault IS NOT NULL,
	CASE WHEN due THEN $2::text ELSE coalesce(f.fault, reason, '') END,
	has_table_privilege('pgfanout.streams', 'UPDATE') AND EXISTS (
		SELECT FROM jsonb_to_recordset($3::jsonb) AS n (stream smallint, due timestamptz)
		LEFT JOIN pgfanout.streams s ON s.stream = n.stream
		WHERE s.queues_declared_at IS NULL
			OR n.due > coalesce(s.reset_due_at, '-infinity')),
	CASE WHEN heartbeat_sync IS NOT NULL AND heartbeat_delete IS NOT NULL
	THEN (extract(epoch FROM least(heartbeat_sync, heartbeat_delete)) * 1000000)::bigint END,
	(SELECT jsonb_agg(jsonb_build_object('number', s.stream, 'stream', s.name, 'needsReset', s.needs_reset OR d.due,
			'reason', CASE WHEN s.needs_reset THEN s.reason WHEN d.due THEN n.reason END,
			'heartbeat', CASE WHEN s.heartbeat_sync IS NOT NULL AND s.heartbeat_delete IS NOT NULL THEN
				(extract(epoch FROM least(s.heartbeat_sync, s.heartbeat_delete)) * 1000000)::bigint END) ORDER BY s.stream)
		FROM pgfanout.streams s
		LEFT JOIN jsonb_to_recordset($3::jsonb) AS n (stream smallint, due timestamptz, reason text)
			ON n.stream = s.stream
		CROSS JOIN LATERAL (SELECT coalesce(n.due > coalesce(s.reset_due_at, '-infinity'), false) AS due) AS d
		WHERE s.stream <> 1),
	coalesce(r.follows, '')
FROM (
	SELECT *, coalesce($1::timestamptz > coalesce(reset_due_at, '-infinity'), false) AS due
	FROM pgfanout.streams WHERE stream = 1
) AS r
CROSS JOIN (SELECT pgfanout.replica_fault(1::smallint) AS fault OFFSET 0) AS f
