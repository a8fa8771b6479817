-- The tables of the stream $1 that this replica is still to have, each with the newest shape that is known here:
-- they could not be brought, or were dropped here.
SELECT DISTINCT ON (s.description -> 'table') s.id, s.description
FROM pgfanout.shapes s
LEFT JOIN pgfanout.tables t ON to_jsonb(t.id) = s.description -> 'table'
WHERE s.description ->> 'stream' = $1::text AND (s.waiting IS NOT NULL
	OR s.id = t.shape AND t.id <> 1 AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.relation))
ORDER BY s.description -> 'table', s.id DESC
