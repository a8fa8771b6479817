-- The shapes of tables of the stream $1 (its name is $2) that this replica knows: of each table that it has
-- with the shape that the table has here, where that is another one; whether it has the table. Of each table
-- the shape that it has here stands last.
SELECT s.id, s.description, CASE WHEN s.id <> t.shape THEN t.shape END,
	CASE WHEN s.id <> t.shape THEN h.description END, (t.id IS NOT NULL)::int
FROM pgfanout.shapes s
LEFT JOIN pgfanout.tables t ON to_jsonb(t.id) = s.description -> 'table'
LEFT JOIN pgfanout.shapes h ON h.id = t.shape
WHERE t.stream = $1::smallint AND s.id <= t.shape
	OR t.id IS NULL AND s.description ->> 'stream' = $2::text
ORDER BY (s.description -> 'table')::integer, s.id
