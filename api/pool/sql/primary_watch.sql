-- Whether the primary takes writes: a standby does not, nor a server set to read-only, nor one that another one has taken
-- the place of. A database without an outbox is none: it is not migrated, or a replica by mistake, and nothing may be
-- written to it. And what it knows of the replicas' queues: one row for each replica, or an empty one: of the stream of
-- products, and of all streams as JSON. And its clock, which replicas' lag is measured by, in microseconds of Unix time.
-- And why changes of products are not all captured. And its streams, as JSON. And which other tables' changes are not all
-- captured, or are not replicated as was asked for, as JSON; NULL: none. And its source, of an epoch that has begun, and
-- how far its WAL has been flushed, in bytes.
SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean
	OR pgfanout.is_fenced() OR EXISTS (SELECT FROM pgfanout.outbox WHERE false), q.replica, q.due, q.reason,
	(extract(epoch FROM clock_timestamp()) * 1000000)::bigint, one.fault, q.queues, one.streams, one.tables,
	one.source, CASE WHEN NOT pg_is_in_recovery() THEN (pg_current_wal_flush_lsn() - '0/0')::bigint END
FROM (SELECT pgfanout.capture_fault(1, to_regclass('products')) AS fault, pgfanout.current_source() AS source,
	(SELECT jsonb_object_agg(s.id, s.name) FROM pgfanout.streams s) AS streams,
	(SELECT jsonb_agg(jsonb_build_object('table', t.name, 'reason', t.reason) ORDER BY t.name) FROM (
		SELECT r.relation::regclass::text AS name, r.reason FROM pgfanout.registered r
		WHERE r.id <> 1 AND r.reason IS NOT NULL
		UNION ALL
		SELECT k.relation::regclass::text, 'not replicated: ' || k.reason FROM pgfanout.skipped k
		WHERE k.seen IS NOT NULL
	) AS t) AS tables OFFSET 0) AS one
LEFT JOIN (
	SELECT w.replica, max(w.reset_due_at) FILTER (WHERE w.stream = 1) AS due,
		max(w.reason) FILTER (WHERE w.stream = 1) AS reason,
		jsonb_agg(jsonb_build_object('stream', w.stream, 'name', s.name, 'due', w.reset_due_at,
			'reason', w.reason)) AS queues
	FROM pgfanout.queues w JOIN pgfanout.streams s ON s.id = w.stream
	GROUP BY w.replica
) AS q ON true
