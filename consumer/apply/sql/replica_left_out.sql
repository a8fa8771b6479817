-- The shapes of the stream $1 (its name is $2) whose changes are left out here, as replica_tables.sql says.
SELECT coalesce(string_agg(s.id::text, ',' ORDER BY s.id), '')
FROM pgfanout.shapes s
LEFT JOIN pgfanout.tables t ON to_jsonb(t.id) = s.description -> 'table'
CROSS JOIN LATERAL (SELECT t.id <> 1 AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.relation)) AS x (gone)
WHERE (t.stream = $1::smallint AND (s.id <= t.shape OR s.waiting IS NOT NULL)
		OR t.id IS NULL AND s.description ->> 'stream' = $2::text)
	AND (t.id IS NULL OR s.waiting IS NOT NULL OR x.gone)
