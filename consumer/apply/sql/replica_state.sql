-- Whether this replica is complete as far as the stream $1 goes, and if not, why, and whether the consumer
-- may reset it by itself; whether its queues were ever declared. What the catalog says comes first.
-- And which of its tables are to be loaded and can be, the first hundred; and whether it is yet to be compared with a
-- new primary.
SELECT (needs_reset OR f.fault IS NOT NULL)::int, coalesce(f.fault, reason, ''),
	(CASE WHEN needs_reset THEN auto_reset ELSE f.fault IS NOT NULL END)::int,
	(queues_declared_at IS NOT NULL)::int, f.due, (unverified IS NOT NULL)::int
FROM (SELECT pgfanout.replica_fault($1::smallint) AS fault,
	ARRAY(SELECT t.id FROM pgfanout.tables t WHERE t.stream = $1::smallint AND t.due
			AND NOT EXISTS (SELECT FROM pgfanout.shapes s WHERE s.waiting IS NOT NULL
				AND s.description -> 'table' = to_jsonb(t.id))
		ORDER BY t.id LIMIT 100)::text AS due OFFSET 0) AS f
JOIN pgfanout.streams ON stream = $1::smallint
