-- The shapes of the tables of the stream $1 that this replica has, each with the shape that the table has
-- here: of each table the newest last.
SELECT s.id, s.description, CASE WHEN s.id <> t.shape THEN t.shape END, CASE WHEN s.id <> t.shape THEN h.description END
FROM pgfanout.tables t
JOIN pgfanout.shapes h ON h.id = t.shape
JOIN pgfanout.shapes s ON s.description -> 'table' = to_jsonb(t.id) AND s.id <= t.shape
WHERE t.stream = $1::smallint ORDER BY t.id, s.id
