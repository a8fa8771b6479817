-- On the primary, in the snapshot, where the tables are locked against changes of their definition: one that
-- is not what was read of it before. $1: [{"id":101,"shape":7},…]. Of products capture_fault() says it.
SELECT s.description ->> 'name'
FROM jsonb_to_recordset($1::jsonb) AS l (id integer, shape integer)
JOIN pgfanout.shapes s ON s.id = l.shape
LEFT JOIN pgfanout.registered r ON r.id = l.id
WHERE l.id <> 1 AND (r.id IS NULL OR pgfanout.describe(r) IS DISTINCT FROM pgfanout.described(s.id))
