-- How many rows of the stream $1 are known to be wrong on this replica, more than 10000 are not counted; how
-- many changes wait there for others; and how many of the rows are of which table, as JSON.
SELECT coalesce(sum(w.rows), 0)::bigint,
	(SELECT count(*) FROM pgfanout.waiting w WHERE w.stream = $1::smallint),
	coalesce(jsonb_object_agg(w.name, w.rows), '{}')
FROM (
	SELECT concat(n.nspname, '.', c.relname) AS name, count(*) AS rows
	FROM (
		SELECT d."table" FROM pgfanout.dead_letters d
		WHERE d."table" IN (SELECT t.id FROM pgfanout.tables t WHERE t.stream = $1::smallint) LIMIT 10000
	) AS d
	JOIN pgfanout.tables t ON t.id = d."table" JOIN pg_class c ON c.oid = t.relation
	JOIN pg_namespace n ON n.oid = c.relnamespace
	GROUP BY c.oid, n.nspname, c.relname
) AS w
