-- On the primary: the registered tables, each with what tables_replica.sql is to know of it, as JSON, and how
-- many rows the statistics say it has (-1: nothing); then schemas all of whose tables are, and tables of theirs
-- that are not.
SELECT format('%I.%I', s.description ->> 'schema', s.description ->> 'name') AS name, t.name AS stream,
	coalesce('capture broken: ' || r.reason, 'captured') AS state, jsonb_build_object('id', r.id,
		'stream', r.stream, 'shape', r.shape, 'replicas', r.replicas)::text AS wanted,
	coalesce(c.reltuples, -1)::bigint AS rows
FROM pgfanout.registered r JOIN pgfanout.shapes s ON s.id = r.shape JOIN pgfanout.streams t ON t.id = r.stream
LEFT JOIN pg_class c ON c.oid = r.relation
UNION ALL
SELECT format('%I.*', s.name), 'tables', 'all tables, new ones too', NULL, -1 FROM pgfanout.schemas s
UNION ALL
SELECT format('%I.%I', n.nspname, c.relname), NULL, 'not replicated: ' || k.reason, NULL, -1
FROM pgfanout.skipped k JOIN pg_class c ON c.oid = k.relation JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pgfanout.schemas s ON s.name = n.nspname
ORDER BY 1
