-- The shapes of tables of the stream $1 (its name is $2) that this replica knows: of each table that it has
-- with the shape that the table has here, where that is another one; whether it has the table, in that shape
-- or a newer one; whether it is still to have it; the
-- queue that has said that it is registered no more. Of each table the shape that it has here stands last.
SELECT s.id, s.description, CASE WHEN s.id <> t.shape THEN t.shape END,
	CASE WHEN s.id <> t.shape THEN h.description END,
	(t.id IS NOT NULL AND s.waiting IS NULL AND NOT x.gone)::int, (s.waiting IS NOT NULL OR x.gone)::int, t.dropped
FROM pgfanout.shapes s
LEFT JOIN pgfanout.tables t ON to_jsonb(t.id) = s.description -> 'table'
LEFT JOIN pgfanout.shapes h ON h.id = t.shape
-- dropped here; of products it is an error
CROSS JOIN LATERAL (SELECT t.id <> 1 AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.relation)) AS x (gone)
WHERE t.stream = $1::smallint AND (s.id <= t.shape OR s.waiting IS NOT NULL)
	OR t.id IS NULL AND s.description ->> 'stream' = $2::text
ORDER BY (s.description -> 'table')::integer, s.waiting IS NULL, s.id
