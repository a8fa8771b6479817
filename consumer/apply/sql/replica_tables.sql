-- The tables of the stream $1 that this replica has, with what they look like here.
SELECT t.shape, s.description FROM pgfanout.tables t JOIN pgfanout.shapes s ON s.id = t.shape
WHERE t.stream = $1::smallint ORDER BY t.id
